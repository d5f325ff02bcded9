# SPDX-License-Identifier: Apache-2.0
"""remote/: bytes of images, read and copied to cards (DESIGN 4). Folders, so no network is needed."""
import concurrent.futures
import errno
import hashlib
import json
import mmap
import os
import random
import signal
import subprocess

import pytest

from harness import SLOW, run, shell, until
from images import BLINK, HX8K, REGS, UPPER, large_hx1k, sha256

CHUNK = 32 * 1024


def config(repos, extra=""):
    lines = [f"  {name}: {{kind: directory, path: {path}{more}}}" for name, path, more in repos]
    return "repositories:\n" + "\n".join(lines) + "\n" + extra


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def attr(path, name):
    return os.getxattr(path, f"user.fpga.{name}").decode()


def cached(path):
    return int(attr(path, "cached"))


def read_errno(fd, size=4096, offset=0):
    try:
        os.pread(fd, size, offset)
    except OSError as e:
        return e.errno
    return 0


def refresh(folder):
    with open(folder / ".repo" / "refresh", "w", encoding="ascii") as f:
        f.write("now\n")


def events(fabric, kind):
    return [r for r in map(json.loads, fabric.read("events").splitlines()) if r["event"] == kind]


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


@pytest.fixture
def mirror(fpga, files):
    """A daemon with one card and one folder, called nfs."""
    def make(extra="", more="", **kw):
        return fpga(config=config([("nfs", files, more)], extra), **kw)
    return make


def copy(source, card, name="image"):
    return run(["cp", str(source), str(card.dir / name)])


# --- reading -----------------------------------------------------------------------------------


def test_images_are_read_as_they_are(mirror, files):
    data = noise(5_000_003)
    (files / "x.bin").write_bytes(data)
    (files / "empty.bin").write_bytes(b"")
    fabric = mirror()
    remote = fabric.mount / "remote" / "nfs"
    x = remote / "x.bin"
    assert cached(x) == 0
    assert x.read_bytes() == data
    assert x.read_bytes() == data
    assert (remote / "empty.bin").read_bytes() == b""
    assert run(["cmp", str(x), str(files / "x.bin")]).returncode == 0
    with open(x, "rb") as f:
        assert os.pread(f.fileno(), 100, 4_999_990) == data[4_999_990:]
        assert os.pread(f.fileno(), 100, 5_000_003) == b""
        assert os.pread(f.fileno(), 100, 1 << 40) == b""
        with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
            assert m[:] == data
    until(lambda: cached(x) == len(data), "all of it is cached")
    assert attr(x, "sha256") == sha256(data)


def test_pieces_in_any_order_are_right_while_it_is_being_fetched(mirror, files):
    data = noise(3_000_000, 2)
    (files / "x.bin").write_bytes(data)
    fabric = mirror()
    rng = random.Random(3)
    with open(fabric.mount / "remote" / "nfs" / "x.bin", "rb") as f:
        for _ in range(300):
            at, n = rng.randrange(len(data)), rng.choice([1, 100, 4096, 70000, 300000])
            assert os.pread(f.fileno(), n, at) == data[at:at + n]


def test_the_head_of_a_large_image_fetches_one_chunk(mirror, files):
    (files / "x.bin").write_bytes(noise(20_000_000, 3))
    fabric = mirror()
    x = fabric.mount / "remote" / "nfs" / "x.bin"
    assert len(shell(f"head -c 200 {x} | xxd -p").stdout) > 400
    assert 0 < cached(x) <= 2 * CHUNK
    # Looking around fetches nothing at all.
    before = cached(x)
    shell(f"find {fabric.mount} -ls >/dev/null; du -s {fabric.mount}/remote; ls -lR {fabric.mount}/remote; getfattr -d {x}")
    assert cached(x) == before


def test_many_readers_at_once_see_the_same_bytes(mirror, files):
    data = noise(4_000_000, 4)
    (files / "x.bin").write_bytes(data)
    fabric = mirror()
    x = str(fabric.mount / "remote" / "nfs" / "x.bin")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        sums = list(pool.map(lambda _: run(["sha256sum", x]).stdout.split()[0], range(20)))
    assert set(sums) == {sha256(data)}


def test_images_cannot_be_written(mirror, files):
    (files / "x.bin").write_bytes(b"x" * 100)
    fabric = mirror()
    x = fabric.mount / "remote" / "nfs" / "x.bin"
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
        with pytest.raises(OSError) as e:
            os.open(x, flags)
        assert e.value.errno == errno.EROFS
    assert x.read_bytes() == b"x" * 100


# --- what changes at the repository ---------------------------------------------------------------


