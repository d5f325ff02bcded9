// SPDX-License-Identifier: Apache-2.0
/*
 * Upload temporaries: files that rsync and editors make in devN and rename over
 * `image`. A temporary is an upload with a name; all its opens share one handle.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/card/upload.h"
#include "fs/daemon/session.h"
#include "fs/tree/active.h"
#include "fs/tree/call.h"
#include "fs/tree/node.h"
#include "fs/tree/tree.h"
#include "fs/tree/upload_file.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

static struct upload *temp_find(uint64_t ino)
{
	struct card *card = cards_find(node_card(ino));
	struct slot *slot = card ? card_slot(card, node_slot(ino)) : NULL;
	struct upload *u;

	if (!slot)
		return NULL;
	pthread_mutex_lock(&card->lock);
	for (u = slot->uploads; u && u->saved->ino != ino; u = u->next)
		;
	if (u)
		atomic_fetch_add(&u->refs, 1);
	pthread_mutex_unlock(&card->lock);
	return u;
}

uint64_t temp_lookup(struct card *card, int slot, const char *name)
{
	struct slot *s = card_slot(card, slot);
	struct upload *u = s && *name ? upload_find_name(s, name) : NULL;
	uint64_t ino = u ? u->saved->ino : 0;

	upload_put(u);
	return ino;
}

int temp_stat(uint64_t ino, struct stat *st)
{
	struct upload *u = temp_find(ino);
	int64_t mtime;

	if (!u)
		return -ENOENT;
	mtime = u->saved->upload.mtime_ns;
	if (!(upload_bits(u) & UPLOAD_MTIME))
		mtime = clock_now_ns() - (clock_mono_ns() - atomic_load(&u->saved->upload.last_ns));
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_mode = S_IFREG | 0660;
	st->st_nlink = 1;
	st->st_uid = u->saved->who.uid;
	st->st_gid = u->slot->gid;
	st->st_size = (off_t)upload_size(u);
	st->st_blksize = TREE_DATA_MAX;
	st->st_blocks = (st->st_size + 511) / 512;
	st->st_mtim.tv_sec = mtime / 1000000000;
	st->st_mtim.tv_nsec = mtime % 1000000000;
	st->st_atim = st->st_ctim = st->st_mtim;
	upload_put(u);
	return 0;
}

void temp_each(struct card *card, int slot, int (*fn)(const char *name, uint64_t ino, void *arg),
	       void *arg)
{
	struct {
		char name[256];
		uint64_t ino;
	} found[TEMPS_MAX];
	struct slot *s = card_slot(card, slot);
	unsigned n = 0;

	if (!s)
		return;
	pthread_mutex_lock(&card->lock);
	for (struct upload *u = s->uploads; u && n < TEMPS_MAX; u = u->next) {
		if (!upload_is_temp(u))
			continue;
		text_copy(found[n].name, sizeof(found[n].name), u->saved->upload.name);
		found[n++].ino = u->saved->ino;
	}
	pthread_mutex_unlock(&card->lock);
	for (unsigned i = 0; i < n; i++)
		if (fn(found[i].name, found[i].ino, arg))
			break;
}

static void temp_opened(struct upload *u)
{
	atomic_fetch_add(&u->saved->upload.opens, 1);
	atomic_store(&u->saved->upload.closed_ns, 0);
}

static void temp_closed(struct upload *u)
{
	if (atomic_fetch_sub(&u->saved->upload.opens, 1) != 1)
		return;
	atomic_store(&u->saved->upload.closed_ns, clock_mono_ns());
	cards_kick();
}

static void temp_open(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	struct upload *u = temp_find(ino);
	struct reason why = { 0 };
	uint64_t value;
	int err = 0;

	(void)card;
	if (!u) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	fi->fh = u->fh;
	fi->direct_io = 1;
	if (answered_before(&err, &value)) {
		fuse_reply_open(req, fi);
		upload_put(u);
		return;
	}
	temp_opened(u);
	if (fi->flags & O_TRUNC)
		err = upload_truncate(u, 0, &why);
	if (err) {
		temp_closed(u);
		fuse_reply_err(req, -err);
	} else if (answer_open(req, fi) == -ENOENT) {
		temp_closed(u);
	}
	upload_put(u);
}

static void temp_read(fuse_req_t req, struct card *card, uint64_t ino, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	struct upload *u = temp_find(ino);

	(void)card;
	(void)fi;
	if (!u) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	upload_file_read(req, u, size, off);
	upload_put(u);
}

static void temp_write(fuse_req_t req, struct card *card, uint64_t ino, const char *bytes, size_t size,
		       off_t off, struct fuse_file_info *fi)
{
	struct upload *u;

	(void)card;
	(void)fi;
	if (answer_write_again(req))
		return;
	u = temp_find(ino);
	if (!u) {
		fuse_reply_err(req, ECANCELED); /* removed, renamed, or ended by upload-timeout */
		return;
	}
	upload_file_write(req, u, ino, bytes, size, off);
	upload_put(u);
}

