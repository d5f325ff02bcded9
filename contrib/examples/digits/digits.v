// SPDX-License-Identifier: Apache-2.0
// Tells handwritten digits apart: 64 bytes in (8x8 pixels of 0..16, row by row,
// of which the low five bits count), one byte out (the digit, 0..9).
//
// Two layers of weights -1, 0, 1, so that a product is an addition, a subtraction
// or nothing: 4,096 in block RAM, 640 in logic. 16 hidden neurons are summed side
// by side, four times over; each passes its sum / 8, between 0 and 15, to the ten
// scores. The highest score wins, of equal ones the lowest digit. reference.py
// says the same in Python.
//
//	LOAD  64 bytes into block RAM
//	SUM   64 pixels into 16 sums, one pixel a cycle (and one cycle to drain)
//	EMIT  16 activations into 10 scores, one a cycle (and one to drain)
//	      ... SUM and EMIT for each of the four groups
//	PICK  the highest of 10 scores, one a cycle
//	SEND  until the answer is taken
module top(
	input clk, input rst,
	input [7:0] rx_data, input rx_valid, output rx_ready,
	output [7:0] tx_data, output tx_valid, input tx_ready
);
	localparam LOAD = 0, SUM = 1, EMIT = 2, PICK = 3, SEND = 4;

	reg [2:0] state = LOAD;
	reg [6:0] at = 0;
	reg [1:0] group = 0;

	// Two bits a weight: 00 is 0, 01 is 1, 11 is -1.
	reg [4:0] pixels [0:63];
	reg [31:0] hidden [0:255]; // row: group and pixel
	reg [19:0] scoring [0:63]; // row: group and neuron
	reg [4:0] pixel;
	reg [31:0] hidden_row;
	reg [19:0] scoring_row;
	reg add_hidden = 0, add_score = 0;

	initial begin
		$readmemh("hidden.hex", hidden);
		$readmemh("output.hex", scoring);
	end

	assign rx_ready = !rst && state == LOAD;

	always @(posedge clk) begin
		if (rx_valid && rx_ready)
			pixels[at[5:0]] <= rx_data[4:0];
		pixel <= pixels[at[5:0]];
		hidden_row <= hidden[{group, at[5:0]}];
		scoring_row <= scoring[{group, at[3:0]}];
		add_hidden <= !rst && state == SUM && !at[6];
		add_score <= !rst && state == EMIT && !at[4];
	end

	// The sums of a group stand 16 bits apart, so that choosing one is cheap.
	wire [255:0] sums;
	genvar n;
	generate
		for (n = 0; n < 16; n = n + 1) begin : neuron
			reg [11:0] sum = 0;
			wire negative = hidden_row[2 * n + 1];
			wire [11:0] term = {7'd0, pixel & {5{hidden_row[2 * n]}}} ^ {12{negative}};
			wire [12:0] next = {sum, 1'b1} + {term, negative};

			always @(posedge clk)
				if (state == SUM && at == 0)
					sum <= 0;
				else if (add_hidden)
					sum <= next[12:1];
			assign sums[16 * n +: 16] = {4'd0, sum};
		end
	endgenerate

	wire [11:0] chosen = sums[{at[3:0], 4'd0} +: 12];
	reg [3:0] activation;

	always @(posedge clk)
		if (chosen[11])
			activation <= 0;
		else if (chosen[10:7] != 0)
			activation <= 15;
		else
			activation <= chosen[6:3];

	wire [255:0] scores;
	generate
		for (n = 0; n < 10; n = n + 1) begin : digit
			reg [10:0] score = 0;
			wire negative = scoring_row[2 * n + 1];
			wire [10:0] term = {7'd0, activation & {4{scoring_row[2 * n]}}} ^ {11{negative}};
			wire [11:0] next = {score, 1'b1} + {term, negative};

			always @(posedge clk)
				if (state == LOAD)
					score <= 0;
				else if (add_score)
					score <= next[11:1];
			assign scores[16 * n +: 16] = {5'd0, score};
		end
	endgenerate
	assign scores[255:160] = 0;

	reg signed [10:0] best = 0;
	reg [3:0] answer = 0;
	wire signed [10:0] candidate = scores[{at[3:0], 4'd0} +: 11];

	assign tx_data = {4'd0, answer};
	assign tx_valid = !rst && state == SEND;

	always @(posedge clk)
		if (rst) begin
			state <= LOAD;
			at <= 0;
			group <= 0;
		end else case (state)
		LOAD: if (rx_valid) begin
			at <= at == 63 ? 0 : at + 1;
			if (at == 63)
				state <= SUM;
		end
		SUM: begin
			at <= at[6] ? 0 : at + 1;
			if (at[6])
				state <= EMIT;
		end
		EMIT: begin
			at <= at[4] ? 0 : at + 1;
			if (at[4]) begin
				group <= group + 1;
				state <= group == 3 ? PICK : SUM;
			end
		end
		PICK: begin
			if (at == 0 || candidate > best) begin
				best <= candidate;
				answer <= at[3:0];
			end
			at <= at == 9 ? 0 : at + 1;
			if (at == 9)
				state <= SEND;
		end
		default: if (tx_ready)
			state <= LOAD;
		endcase
endmodule
