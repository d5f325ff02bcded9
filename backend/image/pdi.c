// SPDX-License-Identifier: Apache-2.0
/*
 * Versal .pdi: a boot header, firmware, then tables of images and partitions, which the
 * header and each other give the place of. Header and tables end in the complement of
 * the sum of their words; what the partitions hold is not covered.
 *
 * The headers of partitions, whose end is that of the file, are believed where their sums
 * hold; where not, nothing shows the end. In front of the boot header stand four words that
 * show the configuration bus how wide it is, in one of three orders.
 *
 * A partial image has no boot header: it is the table of images, that calls it PPDI, and what
 * belongs to it, with or without these words in front. No file of one was at hand, so that
 * it is likely at most, and from where its offsets count is not known: it shows no end.
 *
 * Sources: Xilinx/bootgen (bootheader-versal.h, imageheadertable-versal.h,
 * partitionheadertable-versal.h), and a file for a VC1902.
 */
#include <stdio.h>
#include <string.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "parts.h"
#include "text.h"
#include "xilinx.h"

#define HEAD	       0xf34 /* bytes of the boot header, with its sum at 0xf30 */
#define TABLE	       128   /* of the table of images, and of the header of a partition */
#define PARTITIONS_MAX 64
#define TABLES_MAX     (256u << 20) /* an offset beyond this is none */

struct pdi {
	uint64_t at, images_at, parts_at, end_at; /* 0 = not known yet */
	uint32_t parts;
	bool kind_known, partial, tables_done, unsized;
	uint8_t head[HEAD];
	uint8_t images[TABLE];
	uint8_t headers[PARTITIONS_MAX * TABLE];
};

#define WIDTHS	  16 /* bytes that tell the width of the bus: for 32, 16 and 8 bits */
#define FRONT_LEN 24 /* these, and the mark of a boot header */

static const uint8_t WIDTH[3][WIDTHS] = {
	{ 0, 0, 0, 0xdd, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc },
	{ 0, 0, 0xdd, 0, 0x22, 0x11, 0x44, 0x33, 0x66, 0x55, 0x88, 0x77, 0xaa, 0x99, 0xcc, 0xbb },
	{ 0xdd, 0, 0, 0, 0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55, 0xcc, 0xbb, 0xaa, 0x99 },
};
static const uint8_t BOOT[8] = { 0x66, 0x55, 0x99, 0xaa, 'X', 'N', 'L', 'X' };

/* Do these bytes begin as one of the words for the bus? */
static bool widths_match(const uint8_t *head, size_t n)
{
	for (size_t i = 0; i < 3; i++)
		if (!memcmp(head, WIDTH[i], n < WIDTHS ? n : WIDTHS))
			return true;
	return false;
}

/* The table of images of a partial one, at its start: a version, its name and its sum. */
static enum image_tri partial_table(const uint8_t *t, size_t n)
{
	if (n < 4)
		return n && t[0] ? IMAGE_NO : IMAGE_UNKNOWN;
	if (t[0] || t[1] || !t[2] || t[2] > 16 || t[3])
		return IMAGE_NO;
	if (n < TABLE)
		return IMAGE_UNKNOWN;
	return !memcmp(t + 0x28, "PPDI", 4) && xilinx_sum_holds(t, 31) ? IMAGE_YES : IMAGE_NO;
}

static enum image_tri pdi_probe(const uint8_t *head, size_t n, bool last)
{
	enum image_tri is;

	if (!n)
		return IMAGE_UNKNOWN;
	if (widths_match(head, n)) {
		if (n > WIDTHS && memcmp(head + WIDTHS, BOOT, n < FRONT_LEN ? n - WIDTHS : 8))
			return partial_table(head + WIDTHS, n - WIDTHS);
		return n >= FRONT_LEN || (last && n >= 8) ? IMAGE_YES : IMAGE_UNKNOWN;
	}
	is = partial_table(head, n);
	return is == IMAGE_UNKNOWN && last ? IMAGE_NO : is;
}

static int damaged(uint64_t at, struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG,
			  "pdi: damaged at byte %llu: %s; copy or build the file again",
			  (unsigned long long)at, what);
}

static int head_read(struct pdi *s, struct image_facts *facts, struct reason *why)
{
	if (!xilinx_sum_holds(s->head + 0x10, (0xf30 - 0x10) / 4))
		return damaged(0xf30, why, "the sum of the boot header does not hold");
	s->images_at = read_le32(s->head + 0xc4);
	if (s->images_at < HEAD || s->images_at > TABLES_MAX)
		return damaged(0xc4, why, "the table of images lies in the header, or nowhere");
	text_copy(facts->vendor, sizeof(facts->vendor), "xilinx");
	text_copy(facts->family, sizeof(facts->family), "Versal");
	facts->confidence = IMAGE_LIKELY;
	facts->encrypted = read_le32(s->head + 0x18) ? IMAGE_YES : IMAGE_NO;
	return 0;
}

static void no_end(struct pdi *s, struct image_facts *facts)
{
	s->unsized = facts->unsized = true;
	s->tables_done = true;
}

