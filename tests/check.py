#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the test suite of one build and counts (see `make check`).

usage: check.py [--build DIR] [--add FILE] [--fuzz-seconds N] STAGE...

Stages: unit (every cmocka program of DIR), system (pytest through a real
mount), source (what the sources promise about themselves), examples (rebuilt
and compared), races (a short selection of unit and system), fuzz (every fuzz
target of DIR for a few seconds), long (random netlists, orders of steps and
kills, many times those of the other stages; FABRICFS_SEED repeats it). Each skip and each failure is a line; the last line is
`N passed, N failed, N skipped`, and the exit status 1 when something failed.
--add FILE adds to the counts of an earlier run kept in FILE, and keeps them.
"""
import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNIT_LIMIT_S = 300
SYSTEM_LIMIT_S = 1500
# What `make check-long` does more of than `make check`: files, what of them, and how much.
LONG_LIMIT_S = 3 * 3600
LONG = [
    (["test_designs_random.py"], "", {"FABRICFS_NETLISTS": "320", "FABRICFS_MULTIPLIERS": "50"}),
    (["test_restart.py", "test_large.py"], "", {"FABRICFS_KILL_COPIES": "2000"}),
]
LONG_UNIT = [("build/asan", "test_image_sweep", {"FABRICFS_SWEEP": "full"})]
LONG_MODEL_RUNS, LONG_MODEL_SECONDS = 20, "30"
# Slow, and about the engine, the documents and the bench, not about memory: once is enough.
ONCE = ["test_bench.py", "test_designs.py", "test_designs_random.py", "test_digits.py", "test_docs.py"]
# One thread alone, and slow: ThreadSanitizer has nothing to see there, AddressSanitizer has.
ONE_THREAD = re.compile(r"test_(engine|image)(_|$)")
# Where threads meet most: what `make check` runs with ThreadSanitizer.
RACES_UNIT = ["test_card_upload", "test_card_busy", "test_card_command", "test_slots", "test_session", "test_tree_follow",
              "test_tree_files", "test_cache_content", "test_mirror", "test_transfer", "test_transfer_breaks"]
RACES_SYSTEM = ["test_ctl.py", "test_glance_faults.py", "test_large.py", "test_model.py"]


def patience(build):
    """How much longer than the build that ships: limits are there to end what hangs."""
    return {"tsan": 6, "asan": 3}.get(Path(build).name, 1)


class Count:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def line(self):
        return f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"


def environment(build):
    env = dict(os.environ, LC_ALL="C.UTF-8", FABRICFS_BIN=str(ROOT / build / "fabricfs"),
               FABRICFS_BUILD=str(ROOT / build), PYTHONDONTWRITEBYTECODE="1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    if Path(build).name == "tsan":  # a worker starts more slowly, see tests/system/test_restart.py
        env.setdefault("FABRICFS_KILL_MS", "1500")
        env.setdefault("FABRICFS_KILL_COPIES", "60")
    # The tests run make themselves, as a user would and not as a part of ours.
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        env.pop(name, None)
    return env


def alive_in_group(group):
    """Is there a process of the group that is not just waiting to be reaped?"""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, its_group = stat.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state not in "ZX":
            return True
    return False


def run_alone(program, env, limit):
    """Output and exit status (or a sentence) of a program in a group of its own, which ends with it."""
    with tempfile.TemporaryFile() as out:
        # A file, not a pipe: a process that is left behind cannot keep it open for us.
        child = subprocess.Popen([program], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = child.wait(limit)
        except subprocess.TimeoutExpired:
            status = f"no end within {limit} s"
        if alive_in_group(child.pid) and status == 0:
            status = "processes left behind"
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
        out.seek(0)
        return out.read().decode(errors="replace"), status


def unit(build, count, only=None, extra=(), limit=None):
    if only is None and Path(build).name == "tsan":
        only = {p.stem for p in (ROOT / "tests" / "unit").glob("test_*.c") if not ONE_THREAD.match(p.stem)}
    programs = sorted(p for p in (ROOT / build / "tests" / "unit").glob("test_*")
                      if p.suffix == "" and (ROOT / "tests" / "unit" / f"{p.name}.c").exists()
                      and (only is None or p.name in only))
    wanted = sorted(p for p in (ROOT / "tests" / "unit").glob("test_*.c") if only is None or p.stem in only)
    if len(programs) != len(wanted):
        built = {p.name for p in programs}
        count.failed += [f"unit {w.stem}: not built" for w in wanted if w.stem not in built]
    env = {**environment(build), **dict(extra)}
    limit = limit or UNIT_LIMIT_S * patience(build)

    def timed(program):
        start = time.monotonic()
        return *run_alone(program, env, limit), time.monotonic() - start

    def told(program, out, status, seconds):
        passed = sum(int(n) for n in re.findall(r"\[  PASSED  \] (\d+) test", out))
        failed = [n for n in re.findall(r"\[  FAILED  \] ([A-Za-z_]\w*)$", out, re.M)]
        skipped = [n for n in re.findall(r"\[  SKIPPED \] ([A-Za-z_]\w*)$", out, re.M)]
        failed, skipped = sorted(set(failed)), sorted(set(skipped))
        if status == 77:  # all of it, for want of something that it names
            skipped, status = [out.strip().splitlines()[-1] if out.strip() else "all"], 0
        count.passed += passed
        count.skipped += [f"unit {program.name}: {n}" for n in skipped]
        count.failed += [f"unit {program.name}: {n}" for n in failed]
        if status != 0 and not failed:
            count.failed.append(f"unit {program.name}: ended with {status}")
        word = "ok" if status == 0 else "FAILED"
        print(f"  {program.name}: {word}, {passed} passed ({seconds:.1f} s)", flush=True)
        if status != 0:
            print(out[-6000:], flush=True)

    # Each has folders and ports of its own, and many wait more than they work.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for program, (out, status, seconds) in zip(programs, pool.map(timed, programs)):
            told(program, out, status, seconds)


def pytest(build, count, folder, ignore=(), only=(), words="", extra=(), limit=None):
    limit = limit or SYSTEM_LIMIT_S * patience(build)
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        argv = ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rf",
                f"--junitxml={report.name}", "--durations=8", *(str(ROOT / folder / name) for name in only or [""])]
        argv += [f"--ignore={ROOT / folder / name}" for name in ignore]
        argv += ["-k", words] if words else []
        try:
            status = subprocess.run(argv, cwd=ROOT, env={**environment(build), **dict(extra)}, check=False,
                                    timeout=limit).returncode
        except subprocess.TimeoutExpired:
            count.failed.append(f"{folder}: no end within {limit} s")
            return
        try:
            cases = list(ET.parse(report.name).iter("testcase"))
        except ET.ParseError:
            cases = []
    before = len(count.failed)
    for case in cases:
        name = f"{folder} {case.get('classname', '').split('.')[-1]}: {case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            count.failed.append(name)
        elif skipped is not None:
            count.skipped.append(f"{name}: {skipped.get('message', '')}")
        else:
            count.passed += 1
    if status not in (0, 5) and len(count.failed) == before:
        count.failed.append(f"{folder}: pytest ended with {status}")
    if not cases:
        count.failed.append(f"{folder}: no test was found")


def examples(_build, count):
    argv = ["make", "-s", "-C", str(ROOT / "contrib" / "examples"), "check"]
    run = subprocess.run(argv, env=environment("build"), check=False)
    if run.returncode:
        count.failed.append("examples: the images differ from what their sources give")
    else:
        count.passed += 1


def long(build, count):
    """More of what is drawn by lot; every seed is told."""
    seed = int(os.environ.get("FABRICFS_SEED", random.SystemRandom().randrange(1 << 32)))
    for only, words, extra in LONG:
        told = {**extra, "FABRICFS_SEED": str(seed)}
        print("  " + " ".join(f"{k}={v}" for k, v in told.items()), *only, flush=True)
        pytest(build, count, "tests/system", only=only, words=words, extra=told, limit=LONG_LIMIT_S)
    for folder, only, extra in LONG_UNIT:
        told = {**extra, "FABRICFS_SEED": str(seed)}
        print("  " + " ".join(f"{k}={v}" for k, v in told.items()), only, flush=True)
        unit(folder, count, {only}, told, LONG_LIMIT_S)
    for n in range(LONG_MODEL_RUNS):
        told = {"FABRICFS_SEED": str(seed + n), "FABRICFS_MODEL_SECONDS": LONG_MODEL_SECONDS}
        print("  " + " ".join(f"{k}={v}" for k, v in told.items()), "test_model.py", flush=True)
        pytest(build, count, "tests/system", only=["test_model.py"], extra=told, limit=LONG_LIMIT_S)


def fuzz_targets():
    """Every tests/fuzz/fuzz_NAME.c, every recogniser of an image format, and that of zip archives."""
    names = ["archive"] + [source.stem.removeprefix("fuzz_") for source in (ROOT / "tests" / "fuzz").glob("fuzz_*.c")]
    for source in (ROOT / "backend" / "image").glob("*.c"):
        names += re.findall(r'^\t\.name = "(.+)",$', source.read_text(), re.M)
    return sorted(names)


def fuzz_one(build, name, seconds):
    """What it printed, how it ended, and how many inputs it had."""
    grown = ROOT / build / "corpus" / name
    grown.mkdir(parents=True, exist_ok=True)
    seeds = ROOT / "tests" / "fuzz" / "corpus"
    argv = [ROOT / build / "tests" / "fuzz" / f"fuzz_{name}", f"-max_total_time={seconds}", "-timeout=25",
            "-rss_limit_mb=2048", f"-artifact_prefix={ROOT / build / 'found'}/{name}-", "-print_final_stats=1"]
    if (seeds / f"{name}.dict").exists():
        argv.append(f"-dict={seeds / name}.dict")
    # Recognisers begin with the images that tests/images makes.
    begin = [folder for folder in (seeds / name, ROOT / "build" / "images" / name) if folder.is_dir()]
    try:
        run = subprocess.run([*argv, grown, *begin], cwd=ROOT, env=environment(build), check=False,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             timeout=seconds + 120)
        out, status = run.stdout.decode(errors="replace"), run.returncode
    except (OSError, subprocess.TimeoutExpired) as e:
        out, status = "", e
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", out)
    return out, status, int(runs.group(1)) if runs else 0


def fuzz(build, count, seconds):
    """Every fuzz target for so long, two at a time; what it adds to the corpus and what it finds stay in DIR."""
    found = ROOT / build / "found"
    found.mkdir(parents=True, exist_ok=True)
    names = fuzz_targets()
    with ThreadPoolExecutor(2) as pool:
        for name, (out, status, runs) in zip(names, pool.map(lambda name: fuzz_one(build, name, seconds), names)):
            good = status == 0 and runs > 0
            seen = re.findall(r"cov: (\d+)", out)
            print(f"  fuzz_{name}: {'ok' if good else 'FAILED'}, {runs} inputs, {seen[-1] if seen else 0} edges", flush=True)
            if good:
                count.passed += 1
            else:
                count.failed.append(f"fuzz fuzz_{name}: ended with {status} (see {found.relative_to(ROOT)})")
                print(out[-6000:], flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--add")
    parser.add_argument("--fuzz-seconds", type=int, default=2)
    parser.add_argument("stages", nargs="+", choices=["unit", "system", "source", "examples", "races", "fuzz", "long"])
    args = parser.parse_args()
    sanitized = args.build != "build"
    count = Count()
    stages = {
        "unit": lambda: unit(args.build, count),
        "system": lambda: pytest(args.build, count, "tests/system", ONCE if sanitized else ()),
        "source": lambda: pytest(args.build, count, "tests/source"),
        "races": lambda: (unit(args.build, count, RACES_UNIT),
                          pytest(args.build, count, "tests/system", only=RACES_SYSTEM)),
        "examples": lambda: examples(args.build, count),
        "fuzz": lambda: fuzz(args.build, count, args.fuzz_seconds),
        "long": lambda: long(args.build, count),
    }
    for stage in args.stages:
        start = time.monotonic()
        print(f"== {stage} ({args.build})", flush=True)
        stages[stage]()
        print(f"== {stage}: {time.monotonic() - start:.0f} s", flush=True)
    mark = f" [{args.build}]" if sanitized else ""
    for name in count.skipped:
        print(f"SKIPPED {name}{mark}")
    for name in count.failed:
        print(f"FAILED {name}{mark}")
    total = count
    if args.add:
        kept = Path(args.add)
        before = json.loads(kept.read_text()) if kept.exists() else {"passed": 0, "failed": [], "skipped": []}
        total = Count()
        total.passed = before["passed"] + count.passed
        total.failed = before["failed"] + count.failed
        total.skipped = before["skipped"] + count.skipped
        kept.write_text(json.dumps(vars(total)))
    print(total.line(), flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
