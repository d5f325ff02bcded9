// SPDX-License-Identifier: Apache-2.0
/*
 * Xilinx .bit and raw .bin, on small streams composed here packet by packet, with a CRC
 * computed bit by bit: what the recogniser computes in tables has nothing in common with it.
 */
#include "xilinx_fixture.h"

/* --- .bit: what is good ------------------------------------------------------------- */

static void a_full_image_tells_its_part_design_tool_and_time(void **state)
{
	struct buf b CLEANUP_BUF = bit(FULL);
	struct verdict v = assert_sound(&b);

	(void)state;
	assert_string_equal(v.facts.format, "xilinx-bit");
	assert_int_equal(v.facts.confidence, IMAGE_EXACT);
	assert_string_equal(v.facts.vendor, "xilinx");
	assert_string_equal(v.facts.family, "Artix-7");
	assert_string_equal(v.facts.part, "xc7a35t");
	assert_string_equal(v.facts.also_parts, "");
	assert_string_equal(v.facts.package, "cpg236");
	assert_true(v.facts.has_idcode);
	assert_int_equal(v.facts.idcode, XC7A35T);
	assert_int_equal(v.facts.declared_size, b.len);
	assert_int_equal(v.facts.partial, IMAGE_NO);
	assert_int_equal(v.facts.compressed, IMAGE_NO);
	assert_int_equal(v.facts.encrypted, IMAGE_NO);
	assert_string_equal(v.facts.design, "top");
	assert_string_equal(v.facts.user_id, "cafe0001");
	assert_string_equal(v.facts.tool, "Vivado 2022.1");
	assert_string_equal(v.facts.built, "2026/11/21 12:34:56");
	assert_string_equal(v.facts.integrity_checked, "crc32c");
	assert_true(v.facts.integrity_ok);
	assert_int_equal(v.facts.dies, 1);
}

