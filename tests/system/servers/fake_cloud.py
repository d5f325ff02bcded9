# SPDX-License-Identifier: Apache-2.0
"""Keystone and Glance as far as faults need them that the real ones do not show on demand.

Runs on threads of the test. Times are the test's: a token ends when it says so.
"""
import hashlib
import json
import re
import socket
import ssl
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class FakeCloud:
    """One project, one user. Everything may be changed while it runs, with .lock."""

    def __init__(self, password="fake-Secret-1", certificate=None):
        self.lock = threading.RLock()
        self.password = password
        self.lifetime = 3600          # seconds that a token says it is good for
        self.tokens = set()           # the good ones
        self.given = 0
        self.made = 0
        self.images = {}              # id -> (record, bytes)
        self.page = 1000
        self.log = []                 # (method, path, status, Range)
        self.sent = {}                # id -> bytes of data sent
        self.refuse = False           # Glance takes no token at all
        self.odd = None               # what is wrong with pages: see list()
        self.hold = None              # an Event that data wait for, half way
        self.busy = {}                # of a method: so many requests are answered by busy_status
        self.busy_status = 503
        self.forbid = set()           # methods that are answered by 403
        self.retry_after = lambda: "0"  # of busy answers
        self.dated = True             # answers have a Date
        self.hold_login = None        # one that logins wait for
        self.cut = 0                  # connections of data to be cut half way
        self.prefix = ""              # path of the image service
        self.extra_endpoints = []     # before the good one
        self.login_headers = []       # after the token's
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are two writes

            def do_GET(self):
                outer.get(self)

            def do_POST(self):
                outer.login(self)

            def log_message(self, *args):
                pass

        self.sockets = set()

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def process_request(self, request, client_address):
                outer.sockets.add(request)
                super().process_request(request, client_address)

            def shutdown_request(self, request):
                outer.sockets.discard(request)
                super().shutdown_request(request)

            def handle_error(self, request, client_address):
                pass  # the mirror may hang up when it likes

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if certificate:  # (certificate, key)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
            self.url = f"https://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def stop(self):
        for event in (self.hold, self.hold_login):
            if event:
                event.set()
        self.server.shutdown()
        self.server.server_close()
        for s in list(self.sockets):  # connections that are kept
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # --- what there is -------------------------------------------------------------------

    def image(self, name, data=b"", **values):
        with self.lock:
            self.made += 1
            number = self.made
        ident = values.pop("id", f"{number:08x}-0000-4000-8000-{number:012x}")
        record = {"id": ident, "name": name, "status": "active", "size": len(data), "owner": "p1",
                  "visibility": "private", "checksum": hashlib.md5(data).hexdigest(), "os_hash_algo": "sha512",
                  "os_hash_value": hashlib.sha512(data).hexdigest(), "created_at": stamp(1767225600 + number),
                  "updated_at": stamp(1767225600 + number), "tags": [], "disk_format": "raw",
                  "container_format": "bare", "protected": False, "os_hidden": False, "min_ram": 0, "min_disk": 0}
        record.update(values)
        with self.lock:
            self.images[ident] = (record, data)
        return ident

    def expire(self):
        """No token that was given is good any more."""
        with self.lock:
            self.tokens.clear()

    def logins(self):
        return sum(1 for method, path, status, _ in self.log if method == "POST")

    def asked(self, pattern):
        return [line for line in self.log if re.search(pattern, f"{line[0]} {line[1]}")]

    # --- answers ----------------------------------------------------------------------------

    def answer(self, handler, status, body=b"", headers=(), kind="application/json"):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        with self.lock:
            self.log.append((handler.command, handler.path, status, handler.headers.get("Range")))
        if self.dated:
            handler.send_response(status)
        else:
            handler.send_response_only(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Type", kind)
        if status != 204:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def is_busy(self, handler):
        with self.lock:
            busy = self.busy.get(handler.command, 0) > 0
            self.busy[handler.command] = self.busy.get(handler.command, 0) - busy
        if busy:
            self.answer(handler, self.busy_status, b"<html>later</html>", [("Retry-After", self.retry_after())],
                        "text/html")
        elif handler.command in self.forbid:
            self.answer(handler, 403, b"<html>forbidden</html>", kind="text/html")
            return True
        return busy

    def login(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        if self.is_busy(handler):
            return
        user = body["auth"]["identity"].get("password", {}).get("user", {})
        if self.hold_login:
            self.hold_login.wait(60)
        if user.get("password") != self.password:
            self.answer(handler, 401, {"error": {"code": 401, "message": "no"}})
            return
        with self.lock:
            self.given += 1
            token = f"gAAAAA-token-{self.given}-{self.port}"
            self.tokens.add(token)
        self.answer(handler, 201, {"token": self.described()}, [("X-Subject-Token", token), *self.login_headers])

    def described(self):
        """What Keystone says of the token that it gives."""
        now = time.time()
        good = [{"interface": "public", "region_id": "R1", "url": self.url + self.prefix}]
        return {"issued_at": stamp(now), "expires_at": stamp(now + self.lifetime),
                "project": {"id": "p1", "name": "fpga"},
                "catalog": [{"type": "image", "endpoints": self.extra_endpoints + good}]}

    def get(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        with self.lock:
            good = handler.headers.get("X-Auth-Token") in self.tokens and not self.refuse
        path = url.path.removeprefix(self.prefix)
        if self.is_busy(handler):
            return
        if not good:
            self.answer(handler, 401, b"<html>no</html>", kind="text/html")
        elif path == "/v2/images":
            self.list(handler, dict(urllib.parse.parse_qsl(url.query)))
        else:
            found = re.fullmatch(r"/v2/images/([^/]+)/file", path)
            image = self.images.get(found.group(1)) if found else None
            if image:
                self.data(handler, found.group(1), *image)
            else:
                self.answer(handler, 404, b"<html>no</html>", kind="text/html")

    def list(self, handler, query):
        with self.lock:
            records = [record for record, _ in self.images.values()]
        if query.get("os_hidden") or query.get("visibility"):
            records = []
        since = query.get("updated_at", "").removeprefix("gte:")
        records = [r for r in records if r["updated_at"] >= since]
        begin = 0
        if "marker" in query:
            ids = [r["id"] for r in records]
            if query["marker"] not in ids:
                self.answer(handler, 400, b"<html>marker</html>", kind="text/html")
                return
            begin = ids.index(query["marker"]) + 1
        page = records[begin:begin + min(self.page, int(query.get("limit", 25)))]
        answer = {"images": page, "first": "/v2/images", "schema": "/v2/schemas/images"}
        if page and begin + len(page) < len(records):
            answer["next"] = f"/v2/images?limit={query['limit']}&marker={page[-1]['id']}"
        if self.odd == "html":
            self.answer(handler, 200, b"<html>Please log in to the network</html>", kind="text/html")
            return
        if self.odd == "absolute" and "next" in answer:
            answer["next"] = self.url + self.prefix + answer["next"]
        if self.odd == "prefixed" and "next" in answer:
            answer["next"] = self.prefix + answer["next"]
        if self.odd == "elsewhere":
            answer["next"] = "http://127.0.0.1:9/v2/images?marker=x"
        if self.odd == "circle":
            answer["next"] = f"/v2/images?limit=1000&marker={records[int(time.time() * 1000) % 2]['id']}"
        if self.odd == "itself":
            answer["next"] = handler.path
        if self.odd == "empty" and begin == 0 and "page" not in query:
            answer = {"images": [], "next": "/v2/images?limit=1000&page=2"}
        self.answer(handler, 200, answer)

    def data(self, handler, ident, record, data):
        if record["status"] == "queued":
            self.answer(handler, 204)
            return
        if record["status"] == "deactivated":
            self.answer(handler, 403, b"<html>no</html>", kind="text/html")
            return
        begin, end, status = 0, len(data), 200
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range") or "")
        headers = [("Content-Md5", record["checksum"])]
        if wanted:
            begin, status = int(wanted.group(1)), 206
            end = min(len(data), int(wanted.group(2)) + 1) if wanted.group(2) else len(data)
            if begin >= len(data):
                self.answer(handler, 416)
                return
            headers.append(("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}"))
        with self.lock:
            self.log.append(("GET", handler.path, status, handler.headers.get("Range")))
            cut = self.cut > 0 and end - begin > 1
            self.cut -= cut
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Type", "application/octet-stream")
        handler.send_header("Content-Length", str(end - begin))
        handler.end_headers()
        middle = begin + (end - begin) // 2
        handler.wfile.write(data[begin:middle])
        self.count(ident, middle - begin)
        if self.hold and not cut:
            self.hold.wait(60)
        if cut:
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
            return
        handler.wfile.write(data[middle:end])
        self.count(ident, end - middle)

    def count(self, ident, n):
        with self.lock:
            self.sent[ident] = self.sent.get(ident, 0) + n
