# SPDX-License-Identifier: Apache-2.0
"""SB_MAC16 with random parameters from a seed: operands that come from pins and
registers, controls that are sometimes constant, several multipliers of which one's
result and carry (through the fabric) go into the next. Only what place and route
can make: no cascades by ACCUMCI and SIGNEXTIN. All have the same clock edge."""

INPUTS = ("AHOLD", "BHOLD", "CHOLD", "DHOLD", "OHOLDTOP", "OHOLDBOT", "IRSTTOP", "IRSTBOT",
          "ORSTTOP", "ORSTBOT", "OLOADTOP", "OLOADBOT", "ADDSUBTOP", "ADDSUBBOT")
REGISTERS = ("A_REG", "B_REG", "C_REG", "D_REG", "TOP_8x8_MULT_REG", "BOT_8x8_MULT_REG",
             "PIPELINE_16x16_MULT_REG1", "PIPELINE_16x16_MULT_REG2")
RARE = {"IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT"}


def parameters(rng):
    values = {name: rng.getrandbits(1) for name in REGISTERS}
    # usually those of one kind go together, and a product is pipelined as a whole
    if rng.random() < 0.5:
        values["TOP_8x8_MULT_REG"] = values["BOT_8x8_MULT_REG"] = values["PIPELINE_16x16_MULT_REG1"]
    values.update({
        "TOPOUTPUT_SELECT": rng.randrange(4), "BOTOUTPUT_SELECT": rng.randrange(4),
        "TOPADDSUB_LOWERINPUT": rng.randrange(4), "BOTADDSUB_LOWERINPUT": rng.randrange(3),
        "TOPADDSUB_UPPERINPUT": rng.getrandbits(1), "BOTADDSUB_UPPERINPUT": rng.getrandbits(1),
        "TOPADDSUB_CARRYSELECT": rng.randrange(4),
        "BOTADDSUB_CARRYSELECT": rng.choice((0, 1, 3)),
        "MODE_8x8": int(rng.random() < 0.3),
        "A_SIGNED": rng.getrandbits(1), "B_SIGNED": rng.getrandbits(1)})
    return values


def halves(rng):
    """Two products of 8 bits, and what their sum as 16 bits is then: with every sign."""
    values = parameters(rng)
    values.update({"MODE_8x8": 1, "TOPOUTPUT_SELECT": rng.choice((2, 3)),
                   "BOTOUTPUT_SELECT": rng.choice((2, 3)), "PIPELINE_16x16_MULT_REG1": 0,
                   "PIPELINE_16x16_MULT_REG2": 0})
    return values


def usual(rng):
    """What synthesis makes of a multiplier with an accumulator behind it."""
    values = {name: 0 for name in REGISTERS}
    values.update({"TOPOUTPUT_SELECT": rng.choice((0, 1, 3)), "TOPADDSUB_LOWERINPUT": 2,
                   "BOTADDSUB_LOWERINPUT": 2, "TOPADDSUB_UPPERINPUT": rng.getrandbits(1),
                   "TOPADDSUB_CARRYSELECT": rng.choice((2, 3)), "BOTADDSUB_CARRYSELECT": 0,
                   "MODE_8x8": 0, "A_SIGNED": rng.getrandbits(1), "B_SIGNED": rng.getrandbits(1)})
    values["BOTOUTPUT_SELECT"] = values["TOPOUTPUT_SELECT"]
    values["BOTADDSUB_UPPERINPUT"] = values["TOPADDSUB_UPPERINPUT"]
    for pair in (("A_REG", "B_REG"), ("C_REG", "D_REG"), ("TOP_8x8_MULT_REG", "BOT_8x8_MULT_REG",
                 "PIPELINE_16x16_MULT_REG1"), ("PIPELINE_16x16_MULT_REG2",)):
        value = rng.getrandbits(1)
        values.update({name: value for name in pair})
    return values


def random_mac16(rng, count=2):
    """Verilog of a module top with `count` multipliers, and their parameters."""
    falling = int(rng.random() < 0.25)
    lines = ["reg [15:0] a = 1, b = 2, c = 3, d = 4, e = 5;",
             "always @(posedge clk) begin",
             "\ta <= in; b <= {b[14:0], b[15] ^ b[10]} ^ in; c <= a + b; d <= {d[0], d[15:1]} - in;",
             "\te <= {e[14:0], ~e[15] ^ e[13] ^ e[12] ^ e[10]};",
             "end",
             # a reset comes from a register: a wire could have a short pulse in the reference
             "reg [3:0] clear = 0;",
             "always @(posedge clk) clear <= {&e[3:0], &e[7:4], &e[11:8], &e[15:12]};"]
    used, results = [], ["16'b0"]
    for k in range(count):
        values = rng.choice((usual, usual, halves, parameters, parameters))(rng)
        values["NEG_TRIGGER"] = falling
        used.append(values)
        operands = {port: f"{source} ^ {results[-1]}" if rng.random() < 0.3 else source
                    for port, source in zip("ABCD", rng.sample(["a", "b", "c", "d", "in"], 4))}
        ports = [f".{port}({text})" for port, text in operands.items()]
        for name in INPUTS:
            kind = rng.random()
            if name in RARE:
                # the model of the reference starts with unknown registers: always with rst
                text = f"rst | clear[{rng.randrange(4)}]" if kind < 0.5 else "rst"
            else:
                text = (f"{rng.choice('abcde')}[{rng.randrange(16)}]" if kind < 0.5
                        else "1'b0" if kind < 0.9 else "1'b1")
            ports.append(f".{name}({text})")
        ports.append(".CI({})".format(f"carry{k - 1}" if k and rng.random() < 0.7 else "e[3]"))
        ports.append(".CE({})".format("1'b1" if rng.random() < 0.6 else "e[5] | d[2]"))
        head = ", ".join(f".{name}({value})" for name, value in values.items())
        lines += [f"wire [31:0] o{k}; wire carry{k};",
                  f"SB_MAC16 #({head}) mac{k} (.CLK(clk), .ACCUMCI(1'b0), .SIGNEXTIN(1'b0), "
                  f".O(o{k}), .CO(carry{k}), {', '.join(ports)});"]
        results.append(f"o{k}[{rng.choice(('15:0', '31:16'))}]")
    # every bit of every result reaches the pins within a few cycles
    lines += ["reg [15:0] seen = 0;",
              "always @(posedge clk) seen <= rst ? 0 : {seen[0], seen[15:1]} ^ "
              + " ^ ".join(f"o{k}[31:16] ^ {{o{k}[6:0], o{k}[15:7]}} ^ carry{k}" for k in range(count)) + ";",
              "assign out = seen;"]
    return ("module top(input clk, input rst, input [15:0] in, output [15:0] out);\n"
            + "\n".join(lines) + "\nendmodule\n"), used
