# SPDX-License-Identifier: Apache-2.0
"""A card that gets too hot: the policy max-temp-celsius, and what is told of it."""
import errno
import os

from harness import put, until
from images import EXAMPLES, REGS, UPPER, sha256

AMBIENT = "user.fpga.sim.over-temperature"
LIMITED = "cards:\n  - {name: warm, backend: sim, policy: {max-temp-celsius: 60}}\n"
SILENT = ("cards:\n  - {name: odd, backend: command, part: iCE40-HX1K, program: [/bin/true], verify: none, "
          "policy: {max-temp-celsius: 60}}\n")


def alerts(card):
    return [(r["result"], r["reason"]) for r in card.history() if r["event"] == "alert"]


def test_a_card_above_its_limit_is_not_programmed_and_an_alert_says_so(fpga):
    card = fpga(sim=None, config=LIMITED).card()
    card.load(UPPER)
    assert alerts(card) == []
    os.setxattr(card.dir, AMBIENT, b"90")
    # Nobody reads telemetry/: the card is looked at all the same.
    told = until(lambda: alerts(card), "the alert is told")
    assert len(told) == 1 and told[0][0] == "EIO"
    assert told[0][1].startswith("model_temp_celsius is 9") and "max-temp-celsius" in told[0][1]
    assert card.write(REGS.read_bytes()) == errno.EPERM
    assert "too hot" in card.error and "up to 60" in card.error
    assert card.last("image-refused")["result"] == "EPERM"
    assert card.state == "configured" and card.sha == sha256(UPPER)
    assert card.exchange(b"it runs on") == b"IT RUNS ON"
    assert card.ctl("reload") == errno.EPERM
    assert card.write(REGS.read_bytes(), "check") == 0  # nothing is programmed by it
    assert len(alerts(card)) == 1  # told once, however often it is read
    os.removexattr(card.dir, AMBIENT)
    told = until(lambda: alerts(card)[1:], "the end of it is told")
    assert told[0][0] == "ok" and "again" in told[0][1]
    card.load(REGS)


def test_the_temperature_is_asked_at_the_copy_and_not_remembered(fpga):
    card = fpga(sim=None, config=LIMITED).card()
    os.setxattr(card.dir, AMBIENT, b"61")
    assert card.write(UPPER.read_bytes()) == errno.EPERM
    os.removexattr(card.dir, AMBIENT)
    assert card.write(UPPER.read_bytes()) == 0


def test_the_slots_of_a_carrier_keep_its_limit(fpga):
    config = LIMITED.replace("policy:", "part: iCE40-LP384, slots: 2, policy:")
    card = fpga(sim=None, config=config).card()
    image = (EXAMPLES / "upper-lp384/upper-lp384.bin").read_bytes()
    slot = card.dir / "slots/1"
    assert put(slot / "image", image) == 0
    os.setxattr(card.dir, AMBIENT, b"80")
    # A slot cannot ask the card: it knows what was read last, a few seconds ago.
    until(lambda: put(slot / "image", image) == errno.EPERM, "the slot is refused")
    assert "slots/1 is too hot" in (slot / "error").read_text()
    assert (slot / "state").read_text() == "configured\n"
    os.removexattr(card.dir, AMBIENT)
    until(lambda: put(slot / "image", image) == 0, "the slot is taken again")


def test_a_card_that_tells_no_temperature_is_not_programmed_under_a_limit(fpga):
    card = fpga(sim=None, config=SILENT).card()
    assert card.write(UPPER.read_bytes()) == errno.EPERM
    assert "tells no temperature" in card.error


# --- the card's own protection ---------------------------------------------------------

SENSOR = "user.fpga.sim.stuck-sensor"


def cycles(card):
    return int(card.value("telemetry/cycles"))


def write_tx(card):
    return put(card.dir / "io/tx", b"hello", os.O_WRONLY)


