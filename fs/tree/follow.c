// SPDX-License-Identifier: Apache-2.0
/*
 * .follow: records as they come. A read gives what is there beyond the
 * position of its open, whole lines as far as they fit, or waits. The position
 * is in the session: a reader does not notice that the worker was replaced, and
 * a read that was answered but not delivered gives the same bytes again.
 *
 * Waiting reads are answered by the notifier alone, also when they are
 * interrupted: an interrupt's callback runs inside libfuse's lock of the
 * request, from where it must not be answered.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/daemon/session.h"
#include "fs/tree/serve.h"

#define BATCH 64             /* records asked of the store at a time */
#define READ_MAX (256 * 1024) /* bytes given at a time */

struct parked {
	struct parked *next;
	fuse_req_t req;
	uint64_t fh, unique;
	size_t size;
	bool fresh; /* not tried since it was parked */
	_Atomic bool interrupted;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct parked *waiting; /* lock */

bool place_is_follow(const struct place *p)
{
	return p->row && ((p->kind == NODE_TOP && p->file == TOP_FOLLOW) ||
			  (p->kind == NODE_CARD && p->file == FILE_FOLLOW));
}

/* --- what is next -------------------------------------------------------------------------- */

/* As much of a line as fits; the first may be given in pieces, others only whole.
 * False: it was not given to its end. */
static bool give(struct buf *out, const char *text, size_t len, size_t space, struct follow_position *pos)
{
	size_t rest = len - pos->cut, left = space - out->len;

	if (rest > left) {
		if (!out->len) {
			buf_add(out, text + pos->cut, left);
			pos->cut += left;
		}
		return false;
	}
	buf_add(out, text + pos->cut, rest);
	pos->cut = 0;
	return true;
}

static int give_dropped(struct buf *out, size_t space, struct follow_position *pos)
{
	struct buf told CLEANUP_BUF = BUF_INIT;

	buf_addf(&told, "{\"event\":\"dropped\",\"count\":%llu}\n", (unsigned long long)pos->dropped);
	if (buf_ok(&told))
		return -ENOMEM;
	if (pos->cut > told.len)
		pos->cut = told.len;
	if (!give(out, told.data, told.len, space, pos))
		return 0;
	pos->dropped = 0;
	return 1;
}

/* One batch; 1 = all of it was given and there may be more, 0 = no more now, -errno. */
static int give_batch(struct store *store, int dev, struct buf *out, size_t space, struct follow_position *pos)
{
	struct buf text CLEANUP_BUF = BUF_INIT;
	uint64_t last = pos->next, lost = 0;
	unsigned given = 0, lines = 0;
	int err = store_records_next(store, dev, pos->next, BATCH, &text, &last, &lost, NULL);

	if (err)
		return err;
	if (lost) {
		/* The one that was given in part is gone: its line is ended, not continued
		 * with another. */
		if (pos->cut && out->len < space) {
			buf_adds(out, "\n");
			pos->cut = 0;
		}
		if (pos->cut)
			return 0;
		text.len = 0;
		pos->dropped = lost;
		/* Up to just before the first that is still there. */
		err = store_records_next(store, dev, pos->next, 1, &text, &last, NULL, NULL);
		if (err)
			return err;
		pos->next = last - 1;
		return 1;
	}
	if (!text.len)
		return 0;
	for (char *at = text.data, *end; (end = strchr(at, '\n')); at = end + 1) {
		lines++;
		if (given == lines - 1) {
			if (pos->cut > (size_t)(end + 1 - at))
				pos->cut = 0;
			if (give(out, at, (size_t)(end + 1 - at), space, pos))
				given++;
		}
	}
	if (given == lines) {
		pos->next = last;
		return 1;
	}
	if (given) {
		/* The number of the last one given: numbers of one card have gaps. */
		text.len = 0;
		err = store_records_next(store, dev, pos->next, given, &text, &last, NULL, NULL);
		if (err)
			return err;
		pos->next = last;
	}
	return 0;
}

int follow_fill(struct store *store, int dev, struct buf *out, size_t space, struct follow_position *pos)
{
	int r = 1;

	while (r > 0 && out->len < space && !out->failed)
		r = pos->dropped ? give_dropped(out, space, pos)
				 : give_batch(store, dev, out, space, pos);
	if (r < 0 && !out->len)
		return r;
	return buf_ok(out);
}

/* Try to answer; false: there is nothing yet. */
static bool answer(fuse_req_t req, uint64_t fh, uint64_t unique, size_t size)
{
	struct saved_handle *h = saved_find(fh);
	struct buf out CLEANUP_BUF = BUF_INIT;
	uint32_t at;
	struct follow_position pos;
	int err;

	if (!h || h->kind != SAVED_FOLLOW) {
		fuse_reply_err(req, EBADF);
		return true;
	}
	if (size > READ_MAX)
		size = READ_MAX;
	at = atomic_load(&h->follow.at) & 1;
	if (h->follow.pos[at].unique == unique && unique) {
		/* It was given to a worker that died before it could tell: the same again. */
		pos = h->follow.pos[!at];
		err = follow_fill(cards_store(), h->follow.dev, &out, h->follow.pos[at].len, &pos);
	} else {
		pos = h->follow.pos[at];
		err = follow_fill(cards_store(), h->follow.dev, &out, size, &pos);
		if (!err && out.len) {
			pos.unique = unique;
			pos.len = out.len;
			h->follow.pos[!at] = pos;
			atomic_store(&h->follow.at, !at);
		}
	}
	if (err) {
		fuse_reply_err(req, -err);
		return true;
	}
	if (!out.len)
		return false;
	fuse_reply_buf(req, out.data, out.len);
	return true;
}

/* --- requests -------------------------------------------------------------------------------- */

void follow_open(fuse_req_t req, const struct place *p, struct fuse_file_info *fi)
{
	uint64_t fh;
	struct saved_handle *h = saved_new(SAVED_FOLLOW, &fh);

	if (!h) {
		fuse_reply_err(req, ENFILE);
		return;
	}
	h->open_flags = (uint32_t)fi->flags;
	h->ino = p->ino;
	h->follow.dev = p->card ? (int)p->dev : -1;
	h->follow.pos[0].next = store_records_last(cards_store(), h->follow.dev);
	saved_publish(h, fh);
	fi->fh = fh;
	fi->direct_io = 1;
	fi->nonseekable = 1;
	fi->noflush = 1;
	if (fuse_reply_open(req, fi) == -ENOENT)
		saved_drop(h); /* the caller was killed meanwhile: no release comes */
}

static void interrupted(fuse_req_t req, void *arg)
{
	struct parked *p = arg;

	(void)req;
	atomic_store(&p->interrupted, true);
	notify_kick();
}

void follow_read(fuse_req_t req, const struct place *p, size_t size, struct fuse_file_info *fi)
{
	uint64_t unique = request_current()->unique;
	struct parked *parked;

	(void)p;
	if (!size) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	if (answer(req, fi->fh, unique, size))
		return;
	if (fi->flags & O_NONBLOCK) {
		fuse_reply_err(req, EAGAIN);
		return;
	}
	parked = calloc(1, sizeof(*parked));
	if (!parked) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*parked = (struct parked){ .req = req, .fh = fi->fh, .unique = unique, .size = size, .fresh = true };
	fuse_req_interrupt_func(req, interrupted, parked);
	pthread_mutex_lock(&lock);
	parked->next = waiting;
	waiting = parked;
	pthread_mutex_unlock(&lock);
	/* A record that came before it was in the list. */
	notify_kick();
}

void follow_poll(fuse_req_t req, const struct place *p, struct fuse_file_info *fi,
		 struct fuse_pollhandle *ph)
{
	struct saved_handle *h = saved_find(fi->fh);
	bool ready = true;

