# SPDX-License-Identifier: Apache-2.0
"""Rows about listing repositories: a folder of 100,000 images against the same folder without fabricfs."""
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

IMAGES = 100_000


def rss_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def took(*argv):
    began = time.monotonic_ns()
    subprocess.run([str(a) for a in argv], stdout=subprocess.DEVNULL, check=True, timeout=300)
    return time.monotonic_ns() - began


def make(folder, count):
    folder.mkdir()
    for i in range(count):
        fd = os.open(folder / f"image-{i:06}-of-some-design.bin", os.O_CREAT | os.O_WRONLY)
        os.ftruncate(fd, 100_000 + i)
        os.close(fd)


def listing(b):
    count = b.n(IMAGES, 500)
    images = b.shm / "images"
    make(images, count)
    config = f"repositories:\n  big: {{kind: directory, path: {images}, max-age: 1h}}\n"
    began = time.monotonic_ns()
    with b.fabric(config=config) as fabric:
        there = fabric.mount / "remote" / "big"
        assert len(os.listdir(there)) == count + 1, "who looks first waits for the first listing"
        first = time.monotonic_ns() - began
        pids = fabric.processes("fabricfs") + fabric.processes("fabricfs-worker")
        for name, argv, budget, pairs in (("ls -U", ["ls", "-U"], 0.8, 25), ("ls -l", ["ls", "-l"], 1.3, 9),
                                          ("du -s", ["du", "-s"], None, 5)):
            n = b.n(pairs)
            got = [(took(*argv, there), took(*argv, images)) for _ in range(n)]
            b.pair_row(f"{name} of {count} images", got, budget, n, "tmpfs")
        b.row(f"memory, {count} images listed, RSS of worker and holder", sum(map(rss_mib, pids)), None, 32, 1, "MiB")
        plain = took("find", images, "-printf", "%s %T@ %p\\n")
        b.pair_row(f"from mounting to the first listing of {count} images", [(first, plain)], None, 1, "find -printf")
        received = re.search(r"^received_bytes (\d+)$", (there / ".repo" / "stats").read_text(), re.M).group(1)
        assert received == "0", f"{received} bytes of images were read to list them"
    shutil.rmtree(images)
