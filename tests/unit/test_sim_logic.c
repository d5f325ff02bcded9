// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration logic of Xilinx parts as a device: it is given streams without anybody
 * having looked at them before, and tells by its status pin and DONE what it makes of them.
 */
#include "xilinx_fixture.h"

#include "logic_fixture.h"

static void assert_done(struct outcome o, bool proven)
{
	if (o.err || !o.done)
		fail_msg("DONE is low: %s; %s", o.why.text, o.status);
	assert_int_equal(o.proven, proven);
	assert_non_null(strstr(o.status, "DONE is high"));
}

static void whole_images_raise_done(void **state)
{
	static const struct {
		enum kind kind;
		const char *part;
		bool proven;
		unsigned frames;
	} rows[] = {
		{ FULL, "xc7a35t", true, 4 },	    { COMPRESSED, "xc7a35t", true, 7 },
		{ PER_FRAME, "xc7a35t", true, 3 },  { DEBUG, "xc7a35t", true, 5 },
		{ CRC_OFF, "xc7a35t", false, 2 },   { CRC_CONSTANT, "xc7a35t", false, 2 },
		{ DIES, "xcvu37p", true, 4 },	    { TRANSCEIVER, "xc7vh580t", true, 4 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = bit(rows[i].kind);

		assert_done(give_buf(rows[i].part, &b), rows[i].proven);
		assert_int_equal(give_buf(rows[i].part, &b).frames, rows[i].frames);
	}
}

/* One byte at a time, in odd pieces, and at once: the same device. */
static void any_chunking_gives_the_same_device(void **state)
{
	static const size_t chunks[] = { 1, 3, 7, 64, 511, 4097 };

	(void)state;
	for (enum kind kind = FULL; kind <= DIES; kind++) {
		const char *part = kind == DIES ? "xcvu37p" : "xc7a35t";
		struct buf b CLEANUP_BUF = bit(kind);
		struct outcome whole = give(part, b.data, b.len, b.len);

		for (size_t k = 0; k < sizeof(chunks) / sizeof(chunks[0]); k++) {
			struct outcome o = give(part, b.data, b.len, chunks[k]);

			assert_int_equal(o.err, whole.err);
			assert_int_equal(o.done, whole.done);
			assert_string_equal(o.why.text, whole.why.text);
			assert_string_equal(o.status, whole.status);
			assert_true(logic_same(o.logic, whole.logic));
			logic_free(o.logic);
		}
		logic_free(whole.logic);
	}
}

static void an_image_of_another_part_is_refused_by_its_idcode(void **state)
{
	struct buf b CLEANUP_BUF = bit(FULL);
	struct outcome o = give_buf("xc7a50t", &b);

	(void)state;
	assert_low(o, EMEDIUMTYPE, "ID_ERROR: the image is for idcode 0362d093, the device is xc7a50t (0362c093)");
	assert_int_equal(o.frames, 0);
	/* The version of the silicon does not count. */
	struct stream s = compose(FULL, XC7A35T | 0x30000000);

	assert_done(give_buf("xc7a35t", &s.b), true);
	buf_free(&s.b);
}

/* An error is an error until the next configuration begins, and not beyond. */
static void after_an_error_nothing_is_taken_until_the_reset(void **state)
{
	struct buf b CLEANUP_BUF = bit(FULL);
	struct stream wrong = compose(FULL, XC7A50T);
	struct reason why = { 0 };
	struct logic *l;

	(void)state;
	assert_int_equal(logic_new("xc7a35t", &l, &why), 0);
	assert_int_equal(logic_write(l, wrong.b.data, wrong.b.len, &why), -EMEDIUMTYPE);
	assert_int_equal(logic_write(l, b.data, b.len, &why), -EMEDIUMTYPE);
	assert_non_null(strstr(why.text, "ID_ERROR"));
	assert_false(logic_done(l));
	logic_reset(l);
	assert_int_equal(logic_write(l, b.data, b.len, &why), 0);
	assert_true(logic_done(l));
	logic_free(l);
	buf_free(&wrong.b);
}

static void frames_before_an_idcode_are_refused(void **state)
{
	struct stream s = { 0 };

	(void)state;
	head(&s, 32);
	write1(&s, CMD, RCRC);
	write1(&s, CMD, WCFG);
	frames(&s, 1, false);
	assert_low(give_buf("xc7a35t", &s.b), EMEDIUMTYPE, "ID_ERROR: frames come before an IDCODE");
	buf_free(&s.b);
}

/* The device alone, without a recogniser: every bit under the CRC, and every header there. */
static void every_flipped_bit_is_found_by_the_device(void **state)
{
	static const enum kind kinds[] = { FULL, COMPRESSED, PER_FRAME };

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct stream s = compose(kinds[k], XC7A35T);
		struct outcome good = give("xc7a35t", s.b.data, s.b.len, s.b.len);

		for (size_t at = s.first; at < s.last; at++)
			for (int bit = 0; bit < 8; bit++) {
				struct outcome o;

				s.b.data[at] ^= (char)(1 << bit);
				o = give("xc7a35t", s.b.data, s.b.len, s.b.len);
				/* A NOP that became another one does nothing either. */
				if (o.done && !logic_same(o.logic, good.logic))
					fail_msg("bit %d of byte %zu flipped: DONE", bit, at);
				assert_true(!o.err || o.why.text[0]);
				logic_free(o.logic);
				s.b.data[at] ^= (char)(1 << bit);
			}
		logic_free(good.logic);
		buf_free(&s.b);
	}
}

