// SPDX-License-Identifier: Apache-2.0
/* The catalogue of images that repositories list (catalogue.h): its tables, and reading them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_in.h"

#include <fabricfs/catalogue.h>

/*
 * A listing is read from entry_shown alone, which has all that it needs. What only one
 * entry is asked for at a time (properties: a kilobyte and more) is in about.
 *
 * entry.flags: 1 = the size is known, 2 = and rounded; from 4 on it counts the versions of
 * its bytes. entry.known: about has facts.
 * entry_rival has those that do not have their name, in the order in which images of one name have a
 * right to it: the one that has data before one that has none yet, otherwise DESIGN section 4.
 *
 * What the cache has of an image is in contents.c.
 */
const char store_catalogue_schema[] =
	"CREATE TABLE repo (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,"
	" address TEXT NOT NULL, cursor TEXT NOT NULL DEFAULT '', listed_ns INTEGER NOT NULL DEFAULT 0,"
	" full_ns INTEGER NOT NULL DEFAULT 0, offline INTEGER NOT NULL DEFAULT 0,"
	" since_ns INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',"
	" doubt_ns INTEGER NOT NULL DEFAULT 0, doubt_count INTEGER NOT NULL DEFAULT 0,"
	" generation INTEGER NOT NULL DEFAULT 0);"
	"CREATE TABLE entry (id INTEGER PRIMARY KEY AUTOINCREMENT, repo INTEGER NOT NULL, remote_id TEXT NOT NULL,"
	" name TEXT NOT NULL, shown INTEGER NOT NULL, rank INTEGER NOT NULL, data INTEGER NOT NULL,"
	" status TEXT NOT NULL, flags INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,"
	" digest_algo TEXT NOT NULL, digest TEXT NOT NULL, validator TEXT NOT NULL, known INTEGER NOT NULL DEFAULT 0,"
	" content INTEGER NOT NULL DEFAULT 0, UNIQUE (repo, remote_id));"
	"CREATE INDEX entry_shown ON entry (repo, id, name, flags, size, mtime_ns, data, shown) WHERE shown = 1;"
	"CREATE INDEX entry_known ON entry (repo) WHERE known = 1;"
	"CREATE INDEX entry_owner ON entry (repo, name) WHERE shown = 1;"
	"CREATE INDEX entry_digest ON entry (digest) WHERE digest <> '';"
	"CREATE INDEX entry_content ON entry (content) WHERE content <> 0;"
	/* properties: name, value, name, ... each with its NUL. stated: facts that they tell; seen: that
	 * its own first bytes tell. */
	"CREATE TABLE about (entry INTEGER PRIMARY KEY, properties BLOB, stated TEXT, seen TEXT);";

/*
 * Changed later, and nothing that an older fabricfs would miss or spoil: no new format. Names are
 * nearly all of one image, so an index of those that do not have their name is nearly empty.
 */
const char store_catalogue_added[] =
	"DROP INDEX IF EXISTS entry_named;"
	"CREATE INDEX IF NOT EXISTS entry_rival ON entry (repo, name, rank, data = 1, mtime_ns DESC, remote_id)"
	" WHERE shown = 0;"
	/* What is cached of a repository: nothing while nothing is. */
	"CREATE INDEX IF NOT EXISTS entry_cached ON entry (repo, content) WHERE content <> 0;";

#define REPO_COLUMNS \
	"id, cursor, listed_ns, full_ns, offline, since_ns, reason, error, doubt_ns, doubt_count, generation"
#define ENTRY_COLUMNS \
	"id, repo, remote_id, name, shown, rank, data, status, flags, size, mtime_ns, digest_algo, digest," \
	" validator, known, content"
#define LISTED_COLUMNS "id, name, flags, size, mtime_ns, data"
#define VERSION	       "((flags >> 2) & 65535)" /* as store_entry_version() */

