// SPDX-License-Identifier: Apache-2.0
/*
 * The background thread that brings commits to the disk.
 *
 * A round: read which rows are not yet durable; fsync the blobs that they name
 * and their folder; fdatasync the WAL, which holds those rows; copy the WAL
 * back when it has grown; mark the rows. The mark itself is not synced: losing
 * it costs hashing one blob after a power loss, nothing else.
 *
 * The mark comes after the copying back on purpose: the first write into a WAL
 * that starts again makes SQLite sync its header, and that is then ours and not
 * that of a close() somebody waits for.
 *
 * It also frees the bytes of images that were removed (blobs.c), which takes the
 * kernel 20 to 35 ms for 100 MB.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <fabricfs/clock.h>
#include <fabricfs/log.h>

#include "store_in.h"

struct unsynced {
	int dev, slot;
	int64_t version;
	char sha256[2][SHA256_HEX];
};

struct round {
	struct unsynced *rows;
	size_t len, room;
	struct unsynced_contents contents;
};

static int round_collect(struct store *store, struct round *round, struct reason *why)
{
	sqlite3_stmt *s = NULL;
	int rc;

	rc = sqlite3_prepare_v2(store->syncer, "SELECT dev, slot, version, loaded_sha256, previous_sha256 FROM slots"
				" WHERE boot IS NOT NULL", -1, &s, NULL);
	while (!rc && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		rc = SQLITE_OK;
		if (round->len == round->room) {
			size_t room = round->room ? 2 * round->room : 16;
			struct unsynced *rows = realloc(round->rows, room * sizeof(*rows));

			if (!rows) {
				rc = SQLITE_NOMEM;
				break;
			}
			round->rows = rows;
			round->room = room;
		}

		struct unsynced *u = &round->rows[round->len++];

		u->dev = sqlite3_column_int(s, 0);
		u->slot = sqlite3_column_int(s, 1);
		u->version = sqlite3_column_int64(s, 2);
		text_copy(u->sha256[0], SHA256_HEX, (const char *)sqlite3_column_text(s, 3));
		text_copy(u->sha256[1], SHA256_HEX, (const char *)sqlite3_column_text(s, 4));
	}
	sqlite3_finalize(s);
	if (rc != SQLITE_DONE)
		return store_db_fail(store, store->syncer, rc, why, "looking for what is not yet on the disk");
	return store_contents_collect(store, &round->contents, why);
}

static int blob_sync(struct store *store, const char *sha256, struct reason *why)
{
	int fd CLEANUP_FD = -1;

	if (!store_sha256_valid(sha256))
		return 0;
	fd = openat(store->blobs_fd, sha256, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return 0; /* replaced and trimmed meanwhile */
	if (fd < 0 || fsync(fd))
		return reason_set(why, errno, "cannot bring %s/blobs/%s to the disk: %s", store->dir, sha256,
				  strerror(errno));
	return 0;
}

static int blobs_sync(struct store *store, const struct round *round, struct reason *why)
{
	int err = 0;

	for (size_t i = 0; !err && i < round->len; i++)
		for (int k = 0; !err && k < 2; k++)
			err = blob_sync(store, round->rows[i].sha256[k], why);
	if (!err)
		err = store_contents_each(&round->contents, blob_sync, store, why);
	if (!err && (round->len || round->contents.len) && fsync(store->blobs_fd))
		err = reason_set(why, errno, "cannot bring %s/blobs to the disk: %s", store->dir, strerror(errno));
	return err;
}

/* Without the marks the next round, or the next start, does the work again. */
static void round_mark(struct store *store, const struct round *round)
{
	struct reason why = { 0 };
	int err;

	if (!round->len && !round->contents.len)
		return;
	store_write_lock(store);
	err = store_tx_begin(store, &why);
	if (!err) {
		for (size_t i = 0; !err && i < round->len; i++) {
			sqlite3_stmt *s = store->w[W_MARK];
			int rc;

			sqlite3_bind_int(s, 1, round->rows[i].dev);
			sqlite3_bind_int(s, 2, round->rows[i].slot);
			sqlite3_bind_int64(s, 3, round->rows[i].version);
			rc = store_step_done(s);
			if (rc)
				err = store_db_fail(store, store->writer, rc, &why, "marking");
		}
		if (!err && store_contents_mark(store, &round->contents))
			err = reason_set(&why, EIO, "marking cached images");
		err = store_tx_end(store, err, &why, "marking");
	}
	store_write_unlock(store);
	if (err)
		log_debug("store: %s", why.text);
}

