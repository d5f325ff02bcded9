// SPDX-License-Identifier: Apache-2.0
/*
 * Lattice iCE40 .bin: comment, preamble 7e aa 99 7e, then commands.
 *
 * A command is one byte (high nibble: opcode, low nibble: number of payload
 * bytes, big endian) and its payload; CRAM and BRAM data follow their command
 * and end in 00 00. The part is not stored: it follows from the geometry of
 * configuration bank 0. Format as documented by Project IceStorm (bitstream.rst
 * and icepack) and checked against files of icepack and iCEcube2.
 *
 * The CRC covers everything from the command 01 05 to the CRC command, but the
 * bytes around it (preamble, 01 05 itself, the wake-up) have no checksum. So
 * the commands are taken in the one shape that writers produce, and any other
 * payload length, order or value is refused: a single flipped bit anywhere from
 * the CRC reset to the wake-up never passes.
 *
 * A flash image with a warm-boot table is several of these: see ice40_boot.c.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/buf.h>

#include "crc16.h"
#include "ice40.h"

#define BRAM_ROWS 256 /* rows of a block RAM bank (IceStorm, RAM tile) */

/* --- parts ------------------------------------------------------------------ */

struct ice40_die {
	const char *part; /* the name shown for the die */
	const char *also; /* others of the same die: the bits do not tell them apart */
	uint16_t width;   /* CRAM columns, all banks */
	uint16_t height[4];
	uint16_t bram_width[4]; /* 0: the part has no block RAM */
	uint32_t tail; /* bytes from the first CRAM data to the end of the wake-up, as written by
			  icepack and iCEcube2 with all block RAM (measured on their files) */
};

/* Source: icestorm icepack.cc (bank sizes), and files made for each part. */
static const struct ice40_die parts[] = {
	{ "iCE40-LP384", "", 182, { 80, 80, 80, 80 }, { 0, 0, 0, 0 }, 7305 },
	{ "iCE40-HX1K", "iCE40-LP1K", 332, { 144, 144, 144, 144 }, { 64, 64, 64, 64 }, 32191 },
	{ "iCE40-HX8K", "iCE40-LP8K iCE40-HX4K iCE40-LP4K", 872, { 272, 272, 272, 272 },
	  { 128, 128, 128, 128 }, 135071 },
	{ "iCE40-UP5K", "", 692, { 336, 176, 336, 176 }, { 160, 80, 160, 80 }, 104061 },
	{ "iCE40-U4K", "", 692, { 176, 176, 176, 176 }, { 80, 80, 80, 80 }, 71231 },
	{ "iCE40-LM4K", "", 656, { 176, 176, 176, 176 }, { 80, 80, 80, 80 }, 68063 },
};

/* Least bytes from the first CRAM data to the end: the smallest part. */
#define TAIL_MIN 7305
/* Least bytes before the first CRAM data: preamble and its commands. */
#define FRONT_MIN 24

/* --- state ------------------------------------------------------------------ */

enum { SEARCH, COMMAND, PAYLOAD, DATA, ZEROS, AWAKE, OPAQUE };

static const uint8_t PREAMBLE[4] = { 0x7e, 0xaa, 0x99, 0x7e };

/* --- recognising -------------------------------------------------------------- */

enum image_tri ice40_probe_on(const uint8_t *head, size_t seen, size_t n, bool last)
{
	enum image_tri open = last ? IMAGE_YES : IMAGE_UNKNOWN;

	if (!n)
		return IMAGE_UNKNOWN;
	if (!memcmp(head, PREAMBLE, n < 4 ? n : 4))
		return n >= 4 ? IMAGE_YES : open;
	if (head[0] != 0xff || (n > 1 && head[1] != 0x00))
		return IMAGE_NO;
	for (size_t i = seen > 5 ? seen - 3 : 2; i + 4 <= n; i++) {
		if (!memcmp(head + i, PREAMBLE, 4))
			return IMAGE_YES;
		/* ECP5, Nexus and their encrypted forms share the comment's shape. */
		if (head[i] == 0xff && head[i + 1] == 0xff && head[i + 3] == 0xb3 &&
		    (head[i + 2] == 0xbd || head[i + 2] == 0xbe || head[i + 2] == 0xbf))
			return IMAGE_NO;
	}
	/* One ff byte or a comment without its end could be this; 4 KiB of it is not. */
	return n >= IMAGE_HEAD_MAX ? IMAGE_NO : open;
}

