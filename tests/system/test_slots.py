# SPDX-License-Identifier: Apache-2.0
"""Slots: whole fabrics on one carrier, of which none notices what is done to another."""
import errno
import os
import select
import signal
import sys
import threading

import pytest

from harness import BIN, FAULT, SLOW, fault, need, put, run, shell, until
from images import BLINK, EXAMPLES, HX8K, REGS, UPPER, flip, sha256
from test_restart import KILL_S
from test_tree import CRAWLERS, files

DIGITS = EXAMPLES / "digits"
sys.path.insert(0, str(DIGITS))
import reference  # noqa: E402

PICTURES, _ = reference.samples_read(DIGITS / "samples.txt")
WEIGHTS = reference.weights_read(DIGITS)
FOUR = [UPPER, DIGITS / "digits.bin", REGS, BLINK]
CONFIG = """\
telemetry: {max-age: 0ms}
cards:
  - {name: four, backend: sim, part: iCE40-HX1K, slots: 4, config_clock_hz: %d}
"""


@pytest.fixture(name="carrier", scope="module")
def fixture_carrier(module_fpga):
    """A card with four slots, and four different images in them."""
    return module_fpga(sim=None, config=CONFIG % 25000000)


@pytest.fixture(name="card")
def fixture_card(carrier):
    return carrier.card()


@pytest.fixture(name="slots")
def fixture_slots(card):
    slots = [card.slot(i) for i in range(4)]
    for where in (card, *slots):
        for name in os.listxattr(where.dir):
            os.removexattr(where.dir, name)
    for slot, image in zip(slots, FOUR):
        if slot.sha != sha256(image):
            slot.load(image)
    return slots


class Stream:
    """Asks a slot for answers, and lets its design come to rest after each."""

    def __init__(self, slot):
        self.slot = slot
        self.rx = os.open(slot.dir / "io/rx", os.O_RDONLY | os.O_CLOEXEC)
        self.tx = os.open(slot.dir / "io/tx", os.O_WRONLY | os.O_CLOEXEC)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.rx)
        os.close(self.tx)

    def ask(self, data):
        while data:
            data = data[os.write(self.tx, data):]
        got = b""
        while piece := os.read(self.rx, 4096):  # ends when the design is at rest
            got += piece
        return got


def counted(card, slot):
    """What the slot has counted: clock cycles and changes of outputs in the fabric."""
    return [int(card.value(f"telemetry/slot{slot}_{name}")) for name in ("cycles", "toggles")]


def all_at_once(*work):
    """Runs functions in threads; the first exception of any of them is raised here."""
    problems = []

    def guarded(one):
        try:
            one()
        except BaseException as e:
            problems.append(e)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if problems:
        raise problems[0]


def test_four_slots_run_four_different_images_at_once(carrier, card, slots):
    for slot in slots:
        assert slot.ctl("clear") == 0 and slot.state == "unconfigured"
    all_at_once(*[lambda s=slot, i=image: s.load(i) for slot, image in zip(slots, FOUR)])
    assert [s.sha for s in slots] == [sha256(i) for i in FOUR]
    assert sorted(os.listdir(slots[0].dir)) == sorted(
        "image check state progress error loaded history ctl stop lease io".split())
    assert slots[0].exchange(b"four at once") == b"FOUR AT ONCE"
    with Stream(slots[1]) as digits:
        assert digits.ask(PICTURES[7]) == bytes([reference.classify(PICTURES[7], WEIGHTS)])
    with open(slots[2].dir / "io/regs", "rb", buffering=0) as regs:
        assert os.pread(regs.fileno(), 2, 0) == b"\xb1\xfa"
    assert "68 " in slots[3].read("io/pins")
    # The card itself has no design, no endpoint and no image.
    assert os.listdir(card.dir / "io") == [] and card.sha == "" and card.state == "unconfigured"
    assert card.image.read_bytes() == b"" and slots[2].image.read_bytes() == REGS.read_bytes()


