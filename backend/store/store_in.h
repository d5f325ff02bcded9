// SPDX-License-Identifier: Apache-2.0
/*
 * What the files of the store share.
 *
 * Locks, in order of precedence (outer first):
 *   names_lock   which names blobs/ has, where a row is to name one: rows and a rename, or a look and an unlink
 *   write_lock   the writer connection, its statements, next_seq
 *   read_lock    the reader connection and its statements
 *   sync_lock    dirty, synced, failed, quit, sync_why, gone
 *   list_lock    the catalogue's reader connection and its statements
 *   heads_lock   heads, newest; a leaf, held for a few instructions
 *   the queue's  entries of listings that wait to be written (catalogue_queue.c); a leaf
 * No two of write_lock, read_lock and list_lock are held together. No fsync happens under
 * write_lock but the one header that SQLite syncs when the WAL starts again,
 * which the background thread takes upon itself (sync.c).
 */
#ifndef FABRICFS_STORE_IN_H
#define FABRICFS_STORE_IN_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include <fabricfs/store.h>

#define STORE_SCHEMA 3
#define STORE_APP_ID 0x66706773 /* "fpgs", PRAGMA application_id */
#define STORE_DB "catalogue.db"
#define STORE_KEY_MAX 512     /* longest recognition key in bytes */
#define STORE_CARD_MAX 65536  /* card numbers; guards the table of heads */
#define STORE_TRIM_EVERY 64   /* records of a card between two trims */
#define STORE_WAL_PAGES 1000  /* pages in the WAL before it is copied back */
#define STORE_FRAME (4096 + 24) /* bytes of a page in the WAL (sqlite.org/fileformat2.html, 4.1) */
#define STORE_RESERVE (256 << 10) /* bytes: a few commits, each with a trim of the history */
#define STORE_BATCH_MS 50     /* commits within this time share one fsync */
#define STORE_GONE 16         /* removed blobs whose bytes are freed behind the caller */
#define STORE_PLACES 256      /* followers whose place is remembered */
#define STORE_TOLD 512        /* requests whose records are remembered: more than come again at once */

enum writer_stmt {
	W_BEGIN, W_COMMIT, W_ROLLBACK, W_CARD_GET, W_CARD_ADD, W_CARD_FORGET, W_SLOT_FORGET, W_SLOT_PUT,
	W_RECORD_ADD, W_HEAD_PUT, W_TRIM_CARD, W_TRIM_NONE, W_TRIM_FORGOTTEN, W_HEAD_TRIMMED, W_MARK,
	W_DOUBT, W_TOLD,
	W_COUNT
};
enum reader_stmt {
	R_SLOT, R_LAST_CARD, R_LAST_ALL, R_NEXT_CARD, R_NEXT_ALL, R_SIZE_CARD, R_SIZE_ALL, R_PLACE,
	R_HEAD, R_NAMED, R_TOLD, R_COUNT
};

/* catalogue.c: of the catalogue's reader, and of the writer. */
enum list_stmt {
	L_REPO_IMAGES, L_GET, L_NAMED, L_WITH_ID, L_WITH_DIGEST, L_DIGEST_IS_OF, L_PROPERTIES, L_FACTS, L_LIST, L_LIST_NAMES, L_KNOWN,
	L_COUNT
};
/* Of entries (e) that are pinned (p, pins.c): by way of the pins, which are few. */
#define STORE_PINNED(what, where)                                                                       \
	"SELECT " what " FROM pin AS p CROSS JOIN entry AS e INDEXED BY entry_owner ON e.repo = p.repo" \
	" AND e.name = p.name AND e.shown = 1 WHERE p.remote_id = '' AND " where                        \
	" UNION ALL SELECT " what " FROM pin AS p CROSS JOIN entry AS e ON e.repo = p.repo AND e.remote_id" \
	" = p.remote_id WHERE p.remote_id <> '' AND e.name = p.name AND " where
enum pin_stmt { P_PUT, P_DROP, P_GET, P_COUNT };
enum catalogue_stmt {
	C_REPO_ADD, C_REPO_GET, C_REPO_OTHER, C_REPO_PUT, C_DROP_SOME, C_SIZE, C_TOLD, C_CONTENT, C_CONTENT_OTHER,
	C_CONTENT_OF, C_CONTENT_GONE, C_FACTS, C_KNOWN,
	C_BEGIN, C_FIND, C_ADD, C_ADD_RUN, C_CHANGE, C_ABOUT, C_BEST, C_SHOWN, C_SHOW, C_REST, C_DROP, C_RANGE,
	C_COUNT
};
/* Of entry.flags: which version of its bytes. */
static inline unsigned store_entry_version(int64_t flags)
{
	return (unsigned)(flags >> 2) & 65535;
}

/* Rows that C_ADD_RUN adds at once, and the parameters of each; the first parameter is the repository. */
#define STORE_RUN	  16
#define STORE_RUN_COLUMNS 11

/* The newest record of a card, and the size of what it shows, once asked. */
struct store_head {
	uint64_t newest;   /* number of its newest record, 0 = none */
	uint64_t nth;      /* how many it ever had */
	uint64_t sized_at; /* `newest` when bytes was computed; 0 = never */
	uint64_t bytes;
};

/* Where a follower stood: that record `seq` was the nth of its card. */
struct store_place {
	uint64_t seq, nth;
};

struct store {
	char *dir;
	int dir_fd, blobs_fd, spool_fd, run_fd, wal_fd, chunks_fd;
	char boot[64]; /* this boot's id: what was written in it is in the page cache at least */

