// SPDX-License-Identifier: Apache-2.0
// An LFSR with asynchronous reset and set; an accumulator on the falling edge.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	reg [15:0] lfsr = 0;
	reg [7:0] sum = 0, ones = 0;

	always @(posedge clk or posedge rst)
		if (rst)
			lfsr <= 16'h0001;
		else
			lfsr <= {lfsr[14:0], lfsr[15] ^ lfsr[13] ^ lfsr[12] ^ lfsr[10] ^ in[0]};

	always @(negedge clk or posedge rst)
		if (rst)
			sum <= 8'h5a;
		else if (in[1])
			sum <= sum + lfsr[7:0];

	always @(negedge clk)
		if (in[3])
			ones <= 8'h80;
		else if (in[2])
			ones <= ones ^ sum;

	assign out = in[4] ? {sum, ones} : lfsr;
endmodule
