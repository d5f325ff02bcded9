// SPDX-License-Identifier: Apache-2.0
/*
 * Altera .rbf: configuration bytes and nothing else. No header, no part, no length and no
 * checksum that could be recomputed; what is left is how the known families begin:
 *
 *  - Cyclone III, IV and 10 LP: 32 bytes of ff, then 6a f7 f7 f7 f7 f7 f7 f3;
 *  - Cyclone V, Arria V, Stratix V: 128 bytes of ff, then 6a 6a 6a 6a.
 *
 * So this is a guess, said to be one, and no reason to refuse. Later families begin with
 * signed sections, which nothing documents; they are not known.
 *
 * Source: files of Quartus for 10CL006, EP4CE6, 5CEA2 and a Stratix V.
 */
#include <string.h>

#include <fabricfs/buf.h>

#include "formats.h"

#define FRONT_MAX 132

struct rbf {
	uint32_t got;
	uint8_t front[FRONT_MAX];
	bool known;
};

static const uint8_t CYCLONE4[8] = { 0x6a, 0xf7, 0xf7, 0xf7, 0xf7, 0xf7, 0xf7, 0xf3 };
static const uint8_t NM28[4] = { 0x6a, 0x6a, 0x6a, 0x6a };

/* The family, "" when more bytes are needed, NULL when it is none. */
static const char *family_of(const uint8_t *b, size_t n)
{
	size_t ones = 0, rest;

	while (ones < n && ones < 129 && b[ones] == 0xff)
		ones++;
	if (ones == n)
		return ones <= 128 ? "" : NULL;
	rest = n - ones;
	if (ones == 32 && !memcmp(b + ones, CYCLONE4, rest < 8 ? rest : 8))
		return rest < 8 ? "" : "Cyclone III/IV/10 LP";
	if (ones == 128 && !memcmp(b + ones, NM28, rest < 4 ? rest : 4))
		return rest < 4 ? "" : "Cyclone V, Arria V, Stratix V";
	return NULL;
}

static enum image_tri rbf_probe(const uint8_t *head, size_t n, bool last)
{
	const char *family = family_of(head, n);

	(void)last;
	return !family ? IMAGE_NO : family[0] ? IMAGE_YES : IMAGE_UNKNOWN;
}

static int rbf_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		    struct reason *why)
{
	struct rbf *s = state;

	(void)why;
	for (; n && !s->known && s->got < FRONT_MAX; n--, b++) {
		const char *family;

		s->front[s->got++] = *b;
		family = family_of(s->front, s->got);
		if (!family || !family[0])
			continue;
		s->known = true;
		text_copy(facts->vendor, sizeof(facts->vendor), "altera");
		text_copy(facts->family, sizeof(facts->family), family);
		facts->confidence = IMAGE_GUESS;
		facts->unsized = true;
		text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
			  "this format carries no checksum that can be recomputed");
		text_copy(facts->detail, sizeof(facts->detail),
			  "known only by how it begins: neither its part nor its length is in it");
	}
	return s->known ? IMAGE_COMPLETE : IMAGE_MORE;
}

static int rbf_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct rbf *s = state;

	(void)facts;
	if (s->known)
		return 0;
	return reason_set(
		why, EBADMSG,
		"rbf: truncated: %llu bytes, more than 40 are wanted; copy the file again",
		(unsigned long long)fed);
}

const struct image_format image_rbf = {
	.version = IMAGE_ABI,
	.name = "rbf",
	.state_bytes = sizeof(struct rbf),
	.probe = rbf_probe,
	.feed = rbf_feed,
	.end = rbf_end,
};
