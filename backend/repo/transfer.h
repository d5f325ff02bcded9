// SPDX-License-Identifier: Apache-2.0
/*
 * One thread that runs all requests over HTTP with libcurl's multi interface
 * (private to backend/repo).
 *
 * A transfer is one request from the asker's view: connection failures, 408,
 * 429 and 5xx are tried again with back-off, jitter and Retry-After (both
 * forms) within its limits; a body that breaks off goes on with a Range where it
 * stopped. Redirects are followed here, and carry credentials to no other host.
 *
 * Threads: start and cancel from any thread (also from within callbacks);
 * callbacks on the transfer thread, never inside start or cancel.
 */
#ifndef BACKEND_REPO_TRANSFER_H
#define BACKEND_REPO_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fabricfs/error.h>

/* Of one server: what all its requests share. Made by transfer_peer_new() from the configuration
 * before rights are dropped (it reads certificates and keys then); counted, put by its last user. */
struct transfer_peer;

struct transfer_peer_config {
	const char *name;	 /* of the repository, for sentences */
	const char *cacert, *client_cert, *client_key; /* paths, NULL = none */
	bool insecure;		 /* verify: false */
	const char *user, *password; /* Basic; NULL = none */
	const char *bearer;	 /* a fixed token; NULL = none */
	int64_t connect_timeout_ms, offline_timeout_ms;
	unsigned connections;	 /* at most so many at once; 0 = 4 */
};

struct transfer;

/* What has been answered. Valid during the call. */
struct transfer_answer {
	int status;	 /* HTTP */
	const char *url; /* that answered in the end, without user and password */
	/* Of all of what is there, also when only a part comes. */
	bool has_total;
	uint64_t total;
	const char *validator; /* its ETag, else its Last-Modified, else "" */
	/* The value of a header (the last of that name), NULL = there is none. Any case. */
	const char *(*header)(const struct transfer_answer *answer, const char *name);
	void *internal;
};

struct transfer_request {
	struct transfer_peer *peer;
	const char *method;	    /* "GET", "HEAD", "POST", ... */
	const char *url;	    /* copied */
	const char *const *headers; /* "Name: value", NULL-terminated, copied; may be NULL. Wiped when done */
	const void *body;	    /* copied, wiped when done; NULL = none */
	size_t body_len;
	/* A range of the body; both 0 = all of it. Content-Range is checked; a 200 instead of a 206 is
	 * read from its beginning and what is before `offset` is left out. */
	uint64_t offset, length;
	/* An ETag (or Last-Modified) that a further part after a break has to have, and that the first
	 * has to have when it is not NULL: else ESTALE. */
	const char *validator;
	/* All 2xx are answers. Further statuses that are, 0-terminated; NULL = none. What is no answer
	 * becomes an errno: 401 403 EACCES, 404 410 ENOENT, 412 416 ESTALE, else EREMOTEIO. */
	const int *also;
	uint64_t body_max;	    /* more than this of an answer is EBADMSG; 0 = no limit */
	/* Not sent again once it may have been done (a login): what is tried again are connections, and
	 * answers which say that nothing was done (408 425 429 503). */
	bool once;
	bool quick;		    /* when no connection can be made, this is told at once */
	void *core;
	/* Once per answer that counts. -errno ends it. May be NULL. */
	int (*begin)(struct transfer *t, void *core, const struct transfer_answer *answer, struct reason *why);
	int (*data)(struct transfer *t, void *core, const void *bytes, size_t n, struct reason *why);
	/* Asked before data; false: nothing is given, nor is it a stall, until transfer_resume() is called
	 * and it is asked again. May be NULL. With body_max only. */
	bool (*room)(void *core);
	/* err positive or 0; `answer` NULL when there was none. The transfer is gone afterwards. */
	void (*done)(struct transfer *t, void *core, int err, const struct transfer_answer *answer,
		     const struct reason *why);
};

/* The sentence does not name the repository. */
int transfer_peer_new(const struct transfer_peer_config *config, struct transfer_peer **peer,
		      struct reason *why);
/* Read the credentials, the certificate and its key anew: what is asked from here on says so who asks. If
 * that fails, all stays as it was. Any thread; it reads files. */
int transfer_peer_secrets(struct transfer_peer *peer, const struct transfer_peer_config *config, struct reason *why);
void transfer_peer_put(struct transfer_peer *peer);
/* What it has cost so far: requests sent, those of them that were tries again, bytes of bodies. */
void transfer_peer_cost(const struct transfer_peer *peer, uint64_t *requests, uint64_t *retries,
			uint64_t *received);

/* 0 and *t (valid until done), or -errno and nothing will be called. */
int transfer_start(const struct transfer_request *request, struct transfer **t, struct reason *why);
/* done() follows with ECANCELED, unless it is on its way already. Until done() has returned: who
 * cancels from another thread holds a lock that its done() takes. */
void transfer_cancel(struct transfer *t);
/* There may be room again. Any thread; never waits. */
void transfer_resume(void);
/* Call fn(arg) on the transfer thread, after `ms` (0 = soon). Not called any more once the thread
 * has been stopped. */
int transfer_later(int64_t ms, void (*fn)(void *arg), void *arg, struct reason *why);

/* stop: what is still under way ends with ECANCELED first. */
int transfer_thread_start(struct reason *why);
void transfer_thread_stop(void);

#endif
