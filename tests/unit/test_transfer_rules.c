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

#include <fabricfs/url.h>

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

/* What check-config takes, a request takes too. */
static void what_the_configuration_takes_libcurl_takes(void **state)
{
	static const char *const good[] = {
		"http://h", "https://h:1", "https://h:65535/", "http://a.b-c.example./x/y", "http://127.0.0.1:80?x",
		"https://[::1]/", "https://[2001:db8::1]:443/x", "https://[fe80::1%25eth0]/", "http://h/%zz/a//../b#f",
		"http://1.2.3.999/", "http://0x7f.1/", "http://a_b/{}|\\^`\"<>", "http://h#x", "http://9",
		"http://h/a@b:c",
	};
	static const char *const bad[] = {
		"", "h", "//h/", "ftp://h", "HTTP://h", "file:///etc/passwd", "javascript:alert(1)", "http:/h", "http://",
		"https:///x", "http://:80/", "http://u@h/", "http://u:p@h", "http://h:/", "http://h:0", "http://h:65536",
		"http://h:99999/", "http://h:-1", "http://h:8x", "http://h:80:80", "http://[::1/x", "http://[::1]x",
		"http://[]", "http://[1.2.3.4]", "http://[::1%25]", "http://[::1%eth0]", "http://[fffff::]", "http://::1/",
		"http://.h", "http://a..b", "http://-h", "http://h\\x", "http://h%41/", "http://h/a b", "http://h/\n",
		"http://h/\x7f", "http://h\xc3\xa9/", "http://h/\xff", "http://a*b", "http://h;x",
	};
	char out[URL_MAX], origin[URL_ORIGIN_MAX], long_host[400] = "http://";
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(curl_api_load(&why), 0);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		if (url_fault(good[i]))
			fail_msg("%s: %s", good[i], url_fault(good[i]));
		if (url_clean(good[i], out, sizeof(out), &why) < 0)
			fail_msg("not taken: %s: %s", good[i], why.text);
		url_origin(good[i], origin);
		assert_true(url_same_origin(good[i], origin));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (!url_fault(bad[i]))
			fail_msg("taken: %s", bad[i]);
	memset(long_host + 7, 'a', 64);
	assert_non_null(url_fault(long_host));
	for (size_t i = 7; i < 7 + 300; i++)
		long_host[i] = i % 10 ? 'a' : '.';
	assert_non_null(url_fault(long_host));
	url_origin("https://H:0443/x", origin);
	assert_string_equal(origin, "https://h:443");
	url_origin("http://[::1]", origin);
	assert_string_equal(origin, "http://[::1]:80");
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
		cmocka_unit_test(what_the_configuration_takes_libcurl_takes),
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
