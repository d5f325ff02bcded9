// SPDX-License-Identifier: Apache-2.0
// Fills an HX8K: PAIRS pairs of 32-bit registers that add and shift each other, all of them
// busy in every cycle, each pair fed by the one before.
module top #(parameter PAIRS = 28) (input clk, input rst, input [15:0] in, output [15:0] out);
	reg [31:0] a [0:PAIRS-1], b [0:PAIRS-1];
	integer n;

	initial
		for (n = 0; n < PAIRS; n = n + 1) begin
			a[n] = 32'h9e3779b9 ^ (n * 32'h01010101);
			b[n] = 32'h7f4a7c15 ^ (n * 32'h00110011);
		end

	always @(posedge clk)
		for (n = 0; n < PAIRS; n = n + 1) begin
			a[n] <= rst ? n : a[n] + (b[n] ^ {b[n][18:0], b[n][31:19]}) ^
				(n ? {a[(n + PAIRS - 1) % PAIRS][4:0], a[(n + PAIRS - 1) % PAIRS][31:5]} : {16'h0, in});
			b[n] <= b[n] + {a[n][6:0], a[n][31:7]} ^ a[n];
		end

	assign out = a[PAIRS - 1][15:0] ^ b[PAIRS - 1][31:16];
endmodule
