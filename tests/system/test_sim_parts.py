# SPDX-License-Identifier: Apache-2.0
"""Simulated cards of other vendors' parts: their configuration logic, and no fabric behind it."""
import errno
import json
import os
import struct

import pytest

from bitstreams import ecp5_bit, lattice_encrypted, xilinx_bit, xilinx_large, xilinx_stream
from harness import BIN, fault, run, until
from images import ROOT, UPPER, flip, sha256

CONFIG = ("cards:\n"
          "  - {name: artix, backend: sim, part: XC7A35T}\n"
          "  - {name: ecp, backend: sim, part: LFE5U-25F, config_clock_hz: 0}\n"
          "  - {name: cyclone, backend: sim, part: 5CEBA2, config_clock_hz: 0, policy: {accept-unsized: true}}\n"
          "  - {name: large, backend: sim, part: xcku15p, config_clock_hz: 0}\n"
          "  - {name: stack, backend: sim, part: xcvu9p, config_clock_hz: 0}\n"
          "  - {name: zynq, backend: sim, part: xc7z020, config_clock_hz: 0}\n")
VU9P = {"part": "xcvu9p-flga2104-2-i", "idcode": 0x04B31093}
FIFTY = {"part": "7a50tfgg484", "idcode": 0x0362C093}
SAMPLES = ROOT.parent / "shared" / "samples"


def rbf(seed=1, size=40000):
    return b"\xff" * 128 + b"\x6a" * 4 + bytes((i * seed * 7919 >> 3) & 255 for i in range(size))


def swapped(stream):
    """As Linux's fpga_manager of a Zynq wants it."""
    return struct.pack(f"<{len(stream) // 4}I", *struct.unpack(f">{len(stream) // 4}I", stream))


@pytest.fixture(scope="module", name="cards")
def fixture_cards(module_fpga):
    fabric = module_fpga(sim=None, config=CONFIG)
    return {fabric.card(n).value("name"): fabric.card(n) for n in range(6)}


@pytest.fixture(name="artix")
def fixture_artix(cards):
    """Without faults, and with a good image."""
    card = cards["artix"]
    for name in os.listxattr(card.dir):
        os.removexattr(card.dir, name)
    good(card, xilinx_bit())
    return card


def good(card, data):
    assert card.write(data) == 0, card.error
    assert card.state == "configured" and card.sha == sha256(data) and card.error == ""


def status_of(card):
    return next(c for c in card.fabric.status()["cards"] if c["dev"] == card.name)


def test_the_tree_tells_what_each_part_is_and_that_nothing_executes(cards):
    rows = {"artix": ("xilinx", "xc7a35t", "0362d093"), "ecp": ("lattice", "lfe5u-25f", "41111043"),
            "cyclone": ("altera", "5ceba2", "02b150dd"), "large": ("xilinx", "xcku15p", "04a56093"),
            "stack": ("xilinx", "xcvu9p", "04b31093"), "zynq": ("xilinx", "xc7z020", "03727093")}
    for name, (vendor, part, idcode) in rows.items():
        card = cards[name]
        assert (card.value("vendor"), card.value("part"), card.value("idcode")) == (vendor, part, idcode)
        assert card.value("backend") == "sim" and card.value("board") == ""
        assert os.readlink(card.fabric.mount / "by-part" / part / card.name).endswith(card.name)
        assert os.listdir(card.dir / "io") == []
        told = status_of(card)
        assert told["execution"] == "none"
        assert told["capabilities"] == {"clear": True, "partial": False, "readback": True, "reset": False}


def test_an_image_for_another_part_fails_the_first_write_and_names_both(cards, tmp_path):
    card = cards["artix"]
    fifty = tmp_path / "fifty.bit"
    fifty.write_bytes(xilinx_bit(**FIFTY))
    fd = os.open(card.image, os.O_WRONLY | os.O_TRUNC)
    with pytest.raises(OSError) as refused:
        os.write(fd, fifty.read_bytes()[:4096])
    assert refused.value.errno == errno.EMEDIUMTYPE
    os.close(fd)
    done = run(["cp", str(fifty), str(card.image)])
    assert done.returncode == 1 and "error writing" in done.stderr and "Wrong medium type" in done.stderr
    for part, idcode in (("xc7a50t", "0362c093"), ("xc7a35t", "0362d093")):
        assert part in card.error and idcode in card.error
    for target in (["xc7a35t"], [card.name, "--mount", str(card.fabric.mount)]):
        done = run([str(BIN), "inspect", "--for", *target, str(fifty)])
        assert done.returncode == 1
        assert "image is for xc7a50t (idcode 0362c093), card has xc7a35t (0362d093)" in done.stdout


