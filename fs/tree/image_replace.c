// SPDX-License-Identifier: Apache-2.0
/* Replacing `image` by name: install, mv, cp --remove-destination. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
 * A thread that has unlinked `image` does not see the name until it creates it,
 * 2 s at most: the kernel would answer O_EXCL with EEXIST without asking. Kept in
 * the session, as a worker may die between the two.
 */
#define HIDE_NS (INT64_C(2) * 1000000000)

static _Atomic int hidden_count = -1; /* -1: not yet counted in this worker */
/* Two threads must not drop the same one: its place may be another's by then. */
static pthread_mutex_t hidden_lock = PTHREAD_MUTEX_INITIALIZER;

struct hidden {
	uint64_t ino;
	pid_t tid;
	struct saved_handle *found;
	int count;
};

static bool is_hidden(const struct saved_handle *h)
{
	return h->kind == SAVED_COMMAND && node_file(h->ino) == FILE_IMAGE;
}

static int hidden_match(struct saved_handle *h, void *arg)
{
	struct hidden *want = arg;

	if (!is_hidden(h))
		return 0;
	want->count++;
	if (atomic_load(&h->seen_ns) < clock_mono_ns()) {
		saved_drop(h);
		want->count--;
		atomic_fetch_sub(&hidden_count, 1);
	} else if (h->ino == want->ino && h->who.pid == want->tid) {
		want->found = h;
	}
	return 0;
}

/* hidden_lock held, also for as long as what it returns is used. */
static struct saved_handle *hidden_find(uint64_t ino, pid_t tid)
{
	struct hidden want = { .ino = ino, .tid = tid };
	int count = atomic_load(&hidden_count);

	if (!count)
		return NULL;
	saved_each(hidden_match, &want);
	if (count < 0)
		atomic_store(&hidden_count, want.count);
	return want.found;
}

bool image_hidden(struct card *card, int slot, pid_t tid)
{
	bool found;

	if (!atomic_load(&hidden_count))
		return false;
	pthread_mutex_lock(&hidden_lock);
	found = hidden_find(node_make(NODE_CARD, card->dev, slot, FILE_IMAGE), tid);
	pthread_mutex_unlock(&hidden_lock);
	return found;
}

void image_unlink(fuse_req_t req, struct card *card, int slot)
{
	uint64_t ino = node_make(NODE_CARD, card->dev, slot, FILE_IMAGE), fh;
	pid_t tid = fuse_req_ctx(req)->pid;
	struct saved_handle *h;

	if (answer_err_again(req))
		return;
	pthread_mutex_lock(&hidden_lock);
	h = hidden_find(ino, tid); /* counts, and drops the old ones */
	if (h) {
		atomic_store(&h->seen_ns, clock_mono_ns() + HIDE_NS);
	} else if ((h = saved_new(SAVED_COMMAND, &fh))) {
		h->ino = ino;
		h->who.pid = tid;
		atomic_store(&h->seen_ns, clock_mono_ns() + HIDE_NS);
		saved_publish(h, fh);
		atomic_fetch_add(&hidden_count, 1);
	}
	pthread_mutex_unlock(&hidden_lock);
	answer_err(req, h ? 0 : ENFILE);
}

void image_create(fuse_req_t req, struct card *card, int slot, struct fuse_file_info *fi)
{
	uint64_t ino = node_make(NODE_CARD, card->dev, slot, FILE_IMAGE);
	struct saved_handle *h;

	pthread_mutex_lock(&hidden_lock);
	h = hidden_find(ino, fuse_req_ctx(req)->pid);
	if (h) {
		saved_drop(h);
		atomic_fetch_sub(&hidden_count, 1);
	}
	pthread_mutex_unlock(&hidden_lock);
	image_open_for_writing(req, card_slot(card, slot), ino, fi, true);
}