static const char *const list_sql[L_COUNT] = {
	[L_REPO_IMAGES] = "SELECT count(*) FROM entry WHERE repo = ?1 AND shown = 1",
	[L_GET] = "SELECT " ENTRY_COLUMNS " FROM entry WHERE id = ?1",
	[L_NAMED] = "SELECT " ENTRY_COLUMNS " FROM entry INDEXED BY entry_owner WHERE repo = ?1 AND name = ?2 AND shown = 1",
	[L_WITH_ID] = "SELECT " ENTRY_COLUMNS " FROM entry WHERE repo = ?1 AND remote_id = ?2",
	/* Also contents that were hashed here, and are known by another digest there (one that collides with
	 * no other). */
	[L_WITH_DIGEST] = "SELECT " ENTRY_COLUMNS " FROM entry WHERE id IN (SELECT id FROM entry"
			  " WHERE digest = ?2 AND digest <> '' AND digest_algo = ?1 UNION ALL SELECT id FROM entry"
			  " WHERE ?1 = 'sha256' AND content <> 0 AND content IN (SELECT id FROM content"
			  " WHERE sha256 = ?2 AND sha256 <> '') UNION ALL SELECT e.id FROM content AS c"
			  " JOIN entry AS e ON e.digest = substr(c.key, instr(c.key, ':') + 1) AND e.digest <> ''"
			  " WHERE ?1 = 'sha256' AND c.sha256 = ?2 AND c.sha256 <> '' AND length(e.digest) >= 64"
			  " AND c.key = e.digest_algo || ':' || e.digest) ORDER BY id",
	/* Also of contents that were hashed for another repository, under a digest that collides with no other. */
	[L_DIGEST_IS_OF] = "SELECT 1 FROM entry WHERE +repo = ?1 AND data = 0 AND digest = ?3 AND digest <> ''"
			   " AND digest_algo = ?2 UNION ALL SELECT 1 FROM entry WHERE ?2 = 'sha256' AND +repo = ?1"
			   " AND data = 0 AND content <> 0 AND content IN (SELECT id FROM content WHERE sha256 = ?3"
			   " AND sha256 <> '') UNION ALL SELECT 1 FROM content AS c JOIN entry AS e"
			   " ON e.digest = substr(c.key, instr(c.key, ':') + 1) AND e.digest <> ''"
			   " WHERE ?2 = 'sha256' AND c.sha256 = ?3 AND c.sha256 <> '' AND length(e.digest) >= 64"
			   " AND c.key = e.digest_algo || ':' || e.digest AND +e.repo = ?1 AND e.data = 0 LIMIT 1",
	[L_PROPERTIES] = "SELECT properties FROM about WHERE entry = ?1",
	[L_FACTS] = "SELECT coalesce(seen, stated) FROM about WHERE entry = ?1",
	[L_LIST] = "SELECT " LISTED_COLUMNS " FROM entry WHERE repo = ?1 AND shown = 1 AND id > ?2 ORDER BY id",
	[L_LIST_NAMES] = "SELECT id, name, flags FROM entry WHERE repo = ?1 AND shown = 1 AND id > ?2 ORDER BY id",
	[L_KNOWN] = "SELECT " LISTED_COLUMNS ", coalesce(seen, stated) FROM entry JOIN about ON about.entry = id"
		    " WHERE repo = ?1 AND known = 1 AND shown = 1 AND id > ?2 ORDER BY id",
};

/* STORE_RUN rows, each with STORE_RUN_COLUMNS parameters of its own. */
#define RUN_ROW	 "(?1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1)"
#define RUN_4	 RUN_ROW ", " RUN_ROW ", " RUN_ROW ", " RUN_ROW
#define RUN_ROWS RUN_4 ", " RUN_4 ", " RUN_4 ", " RUN_4

