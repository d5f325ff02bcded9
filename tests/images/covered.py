# SPDX-License-Identifier: Apache-2.0
"""Which bytes of a good image a checksum covers, by walking its format.

Written from the formats' descriptions, not from the recognisers: it believes what it reads,
checks nothing, and knows only well-formed files. A flipped bit in covered bytes has to be
refused; one elsewhere may be accepted, and then changes no fact unless it stands in the bytes
that are shown.
"""
import struct

SYNC, NOP = 0xAA995566, 0x20000000


def ranges(format_, data):
    """(covered, shown, lengths): lists of (from, to)."""
    walk = WALKS.get(format_)
    covered, shown, lengths = walk(data) if walk else ([], [(0, len(data))], [])
    if format_.startswith("xilinx") and not covered:
        shown = [(0, len(data))]  # registers that nothing covers are facts
    return merged(covered), merged(shown), lengths


def merged(parts):
    out = []
    for a, b in sorted(parts):
        if a >= b:
            continue
        if out and a <= out[-1][1]:
            out[-1] = (out[-1][0], max(b, out[-1][1]))
        else:
            out.append((a, b))
    return out


def rest(n, parts):
    """What of n bytes is in none of them."""
    out, at = [], 0
    for a, b in merged(parts):
        out.append((at, a))
        at = b
    return [(a, b) for a, b in [*out, (at, n)] if a < b]


def be16(data, at):
    return int.from_bytes(data[at:at + 2], "big")


def be32(data, at):
    return int.from_bytes(data[at:at + 4], "big")


def le32(data, at):
    return int.from_bytes(data[at:at + 4], "little")


def le64(data, at):
    return int.from_bytes(data[at:at + 8], "little")


# --- Lattice ------------------------------------------------------------------------------

def ice40(data):
    at = data.find(b"\x7e\xaa\x99\x7e")
    comment, at, first, width, height, lengths = at, at + 4, None, 0, 0, []
    while at < len(data):
        opcode, n = data[at] >> 4, data[at] & 15
        value = int.from_bytes(data[at + 1:at + 1 + n], "big")
        at += 1 + n
        if opcode == 4:
            return warm_boot(data)
        if opcode == 6:
            width = value + 1
        elif opcode == 7:
            height = value
        if opcode in (6, 7, 8) and len(lengths) < 24:
            lengths.append((at - n, at))
        if (opcode, value) == (0, 5):
            first = at
        elif opcode == 0 and value in (1, 3):
            at += width * height // 8 + 2
        elif opcode == 2:
            return [(first, at)], [(0, comment)], lengths
    return [], [(0, len(data))], []


def warm_boot(data):
    """Five vectors, which lead to whole images."""
    covered, shown = [], [(0, 160)]
    for place in sorted({int.from_bytes(data[at + 9:at + 12], "big") for at in range(0, 160, 32)}):
        inner, more, _ = ice40(data[place:])
        covered += [(place + a, place + b) for a, b in inner]
        shown += [(place + a, place + b) for a, b in more]
    return covered, shown, []


ECP5_FRAMES = {0x1111043: 74, 0x1112043: 106, 0x1113043: 142}


def lattice_front(data):
    for preamble in (b"\xff\xff\xbd\xb3", b"\xff\xff\xbf\xb3", b"\xff\xff\xbe\xb3"):
        at = data.find(preamble)
        if at >= 0:
            return at + 4, preamble[2] != 0xBD
    raise ValueError("no preamble")


def ecp5_frame(data, at, n):
    """Behind a compressed frame of n bytes (in units of eight) that begins at `at`."""
    bit, left = at * 8, (n + 7) // 8 * 8
    while left:
        left -= 1
        if not data[bit >> 3] >> (7 - bit % 8) & 1:
            bit += 1
        elif data[(bit + 1) >> 3] >> (7 - (bit + 1) % 8) & 1:
            bit += 10
        else:
            bit += 6
    return (bit + 7) // 8


