# SPDX-License-Identifier: Apache-2.0
"""remote/ of a cloud: Debian's Keystone and Glance, behind TLS with an authority of one's own."""
import errno
import hashlib
import os
from pathlib import Path

import pytest

from harness import SLOW, run
from images import BLINK, EXAMPLES
from openstack import PASSWORDS
from test_digits import answers, computed
from test_remote_listing import Repo

DATA = b"FPGA-TEST-BITSTREAM" * 4000


def config(cloud, user="alice", more="", name="glance"):
    path = cloud.clouds_yaml(cloud.folder)
    return (f"repositories:\n  {name}: {{kind: glance, cloud: {user}, clouds-file: {path}, max-age: 1h{more}}}\n"
            f"cache: {{connect-timeout: {2 * SLOW:.0f}s, offline-timeout: {3 * SLOW:.0f}s}}\n")


def failure(action, *args):
    """The errno of an action that has to fail."""
    with pytest.raises(OSError) as told:
        action(*args)
    return told.value.errno


@pytest.fixture(scope="module")
def images(cloud):
    """One image of every sort; name -> id."""
    made = {}

    def make(key, name, data=DATA, **values):
        made[key] = cloud.image(name, data, **values)
    make("plain", "plain.bit", fpga_part="xc7a35t", **{"accel:function_id": "F1", "bs-name": "kernel"}, tags=["FPGA"])
    make("blink", "blink.bin", Path(BLINK).read_bytes())
    make("queued", "queued.bit", None)
    make("zero", "zero.bit", b"")
    make("slash", "dir/sub/x.bit")
    make("climbs", "../../etc/passwd")
    make("dots", "..")
    make("control", "two\nlines\x1b[31m.bit")
    make("unnamed", None)
    make("long", "比" * 255)
    make("twin", "plain.bit", DATA + b"2", user="admin", visibility="public")
    make("hidden", "hidden.bit", os_hidden=True)
    make("community", "community.bit", user="bob", visibility="community")
    make("private", "bobs.bit", user="bob")
    make("shared", "shared.bit", user="bob", visibility="shared")
    make("pending", "pending.bit", user="bob", visibility="shared")
    make("withdrawn", "withdrawn.bit", user="admin", visibility="public")
    cloud.share(made["shared"])
    cloud.share(made["pending"], accept=False)
    cloud.deactivate(made["withdrawn"])
    return made


@pytest.fixture(scope="module")
def glance(module_fpga, cloud, images):
    fabric = module_fpga(config=config(cloud))
    repo = Repo(fabric, "glance")
    repo.fabric = fabric
    assert repo.refresh() == 0, repo.read("error")
    return repo


SHOWN = {"plain.bit", "blink.bin", "queued.bit", "zero.bit", "dir%2Fsub%2Fx.bit", "..%2F..%2Fetc%2Fpasswd", "%2E%2E",
         "two%0Alines%1B[31m.bit", "shared.bit", "withdrawn.bit"}


def test_images_of_a_cloud_are_listed_by_their_names(glance, images):
    names = set(glance.images())
    assert SHOWN <= names
    assert f"@{images['unnamed']}" in names
    assert not names & {"hidden.bit", "community.bit", "bobs.bit", "pending.bit"}
    assert all(len(os.fsencode(n)) <= 255 for n in names)
    assert len(names) == len(SHOWN) + 2, names
    assert glance.read("state") == "online\n"
    assert glance.read("error") == ""


def test_an_image_has_its_size_id_status_digest_and_properties(glance, images):
    assert glance.stat("plain.bit").st_size == len(DATA)
    assert glance.attr("plain.bit", "user.fpga.id") == images["plain"]
    assert glance.attr("plain.bit", "user.fpga.status") == "active"
    assert glance.attr("plain.bit", "user.fpga.sha512") == hashlib.sha512(DATA).hexdigest()
    assert glance.attr("plain.bit", "user.fpga.property.fpga_part") == "xc7a35t"
    assert glance.attr("plain.bit", "user.fpga.property.accel:function_id") == "F1"
    assert glance.attr("plain.bit", "user.fpga.property.tags") == "FPGA"
    assert glance.attr("queued.bit", "user.fpga.status") == "queued"
    assert glance.attr("withdrawn.bit", "user.fpga.status") == "deactivated"


