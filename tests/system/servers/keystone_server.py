# SPDX-License-Identifier: Apache-2.0
"""Debian's Keystone as one process: makes its database, then answers plain HTTP.

usage: keystone_server.py CONF PORT PASSWORD   (CONF is its keystone.conf, in a folder of its own)

Each step of keystone-manage runs in a child of its own, because it reads the
configuration in its own way; the import, which takes longest, is shared.
"""
import os
import socketserver
import sqlite3
import sys
import wsgiref.simple_server

CONF, PORT, PASSWORD = sys.argv[1], int(sys.argv[2]), sys.argv[3]
os.environ["OS_KEYSTONE_CONFIG_FILES"] = CONF
os.environ["OS_BOOTSTRAP_PASSWORD"] = PASSWORD

from keystone.cmd import manage  # noqa: E402
from keystone.server import wsgi  # noqa: E402

URL = f"http://127.0.0.1:{PORT}/v3"
OWNER = ["--keystone-user", str(os.geteuid()), "--keystone-group", str(os.getegid())]


def step(*argv):
    pid = os.fork()
    if pid == 0:
        sys.argv = ["keystone-manage", "--config-file", CONF, *argv]
        status = 1
        try:
            manage.main()
            status = 0
        except SystemExit as e:
            status = 0 if not e.code else 1
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        sys.exit(f"keystone-manage {argv[0]} ended with {status}")


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *args):
        pass


if not os.path.exists(os.path.join(os.path.dirname(CONF), "keystone.db")):
    step("db_sync")
    # Readers must not stand in the way of the one who writes: "database is locked".
    with sqlite3.connect(os.path.join(os.path.dirname(CONF), "keystone.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")
    step("fernet_setup", *OWNER)
    step("credential_setup", *OWNER)
    step("bootstrap", "--bootstrap-admin-url", URL, "--bootstrap-internal-url", URL,
         "--bootstrap-public-url", URL, "--bootstrap-region-id", "RegionOne")
sys.argv = ["keystone"]
application = wsgi.initialize_public_application()
with Server(("127.0.0.1", PORT), Quiet) as server:
    server.set_app(application)
    server.serve_forever()
