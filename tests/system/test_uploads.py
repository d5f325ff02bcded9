# SPDX-License-Identifier: Apache-2.0
"""Uploads: when they begin, when they are judged, what they answer (DESIGN 2)."""
import ctypes
import errno
import os
import select
import signal
import subprocess
import sys
import threading

import pytest

from harness import put, run, shell, until
from images import BLINK, HX8K, REGS, UPPER, empty_hx1k, end, flip, sha256

GOOD = UPPER.read_bytes()


@pytest.fixture(autouse=True)
def blinking(card):
    card.load(BLINK)
    yield
    assert card.state == "configured"


def unchanged(card):
    return card.sha == sha256(BLINK) and card.image.read_bytes() == BLINK.read_bytes()


def opened(card, flags=os.O_WRONLY | os.O_TRUNC):
    return os.open(card.image, flags | os.O_CLOEXEC)


def closed(fd):
    """The errno of close(), 0 when it was good."""
    try:
        os.close(fd)
    except OSError as e:
        return e.errno
    return 0


def err(call, *args):
    try:
        call(*args)
    except OSError as e:
        return e.errno
    return 0


def test_an_hx8k_image_on_an_hx1k_card_is_a_wrong_medium_and_changes_nothing(card):
    done = run(["cp", str(HX8K), str(card.image)], env=dict(os.environ, LC_ALL="C"))
    assert done.returncode == 1
    assert "Wrong medium type" in done.stderr
    assert "iCE40-HX8K" in card.error and "iCE40-HX1K" in card.error
    assert unchanged(card)


def test_the_wrong_part_fails_the_write_that_shows_it(card):
    fd = opened(card)
    assert err(os.write, fd, HX8K.read_bytes()[:1024]) == errno.EMEDIUMTYPE
    assert closed(fd) == 0  # an error is told once
    assert unchanged(card)


def test_an_unknown_format_fails_the_first_write(card):
    fd = opened(card)
    assert err(os.write, fd, b"\x1f\x8b\x08\x00 and so on") == errno.ENOEXEC
    assert "gzip" in card.error
    assert closed(fd) == 0
    assert unchanged(card)


@pytest.mark.parametrize("n", [1, 3, 5, 100, 1000, 20000, end(GOOD) - 1])
def test_a_cut_file_says_how_many_bytes_of_how_many(card, n):
    assert card.write(GOOD[:n]) == errno.EBADMSG
    assert f"{n} of " in card.error and "bytes" in card.error
    assert unchanged(card)


def test_bytes_after_the_end_are_too_many(card):
    assert card.write(GOOD + b"x") == errno.EFBIG
    assert "after the end" in card.error
    assert unchanged(card)
    assert card.write(GOOD + bytes(1000) + b"\xff" * 1000) == 0  # padding is not


def test_an_image_larger_than_the_card_takes_is_efbig(card):
    assert card.write(GOOD + bytes(64 << 20)) == errno.EFBIG
    assert unchanged(card)


def test_an_fsync_of_an_incomplete_image_is_no_error_and_of_a_complete_one_programs(card):
    fd = opened(card)
    os.write(fd, GOOD[:10000])
    assert err(os.fsync, fd) == 0
    assert unchanged(card)
    os.write(fd, GOOD[10000:])
    assert err(os.fsync, fd) == 0
    assert card.sha == sha256(GOOD)
    before = len(card.history())
    assert closed(fd) == 0
    assert len(card.history()) == before  # the close does not repeat it


def test_the_error_of_an_fsync_is_not_told_again_by_close(card):
    fd = opened(card)
    # Written backwards, so that only the whole shows the damage.
    bad = flip(GOOD, 15000, 0)
    os.pwrite(fd, bad[9000:], 9000)
    os.pwrite(fd, bad[:9000], 0)
    assert err(os.fsync, fd) == errno.EBADMSG
    assert closed(fd) == 0
    assert unchanged(card)


def test_an_error_is_told_once(card):
    told = []
    fd = opened(card)
    told.append(err(os.write, fd, flip(GOOD, 15000, 0)))
    told.append(err(os.fsync, fd))
    told.append(closed(fd))
    assert told.count(errno.EBADMSG) == 1, told
    assert unchanged(card)


def test_later_closes_do_not_repeat_the_programming(card):
    fd = opened(card)
    other = os.dup(fd)
    os.write(fd, GOOD)
    before = len(card.history())
    assert closed(fd) == 0
    assert card.sha == sha256(GOOD)
    assert closed(other) == 0
    assert len(card.history()) == before + 1


