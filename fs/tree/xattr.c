// SPDX-License-Identifier: Apache-2.0
/*
 * Extended attributes: `image` has user.fpga.<file of loaded/>. Names that the
 * kernel asks for by itself (capabilities, ACLs) are answered without looking
 * at anything.
 */
#include <errno.h>
#include <string.h>

#include "fs/tree/serve.h"

#define PREFIX "user.fpga."

static bool is_image(const struct place *p)
{
	return p->kind == NODE_CARD && p->file == FILE_IMAGE;
}

static void reply_bytes(fuse_req_t req, const struct buf *b, size_t size)
{
	if (buf_ok(b))
		fuse_reply_err(req, ENOMEM);
	else if (!size)
		fuse_reply_xattr(req, b->len);
	else if (b->len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, b->data, b->len);
}

void tree_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct place p CLEANUP_PLACE = { 0 };
	struct buf value CLEANUP_BUF = BUF_INIT;

	if (strncmp(name, PREFIX, sizeof(PREFIX) - 1) || node_kind(ino) != NODE_CARD) {
		fuse_reply_err(req, ENODATA);
		return;
	}
	if (place_open(&p, ino)) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	/* What is unknown is absent. */
	if (!is_image(&p) || !loaded_value(p.self, name + sizeof(PREFIX) - 1, &value) || !value.len)
		fuse_reply_err(req, ENODATA);
	else
		reply_bytes(req, &value, size);
}

void tree_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct place p CLEANUP_PLACE = { 0 };
	struct buf names CLEANUP_BUF = BUF_INIT;

	if (place_open(&p, ino)) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	for (unsigned i = 0; is_image(&p) && i < loaded_names_len; i++) {
		struct buf value CLEANUP_BUF = BUF_INIT;

		loaded_value(p.self, loaded_names[i], &value);
		if (!value.len)
			continue;
		buf_addf(&names, PREFIX "%s", loaded_names[i]);
		buf_add(&names, "", 1);
	}
	reply_bytes(req, &names, size);
}

static bool is_acl(const char *name)
{
	return !strcmp(name, "system.posix_acl_access") || !strcmp(name, "system.posix_acl_default");
}

/* cp -p and install copy ACLs: accepted without effect on what an upload writes to. */
static int changed(fuse_ino_t ino, const char *name)
{
	struct place p CLEANUP_PLACE = { 0 };

	if (place_open(&p, ino))
		return ENOENT;
	if (is_acl(name) && place_active(&p))
		return 0;
	return strncmp(name, PREFIX, sizeof(PREFIX) - 1) ? EOPNOTSUPP : EPERM;
}

void tree_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		   int flags)
{
	(void)value;
	(void)size;
	(void)flags;
	fuse_reply_err(req, changed(ino, name));
}

void tree_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	fuse_reply_err(req, changed(ino, name));
}
