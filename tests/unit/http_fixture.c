// SPDX-License-Identifier: Apache-2.0
/* The server and the asker of http_fixture.h. */
#include "tests/unit/http_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct connection {
	struct server *server;
	int fd;
};

void server_send(const struct server_request *request, const void *bytes, size_t n)
{
	const char *at = bytes;

	while (n > 0) {
		ssize_t sent = send(request->fd, at, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		at += sent;
		n -= (size_t)sent;
	}
}

void server_say(const struct server_request *request, const char *fmt, ...)
{
	struct buf b CLEANUP_BUF = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	server_send(request, b.data, b.len);
}

void server_serve(const struct server_request *request, const void *bytes, size_t n, const char *headers)
{
	size_t first = request->ranged ? request->offset : 0;
	size_t end = request->ranged && request->last < n ? request->last + 1 : n;

	if (request->ranged && first >= n) {
		server_say(request, "HTTP/1.1 416 Range\r\nContent-Range: bytes */%zu\r\nContent-Length: 0\r\n%s\r\n",
			   n, headers);
		return;
	}
	if (request->ranged)
		server_say(request, "HTTP/1.1 206 Partial\r\nContent-Range: bytes %zu-%zu/%zu\r\n", first, end - 1, n);
	else
		server_say(request, "HTTP/1.1 200 OK\r\n");
	server_say(request, "Content-Length: %zu\r\n%s\r\n", end - first, headers);
	server_send(request, (const char *)bytes + first, end - first);
}

void server_reset(const struct server_request *request)
{
	struct linger hard = { .l_onoff = 1 };

	setsockopt(request->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

void server_stall(const struct server_request *request)
{
	char rest[256];

	while (recv(request->fd, rest, sizeof(rest), 0) > 0)
		;
}

/* One request's head, into text. */
static bool request_read(int fd, char *text, size_t size)
{
	size_t len = 0;

	while (len + 1 < size) {
		if (recv(fd, text + len, 1, 0) != 1)
			return false;
		text[++len] = 0;
		if (len >= 4 && strcmp(text + len - 4, "\r\n\r\n") == 0)
			return true;
	}
	return false;
}

static void body_skip(int fd, const char *text)
{
	const char *length = strcasestr(text, "\r\nContent-Length:");
	char byte;

	for (long n = length ? strtol(length + 17, NULL, 10) : 0; n > 0; n--)
		if (recv(fd, &byte, 1, 0) != 1)
			return;
}

static void *connection_run(void *arg)
{
	struct connection *c = arg;
	struct server *server = c->server;
	char text[16384];
	bool more = true;

	while (more && request_read(c->fd, text, sizeof(text))) {
		const char *range = strcasestr(text, "\r\nRange: bytes=");
		struct server_request request = {
			.fd = c->fd, .number = atomic_fetch_add(&server->requests, 1) + 1, .text = text,
			.ranged = range != NULL, .last = SIZE_MAX, .core = server->core,
		};

		if (range) {
			char *end;

			request.offset = strtoul(range + 15, &end, 10);
			if (*end == '-' && end[1] != '\r')
				request.last = strtoul(end + 1, NULL, 10);
		}

		body_skip(c->fd, text);
		more = server->answer(&request);
	}
	pthread_mutex_lock(&server->lock);
	for (size_t i = 0; i < sizeof(server->fds) / sizeof(*server->fds); i++)
		if (server->fds[i] == c->fd)
			server->fds[i] = -1;
	close(c->fd);
	server->running--;
	pthread_cond_signal(&server->idle);
	pthread_mutex_unlock(&server->lock);
	free(c);
	return NULL;
}

static void connection_start(struct server *server, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));
	pthread_t thread;
	size_t i = 0;

	assert_non_null(c);
	*c = (struct connection){ server, fd };
	atomic_fetch_add(&server->connections, 1);
	pthread_mutex_lock(&server->lock);
	while (server->fds[i] >= 0)
		i++;
	assert_true(i < sizeof(server->fds) / sizeof(*server->fds));
	server->fds[i] = fd;
	server->running++;
	pthread_mutex_unlock(&server->lock);
	assert_int_equal(pthread_create(&thread, NULL, connection_run, c), 0);
	pthread_detach(thread);
}

static void *server_run(void *arg)
{
	struct server *server = arg;
	int fd;

	while ((fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		connection_start(server, fd);
	return NULL;
}

void server_start(struct server *server, bool (*answer)(const struct server_request *), void *core)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);

	memset(server, 0, sizeof(*server));
	server->answer = answer;
	server->core = core;
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->idle, NULL);
	for (size_t i = 0; i < sizeof(server->fds) / sizeof(*server->fds); i++)
		server->fds[i] = -1;
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(server->listener >= 0);
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server->listener, 32), 0);
	assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &len), 0);
	server->port = ntohs(address.sin_port);
	snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%d", server->port);
	assert_int_equal(pthread_create(&server->thread, NULL, server_run, server), 0);
}

