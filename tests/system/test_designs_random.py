# SPDX-License-Identifier: Apache-2.0
"""The simulated fabric against the truth: netlists and multipliers that are drawn by lot (designs.py)."""
import concurrent.futures
import os
import random
import re

import pytest

from designs import compare, DESIGNS, drive, needs_tools, PARTS, run, SEED, synthesise, Unroutable  # noqa: F401

import random_mac16  # noqa: E402  of tests/designs, which designs.py has put on the path
import random_verilog  # noqa: E402

NETLISTS = int(os.environ.get("FABRICFS_NETLISTS", "50"))
# The parts beside the HX1K get a part of them; two only in a long run (make check-long).
SHARES = {"iCE40-HX1K": NETLISTS, "iCE40-UP5K": (NETLISTS + 4) // 5,
          "iCE40-HX8K": NETLISTS // 100 * 20, "iCE40-LP384": NETLISTS // 100 * 20}
# nextpnr-ice40 before its pull request 1128 sets NegClk of the wrong port on an 8k; an LP384 has
# no block RAM, and 384 logic cells.
NETLIST_OF = {"iCE40-HX8K": {"falling": False}, "iCE40-LP384": {"memories": False, "most": 6}}


def one_netlist(drive, folder, number, part):
    """Returns how much moved. What cannot be routed is replaced by another."""
    for attempt in range(4):
        rng = random.Random(f"{SEED} {part} netlist {number} {attempt}")
        pcf = DESIGNS / PARTS[part][1]
        place = folder / f"{number}.{attempt}"
        place.mkdir()
        (place / "top.v").write_text(random_verilog.random_verilog(rng, **NETLIST_OF.get(part, {})))
        try:
            synthesise(place / "top.v", pcf, place / "design.bin", part)
        except Unroutable:
            continue
        return compare(drive, place / "top.v", place / "design.bin", pcf, place, rng, 1500, part)
    raise AssertionError("four netlists in a row that nextpnr-ice40 does not route")


@needs_tools
@pytest.mark.parametrize("part, netlists", [(part, n) for part, n in SHARES.items() if n])
def test_netlists_of_random_verilog_run_as_their_source(part, netlists, drive, tmp_path):
    print(f"FABRICFS_SEED={SEED}, {netlists} netlists")
    moved, failures = 0, []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = {pool.submit(one_netlist, drive, tmp_path, n, part): n for n in range(netlists)}
        for job in concurrent.futures.as_completed(jobs):
            try:
                moved += job.result() > 100
            except AssertionError as e:
                failures.append(f"netlist {jobs[job]} (in {tmp_path}): {e}")
    assert not failures, f"FABRICFS_SEED={SEED}\n" + "\n".join(failures)
    # Random logic sometimes folds away; most of it must not. Of ten netlists two
    # or three that rest are chance.
    assert moved > (0.8 if netlists >= 50 else 0.5) * netlists


MULTIPLIERS = int(os.environ.get("FABRICFS_MULTIPLIERS", "8"))


def falling_multipliers(place):
    """nextpnr-ice40 0.4 forgets NEG_TRIGGER: set the bit, NegClk of each third tile."""
    text = re.sub(r"^(\.dsp2_tile \d+ \d+\n)0", r"\g<1>1", (place / "design.asc").read_text(), flags=re.M)
    (place / "design.asc").write_text(text)
    run("icepack", place / "design.asc", place / "design.bin")


def one_mac16(drive, folder, number):
    rng = random.Random(f"{SEED} multiplier {number}")
    place, pcf = folder / str(number), DESIGNS / "designs-sg48.pcf"
    place.mkdir()
    text, parameters = random_mac16.random_mac16(rng)
    (place / "top.v").write_text(text)
    synthesise(place / "top.v", pcf, place / "design.bin", "iCE40-UP5K")
    if parameters[0]["NEG_TRIGGER"]:
        falling_multipliers(place)
    try:
        return compare(drive, place / "top.v", place / "design.bin", pcf, place, rng, 2000, "iCE40-UP5K")
    except AssertionError as e:
        raise AssertionError(f"{e}, {parameters}") from e


@needs_tools
def test_multipliers_with_random_parameters_run_as_their_model(drive, tmp_path):
    print(f"FABRICFS_SEED={SEED}, {MULTIPLIERS} designs of two")
    failures = []
    for number in range(MULTIPLIERS):
        try:
            assert one_mac16(drive, tmp_path, number) > 1000
        except AssertionError as e:
            failures.append(f"design {number} (in {tmp_path}): {e}")
        except Unroutable:
            pass
    assert not failures, f"FABRICFS_SEED={SEED}\n" + "\n".join(failures)
