// SPDX-License-Identifier: Apache-2.0
/* What `fabricfs inspect` found of one file, and how it is told to people. */
#ifndef FABRICFS_FS_DAEMON_INSPECT_LABEL_H
#define FABRICFS_FS_DAEMON_INSPECT_LABEL_H

#include <fabricfs/digest.h>
#include <fabricfs/image.h>

#include "inspect_for.h"

struct inspect_report {
	const char *file; /* as the user named it */
	struct image_facts facts;
	char sha256[SHA256_HEX]; /* "" when the file could not be read to its end */
	uint64_t size;
	bool judged;	   /* it could be read */
	struct reason why; /* err 0: sound */
	bool fit_known;
	struct reason misfit; /* err 0: fits, when that is known */
};

/* On standard output, coloured if that is a terminal which has colours. */
void inspect_label(const struct inspect_report *r, const struct inspect_for *t);

#endif
