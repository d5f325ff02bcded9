// SPDX-License-Identifier: Apache-2.0
/*
 * What a repository gives, on its way into the file of its content (content.h).
 *
 * Only whole chunks are written: nobody can read a part of one anyway, and a file that is
 * written in small pieces on no boundary gets folios of one page each, which cost four
 * times what large ones do: 80 ms of processor time in place of 20 for 100 MB (ext4,
 * Linux 6.18). What is left of a piece waits in memory for the rest of its chunk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/remote/content_in.h"

/* What is held, and these bytes behind it, at pos. A full disk is a reason to evict, too. */
static int bytes_write(struct fetch *f, const char *bytes, size_t n, struct reason *why)
{
	struct iovec parts[2] = { { .iov_base = f->bytes, .iov_len = f->held },
				  { .iov_base = (void *)(uintptr_t)bytes, .iov_len = n } };
	uint64_t at = f->pos;
	bool freed;

	while (parts[0].iov_len + parts[1].iov_len) {
		ssize_t w = pwritev(f->content->fd, parts, 2, (off_t)at);
		int err = w < 0 ? errno : 0;

		if (err == EINTR)
			continue;
		if ((err == ENOSPC || err == EDQUOT) && usage_evict(n, &freed) && freed)
			continue;
		if (err)
			return reason_set(why, err, "no room for %s in the cache in the state folder: %s",
					  f->origin->name, strerror(err));
		at += (uint64_t)w;
		for (int i = 0; i < 2; i++) {
			size_t part = (size_t)w < parts[i].iov_len ? (size_t)w : parts[i].iov_len;

			parts[i].iov_base = (char *)parts[i].iov_base + part;
			parts[i].iov_len -= part;
			w -= (ssize_t)part;
		}
	}
	return 0;
}

static int put(struct fetch *f, const char *bytes, size_t n, struct reason *why)
{
	size_t all = f->held + n;
	int err = all ? bytes_write(f, bytes, n, why) : 0;

	f->held = 0; /* if it failed, too: they did not come */
	return err || !all ? err : fetch_written(f, all, why);
}

int fetch_flush(struct fetch *f, struct reason *why)
{
	return put(f, NULL, 0, why);
}

int fetch_take(struct fetch *f, const char *bytes, size_t n, struct reason *why)
{
	uint64_t end = f->pos + f->held + n;
	/* The last bytes of a range end where they end. */
	uint64_t upto = end == f->to ? end : end / CHUNK_SIZE * CHUNK_SIZE;
	size_t now = upto > f->pos ? (size_t)(upto - f->pos) - f->held : 0;
	int err = 0;

	if (now)
		err = put(f, bytes, now, why);
	if (err || now == n)
		return err;
	if (!f->bytes)
		f->bytes = malloc(CHUNK_SIZE);
	if (!f->bytes)
		return reason_set(why, ENOMEM, "no memory for what comes of %s", f->origin->name);
	memcpy(f->bytes + f->held, bytes + now, n - now);
	f->held += n - now;
	return 0;
}
