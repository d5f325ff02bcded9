# SPDX-License-Identifier: Apache-2.0
"""Fixtures: `fpga` makes daemons, `fabric` is one with one card, shared within a file."""
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from harness import BIN, Fabric


def pytest_sessionstart(session):
    if not BIN.exists():
        pytest.exit(f"{BIN} is not there: run make first", returncode=2)


def pytest_collection_modifyitems(items):
    for item in items:
        if os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root to mount"))


def folder():
    """A short path: sockets and mount tables dislike long ones."""
    return Path(tempfile.mkdtemp(prefix="fabricfs-"))


class Maker:
    def __init__(self):
        self.made = []

    def __call__(self, **kw):
        fabric = self.make(**kw)
        return fabric.start()

    def make(self, **kw):
        """Not started."""
        place = kw.pop("folder", None)
        if place is None:
            place = folder()
        fabric = Fabric(place, **kw)
        self.made.append(fabric)
        return fabric

    def end(self):
        problems = []
        for fabric in reversed(self.made):
            try:
                fabric.stop()
            except BaseException as e:  # every daemon has to be ended, whatever one says
                problems.append(e)
            fabric.kill_all()
            shutil.rmtree(fabric.folder, ignore_errors=True)
        if problems:
            raise problems[0]


@pytest.fixture
def fpga():
    maker = Maker()
    yield maker
    maker.end()


@pytest.fixture(scope="module")
def module_fpga():
    maker = Maker()
    yield maker
    maker.end()


@pytest.fixture(scope="session")
def cloud():
    """Keystone and Glance of one's own, with images of all sorts (openstack.py)."""
    import openstack
    place = folder()
    made = None
    try:
        made = openstack.Cloud(place)
        made.start()
        yield made
    finally:
        if made:
            made.stop()
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def fabric(module_fpga):
    """One daemon with one card for the tests of a file that do not mind each other."""
    return module_fpga()


@pytest.fixture
def card(fabric):
    return fabric.card(0)
