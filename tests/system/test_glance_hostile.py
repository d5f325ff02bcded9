# SPDX-License-Identifier: Apache-2.0
"""A Keystone and a Glance that mean harm, or mean nothing: what they say is bounded, refused or left out, with a
sentence, and what they say well is there (servers/fake_cloud.py)."""
import errno
import hashlib
import json
import os
import re
import threading

import pytest

from harness import LIMIT, until
from test_glance_faults import DATA, FakeCloud, fake, mirror  # noqa: F401
from test_remote_listing import Repo
from webserver import Authority

PLAIN = ["first.bit", "second.bit"]


def endpoint(url, **more):
    return {"interface": "public", "region_id": "R1", "url": url, **more}


def service(*urls):
    return {"type": "image", "endpoints": [endpoint(url) for url in urls]}


# --- Keystone --------------------------------------------------------------------------------

def test_a_catalogue_of_ten_megabytes_is_read(mirror, fake):  # noqa: F811
    plain = fake.described
    fake.described = lambda: dict(plain(), catalog=[
        {"type": "other", "name": "x" * 100000, "endpoints": [endpoint("https://other/" + "y" * 5000)]}
        for _ in range(100)] + plain()["catalog"])
    assert len(json.dumps(fake.described())) > 10 << 20
    repo = mirror()
    assert repo.refresh() == 0, repo.read("error")
    assert repo.images() == PLAIN


@pytest.mark.parametrize("described, error, sentence", [
    (lambda t: dict(t, catalog=[{}] * 300000), errno.EBADMSG, "more values than any catalogue"),
    (lambda t: dict(t, catalog="x" * (17 << 20)), errno.EBADMSG, "more than 16777216 bytes came"),
    (lambda t: dict(t, catalog=[service("http://user:sesame@127.0.0.1:9/")]), errno.EREMOTEIO, "a user or a password"),
    (lambda t: dict(t, catalog=[service("javascript:alert(1)", "file:///etc/passwd")]), errno.EREMOTEIO,
     "has to begin with http:// or https://"),
    (lambda t: dict(t, catalog=[service("http://127.0.0.1:99999")]), errno.EREMOTEIO, "its port is no number"),
    (lambda t: dict(t, catalog=[service("http://127.0.0.1:9/?x=", "http://h/#f")]), errno.EREMOTEIO, "a fragment"),
    (lambda t: dict(t, catalog=[service("http://127.0.0.1:9/\r\nX-Evil: 1")]), errno.EREMOTEIO, "a control character"),
    (lambda t: dict(t, catalog=[{"type": "image", "endpoints": [7, None, {}, "x", [], {"url": 7}]}, 9, None]),
     errno.EREMOTEIO, "has no public address"),
    (lambda t: dict(t, catalog={"type": "image"}), errno.EREMOTEIO, "no image service"),
    (lambda t: {k: v for k, v in t.items() if k != "project"}, errno.EACCES, "for no project"),
    (lambda t: dict(t, project=None, domain={"id": "d1", "name": "Default"}), errno.EACCES, "for no project"),
    (lambda t: dict(t, project=None, system={"all": True}), errno.EACCES, "for no project"),
    (lambda t: dict(t, expires_at="1999-01-01T00:00:00Z"), errno.EBADMSG, "how long the token is good"),
    (lambda t: dict(t, expires_at="tomorrow"), errno.EBADMSG, "how long the token is good"),
    (lambda t: dict(t, expires_at=7), errno.EBADMSG, "how long the token is good"),
    (lambda t: [], errno.EBADMSG, "not Keystone's"),
    (lambda t: None, errno.EBADMSG, "not Keystone's"),
    (lambda t: dict(t, extra=json.loads("[" * 900 + "]" * 900)), 0, ""),
    (lambda t: dict(t, expires_at="9999-12-31T23:59:59.999999Z"), 0, ""),
    (lambda t: dict(t, expires_at=None), 0, ""),
    (lambda t: dict(t, issued_at=t["issued_at"][:-1], expires_at=t["expires_at"][:-1]), 0, ""),
    (lambda t: dict(t, expires_at=t["issued_at"]), 0, ""),
    (lambda t: dict(t, catalog=[service("gopher://x", "http://a@b")] + t["catalog"]), 0, ""),
])
def test_what_keystone_says_is_taken_or_refused_with_a_sentence(mirror, fake, described, error, sentence):  # noqa: F811
    plain = fake.described
    fake.described = lambda: described(plain())
    repo = mirror()
    for _ in range(3):
        assert repo.refresh() == error, repo.read("error")
    assert sentence in repo.read("error")
    assert repo.images() == (PLAIN if not error else [])
    # One login each, or one for all; no lock either.
    assert fake.logins() <= 4 and not [line for line in fake.log if line[2] == 401]
    assert "sesame" not in repo.read("error") + repo.fabric.log() + (repo.fabric.mount / "events").read_text()
    fake.described = plain
    assert repo.refresh() == 0, repo.read("error")
    assert repo.read("state") == "online\n"


