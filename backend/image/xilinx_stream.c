// SPDX-License-Identifier: Apache-2.0
/*
 * Xilinx configuration packets.
 *
 * The CRC covers the data of register writes, together with the register's number; not
 * the packets' headers, NOPs and what stands outside of sync. So headers are taken in the
 * one shape that writers produce, and frames that no CRC followed are refused where the
 * stream has any: a flipped bit in a header breaks the parse or a later CRC.
 *
 * Two more rules, of images made for debugging: LOUT is not covered, and a word of zero
 * between packets counts as one written to FDRI. A CRC word that holds leaves zero behind.
 */
#include <stdio.h>
#include <string.h>

#include <fabricfs/buf.h>
#include <fabricfs/crc.h>

#include "parts.h"
#include "xilinx.h"

enum { HUNT, PACKET, DATA, AUTO_CRC, OPAQUE };

enum { /* registers (UG470 table 5-23; 0x0b, 0x0e of UG332 for Spartan-3) */
       R_CRC = 0x00,
       R_FDRI = 0x02,
       R_CMD = 0x04,
       R_CTL0 = 0x05,
       R_LOUT = 0x08,
       R_MFWR = 0x0a,
       R_CBC = 0x0b,
       R_IDCODE = 0x0c,
       R_COR1 = 0x0e,
       R_WBSTAR = 0x10,
       R_TIMER = 0x11,
       R_FULL = 0x13,
       R_NEXT_DIE = 0x1e,
       R3_FLR = 0x0b,
       R3_IDCODE = 0x0e,
       R3_MFWR = 0x0a,
};

/* Registers of one word, which no writer writes otherwise: bits by their numbers. */
#define ONE_WORD                                                                       \
	(1u << 0x00 | 1u << 0x01 | 1u << 0x04 | 1u << 0x05 | 1u << 0x06 | 1u << 0x08 | \
	 1u << 0x09 | 1u << 0x0c | 1u << 0x0e | 1u << 0x10 | 1u << 0x11 | 1u << 0x13 | \
	 1u << 0x16 | 1u << 0x18)

enum { CMD_RCRC = 7, CMD_DESYNC = 13 };
enum { OP_NOP = 0, OP_READ = 1, OP_WRITE = 2 };

#define SYNC	     0xaa995566u
#define NOP	     0x20000000u
#define BUS_WIDTH_1  0x000000bbu
#define BUS_WIDTH_2  0x11220044u
#define CRC_CONSTANT 0x0000defcu /* written where the CRC is switched off (UG470) */
#define HUNT_MAX     1024	 /* words in front of a sync word: 4 KiB */

void xilinx_stream_init(struct xilinx_stream *s, const char *format, enum xilinx_map map,
			bool swapped, uint64_t at)
{
	*s = (struct xilinx_stream){
		.format = format, .map = map, .swapped = swapped, .at = at, .dies = 1
	};
}

static int damaged(const struct xilinx_stream *s, struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG,
			  "%s: damaged at byte %llu: %s; copy or build the file again", s->format,
			  (unsigned long long)(s->at - 4), what);
}

static struct xilinx_level *top(struct xilinx_stream *s)
{
	return &s->level[s->depth];
}

static void cover(struct xilinx_stream *s, struct xilinx_level *l, uint32_t word, uint8_t reg)
{
	uint8_t b[4] = { (uint8_t)(word >> 24), (uint8_t)(word >> 16), (uint8_t)(word >> 8),
			 (uint8_t)word };

	if (s->map == XILINX_SPARTAN3)
		l->crc = xilinx_crc16(l->crc, word, reg);
	else
		l->crc = crc37_update(l->crc, b, 1, false, reg);
}

static int crc_check(struct xilinx_stream *s, struct xilinx_level *l, uint32_t word,
		     struct reason *why)
{
	char what[100];

	if (word != l->crc) {
		/* A writer that was told to leave the CRC out writes a constant. */
		if (word == CRC_CONSTANT && !l->crc_used) {
			l->crc_off = true;
		} else {
			snprintf(what, sizeof(what),
				 "the CRC there is %08x, that of the data before it is %08x", word,
				 l->crc);
			return damaged(s, why, what);
		}
	} else {
		l->crc_used = true;
		s->crcs++;
	}
	l->crc = 0;
	l->unchecked = l->unchecked_data = false;
	return 0;
}