/* What changes a listing is in catalogue_update.c. */
static const char *const catalogue_sql[C_COUNT] = {
	[C_REPO_ADD] = "INSERT INTO repo (name, kind, address) VALUES (?1, ?2, ?3)",
	[C_REPO_GET] = "SELECT kind, address, " REPO_COLUMNS " FROM repo WHERE name = ?1",
	[C_REPO_OTHER] = "UPDATE repo SET kind = ?2, address = ?3, cursor = '', listed_ns = 0, full_ns = 0,"
			 " offline = 0, since_ns = 0, reason = '', error = '', doubt_ns = 0, doubt_count = 0,"
			 " generation = generation + 1 WHERE name = ?1",
	[C_REPO_PUT] = "UPDATE repo SET cursor = ?2, listed_ns = ?3, full_ns = ?4, offline = ?5, since_ns = ?6,"
		       " reason = ?7, error = ?8, doubt_ns = ?9, doubt_count = ?10, generation = ?11 WHERE id = ?1",
	[C_DROP_SOME] = "DELETE FROM entry WHERE id IN (SELECT id FROM entry WHERE repo = ?1 LIMIT ?2)",
	[C_SIZE] = "UPDATE entry SET flags = (flags & ~3) + 1, size = ?2 WHERE id = ?1 AND " VERSION " = ?3",
	[C_TOLD] = "UPDATE entry SET flags = (flags & ~3) + 1, size = ?2, mtime_ns = ?4 WHERE id = ?1 AND " VERSION " = ?3",
	[C_CONTENT] = "UPDATE entry SET content = ?2 WHERE id = ?1 AND " VERSION " = ?3 AND content IN (0, ?2)",
	[C_CONTENT_OTHER] = "UPDATE entry SET content = ?2, flags = flags + 4 WHERE id = ?1 AND " VERSION " = ?3",
	[C_CONTENT_OF] = "SELECT repo, id, " VERSION " FROM entry WHERE content = ?1 AND content <> 0 LIMIT ?2",
	[C_CONTENT_GONE] = "UPDATE entry SET content = 0, flags = flags + 4 WHERE id = ?1 AND content = ?2",
	[C_FACTS] = "INSERT INTO about (entry, seen) SELECT id, ?2 FROM entry WHERE id = ?1"
		    " ON CONFLICT (entry) DO UPDATE SET seen = ?2",
	[C_KNOWN] = "UPDATE entry SET known = (SELECT coalesce(seen, stated) IS NOT NULL FROM about"
		    " WHERE entry = ?1) WHERE id = ?1",
	/* Without changes nothing is written, also where nothing can be. */
	[C_BEGIN] = "BEGIN",
	[C_FIND] = "SELECT id, name, rank, data, status, flags, size, mtime_ns, digest_algo, digest, validator,"
		   " shown, properties, stated, seen IS NOT NULL FROM entry LEFT JOIN about ON about.entry = id"
		   " WHERE repo = ?1 AND remote_id = ?2",
	/* Nothing is added where the id is known already. */
	[C_ADD] = "INSERT INTO entry (repo, remote_id, name, rank, data, status, flags, size, mtime_ns,"
		  " digest_algo, digest, validator, known, shown) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
		  " ?11, ?12, ?13, ?14) ON CONFLICT (repo, remote_id) DO NOTHING",
	/* FAIL: what was written before an error is undone with the transaction, so that SQLite need not
	 * keep each page as it was before this statement. */
	[C_ADD_RUN] = "INSERT OR FAIL INTO entry (repo, remote_id, name, rank, data, status, flags, size, mtime_ns,"
		      " digest_algo, digest, validator, known, shown) VALUES " RUN_ROWS,
	/* Other bytes: what was learnt of the old ones is not of these. */
	[C_CHANGE] = "UPDATE entry SET name = ?2, rank = ?3, data = ?4, status = ?5, size = ?7,"
		     " flags = (flags & ~3) + ?6 + CASE WHEN ?13 AND content <> 0 THEN 4 ELSE 0 END,"
		     " mtime_ns = ?8, digest_algo = ?9, digest = ?10, validator = ?11, known = ?12,"
		     " shown = CASE WHEN name = ?2 THEN shown ELSE 0 END,"
		     " content = CASE WHEN ?13 THEN 0 ELSE content END WHERE id = ?1",
	[C_ABOUT] = "INSERT INTO about (entry, properties, stated) VALUES (?1, ?2, ?3) ON CONFLICT (entry)"
		    " DO UPDATE SET properties = ?2, stated = ?3, seen = CASE WHEN ?4 THEN NULL ELSE seen END",
	/* The best of those that do not have the name, against the one that has. */
	[C_BEST] = "SELECT id FROM (SELECT * FROM (SELECT id, rank, data = 1 AS none, mtime_ns, remote_id FROM entry"
		   " INDEXED BY entry_rival WHERE repo = ?1 AND name = ?2 AND shown = 0"
		   " ORDER BY rank, data = 1, mtime_ns DESC, remote_id LIMIT 1)"
		   " UNION ALL SELECT id, rank, data = 1, mtime_ns, remote_id FROM entry INDEXED BY entry_owner"
		   " WHERE repo = ?1 AND name = ?2 AND shown = 1)"
		   " ORDER BY rank, none, mtime_ns DESC, remote_id LIMIT 1",
	/* Without statistics the planner would take the index that covers most. */
	[C_SHOWN] = "SELECT id, " VERSION " FROM entry INDEXED BY entry_owner WHERE repo = ?1 AND name = ?2 AND shown = 1",
	[C_SHOW] = "UPDATE entry SET shown = ?2 WHERE id = ?1",
	/* By rows (+ keeps the planner from an index in another order, which it would sort each time). */
	[C_REST] = "SELECT id, name FROM entry WHERE +repo = ?1 AND id > ?2 AND id <= ?3 ORDER BY id LIMIT ?4",
	[C_DROP] = "DELETE FROM entry WHERE id = ?1 RETURNING shown, " VERSION,
	[C_RANGE] = "SELECT count(*), min(id), max(id) FROM entry WHERE repo = ?1",
};

