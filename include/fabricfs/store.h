// SPDX-License-Identifier: Apache-2.0
/*
 * The store: what survives a restart of everything. One SQLite file (WAL) and
 * a folder of blobs named by SHA-256, in the state directory:
 *
 *   STATE/catalogue.db   cards' numbers, what is loaded, history
 *   STATE/blobs/<sha256> images
 *   STATE/spool/<id>     uploads in progress; emptied when the holder starts
 *   STATE/run/           sockets of card processes
 *   STATE/lock           flock'ed by the daemon that owns the folder
 *
 * Threads: every function may be called from any thread unless it says
 * otherwise; writers are serialised inside, readers have their own connection
 * and do not wait for writers. Calls do disk I/O, none waits for fsync except
 * store_sync() and the store's own background thread.
 *
 * Durability: a commit survives the death of every process at once; it is
 * written as not yet durable, and the store's background thread then syncs
 * first the blob, then the database, and marks it durable. A row that was not
 * yet durable when the machine lost power is believed only if its blob hashes
 * right (store_slot_load does that check).
 */
#ifndef FABRICFS_STORE_H
#define FABRICFS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fabricfs/buf.h>
#include <fabricfs/digest.h>
#include <fabricfs/error.h>

#define STORE_HISTORY_MAX 1000 /* records kept and shown per card, and of all */

struct store;

/*
 * Make the folder (0700) if it is missing, and take its lock without waiting.
 * *lock_fd keeps it until closed (it is inherited by fork, CLOEXEC across exec;
 * clear that flag to hand it on). Sentences: cannot be made, not a folder, not
 * writable, locked by another daemon (with its pid). Main thread.
 */
int store_lock(const char *dir, int *lock_fd, struct reason *why);
/* The same, but wait up to wait_ms for an owner that is about to end. Main thread, no others
 * yet: it is timed by SIGALRM. */
int store_lock_wait(const char *dir, int wait_ms, int *lock_fd, struct reason *why);
/* Note beside the lock where its owner is mounted, for who finds it taken; and read that
 * (false: nothing is noted). */
void store_lock_note(int lock_fd, const char *mountpoint);
bool store_lock_where(const char *dir, char *mountpoint, size_t size);
/*
 * Open, and create or check the schema. -EROFS/-EACCES not writable, -EUCLEAN
 * damaged (the sentence names the file and says what to do; nothing is deleted),
 * -EPROTO written by a newer fabricfs (both versions named), -ENOSPC.
 * `fresh`: the holder is starting, nothing is in progress: the spool is emptied.
 */
int store_open(const char *dir, bool fresh, struct store **store, struct reason *why);
void store_close(struct store *store);
/* Wait until everything committed is on the disk. 0 or -errno. */
int store_sync(struct store *store, struct reason *why);
/* Path of the state directory as given to store_open. */
const char *store_dir(const struct store *store);
/* Descriptor of STATE/run (O_DIRECTORY); belongs to the store. */
int store_run_dir(const struct store *store);

/* --- cards ------------------------------------------------------------------- */

/*
 * The number of the card with this recognition key ("sim:bench", "serial:..."):
 * the one it had, or the lowest never given before. Numbers are never reused,
 * also after store_card_forget(). *added: it is new.
 */
int store_card_number(struct store *store, const char *key, unsigned *number, bool *added,
		      struct reason *why);
int store_card_forget(struct store *store, unsigned number, struct reason *why);

/* What a card (slot -1) or one of its slots has. JSON texts are the caller's
 * to free with store_slot_fini; NULL = nothing. Times: ns since the epoch. */
struct store_slot {
	char loaded_sha256[SHA256_HEX];   /* "" = nothing is loaded */
	char *loaded;                     /* JSON of loaded/ and the image's facts */
	char previous_sha256[SHA256_HEX]; /* the last good image before; "" = none */
	char *previous;
	char error[REASON_MAX];
	char state[16];        /* the state word last shown */
	int64_t image_mtime_ns;
	int64_t state_mtime_ns;
	uint64_t load;         /* counts loads: an open of io/ belongs to one */
	uint64_t run;          /* id of the last run (card_run.id) whose result is in here */
	int run_err;           /* its result, positive errno or 0 */
	bool restorable;       /* loaded is what the card should have after a start */
};