enum image_tri ice40_probe(const uint8_t *head, size_t n, bool last)
{
	return ice40_probe_on(head, 0, n, last);
}

/* --- the comment ---------------------------------------------------------------- */

/*
 * "iCE40HX1K-TQ144" in a comment: takes it if it is a part of this die. No
 * checksum covers the comment, so what rests on it is likely, not exact.
 */
static bool part_from_comment(const struct ice40_die *die, const char *text, struct image_facts *facts)
{
	char name[sizeof(facts->part)], all[128];
	const char *list = all;
	size_t len;

	if (strncasecmp(text, "ice40", 5))
		return false;
	text += 5;
	text += strspn(text, "- ");
	len = strcspn(text, "- ");
	snprintf(name, sizeof(name), "iCE40-%.*s", (int)(len < 16 ? len : 16), text);
	snprintf(all, sizeof(all), "%s %s", die->part, die->also);
	while (*list) {
		size_t n = strcspn(list, " ");

		if (n == strlen(name) && !strncasecmp(list, name, n)) {
			snprintf(facts->part, sizeof(facts->part), "%.*s", (int)n, list);
			facts->also_parts[0] = '\0';
			if (text[len])
				text_copy(facts->package, sizeof(facts->package), text + len + 1);
			return true;
		}
		list += n;
		list += strspn(list, " ");
	}
	snprintf(facts->detail, sizeof(facts->detail),
		 "the comment names %s, the configuration memory is that of %s", name, die->part);
	return false;
}

/* One line of the comment, control bytes already gone. */
static void comment_line(const char *line, struct image_facts *facts)
{
	static const char *const tools[] = { "icecube", "nextpnr", "next-pnr", "arachne", "radiant",
					     "icepack" };

	if (!strncasecmp(line, "Date:", 5)) {
		text_copy(facts->built, sizeof(facts->built), line + 5 + strspn(line + 5, " "));
		return;
	}
	for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++)
		if (!facts->tool[0] && strcasestr(line, tools[i])) {
			text_copy(facts->tool, sizeof(facts->tool), line);
			return;
		}
}

/* Calls back for each line ("Part:" is wanted only once the die is known). */
static void comment_lines(struct ice40 *s, struct image_facts *facts, bool part)
{
	char line[160];
	size_t n = 0;

	/* From behind "ff 00" to the "00 ff" before the preamble. */
	for (size_t i = 2; i <= s->comment_len; i++) {
		uint8_t c = i < s->comment_len ? (uint8_t)s->comment[i] : 0;

		if (c != 0 && c != '\n' && c != 0xff) {
			if (n + 1 < sizeof(line))
				line[n++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
			continue;
		}
		line[n] = '\0';
		n = 0;
		if (!line[0])
			continue;
		if (!part)
			comment_line(line, facts);
		else if (!strncasecmp(line, "Part:", 5))
			s->named = part_from_comment(s->die, line + 5 + strspn(line + 5, " "), facts);
		if (c == 0xff)
			break;
	}
}

/* --- commands ------------------------------------------------------------------- */

static int damaged(const struct ice40 *s, struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG,
			  "ice40: damaged at byte %llu: %s; copy or build the file again",
			  (unsigned long long)s->at, what);
}

