// SPDX-License-Identifier: Apache-2.0
// A PLL on the clock's own pad, 41/128 of it; its output is also data, and gates
// another clock.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	wire slow, locked;
	reg enable = 0;
	reg [6:0] count = 0, gated = 0;

	SB_PLL40_PAD #(.FEEDBACK_PATH("SIMPLE"), .PLLOUT_SELECT("GENCLK"), .DIVR(4'd1), .DIVF(7'd40),
		       .DIVQ(3'd6), .FILTER_RANGE(3'd1))
		pll(.PACKAGEPIN(clk), .RESETB(1'b1), .BYPASS(1'b0), .PLLOUTCORE(slow), .LOCK(locked));

	always @(posedge slow or posedge rst)
		if (rst)
			count <= 0;
		else
			count <= count + in[1:0] + 1;
	always @(negedge slow)
		enable <= in[2];
	wire gclk = slow & enable;
	always @(posedge gclk)
		gated <= {gated[5:0], gated[6] ^ in[3]};
	assign out = {slow, locked, count, gated};
endmodule