def test_after_it_was_programmed_more_bytes_are_efbig_until_it_is_truncated(card):
    fd = opened(card)
    os.write(fd, GOOD)
    os.fsync(fd)
    assert err(os.write, fd, b"more") == errno.EFBIG
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, REGS.read_bytes())
    assert closed(fd) == 0
    assert card.sha == sha256(REGS)


def test_head_complains_and_tail_programs(card):
    done = shell(f"( head -c 9999 {UPPER}; echo head $? >&2; tail -c +10000 {UPPER}; echo tail $? >&2 )"
                 f" > {card.image}")
    assert "head 1" in done.stderr and "tail 0" in done.stderr, done.stderr
    assert card.sha == sha256(GOOD)


def test_a_second_writer_is_busy_while_the_first_has_bytes(card):
    first = opened(card)
    second = opened(card)  # nothing was sent yet: both may be open
    os.write(first, GOOD[:5000])
    assert err(os.open, card.image, os.O_WRONLY | os.O_CLOEXEC) == errno.EBUSY
    assert err(os.write, second, GOOD) == errno.EBUSY
    os.close(second)
    os.write(first, GOOD[5000:])
    assert closed(first) == 0
    assert card.sha == sha256(GOOD)
    fd = opened(card)  # and is free afterwards
    os.close(fd)


def test_whoever_is_refused_finds_in_error_who_is_at_the_card(card):
    assert card.write(GOOD[:3000]) == errno.EBADMSG
    failure, records = card.error, len(card.history())
    assert failure
    with subprocess.Popen(["bash", "-c", f"cat > {card.image}"], stdin=subprocess.PIPE) as writer, \
            open(card.dir / "error", "rb", buffering=0) as watched:
        assert watched.read(4096).decode().rstrip("\n") == failure
        poller = select.poll()
        poller.register(watched, select.POLLPRI)
        writer.stdin.write(GOOD[:5000])
        writer.stdin.flush()
        # Not those of the one before, whose last close may still be on its way.
        until(lambda: card.value("progress").startswith("receiving 5000 "), "bytes arrive")
        assert card.error == failure, "nobody was refused yet"
        assert run(["cp", str(REGS), str(card.image)]).returncode == 1
        assert poller.poll(60_000), "poll tells of it"
        said = card.error
        assert f"cat (pid {writer.pid}" in said or "bash (pid" in said, said
        assert "root" in said and "uploading" in said
        assert card.fabric.status()["cards"][0]["error"] == said
        assert os.stat(card.dir / "error").st_size == len(said) + 1
        writer.stdin.close()
        assert writer.wait(60) != 0
    until(lambda: "pid" not in card.error, "he is not named when he is gone")
    assert "truncated" in card.error
    # Who was refused changed nothing: what he wanted is not in history.
    assert [r["event"] for r in card.history()[records:]] == ["image-refused"]


def test_who_programs_the_card_is_named_too(fpga):
    # 32 KB at 32 kHz are eight seconds.
    config = "cards:\n  - {name: slow, backend: sim, part: iCE40-HX1K, config_clock_hz: 32000}\n"
    slow = fpga(sim=None, config=config).card()
    with subprocess.Popen(["cp", UPPER, slow.image], stderr=subprocess.DEVNULL) as cp:
        slow.wait_state("programming")
        assert put(slow.dir / "ctl", b"reset\n", os.O_WRONLY) == errno.EBUSY
        assert f"cp (pid {cp.pid}, user root) is programming it" in slow.error
        assert put(slow.dir / "stop", b"upload\n", os.O_WRONLY) == 0
        assert cp.wait(60) == 1
    assert "pid" not in slow.error


def test_stop_of_what_is_closed_is_no_business_of_its_writer(fpga):
    """The kernel answers a close before it tells of it: for a moment he is still there."""
    card = fpga(config="access: {mode: \"0666\"}\n").card()
    os.chmod(card.fabric.folder, 0o755)
    script = ("import os, sys\n"
              "def become(uid):\n    os.seteuid(0)\n    os.seteuid(uid)\n"
              "image = open(sys.argv[2], 'rb').read(3000)\n"
              "for _ in range(60):\n"
              "    become(12345)\n"
              "    fd = os.open(sys.argv[1] + '/image', os.O_WRONLY | os.O_TRUNC)\n"
              "    os.write(fd, image)\n"
              "    try: os.close(fd)\n"
              "    except OSError: pass\n"
              "    become(12346)\n"
              "    fd = os.open(sys.argv[1] + '/stop', os.O_WRONLY)\n"
              "    try: os.write(fd, b'upload')\n"
              "    except OSError as e: print(e)\n"
              "    os.close(fd)\n")
    done = run([sys.executable, "-c", script, str(card.dir), str(UPPER)])
    assert done.returncode == 0 and done.stdout == "", done


