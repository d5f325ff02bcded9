// SPDX-License-Identifier: Apache-2.0
/* The kind `http` against a server: listings, what has not changed, ranges and versions of images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/repo/curl_api.h"
#include "backend/repo/http.h"
#include "tests/unit/http_fixture.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LATER "Sat, 21 Nov 2026 12:00:00 GMT"

static struct server server;
static struct repo_value values[16];
static struct repo_config config;
static void *repo;
static char answers[8][1024]; /* "GET /path" and what is answered, one after the other */
static struct reason why;

static const char page[] = "[{\"name\":\"a b.bit\",\"type\":\"file\",\"mtime\":\"" LATER "\",\"size\":6},"
			   "{\"name\":\"sub\",\"type\":\"directory\"}]";

static void value_add(const char *key, const char *text, int64_t number)
{
	values[config.values_len++] = (struct repo_value){ .key = key, .text = text, .number = number };
}

static void configure(void)
{
	config = (struct repo_config){ .name = "web", .kind = "http", .connect_timeout_ms = 1000, .offline_timeout_ms = 1000,
				       .values = values };
}

/* What is asked for is in the list; a 404 otherwise. */
static bool answer(const struct server_request *request)
{
	for (size_t i = 0; i + 1 < sizeof(answers) / sizeof(*answers) && answers[i][0]; i += 2) {
		size_t n = strlen(answers[i]);

		if (strncmp(request->text, answers[i], n) != 0 || request->text[n] != ' ')
			continue;
		if (answers[i + 1][0] == '!') {
			server_say(request, "HTTP/1.1 %s", answers[i + 1] + 1);
			return true;
		}
		/* "<etag> body" */
		const char *body = strchr(answers[i + 1], ' ') + 1;
		char tag[64] = "", condition[128];

		memcpy(tag, answers[i + 1], (size_t)(body - 1 - answers[i + 1]));
		snprintf(condition, sizeof(condition), "If-None-Match: %s\r\n", tag);
		if (*tag && strstr(request->text, condition)) {
			server_say(request, "HTTP/1.1 304 Same\r\nETag: %s\r\n\r\n", tag);
			return true;
		}
		server_say(request, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n",
			   *body == '[' || *body == '{' ? "application/json" : *body == '<' ? "text/html" : "text/plain", strlen(body));
		if (*tag)
			server_say(request, "ETag: %s\r\n", tag);
		server_say(request, "\r\n%s", body);
		return true;
	}
	server_say(request, "HTTP/1.1 404 None\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nnone!");
	return true;
}

static void answers_set(const char *const *texts)
{
	memset(answers, 0, sizeof(answers));
	for (size_t i = 0; texts[i]; i++)
		text_copy(answers[i], sizeof(answers[i]), texts[i]);
}
#define ANSWERS(...) answers_set((const char *const[]){ __VA_ARGS__, NULL })

static void open_with(bool (*fn)(const struct server_request *))
{
	static char url[128];

	server_start(&server, fn, NULL);
	snprintf(url, sizeof(url), "%s/fpga", server.url);
	value_add("url", url, 0);
	why = (struct reason){ 0 };
	assert_int_equal(http_kind.check(&config, &why), 0);
	assert_int_equal(http_kind.open(&config, &repo, &why), 0);
}

static void close_all(void)
{
	server_stop(&server);
	http_kind.close(repo);
}

/* --- listing ------------------------------------------------------------------------ */

struct lister {
	struct repo_list list;
	struct asker asker;
	bool all, unchanged;
};

static int on_entry(struct repo_list *list, const struct repo_entry *entry, struct reason *r)
{
	struct lister *l = list->core;
	struct buf *b = &l->asker.got;

	(void)r;
	buf_addf(b, "%s \"%.*s\" %lld %s", entry->id, (int)entry->name_len, entry->name,
		 entry->has_size ? (long long)entry->size : -1, entry->validator);
	if (entry->digest)
		buf_addf(b, " %s:%.4s", entry->digest_algo, entry->digest);
	buf_adds(b, "\n");
	return l->asker.refuse_data;
}

static void on_listed(struct repo_list *list, int err, bool all, bool unchanged, const struct reason *r)
{
	struct lister *l = list->core;

	pthread_mutex_lock(&l->asker.lock);
	l->asker.err = err;
	l->asker.why = *r;
	l->all = all;
	l->unchanged = unchanged;
	l->asker.done = true;
	pthread_cond_signal(&l->asker.ended);
	pthread_mutex_unlock(&l->asker.lock);
}

