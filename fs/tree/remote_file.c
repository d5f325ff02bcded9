// SPDX-License-Identifier: Apache-2.0
/*
 * Images of remote/ as files (remote_file.h). The handle of an open is the number of the
 * content that it found: it says all by itself, so that a worker that takes over goes on
 * reading the same bytes, and a content that was replaced is not mistaken for the new one.
 *
 * A whole image that was hashed is read through the kernel's page cache, which keeps it
 * from open to open. While it is being fetched each read comes here (direct I/O): one that
 * waits can be interrupted, and what turns out to be wrong is in no cache.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

#include "fs/daemon/session.h"
#include "fs/remote/origin.h"
#include "fs/tree/remote_file.h"
#include "fs/tree/tree.h"

#include <fabricfs/buf.h>
#include <fabricfs/log.h>

/* --- what the kernel keeps ------------------------------------------------------------------ */

/*
 * Which content the pages of a node are of. An open of another content drops them, and reads past
 * them as long as the old one is open: one node has one page cache. It is known for the whole life
 * of the mount, as opens outlive the worker that answered them. Direct-mapped: a collision costs
 * only that an image is read past the cache.
 */
static pthread_mutex_t pages_lock = PTHREAD_MUTEX_INITIALIZER;

/* May this open use the page cache; *keep: also what is in it. Before its answer: if a worker dies
 * in between, its successor counts it once more. */
static bool pages_open(uint64_t entry, uint64_t content, bool *keep)
{
	struct saved_pages *p = session_pages(entry);
	bool cached = true;

	pthread_mutex_lock(&pages_lock);
	*keep = p->entry == entry && p->content == content && p->clean;
	if (p->entry == entry && p->content == content) {
		p->opens++;
	} else if (p->opens) {
		cached = false;
	} else {
		p->clean = false;
		p->content = content;
		p->entry = entry;
		p->opens = 1;
	}
	pthread_mutex_unlock(&pages_lock);
	return cached;
}

/* A read came by such an open: the kernel has dropped what it had, which it does when it gets the
 * answer to the first open, and before that open reads. */
static void pages_clean(uint64_t entry, uint64_t content)
{
	struct saved_pages *p = session_pages(entry);

	if (p->clean)
		return;
	pthread_mutex_lock(&pages_lock);
	if (p->entry == entry && p->content == content)
		p->clean = true;
	pthread_mutex_unlock(&pages_lock);
}

/* After the answer to release(), which is asked again if a worker dies before it: it counts once. */
static void pages_close(uint64_t entry, uint64_t content)
{
	struct saved_pages *p = session_pages(entry);

	pthread_mutex_lock(&pages_lock);
	if (p->entry == entry && p->content == content && p->opens)
		p->opens--;
	pthread_mutex_unlock(&pages_lock);
}

/* --- open and close ------------------------------------------------------------------------------ */

static void opened_undo(uint64_t entry, struct content *content, bool cached)
{
	if (cached)
		pages_close(entry, content_id(content));
	content_closed(content);
}

void remote_open(fuse_req_t req, uint64_t entry, struct fuse_file_info *fi)
{
	struct content *content = NULL;
	struct origin *origin = NULL;
	struct reason why = { 0 };
	bool keep = false, cached;
	int err;

	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC) {
		fuse_reply_err(req, EROFS);
		return;
	}
	err = origin_of_entry(entry, &origin, &why);
	if (!err)
		err = origin_content(origin, &content, &why);
	origin_put(origin);
	if (err) {
		log_debug("open: %s", why.text);
		fuse_reply_err(req, -err);
		return;
	}
	content_opened(content);
	cached = content_is_whole(content, NULL, NULL) && pages_open(entry, content_id(content), &keep);
	fi->fh = content_id(content) | (cached ? REMOTE_HANDLE_CACHED : 0);
	fi->direct_io = !cached;
	fi->keep_cache = keep;
	fi->noflush = 1;
	if (fuse_reply_open(req, fi) == -ENOENT)
		opened_undo(entry, content, cached); /* the caller was killed meanwhile: no release comes */
	content_put(content);
}

