// SPDX-License-Identifier: Apache-2.0
/* `io/...` as files: the endpoints of the loaded design. The work is in fs/card/io.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "fs/card/busy.h"
#include "fs/card/io.h"
#include "fs/daemon/session.h"
#include "fs/tree/active.h"
#include "fs/tree/call.h"
#include "fs/tree/node.h"

#define IO_CHUNK (64u * 1024) /* most bytes one request moves */

static enum card_endpoint endpoint_of(uint64_t ino)
{
	uint32_t file = node_file(ino);

	return file == FILE_IO_DOT_RX ? CARD_RX : (enum card_endpoint)(file - FILE_IO_FIRST);
}

static bool is_stream(enum card_endpoint e)
{
	return e == CARD_TX || e == CARD_RX;
}

/* --- opening: one writer of tx, one reader of rx ------------------------------------------- */

struct claim {
	uint64_t ino;                    /* of the stream */
	const struct saved_handle *mine; /* is in nobody's way */
	enum card_endpoint endpoint;
	uint64_t load;
	bool taken;
	bool closed; /* by one who is about to go */
};

/* An open that waits for him: the kernel sends RELEASE behind the close, and `printf a > tx;
 * printf b > tx` must not meet its own ghost. */
struct open_wait {
	struct slot_wait wait;
	struct claim claim;
	fuse_req_t req;
	struct card *card;
	uint64_t ino;
	struct fuse_file_info fi;
	struct request request;
};

static bool moves_bytes(const struct saved_handle *h, enum card_endpoint e)
{
	int access = (int)h->open_flags & O_ACCMODE;

	return e == CARD_TX ? access != O_RDONLY : access != O_WRONLY;
}

static int claim_match(struct saved_handle *h, void *arg)
{
	struct claim *c = arg;

	/* An open that belongs to an earlier load stands in nobody's way. */
	c->taken = h->kind == SAVED_IO && h != c->mine && node_card(h->ino) == node_card(c->ino) &&
		   node_slot(h->ino) == node_slot(c->ino) && endpoint_of(h->ino) == c->endpoint &&
		   atomic_load(&h->io.load) == c->load && moves_bytes(h, c->endpoint);
	c->closed = c->taken && atomic_load(&h->io.closed);
	return c->taken;
}

static bool claim_closing(struct slot *slot, const struct slot_wait *wait)
{
	struct claim c = ((const struct open_wait *)wait)->claim;

	(void)slot;
	saved_each(claim_match, &c);
	return c.closed;
}

static void io_open_try(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi,
			bool last);

static void open_again(struct slot_wait *wait, bool last)
{
	struct open_wait *w = (struct open_wait *)wait;

	request_set(&w->request);
	io_open_try(w->req, w->card, w->ino, &w->fi, last);
	request_set(NULL);
	free(w);
}

static bool open_waits(fuse_req_t req, struct card *card, uint64_t ino, const struct fuse_file_info *fi,
		       const struct claim *claim)
{
	struct open_wait *w = malloc(sizeof(*w));

	if (!w)
		return false;
	*w = (struct open_wait){ .wait = { .closing = claim_closing, .again = open_again }, .claim = *claim,
				 .req = req, .card = card, .ino = ino, .fi = *fi,
				 .request = *request_current() };
	w->claim.mine = NULL;
	if (slot_wait(card_slot(card, node_slot(ino)), &w->wait))
		return true;
	free(w);
	return false;
}

static int io_may_open(struct slot *slot, enum card_endpoint e, uint64_t *load)
{
	const struct card_view *view = card_view_get(slot->card);
	const struct slot_view *v = slot_view(view, slot->index);
	int err = 0;

	if (v->state == STATE_OFFLINE || !(v->endpoints & CARD_ENDPOINT_BIT(e)))
		err = ENODEV;
	*load = v->load;
	card_view_put(view);
	return err;
}

static void io_open(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	io_open_try(req, card, ino, fi, false);
}

static void io_open_try(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi,
			bool last)
{
	struct slot *slot = card_slot(card, node_slot(ino));
	enum card_endpoint e = endpoint_of(ino);
	struct saved_handle *saved;
	struct claim claim = { .ino = ino, .endpoint = e };
	int err = 0;

	fi->direct_io = 1;
	fi->noflush = !is_stream(e);
	fi->nonseekable = is_stream(e);
	if (answer_open_again(req, fi))
		return;
	err = io_may_open(slot, e, &claim.load);
	if (!err && e == CARD_RX && (fi->flags & O_ACCMODE) != O_RDONLY)
		err = EACCES;
	if (err) {
		answer_err(req, err);
		return;
	}
	/* Not to be in one's own way: it was made, but the worker died before it could say so. */
	saved = saved_made_before(SAVED_IO);
	if (saved)
		saved_drop(saved);
	saved = saved_new(SAVED_IO, &fi->fh);
	if (!saved) {
		answer_err(req, ENFILE);
		return;
	}
	saved->ino = ino;
	saved->open_flags = (uint32_t)fi->flags;
	atomic_store(&saved->io.load, claim.load);
	claim.mine = saved;
	pthread_mutex_lock(&card->lock);
	if (is_stream(e) && moves_bytes(saved, e))
		saved_each(claim_match, &claim);
	if (claim.taken)
		saved_drop(saved);
	else
		saved_publish(saved, fi->fh);
	pthread_mutex_unlock(&card->lock);
	/* He may have gone between: then it is tried once more at once. */
	if (claim.closed && !last) {
		if (!open_waits(req, card, ino, fi, &claim))
			io_open_try(req, card, ino, fi, true);
	} else if (claim.taken) {
		answer_err(req, EBUSY);
	} else if (answer_open(req, fi) == -ENOENT) {
		saved_drop(saved);
	}
}

