// SPDX-License-Identifier: Apache-2.0
/*
 * Contents of repositories in the catalogue (include/fabricfs/cache.h): rows, and
 * the files that they are about.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <fabricfs/cache.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

#include "contents_in.h"

#define CONTENT_LEFT                                                                                  \
	"cached = 0 AND NOT whole AND (gone <> 0 OR NOT EXISTS (SELECT 1 FROM entry"                     \
	" WHERE entry.content = content.id AND entry.content <> 0))"
#define CONTENT_COLUMNS \
	"id, size, validator, sha256, whole, gone, cached, boot"

/* A card's, or pinned. What is in parentheses is looked up once, not for each content. */
#define CONTENT_KEPT \
	"(sha256 <> '' AND sha256 IN (SELECT loaded_sha256 FROM slots UNION ALL SELECT previous_sha256 FROM slots))" \
	" OR id IN (" STORE_PINNED("e.content", "e.content <> 0") ")" \
	" OR key IN (" STORE_PINNED("e.digest_algo || ':' || e.digest", "e.digest <> ''") ")"

/* The last that was used is used last, also of a clock that was set back. */
#define USED_NOW \
	"max(?2, coalesce((SELECT used + 1 FROM content WHERE cached > 0 OR whole ORDER BY used DESC LIMIT 1), 0))"

const char store_contents_schema[] =
	/* key: which bytes (cache.h). size: -1 until it is known. boot: the boot in which it became
	 * whole while that is not yet known to be on the disk. */
	"CREATE TABLE content (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,"
	" size INTEGER NOT NULL DEFAULT -1, validator TEXT NOT NULL DEFAULT '',"
	" sha256 TEXT NOT NULL DEFAULT '', whole INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0,"
	" cached INTEGER NOT NULL DEFAULT 0, boot TEXT, facts TEXT,"
	" used INTEGER NOT NULL DEFAULT 0);"
	"CREATE INDEX content_sha256 ON content (sha256) WHERE sha256 <> '';"
	"CREATE INDEX content_used ON content (used) WHERE cached > 0 OR whole;"
	"CREATE INDEX content_unsynced ON content (id) WHERE boot IS NOT NULL;";

