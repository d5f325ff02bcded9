// SPDX-License-Identifier: Apache-2.0
/*
 * Writing a listing into the catalogue (catalogue.h, catalogue_in.h). Entries that are as they
 * were cost no write. Which were there is a bit for each row in memory, so that a full pass over
 * an unchanged repository writes nothing at all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue_in.h"

/* A transaction ends after so many even where nobody waits: what it changed is kept in memory. */
#define ROWS_MAX 2048

int store_listed_range(struct catalogue_update *u, struct reason *why)
{
	struct store *store = u->store;
	sqlite3_stmt *s = store->c[C_RANGE];
	int rc, err = 0;

	store_write_lock(store);
	sqlite3_bind_int64(s, 1, (int64_t)u->repo);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		u->counts.before = (uint64_t)sqlite3_column_int64(s, 0);
		u->first = (uint64_t)sqlite3_column_int64(s, 1);
		u->last = (uint64_t)sqlite3_column_int64(s, 2);
	} else {
		err = store_db_fail(store, store->writer, rc, why, "beginning a listing");
	}
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	store_write_unlock(store);
	u->sorted = !u->counts.before;
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
static int stale_add(struct catalogue_update *u, uint64_t id, unsigned version, struct reason *why)
{
	if (u->stale_len == u->stale_room) {
		size_t room = u->stale_room ? 2 * u->stale_room : 64;
		struct stale *stale = realloc(u->stale, room * sizeof(*stale));

		if (!stale)
			return reason_set(why, ENOMEM, "no memory for a listing");
		u->stale = stale;
		u->stale_room = room;
	}
	u->stale[u->stale_len++] = (struct stale){ id, version };
	return 0;
}

/* --- a batch ------------------------------------------------------------------------------ */

static int write_fail(struct catalogue_update *u, int rc, struct reason *why)
{
	return store_db_fail(u->store, u->store->writer, rc, why, "noting what a repository lists");
}

/* First column of the only row, 0 = there is none, and the version in the second (version may be NULL);
 * or -errno. */
static int row_number(struct catalogue_update *u, sqlite3_stmt *s, const char *name, uint64_t *id,
		      unsigned *version, struct reason *why)
{
	int rc;

	sqlite3_bind_int64(s, 1, (int64_t)u->repo);
	sqlite3_bind_text(s, 2, name, -1, SQLITE_STATIC);
	rc = sqlite3_step(s);
	*id = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : 0;
	if (version)
		*version = rc == SQLITE_ROW ? (unsigned)sqlite3_column_int(s, 1) : 0;
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
	if (rc)
		return write_fail(u, rc, why);
	shown ? u->counts.shown++ : u->counts.shown--;
	return 0;
}

/* Among the images of this name one has the name. */
static int name_give(struct catalogue_update *u, const char *name, struct reason *why)
{
	uint64_t best = 0, shown = 0;
	unsigned version = 0;
	int err = row_number(u, u->store->c[C_BEST], name, &best, NULL, why);

	if (!err)
		err = row_number(u, u->store->c[C_SHOWN], name, &shown, &version, why);
	if (err || best == shown)
		return err;
	if (shown) {
		u->counts.renamed++;
		err = show(u, shown, false, why);
		if (!err)
			err = stale_add(u, shown, version, why);
	}
	if (!err && best)
		err = show(u, best, true, why);
	return err;
}

static void text_bind(sqlite3_stmt *s, int at, const struct listed_view *q, enum listed_text which)
{
	sqlite3_bind_text(s, at, q->text[which], (int)q->head->len[which], SQLITE_STATIC);
}

static bool text_is(sqlite3_stmt *s, int column, const struct listed_view *q, enum listed_text which)
{
	const void *is = sqlite3_column_text(s, column);

	return is && (size_t)sqlite3_column_bytes(s, column) == q->head->len[which] &&
	       !memcmp(is, q->text[which], q->head->len[which]);
}

static bool bytes_are(sqlite3_stmt *s, int column, const char *bytes, size_t len)
{
	const void *are = sqlite3_column_blob(s, column);

	return (size_t)sqlite3_column_bytes(s, column) == len && (!len || (are && !memcmp(are, bytes, len)));
}

/* What is noted of the entry against what was listed. */
struct found {
	uint64_t id;	/* 0 = nothing is */
	unsigned version;
	bool same;	/* all of it is as listed */
	bool other;	/* its bytes are others now */
	bool shown;	/* it has its name */
	bool seen_facts; /* its first bytes were looked at */
	char name[CATALOGUE_NAME_MAX];
};

