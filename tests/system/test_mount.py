# SPDX-License-Identifier: Apache-2.0
"""Command line, ways of mounting, other users, containers, many cards."""
import errno
import os
import pwd
import shutil
import subprocess
import threading
import time

import pytest

from harness import BIN, SLOW, mounted, need, put, run, until, wait_mounted
from images import BLINK, UPPER, sha256

NOBODY = pwd.getpwnam("nobody")


def test_help_and_version():
    done = run([str(BIN), "--help"])
    assert done.returncode == 0
    for option in ("--config", "--state-dir", "--sim", "-f", "-d", "-o", "-h", "-V", "inspect", "check-config"):
        assert option in done.stdout, option
    done = run([str(BIN), "-V"])
    assert done.returncode == 0 and done.stdout.startswith("fabricfs ")


@pytest.mark.parametrize("options", [[], ["--nonsense", "/mnt"], ["-o", "nonsense", "/mnt"], ["a", "b", "c"],
                                     ["--sim", "x", "/mnt"], ["--sim", "-3", "/mnt"]])
def test_wrong_usage_is_exit_2(options):
    done = run([str(BIN), *options])
    assert done.returncode == 2, done
    assert done.stderr


def test_a_mount_point_that_is_not_there_is_said(fpga):
    fabric = fpga.make()
    fabric.mount = fabric.folder / "nothing"
    done = run(fabric.argv(False), env=fabric.env)
    assert done.returncode == 1 and "nothing" in done.stderr and "mkdir" in done.stderr


def test_in_the_background_it_answers_when_the_command_returns(fpga):
    fabric = fpga.make(sim=2)
    done = run(fabric.argv(foreground=False), env=fabric.env)
    assert done.returncode == 0, done.stderr
    try:
        assert len(fabric.status()["cards"]) == 2
        holder, = fabric.processes("fabricfs")
        stat = open(f"/proc/{holder}/stat").read().rsplit(")", 1)[1].split()
        assert stat[3] == str(holder), "not in a session of its own"
        assert os.readlink(f"/proc/{holder}/cwd") == "/"
        fabric.card(1).load(UPPER)
    finally:
        subprocess.run(["umount", fabric.mount], check=True)
        until(lambda: not fabric.processes(), "all processes end with the mount")


def test_mount_t_fuse_fabricfs_works(fpga):
    if not BIN.name == "fabricfs":
        pytest.skip("needs a binary of the name fabricfs")
    fabric = fpga.make()
    # mount(8) looks for the program in the usual folders only, whatever PATH is.
    installed = "/usr/local/bin/fabricfs"
    try:
        os.symlink(BIN, installed)
    except FileExistsError:
        pytest.skip(f"{installed} is there already")
    try:
        done = run(["mount", "-t", "fuse.fabricfs", "-o", f"state-dir={fabric.state_dir},sim=2,dev,suid,noauto",
                    "bench", str(fabric.mount)], env=fabric.env)
        assert done.returncode == 0, done.stderr
    finally:
        os.unlink(installed)
    try:
        assert len(fabric.status()["cards"]) == 2
        line = next(line for line in open("/proc/self/mounts") if f" {fabric.mount} " in line)
        assert line.split()[0] == "bench" and line.split()[2] == "fuse.fabricfs"
        fabric.card().load(UPPER)
    finally:
        subprocess.run(["umount", fabric.mount], check=True)
        until(lambda: not fabric.processes(), "all processes end with the mount")


def test_a_user_without_rights_mounts_for_himself(fpga):
    need("fusermount3", "setpriv")
    fabric = fpga.make(user=(NOBODY.pw_uid, NOBODY.pw_gid))
    # As udev has it; without udev it is often root's alone.
    mode = os.stat("/dev/fuse").st_mode & 0o777
    os.chmod("/dev/fuse", 0o666)
    try:
        user_mounts(fabric)
    finally:
        os.chmod("/dev/fuse", mode)