/* With an entry goes what is about it. */
static const char trigger[] =
	"CREATE TEMP TRIGGER IF NOT EXISTS entry_gone AFTER DELETE ON main.entry BEGIN"
	" DELETE FROM about WHERE entry = old.id; END";

int store_catalogue_start(struct store *store, struct reason *why)
{
	int rc = sqlite3_exec(store->writer, trigger, NULL, NULL, NULL), err;

	if (rc)
		return store_db_fail(store, store->writer, rc, why, "preparing");
	err = store_prepare(store, store->lister, list_sql, store->l, L_COUNT, why);
	return err ? err : store_prepare(store, store->writer, catalogue_sql, store->c, C_COUNT, why);
}

static void text_column(sqlite3_stmt *s, int column, char *out, size_t size)
{
	text_copy(out, size, (const char *)sqlite3_column_text(s, column));
}

/* --- repositories ------------------------------------------------------------------ */

static void repo_row(sqlite3_stmt *s, int at, struct catalogue_repo *repo)
{
	repo->id = (uint64_t)sqlite3_column_int64(s, at);
	text_column(s, at + 1, repo->cursor, sizeof(repo->cursor));
	repo->listed_ns = sqlite3_column_int64(s, at + 2);
	repo->full_ns = sqlite3_column_int64(s, at + 3);
	repo->offline = sqlite3_column_int(s, at + 4);
	repo->since_ns = sqlite3_column_int64(s, at + 5);
	text_column(s, at + 6, repo->reason, sizeof(repo->reason));
	text_column(s, at + 7, repo->error, sizeof(repo->error));
	repo->doubt_ns = sqlite3_column_int64(s, at + 8);
	repo->doubt_count = (uint64_t)sqlite3_column_int64(s, at + 9);
	repo->generation = (uint64_t)sqlite3_column_int64(s, at + 10);
}

static void step_reset(sqlite3_stmt *s)
{
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
}

/* 1 found, *same: of this kind and address; 0 not; or -errno. write_lock. */
static int repo_find(struct store *store, const char *name, const char *kind, const char *address,
		     struct catalogue_repo *repo, bool *same, struct reason *why)
{
	sqlite3_stmt *s = store->c[C_REPO_GET];
	int rc, found = 0;

	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		const char *k = (const char *)sqlite3_column_text(s, 0);
		const char *a = (const char *)sqlite3_column_text(s, 1);

		*same = k && a && !strcmp(k, kind) && !strcmp(a, address);
		repo_row(s, 2, repo);
		found = 1;
	} else if (rc != SQLITE_DONE) {
		found = store_db_fail(store, store->writer, rc, why, "looking for a repository");
	}
	step_reset(s);
	return found;
}

static int repo_write(struct store *store, enum catalogue_stmt which, const char *name, const char *kind,
		      const char *address, struct reason *why)
{
	sqlite3_stmt *s = store->c[which];
	int rc, err = store_tx_begin(store, why);

	if (err)
		return err;
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 2, kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 3, address, -1, SQLITE_STATIC);
	rc = store_step_done(s);
	if (rc)
		err = store_db_fail(store, store->writer, rc, why, "noting a repository");
	return store_tx_end(store, err, why, "noting a repository");
}

/* All entries of one, in pieces that let others write between them. */
int store_entries_drop(struct store *store, uint64_t repo, struct reason *why)
{
	sqlite3_stmt *s = store->c[C_DROP_SOME];
	int err, gone;

	do {
		int rc;

		gone = 0;
		store_write_lock_last(store);
		err = store_tx_begin(store, why);
		if (!err) {
			sqlite3_bind_int64(s, 1, (int64_t)repo);
			sqlite3_bind_int(s, 2, CATALOGUE_BATCH);
			rc = store_step_done(s);
			if (rc)
				err = store_db_fail(store, store->writer, rc, why, "dropping a listing");
			else
				gone = sqlite3_changes(store->writer);
			err = store_tx_end(store, err, why, "dropping a listing");
		}
		store_write_unlock(store);
	} while (!err && gone);
	return err;
}

int catalogue_repo_open(struct store *store, const char *name, const char *kind, const char *address,
			struct catalogue_repo *repo, struct reason *why)
{
	bool same = true;
	int found, err = 0;

