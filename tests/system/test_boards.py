# SPDX-License-Identifier: Apache-2.0
"""Boards that people own: serial port, lights and buttons of a simulated one, as files."""
import errno
import os
import re
import select
import time

import pytest

from harness import BIN, LIMIT, need, put, run, shell, until
from images import BLINK, EXAMPLES, ROOT, UPPER

HELLO = EXAMPLES / "icestick-hello" / "hello.bin"
BANNER = b"hello from a real design\r\n"
PARTS = {"icestick": "iCE40-HX1K", "hx8k-breakout": "iCE40-HX8K", "go-board": "iCE40-HX1K",
         "tinyfpga-bx": "iCE40-LP8K", "icebreaker": "iCE40-UP5K", "upduino": "iCE40-UP5K"}
# What comes back from boards.v, the lights by bit of the last byte, and the buttons.
SERIAL = {"hx8k-breakout": ([f"D{n}" for n in range(2, 10)], []),
          "go-board": ([f"D{n}" for n in range(1, 5)], [f"SW{n}" for n in range(1, 5)]),
          "icebreaker": (["LEDR", "LEDG"] + [f"LED{n}" for n in range(1, 6)] +
                         ["LED_RED", "LED_GRN", "LED_BLU"],
                         ["BTN"] + [f"BTN{n}" for n in range(1, 4)]),
          "upduino": (["RED", "GREEN", "BLUE"], [])}


def config(*cards):
    """A card a (board, more keys)."""
    return "cards:\n" + "".join(f"  - {{name: c{n}, backend: sim, config_clock_hz: 0, board: {board}{more}}}\n"
                                for n, (board, more) in enumerate(cards))


def example(board):
    return HELLO if board == "icestick" else EXAMPLES / "boards" / f"{board}.bin"


def lights(card, name="leds"):
    return {word: int(level) for word, level in
            (line.split(" ") for line in card.read(f"io/{name}").splitlines())}


def receive(card, n, limit=LIMIT):
    """That many bytes from .rx, which waits for each."""
    fd = os.open(card.dir / "io" / ".rx", os.O_RDONLY | os.O_CLOEXEC)
    got, end = b"", time.monotonic() + limit
    try:
        while len(got) < n:
            assert time.monotonic() < end, f"only {got!r} came"
            if select.select([fd], [], [], 1)[0]:
                got += os.read(fd, n - len(got))
    finally:
        os.close(fd)
    return got


def press(card, text):
    """0 or the errno."""
    return put(card.dir / "io" / "buttons", text.encode(), flags=os.O_WRONLY)


@pytest.fixture(scope="module")
def boards(module_fpga):
    """{board: card}, all in one tree."""
    fabric = module_fpga(sim=None, config=config(*((board, "") for board in PARTS)))
    return {board: fabric.card(n) for n, board in enumerate(PARTS)}


@pytest.mark.parametrize("board", PARTS)
def test_a_board_is_what_it_says_and_offers_what_the_image_uses(boards, board):
    card = boards[board]
    assert card.value("board") == board and card.value("part") == PARTS[board]
    told = [c for c in card.fabric.status()["cards"] if c["dev"] == card.name][0]
    assert told["board"] == board and told["capabilities"]["reset"] is False
    card.load(example(board))
    offered = {"pins", "leds"}
    if board != "tinyfpga-bx":
        offered |= {"tx", "rx"}
    if SERIAL.get(board, ([], []))[1]:
        offered.add("buttons")
    assert set(os.listdir(card.dir / "io")) == offered
    for name in {"tx", "rx", "regs", "pins", "leds", "buttons"} - offered:
        with pytest.raises(OSError) as refused:
            open(card.dir / "io" / name, "rb")
        assert refused.value.errno in (errno.ENOENT, errno.ENODEV), name
    assert "reset" not in card.read("ctl").split() and card.ctl("reset") == errno.EOPNOTSUPP
    # What it is wired to is the board's, or the design's.
    if board != "tinyfpga-bx":
        assert ("uart_framing_errors" in os.listdir(card.dir / "telemetry"))


def test_a_design_made_for_the_icestick_runs_untouched(boards):
    card = boards["icestick"]
    card.load(HELLO)
    assert receive(card, len(BANNER)) == BANNER
    assert set(lights(card).values()) == {0} and list(lights(card)) == ["D1", "D2", "D3", "D4", "D5"]
    # As a user does it.
    done = shell(f"cd {card.dir}/io && printf 'hello?' > tx && head -c6 .rx && cat leds")
    assert done.stdout == "hello?" + "".join(f"D{n + 1} {0x3f >> n & 1}\n" for n in range(5)), done.stderr
    assert card.value("io/rx") == "" and card.value("telemetry/uart_framing_errors") == "0"
    # Lights are looked at, not written.
    assert put(card.dir / "io" / "leds", b"D1 1\n", flags=os.O_WRONLY) == errno.EINVAL


