# SPDX-License-Identifier: Apache-2.0
"""What each process may do (DESIGN 7): the worker nearly nothing, tools what they are lent."""
import errno
import os
import signal

import pytest

from harness import BIN, need, run, until
from images import BLINK, UPPER, sha256

# linux/capability.h
DAC_OVERRIDE, FOWNER, IPC_LOCK, SYS_MODULE, SYS_PTRACE, SYS_ADMIN = 1, 3, 14, 16, 19, 21
WORKER = {IPC_LOCK, SYS_PTRACE}
USUAL = {0, 1, 2, 3, 4, 5, 6, 7, 14, 17, 23}


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def bits(text):
    return {i for i in range(64) if int(text, 16) >> i & 1}


def ours():
    """What this test itself may do: in a container that is less than everything."""
    return bits(status_of("self")["CapPrm"])


def threads(pid):
    return [f"{pid}/task/{tid}" for tid in os.listdir(f"/proc/{pid}/task")]


def rights_are(fabric, name, kept, lent=frozenset()):
    pids = fabric.processes(name)
    assert pids
    for task in [task for pid in pids for task in threads(pid)]:
        status = status_of(task)
        assert bits(status["CapEff"]) == kept & ours(), task
        assert bits(status["CapPrm"]) == (kept | lent) & ours(), task
        assert bits(status["CapBnd"]) <= WORKER | kept | lent, task
        assert bits(status["CapInh"]) == bits(status["CapAmb"]) == set()
        assert status["NoNewPrivs"] == "1"


def test_a_worker_keeps_only_what_the_audit_trail_needs_and_the_holder_what_it_had(fpga):
    fabric = fpga()
    card = fabric.card()
    for _ in range(2):
        rights_are(fabric, "fabricfs-worker", WORKER)
        rights_are(fabric, "fabricfs-card", set())
        holder, = fabric.processes("fabricfs")
        assert bits(status_of(holder)["CapEff"]) == ours()
        card.load(UPPER)
        assert card.exchange(b"with few rights") == b"WITH FEW RIGHTS"
        old = fabric.processes("fabricfs-worker")
        assert fabric.kill("fabricfs-worker") == 1
        until(lambda: fabric.processes("fabricfs-worker") not in ([], old), "the next worker is there")
        card.load(BLINK)


def test_a_worker_without_its_holder_ends_and_leaves_nothing_that_hangs(fpga):
    """It may not unmount: what is left answers with an error, and the next fabricfs takes it away."""
    fabric = fpga()
    card = fabric.card()
    card.load(UPPER)
    fabric.expect_errors = True
    holder, = fabric.processes("fabricfs")
    os.kill(holder, signal.SIGKILL)
    assert fabric.process.wait(60) == -signal.SIGKILL
    card.load(BLINK)
    done = run(fabric.argv(foreground=False), env=fabric.env)
    assert done.returncode == 1, done
    assert f"process {holder}, which was killed, left serving {fabric.mount}: unmount that" in done.stderr
    with open(card.dir / "state", "rb", buffering=0):
        assert fabric.kill("fabricfs-worker", signal.SIGTERM) == 1
        until(lambda: not fabric.processes("fabricfs-worker"), "the worker ends")
        assert "stays mounted" in fabric.log()
        with pytest.raises(OSError) as e:
            card.read("progress")
        assert e.value.errno == errno.ENOTCONN
    fabric.process = None
    done = run(fabric.argv(foreground=False), env=fabric.env)
    assert done.returncode == 0, done.stderr
    try:
        card.wait_state("configured")
        assert card.sha == sha256(BLINK)
        card.load(UPPER)
    finally:
        assert run(["umount", str(fabric.mount)]).returncode == 0
        until(lambda: not fabric.processes(), "all processes end with the mount")


def test_a_group_that_is_unknown_is_told_once_for_all_cards(fpga):
    fabric = fpga(sim=3, config="access: {group: no-such-group}\n")
    fabric.card(2).load(UPPER)
    assert fabric.log().count("there is no group no-such-group") == 1


def test_who_writes_from_a_namespace_of_his_own_is_told_apart(fpga):
    """Of another user's process only a worker with the right to look sees it."""
    need("unshare", "setpriv")
    fabric = fpga(config="access: {mode: \"0666\"}\n")
    os.chmod(fabric.folder, 0o755)
    card = fabric.card()
    done = run(["unshare", "--mount", "--propagation", "unchanged", "setpriv", "--reuid=12345", "--regid=12345",
                "--clear-groups", "cp", str(UPPER), str(card.image)])
    assert done.returncode == 0, done.stderr
    record = card.last("programmed")
    assert record["uid"] == 12345 and record["container"].startswith("ns:"), record
    card.load(UPPER)
    assert "container" not in card.last("programmed")


def test_a_state_folder_of_somebody_else_is_served(fpga):
    fabric = fpga()
    fabric.card().load(UPPER)
    fabric.stop()
    for path in [fabric.state_dir, *fabric.state_dir.rglob("*")]:
        os.chown(path, 12345, 12345)
    fabric.start()
    card = fabric.card()
    card.wait_state("configured")
    assert card.sha == sha256(UPPER)
    card.load(BLINK)
    rights_are(fabric, "fabricfs-worker", WORKER | {DAC_OVERRIDE, FOWNER})


def test_a_state_folder_below_a_private_home_is_served(fpga):
    """`sudo fabricfs -s ~/state`: the folder is root's, the way to it is not."""
    fabric = fpga.make()
    home = fabric.folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, 12345, 12345)
    fabric.state_dir = home / "state"
    for _ in range(2):
        fabric.start()
        card = fabric.card()
        card.load(UPPER)
        assert card.exchange(b"at home") == b"AT HOME"
        rights_are(fabric, "fabricfs-worker", WORKER | {DAC_OVERRIDE, FOWNER})
        fabric.stop()


@pytest.mark.parametrize("key, wanted", [
    ("", USUAL),
    (", capabilities: [sys_admin, CAP_SYS_MODULE]", USUAL | {SYS_ADMIN, SYS_MODULE}),
    (", capabilities: none", set()),
], ids=["usual", "more", "none"])
def test_an_operators_command_gets_the_rights_that_are_lent_to_it(fpga, key, wanted):
    fabric = fpga.make(sim=None)
    told = fabric.folder / "told"
    fabric.config_path = fabric.folder / "fabricfs.yaml"
    fabric.config_path.write_text("cards:\n  - {name: odd, backend: command, part: iCE40-HX1K, verify: none,"
                                  f" program: [cp, /proc/self/status, {told}]{key}}}\n")
    fabric.start()
    rights_are(fabric, "fabricfs-worker", WORKER, wanted)
    fabric.card().load(UPPER)
    lines = dict(line.split(":\t", 1) for line in told.read_text().splitlines() if ":\t" in line)
    assert bits(lines["CapEff"]) == bits(lines["CapPrm"]) == wanted & ours()
    assert bits(lines["CapAmb"]) == bits(lines["CapInh"]) == set() and lines["NoNewPrivs"] == "1"


@pytest.mark.parametrize("value, words", [
    ("[sys_amdin]", ["capabilities", "sys_amdin"]),
    ("sys_admin", ["capabilities", "list"]),
], ids=["unknown", "no list"])
def test_a_capability_that_does_not_exist_is_refused(tmp_path, value, words):
    path = tmp_path / "x.yaml"
    path.write_text(f"cards:\n  - {{name: odd, backend: command, verify: none, program: [/bin/true], capabilities: {value}}}\n")
    done = run([str(BIN), "check-config", str(path)])
    assert done.returncode == 1 and all(word in done.stderr for word in words), done.stderr