def test_a_replaced_image_is_stale_for_who_has_it_open_and_new_for_who_opens_it(mirror, files):
    old, new = noise(4_000_000, 5), noise(4_100_000, 6)
    (files / "x.bin").write_bytes(old)
    fabric = mirror()
    x = fabric.mount / "remote" / "nfs" / "x.bin"
    with open(x, "rb") as f:
        assert os.pread(f.fileno(), 1000, 0) == old[:1000]
        (files / "new").write_bytes(new)
        os.replace(files / "new", files / "x.bin")
        assert read_errno(f.fileno(), 1000, 3_900_000) == errno.ESTALE
        assert read_errno(f.fileno(), 1000, 0) == errno.ESTALE
        assert x.read_bytes() == new
        assert read_errno(f.fileno(), 1000, 0) == errno.ESTALE
    until(lambda: x.stat().st_size == len(new), "the listing has the new size")
    assert x.read_bytes() == new


def test_an_image_that_is_gone_there_is_stale_and_listed_no_more(mirror, files):
    for name in ("a.bin", "b.bin", "c.bin"):
        (files / name).write_bytes(noise(100_000, 70))
    fabric = mirror()
    remote = fabric.mount / "remote" / "nfs"
    with open(remote / "a.bin", "rb") as f:
        (files / "a.bin").unlink()
        assert read_errno(f.fileno()) == errno.ESTALE
        until(lambda: "a.bin" not in os.listdir(remote), "the listing knows")
        assert read_errno(f.fileno()) == errno.ESTALE


def test_who_has_a_whole_image_open_reads_it_to_the_end(mirror, files):
    old, new = noise(1_000_000, 7), noise(1_000_000, 8)
    (files / "x.bin").write_bytes(old)
    fabric = mirror()
    remote = fabric.mount / "remote" / "nfs"
    x = remote / "x.bin"
    assert x.read_bytes() == old
    until(lambda: cached(x) == len(old), "it is whole")
    with open(x, "rb") as f:
        assert f.read(10) == old[:10]
        (files / "new").write_bytes(new)
        os.replace(files / "new", files / "x.bin")
        refresh(remote)
        assert x.read_bytes() == new
        assert os.pread(f.fileno(), len(old), 0) == old
    assert x.read_bytes() == new


def test_a_wrong_digest_is_told_by_the_read_that_completes_it(mirror, files):
    data = noise(600_000, 9)
    (files / "x.bin").write_bytes(data)
    (files / "SHA256SUMS").write_text(f"{sha256(b'another')}  x.bin\n")
    fabric = mirror()
    x = fabric.mount / "remote" / "nfs" / "x.bin"
    with open(x, "rb") as f:
        assert os.pread(f.fileno(), 1000, 0) == data[:1000]
        with pytest.raises(OSError) as e:
            while f.read(50000):
                pass
        assert e.value.errno == errno.EBADMSG
        assert read_errno(f.fileno()) == errno.EBADMSG
        assert cached(x) == 0
        refused = events(fabric, "image-refused")
        assert len(refused) == 1
        assert refused[0]["result"] == "EBADMSG"
        assert refused[0]["source"] == "nfs:x.bin@x.bin"
        assert refused[0]["sha256"] == sha256(data)
        # Another open asks again.
        with open(x, "rb") as again:
            assert os.pread(again.fileno(), 1000, 0) == data[:1000]
        assert read_errno(f.fileno()) == errno.EBADMSG
    # Put right, it is read.
    (files / "SHA256SUMS").write_text(f"{sha256(data)}  x.bin\n")
    refresh(fabric.mount / "remote" / "nfs")
    assert x.read_bytes() == data


def test_names_that_are_no_utf8_are_told_all_the_same(mirror, files):
    top = os.fsencode(files)
    for name in (b"good\xff.bin", b"wrong\xff.bin"):
        with open(os.path.join(top, name), "wb") as f:
            f.write(UPPER.read_bytes())
    (files / "SHA256SUMS").write_bytes(sha256(b"another").encode() + b"  wrong\xff.bin\n")
    fabric = mirror()
    remote = os.fsencode(fabric.mount / "remote" / "nfs")
    with pytest.raises(OSError) as e:
        with open(os.path.join(remote, b"wrong\xff.bin"), "rb") as f:
            f.read()
    assert e.value.errno == errno.EBADMSG
    assert [r["source"] for r in events(fabric, "image-refused")] == ["nfs:wrong?.bin@wrong%FF.bin"]
    card = fabric.card()
    assert run([b"cp", os.path.join(remote, b"good\xff.bin"), os.fsencode(card.image)]).returncode == 0
    fabric.kill_all()
    fabric.start()
    until(lambda: card.state == "configured", "it is configured again")
    assert card.value("loaded/source") == "nfs:good?.bin@good%FF.bin"
    assert card.value("loaded/part") == "iCE40-HX1K"
    assert card.last("programmed")["source"] == "nfs:good?.bin@good%FF.bin"


def test_a_wrong_digest_keeps_an_image_from_the_card(mirror, files):
    (files / "upper.bin").write_bytes(UPPER.read_bytes())
    (files / "SHA256SUMS").write_text(f"{sha256(b'another')}  upper.bin\n")
    fabric = mirror()
    card = fabric.card()
    image = fabric.mount / "remote" / "nfs" / "upper.bin"
    for _ in range(2):
        done = copy(image, card)
        assert done.returncode == 1
        assert os.strerror(errno.EBADMSG) in done.stderr
        assert "sha256" in card.error and sha256(UPPER) in card.error
        assert card.state == "unconfigured"
        assert cached(image) == 0