void server_stop(struct server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
	pthread_mutex_lock(&server->lock);
	for (size_t i = 0; i < sizeof(server->fds) / sizeof(*server->fds); i++)
		if (server->fds[i] >= 0)
			shutdown(server->fds[i], SHUT_RDWR);
	while (server->running > 0)
		pthread_cond_wait(&server->idle, &server->lock);
	pthread_mutex_unlock(&server->lock);
	pthread_mutex_destroy(&server->lock);
	pthread_cond_destroy(&server->idle);
}

/* --- asking ---------------------------------------------------------------------- */

static int on_begin(struct transfer *t, void *core, const struct transfer_answer *answer, struct reason *why)
{
	struct asker *asker = core;

	(void)t;
	(void)why;
	asker->begins++;
	asker->begin_status = (unsigned)answer->status;
	return asker->refuse_begin;
}

static int on_data(struct transfer *t, void *core, const void *bytes, size_t n, struct reason *why)
{
	struct asker *asker = core;

	(void)t;
	(void)why;
	buf_add(&asker->got, bytes, n);
	return asker->refuse_data;
}

static void on_done(struct transfer *t, void *core, int err, const struct transfer_answer *answer,
		    const struct reason *why)
{
	struct asker *asker = core;

	(void)t;
	pthread_mutex_lock(&asker->lock);
	asker->err = err;
	asker->status = answer ? answer->status : 0;
	text_copy(asker->header, sizeof(asker->header), answer ? answer->header(answer, "x-test") : "");
	text_copy(asker->url, sizeof(asker->url), answer ? answer->url : "");
	asker->why = *why;
	asker->done = true;
	pthread_cond_signal(&asker->ended);
	pthread_mutex_unlock(&asker->lock);
}

struct transfer_request asker_request(struct asker *asker, struct transfer_peer *peer, const char *url)
{
	memset(asker, 0, sizeof(*asker));
	pthread_mutex_init(&asker->lock, NULL);
	pthread_cond_init(&asker->ended, NULL);
	return (struct transfer_request){
		.peer = peer, .method = "GET", .url = url, .core = asker,
		.begin = on_begin, .data = on_data, .done = on_done,
	};
}

void asker_wait(struct asker *asker)
{
	pthread_mutex_lock(&asker->lock);
	while (!asker->done)
		pthread_cond_wait(&asker->ended, &asker->lock);
	pthread_mutex_unlock(&asker->lock);
}

void asker_ask(struct asker *asker, const struct transfer_request *request)
{
	struct reason why = { 0 };

	assert_int_equal(transfer_start(request, NULL, &why), 0);
	asker_wait(asker);
}

void asker_free(struct asker *asker)
{
	buf_free(&asker->got);
	pthread_mutex_destroy(&asker->lock);
	pthread_cond_destroy(&asker->ended);
}
