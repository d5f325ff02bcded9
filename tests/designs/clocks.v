// SPDX-License-Identifier: Apache-2.0
// Clocks made inside: divided, rippling, gated by a latch-free enable that is
// registered on the falling edge, and a second domain fed from the first.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	reg half = 0, enable = 0;
	reg [3:0] ripple = 0;
	reg [7:0] slow = 0, gated = 0;
	reg [15:0] hold = 0;

	always @(posedge clk)
		half <= rst ? 0 : !half;
	always @(posedge half or posedge rst)
		if (rst)
			slow <= 0;
		else
			slow <= slow + 3;

	always @(negedge clk)
		enable <= in[0];
	wire gclk = clk & enable;
	always @(posedge gclk)
		gated <= {gated[6:0], gated[7] ^ in[1]};

	always @(negedge half)
		ripple[0] <= !ripple[0];
	always @(negedge ripple[0])
		ripple[1] <= !ripple[1];
	always @(posedge ripple[1])
		ripple[2] <= !ripple[2];
	always @(negedge ripple[2])
		ripple[3] <= !ripple[3];

	always @(posedge clk)
		hold <= {slow, gated} ^ {12'b0, ripple};

	assign out = in[2] ? hold : {slow[3:0], ripple, gated};
endmodule
