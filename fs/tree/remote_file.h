// SPDX-License-Identifier: Apache-2.0
/* Images of remote/ as files: opening and reading them, and copying them to cards. Each replies. */
#ifndef FS_TREE_REMOTE_FILE_H
#define FS_TREE_REMOTE_FILE_H

#include <fuse3/fuse_lowlevel.h>

#include "fs/card/cards.h"

void remote_open(fuse_req_t req, uint64_t ino, struct fuse_file_info *fi);
void remote_read(fuse_req_t req, uint64_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void remote_release(fuse_req_t req, struct fuse_file_info *fi);

/* The content of an open, with a reference. entry: its row of the catalogue. -ESTALE, -EBADMSG: it is
 * gone. */
struct content;
int remote_content(uint64_t entry, uint64_t fh, struct content **content, struct reason *why);

/* A copy of this content by that thread is about to be refused: what it reads next from the beginning is
 * one chunk. */
void remote_refused(pid_t thread, uint64_t content);

/* copy_file_range to image or check: by reference, once all of it is here. */
void remote_copy_range(fuse_req_t req, uint64_t entry, off_t off_in, struct fuse_file_info *fi_in,
		       struct card *to, uint64_t ino_out, off_t off_out, struct fuse_file_info *fi_out,
		       size_t len);

#endif
