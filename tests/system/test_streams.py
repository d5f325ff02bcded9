# SPDX-License-Identifier: Apache-2.0
"""One writer of io/tx and one reader of io/rx at a time, and none that has gone already."""
import errno
import os
import subprocess
import sys

import pytest

from harness import put, shell
from images import UPPER


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
