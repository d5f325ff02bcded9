# SPDX-License-Identifier: Apache-2.0
"""Repositories of kind http: web servers' folders through the mount, and servers that break or lie."""
import errno
import json
import os
import re
import signal
import subprocess
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fault_proxy import FaultProxy
from harness import run, until
from images import BLINK, HX8K, UPPER, sha256
from test_remote_listing import Repo
from webserver import PASSWORD, TOKEN, USER, Authority, WebServer

OFFLINE = "cache: {connect-timeout: 1s, offline-timeout: 1s}\n"


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    with WebServer(tmp_path_factory.mktemp("web") / "w") as server:
        server.put("blink.bin", open(BLINK, "rb").read(), age=3600)
        server.put("upper.bin", open(UPPER, "rb").read(), age=7200)
        yield server


@pytest.fixture
def own_web(tmp_path):
    """One that the test may change, stop and start."""
    with WebServer(tmp_path / "w") as server:
        server.put("blink.bin", open(BLINK, "rb").read(), age=3600)
        yield server


@pytest.fixture
def proxy(web):
    with FaultProxy(web.address) as p:
        yield p


def config(**repos):
    lines = "".join(f"  {name}: {{kind: http, {text}{'' if 'max-age' in text else ', max-age: 1h'}}}\n"
                    for name, text in repos.items())
    return f"repositories:\n{lines}{OFFLINE}"


@pytest.fixture
def mount(fpga):
    """mount(a="url: ...", ...): the repositories of that configuration, or the one."""
    def make(**repos):
        fabric = fpga(config=config(**repos))
        made = []
        for name in repos:
            repo = Repo(fabric, name)
            repo.fabric = fabric
            made.append(repo)
        return made if len(made) > 1 else made[0]
    return make


def answered(repo):
    """After its first listing, however that went."""
    repo.names()
    return repo


# --- listing ---------------------------------------------------------------------------

FORMS = ["html", "json", "norange", "noversion"]


def test_index_pages_of_all_forms_list_the_same(mount, web):
    repos = mount(**{form: f'url: "{web.url(form)}"' for form in FORMS})
    for repo in repos:
        assert repo.images() == ["blink.bin", "upper.bin"], repo.read("error")
        assert repo.stat("blink.bin").st_size == os.stat(BLINK).st_size
        assert repo.read("state") == "online\n"
        there = os.stat(web.root / "blink.bin").st_mtime
        # A page in HTML shows minutes.
        assert abs(repo.stat("blink.bin").st_mtime - there) < 60


def test_listing_costs_no_request_per_file(mount, own_web):
    for i in range(500):
        own_web.put(f"many-{i}.bin", b"x" * i)
    repo = mount(web=f'url: "{own_web.url("json")}"')
    done = run(["ls", "-lR", str(repo.dir)])
    assert done.returncode == 0 and "many-499.bin" in done.stdout
    run(["du", "-s", str(repo.dir)])
    assert [line.split()[:3] for line in own_web.log()] == [["GET", "/json/SHA256SUMS", "404"],
                                                           ["GET", "/json/", "200"]]


HOSTILE = {"100%.bit": "100%25.bit", "q?x#y.bit": "q?x#y.bit", "two\nlines.bit": "two%0Alines.bit",
           "比特流-café.bit": "比特流-café.bit", "a&b<c>\"q'.bit": "a&b<c>\"q'.bit", "+plus +.bit": "+plus +.bit",
           "a-very-long-name-which-autoindex-html-cuts-in-the-shown-text-but-not-in-the-link.bit": None,
           b"latin1-\xe9.bit": "latin1-\udce9.bit", "colon:name.bit": "colon:name.bit"}


@pytest.mark.parametrize("form", ["html", "json"])
def test_names_of_any_bytes_are_listed_by_their_links(mount, own_web, form):
    for name in HOSTILE:
        own_web.put(name, os.fsencode(name))
    repo = mount(web=f'url: "{own_web.url(form)}"')
    wanted = [shown or os.fsdecode(name) for name, shown in HOSTILE.items()]
    assert repo.images() == sorted([*wanted, "blink.bin"]), repo.read("error")


def test_folders_below_are_listed_to_the_depth(mount, own_web):
    own_web.put("a b/c/deep.bin", b"1")
    own_web.put("a b/flat.bin", b"22")
    url = own_web.url("json")
    flat, one, two = mount(flat=f'url: "{url}"', one=f'url: "{url}", depth: 1', two=f'url: "{url}", depth: 2')
    assert flat.images() == ["blink.bin"]
    assert one.images() == ["a b%2Fflat.bin", "blink.bin"]
    assert two.images() == ["a b%2Fc%2Fdeep.bin", "a b%2Fflat.bin", "blink.bin"]
    assert two.attr("a b%2Fc%2Fdeep.bin", "user.fpga.id") == "a%20b/c/deep.bin"
    assert two.stat("a b%2Fflat.bin").st_size == 2


