// SPDX-License-Identifier: Apache-2.0
/* `image` and `check` as files: opening, reading, writing, closing. The work is in fs/card/upload.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/card/busy.h"
#include "fs/card/upload.h"
#include "fs/daemon/session.h"
#include "fs/tree/active.h"
#include "fs/tree/call.h"
#include "fs/tree/node.h"
#include "fs/tree/upload_file.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

#define PF_SIGNALED 0x400 /* include/linux/sched.h: killed by a signal */

static void check_read(fuse_req_t req, struct slot *slot, size_t size, off_t off)
{
	const struct card_view *view = card_view_get(slot->card);
	const struct slot_view *v = slot_view(view, slot->index);
	struct buf b = BUF_INIT;

	if (v->check) {
		buf_adds(&b, v->check);
		buf_adds(&b, "\n");
	}
	card_view_put(view);
	if (buf_ok(&b))
		fuse_reply_err(req, ENOMEM);
	else if ((size_t)off >= b.len)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, b.data + off, b.len - (size_t)off < size ? b.len - (size_t)off : size);
	buf_free(&b);
}

/* --- what uploads of image, check and temporaries have in common ----------------------- */

/* Is this thread on its way out because of a signal? It waits inside close(), so /proc is sure. */
static bool caller_killed(pid_t pid)
{
	char path[64], text[512];
	int fd CLEANUP_FD = -1;
	unsigned long flags;
	ssize_t n;
	char *p;

	if (pid <= 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	/* The name in field 2 may hold anything; fields go on after its last parenthesis. */
	p = strrchr(text, ')');
	return p && sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %lu", &flags) == 1 && flags & PF_SIGNALED;
}

/* A write or read of what is being judged: it waits in the card's queue, no thread for it. */
struct waiting {
	struct call *call;
	struct upload *u; /* kept by upload_later() */
	off_t off;
	size_t size;
	bool write;
	struct request request;
	char bytes[];
};

static void waiting_write(struct waiting *w)
{
	struct reason why = { 0 };
	bool fresh;
	int n;

	request_set(&w->request);
	n = upload_write(w->u, w->bytes, w->size, (uint64_t)w->off, &fresh, &why);
	request_set(NULL);
	if (n < 0 && fresh)
		upload_judge(w->u, JUDGE_REFUSAL, false, session_id() + w->request.unique, call_done_err,
			     w->call);
	else
		call_done_write(w->call, n < 0 ? -n : 0);
}

static void waiting_run(void *arg, bool end)
{
	struct waiting *w = arg;

	if (end) {
		call_done_err(w->call, ECANCELED);
	} else if (w->write) {
		waiting_write(w);
	} else {
		ssize_t n = upload_read(w->u, w->bytes, w->size, (uint64_t)w->off);

		if (n < 0)
			fuse_reply_err(w->call->req, (int)-n);
		else
			fuse_reply_buf(w->call->req, w->bytes, (size_t)n);
		free(w->call);
	}
	free(w);
}

/* bytes NULL: a read. */
static void upload_file_wait(fuse_req_t req, struct upload *u, uint64_t ino, const char *bytes,
			     size_t size, off_t off)
{
	struct waiting *w = malloc(sizeof(*w) + size);

	if (!w) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*w = (struct waiting){ .call = call_park(req, u->slot, ino, size), .u = u, .off = off,
			       .size = size, .write = bytes, .request = *request_current() };
	if (bytes)
		memcpy(w->bytes, bytes, size);
	if (w->call && !upload_later(u, waiting_run, w))
		call_done_err(w->call, ECANCELED);
	else if (w->call)
		return;
	free(w);
}

void upload_file_write(fuse_req_t req, struct upload *u, uint64_t ino, const char *bytes, size_t size,
		       off_t off)
{
	struct reason why = { 0 };
	bool fresh;
	uint64_t turn;
	int n = upload_write_ahead(u, bytes, size, (uint64_t)off, &turn, &fresh, &why);
	struct call *call;

	if (n == -EINPROGRESS) {
		upload_file_wait(req, u, ino, bytes, size, off);
	} else if (n >= 0) {
		answer_write(req, (size_t)n);
		if (turn)
			upload_follow(u, turn, bytes, size);
	} else if (!fresh) {
		answer_err(req, -n);
	} else {
		/* The sentence is in `error` and history before the writer hears of it. */
		call = call_park(req, u->slot, ino, 0);
		if (call)
			upload_judge(u, JUDGE_REFUSAL, false, run_id(), call_done_err, call);
	}
}

void upload_file_judge(fuse_req_t req, struct upload *u, uint64_t ino, enum judge_kind kind)
{
	uint32_t bits = upload_bits(u);
	bool ended = bits & UPLOAD_ENDED && !(bits & UPLOAD_TOLD);
	struct call *call;

	if (!ended && (!(bits & UPLOAD_WRITTEN) || bits & UPLOAD_TOLD)) {
		answer_err(req, 0);
		return;
	}
	call = call_park(req, u->slot, ino, 0);
	if (call)
		upload_judge(u, kind, kind == JUDGE_FLUSH && caller_killed(fuse_req_ctx(req)->pid),
			     run_id(), call_done_err, call);
}

void upload_file_read(fuse_req_t req, struct upload *u, size_t size, off_t off)
{
	char *bytes CLEANUP_FREE = malloc(size ? size : 1);
	ssize_t n = bytes ? upload_read(u, bytes, size, (uint64_t)off) : -ENOMEM;

	if (n == -EINPROGRESS)
		upload_file_wait(req, u, u->saved->ino, NULL, size, off);
	else if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, bytes, (size_t)n);
}

