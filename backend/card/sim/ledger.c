// SPDX-License-Identifier: Apache-2.0
/* The memory of operations that were done (ledger.h): a ring, searched from end to end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"

static void entry_clear(struct ledger *l, struct ledger_entry *e)
{
	l->bytes -= e->len;
	free(e->data);
	*e = (struct ledger_entry){ 0 };
}

const struct ledger_entry *ledger_find(const struct ledger *l, uint64_t id)
{
	for (unsigned i = 0; id && i < LEDGER_ENTRIES; i++)
		if (l->entries[i].id == id)
			return &l->entries[i];
	return NULL;
}

int ledger_set(struct ledger *l, uint64_t id, bool complete, int err, uint64_t moved,
	       const void *data, size_t len)
{
	struct ledger_entry *e = (struct ledger_entry *)(uintptr_t)ledger_find(l, id);
	uint8_t *copy = NULL;

	if (len) {
		copy = malloc(len);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, data, len);
	}
	if (!e) {
		e = &l->entries[l->next];
		l->next = (l->next + 1) % LEDGER_ENTRIES;
	}
	entry_clear(l, e);
	*e = (struct ledger_entry){
		.id = id, .complete = complete, .err = err, .moved = moved, .data = copy, .len = len,
	};
	l->bytes += len;
	/* The oldest first; the entry just made is never far enough ahead to be met. */
	for (unsigned i = 0; l->bytes > LEDGER_BYTES && i < LEDGER_ENTRIES; i++) {
		struct ledger_entry *old = &l->entries[(l->next + i) % LEDGER_ENTRIES];

		if (old != e)
			entry_clear(l, old);
	}
	return 0;
}

void ledger_fini(struct ledger *l)
{
	for (unsigned i = 0; i < LEDGER_ENTRIES; i++)
		entry_clear(l, &l->entries[i]);
}
