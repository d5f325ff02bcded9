// SPDX-License-Identifier: Apache-2.0
/* Lattice .bit: ECP5 frame by frame, Nexus and MachXO as far as they are known. */
#include "ecp5_fixture.h"

static void each_kind_of_image_is_sound(void **state)
{
	(void)state;
	for (enum kind kind = PLAIN; kind <= NO_CRC; kind++) {
		struct ecp5 s = good(kind);
		struct verdict v = assert_sound(&s.b);

		assert_string_equal(v.facts.format, "ecp5");
		assert_int_equal(v.facts.confidence, IMAGE_EXACT);
		assert_string_equal(v.facts.vendor, "lattice");
		assert_string_equal(v.facts.family, "ECP5");
		assert_string_equal(v.facts.part, "lfe5u-25f");
		assert_string_equal(v.facts.package, "CABGA256");
		assert_string_equal(v.facts.speed, "6");
		assert_int_equal(v.facts.idcode, LFE5U_25F);
		assert_string_equal(v.facts.user_id, "deadbeef");
		assert_string_equal(v.facts.integrity_checked, kind == NO_CRC ? "" : "crc16");
		assert_int_equal(v.facts.compressed, kind == COMPRESSED ? IMAGE_YES : IMAGE_NO);
		assert_int_equal(v.facts.declared_size, s.b.len - 4);
		assert_false(v.facts.unsized);
		buf_free(&s.b);
	}
}

static void a_comment_of_diamond_is_read(void **state)
{
	struct ecp5 s = compose(PLAIN, PART, LFE5U_25F, 74);
	struct buf b CLEANUP_BUF = BUF_INIT;
	static const char comment[] =
		"LSCC\xff\x00Lattice Semiconductor Corporation Bitstream\0"
		"Version:         Diamond (64-bit) 3.9.0.99.2\0"
		"Design name: /home/me/secret/top.ncd\0Part: LFE5U-25F-6CABGA256\0"
		"Date: Sun A ug 26 15:29:50 2018\0Rows: 5";
	struct verdict v;

	(void)state;
	buf_add(&b, comment, sizeof(comment));
	buf_add(&b, s.b.data + 2 + sizeof(PART), s.b.len - 2 - sizeof(PART));
	v = assert_sound(&b);
	keep_image("ecp5-diamond", &b);
	assert_string_equal(v.facts.tool, "Diamond (64-bit) 3.9.0.99.2");
	assert_string_equal(v.facts.design, "top");
	assert_string_equal(v.facts.built, "Sun A ug 26 15:29:50 2018");
	any_chunking_agrees(&b);
	buf_free(&s.b);
}

static void an_image_without_a_comment_is_known_by_its_idcode(void **state)
{
	struct ecp5 s = compose(PLAIN, "", LFE5U_85F, 142);
	struct verdict v = assert_sound(&s.b);

	(void)state;
	assert_string_equal(v.facts.part, "lfe5u-85f");
	any_chunking_agrees(&s.b);
	/* Not even ff 00. */
	memmove(s.b.data, s.b.data + 3, s.b.len - 3);
	s.b.len -= 3;
	v = assert_sound(&s.b);
	assert_string_equal(v.facts.part, "lfe5u-85f");
	any_chunking_agrees(&s.b);
	buf_free(&s.b);
}

static void parts_of_one_die_are_told_apart(void **state)
{
	struct ecp5 s = compose(PLAIN, "Part: LFE5U-12F-6CABGA256", LFE5U_12F, 74);
	struct verdict v = assert_sound(&s.b);
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(image_suits(&v.facts, "LFE5U-12F", false, 0, "", &why), 0);
	assert_int_equal(image_suits(&v.facts, "LFE5U-25F", false, 0, "", &why), -EMEDIUMTYPE);
	assert_non_null(strstr(why.text, "21111043"));
	assert_non_null(strstr(why.text, "41111043"));
	buf_free(&s.b);
}

static void a_flipped_bit_that_a_crc_covers_is_refused(void **state)
{
	(void)state;
	for (enum kind kind = PLAIN; kind <= WITH_RAM; kind++) {
		struct ecp5 s = good(kind);

		flips_are_refused(&s.b, s.first, s.last, 1);
		/* And the reset before it, and the end behind it. */
		flips_are_refused(&s.b, s.first - 4, s.first, 1);
		flips_are_refused(&s.b, s.last, s.last + 4, 1);
		buf_free(&s.b);
	}
}