def test_a_folder_below_that_nobody_may_see_does_not_hide_the_others(mount, own_web):
    for folder in ("a", "no", "z", "gone"):
        own_web.put(f"{folder}/x.bin", b"x")
    with FaultProxy(own_web.address) as proxy:
        proxy.fault(match="/no/$", status=403)
        proxy.fault(match="/gone/$", status=404)
        repo = mount(web=f'url: "{proxy.url}/json", depth: 1')
        for _ in range(2):
            assert repo.refresh() == 0, repo.read("error")
        assert repo.images() == ["a%2Fx.bin", "blink.bin", "z%2Fx.bin"]
        assert repo.fabric.log().count("what is in there is left out") == 1
        # What may be a passing fault drops nothing.
        proxy.heal()
        proxy.fault(match="/a/$", status=500)
        assert repo.refresh() == errno.EREMOTEIO
        # The others were asked for at the same time, and what they list now is shown.
        assert set(repo.images()) >= {"a%2Fx.bin", "blink.bin", "z%2Fx.bin"}


def test_checksums_beside_the_images_are_their_digests(mount, own_web):
    data = open(BLINK, "rb").read()
    own_web.put("SHA256SUMS", f"{sha256(data)}  blink.bin\n".encode())
    repo = mount(web=f'url: "{own_web.url("html")}"')
    assert repo.attr("blink.bin", "user.fpga.sha256") == sha256(data)


def test_a_manifest_takes_the_place_of_index_pages(mount, own_web):
    own_web.put("v1/one.bin", b"12345")
    own_web.put("list.json", b"""{"images": [
        {"name": "one/two", "url": "v1/one.bin", "size": 5, "modified": "2026-11-21T12:00:00Z",
         "sha256": "%s", "part": "iCE40-HX1K", "properties": {"team": "lab"}}]}""" % sha256(b"12345").encode())
    repo = mount(web=f'url: "{own_web.url("plain")}", manifest: list.json, max-age: 1ms')
    assert repo.images() == ["one%2Ftwo"], repo.read("error")
    assert repo.stat("one%2Ftwo").st_size == 5 and repo.stat("one%2Ftwo").st_mtime == 1795262400
    assert repo.attr("one%2Ftwo", "user.fpga.property.team") == "lab"
    assert repo.attr("one%2Ftwo", "user.fpga.property.part") == "iCE40-HX1K"
    # What has not changed is told by one short answer.
    until(lambda: repo.names() and own_web.log()[-1].split()[2] == "304", "a listing that has not changed")
    assert repo.images() == ["one%2Ftwo"]
    own_web.put("list.json", b'[{"name": "v1/one.bin"}]')
    until(lambda: repo.images() == ["v1%2Fone.bin"], "the other manifest")


def test_a_start_with_another_configuration_lists_at_once(mount, own_web):
    own_web.put("list.json", b'{"images": [{"name": "nice.bin", "url": "blink.bin"}]}')
    own_web.put("below/x.bin", b"x")
    repo = mount(web=f'url: "{own_web.url("json")}"')
    assert repo.images() == ["blink.bin", "list.json"]
    for more, images in ((", manifest: list.json", ["nice.bin"]), (", depth: 1",
                                                                  ["below%2Fx.bin", "blink.bin", "list.json"])):
        repo.fabric.stop()
        repo.fabric.config_path.write_text(config(web=f'url: "{own_web.url("json")}"{more}'))
        repo.fabric.start()
        until(lambda wanted=images: repo.images() == wanted, f"{images} are listed")
    own_web.stop()
    repo.fabric.restart()
    until(lambda: repo.read("state").startswith("offline since "), "that it is gone is told")
    assert repo.images() == ["below%2Fx.bin", "blink.bin", "list.json"]


def test_what_suits_is_judged_by_what_counts_in_all_that_is_told(mount, own_web):
    """Some thousand images of a few parts: in the listing are those that a look-up of each finds."""
    parts = ["iCE40-HX1K", "iCE40-HX8K", "xc7a35t", None, "ice40-hx1k"]
    designs = ["counter", "\",\"part\":\"iCE40-HX1K", "} , {", "\\", "[\"", "\u00e9\\\"", "x" * 500]
    images = {}
    for i in range(3000):
        facts = {"part": parts[i % 5], "format": "ice40" if i % 5 in (0, 1, 4) else "xilinx-bit" if i % 5 == 2 else None,
                 "design": f"{designs[i % 7]} {i}", "shell": ["", "s", "other"][i % 3] if i % 11 == 0 else None}
        images[f"{i:04}.bin"] = {k: v for k, v in facts.items() if v}
    own_web.put("list.json", json.dumps([{"name": n, "size": 1, **f} for n, f in images.items()]).encode())
    repo = mount(web=f'url: "{own_web.url("plain")}", manifest: list.json')
    assert len(repo.images()) == 3000, repo.read("error")
    fits = repo.fabric.card(0).dir / "fits" / "web"
    listed = set(os.listdir(fits))
    assert listed == {n for n in images if os.path.lexists(fits / n)}
    assert listed == {n for n, f in images.items() if f.get("part", "").lower() == "ice40-hx1k" and "shell" not in f}


