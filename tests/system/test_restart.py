# SPDX-License-Identifier: Apache-2.0
"""The worker, the holder and the cards die; users notice a pause, not an error."""
import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time

import pytest

from harness import BIN, SLOW, need, put, run, until
from images import BLINK, REGS, UPPER, sha256

COPIES = int(os.environ.get("FABRICFS_KILL_COPIES", "200"))
# How often the worker is killed: one that starts slowly (ThreadSanitizer) gets nothing done in 100 ms.
KILL_S = float(os.environ.get("FABRICFS_KILL_MS", "100")) / 1000
IMAGES = (UPPER, REGS, BLINK)


def reader(fabric, folder):
    """A second process that reads `state` and a cached value in a loop, and says what went wrong."""
    script = ("import sys, signal\n"
              "n = bad = 0\n"
              "go = True\n"
              "def end(*_):\n    global go\n    go = False\n"
              "signal.signal(signal.SIGTERM, end)\n"
              "print('ready', flush=True)\n"
              "while go:\n"
              "    try:\n"
              "        with open(sys.argv[1]) as f: word = f.read().strip()\n"
              "        with open(sys.argv[2]) as f: sha = f.read().strip()\n"
              "        n += 1\n"
              "        if word not in ('configured', 'programming', 'unconfigured') or sha not in ['', *sys.argv[3:]]:\n"
              "            bad += 1; print('state', repr(word), repr(sha), flush=True)\n"
              "    except OSError as e:\n"
              "        bad += 1; print(e, flush=True)\n"
              "print(n, bad, flush=True)\n")
    process = subprocess.Popen([sys.executable, "-c", script, str(fabric.card().dir / "state"),
                                str(fabric.card().dir / "loaded/sha256"), *map(sha256, IMAGES)],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder)
    assert process.stdout.readline() == "ready\n"
    return process


class Killer(threading.Thread):
    """kill -9 of the worker every 100 ms (FABRICFS_KILL_MS), until it is told to stop."""

    def __init__(self, fabric):
        super().__init__()
        self.fabric, self.done, self.kills = fabric, threading.Event(), 0

    def run(self):
        while not self.done.wait(KILL_S):
            self.kills += self.fabric.kill("fabricfs-worker")


