// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration logic of Xilinx 7-series, UltraScale and UltraScale+.
 *
 * It hunts for the sync word, whatever stands before it, and then executes packets that
 * write registers. The IDCODE register compares; without it, frames are refused. The CRC
 * register compares with the CRC of all that was written. The command START arms the
 * start-up, DESYNC begins it, unless something was written that no CRC has followed.
 *
 * A part of several dies is a chain of such logics: what is written to a register of one
 * is a whole stream to the next. DONE is one wire, high when all of them have started.
 *
 * A Zynq takes images through its processor, as a file of swapped words, perhaps with the
 * header of a boot image: the port takes them in this order too.
 *
 * Sources: UG470 and UG570 (registers, commands, status, start-up); the rules of the CRC
 * and of stacked parts as in images of Vivado for each family (Project X-Ray, and samples).
 * Not simulated: read packets (nothing is read out), configuration from flash (IPROG ends
 * in an empty device), decryption (there is no key).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "logic_kind.h"

#include <fabricfs/crc.h>

#define DIES_MAX 8

#define SYNC	     0xaa995566u
#define SYNC_SWAPPED 0x665599aau
#define BUS_WIDTH    0x000000bbu
#define NOP	     0x20000000u
#define XLNX	     0x584c4e58u /* follows the width word of a boot image's header, swapped */
#define CRC_LEFT_OUT 0x0000defcu /* written to the CRC register where it was switched off (UG470) */
#define CTL0_DEC     0x40u

enum { R_CRC, R_FAR, R_FDRI, R_FDRO, R_CMD, R_CTL0, R_MASK, R_STAT, R_LOUT, R_COR0, R_MFWR, R_CBC,
       R_IDCODE, R_NEXT_DIE = 0x1e };
/* Registers of 32 bits, by their numbers: all but those of frames, of a cipher's start value, of the
 * next die and (13) of a die of transceivers. What a device makes of several words for one of them is nowhere said; that a flipped
 * bit made the count is what it means, and here it does not go unseen. */
#define ONE_WORD (1u << R_CRC | 1u << R_FAR | 1u << R_CMD | 1u << R_CTL0 | 1u << R_MASK | 1u << R_LOUT | \
		  1u << R_COR0 | 1u << R_IDCODE | 1u << 0x0e | 1u << 0x10 | 1u << 0x11 | 1u << 0x13 |   \
		  1u << 0x16 | 1u << 0x18)

enum { CMD_NULL, CMD_WCFG, CMD_MFW, CMD_LFRM, CMD_RCFG, CMD_START, CMD_RCRC = 7, CMD_DESYNC = 13,
       CMD_IPROG = 15 };

/* Bits of the status register (UG470, UG570). */
enum { STAT_CRC_ERROR = 1u << 0, STAT_LOCKED = 3u << 2, STAT_EOS = 1u << 4, STAT_GTS_CFG_B = 1u << 5,
       STAT_GWE = 1u << 6, STAT_GHIGH_B = 1u << 7, STAT_MODE_SELECTMAP = 6u << 8,
       STAT_INIT_COMPLETE = 1u << 11, STAT_INIT_B = 1u << 12, STAT_RELEASE_DONE = 1u << 13,
       STAT_DONE = 1u << 14, STAT_ID_ERROR = 1u << 15, STAT_DEC_ERROR = 1u << 16,
       STAT_STARTED = 4u << 18, STAT_BUS_X8 = 1u << 25, STAT_BAD_PACKET = 1u << 29 };

enum phase { HUNT, PACKET, DATA, NEXT_DIE };

struct die {
	uint8_t phase, reg, have; /* have: bytes of `word` */
	bool type1_open; /* a type 1 packet without data came just before */
	bool front;      /* the first word behind a swapped sync */
	uint32_t word;   /* being collected; in HUNT the last four bytes */
	uint32_t left;       /* words of data to come */
	uint64_t left_bytes; /* of NEXT_DIE */
	uint32_t crc, mask, ctl0, cmd;
	bool id_held, armed, started, ghigh;
	bool unchecked, frames_unchecked; /* written since the last CRC that held */
	bool crc_used, crc_left_out;
	uint64_t frame_words;
};

struct xilinx {
	struct logic logic;
	uint8_t frame_words, dies_known; /* 0: not known */
	uint8_t dies;                    /* that were spoken to */
	bool swapped, bus_width, restarted;
	uint32_t errors;                 /* STAT bits */
	struct die die[DIES_MAX];
};

