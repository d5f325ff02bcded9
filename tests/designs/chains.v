// SPDX-License-Identifier: Apache-2.0
// What one edge sets off may be long: a ripple counter of seventy stages, of which
// each clocks the next, and resets that seventy registers hand on. Each of them
// needs a tile of its own.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	reg [69:0] ripple = 0, passed = 0;

	genvar i;
	generate
		for (i = 0; i < 70; i = i + 1) begin : stage
			wire tick = i ? ripple[i ? i - 1 : 0] : clk;
			wire reset = i ? ~passed[i ? i - 1 : 0] : rst | in[0] & in[1];

			always @(posedge tick)
				ripple[i] <= ~ripple[i];
			always @(posedge clk or posedge reset)
				if (reset)
					passed[i] <= 0;
				else
					passed[i] <= 1;
		end
	endgenerate

	assign out = {ripple[69:63], ripple[1:0], passed[69:65], passed[63], passed[0]};
endmodule
