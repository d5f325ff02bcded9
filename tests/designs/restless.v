// SPDX-License-Identifier: Apache-2.0
// Two registers that clock each other for ever while in[0] is high, after one edge of the clock.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	reg go = 0, a = 0, b = 0;
	reg [13:0] n = 0;
	wire ck = a ^ b ^ go;

	always @(posedge clk) begin
		go <= in[0];
		n <= n + 1;
	end
	always @(posedge ck)
		a <= ~b;
	always @(negedge ck)
		b <= a;
	assign out = {n, a, b};
endmodule
