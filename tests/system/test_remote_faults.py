# SPDX-License-Identifier: Apache-2.0
"""Reading images of a web server that is slow, breaks or lies: the right bytes or the right errno, in few requests."""
import errno
import hashlib
import os
import random
import re
import signal
import subprocess

import pytest

from fault_proxy import FaultProxy
from harness import SLOW, run, until
from images import sha256
from test_remote_listing import Repo
from webserver import TOKEN, WebServer

SIZE = 9_000_001  # more than one request brings
IMAGE = random.Random(7).randbytes(SIZE)
OTHER = random.Random(8).randbytes(SIZE)
GET = "GET /json/big.bin"


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    with WebServer(tmp_path_factory.mktemp("web") / "w") as server:
        server.put("big.bin", IMAGE, age=3600)
        server.put("other.bin", OTHER, age=3600)
        server.put("verified/big.bin", IMAGE, age=3600)
        server.put("verified/SHA256SUMS", f"{sha256(IMAGE)}  big.bin\n".encode())
        yield server


@pytest.fixture
def proxy(web):
    with FaultProxy(web.address) as p:
        yield p


@pytest.fixture
def mount(fpga):
    def make(url, more="", **kw):
        fabric = fpga(config=f"repositories:\n  web: {{kind: http, url: '{url}', max-age: 1h{more}}}\n"
                             "cache: {connect-timeout: 1s, offline-timeout: 1s}\n", **kw)
        repo = Repo(fabric, "web")
        repo.fabric = fabric
        repo.big = repo.dir / "big.bin"
        assert "big.bin" in repo.images(), repo.read("error")
        return repo
    return make


def read(path):
    """All of it, or the errno."""
    done = subprocess.run(["cat", str(path)], capture_output=True, timeout=120 * SLOW, check=False,
                          env=dict(os.environ, LC_ALL="C"))
    if done.returncode == 0:
        return done.stdout
    words = done.stderr.decode().strip().rsplit(": ", 1)[1]
    return next(number for number in errno.errorcode if os.strerror(number) == words)


def is_whole(data):
    return data if isinstance(data, int) else hashlib.sha256(data).hexdigest() == sha256(IMAGE)


# fault: what reading comes to (True = the right bytes), and how many requests it may take at most
FAULTS = {
    "300 ms away": (dict(delay=0.3), True, 20),
    "cut once": (dict(cut=600_000, times=1), True, 20),
    "cut always, far apart": (dict(cut=600_000), True, 40),
    "cut always, soon": (dict(cut=1000), errno.EREMOTEIO, 30),
    "reset once": (dict(reset=1000, times=1), True, 20),
    "reset always": (dict(reset=1000), errno.EREMOTEIO, 30),
    "closed always": (dict(close=True), errno.EREMOTEIO, 30),
    "stall once": (dict(stall=1000, times=1), True, 20),
    "stall always": (dict(stall=1000), errno.ETIMEDOUT, 12),
    "slow loris": (dict(loris=0.05), errno.ETIMEDOUT, 12),
    "never answered": (dict(hang=True), errno.ETIMEDOUT, 12),
    "429 once": (dict(status=429, retry_after=0, times=1), True, 20),
    "503 once, with a date": (dict(status=503, retry_date=1, times=1), True, 20),
    "503 always": (dict(status=503), errno.EREMOTEIO, 30),
    "429 for an hour": (dict(status=429, retry_after=3600), errno.EREMOTEIO, 6),
    "503 for an hour, as a date": (dict(status=503, retry_date=3600), errno.EREMOTEIO, 6),
    "forbidden": (dict(status=403), errno.EACCES, 6),
    "gone": (dict(status=404), errno.ESTALE, 6),
    "ignored range": (dict(drop_range=True), True, 12),
    "shifted range, told": (dict(shift=7, shift_told=True), errno.EBADMSG, 6),
    "a page": (dict(page=True), errno.EBADMSG, 6),
    "unasked gzip": (dict(gzip=True), errno.EBADMSG, 6),
    "more promised than sent": (dict(length=10), True, 20),
    "less promised than sent": (dict(length=-10), errno.EREMOTEIO, 30),
    "less promised than sent, once": (dict(length=-1000, times=1), True, 20),
    "redirected in circles": (dict(redirect=""), errno.EREMOTEIO, 40),
}