# --- the cache -------------------------------------------------------------------------------------


def test_what_is_cached_is_there_without_the_repository(mirror, files):
    first, second = noise(500_000, 10), noise(500_000, 11)
    (files / "a.bin").write_bytes(first)
    (files / "b.bin").write_bytes(second)
    fabric = mirror("cache: {offline-timeout: 2s}\n", ", max-age: 1s")
    remote = fabric.mount / "remote" / "nfs"
    assert (remote / "a.bin").read_bytes() == first
    os.rename(files, files.with_name("away"))
    try:
        assert (remote / "a.bin").read_bytes() == first
        with open(remote / "b.bin", "rb") as f:
            assert read_errno(f.fileno()) == errno.EHOSTUNREACH
        until(lambda: (remote / ".repo" / "state").read_text().startswith("offline since "), "it is offline")
        fabric.restart()
        assert (remote / "a.bin").read_bytes() == first
    finally:
        os.rename(files.with_name("away"), files)
    until(lambda: (remote / ".repo" / "state").read_text() == "online\n", "it is online")
    assert (remote / "b.bin").read_bytes() == second


def test_a_reader_goes_on_when_the_worker_is_killed(mirror, files):
    data = noise(30_000_000, 12)
    (files / "x.bin").write_bytes(data)
    fabric = mirror()
    x = fabric.mount / "remote" / "nfs" / "x.bin"
    digest = hashlib.sha256()
    with open(x, "rb", buffering=0) as f:
        for i in range(30_000_000 // 100_000):
            if i in (3, 50, 200):
                assert fabric.kill("fabricfs-worker") == 1
            piece = f.read(100_000)
            while len(piece) < 100_000:
                more = f.read(100_000 - len(piece))
                assert more
                piece += more
            digest.update(piece)
    assert digest.hexdigest() == sha256(data)
    until(lambda: cached(x) == len(data), "all of it is cached")


def replace(files, name, data):
    (files / ".new").write_bytes(data)
    os.replace(files / ".new", files / name)


def test_who_had_an_image_open_before_a_worker_died_never_reads_its_successor(mirror, files):
    old, new, third = (noise(1_000_000, seed) for seed in (90, 91, 92))
    (files / "x.bin").write_bytes(old)
    fabric = mirror()
    x = fabric.mount / "remote" / "nfs" / "x.bin"
    assert x.read_bytes() == old
    with open(x, "rb", buffering=0) as f:
        assert os.pread(f.fileno(), 100, 0) == old[:100]
        assert fabric.kill("fabricfs-worker") == 1
        # The new worker sees one come and go, of the content that is open already.
        assert x.read_bytes() == old
        for data in (new, third):
            replace(files, "x.bin", data)
            refresh(x.parent)
            for _ in range(3):
                assert x.read_bytes() == data
                assert os.pread(f.fileno(), len(old), 0) == old
        assert fabric.kill("fabricfs-worker") == 1
        assert x.read_bytes() == third
        assert os.pread(f.fileno(), len(old), 0) == old
    assert x.read_bytes() == third


def mapped(f, size, flags):
    with mmap.mmap(f.fileno(), size, flags=flags, prot=mmap.PROT_READ) as m:
        return m[:]


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("flags", [mmap.MAP_PRIVATE, mmap.MAP_SHARED])
def test_a_mapping_of_what_replaced_an_image_is_in_no_page_of_the_old_one(mirror, files, flags, killed):
    size = 600_000
    generations = [noise(size, seed) for seed in (60, 61, 62)]
    fabric = mirror()
    x = fabric.mount / "remote" / "nfs" / "x.bin"
    opened = []
    for data in generations:
        replace(files, "x.bin", data)
        refresh(x.parent)
        assert x.read_bytes() == data
        until(lambda: cached(x) == size, "it is whole")
        f = open(x, "rb", buffering=0)
        opened.append((f, mmap.mmap(f.fileno(), size, flags=flags, prot=mmap.PROT_READ), data))
        if killed:
            assert fabric.kill("fabricfs-worker") == 1
        for _ in range(2):
            for f, m, was in opened:
                assert mapped(f, size, flags) == was
                assert os.pread(f.fileno(), size, 0) == was
                assert m[:] == was
                assert os.fstat(f.fileno()).st_size == size
                # From the file again, and not from pages that are there.
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert len({os.fstat(f.fileno()).st_ino for f, _, _ in opened}) == len(generations)
    for f, m, _ in opened:
        m.close()
        f.close()


def test_a_private_mapping_of_what_is_not_all_here_is_no_page_of_its_successor(mirror, files):
    # Much more than what comes with the first read.
    old, new = noise(20_000_000, 63), noise(20_000_000, 64)
    (files / "x.bin").write_bytes(old)
    fabric = mirror()
    x = fabric.mount / "remote" / "nfs" / "x.bin"
    with open(x, "rb", buffering=0) as f:
        with mmap.mmap(f.fileno(), len(old), flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as m:
            assert m[:4096] == old[:4096]
            assert cached(x) < len(old)
            replace(files, "x.bin", new)
            # Nobody has listed it anew: the read finds out.
            assert read_errno(f.fileno(), 4096, 19_900_000) == errno.ESTALE
            assert x.read_bytes() == new
            with open(x, "rb", buffering=0) as g:
                assert mapped(g, len(new), mmap.MAP_PRIVATE) == new
            assert m[:4096] == old[:4096]


def test_the_inode_of_an_image_is_that_of_its_bytes(mirror, files):
    for name in ("read.bin", "new.bin", "touched.bin"):
        (files / name).write_bytes(noise(50_000, 65))
    fabric = mirror()
    remote = fabric.mount / "remote" / "nfs"

    def inodes():
        return {e.name: e.inode() for e in os.scandir(remote) if e.is_file()}

    before = inodes()
    assert (remote / "read.bin").read_bytes()
    assert inodes() == before
    fabric.stop()
    fabric.start()
    assert inodes() == before
    for name in ("read.bin", "new.bin"):
        replace(files, name, noise(50_000, 66))
    refresh(remote)
    after = inodes()
    # Nobody has bytes of the other one that could be taken for those of now.
    assert {n for n in after if after[n] != before[n]} == {"read.bin"}
    for name, ino in after.items():
        assert (remote / name).stat().st_ino == ino
        with open(remote / name, "rb") as f:
            assert os.fstat(f.fileno()).st_ino == ino
        assert (remote / f"{name}@{name}").stat().st_ino == ino
    assert run(["find", str(remote), "-inum", str(after["read.bin"]), "-printf", "%f"]).stdout == "read.bin"
    # cp compares what it looked at with what it opened.
    assert run(["cp", str(remote / "read.bin"), str(files.parent / "copy")]).returncode == 0
    assert (files.parent / "copy").read_bytes() == noise(50_000, 66)


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_open_stays_when_it_is_listed_no_more(mirror, files, killed):
    data = noise(700_000, 67)
    (files / "x.bin").write_bytes(data)
    (files / "y.bin").write_bytes(noise(700_000, 68))
    (files / "z.bin").write_bytes(b"z")
    fabric = mirror()
    remote = fabric.mount / "remote" / "nfs"
    assert (remote / "x.bin").read_bytes() == data
    until(lambda: cached(remote / "x.bin") == len(data), "it is whole")
    with open(remote / "x.bin", "rb", buffering=0) as f, open(remote / "y.bin", "rb", buffering=0) as g:
        was = os.fstat(f.fileno())
        assert len(os.pread(g.fileno(), 100, 0)) == 100
        (files / "x.bin").unlink()
        (files / "y.bin").unlink()
        refresh(remote)
        assert not (remote / "x.bin").exists()
        if killed:
            assert fabric.kill("fabricfs-worker") == 1
        now = os.fstat(f.fileno())
        assert (now.st_ino, now.st_size, now.st_mtime_ns) == (was.st_ino, was.st_size, was.st_mtime_ns)
        assert os.pread(f.fileno(), len(data), 0) == data
        assert mapped(f, len(data), mmap.MAP_PRIVATE) == data
        assert len(os.pread(g.fileno(), 100, 0)) == 100
        assert read_errno(g.fileno(), 100, 690_000) == errno.ESTALE


def test_a_listing_that_was_asked_for_shows_what_is_there_also_of_what_is_open(mirror, files):
    old, new = noise(50_000, 75), noise(60_000, 76)
    for name in ("x.bin", "y.bin"):
        (files / name).write_bytes(old)
    fabric = mirror()
    remote = fabric.mount / "remote" / "nfs"
    for _ in range(2):
        assert (remote / "x.bin").read_bytes() == (files / "x.bin").read_bytes()
        assert (remote / "y.bin").read_bytes() == old
        with open(remote / "x.bin", "rb", buffering=0) as f, open(remote / "y.bin", "rb", buffering=0) as g:
            was = os.fstat(f.fileno())
            replace(files, "x.bin", new)
            (files / "y.bin").unlink()
            refresh(remote)
            assert (remote / "x.bin").stat().st_size == len(new)
            assert not (remote / "y.bin").exists()
            # cp compares what it looked at with what it opened.
            assert run(["cp", str(remote / "x.bin"), str(files.parent / "copy")]).returncode == 0
            assert (files.parent / "copy").read_bytes() == new
            assert os.fstat(f.fileno()).st_ino == was.st_ino
            assert os.fstat(f.fileno()).st_size == was.st_size
            assert os.pread(g.fileno(), len(old), 0) == old
        replace(files, "x.bin", old)
        (files / "y.bin").write_bytes(old)
        refresh(remote)


def test_what_is_mounted_on_our_files_stays_when_images_change(mirror, files):
    (files / "x.bin").write_bytes(noise(50_000, 77))
    (files / "y.bin").write_bytes(b"stays")
    fabric = mirror()
    remote, hidden = fabric.mount / "remote" / "nfs", fabric.mount / "dev0" / "telemetry"
    assert len((remote / "x.bin").read_bytes()) == 50_000
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(hidden)], check=True)
    try:
        with open(remote / "x.bin", "rb") as f:
            assert f.read(10)
            replace(files, "x.bin", noise(50_000, 78))
            refresh(remote)
            assert (remote / "x.bin").read_bytes() == noise(50_000, 78)
        (files / "x.bin").unlink()
        refresh(remote)
        assert hidden.stat().st_dev != fabric.mount.stat().st_dev
    finally:
        subprocess.run(["umount", str(hidden)], check=True)


