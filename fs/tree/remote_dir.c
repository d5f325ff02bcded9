// SPDX-License-Identifier: Apache-2.0
/*
 * remote/<repository>/: look-up and listing of images, answered from the catalogue.
 *
 * A listing is in the order of the rows of the catalogue, and the position of an entry
 * is its row: a reader that goes on after a refresh, or after this worker was replaced,
 * misses nothing that was there all the time and gets nothing twice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/daemon/opens.h"
#include "fs/remote/content.h"
#include "fs/tree/remote_wait.h"
#include "fs/tree/serve.h"
#include "fs/tree/tree.h"

/* Positions: of `.`, `..`, `.repo`, then rows. */
#define OFF_DOT	   1
#define OFF_DOTDOT 2
#define OFF_META   3

/* --- attributes ------------------------------------------------------------------------- */

/* What is listed of a size may be told better at any time. */
static double entry_seconds(const struct catalogue_entry *e)
{
	return e->has_size && !e->size_rounded ? ENTRY_SECONDS : 0;
}

/* Gone, or other bytes: whoever came by a name that the kernel still had looks it up again (VFS, ESTALE). */
int entry_read(uint64_t ino, struct catalogue_entry *e)
{
	int err = catalogue_entry_get(mirror_store(), node_entry_row(ino), e, NULL);

	if (!err && (!mirror_find(e->repo) || e->version != node_entry_version(ino)))
		err = -ENOENT;
	return err == -ENOENT ? -ESTALE : err;
}

/* Who has it open is told what it was, unless nothing of that can be read any more. False: nobody has. */
static bool opened_stat(uint64_t ino, struct stat *st, double *timeout)
{
	struct open_image image;
	struct cache_content row;
	struct content *content;

	if (!opens_of_node(ino, &image) || cache_content_get(mirror_store(), image.content, &row, NULL) || row.gone)
		return false;
	content = content_live(image.content);
	/* It may have become known since. */
	if (content)
		content_size(content, &image.size);
	content_put(content);
	attr_entry(ino, true, image.size, image.mtime_ns, st);
	*timeout = ENTRY_SECONDS;
	return true;
}

int entry_stat(uint64_t ino, struct stat *st, double *timeout)
{
	struct catalogue_entry e;
	int err = entry_read(ino, &e);

	if (err)
		return err == -ESTALE && opened_stat(ino, st, timeout) ? 0 : err;
	*timeout = entry_seconds(&e);
	attr_entry(ino, e.has_size, e.size, e.mtime_ns, st);
	return 0;
}

static void getattr_answer(fuse_req_t req, struct repo *repo, struct fuse_file_info *fi, const char *name)
{
	struct catalogue_entry e;
	struct stat st;
	double timeout;
	int err = entry_read(fi->fh, &e);

	(void)name;
	if (err == -ESTALE && opened_stat(fi->fh, &st, &timeout)) {
		fuse_reply_attr(req, &st, timeout);
		return;
	}
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	repo = mirror_find(e.repo);
	if (remote_wait_size(req, repo, &e, fi, "", getattr_answer))
		return;
	attr_entry(fi->fh, e.has_size, e.size, e.mtime_ns, &st);
	fuse_reply_attr(req, &st, entry_seconds(&e));
}

void remote_getattr(fuse_req_t req, uint64_t ino)
{
	getattr_answer(req, NULL, &(struct fuse_file_info){ .fh = ino }, "");
}

/* --- look-up ---------------------------------------------------------------------------------- */

static void lookup_answer(fuse_req_t req, struct repo *repo, struct fuse_file_info *fi, const char *name)
{
	struct fuse_entry_param param = { .generation = 1, .attr_timeout = ENTRY_SECONDS,
					  .entry_timeout = ENTRY_SECONDS };
	struct catalogue_entry e;
	int err = entry_find(mirror_store(), repo_id(repo), name, &e, NULL);

	(void)fi;
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	if (remote_wait_size(req, repo, &e, NULL, name, lookup_answer))
		return;
	param.ino = node_entry(e.id, e.version);
	param.attr_timeout = entry_seconds(&e);
	attr_entry(param.ino, e.has_size, e.size, e.mtime_ns, &param.attr);
	fuse_reply_entry(req, &param);
}

void remote_lookup(fuse_req_t req, const struct place *dir, const char *name)
{
	uint64_t ino;

	if (strlen(name) > 255) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	if (row_find(dir, name, &ino)) {
		tree_reply_entry(req, ino);
		return;
	}
	repo_looked(dir->repo);
	if (!remote_wait_first(req, dir->repo, NULL, name, lookup_answer))
		lookup_answer(req, dir->repo, NULL, name);
}

