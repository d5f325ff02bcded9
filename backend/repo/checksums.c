// SPDX-License-Identifier: Apache-2.0
/*
 * Checksums in a file beside the images, as coreutils write them:
 *
 *   <hex>  name            text or, with '*' for the second blank, binary
 *   \<hex>  na\nme         a name with a line's end, a carriage return or a backslash
 *   SHA256 (name) = <hex>  --tag, and BSD
 *
 * How long the digits are says which algorithm it is. Other lines are left out. What is
 * kept of a line is its path, and the digest as bytes: half of what came.
 */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fabricfs/buf.h>
#include <fabricfs/checksums.h>

#define LINE_MAX_BYTES 16384 /* a digest and a path of 4,096 bytes, each of them escaped, and then some */
#define BLOCK_BYTES    65536

/* A line within the text that is being looked at. */
struct line {
	const char *path, *hex;
};

struct sum {
	uint8_t digest_len;
	unsigned char bytes[]; /* the digest, then the path and its NUL */
};

struct block {
	struct block *next;
	size_t used;
	unsigned char bytes[BLOCK_BYTES];
};

struct checksums {
	struct block *blocks;
	struct sum **sums; /* by path once all is there */
	size_t len, room;
	bool unsorted;
	struct buf line; /* that is not whole yet */
	bool overlong;	 /* it is too long to be one */
	bool any;	 /* there was any text at all */
};

static const char *path_of(const struct sum *sum)
{
	return (const char *)sum->bytes + sum->digest_len;
}

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

static bool plain_parse(char *line, struct line *sum)
{
	size_t n = strspn(line, "0123456789abcdefABCDEF");

	if (!algo_of(n) || line[n] != ' ' || (line[n + 1] != ' ' && line[n + 1] != '*'))
		return false;
	line[n] = 0;
	*sum = (struct line){ .path = line + n + 2, .hex = hex_check(line) };
	return sum->hex != NULL;
}

static bool tagged_parse(char *line, struct line *sum)
{
	char *open = strstr(line, " ("), *close = NULL;

	/* The last ") = ": a name may hold one too. */
	for (char *at = open; at && (at = strstr(at, ") = ")); at++)
		close = at;
	if (!open || !close || !isupper((unsigned char)*line))
		return false;
	*close = 0;
	*sum = (struct line){ .path = open + 2, .hex = hex_check(close + 4) };
	return sum->hex != NULL;
}

static bool line_parse(char *line, struct line *sum)
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
	return strcmp(path_of(*(const struct sum *const *)a), path_of(*(const struct sum *const *)b));
}

static unsigned nibble(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Room for a sum; none is larger than a block. */
static struct sum *sum_new(struct checksums *sums, size_t bytes)
{
	struct block *block = sums->blocks;
	struct sum *sum;

	if (!block || BLOCK_BYTES - block->used < bytes) {
		block = malloc(sizeof(*block));
		if (!block)
			return NULL;
		block->next = sums->blocks;
		block->used = 0;
		sums->blocks = block;
	}
	sum = (struct sum *)(block->bytes + block->used);
	block->used += bytes;
	return sum;
}

static int sum_add(struct checksums *sums, const struct line *line, struct reason *why)
{
	size_t digest = strlen(line->hex) / 2, path = strlen(line->path) + 1;
	struct sum *sum = sum_new(sums, sizeof(*sum) + digest + path);

	if (sum && sums->len == sums->room) {
		size_t room = sums->room ? 2 * sums->room : 64;
		struct sum **more = realloc(sums->sums, room * sizeof(struct sum *));

		if (more) {
			sums->sums = more;
			sums->room = room;
		}
	}
	if (!sum || sums->len == sums->room)
		return reason_set(why, ENOMEM, "no memory");
	sum->digest_len = (uint8_t)digest;
	for (size_t i = 0; i < digest; i++)
		sum->bytes[i] = (unsigned char)(nibble(line->hex[2 * i]) << 4 | nibble(line->hex[2 * i + 1]));
	memcpy(sum->bytes + digest, line->path, path);
	sums->sums[sums->len++] = sum;
	sums->unsorted = sums->unsorted || (sums->len > 1 && by_path(&sums->sums[sums->len - 2], &sums->sums[sums->len - 1]) > 0);
	return 0;
}

static int line_end(struct checksums *sums, struct reason *why)
{
	struct buf *text = &sums->line;
	struct line line = { 0 };
	bool overlong = sums->overlong;
	int rc = 0;

	sums->overlong = false;
	if (buf_ok(text) < 0)
		return reason_set(why, ENOMEM, "no memory");
	if (text->len > 0 && !overlong) {
		if (text->data[text->len - 1] == '\r')
			text->data[text->len - 1] = 0;
		if (line_parse(text->data, &line))
			rc = sum_add(sums, &line, why);
	}
	buf_clear(text);
	return rc;
}

struct checksums *checksums_new(void)
{
	return calloc(1, sizeof(struct checksums));
}

int checksums_feed(struct checksums *sums, const char *bytes, size_t n, struct reason *why)
{
	int rc = 0;

	sums->any = sums->any || n > 0;
	while (n > 0 && rc == 0) {
		const char *end = memchr(bytes, '\n', n);
		size_t part = end ? (size_t)(end - bytes) : n;

		if (sums->line.len + part > LINE_MAX_BYTES)
			sums->overlong = true;
		if (!sums->overlong)
			buf_add(&sums->line, bytes, part);
		if (end)
			rc = line_end(sums, why);
		part += end != NULL;
		bytes += part;
		n -= part;
	}
	return rc;
}

int checksums_end(struct checksums *sums, struct reason *why)
{
	int rc = line_end(sums, why);

	buf_free(&sums->line);
	if (rc == 0 && sums->len == 0 && sums->any)
		return reason_set(why, EBADMSG, "there is no line with a checksum in it");
	if (rc == 0 && sums->unsorted)
		qsort(sums->sums, sums->len, sizeof(struct sum *), by_path);
	return rc;
}

bool checksums_any(const struct checksums *sums)
{
	return sums->any;
}

void checksums_free(struct checksums *sums)
{
	if (!sums)
		return;
	while (sums->blocks) {
		struct block *block = sums->blocks;

		sums->blocks = block->next;
		free(block);
	}
	buf_free(&sums->line);
	free(sums->sums);
	free(sums);
}

bool checksums_find(const struct checksums *sums, const char *path, const char **algo, char hex[CHECKSUM_HEX])
{
	static const char digits[] = "0123456789abcdef";
	size_t low = 0, high = sums ? sums->len : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct sum *sum = sums->sums[middle];
		int order = strcmp(path, path_of(sum));

		if (order < 0) {
			high = middle;
		} else if (order > 0) {
			low = middle + 1;
		} else {
			for (size_t i = 0; i < sum->digest_len; i++) {
				hex[2 * i] = digits[sum->bytes[i] >> 4];
				hex[2 * i + 1] = digits[sum->bytes[i] & 15];
			}
			hex[2 * sum->digest_len] = 0;
			*algo = algo_of(2 * sum->digest_len);
			return true;
		}
	}
	return false;
}