def test_reading_goes_on_during_an_upload(card):
    fd = opened(card)
    os.write(fd, GOOD[:5000])
    assert unchanged(card)
    # The recogniser knows by now how much there is to come.
    whole = len(GOOD) - 1  # and a byte that fills it up
    assert card.value("progress") == f"receiving 5000 {whole} {5000 * 100 // whole}%"
    assert card.fabric.status()["cards"][0]["progress"] == {"phase": "receiving", "done": 5000, "total": whole}
    assert card.state == "configured"
    assert closed(fd) == errno.EBADMSG
    until(lambda: card.value("progress") == "idle 0 0 0%", "idle again")


def test_writes_out_of_order_are_allowed(card):
    fd = opened(card)
    pieces = [(at, GOOD[at:at + 3000]) for at in range(0, len(GOOD), 3000)]
    for at, piece in reversed(pieces):
        os.pwrite(fd, piece, at)
    assert closed(fd) == 0, card.error
    assert card.sha == sha256(GOOD)


def test_a_hole_is_zeros(card):
    zeros = empty_hx1k()
    assert zeros.count(bytes(4096))
    fd = opened(card)
    at = 0
    while at < len(zeros):
        piece = zeros[at:at + 512]
        if piece.strip(b"\0") or at + 512 >= len(zeros):
            os.pwrite(fd, piece, at)
        at += 512
    problem = closed(fd)
    assert problem == 0, card.error
    assert card.sha == sha256(zeros)


def test_without_truncation_an_upload_is_a_view_of_what_is_loaded(card):
    old = BLINK.read_bytes()
    assert len(old) == len(GOOD)
    fd = opened(card, os.O_WRONLY)
    for at in range(0, len(GOOD), 64):
        if old[at:at + 64] != GOOD[at:at + 64]:
            os.pwrite(fd, GOOD[at:at + 64], at)
            assert err(os.fsync, fd) == 0  # judged at close only
    assert unchanged(card)
    assert closed(fd) == 0, card.error
    assert card.sha == sha256(GOOD)


def test_half_of_another_image_over_the_loaded_one_is_refused(card):
    fd = opened(card, os.O_WRONLY)
    os.write(fd, GOOD[:20000])
    assert closed(fd) == errno.EBADMSG
    assert unchanged(card)


