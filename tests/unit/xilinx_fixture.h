// SPDX-License-Identifier: Apache-2.0
/*
 * Xilinx configuration streams, composed packet by packet, with a CRC computed bit by bit: what
 * is tested with them computes it in tables or by multiplication.
 */
#ifndef TEST_XILINX_FIXTURE_H
#define TEST_XILINX_FIXTURE_H

#include "image_fixture.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

enum {
	CRC = 0,
	FAR = 1,
	FDRI = 2,
	CMD = 4,
	CTL0 = 5,
	MASK = 6,
	LOUT = 8,
	COR0 = 9,
	MFWR = 10,
	CBC = 11,
	IDCODE = 12,
	COR1 = 14,
	WBSTAR = 16,
	TIMER = 17,
	NEXT_DIE = 0x1e
};
enum { WCFG = 1, MFW = 2, DGHIGH = 3, START = 5, RCRC = 7, DESYNC = 13 };

#define XC7A35T	 0x0362d093u
#define XC7A50T	 0x0362c093u
#define XCVU37P	 0x04b79093u
#define XC3S500E 0x01c22093u
#define FRAME	 101

struct stream {
	struct buf b;
	uint32_t crc, poly;
	size_t first, last; /* covered bytes lie between these */
};

static uint32_t crc37(uint32_t crc, uint32_t poly, uint32_t word, unsigned reg)
{
	for (int i = 0; i < 37; i++) {
		uint32_t bit = i < 32 ? word >> i & 1 : reg >> (i - 32) & 1;

		bit ^= crc & 1;
		crc >>= 1;
		if (bit)
			crc ^= poly;
	}
	return crc;
}

static void data(struct stream *s, unsigned reg, uint32_t word)
{
	put32(&s->b, word);
	if (reg != LOUT)
		s->crc = crc37(s->crc, s->poly, word, reg);
}

static void write1(struct stream *s, unsigned reg, uint32_t word)
{
	put32(&s->b, 0x30000001u | reg << 13);
	data(s, reg, word);
	if (reg == CMD && word == RCRC)
		s->crc = 0;
}

static void nops(struct stream *s, unsigned n)
{
	while (n--)
		put32(&s->b, 0x20000000);
}

static void crc_word(struct stream *s)
{
	put32(&s->b, 0x30000001);
	put32(&s->b, s->crc);
	s->crc = 0;
	s->last = s->b.len;
}

static void frames(struct stream *s, unsigned n, bool type2)
{
	if (type2) {
		put32(&s->b, 0x30004000);
		put32(&s->b, 0x50000000u | n * FRAME);
	} else {
		put32(&s->b, 0x30004000u | n * FRAME);
	}
	/* The last word is not zero: one that a shorter packet leaves out would be one of those
	 * between packets, which count alike. */
	for (unsigned i = 1; i <= n * FRAME; i++)
		data(s, FDRI, i % 13 && i < n * FRAME ? 0 : i * 0x9e3779b9u);
}

static void head(struct stream *s, unsigned padding)
{
	s->poly = 0x82f63b78;
	put_fill(&s->b, 0xff, padding);
	put32(&s->b, 0x000000bb);
	put32(&s->b, 0x11220044);
	put_fill(&s->b, 0xff, 8);
	put32(&s->b, 0xaa995566);
	nops(s, 1);
}

static void front(struct stream *s, uint32_t idcode, bool partial)
{
	head(s, 32);
	if (!partial) {
		write1(s, TIMER, 0);
		write1(s, WBSTAR, 0);
	}
	write1(s, CMD, RCRC);
	nops(s, 2);
	s->first = s->b.len;
	if (!partial) {
		write1(s, COR0, 0x02003fe5);
		write1(s, COR1, 0);
	}
	write1(s, IDCODE, idcode);
	write1(s, MASK, 0x401);
	write1(s, CTL0, 0x501);
	write1(s, FAR, 0);
	write1(s, CMD, WCFG);
	nops(s, 1);
}

