#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Static analysis of the sources: `make lint`.

usage: lint.py [--tool gcc|cppcheck|clang-tidy]... [FILE...] -- COMPILER FLAGS

gcc -fanalyzer, cppcheck and clang-tidy over fs/, backend/ and include/, clang-tidy
also over tests/unit/. Every finding is printed; the exit status is 1 when there was
one. A finding that is no fault is silenced beside the code with its reason
(// NOLINT... and // cppcheck-suppress), or for all of a kind in .clang-tidy and below.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 600
FINDING = re.compile(r"^(\S+?:\d+(?::\d+)?): (?:warning|error|style|performance|portability): ", re.M)

# cppcheck's kinds of findings that are switched off, and why.
CPPCHECK_OFF = {
    "missingIncludeSystem": "headers of libraries are not read, which is as fast as it is enough",
    "unmatchedSuppression": "one file alone does not reach every line with a suppression",
    "memleak": "does not know __attribute__((cleanup)); LeakSanitizer runs in `make asan`",
    "unreadVariable": "takes STEAL_FD() for an assignment that nobody reads; clang's deadcode knows better",
    "variableScope": "declaring at the head of a function is a matter of taste, not of faults",
    "unusedStructMember": "members of what lies in files and on sockets, written and read as a whole",
}


# gcc's, likewise.
GCC_OFF = {
    "analyzer-malloc-leak": "gcc 12 loses what hangs in a list or behind an index; LeakSanitizer runs in `make asan`",
}


def gcc(path, flags):
    # -O2: the analyzer follows what is inlined. -Wno-error: it goes on after the first finding.
    return ["gcc", *flags, "-O2", "-Wno-error", "-fanalyzer", "-fdiagnostics-plain-output",
            *(f"-Wno-{name}" for name in GCC_OFF), "-c", "-o", os.devnull, str(path)]


def clang_tidy(path, flags):
    # What clang does not know of gcc's flags is no finding.
    return ["clang-tidy", "--quiet", str(path), "--", *flags, "-Wno-everything"]


def cppcheck(_path, flags):
    kept = [f for f in flags if f.startswith(("-D", "-I")) and "/usr/" not in f]
    off = [f"--suppress={name}" for name in CPPCHECK_OFF]
    return ["cppcheck", f"-j{os.cpu_count()}", "--quiet", "--std=c11", "--inline-suppr", "--language=c",
            "--enable=warning,performance,portability,style", *off, *kept, "include", "fs", "backend"]


def jobs(tools, files, flags):
    sources = [p for folder in ("fs", "backend") for p in sorted(Path(folder).rglob("*.c"))]
    tests = sorted(Path("tests/unit").glob("*.c"))
    if "cppcheck" in tools and not files:
        yield "cppcheck", cppcheck(None, flags)
    for path in files or sources + tests:
        if "clang-tidy" in tools:
            yield f"clang-tidy {path}", clang_tidy(path, flags)
        if "gcc" in tools and path not in tests:
            yield f"gcc {path}", gcc(path, flags)


def run(job):
    name, argv = job
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=LIMIT_S, check=False)
    out = done.stdout.decode(errors="replace")
    found = {m.group(1) for m in FINDING.finditer(out)}
    # A tool that fails without a finding has not looked.
    if done.returncode and not found:
        found = {f"{name}: ended with {done.returncode}"}
    return name, found, out


def main():
    argv = sys.argv[1:]
    at = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", action="append", choices=["gcc", "cppcheck", "clang-tidy"])
    parser.add_argument("files", nargs="*", type=Path)
    args = parser.parse_args(argv[:at])
    tools = args.tool or ["gcc", "cppcheck", "clang-tidy"]
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        print(f"lint: {', '.join(missing)} missing: sudo make deps-lint", file=sys.stderr)
        return 1
    os.chdir(ROOT)
    start, all_found = time.monotonic(), set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, found, out in pool.map(run, jobs(tools, args.files, argv[at + 1:])):
            # One place of a header is found from every file that includes it.
            if found - all_found:
                print(f"== {name}\n{out.strip()}", flush=True)
            all_found |= found
    print(f"lint: {len(all_found)} findings by {', '.join(tools)} in {time.monotonic() - start:.0f} s")
    return 1 if all_found else 0


if __name__ == "__main__":
    sys.exit(main())
