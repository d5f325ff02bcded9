// SPDX-License-Identifier: Apache-2.0
/*
 * Requests that wait for a listing (remote_wait.h). One that is interrupted is answered by the
 * mirror's thread: from within the callback of an interrupt it must not be. Nothing is noted
 * of them: when a worker dies the kernel sends them again, and they wait again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/tree/remote_wait.h"

struct parked {
	struct repo_wait wait;
	fuse_req_t req;
	struct repo *repo;
	struct fuse_file_info fi;
	size_t size;
	bool sizes; /* it waits for an entry's size, not for a listing */
	void (*again)(fuse_req_t req, struct repo *repo, struct fuse_file_info *fi, const char *name);
	char name[];
};

static void interrupted(fuse_req_t req, void *arg)
{
	struct parked *p = arg;

	(void)req;
	if (p->sizes)
		repo_wait_size_end(&p->wait);
	else
		repo_wait_end(p->repo, &p->wait);
}

/* Afterwards no callback looks at it any more. */
static void detach(struct parked *p)
{
	fuse_req_interrupt_func(p->req, NULL, NULL);
}

static struct parked *park(fuse_req_t req, struct repo *repo, const char *name, bool sizes,
			   void (*done)(struct repo_wait *wait, int err))
{
	size_t len = strlen(name) + 1;
	struct parked *p = calloc(1, sizeof(*p) + len);

	if (!p)
		return NULL;
	p->wait.done = done;
	p->req = req;
	p->repo = repo;
	p->sizes = sizes;
	memcpy(p->name, name, len);
	fuse_req_interrupt_func(req, interrupted, p);
	return p;
}

static void refresh_done(struct repo_wait *wait, int err)
{
	struct parked *p = (struct parked *)wait;

	detach(p);
	if (err)
		fuse_reply_err(p->req, errno_public(err));
	else
		fuse_reply_write(p->req, p->size);
	free(p);
}

void remote_refresh(fuse_req_t req, struct repo *repo, size_t size)
{
	struct parked *p = park(req, repo, "", false, refresh_done);

	if (!p) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	p->size = size;
	repo_refresh(repo, &p->wait);
}

static void first_done(struct repo_wait *wait, int err)
{
	struct parked *p = (struct parked *)wait;

	detach(p);
	/* However it ended otherwise: what there is now is the answer. */
	if (err == EINTR || err == ECANCELED)
		fuse_reply_err(p->req, err);
	else
		p->again(p->req, p->repo, &p->fi, p->name);
	free(p);
}

bool remote_wait_first(fuse_req_t req, struct repo *repo, const struct fuse_file_info *fi, const char *name,
		       void (*again)(fuse_req_t req, struct repo *repo, struct fuse_file_info *fi, const char *name))
{
	struct repo_state state;
	struct parked *p;

	repo_state_get(repo, &state);
	if (state.answered)
		return false;
	p = park(req, repo, name, false, first_done);
	if (!p)
		return false;
	if (fi)
		p->fi = *fi;
	p->again = again;
	if (repo_wait_first(repo, &p->wait))
		return true;
	detach(p);
	free(p);
	return false;
}

/* Parked until an image was asked for, as `ask` begins it or joins in. */
static bool wait_asked(fuse_req_t req, struct repo *repo, const struct catalogue_entry *entry,
		       const struct fuse_file_info *fi, const char *name,
		       void (*again)(fuse_req_t req, struct repo *repo, struct fuse_file_info *fi, const char *name),
		       bool (*ask)(struct repo *repo, const struct catalogue_entry *entry, struct repo_wait *wait))
{
	struct parked *p = park(req, repo, name, true, first_done);

	if (!p)
		return false;
	if (fi)
		p->fi = *fi;
	p->again = again;
	if (ask(repo, entry, &p->wait))
		return true;
	detach(p);
	free(p);
	return false;
}

bool remote_wait_version(fuse_req_t req, uint64_t entry, const struct fuse_file_info *fi,
			 void (*again)(fuse_req_t req, struct repo *repo, struct fuse_file_info *fi,
				       const char *name))
{
	struct catalogue_entry e;
	struct repo *repo;

	if (catalogue_entry_get(mirror_store(), entry, &e, NULL))
		return false;
	repo = mirror_find(e.repo);
	return repo && wait_asked(req, repo, &e, fi, "", again, repo_wait_version);
}

bool remote_wait_size(fuse_req_t req, struct repo *repo, const struct catalogue_entry *entry,
		      const struct fuse_file_info *fi, const char *name,
		      void (*again)(fuse_req_t req, struct repo *repo, struct fuse_file_info *fi, const char *name))
{
	return (!entry->has_size || entry->size_rounded) &&
	       wait_asked(req, repo, entry, fi, name, again, repo_wait_size);
}
