// SPDX-License-Identifier: Apache-2.0
/* What a worker may do: the rights it was started with, less what it does not need. */
#ifndef FS_DAEMON_PRIVILEGES_H
#define FS_DAEMON_PRIVILEGES_H

#include "fs/daemon/config.h"

/*
 * Keep what the core and the backends of these cards need, and drop the rest for good.
 * Main thread, before any other. -errno: it did not work.
 */
int privileges_drop(const struct config *config, const char *state_dir, struct reason *why);

#endif
