// SPDX-License-Identifier: Apache-2.0
/*
 * What the files of contents share (private to fs/remote/content*.c).
 *
 * Locks, outer first: table_lock (which contents are live, their references),
 * content->lock (what is said there), and as leaves usage_lock and those of the
 * store. No repository kind, callback or reply is called under any of them.
 */
#ifndef FS_REMOTE_CONTENT_IN_H
#define FS_REMOTE_CONTENT_IN_H

#include <pthread.h>

#include "fs/daemon/loop.h"
#include "fs/remote/content.h"

#define CONTENT_BUCKETS 256
#define CONTENT_STREAMS 4

/* A range that was asked for. Its refs: who started it, and done(). */
struct fetch {
	struct repo_fetch f; /* first: the kind gives it back */
	struct fetch *next;  /* of its content */
	struct fetch *start; /* of those to be started */
	struct content *content;
	struct origin *origin;
	_Atomic unsigned refs;
	uint64_t from, pos, to; /* bytes: asked, written to the file, up to */
	char *bytes;		/* of the chunk at pos those that came; its kind's thread */
	size_t held;
	uint64_t marked;	/* first chunk that was not marked */
	uint64_t reserved;	/* bytes of the quota */
	uint64_t came;		/* of them, that are here because of it */
	int64_t hungry_ns;	/* since when there is no room for it; 0 = there was */
	bool started;		/* the kind has taken it */
	bool cancelled;		/* nobody waits for what it brings */
	bool over;		/* done() came */
	bool misfit;		/* what comes is not of this content */
	char validator[REPO_ID_MAX];
};

/* Somebody reads on and on: up to where, and how much was asked for ahead. */
struct stream {
	uint64_t next, read;
	uint64_t ahead; /* up to here it was asked for */
	unsigned used;
};

struct content {
	struct content *chain; /* table_lock */
	unsigned refs;	       /* table_lock */
	int64_t idle_ns;       /* table_lock: since when nobody uses it */
	bool hash_queued;      /* hash_lock */
	struct content *hash_next;

	uint64_t id;
	int fd;		       /* of the bytes; never changes */
	struct chunks *chunks; /* NULL: it was whole when it was opened */

	pthread_mutex_t lock;
	/* lock */
	char key[CACHE_KEY_MAX];
	char algo[8], digest[DIGEST_HEX]; /* that it has to match, "" = none; never changes */
	bool has_size, whole, doubted;
	bool verified; /* hashed, and matched where there is something to match */
	bool dirty;    /* chunks came since they were synced */
	uint64_t size;
	uint64_t noted; /* bytes that the row says are here */
	bool whole_only; /* its server knows no ranges */
	char validator[REPO_ID_MAX]; /* that parts are asked for with */
	char sent[REPO_ID_MAX];	     /* as the server said with the bytes; "" = not since it is live */
	char sha256[SHA256_HEX];
	struct reason gone; /* err: what its readers get from now on */
	unsigned opens;
	unsigned turn; /* of streams */
	struct origin *origin; /* whom to ask: by way of whom it was opened last, or another one */
	struct miss *misses;   /* repositories that failed (content_origin.c) */
	unsigned misses_len;
	struct fetch *fetches;
	struct content_wait *waits;
	struct stream streams[CONTENT_STREAMS];
	int64_t progress_ns; /* when a byte came last, or it was asked for */
	bool recognised;     /* the first bytes were looked at */

	/* the hashing thread's */
	struct digest *sha, *other;
	uint64_t hashed;
};

/* content.c */
static inline uint64_t chunks_of(uint64_t bytes) { return (bytes + CHUNK_SIZE - 1) / CHUNK_SIZE; }
/* lock held: all of it is in the file. */
bool content_complete(const struct content *c);
/* lock held: bytes that are here. */
uint64_t content_bytes(const struct content *c);
/* Its bytes are no good: err for who reads it, also later; what was asked for is cancelled. */
void content_drop(struct content *c, const struct reason *why);

