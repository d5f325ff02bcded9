// SPDX-License-Identifier: Apache-2.0
/*
 * The handlers of requests, written once over places. Passive files are
 * answered here; what does something goes to the active operations of its row.
 * A handler replies exactly once and never waits for a card.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/statvfs.h>

#include "fs/daemon/session.h"
#include "fs/tree/remote_file.h"
#include "fs/tree/serve.h"
#include "fs/tree/tree.h"

#include <fabricfs/log.h>

static void tree_init(void *userdata, struct fuse_conn_info *conn)
{
	/* No writeback cache (a write has to be seen when it is made), no forwarded locks (the
	 * kernel's own survive us), no splice but of kept images' bytes, no ACLs, no cached links
	 * (they change with what cards say of themselves). */
	unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_READDIRPLUS |
			FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_PARALLEL_DIROPS |
			FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_ASYNC_DIO |
			FUSE_CAP_SPLICE_WRITE;

	(void)userdata;
	conn->want = conn->capable & want;
	conn->max_write = TREE_DATA_MAX;
	conn->max_readahead = 128 << 10;
	notify_connected();
}

/* What waits for the card's thread to read the sensors: an open of telemetry/<name>, and, as
 * long as they were never read and so have no names yet, listing and look-up. */
struct sensor_wait {
	fuse_req_t req;
	uint64_t ino;
	struct fuse_file_info fi;
	char name[]; /* looked up */
};

static bool sensors_unread(const struct place *p)
{
	return p->kind == NODE_CARD && p->file == FILE_TELEMETRY_DIR && !p->view->sensors_ns;
}

static void sensors_wait(fuse_req_t req, const struct place *p, const char *name,
			 const struct fuse_file_info *fi, void (*done)(void *arg, int err))
{
	size_t len = strlen(name);
	struct sensor_wait *wait = calloc(1, sizeof(*wait) + len + 1);

	if (!wait) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	wait->req = req;
	wait->ino = p->ino;
	if (fi)
		wait->fi = *fi;
	memcpy(wait->name, name, len + 1);
	card_telemetry_refresh(p->card, done, wait);
}

/* --- look-up and attributes ------------------------------------------------------------- */

static void lookup_ready(void *arg, int err)
{
	struct sensor_wait *wait = arg;
	struct place dir CLEANUP_PLACE = { 0 };
	uint64_t ino;

	(void)err; /* however the reading ended: there is the name or there is not */
	err = place_open(&dir, wait->ino);
	if (!err)
		err = dir_lookup(&dir, wait->name, 0, &ino);
	if (err)
		fuse_reply_err(wait->req, -err);
	else
		tree_reply_entry(wait->req, ino);
	free(wait);
}

static void tree_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct place dir CLEANUP_PLACE = { 0 };
	uint64_t ino;
	int err = place_open(&dir, parent);

	if (!err && sensors_unread(&dir)) {
		sensors_wait(req, &dir, name, NULL, lookup_ready);
		return;
	}
	if (!err && dir.kind == NODE_REPO) {
		remote_lookup(req, &dir, name);
		return;
	}
	if (!err)
		err = dir_lookup(&dir, name, fuse_req_ctx(req)->pid, &ino);
	if (err)
		fuse_reply_err(req, -err);
	else
		tree_reply_entry(req, ino);
}

static void tree_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	(void)ino;
	(void)nlookup;
	fuse_reply_none(req);
}

static void tree_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	(void)count;
	(void)forgets;
	fuse_reply_none(req);
}

static void tree_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	if (node_kind(ino) == NODE_ENTRY)
		remote_getattr(req, ino);
	else
		tree_reply_attr(req, ino);
}

static void tree_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
			 struct fuse_file_info *fi)
{
	struct place p CLEANUP_PLACE = { 0 };
	const struct active_ops *ops;
	int does = 0, err = node_kind(ino) == NODE_ENTRY ? -EROFS : place_open(&p, ino);

	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	ops = place_active(&p);
	if (!ops) {
		/* Times of a folder are set by who has just copied into it. */
		bool times = !(to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID |
					 FUSE_SET_ATTR_SIZE));

		if (times && place_takes_uploads(&p))
			tree_reply_attr(req, ino);
		else
			fuse_reply_err(req, EPERM);
		return;
	}
	if (to_set & FUSE_SET_ATTR_SIZE)
		does |= FUSE_SET_ATTR_SIZE;
	if ((to_set & FUSE_SET_ATTR_MTIME) && !(to_set & FUSE_SET_ATTR_MTIME_NOW))
		does |= FUSE_SET_ATTR_MTIME;
	if (!does) {
		tree_reply_attr(req, ino); /* mode, owner, "now": accepted without effect */
	} else if (ops->setattr) {
		ops->setattr(req, p.card, ino, attr, does, fi);
	} else if ((does & FUSE_SET_ATTR_SIZE) && attr->st_size) {
		fuse_reply_err(req, EOPNOTSUPP);
	} else {
		tree_reply_attr(req, ino); /* a shell's `>` before it writes */
	}
}