@pytest.mark.parametrize("name, data, confirmed", [
    ("artix", xilinx_bit(), "CRC and DONE"),
    ("artix", xilinx_bit(stream=xilinx_stream(0x0362D093, check=False)), "DONE and readback CRC (the image has no CRC)"),
    ("artix", xilinx_stream(0x0362D093, 40), "CRC and DONE"),
    ("ecp", ecp5_bit(), "CRC and DONE"),
    ("cyclone", rbf(), "CONF_DONE, and the bytes that came (this logic checks no CRC)"),
    ("large", xilinx_large(6_000_000), "CRC and DONE"),
    ("stack", xilinx_large(3_000_000, dies=3, **VU9P), "CRC and DONE"),
    ("zynq", swapped(xilinx_stream(0x03727093, 30)), "CRC and DONE"),
], ids=["bit", "without-crc", "bin", "ecp5", "rbf", "large", "dies", "swapped"])
def test_good_images_load_and_are_read_back(cards, name, data, confirmed):
    card = cards[name]
    good(card, data)
    assert card.value("loaded/confirmed_by") == confirmed
    assert card.value("loaded/part") in (card.value("part"), "")
    assert card.image.read_bytes() == data
    assert card.ctl("verify") == 0
    assert card.ctl("reload") == 0 and card.sha == sha256(data)
    assert card.ctl("clear") == 0 and card.state == "unconfigured"
    assert card.ctl("rollback") == 0 and card.state == "configured"


def test_check_tries_an_image_and_touches_nothing(cards):
    for name, fits, other in (("artix", xilinx_bit(seed=5), xilinx_bit(**FIFTY)),
                              ("ecp", ecp5_bit(frames=4), ecp5_bit("LFE5U-12F-6CABGA256", 0x21111043)),
                              ("cyclone", rbf(5), b"\xff" * 32 + bytes.fromhex("6af7f7f7f7f7f7f3") + bytes(900))):
        card = cards[name]
        before = (card.sha, card.state, card.count("programmed"))
        assert card.write(fits, "check") == 0
        # Nothing in an .rbf could be compared with a part.
        assert json.loads(card.read("check"))["fits"] is (None if name == "cyclone" else True)
        assert card.write(other, "check") == errno.EMEDIUMTYPE
        assert (card.sha, card.state, card.count("programmed")) == before


def test_images_of_other_vendors_are_refused_by_format(cards):
    for name, data in (("artix", UPPER.read_bytes()), ("ecp", xilinx_bit()), ("large", ecp5_bit())):
        assert cards[name].write(data) == errno.EMEDIUMTYPE
        assert "card has" in cards[name].error
    # The two generations of Cyclone begin differently; nothing else tells them apart.
    four = b"\xff" * 32 + bytes.fromhex("6af7f7f7f7f7f7f3") + bytes(1000)
    assert cards["cyclone"].write(four) == errno.EMEDIUMTYPE
    assert "does not begin as one for Cyclone V" in cards["cyclone"].error


def test_what_a_device_without_key_or_running_design_cannot_take_is_refused_untouched(cards, artix):
    before = artix.sha
    # CTL0.DEC by MASK and CTL0, then a cipher's start value: nobody reads what follows.
    clear = xilinx_stream(0x0362D093)
    at = clear.index(bytes.fromhex("30002001"))
    dark = clear[:at] + bytes.fromhex("3000c001000000403000a0010000004030016004") + bytes(4096)
    assert artix.write(xilinx_bit(stream=dark)) == errno.EOPNOTSUPP
    assert "encrypted" in artix.error
    partial = xilinx_stream(0x0362D093).replace(bytes.fromhex("3002200100000000" "3002000100000000"), b"")
    assert artix.write(xilinx_bit(stream=partial, design="top;PARTIAL=TRUE;Version=2022.1")) == errno.EMEDIUMTYPE
    assert "partial" in artix.error
    assert artix.state == "configured" and artix.sha == before
    good(cards["ecp"], ecp5_bit())
    fd = os.open(cards["ecp"].image, os.O_WRONLY | os.O_TRUNC)
    os.write(fd, lattice_encrypted())
    with pytest.raises(OSError):
        os.close(fd)
    assert cards["ecp"].state == "configured"


