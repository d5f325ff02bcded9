# SPDX-License-Identifier: Apache-2.0
"""As a service: the unit, the word to systemd, the system log of a daemon in the background."""
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys

import pytest

from harness import BIN, LIMIT, SLOW, need, run, until
from images import HX8K, ROOT, UPPER


def test_the_unit_is_right(tmp_path):
    need("systemd-analyze")
    unit = tmp_path / "fabricfs.service"
    text = (ROOT / "contrib/systemd/fabricfs.service.in").read_text()
    unit.write_text(text.replace("@bindir@/fabricfs", str(BIN)))
    done = run(["systemd-analyze", "verify", "--man=no", str(unit)])
    assert done.returncode == 0 and not (done.stdout + done.stderr).strip(), done
    # What is misspelt in it would be told.
    unit.write_text(unit.read_text().replace("KillMode", "KilMode"))
    assert "KilMode" in run(["systemd-analyze", "verify", "--man=no", str(unit)]).stderr
    # With any of these its mount would be in a namespace of its own, and it could not reach repositories.
    settings = [line.split("=")[0] for line in text.splitlines() if "=" in line and not line.startswith("#")]
    assert "ExecStart" in settings
    bad = re.compile(r"Private|Protect|ReadOnly|ReadWrite|Inaccessible|TemporaryFile|Bind|Root|IPAddress|DynamicUser|"
                     r"RestrictNamespaces|RestrictAddressFamilies")
    assert not [name for name in settings if bad.match(name)]


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_the_service_manager_is_told_when_the_mount_answers_and_when_it_ends(fpga, abstract):
    fabric = fpga.make()
    name = f"@fabricfs-test-{os.getpid()}" if abstract else str(fabric.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        manager.settimeout(LIMIT)
        fabric.env["NOTIFY_SOCKET"] = name
        with open(fabric.log_path, "ab") as log:
            fabric.process = subprocess.Popen(fabric.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                              env=fabric.env, cwd="/")
        word, control, _flags, _from = manager.recvmsg(100, socket.CMSG_SPACE(12))
        assert word == b"READY=1"
        # systemd listens to the main process only.
        assert int.from_bytes(control[0][2][:4], sys.byteorder) == fabric.process.pid
        assert (fabric.mount / "version").read_text().startswith("fabricfs ")
        worker, = fabric.processes("fabricfs-worker")
        with open(f"/proc/{worker}/environ", "rb") as environ:
            assert b"NOTIFY_SOCKET" not in environ.read()
        # Another worker is no other start.
        os.kill(worker, signal.SIGKILL)
        fabric.card().load(UPPER)
        fabric.process.terminate()
        assert manager.recv(100) == b"STOPPING=1"
        assert fabric.process.wait(60 * SLOW) == 0
        assert not select.select([manager], [], [], 0)[0]
    fabric.process = None
    until(lambda: not fabric.processes(), "nothing is left")


# Runs in a mount namespace of its own, where /dev/log is its socket.
LISTENER = r'''
import json, os, select, socket, subprocess, sys
sys.path.insert(0, sys.argv[1])
from harness import until
plan = json.loads(sys.argv[2])
dev = plan["folder"] + "/dev"
os.mkdir(dev)
for name in ("null", "zero", "full", "random", "urandom", "fuse"):
    open(dev + "/" + name, "w").close()
    subprocess.run(["mount", "--bind", "/dev/" + name, dev + "/" + name], check=True)
subprocess.run(["mount", "--rbind", dev, "/dev"], check=True)
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
lines = []
def heard(word):
    while select.select([log], [], [], 0)[0]:
        lines.append(log.recv(65536).decode(errors="replace"))
    return [line for line in lines if word in line]
done = subprocess.run(plan["argv"], env=plan["env"], capture_output=True, text=True)
assert done.returncode == 0 and not done.stderr, done
mount = plan["mount"]
bad = subprocess.run(["cp", plan["wrong"], mount + "/dev0/image"], capture_output=True)
assert bad.returncode == 1
until(lambda: heard("image-refused"), "the refusal is in the log")
assert subprocess.run(["cp", plan["good"], mount + "/dev0/image"]).returncode == 0
until(lambda: heard("programmed"), "the success is in the log")
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        mine = plan["marker"].encode() in open(f"/proc/{pid}/environ", "rb").read()
        if mine and open(f"/proc/{pid}/comm").read().strip() == "fabricfs-worker":
            os.kill(int(pid), 9)
    except OSError:
        pass
until(lambda: heard("killed by signal 9"), "the holder's word is in the log")
assert open(mount + "/dev0/state").read() == "configured\n"
subprocess.run(["umount", mount], check=True)
heard("")
print(json.dumps(lines))
'''


def test_a_daemon_in_the_background_speaks_to_the_system_log(fpga):
    need("unshare")
    fabric = fpga.make()
    plan = {"folder": str(fabric.folder), "argv": fabric.argv(foreground=False), "env": fabric.env,
            "mount": str(fabric.mount), "wrong": str(HX8K), "good": str(UPPER), "marker": fabric.marker}
    done = run(["unshare", "--mount", "--propagation", "private", sys.executable, "-c", LISTENER,
                str(ROOT / "tests/system"), json.dumps(plan)])
    assert done.returncode == 0, done.stderr
    lines = json.loads(done.stdout.splitlines()[-1])
    until(lambda: not fabric.processes(), "nothing is left")

    def line(word):
        return next(line for line in lines if word in line)

    # <facility daemon * 8 + priority>, the time, who.
    form = re.compile(r"^<(\d+)>\w{3} [ \d]\d \d\d:\d\d:\d\d fabricfs\[(\d+)\]: (.*)")
    parts = {word: form.match(line(word)) for word in ("image-refused", "programmed", "killed by signal 9")}
    assert all(parts.values()), lines
    assert [parts[word][1] for word in parts] == [str(24 + 4), str(24 + 6), str(24 + 4)]
    assert "iCE40-HX8K" in parts["image-refused"][3] and "dev0" in parts["image-refused"][3]
    # Of worker and holder; all of a process's lines have its number.
    assert parts["image-refused"][2] == parts["programmed"][2] != parts["killed by signal 9"][2]
    assert not [text for text in lines if text.startswith(("<24>", "<25>", "<26>", "<27>"))], lines
