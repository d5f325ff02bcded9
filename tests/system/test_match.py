# SPDX-License-Identifier: Apache-2.0
"""Which image suits which card, slot or shell: by copying, by `check` and by `inspect --for` alike."""
import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from bitstreams import gbs, overlay, xclbin, xilinx_bit
from harness import BIN, LIMIT, run, until
from images import BLINK, ROOT, UPPER, sha256
from test_formats import formats as all_formats
from test_inspect import SCHEMA

SAMPLES = ROOT.parent / "shared" / "samples"
K26 = ("xck26-sfvc784-2LV-c", 0x04A49093)

BASE = xilinx_bit(*K26, design="top;UniqueID=8def22be;ParentID=00000000;UserID=0XCAFE0001;Version=2025.1")
SAME_BASE = xilinx_bit(*K26, frames=3, design="top;UniqueID=8def22be;UserID=0XFFFFFFFF;Version=2025.1")
OTHER_BASE = xilinx_bit(*K26, design="else;UniqueID=11111111;UserID=0XFFFFFFFF;Version=2025.1")
NO_ID_BASE = xilinx_bit(*K26, design="old;UserID=0XFFFFFFFF;Version=2022.1")
PART = xilinx_bit(*K26, design="part;PARTIAL=TRUE;UniqueID=22222222;ParentID=8def22be;Version=2025.1")
OTHER_PART = xilinx_bit(*K26, design="part;PARTIAL=TRUE;ParentID=11111111;Version=2025.1")
OLD_PART = xilinx_bit(*K26, design="part;PARTIAL=TRUE;UserID=0XFFFFFFFF;Version=2022.1")
USER_PART = xilinx_bit(*K26, design="part;PARTIAL=TRUE;UserID=0XCAFE0001;Version=2022.1")
WRONG_PART = xilinx_bit("7a50tfgg484", 0x0362C093, design="p;PARTIAL=TRUE;ParentID=8def22be;Version=2025.1")


@pytest.fixture
def operated(fpga):
    """operated(keys): a card that an operator's commands program, with these keys more."""
    def make(keys=""):
        fabric = fpga.make(sim=None)
        fabric.config_path = fabric.folder / "fabricfs.yaml"
        config = fabric.folder / "config"
        fabric.config_path.write_text(
            f"cards:\n  - name: board\n    backend: command\n    program: [cp, '%f', {config}]\n"
            f"    verify: [cmp, -s, '%f', {config}]\n    clear: [rm, -f, {config}]\n"
            + "".join(f"    {line}\n" for line in keys.splitlines()))
        return fabric.start().card()
    return make


def inspect(data, tmp_path, *options):
    path = tmp_path / "image"
    path.write_bytes(data)
    done = run([str(BIN), "inspect", "--json", *options, str(path)])
    return done.returncode, json.loads(done.stdout)


def verdict(card, data, tmp_path):
    """None when it suits, else the sentence; copying, check and inspect have to say the same."""
    fabric, before = card.fabric, card.count("programmed")
    assert card.write(data, "check") in (0, errno.EMEDIUMTYPE)
    checked = json.loads(card.read("check"))
    status, told = inspect(data, tmp_path, "--for", card.name, "--mount", str(fabric.mount))
    # What was refused by its header is not known to be sound.
    assert checked["sound"] is (True if checked["sha256"] else None) and told["sound"] is True
    SCHEMA.validate(checked)
    assert all(checked[key] == told[key] for key in ("errno", "reason", "fits"))
    assert status == (1 if told["fits"] is False else 0)
    assert card.count("programmed") == before
    problem = card.write(data)
    if told["fits"] is False:
        assert problem == errno.EMEDIUMTYPE and checked["fits"] is False
        assert card.error == told["reason"] == card.last("image-refused")["reason"]
        assert card.count("programmed") == before
        return card.error
    assert problem == 0, card.error
    assert card.sha == sha256(data)
    return None


