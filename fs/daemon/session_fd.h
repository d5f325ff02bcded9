// SPDX-License-Identifier: Apache-2.0
/* What only the worker's loop tells the session; everybody else sees session.h. */
#ifndef FS_DAEMON_SESSION_FD_H
#define FS_DAEMON_SESSION_FD_H

#include <stdbool.h>

/* The descriptor of the connection, for session_notify_*(); -1: notifications go nowhere.
 * Before other threads exist, and after they ended. */
void session_set_fd(int fd);

/* The kernel has our answer to INIT. Until this was said a successor does not know whether
 * INIT comes again, and lets its first request tell. Any thread. */
void session_init_answered(void);
bool session_init_was_answered(void);

#endif
