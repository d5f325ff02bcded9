// SPDX-License-Identifier: Apache-2.0
/*
 * Images whose bytes somebody wants to keep (include/fabricfs/cache.h). A pin is of a name as he who
 * set it saw it, not of bytes: those are another's when the image is replaced, and may be of
 * two images of which he named one.
 */
#include <errno.h>

#include "store_in.h"

#include <fabricfs/cache.h>

/* Format 2 had pins of bytes, in a column of their row. Those who set one meant the names that they had. */
const char store_pins_raise[] =
	"INSERT OR IGNORE INTO pin (repo, name, remote_id) SELECT repo, name, CASE WHEN shown THEN '' ELSE remote_id END"
	" FROM entry WHERE content IN (SELECT id FROM content WHERE pinned) OR (digest <> ''"
	" AND digest_algo || ':' || digest IN (SELECT key FROM content WHERE pinned));"
	"ALTER TABLE content DROP COLUMN pinned;";

static const char *const pin_sql[P_COUNT] = {
	[P_PUT] = "INSERT OR IGNORE INTO pin (repo, name, remote_id)"
		  " SELECT repo, name, CASE WHEN shown THEN '' ELSE remote_id END FROM entry WHERE id = ?1",
	[P_DROP] = "DELETE FROM pin WHERE (repo, name) = (SELECT repo, name FROM entry WHERE id = ?1)"
		   " AND remote_id IN (SELECT remote_id FROM entry WHERE id = ?1 UNION ALL"
		   " SELECT '' FROM entry WHERE id = ?1 AND shown)",
	[P_GET] = STORE_PINNED("1", "e.id = ?1") " LIMIT 1",
};

int store_pins_start(struct store *store, struct reason *why)
{
	int err = store_prepare(store, store->writer, pin_sql, store->p, P_GET, why);

	return err ? err : store_prepare(store, store->reader, pin_sql + P_GET, store->p + P_GET, 1, why);
}

void store_pins_stop(struct store *store)
{
	for (int i = 0; i < P_COUNT; i++)
		sqlite3_finalize(store->p[i]);
}

int cache_pin_set(struct store *store, uint64_t entry, bool pinned, struct reason *why)
{
	sqlite3_stmt *s = store->p[pinned ? P_PUT : P_DROP];
	int err;

	store_write_lock(store);
	err = store_tx_begin(store, why);
	if (!err) {
		int rc;

		sqlite3_bind_int64(s, 1, (int64_t)entry);
		rc = store_step_done(s);
		if (rc)
			err = store_db_fail(store, store->writer, rc, why, "noting what is to be kept");
		err = store_tx_end(store, err, why, "noting what is to be kept");
	}
	store_write_unlock(store);
	if (!err)
		store_dirty(store);
	return err;
}

bool cache_pinned(struct store *store, uint64_t entry)
{
	sqlite3_stmt *s = store->p[P_GET];
	bool pinned;

	pthread_mutex_lock(&store->read_lock);
	sqlite3_bind_int64(s, 1, (int64_t)entry);
	pinned = sqlite3_step(s) == SQLITE_ROW;
	sqlite3_reset(s);
	pthread_mutex_unlock(&store->read_lock);
	return pinned;
}