static void each_kind_of_image_is_sound_and_named(void **state)
{
	static const struct {
		enum kind kind;
		const char *part, *checked;
		enum image_tri partial, compressed;
		unsigned dies;
	} rows[] = {
		{ COMPRESSED, "xc7a35t", "crc32c", IMAGE_NO, IMAGE_YES, 1 },
		{ PER_FRAME, "xc7a35t", "crc32c", IMAGE_NO, IMAGE_NO, 1 },
		{ DEBUG, "xc7a35t", "crc32c", IMAGE_NO, IMAGE_NO, 1 },
		{ PARTIAL, "xc7a35t", "crc32c", IMAGE_YES, IMAGE_NO, 1 },
		{ CRC_OFF, "xc7a35t", "", IMAGE_NO, IMAGE_NO, 1 },
		{ CRC_CONSTANT, "xc7a35t", "", IMAGE_NO, IMAGE_NO, 1 },
		{ DIES, "xcvu37p", "crc32c", IMAGE_NO, IMAGE_NO, 3 },
		{ TRANSCEIVER, "xc7vh580t", "crc32c", IMAGE_NO, IMAGE_NO, 2 },
		{ SPARTAN3, "xc3s500e", "crc16", IMAGE_UNKNOWN, IMAGE_NO, 1 },
		{ SPARTAN6, "xc6slx9", "crc22", IMAGE_UNKNOWN, IMAGE_YES, 1 },
		{ SPARTAN3A, "xc3s50an", "crc22", IMAGE_UNKNOWN, IMAGE_YES, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = bit(rows[i].kind);
		struct verdict v = assert_sound(&b);

		assert_string_equal(v.facts.part, rows[i].part);
		assert_string_equal(v.facts.integrity_checked, rows[i].checked);
		if (!rows[i].checked[0])
			assert_int_not_equal(v.facts.integrity_absent[0], 0);
		assert_int_equal(v.facts.partial, rows[i].partial);
		assert_int_equal(v.facts.compressed, rows[i].compressed);
		assert_int_equal(v.facts.dies, rows[i].dies);
	}
}

static void an_encrypted_image_is_taken_as_far_as_it_can_be_read(void **state)
{
	struct buf b CLEANUP_BUF = bit(ENCRYPTED);
	struct verdict v = assert_sound(&b);

	(void)state;
	assert_int_equal(v.facts.encrypted, IMAGE_YES);
	assert_int_equal(v.facts.confidence, IMAGE_LIKELY);
	assert_int_equal(v.facts.idcode, XC7A35T);
	assert_non_null(strstr(v.facts.integrity_absent, "encrypted"));
	cuts_are_refused(&b, 1, b.len, 3);
}

static void the_header_may_have_any_keys_in_any_order_and_length(void **state)
{
	struct stream s = compose(FULL, XC7A35T);
	struct buf a CLEANUP_BUF = bit_of(
		&s, "deep/folder/spi;UniqueID=8def22be;ParentID=00000000;Version=2025.1;New=1",
		"7a35tcpg236");
	struct buf b CLEANUP_BUF = bit_of(&s, "C:\\work\\x.ncd", "7a35tcpg236");
	struct buf c CLEANUP_BUF =
		bit_of(&s, "slot;PARTIAL=TRUE;ParentID=12345678", "XC7A35T-CPG236-1-c");
	struct verdict v = assert_sound(&a);

	(void)state;
	assert_string_equal(v.facts.design, "spi");
	assert_string_equal(v.facts.tool, "Vivado 2025.1");
	assert_string_equal(v.facts.unique_id, "8def22be");
	assert_string_equal(v.facts.shell, "");
	v = assert_sound(&b);
	assert_string_equal(v.facts.design, "x");
	assert_string_equal(v.facts.tool, "ISE");
	v = assert_sound(&c);
	assert_string_equal(v.facts.shell, "12345678");
	assert_int_equal(v.facts.partial, IMAGE_YES);
	assert_string_equal(v.facts.part, "xc7a35t");
	assert_string_equal(v.facts.package, "CPG236");
	assert_string_equal(v.facts.speed, "1-c");
	buf_free(&s.b);
}

static void names_of_parts_without_dashes_are_split_before_the_package(void **state)
{
	static const struct {
		const char *name, *part, *package;
		enum kind kind;
		uint32_t idcode;
	} rows[] = {
		{ "6slx9tqg144", "xc6slx9", "tqg144", SPARTAN6, 0x04001093 },
		{ "6slx25tcsg324", "xc6slx25t", "csg324", SPARTAN6, 0x04024093 },
		{ "3s200anftg256", "xc3s200an", "ftg256", SPARTAN3A, 0x02618093 },
		{ "3s200aft256", "xc3s200a", "ft256", SPARTAN3A, 0x02218093 },
		{ "3s100ecp132", "xc3s100e", "cp132", SPARTAN3, 0x01c10093 },
		{ "7vx330tffg1157", "xc7vx330t", "ffg1157", FULL, 0x03667093 },
		{ "7s50csga324", "xc7s50", "csga324", FULL, 0x0362f093 },
		{ "7a50tfgg484", "xc7a50t", "fgg484", FULL, XC7A50T },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct stream s = compose(rows[i].kind, rows[i].idcode);
		struct buf b CLEANUP_BUF = bit_of(&s, DESIGN, rows[i].name);
		struct verdict v = assert_sound(&b);

		assert_string_equal(v.facts.part, rows[i].part);
		assert_string_equal(v.facts.package, rows[i].package);
		buf_free(&s.b);
	}
}

static void older_families_are_not_refused_for_what_was_never_seen_of_them(void **state)
{
	static const char *const names[] = { "5vlx50tff1136", "4vfx12ff668", "2vp30ff896", "v600ehq240",
					     "2s200pq208" };
	struct stream s = compose(FULL, 0x02a96093);

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct buf b CLEANUP_BUF = bit_of(&s, DESIGN, names[i]);
		struct verdict v = assert_sound(&b);

		assert_string_equal(v.facts.integrity_checked, "crc32c");
		any_chunking_agrees(&b);
		b.data[payload_at + s.first + 300] ^= 1;
		v = assert_sound(&b);
		assert_string_equal(v.facts.integrity_checked, "");
		assert_non_null(strstr(v.facts.integrity_absent, "only told where"));
		assert_int_equal(v.facts.confidence, IMAGE_LIKELY);
		assert_int_equal(strncmp(v.facts.part, "xc", 2), 0);
		any_chunking_agrees(&b);
		cuts_are_refused(&b, 1, b.len, 97);
	}
	/* Virtex UltraScale is no Virtex. */
	struct buf b CLEANUP_BUF = bit_of(&s, DESIGN, "xcvu9p-flga2104-2-e");

	b.data[payload_at + s.first + 300] ^= 1;
	assert_refused(judge_buf(&b), EBADMSG, "damaged");
	buf_free(&s.b);
}