static int idcode_found(struct xilinx_stream *s, uint32_t word, struct reason *why)
{
	char what[80];

	/* Those of the inner dies differ. A partial image writes it several times, all alike; no CRC
	 * covers what is written before the first RCRC. */
	if (s->depth)
		return 0;
	if (s->has_idcode && s->idcode != word) {
		snprintf(what, sizeof(what), "the idcode there is %08x, and before it was %08x", word,
			 s->idcode);
		return damaged(s, why, what);
	}
	s->has_idcode = true;
	s->idcode = word;
	return 0;
}

static int command(struct xilinx_stream *s, struct xilinx_level *l, uint32_t word,
		   struct reason *why)
{
	if (word == CMD_RCRC) {
		if (l->unchecked_data)
			l->crc_off = true; /* what stands in place of a CRC that was left out */
		l->crc = 0;
		l->unchecked = l->unchecked_data = false;
	} else if (word == CMD_DESYNC) {
		/* Where CRCs are switched off, RCRC or a constant stands in the place of each. */
		if (l->unchecked_data)
			return damaged(s, why,
				       "the configuration ends without a CRC of its last frames");
		l->phase = HUNT;
		l->hunted = 0;
		l->desynced = true;
	} else if (word) {
		l->unchecked = true;
	}
	return 0;
}

/* One word of data of a write to l->reg; not for frames, which come in bulk. */
static int written(struct xilinx_stream *s, struct xilinx_level *l, uint32_t word,
		   struct reason *why)
{
	if (l->reg == R_CRC)
		return crc_check(s, l, word, why);
	if (l->reg == R_LOUT && s->map == XILINX_VIRTEX)
		return 0;
	cover(s, l, word, l->reg);
	if (l->reg == R_CMD)
		return command(s, l, word, why);
	l->unchecked = true;
	if (s->map == XILINX_SPARTAN3) {
		return l->reg == R3_IDCODE ? idcode_found(s, word, why) : 0;
	}
	switch (l->reg) {
	case R_IDCODE:
		return idcode_found(s, word, why);
	case R_COR1:
	case R_WBSTAR:
	case R_TIMER:
	case R_FULL:
		s->full_marks = true;
		break;
	case R_CTL0:
		if (word & 0x40) /* DEC: what follows is encrypted (UG470) */
			s->encrypted = true;
		break;
	}
	return 0;
}

/* A write with a known number of words begins. */
static int write_begins(struct xilinx_stream *s, struct xilinx_level *l, uint32_t count,
			struct reason *why)
{
	l->left = count;
	l->phase = count ? DATA : PACKET;
	if (l->end_word && s->words + count > l->end_word)
		return damaged(s, why, "a packet reaches beyond the die that it is for");
	if (!count)
		return 0;
	if (count != 1 && ONE_WORD >> l->reg & 1)
		return damaged(s, why, "several words for a register of one word");
	/* A raw image does not say its family: one word to this register is Spartan-3's. */
	if (s->map_open && l->reg == R3_FLR && count == 1 && !s->frame_words && !s->depth)
		s->map = XILINX_SPARTAN3;
	if (s->map != XILINX_VIRTEX) {
		s->repeats += l->reg == R3_MFWR;
		return 0;
	}
	s->repeats += l->reg == R_MFWR;
	l->frames |= l->reg == R_FDRI;
	if (l->reg == R_CBC && count == 4 && !s->frame_words) {
		/* The start value of a cipher (UG470): nothing behind it can be read. */
		s->encrypted = true;
		l->phase = OPAQUE;
		return 0;
	}
	if (l->reg != R_NEXT_DIE)
		return 0;
	if (s->depth + 1 == XILINX_DIES_MAX)
		return damaged(s, why, "more dies inside each other than any part has");

	struct xilinx_level *inner = &s->level[++s->depth];

	*inner = (struct xilinx_level){ .end_word = s->words + count };
	l->left = 0;
	l->phase = PACKET;
	/* A die may be written to several times, and the next one is always inside of it. */
	if (s->depth >= s->dies)
		s->dies = s->depth + 1;
	return 0;
}

static int packet(struct xilinx_stream *s, struct xilinx_level *l, uint32_t word,
		  struct reason *why)
{
	uint32_t op = word >> 27 & 3;
	bool type1_open = l->type1_open;
	char what[80];

