// SPDX-License-Identifier: Apache-2.0
/*
 * Attributes of nodes, and which of them the kernel keeps: a change is told to
 * the kernel only for nodes that were handed out to be kept since.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/tree/serve.h"
#include "fs/tree/tree.h"

/* Owner of all that is not a card's: root, or who mounts without being it. */
static uid_t our_uid;
static gid_t our_gid;
/* For what never changes: when the program was made. */
static struct timespec our_time;

/* Of .repo/refresh, which belongs to no card. */
static uid_t refresh_uid;
static gid_t refresh_gid;
static mode_t refresh_mode;

void attr_start(const struct config *config)
{
	struct stat st;

	if (config->repos_len)
		cards_access(config, &refresh_uid, &refresh_gid, &refresh_mode);
	our_uid = geteuid();
	our_gid = getegid();
	if (!stat("/proc/self/exe", &st))
		our_time = st.st_mtim;
}

/* --- what was handed out -------------------------------------------------------------- */

/* File numbers of tables are below it. */
#define FILES 128
#define BUCKETS 1024

struct handed {
	struct handed *next;
	uint64_t key; /* the node without its file number */
	_Atomic uint64_t files[FILES / 64];
};
static struct handed *_Atomic buckets[BUCKETS];
static pthread_mutex_t handed_lock = PTHREAD_MUTEX_INITIALIZER;
static bool taken_over;

void attr_takeover(void)
{
	taken_over = true;
}

static struct handed *handed_find(uint64_t ino, bool add)
{
	uint64_t key = ino >> 20;
	struct handed *_Atomic *bucket = &buckets[(key ^ key >> 12 ^ key >> 36) % BUCKETS];
	struct handed *h;

	for (h = atomic_load(bucket); h; h = h->next)
		if (h->key == key)
			return h;
	if (!add)
		return NULL;
	pthread_mutex_lock(&handed_lock);
	for (h = atomic_load(bucket); h && h->key != key; h = h->next)
		;
	if (!h) {
		h = calloc(1, sizeof(*h));
		if (h) {
			h->key = key;
			if (taken_over)
				memset((void *)h->files, 0xff, sizeof(h->files));
			h->next = atomic_load(bucket);
			atomic_store(bucket, h); /* published whole; never removed */
		}
	}
	pthread_mutex_unlock(&handed_lock);
	return h;
}

/* Before the view is looked at: a change after that finds the mark. False: cannot be
 * remembered, so nothing may be kept. */
static bool hand_out(uint64_t ino)
{
	uint32_t file = node_file(ino);
	struct handed *h = file < FILES ? handed_find(ino, true) : NULL;
	uint64_t bit = UINT64_C(1) << file % 64;

	if (!h)
		return false;
	if (!(atomic_load(&h->files[file / 64]) & bit))
		atomic_fetch_or(&h->files[file / 64], bit);
	return true;
}

bool attr_handed_out(uint64_t ino)
{
	uint32_t file = node_file(ino);
	struct handed *h = file < FILES ? handed_find(ino, taken_over) : NULL;
	uint64_t bit = UINT64_C(1) << file % 64;

	return h && (atomic_fetch_and(&h->files[file / 64], ~bit) & bit);
}

/* --- attributes ------------------------------------------------------------------------ */

static int count_dir(const char *name, uint64_t ino, void *arg)
{
	struct place p CLEANUP_PLACE = { 0 };

	(void)name;
	if (!place_open(&p, ino) && place_is_dir(&p))
		++*(nlink_t *)arg;
	return 0;
}

static void stat_temp(const struct place *p, struct stat *st, double *timeout)
{
	*timeout = 0;
	if (temp_stat(p->ino, st))
		memset(st, 0, sizeof(*st));
	st->st_ino = p->ino;
	if (!st->st_nlink)
		st->st_nlink = 1;
}

/* Is some card's progress in numbers that are not told of? */
static bool busy(void)
{
	for (unsigned i = 0; i < cards_count(); i++) {
		struct card *card = cards_nth(i);
		struct progress now;
		int slots;

		if (!card)
			continue;

		const struct card_view *view = card_view_get(card);

		slots = (int)view->slots_len;
		card_view_put(view);
		for (int s = -1; s < slots; s++) {
			card_progress(card, s, &now);
			if (now.phase != PHASE_IDLE)
				return true;
		}
	}
	return false;
}

static double keep_time(const struct place *p)
{
	if (!p->row)
		return 0;
	if (p->kind == NODE_TOP && p->row->file == TOP_STATUS_JSON && busy())
		return 0;
	switch (p->row->keep) {
	case KEEP_VALUE:
	case KEEP_ACTIVE:
		return KEEP_SECONDS;
	case KEEP_RENDER:
		/* Resent requests are counted without being told. */
		return p->row->file == TOP_METRICS && p->kind == NODE_TOP && metrics_moving() ? 0 : KEEP_SECONDS;
	case KEEP_FRESH:
	case KEEP_NOTHING:
		return 0;
	}
	return 0;
}

