# SPDX-License-Identifier: Apache-2.0
"""The simulated fabric beside a simulator of Verilog: for tests.

A design is simulated twice, cycle by cycle, with the same random stimulus: its
Verilog source by iverilog, its bitstream by the fabric. Every output is
compared in every cycle. FABRICFS_SEED=<n> repeats a run.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DESIGNS = ROOT / "tests/designs"
sys.path.insert(0, str(DESIGNS))

EXAMPLES = ROOT / "contrib/examples"
CELLS = pathlib.Path("/usr/share/yosys/ice40/cells_sim.v")
DRIVE = pathlib.Path(os.environ.get("FABRICFS_BUILD", ROOT / "build")) / "tests/fabric_drive"
SEED = int(os.environ.get("FABRICFS_SEED", "0")) or int(time.time())

needs_tools = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("iverilog", "vvp", "yosys", "nextpnr-ice40", "icepack")),
    reason="needs iverilog, yosys, nextpnr-ice40 and icepack (make deps-check)")
needs_iverilog = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="needs iverilog (make deps-check)")


@pytest.fixture(scope="session")
def drive():
    if "FABRICFS_BUILD" not in os.environ:  # make check has built it
        subprocess.run(["make", "-s", "-C", ROOT, "fabric_drive"], check=True)
    return DRIVE


def run(*command, timeout=120, **kwargs):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                          timeout=timeout, **kwargs)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


# part: options of place and route, pins of the designs, seconds that place and route may take
# for a small design on a busy machine. The UP5K is slow; speed is not what is tested.
PARTS = {
    "iCE40-HX1K": (("--hx1k", "--package", "tq144"), "designs.pcf", 15),
    "iCE40-HX8K": (("--hx8k", "--package", "ct256"), "designs-ct256.pcf", 60),
    "iCE40-LP384": (("--lp384", "--package", "cm49"), "designs-cm49.pcf", 15),
    "iCE40-UP5K": (("--up5k", "--package", "sg48", "--timing-allow-fail"), "designs-sg48.pcf", 60),
}


class Unroutable(Exception):
    """Place and route does not end, or the part is full: nothing was learnt of ours."""


def synthesise(source, pcf, out, part="iCE40-HX1K", options_of_synthesis=""):
    options, limit = PARTS[part][0], PARTS[part][2]
    json, asc = out.with_suffix(".json"), out.with_suffix(".asc")
    run("yosys", "-q", "-p", f"read_verilog {source}; synth_ice40 {options_of_synthesis} -top top -json {json}")
    # The router of nextpnr 0.4 sometimes goes round for ever over a single arc, and
    # another seed may help. A small design takes it less than two seconds. --force:
    # it would refuse combinational loops.
    for seed in (1, 2):
        try:
            run("nextpnr-ice40", "-q", "--force", *options, "--pcf", pcf,
                "--seed", seed, "--json", json, "--asc", asc, timeout=limit)
            break
        except subprocess.TimeoutExpired:
            print(f"nextpnr-ice40 --seed {seed} does not end for {json}")
        except AssertionError as e:
            if "Unable to place cell" not in str(e):
                raise
            raise Unroutable from e
    else:
        raise Unroutable
    run("icepack", asc, out)


def ports(source):
    """[(direction, name, width)] of module top, whose ports are declared in its head."""
    head = re.search(r"module top\((.*?)\);", source.read_text(), re.S).group(1)
    found = re.findall(r"(input|output)(?: reg)?(?: \[(\d+):0\])? (\w+)", head)
    return [(direction, name, int(high) + 1 if high else 1) for direction, high, name in found]


def pin_map(pcf):
    return dict(re.findall(r"^set_io (\S+) (\S+)", pcf.read_text(), re.M))


def port_bits(declared, direction, but=()):
    """Names of single bits in the order of a stimulus line (highest bit first)."""
    bits = []
    for d, name, width in declared:
        if d == direction and name not in but:
            bits += [f"{name}[{i}]" for i in reversed(range(width))] if width > 1 else [name]
    return bits


def stimulus(rng, declared, cycles):
    """Random levels; most inputs hold for a few cycles, reset comes now and then."""
    inputs = [(n, w) for d, n, w in declared if d == "input" and n != "clk"]
    value = {n: 0 for n, _ in inputs}
    lines, reset = [], 3
    for _ in range(cycles):
        for name, width in inputs:
            if name == "rst":
                if reset == 0 and rng.random() < 0.005:
                    reset = rng.randint(1, 4)
                value[name] = int(reset > 0)
                reset = max(0, reset - 1)
            elif rng.random() < 0.6:
                value[name] = rng.getrandbits(width)
            elif rng.random() < 0.5:
                value[name] ^= 1 << rng.randrange(width)
        lines.append("".join(format(value[n], f"0{w}b") for n, w in inputs))
    return lines


# Inputs change with the rising edge, outputs are looked at just before the next:
# the same that fabric_cycle() promises. clk gets its first value in its
# declaration, so that time 0 has no falling edge.
BENCH = """
module bench;
	reg clk = 0;
	reg [{in_high}:0] in = 0;
	reg [{in_high}:0] lines [0:{last}];
	wire [{out_high}:0] out;
	integer k;
	top dut(.clk(clk), {connect});
	initial begin
		$readmemb("{stimulus}", lines);
		for (k = 0; k <= {last}; k = k + 1) begin
			#{lead} clk = 1;
			in <= lines[k];
			#{high} clk = 0;
			#{look} $display("%b", out);
			#1;
		end
		$finish;
	end
