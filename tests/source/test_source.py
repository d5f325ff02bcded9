# SPDX-License-Identifier: Apache-2.0
"""What the sources promise about themselves: layers, headers, licences, the man page."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("FABRICFS_BIN", ROOT / "build" / "fabricfs"))
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def sources(*folders, suffixes=(".c", ".h")):
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*") if p.suffix in suffixes)


def own_includes(path):
    """Files of this project that a source includes, from the root."""
    for name in INCLUDE.findall(path.read_text()):
        for place in (path.parent / name, ROOT / name, ROOT / "include" / name):
            if place.is_file():
                yield place.resolve().relative_to(ROOT)
                break


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources("fs"), ids=name)
def test_fs_includes_only_include_and_its_own_headers(path):
    wrong = [str(i) for i in own_includes(path) if i.parts[0] not in ("fs", "include")]
    assert not wrong


@pytest.mark.parametrize("path", sources("backend"), ids=name)
def test_a_backend_includes_only_include_and_its_own_folder(path):
    """backend/card/sim/** may include backend/card/sim/**, never another backend."""
    relative = path.relative_to(ROOT)
    own = relative.parts[:3] if len(relative.parts) > 3 else relative.parts[:2]
    wrong = [str(i) for i in own_includes(path)
             if i.parts[0] != "include" and i.parts[:len(own)] != own]
    assert not wrong


@pytest.mark.parametrize("path", sources("include"), ids=name)
def test_a_contract_includes_only_contracts(path):
    wrong = [str(i) for i in own_includes(path) if i.parts[0] != "include"]
    assert not wrong


def flags():
    packages = ["fuse3", "sqlite3", "yaml-0.1", "jansson", "libcrypto"]
    run = subprocess.run(["pkg-config", "--cflags", *packages], capture_output=True, text=True, check=True)
    return run.stdout.split()


@pytest.mark.parametrize("path", sources("include", "fs", "backend", suffixes=(".h",)), ids=name)
def test_a_header_compiles_alone(path):
    text = f'#include "{path.relative_to(ROOT)}"\n#include "{path.relative_to(ROOT)}"\n'
    run = subprocess.run(
        ["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-DFUSE_USE_VERSION=314",
         "-Wall", "-Wextra", "-Wundef", "-Werror", "-fsyntax-only", "-Iinclude", "-I.", *flags(), "-xc", "-"],
        input=text, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("path", sources("include", "fs", "backend", "tests", suffixes=(".c", ".h", ".py", ".S")),
                         ids=name)
def test_a_source_begins_with_its_licence(path):
    head = path.read_text().splitlines()[:2]
    assert any("SPDX-License-Identifier: Apache-2.0" in line for line in head), head


FORBIDDEN = re.compile(r"(?<![\w.>])(strcpy|strcat|strncpy|sprintf|vsprintf|gets|atoi|system|popen|alloca|"
                       r"sleep|usleep|nanosleep)\s*\(")


def without_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)
    text = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)
    return re.sub(r"//[^\n]*", "", text)


@pytest.mark.parametrize("path", sources("include", "fs", "backend"), ids=name)
def test_no_unbounded_copy_and_no_shell_and_no_sleep(path):
    found = [f"{n}: {line.strip()}" for n, line in enumerate(without_comments(path.read_text()).splitlines(), 1)
             if FORBIDDEN.search(line)]
    assert not found


# --- the man page and --help tell the same options ------------------------------------


def options(text):
    return set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+|-[a-zA-Z])(?![\w-])", text))


def test_man_page_and_help_tell_the_same_options():
    pod = (ROOT / "fs" / "daemon" / "fabricfs.8.pod").read_text()
    told = options("\n".join(re.findall(r"^=item (.*)$", pod, re.M)).replace("B<", " ").replace(">", " "))
    usage = ""
    for argv in ([BIN, "--help"], [BIN, "inspect", "--help"], [BIN, "check-config", "--help"]):
        run = subprocess.run(argv, capture_output=True, text=True, check=True)
        # only the table of options: text may mention others
        usage += "\n".join(re.findall(r"^\s*(?:usage:.*|fabricfs .*|-.*)$", run.stdout, re.M)) + "\n"
    offered = options(usage)
    assert told - offered == set(), "in the man page, but not offered"
    assert offered - told == set(), "offered, but not in the man page"


def test_man_page_tells_every_key_of_every_backend():
    pod = (ROOT / "fs" / "daemon" / "fabricfs.yaml.5.pod").read_text()
    keys = {k for path in sources("backend/card", suffixes=(".c",))
            for k in re.findall(r'\{\s*"([\w-]+)",\s*CARD_KEY_', path.read_text())}
    assert {"program", "config_clock_hz"} <= keys
    assert not {k for k in keys if f"C<{k}>" not in pod}


def test_man_page_tells_every_key_of_every_kind_of_repository():
    pod = (ROOT / "fs" / "daemon" / "fabricfs.yaml.5.pod").read_text()
    def keys(path):
        text = path.read_text()
        if "CLOUD_KEYS" in text:
            text += (path.parent / "cloud.h").read_text()
        return set(re.findall(r'\{\s*"([\w-]+)",\s*REPO_KEY_', text))
    kinds = {k: keys(path) for path in sources("backend/repo", suffixes=(".c",))
             for k in re.findall(r'^const struct repo_kind (\w+)_kind = \{', path.read_text(), re.M)}
    assert {"directory", "glance"} <= kinds.keys() and "clouds-file" in kinds["glance"]
    sections = dict(re.findall(r"^=head2 kind: (\w+)$(.*?)^(?==head[12])", pod, re.M | re.S))
    for kind in kinds:
        assert not {k for k in kinds[kind] if f"C<{k}>" not in sections[kind]}, kind


def test_man_page_tells_the_keys_that_kinds_share():
    pod = (ROOT / "fs" / "daemon" / "fabricfs.yaml.5.pod").read_text()
    keys = {k for path in sources("backend/repo", suffixes=(".c", ".h"))
            for k in re.findall(r'\{\s*"([\w-]+)",\s*REPO_KEY_', path.read_text())}
    assert {"url", "path", "visibility", "token-file"} <= keys
    assert not {k for k in keys if f"C<{k}>" not in pod}


def test_man_page_tells_every_variable_of_a_command():
    pod = (ROOT / "fs" / "daemon" / "fabricfs.yaml.5.pod").read_text()
    told = re.search(r"C<FABRICFS_([A-Z0-9 ]+)>", pod).group(1).split()
    text = (ROOT / "backend" / "card" / "command" / "words.c").read_text()
    assert told == re.findall(r'\{ "FABRICFS_(\w+)",', text)


@pytest.mark.parametrize("page", ["fs/daemon/fabricfs.8.pod", "fs/daemon/fabricfs.yaml.5.pod",
                                  "fs/tree/fabricfs-tree.7.pod"])
def test_man_page_has_no_faults(page):
    run = subprocess.run(["podchecker", ROOT / page], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_the_version_is_told_once_for_all():
    makefile = (ROOT / "Makefile").read_text()
    version = re.search(r"^VERSION := (\S+)$", makefile, re.M).group(1)
    run = subprocess.run([BIN, "--version"], capture_output=True, text=True, check=True)
    assert run.stdout == f"fabricfs {version}\n"
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_package_has_a_reason():
    for listing in (ROOT / "contrib" / "packaging").glob("packages.*"):
        lines = [l for l in listing.read_text().splitlines() if l and not l.startswith("#")]
        assert lines
        for line in lines:
            assert len(line.split()) >= 3, line


def test_every_recogniser_is_in_the_table_and_has_a_fuzz_target():
    sys.path.insert(0, str(ROOT / "tests"))
    import check
    table = re.findall(r"&image_\w+", (ROOT / "backend" / "image" / "table.c").read_text())
    names = set()
    for source in (ROOT / "backend" / "image").glob("*.c"):
        names |= set(re.findall(r'\.name = "([^"]+)",$', source.read_text(), re.M))
    assert len(names) == len(table)
    assert names <= set(check.fuzz_targets())
