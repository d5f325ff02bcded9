// SPDX-License-Identifier: Apache-2.0
/*
 * Active files: those whose opening, writing or closing does something (image,
 * check, ctl, stop, lease, io/..., upload temporaries). The tree (ops.c) finds
 * the node and checks nothing else; each set of operations replies exactly once
 * to every request it is given, at once or later, and journals its answers.
 * A NULL member: the tree answers (EOPNOTSUPP for write, 0 for flush, fsync and
 * release; attributes come from size() and the tables).
 */
#ifndef FS_TREE_ACTIVE_H
#define FS_TREE_ACTIVE_H

#include <fuse3/fuse_lowlevel.h>
#include <stdint.h>

#include "fs/card/cards.h"

struct active_ops {
	void (*open)(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi);
	void (*read)(fuse_req_t req, struct card *card, uint64_t ino, size_t size, off_t off,
		     struct fuse_file_info *fi);
	void (*write)(fuse_req_t req, struct card *card, uint64_t ino, const char *bytes, size_t size,
		      off_t off, struct fuse_file_info *fi);
	void (*flush)(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi);
	void (*fsync)(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi);
	void (*release)(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi);
	/* size and explicit times; the tree has answered for mode, owner and "now" (ignored).
	 * Replies with attributes: use tree_reply_attr(). */
	void (*setattr)(fuse_req_t req, struct card *card, uint64_t ino, struct stat *attr, int to_set,
			struct fuse_file_info *fi);
	void (*poll)(fuse_req_t req, struct card *card, uint64_t ino, struct fuse_file_info *fi,
		     struct fuse_pollhandle *ph);
	/* st_size shown; NULL: 0. */
	uint64_t (*size)(struct card *card, uint64_t ino);
};

extern const struct active_ops image_ops;   /* image and check (told apart by the node) */
extern const struct active_ops temp_ops;    /* upload temporaries in devN */
extern const struct active_ops ctl_ops;     /* ctl, stop */
extern const struct active_ops lease_ops;
extern const struct active_ops io_ops;      /* io/tx rx .rx regs ... */

/* Names in devN that are not in the tables: image being replaced, temporaries. Each replies.
 * name_hidden: this thread has just unlinked `image` and is about to create it: look-ups give ENOENT. */
bool image_hidden(struct card *card, int slot, pid_t tid);
void image_unlink(fuse_req_t req, struct card *card, int slot);
void image_create(fuse_req_t req, struct card *card, int slot, struct fuse_file_info *fi);
void temp_create(fuse_req_t req, struct card *card, int slot, const char *name, mode_t mode,
		 struct fuse_file_info *fi);
void temp_unlink(fuse_req_t req, struct card *card, int slot, const char *name);
/* newname may be "image": then the rename programs. */
void temp_rename(fuse_req_t req, struct card *card, int slot, const char *name, const char *newname,
		 unsigned flags);
/* Node of a temporary by name, 0 = there is none; and the names for readdir. */
uint64_t temp_lookup(struct card *card, int slot, const char *name);
int temp_stat(uint64_t ino, struct stat *st); /* 0 or -ENOENT */
void temp_each(struct card *card, int slot, int (*fn)(const char *name, uint64_t ino, void *arg), void *arg);
/* Both ends are inside the mount; replies. */
void image_copy_range(fuse_req_t req, struct card *from, uint64_t ino_in, off_t off_in,
		      struct fuse_file_info *fi_in, struct card *to, uint64_t ino_out, off_t off_out,
		      struct fuse_file_info *fi_out, size_t len);

/* What active operations use of the tree (fs/tree/attr.c). */
int tree_stat(uint64_t ino, struct stat *st, double *timeout); /* 0 or -errno */
void tree_reply_attr(fuse_req_t req, uint64_t ino);
void tree_reply_entry(fuse_req_t req, uint64_t ino);
void tree_reply_create(fuse_req_t req, uint64_t ino, const struct fuse_file_info *fi);

#endif
