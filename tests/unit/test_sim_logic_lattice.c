// SPDX-License-Identifier: Apache-2.0
/* The configuration logic of ECP5, and the little that is known of Cyclone's, as devices. */
#include "ecp5_fixture.h"

#include "logic_fixture.h"

#define PART_25F "lfe5u-25f"

/* --- ECP5 ----------------------------------------------------------------------------- */

static void whole_images_raise_done(void **state)
{
	static const size_t chunks[] = { 1, 2, 3, 7, 64, 100000 };

	(void)state;
	for (enum kind kind = PLAIN; kind <= NO_CRC; kind++) {
		struct ecp5 s = good(kind);
		struct outcome whole = give(PART_25F, s.b.data, s.b.len, s.b.len);

		if (!whole.done)
			fail_msg("kind %d: %s; %s", kind, whole.why.text, whole.status);
		assert_int_equal(whole.proven, kind != NO_CRC);
		assert_int_equal(whole.frames, 5);
		assert_non_null(strstr(whole.status, "status 00000100"));
		for (size_t k = 0; k < sizeof(chunks) / sizeof(chunks[0]); k++) {
			struct outcome o = give(PART_25F, s.b.data, s.b.len, chunks[k]);

			assert_true(o.done && logic_same(o.logic, whole.logic));
			assert_int_equal(o.checks, whole.checks);
			logic_free(o.logic);
		}
		logic_free(whole.logic);
		buf_free(&s.b);
	}
}

static void an_image_of_another_part_is_refused_by_its_idcode(void **state)
{
	struct ecp5 s = good(PLAIN);

	(void)state;
	/* The same die, and yet another part: its version nibble counts. */
	assert_low(give_buf("lfe5u-12f", &s.b), EMEDIUMTYPE,
		   "ID error: the image is for idcode 41111043, the device is lfe5u-12f (21111043)");
	assert_low(give_buf("lfe5u-85f", &s.b), EMEDIUMTYPE, "ID error");
	buf_free(&s.b);
}

static void every_flipped_bit_is_found_by_the_device(void **state)
{
	(void)state;
	for (enum kind kind = PLAIN; kind <= WITH_RAM; kind++) {
		struct ecp5 s = good(kind);
		struct outcome whole = give(PART_25F, s.b.data, s.b.len, s.b.len);

		for (size_t at = s.first; at < s.last; at++)
			for (int bit = 0; bit < 8; bit++) {
				struct outcome o;

				s.b.data[at] ^= (char)(1 << bit);
				o = give(PART_25F, s.b.data, s.b.len, s.b.len);
				if (o.done && !logic_same(o.logic, whole.logic))
					fail_msg("kind %d, bit %d of byte %zu flipped: DONE", kind, bit, at);
				logic_free(o.logic);
				s.b.data[at] ^= (char)(1 << bit);
			}
		logic_free(whole.logic);
		buf_free(&s.b);
	}
}

static void a_cut_image_leaves_done_low(void **state)
{
	struct ecp5 s = good(COMPRESSED);

	(void)state;
	for (size_t n = 0; n < s.b.len - 4; n++) {
		struct outcome o = give(PART_25F, s.b.data, n, n ? n : 1);

		assert_false(o.done);
		assert_int_equal(o.err, 0);
		assert_non_null(strstr(o.status, "it waits for"));
		logic_free(o.logic);
	}
	buf_free(&s.b);
}

static void more_frames_than_the_device_has_are_refused(void **state)
{
	struct ecp5 s = { 0 };
	struct outcome o;

	(void)state;
	buf_add(&s.b, "\xff\x00\xff\xff\xbd\xb3\xff\xff\xff\xff", 10);
	command(&s, 0x3b, 0, 0, 0);
	command(&s, 0x46, 0, 0, 0);
	command(&s, 0x82, 0x10, 0x1d, 0x8b); /* 7563, without CRC */
	put_fill(&s.b, 0, 7563 * 74);
	o = give_buf(PART_25F, &s.b);
	assert_low(o, EBADMSG, "OVFL error: more frames than the device has");
	assert_int_equal(o.frames, 7562);
	buf_free(&s.b);
}

