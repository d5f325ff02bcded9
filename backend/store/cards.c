// SPDX-License-Identifier: Apache-2.0
/* Card numbers, and the row of what each card and slot has. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fabricfs/log.h>

#include "store_in.h"

static int card_get(struct store *store, const char *key, int64_t *id, struct reason *why)
{
	sqlite3_stmt *s = store->w[W_CARD_GET];
	int rc;

	*id = 0;
	sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*id = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return store_db_fail(store, store->writer, rc, why, "looking for a card's number");
	return 0;
}

static int card_add(struct store *store, const char *key, int64_t *id, struct reason *why)
{
	int err = store_tx_begin(store, why);

	if (err)
		return err;
	sqlite3_bind_text(store->w[W_CARD_ADD], 1, key, -1, SQLITE_STATIC);

	int rc = store_step_done(store->w[W_CARD_ADD]);

	if (rc)
		err = store_db_fail(store, store->writer, rc, why, "giving a card its number");
	*id = sqlite3_last_insert_rowid(store->writer);
	if (!err && *id > STORE_CARD_MAX)
		err = reason_set(why, EOVERFLOW, "no card number is left: %d have been given", STORE_CARD_MAX);
	return store_tx_end(store, err, why, "giving a card its number");
}

int store_card_number(struct store *store, const char *key, unsigned *number, bool *added,
		      struct reason *why)
{
	bool is_new = false;
	int64_t id;
	int err;

	if (!*key || strlen(key) > STORE_KEY_MAX)
		return reason_set(why, EINVAL, "a card's key has %zu bytes, it may have 1 to %d", strlen(key),
				  STORE_KEY_MAX);
	store_write_lock(store);
	err = card_get(store, key, &id, why);
	if (!err && !id) {
		err = card_add(store, key, &id, why);
		is_new = !err;
	}
	store_write_unlock(store);
	if (err)
		return err;
	if (id < 1 || id > STORE_CARD_MAX)
		return reason_set(why, EUCLEAN, "the catalogue %s/" STORE_DB " is damaged: it gives a card the number %"
				  PRId64 "; move " STORE_DB "* aside and start again", store->dir, id - 1);
	*number = (unsigned)(id - 1);
	if (added)
		*added = is_new;
	if (is_new)
		store_dirty(store);
	return 0;
}

int store_card_forget(struct store *store, unsigned number, struct reason *why)
{
	static const enum writer_stmt steps[] = { W_SLOT_FORGET, W_CARD_FORGET };
	int err;

	store_write_lock(store);
	err = store_tx_begin(store, why);
	if (!err) {
		for (size_t i = 0; !err && i < sizeof(steps) / sizeof(*steps); i++) {
			int rc;

			sqlite3_bind_int64(store->w[steps[i]], 1, number);
			rc = store_step_done(store->w[steps[i]]);
			if (rc)
				err = store_db_fail(store, store->writer, rc, why, "forgetting a card");
		}
		/* Its records stay in the history of all for as long as they are recent. */
		if (!err && store->next_seq > STORE_HISTORY_MAX) {
			int rc;

			sqlite3_bind_int64(store->w[W_TRIM_FORGOTTEN], 1,
					   (int64_t)(store->next_seq - 1 - STORE_HISTORY_MAX));
			rc = store_step_done(store->w[W_TRIM_FORGOTTEN]);
			if (rc)
				err = store_db_fail(store, store->writer, rc, why, "forgetting a card");
		}
		err = store_tx_end(store, err, why, "forgetting a card");
	}
	store_write_unlock(store);
	if (!err)
		store_dirty(store);
	return err;
}

void store_slot_fini(struct store_slot *slot)
{
	free(slot->loaded);
	free(slot->previous);
	slot->loaded = slot->previous = NULL;
}

/* NULL stays NULL; -ENOMEM. */
static int column_dup(sqlite3_stmt *s, int column, char **out)
{
	const char *text = (const char *)sqlite3_column_text(s, column);

	*out = text ? strdup(text) : NULL;
	return sqlite3_column_type(s, column) != SQLITE_NULL && !*out ? -ENOMEM : 0;
}

static int slot_read(sqlite3_stmt *s, struct store_slot *out)
{
	text_copy(out->loaded_sha256, sizeof(out->loaded_sha256), (const char *)sqlite3_column_text(s, 1));
	text_copy(out->previous_sha256, sizeof(out->previous_sha256), (const char *)sqlite3_column_text(s, 3));
	text_copy(out->error, sizeof(out->error), (const char *)sqlite3_column_text(s, 5));
	text_copy(out->state, sizeof(out->state), (const char *)sqlite3_column_text(s, 6));
	out->image_mtime_ns = sqlite3_column_int64(s, 7);
	out->state_mtime_ns = sqlite3_column_int64(s, 8);
	out->load = (uint64_t)sqlite3_column_int64(s, 9);
	out->run = (uint64_t)sqlite3_column_int64(s, 10);
	out->run_err = sqlite3_column_int(s, 11);
	out->restorable = sqlite3_column_int(s, 12);
	return column_dup(s, 2, &out->loaded) || column_dup(s, 4, &out->previous) ? -ENOMEM : 0;
}

