# SPDX-License-Identifier: Apache-2.0
"""A web server with images: nginx on free ports of 127.0.0.1, without root's folders and without systemd.

    with WebServer(folder) as web: web.put("a.bit", b"..."); web.url("json")

Folders of it, which all show the same files: html/ and json/ (index pages of both forms), rounded/
(sizes rounded), basic/ (Basic), bearer/ (a token), norange/, plain/ (no index), noversion/ (neither
ETag nor Last-Modified). tls_port has them with HTTP/2 and a certificate of `authority`,
expired_port with one whose time is over, client_port wants one of the client, optional_port takes
one and notes it (shown()). away/ leads to json/ there, plainly/ to json/ without TLS.
"""
import ctypes
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from harness import until

USER, PASSWORD, TOKEN = "fpga", "pass:word-of-the-web", "t0ken-of-the-web"


def die_with_parent():
    """For preexec_fn: a server does not outlive tests that are killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def free_ports(n):
    """Ports that nobody has now."""
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


class Authority:
    """A certificate authority of one's own, and what it certifies."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cacert = self.folder / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                      "-days", "30", "-subj", "/CN=authority of a test", "-keyout", "ca.key", "-out", "ca.pem")

    def _openssl(self, *argv):
        subprocess.run(["openssl", *argv], cwd=self.folder, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def certify(self, name, days=30):
        """Paths of a certificate for 127.0.0.1 and its key."""
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                      "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                      "-days", str(days), "-extfile", "names", "-out", f"{name}.pem")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


LOCATIONS = """
    location /html/ {{ alias {root}/; autoindex on; }}
    location = /html {{ absolute_redirect off; return 301 /html/; }}
    location /rounded/ {{ alias {root}/; autoindex on; autoindex_exact_size off; }}
    location /json/ {{ alias {root}/; autoindex on; autoindex_format json; }}
    location /basic/ {{ alias {root}/; autoindex on; autoindex_format json; auth_basic x; auth_basic_user_file {users}; }}
    location /bearer/ {{ if ($http_authorization != "Bearer {token}") {{ return 401; }}
                        alias {root}/; autoindex on; autoindex_format json; }}
    location /norange/ {{ alias {root}/; autoindex on; autoindex_format json; max_ranges 0; }}
    location /noversion/ {{ alias {root}/; autoindex on; autoindex_format json; etag off; if_modified_since off;
                           add_header Last-Modified ""; }}
    location /plain/ {{ alias {root}/; }}
    location /away/ {{ rewrite ^/away/(.*)$ https://127.0.0.1:{ports[4]}/json/$1 redirect; }}
    location /plainly/ {{ rewrite ^/plainly/(.*)$ http://127.0.0.1:{ports[0]}/json/$1 redirect; }}
"""

CONFIG = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  default_type application/octet-stream; charset utf-8; sendfile on; keepalive_requests 100000;
  log_format one '$request_method $uri $status $body_bytes_sent $server_protocol $http_range';
  access_log {folder}/access.log one;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{ports[0]}; {locations} }}
  server {{ listen 127.0.0.1:{ports[1]} ssl http2; ssl_certificate {server[0]}; ssl_certificate_key {server[1]}; {locations} }}
  server {{ listen 127.0.0.1:{ports[2]} ssl; ssl_certificate {expired[0]}; ssl_certificate_key {expired[1]}; {locations} }}
  server {{ listen 127.0.0.1:{ports[3]} ssl; ssl_certificate {server[0]}; ssl_certificate_key {server[1]};
           ssl_client_certificate {cacert}; ssl_verify_client on; {locations} }}
  log_format shown '$uri $ssl_client_verify';
  server {{ listen 127.0.0.1:{ports[4]} ssl; ssl_certificate {server[0]}; ssl_certificate_key {server[1]};
           ssl_client_certificate {cacert}; ssl_verify_client optional; access_log {folder}/shown.log shown; {locations} }}
}}
"""


class WebServer:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.root = self.folder / "root"
        self.root.mkdir(parents=True)
        self.authority = Authority(self.folder / "tls")
        self.client = self.authority.certify("client")
        self.ports = free_ports(5)
        self.port, self.tls_port, self.expired_port, self.client_port, self.optional_port = self.ports
        self.process = None
        self._configure()

    def _configure(self):
        users = self.folder / "users"
        hashed = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], check=True, capture_output=True, text=True)
        users.write_text(f"{USER}:{hashed.stdout}")
        locations = LOCATIONS.format(root=self.root, users=users, token=TOKEN, ports=self.ports)
        (self.folder / "nginx.conf").write_text(CONFIG.format(
            folder=self.folder, ports=self.ports, locations=locations, cacert=self.authority.cacert,
            server=self.authority.certify("server"), expired=self.authority.certify("expired", days=-1)))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        # One process: it ends when it is told, and its files are its user's.
        self.process = subprocess.Popen(["nginx", "-p", self.folder, "-c", self.folder / "nginx.conf"],
                                        stdin=subprocess.DEVNULL, stderr=open(self.folder / "start.log", "wb"),
                                        preexec_fn=die_with_parent)

        def up():
            if self.process.poll() is not None:
                raise AssertionError(f"nginx ended: {(self.folder / 'start.log').read_text()}")
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.client_port)) == 0
        until(up, "nginx listens")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
        self.process = None

    def url(self, location, tls=False):
        return f"https://127.0.0.1:{self.tls_port}/{location}/" if tls else f"http://127.0.0.1:{self.port}/{location}/"

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def put(self, name, data, age=0):
        """A file, written `age` seconds ago, as a whole; names may be bytes."""
        name = os.fsencode(name)
        path = os.path.join(os.fsencode(self.root), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + b".new", "wb") as f:
            f.write(data)
        when = time.time() - age
        os.utime(path + b".new", (when, when))
        os.replace(path + b".new", path)
        return path

    def shown(self):
        """What requests to optional_port showed of a certificate: SUCCESS or NONE."""
        path = self.folder / "shown.log"
        return [line.split()[-1] for line in path.read_text().splitlines()] if path.exists() else []

    def log(self):
        """Lines "METHOD path status bytes protocol range" of what was asked."""
        path = self.folder / "access.log"
        return path.read_text(errors="surrogateescape").splitlines() if path.exists() else []