/* content_table.c */
extern struct store *contents_store;
extern pthread_mutex_t table_lock;
extern struct content *contents_live[CONTENT_BUCKETS];
/* A row that is not live, for somebody who needs time with it. False: it is live, or somebody has it. */
struct claim {
	struct claim *next;
	uint64_t id;
};
bool content_claim(struct claim *claim, uint64_t id);
void content_unclaim(struct claim *claim);
/* table_lock held. NULL: it is not live. */
struct content *table_find(uint64_t id);
void content_ref(struct content *c);
void content_free(struct content *c);
/* Once in a while: rows of contents that are nobody's any more are dropped. */
void contents_sweep(void);

/* content_origin.c */
/* lock of nothing held. This origin of it failed, or would: is there another one to be asked from now on? */
bool content_elsewhere(struct content *c, const struct origin *failed);
/* Of a fetch: it is the repository that failed, and another one may not. */
bool error_is_of_origin(int err);

/* content_wait.c */
/* lock held: take out of `waits` what is over (err 0: what can be answered now; else what only
 * bytes from..to were missing for) into a list. */
struct content_wait *waits_ready(struct content *c);
struct content_wait *waits_failed(struct content *c, uint64_t from, uint64_t to);
/* lock held: tell them how far it is. */
void waits_progress(struct content *c);
/* Without a lock. */
void waits_done(struct content_wait *list, int err, const struct reason *why);

/* Either lock, by who answers a request: another may hold it while he waits for the disk. */
static inline void lock_take(pthread_mutex_t *lock)
{
	if (!pthread_mutex_trylock(lock))
		return;
	loop_may_wait();
	pthread_mutex_lock(lock);
}

/* content_fetch.c. lock held: have these chunks asked for; *start grows. */
void fetch_cover(struct content *c, uint64_t from, uint64_t to, struct fetch **start);
void fetch_demand(struct content *c, uint64_t from, uint64_t to, struct fetch **start);
void fetch_all(struct content *c, struct fetch **start);
/* lock held: those that nobody wants any more, with a reference each. */
struct fetch *fetch_give_up(struct content *c);
/* Without a lock. */
void fetch_start(struct fetch *start);
/* Those for which there was no room, once more. False: there are none that wait for that now. */
bool fetches_retry(void);
void fetch_cancel(struct fetch *list);
/* content_write.c; on the thread of the kind, without a lock. What came next: whole chunks go into the file. */
int fetch_take(struct fetch *f, const char *bytes, size_t n, struct reason *why);
/* The part of a chunk that is left, too. */
int fetch_flush(struct fetch *f, struct reason *why);
/* content_fetch.c. The next n bytes are in the file. */
int fetch_written(struct fetch *f, size_t n, struct reason *why);
/* Wait until the kinds have given back all that they had, or a moment. */
void fetches_settle(void);

/* content_hash.c */
int hash_start(struct reason *why);
void hash_stop(void);
/* There is something to hash, perhaps all of it. */
void hash_queue(struct content *c);

/* content_work.c */
int work_start(struct reason *why);
void work_stop(void);
/* Look after interrupted waits, and what is idle. */
void work_kick(void);
/* The same, within a second or so: somebody waits. */
void work_look(void);
/* Those that nobody uses since a while before `now` (of the monotonic clock; INT64_MAX: at all) are
 * noted and freed. True: others are to be soon. */
bool contents_retire(int64_t now, bool sync);

/* content_quota.c */
/* lock of nothing held. Room for so many bytes, by evicting others: 0, -EDQUOT, -ENOSPC. */
int usage_reserve(uint64_t bytes, struct reason *why);
/* What was reserved is written, or never will be. */
void usage_arrived(uint64_t bytes);
void usage_release(uint64_t bytes);
/* So many bytes are here, where so many were noted. */
void usage_found(uint64_t bytes, uint64_t noted);
void usage_set(uint64_t quota, uint64_t used);
/* The quota may be smaller than it was: drop what is over it. */
void usage_fit(void);
/* Drop the least recently used ones that have so many bytes, or what there is. False: there is none.
 * *freed (may be NULL): bytes are off the disk, which a card that is being programmed delays. */
bool usage_evict(uint64_t bytes, bool *freed);
/* lock of nothing held. There was no room for it (err): true: it is kept until there may be. */
bool fetch_hungers(struct fetch *f, int err);
/* Take those, a list by `start`. */
struct fetch *fetches_hungry(void);

#endif
