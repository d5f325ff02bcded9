# SPDX-License-Identifier: Apache-2.0
"""Small correct images of other vendors' formats, composed byte by byte."""
import struct


def crc37(crc, word, register):
    """CRC-32C over 32 bits of data and 5 of the register's number, lowest bit first."""
    bits = word | register << 32
    for _ in range(37):
        crc = crc >> 1 ^ (0x82F63B78 if (crc ^ bits) & 1 else 0)
        bits >>= 1
    return crc


def xilinx_stream(idcode, frames=2):
    """A configuration stream of a 7-series part, for the configuration bus."""
    out, crc = [], 0

    def write(register, *words):
        nonlocal crc
        out.append(0x30000000 | register << 13 | len(words))
        for word in words:
            out.append(word)
            crc = crc37(crc, word, register)
        if register == 4 and words == (7,):
            crc = 0

    def check():
        nonlocal crc
        out.extend((0x30000001, crc))
        crc = 0

    out += [0xFFFFFFFF] * 8 + [0x000000BB, 0x11220044, 0xFFFFFFFF, 0xFFFFFFFF, 0xAA995566, 0x20000000]
    write(0x11, 0)
    write(0x10, 0)
    write(4, 7)
    write(0x0C, idcode)
    write(1, 0)
    write(4, 1)
    write(2, *(i * 2654435761 & 0xFFFFFFFF for i in range(101 * frames)))
    check()
    write(4, 5)
    check()
    write(4, 13)
    return struct.pack(f">{len(out)}I", *out) + bytes.fromhex("20000000") * 16


def xilinx_bit(part="7a35tcpg236", idcode=0x0362D093, frames=2, design="top;UserID=0XFFFFFFFF;Version=2022.1"):
    stream = xilinx_stream(idcode, frames)
    head = bytes.fromhex("00090ff00ff00ff00ff0000001")
    for key, text in zip("abcd", (design, part, "2026/11/21", "12:34:56")):
        head += key.encode() + struct.pack(">H", len(text) + 1) + text.encode() + b"\0"
    return head + b"e" + struct.pack(">I", len(stream)) + stream


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