def test_a_size_that_no_file_can_have_is_unknown(mount, own_web):
    own_web.put("list.json", b'[{"name": "blink.bin", "size": 18446744073709551615}]')
    repo = mount(web=f'url: "{own_web.url("plain")}", manifest: list.json')
    until(lambda: repo.images() == ["blink.bin"], "it is listed")
    assert (repo.dir / "blink.bin").read_bytes() == open(BLINK, "rb").read()
    assert repo.stat("blink.bin").st_size == os.path.getsize(BLINK)


def test_a_size_that_bytes_of_that_digest_cannot_have_is_told(mount, own_web):
    """The bytes are here by way of another entry, and are not as long as this one lists."""
    size, digest = os.path.getsize(BLINK), sha256(BLINK)
    listed = [{"name": name, "size": of, "sha256": digest}
              for name, of in (("right", size), ("longer", size + 1), ("shorter", size - 1))]
    own_web.put("list.json", json.dumps(listed).encode())
    for entry in listed:
        own_web.put(entry["name"], open(BLINK, "rb").read())
    repo = mount(web=f'url: "{own_web.url("plain")}", manifest: list.json')
    until(lambda: repo.images() == ["longer", "right", "shorter"], "it is listed")
    assert (repo.dir / "right").read_bytes() == open(BLINK, "rb").read()
    for name in ("longer", "shorter"):
        with pytest.raises(OSError) as e:
            (repo.dir / name).read_bytes()
        assert e.value.errno == errno.EBADMSG, name


def test_an_entry_without_a_name_is_left_out_and_told_once(mount, own_web):
    own_web.put("list.json", b'[{"size": 3}, {"name": "blink.bin"}, {"name": ""}]')
    repo = mount(web=f'url: "{own_web.url("plain")}", manifest: list.json, max-age: 1ms')
    assert repo.images() == ["blink.bin"], repo.read("error") + repo.fabric.log()
    assert repo.read("error") == ""
    own_web.put("list.json", b'[{"size": 3}, {"name": "upper.bin"}, {"size": 4}]')
    until(lambda: repo.images() == ["upper.bin"], "the other list")
    assert repo.fabric.log().count("without a name") == 1
    # A list of something else does not say that there are no images.
    own_web.put("list.json", b'[{"id": 3}]')
    until(lambda: repo.names() and "no entry has a name" in repo.read("error"), "it is not believed")
    assert repo.images() == ["upper.bin"]
    assert any("no entry has a name" in line for line in repo.fabric.log().splitlines())
    assert all(line.count("repository web:") <= 1 for line in repo.fabric.log().splitlines())


ROUNDED = 123_457


@pytest.fixture
def rounded(own_web):
    """Its pages say "121K"."""
    for i in range(20):
        own_web.put(f"big-{i}.bin", b"x" * (ROUNDED + i))
    with FaultProxy(own_web.address) as p:
        yield p


def test_a_rounded_size_is_asked_for_when_somebody_looks(mount, rounded):
    repo = mount(web=f'url: "{rounded.url}/rounded/"')
    for command in (["ls", "-R"], ["find"]):
        assert run([*command, str(repo.dir)]).returncode == 0
    assert rounded.count("HEAD") == 0
    assert repo.stat("big-3.bin").st_size == ROUNDED + 3
    assert repo.stat("big-3.bin").st_size == ROUNDED + 3
    assert rounded.count("HEAD") == 1
    done = run(["stat", "-c", "%s", *(str(repo.dir / f"big-{i}.bin") for i in range(20))])
    assert done.stdout.split() == [str(ROUNDED + i) for i in range(20)]
    assert rounded.count("HEAD") == 20
    # What was learnt stays, also over another listing and a restart.
    assert repo.refresh() == 0
    repo.fabric.restart()
    assert repo.stat("big-3.bin").st_size == ROUNDED + 3
    assert rounded.count("HEAD") == 20


def test_many_who_look_at_one_size_cost_one_request(mount, rounded):
    repo = mount(web=f'url: "{rounded.url}/rounded/"')
    assert len(repo.images()) == 21
    rounded.fault(match="HEAD", delay=0.5)
    many = [subprocess.Popen(["stat", "-c", "%s", str(repo.dir / "big-7.bin")], stdout=subprocess.PIPE, text=True)
            for _ in range(8)]
    assert {p.communicate()[0] for p in many} == {f"{ROUNDED + 7}\n"}
    assert rounded.count("HEAD") == 1