def ecp5(data):
    at, encrypted = lattice_front(data)
    front = at
    if encrypted:
        return [], [(0, at)], []
    covered, pending, lengths, frame = [], [], [], 0
    while at < len(data):
        opcode, flags, count = data[at], data[at + 1] if at + 1 < len(data) else 0, be16(data, at + 2)
        check = False
        if opcode == 0xFF:
            at += 1
            continue
        begin, at = at, at + 4
        if opcode == 0x5E:
            break
        if opcode == 0x3B:
            pending = []
            continue
        if opcode in (0xE2, 0x22, 0xF6, 0xC2):
            if opcode == 0xE2:
                frame = ECP5_FRAMES[be32(data, at) & 0xFFFFFFF]
            at += 4
            check = opcode == 0xC2 and flags & 0x80
        elif opcode == 0x02:
            at += 8
            check = flags & 0x80
        elif opcode == 0xB2:
            at += 9 * count
            check = True
            lengths.append((begin + 2, begin + 4))
        elif opcode == 0xCE:
            check = flags & 0x80
        elif opcode in (0x82, 0xB8):
            lengths.append((begin + 2, begin + 4))
            for k in range(count):
                at = ecp5_frame(data, at, frame) if opcode == 0xB8 else at + frame
                pending.append((begin, at))
                if flags & 0x80 and (not flags & 0x40 or k + 1 == count):
                    covered += [*pending, (at, at + 2)]
                    pending, at = [], at + 2
                begin, at = at, at + (flags & 15)
        pending.append((begin, at))
        if check:
            covered += [*pending, (at, at + 2)]
            pending, at = [], at + 2
    return covered, [(0, front)], lengths


def lattice_other(data):
    at, _ = lattice_front(data)
    return [], [(0, at + 72)], []


# --- Gowin ----------------------------------------------------------------------------------

def gowin(data):
    at, rows, crc, compressed, known, idcode, covered, shown, lengths, first, front = 0, 0, 0, 0, 0, 0, [], [], [], True, []
    for text in data.splitlines(keepends=True):
        digits = text.strip()
        end = at + len(digits)
        if rows:
            padded = idcode & 0xFFFFFFF in (0x100481B, 0x100581B)
            # The CRC of the first row covers the lines of front too, so far as it is known of the family.
            if crc and (not first or known):
                covered += [(at, end - 48), *(front if first else [])]
            elif padded and not compressed:
                covered.append((at + 4, end - (64 if crc else 48)))
            else:
                shown.append((at, end))  # whether the checksum in the comment holds is told
            first = False
            rows -= 1
        elif digits.startswith(b"//"):
            shown.append((at, at + len(text)))
        elif digits:
            value, opcode = int(digits, 2), int(digits[:8], 2) & 0x7F
            shown.append((at, at + len(text)))
            if opcode == 0x06:
                idcode = value & 0xFFFFFFFF
                known = idcode & 0xFFFDFFF != 0x81B  # not of GW2A
            elif opcode == 0x10:
                compressed = value >> 13 & 1
            elif opcode == 0x3B:
                crc, rows = value >> 23 & 1, value & 0xFFFF
                lengths.append((at + 16, at + 32))
            if opcode in (0x06, 0x10, 0x51, 0x0B, 0x3B):
                front.append((at + 8, end))
        at += len(text)
    return covered, shown, lengths


# --- Xilinx ---------------------------------------------------------------------------------

