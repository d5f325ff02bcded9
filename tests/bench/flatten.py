# SPDX-License-Identifier: Apache-2.0
"""A netlist of yosys' iCE40 cells as assignments and registers.

The peers of the simulated clock get the design in this form. With the models of the
cells that come with yosys Icarus Verilog took forty times as long for the same outputs.
"""


def flattened(netlist):
    """The module `top` of a JSON netlist (look-up tables, carries and registers of one clock edge) as Verilog."""
    module = netlist["modules"]["top"]
    ports, lines, wires, regs = [], [], set(), set()

    def net(bit):
        if isinstance(bit, str):
            return "1'b1" if bit == "1" else "1'b0"
        wires.add(bit)
        return f"n{bit}"

    for name, port in module["ports"].items():
        ports.append(f"{port['direction']} [{len(port['bits']) - 1}:0] \\{name} ")
        for i, bit in enumerate(port["bits"]):
            ends = [net(bit), f"\\{name} [{i}]"]
            if port["direction"] != "input":
                ends.reverse()
            lines.append("assign {} = {};".format(*ends))
    for cell in module["cells"].values():
        at = {pin: net(bits[0]) for pin, bits in cell["connections"].items() if bits}
        kind = cell["type"]
        if kind == "SB_LUT4":
            table, out = int(cell["parameters"]["LUT_INIT"], 2), at["O"]
            lines.append(f"wire [15:0] t{out} = 16'h{table:04x};")
            lines.append(f"assign {out} = t{out}[{{{at['I3']}, {at['I2']}, {at['I1']}, {at['I0']}}}];")
        elif kind == "SB_CARRY":
            a, b, c = at["I0"], at["I1"], at["CI"]
            lines.append(f"assign {at['CO']} = {a} & {b} | ({a} | {b}) & {c};")
        elif kind in ("SB_DFF", "SB_DFFE", "SB_DFFSR", "SB_DFFSS", "SB_DFFESR", "SB_DFFESS"):
            act = f"{at['Q']} <= {at['D']};"
            if "R" in at or "S" in at:
                act = f"if ({at.get('R') or at['S']}) {at['Q']} <= 1'b{int('S' in at)}; else {act}"
            if "E" in at:
                act = f"if ({at['E']}) begin {act} end"
            regs.add(at["Q"])
            lines.append(f"always @(posedge {at['C']}) {act}")
        else:
            raise ValueError(f"{kind} is not written out here")
    head = [f"reg n{bit} = 0;" if f"n{bit}" in regs else f"wire n{bit};" for bit in sorted(wires)]
    return "\n".join([f"module top({', '.join(ports)});", *head, *lines, "endmodule", ""])
