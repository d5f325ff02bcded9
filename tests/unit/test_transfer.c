// SPDX-License-Identifier: Apache-2.0
/* The transfer thread against a server that answers, breaks, stalls and lies as told. */
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

/* --- what comes as asked ---------------------------------------------------------- */

static bool serves(const struct server_request *request)
{
	assert_non_null(strstr(request->text, "Accept-Encoding: identity\r\n"));
	server_serve(request, image, SIZE, "ETag: \"v1\"\r\nX-Test: first\r\nX-Test: last\r\n");
	return true;
}

static void a_whole_image_comes(void **state)
{
	(void)state;
	ask(serves, 0, 0, NULL);
	assert_int_equal(asker.status, 200);
	assert_string_equal(asker.header, "last");
	got_is(0, SIZE);
}

static void a_range_comes(void **state)
{
	(void)state;
	ask(serves, 1000, 5000, "\"v1\"");
	assert_int_equal(asker.status, 206);
	got_is(1000, 5000);
}

static void a_range_ends_with_the_image(void **state)
{
	(void)state;
	ask(serves, SIZE - 10, 5000, NULL);
	got_is(SIZE - 10, 10);
}

static bool ignores_range(const struct server_request *request)
{
	struct server_request plain = *request;

	plain.ranged = false;
	server_serve(&plain, image, SIZE, "");
	return true;
}

static void an_ignored_range_is_cut_out_of_the_whole(void **state)
{
	(void)state;
	ask(ignores_range, 70000, 5000, NULL);
	assert_int_equal(atomic_load(&server.requests), 1);
	got_is(70000, 5000);
}

static bool is_empty(const struct server_request *request)
{
	server_serve(request, image, 0, "");
	return true;
}

static void a_range_of_an_empty_image_is_empty(void **state)
{
	(void)state;
	ask(is_empty, 0, 65536, NULL);
	assert_int_equal(asker.err, 0);
	assert_int_equal(asker.got.len, 0);
	assert_int_equal(asker.begins, 1);
	asker_free(&asker);
}

static void requests_in_a_row_share_a_connection(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);

	(void)state;
	server_start(&server, serves, NULL);
	for (int i = 0; i < 5; i++) {
		struct transfer_request request = asker_request(&asker, peer, server.url);

		asker_ask(&asker, &request);
		got_is(0, SIZE);
	}
	assert_int_equal(atomic_load(&server.connections), 1);
	server_stop(&server);
	transfer_peer_put(peer);
}

static void no_more_connections_than_allowed(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct asker many[20];
	struct reason why = { 0 };

	(void)state;
	server_start(&server, serves, NULL);
	for (int i = 0; i < 20; i++) {
		struct transfer_request request = asker_request(&many[i], peer, server.url);

		assert_int_equal(transfer_start(&request, NULL, &why), 0);
	}
	for (int i = 0; i < 20; i++) {
		asker_wait(&many[i]);
		asker = many[i];
		got_is(0, SIZE);
	}
	assert_true(atomic_load(&server.connections) <= CONNECTIONS);
	server_stop(&server);
	transfer_peer_put(peer);
}

/* --- what breaks ------------------------------------------------------------------ */

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

static void a_broken_transfer_goes_on_where_it_stopped(void **state)
{
	(void)state;
	ask(cuts, 0, 0, NULL);
	assert_int_equal(atomic_load(&server.requests), 3);
	got_is(0, SIZE);
}

static bool cuts_soon(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 %s\r\nContent-Range: bytes %zu-%d/%d\r\nContent-Length: %zu\r\n\r\n",
		   request->ranged ? "206 Partial" : "200 OK", request->offset, SIZE - 1, SIZE, SIZE - request->offset);
	server_send(request, image + request->offset, 100);
	return false;
}

static void a_connection_that_always_breaks_is_given_up(void **state)
{
	(void)state;
	ask(cuts_soon, 0, 0, NULL);
	failed_with(EREMOTEIO, RETRY_TRIES);
}

