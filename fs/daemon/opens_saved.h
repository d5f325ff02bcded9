// SPDX-License-Identifier: Apache-2.0
/* Where opens of images are kept (opens.h): a part of the session, for it and opens.c alone. */
#ifndef FS_DAEMON_OPENS_SAVED_H
#define FS_DAEMON_OPENS_SAVED_H

#include <stdatomic.h>

#include "fs/daemon/opens.h"

struct saved_open {
	_Atomic uint64_t fh; /* 0 = free; written last */
	uint64_t unique;     /* of the request that made it */
	struct open_image image;
	uint32_t uses;
};

struct saved_opens {
	_Atomic uint32_t high; /* places from there on were never used */
	struct saved_open place[OPENS_MAX];
};

/* Once, before threads. */
void opens_attach(struct saved_opens *saved);

#endif