/* --- listing ---------------------------------------------------------------------------------- */

static void opendir_answer(fuse_req_t req, struct repo *repo, struct fuse_file_info *fi, const char *name)
{
	(void)repo;
	(void)name;
	fuse_reply_open(req, fi);
}

void remote_opendir(fuse_req_t req, const struct place *dir, struct fuse_file_info *fi)
{
	fi->fh = 0; /* a position says all there is to say */
	repo_looked(dir->repo);
	if (!remote_wait_first(req, dir->repo, fi, "", opendir_answer))
		opendir_answer(req, dir->repo, fi, "");
}

struct list {
	fuse_req_t req;
	char *out;
	size_t used, size;
	bool plus;
};

/* 1: it does not fit any more. */
static int list_add(struct list *list, const char *name, const struct fuse_entry_param *param, off_t next)
{
	size_t room = list->size - list->used, n;

	if (list->plus)
		n = fuse_add_direntry_plus(list->req, list->out + list->used, room, name, param, next);
	else
		n = fuse_add_direntry(list->req, list->out + list->used, room, name, &param->attr, next);
	if (n > room)
		return 1;
	list->used += n;
	return 0;
}

/* `.` and `..`: nobody takes a reference to them. */
static int list_dot(struct list *list, const char *name, uint64_t ino, off_t next)
{
	struct fuse_entry_param param = { .attr = { .st_ino = ino, .st_mode = S_IFDIR } };

	return list_add(list, name, &param, next);
}

static int list_meta(struct list *list, const struct place *dir)
{
	uint64_t ino = node_repo(repo_id(dir->repo), REPO_META_DIR);
	struct fuse_entry_param param = { .attr = { .st_ino = ino, .st_mode = S_IFDIR } };

	if (list->plus && tree_entry(ino, &param))
		param.ino = 0;
	return list_add(list, ".repo", &param, OFF_META);
}

static int list_image(const struct catalogue_listed *row, void *arg)
{
	struct list *list = arg;
	struct fuse_entry_param param = { .ino = node_entry(row->id, row->version), .generation = 1,
					  .attr_timeout = ENTRY_SECONDS, .entry_timeout = ENTRY_SECONDS };

	if (list->plus && row->has_size && !row->size_rounded) {
		attr_entry(param.ino, row->has_size, row->size, row->mtime_ns, &param.attr);
	} else {
		/* Nor in a listing with attributes: its size is asked for when somebody wants to know it. */
		param.attr.st_ino = param.ino;
		param.attr.st_mode = S_IFREG;
		param.ino = 0;
	}
	return list_add(list, row->name, &param, (off_t)(row->id + OFF_META));
}

void remote_list(fuse_req_t req, const struct place *dir, size_t size, off_t off, bool plus)
{
	struct list list = { .req = req, .size = size < TREE_DATA_MAX ? size : TREE_DATA_MAX, .plus = plus };
	struct repo_state state;
	int r = 0;

	list.out = malloc(list.size);
	if (!list.out) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (off < OFF_DOT)
		r = list_dot(&list, ".", dir->ino, OFF_DOT);
	if (!r && off < OFF_DOTDOT)
		r = list_dot(&list, "..", dir_parent(dir), OFF_DOTDOT);
	if (!r && off < OFF_META)
		r = list_meta(&list, dir);
	repo_state_get(dir->repo, &state);
	/* What its first listing brought so far is not all of it. */
	if (!r && state.answered)
		r = catalogue_list(mirror_store(), repo_id(dir->repo), off > OFF_META ? (uint64_t)off - OFF_META : 0,
				   plus, list_image, &list, NULL);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_buf(req, list.out, list.used);
	free(list.out);
}

/* --- changes ------------------------------------------------------------------------------------- */

static bool changed(uint64_t repo, unsigned what, uint64_t entry, unsigned version)
{
	unsigned changes = 0;

	if (entry) {
		struct open_image image;

		notify_again(node_entry(entry, version));
		return opens_of_node(node_entry(entry, version), &image);
	}
	if (what & MIRROR_STATE)
		changes |= CHANGE_REPO_STATE;
	if (what & MIRROR_ERROR)
		changes |= CHANGE_REPO_ERROR;
	if (what & MIRROR_LISTING)
		changes |= CHANGE_LISTING;
	if (what & MIRROR_EVENT)
		changes |= CHANGE_RECORDS;
	notify_repo(repo, changes);
	return false;
}

void remote_start(void)
{
	mirror_listen(changed);
}
