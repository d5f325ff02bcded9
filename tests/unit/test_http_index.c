// SPDX-License-Identifier: Apache-2.0
/* What web servers' pages, manifests and checksums say: read in pieces of any size, believed only so far. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "backend/repo/http_index.h"

/* What came, a line an entry: name|size|time|properties. */
static struct buf seen;

static int see(void *core, const struct index_entry *entry, struct reason *why)
{
	(void)core;
	(void)why;
	buf_add(&seen, entry->name, entry->name_len);
	if (entry->folder)
		buf_adds(&seen, "/");
	if (entry->has_size)
		buf_addf(&seen, "|%s%llu", entry->size_rounded ? "~" : "", (unsigned long long)entry->size);
	if (entry->mtime_s)
		buf_addf(&seen, "|%lld", (long long)entry->mtime_s);
	if (entry->url)
		buf_addf(&seen, "|url=%s", entry->url);
	if (entry->digest)
		buf_addf(&seen, "|%s=%.4s", entry->digest_algo, entry->digest);
	for (size_t i = 0; entry->properties && entry->properties[i]; i += 2)
		buf_addf(&seen, "|%s=%s", entry->properties[i], entry->properties[i + 1]);
	buf_adds(&seen, "\n");
	return 0;
}

static const struct index_sink sink = { .entry = see };

/* The same however it is cut into pieces. */
static int html_read(const char *page, const char *text)
{
	struct reason why = { 0 };
	struct buf first CLEANUP_BUF = BUF_INIT;
	int rc = 0;

	for (size_t piece = 1; piece <= 64; piece *= 8) {
		struct html_index html = { .sink = sink, .page = page };

		buf_clear(&seen);
		rc = 0;
		for (size_t at = 0; rc == 0 && at < strlen(text); at += piece)
			rc = html_index_feed(&html, text + at, strlen(text) - at < piece ? strlen(text) - at : piece, &why);
		if (rc == 0)
			rc = html_index_end(&html, &why);
		html_index_free(&html);
		if (piece == 1)
			buf_add(&first, seen.data, seen.len);
		assert_int_equal(first.len, seen.len);
		assert_true(seen.len == 0 || memcmp(first.data, seen.data, seen.len) == 0);
		assert_true(rc == 0 || why.text[0]);
	}
	return rc;
}

static void html_gives(const char *page, const char *text, const char *wanted)
{
	assert_int_equal(html_read(page, text), 0);
	assert_string_equal(seen.len ? seen.data : "", wanted);
}

static void nginx_page(void **state)
{
	(void)state;
	html_gives("/fpga/",
		   "<html>\r\n<head><title>Index of /fpga/</title></head>\r\n<body>\r\n<h1>Index of /fpga/</h1><hr><pre>"
		   "<a href=\"../\">../</a>\r\n"
		   "<a href=\"xilinx/\">xilinx/</a>                             21-Nov-2026 12:00                   -\r\n"
		   "<a href=\"a-very-long-name-which-autoindex-html-cuts-in-the-shown-text.bit\">a-very-long-name-which-"
		   "autoindex-html-cuts-in-th..&gt;</a> 21-Nov-2026 12:00               70000\r\n"
		   "<a href=\"100%25.bit\">100%.bit</a>                         21-Nov-2026 12:01                   0\r\n"
		   "<a href=\"a&amp;b%3Cc%3E.bit\">a&amp;b&lt;c&gt;.bit</a>     21-Nov-2026 12:01                 70K\r\n"
		   "<a href=\"latin1-%E9.bit\">latin1-\xe9.bit</a>              21-Nov-2026 12:01                  1G\r\n"
		   "</pre><hr></body>\r\n</html>\r\n",
		   "xilinx/|1795262400\n"
		   "a-very-long-name-which-autoindex-html-cuts-in-the-shown-text.bit|70000|1795262400\n"
		   "100%.bit|0|1795262460\na&b<c>.bit|~71680|1795262460\nlatin1-\xe9.bit|~1073741824|1795262460\n");
}

