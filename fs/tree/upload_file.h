// SPDX-License-Identifier: Apache-2.0
/* What image, check and temporaries have in common as files; each replies. */
#ifndef FS_TREE_UPLOAD_FILE_H
#define FS_TREE_UPLOAD_FILE_H

#include <fuse3/fuse_lowlevel.h>

#include "fs/card/upload.h"

void upload_file_write(fuse_req_t req, struct upload *u, uint64_t ino, const char *bytes, size_t size,
		       off_t off);
void upload_file_judge(fuse_req_t req, struct upload *u, uint64_t ino, enum judge_kind kind);
void upload_file_read(fuse_req_t req, struct upload *u, size_t size, off_t off);

/* Opens image or check for an upload; replies. create: by its name, after an unlink. */
void image_open_for_writing(fuse_req_t req, struct slot *slot, uint64_t ino, struct fuse_file_info *fi,
			    bool create);

/* --- image_reader.c: opens for reading --------------------------------------------------- */

/* Replies. */
void reader_open(fuse_req_t req, struct slot *slot, uint64_t ino, struct fuse_file_info *fi);
/* Bytes of the image as it was at open, or -errno; -ESTALE: it is gone. */
ssize_t reader_read(const struct saved_handle *saved, uint64_t fh, void *out, size_t n, off_t off);
/* At release. */
void reader_drop(uint64_t fh);

#endif
