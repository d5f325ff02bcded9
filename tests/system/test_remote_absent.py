# SPDX-License-Identifier: Apache-2.0
"""remote/: a repository that the configuration has no more, and what is still here of it."""
from harness import until
from images import sha256
from test_remote_cache import MIB, cached, kept_files, noise, pin


def config(*folders):
    return ("repositories:\n" + "".join(f"  {f.name}: {{kind: directory, path: {f}}}\n" for f in folders) +
            "cache: {quota: 4MiB}\n")


def test_what_nobody_can_ask_for_is_dropped_before_what_was_used_longest_ago(fpga, tmp_path):
    folders = [tmp_path / "here", tmp_path / "gone"]
    data = {}
    for folder in folders:
        folder.mkdir()
        for i in range(4):
            data[folder.name, i] = noise(MIB, len(data))
            (folder / f"{i}.bin").write_bytes(data[folder.name, i])
    fabric = fpga(config=config(*folders))

    def image(name, i):
        return fabric.mount / "remote" / name / f"{i}.bin"

    def read(name, i):
        assert sha256(image(name, i).read_bytes()) == sha256(data[name, i])
        until(lambda: cached(image(name, i)) == MIB, "it is whole")

    pin(image("gone", 0))
    for name, i in (("here", 0), ("gone", 0), ("gone", 1), ("gone", 2)):
        read(name, i)
    fabric.stop()
    fabric.config_path.write_text(config(folders[0]))
    fabric.start()
    read("here", 1)
    read("here", 2)
    # The oldest is still here, and so is what somebody wants to keep wherever it is listed.
    kept = [("here", 0), ("here", 1), ("here", 2), ("gone", 0)]
    assert kept_files(fabric, "blobs") == sorted(sha256(data[k]) for k in kept)
    read("here", 3)
    assert cached(image("here", 0)) == 0, "now it is its turn"
