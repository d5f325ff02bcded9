// SPDX-License-Identifier: Apache-2.0
/*
 * A program being built: what the walk over the cells (walk.c) finds and folds
 * (fold.c), and layout.c then makes a program of. It lives as long as the call of
 * program_build(), in one thread.
 *
 * A signal is a number of the netlist, a node a value of the program to be: 0 and
 * 1 are the constants, and several signals may be one node.
 */
#ifndef SIM_BUILD_H
#define SIM_BUILD_H

#include "engine.h"

enum { NODE_NEW = -1, NODE_IN_PROGRESS = -2, NODE_NONE = -1 };

struct new_op {
	uint32_t in[4], out;
	uint16_t table, level;
	bool carry, live;
};

struct new_dff {
	uint32_t sig, q, d, clk, cen, sr;
	bool negedge, set, async;
};

struct new_ram {
	struct ram_cell cell;
	unsigned number;
	uint32_t q; /* the first of 16 */
};

struct new_spram {
	uint32_t port[SPRAM_PORTS];
	unsigned number;
	uint32_t q; /* the first of 16 */
};

/* What a cell that makes clocks looks at. */
struct new_clock {
	uint32_t enable[2], bypass;
};

struct frame {
	uint32_t sig;
	struct cell cell;
	uint32_t node[4];
	unsigned next;
};

struct build {
	struct netlist *n;
	int32_t *node;      /* signal -> node, NODE_NEW, NODE_IN_PROGRESS */
	int32_t *feedback;  /* signal -> node that a loop reads before it is known */
	struct frame *stack;
	struct new_op *ops;
	struct new_dff *dffs;
	struct new_ram *rams;
	struct new_spram sprams[SPRAM_MAX];
	int32_t *ram_index; /* RAM of the chip -> index in rams, or -1 */
	uint32_t *ext_pad;  /* pads whose outside level is read */
	uint32_t *ext_node;
	/* outputs and LOCK of cells that make clocks, by signal; and in their order */
	uint32_t clock_sig[CLOCK_SIGNALS * CLOCK_CELLS], clock_node[CLOCK_SIGNALS * CLOCK_CELLS];
	struct new_clock clocks[CLOCK_CELLS];
	uint16_t *level, *lut_level; /* by node */
	int32_t *inverse;   /* node -> node that it is the inverse of, or NODE_NONE */
	uint8_t *use;       /* by pad */
	unsigned depth, n_ops, n_dffs, n_rams, n_sprams, n_ext, n_clock, nodes, loops, max_nodes;
};

/* ---- truth tables (fold.c); input k is bit k of the index ---- */

/* The table with input k held at v; it no longer depends on k. */
uint16_t table_fix(uint16_t table, unsigned k, bool v);

bool table_depends(uint16_t table, unsigned k);

/* Reduce table and nodes as far as they go; returns the number of inputs left,
 * which are the first ones. */
unsigned build_fold(struct build *b, uint16_t *table, uint32_t node[4]);

/* ---- walk.c ---- */

/* Walk from the pads until nothing new is found. level and oe, by pad: the nodes
 * of what an output pad is driven with, and of whether it is. Returns 0,
 * -EOPNOTSUPP (what the simulator does not know) or what cell_get() says. */
int build_walk(struct build *b, uint32_t *level, uint32_t *oe, struct reason *why);

/* ---- layout.c ---- */

/* Drop the operations that nobody looks at. After the walk: its stack is reused. */
void build_drop_dead(struct build *b, const uint32_t *level, const uint32_t *oe);

/* The program, in *out: the caller's, for program_free(). map has room for a
 * number a node and is zeroed. Sorts what b has. Returns 0 or -ENOMEM. */
int build_layout(struct build *b, const uint32_t *level, const uint32_t *oe, uint16_t *map,
		 struct program **out, struct reason *why);

#endif
