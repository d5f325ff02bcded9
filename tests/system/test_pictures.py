# SPDX-License-Identifier: Apache-2.0
"""The metrics, and the dashboard and the plot that show them, fit each other."""
import json
import re

from harness import need, run
from images import ROOT, UPPER


def used(fabric):
    """A daemon of which each kind of metric has a value."""
    card = fabric.card()
    card.load(UPPER)
    card.exchange(b"hello")
    card.value("telemetry/cycles")
    return card


def test_promtool_accepts_the_metrics(fabric, tmp_path):
    need("promtool")
    used(fabric)
    (tmp_path / "metrics").write_text(fabric.read("metrics"))
    with open(tmp_path / "metrics", encoding="utf-8") as metrics:
        done = run(["promtool", "check", "metrics"], stdin=metrics)
    assert done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr


def test_the_dashboard_asks_only_for_what_metrics_has(fabric):
    used(fabric)
    text = fabric.read("metrics")
    have = set(re.findall(r"^# TYPE (\w+)", text, re.M)) | {k.split("{")[0] for k in fabric.metrics()}
    sensors = set(re.findall(r'^fabricfs_telemetry\{.*name="(\w+)"', text, re.M))
    board = json.loads((ROOT / "contrib/grafana/fabricfs.json").read_text())
    asked = [t["expr"] for p in board["panels"] for t in p["targets"]]
    assert len(asked) >= 10
    for expr in asked:
        assert set(re.findall(r"fabricfs_\w+", expr)) <= have, expr
        for names in re.findall(r'name=~?"([\w|]+)"', expr):
            assert set(names.split("|")) <= sensors, expr
    shown = {name for expr in asked for name in re.findall(r"fabricfs_[a-z_]+?(?=_bucket|\W|$)", expr)}
    assert shown == set(re.findall(r"^# TYPE (\w+)", text, re.M)) - {"fabricfs_build_info"}


def test_telemetry_is_recorded_and_drawn(fabric, tmp_path):
    card = used(fabric)
    done = run([str(ROOT / "contrib/telemetry/record.sh"), str(card.dir), "0", "3"])
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 4 and lines[0] == ["#", "seconds", "cycles", "toggles", "watts", "celsius"]
    assert all(len(line) == 5 and int(line[1]) > 0 and float(line[3]) > 0 for line in lines[1:])
    need("gnuplot")
    (tmp_path / "card.dat").write_text(done.stdout)
    done = run(["gnuplot", "-e", f"data='{tmp_path}/card.dat'; picture='{tmp_path}/card.svg'",
                str(ROOT / "contrib/telemetry/card.gp")])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "card.svg").read_text().count("clock cycles") == 1
