// SPDX-License-Identifier: Apache-2.0
/* Which container a process belongs to, by its cgroup lines. */
#ifndef FS_DAEMON_CONTAINER_H
#define FS_DAEMON_CONTAINER_H

#include <stddef.h>

/*
 * The container that the text of /proc/PID/cgroup names ("docker:<12 hex>",
 * "job:<N>", ...), into out; "" when no line names one. `text` is a C string
 * from a hostile place and is left as it is.
 */
void container_of_cgroup(const char *text, char *out, size_t size);

#endif