def test_what_was_opened_before_a_worker_died_is_not_evicted(mirror, files):
    for i in range(5):
        (files / f"{i}.bin").write_bytes(noise(1 << 20, 70 + i))
    fabric = mirror("cache: {quota: 3MiB}\n")
    remote = fabric.mount / "remote" / "nfs"
    assert (remote / "0.bin").read_bytes() == noise(1 << 20, 70)
    until(lambda: cached(remote / "0.bin") == 1 << 20, "it is whole")
    with open(remote / "0.bin", "rb", buffering=0) as f:
        assert fabric.kill("fabricfs-worker") == 1
        # Nobody has read it since.
        for i in range(1, 5):
            assert sha256((remote / f"{i}.bin").read_bytes()) == sha256(files / f"{i}.bin")
        assert cached(remote / "0.bin") == 1 << 20
        assert cached(remote / "1.bin") == 0
        assert os.pread(f.fileno(), 1 << 20, 0) == noise(1 << 20, 70)
        assert fabric.kill("fabricfs-worker") == 1
    # Closed: it may go.
    for i in range(1, 5):
        assert sha256((remote / f"{i}.bin").read_bytes()) == sha256(files / f"{i}.bin")
    assert cached(remote / "0.bin") == 0


def test_what_came_before_everything_was_killed_is_not_fetched_again(mirror, files):
    # More than is asked for ahead of who read two megabytes: four times that.
    data = noise(40_000_000, 13)
    (files / "x.bin").write_bytes(data)
    fabric = mirror("cache: {offline-timeout: 2s}\n")
    x = fabric.mount / "remote" / "nfs" / "x.bin"
    with open(x, "rb") as f:
        assert os.pread(f.fileno(), 2_000_000, 0) == data[:2_000_000]
    fabric.kill_all()
    os.rename(files, files.with_name("away"))
    fabric.start()
    with open(x, "rb") as f:
        assert os.pread(f.fileno(), 2_000_000, 0) == data[:2_000_000]
        assert read_errno(f.fileno(), 1000, 39_900_000) == errno.EHOSTUNREACH
    os.rename(files.with_name("away"), files)


