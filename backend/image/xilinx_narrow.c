// SPDX-License-Identifier: Apache-2.0
/*
 * Configuration streams of Spartan-3A and Spartan-6: packets of 16 bits. The sync word of
 * Spartan-6 is aa995566, that of Spartan-3A aa99 alone.
 *
 * Their CRC has 22 bits: with each word that is written to a register it is shifted by one bit,
 * under the polynomial 409081, and the word and the register's number in front of it are added
 * as a whole. The command RCRC sets it to zero; a CRC that holds does not change it. Spartan-6
 * has one, of two words outside of any packet, behind the frames of each packet.
 *
 * So it is in 36 images of ISE for 25 parts of these families, each CRC of them; no document
 * was at hand that says so. Packets are named in UG332 and UG380. No encrypted image was at
 * hand: one is known by the control register and the start value of its cipher, and what
 * follows cannot be read.
 */
#include <stdio.h>

#include "xilinx.h"

enum { HUNT, PACKET, DATA, COUNT, FRAMES, AUTO_CRC, BEHIND, OPAQUE };

enum { /* registers */
       R_CRC = 0x00,
       R_FDRI = 0x03,
       R_CMD = 0x05,
       R_CTL = 0x06,
       R_IDCODE = 0x0e,
       R_MFWR_3A = 0x18,
       R_MFWR_6 = 0x1b,
       R_CBC = 0x22,
};

enum { CMD_RCRC = 7, CMD_DESYNC = 13 };

#define REGISTERS 0x23 /* how many there are */
#define DECRYPT	  0x40u  /* of the control register (UG380) */
#define NOP	  0x2000u
#define SYNC	  0xaa99u
#define SYNC_6	  0x5566u /* what follows it for Spartan-6 */
#define POLY	  0x409081u
#define HUNT_MAX  2048	  /* words in front of a sync word: 4 KiB */
#define CRC_OFF	  0xdefcu /* the low half of what stands where the CRC is switched off */

static int damaged(const struct xilinx_stream *s, struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG,
			  "%s: damaged at byte %llu: %s; copy or build the file again", s->format,
			  (unsigned long long)(s->at - 2), what);
}

static void cover(struct xilinx_level *l, uint32_t word)
{
	l->crc <<= 1;
	if (l->crc >> 22)
		l->crc ^= POLY;
	l->crc ^= (uint32_t)l->reg << 16 | word;
}

static int crc_check(struct xilinx_stream *s, struct xilinx_level *l, uint32_t told,
		     struct reason *why)
{
	char what[100];

	l->phase = PACKET;
	if (told == l->crc) {
		l->crc_used = true;
		s->crcs++;
	} else if ((told & 0xffff) == CRC_OFF && !l->crc_used) {
		l->crc_off = true;
	} else {
		snprintf(what, sizeof(what),
			 "the CRC there is %06x, that of the data before it is %06x", told, l->crc);
		return damaged(s, why, what);
	}
	l->unchecked = l->unchecked_data = false;
	return 0;
}

static int command(struct xilinx_stream *s, struct xilinx_level *l, uint32_t word,
		   struct reason *why)
{
	if (word == CMD_RCRC) {
		l->crc_off |= l->unchecked_data;
		l->crc = 0;
		l->unchecked = l->unchecked_data = false;
	} else if (word == CMD_DESYNC) {
		/* Where CRCs are switched off, RCRC or a constant stands in the place of each. */
		if (l->unchecked_data)
			return damaged(s, why,
				       "the configuration ends without a CRC of its last frames");
		l->phase = BEHIND;
		l->desynced = true;
	} else {
		l->unchecked = true;
	}
	return 0;
}

/* A word of data of a packet that is no frame. */
static int written(struct xilinx_stream *s, struct xilinx_level *l, uint32_t word,
		   struct reason *why)
{
	bool last = !--l->left;

	if (last)
		l->phase = PACKET;
	if (l->reg == R_CRC)
		return last ? crc_check(s, l, s->partial_word, why) : 0;
	cover(l, word);
	if (l->reg == R_CMD)
		return command(s, l, word, why);
	l->unchecked = true;
	if (l->reg == R_CTL)
		s->decrypts = word & DECRYPT;
	if (l->reg == R_IDCODE && last && !s->has_idcode) {
		s->has_idcode = true;
		s->idcode = s->partial_word;
	}
	if (l->reg == (s->narrow_auto ? R_MFWR_6 : R_MFWR_3A) && last && l->op > 1) {
		s->repeats++;
		l->unchecked_data = true;
	}
	return 0;
}

