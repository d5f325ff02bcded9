// SPDX-License-Identifier: Apache-2.0
/* The mounted tree: what the worker's loop hands requests to. */
#ifndef FS_TREE_TREE_H
#define FS_TREE_TREE_H

#include <fuse3/fuse_lowlevel.h>

#include "fs/daemon/config.h"

#include <fabricfs/store.h>

/* Low-level operations over the tables (DESIGN 1); .init negotiates what the tree relies on. */
extern const struct fuse_lowlevel_ops tree_ops;

/* Before cards_start(): registers for changes. After it: takes over pollers and followers of a
 * worker that died. Main thread. */
int tree_start(const struct config *config, struct store *store, struct reason *why);
/* Every waiting .follow and poll is answered (EINTR); nothing waits afterwards. */
void tree_stop(void);

/*
 * Is a request answered from what is in memory, in microseconds, whatever cards, disks and
 * other callers do? By its opcode (FUSE_* of linux/fuse.h) and node. Any thread.
 */
bool tree_answers_at_once(uint32_t opcode, uint64_t ino);

#endif