def stream(data, begin, end, order="big", spartan3=False):
    """Covered bytes of a stream, and the words that say how long something is."""
    def word(i):
        return int.from_bytes(data[i:i + 4], order)

    covered, lengths, pending, at, synced, register = [], [], [], begin, False, 0
    while at + 4 <= end:
        head = word(at)
        if not synced:
            synced = head == SYNC
            at += 4
            continue
        if not head and not spartan3:
            pending.append((at, at + 4))
        kind, count = head >> 29, 0
        if kind == 1 and head >> 27 & 3 == 2:
            register, count = head >> 13 & 31, head & 0x7FF
        elif kind == 2:
            count = head & 0x7FFFFFF
            if len(lengths) < 16:
                lengths.append((at, at + 4))
        at += 4
        if not count:
            continue
        value, body = word(at), (at, at + 4 * count)
        at += 4 * count
        if register == 0:
            covered += [*pending, body]
            pending = []
        elif register == 4 and value in (7, 13):
            pending = []
            synced = value == 7
        elif register == 0x1E and not spartan3:
            inner, more = stream(data, *body, order)
            covered, lengths = covered + inner, lengths + more
        elif register == 11 and count == 4 and not spartan3:
            break  # encrypted from here on
        elif register != 8 or spartan3:
            pending.append(body)
        if register == 2 and spartan3:
            covered += [*pending, (at, at + 4)]
            pending, at = [], at + 4
    return covered, lengths


def narrow(data, begin, end):
    """The same of packets of 16 bits: from the reset of the CRC to the last of them."""
    at = data.index(b"\xaa\x99", begin) + 2
    six = data[at:at + 2] == b"\x55\x66"
    at, pending, covered, lengths = at + 2 * six, [], [], []
    while at + 2 <= end:
        head = be16(data, at)
        register, count = head >> 5 & 63, head & 31
        if head >> 11 == 10:
            words = be32(data, at + 2)
            lengths.append((at + 2, at + 6))
            pending.append((at + 6, at + 6 + 2 * words))
            at += 6 + 2 * words
            if six:
                covered += [*pending, (at, at + 4)]
                pending, at = [], at + 4
            continue
        body = (at + 2, at + 2 + 2 * count)
        at = body[1]
        if head >> 11 != 6:
            at = body[0]  # nothing is done
        elif register == 5 and be16(data, body[0]) == 13:
            break
        elif register == 5 and be16(data, body[0]) == 7:
            pending = []
        elif register == 0:
            covered += [*pending, body]
            pending = []
        else:
            pending.append(body)
    return covered, lengths


def bit(data):
    at, lengths, part = 13, [], b""
    while data[at:at + 1] != b"e":
        n = be16(data, at + 1)
        if data[at:at + 1] == b"b":
            part = data[at + 3:at + 3 + n]
        lengths.append((at + 1, at + 3))
        at += 3 + n
    lengths.append((at + 1, at + 5))
    payload = at + 5
    if part[:2] == b"6s" or part[:2] == b"3s" and b"a" in part[2:7]:
        covered, more = narrow(data, payload, payload + be32(data, at + 1))
        return covered, [(0, payload)], lengths + more
    covered, more = stream(data, payload, payload + be32(data, at + 1), spartan3=part[:2] == b"3s")
    return covered, [(0, payload)], lengths + more


def raw(data):
    if data[32:40] != bytes.fromhex("665599aa") + b"XNLX":
        order = "big" if data.find(b"\xaa\x99\x55\x66") in range(1, 600) else "little"
        covered, lengths = stream(data, 0, len(data), order)
        return covered, [], lengths
    images, part = le32(data, 0x98), le32(data, 0x9C)
    first, words = 4 * le32(data, part + 32), le32(data, part + 8)
    covered, more = stream(data, first, first + 4 * words, "little")
    tables = [(0x20, 0x4C), (images, images + 64), (part, part + 64)]
    if le32(data, part + 64 + 8):
        covered, more, tables = [], [], [*tables, (part + 64, part + 128)]  # with programs: two, which are not read
    lengths = [(0x98, 0x9C), (0x9C, 0xA0), (images + 12, images + 16), (part + 8, part + 12), (part + 32, part + 36)]
    return covered + tables, rest(first, tables), lengths + more


