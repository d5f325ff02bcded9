// SPDX-License-Identifier: Apache-2.0
/* What is said to Keystone, and what is made of its answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "backend/repo/cloud.h"
#include "backend/repo/keystone.h"

static char auth_url[] = "https://k/v3", where[] = "its keys", interface[] = "public";
static struct cloud cloud;
static struct keystone_session *session;
static struct reason why;

static int each_begin(void **state)
{
	(void)state;
	memset(&cloud, 0, sizeof(cloud));
	cloud.auth_url = auth_url;
	cloud.where = where;
	cloud.interface = interface;
	cloud.username = (char *)"al\"\n";
	cloud.project = (char *)"fpga";
	why = (struct reason){ 0 };
	return secret_copy(&cloud.secret, "p\\w\x01\xc3\xa9", 6);
}

static int each_end(void **state)
{
	(void)state;
	secret_free(&cloud.secret);
	keystone_session_put(session);
	session = NULL;
	return 0;
}

/* --- what is said ---------------------------------------------------------------------- */

static void said(const char *wanted)
{
	struct secret body = { 0 };
	json_t *found, *want = json_loads(wanted, 0, NULL);

	assert_non_null(want);
	assert_int_equal(keystone_request(&cloud, &body), 0);
	found = json_loads(body.text, 0, NULL);
	if (!found || !json_equal(found, want))
		fail_msg("%s", body.text);
	assert_int_equal(body.len, strlen(body.text));
	json_decref(found);
	json_decref(want);
	secret_free(&body);
}

