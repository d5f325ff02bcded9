// SPDX-License-Identifier: Apache-2.0
/* Which files have a number at the kernel (backings.h). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "fs/daemon/backings.h"
#include "fs/daemon/link.h"

/* linux/fuse.h of kernel 6.9; older headers lack it. */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

static struct {
	uint64_t content; /* 0 = free */
	int32_t id;
} table[LINK_BACKINGS];

static int find(uint64_t content)
{
	for (int i = 0; i < LINK_BACKINGS; i++)
		if (table[i].content == content)
			return i;
	return -1;
}

/* Files that are open by it stay so. */
static void end(int fuse_fd, int i)
{
	uint32_t id = (uint32_t)table[i].id;

	table[i].content = 0;
	/* It can fail only for a connection that is gone, with all its numbers. */
	(void)!ioctl(fuse_fd, BACKING_CLOSE, &id);
}

/*
 * The worker's rights are fewer than ours, and the kernel reads with ours: so only what it could open for
 * reading. A path without that (O_PATH) is enough for the kernel, from 6.17 on.
 */
static bool is_readable(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && !(flags & O_PATH) && (flags & O_ACCMODE) != O_WRONLY;
}

static int32_t number_make(int fuse_fd, const struct backing_map *map)
{
	int id = ioctl(fuse_fd, BACKING_OPEN, map);

	return id < 0 ? -errno : id;
}

static void begin(int fuse_fd, int link_fd, const struct link_backing *asked, int fd)
{
	struct link_backing answer = { .word = LINK_BACKED, .content = asked->content, .ticket = asked->ticket };
	struct backing_map map = { .fd = fd };
	int i = find(asked->content);

	/* Asked for by a worker that died before it was told. */
	if (i < 0) {
		i = find(0);
		answer.id = i < 0 ? -ENOSPC : !is_readable(fd) ? -EACCES : number_make(fuse_fd, &map);
		if (answer.id > 0) {
			table[i].content = asked->content;
			table[i].id = answer.id;
		}
	} else {
		answer.id = table[i].id;
	}
	if (send(link_fd, &answer, sizeof(answer), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && answer.id > 0)
		end(fuse_fd, i);
}

static bool is_kept(const struct link_keep *keep, uint64_t content)
{
	for (uint32_t i = 0; i < keep->len && i < LINK_BACKINGS; i++)
		if (keep->content[i] == content)
			return true;
	return false;
}

bool backings_message(int fuse_fd, int link_fd, const void *message, size_t n, int fd)
{
	struct link_backing one;
	struct link_keep keep;
	int i;

	if (n == sizeof(keep) && *(const uint8_t *)message == LINK_KEEP) {
		memcpy(&keep, message, sizeof(keep));
		for (i = 0; i < LINK_BACKINGS; i++)
			if (table[i].content && !is_kept(&keep, table[i].content))
				end(fuse_fd, i);
		return true;
	}
	if (n != sizeof(one))
		return false;
	memcpy(&one, message, sizeof(one));
	if (!one.content)
		return false;
	if (one.word == LINK_BACK && fd >= 0)
		begin(fuse_fd, link_fd, &one, fd);
	if (one.word == LINK_UNBACK) {
		i = find(one.content);
		if (i >= 0)
			end(fuse_fd, i);
		/* Who waits for it does so for a moment only. */
		(void)!send(link_fd, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	return one.word == LINK_BACK || one.word == LINK_UNBACK;
}
