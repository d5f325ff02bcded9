# SPDX-License-Identifier: Apache-2.0
"""Commands, endpoints of the running design, and `inspect` beside them."""
import errno
import json
import os
import select
import signal
import struct
import subprocess
import threading

import pytest

from harness import BIN, SLOW, put, run, until
from images import BLINK, HX8K, REGS, UPPER, flip, sha256


def test_the_words_of_ctl_are_those_that_it_takes(card):
    card.load(UPPER)
    words = card.value("ctl").split()
    assert {"clear", "reset", "reload", "rollback", "verify"} <= set(words)
    assert card.ctl("nonsense") == errno.EINVAL
    assert card.ctl("") == errno.EINVAL
    assert card.ctl("clear reset") == errno.EINVAL
    assert card.sha == sha256(UPPER)


def test_clear_unloads(card):
    card.load(UPPER)
    assert card.ctl("clear") == 0
    assert card.state == "unconfigured"
    assert card.sha == "" and card.image.read_bytes() == b""
    assert card.last("cleared")["result"] == "ok"
    card.load(UPPER)


def test_reload_programs_the_same_again(card):
    card.load(UPPER)
    before = len([r for r in card.history() if r["event"] == "programmed"])
    assert card.ctl("reload") == 0
    assert card.sha == sha256(UPPER)
    assert len([r for r in card.history() if r["event"] == "programmed"]) == before + 1


def test_rollback_goes_to_the_previous_good_image(card):
    card.load(REGS)
    card.load(UPPER)
    card.write(HX8K.read_bytes())
    assert card.ctl("rollback") == 0
    assert card.sha == sha256(REGS)
    assert card.image.read_bytes() == REGS.read_bytes()
    assert card.last("rolled-back")["sha256"] == sha256(REGS)


def test_rollback_of_a_card_that_never_had_two_says_so(module_fpga):
    card = module_fpga().card()
    assert card.ctl("rollback") in (errno.ENODATA, errno.EINVAL, errno.ENOENT)
    assert card.error


def test_verify_reads_the_configuration_back(card):
    card.load(UPPER)
    assert card.ctl("verify") == 0
    assert card.sha == sha256(UPPER)


def test_forget_is_for_cards_that_are_gone(card):
    assert card.ctl("forget") in (errno.EBUSY, errno.EINVAL, errno.EOPNOTSUPP)
    assert card.dir.is_dir()


def test_reset_starts_the_design_again_and_keeps_the_image(card):
    card.load(REGS)
    write_register(card, 5, 0x1234)
    assert read_register(card, 4) == 1  # writes since reset
    assert card.ctl("reset") == 0
    assert read_register(card, 4) == 0
    assert card.sha == sha256(REGS)
    assert card.last("reset")["result"] == "ok"


def test_an_upload_while_ctl_is_open_and_idle_is_no_conflict(card):
    with open(card.dir / "ctl", "wb", buffering=0):
        card.load(UPPER)


# --- the running design ------------------------------------------------------------


def read_register(card, address):
    with open(card.dir / "io/regs", "rb", buffering=0) as f:
        f.seek(2 * address)
        return struct.unpack("<H", f.read(2))[0]


def write_register(card, address, value):
    with open(card.dir / "io/regs", "r+b", buffering=0) as f:
        f.seek(2 * address)
        assert f.write(struct.pack("<H", value)) == 2


def test_hello_comes_back_in_upper_case(card):
    card.load(UPPER)
    assert card.exchange(b"hello") == b"HELLO"
    put(card.dir / "io/tx", b"shell", must=True)
    done = subprocess.run(["head", "-c5", card.dir / "io/.rx"], capture_output=True, timeout=60, check=True)
    assert done.stdout == b"SHELL"


def test_many_bytes_go_through_in_order(card):
    card.load(UPPER)
    data = bytes(range(97, 123)) * 400
    got = b""
    rx = os.open(card.dir / "io/.rx", os.O_RDONLY | os.O_CLOEXEC)
    writer = threading.Thread(target=put, args=(card.dir / "io/tx", data), kwargs={"must": True})
    writer.start()
    try:
        while len(got) < len(data):
            assert select.select([rx], [], [], 30)[0], f"{len(got)} of {len(data)} came back"
            got += os.read(rx, 65536)
    finally:
        writer.join()
        os.close(rx)
    assert got == data.upper()


def test_rx_does_not_wait_for_ever(card):
    card.load(UPPER)
    assert (card.dir / "io/rx").read_bytes() == b""
    put(card.dir / "io/tx", b"abc", must=True)
    with open(card.dir / "io/rx", "rb", buffering=0) as f:
        got = b""
        while len(got) < 3:
            piece = f.read(10)
            assert piece, got
            got += piece
    assert got == b"ABC"


