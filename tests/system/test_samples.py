# SPDX-License-Identifier: Apache-2.0
"""Every fact that the manifest of the samples states, of every sample, as `inspect --json` tells it.

The samples are files of vendors' tools; they lie beside the project, for their licences. How many
CRC words and repeated frames a stream has is compared in tests/unit/test_image_xilinx_samples.c.
"""
import csv
import datetime
import hashlib
import json
import re

import pytest

from harness import BIN, run
from images import ROOT

FOLDER = ROOT.parent / "shared" / "samples"
ROWS = []
if (FOLDER / "MANIFEST.tsv").is_file():
    with open(FOLDER / "MANIFEST.tsv", encoding="utf-8", newline="") as manifest:
        ROWS = list(csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_samples_of_vendor_tools_are_judged_right_by_a_whole_manifest():
    if not FOLDER.is_dir():
        pytest.skip(f"{FOLDER} is not there")
    assert len(ROWS) > 20
    listed = {row["file"] for row in ROWS} | {"MANIFEST.tsv"}
    there = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert {name for name in there if not name.startswith("LICENSES/")} == listed


# --- what it is for -----------------------------------------------------------------------

def check_part(row, told):
    text, kind = row["part_idcode_board"], row["format"]
    idcode = re.search(r"\bidcode ([0-9a-f]{8})\b", text)
    if idcode:
        assert told["idcode"] == idcode[1]
    name = text.split(" idcode ")[0]
    if kind == "xilinx-bit":
        parts = [told["part"] if name.startswith("xc") else told["part"][2:], told["package"], told["speed"]]
        assert ("-" if name.startswith("xc") else "").join(filter(None, parts)) == name
    elif text.startswith("VBNV empty"):
        assert told["shell"] is None and text.split("; ")[1] in told["detail"]
    elif kind == "xclbin":
        assert told["shell"] == text
    elif kind == "rbf":
        assert text.startswith("by file name only") and told["part"] is None and told["confidence"] == "guess"
    elif "multiboot" in text:
        assert "warm-boot table" in told["no_card"]
    elif kind == "ice40":
        wanted = {"iCE40 1K (LP1K/HX1K)": "iCE40-HX1K", "iCE40UP5K": "iCE40-UP5K"}[text]
        assert told["part"] == wanted
    elif kind == "efinix":
        assert told["part"] + told["package"].lower() == text.lower()
    elif kind == "dtbo":
        assert "firmware-name " + told["firmware"] == text
    elif kind == "aws-afi":
        assert text.split()[1] in told["detail"]
    else:
        assert idcode, f"nothing here compares {text!r}"


# --- what was made, with what, and when ---------------------------------------------------

def check_design(row, told):
    text, kind = row["design"], row["format"]
    if text == "-":
        return
    if text.startswith("uuid "):
        assert told["unique_id"] == text.split()[1]
        return
    if kind != "xilinx-bit":
        assert told["design"] == text
        return
    name, *items = text.split(";")
    assert told["design"] == name.removesuffix(".ncd")
    for item in items:
        key, value = item.split("=")
        if key == "UserID":
            assert told["user_id"] == value[2:].lower()
        elif key == "Version":
            assert told["tool"] == f"Vivado {value}"
        elif key in ("COMPRESS", "PARTIAL"):
            assert told["compressed" if key == "COMPRESS" else "partial"] is (value == "TRUE")
        elif key == "UniqueID":
            assert told["unique_id"] == value
        elif key == "ParentID":
            assert told["shell"] == (None if set(value) == {"0"} else value)
        else:
            assert key == "SW_CRC", f"nothing here compares {item!r}"


# Lines of comments, and where what they say is told.
LINES = {"Version": "tool", "Generated": "built", "Date": "built", "Family": "family", "Design name": "design"}


def check_tool(row, told):
    text, kind = row["date_tool"], row["format"]
    if text in ("-", "Quartus", "FDT v17"):
        return
    if text in ("no comment", "bootgen"):
        assert told["tool"] == (None if text == "no comment" else text)
    elif kind == "xilinx-bit":
        assert told["built"] == text
    elif kind == "xclbin":
        version, when = re.fullmatch(r"xclbin (\S+) ts (\d+)", text).groups()
        assert version in told["tool"]
        assert datetime.datetime.fromisoformat(told["built"]).timestamp() == int(when)
    else:
        lines = [line.split(":", 1) for line in text.split(" | ") if ":" in line]
        for key, value in lines:
            if key in LINES:
                assert value.strip().removesuffix(".ncd").strip() in told[LINES[key]], key
            elif key in ("Part", "Device"):
                compact = "".join((told["part"] + "-" + (told["speed"] or "") + (told["package"] or "")).split("-"))
                assert compact.lower() == value.strip().replace("-", "").lower()
            elif key == "Project":
                # The builder's own folder, which is not shown.
                assert "/" not in json.dumps(told["design"])
        assert any(key in LINES for key, _ in lines)


# --- whether it is sound ---------------------------------------------------------------------

def check_clause(clause, row, told):
    size = int(row["bytes"])
    if clause == "valid":
        assert told["sound"] is True and told["errno"] is None
    elif clause in ("header length ok", "length field ok", "totalsize ok"):
        assert told["declared_size"] == size
    elif clause.startswith(("CRC writes ", "CRC ok")):
        assert told["integrity"]["ok"] is True
        names = {"xilinx-bit": ["crc32c"], "xilinx-bin": ["header-sums", "crc32c"], "ice40": ["crc16"]}
        assert told["integrity"]["checked"] == names[row["format"]]
    elif clause.startswith("compressed"):
        assert told["compressed"] is True
    elif clause.startswith("partial"):
        assert told["partial"] is True
    elif "CRC16 (Spartan-3/3E)" in clause:
        assert told["integrity"] == {"checked": ["crc16"], "ok": True}
    elif clause.startswith("matches the agfi inside "):
        other = run([str(BIN), "inspect", "--json", str(FOLDER / "xclbin" / clause.split()[-1])])
        assert told["design"] in json.loads(other.stdout)["detail"]
    elif clause.startswith("16-bit packets"):
        assert told["family"] == "Spartan-6" and told["integrity"] == {"checked": ["crc22"], "ok": True}
    elif match := re.fullmatch(r"wakeup ends at (\d+) of (\d+)", clause):
        assert (told["declared_size"], told["size"]) == tuple(map(int, match.groups()))
    elif clause == "no BITSTREAM section":
        assert told["detail"].startswith("no bitstream")
    elif clause.startswith("BITSTREAM section is 22 bytes of AGFI text"):
        assert "it has no bits" in told["detail"]
    elif match := re.match(r"(\d+) leading ff, then", clause):
        assert ("Cyclone V" if match[1] == "128" else "10 LP") in told["family"]
    elif clause == "no comment":
        assert told["tool"] is None and told["package"] is None
    elif clause.startswith("sections "):
        assert told["kernels"] and "memory " in told["needs"] and {"MEM_TOPO", "IP_LAYOUT"} < set(
            clause.split()[1].split(","))
    elif "reference only" in clause:
        assert "no bits" in told["detail"]
    elif clause.startswith("ASCII hex bytes"):
        assert told["format"] == "efinix"
    elif clause.startswith("Zynq boot-image header in front"):
        assert told["tool"] == "bootgen" and told["idcode"]
    else:
        assert clause.startswith("warmboot table first") and "no_card" in told, f"nothing here compares {clause!r}"


@pytest.mark.parametrize("row", ROWS, ids=[row["file"] for row in ROWS])
def test_samples_of_vendor_tools_are_judged_right(row):
    path = FOLDER / row["file"]
    done = run([str(BIN), "inspect", "--json", str(path)])
    told = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert told["size"] == int(row["bytes"])
    assert told["sha256"] == row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told["format"] == row["format"]
    check_part(row, told)
    check_design(row, told)
    check_tool(row, told)
    expectation = re.sub(r" \(stored gzip.*\)$", "", row["expectation"])
    for clause in expectation.split("; "):
        check_clause(clause, row, told)
