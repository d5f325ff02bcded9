// SPDX-License-Identifier: Apache-2.0
/*
 * Requests that make and remove names: only uploads do, in devN and slots/N. Of all else the
 * answer is EPERM, or EROFS below remote/.
 */
#include <errno.h>
#include <string.h>

#include "fs/tree/serve.h"

/* Elsewhere than with the cards: repositories are only read. */
static int not_here(fuse_ino_t dir)
{
	return node_kind(dir) == NODE_REPO ? EROFS : EPERM;
}

void tree_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		 struct fuse_file_info *fi)
{
	struct place dir CLEANUP_PLACE = { 0 };
	uint64_t ino;
	int err = place_open(&dir, parent);

	if (err)
		fuse_reply_err(req, -err);
	else if (!place_takes_uploads(&dir))
		fuse_reply_err(req, not_here(parent));
	else if (strlen(name) > 255)
		fuse_reply_err(req, ENAMETOOLONG);
	else if (!strcmp(name, "image"))
		image_create(req, dir.card, dir.slot, fi);
	else if (row_find(&dir, name, &ino))
		fuse_reply_err(req, EEXIST);
	else
		temp_create(req, dir.card, dir.slot, name, mode, fi);
}

void tree_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct place dir CLEANUP_PLACE = { 0 };
	uint64_t ino;
	int err = place_open(&dir, parent);

	if (err)
		fuse_reply_err(req, -err);
	else if (!place_takes_uploads(&dir))
		fuse_reply_err(req, not_here(parent));
	else if (!strcmp(name, "image"))
		image_unlink(req, dir.card, dir.slot);
	else if (row_find(&dir, name, &ino))
		fuse_reply_err(req, EPERM);
	else
		temp_unlink(req, dir.card, dir.slot, name);
}

void tree_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
		 const char *newname, unsigned flags)
{
	struct place dir CLEANUP_PLACE = { 0 };
	uint64_t ino;
	int err = place_open(&dir, parent);

	if (err)
		fuse_reply_err(req, -err);
	else if (!place_takes_uploads(&dir) || row_find(&dir, name, &ino))
		fuse_reply_err(req, not_here(parent));
	else if (parent != newparent)
		fuse_reply_err(req, EXDEV); /* mv copies then */
	else if (strcmp(newname, "image") && row_find(&dir, newname, &ino))
		fuse_reply_err(req, EPERM);
	else if (strlen(newname) > 255)
		fuse_reply_err(req, ENAMETOOLONG);
	else
		temp_rename(req, dir.card, dir.slot, name, newname, flags);
}

void tree_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	(void)name, (void)mode, (void)rdev;
	fuse_reply_err(req, not_here(parent));
}

void tree_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	(void)name, (void)mode;
	fuse_reply_err(req, not_here(parent));
}

void tree_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)name;
	fuse_reply_err(req, not_here(parent));
}

void tree_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	(void)link, (void)name;
	fuse_reply_err(req, not_here(parent));
}

void tree_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	(void)ino, (void)newname;
	fuse_reply_err(req, not_here(newparent));
}
