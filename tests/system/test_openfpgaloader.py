# SPDX-License-Identifier: Apache-2.0
"""openFPGALoader's own parsers read the same images, and `fabricfs inspect` tells the same facts.

It parses a file on its way to a device, so each run has one behind a virtual cable (xvc.py), and is the
whole way through: what the device was then given is what inspect takes for the configuration.
"""
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import BIN, run
from images import ROOT, flip
from xvc import Cable, Ecp5, Gowin, Xilinx7

subprocess.run(["make", "-s", "build/images/INDEX"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
FILES = {}  # of each format: its sound images, those of vendors' tools among them where they are there
for row in (line.split("\t") for line in (ROOT / "build/images/INDEX").read_text().splitlines()):
    if row[2] in ("0", "-"):
        FILES.setdefault(row[1], []).append(Path(row[0]))
ARTIX = 0x0362D093


def told(path):
    [line] = run([str(BIN), "inspect", "--json", str(path)]).stdout.splitlines()
    return json.loads(line)


def load(tap, path, kind="bit"):
    """What openFPGALoader says while it loads the file into that device."""
    with Cable(tap) as cable:
        done = subprocess.run(["openFPGALoader", "-c", "xvc-client", "--ip", "127.0.0.1", "--port", str(cable.port),
                               "-v", "--write-sram", "--file-type", kind, str(path)],
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    said = re.sub(r"\033\[[0-9;]*m|\0", "", (done.stdout + done.stderr).decode())
    assert "found 1 devices" in said, said
    return said


def header(said):
    """The facts that it lists."""
    return dict(re.findall(r"^([\w ]+): (.*)$", said.partition("bitstream header infos\n")[2], re.M))


@pytest.mark.parametrize("path", FILES["xilinx-bit"], ids=lambda path: path.name)
def test_it_agrees_on_a_xilinx_bit(path):
    tap = Xilinx7(ARTIX)
    seen, facts, data = header(load(tap, path)), told(path), path.read_bytes()
    name = [facts["part"], facts["package"], facts["speed"]]
    assert seen["part_name"].removeprefix("xc") in ("".join(filter(None, name))[2:], "-".join(filter(None, name))[2:])
    assert seen["design_name"].removesuffix(".ncd") == facts["design"]
    assert f"{seen['date']} {seen['hour']}" == facts["built"]
    # It takes the first two options for these by their place, whatever their names are.
    if re.fullmatch(rb"[^;]+;UserID=[^;]+;Version=[^;]+\0", data[16:16 + int.from_bytes(data[14:16], "big")]):
        assert int(seen["userID"], 16) == int(facts["user_id"], 16)
        assert facts["tool"] == f"Vivado {seen['toolVersion']}"
    # Where the configuration begins and ends.
    given, end = tap.configuration(), facts["declared_size"]
    start = end - len(given)
    assert given == data[start:end] and data[start - 5:start] == b"e" + len(given).to_bytes(4, "big")


@pytest.mark.parametrize("path", FILES["ecp5"] + FILES["nexus"], ids=lambda path: path.name)
def test_it_agrees_on_a_lattice_bit(path):
    facts = told(path)
    # That of an encrypted one it takes from the part's name.
    idcode = int(facts["idcode"] or {"lfe5u-45f": "41112043"}[facts["part"]], 16)
    tap = Ecp5(idcode)
    said = load(tap, path)
    seen = header(said)
    assert int(seen["idcode"], 16) == idcode
    assert seen["Part"].lower() == f"{facts['part']}-{facts['speed']}{facts['package']}".lower()
    assert seen.get("Design name", "").removesuffix(".ncd") == (facts["design"] or "")
    assert seen.get("Date") == facts["built"]
    if facts["tool"]:
        assert re.findall(r"[\d.]+$", seen["Version"]) == re.findall(r"[\d.]+$", facts["tool"])
    assert "Disable configuration: DONE" in said and path.read_bytes().endswith(tap.configuration())


@pytest.mark.parametrize("path", FILES["gowin-fs"], ids=lambda path: path.name)
def test_it_agrees_on_a_gowin_fs_and_on_its_checksum(path, tmp_path):
    facts, text = told(path), path.read_text()
    tap = Gowin(int(facts["idcode"], 16))
    said = load(tap, path, "fs")
    seen = header(said)
    assert seen["idcode"] == facts["idcode"]
    assert (seen["Compress"] == "ON") == facts["compressed"]
    assert (seen["CRCCheck"] == "ON") == ("crc16" in facts["integrity"]["checked"])
    lines = [line for line in text.splitlines() if line and line[0] in "01"]
    assert tap.configuration() == b"".join(int(line, 2).to_bytes(len(line) // 8, "big") for line in lines)
    # The sum that it computes of the rows is the one that the file has behind them.
    assert "checksum" in facts["integrity"]["checked"]
    [stated] = [int(line, 2) & 0xFFFF for line in lines if line.startswith(f"{0x0A:08b}")]
    assert computed(said) == stated
    # And no more of a row with a bit flipped, which inspect refuses.
    row = text.index(lines[-6])
    (tmp_path / "flip.fs").write_bytes(flip(path.read_bytes(), row + 100, 0))
    assert computed(load(Gowin(int(facts["idcode"], 16)), tmp_path / "flip.fs", "fs")) != stated
    assert told(tmp_path / "flip.fs")["errno"] == "EBADMSG"


def computed(said):
    return int(re.search(r"^checksum 0x([0-9a-f]{4})$", said, re.M)[1], 16)


def test_a_xilinx_bit_that_is_cut_is_refused_by_both(tmp_path):
    data = FILES["xilinx-bit"][0].read_bytes()
    (tmp_path / "cut.bit").write_bytes(data[:-40])
    tap = Xilinx7(ARTIX)
    said = load(tap, tmp_path / "cut.bit")
    assert "File is shorter than bitstream length declared in the header" in said and "FAIL" in said
    assert not tap.configuration()
    facts = told(tmp_path / "cut.bit")
    assert facts["errno"] == "EBADMSG" and f"{len(data) - 40} of {len(data)} bytes" in facts["reason"]


def test_a_lattice_bit_with_a_damaged_preamble_or_command_is_refused_by_both(tmp_path):
    data = FILES["ecp5"][0].read_bytes()
    preamble = data.index(b"\xff\xff\xbd\xb3")
    for at in (preamble + 2, data.index(b"\x3b", preamble)):
        (tmp_path / "flip.bit").write_bytes(flip(data, at, 3))
        tap = Ecp5(0x41111043)
        assert re.search("Wrong preamble|Unknown command", load(tap, tmp_path / "flip.bit"))
        assert not tap.configuration() and not told(tmp_path / "flip.bit")["sound"]


@pytest.mark.parametrize("kind, form, tap, part", [
    ("bit", "ecp5", Ecp5(0x41112043), "lfe5u-45f"), ("fs", "gowin-fs", Gowin(0x0100381B), "gw1n-4")])
def test_an_image_for_another_part_is_refused_by_both(kind, form, tap, part):
    path = next(each for each in FILES[form] if told(each)["idcode"] not in (None, f"{tap.idcode:08x}"))
    said = load(tap, path, kind)
    assert "mismatch between target's idcode and bitstream idcode" in said
    assert f"bitstream has 0x{told(path)['idcode'].upper()} hardware requires 0x{tap.idcode:08x}" in said
    assert not tap.configuration()
    done = run([str(BIN), "inspect", "--for", part, str(path)])
    assert done.returncode == 1 and told(path)["idcode"] in done.stdout and f"{tap.idcode:08x}" in done.stdout


def test_what_is_compared_with_is_there():
    assert shutil.which("openFPGALoader"), "openFPGALoader is missing: sudo make deps-check"
    assert all(len(FILES[form]) >= least for form, least in (("xilinx-bit", 12), ("ecp5", 5), ("nexus", 1), ("gowin-fs", 3)))
