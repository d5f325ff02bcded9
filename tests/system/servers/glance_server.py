# SPDX-License-Identifier: Apache-2.0
"""Debian's Glance as one process: makes its database, then answers plain HTTP.

usage: glance_server.py CONF   (its glance-api.conf, in a folder of its own)
"""
import os
import sqlite3
import sys

CONF = sys.argv[1]

if not os.path.exists(os.path.join(os.path.dirname(CONF), "glance.db")):
    pid = os.fork()
    if pid == 0:
        from glance.cmd import manage
        sys.argv = ["glance-manage", "--config-file", CONF, "db_sync"]
        status = 1
        try:
            status = 1 if manage.main() else 0
        finally:
            os._exit(status)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        sys.exit("glance-manage db_sync failed")
    with sqlite3.connect(os.path.join(os.path.dirname(CONF), "glance.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")

from glance.cmd import api  # noqa: E402  (it patches sockets and threads)

sys.argv = ["glance-api", "--config-file", CONF]
sys.exit(api.main())