@pytest.mark.parametrize("token", ["", "a b", "t\t", "x" * 9000, "x" * (64 << 10), "t\x01", "t\xfc", None])
def test_a_token_that_cannot_be_one_is_not_sent(mirror, fake, token):  # noqa: F811
    def login(handler):
        handler.rfile.read(int(handler.headers["Content-Length"]))
        fake.answer(handler, 201, {"token": fake.described()},
                    [("X-Subject-Token", token)] if token is not None else [])
    fake.login = login
    repo = mirror()
    assert repo.refresh() == errno.EBADMSG
    assert not fake.asked("GET")
    assert repo.images() == []


def test_what_follows_a_token_is_another_header(mirror, fake):  # noqa: F811
    """A line's end in a token cannot come over HTTP/1.1: what is behind it is not sent on."""
    seen = []
    plain = fake.get

    def get(handler):
        seen.append(str(handler.headers))
        plain(handler)
    fake.get = get
    fake.login_headers = [("X-Evil", "1\r\nX-Auth-Evil: 2")]
    repo = mirror()
    assert repo.refresh() == 0, repo.read("error")
    assert seen and not [text for text in seen if "evil" in text.lower()]


@pytest.mark.parametrize("status, error, sentence", [
    (300, errno.EREMOTEIO, "no Keystone at this address"), (404, errno.EREMOTEIO, "no Keystone at this address"),
    (410, errno.EREMOTEIO, "no Keystone"), (501, errno.EREMOTEIO, "status 501"), (302, errno.EREMOTEIO, "redirects to")])
def test_an_address_that_is_not_keystones_is_said_to_be_so(mirror, fake, status, error, sentence):  # noqa: F811
    def login(handler):
        handler.rfile.read(int(handler.headers["Content-Length"]))
        fake.answer(handler, status, {"versions": {"values": [{"id": "v3.14"}]}}, [("Location", fake.url + "/v3/")])
    fake.login = login
    repo = mirror()
    assert repo.refresh() == error
    assert sentence in repo.read("error")


def test_a_user_of_whom_more_than_a_password_is_wanted_is_told(mirror, fake):  # noqa: F811
    def login(handler):
        handler.rfile.read(int(handler.headers["Content-Length"]))
        fake.answer(handler, 401, {"receipt": {}}, [("Openstack-Auth-Receipt", "gAAAA-receipt")])
    fake.login = login
    repo = mirror()
    assert repo.refresh() == errno.EACCES
    assert "multi-factor" in repo.read("error") and "receipt" not in repo.read("error")


# --- not everything has to be encrypted, but what is does not become less -----------------------

