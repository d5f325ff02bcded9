# SPDX-License-Identifier: Apache-2.0
"""remote/: what the cache keeps, what it drops, and what it says of that (DESIGN 4, bounded)."""
import os
import random

import pytest

from harness import until
from images import UPPER, sha256

MIB = 1 << 20


def noise(size, seed):
    return random.Random(seed).randbytes(size)


def attr(path, name):
    return os.getxattr(path, f"user.fpga.{name}").decode()


def cached(path):
    return int(attr(path, "cached"))


def pin(path, value=b"1"):
    os.setxattr(path, "user.fpga.pinned", value)


def refresh(folder):
    (folder / ".repo" / "refresh").write_text("now\n", encoding="ascii")


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


@pytest.fixture
def mirror(fpga, files):
    """A daemon with a card and a folder of images; and its remote/nfs."""
    def make(extra="", **kw):
        fabric = fpga(config=f"repositories:\n  nfs: {{kind: directory, path: {files}}}\n{extra}", **kw)
        return fabric, fabric.mount / "remote" / "nfs"
    return make


def read_whole(path, data):
    """Read, and known to be here as a whole."""
    assert sha256(path.read_bytes()) == sha256(data)
    until(lambda: cached(path) == len(data), "it is whole")


# --- pins -----------------------------------------------------------------------------------------


def test_a_pin_is_of_the_file_whatever_becomes_of_its_bytes(mirror, files):
    data = [noise(MIB, i) for i in range(6)]
    for i in range(5):
        (files / f"{i}.bin").write_bytes(data[i])
    _, remote = mirror("cache: {quota: 3MiB}\n")
    pin(remote / "0.bin")
    assert cached(remote / "0.bin") == 0
    read_whole(remote / "0.bin", data[0])
    os.utime(files / "0.bin")
    (files / "0.bin").write_bytes(data[5])
    refresh(remote)
    assert attr(remote / "0.bin", "pinned") == "1"
    # The bytes of before are not kept for it, and the new ones are once they are here.
    read_whole(remote / "0.bin", data[5])
    for i in range(1, 5):
        read_whole(remote / f"{i}.bin", data[i])
    assert cached(remote / "0.bin") == MIB
    assert cached(remote / "1.bin") == cached(remote / "2.bin") == 0
    pin(remote / "0.bin", b"0")
    for i in range(1, 4):
        read_whole(remote / f"{i}.bin", data[i])
    assert cached(remote / "0.bin") == 0


def test_a_pin_outlives_the_daemon_and_the_listing_of_its_image(mirror, files):
    data = noise(MIB, 1)
    for name in "ab":
        (files / f"{name}.bin").write_bytes(data)
    fabric, remote = mirror()
    pin(remote / "a.bin")
    os.rename(files / "a.bin", files.with_name("away"))
    refresh(remote)
    refresh(remote)
    assert sorted(os.listdir(remote)) == [".repo", "b.bin"]
    fabric.stop()
    fabric.start()
    os.rename(files.with_name("away"), files / "a.bin")
    refresh(remote)
    assert attr(remote / "a.bin", "pinned") == "1"
    assert attr(remote / "b.bin", "pinned") == "0"


def test_of_two_names_with_the_same_bytes_one_may_be_pinned(mirror, files):
    data = [noise(MIB, 10 + i) for i in range(5)]
    for name in "ab":
        (files / f"{name}.bin").write_bytes(data[0])
    (files / "SHA256SUMS").write_text("".join(f"{sha256(data[0])}  {name}.bin\n" for name in "ab"))
    for i in range(1, 5):
        (files / f"{i}.bin").write_bytes(data[i])
    _, remote = mirror("cache: {quota: 3MiB}\n")
    pin(remote / "a.bin")
    pin(remote / "b.bin", b"0")
    assert [attr(remote / f"{name}.bin", "pinned") for name in "ab"] == ["1", "0"]
    # Read by the name that is not pinned.
    read_whole(remote / "b.bin", data[0])
    for i in range(1, 5):
        read_whole(remote / f"{i}.bin", data[i])
    assert cached(remote / "a.bin") == cached(remote / "b.bin") == MIB


# --- whose image it is -----------------------------------------------------------------------------


def test_a_hash_names_no_repository_that_is_not_configured(fpga, tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.bin").write_bytes(UPPER.read_bytes())
        (tmp_path / name / "SHA256SUMS").write_text(f"{sha256(UPPER)}  {name}.bin\n")
    lines = {name: f"  {name}: {{kind: directory, path: {tmp_path / name}}}\n" for name in ("old", "new")}
    fabric = fpga(config="repositories:\n" + lines["old"])
    card = fabric.card()
    assert "old.bin" in os.listdir(fabric.mount / "remote" / "old")
    card.load(UPPER)
    assert card.value("loaded/source") == "old:old.bin@old.bin"
    fabric.stop()
    fabric.config_path.write_text("repositories:\n" + lines["new"])
    fabric.start()
    card.load(UPPER)
    assert card.value("loaded/source") == "new:new.bin@new.bin"
    # What is listed no more is named no more, unless it came from there.
    os.remove(tmp_path / "new" / "new.bin")
    (tmp_path / "new" / "other.bin").write_bytes(b"other")
    refresh(fabric.mount / "remote" / "new")
    card.load(UPPER)
    assert card.value("loaded/source") == ""