static void a_password_is_said_with_its_domain_and_scope(void **state)
{
	(void)state;
	cloud.user_domain = (char *)"Users";
	said("{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":{\"name\":\"al\\\"\\n\","
	     "\"domain\":{\"name\":\"Users\"},\"password\":\"p\\\\w\\u0001\xc3\xa9\"}}},"
	     "\"scope\":{\"project\":{\"name\":\"fpga\",\"domain\":{\"name\":\"Users\"}}}}}");
	cloud.user_id = (char *)"u1";
	cloud.project_id = (char *)"p1";
	said("{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":{\"id\":\"u1\","
	     "\"password\":\"p\\\\w\\u0001\xc3\xa9\"}}},\"scope\":{\"project\":{\"id\":\"p1\"}}}}");
}

static void a_name_without_domain_is_of_the_default_one(void **state)
{
	(void)state;
	said("{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":{\"name\":\"al\\\"\\n\","
	     "\"domain\":{\"id\":\"default\"},\"password\":\"p\\\\w\\u0001\xc3\xa9\"}}},"
	     "\"scope\":{\"project\":{\"name\":\"fpga\",\"domain\":{\"id\":\"default\"}}}}}");
}

static void an_application_credential_asks_for_no_scope(void **state)
{
	(void)state;
	cloud.auth = CLOUD_APPLICATION;
	cloud.application_id = (char *)"a1";
	said("{\"auth\":{\"identity\":{\"methods\":[\"application_credential\"],\"application_credential\":"
	     "{\"id\":\"a1\",\"secret\":\"p\\\\w\\u0001\xc3\xa9\"}}}}");
	cloud.application_id = NULL;
	cloud.application = (char *)"mirror";
	said("{\"auth\":{\"identity\":{\"methods\":[\"application_credential\"],\"application_credential\":"
	     "{\"name\":\"mirror\",\"user\":{\"name\":\"al\\\"\\n\",\"domain\":{\"id\":\"default\"}},"
	     "\"secret\":\"p\\\\w\\u0001\xc3\xa9\"}}}}");
}

static void a_token_is_given_for_another(void **state)
{
	(void)state;
	cloud.auth = CLOUD_TOKEN;
	cloud.project = NULL;
	said("{\"auth\":{\"identity\":{\"methods\":[\"token\"],\"token\":{\"id\":\"p\\\\w\\u0001\xc3\xa9\"}}}}");
}

/* --- what is answered -------------------------------------------------------------------- */

#define TOKEN(project, catalogue)                                                                  \
	"{\"token\":{\"issued_at\":\"2026-11-21T10:00:00.000000Z\",\"expires_at\":\"2026-11-21T11:00:00.5Z\"," \
	project "\"catalog\":[" catalogue "]}}"
#define PROJECT "\"project\":{\"id\":\"p1\",\"name\":\"fpga\"},"
#define IMAGE(endpoints) "{\"type\":\"compute\",\"endpoints\":[]},{\"type\":\"image\",\"endpoints\":[" endpoints "]}"
#define AT(interface, region, url) \
	"{\"interface\":\"" interface "\",\"region_id\":\"" region "\",\"url\":\"" url "\"}"

static int answer(const char *text)
{
	why = (struct reason){ 0 };
	keystone_session_put(session);
	session = NULL;
	return keystone_answer(&cloud, text, strlen(text), &session, &why);
}

static void a_session_has_project_lifetime_and_addresses(void **state)
{
	(void)state;
	assert_int_equal(answer(TOKEN(PROJECT, IMAGE(AT("internal", "R1", "http://i/") ","
						     AT("publicURL", "R2", "https://g2:9292/image/v2.9/") ","
						     AT("public", "R1", "https://g1/v2") "," AT("public", "R1", "no")))), 0);
	assert_string_equal(session->project_id, "p1");
	assert_int_equal(session->lifetime_ms, 3600500);
	assert_int_equal(session->endpoints_len, 2);
	assert_string_equal(session->endpoints[0].url, "https://g2:9292/image");
	assert_string_equal(session->endpoints[0].region, "R2");
	assert_string_equal(session->endpoints[1].url, "https://g1");
}

static void an_answer_that_would_fill_memory_is_refused(void **state)
{
	static const char before[] = "{\"token\":{" PROJECT "\"expires_at\":null,\"x\":[";
	const size_t n = 200000, at = sizeof(before) - 1;
	char *text = malloc(at + 3 * n + 8);

	(void)state;
	cloud.endpoint = (char *)"https://own";
	assert_non_null(text);
	memcpy(text, before, at);
	for (size_t i = 0; i < n; i++)
		memcpy(text + at + 3 * i, "{},", 3);
	memcpy(text + at + 3 * n - 1, "]}}", 4);
	assert_int_equal(answer(text), -EBADMSG);
	assert_non_null(strstr(why.text, "more values than"));
	/* So many are no reason. */
	memcpy(text + at + 3 * 1000 - 1, "]}}", 4);
	assert_int_equal(answer(text), 0);
	free(text);
}

static void a_region_is_kept_to_and_others_are_named(void **state)
{
	const char *text = TOKEN(PROJECT, IMAGE(AT("public", "R2", "https://g2") "," AT("public", "R1", "https://g1")));

	(void)state;
	cloud.region = (char *)"R1";
	assert_int_equal(answer(text), 0);
	assert_int_equal(session->endpoints_len, 1);
	assert_string_equal(session->endpoints[0].url, "https://g1");
	cloud.region = (char *)"R3";
	assert_int_equal(answer(text), -EREMOTEIO);
	assert_non_null(strstr(why.text, "in region 'R3'; it has one in: R2, R1"));
	cloud.region = NULL;
	assert_int_equal(answer(TOKEN(PROJECT, "{\"type\":\"compute\"}")), -EREMOTEIO);
	assert_non_null(strstr(why.text, "no image service for this project"));
	assert_int_equal(answer(TOKEN(PROJECT, IMAGE(AT("admin", "R1", "https://g")))), -EREMOTEIO);
	assert_non_null(strstr(why.text, "has no public address"));
}

static void a_token_of_an_encrypted_login_goes_to_no_plain_address(void **state)
{
	const char *mixed = TOKEN(PROJECT, IMAGE(AT("public", "R1", "http://g1") "," AT("public", "R2", "https://g2")));
	const char *plain = TOKEN(PROJECT, IMAGE(AT("public", "R1", "http://g1:9292/x/v2/")));
	char http[] = "http://k/v3";

	(void)state;
	assert_int_equal(answer(mixed), 0);
	assert_int_equal(session->endpoints_len, 1);
	assert_string_equal(session->endpoints[0].url, "https://g2");
	assert_int_equal(answer(plain), -EREMOTEIO);
	assert_non_null(strstr(why.text, "at http://g1:9292/x, which is not encrypted as Keystone is"));
	/* Unless that is said, or the address is written down, or Keystone is not encrypted either. */
	cloud.allow_http = true;
	assert_int_equal(answer(plain), 0);
	assert_string_equal(session->endpoints[0].url, "http://g1:9292/x");
	cloud.allow_http = false;
	cloud.auth_url = http;
	assert_int_equal(answer(mixed), 0);
	assert_int_equal(session->endpoints_len, 2);
	cloud.auth_url = auth_url;
	cloud.endpoint = (char *)"http://own";
	assert_int_equal(answer(plain), 0);
	assert_string_equal(session->endpoints[0].url, "http://own");
}

static void an_address_of_ones_own_needs_no_catalogue(void **state)
{
	(void)state;
	cloud.endpoint = (char *)"https://own:1/x/v2/";
	assert_int_equal(answer("{\"token\":{" PROJECT "\"expires_at\":null}}"), 0);
	assert_string_equal(session->endpoints[0].url, "https://own:1/x");
	assert_int_equal(session->lifetime_ms, 0);
}

static void a_token_for_no_project_or_another_one_is_refused(void **state)
{
	(void)state;
	assert_int_equal(answer(TOKEN("", IMAGE(AT("public", "R1", "https://g")))), -EACCES);
	assert_non_null(strstr(why.text, "for no project"));
	assert_int_equal(answer(TOKEN("\"project\":{\"id\":\"p2\",\"name\":\"other\"},",
				      IMAGE(AT("public", "R1", "https://g")))), -EACCES);
	assert_non_null(strstr(why.text, "for project 'other'"));
	cloud.project_id = (char *)"p2";
	assert_int_equal(answer(TOKEN(PROJECT, IMAGE(AT("public", "R1", "https://g")))), -EACCES);
	/* An application credential has its own. */
	cloud.auth = CLOUD_APPLICATION;
	assert_int_equal(answer(TOKEN(PROJECT, IMAGE(AT("public", "R1", "https://g")))), 0);
}

static void what_is_not_keystones_is_refused(void **state)
{
	static const char *const texts[] = { "", "<html>", "{}", "[]", "{\"token\":[]}", "{\"token\":{}}",
					     "{\"token\":{" PROJECT "\"expires_at\":\"soon\"}}",
					     "{\"token\":{" PROJECT "\"expires_at\":\"2026-11-21T11:00:00Z\"}}",
					     "{\"token\":{\"project\":7,\"catalog\":7}}" };

	(void)state;
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_true(answer(texts[i]) < 0);
		assert_true(why.text[0]);
		assert_null(session);
	}
}

static void times_are_read_in_the_forms_that_servers_have(void **state)
{
	static const char *const wrong[] = { "", "2026", "2026-11-21", "2026-13-01T00:00:00Z", "2026-11-21 10:00:00",
					     "2026-11-21T10:00:00X", "2026-11-21T10:00:00+1", "1969-01-01T00:00:00Z",
					     "2026-11-21T10:00:00Zz" };
	(void)state;
	assert_int_equal(keystone_time_ns("1970-01-01T00:00:01Z"), 1000000000);
	assert_int_equal(keystone_time_ns("2026-11-21T10:00:00.25Z"), 1795255200250000000);
	assert_int_equal(keystone_time_ns("2026-11-21T10:00:00"), 1795255200000000000);
	assert_int_equal(keystone_time_ns("2026-11-21T12:30:00+02:30"), 1795255200000000000);
	assert_int_equal(keystone_time_ns("2026-11-21T08:00:00.123456789123-0200"), 1795255200123456789);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (keystone_time_ns(wrong[i]))
			fail_msg("taken: %s", wrong[i]);
	assert_int_equal(keystone_time_ns(NULL), 0);
	/* What never ends. */
	assert_true(keystone_time_ns("9999-12-31T23:59:59.999999Z") > keystone_time_ns("2200-01-01T00:00:00Z"));
	assert_true(keystone_time_ns("9999-12-31T23:59:59-2359") > 0);
}

static void addresses_lose_slashes_and_version(void **state)
{
	static const char *const pairs[][2] = {
		{ "https://g", "https://g" },	      { "https://g/", "https://g" },
		{ "https://g//v2//", "https://g" },   { "https://g:1/image/v2.16", "https://g:1/image" },
		{ "http://g/v2x", "http://g/v2x" },   { "http://g/v2/x", "http://g/v2/x" },
		{ "ftp://g", NULL },		      { "https://", NULL },
		{ "https:///x", NULL },		      { "https://u@g", NULL },
		{ "https://g/a b", NULL },	      { "https://g?x", NULL },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		char *url = keystone_endpoint_url(pairs[i][0]);

		if (pairs[i][1])
			assert_string_equal(url ? url : "none", pairs[i][1]);
		else
			assert_null(url);
		free(url);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, each_begin, each_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_password_is_said_with_its_domain_and_scope),
		TEST(a_name_without_domain_is_of_the_default_one),
		TEST(an_application_credential_asks_for_no_scope),
		TEST(a_token_is_given_for_another),
		TEST(a_session_has_project_lifetime_and_addresses),
		TEST(a_region_is_kept_to_and_others_are_named),
		TEST(an_answer_that_would_fill_memory_is_refused),
		TEST(a_token_of_an_encrypted_login_goes_to_no_plain_address),
		TEST(an_address_of_ones_own_needs_no_catalogue),
		TEST(a_token_for_no_project_or_another_one_is_refused),
		TEST(what_is_not_keystones_is_refused),
		TEST(times_are_read_in_the_forms_that_servers_have),
		TEST(addresses_lose_slashes_and_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