static void back(struct stream *s)
{
	nops(s, 2);
	write1(s, CMD, DGHIGH);
	nops(s, 20);
	write1(s, CMD, START);
	write1(s, FAR, 0x03be0000);
	crc_word(s);
	nops(s, 2);
	write1(s, CMD, DESYNC);
	nops(s, 40);
}

enum kind {
	FULL,
	COMPRESSED,
	PER_FRAME,
	DEBUG,
	PARTIAL,
	CRC_OFF,
	CRC_CONSTANT,
	ENCRYPTED,
	DIES,
	SPARTAN3,
	SPARTAN6,
	SPARTAN3A,
	TRANSCEIVER
};

static struct stream nested(uint32_t idcode, unsigned depth);

/* --- packets of 16 bits ------------------------------------------------------------- */

#define NARROW_MAX 400

/* What was written to registers since the CRC was reset, with their numbers in front. */
struct narrow {
	struct stream *s;
	uint32_t words[NARROW_MAX];
	unsigned n;
};

static void narrow_word(struct narrow *w, unsigned reg, unsigned v)
{
	put16(&w->s->b, v);
	assert_in_range(w->n, 0, NARROW_MAX - 1);
	w->words[w->n++] = reg << 16 | v;
}

static void narrow_write(struct narrow *w, unsigned reg, unsigned n, uint32_t v)
{
	put16(&w->s->b, 0x3000 | reg << 5 | n);
	for (unsigned i = n; i-- > 0;)
		narrow_word(w, reg, i < 2 ? v >> 16 * i & 0xffff : 0);
}

/* The sum of all of them, each times x as often as words follow it, modulo the polynomial. */
static void narrow_crc(struct narrow *w)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < w->n; i++) {
		uint32_t term = w->words[i];

		for (unsigned k = i + 1; k < w->n; k++)
			term = term << 1 ^ (term & 1u << 21 ? 0x409081 : 0);
		sum ^= term;
	}
	put32(&w->s->b, sum);
	w->s->last = w->s->b.len;
}

static void narrow(struct stream *s, uint32_t idcode, bool six)
{
	struct narrow w = { .s = s };

	put_fill(&s->b, 0xff, six ? 16 : 32);
	put16(&s->b, 0xaa99);
	if (six)
		put16(&s->b, 0x5566);
	narrow_write(&w, 5, 1, 7);
	w.n = 0;
	put16(&s->b, 0x2000);
	s->first = s->b.len;
	narrow_write(&w, 14, 2, idcode);
	narrow_write(&w, 7, 1, 0xcf);
	narrow_write(&w, 6, 1, 0x81);
	narrow_write(&w, 1, 2, 0);
	narrow_write(&w, 5, 1, 1);
	for (unsigned k = 0; k < 2; k++) {
		put16(&s->b, 0x5060);
		put32(&s->b, 65);
		for (unsigned i = 1; i <= 65; i++)
			narrow_word(&w, 3, i % 9 ? 0 : i * 0x9e37u >> k & 0xffff);
		if (six)
			narrow_crc(&w);
		narrow_write(&w, 1, 2, 0x20000 + k);
	}
	narrow_write(&w, 5, 1, 2);
	narrow_write(&w, six ? 0x1b : 0x18, 4, 0);
	/* Spartan-3A has none behind each packet of frames. */
	if (!six) {
		put16(&s->b, 0x3002);
		narrow_crc(&w);
	}
	narrow_write(&w, 5, 1, 10);
	narrow_write(&w, 5, 1, 3);
	for (int i = 0; i < 4; i++)
		put16(&s->b, 0x2000);
	narrow_write(&w, 5, 1, 5);
	narrow_write(&w, 7, 1, 0xff);
	narrow_write(&w, 6, 1, 0x81);
	put16(&s->b, 0x3002);
	narrow_crc(&w);
	narrow_write(&w, 5, 1, 13);
	for (int i = 0; i < 14; i++)
		put16(&s->b, 0x2000);
}

static struct stream compose(enum kind kind, uint32_t idcode)
{
	struct stream s = { 0 }, inner;

