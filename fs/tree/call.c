// SPDX-License-Identifier: Apache-2.0
/* Parked requests and journalled answers (call.h). */
#include <errno.h>
#include <stdlib.h>

#include "fs/daemon/session.h"
#include "fs/tree/call.h"

struct call *call_park(fuse_req_t req, struct slot *slot, uint64_t ino, size_t size)
{
	struct call *call = malloc(sizeof(*call));

	if (!call) {
		fuse_reply_err(req, ENOMEM);
		return NULL;
	}
	*call = (struct call){ .req = req, .unique = request_current()->unique, .ino = ino,
			       .size = size, .slot = slot };
	return call;
}

void call_done_err(void *arg, int err)
{
	struct call *call = arg;

	journal_done(call->unique, err, 0);
	fuse_reply_err(call->req, err);
	free(call);
}

void call_done_write(void *arg, int err)
{
	struct call *call = arg;

	journal_done(call->unique, err, call->size);
	if (err)
		fuse_reply_err(call->req, err);
	else
		fuse_reply_write(call->req, call->size);
	free(call);
}

void answer_err(fuse_req_t req, int err)
{
	journal_done(request_current()->unique, err, 0);
	fuse_reply_err(req, err);
}

void answer_write(fuse_req_t req, size_t n)
{
	journal_done(request_current()->unique, 0, n);
	fuse_reply_write(req, n);
}

int answer_open(fuse_req_t req, const struct fuse_file_info *fi)
{
	journal_done(request_current()->unique, 0, fi->fh);
	return fuse_reply_open(req, fi);
}

bool answered_before(int *err, uint64_t *value)
{
	const struct request *r = request_current();

	return r->resent && journal_find(r->unique, err, value);
}

bool answer_err_again(fuse_req_t req)
{
	int err;

	if (!answered_before(&err, NULL))
		return false;
	fuse_reply_err(req, err);
	return true;
}

bool answer_write_again(fuse_req_t req)
{
	uint64_t n;
	int err;

	if (!answered_before(&err, &n))
		return false;
	if (err)
		fuse_reply_err(req, err);
	else
		fuse_reply_write(req, n);
	return true;
}

bool answer_open_again(fuse_req_t req, struct fuse_file_info *fi)
{
	int err;

	if (!answered_before(&err, &fi->fh))
		return false;
	if (err)
		fuse_reply_err(req, err);
	else
		fuse_reply_open(req, fi);
	return true;
}

void who_calls(fuse_req_t req, struct who *who)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	who_is(who, ctx->uid, ctx->gid, ctx->pid);
}

uint64_t run_id(void)
{
	return session_id() + request_current()->unique;
}