def test_the_worker_killed_every_100_ms_is_noticed_by_nobody(fpga, tmp_path):
    need("rsync")
    fabric = fpga()
    fabric.expect_errors = True
    card = fabric.card()
    tools = (["cp"], ["rsync", "--ignore-times"], ["install"])
    readers = reader(fabric, tmp_path)
    killer = Killer(fabric)
    killer.start()
    wrong = []
    try:
        for i in range(COPIES):
            image = IMAGES[i % 3 if i % 2 else (i + 1) % 3]
            tool = tools[i % 3]
            done = run([*tool, str(image), str(card.image)])
            if done.returncode:
                wrong.append(f"{i}: {tool[0]} exit {done.returncode}: {done.stderr.strip()} ({card.error})")
            elif card.sha != sha256(image):
                wrong.append(f"{i}: {tool[0]}: {card.sha} is loaded")
            elif card.image.read_bytes() != image.read_bytes():
                wrong.append(f"{i}: {tool[0]}: other bytes in image")
    finally:
        killer.done.set()
        killer.join()
        readers.send_signal(signal.SIGTERM)
        told = readers.communicate(timeout=60)[0]
    resent = {k: v for k, v in fabric.metrics().items() if k.startswith("fabricfs_resent_requests_total")}
    print(f"{COPIES} copies, {killer.kills} kills, reader: {told.strip()}, resent: {resent}")
    assert not wrong, "\n".join(wrong)
    reads, bad = map(int, told.split()[-2:])
    assert bad == 0, told
    assert reads > 100 and killer.kills >= COPIES // 20
    assert sum(resent.values()) >= min(20, COPIES // 10), f"too few requests met a dead worker: {resent}"
    programmed = [r for r in card.history() if r["event"] == "programmed"]
    assert all(r["result"] == "ok" for r in programmed)
    # history keeps the last 1,000 records
    want = [sha256(IMAGES[i % 3 if i % 2 else (i + 1) % 3]) for i in range(COPIES)][-1000:]
    assert [r["sha256"] for r in programmed] == want, "a copy was programmed twice or not at all"


def counter(card):
    """The free-running counter of `regs`: low half, then the high half kept by that read."""
    with open(card.dir / "io/regs", "rb", buffering=0) as f:
        low = struct.unpack("<H", os.pread(f.fileno(), 2, 4))[0]
        high = struct.unpack("<H", os.pread(f.fileno(), 2, 6))[0]
    return high << 16 | low


def test_the_design_runs_on_while_workers_die(fpga):
    fabric = fpga()
    fabric.expect_errors = True
    card = fabric.card()
    card.load(REGS)
    with open(card.dir / "io/regs", "r+b", buffering=0) as f:
        os.pwrite(f.fileno(), struct.pack("<H", 0xBEEF), 20)
    killer = Killer(fabric)
    killer.start()
    try:
        last, kills = counter(card), 0
        while killer.kills < 20:
            now = counter(card)
            assert now >= last, f"the counter fell from {last} to {now}: the design was started again"
            last, kills = now, killer.kills
    finally:
        killer.done.set()
        killer.join()
    assert last > 0 and kills
    with open(card.dir / "io/regs", "rb", buffering=0) as f:
        assert os.pread(f.fileno(), 2, 20) == struct.pack("<H", 0xBEEF)
        assert os.pread(f.fileno(), 2, 8) == struct.pack("<H", 1)  # one write since reset, not two
    assert len(fabric.processes("fabricfs-card")) == 1


def test_bytes_of_a_stream_are_neither_lost_nor_doubled_while_workers_die(fpga):
    fabric = fpga()
    fabric.expect_errors = True
    card = fabric.card()
    card.load(UPPER)
    data = b"".join(b"line %06d\n" % i for i in range(2000))
    rx = os.open(card.dir / "io/.rx", os.O_RDONLY | os.O_CLOEXEC)
    problems = []

    def write():
        try:
            put(card.dir / "io/tx", data, chunk=37, must=True)
        except OSError as e:
            problems.append(e)

    killer, writer, got = Killer(fabric), threading.Thread(target=write), b""
    killer.start()
    writer.start()
    try:
        while len(got) < len(data):
            assert select.select([rx], [], [], 30 * SLOW)[0], f"{len(got)} of {len(data)} came; {problems}"
            got += os.read(rx, 1000)
    finally:
        killer.done.set()
        killer.join()
        writer.join()
        os.close(rx)
    assert not problems
    assert got == data.upper()


def test_a_waiting_reader_and_an_open_upload_survive_the_worker(fpga):
    fabric = fpga()
    fabric.expect_errors = True
    card = fabric.card()
    card.load(BLINK)
    follow = subprocess.Popen(["head", "-n1", card.dir / ".follow"], stdout=subprocess.PIPE)
    until(lambda: "fuse" in open(f"/proc/{follow.pid}/wchan").read() or
          open(f"/proc/{follow.pid}/stat").read().rsplit(")", 1)[1].split()[0] in "SD", "head waits")
    fd = os.open(card.image, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    data = UPPER.read_bytes()
    os.write(fd, data[:10000])
    for _ in range(3):
        old = fabric.processes("fabricfs-worker")
        fabric.kill("fabricfs-worker")
        until(lambda: (now := fabric.processes("fabricfs-worker")) and now != old, "a new worker")
        assert card.state == "configured"
    os.write(fd, data[10000:])
    os.close(fd)
    assert card.sha == sha256(UPPER)
    line = follow.communicate(timeout=30)[0]
    assert json.loads(line)["event"] == "programmed" and json.loads(line)["sha256"] == sha256(UPPER)


def test_poll_wakes_after_the_worker_was_replaced(fpga):
    fabric = fpga()
    fabric.expect_errors = True
    card = fabric.card()
    card.load(BLINK)
    with open(card.dir / "state", "rb", buffering=0) as f:
        f.read(100)
        poller = select.poll()
        poller.register(f, select.POLLPRI)
        poller.poll(50)
        old = fabric.processes("fabricfs-worker")
        fabric.kill("fabricfs-worker")
        until(lambda: (now := fabric.processes("fabricfs-worker")) and now != old, "a new worker")
        f.seek(0)
        f.read(100)
        threading.Thread(target=card.load, args=(UPPER,)).start()
        assert poller.poll(20000)
        until(lambda: card.sha == sha256(UPPER), "loaded")


def test_a_container_does_not_notice(fpga, tmp_path):
    need("bwrap")
    fabric = fpga()
    fabric.expect_errors = True
    card = fabric.card()
    card.load(BLINK)
    script = ("import sys, time\nend = time.monotonic() + 2\nn = 0\n"
              "while time.monotonic() < end:\n"
              "    assert open('/fpga/dev0/state').read().strip() == 'configured'; n += 1\n"
              "print(n)\n")
    argv = ["bwrap", "--ro-bind", "/", "/", "--tmpfs", "/tmp", "--tmpfs", "/fpga", "--dev", "/dev", "--proc", "/proc",
            "--bind", str(card.dir), "/fpga/dev0", "--unshare-pid", sys.executable, "-c", script]
    if not os.path.isdir("/fpga"):
        argv[argv.index("/fpga") - 1:argv.index("/fpga") + 1] = []
        argv[argv.index("/fpga/dev0")] = "/tmp/dev0"
        argv[-1] = script.replace("/fpga/dev0", "/tmp/dev0")
    killer = Killer(fabric)
    killer.start()
    try:
        done = run(argv)
    finally:
        killer.done.set()
        killer.join()
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10 and killer.kills > (3 if KILL_S <= 0.1 else 0)


def test_the_card_process_killed_is_a_power_cut_and_it_gets_its_image_back(fpga):
    fabric = fpga()
    fabric.expect_errors = True
    card = fabric.card()
    card.load(UPPER)
    before = len(card.history())
    old = fabric.processes("fabricfs-card")
    assert fabric.kill("fabricfs-card") == 1
    until(lambda: (now := fabric.processes("fabricfs-card")) and now != old, "a new card process")
    until(lambda: card.state == "configured" and len(card.history()) > before, "restored")
    assert card.sha == sha256(UPPER)
    assert card.exchange(b"back again") == b"BACK AGAIN"


def test_everything_killed_and_started_again_is_as_before(fpga):
    fabric = fpga()
    fabric.expect_errors = True
    card = fabric.card()
    card.load(REGS)
    card.load(UPPER)
    card.write(b"refused")
    history = card.history()
    inode = os.stat(card.image).st_ino
    fabric.kill_all()
    fabric.start()
    card = fabric.card()
    card.wait_state("configured")
    assert card.sha == sha256(UPPER)
    assert card.image.read_bytes() == UPPER.read_bytes()
    assert os.stat(card.image).st_ino == inode
    assert card.history()[:len(history)] == history
    assert len(card.history()) > len(history)  # it says that the card was restored
    assert card.exchange(b"hello") == b"HELLO"
    assert card.ctl("rollback") == 0
    assert card.sha == sha256(REGS)


def test_a_clean_stop_and_start_restores_the_card(fpga):
    fabric = fpga(sim=3)
    fabric.card(1).load(UPPER)
    times = fabric.card(1).image.stat().st_mtime
    history = fabric.card(1).history()
    fabric.restart()
    fabric.card(1).wait_state("configured")
    assert fabric.card(1).sha == sha256(UPPER)
    assert fabric.card(0).state == "unconfigured" and fabric.card(2).state == "unconfigured"
    assert fabric.card(1).history()[:len(history)] == history
    assert fabric.card(1).exchange(b"x") == b"X"
    assert fabric.card(1).image.stat().st_mtime >= times


def test_a_card_keeps_its_number_when_others_go(fpga):
    config = "cards:\n" + "".join(f"  - {{name: {n}, backend: sim, part: iCE40-HX1K}}\n" for n in "abc")
    fabric = fpga(sim=None, config=config)
    assert [fabric.card(i).value("name") for i in range(3)] == ["a", "b", "c"]
    fabric.card(2).load(UPPER)
    fabric.stop()
    fabric.config_path.write_text(config.replace("  - {name: a, backend: sim, part: iCE40-HX1K}\n", "") +
                                  "  - {name: d, backend: sim, part: iCE40-HX1K}\n")
    fabric.start()
    names = {c["name"]: c["dev"] for c in fabric.status()["cards"]}
    assert names["b"] == "dev1" and names["c"] == "dev2" and names["d"] == "dev3", names
    fabric.card(2).wait_state("configured")
    assert fabric.card(2).sha == sha256(UPPER)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_holder_ends_it_cleanly(fpga, sig):
    fabric = fpga()
    fabric.card().load(UPPER)
    process = fabric.process
    process.send_signal(sig)
    assert process.wait(60) == 0
    assert not os.path.ismount(fabric.mount)
    until(lambda: not fabric.processes(), "nothing is left")
    fabric.start()
    fabric.card().wait_state("configured")
    assert fabric.card().sha == sha256(UPPER)


def test_unmounting_while_a_card_is_programmed_finishes_it_first(fpga):
    config = "cards:\n  - {name: slow, backend: sim, part: iCE40-HX1K, config_clock_hz: 200000}\n"
    fabric = fpga(sim=None, config=config)
    card = fabric.card()
    cp = subprocess.Popen(["cp", UPPER, card.image])
    card.wait_state("programming")
    fabric.process.send_signal(signal.SIGTERM)
    assert cp.wait(60) == 0
    assert fabric.process.wait(60) == 0
    fabric.start()
    fabric.card().wait_state("configured")
    assert fabric.card().sha == sha256(UPPER)


def test_the_names_in_ps(fpga):
    fabric = fpga()
    fabric.card().load(BLINK)
    names = sorted(open(f"/proc/{pid}/comm").read().strip() for pid in fabric.processes())
    assert names == ["fabricfs", "fabricfs-card", "fabricfs-worker"]
    worker, = fabric.processes("fabricfs-worker")
    holder, = fabric.processes("fabricfs")
    stat = open(f"/proc/{worker}/stat").read().rsplit(")", 1)[1].split()
    assert int(stat[1]) == holder
    # ThreadSanitizer has a thread of its own.
    assert len(os.listdir(f"/proc/{holder}/task")) == (2 if "tsan" in str(BIN) else 1)


def test_a_worker_that_cannot_start_ends_in_an_abort_not_in_a_hang(fpga):
    fabric = fpga()
    fabric.expect_errors = True
    fabric.expect_status = None
    holder, = fabric.processes("fabricfs")
    # The store is taken away, so that no successor can open it.
    hidden = fabric.folder / "hidden"
    os.rename(fabric.state_dir, hidden)
    fabric.state_dir.write_text("no folder")
    start = time.monotonic()
    fabric.kill("fabricfs-worker")
    with subprocess.Popen(["cat", fabric.card().dir / "state"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as cat:
        cat.communicate(timeout=60 * SLOW)
    assert time.monotonic() - start < 45 * SLOW
    until(lambda: holder not in fabric.processes(), "the holder gave up")
    fabric.process.wait(30)
    assert fabric.process.returncode == 1
    fabric.state_dir.unlink()
    os.rename(hidden, fabric.state_dir)
    fabric.kill_all()



def test_a_start_right_after_an_unmount_waits_for_the_one_that_ends(fpga):
    fabric = fpga()
    fabric.card().load(UPPER)
    for _ in range(5):
        old = fabric.process
        assert run(["umount", fabric.mount]).returncode == 0
        fabric.start()  # at once: the old one may still be writing
        assert fabric.card().sha == sha256(UPPER)
        assert old.wait(60) == 0