def test_the_quota_drops_what_was_not_used_for_longest_and_no_pinned_one(mirror, files):
    for i in range(6):
        (files / f"{i}.bin").write_bytes(noise(1 << 20, 20 + i))
    fabric = mirror("cache: {quota: 3MiB}\n")
    remote = fabric.mount / "remote" / "nfs"
    os.setxattr(remote / "0.bin", "user.fpga.pinned", b"1")
    for i in range(6):
        assert sha256((remote / f"{i}.bin").read_bytes()) == sha256(files / f"{i}.bin")
        until(lambda: cached(remote / f"{i}.bin") == 1 << 20, "it is whole")
    here = [cached(remote / f"{i}.bin") for i in range(6)]
    assert here[0] == 1 << 20
    assert here[5] == 1 << 20
    assert sum(here) <= 3 << 20
    assert here[1] == 0
    assert attr(remote / "0.bin", "pinned") == "1"
    assert sha256((remote / "1.bin").read_bytes()) == sha256(files / "1.bin")


def test_a_file_larger_than_the_cache_says_so(mirror, files):
    (files / "x.bin").write_bytes(HX8K.read_bytes())
    fabric = mirror("cache: {quota: 100KiB}\ncards: [{name: big, backend: sim, part: iCE40-HX8K}]\n", sim=None)
    x = fabric.mount / "remote" / "nfs" / "x.bin"
    with pytest.raises(OSError) as e:
        x.read_bytes()
    assert e.value.errno == errno.EDQUOT
    done = copy(x, fabric.card())
    assert done.returncode == 1
    assert os.strerror(errno.EDQUOT) in done.stderr
    assert "quota" in fabric.card().error


def test_identical_images_are_kept_once(mirror, files):
    data = noise(2_000_000, 31)
    (files / "a.bin").write_bytes(data)
    (files / "b.bin").write_bytes(data)
    (files / "SHA256SUMS").write_text(f"{sha256(data)}  a.bin\n{sha256(data)}  b.bin\n")
    fabric = mirror()
    remote = fabric.mount / "remote" / "nfs"
    assert (remote / "a.bin").read_bytes() == data
    until(lambda: cached(remote / "b.bin") == len(data), "the other one is whole too")
    assert [p.name for p in (fabric.state_dir / "blobs").iterdir()] == [sha256(data)]


