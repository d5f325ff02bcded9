# SPDX-License-Identifier: Apache-2.0
"""Images of a web server read and copied while it is slow, broken or gone: what is asked of it, and for how long."""
import concurrent.futures
import errno
import os
import random
import signal
import subprocess

import pytest

from fault_proxy import FaultProxy
from harness import LIMIT, mounted, run, until
from images import HX8K, UPPER, sha256
from webserver import WebServer

DATA = random.Random(1).randbytes(6_000_000)


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    with WebServer(tmp_path_factory.mktemp("web") / "w") as server:
        server.put("x.bin", DATA, age=3600)
        server.put("upper.bin", UPPER.read_bytes(), age=3600)
        server.put("hx8k.bin", HX8K.read_bytes(), age=3600)
        yield server


@pytest.fixture
def proxy(web):
    with FaultProxy(web.address) as p:
        yield p


@pytest.fixture
def mirror(fpga, proxy):
    def make(folder="json", timeout="2s", **kw):
        fabric = fpga(config="repositories:\n"
                      f"  web: {{kind: http, url: \"{proxy.url}/{folder}/\", max-age: 1h}}\n"
                      f"cache: {{connect-timeout: {timeout}, offline-timeout: {timeout}}}\n", **kw)
        fabric.remote = fabric.mount / "remote" / "web"
        until(lambda: "x.bin" in os.listdir(fabric.remote), "it is listed")
        proxy.forget()
        return fabric
    return make


def cached(path):
    return int(os.getxattr(path, "user.fpga.cached").decode())


def read_errno(path, offset=0, size=4096):
    with open(path, "rb") as f:
        try:
            os.pread(f.fileno(), size, offset)
        except OSError as e:
            return e.errno
    return 0