def test_a_server_that_knows_no_head_is_asked_for_a_byte(mount, rounded):
    rounded.fault(match="HEAD", status=405)
    repo = mount(web=f'url: "{rounded.url}/rounded/"')
    assert repo.stat("big-1.bin").st_size == ROUNDED + 1
    assert repo.stat("big-2.bin").st_size == ROUNDED + 2
    assert rounded.count("HEAD") == 1


def test_a_size_that_cannot_be_learnt_is_as_listed_and_asked_for_once(mount, rounded):
    rounded.fault(match="HEAD", status=403)
    repo = mount(web=f'url: "{rounded.url}/rounded/"')
    about = 121 * 1024
    assert [repo.stat(f"big-{i}.bin").st_size for i in range(20)] == [about] * 20
    assert rounded.count("HEAD") == 1


def test_a_cached_image_is_read_to_its_end_whatever_size_is_listed(mount, own_web):
    data = bytes(range(256)) * 485  # 124,160 bytes, shown as "121K", which is less
    for name in ("one.bin", "two.bin"):
        own_web.put(name, data)
    own_web.put("SHA256SUMS", "".join(f"{sha256(data)}  {name}\n" for name in ("one.bin", "two.bin")).encode())
    with FaultProxy(own_web.address) as proxy:
        repo = mount(web=f'url: "{proxy.url}/rounded/"')
        until(lambda: "two.bin" in repo.names(), "it is listed")
        assert (repo.dir / "one.bin").read_bytes() == data
        proxy.fault(match="HEAD|two.bin", status=403)
        for _ in range(2):
            assert run(["sha256sum", str(repo.dir / "two.bin")]).stdout.split()[0] == sha256(data)
        assert repo.stat("two.bin").st_size == len(data)


def test_a_size_that_is_not_that_of_the_digest_is_no_image(mount, own_web):
    data = bytes(range(256)) * 485
    own_web.put("one.bin", data)
    own_web.put("two.bin", data[:-1000])
    own_web.put("SHA256SUMS", "".join(f"{sha256(data)}  {name}\n" for name in ("one.bin", "two.bin")).encode())
    repo = mount(web=f'url: "{own_web.url("json")}"')
    until(lambda: "two.bin" in repo.names(), "it is listed")
    for first in ("two.bin", "one.bin", "two.bin"):
        if first == "one.bin":
            assert (repo.dir / first).read_bytes() == data
            continue
        with pytest.raises(OSError) as e:
            (repo.dir / first).read_bytes()
        assert e.value.errno == errno.EBADMSG


def test_who_waits_for_a_size_can_be_interrupted_and_unmounting_does_not_wait(mount, rounded):
    rounded.fault(match="HEAD", hang=True)
    repo = mount(web=f'url: "{rounded.url}/rounded/"')
    assert len(repo.images()) == 21
    waiting = subprocess.Popen(["stat", str(repo.dir / "big-1.bin")], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    until(lambda: rounded.count("HEAD") == 1, "it is asked for")
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(10) != 0
    subprocess.Popen(["stat", str(repo.dir / "big-2.bin")], stdout=subprocess.DEVNULL,
                     stderr=subprocess.DEVNULL)
    until(lambda: rounded.count("HEAD") == 2, "the other is asked for")
    subprocess.run(["umount", "-f", "-l", str(repo.fabric.mount)], check=True)
    assert repo.fabric.process.wait(10) == 0
    repo.fabric.process = None


# --- what a listing does not show --------------------------------------------------------

@pytest.fixture
def bare(own_web):
    """Python's own server: its page has names and nothing else. (its folder, its address, what it was asked)"""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=own_web.root)

        def log_message(self, *args):
            asked.append(f"{self.command} {self.path}")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield own_web, f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def minutes(own_web):
    """nginx shows minutes: the same three."""
    with FaultProxy(own_web.address) as p:
        yield own_web, f"{p.url}/html/", p


def put_at(web, data, seconds):
    """Versions of one size, some seconds apart within one minute."""
    path = web.put("v.bin", data)
    when = int(time.time()) // 60 * 60 - 600 + seconds
    os.utime(path, (when, when))
    return when


