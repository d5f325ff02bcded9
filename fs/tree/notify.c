// SPDX-License-Identifier: Apache-2.0
/*
 * From changes of cards to the kernel: what it keeps is invalidated, who polls
 * or follows is woken. One thread does all of it, because an invalidation may
 * wait for a request that only a FUSE thread can answer. Who told of a change
 * outside of a request (the card's own thread) waits until it was passed on, at
 * most a second: it is about to answer a copy, and whoever copied then reads
 * loaded/, which must not come from the page cache of before.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/daemon/session.h"
#include "fs/tree/serve.h"

#include <fabricfs/clock.h>
#include <fabricfs/log.h>

struct change_note {
	struct change_note *next;
	uint64_t repo; /* 0 = of none */
	int dev, slot;
	unsigned what;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static pthread_t thread;
/* All below: lock. */
static bool running, connected, ending, kicked, taking_over;
static struct change_note *notes, **notes_end = &notes;
static uint64_t *again;
static size_t again_len, again_cap;

/* Notes are numbered; all up to `told` were passed on. */
static uint64_t noted, told;
static pthread_cond_t passed_on = PTHREAD_COND_INITIALIZER;
static __thread bool is_notifier;
#define TOLD_WAIT_NS INT64_C(1000000000)

static _Atomic uint64_t count;

/* Notifier only: cards whose every file was invalidated after a takeover. */
static bool *refreshed;
static size_t refreshed_len;

uint64_t notify_count(void)
{
	return atomic_load(&count);
}

/* lock */
static void wait_told(void)
{
	uint64_t number = noted;
	struct timespec deadline = clock_timespec(clock_mono_ns() + TOLD_WAIT_NS);

	while (told < number && !ending)
		if (pthread_cond_clockwait(&passed_on, &lock, CLOCK_MONOTONIC, &deadline))
			return;
}

static void change_note(uint64_t repo, int dev, int slot, unsigned what)
{
	struct change_note *note;

	/* Readiness of io/ is asked for by those who poll; nothing of it is rendered or kept. */
	bool shown = what & ~(unsigned)CHANGE_IO;

	if (!what)
		return;
	/* The view is published by now: who asks from here on sees it. */
	if (shown)
		atomic_fetch_add(&count, 1);
	pthread_mutex_lock(&lock);
	if (ending) {
		pthread_mutex_unlock(&lock);
		return;
	}
	noted++;
	for (note = notes; note; note = note->next)
		if (note->repo == repo && note->dev == dev && note->slot == slot)
			break;
	if (note) {
		note->what |= what;
	} else if ((note = malloc(sizeof(*note)))) {
		*note = (struct change_note){ .repo = repo, .dev = dev, .slot = slot, .what = what };
		*notes_end = note;
		notes_end = &note->next;
	} else {
		log_error("no memory to tell of a change of dev%d: what the kernel keeps of it is old", dev);
	}
	pthread_cond_signal(&wake);
	if (shown && connected && !is_notifier && !request_current()->unique)
		wait_told();
	pthread_mutex_unlock(&lock);
}

static void changed(int dev, int slot, unsigned what)
{
	change_note(0, dev, slot, what);
}

void notify_repo(uint64_t repo, unsigned what)
{
	change_note(repo, -1, -1, what);
}

void notify_again(uint64_t ino)
{
	pthread_mutex_lock(&lock);
	if (again_len == again_cap) {
		size_t cap = again_cap ? again_cap * 2 : 64;
		uint64_t *more = realloc(again, cap * sizeof(*more));

		if (!more) {
			pthread_mutex_unlock(&lock);
			return;
		}
		again = more;
		again_cap = cap;
	}
	again[again_len++] = ino;
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
}

void notify_kick(void)
{
	pthread_mutex_lock(&lock);
	kicked = true;
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
}

void notify_connected(void)
{
	pthread_mutex_lock(&lock);
	connected = true;
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
}

/* --- the thread -------------------------------------------------------------------------- */

static void rows_stale(const struct row *rows, unsigned len, const struct place *dir, unsigned what)
{
	for (unsigned i = 0; i < len; i++) {
		uint64_t ino;

		if (!(rows[i].changes & what) || !row_exists(&rows[i], dir))
			continue;
		ino = row_ino(&rows[i], dir);
		if (attr_handed_out(ino))
			session_notify_inode(ino);
	}
}

static void slot_stale(int dev, int slot, unsigned what)
{
	uint64_t ino = node_make(NODE_CARD, (unsigned)dev, slot, FILE_DIR);
	struct place dir CLEANUP_PLACE = { 0 };

	if (!place_open(&dir, ino))
		rows_stale(card_rows, card_rows_len, &dir, what);
	else
		session_notify_inode(ino); /* the card was forgotten: who asks again, finds no such node */
}