def test_the_rest_of_its_pins_is_the_users(boards):
    card = boards["icestick"]
    card.load(HELLO)
    pins = {line.split()[0]: line.split()[1:] for line in card.read("io/pins").splitlines()}
    assert pins["21"][0] == "in" and pins["9"] == ["in", "1"] and pins["99"][0] == "out"
    for line, problem in (("21 1\n", errno.EBUSY), ("9 0\n", errno.EBUSY), ("99 1\n", errno.EINVAL),
                          ("78 1\n", 0)):
        assert put(card.dir / "io" / "pins", line.encode(), flags=os.O_WRONLY) == problem, line


@pytest.mark.parametrize("board", SERIAL)
def test_every_byte_comes_back_and_lights_what_it_should(boards, board):
    card = boards[board]
    leds, _ = SERIAL[board]
    card.load(example(board))
    sent = bytes(range(256))
    put(card.dir / "io" / "tx", sent, must=True)
    assert receive(card, 256) == bytes(b ^ 1 for b in sent)
    assert card.value("telemetry/uart_framing_errors") == "0"
    for byte in (0x00, 0xa5, 0x5a, 0xff):
        put(card.dir / "io" / "tx", bytes([byte]), must=True)
        receive(card, 1)
        assert lights(card) == {name: byte >> n & 1 for n, name in enumerate(leds)}


def test_buttons_light_what_they_press(boards):
    card = boards["go-board"]
    card.load(example("go-board"))
    assert lights(card, "buttons") == {"SW1": 0, "SW2": 0, "SW3": 0, "SW4": 0}
    assert press(card, "SW1 1\nSW3 1\n") == 0
    assert lights(card) == {"D1": 1, "D2": 0, "D3": 1, "D4": 0}
    assert press(card, "SW1 0\nSW9 1\n") == errno.EINVAL
    assert lights(card, "buttons") == {"SW1": 1, "SW2": 0, "SW3": 1, "SW4": 0}
    done = shell(f"cd {card.dir}/io && echo SW1 0 > buttons && cat buttons && cat leds")
    assert done.stdout == "SW1 0\nSW2 0\nSW3 1\nSW4 0\n" "D1 0\nD2 0\nD3 1\nD4 0\n"
    # The finger is still on it under another image, and off after a power cut.
    card.load(example("go-board"))
    assert lights(card)["D3"] == 1
    assert card.ctl("clear") == 0
    with pytest.raises(OSError) as refused:
        card.read("io/buttons")
    assert refused.value.errno == errno.ENODEV


def test_what_is_low_when_lit_or_pressed_reads_1_all_the_same(boards):
    card = boards["icebreaker"]
    card.load(example("icebreaker"))
    # The button is pulled up, its light is dark with a high level.
    pins = dict(line.split(" ", 1) for line in card.read("io/pins").splitlines())
    assert pins["10"] == "in 1" and pins["20"] == "in 0"
    assert lights(card, "buttons") == {"BTN": 0, "BTN1": 0, "BTN2": 0, "BTN3": 0}
    assert press(card, "BTN 1\nBTN2 1\n") == 0
    lit = lights(card)
    pins = dict(line.split(" ", 1) for line in card.read("io/pins").splitlines())
    assert lit["LEDR"] == 1 and lit["LEDG"] == 0 and lit["LED2"] == 1 and lit["LED1"] == 0
    assert pins["10"] == "in 0" and pins["19"] == "in 1"
    assert pins["11"] == "out 0" and pins["37"] == "out 1" and pins["27"] == "out 1"


def test_a_blinker_blinks_for_whoever_looks(boards):
    card = boards["tinyfpga-bx"]
    card.load(example("tinyfpga-bx"))
    assert lights(card) == {"LED": 0}
    until(lambda: lights(card)["LED"] == 1, "the light was seen lit")
    until(lambda: lights(card)["LED"] == 0, "and dark again")


def test_images_of_other_boards_with_the_same_part_run_with_what_they_share(boards):
    card = boards["icestick"]
    card.load(BLINK)  # lights on the pins that the iCEstick has them on
    assert set(os.listdir(card.dir / "io")) == {"pins", "leds"}
    card.load(UPPER)
    assert "pins" in os.listdir(card.dir / "io")
    assert boards["hx8k-breakout"].write(HELLO.read_bytes()) == errno.EMEDIUMTYPE


