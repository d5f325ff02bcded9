# SPDX-License-Identifier: Apache-2.0
"""The classifier of contrib/examples/digits: the card answers what whole numbers say.

FABRICFS_SEED=<n> repeats the random pictures of a run.
"""
import os
import random
import re
import shutil
import sys
import time

import pytest

from harness import need, run
from images import EXAMPLES

DIGITS = EXAMPLES / "digits"
sys.path.insert(0, str(DIGITS))
import ask  # noqa: E402
import reference  # noqa: E402
import designs  # noqa: E402

CHANGED_ROW, CHANGED_NEURON = 28, 2  # pixel 28, neuron 2 of the first group
SEED = int(os.environ.get("FABRICFS_SEED", "0")) or int(time.time())
PICTURES, LABELS = reference.samples_read(DIGITS / "samples.txt")


def computed(folder, pictures=PICTURES):
    weights = reference.weights_read(folder)
    return [reference.classify(p, weights) for p in pictures]


def answers(card, pictures=PICTURES):
    asked = ask.Card(card.dir)
    try:
        return [a for at in range(0, len(pictures), ask.BATCH) for a in asked.ask(pictures[at:at + ask.BATCH])]
    finally:
        os.close(asked.tx)
        os.close(asked.rx)


@pytest.fixture(scope="module")
def loaded(fabric):
    card = fabric.card()
    card.load(DIGITS / "digits.bin")
    return card


def test_all_1797_answers_are_those_of_the_reference_in_the_cycles_that_are_told(loaded):
    before = int(loaded.value("telemetry/cycles"))
    got, want = answers(loaded), computed(DIGITS)
    assert len(want) == 1797 and got == want
    # 64 in, four times 65 + 17, 10 to pick, 1 to send; an idle cycle now and then
    spent = (int(loaded.value("telemetry/cycles")) - before) / len(got)
    assert 403 <= spent < 450


def test_pictures_that_nobody_drew_are_answered_as_computed(loaded):
    print(f"FABRICFS_SEED={SEED}")
    rng = random.Random(SEED)
    pictures = [rng.randbytes(64) for _ in range(60)] + [bytes(64), bytes([255] * 64), bytes([31] * 64)]
    assert answers(loaded, pictures) == computed(DIGITS, pictures)


def test_the_accuracy_that_is_told_is_the_one_there_is(loaded):
    right = [a == b for a, b in zip(computed(DIGITS), LABELS)]
    held = right[reference.TRAINED:]
    told = (DIGITS / "README.md").read_text()
    assert f"**{sum(held)} of the {len(held)} held back**" in told
    assert f"{sum(right)} of all {len(right):,}" in told
    done = run(["/usr/bin/python3", str(DIGITS / "ask.py"), str(loaded.dir)])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{sum(right)} of {len(right)} right")
    assert f"those held back {sum(held)} of {len(held)}\n" in done.stdout


def test_the_host_program_in_c_computes_and_hears_the_same(loaded, tmp_path):
    done = run(["gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(tmp_path / "ask"),
                str(DIGITS / "ask.c")])
    assert done.returncode == 0, done.stderr
    done = run([str(tmp_path / "ask"), "-d", str(DIGITS), "-r"])
    assert [int(a) for a in done.stdout.split()] == computed(DIGITS)
    done = run([str(tmp_path / "ask"), "-d", str(DIGITS), str(loaded.dir)])
    assert done.returncode == 0 and " right, 0 differ " in done.stdout, done.stdout + done.stderr
    done = run([str(tmp_path / "ask"), "-d", str(DIGITS), "-s", "1400", str(loaded.dir)])
    assert re.fullmatch(r"(.{16}\n){8}the card says 2, and it is a 2\n", done.stdout), done.stdout


def test_one_changed_weight_gives_exactly_the_changed_answers(loaded, tmp_path):
    need("yosys", "nextpnr-ice40", "icepack")
    tree = tmp_path / "examples"
    shutil.copytree(EXAMPLES, tree)
    rows = (tree / "digits/hidden.hex").read_text().split()
    changed = int(rows[CHANGED_ROW], 16)
    # one weight of one neuron, from 0 or 1 to -1
    assert changed >> 2 * CHANGED_NEURON & 3 != 3
    rows[CHANGED_ROW] = f"{changed | 3 << 2 * CHANGED_NEURON:08x}"
    (tree / "digits/hidden.hex").write_text("\n".join(rows) + "\n")
    done = run(["make", "-s", "-C", str(tree), "digits/digits.bin"])
    assert done.returncode == 0, done.stdout + done.stderr
    want = computed(tree / "digits")
    assert want != computed(DIGITS)
    loaded.load(tree / "digits/digits.bin")
    try:
        assert answers(loaded) == want
    finally:
        loaded.load(DIGITS / "digits.bin")


def held(rng, pictures):
    """Lines for the inputs rst, rx_data, rx_valid, tx_ready: every picture with gaps, and time to answer."""
    lines = ["1" + "0" * 10] * 4
    for picture in pictures:
        for pixel in picture:
            # A byte that is not valid must not be taken, whatever it is.
            lines += [f"0{rng.getrandbits(8):08b}0{rng.getrandbits(1)}"] * rng.choice([0, 0, 0, 1, 3])
            lines.append(f"0{pixel:08b}10")
        # Nobody takes the answer for a while: it has to stay.
        lines += [f"0{rng.getrandbits(8):08b}00"] * (420 + rng.randrange(30))
        lines += [f"0{rng.getrandbits(8):08b}01"] * 2
    return lines


def test_the_routed_image_is_its_source_in_every_cycle(tmp_path, monkeypatch):
    """iverilog runs digits.v, the fabric its bitstream; pictures of the set and random ones."""
    need("iverilog")
    print(f"FABRICFS_SEED={SEED}")
    rng = random.Random(SEED)
    pictures = rng.sample(PICTURES, 8) + [rng.randbytes(64) for _ in range(4)]
    source, pcf = DIGITS / "digits.v", EXAMPLES / "board-tq144.pcf"
    declared, lines = designs.ports(source), held(rng, pictures)
    if "FABRICFS_BUILD" not in os.environ:  # make check has built it
        designs.run("make", "-s", "-C", designs.ROOT, "fabric_drive")
    monkeypatch.chdir(DIGITS)  # where the source finds its weights
    want = designs.reference(source, declared, lines, tmp_path)
    got = designs.fabric_run(designs.DRIVE, DIGITS / "digits.bin", pcf, declared, lines, "iCE40-HX1K")
    names = designs.port_bits(declared, "output")
    assert len(want) == len(got) == len(lines)
    designs.agree(names, want, got, lines)
    # And what both say is what whole numbers say.
    valid, data = names.index("tx_valid"), names.index("tx_data[7]")
    heard = [int(g[data:data + 8], 2) for g, line in zip(got, lines) if g[valid] == "1" and line[-1] == "1"]
    assert heard == computed(DIGITS, pictures)