def test_of_two_with_one_name_the_projects_own_is_first_and_both_can_be_opened(glance, images):
    other = f"plain.bit@{images['twin']}"
    assert glance.stat("plain.bit").st_size == len(DATA)
    assert glance.stat(other).st_size == len(DATA) + 1
    assert glance.attr(other, "user.fpga.id") == images["twin"]


def test_a_new_image_a_new_name_and_one_that_is_gone_are_seen_by_a_refresh(glance, cloud):
    ident = cloud.image("comes.bit", DATA)
    assert glance.refresh() == 0
    assert glance.stat("comes.bit").st_size == len(DATA)
    cloud.change(ident, name="renamed.bit")
    assert glance.refresh() == 0
    assert "renamed.bit" in glance.images() and "comes.bit" not in glance.images()
    cloud.remove(ident)
    assert glance.refresh() == 0
    assert "renamed.bit" not in glance.images()


def test_what_is_listed_beside_the_usual_is_configured(fpga, cloud, images):
    fabric = fpga(config=config(cloud, more=", visibility: [private, shared, hidden, community, pending]"))
    repo = Repo(fabric, "glance")
    assert repo.refresh() == 0, repo.read("error")
    names = set(repo.images())
    assert {"hidden.bit", "community.bit", "pending.bit", "shared.bit", "blink.bin"} <= names
    assert not names & {"bobs.bit", "withdrawn.bit"}


@pytest.mark.parametrize("way", ["application", "keys", "token", "environment", "internal"])
def test_every_way_of_logging_in_lists_the_same(fpga, cloud, images, glance, tmp_path, way):
    env, text = {}, config(cloud, "application")
    secret = tmp_path / "secret"
    secret.write_text(PASSWORDS["alice"] + "\n")
    secret.chmod(0o600)
    keys = (f"kind: glance, auth-url: 'https://127.0.0.1:{cloud.ports['auth']}/', project: fpga-a, "
            f"region: RegionOne, cacert: {cloud.cacert}")
    if way == "keys":
        text = f"repositories:\n  glance: {{{keys}, username: alice, password-file: {secret}}}\n"
    elif way == "token":
        secret.write_text(cloud.login("alice")[0] + "\n")
        text = f"repositories:\n  glance: {{{keys}, token-file: {secret}}}\n"
    elif way == "environment":
        env = {"OS_AUTH_URL": cloud.auth_url, "OS_USERNAME": "alice", "OS_PASSWORD": PASSWORDS["alice"],
               "OS_PROJECT_NAME": "fpga-a", "OS_USER_DOMAIN_NAME": "Default", "OS_CACERT": str(cloud.cacert),
               "OS_REGION_NAME": "RegionOne"}
        text = "repositories:\n  glance: {kind: glance}\n"
    elif way == "internal":
        text = f"repositories:\n  glance: {{{keys}, interface: internal, allow-http: true, username: alice, password-file: {secret}}}\n"
    repo = Repo(fpga(config=text, env=env), "glance")
    assert repo.refresh() == 0, repo.read("error")
    assert set(repo.images()) == set(glance.images())
    assert repo.stats()["logins"] == "1"


