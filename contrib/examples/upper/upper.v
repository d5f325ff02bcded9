// SPDX-License-Identifier: Apache-2.0
// Bytes come in, go out in upper case. One byte a cycle, with full handshakes:
// a byte moves at a rising edge where valid and ready are both high.
module top(
	input clk, input rst,
	input [7:0] rx_data, input rx_valid, output rx_ready,
	output reg [7:0] tx_data, output reg tx_valid, input tx_ready
);
	wire lower = rx_data >= "a" && rx_data <= "z";

	initial begin
		tx_data = 0;
		tx_valid = 0;
	end

	assign rx_ready = !rst && (!tx_valid || tx_ready);

	always @(posedge clk)
		if (rst) begin
			tx_valid <= 0;
		end else if (rx_valid && rx_ready) begin
			tx_data <= lower ? rx_data ^ 8'h20 : rx_data;
			tx_valid <= 1;
		end else if (tx_ready) begin
			tx_valid <= 0;
		end
endmodule
