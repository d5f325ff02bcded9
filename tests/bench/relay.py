# SPDX-License-Identifier: Apache-2.0
"""A relay of TCP that delays bytes by so much each way, at any rate, and counts them; the same for all who are compared."""
import os
import subprocess
from pathlib import Path

PROGRAM = Path(os.environ.get("FABRICFS_BUILD", Path(__file__).resolve().parents[2] / "build")) / "tests" / "bench" / "relay"


class Relay:
    """with Relay(8080, delay=0.01) as relay: relay.port; relay.received is what came from 127.0.0.1:8080."""

    def __init__(self, port, delay=0.0):
        self.target, self.delay, self.port = port, delay, 0
        self._process = None

    def __enter__(self):
        self._process = subprocess.Popen([str(PROGRAM), str(self.target), str(round(self.delay * 1e6))],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(30)

    def _say(self, word):
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return [int(n) for n in self._process.stdout.readline().split()]

    def forget(self):
        self._say("forget")

    @property
    def received(self):
        return self._say("count")[0]
