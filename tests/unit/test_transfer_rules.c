// SPDX-License-Identifier: Apache-2.0
/* The rules of the transfer thread, without a network: when to try again, what headers and addresses mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/repo/transfer_in.h"

#define MS_NS 1000000

/* How many tries a request gets when each ends so, and how long it waits between them. */
static unsigned tries_of(enum try_end end, int64_t asked_ms, uint32_t lot, int64_t *waited_ms)
{
	struct retry retry = { 0 };
	int64_t now = 1, wait;
	unsigned tries = 1;

	*waited_ms = 0;
	while ((wait = retry_next(&retry, end, asked_ms, 10000, now, now, lot)) >= 0) {
		assert_true(tries < 1000);
		now += wait * MS_NS;
		*waited_ms += wait;
		tries++;
	}
	return tries;
}

static void tries_are_bounded(void **state)
{
	static const uint32_t lots[] = { 0, 1, 77777, UINT32_MAX };
	int64_t waited;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(tries_of(TRY_BROKEN, -1, lots[i], &waited), RETRY_TRIES);
		assert_true(waited > 500 && waited < 10000);
		assert_int_equal(tries_of(TRY_BUSY, -1, lots[i], &waited), RETRY_TRIES);
		assert_int_equal(tries_of(TRY_STALLED, -1, lots[i], &waited), RETRY_STALLS);
		assert_int_equal(tries_of(TRY_ANSWERED, -1, lots[i], &waited), 1);
		/* No connection: for as long as is configured, and not longer. */
		assert_true(tries_of(TRY_OFFLINE, -1, lots[i], &waited) >= 6);
		assert_true(waited <= 10000 && waited > 7000);
	}
}

static void what_a_server_asks_for_is_waited_but_not_for_ever(void **state)
{
	int64_t waited;

	(void)state;
	assert_int_equal(tries_of(TRY_BUSY, 3000, 0, &waited), RETRY_TRIES);
	assert_int_equal(waited, 3000 * (RETRY_TRIES - 1));
	assert_int_equal(tries_of(TRY_BUSY, RETRY_WAIT_MS + 1, 0, &waited), 1);
	assert_true(tries_of(TRY_BUSY, RETRY_WAIT_MS / 2, 0, &waited) == 3 && waited == RETRY_WAIT_MS);
}

static void being_offline_counts_from_the_first_try(void **state)
{
	struct retry retry = { 0 };
	int64_t second = INT64_C(1000) * MS_NS;

	(void)state;
	assert_int_equal(retry_connect_ms(&retry, 5000, 10000, 100 * second), 5000);
	assert_true(retry_next(&retry, TRY_OFFLINE, -1, 10000, 100 * second, 105 * second, 0) >= 0);
	assert_int_equal(retry_connect_ms(&retry, 5000, 10000, 106 * second), 4000);
	assert_int_equal(retry_next(&retry, TRY_OFFLINE, -1, 10000, 106 * second, 110 * second, 0), -1);
	/* A connection ends that. */
	assert_true(retry_next(&retry, TRY_BROKEN, -1, 10000, 200 * second, 201 * second, 0) >= 0);
	assert_int_equal(retry_connect_ms(&retry, 5000, 10000, 202 * second), 5000);
}

static void progress_begins_anew(void **state)
{
	struct retry retry = { 0 };

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_true(retry_next(&retry, TRY_BROKEN, -1, 10000, 1, 1, 0) == 0);
		retry_progress(&retry);
	}
}

static void both_forms_of_retry_after(void **state)
{
	static const char then[] = "Sat, 21 Nov 2026 12:00:30 GMT", date[] = "Sat, 21 Nov 2026 12:00:00 GMT";

	(void)state;
	assert_int_equal(retry_after("120", NULL, 0), 120000);
	assert_int_equal(retry_after("0", NULL, 0), 0);
	/* The server's clock counts where it says what it is. */
	assert_int_equal(retry_after(then, date, 0), 30000);
	assert_int_equal(retry_after(then, NULL, 1795262400), 30000);
	assert_int_equal(retry_after(date, then, 0), 0);
	assert_int_equal(retry_after(NULL, date, 0), -1);
	assert_int_equal(retry_after("soon", date, 0), -1);
	assert_int_equal(retry_after("-1", date, 0), -1);
	assert_true(retry_after("99999999999999", NULL, 0) > RETRY_WAIT_MS);
	assert_true(retry_after("99999999999999999999999", NULL, 0) < 0);
}

static void content_ranges(void **state)
{
	static const char *const wrong[] = { "", "bytes", "bytes ", "bytes 1-0/5", "bytes 0-5/5", "bytes 0-4", "bytes 0-/5",
					     "bytes -4/5", "bytes 0-4/", "bytes 0-4/x", "bytes */*", "bytes 0 -4/5", "items 0-4/5",
					     "bytes 0-18446744073709551616/*", "bytes 0-4/5 ", "bytes 0-18446744073709551615/*" };
	struct content_range range;

	(void)state;
	assert_int_equal(content_range_parse("bytes 0-4/5", &range), 0);
	assert_true(range.has_range && range.first == 0 && range.last == 4 && range.has_total && range.total == 5);
	assert_int_equal(content_range_parse("Bytes 7-7/*", &range), 0);
	assert_true(range.has_range && range.first == 7 && !range.has_total);
	assert_int_equal(content_range_parse("bytes */1234567890123", &range), 0);
	assert_true(!range.has_range && range.total == 1234567890123);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(content_range_parse(wrong[i], &range), -EBADMSG);
}

static void shown_is(const char *url, const char *wanted)
{
	char shown[256];

	url_show(url, shown, sizeof(shown));
	assert_string_equal(shown, wanted);
}

