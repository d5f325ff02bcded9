// SPDX-License-Identifier: Apache-2.0
/*
 * What the kinds of configuration logic have in common (logic.c), and what each does for
 * itself (logic_xilinx.c, logic_ecp5.c, logic_cyclone.c). For these files only.
 */
#ifndef SIM_LOGIC_KIND_H
#define SIM_LOGIC_KIND_H

#include "logic.h"

#include <fabricfs/part.h>

struct logic_kind {
	const char *const *families; /* as in the table of parts; NULL behind the last */
	const char *formats;
	bool tried_first;
	size_t bytes; /* of a kind's own struct, which begins with struct logic */
	/* Everything behind the struct logic is zero already. May be NULL. */
	void (*reset)(struct logic *l);
	int (*write)(struct logic *l, const uint8_t *b, size_t n, struct reason *why);
	void (*end)(struct logic *l); /* may be NULL */
	bool (*done)(const struct logic *l);
	bool (*proven)(const struct logic *l);
	void (*status)(const struct logic *l, char *text, size_t size);
	const char *(*confirms)(const struct logic *l);
};

struct logic {
	const struct logic_kind *kind;
	const struct image_part *row;
	char part[48];
	/* From here on: since the reset. */
	int err; /* what the status pin says; no byte is taken any more */
	struct reason why;
	uint64_t bytes, frames, checks;
	uint64_t sum; /* of all that was taken, in order */
};

/* A part of the sum: a checksum that begins anew behind this. */
static inline void logic_sum(struct logic *l, uint32_t part)
{
	/* An odd factor loses nothing, and what comes later does not meet what came before. */
	l->sum = (l->sum ^ part) * UINT64_C(0x9e3779b97f4a7c15);
	l->sum ^= l->sum >> 29;
}

extern const struct logic_kind logic_xilinx, logic_ecp5, logic_cyclone;

#endif