static struct lister lister;
static size_t listed; /* bytes of what the last one gave */

static void list_again(const char *wanted)
{
	char cursor[REPO_ID_MAX];

	memcpy(cursor, lister.list.cursor, sizeof(cursor));
	lister = (struct lister){ 0 };
	(void)asker_request(&lister.asker, NULL, "");
	lister.list = (struct repo_list){ .entry = on_entry, .done = on_listed, .core = &lister };
	memcpy(lister.list.cursor, cursor, sizeof(cursor));
	assert_int_equal(http_kind.list(repo, &lister.list, &why), 0);
	asker_wait(&lister.asker);
	assert_null(lister.list.kind);
	if (wanted) {
		assert_string_equal(lister.asker.why.text, "");
		assert_int_equal(lister.asker.err, 0);
		assert_string_equal(lister.asker.got.len ? lister.asker.got.data : "", wanted);
	}
	listed = lister.asker.got.len;
	asker_free(&lister.asker);
}

static void list(const char *wanted)
{
	lister = (struct lister){ 0 };
	list_again(wanted);
}

static void a_folder_lists(void **state)
{
	(void)state;
	ANSWERS("GET /fpga/", "", "GET /fpga/SHA256SUMS", "\"s1\" " SHA "  a b.bit\n");
	snprintf(answers[1], sizeof(answers[1]), " %s", page);
	configure();
	open_with(answer);
	list("a%20b.bit \"a b.bit\" 6 m1795262400-6 sha256:0123\n");
	assert_true(lister.all);
	assert_false(lister.unchanged);
	assert_string_equal(lister.list.cursor, ""); /* the page has no version: nothing can be told */
	assert_int_equal(atomic_load(&server.requests), 2);
	close_all();
}

static void folders_below_list_too(void **state)
{
	(void)state;
	ANSWERS("GET /fpga/", "", "GET /fpga/sub/", " <title>Index of /fpga/sub/</title><a href='c.bit'>c</a> 21-Nov-2026 12:00  2K"
		"<a href='deeper/'>d</a>", "GET /fpga/SHA256SUMS", " " SHA "  sub/c.bit\n");
	snprintf(answers[1], sizeof(answers[1]), " %s", page);
	configure();
	value_add("depth", NULL, 1);
	open_with(answer);
	list("a%20b.bit \"a b.bit\" 6 m1795262400-6\nsub/c.bit \"sub/c.bit\" 2048 ~h21-Nov-2026 12:00,2048 sha256:0123\n");
	assert_int_equal(atomic_load(&server.requests), 3);
	close_all();
}

static void what_has_not_changed_is_not_listed_again(void **state)
{
	(void)state;
	ANSWERS("GET /fpga/list.json", "\"m1\" {\"images\":[{\"name\":\"a\",\"url\":\"x/a.bit\",\"size\":3,\"sha256\":\"" SHA "\"}]}");
	configure();
	value_add("manifest", "list.json", 0);
	open_with(answer);
	list("x/a.bit \"a\" 3  sha256:0123\n");
	list_again("");
	assert_true(lister.unchanged);
	assert_false(lister.all);
	answers[1][2] = '2';
	list_again("x/a.bit \"a\" 3  sha256:0123\n");
	assert_false(lister.unchanged);
	assert_int_equal(atomic_load(&server.requests), 3);
	close_all();
}

static void checksums_and_page_are_unchanged_together(void **state)
{
	(void)state;
	ANSWERS("GET /fpga/", "", "GET /fpga/SHA256SUMS", "\"s1\" " SHA "  a b.bit\n");
	snprintf(answers[1], sizeof(answers[1]), "\"p1\" %s", page);
	configure();
	open_with(answer);
	list("a%20b.bit \"a b.bit\" 6 m1795262400-6 sha256:0123\n");
	list_again("");
	assert_true(lister.unchanged);
	/* Another page: the checksums have to come again. */
	answers[1][2] = '2';
	list_again("a%20b.bit \"a b.bit\" 6 m1795262400-6 sha256:0123\n");
	/* Other checksums: so has the page. */
	answers[3][2] = '2';
	answers[3][5] = 'f';
	list_again("a%20b.bit \"a b.bit\" 6 m1795262400-6 sha256:f123\n");
	list_again("");
	assert_true(lister.unchanged);
	/* None any more. */
	answers[2][0] = 0;
	list_again("a%20b.bit \"a b.bit\" 6 m1795262400-6\n");
	list_again("");
	assert_true(lister.unchanged);
	close_all();
}

