// SPDX-License-Identifier: Apache-2.0
/*
 * Checksums in a file beside the images, as coreutils write them:
 *
 *   <hex>  name            text or, with '*' for the second blank, binary
 *   \<hex>  na\nme         a name with a line's end, a carriage return or a backslash
 *   SHA256 (name) = <hex>  --tag, and BSD
 *
 * How long the digits are says which algorithm it is. Other lines are left out.
 */
#include "backend/repo/http_index.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct sum {
	const char *path, *hex; /* within the text */
};

struct checksums {
	struct buf text;
	struct sum *lines; /* by path */
	size_t len;
};

static const char *algo_of(size_t hex)
{
	switch (hex) {
	case 32:
		return "md5";
	case 40:
		return "sha1";
	case 64:
		return "sha256";
	case 96:
		return "sha384";
	case 128:
		return "sha512";
	default:
		return NULL;
	}
}

static void unescape(char *name)
{
	char *to = name;

	for (; *name; name++) {
		if (name[0] == '\\' && name[1] && strchr("nr\\", name[1])) {
			name++;
			*to++ = *name == 'n' ? '\n' : *name == 'r' ? '\r' : '\\';
		} else {
			*to++ = *name;
		}
	}
	*to = 0;
}

static char *hex_check(char *hex)
{
	for (char *c = hex; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return algo_of(strlen(hex)) && hex[strspn(hex, "0123456789abcdef")] == 0 ? hex : NULL;
}

static bool plain_parse(char *line, struct sum *sum)
{
	size_t n = strspn(line, "0123456789abcdefABCDEF");

	if (!algo_of(n) || line[n] != ' ' || (line[n + 1] != ' ' && line[n + 1] != '*'))
		return false;
	line[n] = 0;
	*sum = (struct sum){ .path = line + n + 2, .hex = hex_check(line) };
	return true;
}

static bool tagged_parse(char *line, struct sum *sum)
{
	char *open = strstr(line, " ("), *close = NULL;

	/* The last ") = ": a name may hold one too. */
	for (char *at = open; at && (at = strstr(at, ") = ")); at++)
		close = at;
	if (!open || !close || !isupper((unsigned char)*line))
		return false;
	*close = 0;
	*sum = (struct sum){ .path = open + 2, .hex = hex_check(close + 4) };
	return sum->hex != NULL;
}

static bool line_parse(char *line, struct sum *sum)
{
	bool escaped = *line == '\\';
	char *path;

	line += escaped;
	if (!plain_parse(line, sum) && !tagged_parse(line, sum))
		return false;
	path = (char *)(uintptr_t)sum->path;
	if (escaped)
		unescape(path);
	while (strncmp(path, "./", 2) == 0)
		path += 2;
	sum->path = path;
	return *path != 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct sum *)a)->path, ((const struct sum *)b)->path);
}

int checksums_parse(struct buf *text, struct checksums **out, struct reason *why)
{
	struct checksums *sums = calloc(1, sizeof(*sums));
	size_t lines = 1;

	*out = NULL;
	if (!sums)
		return reason_set(why, ENOMEM, "no memory");
	sums->text = *text;
	*text = (struct buf)BUF_INIT;
	for (size_t i = 0; i < sums->text.len; i++)
		lines += sums->text.data[i] == '\n';
	sums->lines = buf_ok(&sums->text) == 0 ? calloc(lines, sizeof(*sums->lines)) : NULL;
	if (!sums->lines) {
		checksums_free(sums);
		return reason_set(why, ENOMEM, "no memory");
	}
	for (char *line = sums->text.data; line;) {
		char *end = strchr(line, '\n');

		if (end)
			*end = 0;
		if (end && end > line && end[-1] == '\r')
			end[-1] = 0;
		if (line_parse(line, &sums->lines[sums->len]))
			sums->len++;
		line = end ? end + 1 : NULL;
	}
	if (sums->len == 0 && sums->text.len > 0) {
		checksums_free(sums);
		return reason_set(why, EBADMSG, "there is no line with a checksum in it");
	}
	qsort(sums->lines, sums->len, sizeof(*sums->lines), by_path);
	*out = sums;
	return 0;
}

void checksums_free(struct checksums *sums)
{
	if (!sums)
		return;
	buf_free(&sums->text);
	free(sums->lines);
	free(sums);
}

bool checksums_find(const struct checksums *sums, const char *path, const char **algo, const char **hex)
{
	struct sum key = { .path = path };
	const struct sum *found = sums && sums->len ?
		bsearch(&key, sums->lines, sums->len, sizeof(*sums->lines), by_path) : NULL;

	if (!found)
		return false;
	*algo = algo_of(strlen(found->hex));
	*hex = found->hex;
	return true;
}