static bool resets_once(const struct server_request *request)
{
	if (request->number > 1)
		return serves(request);
	server_reset(request);
	return false;
}

static void a_reset_is_tried_again(void **state)
{
	(void)state;
	ask(resets_once, 0, 0, NULL);
	got_is(0, SIZE);
}

static bool changes(const struct server_request *request)
{
	if (request->number == 1)
		return cuts(request);
	server_serve(request, image, SIZE, "ETag: \"v2\"\r\n");
	return true;
}

static void what_changed_behind_a_break_is_stale(void **state)
{
	(void)state;
	ask(changes, 0, 0, NULL);
	assert_int_equal(asker.got.len, 100 * 1024);
	failed_with(ESTALE, 2);
}

static void another_version_than_asked_for_is_stale(void **state)
{
	(void)state;
	ask(serves, 0, 100, "\"v0\"");
	assert_int_equal(asker.begins, 0);
	failed_with(ESTALE, 1);
}

static bool promises_more(const struct server_request *request)
{
	if (request->ranged)
		return serves(request);
	server_say(request, "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: %d\r\n\r\n", SIZE + 100);
	server_send(request, image, SIZE);
	return false;
}

static void a_length_that_promises_too_much_ends_with_the_image(void **state)
{
	(void)state;
	ask(promises_more, 0, 0, NULL);
	assert_int_equal(atomic_load(&server.requests), 2);
	got_is(0, SIZE);
}

/* The range, and a promise of more, which never comes. */
static bool promises_more_than_the_range(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 206 Partial\r\nContent-Range: bytes 1000-1999/%d\r\nContent-Length: 1010\r\n\r\n", SIZE);
	server_send(request, image + 1000, 1000);
	server_stall(request);
	return false;
}

static void a_range_is_over_when_it_has_come(void **state)
{
	(void)state;
	ask(promises_more_than_the_range, 1000, 1000, NULL);
	assert_int_equal(atomic_load(&server.requests), 1);
	got_is(1000, 1000);
}

/* Once 100 bytes more than it says: they stay on the connection. */
static bool leaves_bytes_behind(const struct server_request *request)
{
	if (request->number > 1)
		return serves(request);
	server_say(request, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
	server_send(request, image, 1100);
	return true;
}

static void what_another_answer_left_behind_is_not_taken_for_one(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);

	(void)state;
	server_start(&server, leaves_bytes_behind, NULL);
	for (int i = 0; i < 2; i++) {
		struct transfer_request request = asker_request(&asker, peer, server.url);

		asker_ask(&asker, &request);
		got_is(0, i ? SIZE : 1000);
	}
	server_stop(&server);
	transfer_peer_put(peer);
}

static bool is_shorter_than_its_range(const struct server_request *request)
{
	if (request->number > 1)
		return serves(request);
	server_say(request, "HTTP/1.1 206 Partial\r\nContent-Range: bytes 1000-1999/%d\r\nContent-Length: 990\r\n\r\n", SIZE);
	server_send(request, image + 1000, 1000);
	return true;
}

static void a_length_that_is_not_its_ranges_is_not_believed(void **state)
{
	(void)state;
	ask(is_shorter_than_its_range, 1000, 1000, NULL);
	assert_int_equal(atomic_load(&server.requests), 2);
	got_is(1000, 1000);
}

static void ranges_in_a_row_share_a_connection(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);

	(void)state;
	server_start(&server, serves, NULL);
	for (unsigned i = 0; i < 5; i++) {
		struct transfer_request request = asker_request(&asker, peer, server.url);

		request.offset = i * 1000;
		request.length = 1000;
		asker_ask(&asker, &request);
		got_is(i * 1000, 1000);
	}
	assert_int_equal(atomic_load(&server.connections), 1);
	server_stop(&server);
	transfer_peer_put(peer);
}

static bool stalls(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE);
	server_send(request, image, 100);
	server_stall(request);
	return false;
}

