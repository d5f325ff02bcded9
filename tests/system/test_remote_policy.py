# SPDX-License-Identifier: Apache-2.0
"""The policy `repositories`: a card takes only images that are known to be of these."""
import errno
import json
import os

import pytest

from harness import BIN, run
from images import BLINK, REGS, UPPER, large_hx1k, sha256

CONFIG = """cards:
  - {{name: strict, backend: sim, part: iCE40-HX1K, policy: {{repositories: [good]}}}}
  - {{name: other, backend: sim, part: iCE40-HX1K}}
repositories:
  good: {{kind: directory, path: {good}}}
  bad: {{kind: directory, path: {bad}}}
"""


@pytest.fixture
def fabric(fpga, tmp_path):
    """dev0 takes images of `good` alone, dev1 any."""
    for name, images in (("good", (UPPER, REGS)), ("bad", (BLINK, UPPER))):
        (tmp_path / name).mkdir()
        for image in images:
            (tmp_path / name / image.name).write_bytes(image.read_bytes())
    return fpga(sim=None, config=CONFIG.format(good=tmp_path / "good", bad=tmp_path / "bad"))


def copy(source, card, name="image"):
    return run(["cp", str(source), str(card.dir / name)])


def refused(card, *words):
    last = card.last("image-refused")
    assert last["result"] == "EPERM" and card.error == last["reason"]
    for word in words + ("policy", "good"):
        assert word in card.error, card.error
    assert card.state == "unconfigured" and card.sha == ""


def test_an_image_of_another_repository_is_refused_before_a_byte_of_it_is_fetched(fabric):
    card, image = fabric.card(), fabric.mount / "remote" / "bad" / BLINK.name
    source, target = os.open(image, os.O_RDONLY), os.open(card.image, os.O_WRONLY | os.O_TRUNC)
    with pytest.raises(OSError) as e:
        os.copy_file_range(source, target, 1 << 20, 0, 0)
    os.close(source)
    os.close(target)
    assert e.value.errno == errno.EPERM
    refused(card, "is of bad")
    assert os.getxattr(image, "user.fpga.cached") == b"0"
    # cp then tries to read and write, and gets no further.
    done = copy(image, card)
    assert done.returncode == 1 and os.strerror(errno.EPERM) in done.stderr
    refused(card, "is of bad")
    # The other card has no such policy, and what it has is no way around it.
    assert copy(image, fabric.card(1)).returncode == 0
    assert copy(fabric.card(1).image, card).returncode == 1
    refused(card)
    # Nor are its bytes, now that they are here.
    assert copy(image, card).returncode == 1
    refused(card, "is of bad")


@pytest.mark.parametrize("tool", ["cp", "install"])
@pytest.mark.parametrize("policy", ["formats: [xilinx-bit]", "repositories: [other]"])
def test_a_copy_that_a_policy_refuses_fetches_one_chunk(fpga, tmp_path, policy, tool):
    """They read and write when copy_file_range is not permitted, in pieces larger than that."""
    for name in ("nfs", "other"):
        (tmp_path / name).mkdir()
    data = large_hx1k(3_000_000)
    (tmp_path / "nfs" / "big.bin").write_bytes(data)
    fabric = fpga(sim=None, config=f"cards: [{{name: strict, backend: sim, part: iCE40-HX1K, policy: {{{policy}}}}}]\n"
                  f"repositories:\n  nfs: {{kind: directory, path: {tmp_path / 'nfs'}}}\n"
                  f"  other: {{kind: directory, path: {tmp_path / 'other'}}}\n")
    card, image = fabric.card(), fabric.mount / "remote" / "nfs" / "big.bin"
    done = run([tool, str(image), str(card.image)])
    assert done.returncode == 1
    assert os.strerror(errno.EPERM) in done.stderr
    assert card.last("image-refused")["result"] == "EPERM"
    assert int(os.getxattr(image, "user.fpga.cached")) == 32 * 1024
    # Who only reads it reads as much as he wants.
    with open(image, "rb", buffering=0) as f:
        assert f.read(262144) == data[:262144]


def test_an_image_of_the_repository_is_taken_and_put_back(fabric):
    card = fabric.card()
    assert copy(fabric.mount / "remote" / "good" / UPPER.name, card).returncode == 0
    assert card.sha == sha256(UPPER)
    assert copy(fabric.mount / "remote" / "good" / REGS.name, card).returncode == 0
    fabric.restart()
    card = fabric.card()
    assert card.sha == sha256(REGS)
    (card.dir / "ctl").write_text("rollback\n")
    assert card.sha == sha256(UPPER)


def test_bytes_are_taken_when_the_repository_is_known_to_list_them(fabric):
    card = fabric.card()
    assert card.write(UPPER.read_bytes()) == errno.EPERM
    refused(card, "not known")
    # A reader learns what its hash is.
    (fabric.mount / "remote" / "good" / UPPER.name).read_bytes()
    assert card.write(UPPER.read_bytes()) == 0
    assert card.sha == sha256(UPPER)
    assert card.write(BLINK.read_bytes()) == errno.EPERM
    assert card.sha == sha256(UPPER)


def test_an_image_changed_after_it_was_copied_is_no_longer_of_the_repository(fabric):
    card, image = fabric.card(), fabric.mount / "remote" / "good" / UPPER.name
    n = image.stat().st_size
    source, target = os.open(image, os.O_RDONLY), os.open(card.image, os.O_WRONLY | os.O_TRUNC)
    assert os.copy_file_range(source, target, n, 0, 0) == n
    os.ftruncate(target, 0)
    os.pwrite(target, BLINK.read_bytes(), 0)
    os.close(source)
    with pytest.raises(OSError) as e:
        os.close(target)
    assert e.value.errno == errno.EPERM
    refused(card, "not known")


def test_a_check_tells_it_and_looks_at_the_image_too(fabric):
    card = fabric.card()
    assert copy(fabric.mount / "remote" / "bad" / BLINK.name, card, "check").returncode == 1
    told = json.loads(card.read("check"))
    assert told["errno"] == "EPERM" and "is of bad" in told["reason"]
    assert told["sound"] is True and told["part"] == "iCE40-HX1K"
    assert copy(fabric.mount / "remote" / "good" / UPPER.name, card, "check").returncode == 0


def test_fits_offers_what_may_pass(fabric):
    for repo in ("good", "bad"):
        (fabric.mount / "remote" / repo / UPPER.name).read_bytes()
    assert os.listdir(fabric.card().dir / "fits" / "good") == [UPPER.name]
    assert os.listdir(fabric.card().dir / "fits" / "bad") == []
    assert not (fabric.card().dir / "fits" / "bad" / UPPER.name).is_symlink()
    assert os.listdir(fabric.card(1).dir / "fits" / "bad") == [UPPER.name]


def test_check_config_counts_repositories_and_knows_their_names(tmp_path):
    path = tmp_path / "f.yaml"
    text = CONFIG.format(good=tmp_path, bad=tmp_path)
    path.write_text(text)
    done = run([str(BIN), "check-config", str(path)])
    assert done.returncode == 0 and done.stdout == f"{path}: 2 cards, 2 repositories\n"
    path.write_text(text.replace("[good]", "[good, godo]"))
    done = run([str(BIN), "check-config", str(path)])
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (f"fabricfs: {path}:2: card 'strict': policy repositories: there is no repository 'godo', "
                           "known are: good, bad\n")
