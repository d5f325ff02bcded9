# SPDX-License-Identifier: Apache-2.0
"""Images of other formats than the simulated card's: what a copy of them says, and `inspect`."""
import errno
import json
import os
import re
import tarfile
import zipfile

import pytest

from bitstreams import ecp5_bit, lattice_encrypted, xilinx_bit, xilinx_stream
from harness import BIN, run
from images import BLINK, ROOT, flip, sha256

CARD = """cards:
  - name: board
    backend: command
    part: {part}
    program: [cp, "%f", {folder}/config]
    verify: [cmp, -s, "%f", {folder}/config]
    policy: {{{policy}}}
"""


@pytest.fixture
def board(fpga):
    """board(part, policy): a card of another vendor that an operator's commands program."""
    def make(part, policy=""):
        fabric = fpga.make(sim=None)
        fabric.config_path = fabric.folder / "fabricfs.yaml"
        fabric.config_path.write_text(CARD.format(folder=fabric.folder, part=part, policy=policy))
        return fabric.start().card()
    return make


@pytest.fixture
def arty(board):
    return board("xc7a35t")


def refusal_of_write(path, data):
    """The errno of the first write() of so many bytes; None: it was taken."""
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(fd, data)
        return None
    except OSError as e:
        return e.errno
    finally:
        os.close(fd)


def inspect(path, *options):
    return run([str(BIN), "inspect", *options, str(path)])


def test_a_bit_file_is_a_good_image_for_another_card_than_the_simulated_one(card):
    assert card.write(xilinx_bit()) == errno.EMEDIUMTYPE
    assert "xilinx-bit" in card.error and "iCE40-HX1K" in card.error
    assert card.state == "unconfigured"
    assert card.write(xilinx_stream(0x0362D093)) == errno.EMEDIUMTYPE
    assert card.last("program-failed" if card.count("program-failed") else "image-refused")


def test_a_bit_file_programs_the_card_that_it_is_for(arty):
    data = xilinx_bit()
    assert arty.write(data) == 0, arty.error
    assert arty.state == "configured"
    assert arty.value("loaded/format") == "xilinx-bit"
    assert arty.value("loaded/part") == "xc7a35t"
    assert arty.value("loaded/design") == "top"
    assert arty.value("loaded/tool") == "Vivado 2022.1"
    assert arty.sha == sha256(data)


def test_a_bit_file_for_a_sister_part_fails_the_first_write_naming_both(arty):
    data, before = xilinx_bit("7a50tfgg484", 0x0362C093), arty.state
    assert refusal_of_write(arty.image, data[:1024]) == errno.EMEDIUMTYPE
    for word in ("xc7a50t", "0362c093", "xc7a35t", "0362d093"):
        assert word in arty.error
    assert arty.state == before


