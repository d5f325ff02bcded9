// SPDX-License-Identifier: Apache-2.0
/*
 * Blobs and the spool. A spool file becomes a blob by rename, so no byte of an
 * image is copied after its upload. Both folders are reached through held
 * descriptors: a state folder that is moved while fabricfs runs goes on working.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_in.h"

bool store_sha256_valid(const char *sha256)
{
	return strlen(sha256) == SHA256_HEX - 1 && strspn(sha256, "0123456789abcdef") == SHA256_HEX - 1;
}

static void spool_name(uint64_t id, char out[24])
{
	snprintf(out, 24, "%" PRIu64, id);
}

void store_spool_path(const struct store *store, uint64_t id, char *out, size_t size)
{
	snprintf(out, size, "%s/spool/%" PRIu64, store->dir, id);
}

void store_blob_path(const struct store *store, const char *sha256, char *out, size_t size)
{
	snprintf(out, size, "%s/blobs/%s", store->dir, sha256);
}

int store_part_open(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	/* It was closed to writers, and whoever was to name it died before he did. A worker of root's has
	 * given up the right to write all the same (privileges.c). */
	if (fd < 0 && errno == EACCES && !fchmodat(dir_fd, name, 0600, 0))
		fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd;
}

int store_spool_open(struct store *store, uint64_t id, int *fd, struct reason *why)
{
	char name[24];

	spool_name(id, name);
	*fd = store_part_open(store->spool_fd, name);
	if (*fd < 0)
		return reason_set(why, errno, "cannot make the spool file %s/spool/%s: %s", store->dir, name,
				  strerror(errno));
	return 0;
}

void store_spool_drop(struct store *store, uint64_t id)
{
	char name[24];

	spool_name(id, name);
	unlinkat(store->spool_fd, name, 0);
}

/* --- what is removed --------------------------------------------------------------- */

