// SPDX-License-Identifier: Apache-2.0
/*
 * The kind `glance` inside (private to backend/repo): what its listings and
 * its fetches share.
 *
 * An operation asks Keystone for a session, sends requests with its token, one
 * at a time, and ends once. A token that is refused is replaced once, and the
 * request repeated where it stopped. All is guarded by the repository's lock,
 * which is held while requests are started and never while the mirror is
 * called. Order of locks: the repository's, Keystone's, those of transfers.
 */
#ifndef BACKEND_REPO_GLANCE_H
#define BACKEND_REPO_GLANCE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <fabricfs/repo.h>

#include "backend/repo/keystone.h"
#include "backend/repo/transfer.h"

/* What is listed. The first three are what Glance lists by itself. */
enum {
	GLANCE_PUBLIC = 1,
	GLANCE_PRIVATE = 2,
	GLANCE_SHARED = 4,
	GLANCE_COMMUNITY = 8,
	GLANCE_HIDDEN = 16,
	GLANCE_PENDING = 32,
	GLANCE_USUAL = GLANCE_PUBLIC | GLANCE_PRIVATE | GLANCE_SHARED,
};

#define GLANCE_REGION_MAX  256
#define GLANCE_ADDRESS_MAX 512

struct glance {
	pthread_mutex_t lock;
	char *name;
	const struct repo_config *config;
	struct keystone *keystone;
	struct transfer_peer *peer;
	unsigned listed; /* GLANCE_... */
	/* The region that answered, so that it is not another one that is listed the next time; and
	 * the address there. */
	char region[GLANCE_REGION_MAX], address[GLANCE_ADDRESS_MAX];
	bool region_known, region_warned;
	uint64_t left_out; /* images of the last whole listing whose records could not be read */
};

struct glance_op {
	struct glance *g;
	/* With the lock: send the request. */
	int (*send)(struct glance_op *op, struct reason *why);
	/* Without: tell the mirror, and free it. */
	void (*end)(struct glance_op *op, int err, const struct reason *why);
	void **link; /* the mirror's `kind`, by which it cancels */
	struct keystone_wait wait;
	struct keystone_session *session;
	struct transfer *t; /* on its way */
	bool waiting;	    /* for a session */
	bool cancelled;
	bool later;   /* its end is on its way (glance_cancel) */
	bool renewed; /* the token was replaced since there was progress */
	size_t endpoint; /* of the session's */
	size_t elsewhere; /* how many others were asked */
};

/* Any thread. 0: end() is called later. */
int glance_op_begin(struct glance_op *op, struct reason *why);
/* Any thread; `link` as above. */
void glance_op_cancel(struct glance *g, void **link);
/* With the lock, from send(): a GET of `path` below the endpoint. */
int glance_op_get(struct glance_op *op, const char *path, struct transfer_request *request,
		  struct reason *why);
/* In done(): the request is over. true: there is nothing more to do, it is repeated with another token
 * or was ended. */
bool glance_op_done(struct glance_op *op, int *err, int status, const struct reason **why,
		    struct reason *room);
/* In done(), when no connection could be made: true = the request is repeated at another address. */
bool glance_op_elsewhere(struct glance_op *op);
/* On the transfer thread: send the next request, or end. */
void glance_op_next(struct glance_op *op);
/* On the transfer thread. */
void glance_op_end(struct glance_op *op, int err, const struct reason *why);

/* The base address that is asked. With the lock, or on the transfer thread. */
const char *glance_op_base(const struct glance_op *op);

/* Defined in glance.c, for the table. */
extern const struct repo_kind glance_kind;

int glance_list(void *repo, struct repo_list *list, struct reason *why);
void glance_list_cancel(void *repo, struct repo_list *list);
int glance_fetch(void *repo, struct repo_fetch *fetch, struct reason *why);
void glance_fetch_cancel(void *repo, struct repo_fetch *fetch);

#endif