# --- to a card ----------------------------------------------------------------------------------------


def test_an_image_is_copied_to_a_card_by_reference(mirror, files):
    (files / "upper.bin").write_bytes(UPPER.read_bytes())
    fabric = mirror()
    card = fabric.card()
    image = fabric.mount / "remote" / "nfs" / "upper.bin"
    for _ in range(2):
        done = copy(image, card)
        assert done.returncode == 0, done.stderr + card.error
        assert card.sha == sha256(UPPER)
        assert card.value("loaded/source") == "nfs:upper.bin@upper.bin"
        assert card.last("programmed")["source"] == "nfs:upper.bin@upper.bin"
    assert card.exchange(b"hello\n") == b"HELLO\n"
    assert (fabric.mount / "dev0" / "image").read_bytes() == UPPER.read_bytes()
    # No byte of it went through a spool file: one blob.
    assert [p.name for p in (fabric.state_dir / "blobs").iterdir()] == [sha256(UPPER)]


def copy_pieces(source, target, piece, end=None):
    """As tools do that ask for so much at a time, and as the kernel lets any do with 4 GiB and more."""
    sizes = []
    while end is None or sum(sizes) < end:
        sizes.append(os.copy_file_range(source, target, piece))
        if not sizes[-1]:
            break
    return sizes


def test_an_image_is_copied_by_reference_in_pieces_too(mirror, files):
    (files / "upper.bin").write_bytes(UPPER.read_bytes())
    fabric = mirror()
    card = fabric.card()
    for kill in (False, True):
        source = os.open(fabric.mount / "remote" / "nfs" / "upper.bin", os.O_RDONLY)
        target = os.open(card.image, os.O_WRONLY | os.O_TRUNC)
        sizes = copy_pieces(source, target, 10_000, 20_000)
        if kill:
            fabric.kill("fabricfs-worker")
        sizes += copy_pieces(source, target, 10_000)
        os.close(source)
        # No byte of it went through a spool file.
        assert list((fabric.state_dir / "spool").iterdir()) == []
        os.close(target)
        assert sizes == [10_000] * 3 + [UPPER.stat().st_size - 30_000, 0]
        assert card.error == "" and card.sha == sha256(UPPER)
        assert card.last("programmed")["source"] == "nfs:upper.bin@upper.bin"


def test_a_copy_in_pieces_that_ends_early_is_incomplete(mirror, files):
    (files / "upper.bin").write_bytes(UPPER.read_bytes())
    fabric = mirror()
    card = fabric.card()
    with open(fabric.mount / "remote" / "nfs" / "upper.bin", "rb") as source:
        target = os.open(card.image, os.O_WRONLY | os.O_TRUNC)
        copy_pieces(source.fileno(), target, 10_000, 20_000)
        with pytest.raises(OSError) as e:
            os.close(target)
        assert e.value.errno == errno.EBADMSG
        assert "20000 of 32220" in card.error
        assert card.state == "unconfigured"
        # What comes behind them may come by writing, from wherever.
        target = os.open(card.image, os.O_WRONLY | os.O_TRUNC)
        os.lseek(source.fileno(), 0, os.SEEK_SET)
        copy_pieces(source.fileno(), target, 10_000, 20_000)
        os.write(target, UPPER.read_bytes()[20_000:])
        os.close(target)
    assert card.sha == sha256(UPPER)


def test_other_ways_of_copying_end_with_the_image_loaded_too(mirror, files):
    (files / "upper.bin").write_bytes(UPPER.read_bytes())
    (files / "regs.bin").write_bytes(REGS.read_bytes())
    fabric = mirror()
    card = fabric.card()
    remote = fabric.mount / "remote" / "nfs"
    names = ["regs.bin", "upper.bin"]
    ways = ["cat {0} > {1}", "dd if={0} of={1} bs=4k status=none", "install {0} {1}", "cp -p {0} {1}",
            "rsync --inplace --ignore-times {0} {1}", "python3 -c 'import shutil; shutil.copyfile(\"{0}\", \"{1}\")'"]
    for i, way in enumerate(ways):
        name = names[i % 2]
        done = shell(way.format(remote / name, card.image))
        assert done.returncode == 0, way + done.stderr + card.error
        assert card.sha == sha256(files / name), way
        # However the bytes came, they are known by their hash.
        assert card.value("loaded/source") == f"nfs:{name}@{name}", way


def test_the_source_is_known_by_the_hash_alone(mirror, files):
    (files / "upper.bin").write_bytes(UPPER.read_bytes())
    (files / "SHA256SUMS").write_text(f"{sha256(UPPER)}  upper.bin\n")
    fabric = mirror()
    card = fabric.card()
    until(lambda: "upper.bin" in os.listdir(fabric.mount / "remote" / "nfs"), "it is listed")
    card.load(UPPER)
    assert card.value("loaded/source") == "nfs:upper.bin@upper.bin"
    card.load(BLINK)
    assert card.value("loaded/source") == ""


