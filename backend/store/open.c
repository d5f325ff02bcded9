// SPDX-License-Identifier: Apache-2.0
/*
 * Opening and closing the store: folders, connections, and the statements of
 * cards, slots and records.
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
		    " UNION ALL SELECT 1 FROM content WHERE sha256 = ?1 AND sha256 <> '' AND whole LIMIT 1",
	[R_TOLD] = "SELECT 1 FROM told WHERE run = ?1 LIMIT 1",
};

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
	return store_db_exec(store, *db, "PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = NORMAL;"
			     "PRAGMA cell_size_check = ON", why, "setting up");
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
		err = store_schema_check(store, fresh, why);
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
		err = store_blobs_start(store, why);
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
