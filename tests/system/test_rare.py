# SPDX-License-Identifier: Apache-2.0
"""What happens seldom, and to somebody all the same."""
import errno
import os
import signal
import threading

from harness import SLOW, mounted, until
from images import REGS, UPPER, sha256

SLOW_LINK = "user.fpga.sim.slow"
UNPLUG = "user.fpga.sim.unplug"


def test_who_writes_or_reads_while_his_image_is_programmed_waits_for_the_result(fpga):
    card = fpga().card()
    data = UPPER.read_bytes()
    os.setxattr(card.dir, SLOW_LINK, b"200000")  # 1.3 s for this image
    fd = os.open(card.image, os.O_RDWR | os.O_TRUNC | os.O_CLOEXEC)
    seen = {}

    def said(name, call, *args):
        try:
            seen[name] = call(*args)
        except OSError as e:
            seen[name] = e.errno

    assert os.write(fd, data) == len(data)
    threads = [threading.Thread(target=said, args=("fsync", os.fsync, fd))]
    threads[0].start()
    card.wait_state("programming")
    threads.append(threading.Thread(target=said, args=("write", os.pwrite, fd, b"more", len(data))))
    threads.append(threading.Thread(target=said, args=("read", os.pread, fd, len(data), 0)))
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(60)
    os.close(fd)
    # Programmed once; what came after its end is too much, and was told so.
    assert seen == {"fsync": None, "write": errno.EFBIG, "read": data}
    assert card.state == "configured" and card.sha == sha256(UPPER)
    assert card.count("programmed") == 1


def test_an_image_copied_in_pieces_by_copy_file_range_is_programmed_whole(fpga):
    fabric = fpga(sim=2)
    fabric.card(0).load(UPPER)
    size = UPPER.stat().st_size
    source = os.open(fabric.card(0).image, os.O_RDONLY | os.O_CLOEXEC)
    target = os.open(fabric.card(1).image, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    at = 0
    while at < size:
        # Neither a whole image nor a whole page: bytes have to go through.
        n = os.copy_file_range(source, target, 5000, at, at)
        assert 0 < n <= 5000
        at += n
    assert os.copy_file_range(source, target, 5000, at, at) == 0
    os.close(source)
    os.close(target)
    assert fabric.card(1).sha == sha256(UPPER) and fabric.card(1).state == "configured"


def test_a_temporary_can_be_synced_and_read_back_before_it_becomes_the_image(card):
    data = REGS.read_bytes()
    temporary = card.dir / ".regs.part"
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    assert os.write(fd, data[:1000]) == 1000
    os.fsync(fd)  # of half an image: the bytes are kept, nothing is judged
    assert os.write(fd, data[1000:]) == len(data) - 1000
    assert os.pread(fd, len(data) + 10, 0) == data
    assert os.pread(fd, 10, len(data)) == b""
    before = card.sha
    os.fsync(fd)
    os.close(fd)
    assert card.sha == before != sha256(REGS)
    os.rename(temporary, card.image)
    assert card.sha == sha256(REGS)


def test_a_card_that_is_gone_for_good_is_forgotten_and_its_number_with_it(fpga):
    fabric = fpga(sim=2)
    card = fabric.card(1)
    card.load(UPPER)
    assert card.ctl("forget") == errno.EBUSY  # it is there
    os.setxattr(card.dir, UNPLUG, b"1")
    card.wait_state("offline")
    held = os.open(card.dir / "history", os.O_RDONLY | os.O_CLOEXEC)
    assert card.ctl("forget") == 0
    until(lambda: not card.dir.exists(), "its directory is gone")
    assert [c["dev"] for c in fabric.status()["cards"]] == ["dev0"]
    assert card.name not in os.listdir(fabric.mount)
    os.close(held)
    fabric.card(0).load(UPPER)  # the other one does not mind
    fabric.restart()
    # The configuration still has it: it is a new card now.
    assert sorted(c["dev"] for c in fabric.status()["cards"]) == ["dev0", "dev2"]
    assert fabric.card(2).history() == [] or fabric.card(2).sha == ""


def test_a_worker_that_is_told_to_end_ends_all_of_it_cleanly(fpga):
    fabric = fpga()
    fabric.card().load(UPPER)
    assert fabric.kill("fabricfs-worker", signal.SIGTERM) == 1
    assert fabric.process.wait(60 * SLOW) == 0
    assert not mounted(fabric.mount) and fabric.processes() == []
    fabric.process = None
    # Nothing was lost by it.
    fabric.start()
    assert fabric.card().state == "configured" and fabric.card().sha == sha256(UPPER)
