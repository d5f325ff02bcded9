# SPDX-License-Identifier: Apache-2.0
"""The time of day is set by a day, forth or back, while something is under way (clock_shim.c).

What may not come of it: something that waits for that day, requests without end, a token that was refused
and is used again, a listing that stays as it was. The cloud's own clock goes on as it did.
"""
import email.utils
import errno
import os
import struct
import subprocess
import threading
import time

import pytest

from harness import BIN, LIMIT, run, until
from images import BLINK, UPPER
from test_glance_faults import DATA, fake, read  # noqa: F401
from test_remote_listing import Repo

SHIM = BIN.parent / "tests" / "clock_shim.so"
DAY = 86400
STEPS = pytest.mark.parametrize("step", [DAY, -DAY], ids=["forth", "back"])


class Clock:
    def __init__(self, path):
        assert SHIM.exists(), f"{SHIM} is not there: make unit-programs"
        self.path = path
        path.write_bytes(bytes(8))

    def step(self, seconds):
        with open(self.path, "r+b", buffering=0) as f:
            f.write(struct.pack("=q", int(seconds * 10**9)))

    def env(self):
        return {"LD_PRELOAD": str(SHIM), "FABRICFS_CLOCK": str(self.path)}


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path / "clock")


def started(fpga, clock, **kw):
    fabric = fpga.make(env=clock.env(), **kw)
    # What loads the sanitizers' run-time comes second.
    fabric.env["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
    return fabric.start()


@pytest.fixture
def mirror(fpga, clock, fake, tmp_path):  # noqa: F811
    def make(max_age="1h"):
        secret = tmp_path / "secret"
        secret.write_text(fake.password + "\n")
        secret.chmod(0o600)
        fabric = started(fpga, clock, config=(
            f"repositories:\n  glance: {{kind: glance, auth-url: '{fake.url}', username: al, password-file: {secret}, "
            f"project: fpga, max-age: {max_age}}}\ncache: {{connect-timeout: 1s, offline-timeout: 2s}}\n"))
        repo = Repo(fabric, "glance")
        repo.fabric = fabric
        assert repo.refresh() == 0, repo.read("error")
        return repo
    return make


def told_time(fabric):
    """The daemon's time of day, as it tells it."""
    return fabric.status()["time"]


def test_the_shim_sets_the_time_that_the_daemon_tells(fpga, clock):
    """Or nothing here would be a test."""
    fabric = started(fpga, clock)
    before = told_time(fabric)
    clock.step(DAY)
    after = told_time(fabric)
    clock.step(-DAY)
    assert told_time(fabric)[:10] < before[:10] < after[:10]


@STEPS
def test_a_token_lives_as_long_as_its_server_says(mirror, fake, clock, step):  # noqa: F811
    fake.lifetime = 3600
    repo = mirror()
    used = []
    plain = fake.get

    def get(handler):
        token = handler.headers.get("X-Auth-Token")
        with fake.lock:
            used.append((token, token in fake.tokens))
        plain(handler)
    fake.get = get
    clock.step(step)
    for _ in range(3):
        assert repo.refresh() == 0, repo.read("error")
    assert fake.logins() == 1
    # And when a server takes it for ended, as its clock was the one that was set:
    fake.expire()
    for _ in range(3):
        assert repo.refresh() == 0, repo.read("error")
    assert fake.logins() == 2
    assert [good for _, good in used].count(False) == 1, "a token was used after it had been refused"


@STEPS
def test_a_short_token_is_renewed_in_time(mirror, fake, clock, step):  # noqa: F811
    fake.lifetime = 5
    repo = mirror()
    clock.step(step)
    until(lambda: repo.refresh() == 0 and fake.logins() >= 2, "another login")
    assert not [line for line in fake.log if line[2] == 401]


@STEPS
def test_a_listing_is_fresh_for_its_maximum_age_and_no_longer(mirror, fake, clock, step):  # noqa: F811
    repo = mirror(max_age="1s")
    clock.step(step)
    # Listings of what is new go by the server's clock; the second one has a cursor of after the step.
    for name in ("new.bit", "newer.bit"):
        fake.image(name, DATA, updated_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        until(lambda n=name: n in repo.images(), "what is new is listed")


@STEPS
def test_a_listing_that_is_young_stays_so(mirror, fake, clock, step):  # noqa: F811
    repo = mirror()
    fake.log.clear()
    clock.step(step)
    for _ in range(50):
        assert repo.images() == ["first.bit", "second.bit"]
    assert len(fake.asked("GET /v2/images")) <= 1
    # A daemon that starts with another time cannot know how old it is: it asks, once.
    repo.fabric.restart()
    assert repo.images() == ["first.bit", "second.bit"]
    until(lambda: repo.stats()["requests"] != "0" or step > 0, "it is asked")
    assert len(fake.asked("GET /v2/images")) <= 2


@STEPS
def test_an_unreachable_repository_is_waited_for_as_long_as_configured(mirror, fake, clock, step):  # noqa: F811
    repo = mirror()
    fake.stop()
    results = []
    reader = threading.Thread(target=read, args=(repo.dir / "first.bit", results))
    reader.start()
    clock.step(step)
    reader.join(LIMIT)
    assert results == [errno.EHOSTUNREACH]
    assert repo.refresh() == errno.EHOSTUNREACH
    assert repo.read("state").startswith("offline since ")


@STEPS
@pytest.mark.parametrize("dated", [True, False], ids=["dated", "undated"])
def test_a_date_to_come_back_at_is_one_of_the_server(mirror, fake, clock, step, dated):  # noqa: F811
    """Without a Date beside it, it is compared with our own clock: at worst it is not waited for, or given up."""
    repo = mirror()
    fake.log.clear()
    fake.dated = dated
    fake.retry_after = lambda: email.utils.formatdate(time.time() + 1, usegmt=True)
    fake.busy = {"GET": 2}
    clock.step(step)
    told = repo.refresh()
    if dated or step > 0:
        assert told == 0, repo.read("error")
    else:
        assert told == errno.EREMOTEIO and "503" in repo.read("error")
    assert len(fake.log) <= 3
    assert repo.read("state") == "online\n"


@STEPS
def test_a_download_goes_on(mirror, fake, clock, step):  # noqa: F811
    data = os.urandom(3 << 20)
    ident = fake.image("large.bit", data)
    repo = mirror()
    fake.hold = threading.Event()
    results = []
    reader = threading.Thread(target=read, args=(repo.dir / "large.bit", results))
    reader.start()
    until(lambda: fake.asked("/file"), "data are asked for")
    clock.step(step)
    fake.hold.set()
    reader.join(LIMIT)
    assert results == [data]
    assert fake.sent[ident] == len(data) and fake.logins() == 1


@STEPS
def test_the_worker_may_be_replaced_after_it(mirror, fake, clock, step):  # noqa: F811
    repo = mirror()
    clock.step(step)
    assert (repo.dir / "first.bit").read_bytes() == DATA
    assert repo.fabric.kill("fabricfs-worker") == 1
    fake.log.clear()
    assert (repo.dir / "first.bit").read_bytes() == DATA
    assert repo.images() == ["first.bit", "second.bit"]
    assert repo.refresh() == 0
    assert not fake.asked("/file") and len(fake.log) < 10


@STEPS
def test_runs_and_histories_go_on(fpga, clock, step):
    fabric = started(fpga, clock, config="cards:\n  - {name: bench, backend: sim, config_clock_hz: 100000, policy: "
                                         "{max-per-minute: 2}}\n", sim=None)
    card = fabric.card()
    card.load(BLINK)
    with subprocess.Popen(["cp", UPPER, card.image]) as cp:
        until(lambda: card.value("progress").startswith("programming "), "it is programmed")
        clock.step(step)
        assert cp.wait(LIMIT) == 0
    # A telemetry value is not older for it, and not asked for with each open either.
    assert int(card.value("telemetry/cycles")) >= 0
    programmed = [r for r in card.history() if r["event"] == "programmed"]
    assert [r["sha256"] for r in programmed] == [programmed[0]["sha256"], card.sha]
    assert all(0 <= r["duration_ms"] < 3600 * 1000 for r in programmed), programmed
    assert 0 <= int(card.value("loaded/duration_ms")) < 3600 * 1000
    # In the order of what happened, whatever the times say.
    assert (programmed[0]["time"] < programmed[1]["time"]) == (step > 0)
    assert all(0 <= v < 3600 for k, v in fabric.metrics().items() if k.startswith("fabricfs_program_seconds_sum"))
    # Both were within a minute, and nobody makes a day of it.
    assert card.write(BLINK.read_bytes()) == errno.EPERM
    assert "2 times in the last minute" in card.error
    # Another worker has the times of history only, where the first is of another day.
    assert fabric.kill("fabricfs-worker") == 1
    card.load(BLINK)
    assert [r["sha256"] for r in card.history() if r["event"] == "programmed"][-1] == card.sha


@STEPS
def test_who_follows_hears_of_it_and_stopping_ends(fpga, clock, step):
    fabric = started(fpga, clock)
    card = fabric.card()
    with subprocess.Popen(["head", "-n", "1", str(fabric.mount / ".follow")], stdout=subprocess.PIPE) as head:
        clock.step(step)
        until(lambda: card.write(BLINK.read_bytes()) == 0 and head.poll() is not None, "a record is told")
        assert b'"programmed"' in head.stdout.read()
    done = run(["umount", str(fabric.mount)])
    assert done.returncode == 0, done.stderr
    clock.step(-step)
    assert fabric.process.wait(LIMIT) == 0