def test_status_and_metrics_have_a_line_a_slot(carrier, card, slots):
    lines = {line.split()[0]: line.split() for line in carrier.read("status").splitlines()}
    for i, slot in enumerate(slots):
        assert lines[f"dev0/slots/{i}"][1:3] == ["configured", "iCE40-HX1K"]
    told = carrier.status()["cards"][0]
    assert [s["slot"] for s in told["slots"]] == [0, 1, 2, 3]
    assert [s["loaded"]["sha256"] for s in told["slots"]] == [sha256(i) for i in FOUR]
    assert told["loaded"] is None and told["telemetry"]["slot0_cycles"]["source"] == "measured"
    assert told["telemetry"]["model_slot3_power_watts"]["source"] == "model"
    metrics = carrier.metrics()
    for i in range(4):
        assert metrics[f'fabricfs_card_state{{dev="dev0",slot="{i}",state="configured"}}'] == 1
        assert metrics[f'fabricfs_programs_total{{dev="dev0",slot="{i}",result="ok"}}'] >= 1
    assert metrics['fabricfs_card_state{dev="dev0",slot="",state="unconfigured"}'] == 1
    assert metrics['fabricfs_telemetry{dev="dev0",name="slot2_cycles"}'] >= 0
    power = sum(float(card.value(f"telemetry/model_slot{i}_power_watts")) for i in range(4))
    assert float(card.value("telemetry/model_power_watts")) == pytest.approx(power, rel=0.5)
    for record in slots[1].history():
        assert record["dev"] == "dev0" and record["slot"] == 1
    assert {r.get("slot") for r in card.history()} >= {0, 1, 2, 3}


def ask_all(card, streams, rounds):
    """Three slots answer; what they said and what it cost them, all of it."""
    said = [[], [], []]
    before = [counted(card, i) for i in range(3)]

    def one(i, stream):
        for n in range(rounds):
            question = PICTURES[(31 * i + n) % len(PICTURES)] if i == 1 else b"slot %d, question %d\n" % (i, n)
            said[i].append(stream.ask(question))

    all_at_once(*[lambda a=i, s=stream: one(a, s) for i, stream in enumerate(streams)])
    after = [counted(card, i) for i in range(3)]
    return said, [[b - a for a, b in zip(x, y)] for x, y in zip(before, after)]


class Disturber(threading.Thread):
    """Programs a slot over and over, well and badly; and kills the worker if it is told to."""

    def __init__(self, fabric, slot, kills):
        super().__init__()
        self.fabric, self.slot, self.kills = fabric, slot, kills
        self.done = threading.Event()
        self.good = self.bad = self.killed = 0
        self.wrong = []

    def run(self):
        bad = flip(REGS.read_bytes(), 9000, 3)
        while not self.done.is_set():
            for image in (BLINK, REGS, UPPER):
                problem = put(self.slot.image, image.read_bytes())
                if problem:
                    self.wrong.append(f"{image}: {errno.errorcode[problem]}: {self.slot.error}")
                self.good += 1
            if put(self.slot.image, bad) != errno.EBADMSG:
                self.wrong.append("an image with a flipped bit was taken")
            self.bad += 1
            if fault(self.slot, "done-stuck", "1") or put(self.slot.image, BLINK.read_bytes()) != errno.EIO:
                self.wrong.append("programming with DONE held low went well")
            if fault(self.slot, "done-stuck", None) or self.slot.ctl("rollback"):
                self.wrong.append(f"rollback: {self.slot.error}")
            self.bad += 1
            if self.kills:
                self.killed += self.fabric.kill("fabricfs-worker")


