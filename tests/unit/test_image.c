// SPDX-License-Identifier: Apache-2.0
/*
 * Images: the parser and the iCE40 recogniser on images built here, so that
 * every byte of them is known, and on samples of the vendors' tools where they
 * lie beside the project.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fabricfs/buf.h>
#include <fabricfs/image.h>

#include "tests/unit/samples.h"

/* --- a small builder -------------------------------------------------------- */

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

/* --- asking -------------------------------------------------------------------- */

struct verdict {
	int feed, end; /* of the last feed, and of the end */
	bool complete;
	struct image_facts facts;
	struct reason why;
};

static struct verdict judge(const void *bytes, size_t n, size_t chunk)
{
	struct image_parser *p = image_parser_new();
	struct verdict v = { 0 };
	const char *b = bytes;

	assert_non_null(p);
	for (size_t i = 0; i < n; i += chunk)
		v.feed = image_parser_feed(p, b + i, n - i < chunk ? n - i : chunk, &v.why);
	assert_int_equal(image_parser_bytes(p), n);
	v.complete = image_parser_complete(p);
	v.end = image_parser_end(p, &v.why);
	v.facts = *image_parser_facts(p);
	image_parser_free(p);
	return v;
}

static void assert_refused(struct verdict v, int err, const char *word)
{
	assert_int_equal(v.end, -err);
	assert_int_equal(v.why.err, err);
	assert_false(v.complete);
	if (!strstr(v.why.text, word))
		fail_msg("'%s' does not say '%s'", v.why.text, word);
}

static void assert_good(const struct buf *b)
{
	struct verdict v = judge(b->data, b->len, b->len);

	if (v.end)
		fail_msg("refused: %s", v.why.text);
	assert_int_equal(v.feed, IMAGE_COMPLETE);
	assert_true(v.complete);
}

/* --- iCE40: what is good --------------------------------------------------------- */

static void an_hx1k_image_is_recognised_with_its_facts(void **state)
{
	struct buf b CLEANUP_BUF = hx1k();
	struct verdict v = judge(b.data, b.len, b.len);

	(void)state;
	assert_int_equal(v.end, 0);
	assert_int_equal(v.feed, IMAGE_COMPLETE);
	assert_string_equal(v.facts.format, "ice40");
	assert_string_equal(v.facts.vendor, "lattice");
	assert_string_equal(v.facts.family, "iCE40");
	assert_string_equal(v.facts.part, "iCE40-HX1K");
	assert_string_equal(v.facts.also_parts, "iCE40-LP1K");
	assert_string_equal(v.facts.integrity_checked, "crc16");
	assert_true(v.facts.integrity_ok);
	assert_int_equal(v.facts.confidence, IMAGE_EXACT);
	assert_int_equal(v.facts.declared_size, wake_end);
	assert_int_equal(v.facts.partial, IMAGE_NO);
}

