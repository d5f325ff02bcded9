// SPDX-License-Identifier: Apache-2.0
/*
 * Taking over a listing (catalogue.h). Entries are collected and written a batch
 * at a time; those that are as they were cost no write. Which were there is a bit
 * for each row in memory, so that a full pass over an unchanged repository writes
 * nothing at all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_in.h"

#include <fabricfs/catalogue.h>

/* Properties may be megabytes an image: then there are fewer in a batch. */
#define QUEUE_BYTES (1 << 20)

/* An entry that waits for its batch. All texts are in one piece of memory. */
struct queued {
	char *memory;
	const char *id, *name, *status, *algo, *digest, *validator, *facts;
	const char *properties; /* packed, NULL = none */
	size_t properties_len;
	int rank, data, flags;
	int64_t size, mtime_ns;
};

struct catalogue_update {
	struct store *store;
	uint64_t repo;
	void (*changed)(uint64_t id, void *arg);
	void *arg;
	struct catalogue_counts counts;

	struct queued queue[CATALOGUE_BATCH];
	unsigned queued;
	size_t bytes; /* of what is queued */

	/* Rows that were put: a bit each from the first row on. */
	uint64_t first;
	uint8_t *seen;
	size_t seen_len; /* bytes */

	/* There was nothing, and all so far came in the order of both names and ids: the last of them. */
	bool sorted;
	char last_name[CATALOGUE_NAME_MAX], last_id[REPO_ID_MAX];

	/* Of the batch being written. */
	uint64_t *stale;
	size_t stale_len, stale_room;
	bool writing;
};

int catalogue_update_new(struct store *store, uint64_t repo, void (*changed)(uint64_t id, void *arg),
			 void *arg, struct catalogue_update **out, struct reason *why)
{
	struct catalogue_update *u = calloc(1, sizeof(*u));
	sqlite3_stmt *s = store->c[C_RANGE];
	int rc, err = 0;

	if (!u)
		return reason_set(why, ENOMEM, "no memory for a listing");
	*u = (struct catalogue_update){ .store = store, .repo = repo, .changed = changed, .arg = arg };
	pthread_mutex_lock(&store->write_lock);
	sqlite3_bind_int64(s, 1, (int64_t)repo);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		u->counts.before = (uint64_t)sqlite3_column_int64(s, 0);
		u->first = (uint64_t)sqlite3_column_int64(s, 1);
	} else {
		err = store_db_fail(store, store->writer, rc, why, "beginning a listing");
	}
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	pthread_mutex_unlock(&store->write_lock);
	u->sorted = !u->counts.before;
	if (err)
		free(u);
	else
		*out = u;
	return err;
}

/* --- which were there ------------------------------------------------------------------ */

/* A row; false: it was put before. -errno through *err. */
static bool seen_add(struct catalogue_update *u, uint64_t id, int *err, struct reason *why)
{
	uint64_t bit;

	if (!u->first)
		u->first = id;
	if (id < u->first) {
		*err = reason_set(why, EUCLEAN, "the catalogue's rows are not in order");
		return false;
	}
	bit = id - u->first;
	if (bit / 8 >= u->seen_len) {
		size_t len = bit / 8 + 1 + (bit / 8 + 1) / 2 + 64;
		uint8_t *seen = realloc(u->seen, len);

		if (!seen) {
			*err = reason_set(why, ENOMEM, "no memory for a listing of this size");
			return false;
		}
		memset(seen + u->seen_len, 0, len - u->seen_len);
		u->seen = seen;
		u->seen_len = len;
	}
	if (u->seen[bit / 8] & 1u << bit % 8)
		return false;
	u->seen[bit / 8] |= (uint8_t)(1u << bit % 8);
	return true;
}

static bool seen_has(const struct catalogue_update *u, uint64_t id)
{
	uint64_t bit = id - u->first;

	return id >= u->first && bit / 8 < u->seen_len && u->seen[bit / 8] & 1u << bit % 8;
}

/* Tell of this row once the batch is written. */
static int stale_add(struct catalogue_update *u, uint64_t id, struct reason *why)
{
	if (u->stale_len == u->stale_room) {
		size_t room = u->stale_room ? 2 * u->stale_room : 64;
		uint64_t *stale = realloc(u->stale, room * sizeof(*stale));

		if (!stale)
			return reason_set(why, ENOMEM, "no memory for a listing");
		u->stale = stale;
		u->stale_room = room;
	}
	u->stale[u->stale_len++] = id;
	return 0;
}