static void apache_page_of_plain_text(void **state)
{
	(void)state;
	html_gives("/fpga/",
		   "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 3.2 Final//EN\">\n<html>\n <head>\n  <title>Index of /fpga</title>\n"
		   " </head>\n <body>\n<h1>Index of /fpga</h1>\n<pre><img src=\"/icons/blank.gif\" alt=\"Icon \"> "
		   "<a href=\"?C=N;O=D\">Name</a>                    <a href=\"?C=M;O=A\">Last modified</a>      "
		   "<a href=\"?C=S;O=A\">Size</a>  <a href=\"?C=D;O=A\">Description</a><hr>"
		   "<img src=\"/icons/back.gif\" alt=\"[PARENTDIR]\"> <a href=\"/\">Parent Directory</a>                             -   \n"
		   "<img src=\"/icons/unknown.gif\" alt=\"[   ]\"> <a href=\"a.bit\">a.bit</a>                   2026-11-21 12:00   69K  \n"
		   "<img src=\"/icons/unknown.gif\" alt=\"[   ]\"> <a href=\"tiny.bit\">tiny.bit</a>                2026-11-21 12:00  123   \n"
		   "<img src=\"/icons/folder.gif\" alt=\"[DIR]\"> <a href=\"sub/\">sub/</a>                    2026-11-21 12:00    -   \n"
		   "<hr></pre>\n</body></html>\n",
		   "a.bit|~70656|1795262400\ntiny.bit|123|1795262400\nsub/|1795262400\n");
}

static void apache_page_of_a_table(void **state)
{
	(void)state;
	html_gives("/fpga/",
		   "<html><head><title>Index of /fpga</title></head><body><table>"
		   "<tr><th><a href=\"?C=N;O=D\">Name</a></th></tr>"
		   "<tr><td valign=\"top\"><a href=\"1.5%20M.bit\"><img src=\"/icons/unknown.gif\" alt=\"[   ]\"></a></td>"
		   "<td><a href=\"1.5%20M.bit\">1.5 M.bit</a></td><td align=\"right\">2026-11-21 12:00  </td>"
		   "<td align=\"right\">1.5M</td><td>2026-01-01 is when</td></tr>"
		   "</table></body></html>", "1.5 M.bit|~1572864|1795262400\n");
}

static void plain_lists_of_links(void **state)
{
	(void)state;
	html_gives("/", "<html><head><title>Directory listing for /</title></head><ul>\n<li><a href=\"a.bit\">a.bit</a></li>\n"
		   "<li><a href=dir/>dir/</a></li></ul></html>", "a.bit\ndir/\n");
	html_gives("/d/", "<title>Index of /d/</title><table><tr class=\"d\"><td class=\"n\"><a href=\"../\">..</a>/</td></tr>"
		   "<tr><td class=\"n\"><a href=\"a.bit\">a.bit</a></td><td class=\"m\">2026-Nov-21 12:00:00</td>"
		   "<td class=\"s\">68.4K</td><td class=\"t\">application/octet-stream</td></tr></table>",
		   "a.bit|~70041|1795262400\n");
}

static void links_that_lead_elsewhere(void **state)
{
	(void)state;
	html_gives("/my%20fpga/",
		   "<title>Index of</title><a href='http://other/x.bit'>x</a><a href='//other/y.bit'>y</a>"
		   "<a href='/etc/passwd'>z</a><a href='../up.bit'>u</a><a href='a/b.bit'>deep</a><a href='..'>.</a>"
		   "<a href='%2e%2e'>.</a><a href='.'>.</a><a href='a%2fb'>slash</a><a href='a%00b'>nul</a><a href='a%'>half</a>"
		   "<a href='mailto:me'>m</a><a href=''>none</a><a href='#top'>top</a><a href='x?download'>q</a>"
		   "<a name='no'>n</a><a href='./own.bit'>own</a><a href='/my fpga/abs.bit'>abs</a><a href='/my%20fpga/'>self</a>",
		   "own.bit\nabs.bit\n");
}

static void comments_and_odd_tags(void **state)
{
	(void)state;
	html_gives("/", "<title>Index of /</title><!-- <a href='no.bit'>no</a> --><!----><a\nid=1\nHREF = \"a.bit\" x>a</a> <A HREF='b.bit'>b</A>"
		   "<a title='1 > 0' href='c.bit'>c</a><!-- a --- b -->", "a.bit\nb.bit\nc.bit\n");
}

static void links_within_scripts_are_text(void **state)
{
	(void)state;
	html_gives("/", "<title>Index of /</title><style>a < b { content: '<a href=\"x.bit\">' }</style>"
		   "<script type='x'>if (a<b && c</d/) link.innerHTML = \"<a href='y.bit'>\" + '<' + '</scr'; // <!-- don't\n</SCRIPT >"
		   "<a href='a.bit'>a</a><script></script><a href='b.bit'>b</a>", "a.bit\nb.bit\n");
}

static void a_page_that_is_no_index(void **state)
{
	(void)state;
	assert_int_equal(html_read("/", "<html><head><title>Please log in</title></head><a href='x.bit'>x</a></html>"), -EBADMSG);
	assert_int_equal(seen.len, 0);
	assert_int_equal(html_read("/", "<html>nothing</html>"), -EBADMSG);
	assert_int_equal(html_read("/", "<title>Index of /</title><a href='x.bit"), -EBADMSG);
}

