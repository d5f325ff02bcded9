// SPDX-License-Identifier: Apache-2.0
/*
 * Folders: the rows of the tables, and the names that come and go: cards and
 * links at the top, sensors, slots, endpoints that the loaded design offers,
 * upload temporaries.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/tree/fits.h"

#define NAME_BYTES 255 /* of a name, as on any Linux file system */

typedef int (*each_fn)(const char *name, uint64_t ino, void *arg);

void name_encode(const char *text, size_t max, struct buf *out)
{
	bool dots = !strcmp(text, ".") || !strcmp(text, "..");
	size_t from = out->len;

	for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
		bool bad = *s == '/' || *s == '%' || *s < 0x20 || *s == 0x7f || (dots && *s == '.');

		if (out->len - from + (bad ? 3 : 1) > max)
			break;
		if (bad)
			buf_addf(out, "%%%02X", *s);
		else
			buf_add(out, s, 1);
	}
}

/* --- links ------------------------------------------------------------------------------- */

enum link_folder { LINK_ID = 1, LINK_PATH = 2, LINK_PART = 3 };

static int links_each(enum link_folder folder, each_fn fn, void *arg)
{
	struct {
		char name[NAME_BYTES + 1];
	} *seen;
	unsigned count = cards_count(), len = 0;
	int r = 0;

	seen = calloc(count ? count : 1, sizeof(*seen));
	if (!seen)
		return -ENOMEM;
	for (unsigned i = 0; i < count && !r; i++) {
		struct card *card = cards_nth(i);
		struct buf name CLEANUP_BUF = BUF_INIT;

		if (!card)
			continue;

		const struct card_view *view = card_view_get(card);
		unsigned dev = view->dev;

		if (folder == LINK_PATH) {
			name_encode(view->facts.location, 200, &name);
		} else if (view->facts.serial[0]) {
			name_encode(view->facts.serial, 200, &name);
		} else {
			struct buf both CLEANUP_BUF = BUF_INIT;

			buf_addf(&both, "%s-%s", view->backend, view->name);
			name_encode(both.data ? both.data : "", 200, &name);
		}
		card_view_put(view);
		if (!name.len || buf_ok(&name))
			continue;
		for (unsigned k = 0; k < len; k++) {
			if (!strcmp(seen[k].name, name.data)) {
				/* Two cards say the same of themselves: the later one tells its number. */
				buf_addf(&name, "-dev%u", dev);
				break;
			}
		}
		text_copy(seen[len++].name, sizeof(seen[0].name), name.data);
		r = fn(name.data, node_make(NODE_LINK, dev, -1, folder), arg);
	}
	free(seen);
	return r;
}

/* Folders of by-part; a folder's node has the lowest card with that part. */
static int parts_each(each_fn fn, void *arg)
{
	for (unsigned i = 0; i < cards_count(); i++) {
		struct card *card = cards_nth(i);
		bool first = true;
		int r = 0;

		if (!card)
			continue;

		const struct card_view *view = card_view_get(card);

		for (unsigned k = 0; k < i && first; k++) {
			struct card *before = cards_nth(k);

			if (!before)
				continue;

			const struct card_view *other = card_view_get(before);

			first = strcmp(other->facts.part, view->facts.part) != 0;
			card_view_put(other);
		}
		if (first && view->facts.part[0]) {
			struct buf name CLEANUP_BUF = BUF_INIT;

			name_encode(view->facts.part, NAME_BYTES, &name);
			if (name.len && !buf_ok(&name))
				r = fn(name.data, node_make(NODE_PARTDIR, view->dev, -1, 0), arg);
		}
		card_view_put(view);
		if (r)
			return r;
	}
	return 0;
}

