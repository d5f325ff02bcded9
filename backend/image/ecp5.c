// SPDX-License-Identifier: Apache-2.0
/*
 * Lattice ECP5 .bit: comment, preamble, then commands of an opcode, three bytes of
 * parameters and data.
 *
 * The CRC-16 begins at the command that resets it and is checked behind each frame (or,
 * by a flag, behind the last one), behind block RAM, and behind commands that say so;
 * each check starts it anew. Opcodes ff are no commands and are not covered. Frames may be
 * compressed, as codes of 1, 6 or 10 bits for a byte; they are decoded only as far as their
 * length needs.
 *
 * Sources: Project Trellis, Lattice FPGA-TN-02039, and files of Diamond.
 */
#include <stdio.h>
#include <string.h>

#include <fabricfs/buf.h>
#include <fabricfs/crc.h>

#include "formats.h"
#include "lattice.h"
#include "parts.h"
#include "text.h"

enum {
	OP_DICTIONARY = 0x02,
	OP_CONTROL = 0x22,
	OP_RESET_CRC = 0x3b,
	OP_INIT_ADDRESS = 0x46,
	OP_DONE = 0x5e,
	OP_SPI_MODE = 0x79,
	OP_JUMP = 0x7e,
	OP_FRAMES = 0x82,
	OP_RAM_WRITE = 0xb2,
	OP_COMPRESSED = 0xb8,
	OP_USERCODE = 0xc2,
	OP_SECURITY = 0xce,
	OP_VERIFY_ID = 0xe2,
	OP_RAM_ADDRESS = 0xf6,
	OP_DUMMY = 0xff,
};

#define RAM_FRAME 9    /* bytes of a frame of block RAM */
#define FLAG_CRC  0x80 /* of the first parameter: a CRC follows */
#define FLAG_ONCE 0x40 /* of frames: only behind the last one */

enum phase { FRONT, COMMAND, PARAMETERS, DATA, CRC, FRAME, DUMMIES, OPAQUE, BEHIND };

struct ecp5 {
	enum phase phase, after_crc;
	struct lattice_front front;
	uint64_t at, end_at;
	uint16_t crc;
	uint8_t opcode, parameters[3], got;
	uint32_t left;	/* bytes of data, of a frame, of dummies or of a CRC to come */
	uint32_t value; /* the last bytes of data */
	uint32_t frames_left;
	uint32_t frame_bytes; /* of this part; 0 = not known */
	bool crc_started;
	bool unchecked; /* covered bytes since the last check are frames or block RAM */
	bool frames_seen, crc_off;
	/* Decoding a compressed frame: bits of a code that only have to be passed over. */
	uint8_t skip_bits, code_bits;
	uint32_t checks;
};

static void cover(struct ecp5 *s, const uint8_t *b, size_t n)
{
	s->crc = crc16_8005_update(s->crc, b, n);
}

static enum image_tri ecp5_probe(const uint8_t *head, size_t n, bool last)
{
	return lattice_probe(LATTICE_ECP5, head, n, last);
}

static int damaged(const struct ecp5 *s, struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG,
			  "ecp5: damaged at byte %llu: %s; copy or build the file again",
			  (unsigned long long)s->at, what);
}

/* --- commands ---------------------------------------------------------------------- */

/* Frames of 25F (and 12F), 45F, 85F in bytes (Project Trellis, devices.json). */
static uint32_t frame_bytes_of(uint32_t idcode)
{
	switch (idcode & 0x0fffffff) {
	case 0x01111043:
		return 74;
	case 0x01112043:
		return 106;
	case 0x01113043:
		return 142;
	}
	return 0;
}

static void crc_follows(struct ecp5 *s, enum phase after)
{
	s->after_crc = after;
	s->value = 0;
	s->left = 2;
	s->phase = CRC;
}

static void frame_begins(struct ecp5 *s)
{
	s->left = s->frame_bytes;
	if (s->opcode == OP_COMPRESSED)
		s->left = (s->left + 7) / 8 * 8; /* compressed in units of 64 bits */
	s->skip_bits = s->code_bits = 0;
	s->phase = FRAME;
}

static int frames_begin(struct ecp5 *s, struct image_facts *facts, struct reason *why)
{
	if (!s->crc_started)
		return damaged(s, why, "configuration data before the CRC is reset");
	if (!s->frame_bytes)
		return damaged(s, why, "configuration data before an IDCODE that is known");
	s->frames_left = read_be16(s->parameters + 1);
	if (!s->frames_left)
		return damaged(s, why, "a configuration of 0 frames");
	s->frames_seen = true;
	facts->compressed = s->opcode == OP_COMPRESSED ? IMAGE_YES : IMAGE_NO;
	if (!(s->parameters[0] & FLAG_CRC))
		s->crc_off = true;
	frame_begins(s);
	return 0;
}