static void a_flip_anywhere_is_survived(void **state)
{
	(void)state;
	for (enum kind kind = PLAIN; kind <= NO_CRC; kind++) {
		struct ecp5 s = good(kind);

		flips_are_survived(&s.b, 0, s.b.len, kind == NO_CRC ? 1 : 5);
		buf_free(&s.b);
	}
}

static void a_file_cut_anywhere_is_refused(void **state)
{
	(void)state;
	for (enum kind kind = PLAIN; kind <= NO_CRC; kind++) {
		struct ecp5 s = good(kind);

		cuts_are_refused(&s.b, 9, s.b.len - 4, 1);
		assert_refused(judge(s.b.data, 120, 120), EBADMSG,
			       "frames of the configuration are missing");
		buf_free(&s.b);
	}
}

static void any_chunking_gives_the_same_answer(void **state)
{
	(void)state;
	for (enum kind kind = PLAIN; kind <= NO_CRC; kind++) {
		struct ecp5 s = good(kind);

		any_chunking_agrees(&s.b);
		s.b.data[s.b.len / 2] ^= 8;
		any_chunking_agrees(&s.b);
		s.b.len /= 2;
		any_chunking_agrees(&s.b);
		buf_free(&s.b);
	}
}

static void what_breaks_the_order_of_commands_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		int err;
		const char *word;
	} rows[] = {
#define ROW(text, err, word) { text, sizeof(text) - 1, err, word }
		ROW("\x82\x91\0\5", EBADMSG, "before the CRC is reset"),
		ROW("\x3b\0\0\0\x82\x91\0\5", EBADMSG, "before an IDCODE"),
		ROW("\x3b\0\0\0\xe2\0\0\0\x41\x11\x10\x43\x82\x91\0\0", EBADMSG, "0 frames"),
		ROW("\x3b\0\0\0\xe2\0\0\0\x41\x11\x10\x43\x5e\0\0\0", EBADMSG, "without any frame"),
		ROW("\x3b\0\0\0\xe2\0\0\0\x41\x11\x10\x43\x11\0\0\0", EBADMSG,
		    "unknown command 11"),
#undef ROW
	};
	struct buf jump CLEANUP_BUF = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = BUF_INIT;

		buf_add(&b, "\xff\0" PART "\0\xff\xff\xff\xbd\xb3\xff", 2 + sizeof(PART) + 6);
		buf_add(&b, rows[i].bytes, rows[i].n);
		put_fill(&b, 0xff, 30);
		assert_refused(judge_buf(&b), rows[i].err, rows[i].word);
		any_chunking_agrees(&b);
	}
	buf_add(&jump, "\xff\0" PART "\0\xff\xff\xff\xbd\xb3\xff", 2 + sizeof(PART) + 6);
	buf_add(&jump, "\xe2\0\0\0\x41\x11\x10\x43\x7e\0\0\0\3\1\0\0", 16);
	assert_for_no_card(&jump, "jumps to another address");
	any_chunking_agrees(&jump);
}

static void an_encrypted_image_is_known_by_its_comment_and_has_no_end(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;
	struct verdict v;

	(void)state;
	buf_add(&b, "\xff\0" PART "\0\xff\xff\xff\xbf\xb3", 2 + sizeof(PART) + 5);
	put_fill(&b, 0x5a, 500);
	v = assert_sound(&b);
	assert_string_equal(v.facts.format, "ecp5");
	assert_string_equal(v.facts.part, "lfe5u-25f");
	assert_int_equal(v.facts.encrypted, IMAGE_YES);
	assert_int_equal(v.facts.confidence, IMAGE_LIKELY);
	assert_true(v.facts.unsized);
	any_chunking_agrees(&b);
}