# A small image of each format, and of each shape that it comes in (tests/images/make.py).
subprocess.run(["make", "-s", "build/images/INDEX"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
ROWS = [line.split("\t") for line in (ROOT / "build/images/INDEX").read_text().splitlines()]
IMAGES = {"/".join(Path(row[0]).parts[-2:]): Path(row[0]).read_bytes() for row in ROWS if row[2] == "0"}


# --- whole cards ---------------------------------------------------------------------------


def test_a_partial_image_is_not_for_a_whole_card(operated, tmp_path):
    card = operated("part: xck26")
    assert card.value("takes") == "full" and card.value("shell") == ""
    says = verdict(card, PART, tmp_path)
    assert says.startswith("image is a partial one for xck26 and the static design 8def22be, dev0 takes full ones")
    assert "copy the full image" in says
    assert verdict(card, OLD_PART, tmp_path).startswith("image is a partial one for xck26, dev0 takes full ones")
    assert "idcode 0362c093" in verdict(card, WRONG_PART, tmp_path)
    assert card.state in ("unknown", "unconfigured")
    assert verdict(card, BASE, tmp_path) is None
    assert "dev0 takes full ones" in verdict(card, PART, tmp_path)


def test_a_refusal_comes_with_the_write_that_shows_it(operated):
    card = operated("part: xck26\nslots: 1\nshell: 8def22be")
    for data in (OTHER_PART, BASE):  # the header of the one tells it, and the first packets of the other
        fd = os.open(card.slot(0).image, os.O_WRONLY | os.O_TRUNC)
        try:
            with pytest.raises(OSError) as refused:
                os.write(fd, data[:512])
        finally:
            os.close(fd)
        assert refused.value.errno == errno.EMEDIUMTYPE


def test_a_simulated_card_and_its_slots_take_full_images(fpga, tmp_path):
    fabric = fpga(sim=None, config="cards: [{name: four, backend: sim, slots: 2}]")
    card = fabric.card()
    assert card.value("takes") == "full" and card.value("formats") == "ice40"
    assert verdict(card.slot(1), UPPER.read_bytes(), tmp_path) is None
    assert "takes ice40" in verdict(card.slot(1), BASE, tmp_path)


def test_several_dies_are_known_by_the_outermost(operated, tmp_path):
    data = IMAGES["xilinx-bit/stacked.bit"]
    told = inspect(data, tmp_path)[1]
    assert told["dies"] > 1
    version = f"2{told['idcode'][1:]}"  # what the silicon answers has its version in front
    assert verdict(operated(f"idcode: '{version}'"), data, tmp_path) is None
    says = verdict(operated("idcode: '04b42093'"), data, tmp_path)  # of an inner die of an xcvu37p
    assert told["idcode"] in says and "04b42093" in says


def test_samples_of_vendor_tools_are_judged_right_by_parts_that_they_are_for():
    if not SAMPLES.is_dir():
        pytest.skip(f"{SAMPLES} is not there")
    files = sorted(str(path) for path in SAMPLES.glob("*/*") if path.parent.name != "LICENSES")
    told = [json.loads(line) for line in run([str(BIN), "inspect", "--json", *files]).stdout.splitlines()]
    assert len(told) == len(files) > 20
    parts = {image["part"] for image in told if image["part"]}
    assert {"xc7a35t", "xc7a50t", "xck26", "lfe5u-45f", "iCE40-HX1K", "t8"} <= parts
    for part in sorted(parts):
        done = run([str(BIN), "inspect", "--json", "--for", part.upper(), *files])
        assert done.returncode == 1
        for image, line in zip(told, done.stdout.splitlines()):
            fits, own = json.loads(line)["fits"], [image["part"], *(image["also_parts"] or [])]
            if image["no_card"]:
                assert fits is False
            elif image["part"]:
                assert fits is (part in own), (image["file"], part)
            else:
                assert fits is not True, (image["file"], part)


# --- over what is loaded -------------------------------------------------------------------------


def test_a_partial_image_goes_over_the_static_design_that_is_loaded(operated, tmp_path):
    card = operated("part: xck26\npartial: true")
    assert card.value("takes") == "full partial"
    assert card.fabric.status()["cards"][0]["capabilities"]["partial"] is True
    says = verdict(card, PART, tmp_path)
    assert "static design 8def22be, dev0 has no static design loaded" in says and "first copy the full image" in says

    assert verdict(card, BASE, tmp_path) is None
    assert card.value("shell") == "8def22be cafe0001" == card.fabric.status()["cards"][0]["shell"]
    says = verdict(card, OTHER_PART, tmp_path)
    assert "for the static design 11111111, dev0 runs 8def22be cafe0001" in says
    assert "does not tell its static design, dev0 runs 8def22be" in verdict(card, OLD_PART, tmp_path)
    assert card.sha == sha256(BASE)
    assert verdict(card, USER_PART, tmp_path) is None

    # What runs beside it is still the same, and so is what may come next.
    assert card.value("shell") == "cafe0001" and card.value("loaded/partial") == "true"
    assert "11111111" in verdict(card, OTHER_PART, tmp_path)
    assert verdict(card, BASE, tmp_path) is None
    assert verdict(card, PART, tmp_path) is None
    assert card.value("shell") == "8def22be" == card.value("loaded/shell")
    assert card.ctl("reload") == 0

    assert verdict(card, OTHER_BASE, tmp_path) is None
    assert card.value("shell") == "11111111"
    assert "static design 8def22be, dev0 runs 11111111" in verdict(card, PART, tmp_path)
    assert verdict(card, OTHER_PART, tmp_path) is None


def test_a_static_design_without_an_id_takes_no_partial_image(operated, tmp_path):
    card = operated("part: xck26\npartial: true")
    assert verdict(card, NO_ID_BASE, tmp_path) is None
    for data in (PART, OLD_PART, USER_PART):
        assert "dev0 has no static design loaded that is known by an id" in verdict(card, data, tmp_path)


def test_what_is_cleared_or_lost_is_no_static_design(operated, tmp_path):
    card = operated("part: xck26\npartial: true")
    assert verdict(card, BASE, tmp_path) is None
    assert verdict(card, PART, tmp_path) is None
    assert card.ctl("clear") == 0
    assert card.value("shell") == ""
    assert "no static design loaded" in verdict(card, PART, tmp_path)
    # The previous image is partial too: rolling back to it would be the same mistake.
    assert card.ctl("rollback") == errno.EMEDIUMTYPE
    assert "no static design loaded" in card.error
    assert verdict(card, BASE, tmp_path) is None
    card.fabric.restart()
    # Nobody has asked the card whether it still has it.
    assert card.state == "unknown" and card.value("shell") == ""
    assert "no static design loaded" in verdict(card, PART, tmp_path)


def test_a_worker_that_is_replaced_still_knows_the_static_design(operated, tmp_path):
    card = operated("part: xck26\npartial: true")
    assert verdict(card, BASE, tmp_path) is None
    before = card.fabric.processes("fabricfs-worker")
    assert card.fabric.kill("fabricfs-worker")
    until(lambda: set(card.fabric.processes("fabricfs-worker")) - set(before), "the next worker")
    card.wait_state("configured")
    assert verdict(card, PART, tmp_path) is None
    card.fabric.expect_errors = True  # the holder tells of the death


def test_a_worker_that_dies_over_a_partial_image_does_not_forget_what_it_is_for(operated, tmp_path):
    card = operated("part: xck26\npartial: true")
    folder = card.fabric.folder
    os.mkfifo(folder / "wait")
    (tmp_path / "part").write_bytes(PART)
    load = folder / "load"
    load.write_text(f"#!/bin/sh\necho >> {folder}/asked\n[ ! -e {folder}/hold ] || read x < {folder}/wait\n"
                    f"cp \"$1\" {folder}/config\n")
    load.chmod(0o755)
    text = card.fabric.config_path.read_text().replace("program: [cp, '%f', " + str(folder / "config") + "]",
                                                       f"program: [{load}, '%f']")
    assert str(load) in text
    card.fabric.config_path.write_text(text)
    card.fabric.restart()
    assert card.write(BASE) == 0, card.error
    (folder / "hold").touch()
    copy = subprocess.Popen(["cp", str(tmp_path / "part"), str(card.image)], stderr=subprocess.PIPE)
    until(lambda: len((folder / "asked").read_text()) == 2, "the partial image is being programmed")
    (folder / "hold").unlink()
    assert card.fabric.kill("fabricfs-worker")
    told = copy.communicate(timeout=LIMIT)[1]
    assert copy.returncode == 0, (told, card.error)
    assert card.sha == sha256(PART) and card.value("shell") == "8def22be"
    card.fabric.expect_errors = True  # the holder tells of the death


def test_a_copy_by_reference_is_compared_too(fpga):
    """copy_file_range from another card: the facts go with the bytes."""
    fabric = fpga.make(sim=None)
    fabric.config_path = fabric.folder / "fabricfs.yaml"
    fabric.config_path.write_text("cards:\n" + "".join(
        f"  - {{name: c{i}, backend: command, part: xck26, program: [/bin/true], verify: [/bin/true], {keys}}}\n"
        for i, keys in enumerate(("partial: true", "partial: false"))))
    fabric.start()
    a, b = fabric.card(0), fabric.card(1)
    assert a.write(BASE) == 0 and a.write(PART) == 0, a.error
    done = run(["cp", str(a.image), str(b.image)])
    assert done.returncode == 1 and "Wrong medium type" in done.stderr
    assert "image is a partial one for xck26 and the static design 8def22be, dev1 takes full ones" in b.error


# --- slots beside a static design --------------------------------------------------------------------


def test_a_slot_takes_partial_images_for_its_shell_alone(operated, tmp_path):
    card = operated("part: xck26\nslots: 2\nshell: 8DEF22BE")
    slot = card.slot(1)
    assert card.value("takes") == "partial" and card.value("shell") == "8DEF22BE"
    says = verdict(slot, BASE, tmp_path)
    assert says.startswith("image is a full one for xck26, dev0/slots/1 takes partial ones")
    assert "8DEF22BE; copy a partial image" in says
    says = verdict(slot, OTHER_PART, tmp_path)
    assert "for the static design 11111111, dev0/slots/1 runs 8DEF22BE; build" in says
    assert verdict(slot, PART, tmp_path) is None
    # Older tools name none: somebody chose this slot.
    assert verdict(slot, OLD_PART, tmp_path) is None
    assert "0362c093" in verdict(slot, WRONG_PART, tmp_path)
    assert card.slot(0).value("state") != "configured"
    # The card itself is compared with what suits its slots.
    assert card.write(PART, "check") == 0
    assert card.write(BASE, "check") == errno.EMEDIUMTYPE and "dev0 takes partial ones" in card.error
    assert inspect(PART, tmp_path, "--for", "dev0", "--mount", str(card.fabric.mount))[1]["fits"] is True


def test_slots_of_which_nothing_is_said_take_either(operated, tmp_path):
    card = operated("part: xck26\nslots: 1")
    assert card.value("takes") == ""
    for data in (BASE, PART, OLD_PART):
        assert verdict(card.slot(0), data, tmp_path) is None
    assert verdict(operated("part: xck26\nslots: 1\npartial: true").slot(0), OTHER_PART, tmp_path) is None
    assert "takes partial ones" in verdict(operated("part: xck26\nslots: 1\npartial: true").slot(0), BASE, tmp_path)
    assert "takes full ones" in verdict(operated("part: xck26\nslots: 1\npartial: false").slot(0), PART, tmp_path)


def test_names_are_written_as_one_as_many_or_as_none(operated):
    for written, shown in (("8def22be", "8def22be"), ("[a_name, 8def22be]", "a_name 8def22be"), ("none", ""), ("[]", "")):
        assert operated(f"shell: {written}").value("shell") == shown


# --- platforms, boards, machines, accelerators -----------------------------------------------------------


UUID, OTHER_UUID = "f59830f7-e716-5369-9b8e-5a0f8a4e8b9a", "9926ab6d-6c92-5a68-aabc-a7d84c545738"
AFU, OTHER_AFU = "d8424dc4-a4a3-c413-f89e-433683f9040b", "331db30c-9885-41ea-9081-f88b8f655caa"
VBNV = "xilinx_u250_gen3x16_xdma_4_1"
GBS, SIGNED = gbs(UUID, [AFU]), gbs(UUID, [AFU, OTHER_AFU], signed=True)
XCLBIN = xclbin(VBNV, bytes(range(16)), xilinx_bit())


@pytest.mark.parametrize("keys, data, says", [
    (f"shell: {UUID}", GBS, None),
    (f"shell: {UUID.upper().replace('-', '')}", SIGNED, None),
    (f"shell: {OTHER_UUID}", GBS, f"static design {UUID}, dev0 runs {OTHER_UUID}"),
    ("", GBS, f"static design {UUID}, dev0 takes full ones"),
    (f"shell: {UUID}\nafus: [{AFU}]", GBS, None),
    (f"shell: {UUID}\nafus: {OTHER_AFU}", GBS, f"functions {AFU}, dev0 takes {OTHER_AFU}"),
    (f"shell: {UUID}\nafus: {AFU}", SIGNED, f"functions {AFU} {OTHER_AFU}, dev0 takes {AFU}"),
    (f"shell: [{VBNV}, 00010203-0405-0607-0809-0a0b0c0d0e0f]\npartial: false", XCLBIN, None),
    (f"shell: [{VBNV}, {UUID}]\npartial: false", XCLBIN, "static design 000102030405060708090a0b0c0d0e0f, dev0 runs"),
    ("shell: xilinx_u250_gen3x16_xdma_3_1\npartial: false", XCLBIN, f"{VBNV}, dev0 runs xilinx_u250_gen3x16_xdma_3_1"),
    ("board: U250", XCLBIN, None),
    ("board: U280", XCLBIN, f"board {VBNV}, dev0 is a U280"),
    ("board: Some accelerator card", XCLBIN, None),
], ids=range(13))
def test_a_shell_board_or_accelerator_is_named_on_both_sides(operated, tmp_path, keys, data, says):
    card = operated(keys + "\npolicy: {accept-unsized: true}")
    told = verdict(card, data, tmp_path)
    assert told is None if says is None else says in told


def test_an_overlay_is_for_its_machine(operated, tmp_path):
    card = operated("compatible: ['xlnx,zynqmp-k26', 'xlnx,zynqmp']")
    assert card.value("compatible") == "xlnx,zynqmp-k26 xlnx,zynqmp"
    says = verdict(card, overlay(["xlnx,zynq-7000"]), tmp_path)
    assert "compatible with xlnx,zynq-7000, dev0 is in one that is compatible with xlnx,zynqmp-k26 xlnx,zynqmp" in says
    assert verdict(card, overlay(["xlnx,zynqmp-kv260", "xlnx,zynqmp"]), tmp_path) is None
    assert verdict(card, overlay(), tmp_path) is None


def test_what_cannot_be_compared_is_neither_said_to_fit_nor_not(operated, tmp_path):
    card = operated("part: 10cl006\npolicy: {accept-unsized: true}")
    assert verdict(card, b"\xff" * 32 + bytes.fromhex("6af7f7f7f7f7f7f3") + bytes(3000), tmp_path) is None
    assert json.loads(card.read("check"))["fits"] is None
    assert verdict(operated("part: xck26"), BASE, tmp_path) is None


def test_a_policy_goes_beside_what_suits(operated):
    card = operated("part: xck26\npolicy: {formats: [xilinx-bin]}")
    assert card.write(BASE) == errno.EPERM
    assert card.write(PART) == errno.EMEDIUMTYPE
    card.write(BASE, "check")
    told = json.loads(card.read("check"))
    assert told["sound"] is (True if told["sha256"] else None)
    assert told["errno"] == "EPERM" and "policy" in told["reason"]
    SCHEMA.validate(told)


# --- the same facts everywhere -------------------------------------------------------------------------------

# What is about a file or a verdict, and not about the image.
ABOUT_FILE = {"file", "sound", "errno", "reason", "fits", "no_card"}


def shown(value):
    """A value of JSON as a file of loaded/ shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(value)
    if isinstance(value, dict):
        return " ".join(value["checked"]) + ("" if value["ok"] else " failed")
    return str(value)


@pytest.fixture(scope="module")
def any_card(module_fpga):
    """A card for whatever is no partial image, and one for what is."""
    fabric = module_fpga.make(sim=None)
    fabric.config_path = fabric.folder / "fabricfs.yaml"
    fabric.config_path.write_text("cards:\n" + "".join(
        f"  - {{name: {name}, backend: command, program: [/bin/true], verify: [/bin/true], slots: {slots}, "
        f"policy: {{accept-unsized: true}}}}\n" for name, slots in (("whole", 0), ("parts", 1))))
    return fabric.start()


def loadable():
    more = {"blink": BLINK.read_bytes(), "partial": PART, "base": BASE, "gbs": SIGNED, "xclbin": XCLBIN,
            "overlay": overlay(["xlnx,zynqmp"])}
    for name, data in {**IMAGES, **more}.items():
        done = subprocess.run([str(BIN), "inspect", "--json", "-"], input=data, capture_output=True, check=False)
        told = json.loads(done.stdout)
        if told["sound"] and not told.get("no_card"):
            yield name, data, told["format"], told["partial"]


def test_facts_are_the_same_wherever_they_are_told(any_card, tmp_path):
    formats = set()
    for name, data, form, partial in loadable():
        card = any_card.card(1).slot(0) if partial else any_card.card(0)
        assert card.write(data, "check") == 0, (name, card.error)
        assert card.write(data) == 0, (name, card.error)
        formats.add(form)
        told = inspect(data, tmp_path)[1]
        checked = json.loads(card.read("check"))
        listed = any_card.status()["cards"][1]["slots"][0] if partial else any_card.status()["cards"][0]
        record = card.last("programmed")
        attributes = {key[len("user.fpga."):] for key in os.listxattr(card.image)}
        assert attributes == {f for f in os.listdir(card.dir / "loaded") if card.value(f"loaded/{f}")}
        for key in told.keys() - ABOUT_FILE:
            text = shown(told[key])
            assert checked[key] == told[key], (name, key)
            assert listed["loaded"][key] == told[key], (name, key)
            assert card.value(f"loaded/{key}") == text, (name, key)
            if text:
                assert os.getxattr(card.image, f"user.fpga.{key}").decode() == text, (name, key)
            if key in ("format", "part", "design", "size", "sha256"):
                assert record.get(key) == told[key], (name, key)
    assert formats == all_formats(), "an image of every format that there is"


# --- inspect finds the card ----------------------------------------------------------------------------------

ONLY = r"""
set -e
mkdir -p "$1"
mount --bind "$2" "$1"
grep ' - fuse.fabricfs ' /proc/self/mountinfo | cut -d' ' -f5 | while IFS= read -r seen; do
	[ "$seen" = "$3" ] || umount -l "$(printf '%b' "$seen")"
done
shift 3
exec "$@"
"""


def only_mounted(at, source, seen, *argv):
    """Runs argv where `source` at the path `at` is the only tree, which the kernel shows as `seen`."""
    return run(["unshare", "-m", "sh", "-c", ONLY, "sh", str(at), str(source), seen, *map(str, argv)])


@pytest.mark.parametrize("odd, seen", [("with blank", r"with\040blank"), ("back\\slash", r"back\134slash"),
                                       ("tab\tand\nline", r"tab\011and\012line"), ("ümläut#", "ümläut#")])
def test_inspect_finds_a_tree_at_an_odd_path(operated, tmp_path, odd, seen):
    card = operated("part: xck26\nslots: 1\nshell: 8def22be")
    path = tmp_path / "image"
    path.write_bytes(OTHER_PART)
    for name in ("dev0", "dev0/slots/0"):
        done = only_mounted(tmp_path / odd, card.fabric.mount, f"{tmp_path}/{seen}", BIN, "inspect", "--for", name, path)
        assert done.returncode == 1 and f"11111111, {name} runs 8def22be" in done.stdout, done


def test_inspect_takes_the_path_of_a_card_or_slot(operated, tmp_path):
    card = operated("part: xck26\nslots: 1\nshell: 8def22be")
    for folder, name in ((card.dir, "dev0"), (card.slot(0).dir, "dev0/slots/0")):
        assert f"11111111, {name} runs 8def22be" in inspect(OTHER_PART, tmp_path, "--for", str(folder))[1]["reason"]
    for wrong, word in ((card.fabric.mount, "neither a part nor"), (card.fabric.mount / "dev7", "cannot be read"),
                        (card.dir / "image", "neither a part nor"), (card.dir / "slots/9", "cannot be read")):
        done = run([str(BIN), "inspect", "--for", str(wrong), str(tmp_path / "image")])
        assert done.returncode == 2 and word in done.stderr, done


def test_inspect_finds_a_card_that_alone_is_there(operated, tmp_path):
    """As in a container that was given the directory of one card."""
    card = operated("part: xck26\nslots: 1\nshell: 8def22be")
    path = tmp_path / "image"
    path.write_bytes(OTHER_PART)
    place = tmp_path / "mine"
    for name in ("dev0", "dev0/slots/0"):
        done = only_mounted(place, card.dir, str(place), BIN, "inspect", "--for", name, path)
        assert done.returncode == 1 and f"11111111, {name} runs 8def22be" in done.stdout, done
    done = only_mounted(place, card.dir, str(place), BIN, "inspect", "--for", "dev1", path)
    assert done.returncode == 2 and "/fpga/dev1 cannot be read" in done.stderr, done
