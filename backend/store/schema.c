// SPDX-License-Identifier: Apache-2.0
/* The catalogue's file: its tables, and whether it is ours, sound and not newer. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store_in.h"

#define QUICK_CHECK_MAX (32 << 20)    /* bytes; 0.1 s on the slowest disk we know */

static const char schema[] =
	/* id is the number plus one: AUTOINCREMENT begins at 1 and never goes back. */
	"CREATE TABLE cards (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE);"
	/* boot: the boot in which the row was written while it is not yet known to be
	 * on the disk, NULL once it is. version: which write that was. */
	"CREATE TABLE slots (dev INTEGER NOT NULL, slot INTEGER NOT NULL, version INTEGER NOT NULL,"
	" boot TEXT, loaded_sha256 TEXT NOT NULL, loaded TEXT, previous_sha256 TEXT NOT NULL,"
	" previous TEXT, error TEXT NOT NULL, state TEXT NOT NULL, image_mtime INTEGER NOT NULL,"
	" state_mtime INTEGER NOT NULL, load INTEGER NOT NULL, run INTEGER NOT NULL,"
	" run_err INTEGER NOT NULL, restorable INTEGER NOT NULL, PRIMARY KEY (dev, slot)) WITHOUT ROWID;"
	"CREATE INDEX slots_unsynced ON slots (dev, slot) WHERE boot IS NOT NULL;"
	/* nth: which record of its card; what tells a follower how many it missed. */
	"CREATE TABLE records (seq INTEGER PRIMARY KEY, dev INTEGER NOT NULL, nth INTEGER NOT NULL,"
	" bytes INTEGER NOT NULL, slot INTEGER NOT NULL, time INTEGER NOT NULL, json TEXT NOT NULL);"
	"CREATE INDEX records_dev ON records (dev, seq, bytes);"
	/* Of each card: its newest record, how many it had, up to where they were trimmed. */
	"CREATE TABLE heads (dev INTEGER PRIMARY KEY, newest INTEGER NOT NULL, nth INTEGER NOT NULL,"
	" trimmed INTEGER NOT NULL DEFAULT 0, trimmed_nth INTEGER NOT NULL DEFAULT 0);";

/* Added later, and nothing that an older fabricfs would miss or spoil: no new format. */
static const char schema_added[] =
	/* Which requests the last records were about: a ring. */
	"CREATE TABLE IF NOT EXISTS told (place INTEGER PRIMARY KEY, run INTEGER NOT NULL);"
	/* What is to be kept in the cache (pins.c). remote_id: '' = whichever image has that name. */
	"CREATE TABLE IF NOT EXISTS pin (repo INTEGER NOT NULL, name TEXT NOT NULL, remote_id TEXT NOT NULL,"
	" PRIMARY KEY (repo, name, remote_id)) WITHOUT ROWID;"
	/* Repositories that the configuration has no more (absent.c), and when that was seen. */
	"CREATE TABLE IF NOT EXISTS absent (repo INTEGER PRIMARY KEY, since_ns INTEGER NOT NULL);";

static int db_number(struct store *store, sqlite3 *db, const char *sql, int64_t *out, struct reason *why)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);

	if (!rc)
		rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return rc == SQLITE_ROW ? 0 : store_db_fail(store, db, rc, why, sql);
}

static int db_quick_check(struct store *store, struct reason *why)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(store->writer, "PRAGMA quick_check(1)", -1, &s, NULL);
	int err = 0;

	if (!rc)
		rc = sqlite3_step(s);
	if (rc != SQLITE_ROW) {
		err = store_db_fail(store, store->writer, rc, why, "checking");
	} else {
		const char *said = (const char *)sqlite3_column_text(s, 0);

		if (!said)
			said = "no answer";
		if (strcmp(said, "ok")) {
			/* A heading, "*** in database main ***", and then a line for each defect. */
			const char *line = strncmp(said, "***", 3) ? NULL : strchr(said, '\n');
			size_t len;

			said = line ? line + 1 : said;
			len = strcspn(said, "\n");
			err = reason_set(why, EUCLEAN, "the catalogue %s/" STORE_DB " is damaged (%.*s): nothing "
					 "was deleted; move " STORE_DB "* aside and start again", store->dir,
					 len < 200 ? (int)len : 200, said);
		}
	}
	sqlite3_finalize(s);
	return err;
}

