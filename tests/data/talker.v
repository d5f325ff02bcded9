// SPDX-License-Identifier: Apache-2.0
// A design that is never at rest, for tests/unit/test_sim_clock.c. Registers
// below 0x80 acknowledge, the others never do. Register 0 is written with
// switches: bit 0 makes it send the next number every 65,536 cycles, bit 1
// makes it take what it is sent (and drop it).
//
//	yosys -q -p 'synth_ice40 -top top -json t.json' talker.v
//	nextpnr-ice40 --hx1k --package tq144 --seed 1 --json t.json --pcf ../../contrib/examples/board-tq144.pcf --asc t.asc
//	icepack t.asc talker.bin
module top(
	input clk, input rst,
	input [7:0] rx_data, input rx_valid, output rx_ready,
	output reg [7:0] tx_data, output reg tx_valid, input tx_ready,
	input [7:0] reg_addr, input reg_we, input reg_re, input [15:0] reg_wdata,
	output [15:0] reg_rdata, output reg reg_ack
);
	reg [15:0] count = 0;
	reg [1:0] switches = 0;

	initial begin
		tx_data = 0;
		tx_valid = 0;
		reg_ack = 0;
	end

	assign rx_ready = switches[1];
	assign reg_rdata = {reg_addr, reg_addr};

	always @(posedge clk) begin
		count <= rst ? 0 : count + 1;
		reg_ack <= (reg_we || reg_re) && !reg_ack && !reg_addr[7];
		if (rst)
			switches <= 0;
		else if (reg_we && reg_addr == 0)
			switches <= reg_wdata[1:0];
		if (rst) begin
			tx_valid <= 0;
			tx_data <= 0;
		end else if (tx_valid && tx_ready) begin
			tx_valid <= 0;
			tx_data <= tx_data + 1;
		end else if (&count && switches[0]) begin
			tx_valid <= 1;
		end
	end
endmodule
