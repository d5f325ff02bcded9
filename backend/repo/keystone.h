// SPDX-License-Identifier: Apache-2.0
/*
 * Keystone, version 3: a token and the addresses that come with it (private to
 * backend/repo).
 *
 * There is one login at a time, and all who need a token wait for that one. A
 * token is renewed before it ends, on the server's own account of how long it
 * lives, while the old one is still used; and when a server refused it. Refused
 * credentials (401, and nothing else) are told to all who ask, and are not tried
 * again for an hour, or until the files that they are from were written: servers
 * lock accounts after some failures. For the same reason a login that may have
 * been judged, and whose answer was lost, is not sent again by itself before one
 * with these credentials has succeeded.
 */
#ifndef BACKEND_REPO_KEYSTONE_H
#define BACKEND_REPO_KEYSTONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fabricfs/buf.h>
#include <fabricfs/error.h>

#include "backend/repo/secret.h"

struct cloud;
struct repo_config;
struct repo_cost;
struct transfer_peer;

struct keystone_endpoint {
	char *url;    /* without slashes at its end, and without the version */
	char *region; /* "" = none was told */
};

/* What a login gave; counted, and never changed. */
struct keystone_session {
	struct secret token;  /* nothing: the server wants none */
	char *project_id;     /* NULL: not known */
	struct keystone_endpoint *endpoints; /* of the image service, in the catalogue's order, at least one */
	size_t endpoints_len;
	int64_t lifetime_ms;  /* 0 = for ever */
	int64_t renew_ns, end_ns; /* monotonic; 0 = never */
	unsigned users;
};

/* --- bodies (keystone_json.c), which ask nobody --------------------------------------- */

/* The login's body; the caller frees it. -ENOMEM without a sentence. */
int keystone_request(const struct cloud *cloud, struct secret *body);
/* The answer's body. Refused when the token is for no project, or not for the one that was asked for,
 * or when the catalogue has no image service as wanted. */
int keystone_answer(const struct cloud *cloud, const char *text, size_t len,
		    struct keystone_session **session, struct reason *why);
/* "2026-11-21T12:00:00.000000Z", or with an offset; 0 = it is no time. */
int64_t keystone_time_ns(const char *text);
/* An image service's address as struct keystone_endpoint has it; NULL = it is none, or no memory. */
char *keystone_endpoint_url(const char *url);

struct keystone_session *keystone_session_ref(struct keystone_session *session);
void keystone_session_put(struct keystone_session *session);

/* --- logging in ------------------------------------------------------------------------- */

struct keystone;

/* Somebody who waits for a session. */
struct keystone_wait {
	/* On the transfer thread; session is the callee's to put, NULL when err (positive) says why. */
	void (*ready)(struct keystone_wait *wait, struct keystone_session *session, int err,
		      const struct reason *why);
	struct keystone_wait *next; /* keystone's */
};

/* Takes over what the cloud has, and the peer, unless it fails. */
int keystone_new(struct cloud *cloud, struct transfer_peer *peer, const char *name,
		 struct keystone **keystone, struct reason *why);
/* Before a listing: what failed may be tried again at once, and credentials that were refused are read
 * again if their files have changed. Not for two threads at once; it reads files. */
void keystone_look(struct keystone *keystone, const struct repo_config *config);
/* Ends a login that is on its way. Nobody waits any more. */
void keystone_put(struct keystone *keystone);

/*
 * The present session in *session (the caller puts it), or wait->ready() is
 * called later: *session is NULL then. -errno: neither. `spoilt` is a session
 * whose token a server refused, NULL = none; it is not given again. Any thread.
 */
int keystone_ask(struct keystone *keystone, struct keystone_session *spoilt,
		 struct keystone_wait *wait, struct keystone_session **session, struct reason *why);
/* None of the session's addresses is there: the catalogue may have others by now, so the next who asks
 * has to log in. Any thread. */
void keystone_forget(struct keystone *keystone, const struct keystone_session *session);
/* true: ready() will not be called. Any thread. */
bool keystone_cancel(struct keystone *keystone, struct keystone_wait *wait);
/* Logins so far, and what they cost. */
void keystone_cost(struct keystone *keystone, struct repo_cost *cost);

#endif
