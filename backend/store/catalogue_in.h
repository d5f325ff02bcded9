// SPDX-License-Identifier: Apache-2.0
/* What taking over a listing is made of: entries that wait (catalogue_queue.c), and writing them
 * (catalogue_update.c). Private to those two. */
#ifndef FABRICFS_CATALOGUE_IN_H
#define FABRICFS_CATALOGUE_IN_H

#include "store_in.h"

#include <fabricfs/catalogue.h>

enum listed_text {
	LISTED_ID, LISTED_NAME, LISTED_STATUS, LISTED_ALGO, LISTED_DIGEST, LISTED_VALIDATOR, LISTED_FACTS,
	LISTED_TEXTS
};

/* An entry as it waits; its texts are behind it, each with a NUL, then its properties. */
struct listed {
	size_t bytes; /* of all of it, up to the next */
	uint32_t len[LISTED_TEXTS];
	uint32_t properties_len; /* packed, 0 = none */
	bool facts;
	uint8_t rank, data, flags;
	int64_t size, mtime_ns;
};

/* The same with its texts in reach. */
struct listed_view {
	const struct listed *head;
	const char *text[LISTED_TEXTS];
	const char *properties;
};

struct piece; /* entries that wait together */

struct catalogue_update {
	struct store *store;
	uint64_t repo;
	void (*changed)(uint64_t id, unsigned version, void *arg);
	void *arg;

	/* Of whoever puts. */
	struct piece *filling;
	size_t piece_bytes; /* of the next */

	/* The queue's lock. */
	unsigned waiting;     /* pieces that are not written yet */
	struct reason failed; /* of writing one; the others are left out then */
	void (*flushed)(void *arg);
	void *flushed_arg;

	/* Of whoever writes: the queue's thread while a piece waits, otherwise who ends it. */
	struct catalogue_counts counts;
	/* Rows that were put: a bit each from the first row on. */
	uint64_t first, last; /* last: of those that were there before */
	uint8_t *seen;
	size_t seen_len; /* bytes */
	/* There was nothing, and all so far came in the order of both names and ids: the last of them. */
	bool sorted;
	char last_name[CATALOGUE_NAME_MAX], last_id[REPO_ID_MAX];
	/* Rows to be told of when they are committed. */
	struct stale {
		uint64_t id;
		unsigned version;
	} *stale;
	size_t stale_len, stale_room;
};

/* Write entries that lie one behind the other. */
int store_listed_write(struct catalogue_update *u, const char *bytes, size_t len, struct reason *why);
/* Drop what was not put. */
int store_listed_drop_rest(struct catalogue_update *u, struct reason *why);
/* What it finds before it begins. */
int store_listed_range(struct catalogue_update *u, struct reason *why);

#endif