void remote_release(fuse_req_t req, uint64_t entry, struct fuse_file_info *fi)
{
	uint64_t id = fi->fh & ~REMOTE_HANDLE_CACHED;
	struct content *content = content_live(id);
	bool cached = fi->fh & REMOTE_HANDLE_CACHED;

	if (content) {
		content_closed(content);
		content_put(content);
	}
	fuse_reply_err(req, 0);
	if (cached)
		pages_close(entry, id);
}

/* --- reading --------------------------------------------------------------------------------------- */

struct remote_call {
	struct content_wait wait;
	fuse_req_t req;
	struct content *content;
	size_t size;
	off_t off;
};

/* Straight from its file, with one copy less. */
static void read_answer(fuse_req_t req, struct content *content, size_t size, off_t off)
{
	struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(0);
	ssize_t n = content_readable(content, size, (uint64_t)off);

	if (n < 0) {
		fuse_reply_err(req, (int)-n);
	} else if (!n) {
		fuse_reply_buf(req, NULL, 0);
	} else {
		bytes.buf[0] = (struct fuse_buf){ .size = (size_t)n, .flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK,
						  .fd = content_fd(content), .pos = off };
		fuse_reply_data(req, &bytes, 0);
	}
}

static void read_over(struct remote_call *call, int err)
{
	/* Afterwards no callback looks at it any more. */
	fuse_req_interrupt_func(call->req, NULL, NULL);
	if (err)
		fuse_reply_err(call->req, errno_public(err));
	else
		read_answer(call->req, call->content, call->size, call->off);
	content_put(call->content);
	free(call);
}

static void read_done(struct content_wait *wait, int err, const struct reason *why)
{
	if (err && err != EINTR)
		log_debug("read: %s", why->text);
	read_over((struct remote_call *)wait, err);
}

static void read_interrupted(fuse_req_t req, void *arg)
{
	struct remote_call *call = arg;

	(void)req;
	content_interrupt(&call->wait);
}

/* What is open, by its handle. A worker that died may have opened it. */
int remote_content(uint64_t entry, uint64_t fh, struct content **content, struct reason *why)
{
	uint64_t id = fh & ~REMOTE_HANDLE_CACHED;
	struct origin *origin;
	int err;

	*content = content_live(id);
	if (*content)
		return 0;
	err = origin_of_entry(entry, &origin, why);
	if (err)
		return err == -ENOENT ? -ESTALE : err;
	err = content_open(origin, id, content, why);
	origin_put(origin);
	if (!err)
		content_opened(*content);
	return err;
}

void remote_read(fuse_req_t req, uint64_t entry, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct remote_call *call;
	struct content *content;
	struct reason why = { 0 };
	int r = remote_content(entry, fi->fh, &content, &why);

	if (fi->fh & REMOTE_HANDLE_CACHED)
		pages_clean(entry, fi->fh & ~REMOTE_HANDLE_CACHED);
	if (size > TREE_DATA_MAX)
		size = TREE_DATA_MAX;
	if (r) {
		log_debug("read: %s", why.text);
		fuse_reply_err(req, -r);
		return;
	}
	if (off < 0 || (uint64_t)off > CHUNKS_MAX || !size) {
		fuse_reply_buf(req, NULL, 0);
		content_put(content);
		return;
	}
	/* Whole ones wait for nothing. */
	if (content_is_whole(content, NULL, NULL)) {
		read_answer(req, content, size, off);
		content_put(content);
		return;
	}
	call = calloc(1, sizeof(*call));
	if (!call) {
		fuse_reply_err(req, ENOMEM);
		content_put(content);
		return;
	}
	*call = (struct remote_call){ .wait.done = read_done, .req = req, .content = content, .size = size,
				      .off = off };
	fuse_req_interrupt_func(req, read_interrupted, call);
	r = content_want(content, (uint64_t)off, (uint64_t)off + size, &call->wait, &why);
	if (r < 0)
		log_debug("read: %s", why.text);
	/* 0: it is in other hands by now. */
	if (r)
		read_over(call, r < 0 ? -r : 0);
}
