// SPDX-License-Identifier: Apache-2.0
/*
 * Passthrough (passthrough.h), the worker's part. libfuse has it from 3.17 on; with older ones,
 * and for a worker that takes over, what the kernel wants to hear is added to what libfuse
 * writes: a flag and a number in the answer to INIT, and the answer to an open.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "fs/daemon/link.h"
#include "fs/daemon/passthrough.h"
#include "fs/daemon/session.h"

#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/* linux/fuse.h of kernel 6.9; older headers lack them. */
#define INIT_PASSTHROUGH (1u << (37 - 32)) /* of flags2 */
#define OPEN_PASSTHROUGH (1u << 7)	   /* FOPEN_PASSTHROUGH */
#define OPEN_NOFLUSH	 (1u << 5)	   /* FOPEN_NOFLUSH */
/* max_stack_depth of struct fuse_init_out, behind flags2: ours may have as many file systems below it. One:
 * an overlay may still be mounted over us. */
#define INIT_DEPTH_AT (offsetof(struct fuse_init_out, flags2) + sizeof(uint32_t))
#define INIT_DEPTH    1

/* For the holder, who may be stopped. */
#define DROP_WAIT_NS (INT64_C(200) * 1000000)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* before that of opens.c */
static pthread_cond_t dropped = PTHREAD_COND_INITIALIZER;
/* lock */
static uint64_t drops, drops_over; /* asked for, and the last that was done, in this order */
static int link_fd = -1;
static bool refused; /* the holder, or the kernel, does not do it here */
static uint64_t uses, tickets;
static struct backed {
	uint64_t content; /* 0 = free */
	int32_t id;	  /* 0 = it is asked for */
	uint64_t ticket;  /* with which it is */
	uint64_t used;
} table[LINK_BACKINGS];

/* --- INIT ------------------------------------------------------------------------------------ */

static bool allowed;

/* Does the kernel offer it? */
static bool offered(void)
{
	union {
		uint8_t bytes[SESSION_INIT_MAX];
		struct {
			struct fuse_in_header header;
			struct fuse_init_in init;
		} in;
	} saved;
	size_t n = session_init_load(saved.bytes, sizeof(saved));

	return n >= sizeof(saved.in) && saved.in.init.flags & FUSE_INIT_EXT && saved.in.init.flags2 & INIT_PASSTHROUGH;
}

static void init_answer(const struct iovec *iov, int count)
{
	struct fuse_init_out out;
	uint32_t depth = INIT_DEPTH;

	if (!allowed || count != 2 || iov[1].iov_len != sizeof(out) || !offered())
		return;
	memcpy(&out, iov[1].iov_base, sizeof(out));
	out.flags |= FUSE_INIT_EXT;
	out.flags2 |= INIT_PASSTHROUGH;
	memcpy((char *)&out + INIT_DEPTH_AT, &depth, sizeof(depth));
	memcpy(iov[1].iov_base, &out, sizeof(out));
}

static ssize_t connection_write(int fd, struct iovec *iov, int count, void *userdata)
{
	(void)userdata;
	if (request_current()->opcode == FUSE_INIT)
		init_answer(iov, count);
	return writev(fd, iov, count);
}

/* Of libfuse's own loop, which is not used (loop.c). */
static ssize_t connection_read(int fd, void *buf, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, buf, len);
}

static ssize_t connection_splice(int from, off_t *from_at, int to, off_t *to_at, size_t len, unsigned flags,
				 void *userdata)
{
	(void)userdata;
	return splice(from, from_at, to, to_at, len, flags);
}

int passthrough_attach(struct fuse_session *se, int fd, bool may)
{
	static const struct fuse_custom_io io = {
		.writev = connection_write,
		.read = connection_read,
		.splice_send = connection_splice,
	};

	allowed = may;
	return fuse_session_custom_io(se, &io, fd);
}

/* --- numbers --------------------------------------------------------------------------------- */

/* lock, as for all below */
static struct backed *find(uint64_t content)
{
	for (int i = 0; i < LINK_BACKINGS; i++)
		if (table[i].content == content)
			return &table[i];
	return NULL;
}

/* False: the holder could not be told, and the number stays. */
static bool drop(struct backed *b)
{
	struct link_backing message = { .word = LINK_UNBACK, .content = b->content, .ticket = drops + 1 };

	if (opens_have(b->content) || !link_send(link_fd, &message, sizeof(message), -1))
		return false;
	*b = (struct backed){ 0 };
	drops++;
	return true;
}