static void a_stall_is_given_up(void **state)
{
	(void)state;
	ask(stalls, 0, 0, NULL);
	failed_with(ETIMEDOUT, RETRY_STALLS);
}

static bool stalls_once(const struct server_request *request)
{
	return request->number == 1 ? stalls(request) : serves(request);
}

static void a_stall_goes_on_over_another_connection(void **state)
{
	(void)state;
	ask(stalls_once, 0, 0, NULL);
	assert_int_equal(atomic_load(&server.connections), 2);
	got_is(0, SIZE);
}

/* --- what lies -------------------------------------------------------------------- */

static bool shifts(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 206 Partial\r\nContent-Range: bytes 2000-2999/%d\r\nContent-Length: 1000\r\n\r\n", SIZE);
	server_send(request, image + 2000, 1000);
	return true;
}

static void a_shifted_range_is_refused(void **state)
{
	(void)state;
	ask(shifts, 1000, 1000, NULL);
	assert_int_equal(asker.got.len, 0);
	failed_with(EBADMSG, 1);
}

static bool begins_earlier(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 206 Partial\r\nContent-Range: bytes 500-4999/%d\r\nContent-Length: 4500\r\n\r\n", SIZE);
	server_send(request, image + 500, 4500);
	return true;
}

static void a_range_that_holds_what_was_asked_for_is_cut(void **state)
{
	(void)state;
	ask(begins_earlier, 1000, 1000, NULL);
	got_is(1000, 1000);
}

static bool packs(const struct server_request *request)
{
	server_serve(request, image, 1000, "Content-Encoding: gzip\r\n");
	return true;
}

static void coding_that_was_not_asked_for_is_refused(void **state)
{
	(void)state;
	ask(packs, 0, 0, NULL);
	failed_with(EBADMSG, 1);
}

static bool says_no_http(const struct server_request *request)
{
	server_say(request, "SSH-2.0-what\r\n\r\n");
	return false;
}

static void what_is_no_http_is_refused(void **state)
{
	(void)state;
	ask(says_no_http, 0, 0, NULL);
	assert_int_equal(asker.err, EBADMSG);
	asker_free(&asker);
}

static bool floods_headers(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 2000; i++)
		server_say(request, "X-%d: %0100d\r\n", i, i);
	server_say(request, "\r\n");
	return false;
}

static void headers_have_a_limit(void **state)
{
	(void)state;
	ask(floods_headers, 0, 0, NULL);
	assert_int_equal(asker.err, EBADMSG);
	asker_free(&asker);
}

static void a_body_has_a_limit(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct transfer_request request;

	(void)state;
	server_start(&server, serves, NULL);
	request = asker_request(&asker, peer, server.url);
	request.body_max = SIZE - 1;
	asker_ask(&asker, &request);
	server_stop(&server);
	transfer_peer_put(peer);
	failed_with(EBADMSG, 1);
}

static void what_a_callback_returns_ends_it(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct transfer_request request;

	(void)state;
	server_start(&server, serves, NULL);
	request = asker_request(&asker, peer, server.url);
	asker.refuse_data = -ENOSPC;
	asker_ask(&asker, &request);
	failed_with(ENOSPC, 1);
	request = asker_request(&asker, peer, server.url);
	asker.refuse_begin = -EFBIG;
	asker_ask(&asker, &request);
	assert_int_equal(asker.got.len, 0);
	failed_with(EFBIG, 2);
	server_stop(&server);
	transfer_peer_put(peer);
}

/* --- statuses --------------------------------------------------------------------- */

static int status_now;

static bool says_status(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 %d X\r\nContent-Length: 5\r\nX-Test: said\r\n\r\nwords", status_now);
	return true;
}