	*repo = (struct catalogue_repo){ 0 };
	store_write_lock(store);
	found = repo_find(store, name, kind, address, repo, &same, why);
	if (found < 0)
		err = found;
	else if (!found)
		err = repo_write(store, C_REPO_ADD, name, kind, address, why);
	store_write_unlock(store);
	/* Its row says so only once its entries are gone: this may be cut off anywhere. */
	if (!err && !same)
		err = store_entries_drop(store, repo->id, why);
	if (err || (found && same))
		return err;
	store_write_lock(store);
	if (!same)
		err = repo_write(store, C_REPO_OTHER, name, kind, address, why);
	if (!err) {
		found = repo_find(store, name, kind, address, repo, &same, why);
		err = found < 0 ? found : found ? 0 : reason_set(why, EIO, "the repository %s is not in the "
								 "catalogue that it was just noted in", name);
	}
	store_write_unlock(store);
	if (!err)
		store_dirty(store);
	return err;
}

int catalogue_repo_save(struct store *store, const struct catalogue_repo *repo, struct reason *why)
{
	sqlite3_stmt *s = store->c[C_REPO_PUT];
	int rc, err;

	store_write_lock(store);
	err = store_tx_begin(store, why);
	if (!err) {
		sqlite3_bind_int64(s, 1, (int64_t)repo->id);
		sqlite3_bind_text(s, 2, repo->cursor, -1, SQLITE_STATIC);
		sqlite3_bind_int64(s, 3, repo->listed_ns);
		sqlite3_bind_int64(s, 4, repo->full_ns);
		sqlite3_bind_int(s, 5, repo->offline);
		sqlite3_bind_int64(s, 6, repo->since_ns);
		sqlite3_bind_text(s, 7, repo->reason, -1, SQLITE_STATIC);
		sqlite3_bind_text(s, 8, repo->error, -1, SQLITE_STATIC);
		sqlite3_bind_int64(s, 9, repo->doubt_ns);
		sqlite3_bind_int64(s, 10, (int64_t)repo->doubt_count);
		sqlite3_bind_int64(s, 11, (int64_t)repo->generation);
		rc = store_step_done(s);
		if (rc)
			err = store_db_fail(store, store->writer, rc, why, "noting a repository");
		err = store_tx_end(store, err, why, "noting a repository");
	}
	store_write_unlock(store);
	if (!err)
		store_dirty(store);
	return err;
}

uint64_t catalogue_repo_images(struct store *store, uint64_t repo)
{
	sqlite3_stmt *s = store->l[L_REPO_IMAGES];
	uint64_t n = 0;

	pthread_mutex_lock(&store->list_lock);
	sqlite3_bind_int64(s, 1, (int64_t)repo);
	if (sqlite3_step(s) == SQLITE_ROW)
		n = (uint64_t)sqlite3_column_int64(s, 0);
	step_reset(s);
	pthread_mutex_unlock(&store->list_lock);
	return n;
}

/* --- one entry ----------------------------------------------------------------------- */

static int list_fail(struct store *store, int rc, struct reason *why)
{
	return store_db_fail(store, store->lister, rc, why, "reading the list of images");
}

static void entry_row(sqlite3_stmt *s, struct catalogue_entry *out)
{
	int64_t flags = sqlite3_column_int64(s, 8);

	out->version = store_entry_version(flags);
	out->id = (uint64_t)sqlite3_column_int64(s, 0);
	out->repo = (uint64_t)sqlite3_column_int64(s, 1);
	text_column(s, 2, out->remote_id, sizeof(out->remote_id));
	text_column(s, 3, out->name, sizeof(out->name));
	out->shown = sqlite3_column_int(s, 4);
	out->rank = (enum repo_rank)sqlite3_column_int(s, 5);
	out->data = (enum repo_data)sqlite3_column_int(s, 6);
	text_column(s, 7, out->status, sizeof(out->status));
	out->has_size = flags & 1;
	out->size_rounded = flags & 2;
	out->size = (uint64_t)sqlite3_column_int64(s, 9);
	out->mtime_ns = sqlite3_column_int64(s, 10);
	text_column(s, 11, out->digest_algo, sizeof(out->digest_algo));
	text_column(s, 12, out->digest, sizeof(out->digest));
	text_column(s, 13, out->validator, sizeof(out->validator));
	out->known = sqlite3_column_int(s, 14);
	out->content = (uint64_t)sqlite3_column_int64(s, 15);
}

