// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration logic of Lattice ECP5.
 *
 * It waits for the preamble bd b3, whatever stands before it, and then executes commands of
 * an opcode, three bytes of parameters and data. Frames go into the configuration memory
 * one after the other, plain or compressed; a CRC-16 runs over all that comes since it was
 * reset, and is compared where a command asks for it. ISC_PROGRAM_DONE ends configuration.
 *
 * Sources: FPGA-TN-02039 (commands, status register), Project Trellis (size and number of
 * frames, compression), and what images of Diamond and ecppack have.
 * Not simulated: decryption (there is no key), images that go on elsewhere in a flash.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "logic_kind.h"

#include <fabricfs/crc.h>

#define PREAMBLE	   0xbdb3
#define PREAMBLE_ENCRYPTED 0xbfb3
#define RAM_FRAME	   9 /* bytes of a frame of block RAM */

enum {
	LSC_COMP_DIC = 0x02,
	LSC_PROG_CNTRL0 = 0x22,
	LSC_RESET_CRC = 0x3b,
	LSC_INIT_ADDRESS = 0x46,
	ISC_PROGRAM_DONE = 0x5e,
	SPI_MODE = 0x79,
	LSC_PROG_INCR_RTI = 0x82,
	LSC_EBR_WRITE = 0xb2,
	LSC_PROG_INCR_CMP = 0xb8,
	ISC_PROGRAM_USERCODE = 0xc2,
	ISC_PROGRAM_SECURITY = 0xce,
	LSC_VERIFY_ID = 0xe2,
	LSC_EBR_ADDRESS = 0xf6,
	ISC_NOOP = 0xff,
};

/* Of the first parameter: a CRC follows; of frames: only behind the last one; and so many bytes
 * behind each. */
#define WITH_CRC  0x80
#define CRC_ONCE  0x40
#define DUMMIES	  0x0f

/* The status register: DONE, Fail, and the error of the bitstream engine in three bits. */
enum { STATUS_DONE = 1u << 8, STATUS_FAIL = 1u << 13, STATUS_BSE = 23 };
enum bse { BSE_NONE, BSE_ID, BSE_CMD, BSE_CRC, BSE_PREAMBLE, BSE_ABORT, BSE_OVERFLOW, BSE_SIZE };

enum phase { WAIT, COMMAND, PARAMETERS, DATA, CRC, FRAME, BEHIND_FRAME, DONE };

struct ecp5 {
	struct logic logic;
	uint8_t phase, opcode, parameters[3], got;
	uint8_t skip, code; /* of a compressed byte: bits to pass over, and whether its code has begun */
	bool after_frame;   /* the CRC is one of a frame */
	uint16_t last, crc;
	uint32_t left, value; /* bytes of data to come, and the last four */
	uint32_t frames_left, address;
	bool running;	/* the CRC was reset once */
	bool unchecked; /* frames or block RAM since the last CRC that held */
	bool left_out;
	enum bse bse;
};

/* Project Trellis, devices.json */
static const struct {
	uint32_t die; /* IDCODE without what tells the variants of a die apart */
	uint32_t bytes, frames;
} memories[] = {
	{ 0x01111043, 74, 7562 },   /* 12F, 25F */
	{ 0x01112043, 106, 9470 },  /* 45F */
	{ 0x01113043, 142, 13294 }, /* 85F */
};

static unsigned memory_of(const struct ecp5 *e)
{
	unsigned i = 0;

	while (i < 2 && memories[i].die != (e->logic.row->idcode & 0x0fffffff))
		i++;
	return i;
}

static struct ecp5 *ecp5_of(struct logic *l)
{
	return (struct ecp5 *)l;
}

static const struct ecp5 *ecp5_of_const(const struct logic *l)
{
	return (const struct ecp5 *)l;
}

static uint32_t status_word(const struct ecp5 *e)
{
	return (e->phase == DONE ? STATUS_DONE : 0) | (e->bse ? STATUS_FAIL : 0) |
	       (uint32_t)e->bse << STATUS_BSE;
}

static int fault(struct ecp5 *e, enum bse bse, int err, struct reason *why, const char *what)
{
	static const char *const names[] = { "no error", "ID error", "CMD error", "CRC error",
					     "PRMB error", "ABRT error", "OVFL error", "SDM error" };

	e->bse = bse;
	return reason_set(why, err, "%s: %s; INITN is low, status %08x", names[bse], what, status_word(e));
}

static void cover(struct ecp5 *e, const uint8_t *b, size_t n)
{
	e->crc = crc16_8005_update(e->crc, b, n);
}

static void crc_begin(struct ecp5 *e)
{
	logic_sum(&e->logic, e->crc);
	e->crc = 0;
}

