# SPDX-License-Identifier: Apache-2.0
"""Clocks that arise inside a simulated chip, seen through the mounted tree."""
import errno
import os

import pytest

from harness import need, put, until
from designs import DESIGNS, pin_map, synthesise

MANUAL = "cards:\n  - {name: bench, backend: sim, config_clock_hz: 0, clock: manual}\n"


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """build(design): its image on an HX1K, and the pins it uses."""
    need("yosys", "nextpnr-ice40", "icepack")
    folder = tmp_path_factory.mktemp("clocks")
    pcf = folder / "design.pcf"
    # 49 and 50 are the pads of the PLL
    pcf.write_text((DESIGNS / "designs.pcf").read_text()
                   .replace("out[6] 49", "out[6] 134").replace("out[7] 50", "out[7] 135"))

    def make(name):
        out = folder / f"{name}.bin"
        if not out.exists():
            synthesise(DESIGNS / f"{name}.v", pcf, out)
        return out, pin_map(pcf)
    return make


def number(card, names):
    """The pins of these names, the lowest bit first, as a number."""
    level = {line.split(" ")[0]: line.split(" ")[2] for line in card.read("io/pins").splitlines()}
    return sum(int(level[name]) << i for i, name in enumerate(names))


def write(card, text):
    assert put(card.dir / "io/pins", text.encode(), flags=os.O_WRONLY) == 0


def test_pll_of_a_card_without_a_clock_follows_the_pin(fpga, build):
    card = fpga(sim=None, config=MANUAL).card()
    image, pins = build("pll_rest")
    card.load(image)
    assert card.value("telemetry/plls") == "1"
    counter = [pins[f"out[{i}]"] for i in range(4, 8)]
    write(card, f"{pins['in[0]']} 1\n")
    for cycle in range(48):
        write(card, f"{pins['clk']} 1\n")
        write(card, f"{pins['clk']} 0\n")
        # 5/24 of the cycles begun so far, the first edge with the first of the pin
        assert number(card, counter) == -(-(cycle + 1) * 5 // 24) % 16, f"cycle {cycle}"


def test_pll_runs_with_a_clock_that_has_a_rate(fpga, build):
    config = "cards:\n  - {name: bench, backend: sim, config_clock_hz: 0, clock: 200000}\n"
    card = fpga(sim=None, config=config).card()
    image, pins = build("pll_2f_core")
    card.load(image)
    seen = set()

    def moved():
        seen.add(number(card, [pins[f"out[{i}]"] for i in range(8, 16)]))
        return len(seen) > 3
    until(moved, "the counters of the PLL's clocks move")


def test_what_is_not_modelled_of_a_pll_is_told_by_name(fpga, build):
    card = fpga(sim=None, config=MANUAL).card()
    image, _ = build("pll_divided")
    assert card.write(image.read_bytes()) == errno.EOPNOTSUPP
    assert "the PLL of tile 6,0 with a reference that is made by logic" in card.error
    assert card.state != "configured"


def test_design_that_never_rests_is_counted_and_leaves_the_card_usable(fpga, build):
    """A ring clocks a register, at each of 128 edges a cycle."""
    card = fpga(sim=None, config=MANUAL).card()
    image, pins = build("pll_ring")
    card.load(image)
    counter = [pins[f"out[{i}]"] for i in range(2, 16)]
    for cycle in range(3):
        write(card, f"{pins['clk']} 1\n")
        write(card, f"{pins['clk']} 0\n")
    assert (card.value("telemetry/loops"), card.value("telemetry/unsettled")) == ("1", "0")
    assert number(card, counter) == 3 * 64
    write(card, f"{pins['in[0]']} 1\n")
    for cycle in range(3):
        write(card, f"{pins['clk']} 1\n")
        write(card, f"{pins['clk']} 0\n")
    assert number(card, counter) == 6 * 64
    until(lambda: int(card.value("telemetry/unsettled")) > 100, "the ring is counted")
    write(card, f"{pins['in[0]']} 0\n")
    write(card, f"{pins['clk']} 1\n")
    write(card, f"{pins['clk']} 0\n")
    assert number(card, counter) == 7 * 64