static struct xilinx *xilinx_of(struct logic *l)
{
	return (struct xilinx *)l;
}

static const struct xilinx *xilinx_of_const(const struct logic *l)
{
	return (const struct xilinx *)l;
}

/* Words of a frame: UG470 (7-series), UG570 (UltraScale, UltraScale+). */
static uint8_t frame_words_of(const char *family)
{
	return strstr(family, "UltraScale+") ? 93 : strstr(family, "UltraScale") ? 123 : 101;
}

/* Parts of several dies of which it is known how many, from images of Vivado for them. */
static uint8_t dies_of(const char *part)
{
	return !strcmp(part, "xcvu9p") || !strcmp(part, "xcvu37p") ? 3 : 0;
}

static void xilinx_reset(struct logic *l)
{
	struct xilinx *x = xilinx_of(l);

	x->frame_words = frame_words_of(l->row->family);
	x->dies_known = dies_of(l->part);
	x->dies = 1;
}

/* --- what the status pin tells ------------------------------------------------------- */

static uint32_t stat_word(const struct xilinx *x)
{
	bool done = logic_done(&x->logic);

	return STAT_LOCKED | STAT_MODE_SELECTMAP | STAT_INIT_COMPLETE | x->errors |
	       (x->errors ? 0 : STAT_INIT_B) | (x->bus_width ? STAT_BUS_X8 : 0) |
	       (x->die[0].ghigh ? STAT_GHIGH_B : 0) |
	       (done ? STAT_EOS | STAT_GTS_CFG_B | STAT_GWE | STAT_RELEASE_DONE | STAT_DONE | STAT_STARTED : 0);
}

static int fault(struct xilinx *x, uint32_t bit, int err, struct reason *why, const char *what)
{
	const char *name = bit == STAT_CRC_ERROR ? "CRC_ERROR"
			   : bit == STAT_ID_ERROR ? "ID_ERROR"
			   : bit == STAT_DEC_ERROR ? "DEC_ERROR" : "BAD_PACKET_ERROR";

	x->errors |= bit;
	return reason_set(why, err, "%s: %s; INIT_B is low, STAT %08x", name, what, stat_word(x));
}

/* --- registers ------------------------------------------------------------------------- */

static void cover(struct die *d, uint32_t word, uint8_t reg)
{
	const uint8_t b[4] = { (uint8_t)(word >> 24), (uint8_t)(word >> 16), (uint8_t)(word >> 8),
			       (uint8_t)word };

	d->crc = crc37_update(d->crc, b, 1, false, reg);
}

static void crc_begin(struct xilinx *x, struct die *d)
{
	logic_sum(&x->logic, d->crc);
	d->crc = 0;
	d->unchecked = d->frames_unchecked = false;
}

static int crc_compare(struct xilinx *x, struct die *d, uint32_t word, struct reason *why)
{
	char what[120];

	if (word == d->crc) {
		d->crc_used = true;
		x->logic.checks++;
	} else if (word == CRC_LEFT_OUT && !d->crc_used) {
		d->crc_left_out = true;
	} else {
		snprintf(what, sizeof(what), "the image says %08x, what was written has %08x", word, d->crc);
		return fault(x, STAT_CRC_ERROR, EBADMSG, why, what);
	}
	crc_begin(x, d);
	return 0;
}

static int id_compare(struct xilinx *x, struct die *d, uint32_t word, struct reason *why)
{
	const struct image_part *row = x->logic.row;
	char what[160];

	/* What the inner dies answer is their own; no table has it. */
	if (d == x->die && (word ^ row->idcode) & row->mask) {
		snprintf(what, sizeof(what), "the image is for idcode %08x, the device is %s (%08x)", word,
			 x->logic.part, row->idcode);
		return fault(x, STAT_ID_ERROR, EMEDIUMTYPE, why, what);
	}
	d->id_held = true;
	return 0;
}

/* `before`: something was written since the last CRC, this command not counted. */
static void command(struct xilinx *x, struct die *d, uint32_t word, bool before)
{
	d->cmd = word;
	switch (word) {
	case CMD_RCRC:
		/* What stands in the place of a CRC that was left out. */
		if (d->frames_unchecked)
			d->crc_left_out = true;
		crc_begin(x, d);
		break;
	case CMD_LFRM:
		d->ghigh = true;
		break;
	case CMD_START:
		d->armed = true;
		break;
	case CMD_DESYNC:
		if (d->armed && !(d->crc_used && before))
			d->started = true;
		d->armed = false;
		d->phase = HUNT;
		d->word = 0;
		break;
	case CMD_IPROG:
		logic_reset(&x->logic);
		x->restarted = true;
		break;
	}
}

