// SPDX-License-Identifier: Apache-2.0
// Clocks that registers make, while the pin's own clock is nothing but a clock:
// a divider, a ripple counter on it, a domain on the falling edge of both. A reset
// that comes at the very edge of a made clock is not yet seen by what it clocks.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	reg [1:0] divide = 0;
	reg [3:0] ripple = 0;
	reg [7:0] slow = 0, falling = 0;

	always @(posedge clk)
		divide <= rst ? 0 : divide + 1;
	always @(posedge divide[1] or posedge rst)
		if (rst)
			slow <= 8'h21;
		else
			slow <= slow + {in[3:0], 1'b1};
	reg [1:0] seen = 0;
	always @(posedge divide[1])
		if (slow == 8'h21)
			seen <= seen + 1;
	always @(negedge divide[0])
		if (in[4])
			falling <= {falling[6:0], falling[7] ^ in[5]};

	always @(negedge divide[1])
		ripple[0] <= !ripple[0];
	always @(negedge ripple[0])
		ripple[1] <= !ripple[1];
	always @(posedge ripple[1])
		ripple[2] <= !ripple[2];
	always @(negedge ripple[2])
		ripple[3] <= !ripple[3];

	assign out = in[6] ? {ripple, divide, seen, falling} : {slow, falling};
endmodule
