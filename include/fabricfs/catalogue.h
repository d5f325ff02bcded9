// SPDX-License-Identifier: Apache-2.0
/*
 * The catalogue of images that repositories list: tables in the store's file,
 * from which listings are answered directly. Names are the mirror's (fs/remote),
 * everything else is as a repository's kind said it (repo.h).
 *
 * A row's number and the version of its bytes are the number of its node in the tree. A row
 * is never given again, and the version grows when bytes that somebody may have read are
 * not those of the image any more: so the same path has the same inode after a restart of
 * everything, and one inode never has the bytes of two contents.
 *
 * Threads: any. Readers have a connection of their own and wait neither for
 * writers nor for the store's other readers; writers are serialised with the
 * store's others, and a listing makes way for them after a few rows.
 * No call waits for fsync: what is lost with the power is listed again.
 */
#ifndef FABRICFS_CATALOGUE_H
#define FABRICFS_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fabricfs/buf.h>
#include <fabricfs/repo.h>
#include <fabricfs/store.h>

#define CATALOGUE_BATCH	   256	/* rows that are dropped in one transaction */
#define CATALOGUE_NAME_MAX 256	/* of a name as listed, with its NUL */
#define CATALOGUE_DIGEST_MAX 129 /* SHA-512 in hex and a NUL */
#define CATALOGUE_VERSIONS 65536u

/* --- repositories --------------------------------------------------------------- */

/* What is remembered of one, beside its entries. Texts are cut where they do not fit. */
struct catalogue_repo {
	uint64_t id;	    /* of its row: never given to another */
	char cursor[REPO_ID_MAX]; /* for the next incremental listing; "" = all */
	int64_t listed_ns;  /* when the last listing that went well began; 0 = never */
	int64_t full_ns;    /* the last full one */
	bool offline;
	int64_t since_ns;   /* since when it is online or offline; 0 = it was never asked */
	char reason[REASON_MAX]; /* why offline; "" */
	char error[REASON_MAX];	 /* of the last listing; "" after a success */
	int64_t doubt_ns;   /* when a shrunken list was seen that is not believed yet; 0 = none */
	uint64_t doubt_count; /* how many images it had */
	uint64_t generation; /* counts changes of the listing */
};

/*
 * The row of the repository of this name, made if there is none. When it was of
 * another kind or address, it is another repository: its entries are dropped.
 */
int catalogue_repo_open(struct store *store, const char *name, const char *kind, const char *address,
			struct catalogue_repo *repo, struct reason *why);
/* Replace all of it but the id. */
int catalogue_repo_save(struct store *store, const struct catalogue_repo *repo, struct reason *why);
/* Images that it lists under a name; they are counted each time. */
uint64_t catalogue_repo_images(struct store *store, uint64_t repo);

/*
 * Which names the configuration has: the other repositories are absent from now on. One that has been for
 * keep_ns is forgotten with all that it listed, unless somebody has pinned an image of it (cache.h);
 * *forgotten: how many. At the start, before anything is listed.
 */
int catalogue_absent(struct store *store, const char *const *configured, size_t len, int64_t now_ns,
		     int64_t keep_ns, unsigned *forgotten, struct reason *why);

/* --- entries --------------------------------------------------------------------- */

struct catalogue_entry {
	uint64_t id, repo; /* rows */
	unsigned version;  /* of its bytes: below CATALOGUE_VERSIONS, from where it begins again */
	char remote_id[REPO_ID_MAX];
	char name[CATALOGUE_NAME_MAX]; /* as listed: fit for a file system */
	bool shown;	    /* it has that name; else only <name>@<id> finds it */
	enum repo_rank rank;
	enum repo_data data;
	char status[64];
	bool has_size, size_rounded;
	uint64_t size;
	int64_t mtime_ns;   /* 0 = unknown */
	char digest_algo[8]; /* "" = none is known */
	char digest[CATALOGUE_DIGEST_MAX];
	char validator[REPO_ID_MAX]; /* "" = none */
	bool known;	    /* facts are (catalogue_facts) */
	uint64_t content;   /* row of its content (cache.h), 0 = nothing of it was ever read */
};

/* By row; -ENOENT. */
int catalogue_entry_get(struct store *store, uint64_t id, struct catalogue_entry *out, struct reason *why);
/* The one that has this name (as listed); -ENOENT. */
int catalogue_entry_named(struct store *store, uint64_t repo, const char *name,
			  struct catalogue_entry *out, struct reason *why);
/* By the repository's own id; -ENOENT. */
int catalogue_entry_with_id(struct store *store, uint64_t repo, const char *remote_id,
			    struct catalogue_entry *out, struct reason *why);
/* Those whose content is known to have this digest, of any repository, in the order of their rows; until fn
 * returns non-zero, which is returned. fn is called under a lock of the catalogue: it calls nothing here. */
int catalogue_with_digest(struct store *store, const char *algo, const char *digest,
			  int (*fn)(const struct catalogue_entry *entry, void *arg), void *arg, struct reason *why);