static void each_die_is_told_by_its_geometry(void **state)
{
	static const struct {
		const struct die *die;
		const char *part, *also;
	} rows[] = {
		{ &LP384, "iCE40-LP384", "" },
		{ &HX1K, "iCE40-HX1K", "iCE40-LP1K" },
		{ &HX8K, "iCE40-HX8K", "iCE40-LP8K iCE40-HX4K iCE40-LP4K" },
		{ &UP5K, "iCE40-UP5K", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = build(rows[i].die, "", 0, GOOD);
		struct verdict v = judge(b.data, b.len, 4096);

		assert_int_equal(v.end, 0);
		assert_string_equal(v.facts.part, rows[i].part);
		assert_string_equal(v.facts.also_parts, rows[i].also);
	}
}

static void a_comment_names_part_package_tool_and_date(void **state)
{
	static const char comment[] = "Lattice\0iCEcube2 2014.08.26723\0Part: iCE40LP1K-TQ144\0Date: Mar 5 2015";
	struct buf b CLEANUP_BUF = build(&HX1K, comment, sizeof(comment) - 1, GOOD);
	struct verdict v = judge(b.data, b.len, b.len);

	(void)state;
	assert_int_equal(v.end, 0);
	assert_string_equal(v.facts.part, "iCE40-LP1K");
	assert_string_equal(v.facts.also_parts, "");
	assert_string_equal(v.facts.package, "TQ144");
	assert_string_equal(v.facts.tool, "iCEcube2 2014.08.26723");
	assert_string_equal(v.facts.built, "Mar 5 2015");
	/* No checksum covers the comment. */
	assert_int_equal(v.facts.confidence, IMAGE_LIKELY);
}

static void a_comment_that_contradicts_the_geometry_is_not_believed(void **state)
{
	static const char comment[] = "Part: iCE40HX8K-CT256";
	struct buf b CLEANUP_BUF = build(&HX1K, comment, sizeof(comment) - 1, GOOD);
	struct verdict v = judge(b.data, b.len, b.len);

	(void)state;
	assert_int_equal(v.end, 0);
	assert_string_equal(v.facts.part, "iCE40-HX1K");
	assert_string_equal(v.facts.also_parts, "iCE40-LP1K");
	assert_non_null(strstr(v.facts.detail, "iCE40-HX8K"));
}

static void control_bytes_of_a_comment_do_not_reach_the_facts(void **state)
{
	static const char comment[] = "nextpnr \x1b[31m\x80\xfe";
	struct buf b CLEANUP_BUF = build(&HX1K, comment, sizeof(comment) - 1, GOOD);
	struct verdict v = judge(b.data, b.len, b.len);

	(void)state;
	assert_int_equal(v.end, 0);
	assert_string_equal(v.facts.tool, "nextpnr ?[31m??");
}

static void a_wrong_part_is_known_within_the_first_kilobyte(void **state)
{
	struct buf b CLEANUP_BUF = build(&HX8K, "", 0, GOOD);
	struct image_parser *p = image_parser_new();
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(image_parser_feed(p, b.data, 1024, &why), IMAGE_MORE);
	assert_int_equal(image_suits(image_parser_facts(p), "iCE40-HX1K", false, 0, "ice40", &why),
			 -EMEDIUMTYPE);
	assert_non_null(strstr(why.text, "iCE40-HX8K"));
	assert_non_null(strstr(why.text, "iCE40-HX1K"));
	image_parser_free(p);
}

static void padding_of_zeros_or_ones_may_follow(void **state)
{
	struct buf b CLEANUP_BUF = hx1k();

	(void)state;
	b.len = wake_end; /* without the one pad byte that tools write */
	assert_good(&b);
	for (int i = 0; i < 70000; i++)
		byte(&b, i < 100 ? 0x00 : 0xff);
	assert_good(&b);
}

/* --- iCE40: what is not ---------------------------------------------------------- */

static void a_byte_after_the_end_is_efbig(void **state)
{
	struct buf b CLEANUP_BUF = hx1k();

	(void)state;
	byte(&b, 0);
	byte(&b, 'A');
	assert_refused(judge(b.data, b.len, b.len), EFBIG, "3 bytes after the end");
}

static void endless_padding_is_efbig(void **state)
{
	struct buf b CLEANUP_BUF = hx1k();
	char zeros[4096] = { 0 };

	(void)state;
	for (int i = 0; i < 257; i++)
		buf_add(&b, zeros, sizeof(zeros));
	assert_refused(judge(b.data, b.len, 65536), EFBIG, "after the end");
}

static void each_flip(struct buf *b, size_t at, int bit)
{
	struct verdict v;

	b->data[at] ^= (char)(1 << bit);
	v = judge(b->data, b->len, b->len);
	if (!v.end || v.complete)
		fail_msg("bit %d of byte %zu flipped: accepted", bit, at);
	assert_int_equal(v.why.err, EBADMSG);
	b->data[at] ^= (char)(1 << bit);
}

static void a_flipped_bit_from_crc_reset_to_wake_up_is_refused(void **state)
{
	struct buf b CLEANUP_BUF = hx1k();
	size_t i;

	(void)state;
	/* All of the front, where structure could change, and of the end, which the CRC spares. */
	for (i = crc_from; i < crc_from + 64; i++)
		for (int bit = 0; bit < 8; bit++)
			each_flip(&b, i, bit);
	for (i = wake_end - 32; i < wake_end; i++)
		for (int bit = 0; bit < 8; bit++)
			each_flip(&b, i, bit);
	/* Between: one bit of every 13th byte, all commands of a bank among them. */
	for (; i > crc_from + 64; i -= 13)
		each_flip(&b, i - 13, (int)(i % 8));
	assert_good(&b);
}

static void every_bit_of_the_command_bytes_is_covered(void **state)
{
	struct buf b CLEANUP_BUF = hx1k();
	size_t bank_bytes = 332 * 144 / 8;

	(void)state;
	/* The commands between bank 0 and bank 1, and those in front of the first RAM chunk. */
	for (size_t at = crc_from + 2 + 9 + 3 + 4 + bank_bytes; at < crc_from + 2 + 9 + 3 + 4 + bank_bytes + 9; at++)
		for (int bit = 0; bit < 8; bit++)
			each_flip(&b, at, bit);
	for (size_t at = crc_from + 2 + 9 + 4 * (3 + 4 + bank_bytes + 2); at < crc_from + 24060; at++)
		for (int bit = 0; bit < 8; bit++)
			each_flip(&b, at, bit);
	assert_good(&b);
}

static void a_file_cut_anywhere_says_how_many_bytes_of_how_many(void **state)
{
	struct buf b CLEANUP_BUF = hx1k();
	struct image_parser *p = image_parser_new();
	struct reason why = { 0 };
	char want[40];

	(void)state;
	for (size_t n = 1; n < wake_end; n++) {
		assert_int_equal(image_parser_feed(p, b.data + n - 1, 1, &why), IMAGE_MORE);
		assert_false(image_parser_complete(p));
		if (image_parser_end(p, &why) != -EBADMSG)
			fail_msg("%zu of %zu bytes: %s", n, b.len, why.text);
		snprintf(want, sizeof(want), "%zu of ", n);
		if (!strstr(why.text, want) || !strstr(why.text, " bytes"))
			fail_msg("%zu bytes: %s", n, why.text);
	}
	/* Asking for the end did not disturb it. */
	assert_int_equal(image_parser_feed(p, b.data + wake_end - 1, 1, &why), IMAGE_COMPLETE);
	assert_int_equal(image_parser_end(p, &why), 0);
	image_parser_free(p);

	assert_refused(judge(b.data, 16000, 16000), EBADMSG, "16000 of 32");
	assert_refused(judge(b.data, 3, 3), EBADMSG, "3 of at least ");
}

static void an_image_that_breaks_the_order_of_commands_is_refused(void **state)
{
	static const struct {
		enum wrong wrong;
		const char *word;
	} rows[] = {
		{ NO_CRC_CHECK, "before a CRC check" },
		{ CRC_TWICE, "reset twice" },
		{ BANK_MISSING, "not all four" },
		{ BANK_TWICE, "comes twice" },
		{ NO_RESET, "before the CRC is reset" },
		{ DATA_FIRST, "before its width" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = build(&HX1K, "", 0, rows[i].wrong);

		assert_refused(judge(b.data, b.len, b.len), EBADMSG, rows[i].word);
	}
}

static void a_geometry_of_no_part_is_refused_though_its_crc_is_right(void **state)
{
	static const struct die none = { 400, { 144, 144, 144, 144 }, { 64, 64, 64, 64 } };
	static const struct die mixed = { 332, { 144, 144, 160, 144 }, { 64, 64, 64, 64 } };
	static const struct die ram = { 332, { 144, 144, 144, 144 }, { 64, 64, 128, 64 } };
	struct buf a CLEANUP_BUF = build(&none, "", 0, GOOD);
	struct buf b CLEANUP_BUF = build(&mixed, "", 0, GOOD);
	struct buf c CLEANUP_BUF = build(&ram, "", 0, GOOD);
	struct buf d CLEANUP_BUF = build(&HX1K, "", 0, GOOD);

	(void)state;
	assert_refused(judge(a.data, a.len, a.len), EBADMSG, "400 x 144");
	assert_refused(judge(b.data, b.len, b.len), EBADMSG, "bank 2 of 332 x 160");
	assert_refused(judge(c.data, c.len, c.len), EBADMSG, "block RAM bank 2");
	/* width 65536: the product must not be believed, nor awaited */
	memcpy(d.data + crc_from + 2 + 4, "\xff\xff", 2);
	assert_refused(judge(d.data, 64, 64), EBADMSG, "65536 x 144");
}

/* --- flash images ------------------------------------------------------------------ */

/* A table of five vectors that lead to two images, the second at `place`, with `gap` between. */
static struct buf flash_image(const struct buf *one, const struct buf *two, uint32_t place, char gap)
{
	struct buf b = BUF_INIT;

	for (unsigned i = 0; i < 5; i++) {
		uint32_t at = i == 2 ? place : 0xa0;

		buf_add(&b, "\x7e\xaa\x99\x7e\x92\x00\x00\x44\x03", 9);
		byte(&b, at >> 16);
		byte(&b, at >> 8 & 255);
		byte(&b, at & 255);
		buf_add(&b, "\x82\x00\x00\x01\x08", 5);
		while (b.len % 32)
			byte(&b, 0);
	}
	buf_add(&b, one->data, one->len);
	while (b.len < place)
		buf_add(&b, &gap, 1);
	buf_add(&b, two->data, two->len);
	assert_int_equal(buf_ok(&b), 0);
	return b;
}

static void a_flash_image_of_sound_images_is_sound_and_for_no_card(void **state)
{
	struct buf a CLEANUP_BUF = build(&LP384, "", 0, GOOD), c CLEANUP_BUF = build(&HX1K, "", 0, GOOD);
	/* What lies between them is nobody's. */
	struct buf b CLEANUP_BUF = flash_image(&a, &a, 0x2000, 'x');
	struct buf mixed CLEANUP_BUF = flash_image(&a, &c, 0x2000, 0);
	struct verdict v = judge(b.data, b.len, b.len);
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(v.end, 0);
	assert_true(v.complete);
	assert_string_equal(v.facts.format, "ice40");
	assert_string_equal(v.facts.part, "iCE40-LP384");
	assert_string_equal(v.facts.integrity_checked, "crc16");
	assert_true(v.facts.integrity_ok);
	assert_int_equal(v.facts.declared_size, b.len - 1);
	assert_non_null(strstr(v.facts.detail, "several images in one file, at byte 160, 8192"));
	assert_int_equal(image_suits(&v.facts, "iCE40-LP384", false, 0, "ice40", &why), -EMEDIUMTYPE);
	assert_non_null(strstr(why.text, "warm-boot table; the card takes a single image"));
	/* That it is for no card is known with its table. */
	v = judge(b.data, 160, 160);
	assert_int_not_equal(v.facts.no_card[0], 0);
	assert_refused(v, EBADMSG, "of 2 images of the flash image that at byte 160 is missing or cut");
	v = judge(mixed.data, mixed.len, 1000);
	assert_refused(v, EBADMSG, "for different parts, iCE40-LP384 and iCE40-HX1K");
	byte(&b, 0xff);
	assert_int_equal(judge(b.data, b.len, b.len).end, 0);
	byte(&b, 1);
	assert_refused(judge(b.data, b.len, 512), EFBIG, "after the end");
}

static void damage_to_any_image_of_a_flash_image_is_found(void **state)
{
	struct buf a CLEANUP_BUF = build(&LP384, "", 0, GOOD);
	struct buf b CLEANUP_BUF = flash_image(&a, &a, 0x2000, 0);
	static const struct {
		size_t at;
		const char *word;
	} rows[] = {
		{ 3 * 32, "no vector of a warm-boot table" },
		{ 2 * 32 + 8, "no vector of a warm-boot table" },
		{ 2 * 32 + 20, "more than a vector in its place" },
		{ 0xa0 + 5000, "CRC does not match" },
		{ 0x2000 + 5000, "CRC does not match" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		b.data[rows[i].at] ^= 0x10;
		for (size_t chunk = 1; chunk <= b.len; chunk += 8191)
			assert_refused(judge(b.data, b.len, chunk), EBADMSG, rows[i].word);
		b.data[rows[i].at] ^= 0x10;
	}
	/* Bytes 2 of the address: one into the first image, one into the table. */
	b.data[2 * 32 + 10] = 1;
	assert_refused(judge(b.data, b.len, b.len), EBADMSG, "its images overlap");
	b.data[2 * 32 + 10] = 0;
	b.data[2 * 32 + 11] = 0x20;
	assert_refused(judge(b.data, b.len, b.len), EBADMSG, "leads into the table");
}

static void a_jump_without_a_table_is_for_no_card(void **state)
{
	static const char jump[] = "\xff\x00\x00\xff\x7e\xaa\x99\x7e\x44\x03\x00\x00\xa0\x82\x00\x00\x01\x08";
	struct verdict v = judge(jump, sizeof(jump) - 1, sizeof(jump) - 1);

	(void)state;
	assert_int_equal(v.end, 0);
	assert_true(v.facts.unsized);
	assert_non_null(strstr(v.facts.no_card, "goes on at another address"));
}

/* --- the parser ------------------------------------------------------------------ */

/* A probe that is told how much of a head it has had need not read that again: same answer. */
static void a_probe_that_goes_on_says_what_one_from_the_start_would(void **state)
{
	static const char *const fronts[] = { "\xff", "\xff\x01", "\x7e\xaa\x99", "\xff\xff\xff\xff",
					      "\xff\xff\xff\xff\xaa\x99\x55\x66\x30\xa1" };
	static const char preamble[] = "Part: iCE40HX1K\0Date: x\0\xff\x7e\xaa\x99\x7e\x51\0\1\5";
	unsigned asked = 0;

	(void)state;
	for (size_t k = 0; k <= sizeof(fronts) / sizeof(fronts[0]); k++) {
		struct buf b CLEANUP_BUF = BUF_INIT;

		/* The first is an iCE40 image with a comment. */
		if (k)
			buf_adds(&b, fronts[k - 1]);
		else
			buf_add(&b, "\xff", 2);
		buf_add(&b, preamble, sizeof(preamble) - 1);
		for (size_t i = 0; image_formats[i]; i++) {
			const struct image_format *f = image_formats[i];

			for (size_t n = 2; f->probe_on && n <= b.len; n++)
				for (size_t seen = 1; seen < n; seen++) {
					if (f->probe((uint8_t *)b.data, seen, false) != IMAGE_UNKNOWN)
						break;
					assert_int_equal(
						f->probe_on((uint8_t *)b.data, seen, n, false),
						f->probe((uint8_t *)b.data, n, false));
					asked++;
				}
		}
	}
	assert_in_range(asked, 500, 1000000);
}

static void any_chunking_gives_the_same_answer(void **state)
{
	static const size_t chunks[] = { 1, 2, 3, 5, 17, 64, 511, 4095, 4096, 4097, 1 << 20 };
	static const char comment[] = "from next-pnr\0Part: iCE40HX1K-VQ100";
	struct buf cases[12];
	size_t n = 0;

	(void)state;
	cases[n++] = hx1k();
	cases[n++] = build(&HX1K, comment, sizeof(comment) - 1, GOOD);
	cases[n] = hx1k();
	cases[n++].len = 20000;
	cases[n] = hx1k();
	cases[n++].data[9000] ^= 16;
	cases[n] = hx1k();
	buf_adds(&cases[n++], "trailing");
	cases[n] = (struct buf)BUF_INIT;
	buf_adds(&cases[n++], "<html><body>404</body></html>\n");
	cases[n] = (struct buf)BUF_INIT;
	buf_adds(&cases[n++], "1\nsecond line");
	cases[n] = (struct buf)BUF_INIT;
	buf_add(&cases[n++], "\x1f\x8b\x08\x00\x00\x00", 6);
	cases[n] = (struct buf)BUF_INIT;
	buf_add(&cases[n++], "\xff\x00" "Part: LFE5U-25F\0\xff\xff\xff\xbd\xb3\x3b\x00\x00", 27);
	cases[n] = (struct buf)BUF_INIT;
	buf_add(&cases[n], "\xff\x00", 2);
	for (int i = 0; i < 9000; i++)
		byte(&cases[n], 'x');
	n++;

	for (size_t c = 0; c < n; c++) {
		struct verdict whole = judge(cases[c].data, cases[c].len, cases[c].len);

		for (size_t k = 0; k < sizeof(chunks) / sizeof(chunks[0]); k++) {
			struct verdict v = judge(cases[c].data, cases[c].len, chunks[k]);

			assert_int_equal(v.end, whole.end);
			assert_int_equal(v.feed, whole.feed);
			assert_int_equal(v.complete, whole.complete);
			assert_string_equal(v.why.text, whole.why.text);
			assert_memory_equal(&v.facts, &whole.facts, sizeof(v.facts));
		}
		buf_free(&cases[c]);
	}
}

static void things_handed_over_by_mistake_are_named_with_the_next_step(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *word;
	} rows[] = {
		{ "\x1f\x8b\x08\x00", 4, "gzip -dc" },
		{ "\xfd" "7zXZ", 5, "xz -dc" },
		{ "design.bit\0\0\0\0", 14, "tar -xOf FILE NAME > image" },
		{ "version https://git-lfs", 23, "git lfs pull" },
		{ ":020000040000FA", 15, "Intel HEX" },
		{ "#!/bin/sh", 9, "script" },
		{ "\x7f" "ELF\x02\x01", 6, "ELF" },
		{ "<!DOCTYPE html>", 15, "web page" },
		{ "<?xml version", 13, "as XML does" },
		{ "S315000", 7, "S-records" },
		{ "! Lattice\nHDR 0;", 16, "as SVF" },
		{ "STATE RESET;", 12, "as SVF" },
		{ "!<arch>\n", 8, "Debian package" },
		{ "\x07\x00\x13\x00", 4, ".xsvf" },
		{ "\x02Lattice JEDEC", 14, "JEDEC" },
		{ "\xef\xbb\xbf//Gowin", 10, "byte order mark" },
		{ "\xff\xfe/\0", 4, "UTF-16" },
		{ "# device: x", 11, "Anlogic" },
		{ "[{\"a\": 1}]", 10, "JSON" },
		{ ".comment x", 10, "icepack" },
		{ "hello world", 11, "as text does" },
		{ "1\n", 2, "commands go to ctl" },
		{ "\x12\x34\x56\x78", 4, "begins with 12 34 56 78" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct verdict v = judge(rows[i].bytes, rows[i].n, rows[i].n);

		/* At the write, not only at the close. */
		assert_int_equal(v.feed, -ENOEXEC);
		assert_refused(v, ENOEXEC, rows[i].word);
	}
	assert_refused(judge("abc", 3, 3), ENOEXEC, "as text does");
	assert_refused(judge("x", 1, 1), ENOEXEC, "as text does");
}

/* A file of a zip archive, with its header; `later` leaves its length to what follows it. */
static void zip_file(struct buf *b, const char *name, unsigned size, bool later)
{
	buf_add(b, "PK\x03\x04\x14\0", 6);
	byte(b, later ? 8 : 0);
	buf_add(b, "\0\x08\0\0\0\0\0\0\0\0\0", 11);
	for (int i = 0; i < 4; i++)
		byte(b, later ? 0 : size >> 8 * i & 255);
	for (int i = 0; i < 4; i++)
		byte(b, size >> 8 * i & 255);
	byte(b, (unsigned)strlen(name));
	buf_add(b, "\0\3\0", 3);
	buf_adds(b, name);
	buf_add(b, "xtr", 3);
	for (unsigned i = 0; i < size; i++)
		byte(b, i * 7 & 255);
	if (later)
		buf_add(b, "PK\x07\x08\1\2\3\4\1\2\3\4\1\2\3\4", 16);
}

static void an_archive_says_which_file_in_it_to_copy(void **state)
{
	static const struct {
		const char *names[4];
		bool later;
		const char *word;
	} rows[] = {
		{ { "sysdef.xml", "ps7_init.c", "sys.bit", "late.bit" }, false,
		  "a hardware archive of Vivado (.xsa); copy the image in it: unzip -p FILE 'sys.bit' > image" },
		{ { "xsa.json", "a.hwh", "hw/b d.bit", "" }, true,
		  "a hardware archive of Vivado (.xsa); copy the image in it: unzip -p FILE 'hw/b d.bit' > image" },
		{ { "boot.bin", "fpga.bit.bin", "readme", "" }, true, "unzip -p FILE 'fpga.bit.bin' > image" },
		{ { "it's.bit", "", "", "" }, false, "unzip -p FILE '*.bit' > image" },
		{ { "it's.fs", "", "", "" }, false, "unzip -p FILE '*.fs' > image" },
		{ { "readme.txt", "", "", "" }, true, "a zip archive, and by their names no file in it is an image; unzip -l" },
		{ { "sysdef.xml", "ps7_init.c", "a.hwh", "" }, false, "a hardware archive of Vivado (.xsa), which has no "
		  "bitstream in it; write it again with write_hw_platform -include_bit" },
		{ { "xsa.xml", "a.hwh", "", "" }, true, "a hardware archive of Vivado (.xsa), which has no bitstream" },
		{ { "xsa.xml", "boot.bin", "", "" }, false, "(.xsa); copy the image in it: unzip -p FILE 'boot.bin'" },
		{ { "dcp.xml", "top.edf", "", "" }, false, "a design checkpoint of Vivado (.dcp), which has no "
		  "bitstream" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = BUF_INIT;
		struct verdict v;

		for (unsigned k = 0; k < 4 && rows[i].names[k][0]; k++)
			zip_file(&b, rows[i].names[k], k ? 700 : 0, rows[i].later);
		buf_add(&b, "PK\x01\x02 the directory", 18);
		assert_int_equal(buf_ok(&b), 0);
		for (size_t chunk = 1; chunk < b.len + 500; chunk += 499) {
			v = judge(b.data, b.len, chunk);
			/* With the directory at the latest: not only at the close. */
			assert_int_equal(v.feed, -ENOEXEC);
			assert_refused(v, ENOEXEC, rows[i].word);
			assert_string_equal(v.facts.format, "");
		}
		for (size_t n = 4; n < b.len; n++)
			assert_refused(judge(b.data, n, n), ENOEXEC, "not an image: a ");
	}
	assert_refused(judge("PK\x03\x04", 4, 4), ENOEXEC, "zip archive");
}

static void a_large_archive_is_not_taken_in_for_nothing(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;
	struct verdict v;

	(void)state;
	zip_file(&b, "model.hwh", (1u << 20) + 5000, false);
	zip_file(&b, "late.bit", 10, false);
	for (size_t chunk = 1000; chunk <= b.len; chunk *= 30) {
		v = judge(b.data, (1u << 20), chunk);
		assert_int_equal(v.feed, -ENOEXEC);
		assert_refused(v, ENOEXEC, "hardware archive of Vivado (.xsa); copy the .bit in it: unzip");
		assert_int_equal(judge(b.data, (1u << 20) - 1, chunk).feed, IMAGE_MORE);
	}
}

/* The .bit of a hardware archive may come behind what is looked at, and other files have such names. */
static void no_other_file_of_a_hardware_archive_is_told_for_its_bit(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	zip_file(&b, "sysdef.xml", 0, false);
	zip_file(&b, "picture.bin", (1u << 20) + 5000, false);
	zip_file(&b, "late.bit", 10, false);
	assert_refused(judge(b.data, b.len, b.len), ENOEXEC, "(.xsa); copy the .bit in it: unzip -p FILE '*.bit' > image");
}

static void a_refusal_sticks_and_a_reset_forgets_it(void **state)
{
	struct buf b CLEANUP_BUF = hx1k();
	struct image_parser *p = image_parser_new();
	struct reason first = { 0 }, again = { 0 };

	(void)state;
	assert_int_equal(image_parser_feed(p, "gzip", 4, &first), -ENOEXEC);
	assert_int_equal(image_parser_feed(p, b.data, b.len, &again), -ENOEXEC);
	assert_string_equal(first.text, again.text);
	assert_int_equal(image_parser_end(p, &again), -ENOEXEC);
	image_parser_reset(p);
	assert_int_equal(image_parser_bytes(p), 0);
	assert_int_equal(image_parser_feed(p, b.data, b.len, &again), IMAGE_COMPLETE);
	assert_int_equal(image_parser_end(p, &again), 0);
	image_parser_free(p);
	image_parser_free(NULL);
}

static void nothing_is_not_an_image(void **state)
{
	struct image_parser *p = image_parser_new();
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(image_parser_feed(p, "", 0, &why), IMAGE_MORE);
	assert_int_equal(image_parser_end(p, &why), -EBADMSG);
	assert_false(image_parser_complete(p));
	image_parser_free(p);
}

static void four_kilobytes_of_comment_without_a_preamble_are_no_image(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	buf_add(&b, "\xff\x00", 2);
	for (int i = 0; i < 4096; i++)
		byte(&b, 'c');
	assert_int_equal(judge(b.data, 4000, 4000).end, -EBADMSG);
	assert_int_equal(judge(b.data, 4098, 4098).feed, -ENOEXEC);
}

/* --- samples ----------------------------------------------------------------------- */

static void samples_of_vendor_tools_are_judged_right(void **state)
{
	struct buf a CLEANUP_BUF = BUF_INIT, b CLEANUP_BUF = BUF_INIT, c CLEANUP_BUF = BUF_INIT,
		   d CLEANUP_BUF = BUF_INIT;

	(void)state;
	if (!sample("ice40/hx1k_nocomment.bin", &a) || !sample("ice40/hx1k_icecube2_comment.bin", &b) ||
	    !sample("ice40/up5k_bitsy_bootloader.bin", &c) || !sample("ice40/lp8k_multiboot.bin", &d))
		skip();

	struct verdict v = judge(a.data, a.len, a.len);

	assert_int_equal(v.end, 0);
	assert_string_equal(v.facts.part, "iCE40-HX1K");
	assert_int_equal(v.facts.declared_size, 32219);
	v = judge(b.data, b.len, b.len);
	assert_int_equal(v.end, 0);
	assert_string_equal(v.facts.part, "iCE40-HX1K");
	assert_string_equal(v.facts.also_parts, "");
	assert_string_equal(v.facts.package, "TQ144");
	assert_string_equal(v.facts.built, "Mar 5 2015 17:24:");
	v = judge(c.data, c.len, 1000);
	assert_int_equal(v.end, 0);
	assert_string_equal(v.facts.part, "iCE40-UP5K");
	v = judge(d.data, d.len, 4096);
	assert_int_equal(v.end, 0);
	assert_string_equal(v.facts.part, "iCE40-HX8K");
	assert_int_equal(v.facts.declared_size, 298939);
	assert_non_null(strstr(v.facts.no_card, "warm-boot"));
	/* The usual size is right for each, to the byte. */
	assert_refused(judge(a.data, 20000, 20000), EBADMSG, "20000 of 32219 bytes");
	assert_refused(judge(c.data, 50000, 50000), EBADMSG, "50000 of 104089 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_hx1k_image_is_recognised_with_its_facts),
		cmocka_unit_test(each_die_is_told_by_its_geometry),
		cmocka_unit_test(a_comment_names_part_package_tool_and_date),
		cmocka_unit_test(a_comment_that_contradicts_the_geometry_is_not_believed),
		cmocka_unit_test(control_bytes_of_a_comment_do_not_reach_the_facts),
		cmocka_unit_test(a_wrong_part_is_known_within_the_first_kilobyte),
		cmocka_unit_test(padding_of_zeros_or_ones_may_follow),
		cmocka_unit_test(a_byte_after_the_end_is_efbig),
		cmocka_unit_test(endless_padding_is_efbig),
		cmocka_unit_test(a_flipped_bit_from_crc_reset_to_wake_up_is_refused),
		cmocka_unit_test(every_bit_of_the_command_bytes_is_covered),
		cmocka_unit_test(a_file_cut_anywhere_says_how_many_bytes_of_how_many),
		cmocka_unit_test(an_image_that_breaks_the_order_of_commands_is_refused),
		cmocka_unit_test(a_geometry_of_no_part_is_refused_though_its_crc_is_right),
		cmocka_unit_test(a_flash_image_of_sound_images_is_sound_and_for_no_card),
		cmocka_unit_test(damage_to_any_image_of_a_flash_image_is_found),
		cmocka_unit_test(a_jump_without_a_table_is_for_no_card),
		cmocka_unit_test(a_probe_that_goes_on_says_what_one_from_the_start_would),
		cmocka_unit_test(any_chunking_gives_the_same_answer),
		cmocka_unit_test(things_handed_over_by_mistake_are_named_with_the_next_step),
		cmocka_unit_test(an_archive_says_which_file_in_it_to_copy),
		cmocka_unit_test(a_large_archive_is_not_taken_in_for_nothing),
		cmocka_unit_test(no_other_file_of_a_hardware_archive_is_told_for_its_bit),
		cmocka_unit_test(a_refusal_sticks_and_a_reset_forgets_it),
		cmocka_unit_test(nothing_is_not_an_image),
		cmocka_unit_test(four_kilobytes_of_comment_without_a_preamble_are_no_image),
		cmocka_unit_test(samples_of_vendor_tools_are_judged_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
