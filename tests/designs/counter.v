// SPDX-License-Identifier: Apache-2.0
// 24 bits up and down with an enable: carry chains and clock enables.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	reg [23:0] count = 0;

	always @(posedge clk)
		if (rst)
			count <= 0;
		else if (in[0])
			count <= in[1] ? count - 1 : count + {in[15:2], 3'b001};

	assign out = in[2] ? count[23:8] : count[15:0];
endmodule
