#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What fabricfs costs, beside what the same costs without it (README.md here).

usage: bench.py [--smoke] [--only WORD] [--out FILE]

Each row is a median of interleaved pairs on this machine, now. Prints the table
and writes build/bench.json. The exit status is 1 only when a row is at 1.5 times
its budget or above, or what was loaded is not what was copied; a row that
cannot be measured here is named with the reason. --smoke: the least counts that
take each path once; its numbers mean nothing and fail nothing.
"""
import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "system"), str(ROOT / "tests" / "designs")]
from harness import Fabric, mounted, until  # noqa: E402
from bitstreams import xilinx_large  # noqa: E402
from flatten import flattened  # noqa: E402
from listing import listing  # noqa: E402
from images import HX8K, LP384, REGS, UPPER, large_hx1k, sha256  # noqa: E402
from relay import Relay  # noqa: E402
from webserver import WebServer, free_ports  # noqa: E402

BUILD = Path(os.environ.get("FABRICFS_BUILD", ROOT / "build"))
OPS = BUILD / "tests" / "bench" / "ops"
DRIVE = BUILD / "tests" / "fabric_drive"
DESIGNS = ROOT / "tests" / "designs"
TOLERANCE = 1.5
SYSFS = [p for p in ("/sys/kernel/uevent_seqnum", "/sys/kernel/fscaps", "/sys/power/state") if os.path.exists(p)]


class Impossible(Exception):
    """Not here; the text says why."""


def ops(*words, limit=300):
    done = subprocess.run([str(OPS), *map(str, words)], capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode:
        raise AssertionError(done.stderr.strip())
    return [list(map(int, line.split())) for line in done.stdout.splitlines()]


def tool(*words, **kw):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=600, check=False, **kw)
    if done.returncode:
        raise AssertionError(f"{words[0]}: {done.stdout}{done.stderr}")
    return done


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Impossible(f"{program} is not installed")


def tasks(pid):
    return [int(t) for t in os.listdir(f"/proc/{pid}/task")]


def cpu_ns(pids):
    """CPU time of all threads that live."""
    total = 0
    for pid in pids:
        for task in tasks(pid):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
    return total


def rss_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


class Bench:
    def __init__(self, smoke, folder):
        self.smoke, self.folder, self.rows, self.made = smoke, folder, [], 0
        self.shm = Path(tempfile.mkdtemp(prefix="fabricfs-bench-", dir="/dev/shm"))

    def n(self, count, smoke=1):
        return smoke if self.smoke else count

    def fabric(self, **kw):
        self.made += 1
        place = self.folder / str(self.made)
        place.mkdir()
        return Running(Fabric(place, **kw))

    # --- rows --------------------------------------------------------------

    def row(self, name, ours, against, budget, pairs, unit="ns", against_name=""):
        """Medians; a ratio where there is something to compare with, else the budget is in the unit."""
        ours = statistics.median(ours) if isinstance(ours, list) else ours
        against = statistics.median(against) if isinstance(against, list) else against
        ratio = ours / against if against else None
        used = (ratio if against else ours) / budget
        self.add(dict(name=name, ours=round(ours, 3), unit=unit, against=None if against is None else round(against, 3),
                      against_name=against_name, ratio=None if ratio is None else round(ratio, 3), budget=budget,
                      of_budget=round(used, 3), how_often=pairs))

    def add(self, row):
        row["smoke"] = self.smoke
        self.rows.append(row)
        print(show(row), flush=True)

    def cannot(self, name, why):
        self.add(dict(name=name, skipped=str(why)))

    def pair_row(self, name, result, budget, count, against_name, how="ns"):
        """budget None: told for comparison."""
        # the median of the ratios of pairs: a disturbance that lasts hits both of a pair
        ratios = [a / b for a, b in result]
        middle = statistics.median(ratios)
        self.add(dict(name=name, ours=statistics.median(a for a, _ in result),
                      against=statistics.median(b for _, b in result), unit=how, against_name=against_name,
                      ratio=round(middle, 5), budget=budget, of_budget=round(middle / budget, 3) if budget else None,
                      how_often=count))


class Running:
    def __init__(self, fabric):
        self.fabric = fabric

    def __enter__(self):
        return self.fabric.start()

    def __exit__(self, *what):
        try:
            self.fabric.stop()
        finally:
            self.end()

    def end(self):
        self.fabric.kill_all()
        if not mounted(self.fabric.mount):
            shutil.rmtree(self.fabric.folder, ignore_errors=True)


def loaded(card, digest):
    assert card.sha == digest, f"{card.name}: {card.sha or 'nothing'} is loaded and not {digest}: {card.error}"


# --- files ---------------------------------------------------------------------------

def values(b):
    """open+read+close, cat, stat."""
    if not SYSFS:
        raise Impossible("no plain file in /sys")
    sys_dir, sys_name = os.path.split(SYSFS[0])
    with b.fabric() as fabric:
        card = fabric.card()
        card.load(UPPER)
        core = min(os.sched_getaffinity(0))
        workers = fabric.processes("fabricfs-worker")
        free = os.sched_getaffinity(0)
        for pid in workers:
            for task in tasks(pid):
                os.sched_setaffinity(task, {core})
        rounds, count = b.n(31, 2), b.n(1000, 20)
        for name, budget in (("name", 2.5), ("state", 4.0)):
            got = ops("orc", card.dir, name, sys_dir, sys_name, rounds, count, core)
            b.pair_row(f"open+read+close of {name}", got, budget, rounds * count, "sysfs")
        for pid in workers:
            for task in tasks(pid):
                os.sched_setaffinity(task, free)
        rounds = b.n(201, 2)
        for name in ("name", "state"):
            b.pair_row(f"cat of {name}", cats(card.dir / name, rounds), 1.15, rounds, "cat of sysfs")
        # Same depth, same names.
        plain = b.shm / "dev0"
        (plain / "loaded").mkdir(parents=True)
        names = ("name", "state", "history", "loaded/sha256", "ctl", "lease")
        rounds, worst = b.n(31, 2), None
        for name in names:
            (plain / name).write_text("x\n")
            got = ops("stat", card.dir, name, plain, name, rounds, b.n(5000, 20), core)
            middle = statistics.median(x / y for x, y in got)
            if worst is None or middle > worst[0]:
                worst = (middle, name, got)
        b.pair_row(f"stat (worst of {len(names)}: {worst[1]})", worst[2], 1.2, rounds * b.n(5000, 20), "tmpfs")
        loaded(card, sha256(UPPER))


def cats(path, rounds):
    out = []
    for _ in range(rounds):
        done = subprocess.run([str(OPS), "run", "cat", str(path), "--", "cat", SYSFS[0]], capture_output=True,
                              text=True, check=True)
        out.append(list(map(int, done.stdout.splitlines()[-1].split())))
    return out


# --- copying ---------------------------------------------------------------------------

def programmed_ns(fabric, dev):
    """What programming of a card has taken so far; loaded/duration_ms is whole milliseconds."""
    found = re.search(rf'^fabricfs_program_seconds_sum{{dev="dev{dev}"[^}}]*}} (\S+)',
                      (fabric.mount / "metrics").read_text(), re.M)
    return float(found.group(1)) * 1e9 if found else 0


def copies(b):
    """cp of large images to simulated cards: their configuration logic, without a limit of the link's clock."""
    config = "cards:\n" + "".join(f"  - {{name: {name}, backend: sim, part: {part}, config_clock_hz: 0}}\n" for name, part in
                                  (("small", "xc7a100t"), ("a", "xcvu13p"), ("b", "xcvu13p")))
    artix = {"part": "7a100tcsg324", "idcode": 0x03631093, "frame_words": 101}
    virtex = {"part": "xcvu13p-fhgb2104-2-i", "idcode": 0x04B51093, "dies": 4}
    sizes = ((0, "4 MB", 4_000_000, artix, 1.8, 31), (1, "100 MB", 100_000_000, virtex, 2.2, 9))
    if b.smoke:
        sizes = ((0, "50 kB", 50_000, artix, 1.8, 1), (1, "100 kB", 100_000, virtex, 2.2, 1))
    if shutil.disk_usage(b.folder).free < 2_000_000_000 or shutil.disk_usage(b.shm).free < 600_000_000:
        raise Impossible("2 GB on the disk and 600 MB in /dev/shm are wanted")
    with b.fabric(sim=None, config=config) as fabric:
        other = fabric.card(2)
        for dev, name, size, part, budget, count in sizes:
            card, digests, got, spent = fabric.card(dev), [], [], []
            # By turns: one that is still kept (loaded, or the last good one) is the rarer case.
            for i in range(3):
                data = xilinx_large(size, seed=i, **part)
                (b.shm / f"source{i}").write_bytes(data)
                digests.append(sha256(data))
            for i in range(b.n(count)):
                source = b.shm / f"source{i % 3}"
                (b.shm / "copy").unlink(missing_ok=True)
                before = programmed_ns(fabric, dev)
                got += ops("run", "cp", source, card.image, "--", "cp", source, b.shm / "copy")
                spent.append(programmed_ns(fabric, dev) - before)
                digest = digests[i % 3]
                loaded(card, digest)
            b.pair_row(f"cp of {name} to a card ({card.value('part')}, {statistics.median(spent) / 1e6:.1f} ms of it programming)",
                       got, budget, len(got), "cp to tmpfs")
        (b.shm / "copy").unlink(missing_ok=True)
        kept, got = fabric.state_dir / "blobs" / digest, []
        for _ in range(b.n(9)):
            got += ops("run", "sh", "-c", f"exec cat {card.image} >/dev/null", "--",
                       "sh", "-c", f"exec cat {kept} >/dev/null")
        b.pair_row(f"cat of image of {sizes[-1][1]}", got, None, len(got), "cat of the kept file")
        empty, got = b.shm / "empty", []
        empty.write_bytes(b"")

        for _ in range(b.n(31)):
            before = programmed_ns(fabric, 2)
            took = ops("run", "cp", card.image, other.image, "--", "cp", empty, other.image)[0]
            programming_ns = programmed_ns(fabric, 2) - before
            loaded(other, digest)
            got.append([max(1, took[0] - programming_ns), took[1]])
        b.pair_row(f"cp of {sizes[-1][1]} from card to card, less programming", got, 1.5, len(got), "cp of an empty file")


