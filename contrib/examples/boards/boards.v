// SPDX-License-Identifier: Apache-2.0
// A first design for each simulated board, one module a board; ports have the names of its
// pin file, boards/<board>.pcf. Where there is a serial port, every byte comes back with its
// lowest bit flipped, at 115200 baud; a light is lit by its bit of the last byte or, the
// first ones, by a button.

// 8 data bits, no parity, one stop bit.
module echo #(parameter HZ = 12000000, BAUD = 115200)
	(input clk, input rx, output tx, output reg [7:0] last);
	localparam BIT = HZ / BAUD;
	reg [1:0] sync = 3;
	reg [15:0] count = 0, wait_tx = 0;
	reg [3:0] bits = 0, left = 0;
	reg [7:0] in = 0;
	reg [9:0] out = 0;
	reg full = 0;
	initial last = 0;
	// Registers are 0 after power-on: the line rests as 0 inside, and is inverted at the pin.
	assign tx = !out[0];

	always @(posedge clk) begin
		sync <= {sync[0], rx};
		if (wait_tx != 0)
			wait_tx <= wait_tx - 1;
		else if (left != 0) begin
			out <= {1'b0, out[9:1]};
			left <= left - 1;
			wait_tx <= BIT - 1;
		end else if (full) begin
			full <= 0;
			out <= {1'b0, ~(last ^ 8'h01), 1'b1};
			left <= 9;
			wait_tx <= BIT - 1;
		end
		if (bits == 0) begin
			count <= BIT / 2;
			bits <= !sync[1];
		end else if (count != 0)
			count <= count - 1;
		else begin
			count <= BIT - 1;
			bits <= bits + 1;
			if (bits == 1 && sync[1])
				bits <= 0;
			else if (bits == 10) begin
				bits <= 0;
				full <= sync[1];
				if (sync[1])
					last <= in;
			end else
				in <= {sync[1], in[7:1]};
		end
	end
endmodule

module go_board(input i_Clk, input i_UART_RX, output o_UART_TX, output [4:1] o_LED,
		input [4:1] i_Switch);
	wire [7:0] last;
	echo #(.HZ(25000000)) echo(i_Clk, i_UART_RX, o_UART_TX, last);
	assign o_LED = last[3:0] | i_Switch;
endmodule

module hx8k_breakout(input clk, input rx, output tx, output [7:0] led);
	echo echo(clk, rx, tx, led);
endmodule

// No serial port and no button: the light blinks, every 2^19 cycles of 16 MHz.
module tinyfpga_bx(input CLK, output LED, output USBPU);
	reg [19:0] count = 0;
	always @(posedge CLK)
		count <= count + 1;
	assign LED = count[19];
	assign USBPU = 0;
endmodule

// The lights on the board itself, and the button, are lit and pressed by the low level.
module icebreaker(input CLK, input RX, output TX, input BTN_N, output LEDR_N, output LEDG_N,
		  input [3:1] BTN, output [5:1] LED, output LED_RED_N, output LED_GRN_N, output LED_BLU_N);
	wire [7:0] last;
	echo echo(CLK, RX, TX, last);
	assign LEDR_N = !last[0] & BTN_N;
	assign LEDG_N = !last[1];
	assign LED = last[6:2] | BTN;
	assign LED_RED_N = !last[7];
	assign {LED_GRN_N, LED_BLU_N} = 2'b11;
endmodule

// The clock is the chip's own, 48 MHz divided by 4, as the board's is only there with a jumper.
// The lights hang on the LED driver, which sinks their current.
module upduino(input serial_rxd, output serial_txd, output spi_cs,
	       output led_red, output led_green, output led_blue);
	wire [7:0] last;
	wire clk;
	SB_HFOSC #(.CLKHF_DIV("0b10")) oscillator(.CLKHFPU(1'b1), .CLKHFEN(1'b1), .CLKHF(clk));
	echo echo(clk, serial_rxd, serial_txd, last);
	assign spi_cs = 1; // the flash shares the pins of the serial port
	SB_RGBA_DRV #(.CURRENT_MODE("0b1"), .RGB0_CURRENT("0b000011"), .RGB1_CURRENT("0b000011"),
		      .RGB2_CURRENT("0b000011")) driver(.CURREN(1'b1), .RGBLEDEN(1'b1),
		.RGB0PWM(last[1]), .RGB1PWM(last[2]), .RGB2PWM(last[0]),
		.RGB0(led_green), .RGB1(led_blue), .RGB2(led_red));
endmodule