@pytest.fixture
def secure(tmp_path):
    """A cloud behind TLS."""
    authority = Authority(tmp_path / "tls")
    cloud = FakeCloud(certificate=authority.certify("server"))
    cloud.cacert = authority.cacert
    cloud.first = cloud.image("first.bit", DATA)
    yield cloud
    cloud.stop()


def mount_secure(fpga, secure, tmp_path, more=""):
    (tmp_path / "secret").write_text(secure.password)
    (tmp_path / "secret").chmod(0o600)
    return Repo(fpga(config=f"repositories:\n  glance: {{kind: glance, auth-url: '{secure.url}', username: al, "
                            f"password-file: {tmp_path}/secret, project: fpga, cacert: {secure.cacert}, max-age: 1h"
                            f"{more}}}\ncache: {{connect-timeout: 1s, offline-timeout: 2s}}\n"), "glance")


def tokens_of(cloud):
    """Everything that a cloud is asked with, from now on."""
    seen = []
    plain = cloud.get

    def get(handler):
        seen.append(handler.headers.get("X-Auth-Token"))
        plain(handler)
    cloud.get = get
    return seen


def test_a_token_that_came_encrypted_goes_nowhere_in_the_clear(fpga, fake, secure, tmp_path):  # noqa: F811
    fake.tokens = secure.tokens
    seen = tokens_of(fake)
    plain = secure.described
    secure.described = lambda: dict(plain(), catalog=[service(fake.url)])
    repo = mount_secure(fpga, secure, tmp_path)
    assert repo.refresh() == errno.EREMOTEIO
    assert f"{fake.url}, which is not encrypted as Keystone is" in repo.read("error")
    assert "allow-http" in repo.read("error")
    # Nor does an encrypted service lead it there.
    secure.described = plain
    assert repo.refresh() == 0, repo.read("error")
    for name in ("list", "data"):
        setattr(secure, name, lambda handler, *more: secure.answer(
            handler, 302, b"", [("Location", fake.url + handler.path)]))
    with pytest.raises(OSError) as told:
        (repo.dir / "first.bit").read_bytes()
    assert told.value.errno == errno.EBADMSG
    assert repo.refresh() == errno.EBADMSG
    assert "which is not encrypted" in repo.read("error")
    assert not seen


def test_it_does_when_that_is_said_by_name(fpga, fake, secure, tmp_path):  # noqa: F811
    fake.tokens = secure.tokens
    seen = tokens_of(fake)
    plain = secure.described
    secure.described = lambda: dict(plain(), catalog=[service(fake.url)])
    repo = mount_secure(fpga, secure, tmp_path, ", allow-http: true")
    assert repo.refresh() == 0, repo.read("error")
    assert repo.images() == PLAIN and seen and all(seen)


def test_a_token_does_not_go_where_data_are_said_to_be(mirror, fake):  # noqa: F811
    """Another server, also without encryption here and there: it is asked without a token."""
    other = FakeCloud()
    try:
        other.images = fake.images
        seen = tokens_of(other)
        fake.data = lambda handler, *image: fake.answer(handler, 302, b"", [("Location", other.url + handler.path)])
        repo = mirror()
        assert repo.refresh() == 0
        with pytest.raises(OSError):  # it wants one
            (repo.dir / "first.bit").read_bytes()
        assert seen and not [token for token in seen if token]
    finally:
        other.stop()


# --- pages ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("following", [
    "//127.0.0.1:9/v2/images?marker=x", "http://u:p@127.0.0.1:9/v2/images?x", "/v2/images?marker=a b",
    "/v2/images?marker=a\r\nX-Evil: 1", "/v2/images?" + "x" * 5000, "/v2/images/../../x?", "file:///etc/passwd",
    "/v3/other", "/v2/images?a#b", "?marker=x"])
