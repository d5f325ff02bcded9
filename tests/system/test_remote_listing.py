# SPDX-License-Identifier: Apache-2.0
"""remote/: what repositories list, as files (DESIGN 4). Folders, so no network is needed."""
import errno
import json
import os
import re
import select
import signal
import sqlite3
import stat
import subprocess
import time
from pathlib import Path

import pytest

from harness import SLOW, run, shell, until
from images import BLINK, UPPER, sha256


def config(repos, extra=""):
    lines = [f"  {name}: {{kind: directory, path: {path}{more}}}" for name, path, more in repos]
    return "repositories:\n" + "\n".join(lines) + "\n" + extra


def folder_with(top, *images):
    top.mkdir(parents=True, exist_ok=True)
    for image in images:
        (top / os.path.basename(image)).write_bytes(open(image, "rb").read())
    return top


class Repo:
    def __init__(self, fabric, name):
        self.dir = fabric.mount / "remote" / name
        self.meta = self.dir / ".repo"

    def names(self):
        return sorted(os.listdir(self.dir))

    def images(self):
        return [n for n in self.names() if n != ".repo"]

    def read(self, name):
        return (self.meta / name).read_text()

    def refresh(self):
        """0 or the errno."""
        fd = os.open(self.meta / "refresh", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"now\n")
        except OSError as e:
            return e.errno
        finally:
            os.close(fd)
        return 0

    def stat(self, name):
        return os.stat(self.dir / name)

    def attr(self, name, attribute):
        return os.getxattr(self.dir / name, attribute).decode()

    def stats(self):
        return dict(line.split(" ", 1) for line in self.read("stats").splitlines())


@pytest.fixture
def nfs(fpga, tmp_path):
    """A repository on a folder, and that folder."""
    images = folder_with(tmp_path / "images", BLINK, UPPER)
    fabric = fpga(config=config([("nfs", images, ", max-age: 1h")]))
    repo = Repo(fabric, "nfs")
    repo.fabric, repo.images_dir = fabric, images
    return repo


# --- what is seen ----------------------------------------------------------------------

def test_a_folder_is_listed_with_true_names_sizes_and_times(nfs):
    assert os.listdir(nfs.fabric.mount / "remote") == ["nfs"]
    assert nfs.names() == [".repo", "blink.bin", "upper.bin"]
    for name in nfs.images():
        there, here = os.stat(nfs.images_dir / name), nfs.stat(name)
        assert (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)
        assert stat.S_IMODE(here.st_mode) == 0o444 and here.st_nlink == 1
        assert here.st_blocks * 512 >= here.st_size, "cp would take it for sparse"
    assert nfs.read("state") == "online\n"
    assert nfs.read("error") == ""
    assert nfs.stats()["images"] == "2"
    assert sorted(os.listdir(nfs.meta)) == ["error", "refresh", "state", "stats"]


def test_listing_reads_nothing_of_the_images(nfs):
    for command in (["ls", "-lR"], ["find"], ["du", "-s"], ["getfattr", "-R", "-d"]):
        done = run([*command, str(nfs.dir)])
        assert done.returncode == 0, done.stderr
    assert nfs.stats()["received_bytes"] == "0"


def test_status_and_metrics_tell_of_repositories(nfs):
    assert len(nfs.images()) == 2, "who looks first waits for the first listing; status waits for nothing"
    assert nfs.fabric.status()["repositories"] == [
        {"name": "nfs", "kind": "directory", "state": "online", "images": 2, "cached_bytes": 0}]
    metrics = nfs.fabric.metrics()
    assert metrics['fabricfs_repo_up{repo="nfs"}'] == 1
    assert metrics['fabricfs_repo_images{repo="nfs"}'] == 2


