// SPDX-License-Identifier: Apache-2.0
// Three inverters in a ring, which never come to rest while in[0] is 1, beside a
// counter that must not mind.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	wire a, b, c;
	reg [14:0] count = 0;

	(* keep *) SB_LUT4 #(.LUT_INIT(16'h0777)) first (.I0(in[0]), .I1(c), .I2(1'b0), .I3(1'b0), .O(a));
	(* keep *) SB_LUT4 #(.LUT_INIT(16'h5555)) second (.I0(a), .I1(1'b0), .I2(1'b0), .I3(1'b0), .O(b));
	(* keep *) SB_LUT4 #(.LUT_INIT(16'h5555)) third (.I0(b), .I1(1'b0), .I2(1'b0), .I3(1'b0), .O(c));

	always @(posedge clk)
		count <= rst ? 0 : count + 1;

	assign out = {count, c};
endmodule