def programming(b):
    """From the last byte to running, without a limit of the link's clock."""
    config = ("cards:\n  - {name: a, backend: sim, part: iCE40-HX1K, config_clock_hz: 0}\n"
              "  - {name: b, backend: sim, part: iCE40-HX8K, config_clock_hz: 0}\n")
    with b.fabric(sim=None, config=config) as fabric:
        for number, part, budget, images in ((0, "HX1K", 5, (UPPER, REGS)), (1, "HX8K", 20, (HX8K,))):
            card, took = fabric.card(number), []
            for i in range(b.n(61, 2)):
                image = images[i % len(images)]
                took.append(ops("last", card.image, image)[0][0] / 1e6)
                loaded(card, sha256(image))
            b.row(f"{part} image, last byte to running, config_clock_hz 0", took, None, budget, len(took), "ms")


def slots(b):
    """A slot of a carrier, while the other three run."""
    config = "cards: [{name: four, backend: sim, part: iCE40-LP384, slots: 4, config_clock_hz: 0}]\n"
    images = [b.folder / "slot-0.bin", b.folder / "slot-1.bin"]
    plain, comment = LP384.read_bytes(), b"\xff\x00"
    assert plain.startswith(comment)
    # The same design twice, with another comment: each copy is another image.
    images[0].write_bytes(plain)
    images[1].write_bytes(comment + b"slot" + plain[len(comment):])
    empty, took = b.shm / "empty", []
    empty.write_bytes(b"")
    with b.fabric(sim=None, config=config) as fabric:
        card = fabric.card()
        for i in range(4):
            card.slot(i).load(images[0])
        slot = card.slot(2)
        for i in range(b.n(101, 2)):
            image = images[(i + 1) % 2]
            ours, against = ops("run", "cp", image, slot.image, "--", "cp", empty, slot.image)[0]
            took.append(max(0.001, (ours - against) / 1e6))
            loaded(slot, sha256(image))
    b.row("a slot (LP384), config_clock_hz 0, cp less cp of an empty file", took, None, 2, len(took), "ms")


