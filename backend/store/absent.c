// SPDX-License-Identifier: Apache-2.0
/*
 * Repositories that the configuration has no more (catalogue.h). They may come back, and are found
 * as they were then; for some time. When room is wanted their images go before all others.
 */
#include <string.h>

#include <fabricfs/catalogue.h>
#include <fabricfs/log.h>

#include "store_in.h"

static int fail(struct store *store, int rc, struct reason *why)
{
	return store_db_fail(store, store->writer, rc, why, "looking for repositories that are gone");
}

static int number_run(struct store *store, const char *sql, int64_t a, int64_t b, struct reason *why)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(store->writer, sql, -1, &s, NULL);

	if (!rc) {
		sqlite3_bind_int64(s, 1, a);
		if (sqlite3_bind_parameter_count(s) > 1)
			sqlite3_bind_int64(s, 2, b);
		rc = sqlite3_step(s) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(store->writer);
	}
	sqlite3_finalize(s);
	return rc ? fail(store, rc, why) : 0;
}

static bool is_among(const char *name, const char *const *names, size_t len)
{
	for (size_t i = 0; name && i < len; i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

/* A repository with its name, and since when it is noted as absent (0 = it is not). write_lock. */
static int absent_note(struct store *store, const char *const *configured, size_t len, int64_t now_ns,
		       struct reason *why)
{
	sqlite3_stmt *s = NULL;
	int rc, err = store_tx_begin(store, why);

	if (err)
		return err;
	rc = sqlite3_prepare_v2(store->writer, "SELECT id, name, coalesce((SELECT since_ns FROM absent WHERE repo = id), 0)"
				" FROM repo ORDER BY id", -1, &s, NULL);
	if (rc)
		err = fail(store, rc, why);
	while (!err && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		int64_t id = sqlite3_column_int64(s, 0), since = sqlite3_column_int64(s, 2);
		bool here = is_among((const char *)sqlite3_column_text(s, 1), configured, len);

		/* Of a clock that was set back: as if it were just so. */
		if (here && since)
			err = number_run(store, "DELETE FROM absent WHERE repo = ?1", id, 0, why);
		else if (!here && (!since || since > now_ns))
			err = number_run(store, "INSERT OR REPLACE INTO absent VALUES (?1, ?2)", id, now_ns, why);
	}
	if (!err && rc != SQLITE_DONE)
		err = fail(store, rc, why);
	sqlite3_finalize(s);
	return store_tx_end(store, err, why, "noting which repositories are gone");
}

/* One that is to be forgotten; 0 = there is none. write_lock. */
static int forgotten_find(struct store *store, int64_t before_ns, uint64_t *id, char name[64], struct reason *why)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(store->writer, "SELECT id, name FROM repo JOIN absent ON absent.repo = id WHERE absent.since_ns <= ?1"
				    " AND id NOT IN (SELECT repo FROM pin) ORDER BY id LIMIT 1", -1, &s, NULL);

	*id = 0;
	if (!rc) {
		sqlite3_bind_int64(s, 1, before_ns);
		rc = sqlite3_step(s);
		if (rc == SQLITE_ROW) {
			*id = (uint64_t)sqlite3_column_int64(s, 0);
			text_copy(name, 64, (const char *)sqlite3_column_text(s, 1));
		}
		rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
	}
	sqlite3_finalize(s);
	return rc ? fail(store, rc, why) : 0;
}

static int repo_forget(struct store *store, uint64_t id, struct reason *why)
{
	int err = store_entries_drop(store, id, why);

	if (err)
		return err;
	store_write_lock(store);
	err = store_tx_begin(store, why);
	if (!err) {
		err = number_run(store, "DELETE FROM absent WHERE repo = ?1", (int64_t)id, 0, why);
		if (!err)
			err = number_run(store, "DELETE FROM repo WHERE id = ?1", (int64_t)id, 0, why);
		err = store_tx_end(store, err, why, "forgetting a repository");
	}
	store_write_unlock(store);
	return err;
}

int catalogue_absent(struct store *store, const char *const *configured, size_t len, int64_t now_ns,
		     int64_t keep_ns, unsigned *forgotten, struct reason *why)
{
	char name[64] = "";
	uint64_t id = 0;
	int err;

	*forgotten = 0;
	store_write_lock(store);
	err = absent_note(store, configured, len, now_ns, why);
	store_write_unlock(store);
	while (!err) {
		store_write_lock(store);
		err = forgotten_find(store, now_ns - keep_ns, &id, name, why);
		store_write_unlock(store);
		if (err || !id)
			break;
		err = repo_forget(store, id, why);
		if (!err) {
			++*forgotten;
			log_info("repository %s: not configured for long; what it listed is forgotten", name);
		}
	}
	store_dirty(store);
	return err;
}