@pytest.mark.parametrize("kills", [False, True], ids=["programming", "programming and kill -9 of the worker"])
def test_programming_one_slot_disturbs_not_one_cycle_of_the_others(carrier, card, slots, kills):
    rounds = 120
    slots[2].load(UPPER)
    carrier.expect_errors |= kills
    with Stream(slots[0]) as a, Stream(slots[1]) as b, Stream(slots[2]) as c:
        streams = (a, b, c)
        ask_all(card, streams, rounds)  # what was asked last before shows in what changes
        alone = ask_all(card, streams, rounds)
        # Each run costs what the one before did, or there would be nothing to compare.
        assert ask_all(card, streams, rounds) == alone
        disturber = Disturber(carrier, slots[3], kills)
        disturber.start()
        try:
            runs = 0
            while runs < 3 or (disturber.good < 12 and disturber.is_alive()):
                said, cost = ask_all(card, streams, rounds)
                assert said == alone[0]
                # A build so slow that a slice of the clock takes less than a question can be cut off from
                # its worker in the middle of one: the design then waits a cycle or two for the next byte.
                assert cost == alone[1] or (kills and SLOW > 1)
                runs += 1
        finally:
            disturber.done.set()
            disturber.join()
    print(f"{runs} runs of 3 x {rounds} answers, {disturber.good} good and {disturber.bad} bad runs beside "
          f"them, {disturber.killed} kills; cycles and toggles {alone[1]}")
    assert not disturber.wrong, "\n".join(disturber.wrong)
    assert disturber.good >= 12 and disturber.bad >= 8 and bool(disturber.killed) == kills
    assert [s.sha for s in slots[:3]] == [sha256(UPPER), sha256(FOUR[1]), sha256(UPPER)]
    said = alone[0]
    assert b"".join(said[0]) == b"".join(b"SLOT 0, QUESTION %d\n" % n for n in range(rounds))
    assert said[1] == [bytes([reference.classify(PICTURES[31 + n], WEIGHTS)]) for n in range(rounds)]


def test_a_slot_that_is_programmed_for_long_holds_up_nobody(carrier, card, slots):
    # 257,760 bits at 10,000 bits a second.
    assert fault(slots[3], "slow", "10000") == 0
    slow = threading.Thread(target=lambda: answers.append(put(slots[3].image, REGS.read_bytes())))
    answers = []
    slow.start()
    try:
        slots[3].wait_state("programming")
        assert slots[0].exchange(b"still here") == b"STILL HERE"
        slots[2].load(BLINK)
        slots[2].load(REGS)
        assert slots[1].ctl("reload") == 0 and slots[1].ctl("verify") == 0
        assert int(card.value("telemetry/cycles")) > 0
        assert fault(slots[0], "slow", "5000000") == 0 and fault(slots[0], "slow", None) == 0
        assert run(["cp", str(BLINK), str(slots[3].image)]).stderr.endswith("Device or resource busy\n")
        with pytest.raises(OSError) as e:
            slots[3].ctl("reset")
        assert e.value.errno == errno.EBUSY
        line = slots[3].value("progress")
        assert line.startswith("programming ") and line.split()[2] == str(REGS.stat().st_size)
        assert slots[0].value("progress") == "idle 0 0 0%"
        assert slots[3].state == "programming" and slow.is_alive()
        (slots[3].dir / "stop").write_text("upload\n")
    finally:
        slow.join()
    assert answers == [errno.ECANCELED] and slots[3].state == "failed"
    assert fault(slots[3], "slow", None) == 0
    assert slots[3].ctl("rollback") == 0 and slots[3].sha == sha256(BLINK)


class Killer(threading.Thread):
    """kill -9 of each worker some time after it began to serve, however long it took to come to that."""

    def __init__(self, fabric):
        super().__init__()
        self.fabric, self.done, self.kills = fabric, threading.Event(), 0

    def run(self):
        while not self.done.is_set():
            self.fabric.read("status")
            self.done.wait(KILL_S)
            self.kills += self.fabric.kill("fabricfs-worker")