def test_what_is_no_image_is_not_listed(nfs, tmp_path):
    folder = nfs.images_dir
    (tmp_path / "secret").write_text("x")
    os.mkfifo(folder / "pipe")
    (folder / ".hidden").write_text("x")
    (folder / "sub").mkdir()
    (folder / "sub" / "inner.bin").write_text("x")
    os.symlink(tmp_path / "secret", folder / "absolute")
    os.symlink("../secret", folder / "climbs")
    os.symlink("blink.bin", folder / "within")
    os.symlink("loop", folder / "loop")
    assert nfs.refresh() == 0
    assert nfs.images() == ["blink.bin", "upper.bin", "within"]
    assert nfs.stat("within").st_size == os.stat(BLINK).st_size


def test_subfolders_are_listed_to_the_configured_depth(fpga, tmp_path):
    top = folder_with(tmp_path / "images", BLINK)
    folder_with(top / "a" / "b", UPPER)
    fabric = fpga(config=config([("flat", top, ""), ("deep", top, ", depth: 2"), ("half", top, ", depth: 1")]))
    assert Repo(fabric, "flat").images() == ["blink.bin"]
    assert Repo(fabric, "half").images() == ["blink.bin"]
    deep = Repo(fabric, "deep")
    assert deep.images() == ["a%2Fb%2Fupper.bin", "blink.bin"]
    assert deep.attr("a%2Fb%2Fupper.bin", "user.fpga.id") == "a/b/upper.bin"


def test_hostile_names_are_encoded_and_found(nfs):
    names = {b"two\nlines": "two%0Alines", b"per%cent": "per%25cent", b"esc\x1b[1m": "esc%1B[1m", b"@at": "%40at",
             "umläut".encode(): "umläut", b"a b": "a b", b"latin\xe9": "latin\udce9"}
    for name in names:
        (nfs.images_dir / os.fsdecode(name)).write_bytes(name)
    assert nfs.refresh() == 0
    assert nfs.images() == sorted([*names.values(), "blink.bin", "upper.bin"])
    for name, shown in names.items():
        assert nfs.stat(shown).st_size == len(name)


def test_every_image_is_found_with_its_id_too(nfs):
    inode = nfs.stat("blink.bin").st_ino
    assert nfs.stat("blink.bin@blink.bin").st_ino == inode
    assert nfs.stat("@blink.bin").st_ino == inode
    for wrong in ("upper.bin@blink.bin", "blink.bin@", "blink.bin@other", "@", "nothing"):
        with pytest.raises(FileNotFoundError):
            nfs.stat(wrong)
    with pytest.raises(OSError) as e:
        nfs.stat("x" * 256)
    assert e.value.errno == errno.ENAMETOOLONG


def test_attributes_tell_id_and_the_digest_of_sha256sums(nfs):
    done = shell(f"cd {nfs.images_dir} && sha256sum blink.bin > SHA256SUMS && echo garbage >> SHA256SUMS")
    assert done.returncode == 0
    assert nfs.refresh() == 0
    assert nfs.images() == ["blink.bin", "upper.bin"]
    assert nfs.attr("blink.bin", "user.fpga.id") == "blink.bin"
    assert nfs.attr("blink.bin", "user.fpga.sha256") == sha256(open(BLINK, "rb").read())
    assert "user.fpga.sha256" not in os.listxattr(nfs.dir / "upper.bin")
    with pytest.raises(OSError) as e:
        nfs.attr("upper.bin", "user.fpga.sha256")
    assert e.value.errno == errno.ENODATA


def test_a_repository_is_only_read(nfs):
    path = nfs.dir / "new.bin"
    for attempt in (lambda: os.open(path, os.O_CREAT | os.O_WRONLY), lambda: os.mkdir(path),
                    lambda: os.open(nfs.dir / "blink.bin", os.O_WRONLY), lambda: os.unlink(nfs.dir / "blink.bin"),
                    lambda: os.rename(nfs.dir / "blink.bin", path), lambda: os.symlink("x", path),
                    lambda: os.truncate(nfs.dir / "blink.bin", 0), lambda: os.chmod(nfs.dir / "blink.bin", 0o600)):
        with pytest.raises(OSError) as e:
            attempt()
        assert e.value.errno == errno.EROFS


# --- freshness ------------------------------------------------------------------------------

