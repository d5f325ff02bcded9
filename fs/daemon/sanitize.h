// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel sends the request that follows an answer after that answer: a file is closed, and its
 * place in the session given to another open, behind the last read of it. ThreadSanitizer takes a
 * read of a descriptor to be ordered behind a write to it, but only of one that it saw made; the
 * worker has the connection from the holder.
 */
#ifndef FS_DAEMON_SANITIZE_H
#define FS_DAEMON_SANITIZE_H

#ifdef __SANITIZE_THREAD__
/* Make it known: as one that came over a socket. Before other threads exist. */
void sanitize_connection(int fd);
#else
static inline void sanitize_connection(int fd)
{
	(void)fd;
}
#endif

#endif