@pytest.mark.parametrize("name", FAULTS)
def test_reading_meets_a_fault_with_bounded_requests(mount, proxy, name):
    fault, wanted, most = FAULTS[name]
    repo = mount(f"{proxy.url}/json/")
    proxy.forget()
    proxy.fault(match="GET /json/big.bin", **fault)
    assert is_whole(read(repo.big)) == wanted, (proxy.requests, repo.fabric.log())
    assert 1 <= proxy.count(GET) <= most, proxy.requests
    # Whatever it was: when it is over, the image is read.
    proxy.heal()
    assert is_whole(read(repo.big)) is True, (proxy.requests, repo.fabric.log())
    before = proxy.count()
    assert is_whole(read(repo.big)) is True
    assert proxy.count() == before, "it is here now"


def test_an_ignored_range_does_not_fetch_the_image_again_and_again(mount, proxy):
    repo = mount(f"{proxy.url}/json/")
    proxy.fault(match=GET, drop_range=True)
    assert is_whole(read(repo.big)) is True
    assert proxy.sent(GET) < 3 * SIZE, proxy.requests


@pytest.mark.parametrize("fault", [dict(flip=SIZE - 10), dict(shift=7, skip=1, times=1), dict(path="/json/other.bin")])
def test_other_bytes_than_the_checksum_says_are_never_kept(mount, proxy, fault):
    repo = mount(f"{proxy.url}/json/verified/")
    proxy.fault(match="GET /json/verified/big.bin", **fault)
    problem = read(repo.big)
    # Of another version, or found out at the end.
    assert problem in (errno.EBADMSG, errno.ESTALE), proxy.requests
    proxy.heal()
    assert is_whole(read(repo.big)) is True


def test_what_is_replaced_between_chunks_is_stale_for_who_began_before(fpga, tmp_path):
    with WebServer(tmp_path / "w") as web:
        web.put("big.bin", IMAGE, age=3600)
        fabric = fpga(config=f"repositories:\n  web: {{kind: http, url: '{web.url('json')}', max-age: 1h}}\n")
        repo = Repo(fabric, "web")
        with open(repo.dir / "big.bin", "rb", buffering=0) as f:
            assert f.read(4096) == IMAGE[:4096]
            web.put("big.bin", OTHER[:SIZE - 1])
            f.seek(SIZE - 5000)
            with pytest.raises(OSError) as problem:
                f.read(4096)
            assert problem.value.errno == errno.ESTALE
        assert repo.refresh() == 0
        assert read(repo.dir / "big.bin") == OTHER[:SIZE - 1]


