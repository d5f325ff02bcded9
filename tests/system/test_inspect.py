# SPDX-License-Identifier: Apache-2.0
"""`fabricfs inspect`: its label, its JSON, what it reads, and other tools that read the same files."""
import json
import os
import pty
import re
import shutil
import subprocess
import threading
from pathlib import Path

import jsonschema
import pytest

from bitstreams import xilinx_large
from harness import BIN, run
from images import ROOT, flip, sha256

subprocess.run(["make", "-s", "build/images/INDEX"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
INDEX = [line.split("\t") for line in (ROOT / "build/images/INDEX").read_text().splitlines()]
FILES = {"/".join(Path(row[0]).parts[-2:]): Path(row[0]) for row in INDEX}
# And what fuzzing began with: composed by the unit tests, behind a byte '@'.
SEEDS = ROOT / "build/images/seeds"
SEEDS.mkdir(exist_ok=True)
for seed in sorted((ROOT / "tests/fuzz/corpus/image").iterdir()):
    if seed.read_bytes()[:1] == b"@" and not re.fullmatch("[0-9a-f]{40}", seed.name):
        (SEEDS / seed.name).write_bytes(seed.read_bytes()[1:])
        FILES[f"seeds/{seed.name}"] = SEEDS / seed.name
GOOD = [name for name, row in zip(FILES, INDEX) if row[2] in ("0", "no card")]
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "contrib/schema/inspect.schema.json").read_text()))
XC7A35T = FILES["xilinx-bit/full.bit"]


def inspect(*argv, **more):
    return run([str(BIN), "inspect", *map(str, argv)], **more)


def told(*argv, **more):
    """The objects of --json, each as the schema says."""
    objects = [json.loads(line) for line in inspect("--json", *argv, **more).stdout.splitlines()]
    for each in objects:
        SCHEMA.validate(each)
    return objects


# --- label and JSON -------------------------------------------------------------------------

@pytest.mark.parametrize("name", FILES)
def test_label_and_json_of_every_image_say_the_same(name):
    path = FILES[name]
    done = inspect(path)
    lines = done.stdout.splitlines()
    [facts] = told(path)
    assert done.returncode == (0 if facts["sound"] else 1)
    assert lines[0].startswith(f"{path}: {'sound' if facts['sound'] else 'not sound'}")
    assert all(re.match(r"  [a-z][a-z0-9 ]{9} \S", line) for line in lines[1:]), lines
    assert len(lines) <= 15
    label = {line[2:12].strip(): line[13:] for line in lines[1:]}
    assert label["sha256"] == facts["sha256"] == sha256(path)
    assert label["size"].split()[0] == str(facts["size"]) == str(path.stat().st_size)
    for key, value in (("format", facts["format"]), ("part", facts["part"]), ("idcode", facts["idcode"]),
                       ("design", facts["design"]), ("firmware", facts["firmware"]), ("detail", facts["detail"])):
        assert value is None or label[key].startswith(value), (key, value)
    if facts["sound"]:
        assert len(lines) >= 8
        keeps = "that AWS keeps" if facts["format"] == "aws-afi" else None
        target = facts["targets"][0] if facts["targets"] else facts["family"] or "a part"
        assert (facts["no_card"] or keeps or facts["part"] or facts["shell"] or target) in lines[0]
    else:
        assert facts["reason"] in lines[0] and f"({facts['errno']})" in lines[0]


def test_a_damaged_image_is_told_by_what_does_not_hold(tmp_path):
    data = XC7A35T.read_bytes()
    (tmp_path / "cut").write_bytes(data[:-40])
    (tmp_path / "flip").write_bytes(flip(data, 600, 3))
    (tmp_path / "long").write_bytes(data + b"more")
    cut, flipped, longer = told(tmp_path / "cut", tmp_path / "flip", tmp_path / "long")
    assert cut["errno"] == flipped["errno"] == "EBADMSG" and longer["errno"] == "EFBIG"
    assert f"{len(data) - 40} of {len(data)} bytes" in cut["reason"] and "CRC" in flipped["reason"]
    assert "does not hold" not in inspect(tmp_path / "cut").stdout


def test_several_files_have_the_exit_status_of_the_worst_and_a_label_each(tmp_path):
    good, bad = XC7A35T, FILES["refused/text"]
    assert inspect(good, good).returncode == 0
    done = inspect(good, bad, good, tmp_path / "nowhere")
    assert done.returncode == 1
    assert [block.splitlines()[0].split(": ")[0] for block in done.stdout.split("\n\n")] == [
        str(good), str(bad), str(good), str(tmp_path / "nowhere")]
    assert [each["errno"] for each in told(good, bad, tmp_path / "nowhere")] == [None, "ENOEXEC", "ENOENT"]
    assert inspect().returncode == inspect("--nonsense", good).returncode == 2


