// SPDX-License-Identifier: Apache-2.0
// For a Lattice iCEstick and nothing else: 12 MHz on pin 21, the USB serial port at
// 115200 baud on pins 9 and 8, five lights. It says hello once, then sends back what
// it is sent; the lights are the low five bits of the last byte, D1 the lowest.
// Loads a real one with `iceprog -S hello.bin`.
module top(input clk, input RX, output TX, output D1, output D2, output D3, output D4, output D5);
	localparam DIVIDER = 12000000 / 115200; // 104
	localparam N = 27;
	wire [8 * N - 1:0] banner = "hello from a real design\r\n\004";

	// --- from the computer ---------------------------------------------------
	reg [1:0] sync = 3;  // the line comes from another clock
	reg [7:0] rx_count = 0;
	reg [3:0] rx_bit = 0; // 0: waiting; 1: start bit; 2 to 9: data; 10: stop bit
	reg [7:0] rx_data = 0;
	reg got = 0;

	always @(posedge clk) begin
		sync <= {sync[0], RX};
		got <= 0;
		if (rx_bit == 0) begin
			if (!sync[1]) begin
				rx_bit <= 1;
				rx_count <= DIVIDER / 2;
			end
		end else if (rx_count != 0)
			rx_count <= rx_count - 1;
		else begin
			rx_count <= DIVIDER - 1;
			rx_bit <= rx_bit + 1;
			if (rx_bit == 1) begin
				if (sync[1])
					rx_bit <= 0;
			end else if (rx_bit == 10) begin
				rx_bit <= 0;
				got <= sync[1];
			end else
				rx_data <= {sync[1], rx_data[7:1]};
		end
	end

	// --- to the computer -----------------------------------------------------
	reg [4:0] at = 0;       // in the banner
	reg [7:0] tx_count = 0;
	reg [3:0] tx_left = 0;  // bits
	reg [8:0] tx_shift = 0; // after power-on the line is low until `started`
	reg started = 0;
	reg waiting = 0;        // a byte came while another was sent
	reg [7:0] shown = 0, held = 0;
	wire [7:0] letter = banner[8 * (N - 1 - at) +: 8];
	wire greeting = letter != 8'h04;

	always @(posedge clk) begin
		if (!started) begin
			started <= 1;
			tx_shift <= 9'h1ff;
		end
		if (got) begin
			held <= rx_data;
			shown <= rx_data;
			waiting <= 1;
		end
		if (tx_count != 0)
			tx_count <= tx_count - 1;
		else if (tx_left != 0) begin
			tx_shift <= {1'b1, tx_shift[8:1]};
			tx_left <= tx_left - 1;
			tx_count <= DIVIDER - 1;
		end else if (started && greeting) begin
			tx_shift <= {letter, 1'b0};
			at <= at + 1;
			tx_left <= 9;
			tx_count <= DIVIDER - 1;
		end else if (started && waiting) begin
			tx_shift <= {held, 1'b0};
			waiting <= got;
			tx_left <= 9;
			tx_count <= DIVIDER - 1;
		end
	end

	assign TX = tx_shift[0];
	assign {D5, D4, D3, D2, D1} = shown[4:0];
endmodule