/* --- a batch ------------------------------------------------------------------------------ */

static int write_fail(struct catalogue_update *u, int rc, struct reason *why)
{
	return store_db_fail(u->store, u->store->writer, rc, why, "noting what a repository lists");
}

static int write_begin(struct catalogue_update *u, struct reason *why)
{
	int err = u->writing ? 0 : store_tx_begin(u->store, why);

	u->writing = u->writing || !err;
	return err;
}

/* First column of the only row, 0 = there is none; or -errno. */
static int row_number(struct catalogue_update *u, sqlite3_stmt *s, const char *name, uint64_t *id,
		      struct reason *why)
{
	int rc;

	sqlite3_bind_int64(s, 1, (int64_t)u->repo);
	sqlite3_bind_text(s, 2, name, -1, SQLITE_STATIC);
	rc = sqlite3_step(s);
	*id = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : 0;
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : write_fail(u, rc, why);
}

static int show(struct catalogue_update *u, uint64_t id, bool shown, struct reason *why)
{
	sqlite3_stmt *s = u->store->c[C_SHOW];
	int rc;

	sqlite3_bind_int64(s, 1, (int64_t)id);
	sqlite3_bind_int(s, 2, shown);
	rc = store_step_done(s);
	return rc ? write_fail(u, rc, why) : 0;
}

/* Among the images of this name one has the name. */
static int name_give(struct catalogue_update *u, const char *name, struct reason *why)
{
	uint64_t best = 0, shown = 0;
	int err = row_number(u, u->store->c[C_BEST], name, &best, why);

	if (!err)
		err = row_number(u, u->store->c[C_SHOWN], name, &shown, why);
	if (err || best == shown)
		return err;
	if (shown) {
		u->counts.renamed++;
		err = show(u, shown, false, why);
		if (!err)
			err = stale_add(u, shown, why);
	}
	if (!err && best)
		err = show(u, best, true, why);
	return err;
}

static bool text_is(sqlite3_stmt *s, int column, const char *text)
{
	const char *is = (const char *)sqlite3_column_text(s, column);

	return is && !strcmp(is, text);
}

static bool bytes_are(sqlite3_stmt *s, int column, const char *bytes, size_t len)
{
	const void *are = sqlite3_column_blob(s, column);

	return (size_t)sqlite3_column_bytes(s, column) == len && (!len || (are && !memcmp(are, bytes, len)));
}

/* What is noted of the entry against what was listed. */
struct found {
	uint64_t id;	/* 0 = nothing is */
	bool same;	/* all of it is as listed */
	bool other;	/* its bytes are others now */
	bool seen_facts; /* its first bytes were looked at */
	char name[CATALOGUE_NAME_MAX];
};

static int entry_find(struct catalogue_update *u, const struct queued *q, struct found *found,
		      struct reason *why)
{
	sqlite3_stmt *s = u->store->c[C_FIND];
	int rc;

	*found = (struct found){ 0 };
	sqlite3_bind_int64(s, 1, (int64_t)u->repo);
	sqlite3_bind_text(s, 2, q->id, -1, SQLITE_STATIC);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		bool sized = sqlite3_column_int(s, 5) == q->flags && sqlite3_column_int64(s, 6) == q->size;
		/* A size that was learnt by reading is better than what the list says. */
		bool learnt = sqlite3_column_int(s, 5) == 1 && q->flags != 1;

		found->id = (uint64_t)sqlite3_column_int64(s, 0);
		text_copy(found->name, sizeof(found->name), (const char *)sqlite3_column_text(s, 1));
		found->other = !text_is(s, 10, q->validator) || !text_is(s, 8, q->algo) ||
			       !text_is(s, 9, q->digest) || (!sized && !learnt);
		found->same = !found->other && text_is(s, 1, q->name) && sqlite3_column_int(s, 2) == q->rank &&
			      sqlite3_column_int(s, 3) == q->data && text_is(s, 4, q->status) &&
			      sqlite3_column_int64(s, 7) == q->mtime_ns;
	}
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? 0 : write_fail(u, rc, why);

	s = u->store->c[C_PROPERTIES];
	sqlite3_bind_int64(s, 1, (int64_t)found->id);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		found->same = found->same && bytes_are(s, 0, q->properties, q->properties_len) &&
			      (q->facts ? text_is(s, 1, q->facts) : sqlite3_column_type(s, 1) == SQLITE_NULL);
		found->seen_facts = sqlite3_column_int(s, 2);
	} else if (rc == SQLITE_DONE) {
		found->same = found->same && !q->properties_len && !q->facts;
	}
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : write_fail(u, rc, why);
}