static void a_flipped_bit_of_a_frame_is_a_crc_error(void **state)
{
	struct stream s = compose(FULL, XC7A35T);
	size_t at = s.first + (s.last - s.first) / 2;
	struct outcome o;

	(void)state;
	s.b.data[at] ^= 4;
	o = give_buf("xc7a35t", &s.b);
	assert_low(o, EBADMSG, "CRC_ERROR: the image says ");
	assert_non_null(strstr(o.why.text, "INIT_B is low"));
	assert_non_null(strstr(o.status, "INIT_B is low"));
	buf_free(&s.b);
}

static void a_cut_image_leaves_done_low(void **state)
{
	(void)state;
	for (enum kind kind = FULL; kind <= DIES; kind++) {
		const char *part = kind == DIES ? "xcvu37p" : "xc7a35t";
		struct stream s = compose(kind, kind == DIES ? XCVU37P : XC7A35T);
		struct outcome whole = give_buf(part, &s.b);
		size_t first = 0;

		/* Once it is done, what follows is padding. */
		for (size_t n = 0; n < s.b.len; n += 4) {
			struct outcome o = give(part, s.b.data, n, n ? n : 1);

			if (o.done && !first)
				first = n;
			assert_true(o.done || !first);
			logic_free(o.logic);
		}
		assert_int_equal(first != 0, whole.done);
		assert_true(!whole.done || first > s.b.len - 4 * 60);
		buf_free(&s.b);
	}
}

static void a_start_without_a_crc_behind_it_waits(void **state)
{
	struct stream s = { 0 };

	(void)state;
	front(&s, XC7A35T, false);
	frames(&s, 2, true);
	crc_word(&s);
	write1(&s, CMD, START);
	write1(&s, CMD, DESYNC);
	assert_low(give_buf("xc7a35t", &s.b), 0, "it waits for a");
	buf_free(&s.b);
}

static void each_die_has_to_start(void **state)
{
	struct stream s = compose(DIES, XCVU37P), one = compose(FULL, XCVU37P);
	size_t at = 0;

	(void)state;
	/* The stream of the first die alone is whole, for a part of one die. */
	assert_low(give_buf("xcvu37p", &one.b), 0, "another die has not started");
	buf_free(&one.b);
	/* A bit in the frames of the innermost one. */
	for (size_t i = 0; i + 4 <= s.b.len; i += 4)
		if (!memcmp(s.b.data + i, "\x30\x01\x80\x01", 4))
			at = i; /* the last IDCODE written */
	assert_true(at > s.b.len / 2);
	s.b.data[at + 80] ^= 1;
	assert_low(give_buf("xcvu37p", &s.b), EBADMSG, "CRC_ERROR");
	buf_free(&s.b);
}

static void dies_without_end_are_refused(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	for (int i = 0; i < 40; i++) {
		put32(&b, 0xaa995566);
		put32(&b, 0x3003c000);
		put32(&b, 0x57ffffff);
	}
	assert_low(give_buf("xcvu37p", &b), EBADMSG, "more dies");
}

