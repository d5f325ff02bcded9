# SPDX-License-Identifier: Apache-2.0
"""The simulated fabric against the truth: designs of all sorts, run as their sources (designs.py)."""
import lzma
import pathlib
import random
import re
import shutil
import subprocess

import pytest

from designs import (  # noqa: F401
    compare, DESIGNS, drive, EXAMPLES, needs_iverilog, needs_tools, PARTS, pin_map, reference, ROOT,
    run, SEED, synthesise)


@needs_iverilog
@pytest.mark.parametrize("name", ["blink", "upper", "regs"])
def test_example_image_does_what_its_source_says(name, drive, tmp_path):
    print(f"FABRICFS_SEED={SEED}")
    folder = EXAMPLES / name
    changes = compare(drive, folder / f"{name}.v", folder / f"{name}.bin",
                      EXAMPLES / "board-tq144.pcf", tmp_path, random.Random(f"{SEED} {name}"), 5000)
    assert changes > 100 or name == "blink"


@needs_iverilog
@pytest.mark.parametrize("name, part, pcf", [("upper-hx8k", "iCE40-HX8K", "board-ct256.pcf"),
                                             ("upper-lp384", "iCE40-LP384", "board-cm49.pcf"),
                                             ("upper-up5k", "iCE40-UP5K", "board-sg48.pcf")])
def test_example_image_of_another_part_does_what_its_source_says(name, part, pcf, drive, tmp_path):
    print(f"FABRICFS_SEED={SEED}")
    folder = EXAMPLES / name
    assert compare(drive, EXAMPLES / "upper/upper.v", folder / f"{name}.bin", folder / pcf, tmp_path,
                   random.Random(f"{SEED} {name}"), 5000, part) > 100