def test_credentials_that_expire_in_the_middle(mount, proxy, tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    os.chmod(tmp_path / "token", 0o600)
    repo = mount(f"{proxy.url}/bearer/", more=f", token-file: {tmp_path}/token")
    proxy.fault(match="GET /bearer/big.bin", drop_credentials=True, skip=1)
    assert read(repo.big) == errno.EACCES
    assert proxy.count("GET /bearer/big.bin") <= 12
    proxy.heal()
    assert is_whole(read(repo.big)) is True


def test_a_redirect_to_another_host_is_read_without_credentials(mount, proxy, web, tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    os.chmod(tmp_path / "token", 0o600)
    with FaultProxy(web.address) as other:
        repo = mount(f"{proxy.url}/json/", more=f", token-file: {tmp_path}/token")
        proxy.fault(match=GET, redirect=other.url)
        assert is_whole(read(repo.big)) is True
        assert other.count(GET) > 0
        assert not [r for r in other.requests if "authorization" in r.headers]


def test_reading_over_tls_with_http_2(mount, web):
    before = len(web.log())
    repo = mount(web.url("json", tls=True), more=f", cacert: {web.authority.cacert}")
    assert is_whole(read(repo.big)) is True
    asked = [line.split() for line in web.log()[before:] if "/json/big.bin" in line]
    assert asked and {line[4] for line in asked} == {"HTTP/2.0"}
    assert sum(int(line[3]) for line in asked) == SIZE, "every byte once"


def test_a_small_read_costs_a_small_chunk(mount, proxy):
    repo = mount(f"{proxy.url}/json/")
    with open(repo.big, "rb", buffering=0) as f:
        assert f.read(4096) == IMAGE[:4096]
        assert proxy.sent(GET) <= 65536 + 4096, proxy.requests
    assert proxy.count(GET) <= 1


def test_many_readers_fetch_every_byte_once(mount, proxy):
    repo = mount(f"{proxy.url}/json/")
    proxy.fault(match=GET, delay=0.05)
    many = [subprocess.Popen(["sha256sum", str(repo.big)], stdout=subprocess.PIPE, text=True) for _ in range(20)]
    assert {p.communicate()[0].split()[0] for p in many} == {sha256(IMAGE)}
    assert proxy.sent(GET) == SIZE, proxy.requests


def test_what_is_here_is_read_without_the_server(fpga, tmp_path):
    with WebServer(tmp_path / "w") as web:
        web.put("big.bin", IMAGE, age=3600)
        web.put("far.bin", OTHER, age=3600)
        fabric = fpga(config=f"repositories:\n  web: {{kind: http, url: '{web.url('json')}', max-age: 1h}}\n"
                             "cache: {connect-timeout: 1s, offline-timeout: 1s}\n")
        repo = Repo(fabric, "web")
        until(lambda: repo.images() == ["big.bin", "far.bin"], "they are listed")
        assert read(repo.dir / "big.bin") == IMAGE
        web.stop()
        assert read(repo.dir / "far.bin") == errno.EHOSTUNREACH
        until(lambda: repo.read("state").startswith("offline since "), "it is offline")
        fabric.restart()
        assert repo.images() == ["big.bin", "far.bin"]
        assert read(repo.dir / "big.bin") == IMAGE
        assert read(repo.dir / "far.bin") == errno.EHOSTUNREACH
        web.start()
        assert repo.refresh() == 0
        assert read(repo.dir / "far.bin") == OTHER


def test_who_reads_while_it_is_offline_is_told_at_once(fpga, tmp_path):
    """Each could wait for as long as is configured, and a folder of images would take hours to walk."""
    with WebServer(tmp_path / "w") as web:
        for n in range(30):
            web.put(f"{n}.bin", b"x" * 1000, age=3600)
        fabric = fpga(config=f"repositories:\n  web: {{kind: http, url: '{web.url('json')}', max-age: 1h}}\n"
                             "cache: {connect-timeout: 1s, offline-timeout: 1s}\n")
        repo = Repo(fabric, "web")
        until(lambda: len(repo.images()) == 30, "they are listed")
        web.stop()
        assert read(repo.dir / "0.bin") == errno.EHOSTUNREACH
        tries = int(repo.stats()["requests"])
        until(lambda: repo.read("state").startswith("offline since "), "it is offline")
        for n in range(1, 30):
            assert read(repo.dir / f"{n}.bin") == errno.EHOSTUNREACH
        # A listing, which looks whether it is back, and on a busy machine a reader or two who do.
        assert int(repo.stats()["requests"]) < tries + 30, repo.stats()


def test_a_waiting_reader_is_interrupted_and_unmounting_does_not_wait(mount, proxy):
    repo = mount(f"{proxy.url}/json/")
    proxy.fault(match=GET, hang=True)
    reader = subprocess.Popen(["cat", str(repo.big)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: proxy.count(GET) == 1, "it is asked for")
    reader.send_signal(signal.SIGINT)
    assert reader.wait(10) != 0
    reader = subprocess.Popen(["cat", str(repo.big)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run(["umount", "-l", str(repo.fabric.mount)])
    reader.send_signal(signal.SIGKILL)
    reader.wait(10)
    assert repo.fabric.process.wait(20 * SLOW) == 0
    repo.fabric.process = None


def test_a_reader_notices_nothing_of_a_killed_worker(mount, proxy):
    repo = mount(f"{proxy.url}/json/")
    proxy.fault(match=GET, rate=1_000_000)
    reader = subprocess.Popen(["sha256sum", str(repo.big)], stdout=subprocess.PIPE, text=True)
    for _ in range(3):
        before = proxy.sent(GET)
        until(lambda b=before: proxy.sent(GET) > b + 50_000, "some of it came")
        until(lambda: repo.fabric.kill("fabricfs-worker") == 1, "there is a worker")
    assert reader.communicate()[0].split()[:1] == [sha256(IMAGE)]


def test_a_log_has_a_sentence_for_what_failed(mount, proxy):
    repo = mount(f"{proxy.url}/json/")
    proxy.fault(match=GET, status=503)
    assert read(repo.big) == errno.EREMOTEIO
    sentence = r"repository web: GET http://127.0.0.1:\d+/json/big.bin: status 503"
    until(lambda: re.search(sentence, repo.read("error")), "it is told")
    until(lambda: re.search(sentence, repo.fabric.log()), "it is logged")
    assert repo.read("state") == "online\n"
    assert repo.refresh() == 0 and repo.read("error") == ""