static int json_read(const char *text, size_t n, bool manifest)
{
	struct reason why = { 0 };
	struct buf first CLEANUP_BUF = BUF_INIT;
	int rc = 0;

	for (size_t piece = 1; piece <= 4096; piece *= 16) {
		struct json_index json;

		json_index_init(&json, &sink, manifest);
		buf_clear(&seen);
		rc = 0;
		for (size_t at = 0; rc == 0 && at < n; at += piece)
			rc = json_index_feed(&json, text + at, n - at < piece ? n - at : piece, &why);
		if (rc == 0)
			rc = json_index_end(&json, &why);
		json_index_free(&json);
		if (piece == 1)
			buf_add(&first, seen.data, seen.len);
		assert_int_equal(first.len, seen.len);
		assert_true(seen.len == 0 || memcmp(first.data, seen.data, seen.len) == 0);
		assert_true(rc == 0 || why.text[0]);
	}
	return rc;
}

static void json_gives(const char *text, bool manifest, const char *wanted)
{
	assert_int_equal(json_read(text, strlen(text), manifest), 0);
	assert_string_equal(seen.len ? seen.data : "", wanted);
}

static void nginx_json(void **state)
{
	(void)state;
	json_gives("[\r\n{ \"name\":\"xilinx\", \"type\":\"directory\", \"mtime\":\"Sat, 21 Nov 2026 12:00:00 GMT\" },\r\n"
		   "{ \"name\":\"latin1-\xe9.bit\", \"type\":\"file\", \"mtime\":\"Sat, 21 Nov 2026 12:00:00 GMT\", \"size\":70000 },\r\n"
		   "{ \"name\":\"two\\nlines \\u00e9\\ud83d\\ude00\\ud83d.bit\", \"type\":\"file\", \"size\":0 }\r\n]\r\n", false,
		   "xilinx/|1795262400\nlatin1-\xe9.bit|70000|1795262400\ntwo\nlines \xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd.bit|0\n");
	json_gives("[]", false, "");
}

static void caddy_json(void **state)
{
	(void)state;
	json_gives("[{\"name\":\"d/\",\"size\":4096,\"url\":\"./d/\",\"mod_time\":\"2026-11-21T13:00:00.123+01:00\",\"mode\":2147484141,"
		   "\"is_dir\":true,\"is_symlink\":false},{\"name\":\"a.bit\",\"size\":5,\"url\":\"./a.bit\",\"mod_time\":\"2026-11-21T12:00:00Z\","
		   "\"is_dir\":false}]", false, "d/|4096|1795262400\na.bit|5|1795262400\n");
}

static void names_that_no_index_should_have(void **state)
{
	(void)state;
	json_gives("[{\"name\":\"..\"},{\"name\":\".\"},{\"name\":\"a/b\"},{\"name\":\"a\\u0000b\"},{\"name\":\"ok\"}]", false, "ok\n");
}

static void a_manifest(void **state)
{
	(void)state;
	json_gives("{\"comment\": [1, {\"images\": []}], \"images\": [\n"
		   " {\"name\": \"blink\", \"url\": \"v1/blink.bin\", \"size\": 32220, \"modified\": \"2026-11-21T12:00:00Z\",\n"
		   "  \"md5\": \"00000000000000000000000000000000\",\n"
		   "  \"sha256\": \"ABCD000000000000000000000000000000000000000000000000000000000000\",\n"
		   "  \"part\": \"iCE40-HX1K\", \"shell\": \"s1\", \"properties\": {\"team\": \"lab\", \"n\": 3, \"on\": true, \"x\": [1, \"y\"]}},\n"
		   " {\"url\": \"other.bin\"}], \"more\": null}", true,
		   "blink|32220|1795262400|url=v1/blink.bin|sha256=abcd|part=iCE40-HX1K|shell=s1|team=lab|n=3|on=true\n|url=other.bin\n");
	json_gives("[{\"name\": \"a.bin\"}]", true, "a.bin\n");
	json_gives("{\"images\": []}", true, "");
	json_gives("[{\"part\": \"x\"}, {\"name\": \"a.bin\"}, {\"name\": \"\"}, {}]", true, "a.bin\n");
}