static void a_status_becomes_an_errno(void **state)
{
	static const struct {
		int status, err;
		unsigned requests;
	} table[] = {
		{ 401, EACCES, 1 }, { 403, EACCES, 1 }, { 404, ENOENT, 1 }, { 410, ENOENT, 1 }, { 412, ESTALE, 1 },
		{ 416, ESTALE, 1 }, { 400, EREMOTEIO, 1 }, { 418, EREMOTEIO, 1 }, { 501, EREMOTEIO, 1 },
		{ 304, EREMOTEIO, 1 }, { 503, EREMOTEIO, RETRY_TRIES }, { 429, EREMOTEIO, RETRY_TRIES },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		status_now = table[i].status;
		ask(says_status, 0, 0, NULL);
		assert_int_equal(asker.status, table[i].status);
		assert_string_equal(asker.header, "said");
		assert_int_equal(asker.got.len, 0);
		failed_with(table[i].err, table[i].requests);
	}
}

static void statuses_that_are_wanted_are_answers(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct transfer_request request;

	(void)state;
	server_start(&server, says_status, NULL);
	request = asker_request(&asker, peer, server.url);
	request.also = (const int[]){ 300, 401, 503, 0 };
	status_now = 401;
	asker_ask(&asker, &request);
	assert_int_equal(asker.err, 0);
	assert_int_equal(asker.status, 401);
	assert_string_equal(asker.got.data, "words");
	asker_free(&asker);
	server_stop(&server);
	transfer_peer_put(peer);
}

static bool busy_once(const struct server_request *request)
{
	if (request->number > 1)
		return serves(request);
	server_say(request, "HTTP/1.1 503 Later\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n");
	return true;
}

static void a_busy_server_is_asked_again(void **state)
{
	(void)state;
	ask(busy_once, 0, 0, NULL);
	assert_int_equal(atomic_load(&server.requests), 2);
	got_is(0, SIZE);
}

static bool busy_for_long(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 429 Later\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n");
	return true;
}

static void a_server_that_wants_an_hour_is_given_up(void **state)
{
	(void)state;
	ask(busy_for_long, 0, 0, NULL);
	failed_with(EREMOTEIO, 1);
}

static void what_may_be_sent_once_is_sent_again_only_if_nothing_was_done(void **state)
{
	static const struct {
		int status;
		unsigned requests;
	} cases[] = { { 500, 1 }, { 502, 1 }, { 504, 1 }, { 503, 5 }, { 429, 5 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
		struct transfer_request request;

		server_start(&server, says_status, NULL);
		request = asker_request(&asker, peer, server.url);
		request.method = "POST";
		request.body = "secret";
		request.body_len = 6;
		request.once = true;
		status_now = cases[i].status;
		asker_ask(&asker, &request);
		failed_with(EREMOTEIO, cases[i].requests);
		server_stop(&server);
		transfer_peer_put(peer);
	}
}

static void what_may_be_sent_once_is_not_sent_again_when_its_connection_breaks(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct transfer_request request;

	(void)state;
	server_start(&server, resets_once, NULL);
	request = asker_request(&asker, peer, server.url);
	request.method = "POST";
	request.body = "secret";
	request.body_len = 6;
	request.once = true;
	asker_ask(&asker, &request);
	failed_with(EREMOTEIO, 1);
	server_stop(&server);
	transfer_peer_put(peer);
}

/* --- where it leads, and who is told what -------------------------------------------- */

static struct server other;
static char seen[16384];

static bool sees(const struct server_request *request)
{
	text_copy(seen, sizeof(seen), request->text);
	return serves(request);
}

static bool leads_to_other(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 302 There\r\nLocation: http://x:y@127.0.0.1:%d/b?sig=1\r\nContent-Length: 0\r\n\r\n",
		   other.port);
	return true;
}

static bool leads_on(const struct server_request *request)
{
	if (strstr(request->text, "GET /b"))
		return sees(request);
	server_say(request, "HTTP/1.1 301 There\r\nLocation: b\r\nContent-Length: 0\r\n\r\n");
	return true;
}

