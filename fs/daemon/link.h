// SPDX-License-Identifier: Apache-2.0
/*
 * The socket between holder and worker, one per worker (SOCK_SEQPACKET, so that
 * a message is whole or was not sent). Its end says that the other one is gone.
 */
#ifndef FS_DAEMON_LINK_H
#define FS_DAEMON_LINK_H

enum link_word {
	LINK_READY = 'r',  /* worker: serving */
	LINK_FAILED = 'f', /* worker: cannot serve; the sentence follows, without NUL */
	LINK_STOP = 's',   /* holder: finish what runs, then exit 0 */
};

/* How long a worker may take to finish running programming, and the holder waits for its exit. */
#define LINK_STOP_S 30

#endif
