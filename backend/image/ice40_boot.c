// SPDX-License-Identifier: Apache-2.0
/*
 * iCE40 files: one configuration, or a flash image of several with a warm-boot table in front
 * (icemulti's). Such a table is five vectors in slots of 32 bytes, each a preamble, a boot
 * address and a reboot; the address is the flash command 03 and 24 bits of offset in the file.
 * Several vectors may lead to one configuration.
 *
 * Each configuration of a flash image is checked as one that stands alone; the table and what
 * lies between them is covered by nothing but its shape. A card takes one configuration, so
 * that a flash image, sound as it is, is for no card.
 *
 * Source: Project IceStorm (icemulti), and a file of TinyFPGA with its boot loader.
 */
#include <stdio.h>
#include <string.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "ice40.h"
#include "text.h"

#define VECTORS	    5
#define SLOT	    32
#define VECTOR	    17 /* bytes of a slot that are used */
#define TABLE	    (VECTORS * SLOT)
#define ADDRESS_AT  9 /* of a vector */
#define DECIDED	    8 /* bytes that tell a vector from a configuration */

enum file { UNKNOWN, SINGLE, SEVERAL };

struct ice40_file {
	enum file file;
	uint64_t at;
	uint32_t front_len; /* bytes of front that are there */
	uint8_t front[TABLE];
	/* SEVERAL: */
	uint32_t places[VECTORS]; /* of configurations, ascending */
	uint8_t n, i;		  /* how many, and at which it is */
	bool inside;		  /* of that one; else in front of it */
	struct image_facts own; /* of that one */
	struct ice40 one;
};

static int damaged(uint64_t at, struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG,
			  "ice40: damaged at byte %llu: %s; copy or build the file again",
			  (unsigned long long)at, what);
}

/* A preamble, no warm-boot flags, and a boot address where a frequency range would stand. */
static bool is_vector(const uint8_t *b)
{
	static const uint8_t front[6] = { 0x7e, 0xaa, 0x99, 0x7e, 0x92, 0x00 };

	return !memcmp(b, front, sizeof(front)) && b[7] == 0x44;
}

/* --- the table --------------------------------------------------------------------- */

static void place_add(struct ice40_file *s, uint32_t place)
{
	unsigned i = 0;

	while (i < s->n && s->places[i] < place)
		i++;
	if (i < s->n && s->places[i] == place)
		return;
	memmove(s->places + i + 1, s->places + i, (s->n - i) * sizeof(s->places[0]));
	s->places[i] = place;
	s->n++;
}

static int table_read(struct ice40_file *s, struct image_facts *facts, struct reason *why)
{
	static const uint8_t reboot[5] = { 0x82, 0x00, 0x00, 0x01, 0x08 };
	struct buf text CLEANUP_BUF = BUF_INIT;

	for (unsigned i = 0; i < VECTORS; i++) {
		const uint8_t *v = s->front + i * SLOT;

		if (!is_vector(v) || v[8] != 0x03 || memcmp(v + VECTOR - 5, reboot, 5))
			return damaged(i * SLOT, why, "no vector of a warm-boot table");
		for (unsigned k = VECTOR; k < SLOT; k++)
			if (v[k] && v[k] != 0xff)
				return damaged(i * SLOT + k, why,
					       "more than a vector in its place in the table");
		if ((read_be32(v + ADDRESS_AT - 1) & 0xffffff) < TABLE)
			return damaged(i * SLOT + ADDRESS_AT, why,
				       "a vector of the warm-boot table leads into the table");
		place_add(s, read_be32(v + ADDRESS_AT - 1) & 0xffffff);
	}
	for (unsigned i = 0; i < s->n; i++)
		buf_addf(&text, "%s%u", i ? ", " : "", s->places[i]);
	if (buf_ok(&text))
		return reason_set(why, ENOMEM, "out of memory");
	text_copy(facts->vendor, sizeof(facts->vendor), "lattice");
	text_copy(facts->family, sizeof(facts->family), "iCE40");
	facts->confidence = IMAGE_LIKELY;
	facts->partial = facts->compressed = facts->encrypted = facts->is_signed = IMAGE_NO;
	snprintf(facts->detail, sizeof(facts->detail),
		 "a flash image with a warm-boot table (icemulti): several images in one file, at "
		 "byte %s",
		 text.data);
	text_copy(facts->no_card, sizeof(facts->no_card),
		  "a flash image with a warm-boot table; the card takes a single image: copy one "
		  "of those it was made of");
	return 0;
}

/* --- its configurations -------------------------------------------------------------- */

static void one_begins(struct ice40_file *s)
{
	s->inside = true;
	s->one = (struct ice40){ .start = s->at, .at = s->at };
	s->own = (struct image_facts){ 0 };
}

