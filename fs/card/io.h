// SPDX-License-Identifier: Apache-2.0
/*
 * Reads and writes of io/...: from a FUSE thread to the actor, through the
 * backend, and back to whoever waits. Fuse-free.
 */
#ifndef FS_CARD_IO_H
#define FS_CARD_IO_H

#include "fs/card/card.h"

struct io_call {
	struct job job;
	struct card_io io; /* data and size are the caller's until done */
	struct slot *slot;
	uint64_t load;     /* the load that the open found; another one: ESTALE */
	/* Called once, on the actor thread (or in io_call_submit when the card is ending). err:
	 * positive errno or 0. It frees the call. */
	void (*done)(struct io_call *call, int err, size_t moved);
	void *arg;
	_Atomic bool interrupted; /* set by anybody, then actor_wake() */

	/* actor only */
	struct io_call *next, **at; /* slot->io */
	bool submitted, cancelled, stale;
};

void io_call_submit(struct io_call *call);

/* Actor: cancel what was interrupted; what the backend said of readiness; at the end. */
void io_interrupted(struct actor *actor);
void io_news(struct actor *actor);
void io_close_all(struct actor *actor);

#endif
