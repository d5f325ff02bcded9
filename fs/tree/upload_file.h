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

#endif
