// SPDX-License-Identifier: Apache-2.0
// PLLs for a simulation of the designs' sources: exact ratios of a reference
// whose half period is REF_HALF units of time. Edges that coincide with one of the
// reference happen in the same moment as that. Like the simulated card's: begun by
// the first rising edge with RESETB high, LOCK at the 16th, inputs looked at with
// each edge of the reference.
`define REF_HALF 64'd1000000000

module pll_clock #(parameter NUM = 1, parameter DEN = 1)
		  (input refclk, input resetb, input bypass, output reg out, output reg lock);
	reg run = 0, level = 0, due = 0, seen = 0;
	reg [63:0] begun, k, target;
	integer edges = 0;
	event go;

	initial begin
		out = 0;
		lock = 0;
	end
	always @(refclk) begin
		if (run && !resetb) begin
			run = 0;
			level = 0;
			due = 0;
			edges = 0;
			disable ticking;
		end else if (!run && resetb && refclk) begin
			run = 1;
			due = 1;
			begun = $time;
			-> go;
		end
		if (due)
			level = !level;
		due = 0;
		if (run && refclk)
			edges = edges + 1;
		seen = bypass;
		out = seen ? refclk : level;
		lock <= edges >= 16;
	end
	always @(go) begin : ticking
		k = 0;
		forever begin
			k = k + 1;
			target = begun + k * `REF_HALF * DEN / NUM;
			if (k * DEN % NUM == 0) begin
				#(target - $time - 1) due = 1;
				#2;
			end else begin
				#(target - $time) level = !level;
				if (!seen)
					out = level;
			end
		end
	end
endmodule

module SB_PLL40_CORE #(parameter FEEDBACK_PATH = "SIMPLE", PLLOUT_SELECT = "GENCLK", DIVR = 0, DIVF = 0,
		       DIVQ = 1, FILTER_RANGE = 0)
		      (input REFERENCECLK, RESETB, BYPASS, output PLLOUTCORE, PLLOUTGLOBAL, LOCK);
	pll_clock #(.NUM(DIVF + 1), .DEN((DIVR + 1) * 2 ** DIVQ * (PLLOUT_SELECT == "GENCLK_HALF" ? 2 : 1)))
		a(REFERENCECLK, RESETB, BYPASS, PLLOUTCORE, LOCK);
	assign PLLOUTGLOBAL = PLLOUTCORE;
endmodule

module SB_PLL40_PAD #(parameter FEEDBACK_PATH = "SIMPLE", PLLOUT_SELECT = "GENCLK", DIVR = 0, DIVF = 0,
		      DIVQ = 1, FILTER_RANGE = 0)
		     (input PACKAGEPIN, RESETB, BYPASS, output PLLOUTCORE, PLLOUTGLOBAL, LOCK);
	SB_PLL40_CORE #(FEEDBACK_PATH, PLLOUT_SELECT, DIVR, DIVF, DIVQ, FILTER_RANGE)
		core(PACKAGEPIN, RESETB, BYPASS, PLLOUTCORE, PLLOUTGLOBAL, LOCK);
endmodule

module SB_PLL40_2F_CORE #(parameter FEEDBACK_PATH = "SIMPLE", PLLOUT_SELECT_PORTA = "GENCLK",
			  PLLOUT_SELECT_PORTB = "GENCLK", DIVR = 0, DIVF = 0, DIVQ = 1, FILTER_RANGE = 0)
			 (input REFERENCECLK, RESETB, BYPASS, output PLLOUTCOREA, PLLOUTGLOBALA,
			  PLLOUTCOREB, PLLOUTGLOBALB, LOCK);
	wire lock;
	SB_PLL40_CORE #(FEEDBACK_PATH, PLLOUT_SELECT_PORTA, DIVR, DIVF, DIVQ, FILTER_RANGE)
		a(REFERENCECLK, RESETB, BYPASS, PLLOUTCOREA, PLLOUTGLOBALA, LOCK);
	SB_PLL40_CORE #(FEEDBACK_PATH, PLLOUT_SELECT_PORTB, DIVR, DIVF, DIVQ, FILTER_RANGE)
		b(REFERENCECLK, RESETB, BYPASS, PLLOUTCOREB, PLLOUTGLOBALB, lock);
endmodule

module SB_PLL40_2F_PAD #(parameter FEEDBACK_PATH = "SIMPLE", PLLOUT_SELECT_PORTA = "GENCLK",
			 PLLOUT_SELECT_PORTB = "GENCLK", DIVR = 0, DIVF = 0, DIVQ = 1, FILTER_RANGE = 0)
			(input PACKAGEPIN, RESETB, BYPASS, output PLLOUTCOREA, PLLOUTGLOBALA,
			 PLLOUTCOREB, PLLOUTGLOBALB, LOCK);
	SB_PLL40_2F_CORE #(FEEDBACK_PATH, PLLOUT_SELECT_PORTA, PLLOUT_SELECT_PORTB, DIVR, DIVF, DIVQ,
			   FILTER_RANGE)
		core(PACKAGEPIN, RESETB, BYPASS, PLLOUTCOREA, PLLOUTGLOBALA, PLLOUTCOREB, PLLOUTGLOBALB, LOCK);
endmodule

// Output A is the pad's own clock.
module SB_PLL40_2_PAD #(parameter FEEDBACK_PATH = "SIMPLE", PLLOUT_SELECT_PORTB = "GENCLK", DIVR = 0,
			DIVF = 0, DIVQ = 1, FILTER_RANGE = 0)
		       (input PACKAGEPIN, RESETB, BYPASS, output PLLOUTCOREA, PLLOUTGLOBALA,
			PLLOUTCOREB, PLLOUTGLOBALB, LOCK);
	assign PLLOUTCOREA = PACKAGEPIN;
	assign PLLOUTGLOBALA = PACKAGEPIN;
	SB_PLL40_CORE #(FEEDBACK_PATH, PLLOUT_SELECT_PORTB, DIVR, DIVF, DIVQ, FILTER_RANGE)
		b(PACKAGEPIN, RESETB, BYPASS, PLLOUTCOREB, PLLOUTGLOBALB, LOCK);
endmodule
