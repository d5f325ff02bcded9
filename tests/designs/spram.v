// SPDX-License-Identifier: Apache-2.0
// All four single-port RAMs of an UltraPlus: writes by nibbles, chip select, both
// power-saving inputs that keep the contents, and words from end to end. What they
// hold at first is not known, so a first pass writes the words that are used later.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	reg [7:0] start = 0;
	wire ready = start[7];
	reg [15:0] d = 0;
	reg [3:0] sleep = 0, standby = 0, selected = 0;

	always @(posedge clk) begin
		if (!ready)
			start <= start + 1;
		d <= {d[14:0], d[15] ^ d[4] ^ in[3]} + in;
		sleep <= ready && in[9:7] == 3 ? 4'b1 << in[1:0] : 4'b0;
		standby <= ready && in[9:7] == 4 ? 4'b1 << in[2:1] : 4'b0;
		selected <= in[3:0] | in[7:4];
	end

	// 16 words: both ends and some in between
	wire [3:0] word = ready ? in[15:12] : start[3:0];
	wire [13:0] address = {{5{word[3]}}, word[2], {5{word[1]}}, word[0], {2{word[2]}}};
	wire write = !ready || in[11:10] == 2;
	wire [15:0] q [0:3];
	// An output is known from a read until the next write or standby.
	reg [3:0] known = 0;

	genvar k;
	generate
		for (k = 0; k < 4; k = k + 1) begin : ram
			SB_SPRAM256KA ram (
				.ADDRESS(address ^ {14{k[0]}}), .DATAIN(d ^ {16{k[1]}}),
				.MASKWREN(ready ? d[3:0] ^ k : 4'hf), .WREN(write),
				.CHIPSELECT(!ready | selected[k]), .CLOCK(clk), .STANDBY(standby[k]),
				.SLEEP(sleep[k]), .POWEROFF(1'b1), .DATAOUT(q[k])
			);
			always @(posedge clk)
				if (standby[k] || (!ready || selected[k]) && write && !sleep[k])
					known[k] <= 0;
				else if (sleep[k] || selected[k])
					known[k] <= 1;
		end
	endgenerate

	wire [15:0] a = known[0] ? q[0] : 16'h1111, b = known[1] ? q[1] : 16'h2222,
		    c = known[2] ? q[2] : 16'h4444, e = known[3] ? q[3] : 16'h8888;

	assign out = a ^ {b[14:0], b[15]} ^ {c[12:0], c[15:13]} ^ {e[8:0], e[15:9]};
endmodule
