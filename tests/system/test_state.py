# SPDX-License-Identifier: Apache-2.0
"""State folder and configuration: what is wrong is said before mounting, and nothing is lost."""
import concurrent.futures
import contextlib
import errno
import os
import sqlite3
import stat
import subprocess
import time

import pytest

from harness import BIN, mounted, need, run, until
from images import BLINK, REGS, UPPER, large_hx1k, sha256


def refused(fabric, *words):
    """Exit 1 with a sentence before mounting, in the foreground and in the background."""
    for foreground in (True, False):
        done = run(fabric.argv(foreground), env=fabric.env)
        assert done.returncode == 1, done
        assert not mounted(fabric.mount)
        said = done.stdout + done.stderr
        assert all(word in said for word in words), said
        assert len(said.strip().splitlines()) == 1, said
    until(lambda: not fabric.processes(), "nothing is left")
    return said


@pytest.fixture
def loaded(fpga):
    """A stopped daemon whose state knows an image."""
    fabric = fpga()
    fabric.card().load(UPPER)
    fabric.stop()
    return fabric


def catalogue(fabric):
    found = [p for p in fabric.state_dir.iterdir() if p.is_file() and p.read_bytes()[:15] == b"SQLite format 3"]
    assert len(found) == 1, list(fabric.state_dir.iterdir())
    return found[0]


