// SPDX-License-Identifier: Apache-2.0
// Both outputs of a PLL on the clock's own pad: 3/2 of it (in the field's terms 48/32)
// and half of that, with a memory between the two clocks.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	wire a, b;
	reg [15:0] memory [0:255];
	reg [15:0] data = 0;
	reg [7:0] waddr = 0, raddr = 0;

	SB_PLL40_2F_PAD #(.FEEDBACK_PATH("SIMPLE"), .PLLOUT_SELECT_PORTA("GENCLK"),
			  .PLLOUT_SELECT_PORTB("GENCLK_HALF"), .DIVR(4'd0), .DIVF(7'd47), .DIVQ(3'd5),
			  .FILTER_RANGE(3'd1))
		pll(.PACKAGEPIN(clk), .RESETB(1'b1), .BYPASS(1'b0), .PLLOUTGLOBALA(a), .PLLOUTGLOBALB(b));

	integer i;
	initial
		for (i = 0; i < 256; i = i + 1)
			memory[i] = 0;
	always @(posedge a) begin
		waddr <= waddr + 1;
		if (in[0])
			memory[waddr] <= {in[15:9], rst, waddr};
	end
	always @(posedge b) begin
		raddr <= raddr + 1;
		data <= memory[raddr];
	end
	assign out = data;
endmodule