# --- the fabric ----------------------------------------------------------------------------

DRIVER = """
#include "Vtop.h"
#include "verilated.h"
#include <chrono>
#include <cstdio>
#include <cstdlib>
double sc_time_stamp() { return 0; }
int main(int, char **argv)
{
	Vtop top;
	unsigned long long n = strtoull(argv[1], nullptr, 10), noise = 88172645463325252ull, sum = 0;
	auto begin = std::chrono::steady_clock::now();
	for (unsigned long long i = 0; i < n; i++) {
		noise ^= noise << 13;
		noise ^= noise >> 7;
		noise ^= noise << 17;
		top.in = noise & 0xffff;
		top.clk = 1;
		top.eval();
		top.clk = 0;
		top.eval();
		sum += top.out;
	}
	std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
	printf("%f %llu\\n", n / took.count() / 1e6, sum);
}
"""


def pins(pcf):
    return dict(re.findall(r"^set_io (\S+) (\S+)", Path(pcf).read_text(), re.M))


INPUTS = [f"in[{i}]" for i in range(16)]


def stimulus(pcf, inputs, cycles):
    where = pins(pcf)
    return f"clk {where['clk']}\nin {' '.join(where[i] for i in inputs)}\nbench {cycles}\n"


def rate(text):
    return float(re.search(r"([\d.]+) Mcycle/s", text).group(1))


def drive(image, pcf, inputs, cycles, *part):
    """Mcycle/s of the engine alone."""
    return rate(tool(DRIVE, image, *part, input=stimulus(pcf, inputs, cycles)).stderr)


