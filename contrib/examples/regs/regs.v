// SPDX-License-Identifier: Apache-2.0
// A window of 256 registers of 16 bits, all of which answer:
//
//	0x00  identity, reads 0xfab1
//	0x01  version of this design, reads 0x0001
//	0x02  cycles since reset, low half; reading it keeps the high half
//	0x03  the high half kept by the last read of 0x02
//	0x04  writes accepted since reset (to any address)
//	0x05 .. 0xff  a register file in block RAM: reads what was written, first 0
//
// The host holds reg_re or reg_we until reg_ack, which is high for one cycle.
module top(
	input clk, input rst,
	input [7:0] reg_addr, input reg_we, input reg_re, input [15:0] reg_wdata,
	output [15:0] reg_rdata, output reg reg_ack, output irq
);
	reg [31:0] cycles = 0;
	reg [15:0] high = 0, writes = 0, special = 0, stored;
	reg from_memory = 0;
	reg [15:0] memory [0:255];
	integer i;

	wire start = (reg_re || reg_we) && !reg_ack && !rst;

	initial begin
		reg_ack = 0;
		stored = 0;
		for (i = 0; i < 256; i = i + 1)
			memory[i] = 0;
	end

	always @(posedge clk) begin
		reg_ack <= start;
		cycles <= rst ? 0 : cycles + 1;
		if (rst)
			writes <= 0;
		else if (start && reg_we)
			writes <= writes + 1;
		if (start) begin
			from_memory <= reg_addr > 4;
			case (reg_addr)
			0: special <= 16'hfab1;
			1: special <= 16'h0001;
			2: special <= cycles[15:0];
			3: special <= high;
			default: special <= writes;
			endcase
			if (reg_re && reg_addr == 2)
				high <= cycles[31:16];
		end
	end

	always @(posedge clk) begin
		if (start && reg_we)
			memory[reg_addr] <= reg_wdata;
		stored <= memory[reg_addr];
	end

	assign reg_rdata = from_memory ? stored : special;
	// level: up while the register at 0x04 is odd
	assign irq = writes[0];
endmodule