def pdi(data):
    if data[16:20] != bytes.fromhex("665599aa"):
        images = 16 if data[:4] == b"\xdd\0\0\0" else 0  # a partial one, that begins with its table
        return [(images, images + 128)], [], []
    images = le32(data, 0xC4)
    parts, n = 4 * le32(data, images + 0x10), le32(data, images + 0x0C)
    lengths = [(0xC4, 0xC8), (images + 0x0C, images + 0x10), (images + 0x10, images + 0x14)]
    for k in range(n):
        lengths += [(parts + 128 * k + 8, parts + 128 * k + 12), (parts + 128 * k + 32, parts + 128 * k + 36)]
    return [(0x10, 0xF34), (images, images + 128)], [(0, 0x10), (parts, parts + 128 * n)], lengths


def xclbin(data):
    n = le32(data, 448)
    covered, shown, lengths = [], [(0, 456 + 40 * n)], [(8, 12), (304, 312), (448, 452)]
    for k in range(n):
        row = 456 + 40 * k
        kind, offset, size = le32(data, row), le64(data, row + 24), le64(data, row + 32)
        lengths += [(row + 24, row + 32), (row + 32, row + 40), (offset, offset + 4)]
        if kind == 0 and data[offset:offset + 4] == b"\0\x09\x0f\xf0":
            parts = bit(data[offset:offset + size])
            for here, inner in zip((covered, shown, lengths), parts):
                here += [(offset + a, offset + b) for a, b in inner]
        else:
            shown.append((offset, offset + size))
    return covered, shown, lengths


# --- Altera and the others ----------------------------------------------------------------------

def sof(data):
    at, lengths = 12, [(8, 12)]
    while at < len(data):
        lengths.append((at + 2, at + 6))
        at += 6 + le32(data, at + 2)
    return [(0, at)], [], lengths


def aocx(data):
    table, n, names = le32(data, 32), *struct.unpack("<HH", data[48:52])
    lengths, hidden = [(32, 36), (46, 48), (48, 50), (50, 52)], []
    strings = le32(data, table + 40 * names + 16)
    for k in range(n):
        row = table + 40 * k
        lengths += [(row, row + 4), (row + 16, row + 20), (row + 20, row + 24)]
        if data[strings + le32(data, row):].startswith(b".acl.fpga.bin\0"):
            hidden.append((le32(data, row + 16), le32(data, row + 16) + le32(data, row + 20)))
    return [], rest(len(data), hidden), lengths


def gbs(data):
    at = 1024 if data[:4] == bytes.fromhex("19fdeab6") else 0
    if data[at:at + 4] == bytes.fromhex("80861f1d"):
        return [], [(0, at + 20)], []
    return [], [(0, at + 20 + le32(data, at + 16))], [(at + 16, at + 20)]


def dtbo(data):
    lengths = [(at, at + 4) for at in range(4, 40, 4)]
    at, end = be32(data, 8), be32(data, 8) + be32(data, 36)
    while at < end:
        token, at = be32(data, at), at + 4
        if token == 1:
            at = (data.index(b"\0", at) + 4) & ~3
        elif token == 3:
            lengths += [(at, at + 4), (at + 4, at + 8)]
            at = (at + 8 + be32(data, at) + 3) & ~3
    return [], [(0, len(data))], lengths


def efinix(data):
    return [], [(0, min(len(data), 4 * 1024 + 600))], []


WALKS = {
    "ice40": ice40, "ecp5": ecp5, "nexus": lattice_other, "machxo": lattice_other, "gowin-fs": gowin, "xilinx-bit": bit,
    "xilinx-bin": raw, "pdi": pdi, "xclbin": xclbin, "sof": sof, "aocx": aocx, "gbs": gbs, "dtbo": dtbo, "efinix": efinix,
    "rbf": lambda data: ([], [(0, 140)], []),
    "microchip-stp": lambda data: ([], [(0, len(data))], []),
    "microchip-dat": lambda data: ([], [(0, 64)], []),
}
