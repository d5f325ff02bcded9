# SPDX-License-Identifier: Apache-2.0
"""io/pins: the pins of the package by their names, and a card whose clock is a pin like any other."""
import errno
import os

import pytest

from harness import run, shell, until
from images import BLINK, UPPER

MANUAL = "cards:\n  - {name: bench, backend: sim, clock: manual}\n"


def pins(card):
    """{name: (direction, level)}"""
    return {name: (way, level) for name, way, level in (line.split(" ") for line in
                                                        card.read("io/pins").splitlines())}


def drive(card, text):
    """0 or the errno."""
    fd = os.open(card.dir / "io/pins", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as e:
        return e.errno
    finally:
        os.close(fd)
    return 0


def test_every_pin_has_a_line_and_tools_read_them_all(card):
    card.load(UPPER)
    now = pins(card)
    assert now["21"] == ("in", "0") and now["121"] == ("out", "1") and now["73"] == ("off", "z")
    assert set(way for way, _ in now.values()) <= {"in", "out", "off"}
    done = run(["cat", str(card.dir / "io/pins")])
    assert done.stdout == card.read("io/pins") and len(done.stdout.splitlines()) == len(now)
    done = run(["grep", "-c", " out ", str(card.dir / "io/pins")])
    assert int(done.stdout) == sum(1 for way, _ in now.values() if way == "out")


def test_what_the_board_or_the_design_drives_is_not_the_users(card):
    card.load(UPPER)
    assert drive(card, "21 1\n") == errno.EBUSY
    assert drive(card, "143 1\n") == errno.EINVAL
    assert drive(card, "nonsense\n") == errno.EINVAL
    assert card.exchange(b"still") == b"STILL"


def test_an_open_of_pins_belongs_to_its_load(card):
    card.load(UPPER)
    with open(card.dir / "io/pins", "rb", buffering=0) as f:
        assert f.read(10)
        card.load(BLINK)
        with pytest.raises(OSError) as e:
            f.seek(0)
            f.read(10)
        assert e.value.errno == errno.ESTALE
    assert card.ctl("clear") == 0
    with pytest.raises(OSError) as e:
        card.read("io/pins")
    assert e.value.errno == errno.ENODEV


def test_a_counter_counts_the_edges_that_a_shell_makes(fpga):
    card = fpga(sim=None, config=MANUAL).card()
    card.load(UPPER)
    assert card.ctl("reset") == errno.EOPNOTSUPP
    assert not (card.dir / "io/tx").exists()
    # 'q' and valid at once, then one edge of the clock.
    done = shell(f"cd {card.dir}/io && printf '112 1\\n116 1\\n117 1\\n118 1\\n120 1\\n' > pins && "
                 "echo '21 1' > pins && echo '21 0' > pins && grep -E '^(13[4-9]|14[123]) ' pins")
    assert done.stderr == ""
    levels = [line.split()[2] for line in done.stdout.splitlines()]
    assert levels == list("100010" "10" "1")  # 0x51 is 'Q', least bit first; and valid
    assert card.value("telemetry/cycles") == "0"


def test_a_clock_with_a_rate_runs_while_nobody_asks(fpga):
    config = "cards:\n  - {name: bench, backend: sim, clock: 200000}\n"
    card = fpga(sim=None, config=config).card()
    card.load(BLINK)

    def cycles():
        return int(card.value("telemetry/cycles"))
    first = cycles()
    until(lambda: cycles() >= first + 50000, "a quarter of a second's cycles were run")
    card.load(UPPER)
    assert card.exchange(b"hello") == b"HELLO"
    # It is at rest now, and its clock costs nothing.
    before = cycles()
    assert card.value("io/rx") == ""
    assert cycles() < before + 100000
