// SPDX-License-Identifier: Apache-2.0
/*
 * Records: the history of each card and of all. Numbers grow by one and are
 * never given twice: the newest record is never trimmed, so its number plus one
 * is always free.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_in.h"

/* The head of a card, or NULL when it has no record; heads_lock is held. */
static struct store_head *head_get(struct store *store, int dev)
{
	if (dev < 0)
		return &store->all;
	return (size_t)dev < store->heads_len ? &store->heads[dev] : NULL;
}

/* Of a card that heads_room() has made room for. */
static struct store_head *head_made(struct store *store, int dev)
{
	struct store_head *head = head_get(store, dev);

	assert(head);
	return head;
}

static int heads_room(struct store *store, int dev, struct reason *why)
{
	struct store_head *heads;
	size_t len = store->heads_len;

	if (dev < 0 || (size_t)dev < len)
		return 0;
	if (dev >= STORE_CARD_MAX)
		return reason_set(why, EINVAL, "there is no card number %d", dev);
	len = (size_t)dev + 16;
	pthread_mutex_lock(&store->heads_lock);
	heads = realloc(store->heads, len * sizeof(*heads));
	if (heads) {
		memset(heads + store->heads_len, 0, (len - store->heads_len) * sizeof(*heads));
		store->heads = heads;
		store->heads_len = len;
	}
	pthread_mutex_unlock(&store->heads_lock);
	return heads ? 0 : reason_set(why, ENOMEM, "no memory for the history of dev%d", dev);
}

int store_heads_load(struct store *store, struct reason *why)
{
	sqlite3_stmt *s = NULL;
	int rc, err = 0;

	rc = sqlite3_prepare_v2(store->reader, "SELECT dev, newest, nth FROM heads WHERE dev >= 0 AND dev < ?1"
				" UNION ALL SELECT -1, max(seq), 0 FROM records", -1, &s, NULL);
	if (!rc)
		sqlite3_bind_int(s, 1, STORE_CARD_MAX);
	while (!rc && !err && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		int dev = sqlite3_column_int(s, 0);

		rc = SQLITE_OK;
		err = heads_room(store, dev, why);
		if (err)
			break;

		struct store_head *head = head_made(store, dev);

		head->newest = (uint64_t)sqlite3_column_int64(s, 1);
		head->nth = (uint64_t)sqlite3_column_int64(s, 2);
	}
	sqlite3_finalize(s);
	if (!err && rc != SQLITE_DONE)
		err = store_db_fail(store, store->reader, rc, why, "reading the history");
	store->next_seq = store->all.newest + 1;
	return err;
}

static int records_trim(struct store *store, int dev, struct reason *why)
{
	sqlite3_stmt *s = store->w[dev < 0 ? W_TRIM_NONE : W_TRIM_CARD];
	int rc;

	if (dev < 0 && store->next_seq <= STORE_HISTORY_MAX)
		return 0;
	sqlite3_bind_int(s, 1, dev);
	sqlite3_bind_int64(s, 2, dev < 0 ? (int64_t)(store->next_seq - STORE_HISTORY_MAX) : STORE_HISTORY_MAX);
	rc = store_step_done(s);
	if (!rc && dev >= 0 && sqlite3_changes(store->writer)) {
		sqlite3_bind_int(store->w[W_HEAD_TRIMMED], 1, dev);
		rc = store_step_done(store->w[W_HEAD_TRIMMED]);
	}
	return rc ? store_db_fail(store, store->writer, rc, why, "trimming the history") : 0;
}