def test_rx_without_waiting_is_eagain(card):
    card.load(UPPER)
    fd = os.open(card.dir / "io/.rx", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with pytest.raises(BlockingIOError):
            os.read(fd, 10)
    finally:
        os.close(fd)


def test_registers_read_back_what_was_written(card):
    card.load(REGS)
    assert os.stat(card.dir / "io/regs").st_size == 512
    assert read_register(card, 0) == 0xFAB1 and read_register(card, 1) == 1
    for address in (5, 100, 255):
        write_register(card, address, 0x1000 + address)
    for address in (5, 100, 255):
        assert read_register(card, address) == 0x1000 + address
    with open(card.dir / "io/regs", "rb", buffering=0) as f:
        whole = f.read(512)
    assert len(whole) == 512 and whole[:2] == b"\xb1\xfa"


def test_what_the_image_does_not_drive_is_not_there(card):
    card.load(BLINK)
    listed = os.listdir(card.dir / "io")
    assert not {"tx", "rx", "regs"} & set(listed), listed
    for name in ("tx", "rx", ".rx", "regs"):
        with pytest.raises(OSError) as e:
            os.close(os.open(card.dir / "io" / name, os.O_WRONLY if name == "tx" else os.O_RDONLY))
        assert e.value.errno in (errno.ENODEV, errno.ENOENT), name
    card.load(UPPER)
    assert {"tx", "rx"} <= set(os.listdir(card.dir / "io")) and ".rx" not in os.listdir(card.dir / "io")


def test_an_open_endpoint_belongs_to_the_load_that_it_found(card):
    card.load(REGS)
    fd = os.open(card.dir / "io/regs", os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert len(os.pread(fd, 2, 0)) == 2
        card.load(REGS)
        with pytest.raises(OSError) as e:
            os.pread(fd, 2, 0)
        assert e.value.errno == errno.ESTALE
    finally:
        os.close(fd)


def test_a_second_writer_of_tx_is_busy(card):
    card.load(UPPER)
    fd = os.open(card.dir / "io/tx", os.O_WRONLY | os.O_CLOEXEC)
    try:
        with pytest.raises(OSError) as e:
            os.close(os.open(card.dir / "io/tx", os.O_WRONLY | os.O_CLOEXEC))
        assert e.value.errno == errno.EBUSY
    finally:
        os.close(fd)


# --- a card that does not do what it says ------------------------------------------------


LIES = "cards:\n  - {name: liar, backend: sim, part: iCE40-HX1K, faults: {link-lies: true}}\n"


def test_a_link_that_reports_success_and_loads_nothing_fails_the_copy(fpga):
    card = fpga(sim=None, config=LIES).card()
    done = run(["cp", str(UPPER), str(card.image)])
    assert done.returncode != 0
    assert card.state == "failed"
    assert card.sha == "" and card.image.read_bytes() == b""
    assert card.error
    assert card.last("program-failed")["result"] == "EIO"


def test_a_paced_link_shows_progress_and_can_be_stopped(fpga):
    # 32 KB at 64 kHz are four seconds.
    config = "cards:\n  - {name: slow, backend: sim, part: iCE40-HX1K, config_clock_hz: 64000}\n"
    card = fpga(sim=None, config=config).card()
    with subprocess.Popen(["cp", UPPER, card.image], stderr=subprocess.PIPE) as cp:
        card.wait_state("programming")
        until(lambda: card.value("progress").startswith("programming "), "progress tells")
        assert card.sha == ""
        assert put(card.dir / "stop", b"command\n", os.O_WRONLY) in (0, errno.EINVAL)
        assert put(card.dir / "image", UPPER.read_bytes()) in (0, errno.EBUSY)
        cp.wait(60)
    until(lambda: card.state in ("configured", "failed"), "the run ends")


def test_a_card_that_does_not_answer_is_not_waited_for_any_longer_than_its_user_wants(fpga):
    """verify and check ask the card; its process is stopped."""
    fabric = fpga()
    card = fabric.card()
    card.load(UPPER)
    process = fabric.processes("fabricfs-card")
    for ask in (lambda: card.ctl("verify"), lambda: put(card.image, UPPER.read_bytes())):
        os.kill(process[0], signal.SIGSTOP)
        told = []
        asking = threading.Thread(target=lambda: told.append(ask()))
        asking.start()
        try:
            until(lambda: put(card.dir / "stop", b"command\n", os.O_WRONLY) + 1 and
                  put(card.dir / "stop", b"upload\n", os.O_WRONLY) + 1 and not asking.is_alive(), "it is ended",
                  15 * SLOW)
        finally:
            os.kill(process[0], signal.SIGCONT)
            asking.join()
        assert told == [errno.ECANCELED], card.error
    # Late answers are nobody's.
    card.load(UPPER)
    assert card.ctl("verify") == 0
    assert fabric.processes("fabricfs-card") == process


# --- inspect -------------------------------------------------------------------------


def test_inspect_tells_a_sound_image(fabric):
    done = run([str(BIN), "inspect", "--for", "dev0", "--mount", str(fabric.mount), str(UPPER)])
    assert done.returncode == 0, done
    assert "iCE40-HX1K" in done.stdout and sha256(UPPER) in done.stdout


def test_inspect_says_what_does_not_fit(fabric):
    done = run([str(BIN), "inspect", "--json", "--for", "dev0", "--mount", str(fabric.mount), str(HX8K)])
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["sound"] is True and told["fits"] is False and "iCE40-HX1K" in told["reason"]


def test_inspect_agrees_with_a_copy(card, tmp_path):
    card.load(BLINK)
    bad = {"flip": flip(UPPER.read_bytes(), 9000, 1), "cut": UPPER.read_bytes()[:9000],
           "tail": UPPER.read_bytes() + b"x", "text": b"hello\n", "gz": b"\x1f\x8b\x08\x00" + bytes(50)}
    for name, data in bad.items():
        path = tmp_path / name
        path.write_bytes(data)
        told = json.loads(run([str(BIN), "inspect", "--json", str(path)]).stdout)
        problem = card.write(data)
        assert told["sound"] is False and told["errno"] == errno.errorcode[problem], name
        assert told["reason"] in card.error, name


def test_inspect_reads_standard_input_and_knows_its_usage(tmp_path):
    done = run([str(BIN), "inspect", "--json", "-"], stdin=open(UPPER, "rb"))
    assert done.returncode == 0 and json.loads(done.stdout)["sha256"] == sha256(UPPER)
    assert run([str(BIN), "inspect"]).returncode == 2
    assert run([str(BIN), "inspect", "--nonsense", str(UPPER)]).returncode == 2
    assert run([str(BIN), "inspect", str(tmp_path / "nothing")]).returncode == 1
