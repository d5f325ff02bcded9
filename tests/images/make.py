#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes one small file or more of each image format, and one of each container that users mistake for one.

usage: make.py FOLDER [SAMPLES]

Each is FOLDER/FORMAT/NAME; what is taken for none, or is for no card, is in FOLDER/refused or FOLDER/archive.
FOLDER/INDEX has a line for each, and for each vendor's sample in the folder SAMPLES, if it is
there: path, format, errno ("0": sound, "no card": sound as it is), the bytes that a checksum covers, those that are
shown as facts, and the length fields, each as ranges FROM-TO by commas, or "-" (covered.py).
"""
import gzip
import io
import json
import lzma
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import checksums
from covered import ranges

ROOT = Path(__file__).resolve().parents[2]
NOP = 0x20000000
CRC, FAR, FDRI, CMD, CTL0, MASK, LOUT, COR0, MFWR, CBC, IDCODE, COR1, WBSTAR, TIMER = (
    0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 14, 16, 17)
NEXT_DIE = 0x1E
WCFG, MFW, LFRM, START, RCRC, DESYNC = 1, 2, 3, 5, 7, 13
XC7A35T, XC7A50T, XCKU040, XCVU37P, XC3S500E, XC6SLX9 = 0x0362D093, 0x0362C093, 0x03822093, 0x04B79093, 0x01C22093, 0x04001093


def noise(n, seed=1):
    """n bytes that look like a configuration: mostly zero."""
    out, x = bytearray(n), seed * 2654435761 & 0xFFFFFFFF
    for i in range(n):
        x = x * 1664525 + 1013904223 & 0xFFFFFFFF
        if x >> 24 & 3 == 0:
            out[i] = x >> 16 & 255
    out[-1] |= 1
    return bytes(out)


# --- Xilinx -------------------------------------------------------------------------------

class Stream:
    """Configuration packets, big-endian."""

    def __init__(self, polynomial=0x82F63B78):
        self.words, self.crc, self.polynomial = [], 0, polynomial

    def raw(self, *words):
        self.words += words
        return self

    def cover(self, register, words):
        for word in words:
            self.words.append(word)
            if register != LOUT:
                self.crc = checksums.xilinx(self.crc, word, register, self.polynomial)

    def write(self, register, *words):
        self.raw(0x30000000 | register << 13 | len(words))
        self.cover(register, words)
        if register == CMD and words[0] == RCRC:
            self.crc = 0
        return self

    def long(self, register, data):
        words = struct.unpack(f">{len(data) // 4}I", data)
        self.raw(0x30000000 | register << 13, 0x50000000 | len(words))
        self.cover(register, words)
        return self

    def check(self):
        self.raw(0x30000001, self.crc)
        self.crc = 0
        return self

    def nop(self, n=1):
        return self.raw(*[NOP] * n)

    def head(self, padding=8):
        return self.raw(*[0xFFFFFFFF] * padding, 0xBB, 0x11220044, 0xFFFFFFFF, 0xFFFFFFFF, 0xAA995566).nop()

    def front(self, idcode, partial=False):
        if not partial:
            self.write(TIMER, 0).write(WBSTAR, 0)
        self.write(CMD, RCRC).nop(2)
        if not partial:
            self.write(COR0, 0x02003FE5).write(COR1, 0)
        return self.write(IDCODE, idcode).write(MASK, 0x401).write(CTL0, 0x501).write(FAR, 0).write(CMD, WCFG).nop()

    def back(self):
        self.nop(2).write(CMD, LFRM).nop(4).write(CMD, START).write(FAR, 0x03BE0000).check()
        return self.nop(2).write(CMD, DESYNC).nop(12)

    def bytes(self, order=">"):
        return struct.pack(f"{order}{len(self.words)}I", *self.words)


def full(idcode, frames=3, padding=8):
    return Stream().head(padding).front(idcode).long(FDRI, noise(404 * frames)).check().back()


def die(idcode, inner=None):
    s = Stream().head(16).front(idcode).long(FDRI, noise(404, idcode)).check()
    if inner:
        s.raw(0x3003C000, 0x50000000 | len(inner.words)).raw(*inner.words)
    return s.back()


def stacked(idcode):
    s = full(idcode, 1, 16).head(16)
    inner = die(0x04B42093, die(0x04B44093))
    return s.raw(0x3003C000, 0x50000000 | len(inner.words)).raw(*inner.words).write(CMD, DESYNC).nop(8)


def compressed(idcode):
    s = Stream().head().front(idcode).write(FDRI, *struct.unpack(">101I", noise(404))).write(CMD, MFW)
    for k in range(4):
        s.write(FAR, k).write(MFWR, 0, 0, 0, 0)
    return s.check().back()


def per_frame(idcode):
    s = Stream().head().front(idcode)
    for k in range(3):
        s.write(FDRI, *struct.unpack(">101I", noise(404, k + 1))).write(FAR, k).check()
    return s.back()


def debug(idcode):
    s = Stream().head().front(idcode)
    for k in range(3):
        s.write(FDRI, *struct.unpack(">101I", noise(404, k + 1))).write(LOUT, k)
    s.cover(FDRI, [0] * 202)
    return s.check().back()


def partial(idcode):
    s = Stream()
    for k in range(2):
        s.head().front(idcode, True).write(FDRI, *struct.unpack(">101I", noise(404, k + 1)))
        s.check().write(CMD, DESYNC).nop(4)
    return s


def without_crc(idcode):
    s = Stream().head().front(idcode).long(FDRI, noise(404)).write(CMD, RCRC)
    return s.write(CMD, START).write(CMD, RCRC).write(CMD, DESYNC).nop(4)


def encrypted(idcode):
    s = Stream().head().front(idcode).write(MASK, 0x40).write(CTL0, 0x40)
    return s.raw(0x30000000 | CBC << 13 | 4, *struct.unpack(">64I", noise(256)))


def spartan3(idcode):
    s = Stream(0xA001).raw(0xFFFFFFFF, 0xAA995566).write(CMD, RCRC)
    s.write(0x0B, 100).write(COR0, 0x31E5).write(0x0E, idcode).write(FAR, 0).write(CMD, WCFG).long(FDRI, noise(404))
    s.raw(s.crc)
    s.crc = 0
    return s.write(CMD, START).check().write(CMD, DESYNC).nop(4)


def narrow(idcode, six):
    """Packets of 16 bits: Spartan-6, or Spartan-3A, which has no CRC behind each packet of frames."""
    out, writes = bytearray(b"\xff" * 16 + bytes.fromhex("aa99 5566" if six else "aa99")), []

    def write(register, *words):
        writes.extend((register, word) for word in words)
        return struct.pack(f">{1 + len(words)}H", 0x3000 | register << 5 | len(words), *words)

    def check(head=b""):
        return head + struct.pack(">I", checksums.xilinx_narrow(writes))
    out += write(5, 7)
    writes.clear()
    out += write(14, idcode >> 16, idcode & 0xFFFF) + write(7, 0xCF) + write(6, 0x81) + write(5, 1)
    for k in range(2):
        words = struct.unpack(">65H", noise(130, k + 1))
        out += write(1, k, 0) + bytes.fromhex("5060") + struct.pack(">I65H", 65, *words)
        writes.extend((3, word) for word in words)
        out += check() if six else b""
    out += write(5, 2) + write(0x1B if six else 0x18, 0, 0, 0, 0)
    out += (b"" if six else check(b"\x30\x02")) + write(5, 10) + write(5, 3) + b"\x20\x00" * 3
    out += write(5, 5) + write(7, 0xFF) + write(6, 0x81) + check(b"\x30\x02") + write(5, 13)
    return bytes(out + b"\x20\x00" * 14)


def bit(payload, part, design="top;UserID=0XCAFE0001;Version=2022.1"):
    payload = payload if isinstance(payload, bytes) else payload.bytes()
    out = bytes.fromhex("0009 0ff00ff00ff00ff000 0001")
    for key, text in zip("abcd", [design, part, "2026/11/21", "12:34:56"]):
        out += key.encode() + struct.pack(">H", len(text) + 1) + text.encode() + b"\0"
    return out + b"e" + struct.pack(">I", len(payload)) + payload


def boot(stream):
    """What bootgen makes of one bitstream for a ZynqMP."""
    payload = stream.bytes("<")
    head = bytearray(b"\0\0\0\x14" * 8 + bytes.fromhex("665599aa") + b"XNLX" + bytes(10200))

    def put(at, *words):
        struct.pack_into(f"<{len(words)}I", head, at, *words)
    put(0x98, 0x8C0, 0x1100)
    head[0x48:0x4C] = checksums.complement(head[0x20:0x48])
    put(0x8C0, 0x01020000, 1, 0x440, 0x900 // 4)
    head[0x8FC:0x900] = checksums.complement(head[0x8C0:0x8FC])
    name = b"design.bit\0\0"
    for k in range(0, 12, 4):
        head[0x910 + k:0x914 + k] = name[k:k + 4][::-1]
    put(0x1100, len(payload) // 4, len(payload) // 4, len(payload) // 4)
    put(0x1120, 10240 // 4)
    head[0x113C:0x1140] = checksums.complement(head[0x1100:0x113C])
    return bytes(head[:10240]) + payload


def pdi(text=b"FPDI", parent=0, idcode=0x04CA8093):
    images, parts = 0x1000, 0x1080
    out = bytearray(bytes.fromhex("dd000000 44332211 88776655 ccbbaa99 665599aa") + b"XNLX" + bytes(0x1800))
    struct.pack_into("<I", out, 0xC4, images)
    out[0xF30:0xF34] = checksums.complement(out[0x10:0xF30])
    struct.pack_into("<II", out, images, 0x40000, 1)
    struct.pack_into("<II", out, images + 0x0C, 2, parts // 4)
    struct.pack_into("<I", out, images + 0x18, idcode)
    struct.pack_into("<II", out, images + 0x20, 0x1234, parent)
    out[images + 0x28:images + 0x2C] = text
    out[images + 0x7C:images + 0x80] = checksums.complement(out[images:images + 0x7C])
    for k in range(2):
        at = parts + 128 * k
        struct.pack_into("<I", out, at + 8, 0x80)
        struct.pack_into("<I", out, at + 0x20, (0x1400 + 0x200 * k) // 4)
        out[at + 0x7C:at + 0x80] = checksums.complement(out[at:at + 0x7C])
    return bytes(out[:0x1400]) + noise(0x400)


def xclbin(vbnv, sections, interface=bytes(16), uuid=bytes(range(16))):
    """sections: (kind, bytes)."""
    offset = (456 + 40 * len(sections) + 7) // 8 * 8
    table, body = b"", b""
    for kind, data in sections:
        table += struct.pack("<I16s4xQQ", kind, b"s%d" % kind, offset + len(body), len(data))
        body += data + bytes(-len(data) % 8)
    total = offset + len(body)
    front = b"xclbin2\0" + struct.pack("<i", -1) + b"\xff" * 28 + b"\xff" * 256
    front += struct.pack("<QQQQHBBHH", 1700000000, total, 1700000000, 0, 477, 2, 13, 1, 0)
    front += interface + vbnv.encode().ljust(64, b"\0") + uuid + bytes(16) + struct.pack("<II", len(sections), 0)
    return (front + table).ljust(offset, b"\0") + body


def ip_layout(*names):
    out = struct.pack("<II", len(names), 0)
    for name in names:
        out += struct.pack("<IIQ", 1, 0, 0) + name.encode().ljust(64, b"\0")
    return out


def mem_topology(*tags):
    return struct.pack("<II", len(tags), 0) + b"".join(
        struct.pack("<BB6xQQ", 1, 1, 1 << 20, 0) + tag.encode().ljust(16, b"\0") for tag in tags)


def clocks(*rows):
    return struct.pack("<H", len(rows)) + b"".join(
        struct.pack("<HB5x", mhz, 1) + name.encode().ljust(128, b"\0") for mhz, name in rows)


# --- Lattice -----------------------------------------------------------------------------

class Ecp5:
    def __init__(self, comment=b"Part: LFE5U-25F-6CABGA256\0", idcode=0x41111043):
        self.out = b"\xff\x00" + comment + b"\xff\xff\xff\xbd\xb3\xff\xff\xff\xff\x3b\0\0\0"
        self.open = b""
        self.add(b"\xe2\0\0\0" + struct.pack(">I", idcode)).add(b"\x22\0\0\0\x40\0\0\0")

    def add(self, data):
        self.out += data
        self.open += data
        return self

    def skip(self, data):
        self.out += data
        return self

    def check(self):
        crc = checksums.ecp5(self.open)
        self.out += struct.pack(">H", crc)
        self.open = b""
        return self

    def frames(self, flags, rows, opcode=0x82):
        self.add(bytes([opcode, flags]) + struct.pack(">H", len(rows)))
        for k, row in enumerate(rows):
            self.add(row)
            if flags & 0x80 and (not flags & 0x40 or k + 1 == len(rows)):
                self.check()
            self.add(b"\xff")
        return self

    def end(self):
        self.skip(b"\xff" * 4).add(b"\xc2\x80\0\0\xca\xfe\0\x01").check()
        return self.out + b"\x5e\0\0\0\xff\xff\xff\xff"


def codes(n, k):
    """A compressed frame of n bytes: zeros, bytes of one bit, bytes of the dictionary, any."""
    bits = "".join(["0", "100101", "0", "101010", "0", "11" + "01100110"][(i + k) % 6] for i in range(n))
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def nexus(part, idcode):
    return (b"\xff\x00" + part + b"\0\xff\xff\xff\xbd\xb3\xff\xff\xff\xff\x3b\0\0\0\xe2\0\0\0" + struct.pack(">I", idcode)
            + b"\x22\0\0\0\x40\0\0\0\x46\0\0\0\x82\x91\0\x05" + noise(300) + b"\x5e\0\0\0\xff\xff\xff\xff")


# --- Gowin -------------------------------------------------------------------------------

def gowin(idcode, device, crc=True, newline="\n", rows=8, width=26):
    def line(data):
        return "".join(f"{byte:08b}" for byte in data) + newline
    padded = idcode & 0xFFFFFFF in (0x100481B, 0x100581B)
    idcode_line = b"\x06\0\0\0" + struct.pack(">I", idcode)
    rows_line = b"\x3b" + (b"\x80" if crc else b"\0") + struct.pack(">H", rows)
    front = idcode_line + b"\x10" + bytes(7) + b"\x0b\0\0\0" + rows_line
    body, nibbles = "", ""
    for k in range(rows):
        row = bytearray(noise(width, k + 1))
        if padded:
            row[0] &= 15
        nibbles += row.hex()[padded:]
        # That of the first row covers the lines in front of it.
        code = checksums.reflected((b"\xff" * 6 if k else front) + row, 0xA001, 0)
        body += line(bytes(row) + (struct.pack("<H", code) if crc else b"") + b"\xff" * 6)
    checksum = sum(int(nibbles[i:i + 4], 16) for i in range(0, len(nibbles) - 3, 4)) & 0xFFFF
    head = "".join(f"//{text}{newline}" for text in [
        f"Device: {device}", "Part Number: GW1NR-LV9QN88PC6/I5", "GOWIN Version: 1.9.8", f"CheckSum: 0x{checksum:04x}",
        "UserCode: 0xCAFE0001", "Created Time: Sat Nov 21 12:34:56 2026"]) if device else ""
    head += line(b"\xff" * 20) + line(b"\xff\xff") + line(b"\xa5\xc3") + line(idcode_line)
    head += line(b"\x10" + bytes(7)) + line(b"\x0b\0\0\0") + line(b"\xd2\0\xff\xff\0\0\0\0") + line(rows_line)
    body += line(b"\x0a\0\0\0\0\0" + struct.pack(">H", checksum)) + line(b"\x08\0\0\0") + line(b"\xff\xff")
    return (head + body).encode()


# --- Altera --------------------------------------------------------------------------------

def sof(device=b"10M08SAU169C8G"):
    rows = [(1, b"Quartus Prime Compiler Version 18.1.0 Lite Edition"), (2, device), (3, b"/home/builder/top"),
            (17, noise(500))]
    out = b"SOF\0" + struct.pack("<II", 0, len(rows) + 1)
    for kind, data in rows:
        out += struct.pack("<HI", kind, len(data)) + data
    out += struct.pack("<HI", 8, 2)
    return out + struct.pack("<H", checksums.reflected(out, 0x8408, 0xFFFF) ^ 0xFFFF)


def elf(sections, type_=0):
    """An ELF file of class 32 with the machine of a 64-bit processor, as the OpenCL SDK writes."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name, _ in sections) + b".shstrtab\0"
    body, rows, at = b"", struct.pack("<10I", *[0] * 10), 52
    for name, data in [*sections, (".shstrtab", names)]:
        rows += struct.pack("<10I", names.index(b"\0" + name.encode() + b"\0") + 1, 3 if data is names else 1, 0, 0,
                            at + len(body), len(data), 0, 0, 1, 0)
        body += data
    body += bytes(-len(body) % 4)
    head = b"\x7fELF\x01\x01\x01" + bytes(9) + struct.pack(
        "<HHIIIIIHHHHHH", type_, 0x3E, 1, 0, 0, at + len(body), 0, 52, 0, 0, 40, len(sections) + 2, len(sections) + 1)
    return head + body + rows


