// SPDX-License-Identifier: Apache-2.0
/* copy_file_range from card to card: by reference where it is the whole image. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/card/upload.h"
#include "fs/daemon/session.h"
#include "fs/tree/active.h"
#include "fs/tree/call.h"
#include "fs/tree/node.h"
#include "fs/tree/upload_file.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/* Is what the reader has open still what is loaded there? Then its facts are known. */
static bool whole_reference(const struct saved_handle *from, struct slot *source,
			    struct image_facts *facts)
{
	const struct card_view *view = card_view_get(source->card);
	const struct slot_view *v = slot_view(view, source->index);
	bool same = *v->loaded_facts.format && !strcmp(v->loaded.sha256, from->reader.sha256);

	if (same)
		*facts = v->loaded_facts;
	card_view_put(view);
	return same;
}

static void copy_bytes(fuse_req_t req, struct saved_handle *from, uint64_t fh_in, off_t off_in,
		       struct upload *u, uint64_t ino_out, off_t off_out, size_t len)
{
	size_t room = len < (1u << 20) ? len : 1u << 20;
	char *bytes CLEANUP_FREE = malloc(room ? room : 1);
	ssize_t n = bytes ? reader_read(from, fh_in, bytes, room, off_in) : -ENOMEM;

	if (n < 0)
		answer_err(req, (int)-n);
	else if (!n)
		answer_write(req, 0);
	else
		upload_file_write(req, u, ino_out, bytes, (size_t)n, off_out);
}

void image_copy_range(fuse_req_t req, struct card *from_card, uint64_t ino_in, off_t off_in,
		      struct fuse_file_info *fi_in, struct card *to, uint64_t ino_out, off_t off_out,
		      struct fuse_file_info *fi_out, size_t len)
{
	struct saved_handle *from = saved_find(fi_in->fh);
	struct slot *slot_out = card_slot(to, node_slot(ino_out));
	struct slot *slot_in = card_slot(from_card, node_slot(ino_in));
	struct upload *u;
	struct image_facts facts;
	struct reason why = { 0 };
	struct call *call;
	char source[32];
	bool fresh;
	int err;

	if (answer_write_again(req))
		return;
	u = upload_find(slot_out, fi_out->fh);
	if (!u || !from || from->kind != SAVED_READER || !slot_in) {
		upload_put(u);
		/* Copied by reading and writing then. */
		answer_err(req, EXDEV);
		return;
	}
	if (off_in || off_out || !*from->reader.sha256 || len < from->reader.size ||
	    upload_bits(u) & (UPLOAD_WRITTEN | UPLOAD_APPEND) || !whole_reference(from, slot_in, &facts)) {
		copy_bytes(req, from, fi_in->fh, off_in, u, ino_out, off_out, len);
		upload_put(u);
		return;
	}
	text_copy(source, sizeof(source), slot_in->name);
	err = upload_reference(u, from->reader.sha256, from->reader.size, &facts, source, &fresh, &why);
	if (!err) {
		answer_write(req, from->reader.size);
	} else if (!fresh) {
		answer_err(req, -err);
	} else {
		call = call_park(req, slot_out, ino_out, 0);
		if (call)
			upload_judge(u, JUDGE_REFUSAL, false, run_id(), call_done_err, call);
	}
	upload_put(u);
}
