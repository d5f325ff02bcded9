// SPDX-License-Identifier: Apache-2.0
/* The worker's threads that receive requests and hand them to libfuse. */
#ifndef FS_DAEMON_LOOP_H
#define FS_DAEMON_LOOP_H

#include <fabricfs/error.h>

struct fuse_session;

/*
 * Bring `se` to where the connection is (a saved INIT is replayed), have the
 * kernel resend what a dead worker had read, and start the threads. `event_fd`
 * (eventfd) becomes readable when INIT was answered and when the connection
 * has ended. The session's init() has to set max_write to TREE_DATA_MAX (fs/tree/tree.h),
 * which is what the threads have buffers for. Main thread, once.
 */
int loop_start(struct fuse_session *se, unsigned threads, int event_fd, struct reason *why);
/* INIT was answered: requests are served. */
_Bool loop_is_serving(void);
/* The kernel said that the mount is gone. */
_Bool loop_has_ended(void);
/*
 * Has this thread still to receive the next request when it is done with the one that it handles
 * (tree_answers_at_once())? Then it must not wait for anything: what may have to, a disk or a lock that is
 * held over one, is preceded by loop_may_wait(), with which another thread receives. Any thread.
 */
_Bool loop_leads(void);
void loop_may_wait(void);
/* No thread receives or handles a request any more when this returns. Main thread. */
void loop_stop(void);

#endif