	l->type1_open = false;
	if (type1_open && word >> 29 != 2)
		return damaged(s, why, "a packet without data has no second header behind it");
	if (word == NOP)
		return 0;
	/* Only behind frames: elsewhere it is a NOP of which one bit is missing. */
	if (!word && s->map == XILINX_VIRTEX && l->frames) {
		cover(s, l, 0, R_FDRI);
		l->unchecked = l->unchecked_data = true;
		s->frame_words++;
		return 0;
	}
	/* Type 1; its address has 14 bits, of which five are used. */
	if (word >> 29 == 1 && !(word & 0x07fc1800) && (op == OP_WRITE || op == OP_READ)) {
		l->reg = word >> 13 & 31;
		l->op = (uint8_t)op;
		l->type1_open = !(word & 0x7ff);
		return op == OP_WRITE ? write_begins(s, l, word & 0x7ff, why) : 0;
	}
	if (word >> 29 == 2 && type1_open && op == l->op)
		return op == OP_WRITE ? write_begins(s, l, word & 0x07ffffff, why) : 0;
	snprintf(what, sizeof(what), "%08x is no configuration packet", word);
	return damaged(s, why, what);
}

static int hunt(struct xilinx_stream *s, struct xilinx_level *l, uint32_t word, struct reason *why)
{
	char what[80];

	if (word == SYNC) {
		l->phase = PACKET;
		l->synced_once = true;
		l->type1_open = l->frames = false;
		l->crc = 0; /* seen where no RCRC follows: the transceiver die of Virtex-7 HT */
		return 0;
	}
	if (!l->synced_once && ++l->hunted > HUNT_MAX)
		return damaged(s, why, "no sync word (aa995566) within 4096 bytes");
	if (word == NOP || word == UINT32_MAX || word == BUS_WIDTH_1 || word == BUS_WIDTH_2)
		return 0;
	/* Boot images and memories are filled up with zeros; in a .bit they are a hole. */
	if (!word && (s->raw || s->swapped))
		return 0;
	if (s->raw && l->synced_once && !s->depth)
		return reason_set(
			why, EFBIG,
			"%s: bytes after the end of the configuration: %08x at byte %llu is neither "
			"padding nor another configuration",
			s->format, word, (unsigned long long)(s->at - 4));
	/* Else one flipped bit in a sync word would pass over all that is behind it. */
	snprintf(what, sizeof(what), "%08x is neither padding nor a sync word", word);
	return damaged(s, why, what);
}

static int one_word(struct xilinx_stream *s, uint32_t word, struct reason *why)
{
	struct xilinx_level *l = top(s);
	int err = 0;

	s->words++;
	switch (l->phase) {
	case HUNT:
		err = hunt(s, l, word, why);
		break;
	case PACKET:
		err = packet(s, l, word, why);
		break;
	case DATA:
		if (!--l->left)
			l->phase = PACKET;
		if (l->reg == R_FDRI) {
			cover(s, l, word, R_FDRI);
			s->frame_words++;
			l->unchecked = l->unchecked_data = true;
			if (!l->left && s->map == XILINX_SPARTAN3)
				l->phase = AUTO_CRC;
		} else {
			err = written(s, l, word, why);
		}
		break;
	case AUTO_CRC:
		l->phase = PACKET;
		err = crc_check(s, l, word, why);
		break;
	case OPAQUE:
		break;
	}
	/* The end of a die, and of those that end with it. */
	while (!err && s->depth && s->words >= top(s)->end_word) {
		l = top(s);
		if (l->phase != OPAQUE && (l->phase != HUNT || !l->desynced))
			return damaged(s, why, "the stream of one of its dies breaks off");
		if (l->crc_off)
			s->level[s->depth - 1].crc_off = true;
		s->depth--;
	}
	return err;
}

/* Words of frames that can be taken at once, of those that are there. */
static size_t bulk(struct xilinx_stream *s, const uint8_t *b, size_t n)
{
	struct xilinx_level *l = top(s);
	size_t words = n / 4;

	if (s->partial_bytes || s->map != XILINX_VIRTEX || l->phase != DATA || l->reg != R_FDRI)
		return 0;
	/* The last one goes the common way. */
	if (words > l->left - 1)
		words = l->left - 1;
	l->crc = crc37_update(l->crc, b, words, s->swapped, R_FDRI);
	l->left -= (uint32_t)words;
	l->unchecked = l->unchecked_data = true;
	s->words += words;
	s->frame_words += words;
	s->at += words * 4;
	return words * 4;
}

