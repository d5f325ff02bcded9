# SPDX-License-Identifier: Apache-2.0
"""Simulated cards of other parts than the usual one, side by side in one tree."""
import errno
import os
import random

import pytest

from harness import until
from images import EXAMPLES, HX8K, UPPER, sha256

LP384 = EXAMPLES / "upper-lp384" / "upper-lp384.bin"
UP5K = EXAMPLES / "upper-up5k" / "upper-up5k.bin"
ECHO = EXAMPLES / "echo-up5k" / "echo-up5k.bin"
CONFIG = ("cards:\n"
          "  - {name: big, backend: sim, part: iCE40-HX8K, config_clock_hz: 0}\n"
          "  - {name: small, backend: sim, part: iCE40-LP384}\n"
          "  - {name: usual, backend: sim}\n"
          "  - {name: ultraplus, backend: sim, part: iCE40-UP5K, config_clock_hz: 0}\n")
OWN = {"iCE40-HX8K": HX8K, "iCE40-LP384": LP384, "iCE40-HX1K": UPPER, "iCE40-UP5K": UP5K}


@pytest.fixture
def cards(fpga):
    fabric = fpga(sim=None, config=CONFIG)
    return {fabric.card(n).value("part"): fabric.card(n) for n in range(len(OWN))}


def say(card, text):
    (card.dir / "io" / "tx").write_bytes(text)
    fd = os.open(card.dir / "io" / ".rx", os.O_RDONLY)
    try:
        got = b""
        while len(got) < len(text):
            got += os.read(fd, len(text) - len(got))
        return got
    finally:
        os.close(fd)


def test_each_part_runs_its_own_image_and_refuses_those_of_the_others(cards):
    assert set(cards) == set(OWN)
    for part, card in cards.items():
        card.load(OWN[part])
        assert card.value("loaded/part") == part
        for other, image in OWN.items():
            if other != part:
                assert card.write(image.read_bytes()) == errno.EMEDIUMTYPE
                assert part in card.error and other in card.error
        assert card.sha == sha256(OWN[part])
    for part, card in cards.items():
        assert say(card, f"hello {part}".encode()) == f"HELLO {part.upper()}".encode()


def test_board_without_registers_offers_none(cards):
    for part, card in cards.items():
        card.load(OWN[part])
    assert sorted(n for n in os.listdir(cards["iCE40-HX8K"].dir / "io") if n != "pins") == ["rx", "tx"]
    with pytest.raises(OSError) as refused:
        open(cards["iCE40-LP384"].dir / "io" / "regs", "rb")
    assert refused.value.errno in (errno.ENOENT, errno.ENODEV)


def test_other_part_is_read_back_reset_and_cleared(cards):
    for part in ("iCE40-HX8K", "iCE40-UP5K"):
        read_back_reset_and_cleared(cards[part], OWN[part])


def read_back_reset_and_cleared(card, image):
    card.load(image)
    assert card.ctl("verify") == 0
    assert card.ctl("reset") == 0
    assert say(card, b"again") == b"AGAIN"
    assert card.ctl("clear") == 0 and card.state == "unconfigured"


def echo(samples):
    """What contrib/examples/echo-up5k makes of samples, and which of them it clips."""
    past, out, clipped = [], [], []
    for sample in samples:
        level = (sample - 128) * 256 + ((past[-2000] * 160) >> 8 if len(past) >= 2000 else 0)
        past.append(max(-32768, min(32767, level)))
        clipped.append(past[-1] != level)
        out.append((past[-1] >> 8) + 128)
    return bytes(out), clipped


def test_hard_blocks_of_an_ultraplus_work_together(cards):
    card = cards["iCE40-UP5K"]
    card.load(ECHO)
    used = {"sprams": "1", "dsps": "1", "rams": "0", "loops": "0"}
    until(lambda: {name: card.value(f"telemetry/{name}") for name in used} == used, "what the image uses")
    # quiet, then loud enough to clip now and then, ending in one that does
    rng = random.Random(5)
    samples = bytes(rng.randrange(100, 156) for _ in range(2500)) + rng.randbytes(3500)
    want, clipped = echo(samples)
    last = max(k for k, c in enumerate(clipped) if c) + 1
    assert sum(clipped[:2500]) == 0 and sum(clipped) > 100 and last > 5900
    assert say(card, samples[:last]) == want[:last]
    until(lambda: card.value("telemetry/ram_writes") == str(last), "every sample was kept")

    def lights():
        return {line.split()[0]: line.split()[2] for line in card.read("io/pins").splitlines()
                if line.split()[0] in ("39", "40", "41")}
    # low while lit, else released: clipped, and nothing waits any more
    assert lights() == {"39": "0", "40": "z", "41": "z"}
    # A reset of the design forgets the past, as it says itself.
    assert card.ctl("reset") == 0 and lights()["39"] == "z"
    assert say(card, samples[:2000]) == samples[:2000]
