# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between the mirror and a cloud, by a cloud that does it on demand (servers/fake_cloud.py)."""
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness import SLOW, run, until
from test_remote_listing import Repo

sys.path.insert(0, str(Path(__file__).resolve().parent / "servers"))
from fake_cloud import FakeCloud  # noqa: E402

DATA = bytes(range(256)) * 400


@pytest.fixture
def fake():
    cloud = FakeCloud()
    cloud.first = cloud.image("first.bit", DATA)
    cloud.second = cloud.image("second.bit", DATA[:777])
    yield cloud
    cloud.stop()


@pytest.fixture
def mirror(fpga, fake, tmp_path):
    """Its repository; list() is asked only when a test wants it."""
    def make(more="", **kw):
        secret = tmp_path / "secret"
        secret.write_text(fake.password + "\n")
        secret.chmod(0o600)
        fabric = fpga(config=f"repositories:\n  glance: {{kind: glance, auth-url: '{fake.url}', username: al, "
                             f"password-file: {secret}, project: fpga, max-age: 1h{more}}}\n"
                             "cache: {connect-timeout: 1s, offline-timeout: 2s}\n", **kw)
        repo = Repo(fabric, "glance")
        repo.fabric = fabric
        return repo
    return make


@pytest.mark.parametrize("prefix, odd", [("", None), ("", "absolute"), ("", "empty"), ("/image", None),
                                         ("/image", "absolute"), ("/image", "prefixed")])
def test_pages_are_followed_in_every_form_that_servers_have(mirror, fake, prefix, odd):
    fake.page, fake.prefix, fake.odd = 1, prefix, odd
    repo = mirror()
    assert repo.refresh() == 0, repo.read("error")
    assert repo.images() == ["first.bit", "second.bit"]


@pytest.mark.parametrize("odd, sentence", [
    ("elsewhere", "is at another address"), ("circle", "leads back to where it was"),
    ("itself", "leads back to where it was"), ("html", "not a list of images")])
def test_pages_that_lead_nowhere_end_and_what_was_listed_stays(mirror, fake, odd, sentence):
    repo = mirror()
    assert repo.refresh() == 0
    fake.odd, fake.page = odd, 1
    fake.log.clear()
    assert repo.refresh() == errno.EBADMSG
    assert sentence in repo.read("error")
    assert repo.images() == ["first.bit", "second.bit"]
    assert len(fake.log) < 10
    assert repo.read("state") == "online\n"
    fake.odd = None
    assert repo.refresh() == 0
    assert repo.read("error") == ""


def test_a_page_whose_first_image_was_deleted_begins_the_listing_anew(mirror, fake):
    extra = [fake.image(f"x{n}.bit") for n in range(9)]
    fake.page = 4
    plain = fake.list

    def once(handler, query):
        if "marker" in query:
            fake.list = plain
            del fake.images[query["marker"]]
        plain(handler, query)
    fake.list = once
    repo = mirror()
    assert repo.refresh() == 0, repo.read("error")
    assert len(repo.images()) in (10, 11) and len(extra) == 9
    assert [line for line in fake.log if line[2] == 400]
    assert repo.refresh() == 0
    assert len(repo.images()) == 10


def test_a_token_that_ended_is_replaced_by_one_login(mirror, fake):
    repo = mirror()
    assert repo.refresh() == 0
    logins = fake.logins()
    fake.expire()
    assert repo.refresh() == 0
    assert repo.read("error") == ""
    assert fake.logins() == logins + 1


def test_a_token_is_renewed_before_it_ends(mirror, fake):
    fake.lifetime = 5  # as it says; the fake takes it for longer
    repo = mirror()
    assert repo.refresh() == 0
    until(lambda: repo.refresh() == 0 and fake.logins() >= 2, "another login")
    assert fake.asked("GET") and not [line for line in fake.log if line[2] == 401]


