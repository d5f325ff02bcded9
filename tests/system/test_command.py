# SPDX-License-Identifier: Apache-2.0
"""Cards that an operator's own commands program (DESIGN 3, `command`)."""
import errno
import os
import subprocess
import time

import pytest

from harness import SLOW, put, until
from images import BLINK, HX8K, UPPER, sha256


@pytest.fixture
def operated(fpga):
    """make(program, verify, more keys): a card whose program is a shell script."""
    def make(program, verify="none", more="", expect=True):
        fabric = fpga.make(sim=None)
        folder = fabric.folder

        def script(name, text):
            path = folder / name
            path.write_text("#!/bin/sh\n" + text + "\n")
            path.chmod(0o755)
            return str(path)

        words = f"[{script('program', program)}, '%f']" if program != "missing" else "[/nowhere/loader, '%f']"
        proof = "none" if verify == "none" else f"[{script('verify', verify)}]"
        fabric.config_path = folder / "fabricfs.yaml"
        fabric.config_path.write_text(
            f"cards:\n  - {{name: odd, backend: command, part: iCE40-HX1K, program: {words}, verify: {proof}{more}}}\n")
        return fabric.start().card()
    return make


def test_the_operators_command_gets_the_file_and_the_facts(operated):
    card = operated('cp "$1" "$(dirname "$0")/loaded.bin"; env | grep ^FABRICFS_ > "$(dirname "$0")/env"',
                    'cmp -s "$(dirname "$0")/loaded.bin" ' + str(UPPER))
    card.load(UPPER)
    folder = card.fabric.folder
    assert (folder / "loaded.bin").read_bytes() == UPPER.read_bytes()
    env = dict(line.split("=", 1) for line in (folder / "env").read_text().splitlines())
    assert env["FABRICFS_DEV"] in ("dev0", "0") and env["FABRICFS_PART"] == "iCE40-HX1K"
    assert env["FABRICFS_SHA256"] == sha256(UPPER)
    assert "verify" in card.value("loaded/confirmed_by")
    assert card.value("backend") == "command"
    assert card.image.read_bytes() == UPPER.read_bytes()


def test_the_operators_command_is_told_which_slot(operated):
    card = operated('echo "$FABRICFS_SLOT" >> "$(dirname "$0")/slots"', more=", slots: 2")
    card.slot(1).load(UPPER)
    card.slot(0).load(BLINK)
    assert (card.fabric.folder / "slots").read_text() == "1\n0\n"
    assert card.slot(1).sha == sha256(UPPER) and card.slot(0).sha == sha256(BLINK)


def test_without_a_proof_confirmed_by_says_nothing(operated):
    card = operated("exit 0")
    card.load(UPPER)
    assert card.value("loaded/confirmed_by") == "nothing"


def test_verify_has_to_be_written_out(fpga):
    from harness import run
    fabric = fpga.make(sim=None, config="cards:\n  - {name: odd, backend: command, program: [/bin/true]}\n")
    done = run(fabric.argv(), env=fabric.env)
    assert done.returncode == 1 and "verify" in done.stderr


def test_a_program_that_exits_0_and_loads_nothing_is_found_out(operated):
    card = operated("exit 0", "echo nothing there; exit 1")
    assert card.write(UPPER.read_bytes()) == errno.EIO
    assert card.state == "failed" and card.sha == ""
    assert "nothing there" in card.error


def test_a_wrong_part_never_reaches_the_command(operated):
    card = operated('touch "$(dirname "$0")/ran"')
    assert card.write(HX8K.read_bytes()) == errno.EMEDIUMTYPE
    assert not (card.fabric.folder / "ran").exists()


@pytest.mark.parametrize("program, problem, word", [
    ("echo no cable >&2; exit 3", errno.EIO, "no cable"),
    ("kill -SEGV $$", errno.EIO, "SEGV"),
    ("missing", errno.ENOPKG, "/nowhere/loader"),
    ("head -c 1000000 /dev/zero | tr '\\0' 'x'; exit 1", errno.EIO, "xxx"),
], ids=["exit 3", "signal", "missing", "a megabyte"])
def test_a_program_that_fails_fails_the_copy_with_its_words(operated, program, problem, word):
    card = operated(program)
    assert card.write(UPPER.read_bytes()) == problem
    assert word in card.error and len(card.error) < 2000
    # What never started has touched nothing.
    assert card.state in (("failed",) if problem == errno.EIO else ("failed", "unknown", "unconfigured"))
    assert card.sha == ""


def descendants(folder):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if str(folder / "program").encode() in words:
            found.append(int(pid))
    return found


def test_a_program_that_hangs_meets_its_deadline_with_all_it_started(operated):
    card = operated('trap "" TERM; "$0" again & sleep 600; wait', more=", deadline: 2s")
    start = time.monotonic()
    assert card.write(UPPER.read_bytes()) == errno.ETIMEDOUT
    assert time.monotonic() - start < 25 * SLOW
    assert card.state == "failed"
    until(lambda: not descendants(card.fabric.folder), "nothing of it is left")


def test_a_sick_card_delays_nobody(operated):
    card = operated("sleep 600", more=", deadline: 8s")
    with subprocess.Popen(["cp", UPPER, card.image], stderr=subprocess.PIPE) as cp:
        card.wait_state("programming")
        assert "programming" in card.fabric.read("status")
        os.listdir(card.fabric.mount)
        card.fabric.read("metrics")
        # All of that while it hangs.
        assert card.state == "programming" and cp.poll() is None
        assert put(card.dir / "stop", b"command\n", os.O_WRONLY) == 0
        assert cp.wait(60) == 1
    assert card.last("program-failed")["result"] in ("ECANCELED", "ETIMEDOUT")


def test_rollback_on_failure_puts_the_old_image_back(operated):
    card = operated(f'cmp -s "$1" {UPPER} || exit 1', more=", policy: {on-failure: rollback}")
    card.load(UPPER)
    assert card.write(BLINK.read_bytes()) == errno.EIO
    assert card.sha == sha256(UPPER) and card.state == "configured"
    events = [r["event"] for r in card.history()]
    assert "program-failed" in events and "rolled-back" in events[events.index("program-failed"):]


def test_without_that_policy_the_old_image_is_lost(operated):
    card = operated(f'cmp -s "$1" {UPPER} || exit 1')
    card.load(UPPER)
    assert card.write(BLINK.read_bytes()) == errno.EIO
    assert card.state == "failed" and card.sha == "" and card.image.read_bytes() == b""
    assert card.ctl("rollback") == 0
    assert card.sha == sha256(UPPER)