def test_a_refresh_shows_what_came_changed_and_went(nfs):
    old = nfs.stat("upper.bin")
    (nfs.images_dir / "new.bin").write_bytes(b"new")
    (nfs.images_dir / "upper.bin").write_bytes(b"shorter")
    os.unlink(nfs.images_dir / "blink.bin")
    assert nfs.refresh() == 0
    assert nfs.images() == ["new.bin", "upper.bin"]
    assert nfs.stat("upper.bin").st_size == 7
    assert nfs.stat("upper.bin").st_ino == old.st_ino
    with pytest.raises(FileNotFoundError):
        nfs.stat("blink.bin")


def test_an_old_listing_is_served_at_once_and_refreshed_behind_it(fpga, tmp_path):
    top = folder_with(tmp_path / "images", BLINK)
    repo = Repo(fpga(config=config([("nfs", top, ", max-age: 0")])), "nfs")
    assert repo.images() == ["blink.bin"]
    (top / "late.bin").write_bytes(b"x")
    until(lambda: "late.bin" in repo.images(), "the listing is refreshed behind its readers")


def test_what_changes_on_a_local_disk_is_listed_by_itself(nfs):
    (nfs.images_dir / "new.bin").write_bytes(b"new")
    until(lambda: nfs.images() == ["blink.bin", "new.bin", "upper.bin"], "what came is listed")
    with open(nfs.images_dir / "new.bin", "ab") as f:
        f.write(b"er")
    until(lambda: nfs.stat("new.bin").st_size == 5, "what was written is listed")
    os.rename(nfs.images_dir / "new.bin", nfs.images_dir / "other.bin")
    until(lambda: nfs.images() == ["blink.bin", "other.bin", "upper.bin"], "what was renamed is listed")
    os.unlink(nfs.images_dir / "other.bin")
    until(lambda: nfs.images() == ["blink.bin", "upper.bin"], "what went is listed no more")


def test_folders_below_are_watched_too(fpga, tmp_path):
    top = folder_with(tmp_path / "images", BLINK)
    repo = Repo(fpga(config=config([("nfs", top, ", depth: 1, max-age: 1h"), ("same", top, ", max-age: 1h")])), "nfs")
    assert repo.images() == ["blink.bin"]
    folder_with(top / "sub", UPPER)
    until(lambda: repo.images() == ["blink.bin", "sub%2Fupper.bin"], "a new folder is listed")
    (top / "sub" / "x").write_bytes(b"x")
    until(lambda: "sub%2Fx" in repo.images(), "what is new in it is listed")


def test_a_listing_that_is_young_enough_is_not_asked_again(nfs):
    until(lambda: nfs.stats()["listings"] != "0", "the first one is counted")
    before = nfs.stats()["listings"]
    for _ in range(5):
        nfs.names()
        nfs.stat("blink.bin")
    assert nfs.stats()["listings"] == before


class Swapped:
    """A folder that is another one from one moment to the next, as when something is mounted there."""

    def __init__(self, top):
        self.top, self.path = top, top / "current"

    def to(self, name, *files):
        (self.top / name).mkdir(exist_ok=True)
        for file in files:
            (self.top / name / file).write_bytes(b"x")
        os.symlink(name, self.top / "next")
        os.rename(self.top / "next", self.path)


def test_a_shrunken_list_is_doubted_until_it_is_told_again(fpga, tmp_path):
    folder = Swapped(tmp_path)
    many = [f"{n}.bin" for n in range(10)]
    folder.to("many", *many)
    repo = Repo(fpga(config=config([("nfs", folder.path, ", max-age: 1h")])), "nfs")
    assert repo.images() == many
    folder.to("other", "other.bin")
    assert repo.refresh() == errno.EREMOTEIO
    assert repo.images() == [*many, "other.bin"], "nothing was dropped, and what is new is there"
    assert "lists 1 images where there were 1" in repo.read("error")
    assert repo.read("state") == "online\n"
    folder.to("many")
    assert repo.refresh() == 0
    assert repo.images() == many and repo.read("error") == ""
    folder.to("few", "0.bin", "1.bin")
    assert repo.refresh() == errno.EREMOTEIO
    assert repo.refresh() == 0
    assert repo.images() == ["0.bin", "1.bin"]


