# SPDX-License-Identifier: Apache-2.0
"""Faults of a simulated card, set as attributes of its directory: found by the stack's own checks."""
import errno
import os
import signal
import subprocess

import pytest

from harness import FAULT, fault, run, until
from images import REGS, UPPER, sha256


@pytest.fixture(name="two")
def fixture_two(card):
    """A card that has an earlier good image, and no faults."""
    for name in os.listxattr(card.dir):
        os.removexattr(card.dir, name)
    card.load(REGS)
    card.load(UPPER)
    return card


def test_a_done_that_stays_low_fails_the_copy_and_rollback_heals(two):
    assert fault(two, "done-stuck", "1") == 0
    assert two.state == "configured" and two.exchange(b"still") == b"STILL"
    done = run(["cp", str(REGS), str(two.image)])
    assert done.returncode == 1 and "Input/output error" in done.stderr
    assert two.state == "failed" and two.sha == ""
    assert "DONE stayed low" in two.error
    assert two.last("program-failed")["result"] == "EIO"
    with pytest.raises(OSError) as e:
        os.close(os.open(two.dir / "io/tx", os.O_WRONLY))
    assert e.value.errno == errno.ENODEV
    assert two.ctl("rollback") == errno.EIO  # it is the card, not the image
    assert fault(two, "done-stuck", None) == 0
    assert two.state == "failed"
    assert two.ctl("rollback") == 0
    assert two.state == "configured" and two.error == "" and two.sha == sha256(UPPER)
    assert two.exchange(b"again") == b"AGAIN"


def test_an_upset_is_found_by_verify_and_mended_by_reload(two):
    assert two.ctl("verify") == 0
    assert fault(two, "upset", "1:20:30") == 0
    assert two.ctl("verify") == errno.EBADMSG
    assert "in 1 bit, the first in bank 1, row 20, column 30" in two.error
    # The same bit again: it is as it was.
    assert fault(two, "upset", "1:20:30") == 0
    assert two.ctl("verify") == 0
    assert fault(two, "upset", "random") == 0
    assert two.ctl("verify") == errno.EBADMSG
    assert two.ctl("reload") == 0
    assert two.ctl("verify") == 0 and two.error == ""
    assert os.listxattr(two.dir) == []
    assert fault(two, "upset", "9:0:0") == errno.EINVAL
    assert fault(two, "upset", "1:2") == errno.EINVAL
    assert two.ctl("clear") == 0
    assert fault(two, "upset", "random") == errno.ENODATA


def test_bit_errors_on_the_link_are_not_the_images_fault(two):
    assert fault(two, "bit-errors", "2000") == 0
    assert two.write(REGS.read_bytes()) == errno.EIO
    assert two.state == "failed" and "arrived damaged over the configuration link" in two.error
    # Validation has nothing to do with the link.
    assert two.write(REGS.read_bytes(), "check") == 0
    assert fault(two, "bit-errors", None) == 0
    assert two.write(REGS.read_bytes()) == 0


def test_an_unplugged_card_keeps_its_directory_and_comes_back(two):
    inode = os.stat(two.dir / "state").st_ino
    assert fault(two, "unplug", "1") == 0
    two.wait_state("offline")
    assert "unplugged" in two.error
    assert two.sha == sha256(UPPER)
    assert two.write(REGS.read_bytes()) == errno.ENODEV
    assert os.listxattr(two.dir) == [FAULT + "unplug"]
    assert two.fabric.processes("fabricfs-card") == []
    assert fault(two, "unplug", None) == 0
    assert two.state == "configured" and two.exchange(b"back") == b"BACK"
    assert os.stat(two.dir / "state").st_ino == inode


def test_a_slow_link_shows_progress_and_can_be_ended(two):
    assert fault(two, "slow", "20000") == 0  # 13 seconds for this image
    with subprocess.Popen(["cp", REGS, two.image], stderr=subprocess.PIPE) as cp:
        two.wait_state("programming")
        until(lambda: two.value("progress").startswith("programming "), "progress tells")
        (two.dir / "stop").write_text("upload\n")
        cp.wait(60)
        assert cp.returncode == 1
    assert fault(two, "slow", None) == 0
    assert two.write(REGS.read_bytes()) == 0


