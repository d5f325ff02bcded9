// SPDX-License-Identifier: Apache-2.0
// An echo for sound, with the hard blocks of an iCE40 UltraPlus: samples of 8 bits,
// unsigned (8 kHz: `aplay -f U8 -r 8000`), come in and go out with 5/8 of what went
// out 2,000 samples before. The past is in single-port RAM, the product is made by
// a multiplier, and the LED driver lights RGB0 for a sample that had to be clipped,
// RGB1 while a sample waits to be fetched.
module top(
	input clk, input rst,
	input [7:0] rx_data, input rx_valid, output rx_ready,
	output [7:0] tx_data, output tx_valid, input tx_ready,
	output [2:0] led
);
	localparam DELAY = 2000;
	localparam [15:0] GAIN = 160; // of 256

	localparam TAKE = 0, READ = 1, MULTIPLY = 2, ADD = 3, WRITE = 4, GIVE = 5;
	reg [2:0] state = TAKE;
	reg [13:0] at = 0;
	reg full = 0; // the RAM has samples of this run at all places
	reg signed [15:0] sample = 0;
	reg clipped = 0;
	wire [15:0] past;
	wire [31:0] product;

	SB_SPRAM256KA ram (
		.ADDRESS(at), .DATAIN(sample), .MASKWREN(4'b1111), .WREN(state == WRITE),
		.CHIPSELECT(state == READ || state == WRITE), .CLOCK(clk),
		.STANDBY(1'b0), .SLEEP(1'b0), .POWEROFF(1'b1), .DATAOUT(past)
	);

	// product <= full ? past * GAIN : 0
	SB_MAC16 #(
		.TOPOUTPUT_SELECT(2'b11), .BOTOUTPUT_SELECT(2'b11),
		.PIPELINE_16x16_MULT_REG2(1), .A_SIGNED(1), .B_SIGNED(1)
	) multiplier (
		.CLK(clk), .CE(1'b1), .A(full ? past : 16'b0), .B(GAIN), .O(product)
	);

	wire signed [17:0] sum = $signed(sample) + $signed(product[23:8]);
	wire over = sum > 32767, under = sum < -32768;

	always @(posedge clk)
		if (rst) begin
			state <= TAKE;
			at <= 0;
			full <= 0;
			clipped <= 0;
		end else case (state)
		TAKE: if (rx_valid) begin
			sample <= {~rx_data[7], rx_data[6:0], 8'b0};
			state <= READ;
		end
		READ, MULTIPLY:
			state <= state + 1;
		ADD: begin
			sample <= over ? 16'h7fff : under ? 16'h8000 : sum[15:0];
			clipped <= over | under;
			state <= WRITE;
		end
		WRITE: begin
			at <= at == DELAY - 1 ? 0 : at + 1;
			full <= full | at == DELAY - 1;
			state <= GIVE;
		end
		GIVE: if (tx_ready)
			state <= TAKE;
		endcase

	assign rx_ready = state == TAKE && !rst;
	assign tx_valid = state == GIVE;
	assign tx_data = {~sample[15], sample[14:8]};

	SB_RGBA_DRV #(
		.CURRENT_MODE("0b1"), .RGB0_CURRENT("0b000001"), .RGB1_CURRENT("0b000001"),
		.RGB2_CURRENT("0b000001")
	) driver (
		.CURREN(1'b1), .RGBLEDEN(1'b1), .RGB0PWM(clipped), .RGB1PWM(state == GIVE),
		.RGB2PWM(1'b0), .RGB0(led[0]), .RGB1(led[1]), .RGB2(led[2])
	);
endmodule