static void found_read(sqlite3_stmt *s, const struct listed_view *q, struct found *found)
{
	const struct listed *h = q->head;
	int64_t flags = sqlite3_column_int64(s, 5);
	bool sized = (flags & 3) == h->flags && sqlite3_column_int64(s, 6) == h->size;
	/* A size that was learnt by reading is better than what the list says. */
	bool learnt = (flags & 3) == 1 && h->flags != 1;
	/* So is a time, where the list has none, or one in minutes of a zone that nobody knows. */
	bool timed = repo_validator_is_weak(q->text[LISTED_VALIDATOR]) ||
		     sqlite3_column_int64(s, 7) == h->mtime_ns;

	found->version = store_entry_version(flags);
	found->id = (uint64_t)sqlite3_column_int64(s, 0);
	found->other = !text_is(s, 10, q, LISTED_VALIDATOR) || !text_is(s, 8, q, LISTED_ALGO) ||
		       !text_is(s, 9, q, LISTED_DIGEST) || (!sized && !learnt);
	found->shown = sqlite3_column_int(s, 11);
	found->seen_facts = sqlite3_column_int(s, 14);
	found->same = !found->other && text_is(s, 1, q, LISTED_NAME) && sqlite3_column_int(s, 2) == h->rank &&
		      sqlite3_column_int(s, 3) == h->data && text_is(s, 4, q, LISTED_STATUS) &&
		      timed && bytes_are(s, 12, q->properties, h->properties_len) &&
		      (h->facts ? text_is(s, 13, q, LISTED_FACTS) : sqlite3_column_type(s, 13) == SQLITE_NULL);
	if (!found->same)
		text_copy(found->name, sizeof(found->name), (const char *)sqlite3_column_text(s, 1));
}

static int entry_find(struct catalogue_update *u, const struct listed_view *q, struct found *found,
		      struct reason *why)
{
	sqlite3_stmt *s = u->store->c[C_FIND];
	int rc;

	*found = (struct found){ 0 };
	sqlite3_bind_int64(s, 1, (int64_t)u->repo);
	text_bind(s, 2, q, LISTED_ID);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		found_read(s, q, found);
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : write_fail(u, rc, why);
}

static int about_write(struct catalogue_update *u, const struct listed_view *q, const struct found *found,
		       uint64_t id, struct reason *why)
{
	sqlite3_stmt *s = u->store->c[C_ABOUT];
	int rc;

	if (!found->id && !q->head->properties_len && !q->head->facts)
		return 0;
	sqlite3_bind_int64(s, 1, (int64_t)id);
	if (q->head->properties_len)
		sqlite3_bind_blob(s, 2, q->properties, (int)q->head->properties_len, SQLITE_STATIC);
	if (q->head->facts)
		text_bind(s, 3, q, LISTED_FACTS);
	sqlite3_bind_int(s, 4, found->other);
	rc = store_step_done(s);
	return rc ? write_fail(u, rc, why) : 0;
}

/* What all statements have, from parameter `at` on; the parameter behind it. */
static int entry_bind(sqlite3_stmt *s, int at, const struct listed_view *q)
{
	text_bind(s, at++, q, LISTED_NAME);
	sqlite3_bind_int(s, at++, q->head->rank);
	sqlite3_bind_int(s, at++, q->head->data);
	text_bind(s, at++, q, LISTED_STATUS);
	sqlite3_bind_int(s, at++, q->head->flags);
	sqlite3_bind_int64(s, at++, q->head->size);
	sqlite3_bind_int64(s, at++, q->head->mtime_ns);
	text_bind(s, at++, q, LISTED_ALGO);
	text_bind(s, at++, q, LISTED_DIGEST);
	text_bind(s, at++, q, LISTED_VALIDATOR);
	return at;
}

static int entry_change(struct catalogue_update *u, const struct listed_view *q, const struct found *found,
			struct reason *why)
{
	sqlite3_stmt *s = u->store->c[C_CHANGE];
	int at, rc;

	sqlite3_bind_int64(s, 1, (int64_t)found->id);
	at = entry_bind(s, 2, q);
	sqlite3_bind_int(s, at++, q->head->facts || (found->seen_facts && !found->other));
	sqlite3_bind_int(s, at, found->other);
	rc = store_step_done(s);
	if (rc)
		return write_fail(u, rc, why);
	/* With its name it loses the other one (C_CHANGE). */
	if (found->shown && strcmp(found->name, q->text[LISTED_NAME]) != 0)
		u->counts.shown--;
	return about_write(u, q, found, found->id, why);
}