def test_four_writers_at_once_while_workers_die(carrier, card, slots):
    carrier.expect_errors = True
    def write(slot, at):
        for n in range(12):
            image = FOUR[(at + n) % 4]
            told = run(["cp", str(image), str(slot.image)])
            assert told.returncode == 0, f"{slot.name}, {n}: {told.stderr} ({slot.error})"
            assert slot.sha == sha256(image)

    before = [slot.count("programmed", "ok") for slot in slots]
    killer = Killer(carrier)
    killer.start()
    try:
        all_at_once(*[lambda s=slot, a=i: write(s, a) for i, slot in enumerate(slots)])
    finally:
        killer.done.set()
        killer.join()
    assert killer.kills >= 2
    # Each copy once.
    assert [slot.count("programmed", "ok") - b for slot, b in zip(slots, before)] == [12] * 4
    assert len(carrier.processes("fabricfs-card")) == 1


def test_runs_on_slow_links_survive_the_worker(carrier, card, slots):
    carrier.expect_errors = True
    # 257,760 bits at 150,000 bits a second each.
    assert [fault(slot, "slow", "150000") for slot in slots] == [0] * 4
    before = [slot.count("programmed", "ok") for slot in slots]
    images = [REGS, BLINK, UPPER, REGS]
    told = [None] * 4

    def write(i):
        told[i] = run(["cp", str(images[i]), str(slots[i].image)])

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for slot in slots:
        slot.wait_state("programming")
    assert carrier.kill("fabricfs-worker") == 1
    for t in threads:
        t.join()
    assert [t.returncode for t in told] == [0] * 4, told
    assert [slot.sha for slot in slots] == [sha256(i) for i in images]
    assert [slot.count("programmed", "ok") - b for slot, b in zip(slots, before)] == [1] * 4