def test_a_service_that_takes_no_token_at_all_is_asked_a_few_times_only(mirror, fake):
    repo = mirror()
    assert repo.refresh() == 0
    fake.refuse = True
    fake.log.clear()
    for _ in range(5):
        assert repo.refresh() == errno.EACCES
    assert "401" in repo.read("error")
    assert fake.logins() <= 1 and len(fake.log) <= 8
    assert repo.images() == ["first.bit", "second.bit"]


@pytest.mark.parametrize("what", ["login", "list", "data"])
def test_a_cloud_that_is_busy_is_asked_again(mirror, fake, what):
    repo = mirror()
    assert repo.refresh() == 0
    if what == "login":
        fake.expire()
    fake.busy["POST" if what == "login" else "GET"] = 2
    if what == "data":
        assert (repo.dir / "first.bit").read_bytes() == DATA
    else:
        assert repo.refresh() == 0, repo.read("error")
    assert len([line for line in fake.log if line[2] == 503]) == 2
    assert repo.read("state") == "online\n"
    assert int(repo.stats()["retries"]) >= 2


# --- who asks ----------------------------------------------------------------------------------

WRONG = "not-the-Secret"


def test_a_login_that_may_have_been_judged_is_not_sent_again_until_one_has_succeeded(mirror, fake):
    """A gateway that says 502 or 504 does not know; a wrong password would be counted each time."""
    fake.busy, fake.busy_status = {"POST": 1000}, 504
    repo = mirror()
    for _ in range(2):
        fake.log.clear()
        assert repo.refresh() == errno.EREMOTEIO
        assert "504" in repo.read("error")
        assert len(fake.log) == 1
    fake.busy = {}
    assert repo.refresh() == 0
    # These credentials are good: sent again they harm nobody.
    fake.expire()
    fake.busy = {"POST": 2}
    assert repo.refresh() == 0, repo.read("error")


@pytest.mark.parametrize("way", ["password-file", "secure.yaml", "token-file"])
def test_refused_credentials_are_read_again_when_their_file_was_written(fpga, fake, tmp_path, way):
    fake.tokens.add("own-token")
    good = "own-token" if way == "token-file" else fake.password
    secret = tmp_path / "secret"
    keys = f"auth-url: '{fake.url}', username: al, project: fpga, password-file: {secret}"

    def write(text):
        secret.write_text(text + "\n")
        secret.chmod(0o600)
    if way == "secure.yaml":
        (tmp_path / "clouds.yaml").write_text(f"clouds: {{lab: {{auth: {{auth_url: '{fake.url}', username: al, "
                                              "project_name: fpga}}}\n")
        (tmp_path / "clouds.yaml").chmod(0o600)
        keys = f"clouds-file: {tmp_path}/clouds.yaml"
        secret = tmp_path / "secure.yaml"
        wrong, good = (f"clouds: {{lab: {{auth: {{password: {p}}}}}}}" for p in (WRONG, good))
    else:
        wrong = WRONG
    if way == "token-file":
        keys = f"endpoint: '{fake.url}', token-file: {secret}"
    write(wrong)
    fabric = fpga(config=f"repositories:\n  glance: {{kind: glance, max-age: 1h, {keys}}}\n")
    repo = Repo(fabric, "glance")
    for _ in range(3):
        assert repo.refresh() == errno.EACCES
    assert way == "token-file" or fake.logins() == 1
    # What is written has to be readable.
    write("" if way != "secure.yaml" else "clouds: [")
    asked = fake.logins()
    assert repo.refresh() == errno.EACCES
    assert fake.logins() == asked and "cannot be read" in fabric.log()
    assert way == "token-file" or "cannot be read" in repo.read("error")
    write(good)
    assert repo.refresh() == 0, repo.read("error")
    assert repo.images() == ["first.bit", "second.bit"] and repo.read("error") == ""
    assert fake.logins() == (0 if way == "token-file" else 2)
    places = fabric.log() + repo.read("error")
    assert WRONG not in places and fake.password not in places and "own-token" not in places