/*
 * An entry that is new; *known: its id is there already, and nothing was written. Of the images of
 * a name one has it, so where none has there is no other, and nobody has to be asked who it is.
 */
static int entry_add(struct catalogue_update *u, const struct listed_view *q, bool *known, struct reason *why)
{
	static const struct found nothing;
	sqlite3_stmt *s = u->store->c[C_ADD];
	uint64_t owner, id;
	int at, rc, err;

	err = row_number(u, u->store->c[C_SHOWN], q->text[LISTED_NAME], &owner, NULL, why);
	if (err)
		return err;
	sqlite3_bind_int64(s, 1, (int64_t)u->repo);
	text_bind(s, 2, q, LISTED_ID);
	at = entry_bind(s, 3, q);
	sqlite3_bind_int(s, at++, q->head->facts);
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
	u->counts.shown += !owner;
	err = about_write(u, q, &nothing, id, why);
	if (!err)
		seen_add(u, id, &err, why);
	return err || !owner ? err : name_give(u, q->text[LISTED_NAME], why);
}

/* Is it behind all that came before in an order, so that none of them has its id or its name? */
static bool sorts_behind(struct catalogue_update *u, const struct listed_view *q)
{
	const char *name = q->text[LISTED_NAME], *id = q->text[LISTED_ID];

	if (strcmp(name, u->last_name) <= 0 || strcmp(id, u->last_id) <= 0)
		return false;
	text_copy(u->last_name, sizeof(u->last_name), name);
	text_copy(u->last_id, sizeof(u->last_id), id);
	return true;
}

/*
 * STORE_RUN entries that are new with certainty, in one statement: its cursors stay where they are from
 * one row to the next. As web servers sort their indexes, this is nearly all of a first listing.
 */
static int run_add(struct catalogue_update *u, const struct listed_view *q, struct reason *why)
{
	sqlite3_stmt *s = u->store->c[C_ADD_RUN];
	uint64_t last;
	int at = 2, rc, err = 0;

	sqlite3_bind_int64(s, 1, (int64_t)u->repo);
	for (int i = 0; i < STORE_RUN; i++, at += STORE_RUN_COLUMNS) {
		text_bind(s, at, &q[i], LISTED_ID);
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
	u->counts.shown += STORE_RUN;
	return err;
}

static int entry_take(struct catalogue_update *u, const struct listed_view *q, struct reason *why)
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
	err = entry_change(u, q, &found, why);
	if (err)
		return err;
	u->counts.changed++;
	err = stale_add(u, found.id, found.version, why);
	if (!err && strcmp(found.name, q->text[LISTED_NAME]) != 0)
		err = name_give(u, found.name, why);
	return err ? err : name_give(u, q->text[LISTED_NAME], why);
}

static int batch_begin(struct catalogue_update *u, struct reason *why)
{
	int rc;

	store_write_lock_last(u->store);
	rc = store_step_done(u->store->c[C_BEGIN]);
	return rc ? write_fail(u, rc, why) : 0;
}

/* The end of a transaction, and what follows it. write_lock is held, and given back. */
static int batch_end(struct catalogue_update *u, bool wrote, int err, struct reason *why)
{
	err = store_tx_end(u->store, err, why, "noting what a repository lists");
	store_write_unlock(u->store);
	if (!err && wrote)
		store_dirty(u->store);
	for (size_t i = 0; !err && u->changed && i < u->stale_len; i++)
		u->changed(u->stale[i].id, u->stale[i].version, u->arg);
	u->stale_len = 0;
	return err;
}

static void view_of(const struct listed *head, struct listed_view *view)
{
	const char *at = (const char *)(head + 1);

	view->head = head;
	for (int i = 0; i < LISTED_TEXTS; i++) {
		view->text[i] = at;
		at += head->len[i] + 1;
	}
	view->properties = at;
}

/* Up to STORE_RUN entries; how many goes into *taken. */
static int run_take(struct catalogue_update *u, const struct listed_view *q, unsigned n, unsigned *taken,
		    struct reason *why)
{
	bool plain = true;
	unsigned run = 0;
	int err = 0;