static void an_encrypted_image_is_refused_for_want_of_a_key(void **state)
{
	struct buf b CLEANUP_BUF = bit(ENCRYPTED);

	(void)state;
	assert_low(give_buf("xc7a35t", &b), EOPNOTSUPP, "DEC_ERROR: the image is encrypted");
}

static void a_partial_image_starts_nothing(void **state)
{
	struct buf b CLEANUP_BUF = bit(PARTIAL);

	(void)state;
	assert_low(give_buf("xc7a35t", &b), 0, "it waits for a");
}

static void what_is_no_packet_is_refused(void **state)
{
	struct stream s = { 0 };
	struct outcome o;

	(void)state;
	head(&s, 32);
	put32(&s.b, 0xe0000000);
	o = give_buf("xc7a35t", &s.b);
	assert_low(o, EBADMSG, "BAD_PACKET_ERROR: e0000000");
	/* A second header without a first one. */
	buf_free(&s.b);
	s = (struct stream){ 0 };
	head(&s, 32);
	put32(&s.b, 0x50000010);
	assert_low(give_buf("xc7a35t", &s.b), EBADMSG, "BAD_PACKET_ERROR");
	buf_free(&s.b);
}

static void iprog_leaves_an_empty_device(void **state)
{
	struct stream s = { 0 };

	(void)state;
	front(&s, XC7A35T, false);
	frames(&s, 2, true);
	crc_word(&s);
	write1(&s, CMD, 15);
	assert_low(give_buf("xc7a35t", &s.b), 0, "IPROG");
	buf_free(&s.b);
}

static void swapped_words_and_boot_headers_are_taken_too(void **state)
{
	struct stream s = compose(FULL, 0x03727093);
	struct buf turned CLEANUP_BUF = swapped(&s.b), boot CLEANUP_BUF = BUF_INIT;

	(void)state;
	assert_done(give_buf("xc7z020", &turned), true);
	/* Vectors, a width word and a name, then tables: no sync word. */
	for (int i = 0; i < 8; i++)
		put_le32(&boot, 0xeafffffe);
	put32(&boot, 0x665599aa);
	buf_add(&boot, "XNLX", 4);
	put_fill(&boot, 0, 1000);
	buf_add(&boot, turned.data, turned.len);
	assert_done(give_buf("xc7z020", &boot), true);
	/* In another part it is as wrong as in the other order. */
	assert_low(give_buf("xc7z010", &boot), EMEDIUMTYPE, "ID_ERROR");
	buf_free(&s.b);
}

static void devices_with_other_images_are_not_the_same(void **state)
{
	struct stream a = compose(CRC_OFF, XC7A35T);
	struct outcome good = give("xc7a35t", a.b.data, a.b.len, 999), other;

	(void)state;
	for (size_t at = a.first + 100; at < a.b.len - 100; at += 7) {
		a.b.data[at] ^= 0x10;
		other = give("xc7a35t", a.b.data, a.b.len, 999);
		assert_true(!other.done || !logic_same(good.logic, other.logic) || a.b.data[at] == 0x10 ||
			    (a.b.data[at] ^ 0x10) == 0x20);
		logic_free(other.logic);
		a.b.data[at] ^= 0x10;
	}
	logic_free(good.logic);
	buf_free(&a.b);
}

static void parts_are_found_by_name_and_others_are_not(void **state)
{
	static const struct {
		const char *name, *part, *vendor, *formats;
		uint32_t idcode;
	} rows[] = {
		{ "xc7a35t", "xc7a35t", "xilinx", "xilinx-bit xilinx-bin", 0x0362d093 },
		{ "XC7A35T", "xc7a35t", "xilinx", "xilinx-bit xilinx-bin", 0x0362d093 },
		{ "xcku040", "xcku040", "xilinx", "xilinx-bit xilinx-bin", 0x03822093 },
		{ "xcvu9p", "xcvu9p", "xilinx", "xilinx-bit xilinx-bin", 0x04b31093 },
		{ "LFE5U-25F", "lfe5u-25f", "lattice", "ecp5", 0x41111043 },
		{ "5CEBA2", "5ceba2", "altera", "rbf", 0x02b150dd },
		{ "ep4ce6", "ep4ce6", "altera", "rbf", 0x020f10dd },
	};
	static const char *const none[] = { "", "xc6slx9", "xc3s500e", "xcsu35p", "xcvc1902", "10m08", "iCE40-HX1K",
					    "xc7a35tcpg236", "5cexa2xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" };
	struct logic_facts f;
	struct logic *l;
	struct reason why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(logic_find(rows[i].name, &f));
		assert_string_equal(f.part, rows[i].part);
		assert_string_equal(f.vendor, rows[i].vendor);
		assert_string_equal(f.formats, rows[i].formats);
		assert_int_equal(f.idcode, rows[i].idcode);
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		assert_false(logic_find(none[i], &f));
		assert_int_equal(logic_new(none[i], &l, &why), -EINVAL);
	}
}

