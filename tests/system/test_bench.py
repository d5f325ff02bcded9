# SPDX-License-Identifier: Apache-2.0
"""`make bench` measures what it says: a run with the least counts, whose numbers mean nothing."""
import json
import os

from harness import SLOW, run
from images import ROOT


def test_every_row_of_the_bench_can_be_measured(tmp_path):
    if "FABRICFS_BUILD" not in os.environ:  # make check has built it
        assert run(["make", "-s", "-C", str(ROOT), "bench-programs"]).returncode == 0
    out = tmp_path / "bench.json"
    done = run(["/usr/bin/python3", str(ROOT / "tests/bench/bench.py"), "--smoke", "--out", str(out)],
               env=dict(os.environ), timeout=120 * SLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(out.read_text())
    assert told["machine"]["cores"] >= 1 and told["smoke"] is True
    measured = [r for r in told["rows"] if "skipped" not in r]
    assert len(measured) >= 14, done.stdout
    for row in measured:
        assert row["ours"] > 0 and row["how_often"] >= 1 and (row["budget"] is None or row["of_budget"] > 0), row
        assert (row["ratio"] is None) == (row["against"] is None), row
    assert [r["name"] for r in measured if r["budget"] is None] == [
        "cat of image of 100 kB", "du -s of 500 images", "from mounting to the first listing of 500 images"]
    # What is left out is told with its reason.
    skipped = [r["name"] for r in told["rows"] if "skipped" in r]
    assert [name for name in skipped if " beside " not in name] == ["classifier", "full"]
    assert len(skipped) == 2 + 2 * 3  # first reads beside three other mounts, at two round trips
