# SPDX-License-Identifier: Apache-2.0
"""Images for the system tests: the examples, and what can be done to them."""
import binascii
import hashlib
import random
import struct
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "contrib" / "examples"

BLINK = EXAMPLES / "blink" / "blink.bin"
UPPER = EXAMPLES / "upper" / "upper.bin"
REGS = EXAMPLES / "regs" / "regs.bin"
HX8K = EXAMPLES / "upper-hx8k" / "upper-hx8k.bin"
LP384 = EXAMPLES / "upper-lp384" / "upper-lp384.bin"

PREAMBLE = bytes.fromhex("7eaa997e")
CRC_RESET = bytes.fromhex("0105")
WAKE_UP = bytes.fromhex("0106")


def sha256(data):
    if isinstance(data, (str, Path)):
        data = Path(data).read_bytes()
    return hashlib.sha256(data).hexdigest()


def crc_reset_at(data):
    """Offset of the command that starts the CRC."""
    at = data.index(PREAMBLE)
    return data.index(CRC_RESET, at)


def end(data):
    """Offset behind the wake-up command; what follows is padding."""
    return data.rindex(WAKE_UP) + len(WAKE_UP)


def flip(data, byte, bit):
    changed = bytearray(data)
    changed[byte] ^= 1 << bit
    return bytes(changed)


def crc16(data):
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def empty_hx1k(comment=b""):
    """An HX1K image that configures nothing, made here byte by byte."""
    body = bytes.fromhex("920020" "62014b" "720090" "820000")
    for bank in range(4):
        body += bytes([0x11, bank, 0x01, 0x01]) + bytes(332 * 144 // 8 + 2)
    body += bytes.fromhex("62003f" "720080")
    for bank in range(4):
        for row in (0, 128):
            body += bytes([0x11, bank, 0x82]) + struct.pack(">H", row)
            body += bytes([0x01, 0x03]) + bytes(64 * 128 // 8 + 2)
    body += b"\x22"
    body += struct.pack(">H", crc16(body)) + WAKE_UP
    return b"\xff\x00" + comment + b"\x00\xff" + PREAMBLE + b"\x51\x00" + CRC_RESET + body + b"\x00"


def large_hx1k(size, seed=1):
    """An HX1K image of about that size: block RAM is written over and over, all of it under the CRC."""
    image = empty_hx1k()
    start = crc_reset_at(image) + len(CRC_RESET)
    body = image[start:end(image) - len(WAKE_UP) - 2]  # ends in the CRC command, without its value
    row = bytes([0x11, 3, 0x82, 0, 0, 0x01, 0x03]) + random.Random(seed).randbytes(64 * 128 // 8) + b"\0\0"
    body = body[:-1] + row * max(0, (size - len(body)) // len(row)) + b"\x22"
    crc = binascii.crc_hqx(body, 0xFFFF)
    assert binascii.crc_hqx(body[:64], 0xFFFF) == crc16(body[:64])
    return image[:start] + body + crc.to_bytes(2, "big") + WAKE_UP + b"\0"