static void temp_judge(fuse_req_t req, uint64_t ino, enum judge_kind kind)
{
	struct upload *u;

	if (answer_err_again(req))
		return;
	u = temp_find(ino);
	if (u)
		upload_file_judge(req, u, ino, kind);
	else
		fuse_reply_err(req, 0); /* it was renamed over image, or removed */
	upload_put(u);
}

static void temp_flush(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	struct upload *u = temp_find(ino);
	bool judged = u && upload_bits(u) & UPLOAD_JUDGED;

	(void)card;
	(void)fi;
	upload_put(u);
	/* Validated by the close of whoever wrote (a FLUSH does not tell how the file was
	 * opened); a reader's close after it says nothing of the content. */
	if (judged)
		fuse_reply_err(req, 0);
	else
		temp_judge(req, ino, JUDGE_FLUSH);
}

static void temp_fsync(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	(void)card;
	(void)ino;
	(void)fi;
	/* A temporary is never programmed by itself; its bytes are in the spool. */
	fuse_reply_err(req, 0);
}

static void temp_release(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	struct upload *u;
	uint64_t value;
	int err;

	(void)card;
	(void)fi;
	if (!answered_before(&err, &value)) {
		u = temp_find(ino);
		if (u)
			temp_closed(u);
		upload_put(u);
	}
	answer_err(req, 0);
}

static void temp_setattr(fuse_req_t req, struct card *card, uint64_t ino, struct stat *attr, int to_set,
			 struct fuse_file_info *fi)
{
	struct upload *u = temp_find(ino);
	struct reason why = { 0 };
	int err = 0;

	(void)card;
	(void)fi;
	if (!u) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	if (to_set & FUSE_SET_ATTR_SIZE)
		err = attr->st_size < 0 ? -EINVAL : upload_truncate(u, (uint64_t)attr->st_size, &why);
	if (!err && to_set & FUSE_SET_ATTR_MTIME && !(to_set & FUSE_SET_ATTR_MTIME_NOW)) {
		u->saved->upload.mtime_ns =
			(int64_t)attr->st_mtim.tv_sec * 1000000000 + attr->st_mtim.tv_nsec;
		atomic_fetch_or(&u->saved->upload.bits, UPLOAD_MTIME);
	}
	upload_put(u);
	if (err)
		fuse_reply_err(req, -err);
	else
		tree_reply_attr(req, ino);
}

const struct active_ops temp_ops = {
	.open = temp_open,
	.read = temp_read,
	.write = temp_write,
	.flush = temp_flush,
	.fsync = temp_fsync,
	.release = temp_release,
	.setattr = temp_setattr,
};

/* --- names -------------------------------------------------------------------------------- */