static int part_each(const struct place *dir, each_fn fn, void *arg)
{
	for (unsigned i = 0; i < cards_count(); i++) {
		struct card *card = cards_nth(i);
		char name[24];
		int r = 0;

		if (!card)
			continue;

		const struct card_view *view = card_view_get(card);

		snprintf(name, sizeof(name), "dev%u", view->dev);
		if (!strcmp(view->facts.part, dir->view->facts.part))
			r = fn(name, node_make(NODE_LINK, view->dev, -1, LINK_PART), arg);
		card_view_put(view);
		if (r)
			return r;
	}
	return 0;
}

void link_target(const struct place *p, struct buf *out)
{
	if (p->kind == NODE_FIT)
		fit_target(p, out);
	else
		buf_addf(out, "%sdev%u", p->file == LINK_PART ? "../../" : "../", p->dev);
}

/* --- listing ------------------------------------------------------------------------------ */

static int rows_each(const struct place *dir, each_fn fn, void *arg)
{
	unsigned len;
	const struct row *rows = place_rows(dir, &len);

	for (unsigned i = 0; i < len; i++) {
		const struct row *row = &rows[i];
		int r;

		if (row->dir != dir->file || (row->flags & ROW_HIDDEN) || !row_exists(row, dir))
			continue;
		/* Listed is what the loaded design offers now. */
		if (dir->card && row->dir == FILE_IO_DIR &&
		    !(dir->self->endpoints & CARD_ENDPOINT_BIT(row->file - FILE_IO_FIRST)))
			continue;
		r = fn(row->name, row_ino(row, dir), arg);
		if (r)
			return r;
	}
	return 0;
}

static int repos_each(each_fn fn, void *arg)
{
	int r = 0;

	for (unsigned i = 0; i < mirror_count() && !r; i++)
		r = fn(repo_name(mirror_nth(i)), node_repo(repo_id(mirror_nth(i)), REPO_DIR), arg);
	return r;
}

static int cards_each(each_fn fn, void *arg)
{
	for (unsigned i = 0; i < cards_count(); i++) {
		struct card *card = cards_nth(i);
		char name[24];
		unsigned dev;
		int r;

		if (!card)
			continue;

		const struct card_view *view = card_view_get(card);

		dev = view->dev;
		card_view_put(view);
		snprintf(name, sizeof(name), "dev%u", dev);
		r = fn(name, node_make(NODE_CARD, dev, -1, FILE_DIR), arg);
		if (r)
			return r;
	}
	return 0;
}

static int sensors_each(const struct place *dir, each_fn fn, void *arg)
{
	for (unsigned i = 0; i < dir->view->sensors_len; i++) {
		struct buf name CLEANUP_BUF = BUF_INIT;
		int r;

		name_encode(dir->view->sensors[i].name, NAME_BYTES, &name);
		if (!name.len || buf_ok(&name))
			continue;
		r = fn(name.data, node_make(NODE_SENSOR, dir->dev, -1, i), arg);
		if (r)
			return r;
	}
	return 0;
}

static int fits_folders_each(const struct place *dir, each_fn fn, void *arg)
{
	int r = 0;

	for (unsigned i = 0; i < mirror_count() && !r; i++)
		r = fn(repo_name(mirror_nth(i)), node_fits(dir->dev, repo_id(mirror_nth(i))), arg);
	return r;
}

static int slots_each(const struct place *dir, each_fn fn, void *arg)
{
	for (unsigned i = 0; i < dir->view->slots_len; i++) {
		char name[16];
		int r;

		snprintf(name, sizeof(name), "%u", i);
		r = fn(name, node_make(NODE_CARD, dir->dev, (int)i, FILE_DIR), arg);
		if (r)
			return r;
	}
	return 0;
}