static void samples_of_vendor_tools_are_judged_right_by_devices(void **state)
{
	static const struct {
		const char *file, *part;
		unsigned frames; /* 0: of a compressed one, where it depends */
	} rows[] = {
		{ "xilinx-bit/xc7a50t_full.bit", "xc7a50t", 5420 },
		{ "xilinx-bit/xc7a50t_perframecrc.bit", "xc7a50t", 5414 },
		{ "xilinx-bit/xc7a50t_debug.bit", "xc7a50t", 5420 },
		{ "xilinx-bit/xc7a35t_compressed.bit", "xc7a35t", 0 },
		{ "xilinx-bit/xcku040_compressed.bit", "xcku040", 0 },
		{ "xilinx-bit/xcau10p_vivado2025_uniqueid.bit", "xcau10p", 0 },
		{ "xilinx-bit/xck26_kr260_gps_compressed.bit", "xck26", 0 },
		{ "xilinx-bin/k24_bootgen_header.bit.bin", "xck24", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = BUF_INIT;
		struct outcome o;

		if (!sample(rows[i].file, &b))
			skip();
		o = give_buf(rows[i].part, &b);
		assert_done(o, true);
		if (rows[i].frames)
			assert_int_equal(o.frames, rows[i].frames);
		assert_low(give_buf("xc7a15t", &b), EMEDIUMTYPE, "ID_ERROR");
		/* What the link may do to it: found, or without any effect. */
		struct outcome good = give(rows[i].part, b.data, b.len, 65536);

		for (size_t k = 1; k <= 20; k++) {
			size_t at = b.len / 22 * k + 11;
			struct outcome bad;

			b.data[at] ^= 1;
			bad = give(rows[i].part, b.data, b.len, 65536);
			if (bad.done && !logic_same(bad.logic, good.logic))
				fail_msg("%s: bit 0 of byte %zu flipped: DONE", rows[i].file, at);
			logic_free(bad.logic);
			b.data[at] ^= 1;
		}
		logic_free(good.logic);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_images_raise_done),
		cmocka_unit_test(any_chunking_gives_the_same_device),
		cmocka_unit_test(an_image_of_another_part_is_refused_by_its_idcode),
		cmocka_unit_test(after_an_error_nothing_is_taken_until_the_reset),
		cmocka_unit_test(frames_before_an_idcode_are_refused),
		cmocka_unit_test(every_flipped_bit_is_found_by_the_device),
		cmocka_unit_test(a_flipped_bit_of_a_frame_is_a_crc_error),
		cmocka_unit_test(a_cut_image_leaves_done_low),
		cmocka_unit_test(a_start_without_a_crc_behind_it_waits),
		cmocka_unit_test(each_die_has_to_start),
		cmocka_unit_test(dies_without_end_are_refused),
		cmocka_unit_test(an_encrypted_image_is_refused_for_want_of_a_key),
		cmocka_unit_test(a_partial_image_starts_nothing),
		cmocka_unit_test(what_is_no_packet_is_refused),
		cmocka_unit_test(iprog_leaves_an_empty_device),
		cmocka_unit_test(swapped_words_and_boot_headers_are_taken_too),
		cmocka_unit_test(devices_with_other_images_are_not_the_same),
		cmocka_unit_test(parts_are_found_by_name_and_others_are_not),
		cmocka_unit_test(samples_of_vendor_tools_are_judged_right_by_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