def test_a_damaged_or_cut_bit_file_never_reaches_the_card(arty):
    data = xilinx_bit()
    assert arty.write(flip(data, len(data) // 2, 3)) == errno.EBADMSG
    assert "CRC" in arty.error
    assert arty.write(data[:-1]) == errno.EBADMSG
    assert f"{len(data) - 1} of {len(data)} bytes" in arty.error
    assert not (arty.fabric.folder / "config").exists()


def test_an_fsync_programs_only_what_shows_its_end(board):
    """A raw image may go on with another die behind any DESYNC: its close programs it."""
    card = board("xc7a35t")
    for data, at_fsync in ((xilinx_stream(0x0362D093), False), (xilinx_bit(), True)):
        before = card.count("programmed")
        fd = os.open(card.image, os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(fd, data)
            os.fsync(fd)
            assert card.count("programmed") == before + at_fsync
        finally:
            os.close(fd)
        assert card.count("programmed") == before + 1
        assert card.sha == sha256(data)


def test_inspect_says_first_whether_it_is_sound_and_for_what(tmp_path):
    path = tmp_path / "a.bit"
    path.write_bytes(xilinx_bit())
    lines = inspect(path).stdout.splitlines()
    assert lines[0] == f"{path}: sound, an image for xc7a35t"
    assert 8 <= len(lines) <= 15
    path.write_bytes(xilinx_bit()[:500])
    assert inspect(path).stdout.startswith(f"{path}: not sound: xilinx-bit: truncated: 500 of ")


def test_an_image_for_no_card_is_sound_and_its_first_write_fails(card, tmp_path):
    vector = bytes.fromhex("7eaa997e92000044030000a08200000108") + bytes(15)
    path = tmp_path / "multi.bin"
    path.write_bytes(5 * vector + BLINK.read_bytes())
    assert refusal_of_write(card.image, path.read_bytes()[:512]) == errno.EMEDIUMTYPE
    assert "takes a single image" in card.error and card.state == "unconfigured"
    done = inspect(path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[0].startswith(f"{path}: sound, for no card: a flash image")
    told = json.loads(inspect(path, "--json", "--for", "iCE40-HX1K").stdout)
    assert told["sound"] is True and told["fits"] is False and "single image" in told["no_card"]


def test_inspect_takes_no_vendor_for_a_part(tmp_path):
    path = tmp_path / "afi.txt"
    path.write_text("agfi-0123456789abcdef0\n")
    assert inspect(path).stdout.splitlines()[0].endswith(", the name of an image that AWS keeps")


def test_inspect_for_a_sister_part_names_both_parts_and_idcodes(tmp_path):
    path = tmp_path / "a.bit"
    path.write_bytes(xilinx_bit("7a50tfgg484", 0x0362C093))
    done = inspect(path, "--for", "xc7a35t")
    assert done.returncode == 1
    assert "image is for xc7a50t (idcode 0362c093), card has xc7a35t (0362d093)" in done.stdout
    assert inspect(path, "--for", "xc7a50t").returncode == 0
    told = json.loads(inspect(path, "--json", "--for", "xc7a35t").stdout)
    assert told["sound"] is True and told["fits"] is False and told["idcode"] == "0362c093"
    assert told["integrity"] == {"checked": ["crc32c"], "ok": True}


def test_an_ecp5_image_programs_its_part_and_not_its_sister(board):
    card = board("LFE5U-25F")
    assert card.write(ecp5_bit()) == 0, card.error
    assert card.value("loaded/part") == "lfe5u-25f"
    assert card.write(ecp5_bit("LFE5U-12F-6CABGA256", 0x21111043)) == errno.EMEDIUMTYPE
    assert "21111043" in card.error and "41111043" in card.error
    assert card.write(flip(ecp5_bit(), 200, 2)) == errno.EBADMSG


def test_an_image_without_an_end_needs_the_operators_word(board):
    image = lattice_encrypted()
    card = board("LFE5U-25F")
    assert card.write(image) == errno.EPERM
    assert "accept-unsized" in card.error
    card = board("LFE5U-25F", "accept-unsized: true")
    assert card.write(image) == 0, card.error
    assert card.value("loaded/format") == "ecp5"


def test_what_is_handed_over_by_mistake_is_named_with_the_next_step(card, tmp_path):
    (tmp_path / "a.bit").write_bytes(xilinx_bit())
    with zipfile.ZipFile(tmp_path / "design.xsa", "w") as archive:
        archive.writestr("sysdef.xml", "<Project/>")
        archive.write(tmp_path / "a.bit", "top_wrapper.bit")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "a.bit", "a.bit")
    (tmp_path / "pointer.bit").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (tmp_path / "page.bit").write_text("<!DOCTYPE html><title>404</title>")
    for name, word in (("design.xsa", "hardware archive of Vivado (.xsa); copy the image in it: unzip -p FILE 'top_wrapper.bit'"), ("a.tar", "tar -xOf"),
                       ("pointer.bit", "git lfs pull"), ("page.bit", "web page")):
        assert refusal_of_write(card.image, (tmp_path / name).read_bytes()[:65536]) == errno.ENOEXEC
        assert word in card.error, name
        assert word in inspect(tmp_path / name).stdout


# --- the formats themselves; what inspect says of an image of each is in test_inspect.py -----

def formats():
    """All names of formats that a policy may have."""
    text = (ROOT / "fs/daemon/config_card.c").read_text()
    block = re.search(r"#define FORMAT_NAMES(.*?)\n\n", text, re.S)[1]
    return set("".join(re.findall(r'"([^"]*)"', block)).split())


def test_every_format_has_a_paragraph_and_a_name_for_policies():
    page = (ROOT / "fs/daemon/fabricfs.8.pod").read_text()
    page = page[page.index("=head1 IMAGE FORMATS"):page.index("=head1 CHECK-CONFIG")]
    described = set(re.findall(r"C<([a-z0-9-]+)>", " ".join(re.findall(r"^=item (.*)", page, re.M))))
    assert formats() <= described
    recognised = set(re.findall(r'\.name = "([^"]+)"', " ".join(
        p.read_text() for p in (ROOT / "backend/image").glob("*.c"))))
    assert recognised == formats()


def test_the_man_page_tells_the_tier_of_each_format_and_what_is_checked():
    page = (ROOT / "fs/daemon/fabricfs.8.pod").read_text().split("=head1 IMAGE FORMATS")[1].split("=back")[0]
    for entry in page.split("\n=item ")[1:]:
        head, told = entry.split("\n", 1)
        assert re.match(r"\s+I<(Checked|Recognised)", told), head
        if "I<Checked" in told:
            assert re.search(r"[Cc]overed|CRC|[Cc]hecked:|No checksum|no bits", told), head


def test_inspect_finds_the_tree_of_a_card_by_itself(card, tmp_path):
    """In a view of the mounts that has this one alone: other tests have theirs."""
    path = tmp_path / "a.bit"
    path.write_bytes(xilinx_bit())
    script = ("grep ' fuse.fabricfs ' /proc/self/mounts | cut -d' ' -f2 | grep -vxF \"$1\" | xargs -r -n1 umount -l; "
              "exec \"$2\" inspect --for \"$3\" \"$4\"")
    done = run(["unshare", "-m", "sh", "-c", script, "sh", str(card.fabric.mount), str(BIN), card.dir.name, str(path)])
    assert done.returncode == 1 and "card has " in done.stdout, done