def waiting(fabric, proxy, argv, n=1):
    """A process whose request has reached the server."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until(lambda: proxy.count("x.bin|upper") >= n, "it is asked for")
    return process


def test_the_head_of_an_image_is_little_on_the_wire(mirror, proxy):
    fabric = mirror()
    assert run(["head", "-c", "4096", str(fabric.remote / "x.bin")]).returncode == 0
    assert proxy.count("x.bin") == 1
    assert proxy.sent("x.bin") <= 60_000


def test_a_whole_image_is_fetched_once_in_few_requests(mirror, proxy):
    fabric = mirror()
    assert (fabric.remote / "x.bin").read_bytes() == DATA
    assert (fabric.remote / "x.bin").read_bytes() == DATA
    assert proxy.sent("x.bin") == len(DATA)
    assert proxy.count("x.bin") <= 16


def test_fifty_readers_cause_what_one_does(mirror, proxy):
    fabric = mirror()
    proxy.fault(match="x.bin", delay=0.3, times=1)
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        sums = list(pool.map(lambda _: run(["sha256sum", str(fabric.remote / "x.bin")]).stdout.split()[0],
                             range(50)))
    assert set(sums) == {sha256(DATA)}
    assert proxy.sent("x.bin") == len(DATA)


def test_a_server_without_ranges_sends_all_of_it_once(mirror, proxy):
    fabric = mirror(folder="norange")
    assert (fabric.remote / "x.bin").read_bytes() == DATA
    # The first chunk, of what was sent to its end or was broken off; then all.
    assert proxy.count("x.bin") <= 3


@pytest.mark.parametrize("fault", [{"hang": True}, {"stall": 1000}, {"loris": 5.0}])
def test_a_reader_is_interrupted_at_once_whatever_the_server_does(mirror, proxy, fault):
    fabric = mirror(timeout="60s")
    proxy.fault(match="x.bin", **fault)
    reader = waiting(fabric, proxy, ["cat", str(fabric.remote / "x.bin")])
    reader.send_signal(signal.SIGINT)
    assert reader.wait(LIMIT) == -signal.SIGINT
    proxy.heal()
    assert (fabric.remote / "x.bin").read_bytes() == DATA


def test_a_copy_is_interrupted_and_the_card_is_free(mirror, proxy):
    fabric = mirror(timeout="60s")
    card = fabric.card()
    proxy.fault(match="upper", hang=True)
    copy = waiting(fabric, proxy, ["cp", str(fabric.remote / "upper.bin"), str(card.image)])
    until(lambda: card.value("progress").startswith("receiving"), "it is shown")
    assert run(["cp", str(UPPER), str(card.image)]).returncode == 1
    copy.send_signal(signal.SIGINT)
    assert copy.wait(LIMIT) == -signal.SIGINT
    until(lambda: card.value("progress") == "idle 0 0 0%", "nobody is at the card")
    proxy.heal()
    assert run(["cp", str(fabric.remote / "upper.bin"), str(card.image)]).returncode == 0
    assert card.sha == sha256(UPPER)


def test_a_copy_is_stopped_by_who_may(mirror, proxy):
    fabric = mirror(timeout="60s")
    card = fabric.card()
    proxy.fault(match="upper", hang=True)
    copy = waiting(fabric, proxy, ["cp", str(fabric.remote / "upper.bin"), str(card.image)])
    until(lambda: card.value("progress").startswith("receiving"), "it is shown")
    (card.dir / "stop").write_text("upload\n")
    assert copy.wait(LIMIT) == 1
    assert os.strerror(errno.ECANCELED) in copy.stderr.read().decode()
    assert card.state == "unconfigured"


def test_unmounting_does_not_wait_for_a_server(mirror, proxy):
    fabric = mirror(timeout="60s")
    proxy.fault(match="bin", hang=True)
    waiting(fabric, proxy, ["cat", str(fabric.remote / "x.bin")])
    waiting(fabric, proxy, ["cp", str(fabric.remote / "upper.bin"), str(fabric.card().image)], 2)
    run(["umount", "-l", str(fabric.mount)])
    os.kill(fabric.process.pid, signal.SIGTERM)
    assert fabric.process.wait(LIMIT) == 0  # long before the server's minute is over
    assert not mounted(fabric.mount)
    fabric.process = None


def test_a_dead_server_gives_no_route_in_bounded_time_and_comes_back(mirror, proxy, web):
    fabric = mirror()
    assert read_errno(fabric.remote / "x.bin") == 0
    web.stop()
    try:
        assert read_errno(fabric.remote / "x.bin") == 0
        with open(fabric.remote / "x.bin", "rb") as f:
            with pytest.raises(OSError) as e:
                os.pread(f.fileno(), 100, 5_000_000)
            assert e.value.errno in (errno.EHOSTUNREACH, errno.EREMOTEIO)
    finally:
        web.start()
    until(lambda: read_errno(fabric.remote / "x.bin", 5_000_000) == 0, "it is read again")
    assert (fabric.remote / "x.bin").read_bytes() == DATA


def test_a_transfer_that_breaks_goes_on_where_it_stopped(mirror, proxy):
    fabric = mirror()
    proxy.fault(match="x.bin", cut=1_000_000, times=3)
    assert (fabric.remote / "x.bin").read_bytes() == DATA
    assert proxy.sent("x.bin") < len(DATA) + 3 * 70_000


def test_a_worker_killed_in_the_middle_fetches_the_rest(mirror, proxy):
    fabric = mirror()
    proxy.fault(match="x.bin", rate=3_000_000)
    with subprocess.Popen(["sha256sum", str(fabric.remote / "x.bin")], stdout=subprocess.PIPE) as reader:
        for part in (1, 3):
            until(lambda: proxy.sent("x.bin") > part * 1_000_000, "it is on its way")
            assert fabric.kill("fabricfs-worker") == 1
        assert reader.stdout.read().split()[0].decode() == sha256(DATA)
        assert reader.wait(LIMIT) == 0
    # What had come is not asked for again, but what was in flight.
    assert proxy.sent("x.bin") < 2 * len(DATA)


def test_an_image_replaced_between_chunks_is_stale(mirror, proxy, web):
    fabric = mirror()
    other = random.Random(2).randbytes(len(DATA))
    web.put("y.bin", DATA, age=3600)
    with open(fabric.remote / ".repo" / "refresh", "w", encoding="ascii") as f:
        f.write("now\n")
    with open(fabric.remote / "y.bin", "rb") as f:
        assert os.pread(f.fileno(), 1000, 0) == DATA[:1000]
        web.put("y.bin", other, age=60)
        with pytest.raises(OSError) as e:
            os.pread(f.fileno(), 1000, 5_000_000)
        assert e.value.errno == errno.ESTALE
        assert (fabric.remote / "y.bin").read_bytes() == other


def test_a_page_instead_of_an_image_is_no_image(mirror, proxy):
    fabric = mirror()
    proxy.fault(match="x.bin", page=True)
    assert read_errno(fabric.remote / "x.bin", 1_000_000) != 0
    assert cached(fabric.remote / "x.bin") == 0
    proxy.heal()
    assert (fabric.remote / "x.bin").read_bytes() == DATA


def test_a_wrong_part_costs_one_small_chunk_on_the_wire(mirror, proxy):
    fabric = mirror()
    card = fabric.card()
    done = run(["cp", str(fabric.remote / "hx8k.bin"), str(card.image)])
    assert done.returncode == 1
    assert card.last("image-refused")["result"] == "EMEDIUMTYPE"
    assert proxy.sent("hx8k") <= 60_000


def test_a_dead_repository_slows_no_other(fpga, proxy, web):
    proxy.fault(match="bin", hang=True)
    fabric = fpga(config="repositories:\n"
                  f"  dead: {{kind: http, url: \"{proxy.url}/json/\"}}\n"
                  f"  web: {{kind: http, url: \"{web.url('json')}\"}}\n"
                  "cache: {offline-timeout: 60s}\n")
    dead, alive = fabric.mount / "remote" / "dead", fabric.mount / "remote" / "web"
    until(lambda: "x.bin" in os.listdir(dead), "it is listed")
    readers = [waiting(fabric, proxy, ["cat", str(dead / "x.bin")]) for _ in range(40)]
    try:
        for _ in range(3):
            assert (alive / "x.bin").read_bytes() == DATA
        assert run(["cp", str(alive / "upper.bin"), str(fabric.card().image)]).returncode == 0
        assert all(r.poll() is None for r in readers)
    finally:
        for r in readers:
            r.kill()
            r.wait(LIMIT)
