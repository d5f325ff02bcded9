# SPDX-License-Identifier: Apache-2.0
"""Devices behind a Xilinx Virtual Cable: a JTAG TAP with one device, reached over TCP.

A loader that speaks the protocol (three commands, `getinfo:`, `settck:` and `shift:`) finds a device
with that IDCODE, whose status is what the loader waits for, and which keeps what is loaded into it.
"""
import socket
import struct
import threading

# The states of IEEE 1149.1: what follows with TMS at 0 and at 1.
NEXT = {
    "reset": ("idle", "reset"), "idle": ("idle", "select-dr"),
    "select-dr": ("capture-dr", "select-ir"), "capture-dr": ("shift-dr", "exit1-dr"), "shift-dr": ("shift-dr", "exit1-dr"),
    "exit1-dr": ("pause-dr", "update-dr"), "pause-dr": ("pause-dr", "exit2-dr"), "exit2-dr": ("shift-dr", "update-dr"),
    "update-dr": ("idle", "select-dr"),
    "select-ir": ("capture-ir", "reset"), "capture-ir": ("shift-ir", "exit1-ir"), "shift-ir": ("shift-ir", "exit1-ir"),
    "exit1-ir": ("pause-ir", "update-ir"), "pause-ir": ("pause-ir", "exit2-ir"), "exit2-ir": ("shift-ir", "update-ir"),
    "update-ir": ("idle", "select-dr"),
}
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Tap:
    """One device. A subclass says how long its instructions are and what they do."""
    ir_bits, load = 8, None

    def __init__(self, idcode):
        self.idcode = idcode
        self.state, self.instruction = "reset", None  # None: IDCODE, as after a reset
        self.register, self.bits = 0, 1
        self.loaded, self.rest, self.rest_bits = bytearray(), 0, 0

    def value(self, instruction):
        """What is read with it: the value and its bits; of others BYPASS."""
        del instruction
        return 0, 1

    def instructed(self, instruction):
        """It has been given one."""

    def configuration(self):
        """What was loaded, in the order of the file: the first bit is the highest of a byte."""
        return bytes(self.loaded).translate(REVERSED)

    def enter(self, state):
        self.state = state
        if state == "reset":
            self.instruction = None
        elif state == "capture-ir":
            self.register, self.bits = 1, self.ir_bits
        elif state == "update-ir":
            self.instruction = self.register
            self.instructed(self.instruction)
        elif state == "capture-dr":
            self.register, self.bits = (self.idcode, 32) if self.instruction is None else self.value(self.instruction)

    def shifted(self, count, tdi):
        both = self.register | tdi << self.bits
        self.register = both >> count
        if self.state == "shift-dr" and self.instruction is not None and self.instruction == self.load:
            self.rest |= tdi << self.rest_bits
            whole, self.rest_bits = divmod(self.rest_bits + count, 8)
            self.loaded += (self.rest & (1 << 8 * whole) - 1).to_bytes(whole, "little")
            self.rest >>= 8 * whole
        return both & (1 << count) - 1

    def clock(self, count, tms, tdi):
        """So many clocks at once, the first in the lowest bit; what came out at TDO."""
        tdo, at = 0, 0
        while at < count:
            ahead = tms >> at
            high = ahead & 1
            after = NEXT[self.state][high]
            run = 1
            if after == self.state:
                ends = (~ahead if high else ahead) & (1 << count - at) - 1
                run = (ends & -ends).bit_length() - 1 if ends else count - at
            if self.state in ("shift-dr", "shift-ir"):
                tdo |= self.shifted(run, tdi >> at & (1 << run) - 1) << at
            if after != self.state:
                self.enter(after)
            at += run
        return tdo


class Xilinx7(Tap):
    """7 series (UG470): a loader waits for nothing but the bit that each IR scan has."""
    ir_bits, load = 6, 0x05


class Ecp5(Tap):
    """ECP5 (FPGA-TN-02039): ISC_ENABLE and ISC_DISABLE show in bit 9 of the status."""
    load = 0x7A
    enabled = False

    def instructed(self, instruction):
        self.enabled = {0xC6: True, 0x26: False}.get(instruction, self.enabled)

    def value(self, instruction):
        return {0xE0: (self.idcode, 32), 0x3C: (self.enabled << 9, 32), 0xF0: (0, 8), 0xC0: (0, 32)}.get(instruction, (0, 1))


class Gowin(Tap):
    """GW1N, GW2A (TN653): of the status bit 5 says erased, 7 edit mode, 13 done."""
    load = 0x17
    status = 0

    def instructed(self, instruction):
        if instruction == 0x15:
            self.status |= 1 << 7
        elif instruction == 0x3A:
            self.status &= ~(1 << 7)
        elif instruction == 0x05:
            self.status |= 1 << 5
        elif instruction == 0x09:
            self.status |= 1 << 13

    def value(self, instruction):
        return {0x11: (self.idcode, 32), 0x41: (self.status, 32), 0x13: (0, 32)}.get(instruction, (0, 1))


class Cable:
    """Serves one client; a context whose end has the server's own failure, if there was one."""

    # For TMS and TDI together; at this size an answer is one segment, which clients take it for.
    BUFFER = 4096

    def __init__(self, tap, timeout_s=60):
        self.tap, self.timeout_s, self.failure = tap, timeout_s, None
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(timeout_s)
        self.port = self.listening.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        # Wakes the server where no client came.
        self.listening.shutdown(socket.SHUT_RDWR)
        self.thread.join(self.timeout_s)
        self.listening.close()
        if kind is None and self.failure:
            raise self.failure

    def read(self, connection, count):
        data = bytearray()
        while len(data) < count:
            more = connection.recv(count - len(data))
            if not more:
                raise EOFError
            # The client sends a command in pieces and its kernel holds the next until this one is acknowledged.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            data += more
        return bytes(data)

    def serve(self):
        try:
            connection, _ = self.listening.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(self.timeout_s)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while True:
                    self.answer(connection)
            except (EOFError, ConnectionError):
                pass
            except Exception as failure:  # pylint: disable=broad-except
                self.failure = failure

    def answer(self, connection):
        command = self.read(connection, 6)
        if command == b"getinf":
            assert self.read(connection, 2) == b"o:"
            connection.sendall(f"xvcServer_v1.0:{self.BUFFER}\n".encode())
        elif command == b"settck":
            connection.sendall(self.read(connection, 5)[1:])
        else:
            assert command == b"shift:", command
            [count] = struct.unpack("<I", self.read(connection, 4))
            size = (count + 7) // 8
            assert 0 < 2 * size <= self.BUFFER, count
            tms, tdi = (int.from_bytes(self.read(connection, size), "little") for _ in range(2))
            connection.sendall(self.tap.clock(count, tms, tdi).to_bytes(size, "little"))
