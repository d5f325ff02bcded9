// SPDX-License-Identifier: Apache-2.0
/* Messages between holder and worker that a descriptor may come with (link.h). */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "fs/daemon/link.h"

/* Of one descriptor; CMSG_SPACE() has room for two, of which the second would stay open unseen. */
union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};
#define CONTROL_LEN CMSG_LEN(sizeof(int))

bool link_send(int link_fd, const void *message, size_t n, int fd)
{
	union control control = { 0 };
	struct iovec iov = { (void *)message, n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (link_fd < 0)
		return false;
	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CONTROL_LEN;

		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CONTROL_LEN;
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(link_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n;
}

ssize_t link_receive(int link_fd, void *message, size_t size, int *fd)
{
	union control control;
	struct iovec iov = { message, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = CONTROL_LEN };
	ssize_t n = recvmsg(link_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	*fd = -1;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CONTROL_LEN)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return n;
}
