// SPDX-License-Identifier: Apache-2.0
/* Readers of `image`: each sees the bytes that were loaded when it opened (upload_file.h). */
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

/* Descriptors of blobs, so that a reader goes on when the blob was replaced and
 * trimmed; after a restart of the worker they are opened again by digest. */
struct reader {
	struct reader *next;
	uint64_t fh;
	int fd;
};
static struct reader *readers;
static pthread_mutex_t readers_lock = PTHREAD_MUTEX_INITIALIZER;

static void reader_keep(uint64_t fh, int fd)
{
	struct reader *r = malloc(sizeof(*r));

	if (!r) {
		close(fd);
		return;
	}
	pthread_mutex_lock(&readers_lock);
	*r = (struct reader){ .next = readers, .fh = fh, .fd = fd };
	readers = r;
	pthread_mutex_unlock(&readers_lock);
}

int reader_fd(struct saved_handle *saved, uint64_t fh)
{
	struct reason why;
	struct reader *r;
	int fd = -1, err;

	pthread_mutex_lock(&readers_lock);
	for (r = readers; r && r->fh != fh; r = r->next)
		;
	if (r)
		fd = r->fd;
	pthread_mutex_unlock(&readers_lock);
	if (fd >= 0)
		return fd;
	err = store_blob_open(cards_store(), saved->reader.sha256, &fd, NULL, &why);
	if (err)
		return err == -ENOENT ? -ESTALE : err;
	reader_keep(fh, fd);
	return fd;
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
	if (r) {
		close(r->fd);
		free(r);
	}
}

void reader_open(fuse_req_t req, struct slot *slot, uint64_t ino, struct fuse_file_info *fi)
{
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
	if (*saved->reader.sha256)
		reader_fd(saved, fi->fh);
	fi->direct_io = 1;
	fi->noflush = 1;
	if (answer_open(req, fi) == -ENOENT) {
		reader_drop(fi->fh);
		saved_drop(saved);
	}
}