/* Its parameters are bound and list_lock is held, which this gives back. */
static int entry_step(struct store *store, sqlite3_stmt *s, struct catalogue_entry *out, struct reason *why)
{
	int rc = sqlite3_step(s), err = 0;

	if (rc == SQLITE_ROW)
		entry_row(s, out);
	else if (rc == SQLITE_DONE)
		err = reason_set(why, ENOENT, "there is no such image in the catalogue");
	else
		err = list_fail(store, rc, why);
	step_reset(s);
	pthread_mutex_unlock(&store->list_lock);
	return err;
}

int catalogue_entry_get(struct store *store, uint64_t id, struct catalogue_entry *out, struct reason *why)
{
	sqlite3_stmt *s = store->l[L_GET];

	pthread_mutex_lock(&store->list_lock);
	sqlite3_bind_int64(s, 1, (int64_t)id);
	return entry_step(store, s, out, why);
}

int catalogue_entry_named(struct store *store, uint64_t repo, const char *name,
			  struct catalogue_entry *out, struct reason *why)
{
	sqlite3_stmt *s = store->l[L_NAMED];

	pthread_mutex_lock(&store->list_lock);
	sqlite3_bind_int64(s, 1, (int64_t)repo);
	sqlite3_bind_text(s, 2, name, -1, SQLITE_STATIC);
	return entry_step(store, s, out, why);
}

int catalogue_entry_with_id(struct store *store, uint64_t repo, const char *remote_id,
			    struct catalogue_entry *out, struct reason *why)
{
	sqlite3_stmt *s = store->l[L_WITH_ID];

	pthread_mutex_lock(&store->list_lock);
	sqlite3_bind_int64(s, 1, (int64_t)repo);
	sqlite3_bind_text(s, 2, remote_id, -1, SQLITE_STATIC);
	return entry_step(store, s, out, why);
}

int catalogue_with_digest(struct store *store, const char *algo, const char *digest,
			  int (*fn)(const struct catalogue_entry *entry, void *arg), void *arg, struct reason *why)
{
	sqlite3_stmt *s = store->l[L_WITH_DIGEST];
	struct catalogue_entry entry;
	int rc, r = 0;

	pthread_mutex_lock(&store->list_lock);
	sqlite3_bind_text(s, 1, algo, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 2, digest, -1, SQLITE_STATIC);
	while (!r && (rc = sqlite3_step(s)) != SQLITE_DONE) {
		if (rc != SQLITE_ROW) {
			r = list_fail(store, rc, why);
			break;
		}
		entry_row(s, &entry);
		r = fn(&entry, arg);
	}
	step_reset(s);
	pthread_mutex_unlock(&store->list_lock);
	return r;
}

bool catalogue_digest_is_of(struct store *store, uint64_t repo, const char *algo, const char *digest)
{
	sqlite3_stmt *s = store->l[L_DIGEST_IS_OF];
	bool is;

	pthread_mutex_lock(&store->list_lock);
	sqlite3_bind_int64(s, 1, (int64_t)repo);
	sqlite3_bind_text(s, 2, algo, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 3, digest, -1, SQLITE_STATIC);
	is = sqlite3_step(s) == SQLITE_ROW;
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	pthread_mutex_unlock(&store->list_lock);
	return is;
}

/* --- what is about it ------------------------------------------------------------------- */

/* An array of pointers and the texts that they point to, as packed by catalogue_update_put(). */
static char **pairs_unpack(const char *packed, size_t len)
{
	size_t n = 0, at = 0;
	char **pairs, *text;

	for (size_t i = 0; i < len; i++)
		n += !packed[i];
	n &= ~(size_t)1;
	pairs = malloc((n + 1) * sizeof(*pairs) + len);
	if (!pairs)
		return NULL;
	text = (char *)(pairs + n + 1);
	memcpy(text, packed, len);
	for (size_t i = 0; i < n; i++) {
		pairs[i] = text + at;
		at += strlen(text + at) + 1;
	}
	pairs[n] = NULL;
	return pairs;
}

int catalogue_properties(struct store *store, uint64_t id, char ***pairs, struct reason *why)
{
	sqlite3_stmt *s = store->l[L_PROPERTIES];
	int rc, err = 0;

	*pairs = NULL;
	pthread_mutex_lock(&store->list_lock);
	sqlite3_bind_int64(s, 1, (int64_t)id);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		const char *packed = sqlite3_column_blob(s, 0);
		int len = sqlite3_column_bytes(s, 0);

		/* Ends in a NUL, or it is not ours. */
		if (packed && len > 0 && !packed[len - 1]) {
			*pairs = pairs_unpack(packed, (size_t)len);
			if (!*pairs)
				err = reason_set(why, ENOMEM, "no memory for an image's properties");
		}
	} else if (rc != SQLITE_DONE) {
		err = list_fail(store, rc, why);
	}
	step_reset(s);
	pthread_mutex_unlock(&store->list_lock);
	return err;
}