def test_a_missing_folder_is_made_for_its_owner_only(fpga):
    fabric = fpga.make()
    fabric.state_dir = fabric.folder / "new" / "state"
    (fabric.folder / "new").mkdir()
    fabric.start()
    assert stat.S_IMODE(fabric.state_dir.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_written_is_refused(loaded):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", loaded.state_dir], check=True)
    try:
        refused(loaded, str(loaded.state_dir))
    finally:
        subprocess.run(["umount", loaded.state_dir], check=True)
    loaded.start()
    loaded.card().wait_state("configured")
    assert loaded.card().sha == sha256(UPPER)


def test_a_damaged_catalogue_is_refused_and_left_as_it_is(loaded):
    path = catalogue(loaded)
    good = path.read_bytes()
    for damage in (b"this is no database" * 100, good[:100] + os.urandom(len(good) - 100), good[:5000]):
        path.write_bytes(damage)
        refused(loaded, "damaged")
        assert path.read_bytes() == damage
    path.write_bytes(good)
    loaded.start()
    loaded.card().wait_state("configured")
    assert loaded.card().sha == sha256(UPPER)


def test_a_newer_catalogue_is_refused(loaded):
    path = catalogue(loaded)
    db = sqlite3.connect(path)
    old = db.execute("PRAGMA user_version").fetchone()[0]
    assert old > 0
    db.execute(f"PRAGMA user_version = {old + 1000}")
    db.commit()
    db.close()
    refused(loaded, "newer")
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {old}")
    db.commit()
    db.close()
    loaded.start()
    loaded.card().wait_state("configured")
    assert loaded.card().sha == sha256(UPPER)


def test_a_folder_in_use_is_refused_and_its_owner_goes_on(fpga):
    first = fpga()
    first.card().load(UPPER)
    second = fpga.make()
    second.state_dir = first.state_dir
    refused(second, "another")
    assert first.card().sha == sha256(UPPER)
    first.card().load(BLINK)


def test_a_lost_blob_is_not_believed(loaded):
    blobs = [p for p in loaded.state_dir.rglob("*") if p.is_file() and sha256(UPPER) in p.name]
    assert blobs
    for blob in blobs:
        blob.unlink()
    loaded.expect_errors = True
    loaded.start()
    card = loaded.card()
    until(lambda: card.state in ("unconfigured", "failed"), "the card is not what it was")
    assert card.image.read_bytes() == b""
    card.load(UPPER)


def test_a_changed_blob_is_not_loaded(loaded):
    blob, = [p for p in loaded.state_dir.rglob("*") if p.is_file() and sha256(UPPER) in p.name]
    os.chmod(blob, 0o600)
    blob.write_bytes(REGS.read_bytes())
    loaded.expect_errors = True
    loaded.start()
    card = loaded.card()
    until(lambda: card.state in ("unconfigured", "failed"), "the card is not what it was")
    assert card.sha != sha256(UPPER) or card.image.read_bytes() == UPPER.read_bytes()


def next_worker(fabric):
    old = fabric.processes("fabricfs-worker")
    assert fabric.kill("fabricfs-worker") == 1
    until(lambda: fabric.processes("fabricfs-worker") not in ([], old), "the next worker is there")


def blob_of(fabric, image):
    blob, = [p for p in fabric.state_dir.rglob("*") if p.is_file() and sha256(image) in p.name]
    os.chmod(blob, 0o600)
    return blob


def read_errno(path):
    try:
        path.read_bytes()
    except OSError as e:
        return e.errno
    return 0


def test_a_kept_image_that_the_disk_has_changed_is_not_read_as_the_loaded_one(fpga):
    fabric = fpga()
    card, other = fabric.card(), UPPER.read_bytes()
    card.load(UPPER)
    next_worker(fabric)
    assert card.image.read_bytes() == other
    blob = blob_of(fabric, UPPER)
    blob.write_bytes(other[:7000] + bytes([other[7000] ^ 4]) + other[7001:])
    next_worker(fabric)
    assert read_errno(card.image) == errno.EBADMSG
    assert "damaged on the disk" in card.error and sha256(UPPER) in card.error
    assert card.last("alert")["result"] == "EBADMSG"
    assert read_errno(card.image) == errno.EBADMSG
    assert card.count("alert") == 1, "told once, not to each who reads"
    # The card itself has what it had, and verify does not blame it.
    assert card.state == "configured" and card.sha == sha256(UPPER)
    assert card.exchange(b"as before") == b"AS BEFORE"
    assert card.ctl("verify") == errno.EBADMSG
    assert "damaged on the disk" in card.error
    done = run(["cp", str(card.image), str(fabric.folder / "copy")])
    assert done.returncode == 1 and "Bad message" in done.stderr
    card.load(UPPER)
    assert card.image.read_bytes() == other and card.ctl("verify") == 0


def test_a_kept_image_that_is_gone_is_told_of_too(fpga):
    fabric = fpga()
    card = fabric.card()
    card.load(UPPER)
    blob_of(fabric, UPPER).unlink()
    next_worker(fabric)
    assert read_errno(card.image) == errno.ENODATA
    assert "no copy of the loaded image" in card.error
    assert card.state == "configured" and card.exchange(b"runs") == b"RUNS"


def test_many_who_read_a_kept_image_at_once_all_get_it(fpga):
    fabric = fpga(sim=3)
    for n in range(3):
        fabric.card(n).load(UPPER)
    next_worker(fabric)
    with concurrent.futures.ThreadPoolExecutor(24) as many:
        got = list(many.map(lambda i: fabric.card(i % 3).image.read_bytes(), range(72)))
    assert got == [UPPER.read_bytes()] * 72


def test_a_full_disk_refuses_uploads_before_the_card_is_touched(fpga):
    fabric = fpga.make()
    fabric.state_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", fabric.state_dir], check=True)
    try:
        fabric.expect_errors = True
        fabric.start()
        card = fabric.card()
        card.load(UPPER)
        filler = fabric.state_dir / "filler"
        with open(filler, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError as e:
                assert e.errno == errno.ENOSPC
        assert card.write(BLINK.read_bytes()) == errno.ENOSPC
        assert card.state == "configured" and card.sha == sha256(UPPER)
        assert card.image.read_bytes() == UPPER.read_bytes()
        assert card.exchange(b"still runs") == b"STILL RUNS"
        filler.unlink()
        card.load(BLINK)
        fabric.stop()
    finally:
        fabric.kill_all()
        subprocess.run(["umount", "-l", fabric.state_dir], check=True)


def test_what_was_done_to_a_card_can_be_noted_however_full_the_disk_is(fpga):
    """A page more or less: a command is refused before it touches the card, or all of it is recorded."""
    fabric = fpga.make()
    fabric.state_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", fabric.state_dir], check=True)
    try:
        fabric.expect_errors = True
        fabric.start()
        card = fabric.card()
        card.load(BLINK)
        card.load(UPPER)
        filler = fabric.state_dir / "filler"
        done = 0
        for pages in range(75):
            with open(filler, "wb", buffering=0) as f:
                with contextlib.suppress(OSError):
                    while True:
                        f.write(bytes(4096))
                f.truncate(max(0, f.tell() - pages * 4096))
            problem = card.ctl("reload")
            assert problem in (0, errno.ENOSPC)
            assert "could not be recorded" not in fabric.log(), f"{pages} pages were free"
            assert card.state == "configured" and card.sha == sha256(UPPER)
            done += not problem
        assert done
        filler.unlink()
        card.load(BLINK)
        fabric.stop()
    finally:
        fabric.kill_all()
        subprocess.run(["umount", "-l", fabric.state_dir], check=True)


def test_what_others_are_refused_takes_no_room_from_what_is_being_done(fpga):
    fabric = fpga.make(sim=None)
    gate = fabric.folder / "gate"
    os.mkfifo(gate)
    fabric.config_path = fabric.folder / "fabricfs.yaml"
    fabric.config_path.write_text("cards:\n" + "".join(
        f"  - {{name: {name}, backend: command, part: iCE40-HX1K, verify: none, program: [{words}]}}\n"
        for name, words in (("slow", f"cat, {gate}"), ("other", "/bin/true"))))
    fabric.state_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", fabric.state_dir], check=True)
    try:
        fabric.expect_errors = True
        fabric.start()
        card, other = fabric.card(0), fabric.card(1)
        with concurrent.futures.ThreadPoolExecutor(1) as one:
            copy = one.submit(card.write, UPPER.read_bytes())
            card.wait_state("programming")
            with open(fabric.state_dir / "filler", "wb", buffering=0) as f:
                with contextlib.suppress(OSError):
                    while True:
                        f.write(bytes(4096))
                f.truncate(max(0, f.tell() - 4096))
            for _ in range(200):
                assert other.write(b"no image") in (errno.ENOEXEC, errno.ENOSPC)
            with open(gate, "wb"):
                pass
            assert copy.result(60) == 0, card.error
        assert card.last("programmed")["sha256"] == sha256(UPPER)
        assert other.error
        fabric.stop()
    finally:
        fabric.kill_all()
        subprocess.run(["umount", "-l", fabric.state_dir], check=True)


def test_the_room_of_an_image_that_was_just_removed_is_there_for_a_view_of_the_loaded_one(fpga):
    """Three fit: the loaded one, the one before, and a third that comes."""
    fabric = fpga.make(sim=None, config="cards:\n  - {name: odd, backend: command, part: iCE40-HX1K, verify: none,"
                                        " program: [/bin/true]}\n")
    fabric.state_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10m", "none", fabric.state_dir], check=True)
    try:
        fabric.start()
        card = fabric.card()
        for seed in range(6):
            image = large_hx1k(3 << 20, seed)
            card.write(image)
            assert card.sha == sha256(image), card.error
            if seed < 2:
                continue
            fd = os.open(card.image, os.O_WRONLY)
            try:
                os.write(fd, image[:1000])
                os.ftruncate(fd, 0)
            finally:
                os.close(fd)
        fabric.stop()
    finally:
        fabric.kill_all()
        subprocess.run(["umount", "-l", fabric.state_dir], check=True)


def test_a_state_folder_gone_read_only_refuses_uploads(fpga):
    need("mkfs.ext4")
    fabric = fpga.make()
    disk = fabric.folder / "disk"
    with open(disk, "wb") as f:
        f.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    fabric.state_dir.mkdir()
    done = run(["mount", "-o", "loop", str(disk), str(fabric.state_dir)])
    if done.returncode:
        pytest.skip("needs loop devices: " + done.stderr.strip())
    try:
        fabric.expect_errors = True
        fabric.start()
        card = fabric.card()
        card.load(UPPER)
        # What the kernel does itself when the disk is failing.
        subprocess.run(["mount", "-o", "remount,abort", fabric.state_dir], check=True)
        assert card.write(BLINK.read_bytes()) == errno.EROFS
        assert card.sha == sha256(UPPER) and card.state == "configured"
        assert card.image.read_bytes() == UPPER.read_bytes()
        assert card.exchange(b"still runs") == b"STILL RUNS"
        fabric.stop()
    finally:
        fabric.kill_all()
        subprocess.run(["umount", "-l", fabric.state_dir], check=True)


# --- configuration ----------------------------------------------------------------


def test_a_misspelt_key_is_named_with_its_line_and_the_nearest(fpga):
    fabric = fpga.make(config="access: {owner: root}\ncards:\n  - {nmae: bench, backend: sim}\n")
    refused(fabric, "fabricfs.yaml:3", "nmae", "name")
    done = run([str(BIN), "check-config", str(fabric.config_path)])
    assert done.returncode == 1 and "nmae" in done.stderr + done.stdout


@pytest.mark.parametrize("text, word", [
    ("cards: {name: x}\n", ":1"),
    ("cards:\n  - {name: a, backend: sym}\n", "sim"),
    ("cards:\n  - {name: a, backend: sim}\n  - {name: a, backend: sim}\n", "a"),
    ("cards:\n  - {name: a, backend: sim, part: iCE40-HX99}\n", "iCE40-HX1K"),
    ("upload-timeout: soon\n", "upload-timeout"),
    ("access: {mode: \"0999\"}\n", "mode"),
    ("cards: [\n", "fabricfs.yaml"),
], ids=["wrong type", "backend", "same name", "part", "duration", "mode", "no YAML"])
def test_a_wrong_value_is_refused_with_its_line(fpga, text, word):
    refused(fpga.make(sim=None, config=text), word)


def test_check_config_says_how_many_cards(fpga):
    fabric = fpga.make(config="cards:\n  - {name: bench, backend: sim, part: iCE40-HX1K}\n")
    done = run([str(BIN), "check-config", str(fabric.config_path)])
    assert done.returncode == 0 and "1 card" in done.stdout
    assert run([str(BIN), "check-config", str(fabric.folder / "none.yaml")]).returncode == 1


def test_a_missing_configuration_is_refused(fpga):
    fabric = fpga.make()
    fabric.config_path = fabric.folder / "none.yaml"
    refused(fabric, "none.yaml")


def test_access_of_the_configuration_is_that_of_the_files(fpga):
    fabric = fpga(sim=None, config="access: {owner: nobody, group: daemon, mode: \"0640\"}\n"
                                   "cards:\n  - {name: a, backend: sim, part: iCE40-HX1K}\n"
                                   "  - {name: b, backend: sim, part: iCE40-HX1K, access: {mode: \"0666\"}}\n")
    import grp
    import pwd
    st = os.stat(fabric.card(0).image)
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (0o640, pwd.getpwnam("nobody").pw_uid,
                                                               grp.getgrnam("daemon").gr_gid)
    assert stat.S_IMODE(os.stat(fabric.card(0).dir).st_mode) == 0o755
    assert stat.S_IMODE(os.stat(fabric.card(1).image).st_mode) == 0o666


def test_an_upload_that_sends_nothing_for_too_long_is_ended(fpga):
    fabric = fpga(config="upload-timeout: 1s\n")
    card = fabric.card()
    card.load(BLINK)
    fd = os.open(card.image, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    os.write(fd, UPPER.read_bytes()[:9000])
    until(lambda: card.value("progress").startswith("idle"), "the upload is ended")
    with pytest.raises(OSError) as e:
        os.write(fd, UPPER.read_bytes()[9000:])
    assert e.value.errno == errno.ECANCELED
    try:
        os.close(fd)
    except OSError:
        pass
    assert card.sha == sha256(BLINK)
    card.load(UPPER)


# --- policies -----------------------------------------------------------------------


def card_with(fpga, policy, more=""):
    config = f"cards:\n  - {{name: a, backend: sim, part: iCE40-HX1K, policy: {{{policy}}}{more}}}\n"
    return fpga(sim=None, config=config)


def test_policy_skip_identical_does_not_program_the_same_again(fpga):
    card = card_with(fpga, "skip-identical: true").card()
    card.load(UPPER)
    before = len([r for r in card.history() if r["event"] == "programmed"])
    assert card.write(UPPER.read_bytes()) == 0
    assert len([r for r in card.history() if r["event"] == "programmed"]) == before


def test_policy_formats_and_digests_are_kept(fpga):
    card = card_with(fpga, "digests: [" + sha256(UPPER) + "]").card()
    card.load(UPPER)
    assert card.write(BLINK.read_bytes()) == errno.EPERM
    assert card.sha == sha256(UPPER)
    other = card_with(fpga, "formats: [xilinx-bit]").card()
    assert other.write(UPPER.read_bytes()) in (errno.EPERM, errno.EMEDIUMTYPE)
    assert other.state == "unconfigured"


def test_policy_rate_is_kept(fpga):
    card = card_with(fpga, "max-per-minute: 2").card()
    card.load(UPPER)
    card.load(BLINK)
    assert card.write(UPPER.read_bytes()) == errno.EPERM
    assert card.sha == sha256(BLINK)


def test_policy_rate_outlives_the_worker_and_fabricfs(fpga):
    # Should this take longer than the minute, the policy has nothing to refuse.
    began = time.monotonic()
    fabric = card_with(fpga, "max-per-minute: 2")
    card = fabric.card()
    card.load(UPPER)
    fabric.kill("fabricfs-worker")
    card.load(BLINK)
    fabric.kill("fabricfs-worker")
    said = [card.write(UPPER.read_bytes())]
    # What it had is put back: nobody's programming, and refused to nobody.
    fabric.restart()
    card.wait_state("configured")
    assert card.sha == sha256(BLINK)
    said.append(card.write(UPPER.read_bytes()))
    said.append(card.ctl("reload"))
    if time.monotonic() - began < 60:
        assert said == [errno.EPERM] * 3
        assert "max-per-minute" in card.error


def test_policy_restore_off_leaves_the_card_empty(fpga):
    fabric = card_with(fpga, "restore: false")
    fabric.card().load(UPPER)
    fabric.restart()
    assert fabric.card().state == "unconfigured"
    assert fabric.card().sha == ""
