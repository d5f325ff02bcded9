# SPDX-License-Identifier: Apache-2.0
"""Uploads, check, ctl, stop and rollback by several users in any order, against a model.

What each step has to answer and what has to be loaded afterwards is worked out
here from the documents alone. The seed and every step are printed;
FABRICFS_SEED repeats a run, FABRICFS_MODEL_SECONDS (10) lengthens it.
"""
import contextlib
import errno
import os
import random
import time

from harness import SLOW, put
from images import BLINK, HX8K, REGS, UPPER, empty_hx1k, flip, sha256

SECONDS = float(os.environ.get("FABRICFS_MODEL_SECONDS", "10"))
GROUP = 51500
# Two of the group that may program, one who may not, and root.
USERS = {"root": (0, 0), "ann": (51001, GROUP), "bob": (51002, GROUP), "eve": (51003, 51003)}
CONFIG = f'access: {{owner: root, group: "{GROUP}", mode: "0660"}}\ncards: [{{name: bench, backend: sim}}]\n'

GOOD = {"upper": UPPER.read_bytes(), "regs": REGS.read_bytes(), "blink": BLINK.read_bytes(),
        "empty": empty_hx1k()}
BAD = {"other-part": (HX8K.read_bytes(), errno.EMEDIUMTYPE),
       "damaged": (flip(GOOD["regs"], len(GOOD["regs"]) // 2, 3), errno.EBADMSG),
       "cut": (GOOD["upper"][:-40], errno.EBADMSG),
       "text": (b"#!/bin/sh\necho no image\n" * 20, errno.ENOEXEC)}


@contextlib.contextmanager
def acting_as(user):
    uid, gid = USERS[user]
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


class Model:
    def __init__(self, card, rng):
        self.card, self.rng = card, rng
        self.loaded, self.previous = "", ""
        self.upload = None  # [user, fd, bytes, stopped] of one that is open and half written
        self.counts = {}

    # --- what must be true -------------------------------------------------------------

    def program(self, sha, rolled_back=False):
        if self.loaded and self.loaded != sha:
            self.previous = self.loaded
        if rolled_back and self.previous == sha:
            self.previous = ""
        self.loaded = sha

    def answer(self, data):
        for name, good in GOOD.items():
            if data == good:
                return 0
        return next(problem for bad, problem in BAD.values() if bad == data)

    def busy(self):
        return self.upload and not self.upload[3]

    def agree(self):
        card = self.card
        assert card.sha == self.loaded
        assert card.state == ("configured" if self.loaded else "unconfigured")
        assert sha256(card.image.read_bytes()) == (self.loaded or sha256(b""))

    # --- steps: each returns what it did, and checks the answer ---------------------------

    def expect(self, said, wanted):
        names = [errno.errorcode.get(e, "ok") for e in (said, wanted)]
        assert said == wanted, f"{names[0]}, wanted {names[1]}; error: {self.card.error!r}"
        self.counts[names[1]] = self.counts.get(names[1], 0) + 1

    def an_image(self):
        if self.rng.random() < 0.6:
            name = self.rng.choice(sorted(GOOD))
            return name, GOOD[name]
        name = self.rng.choice(sorted(BAD))
        return name, BAD[name][0]

    def copy(self, user, name, data):
        with acting_as(user):
            said = put(self.card.image, data, os.O_WRONLY | os.O_TRUNC, chunk=self.rng.choice([4096, 65536]))
        if user == "eve":
            self.expect(said, errno.EACCES)
        elif self.busy():
            self.expect(said, errno.EBUSY)
        else:
            self.expect(said, self.answer(data))
            assert (self.card.error == "") == (said == 0)
            if not said:
                self.program(sha256(data))

    def check(self, user, name, data):
        with acting_as(user):
            said = put(self.card.check, data, os.O_WRONLY | os.O_TRUNC)
        self.expect(said, errno.EACCES if user == "eve" else self.answer(data))

    def nothing(self, user):
        with acting_as(user):
            said = put(self.card.image, b"", os.O_WRONLY | os.O_TRUNC)
        self.expect(said, errno.EACCES if user == "eve" else errno.EBUSY if self.busy() else 0)

    def begin(self, user, name, data):
        with acting_as(user):
            try:
                fd = os.open(self.card.image, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
            except OSError as e:
                self.expect(e.errno, errno.EACCES if user == "eve" else errno.EBUSY)
                return
        assert user != "eve" and not self.busy()
        half = len(data) // 2
        assert os.write(fd, data[:half]) == half
        self.upload = [user, fd, data, False]

    def finish(self, whole):
        _user, fd, data, stopped = self.upload
        self.upload = None
        said = 0
        try:
            if whole:
                os.write(fd, data[len(data) // 2:])
        except OSError as e:
            said = e.errno
        try:
            os.close(fd)
        except OSError as e:
            said = said or e.errno
        if stopped:
            self.expect(said, errno.ECANCELED)
        else:
            self.expect(said, 0 if whole else errno.EBADMSG)
            if whole:
                self.program(sha256(data))

    def stop(self, user):
        with acting_as(user):
            said = put(self.card.dir / "stop", b"upload\n", os.O_WRONLY)
        if user == "eve":
            self.expect(said, errno.EACCES)
        elif self.busy() and user not in ("root", self.upload[0]):
            self.expect(said, errno.EPERM)
        else:
            self.expect(said, 0)
            if self.busy():
                self.upload[3] = True

    def ctl(self, user, word):
        with acting_as(user):
            said = put(self.card.dir / "ctl", word.encode() + b"\n", os.O_WRONLY)
        if user == "eve":
            self.expect(said, errno.EACCES)
        elif self.busy():
            self.expect(said, errno.EBUSY)
        elif word == "nonsense":
            self.expect(said, errno.EINVAL)
        elif word == "clear":
            self.expect(said, 0)
            self.previous, self.loaded = self.loaded or self.previous, ""
        elif word == "rollback":
            self.expect(said, 0 if self.previous else errno.ENODATA)
            if self.previous:
                self.program(self.previous, rolled_back=True)
        else:  # reload reset verify
            self.expect(said, 0 if self.loaded else errno.ENODATA)

    def step(self):
        user = self.rng.choice(["root", "ann", "ann", "bob", "bob", "eve"])
        kinds = ["copy"] * 5 + ["check"] * 2 + ["nothing"] + ["ctl"] * 6 + ["stop"]
        kinds += ["finish"] * 3 + ["stop"] * 3 if self.upload else ["begin"] * 4
        kind = self.rng.choice(kinds)
        if kind == "finish":
            args = (self.rng.random() < 0.7,)
        elif kind == "ctl":
            args = (user, self.rng.choice(["clear", "reset", "reload", "rollback", "rollback", "verify", "nonsense"]))
        elif kind == "begin":
            name = self.rng.choice(sorted(GOOD))
            args = (user, name, GOOD[name])
        elif kind in ("copy", "check"):
            args = (user, *self.an_image())
        else:
            args = (user,)
        print(kind, *[a for a in args if not isinstance(a, bytes)], flush=True)
        getattr(self, kind)(*args)
        self.agree()


def test_any_order_of_steps_by_several_users_agrees_with_the_model(fpga):
    seed = int(os.environ.get("FABRICFS_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"FABRICFS_SEED={seed}")
    fabric = fpga(sim=None, config=CONFIG)
    os.chmod(fabric.folder, 0o755)
    model = Model(fabric.card(), random.Random(seed))
    end, steps = time.monotonic() + SECONDS, 0
    try:
        while time.monotonic() < end or steps < 40 / SLOW:
            model.step()
            steps += 1
    finally:
        if model.upload:
            with contextlib.suppress(OSError):
                os.close(model.upload[1])
    print(f"{steps} steps: {model.counts}")
    assert model.counts["ok"] > 5
