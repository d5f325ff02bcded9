// SPDX-License-Identifier: Apache-2.0
// A transmitter wired to a receiver, 4 cycles a bit: registers with initial
// value 1, enables, two state machines.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	reg line = 1, busy = 0;
	reg [9:0] shift = 10'h3ff;
	reg [3:0] left = 0;
	reg [1:0] phase = 0;

	always @(posedge clk)
		if (rst) begin
			line <= 1;
			busy <= 0;
			shift <= 10'h3ff;
		end else if (!busy) begin
			line <= 1;
			if (in[8]) begin
				shift <= {1'b1, in[7:0], 1'b0};
				busy <= 1;
				left <= 10;
				phase <= 0;
			end
		end else begin
			phase <= phase + 1;
			if (phase == 0) begin
				line <= shift[0];
				shift <= {1'b1, shift[9:1]};
				left <= left - 1;
			end
			if (phase == 3 && left == 0)
				busy <= 0;
		end

	reg receiving = 0, got = 0;
	reg [7:0] data = 0, last = 0;
	reg [3:0] bits = 0;
	reg [1:0] wait_for = 0;

	always @(posedge clk) begin
		got <= 0;
		if (rst) begin
			receiving <= 0;
		end else if (!receiving) begin
			if (!line) begin
				receiving <= 1;
				wait_for <= 1;
				bits <= 0;
			end
		end else if (wait_for != 3) begin
			wait_for <= wait_for + 1;
		end else begin
			wait_for <= 0;
			bits <= bits + 1;
			if (bits == 0 && line) begin
				receiving <= 0;
			end else if (bits == 9) begin
				receiving <= 0;
				got <= line;
				last <= data;
			end else if (bits != 0) begin
				data <= {line, data[7:1]};
			end
		end
	end

	assign out = {line, busy, got, receiving, bits, last};
endmodule