def test_a_card_that_gets_too_hot_stops_its_clock_until_it_is_cool_and_reset(fpga):
    fabric = fpga(sim=None, config="telemetry: {max-age: 1ms}\ncards: [{name: bench, backend: sim}]\n")
    card = fabric.card()
    card.load(UPPER)
    os.setxattr(card.dir, AMBIENT, b"120")
    until(lambda: alerts(card), "the alert is told")
    assert alerts(card)[0][0] == "EIO" and "stopped its clock at 110" in alerts(card)[0][1]
    assert "over-temperature" in card.error and "model_temp_celsius is 120" in card.error
    # What is loaded is there, and nothing moves.
    assert card.state == "configured" and card.sha == sha256(UPPER)
    before = cycles(card)
    assert write_tx(card) == errno.EIO
    with open(card.dir / "io/rx", "rb", buffering=0) as rx:
        try:
            rx.read(1)
            raise AssertionError("a stopped design answered")
        except OSError as e:
            assert e.errno == errno.EIO
    assert cycles(card) == before
    assert card.ctl("verify") == 0
    assert card.ctl("reset") == errno.EIO and "still too hot" in card.error
    # The next worker finds it as it is, and does not tell the same again.
    fabric.kill("fabricfs-worker")
    assert write_tx(card) == errno.EIO
    assert len(alerts(card)) == 1
    # Cool is not enough: the flag stays until somebody has seen to it.
    os.removexattr(card.dir, AMBIENT)
    assert write_tx(card) == errno.EIO
    assert card.ctl("reset") == 0 and card.error == ""
    assert card.exchange(b"again") == b"AGAIN"
    assert cycles(card) > before


def test_no_image_is_believed_to_run_on_a_card_that_is_too_hot(fpga):
    card = fpga().card()
    os.setxattr(card.dir, AMBIENT, b"115")
    until(lambda: alerts(card), "the alert is told")
    assert card.write(UPPER.read_bytes()) == errno.EIO
    assert card.state == "failed" and "too hot" in card.error
    os.removexattr(card.dir, AMBIENT)
    # Configuring it anew is a reset as well.
    card.load(UPPER)
    assert card.exchange(b"cool") == b"COOL"


def test_a_stuck_sensor_tells_what_it_is_stuck_at_and_the_alert_shows_it(fpga):
    card = fpga().card()
    card.load(UPPER)
    os.setxattr(card.dir, SENSOR, b"model_temp_celsius=21.5")
    os.setxattr(card.dir, AMBIENT, b"125")
    until(lambda: alerts(card), "the alert is told")
    # The card knows better than its sensor, and the sentence has both.
    assert "stopped its clock at 110 degrees" in card.error and "model_temp_celsius is 21.50" in card.error
    assert os.getxattr(card.dir, SENSOR) == b"model_temp_celsius=21.5"
    os.removexattr(card.dir, SENSOR)
    until(lambda: float(card.value("telemetry/model_temp_celsius")) > 120, "the sensor is mended")
    os.setxattr(card.dir, SENSOR, b"model_power_watts=3")
    until(lambda: float(card.value("telemetry/model_power_watts")) == 3, "the other one is stuck")


def test_a_limit_is_as_good_as_the_sensor_that_it_looks_at(fpga):
    config = LIMITED.replace("policy:", "faults: {over-temperature: 90, stuck-sensor: model_temp_celsius=25}, policy:")
    card = fpga(sim=None, config=config).card()
    assert card.write(UPPER.read_bytes()) == 0
    os.removexattr(card.dir, SENSOR)
    assert card.write(UPPER.read_bytes()) == errno.EPERM


def test_a_carrier_that_gets_too_hot_stops_all_its_slots(fpga):
    config = "cards:\n  - {name: box, backend: sim, part: iCE40-HX1K, slots: 2}\n"
    card = fpga(sim=None, config=config).card()
    slots = [card.dir / "slots" / n for n in "01"]
    for slot in slots:
        assert put(slot / "image", UPPER.read_bytes()) == 0
    os.setxattr(card.dir, AMBIENT, b"120")
    until(lambda: alerts(card), "the alert is told")
    for slot in slots:
        assert put(slot / "io/tx", b"a", os.O_WRONLY) == errno.EIO
        assert put(slot / "ctl", b"reset\n", os.O_WRONLY) == errno.EIO
    os.removexattr(card.dir, AMBIENT)
    assert put(slots[1] / "ctl", b"reset\n", os.O_WRONLY) == 0
    assert put(slots[1] / "io/tx", b"a", os.O_WRONLY) == 0
    assert put(slots[0] / "io/tx", b"a", os.O_WRONLY) == errno.EIO
