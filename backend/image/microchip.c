// SPDX-License-Identifier: Apache-2.0
/*
 * Microchip (Actel, Microsemi): .stp, STAPL text that begins with notes on its creator and
 * device, and .dat, which begins with the version of Designer. No file of either was at
 * hand: they are recognised (a guess for .dat) and not judged. STAPL of other vendors (.jam)
 * is a programming script for a JTAG player and no image.
 *
 * Source: JESD71 (STAPL); the DirectC user's guide.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "text.h"

#define LINE_MAX  200
#define NOTES_MAX 16384 /* bytes in which notes are looked for */

struct stp {
	uint32_t bytes;
	uint16_t len;
	char line[LINE_MAX];
};

static bool head_has(const uint8_t *head, size_t n, const char *word)
{
	return memmem(head, n, word, strlen(word));
}

static enum image_tri stp_probe(const uint8_t *head, size_t n, bool last)
{
	static const char front[] = "NOTE \"";
	size_t have = n < sizeof(front) - 1 ? n : sizeof(front) - 1;

	(void)last;
	if (!n || memcmp(head, front, have))
		return n ? IMAGE_NO : IMAGE_UNKNOWN;
	/* Whose STAPL it is. */
	if (head_has(head, n, "Actel") || head_has(head, n, "Microsemi") ||
	    head_has(head, n, "Microchip") || head_has(head, n, "FlashPro") ||
	    head_has(head, n, "Libero"))
		return IMAGE_YES;
	return IMAGE_UNKNOWN;
}

static enum image_tri dat_probe(const uint8_t *head, size_t n, bool last)
{
	static const char front[] = "Designer Version";
	size_t have = n < sizeof(front) - 1 ? n : sizeof(front) - 1;

	(void)last;
	if (!n || memcmp(head, front, have))
		return n ? IMAGE_NO : IMAGE_UNKNOWN;
	return have == sizeof(front) - 1 ? IMAGE_YES : IMAGE_UNKNOWN;
}

static void unjudged(struct image_facts *facts, enum image_confidence sure)
{
	text_copy(facts->vendor, sizeof(facts->vendor), "microchip");
	facts->confidence = sure;
	facts->unsized = true;
	text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
		  "the checksum of this format is not recomputed");
}

/* NOTE "KEY" "value"; */
static void note(struct stp *s, struct image_facts *facts)
{
	char *key, *value, *end;

	text_from_header(s->line, s->len);
	if (strncmp(s->line, "NOTE \"", 6))
		return;
	key = s->line + 6;
	end = strchr(key, '"');
	value = end ? strchr(end + 1, '"') : NULL;
	if (!value)
		return;
	*end = '\0';
	value++;
	end = strchr(value, '"');
	if (!end)
		return;
	*end = '\0';
	if (!strcasecmp(key, "DEVICE"))
		text_copy(facts->part, sizeof(facts->part), value);
	else if (!strcasecmp(key, "CREATOR"))
		text_copy(facts->tool, sizeof(facts->tool), value);
	else if (!strcasecmp(key, "DATE"))
		text_copy(facts->built, sizeof(facts->built), value);
	else if (!strcasecmp(key, "DESIGN"))
		text_copy(facts->design, sizeof(facts->design), text_base(value));
	else if (!strcasecmp(key, "PACKAGE"))
		text_copy(facts->package, sizeof(facts->package), value);
	for (char *c = facts->part; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
}

static int stp_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		    struct reason *why)
{
	struct stp *s = state;

	(void)why;
	unjudged(facts, IMAGE_LIKELY);
	for (; n && s->bytes < NOTES_MAX; n--, b++, s->bytes++) {
		if (*b == '\n' || *b == '\r') {
			note(s, facts);
			s->len = 0;
		} else if (s->len + 1u < sizeof(s->line)) {
			s->line[s->len++] = (char)*b;
		}
	}
	return IMAGE_COMPLETE;
}

static int dat_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		    struct reason *why)
{
	(void)state;
	(void)b;
	(void)n;
	(void)why;
	unjudged(facts, IMAGE_GUESS);
	text_copy(facts->detail, sizeof(facts->detail),
		  "known only by how it begins: neither its part nor its length is read");
	return IMAGE_COMPLETE;
}

static int microchip_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	(void)state;
	(void)fed;
	(void)facts;
	(void)why;
	return 0;
}

const struct image_format image_microchip_stp = {
	.version = IMAGE_ABI,
	.name = "microchip-stp",
	.state_bytes = sizeof(struct stp),
	.probe = stp_probe,
	.feed = stp_feed,
	.end = microchip_end,
};

const struct image_format image_microchip_dat = {
	.version = IMAGE_ABI,
	.name = "microchip-dat",
	.state_bytes = 1,
	.probe = dat_probe,
	.feed = dat_feed,
	.end = microchip_end,
};
