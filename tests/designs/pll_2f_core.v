// SPDX-License-Identifier: Apache-2.0
// Two outputs, both below the reference: 5/24 and half of that; registers on both
// edges of each, and of the board's clock, which all read each other.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	wire a, b, locked;
	reg [3:0] na = 0, nb = 0, ea = 0, nc = 0;

	SB_PLL40_2F_CORE #(.FEEDBACK_PATH("SIMPLE"), .PLLOUT_SELECT_PORTA("GENCLK"),
			   .PLLOUT_SELECT_PORTB("GENCLK_HALF"), .DIVR(4'd2), .DIVF(7'd4), .DIVQ(3'd3),
			   .FILTER_RANGE(3'd1))
		pll(.REFERENCECLK(clk), .RESETB(1'b1), .BYPASS(1'b0), .PLLOUTGLOBALA(a), .PLLOUTGLOBALB(b),
		    .LOCK(locked));

	always @(posedge a)
		na <= na + nb + in[3:0];
	always @(negedge a)
		ea <= ea ^ {na[2:0], in[4]};
	always @(posedge b)
		nb <= nb + ea + 1;
	always @(posedge clk)
		nc <= rst ? 0 : nc + na + locked;
	assign out = {na, nb, ea, nc};
endmodule