def test_append_starts_empty(card):
    fd = opened(card, os.O_WRONLY | os.O_APPEND)
    for at in range(0, len(GOOD), 5000):
        os.write(fd, GOOD[at:at + 5000])
    assert closed(fd) == 0, card.error
    assert card.sha == sha256(GOOD)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_writer_programs_nothing_though_all_bytes_came(card, sig):
    script = ("import os, signal, sys; fd = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC);"
              "signal.signal(signal.SIGINT, signal.SIG_DFL);"
              "os.write(fd, open(sys.argv[2], 'rb').read()); print('sent', flush=True); signal.pause()")
    with subprocess.Popen([sys.executable, "-c", script, str(card.image), str(UPPER)],
                          stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"sent\n"
        writer.send_signal(sig)
        writer.wait()
    until(lambda: card.error, "the card says why nothing was programmed")
    assert "kill" in card.error or "signal" in card.error, card.error
    assert unchanged(card)
    assert card.write(GOOD) == 0  # and it is free again


def test_the_poison_of_a_killed_writer_holds_until_the_last_close(card):
    fd = opened(card)
    script = "import os, signal, sys; os.write(1, open(sys.argv[1], 'rb').read()); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, str(UPPER)], stdout=fd, check=False)
    closed(fd)
    assert unchanged(card)
    assert card.error


def test_an_explicit_time_is_shown_and_now_is_not(card):
    put(card.image, GOOD, must=True)
    shown = card.image.stat().st_mtime_ns
    os.utime(card.image)
    assert card.image.stat().st_mtime_ns == shown
    os.utime(card.image, ns=(0, 1_000_000_000))
    assert card.image.stat().st_mtime_ns == 1_000_000_000


def test_check_validates_and_programs_nothing(card):
    import json
    assert card.write(GOOD, "check") == 0
    assert unchanged(card)
    result = json.loads(card.read("check"))
    assert result["sound"] is True and result["fits"] is True and result["sha256"] == sha256(GOOD)
    assert result["part"] == "iCE40-HX1K" and result["integrity"] == {"checked": ["crc16"], "ok": True}
    assert card.write(HX8K.read_bytes(), "check") == errno.EMEDIUMTYPE
    result = json.loads(card.read("check"))
    assert result["fits"] is False and "iCE40-HX8K" in result["reason"]
    assert card.write(GOOD[:9000], "check") == errno.EBADMSG
    assert json.loads(card.read("check"))["errno"] == "EBADMSG"
    assert unchanged(card)


def test_stop_ends_an_upload(card):
    fd = opened(card)
    os.write(fd, GOOD[:5000])
    assert put(card.dir / "stop", b"upload\n", os.O_WRONLY) == 0
    assert err(os.write, fd, GOOD[5000:]) == errno.ECANCELED
    assert closed(fd) in (0, errno.ECANCELED)
    assert unchanged(card)
    assert card.write(GOOD) == 0


def test_an_unknown_word_for_stop_is_einval(card):
    assert put(card.dir / "stop", b"everything\n", os.O_WRONLY) == errno.EINVAL


def test_a_temporary_is_validated_at_its_own_close_and_programs_at_the_rename(card):
    temp = card.dir / ".image.Xy12"
    assert put(temp, GOOD[:100]) == errno.EBADMSG
    assert put(temp, GOOD) == 0
    assert unchanged(card)
    os.rename(temp, card.image)
    assert card.sha == sha256(GOOD)
    assert not temp.exists()


def test_a_temporary_may_be_removed_and_there_are_eight_at_most(card):
    made = []
    problem = 0
    for i in range(20):
        try:
            fd = os.open(card.dir / f".t{i}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as e:
            problem = e.errno
            break
        made.append((fd, card.dir / f".t{i}"))
    try:
        assert problem in (errno.ENOSPC, errno.EDQUOT, errno.EPERM, errno.EMFILE, errno.EBUSY), problem
        assert 1 <= len(made) <= 8
    finally:
        for fd, path in made:
            os.close(fd)
            os.unlink(path)
    assert unchanged(card)


def test_the_same_image_again_is_programmed_again(card):
    before = len(card.history())
    card.load(BLINK)
    assert len(card.history()) == before + 1


def test_success_and_refusal_are_in_the_history_with_who_and_what(card):
    card.write(GOOD)
    record = card.last("programmed")
    assert record["result"] == "ok"
    assert record["sha256"] == sha256(GOOD) and record["size"] == len(GOOD)
    assert record["format"] == "ice40" and record["part"] == "iCE40-HX1K"
    assert record["uid"] == os.getuid() and record["user"] == "root" and record["pid"]
    assert record["dev"] == card.name and record["duration_ms"] >= 0
    card.write(GOOD[:500])
    refused = card.history()[-1]
    assert refused["result"] == "EBADMSG" and refused["reason"] == card.error


def test_writers_of_many_threads_end_each_with_one_answer(card):
    answers = []
    lock = threading.Lock()

    def write():
        problem = put(card.image, GOOD)
        with lock:
            answers.append(problem)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert 0 in answers and set(answers) <= {0, errno.EBUSY}, answers
    assert card.sha == sha256(GOOD)


def test_a_deleted_image_is_still_there(card):
    os.unlink(card.image)
    assert card.state == "configured"
    # Hidden from this thread only, for its own create, and for 2 s at most.
    assert shell(f"test -e {card.image}").returncode == 0
    until(lambda: card.image.exists(), "the name is back for this thread too", 10)
    assert unchanged(card)


def test_a_wrong_write_to_a_value_file_is_refused(card):
    for name in ("state", "name", "error", "history", "loaded/sha256", "telemetry"):
        assert put(card.dir / name, b"x", os.O_WRONLY) != 0, name


def test_close_of_one_of_two_descriptors_without_a_byte_is_nothing(card):
    fd = opened(card)
    other = os.dup(fd)
    assert closed(other) == 0
    os.write(fd, GOOD)
    assert closed(fd) == 0
    assert card.sha == sha256(GOOD)


def test_a_large_write_is_one_image(card):
    libc = ctypes.CDLL(None, use_errno=True)
    fd = opened(card)
    assert libc.write(fd, GOOD, len(GOOD)) == len(GOOD)
    assert closed(fd) == 0
    assert card.sha == sha256(GOOD)