BUILD_JSON = (b'{"build_metadata":{"dsa":{"board":{"name":"som","part":"XCK26-SFVC784-2LV-C"}},"xclbin":{"generated_by":'
              b'{"name":"v++","version":"2022.1","options":"--config /home/builder/x.cfg"}}}}')
AOCX = [(".acl.board", b"a10gx"), (".acl.version", b"18.1.0.222"), (".acl.fpga.bin", noise(300))]
GBS_JSON = json.dumps({
    "version": 1, "platform-name": "DCP",
    "afu-image": {"interface-uuid": "ce489693-98f0-5f33-946d-560708be108a", "magic-no": 488605312, "power": 30,
                  "clock-frequency-high": 400, "clock-frequency-low": 200,
                  "accelerator-clusters": [{"name": "nlb_400", "total-contexts": 1,
                                            "accelerator-type-uuid": "d8424dc4-a4a3-c413-f89e-433683f9040b"}]}}).encode()
RBF = b"\xff" * 32 + bytes.fromhex("6af7f7f7f7f7f7f3 fbf2") + noise(600)


def gbs():
    return b"XeonFPGA\xb7GBSv001" + struct.pack("<I", len(GBS_JSON)) + GBS_JSON + RBF


# --- the others ------------------------------------------------------------------------------

