# SPDX-License-Identifier: Apache-2.0
"""remote/: what the cache keeps, what it drops, and what it says of that (DESIGN 4, bounded)."""
import concurrent.futures
import contextlib
import errno
import os
import random
import sqlite3
import subprocess

import pytest

from fault_proxy import FaultProxy
from harness import run, until
from images import UPPER, sha256
from webserver import WebServer

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


def kept_files(fabric, *folders):
    return sorted(p.name for folder in folders for p in (fabric.state_dir / folder).iterdir())


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


# --- quota ----------------------------------------------------------------------------------------


def test_a_quota_little_above_what_is_read_at_a_time_is_enough(mirror, files):
    """The kernel tells of a close a moment later: what was closed is not in use."""
    for i in range(12):
        (files / f"{i}.bin").write_bytes(noise(MIB, i))
    fabric, remote = mirror("cache: {quota: 4200KiB}\n")

    def read_some(seed):
        for i in random.Random(seed).sample(range(12), 12):
            assert sha256((remote / f"{i}.bin").read_bytes()) == sha256(files / f"{i}.bin")

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(read_some, range(3)))
    assert sum(cached(remote / f"{i}.bin") for i in range(12)) <= 4200 * 1024


def test_a_quota_that_was_lowered_holds_from_the_start_on(mirror, files):
    data = [noise(MIB, i) for i in range(5)]
    for i in range(5):
        (files / f"{i}.bin").write_bytes(data[i])
    fabric, remote = mirror("cache: {quota: 6MiB}\n")
    pin(remote / "0.bin")
    for i in range(5):
        read_whole(remote / f"{i}.bin", data[i])
    fabric.stop()
    fabric.config_path.write_text(fabric.config_path.read_text().replace("6MiB", "3MiB"))
    fabric.start()
    assert [cached(remote / f"{i}.bin") for i in range(5)] == [MIB, 0, 0, MIB, MIB]
    assert kept_files(fabric, "blobs") == sorted(sha256(data[i]) for i in (0, 3, 4))


def test_what_the_cache_says_it_has_is_what_is_on_the_disk(mirror, files):
    same = noise(MIB, 1)
    for name in "ab":
        (files / f"{name}.bin").write_bytes(same)
    (files / "c.bin").write_bytes(noise(MIB, 2))
    fabric, remote = mirror()
    for name in "ab":
        read_whole(remote / f"{name}.bin", same)
    with open(remote / "c.bin", "rb") as f:
        f.read(100)
        until(lambda: 0 < cached(remote / "c.bin") < MIB, "a part of it is here")
        # One copy of what is the same, and a chunk.
        assert fabric.metric_sum("fabricfs_cache_bytes") == MIB + cached(remote / "c.bin")
        kept = sum(p.stat().st_blocks * 512 for name in ("blobs", "chunks")
                   for p in (fabric.state_dir / name).iterdir() if not p.name.endswith(".map"))
        assert kept == fabric.metric_sum("fabricfs_cache_bytes")


def rows(fabric, sql):
    with contextlib.closing(sqlite3.connect(f"file:{fabric.state_dir}/catalogue.db?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


def test_images_that_are_replaced_over_and_over_leave_nothing_behind(mirror, files):
    fabric, remote = mirror("cache: {quota: 600KiB}\n")
    for n in range(4):
        for i in range(100):
            (files / f"{i}.bin").write_bytes(noise(4096, 100 * n + i))
            os.utime(files / f"{i}.bin", (1000 * n, 1000 * n))
        refresh(remote)
        for i in range(100):
            assert (remote / f"{i}.bin").read_bytes() == noise(4096, 100 * n + i)
    # Of 400 that were read, what is listed now or was not dropped yet; and a few that are about to be looked for.
    until(lambda: rows(fabric, "SELECT count(*) FROM content")[0][0] <= 300, "old ones are forgotten")
    assert fabric.metric_sum("fabricfs_cache_bytes") <= 600 * 1024
    fabric.stop()
    fabric.start()
    now = {sha256(files / f"{i}.bin") for i in range(100)}
    assert set(kept_files(fabric, "blobs")) <= now
    assert kept_files(fabric, "chunks") == []
    assert len(rows(fabric, "SELECT 1 FROM content")) == 100


def test_files_without_a_row_and_rows_without_a_file_are_put_right_at_the_start(mirror, files):
    data = [noise(MIB, i) for i in range(3)]
    for i in range(3):
        (files / f"{i}.bin").write_bytes(data[i])
    fabric, remote = mirror()
    for i in range(3):
        read_whole(remote / f"{i}.bin", data[i])
    fabric.stop()
    for name in ("999", "999.map", "nonsense", "12x"):
        (fabric.state_dir / "chunks" / name).write_bytes(b"x" * 10000)
    (fabric.state_dir / "blobs" / ("0" * 64)).write_bytes(b"x")
    os.remove(fabric.state_dir / "blobs" / sha256(data[1]))
    fabric.start()
    assert kept_files(fabric, "chunks") == []
    assert kept_files(fabric, "blobs") == sorted([sha256(data[0]), sha256(data[2])])
    for i in range(3):
        read_whole(remote / f"{i}.bin", data[i])
    assert fabric.metric_sum("fabricfs_cache_bytes") == 3 * MIB


@pytest.mark.parametrize("victim", ["all", "worker"])
def test_what_is_killed_while_it_evicts_leaves_nothing_behind(mirror, files, victim):
    data = [noise(MIB, i) for i in range(12)]
    for i in range(12):
        (files / f"{i}.bin").write_bytes(data[i])
    fabric, remote = mirror("cache: {quota: 5MiB}\n")

    def read_some(seed):
        for i in random.Random(seed).sample(range(12), 12):
            try:
                assert (remote / f"{i}.bin").read_bytes() == data[i]
            except OSError:
                assert victim == "all"

    for n in range(5):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read_some, 10 * n + k) for k in range(2)]
            until(lambda: fabric.metric_sum("fabricfs_cache_bytes") > 3 * MIB, "it has to make room")
            if victim == "worker":
                fabric.kill("fabricfs-worker")
            else:
                fabric.kill_all()
            for reader in readers:
                reader.result()
        if victim == "all":
            fabric.start()
    for i in range(12):
        read_whole(remote / f"{i}.bin", data[i])
    fabric.restart()
    assert 0 < fabric.metric_sum("fabricfs_cache_bytes") <= 5 * MIB
    assert kept_files(fabric, "chunks") == []
    assert len(kept_files(fabric, "blobs")) * MIB == fabric.metric_sum("fabricfs_cache_bytes")