static void ask_with_credentials(bool (*answer)(const struct server_request *))
{
	struct transfer_peer *peer = peer_make("me", "pass:word", NULL);
	struct transfer_request request;
	const char *const headers[] = { "X-Auth-Token: tok", "Accept: a/b", NULL };

	server_start(&other, sees, NULL);
	server_start(&server, answer, NULL);
	request = asker_request(&asker, peer, server.url);
	request.headers = headers;
	asker_ask(&asker, &request);
	server_stop(&server);
	server_stop(&other);
	transfer_peer_put(peer);
}

static void another_host_gets_no_credentials(void **state)
{
	(void)state;
	ask_with_credentials(leads_to_other);
	got_is(0, SIZE);
	assert_non_null(strstr(seen, "GET /b?sig=1 "));
	assert_non_null(strstr(seen, "Accept: a/b\r\n"));
	assert_null(strcasestr(seen, "authorization"));
	assert_null(strstr(seen, "tok"));
}

static void the_same_host_gets_them_again(void **state)
{
	(void)state;
	ask_with_credentials(leads_on);
	assert_non_null(strstr(asker.url, "/b"));
	got_is(0, SIZE);
	assert_non_null(strstr(seen, "Authorization: Basic bWU6cGFzczp3b3Jk\r\n"));
	assert_non_null(strstr(seen, "X-Auth-Token: tok\r\n"));
}

static bool leads_in_circles(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 307 There\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
	return true;
}

static void circles_end(void **state)
{
	(void)state;
	ask(leads_in_circles, 0, 0, NULL);
	failed_with(EREMOTEIO, REDIRECTS_MAX + 1);
}

static bool leads_to_a_file(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 307 There\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n");
	return true;
}

static void only_http_is_followed(void **state)
{
	(void)state;
	ask(leads_to_a_file, 0, 0, NULL);
	failed_with(EBADMSG, 1);
}

static void a_bearer_token_is_sent_and_not_told(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, "t0ken");
	struct transfer_request request;
	char url[128];

	(void)state;
	server_start(&server, sees, NULL);
	snprintf(url, sizeof(url), "http://u:hidden@127.0.0.1:%d/x?key=hidden", server.port);
	request = asker_request(&asker, peer, url);
	request.validator = "\"v0\"";
	asker_ask(&asker, &request);
	assert_non_null(strstr(seen, "Authorization: Bearer t0ken\r\n"));
	assert_null(strstr(asker.why.text, "hidden"));
	assert_null(strstr(asker.why.text, "t0ken"));
	failed_with(ESTALE, 1);
	server_stop(&server);
	transfer_peer_put(peer);
}

/* --- when nobody is there ------------------------------------------------------------- */

static void a_port_that_nobody_has_is_unreachable(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct transfer_request request;
	uint64_t requests, retries, received;

	(void)state;
	server_start(&server, serves, NULL);
	server_stop(&server);
	request = asker_request(&asker, peer, server.url);
	request.once = true; /* nothing was sent: a connection may be tried again */
	asker_ask(&asker, &request);
	assert_int_equal(asker.status, 0);
	transfer_peer_cost(peer, &requests, &retries, &received);
	assert_true(retries >= 1);
	assert_int_equal(requests, retries + 1);
	failed_with(EHOSTUNREACH, 0);
	transfer_peer_put(peer);
}

static void a_name_that_is_none_is_unreachable(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct transfer_request request;

	(void)state;
	request = asker_request(&asker, peer, "http://no-such-host.invalid/");
	asker_ask(&asker, &request);
	assert_int_equal(asker.err, EHOSTUNREACH);
	asker_free(&asker);
	transfer_peer_put(peer);
}

static bool hangs(const struct server_request *request)
{
	server_stall(request);
	return false;
}