endmodule
"""


def connections(declared, direction, bus, but=()):
    parts, high = [], sum(w for d, n, w in declared if d == direction and n not in but)
    total = high
    for d, name, width in declared:
        if d == direction and name not in but:
            parts.append(f".{name}({bus}[{high - 1}:{high - width}])")
            high -= width
    return ", ".join(parts), total


def reference(source, declared, lines, folder):
    """The outputs of the source, one line a cycle, by iverilog."""
    text = source.read_text()
    pll = "SB_PLL40" in text  # which the model of the cells has not; ours wants to know the period
    times = {"lead": 1, "high": 10 ** 9, "look": 10 ** 9 - 2} if pll else \
        {"lead": 5, "high": 5, "look": 4}
    stim = folder / "stimulus.txt"
    stim.write_text("\n".join(lines) + "\n")
    ins, n_in = connections(declared, "input", "in", ("clk",))
    outs, n_out = connections(declared, "output", "out")
    (folder / "bench.v").write_text(BENCH.format(
        in_high=n_in - 1, out_high=n_out - 1, last=len(lines) - 1, stimulus=stim,
        connect=", ".join(filter(None, (ins, outs))), **times))
    cells = [DESIGNS / "pll_model.v"] if pll else [CELLS] if "SB_" in text else []
    run("iverilog", "-g2012", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "-s", "bench", "-o", folder / "ref",
        folder / "bench.v", source, *cells)
    out = run("vvp", folder / "ref").split("\n")
    return [line for line in out if re.fullmatch(r"[01xz]+", line)]


def fabric_run(drive, image, pcf, declared, lines, part):
    pins = pin_map(pcf)
    text = "clk {}\nin {}\nout {}\n{}\n".format(
        pins["clk"], " ".join(pins[b] for b in port_bits(declared, "input", ("clk",))),
        " ".join(pins[b] for b in port_bits(declared, "output")), "\n".join(lines))
    return run(drive, image, part, input=text).split()


def agree(names, want, got, lines):
    """Every known output in every cycle; how often the outputs changed."""
    known = changes = 0
    for k, (w, g) in enumerate(zip(want, got)):
        for i, (a, b) in enumerate(zip(w, g)):
            if a in "xz":  # not initialised in the source: anything is right
                continue
            known += 1
            assert a == b, (f"cycle {k}: {names[i]} is {b}, the source says {a} "
                            f"(all: {g}, source {w}, inputs {lines[k]})")
        changes += k > 0 and got[k] != got[k - 1]
    # a comparison in which nothing is known or nothing moves proves nothing
    assert known > 0.9 * len(got) * len(names)
    return changes


def compare(drive, source, image, pcf, folder, rng, cycles, part="iCE40-HX1K"):
    declared = ports(source)
    lines = stimulus(rng, declared, cycles)
    want = reference(source, declared, lines, folder)
    got = fabric_run(drive, image, pcf, declared, lines, part)
    names = port_bits(declared, "output")
    assert len(want) == len(got) == cycles
    return agree(names, want, got, lines)