static int done(struct ecp5 *s, struct image_facts *facts, struct reason *why)
{
	if (s->parameters[0] | s->parameters[1] | s->parameters[2])
		return damaged(s, why, "the command that ends the configuration has parameters");
	if (!s->frames_seen)
		return damaged(s, why, "the configuration ends without any frame");
	if (s->unchecked && !s->crc_off)
		return damaged(s, why, "the configuration ends without a CRC of its last data");
	s->phase = BEHIND;
	s->end_at = s->at;
	facts->declared_size = s->at;
	facts->confidence = IMAGE_EXACT;
	facts->partial = IMAGE_NO;
	facts->encrypted = IMAGE_NO;
	if (s->checks && !s->crc_off) {
		text_copy(facts->integrity_checked, sizeof(facts->integrity_checked), "crc16");
		facts->integrity_ok = true;
	} else {
		text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
			  "its frames have no CRC");
	}
	return 0;
}

/* The opcode and its parameters are there. */
static int command(struct ecp5 *s, struct image_facts *facts, struct reason *why)
{
	char what[60];

	s->left = 0;
	s->value = 0;
	s->phase = DATA;
	switch (s->opcode) {
	case OP_RESET_CRC:
		/* The CRC does not cover its own reset: it is taken as all writers write it. */
		if (s->parameters[0] | s->parameters[1] | s->parameters[2])
			return damaged(s, why, "the command that resets the CRC has parameters");
		if (s->unchecked)
			return damaged(s, why, "the CRC is reset before it was checked");
		s->crc = 0;
		s->crc_started = true;
		s->phase = COMMAND;
		return 0;
	case OP_VERIFY_ID:
	case OP_CONTROL:
	case OP_RAM_ADDRESS:
	case OP_USERCODE:
		s->left = 4;
		return 0;
	case OP_DICTIONARY:
		s->left = 8;
		return 0;
	case OP_RAM_WRITE:
		s->left = RAM_FRAME * (uint32_t)read_be16(s->parameters + 1);
		s->unchecked = true;
		if (!s->left)
			crc_follows(s, COMMAND);
		return 0;
	case OP_FRAMES:
	case OP_COMPRESSED:
		return frames_begin(s, facts, why);
	case OP_INIT_ADDRESS:
	case OP_SPI_MODE:
	case OP_SECURITY:
		if (s->opcode == OP_SECURITY && s->parameters[0] & FLAG_CRC)
			crc_follows(s, COMMAND);
		else
			s->phase = COMMAND;
		return 0;
	case OP_DONE:
		return done(s, facts, why);
	case OP_JUMP:
		if (s->crc_started)
			return damaged(s, why, "a jump in the middle of a configuration");
		text_copy(
			facts->detail, sizeof(facts->detail),
			"a flash image that goes on at another address, for several images in one flash");
		text_copy(facts->no_card, sizeof(facts->no_card),
			  "a flash image that only jumps to another address; the card takes a "
			  "single image: copy one of those that it leads to");
		text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
			  "what follows a jump is not read");
		facts->unsized = true;
		s->phase = OPAQUE;
		return 0;
	}
	snprintf(what, sizeof(what), "unknown command %02x", s->opcode);
	return damaged(s, why, what);
}

/* All data of a command is there; value has its last four bytes. */
static int data_complete(struct ecp5 *s, struct image_facts *facts)
{
	s->phase = COMMAND;
	if (s->opcode == OP_VERIFY_ID && !facts->has_idcode) {
		facts_idcode(facts, "lattice", s->value, s->front.part);
		s->frame_bytes = frame_bytes_of(s->value);
		facts->confidence = IMAGE_LIKELY;
	} else if (s->opcode == OP_USERCODE) {
		snprintf(facts->user_id, sizeof(facts->user_id), "%08x", s->value);
	}
	if (s->opcode == OP_RAM_WRITE ||
	    ((s->opcode == OP_USERCODE || s->opcode == OP_DICTIONARY) &&
	     s->parameters[0] & FLAG_CRC))
		crc_follows(s, COMMAND);
	return 0;
}

static int crc_complete(struct ecp5 *s, struct reason *why)
{
	char what[80];

	if (s->crc != s->value) {
		snprintf(what, sizeof(what),
			 "the CRC there is %04x, that of the data before it is %04x", s->value,
			 s->crc);
		return damaged(s, why, what);
	}
	s->crc = 0;
	s->checks++;
	s->unchecked = false;
	s->phase = s->after_crc;
	s->left = s->phase == DUMMIES ? s->parameters[0] & 15 : 0;
	return 0;
}

static void frame_next(struct ecp5 *s)
{
	if (--s->frames_left)
		frame_begins(s);
	else
		s->phase = COMMAND;
}