int store_record_put(struct store *store, const struct store_record *record, struct reason *why)
{
	/* Records of no card have a head of their own, which nobody asks for by card. */
	struct store_head *head;
	int dev = record->dev < 0 ? -1 : record->dev;
	uint64_t nth;
	sqlite3_stmt *s;
	int rc, err;

	err = heads_room(store, dev, why);
	if (err)
		return err;
	head = head_made(store, dev);
	nth = dev < 0 ? store->next_seq : head->nth + 1;
	s = store->w[W_RECORD_ADD];
	sqlite3_bind_int64(s, 1, (int64_t)store->next_seq);
	sqlite3_bind_int(s, 2, dev);
	sqlite3_bind_int64(s, 3, (int64_t)nth);
	sqlite3_bind_int64(s, 4, (int64_t)strlen(record->json) + 1);
	sqlite3_bind_int(s, 5, record->slot);
	sqlite3_bind_int64(s, 6, record->time_ns);
	sqlite3_bind_text(s, 7, record->json, -1, SQLITE_STATIC);
	rc = store_step_done(s);
	if (!rc && dev >= 0) {
		s = store->w[W_HEAD_PUT];
		sqlite3_bind_int(s, 1, dev);
		sqlite3_bind_int64(s, 2, (int64_t)store->next_seq);
		sqlite3_bind_int64(s, 3, (int64_t)nth);
		rc = store_step_done(s);
	}
	if (!rc && record->run) {
		s = store->w[W_TOLD];
		sqlite3_bind_int64(s, 1, (int64_t)(store->next_seq % STORE_TOLD));
		sqlite3_bind_int64(s, 2, (int64_t)record->run);
		rc = store_step_done(s);
	}
	if (rc)
		return store_db_fail(store, store->writer, rc, why, "adding to the history");
	return nth % STORE_TRIM_EVERY ? 0 : records_trim(store, dev, why);
}

void store_record_told(struct store *store, const struct store_record *record, uint64_t *seq)
{
	uint64_t number = store->next_seq++;

	pthread_mutex_lock(&store->heads_lock);
	store->all.newest = number;
	if (record->dev >= 0) {
		struct store_head *head = head_made(store, record->dev);

		head->newest = number;
		head->nth++;
	}
	pthread_mutex_unlock(&store->heads_lock);
	if (seq)
		*seq = number;
}

bool store_told(struct store *store, uint64_t run)
{
	sqlite3_stmt *s = store->r[R_TOLD];
	bool told;

	pthread_mutex_lock(&store->read_lock);
	sqlite3_bind_int64(s, 1, (int64_t)run);
	/* When it cannot be read: told twice rather than never. */
	told = sqlite3_step(s) == SQLITE_ROW;
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	pthread_mutex_unlock(&store->read_lock);
	return told;
}

int store_record_add(struct store *store, const struct store_record *record, uint64_t *seq,
		     struct reason *why)
{
	return store_commit(store, 0, 0, NULL, record, seq, why);
}

uint64_t store_records_last(struct store *store, int dev)
{
	struct store_head *head;
	uint64_t newest;

	pthread_mutex_lock(&store->heads_lock);
	head = head_get(store, dev);
	newest = head ? head->newest : 0;
	pthread_mutex_unlock(&store->heads_lock);
	return newest;
}

/* What a query of seq, json[, nth] gives; read_lock is held. */
struct found {
	uint64_t first, last, last_nth, count;
};

static int records_query(struct store *store, sqlite3_stmt *s, int dev, uint64_t after, unsigned max,
			 struct buf *out, struct found *found, struct reason *why)
{
	int rc;

	*found = (struct found){ .last = after };
	if (dev >= 0)
		sqlite3_bind_int(s, 1, dev);
	sqlite3_bind_int64(s, 2, after > INT64_MAX ? INT64_MAX : (int64_t)after);
	sqlite3_bind_int64(s, 3, max);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		found->last = (uint64_t)sqlite3_column_int64(s, 0);
		if (!found->count++)
			found->first = found->last;
		if (sqlite3_column_count(s) > 2)
			found->last_nth = (uint64_t)sqlite3_column_int64(s, 2);
		if (out) {
			buf_add(out, sqlite3_column_text(s, 1), (size_t)sqlite3_column_bytes(s, 1));
			buf_add(out, "\n", 1);
		}
	}
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	if (rc != SQLITE_DONE)
		return store_db_fail(store, store->reader, rc, why, "reading the history");
	if (out && buf_ok(out))
		return reason_set(why, ENOMEM, "no memory for the history");
	return 0;
}

int store_records(struct store *store, int dev, uint64_t after, unsigned max, struct buf *out,
		  uint64_t *first, uint64_t *last, struct reason *why)
{
	struct found found;
	int err;

	pthread_mutex_lock(&store->read_lock);
	err = records_query(store, store->r[dev < 0 ? R_LAST_ALL : R_LAST_CARD], dev, after, max, out, &found,
			    why);
	pthread_mutex_unlock(&store->read_lock);
	if (err)
		return err;
	if (first)
		*first = found.first;
	if (last)
		*last = found.last;
	return 0;
}

