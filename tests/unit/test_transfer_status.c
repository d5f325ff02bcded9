// SPDX-License-Identifier: Apache-2.0
/* The transfer thread: what a status means, where a redirect leads, and who is told credentials. */
#include "tests/unit/transfer_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, all_start, all_stop);
}