void place_stat(const struct place *p, struct stat *st, double *timeout)
{
	bool owned = p->row && (p->row->flags & ROW_OWNED);
	int64_t mtime = place_mtime(p);

	memset(st, 0, sizeof(*st));
	if (p->kind == NODE_TEMP) {
		stat_temp(p, st, timeout);
		return;
	}
	*timeout = keep_time(p);
	st->st_ino = p->ino;
	st->st_uid = owned ? p->repo ? refresh_uid : p->self->uid : our_uid;
	st->st_gid = owned ? p->repo ? refresh_gid : p->self->gid : our_gid;
	st->st_nlink = 1;
	st->st_blksize = 4096;
	if (place_is_dir(p)) {
		st->st_mode = S_IFDIR | 0755;
		/* Uploads make names here, so who may write the image may write the folder. */
		if (owned && !p->repo && p->self->mode & 020)
			st->st_mode |= 020;
		st->st_nlink = 2;
		if (p->kind == NODE_REPO)
			st->st_nlink++;
		else if (p->kind != NODE_PARTDIR && p->kind != NODE_FITS)
			dir_each(p, count_dir, &st->st_nlink);
	} else if (place_is_link(p)) {
		st->st_mode = S_IFLNK | 0777;
		st->st_size = (off_t)place_size(p);
	} else {
		st->st_mode = S_IFREG | (!owned ? 0444 : p->repo ? refresh_mode : p->self->mode & 0777);
		st->st_size = (off_t)place_size(p);
		if (p->row && p->row->keep == KEEP_NOTHING)
			st->st_blksize = TREE_DATA_MAX;
		/* Fewer blocks than bytes would make cp take it for sparse. */
		st->st_blocks = (blkcnt_t)((st->st_size + 511) / 512);
	}
	if (mtime > 0) {
		st->st_mtim.tv_sec = mtime / 1000000000;
		st->st_mtim.tv_nsec = mtime % 1000000000;
	} else if (p->kind == NODE_CARD && p->row && p->row->file == FILE_IMAGE) {
		/* Nothing is loaded: older than any file, so that make programs the card. */
		st->st_mtim = (struct timespec){ 0 };
	} else {
		st->st_mtim = our_time;
	}
	st->st_atim = st->st_ctim = st->st_mtim;
}

static void place_entry(const struct place *p, struct fuse_entry_param *e)
{
	memset(e, 0, sizeof(*e));
	e->ino = p->ino;
	e->generation = 1;
	place_stat(p, &e->attr, &e->attr_timeout);
	/* Names of rows stay as long as their folder; cards are told when they are dropped. */
	if (p->row && p->row->keep != KEEP_NOTHING)
		e->entry_timeout = KEEP_SECONDS;
}

/* --- replies ----------------------------------------------------------------------------- */

void attr_entry(uint64_t ino, bool has_size, uint64_t size, int64_t mtime_ns, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_mode = S_IFREG | 0444;
	st->st_nlink = 1;
	st->st_uid = our_uid;
	st->st_gid = our_gid;
	st->st_blksize = 4096;
	st->st_size = has_size ? (off_t)size : 0;
	/* All of them, though little may be here: cp takes a file with fewer for sparse. */
	st->st_blocks = (blkcnt_t)((st->st_size + 511) / 512);
	st->st_mtim = our_time;
	if (mtime_ns > 0)
		st->st_mtim = (struct timespec){ mtime_ns / 1000000000, mtime_ns % 1000000000 };
	st->st_atim = st->st_ctim = st->st_mtim;
}

int tree_stat(uint64_t ino, struct stat *st, double *timeout)
{
	if (node_kind(ino) == NODE_ENTRY)
		return entry_stat(ino, st, timeout);

	struct place p CLEANUP_PLACE = { 0 };
	bool kept = hand_out(ino);
	int err = place_open(&p, ino);

	if (err)
		return err;
	if (p.kind == NODE_TEMP && temp_stat(ino, st))
		return -ENOENT;
	place_stat(&p, st, timeout);
	if (!kept)
		*timeout = 0;
	return 0;
}

int tree_entry(uint64_t ino, struct fuse_entry_param *e)
{
	if (node_kind(ino) == NODE_ENTRY) {
		memset(e, 0, sizeof(*e));
		e->ino = ino;
		e->generation = 1;
		e->entry_timeout = ENTRY_SECONDS;
		return entry_stat(ino, &e->attr, &e->attr_timeout);
	}

	struct place p CLEANUP_PLACE = { 0 };
	bool kept = hand_out(ino);
	int err = place_open(&p, ino);

	if (err)
		return err;
	if (p.kind == NODE_TEMP && temp_stat(ino, &e->attr))
		return -ENOENT;
	place_entry(&p, e);
	if (!kept)
		e->attr_timeout = 0;
	return 0;
}

void tree_reply_attr(fuse_req_t req, uint64_t ino)
{
	struct stat st;
	double timeout;
	int err = tree_stat(ino, &st, &timeout);

	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_attr(req, &st, timeout);
}

void tree_reply_entry(fuse_req_t req, uint64_t ino)
{
	struct fuse_entry_param e;
	uint64_t count = notify_count();
	int err = tree_entry(ino, &e);

	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	fuse_reply_entry(req, &e);
	/* A node that the kernel did not know cannot be invalidated, so a change between
	 * rendering and reply would be lost. */
	if (count != notify_count())
		notify_again(ino);
}

void tree_reply_create(fuse_req_t req, uint64_t ino, const struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	int err = tree_entry(ino, &e);

	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_create(req, &e, fi);
}