static int images_read(struct pdi *s, struct image_facts *facts, struct reason *why)
{
	const uint8_t *t = s->images;
	uint32_t id = read_le32(t + 0x20), parent = read_le32(t + 0x24);

	if (!xilinx_sum_holds(t, 31))
		return damaged(s->images_at + 0x7c, why,
			       "the sum of the table of images does not hold");
	facts_idcode(facts, "xilinx", read_le32(t + 0x18), "");
	if (!facts->family[0])
		text_copy(facts->family, sizeof(facts->family), "Versal");
	facts->confidence = s->partial ? IMAGE_LIKELY : IMAGE_EXACT;
	if (read_le32(t + 0x40))
		facts->encrypted = IMAGE_YES;
	facts->is_signed = read_le32(t + 0x48) ? IMAGE_YES : IMAGE_NO;
	if (id)
		snprintf(facts->unique_id, sizeof(facts->unique_id), "%08x", id);
	if (parent)
		snprintf(facts->shell, sizeof(facts->shell), "%08x", parent);
	facts->partial = !memcmp(t + 0x28, "PPDI", 4)	? IMAGE_YES
			 : !memcmp(t + 0x28, "FPDI", 4) ? IMAGE_NO
							: IMAGE_UNKNOWN;
	text_copy(facts->integrity_checked, sizeof(facts->integrity_checked), "header-sums");
	s->parts = read_le32(t + 0x0c);
	s->parts_at = (uint64_t)read_le32(t + 0x10) * 4;
	if (s->partial || !s->parts || s->parts > PARTITIONS_MAX || s->parts_at < s->images_at + TABLE ||
	    s->parts_at > TABLES_MAX)
		no_end(s, facts);
	return 0;
}

static int parts_read(struct pdi *s, struct image_facts *facts)
{
	uint64_t end = s->parts_at + (uint64_t)s->parts * TABLE;

	for (uint32_t i = 0; i < s->parts; i++) {
		const uint8_t *p = s->headers + i * TABLE;
		uint64_t stop = ((uint64_t)read_le32(p + 0x20) + read_le32(p + 0x08)) * 4;

		if (!xilinx_sum_holds(p, 31)) {
			no_end(s, facts);
			return 0;
		}
		if (stop > end)
			end = stop;
	}
	s->end_at = end;
	s->tables_done = true;
	facts->declared_size = end;
	return 0;
}

/* Where the next thing to be read begins and ends, and where it goes; 0 = nothing. */
static uint64_t next_table(struct pdi *s, uint64_t *from, uint8_t **to)
{
	if (!s->kind_known || (!s->images_at && !s->partial)) {
		*from = 0;
		*to = s->head;
		return s->kind_known ? HEAD : FRONT_LEN;
	}
	if (!s->parts_at && !s->tables_done) {
		*from = s->images_at;
		*to = s->images;
		return s->images_at + TABLE;
	}
	if (!s->tables_done) {
		*from = s->parts_at;
		*to = s->headers;
		return s->parts_at + (uint64_t)s->parts * TABLE;
	}
	return 0;
}

/* The first bytes are there: whether a boot header follows the words for the bus. */
static int kind_found(struct pdi *s, struct image_facts *facts)
{
	s->kind_known = true;
	s->partial = !widths_match(s->head, WIDTHS) || memcmp(s->head + WIDTHS, BOOT, 8);
	if (!s->partial)
		return 0;
	s->images_at = widths_match(s->head, WIDTHS) ? WIDTHS : 0;
	memcpy(s->images, s->head + s->images_at, (size_t)(FRONT_LEN - s->images_at));
	text_copy(facts->vendor, sizeof(facts->vendor), "xilinx");
	facts->confidence = IMAGE_LIKELY;
	return 0;
}

static int table_complete(struct pdi *s, struct image_facts *facts, struct reason *why)
{
	if (!s->kind_known)
		return kind_found(s, facts);
	if (!s->images_at && !s->partial)
		return head_read(s, facts, why);
	if (!s->parts_at)
		return images_read(s, facts, why);
	return parts_read(s, facts);
}

static int pdi_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		    struct reason *why)
{
	struct pdi *s = state;
	int err = 0;

	while (n && !err) {
		uint64_t from = 0, until;
		uint8_t *to = NULL;
		size_t take = n;

		until = next_table(s, &from, &to);
		if (until && s->at < from) {
			take = n < from - s->at ? n : (size_t)(from - s->at);
		} else if (until) {
			take = n < until - s->at ? n : (size_t)(until - s->at);
			memcpy(to + (s->at - from), b, take);
		} else if (s->end_at) {
			/* What follows the image takes nothing away from it. */
			facts->integrity_ok = s->at >= s->end_at;
			if (facts->integrity_ok)
				return padding_check("pdi", &s->at, s->end_at, b, n, why)
					       ? -EFBIG
					       : IMAGE_COMPLETE;
			take = n < s->end_at - s->at ? n : (size_t)(s->end_at - s->at);
		}
		s->at += take;
		b += take;
		n -= take;
		if (until && s->at == until)
			err = table_complete(s, facts, why);
	}
	if (err)
		return err;
	if (!s->unsized && (!s->end_at || s->at < s->end_at))
		return IMAGE_MORE;
	facts->integrity_ok = true;
	return IMAGE_COMPLETE;
}

static int pdi_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct pdi *s = state;

	(void)facts;
	if (s->unsized || (s->end_at && s->at >= s->end_at))
		return 0;
	if (s->end_at)
		return reason_set(why, EBADMSG,
				  "pdi: truncated: %llu of %llu bytes; copy the file again",
				  (unsigned long long)fed, (unsigned long long)s->end_at);
	return reason_set(why, EBADMSG,
			  "pdi: truncated: %llu bytes end before its tables; copy the file again",
			  (unsigned long long)fed);
}

const struct image_format image_pdi = {
	.version = IMAGE_ABI,
	.name = "pdi",
	.state_bytes = sizeof(struct pdi),
	.probe = pdi_probe,
	.feed = pdi_feed,
	.end = pdi_end,
};
