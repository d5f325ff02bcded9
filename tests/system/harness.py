# SPDX-License-Identifier: Apache-2.0
"""One mounted fabricfs with its own folders, for a test.

It runs in the foreground under the test, so that its log, its exit status and
every process that it leaves behind are seen. Nothing here sleeps: readiness is
told by the kernel's list of mounts, changes by poll() on `state`.
"""
import errno
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

from images import ROOT, sha256

BIN = Path(os.environ.get("FABRICFS_BIN", ROOT / "build" / "fabricfs")).resolve()
# Everything is slower under a sanitizer; only limits are stretched by it.
SLOW = float(os.environ.get("FABRICFS_SLOW", "4" if "asan" in str(BIN) or "tsan" in str(BIN) else "1"))
LIMIT = 30 * SLOW


def until(ask, what, limit=LIMIT, fd=None, events=select.POLLPRI):
    """Ask until it is true. Between, wait on fd where there is one."""
    poller = select.poll()
    if fd is not None:
        poller.register(fd, events)
    end = time.monotonic() + limit
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit:.0f} s: {what}")
        poller.poll(20)


def mounted(path):
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
        return any(line.split()[1] == str(path) for line in mounts)


def wait_mounted(path, process=None, limit=LIMIT):
    with open("/proc/self/mounts", "rb") as mounts:
        def there():
            if process is not None and process.poll() is not None:
                raise AssertionError(f"fabricfs ended with {process.returncode} before it mounted")
            return mounted(path)
        until(there, f"{path} is mounted", limit, mounts.fileno())


class Card:
    """One card's directory."""

    def __init__(self, fabric, number):
        self.fabric = fabric
        self.name = f"dev{number}"
        self.dir = fabric.mount / self.name
        self.image = self.dir / "image"
        self.check = self.dir / "check"

    def slot(self, number):
        """One of its slots: a directory with the same files, as far as they are about programming."""
        slot = Card(self.fabric, int(self.name[3:]))
        slot.name = f"{self.name}/slots/{number}"
        slot.dir = self.dir / "slots" / str(number)
        slot.image, slot.check = slot.dir / "image", slot.dir / "check"
        return slot

    def read(self, name):
        return (self.dir / name).read_text()

    def value(self, name):
        return self.read(name).rstrip("\n")

    @property
    def state(self):
        return self.value("state")

    @property
    def error(self):
        return self.value("error")

    @property
    def sha(self):
        return self.value("loaded/sha256")

    def history(self):
        return [json.loads(line) for line in self.read("history").splitlines()]

    def count(self, event, result=None):
        """Records of a kind in the metrics of history: not bounded by what `history` shows."""
        return sum(1 for r in self.history() if r["event"] == event and result in (None, r["result"]))

    def last(self, event):
        for record in reversed(self.history()):
            if record["event"] == event:
                return record
        raise AssertionError(f"no record '{event}' in {self.history()[-5:]}")

    def write(self, data, name="image"):
        """As a plain program does: open with O_TRUNC, write, close. 0 or the errno."""
        return put(self.dir / name, data)

    def load(self, path):
        """Programs it; must succeed."""
        data = Path(path).read_bytes()
        problem = self.write(data)
        assert problem == 0, f"{path}: {errno.errorcode[problem]}: {self.error}"
        assert self.sha == sha256(data)
        assert self.state == "configured"

    def ctl(self, word):
        """0 or the errno of the write."""
        fd = os.open(self.dir / "ctl", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, word.encode() + b"\n")
        except OSError as e:
            return e.errno
        finally:
            os.close(fd)
        return 0

    def wait_state(self, wanted, limit=LIMIT):
        with open(self.dir / "state", "rb", buffering=0) as f:
            def asked():
                f.seek(0)
                return f.read(100).decode().strip() == wanted
            until(asked, f"{self.name} is {wanted}", limit, f.fileno(), select.POLLIN | select.POLLPRI)

    def exchange(self, data, limit=LIMIT):
        """Bytes through io/tx, and as many back from io/.rx."""
        rx = os.open(self.dir / "io" / ".rx", os.O_RDONLY | os.O_CLOEXEC)
        try:
            put(self.dir / "io" / "tx", data, must=True)
            got = b""
            end = time.monotonic() + limit
            while len(got) < len(data):
                assert time.monotonic() < end, f"only {got!r} came back"
                if select.select([rx], [], [], 1)[0]:
                    got += os.read(rx, len(data) - len(got))
            return got
        finally:
            os.close(rx)


def put(path, data, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC, chunk=65536, must=False):
    """open, write, close; the first errno of the three, 0 when all went well."""
    try:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o666)
    except OSError as e:
        if must:
            raise
        return e.errno
    problem = 0
    try:
        at = 0
        while at < len(data):
            at += os.write(fd, data[at:at + chunk])
    except OSError as e:
        problem = e.errno
    try:
        os.close(fd)
    except OSError as e:
        problem = problem or e.errno
    if must and problem:
        raise OSError(problem, f"writing {path}: {os.strerror(problem)}")
    return problem