def test_an_empty_list_is_believed_by_itself_after_its_age(fpga, tmp_path):
    folder = Swapped(tmp_path)
    folder.to("one", "a.bin")
    repo = Repo(fpga(config=config([("nfs", folder.path, ", max-age: 3s")])), "nfs")
    assert repo.images() == ["a.bin"]
    folder.to("none")
    assert repo.refresh() == errno.EREMOTEIO
    until(lambda: repo.images() == [], "a second listing says so too")
    until(lambda: repo.read("error") == "", "and it is not doubted any more")


# --- offline ------------------------------------------------------------------------------------

def test_a_folder_that_is_gone_is_offline_and_what_it_listed_stays(nfs):
    away = nfs.images_dir.with_name("away")
    os.rename(nfs.images_dir, away)
    assert nfs.refresh() == errno.EHOSTUNREACH
    assert re.fullmatch(r"offline since \d{4}-\d\d-\d\dT[0-9:.]+Z: .*No such file or directory\n", nfs.read("state"))
    assert nfs.images() == ["blink.bin", "upper.bin"]
    assert nfs.stat("blink.bin").st_size == os.stat(BLINK).st_size
    assert nfs.fabric.metrics()['fabricfs_repo_up{repo="nfs"}'] == 0
    since = nfs.read("state").split()[2]
    assert nfs.refresh() == errno.EHOSTUNREACH
    assert nfs.read("state").split()[2] == since
    os.rename(away, nfs.images_dir)
    assert nfs.refresh() == 0
    assert nfs.read("state") == "online\n"
    events = [json.loads(line) for line in nfs.fabric.read("events").splitlines()]
    told = [(e["event"], e["repo"], e["result"]) for e in events if e["event"].startswith("repo-")]
    assert told == [("repo-offline", "nfs", "EHOSTUNREACH"), ("repo-online", "nfs", "ok")]


def test_it_comes_back_by_itself_while_nobody_looks(fpga, tmp_path):
    top = tmp_path / "images"
    repo = Repo(fpga(config=config([("nfs", top, ", max-age: 1s")])), "nfs")
    assert repo.names() == [".repo"]
    assert repo.read("state").startswith("offline since ")
    with open(repo.meta / "state", "rb", buffering=0) as f:
        assert f.read().startswith(b"offline")
        folder_with(top, BLINK)

        def online():
            f.seek(0)
            return f.read() == b"online\n"
        until(online, "it is online", fd=f.fileno())
    until(lambda: repo.images() == ["blink.bin"], "and listed")


def test_listings_survive_a_restart_with_the_same_inodes(nfs):
    inodes = {name: nfs.stat(name).st_ino for name in nfs.names()}
    nfs.fabric.stop()
    os.rename(nfs.images_dir, nfs.images_dir.with_name("away"))
    nfs.fabric.start()
    assert {name: nfs.stat(name).st_ino for name in nfs.names()} == inodes


def test_another_path_is_another_repository(nfs, tmp_path):
    other = folder_with(tmp_path / "other", UPPER)
    nfs.fabric.stop()
    nfs.fabric.config_path.write_text(config([("nfs", other, "")]))
    nfs.fabric.start()
    until(lambda: nfs.images() == ["upper.bin"], "only what is there is listed")


def test_a_repository_that_is_configured_again_is_as_it_was(nfs):
    first = nfs.images()[0]
    kept, content = nfs.stat(first), (nfs.dir / first).read_bytes()
    was = nfs.fabric.config_path.read_text()
    nfs.fabric.stop()
    nfs.fabric.config_path.write_text("access: {mode: '0660'}\n")
    nfs.fabric.start()
    assert not os.path.exists(nfs.dir)
    nfs.fabric.stop()
    nfs.fabric.config_path.write_text(was)
    os.rename(nfs.images_dir, nfs.images_dir.with_name("away"))
    nfs.fabric.start()
    assert nfs.stat(first).st_ino == kept.st_ino
    assert (nfs.dir / first).read_bytes() == content, "it is read from the cache"


