// SPDX-License-Identifier: Apache-2.0
/* iCE40 images, built here so that every byte of them is known. */
#ifndef TEST_ICE40_FIXTURE_H
#define TEST_ICE40_FIXTURE_H

#include "image_fixture.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

struct die {
	unsigned width, height[4], bram[4];
};

static const struct die LP384 = { 182, { 80, 80, 80, 80 }, { 0, 0, 0, 0 } };
static const struct die HX1K = { 332, { 144, 144, 144, 144 }, { 64, 64, 64, 64 } };
static const struct die HX8K = { 872, { 272, 272, 272, 272 }, { 128, 128, 128, 128 } };
static const struct die UP5K = { 692, { 336, 176, 336, 176 }, { 160, 80, 160, 80 } };

/* What to do wrong; 0 = a good image. */
enum wrong { GOOD, NO_CRC_CHECK, CRC_TWICE, BANK_MISSING, BANK_TWICE, NO_RESET, DATA_FIRST };

static size_t crc_from, wake_end; /* of the image built last: CRC reset, end of wake-up */

static uint16_t crc16(const char *b, size_t n)
{
	uint16_t crc = 0xffff;

	for (size_t i = 0; i < n; i++) {
		crc ^= (uint16_t)((uint8_t)b[i] << 8);
		for (int k = 0; k < 8; k++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
	}
	return crc;
}

static void byte(struct buf *b, unsigned v)
{
	uint8_t c = (uint8_t)v;

	buf_add(b, &c, 1);
}

static void cmd16(struct buf *b, unsigned op, unsigned v)
{
	byte(b, op << 4 | 2);
	byte(b, v >> 8);
	byte(b, v);
}

static void bank(struct buf *b, unsigned n, unsigned kind, unsigned bits)
{
	byte(b, 0x11);
	byte(b, n);
	byte(b, 0x01);
	byte(b, kind);
	for (unsigned i = 0; i < bits / 8; i++)
		byte(b, i % 11 ? 0 : i * 7 + n);
	byte(b, 0);
	byte(b, 0);
}

/* Puts the CRC command and the wake-up behind what follows `from`. */
static void close_image(struct buf *b, size_t from)
{
	uint16_t crc;

	byte(b, 0x22);
	crc = crc16(b->data + from, b->len - from);
	byte(b, crc >> 8);
	byte(b, crc & 0xff);
	buf_add(b, "\x01\x06", 2);
	wake_end = b->len;
	byte(b, 0);
}

static struct buf build(const struct die *die, const char *comment, size_t comment_len, enum wrong wrong)
{
	struct buf b = BUF_INIT;

	buf_add(&b, "\xff\x00", 2);
	buf_add(&b, comment, comment_len);
	buf_add(&b, "\x00\xff\x7e\xaa\x99\x7e\x51\x00", 8);
	crc_from = b.len;
	if (wrong != NO_RESET)
		buf_add(&b, "\x01\x05", 2);

	size_t from = b.len;

	if (wrong == CRC_TWICE) {
		buf_add(&b, "\x01\x05", 2);
		from = b.len;
	}
	if (wrong == DATA_FIRST)
		bank(&b, 0, 1, die->width * die->height[0]);
	cmd16(&b, 9, 0x20);
	cmd16(&b, 6, die->width - 1);
	cmd16(&b, 8, 0);
	for (unsigned i = 0; i < 4; i++) {
		if (wrong == BANK_MISSING && i == 2)
			continue;
		cmd16(&b, 7, die->height[i]);
		bank(&b, wrong == BANK_TWICE && i == 3 ? 2 : i, 1, die->width * die->height[i]);
	}
	for (unsigned i = 0; i < 4 && die->bram[i]; i++) {
		cmd16(&b, 6, die->bram[i] - 1);
		cmd16(&b, 7, 128);
		for (unsigned row = 0; row < 256; row += 128) {
			cmd16(&b, 8, row);
			bank(&b, i, 3, die->bram[i] * 128);
		}
	}
	if (wrong == NO_CRC_CHECK) {
		buf_add(&b, "\x01\x06\x00", 3);
		wake_end = b.len - 1;
	} else {
		close_image(&b, from);
	}
	assert_int_equal(buf_ok(&b), 0);
	return b;
}

static struct buf hx1k(void)
{
	return build(&HX1K, "", 0, GOOD);
}

#pragma GCC diagnostic pop

#endif