/* A free place, perhaps that of who was not used for longest. */
static struct backed *place(void)
{
	struct backed *free_one = find(0), *oldest = NULL;

	if (free_one)
		return free_one;
	for (int i = 0; i < LINK_BACKINGS; i++)
		if ((!oldest || table[i].used < oldest->used) && !opens_have(table[i].content))
			oldest = &table[i];
	return oldest && drop(oldest) ? oldest : NULL;
}

void passthrough_want(uint64_t content, int fd)
{
	struct link_backing message = { .word = LINK_BACK, .content = content };
	struct backed *b;

	pthread_mutex_lock(&lock);
	b = allowed && !refused ? find(content) : NULL;
	if (allowed && !refused && !b && (b = place())) {
		message.ticket = ++tickets;
		*b = (struct backed){ .content = content, .ticket = tickets, .used = ++uses };
		if (!link_send(link_fd, &message, sizeof(message), fd))
			*b = (struct backed){ 0 };
	}
	pthread_mutex_unlock(&lock);
}

void passthrough_told(const void *message, size_t n)
{
	struct link_backing told;
	struct backed *b;

	if (n != sizeof(told))
		return;
	memcpy(&told, message, sizeof(told));
	pthread_mutex_lock(&lock);
	if (told.word == LINK_UNBACK) {
		drops_over = told.ticket;
		pthread_cond_broadcast(&dropped);
		pthread_mutex_unlock(&lock);
		return;
	}
	b = told.content ? find(told.content) : NULL;
	/* Of an earlier time that it was asked for, since when it was dropped. */
	if (b && b->ticket != told.ticket)
		b = NULL;
	if (b && told.id > 0)
		b->id = told.id;
	else if (b)
		*b = (struct backed){ 0 };
	/* Anything else may be otherwise the next time. */
	if (told.id < 0 && told.id != -ENOSPC && told.id != -ENOMEM && told.id != -ENFILE && !refused) {
		refused = true;
		log_debug("images are read through the page cache: the kernel does not read their files itself: %s",
			  strerror(-told.id));
	}
	pthread_mutex_unlock(&lock);
}

uint64_t passthrough_open(struct open_image *image, bool whole)
{
	struct backed *b;
	uint64_t fh;

	/* Until it is noted as open its number could be taken from it. */
	pthread_mutex_lock(&lock);
	b = whole ? find(image->content) : NULL;
	image->backing = b ? b->id : 0;
	if (b)
		b->used = ++uses;
	fh = opens_add(image);
	pthread_mutex_unlock(&lock);
	return fh;
}

int passthrough_reply(fuse_req_t req, uint64_t fh, int32_t backing)
{
	struct fuse_open_out out = { .fh = fh, .open_flags = OPEN_PASSTHROUGH | OPEN_NOFLUSH };

	/* In the place of what was padding. */
	memcpy((char *)&out + offsetof(struct fuse_open_out, open_flags) + sizeof(uint32_t), &backing, sizeof(backing));
	return fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

void passthrough_drop(uint64_t content)
{
	int64_t until = clock_mono_ns() + DROP_WAIT_NS;
	struct timespec ts = { .tv_sec = until / 1000000000, .tv_nsec = until % 1000000000 };
	struct backed *b;
	uint64_t number;
	int err = 0;

	pthread_mutex_lock(&lock);
	b = find(content);
	if (b && drop(b)) {
		number = drops;
		while (drops_over < number && link_fd >= 0 && !err)
			err = pthread_cond_clockwait(&dropped, &lock, CLOCK_MONOTONIC, &ts);
	}
	pthread_mutex_unlock(&lock);
}

/* --- taking over ------------------------------------------------------------------------------- */

static void kept_add(const struct open_image *image)
{
	struct backed *b = find(image->content);

	if (!b)
		b = find(0);
	if (b)
		*b = (struct backed){ .content = image->content, .id = image->backing, .used = ++uses };
}

void passthrough_link(int fd)
{
	struct link_keep keep = { .word = LINK_KEEP };

	pthread_mutex_lock(&lock);
	link_fd = fd;
	drops = drops_over = 0;
	pthread_cond_broadcast(&dropped);
	if (fd >= 0) {
		refused = false;
		memset(table, 0, sizeof(table));
		opens_each_backed(kept_add);
		for (int i = 0; i < LINK_BACKINGS; i++)
			if (table[i].content)
				keep.content[keep.len++] = table[i].content;
		/* Before anything else is asked for, and the socket is empty. */
		link_send(link_fd, &keep, sizeof(keep), -1);
	}
	pthread_mutex_unlock(&lock);
}