static void tree_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct place p CLEANUP_PLACE = { 0 };
	struct buf target CLEANUP_BUF = BUF_INIT;
	int err = place_open(&p, ino);

	if (!err && !place_is_link(&p))
		err = -EINVAL;
	if (!err) {
		link_target(&p, &target);
		err = buf_ok(&target);
	}
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_readlink(req, target.data);
}

static void tree_statfs(fuse_req_t req, fuse_ino_t ino)
{
	/* No blocks: df leaves it out, as it does /proc and /sys. */
	struct statvfs st = { .f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255 };

	(void)ino;
	fuse_reply_statfs(req, &st);
}

/* --- open, read, close --------------------------------------------------------------------- */

static void reply_snapshot(fuse_req_t req, const struct place *p, struct fuse_file_info *fi)
{
	int err;

	fi->fh = session_number();
	fi->direct_io = 1;
	fi->noflush = 1;
	err = snapshot_open(p, fi->fh);
	if (err)
		fuse_reply_err(req, -err);
	else if (fuse_reply_open(req, fi) == -ENOENT)
		snapshot_close(fi->fh); /* the caller was killed meanwhile: no release comes */
}

static void sensor_ready(void *arg, int err)
{
	struct sensor_wait *wait = arg;
	struct place p CLEANUP_PLACE = { 0 };

	if (!err)
		err = -place_open(&p, wait->ino);
	if (err)
		fuse_reply_err(wait->req, errno_public(err));
	else
		reply_snapshot(wait->req, &p, &wait->fi);
	free(wait);
}

static void tree_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct place p CLEANUP_PLACE = { 0 };
	const struct active_ops *ops;
	int err;

	if (node_kind(ino) == NODE_ENTRY) {
		remote_open(req, ino, fi);
		return;
	}
	err = place_open(&p, ino);
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	ops = place_active(&p);
	if (ops) {
		if (ops->open)
			ops->open(req, p.card, ino, fi);
		else
			fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	/* Root is not kept away by 0444. */
	if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC)) {
		fuse_reply_err(req, EACCES);
		return;
	}
	if (place_is_follow(&p)) {
		follow_open(req, &p, fi);
		return;
	}
	if (p.kind == NODE_SENSOR) {
		sensors_wait(req, &p, "", fi, sensor_ready);
		return;
	}
	if (p.row && p.row->keep == KEEP_VALUE) {
		/* The node says all there is to know; nothing is remembered of the open. */
		fi->fh = 0;
		fi->keep_cache = 1;
		fi->noflush = 1;
		fuse_reply_open(req, fi);
		return;
	}
	reply_snapshot(req, &p, fi);
	/* Behind the answer, which has what was last read. */
	if (p.row && p.row->flags & ROW_MEASURED)
		cards_telemetry_want();
}

static void reply_part(fuse_req_t req, const char *bytes, size_t len, size_t size, off_t off)
{
	size_t from = off < 0 || (uint64_t)off >= len ? len : (size_t)off;

	fuse_reply_buf(req, bytes ? bytes + from : NULL, size < len - from ? size : len - from);
}

static void tree_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct place p CLEANUP_PLACE = { 0 };
	const struct active_ops *ops;
	int err;

	if (node_kind(ino) == NODE_ENTRY) {
		remote_read(req, ino, size, off, fi);
		return;
	}
	err = place_open(&p, ino);
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	ops = place_active(&p);
	if (ops) {
		if (ops->read)
			ops->read(req, p.card, ino, size, off, fi);
		else
			fuse_reply_buf(req, NULL, 0);
	} else if (place_is_follow(&p)) {
		follow_read(req, &p, size, fi);
	} else if (p.row && p.row->keep == KEEP_VALUE) {
		struct buf b CLEANUP_BUF = BUF_INIT;

		place_format(&p, &b);
		if (buf_ok(&b))
			fuse_reply_err(req, ENOMEM);
		else
			reply_part(req, b.data, b.len, size, off);
	} else {
		struct text *text = snapshot_read(&p, fi->fh, off);

		if (!text) {
			fuse_reply_err(req, ENOMEM);
			return;
		}
		if (!off && p.row && p.row->version)
			watch_seen(fi->fh);
		reply_part(req, text->bytes, text->len, size, off);
		text_put(text);
	}
}