@pytest.mark.parametrize("kind", ["bare", "minutes"])
def test_a_new_version_that_the_listing_cannot_show_is_read_after_the_next_one(mount, request, kind):
    web, url, _ = request.getfixturevalue(kind)
    versions = [bytes([i]) * 100_000 for i in range(4)]
    put_at(web, versions[0], 5)
    repo = mount(web=f'url: "{url}"')
    for i, data in enumerate(versions):
        when = put_at(web, data, 5 + 10 * i)
        assert repo.refresh() == 0, repo.read("error")
        assert (repo.dir / "v.bin").read_bytes() == data, i
        assert (repo.dir / "v.bin").read_bytes() == data, i
        if i:
            assert repo.stat("v.bin").st_mtime == when
    # Also by those who never saw the one before, and when it is shorter.
    repo.fabric.stop()
    put_at(web, versions[0], 50)
    repo.fabric.start()
    assert repo.refresh() == 0
    assert (repo.dir / "v.bin").read_bytes() == versions[0]
    put_at(web, versions[1][:50_000], 55)
    assert repo.refresh() == 0
    assert (repo.dir / "v.bin").read_bytes() == versions[1][:50_000]
    assert repo.stat("v.bin").st_size == 50_000


def test_an_image_that_did_not_change_costs_one_short_request_after_each_listing(mount, minutes):
    web, url, proxy = minutes
    put_at(web, b"v" * 100_000, 5)
    repo = mount(web=f'url: "{url}"')
    for _ in range(3):
        assert repo.refresh() == 0
        for _ in range(3):
            assert (repo.dir / "v.bin").read_bytes() == b"v" * 100_000
    assert proxy.count("HEAD") == 2  # the first time nothing of it was here
    assert proxy.sent("GET .*v.bin") == 100_000
    web.stop()
    assert (repo.dir / "v.bin").read_bytes() == b"v" * 100_000
    assert repo.refresh() == errno.EREMOTEIO
    assert (repo.dir / "v.bin").read_bytes() == b"v" * 100_000
    assert proxy.count("HEAD") == 2


@pytest.mark.parametrize("sums", [False, True])
def test_a_time_that_no_page_shows_is_told_by_looking(mount, bare, sums):
    web, url, asked = bare
    when = put_at(web, b"v" * 1000, 5)
    if sums:
        web.put("SHA256SUMS", f"{sha256(b'v' * 1000)}  v.bin\n".encode())
    repo = mount(web=f'url: "{url}"')
    for _ in range(2):
        assert repo.stat("v.bin").st_mtime == when
        assert repo.stat("v.bin").st_size == 1000
        assert repo.refresh() == 0
    assert sum(line.startswith("HEAD") for line in asked) == 1
    repo.fabric.restart()
    assert repo.stat("v.bin").st_mtime == when


def test_who_opens_an_image_that_may_be_another_can_be_interrupted(mount, minutes):
    web, url, proxy = minutes
    put_at(web, b"v" * 1000, 5)
    repo = mount(web=f'url: "{url}"')
    assert (repo.dir / "v.bin").read_bytes() == b"v" * 1000
    assert repo.refresh() == 0
    proxy.fault(match="HEAD", hang=True)
    waiting = subprocess.Popen(["cat", str(repo.dir / "v.bin")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: proxy.count("HEAD") == 1, "it is asked for")
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(10) != 0
    # Who waits on has what is here before the request is given up, and so has who comes then.
    for _ in range(3):
        assert (repo.dir / "v.bin").read_bytes() == b"v" * 1000


# --- who asks --------------------------------------------------------------------------

def test_a_password_and_a_token_come_from_files(mount, web, tmp_path):
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "token").write_text(TOKEN + "\n")
    for name in ("password", "token"):
        os.chmod(tmp_path / name, 0o600)
    basic, bearer = mount(
        basic=f'url: "{web.url("basic")}", user: {USER}, password-file: {tmp_path}/password',
        bearer=f'url: "{web.url("bearer")}", token-file: {tmp_path}/token')
    for repo in (basic, bearer):
        assert repo.images() == ["blink.bin", "upper.bin"], repo.read("error")


def test_wrong_credentials_are_told_once_and_not_tried_again(mount, own_web, tmp_path):
    (tmp_path / "password").write_text("not it\n")
    os.chmod(tmp_path / "password", 0o600)
    repo = mount(web=f'url: "{own_web.url("basic")}", user: {USER}, password-file: {tmp_path}/password')
    assert repo.names() == [".repo"]
    assert repo.refresh() == errno.EACCES
    assert "the credentials are refused" in repo.read("error")
    assert repo.read("state") == "online\n"
    assert {line.split()[2] for line in own_web.log()} == {"401"}
    assert len(own_web.log()) <= 4


