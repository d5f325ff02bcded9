// SPDX-License-Identifier: Apache-2.0
// The RAM primitive itself: all four widths, the write mask, falling clocks,
// both enables, and a read of the word that is being written.
module top(input clk, input rst, input [15:0] in, output [15:0] out);
	wire [15:0] q [0:5];
	reg [15:0] a = 0, d = 0;

	always @(posedge clk) begin
		a <= in;
		d <= {d[14:0], d[15] ^ d[4] ^ in[3]} + in;
	end

	// few addresses, so that reads meet writes
	wire [10:0] wa = {a[10:8], 5'b0, a[2:0]}, ra = {in[10:8], 5'b0, in[2:0]};

	genvar m;
	generate
		for (m = 0; m < 4; m = m + 1) begin : widths
			SB_RAM40_4K #(
				.WRITE_MODE(m), .READ_MODE(m == 0 ? 0 : 4 - m),
				.INIT_0(256'h0123456789abcdef_fedcba9876543210_0011223344556677_8899aabbccddeeff)
			) ram (
				.RDATA(q[m]), .RADDR(ra), .RCLK(clk), .RCLKE(in[11]), .RE(in[12]),
				.WADDR(wa), .WCLK(clk), .WCLKE(a[13]), .WE(a[14]), .WDATA(d),
				.MASK({a[7:0], a[15:8]})
			);
		end
	endgenerate
	SB_RAM40_4KNR #(.WRITE_MODE(1), .READ_MODE(1)) falling_read (
		.RDATA(q[4]), .RADDR(ra), .RCLKN(clk), .RCLKE(1'b1), .RE(in[12]),
		.WADDR(wa), .WCLK(clk), .WCLKE(1'b1), .WE(a[14]), .WDATA(d), .MASK(16'b0)
	);
	SB_RAM40_4KNW #(.WRITE_MODE(0), .READ_MODE(0)) falling_write (
		.RDATA(q[5]), .RADDR(ra), .RCLK(clk), .RCLKE(1'b1), .RE(in[12]),
		.WADDR(wa), .WCLKN(clk), .WCLKE(1'b1), .WE(in[14]), .WDATA(d), .MASK(16'b0)
	);

	reg [15:0] mix = 0;

	always @(posedge clk)
		mix <= rst ? 0 : {mix[14:0], mix[15]} ^ q[0] ^ q[4] ^ q[5];

	assign out = in[15:13] == 0 ? mix : in[15:13] == 1 ? q[1] : in[15:13] == 2 ? q[2] :
		     in[15:13] == 3 ? q[3] : in[15:13] == 4 ? q[4] : in[15:13] == 5 ? q[5] : q[0];
endmodule