def test_an_image_for_another_part_is_refused_after_its_first_chunk(mirror, files):
    (files / "hx8k.bin").write_bytes(HX8K.read_bytes())
    assert HX8K.stat().st_size > 3 * CHUNK
    fabric = mirror()
    card = fabric.card()
    image = fabric.mount / "remote" / "nfs" / "hx8k.bin"
    done = copy(image, card)
    assert done.returncode == 1
    assert "HX8K" in card.error and "HX1K" in card.error
    assert card.state == "unconfigured"
    assert card.last("image-refused")["result"] == "EMEDIUMTYPE"
    assert cached(image) <= 2 * CHUNK


def test_an_image_larger_than_the_card_takes_is_refused_after_its_first_chunk(mirror, files):
    (files / "large.bin").write_bytes(large_hx1k(200_000))
    os.truncate(files / "large.bin", 513 << 20)
    fabric = mirror()
    card = fabric.card()
    image = fabric.mount / "remote" / "nfs" / "large.bin"
    done = copy(image, card)
    assert done.returncode == 1
    assert os.strerror(errno.EFBIG) in done.stderr
    assert "larger" in card.error
    assert card.last("image-refused")["result"] == "EFBIG"
    assert cached(image) <= 2 * CHUNK


def test_what_is_no_image_is_refused_after_its_first_chunk(mirror, files):
    (files / "x.bin").write_bytes(noise(2_000_000, 40))
    fabric = mirror()
    card = fabric.card()
    done = copy(fabric.mount / "remote" / "nfs" / "x.bin", card)
    assert done.returncode == 1
    assert card.last("image-refused")["result"] == "ENOEXEC"
    assert cached(fabric.mount / "remote" / "nfs" / "x.bin") <= 2 * CHUNK


def test_a_cached_image_is_programmed_without_the_repository_and_another_not(mirror, files):
    (files / "upper.bin").write_bytes(UPPER.read_bytes())
    (files / "blink.bin").write_bytes(BLINK.read_bytes())
    fabric = mirror("cache: {offline-timeout: 2s}\n")
    card = fabric.card()
    remote = fabric.mount / "remote" / "nfs"
    assert copy(remote / "upper.bin", card).returncode == 0
    os.rename(files, files.with_name("away"))
    assert copy(remote / "upper.bin", card).returncode == 0
    done = copy(remote / "blink.bin", card)
    assert done.returncode == 1
    assert os.strerror(errno.EHOSTUNREACH) in done.stderr
    assert card.state == "configured"
    assert card.sha == sha256(UPPER)
    assert "blink.bin" in card.error
    os.rename(files.with_name("away"), files)


def test_an_image_is_checked_without_being_programmed(mirror, files):
    (files / "upper.bin").write_bytes(UPPER.read_bytes())
    (files / "hx8k.bin").write_bytes(HX8K.read_bytes())
    fabric = mirror()
    card = fabric.card()
    remote = fabric.mount / "remote" / "nfs"
    assert copy(remote / "upper.bin", card, "check").returncode == 0
    assert json.loads(card.read("check"))["sound"] is True
    assert copy(remote / "hx8k.bin", card, "check").returncode == 1
    assert card.state == "unconfigured"


def test_a_cut_image_is_refused_by_its_close(mirror, files):
    (files / "cut.bin").write_bytes(UPPER.read_bytes()[:-2000])
    fabric = mirror()
    card = fabric.card()
    assert copy(fabric.mount / "remote" / "nfs" / "cut.bin", card).returncode == 1
    assert card.last("image-refused")["result"] == "EBADMSG"
    assert card.state == "unconfigured"


def test_the_loaded_image_and_the_one_before_stay_whatever_the_quota(mirror, files):
    (files / "upper.bin").write_bytes(UPPER.read_bytes())
    (files / "regs.bin").write_bytes(REGS.read_bytes())
    for i in range(4):
        (files / f"{i}.bin").write_bytes(noise(200_000, 50 + i))
    fabric = mirror("cache: {quota: 500KiB}\n")
    card = fabric.card()
    remote = fabric.mount / "remote" / "nfs"
    assert copy(remote / "regs.bin", card).returncode == 0
    assert copy(remote / "upper.bin", card).returncode == 0
    for i in range(4):
        assert sha256((remote / f"{i}.bin").read_bytes()) == sha256(files / f"{i}.bin")
        until(lambda: cached(remote / f"{i}.bin") == 200_000, "it is whole")
    assert cached(remote / "upper.bin") == UPPER.stat().st_size
    assert cached(remote / "regs.bin") == REGS.stat().st_size
    assert card.ctl("rollback") == 0
    assert card.sha == sha256(REGS)