@pytest.mark.parametrize("way", ["password", "token"])
def test_credentials_that_were_written_are_read_again_before_a_listing(mount, web, tmp_path, way):
    secret = tmp_path / way
    secret.write_text("not-the-Right-one\n")
    secret.chmod(0o600)
    url, good, keys = {"password": (web.url("basic"), PASSWORD, f"user: {USER}, password-file: {secret}"),
                       "token": (web.url("bearer"), TOKEN, f"token-file: {secret}")}[way]
    repo = mount(web=f'url: "{url}", {keys}')
    assert repo.refresh() == errno.EACCES
    secret.write_text("")
    assert repo.refresh() == errno.EACCES
    assert "cannot be read" in repo.read("error") and "cannot be read" in repo.fabric.log()
    secret.write_text(good + "\n")
    assert repo.refresh() == 0, repo.read("error")
    assert repo.images() == ["blink.bin", "upper.bin"] and repo.read("error") == ""
    assert (repo.dir / "blink.bin").read_bytes() == open(BLINK, "rb").read()
    shown = repo.fabric.log()
    assert good not in shown and "not-the-Right-one" not in shown


def test_a_client_certificate_that_was_written_is_read_again_before_a_listing(mount, web, tmp_path):
    own = [tmp_path / "client.pem", tmp_path / "client.key"]

    def write(paths):
        for there, here in zip(paths, own):
            here.write_bytes(there.read_bytes())
            here.chmod(0o600)
    write(Authority(tmp_path / "other").certify("client"))
    repo = mount(web=f'url: "https://127.0.0.1:{web.client_port}/json/", cacert: {web.authority.cacert}, '
                     f"cert: {own[0]}, key: {own[1]}")
    assert repo.refresh() not in (0, None)
    # A certificate whose key is still to come takes nobody's place.
    write(web.client[:1])
    assert repo.refresh() not in (0, None)
    assert "it does not belong to the certificate" in repo.fabric.log()
    write(web.client)
    assert repo.refresh() == 0, repo.read("error")
    assert repo.images() == ["blink.bin", "upper.bin"]


def test_what_is_missing_in_the_configuration_is_said(mount, web):
    """The key to write is in the sentence."""
    urls = {"login": web.url("basic"), "certificate": f"https://127.0.0.1:{web.client_port}/html/",
            "plain": web.url("html", tls=True).replace("https:", "http:"), "authority": web.url("html", tls=True),
            "file": web.url("html") + "blink.bin", "index": web.url("plain"),
            "no tls": web.url("html").replace("http:", "https:")}
    more = {"certificate": f", cacert: {web.authority.cacert}"}
    repos = mount(**{name.replace(" ", "-"): f'url: "{url}"{more.get(name, "")}' for name, url in urls.items()})
    wanted = {"login": "it wants credentials: user and password-file, or token-file", "authority": "cacert tells",
              "certificate": "does it want a client's certificate?", "plain": "does it want https?",
              "file": "has to be the address of a folder", "index": "A manifest can take its place",
              "no tls": "does it speak http:// only?"}
    for name, repo in zip(urls, repos):
        answered(repo)
        assert wanted[name] in repo.read("error"), name


def test_no_secret_is_ever_shown(mount, web, tmp_path):
    (tmp_path / "password").write_text(PASSWORD + "\n")
    os.chmod(tmp_path / "password", 0o600)
    repo = mount(web=f'url: "http://127.0.0.1:1/", user: {USER}, password-file: {tmp_path}/password',
                 good=f'url: "{web.url("basic")}", user: {USER}, password-file: {tmp_path}/password')[1]
    assert repo.images() == ["blink.bin", "upper.bin"]
    dead = Repo(repo.fabric, "web")
    assert dead.refresh() == errno.EHOSTUNREACH
    shown = repo.fabric.log() + dead.read("error") + dead.read("state") + repo.fabric.read("status.json")
    for pid in repo.fabric.processes():
        shown += open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace").read()
        shown += open(f"/proc/{pid}/environ", encoding="utf-8", errors="replace").read()
    state = b"".join(p.read_bytes() for p in repo.fabric.state_dir.rglob("*") if p.is_file())
    basic = "ZnBnYTpwYXNzOndvcmQ"  # the beginning of its base64
    for secret in (PASSWORD, basic):
        assert secret not in shown and secret.encode() not in state


# --- whom to trust ---------------------------------------------------------------------

def test_tls_of_an_own_authority_with_http_2(mount, own_web):
    repo = mount(web=f'url: "{own_web.url("json", tls=True)}", cacert: {own_web.authority.cacert}')
    assert repo.images() == ["blink.bin"], repo.read("error")
    assert own_web.log()[-1].split()[4] == "HTTP/2.0"


def test_who_is_not_trusted_gets_no_request(mount, web):
    cacert = f"cacert: {web.authority.cacert}"
    expired = f"https://127.0.0.1:{web.expired_port}/json/"
    before = len(web.log())
    repos = mount(unknown=f'url: "{web.url("json", tls=True)}"', expired=f'url: "{expired}", {cacert}',
                  other=f'url: "https://127.0.0.2:{web.tls_port}/json/", {cacert}')
    for repo, why in zip(repos, ("certificate", "expired", "")):
        assert repo.names() == [".repo"]
        assert repo.refresh() == errno.EHOSTUNREACH
        assert why in repo.read("state") and repo.read("state").startswith("offline since ")
    assert len(web.log()) == before