static void the_idcode_is_believed_where_the_header_contradicts_it(void **state)
{
	struct stream s = compose(FULL, XC7A50T);
	struct buf b CLEANUP_BUF = bit_of(&s, DESIGN, "7a35tcpg236");
	struct buf c CLEANUP_BUF = bit_of(&s, DESIGN, "xq7unheard-of");
	struct verdict v = assert_sound(&b);

	(void)state;
	assert_string_equal(v.facts.part, "xc7a50t");
	assert_non_null(strstr(v.facts.detail, "xc7a35t"));
	v = assert_sound(&c);
	assert_string_equal(v.facts.also_parts, "xc7a50t");
	buf_free(&s.b);
}

/* --- .bit: what is not --------------------------------------------------------------- */

static void a_flipped_bit_that_a_crc_covers_is_refused(void **state)
{
	static const enum kind kinds[] = { FULL,     COMPRESSED, PER_FRAME,
					   SPARTAN3, SPARTAN6,	 SPARTAN3A };

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct stream s = compose(kinds[k], kinds[k] == SPARTAN3 ? XC3S500E : XC7A35T);
		struct buf b CLEANUP_BUF = bit(kinds[k]);

		/* Also the headers of the packets: they are taken in one shape only. */
		flips_are_refused(&b, payload_at + s.first, payload_at + s.last,
				  k == 0 ? 3 : k > 3 ? 1 : 7);
		buf_free(&s.b);
	}
}

static void a_flipped_bit_in_an_inner_die_is_refused(void **state)
{
	struct buf b CLEANUP_BUF = bit(DIES);
	size_t from = payload_at;

	(void)state;
	/* The frames of the innermost die lie in the last quarter. */
	for (size_t at = from + 3 * (b.len - from) / 4; at + 800 < b.len; at += 5) {
		struct verdict v;

		if (!b.data[at])
			continue;
		b.data[at] ^= 4;
		v = judge_buf(&b);
		b.data[at] ^= 4;
		/* NOPs behind DESYNC are nobody's. */
		if (!v.end && memcmp(b.data + (at - (at - from) % 4), "\x20\0\0\0", 4))
			fail_msg("byte %zu flipped: accepted", at);
	}
}

static void a_flip_anywhere_is_survived(void **state)
{
	static const enum kind kinds[] = { FULL,      DEBUG, PARTIAL,  CRC_OFF,
					   ENCRYPTED, DIES,  SPARTAN3, SPARTAN6, SPARTAN3A };

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct buf b CLEANUP_BUF = bit(kinds[k]);

		flips_are_survived(&b, 0, b.len < 330 ? b.len : 330, 1);
		flips_are_survived(&b, 330, b.len, 31);
	}
}

static void a_file_cut_anywhere_is_refused_with_how_many_bytes_of_how_many(void **state)
{
	struct buf b CLEANUP_BUF = bit(FULL);
	char want[60];

	(void)state;
	cuts_are_refused(&b, 1, b.len, 1);
	snprintf(want, sizeof(want), "1000 of %zu bytes", b.len);
	assert_refused(judge(b.data, 1000, 1000), EBADMSG, want);
}

static void padding_may_follow_and_nothing_else(void **state)
{
	struct buf b CLEANUP_BUF = bit(FULL);

	(void)state;
	put_fill(&b, 0xff, 5000);
	assert_sound(&b);
	put8(&b, 'A');
	assert_refused(judge_buf(&b), EFBIG, "5001 bytes after the end");
	assert_refused(judge_buf(&b), EFBIG, "the image alone is head -c ");
}

static void any_chunking_gives_the_same_answer(void **state)
{
	(void)state;
	for (enum kind k = FULL; k <= TRANSCEIVER; k++) {
		struct buf b CLEANUP_BUF = bit(k);

		any_chunking_agrees(&b);
		b.len -= b.len / 3;
		any_chunking_agrees(&b);
		b.data[b.len / 2] ^= 1;
		any_chunking_agrees(&b);
	}
}