	switch (kind) {
	case FULL:
		front(&s, idcode, false);
		frames(&s, 4, true);
		crc_word(&s);
		back(&s);
		break;
	case COMPRESSED:
		front(&s, idcode, false);
		frames(&s, 1, false);
		write1(&s, CMD, MFW);
		for (unsigned i = 0; i < 6; i++) {
			write1(&s, FAR, i);
			put32(&s.b, 0x30014004);
			for (int k = 0; k < 4; k++)
				data(&s, MFWR, 0);
		}
		crc_word(&s);
		back(&s);
		break;
	case PER_FRAME:
		front(&s, idcode, false);
		for (unsigned i = 0; i < 3; i++) {
			frames(&s, 1, false);
			write1(&s, FAR, i);
			crc_word(&s);
		}
		back(&s);
		break;
	case DEBUG:
		front(&s, idcode, false);
		for (unsigned i = 0; i < 3; i++) {
			frames(&s, 1, false);
			write1(&s, LOUT, i);
		}
		for (int i = 0; i < 2 * FRAME; i++)
			data(&s, FDRI, 0);
		crc_word(&s);
		back(&s);
		break;
	case PARTIAL:
		for (unsigned i = 0; i < 3; i++) {
			front(&s, idcode, true);
			frames(&s, 1, false);
			crc_word(&s);
			write1(&s, CMD, DESYNC);
			nops(&s, 8);
		}
		break;
	case CRC_OFF:
		front(&s, idcode, false);
		frames(&s, 2, true);
		write1(&s, CMD, RCRC);
		write1(&s, CMD, START);
		write1(&s, CMD, RCRC);
		write1(&s, CMD, DESYNC);
		nops(&s, 8);
		break;
	case CRC_CONSTANT:
		front(&s, idcode, false);
		frames(&s, 2, true);
		write1(&s, CRC, 0x0000defc);
		s.crc = 0;
		write1(&s, CMD, START);
		write1(&s, CMD, DESYNC);
		nops(&s, 8);
		break;
	case ENCRYPTED:
		front(&s, idcode, false);
		write1(&s, MASK, 0x40);
		write1(&s, CTL0, 0x40);
		put32(&s.b, 0x30016004);
		for (uint32_t i = 0; i < 400; i++)
			put32(&s.b, i * 0x9e3779b9u);
		break;
	case DIES:
		front(&s, idcode, false);
		frames(&s, 2, true);
		crc_word(&s);
		back(&s);
		inner = nested(0x04b42093, 2);
		head(&s, 64);
		put32(&s.b, 0x3003c000);
		put32(&s.b, 0x50000000u | (uint32_t)(inner.b.len / 4));
		buf_add(&s.b, inner.b.data, inner.b.len);
		buf_free(&inner.b);
		write1(&s, CMD, DESYNC);
		nops(&s, 8);
		break;
	case TRANSCEIVER:
		/* Virtex-7 HT: a die of transceivers is written without RCRC before it, and
		 * another die twice. */
		front(&s, idcode, false);
		frames(&s, 2, true);
		crc_word(&s);
		back(&s);
		head(&s, 32);
		put32(&s.b, 0x3001a000);
		put32(&s.b, 0x50000000u | 50);
		s.crc = 0;
		for (uint32_t i = 0; i < 50; i++)
			data(&s, 13, i % 7 ? 0 : i * 0x9e3779b9u);
		crc_word(&s);
		write1(&s, CMD, DESYNC);
		for (int i = 0; i < 2; i++) {
			inner = nested(idcode, 1);
			head(&s, 64);
			put32(&s.b, 0x3003c000);
			put32(&s.b, 0x50000000u | (uint32_t)(inner.b.len / 4));
			buf_add(&s.b, inner.b.data, inner.b.len);
			buf_free(&inner.b);
			write1(&s, CMD, DESYNC);
			nops(&s, 8);
		}
		break;
	case SPARTAN3:
		s.poly = 0xa001;
		put32(&s.b, 0xffffffff);
		put32(&s.b, 0xaa995566);
		write1(&s, CMD, RCRC);
		s.first = s.b.len;
		write1(&s, 0x0b, FRAME - 1); /* frame length */
		write1(&s, COR0, 0x31e5);
		write1(&s, 0x0e, idcode);
		write1(&s, FAR, 0);
		write1(&s, CMD, WCFG);
		frames(&s, 2, true);
		put32(&s.b, s.crc); /* the automatic CRC word */
		s.crc = 0;
		write1(&s, CMD, START);
		crc_word(&s);
		write1(&s, CMD, DESYNC);
		nops(&s, 4);
		break;
	case SPARTAN6:
	case SPARTAN3A:
		narrow(&s, idcode, kind == SPARTAN6);
		break;
	}
	assert_int_equal(buf_ok(&s.b), 0);
	return s;
}

