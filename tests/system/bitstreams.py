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