static void list_fails(int err, const char *text)
{
	list(NULL);
	assert_int_equal(lister.asker.err, err);
	if (!strstr(lister.asker.why.text, text))
		print_error("%s\n", lister.asker.why.text);
	assert_non_null(strstr(lister.asker.why.text, text));
	assert_non_null(strstr(lister.asker.why.text, "repository web: "));
	assert_false(lister.all);
}

static void what_is_no_list_is_told(void **state)
{
	(void)state;
	configure();
	ANSWERS("GET /fpga/", " <html><title>Log in</title><a href='x'>x</a></html>");
	open_with(answer);
	list_fails(EBADMSG, "Log in");
	ANSWERS("GET /fpga/", " words");
	list_fails(EBADMSG, "neither HTML nor JSON");
	ANSWERS("GET /fpga/", " [{\"name\":\"a\"}");
	list_fails(EBADMSG, "breaks off");
	ANSWERS("GET /fpga/", "!200 OK\r\nContent-Length: 0\r\n\r\n");
	list_fails(EBADMSG, "empty page");
	ANSWERS("GET /fpga/", "!403 No\r\nContent-Length: 0\r\n\r\n");
	list_fails(EACCES, "403");
	ANSWERS("GET /other/", " ");
	list_fails(ENOENT, "404");
	close_all();
}

static void checksums_that_are_configured_have_to_be_there(void **state)
{
	(void)state;
	configure();
	ANSWERS("GET /fpga/", "");
	snprintf(answers[1], sizeof(answers[1]), " %s", page);
	value_add("checksums", "SHA512SUMS", 0);
	open_with(answer);
	list_fails(ENOENT, "there are no checksums");
	ANSWERS("GET /fpga/", " []", "GET /fpga/SHA512SUMS", " <html>none</html>");
	list_fails(EBADMSG, "no line with a checksum");
	close_all();
}

static void a_manifest_stays_in_its_folder(void **state)
{
	/* Some as long as the repository's own address and more. */
	static const char *const outside[] = { "http://other/x", "/etc/x", "../x", "x?y", "a/../../x", "%2e%2e/x",
					       "http://other.example/a/folder/that/is/deep/enough/x",
					       "/etc/a/folder/that/is/deep/enough/x" };
	static const char *const unsound[] = { "../x", "a/../x", "..", "./x", "a//x", "/x" };

	(void)state;
	configure();
	value_add("manifest", "m.json", 0);
	open_with(answer);
	for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++) {
		memset(answers, 0, sizeof(answers));
		text_copy(answers[0], sizeof(answers[0]), "GET /fpga/m.json");
		snprintf(answers[1], sizeof(answers[1]), " {\"images\":[{\"name\":\"a\",\"url\":\"%s\"}]}", outside[i]);
		list(NULL);
		if (listed)
			fail_msg("%s is listed", outside[i]);
		/* The same without what leads out of it is. */
		snprintf(answers[1], sizeof(answers[1]), " {\"images\":[{\"name\":\"a\",\"url\":\"b/x%zu\"}]}", i);
		list(NULL);
		assert_true(listed > 0);
	}
	for (size_t i = 0; i < sizeof(unsound) / sizeof(*unsound); i++) {
		snprintf(answers[1], sizeof(answers[1]), " {\"images\":[{\"name\":\"%s\"}]}", unsound[i]);
		list(NULL);
		if (listed)
			fail_msg("%s is listed", unsound[i]);
	}
	close_all();
}

static bool hangs(const struct server_request *request)
{
	server_stall(request);
	return false;
}

static void a_listing_is_cancelled(void **state)
{
	(void)state;
	configure();
	open_with(hangs);
	lister = (struct lister){ 0 };
	(void)asker_request(&lister.asker, NULL, "");
	lister.list = (struct repo_list){ .entry = on_entry, .done = on_listed, .core = &lister };
	assert_int_equal(http_kind.list(repo, &lister.list, &why), 0);
	http_kind.list_cancel(repo, &lister.list);
	asker_wait(&lister.asker);
	assert_int_equal(lister.asker.err, ECANCELED);
	http_kind.list_cancel(repo, &lister.list); /* too late: nothing */
	asker_free(&lister.asker);
	close_all();
}

