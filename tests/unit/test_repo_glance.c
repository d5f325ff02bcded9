// SPDX-License-Identifier: Apache-2.0
/* Pages of a listing of Glance, however they are cut, and records of images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/repo/glance_page.h"

static struct reason why;
static struct buf seen;

static int record(void *core, const char *text, size_t len, struct reason *told)
{
	(void)core;
	(void)told;
	buf_addf(&seen, "<%.*s>", (int)len, text);
	return 0;
}

/* All of it in parts of `part` bytes. */
static int page(const char *text, size_t len, size_t part, char **next)
{
	struct glance_page p;
	int err = 0;

	*next = NULL;
	buf_clear(&seen);
	why = (struct reason){ 0 };
	glance_page_init(&p, record, NULL);
	for (size_t at = 0; at < len && !err; at += part)
		err = glance_page_feed(&p, text + at, len - at < part ? len - at : part, &why);
	if (!err)
		err = glance_page_end(&p, next, &why);
	glance_page_free(&p);
	return err;
}

static void a_page_is_cut_into_images_wherever_it_breaks(void **state)
{
	static const char text[] =
		" {\"first\": \"/v2/images\", \"x\":[{\"images\":[{}]}], \"images\": [ {\"id\":\"a\",\"n\":[{\"b\":1}]}\n,"
		"{\"s\":\"]}\\\"{\",\"id\":\"b\"} ], \"next\":\"/v2/images?limit=2&marker=b\",\"schema\":\"s\"} ";
	char *next;

	(void)state;
	for (size_t part = 1; part < sizeof(text); part++) {
		assert_int_equal(page(text, sizeof(text) - 1, part, &next), 0);
		assert_string_equal(seen.data, "<{\"id\":\"a\",\"n\":[{\"b\":1}]}><{\"s\":\"]}\\\"{\",\"id\":\"b\"}>");
		assert_string_equal(next, "/v2/images?limit=2&marker=b");
		free(next);
	}
	assert_int_equal(page("{\"images\":[]}", 13, 5, &next), 0);
	assert_null(next);
	assert_int_equal(seen.len, 0);
}

static void what_is_no_page_is_refused(void **state)
{
	static const char *const texts[] = {
		"", "<html>404</html>", "[]", "{}", "{\"images\":{}}", "{\"images\":[{\"id\":\"a\"}", "{\"images\":[]",
		"{\"images\":[[1]]}", "}", "{\"images\":[]}}", "{\"images\":[]}x", "{\"a\":\"images\",\"b\":[{}]}", "null",
		"{\"images\":[1]}", "{\"images\":[{},\"x\"]}", "{\"images\":[null]}",
	};
	char *next;

	(void)state;
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int err = page(texts[i], strlen(texts[i]), 3, &next);

		if (err != -EBADMSG)
			fail_msg("%s gave %d", texts[i], err);
		assert_non_null(strstr(why.text, "not a list of images"));
		assert_null(next);
	}
}

static void a_page_cannot_take_all_memory(void **state)
{
	struct buf text = BUF_INIT;
	char *next;

	(void)state;
	for (int i = 0; i < 100; i++)
		buf_adds(&text, "{\"a\":[");
	assert_int_equal(page(text.data, text.len, 100, &next), -EBADMSG);
	buf_clear(&text);
	buf_adds(&text, "{\"first\":\"");
	for (int i = 0; i < 70000; i++)
		buf_adds(&text, "x");
	assert_int_equal(page(text.data, text.len, 100, &next), -EBADMSG);
	/* One image that has too much is left out, the others are not. */
	buf_clear(&text);
	buf_adds(&text, "{\"images\":[{\"id\":\"a\"},{\"x\":\"");
	for (int i = 0; i <= GLANCE_RECORD_MAX / 16; i++)
		buf_adds(&text, "0123456789abcdef");
	buf_adds(&text, "\"},{\"id\":\"b\"}]}");
	assert_int_equal(page(text.data, text.len, 4096, &next), 0);
	assert_string_equal(seen.data, "<{\"id\":\"a\"}><{\"id\":\"b\"}>");
	buf_free(&text);
}

/* --- records ------------------------------------------------------------------------------ */

static struct glance_record r;

static int read_record(const char *text)
{
	glance_record_free(&r);
	why = (struct reason){ 0 };
	return glance_record_read(&r, text, strlen(text), "p1", &why);
}

static const char *property(const char *name)
{
	for (size_t i = 0; r.entry.properties[i]; i += 2)
		if (!strcmp(r.entry.properties[i], name))
			return r.entry.properties[i + 1];
	return NULL;
}

