// SPDX-License-Identifier: Apache-2.0
/* Answers that contradict what was asked for, or what came before. */
#include "tests/unit/transfer_fixture.h"

/* --- how long it is -------------------------------------------------------------------------------- */

/* It breaks off, and is longer when it goes on; nothing else tells that it was replaced. */
static bool grows(const struct server_request *request)
{
	if (request->number == 1) {
		server_say(request, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE - 5);
		server_send(request, image, 5000);
		return false;
	}
	server_serve(request, image, SIZE, "");
	return true;
}

static void another_length_behind_a_break_is_another_image(void **state)
{
	(void)state;
	ask(grows, 0, 0, NULL);
	assert_int_equal(asker.got.len, 5000);
	failed_with(ESTALE, 2);
}

/* Its length is not that of its range: it is not known which bytes these are. */
static bool has_other_bytes(const struct server_request *request)
{
	if (request->number == 1) {
		server_say(request, "HTTP/1.1 206 Partial\r\nContent-Range: bytes 1000-1999/%d\r\n"
			   "Content-Length: 990\r\n\r\n", SIZE);
		server_send(request, image + 7000, 990);
		return true;
	}
	server_serve(request, image, SIZE, "");
	return true;
}

static void bytes_of_a_length_that_is_not_its_ranges_are_not_taken(void **state)
{
	(void)state;
	ask(has_other_bytes, 1000, 1000, NULL);
	assert_int_equal(atomic_load(&server.requests), 2);
	got_is(1000, 1000);
}

static bool ends_at_500(const struct server_request *request)
{
	server_say(request, "HTTP/1.1 416 Range\r\nContent-Range: bytes */500\r\nContent-Length: 0\r\n\r\n");
	return true;
}

static void what_is_shorter_than_where_it_is_asked_for_was_replaced(void **state)
{
	(void)state;
	ask(ends_at_500, 1000, 100, NULL);
	assert_int_equal(asker.begins, 0);
	failed_with(ESTALE, 1);
	/* Just at its end there is nothing more, and nothing wrong. */
	ask(ends_at_500, 500, 100, NULL);
	assert_int_equal(asker.got.len, 0);
	assert_int_equal(asker.err, 0);
	asker_free(&asker);
}

/* --- what it says ------------------------------------------------------------------------------------ */

static int first_status;

static bool is_busy_first(const struct server_request *request)
{
	if (request->number == 1)
		server_say(request, "HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n", first_status);
	else
		server_serve(request, image, SIZE, "");
	return true;
}

static void statuses_of_a_moment_are_tried_again_and_others_are_not(void **state)
{
	static const int moments[] = { 408, 425, 429, 500, 502, 503, 504 }, facts[] = { 400, 409, 501, 505 };

	(void)state;
	for (size_t i = 0; i < sizeof(moments) / sizeof(*moments); i++) {
		first_status = moments[i];
		ask(is_busy_first, 0, 0, NULL);
		assert_int_equal(atomic_load(&server.requests), 2);
		got_is(0, SIZE);
	}
	for (size_t i = 0; i < sizeof(facts) / sizeof(*facts); i++) {
		first_status = facts[i];
		ask(is_busy_first, 0, 0, NULL);
		failed_with(EREMOTEIO, 1);
	}
}

/* What lies packed on the server is announced as coded by some. */
static bool announces_gzip(const struct server_request *request)
{
	server_serve(request, image, SIZE, "Content-Encoding: gzip\r\n");
	return true;
}

static void a_file_that_lies_there_packed_is_its_bytes(void **state)
{
	static const struct {
		const char *path;
		int err;
	} rows[] = { { "/a.bin.gz", 0 }, { "/a.tgz", 0 }, { "/a.xz", 0 }, { "/a.zst?v=1", 0 },
		     { "/a.bin", EBADMSG }, { "/a.gz/b", EBADMSG }, { "/a.bin?x=.gz", EBADMSG } };
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);

	(void)state;
	server_start(&server, announces_gzip, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct transfer_request request;
		char url[128];

		snprintf(url, sizeof(url), "%s%s", server.url, rows[i].path);
		request = asker_request(&asker, peer, url);
		asker_ask(&asker, &request);
		assert_int_equal(asker.err, rows[i].err);
		if (rows[i].err)
			asker_free(&asker);
		else
			got_is(0, SIZE);
	}
	server_stop(&server);
	transfer_peer_put(peer);
}

/* On a connection that an earlier answer was not done with, it seems. */
static bool is_no_http_the_second_time(const struct server_request *request)
{
	if (request->number == 2) {
		server_say(request, "the rest of something else\r\n\r\n");
		return false;
	}
	server_serve(request, image, SIZE, "");
	return true;
}

static void what_comes_on_a_used_connection_is_asked_for_on_another(void **state)
{
	struct transfer_peer *peer = peer_make(NULL, NULL, NULL);

	(void)state;
	server_start(&server, is_no_http_the_second_time, NULL);
	for (int i = 0; i < 2; i++) {
		struct transfer_request request = asker_request(&asker, peer, server.url);

		asker_ask(&asker, &request);
		got_is(0, SIZE);
	}
	assert_int_equal(atomic_load(&server.requests), 3);
	assert_int_equal(atomic_load(&server.connections), 2);
	server_stop(&server);
	transfer_peer_put(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_length_behind_a_break_is_another_image),
		cmocka_unit_test(bytes_of_a_length_that_is_not_its_ranges_are_not_taken),
		cmocka_unit_test(what_is_shorter_than_where_it_is_asked_for_was_replaced),
		cmocka_unit_test(statuses_of_a_moment_are_tried_again_and_others_are_not),
		cmocka_unit_test(a_file_that_lies_there_packed_is_its_bytes),
		cmocka_unit_test(what_comes_on_a_used_connection_is_asked_for_on_another),
	};

	return cmocka_run_group_tests(tests, all_start, all_stop);
}