/* --- fetching ------------------------------------------------------------------------ */

struct fetcher {
	struct repo_fetch fetch;
	struct repo_stat stat;
	struct asker asker;
	struct repo_content content;
	char validator[REPO_ID_MAX];
};

static struct fetcher fetcher;

static int on_begin(struct repo_fetch *fetch, const struct repo_content *content, struct reason *r)
{
	struct fetcher *f = fetch->core;

	(void)r;
	f->content = *content;
	text_copy(f->validator, sizeof(f->validator), content->validator);
	f->asker.begins++;
	return 0;
}

static int on_data(struct repo_fetch *fetch, const void *bytes, size_t n, struct reason *r)
{
	struct fetcher *f = fetch->core;

	(void)r;
	buf_add(&f->asker.got, bytes, n);
	return 0;
}

static void fetcher_done(struct fetcher *f, int err, const struct reason *r)
{
	pthread_mutex_lock(&f->asker.lock);
	f->asker.err = err;
	f->asker.why = *r;
	f->asker.done = true;
	pthread_cond_signal(&f->asker.ended);
	pthread_mutex_unlock(&f->asker.lock);
}

static void on_fetched(struct repo_fetch *fetch, int err, const struct reason *r)
{
	fetcher_done(fetch->core, err, r);
}

static void on_stat(struct repo_stat *stat, int err, const struct repo_content *content, const struct reason *r)
{
	struct fetcher *f = stat->core;

	assert_int_equal(err == 0, content != NULL);
	if (content) {
		f->content = *content;
		text_copy(f->validator, sizeof(f->validator), content->validator);
	}
	fetcher_done(f, err, r);
}

static void fetch(const char *id, uint64_t offset, uint64_t length, const char *validator)
{
	fetcher = (struct fetcher){ 0 };
	(void)asker_request(&fetcher.asker, NULL, "");
	fetcher.fetch = (struct repo_fetch){ .id = id, .validator = validator, .offset = offset, .length = length,
					     .begin = on_begin, .data = on_data, .done = on_fetched, .core = &fetcher };
	assert_int_equal(http_kind.fetch(repo, &fetcher.fetch, &why), 0);
	asker_wait(&fetcher.asker);
	assert_null(fetcher.fetch.kind);
	asker_free(&fetcher.asker);
}

static const char *headers_now;

static bool serves(const struct server_request *request)
{
	assert_non_null(strstr(request->text, " /fpga/a%20b.bit "));
	server_serve(request, "0123456789", 10, headers_now);
	return true;
}

static bool ignores_range(const struct server_request *request)
{
	struct server_request plain = *request;

	plain.ranged = false;
	return serves(&plain);
}

static void fetched(int err)
{
	if (fetcher.asker.err != err)
		print_error("%s\n", fetcher.asker.why.text);
	assert_int_equal(fetcher.asker.err, err);
	if (err)
		assert_non_null(strstr(fetcher.asker.why.text, "repository web: GET http://127.0.0.1:"));
}

static void a_range_of_an_image(void **state)
{
	(void)state;
	configure();
	open_with(serves);
	headers_now = "ETag: \"v1\"\r\nLast-Modified: " LATER "\r\n";
	fetch("a%20b.bit", 2, 3, "");
	fetched(0);
	assert_int_equal(fetcher.asker.begins, 1);
	assert_int_equal(fetcher.content.size, 10);
	assert_string_equal(fetcher.validator, "\"v1\"");
	assert_int_equal(fetcher.content.mtime_ns, 1795262400000000000);
	assert_false(fetcher.content.whole_only);
	fetch("a%20b.bit", 2, 0, "\"v1\"");
	fetched(0);
	fetch("a%20b.bit", 2, 0, "\"v2\"");
	fetched(ESTALE);
	/* What a listing told can be compared as well. */
	fetch("a%20b.bit", 0, 0, "m1795262400-10");
	fetched(0);
	fetch("a%20b.bit", 0, 0, "m1795262400-11");
	fetched(ESTALE);
	fetch("a%20b.bit", 0, 0, "m1795262401-10");
	fetched(ESTALE);
	fetch("a%20b.bit", 0, 0, "h21-Nov-2026 12:00,11");
	fetched(0);
	headers_now = "Last-Modified: " LATER "\r\n";
	fetch("a%20b.bit", 0, 0, "");
	assert_string_equal(fetcher.validator, "m1795262400-10");
	close_all();
}

