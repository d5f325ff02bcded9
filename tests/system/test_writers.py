# SPDX-License-Identifier: Apache-2.0
"""Writers who do as they like with an open image, compared with bytes in memory."""
import errno
import os
import random
import threading

import pytest

from harness import SLOW
from images import large_hx1k, sha256

KILL_S = float(os.environ.get("FABRICFS_KILL_MS", "150")) / 1000
CONFIG = ("cards:\n  - {{name: a, backend: command, part: iCE40-HX1K, verify: none,"
          " program: [cp, \"%f\", {out}]}}\n")
PIECES = [1, 100, 4096, 65_535, 65_536, 65_537, 131_072, 262_144, 262_144, 262_144, 1 << 20]


class Writer:
    """One upload: whatever it does, the image is `data` in the end, and what it reads is what it wrote."""

    def __init__(self, card, data, r):
        self.data, self.r, self.at, self.trace = data, r, 0, []
        self.append = r.random() < .2
        self.fd = os.open(card.image, os.O_RDWR | os.O_TRUNC | (os.O_APPEND if self.append else 0))

    def put(self, at, n):
        got = os.write(self.fd, self.data[at:at + n]) if self.append else os.pwrite(self.fd, self.data[at:at + n], at)
        assert got == len(self.data[at:at + n])

    def forward(self):
        n = min(self.r.choice(PIECES), len(self.data) - self.at)
        self.put(self.at, n)
        self.at += n

    def leave_a_hole_for_a_moment(self):
        n, hole = self.r.choice(PIECES), self.r.randrange(1, 5000)
        if self.append or self.at + hole + n > len(self.data):
            return
        self.put(self.at + hole, n)
        self.put(self.at, hole)
        self.at += hole + n

    def write_again(self):
        if self.at and not self.append:
            begin = self.r.randrange(self.at)
            self.put(begin, min(self.at - begin, self.r.choice(PIECES)))

    def cut(self):
        self.at = self.r.randrange(self.at + 1)
        os.ftruncate(self.fd, self.at)

    def sync(self):
        os.fsync(self.fd)

    def read(self):
        if self.at:
            begin = self.r.randrange(self.at)
            n = self.r.choice([1, 5000, 300_000])
            assert os.pread(self.fd, n, begin) == self.data[begin:min(self.at, begin + n)]

    def close_a_copy(self):
        """As `(head; tail) > image` does."""
        copy = os.dup(self.fd)
        try:
            os.close(copy)
        except OSError as e:
            assert e.errno == errno.EBADMSG

    def run(self):
        others = [self.leave_a_hole_for_a_moment, self.write_again, self.cut, self.sync, self.read,
                  self.close_a_copy]
        try:
            while self.at < len(self.data):
                step = self.r.choice(others) if self.r.random() < .25 else self.forward
                self.trace.append(f"{step.__name__} at {self.at}")
                step()
        finally:
            os.close(self.fd)


def write_many(fabric, out, seed, count):
    r = random.Random(seed)
    images = [large_hx1k(size, seed) for size in (100_000, 900_000, 3_000_000)]
    card = fabric.card()
    for i in range(count):
        data = images[i % len(images)]
        writer = Writer(card, data, r)
        try:
            writer.run()
        except (OSError, AssertionError) as e:
            raise AssertionError(f"upload {i}: {e}: {card.error}; {writer.trace[-12:]}") from e
        assert card.sha == sha256(data) and out.read_bytes() == data, f"upload {i}: {writer.trace[-12:]}"


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_whatever_a_writer_does_the_card_gets_his_bytes(fpga, tmp_path, threads):
    out = tmp_path / "out"
    fabric = fpga(sim=None, config=CONFIG.format(out=out), options=["-o", f"threads={threads}"])
    write_many(fabric, out, threads, 30)


def test_whatever_a_writer_does_while_workers_die(fpga, tmp_path):
    out = tmp_path / "out"
    fabric = fpga(sim=None, config=CONFIG.format(out=out))
    fabric.expect_errors = True
    done = threading.Event()

    def kill():
        while not done.wait(KILL_S):
            fabric.kill("fabricfs-worker")
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        write_many(fabric, out, 9, max(3, int(15 / SLOW)))
    finally:
        done.set()
        killer.join()