def test_what_readme_shows_of_a_board_is_what_happens(fpga):
    section = (ROOT / "README.md").read_text().split("### Try a design made for your board")[1].split("\n### ")[0]
    blocks = re.findall(r"^```\w*\n(.*?)^```", section, re.M | re.S)
    fabric = fpga(sim=None, config=blocks[0])
    told = 0
    for line in blocks[1].splitlines():
        command, _, expected = line.partition("#")
        done = shell(command.replace("/fpga", str(fabric.mount)), cwd=ROOT)
        assert done.returncode == 0, (line, done.stderr)
        told += bool(expected)
        got = ", ".join(done.stdout.split("\n")).strip(", \r")
        assert got == expected.split(":")[0].strip(), line
    assert told == 3


# --- rates ----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def at_rate(tmp_path_factory):
    """Makes the iCEstick's design once more, for another rate."""
    need("yosys", "nextpnr-ice40", "icepack")
    folder = tmp_path_factory.mktemp("rates")

    def build(baud):
        out = folder / f"{baud}"
        source = (EXAMPLES / "icestick-hello" / "hello.v").read_text()
        for wide in ("[7:0] rx_count", "[7:0] tx_count"):
            assert wide in source
            source = source.replace(wide, wide.replace("[7:0]", "[15:0]"))
        assert "115200;" in source
        out.with_suffix(".v").write_text(source.replace("115200;", f"{baud};"))
        done = shell(f"yosys -q -p 'read_verilog {out}.v; synth_ice40 -top top -json {out}.json' && "
                     f"nextpnr-ice40 -q --hx1k --package tq144 --pcf {EXAMPLES}/icestick-hello/icestick.pcf "
                     f"--seed 1 --json {out}.json --asc {out}.asc && icepack {out}.asc {out}.bin", timeout=300)
        assert done.returncode == 0, done.stderr
        return out.with_suffix(".bin")
    return build


@pytest.mark.parametrize("baud", [9600, 57600, 1000000])
def test_other_rates_are_understood_where_both_sides_have_them(fpga, at_rate, baud):
    image = at_rate(baud)
    fabric = fpga(sim=None, config=config(("icestick", f", baud: {baud}"), ("icestick", "")))
    card, wrong = fabric.card(0), fabric.card(1)
    card.load(image)
    assert receive(card, len(BANNER)) == BANNER
    sent = b"The quick brown fox \x00\xff\x55\xaa"
    put(card.dir / "io" / "tx", sent, must=True)
    assert receive(card, len(sent)) == sent
    assert card.value("telemetry/uart_framing_errors") == "0"
    # At 115200 the same image is heard as nonsense, and every read comes to an end.
    wrong.load(image)
    heard = (wrong.dir / "io" / "rx").read_bytes()
    put(wrong.dir / "io" / "tx", sent, must=True)
    heard += (wrong.dir / "io" / "rx").read_bytes()
    assert BANNER not in heard
    if baud < 115200:
        assert int(wrong.value("telemetry/uart_framing_errors")) > 0


def test_a_board_in_slow_motion_and_one_without_a_clock(fpga):
    fabric = fpga(sim=None, config=config(("icestick", ", clock: 500000"), ("icestick", ", clock: manual")))
    slow, manual = fabric.card(0), fabric.card(1)
    slow.load(HELLO)
    assert receive(slow, len(BANNER)) == BANNER
    put(slow.dir / "io" / "tx", b"?", must=True)
    assert receive(slow, 1) == b"?"
    assert lights(slow)["D1"] == 1
    manual.load(HELLO)
    assert os.listdir(manual.dir / "io") == ["pins"]
    # The line to the design rests high; the light behind its first register is seen by pins.
    assert "\n9 in 1\n" in manual.read("io/pins")
    assert put(manual.dir / "io" / "pins", b"21 1\n9 0\n", flags=os.O_WRONLY) == 0


def test_a_line_that_is_tied_low_is_one_error_and_no_hang(fpga):
    fabric = fpga(sim=None, config=config(("icestick", ', faults: {stuck-pin: "8=0 99=1"}'),
                                          ("go-board", ', faults: {stuck-pin: "53=1"}'),
                                          ("icestick", ', faults: {stuck-pin: "21=0"}')))
    deaf, pressed, still = (fabric.card(n) for n in range(3))
    deaf.load(HELLO)
    put(deaf.dir / "io" / "tx", b"x", must=True)
    assert deaf.value("io/rx") == ""
    assert lights(deaf)["D1"] == 1 and lights(deaf)["D2"] == 0
    until(lambda: deaf.value("telemetry/uart_framing_errors") == "1", "the break is told once")
    pressed.load(example("go-board"))
    assert lights(pressed)["D1"] == 1 and lights(pressed, "buttons")["SW1"] == 0
    # Without its clock a design says nothing.
    still.load(HELLO)
    put(still.dir / "io" / "tx", b"x", must=True)
    assert still.value("io/rx") == "" and set(lights(still).values()) == {0}


