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