/* Does this repository list an image, and give it, whose content is known to have this digest? */
bool catalogue_digest_is_of(struct store *store, uint64_t repo, const char *algo, const char *digest);
/* Pairs name, value, NULL-terminated, in one piece of memory that the caller frees with free();
 * NULL: none. */
int catalogue_properties(struct store *store, uint64_t id, char ***pairs, struct reason *why);
/* JSON of its facts (image_facts_parse), the caller frees; NULL: none are known. */
int catalogue_facts(struct store *store, uint64_t id, char **json, struct reason *why);

/* What was learnt by reading that version of it. They change nothing when the entry is gone, or
 * is of another version by now. */
int catalogue_entry_size_set(struct store *store, uint64_t id, unsigned version, uint64_t size, struct reason *why);
/* Of one whose validator is weak (repo.h): also its time. A listing that says the same as before leaves both. */
int catalogue_entry_told(struct store *store, uint64_t id, unsigned version, uint64_t size, int64_t mtime_ns,
			 struct reason *why);
/* -ESTALE: it is of another version by now, perhaps by this: one version is of one content. */
int catalogue_entry_content_set(struct store *store, uint64_t id, unsigned version, uint64_t content,
				struct reason *why);
/* A content is gone: whose it was is of another version from now on. Each is told with the version that
 * it had, without a lock. */
int catalogue_content_gone(struct store *store, uint64_t content,
			   void (*changed)(uint64_t repo, uint64_t id, unsigned version, void *arg), void *arg,
			   struct reason *why);
/* Facts from its first bytes; json NULL: forget them. */
int catalogue_facts_set(struct store *store, uint64_t id, const char *json, struct reason *why);

/* --- listing ---------------------------------------------------------------------- */

/* What readdir needs of an entry; without attributes only id, version and name are filled. Valid during
 * the call. */
struct catalogue_listed {
	uint64_t id;
	unsigned version;
	const char *name;
	bool has_size, size_rounded;
	uint64_t size;
	int64_t mtime_ns;
	enum repo_data data;
};

/*
 * The images under their names, in the order of their rows, from the first whose
 * row is above `after`; until fn returns non-zero, which is returned (0: there
 * are no more). fn is called under a lock of the catalogue: it calls nothing here.
 */
int catalogue_list(struct store *store, uint64_t repo, uint64_t after, bool attributes,
		   int (*fn)(const struct catalogue_listed *entry, void *arg), void *arg, struct reason *why);
/* The same of those whose facts are known; json is of those facts. */
int catalogue_list_known(struct store *store, uint64_t repo, uint64_t after,
			 int (*fn)(const struct catalogue_listed *entry, const char *json, void *arg),
			 void *arg, struct reason *why);

/* --- taking over a listing ----------------------------------------------------------- */

struct catalogue_update;

/* An entry, and what the mirror makes of it. */
struct catalogue_put {
	const struct repo_entry *entry;
	const char *name;  /* as it is to be listed */
	const char *facts; /* JSON of what its properties say, NULL = nothing */
};

struct catalogue_counts {
	uint64_t listed;  /* entries that were put */
	uint64_t before;  /* entries that there were */
	uint64_t added, changed, dropped;
	uint64_t renamed; /* names that are another entry's now */
	int64_t shown;	  /* how many more (or fewer) have a name than before */
};

/*
 * One listing of one repository at a time. What is put is written by a thread of the store's, and
 * seen by readers as it is written; what was not put is dropped only by an end that says so.
 *
 * changed (may be NULL): called after each transaction, without a lock, for every row
 * that readers may have seen otherwise before, also for dropped ones, with the version that they
 * saw; on that thread, or within the end.
 */
int catalogue_update_new(struct store *store, uint64_t repo,
			 void (*changed)(uint64_t id, unsigned version, void *arg), void *arg,
			 struct catalogue_update **update, struct reason *why);
/* The error may be of one that was put before. Waits only while some 4 MiB of entries (of all
 * repositories) are not written yet. One thread at a time. */
int catalogue_update_put(struct catalogue_update *update, const struct catalogue_put *put,
			 struct reason *why);
/* Is there room for more, so that a put does not wait? False: the function of catalogue_room_listen() is
 * called when there is again. */
bool catalogue_update_room(struct catalogue_update *update);
/* Before the first update; called on the store's thread, without a lock. */
void catalogue_room_listen(struct store *store, void (*room)(void));
/* Nothing more is put for now: fn(arg) is called once all that was put is written, or could not be;
 * on the store's thread, or at once. It may end and free the update (elsewhere: an end waits for that thread). */
void catalogue_update_flush(struct catalogue_update *update, void (*fn)(void *arg), void *arg);
/* How many were there before, and how many distinct ones were put; of what is written (flush, end). */
void catalogue_update_counts(const struct catalogue_update *update, struct catalogue_counts *counts);
/* Write what is left; drop_rest: and drop the entries that were not put. Waits for that. */
int catalogue_update_end(struct catalogue_update *update, bool drop_rest, struct reason *why);
/* NULL is fine; without an end before it, what was written stays. */
void catalogue_update_free(struct catalogue_update *update);

#endif
