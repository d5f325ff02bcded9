// SPDX-License-Identifier: Apache-2.0
/*
 * The holder's part of passthrough (passthrough.h): which files have a number at the kernel. It
 * has the right to give them, and outlives the workers who ask for them; so none is lost.
 * No allocation, no waiting.
 */
#ifndef FS_DAEMON_BACKINGS_H
#define FS_DAEMON_BACKINGS_H

#include <stdbool.h>
#include <stddef.h>

/* A message of the worker's, and the descriptor that came with it (-1: none), which stays the caller's.
 * False: it is of something else. */
bool backings_message(int fuse_fd, int link_fd, const void *message, size_t n, int fd);

#endif
