// SPDX-License-Identifier: Apache-2.0
/* Lattice .bit: ECP5 frame by frame, Nexus and MachXO as far as they are known. */
#include "image_fixture.h"

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