static void tree_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	struct place p CLEANUP_PLACE = { 0 };
	int err = place_open(&p, ino);
	const struct active_ops *ops = err ? NULL : place_active(&p);

	if (err)
		fuse_reply_err(req, -err);
	else if (ops && ops->write)
		ops->write(req, p.card, ino, bytes, size, off, fi);
	else
		fuse_reply_err(req, EOPNOTSUPP);
}

static void tree_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct place p CLEANUP_PLACE = { 0 };
	int err = place_open(&p, ino);
	const struct active_ops *ops = err ? NULL : place_active(&p);

	if (ops && ops->flush)
		ops->flush(req, p.card, ino, fi);
	else
		fuse_reply_err(req, 0);
}

static void tree_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct place p CLEANUP_PLACE = { 0 };
	int err = place_open(&p, ino);
	const struct active_ops *ops = err ? NULL : place_active(&p);

	(void)datasync;
	if (ops && ops->fsync)
		ops->fsync(req, p.card, ino, fi);
	else
		fuse_reply_err(req, 0);
}

static void tree_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct place p CLEANUP_PLACE = { 0 };
	const struct active_ops *ops;
	int err;

	if (node_kind(ino) == NODE_ENTRY) {
		remote_release(req, fi);
		return;
	}
	err = place_open(&p, ino);
	ops = err ? NULL : place_active(&p);
	polled_remove(fi->fh);
	if (ops) {
		if (ops->release)
			ops->release(req, p.card, ino, fi);
		else
			fuse_reply_err(req, 0);
		return;
	}
	if (!err && place_is_follow(&p)) {
		follow_release(req, fi);
		return;
	}
	/* A card may be gone and its opens still close. */
	if (fi->fh) {
		struct saved_handle *h = err ? saved_find(fi->fh) : NULL;

		if (h)
			saved_drop(h);
		snapshot_close(fi->fh);
		watch_close(fi->fh);
	}
	fuse_reply_err(req, 0);
}

static void tree_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *ph)
{
	struct place p CLEANUP_PLACE = { 0 };
	int err = place_open(&p, ino);
	const struct active_ops *ops = err ? NULL : place_active(&p);

	if (!err && ph && ((ops && ops->poll) || place_is_follow(&p)))
		polled_add(fi->fh);
	if (!err && ops && ops->poll) {
		ops->poll(req, p.card, ino, fi, ph);
	} else if (!err && place_is_follow(&p)) {
		follow_poll(req, &p, fi, ph);
	} else if (!err && p.row && p.row->version) {
		watch_poll(req, &p, fi, ph);
	} else {
		if (ph)
			fuse_pollhandle_destroy(ph);
		/* As a regular file: always ready. */
		if (err && node_kind(ino) != NODE_ENTRY)
			fuse_reply_err(req, -err);
		else
			fuse_reply_poll(req, POLLIN | POLLRDNORM | (ops ? POLLOUT | POLLWRNORM : 0));
	}
}

/* --- folders ------------------------------------------------------------------------------- */

static void listing_ready(void *arg, int err)
{
	struct sensor_wait *wait = arg;

	(void)err; /* then the folder is empty */
	fuse_reply_open(wait->req, &wait->fi);
	free(wait);
}

static void tree_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct place p CLEANUP_PLACE = { 0 };
	int err = place_open(&p, ino);

	if (!err && !place_is_dir(&p))
		err = -ENOTDIR;
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	if (p.kind == NODE_REPO) {
		remote_opendir(req, &p, fi);
		return;
	}
	if (p.fits)
		repo_looked(p.fits);
	fi->fh = session_number(); /* listed at its first read */
	if (sensors_unread(&p))
		sensors_wait(req, &p, "", fi, listing_ready);
	else
		fuse_reply_open(req, fi);
}

