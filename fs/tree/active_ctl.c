// SPDX-License-Identifier: Apache-2.0
/* `ctl`, `stop` and `lease` as files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/card/busy.h"
#include "fs/card/command.h"
#include "fs/daemon/session.h"
#include "fs/tree/active.h"
#include "fs/tree/call.h"
#include "fs/tree/node.h"

#include <fabricfs/buf.h>
#include <fabricfs/log.h>

static const char stop_words[] = "upload command lease\n";

static void text_read(fuse_req_t req, const char *text, size_t len, size_t size, off_t off)
{
	if (off < 0 || (size_t)off >= len)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, text + off, len - (size_t)off < size ? len - (size_t)off : size);
}

/* The words that this card accepts now, and a newline. */
static size_t ctl_text(struct card *card, uint64_t ino, char text[128])
{
	const struct card_view *view = card_view_get(card);
	const struct slot_view *v = slot_view(view, node_slot(ino));

	text_copy(text, 127, v ? v->words : "");
	card_view_put(view);

	size_t n = strlen(text);

	if (n)
		text[n++] = '\n';
	return n;
}

/* --- those who wait for a writer who is about to go ----------------------------------- */

struct ctl_wait {
	struct slot_wait wait;
	fuse_req_t req;
	struct slot *slot;
	uint64_t ino;
	struct fuse_file_info fi; /* of an open */
	struct request request;
	size_t size;              /* of a word for stop */
	char word[];
};

/* word NULL: an open of ctl. False: it does not wait, the answer is the present one. */
static bool ctl_waits(fuse_req_t req, struct slot *slot, uint64_t ino, const struct fuse_file_info *fi,
		      const char *word, size_t size, bool check,
		      void (*again)(struct slot_wait *wait, bool last))
{
	struct ctl_wait *w;

	if (!slot_is_closing(slot, check))
		return false;
	w = malloc(sizeof(*w) + size);
	if (!w)
		return false;
	*w = (struct ctl_wait){ .wait = { .check = check, .again = again }, .req = req, .slot = slot,
				.ino = ino, .fi = *fi, .request = *request_current(), .size = size };
	if (word)
		memcpy(w->word, word, size);
	if (slot_wait(slot, &w->wait))
		return true;
	free(w);
	return false;
}

static void ctl_open_try(fuse_req_t req, struct slot *slot, uint64_t ino, struct fuse_file_info *fi,
			 bool last);

static void ctl_open_again(struct slot_wait *wait, bool last)
{
	struct ctl_wait *w = (struct ctl_wait *)wait;

	request_set(&w->request);
	ctl_open_try(w->req, w->slot, w->ino, &w->fi, last);
	request_set(NULL);
	free(w);
}

/* --- ctl and stop ------------------------------------------------------------------------ */

static void ctl_open(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	fi->noflush = 1;
	if ((fi->flags & O_ACCMODE) == O_RDONLY)
		fuse_reply_open(req, fi);
	else if (!answer_open_again(req, fi))
		ctl_open_try(req, card_slot(card, node_slot(ino)), ino, fi, false);
}

static void ctl_open_try(fuse_req_t req, struct slot *slot, uint64_t ino, struct fuse_file_info *fi,
			 bool last)
{
	struct saved_handle *saved;
	struct reason why = { 0 };
	int err = 0;

	if (node_file(ino) == FILE_CTL) {
		if (!last && ctl_waits(req, slot, ino, fi, NULL, 0, false, ctl_open_again))
			return;
		err = command_may_open(slot, &why);
	}
	if (err) {
		log_debug("%s", why.text);
		answer_err(req, -err);
		return;
	}
	saved = saved_new(SAVED_COMMAND, &fi->fh);
	if (!saved) {
		answer_err(req, ENFILE);
		return;
	}
	saved->ino = ino;
	who_calls(req, &saved->who);
	saved_publish(saved, fi->fh);
	if (answer_open(req, fi) == -ENOENT)
		saved_drop(saved);
}

static void ctl_read(fuse_req_t req, struct card *card, uint64_t ino, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	char text[128];

	(void)fi;
	if (node_file(ino) == FILE_STOP)
		text_read(req, stop_words, sizeof(stop_words) - 1, size, off);
	else
		text_read(req, text, ctl_text(card, ino, text), size, off);
}

static void stop_try(fuse_req_t req, struct slot *slot, uint64_t ino, const struct fuse_file_info *fi,
		     const char *bytes, size_t size, bool last);

static void stop_again(struct slot_wait *wait, bool last)
{
	struct ctl_wait *w = (struct ctl_wait *)wait;

	request_set(&w->request);
	stop_try(w->req, w->slot, w->ino, &w->fi, w->word, w->size, last);
	request_set(NULL);
	free(w);
}

static void stop_try(fuse_req_t req, struct slot *slot, uint64_t ino, const struct fuse_file_info *fi,
		     const char *bytes, size_t size, bool last)
{
	struct saved_handle *saved = saved_find(fi->fh);
	int err = saved ? command_stop(slot, bytes, size, &saved->who) : -EBADF;

	/* Somebody else's upload; but if he has closed it, there is soon none. */
	if (err == -EPERM && !last && (ctl_waits(req, slot, ino, fi, bytes, size, false, stop_again) ||
				       ctl_waits(req, slot, ino, fi, bytes, size, true, stop_again)))
		return;
	/* He may have gone between the two looks. */
	if (err == -EPERM && !last)
		err = command_stop(slot, bytes, size, &saved->who);
	if (err)
		answer_err(req, -err);
	else
		answer_write(req, size);
}

static void ctl_write(fuse_req_t req, struct card *card, uint64_t ino, const char *bytes, size_t size,
		      off_t off, struct fuse_file_info *fi)
{
	struct slot *slot = card_slot(card, node_slot(ino));
	struct saved_handle *saved = saved_find(fi->fh);
	struct reason why = { 0 };
	struct call *call;
	int err;

	(void)off;
	if (answer_write_again(req))
		return;
	if (!saved) {
		fuse_reply_err(req, EBADF);
		return;
	}
	if (node_file(ino) == FILE_STOP) {
		stop_try(req, slot, ino, fi, bytes, size, false);
		return;
	}
	call = call_park(req, slot, ino, size);
	if (!call)
		return;
	err = command_post(slot, bytes, size, &saved->who, run_id(), call_done_write, call, &why);
	if (err)
		call_done_write(call, -err);
}

static void ctl_release(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	struct saved_handle *saved = fi->fh ? saved_find(fi->fh) : NULL;

	(void)card;
	(void)ino;
	if (saved)
		saved_drop(saved);
	fuse_reply_err(req, 0);
}

static uint64_t ctl_size(struct card *card, uint64_t ino)
{
	char text[128];

	return node_file(ino) == FILE_STOP ? sizeof(stop_words) - 1 : ctl_text(card, ino, text);
}

const struct active_ops ctl_ops = {
	.open = ctl_open,
	.read = ctl_read,
	.write = ctl_write,
	.release = ctl_release,
	.size = ctl_size,
};

/* --- lease: it can be read; holding a card comes with the leases ------------------------- */

static void lease_open(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	(void)card;
	(void)ino;
	if ((fi->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	fi->direct_io = 1;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

static void lease_read(fuse_req_t req, struct card *card, uint64_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	(void)card;
	(void)ino;
	(void)size;
	(void)off;
	(void)fi;
	fuse_reply_buf(req, NULL, 0); /* nobody holds it */
}

const struct active_ops lease_ops = {
	.open = lease_open,
	.read = lease_read,
};
