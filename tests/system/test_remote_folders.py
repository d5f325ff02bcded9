# SPDX-License-Identifier: Apache-2.0
"""Folders below that of a web server's repository: asked for a few at once, of a server that knows how many."""
import errno
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness import LIMIT, until
from test_remote_listing import Repo


class Folders(ThreadingHTTPServer):
    """Folders 0 to `count` - 1, each with an image: `meet` of them have to be asked for at once."""
    daemon_threads = True

    def __init__(self, count, meet):
        super().__init__(("127.0.0.1", 0), FoldersHandler)
        self.names, self.meet, self.broken = [f"f{i}" for i in range(count)], threading.Barrier(meet), set()
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.meet.abort()
        self.shutdown()
        self.server_close()


class FoldersHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, path = self.server, self.path.strip("/")
        if "SHA256SUMS" not in path:
            server.asked.append(path)
        if path == "":
            page = [{"name": n, "type": "directory"} for n in server.names]
        elif path in server.broken:
            until(lambda: server.meet.n_waiting == 2, "the others are asked for too")
            page = None
        elif path in server.names:
            try:
                server.meet.wait(LIMIT)
            except threading.BrokenBarrierError:
                pass
            page = [{"name": "x.bin", "type": "file", "size": 1, "mtime": "Sat, 21 Nov 2026 12:00:00 GMT"}]
        else:
            page = None
        if page is None:
            self.send_response(400 if path in server.broken else 404)
            page = []
        else:
            self.send_response(200)
        body = json.dumps(page).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def mount(fpga):
    """The repository of a server, with further keys."""
    def make(server, more=""):
        fabric = fpga(config=f"repositories:\n  web: {{kind: http, url: \"{server.url}\", depth: 1, max-age: 1h{more}}}\n"
                             "cache: {offline-timeout: 5s}\n")
        return Repo(fabric, "web")
    return make


def test_folders_are_asked_for_a_few_at_once(mount):
    with Folders(12, meet=2) as server:
        repo = mount(server)
        assert repo.images() == sorted(f"{n}%2Fx.bin" for n in server.names), repo.read("error")


def test_with_one_connection_they_come_one_after_the_other(mount):
    with Folders(3, meet=1) as server:
        repo = mount(server, ", connections: 1")
        assert repo.images() == sorted(f"{n}%2Fx.bin" for n in server.names), repo.read("error")


def test_a_folder_that_fails_ends_those_that_are_asked_for_with_it(mount):
    with Folders(6, meet=2) as server:
        repo = mount(server)
        assert len(repo.images()) == 6, repo.read("error")
        # It fails, and the others never answer: who waited for them would ask again.
        server.meet, server.broken = threading.Barrier(100), {"f0"}
        server.asked.clear()
        assert repo.refresh() == errno.EREMOTEIO
        assert "/f0/" in repo.read("error")
        assert sorted(server.asked) == ["", "f0", "f1", "f2"]
        assert len(repo.images()) == 6, "what was listed stays"
