// SPDX-License-Identifier: Apache-2.0
/* Making and ending the mount itself: mount(2) as root, fusermount3 otherwise. */
#ifndef FS_DAEMON_MOUNT_H
#define FS_DAEMON_MOUNT_H

#include <stdbool.h>
#include <sys/types.h>

#include "fs/daemon/options.h"

struct mount {
	const char *mountpoint; /* the caller's, absolute */
	bool by_helper;         /* fusermount3 mounted it and has to unmount it */
	dev_t device;           /* of the mounted tree; its minor is the connection's number */
	int abort_fd;           /* opened there for writing; -1: not available */
};

/*
 * Mount, after taking away what a dead fabricfs left at the mount point. *fd is
 * the connection (close-on-exec). Does not wait for a server: nothing may touch
 * the tree before there is one. Main thread.
 */
int mount_make(const struct options *options, struct mount *mount, int *fd, struct reason *why);
/* Is a fabricfs (any, alive or not) mounted there? No request is sent. */
bool mount_is_there(const char *mountpoint);
/* The mount that somebody else made, for ending it. No request is sent. */
void mount_adopt(struct mount *mount, const char *mountpoint);
/* Make every request of the connection fail at once, also those that wait. Allocates nothing. */
void mount_abort(const struct mount *mount);
/*
 * Unmount, if what is mounted there is still ours. A busy mount is detached: its
 * users lose it when the last descriptor of the connection is closed. 0 or -errno.
 * Allocates nothing.
 */
int mount_end(const struct mount *mount);

#endif