def test_a_die_without_its_stream_keeps_done_low(cards):
    assert cards["stack"].write(xilinx_large(2_000_000, dies=2, **VU9P)) == errno.EIO
    assert cards["stack"].state == "failed" and "another die has not started" in cards["stack"].error


def test_damage_is_found_before_the_card_is_touched(artix):
    image = xilinx_bit()
    assert artix.write(flip(image, len(image) // 2, 3)) == errno.EBADMSG
    assert artix.write(image[:-200]) == errno.EBADMSG
    assert artix.state == "configured" and artix.sha == sha256(image)


@pytest.mark.parametrize("name, data", [("artix", xilinx_bit(frames=300)), ("ecp", ecp5_bit(frames=300)),
                                        ("cyclone", rbf()), ("large", xilinx_large(1_000_000))],
                         ids=["artix", "ecp", "cyclone", "large"])
def test_bit_errors_on_the_link_are_found_by_the_device(cards, name, data):
    card = cards[name]
    good(card, data)
    assert fault(card, "bit-errors", "20000") == 0
    assert card.write(data) == errno.EIO
    assert card.state == "failed" and card.sha == ""
    assert "damaged over the configuration link" in card.error or "DONE" in card.error
    assert fault(card, "bit-errors", None) == 0
    good(card, data)


def test_bit_errors_in_an_image_without_crc_are_found_by_the_readback(artix):
    assert fault(artix, "bit-errors", "20000") == 0
    image = xilinx_bit(stream=xilinx_stream(0x0362D093, 500, check=False))
    assert artix.write(image) == errno.EIO
    assert artix.state == "failed" and "readback CRC" in artix.error
    assert fault(artix, "bit-errors", None) == 0
    good(artix, image)


@pytest.mark.parametrize("name, word", [("done-stuck", "DONE stayed low"), ("link-lies", "reported success")])
def test_faults_of_done_and_link_fail_the_copy(artix, name, word):
    assert fault(artix, name, "1") == 0
    assert artix.write(xilinx_bit(seed=3)) == errno.EIO
    assert artix.state == "failed" and word in artix.error
    assert fault(artix, name, None) == 0
    assert artix.ctl("rollback") == 0 and artix.state == "configured"


def test_a_slow_link_shows_progress_and_stop_ends_it(artix):
    assert fault(artix, "slow", "1000") == 0
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os._exit(artix.write(xilinx_bit(frames=200)) % 128)
    os.close(write)
    until(lambda: artix.read("progress").startswith("programming "), "it is being programmed")
    (artix.dir / "stop").write_text("upload\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.ECANCELED
    os.close(read)
    assert artix.state == "failed"
    assert fault(artix, "slow", None) == 0


def test_an_unplugged_card_comes_back_with_its_image(artix):
    before = artix.sha
    assert fault(artix, "unplug", "1") == 0
    artix.wait_state("offline")
    assert artix.write(xilinx_bit()) == errno.ENODEV
    assert fault(artix, "unplug", None) == 0
    artix.wait_state("configured")
    assert artix.sha == before


def test_what_needs_a_fabric_is_refused_by_name(artix):
    assert artix.ctl("reset") in (errno.EOPNOTSUPP, errno.EINVAL)
    for name, value in (("upset", "random"), ("stuck-pin", "1=0"), ("over-temperature", "80"),
                        ("stuck-sensor", "model_temp_celsius=20")):
        assert fault(artix, name, value) == errno.EINVAL
        assert f"no fabric that {name} could be about" in artix.fabric.log()
    assert os.listxattr(artix.dir) == []


def test_telemetry_is_what_the_port_counts(cards):
    card, image = cards["ecp"], ecp5_bit(frames=7)
    good(card, image)
    values = {f: card.value(f"telemetry/{f}") for f in os.listdir(card.dir / "telemetry")}
    assert values == {"config_bytes": str(len(image)), "config_frames": "7", "config_crc_checks": "7"}
    assert {v["source"] for v in status_of(card)["telemetry"].values()} == {"measured"}


def test_it_survives_its_worker_and_is_restored_after_its_process(cards, artix):
    fabric = artix.fabric
    good(cards["ecp"], ecp5_bit())
    good(cards["cyclone"], rbf())
    good(cards["large"], xilinx_large(2_000_000))
    good(cards["stack"], xilinx_large(2_000_000, dies=3, **VU9P))
    good(cards["zynq"], swapped(xilinx_stream(0x03727093)))
    before = {name: (card.sha, card.count("programmed")) for name, card in cards.items()}
    fabric.kill("fabricfs-worker")
    for name, card in cards.items():
        # The devices were not touched.
        assert (card.sha, card.count("programmed")) == before[name] and card.state == "configured"
        assert card.ctl("verify") == 0
    fabric.kill("fabricfs-card")
    for name, card in cards.items():
        until(lambda c=card, n=name: c.count("programmed") == before[n][1] + 1, f"{name} was programmed again")
        card.wait_state("configured")
        assert card.sha == before[name][0]


def test_a_worker_killed_while_it_programs_ends_in_the_new_image(artix):
    image = xilinx_bit(frames=400, seed=9)
    assert fault(artix, "slow", "1000000") == 0
    pid = os.fork()
    if pid == 0:
        os._exit(artix.write(image) % 128)
    until(lambda: artix.read("progress").startswith("programming "), "it is being programmed")
    artix.fabric.kill("fabricfs-worker")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert artix.state == "configured" and artix.sha == sha256(image)
    assert artix.value("loaded/confirmed_by") == "CRC and DONE"
    assert fault(artix, "slow", None) == 0


def peak_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))


def test_a_large_image_costs_the_cards_process_no_memory(cards):
    card = cards["large"]
    pids = card.fabric.processes("fabricfs-card")
    for pid in pids:
        with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")
    good(card, xilinx_large(60_000_000))
    assert card.ctl("verify") == 0
    if not os.environ.get("FABRICFS_BIN"):  # a sanitizer keeps memory of its own
        assert max(map(peak_kb, pids)) < 24_000


def test_configuration_that_needs_a_fabric_is_refused_with_the_key(fpga):
    for rest, word in (("slots: 2", "slots: a slot is a fabric"), ("clock: demand", "clock: of xc7a35t"),
                       ("board: icestick", "board: of xc7a35t"),
                       ("faults: {over-temperature: 50}", "over-temperature")):
        fabric = fpga.make(sim=None, config=f"cards: [{{name: a, backend: sim, part: xc7a35t, {rest}}}]\n")
        done = run([str(BIN), "check-config", str(fabric.config_path)])
        assert done.returncode == 1 and word in done.stderr
    fabric = fpga.make(sim=None, config="cards: [{name: a, backend: sim, part: xc6slx9}]\n")
    done = run([str(BIN), "check-config", str(fabric.config_path)])
    assert done.returncode == 1 and "'xc6slx9' is not simulated" in done.stderr and "UltraScale" in done.stderr


def test_samples_of_vendor_tools_are_judged_right_by_simulated_parts(fpga):
    if not SAMPLES.is_dir():
        pytest.skip(f"{SAMPLES} is not there")
    rows = (("xc7a50t", "xilinx-bit/xc7a50t_full.bit"), ("xc7a50t", "xilinx-bit/xc7a50t_perframecrc.bit"),
            ("xc7a50t", "xilinx-bit/xc7a50t_debug.bit"), ("xc7a35t", "xilinx-bit/xc7a35t_compressed.bit"),
            ("xcku040", "xilinx-bit/xcku040_compressed.bit"), ("xck26", "xilinx-bit/xck26_kr260_gps_compressed.bit"),
            ("xcau10p", "xilinx-bit/xcau10p_vivado2025_uniqueid.bit"),
            ("xck24", "xilinx-bin/k24_bootgen_header.bit.bin"),
            ("lfe5u-45f", "ecp5/lfe5u45_diamond_compressed.bit"))
    parts = sorted({part for part, _ in rows})
    fabric = fpga(sim=None, config="cards:\n" + "".join(
        f"  - {{name: {part}, backend: sim, part: {part}, config_clock_hz: 0}}\n" for part in parts))
    for part, name in rows:
        card = fabric.card(parts.index(part))
        good(card, (SAMPLES / name).read_bytes())
        assert card.value("loaded/confirmed_by") == "CRC and DONE"
        other = fabric.card((parts.index(part) + 1) % len(parts))
        assert other.write((SAMPLES / name).read_bytes()) == errno.EMEDIUMTYPE
