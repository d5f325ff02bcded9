// SPDX-License-Identifier: Apache-2.0
/*
 * The socket between holder and worker, one per worker (SOCK_SEQPACKET, so that
 * a message is whole or was not sent). Its end says that the other one is gone.
 */
#ifndef FS_DAEMON_LINK_H
#define FS_DAEMON_LINK_H

#include <stdint.h>

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
};

struct link_keep {
	uint8_t word;
	uint32_t len;
	uint64_t content[LINK_BACKINGS];
};

/* How long a worker may take to finish running programming, and the holder waits for its exit. */
#define LINK_STOP_S 30

#endif
