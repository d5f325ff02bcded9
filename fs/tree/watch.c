// SPDX-License-Identifier: Apache-2.0
/*
 * Who polls. Value files (state, error, events) are ready once the value differs
 * from what this open last read at offset 0; before its first read it is ready,
 * as in sysfs. An open is remembered in the session from its first poll on, so
 * that a poller sleeps through the death of a worker.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

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

/* Opens that have a saved handle anyway, once they were polled. */
struct polled {
	struct polled *next;
	uint64_t fh;
};
static struct polled *polled; /* lock */
static _Atomic unsigned polled_len;

void polled_add(uint64_t fh)
{
	struct polled *p;

	pthread_mutex_lock(&lock);
	for (p = polled; p && p->fh != fh; p = p->next)
		;
	if (!p && (p = malloc(sizeof(*p)))) {
		*p = (struct polled){ .next = polled, .fh = fh };
		polled = p;
		atomic_fetch_add(&polled_len, 1);
	}
	pthread_mutex_unlock(&lock);
}

void polled_remove(uint64_t fh)
{
	struct polled *p, **at;

	if (!atomic_load(&polled_len))
		return;
	pthread_mutex_lock(&lock);
	for (at = &polled; (p = *at) && p->fh != fh; at = &p->next)
		;
	if (p) {
		*at = p->next;
		atomic_fetch_sub(&polled_len, 1);
	}
	pthread_mutex_unlock(&lock);
	free(p);
}

static int restore(struct saved_handle *h, void *arg)
{
	(void)arg;
	if (h->kind == SAVED_WATCH) {
		pthread_mutex_lock(&lock);
		add(h->watch.of, h);
		pthread_mutex_unlock(&lock);
	} else if (atomic_load(&h->poll_kh)) {
		polled_add(atomic_load(&h->fh));
	}
	return 0;
}

void watch_restore(void)
{
	saved_each(restore, NULL);
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

static bool polled_concerns(const struct saved_handle *h, int dev, int slot, unsigned what)
{
	if (h->kind == SAVED_FOLLOW)
		return (what & CHANGE_RECORDS) && (h->follow.dev < 0 || h->follow.dev == dev);
	/* io/: ready, or the design that it belonged to is gone. */
	return (what & (CHANGE_IO | CHANGE_LOADED | CHANGE_ENDPOINTS | CHANGE_STATE)) &&
	       (int)node_card(h->ino) == dev && node_slot(h->ino) == slot;
}

static void wake(int dev, int slot, unsigned what, bool all)
{
	struct buf handles = BUF_INIT;

	if (!atomic_load(&watches_len) && !atomic_load(&polled_len))
		return;
	pthread_mutex_lock(&lock);
	for (struct watch *w = watches; w; w = w->next) {
		uint64_t kh = atomic_load(&w->saved->poll_kh);

		if (kh-- && (all || concerns(w->saved->ino, dev, slot, what)))
			buf_add(&handles, &kh, sizeof(kh));
	}
	/* As long as it is in the list its handle is not dropped. */
	for (struct polled *p = polled; p; p = p->next) {
		struct saved_handle *h = saved_find(p->fh);
		uint64_t kh = h ? atomic_load(&h->poll_kh) : 0;

		if (kh-- && (all || polled_concerns(h, dev, slot, what)))
			buf_add(&handles, &kh, sizeof(kh));
	}
	pthread_mutex_unlock(&lock);
	for (size_t at = 0; at < handles.len; at += sizeof(uint64_t)) {
		uint64_t kh;

		memcpy(&kh, handles.data + at, sizeof(kh));
		session_notify_poll(kh);
	}
	buf_free(&handles);
}

void watch_wake(int dev, int slot, unsigned what)
{
	wake(dev, slot, what, false);
}

void watch_takeover(void)
{
	wake(-1, -1, 0, true);
}