static int about_write(struct catalogue_update *u, const struct queued *q, const struct found *found,
		       uint64_t id, struct reason *why)
{
	sqlite3_stmt *s = u->store->c[C_ABOUT];
	int rc;

	if (!found->id && !q->properties_len && !q->facts)
		return 0;
	sqlite3_bind_int64(s, 1, (int64_t)id);
	if (q->properties_len)
		sqlite3_bind_blob(s, 2, q->properties, (int)q->properties_len, SQLITE_STATIC);
	if (q->facts)
		sqlite3_bind_text(s, 3, q->facts, -1, SQLITE_STATIC);
	sqlite3_bind_int(s, 4, found->other);
	rc = store_step_done(s);
	return rc ? write_fail(u, rc, why) : 0;
}

/* What all statements have, from parameter `at` on; the parameter behind it. */
static int entry_bind(sqlite3_stmt *s, int at, const struct queued *q)
{
	sqlite3_bind_text(s, at++, q->name, -1, SQLITE_STATIC);
	sqlite3_bind_int(s, at++, q->rank);
	sqlite3_bind_int(s, at++, q->data);
	sqlite3_bind_text(s, at++, q->status, -1, SQLITE_STATIC);
	sqlite3_bind_int(s, at++, q->flags);
	sqlite3_bind_int64(s, at++, q->size);
	sqlite3_bind_int64(s, at++, q->mtime_ns);
	sqlite3_bind_text(s, at++, q->algo, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, at++, q->digest, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, at++, q->validator, -1, SQLITE_STATIC);
	return at;
}

static int entry_change(struct catalogue_update *u, const struct queued *q, const struct found *found,
			struct reason *why)
{
	sqlite3_stmt *s = u->store->c[C_CHANGE];
	int at, rc;

	sqlite3_bind_int64(s, 1, (int64_t)found->id);
	at = entry_bind(s, 2, q);
	sqlite3_bind_int(s, at++, q->facts || (found->seen_facts && !found->other));
	sqlite3_bind_int(s, at, found->other);
	rc = store_step_done(s);
	return rc ? write_fail(u, rc, why) : about_write(u, q, found, found->id, why);
}

/*
 * An entry that is new; *known: its id is there already, and nothing was written. Of the images of
 * a name one has it, so where none has there is no other, and nobody has to be asked who it is.
 */
static int entry_add(struct catalogue_update *u, const struct queued *q, bool *known, struct reason *why)
{
	static const struct found nothing;
	sqlite3_stmt *s = u->store->c[C_ADD];
	uint64_t owner, id;
	int at, rc, err;

	err = write_begin(u, why);
	if (!err)
		err = row_number(u, u->store->c[C_SHOWN], q->name, &owner, why);
	if (err)
		return err;
	sqlite3_bind_int64(s, 1, (int64_t)u->repo);
	sqlite3_bind_text(s, 2, q->id, -1, SQLITE_STATIC);
	at = entry_bind(s, 3, q);
	sqlite3_bind_int(s, at++, q->facts != NULL);
	sqlite3_bind_int(s, at, !owner);
	rc = store_step_done(s);
	if (rc)
		return write_fail(u, rc, why);
	*known = !sqlite3_changes(u->store->writer);
	if (*known)
		return 0;
	id = (uint64_t)sqlite3_last_insert_rowid(u->store->writer);
	u->counts.listed++;
	u->counts.added++;
	err = about_write(u, q, &nothing, id, why);
	if (!err)
		seen_add(u, id, &err, why);
	return err || !owner ? err : name_give(u, q->name, why);
}

/* Is it behind all that came before in an order, so that none of them has its id or its name? */
static bool sorts_behind(struct catalogue_update *u, const struct queued *q)
{
	if (strcmp(q->name, u->last_name) <= 0 || strcmp(q->id, u->last_id) <= 0)
		return false;
	text_copy(u->last_name, sizeof(u->last_name), q->name);
	text_copy(u->last_id, sizeof(u->last_id), q->id);
	return true;
}

/*
 * STORE_RUN entries that are new with certainty, in one statement: its cursors stay where they are from
 * one row to the next. As web servers sort their indexes, this is nearly all of a first listing.
 */
