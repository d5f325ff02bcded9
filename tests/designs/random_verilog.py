# SPDX-License-Identifier: Apache-2.0
"""Random Verilog from a seed: registers on both edges with all kinds of reset,
enables, arithmetic, comparisons, multiplexers, sometimes a memory or a divided
clock. Everything is initialised, so that two simulators must agree always."""


class Design:
    def __init__(self, rng):
        self.rng = rng
        self.signals = [("in", 16)]  # what an expression may use: name, width
        self.lines = []

    def slice(self, need):
        """Some `need` bits of some signal, padded where it has fewer."""
        name, width = self.rng.choice(self.signals)
        if width <= need:
            return f"{{{need - width}'d{self.rng.getrandbits(max(1, need - width)) % (1 << (need - width))}, {name}}}" \
                if width < need else name
        low = self.rng.randrange(width - need + 1)
        return f"{name}[{low + need - 1}:{low}]"

    def leaf(self, width):
        if self.rng.random() < 0.12:
            return f"{width}'d{self.rng.getrandbits(width)}"
        return self.slice(width)

    def bit(self, depth):
        a = self.expression(self.rng.randint(2, 9), depth - 1)
        kind = self.rng.randrange(6)
        if kind == 0:
            return f"({self.rng.choice('^|&')}({a}))"
        width = self.rng.randint(2, 9)
        b, c = self.expression(width, depth - 1), self.expression(width, depth - 1)
        return f"(({b}) {self.rng.choice(['<', '>=', '==', '!='])} ({c}))"

    def expression(self, width, depth):
        if depth <= 0:
            return self.leaf(width)
        a, b = self.expression(width, depth - 1), self.expression(width, depth - 1)
        kind = self.rng.randrange(9)
        if kind < 5:
            return f"(({a}) {['+', '-', '^', '&', '|'][kind]} ({b}))"
        if kind == 5:
            return f"({self.bit(depth)} ? ({a}) : ({b}))"
        if kind == 6:
            return f"(~({a}))"
        if kind == 7 and width > 1:
            cut = self.rng.randint(1, width - 1)
            return f"{{{self.expression(cut, depth - 1)}, {self.expression(width - cut, depth - 1)}}}"
        return f"(({a}) {self.rng.choice(['<<', '>>'])} {self.rng.randint(1, 3)})"

    def register(self, name, width, clock):
        """One always block; the value is not visible to others in its own line."""
        rng = self.rng
        edge, reset = rng.choice(["posedge", "posedge", "negedge"]), rng.randrange(4)
        after = f"{name} <= {self.expression(width, rng.randint(1, 3))};"
        if rng.random() < 0.5:
            after = f"if ({self.bit(1)}) {after}"
        value = f"{name} <= {width}'d{rng.getrandbits(width)};"
        event = f"{edge} {clock}"
        if reset == 1:
            after = f"if (rst) {value} else {after}"
        elif reset == 2:
            event += " or posedge rst"
            after = f"if (rst) {value} else {after}"
        elif reset == 3:
            after = f"if ({self.bit(1)}) {value} else {after}"
        self.lines.append(f"always @({event}) {after}")

    def memory(self, name):
        rng, width = self.rng, self.rng.choice([2, 4, 8, 16])
        size = min(4096 // width, 1 << rng.randint(6, 9))
        bits = size.bit_length() - 1
        edge = rng.choice(["posedge", "negedge"] if self.falling else ["posedge"])
        self.lines += [
            f"reg [{width - 1}:0] {name}_m [0:{size - 1}]; integer {name}_i;",
            f"initial for ({name}_i = 0; {name}_i < {size}; {name}_i = {name}_i + 1) "
            f"{name}_m[{name}_i] = {name}_i * {rng.randrange(1, 9999, 2)} + {rng.randrange(99)};",
            f"wire [{bits - 1}:0] {name}_w = {self.expression(bits, 1)};",
            f"wire [{bits - 1}:0] {name}_r = {self.expression(bits, 1)};",
            f"always @({edge} clk) begin if ({self.bit(1)}) "
            f"{name}_m[{name}_w] <= {self.expression(width, 1)}; "
            f"{name} <= {name}_m[{name}_r]; end",
        ]
        return width


def random_verilog(rng, memories=True, falling=True, most=9):
    """A module top. memories: with block RAMs; falling: also on the falling edge; most: registers."""
    d = Design(rng)
    d.falling = falling
    registers = [(f"r{i}", rng.randint(1, 12)) for i in range(rng.randint(4, most))]
    declare = [f"reg [{w - 1}:0] {n} = {w}'d{rng.getrandbits(w)};" for n, w in registers]
    divided = rng.random() < 0.4
    if divided:
        declare.append("reg [1:0] divide = 0;\nalways @(posedge clk) divide <= divide + 1;")
    d.signals += registers
    # Wires would race with clocks made inside, in the reference: first those
    # registers that may have such a clock, which use registers only.
    for i, (name, width) in enumerate(registers):
        if i == len(registers) // 2:
            for k in range(rng.randint(1, 4)):
                wire = (f"w{k}", rng.randint(2, 12))
                d.lines.append(f"wire [{wire[1] - 1}:0] {wire[0]} = {d.expression(wire[1], 3)};")
                d.signals.append(wire)
        own = divided and i < len(registers) // 2 and rng.random() < 0.5
        d.register(name, width, "divide[1]" if own else "clk")
    if memories and rng.random() < 0.4:
        width = d.memory("m")
        declare.append(f"reg [{width - 1}:0] m = 0;")
        d.signals.append(("m", width))
    d.lines.append(f"assign out = {d.expression(16, 2)} ^ {{{', '.join(n for n, _ in registers)}}};")
    return ("module top(input clk, input rst, input [15:0] in, output [15:0] out);\n"
            + "\n".join(declare + d.lines) + "\nendmodule\n")