# --- what hangs -----------------------------------------------------------------------------------

class Hung:
    """A file system that stops to answer when it is told to: another mount, whose worker is stopped."""

    def __init__(self, server):
        self.server = server
        self.path = server.mount / "dev0"
        self.pids = []

    def stop(self):
        self.pids = self.server.processes("fabricfs-worker")
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)
        # A signal is on its way until each thread has seen it, and meanwhile they answer.
        until(lambda: all(state == "T" for pid in self.pids for state in self.states(pid)), "it has stopped")

    @staticmethod
    def states(pid):
        return [task.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0]
                for task in Path(f"/proc/{pid}/task").iterdir()]

    def go_on(self):
        while self.pids:
            os.kill(self.pids.pop(), signal.SIGCONT)


@pytest.fixture
def hung(fpga):
    there = Hung(fpga(sim=1))
    yield there
    there.go_on()


def test_a_folder_that_hangs_delays_nobody(fpga, tmp_path, hung):
    hung.stop()
    good = folder_with(tmp_path / "images", BLINK)
    fabric = fpga(config=config([("hung", hung.path, ""), ("good", good, "")], "cache: {offline-timeout: 1s}\n"))
    bad = Repo(fabric, "hung")
    assert Repo(fabric, "good").images() == ["blink.bin"]
    # Who looks at it first waits for its answer, for offline-timeout and not longer.
    assert bad.names() == [".repo"]
    until(lambda: bad.read("state").startswith("offline since "), "it is found to be offline")
    assert "does not answer" in bad.read("state")
    assert bad.refresh() == errno.EHOSTUNREACH
    assert Repo(fabric, "good").refresh() == 0
    fabric.card().load(BLINK)
    began = time.monotonic()
    fabric.stop()
    # A hang has no end; this is far from both.
    assert time.monotonic() - began < 20 * SLOW


def test_unmounting_does_not_wait_for_each_folder_that_hangs(fpga, hung):
    hung.stop()
    fabric = fpga(config=config([(f"nfs{i}", hung.path, "") for i in range(30)], "cache: {offline-timeout: 1h}\n"))
    assert len(os.listdir(fabric.mount / "remote")) == 30
    began = time.monotonic()
    fabric.stop()
    # Each was waited for for a second.
    assert time.monotonic() - began < 20 * SLOW


def test_a_folder_that_hung_is_listed_when_it_answers_again(fpga, hung):
    fabric = fpga(config=config([("nfs", hung.path, ", max-age: 1s")], "cache: {offline-timeout: 1s}\n"))
    repo = Repo(fabric, "nfs")
    before = repo.images()
    assert "state" in before
    hung.stop()
    assert repo.refresh() == errno.EHOSTUNREACH
    assert repo.images() == before
    hung.go_on()
    until(lambda: repo.read("state") == "online\n", "it is online again")


def test_reading_from_a_folder_that_hangs_fails_in_time_and_what_is_here_is_read(fpga, hung):
    fabric = fpga(config=config([("nfs", hung.path, ", max-age: 1h")], "cache: {offline-timeout: 1s}\n"))
    repo = Repo(fabric, "nfs")
    assert {"backend", "part"} <= set(repo.images())
    here = (repo.dir / "part").read_text()
    assert here == (hung.path / "part").read_text() != ""
    hung.stop()
    with pytest.raises(OSError) as e:
        (repo.dir / "backend").read_bytes()
    assert e.value.errno == errno.EHOSTUNREACH
    assert (repo.dir / "part").read_text() == here


def test_a_refresh_that_waits_can_be_interrupted(fpga, hung):
    hung.stop()
    fabric = fpga(config=config([("nfs", hung.path, "")], "cache: {offline-timeout: 1h}\n"))
    refresh = subprocess.Popen(["sh", "-c", "exec 3> .repo/refresh; echo opened; echo now >&3"],
                               cwd=fabric.mount / "remote" / "nfs", stdout=subprocess.PIPE)
    assert refresh.stdout.read(7) == b"opened\n"
    refresh.send_signal(signal.SIGINT)
    assert refresh.wait(30 * SLOW) != 0


