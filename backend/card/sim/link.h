// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration link of a simulated card: the wires between the image and
 * the configuration port of a fabric, or of a device of which there is the logic behind
 * that port and no more, with their clock and the DONE line.
 *
 * What carries the bytes is a chain of stages behind a small table; faults are
 * stages put before the plain one (link_fault.c), below everything that has to
 * detect them.
 */
#ifndef SIM_LINK_H
#define SIM_LINK_H

#include "engine/fabric.h"
#include "faults.h"
#include "logic.h"

#include <fabricfs/digest.h>
#include <fabricfs/error.h>

/* From CRESET until the fabric has cleared its memory and listens: at least
 * 800 us for the 1k die (iCE40 LP/HX data sheet, order of magnitude). */
#define LINK_CLEAR_NS 800000
#define LINK_STAGES   4

struct link;

/* `level` is where in the chain this stage stands; the next one is at level + 1. */
struct link_stage {
	/* Put n bytes on the wires. 0 is the link's claim; -errno what the port said. */
	int (*write)(struct link *l, unsigned level, const void *bytes, size_t n, struct reason *why);
	/* Does the link report that DONE rose? */
	bool (*done)(const struct link *l, unsigned level);
};

struct link {
	const struct link_stage *stages[LINK_STAGES]; /* the last is link_plain */
	struct fabric *fabric;  /* not owned; this, */
	struct logic *logic;    /* or this */
	struct digest *digest;  /* owned; of what the fabric was given since the last reset */
	uint64_t hz;            /* bits a second, 0 = no limit */
	uint64_t slow_hz;       /* the same, of a fault */
	bool hold;              /* DONE will be held low from the next CRESET on, */
	bool held;              /* and is since the last one */
	uint64_t bit_errors;    /* one bit of so many, 0 = none; */
	uint64_t to_error;      /* so many bits until the next */
	uint64_t noise;         /* what is drawn from; never 0 */
};

/* A link as it should be. */
extern const struct link_stage link_plain;
/* From now on the link has these faults and no others. */
void link_faults(struct link *l, const struct faults *f);

/* CRESET. */
void link_reset(struct link *l);
int link_write(struct link *l, const void *bytes, size_t n, struct reason *why);
/* That was the last byte; the clock goes on. */
void link_end(struct link *l);
/* What the link says of DONE. */
bool link_done(const struct link *l);
/* The DONE line at the card itself: low means that the design has not started. */
bool link_awake(const struct link *l);

/* Bits a second now, 0 = no limit. */
uint64_t link_hz(const struct link *l);
/* Bytes that may have passed `ns` after CRESET, and when `bytes` will have. */
uint64_t link_passed(const struct link *l, int64_t ns);
int64_t link_time(const struct link *l, uint64_t bytes);

#endif
