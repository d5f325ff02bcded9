// SPDX-License-Identifier: Apache-2.0
/*
 * What the handlers of requests (ops.c) share with those who remember: bytes of
 * open files, what the kernel was told, who waits (private to fs/tree).
 *
 * Locks: each file below has its own, none is held over a reply, a
 * notification, the store or another file's lock.
 */
#ifndef FS_TREE_SERVE_H
#define FS_TREE_SERVE_H

#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/tree/tables.h"

/* How long the kernel may keep what is invalidated explicitly. */
#define KEEP_SECONDS 86400.0
/* And what is listed of a repository: a name may be another image's after the next listing. */
#define ENTRY_SECONDS (MIRROR_NAME_MS / 1000.0)

/* --- snapshot.c: bytes of an open, as rendered -------------------------------------- */

struct text {
	_Atomic unsigned refs;
	_Atomic size_t reached; /* of a listing: where the entry begins that was given last */
	size_t len;
	char bytes[];
};
void text_put(struct text *text);

/* Render now and keep under fh. 0 or -errno. */
int snapshot_open(const struct place *p, uint64_t fh);
/* What a read at `off` sees; at 0 it is rendered again. fh of a worker that died is
 * rendered anew. A reference, or NULL: no memory. */
struct text *snapshot_read(const struct place *p, uint64_t fh, off_t off);
/* Version (row) of what its reads at 0 gave last; 0 = it was not read from there yet. */
uint64_t snapshot_version(uint64_t fh);
void snapshot_close(uint64_t fh);
/* Listing of a folder: packed entries; cookie = where the next begins. */
struct packed {
	uint64_t ino;
	const char *name;
	size_t next;
};
bool packed_at(struct text *listing, size_t at, struct packed *entry);

/* --- attr.c -------------------------------------------------------------------------- */

void attr_start(const struct config *config);
void place_stat(const struct place *p, struct stat *st, double *timeout);
/* Attributes of an image of a repository. */
void attr_entry(uint64_t ino, bool has_size, uint64_t size, int64_t mtime_ns, struct stat *st);
/* Fill an entry; counts as handed out. 0 or -errno. */
int tree_entry(uint64_t ino, struct fuse_entry_param *e);
/* A worker before this one handed out nobody knows what: take it for everything. */
void attr_takeover(void);
/* Did the kernel get something of this node to keep since this was asked last? */
bool attr_handed_out(uint64_t ino);

/* --- notify.c ------------------------------------------------------------------------- */

int notify_start(bool takeover, struct reason *why);
/* The connection answers: notifications may be sent. */
void notify_connected(void);
void notify_stop(void);
/* A repository, by its row: CHANGE_* bits. Waits until it was passed on, a second at most. */
void notify_repo(uint64_t repo, unsigned what);
/* Counts changes: unchanged between two calls = nothing changed between them. */
uint64_t notify_count(void);
/* Invalidate this node once more, soon: what was just told of it may be old. */
void notify_again(uint64_t ino);
/* Have the notifier look after interrupted readers of .follow. */
void notify_kick(void);

/* --- watch.c: who polls ------------------------------------------------------ */

/* Take over those of a worker that died; before requests come. */
void watch_restore(void);
/* The open `fh` has read its beginning. */
void watch_seen(uint64_t fh);
void watch_poll(fuse_req_t req, const struct place *p, struct fuse_file_info *fi,
		struct fuse_pollhandle *ph);
void watch_close(uint64_t fh);
/* Opens with a saved handle of their own (.follow, io/...): before its first poll is answered,
 * and before the handle is dropped. */
void polled_add(uint64_t fh);
void polled_remove(uint64_t fh);
/* Notifier: files of this card (dev -1: of the top) among `what` changed. */
void watch_wake(int dev, int slot, unsigned what);
/* Notifier, after a takeover: everybody asks again. */
void watch_takeover(void);

/* --- follow.c: .follow ------------------------------------------------------------------ */

bool place_is_follow(const struct place *p);
void follow_open(fuse_req_t req, const struct place *p, struct fuse_file_info *fi);
void follow_read(fuse_req_t req, const struct place *p, size_t size, struct fuse_file_info *fi);
void follow_poll(fuse_req_t req, const struct place *p, struct fuse_file_info *fi,
		 struct fuse_pollhandle *ph);
void follow_release(fuse_req_t req, struct fuse_file_info *fi);
#define FOLLOW_NONE (-2)
/* Notifier: new records of a card (dev -1: of none), or only interrupts (FOLLOW_NONE). */
void follow_wake(int dev);
/* Answer all who wait. */
void follow_stop(void);
/* At most `space` bytes of what follows pos, which moves on: whole lines, of the first also a
 * part. Nothing is added when there is nothing yet. 0 or -errno. */
int follow_fill(struct store *store, int dev, struct buf *out, size_t space, struct follow_position *pos);

/* --- remote.c: what repositories list -------------------------------------------------- */

void remote_start(void);
void remote_getattr(fuse_req_t req, uint64_t ino); /* of an entry */
void remote_lookup(fuse_req_t req, const struct place *dir, const char *name);
void remote_opendir(fuse_req_t req, const struct place *dir, struct fuse_file_info *fi);
void remote_list(fuse_req_t req, const struct place *dir, size_t size, off_t off, bool plus);
int entry_stat(uint64_t ino, struct stat *st, double *timeout); /* 0 or -errno */
/* What is listed of the node; -ESTALE: it is listed no more, or has other bytes, and so another node. */
int entry_read(uint64_t ino, struct catalogue_entry *e);

/* --- remote_xattr.c --------------------------------------------------------------------- */

void remote_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void remote_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void remote_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size);
/* The bytes as the value of an attribute, by getxattr's rules. */
void xattr_reply(fuse_req_t req, const struct buf *b, size_t size);

/* --- xattr.c ------------------------------------------------------------------------------ */

void tree_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void tree_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void tree_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		   int flags);
void tree_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

/* --- names.c: requests that make and remove names ------------------------------------------ */

void tree_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		 struct fuse_file_info *fi);
void tree_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void tree_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
		 const char *newname, unsigned flags);
void tree_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void tree_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void tree_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void tree_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name);
void tree_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);

#endif