/* The stream of a die that holds depth - 1 more. */
static struct stream nested(uint32_t idcode, unsigned depth)
{
	struct stream s = { 0 };

	front(&s, idcode, false);
	frames(&s, 1, true);
	crc_word(&s);
	if (depth > 1) {
		struct stream inner = nested(idcode + 0x2000, depth - 1);

		put32(&s.b, 0x3003c000);
		put32(&s.b, 0x50000000u | (uint32_t)(inner.b.len / 4));
		buf_add(&s.b, inner.b.data, inner.b.len);
		buf_free(&inner.b);
	}
	back(&s);
	return s;
}

static void item(struct buf *b, char key, const char *text)
{
	put8(b, (unsigned char)key);
	put16(b, (unsigned)strlen(text) + 1);
	buf_add(b, text, strlen(text) + 1);
}

static size_t payload_at; /* of the .bit made last */

static struct buf bit_of(const struct stream *s, const char *design, const char *part)
{
	struct buf b = BUF_INIT;

	buf_add(&b, "\x00\x09\x0f\xf0\x0f\xf0\x0f\xf0\x0f\xf0\x00\x00\x01", 13);
	item(&b, 'a', design);
	item(&b, 'b', part);
	item(&b, 'c', "2026/11/21");
	item(&b, 'd', "12:34:56");
	put8(&b, 'e');
	put32(&b, (uint32_t)s->b.len);
	payload_at = b.len;
	buf_add(&b, s->b.data, s->b.len);
	return b;
}

#define DESIGN "top;UserID=0XCAFE0001;Version=2022.1"

static struct buf bit(enum kind kind)
{
	static const char *const names[] = { "full",	"compressed", "per-frame",    "debug",
					     "partial", "crc-off",    "crc-constant", "encrypted",
					     "dies",	"spartan3",   "spartan6",     "spartan3a", "ht" };
	char name[40];
	struct stream s;
	struct buf b;

	switch (kind) {
	case DIES:
		s = compose(kind, XCVU37P);
		b = bit_of(&s, DESIGN, "xcvu37p-fsvh2892-2L-e");
		break;
	case TRANSCEIVER:
		s = compose(kind, 0x036d9093);
		b = bit_of(&s, DESIGN, "7vh580tflg1155");
		break;
	case SPARTAN3:
		s = compose(kind, XC3S500E);
		b = bit_of(&s, "top.ncd", "3s500ecp132");
		break;
	case SPARTAN3A:
		s = compose(kind, 0x02610093);
		b = bit_of(&s, "top.ncd", "3s50antqg144");
		break;
	case SPARTAN6:
		s = compose(kind, 0x04001093);
		b = bit_of(&s, "top.ncd;UserID=0xFFFFFFFF", "6slx9cpg196");
		break;
	default:
		s = compose(kind, XC7A35T);
		b = bit_of(&s, DESIGN, "7a35tcpg236");
	}
	buf_free(&s.b);
	snprintf(name, sizeof(name), "xilinx-%s.bit", names[kind]);
	keep_image(name, &b);
	return b;
}

static struct buf swapped(const struct buf *b)
{
	struct buf out = BUF_INIT;

	for (size_t i = 0; i + 4 <= b->len; i += 4)
		for (int k = 3; k >= 0; k--)
			buf_add(&out, b->data + i + k, 1);
	return out;
}

#pragma GCC diagnostic pop

#endif
