// SPDX-License-Identifier: Apache-2.0
// Pads in both directions, enabled at once and through the register of the pad.
module top(input clk, input rst, input [15:0] in, inout [15:0] out);
	wire direct, through;

	SB_IO #(.PIN_TYPE(6'b101001)) plain (
		.PACKAGE_PIN(out[0]), .OUTPUT_ENABLE(in[1]), .D_OUT_0(in[0]), .D_IN_0(direct)
	);
	SB_IO #(.PIN_TYPE(6'b111001)) registered (
		.PACKAGE_PIN(out[1]), .OUTPUT_CLK(clk), .CLOCK_ENABLE(1'b1), .OUTPUT_ENABLE(in[1]),
		.D_OUT_0(in[0]), .D_IN_0(through)
	);
	assign out[15:2] = {12'b0, through, direct};
endmodule
