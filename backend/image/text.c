// SPDX-License-Identifier: Apache-2.0
/* What recognisers share. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

#define PADDING_MAX (1u << 20)

void text_from_header(char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!text[i])
			return;
		if (text[i] < 0x20 || text[i] >= 0x7f)
			text[i] = '?';
	}
	text[n] = '\0';
}

const char *text_base(const char *path)
{
	const char *base = path;

	for (; *path; path++)
		if ((*path == '/' || *path == '\\') && path[1])
			base = path + 1;
	return base;
}

/* Is this word of n bytes in the list? */
static bool text_list_has(const char *list, const char *word, size_t n)
{
	while (*list) {
		size_t len = strcspn(list, " ");

		if (len == n && !memcmp(list, word, n))
			return true;
		list += len;
		list += strspn(list, " ");
	}
	return false;
}

void text_list_add(struct buf *list, const char *word)
{
	size_t n = strcspn(word, " ");

	if (n && !(list->len && text_list_has(list->data, word, n)))
		buf_addf(list, "%s%.*s", list->len ? " " : "", (int)n, word);
}

void text_list_copy(char *out, size_t size, const char *list)
{
	size_t n = strlen(list);

	while (n && (n >= size || (list[n] && list[n] != ' ')))
		n--;
	memmove(out, list, n);
	out[n] = '\0';
}

void text_hex_id(const char *text, char *out, size_t size)
{
	size_t n;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		text += 2;
	n = strspn(text, "0123456789abcdefABCDEF");
	if (!n || text[n] || n > 8 || size < 9)
		return;
	snprintf(out, size, "%.*s%s", (int)(8 - n), "00000000", text);
	for (; *out; out++)
		*out = (char)tolower((unsigned char)*out);
}

int padding_check(const char *format, uint64_t *at, uint64_t end_at, const uint8_t *b, size_t n,
		  struct reason *why)
{
	for (size_t i = 0; i < n; i++, ++*at) {
		uint64_t after = *at + 1 - end_at;

		if (b[i] != 0x00 && b[i] != 0xff)
			return reason_set(
				why, EFBIG,
				"%s: %llu bytes after the end of the image at byte %llu, the "
				"last of them %02x: only padding of 00 or ff may follow; the image "
				"alone is head -c %llu FILE",
				format, (unsigned long long)after, (unsigned long long)end_at, b[i],
				(unsigned long long)end_at);
		if (after > PADDING_MAX)
			return reason_set(
				why, EFBIG,
				"%s: more than %u bytes after the end of the image at byte %llu",
				format, PADDING_MAX, (unsigned long long)end_at);
	}
	return 0;
}
