// SPDX-License-Identifier: Apache-2.0
/*
 * Between helper_run() and the process it starts: a SOCK_SEQPACKET pair, as
 * descriptor HELPER_FD there. Caller to helper: one byte HELPER_STOP, or the
 * end of the connection (the caller is dead). To the caller: STARTED from the
 * child that is about to become the program, ENDED as the last thing.
 */
#ifndef HELPER_WIRE_H
#define HELPER_WIRE_H

#include <stdint.h>

#define HELPER_FD 3
#define HELPER_STOP 'S'

enum helper_kind { HELPER_MSG_STARTED = 1, HELPER_MSG_ENDED = 2 };

struct helper_msg {
	uint32_t kind;
	uint32_t end;      /* enum helper_end; only in HELPER_MSG_ENDED */
	int32_t code;
	int32_t pid;       /* of the program, also its process group; only in HELPER_MSG_STARTED */
	uint32_t strays;
	uint32_t immortal;
};

#endif
