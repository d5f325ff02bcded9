// SPDX-License-Identifier: Apache-2.0
/* The mounted tree: what the worker's loop hands requests to. */
#ifndef FS_TREE_TREE_H
#define FS_TREE_TREE_H

#include <fuse3/fuse_lowlevel.h>

#include "fs/daemon/config.h"

#include <fabricfs/store.h>

/*
 * Bytes of data in a request. Each receiving thread has a buffer for it, locked in memory, and
 * it is what `image` asks cp for at a time: of pieces of this size the next is received while
 * the last is hashed, in a core's own cache (measured on 4 and 100 MB: 128 KiB and 1 MiB are
 * slower by 5 and 15 %).
 */
#define TREE_DATA_MAX (256u << 10)

/* Low-level operations over the tables (DESIGN 1); .init negotiates what the tree relies on. */
extern const struct fuse_lowlevel_ops tree_ops;

/* Before cards_start(): registers for changes. After it: takes over pollers and followers of a
 * worker that died. Main thread. */
int tree_start(const struct config *config, struct store *store, struct reason *why);
/* Every waiting .follow and poll is answered (EINTR); nothing waits afterwards. */
void tree_stop(void);

/*
 * Is a request answered from what is in memory, in microseconds, whatever cards, disks and
 * other callers do? Or by somebody who says before he waits (loop_may_wait()). By its opcode (FUSE_* of linux/fuse.h) and node. Any thread.
 */
bool tree_answers_at_once(uint32_t opcode, uint64_t ino);

#endif