/* What an older fabricfs wrote becomes what this one writes; all of it or nothing. */
static int schema_raise(struct store *store, int64_t version, struct reason *why)
{
	int64_t pinned = 0; /* there were some of format 2 without */
	char end[64];
	int err = store_db_exec(store, store->writer, "BEGIN IMMEDIATE", why, "changing its format");

	if (!err && version < 2)
		err = store_db_exec(store, store->writer, store_catalogue_schema, why, "changing its format");
	if (!err && version < 2)
		err = store_db_exec(store, store->writer, store_contents_schema, why, "changing its format");
	if (!err && version == 2)
		err = db_number(store, store->writer, "SELECT count(*) FROM pragma_table_info('content')"
				" WHERE name = 'pinned'", &pinned, why);
	if (!err && pinned)
		err = store_db_exec(store, store->writer, store_pins_raise, why, "changing its format");
	snprintf(end, sizeof(end), "PRAGMA user_version = %d; COMMIT", STORE_SCHEMA);
	if (!err)
		err = store_db_exec(store, store->writer, end, why, "changing its format");
	if (err && !sqlite3_get_autocommit(store->writer))
		sqlite3_exec(store->writer, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

int store_schema_check(struct store *store, bool fresh, struct reason *why)
{
	int64_t version = 0, app = 0, tables = 0, pages = 0, page = 0;
	char made[128];
	int err;

	err = db_number(store, store->writer, "PRAGMA user_version", &version, why);
	if (!err)
		err = db_number(store, store->writer, "PRAGMA application_id", &app, why);
	if (!err)
		err = db_number(store, store->writer, "SELECT count(*) FROM sqlite_master", &tables, why);
	if (err)
		return err;
	if (!version && !app && !tables) {
		/* WAL is kept in the file's header, so it is set once, outside of any transaction. */
		snprintf(made, sizeof(made), "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
			 STORE_APP_ID, STORE_SCHEMA);
		err = store_db_exec(store, store->writer, "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE", why, "creating");
		if (!err)
			err = store_db_exec(store, store->writer, schema, why, "creating");
		if (!err)
			err = store_db_exec(store, store->writer, schema_added, why, "creating");
		if (!err)
			err = store_db_exec(store, store->writer, store_catalogue_schema, why, "creating");
		if (!err)
			err = store_db_exec(store, store->writer, store_catalogue_added, why, "creating");
		if (!err)
			err = store_db_exec(store, store->writer, store_contents_schema, why, "creating");
		if (!err)
			err = store_db_exec(store, store->writer, made, why, "creating");
		return err;
	}
	if (app != STORE_APP_ID)
		return reason_set(why, EUCLEAN, "%s/" STORE_DB " is not a catalogue of fabricfs: nothing was "
				  "changed; move it aside and start again", store->dir);
	if (version > STORE_SCHEMA)
		return reason_set(why, EPROTO, "the catalogue %s/" STORE_DB " was written by a newer fabricfs "
				  "(its format is %" PRId64 ", this program, fabricfs %s, knows up to %d): start that "
				  "one, or name another state folder with --state-dir", store->dir, version,
				  FABRICFS_VERSION, STORE_SCHEMA);
	if (version < 1)
		return reason_set(why, EUCLEAN, "the catalogue %s/" STORE_DB " is damaged (format %" PRId64
				  " never existed): nothing was deleted; move " STORE_DB "* aside and start again",
				  store->dir, version);
	/* A tool may have left the file in another mode; in WAL mode this does nothing. */
	err = store_db_exec(store, store->writer, "PRAGMA journal_mode = WAL", why, "setting up");
	if (!err)
		err = store_db_exec(store, store->writer, schema_added, why, "setting up");
	if (!err && version < STORE_SCHEMA)
		err = schema_raise(store, version, why);
	if (!err)
		err = store_db_exec(store, store->writer, store_catalogue_added, why, "setting up");
	if (err || !fresh)
		return err;
	err = db_number(store, store->writer, "PRAGMA page_count", &pages, why);
	if (!err)
		err = db_number(store, store->writer, "PRAGMA page_size", &page, why);
	if (!err && pages * page <= QUICK_CHECK_MAX)
		err = db_quick_check(store, why);
	return err;
}