static void crc_follows(struct ecp5 *e, bool after_frame)
{
	e->after_frame = after_frame;
	e->value = 0;
	e->left = 2;
	e->phase = CRC;
}

static int frame_begin(struct ecp5 *e, struct reason *why)
{
	unsigned m = memory_of(e);

	if (e->address >= memories[m].frames)
		return fault(e, BSE_OVERFLOW, EBADMSG, why, "more frames than the device has");
	e->left = memories[m].bytes;
	if (e->opcode == LSC_PROG_INCR_CMP)
		e->left = (e->left + 7) / 8 * 8; /* compressed in units of 64 bits */
	e->skip = e->code = 0;
	e->phase = FRAME;
	return 0;
}

static int frame_next(struct ecp5 *e, struct reason *why)
{
	e->address++;
	e->logic.frames++;
	if (--e->frames_left)
		return frame_begin(e, why);
	e->phase = COMMAND;
	return 0;
}

static int dummies_follow(struct ecp5 *e, struct reason *why)
{
	e->left = e->parameters[0] & DUMMIES;
	if (!e->left)
		return frame_next(e, why);
	e->phase = BEHIND_FRAME;
	return 0;
}

static int frame_complete(struct ecp5 *e, struct reason *why)
{
	uint8_t how = e->parameters[0];

	e->unchecked = true;
	if (!(how & WITH_CRC))
		e->left_out = true;
	if (!(how & WITH_CRC) || (how & CRC_ONCE && e->frames_left > 1))
		return dummies_follow(e, why);
	crc_follows(e, true);
	return 0;
}

static int done(struct ecp5 *e, struct reason *why)
{
	if (e->unchecked && !e->left_out)
		return fault(e, BSE_CRC, EBADMSG, why, "configuration ends before the CRC of its last data");
	crc_begin(e);
	e->phase = DONE;
	return 0;
}

/* The opcode and its parameters are there. */
static int command(struct ecp5 *e, struct reason *why)
{
	char what[48];

	e->left = 0;
	e->value = 0;
	e->phase = COMMAND;
	switch (e->opcode) {
	case LSC_RESET_CRC:
		crc_begin(e);
		e->running = true;
		e->unchecked = false;
		return 0;
	case LSC_INIT_ADDRESS:
		e->address = 0;
		return 0;
	case LSC_VERIFY_ID:
	case LSC_PROG_CNTRL0:
	case LSC_EBR_ADDRESS:
	case ISC_PROGRAM_USERCODE:
		e->left = 4;
		break;
	case LSC_COMP_DIC:
		e->left = 8;
		break;
	case LSC_EBR_WRITE:
		e->left = RAM_FRAME * (uint32_t)(e->parameters[1] << 8 | e->parameters[2]);
		e->unchecked = true;
		if (!e->left) {
			crc_follows(e, false);
			return 0;
		}
		break;
	case LSC_PROG_INCR_RTI:
	case LSC_PROG_INCR_CMP:
		e->frames_left = (uint32_t)(e->parameters[1] << 8 | e->parameters[2]);
		return e->frames_left ? frame_begin(e, why) : 0;
	case SPI_MODE:
		return 0;
	case ISC_PROGRAM_SECURITY:
		if (e->parameters[0] & WITH_CRC)
			crc_follows(e, false);
		return 0;
	case ISC_PROGRAM_DONE:
		return done(e, why);
	default:
		snprintf(what, sizeof(what), "%02x is no command", e->opcode);
		return fault(e, BSE_CMD, EBADMSG, why, what);
	}
	e->phase = DATA;
	return 0;
}

static int data_complete(struct ecp5 *e, struct reason *why)
{
	const struct image_part *row = e->logic.row;
	char what[160];

	e->phase = COMMAND;
	if (e->opcode == LSC_VERIFY_ID && (e->value ^ row->idcode) & row->mask) {
		snprintf(what, sizeof(what), "the image is for idcode %08x, the device is %s (%08x)", e->value,
			 e->logic.part, row->idcode);
		return fault(e, BSE_ID, EMEDIUMTYPE, why, what);
	}
	if (e->opcode == LSC_EBR_WRITE ||
	    ((e->opcode == ISC_PROGRAM_USERCODE || e->opcode == LSC_COMP_DIC) && e->parameters[0] & WITH_CRC))
		crc_follows(e, false);
	return 0;
}

static int crc_complete(struct ecp5 *e, struct reason *why)
{
	char what[80];

	if (e->crc != e->value) {
		snprintf(what, sizeof(what), "the image says %04x, what came has %04x", e->value, e->crc);
		return fault(e, BSE_CRC, EBADMSG, why, what);
	}
	crc_begin(e);
	e->logic.checks++;
	e->unchecked = false;
	e->phase = COMMAND;
	return e->after_frame ? dummies_follow(e, why) : 0;
}

