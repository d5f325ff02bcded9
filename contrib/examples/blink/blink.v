// SPDX-License-Identifier: Apache-2.0
// Five lights count in binary; the slowest changes every 2^23 cycles.
module top(input clk, input rst, output [4:0] led);
	reg [23:0] count = 0;

	always @(posedge clk)
		if (rst)
			count <= 0;
		else
			count <= count + 1;

	assign led = count[23:19];
endmodule