def efinix(newline="\n"):
    text = (b"Version: 2022.2.322.2.14\nGenerated: Mon Apr 17 07:59:34 2023\n\nProject: /home/builder/spi\n"
            b"Family: Trion\nDevice: T8F81\nWidth: 1\nMode: active\n")
    return "".join(f"{byte:02X}{newline}" for byte in text + noise(300)).encode()


def dtbo(overlay=True):
    """A flattened device tree, version 17."""
    strings, out = b"", b""

    def prop(name, value):
        nonlocal strings, out
        if name.encode() + b"\0" not in strings:
            strings += name.encode() + b"\0"
        out += struct.pack(">III", 3, len(value), strings.index(name.encode() + b"\0")) + value + bytes(-len(value) % 4)

    def node(name):
        nonlocal out
        out += struct.pack(">I", 1) + name + b"\0" + bytes(-(len(name) + 1) % 4)

    end = struct.pack(">I", 2)
    node(b"")
    prop("compatible", b"xlnx,zynqmp\0")
    if overlay:
        node(b"fragment@0")
        prop("target", b"\xff\xff\xff\xff")
        node(b"__overlay__")
        prop("firmware-name", b"design.bit.bin\0")
        node(b"led@0")
        prop("reg", b"\0\0\0\x01")
        out += end + end + end
        node(b"__fixups__")
        prop("fpga_full", b"/fragment@0:target:0\0")
        out += end
    out += end + struct.pack(">I", 9)
    head = struct.pack(">10I", 0xD00DFEED, 56 + len(out) + len(strings), 56, 56 + len(out), 40, 17, 16, 0, len(strings),
                       len(out))
    return head + bytes(16) + out + strings


