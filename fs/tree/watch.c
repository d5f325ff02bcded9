// SPDX-License-Identifier: Apache-2.0
/*
 * poll() of value files (state, error, events): ready once the value differs
 * from what this open last read at offset 0; before its first read it is ready,
 * as in sysfs. An open is remembered in the session from its first poll on, so
 * that a poller sleeps through the death of a worker.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "fs/daemon/session.h"
#include "fs/tree/serve.h"

struct watch {
	struct watch *next;
	uint64_t of; /* handle of the open */
	struct saved_handle *saved;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct watch *watches;
static _Atomic unsigned watches_len; /* read without the lock: most opens are never polled */

static struct watch *find(uint64_t of)
{
	struct watch *w = watches;

	while (w && w->of != of)
		w = w->next;
	return w;
}

static struct watch *add(uint64_t of, struct saved_handle *saved)
{
	struct watch *w = malloc(sizeof(*w));

	if (!w)
		return NULL;
	*w = (struct watch){ .next = watches, .of = of, .saved = saved };
	watches = w;
	atomic_fetch_add(&watches_len, 1);
	return w;
}

static int restore(struct saved_handle *h, void *arg)
{
	(void)arg;
	if (h->kind == SAVED_WATCH)
		add(h->watch.of, h);
	return 0;
}

void watch_restore(void)
{
	pthread_mutex_lock(&lock);
	saved_each(restore, NULL);
	pthread_mutex_unlock(&lock);
}

void watch_seen(uint64_t fh)
{
	struct watch *w;

	if (!atomic_load(&watches_len))
		return;

	uint64_t version = snapshot_version(fh);

	pthread_mutex_lock(&lock);
	w = find(fh);
	if (w)
		atomic_store(&w->saved->seen_ns, (int64_t)version);
	pthread_mutex_unlock(&lock);
}

void watch_poll(fuse_req_t req, const struct place *p, struct fuse_file_info *fi,
		struct fuse_pollhandle *ph)
{
	uint64_t seen = snapshot_version(fi->fh);
	struct place now CLEANUP_PLACE = { 0 };
	struct watch *w;

	pthread_mutex_lock(&lock);
	w = find(fi->fh);
	if (!w) {
		uint64_t own;
		struct saved_handle *saved = saved_new(SAVED_WATCH, &own);

		w = saved ? add(fi->fh, saved) : NULL;
		if (w) {
			saved->ino = p->ino;
			saved->watch.of = fi->fh;
			atomic_store(&saved->seen_ns, (int64_t)seen);
			saved_publish(saved, own);
		} else if (saved) {
			saved_drop(saved);
		}
	}
	if (w && ph)
		atomic_store(&w->saved->poll_kh, request_current()->poll_kh + 1);
	if (w)
		seen = (uint64_t)atomic_load(&w->saved->seen_ns);
	pthread_mutex_unlock(&lock);
	if (ph)
		fuse_pollhandle_destroy(ph);
	if (!w) {
		fuse_reply_err(req, ENFILE);
		return;
	}
	/* Looked at after the handle was noted: a change from here on wakes it. */
	if (place_open(&now, p->ino)) {
		fuse_reply_poll(req, POLLERR | POLLHUP);
		return;
	}
	fuse_reply_poll(req, now.row->version(&now) != seen ? POLLIN | POLLRDNORM | POLLPRI : 0);
}

void watch_close(uint64_t fh)
{
	struct watch *w, **at;

	if (!atomic_load(&watches_len))
		return;
	pthread_mutex_lock(&lock);
	for (at = &watches; (w = *at) && w->of != fh; at = &w->next)
		;
	if (w) {
		*at = w->next;
		atomic_fetch_sub(&watches_len, 1);
		saved_drop(w->saved);
	}
	pthread_mutex_unlock(&lock);
	free(w);
}

static bool concerns(uint64_t ino, int dev, int slot, unsigned what)
{
	struct place p CLEANUP_PLACE = { 0 };

	/* A card that was dropped: its pollers are told to look. */
	if (place_open(&p, ino))
		return true;
	if (!(p.row->changes & what))
		return false;
	if (!p.card)
		return true;
	return (int)p.dev == dev && (p.slot == slot || (what & CHANGE_RECORDS));
}

static void wake(int dev, int slot, unsigned what, bool all)
{
	uint64_t *handles = NULL;
	size_t len = 0;

	if (!atomic_load(&watches_len))
		return;
	pthread_mutex_lock(&lock);
	handles = calloc(atomic_load(&watches_len), sizeof(*handles));
	for (struct watch *w = watches; w && handles; w = w->next) {
		uint64_t kh = atomic_load(&w->saved->poll_kh);

		if (kh && (all || concerns(w->saved->ino, dev, slot, what)))
			handles[len++] = kh - 1;
	}
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < len; i++)
		session_notify_poll(handles[i]);
	free(handles);
}

void watch_wake(int dev, int slot, unsigned what)
{
	wake(dev, slot, what, false);
}

void watch_takeover(void)
{
	wake(-1, -1, 0, true);
}
