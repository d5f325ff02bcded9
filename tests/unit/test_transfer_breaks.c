// SPDX-License-Identifier: Apache-2.0
/* The transfer thread against a server that breaks, stalls and lies. */
#include "tests/unit/transfer_fixture.h"

/* --- what breaks ------------------------------------------------------------------ */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, all_start, all_stop);
}
