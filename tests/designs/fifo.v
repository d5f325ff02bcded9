// SPDX-License-Identifier: Apache-2.0
// A FIFO of 512 bytes and a table of 256: block RAM with and without contents.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	reg [7:0] memory [0:511];
	reg [7:0] table_ [0:255];
	reg [9:0] head = 0, tail = 0;
	reg [7:0] read = 0, looked = 0;
	integer i;

	initial begin
		for (i = 0; i < 512; i = i + 1)
			memory[i] = 0;
		for (i = 0; i < 256; i = i + 1)
			table_[i] = (i * 37 + 11) ^ (i >> 3);
	end

	wire empty = head == tail;
	wire full = head[8:0] == tail[8:0] && head[9] != tail[9];

	always @(posedge clk) begin
		if (rst) begin
			head <= 0;
			tail <= 0;
		end else begin
			if (in[8] && !full)
				head <= head + 1;
			if (in[9] && !empty)
				tail <= tail + 1;
		end
		if (in[8] && !full)
			memory[head[8:0]] <= in[7:0];
		if (in[9])
			read <= memory[tail[8:0]];
		looked <= table_[in[7:0] ^ {in[15:10], 2'b0}];
	end

	assign out = {read ^ {6'b0, empty, full}, looked};
endmodule
