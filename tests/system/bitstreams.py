# SPDX-License-Identifier: Apache-2.0
"""Small correct images of other vendors' formats, composed byte by byte."""
import json
import struct


def crc37_tables():
    """What each byte of a word becomes with 37 bits of zero behind it, and each register's number with 5."""
    def behind(value, bits):
        for _ in range(bits):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        return value
    return ([[behind(v << 8 * k, 37) for v in range(256)] for k in range(4)],
            [behind(register, 5) for register in range(32)])


BYTES37, REGISTERS37 = crc37_tables()


def crc37(crc, words, register):
    """CRC-32C over 32 bits of data and 5 of the register's number for each word, lowest bit first."""
    zero, one, two, three = BYTES37
    end = REGISTERS37[register]
    for word in words:
        crc ^= word
        crc = zero[crc & 255] ^ one[crc >> 8 & 255] ^ two[crc >> 16 & 255] ^ three[crc >> 24] ^ end
    return crc


class Stream:
    """A configuration stream of a Xilinx part, for the configuration bus, packet by packet."""

    def __init__(self):
        self.out, self.crc = b"", 0
        self.words(*[0xFFFFFFFF] * 8, 0x000000BB, 0x11220044, 0xFFFFFFFF, 0xFFFFFFFF, 0xAA995566, 0x20000000)

    def words(self, *words):
        self.out += struct.pack(f">{len(words)}I", *words)

    def write(self, register, *words):
        self.words(0x30000000 | register << 13 | len(words), *words)
        self.crc = crc37(self.crc, words, register)
        if register == 4 and words == (7,):
            self.crc = 0

    def frames(self, block, repeat=1):
        """The words of `block`, so many times over: to the frame data register."""
        self.words(0x30004000, 0x50000000 | len(block) * repeat)
        once = crc37(self.crc, block, 2)
        if repeat > 1:
            # What a block makes of a CRC is linear in it: from its bits, without the words again.
            zero = crc37(0, block, 2)
            bits = [crc37(1 << i, block, 2) ^ zero for i in range(32)]
            for _ in range(repeat - 1):
                value = zero
                for i in range(32):
                    if once >> i & 1:
                        value ^= bits[i]
                once = value
        self.crc = once
        self.out += struct.pack(f">{len(block)}I", *block) * repeat

    def check(self):
        self.words(0x30000001, self.crc)
        self.crc = 0

    def end(self):
        self.write(4, 13)
        return self.out + bytes.fromhex("20000000") * 16