/*
 * One byte of codes: 0 is a byte of zero; 10 and four bits one with a single bit, or of the
 * dictionary; 11 and eight bits any other. What they stand for has no memory to go to; so far
 * as the end of the frame depends on it, they are taken apart.
 */
static void codes(struct ecp5 *e, uint8_t byte)
{
	for (int bit = 7; bit >= 0 && e->left; bit--) {
		bool one = byte >> bit & 1;

		if (e->skip) {
			if (!--e->skip)
				e->left--;
		} else if (e->code) {
			e->code = 0;
			e->skip = one ? 8 : 4;
		} else if (one) {
			e->code = 1;
		} else {
			e->left--;
		}
	}
}

static int preamble(struct ecp5 *e, uint8_t byte, struct reason *why)
{
	e->last = (uint16_t)(e->last << 8 | byte);
	if (e->last == PREAMBLE_ENCRYPTED)
		return fault(e, BSE_PREAMBLE, EOPNOTSUPP, why, "the image is encrypted, and this device has no key");
	if (e->last == PREAMBLE)
		e->phase = COMMAND;
	return 0;
}

static int one_byte(struct ecp5 *e, uint8_t byte, struct reason *why)
{
	switch ((enum phase)e->phase) {
	case WAIT:
		return preamble(e, byte, why);
	case COMMAND:
		if (byte == ISC_NOOP)
			return 0;
		cover(e, &byte, 1);
		e->opcode = byte;
		e->got = 0;
		e->phase = PARAMETERS;
		return 0;
	case PARAMETERS:
		cover(e, &byte, 1);
		e->parameters[e->got++] = byte;
		return e->got == sizeof(e->parameters) ? command(e, why) : 0;
	case CRC:
		e->value = e->value << 8 | byte;
		return --e->left ? 0 : crc_complete(e, why);
	case BEHIND_FRAME:
		cover(e, &byte, 1);
		return --e->left ? 0 : frame_next(e, why);
	case DATA:
		cover(e, &byte, 1);
		e->value = e->value << 8 | byte;
		return --e->left ? 0 : data_complete(e, why);
	case FRAME:
		cover(e, &byte, 1);
		if (e->opcode == LSC_PROG_INCR_CMP)
			codes(e, byte);
		else
			e->left--;
		return e->left ? 0 : frame_complete(e, why);
	case DONE:
		break;
	}
	return 0;
}

static int ecp5_write(struct logic *l, const uint8_t *b, size_t n, struct reason *why)
{
	struct ecp5 *e = ecp5_of(l);
	int err = 0;

	while (n && !err) {
		bool plain = e->phase == FRAME && e->opcode == LSC_PROG_INCR_RTI;
		/* The last byte of a frame goes the common way. */
		size_t bulk = plain || e->phase == DATA ? e->left - 1 : 0;

		if (e->phase == DATA && e->opcode != LSC_EBR_WRITE)
			bulk = 0;
		if (bulk > n)
			bulk = n;
		if (bulk) {
			cover(e, b, bulk);
			e->left -= (uint32_t)bulk;
		} else {
			err = one_byte(e, *b, why);
			bulk = 1;
		}
		b += bulk;
		n -= bulk;
	}
	return err;
}

static bool ecp5_done(const struct logic *l)
{
	return ecp5_of_const(l)->phase == DONE;
}

static bool ecp5_proven(const struct logic *l)
{
	const struct ecp5 *e = ecp5_of_const(l);

	return l->checks && e->running && !e->unchecked && !e->left_out;
}

static void ecp5_status(const struct logic *l, char *text, size_t size)
{
	const struct ecp5 *e = ecp5_of_const(l);

	snprintf(text, size, "status %08x, %llu frames%s", status_word(e), (unsigned long long)l->frames,
		 e->phase == DONE ? ", DONE is high"
		 : e->bse	  ? ", INITN is low"
		 : e->phase == WAIT ? ", it waits for the preamble"
				    : ", it waits for the command ISC_PROGRAM_DONE");
}

static const char *ecp5_confirms(const struct logic *l)
{
	return ecp5_proven(l) ? "CRC and DONE" : "DONE and readback CRC (the image has no CRC)";
}

static const char *const families[] = { "ECP5", NULL };

const struct logic_kind logic_ecp5 = {
	.families = families,
	.formats = "ecp5",
	.tried_first = true,
	.bytes = sizeof(struct ecp5),
	.write = ecp5_write,
	.done = ecp5_done,
	.proven = ecp5_proven,
	.status = ecp5_status,
	.confirms = ecp5_confirms,
};
