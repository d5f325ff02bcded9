// SPDX-License-Identifier: Apache-2.0
/*
 * Images of remote/ as files (remote_file.h). The handle of an open says which content it
 * found, so that a worker that takes over goes on reading the same bytes; the opens are
 * noted in the session (opens.h).
 *
 * A node is of one content: when there is another, the image has another node, and an open
 * of the old one is told ESTALE, upon which the kernel looks its name up again. So nothing
 * that was read of a node, by mmap too, is ever of another image, and a whole one that was
 * hashed is read through the kernel's page cache, which is kept from open to open. While it is
 * being fetched each read comes here (direct I/O): one that waits can be interrupted, and
 * what turns out to be wrong is in no cache.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/daemon/loop.h"
#include "fs/daemon/passthrough.h"
#include "fs/remote/origin.h"
#include "fs/tree/node.h"
#include "fs/tree/remote_file.h"
#include "fs/tree/remote_wait.h"
#include "fs/tree/tree.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/* --- open and close ------------------------------------------------------------------------------ */

/* Opens (by their places, as a release may come again when its place is another's) that are counted in their
 * contents: those of this worker, and of others those that were read since. */
static _Atomic uint64_t counted[OPENS_MAX];

static void opened_count(uint64_t fh, struct content *content)
{
	if (atomic_exchange(&counted[opens_place(fh)], fh) != fh)
		content_opened(content);
}

static void opened_end(uint64_t fh)
{
	struct content *content = content_live(opens_content(fh));
	uint64_t was = fh;

	if (atomic_compare_exchange_strong(&counted[opens_place(fh)], &was, 0) && content)
		content_closed(content);
	content_put(content);
	opens_drop(fh);
}

/* What this version of the image has. weak: its listing cannot show whether it is still what is there. */
static int content_find(uint64_t ino, struct open_image *image, bool *cached, bool *weak, struct content **content,
			struct reason *why)
{
	struct origin *origin;
	int err = origin_of_entry(node_entry_row(ino), &origin, why);

	if (err)
		return err == -ENOENT ? -ESTALE : err;
	if (*weak && origin->weak) {
		origin_put(origin);
		return 0;
	}
	*weak = false;
	if (origin->version != node_entry_version(ino))
		err = reason_set(why, ESTALE, "%s has other bytes now", origin->name);
	else
		err = origin_content(origin, content, why);
	if (!err) {
		*image = (struct open_image){ .ino = ino, .content = content_id(*content),
					      .size = origin->listed_size, .mtime_ns = origin->mtime_ns };
		/* What could not be noted (a full disk) is perhaps not told from what follows. */
		*cached = content_is_whole(*content, NULL, &image->size) && origin->noted == image->content;
	}
	origin_put(origin);
	return err;
}

static void open_checked(fuse_req_t req, struct repo *repo, struct fuse_file_info *fi, const char *name);

static void open_answer(fuse_req_t req, uint64_t ino, struct fuse_file_info *fi, bool check)
{
	struct content *content = NULL;
	struct open_image image;
	struct reason why = { 0 };
	bool cached, weak = check;
	int err;

	err = content_find(ino, &image, &cached, &weak, &content, &why);
	if (!err && weak) {
		fi->fh = ino;
		if (!remote_wait_version(req, node_entry_row(ino), fi, open_checked))
			open_answer(req, ino, fi, false);
		return;
	}
	if (err) {
		log_debug("open: %s", why.text);
		fuse_reply_err(req, -err);
		return;
	}
	fi->fh = passthrough_open(&image, cached);
	fi->direct_io = !cached;
	fi->keep_cache = cached;
	fi->noflush = 1;
	if (!fi->fh) {
		fuse_reply_err(req, image.content == content_id(content) ? ENFILE : ESTALE);
	} else if (opens_content(fi->fh) != image.content) {
		/* Asked again, because the worker died that had answered it for what there was then. */
		opens_drop(fi->fh);
		fuse_reply_err(req, ESTALE);
	} else {
		opened_count(fi->fh, content);
		err = image.backing ? passthrough_reply(req, fi->fh, image.backing) : fuse_reply_open(req, fi);
		if (err == -ENOENT)
			opened_end(fi->fh); /* the caller was killed meanwhile: no release comes */
		/* For the next one. */
		else if (cached && !image.backing)
			passthrough_want(image.content, content_fd(content));
	}
	content_put(content);
}