def test_a_name_of_any_bytes_stays_one_line_and_json(tmp_path):
    path = os.fsencode(tmp_path) + b"/a\n\033[31m\xc2\x9b31m\xc3\xa9\xff.bit"
    with open(path, "wb") as f:
        f.write(XC7A35T.read_bytes())
    done = subprocess.run([str(BIN), "inspect", path], capture_output=True, check=True, timeout=20)
    assert b"\033" not in done.stdout and done.stdout.splitlines()[0].startswith(os.fsencode(tmp_path) + b"/a??[31m?31m\xc3\xa9")
    done = subprocess.run([str(BIN), "inspect", "--json", path], capture_output=True, check=True, timeout=20)
    assert len(done.stdout.splitlines()) == 1
    SCHEMA.validate(json.loads(done.stdout))


# --- what it reads ---------------------------------------------------------------------------

def test_standard_input_is_read_as_a_file_from_where_it_stands():
    data = XC7A35T.read_bytes()
    with open(XC7A35T, "rb") as f:
        assert told("-", stdin=f)[0]["sha256"] == sha256(data)
    with open(XC7A35T, "rb") as f:
        os.lseek(f.fileno(), data.index(b"\xff" * 32), os.SEEK_SET)
        [rest] = told("-", stdin=f)
    assert rest["format"] == "xilinx-bin" and rest["sound"] and rest["size"] < len(data)
    piped = subprocess.run([str(BIN), "inspect", "--json", "-"], input=data, capture_output=True, check=True, timeout=20)
    assert json.loads(piped.stdout)["sha256"] == sha256(data)
    assert told("-", stdin=subprocess.DEVNULL)[0]["errno"] == "EBADMSG"


def test_what_is_no_file_is_told_and_never_waited_for(tmp_path):
    assert told(tmp_path)[0]["errno"] == "EISDIR"
    [zero] = told("/dev/zero", timeout=20)
    assert zero["errno"] == "ENOEXEC" and zero["sha256"] is None and zero["size"] is not None
    assert told("/dev/null")[0]["errno"] == "EBADMSG"
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "secret").chmod(0)
    tmp_path.chmod(0o755)
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    shown = run([*as_nobody, str(BIN), "inspect", "--json", str(tmp_path / "secret")], cwd="/")
    assert json.loads(shown.stdout)["errno"] == "EACCES" and shown.returncode == 1


def test_a_fifo_is_read_to_its_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    data = XC7A35T.read_bytes()
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(data))
    writer.start()
    assert told(tmp_path / "pipe", timeout=20)[0]["sha256"] == sha256(data)
    writer.join()


def test_a_file_that_grows_is_read_as_far_as_it_went_and_told(tmp_path):
    """The writer writes on for as long as inspect reads."""
    path = tmp_path / "growing.bit"
    path.write_bytes(xilinx_large(40 << 20))
    before = path.stat().st_size
    with open(path, "ab") as writer, subprocess.Popen([str(BIN), "inspect", "--json", str(path)],
                                                      stdout=subprocess.PIPE, text=True) as reader:
        while reader.poll() is None:
            writer.write(b"\xff" * 4096)
            writer.flush()
        [line] = reader.stdout.read().splitlines()
    facts = json.loads(line)
    SCHEMA.validate(facts)
    if facts["size"] == before:
        assert facts["errno"] == "EBUSY" and f"from {before} to " in facts["reason"]
    else:  # it had grown before it was opened
        assert facts["errno"] in ("EBUSY", "EFBIG") or facts["sound"]