	(void)p;
	if (h && h->kind == SAVED_FOLLOW) {
		if (ph)
			atomic_store(&h->poll_kh, request_current()->poll_kh + 1);

		const struct follow_position *pos = &h->follow.pos[atomic_load(&h->follow.at) & 1];

		ready = pos->dropped || pos->cut ||
			store_records_last(cards_store(), h->follow.dev) > pos->next;
	}
	if (ph)
		fuse_pollhandle_destroy(ph);
	fuse_reply_poll(req, ready ? POLLIN | POLLRDNORM : 0);
}

void follow_release(fuse_req_t req, struct fuse_file_info *fi)
{
	struct saved_handle *h = saved_find(fi->fh);

	if (h && h->kind == SAVED_FOLLOW)
		saved_drop(h);
	fuse_reply_err(req, 0);
}

/* --- the notifier ------------------------------------------------------------------------------ */

/* Afterwards no callback looks at it any more. */
static void parked_detach(struct parked *p)
{
	fuse_req_interrupt_func(p->req, NULL, NULL);
}

static bool parked_try(struct parked *p, int dev)
{
	struct saved_handle *h = saved_find(p->fh);

	if (atomic_load(&p->interrupted)) {
		parked_detach(p);
		fuse_reply_err(p->req, EINTR);
		return true;
	}
	if (!p->fresh && (dev == FOLLOW_NONE || (h && h->follow.dev >= 0 && h->follow.dev != dev)))
		return false;
	p->fresh = false;

	/* Is there something? Asked first, as the callback has to be gone before the answer. */
	if (h) {
		const struct follow_position *pos = &h->follow.pos[atomic_load(&h->follow.at) & 1];

		if (!pos->dropped && store_records_last(cards_store(), h->follow.dev) <= pos->next)
			return false;
	}
	parked_detach(p);
	if (answer(p->req, p->fh, p->unique, p->size))
		return true;
	/* Trimmed away before it could be read. */
	fuse_req_interrupt_func(p->req, interrupted, p);
	return false;
}

void follow_wake(int dev)
{
	struct parked *list, *keep = NULL;

	pthread_mutex_lock(&lock);
	list = waiting;
	waiting = NULL;
	pthread_mutex_unlock(&lock);
	while (list) {
		struct parked *p = list;

		list = p->next;
		if (parked_try(p, dev)) {
			free(p);
			continue;
		}
		p->next = keep;
		keep = p;
	}
	pthread_mutex_lock(&lock);
	while (keep) {
		struct parked *p = keep;

		keep = p->next;
		p->next = waiting;
		waiting = p;
	}
	pthread_mutex_unlock(&lock);
}

void follow_stop(void)
{
	struct parked *list;

	pthread_mutex_lock(&lock);
	list = waiting;
	waiting = NULL;
	pthread_mutex_unlock(&lock);
	while (list) {
		struct parked *p = list;

		list = p->next;
		parked_detach(p);
		fuse_reply_err(p->req, EINTR);
		free(p);
	}
}