def test_a_file_that_only_the_start_could_read_is_read_by_another_worker(mirror, fake, tmp_path):
    """A worker keeps fewer rights than it reads the files with: of another user's it says so."""
    good, fake.password = fake.password, "old-Secret"
    repo = mirror()  # writes the file with the password of now
    fake.password = good
    fake.expire()
    secret = tmp_path / "secret"
    assert repo.refresh() == errno.EACCES
    secret.write_text(good + "\n")
    os.chown(secret, 65534, 65534)
    assert repo.refresh() == errno.EACCES
    assert "cannot be read" in repo.read("error") and "Permission denied" in repo.read("error")
    assert repo.fabric.kill("fabricfs-worker") == 1
    until(lambda: repo.refresh() == 0, "the next one has read it")


def test_what_is_forbidden_is_not_what_is_refused(mirror, fake):
    """A policy or a gateway says 403: no account is locked by that, and it is tried again when somebody asks."""
    repo = mirror()
    assert repo.refresh() == 0
    fake.expire()
    fake.forbid = {"POST"}
    fake.log.clear()
    assert repo.refresh() == errno.EACCES
    assert "forbidden (403)" in repo.read("error")
    asked = fake.logins()
    for _ in range(5):  # readers do not have it tried each time
        with pytest.raises(PermissionError):
            (repo.dir / "first.bit").read_bytes()
    assert fake.logins() <= asked + 1
    fake.forbid = set()
    assert repo.refresh() == 0, repo.read("error")
    fake.forbid = {"GET"}
    assert repo.refresh() == errno.EACCES
    logins = fake.logins()
    fake.forbid = set()
    assert repo.refresh() == 0, repo.read("error")
    assert fake.logins() == logins


def test_strange_records_do_not_hide_the_others(mirror, fake):
    fake.image("no id", id="../x")
    fake.image("much.bit", DATA, description="x" * (3 << 20))
    fake.image("nul\0inside.bit", DATA)
    fake.image("\ud800.bit", DATA)
    fake.image("numbers.bit", DATA, size="many", updated_at="soon", os_hash_value="zz", checksum=7)
    repo = mirror()
    assert repo.refresh() == 0, repo.read("error")
    assert repo.images() == ["first.bit", "nul%00inside.bit", "numbers.bit", "second.bit"]
    for _ in range(3):
        assert repo.refresh() == 0
    assert repo.fabric.log().count("images are left out") == 1


@pytest.mark.parametrize("token", [None, "a-token-of-my-own"])
def test_a_service_without_keystone_is_asked_at_its_address(fpga, fake, tmp_path, token):
    """With a token that is used as it is, or with none; nobody can give another one when it is refused."""
    fake.tokens.add(token)
    more = ""
    if token:
        (tmp_path / "token").write_text(token)
        (tmp_path / "token").chmod(0o600)
        more = f", token-file: {tmp_path}/token"
    repo = Repo(fpga(config=f"repositories:\n  glance: {{kind: glance, endpoint: '{fake.url}/v2/'{more}}}\n"), "glance")
    assert repo.refresh() == 0, repo.read("error")
    assert (repo.dir / "first.bit").read_bytes() == DATA
    fake.expire()
    fake.log.clear()
    for _ in range(3):
        assert repo.refresh() == errno.EACCES
    assert "the token" in repo.read("error") if token else "without a token" in repo.read("error")
    assert len(fake.log) == 3 and fake.logins() == 0


@pytest.mark.parametrize("mode, told", [(0o600, 0), (0o640, 2), (0o604, 2)])
def test_files_with_secrets_that_others_may_read_are_told(fpga, fake, tmp_path, mode, told):
    (tmp_path / "clouds.yaml").write_text(f"clouds: {{lab: {{auth: {{auth_url: '{fake.url}', username: al, "
                                          "project_name: fpga}}}\n")
    (tmp_path / "secure.yaml").write_text(f"clouds: {{lab: {{auth: {{password: {fake.password}}}}}}}\n")
    for path in tmp_path.glob("*.yaml"):
        path.chmod(mode)
    fabric = fpga(config=f"repositories:\n  glance: {{kind: glance, clouds-file: {tmp_path}/clouds.yaml}}\n")
    assert Repo(fabric, "glance").refresh() == 0
    assert fabric.log().count("others may read it") == told