/* Later than nanoseconds can say, and still the one that was listed. */
static void an_image_of_a_time_that_is_too_far_away_is_read(void **state)
{
	(void)state;
	configure();
	open_with(serves);
	headers_now = "Last-Modified: Fri, 31 Dec 9999 23:59:59 GMT\r\n";
	fetch("a%20b.bit", 0, 0, "");
	fetched(0);
	assert_string_equal(fetcher.validator, "m253402300799-10");
	assert_int_equal(fetcher.content.mtime_ns, INT64_C(9223372036000000000));
	fetch("a%20b.bit", 0, 0, "m253402300799-10");
	fetched(0);
	close_all();
}

static void a_server_without_ranges_says_so(void **state)
{
	(void)state;
	configure();
	open_with(ignores_range);
	headers_now = "";
	fetch("a%20b.bit", 2, 3, "");
	fetched(0);
	assert_true(fetcher.content.whole_only);
	assert_int_equal(fetcher.content.size, 10);
	fetch("a%20b.bit", 0, 0, "");
	assert_false(fetcher.content.whole_only);
	close_all();
}

static void a_page_is_no_image(void **state)
{
	(void)state;
	configure();
	open_with(serves);
	headers_now = "Content-Type: text/html; charset=utf-8\r\n";
	fetch("a%20b.bit", 0, 0, "");
	fetched(EBADMSG);
	assert_int_equal(fetcher.asker.begins, 0);
	/* Unless it is the very file that was listed. */
	headers_now = "Content-Type: text/html\r\nLast-Modified: " LATER "\r\n";
	fetch("a%20b.bit", 0, 0, "m1795262400-10");
	fetched(0);
	close_all();
}

static void ask_stat(void)
{
	fetcher = (struct fetcher){ 0 };
	(void)asker_request(&fetcher.asker, NULL, "");
	fetcher.stat = (struct repo_stat){ .id = "a%20b.bit", .done = on_stat, .core = &fetcher };
	assert_int_equal(http_kind.stat(repo, &fetcher.stat, &why), 0);
	asker_wait(&fetcher.asker);
	asker_free(&fetcher.asker);
}

static bool answers_head(const struct server_request *request)
{
	assert_int_equal(strncmp(request->text, "HEAD ", 5), 0);
	server_say(request, "HTTP/1.1 200 OK\r\nContent-Length: 1234567890123\r\nLast-Modified: " LATER "\r\n\r\n");
	return true;
}

static bool refuses_head(const struct server_request *request)
{
	if (strncmp(request->text, "HEAD ", 5) != 0)
		return serves(request);
	server_say(request, "HTTP/1.1 405 No\r\nContent-Length: 7\r\n\r\n");
	return true;
}

static void the_true_size_is_one_request(void **state)
{
	struct repo_cost cost;

	(void)state;
	configure();
	open_with(answers_head);
	ask_stat();
	assert_int_equal(fetcher.asker.err, 0);
	assert_true(fetcher.content.size == 1234567890123);
	assert_string_equal(fetcher.validator, "m1795262400-1234567890123");
	http_kind.cost(repo, &cost);
	assert_int_equal(cost.requests, 1);
	assert_int_equal(cost.received, 0);
	close_all();
}

static void a_server_without_head_tells_it_too(void **state)
{
	(void)state;
	configure();
	headers_now = "";
	open_with(refuses_head);
	for (int i = 0; i < 2; i++) {
		ask_stat();
		assert_int_equal(fetcher.asker.err, 0);
		assert_int_equal(fetcher.content.size, 10);
	}
	/* It was asked for HEAD once. */
	assert_int_equal(atomic_load(&server.requests), 3);
	close_all();
}

/* --- configuration -------------------------------------------------------------------- */

static void refused(const char *text)
{
	why = (struct reason){ 0 };
	assert_int_equal(http_kind.check(&config, &why), -EINVAL);
	assert_non_null(strstr(why.text, text));
}

static void what_makes_no_sense_is_refused(void **state)
{
	(void)state;
	configure();
	refused("url is missing");
	value_add("url", "http://h/x?y=1", 0);
	refused("without a ?");
	configure();
	value_add("url", "https://h/", 0);
	value_add("user", "me", 0);
	refused("password-file is missing");
	value_add("password-file", "/x", 0);
	value_add("token-file", "/x", 0);
	refused("one of them");
	configure();
	value_add("url", "https://h/", 0);
	value_add("key", "/x", 0);
	refused("cert is missing");
	configure();
	value_add("url", "https://h/", 0);
	value_add("depth", NULL, 1000);
	refused("depth");
}

