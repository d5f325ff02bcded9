// SPDX-License-Identifier: Apache-2.0
/* Contents that nothing refers to any more, and files that nothing knows of (include/fabricfs/cache.h). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fabricfs/cache.h>
#include <fabricfs/log.h>

#include "contents_in.h"

/* --- at the start ------------------------------------------------------------------------------ */

static int tidy_sql(struct store *store, const char *sql, struct reason *why)
{
	int rc, err;

	store_write_lock(store);
	rc = sqlite3_exec(store->writer, sql, NULL, NULL, NULL);
	err = rc ? store_db_fail(store, store->writer, rc, why, "tidying the cache") : 0;
	store_write_unlock(store);
	return err;
}

/* How much of an incomplete content is here, as its file has it: chunks are whole blocks. */
static void file_count(struct store *store, uint64_t id, const struct stat *st)
{
	struct reason why = { 0 };
	sqlite3_stmt *s = contents_begin(store, K_CACHED, id);

	sqlite3_bind_int64(s, 2, (int64_t)st->st_blocks * 512);
	if (contents_change(store, K_CACHED, &why))
		log_debug("cache: %s", why.text);
}

static int files_tidy(struct store *store, struct reason *why)
{
	int fd = openat(store->chunks_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return reason_set(why, errno, "cannot list %s/chunks: %s", store->dir, strerror(errno));
	}
	while ((e = readdir(d))) {
		struct cache_content content = { 0 };
		struct stat st;
		char *end;
		uint64_t id = strtoull(e->d_name, &end, 10);
		int err = *e->d_name == '.' ? -EINVAL : cache_content_get(store, id, &content, NULL);

		/* What cannot be looked up now may be somebody's. */
		if (err && err != -ENOENT)
			continue;
		if (err || content.gone || (*end && strcmp(end, ".map")))
			unlinkat(store->chunks_fd, e->d_name, 0);
		else if (content.whole && !*end)
			/* A worker died before it could: its last step is taken now. */
			cache_content_finish(store, &content);
		else if (!*end && !fstatat(store->chunks_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			file_count(store, id, &st);
	}
	closedir(d);
	return 0;
}

int cache_contents_tidy(struct store *store, struct reason *why)
{
	/* Entries of a repository that is not configured now are still there. */
	int err = tidy_sql(store, "DELETE FROM content WHERE gone <> 0 OR id NOT IN (SELECT content FROM entry)",
			   why);

	return err ? err : files_tidy(store, why);
}

/* --- later --------------------------------------------------------------------------------------- */

unsigned cache_contents_left(struct store *store, uint64_t *ids, unsigned max)
{
	sqlite3_stmt *s = contents_stmt_of(store, K_LEFT);
	unsigned n = 0;

	pthread_mutex_lock(&store->read_lock);
	sqlite3_bind_int64(s, 1, max);
	while (n < max && sqlite3_step(s) == SQLITE_ROW)
		ids[n++] = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	pthread_mutex_unlock(&store->read_lock);
	return n;
}

int cache_content_forget(struct store *store, uint64_t id, struct reason *why)
{
	int err;

	contents_begin(store, K_FORGET, id);
	err = contents_change(store, K_FORGET, why);
	if (!err)
		contents_files_drop(store, id);
	return err;
}
