// SPDX-License-Identifier: Apache-2.0
/*
 * Lattice Nexus (CrossLink-NX, Certus-NX, CertusPro-NX) and MachXO2, MachXO3 .bit: the front
 * and the IDCODE behind it, as in ECP5; the frames are laid out otherwise and no file was
 * at hand to check a reading of them against. So an image of these is recognised and its
 * part compared, and that is all: where it ends is not known and nothing is recomputed.
 *
 * Sources: Project Trellis, Project Oxide, openFPGALoader.
 */
#include <stdio.h>
#include <string.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "lattice.h"
#include "parts.h"

#define SEARCH 64 /* bytes behind the preamble in which VERIFY_ID stands */

struct nexus {
	struct lattice_front front;
	bool front_done;
	uint32_t behind; /* bytes behind the preamble */
	uint64_t window;
};

static enum image_tri nexus_probe(const uint8_t *head, size_t n, bool last)
{
	return lattice_probe(LATTICE_NEXUS, head, n, last);
}

static enum image_tri machxo_probe(const uint8_t *head, size_t n, bool last)
{
	return lattice_probe(LATTICE_MACHXO, head, n, last);
}

static void front_facts(const struct nexus *s, const char *family, struct image_facts *facts)
{
	lattice_front_facts(&s->front, facts);
	text_copy(facts->part, sizeof(facts->part), s->front.part);
	text_copy(facts->family, sizeof(facts->family), family);
	facts->confidence = IMAGE_LIKELY;
	facts->unsized = true;
	facts->encrypted = s->front.encrypted ? IMAGE_YES : IMAGE_UNKNOWN;
	text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
		  s->front.encrypted ? "encrypted: only the card can check it"
				     : "the CRC of this family's images is not recomputed");
}

static int feed(struct nexus *s, const char *format, const char *family, const uint8_t *b, size_t n,
		struct image_facts *facts, struct reason *why)
{
	int rc;

	for (; n && (!s->front_done || s->behind < SEARCH); n--, b++) {
		if (!s->front_done) {
			rc = lattice_front_byte(&s->front, *b, why);
			if (rc < 0)
				return reason_wrap(why, "%s", format);
			s->front_done = rc;
			if (rc)
				front_facts(s, family, facts);
			continue;
		}
		s->behind++;
		s->window = s->window << 8 | *b;
		/* VERIFY_ID, three bytes of zero, the IDCODE. */
		if (s->window >> 32 == 0xe2000000 && !facts->has_idcode && !s->front.encrypted)
			facts_idcode(facts, "lattice", (uint32_t)s->window, s->front.part);
	}
	return s->front_done && (s->behind || n) ? IMAGE_COMPLETE : IMAGE_MORE;
}

static int nexus_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		      struct reason *why)
{
	return feed(state, "nexus", "Nexus", b, n, facts, why);
}

static int machxo_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		       struct reason *why)
{
	return feed(state, "machxo", "MachXO", b, n, facts, why);
}

static int end(const struct nexus *s, const char *format, uint64_t fed, struct reason *why)
{
	if (s->front_done && s->behind)
		return 0;
	return reason_set(
		why, EBADMSG,
		"%s: truncated: %llu bytes, nothing follows the preamble; copy the file again",
		format, (unsigned long long)fed);
}

static int nexus_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	(void)facts;
	return end(state, "nexus", fed, why);
}

static int machxo_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	(void)facts;
	return end(state, "machxo", fed, why);
}

const struct image_format image_nexus = {
	.version = IMAGE_ABI,
	.name = "nexus",
	.state_bytes = sizeof(struct nexus),
	.probe = nexus_probe,
	.feed = nexus_feed,
	.end = nexus_end,
};

const struct image_format image_machxo = {
	.version = IMAGE_ABI,
	.name = "machxo",
	.state_bytes = sizeof(struct nexus),
	.probe = machxo_probe,
	.feed = machxo_feed,
	.end = machxo_end,
};
