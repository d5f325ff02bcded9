// SPDX-License-Identifier: Apache-2.0
/* Headers of HTTP: what an answer says of the bytes that follow it. Pure. */
#include "backend/repo/transfer_in.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

bool number_parse(const char *text, uint64_t *value)
{
	uint64_t n = 0;

	if (!isdigit((unsigned char)*text))
		return false;
	for (; isdigit((unsigned char)*text); text++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return false;
	*value = n;
	return *text == 0;
}

/* The number before `end` in *text, which is moved behind it. */
static bool number_until(const char **text, char end, uint64_t *value)
{
	char digits[24];
	size_t n = strcspn(*text, "-/");

	if (n == 0 || n >= sizeof(digits) || (*text)[n] != end)
		return false;
	memcpy(digits, *text, n);
	digits[n] = 0;
	*text += n + 1;
	return number_parse(digits, value);
}

int content_range_parse(const char *value, struct content_range *range)
{
	*range = (struct content_range){ 0 };
	if (strncasecmp(value, "bytes", 5) != 0 || (value[5] != ' ' && value[5] != '='))
		return -EBADMSG;
	value += 6;
	while (*value == ' ')
		value++;
	if (strncmp(value, "*/", 2) == 0) {
		value += 2;
	} else {
		range->has_range = true;
		if (!number_until(&value, '-', &range->first) || !number_until(&value, '/', &range->last) ||
		    range->last < range->first || range->last == UINT64_MAX)
			return -EBADMSG;
	}
	if (strcmp(value, "*") == 0)
		return range->has_range ? 0 : -EBADMSG;
	range->has_total = true;
	if (!number_parse(value, &range->total) || (range->has_range && range->last >= range->total))
		return -EBADMSG;
	return 0;
}

const char *header_find(const struct buf *headers, const char *name)
{
	const char *found = NULL;
	size_t len = strlen(name);

	for (size_t at = 0; at < headers->len; at += strlen(headers->data + at) + 1) {
		const char *line = headers->data + at;

		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		found = line + len + 1;
		found += strspn(found, " \t");
	}
	return found;
}

const char *header_validator(const struct buf *headers)
{
	const char *tag = header_find(headers, "ETag");

	if (!tag || !*tag)
		tag = header_find(headers, "Last-Modified");
	return tag && strlen(tag) < VALIDATOR_MAX ? tag : "";
}

bool header_travels(const char *line)
{
	/* What is known to be harmless: any other may be a credential, whatever it is called. */
	static const char *const harmless[] = { "Accept", "If-None-Match", "If-Modified-Since", "If-Match" };
	size_t len = strcspn(line, ":");

	for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++)
		if (strlen(harmless[i]) == len && strncasecmp(line, harmless[i], len) == 0)
			return true;
	return false;
}
