// SPDX-License-Identifier: Apache-2.0
// Four neurons with 16 inputs and weights of -1, 0, 1, and which is largest:
// wide adders, comparators, carries beside unrelated look-up tables.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	localparam [63:0] PLUS = 64'h9a31_c05e_17f2_6b84;
	localparam [63:0] MINUS = 64'h450c_2a81_e80d_9073;
	reg [15:0] x = 0;
	reg signed [7:0] sum [0:3], acc [0:3];
	reg signed [7:0] t;
	reg signed [7:0] best = 0;
	reg [1:0] which = 0;
	integer n, i;

	initial
		for (n = 0; n < 4; n = n + 1) begin
			sum[n] = 0;
			acc[n] = 0;
		end

	always @(posedge clk) begin
		x <= in;
		for (n = 0; n < 4; n = n + 1) begin
			t = 0;
			for (i = 0; i < 16; i = i + 1)
				if (PLUS[n * 16 + i])
					t = t + x[i];
				else if (MINUS[n * 16 + i])
					t = t - x[i];
			sum[n] <= t;
			acc[n] <= rst ? 0 : acc[n] + sum[n];
		end
		which <= acc[0] >= acc[1] && acc[0] >= acc[2] && acc[0] >= acc[3] ? 0 :
			 acc[1] >= acc[2] && acc[1] >= acc[3] ? 1 : acc[2] >= acc[3] ? 2 : 3;
		best <= acc[which];
	end

	assign out = {which, acc[0][5:0] ^ acc[3][5:0], best};
endmodule