def test_a_small_disk_and_many_readers_at_once(fpga, files):
    """Each reads the right bytes, or hears that there is no room, and nothing is left of that."""
    data = [noise(2 * MIB, i) for i in range(20)]
    for i in range(20):
        (files / f"{i}.bin").write_bytes(data[i])
    fabric = fpga.make(config=f"repositories:\n  nfs: {{kind: directory, path: {files}}}\n")
    fabric.state_dir.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=700", "tmpfs", str(fabric.state_dir)], check=True)
    try:
        fabric.start()
        remote = fabric.mount / "remote" / "nfs"

        def read_one(i):
            try:
                assert (remote / f"{i}.bin").read_bytes() == data[i]
            except OSError as e:
                assert e.errno == errno.ENOSPC
            return True

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            assert all(pool.map(read_one, list(range(20)) * 2))
        for i in range(20):
            assert (remote / f"{i}.bin").read_bytes() == data[i]
        fabric.restart()
        assert fabric.metric_sum("fabricfs_cache_bytes") == len(kept_files(fabric, "blobs")) * 2 * MIB
        fabric.stop()
    finally:
        fabric.kill_all()
        subprocess.run(["umount", "-l", str(fabric.state_dir)], check=False)


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


# --- the same bytes elsewhere ----------------------------------------------------------------------

DATA = noise(12_000_000, 99)  # more than is asked for ahead of who has read 1 MB of it


@pytest.fixture
def pair(fpga, tmp_path):
    """Two web servers, the second of them behind a proxy, with the same images under other names."""
    with WebServer(tmp_path / "one") as one, WebServer(tmp_path / "two") as two, FaultProxy(two.address) as proxy:
        for name, server, age in (("one", one, 3600), ("two", two, 7200)):
            images = {f"{name}.bin": DATA, f"{name}-upper.bin": UPPER.read_bytes(),
                      "alone.bin": noise(200_000, age)}
            for file, data in images.items():
                server.put(file, data, age=age)
            server.put("SHA256SUMS", "".join(f"{sha256(d)}  {f}\n" for f, d in images.items()).encode())
        fabric = fpga(config="repositories:\n"
                      f"  one: {{kind: http, url: \"{one.url('json')}\", max-age: 1h}}\n"
                      f"  two: {{kind: http, url: \"{proxy.url}/json/\", max-age: 1h}}\n"
                      "cache: {connect-timeout: 2s, offline-timeout: 2s}\n")
        remote = fabric.mount / "remote"
        for name in ("one", "two"):
            until(lambda: f"{name}.bin" in os.listdir(remote / name), "it is listed")
        proxy.forget()
        yield fabric, remote, one, proxy


def test_a_read_goes_on_at_another_repository_with_the_same_digest(pair):
    fabric, remote, one, proxy = pair
    with open(remote / "one" / "one.bin", "rb") as f:
        assert f.read(100_000) == DATA[:100_000]
        assert not proxy.count("bin")
        one.stop()
        assert f.read() == DATA[100_000:]
    # What had come is not asked for again.
    assert 0 < proxy.sent("two.bin") <= len(DATA) - 100_000
    # What no other has cannot be read, within the time that is configured.
    with pytest.raises(OSError) as e:
        (remote / "one" / "alone.bin").read_bytes()
    assert e.value.errno == errno.EHOSTUNREACH
    card = fabric.card()
    done = run(["cp", str(remote / "one" / "one-upper.bin"), str(card.image)])
    assert done.returncode == 0, done.stderr
    assert card.value("loaded/source") == "one:one-upper.bin@one-upper.bin"


def test_an_image_that_was_taken_away_there_is_read_from_another(pair):
    _, remote, one, proxy = pair
    with open(remote / "one" / "one.bin", "rb") as f:
        assert f.read(100_000) == DATA[:100_000]
        os.remove(one.root / "one.bin")
        assert f.read() == DATA[100_000:]
    assert proxy.count("two.bin")


def head_of(f):
    try:
        return os.pread(f.fileno(), 4096, 0)
    except OSError:
        return None


def test_when_every_repository_fails_each_was_asked(pair):
    _, remote, one, proxy = pair
    one.stop()
    proxy.fault(match="bin", status=404)
    with open(remote / "one" / "one.bin", "rb") as f:
        with pytest.raises(OSError) as e:
            os.pread(f.fileno(), 4096, 0)
        assert e.value.errno == errno.ESTALE
        assert proxy.count("two.bin") == 1
        one.start()
        proxy.heal()
        until(lambda: head_of(f) == DATA[:4096], "it is read again")
