# SPDX-License-Identifier: Apache-2.0
"""A cloud of one's own: Debian's Keystone and Glance behind nginx with TLS.

Everything is in one folder, on free ports of 127.0.0.1, and ends with the test
run. The catalogue leads to nginx, whose log says what was asked; its first
entry is of another region and leads nowhere.
"""
import http.client
import json
import os
import signal
import socket
import subprocess
import time
import urllib.parse
from pathlib import Path

from webserver import Authority, die_with_parent, free_ports

HERE = Path(__file__).resolve().parent / "servers"
PYTHON = "/usr/bin/python3"  # the one that Debian's packages are for
PASSWORDS = {"admin": "admin-Secret-1", "alice": "alice-Secret-2 \"\\é", "bob": "bob-Secret-3",
             "glance": "glance-Secret-4"}
PROJECTS = {"admin": "admin", "alice": "fpga-a", "bob": "fpga-b", "glance": "service"}
START_S = 300  # of CPU time it takes ten seconds


class Client:
    """Plain requests of one who sets things up."""

    def __init__(self, base):
        self.url = urllib.parse.urlsplit(base)
        self.connection = None

    def call(self, method, path, body=None, token=None, kind="application/json"):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        headers = {"Content-Type": kind} if body is not None else {}
        if token:
            headers["X-Auth-Token"] = token
        connection = http.client.HTTPConnection(self.url.netloc, timeout=60)
        try:
            connection.request(method, self.url.path.rstrip("/") + path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        assert answer.status < 300, f"{method} {path}: {answer.status} {data[:300]}"
        if data and "json" in answer.headers.get("Content-Type", ""):
            return answer.headers, json.loads(data)
        return answer.headers, data


KEYSTONE = """[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.db?timeout=30
sqlite_synchronous = false
[identity]
password_hash_rounds = 4
[token]
expiration = 3600
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[cache]
enabled = false
"""
GLANCE = """[DEFAULT]
bind_host = 127.0.0.1
bind_port = {port}
workers = 0
log_file = {folder}/glance.log
use_stderr = false
enabled_backends = fs:file
node_staging_uri = file://{folder}/staging
[database]
connection = sqlite:///{folder}/glance.db?timeout=30
sqlite_synchronous = false
[glance_store]
default_backend = fs
[fs]
filesystem_store_datadir = {folder}/images
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
[keystone_authtoken]
www_authenticate_uri = http://127.0.0.1:{keystone}
auth_url = http://127.0.0.1:{keystone}
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = glance
password = {password}
region_name = RegionOne
[paste_deploy]
flavor = keystone
config_file = {folder}/paste.ini
"""
PASTE = """[pipeline:glance-api-keystone]
pipeline = versionnegotiation authtoken context rootapp
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = true
"""
NGINX = """daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error;
events {{ worker_connections 512; }}
http {{
  log_format asked '$server_port $request_method $request_uri $status $body_bytes_sent $http_range';
  access_log {folder}/asked asked;
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-f; uwsgi_temp_path {folder}/nginx-u; scgi_temp_path {folder}/nginx-s;
  ssl_certificate {cert}; ssl_certificate_key {key};
  proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection ''; client_max_body_size 0;
  server {{ listen 127.0.0.1:{auth} ssl http2; location / {{ proxy_pass http://127.0.0.1:{keystone}; }} }}
  server {{ listen 127.0.0.1:{image} ssl http2; location / {{ proxy_pass http://127.0.0.1:{glance}; }} }}
}}
"""


class Cloud:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.processes = {}
        self.authority = Authority(self.folder / "tls")
        self.cacert = self.authority.cacert
        self.ports = dict(zip(("keystone", "glance", "auth", "image", "dead"), free_ports(5)))
        self.auth_url = f"https://127.0.0.1:{self.ports['auth']}/v3"
        self.image_url = f"https://127.0.0.1:{self.ports['image']}"
        self.keystone = Client(f"http://127.0.0.1:{self.ports['keystone']}/v3")
        self.glance = Client(f"http://127.0.0.1:{self.ports['glance']}")
        self.tokens = {}
        self.ids = {}
        self.write_configuration()

    def write_configuration(self):
        cert, key = self.authority.certify("server")
        ports, folder = self.ports, self.folder
        for name in ("images", "staging", "tasks"):
            (folder / name).mkdir()
        (folder / "keystone.conf").write_text(KEYSTONE.format(folder=folder))
        (folder / "glance-api.conf").write_text(GLANCE.format(
            folder=folder, port=ports["glance"], keystone=ports["keystone"], password=PASSWORDS["glance"]))
        (folder / "paste.ini").write_text(PASTE)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, cert=cert, key=key, **ports))

    # --- processes -------------------------------------------------------------------

    def _run(self, name, argv):
        with open(self.folder / f"{name}.out", "ab") as out:
            self.processes[name] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.folder,
                start_new_session=True, preexec_fn=die_with_parent)

    def _wait(self, name, port):
        end = time.monotonic() + START_S
        while True:
            process = self.processes[name]
            if process.poll() is not None or time.monotonic() > end:
                out = (self.folder / f"{name}.out").read_text(errors="replace")[-3000:]
                raise AssertionError(f"{name} does not start ({process.poll()}):\n{out}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)

    def start_server(self, name):
        if name == "keystone":
            self._run(name, [PYTHON, str(HERE / "keystone_server.py"), str(self.folder / "keystone.conf"),
                             str(self.ports["keystone"]), PASSWORDS["admin"]])
        elif name == "glance":
            self._run(name, [PYTHON, str(HERE / "glance_server.py"), str(self.folder / "glance-api.conf")])
        else:
            self._run(name, ["/usr/sbin/nginx", "-c", str(self.folder / "nginx.conf"), "-e",
                             str(self.folder / "nginx.error")])

    def _start_servers(self):
        for name in ("keystone", "glance", "nginx"):
            self.start_server(name)
        self._wait("nginx", self.ports["auth"])
        self._wait("keystone", self.ports["keystone"])

    def start(self):
        self._start_servers()
        self.people()
        self._wait("glance", self.ports["glance"])
        return self

    def stop_server(self, name):
        process = self.processes.pop(name, None)
        if process and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        if process:
            process.wait()

    def stop(self):
        for name in list(self.processes):
            self.stop_server(name)

    def back(self):
        """After stop(), with what they had."""
        self._start_servers()
        self._wait("glance", self.ports["glance"])

    # --- people and places -------------------------------------------------------------

    def login(self, user):
        if user not in self.tokens:
            body = {"auth": {"identity": {"methods": ["password"], "password": {"user": {
                "name": user, "domain": {"id": "default"}, "password": PASSWORDS[user]}}},
                "scope": {"project": {"name": PROJECTS[user], "domain": {"id": "default"}}}}}
            headers, answer = self.keystone.call("POST", "/auth/tokens", body)
            self.tokens[user] = headers["X-Subject-Token"], answer["token"]
        return self.tokens[user]

    def people(self):
        token = self.login("admin")[0]

        def post(path, kind, **values):
            return self.keystone.call("POST", path, {kind: values}, token)[1][kind]
        roles = self.keystone.call("GET", "/roles", token=token)[1]["roles"]
        roles = {r["name"]: r["id"] for r in roles}
        for user in ("glance", "alice", "bob"):
            project = post("/projects", "project", name=PROJECTS[user], domain_id="default")
            person = post("/users", "user", name=user, password=PASSWORDS[user], domain_id="default",
                          **({"default_project_id": project["id"]} if user == "glance" else {}))
            for role in ("admin", "service") if user == "glance" else ("member",):
                if role in roles:
                    self.keystone.call("PUT", f"/projects/{project['id']}/users/{person['id']}/roles/{roles[role]}",
                                       token=token)
        post("/regions", "region", id="RegionTwo")
        service = post("/services", "service", name="glance", type="image")["id"]
        plain = f"http://127.0.0.1:{self.ports['glance']}"
        for region, interface, url in (
                ("RegionTwo", "public", f"https://127.0.0.1:{self.ports['dead']}"),
                ("RegionOne", "internal", plain + "/v2/"), ("RegionOne", "public", self.image_url),
                ("RegionOne", "admin", plain)):
            post("/endpoints", "endpoint", service_id=service, region_id=region, interface=interface, url=url)
        alice, answer = self.login("alice")
        self.application = self.keystone.call(
            "POST", f"/users/{answer['user']['id']}/application_credentials",
            {"application_credential": {"name": "mirror", "roles": [{"name": "member"}]}},
            alice)[1]["application_credential"]

    # --- images ---------------------------------------------------------------------------

    def image(self, name, data=None, user="alice", **values):
        """Its id."""
        token = self.login(user)[0]
        body = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "private"}
        body.update(values)
        image = self.glance.call("POST", "/v2/images", {k: v for k, v in body.items() if v is not None}, token)[1]
        if data is not None:
            self.glance.call("PUT", f"/v2/images/{image['id']}/file", data, token, "application/octet-stream")
        return image["id"]

    def remove(self, image, user="alice"):
        self.glance.call("DELETE", f"/v2/images/{image}", token=self.login(user)[0])

    def deactivate(self, image):
        self.glance.call("POST", f"/v2/images/{image}/actions/deactivate", token=self.login("admin")[0])

    def change(self, image, user="alice", **values):
        changes = [{"op": "replace", "path": f"/{key}", "value": value} for key, value in values.items()]
        self.glance.call("PATCH", f"/v2/images/{image}", changes, self.login(user)[0],
                         "application/openstack-images-v2.1-json-patch")

    def share(self, image, owner="bob", user="alice", accept=True):
        project = self.login(user)[1]["project"]["id"]
        self.glance.call("POST", f"/v2/images/{image}/members", {"member": project}, self.login(owner)[0])
        if accept:
            self.glance.call("PUT", f"/v2/images/{image}/members/{project}", {"status": "accepted"},
                             self.login(user)[0])

    # --- what was asked -----------------------------------------------------------------------

    def asked(self):
        """Requests at nginx so far: (method, path, status, bytes, range)."""
        log = self.folder / "asked"
        lines = log.read_text().splitlines() if log.exists() else []
        found = []
        for line in lines:
            _port, method, path, status, size, wanted = line.split(" ", 5)
            found.append((method, path, int(status), int(size), wanted))
        return found

    # --- what the mirror is told ------------------------------------------------------------------

    def clouds_yaml(self, folder):
        """clouds.yaml and secure.yaml for the tests' people; the path of the first."""
        text = "clouds:\n"
        secure = "clouds:\n"
        for user in ("alice", "bob", "admin"):
            text += (f"  {user}:\n    auth_type: v3password\n    auth:\n      auth_url: {self.auth_url}\n"
                     f"      username: {user}\n      project_name: {PROJECTS[user]}\n"
                     "      user_domain_name: Default\n      project_domain_name: Default\n"
                     f"    region_name: RegionOne\n    interface: publicURL\n    cacert: {self.cacert}\n")
            secure += f"  {user}:\n    auth:\n      password: {json.dumps(PASSWORDS[user])}\n"
        text += (f"  application:\n    auth_type: v3applicationcredential\n    auth:\n      auth_url: {self.auth_url}\n"
                 f"      application_credential_id: {self.application['id']}\n"
                 f"    region_name: RegionOne\n    cacert: {self.cacert}\n")
        secure += f"  application:\n    auth:\n      application_credential_secret: {self.application['secret']}\n"
        for name, content in (("clouds.yaml", text), ("secure.yaml", secure)):
            path = Path(folder) / name
            path.write_text(content)
            path.chmod(0o600)
        return Path(folder) / "clouds.yaml"