int catalogue_facts(struct store *store, uint64_t id, char **json, struct reason *why)
{
	sqlite3_stmt *s = store->l[L_FACTS];
	int rc, err = 0;

	*json = NULL;
	pthread_mutex_lock(&store->list_lock);
	sqlite3_bind_int64(s, 1, (int64_t)id);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(s, 0);

		if (text && !(*json = strdup(text)))
			err = reason_set(why, ENOMEM, "no memory for what is known of an image");
	} else if (rc != SQLITE_DONE) {
		err = list_fail(store, rc, why);
	}
	step_reset(s);
	pthread_mutex_unlock(&store->list_lock);
	return err;
}

/* One of the statements that learn, bound but for the row; *found: it changed one. write_lock is held, and
 * given back. */
static int learn(struct store *store, enum catalogue_stmt which, uint64_t id, bool *found, struct reason *why)
{
	sqlite3_stmt *s = store->c[which];
	/* Bindings are kept by the transaction's own statements. */
	int rc, err = store_tx_begin(store, why);

	*found = false;
	if (!err) {
		sqlite3_bind_int64(s, 1, (int64_t)id);
		rc = store_step_done(s);
		*found = !rc && sqlite3_changes(store->writer);
		if (!rc && which == C_FACTS) {
			sqlite3_bind_int64(store->c[C_KNOWN], 1, (int64_t)id);
			rc = store_step_done(store->c[C_KNOWN]);
		}
		if (rc)
			err = store_db_fail(store, store->writer, rc, why, "noting what is known of an image");
		err = store_tx_end(store, err, why, "noting what is known of an image");
	} else {
		sqlite3_clear_bindings(s);
	}
	store_write_unlock(store);
	if (!err)
		store_dirty(store);
	return err;
}

static int learn_number(struct store *store, enum catalogue_stmt which, uint64_t id, unsigned version,
			uint64_t number, bool *found, struct reason *why)
{
	store_write_lock(store);
	sqlite3_bind_int64(store->c[which], 2, (int64_t)number);
	sqlite3_bind_int64(store->c[which], 3, version);
	return learn(store, which, id, found, why);
}

int catalogue_entry_size_set(struct store *store, uint64_t id, unsigned version, uint64_t size, struct reason *why)
{
	bool found;

	return learn_number(store, C_SIZE, id, version, size, &found, why);
}

int catalogue_entry_told(struct store *store, uint64_t id, unsigned version, uint64_t size, int64_t mtime_ns,
			 struct reason *why)
{
	bool found;

	store_write_lock(store);
	sqlite3_bind_int64(store->c[C_TOLD], 2, (int64_t)size);
	sqlite3_bind_int64(store->c[C_TOLD], 3, version);
	sqlite3_bind_int64(store->c[C_TOLD], 4, mtime_ns);
	return learn(store, C_TOLD, id, &found, why);
}

int catalogue_entry_content_set(struct store *store, uint64_t id, unsigned version, uint64_t content,
				struct reason *why)
{
	bool found;
	int err = learn_number(store, C_CONTENT, id, version, content, &found, why);

	if (err || found)
		return err;
	err = learn_number(store, C_CONTENT_OTHER, id, version, content, &found, why);
	return err ? err : reason_set(why, ESTALE, "the image has other bytes now");
}

struct gone {
	unsigned len;
	struct {
		uint64_t repo, id;
		unsigned version;
	} rows[CATALOGUE_BATCH];
};

/* The next few whose content it was. write_lock */
static int gone_batch(struct store *store, uint64_t content, struct gone *gone, struct reason *why)
{
	sqlite3_stmt *s = store->c[C_CONTENT_OF];
	int rc, err = store_tx_begin(store, why);

	gone->len = 0;
	if (err)
		return err;
	sqlite3_bind_int64(s, 1, (int64_t)content);
	sqlite3_bind_int(s, 2, CATALOGUE_BATCH);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		gone->rows[gone->len].repo = (uint64_t)sqlite3_column_int64(s, 0);
		gone->rows[gone->len].id = (uint64_t)sqlite3_column_int64(s, 1);
		gone->rows[gone->len++].version = (unsigned)sqlite3_column_int(s, 2);
	}
	step_reset(s);
	s = store->c[C_CONTENT_GONE];
	rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
	for (unsigned i = 0; !rc && i < gone->len; i++) {
		sqlite3_bind_int64(s, 1, (int64_t)gone->rows[i].id);
		sqlite3_bind_int64(s, 2, (int64_t)content);
		rc = store_step_done(s);
	}
	if (rc)
		err = store_db_fail(store, store->writer, rc, why, "noting that an image is another");
	return store_tx_end(store, err, why, "noting that an image is another");
}