	while (u->sorted && run < n) {
		plain = plain && !q[run].head->properties_len && !q[run].head->facts;
		u->sorted = sorts_behind(u, &q[run++]);
	}
	*taken = u->sorted ? n : run ? run : 1;
	if (u->sorted && plain && n == STORE_RUN)
		return run_add(u, q, why);
	for (unsigned i = 0; !err && i < *taken; i++)
		err = entry_take(u, &q[i], why);
	return err;
}

/* The views of the next entries, from *at on, which is moved behind them. */
static unsigned views_fill(struct listed_view views[STORE_RUN], const char *bytes, size_t *at, size_t len)
{
	unsigned n = 0;

	for (; n < STORE_RUN && *at < len; n++) {
		view_of((const void *)(bytes + *at), &views[n]);
		*at += views[n].head->bytes;
	}
	return n;
}

int store_listed_write(struct catalogue_update *u, const char *bytes, size_t len, struct reason *why)
{
	struct listed_view views[STORE_RUN];
	size_t at = 0;
	unsigned n = 0, first = 0;
	int err = 0;

	while (!err && (first < n || at < len)) {
		int before = sqlite3_total_changes(u->store->writer);
		unsigned rows = 0, taken = 0;

		err = batch_begin(u, why);
		while (!err && (first < n || at < len) && rows < ROWS_MAX) {
			if (first == n) {
				n = views_fill(views, bytes, &at, len);
				first = 0;
			}
			err = run_take(u, views + first, n - first, &taken, why);
			first += taken;
			rows += taken;
			if (store_write_wanted(u->store))
				break;
		}
		err = batch_end(u, sqlite3_total_changes(u->store->writer) != before, err, why);
	}
	return err;
}

/* --- the end ------------------------------------------------------------------------------------ */

/* One more row that may have to go. */
static int rest_drop(struct catalogue_update *u, uint64_t id, const char *name, struct reason *why)
{
	sqlite3_stmt *s = u->store->c[C_DROP];
	unsigned version;
	bool shown;
	int rc, err;

	if (seen_has(u, id))
		return 0;
	sqlite3_bind_int64(s, 1, (int64_t)id);
	rc = sqlite3_step(s);
	shown = rc == SQLITE_ROW && sqlite3_column_int(s, 0);
	version = rc == SQLITE_ROW ? (unsigned)sqlite3_column_int(s, 1) : 0;
	sqlite3_reset(s);
	if (rc != SQLITE_ROW)
		return write_fail(u, rc, why);
	u->counts.dropped++;
	u->counts.shown -= shown;
	err = stale_add(u, id, version, why);
	return err || !shown ? err : name_give(u, name, why);
}

/* The next rows above *after, of which those that were not put go; *more: there may be others. */
static int rest_batch(struct catalogue_update *u, uint64_t *after, bool *more, struct reason *why)
{
	struct {
		uint64_t id;
		char name[CATALOGUE_NAME_MAX];
	} *rows = calloc(CATALOGUE_BATCH, sizeof(*rows));
	sqlite3_stmt *s = u->store->c[C_REST];
	int n = 0, rc, err;
	uint64_t dropped = u->counts.dropped;

	if (!rows)
		return reason_set(why, ENOMEM, "no memory for a listing");
	err = batch_begin(u, why);
	sqlite3_bind_int64(s, 1, (int64_t)u->repo);
	sqlite3_bind_int64(s, 2, (int64_t)*after);
	sqlite3_bind_int64(s, 3, (int64_t)u->last);
	sqlite3_bind_int(s, 4, CATALOGUE_BATCH);
	while (!err && (rc = sqlite3_step(s)) != SQLITE_DONE) {
		if (rc != SQLITE_ROW) {
			err = write_fail(u, rc, why);
			break;
		}
		rows[n].id = (uint64_t)sqlite3_column_int64(s, 0);
		text_copy(rows[n].name, sizeof(rows[n].name), (const char *)sqlite3_column_text(s, 1));
		n++;
	}
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	for (int i = 0; !err && i < n; i++)
		err = rest_drop(u, rows[i].id, rows[i].name, why);
	err = batch_end(u, u->counts.dropped != dropped, err, why);
	*more = n == CATALOGUE_BATCH;
	if (n)
		*after = rows[n - 1].id;
	free(rows);
	return err;
}

int store_listed_drop_rest(struct catalogue_update *u, struct reason *why)
{
	uint64_t after = 0;
	/* When all that were there came again, there is no need to look for others. */
	bool more = u->counts.listed - u->counts.added < u->counts.before;
	int err = 0;

	while (!err && more)
		err = rest_batch(u, &after, &more, why);
	return err;
}