static void json_that_is_none(void **state)
{
	static const char *const wrong[] = {
		"", "[", "[{}", "[{]", "{}", "[1]", "[[]]", "null", "[{\"name\":}]", "[{\"name\" \"x\"}]", "[{,}]", "[{\"name\":\"x\"},]",
		"[{\"name\":\"x\"}] x", "[{\"name\":\"x\\q\"}]", "[{\"name\":\"x\n\"}]", "[{\"name\":tru}]", "[{\"size\":3}]",
		"[{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}]", "]", "<html>",
	};
	static const char *const wrong_manifests[] = {
		"{}", "{\"images\": 3}", "{\"images\": [3]}", "{\"images\": [{\"name\": \"x\", \"sha256\": \"abc\"}]}",
		"{\"images\": [{\"name\": \"x\", \"size\": -1}]}", "{\"images\": [{\"name\": \"x\", \"size\": 1e3}]}",
		"{\"images\": [{\"name\": \"x\", \"size\": 99999999999999999999}]}", "{\"images\": [{}]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(json_read(wrong[i], strlen(wrong[i]), false), -EBADMSG);
	for (size_t i = 0; i < sizeof(wrong_manifests) / sizeof(*wrong_manifests); i++)
		assert_int_equal(json_read(wrong_manifests[i], strlen(wrong_manifests[i]), true), -EBADMSG);
}

static void strings_have_a_limit(void **state)
{
	struct buf text CLEANUP_BUF = BUF_INIT;

	(void)state;
	buf_adds(&text, "[{\"name\":\"");
	for (int i = 0; i < JSON_TEXT_MAX + 4096; i++)
		buf_add(&text, "x", 1);
	buf_adds(&text, "\"}]");
	assert_int_equal(json_read(text.data, text.len, false), -EBADMSG);
}

#define HEX64 "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"

static struct checksums *sums_in_pieces(const char *text, size_t len, size_t piece)
{
	struct checksums *sums = checksums_new();
	struct reason why = { 0 };
	int rc;

	assert_non_null(sums);
	for (size_t at = 0; at < len; at += piece)
		assert_int_equal(checksums_feed(sums, text + at, len - at < piece ? len - at : piece, &why), 0);
	rc = checksums_end(sums, &why);
	if (rc == 0)
		return sums;
	assert_int_equal(rc, -EBADMSG);
	checksums_free(sums);
	return NULL;
}

static void sum_is(const struct checksums *sums, const char *path, const char *wanted)
{
	const char *algo = NULL;
	char hex[CHECKSUM_HEX] = "";

	assert_int_equal(checksums_find(sums, path, &algo, hex), wanted != NULL);
	if (!wanted)
		return;
	assert_string_equal(algo, wanted);
	assert_int_equal(strspn(hex, "0123456789abcdef"), strlen(hex));
	assert_int_equal(strncmp(hex, "0123456789abcdef", 16), 0);
}

static void checksums_in_all_forms(void **state)
{
	static const char text[] = HEX64 "  plain.bit\n" HEX64 " *binary.bit\r\n" HEX64 "  ./dir/below.bit\n"
				   "\\" HEX64 "  two\\nlines\\\\.bit\n"
				   "SHA256 (tagged (1).bit) = " HEX64 "\n"
				   "# a comment\n\n" "abc  short.bit\n" HEX64 "nothing\n"
				   "0123456789abcdef0123456789abcdef  md5.bit\n" HEX64 "  last.bit";

	(void)state;
	for (size_t piece = 1; piece < sizeof(text); piece += piece < 100 ? 1 : 97) {
		struct checksums *sums = sums_in_pieces(text, sizeof(text) - 1, piece);

		sum_is(sums, "plain.bit", "sha256");
		sum_is(sums, "binary.bit", "sha256");
		sum_is(sums, "dir/below.bit", "sha256");
		sum_is(sums, "two\nlines\\.bit", "sha256");
		sum_is(sums, "tagged (1).bit", "sha256");
		sum_is(sums, "md5.bit", "md5");
		sum_is(sums, "last.bit", "sha256");
		sum_is(sums, "short.bit", NULL);
		sum_is(sums, "nothing", NULL);
		checksums_free(sums);
	}
}

/* More than a block of them, some of which no file can have the name of. */
static void many_checksums_in_any_order(void **state)
{
	struct buf text CLEANUP_BUF = BUF_INIT;
	struct checksums *sums;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		buf_addf(&text, HEX64 "  image-%04u\n", i * 7919 % 5000);
		if (i == 1000)
			buf_addf(&text, HEX64 "  %0*d\n", 20000, 1);
	}
	sums = sums_in_pieces(text.data, text.len, 1000);
	for (unsigned i = 0; i < 5000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "image-%04u", i);
		sum_is(sums, name, "sha256");
	}
	sum_is(sums, "image-5000", NULL);
	checksums_free(sums);
}