def test_a_next_page_that_is_no_page_ends_the_listing(mirror, fake, following):  # noqa: F811
    repo = mirror()
    assert repo.refresh() == 0
    records = [record for record, _ in fake.images.values()]
    fake.log.clear()
    fake.list = lambda handler, query: fake.answer(handler, 200, {"images": records, "next": following})
    assert repo.refresh() == errno.EBADMSG
    assert "the next page of the listing" in repo.read("error")
    assert len(fake.log) <= 2 and repo.images() == PLAIN
    assert "u:p" not in repo.read("error")


def test_a_listing_without_end_is_ended(mirror, fake):  # noqa: F811
    """Always another page, with one image that was there before."""
    repo = mirror()
    assert repo.refresh() == 0
    record = next(iter(fake.images.values()))[0]
    fake.log.clear()
    plain = fake.list
    fake.list = lambda handler, query: fake.answer(
        handler, 200, {"images": [record], "next": f"/v2/images?limit=1000&marker={len(fake.log)}"})
    assert repo.refresh() == errno.EBADMSG
    assert "too many with next to nothing on them" in repo.read("error")
    assert len(fake.log) < 1100 and repo.images() == PLAIN
    fake.list = plain
    assert repo.refresh() == 0


@pytest.mark.parametrize("body", [
    b"[]", b"{}", b'{"images": {}}', b'{"images": [[]]}', b'{"images": [' + b"[" * 100000, b'{"images": [{"a":' * 50000,
    b'{"images": [], "next": 7}', b'{"images": [', b"", b"\xff\xfe{}", b'{"images": [1, 2]}', b'{"x": "' + b"y" * 100000,
    b'{"images": null}', b"null"], ids=lambda body: body[:20].decode("latin-1") + f"..{len(body)}")
def test_what_is_no_page_changes_nothing(mirror, fake, body):  # noqa: F811
    repo = mirror()
    assert repo.refresh() == 0
    plain = fake.list
    fake.list = lambda handler, query: fake.answer(handler, 200, body)
    told = repo.refresh()
    if body == b'{"images": [], "next": 7}':  # an empty list, and no next page
        assert told == errno.EREMOTEIO and "lists 0 images" in repo.read("error")
    else:
        assert told == errno.EBADMSG and "list of images" in repo.read("error")
    assert repo.images() == PLAIN
    fake.list = plain
    assert repo.refresh() == 0


# --- images ---------------------------------------------------------------------------------------

def test_sizes_that_are_none_are_not_believed(mirror, fake):  # noqa: F811
    for name, size in (("null", None), ("negative", -1), ("huge", 2 ** 63), ("huger", 10 ** 30), ("part", 3.5),
                       ("text", "7"), ("large", 2 ** 53 + 2), ("nan", float("nan"))):
        fake.image(f"{name}.bit", DATA, size=size, virtual_size=2 ** 70, min_ram=-(2 ** 90))
    repo = mirror()
    assert repo.refresh() == 0, repo.read("error")
    names = repo.images()
    assert {"null.bit", "negative.bit", "huge.bit", "huger.bit", "part.bit", "text.bit", "large.bit"} <= set(names)
    for name in names:
        if name not in PLAIN:
            assert repo.stat(name).st_size in (0, len(DATA)), name
    # What no listing told, reading tells.
    for name in ("null.bit", "negative.bit", "huge.bit"):
        with open(repo.dir / name, "rb", buffering=0) as f:
            got = b"".join(iter(lambda f=f: f.read(65536), b""))
        assert got == DATA, name
    assert repo.images() == names


def test_a_size_that_is_not_the_datas_is_found_out(mirror, fake):  # noqa: F811
    fake.image("longer.bit", DATA, size=len(DATA) + 1000)
    fake.image("shorter.bit", DATA, size=len(DATA) - 1000)
    repo = mirror()
    repo.fabric.expect_errors = True
    assert repo.refresh() == 0
    for name in ("longer.bit", "shorter.bit"):
        try:
            got = (repo.dir / name).read_bytes()
        except OSError as e:
            assert e.errno in (errno.ESTALE, errno.EBADMSG, errno.EREMOTEIO), e
        else:
            assert got == DATA, f"{name}: {len(got)} bytes and no error"


