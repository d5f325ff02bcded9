# SPDX-License-Identifier: Apache-2.0
"""Large images: writes are answered before the recogniser has seen them, and nobody can tell."""
import errno
import os
import threading

import pytest

from harness import run
from images import end, flip, large_hx1k, sha256

SIZE = 6_000_000
# As in test_restart.py: one that starts slowly (ThreadSanitizer) gets nothing done in 150 ms.
KILL_S = float(os.environ.get("FABRICFS_KILL_MS", "150")) / 1000
CONFIG = "cards:\n  - {name: a, backend: command, part: iCE40-HX1K, program: [/bin/true], verify: none}\n"


@pytest.fixture(scope="module")
def images():
    return [large_hx1k(SIZE, seed) for seed in (1, 2)]


@pytest.fixture()
def card(fpga):
    return fpga.make(sim=None, config=CONFIG).start().card()


def pour(card, data, piece, flags=os.O_TRUNC):
    """Write in order; the errno of the first call that fails and its name, or (0, "")."""
    fd = os.open(card.image, os.O_WRONLY | flags)
    what, problem, at = "", 0, 0
    while at < len(data):
        try:
            at += os.write(fd, data[at:at + piece])
        except OSError as e:
            what, problem = "write", e.errno
            break
    try:
        os.close(fd)
    except OSError as e:
        assert not problem, "an error was told twice"
        what, problem = "close", e.errno
    return problem, what


@pytest.mark.parametrize("piece", [65_536, 100_001, 262_144, 1 << 20, 1 << 22])
def test_a_large_image_in_pieces_is_the_image(card, images, piece):
    for data in images:
        assert pour(card, data, piece) == (0, "")
        assert card.sha == sha256(data)
        assert card.value("loaded/size") == str(len(data))
    assert card.image.read_bytes() == images[1]


def test_tools_copy_a_large_image(card, images, tmp_path):
    for i, tool in enumerate((["cp"], ["cp", "-p"], ["install"], ["rsync", "-I", "--inplace"],
                              ["rsync", "-I"], ["dd", "bs=1M"])):
        data = images[i % 2]
        (tmp_path / "x.bin").write_bytes(data)
        names = [f"if={tmp_path / 'x.bin'}", f"of={card.image}"] if "dd" in tool else [tmp_path / "x.bin", card.image]
        done = run([*tool, *names])
        assert done.returncode == 0, (tool, done.stderr)
        assert card.sha == sha256(data), tool


@pytest.mark.parametrize("piece", [65_536, 262_144, 1 << 20])
def test_damage_in_the_middle_fails_a_later_write_or_the_close(card, images, piece):
    card.fabric.expect_errors = True
    assert pour(card, images[0], piece) == (0, "")
    for at in (SIZE // 3, SIZE // 2, SIZE - 2000):
        # the 00 00 behind a row of block RAM shows at once, what is in a row at the CRC
        bad = bytearray(images[1])
        bad[images[1].index(b"\0\0\x11\x03\x82", at)] = 1
        problem, what = pour(card, bytes(bad), piece)
        assert problem == errno.EBADMSG and what
        assert "00 00" in card.error
        assert card.sha == sha256(images[0]) and card.state == "configured"
        assert pour(card, flip(images[1], at, 3), piece)[0] == errno.EBADMSG
        assert "crc" in card.error.lower()
        assert card.sha == sha256(images[0])
    assert card.image.read_bytes() == images[0]
    assert pour(card, images[1], piece) == (0, "")
    assert card.sha == sha256(images[1]) and card.error == ""


def test_bytes_behind_the_end_of_a_large_image_are_refused(card, images):
    card.fabric.expect_errors = True
    for more in (b"x", b"x" * 300_000):
        assert pour(card, images[0][:end(images[0])] + more, 262_144)[0] == errno.EFBIG
        assert card.sha == ""


def test_a_large_image_cut_off_says_so(card, images):
    card.fabric.expect_errors = True
    assert pour(card, images[0][:SIZE // 2], 262_144) == (errno.EBADMSG, "close")
    assert "truncated" in card.error


def test_an_open_reads_what_it_has_just_written(card, images):
    fd = os.open(card.image, os.O_RDWR | os.O_TRUNC)
    data, at = images[0], 0
    while at < len(data):
        at += os.write(fd, data[at:at + 262_144])
        assert os.pread(fd, 70_000, max(0, at - 70_000)) == data[max(0, at - 70_000):at]
    # also over bytes that went through the recogniser already
    assert os.pwrite(fd, data[SIZE // 2:SIZE // 2 + 300_000], SIZE // 2) == 300_000
    os.close(fd)
    assert card.sha == sha256(data)


def test_fsync_in_the_middle_changes_nothing(card, images):
    fd = os.open(card.image, os.O_WRONLY | os.O_TRUNC)
    for at in range(0, len(images[0]), 500_000):
        os.write(fd, images[0][at:at + 500_000])
        os.fsync(fd)
    os.close(fd)
    assert card.sha == sha256(images[0])


def test_a_stop_ends_a_large_upload_at_once(card, images):
    card.fabric.expect_errors = True
    told, begun = [], threading.Event()

    def write():
        fd = os.open(card.image, os.O_WRONLY | os.O_TRUNC)
        try:
            # the same row for ever: only a stop ends it
            os.write(fd, images[0][:1 << 20])
            row = images[0].index(b"\0\0\x11\x03\x82", 1 << 19) + 2
            length = images[0].index(b"\0\0\x11\x03\x82", row) + 2 - row
            more = images[0][row:row + length] * 1000
            rest = (1 << 20) - row
            os.write(fd, more[rest % length:])
            begun.set()
            for _ in range(100_000):
                os.write(fd, more)
        except OSError as e:
            told.append(e.errno)
        finally:
            try:
                os.close(fd)
            except OSError as e:
                told.append(e.errno)

    thread = threading.Thread(target=write)
    thread.start()
    assert begun.wait(60)
    (card.dir / "stop").write_text("upload\n")
    thread.join(60)
    assert not thread.is_alive()
    assert told == [errno.ECANCELED]
    assert pour(card, images[0], 262_144) == (0, "")


def test_large_copies_go_on_while_workers_are_killed(fpga, images, tmp_path):
    fabric = fpga.make(sim=None, config=CONFIG)
    fabric.expect_errors = True
    card = fabric.start().card()
    for i in (0, 1):
        (tmp_path / f"{i}.bin").write_bytes(images[i])
    done, kills = threading.Event(), []

    def kill():
        while not done.wait(KILL_S):
            # Three times a copy: on a busy machine a worker may need longer than this to start.
            if len(kills) < 3:
                kills.append(fabric.kill("fabricfs-worker"))
    killer = threading.Thread(target=kill)
    killer.start()
    killed = i = 0
    try:
        while i < 12 or not killed:
            copy = run(["cp", tmp_path / f"{i % 2}.bin", card.image])
            assert copy.returncode == 0, copy.stderr
            assert card.sha == sha256(images[i % 2])
            killed += sum(kills)
            kills.clear()
            i += 1
    finally:
        done.set()
        killer.join()
    assert killed
    assert pour(card, images[0], 262_144) == (0, "")
