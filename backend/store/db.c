// SPDX-License-Identifier: Apache-2.0
/* SQLite for the files of the store: what its errors mean to a user, statements, transactions. */
#include <errno.h>

#include "store_in.h"

static int db_errno(sqlite3 *db, int rc)
{
	int sys = db ? sqlite3_system_errno(db) : 0;

	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_FULL:
		return sys == EDQUOT ? EDQUOT : ENOSPC;
	case SQLITE_READONLY:
		return EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return EUCLEAN;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EBUSY;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return EACCES;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		/* EIO would hide a full disk that showed in the shared memory file. */
		return sys ? sys : EIO;
	}
	return EIO;
}

int store_db_fail(struct store *store, sqlite3 *db, int rc, struct reason *why, const char *what)
{
	int err = db_errno(db, rc);
	const char *said = db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);

	if (err == EUCLEAN)
		return reason_set(why, err, "the catalogue %s/" STORE_DB " is damaged (%s: %s): nothing was "
				  "deleted; move " STORE_DB "* aside and start again, the images in %s/blobs stay "
				  "until then", store->dir, what, said, store->dir);
	if (err == ENOSPC || err == EDQUOT)
		return reason_set(why, err, "%s: no room left for the catalogue %s/" STORE_DB, what,
				  store->dir);
	if (err == EROFS)
		return reason_set(why, err, "%s: the catalogue %s/" STORE_DB " is read-only", what,
				  store->dir);
	return reason_set(why, err, "%s: the catalogue %s/" STORE_DB ": %s", what, store->dir, said);
}

int store_step_done(sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt);

	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int store_tx_begin(struct store *store, struct reason *why)
{
	int rc = store_step_done(store->w[W_BEGIN]);

	return rc ? store_db_fail(store, store->writer, rc, why, "beginning to write") : 0;
}

int store_tx_end(struct store *store, int err, struct reason *why, const char *what)
{
	if (!err) {
		int rc = store_step_done(store->w[W_COMMIT]);

		if (rc)
			err = store_db_fail(store, store->writer, rc, why, what);
	}
	/* Some errors (a full disk) have rolled back already; for the others this does. */
	if (err && !sqlite3_get_autocommit(store->writer))
		store_step_done(store->w[W_ROLLBACK]);
	return err;
}

int store_db_exec(struct store *store, sqlite3 *db, const char *sql, struct reason *why, const char *what)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return rc ? store_db_fail(store, db, rc, why, what) : 0;
}

int store_prepare(struct store *store, sqlite3 *db, const char *const *sql, sqlite3_stmt **out, int n,
		  struct reason *why)
{
	for (int i = 0; i < n; i++) {
		int rc = sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &out[i], NULL);

		if (rc)
			return store_db_fail(store, db, rc == SQLITE_ERROR ? SQLITE_CORRUPT : rc, why,
					     "preparing");
	}
	return 0;
}
