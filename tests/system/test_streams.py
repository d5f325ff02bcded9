# SPDX-License-Identifier: Apache-2.0
"""One writer of io/tx and one reader of io/rx at a time, and none that has gone already."""
import errno
import os
import select
import subprocess
import sys

import pytest

from harness import LIMIT, put, shell
from images import ROOT, UPPER


def test_who_opens_after_a_close_does_not_meet_the_one_who_closed(card):
    card.load(UPPER)
    # The kernel's last word of a close waits in one queue with those of all other closes.
    script = f"while True: open('{card.dir}/telemetry/cycles').close(); open('{card.dir}/history').close()"
    others = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(6)]
    try:
        for n in range(300):
            put(card.dir / "io/tx", b"a", must=True)
            fd = os.open(card.dir / "io/.rx", os.O_RDONLY)
            assert os.read(fd, 1) == b"A", n
            os.close(fd)
    finally:
        for other in others:
            other.kill()
            other.wait()
    # As scripts do it; each command ends as soon as its close was answered.
    done = shell(f"cd {card.dir}/io && for i in $(seq 100 199); do printf x$i > tx && cat rx || exit 1; done")
    assert done.returncode == 0 and done.stdout == "".join(f"X{i}" for i in range(100, 200)), done.stderr


def test_the_clock_runs_for_who_only_polls(card):
    # It is never quiet, and sends a number every 65,536 cycles once it is told to.
    card.load(ROOT / "tests" / "data" / "talker.bin")
    put(card.dir / "io/regs", b"\x01\x00", flags=os.O_WRONLY, must=True)
    rx = os.open(card.dir / "io/.rx", os.O_RDONLY)
    got = b""
    try:
        while len(got) < 50:
            assert select.select([rx], [], [], LIMIT)[0], f"after {len(got)} bytes nothing came"
            got += os.read(rx, 300)
    finally:
        os.close(rx)
    assert got == bytes((got[0] + n) & 255 for n in range(len(got)))


@pytest.mark.parametrize("name, flags", [("tx", os.O_WRONLY), ("rx", os.O_RDONLY)])
def test_a_second_one_is_refused_as_long_as_the_first_has_it(card, name, flags):
    card.load(UPPER)
    first = os.open(card.dir / "io" / name, flags)
    try:
        for closed in (False, True):
            if closed:
                os.close(os.dup(first))  # a close, but not of the last descriptor
            with pytest.raises(OSError) as refused:
                os.close(os.open(card.dir / "io" / name, flags))
            assert refused.value.errno == errno.EBUSY
    finally:
        os.close(first)
    os.close(os.open(card.dir / "io" / name, flags))
