// SPDX-License-Identifier: Apache-2.0
/*
 * What a simulated card remembers of operations on its endpoints, so that one
 * that is sent again is answered and not done again.
 *
 * The worker may die after bytes moved and before the caller was told; the next
 * worker sends the same operation with the same id. Bytes that were read are
 * kept here to be told again; of a write the count of bytes taken is enough.
 * Bounded: the oldest are forgotten first. A caller that waits for so long that
 * LEDGER_ENTRIES other operations went by does not exist, because a caller has
 * one operation at a time.
 */
#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEDGER_ENTRIES 128
#define LEDGER_BYTES   (1024 * 1024)

struct ledger_entry {
	uint64_t id;   /* 0 = unused */
	bool complete; /* false: a write that took `moved` bytes so far */
	int err;
	uint64_t moved;
	uint8_t *data; /* owned; of a read, moved bytes */
	size_t len;
};

struct ledger {
	struct ledger_entry entries[LEDGER_ENTRIES];
	unsigned next;
	size_t bytes;
};

/* NULL: nothing is remembered of it. Valid until the next ledger_set(). */
const struct ledger_entry *ledger_find(const struct ledger *l, uint64_t id);
/* Remember, in place of what was remembered of this id. 0 or -ENOMEM (then nothing is). */
int ledger_set(struct ledger *l, uint64_t id, bool complete, int err, uint64_t moved,
	       const void *data, size_t len);
void ledger_fini(struct ledger *l);

#endif