/* True once for each card: what the dead worker did not come to tell is told now. */
static bool first_time(int dev)
{
	if (!taking_over || dev < 0)
		return false;
	if ((size_t)dev >= refreshed_len) {
		size_t len = (size_t)dev + 64;
		bool *more = realloc(refreshed, len * sizeof(*more));

		if (!more)
			return true;
		memset(more + refreshed_len, 0, (len - refreshed_len) * sizeof(*more));
		refreshed = more;
		refreshed_len = len;
	}
	if (refreshed[dev])
		return false;
	refreshed[dev] = true;
	return true;
}

static void tell(const struct change_note *note)
{
	const struct place top = { .kind = NODE_ROOT_KIND, .slot = -1, .file = TOP_ROOT };
	unsigned what = note->what;

	if (first_time(note->dev)) {
		struct card *card = cards_find((unsigned)note->dev);

		what = ~0u;
		if (card) {
			const struct card_view *view = card_view_get(card);
			unsigned slots = view->slots_len;

			card_view_put(view);
			for (unsigned s = 0; s < slots; s++)
				if ((int)s != note->slot)
					slot_stale(note->dev, (int)s, what);
			if (note->slot >= 0)
				slot_stale(note->dev, -1, what);
		}
	}
	if (note->dev >= 0) {
		slot_stale(note->dev, note->slot, what);
		/* Records of a slot are the card's too. */
		if (note->slot >= 0 && (what & CHANGE_RECORDS))
			slot_stale(note->dev, -1, CHANGE_RECORDS);
	}
	if (note->repo) {
		struct place dir CLEANUP_PLACE = { 0 };

		if (!place_open(&dir, node_repo(note->repo, REPO_DIR)))
			rows_stale(repo_rows, repo_rows_len, &dir, taking_over ? ~0u : what);
	}
	rows_stale(top_rows, top_rows_len, &top, what);
	watch_wake(note->dev, note->slot, what);
	if (what & CHANGE_RECORDS)
		follow_wake(note->dev);
}

static void *notifier(void *arg)
{
	bool first = true;

	(void)arg;
	is_notifier = true;
	pthread_mutex_lock(&lock);
	while (!ending) {
		struct change_note *list = notes;
		uint64_t *nodes = again;
		size_t len = again_len;
		bool kick = kicked;
		uint64_t number = noted;

		if (!connected || (!first && !list && !len && !kick)) {
			pthread_cond_wait(&wake, &lock);
			continue;
		}
		notes = NULL;
		notes_end = &notes;
		again = NULL;
		again_len = again_cap = 0;
		kicked = false;
		pthread_mutex_unlock(&lock);

		if (first && taking_over) {
			watch_takeover();
		}
		first = false;
		if (kick)
			follow_wake(FOLLOW_NONE);
		while (list) {
			struct change_note *note = list;

			list = note->next;
			tell(note);
			free(note);
		}
		for (size_t i = 0; i < len; i++)
			session_notify_inode(nodes[i]);
		free(nodes);
		pthread_mutex_lock(&lock);
		told = number;
		pthread_cond_broadcast(&passed_on);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

int notify_start(bool takeover, struct reason *why)
{
	int err;

	taking_over = takeover;
	connected = ending = kicked = false;
	cards_listen(changed);
	err = pthread_create(&thread, NULL, notifier, NULL);
	if (err)
		return reason_set(why, err, "starting the notifier: %s", strerror(err));
	running = true;
	return 0;
}

/* An invalidation waits for a page that is being read; when nobody answers requests any more
 * it would do so until the mount is gone. */
#define STOP_WAIT_NS INT64_C(2000000000)

void notify_stop(void)
{
	struct change_note *note;

	if (!running)
		return;
	pthread_mutex_lock(&lock);
	ending = true;
	pthread_cond_signal(&wake);
	pthread_cond_broadcast(&passed_on);
	pthread_mutex_unlock(&lock);
	if (clock_join(thread, clock_mono_ns() + STOP_WAIT_NS)) {
		log_warn("the notifier waits for the kernel; it is left behind");
		return;
	}
	running = false;
	pthread_mutex_lock(&lock);
	while ((note = notes)) {
		notes = note->next;
		free(note);
	}
	notes_end = &notes;
	free(again);
	again = NULL;
	again_len = again_cap = 0;
	pthread_mutex_unlock(&lock);
	free(refreshed);
	refreshed = NULL;
	refreshed_len = 0;
}
