// SPDX-License-Identifier: Apache-2.0
/* What tests of the transfer thread share: one server that answers as a test wants, and one asker. */
#ifndef TEST_TRANSFER_FIXTURE_H
#define TEST_TRANSFER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/repo/transfer_in.h"
#include "tests/unit/http_fixture.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

#define SIZE (300 * 1024)

static struct server server;
static struct asker asker;
static unsigned char image[SIZE];

static struct transfer_peer *peer_make(const char *user, const char *password, const char *bearer)
{
	struct transfer_peer_config config = {
		.name = "web", .user = user, .password = password, .bearer = bearer,
		.connect_timeout_ms = 1000, .offline_timeout_ms = 1000,
	};
	struct transfer_peer *peer;
	struct reason why = { 0 };

	assert_int_equal(transfer_peer_new(&config, &peer, &why), 0);
	return peer;
}

static int all_start(void **state)
{
	struct reason why = { 0 };

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		image[i] = (unsigned char)(i * 2654435761u >> 13);
	return curl_api_load(&why) < 0 || transfer_thread_start(&why) < 0;
}

static int all_stop(void **state)
{
	(void)state;
	transfer_thread_stop();
	return 0;
}

/* One request to a server that answers so; the asker has what came of it. */
static void ask(bool (*answer)(const struct server_request *), uint64_t offset, uint64_t length, const char *validator)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct transfer_request request;

	server_start(&server, answer, NULL);
	request = asker_request(&asker, peer, server.url);
	request.offset = offset;
	request.length = length;
	request.validator = validator;
	asker_ask(&asker, &request);
	server_stop(&server);
	transfer_peer_put(peer);
}

static void got_is(uint64_t offset, size_t n)
{
	assert_string_equal(asker.why.text, "");
	assert_int_equal(asker.err, 0);
	assert_int_equal(asker.begins, 1);
	assert_int_equal(asker.got.len, n);
	assert_memory_equal(asker.got.data, image + offset, n);
	asker_free(&asker);
}

static void failed_with(int err, unsigned requests)
{
	if (asker.err != err)
		print_error("%s\n", asker.why.text);
	assert_int_equal(asker.err, err);
	assert_int_equal(asker.why.err, err);
	assert_non_null(strstr(asker.why.text, "repository web: "));
	assert_int_equal(atomic_load(&server.requests), requests);
	asker_free(&asker);
}

static bool serves(const struct server_request *request)
{
	assert_non_null(strstr(request->text, "Accept-Encoding: identity\r\n"));
	server_serve(request, image, SIZE, "ETag: \"v1\"\r\nX-Test: first\r\nX-Test: last\r\n");
	return true;
}

/* Each answer ends after 100 KiB. */
static bool cuts(const struct server_request *request)
{
	size_t offset = request->offset, n = SIZE - offset < 100 * 1024 ? SIZE - offset : 100 * 1024;

	server_say(request, "HTTP/1.1 %s\r\nETag: \"v1\"\r\nContent-Length: %zu\r\n", request->ranged ? "206 Partial" : "200 OK",
		   SIZE - offset);
	if (request->ranged)
		server_say(request, "Content-Range: bytes %zu-%d/%d\r\n", offset, SIZE - 1, SIZE);
	server_say(request, "\r\n");
	server_send(request, image + offset, n);
	return false;
}

static bool resets_once(const struct server_request *request)
{
	if (request->number > 1)
		return serves(request);
	server_reset(request);
	return false;
}

#pragma GCC diagnostic pop

#endif
