# SPDX-License-Identifier: Apache-2.0
"""Whole images are read by the kernel itself (FUSE passthrough), and all others beside them."""
import collections
import contextlib
import ctypes
import errno
import hashlib
import mmap
import os
import random
import signal
import subprocess
import threading

import pytest

from harness import run, until
from images import HX8K
from test_remote_reading import cached, config, noise, refresh, replace

SIZE = 700_000
CACHESTAT = 451  # linux/arch: the same number everywhere but on alpha


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


@pytest.fixture
def mirror(fpga, files):
    def make(extra="", **kw):
        return fpga(config=config([("nfs", files, "")], extra), **kw)
    return make


def pages(f):
    """Pages of ours that the kernel keeps of an open file; those of the file behind it are not counted."""
    where, told = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()
    if ctypes.CDLL(None, use_errno=True).syscall(CACHESTAT, f.fileno(), where, told, 0):
        raise OSError(ctypes.get_errno(), "cachestat")
    return told[0]


def is_past_us(f, data):
    """Of a whole image, all of which is as it should be."""
    os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert os.pread(f.fileno(), len(data), 0) == data
    return pages(f) == 0


def mapped(f, size, flags):
    with mmap.mmap(f.fileno(), size, flags=flags, prot=mmap.PROT_READ) as m:
        return m[:]


def past_us(path, data):
    """An open of it that the kernel reads by itself: once it has heard that it may, and nobody has another open."""
    def attempt():
        f = open(path, "rb", buffering=0)
        if is_past_us(f, data):
            return f
        f.close()
        return None

    assert path.read_bytes() == data
    until(lambda: cached(path) == len(data), "it is whole")
    return until(attempt, "the kernel reads it by itself")


def test_a_whole_image_is_read_without_us(mirror, files):
    data = noise(SIZE, 1)
    (files / "x.bin").write_bytes(data)
    fabric = mirror()
    with past_us(fabric.mount / "remote" / "nfs" / "x.bin", data) as f:
        worker, = fabric.processes("fabricfs-worker")
        maps = [mmap.mmap(f.fileno(), SIZE, flags=flags, prot=mmap.PROT_READ)
                for flags in (mmap.MAP_PRIVATE, mmap.MAP_SHARED)]
        late = threading.Timer(20, os.kill, (worker, signal.SIGCONT))
        os.kill(worker, signal.SIGSTOP)
        late.start()
        try:
            assert os.pread(f.fileno(), SIZE, 0) == data
            assert os.pread(f.fileno(), 100, SIZE - 10) == data[-10:]
            assert os.pread(f.fileno(), 100, SIZE) == b""
            assert all(m[:] == data for m in maps)
            with open(files / "out", "wb") as out:
                assert os.sendfile(out.fileno(), f.fileno(), 0, SIZE) == SIZE
            assert (files / "out").read_bytes() == data
            assert late.is_alive()
        finally:
            late.cancel()
            os.kill(worker, signal.SIGCONT)
            for m in maps:
                m.close()


