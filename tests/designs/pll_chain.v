// SPDX-License-Identifier: Apache-2.0
// The two PLLs of an HX8K, the second behind the first: 3/2 of 5/8 is 15/16.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	wire first, second;
	reg [15:0] count = 0;

	SB_PLL40_CORE #(.FEEDBACK_PATH("SIMPLE"), .PLLOUT_SELECT("GENCLK"), .DIVR(4'd0), .DIVF(7'd47),
			.DIVQ(3'd5), .FILTER_RANGE(3'd1))
		a(.REFERENCECLK(clk), .RESETB(1'b1), .BYPASS(1'b0), .PLLOUTGLOBAL(first));
	SB_PLL40_CORE #(.FEEDBACK_PATH("SIMPLE"), .PLLOUT_SELECT("GENCLK"), .DIVR(4'd0), .DIVF(7'd19),
			.DIVQ(3'd5), .FILTER_RANGE(3'd1))
		b(.REFERENCECLK(first), .RESETB(1'b1), .BYPASS(1'b0), .PLLOUTGLOBAL(second));

	always @(posedge second)
		count <= count + 1 + (rst & in[0]);
	assign out = count;
endmodule