# --- what fits ------------------------------------------------------------------------------------

def test_what_is_known_to_suit_a_card_is_offered_to_it(fpga, tmp_path):
    top = folder_with(tmp_path / "images", BLINK, UPPER)
    for name in ("big.bin", "nothing.bin", "format.bin", "other.bit"):
        (top / name).write_bytes(b"x")
    cards = ("cards:\n  - {name: hx1k, backend: sim, part: iCE40-HX1K}\n"
             "  - {name: slots, backend: sim, part: iCE40-HX8K, slots: 2}\n")
    fabric = fpga(sim=None, config=config([("nfs", top, "")], cards))
    fits = [fabric.card(n).dir / "fits" / "nfs" for n in (0, 1)]
    assert os.listdir(fabric.card(0).dir / "fits") == ["nfs"]
    assert [os.listdir(f) for f in fits] == [[], []], "nobody knows yet what they are"
    fabric.stop()
    known = {"blink.bin": {"part": "iCE40-HX1K", "format": "ice40"}, "upper.bin": {"part": "ice40-hx1k"},
             "big.bin": {"part": "iCE40-HX8K"}, "format.bin": {"format": "ice40"},
             "other.bit": {"part": "xc7a35t", "format": "xilinx-bit"}}
    db = sqlite3.connect(fabric.state_dir / "catalogue.db")
    for name, facts in known.items():
        db.execute("INSERT OR REPLACE INTO about (entry, seen) SELECT id, ? FROM entry WHERE name = ?",
                   (json.dumps(facts), name))
        db.execute("UPDATE entry SET known = 1 WHERE name = ?", (name,))
    db.commit()
    db.close()
    fabric.start()
    assert [sorted(os.listdir(f)) for f in fits] == [["blink.bin", "upper.bin"], ["big.bin"]]
    link = fits[0] / "blink.bin"
    assert os.readlink(link) == "../../../remote/nfs/blink.bin"
    assert os.lstat(link).st_size == len(os.readlink(link))
    assert os.stat(link).st_size == os.stat(BLINK).st_size
    assert os.path.samefile(link, fabric.mount / "remote" / "nfs" / "blink.bin")
    for name in ("big.bin", "nothing.bin", "format.bin", "none"):
        with pytest.raises(FileNotFoundError):
            os.lstat(fits[0] / name)
    done = run(["find", str(fabric.card(0).dir / "fits"), "-type", "l"])
    assert sorted(done.stdout.split()) == [str(link), str(fits[0] / "upper.bin")]


# --- a worker that dies ----------------------------------------------------------------------------

def test_a_listing_goes_on_behind_a_worker_that_was_killed(nfs):
    for n in range(2000):
        (nfs.images_dir / f"{n:04}.bin").write_bytes(b"x")
    assert nfs.refresh() == 0
    names = []
    with os.scandir(nfs.dir) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) == 10:
                assert nfs.fabric.kill("fabricfs-worker") == 1
    assert len(names) == len(set(names)) == 2003


def test_a_first_listing_is_begun_again_when_its_worker_was_killed(fpga, tmp_path):
    top = tmp_path / "images"
    top.mkdir()
    for n in range(20000):
        (top / f"{n}.bin").touch()
    fabric = fpga(config=config([("nfs", top, ", max-age: 1h")]))
    assert fabric.kill("fabricfs-worker") == 1
    repo = Repo(fabric, "nfs")
    names = until(repo.images, "it is listed")
    assert len(names) == len(set(names)) == 20000, "all of it or nothing is shown"
    assert repo.read("error") == ""


def test_an_image_that_is_open_can_be_polled(nfs):
    with open(nfs.dir / "blink.bin", "rb") as f:
        assert select.select([f], [], [], 0)[0] == [f]