static void open_checked(fuse_req_t req, struct repo *repo, struct fuse_file_info *fi, const char *name)
{
	(void)repo;
	(void)name;
	open_answer(req, fi->fh, fi, false);
}

void remote_open(fuse_req_t req, uint64_t ino, struct fuse_file_info *fi)
{
	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC)
		fuse_reply_err(req, EROFS);
	else
		open_answer(req, ino, fi, true);
}

void remote_release(fuse_req_t req, struct fuse_file_info *fi)
{
	opened_end(fi->fh);
	fuse_reply_err(req, 0);
}

/* --- reading --------------------------------------------------------------------------------------- */

struct remote_call {
	struct content_wait wait;
	fuse_req_t req;
	struct content *content;
	size_t size;
	off_t off;
};

#ifndef SYS_cachestat
#define SYS_cachestat 451 /* Linux 6.5 */
#endif

/* Are these bytes of a file in the page cache? Before Linux 6.5 nobody tells. */
static bool is_in_memory(int fd, size_t n, off_t off)
{
	struct {
		uint64_t off, len;
	} range = { (uint64_t)off, n };
	struct {
		uint64_t cache, dirty, writeback, evicted, recently_evicted;
	} pages = { 0 };
	uint64_t page = (uint64_t)getpagesize();

	return !syscall(SYS_cachestat, fd, &range, &pages, 0) &&
	       pages.cache >= ((uint64_t)off % page + n + page - 1) / page;
}

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
		if (loop_leads() && !is_in_memory(content_fd(content), (size_t)n, off))
			loop_may_wait();
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

/* What is open, by its handle. A worker that died may have opened it, and it may be listed no more. */
int remote_content(uint64_t entry, uint64_t fh, struct content **content, struct reason *why)
{
	struct origin *origin;
	int err = 0;

	*content = content_live(opens_content(fh));
	if (!*content) {
		loop_may_wait();
		err = origin_of_entry(entry, &origin, why);
		if (err)
			err = origin_of_nobody(&origin, why);
		if (err)
			return err;
		err = content_open(origin, opens_content(fh), content, why);
		origin_put(origin);
	}
	if (!err)
		opened_count(fh, *content);
	return err;
}

/*
 * To cp and install EPERM of copy_file_range says that the kernel or a file system does not want it
 * (coreutils 9.1, copy.c), so they read and write then, in pieces of 256 KiB, and are refused by the first
 * write. That piece would be fetched in vain, and with it what is read ahead of who reads on. No other errno
 * that they give up at means that a policy does not allow it. So the first read of who was refused is
 * short, as a read may be: the chunk that the image was judged by.
 */
#define REFUSED_MAX 16
#define REFUSED_NS (INT64_C(2) * 1000000000)

static pthread_mutex_t refused_lock = PTHREAD_MUTEX_INITIALIZER;
static struct refused {
	pid_t thread; /* 0 = none */
	uint64_t content;
	int64_t ns;
} refused[REFUSED_MAX]; /* refused_lock */
static unsigned refused_at;

void remote_refused(pid_t thread, uint64_t content)
{
	pthread_mutex_lock(&refused_lock);
	refused[refused_at++ % REFUSED_MAX] = (struct refused){ thread, content, clock_mono_ns() };
	pthread_mutex_unlock(&refused_lock);
}

/* Once for each time. */
static bool was_refused(pid_t thread, uint64_t content)
{
	bool was = false;

	pthread_mutex_lock(&refused_lock);
	for (struct refused *r = refused; r < refused + REFUSED_MAX && !was; r++) {
		was = thread && r->thread == thread && r->content == content;
		if (was) {
			was = clock_mono_ns() - r->ns < REFUSED_NS;
			r->thread = 0;
		}
	}
	pthread_mutex_unlock(&refused_lock);
	return was;
}

void remote_read(fuse_req_t req, uint64_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct remote_call *call;
	struct content *content;
	struct reason why = { 0 };
	int r = remote_content(node_entry_row(ino), fi->fh, &content, &why);

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
	if (!off && size > CHUNK_SIZE && was_refused(fuse_req_ctx(req)->pid, content_id(content)))
		size = CHUNK_SIZE;
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