/* A descriptor that keeps the bytes of a file when its name goes; -1: they go with it. */
static int bytes_hold(int dir_fd, const char *name)
{
	return openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

/* The name is gone: whoever waits for that does not wait for the bytes too. */
static void bytes_leave(struct store *store, int fd)
{
	bool kept;

	if (fd < 0)
		return;
	pthread_mutex_lock(&store->sync_lock);
	kept = store->sync_started && store->gone_len < STORE_GONE;
	if (kept)
		store->gone[store->gone_len++] = fd;
	pthread_mutex_unlock(&store->sync_lock);
	if (kept)
		store_dirty(store);
	else
		close(fd);
}

void store_gone_close(struct store *store)
{
	int gone[STORE_GONE];
	unsigned n;

	pthread_mutex_lock(&store->sync_lock);
	n = store->gone_len;
	memcpy(gone, store->gone, n * sizeof(*gone));
	store->gone_len = 0;
	pthread_mutex_unlock(&store->sync_lock);
	for (unsigned i = 0; i < n; i++)
		close(gone[i]);
}

bool store_room_make(struct store *store)
{
	unsigned n;

	pthread_mutex_lock(&store->sync_lock);
	n = store->gone_len;
	pthread_mutex_unlock(&store->sync_lock);
	store_gone_close(store);
	return n;
}

/* --- which may have lost their names ----------------------------------------------------- */

/*
 * Noted by the writer's connection wherever a row stops to name a blob, so that trimming looks at
 * those and not at 100,000 others. It is of this worker alone: the next one looks at all once.
 */
static const char loose_sql[] =
	"PRAGMA temp_store = MEMORY; CREATE TEMP TABLE loose (sha256 TEXT NOT NULL);"
	"CREATE TEMP TRIGGER slot_renamed AFTER UPDATE OF loaded_sha256, previous_sha256 ON main.slots BEGIN"
	" INSERT INTO loose SELECT old.loaded_sha256 WHERE old.loaded_sha256 NOT IN"
	" ('', new.loaded_sha256, new.previous_sha256);"
	" INSERT INTO loose SELECT old.previous_sha256 WHERE old.previous_sha256 NOT IN"
	" ('', new.loaded_sha256, new.previous_sha256); END;"
	"CREATE TEMP TRIGGER slot_forgotten AFTER DELETE ON main.slots BEGIN"
	" INSERT INTO loose VALUES (old.loaded_sha256), (old.previous_sha256); END;"
	"CREATE TEMP TRIGGER content_emptied AFTER UPDATE OF whole, sha256 ON main.content WHEN old.whole AND"
	" (NOT new.whole OR new.sha256 <> old.sha256) BEGIN INSERT INTO loose VALUES (old.sha256); END;"
	"CREATE TEMP TRIGGER content_deleted AFTER DELETE ON main.content WHEN old.whole BEGIN"
	" INSERT INTO loose VALUES (old.sha256); END;";

int store_blobs_start(struct store *store, struct reason *why)
{
	int rc = sqlite3_exec(store->writer, loose_sql, NULL, NULL, NULL);

	store->loose_all = true;
	return rc ? store_db_fail(store, store->writer, rc, why, "preparing") : 0;
}

/* A blob that no row names yet. */
static int loose_add(struct store *store, const char *sha256, struct reason *why)
{
	sqlite3_stmt *s = NULL;
	int rc;

	store_write_lock(store);
	rc = sqlite3_prepare_v2(store->writer, "INSERT INTO loose VALUES (?1)", -1, &s, NULL);
	if (!rc) {
		sqlite3_bind_text(s, 1, sha256, -1, SQLITE_STATIC);
		rc = store_step_done(s);
	}
	sqlite3_finalize(s);
	if (rc)
		rc = store_db_fail(store, store->writer, rc, why, "noting a new image");
	store_write_unlock(store);
	return rc;
}

/* write_lock is held. The names that are to be looked at, one behind the other; *all: every blob is. */
static int loose_take(struct store *store, struct buf *names, bool *all, struct reason *why)
{
	sqlite3_stmt *s = NULL;
	int rc = 0;

	*all = store->loose_all;
	if (!*all)
		rc = sqlite3_prepare_v2(store->writer, "SELECT DISTINCT sha256 FROM loose", -1, &s, NULL);
	while (s && !rc && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(s, 0);

		if (name && store_sha256_valid(name))
			buf_add(names, name, SHA256_HEX);
		rc = 0;
	}
	sqlite3_finalize(s);
	if (!rc || rc == SQLITE_DONE)
		rc = sqlite3_exec(store->writer, "DELETE FROM loose", NULL, NULL, NULL);
	if (rc || buf_ok(names)) {
		store->loose_all = true;
		return rc ? store_db_fail(store, store->writer, rc, why, "looking for images without a name") :
			    reason_set(why, ENOMEM, "no memory for the names of images");
	}
	store->loose_all = false;
	return 0;
}

/* --- a spool file becomes a blob ----------------------------------------------------- */

/* Rows with this image count as not durable until the next round of syncing. */
int store_blob_doubt(struct store *store, const char *sha256, struct reason *why)
{
	sqlite3_stmt *s = store->w[W_DOUBT];
	int err;

	store_write_lock(store);
	err = store_tx_begin(store, why);
	if (!err) {
		int rc;

		sqlite3_bind_text(s, 1, store->boot, -1, SQLITE_STATIC);
		sqlite3_bind_text(s, 2, sha256, -1, SQLITE_STATIC);
		rc = store_step_done(s);
		if (!rc)
			rc = store_contents_doubt(store, sha256);
		if (rc)
			err = store_db_fail(store, store->writer, rc, why, "noting that an image comes again");
		err = store_tx_end(store, err, why, "noting that an image comes again");
	}
	store_write_unlock(store);
	return err;
}

int store_spool_keep(struct store *store, uint64_t id, const char *sha256, struct reason *why)
{
	struct stat spool, blob;
	int replaced CLEANUP_FD = -1;
	char name[24];

	if (!store_sha256_valid(sha256))
		return reason_set(why, EINVAL, "\"%s\" is not a SHA-256", sha256);
	spool_name(id, name);

	bool here = !fstatat(store->blobs_fd, sha256, &blob, AT_SYMLINK_NOFOLLOW) && S_ISREG(blob.st_mode);

	if (fstatat(store->spool_fd, name, &spool, AT_SYMLINK_NOFOLLOW)) {
		/* A worker that died between the rename and its note comes here again. */
		if (errno == ENOENT && here)
			return 0;
		return reason_set(why, errno, "cannot find the spool file %s/spool/%s: %s", store->dir, name,
				  strerror(errno));
	}
	/* What is here under that name may be damaged, and only the new bytes were hashed: they
	 * take its place. They are not on the disk yet, which rows that name them may claim. */
	if (here) {
		int err = store_blob_doubt(store, sha256, why);

		if (err)
			return err;
		replaced = bytes_hold(store->blobs_fd, sha256);
	}
	int err = loose_add(store, sha256, why);

	if (err)
		return err;
	/* Readable by the helper processes of other users through the descriptor
	 * only; nobody writes to it any more. */
	fchmodat(store->spool_fd, name, 0400, 0);
	if (renameat(store->spool_fd, name, store->blobs_fd, sha256))
		return reason_set(why, errno, "cannot keep %s/spool/%s as an image: %s", store->dir, name,
				  strerror(errno));
	if (here)
		store_dirty(store);
	bytes_leave(store, STEAL_FD(replaced));
	return 0;
}

int store_blob_open(struct store *store, const char *sha256, int *fd, uint64_t *size,
		    struct reason *why)
{
	int blob CLEANUP_FD = -1;
	struct stat st;

	if (!store_sha256_valid(sha256))
		return reason_set(why, EINVAL, "\"%s\" is not a SHA-256", sha256);
	blob = openat(store->blobs_fd, sha256, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (blob < 0 || fstat(blob, &st))
		return reason_set(why, errno, "cannot open the kept image %s/blobs/%s: %s", store->dir,
				  sha256, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return reason_set(why, EUCLEAN, "the kept image %s/blobs/%s is not a file", store->dir,
				  sha256);
	if (size)
		*size = (uint64_t)st.st_size;
	*fd = STEAL_FD(blob);
	return 0;
}

/* A stream over a held folder, from its beginning. */
static DIR *folder_open(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

int store_spool_empty(struct store *store, struct reason *why)
{
	DIR *d = folder_open(store->spool_fd);
	struct dirent *e;

	if (!d)
		return reason_set(why, errno, "cannot list %s/spool: %s", store->dir, strerror(errno));
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(store->spool_fd, e->d_name, 0);
	closedir(d);
	return 0;
}

/* 1 named by a row, 0 not, or -errno. */
static int blob_named(struct store *store, const char *sha256, struct reason *why)
{
	sqlite3_stmt *s = store->r[R_NAMED];
	int rc, named = 0;

	pthread_mutex_lock(&store->read_lock);
	sqlite3_bind_text(s, 1, sha256, -1, SQLITE_STATIC);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		named = 1;
	else if (rc != SQLITE_DONE)
		named = store_db_fail(store, store->reader, rc, why, "looking for an image's card");
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	pthread_mutex_unlock(&store->read_lock);
	return named;
}

/* 1 it is gone, 0 a row names it, or -errno. *held: its bytes. No row gets to name it in between. */
static int blob_drop(struct store *store, const char *sha256, int *held, struct reason *why)
{
	int r;

	pthread_mutex_lock(&store->names_lock);
	r = blob_named(store, sha256, why);
	if (r >= 0)
		r = !r;
	if (r > 0) {
		*held = bytes_hold(store->blobs_fd, sha256);
		if (unlinkat(store->blobs_fd, sha256, 0) && errno != ENOENT)
			r = reason_set(why, errno, "cannot remove %s/blobs/%s: %s", store->dir, sha256,
				       strerror(errno));
	}
	pthread_mutex_unlock(&store->names_lock);
	return r;
}

/* Take it away if no row names it. 0 or -errno. */
static int blob_trim(struct store *store, const char *sha256, struct reason *why)
{
	int held = -1, r = blob_drop(store, sha256, &held, why);

	bytes_leave(store, held);
	return r < 0 ? r : 0;
}

static int blobs_trim_all(struct store *store, struct reason *why)
{
	DIR *d = folder_open(store->blobs_fd);
	struct dirent *e;
	int err = 0;

	if (!d)
		return reason_set(why, errno, "cannot list %s/blobs: %s", store->dir, strerror(errno));
	while (!err && (e = readdir(d)))
		if (store_sha256_valid(e->d_name))
			err = blob_trim(store, e->d_name, why);
	closedir(d);
	return err;
}

int store_blobs_trim(struct store *store, struct reason *why)
{
	struct buf names CLEANUP_BUF = BUF_INIT;
	bool all;
	int err;

	store_write_lock(store);
	err = loose_take(store, &names, &all, why);
	store_write_unlock(store);
	if (!err && all)
		err = blobs_trim_all(store, why);
	for (size_t at = 0; !err && at < names.len; at += SHA256_HEX)
		err = blob_trim(store, names.data + at, why);
	if (err) {
		/* What was not come to is looked for the next time. */
		store_write_lock(store);
		store->loose_all = true;
		store_write_unlock(store);
	}
	return err;
}