static int run_add(struct catalogue_update *u, const struct queued *q, struct reason *why)
{
	sqlite3_stmt *s = u->store->c[C_ADD_RUN];
	uint64_t last;
	int at = 2, rc, err = write_begin(u, why);

	if (err)
		return err;
	sqlite3_bind_int64(s, 1, (int64_t)u->repo);
	for (int i = 0; i < STORE_RUN; i++, at += STORE_RUN_COLUMNS) {
		sqlite3_bind_text(s, at, q[i].id, -1, SQLITE_STATIC);
		entry_bind(s, at + 1, &q[i]);
	}
	rc = store_step_done(s);
	if (rc)
		return write_fail(u, rc, why);
	last = (uint64_t)sqlite3_last_insert_rowid(u->store->writer);
	for (uint64_t id = last - STORE_RUN + 1; !err && id <= last; id++)
		seen_add(u, id, &err, why);
	u->counts.listed += STORE_RUN;
	u->counts.added += STORE_RUN;
	return err;
}

static int entry_take(struct catalogue_update *u, const struct queued *q, struct reason *why)
{
	struct found found;
	bool known = false;
	int err;

	/* Nothing was there: nearly all are new, and the index finds the others. */
	if (!u->counts.before) {
		err = entry_add(u, q, &known, why);
		if (err || !known)
			return err;
	}
	err = entry_find(u, q, &found, why);
	if (err)
		return err;
	if (!found.id)
		return entry_add(u, q, &known, why);
	/* The pages of a list may overlap; the first word of an entry counts. */
	if (!seen_add(u, found.id, &err, why))
		return err;
	u->counts.listed++;
	if (found.same)
		return 0;
	err = write_begin(u, why);
	if (!err)
		err = entry_change(u, q, &found, why);
	if (err)
		return err;
	u->counts.changed++;
	err = stale_add(u, found.id, why);
	if (!err && strcmp(found.name, q->name))
		err = name_give(u, found.name, why);
	return err ? err : name_give(u, q->name, why);
}

/* The end of a transaction, and what follows it. write_lock is held, and given back. */
static int batch_end(struct catalogue_update *u, int err, struct reason *why)
{
	bool wrote = u->writing;

	if (wrote)
		err = store_tx_end(u->store, err, why, "noting what a repository lists");
	u->writing = false;
	pthread_mutex_unlock(&u->store->write_lock);
	if (!err && wrote)
		store_dirty(u->store);
	for (size_t i = 0; !err && u->changed && i < u->stale_len; i++)
		u->changed(u->stale[i], u->arg);
	u->stale_len = 0;
	return err;
}

static void queue_empty(struct catalogue_update *u)
{
	for (unsigned i = 0; i < u->queued; i++)
		free(u->queue[i].memory);
	u->queued = 0;
	u->bytes = 0;
}

/* Up to STORE_RUN entries of the queue from `at` on: how many goes into *taken. */
static int run_take(struct catalogue_update *u, unsigned at, unsigned *taken, struct reason *why)
{
	const struct queued *q = &u->queue[at];
	bool plain = true;
	unsigned n = 0;
	int err = 0;

	while (u->sorted && n < STORE_RUN && at + n < u->queued) {
		plain = plain && !q[n].properties_len && !q[n].facts;
		u->sorted = sorts_behind(u, &q[n++]);
	}
	*taken = n ? n : 1;
	if (u->sorted && plain && n == STORE_RUN)
		return run_add(u, q, why);
	for (unsigned i = 0; !err && i < *taken; i++)
		err = entry_take(u, &q[i], why);
	return err;
}

static int batch_write(struct catalogue_update *u, struct reason *why)
{
	unsigned taken;
	int err = 0;

	if (!u->queued)
		return 0;
	pthread_mutex_lock(&u->store->write_lock);
	for (unsigned i = 0; !err && i < u->queued; i += taken)
		err = run_take(u, i, &taken, why);
	err = batch_end(u, err, why);
	queue_empty(u);
	return err;
}

/* --- what comes in --------------------------------------------------------------------------- */

static size_t length(const char *text)
{
	return text ? strlen(text) + 1 : 1;
}

static const char *keep(char **at, const char *text)
{
	size_t n = length(text);
	char *kept = *at;

	memcpy(kept, text ? text : "", n);
	*at += n;
	return kept;
}

