// SPDX-License-Identifier: Apache-2.0
/*
 * Requests that crash workers. A request whose handling crashes is resent to
 * the next worker, which crashes too: nobody is served any more. So each thread
 * notes in the session which request it has in hand; what was in hand when a
 * worker crashed is a suspect, and after SUSPECT_CRASHES crashes it is answered
 * with EIO instead of being handled. A kill from outside (SIGKILL, SIGTERM) is
 * no crash and makes no suspect. Any thread.
 */
#ifndef FS_DAEMON_SUSPECT_H
#define FS_DAEMON_SUSPECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SUSPECT_CRASHES 3
#define SUSPECT_THREADS 256 /* threads that can note; further ones are not watched */
#define SUSPECTS 32

/* Lies in the session's memory. */
struct suspects {
	_Atomic uint64_t in_hand[SUSPECT_THREADS]; /* unique, 0 = nothing */
	struct {
		uint64_t unique;
		uint32_t crashes;
	} known[SUSPECTS];
	uint32_t next;
};

/* At the start of a worker, before threads; crashed: how the last one ended. */
void suspect_attach(struct suspects *shared, bool crashed);
/* This thread has the request in hand, until suspect_end(). Nests not. */
void suspect_begin(uint64_t unique);
void suspect_end(void);
/* Has it crashed too many workers? */
bool suspect_convicted(uint64_t unique);

#endif