int catalogue_content_gone(struct store *store, uint64_t content,
			   void (*changed)(uint64_t repo, uint64_t id, unsigned version, void *arg), void *arg,
			   struct reason *why)
{
	struct gone *gone CLEANUP_FREE = malloc(sizeof(*gone));
	int err = 0;

	if (!gone)
		return reason_set(why, ENOMEM, "no memory for the images of a content");
	do {
		store_write_lock(store);
		err = gone_batch(store, content, gone, why);
		store_write_unlock(store);
		if (!err && gone->len)
			store_dirty(store);
		for (unsigned i = 0; !err && i < gone->len; i++)
			changed(gone->rows[i].repo, gone->rows[i].id, gone->rows[i].version, arg);
	} while (!err && gone->len == CATALOGUE_BATCH);
	return err;
}

int catalogue_facts_set(struct store *store, uint64_t id, const char *json, struct reason *why)
{
	bool found;

	store_write_lock(store);
	sqlite3_bind_text(store->c[C_FACTS], 2, json, -1, SQLITE_STATIC);
	return learn(store, C_FACTS, id, &found, why);
}

/* --- listing ------------------------------------------------------------------------------ */

static void listed_name(sqlite3_stmt *s, struct catalogue_listed *row)
{
	row->id = (uint64_t)sqlite3_column_int64(s, 0);
	row->name = (const char *)sqlite3_column_text(s, 1);
	row->version = store_entry_version(sqlite3_column_int64(s, 2));
}

static void listed_row(sqlite3_stmt *s, struct catalogue_listed *row)
{
	listed_name(s, row);
	row->has_size = sqlite3_column_int64(s, 2) & 1;
	row->size_rounded = sqlite3_column_int64(s, 2) & 2;
	row->size = (uint64_t)sqlite3_column_int64(s, 3);
	row->mtime_ns = sqlite3_column_int64(s, 4);
	row->data = (enum repo_data)sqlite3_column_int(s, 5);
}

int catalogue_list(struct store *store, uint64_t repo, uint64_t after, bool attributes,
		   int (*fn)(const struct catalogue_listed *entry, void *arg), void *arg, struct reason *why)
{
	sqlite3_stmt *s = store->l[attributes ? L_LIST : L_LIST_NAMES];
	struct catalogue_listed row = { 0 };
	int rc, r = 0;

	pthread_mutex_lock(&store->list_lock);
	sqlite3_bind_int64(s, 1, (int64_t)repo);
	sqlite3_bind_int64(s, 2, (int64_t)after);
	while (!r && (rc = sqlite3_step(s)) != SQLITE_DONE) {
		if (rc != SQLITE_ROW) {
			r = list_fail(store, rc, why);
			break;
		}
		if (attributes)
			listed_row(s, &row);
		else
			listed_name(s, &row);
		if (row.name)
			r = fn(&row, arg);
	}
	step_reset(s);
	pthread_mutex_unlock(&store->list_lock);
	return r;
}

int catalogue_list_known(struct store *store, uint64_t repo, uint64_t after,
			 int (*fn)(const struct catalogue_listed *entry, const char *json, void *arg),
			 void *arg, struct reason *why)
{
	sqlite3_stmt *s = store->l[L_KNOWN];
	int rc, r = 0;

	pthread_mutex_lock(&store->list_lock);
	sqlite3_bind_int64(s, 1, (int64_t)repo);
	sqlite3_bind_int64(s, 2, (int64_t)after);
	while (!r && (rc = sqlite3_step(s)) != SQLITE_DONE) {
		struct catalogue_listed row;
		const char *json;

		if (rc != SQLITE_ROW) {
			r = list_fail(store, rc, why);
			break;
		}
		listed_row(s, &row);
		json = (const char *)sqlite3_column_text(s, 6);
		if (row.name && json)
			r = fn(&row, json, arg);
	}
	step_reset(s);
	pthread_mutex_unlock(&store->list_lock);
	return r;
}