static void cancelling_ends_it(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct asker many[CONNECTIONS + 2];
	struct transfer *t[CONNECTIONS + 2];
	struct reason why = { 0 };

	(void)state;
	server_start(&server, hangs, NULL);
	for (int i = 0; i < CONNECTIONS + 2; i++) {
		struct transfer_request request = asker_request(&many[i], peer, server.url);

		assert_int_equal(transfer_start(&request, &t[i], &why), 0);
	}
	/* Those that run and those that wait. */
	for (int i = CONNECTIONS + 1; i >= 0; i--)
		transfer_cancel(t[i]);
	for (int i = 0; i < CONNECTIONS + 2; i++) {
		asker_wait(&many[i]);
		assert_int_equal(many[i].err, ECANCELED);
		asker_free(&many[i]);
	}
	server_stop(&server);
	transfer_peer_put(peer);
}

/* Comes for as long as somebody takes it. */
static bool has_no_end(const struct server_request *request)
{
	static const char some[64 * 1024] = "";
	ssize_t sent;

	server_say(request, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	do
		sent = send(request->fd, some, sizeof(some), MSG_NOSIGNAL);
	while (sent > 0);
	return false;
}

#define SLOWLY_UNDER_WAY 65536 /* bytes: the listing is being taken */
static atomic_size_t slowly_taken;
static sem_t slowly_under_way;

static int take_slowly(struct transfer *t, void *core, const void *bytes, size_t n, struct reason *why)
{
	(void)t;
	(void)core;
	(void)bytes;
	(void)why;

	size_t had = atomic_fetch_add(&slowly_taken, n);

	if (had < SLOWLY_UNDER_WAY && had + n >= SLOWLY_UNDER_WAY)
		sem_post(&slowly_under_way);
	usleep(300); /* no event is waited for: what writing down a page's images costs */
	return 0;
}

static void a_listing_that_is_slow_to_take_holds_up_nobody(void **state)
{
	struct transfer_peer *slow = peer_make(NULL, NULL, NULL), *quick = peer_make(NULL, NULL, NULL);
	struct transfer_request request;
	struct server endless;
	struct asker lister;
	struct transfer *t;
	struct reason why = { 0 };
	size_t before;

	(void)state;
	server_start(&endless, has_no_end, NULL);
	server_start(&server, serves, NULL);
	atomic_store(&slowly_taken, 0);
	assert_int_equal(sem_init(&slowly_under_way, 0, 0), 0);
	request = asker_request(&lister, slow, endless.url);
	request.data = take_slowly;
	request.body_max = UINT64_C(1) << 40;
	assert_int_equal(transfer_start(&request, &t, &why), 0);
	while (sem_wait(&slowly_under_way))
		assert_int_equal(errno, EINTR);
	before = atomic_load(&slowly_taken);
	request = asker_request(&asker, quick, server.url);
	asker_ask(&asker, &request);
	before = atomic_load(&slowly_taken) - before;
	transfer_cancel(t);
	asker_wait(&lister);
	assert_int_equal(lister.err, ECANCELED);
	asker_free(&lister);
	sem_destroy(&slowly_under_way);
	got_is(0, SIZE);
	server_stop(&server);
	server_stop(&endless);
	transfer_peer_put(slow);
	transfer_peer_put(quick);
	print_message("%zu bytes meanwhile\n", before);
	/* Of libcurl's 25 MiB at a time for each of the other's steps. */
	assert_true(before < 16 << 20);
}

static bool says_too_long_a_header(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 200 OK\r\nX-Long: %0200000d\r\n\r\n", 1);
	return false;
}

static void too_long_a_header_is_the_servers_fault(void **state)
{
	(void)state;
	ask(says_too_long_a_header, 0, 0, NULL);
	failed_with(EBADMSG, 1);
}

static void stopping_ends_what_runs(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);
	struct transfer_request request;
	struct transfer *t;
	struct reason why = { 0 };

	(void)state;
	server_start(&server, hangs, NULL);
	request = asker_request(&asker, peer, server.url);
	assert_int_equal(transfer_start(&request, &t, &why), 0);
	transfer_thread_stop();
	asker_wait(&asker);
	assert_int_equal(asker.err, ECANCELED);
	assert_int_equal(transfer_start(&request, &t, &why), -ECANCELED);
	asker_free(&asker);
	assert_int_equal(transfer_thread_start(&why), 0);
	server_stop(&server);
	transfer_peer_put(peer);
}