/* One number of up to two columns; read_lock is held. False: no row. */
static bool place_query(sqlite3_stmt *s, int dev, uint64_t after, uint64_t *a, uint64_t *b)
{
	bool row;

	sqlite3_bind_int(s, 1, dev);
	if (sqlite3_bind_parameter_count(s) > 1)
		sqlite3_bind_int64(s, 2, after > INT64_MAX ? INT64_MAX : (int64_t)after);
	row = sqlite3_step(s) == SQLITE_ROW;
	if (row) {
		*a = (uint64_t)sqlite3_column_int64(s, 0);
		if (b)
			*b = (uint64_t)sqlite3_column_int64(s, 1);
	}
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return row;
}

/*
 * How many records the card had up to number `after`. Exact while such a record
 * is still there, or when `after` is where a follower stopped reading; else the
 * best that can be said: that all trimmed numbers in between were this card's.
 */
static uint64_t place_of(struct store *store, int dev, uint64_t after)
{
	const struct store_place *known = &store->places[after % STORE_PLACES];
	uint64_t nth = 0, trimmed = 0, trimmed_nth = 0;

	if (!after)
		return 0;
	if (known->seq == after)
		return known->nth;
	if (place_query(store->r[R_PLACE], dev, after, &nth, NULL))
		return nth;
	if (!place_query(store->r[R_HEAD], dev, 0, &trimmed, &trimmed_nth))
		return 0;
	if (after >= trimmed)
		return trimmed_nth;
	return trimmed_nth > trimmed - after ? trimmed_nth - (trimmed - after) : 0;
}

int store_records_next(struct store *store, int dev, uint64_t after, unsigned max, struct buf *out,
		       uint64_t *last, uint64_t *lost, struct reason *why)
{
	struct found found;
	uint64_t missed = 0;
	int err;

	pthread_mutex_lock(&store->read_lock);
	err = records_query(store, store->r[dev < 0 ? R_NEXT_ALL : R_NEXT_CARD], dev, after, max, out, &found,
			    why);
	if (!err && found.count) {
		uint64_t span = dev < 0 ? found.last - after
					: found.last_nth - place_of(store, dev, after);

		missed = span > found.count ? span - found.count : 0;
		if (dev >= 0)
			store->places[found.last % STORE_PLACES] =
				(struct store_place){ .seq = found.last, .nth = found.last_nth };
	}
	pthread_mutex_unlock(&store->read_lock);
	if (err)
		return err;
	if (last)
		*last = found.last;
	if (lost)
		*lost = missed;
	return 0;
}

int store_records_size(struct store *store, int dev, uint64_t *bytes)
{
	sqlite3_stmt *s = store->r[dev < 0 ? R_SIZE_ALL : R_SIZE_CARD];
	struct store_head *head;
	uint64_t newest = 0;
	int rc;

	*bytes = 0;
	pthread_mutex_lock(&store->heads_lock);
	head = head_get(store, dev);
	if (head && head->newest) {
		newest = head->newest;
		*bytes = head->bytes;
	}
	if (!newest || head->sized_at == newest) {
		pthread_mutex_unlock(&store->heads_lock);
		return 0;
	}
	pthread_mutex_unlock(&store->heads_lock);

	pthread_mutex_lock(&store->read_lock);
	if (dev >= 0)
		sqlite3_bind_int(s, 1, dev);
	sqlite3_bind_int(s, 3, STORE_HISTORY_MAX);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*bytes = (uint64_t)sqlite3_column_int64(s, 1);
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	pthread_mutex_unlock(&store->read_lock);
	if (rc != SQLITE_ROW)
		return store_db_fail(store, store->reader, rc, NULL, "measuring the history");

	pthread_mutex_lock(&store->heads_lock);
	head = head_made(store, dev);
	if (head->newest == newest) {
		head->sized_at = newest;
		head->bytes = *bytes;
	}
	pthread_mutex_unlock(&store->heads_lock);
	return 0;
}