/* --- image and check -------------------------------------------------------------------------- */

static bool node_is_check(uint64_t ino)
{
	return node_file(ino) == FILE_CHECK;
}

/* An open that waits for a writer who is about to go. */
struct open_wait {
	struct slot_wait wait;
	fuse_req_t req;
	struct slot *slot;
	uint64_t ino;
	struct fuse_file_info fi;
	bool create;
	struct request request;
};

static void image_open_try(fuse_req_t req, struct slot *slot, uint64_t ino, struct fuse_file_info *fi,
			   bool create, bool last);

static void open_again(struct slot_wait *wait, bool last)
{
	struct open_wait *w = (struct open_wait *)wait;

	request_set(&w->request);
	image_open_try(w->req, w->slot, w->ino, &w->fi, w->create, last);
	request_set(NULL);
	free(w);
}

static bool open_waits(fuse_req_t req, struct slot *slot, uint64_t ino, const struct fuse_file_info *fi,
		       bool create)
{
	struct open_wait *w;

	if (!slot_is_closing(slot, node_is_check(ino)))
		return false;
	w = malloc(sizeof(*w));
	if (!w)
		return false;
	*w = (struct open_wait){ .wait = { .check = node_is_check(ino), .again = open_again }, .req = req,
				 .slot = slot, .ino = ino, .fi = *fi, .create = create,
				 .request = *request_current() };
	if (slot_wait(slot, &w->wait))
		return true;
	free(w);
	return false;
}

void image_open_for_writing(fuse_req_t req, struct slot *slot, uint64_t ino,
			     struct fuse_file_info *fi, bool create)
{
	image_open_try(req, slot, ino, fi, create, false);
}

static void image_open_try(fuse_req_t req, struct slot *slot, uint64_t ino, struct fuse_file_info *fi,
			   bool create, bool last)
{
	struct reason why = { 0 };
	struct upload *u;
	struct who who;
	uint64_t value;
	int err;

	if (answered_before(&err, &value)) {
		fi->fh = value;
		fi->direct_io = 1;
		if (err)
			fuse_reply_err(req, err);
		else if (create)
			tree_reply_create(req, ino, fi);
		else
			fuse_reply_open(req, fi);
		return;
	}
	u = upload_made_before(slot);
	if (!u && !last && open_waits(req, slot, ino, fi, create))
		return;
	who_calls(req, &who);
	err = u ? 0 : upload_open(slot, node_is_check(ino), fi->flags | (create ? O_TRUNC : 0), ino,
				  &who, NULL, &u, &why);
	if (err) {
		log_debug("%s: open of image refused: %s", slot->name, why.text);
		answer_err(req, -err);
		return;
	}
	fi->fh = u->fh;
	fi->direct_io = 1;
	if (create) {
		journal_done(request_current()->unique, 0, fi->fh);
		tree_reply_create(req, ino, fi);
	} else if (answer_open(req, fi) == -ENOENT) {
		upload_drop(u);
	}
	upload_put(u);
}

static void image_open(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	struct slot *slot = card_slot(card, node_slot(ino));

	if ((fi->flags & O_ACCMODE) != O_RDONLY) {
		image_open_for_writing(req, slot, ino, fi, false);
	} else if (node_is_check(ino)) {
		fi->direct_io = 1;
		fi->noflush = 1;
		fuse_reply_open(req, fi);
	} else {
		reader_open(req, slot, ino, fi);
	}
}

static void image_read(fuse_req_t req, struct card *card, uint64_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	struct slot *slot = card_slot(card, node_slot(ino));
	struct saved_handle *saved = fi->fh ? saved_find(fi->fh) : NULL;
	struct upload *u;

	if (node_is_check(ino) && (!saved || saved->kind != SAVED_UPLOAD)) {
		check_read(req, slot, size, off);
		return;
	}
	if (saved && saved->kind == SAVED_READER) {
		char *bytes CLEANUP_FREE = malloc(size ? size : 1);
		ssize_t n = bytes ? reader_read(saved, fi->fh, bytes, size, off) : -ENOMEM;

		if (n < 0)
			fuse_reply_err(req, (int)-n);
		else
			fuse_reply_buf(req, bytes, (size_t)n);
		return;
	}
	u = upload_find(slot, fi->fh);
	if (!u) {
		fuse_reply_err(req, EBADF);
		return;
	}
	upload_file_read(req, u, size, off);
	upload_put(u);
}

