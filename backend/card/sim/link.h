// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration link of a simulated card: the wires between the image and
 * the fabric's configuration port, with their clock and their faults. Faults
 * are made here, below everything that has to detect them.
 */
#ifndef SIM_LINK_H
#define SIM_LINK_H

#include "engine/fabric.h"

#include <fabricfs/digest.h>
#include <fabricfs/error.h>

/* From CRESET until the fabric has cleared its memory and listens: at least
 * 800 us for the 1k die (iCE40 LP/HX data sheet, order of magnitude). */
#define LINK_CLEAR_NS 800000

struct link {
	struct fabric *fabric;  /* not owned */
	struct digest *digest;  /* owned; of what the port was given since the last reset */
	uint64_t hz;            /* bits a second, 0 = no limit */
	unsigned faults;        /* PROTO_FAULT bits */
};

/* CRESET. */
void link_reset(struct link *l);
/* Put n bytes on the wires. 0 is the link's claim; -errno what the port said. */
int link_write(struct link *l, const void *bytes, size_t n, struct reason *why);
/* Bytes that may have passed `ns` after CRESET, and when `bytes` will have. */
uint64_t link_passed(const struct link *l, int64_t ns);
int64_t link_time(const struct link *l, uint64_t bytes);

#endif