	pthread_mutex_t names_lock;
	pthread_mutex_t write_lock; /* turn.c */
	pthread_cond_t write_calm;
	unsigned write_patient;	    /* who waits for that */
	_Atomic unsigned write_wanted; /* who waits for the lock, but for these */
	sqlite3 *writer;
	sqlite3_stmt *w[W_COUNT];
	uint64_t next_seq;
	_Atomic int wal_pages;

	pthread_mutex_t read_lock;
	sqlite3 *reader;
	sqlite3_stmt *r[R_COUNT];
	struct store_place places[STORE_PLACES];

	pthread_mutex_t list_lock;
	sqlite3 *lister;
	sqlite3_stmt *l[L_COUNT];
	sqlite3_stmt *c[C_COUNT]; /* of the writer */
	bool loose_all; /* any blob may have no name (write_lock; blobs.c) */
	sqlite3_stmt *p[P_COUNT]; /* P_GET is the reader's, under read_lock; the others the writer's */
	struct catalogue_queue *queue; /* catalogue_queue.c */

	pthread_mutex_t heads_lock;
	struct store_head all;
	struct store_head *heads; /* by card number */
	size_t heads_len;

	pthread_t sync_thread;
	bool sync_started;
	pthread_mutex_t sync_lock;
	pthread_cond_t sync_wake, sync_done;
	uint64_t dirty;  /* counts commits */
	uint64_t synced; /* all commits up to this one are on the disk */
	uint64_t failed; /* syncing this one failed, sync_why says why */
	unsigned sync_waiters;
	bool quit;
	int gone[STORE_GONE]; /* the last descriptors of blobs that were removed */
	unsigned gone_len;
	struct reason sync_why;
	sqlite3 *syncer;

	struct store_contents *contents; /* statements (contents.c) */
};

/* turn.c: write_lock. */
void store_write_lock(struct store *store);
/* Behind all who wait for it. */
void store_write_lock_last(struct store *store);
void store_write_unlock(struct store *store);
/* Does somebody wait for it, who would not wait behind others? */
bool store_write_wanted(struct store *store);

/* db.c: the sentence for what SQLite said last about `db`. Returns -errno. */
int store_db_fail(struct store *store, sqlite3 *db, int rc, struct reason *why, const char *what);
/* Run a statement that gives no row, and make it ready for the next use. SQLite's code. */
int store_step_done(sqlite3_stmt *stmt);
/* BEGIN IMMEDIATE and its ends; write_lock is held. store_tx_end commits when
 * err is 0, rolls back otherwise, and returns the errno that counts. */
int store_tx_begin(struct store *store, struct reason *why);
int store_tx_end(struct store *store, int err, struct reason *why, const char *what);

int store_prepare(struct store *store, sqlite3 *db, const char *const *sql, sqlite3_stmt **out, int n,
		  struct reason *why);
/* `what` is for the sentence. */
int store_db_exec(struct store *store, sqlite3 *db, const char *sql, struct reason *why, const char *what);

/* schema.c: make the tables of a new file, or find that it is ours, sound and not newer. */
int store_schema_check(struct store *store, bool fresh, struct reason *why);

/* catalogue.c */
extern const char store_catalogue_schema[], store_catalogue_added[];
int store_catalogue_start(struct store *store, struct reason *why);
/* All entries of a repository. */
int store_entries_drop(struct store *store, uint64_t repo, struct reason *why);

/* catalogue_queue.c */
int store_queue_start(struct store *store, struct reason *why);
void store_queue_stop(struct store *store);

/* records.c: append within a transaction; write_lock is held. store_record_told
 * follows once it is committed. */
int store_record_put(struct store *store, const struct store_record *record, struct reason *why);
void store_record_told(struct store *store, const struct store_record *record, uint64_t *seq);
int store_heads_load(struct store *store, struct reason *why);

/* blobs.c */
bool store_sha256_valid(const char *sha256);
int store_spool_empty(struct store *store, struct reason *why);
/* Rows with this image count as not durable until the next round of syncing. */
int store_blob_doubt(struct store *store, const char *sha256, struct reason *why);
/* Free the bytes of removed blobs. */
void store_gone_close(struct store *store);

/* contents.c */
extern const char store_contents_schema[];
int store_contents_start(struct store *store, struct reason *why);
void store_contents_stop(struct store *store);
/* blobs.c: as soon as there is a schema, and before a row is changed. */
int store_blobs_start(struct store *store, struct reason *why);
/* pins.c */
extern const char store_pins_raise[];
int store_pins_start(struct store *store, struct reason *why);
void store_pins_stop(struct store *store);
/* For a round of syncing: whole ones that are not known to be on the disk. */
struct unsynced_contents {
	struct unsynced_content *first;
	size_t len;
};
int store_contents_collect(struct store *store, struct unsynced_contents *list, struct reason *why);
int store_contents_each(const struct unsynced_contents *list,
			int (*fn)(struct store *store, const char *sha256, struct reason *why),
			struct store *store, struct reason *why);
/* Within a transaction, write_lock held; SQLite's code. */
int store_contents_mark(struct store *store, const struct unsynced_contents *list);
int store_contents_doubt(struct store *store, const char *sha256);
void store_contents_free(struct unsynced_contents *list);

/* blobs.c: open a file of spool/ or chunks/ that an image comes into, for reading and writing; it is made
 * if there is none. A descriptor, or -1 and errno. */
int store_part_open(int dir_fd, const char *name);

/* sync.c */
int store_sync_start(struct store *store, struct reason *why);
void store_sync_stop(struct store *store);
void store_dirty(struct store *store);

#endif