#define MD5    "d41d8cd98f00b204e9800998ecf8427e"
#define SHA256 "E3B0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void a_record_that_would_fill_memory_is_refused(void **state)
{
	static const char before[] = "{\"id\":\"i-1\",\"status\":\"active\",\"x\":[";
	const size_t n = 200000, at = sizeof(before) - 1;
	char *text = malloc(at + 3 * n + 8);

	(void)state;
	assert_non_null(text);
	memcpy(text, before, at);
	for (size_t i = 0; i < n; i++)
		memcpy(text + at + 3 * i, "{},", 3);
	memcpy(text + at + 3 * n - 1, "]}", 3);
	assert_int_equal(read_record(text), -EBADMSG);
	assert_non_null(strstr(why.text, "too many values"));
	free(text);
}

static void a_record_becomes_an_entry(void **state)
{
	(void)state;
	assert_int_equal(read_record(
		"{\"id\":\"i-1\",\"name\":\"a/b.bit\",\"status\":\"active\",\"size\":70000,\"owner\":\"p1\","
		"\"visibility\":\"public\",\"os_hash_algo\":\"sha256\",\"os_hash_value\":\"" SHA256 "\",\"checksum\":\"" MD5
		"\",\"updated_at\":\"2026-11-21T10:00:00Z\",\"created_at\":\"2026-11-20T10:00:00Z\",\"tags\":[\"FPGA\",\"x\"],"
		"\"accel:function_id\":\"F1\",\"fpga_part\":\"hx1k\",\"direct_url\":\"swift://u:sesame@s\",\"min_ram\":0,"
		"\"locations\":[{\"url\":\"swift://u:sesame@s\"}],\"self\":\"/v2/images/i-1\"}"), 0);
	assert_string_equal(r.entry.id, "i-1");
	assert_int_equal(r.entry.name_len, 7);
	assert_memory_equal(r.entry.name, "a/b.bit", 7);
	assert_int_equal(r.entry.rank, REPO_OWN);
	assert_int_equal(r.entry.data, REPO_DATA);
	assert_true(r.entry.has_size && r.entry.size == 70000);
	assert_int_equal(r.entry.mtime_ns, 1795255200000000000);
	assert_string_equal(r.entry.digest_algo, "sha256");
	assert_string_equal(r.entry.digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_string_equal(r.entry.validator,
			    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855+md5:" MD5);
	assert_string_equal(property("accel:function_id"), "F1");
	assert_string_equal(property("fpga_part"), "hx1k");
	assert_string_equal(property("tags"), "FPGA,x");
	assert_string_equal(property("visibility"), "public");
	assert_null(property("direct_url"));
	assert_null(property("locations"));
	assert_null(property("self"));
}

static void a_size_is_a_whole_number_that_is_exact(void **state)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t size;
	} cases[] = {
		{ "0", true, 0 }, { "4503599627370497", true, 4503599627370497 },
		{ "9007199254740991", true, 9007199254740991 }, { "9223372036854775808", false, 0 },
		{ "1000000000000000000000000000000", false, 0 }, { "-1", false, 0 }, { "1.5", false, 0 },
		{ "\"7\"", false, 0 }, { "null", false, 0 }, { "[7]", false, 0 }, { "true", false, 0 },
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "{\"id\":\"i\",\"status\":\"active\",\"virtual_size\":1%060d,\"size\":%s}", 0,
			 cases[i].text);
		assert_int_equal(read_record(text), 0);
		assert_int_equal(r.entry.has_size, cases[i].good);
		assert_int_equal(r.entry.size, cases[i].size);
	}
}

static void status_says_whether_there_are_data(void **state)
{
	(void)state;
	assert_int_equal(read_record("{\"id\":\"a\",\"status\":\"queued\",\"size\":null,\"name\":null}"), 0);
	assert_int_equal(r.entry.data, REPO_DATA_NONE);
	assert_false(r.entry.has_size);
	assert_int_equal(r.entry.name_len, 0);
	assert_string_equal(r.entry.validator, "");
	assert_null(r.entry.digest);
	assert_int_equal(read_record("{\"id\":\"a\",\"status\":\"deactivated\",\"size\":1}"), 0);
	assert_int_equal(r.entry.data, REPO_DATA_SHUT);
	assert_int_equal(read_record("{\"id\":\"a\",\"status\":\"importing\"}"), 0);
	assert_int_equal(r.entry.data, REPO_DATA_NONE);
	assert_string_equal(r.entry.status, "importing");
	assert_int_equal(read_record("{\"id\":\"a\",\"status\":\"pending_delete\"}"), -ENOENT);
	assert_int_equal(read_record("{\"id\":\"a\",\"status\":\"deleted\"}"), -ENOENT);
}