static size_t pairs_length(const char *const *pairs)
{
	size_t n = 0;

	for (unsigned i = 0; pairs && i / 2 < REPO_PROPERTIES_MAX && pairs[i] && pairs[i | 1]; i++)
		n += strlen(pairs[i]) + 1;
	return n;
}

int catalogue_update_put(struct catalogue_update *u, const struct catalogue_put *put, struct reason *why)
{
	const struct repo_entry *e = put->entry;
	struct queued *q = &u->queue[u->queued];
	size_t properties = pairs_length(e->properties);
	size_t bytes = length(e->id) + length(put->name) + length(e->status) + length(e->digest_algo) +
		       length(e->digest) + length(e->validator) + length(put->facts) + properties;
	char *at;

	at = malloc(bytes);
	if (!at)
		return reason_set(why, ENOMEM, "no memory for a listing");
	*q = (struct queued){ .memory = at, .rank = (int)e->rank, .data = (int)e->data,
			      .flags = e->has_size ? e->size_rounded ? 3 : 1 : 0,
			      .size = e->has_size ? (int64_t)e->size : 0, .mtime_ns = e->mtime_ns };
	q->id = keep(&at, e->id);
	q->name = keep(&at, put->name);
	q->status = keep(&at, e->status);
	q->algo = keep(&at, e->digest_algo);
	q->digest = keep(&at, e->digest_algo ? e->digest : NULL);
	q->validator = keep(&at, e->validator);
	if (put->facts)
		q->facts = keep(&at, put->facts);
	q->properties = at;
	q->properties_len = properties;
	for (unsigned i = 0; (size_t)(at - q->properties) < properties; i++)
		keep(&at, e->properties[i]);
	u->bytes += bytes;
	return ++u->queued < CATALOGUE_BATCH && u->bytes < QUEUE_BYTES ? 0 : batch_write(u, why);
}

void catalogue_update_counts(const struct catalogue_update *u, struct catalogue_counts *counts)
{
	*counts = u->counts;
}

/* --- the end ------------------------------------------------------------------------------------ */

/* One more row that may have to go. */
static int rest_drop(struct catalogue_update *u, uint64_t id, const char *name, struct reason *why)
{
	sqlite3_stmt *s = u->store->c[C_DROP];
	int rc, err;

	if (seen_has(u, id))
		return 0;
	err = write_begin(u, why);
	if (err)
		return err;
	sqlite3_bind_int64(s, 1, (int64_t)id);
	rc = store_step_done(s);
	if (rc)
		return write_fail(u, rc, why);
	u->counts.dropped++;
	err = stale_add(u, id, why);
	return err ? err : name_give(u, name, why);
}

/* The next rows above *after, of which those that were not put go; *more: there may be others. */
static int rest_batch(struct catalogue_update *u, uint64_t *after, bool *more, struct reason *why)
{
	struct {
		uint64_t id;
		char name[CATALOGUE_NAME_MAX];
	} *rows = calloc(CATALOGUE_BATCH, sizeof(*rows));
	sqlite3_stmt *s = u->store->c[C_REST];
	int n = 0, rc, err = 0;

	if (!rows)
		return reason_set(why, ENOMEM, "no memory for a listing");
	pthread_mutex_lock(&u->store->write_lock);
	sqlite3_bind_int64(s, 1, (int64_t)u->repo);
	sqlite3_bind_int64(s, 2, (int64_t)*after);
	sqlite3_bind_int(s, 3, CATALOGUE_BATCH);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		rows[n].id = (uint64_t)sqlite3_column_int64(s, 0);
		text_copy(rows[n].name, sizeof(rows[n].name), (const char *)sqlite3_column_text(s, 1));
		n++;
	}
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	if (rc != SQLITE_DONE)
		err = write_fail(u, rc, why);
	for (int i = 0; !err && i < n; i++)
		err = rest_drop(u, rows[i].id, rows[i].name, why);
	err = batch_end(u, err, why);
	*more = n == CATALOGUE_BATCH;
	if (n)
		*after = rows[n - 1].id;
	free(rows);
	return err;
}

int catalogue_update_end(struct catalogue_update *u, bool drop_rest, struct reason *why)
{
	int err = batch_write(u, why);
	uint64_t after = 0;
	bool more = drop_rest;

	while (!err && more)
		err = rest_batch(u, &after, &more, why);
	return err;
}

void catalogue_update_free(struct catalogue_update *u)
{
	if (!u)
		return;
	queue_empty(u);
	free(u->stale);
	free(u->seen);
	free(u);
}
