// SPDX-License-Identifier: Apache-2.0
/*
 * Answers of requests that change something: noted in the journal first, so
 * that the same request, sent again after this worker died, gets the same
 * answer and is not carried out twice.
 */
#ifndef FS_TREE_CALL_H
#define FS_TREE_CALL_H

#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/card/card.h"

/* A parked request: what is needed to answer it later, from another thread. */
struct call {
	fuse_req_t req;
	uint64_t unique;
	uint64_t ino;
	size_t size;
	struct slot *slot;
	void *data;
};

/* NULL after an ENOMEM answer. */
struct call *call_park(fuse_req_t req, struct slot *slot, uint64_t ino, size_t size);
/* Journal and answer; frees the call. err positive or 0. */
void call_done_err(void *call, int err);
/* The same, but 0 means `size` bytes were written. */
void call_done_write(void *call, int err);

/* For answers at once; the request is the current one of this thread. */
void answer_err(fuse_req_t req, int err);
void answer_write(fuse_req_t req, size_t n);
/* Journals fh, then answers; -ENOENT: the caller has gone, so the open must be undone. */
int answer_open(fuse_req_t req, const struct fuse_file_info *fi);

/* Was the current request answered by a worker that died? Then *err and *value
 * are what it answered with. */
bool answered_before(int *err, uint64_t *value);

/* The usual cases of it: true when the answer was given again. */
bool answer_err_again(fuse_req_t req);
bool answer_write_again(fuse_req_t req);
/* fi as the open will set it, but for fh. */
bool answer_open_again(fuse_req_t req, struct fuse_file_info *fi);

struct who;
/* Of the caller of req. */
void who_calls(fuse_req_t req, struct who *who);
/* Id of the current request for what outlives the mount's numbering. */
uint64_t run_id(void);

#endif