STP = "\r\n".join([
    'NOTE "CREATOR" "FlashPro 11.9";', 'NOTE "DEVICE" "A3P250";', 'NOTE "PACKAGE" "208 PQFP";', 'NOTE "DATE" "2026/11/21";',
    'NOTE "DESIGN" "top";', "ACTION PROGRAM = DO_PROGRAM;", "DATA PARAMETERS;", "BOOLEAN A[64] = $0123456789ABCDEF;",
    "ENDDATA;", "CRC 1A2B;", ""]).encode()


def archive(kind):
    out = io.BytesIO()
    data = bit(full(XC7A35T), "7a35tcpg236")
    if kind == "tar":
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            info = tarfile.TarInfo("top.bit")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    else:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as xsa:
            for name, inner in [("sysdef.xml", b"<Project/>"), ("xsa.json", b"{}"), ("top.bit", data),
                                ("top.hwh", b"<EDKSYSTEM/>")]:
                xsa.writestr(zipfile.ZipInfo(name, (2026, 11, 21, 0, 0, 0)), inner)
    return out.getvalue()


def all_files():
    """(format, errno, name, bytes); errno "-" is for containers, whatever is said of them."""
    lp384 = (ROOT / "contrib/examples/upper-lp384/upper-lp384.bin").read_bytes()
    ecp5_rows = [noise(74, k + 1) for k in range(5)]
    part = "7a35tcpg236"
    files = [
        ("ice40", "lp384.bin", lp384),
        ("ice40", "comment.bin", b"\xff\x00Lattice\0iCEcube2 2014.08.26723\0Part: iCE40LP384-CM49\0Date: Nov 21 2026 12:34\0"
                                 + lp384[lp384.index(b"\x00\xff\x7e\xaa"):]),
        ("xilinx-bit", "full.bit", bit(full(XC7A35T), part)),
        ("xilinx-bit", "compressed.bit", bit(compressed(XC7A35T), part, "top;COMPRESS=TRUE;Version=2022.1")),
        ("xilinx-bit", "per-frame.bit", bit(per_frame(XC7A35T), part)),
        ("xilinx-bit", "debug.bit", bit(debug(XC7A35T), part)),
        ("xilinx-bit", "partial.bit", bit(
            partial(XC7A35T), part, "rp;UserID=0XFFFFFFFF;PARTIAL=TRUE;Version=2022.1;UniqueID=1111aaaa;ParentID=2222bbbb")),
        ("xilinx-bit", "ultrascale.bit", bit(full(XCKU040, padding=16), "xcku040-ffva1156-2-e")),
        ("xilinx-bit", "stacked.bit", bit(stacked(XCVU37P), "xcvu37p-fsvh2892-2L-e")),
        ("xilinx-bit", "without-crc.bit", bit(without_crc(XC7A35T), part)),
        ("xilinx-bit", "encrypted.bit", bit(encrypted(XC7A35T), part)),
        ("xilinx-bit", "spartan3e.bit", bit(spartan3(XC3S500E), "3s500ecp132", "top.ncd")),
        ("xilinx-bit", "spartan6.bit", bit(narrow(XC6SLX9, True), "6slx9cpg196", "top.ncd;UserID=0xFFFFFFFF")),
        ("xilinx-bit", "spartan3an.bit", bit(narrow(0x02610093, False), "3s50antqg144", "top.ncd")),
        ("xilinx-bin", "bus.bin", full(XC7A35T).bytes()),
        ("xilinx-bin", "swapped.bin", full(XC7A35T).bytes("<")),
        ("xilinx-bin", "boot.bin", boot(full(0x04A44093, 2, 16))),
        ("pdi", "full.pdi", pdi()),
        ("pdi", "partial.pdi", pdi(b"PPDI", 0xABCD)),
        ("pdi", "partial-table.pdi", pdi(b"PPDI", 0xABCD)[0x1000:]),
        ("pdi", "partial-widths.pdi", pdi()[:16] + pdi(b"PPDI", 0xABCD)[0x1000:]),
        ("xclbin", "kernels.xclbin", xclbin("xilinx_u250_gen3x16_xdma_4_1", [
            (0, bit(full(XC7A35T, 1), part)), (6, mem_topology("DDR[0]", "DDR[1]")),
            (8, ip_layout("vadd:vadd_1", "vadd:vadd_2", "mmult:mmult_1")),
            (11, clocks((300, "DATA_CLK"), (500, "KERNEL_CLK")))])),
        ("xclbin", "kria.xclbin", xclbin("xilinx_kv260_base", [(6, mem_topology("HPC0")), (8, ip_layout("dpu:dpu_1"))])),
        ("xclbin", "platform.xclbin", xclbin("xilinx_kv260_base", [
            (14, BUILD_JSON), (2, b'<project><device fpgaDevice="zynquplus:xck26:sfvc784:-2LV:c"/></project>'),
            (0, full(0x04A49093, 1, 16).bytes()), (8, ip_layout("dpu:dpu_1"))])),
        ("xclbin", "aws.awsxclbin", xclbin("", [(0, b"agfi-0123456789abcdef0")], uuid=bytes(range(1, 17)))),
        ("rbf", "cyclone4.rbf", RBF),
        ("rbf", "cyclone5.rbf", b"\xff" * 128 + b"\x6a\x6a\x6a\x6a\x36\xf4\xff\xff" + noise(600)),
        ("sof", "max10.sof", sof()),
        ("aocx", "a10.aocx", elf(AOCX)),
        ("aocx", "kernels.aocx", elf([*AOCX[:2], (".acl.autodiscovery", b"23 16 " + b"0" * 40 + b" a10gx 0 1 10 DDR 2 1 2 0 "
                                                  b"2048 0 - 0 0 1 2 6 foo 64 128 0 192 256 3 bar 1 2"), AOCX[2]])),
        ("gbs", "nlb.gbs", gbs()),
        ("gbs", "legacy.gbs", bytes.fromhex("80861f1d") + bytes(range(16)) + RBF),
        ("gbs", "signed.gbs", bytes.fromhex("19fdeab6") + struct.pack("<I", 100) + noise(1016) + gbs()),
        ("ecp5", "plain.bit", Ecp5().add(b"\x46\0\0\0").frames(0x91, ecp5_rows).end()),
        ("ecp5", "one-crc.bit", Ecp5().add(b"\x46\0\0\0").frames(0xD1, ecp5_rows).end()),
        ("ecp5", "compressed.bit", Ecp5().add(bytes.fromhex("02000000508105c8066018c0")).add(b"\x46\0\0\0")
         .frames(0x91, [codes(80, k) for k in range(5)], 0xB8).end()),
        ("ecp5", "ram.bit", Ecp5(b"Version: Diamond 3.12\0Design name: top.ncd\0Part: LFE5U-25F-6CABGA256\0Date: Sat Nov 21\0")
         .add(b"\x46\0\0\0").frames(0x91, ecp5_rows).add(bytes.fromhex("f600000000000000 b2d00003"))
         .add(noise(27)).check().end()),
        ("ecp5", "encrypted.bit", b"\xff\x00Part: LFE5U-45F-8CABGA381\0\xff\xff\xff\xbf\xb3" + noise(300)),
        ("nexus", "lifcl.bit", nexus(b"Part: LIFCL-40-9BG400C", 0x010F1043)),
        ("machxo", "xo2.bit", nexus(b"Part: LCMXO2-7000HC-4TG144C", 0x012BD043)),
        ("gowin-fs", "gw1nr9c.fs", gowin(0x1100481B, "GW1NR-9C", newline="\r\n")),
        ("gowin-fs", "gw1n1.fs", gowin(0x0900281B, "GW1N-1")),
        ("gowin-fs", "open.fs", gowin(0x0000081B, "")),
        ("efinix", "t8.hex", efinix()),
        ("efinix", "t8-crlf.bit", efinix("\r\n")),
        ("microchip-stp", "a3p250.stp", STP),
        ("microchip-dat", "a3p250.dat", b"Designer Version 11.9.0.4\0\0\0" + noise(300)),
        ("dtbo", "overlay.dtbo", dtbo()),
        ("aws-afi", "afi.json", b'{\n    "FpgaImageId": "afi-0123456789abcdef0",\n'
                                b'    "FpgaImageGlobalId": "agfi-0fedcba9876543210"\n}\n'),
        ("aws-afi", "agfi.txt", b"agfi-0fedcba9876543210\n"),
    ]
    for format_, name, data in files:
        yield format_, "0", name, data
    refused = [
        ("ice40", "no card", "warm-boot.bin", warm_boot(lp384)),
        ("xilinx-bin", "no card", "fsbl.bin", boot_with_programs()),
        ("xclbin", "no card", "npu.xclbin", xclbin("", [(32, noise(64))])),
        ("aocx", "no card", "emulator.aocx", elf([(".acl.board", b"EmulatorDevice"),
                                                  (".acl.emulator_object.linux", b"\x7fELF")])),
        ("dtbo", "no card", "machine.dtb", dtbo(False)),
        ("-", "ENOEXEC", "program", b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 0x3E) + bytes(300)),
        ("-", "-", "top.bit.gz", gzip.compress(lp384, mtime=0)),
        ("-", "-", "top.bit.xz", lzma.compress(lp384)),
        ("-", "-", "design.xsa", archive("zip")),
        ("-", "-", "top.tar", archive("tar")),
        ("-", "-", "page.html", b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"),
        ("-", "-", "lfs.bit", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 2192111\n"),
        ("-", "-", "top.pof", b"POF\0" + bytes(8) + noise(100)),
        ("-", "-", "top.mcs", b":020000040000FA\n:10000000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00\n:00000001FF\n"),
        ("-", "-", "top.svf", b"// Created\nTRST OFF;\nENDIR IDLE;\nENDDR IDLE;\nSTATE RESET;\n"),
        ("-", "-", "old.xclbin", b"xclbin0\0" + noise(200)),
        ("-", "-", "top.jed", b"\x02*\nNOTE Version: Diamond*\nQP144*\nQF171904*\n\x03ABCD\n"),
        ("-", "-", "notes.json", b'{"name": "top", "part": "xc7a35t"}\n'),
        ("-", "-", "top.asc", b".comment icestorm\n.device 1k\n"),
        ("-", "-", "zeros", bytes(5000)),
        ("-", "-", "ones", b"\xff" * 5000),
        ("-", "-", "text", b"This is no image.\n"),
        ("-", "EBADMSG", "empty", b""),
    ]
    for format_, errno, name, data in refused:
        yield format_, errno, name, data


def warm_boot(image):
    """A flash image of two configurations, as icemulti makes it."""
    second = len(image) + 160 + -len(image) % 32
    vectors = b""
    for place in (160, 160, second, 160, 160):
        vectors += bytes.fromhex("7eaa997e 920000 4403") + place.to_bytes(3, "big")
        vectors += bytes.fromhex("820000 0108").ljust(20, b"\0")
    return (vectors + image).ljust(second, b"\xff") + image


def boot_with_programs():
    """A boot image with a second partition, as of a processor's program."""
    out = bytearray(boot(full(0x04A44093, 1, 16)))
    out[0x1140:0x1180] = out[0x1100:0x1140]
    return bytes(out)


def main(folder, samples=None):
    folder = Path(folder).resolve()
    rows = []
    for format_, errno, name, data in all_files():
        path = folder / (format_ if errno == "0" else "archive" if name.endswith(".xsa") else "refused") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        rows.append((path, format_, errno, data))
    if samples and (Path(samples) / "MANIFEST.tsv").exists():
        for row in (Path(samples) / "MANIFEST.tsv").read_text().splitlines()[1:]:
            path = Path(samples) / row.split("\t")[0]
            format_ = row.split("\t")[7]
            rows.append((path.resolve(), format_, "-", path.read_bytes()))
    with open(folder / "INDEX.new", "w", encoding="utf-8") as index:
        for path, format_, errno, data in rows:
            covered, shown, lengths = ranges("-" if errno.startswith("E") else format_, data)
            text = [",".join(f"{a}-{b}" for a, b in part) or "-" for part in (covered, shown, lengths)]
            print(path, format_, errno, *text, sep="\t", file=index)
    (folder / "INDEX.new").replace(folder / "INDEX")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