def most_memory(pid):
    """KiB that it had at most so far."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])


def test_a_large_image_takes_no_more_memory_than_a_small_one(tmp_path):
    data = xilinx_large(100 << 20)
    (tmp_path / "large.bit").write_bytes(data)
    os.mkfifo(tmp_path / "then")
    most = 16 << 10 if BIN.parent.name == "build" else 1 << 20  # sanitizers keep what was freed
    # It has read the large one when it opens what comes then.
    with subprocess.Popen([str(BIN), "inspect", str(tmp_path / "large.bit"), str(tmp_path / "then")],
                          stdout=subprocess.PIPE, text=True) as reader:
        with open(tmp_path / "then", "wb"):
            assert most_memory(reader.pid) < most
        assert ": sound, an image for xcku15p" in reader.stdout.read()
    with subprocess.Popen([str(BIN), "inspect", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        reader.stdin.write(data)
        reader.stdin.flush()
        assert most_memory(reader.pid) < most
        reader.stdin.close()
        assert b": sound, an image for xcku15p" in reader.stdout.read()


# --- at a terminal -----------------------------------------------------------------------------

def at_a_terminal(argv, **env):
    """What a terminal gets of it."""
    main, side = pty.openpty()
    base = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
    with subprocess.Popen([str(BIN), "inspect", *map(str, argv)], stdin=side, stdout=side, stderr=side, env={**base, **env}):
        os.close(side)
        out = b""
        while True:
            try:
                more = os.read(main, 65536)
            except OSError:  # EIO: nobody has it open any more
                break
            if not more:
                break
            out += more
    os.close(main)
    return out


def test_colours_are_for_terminals_that_have_them():
    good, bad = XC7A35T, FILES["refused/text"]
    assert b": \033[1;32msound\033[0m, an image for" in at_a_terminal([good], TERM="xterm")
    assert b": \033[1;31mnot sound\033[0m: " in at_a_terminal([bad], TERM="xterm")
    assert b": \033[1;33msound\033[0m" in at_a_terminal([FILES["refused/warm-boot.bin"]], TERM="xterm")
    for env in ({"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}, {}):
        assert b"\033" not in at_a_terminal([good], **env)
    assert b"\033" not in at_a_terminal(["--json", good], TERM="xterm")
    assert "\033" not in inspect(good, env={**os.environ, "TERM": "xterm"}).stdout


def test_progress_is_shown_of_a_large_file_and_taken_away(tmp_path):
    (tmp_path / "large.bit").write_bytes(xilinx_large(64 << 20))
    shown = at_a_terminal([tmp_path / "large.bit"], TERM="xterm")
    percents = [int(n) for n in re.findall(rb"\[#* *\] +(\d+)%", shown)]
    assert len(percents) > 20 and percents == sorted(percents) and percents[-1] >= 98
    assert shown.index(b"\r\033[K") < shown.index(b"large.bit")
    assert b"%" not in at_a_terminal([tmp_path / "large.bit"], TERM="dumb")
    assert b"%" not in at_a_terminal([XC7A35T], TERM="xterm")
    done = inspect(tmp_path / "large.bit")
    assert done.stderr == "" and "%" not in done.stdout


# --- other tools ---------------------------------------------------------------------------------

def output(*argv):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=True, timeout=60,
                          env={**os.environ, "LC_ALL": "C", "TZ": "UTC"}).stdout


@pytest.mark.parametrize("name", [n for n in GOOD if n.startswith("xilinx-bit/")]
                         + [n for n, row in zip(FILES, INDEX) if row[1] == "xilinx-bit" and row[2] == "-"])
def test_file_agrees_on_the_header_of_a_bit(name):
    seen = re.search(r"Xilinx BIT data - from (\S+?)(?:;\S*)?(?: - for (\S+))? - built (\S+)\((\S+)\) - data length (\S+)",
                     output("file", "-b", FILES[name]))
    [facts] = told(FILES[name])
    assert seen, output("file", "-b", FILES[name])
    assert facts["design"] == seen[1].removesuffix(".ncd")
    assert facts["built"] == f"{seen[3]} {seen[4]}"
    part = facts["part"].removeprefix("" if seen[2].startswith("xc") else "xc")
    assert seen[2].lower().startswith(part)
    assert seen[2].endswith("-".join(filter(None, [facts["package"], facts["speed"]])))
    header = FILES[name].read_bytes().index(int(seen[5], 16).to_bytes(4, "big"), 60) + 4
    assert facts["declared_size"] == header + int(seen[5], 16)


@pytest.mark.parametrize("name", [n for n, row in zip(FILES, INDEX) if row[1] == "xclbin" and row[2] != "no card"])
def test_file_agrees_on_an_xclbin(name):
    seen = output("file", "-b", FILES[name])
    [facts] = told(FILES[name])
    assert f" {facts['declared_size']} bytes," in seen and "(xclbin)" in seen
    shell = re.search(r'shell "([^"]*)"', seen)
    assert not shell or shell[1] == facts["shell"]
    uuid = re.search(r"uuid ([0-9a-f-]+)", seen)
    assert uuid and uuid[1].replace("-", "") == facts["unique_id"]


ICE40 = [n for n, row in zip(FILES, INDEX) if row[1] == "ice40" and row[2] != "no card" and "multiboot" not in n]
DEVICES = {"iCE40-LP384": "384", "iCE40-HX1K": "1k", "iCE40-HX8K": "8k", "iCE40-UP5K": "5k"}


@pytest.mark.parametrize("path", [FILES[n] for n in ICE40] + sorted((ROOT / "contrib/examples").rglob("*.bin")),
                         ids=lambda path: path.name)
def test_iceunpack_agrees_on_the_part_of_an_ice40_image(path, tmp_path):
    output("iceunpack", path, tmp_path / "a.asc")
    [facts] = told(path)
    device = re.search(r"^\.device (\S+)$", (tmp_path / "a.asc").read_text(), re.M)[1]
    assert facts["sound"] and DEVICES[facts["part"]] == device
    # And what it packs again is the same configuration.
    output("icepack", tmp_path / "a.asc", tmp_path / "a.bin")
    [again] = told(tmp_path / "a.bin")
    assert again["sound"] and again["part"] == facts["part"]


def test_iceunpack_refuses_the_flipped_bits_that_inspect_refuses(tmp_path):
    data = FILES["ice40/lp384.bin"].read_bytes()
    start = data.index(bytes.fromhex("0105")) + 2
    for k in range(20):
        (tmp_path / "flip").write_bytes(flip(data, start + 30 + k * 350, k % 8))
        seen = subprocess.run(["iceunpack", str(tmp_path / "flip"), str(tmp_path / "asc")], capture_output=True, text=True,
                              check=False, timeout=60)
        assert "CRC" in seen.stderr and seen.returncode
        assert told(tmp_path / "flip")[0]["errno"] == "EBADMSG"


def test_a_flash_image_of_icemulti_is_sound_and_for_no_card(tmp_path):
    output("icemulti", "-o", tmp_path / "multi.bin", FILES["ice40/lp384.bin"], FILES["ice40/lp384.bin"])
    [facts] = told(tmp_path / "multi.bin")
    assert facts["sound"] and facts["part"] == "iCE40-LP384" and "single image" in facts["no_card"]


OVERLAY = """/dts-v1/;
/plugin/;
/ {
	fragment@0 {
		target = <&fpga_full>;
		__overlay__ { firmware-name = "design.bit.bin"; partial-fpga-config; };
	};
	fragment@1 {
		target-path = "/axi";
		__overlay__ { gpio@a0000000 { compatible = "xlnx,xps-gpio-1.00.a"; reg = <0xa0000000 0x1000>; }; };
	};
};
"""


def test_fdtget_agrees_on_overlays_and_dtc_makes_one_that_is_sound(tmp_path):
    (tmp_path / "a.dts").write_text(OVERLAY)
    output("dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", tmp_path / "a.dtbo", tmp_path / "a.dts")
    overlays = [tmp_path / "a.dtbo", *(FILES[n] for n, row in zip(FILES, INDEX) if row[1] == "dtbo" and row[2] != "no card")]
    for path in overlays:
        [facts] = told(path)
        assert facts["sound"] and facts["declared_size"] == path.stat().st_size
        fragment = next(f for f in output("fdtget", "-l", path, "/").split() if f.startswith("fragment"))
        assert facts["firmware"] == output("fdtget", path, f"/{fragment}/__overlay__", "firmware-name").strip()
        for label in output("fdtget", "-p", path, "/__fixups__").split():
            if ":target:" in output("fdtget", path, "/__fixups__", label):
                assert label in facts["targets"]
    [facts] = told(tmp_path / "a.dtbo")
    assert facts["partial"] is True and set(facts["targets"]) == {"/axi", "fpga_full"}
    # What dtc cannot read is refused here too.
    data = (tmp_path / "a.dtbo").read_bytes()
    (tmp_path / "cut").write_bytes(data[:len(data) // 2])
    assert subprocess.run(["fdtget", "-l", str(tmp_path / "cut"), "/"], capture_output=True, check=False, timeout=20).returncode
    assert told(tmp_path / "cut")[0]["errno"] == "EBADMSG"


def test_readelf_agrees_on_the_sections_of_an_aocx():
    path = FILES["aocx/a10.aocx"]
    data = path.read_bytes()
    rows = {m[1]: (int(m[2], 16), int(m[3], 16)) for m in re.finditer(
        r"\] (\.\S+) +\S+ +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+)", output("readelf", "-SW", path))}
    [facts] = told(path)
    at, size = rows[".acl.board"]
    assert facts["shell"] == data[at:at + size].decode()
    at, size = rows[".acl.version"]
    assert data[at:at + size].decode() in facts["tool"]
    start, count = (int(re.search(pattern, output("readelf", "-hW", path))[1])
                    for pattern in (r"Start of section headers: +(\d+)", r"Number of section headers: +(\d+)"))
    assert facts["declared_size"] == start + 40 * count


def test_the_tools_that_are_compared_with_are_there():
    for tool in ("file", "iceunpack", "icepack", "icemulti", "dtc", "fdtget", "readelf"):
        assert shutil.which(tool), f"{tool} is missing: sudo make deps-check"