static int no_key(struct xilinx *x, struct reason *why)
{
	return fault(x, STAT_DEC_ERROR, EOPNOTSUPP, why, "the image is encrypted, and this device has no key");
}

static int written(struct xilinx *x, struct die *d, uint32_t word, struct reason *why)
{
	bool before = d->unchecked;

	if (d->reg == R_CRC)
		return crc_compare(x, d, word, why);
	if (d->reg == R_LOUT)
		return 0;
	cover(d, word, d->reg);
	d->unchecked = true;
	switch (d->reg) {
	case R_CMD:
		command(x, d, word, before);
		return 0;
	case R_IDCODE:
		return id_compare(x, d, word, why);
	case R_MASK:
		d->mask = word;
		return 0;
	case R_CTL0:
		d->ctl0 = (d->ctl0 & ~d->mask) | (word & d->mask);
		return d->ctl0 & CTL0_DEC ? no_key(x, why) : 0;
	}
	return 0;
}

/* n words to the frame data register, which are covered already. */
static int frames_written(struct xilinx *x, struct die *d, uint64_t n, struct reason *why)
{
	if (!d->id_held)
		return fault(x, STAT_ID_ERROR, EMEDIUMTYPE, why, "frames come before an IDCODE that the device has");
	d->unchecked = d->frames_unchecked = true;
	/* A frame is written when it is whole, and while the command register says so. */
	if (d->cmd == CMD_WCFG) {
		x->logic.frames += (d->frame_words + n) / x->frame_words - d->frame_words / x->frame_words;
		d->frame_words += n;
	}
	return 0;
}

/* --- packets ------------------------------------------------------------------------------ */

static int write_begins(struct xilinx *x, struct die *d, uint32_t count, struct reason *why)
{
	d->left = count;
	if (!count)
		return 0;
	d->phase = DATA;
	if (count > 1 && ONE_WORD >> d->reg & 1)
		return fault(x, STAT_BAD_PACKET, EBADMSG, why, "several words for a register of one word");
	if (d->reg == R_CBC)
		return no_key(x, why);
	if (d->reg == R_MFWR && d->cmd == CMD_MFW)
		x->logic.frames++; /* the frame that was written last, once more */
	if (d->reg != R_NEXT_DIE)
		return 0;
	if (d == &x->die[DIES_MAX - 1])
		return fault(x, STAT_BAD_PACKET, EBADMSG, why, "more dies inside each other than any part has");
	d->phase = NEXT_DIE;
	d->left_bytes = (uint64_t)count * 4;
	if (x->dies < d - x->die + 2)
		x->dies = (uint8_t)(d - x->die + 2);
	return 0;
}

static int packet(struct xilinx *x, struct die *d, uint32_t word, struct reason *why)
{
	bool type1_open = d->type1_open, front = d->front;
	uint32_t op = word >> 27 & 3;
	char what[48];

	d->type1_open = d->front = false;
	if (word == NOP)
		return 0;
	if (front && word == XLNX) {
		/* No sync word: the header of a boot image, and the stream comes later. */
		d->phase = HUNT;
		d->word = 0;
		x->swapped = false;
		return 0;
	}
	if (!word) { /* between the rows of an image made for debugging: a word of a pad frame */
		cover(d, 0, R_FDRI);
		return frames_written(x, d, 1, why);
	}
	if (word >> 29 == 1) {
		d->reg = word >> 13 & 31;
		d->type1_open = op == 2 && !(word & 0x7ff);
		return op == 2 ? write_begins(x, d, word & 0x7ff, why) : 0;
	}
	if (word >> 29 == 2 && (type1_open || op != 2))
		return op == 2 ? write_begins(x, d, word & 0x07ffffff, why) : 0;
	snprintf(what, sizeof(what), "%08x is no packet", word);
	return fault(x, STAT_BAD_PACKET, EBADMSG, why, what);
}

static void hunt(struct xilinx *x, struct die *d, uint8_t byte)
{
	d->word = d->word << 8 | byte;
	if (d->word == BUS_WIDTH)
		x->bus_width = true;
	if (d->word != SYNC && (d->word != SYNC_SWAPPED || (d != x->die && !x->swapped)))
		return;
	if (d == x->die)
		x->swapped = d->word == SYNC_SWAPPED;
	d->front = x->swapped;
	d->phase = PACKET;
	/* Seen where no RCRC follows: the transceivers' die of Virtex-7 HT. */
	logic_sum(&x->logic, d->crc);
	d->crc = 0;
	d->type1_open = false;
	d->word = 0;
	d->have = 0;
}