static int data_begins(struct ice40 *s, struct image_facts *facts, struct reason *why)
{
	bool bram = s->value == 3;
	char what[200];

	if (!s->crc_started)
		return damaged(s, why, "configuration data before the CRC is reset");
	if (!s->has_width || !s->has_height || !s->has_bank)
		return damaged(s, why, "configuration data before its width, height and bank");
	if (!s->die) {
		if (bram || s->bank != 0)
			return damaged(s, why, "the first configuration data is not that of bank 0");
		for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
			if (parts[i].width == s->width && parts[i].height[0] == s->height)
				s->die = &parts[i];
		if (!s->die) {
			snprintf(what, sizeof(what),
				 "no known iCE40 part has a configuration bank of %u x %u bits", s->width,
				 s->height);
			return damaged(s, why, what);
		}
		s->data_at = s->at;
		facts->expected_size = s->data_at + s->die->tail;
		text_copy(facts->part, sizeof(facts->part), s->die->part);
		text_copy(facts->also_parts, sizeof(facts->also_parts), s->die->also);
		comment_lines(s, facts, true);
	}

	uint32_t width = bram ? s->die->bram_width[s->bank] : s->die->width;
	bool fits = bram ? width && s->offset + s->height <= BRAM_ROWS :
			   s->offset == 0 && s->height == s->die->height[s->bank];

	if (!fits || s->width != width) {
		snprintf(what, sizeof(what), "%s bank %u of %u x %u bits at row %u is not that of %s",
			 bram ? "block RAM" : "configuration", s->bank, s->width, s->height, s->offset,
			 s->die->part);
		return damaged(s, why, what);
	}
	if (!bram) {
		if (s->cram & 1u << s->bank)
			return damaged(s, why, "a configuration bank comes twice");
		s->cram |= (uint8_t)(1u << s->bank);
	}
	s->left = s->width * s->height / 8;
	s->phase = DATA;
	return 0;
}

static int wake_up(struct ice40 *s, struct image_facts *facts, struct reason *why)
{
	if (!s->crc_good)
		return damaged(s, why, "the wake-up command comes before a CRC check");
	if (s->cram != 15)
		return damaged(s, why, "not all four configuration banks are there");
	s->phase = AWAKE;
	s->end_at = s->at;
	facts->declared_size = s->at;
	facts->integrity_ok = true;
	facts->confidence = s->named && s->die->also[0] ? IMAGE_LIKELY : IMAGE_EXACT;
	return 0;
}

static int warm_boot(struct ice40 *s, struct image_facts *facts, struct reason *why)
{
	if (s->crc_started)
		return damaged(s, why, "a boot address in the middle of an image");
	text_copy(facts->detail, sizeof(facts->detail), "what follows a boot address is not read");
	text_copy(facts->no_card, sizeof(facts->no_card),
		  "a flash image that goes on at another address; a card takes a single image: copy "
		  "the one that it leads to");
	facts->unsized = true;
	s->phase = OPAQUE;
	return 0;
}

/* A command with all of its payload. */
static int command(struct ice40 *s, struct image_facts *facts, struct reason *why)
{
	/* Payload bytes of each opcode as writers produce them; 0 = unknown opcode. */
	static const uint8_t length[16] = { 1, 1, 2, 0, 4, 1, 2, 2, 2, 2 };
	char what[100];

	if (s->need != length[s->opcode] || !length[s->opcode]) {
		snprintf(what, sizeof(what), "unknown command %x%x", s->opcode, s->need);
		return damaged(s, why, what);
	}
	if (s->crc_good && (s->opcode != 0 || s->value != 6))
		return damaged(s, why, "something else than the wake-up follows the CRC check");
	s->phase = COMMAND;
	switch (s->opcode) {
	case 0:
		switch (s->value) {
		case 1:
		case 3:
			return data_begins(s, facts, why);
		case 5:
			if (s->crc_started)
				return damaged(s, why, "the CRC is reset twice");
			s->crc_started = true;
			s->crc = 0xffff;
			return 0;
		case 6:
			return wake_up(s, facts, why);
		case 8:
			return warm_boot(s, facts, why);
		}
		snprintf(what, sizeof(what), "unknown command 01 %02x", s->value);
		return damaged(s, why, what);
	case 1:
		if (s->value > 3)
			return damaged(s, why, "a bank above 3");
		s->bank = s->value;
		s->has_bank = true;
		return 0;
	case 2:
		if (!s->crc_started)
			return damaged(s, why, "a CRC check before the CRC is reset");
		text_copy(facts->integrity_checked, sizeof(facts->integrity_checked), "crc16");
		if (s->crc)
			return damaged(s, why, "the CRC does not match");
		s->crc_good = true;
		return 0;
	case 4:
		return warm_boot(s, facts, why);
	case 5:
		return s->value > 2 ? damaged(s, why, "an unknown oscillator range") : 0;
	case 6:
		s->width = s->value + 1;
		s->has_width = true;
		return 0;
	case 7:
		s->height = s->value;
		s->has_height = true;
		return 0;
	case 8:
		s->offset = s->value;
		return 0;
	case 9: /* warm-boot and no-sleep flags; the same on every part */
		return 0;
	}
	return damaged(s, why, "unknown command");
}

