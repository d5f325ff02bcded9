// SPDX-License-Identifier: Apache-2.0
/*
 * Extended attributes: `image` has user.fpga.<file of loaded/>, a card's or slot's
 * directory user.fpga.<backend>.<name>, what that backend lets be set (faults of a
 * simulated card). Reading them never waits for a card. Names that the kernel
 * asks for by itself (capabilities, ACLs) are answered without looking at
 * anything.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/tree/call.h"
#include "fs/tree/serve.h"

#define PREFIX "user.fpga."

static bool is_image(const struct place *p)
{
	return p->kind == NODE_CARD && p->file == FILE_IMAGE;
}

/* The card's or slot's own attribute of this name, "" = none. */
static const char *own_name(const struct place *p, const char *name)
{
	size_t n;

	if (p->kind != NODE_CARD || p->file != FILE_DIR ||
	    strncmp(name, PREFIX, sizeof(PREFIX) - 1) != 0)
		return "";
	name += sizeof(PREFIX) - 1;
	n = strlen(p->view->backend);
	return !strncmp(name, p->view->backend, n) && name[n] == '.' ? name + n + 1 : "";
}

void xattr_reply(fuse_req_t req, const struct buf *b, size_t size)
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

	/* Labels and ACLs are of no file here: ls -l, which asks each, asks no more when it hears that
	 * the file system has none. */
	if (!strncmp(name, "security.", 9) || !strncmp(name, "system.", 7)) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	if (node_kind(ino) == NODE_ENTRY) {
		remote_getxattr(req, ino, name, size);
		return;
	}
	if (strncmp(name, PREFIX, sizeof(PREFIX) - 1) || node_kind(ino) != NODE_CARD) {
		fuse_reply_err(req, ENODATA);
		return;
	}
	if (place_open(&p, ino)) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	if (*own_name(&p, name)) {
		const char *own = slot_attribute(p.self, own_name(&p, name));

		if (own)
			buf_adds(&value, own);
		if (own)
			xattr_reply(req, &value, size);
		else
			fuse_reply_err(req, ENODATA);
		return;
	}
	/* What is unknown is absent. */
	if (!is_image(&p) || !loaded_value(p.self, name + sizeof(PREFIX) - 1, &value) || !value.len)
		fuse_reply_err(req, ENODATA);
	else
		xattr_reply(req, &value, size);
}

void tree_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct place p CLEANUP_PLACE = { 0 };
	struct buf names CLEANUP_BUF = BUF_INIT;

	if (node_kind(ino) == NODE_ENTRY) {
		remote_listxattr(req, ino, size);
		return;
	}
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
	if (p.kind == NODE_CARD && p.file == FILE_DIR) {
		const char *at = p.self->attrs.text, *end = at + p.self->attrs.len;

		while (at < end) {
			buf_addf(&names, PREFIX "%s.%s", p.view->backend, at);
			buf_add(&names, "", 1);
			at += strlen(at) + 1;
			at += strlen(at) + 1;
		}
	}
	xattr_reply(req, &names, size);
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

/* May it be changed so? 0 or an errno; text: the value, NUL-terminated. */
static int own_may(fuse_req_t req, const struct place *p, const char *own, const char *value,
		   size_t size, int flags, char text[CARD_ATTR_VALUE])
{
	uid_t uid = fuse_req_ctx(req)->uid;
	bool there = slot_attribute(p->self, own);

	if (uid && uid != geteuid())
		return EPERM;
	if (there ? flags & XATTR_CREATE : !value || flags & XATTR_REPLACE)
		return there ? EEXIST : ENODATA;
	if (value && (size >= CARD_ATTR_VALUE || memchr(value, '\0', size)))
		return EINVAL;
	snprintf(text, CARD_ATTR_VALUE, "%.*s", (int)size, value ? value : "");
	return 0;
}

/* Change a card's own attribute; false: this is none. value NULL: remove. */
static bool own_change(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		       size_t size, int flags)
{
	struct place p CLEANUP_PLACE = { 0 };
	char text[CARD_ATTR_VALUE];
	const char *own;
	struct call *call;
	uint64_t told;
	int err;

	if (node_kind(ino) != NODE_CARD || place_open(&p, ino))
		return false;
	own = own_name(&p, name);
	if (!*own)
		return false;
	if (answered_before(&err, &told)) {
		fuse_reply_err(req, err);
		return true;
	}
	err = own_may(req, &p, own, value, size, flags, text);
	if (err) {
		answer_err(req, err);
		return true;
	}
	call = call_park(req, card_slot(p.card, p.slot), ino, 0);
	if (!call)
		return true;
	err = slot_attribute_set(card_slot(p.card, p.slot), run_id(), own, value ? text : NULL, call_done_err, call);
	if (err)
		call_done_err(call, -err);
	return true;
}

void tree_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		   int flags)
{
	if (node_kind(ino) == NODE_ENTRY)
		remote_setxattr(req, ino, name, value, size);
	else if (!own_change(req, ino, name, value, size, flags))
		fuse_reply_err(req, changed(ino, name));
}

void tree_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	if (node_kind(ino) == NODE_ENTRY)
		remote_setxattr(req, ino, name, NULL, 0);
	else if (!own_change(req, ino, name, NULL, 0, 0))
		fuse_reply_err(req, changed(ino, name));
}