def test_names_of_any_bytes_are_files_that_can_be_opened(mirror, fake):  # noqa: F811
    names = ["x" * 300, "比" * 255, "..", ".", "", "/", "a/../b", "-rf *", "$(id)", "a\\b", "new\nline", "tab\t", "\x7f", "\x1b[2J",
             "%2F", "%", "‮cod.bit", " lead", "trail ", ".repo", "a@b", "@", "q\"'`", "é", "é", "CON", "nul\0in"]
    names += [chr(c) + ".bit" for c in range(1, 256)]
    for name in names:
        fake.image(name, name.encode("utf-8", "surrogatepass") + b"!")
    repo = mirror()
    assert repo.refresh() == 0, repo.read("error")
    shown = repo.images()
    assert len(shown) == len(set(shown)) == len(set(names)) + 2
    for name in shown:
        raw = os.fsencode(name)
        assert 0 < len(raw) <= 255 and not re.search(rb"[\x00-\x1f\x7f/]", raw) and name not in (".", "..", ".repo")
        assert os.stat(repo.dir / name).st_size > 0
    want = {hashlib.sha512(n.encode() + b"!").hexdigest() for n in names}
    assert want <= {repo.attr(name, "user.fpga.sha512") for name in shown}


def test_properties_are_bounded_and_places_are_nobodys_business(mirror, fake):  # noqa: F811
    fake.image("many.bit", DATA, **{f"p{n}": "v" for n in range(50000)})
    fake.image("large.bit", DATA, big="x" * (1 << 20), small="y", fpga_part="xc7a35t")
    fake.image("odd.bit", DATA, **{"": "empty", "k" * 300: "long", "nl\n": "x", "esc": "\x1b[2J", "list": [1], "map": {"a": 1},
                                   "yes": True, "nul": "a\0b", "sharp": "#"})
    fake.image("places.bit", DATA, direct_url="swift+https://user:sesame@h/x", locations=[
        {"url": "rbd://sesame", "metadata": {"password": "sesame"}}], stores="a", file="/sesame")
    repo = mirror()
    assert repo.refresh() == 0, repo.read("error")
    assert repo.images() == sorted(PLAIN + ["large.bit", "many.bit", "odd.bit", "places.bit"])
    assert len(os.listxattr(repo.dir / "many.bit")) < 200
    assert repo.attr("large.bit", "user.fpga.property.small") == "y"
    assert "user.fpga.property.big" not in os.listxattr(repo.dir / "large.bit")
    for name in ("odd.bit", "places.bit"):
        for attribute in os.listxattr(repo.dir / name):
            assert not re.search(r"[\x00-\x1f\x7f]", attribute), attribute
            assert b"sesame" not in os.getxattr(repo.dir / name, attribute)
    assert repo.attr("odd.bit", "user.fpga.property.sharp") == "#"
    assert (repo.dir / "places.bit").read_bytes() == DATA


@pytest.mark.parametrize("algo, value, checksum, good", [
    ("blake2", "00", None, True), ("sha3-512", "0" * 128, None, True), ("sha512", "not hex", None, True),
    (None, None, None, True), (7, 7, 7, True), ("sha512", "0" * 127, "0" * 31, True),
    ("blake2", "00", "0" * 32, False), ("sha256", "0" * 64, None, False), ("SHA512", "0" * 128, "0" * 32, False)])
