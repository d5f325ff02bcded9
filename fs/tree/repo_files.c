// SPDX-License-Identifier: Apache-2.0
/* The rows of a repository: remote/<repository>/ itself, and .repo/ in it (DESIGN section 4). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/remote/origin.h"
#include "fs/tree/remote_wait.h"
#include "fs/tree/tables.h"

#include <fabricfs/clock.h>

static void format_repo_state(const struct place *p, struct buf *out)
{
	struct repo_state state;
	char since[RFC3339_MAX];

	repo_state_get(p->repo, &state);
	if (!state.asked) {
		buf_adds(out, "unknown\n");
	} else if (state.online) {
		buf_adds(out, "online\n");
	} else {
		clock_rfc3339(state.since_ns, since);
		buf_addf(out, "offline since %s: ", since);
		text_clean(state.reason, out);
		buf_adds(out, "\n");
	}
}

static void format_repo_error(const struct place *p, struct buf *out)
{
	struct repo_state state;

	repo_state_get(p->repo, &state);
	if (!*state.error)
		return;
	text_clean(state.error, out);
	buf_adds(out, "\n");
}

static void stat_time(struct buf *out, const char *name, int64_t ns)
{
	char time[RFC3339_MAX];

	clock_rfc3339(ns, time);
	buf_addf(out, "%s %s\n", name, *time ? time : "-");
}

static void format_repo_stats(const struct place *p, struct buf *out)
{
	struct repo_state state;
	struct repo_cost cost = { 0 };

	repo_state_get(p->repo, &state);
	if (repo_kind(p->repo)->cost)
		repo_kind(p->repo)->cost(repo_handle(p->repo), &cost);
	buf_addf(out, "images %llu\n", (unsigned long long)state.images);
	stat_time(out, "listed", state.listed_ns);
	stat_time(out, "changed", state.changed_ns);
	buf_addf(out, "cached_bytes %llu\n", (unsigned long long)repo_cached(p->repo));
	buf_addf(out, "listings %llu\nlistings_failed %llu\nrequests %llu\nretries %llu\nlogins %llu\nreceived_bytes %llu\n",
		 (unsigned long long)state.listings, (unsigned long long)state.failed, (unsigned long long)cost.requests,
		 (unsigned long long)cost.retries, (unsigned long long)cost.logins, (unsigned long long)cost.received);
}

static int64_t mtime_repo_state(const struct place *p)
{
	struct repo_state state;

	repo_state_get(p->repo, &state);
	return state.since_ns;
}

static int64_t mtime_repo_error(const struct place *p)
{
	struct repo_state state;

	repo_state_get(p->repo, &state);
	return state.error_ns;
}

static int64_t mtime_listing(const struct place *p)
{
	struct repo_state state;

	repo_state_get(p->repo, &state);
	return state.changed_ns;
}

/* The reason may be another one while it is offline since the same time. */
static uint64_t version_repo_state(const struct place *p)
{
	struct repo_state state;
	uint64_t hash = 1;

	repo_state_get(p->repo, &state);
	for (const char *c = state.reason; *c; c++)
		hash = hash * 31 + (unsigned char)*c;
	return (uint64_t)state.since_ns * 2 + state.online + hash;
}

static uint64_t version_repo_error(const struct place *p)
{
	return (uint64_t)mtime_repo_error(p) + 1;
}

/* --- refresh ------------------------------------------------------------------------------- */

static const char refresh_text[] = "write anything to have the images listed now\n";

static void refresh_open(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi)
{
	(void)card;
	(void)ino;
	fi->direct_io = 1;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

static void refresh_read(fuse_req_t req, struct card *card, uint64_t ino, size_t size, off_t off,
			 struct fuse_file_info *fi)
{
	size_t len = sizeof(refresh_text) - 1, from = off < 0 || (size_t)off > len ? len : (size_t)off;

	(void)card;
	(void)ino;
	(void)fi;
	fuse_reply_buf(req, refresh_text + from, len - from < size ? len - from : size);
}

static void refresh_write(fuse_req_t req, struct card *card, uint64_t ino, const char *bytes, size_t size,
			  off_t off, struct fuse_file_info *fi)
{
	struct repo *repo = mirror_find(node_card(ino));

	(void)card;
	(void)bytes;
	(void)off;
	(void)fi;
	if (repo)
		remote_refresh(req, repo, size);
	else
		fuse_reply_err(req, ENOENT);
}

static uint64_t refresh_size(struct card *card, uint64_t ino)
{
	(void)card;
	(void)ino;
	return sizeof(refresh_text) - 1;
}

static const struct active_ops refresh_ops = {
	.open = refresh_open,
	.read = refresh_read,
	.write = refresh_write,
	.size = refresh_size,
};

/* --- the rows --------------------------------------------------------------------------------- */

const struct row repo_rows[] = {
	{ .dir = UINT32_MAX, .file = REPO_DIR, .name = "", .type = S_IFDIR, .keep = KEEP_ACTIVE,
	  .changes = CHANGE_LISTING, .mtime = mtime_listing },
	{ .dir = REPO_DIR, .file = REPO_META_DIR, .name = ".repo", .type = S_IFDIR, .keep = KEEP_ACTIVE },
	{ .dir = REPO_META_DIR, .file = REPO_STATE_FILE, .name = "state", .type = S_IFREG, .keep = KEEP_RENDER,
	  .flags = ROW_POLL, .changes = CHANGE_REPO_STATE, .format = format_repo_state,
	  .mtime = mtime_repo_state, .version = version_repo_state },
	{ .dir = REPO_META_DIR, .file = REPO_ERROR_FILE, .name = "error", .type = S_IFREG, .keep = KEEP_RENDER,
	  .flags = ROW_POLL, .changes = CHANGE_REPO_ERROR, .format = format_repo_error,
	  .mtime = mtime_repo_error, .version = version_repo_error },
	{ .dir = REPO_META_DIR, .file = REPO_REFRESH, .name = "refresh", .type = S_IFREG, .keep = KEEP_ACTIVE,
	  .flags = ROW_OWNED, .ops = &refresh_ops },
	/* What it has cost changes with every request, and nobody tells. */
	{ .dir = REPO_META_DIR, .file = REPO_STATS, .name = "stats", .type = S_IFREG, .keep = KEEP_FRESH,
	  .format = format_repo_stats, .mtime = mtime_listing },
};
const unsigned repo_rows_len = sizeof(repo_rows) / sizeof(repo_rows[0]);