static int one_word(struct xilinx *x, struct die *d, uint32_t word, struct reason *why)
{
	if (d->phase == PACKET)
		return packet(x, d, word, why);
	if (!--d->left)
		d->phase = PACKET;
	if (d->reg != R_FDRI)
		return written(x, d, word, why);
	cover(d, word, R_FDRI);
	return frames_written(x, d, 1, why);
}

static int die_write(struct xilinx *x, struct die *d, const uint8_t *b, size_t n, struct reason *why)
{
	int err = 0;

	while (n && !err) {
		size_t took = 1;

		if (d->phase == HUNT) {
			hunt(x, d, *b);
		} else if (d->phase == NEXT_DIE) {
			took = n < d->left_bytes ? n : (size_t)d->left_bytes;
			d->left_bytes -= took;
			if (!d->left_bytes)
				d->phase = PACKET;
			err = die_write(x, d + 1, b, took, why);
		} else if (d->phase == DATA && d->reg == R_FDRI && !d->have && n >= 4) {
			size_t words = n / 4 < d->left ? n / 4 : d->left;

			took = 4 * words;
			d->crc = crc37_update(d->crc, b, words, x->swapped, R_FDRI);
			d->left -= (uint32_t)words;
			if (!d->left)
				d->phase = PACKET;
			err = frames_written(x, d, words, why);
		} else {
			if (x->swapped)
				d->word |= (uint32_t)*b << 8 * d->have;
			else
				d->word = d->word << 8 | *b;
			if (++d->have == 4) {
				uint32_t word = d->word;

				d->word = d->have = 0;
				err = one_word(x, d, word, why);
			}
		}
		b += took;
		n -= took;
	}
	return err;
}

static int xilinx_write(struct logic *l, const uint8_t *b, size_t n, struct reason *why)
{
	return die_write(xilinx_of(l), xilinx_of(l)->die, b, n, why);
}

/* --- what it tells ---------------------------------------------------------------------------- */

static bool xilinx_done(const struct logic *l)
{
	const struct xilinx *x = xilinx_of_const(l);

	for (unsigned i = 0; i < x->dies; i++)
		if (!x->die[i].started)
			return false;
	return !x->errors && x->dies >= x->dies_known;
}

static bool xilinx_proven(const struct logic *l)
{
	const struct xilinx *x = xilinx_of_const(l);

	for (unsigned i = 0; i < x->dies; i++)
		if (!x->die[i].crc_used || x->die[i].crc_left_out)
			return false;
	return true;
}

static void xilinx_status(const struct logic *l, char *text, size_t size)
{
	const struct xilinx *x = xilinx_of_const(l);
	const struct die *d = x->die;
	const char *why = "";

	if (logic_done(l))
		why = ", DONE is high";
	else if (x->errors)
		why = ", INIT_B is low";
	else if (x->restarted)
		why = ", the command IPROG restarted it and there is no flash behind it";
	else if (d->started)
		why = ", another die has not started";
	else if (d->armed || d->unchecked)
		why = ", it waits for a CRC and the command DESYNC";
	else
		why = ", it waits for a stream with the command START";
	snprintf(text, size, "STAT %08x, %llu frames%s", stat_word(x), (unsigned long long)l->frames, why);
}

static const char *xilinx_confirms(const struct logic *l)
{
	return xilinx_proven(l) ? "CRC and DONE" : "DONE and readback CRC (the image has no CRC)";
}

static const char *const families[] = {
	"Artix-7", "Kintex-7", "Spartan-7", "Virtex-7", "Zynq-7000", "Kintex UltraScale",
	"Virtex UltraScale", "Artix UltraScale+", "Kintex UltraScale+", "Virtex UltraScale+",
	"Zynq UltraScale+", NULL,
};

const struct logic_kind logic_xilinx = {
	.families = families,
	.formats = "xilinx-bit xilinx-bin",
	.bytes = sizeof(struct xilinx),
	.reset = xilinx_reset,
	.write = xilinx_write,
	.done = xilinx_done,
	.proven = xilinx_proven,
	.status = xilinx_status,
	.confirms = xilinx_confirms,
};