def test_nothing_of_a_design_leaks_through_the_latch(card, slots):
    slot = slots[0]
    put(slot.dir / "io/tx", b"nobody reads this", must=True)
    rx = os.open(slot.dir / "io/.rx", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        assert fault(slot, "slow", "200000") == 0
        writer = threading.Thread(target=put, args=(slot.image, UPPER.read_bytes()))
        writer.start()
        slot.wait_state("programming")
        with pytest.raises(OSError) as e:
            os.read(rx, 100)
        assert e.value.errno == errno.ESTALE
        poller = select.poll()
        poller.register(rx, select.POLLIN)
        assert poller.poll(0)[0][1] & select.POLLHUP
        for name in ("io/rx", "io/tx", "io/pins"):
            with pytest.raises(OSError) as e:
                os.close(os.open(slot.dir / name, os.O_WRONLY if name == "io/tx" else os.O_RDONLY))
            assert e.value.errno == errno.ENODEV
        writer.join()
        with pytest.raises(OSError) as e:
            os.read(rx, 100)
        assert e.value.errno == errno.ESTALE
    finally:
        os.close(rx)
    assert slot.state == "configured"
    assert (slot.dir / "io/rx").read_bytes() == b""
    assert slot.exchange(b"new") == b"NEW"
    # A run that failed leaves it cut off.
    assert fault(slot, "slow", None) == 0 and fault(slot, "done-stuck", "1") == 0
    assert slot.write(UPPER.read_bytes()) == errno.EIO and slot.state == "failed"
    with pytest.raises(OSError) as e:
        os.close(os.open(slot.dir / "io/pins", os.O_RDONLY))
    assert e.value.errno == errno.ENODEV


def test_card_and_slots_do_not_take_each_others_work(card, slots):
    done = run(["cp", str(UPPER), str(card.image)])
    assert done.returncode == 1 and done.stderr.endswith("Operation not supported\n")
    until(lambda: "one of slots/0 to slots/3" in card.error, "the card says what to do instead")
    until(lambda: card.last("image-refused")["result"] == "EOPNOTSUPP", "it is in the history")
    assert put(card.dir / "temporary", UPPER.read_bytes()) == errno.EOPNOTSUPP
    for word in ("clear", "reset", "reload", "rollback", "verify"):
        assert card.ctl(word) == errno.EOPNOTSUPP
        assert "is for one of its slots" in card.error
    assert card.ctl("forget") == errno.EBUSY  # it is there
    assert slots[0].ctl("forget") == errno.EOPNOTSUPP
    assert card.value("ctl") == "" and slots[0].value("ctl") == "clear reset reload rollback verify"
    # What is only looked at may be shown to either.
    assert put(card.check, UPPER.read_bytes()) == 0 and '"fits":true' in card.read("check").replace(" ", "")
    assert put(slots[3].check, HX8K.read_bytes()) == errno.EMEDIUMTYPE
    fd = os.open(slots[1].image, os.O_WRONLY)
    try:
        os.write(fd, REGS.read_bytes()[:9000])
        assert put(slots[1].image, REGS.read_bytes()) == errno.EBUSY
        assert slots[2].write(REGS.read_bytes()) == 0
    finally:
        with pytest.raises(OSError):
            os.close(fd)
    assert slots[1].sha == sha256(FOUR[1])
    # A success of any of them is one of the card.
    assert card.error == ""


def test_boards_are_the_slots_own(fpga):
    fabric = fpga(sim=None, config="cards: [{name: two, backend: sim, board: icestick, slots: 2}]")
    card = fabric.card()
    hello = EXAMPLES / "icestick-hello" / "hello.bin"
    slots = [card.slot(i) for i in range(2)]
    all_at_once(*[lambda s=slot: s.load(hello) for slot in slots])
    assert "leds" in os.listdir(slots[0].dir / "io") and os.listdir(card.dir / "io") == []
    # Each says hello; one is spoken to.
    assert [slot.read("io/rx").strip() for slot in slots] == ["hello from a real design"] * 2
    put(slots[1].dir / "io/tx", b"\x15", must=True)
    assert (slots[1].dir / "io/rx").read_bytes() == b"\x15"
    lights = [slot.read("io/leds") for slot in slots]
    assert lights[0] != lights[1] and lights[1].split()[1::2] == list("10101")


def test_every_slot_has_its_own_commands_and_past(slots):
    others = [(s.sha, s.value("loaded/loaded_at")) for s in slots[1:]]
    slot = slots[0]
    slot.load(REGS)
    assert slot.ctl("rollback") == 0 and slot.sha == sha256(UPPER)
    assert slot.ctl("reset") == 0 and slot.ctl("verify") == 0 and slot.ctl("reload") == 0
    assert slot.ctl("clear") == 0 and slot.state == "unconfigured" and slot.sha == ""
    assert slot.ctl("rollback") == 0 and slot.sha == sha256(UPPER)
    assert [(s.sha, s.value("loaded/loaded_at")) for s in slots[1:]] == others
    # A copy from one to the other is by reference, and says where it is from.
    assert run(["cp", str(slots[2].image), str(slot.image)]).returncode == 0
    assert slot.sha == slots[2].sha and slot.value("loaded/source") == "dev0/slots/2"


@pytest.mark.parametrize("script", ["cp {i} {s}/image", "rsync --ignore-times {i} {s}/image",
                                    "rsync --inplace --ignore-times {i} {s}/image",
                                    "cat {i} > {s}/image", "install {i} {s}/image", "cp {i} {t}/x; mv {t}/x {s}/image",
                                    "dd if={i} of={s}/image bs=1000 status=none"])
def test_tools_program_a_slot_as_they_do_a_card(slots, tmp_path, script):
    need(script.split()[0])
    others = [slot.sha for slot in slots[1:]]
    slots[0].load(BLINK)
    done = shell(script.format(i=REGS, s=slots[0].dir, t=tmp_path))
    assert done.returncode == 0, done.stderr
    assert slots[0].sha == sha256(REGS) and slots[0].error == ""
    assert [slot.sha for slot in slots[1:]] == others


def test_faults_of_the_card_are_for_all_slots_and_those_of_a_slot_for_it(card, slots):
    assert fault(slots[1], "done-stuck", "1") == 0
    assert os.listxattr(slots[1].dir) == [FAULT + "done-stuck"]
    assert os.listxattr(card.dir) == os.listxattr(slots[0].dir) == []
    assert slots[1].write(REGS.read_bytes()) == errno.EIO and slots[0].write(REGS.read_bytes()) == 0
    assert fault(slots[1], "done-stuck", None) == 0
    assert slots[1].write(REGS.read_bytes()) == 0
    assert fault(card, "done-stuck", "1") == 0
    assert [slot.write(UPPER.read_bytes()) for slot in slots] == [errno.EIO] * 4
    assert fault(card, "done-stuck", None) == 0
    assert [slot.ctl("rollback") for slot in slots] == [0] * 4
    assert fault(slots[2], "upset", "1:20:30") == 0
    assert [slot.ctl("verify") for slot in slots] == [0, 0, errno.EBADMSG, 0]
    slots[0].load(UPPER)
    # Pin 112 is the lowest bit of what the host sends: with it up, every second letter is another.
    assert fault(slots[0], "stuck-pin", "112=1") == 0
    assert slots[0].exchange(b"abc") != b"ABC"
    assert fault(slots[0], "stuck-pin", None) == 0
    assert slots[0].exchange(b"abc") == b"ABC"
    for where, name in ((card, "upset"), (card, "stuck-pin"), (slots[0], "unplug"),
                        (slots[0], "over-temperature"), (slots[0], "no-such")):
        assert fault(where, name, "1") == errno.EINVAL, name
    assert fault(card, "over-temperature", "70") == 0
    assert float(card.value("telemetry/model_temp_celsius")) > 60
    assert fault(card, "over-temperature", None) == 0


def test_a_reader_that_waits_at_rest_hears_of_the_heat(card, slots):
    assert (slots[0].dir / "io/rx").read_bytes() == b""  # until it is at rest
    rx = os.open(slots[0].dir / "io/.rx", os.O_RDONLY | os.O_CLOEXEC)
    told = []

    def wait():
        try:
            told.append(os.read(rx, 10))
        except OSError as e:
            told.append(e.errno)

    reader = threading.Thread(target=wait)
    reader.start()
    try:
        assert slots[1].state == "configured" and not told
        assert fault(card, "over-temperature", "120") == 0
        reader.join(60 * SLOW)
        assert told == [errno.EIO]
    finally:
        assert fault(card, "over-temperature", None) == 0
        os.close(rx)
    assert [slot.ctl("reset") for slot in slots] == [0] * 4
    assert slots[0].exchange(b"cool") == b"COOL"


def test_a_card_unplugged_takes_its_slots_along_and_brings_them_back(carrier, card, slots):
    carrier.expect_errors = True
    assert fault(card, "unplug", "1") == 0
    for where in (card, *slots):
        where.wait_state("offline")
    assert slots[0].write(UPPER.read_bytes()) == errno.ENODEV
    assert slots[0].value("loaded/sha256") == sha256(UPPER)
    assert not carrier.processes("fabricfs-card")
    assert fault(card, "unplug", None) == 0
    for slot in slots:
        slot.wait_state("configured")
    assert [s.sha for s in slots] == [sha256(i) for i in FOUR]
    assert slots[0].exchange(b"back") == b"BACK"
    assert "came back" in slots[3].last("programmed")["reason"]


def test_a_power_cut_takes_all_designs_and_each_slot_gets_its_own_back(carrier, card, slots):
    carrier.expect_errors = True
    assert slots[3].ctl("clear") == 0
    before = [len(slot.history()) for slot in slots]
    assert carrier.kill("fabricfs-card") == 1

    def restored():
        ends = [[r["event"] for r in s.history()[n:]][-1:] for s, n in zip(slots, before)]
        return ends == [["programmed"]] * 3 + [["alert"]]
    until(restored, "every slot has what it had")
    for slot, state in zip(slots, ["configured"] * 3 + ["unconfigured"]):
        slot.wait_state(state)  # the record is there first
    assert [s.sha for s in slots[:3]] == [sha256(i) for i in FOUR[:3]]
    for slot, n in list(zip(slots, before))[:3]:
        assert [r["event"] for r in slot.history()[n:]] == ["alert", "programmed"]
    assert slots[0].exchange(b"power") == b"POWER"
    assert len(carrier.processes("fabricfs-card")) == 1


def test_all_of_it_killed_while_four_write_is_as_before_after_a_start(fpga):
    fabric = fpga(sim=None, config=CONFIG % 0)
    fabric.expect_errors, fabric.expect_status = True, -signal.SIGKILL
    slots = [fabric.card().slot(i) for i in range(4)]
    all_at_once(*[lambda s=slot, i=image: s.load(i) for slot, image in zip(slots, FOUR)])
    fabric.kill_all()
    fabric.expect_status = 0
    fabric.start()
    for slot in slots:
        slot.wait_state("configured")
    assert [s.sha for s in slots] == [sha256(i) for i in FOUR]
    fabric.restart()
    for slot in slots:
        slot.wait_state("configured")
    assert slots[0].exchange(b"again") == b"AGAIN"
    assert slots[2].last("programmed")["reason"] == "restored after a start"


@pytest.fixture(name="resting", scope="module")
def fixture_resting(module_fpga):
    """Four slots of a card whose telemetry was read: a walk finds nothing that changes by itself."""
    card = module_fpga(sim=None, config=(CONFIG % 0).replace("0ms", "60m")).card()
    for i, image in enumerate(FOUR):
        card.slot(i).load(image)
    assert int(card.value("telemetry/cycles")) > 0
    return card


@pytest.mark.parametrize("name, script, status", CRAWLERS, ids=[c[0] for c in CRAWLERS])
def test_crawler_ends_by_itself(resting, tmp_path, name, script, status):
    need(script.split()[0])
    done = shell(script.format(m=resting.fabric.mount, t=tmp_path), timeout=60 * SLOW)
    if status is not None:
        assert done.returncode == status, done.stderr
    assert "Input/output error" not in done.stderr and "changed as we read" not in done.stderr, done.stderr
    assert [resting.slot(i).state for i in range(4)] == ["configured"] * 4


def test_every_size_is_what_a_reader_gets(carrier, slots):
    for path in files(carrier.mount / "dev0" / "slots"):
        if "/io/" not in path:
            with open(path, "rb") as f:
                data = f.read()
                assert os.fstat(f.fileno()).st_size == len(data), path


def test_the_number_of_slots_has_a_limit(fpga):
    from harness import BIN
    fabric = fpga.make(sim=None, config=(CONFIG % 0).replace("slots: 4", "slots: 9"))
    told = run([str(BIN), "check-config", str(fabric.config_path)])
    assert told.returncode == 1 and "at most 8" in told.stderr
    fabric = fpga(sim=None, config=(CONFIG % 0).replace("slots: 4", "slots: 8"))
    slots = [fabric.card().slot(i) for i in range(8)]
    all_at_once(*[lambda s=slot: s.load(UPPER) for slot in slots])
    assert slots[7].exchange(b"eight") == b"EIGHT"
    assert int(fabric.card().value("telemetry/slot7_bytes_in")) == 5


def test_inspect_knows_what_a_slot_takes(carrier):
    def inspect(what, image):
        return run([str(BIN), "inspect", "--for", what, "--mount", str(carrier.mount), str(image)])

    done = inspect("dev0/slots/3", UPPER)
    assert done.returncode == 0 and "dev0/slots/3: yes" in done.stdout, done
    done = inspect("dev0/slots/3", HX8K)
    assert done.returncode == 1 and "card has iCE40-HX1K" in done.stdout, done
    done = inspect("dev0/slots/4", UPPER)
    assert done.returncode == 2 and "dev0/slots/4 cannot be read" in done.stderr, done
