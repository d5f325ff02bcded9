// SPDX-License-Identifier: Apache-2.0
// Registers in the IO cells: inputs on either edge, outputs plain, inverted,
// double data rate.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	wire [3:0] rise, fall;
	reg [3:0] state = 0;

	genvar i;
	generate
		for (i = 0; i < 4; i = i + 1) begin : inputs
			SB_IO #(.PIN_TYPE(6'b000000)) pad (
				.PACKAGE_PIN(in[i]), .INPUT_CLK(clk), .CLOCK_ENABLE(1'b1),
				.D_IN_0(rise[i]), .D_IN_1(fall[i])
			);
		end
	endgenerate

	always @(posedge clk)
		state <= rst ? 0 : state + {in[5:4], rise[1:0]};

	SB_IO #(.PIN_TYPE(6'b010101)) registered (
		.PACKAGE_PIN(out[0]), .OUTPUT_CLK(clk), .CLOCK_ENABLE(1'b1), .D_OUT_0(state[0])
	);
	SB_IO #(.PIN_TYPE(6'b011101)) inverted (
		.PACKAGE_PIN(out[1]), .OUTPUT_CLK(clk), .CLOCK_ENABLE(1'b1), .D_OUT_0(state[1])
	);
	SB_IO #(.PIN_TYPE(6'b010001)) ddr (
		.PACKAGE_PIN(out[2]), .OUTPUT_CLK(clk), .CLOCK_ENABLE(1'b1),
		.D_OUT_0(state[2]), .D_OUT_1(state[3])
	);
	assign out[15:3] = {state, 1'b0, fall, rise};
endmodule
