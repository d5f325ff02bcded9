// SPDX-License-Identifier: Apache-2.0
// Multipliers as synthesis makes them of `*` (yosys synth_ice40 -dsp): signed and not,
// with registers in front, between and behind, and with an accumulator.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	reg [15:0] a = 0, b = 0;

	always @(posedge clk) begin
		a <= in;
		b <= rst ? 0 : {b[14:0], b[15] ^ b[14] ^ b[12] ^ ~b[3]} ^ (a & 16'h0ff0);
	end

	wire [31:0] plain = a * b;
	reg signed [31:0] registered = 0;
	reg [31:0] sum = 0;
	reg signed [15:0] held = 0;
	reg signed [31:0] piped = 0, stage = 0;

	always @(posedge clk) begin
		registered <= rst ? 0 : $signed(a) * $signed(b);
		sum <= rst ? 0 : a[0] ? sum + a[15:4] * b[9:0] : sum;
		if (b[1])
			held <= $signed(b);
		stage <= held * $signed({1'b0, a[7:0]});
		piped <= stage;
	end

	reg [15:0] mix = 0;

	always @(posedge clk)
		mix <= rst ? 0 : {mix[14:0], mix[15]} ^ plain[31:16] ^ registered[15:0] ^
		       {sum[20:9], sum[31:28]} ^ piped[27:12] ^ registered[31:16];

	assign out = in[15] ? mix : in[14] ? plain[15:0] : in[13] ? piped[15:0] : sum[15:0];
endmodule