@pytest.mark.parametrize("text, sentence", [
    ("clouds: {lab: {auth_type: v3oidcpassword}}", "auth_type 'v3oidcpassword' is not known here"),
    ("clouds: {a: {}, b: {}}", "has several clouds"), ("clouds: [", "clouds.yaml:"), (None, "clouds.yaml")])
def test_a_clouds_yaml_that_cannot_be_used_ends_the_start_with_a_sentence(fpga, tmp_path, text, sentence):
    path = tmp_path / "clouds.yaml"
    if text:
        path.write_text(text)
        path.chmod(0o600)
    fabric = fpga.make(config=f"repositories:\n  glance: {{kind: glance, clouds-file: {path}}}\n")
    done = run(fabric.argv(), env=fabric.env)
    assert done.returncode == 1
    assert "repository 'glance'" in done.stderr and sentence in done.stderr


@pytest.mark.parametrize("part", ["all", "glance"])
def test_a_cloud_that_is_away_is_offline(mirror, fake, part):
    repo = mirror()
    assert repo.refresh() == 0
    good = fake.url
    if part == "glance":
        # The catalogue leads nowhere from now on; Keystone is there.
        fake.expire()
        fake.url = "http://127.0.0.1:9"
    else:
        fake.stop()
    assert repo.refresh() == errno.EHOSTUNREACH
    assert repo.read("state").startswith("offline since ")
    assert repo.images() == ["first.bit", "second.bit"]
    if part == "glance":
        # An image service that moved is found where the catalogue has it now.
        fake.url = good
        assert repo.refresh() == 0
        assert repo.read("state") == "online\n"