void temp_create(fuse_req_t req, struct card *card, int slot, const char *name, mode_t mode,
		 struct fuse_file_info *fi)
{
	struct slot *s = card_slot(card, slot);
	struct reason why = { 0 };
	struct upload *u = NULL;
	struct who who;
	uint64_t value;
	int err;

	(void)mode;
	fi->direct_io = 1;
	if (answered_before(&err, &value)) {
		u = err ? NULL : upload_find(s, value);
		if (u) {
			fi->fh = u->fh;
			tree_reply_create(req, u->saved->ino, fi);
		} else {
			fuse_reply_err(req, err ? err : ENOENT);
		}
		upload_put(u);
		return;
	}
	who_calls(req, &who);
	u = upload_made_before(s);
	err = u ? 0 : upload_open(s, false, fi->flags, 0, &who, name, &u, &why);
	if (err) {
		answer_err(req, -err);
		return;
	}
	fi->fh = u->fh;
	journal_done(request_current()->unique, 0, fi->fh);
	tree_reply_create(req, u->saved->ino, fi);
	upload_put(u);
}

void temp_unlink(fuse_req_t req, struct card *card, int slot, const char *name)
{
	struct upload *u;

	if (answer_err_again(req))
		return;
	u = upload_find_name(card_slot(card, slot), name);
	if (u)
		upload_drop(u);
	/* A worker may have removed it and died before it could say so. */
	answer_err(req, u || request_current()->resent ? 0 : ENOENT);
	upload_put(u);
}

struct renaming {
	struct call *call;
	struct upload *u;
};

static void rename_done(void *arg, int err)
{
	struct renaming *r = arg;

	if (err) {
		upload_unclaim(r->u);
	} else {
		/* First: the same rename again would find no temporary. */
		journal_done(r->call->unique, 0, 0);
		upload_drop(r->u);
	}
	upload_put(r->u);
	call_done_err(r->call, err);
	free(r);
}

static void rename_over_image(fuse_req_t req, struct upload *u)
{
	struct renaming *r = malloc(sizeof(*r));
	struct reason why;
	int err;

	if (!r) {
		answer_err(req, ENOMEM);
		return;
	}
	/* As the first byte of an upload: nobody else may be at it. */
	err = upload_claim(u, &why);
	if (err) {
		log_debug("rename over image refused: %s", why.text);
		answer_err(req, -err);
		free(r);
		return;
	}
	r->call = call_park(req, u->slot, u->saved->ino, 0);
	r->u = u;
	if (!r->call) {
		upload_unclaim(u);
		free(r);
		return;
	}
	atomic_fetch_add(&u->refs, 1);
	upload_judge(u, JUDGE_RENAME, false, run_id(), rename_done, r);
}

void temp_rename(fuse_req_t req, struct card *card, int slot, const char *name, const char *newname,
		 unsigned flags)
{
	struct slot *s = card_slot(card, slot);
	struct upload *u, *other;
	bool to_image = !strcmp(newname, "image");

	if (answer_err_again(req))
		return;
	u = upload_find_name(s, name);
	other = upload_find_name(s, newname);
	if (!u && other && request_current()->resent) {
		answer_err(req, 0); /* renamed by a worker that died before it could say so */
	} else if (!u) {
		answer_err(req, ENOENT);
	} else if (flags & ~1u /* RENAME_NOREPLACE */) {
		answer_err(req, EINVAL);
	} else if (flags && (to_image || other)) {
		answer_err(req, EEXIST);
	} else if (to_image) {
		if (upload_bits(u) & UPLOAD_WRITTEN)
			rename_over_image(req, u);
		else
			answer_err(req, EBADMSG); /* an empty file is no image */
	} else {
		if (other && other != u)
			upload_drop(other);
		pthread_mutex_lock(&card->lock);
		text_copy(u->saved->upload.name, sizeof(u->saved->upload.name), newname);
		pthread_mutex_unlock(&card->lock);
		answer_err(req, 0);
	}
	upload_put(other);
	upload_put(u);
}