/* sha256 <> '': else SQLite does not see that the index content_sha256 has what a parameter asks for. */
static const char *const contents_sql[K_COUNT] = {
	[K_MAKE] = "INSERT OR IGNORE INTO content (key, used) VALUES (?1, " USED_NOW ")",
	[K_TOLD] = "UPDATE content SET size = ?2, validator = ?3 WHERE id = ?1",
	[K_USED] = "UPDATE content SET used = " USED_NOW ", cached = ?3 WHERE id = ?1",
	[K_WHOLE] = "UPDATE content SET whole = 1, size = ?2, cached = ?2, sha256 = ?3, boot = ?4 WHERE id = ?1",
	[K_TRUST] = "UPDATE content SET boot = NULL WHERE id = ?1",
	[K_GONE] = "UPDATE content SET key = 'gone:' || id, gone = ?2, whole = 0, cached = 0, boot = NULL,"
		   " sha256 = '', facts = NULL WHERE id = ?1",
	[K_EMPTY] = "UPDATE content SET whole = 0, cached = 0, boot = NULL WHERE id = ?1",
	[K_FACTS_SET] = "UPDATE content SET facts = ?2 WHERE sha256 = ?1 AND sha256 <> ''",
	[K_CACHED] = "UPDATE content SET cached = ?2 WHERE id = ?1 AND NOT whole",
	[K_MARK] = "UPDATE content SET boot = NULL WHERE id = ?1 AND sha256 = ?2 AND whole",
	[K_DOUBT] = "UPDATE content SET boot = ?1 WHERE sha256 = ?2 AND sha256 <> '' AND whole",
	/* Another content with the bytes of this one, ?2 if that is known, else what its row says. */
	[K_TWIN] = "SELECT 1 FROM content WHERE sha256 = coalesce(?2, (SELECT sha256 FROM content WHERE id = ?1"
		   " AND whole)) AND sha256 <> '' AND whole AND id <> ?1",
	/* LEFT and FORGET: nothing of it is here, and no image is of it. */
	[K_FORGET] = "DELETE FROM content WHERE id = ?1 AND " CONTENT_LEFT,
	[K_LEFT] = "SELECT id FROM content WHERE " CONTENT_LEFT " LIMIT ?1",
	[K_GET] = "SELECT " CONTENT_COLUMNS " FROM content WHERE id = ?1",
	[K_FIND] = "SELECT " CONTENT_COLUMNS " FROM content WHERE key = ?1",
	[K_EACH] = "SELECT " CONTENT_COLUMNS ", " CONTENT_KEPT " FROM content WHERE cached > 0 OR whole ORDER BY used",
	[K_ABSENT] = "SELECT " CONTENT_COLUMNS ", " CONTENT_KEPT " FROM content WHERE (cached > 0 OR whole) AND id IN"
		     " (SELECT e.content FROM absent AS a CROSS JOIN entry AS e INDEXED BY entry_cached"
		     " ON e.repo = a.repo AND e.content <> 0) AND NOT EXISTS (SELECT 1 FROM entry"
		     " WHERE entry.content = content.id AND entry.content <> 0 AND"
		     " repo NOT IN (SELECT repo FROM absent)) ORDER BY used",
	/* Of contents with the same blob, one. */
	[K_BYTES] = "SELECT coalesce((SELECT sum(cached) FROM content WHERE cached > 0 AND NOT whole), 0) +"
		    " coalesce((SELECT sum(bytes) FROM (SELECT max(cached) AS bytes FROM content WHERE sha256 <> ''"
		    " AND whole GROUP BY sha256)), 0)",
	[K_BYTES_OF] = "SELECT sum(cached) FROM content WHERE id IN (SELECT content FROM entry INDEXED BY entry_cached"
		       " WHERE repo = ?2 AND content <> 0)",
	[K_IS_OF] = "SELECT 1 FROM entry WHERE content = ?1 AND content <> 0 AND repo = ?2 LIMIT 1",
	[K_KEY] = "SELECT key FROM content WHERE id = ?1",
	[K_FACTS] = "SELECT facts FROM content WHERE id = ?1",
};

int store_contents_start(struct store *store, struct reason *why)
{
	struct store_contents *c = calloc(1, sizeof(*c));

	if (!c)
		return reason_set(why, ENOMEM, "no memory for the store");
	store->contents = c;
	for (int i = 0; i < K_COUNT; i++) {
		sqlite3 *db = i < K_READER ? store->writer : store->reader;
		int rc = sqlite3_prepare_v3(db, contents_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &c->s[i], NULL);

		if (rc)
			return store_db_fail(store, db, rc == SQLITE_ERROR ? SQLITE_CORRUPT : rc, why, "preparing");
	}
	return 0;
}

void store_contents_stop(struct store *store)
{
	for (int i = 0; store->contents && i < K_COUNT; i++)
		sqlite3_finalize(store->contents->s[i]);
	free(store->contents);
	store->contents = NULL;
}

/* --- rows --------------------------------------------------------------------------------- */

static void row_read(const struct store *store, sqlite3_stmt *s, struct cache_content *out)
{
	const char *boot = (const char *)sqlite3_column_text(s, 7);
	int64_t size = sqlite3_column_int64(s, 1);

	*out = (struct cache_content){
		.id = (uint64_t)sqlite3_column_int64(s, 0), .has_size = size >= 0,
		.size = size >= 0 ? (uint64_t)size : 0, .whole = sqlite3_column_int(s, 4),
		.gone = sqlite3_column_int(s, 5), .cached = (uint64_t)sqlite3_column_int64(s, 6),
	};
	text_copy(out->validator, sizeof(out->validator), (const char *)sqlite3_column_text(s, 2));
	text_copy(out->sha256, sizeof(out->sha256), (const char *)sqlite3_column_text(s, 3));
	if (!store_sha256_valid(out->sha256))
		out->sha256[0] = '\0';
	if (!*out->sha256)
		out->whole = false;
	out->doubted = out->whole && boot && strcmp(boot, store->boot);
}

