// SPDX-License-Identifier: Apache-2.0
/*
 * The boards that people own (board_table.h). Where a fact is from is said in its
 * row; a "pcf" is the pin file that the board's makers or users build designs with.
 */
#include <string.h>

#include "board_table.h"

static const struct board_row rows[] = {
	/*
	 * Pins, UART and lights: examples/icestick of YosysHQ/icestorm (pcf); D1 to D5 is the
	 * schematic's order, red ones around the green one. The FT2232H's modem lines DTR (3) and
	 * RTS (7) are high while no program has its port open, and so is the output of the
	 * infrared receiver (106).
	 */
	{
		.name = "icestick", .title = "Lattice iCEstick",
		.part = "iCE40-HX1K", .package = "tq144", .clock = "21", .hz = 12000000,
		.rx = "9", .tx = "8",
		.leds = { { "D1", "99", false }, { "D2", "98", false }, { "D3", "97", false },
			  { "D4", "96", false }, { "D5", "95", false } },
		.pullups = { "3", "7", "106" },
	},
	/* amaranth-lang/amaranth-boards ice40_hx8k_b_evn.py: D2 to D9, UART, modem lines. */
	{
		.name = "hx8k-breakout", .title = "Lattice iCE40-HX8K breakout board",
		.part = "iCE40-HX8K", .package = "ct256", .clock = "J3", .hz = 12000000,
		.rx = "B10", .tx = "B12",
		.leds = { { "D2", "C3", false }, { "D3", "B3", false }, { "D4", "C4", false },
			  { "D5", "C5", false }, { "D6", "A1", false }, { "D7", "A2", false },
			  { "D8", "B4", false }, { "D9", "B5", false } },
		.pullups = { "B13", "A16" },
	},
	/* The maker's Go_Board_Constraints.pcf (nandland/getting-started-with-fpgas); a pressed switch reads 1. The two digits are pins
	 * like any other. */
	{
		.name = "go-board", .title = "Nandland Go Board",
		.part = "iCE40-HX1K", .package = "vq100", .clock = "15", .hz = 25000000,
		.rx = "73", .tx = "74",
		.leds = { { "D1", "56", false }, { "D2", "57", false }, { "D3", "59", false },
			  { "D4", "60", false } },
		.buttons = { { "SW1", "53", false }, { "SW2", "51", false }, { "SW3", "54", false },
			     { "SW4", "52", false } },
	},
	/* The board's own pins.pcf (TinyFPGA-BX). Its USB port is wired to the chip's pins and needs
	 * a host that speaks USB to them, which is not simulated. */
	{
		.name = "tinyfpga-bx", .title = "TinyFPGA BX",
		.part = "iCE40-LP8K", .package = "cm81", .clock = "B2", .hz = 16000000,
		.leds = { { "LED", "B3", false } },
	},
	/* icebreaker.pcf of esden/icebreaker-examples, and amaranth-lang/amaranth-boards icebreaker.py;
	 * the lights and buttons of the part that can be broken off are the other way round. */
	{
		.name = "icebreaker", .title = "1BitSquared iCEBreaker",
		.part = "iCE40-UP5K", .package = "sg48", .clock = "35", .hz = 12000000,
		.rx = "6", .tx = "9",
		.leds = { { "LEDR", "11", true }, { "LEDG", "37", true }, { "LED1", "26", false },
			  { "LED2", "27", false }, { "LED3", "25", false }, { "LED4", "23", false },
			  { "LED5", "21", false }, { "LED_RED", "39", true }, { "LED_GRN", "40", true },
			  { "LED_BLU", "41", true } },
		.buttons = { { "BTN", "10", true }, { "BTN1", "20", false }, { "BTN2", "19", false },
			     { "BTN3", "18", false } },
	},
	/*
	 * amaranth-lang/amaranth-boards upduino_v3.py for clock and lights (they light at the low
	 * level, through the LED driver or as plain outputs); the serial port of the FT232H shares its
	 * pins with the flash (public upduino pcf: serial_txd 14, serial_rxd 15). The clock is on
	 * pin 20 when the jumper OSC is closed, as it is here.
	 */
	{
		.name = "upduino", .title = "tinyVision.ai UPduino 3",
		.part = "iCE40-UP5K", .package = "sg48", .clock = "20", .hz = 12000000,
		.rx = "15", .tx = "14",
		.leds = { { "RED", "41", true }, { "GREEN", "39", true }, { "BLUE", "40", true } },
	},
};

const struct board_row *board_row_find(const char *name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

const struct board_row *board_row(size_t i)
{
	return i < sizeof(rows) / sizeof(rows[0]) ? &rows[i] : NULL;
}