static void hostile_lengths_end_in_a_refusal(void **state)
{
	static const uint32_t lengths[] = { 0, 1, 0x7fffffff, 0xffffffff };
	struct buf deep CLEANUP_BUF = BUF_INIT;
	struct buf b CLEANUP_BUF = bit(DIES);
	struct stream s = { 0 };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		for (int k = 0; k < 4; k++) {
			struct buf c CLEANUP_BUF = BUF_INIT;

			buf_add(&c, b.data, b.len);
			for (int n = 0; n < 4; n++)
				c.data[payload_at - 4 + (size_t)n] =
					(char)(lengths[i] >> (24 - 8 * n));
			if (!judge_buf(&c).end)
				fail_msg("a declared length of %x: accepted", lengths[i]);
		}
	/* Items as long as they can be. */
	buf_add(&deep, b.data, 13);
	for (int i = 0; i < 3; i++) {
		put8(&deep, 'a');
		put16(&deep, 0xffff);
		put_fill(&deep, 'x', 0xffff);
	}
	assert_refused(judge_buf(&deep), EBADMSG, "header of more than 4096");
	/* A die in a die in a die, without an end. */
	head(&s, 32);
	for (int i = 0; i < 20; i++) {
		put32(&s.b, 0x3003c000);
		put32(&s.b, 0x50000000u | (uint32_t)(4000 - 100 * i));
		head(&s, 0);
	}
	put_fill(&s.b, 0xff, 4 * 4000);

	struct buf c CLEANUP_BUF = bit_of(&s, DESIGN, "xcvu37p-fsvh2892-2L-e");

	assert_refused(judge_buf(&c), EBADMSG, "more dies");
	buf_free(&s.b);
}

static void a_missing_crc_of_the_last_frames_is_refused(void **state)
{
	struct stream s = { 0 };

	(void)state;
	front(&s, XC7A35T, false);
	frames(&s, 1, false);
	crc_word(&s);
	frames(&s, 1, false);
	write1(&s, CMD, DESYNC);

	struct buf b CLEANUP_BUF = bit_of(&s, DESIGN, "7a35tcpg236");

	assert_refused(judge_buf(&b), EBADMSG, "without a CRC");
	buf_free(&s.b);
}

/* --- raw .bin ------------------------------------------------------------------------ */

static void a_raw_image_is_known_in_both_orders(void **state)
{
	struct stream s = compose(FULL, XC7A35T);
	struct buf b CLEANUP_BUF = swapped(&s.b);
	struct verdict v = assert_sound(&s.b), w = assert_sound(&b);

	(void)state;
	keep_image("xilinx-bus.bin", &s.b);
	keep_image("xilinx-swapped.bin", &b);
	assert_string_equal(v.facts.format, "xilinx-bin");
	assert_string_equal(v.facts.part, "xc7a35t");
	assert_string_equal(v.facts.integrity_checked, "crc32c");
	assert_string_equal(v.facts.detail, "");
	assert_string_equal(w.facts.part, "xc7a35t");
	assert_string_equal(w.facts.integrity_checked, "crc32c");
	assert_non_null(strstr(w.facts.detail, "swapped"));
	any_chunking_agrees(&s.b);
	any_chunking_agrees(&b);
	cuts_are_refused(&s.b, 56, s.b.len - 160, 1);
	cuts_are_refused(&b, 56, b.len - 160, 3);
	flips_are_refused(&s.b, s.first, s.last, 5);
	flips_are_refused(&b, s.first, s.last, 11);
	buf_free(&s.b);
}

static void a_raw_image_of_an_idcode_that_several_parts_share_suits_them_all(void **state)
{
	struct stream s = compose(FULL, 0x04721093);
	struct verdict v = assert_sound(&s.b);

	(void)state;
	assert_int_equal(image_suits(&v.facts, "xczu4eg", false, 0, "", NULL), 0);
	assert_int_equal(image_suits(&v.facts, "xczu4ev", false, 0, "", NULL), 0);
	assert_int_equal(image_suits(&v.facts, "xczu5ev", false, 0, "", NULL), -EMEDIUMTYPE);
	buf_free(&s.b);
}