static int sync_round(struct store *store, struct reason *why)
{
	struct round round = { 0 };
	int err;

	err = round_collect(store, &round, why);
	if (!err)
		err = blobs_sync(store, &round, why);
	if (!err && fdatasync(store->wal_fd))
		err = reason_set(why, errno, "cannot bring %s/" STORE_DB " to the disk: %s", store->dir,
				 strerror(errno));
	if (!err) {
		/* A full disk stops the copying back, not the durability: the WAL has it all. */
		if (atomic_load(&store->wal_pages) >= STORE_WAL_PAGES)
			sqlite3_wal_checkpoint_v2(store->syncer, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
		round_mark(store, &round);
	}
	free(round.rows);
	store_contents_free(&round.contents);
	return err;
}

/* Commits that come close together share one round. sync_lock is held. */
static void batch_wait(struct store *store)
{
	int64_t until = clock_mono_ns() + STORE_BATCH_MS * INT64_C(1000000);
	struct timespec ts = { .tv_sec = until / 1000000000, .tv_nsec = until % 1000000000 };

	while (!store->quit && !store->sync_waiters)
		if (pthread_cond_timedwait(&store->sync_wake, &store->sync_lock, &ts))
			break;
}

static void *sync_main(void *arg)
{
	struct store *store = arg;
	bool complained = false;

	pthread_mutex_lock(&store->sync_lock);
	for (;;) {
		while (!store->quit && store->dirty == (store->synced > store->failed ? store->synced : store->failed))
			pthread_cond_wait(&store->sync_wake, &store->sync_lock);
		batch_wait(store);
		if (store->dirty == store->synced)
			break; /* only when quitting with nothing left */

		uint64_t upto = store->dirty;
		bool last = store->quit;
		struct reason why = { 0 };
		int err;

		pthread_mutex_unlock(&store->sync_lock);
		store_gone_close(store);
		err = sync_round(store, &why);
		if (err && !complained)
			log_warn("%s; what was loaded since is safe from a crash of fabricfs, not of the machine", why.text);
		complained = err;
		pthread_mutex_lock(&store->sync_lock);
		if (err) {
			store->failed = upto;
			store->sync_why = why;
		} else {
			store->synced = upto;
		}
		pthread_cond_broadcast(&store->sync_done);
		if (last)
			break;
	}
	pthread_mutex_unlock(&store->sync_lock);
	return NULL;
}

int store_sync_start(struct store *store, struct reason *why)
{
	pthread_condattr_t mono;
	sigset_t all, before;
	int err;

	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&store->sync_wake, &mono);
	pthread_cond_init(&store->sync_done, &mono);
	pthread_condattr_destroy(&mono);
	/* Rows that the last worker did not come to mark are this one's first round. */
	store->dirty = 1;
	/* Signals belong to the threads that asked for them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&store->sync_thread, NULL, sync_main, store);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		pthread_cond_destroy(&store->sync_wake);
		pthread_cond_destroy(&store->sync_done);
		return reason_set(why, err, "cannot start the store's thread: %s", strerror(err));
	}
	store->sync_started = true;
	pthread_setname_np(store->sync_thread, "store-sync");
	return 0;
}

void store_sync_stop(struct store *store)
{
	if (!store->sync_started)
		return;
	pthread_mutex_lock(&store->sync_lock);
	store->quit = true;
	pthread_cond_broadcast(&store->sync_wake);
	pthread_mutex_unlock(&store->sync_lock);
	pthread_join(store->sync_thread, NULL);
	pthread_cond_destroy(&store->sync_wake);
	pthread_cond_destroy(&store->sync_done);
	store->sync_started = false;
}

void store_dirty(struct store *store)
{
	pthread_mutex_lock(&store->sync_lock);
	store->dirty++;
	pthread_cond_signal(&store->sync_wake);
	pthread_mutex_unlock(&store->sync_lock);
}

int store_sync(struct store *store, struct reason *why)
{
	int err = 0;
	uint64_t want;

	pthread_mutex_lock(&store->sync_lock);
	/* After a failure there is nothing that would wake the thread: ask again. */
	if (store->failed > store->synced && store->failed == store->dirty)
		store->dirty++;
	want = store->dirty;
	store->sync_waiters++;
	pthread_cond_broadcast(&store->sync_wake);
	while (store->synced < want && store->failed < want)
		pthread_cond_wait(&store->sync_done, &store->sync_lock);
	store->sync_waiters--;
	if (store->synced < want) {
		if (why)
			*why = store->sync_why;
		err = -store->sync_why.err;
	}
	pthread_mutex_unlock(&store->sync_lock);
	return err;
}
