// SPDX-License-Identifier: Apache-2.0
/*
 * The boards that people own, as data: which pin of which package is the clock,
 * the serial port, a light, a button. How they work is in board_kit.c.
 */
#ifndef SIM_BOARD_TABLE_H
#define SIM_BOARD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOARD_LEDS    10
#define BOARD_BUTTONS 4
#define BOARD_PULLUPS 8

/* A light or a button. Its name is what is printed on the board or written in its schematic. */
struct board_part {
	const char *name, *pin;
	bool low; /* lit or pressed is the low level; such a button has a pull-up */
};

struct board_row {
	const char *name;    /* as in `board:` */
	const char *title;   /* what people call it */
	const char *part, *package;
	const char *clock;   /* pin */
	uint64_t hz;
	const char *rx, *tx; /* the serial port by the design's view: it reads rx; NULL: none */
	struct board_part leds[BOARD_LEDS], buttons[BOARD_BUTTONS]; /* up to a NULL name */
	const char *pullups[BOARD_PULLUPS]; /* inputs that are high when nobody drives them */
};

/* By name; NULL: there is none. */
const struct board_row *board_row_find(const char *name);
/* All of them, for a sentence or a test; NULL behind the last. */
const struct board_row *board_row(size_t i);

#endif
