// SPDX-License-Identifier: Apache-2.0
/* `fabricfs inspect --for`: what an image is compared with. */
#ifndef FS_DAEMON_INSPECT_FOR_H
#define FS_DAEMON_INSPECT_FOR_H

#include <fabricfs/image.h>

struct inspect_for {
	const char *name; /* as the user wrote it; NULL = not asked */
	struct image_target target; /* its texts are those below */
	char part[64], formats[128], board[96], shell[IMAGE_SHELL_MAX + 1], compatible[192], afus[192];
};

/*
 * Fill target from a part's name, or from the files of a card or slot (dev0,
 * dev0/slots/1, or the path of such a directory). mount: where its tree is, NULL: the first that this process
 * sees, else /fpga. 0, or -errno with the sentence.
 */
int inspect_for_find(struct inspect_for *f, const char *mount, struct reason *why);

#endif
