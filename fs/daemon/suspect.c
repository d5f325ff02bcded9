// SPDX-License-Identifier: Apache-2.0
/* Requests that crash workers (suspect.h). */
#include "fs/daemon/suspect.h"

#include <stddef.h>

#include <fabricfs/log.h>

static struct suspects *suspects;
static _Atomic unsigned threads_seen;
static __thread unsigned my_place; /* + 1; 0 = none yet */

static void suspect_add(uint64_t unique)
{
	for (unsigned i = 0; i < SUSPECTS; i++) {
		if (suspects->known[i].unique != unique)
			continue;
		if (++suspects->known[i].crashes == SUSPECT_CRASHES)
			log_error("request %llu was in hand at %d crashes: it gets an error",
				  (unsigned long long)unique, SUSPECT_CRASHES);
		return;
	}
	suspects->known[suspects->next].unique = unique;
	suspects->known[suspects->next].crashes = 1;
	suspects->next = (suspects->next + 1) % SUSPECTS;
}

void suspect_attach(struct suspects *shared, bool crashed)
{
	suspects = shared;
	for (unsigned i = 0; i < SUSPECT_THREADS; i++) {
		uint64_t unique = atomic_exchange(&shared->in_hand[i], 0);

		if (unique && crashed)
			suspect_add(unique);
	}
}

void suspect_begin(uint64_t unique)
{
	if (!suspects)
		return;
	if (!my_place)
		my_place = atomic_fetch_add(&threads_seen, 1) + 1;
	if (my_place <= SUSPECT_THREADS)
		atomic_store_explicit(&suspects->in_hand[my_place - 1], unique, memory_order_relaxed);
}

void suspect_end(void)
{
	if (suspects && my_place && my_place <= SUSPECT_THREADS)
		atomic_store_explicit(&suspects->in_hand[my_place - 1], 0, memory_order_relaxed);
}

bool suspect_convicted(uint64_t unique)
{
	if (!suspects)
		return false;
	for (unsigned i = 0; i < SUSPECTS; i++)
		if (suspects->known[i].unique == unique && suspects->known[i].crashes >= SUSPECT_CRASHES)
			return true;
	return false;
}