sqlite3_stmt *contents_stmt_of(struct store *store, enum contents_stmt which)
{
	return store->contents->s[which];
}

/* Bound to what it looks for; read_lock is held, and given back. */
static int row_fetch(struct store *store, sqlite3_stmt *s, struct cache_content *out, struct reason *why)
{
	int rc = sqlite3_step(s), err = 0;

	if (rc == SQLITE_ROW)
		row_read(store, s, out);
	else if (rc == SQLITE_DONE)
		err = reason_set(why, ENOENT, "there is no such content");
	else
		err = store_db_fail(store, store->reader, rc, why, "looking for cached bytes");
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	pthread_mutex_unlock(&store->read_lock);
	return err;
}

int cache_content_get(struct store *store, uint64_t id, struct cache_content *out, struct reason *why)
{
	pthread_mutex_lock(&store->read_lock);
	sqlite3_bind_int64(contents_stmt_of(store, K_GET), 1, (int64_t)id);
	return row_fetch(store, contents_stmt_of(store, K_GET), out, why);
}

int cache_content_find(struct store *store, const char *key, struct cache_content *out, struct reason *why)
{
	pthread_mutex_lock(&store->read_lock);
	sqlite3_bind_text(contents_stmt_of(store, K_FIND), 1, key, -1, SQLITE_STATIC);
	return row_fetch(store, contents_stmt_of(store, K_FIND), out, why);
}

int contents_change(struct store *store, enum contents_stmt which, struct reason *why)
{
	sqlite3_stmt *s = contents_stmt_of(store, which);
	/* Bindings are kept by the transaction's own statements. */
	int err = store_tx_begin(store, why);

	if (!err) {
		int rc = store_step_done(s);

		if (rc)
			err = store_db_fail(store, store->writer, rc, why, "noting what is cached");
		err = store_tx_end(store, err, why, "noting what is cached");
	} else {
		sqlite3_clear_bindings(s);
	}
	store_write_unlock(store);
	if (!err)
		store_dirty(store);
	return err;
}

sqlite3_stmt *contents_begin(struct store *store, enum contents_stmt which, uint64_t id)
{
	store_write_lock(store);
	sqlite3_bind_int64(contents_stmt_of(store, which), 1, (int64_t)id);
	return contents_stmt_of(store, which);
}

/* write_lock is held: does another content have the same blob? */
static bool row_twin(struct store *store, uint64_t id, const char *sha256)
{
	sqlite3_stmt *s = contents_stmt_of(store, K_TWIN);
	bool twin;

	sqlite3_bind_int64(s, 1, (int64_t)id);
	sqlite3_bind_text(s, 2, sha256, -1, SQLITE_STATIC);
	twin = sqlite3_step(s) == SQLITE_ROW;
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return twin;
}

int cache_content_make(struct store *store, const char *key, struct cache_content *out, bool *made,
		       struct reason *why)
{
	int err;

