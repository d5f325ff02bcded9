// SPDX-License-Identifier: Apache-2.0
// What the clocks of a PLL do in a design at rest: 5/24 and half of it read and write
// a memory that does not change, and count while in[0] lets them.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	wire a, b;
	reg [7:0] memory [0:255];
	reg [7:0] data = 0;
	reg [3:0] na = 0, nb = 0;

	SB_PLL40_2F_CORE #(.FEEDBACK_PATH("SIMPLE"), .PLLOUT_SELECT_PORTA("GENCLK"),
			   .PLLOUT_SELECT_PORTB("GENCLK_HALF"), .DIVR(4'd2), .DIVF(7'd4), .DIVQ(3'd3),
			   .FILTER_RANGE(3'd1))
		pll(.REFERENCECLK(clk), .RESETB(1'b1), .BYPASS(1'b0), .PLLOUTGLOBALA(a), .PLLOUTGLOBALB(b));

	integer i;
	initial
		for (i = 0; i < 256; i = i + 1)
			memory[i] = i;
	always @(posedge a) begin
		data <= memory[in[15:8]];
		if (in[0])
			na <= na + 1;
	end
	always @(negedge b) begin
		if (in[1])
			memory[in[15:8]] <= in[15:8];
		if (in[0])
			nb <= nb + 1;
	end
	assign out = {data, na, nb};
endmodule