/* --- the whole --------------------------------------------------------------------- */

int xilinx_stream_feed(struct xilinx_stream *s, const uint8_t *b, size_t n, struct reason *why)
{
	int err = 0;

	if (s->map == XILINX_SPARTAN6)
		return xilinx_narrow_feed(s, b, n, why);
	while (n && !err) {
		size_t taken = bulk(s, b, n);

		if (taken) {
			b += taken;
			n -= taken;
			continue;
		}
		if (s->swapped)
			s->partial_word |= (uint32_t)*b << 8 * s->partial_bytes;
		else
			s->partial_word = s->partial_word << 8 | *b;
		b++;
		n--;
		s->at++;
		if (++s->partial_bytes == 4) {
			uint32_t word = s->partial_word;

			s->partial_bytes = 0;
			s->partial_word = 0;
			err = one_word(s, word, why);
		}
	}
	return err;
}

int xilinx_stream_end(const struct xilinx_stream *s, struct reason *why)
{
	const struct xilinx_level *l = &s->level[s->depth];
	const char *missing = NULL;

	if (s->map == XILINX_SPARTAN6)
		missing = xilinx_narrow_missing(s);
	else if (l->phase == OPAQUE)
		return 0;
	else if (s->partial_bytes)
		missing = "it is in the middle of a 32-bit word";
	else if (!l->synced_once)
		missing = "it ends before a sync word (aa995566)";
	else if (s->depth || l->phase != HUNT || !l->desynced)
		missing = "it ends before the command DESYNC";
	else if (l->unchecked && l->crc_used && s->dies == 1)
		missing = "the configuration ends without its last CRC";
	if (!missing)
		return 0;
	return reason_set(why, EBADMSG,
			  "%s: truncated or damaged: at byte %llu %s; copy or build the file again",
			  s->format, (unsigned long long)s->at, missing);
}

void xilinx_stream_facts(const struct xilinx_stream *s, const char *named, bool ended,
			 struct image_facts *facts)
{
	if (s->has_idcode && !facts->has_idcode)
		facts_idcode(facts, "xilinx", s->idcode, named);
	if (s->encrypted)
		facts->encrypted = IMAGE_YES;
	/* Without a header, what cannot be read to its end does not show one. */
	if (s->raw && (s->map == XILINX_SPARTAN6 ? s->encrypted : s->level[0].phase == OPAQUE))
		facts->unsized = true;
	if (s->repeats)
		facts->compressed = IMAGE_YES;
	/* They come first, so that a slot which takes partial ones refuses it at its first write; but
	 * until frames begin a raw image may still turn out to be Spartan-3's, with other registers. */
	if (s->map == XILINX_VIRTEX && facts->partial == IMAGE_UNKNOWN && s->full_marks &&
	    (!s->map_open || s->frame_words))
		facts->partial = IMAGE_NO;
	if (!ended)
		return;
	if (!s->has_idcode && named[0] && !facts->part[0]) {
		text_copy(facts->vendor, sizeof(facts->vendor), "xilinx");
		text_copy(facts->part, sizeof(facts->part), named);
	}
	facts->dies = s->dies;
	if (facts->compressed == IMAGE_UNKNOWN)
		facts->compressed = IMAGE_NO;
	if (s->map == XILINX_VIRTEX && facts->partial == IMAGE_UNKNOWN && !s->encrypted)
		facts->partial = IMAGE_YES;
	if (s->encrypted) {
		text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
			  "encrypted: only the card can check it");
		facts->confidence = IMAGE_LIKELY;
		return;
	}
	facts->encrypted = IMAGE_NO;
	facts->confidence = s->has_idcode ? IMAGE_EXACT : IMAGE_LIKELY;
	if (s->crcs && !s->level[0].crc_off) {
		text_copy(facts->integrity_checked, sizeof(facts->integrity_checked),
			  s->map == XILINX_SPARTAN3   ? "crc16"
			  : s->map == XILINX_SPARTAN6 ? "crc22"
						      : "crc32c");
		facts->integrity_ok = true;
	} else {
		text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
			  "it was built with its CRC switched off");
	}
}
