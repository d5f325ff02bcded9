# SPDX-License-Identifier: Apache-2.0
"""The checksums of image formats, bit by bit: slow, and nothing in common with what fabricfs computes."""


def xilinx(crc, word, register, polynomial):
    """37 bits, lowest first: the data of a write and the number of its register."""
    for k in range(37):
        bit = (word >> k if k < 32 else register >> (k - 32)) & 1
        crc = (crc >> 1) ^ (polynomial if (crc ^ bit) & 1 else 0)
    return crc


def xilinx_narrow(writes):
    """Spartan-3A and -6, of (register, word): each times x as often as others follow it, over 22 bits."""
    crc = 0
    for register, word in writes:
        crc = crc << 1 ^ (0x409081 if crc >> 21 else 0)
        crc ^= register << 16 | word
    return crc


def ccitt(data):
    """iCE40: polynomial 1021, begins with ffff."""
    crc = 0xFFFF
    for byte in data:
        for k in range(7, -1, -1):
            crc = (crc << 1 ^ (0x1021 if (crc >> 15 ^ byte >> k) & 1 else 0)) & 0xFFFF
    return crc


def ecp5(data):
    """Polynomial 8005, begins with 0; 16 zeros push the last bits out."""
    crc = 0
    for byte in [*data, 0, 0]:
        for k in range(7, -1, -1):
            crc = crc << 1 | byte >> k & 1
            if crc & 0x10000:
                crc ^= 0x18005
    return crc


def reflected(data, polynomial, begin):
    """Gowin's rows (a001, 0) and .sof (8408, ffff, and the complement is stored)."""
    crc = begin
    for byte in data:
        for k in range(8):
            crc = (crc >> 1) ^ (polynomial if (crc ^ byte >> k) & 1 else 0)
    return crc


def complement(data):
    """Tables of bootgen: what makes the sum of their little-endian words all ones."""
    total = sum(int.from_bytes(data[i:i + 4], "little") for i in range(0, len(data), 4))
    return (~total & 0xFFFFFFFF).to_bytes(4, "little")