static void what_is_shown_of_an_address(void **state)
{
	(void)state;
	shown_is("https://user:pass@host:1/a/b?sig=secret#x", "https://host:1/a/b");
	shown_is("https://user:p@ss@host/a@b", "https://host/a@b");
	shown_is("https://host", "https://host");
	shown_is("host/a?b", "host/a");
	shown_is("http://host/\n\x1b", "http://host/??");
	/* As redirects have them: without a scheme, and with other addresses in their query. */
	shown_is("/login?token=secret&next=https://host/", "/login");
	shown_is("login#secret://x", "login");
	shown_is("//user:pass@host/a", "//host/a");
	shown_is("https:/user:pass@host/a", "https:/host/a");
	shown_is("https:///user:pass@host/a", "https:///host/a");
	shown_is("/a@b/c:d@e", "/a@b/c:d@e");
}

static void where_addresses_lead(void **state)
{
	char out[URL_MAX];
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(curl_api_load(&why), 0);
	assert_int_equal(url_resolve("https://h/a/b?x", "c?y", out, sizeof(out), &why), 0);
	assert_string_equal(out, "https://h/a/c?y");
	assert_int_equal(url_resolve("https://h/a/b", "//u:p@k/c#f", out, sizeof(out), &why), 0);
	assert_string_equal(out, "https://k/c");
	assert_int_equal(url_resolve("https://h/a/b", "ftp://h/c", out, sizeof(out), &why), -EBADMSG);
	assert_int_equal(url_resolve("https://h/a/b", "gopher:x", out, sizeof(out), &why), -EBADMSG);
	assert_int_equal(url_clean("http://h:99999/", out, sizeof(out), &why), -EBADMSG);
	assert_true(url_same_origin("https://h/a", "https://H:443/b"));
	assert_false(url_same_origin("https://h/a", "http://h/a"));
	assert_false(url_same_origin("https://h/a", "https://h:444/a"));
	assert_false(url_same_origin("https://h/a", "https://h.evil/a"));
	assert_string_equal(url_path("https://h/a/b"), "/a/b");
	assert_string_equal(url_path("https://h"), "");
}

static void headers_that_go_to_another_host(void **state)
{
	(void)state;
	assert_true(header_travels("Accept: x"));
	assert_true(header_travels("if-none-match: \"x\""));
	assert_false(header_travels("Authorization: Basic x"));
	assert_false(header_travels("X-Auth-Token: x"));
	assert_false(header_travels("Acceptance: x"));
	assert_false(header_travels(""));
}

/* --- secrets --------------------------------------------------------------------------- */

static char path[64];

static int secret_of(const char *text, size_t n, bool line, struct secret *secret)
{
	struct reason why = { 0 };
	int fd, rc;

	memcpy(path, "/tmp/test-secret-XXXXXX", 24);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), (ssize_t)n);
	close(fd);
	rc = secret_read(secret, "password-file", path, line, &why);
	unlink(path);
	assert_true(rc == 0 || strstr(why.text, path));
	return rc;
}

static void the_first_line_is_the_secret(void **state)
{
	struct secret secret;

	(void)state;
	assert_int_equal(secret_of("pass word\r\nmore\n", 16, true, &secret), 0);
	assert_string_equal(secret.text, "pass word");
	assert_int_equal(secret.len, 9);
	secret_free(&secret);
	assert_null(secret.text);
	assert_int_equal(secret_of("no end", 6, true, &secret), 0);
	assert_string_equal(secret.text, "no end");
	secret_free(&secret);
	assert_int_equal(secret_of("\nsecond", 7, true, &secret), -EINVAL);
	assert_int_equal(secret_of("", 0, true, &secret), -EINVAL);
	assert_int_equal(secret_of("a\0b\n", 4, true, &secret), -EINVAL);
	assert_int_equal(secret_of("all\nof it\n", 10, false, &secret), 0);
	assert_int_equal(secret.len, 10);
	secret_free(&secret);
}

static void a_secret_has_a_limit(void **state)
{
	char *much = calloc(1, SECRET_MAX + 1);
	struct secret secret;

	(void)state;
	assert_non_null(much);
	memset(much, 'x', SECRET_MAX + 1);
	assert_int_equal(secret_of(much, SECRET_MAX + 1, false, &secret), -EFBIG);
	assert_int_equal(secret_of(much, SECRET_MAX, false, &secret), 0);
	assert_int_equal(secret.len, SECRET_MAX);
	secret_free(&secret);
	free(much);
}

static void what_is_no_file_is_told(void **state)
{
	struct secret secret;
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(secret_read(&secret, "token-file", "/nonexistent/x", true, &why), -ENOENT);
	assert_non_null(strstr(why.text, "token-file /nonexistent/x"));
	assert_int_equal(secret_read(&secret, "token-file", "/", true, &why), -EISDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tries_are_bounded),
		cmocka_unit_test(what_a_server_asks_for_is_waited_but_not_for_ever),
		cmocka_unit_test(being_offline_counts_from_the_first_try),
		cmocka_unit_test(progress_begins_anew),
		cmocka_unit_test(where_addresses_lead), /* loads libcurl, which knows dates */
		cmocka_unit_test(both_forms_of_retry_after),
		cmocka_unit_test(content_ranges),
		cmocka_unit_test(what_is_shown_of_an_address),
		cmocka_unit_test(headers_that_go_to_another_host),
		cmocka_unit_test(the_first_line_is_the_secret),
		cmocka_unit_test(a_secret_has_a_limit),
		cmocka_unit_test(what_is_no_file_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