class Fabric:
    """A daemon on a mount point of its own; start() and stop() may be repeated."""

    def __init__(self, folder, sim=1, config=None, options=(), env=None, user=None):
        self.folder = Path(folder)
        self.mount = self.folder / "fpga"
        self.state_dir = self.folder / "state"
        self.log_path = self.folder / "log"
        self.sim = sim
        self.options = list(options)
        self.user = user
        self.bin = BIN
        self.process = None
        self.expect_errors = False   # a test that provokes lines of error level says so
        self.expect_status = 0
        self.marker = f"{os.getpid()}-{self.folder}"
        self.env = dict(os.environ, FABRICFS_TEST=self.marker, LC_ALL="C.UTF-8", **(env or {}))
        # A cancelled thread leaves its stack poisoned, and ASan's own clean-up then trips over it.
        self.env["ASAN_OPTIONS"] = f"log_path={self.folder}/sanitizer:detect_leaks=1:use_sigaltstack=0"
        self.env["UBSAN_OPTIONS"] = f"log_path={self.folder}/sanitizer:print_stacktrace=1"
        self.env["TSAN_OPTIONS"] = f"log_path={self.folder}/sanitizer"
        self.mount.mkdir(parents=True, exist_ok=True)
        self.config_path = None
        if config is not None:
            self.config_path = self.folder / "fabricfs.yaml"
            self.config_path.write_text(config)

    # --- running ----------------------------------------------------------

    def argv(self, foreground=True):
        argv = [str(self.bin)]
        if foreground:
            argv.append("-f")
        if self.sim is not None:
            argv += ["--sim", str(self.sim)]
        if self.config_path:
            argv += ["-c", str(self.config_path)]
        argv += ["-s", str(self.state_dir), *self.options, str(self.mount)]
        if self.user:
            argv = ["setpriv", f"--reuid={self.user[0]}", f"--regid={self.user[1]}", "--clear-groups",
                    "--inh-caps=-all", *argv]
        return argv

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self.env, cwd="/")
        if self.user:
            wait_mounted(self.mount, self.process)
            return self  # nobody else may look into it, not even root
        try:
            wait_mounted(self.mount, self.process)
            assert (self.mount / "version").read_text().startswith("fabricfs ")
            # In the foreground nobody waits until each card was asked once.
            until(lambda: not any(s["state"] == "unknown" and c["backend"] == "sim"
                                  for c in self.status()["cards"] for s in [c, *c["slots"]]),
                  "simulated cards know their state")
        except BaseException:
            print(self.log())
            self.kill_all()
            raise
        return self

    def stop(self):
        """Unmount; the daemon has to end by itself, with status 0 and nothing left behind."""
        if not self.process:
            return
        process, self.process = self.process, None
        try:
            # A reader that a test left may hold the mount for a moment.
            def unmounted():
                if not mounted(self.mount):
                    return True
                argv = ["umount", str(self.mount)]
                return subprocess.run(argv, stderr=subprocess.DEVNULL, check=False).returncode == 0
            until(unmounted, f"{self.mount} can be unmounted", 10 * SLOW)
            status = process.wait(60 * SLOW)
            until(lambda: not self.processes(), f"no process is left: {self.processes()}", 10 * SLOW)
        except BaseException:
            print(self.log())
            self.kill_all()
            raise
        self.check(status)

    def restart(self):
        self.stop()
        return self.start()

    def check(self, status):
        reports = sorted(self.folder.glob("sanitizer*"))
        assert not reports, "\n".join(r.read_text(errors="replace") for r in reports)
        errors = [line for line in self.log().splitlines() if line.startswith(("<0>", "<1>", "<2>", "<3>"))]
        assert self.expect_errors or not errors, "lines of error level in the log:\n" + "\n".join(errors)
        assert status == self.expect_status, f"fabricfs ended with {status}\n{self.log()}"

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # --- processes ----------------------------------------------------------

    def processes(self, name=None):
        """Pids of this daemon's processes (all, or those of a name), zombies apart."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                comm = (entry / "comm").read_text().strip()
                if not comm.startswith("fabricfs") or (name and comm != name):
                    continue
                if (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                    continue
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"FABRICFS_TEST={self.marker}".encode() in environ.split(b"\0"):
                found.append(int(entry.name))
        return sorted(found)

    def kill(self, name, sig=signal.SIGKILL):
        """Kills all processes of one name; returns how many there were."""
        pids = self.processes(name)
        for pid in pids:
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass
        return len(pids)

    def kill_all(self):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
        if mounted(self.mount):
            subprocess.run(["umount", "-l", str(self.mount)], check=False)

    # --- looking ---------------------------------------------------------------

    def card(self, number=0):
        return Card(self, number)

    def read(self, name):
        return (self.mount / name).read_text()

    def status(self):
        return json.loads(self.read("status.json"))

    def metrics(self):
        """{'name{labels}': value}"""
        values = {}
        for line in self.read("metrics").splitlines():
            if line and not line.startswith("#"):
                key, value = line.rsplit(" ", 1)
                values[key] = float(value)
        return values

    def metric_sum(self, name):
        return sum(v for k, v in self.metrics().items() if k.split("{")[0] == name)


FAULT = "user.fpga.sim."  # and the name of a simulated card's fault


def fault(card, name, value):
    """Of a card or slot: 0 or the errno of setting it; value None: of removing it."""
    try:
        if value is None:
            os.removexattr(card.dir, FAULT + name)
        else:
            os.setxattr(card.dir, FAULT + name, value.encode())
    except OSError as e:
        return e.errno
    return 0


def run(argv, **kw):
    """A command with a limit; its output is text."""
    kw.setdefault("timeout", 60 * SLOW)
    kw.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False, **kw)


def shell(script, **kw):
    return run(["bash", "-c", script], **kw)


def need(*programs):
    """Skip, naming what is missing."""
    import pytest
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"needs {program}")
