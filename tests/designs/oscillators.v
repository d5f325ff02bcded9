// SPDX-License-Identifier: Apache-2.0
// The oscillators of an UltraPlus and nothing else: the board's clock is not used.
// The fast one goes through a PLL too: 41/32 of it.
module top(input [15:0] in, output [15:0] out);
	wire fast, slow, pll;
	reg [7:0] nf = 0;
	reg [3:0] ns = 0;
	reg [3:0] np = 0;

	SB_HFOSC #(.CLKHF_DIV(`CLKHF_DIV)) hf(.CLKHFPU(1'b1), .CLKHFEN(1'b1), .CLKHF(fast));
	SB_LFOSC lf(.CLKLFPU(1'b1), .CLKLFEN(in[0]), .CLKLF(slow));
	SB_PLL40_CORE #(.FEEDBACK_PATH("SIMPLE"), .PLLOUT_SELECT("GENCLK"), .DIVR(4'd0), .DIVF(7'd40),
			.DIVQ(3'd5), .FILTER_RANGE(3'd1))
		p(.REFERENCECLK(fast), .RESETB(1'b1), .BYPASS(1'b0), .PLLOUTGLOBAL(pll));

	always @(posedge fast)
		nf <= nf + 1;
	always @(posedge slow)
		ns <= ns + 1;
	always @(posedge pll)
		np <= np + 1;
	assign out = {np, ns, nf};
endmodule