static void image_write(fuse_req_t req, struct card *card, uint64_t ino, const char *bytes, size_t size,
			off_t off, struct fuse_file_info *fi)
{
	struct upload *u;

	if (answer_write_again(req))
		return;
	u = upload_find(card_slot(card, node_slot(ino)), fi->fh);
	if (!u) {
		fuse_reply_err(req, EBADF);
		return;
	}
	upload_file_write(req, u, ino, bytes, size, off);
	upload_put(u);
}

static void image_judge(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi,
			enum judge_kind kind)
{
	struct upload *u;

	if (answer_err_again(req))
		return;
	u = upload_find(card_slot(card, node_slot(ino)), fi->fh);
	if (!u) {
		fuse_reply_err(req, 0);
		return;
	}
	upload_file_judge(req, u, ino, kind);
	upload_put(u);
}

static void image_flush(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	image_judge(req, card, ino, fi, JUDGE_FLUSH);
}

static void image_fsync(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	image_judge(req, card, ino, fi, JUDGE_FSYNC);
}

static void image_release(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	struct saved_handle *saved = fi->fh ? saved_find(fi->fh) : NULL;
	struct upload *u;

	if (saved && saved->kind == SAVED_READER) {
		reader_drop(fi->fh);
		saved_drop(saved);
	} else if (saved) {
		u = upload_find(card_slot(card, node_slot(ino)), fi->fh);
		if (u)
			upload_drop(u);
		upload_put(u);
	}
	fuse_reply_err(req, 0);
}

/* --- mtime as its writer sets it ------------------------------------------------------------------ */

struct touch {
	struct job job;
	struct call *call;
	int64_t ns;
};

static void touch_run(struct card *card, struct job *job, bool end)
{
	struct touch *t = (struct touch *)job;
	struct slot *slot = t->call->slot;
	struct reason why = { 0 };
	struct card_view *view = NULL;

	if (!end) {
		slot->row.image_mtime_ns = t->ns;
		if (store_commit(card->store, card->dev, slot->index, &slot->row, NULL, NULL, &why))
			log_warn("%s: %s", slot->name, why.text);
		view = view_edit(card);
	}
	if (view) {
		view_slot(view, slot->index)->image_ns = t->ns;
		view_publish(card, view, slot->index, 0);
	}
	tree_reply_attr(t->call->req, t->call->ino);
	free(t->call);
	free(t);
}

static void image_touch(fuse_req_t req, struct slot *slot, uint64_t ino, int64_t ns)
{
	struct card *card = slot->card;
	bool pending = false;

	pthread_mutex_lock(&card->lock);
	if (slot->writer[0]) {
		/* cp -p sets the time before it closes: it is that of the coming image. */
		slot->writer[0]->saved->upload.mtime_ns = ns;
		atomic_fetch_or(&slot->writer[0]->saved->upload.bits, UPLOAD_MTIME);
		pending = true;
	}
	pthread_mutex_unlock(&card->lock);

	struct touch *t = pending ? NULL : malloc(sizeof(*t));

	if (!t) {
		tree_reply_attr(req, ino);
		return;
	}
	*t = (struct touch){ .job.run = touch_run, .ns = ns, .call = call_park(req, slot, ino, 0) };
	if (!t->call) {
		free(t);
	} else if (!actor_post(slot->actor, &t->job)) {
		free(t->call);
		free(t);
		tree_reply_attr(req, ino);
	}
}

static void image_setattr(fuse_req_t req, struct card *card, uint64_t ino, struct stat *attr, int to_set,
			  struct fuse_file_info *fi)
{
	struct slot *slot = card_slot(card, node_slot(ino));
	struct upload *u = fi && fi->fh ? upload_find(slot, fi->fh) : NULL;
	struct reason why = { 0 };
	int err = 0;

	if (to_set & FUSE_SET_ATTR_SIZE) {
		if (attr->st_size < 0)
			err = -EINVAL;
		else if (u)
			err = upload_truncate(u, (uint64_t)attr->st_size, &why);
		else if (attr->st_size && (uint64_t)attr->st_size != image_ops.size(card, ino))
			/* An image has the length that it has; cutting the loaded one means nothing. */
			err = -EINVAL;
	}
	upload_put(u);
	if (err)
		fuse_reply_err(req, -err);
	else if (to_set & FUSE_SET_ATTR_MTIME && !(to_set & FUSE_SET_ATTR_MTIME_NOW) &&
		 !node_is_check(ino))
		image_touch(req, slot, ino, (int64_t)attr->st_mtim.tv_sec * 1000000000 +
						    attr->st_mtim.tv_nsec);
	else
		tree_reply_attr(req, ino);
}

static uint64_t image_size(struct card *card, uint64_t ino)
{
	const struct card_view *view = card_view_get(card);
	const struct slot_view *v = slot_view(view, node_slot(ino));
	uint64_t size = 0;

	if (v && !node_is_check(ino))
		size = v->loaded.size;
	else if (v && v->check)
		size = strlen(v->check) + 1;
	card_view_put(view);
	return size;
}

const struct active_ops image_ops = {
	.open = image_open,
	.read = image_read,
	.write = image_write,
	.flush = image_flush,
	.fsync = image_fsync,
	.release = image_release,
	.setattr = image_setattr,
	.size = image_size,
};
