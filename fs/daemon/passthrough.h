// SPDX-License-Identifier: Apache-2.0
/*
 * Whole images are read by the kernel itself, from their file in the state folder (FUSE
 * passthrough, Linux 6.9): no request, and one page cache instead of two. It wants a number
 * for the file, which only who has CAP_SYS_ADMIN may give, so the holder does (backings.h).
 *
 * Nobody waits for that: the number is asked for when an image has become whole or is opened,
 * and an open that comes before it uses the kernel's page cache of our own file. All opens of
 * a node are read in the same way (opens.h), so the other way begins with an open that finds
 * none. Without the right, before Linux 6.9, and where the state folder is on an
 * overlay, everything is read through the page cache.
 *
 * Any thread, unless it says otherwise; nothing waits, but for the last.
 */
#ifndef FS_DAEMON_PASSTHROUGH_H
#define FS_DAEMON_PASSTHROUGH_H

#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/daemon/opens.h"

/* Have libfuse talk over the connection, and the kernel told that we may do this if it can. Once, in place
 * of fuse_session_mount(). 0 or -errno. */
int passthrough_attach(struct fuse_session *se, int fd, bool may);
/* link_fd: to the holder; -1: there is none any more, what has a number keeps it. Main thread. */
void passthrough_link(int link_fd);
/* The holder's answer. Main thread. */
void passthrough_told(const void *message, size_t n);

/* A content that is whole, with its file: it will be read. */
void passthrough_want(uint64_t content, int fd);
/* As opens_add(); whole: it may be read by the kernel, if it has a number by now. */
uint64_t passthrough_open(struct open_image *image, bool whole);
/* Instead of fuse_reply_open(), and with its results, for an open that has a backing. */
int passthrough_reply(fuse_req_t req, uint64_t fh, int32_t backing);
/* The file is to go, unless it is open. Waits until the kernel has let go of it, a moment at most: its bytes
 * are on the disk as long. Not on the main thread. */
void passthrough_drop(uint64_t content);

#endif
