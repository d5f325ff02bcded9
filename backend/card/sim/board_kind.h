// SPDX-License-Identifier: Apache-2.0
/*
 * What the kinds of boards have in common (board.c), and what each does for itself
 * (board_stream.c, board_kit.c). For these files only; everybody else has board.h.
 */
#ifndef SIM_BOARD_KIND_H
#define SIM_BOARD_KIND_H

#include "board.h"
#include "board_table.h"

#define BOARD_WIRES 72

/* A pin that is wired to something on the board. */
struct wire {
	int pin;           /* of the fabric; -1: none, its level is 0 */
	bool own;          /* the board drives it; else what it drives is a weak pull */
	bool driven;       /* somebody does: the board, its pull, or a user by hand */
	bool level;        /* ... to this level */
	signed char stuck; /* the level that a fault ties it to, -1 = none */
};

struct board_kind {
	/* The queues were emptied: what the board drives goes back to how it is without a user. */
	void (*quiesce)(struct board *b);
	/* The configuration was wiped. May be NULL. */
	void (*off)(struct board *b);
	/* DONE rose: CARD_ENDPOINT_BITs of what the image drives or reads, and let it start. */
	unsigned (*wake)(struct board *b);
	/* NULL: the board has no reset line. */
	void (*reset)(struct board *b);
	/* b->offer has changed; withdrawn: how many were not taken. */
	void (*offered)(struct board *b, size_t withdrawn);
	/* Would a byte that is offered now be taken without waiting for the user? */
	bool (*takes)(const struct board *b);
	/* There is room in the queue again. */
	void (*room)(struct board *b);
	/* Bytes of the user are on their way although nothing is offered. NULL: never, it has no
	 * serial port. */
	bool (*busy)(const struct board *b);
	void (*run)(struct board *b, uint64_t n, unsigned stop, size_t want);
};

/* A kind's own struct begins with it. */
struct board {
	const struct board_kind *kind;
	const char *name;
	struct fabric *f;
	struct wire wire[BOARD_WIRES];
	unsigned wires;
	unsigned clk;          /* the wire of the clock */
	unsigned endpoints;
	bool manual;           /* every pin is the host's */
	bool rest;
	uint64_t idle;

	const uint8_t *offer;  /* not owned */
	size_t offered, taken;

	uint8_t *queue; /* owned, BOARD_RX_BYTES, a ring; made at the first wake-up */
	size_t first, waiting;

	struct board_counters count;
};

/* Wire number `wire`, with the level that it has without a user. name NULL: a wire to nothing.
 * -ENODEV: the package has no such pin. */
int board_wire(struct board *b, unsigned wire, const char *name, bool own, bool level,
	       struct reason *why);

/* The level on a wire, by a fault or by what drives it. */
bool wire_high(const struct board *b, unsigned wire);
/* Does the image drive it, ever? */
bool wire_driven(const struct board *b, unsigned wire);
/* True when that was a change. */
bool wire_drive(struct board *b, unsigned wire, bool level);
/* So many cycles of the clock, if it gets through to the design, or up to a costly one (fabric.h).
 * Returns how many, at least one. */
uint64_t clock_cycles(struct board *b, uint64_t n);
/* The same, and no further than the one after which the wire is high or low. */
uint64_t clock_cycles_until(struct board *b, uint64_t n, unsigned wire, bool level);
/* The same, and no further than to where further cycles would change nothing. */
uint64_t clock_cycles_busy(struct board *b, uint64_t n, unsigned wire, bool level);

/* A byte from the design. False: the queue is full. */
bool board_queue(struct board *b, uint8_t byte);

/* Allocated with their wires; the rest is board_new()'s. */
int board_stream_new(struct fabric *f, struct board **out, struct reason *why);
int board_kit_new(struct fabric *f, const struct board_row *row, uint64_t baud, struct board **out,
		  struct reason *why);

#endif
