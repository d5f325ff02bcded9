// SPDX-License-Identifier: Apache-2.0
/* The iCE40 recogniser, also of flash images, and on samples of the vendors' tools where they lie beside the project. */
#include "ice40_fixture.h"

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
	assert_sound(&b);
	for (int i = 0; i < 70000; i++)
		byte(&b, i < 100 ? 0x00 : 0xff);
	assert_sound(&b);
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
	assert_sound(&b);
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
	assert_sound(&b);
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
		cmocka_unit_test(samples_of_vendor_tools_are_judged_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