	if (made)
		*made = false;
	err = cache_content_find(store, key, out, why);
	if (err != -ENOENT)
		return err;
	store_write_lock(store);
	sqlite3_bind_text(contents_stmt_of(store, K_MAKE), 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_int64(contents_stmt_of(store, K_MAKE), 2, clock_now_ns());
	err = contents_change(store, K_MAKE, why);
	if (err)
		return err;
	if (made)
		*made = true;
	return cache_content_find(store, key, out, why);
}

int cache_content_told(struct store *store, uint64_t id, bool has_size, uint64_t size,
		       const char *validator, struct reason *why)
{
	sqlite3_stmt *s = contents_begin(store, K_TOLD, id);

	sqlite3_bind_int64(s, 2, has_size ? (int64_t)size : -1);
	sqlite3_bind_text(s, 3, validator, -1, SQLITE_STATIC);
	return contents_change(store, K_TOLD, why);
}

int cache_content_used(struct store *store, uint64_t id, uint64_t cached, struct reason *why)
{
	sqlite3_stmt *s = contents_begin(store, K_USED, id);

	sqlite3_bind_int64(s, 2, clock_now_ns());
	sqlite3_bind_int64(s, 3, (int64_t)cached);
	return contents_change(store, K_USED, why);
}

int cache_content_trust(struct store *store, uint64_t id, struct reason *why)
{
	contents_begin(store, K_TRUST, id);
	return contents_change(store, K_TRUST, why);
}

int cache_facts_keep(struct store *store, const char *sha256, const char *json, struct reason *why)
{
	sqlite3_stmt *s = contents_stmt_of(store, K_FACTS_SET);

	store_write_lock(store);
	sqlite3_bind_text(s, 1, sha256, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 2, json, -1, SQLITE_STATIC);
	return contents_change(store, K_FACTS_SET, why);
}

/* A text of a row; the caller frees. NULL: there is none. */
static int row_text(struct store *store, enum contents_stmt which, uint64_t id, char **text, struct reason *why)
{
	sqlite3_stmt *s = contents_stmt_of(store, which);
	int rc, err = 0;

	*text = NULL;
	pthread_mutex_lock(&store->read_lock);
	sqlite3_bind_int64(s, 1, (int64_t)id);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW && sqlite3_column_text(s, 0)) {
		*text = strdup((const char *)sqlite3_column_text(s, 0));
		if (!*text)
			err = reason_set(why, ENOMEM, "no memory for what is known of an image");
	} else if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
		err = store_db_fail(store, store->reader, rc, why, "looking for what is known of an image");
	}
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	pthread_mutex_unlock(&store->read_lock);
	return err;
}

int cache_content_facts(struct store *store, uint64_t id, char **json, struct reason *why)
{
	return row_text(store, K_FACTS, id, json, why);
}

int cache_content_key(struct store *store, uint64_t id, char *out, struct reason *why)
{
	char *key CLEANUP_FREE = NULL;
	int err = row_text(store, K_KEY, id, &key, why);

	if (!err && !key)
		err = reason_set(why, ENOENT, "there is no such content");
	if (!err)
		text_copy(out, CACHE_KEY_MAX, key);
	return err;
}

static uint64_t row_number(struct store *store, enum contents_stmt which, uint64_t id, uint64_t repo)
{
	sqlite3_stmt *s = contents_stmt_of(store, which);
	uint64_t n = 0;

	pthread_mutex_lock(&store->read_lock);
	sqlite3_bind_int64(s, 1, (int64_t)id);
	sqlite3_bind_int64(s, 2, (int64_t)repo);
	if (sqlite3_step(s) == SQLITE_ROW)
		n = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	pthread_mutex_unlock(&store->read_lock);
	return n;
}

uint64_t cache_bytes_of(struct store *store, uint64_t repo)
{
	return row_number(store, K_BYTES_OF, 0, repo);
}

bool cache_is_of(struct store *store, uint64_t id, uint64_t repo)
{
	return row_number(store, K_IS_OF, id, repo);
}

/* --- files ----------------------------------------------------------------------------------- */

void contents_files_drop(struct store *store, uint64_t id)
{
	char name[40];

	snprintf(name, sizeof(name), "%" PRIu64 ".map", id);
	unlinkat(store->chunks_fd, name, 0);
	name[strlen(name) - 4] = '\0';
	unlinkat(store->chunks_fd, name, 0);
}

/* names_lock is held: a trim that saw no name for this blob is done with it. */
static int whole_named(struct store *store, uint64_t id, uint64_t size, const char *sha256, bool *twin,
		       struct reason *why)
{
	char name[40];
	sqlite3_stmt *s;
	int err;

