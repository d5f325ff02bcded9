// SPDX-License-Identifier: Apache-2.0
// A PLL on the clock's own pad which hands that clock on as output A: 7/8 is B.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	wire a, b;
	reg [7:0] na = 0, nb = 0;

	SB_PLL40_2_PAD #(.FEEDBACK_PATH("SIMPLE"), .PLLOUT_SELECT_PORTB("GENCLK"), .DIVR(4'd0),
			 .DIVF(7'd55), .DIVQ(3'd6), .FILTER_RANGE(3'd1))
		pll(.PACKAGEPIN(clk), .RESETB(1'b1), .BYPASS(1'b0), .PLLOUTGLOBALA(a), .PLLOUTGLOBALB(b));

	always @(posedge a)
		na <= rst ? 0 : na + nb + in[7:0];
	always @(posedge b)
		nb <= nb ^ (na + in[15:8]);
	assign out = {na, nb};
endmodule