void store_slot_fini(struct store_slot *slot);
/* -ENOENT: nothing is known yet (slot is zeroed). A row that was not durable
 * and whose blob is missing or hashes wrong comes back with nothing loaded, and
 * *doubted set. */
int store_slot_load(struct store *store, unsigned dev, int slot, struct store_slot *out,
		    bool *doubted, struct reason *why);
/* Have room for the next few commits: before a card is touched, so that what comes of it can be
 * noted. -ENOSPC, -EDQUOT. May block on the disk. */
int store_reserve(struct store *store, struct reason *why);
/*
 * Replace the row and append a record, in one transaction (either may be NULL).
 * seq: number of the record, growing by 1, never reused; may be NULL.
 * -ENOSPC/-EROFS: nothing changed.
 */
struct store_record {
	int64_t time_ns;
	int dev;          /* -1 = of no card */
	int slot;         /* -1 = of the card itself */
	const char *json; /* one object, no newline */
	uint64_t run;     /* the request that it is about, for store_told(); 0 = of none */
};
int store_commit(struct store *store, unsigned dev, int slot, const struct store_slot *row,
		 const struct store_record *record, uint64_t *seq, struct reason *why);

/* Is a record about this request committed? Of the last few hundred such; for requests that come
 * again because a worker died between the record and the answer. */
bool store_told(struct store *store, uint64_t run);

/* --- records ------------------------------------------------------------------ */

/* Append one record that changes no row. */
int store_record_add(struct store *store, const struct store_record *record, uint64_t *seq,
		     struct reason *why);
/*
 * The last `max` records (of card dev, or of all with dev -1) whose number is
 * above `after`, oldest first, each a line ending in a newline, appended to
 * `out`. *last: number of the last one given (or `after`); *first: of the first
 * (or 0). Any of the pointers may be NULL.
 */
int store_records(struct store *store, int dev, uint64_t after, unsigned max, struct buf *out,
		  uint64_t *first, uint64_t *last, struct reason *why);
/*
 * The oldest `max` records above `after` instead (for a follower that reads on);
 * *lost: how many between `after` and *last have been trimmed away already, so
 * that the sum over a follower's calls is what it missed in all. Exact for all
 * cards, and for one card when `after` is 0, still there, or the *last of a
 * recent call; else at most the true count.
 */
int store_records_next(struct store *store, int dev, uint64_t after, unsigned max, struct buf *out,
		       uint64_t *last, uint64_t *lost, struct reason *why);
/* Bytes that store_records(dev, 0, STORE_HISTORY_MAX) would give; cheap. */
int store_records_size(struct store *store, int dev, uint64_t *bytes);
/* Number of the newest record (of card dev, or of all with -1), 0 = none. */
uint64_t store_records_last(struct store *store, int dev);

/* --- blobs and spool ----------------------------------------------------------- */

/* Open (create) the spool file of an upload, read-write. -ENOSPC -EDQUOT -EROFS. */
int store_spool_open(struct store *store, uint64_t id, int *fd, struct reason *why);
/* Path "STATE/spool/<id>" into out. */
void store_spool_path(const struct store *store, uint64_t id, char *out, size_t size);
void store_spool_drop(struct store *store, uint64_t id);
/* Turn a spool file into the blob of that digest: a rename (the spool name is
 * gone afterwards, also when the blob was there before: the new bytes replace it). */
int store_spool_keep(struct store *store, uint64_t id, const char *sha256, struct reason *why);
/* A blob for reading; -ENOENT. *size in bytes; may be NULL. */
int store_blob_open(struct store *store, const char *sha256, int *fd, uint64_t *size,
		    struct reason *why);
void store_blob_path(const struct store *store, const char *sha256, char *out, size_t size);
/* Remove the blobs that no row names as loaded or previous. Their names are gone when it
 * returns, their bytes a moment later. */
int store_blobs_trim(struct store *store, struct reason *why);
/* The disk is full: free now what is about to be freed. False: there is nothing. */
bool store_room_make(struct store *store);

#endif