static void an_encrypted_image_is_refused_for_want_of_a_key(void **state)
{
	(void)state;
	assert_low(give_all(PART_25F, "\xff\x00Part: LFE5U-25F\x00\xff\xff\xff\xbf\xb3\x01\x02\x03", 26),
		   EOPNOTSUPP, "the image is encrypted");
}

static void what_is_no_command_is_refused(void **state)
{
	(void)state;
	assert_low(give_all(PART_25F, "\xff\xff\xbd\xb3\x11\x00\x00\x00", 8), EBADMSG, "CMD error: 11 is no command");
}

static void samples_of_vendor_tools_are_judged_right_by_ecp5(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;
	struct outcome o;

	(void)state;
	if (!sample("ecp5/lfe5u45_diamond_compressed.bit", &b))
		skip();
	o = give_buf("lfe5u-45f", &b);
	assert_true(o.done && o.proven);
	assert_int_equal(o.frames, 9470);
	assert_low(give_buf(PART_25F, &b), EMEDIUMTYPE, "ID error");
	for (size_t at = 1000; at < b.len - 1000; at += b.len / 50) {
		b.data[at] ^= 8;
		assert_false(give_buf("lfe5u-45f", &b).done);
		b.data[at] ^= 8;
	}
}

/* --- Cyclone ------------------------------------------------------------------------------ */

static struct buf rbf(bool five, size_t size)
{
	struct buf b = BUF_INIT;

	put_fill(&b, 0xff, five ? 128 : 32);
	if (five)
		buf_add(&b, "\x6a\x6a\x6a\x6a", 4);
	else
		buf_add(&b, "\x6a\xf7\xf7\xf7\xf7\xf7\xf7\xf3", 8);
	while (b.len < size)
		put8(&b, (unsigned)(b.len * 7919 >> 3) & 255);
	return b;
}

static void cyclone_takes_what_begins_as_its_own_and_no_other(void **state)
{
	struct buf five CLEANUP_BUF = rbf(true, 5003), four CLEANUP_BUF = rbf(false, 5003);
	struct outcome a = give("5ceba2", five.data, five.len, 1), b = give("5ceba2", five.data, five.len, 4096);

	(void)state;
	assert_true(a.done && b.done && logic_same(a.logic, b.logic));
	/* No check of its own: it is not the device that says so. */
	assert_false(a.proven);
	assert_int_equal(a.checks, 0);
	assert_non_null(strstr(a.status, "CONF_DONE is high"));
	logic_free(a.logic);
	assert_true(give_buf("ep4ce6", &four).done && give_buf("10cl025", &four).done &&
		    give_buf("5sgsd5", &five).done);
	assert_low(give_buf("5ceba2", &four), EMEDIUMTYPE, "does not begin as one for Cyclone V, 5ceba2: byte 32 is 6a");
	assert_low(give_buf("ep4ce6", &five), EMEDIUMTYPE, "nSTATUS is low");
	assert_low(give_all("5ceba2", five.data, 132), 0, "CONF_DONE is low");
	/* Any other byte makes another sum. */
	for (size_t at = 140; at < five.len; at += 61) {
		five.data[at] ^= 1;
		a = give("5ceba2", five.data, five.len, 777);
		assert_true(a.done);
		assert_false(logic_same(a.logic, b.logic));
		logic_free(a.logic);
		five.data[at] ^= 1;
	}
	logic_free(b.logic);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_images_raise_done),
		cmocka_unit_test(an_image_of_another_part_is_refused_by_its_idcode),
		cmocka_unit_test(every_flipped_bit_is_found_by_the_device),
		cmocka_unit_test(a_cut_image_leaves_done_low),
		cmocka_unit_test(more_frames_than_the_device_has_are_refused),
		cmocka_unit_test(an_encrypted_image_is_refused_for_want_of_a_key),
		cmocka_unit_test(what_is_no_command_is_refused),
		cmocka_unit_test(samples_of_vendor_tools_are_judged_right_by_ecp5),
		cmocka_unit_test(cyclone_takes_what_begins_as_its_own_and_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