def test_a_copy_goes_on_when_the_worker_is_killed(mirror, files):
    (files / "upper.bin").write_bytes(UPPER.read_bytes())
    (files / "regs.bin").write_bytes(REGS.read_bytes())
    fabric = mirror()
    card = fabric.card()
    for i in range(10):
        name = ["upper.bin", "regs.bin"][i % 2]
        with subprocess.Popen(["cp", str(fabric.mount / "remote" / "nfs" / name), str(card.image)]) as cp:
            fabric.kill("fabricfs-worker")
            assert cp.wait(60 * SLOW) == 0, card.error
        assert card.sha == sha256(files / name)


def test_a_copy_is_interrupted_at_once(mirror, files):
    """Nothing is programmed, and the card is free for the next."""
    (files / "upper.bin").write_bytes(UPPER.read_bytes())
    fabric = mirror()
    card = fabric.card()
    for _ in range(5):
        with subprocess.Popen(["cp", str(fabric.mount / "remote" / "nfs" / "upper.bin"), str(card.image)]) as cp:
            cp.send_signal(signal.SIGINT)
            cp.wait(20 * SLOW)
    assert copy(fabric.mount / "remote" / "nfs" / "upper.bin", card).returncode == 0
    assert card.sha == sha256(UPPER)


def test_a_full_disk_is_told_and_what_is_cached_is_read_on(fpga, files):
    small, large = noise(1_000_000, 60), noise(20_000_000, 61)
    (files / "small.bin").write_bytes(small)
    (files / "large.bin").write_bytes(large)
    (files / "upper.bin").write_bytes(UPPER.read_bytes())
    fabric = fpga.make(config=config([("nfs", files, "")]))
    fabric.state_dir.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(fabric.state_dir)], check=True)
    try:
        fabric.start()
        remote = fabric.mount / "remote" / "nfs"
        assert (remote / "small.bin").read_bytes() == small
        with open(remote / "small.bin", "rb") as held:
            with pytest.raises(OSError) as e:
                (remote / "large.bin").read_bytes()
            assert e.value.errno == errno.ENOSPC
            assert os.pread(held.fileno(), len(small), 0) == small
        # It makes room for what fits.
        assert copy(remote / "upper.bin", fabric.card()).returncode == 0, fabric.card().error
        assert fabric.card().sha == sha256(UPPER)
        fabric.stop()
    finally:
        fabric.kill_all()
        subprocess.run(["umount", "-l", str(fabric.state_dir)], check=False)


def test_a_full_disk_drops_only_as_much_as_is_needed(fpga, files):
    images = [noise(1_000_000, 80 + i) for i in range(10)]
    for i, image in enumerate(images):
        (files / f"{i}.bin").write_bytes(image)
    fabric = fpga.make(config=config([("nfs", files, "")]))
    fabric.state_dir.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(fabric.state_dir)], check=True)
    try:
        fabric.start()
        remote = fabric.mount / "remote" / "nfs"
        for i, image in enumerate(images):
            assert (remote / f"{i}.bin").read_bytes() == image
        here = [cached(remote / f"{i}.bin") == len(images[i]) for i in range(10)]
        assert here[-3:] == [True] * 3
        assert not here[0]
        fabric.stop()
    finally:
        fabric.kill_all()
        subprocess.run(["umount", "-l", str(fabric.state_dir)], check=False)


def test_a_full_disk_drops_nothing_in_vain_while_a_card_is_programmed(fpga, files):
    for i in range(10):
        (files / f"{i}.bin").write_bytes(noise(1_000_000, 80 + i))
    fabric = fpga.make(sim=None, config=config([("nfs", files, "")], "cards: [{name: slow, backend: sim, "
                                               "part: iCE40-HX1K, config_clock_hz: 10000}]\n"))
    fabric.state_dir.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(fabric.state_dir)], check=True)
    try:
        fabric.start()
        remote = fabric.mount / "remote" / "nfs"
        for i in range(6):
            assert (remote / f"{i}.bin").read_bytes() == noise(1_000_000, 80 + i)
        subprocess.Popen(["cp", str(BLINK), str(fabric.card().image)], stderr=subprocess.DEVNULL)
        until(lambda: fabric.card().state == "programming", "it is being programmed")
        for i in range(6, 8):
            run(["cat", str(remote / f"{i}.bin")])
        assert sum(cached(remote / f"{i}.bin") == 1_000_000 for i in range(6)) >= 1
        assert fabric.card().state == "programming"
    finally:
        fabric.kill_all()
        subprocess.run(["umount", "-l", str(fabric.state_dir)], check=False)


def test_an_image_larger_than_the_quota_drops_nothing_for_a_copy(mirror, files):
    (files / "a.bin").write_bytes(noise(60_000, 62))
    (files / "big.bin").write_bytes(HX8K.read_bytes())
    fabric = mirror("cache: {quota: 120KiB}\ncards: [{name: big, backend: sim, part: iCE40-HX8K}]\n", sim=None)
    remote = fabric.mount / "remote" / "nfs"
    assert sha256((remote / "a.bin").read_bytes()) == sha256(files / "a.bin")
    assert copy(remote / "big.bin", fabric.card()).returncode == 1
    assert "quota" in fabric.card().error
    assert cached(remote / "a.bin") == 60_000
