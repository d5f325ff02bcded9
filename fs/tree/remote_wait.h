// SPDX-License-Identifier: Apache-2.0
/* Requests that wait for a repository to list its images (private to fs/tree). Each replies. */
#ifndef FS_TREE_REMOTE_WAIT_H
#define FS_TREE_REMOTE_WAIT_H

#include <fuse3/fuse_lowlevel.h>

#include "fs/remote/mirror.h"

/* A write of `size` bytes to .repo/refresh: done when the listing is. */
void remote_refresh(fuse_req_t req, struct repo *repo, size_t size);
/*
 * For a repository that has never answered: then `again` is called, with the request and what
 * was given, when it has, or did not within its time. False: there is nothing to wait for.
 */
bool remote_wait_first(fuse_req_t req, struct repo *repo, const struct fuse_file_info *fi, const char *name,
		       void (*again)(fuse_req_t req, struct repo *repo, struct fuse_file_info *fi, const char *name));
/* The same for the exact size of an entry, when its listing tells none: then `again` is called. */
bool remote_wait_size(fuse_req_t req, struct repo *repo, const struct catalogue_entry *entry,
		      const struct fuse_file_info *fi, const char *name,
		      void (*again)(fuse_req_t req, struct repo *repo, struct fuse_file_info *fi, const char *name));
/* The same for whether what is cached of an entry is still what is there. */
bool remote_wait_version(fuse_req_t req, uint64_t entry, const struct fuse_file_info *fi,
			 void (*again)(fuse_req_t req, struct repo *repo, struct fuse_file_info *fi,
				       const char *name));

#endif