static int packet(struct xilinx_stream *s, struct xilinx_level *l, uint32_t word,
		  struct reason *why)
{
	uint32_t reg = word >> 5 & 63, count = word & 31;
	char what[60];

	if (word == NOP)
		return 0;
	/* Writes alone, in the one shape of them. */
	if (word >> 11 == 6 && count && reg < REGISTERS &&
	    (count == 2 || (reg != R_CRC && reg != R_IDCODE)) && (count == 1 || reg != R_CMD)) {
		l->reg = (uint8_t)reg;
		l->op = (uint8_t)count;
		l->left = count;
		l->phase = DATA;
		if (reg == R_CBC && s->decrypts) {
			s->encrypted = true;
			l->phase = OPAQUE;
		}
		return 0;
	}
	if (word >> 11 == 10 && !count && reg == R_FDRI) {
		l->reg = (uint8_t)reg;
		l->left = 2;
		l->phase = COUNT;
		return 0;
	}
	snprintf(what, sizeof(what), "%04x is no configuration packet", word);
	return damaged(s, why, what);
}

static int hunt(struct xilinx_stream *s, struct xilinx_level *l, uint32_t word, struct reason *why)
{
	if (word == SYNC) {
		l->phase = PACKET;
		l->synced_once = l->type1_open = true; /* the other half may follow */
		l->crc = 0;
		return 0;
	}
	if (l->phase == HUNT && ++l->hunted > HUNT_MAX)
		return damaged(s, why, "no sync word (aa99) within 4096 bytes");
	if (l->phase != BEHIND || !word || word == NOP || word == 0xffff)
		return 0;
	if (!s->raw)
		return damaged(s, why, "more than padding behind the command DESYNC");
	return reason_set(why, EFBIG,
			  "%s: bytes after the end of the configuration: %04x at byte %llu is "
			  "neither padding nor another configuration",
			  s->format, word, (unsigned long long)(s->at - 2));
}

static int one_word(struct xilinx_stream *s, uint32_t word, struct reason *why)
{
	struct xilinx_level *l = &s->level[0];
	bool synced_now = l->type1_open;

	l->type1_open = false;
	switch (l->phase) {
	case HUNT:
	case BEHIND:
		return hunt(s, l, word, why);
	case PACKET:
		if (synced_now && word == SYNC_6) {
			s->narrow_auto = true;
			return 0;
		}
		return packet(s, l, word, why);
	case DATA:
		return written(s, l, word, why);
	case COUNT:
		if (--l->left)
			return 0;
		l->left = s->partial_word;
		if (!l->left || l->left > 1u << 28)
			return damaged(s, why, "a packet of no frames, or of more than any part has");
		l->phase = FRAMES;
		return 0;
	case FRAMES:
		cover(l, word);
		s->frame_words++;
		l->unchecked = l->unchecked_data = true;
		if (!--l->left) {
			l->phase = s->narrow_auto ? AUTO_CRC : PACKET;
			l->left = 2;
		}
		return 0;
	case OPAQUE:
		return 0;
	case AUTO_CRC:
		return --l->left ? 0 : crc_check(s, l, s->partial_word, why);
	}
	return 0;
}

int xilinx_narrow_feed(struct xilinx_stream *s, const uint8_t *b, size_t n, struct reason *why)
{
	int err = 0;

	for (; n && !err; n--, b++) {
		/* The last four bytes: two words make an IDCODE, a count or a CRC. */
		s->partial_word = s->partial_word << 8 | *b;
		s->at++;
		s->partial_bytes ^= 1;
		if (!s->partial_bytes)
			err = one_word(s, s->partial_word & 0xffff, why);
	}
	return err;
}

const char *xilinx_narrow_missing(const struct xilinx_stream *s)
{
	const struct xilinx_level *l = &s->level[0];

	if (l->phase == OPAQUE)
		return NULL;
	if (s->partial_bytes)
		return "it is in the middle of a 16-bit word";
	if (!l->synced_once)
		return "it ends before a sync word (aa99)";
	if (l->phase != BEHIND)
		return "it ends before the command DESYNC";
	if (l->unchecked && l->crc_used)
		return "the configuration ends without its last CRC";
	return NULL;
}