def test_opens_of_before_it_was_whole_go_on_beside_later_ones(mirror, files):
    data = noise(SIZE, 2)
    (files / "x.bin").write_bytes(data)
    fabric = mirror()
    x = fabric.mount / "remote" / "nfs" / "x.bin"
    with open(x, "rb", buffering=0) as early:
        assert os.pread(early.fileno(), 100, 0) == data[:100]
        assert x.read_bytes() == data
        until(lambda: cached(x) == SIZE, "it is whole")
        for _ in range(3):
            with open(x, "rb", buffering=0) as later:
                assert not is_past_us(later, data)
                for f in (early, later):
                    assert os.pread(f.fileno(), SIZE, 0) == data
                    assert mapped(f, SIZE, mmap.MAP_PRIVATE) == data
                assert mapped(later, SIZE, mmap.MAP_SHARED) == data
        with mmap.mmap(early.fileno(), SIZE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as m:
            early.close()
            # A mapping is an open.
            with open(x, "rb", buffering=0) as f:
                assert not is_past_us(f, data)
            assert m[:] == data
    past_us(x, data).close()


def test_it_is_so_for_later_opens_and_later_workers(mirror, files):
    data, new = noise(SIZE, 3), noise(SIZE, 4)
    (files / "x.bin").write_bytes(data)
    fabric = mirror()
    x = fabric.mount / "remote" / "nfs" / "x.bin"
    with past_us(x, data) as f:
        for _ in range(3):
            assert fabric.kill("fabricfs-worker") == 1
            with open(x, "rb", buffering=0) as g:
                assert is_past_us(g, data)
                assert is_past_us(f, data)
                assert mapped(g, SIZE, mmap.MAP_SHARED) == data
        replace(files, "x.bin", new)
        refresh(x.parent)
        assert x.read_bytes() == new
        with past_us(x, new) as g:
            assert fabric.kill("fabricfs-worker") == 1
            assert is_past_us(f, data)
            assert is_past_us(g, new)
    # Nobody has it open while there is no worker, and the next one knows of nothing.
    until(lambda: fabric.kill("fabricfs-worker") == 1, "there is one to be killed")
    past_us(x, new).close()


def test_more_images_at_once_than_the_kernel_reads_by_itself(mirror, files):
    data = {f"{i}.bin": noise(20_000, 100 + i) for i in range(150)}
    for name, its in data.items():
        (files / name).write_bytes(its)
    fabric = mirror()
    remote = fabric.mount / "remote" / "nfs"
    for name, its in data.items():
        assert (remote / name).read_bytes() == its
    until(lambda: all(cached(remote / name) == len(its) for name, its in data.items()), "all are whole")
    for _ in range(2):
        opened = [(open(remote / name, "rb", buffering=0), its) for name, its in data.items()]
        assert fabric.kill("fabricfs-worker") == 1
        opened += [(open(remote / name, "rb", buffering=0), its) for name, its in data.items()]
        for f, its in opened:
            assert os.pread(f.fileno(), len(its), 0) == its
            assert mapped(f, len(its), mmap.MAP_PRIVATE) == its
        # Some of them, but not all.
        count = sum(is_past_us(f, its) for f, its in opened)
        for f, _ in opened:
            f.close()
    assert 0 < count < len(opened)
    past_us(remote / "149.bin", data["149.bin"]).close()


@contextlib.contextmanager
def on_a_disk_of_its_own(fabric):
    fabric.state_dir.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,mode=700", "tmpfs", str(fabric.state_dir)], check=True)
    try:
        fabric.start()
        yield fabric.mount / "remote" / "nfs"
        fabric.stop()
    finally:
        fabric.kill_all()
        subprocess.run(["umount", "-l", str(fabric.state_dir)], check=False)


def of_no_name(fabric):
    """Bytes on that disk of files which have no name any more."""
    disk = os.statvfs(fabric.state_dir)
    held = 0
    for p in fabric.state_dir.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            held += p.stat().st_blocks * 512 * p.is_file()
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize - held


def test_what_is_evicted_leaves_the_disk_though_the_kernel_has_read_it(fpga, files):
    fabric = fpga.make(config=config([("nfs", files, "")], "cache: {quota: 3MiB}\n"))
    for i in range(8):
        (files / f"{i}.bin").write_bytes(noise(1 << 20, 10 + i))
    with on_a_disk_of_its_own(fabric) as remote:
        with past_us(remote / "0.bin", noise(1 << 20, 10)) as f:
            for i in range(1, 8):
                past_us(remote / f"{i}.bin", noise(1 << 20, 10 + i)).close()
            # It is open: it stays, and can be opened by others.
            assert is_past_us(f, noise(1 << 20, 10))
            with open(remote / "0.bin", "rb", buffering=0) as g:
                assert is_past_us(g, noise(1 << 20, 10))
        assert cached(remote / "1.bin") == 0
        assert of_no_name(fabric) < 1 << 20
        # And comes back.
        past_us(remote / "1.bin", noise(1 << 20, 11)).close()


def test_what_proves_damaged_leaves_the_disk_though_the_kernel_has_read_it(fpga, files):
    fabric = fpga.make(sim=None, config=config([("nfs", files, "")], "cache: {quota: 1MiB}\ncards:\n"
                                               "  - {name: large, backend: sim, part: iCE40-HX8K}\n"))
    data = bytearray(open(HX8K, "rb").read())
    data[100_000] ^= 1
    for i in range(8):
        (files / f"{i}.bin").write_bytes(data if not i else noise(300_000, 10 + i))
    with on_a_disk_of_its_own(fabric) as remote:
        past_us(remote / "0.bin", data).close()
        before = of_no_name(fabric)
        assert "Bad message" in run(["cp", str(remote / "0.bin"), str(fabric.card(0).image)]).stderr

        def gone():
            for i in range(1, 8):
                (remote / f"{i}.bin").read_bytes()
            return not list(fabric.state_dir.rglob(hashlib.sha256(data).hexdigest()))

        until(gone, "room was made of it")
        until(lambda: of_no_name(fabric) < before + len(data) // 2, "the kernel lets go of it")


def test_what_was_cut_on_the_disk_is_read_by_the_kernel_as_it_was_fetched_anew(mirror, files):
    data = noise(SIZE, 5)
    for i in range(4):
        (files / f"{i}.bin").write_bytes(data if not i else noise(SIZE, 10 + i))
    fabric = mirror("cache: {quota: 2MiB}\n")
    remote = fabric.mount / "remote" / "nfs"
    x = remote / "0.bin"
    past_us(x, data).close()
    os.setxattr(x, "user.fpga.pinned", b"1")
    blob, = fabric.state_dir.rglob(hashlib.sha256(data).hexdigest())
    os.truncate(blob, 1000)

    def anew():
        # What makes room forgets what is open no more.
        for i in range(1, 4):
            (remote / f"{i}.bin").read_bytes()
        return x.read_bytes() == data

    until(anew, "it was found to be cut")
    past_us(x, data).close()
    assert x.read_bytes() == data


def reader(remote, versions, seed, over, found):
    """Opens, reads and maps images at random; what one open gives is one version of it."""
    rng = random.Random(seed)
    while not over.is_set():
        n = rng.randrange(len(versions))
        try:
            with open(remote / f"{n}.bin", "rb", buffering=0) as f:
                head = os.pread(f.fileno(), 64, 0)
                data = next((v for v in versions[n] if v[:64] == head), None)
                if data is None:
                    found["what nobody wrote"] += 1
                    return
                for _ in range(rng.randrange(6)):
                    at, size = rng.randrange(SIZE), rng.choice([1, 4096, 200_000, SIZE])
                    if rng.randrange(2):
                        found["read"] += 1
                        got = os.pread(f.fileno(), size, at)
                        if not got or got != data[at:at + len(got)]:
                            found["other bytes"] += 1
                    elif os.getxattr(f.fileno(), "user.fpga.cached") == str(SIZE).encode():
                        # What is not all here may be gone upstream, which ends who touches its pages.
                        found["mapped"] += 1
                        if mapped(f, SIZE, rng.choice([mmap.MAP_PRIVATE, mmap.MAP_PRIVATE, mmap.MAP_SHARED])) != data:
                            found["other pages"] += 1
        except OSError as e:
            # Who opened it before it was all here cannot share its pages.
            if e.errno not in (errno.ESTALE, errno.ENODEV):
                found[errno.errorcode[e.errno]] += 1


def test_images_are_replaced_and_evicted_while_they_are_read_and_workers_die(mirror, files):
    versions = [[noise(SIZE, 1000 * n)] for n in range(8)]
    for n, (data,) in enumerate(versions):
        (files / f"{n}.bin").write_bytes(data)
    fabric = mirror("cache: {quota: 9MiB}\n")
    remote = fabric.mount / "remote" / "nfs"
    over, found, rng = threading.Event(), collections.Counter(), random.Random(1)
    readers = [threading.Thread(target=reader, args=(remote, versions, i, over, found)) for i in range(6)]
    for t in readers:
        t.start()
    kills = 0
    try:
        for step in range(60):
            n = rng.randrange(len(versions))
            versions[n].append(noise(SIZE, rng.randrange(1 << 30)))
            replace(files, f"{n}.bin", versions[n][-1])
            if step % 2:
                refresh(remote)
            if step % 4 == 3:
                kills += fabric.kill("fabricfs-worker")
            over.wait(0.05)
    finally:
        over.set()
        for t in readers:
            t.join()
    assert kills > 10
    assert found["read"] > 100 and found["mapped"] > 100
    assert set(found) == {"read", "mapped"}, found
