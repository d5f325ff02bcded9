// SPDX-License-Identifier: Apache-2.0
// A clock enable at registers of both edges in the IO cells: the second edge is
// enabled by what the first one saw.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	wire enable = in[4] | in[5];
	wire rise, fall, rise_n, fall_n;
	reg [7:0] count = 0;

	always @(posedge clk)
		count <= rst ? 0 : count + in[7:6];

	SB_IO #(.PIN_TYPE(6'b000000)) both (
		.PACKAGE_PIN(in[0]), .INPUT_CLK(clk), .CLOCK_ENABLE(enable),
		.D_IN_0(rise), .D_IN_1(fall)
	);
	SB_IO #(.PIN_TYPE(6'b000000), .NEG_TRIGGER(1'b1)) both_n (
		.PACKAGE_PIN(in[8]), .INPUT_CLK(clk), .CLOCK_ENABLE(enable),
		.D_IN_0(rise_n), .D_IN_1(fall_n)
	);
	SB_IO #(.PIN_TYPE(6'b010001)) ddr (
		.PACKAGE_PIN(out[3]), .OUTPUT_CLK(clk), .CLOCK_ENABLE(enable),
		.D_OUT_0(count[1]), .D_OUT_1(count[2])
	);
	SB_IO #(.PIN_TYPE(6'b010001), .NEG_TRIGGER(1'b1)) ddr_n (
		.PACKAGE_PIN(out[12]), .OUTPUT_CLK(clk), .CLOCK_ENABLE(enable),
		.D_OUT_0(count[3]), .D_OUT_1(count[4])
	);
	assign {out[15:13], out[11:4], out[2:0]} = {count, rise, fall, rise_n, fall_n};
endmodule