static void post(void *arg)
{
	struct asker *a = arg;

	pthread_mutex_lock(&a->lock);
	a->done = true;
	pthread_cond_signal(&a->ended);
	pthread_mutex_unlock(&a->lock);
}

static void later_calls_come_in_their_order(void **state)
{
	struct asker first, second;
	struct reason why = { 0 };

	(void)state;
	(void)asker_request(&first, NULL, "");
	(void)asker_request(&second, NULL, "");
	assert_int_equal(transfer_later(50, post, &second, &why), 0);
	assert_int_equal(transfer_later(0, post, &first, &why), 0);
	asker_wait(&first);
	asker_wait(&second);
	asker_free(&first);
	asker_free(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_image_comes),
		cmocka_unit_test(a_range_comes),
		cmocka_unit_test(a_range_ends_with_the_image),
		cmocka_unit_test(an_ignored_range_is_cut_out_of_the_whole),
		cmocka_unit_test(a_range_of_an_empty_image_is_empty),
		cmocka_unit_test(requests_in_a_row_share_a_connection),
		cmocka_unit_test(no_more_connections_than_allowed),
		cmocka_unit_test(a_broken_transfer_goes_on_where_it_stopped),
		cmocka_unit_test(a_connection_that_always_breaks_is_given_up),
		cmocka_unit_test(a_reset_is_tried_again),
		cmocka_unit_test(what_changed_behind_a_break_is_stale),
		cmocka_unit_test(another_version_than_asked_for_is_stale),
		cmocka_unit_test(a_length_that_promises_too_much_ends_with_the_image),
		cmocka_unit_test(a_range_is_over_when_it_has_come),
		cmocka_unit_test(ranges_in_a_row_share_a_connection),
		cmocka_unit_test(what_another_answer_left_behind_is_not_taken_for_one),
		cmocka_unit_test(a_length_that_is_not_its_ranges_is_not_believed),
		cmocka_unit_test(a_stall_is_given_up),
		cmocka_unit_test(a_stall_goes_on_over_another_connection),
		cmocka_unit_test(a_shifted_range_is_refused),
		cmocka_unit_test(a_range_that_holds_what_was_asked_for_is_cut),
		cmocka_unit_test(coding_that_was_not_asked_for_is_refused),
		cmocka_unit_test(what_is_no_http_is_refused),
		cmocka_unit_test(headers_have_a_limit),
		cmocka_unit_test(a_body_has_a_limit),
		cmocka_unit_test(what_a_callback_returns_ends_it),
		cmocka_unit_test(a_status_becomes_an_errno),
		cmocka_unit_test(statuses_that_are_wanted_are_answers),
		cmocka_unit_test(a_busy_server_is_asked_again),
		cmocka_unit_test(a_server_that_wants_an_hour_is_given_up),
		cmocka_unit_test(what_may_be_sent_once_is_sent_again_only_if_nothing_was_done),
		cmocka_unit_test(what_may_be_sent_once_is_not_sent_again_when_its_connection_breaks),
		cmocka_unit_test(another_host_gets_no_credentials),
		cmocka_unit_test(the_same_host_gets_them_again),
		cmocka_unit_test(circles_end),
		cmocka_unit_test(only_http_is_followed),
		cmocka_unit_test(a_bearer_token_is_sent_and_not_told),
		cmocka_unit_test(a_port_that_nobody_has_is_unreachable),
		cmocka_unit_test(a_name_that_is_none_is_unreachable),
		cmocka_unit_test(cancelling_ends_it),
		cmocka_unit_test(a_listing_that_is_slow_to_take_holds_up_nobody),
		cmocka_unit_test(too_long_a_header_is_the_servers_fault),
		cmocka_unit_test(stopping_ends_what_runs),
		cmocka_unit_test(later_calls_come_in_their_order),
	};

	return cmocka_run_group_tests(tests, all_start, all_stop);
}
