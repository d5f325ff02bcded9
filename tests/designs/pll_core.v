// SPDX-License-Identifier: Apache-2.0
// A PLL above its reference (67/32): data goes from the board's clock to the PLL's
// and back, its reset and bypass are the design's, and LOCK is seen in both.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	wire fast, locked;
	reg resetb = 0, bypass = 0;
	reg [6:0] hold = 0;
	reg [7:0] sum = 0, seen = 0, since = 0;

	SB_PLL40_CORE #(.FEEDBACK_PATH("SIMPLE"), .PLLOUT_SELECT("GENCLK"), .DIVR(4'd0), .DIVF(7'd66),
			.DIVQ(3'd5), .FILTER_RANGE(3'd1))
		pll(.REFERENCECLK(clk), .RESETB(resetb), .BYPASS(bypass), .PLLOUTGLOBAL(fast), .LOCK(locked));

	always @(posedge clk) begin
		hold <= hold == 99 ? 0 : hold + 1;
		resetb <= hold != 98 || in[0];
		bypass <= in[7:3] == 0;
		seen <= sum;
	end
	always @(posedge fast) begin
		sum <= rst ? 0 : sum + in[7:0];
		since <= locked ? since + 1 : 0;
	end
	assign out = {seen, sum[3:0] ^ since[7:4], since[2:0], locked};
endmodule
