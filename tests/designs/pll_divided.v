// SPDX-License-Identifier: Apache-2.0
// A PLL whose reference is a register: how long its period is, nobody knows.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	wire fast;
	reg half = 0;
	reg [15:0] count = 0;

	SB_PLL40_CORE #(.FEEDBACK_PATH("SIMPLE"), .PLLOUT_SELECT("GENCLK"), .DIVR(4'd0), .DIVF(7'd47),
			.DIVQ(3'd5), .FILTER_RANGE(3'd1))
		pll(.REFERENCECLK(half), .RESETB(1'b1), .BYPASS(1'b0), .PLLOUTGLOBAL(fast));

	always @(posedge clk)
		half <= !half;
	always @(posedge fast)
		count <= count + 1 + (rst & in[0]);
	assign out = count;
endmodule