	snprintf(name, sizeof(name), "%" PRIu64, id);
	/* First the row: between the two its blob is missing, which is found when it is opened; the
	 * other way round the next trim could take the blob away. */
	s = contents_begin(store, K_WHOLE, id);
	sqlite3_bind_int64(s, 2, (int64_t)size);
	sqlite3_bind_text(s, 3, sha256, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 4, store->boot, -1, SQLITE_STATIC);
	*twin = row_twin(store, id, sha256);
	err = contents_change(store, K_WHOLE, why);
	if (err)
		return err;
	fchmodat(store->chunks_fd, name, 0400, 0);
	/* What is there under that name may be damaged, and only these bytes were hashed just now. */
	if (!faccessat(store->blobs_fd, sha256, F_OK, AT_SYMLINK_NOFOLLOW)) {
		err = store_blob_doubt(store, sha256, why);
		if (err)
			return err;
	}
	if (renameat(store->chunks_fd, name, store->blobs_fd, sha256))
		return reason_set(why, errno, "cannot keep %s/chunks/%s as an image: %s", store->dir, name,
				  strerror(errno));
	return 0;
}

int cache_content_whole(struct store *store, uint64_t id, uint64_t size, const char *sha256, bool *twin,
			struct reason *why)
{
	int err;

	*twin = false;

	if (!store_sha256_valid(sha256))
		return reason_set(why, EINVAL, "\"%s\" is not a SHA-256", sha256);
	pthread_mutex_lock(&store->names_lock);
	err = whole_named(store, id, size, sha256, twin, why);
	pthread_mutex_unlock(&store->names_lock);
	if (!err)
		contents_files_drop(store, id); /* the map */
	return err;
}

int cache_content_gone(struct store *store, uint64_t id, int err, bool *twin, struct reason *why)
{
	sqlite3_bind_int(contents_begin(store, K_GONE, id), 2, err);
	*twin = row_twin(store, id, NULL);
	err = contents_change(store, K_GONE, why);
	contents_files_drop(store, id);
	return err;
}

int cache_content_empty(struct store *store, uint64_t id, bool *twin, struct reason *why)
{
	int err;

	contents_begin(store, K_EMPTY, id);
	*twin = row_twin(store, id, NULL);
	err = contents_change(store, K_EMPTY, why);
	if (err == -ENOSPC || err == -EDQUOT) {
		/* What is in chunks is dropped anyway, and then there is room to say so. A blob is not:
		 * a row that still names it would have it fetched anew. */
		contents_files_drop(store, id);
		contents_begin(store, K_EMPTY, id);
		err = contents_change(store, K_EMPTY, why);
	}
	if (!err)
		contents_files_drop(store, id);
	return err;
}

void cache_content_finish(struct store *store, const struct cache_content *content)
{
	char name[40];

	snprintf(name, sizeof(name), "%" PRIu64, content->id);
	if (faccessat(store->blobs_fd, content->sha256, F_OK, AT_SYMLINK_NOFOLLOW))
		renameat(store->chunks_fd, name, store->blobs_fd, content->sha256);
	contents_files_drop(store, content->id);
}

/* Of a small disk a part, of a large one no more than a few uploads need. */
#define ROOM_PART 20
#define ROOM_MAX (UINT64_C(256) << 20)

int64_t cache_room(struct store *store)
{
	struct statvfs st;
	uint64_t keep, free_bytes;

	if (fstatvfs(store->chunks_fd, &st))
		return INT64_MAX; /* then writing tells */
	keep = (uint64_t)st.f_blocks * st.f_frsize / ROOM_PART;
	keep = keep < ROOM_MAX ? keep : ROOM_MAX;
	free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return (int64_t)free_bytes - (int64_t)keep;
}

/* --- all of them ------------------------------------------------------------------------------ */