static void a_text_without_checksums_is_none(void **state)
{
	(void)state;
	assert_null(sums_in_pieces("<html>404</html>", 16, 5));
}

static void paths_are_encoded_in_one_way(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	path_encode(&b, "a b/\xe9%+~.bit", 12, true);
	assert_string_equal(b.data, "a%20b/%E9%25%2B~.bit");
	buf_clear(&b);
	assert_true(path_decode(&b, "a%20b%2f%C3%a9", 14));
	assert_string_equal(b.data, "a b/\xc3\xa9");
	assert_false(path_decode(&b, "%00", 3));
	assert_false(path_decode(&b, "%4", 2));
	assert_false(path_decode(&b, "%zz", 3));
}

static void times(void **state)
{
	(void)state;
	assert_int_equal(time_parse("Sat, 21 Nov 2026 12:00:00 GMT"), 1795262400);
	assert_int_equal(time_parse("2026-11-21T12:00:00Z"), 1795262400);
	assert_int_equal(time_parse("2026-11-21T07:30:00.5-04:30"), 1795262400);
	assert_int_equal(time_parse("2026-13-21T12:00:00Z"), 0);
	assert_int_equal(time_parse("2026-11-21T12:00:00"), 0);
	assert_int_equal(time_parse("Sat, 21 Nov 2026 12:00:00 CET"), 0);
	assert_int_equal(time_parse(""), 0);
}

static int64_t listed_at(const char *text)
{
	struct index_entry entry = { 0 };
	char when[64] = "";

	listing_parse(text, &entry, when);
	return entry.mtime_s;
}

static void each_day_is_the_one_that_the_c_library_knows(void **state)
{
	(void)state;
	for (int day = 0; day < 400 * 365; day += 17) {
		time_t then = (time_t)day * 86400 + day % 86400;
		char text[64];
		struct tm tm;

		gmtime_r(&then, &tm);
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		assert_int_equal(time_parse(text), then);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
		assert_int_equal(time_parse(text), then);
		strftime(text, sizeof(text), "   %d-%b-%Y %H:%M   17", &tm);
		assert_int_equal(listed_at(text), then - tm.tm_sec);
		strftime(text, sizeof(text), "%Y-%b-%d %H:%M:%S 1.2M", &tm);
		assert_int_equal(listed_at(text), then);
	}
}

static void what_is_nearly_a_time_is_none(void **state)
{
	static const char *const others[] = {
		"21-Nov-20261200:00", "21-Nov-2026 12", "21-Nov-2026 12:", "21-Nov-2026", "21-No-2026 12:00",
		"21-November-2026 12:00", "2026-11-2112:00", "2026-11 12:00", "12026-11-21 12:00", "26-11-21 12:00",
		"2026-11-21 24:00", "2026-11-21 12:60", "2026-00-21 12:00", "2026-11-32 12:00", "1969-12-31 12:00",
		"2026--1-21 12:00", "2026-11-21 +2:00", "x2026-11-21 12:00",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (listed_at(others[i]))
			fail_msg("%s is taken for a time", others[i]);
		assert_int_equal(time_parse(others[i]), 0);
	}
	assert_int_equal(time_parse("2026-11-21T12:00:00+1:2:3:4"), 0);
	assert_int_equal(time_parse("2026-11-21T12:00:00.Zulu"), 0);
	assert_int_equal(listed_at("1-nov-2026 2:03"), 1793498580);
}

static int seen_free(void **state)
{
	(void)state;
	buf_free(&seen);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nginx_page),
		cmocka_unit_test(apache_page_of_plain_text),
		cmocka_unit_test(apache_page_of_a_table),
		cmocka_unit_test(plain_lists_of_links),
		cmocka_unit_test(links_that_lead_elsewhere),
		cmocka_unit_test(comments_and_odd_tags),
		cmocka_unit_test(links_within_scripts_are_text),
		cmocka_unit_test(a_page_that_is_no_index),
		cmocka_unit_test(nginx_json),
		cmocka_unit_test(caddy_json),
		cmocka_unit_test(names_that_no_index_should_have),
		cmocka_unit_test(a_manifest),
		cmocka_unit_test(json_that_is_none),
		cmocka_unit_test(strings_have_a_limit),
		cmocka_unit_test(checksums_in_all_forms),
		cmocka_unit_test(many_checksums_in_any_order),
		cmocka_unit_test(a_text_without_checksums_is_none),
		cmocka_unit_test(paths_are_encoded_in_one_way),
		cmocka_unit_test(times),
		cmocka_unit_test(each_day_is_the_one_that_the_c_library_knows),
		cmocka_unit_test(what_is_nearly_a_time_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, seen_free);
}