/* A frame is whole; a CRC, dummies or both may follow. */
static void frame_complete(struct ecp5 *s)
{
	bool crc = s->parameters[0] & FLAG_CRC;

	s->unchecked = true;
	if (crc && (!(s->parameters[0] & FLAG_ONCE) || s->frames_left == 1)) {
		crc_follows(s, DUMMIES);
	} else {
		s->phase = DUMMIES;
		s->left = s->parameters[0] & 15;
	}
}

/* One byte of codes. Bits behind the last one of a frame are padding. */
static void decode(struct ecp5 *s, uint8_t c)
{
	for (int bit = 7; bit >= 0 && s->left; bit--) {
		bool one = c >> bit & 1;

		if (s->skip_bits) {
			if (!--s->skip_bits)
				s->left--;
		} else if (s->code_bits) {
			/* 10 and four bits: a byte of one bit, or of the dictionary; 11 and the
			 * byte. */
			s->code_bits = 0;
			s->skip_bits = one ? 8 : 4;
		} else if (one) {
			s->code_bits = 1;
		} else {
			s->left--;
		}
	}
}

/* Takes what it can of n bytes. */
static size_t take(struct ecp5 *s, const uint8_t *b, size_t n, struct image_facts *facts,
		   struct reason *why, int *err)
{
	size_t bytes = 1;

	switch (s->phase) {
	case FRONT:
		*err = lattice_front_byte(&s->front, *b, why);
		if (*err < 0)
			*err = reason_wrap(why, "ecp5");
		else if (*err) {
			*err = 0;
			lattice_front_facts(&s->front, facts);
			facts->confidence = IMAGE_LIKELY;
			facts->encrypted = s->front.encrypted ? IMAGE_YES : IMAGE_UNKNOWN;
			s->phase = s->front.encrypted ? OPAQUE : COMMAND;
			if (s->front.encrypted) {
				text_copy(facts->family, sizeof(facts->family), "ECP5");
				text_copy(facts->part, sizeof(facts->part), s->front.part);
				text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
					  "encrypted: only the card can check it");
				facts->unsized = true;
			}
		}
		break;
	case COMMAND:
		if (*b == OP_DUMMY)
			break;
		cover(s, b, 1);
		s->opcode = *b;
		s->got = 0;
		s->phase = PARAMETERS;
		break;
	case PARAMETERS:
		cover(s, b, 1);
		s->parameters[s->got++] = *b;
		s->at++;
		if (s->got == sizeof(s->parameters))
			*err = command(s, facts, why);
		return 1;
	case DATA:
		bytes = n < s->left ? n : s->left;
		cover(s, b, bytes);
		for (size_t i = bytes < 4 ? 0 : bytes - 4; i < bytes; i++)
			s->value = s->value << 8 | b[i];
		s->left -= (uint32_t)bytes;
		if (!s->left)
			*err = data_complete(s, facts);
		break;
	case CRC:
		s->value = s->value << 8 | *b;
		if (!--s->left)
			*err = crc_complete(s, why);
		if (!*err && !s->left && s->phase == DUMMIES)
			frame_next(s);
		break;
	case FRAME:
		if (s->opcode == OP_COMPRESSED) {
			decode(s, *b);
		} else {
			bytes = n < s->left ? n : s->left;
			s->left -= (uint32_t)bytes;
		}
		cover(s, b, bytes);
		if (!s->left)
			frame_complete(s);
		if (s->phase == DUMMIES && !s->left)
			frame_next(s);
		break;
	case DUMMIES:
		cover(s, b, 1);
		if (!--s->left)
			frame_next(s);
		break;
	case OPAQUE:
		bytes = n;
		break;
	case BEHIND:
		*err = padding_check("ecp5", &s->at, s->end_at, b, n, why);
		return n;
	}
	s->at += bytes;
	return bytes;
}

static int ecp5_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		     struct reason *why)
{
	struct ecp5 *s = state;
	int err = 0;

	while (n && !err) {
		size_t taken = take(s, b, n, facts, why, &err);

		b += taken;
		n -= taken;
	}
	if (err)
		return err;
	return s->phase == BEHIND || s->phase == OPAQUE ? IMAGE_COMPLETE : IMAGE_MORE;
}

static int ecp5_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct ecp5 *s = state;

	(void)facts;
	if (s->phase == BEHIND || s->phase == OPAQUE)
		return 0;
	if (s->frames_seen && s->frames_left)
		return reason_set(
			why, EBADMSG,
			"ecp5: truncated: %llu bytes, and %u frames of the configuration are "
			"missing; copy the file again",
			(unsigned long long)fed, s->frames_left);
	return reason_set(
		why, EBADMSG,
		"ecp5: truncated: %llu bytes end before the command that ends a configuration; "
		"copy the file again",
		(unsigned long long)fed);
}

const struct image_format image_ecp5 = {
	.version = IMAGE_ABI,
	.name = "ecp5",
	.state_bytes = sizeof(struct ecp5),
	.probe = ecp5_probe,
	.feed = ecp5_feed,
	.end = ecp5_end,
};
