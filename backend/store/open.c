// SPDX-License-Identifier: Apache-2.0
/*
 * Opening and closing the store: folders, schema, connections, statements, and
 * what SQLite's errors mean to a user.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fabricfs/log.h>

#include "store_in.h"

#define DB_BUSY_MS 10000              /* only a dying predecessor can hold it */
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
	" PRIMARY KEY (repo, name, remote_id)) WITHOUT ROWID;";

static const char *const writer_sql[W_COUNT] = {
	[W_BEGIN] = "BEGIN IMMEDIATE",
	[W_COMMIT] = "COMMIT",
	[W_ROLLBACK] = "ROLLBACK",
	[W_CARD_GET] = "SELECT id FROM cards WHERE key = ?1",
	[W_CARD_ADD] = "INSERT INTO cards (key) VALUES (?1)",
	[W_CARD_FORGET] = "DELETE FROM cards WHERE id = ?1 + 1",
	[W_SLOT_FORGET] = "DELETE FROM slots WHERE dev = ?1",
	[W_SLOT_PUT] = "INSERT INTO slots (dev, slot, version, boot, loaded_sha256, loaded, previous_sha256,"
		       " previous, error, state, image_mtime, state_mtime, load, run, run_err, restorable)"
		       " VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
		       " ON CONFLICT (dev, slot) DO UPDATE SET version = version + 1, boot = ?3,"
		       " loaded_sha256 = ?4, loaded = ?5, previous_sha256 = ?6, previous = ?7, error = ?8,"
		       " state = ?9, image_mtime = ?10, state_mtime = ?11, load = ?12, run = ?13,"
		       " run_err = ?14, restorable = ?15",
	[W_RECORD_ADD] = "INSERT INTO records (seq, dev, nth, bytes, slot, time, json)"
			 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[W_HEAD_PUT] = "INSERT INTO heads (dev, newest, nth) VALUES (?1, ?2, ?3)"
		       " ON CONFLICT (dev) DO UPDATE SET newest = ?2, nth = ?3",
	/* The last 1,000 of all lie within the last 1,000 of their cards, so a card
	 * that exists needs the one condition; records of none need the other. */
	[W_TRIM_CARD] = "DELETE FROM records WHERE dev = ?1 AND seq <= (SELECT seq FROM records"
			" WHERE dev = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
	[W_TRIM_NONE] = "DELETE FROM records WHERE dev = ?1 AND seq <= ?2",
	[W_TRIM_FORGOTTEN] = "DELETE FROM records WHERE seq <= ?1 AND dev >= 0"
			     " AND dev + 1 NOT IN (SELECT id FROM cards)",
	[W_HEAD_TRIMMED] = "UPDATE heads SET (trimmed, trimmed_nth) = (SELECT seq - 1, nth - 1 FROM records"
			   " WHERE dev = ?1 ORDER BY seq LIMIT 1) WHERE dev = ?1",
	[W_MARK] = "UPDATE slots SET boot = NULL WHERE dev = ?1 AND slot = ?2 AND version = ?3",
	[W_DOUBT] = "UPDATE slots SET boot = ?1, version = version + 1"
		    " WHERE ?2 IN (loaded_sha256, previous_sha256)",
	[W_TOLD] = "INSERT OR REPLACE INTO told (place, run) VALUES (?1, ?2)",
};

#define LAST_OF(where) \
	"SELECT seq, json FROM (SELECT seq, json FROM records WHERE " where \
	" ORDER BY seq DESC LIMIT ?3) ORDER BY seq"

static const char *const reader_sql[R_COUNT] = {
	[R_SLOT] = "SELECT boot, loaded_sha256, loaded, previous_sha256, previous, error, state, image_mtime,"
		   " state_mtime, load, run, run_err, restorable FROM slots WHERE dev = ?1 AND slot = ?2",
	[R_LAST_CARD] = LAST_OF("dev = ?1 AND seq > ?2"),
	[R_LAST_ALL] = LAST_OF("seq > ?2"),
	[R_NEXT_CARD] = "SELECT seq, json, nth FROM records WHERE dev = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
	[R_NEXT_ALL] = "SELECT seq, json, nth FROM records WHERE seq > ?2 ORDER BY seq LIMIT ?3",
	[R_SIZE_CARD] = "SELECT count(*), sum(bytes) FROM (SELECT bytes FROM records WHERE dev = ?1"
			" ORDER BY seq DESC LIMIT ?3)",
	[R_SIZE_ALL] = "SELECT count(*), sum(bytes) FROM (SELECT bytes FROM records ORDER BY seq DESC LIMIT ?3)",
	[R_PLACE] = "SELECT nth FROM records WHERE dev = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1",
	[R_HEAD] = "SELECT trimmed, trimmed_nth FROM heads WHERE dev = ?1",
	[R_NAMED] = "SELECT 1 FROM slots WHERE ?1 IN (loaded_sha256, previous_sha256)"
		    " UNION ALL SELECT 1 FROM content WHERE sha256 = ?1 AND whole LIMIT 1",
	[R_TOLD] = "SELECT 1 FROM told WHERE run = ?1 LIMIT 1",
};

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