static void raw_images_of_older_parts_are_known(void **state)
{
	struct stream s = compose(SPARTAN3, XC3S500E), t = compose(SPARTAN6, 0x04001093),
		      u = compose(SPARTAN3A, 0x02610093);
	struct verdict v = assert_sound(&s.b);

	(void)state;
	assert_string_equal(v.facts.part, "xc3s500e");
	assert_string_equal(v.facts.integrity_checked, "crc16");
	v = assert_sound(&t.b);
	assert_string_equal(v.facts.part, "xc6slx9");
	assert_string_equal(v.facts.integrity_checked, "crc22");
	assert_false(v.facts.unsized);
	assert_string_equal(assert_sound(&u.b).facts.part, "xc3s50an");
	any_chunking_agrees(&s.b);
	any_chunking_agrees(&t.b);
	any_chunking_agrees(&u.b);
	cuts_are_refused(&t.b, 40, t.b.len - 28, 1);
	put_fill(&t.b, 0xff, 10);
	assert_sound(&t.b);
	buf_adds(&t.b, "abcd");
	assert_refused(judge_buf(&t.b), EFBIG, "bytes after the end of the configuration");
	buf_free(&u.b);
	buf_free(&s.b);
	buf_free(&t.b);
}

static void packets_of_16_bits_are_taken_in_one_shape(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *word;
	} rows[] = {
#define ROW(text, word) { text, sizeof(text) - 1, word }
		ROW("\x30\xa0", "30a0 is no configuration packet"),
		ROW("\x28\xa1", "28a1 is no configuration packet"),
		ROW("\x34\x61\0\0", "3461 is no configuration packet"),
		ROW("\x50\x61", "5061 is no configuration packet"),
		ROW("\x50\x60\0\0\0\0", "a packet of no frames"),
		ROW("\x50\x60\xff\xff\xff\xff", "a packet of no frames, or of more"),
		ROW("\x30\x02\0\0\0\1", "the CRC there is 000001"),
		ROW("\x30\xa1\0", "in the middle of a 16-bit word"),
		ROW("\x30\xa1", "before the command DESYNC"),
#undef ROW
	};
	struct buf off CLEANUP_BUF = BUF_INIT, encrypted CLEANUP_BUF = BUF_INIT;
	struct verdict v;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = BUF_INIT;

		put_fill(&b, 0xff, 16);
		buf_add(&b, "\xaa\x99\x55\x66\x30\xa1\0\7", 8);
		buf_add(&b, rows[i].bytes, rows[i].n);
		assert_refused(judge_buf(&b), EBADMSG, rows[i].word);
		any_chunking_agrees(&b);
	}
	/* Built with its CRC switched off, and with what cannot be read. */
	put_fill(&off, 0xff, 16);
	buf_add(&off, "\xaa\x99\x55\x66\x30\xa1\0\7\x50\x60\0\0\0\2\1\2\3\4\x98\x76\xde\xfc", 22);
	buf_add(&off, "\x30\xa1\0\xd", 4);
	v = assert_sound(&off);
	assert_string_equal(v.facts.integrity_checked, "");
	assert_non_null(strstr(v.facts.integrity_absent, "switched off"));
	put_fill(&encrypted, 0xff, 16);
	buf_add(&encrypted, "\xaa\x99\x55\x66\x30\xa1\0\7\x30\xc1\0\x40\x34\x44\1\2\3", 17);
	v = assert_sound(&encrypted);
	assert_int_equal(v.facts.encrypted, IMAGE_YES);
	assert_true(v.facts.unsized);
	any_chunking_agrees(&encrypted);
}

static void bytes_behind_a_raw_image_are_efbig_and_half_a_word_is_truncated(void **state)
{
	struct stream s = compose(FULL, XC7A35T);

	(void)state;
	put_fill(&s.b, 0xff, 64);
	put_fill(&s.b, 0, 64);
	assert_sound(&s.b);
	put8(&s.b, 0);
	assert_refused(judge_buf(&s.b), EBADMSG, "in the middle of a 32-bit word");
	buf_adds(&s.b, "abc");
	assert_refused(judge_buf(&s.b), EFBIG, "after the end");
	buf_free(&s.b);
}

static void flash_memory_without_an_image_is_no_image(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	put_fill(&b, 0xff, 100000);
	assert_refused(judge_buf(&b), ENOEXEC, "empty flash memory");
	any_chunking_agrees(&b);
}

/* Headers of packets, NOPs and sync words are not covered; still none of their bits takes the
 * CRC, a section or a die away unseen. */