def test_verify_false_trusts_everybody_and_says_so(mount, web):
    repo = mount(web=f'url: "https://127.0.0.1:{web.expired_port}/json/", verify: false')
    assert repo.images() == ["blink.bin", "upper.bin"]
    assert "verify is false" in repo.fabric.log()


def test_a_client_certificate_opens_a_server_that_wants_one(mount, web):
    cert, key = web.client
    url = f"https://127.0.0.1:{web.client_port}/json/"
    cacert = f"cacert: {web.authority.cacert}"
    with_it, without = mount(a=f'url: "{url}", {cacert}, cert: {cert}, key: {key}', b=f'url: "{url}", {cacert}')
    assert with_it.images() == ["blink.bin", "upper.bin"], with_it.read("error")
    assert without.names() == [".repo"]


def test_a_client_certificate_is_not_shown_where_a_redirect_leads_to(mount, own_web):
    cert, key = own_web.client
    keys = f"cacert: {own_web.authority.cacert}, cert: {cert}, key: {key}"
    # It is asked for there, and shown by who is sent there by the configuration.
    direct = mount(web=f'url: "https://127.0.0.1:{own_web.optional_port}/json/", {keys}')
    until(lambda: direct.images() == ["blink.bin"], "it is listed")
    assert set(own_web.shown()) == {"SUCCESS"}
    before = len(own_web.shown())
    led = mount(web=f'url: "https://127.0.0.1:{own_web.client_port}/away/", {keys}')
    until(lambda: led.images() == ["blink.bin"], "it is listed")
    assert (led.dir / "blink.bin").read_bytes() == open(BLINK, "rb").read()
    assert len(own_web.shown()) > before + 1
    assert set(own_web.shown()[before:]) == {"NONE"}


def test_a_redirect_does_not_lead_out_of_encryption(mount, own_web):
    repo = mount(web=f'url: "https://127.0.0.1:{own_web.tls_port}/plainly/", cacert: {own_web.authority.cacert}')
    assert repo.refresh() == errno.EBADMSG
    assert "which is not encrypted" in repo.read("error")
    assert repo.images() == []
    # From http to http it is followed.
    repo = mount(web=f'url: "http://127.0.0.1:{own_web.port}/plainly/"')
    until(lambda: repo.images() == ["blink.bin"], "it is listed")


def test_a_key_that_is_not_its_certificates_is_told_before_mounting(fpga, web, tmp_path):
    fabric = fpga.make(config=config(
        web=f'url: "https://h/", cert: {web.client[0]}, key: {web.authority.folder}/server.key'))
    fabric.expect_errors = True
    done = run([*fabric.argv()], env=fabric.env)
    assert done.returncode == 1
    assert "it does not belong to the certificate" in done.stderr


# --- servers that are away, slow or wrong ------------------------------------------------

def test_a_dead_server_is_offline_in_bounded_time_and_comes_back(mount, own_web):
    repo = mount(web=f'url: "{own_web.url("json")}"')
    assert repo.images() == ["blink.bin"]
    own_web.stop()
    assert repo.refresh() == errno.EHOSTUNREACH
    assert re.match(r"offline since \d{4}-\d\d-\d\dT[0-9:.]+Z: ", repo.read("state"))
    assert repo.images() == ["blink.bin"], "the listing is as it was"
    own_web.start()
    assert repo.refresh() == 0
    assert repo.read("state") == "online\n"


def test_a_name_that_nobody_knows_is_offline(mount):
    repo = mount(web='url: "http://no-such-host.invalid/x/"')
    assert repo.names() == [".repo"]
    assert repo.refresh() == errno.EHOSTUNREACH
    assert "no-such-host.invalid" in repo.read("state")


LIST_FAULTS = {
    # fault: (errno of a refresh, most requests for the page, a word of the error)
    "busy for good": (dict(status=503), errno.EREMOTEIO, 5, "503"),
    "busy for an hour": (dict(status=429, retry_after=3600), errno.EREMOTEIO, 1, "429"),
    "busy for an hour, as a date": (dict(status=503, retry_date=3600), errno.EREMOTEIO, 1, "503"),
    "busy once": (dict(status=503, retry_after=0, times=1), 0, 2, ""),
    "busy once, as a date": (dict(status=429, retry_date=0, times=1), 0, 2, ""),
    "a login page": (dict(page=True), errno.EBADMSG, 1, "Please log in"),
    "unasked gzip": (dict(gzip=True), errno.EBADMSG, 1, "gzip"),
    "cut always": (dict(cut=20), errno.EREMOTEIO, 5, "broke"),
    "closed once": (dict(close=True, times=1), 0, 2, ""),
    "reset once": (dict(reset=10, times=1), 0, 2, ""),
    "never answered": (dict(hang=True), errno.ETIMEDOUT, 2, "nothing"),
    "stall": (dict(stall=10), errno.ETIMEDOUT, 2, "nothing"),
    "slow loris": (dict(loris=0.05), errno.ETIMEDOUT, 2, "nothing"),
    "forbidden": (dict(status=403), errno.EACCES, 1, "403"),
    "gone": (dict(status=404), errno.ENOENT, 1, "404"),
    "300 ms away": (dict(delay=0.3), 0, 1, ""),
    "redirected to itself": (dict(redirect=""), errno.EREMOTEIO, 9, "circles"),
}