def test_a_digest_counts_when_it_is_one_that_is_known(mirror, fake, algo, value, checksum, good):  # noqa: F811
    ident = fake.image("x.bit", DATA, os_hash_algo=algo, os_hash_value=value, checksum=checksum)
    repo = mirror()
    repo.fabric.expect_errors = not good
    plain = fake.data
    # A checksum that is told with the data too is compared at once; here it is the bytes.
    fake.data = lambda handler, i, record, data: plain(handler, i, dict(record, checksum="none"), data)
    assert repo.refresh() == 0, repo.read("error")
    assert repo.attr("x.bit", "user.fpga.id") == ident
    if good:
        assert (repo.dir / "x.bit").read_bytes() == DATA
        return
    with pytest.raises(OSError) as told:
        (repo.dir / "x.bit").read_bytes()
    assert told.value.errno == errno.EBADMSG


@pytest.mark.parametrize("status, error", [
    ("queued", errno.ENODATA), ("saving", errno.ENODATA), ("uploading", errno.ENODATA), ("importing", errno.ENODATA),
    ("killed", errno.ENODATA), ("deactivated", errno.EACCES), ("invented", errno.ENODATA), (None, errno.ENODATA),
    ("x" * 5000, errno.ENODATA), (7, errno.ENODATA), ("pending_delete", errno.ENOENT), ("deleted", errno.ENOENT)])
def test_only_what_is_active_has_data_and_nothing_is_asked_of_the_rest(mirror, fake, status, error):  # noqa: F811
    fake.image("x.bit", DATA, status=status)
    repo = mirror()
    assert repo.refresh() == 0, repo.read("error")
    with pytest.raises(OSError) as told:
        (repo.dir / "x.bit").read_bytes()
    assert told.value.errno == error
    assert not fake.asked("/file")


@pytest.mark.parametrize("status, error", [
    (204, errno.ENODATA), (300, errno.EREMOTEIO), (403, errno.EACCES), (404, errno.ESTALE), (410, errno.ESTALE)])
def test_data_that_are_not_given_after_all(mirror, fake, status, error):  # noqa: F811
    repo = mirror()
    assert repo.refresh() == 0
    fake.log.clear()
    fake.data = lambda handler, *image: fake.answer(handler, status, b"" if status == 204 else b"<html>no</html>")
    with pytest.raises(OSError) as told:
        (repo.dir / "first.bit").read_bytes()
    assert told.value.errno == error
    assert len(fake.log) <= 3 and fake.logins() == 0
    assert repo.read("state") == "online\n"


def test_an_image_withdrawn_after_it_was_cached_is_seen_by_the_next_listing(mirror, fake):  # noqa: F811
    repo = mirror()
    assert repo.refresh() == 0
    assert (repo.dir / "first.bit").read_bytes() == DATA
    fake.images[fake.first][0]["status"] = "deactivated"
    assert repo.refresh() == 0
    assert repo.attr("first.bit", "user.fpga.status") == "deactivated"
    with pytest.raises(OSError) as told:
        (repo.dir / "first.bit").read_bytes()
    assert told.value.errno == errno.EACCES


def test_ids_that_cannot_be_in_an_address_are_left_out(mirror, fake):  # noqa: F811
    for n, ident in enumerate(("../../x", "a b", "a/b", "", ".", "x" * 300, "a?b", "a#b", "a\r\nb", "é", None, 7)):
        fake.image(f"odd-{n}.bit", DATA, id=f"odd-{n}")
        fake.images[f"odd-{n}"][0]["id"] = ident
    repo = mirror()
    assert repo.refresh() == 0, repo.read("error")
    assert repo.images() == PLAIN
    assert "12 images are left out" in repo.fabric.log()


def test_a_listing_that_never_comes_to_its_end_can_be_left(mirror, fake):  # noqa: F811
    """Bytes of a page, one now and then: unmounting does not wait for more."""
    sent, enough = [], threading.Event()

    def drip(handler, query):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        try:
            while not enough.wait(0.05):
                handler.wfile.write(b" ")
                sent.append(len(sent))
        except OSError:
            enough.set()  # nobody listens any more
    fake.list = drip
    repo = mirror()
    until(lambda: sent, "a byte came")
    repo.fabric.stop()
    assert enough.wait(LIMIT)
