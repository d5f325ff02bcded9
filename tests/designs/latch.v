// SPDX-License-Identifier: Apache-2.0
// Latches, which an iCE40 builds as look-up tables that feed themselves.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	reg [7:0] open, held; // yosys takes no initial value for a latch
	reg [7:0] sum = 0;

	always @*
		if (in[0])
			open = in[15:8];
	always @*
		if (rst)
			held = 8'h3c;
		else if (in[1])
			held = open ^ sum;

	always @(posedge clk)
		sum <= rst ? 0 : sum + held;

	assign out = {sum, in[2] ? open : held};
endmodule
