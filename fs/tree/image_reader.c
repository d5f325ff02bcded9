// SPDX-License-Identifier: Apache-2.0
/* Readers of `image`: each sees the bytes that were loaded when it opened (upload_file.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/card/kept.h"
#include "fs/card/upload.h"
#include "fs/daemon/session.h"
#include "fs/tree/active.h"
#include "fs/tree/call.h"
#include "fs/tree/node.h"
#include "fs/tree/upload_file.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/*
 * Descriptors of blobs, so that a reader goes on when the blob was replaced and
 * trimmed; after a restart of the worker they are opened again by digest.
 */
struct reader {
	struct reader *next;
	uint64_t fh;
	int fd;
	unsigned users; /* the list, and reads in progress */
};
static struct reader *readers;
static pthread_mutex_t readers_lock = PTHREAD_MUTEX_INITIALIZER;

static void reader_put(struct reader *r)
{
	bool last;

	pthread_mutex_lock(&readers_lock);
	last = !--r->users;
	pthread_mutex_unlock(&readers_lock);
	if (!last)
		return;
	close(r->fd);
	free(r);
}

/* With a use for the caller, or NULL. */
static struct reader *reader_find(uint64_t fh)
{
	struct reader *r;

	pthread_mutex_lock(&readers_lock);
	for (r = readers; r && r->fh != fh; r = r->next)
		;
	if (r)
		r->users++;
	pthread_mutex_unlock(&readers_lock);
	return r;
}

static int reader_make(const struct saved_handle *saved, uint64_t fh, struct reader **out)
{
	struct reason why;
	struct reader *r = malloc(sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	*r = (struct reader){ .fh = fh, .fd = -1, .users = 2 };
	err = store_blob_open(cards_store(), saved->reader.sha256, &r->fd, NULL, &why);
	if (err) {
		free(r);
		return err == -ENOENT ? -ESTALE : err;
	}
	pthread_mutex_lock(&readers_lock);
	r->next = readers;
	readers = r;
	pthread_mutex_unlock(&readers_lock);
	*out = r;
	return 0;
}

ssize_t reader_read(const struct saved_handle *saved, uint64_t fh, void *out, size_t n, off_t off)
{
	struct reader *r;
	ssize_t got;
	int err;

	if (!*saved->reader.sha256)
		return 0;
	r = reader_find(fh);
	if (!r && (err = reader_make(saved, fh, &r)))
		return err;
	got = pread(r->fd, out, n, off);
	if (got < 0)
		got = -errno;
	reader_put(r);
	return got;
}

void reader_drop(uint64_t fh)
{
	struct reader *r = NULL;

	pthread_mutex_lock(&readers_lock);
	for (struct reader **at = &readers; *at; at = &(*at)->next) {
		if ((*at)->fh == fh) {
			r = *at;
			*at = r->next;
			break;
		}
	}
	pthread_mutex_unlock(&readers_lock);
	if (r)
		reader_put(r);
}

/* An open that waits until the bytes it is about to give are known to be good. */
struct open_proof {
	fuse_req_t req;
	struct slot *slot;
	uint64_t ino;
	struct fuse_file_info fi;
	struct request request;
};

static void open_proven(void *arg, int err)
{
	struct open_proof *p = arg;

	if (err) {
		fuse_reply_err(p->req, err);
	} else {
		request_set(&p->request);
		/* From the beginning: something else may be loaded by now. */
		reader_open(p->req, p->slot, p->ino, &p->fi);
		request_set(NULL);
	}
	free(p);
}

/* True: it waits. */
static bool open_proves(fuse_req_t req, struct slot *slot, uint64_t ino, const struct fuse_file_info *fi)
{
	const struct card_view *view = card_view_get(slot->card);
	struct open_proof *p;
	char sha256[SHA256_HEX];

	memcpy(sha256, slot_view(view, slot->index)->loaded.sha256, SHA256_HEX);
	card_view_put(view);
	if (!*sha256 || kept_is_proven(slot, sha256))
		return false;
	p = malloc(sizeof(*p));
	if (!p) {
		fuse_reply_err(req, ENOMEM);
		return true;
	}
	*p = (struct open_proof){ .req = req, .slot = slot, .ino = ino, .fi = *fi,
				  .request = *request_current() };
	kept_ask(slot, sha256, open_proven, p);
	return true;
}

void reader_open(fuse_req_t req, struct slot *slot, uint64_t ino, struct fuse_file_info *fi)
{
	if (open_proves(req, slot, ino, fi))
		return;

	const struct card_view *view = card_view_get(slot->card);
	const struct loaded *loaded = &slot_view(view, slot->index)->loaded;
	struct saved_handle *saved = saved_new(SAVED_READER, &fi->fh);

	if (!saved) {
		card_view_put(view);
		fuse_reply_err(req, ENFILE);
		return;
	}
	saved->ino = ino;
	saved->open_flags = (uint32_t)fi->flags;
	memcpy(saved->reader.sha256, loaded->sha256, SHA256_HEX);
	saved->reader.size = loaded->size;
	card_view_put(view);
	saved_publish(saved, fi->fh);
	struct reader *r;

	/* Opened now, so that it stays readable whatever is loaded next. */
	if (*saved->reader.sha256 && !reader_make(saved, fi->fh, &r))
		reader_put(r);
	fi->direct_io = 1;
	fi->noflush = 1;
	if (answer_open(req, fi) == -ENOENT) {
		reader_drop(fi->fh);
		saved_drop(saved);
	}
}
