// SPDX-License-Identifier: Apache-2.0
/* Which requests are answered from what is in memory (tree.h). */
#include <linux/fuse.h>

#include "fs/tree/node.h"
#include "fs/tree/tree.h"

/* Value files of cards and slots, all of them rendered from the view. */
static bool node_is_value(uint64_t ino)
{
	uint32_t file = node_file(ino);

	return node_kind(ino) == NODE_CARD &&
	       ((file >= FILE_STATE && file <= FILE_LOCATION) || (file >= FILE_LOADED_FIRST && file < FILE_HISTORY));
}

/* Folders with fixed rows, none of which takes long to tell its size. */
static bool node_is_folder(uint64_t ino)
{
	uint32_t file = node_file(ino);

	return node_kind(ino) == NODE_CARD && (file == FILE_DIR || file == FILE_LOADED_DIR);
}

/* Of images of repositories: a look into the catalogue. ls -l asks each for attributes that it has
 * not, and du looks each up. */
static bool node_is_listed(uint64_t ino)
{
	return node_kind(ino) == NODE_ENTRY;
}

bool tree_answers_at_once(uint32_t opcode, uint64_t ino)
{
	switch (opcode) {
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return true;
	case FUSE_LOOKUP:
		return node_is_folder(ino) || node_kind(ino) == NODE_REPO;
	case FUSE_GETATTR:
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		return node_is_value(ino) || node_is_folder(ino) || node_is_listed(ino);
	case FUSE_READ:
		/* An image's bytes are in memory while it is fetched; remote_read() looks. */
		return node_is_value(ino) || node_is_listed(ino);
	case FUSE_OPEN:
	case FUSE_RELEASE:
		return node_is_value(ino);
	}
	return false;
}