def test_without_a_region_the_first_address_that_answers_is_taken_and_told(fpga, cloud, images, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(PASSWORDS["alice"])
    secret.chmod(0o600)
    fabric = fpga(config=f"repositories:\n  glance: {{kind: glance, auth-url: '{cloud.auth_url}', username: alice, "
                         f"password-file: {secret}, project: fpga-a, cacert: {cloud.cacert}}}\n")
    repo = Repo(fabric, "glance")
    assert repo.refresh() == 0, repo.read("error")
    assert "blink.bin" in repo.images()
    assert "several regions" in fabric.log() and f"{cloud.ports['dead']} cannot be reached" in fabric.log()
    assert repo.refresh() == 0
    assert fabric.log().count("cannot be reached") == 1


@pytest.mark.parametrize("what, changed, sentence", [
    ("region", {"region": "RegionSeven"}, "has no image service with a public address in region 'RegionSeven'; "
                                          "it has one in: RegionTwo, RegionOne"),
    ("project", {"project": None}, "for no project"),
    ("address", {"auth-url": "/nowhere"}, "there is no Keystone at this address"),
    ("authority", {"cacert": None}, "not trusted"),
    ("interface", {"interface": "internal"}, "which is not encrypted as Keystone is: no token is sent there"),
])
def test_what_is_configured_wrongly_is_said_in_a_sentence(fpga, cloud, tmp_path, what, changed, sentence):
    secret = tmp_path / "secret"
    secret.write_text(PASSWORDS["alice"])
    secret.chmod(0o600)
    base = f"https://127.0.0.1:{cloud.ports['auth']}"
    keys = {"kind": "glance", "auth-url": base, "username": "alice", "password-file": secret, "project": "fpga-a",
            "region": "RegionOne", "cacert": cloud.cacert}
    keys.update({k: base + v if k == "auth-url" else v for k, v in changed.items()})
    text = ", ".join(f"{k}: '{v}'" for k, v in keys.items() if v is not None)
    repo = Repo(fpga(config=f"repositories:\n  glance: {{{text}}}\n"
                            f"cache: {{connect-timeout: {SLOW:.0f}s, offline-timeout: {2 * SLOW:.0f}s}}\n"), "glance")
    assert repo.refresh() != 0
    assert sentence in repo.read("error")
    assert repo.images() == []


def test_a_wrong_password_is_said_once_and_not_tried_again(fpga, cloud, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("not-the-Secret")
    secret.chmod(0o600)
    before = len(cloud.asked())
    fabric = fpga(config=f"repositories:\n  glance: {{kind: glance, auth-url: '{cloud.auth_url}', username: alice, "
                         f"password-file: {secret}, project: fpga-a, cacert: {cloud.cacert}, max-age: 0s}}\n")
    repo = Repo(fabric, "glance")
    for _ in range(3):
        assert repo.refresh() == errno.EACCES
    assert "the user or the password was refused (401)" in repo.read("error")
    assert fabric.log().count("the user or the password was refused") == 1
    assert len(cloud.asked()) == before + 1
    assert repo.images() == []
    # Whoever corrects the file need not wait for the hour that spares the account.
    secret.write_text(PASSWORDS["alice"] + "\n")
    assert repo.refresh() == 0, repo.read("error")
    assert repo.read("error") == "" and repo.read("state") == "online\n"


# --- reading ---------------------------------------------------------------------------------

def asked_of(cloud, ident, before):
    """(bytes, range) of the data of an image that nginx sent since `before`."""
    return [(size, wanted) for method, path, status, size, wanted in cloud.asked()[before:]
            if path.endswith(f"/{ident}/file") and status in (200, 206)]


def test_an_image_reads_as_it_was_uploaded(glance, cloud, images):
    for name in ("blink.bin", "dir%2Fsub%2Fx.bit", "shared.bit", f"plain.bit@{images['twin']}"):
        want = {"blink.bin": Path(BLINK).read_bytes(), f"plain.bit@{images['twin']}": DATA + b"2"}.get(name, DATA)
        assert (glance.dir / name).read_bytes() == want
    assert (glance.dir / "zero.bit").read_bytes() == b""


def test_what_has_no_data_or_gives_none_says_so(glance):
    assert failure((glance.dir / "queued.bit").read_bytes) == errno.ENODATA
    assert failure((glance.dir / "withdrawn.bit").read_bytes) == errno.EACCES


def test_the_head_of_a_large_image_costs_a_small_chunk_and_the_rest_is_fetched_once(glance, cloud):
    data = os.urandom(8 << 20)
    ident = cloud.image("large.bit", data)
    assert glance.refresh() == 0
    before = len(cloud.asked())
    with open(glance.dir / "large.bit", "rb", buffering=0) as f:
        assert f.read(200) == data[:200]
    assert 0 < sum(n for n, _ in asked_of(cloud, ident, before)) <= 65536
    assert (glance.dir / "large.bit").read_bytes() == data
    assert sum(n for n, _ in asked_of(cloud, ident, before)) == len(data)
    assert (glance.dir / "large.bit").read_bytes() == data
    assert sum(n for n, _ in asked_of(cloud, ident, before)) == len(data)


# --- the whole way -----------------------------------------------------------------------------

def test_digits_of_a_cloud_are_classified_and_again_when_it_is_gone(fpga, cloud):
    """Login, list, copy, 1,797 digits; then neither Keystone nor Glance is there, and all of it again."""
    data = (EXAMPLES / "digits" / "digits.bin").read_bytes()
    cloud.image("digits.bin", data, fpga_part="iCE40-HX1K")
    absent = cloud.image("not-fetched.bin", data + b"\0")
    fabric = fpga(config=config(cloud, "application"))
    repo, card = Repo(fabric, "glance"), fabric.card()
    assert repo.refresh() == 0
    want = computed(EXAMPLES / "digits")
    assert len(want) == 1797
    done = run(["cp", str(repo.dir / "digits.bin"), str(card.image)])
    assert done.returncode == 0, done.stderr + card.error
    assert card.sha == hashlib.sha256(data).hexdigest()
    assert answers(card) == want
    assert card.value("loaded/source").startswith("glance:digits.bin@")
    cloud.stop()
    try:
        assert repo.refresh() == errno.EHOSTUNREACH
        assert repo.read("state").startswith("offline since ")
        fabric.restart()
        assert card.ctl("clear") == 0 and card.state == "unconfigured"
        assert {"digits.bin", "not-fetched.bin"} <= set(repo.images())
        done = run(["cp", str(repo.dir / "digits.bin"), str(card.image)])
        assert done.returncode == 0, done.stderr + card.error
        assert card.sha == hashlib.sha256(data).hexdigest()
        assert answers(card) == want
        done = run(["cp", str(repo.dir / "not-fetched.bin"), "/dev/null"])
        assert done.returncode == 1 and "No route to host" in done.stderr
    finally:
        cloud.back()
        cloud.remove(absent)


def test_an_image_for_another_part_is_refused_by_its_head(fpga, cloud):
    data = (EXAMPLES / "upper-hx8k" / "upper-hx8k.bin").read_bytes()
    ident = cloud.image("another-part.bin", data)
    fabric = fpga(config=config(cloud))
    repo, card = Repo(fabric, "glance"), fabric.card()
    assert repo.refresh() == 0
    before = len(cloud.asked())
    done = run(["cp", str(repo.dir / "another-part.bin"), str(card.image)])
    assert done.returncode == 1 and "Wrong medium type" in done.stderr
    assert "iCE40-HX1K" in card.error, card.error
    assert 0 < sum(n for n, _ in asked_of(cloud, ident, before)) <= 65536 < len(data)


def test_what_fits_a_card_is_offered_without_a_byte_of_any_image(fpga, cloud):
    data = (EXAMPLES / "digits" / "digits.bin").read_bytes()
    for name, part in (("fits-1k.bin", "iCE40-HX1K"), ("fits-8k.bin", "iCE40-HX8K"), ("fits-artix.bit", "xc7a35t"),
                       ("fits-Case.bin", "ICE40-HX1K")):
        cloud.image(name, data + name.encode(), fpga_part=part)
    cloud.image("fits-unknown.bin", data)
    fabric = fpga(config=config(cloud))
    repo = Repo(fabric, "glance")
    assert repo.refresh() == 0
    before = len(cloud.asked())
    fits = fabric.card().dir / "fits" / "glance"
    assert {n for n in os.listdir(fits) if n.startswith("fits-")} == {"fits-1k.bin", "fits-Case.bin"}
    assert not [line for line in cloud.asked()[before:] if line[1].endswith("/file")]
    assert (fits / "fits-1k.bin").read_bytes() == data + b"fits-1k.bin"