static int db_exec(struct store *store, sqlite3 *db, const char *sql, struct reason *why, const char *what)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return rc ? store_db_fail(store, db, rc, why, what) : 0;
}

static int wal_grown(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct store *store = arg;

	(void)db;
	(void)name;
	atomic_store(&store->wal_pages, pages);
	return SQLITE_OK;
}

static int db_connect(struct store *store, sqlite3 **db, struct reason *why)
{
	char path[4096];
	int rc;

	if (snprintf(path, sizeof(path), "%s/" STORE_DB, store->dir) >= (int)sizeof(path))
		return reason_set(why, ENAMETOOLONG, "the name of the state folder is too long: %s", store->dir);
	/* NOMUTEX: each connection is under a lock of ours. */
	rc = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
			     NULL);
	if (rc)
		return store_db_fail(store, *db, rc, why, "opening");
	if (sqlite3_db_readonly(*db, "main") == 1)
		return reason_set(why, access(store->dir, W_OK) && errno == EROFS ? EROFS : EACCES,
				  "%s is not writable: make it so, or name another state folder with --state-dir",
				  path);
	sqlite3_busy_timeout(*db, DB_BUSY_MS);
	/* Everything the file says is data: no views or triggers of its own may run. */
	sqlite3_db_config(*db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(*db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return db_exec(store, *db, "PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = NORMAL;"
		       "PRAGMA cell_size_check = ON", why, "setting up");
}

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
	char end[64];
	int err = db_exec(store, store->writer, "BEGIN IMMEDIATE", why, "changing its format");

	if (!err && version < 2)
		err = db_exec(store, store->writer, store_catalogue_schema, why, "changing its format");
	if (!err && version < 2)
		err = db_exec(store, store->writer, store_contents_schema, why, "changing its format");
	snprintf(end, sizeof(end), "PRAGMA user_version = %d; COMMIT", STORE_SCHEMA);
	if (!err)
		err = db_exec(store, store->writer, end, why, "changing its format");
	if (err && !sqlite3_get_autocommit(store->writer))
		sqlite3_exec(store->writer, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

/* Make the tables of a new file; or find that it is ours, sound and not newer. */
static int schema_check(struct store *store, bool fresh, struct reason *why)
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
		err = db_exec(store, store->writer, "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE", why, "creating");
		if (!err)
			err = db_exec(store, store->writer, schema, why, "creating");
		if (!err)
			err = db_exec(store, store->writer, schema_added, why, "creating");
		if (!err)
			err = db_exec(store, store->writer, store_catalogue_schema, why, "creating");
		if (!err)
			err = db_exec(store, store->writer, store_catalogue_added, why, "creating");
		if (!err)
			err = db_exec(store, store->writer, store_contents_schema, why, "creating");
		if (!err)
			err = db_exec(store, store->writer, made, why, "creating");
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
	err = db_exec(store, store->writer, "PRAGMA journal_mode = WAL", why, "setting up");
	if (!err)
		err = db_exec(store, store->writer, schema_added, why, "setting up");
	if (!err && version < STORE_SCHEMA)
		err = schema_raise(store, version, why);
	if (!err)
		err = db_exec(store, store->writer, store_catalogue_added, why, "setting up");
	if (err || !fresh)
		return err;
	err = db_number(store, store->writer, "PRAGMA page_count", &pages, why);
	if (!err)
		err = db_number(store, store->writer, "PRAGMA page_size", &page, why);
	if (!err && pages * page <= QUICK_CHECK_MAX)
		err = db_quick_check(store, why);
	return err;
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

static int folder_open(struct store *store, const char *name, int *fd, struct reason *why)
{
	if (mkdirat(store->dir_fd, name, 0700) && errno != EEXIST)
		return reason_set(why, errno, "cannot make %s/%s: %s", store->dir, name, strerror(errno));
	*fd = openat(store->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (*fd < 0)
		return reason_set(why, errno, "cannot open %s/%s: %s", store->dir, name, strerror(errno));
	return 0;
}

static int folders_open(struct store *store, struct reason *why)
{
	int err;

	store->dir_fd = open(store->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dir_fd < 0)
		return reason_set(why, errno, "cannot open the state folder %s: %s", store->dir, strerror(errno));
	err = folder_open(store, "blobs", &store->blobs_fd, why);
	if (!err)
		err = folder_open(store, "spool", &store->spool_fd, why);
	if (!err)
		err = folder_open(store, "run", &store->run_fd, why);
	if (!err)
		err = folder_open(store, "chunks", &store->chunks_fd, why);
	if (err)
		return err;

	/* Made here so that it is private from its first byte on. Closing it cannot
	 * drop SQLite's locks: no connection of this process is open yet. */
	int fd = openat(store->dir_fd, STORE_DB, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return reason_set(why, errno, "%s/" STORE_DB " is not writable (%s): make it so, or name another "
				  "state folder with --state-dir", store->dir, strerror(errno));
	close(fd);
	return 0;
}

/* Which boot this is. Unreadable: a random one, so that nothing is believed unhashed. */
static void boot_read(char out[64])
{
	int fd CLEANUP_FD = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, 63);
	uint64_t r[2];

	if (n > 0) {
		out[n] = '\0';
		out[strcspn(out, "\n")] = '\0';
		return;
	}
	sqlite3_randomness(sizeof(r), r);
	snprintf(out, 64, "%016" PRIx64 "%016" PRIx64, r[0], r[1]);
}

static int store_begin(struct store *store, bool fresh, struct reason *why)
{
	int err = folders_open(store, why);

	if (!err)
		err = db_connect(store, &store->writer, why);
	if (!err)
		err = schema_check(store, fresh, why);
	if (!err)
		err = db_connect(store, &store->reader, why);
	if (!err)
		err = db_connect(store, &store->syncer, why);
	if (!err)
		err = db_connect(store, &store->lister, why);
	if (!err)
		err = store_prepare(store, store->writer, writer_sql, store->w, W_COUNT, why);
	if (!err)
		err = store_prepare(store, store->reader, reader_sql, store->r, R_COUNT, why);
	if (!err)
		err = store_catalogue_start(store, why);
	if (!err)
		err = store_contents_start(store, why);
	if (!err)
		err = store_pins_start(store, why);
	if (!err)
		err = store_queue_start(store, why);
	if (err)
		return err;
	sqlite3_wal_hook(store->writer, wal_grown, store);
	err = store_heads_load(store, why);
	if (err)
		return err;
	if (fresh) {
		struct reason trim = { 0 };

		err = store_spool_empty(store, why);
		if (err)
			return err;
		/* Also takes away blobs that no row ever named and that a power loss may have cut. */
		if (store_blobs_trim(store, &trim))
			log_warn("old images stay on the disk: %s", trim.text);
	}
	store->wal_fd = openat(store->dir_fd, STORE_DB "-wal", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (store->wal_fd < 0)
		return reason_set(why, errno, "cannot open %s/" STORE_DB "-wal: %s", store->dir, strerror(errno));
	return store_sync_start(store, why);
}

int store_open(const char *dir, bool fresh, struct store **out, struct reason *why)
{
	struct store *store = calloc(1, sizeof(*store));
	int err;

	if (!store)
		return reason_set(why, ENOMEM, "no memory for the store");
	store->dir_fd = store->blobs_fd = store->spool_fd = store->run_fd = store->wal_fd = -1;
	store->chunks_fd = -1;
	pthread_mutex_init(&store->write_lock, NULL);
	pthread_cond_init(&store->write_calm, NULL);
	pthread_mutex_init(&store->read_lock, NULL);
	pthread_mutex_init(&store->list_lock, NULL);
	pthread_mutex_init(&store->names_lock, NULL);
	pthread_mutex_init(&store->heads_lock, NULL);
	pthread_mutex_init(&store->sync_lock, NULL);
	boot_read(store->boot);
	store->dir = strdup(dir);
	err = store->dir ? store_begin(store, fresh, why) : reason_set(why, ENOMEM, "no memory for the store");
	if (err) {
		store_close(store);
		return err;
	}
	*out = store;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	store_queue_stop(store);
	store_sync_stop(store);
	store_gone_close(store);
	store_contents_stop(store);
	store_pins_stop(store);
	for (int i = 0; i < W_COUNT; i++)
		sqlite3_finalize(store->w[i]);
	for (int i = 0; i < R_COUNT; i++)
		sqlite3_finalize(store->r[i]);
	for (int i = 0; i < L_COUNT; i++)
		sqlite3_finalize(store->l[i]);
	for (int i = 0; i < C_COUNT; i++)
		sqlite3_finalize(store->c[i]);
	/* The last connection to close copies the WAL back and removes it. */
	sqlite3_close(store->lister);
	sqlite3_close(store->syncer);
	sqlite3_close(store->reader);
	sqlite3_close(store->writer);
	for (int *fd = (int[]){ store->wal_fd, store->run_fd, store->spool_fd, store->blobs_fd,
				store->chunks_fd, store->dir_fd, -2 }; *fd != -2; fd++)
		if (*fd >= 0)
			close(*fd);
	pthread_mutex_destroy(&store->write_lock);
	pthread_cond_destroy(&store->write_calm);
	pthread_mutex_destroy(&store->read_lock);
	pthread_mutex_destroy(&store->list_lock);
	pthread_mutex_destroy(&store->names_lock);
	pthread_mutex_destroy(&store->heads_lock);
	pthread_mutex_destroy(&store->sync_lock);
	free(store->heads);
	free(store->dir);
	free(store);
}

const char *store_dir(const struct store *store)
{
	return store->dir;
}

int store_run_dir(const struct store *store)
{
	return store->run_fd;
}