int dir_each(const struct place *dir, int (*fn)(const char *name, uint64_t ino, void *arg), void *arg)
{
	int r;

	if (dir->kind == NODE_PARTDIR)
		return part_each(dir, fn, arg);
	if (dir->fits)
		return fits_each(dir, fn, arg);
	r = rows_each(dir, fn, arg);
	if (r)
		return r;
	if (dir->repo)
		return 0; /* its images are listed otherwise (remote.c) */
	if (!dir->card) {
		switch (dir->file) {
		case TOP_ROOT: return cards_each(fn, arg);
		case TOP_BY_ID: return links_each(LINK_ID, fn, arg);
		case TOP_BY_PATH: return links_each(LINK_PATH, fn, arg);
		case TOP_BY_PART: return parts_each(fn, arg);
		case TOP_REMOTE: return repos_each(fn, arg);
		}
		return 0;
	}
	switch (dir->file) {
	case FILE_DIR:
		temp_each(dir->card, dir->slot, fn, arg);
		return 0;
	case FILE_TELEMETRY_DIR: return sensors_each(dir, fn, arg);
	case FILE_FITS_DIR: return fits_folders_each(dir, fn, arg);
	case FILE_SLOTS_DIR: return slots_each(dir, fn, arg);
	}
	return 0;
}

/* --- look-up ------------------------------------------------------------------------------- */

struct sought {
	const char *name;
	uint64_t ino;
};

static int sought_is(const char *name, uint64_t ino, void *arg)
{
	struct sought *s = arg;

	if (strcmp(name, s->name))
		return 0;
	s->ino = ino;
	return 1;
}

/* "devN" without leading zeros: N, else -1. */
static long dev_number(const char *name)
{
	long n = 0;

	if (strncmp(name, "dev", 3) || !name[3] || (name[3] == '0' && name[4]))
		return -1;
	for (const char *c = name + 3; *c; c++) {
		if (*c < '0' || *c > '9' || n > 0xffffff)
			return -1;
		n = n * 10 + (*c - '0');
	}
	return n <= 0xffffff ? n : -1;
}

int dir_lookup(const struct place *dir, const char *name, pid_t tid, uint64_t *ino)
{
	struct sought s = { .name = name };

	if (strlen(name) > NAME_BYTES)
		return -ENAMETOOLONG;
	if (!place_is_dir(dir))
		return -ENOTDIR;
	if (row_find(dir, name, ino)) {
		if (place_takes_uploads(dir) && !strcmp(name, "image") &&
		    image_hidden(dir->card, dir->slot, tid))
			return -ENOENT;
		return 0;
	}
	if (!dir->card && !dir->repo && dir->file == TOP_ROOT) {
		long dev = dev_number(name);

		if (dev < 0 || !cards_find((unsigned)dev))
			return -ENOENT;
		*ino = node_make(NODE_CARD, (unsigned)dev, -1, FILE_DIR);
		return 0;
	}
	if (dir->fits)
		return fits_lookup(dir, name, ino);
	if (place_takes_uploads(dir)) {
		*ino = temp_lookup(dir->card, dir->slot, name);
		return *ino ? 0 : -ENOENT;
	}
	dir_each(dir, sought_is, &s);
	*ino = s.ino;
	return s.ino ? 0 : -ENOENT;
}

uint64_t dir_parent(const struct place *dir)
{
	switch (dir->kind) {
	case NODE_CARD:
		if (dir->file == FILE_DIR)
			return dir->slot < 0 ? NODE_ROOT
					     : node_make(NODE_CARD, dir->dev, -1, FILE_SLOTS_DIR);
		return node_make(NODE_CARD, dir->dev, dir->slot, FILE_DIR);
	case NODE_PARTDIR:
		return node_make(NODE_TOP, 0, -1, TOP_BY_PART);
	case NODE_FITS:
		return node_make(NODE_CARD, dir->dev, -1, FILE_FITS_DIR);
	case NODE_REPO:
		return node_make(NODE_TOP, 0, -1, TOP_REMOTE);
	case NODE_REPO_FILE:
		return node_repo(repo_id(dir->repo), REPO_DIR);
	case NODE_ROOT_KIND:
	case NODE_TOP:
	case NODE_SENSOR:
	case NODE_LINK:
	case NODE_TEMP:
	case NODE_ENTRY:
	case NODE_FIT:
		break;
	}
	return NODE_ROOT;
}