static void missing_files_are_told_when_it_opens(void **state)
{
	static const char *const files[] = { "password-file", "token-file", "cacert", "cert" };

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		configure();
		value_add("url", "https://h/", 0);
		value_add(files[i], "/nonexistent/file", 0);
		why = (struct reason){ 0 };
		assert_int_equal(http_kind.open(&config, &repo, &why), -ENOENT);
		assert_non_null(strstr(why.text, files[i]));
		assert_non_null(strstr(why.text, "/nonexistent/file"));
	}
	configure();
	value_add("url", "https://h/", 0);
	value_add("cacert", "/etc/passwd", 0);
	assert_int_equal(http_kind.open(&config, &repo, &why), -EINVAL);
	configure();
	value_add("url", "https://h/", 0);
	value_add("manifest", "https://other/x.json", 0);
	assert_int_equal(http_kind.open(&config, &repo, &why), -EINVAL);
}

/* --- who asks ------------------------------------------------------------------------ */

static char secret_path[] = "/tmp/http_kind.XXXXXX";
static const char *taken; /* the Authorization that the server takes */

static void secret_write(const char *text)
{
	FILE *f = fopen(secret_path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static bool answer_known(const struct server_request *request)
{
	if (!strstr(request->text, taken)) {
		server_say(request, "HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n");
		return true;
	}
	return answer(request);
}

static void credentials_are_read_again_before_a_listing_when_they_were_written(void **state)
{
	int fd = mkstemp(secret_path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	secret_write("old\n");
	configure();
	value_add("token-file", secret_path, 0);
	value_add("checksums", "none", 0);
	ANSWERS("GET /fpga/", " []");
	taken = "Authorization: Bearer old\r\n";
	open_with(answer_known);
	list("");
	/* What cannot be read changes nothing, until the old ones are refused: then both are told. */
	secret_write("");
	list("");
	assert_int_equal(atomic_load(&server.requests), 2);
	taken = "Authorization: Bearer newer\r\n";
	list(NULL);
	assert_int_equal(lister.asker.err, EACCES);
	assert_non_null(strstr(lister.asker.why.text, "the credentials are refused"));
	assert_non_null(strstr(lister.asker.why.text, "cannot be read: token-file"));
	/* Images are asked for with those that the last listing had. */
	secret_write("newer\n");
	fetch("a.bit", 0, 4, "");
	assert_int_equal(fetcher.asker.err, EACCES);
	list("");
	taken = "Authorization: Bearer other\r\n";
	list(NULL);
	assert_int_equal(lister.asker.err, EACCES);
	assert_null(strstr(lister.asker.why.text, "cannot be read"));
	close_all();
	assert_int_equal(unlink(secret_path), 0);
}

static int all_start(void **state)
{
	(void)state;
	why = (struct reason){ 0 };
	return curl_api_load(&why) < 0 || transfer_thread_start(&why) < 0;
}

static int all_stop(void **state)
{
	(void)state;
	transfer_thread_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_folder_lists),
		cmocka_unit_test(folders_below_list_too),
		cmocka_unit_test(what_has_not_changed_is_not_listed_again),
		cmocka_unit_test(checksums_and_page_are_unchanged_together),
		cmocka_unit_test(what_is_no_list_is_told),
		cmocka_unit_test(checksums_that_are_configured_have_to_be_there),
		cmocka_unit_test(a_manifest_stays_in_its_folder),
		cmocka_unit_test(a_listing_is_cancelled),
		cmocka_unit_test(a_range_of_an_image),
		cmocka_unit_test(an_image_of_a_time_that_is_too_far_away_is_read),
		cmocka_unit_test(a_server_without_ranges_says_so),
		cmocka_unit_test(a_page_is_no_image),
		cmocka_unit_test(the_true_size_is_one_request),
		cmocka_unit_test(a_server_without_head_tells_it_too),
		cmocka_unit_test(what_makes_no_sense_is_refused),
		cmocka_unit_test(missing_files_are_told_when_it_opens),
		cmocka_unit_test(credentials_are_read_again_before_a_listing_when_they_were_written),
	};

	return cmocka_run_group_tests(tests, all_start, all_stop);
}