/* Is the blob there, and is it what its name says? A wrong one is removed: it
 * is the rest of a write that the power loss cut, and would be taken for the
 * image the next time somebody uploads it. */
static bool blob_believed(struct store *store, const char *sha256)
{
	char hex[SHA256_HEX];
	int fd CLEANUP_FD = -1;
	int err;

	if (store_blob_open(store, sha256, &fd, NULL, NULL))
		return false;
	err = digest_fd(fd, hex);
	if (err) {
		log_warn("reading the kept image %s/blobs/%s: %s", store->dir, sha256, strerror(-err));
		return false;
	}
	if (!strcmp(hex, sha256))
		return true;
	log_warn("the kept image %s/blobs/%s did not reach the disk whole: removed", store->dir, sha256);
	unlinkat(store->blobs_fd, sha256, 0);
	return false;
}

int store_slot_load(struct store *store, unsigned dev, int slot, struct store_slot *out,
		    bool *doubted, struct reason *why)
{
	sqlite3_stmt *s = store->r[R_SLOT];
	bool unsynced = false;
	int rc, err = 0;

	memset(out, 0, sizeof(*out));
	*doubted = false;
	pthread_mutex_lock(&store->read_lock);
	sqlite3_bind_int64(s, 1, dev);
	sqlite3_bind_int(s, 2, slot);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		const char *boot = (const char *)sqlite3_column_text(s, 0);

		/* Written in this boot: the page cache has it, whoever was killed since. */
		unsynced = boot && strcmp(boot, store->boot);
		err = slot_read(s, out);
		if (err)
			reason_set(why, ENOMEM, "no memory for what dev%u has loaded", dev);
	} else if (rc == SQLITE_DONE) {
		err = reason_set(why, ENOENT, "nothing is known of dev%u yet", dev);
	} else {
		err = store_db_fail(store, store->reader, rc, why, "reading what a card has loaded");
	}
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	pthread_mutex_unlock(&store->read_lock);
	if (err) {
		store_slot_fini(out);
		memset(out, 0, sizeof(*out));
		return err;
	}
	if (unsynced && *out->loaded_sha256 && !blob_believed(store, out->loaded_sha256)) {
		*doubted = true;
		out->loaded_sha256[0] = '\0';
		free(STEAL_PTR(out->loaded));
		out->restorable = false;
	}
	if (unsynced && *out->previous_sha256 && !blob_believed(store, out->previous_sha256)) {
		out->previous_sha256[0] = '\0';
		free(STEAL_PTR(out->previous));
	}
	return 0;
}

static int slot_put(struct store *store, unsigned dev, int slot, const struct store_slot *row,
		    struct reason *why)
{
	sqlite3_stmt *s = store->w[W_SLOT_PUT];
	int rc;

	sqlite3_bind_int64(s, 1, dev);
	sqlite3_bind_int(s, 2, slot);
	sqlite3_bind_text(s, 3, store->boot, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 4, row->loaded_sha256, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 5, row->loaded, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 6, row->previous_sha256, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 7, row->previous, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 8, row->error, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 9, row->state, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 10, row->image_mtime_ns);
	sqlite3_bind_int64(s, 11, row->state_mtime_ns);
	sqlite3_bind_int64(s, 12, (int64_t)row->load);
	sqlite3_bind_int64(s, 13, (int64_t)row->run);
	sqlite3_bind_int(s, 14, row->run_err);
	sqlite3_bind_int(s, 15, row->restorable);
	rc = store_step_done(s);
	return rc ? store_db_fail(store, store->writer, rc, why, "noting what a card has loaded") : 0;
}

int store_reserve(struct store *store, struct reason *why)
{
	const off_t at = (off_t)atomic_load(&store->wal_pages) * STORE_FRAME;

	/* File systems that cannot do that are as good as they were. */
	while (fallocate(store->wal_fd, FALLOC_FL_KEEP_SIZE, at, STORE_RESERVE)) {
		int err = errno;

		if (err == EINTR || ((err == ENOSPC || err == EDQUOT) && store_room_make(store)))
			continue;
		if (err != ENOSPC && err != EDQUOT)
			break;
		return reason_set(why, err, "no room left for the catalogue %s/" STORE_DB ", where what comes of "
				  "this would be noted: %s", store->dir, strerror(err));
	}
	return 0;
}

int store_commit(struct store *store, unsigned dev, int slot, const struct store_slot *row,
		 const struct store_record *record, uint64_t *seq, struct reason *why)
{
	int err;

	if (!row && !record)
		return 0;
	store_write_lock(store);
	err = store_tx_begin(store, why);
	if (!err) {
		if (row)
			err = slot_put(store, dev, slot, row, why);
		if (!err && record)
			err = store_record_put(store, record, why);
		err = store_tx_end(store, err, why, "noting what happened to a card");
	}
	if (!err && record)
		store_record_told(store, record, seq);
	store_write_unlock(store);
	if (!err)
		store_dirty(store);
	return err;
}