static void no_flipped_bit_behind_the_header_of_a_file_takes_its_checks_away(void **state)
{
	static const enum kind kinds[] = { FULL,    COMPRESSED, PER_FRAME, DEBUG,
					   PARTIAL, DIES,	    SPARTAN3,  SPARTAN6,
					   SPARTAN3A };

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct buf b CLEANUP_BUF = bit(kinds[k]);
		struct verdict good = assert_sound(&b), v;

		for (size_t at = payload_at; at < b.len; at++)
			for (int i = 0; i < 8; i++) {
				b.data[at] ^= (char)(1 << i);
				v = judge_buf(&b);
				b.data[at] ^= (char)(1 << i);
				if (!v.end && memcmp(&v.facts, &good.facts, sizeof(good.facts)))
					fail_msg("kind %d, bit %d of byte %zu: accepted with other facts",
						 kinds[k], i, at);
			}
	}
}

static void two_idcodes_that_differ_are_refused(void **state)
{
	struct buf b CLEANUP_BUF = bit(FULL);
	char *timer = memmem(b.data, b.len, "\x30\x02\x20\x01", 4);

	(void)state;
	assert_non_null(timer);
	/* In front of the first RCRC, where nothing is covered. */
	memcpy(timer, "\x30\x01\x80\x01", 4);
	assert_refused(judge_buf(&b), EBADMSG, "and before it was 00000000");
}

static void a_stream_whose_padding_is_cut_off_is_none_in_any_pieces(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	put32(&b, 0xaa995566);
	while (b.len < 16) {
		any_chunking_agrees(&b);
		assert_refused(judge_buf(&b), ENOEXEC, "is its front cut off");
		put8(&b, 0xff);
	}
}

static void zeros_in_place_of_the_rest_of_a_file_are_refused(void **state)
{
	struct buf b CLEANUP_BUF = bit(PARTIAL);

	(void)state;
	/* As after a download that left a hole: behind the first of its three sections. */
	memset(b.data + payload_at + (b.len - payload_at) / 3, 0,
	       b.len - payload_at - (b.len - payload_at) / 3);
	assert_refused(judge_buf(&b), EBADMSG, "neither padding nor a sync word");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_image_tells_its_part_design_tool_and_time),
		cmocka_unit_test(each_kind_of_image_is_sound_and_named),
		cmocka_unit_test(an_encrypted_image_is_taken_as_far_as_it_can_be_read),
		cmocka_unit_test(the_header_may_have_any_keys_in_any_order_and_length),
		cmocka_unit_test(names_of_parts_without_dashes_are_split_before_the_package),
		cmocka_unit_test(older_families_are_not_refused_for_what_was_never_seen_of_them),
		cmocka_unit_test(the_idcode_is_believed_where_the_header_contradicts_it),
		cmocka_unit_test(a_flipped_bit_that_a_crc_covers_is_refused),
		cmocka_unit_test(a_flipped_bit_in_an_inner_die_is_refused),
		cmocka_unit_test(a_flip_anywhere_is_survived),
		cmocka_unit_test(a_file_cut_anywhere_is_refused_with_how_many_bytes_of_how_many),
		cmocka_unit_test(padding_may_follow_and_nothing_else),
		cmocka_unit_test(any_chunking_gives_the_same_answer),
		cmocka_unit_test(hostile_lengths_end_in_a_refusal),
		cmocka_unit_test(a_missing_crc_of_the_last_frames_is_refused),
		cmocka_unit_test(a_raw_image_is_known_in_both_orders),
		cmocka_unit_test(a_raw_image_of_an_idcode_that_several_parts_share_suits_them_all),
		cmocka_unit_test(raw_images_of_older_parts_are_known),
		cmocka_unit_test(packets_of_16_bits_are_taken_in_one_shape),
		cmocka_unit_test(bytes_behind_a_raw_image_are_efbig_and_half_a_word_is_truncated),
		cmocka_unit_test(flash_memory_without_an_image_is_no_image),
		cmocka_unit_test(no_flipped_bit_behind_the_header_of_a_file_takes_its_checks_away),
		cmocka_unit_test(two_idcodes_that_differ_are_refused),
		cmocka_unit_test(a_stream_whose_padding_is_cut_off_is_none_in_any_pieces),
		cmocka_unit_test(zeros_in_place_of_the_rest_of_a_file_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