static int one_complete(struct ice40_file *s, struct image_facts *facts, struct reason *why)
{
	char what[200];

	if (s->own.no_card[0])
		return damaged(s->at, why, "one of its images leads to another again");
	if (!s->i) {
		text_copy(facts->part, sizeof(facts->part), s->own.part);
		text_copy(facts->also_parts, sizeof(facts->also_parts), s->own.also_parts);
		text_copy(facts->package, sizeof(facts->package), s->own.package);
		text_copy(facts->tool, sizeof(facts->tool), s->own.tool);
		text_copy(facts->built, sizeof(facts->built), s->own.built);
		text_copy(facts->integrity_checked, sizeof(facts->integrity_checked),
			  s->own.integrity_checked);
		facts->confidence = s->own.confidence;
	} else if (strcmp(facts->part, s->own.part)) {
		snprintf(what, sizeof(what), "its images are for different parts, %s and %s",
			 facts->part, s->own.part);
		return damaged(s->at, why, what);
	}
	s->inside = false;
	if (++s->i < s->n && s->places[s->i] < s->at)
		return damaged(s->at, why, "its images overlap");
	if (s->i < s->n)
		return 0;
	facts->declared_size = s->at;
	facts->integrity_ok = true;
	return 0;
}

static int several_feed(struct ice40_file *s, const uint8_t *b, size_t n,
			struct image_facts *facts, struct reason *why)
{
	int rc = 0;

	while (n && rc >= 0) {
		size_t take = n;

		if (s->i == s->n)
			return padding_check("ice40", &s->at, facts->declared_size, b, n, why);
		if (!s->inside && s->at < s->places[s->i]) {
			take = n < s->places[s->i] - s->at ? n : (size_t)(s->places[s->i] - s->at);
			s->at += take;
		} else {
			if (!s->inside)
				one_begins(s);
			rc = ice40_take(&s->one, b, n, &take, &s->own, why);
			s->at += take;
			if (rc < 0)
				text_copy(facts->integrity_checked,
					  sizeof(facts->integrity_checked),
					  s->own.integrity_checked);
			else if (rc == IMAGE_COMPLETE)
				rc = one_complete(s, facts, why);
		}
		b += take;
		n -= take;
	}
	return rc < 0 ? rc : 0;
}

/* --- a file --------------------------------------------------------------------------- */

static int single_feed(struct ice40_file *s, const uint8_t *b, size_t n,
		       struct image_facts *facts, struct reason *why)
{
	size_t taken;
	int rc = ice40_take(&s->one, b, n, &taken, facts, why);

	s->at += taken;
	if (rc < 0 || taken == n)
		return rc;
	rc = padding_check("ice40", &s->at, s->one.end_at, b + taken, n - taken, why);
	return rc < 0 ? rc : IMAGE_COMPLETE;
}

static int file_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		     struct reason *why)
{
	struct ice40_file *s = state;
	int rc = 0;

	while (n && !rc && s->file == UNKNOWN) {
		s->front[s->front_len++] = *b++;
		n--;
		if (s->front_len == DECIDED)
			s->file = is_vector(s->front) ? SEVERAL : SINGLE;
		if (s->file == SINGLE)
			rc = single_feed(s, s->front, DECIDED, facts, why);
	}
	while (n && !rc && s->file == SEVERAL && s->front_len < TABLE) {
		s->front[s->front_len++] = *b++;
		n--;
		s->at = s->front_len;
		if (s->front_len == TABLE)
			rc = table_read(s, facts, why);
	}
	if (rc < 0 || s->file == UNKNOWN)
		return rc;
	if (s->file == SINGLE)
		return single_feed(s, b, n, facts, why);
	rc = s->front_len == TABLE ? several_feed(s, b, n, facts, why) : 0;
	if (rc < 0)
		return rc;
	return s->n && s->i == s->n ? IMAGE_COMPLETE : IMAGE_MORE;
}

static int file_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct ice40_file *s = state;

	(void)facts;
	if (s->file != SEVERAL)
		return ice40_end(&s->one, fed, why);
	if (!s->n)
		return reason_set(why, EBADMSG,
				  "ice40: truncated: %llu bytes end within the warm-boot table; "
				  "copy the file again",
				  (unsigned long long)fed);
	if (s->i == s->n)
		return 0;
	return reason_set(why, EBADMSG,
			  "ice40: truncated: %llu bytes, of %u images of the flash image that at "
			  "byte %u is missing or cut; copy the file again",
			  (unsigned long long)fed, s->n, s->places[s->i]);
}

const struct image_format image_ice40 = {
	.version = IMAGE_ABI,
	.name = "ice40",
	.state_bytes = sizeof(struct ice40_file),
	.probe = ice40_probe,
	.probe_on = ice40_probe_on,
	.feed = file_feed,
	.end = file_end,
};