def test_example_image_for_another_part_is_refused_naming_both(drive):
    done = subprocess.run([drive, EXAMPLES / "upper-hx8k/upper-hx8k.bin"], input="",
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert "iCE40-HX8K" in done.stderr and "iCE40-HX1K" in done.stderr


@needs_tools
@pytest.mark.parametrize(
    "name", ["counter", "lfsr", "uart", "fifo", "perceptron", "clocks", "divided", "chains", "latch", "ram", "io",
             "io_enable"])
def test_design_runs_as_its_source_for_thousands_of_cycles(name, drive, tmp_path):
    print(f"FABRICFS_SEED={SEED}")
    source, pcf = DESIGNS / f"{name}.v", DESIGNS / "designs.pcf"
    synthesise(source, pcf, tmp_path / "design.bin")
    changes = compare(drive, source, tmp_path / "design.bin", pcf, tmp_path,
                      random.Random(f"{SEED} {name}"), 10000)
    assert changes > 1000


@needs_tools
@pytest.mark.parametrize("name, part, pin", [
    ("pll_core", "iCE40-HX1K", "21"), ("pll_2f_core", "iCE40-HX1K", "21"),
    ("pll_pad", "iCE40-HX1K", "49"), ("pll_2f_pad", "iCE40-HX1K", "49"),
    ("pll_2_pad", "iCE40-HX1K", "49"),
    ("pll_2f_core", "iCE40-HX8K", "J3"), ("pll_pad", "iCE40-HX8K", "R9"),
    ("pll_2f_pad", "iCE40-HX8K", "F7"),
    ("pll_core", "iCE40-UP5K", "47"), ("pll_2_pad", "iCE40-UP5K", "35")])
def test_clocks_of_a_pll_have_their_exact_ratio(name, part, pin, drive, tmp_path):
    """Types PAD have the clock on the pad of their output A; an HX8K has two PLLs."""
    print(f"FABRICFS_SEED={SEED}")
    pcf = tmp_path / "design.pcf"
    text = re.sub(r"(?m)^set_io clk \S+", f"set_io clk {pin}", (DESIGNS / PARTS[part][1]).read_text())
    # not on the pads that a PLL takes
    pcf.write_text(text.replace("out[6] 49", "out[6] 134").replace("out[7] 50", "out[7] 135")
                   .replace("out[9] 37", "out[9] 48"))
    synthesise(DESIGNS / f"{name}.v", pcf, tmp_path / "design.bin", part)
    changes = compare(drive, DESIGNS / f"{name}.v", tmp_path / "design.bin", pcf, tmp_path,
                      random.Random(f"{SEED} {name}"), 10000, part)
    assert changes > 1000


@needs_tools
def test_plls_in_a_row_multiply_and_never_drift(drive, tmp_path):
    synthesise(DESIGNS / "pll_chain.v", DESIGNS / "designs-ct256.pcf", tmp_path / "design.bin",
               "iCE40-HX8K")
    pins, cycles = pin_map(DESIGNS / "designs-ct256.pcf"), 40000
    text = "clk {}\nin {}\nout {}\n{}".format(
        pins["clk"], pins["rst"], " ".join(pins[f"out[{i}]"] for i in reversed(range(16))),
        "0\n" * cycles)
    got = run(drive, tmp_path / "design.bin", "iCE40-HX8K", input=text).split()
    # the n-th rising edge is n * 16/15 cycles after the first, which is the board's first
    assert [int(line, 2) for line in got] == [-(-(k + 1) * 15 // 16) for k in range(cycles)]


@pytest.fixture(scope="module")
def pll_rest(tmp_path_factory):
    if shutil.which("nextpnr-ice40") is None:
        pytest.skip("needs iverilog, yosys, nextpnr-ice40 and icepack (make deps-check)")
    folder = tmp_path_factory.mktemp("pll_rest")
    pcf = folder / "design.pcf"
    pcf.write_text((DESIGNS / "designs.pcf").read_text()
                   .replace("out[6] 49", "out[6] 134").replace("out[7] 50", "out[7] 135"))
    synthesise(DESIGNS / "pll_rest.v", pcf, folder / "design.bin")
    pins = pin_map(pcf)
    return folder / "design.bin", "clk {}\nin {}\nout {}\n".format(
        pins["clk"], " ".join(pins[f"in[{i}]"] for i in (8, 1, 0)),
        " ".join(pins[f"out[{i}]"] for i in reversed(range(16))))


def test_clocks_of_a_pll_go_on_through_cycles_that_are_not_run(pll_rest, drive):
    """At rest nothing is evaluated, and yet everything is as if it were."""
    image, head = pll_rest
    rng, stepped, skipped, marks = random.Random(SEED), "", "", []
    print(f"FABRICFS_SEED={SEED}")
    for _ in range(30):
        rest = rng.randint(200, 700)
        active = "".join(f"{rng.getrandbits(2):02b}1\n" for _ in range(rng.randint(1, 40)))
        stepped += active + "010\n" * rest + "counters\n"
        # it is quiet after some, so most of the rest is skipped
        skipped += active + "010\n" * 120 + f"cycles {rest - 120}\ncounters\n"
        marks.append(active.count("\n"))
    for text in ("010\n" * 100, "cycles 1000000007\ncounters\n", "001\n" * 100):
        skipped += text
    one, two = (run(drive, image, input=head + text).split("\n") for text in (stepped, skipped))
    at = [0, 0]
    for active in marks:
        for which, lines in enumerate((one, two)):
            end = next(i for i in range(at[which], len(lines)) if " " in lines[i])
            at[which] = end + 1
        assert one[at[0] - 1] == two[at[1] - 1]
        assert one[at[0] - 2] == two[at[1] - 2]
        assert one[at[0] - 1].endswith("quiet")
    # and 5/24 of a billion cycles later both still have their phase: the falling edges of b
    # (5/48) are where a count from the very first edge has them
    total = int(two[at[1] + 101].split()[0])
    nb = [int(line[12:], 2) for line in two[at[1] + 102:at[1] + 202]]
    falls = [-(-(k * 10 - 48) // 96) for k in range(total, total + 101)]
    assert [(n - nb[0]) % 16 for n in nb] == [(f - falls[1]) % 16 for f in falls[1:]]


def test_pll_follows_a_clock_pin_that_a_host_writes(pll_rest, drive):
    """Each edge lets half a period pass, so by hand comes to the same as by clock."""
    image, head = pll_rest
    # by hand a level is there before the edge that comes with it, by clock after it: no edge
    # of the PLL lies between 0 and 2.4
    lines = ["000", "000"] + ["011"] * 498
    run_by = [run(drive, image, input=head + "".join(f"{how}{line}\n" for line in lines) + "counters\n")
              for how in ("", "hand ")]
    clocked, by_hand = (text.split("\n") for text in run_by)
    assert [line[8:] for line in clocked[:500]] == [line[8:] for line in by_hand[:500]]
    assert len(set(by_hand[:500])) > 20
    assert clocked[500].split()[1:3] == by_hand[500].split()[1:3]


def test_upset_leaves_the_clocks_of_a_pll_where_they_were(pll_rest, drive):
    image, head = pll_rest
    plain = "001\n" * 300
    hit = "001\n" * 99 + "upset 0 0 0\n" + "001\n" * 101 + "upset 0 0 0\n" + "001\n" * 100
    assert run(drive, image, input=head + plain) == run(drive, image, input=head + hit)


@needs_tools
@pytest.mark.parametrize("name, package, sentence", [
    ("pll_divided", "tq144", "the PLL of tile 6,0 with a reference that is made by logic"),
    ("pll_2f_core", "vq100", "the PLL of tile 6,0, which is not connected in package vq100")])
def test_pll_that_could_not_run_is_refused_by_name(name, package, sentence, drive, tmp_path):
    pcf = tmp_path / "design.pcf"
    pcf.write_text((DESIGNS / "designs.pcf").read_text()
                   .replace("out[6] 49", "out[6] 134").replace("out[7] 50", "out[7] 135"))
    synthesise(DESIGNS / f"{name}.v", pcf, tmp_path / "design.bin")
    done = subprocess.run([drive, tmp_path / "design.bin", "iCE40-HX1K", package], input="",
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert sentence in done.stderr


def ram_clock_edges(asc):
    """{WRITE_MODE: port} of the block RAMs of an 8k or 5k image with a falling clock, by
    silicon's rule: NegClk of the lower tile is the read port's, of the upper the write
    port's."""
    tiles = {}
    for kind, x, y, rows in re.findall(r"^\.(ram[bt])_tile (\d+) (\d+)\n((?:[01]+\n)+)",
                                       asc.read_text(), re.M):
        tiles[kind, int(x), int(y)] = rows.split()
    edges = {}
    for (kind, x, y), rows in tiles.items():
        if rows[0][0] == "1":
            upper = rows if kind == "ramt" else tiles["ramt", x, y + 1]
            mode = int(upper[1][7]) + 2 * int(upper[0][7])
            edges[mode] = "read" if kind == "ramb" else "write"
    return edges


@needs_tools
@pytest.mark.parametrize("part, name", [
    *(("iCE40-HX8K", n) for n in ("counter", "lfsr", "uart", "fifo", "perceptron", "ram", "io")),
    *(("iCE40-LP384", n) for n in ("counter", "lfsr", "uart", "clocks")),
    *(("iCE40-UP5K", n) for n in ("counter", "lfsr", "uart", "fifo", "perceptron", "clocks", "divided",
                                  "chains", "latch", "ram", "io", "spram"))])
def test_design_for_another_part_runs_as_its_source(part, name, drive, tmp_path):
    print(f"FABRICFS_SEED={SEED}")
    source, pcf = DESIGNS / f"{name}.v", DESIGNS / PARTS[part][1]
    synthesise(source, pcf, tmp_path / "design.bin", part)
    if name == "ram":
        # nextpnr-ice40 before its pull request 1128 sets NegClk of the wrong port on all
        # dies but the 1k. The device does what the bits say, so the truth is the source with them.
        edges = ram_clock_edges(tmp_path / "design.asc")
        assert edges in ({1: "read", 0: "write"}, {1: "write", 0: "read"})
        text = source.read_text()
        if edges[1] == "write":
            swap = {"KNR": "KNW", "KNW": "KNR", ".RCLK(": ".RCLKN(", ".RCLKN(": ".RCLK(",
                    ".WCLK(": ".WCLKN(", ".WCLKN(": ".WCLK("}
            head, tail = re.match(r"(.*?)(\tSB_RAM40_4KN.*)", text, re.S).groups()
            text = head + re.sub(r"KN[RW]|\.[RW]CLKN?\(", lambda m: swap[m.group()], tail)
        source = tmp_path / "ram.v"
        source.write_text(text)
    changes = compare(drive, source, tmp_path / "design.bin", pcf, tmp_path,
                      random.Random(f"{SEED} {name} {part}"), 5000, part)
    assert changes > 500


# What of an UltraPlus has no model: instance, and how the refusal names it.
NOT_MODELLED = {
    "I2C": ("""SB_I2C #(.I2C_SLAVE_INIT_ADDR("0b1111100001"), .BUS_ADDR74("0b0001")) block (
        .SBCLKI(clk), .SBRWI(in[0]), .SBSTBI(in[1]), .SBADRI0(in[2]), .SBADRI4(1'b1), .SBDATI0(in[3]),
        .SBDATO0(o), .SCLI(in[4]), .SDAI(in[5]));""", r"I2C \(\w+ at tile 0,|I2C \(\w+ at tile 1\d,31"),
    "SPI": ("""SB_SPI #(.BUS_ADDR74("0b0000")) block (
        .SBCLKI(clk), .SBRWI(in[0]), .SBSTBI(in[1]), .SBADRI0(in[2]), .SBDATI0(in[3]), .SBDATO0(o),
        .MI(in[4]), .SI(in[5]), .SCKI(in[6]), .SCSNI(in[7]));""", r"SPI \(\w+ at tile \d+,"),
    "LEDDA_IP": ("""SB_LEDDA_IP block (.LEDDCS(in[0]), .LEDDCLK(clk), .LEDDDAT0(in[1]),
        .LEDDDEN(in[2]), .LEDDEXE(in[3]), .PWMOUT0(o));""", r"LEDDA_IP \(PWMOUT0 at tile 0,28\)"),
    "trimmed HFOSC": ("""SB_HFOSC #(.TRIM_EN("0b1")) block (.CLKHFPU(1'b1), .CLKHFEN(1'b1), .CLKHF(o),
        .TRIM0(in[0]));""", r"HFOSC of tile 0,31 with TRIM_EN"),
    "latched input": ("""SB_IO #(.PIN_TYPE(6'b000011)) block (.PACKAGE_PIN(in[10]),
        .LATCH_INPUT_VALUE(in[0]), .D_IN_0(o));""", r"a latched input at pad [01] of IO tile \d+,0"),
}


@needs_tools
@pytest.mark.parametrize("name", NOT_MODELLED)
def test_block_without_a_model_is_refused_by_name_and_tile(name, drive, tmp_path):
    instance, named = NOT_MODELLED[name]
    (tmp_path / "top.v").write_text(f"""
        module top(input clk, input [15:0] in, output out);
        wire o; wire [30:0] x;
        {instance}
        reg q = 0; always @(posedge {'o' if 'OSC' in name else 'clk'}) q <= q ^ o ^ in[9];
        assign out = q;
        endmodule""")
    pcf = tmp_path / "top.pcf"
    pcf.write_text((DESIGNS / "designs-sg48.pcf").read_text() + "set_io out 47\n")
    synthesise(tmp_path / "top.v", pcf, tmp_path / "design.bin", "iCE40-UP5K")
    done = subprocess.run([drive, tmp_path / "design.bin", "iCE40-UP5K"], input="",
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(named, done.stderr) and "does not have" in done.stderr


@needs_tools
@pytest.mark.parametrize("divider, mhz", [("0b00", 48), ("0b11", 6)])
def test_oscillators_run_at_their_ratio_to_a_board_clock_that_nobody_uses(divider, mhz, drive,
                                                                         tmp_path):
    """The board's is 12 MHz; the slow one has 10 kHz, and begins half a cycle after the first
    edge because its enable comes with that."""
    source, pcf = tmp_path / "oscillators.v", DESIGNS / "designs-sg48.pcf"
    source.write_text((DESIGNS / "oscillators.v").read_text().replace("`CLKHF_DIV", f'"{divider}"'))
    synthesise(source, pcf, tmp_path / "design.bin", "iCE40-UP5K")
    pins, cycles = pin_map(pcf), 10000
    head = "clk {}\nin {}\nout {}\n".format(
        pins["clk"], pins["in[0]"], " ".join(pins[f"out[{i}]"] for i in reversed(range(16))))
    got = run(drive, tmp_path / "design.bin", "iCE40-UP5K", input=head + "1\n" * cycles).split()
    for k, line in enumerate(got):
        # edges before the end of cycle k: the first at its beginning, 12/mhz cycles apart
        fast, pll = (-(-(k + 1) * num // den) for num, den in ((mhz, 12), (mhz * 41, 12 * 32)))
        slow = (2 * k + 1) // 2400 + 1
        assert line == f"{pll % 16:04b}{slow % 16:04b}{fast % 256:08b}", f"cycle {k}"
    if mhz != 48:
        return
    # DIVQ 5 -> 1, then DIVF 40 -> 104: 210 times the board's clock, which nothing here has.
    # An upset is no refusal: that clock stands still, and the others go on.
    text = head + "1\n" * 10 + "upset 1 12 609\n" + "1\n" * 10 + "upset 1 15 609\n" + "1\n" * 10
    got = run(drive, tmp_path / "design.bin", "iCE40-UP5K", input=text).split()
    assert [int(line[8:], 2) for line in got] == [4 * (k + 1) for k in range(30)]
    plls = [int(line[:4], 2) for line in got]
    assert plls[:10] == [-(-(k + 1) * 41 // 8) % 16 for k in range(10)]
    assert [(b - a) % 16 for a, b in zip(plls[11:19], plls[12:20])] == [82 % 16] * 8
    assert len(set(plls[20:])) == 1


@needs_tools
def test_ring_that_never_rests_is_counted_and_stops_nothing_else(drive, tmp_path):
    synthesise(DESIGNS / "ring.v", DESIGNS / "designs.pcf", tmp_path / "ring.bin")
    pins = pin_map(DESIGNS / "designs.pcf")
    text = "clk {}\nin {} {}\nout {}\ninfo\n{}info\n".format(
        pins["clk"], pins["rst"], pins["in[0]"],
        " ".join(pins[f"out[{i}]"] for i in reversed(range(1, 16))), "00\n" * 10 + "01\n" * 10)
    done = subprocess.run([drive, tmp_path / "ring.bin"], input=text, capture_output=True, text=True,
                          timeout=20, check=True)
    assert [int(line, 2) for line in done.stdout.split()] == list(range(1, 21))
    loops = [int(n) for n in re.findall(r"loops (\d+)", done.stderr)]
    unsettled = [int(n) for n in re.findall(r"unsettled (\d+)", done.stderr)]
    assert loops == [1, 1]
    assert unsettled[0] == 0 and unsettled[1] >= 10


@needs_tools
def test_design_that_never_rests_gives_others_a_turn_after_each_cycle(drive, tmp_path):
    """Such a cycle takes thousands of evaluations: a stride of them would be a card that is deaf."""
    synthesise(DESIGNS / "restless.v", DESIGNS / "designs.pcf", tmp_path / "design.bin")
    pins = pin_map(DESIGNS / "designs.pcf")
    outs = " ".join(pins[f"out[{i}]"] for i in reversed(range(2, 16)))
    text = (f"clk {pins['clk']}\nin {pins['in[0]']}\nout {outs}\n"
            "0\nstride 1000\n1\nstride 1000\nstride 1000\ncycles 10\n")
    got = run(drive, tmp_path / "design.bin", input=text).split()
    assert [got[1], got[3], got[4]] == ["1000", "1", "1"]
    # and who wants a number of cycles gets them all
    assert int(got[5], 2) == 1 + 1000 + 1 + 1 + 1 + 10


@needs_tools
def test_pad_in_both_directions_has_the_level_of_whoever_drives_it(drive, tmp_path):
    synthesise(DESIGNS / "tristate.v", DESIGNS / "designs.pcf", tmp_path / "pads.bin")
    pins = pin_map(DESIGNS / "designs.pcf")
    rng, lines, want, enabled = random.Random(SEED), [], [], 0
    for _ in range(200):
        value, enable, outside0, outside1 = (rng.getrandbits(1) for _ in range(4))
        lines.append(f"{value}{enable}{outside0}{outside1}\n")
        # a cycle brings the inputs with its rising edge: the register has the one before
        plain, registered = value if enable else outside0, value if enabled else outside1
        want.append(f"{plain}{registered}{plain}{registered}")
        enabled = enable
    text = "clk {}\nin {} {} {} {}\nout {} {} {} {}\n".format(
        *(pins[n] for n in ("clk", "in[0]", "in[1]", "out[0]", "out[1]",
                            "out[0]", "out[1]", "out[2]", "out[3]")))
    assert run(drive, tmp_path / "pads.bin", input=text + "".join(lines)).split() == want


@needs_tools
def test_single_port_ram_saves_power_as_its_usage_guide_says(drive, tmp_path):
    (tmp_path / "top.v").write_text("""
        module top(input clk, input [15:0] in, output [15:0] out);
        SB_SPRAM256KA ram (.ADDRESS({in[2], 12'b0, in[1]}), .DATAIN({in[7:0], in[15:8]}),
            .MASKWREN(4'hf), .WREN(in[8]), .CHIPSELECT(in[9]), .CLOCK(clk), .STANDBY(in[10]),
            .SLEEP(in[11]), .POWEROFF(~in[12]), .DATAOUT(out));
        endmodule""")
    pcf = DESIGNS / "designs-sg48.pcf"
    synthesise(tmp_path / "top.v", pcf, tmp_path / "design.bin", "iCE40-UP5K")
    rng, words, now, out, lines, want, seen = random.Random(SEED), {}, 0, 0, [], [], set()
    for _ in range(1000):
        # the edge sees the inputs before it ...
        standby, sleep, off = now >> 10 & 1, now >> 11 & 1, now >> 12 & 1
        if now >> 9 & 1 and not (standby or sleep or off):
            at = now >> 1 & 3
            if now >> 8 & 1:
                words[at] = (now & 0xff) << 8 | now >> 8
            else:
                out = words.get(at, 0)
                seen.add(("read", out != 0))
        # ... and what takes effect at once comes with the new ones
        now = rng.getrandbits(16) & ~0x1c00 | 0x200
        now |= rng.choice((0, 0, 0, 0, 0, 0x400, 0x800, 0x1000 if rng.random() < 0.2 else 0))
        if now & 0x1800:
            out = 0
        if now & 0x1000:
            words = {}
        seen.add(now & 0x1c00)
        lines.append(f"{now:016b}\n")
        want.append(f"{out:016b}")
    assert len(seen) == 6, "every state was met"
    pins = pin_map(pcf)
    text = "clk {}\nin {}\nout {}\n".format(
        pins["clk"], *(" ".join(pins[f"{p}[{i}]"] for i in reversed(range(16))) for p in ("in", "out")))
    print(f"FABRICFS_SEED={SEED}")
    assert run(drive, tmp_path / "design.bin", "iCE40-UP5K", input=text + "".join(lines)).split() == want


@needs_tools
@pytest.mark.parametrize("part", PARTS)
def test_pin_that_nobody_drives_is_what_the_image_pulls_it_to(part, drive, tmp_path):
    (tmp_path / "top.v").write_text("""
        module top(input clk, input [3:0] in, output [3:0] out, inout both);
        SB_IO #(.PIN_TYPE(6'b101001), .PULLUP(1'b1)) pad (.PACKAGE_PIN(both), .D_OUT_0(in[3]),
            .OUTPUT_ENABLE(in[2]), .D_IN_0(out[2]));
        assign {out[3], out[1:0]} = {in[3], in[1:0]};
        endmodule""")
    pins = pin_map(DESIGNS / PARTS[part][1])
    pcf = tmp_path / "top.pcf"
    pcf.write_text(f"set_io clk {pins['clk']}\nset_io both {pins['in[8]']}\n" + "".join(
        f"set_io {'-pullup yes ' if name == 'in[0]' else ''}{name} {pins[name]}\n"
        for name in [f"{p}[{k}]" for p in ("in", "out") for k in range(4)]))
    synthesise(tmp_path / "top.v", pcf, tmp_path / "design.bin", part)
    outs = " ".join(pins[f"out[{k}]"] for k in (3, 2, 1, 0))
    text = (f"clk {pins['clk']}\nin {pins['in[3]']}\nout {outs}\n0\n1\n"
            f"in {pins['in[1]']} {pins['in[0]']}\n11\n00\n10\n01\n"
            f"in {pins['in[2]']} {pins['in[8]']}\n10\n00\n01\n")
    assert run(drive, tmp_path / "design.bin", part, input=text).split() == [
        "0101", "1101",                      # pulled up, and not
        "1111", "1100", "1110", "1101",      # driven from outside
        "1101", "1001", "1101"]              # the pad in both directions: by the design, 0, 1


def tile_bits_set(asc, tile, bits):
    head, rows = re.match(rf"(.*\.{tile}\n)(.*)", asc.read_text(), re.S).groups()
    rows = rows.split("\n")
    for row, column in bits:
        assert rows[row][column] == "0"
        rows[row] = rows[row][:column] + "1" + rows[row][column + 1:]
    asc.write_text(head + "\n".join(rows))


def lights_pcf(path):
    """Pins of a design with inputs only, beside the three that can light something."""
    inputs = re.findall(r"^set_io (?:clk|in).*\n", (DESIGNS / "designs-sg48.pcf").read_text(), re.M)
    path.write_text("".join(inputs) + "set_io led[0] 39\nset_io led[1] 40\nset_io led[2] 41\n")
    return path


# what is low, of the inputs of a cycle; the design that makes it so
LIGHTS = {
    "driver": (lambda bit: [bit(0) & bit(1) & bit(2), bit(0) & bit(1) & bit(3), 0],
               """SB_RGBA_DRV #(.RGB0_CURRENT("0b000001"), .RGB1_CURRENT("0b111111"),
                   .RGB2_CURRENT("0b000000")) driver (.CURREN(in[0]), .RGBLEDEN(in[1]), .RGB0PWM(in[2]),
                   .RGB1PWM(in[3]), .RGB2PWM(in[4]), .RGB0(led[0]), .RGB1(led[1]), .RGB2(led[2]));"""),
    "output": (lambda bit: [1 - bit(0), 1 - bit(1), bit(4) & (1 - bit(2))],
               """assign led[1:0] = in[1:0];
                  SB_IO #(.PIN_TYPE(6'b101001)) pad (.PACKAGE_PIN(led[2]), .D_OUT_0(in[2]),
                                                     .OUTPUT_ENABLE(in[4]));"""),
    # nextpnr-ice40 0.4 gives a pad to one of them, so the bits of a bidirectional pad are set
    # by hand; without routes it has OUT_ENB 1 and D_OUT_0 0, or is read only
    "both": (lambda bit: [1, bit(0) & bit(1) & bit(3), 0], None),
}


@needs_tools
@pytest.mark.parametrize("name", LIGHTS)
def test_pads_of_the_led_driver_only_sink(name, drive, tmp_path):
    low, body = LIGHTS[name][0], LIGHTS[name][1] or LIGHTS["driver"][1]
    (tmp_path / "top.v").write_text(
        f"module top(input clk, input [15:0] in, inout [2:0] led);\n{body}\nendmodule\n")
    pcf = lights_pcf(tmp_path / "top.pcf")
    synthesise(tmp_path / "top.v", pcf, tmp_path / "design.bin", "iCE40-UP5K")
    if name == "both":
        # PINTYPE of the first pad: 100101, an output as OUT_ENB says, and a plain input; of the
        # second 000001, the input alone
        tile_bits_set(tmp_path / "design.asc", "io_tile 4 31", [(3, 17), (0, 16), (4, 17)])
        tile_bits_set(tmp_path / "design.asc", "io_tile 5 31", [(3, 17)])
        run("icepack", tmp_path / "design.asc", tmp_path / "design.bin")
    rng, lines, want = random.Random(SEED), [], []
    for _ in range(300):
        now, outside = rng.getrandbits(16) | rng.choice((0, 3)), rng.getrandbits(3)
        lines.append(f"{now:016b}{outside:03b}\n")
        want.append("".join(str(0 if on else outside >> k & 1) for k, on in
                            reversed(list(enumerate(low(lambda i: now >> i & 1))))))
    pins = pin_map(pcf)
    leds = " ".join(pins[f"led[{k}]"] for k in (2, 1, 0))
    text = "clk {}\nin {} {leds}\nout {leds}\n".format(
        pins["clk"], " ".join(pins[f"in[{i}]"] for i in reversed(range(16))), leds=leds)
    assert run(drive, tmp_path / "design.bin", "iCE40-UP5K", input=text + "".join(lines)).split() == want


@needs_tools
def test_multipliers_that_synthesis_makes_run_as_their_source(drive, tmp_path):
    print(f"FABRICFS_SEED={SEED}")
    source, pcf = DESIGNS / "multiply.v", DESIGNS / "designs-sg48.pcf"
    synthesise(source, pcf, tmp_path / "design.bin", "iCE40-UP5K", "-dsp")
    done = subprocess.run([drive, tmp_path / "design.bin", "iCE40-UP5K"], input="info\n",
                          capture_output=True, text=True, check=True)
    assert int(re.search(r" dsps (\d+)", done.stderr)[1]) == 4
    assert compare(drive, source, tmp_path / "design.bin", pcf, tmp_path,
                   random.Random(f"{SEED} multiply"), 5000, "iCE40-UP5K") > 1000


@needs_tools
@pytest.mark.parametrize("parameter, name", [("BOTADDSUB_CARRYSELECT(2)", "ACCUMCI"),
                                             ("BOTADDSUB_LOWERINPUT(3)", "SIGNEXTIN")])
def test_cascade_of_multipliers_is_refused_by_name(parameter, name, drive, tmp_path):
    (tmp_path / "top.v").write_text(f"""
        module top(input clk, input [15:0] in, output [15:0] out);
        SB_MAC16 #(.{parameter}) mac (.CLK(clk), .CE(1'b1), .A(in), .B(in), .O({{x, out}}));
        wire [15:0] x;
        endmodule""")
    synthesise(tmp_path / "top.v", DESIGNS / "designs-sg48.pcf", tmp_path / "design.bin", "iCE40-UP5K")
    done = subprocess.run([drive, tmp_path / "design.bin", "iCE40-UP5K"], input="",
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(rf"cascades the MAC16 of tile \d+,\d+ .*\({name}\)", done.stderr)


CHIPDB = pathlib.Path("/usr/share/fpga-icestorm/chipdb")


@pytest.mark.skipif(not CHIPDB.exists(), reason="needs fpga-icestorm-chipdb (make deps-check)")
@pytest.mark.parametrize("theirs,ours", [("384", "lp384"), ("1k", "hx1k"), ("8k", "hx8k"),
                                         ("5k", "up5k")])
def test_database_made_again_from_icestorm_has_the_same_bytes(theirs, ours, tmp_path):
    data = ROOT / "backend/card/sim/data"
    run(data / "chipdb-pack", CHIPDB / f"chipdb-{theirs}.txt", tmp_path / "made.db")
    assert (tmp_path / "made.db").read_bytes() == lzma.open(data / f"{ours}.db.xz").read()
