// SPDX-License-Identifier: Apache-2.0
/* The order that the kernel keeps, told to ThreadSanitizer (sanitize.h). */
#include "fs/daemon/sanitize.h"

#ifdef __SANITIZE_THREAD__
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void sanitize_connection(int fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte = 0;
	struct iovec piece = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int pair[2], same = -1;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(pair[0], &msg, 0) == 1 && recvmsg(pair[1], &msg, MSG_CMSG_CLOEXEC) == 1 &&
	    (c = CMSG_FIRSTHDR(&msg)) && c->cmsg_type == SCM_RIGHTS)
		memcpy(&same, CMSG_DATA(c), sizeof(same));
	if (same >= 0) {
		dup3(same, fd, O_CLOEXEC);
		close(same);
	}
	close(pair[0]);
	close(pair[1]);
}
#else
typedef int sanitize_is_empty; /* an empty file is not C */
#endif