/* A close; of the last descriptor or not, nobody can tell. */
static void io_flush(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	struct saved_handle *saved = saved_find(fi->fh);

	(void)card;
	(void)ino;
	if (saved)
		atomic_store(&saved->io.closed, 1);
	fuse_reply_err(req, 0);
}

static void io_release(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	struct saved_handle *saved = saved_find(fi->fh);

	if (saved)
		saved_drop(saved);
	if (saved && is_stream(endpoint_of(ino)))
		slot_freed(card_slot(card, node_slot(ino)));
	fuse_reply_err(req, 0);
}

/* --- moving bytes ---------------------------------------------------------------------------- */

struct moving {
	struct io_call call;
	fuse_req_t req;
	uint64_t unique;
	char bytes[];
};

static void moving_done(struct io_call *call, int err, size_t moved)
{
	struct moving *m = (struct moving *)call;

	/* First make sure that no interrupt is about to look at this call. */
	fuse_req_interrupt_func(m->req, NULL, NULL);
	if (call->io.write)
		journal_done(m->unique, err, moved);
	if (err)
		fuse_reply_err(m->req, err);
	else if (call->io.write)
		fuse_reply_write(m->req, moved);
	else
		fuse_reply_buf(m->req, m->bytes, moved);
	free(m);
}

static void moving_interrupted(fuse_req_t req, void *data)
{
	struct moving *m = data;

	(void)req;
	atomic_store(&m->call.interrupted, true);
	actor_wake(m->call.slot->actor);
}

static struct moving *moving_new(fuse_req_t req, struct card *card, uint64_t ino, size_t size,
				 uint64_t off, struct fuse_file_info *fi)
{
	struct saved_handle *saved = saved_find(fi->fh);
	size_t n = size < IO_CHUNK ? size : IO_CHUNK;
	struct moving *m = saved ? calloc(1, sizeof(*m) + n) : NULL;

	if (!m) {
		fuse_reply_err(req, saved ? ENOMEM : EBADF);
		return NULL;
	}
	atomic_store(&saved->io.closed, 0);
	m->req = req;
	m->unique = request_current()->unique;
	m->call.slot = card_slot(card, node_slot(ino));
	m->call.load = atomic_load(&saved->io.load);
	m->call.done = moving_done;
	m->call.io.endpoint = endpoint_of(ino);
	m->call.io.slot = m->call.slot->index < 0 ? 0 : (unsigned)m->call.slot->index;
	m->call.io.nonblock = fi->flags & O_NONBLOCK;
	m->call.io.wait = node_file(ino) == FILE_IO_DOT_RX;
	m->call.io.id = run_id();
	m->call.io.offset = off;
	m->call.io.data = m->bytes;
	m->call.io.size = n;
	return m;
}

static void io_read(fuse_req_t req, struct card *card, uint64_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct moving *m;

	/* Nothing can be read from tx; it ends at once, so that a crawler goes on. */
	if (endpoint_of(ino) == CARD_TX) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	m = moving_new(req, card, ino, size, (uint64_t)off, fi);
	if (!m)
		return;
	fuse_req_interrupt_func(req, moving_interrupted, m);
	io_call_submit(&m->call);
}

static void io_write(fuse_req_t req, struct card *card, uint64_t ino, const char *bytes, size_t size,
		     off_t off, struct fuse_file_info *fi)
{
	struct moving *m;

	if (answer_write_again(req))
		return;
	m = moving_new(req, card, ino, size, (uint64_t)off, fi);
	if (!m)
		return;
	m->call.io.write = true;
	memcpy(m->bytes, bytes, m->call.io.size);
	fuse_req_interrupt_func(req, moving_interrupted, m);
	io_call_submit(&m->call);
}

static void poll_told(struct io_call *call, int err, size_t moved)
{
	(void)err;
	(void)moved;
	free(call);
}

/* A clock on demand runs for those who only poll, too. */
static void poll_tell(struct slot *slot, const struct saved_handle *saved)
{
	struct io_call *call = calloc(1, sizeof(*call));

	if (!call)
		return;
	call->slot = slot;
	call->load = atomic_load(&saved->io.load);
	call->done = poll_told;
	call->io = (struct card_io){ .endpoint = CARD_RX, .slot = slot->index < 0 ? 0 : (unsigned)slot->index,
				     .wait = true, .nonblock = true, .id = run_id() };
	io_call_submit(call);
}

static void io_poll(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *ph)
{
	struct slot *slot = card_slot(card, node_slot(ino));
	struct saved_handle *saved = saved_find(fi->fh);
	enum card_endpoint e = endpoint_of(ino);
	unsigned revents = 0, ready;
	bool waits = ph != NULL;

	if (saved && waits)
		atomic_store(&saved->poll_kh, request_current()->poll_kh + 1);
	if (ph)
		fuse_pollhandle_destroy(ph);
	ready = atomic_load(&slot->io_ready);
	if (!saved || atomic_load(&saved->io.load) != atomic_load(&slot->load))
		revents = POLLHUP | POLLERR;
	else if (!is_stream(e))
		revents = POLLIN | POLLOUT;
	else if (ready & CARD_ENDPOINT_BIT(e))
		revents = e == CARD_RX ? POLLIN : POLLOUT;
	else if (waits && e == CARD_RX)
		poll_tell(slot, saved);
	fuse_reply_poll(req, revents);
}

static uint64_t io_size(struct card *card, uint64_t ino)
{
	(void)card;
	return endpoint_of(ino) == CARD_REGS ? 512 : 0;
}

const struct active_ops io_ops = {
	.open = io_open,
	.read = io_read,
	.write = io_write,
	.flush = io_flush,
	.release = io_release,
	.poll = io_poll,
	.size = io_size,
};