def test_100000_images_are_listed_by_a_request_per_thousand_and_no_data(mirror, fake):
    many = 100000 if SLOW == 1 else 10000  # sanitizers see no more in more
    for n in range(many - 2):
        fake.image(f"bulk-{n:06d}.bit", b"", size=n, fpga_part="xc7a35t")
    repo = mirror()
    assert repo.refresh() == 0, repo.read("error")
    # The listing at the start may have been another one.
    assert len(fake.asked("GET /v2/images")) <= 2 * (many // 1000 + 1) and not fake.asked("/file")
    assert repo.stats()["images"] == str(many)
    done = run(["bash", "-c", f"ls -U {repo.dir} | wc -l"], timeout=120 * SLOW)
    assert done.stdout.strip() == str(many), done.stderr
    fake.log.clear()
    assert os.stat(repo.dir / "bulk-005000.bit").st_size == 5000
    assert not fake.log


# --- reading -----------------------------------------------------------------------------------

def read(path, results):
    try:
        results.append(path.read_bytes())
    except OSError as e:
        results.append(e.errno)


def test_50_readers_at_the_end_of_a_token_cause_one_login_and_fetch_each_byte_once(mirror, fake):
    data = os.urandom(3 << 20)
    ident = fake.image("large.bit", data)
    repo = mirror()
    assert repo.refresh() == 0
    logins = fake.logins()
    fake.expire()
    results = []
    readers = [threading.Thread(target=read, args=(repo.dir / "large.bit", results)) for _ in range(50)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(results) == 50 and all(r == data for r in results), {r for r in results if isinstance(r, int)}
    assert fake.logins() == logins + 1
    assert fake.sent[ident] == len(data)


def test_a_token_that_ends_while_data_come_is_replaced_and_nothing_is_fetched_twice(mirror, fake):
    data = os.urandom(3 << 20)
    ident = fake.image("large.bit", data)
    repo = mirror()
    assert repo.refresh() == 0
    plain = fake.data

    def expiring(handler, *image):
        fake.data = plain
        fake.expire()
        plain(handler, *image)
    fake.data, fake.cut = expiring, 1  # the connection breaks half way, and the token is not good any more
    assert (repo.dir / "large.bit").read_bytes() == data
    assert fake.sent[ident] == len(data)
    assert fake.logins() == 2


def test_bytes_that_are_not_those_of_the_digest_are_refused(mirror, fake):
    """The server's own MD5 fits; os_hash_value, which is asked first, does not."""
    fake.image("wrong.bit", DATA, os_hash_value="0" * 128)
    repo = mirror()
    repo.fabric.expect_errors = True
    assert repo.refresh() == 0
    with pytest.raises(OSError) as told:
        (repo.dir / "wrong.bit").read_bytes()
    assert told.value.errno == errno.EBADMSG
    assert '"image-refused"' in (repo.fabric.mount / "events").read_text()


def test_another_image_under_the_same_id_is_stale(mirror, fake):
    """That cannot be in Glance; a proxy that mixes up answers can do it."""
    repo = mirror()
    assert repo.refresh() == 0
    record, data = fake.images[fake.first]
    fake.images[fake.first] = (dict(record, checksum="0" * 32), data)
    with pytest.raises(OSError) as told:
        (repo.dir / "first.bit").read_bytes()
    assert told.value.errno == errno.ESTALE


def test_a_worker_killed_while_data_come_goes_on_with_a_login_of_its_own(mirror, fake):
    data = os.urandom(3 << 20)
    fake.image("large.bit", data)
    repo = mirror()
    assert repo.refresh() == 0
    fake.hold = threading.Event()
    results = []
    reader = threading.Thread(target=read, args=(repo.dir / "large.bit", results))
    reader.start()
    until(lambda: fake.asked("/file"), "data are asked for")
    assert repo.fabric.kill("fabricfs-worker") == 1
    fake.hold.set()
    reader.join()
    assert results == [data]
    assert fake.logins() == 2


@pytest.mark.parametrize("what", ["login", "data"])
def test_who_waits_for_a_server_that_says_nothing_can_go_and_so_can_the_mount(mirror, fake, what):
    repo = mirror()
    assert repo.refresh() == 0
    if what == "login":
        fake.expire()
        fake.hold_login = threading.Event()
    else:
        fake.hold = threading.Event()
    with subprocess.Popen(["cat", str(repo.dir / "first.bit")], stdout=subprocess.DEVNULL) as reader:
        until(lambda: fake.asked("/file"), "data are asked for")
        reader.send_signal(signal.SIGINT)
        assert reader.wait(30 * SLOW) == -signal.SIGINT
    # Another one, which is there when it is unmounted by force.
    reader = subprocess.Popen(["cat", str(repo.dir / "first.bit")], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    assert run(["umount", "-l", str(repo.fabric.mount)]).returncode == 0
    reader.send_signal(signal.SIGINT)
    reader.wait(30 * SLOW)
    assert repo.fabric.process.wait(60 * SLOW) == 0


def test_secrets_are_nowhere(mirror, fake):
    """Not in the log, the tree, attributes, the state, argv or the environment: neither password nor token."""
    repo = mirror()
    assert repo.refresh() == 0
    assert (repo.dir / "first.bit").read_bytes() == DATA
    fake.expire()
    fake.refuse = True
    assert repo.refresh() == errno.EACCES
    fake.refuse, fake.odd = False, "html"
    assert repo.refresh() != 0
    fake.stop()
    assert repo.refresh() != 0
    secrets = [fake.password.encode(), b"gAAAAA-token-"]
    places = {"log": repo.fabric.log_path.read_bytes()}
    for top in (repo.fabric.state_dir, repo.meta):
        for path in sorted(top.rglob("*")):
            if path.is_file():
                places[str(path)] = path.read_bytes()
    for name in ("events", "status", "status.json", "metrics"):
        places[name] = (repo.fabric.mount / name).read_bytes()
    places["attributes"] = run(["getfattr", "-R", "-d", "-m-", str(repo.dir)]).stdout.encode()
    for pid in repo.fabric.processes():
        for name in ("cmdline", "environ"):
            places[f"{pid}/{name}"] = Path(f"/proc/{pid}/{name}").read_bytes()
    assert len(places) > 15 and b"first.bit" in places["attributes"]
    assert not [place for place, content in places.items() for secret in secrets if secret in content]