static int contents_look(struct store *store, enum contents_stmt which,
			 int (*fn)(const struct cache_content *content, bool kept, void *arg), void *arg,
			 struct reason *why)
{
	sqlite3_stmt *s = contents_stmt_of(store, which);
	struct cache_content content;
	int rc, r = 0;

	pthread_mutex_lock(&store->read_lock);
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		row_read(store, s, &content);
		r = fn(&content, sqlite3_column_int(s, 8), arg);
	}
	if (!r && rc != SQLITE_DONE)
		r = store_db_fail(store, store->reader, rc, why, "looking through the cache");
	sqlite3_reset(s);
	pthread_mutex_unlock(&store->read_lock);
	return r;
}

int cache_bytes(struct store *store, uint64_t *bytes, struct reason *why)
{
	sqlite3_stmt *s = contents_stmt_of(store, K_BYTES);
	int rc;

	pthread_mutex_lock(&store->read_lock);
	rc = sqlite3_step(s);
	*bytes = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : 0;
	sqlite3_reset(s);
	rc = rc == SQLITE_ROW ? 0 : store_db_fail(store, store->reader, rc, why, "adding up the cache");
	pthread_mutex_unlock(&store->read_lock);
	return rc;
}

int cache_contents_each(struct store *store,
			int (*fn)(const struct cache_content *content, bool kept, void *arg), void *arg,
			struct reason *why)
{
	return contents_look(store, K_EACH, fn, arg, why);
}

int cache_contents_absent(struct store *store,
			  int (*fn)(const struct cache_content *content, bool kept, void *arg), void *arg,
			  struct reason *why)
{
	return contents_look(store, K_ABSENT, fn, arg, why);
}

/* --- to the disk --------------------------------------------------------------------------------- */

struct unsynced_content {
	struct unsynced_content *next;
	int64_t id;
	char sha256[SHA256_HEX];
};

int store_contents_collect(struct store *store, struct unsynced_contents *list, struct reason *why)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(store->syncer, "SELECT id, sha256 FROM content WHERE boot IS NOT NULL", -1, &s,
				    NULL);

	while (!rc && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		struct unsynced_content *u = malloc(sizeof(*u));

		rc = u ? SQLITE_OK : SQLITE_NOMEM;
		if (!u)
			break;
		u->id = sqlite3_column_int64(s, 0);
		text_copy(u->sha256, sizeof(u->sha256), (const char *)sqlite3_column_text(s, 1));
		u->next = list->first;
		list->first = u;
		list->len++;
	}
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? 0 : store_db_fail(store, store->syncer, rc, why, "looking for cached images");
}

int store_contents_each(const struct unsynced_contents *list,
			int (*fn)(struct store *store, const char *sha256, struct reason *why),
			struct store *store, struct reason *why)
{
	int err = 0;

	for (const struct unsynced_content *u = list->first; u && !err; u = u->next)
		err = fn(store, u->sha256, why);
	return err;
}

/* Within a transaction; write_lock is held. */
int store_contents_mark(struct store *store, const struct unsynced_contents *list)
{
	int rc = SQLITE_OK;

	for (const struct unsynced_content *u = list->first; u && !rc; u = u->next) {
		sqlite3_stmt *s = contents_stmt_of(store, K_MARK);

		sqlite3_bind_int64(s, 1, u->id);
		sqlite3_bind_text(s, 2, u->sha256, -1, SQLITE_STATIC);
		rc = store_step_done(s);
	}
	return rc;
}

/* Within a transaction; write_lock is held. */
int store_contents_doubt(struct store *store, const char *sha256)
{
	sqlite3_stmt *s = contents_stmt_of(store, K_DOUBT);

	sqlite3_bind_text(s, 1, store->boot, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 2, sha256, -1, SQLITE_STATIC);
	return store_step_done(s);
}

void store_contents_free(struct unsynced_contents *list)
{
	while (list->first) {
		struct unsynced_content *u = list->first;

		list->first = u->next;
		free(u);
	}
}