def test_surroundings_that_are_too_hot_are_seen_in_telemetry(two):
    def temperature():
        return float(two.value("telemetry/model_temp_celsius"))
    assert temperature() < 60
    assert fault(two, "over-temperature", "95") == 0
    until(lambda: 90 < temperature() < 110, "the temperature rises")
    assert fault(two, "over-temperature", None) == 0
    until(lambda: temperature() < 60, "the temperature falls")


def test_a_stuck_pin_is_found_by_those_who_use_it(two):
    two.load(REGS)
    assert fault(two, "stuck-pin", "67=0") == 0  # the acknowledge line of the registers
    with open(two.dir / "io/regs", "rb", buffering=0) as f:
        with pytest.raises(OSError) as e:
            f.read(2)
        assert e.value.errno == errno.ETIMEDOUT
    assert fault(two, "stuck-pin", None) == 0
    with open(two.dir / "io/regs", "rb", buffering=0) as f:
        assert len(f.read(2)) == 2
    two.load(UPPER)
    assert fault(two, "stuck-pin", "139=1 142=1") == 0  # bits 5 and 7 of what the design sends
    assert two.exchange(b"ab") == bytes(c | 0xa0 for c in b"AB")
    assert fault(two, "stuck-pin", "zz=1") == errno.EINVAL
    assert os.getxattr(two.dir, FAULT + "stuck-pin") == b"139=1 142=1"


def test_what_is_no_fault_is_refused(two):
    assert fault(two, "gremlins", "1") == errno.EINVAL
    assert fault(two, "done-stuck", "maybe") == errno.EINVAL
    assert fault(two, "bit-errors", "-1") == errno.EINVAL
    assert fault(two, "bit-errors", "1" * 200) == errno.EINVAL
    assert fault(two, "slow", None) == errno.ENODATA
    with pytest.raises(OSError) as e:
        os.setxattr(two.dir, FAULT + "slow", b"50000", os.XATTR_REPLACE)
    assert e.value.errno == errno.ENODATA
    with pytest.raises(OSError) as e:
        os.setxattr(two.dir / "image", FAULT + "slow", b"50000")
    assert e.value.errno == errno.EPERM
    assert os.listxattr(two.dir) == []
    assert two.exchange(b"fine") == b"FINE"


def test_only_root_and_the_mounting_user_may_set_faults(fpga):
    if os.geteuid():
        pytest.skip("needs root to become somebody else")
    card = fpga(sim=1, config='access: {owner: "65534", group: "65534", mode: "0666"}\n').card()
    script = f"import os; os.setxattr({str(card.dir)!r}, '{FAULT}unplug', b'1')"
    done = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", script])
    assert "PermissionError" in done.stderr, done
    assert os.listxattr(card.dir) == []


def test_neither_a_new_worker_nor_a_power_cut_heals_a_card(fpga):
    fabric = fpga(sim=1)
    card = fabric.card()
    card.load(UPPER)
    assert fault(card, "bit-errors", "2000") == 0
    workers = fabric.processes("fabricfs-worker")
    assert fabric.kill("fabricfs-worker", signal.SIGKILL) == 1
    until(lambda: fabric.processes("fabricfs-worker") not in ([], workers), "the next worker is there")
    assert os.listxattr(card.dir) == [FAULT + "bit-errors"]
    assert card.exchange(b"runs") == b"RUNS"
    fabric.expect_errors = True  # restoring it fails
    assert fabric.kill("fabricfs-card") == 1
    card.wait_state("failed")
    assert "arrived damaged" in card.error
    assert fault(card, "bit-errors", None) == 0
    card.load(UPPER)


def test_faults_of_attributes_end_with_the_mount_and_those_of_the_configuration_do_not(fpga):
    config = "cards:\n  - {name: bad, backend: sim, faults: {done-stuck: true, over-temperature: 80}}\n"
    fabric = fpga(sim=None, config=config)
    card = fabric.card()
    assert sorted(os.listxattr(card.dir)) == [FAULT + "done-stuck", FAULT + "over-temperature"]
    assert card.write(UPPER.read_bytes()) == errno.EIO
    assert fault(card, "done-stuck", None) == 0
    card.load(UPPER)
    assert fault(card, "unplug", "1") == 0
    card.wait_state("offline")
    fabric.expect_errors = True  # restoring it fails
    fabric.restart()
    assert sorted(os.listxattr(card.dir)) == [FAULT + "done-stuck", FAULT + "over-temperature"]
    assert card.state == "failed"  # DONE stayed low when it was to be restored
