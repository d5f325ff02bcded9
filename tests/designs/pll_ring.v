// SPDX-License-Identifier: Apache-2.0
// A ring that in[0] closes clocks a register, and a PLL gives the design 64 cycles for
// each of the board's: nothing of it ever rests, and a counter counts on.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	wire fast;
	(* keep *) wire r0, r1, r2;
	reg toggle = 0;
	reg [13:0] count = 0;

	SB_PLL40_CORE #(.FEEDBACK_PATH("SIMPLE"), .PLLOUT_SELECT("GENCLK"), .DIVR(4'd0), .DIVF(7'd127),
			.DIVQ(3'd1), .FILTER_RANGE(3'd1))
		pll(.REFERENCECLK(clk), .RESETB(1'b1), .BYPASS(1'b0), .PLLOUTGLOBAL(fast));

	(* keep *) SB_LUT4 #(.LUT_INIT(16'h7777)) i0(.I0(r2), .I1(in[0]), .I2(1'b0), .I3(1'b0), .O(r0));
	(* keep *) SB_LUT4 #(.LUT_INIT(16'h5555)) i1(.I0(r0), .I1(1'b0), .I2(1'b0), .I3(1'b0), .O(r1));
	(* keep *) SB_LUT4 #(.LUT_INIT(16'h5555)) i2(.I0(r1), .I1(1'b0), .I2(1'b0), .I3(1'b0), .O(r2));
	always @(posedge r2)
		toggle <= !toggle;
	always @(posedge fast)
		count <= rst ? 0 : count + 1;
	assign out = {count, toggle, r2};
endmodule
