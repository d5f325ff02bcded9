// SPDX-License-Identifier: Apache-2.0
/*
 * ECP5 images, composed command by command, with a CRC computed bit by bit.
 */
#ifndef TEST_ECP5_FIXTURE_H
#define TEST_ECP5_FIXTURE_H

#include "image_fixture.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

enum {
	LFE5U_25F = 0x41111043,
	LFE5U_12F = 0x21111043,
	LFE5U_85F = 0x41113043,
	LIFCL_40 = 0x010f1043,
	LCMXO2_7000 = 0x012bd043
};

struct ecp5 {
	struct buf b;
	uint16_t crc;
	size_t first, last; /* covered bytes lie between */
};

/* The register as the handbook draws it: bits are shifted in, and 16 zeros push them out. */
static uint16_t shift_in(uint16_t crc, unsigned byte)
{
	for (int i = 7; i >= 0; i--) {
		bool top = crc & 0x8000;

		crc = (uint16_t)(crc << 1 | (byte >> i & 1));
		if (top)
			crc ^= 0x8005;
	}
	return crc;
}

static void covered(struct ecp5 *s, unsigned byte)
{
	put8(&s->b, byte);
	s->crc = shift_in(s->crc, byte);
}

static void covered32(struct ecp5 *s, uint32_t v)
{
	for (int i = 24; i >= 0; i -= 8)
		covered(s, v >> i & 255);
}

static void check(struct ecp5 *s)
{
	uint16_t crc = shift_in(shift_in(s->crc, 0), 0);

	put16(&s->b, crc);
	s->crc = 0;
	s->last = s->b.len;
}

static void command(struct ecp5 *s, unsigned opcode, unsigned a, unsigned b, unsigned c)
{
	covered(s, opcode);
	covered(s, a);
	covered(s, b);
	covered(s, c);
}

enum kind { PLAIN, COMPRESSED, ONE_CRC, WITH_RAM, NO_CRC };

static void frame(struct ecp5 *s, unsigned bytes, enum kind kind, unsigned n)
{
	if (kind != COMPRESSED) {
		for (unsigned i = 0; i < bytes; i++)
			covered(s, i % 9 ? 0 : i * 37 + n);
		return;
	}

	/* 80 bytes of codes: four of each kind and zeros; then padding to whole bytes. */
	uint8_t bits[200] = { 0 };
	unsigned at = 0;
	static const struct {
		unsigned code, len;
	} codes[] = { { 0x25, 6 }, { 0x2b, 6 }, { 0x3a7, 10 }, { 0x301, 10 } };

	for (unsigned i = 0; i < 80; i++) {
		unsigned k = i / 20;

		if (i % 20 != n % 20) {
			at++;
			continue;
		}
		for (unsigned j = codes[k].len; j-- > 0; at++)
			if (codes[k].code >> j & 1)
				bits[at / 8] |= (uint8_t)(0x80 >> at % 8);
	}
	for (unsigned i = 0; i < (at + 7) / 8; i++)
		covered(s, bits[i]);
}

static struct ecp5 compose(enum kind kind, const char *part, uint32_t idcode, unsigned bytes)
{
	struct ecp5 s = { 0 };
	unsigned flags = kind == ONE_CRC ? 0xd1 : kind == NO_CRC ? 0x11 : 0x91;

	buf_add(&s.b, "\xff\x00", 2);
	if (part[0])
		buf_add(&s.b, part, strlen(part) + 1);
	buf_add(&s.b, "\xff\xff\xff\xbd\xb3\xff\xff\xff\xff", 9);
	command(&s, 0x3b, 0, 0, 0);
	s.crc = 0;
	s.first = s.b.len;
	command(&s, 0xe2, 0, 0, 0);
	covered32(&s, idcode);
	command(&s, 0x22, 0, 0, 0);
	covered32(&s, 0x40000000);
	if (kind == COMPRESSED) {
		command(&s, 0x02, 0, 0, 0);
		covered32(&s, 0x508105c8);
		covered32(&s, 0x066018c0);
	}
	command(&s, 0x46, 0, 0, 0);
	command(&s, kind == COMPRESSED ? 0xb8 : 0x82, flags, 0, 5);
	for (unsigned i = 0; i < 5; i++) {
		frame(&s, bytes, kind, i);
		if (kind != NO_CRC && (kind != ONE_CRC || i == 4))
			check(&s);
		covered(&s, 0xff);
	}
	put_fill(&s.b, 0xff, 11);
	command(&s, 0xc2, 0x80, 0, 0);
	covered32(&s, 0xdeadbeef);
	check(&s);
	if (kind == WITH_RAM) {
		command(&s, 0xf6, 0, 0, 0);
		covered32(&s, 0);
		command(&s, 0xb2, 0xd0, 0, 3);
		for (unsigned i = 0; i < 27; i++)
			covered(&s, i * 11);
		check(&s);
	}
	buf_add(&s.b, "\x5e\0\0\0\xff\xff\xff\xff", 8);
	assert_int_equal(buf_ok(&s.b), 0);
	return s;
}

#define PART "Part: LFE5U-25F-6CABGA256"

static struct ecp5 good(enum kind kind)
{
	static const char *const names[] = { "ecp5-plain", "ecp5-compressed", "ecp5-one-crc",
					     "ecp5-ram", "ecp5-no-crc" };
	struct ecp5 s = compose(kind, PART, LFE5U_25F, 74);

	keep_image(names[kind], &s.b);
	return s;
}

#pragma GCC diagnostic pop

#endif
