// SPDX-License-Identifier: Apache-2.0
/*
 * A server of HTTP/1.1 for unit tests: each request is answered by a function of
 * the test, which may also break, stall or lie. And an asker that waits for the
 * end of a transfer.
 */
#ifndef TESTS_HTTP_FIXTURE_H
#define TESTS_HTTP_FIXTURE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fabricfs/buf.h>

#include "backend/repo/transfer.h"

struct server_request {
	int fd;		  /* to answer on */
	unsigned number;  /* of this server, from 1 */
	const char *text; /* the request line and the headers */
	bool ranged;
	size_t offset, last; /* of its Range; last SIZE_MAX = to the end */
	void *core;
};

struct server {
	int port;
	char url[64]; /* http://127.0.0.1:port */
	atomic_uint requests, connections;
	/* false: close the connection. */
	bool (*answer)(const struct server_request *request);
	void *core;
	int listener;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	unsigned running;
	int fds[64];
};

void server_start(struct server *server, bool (*answer)(const struct server_request *), void *core);
void server_stop(struct server *server);
void server_say(const struct server_request *request, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void server_send(const struct server_request *request, const void *bytes, size_t n);
/* What asks for something with an ordinary 200 or 206. */
void server_serve(const struct server_request *request, const void *bytes, size_t n, const char *headers);
/* The connection ends with a reset. */
void server_reset(const struct server_request *request);
/* Nothing more comes, until the other side closes. */
void server_stall(const struct server_request *request);

struct asker {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool done;
	int err, status, begins;
	unsigned begin_status;
	struct buf got;
	char header[128];	/* the answer's X-Test */
	char url[256];
	struct reason why;
	int refuse_begin, refuse_data; /* what these callbacks return */
};

/* The request with its callbacks set: a GET of url for peer. */
struct transfer_request asker_request(struct asker *asker, struct transfer_peer *peer, const char *url);
void asker_wait(struct asker *asker);
void asker_free(struct asker *asker);
/* Start, wait. */
void asker_ask(struct asker *asker, const struct transfer_request *request);

#endif
