# SPDX-License-Identifier: Apache-2.0
"""A card that gets too hot: the policy max-temp-celsius, and what is told of it."""
import errno
import os

from harness import until
from images import REGS, UPPER, sha256

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


def test_a_card_that_tells_no_temperature_is_not_programmed_under_a_limit(fpga):
    card = fpga(sim=None, config=SILENT).card()
    assert card.write(UPPER.read_bytes()) == errno.EPERM
    assert "tells no temperature" in card.error