def xilinx_stream(idcode, frames=2, frame_words=101, seed=0, check=True, inner=b""):
    """One of a full image of so many frames. check False: built with its CRC switched off. inner: the stream of
    the next die, which this one passes on when it has started."""
    s = Stream()
    s.write(0x11, 0)
    s.write(0x10, 0)
    s.write(4, 7)
    s.write(0x0C, idcode)
    s.write(1, 0)
    s.write(4, 1)
    # Up to a hundred different frames, which large images have again and again.
    distinct = max(d for d in range(1, 101) if frames % d == 0)
    block = [(i * 2654435761 + seed) & 0xFFFFFFFF for i in range(frame_words * distinct)]
    s.frames(block, frames // distinct)
    if check:
        s.check()
    else:
        s.write(4, 7)
    s.write(4, 5)
    if check:
        s.check()
    out = s.end()
    if not inner:
        return out
    s = Stream()
    s.words(0x3003C000, 0x50000000 | len(inner) // 4)
    s.out += inner
    return out + s.end()


def xilinx_bit(part="7a35tcpg236", idcode=0x0362D093, frames=2, design="top;UserID=0XFFFFFFFF;Version=2022.1",
               stream=None, **more):
    stream = stream or xilinx_stream(idcode, frames, **more)
    head = bytes.fromhex("00090ff00ff00ff00ff0000001")
    for key, text in zip("abcd", (design, part, "2026/11/21", "12:34:56")):
        head += key.encode() + struct.pack(">H", len(text) + 1) + text.encode() + b"\0"
    return head + b"e" + struct.pack(">I", len(stream)) + stream


def xilinx_large(size, part="xcku15p-ffva1156-2-e", idcode=0x04A56093, frame_words=93, seed=1, dies=1):
    """An image of about that size for a large part, all of it under its CRC."""
    frames, stream = max(1, size // dies // (4 * frame_words)), b""
    frames -= frames % 100 if frames > 100 else 0
    for die in range(dies):
        outermost = die == dies - 1
        stream = xilinx_stream(idcode if outermost else 0x04B42093 + 0x2000 * die, frames, frame_words,
                               seed * dies + die, inner=stream)
    return xilinx_bit(part, idcode, stream=stream)


def crc16_8005(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
    return struct.pack(">H", crc)


def ecp5_bit(part="LFE5U-25F-6CABGA256", idcode=0x41111043, frames=3):
    out = b"\xff\0Part: " + part.encode() + b"\0\xff\xff\xff\xbd\xb3\xff\xff\xff\xff\x3b\0\0\0"
    covered = b"\xe2\0\0\0" + struct.pack(">I", idcode) + b"\x46\0\0\0\x82\x91" + struct.pack(">H", frames)
    for n in range(frames):
        covered += bytes(i * 37 + n & 0xFF for i in range(74))
        out += covered + crc16_8005(covered)
        covered = b"\xff"
    return out + covered + b"\x5e\0\0\0\xff\xff\xff\xff"


def lattice_encrypted(part="LFE5U-25F-6CABGA256"):
    return b"\xff\0Part: " + part.encode() + b"\0\xff\xff\xff\xbf\xb3" + bytes(range(256))


def gbs(interface, afus, signed=False):
    """An OPAE .gbs: its JSON tells the interface of the static design and its accelerator functions."""
    text = json.dumps({"version": 1, "platform-name": "DCP", "afu-image": {
        "interface-uuid": interface, "magic-no": 488605312,
        "accelerator-clusters": [{"name": "nlb_400", "total-contexts": 1, "accelerator-type-uuid": a} for a in afus]}})
    out = b"XeonFPGA\xb7GBSv001" + struct.pack("<I", len(text)) + text.encode() + b"\xff" * 200
    return (b"\x19\xfd\xea\xb6" + b"\x33" * 1020 if signed else b"") + out


def xclbin(platform, interface=bytes(16), stream=b""):
    """An .xclbin with a .bit as its only section."""
    total = 456 + 40 + len(stream)
    front = b"xclbin2\0" + struct.pack("<i", -1) + b"\xff" * 284 + struct.pack("<QQQQ", 1, total, 1700000000, 0)
    front += struct.pack("<HBBHH", 477, 2, 13, 0, 0) + interface + platform.encode().ljust(64, b"\0")
    front += b"\xab" * 16 + bytes(16) + struct.pack("<II", 1, 0)
    assert len(front) == 456
    return front + struct.pack("<I16sIQQ", 0, b"bits", 0, 496, len(stream)) + stream


def overlay(compatible=(), firmware="a.bit.bin"):
    """A device-tree overlay that has an image loaded, for machines with one of these names."""
    strings, tree = b"", b""

    def node(name):
        nonlocal tree
        tree += struct.pack(">I", 1) + (name.encode() + b"\0").ljust(len(name) + 4 & ~3, b"\0")

    def prop(name, value):
        nonlocal strings, tree
        tree += struct.pack(">III", 3, len(value), len(strings)) + value.ljust(len(value) + 3 & ~3, b"\0")
        strings += name.encode() + b"\0"

    node("")
    if compatible:
        prop("compatible", b"".join(c.encode() + b"\0" for c in compatible))
    node("fragment@0")
    prop("target-path", b"/fpga-region\0")
    node("__overlay__")
    prop("firmware-name", firmware.encode() + b"\0")
    tree += struct.pack(">IIII", 2, 2, 2, 9)
    at = 40 + 16  # behind the header and an empty table of reserved memory
    head = struct.pack(">10I", 0xD00DFEED, at + len(tree) + len(strings), at, at + len(tree), 40, 17, 16, 0,
                       len(strings), len(tree))
    return head + bytes(16) + tree + strings