@pytest.mark.parametrize("name", LIST_FAULTS)
def test_a_listing_meets_a_fault_with_bounded_requests(mount, proxy, name):
    fault, wanted, most, word = LIST_FAULTS[name]
    repo = mount(web=f'url: "{proxy.url}/json/", checksums: none')
    assert repo.images() == ["blink.bin", "upper.bin"]
    proxy.forget()
    proxy.fault(match="GET /json/$", **fault)
    problem = repo.refresh()
    assert problem == wanted, repo.read("error")
    assert proxy.count("GET /json/$") <= most, proxy.requests
    assert word in repo.read("error")
    # What was listed stays.
    assert repo.images() == ["blink.bin", "upper.bin"]
    assert repo.read("state") == "online\n"
    proxy.heal()
    assert repo.refresh() == 0
    assert repo.read("error") == ""


def test_progress_tells_the_listed_size_before_a_byte_came(mount, proxy):
    repo = mount(web=f'url: "{proxy.url}/json/"')
    assert "blink.bin" in repo.images()
    proxy.fault(match="blink.bin", hang=True)
    card = repo.fabric.card()
    copying = subprocess.Popen(["cp", str(repo.dir / "blink.bin"), str(card.image)], stderr=subprocess.DEVNULL)
    until(lambda: proxy.count("blink.bin"), "it is asked for")
    assert card.read("progress") == f"receiving 0 {os.stat(BLINK).st_size} 0%\n"
    copying.send_signal(signal.SIGINT)
    assert copying.wait(30) != 0
    until(lambda: card.read("progress") == "idle 0 0 0%\n", "it is over")


@pytest.mark.parametrize("cached", [False, True])
def test_bytes_that_no_digest_vouches_for_are_fetched_again_when_they_prove_damaged(fpga, own_web, cached):
    """One bit flipped on the way: the card refuses it, and the next copy is not of the same bytes."""
    large = open(HX8K, "rb").read()  # of more than one chunk: its end is not seen with its beginning
    own_web.put("large.bin", large)
    with FaultProxy(own_web.address) as proxy:
        fabric = fpga(sim=None, config="cards:\n  - {name: small, backend: sim}\n  - {name: large, backend: sim, "
                                       "part: iCE40-HX8K}\n" + config(web=f'url: "{proxy.url}/json/"'))
        repo = Repo(fabric, "web")
        for number, name, at in ((0, "blink.bin", 1000), (1, "large.bin", 100_000)):
            card = fabric.card(number)
            proxy.fault(match=name, flip=at)
            if cached:
                (repo.dir / name).read_bytes()
            assert "Bad message" in run(["cp", str(repo.dir / name), str(card.image)]).stderr
            assert "damaged" in card.error
            proxy.heal()
            assert run(["cp", str(repo.dir / name), str(card.image)]).returncode == 0, card.error
            assert card.sha == sha256(open(BLINK, "rb").read() if number == 0 else large)


def test_credentials_do_not_follow_to_another_host(mount, web, proxy, tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    os.chmod(tmp_path / "token", 0o600)
    with FaultProxy(web.address) as other:
        proxy.fault(redirect=other.url)
        repo = mount(web=f'url: "{proxy.url}/json/", token-file: {tmp_path}/token')
        assert repo.images() == ["blink.bin", "upper.bin"]
        assert all(r.headers.get("authorization") == f"Bearer {TOKEN}" for r in proxy.requests)
        assert other.count() > 0
        assert not [r for r in other.requests if "authorization" in r.headers]


def test_a_dead_server_does_not_slow_another(mount, web):
    with FaultProxy(web.address) as stuck:
        stuck.fault(hang=True)
        good, dead = mount(good=f'url: "{web.url("json")}"', dead=f'url: "{stuck.url}/json/"')
        waiting = subprocess.Popen(["sh", "-c", f"echo > {dead.meta}/refresh"], stderr=subprocess.DEVNULL)
        try:
            assert good.images() == ["blink.bin", "upper.bin"]
            for _ in range(5):
                assert good.refresh() == 0
            assert waiting.poll() is None, "the dead one is still being asked"
        finally:
            waiting.wait(30)
