# SPDX-License-Identifier: Apache-2.0
"""clouds.yaml says to fabricfs what it says to OpenStack's own clients (python3-openstacksdk): who logs in where, for
which project, and which of the catalogue's addresses is asked."""
import json
import threading

import pytest

from harness import run
from openstack import HERE, PYTHON
from test_glance_faults import FakeCloud
from test_remote_listing import Repo

PUBLIC = {"public-clouds": {
    "vendor": {"auth": {"auth_url": "{url}/vendor", "user_domain_id": "vd", "username": "nobody"},
               "interface": "admin", "regions": ["R2", "R1"]},
    "plain": {"auth": {"auth_url": "{url}/plain/v3"}, "region_name": "R2"}}}
WHO = {"username": "al", "password": "x", "user_domain_name": "Users", "project_domain_id": "pd", "project_name": "fpga"}
# name -> the cloud, and what secure.yaml has of it
CLOUDS = {
    "plain": ({"auth": {"auth_url": "{url}", **WHO}, "region_name": "R1"}, None),
    "v3": ({"auth": {"auth_url": "{url}/identity/v3/", **WHO}, "region_name": "R2", "interface": "internal"}, None),
    "ids": ({"auth": {"auth_url": "{url}", "user_id": "u1", "password": "x", "project_id": "p1"}, "region_name": "R1"}, None),
    "both": ({"auth": {"auth_url": "{url}", **WHO, "project_id": "p1", "user_id": "u1"}, "region_name": "R1"}, None),
    "tenant": ({"auth": {"auth_url": "{url}", "username": "al", "password": "x", "user_domain_id": "ud",
                         "project_domain_id": "pd", "tenant_name": "old"}, "region_name": "R1"}, None),
    "dashed": ({"auth": {"auth_url": "{url}", "username": "al", "password": "x", "user-domain-name": "Users",
                         "project-domain-name": "Projects", "project-name": "dash"}, "region-name": "R2"}, None),
    "domain": ({"auth": {"auth_url": "{url}", "username": "al", "password": "x", "project_name": "fpga",
                         "domain_name": "D"}, "region_name": "R1"}, None),
    "domains": ({"auth": {"auth_url": "{url}", "username": "al", "password": "x", "project_name": "fpga",
                          "domain_id": "d", "project_domain_id": "pd"}, "region_name": "R1"}, None),
    "secure": ({"auth": {"auth_url": "{url}", **WHO}, "region_name": "R1"},
               {"auth": {"password": "new", "project_name": "safe"}, "region_name": "R2"}),
    "profile": ({"profile": "vendor", "auth": WHO}, None),
    "profiled": ({"profile": "plain", "auth": WHO}, {"auth": {"password": "sesame"}}),
    "cloud": ({"cloud": "plain", "auth": WHO, "interface": "internalURL"}, None),
    "regions": ({"auth": {"auth_url": "{url}", **WHO}, "regions": ["R2", "R1"]}, None),
    "values": ({"auth": {"auth_url": "{url}", **WHO}, "interface": "admin",
                "regions": [{"name": "R1", "values": {"interface": "internal", "auth": {"project_name": "r1"}}}]}, None),
    "commas": ({"auth": {"auth_url": "{url}", **WHO}, "region_name": "R2,R1"}, None),
    "endpoint_type": ({"auth": {"auth_url": "{url}", **WHO}, "endpoint_type": "internalURL", "region_name": "R1"}, None),
    "image_interface": ({"auth": {"auth_url": "{url}", **WHO}, "interface": "admin", "image_interface": "internal",
                         "region_name": "R1", "image_region_name": "R2"}, None),
    "token": ({"auth_type": "v3token", "auth": {"auth_url": "{url}", "token": "tok", "project_name": "fpga",
                                                "project_domain_name": "P"}, "region_name": "R1"}, None),
    "application": ({"auth_type": "v3applicationcredential", "region_name": "R1", "auth": {
        "auth_url": "{url}", "application_credential_id": "a1", "application_credential_secret": "s"}}, None),
    "named": ({"auth_type": "v3applicationcredential", "region_name": "R1", "auth": {
        "auth_url": "{url}", "application_credential_name": "n", "username": "al", "user_domain_name": "Users",
        "application_credential_secret": "s"}}, None),
    "template": ({"auth": {"auth_url": "{url}/{region_name}", **WHO}, "regions": ["R2"]}, None),
    "plugin": ({"auth_plugin": "v3password", "auth": {"auth_url": "{url}", **WHO}, "region_name": "R1"}, None),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A Keystone that takes everybody, and files for each cloud in a folder of its own."""
    cloud = FakeCloud()
    cloud.logins_seen, cloud.asked_with, lock = {}, {}, threading.Lock()

    def login(handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        name = handler.path.split("/")[1]
        with lock:
            token = f"token-of-{name}-{len(cloud.logins_seen)}"
            cloud.logins_seen[name] = (handler.path.removeprefix(f"/{name}"), body["auth"])
        cloud.tokens.add(token)
        # The project is the one that was asked for.
        wanted = body["auth"].get("scope", {}).get("project", {})
        described = cloud.described()
        described["project"] = {"id": wanted.get("id", "p"), "name": wanted.get("name", "fpga")}
        described["catalog"] = [{"type": "image", "endpoints": [
            {"interface": i, "region_id": r, "url": f"{cloud.url}/{r}-{i}"}
            for r in ("R1", "R2") for i in ("public", "internal", "admin")]}]
        cloud.answer(handler, 201, {"token": described}, [("X-Subject-Token", token)])

    def get(handler):
        with lock:
            cloud.asked_with[handler.headers["X-Auth-Token"]] = handler.path.split("/")[1]
        cloud.answer(handler, 200, {"images": []})
    cloud.login, cloud.get = login, get
    folder = tmp_path_factory.mktemp("clouds")
    for name, (entry, secure) in CLOUDS.items():
        place = folder / name
        place.mkdir()
        for file, content in (("clouds.yaml", {"clouds": {"lab": entry}}),
                              ("secure.yaml", {"clouds": {"lab": secure}} if secure else None),
                              ("clouds-public.yaml", PUBLIC)):
            if content:
                (place / file).write_text(json.dumps(content, indent=1).replace("{url}", f"{cloud.url}/{name}"))
                (place / file).chmod(0o600)
    cloud.folder = folder
    yield cloud
    cloud.stop()


@pytest.fixture(scope="module")
def mounted(module_fpga, places):
    repos = "".join(f"  {name}: {{kind: glance, clouds-file: {places.folder}/{name}/clouds.yaml}}\n" for name in CLOUDS)
    fabric = module_fpga(config="repositories:\n" + repos)
    for name in CLOUDS:
        repo = Repo(fabric, name)
        assert repo.refresh() == 0, f"{name}: {repo.read('error')}"
    return fabric


@pytest.fixture(scope="module")
def clients(places):
    """What OpenStack's clients make of them."""
    done = run([PYTHON, str(HERE / "read_clouds.py"), *(str(places.folder / name) for name in CLOUDS)])
    assert done.returncode == 0, done.stderr
    return dict(zip(CLOUDS, map(json.loads, done.stdout.splitlines())))


def body_of(auth, kind):
    """The login that such a configuration makes, as keystoneauth's v3 plugins do it."""
    def named(what, ident, name, domain):
        if auth.get(ident):
            return {"id": auth[ident]}
        where = {"id": auth[f"{domain}_id"]} if auth.get(f"{domain}_id") else {"name": auth[f"{domain}_name"]}
        return {"name": auth[name], "domain": where}
    if "token" in kind:
        identity = {"methods": ["token"], "token": {"id": auth["token"]}}
    elif "application" in kind:
        one = {"secret": auth["application_credential_secret"]}
        if auth.get("application_credential_id"):
            one["id"] = auth["application_credential_id"]
        else:
            one.update(name=auth["application_credential_name"],
                       user=named("user", "user_id", "username", "user_domain"))
        return {"identity": {"methods": ["application_credential"], "application_credential": one}}
    else:
        user = named("user", "user_id", "username", "user_domain")
        identity = {"methods": ["password"], "password": {"user": {**user, "password": auth["password"]}}}
    return {"identity": identity, "scope": {"project": named("project", "project_id", "project_name", "project_domain")}}


@pytest.mark.parametrize("name", CLOUDS)
def test_a_cloud_is_to_fabricfs_what_it_is_to_openstacks_clients(mounted, places, clients, name):
    wanted = clients[name]
    path, body = places.logins_seen[name]
    assert body == body_of(wanted["auth"], wanted["type"])
    where = wanted["auth"]["auth_url"].removeprefix(f"{places.url}/{name}").rstrip("/")
    assert path == (where if where.endswith("/v3") else where + "/v3") + "/auth/tokens"
    asked = {at for token, at in places.asked_with.items() if token.startswith(f"token-of-{name}-")}
    assert asked == {f"{wanted['region']}-{wanted['interface']}"}