static void ranks_put_ones_own_first(void **state)
{
	static const struct {
		const char *text;
		enum repo_rank rank;
	} ranks[] = {
		{ "{\"id\":\"a\",\"owner\":\"p1\",\"visibility\":\"community\"}", REPO_OWN },
		{ "{\"id\":\"a\",\"owner\":\"p2\",\"visibility\":\"shared\"}", REPO_SHARED },
		{ "{\"id\":\"a\",\"owner\":\"p2\",\"visibility\":\"community\"}", REPO_COMMUNITY },
		{ "{\"id\":\"a\",\"owner\":\"p2\",\"visibility\":\"public\"}", REPO_PUBLIC },
		{ "{\"id\":\"a\",\"owner\":\"p2\",\"visibility\":\"private\"}", REPO_PUBLIC },
		{ "{\"id\":\"a\"}", REPO_PUBLIC },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(ranks) / sizeof(ranks[0]); i++) {
		assert_int_equal(read_record(ranks[i].text), 0);
		assert_int_equal(r.entry.rank, ranks[i].rank);
	}
}

static void a_digest_is_taken_only_if_it_can_be_one(void **state)
{
	(void)state;
	assert_int_equal(read_record("{\"id\":\"a\",\"status\":\"active\",\"os_hash_algo\":\"sha512\","
				     "\"os_hash_value\":\"" SHA256 "\",\"checksum\":\"" MD5 "\"}"), 0);
	assert_string_equal(r.entry.digest_algo, "md5");
	assert_string_equal(r.entry.digest, MD5);
	assert_string_equal(r.entry.validator, "md5:" MD5);
	assert_int_equal(read_record("{\"id\":\"a\",\"status\":\"active\",\"os_hash_algo\":\"sha3\",\"checksum\":\"zz\"}"), 0);
	assert_null(r.entry.digest);
	assert_string_equal(r.entry.validator, "active");
}

static void names_are_any_bytes_and_ids_are_not(void **state)
{
	static const char *const ids[] = { "", "a/b", "..", "a b", "a%2e", "a\\u0000b" };
	char text[64], md5[33];

	(void)state;
	assert_int_equal(read_record("{\"id\":\"a\",\"name\":\"x\\u0000y\\n\",\"p\":\"q\\u0000r\",\"q\":7}"), 0);
	assert_int_equal(r.entry.name_len, 4);
	assert_memory_equal(r.entry.name, "x\0y\n", 4);
	assert_null(property("p"));
	assert_null(property("q"));
	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		snprintf(text, sizeof(text), "{\"id\":\"%s\"}", ids[i]);
		if (!strstr(ids[i], "\\u"))
			assert_int_equal(read_record(text), -EBADMSG);
	}
	assert_int_equal(read_record("{\"id\":7}"), -EBADMSG);
	assert_int_equal(read_record("{\"id\":\"a\",\"x\":\"\xff\"}"), -EBADMSG);
	glance_validator_md5("sha512:00+md5:" MD5, md5);
	assert_string_equal(md5, MD5);
	glance_validator_md5("active", md5);
	assert_string_equal(md5, "");
}

static void many_properties_are_bounded(void **state)
{
	struct buf text = BUF_INIT;
	size_t n = 0;

	(void)state;
	buf_adds(&text, "{\"id\":\"a\",\"tags\":[\"t\"],\"owner\":\"p1\"");
	for (int i = 0; i < 400; i++)
		buf_addf(&text, ",\"k%d\":\"v\"", i);
	buf_adds(&text, "}");
	assert_int_equal(read_record(text.data), 0);
	while (r.entry.properties[n])
		n++;
	assert_int_equal(n, 2 * REPO_PROPERTIES_MAX);
	buf_free(&text);
}

static int finish(void **state)
{
	(void)state;
	glance_record_free(&r);
	buf_free(&seen);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_is_cut_into_images_wherever_it_breaks),
		cmocka_unit_test(what_is_no_page_is_refused),
		cmocka_unit_test(a_page_cannot_take_all_memory),
		cmocka_unit_test(a_record_becomes_an_entry),
		cmocka_unit_test(a_record_that_would_fill_memory_is_refused),
		cmocka_unit_test(a_size_is_a_whole_number_that_is_exact),
		cmocka_unit_test(status_says_whether_there_are_data),
		cmocka_unit_test(ranks_put_ones_own_first),
		cmocka_unit_test(a_digest_is_taken_only_if_it_can_be_one),
		cmocka_unit_test(names_are_any_bytes_and_ids_are_not),
		cmocka_unit_test(many_properties_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, finish);
}