static void a_comment_without_a_preamble_near_it_is_no_image(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	buf_add(&b, "\xff\0" PART "\0", 2 + sizeof(PART));
	put_fill(&b, 0xff, 60);
	buf_add(&b, "\xff\xff\xbd\xb3", 4);
	put_fill(&b, 0x11, 100);
	assert_int_not_equal(judge_buf(&b).end, 0);
	any_chunking_agrees(&b);
	buf_clear(&b);
	buf_add(&b, "\xff\0" PART "\0", 2 + sizeof(PART));
	put_fill(&b, 0xff, 5000);
	assert_refused(judge_buf(&b), ENOEXEC, "not an image");
	any_chunking_agrees(&b);
}

static void nexus_and_machxo_are_recognised_and_not_judged(void **state)
{
	static const struct {
		const char *comment, *format, *part;
		uint32_t idcode;
	} rows[] = {
		{ "Part: LIFCL-40-9BG400C", "nexus", "lifcl-40", LIFCL_40 },
		{ "Part: LCMXO2-7000HC-6FTG256C", "machxo", "lcmxo2-7000hc", LCMXO2_7000 },
	};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct ecp5 s =
			compose(PLAIN, i < 2 ? rows[i].comment : "", rows[i % 2].idcode, 74);
		struct verdict v = assert_sound(&s.b);

		assert_string_equal(v.facts.format, rows[i % 2].format);
		assert_int_equal(v.facts.idcode, rows[i % 2].idcode);
		assert_int_equal(v.facts.confidence, IMAGE_LIKELY);
		assert_string_equal(v.facts.integrity_checked, "");
		assert_int_not_equal(v.facts.integrity_absent[0], 0);
		assert_int_equal(image_suits(&v.facts, rows[i % 2].part, false, 0, "", NULL), 0);
		assert_int_equal(image_suits(&v.facts, "LFE5U-25F", false, 0, "", NULL),
				 -EMEDIUMTYPE);
		assert_true(v.facts.unsized);
		keep_image(rows[i % 2].format, &s.b);
		if (i < 2) {
			const char *preamble = memmem(s.b.data, s.b.len, "\xff\xff\xbd\xb3", 4);
			struct verdict cut;

			assert_non_null(preamble);
			cut = judge(s.b.data, (size_t)(preamble - s.b.data) + 4, 1);
			assert_refused(cut, EBADMSG, "nothing follows the preamble");
			assert_ptr_equal(strstr(cut.why.text, rows[i].format), cut.why.text);
		}
		flips_are_survived(&s.b, 0, s.b.len, 1);
		any_chunking_agrees(&s.b);
		buf_free(&s.b);
	}
}

static void lattice_samples_of_vendor_tools_are_judged_right(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;
	struct verdict v;

	(void)state;
	if (!sample("ecp5/lfe5u45_diamond_compressed.bit", &b))
		skip();
	v = assert_sound(&b);
	assert_string_equal(v.facts.part, "lfe5u-45f");
	assert_string_equal(v.facts.package, "CSFBGA285");
	assert_int_equal(v.facts.idcode, 0x41112043);
	assert_string_equal(v.facts.integrity_checked, "crc16");
	assert_int_equal(v.facts.compressed, IMAGE_YES);
	assert_string_equal(v.facts.design, "diamond_impl");
	flips_are_refused(&b, 0x158, 0x2c14a, 4001);
	cuts_are_refused(&b, 9, 0x2c14e, 5003);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_image_is_sound),
		cmocka_unit_test(a_comment_of_diamond_is_read),
		cmocka_unit_test(an_image_without_a_comment_is_known_by_its_idcode),
		cmocka_unit_test(parts_of_one_die_are_told_apart),
		cmocka_unit_test(a_flipped_bit_that_a_crc_covers_is_refused),
		cmocka_unit_test(a_flip_anywhere_is_survived),
		cmocka_unit_test(a_file_cut_anywhere_is_refused),
		cmocka_unit_test(any_chunking_gives_the_same_answer),
		cmocka_unit_test(what_breaks_the_order_of_commands_is_refused),
		cmocka_unit_test(an_encrypted_image_is_known_by_its_comment_and_has_no_end),
		cmocka_unit_test(a_comment_without_a_preamble_near_it_is_no_image),
		cmocka_unit_test(nexus_and_machxo_are_recognised_and_not_judged),
		cmocka_unit_test(lattice_samples_of_vendor_tools_are_judged_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