def design(place, source, part, package, pcf):
    """Image of a design; beside it cells.v, its netlist of cells, and net.v, the same as assignments."""
    need("yosys", "nextpnr-ice40", "icepack")
    place.mkdir()
    tool("yosys", "-q", "-p", f"read_verilog {source}; synth_ice40 -flatten -top top -json p.json; "
         "write_verilog -noattr cells.v", cwd=place)
    tool("nextpnr-ice40", "-q", "--force", f"--{part}", "--package", package, "--pcf", pcf, "--seed", "1", "--json",
         "p.json", "--asc", "p.asc", cwd=place)
    tool("icepack", "p.asc", "p.bin", cwd=place)
    (place / "net.v").write_text(flattened(json.loads((place / "p.json").read_text())))
    return place / "p.bin"


def classifier(b):
    if b.smoke:
        raise Impossible("not in a smoke run: verilator compiles for minutes")
    place, pcf = b.folder / "classifier", DESIGNS / "designs.pcf"
    image = design(place, DESIGNS / "perceptron.v", "hx1k", "tq144", pcf)
    cycles, alone = 500_000, []
    for _ in range(b.n(15)):
        two = [subprocess.Popen([str(DRIVE), str(image)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
               for _ in range(2)]
        for process in two:
            process.stdin.write(stimulus(pcf, INPUTS, cycles))
            process.stdin.close()
        both = max(1e3 / rate(process.stderr.read()) for process in two)
        assert not any([process.wait(60) for process in two])
        alone.append([both, 1e3 / drive(image, pcf, INPUTS, cycles)])
    if len(os.sched_getaffinity(0)) > 1:
        b.pair_row("two classifiers at once, ns a cycle of the slower", alone, 1.2, len(alone), "one")
    need("verilator", "g++", "make")
    (place / "main.cpp").write_text(DRIVER)
    words = ("verilator", "--cc", "--exe", "--build", "-O3", "-Wno-fatal", "-Wno-lint", "--top-module", "top",
             "--x-assign", "fast", "--x-initial", "fast", "--noassert", "-CFLAGS", "-O2")
    tool(*words, "--Mdir", "cells", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "cells.v", "/usr/share/yosys/ice40/cells_sim.v",
         "main.cpp", cwd=place)
    tool(*words, "--Mdir", "net", "net.v", "main.cpp", cwd=place)
    for name, budget, peer in (("", 1.0, "cells"), (", cells written out as assignments", None, "net")):
        got = []
        for _ in range(b.n(15)):
            ours = drive(image, pcf, INPUTS, cycles)
            theirs = float(tool(place / peer / "Vtop", cycles).stdout.split()[0])
            got.append([1e3 / ours, 1e3 / theirs])
        b.pair_row(f"HX1K classifier, ns a cycle{name}", got, budget, len(got), "verilator, flattened netlist")


BENCH_V = """
`timescale 1ns/1ns
module bench;
	reg clk = 0;
	reg [15:0] in = 0;
	wire [15:0] out;
	integer n, cycles;
	top dut(.clk(clk), .rst(1'b0), .in(in), .out(out));
	initial begin
		if (!$value$plusargs("cycles=%d", cycles)) cycles = 0;
		for (n = 0; n < cycles; n = n + 1) begin
			in = $random;
			#1 clk = 1;
			#1 clk = 0;
		end
		#1 $display("%h", out);
		$finish;
	end
endmodule
"""


def full(b):
    """The engine on a full HX8K, beside Icarus Verilog."""
    need("iverilog", "vvp")
    if b.smoke:
        raise Impossible("not in a smoke run: place and route of a full HX8K takes a minute")
    place, pcf = b.folder / "full", DESIGNS / "designs-ct256.pcf"
    image = design(place, ROOT / "tests/bench/filler.v", "hx8k", "ct256", pcf)
    info = tool(DRIVE, image, "iCE40-HX8K", "ct256", input="info\n")
    cells = int(re.search(r"ops (\d+)", info.stdout + info.stderr).group(1))
    (place / "bench.v").write_text(BENCH_V)
    tool("iverilog", "-g2005-sv", "-o", "bench.vvp", "-s", "bench", "bench.v", "net.v", cwd=place)
    cycles, got = 1_000, []

    def elapsed(count):
        begin = time.monotonic_ns()
        tool("vvp", "bench.vvp", f"+cycles={count}", cwd=place)
        return time.monotonic_ns() - begin
    for _ in range(b.n(9)):
        ours = 1e3 / drive(image, pcf, INPUTS, 20_000, "iCE40-HX8K", "ct256")
        got.append([ours, (elapsed(cycles) - elapsed(0)) / cycles])
    b.pair_row(f"full HX8K ({cells} operations), ns a cycle", got, 0.01, len(got), "iverilog, flattened netlist")


def stream(b):
    """Bytes tx to rx; the design takes a byte a cycle, as the cycles that the card counted say."""
    pcf = ROOT / "contrib/examples/board-tq144.pcf"
    inputs = [name for name in pins(pcf) if name.startswith("rx_data")] + ["rx_valid", "tx_ready"]
    amount, got = b.n(4_000_000, 20_000), []
    config = "telemetry: {max-age: 1ms}\ncards:\n  - {name: a, backend: sim, config_clock_hz: 0}\n"
    with b.fabric(sim=None, config=config) as fabric:
        card = fabric.card()
        card.load(UPPER)

        def cycles():
            return float(card.value("telemetry/cycles"))
        for _ in range(b.n(15)):
            before = cycles()
            took = ops("bytes", card.dir / "io/tx", card.dir / "io/.rx", amount)[0][0]
            used = cycles() - before
            speed = drive(UPPER, pcf, [i for i in inputs if i in pins(pcf)], b.n(1_000_000, 20_000))
            got.append([took, used * 1e3 / speed])
        loaded(card, sha256(UPPER))
        per_byte = used / amount
    b.pair_row(f"{amount} bytes tx to rx ({per_byte:.2f} cycles a byte)", got, 1.5, len(got), "its cycles at the measured rate")


# --- the daemon --------------------------------------------------------------------------------

def memory(b):
    """As a daemon, before anybody has read anything."""
    for cards, budget in ((1, 12), (1000, 64)):
        if cards > 1 and b.smoke:
            continue
        running = b.fabric(sim=cards)
        fabric = running.fabric
        try:
            tool(*fabric.argv(foreground=False), env=fabric.env)
            pids = fabric.processes("fabricfs") + fabric.processes("fabricfs-worker")
            assert len(pids) == 2, f"holder and worker are wanted, not {pids}"
            b.row(f"memory, idle with {cards} card{'s' if cards > 1 else ''}, RSS of worker and holder",
                  sum(map(rss_kib, pids)) / 1024, None, budget, 1, "MiB")
            assert len(fabric.status()["cards"]) == cards
            tool("umount", fabric.mount)
            until(lambda: not fabric.processes(), "nothing of it is left")
        finally:
            running.end()


def many(b):
    """All cards at once, against the CPU time of one, times the cards, over the cores."""
    cards, cores = b.n(64, 4), len(os.sched_getaffinity(0))
    config = "cards:\n" + "".join(f"  - {{name: c{i}, backend: sim, config_clock_hz: 0}}\n" for i in range(cards))
    with b.fabric(sim=None, config=config) as fabric:
        every = [fabric.card(i) for i in range(cards)]
        images = [UPPER, REGS]
        for card in every:
            card.load(images[1])
        pids = fabric.processes()
        got = []
        for turn in range(b.n(9)):
            image = images[turn % 2]
            other = images[1 - turn % 2]
            # one after the other, in a single shell as below
            before, start = cpu_ns(pids), os.times()
            tool("sh", "-c", "".join(f"cp {other} {c.image} || exit 1\n" for c in every))
            after, stop = cpu_ns(pids), os.times()
            cpu = after - before + (stop.children_user - start.children_user +
                                    stop.children_system - start.children_system) * 1e9
            for card in every:
                loaded(card, sha256(other))
            script = "".join(f"cp {image} {c.image} &\n" for c in every) + "wait\n"
            begin = time.monotonic_ns()
            tool("sh", "-c", script)
            took = time.monotonic_ns() - begin
            for card in every:
                loaded(card, sha256(image))
            got.append([took, cpu / cores])
        b.pair_row(f"{cards} cards programmed at once", got, 1.2, len(got), f"CPU time of one x {cards} / {cores} cores")


def restart(b):
    gaps, errors, reads = [], 0, 0
    with b.fabric() as fabric:
        fabric.expect_errors = True  # the log tells of killed workers
        card = fabric.card()
        card.load(UPPER)
        for _ in range(b.n(31)):
            with subprocess.Popen([str(OPS), "gap", str(card.dir / "state"), "500"], stdout=subprocess.PIPE,
                                  text=True) as load:
                assert load.stdout.readline() == "ready\n"
                old = fabric.processes("fabricfs-worker")
                time.sleep(0.1)  # a moment within the load, not the wait for something
                fabric.kill("fabricfs-worker", signal.SIGKILL)
                longest, bad, times = map(int, load.communicate(timeout=60)[0].split())
            until(lambda: fabric.processes("fabricfs-worker") not in ([], old), "another worker serves")
            gaps.append(longest / 1e6)
            errors += bad
            reads += times
            loaded(card, sha256(UPPER))
        assert errors == 0, f"{errors} of {reads} reads failed while workers were replaced"
    b.row(f"worker killed under load, longest read ({reads} reads, {errors} errors)", gaps, None, 50, len(gaps), "ms")


def inspecting(b):
    size = b.n(100_000_000, 100_000)
    path, got = b.shm / "image", []
    path.write_bytes(large_hx1k(size))
    binary = BUILD / "fabricfs"
    for _ in range(b.n(15)):
        got += [ops("run", "sh", "-c", f"exec {binary} inspect {path} >/dev/null", "--",
                    "sh", "-c", f"exec sha256sum {path} >/dev/null")[0]]
    digest = json.loads(tool(binary, "inspect", "--json", path).stdout)["sha256"]
    assert digest == sha256(path)
    b.pair_row(f"inspect of {size // 1000} kB", got, 1.2, len(got), "sha256sum")


# --- repositories ------------------------------------------------------------------------------

SFTP = "/usr/lib/openssh/sftp-server"


def plain_read(path, piece=128 << 10):
    """ns from open to the end."""
    begin = time.monotonic_ns()
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    while os.read(fd, piece):
        pass
    os.close(fd)
    return time.monotonic_ns() - begin


def pages_drop(*paths):
    for path in paths:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        os.fdatasync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def cached(b):
    """Reading an image that is in the cache."""
    size = b.n(100_000_000, 1_000_000)
    images = b.folder / "cached"
    images.mkdir()
    (images / "x.bin").write_bytes(os.urandom(size))
    with b.fabric(config=f"repositories:\n  folder: {{kind: directory, path: {images}}}\n") as fabric:
        image = fabric.mount / "remote" / "folder" / "x.bin"
        assert sha256(image) == sha256(images / "x.bin")
        kept = next((fabric.state_dir / "blobs").iterdir())
        warm, cold = [], []
        for path in (image, kept):
            plain_read(path)
        for _ in range(b.n(31)):
            warm.append((plain_read(image), plain_read(kept)))
        for _ in range(b.n(15)):
            pages_drop(image, kept)
            ours = plain_read(image)
            pages_drop(kept)
            cold.append((ours, plain_read(kept)))
    b.pair_row("reading a cached image of 100 MB, pages warm", warm, 2.2, len(warm), "the kept file (ext4)")
    b.pair_row("reading a cached image of 100 MB, pages cold", cold, 1.6, len(cold), "the kept file (ext4)")


@contextlib.contextmanager
def peer(b, name, servers):
    """A mount of what the server has by another program; the folder of it."""
    place, state = b.folder / f"peer-{name}", b.folder / f"peer-{name}-state"
    place.mkdir(exist_ok=True)
    state.mkdir(exist_ok=True)
    url = f"http://127.0.0.1:{servers['http']}/html/"
    argv = {"rclone": ["rclone", "mount", "--config", "/dev/null", "--cache-dir", state, "--vfs-cache-mode", "full",
                       "--http-url", url, ":http:", place],
            "httpdirfs": ["httpdirfs", "-f", url, place],
            "sshfs": ["sshfs", "-f", "-o", f"directport={servers['sftp']}", f"127.0.0.1:{servers['root']}", place]}[name]
    with open(state / "log", "wb") as log, \
            subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             start_new_session=True, env=dict(os.environ, HOME=str(state))) as process:
        try:
            until(lambda: mounted(place) or process.poll() is not None, f"{name} has mounted")
            if process.poll() is not None:
                raise Impossible(f"{name} ended: {(state / 'log').read_text(errors='replace')[-200:]}")
            yield place
        finally:
            subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            shutil.rmtree(state, ignore_errors=True)


def remote(b):
    """First reads of a web server's images, beside curl and other mounts of the same server."""
    need("nginx", "curl")
    size, turns = b.n(100_000_000, 500_000), b.n(5)
    data = os.urandom(size - 8)
    with WebServer(b.folder / "web") as web, contextlib.ExitStack() as stack:
        # no two are the same: the cache keeps identical ones once
        for i in range(4 * turns + 1):
            web.put(f"{i}.bin", image_of(i, data), age=3600)
        sums = ""
        for i in range(5 * turns, 6 * turns):
            web.put(f"sums/{i}.bin", image_of(i, data), age=3600)
            sums += f"{sha256(image_of(i, data))}  {i}.bin\n"
        web.put("sums/SHA256SUMS", sums.encode(), age=3600)
        os.sync()
        for delay, text in ((0.0, "0"), (0.01, "20 ms")):
            relay = stack.enter_context(Relay(web.port, delay))
            servers = {"http": relay.port if delay else web.port, "root": web.root, "relay": relay}
            if shutil.which("sshfs") and shutil.which("socat") and os.path.exists(SFTP):
                servers["sftp"] = free_ports(1)[0]
                socat = subprocess.Popen(["socat", f"TCP-LISTEN:{servers['sftp']},bind=127.0.0.1,fork,reuseaddr", f"EXEC:{SFTP}"])
                stack.callback(socat.wait)
                stack.callback(socat.kill)
                if delay:
                    servers["sftp"] = stack.enter_context(Relay(servers["sftp"], delay)).port
            remote_rtt(b, servers, data, turns, text)


def image_of(i, data):
    return i.to_bytes(8, "little") + data


def fresh(size):
    """There is memory for the pages of `size` bytes: where a virtual machine gives what it does not use
    back to its host, the first touch costs more than the whole transfer."""
    ops("touch", 3 * size)


def first_read(path, size):
    """ns; returns when what the read left to be done is done, too."""
    fresh(size)
    took = ops("read", path)[0][0]
    until(lambda: "user.fpga.sha256" in os.listxattr(path), f"{path} is hashed")
    return took


def beside_curl(b, path, url, size):
    ours = first_read(path, size)
    fresh(size)
    theirs = ops("run", "curl", "-s", "-f", "-o", b.folder / "copy", url, "--", "true")[0][0]
    (b.folder / "copy").unlink()
    return ours, theirs


def beside_peer(b, name, servers, folder, numbers, size):
    with peer(b, name, servers) as place:
        pairs = []
        for i in numbers:
            ours = first_read(folder / f"{i}.bin", size)
            fresh(size)
            try:
                pairs.append((ours, ops("read", place / f"{i}.bin")[0][0]))
            except AssertionError as why:
                raise Impossible(why) from None
    return pairs


def remote_rtt(b, servers, data, turns, text):
    relay, size = servers["relay"], len(data) + 8
    url = f"http://127.0.0.1:{servers['http']}/json/"
    config = ("repositories:\n"
              f"  web: {{kind: http, url: \"{url}\", max-age: 1h}}\n"
              f"  sums: {{kind: http, url: \"{url}sums/\", max-age: 1h}}\n"
              f"  wire: {{kind: http, url: \"http://127.0.0.1:{relay.port}/json/\", max-age: 1h}}\n")
    with b.fabric(config=config) as fabric:
        mirror, last = fabric.mount / "remote", 4 * turns
        until(lambda: all(len(os.listdir(mirror / name)) > 1 for name in ("web", "sums", "wire")), "all are listed")
        relay.forget()
        fd = os.open(mirror / "wire" / f"{last}.bin", os.O_RDONLY)
        assert os.read(fd, 4096) == image_of(last, data)[:4096]
        os.close(fd)
        b.row(f"4 KiB from the head of a 100 MB image, RTT {text}, bytes on the wire", relay.received / 1024, None, 64, 1, "KiB")
        got = [beside_curl(b, mirror / "web" / f"{i}.bin", f"{url}{i}.bin", size) for i in range(turns)]
        assert (mirror / "web" / "0.bin").read_bytes() == image_of(0, data)
        b.pair_row(f"first read of a 100 MB image, RTT {text}", got, 1.1, turns, "curl -o")
        got = [beside_curl(b, mirror / "sums" / f"{i}.bin", f"{url}sums/{i}.bin", size) for i in range(5 * turns, 6 * turns)]
        b.pair_row(f"first read of a 100 MB image with a SHA256SUMS, RTT {text}", got, 1.1, turns, "curl -o")
        for k, name in enumerate(("rclone", "httpdirfs", "sshfs"), 1):
            row = f"first read of a 100 MB image, RTT {text}, beside {name}"
            if b.smoke or not shutil.which(name) or (name == "sshfs" and "sftp" not in servers):
                b.cannot(row, "not in a smoke run" if b.smoke else f"{name} is not installed")
                continue
            try:
                pairs = beside_peer(b, name, servers, mirror / "web", range(k * turns, (k + 1) * turns), size)
            except (Impossible, OSError) as why:
                b.cannot(row, why)
                continue
            b.pair_row(row, pairs, 1.0, len(pairs), name)


def weblisting(b):
    """The first listing of a web server's folder, both forms of its index, beside curl of the index."""
    need("nginx", "curl")
    count, turns = b.n(10_000, 100), b.n(9)
    names = [f"image-{i:05}-of-some-design.bin" for i in range(count)]
    with WebServer(b.folder / "web-listing") as web:
        # all are links to one file, put into a folder that was empty when its repository was listed last
        data, full = web.folder / "data.bin", web.folder / "full"
        data.write_bytes(bytes(100_000))
        full.mkdir()
        for name in names:
            os.link(data, full / name)
        for form in ("json", "html"):
            config = "repositories:\n"
            for i in range(turns):
                (web.root / f"{form}-{i}").mkdir()
                config += f"  w{i}: {{kind: http, url: \"{web.url(form)}{form}-{i}/\", max-age: 1h}}\n"
            got = []
            with b.fabric(config=config) as fabric:
                there = [fabric.mount / "remote" / f"w{i}" for i in range(turns)]
                for folder in there:
                    assert os.listdir(folder) == [".repo"], "it is empty at first"
                for i in range(turns):
                    place = web.root / f"{form}-{i}"
                    place.rmdir()
                    full.rename(place)
                    theirs = ops("run", "curl", "-s", "-o", b.folder / "index", f"{web.url(form)}{form}-{i}/", "--", "true")[0][0]
                    before, begin = len(web.log()), time.monotonic_ns()
                    (there[i] / ".repo" / "refresh").write_text("\n")
                    got.append((time.monotonic_ns() - begin, theirs))
                    assert sorted(os.listdir(there[i])) == [".repo", *names], "all are listed when refresh returns"
                    place.rename(full)
                    asked = [line for line in web.log()[before:] if ".bin" in line]
                    assert not asked, f"single files were asked for: {asked[:3]}"
            b.pair_row(f"first listing of {count} files of a web server ({form.upper()} index)", got, 1.5, turns, "curl of its index")


PARTS = {"values": values, "copies": copies, "programming": programming, "slots": slots, "classifier": classifier, "full": full,
         "stream": stream, "memory": memory, "many": many, "restart": restart, "inspect": inspecting,
         "listing": listing, "weblisting": weblisting, "cached": cached, "remote": remote}


# --- the table ------------------------------------------------------------------------------------

def scaled(value, unit):
    if unit != "ns":
        return f"{value:.2f} {unit}"
    for step, word in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if value >= step:
            return f"{value / step:.2f} {word}"
    return f"{value:.0f} ns"


def show(row):
    if "skipped" in row:
        return f"{row['name']:<70} not measured: {row['skipped']}"
    ours = scaled(row["ours"], row["unit"])
    if row["ratio"] is None:
        middle, budget = f"{'-':>10} {'-':>7}", f"{row['budget']} {row['unit']}"
    else:
        ratio = f"{row['ratio']:.2f}x" if row["ratio"] >= 0.1 else f"{row['ratio']:.4f}x"
        budget = "-" if row["budget"] is None else f"{row['budget']}x"
        middle = f"{scaled(row['against'], row['unit']):>10} {ratio:>7}"
    word = "" if not row["of_budget"] or row["of_budget"] <= 1 or row["smoke"] else "  missed" if row["of_budget"] < TOLERANCE else "  MISSED BY FAR"
    return f"{row['name']:<70} {ours:>10} {middle} {budget:>8} {row['how_often']:>7}{word}"


def machine():
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory_kib = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1))
    return {"cpu": model.group(1) if model else platform.machine(), "cores": len(os.sched_getaffinity(0)),
            "memory_mib": memory_kib // 1024, "kernel": platform.release(), "load": os.getloadavg()[0],
            "libc": " ".join(platform.libc_ver())}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json")
    args = parser.parse_args()
    if os.geteuid():
        sys.exit("bench.py mounts for everyone and pins the worker: run it as root")
    about = machine()
    print(f"{about['cores']} cores of {about['cpu']}, {about['memory_mib']} MiB, Linux {about['kernel']}, "
          f"load {about['load']:.1f} at the start")
    print(f"{'':<70} {'ours':>10} {'against':>10} {'ratio':>7} {'budget':>8} {'times':>7}")
    folder = Path(tempfile.mkdtemp(prefix="fabricfs-bench-"))
    bench, wrong = Bench(args.smoke, folder), []
    try:
        for name in args.only or PARTS:
            try:
                PARTS[name](bench)
            except Impossible as why:
                bench.cannot(name, why)
            except AssertionError as what:
                wrong.append(f"{name}: {what}")
    finally:
        shutil.rmtree(bench.shm, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"machine": about, "smoke": args.smoke, "rows": bench.rows}, indent=1) + "\n")
    print(f"written to {args.out}")
    if not args.smoke:
        wrong += [f"{r['name']}: {r['of_budget']} times its budget" for r in bench.rows
                  if (r.get("of_budget") or 0) >= TOLERANCE]
    for line in wrong:
        print(f"WRONG {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