/* Search: keeps the comment and ends with the preamble. */
static void search(struct ice40 *s, uint8_t c, struct image_facts *facts)
{
	if (s->comment_len < sizeof(s->comment))
		s->comment[s->comment_len++] = (char)c;
	s->window = s->window << 8 | c;
	s->at++;
	if (s->at - s->start < 4 || s->window != 0x7eaa997e)
		return;
	/* The preamble is no part of the comment, unless that was cut long before. */
	if (s->comment_len == s->at - s->start)
		s->comment_len -= 4;
	s->phase = COMMAND;
	text_copy(facts->vendor, sizeof(facts->vendor), "lattice");
	text_copy(facts->family, sizeof(facts->family), "iCE40");
	facts->confidence = IMAGE_LIKELY;
	facts->partial = facts->compressed = facts->encrypted = facts->is_signed = IMAGE_NO;
	comment_lines(s, facts, false);
}

int ice40_take(struct ice40 *s, const uint8_t *b, size_t n, size_t *taken,
	       struct image_facts *facts, struct reason *why)
{
	size_t all = n;
	int rc = 0;

	*taken = 0;
	while (n && s->phase != AWAKE) {
		size_t take = 1;

		switch (s->phase) {
		case SEARCH:
			search(s, *b, facts);
			break;
		case COMMAND:
			s->opcode = *b >> 4;
			s->need = *b & 15;
			s->got = 0;
			s->value = 0;
			s->crc = crc16_update(s->crc, b, 1);
			s->at++;
			/* Longer than any command: refused before the payload is awaited. */
			if (s->need == 0 || s->need > 4)
				rc = command(s, facts, why);
			else
				s->phase = PAYLOAD;
			break;
		case PAYLOAD:
			s->value = s->value << 8 | *b;
			s->crc = crc16_update(s->crc, b, 1);
			s->at++;
			if (++s->got == s->need)
				rc = command(s, facts, why);
			break;
		case DATA:
			take = n < s->left ? n : s->left;
			s->crc = crc16_update(s->crc, b, take);
			s->at += take;
			s->left -= (uint32_t)take;
			if (!s->left) {
				s->left = 2;
				s->phase = ZEROS;
			}
			break;
		case ZEROS:
			s->crc = crc16_update(s->crc, b, 1);
			s->at++;
			if (*b)
				rc = damaged(s, why, "no 00 00 after the data of a bank");
			else if (!--s->left)
				s->phase = COMMAND;
			break;
		case OPAQUE:
			take = n;
			s->at += n;
			break;
		case AWAKE:
			break;
		}
		if (rc < 0)
			return rc;
		b += take;
		n -= take;
	}
	*taken = all - n;
	return s->phase >= AWAKE ? IMAGE_COMPLETE : IMAGE_MORE;
}

int ice40_end(const struct ice40 *s, uint64_t fed, struct reason *why)
{
	uint64_t usual = s->die ? s->data_at + s->die->tail : 0;
	uint64_t least = fed < FRONT_MIN ? FRONT_MIN + TAIL_MIN : fed + TAIL_MIN;

	if (s->phase >= AWAKE)
		return 0;
	if (fed < usual)
		return reason_set(why, EBADMSG,
				  "ice40: truncated: %llu of %llu bytes of an image for %s; copy the file again",
				  (unsigned long long)fed, (unsigned long long)usual, s->die->part);
	if (s->die)
		least = fed + 1; /* written by another tool: how much more there is, is not known */
	return reason_set(why, EBADMSG, "ice40: truncated: %llu of at least %llu bytes; copy the file again",
			  (unsigned long long)fed, (unsigned long long)least);
}