def user_mounts(fabric):
    os.chown(fabric.folder, NOBODY.pw_uid, NOBODY.pw_gid)
    os.chown(fabric.mount, NOBODY.pw_uid, NOBODY.pw_gid)
    # The sources may be in a folder that others cannot enter.
    fabric.bin = shutil.copy(BIN, fabric.folder / "fabricfs")
    image = shutil.copy(UPPER, fabric.folder / "upper.bin")
    fabric.env["HOME"] = str(fabric.folder)
    # Root may not look into another user's mount without allow_other.
    with open(fabric.log_path, "ab") as log:
        os.chmod(fabric.log_path, 0o666)
        fabric.process = subprocess.Popen(fabric.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env=fabric.env, cwd="/")
    as_user = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
    try:
        wait_mounted(fabric.mount, fabric.process)
    except AssertionError:
        print(fabric.log())
        raise
    done = run([*as_user, "cp", image, f"{fabric.mount}/dev0/image"])
    assert done.returncode == 0, done.stderr
    assert run([*as_user, "cat", f"{fabric.mount}/dev0/loaded/sha256"]).stdout.strip() == sha256(UPPER)
    done = run([*as_user, "stat", "-c", "%U %a", f"{fabric.mount}/dev0/image", f"{fabric.mount}/dev0/state"])
    assert done.stdout.split() == ["nobody", "660", "nobody", "444"], done
    for name in ("fabricfs-worker", "fabricfs-card"):
        process, = fabric.processes(name)
        status = dict(line.split(":\t", 1) for line in open(f"/proc/{process}/status") if ":\t" in line)
        assert int(status["NoNewPrivs"]) == 1 and int(status["CapPrm"], 16) == 0
    if "asan" not in str(BIN):  # its leak checker looks into it
        worker, = fabric.processes("fabricfs-worker")
        done = run([*as_user, "cat", f"/proc/{worker}/environ"])
        assert done.returncode and "ermission denied" in done.stderr, "no core file, no debugger: not even his own"
    done = run([*as_user, "fusermount3", "-u", str(fabric.mount)])
    assert done.returncode == 0, done.stderr
    assert fabric.process.wait(60) == 0
    fabric.process = None
    until(lambda: not fabric.processes(), "nothing is left")


def test_others_read_and_may_not_program(fpga):
    need("setpriv")
    fabric = fpga()
    os.chmod(fabric.folder, 0o755)
    card = fabric.card()
    card.load(BLINK)
    as_user = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
    assert run([*as_user, "cat", str(card.dir / "state")]).stdout == "configured\n"
    done = run([*as_user, "cp", str(UPPER), str(card.image)])
    assert done.returncode == 1 and "ermission denied" in done.stderr
    done = run([*as_user, "bash", "-c", f"echo clear > {card.dir}/ctl"])
    assert done.returncode == 1
    assert card.sha == sha256(BLINK)


def test_a_container_with_one_card(fpga):
    need("bwrap")
    fabric = fpga(sim=2)
    card = fabric.card(1)
    script = (f"cp {UPPER} /tmp/dev1/image && cat /tmp/dev1/state && printf hello > /tmp/dev1/io/tx &&"
              " head -c5 /tmp/dev1/io/.rx; ls /tmp")
    done = run(["bwrap", "--ro-bind", "/", "/", "--tmpfs", "/tmp", "--ro-bind", str(UPPER), str(UPPER),
                "--dev", "/dev", "--proc", "/proc", "--unshare-pid", "--bind", str(card.dir), "/tmp/dev1",
                "bash", "-c", script])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("configured\nHELLO"), done
    assert card.sha == sha256(UPPER)
    record = card.last("programmed")
    assert record.get("container", "").startswith("ns:") or record["container"], record
    assert fabric.card(0).state == "unconfigured"


def test_a_stale_mount_is_replaced(fpga):
    fabric = fpga()
    fabric.expect_errors = True
    for pid in fabric.processes():
        os.kill(pid, 9)
    fabric.process.wait(30)
    fabric.process = None
    assert mounted(fabric.mount)
    with pytest.raises(OSError) as e:
        os.statvfs(fabric.mount)  # never answered from a cache
    assert e.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    # wait_mounted() would see the stale one: ask for the answer instead.
    done = run(fabric.argv(foreground=False), env=fabric.env)
    assert done.returncode == 0, done.stderr
    assert fabric.card().state == "unconfigured"
    subprocess.run(["umount", fabric.mount], check=True)
    until(lambda: not fabric.processes(), "all processes end with the mount")
    assert not mounted(fabric.mount)


def test_two_daemons_do_not_know_each_other(fpga):
    a, b = fpga(), fpga()
    a.card().load(UPPER)
    b.card().load(BLINK)
    a.stop()
    assert b.card().sha == sha256(BLINK)


def test_a_hundred_cards_at_once(fpga):
    fabric = fpga(sim=100)
    start = time.monotonic()
    assert len(fabric.read("status").splitlines()) == 101
    took = time.monotonic() - start
    assert took < 2 * SLOW, f"status took {took:.1f} s"
    assert len(fabric.status()["cards"]) == 100
    data, want = UPPER.read_bytes(), sha256(UPPER)
    answers = {}

    def copy(n):
        answers[n] = put(fabric.card(n).image, data)

    threads = [threading.Thread(target=copy, args=(n,)) for n in range(100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == {n: 0 for n in range(100)}, {errno.errorcode[v] for v in answers.values() if v}
    assert all(fabric.card(n).sha == want for n in range(100))
    assert all(c["state"] == "configured" for c in fabric.status()["cards"])
    assert all(fabric.card(n).exchange(b"card %d" % n) == b"CARD %d" % n for n in (0, 49, 99))


def test_standard_output_of_the_daemon_is_quiet(fpga):
    fabric = fpga()
    fabric.card().load(UPPER)
    fabric.stop()
    assert all(line.startswith("<") for line in fabric.log().splitlines()), fabric.log()
