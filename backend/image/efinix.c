// SPDX-License-Identifier: Apache-2.0
/*
 * Efinix .hex and .bit: two hex digits a line. The bytes begin with lines of text, of which
 * all but the project's folder is shown; then comes what goes to the part. No checksum is
 * known, and nothing shows the end.
 *
 * Source: a file of Efinity 2022.2 for a T8F81.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "parts.h"
#include "text.h"

#define LINE_MAX   128	/* bytes of a line of text that are kept */
#define TEXT_BYTES 1024 /* bytes in which lines of text are looked for */

struct efinix {
	uint32_t lines, bytes;
	uint8_t digits, value;
	uint16_t text_len;
	bool return_seen; /* a carriage return: the line's end has to follow */
	char text[LINE_MAX];
};

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "Version:" as two digits a line. */
static enum image_tri efinix_probe(const uint8_t *head, size_t n, bool last)
{
	static const char word[] = "Version:";
	size_t at = 0;

	(void)last;
	for (const char *c = word; *c; c++) {
		for (int k = 4; k >= 0; k -= 4, at++) {
			if (at == n)
				return IMAGE_UNKNOWN;
			if (hex_digit(head[at]) != (*c >> k & 15))
				return IMAGE_NO;
		}
		if (at < n && head[at] == '\r')
			at++;
		if (at == n)
			return IMAGE_UNKNOWN;
		if (head[at++] != '\n')
			return IMAGE_NO;
	}
	return IMAGE_YES;
}

static void text_line(struct efinix *s, struct image_facts *facts)
{
	char *value = memchr(s->text, ':', s->text_len);
	const struct image_part *p;
	size_t n;

	text_from_header(s->text, s->text_len);
	if (!value)
		return;
	*value++ = '\0';
	value += strspn(value, " ");
	if (!strcasecmp(s->text, "Version")) {
		snprintf(facts->tool, sizeof(facts->tool), "Efinity %.60s", value);
	} else if (!strcasecmp(s->text, "Generated")) {
		text_copy(facts->built, sizeof(facts->built), value);
	} else if (!strcasecmp(s->text, "Project")) {
		/* A folder of the builder's: its last component is the project's name. */
		text_copy(facts->design, sizeof(facts->design), text_base(value));
	} else if (!strcasecmp(s->text, "Family")) {
		text_copy(facts->family, sizeof(facts->family), value);
	} else if (!strcasecmp(s->text, "Device")) {
		p = part_by_text("efinix", "", value, &n);
		if (!p)
			n = strlen(value);
		snprintf(facts->part, sizeof(facts->part), "%.*s", (int)(n < 40 ? n : 40), value);
		for (char *c = facts->part; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		text_copy(facts->package, sizeof(facts->package), value + n);
	}
}

static void byte_complete(struct efinix *s, struct image_facts *facts)
{
	if (s->bytes++ >= TEXT_BYTES)
		return;
	if (s->value == '\n') {
		text_line(s, facts);
		s->text_len = 0;
	} else if (s->text_len + 1u < sizeof(s->text)) {
		s->text[s->text_len++] = (char)s->value;
	}
}

static int efinix_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		       struct reason *why)
{
	struct efinix *s = state;

	if (!facts->vendor[0]) {
		text_copy(facts->vendor, sizeof(facts->vendor), "efinix");
		facts->confidence = IMAGE_LIKELY;
		facts->unsized = true;
		text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
			  "no checksum of this format is known");
	}
	for (; n; n--, b++) {
		int digit = hex_digit(*b);
		bool end = *b == '\n' && (s->digits == 2 || (!s->digits && !s->return_seen));

		if (end && s->digits)
			byte_complete(s, facts);
		if (end) {
			s->lines++;
			s->digits = 0;
			s->return_seen = false;
		} else if (*b == '\r' && s->digits != 1 && !s->return_seen) {
			s->return_seen = true;
		} else if (digit >= 0 && s->digits < 2 && !s->return_seen) {
			s->value = (uint8_t)(s->value << 4 | digit);
			s->digits++;
		} else {
			return reason_set(
				why, EBADMSG,
				"efinix: damaged in line %u: byte %02x, where a line has two hex "
				"digits; copy the file again",
				s->lines + 1, *b);
		}
	}
	return s->digits == 1 ? IMAGE_MORE : IMAGE_COMPLETE;
}

static int efinix_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct efinix *s = state;

	(void)facts;
	if (s->digits != 1)
		return 0;
	return reason_set(
		why, EBADMSG,
		"efinix: truncated: %llu bytes end in the middle of line %u; copy the file again",
		(unsigned long long)fed, s->lines + 1);
}

const struct image_format image_efinix = {
	.version = IMAGE_ABI,
	.name = "efinix",
	.state_bytes = sizeof(struct efinix),
	.probe = efinix_probe,
	.feed = efinix_feed,
	.end = efinix_end,
};