def test_each_slot_of_a_carrier_is_a_board_of_its_own(fpga):
    fabric = fpga(sim=None, config=config(("icestick", ", slots: 2"), ("icestick", ", slots: 1, baud: 230400")))
    card, wrong = fabric.card(0), fabric.card(1)
    for slot in range(2):
        put(card.dir / f"slots/{slot}/image", HELLO.read_bytes(), must=True)
    put(wrong.dir / "slots/0/image", HELLO.read_bytes(), must=True)
    for slot in range(2):
        done = shell(f"cd {card.dir}/slots/{slot}/io && cat rx && printf {slot} > tx && head -c1 .rx && cat leds")
        assert done.stdout.encode() == BANNER.replace(b"\r\n", b"\n") + f"{slot}".encode() + "".join(
            f"D{n + 1} {(0x30 + slot) >> n & 1}\n" for n in range(5)).encode(), done.stderr
    (wrong.dir / "slots/0/io/rx").read_bytes()
    assert card.value("telemetry/uart_framing_errors") == "0"
    until(lambda: int(wrong.value("telemetry/uart_framing_errors")) > 0, "the sum of all slots has those of one")


# --- restarts -------------------------------------------------------------------------

def test_a_worker_that_is_killed_while_they_talk_costs_no_byte(fpga):
    fabric = fpga(sim=None, config=config(("icestick", "")))
    card = fabric.card()
    card.load(HELLO)
    assert receive(card, len(BANNER)) == BANNER
    sent = bytes(n * 7 & 0xff for n in range(3000))
    rx = os.open(card.dir / "io" / ".rx", os.O_RDONLY | os.O_CLOEXEC)
    tx = os.open(card.dir / "io" / "tx", os.O_WRONLY | os.O_CLOEXEC)
    try:
        got, at = b"", 0
        for part in range(10):
            at += os.write(tx, sent[at:at + 300])
            if part % 3 == 1:
                assert fabric.kill("fabricfs-worker") == 1
            while len(got) < at:
                got += os.read(rx, at - len(got))
        assert got == sent
    finally:
        os.close(rx)
        os.close(tx)


def test_a_power_cut_releases_the_buttons_and_the_image_comes_back(fpga):
    fabric = fpga(sim=None, config=config(("go-board", "")))
    card = fabric.card()
    card.load(example("go-board"))
    assert press(card, "SW2 1\n") == 0 and lights(card)["D2"] == 1
    assert fabric.kill("fabricfs-card") == 1

    def released():
        try:
            return card.state == "configured" and lights(card, "buttons")["SW2"] == 0
        except OSError as e:  # it is not yet back
            assert e.errno in (errno.ENOENT, errno.ENODEV, errno.ESTALE)
            return False
    until(released, "it is back, and nobody presses")
    assert lights(card)["D2"] == 0


# --- configuration ---------------------------------------------------------------------

@pytest.mark.parametrize("keys, told", [
    ("board: icezum", "these are: stream icestick"),
    ("board: icestick, part: iCE40-HX8K", "iCE40-HX1K on the board 'icestick'"),
    ("board: icestick, baud: 10", "takes 50 to 3000000"),
    ("board: icestick, baud: 4000000", "takes 50 to 3000000"),
    ("board: tinyfpga-bx, baud: 9600", "no serial port"),
    ("baud: 9600", "no serial port"),
])
def test_a_board_that_is_not_one_is_refused_by_the_configuration(tmp_path, keys, told):
    (tmp_path / "f.yaml").write_text(f"cards:\n  - {{name: x, backend: sim, {keys}}}\n")
    done = run([str(BIN), "check-config", str(tmp_path / "f.yaml")])
    assert done.returncode == 1 and told in done.stderr, done.stderr


def test_every_board_is_in_the_page_of_the_configuration():
    page = (ROOT / "fs/daemon/fabricfs.yaml.5.pod").read_text()
    for board, part in PARTS.items():
        assert f"C<{board}>" in page and part in page


# --- what others have built --------------------------------------------------------------

def test_samples_of_vendor_tools_are_judged_right_by_the_boards(boards):
    folder = ROOT.parent / "shared" / "samples" / "ice40"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    stick = boards["icestick"]
    stick.load(folder / "hx1k_icecube2_comment.bin")
    assert "pins" in os.listdir(stick.dir / "io")
    # A PLL that divides by 2^0, and a real board's leaving for another image: refused by name.
    assert stick.write((folder / "hx1k_nocomment.bin").read_bytes()) == errno.EOPNOTSUPP
    assert "PLL of tile 6,0 with DIVQ 0" in stick.error
    assert boards["tinyfpga-bx"].write((folder / "lp8k_multiboot.bin").read_bytes()) == errno.EMEDIUMTYPE
    assert boards["icebreaker"].write((folder / "up5k_bitsy_bootloader.bin").read_bytes()) == errno.EOPNOTSUPP
    assert "warm boot" in boards["icebreaker"].error
