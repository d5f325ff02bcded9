// SPDX-License-Identifier: Apache-2.0
/*
 * The socket between holder and worker, one per worker (SOCK_SEQPACKET, so that
 * a message is whole or was not sent). Its end says that the other one is gone.
 */
#ifndef FS_DAEMON_LINK_H
#define FS_DAEMON_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum link_word {
	LINK_READY = 'r',  /* worker: serving */
	LINK_FAILED = 'f', /* worker: cannot serve; the sentence follows, without NUL */
	LINK_STOP = 's',   /* holder: finish what runs, then exit 0 */
	/* passthrough.h; the whole message is a struct link_backing, or link_keep. */
	LINK_BACK = 'b',   /* worker: a number for the file that comes along, whose content it is */
	LINK_BACKED = 'n', /* holder: it has that number now, or none (-errno) */
	LINK_UNBACK = 'u', /* worker: it needs none any more; the same comes back when it has none */
	LINK_KEEP = 'k',   /* worker, at its start: no other contents need one */
};

#define LINK_BACKINGS 64 /* numbers at a time */

struct link_backing {
	uint8_t word;
	int32_t id;
	uint64_t content;
	uint64_t ticket; /* the worker's; comes back with the answer */
};

struct link_keep {
	uint8_t word;
	uint32_t len;
	uint64_t content[LINK_BACKINGS];
};

/* A message, with a descriptor (-1: none). False: it was not sent, as there is no room for it now, or nobody
 * who reads it. */
bool link_send(int link_fd, const void *message, size_t n, int fd);
/* As recv(), and never waits. *fd: the descriptor that came along, the caller's, else -1; of more than one the
 * kernel keeps the others. */
ssize_t link_receive(int link_fd, void *message, size_t size, int *fd);

/* How long a worker may take to finish running programming, and the holder waits for its exit. */
#define LINK_STOP_S 30

#endif