static size_t entry_add(fuse_req_t req, char *out, size_t room, const struct packed *e, bool plus)
{
	struct fuse_entry_param param = { 0 };
	bool dots = !strcmp(e->name, ".") || !strcmp(e->name, "..");
	struct place p CLEANUP_PLACE = { 0 };

	if (plus && !dots && !tree_entry(e->ino, &param))
		return fuse_add_direntry_plus(req, out, room, e->name, &param, (off_t)e->next);
	/* Without attributes: nobody took a reference to it. */
	param.ino = 0;
	param.attr.st_ino = e->ino;
	param.attr.st_mode = S_IFDIR;
	if (!dots && !place_open(&p, e->ino) && !place_is_dir(&p))
		param.attr.st_mode = place_is_link(&p) ? S_IFLNK : S_IFREG;
	if (plus)
		return fuse_add_direntry_plus(req, out, room, e->name, &param, (off_t)e->next);
	return fuse_add_direntry(req, out, room, e->name, &param.attr, (off_t)e->next);
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct place p CLEANUP_PLACE = { 0 };
	int err = place_open(&p, ino);
	uint64_t count = notify_count();
	struct text *listing = NULL;
	struct packed entry;
	char *out = NULL;
	size_t used = 0;

	if (!err && !place_is_dir(&p))
		err = -ENOTDIR;
	if (!err && p.kind == NODE_REPO) {
		remote_list(req, &p, size, off, plus);
		return;
	}
	if (size > TREE_DATA_MAX)
		size = TREE_DATA_MAX;
	if (!err) {
		listing = snapshot_read(&p, fi->fh, off);
		out = malloc(size);
		if (!listing || !out)
			err = -ENOMEM;
	}
	if (err) {
		fuse_reply_err(req, -err);
		text_put(listing);
		free(out);
		return;
	}
	for (size_t at = (size_t)off; packed_at(listing, at, &entry); at = entry.next) {
		size_t n = entry_add(req, out + used, size - used, &entry, plus);

		if (n > size - used)
			break;
		used += n;
	}
	fuse_reply_buf(req, out, used);
	/* As in tree_reply_entry(): nodes that were not known cannot be invalidated in time. */
	if (plus && count != notify_count())
		for (size_t at = (size_t)off; packed_at(listing, at, &entry); at = entry.next)
			notify_again(entry.ino);
	text_put(listing);
	free(out);
}

static void tree_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, false);
}

static void tree_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			     struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, true);
}

static void tree_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (node_kind(ino) != NODE_REPO)
		snapshot_close(fi->fh);
	fuse_reply_err(req, 0);
}

/* --- the rest ---------------------------------------------------------------------------------- */

static void tree_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
		       unsigned flags, const void *in, size_t in_size, size_t out_size)
{
	(void)ino, (void)cmd, (void)arg, (void)fi, (void)flags, (void)in, (void)in_size, (void)out_size;
	fuse_reply_err(req, ENOTTY);
}

static bool holds_image(const struct place *p)
{
	return p->kind == NODE_TEMP ||
	       (p->kind == NODE_CARD && (p->file == FILE_IMAGE || p->file == FILE_CHECK));
}

static void tree_copy_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
			    fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len,
			    int flags)
{
	struct place from CLEANUP_PLACE = { 0 }, to CLEANUP_PLACE = { 0 };

	(void)flags;
	if (node_kind(ino_in) == NODE_ENTRY && !place_open(&to, ino_out) && holds_image(&to))
		remote_copy_range(req, node_entry_row(ino_in), off_in, fi_in, to.card, ino_out, off_out, fi_out, len);
	else if (place_open(&from, ino_in) || place_open(&to, ino_out))
		fuse_reply_err(req, ENOENT);
	else if (!holds_image(&from) || !holds_image(&to))
		fuse_reply_err(req, EOPNOTSUPP); /* read and write instead */
	else
		image_copy_range(req, from.card, ino_in, off_in, fi_in, to.card, ino_out, off_out, fi_out, len);
}

const struct fuse_lowlevel_ops tree_ops = {
	.init = tree_init,
	.lookup = tree_lookup,
	.forget = tree_forget,
	.forget_multi = tree_forget_multi,
	.getattr = tree_getattr,
	.setattr = tree_setattr,
	.readlink = tree_readlink,
	.mknod = tree_mknod,
	.mkdir = tree_mkdir,
	.unlink = tree_unlink,
	.rmdir = tree_rmdir,
	.symlink = tree_symlink,
	.rename = tree_rename,
	.link = tree_link,
	.open = tree_open,
	.read = tree_read,
	.write = tree_write,
	.flush = tree_flush,
	.release = tree_release,
	.fsync = tree_fsync,
	.opendir = tree_opendir,
	.readdir = tree_readdir,
	.readdirplus = tree_readdirplus,
	.releasedir = tree_releasedir,
	.statfs = tree_statfs,
	.getxattr = tree_getxattr,
	.listxattr = tree_listxattr,
	.setxattr = tree_setxattr,
	.removexattr = tree_removexattr,
	.create = tree_create,
	.ioctl = tree_ioctl,
	.poll = tree_poll,
	.copy_file_range = tree_copy_range,
};

int tree_start(const struct config *config, struct store *store, struct reason *why)
{
	char init[SESSION_INIT_MAX];
	bool takeover = session_init_load(init, sizeof(init)) > 0;

	(void)store;
	attr_start(config);
	remote_start();
	if (takeover) {
		attr_takeover();
		watch_restore();
	}
	return notify_start(takeover, why);
}

void tree_stop(void)
{
	notify_stop();
	follow_stop();
}
