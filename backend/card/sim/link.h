// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration link of a simulated card: the wires between the image and
 * the fabric's configuration port, with their clock.
 *
 * What carries the bytes is a stage behind a small table; faults are other
 * stages put in the place of the plain one (link_fault.c), below everything
 * that has to detect them.
 */
#ifndef SIM_LINK_H
#define SIM_LINK_H

#include "engine/fabric.h"

#include <fabricfs/digest.h>
#include <fabricfs/error.h>

/* From CRESET until the fabric has cleared its memory and listens: at least
 * 800 us for the 1k die (iCE40 LP/HX data sheet, order of magnitude). */
#define LINK_CLEAR_NS 800000

struct link;

struct link_stage {
	/* Put n bytes on the wires. 0 is the link's claim; -errno what the port said. */
	int (*write)(struct link *l, const void *bytes, size_t n, struct reason *why);
	/* Does the link report that DONE rose? */
	bool (*done)(const struct link *l);
};

struct link {
	const struct link_stage *stage;
	struct fabric *fabric;  /* not owned */
	struct digest *digest;  /* owned; of what the port was given since the last reset */
	uint64_t hz;            /* bits a second, 0 = no limit */
};

/* A link as it should be. */
extern const struct link_stage link_plain;
/* The stage for these PROTO_FAULT bits. */
const struct link_stage *link_stage_for(uint64_t faults);

/* CRESET. */
void link_reset(struct link *l);
/* Bytes that may have passed `ns` after CRESET, and when `bytes` will have. */
uint64_t link_passed(const struct link *l, int64_t ns);
int64_t link_time(const struct link *l, uint64_t bytes);

#endif
