// SPDX-License-Identifier: Apache-2.0
/* What web servers say: index pages, manifests, checksums, headers. The first byte says which. */
#include <stdlib.h>

#include "backend/repo/http_index.h"
#include "backend/repo/transfer_in.h"

#include "tests/fuzz/fuzz.h"

static int entry(void *core, const struct index_entry *e, struct reason *why)
{
	uint64_t *entries = core;

	(void)why;
	++*entries;
	fuzz_claim(e->name && strlen(e->name) <= e->name_len);
	fuzz_claim(!e->digest == !e->digest_algo);
	for (size_t i = 0; e->properties && e->properties[i]; i += 2)
		fuzz_claim(e->properties[i + 1]);
	return 0;
}

static int html_entry(void *core, const struct index_entry *e, struct reason *why)
{
	fuzz_claim(e->name_len > 0 && !memchr(e->name, '/', e->name_len) && !memchr(e->name, 0, e->name_len));
	fuzz_claim(strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0);
	return entry(core, e, why);
}

/* However it is cut, the same comes of it. */
static int html(const char *text, size_t n, size_t piece, uint64_t *entries)
{
	struct html_index index = { .sink = { html_entry, entries }, .page = "/a%20b/" };
	struct reason why = { 0 };
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < n; at += piece)
		rc = html_index_feed(&index, text + at, n - at < piece ? n - at : piece, &why);
	if (rc == 0)
		rc = html_index_end(&index, &why);
	html_index_free(&index);
	fuzz_claim(rc == 0 || (rc < 0 && why.text[0]));
	return rc;
}

static int json(const char *text, size_t n, size_t piece, bool manifest, uint64_t *entries)
{
	struct index_sink sink = { entry, entries };
	struct json_index index;
	struct reason why = { 0 };
	int rc = 0;

	json_index_init(&index, &sink, manifest);
	for (size_t at = 0; rc == 0 && at < n; at += piece)
		rc = json_index_feed(&index, text + at, n - at < piece ? n - at : piece, &why);
	if (rc == 0)
		rc = json_index_end(&index, &why);
	json_index_free(&index);
	fuzz_claim(rc == 0 || (rc < 0 && why.text[0]));
	return rc;
}

static struct checksums *sums_read(const char *text, size_t n, size_t piece)
{
	struct checksums *sums = checksums_new();
	struct reason why = { 0 };
	int rc = 0;

	fuzz_claim(sums);
	for (size_t at = 0; at < n && rc == 0; at += piece)
		rc = checksums_feed(sums, text + at, n - at < piece ? n - at : piece, &why);
	fuzz_claim(rc == 0);
	(void)checksums_end(sums, &why);
	return sums;
}

static void sums(const char *text, size_t n)
{
	struct checksums *whole = sums_read(text, n, n + 1), *pieces = sums_read(text, n, 7);
	char hex[CHECKSUM_HEX], again[CHECKSUM_HEX];
	const char *algo;

	if (checksums_find(whole, "a.bit", &algo, hex)) {
		fuzz_claim(algo && strspn(hex, "0123456789abcdef") == strlen(hex));
		fuzz_claim(checksums_find(pieces, "a.bit", &algo, again) && strcmp(hex, again) == 0);
	}
	checksums_free(whole);
	checksums_free(pieces);
}

static void headers(const char *text)
{
	struct content_range range;
	struct buf path = BUF_INIT;
	char shown[64];
	bool folder;

	if (content_range_parse(text, &range) == 0 && range.has_range)
		fuzz_claim(range.first <= range.last && (!range.has_total || range.last < range.total));
	(void)time_parse(text);
	url_show(text, shown, sizeof(shown));
	if (link_child("/a%20b/", text, &path, &folder))
		fuzz_claim(path.len > 0 && !memchr(path.data, '/', path.len));
	buf_free(&path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t first = 0, again = 0;
	char *text;
	int rc;

	if (size == 0)
		return 0;
	text = calloc(1, size);
	fuzz_claim(text);
	memcpy(text, data + 1, size - 1);
	switch (data[0] % 5) {
	case 0:
		rc = html(text, size - 1, 1, &first);
		fuzz_claim(html(text, size - 1, 7, &again) == rc && first == again);
		break;
	case 1:
	case 2:
		rc = json(text, size - 1, 1, data[0] % 5 == 2, &first);
		fuzz_claim(json(text, size - 1, 13, data[0] % 5 == 2, &again) == rc && first == again);
		break;
	case 3:
		sums(text, size - 1);
		break;
	default:
		headers(text);
	}
	free(text);
	return 0;
}
