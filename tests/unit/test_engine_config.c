// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration port: what it accepts, and above all what it does not. The
 * images are the committed examples.
 */
#include "backend/card/sim/engine/fabric.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_IMAGE (1 << 18)

struct image {
	uint8_t bytes[MAX_IMAGE];
	size_t size, start, end; /* CRC reset ends at start; wake-up command ends at end */
};

static struct image upper, regs, blink, hx8k;

static void image_load(struct image *image, const char *path)
{
	static const uint8_t reset[] = { 0x01, 0x05 };
	FILE *f = fopen(path, "re");

	if (!f)
		fail_msg("%s: run the tests in the top folder", path);
	image->size = fread(image->bytes, 1, sizeof(image->bytes), f);
	fclose(f);
	image->start = (size_t)((uint8_t *)memmem(image->bytes, 64, reset, 2) - image->bytes) + 2;
	image->end = image->size;
	while (image->bytes[image->end - 1] != 0x06 || image->bytes[image->end - 2] != 0x01)
		image->end--;
}

static int setup(void **state)
{
	(void)state;
	image_load(&upper, "contrib/examples/upper/upper.bin");
	image_load(&regs, "contrib/examples/regs/regs.bin");
	image_load(&blink, "contrib/examples/blink/blink.bin");
	image_load(&hx8k, "contrib/examples/upper-hx8k/upper-hx8k.bin");
	return 0;
}

static struct fabric *fabric_make(void)
{
	struct reason why = { 0 };
	struct fabric *f = NULL;

	if (fabric_new("ice40-hx1k", NULL, &f, &why) != 0)
		fail_msg("%s", why.text);
	return f;
}

static int load(struct fabric *f, const uint8_t *bytes, size_t n, struct reason *why)
{
	fabric_config_reset(f);
	return fabric_config_write(f, bytes, n, why);
}

/* CRC-16/CCITT from after the CRC reset to before the check; put it there. */
static void crc_fix(uint8_t *bytes, const struct image *image)
{
	uint16_t crc = 0xffff;
	size_t check = image->end - 5; /* 22 hh ll 01 06 */

	for (size_t i = image->start; i <= check; i++) {
		crc ^= (uint16_t)(bytes[i] << 8);
		for (unsigned k = 0; k < 8; k++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
	}
	bytes[check + 1] = (uint8_t)(crc >> 8);
	bytes[check + 2] = (uint8_t)crc;
}

static void unknown_parts_and_packages_are_refused_with_what_there_is(void **state)
{
	struct reason why = { 0 };
	struct fabric *f = NULL;

	(void)state;
	assert_int_equal(fabric_new("iCE40-HX9K", NULL, &f, &why), -ENODEV);
	assert_non_null(strstr(why.text, "iCE40-HX1K"));
	assert_non_null(strstr(why.text, "iCE40-LP384"));
	assert_int_equal(fabric_new("iCE40-HX1K", "ct256", &f, &why), -EINVAL);
	assert_non_null(strstr(why.text, "ct256"));
	assert_null(f);
}

static void image_runs_in_any_chunking(void **state)
{
	static const size_t chunks[] = { 1, 7, 512, 4096, MAX_IMAGE };
	struct fabric *f = fabric_make();

	(void)state;
	for (size_t c = 0; c < sizeof(chunks) / sizeof(chunks[0]); c++) {
		fabric_config_reset(f);
		assert_false(fabric_done(f));
		for (size_t at = 0; at < upper.size; at += chunks[c]) {
			size_t n = upper.size - at < chunks[c] ? upper.size - at : chunks[c];

			assert_int_equal(fabric_config_write(f, upper.bytes + at, n, NULL), 0);
		}
		assert_true(fabric_done(f));
		assert_int_equal(fabric_config_bytes(f), upper.end);
		assert_int_equal(fabric_pin_dir(f, fabric_pin(f, "143")), FABRIC_PIN_OUT);
		assert_int_equal(fabric_pin_dir(f, fabric_pin(f, "112")), FABRIC_PIN_IN);
		assert_int_equal(fabric_pin_dir(f, fabric_pin(f, "67")), FABRIC_PIN_OFF);
	}
	fabric_config_reset(f);
	assert_int_equal(fabric_pin_dir(f, fabric_pin(f, "143")), FABRIC_PIN_OFF);
	fabric_free(f);
}

static void image_cut_anywhere_before_its_wake_up_leaves_done_low(void **state)
{
	struct fabric *f = fabric_make();

	(void)state;
	for (size_t n = 0; n <= upper.size; n += n < upper.end - 40 ? 211 : 1) {
		assert_int_equal(load(f, upper.bytes, n, NULL), 0);
		assert_int_equal(fabric_done(f), n >= upper.end);
		assert_int_equal(fabric_check(f, upper.bytes, n, NULL),
				 n >= upper.end ? 0 : -EBADMSG);
	}
	fabric_free(f);
}

static void thousand_single_flips_are_never_accepted(void **state)
{
	struct fabric *f = fabric_make();
	uint8_t *bytes = malloc(regs.size);

	(void)state;
	assert_non_null(bytes);
	memcpy(bytes, regs.bytes, regs.size);
	srandom(1);
	for (unsigned i = 0; i < 1000; i++) {
		size_t at = regs.start + (size_t)random() % (regs.end - regs.start);
		uint8_t bit = (uint8_t)(1u << random() % 8);
		struct reason why = { 0 };

		if (i < 64) { /* the commands at the beginning, each bit of them */
			at = regs.start + i / 8;
			bit = (uint8_t)(1u << i % 8);
		}
		bytes[at] ^= bit;
		load(f, bytes, regs.size, &why);
		if (fabric_done(f))
			fail_msg("bit %#x of byte %zu was flipped and it ran", bit, at);
		/* either it was refused, or its wake-up never came */
		assert_true(!fabric_config_failed(f) || why.err != 0);
		if (i % 16 == 0)
			assert_int_not_equal(fabric_check(f, bytes, regs.size, NULL), 0);
		bytes[at] ^= bit;
	}
	assert_int_equal(load(f, bytes, regs.size, NULL), 0);
	assert_true(fabric_done(f));
	free(bytes);
	fabric_free(f);
}

static void image_for_another_part_is_refused_naming_both(void **state)
{
	struct fabric *f = fabric_make();
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(load(f, hx8k.bytes, hx8k.size, &why), -EMEDIUMTYPE);
	assert_non_null(strstr(why.text, "iCE40-HX8K"));
	assert_non_null(strstr(why.text, "iCE40-HX1K"));
	assert_true(fabric_config_failed(f));
	/* and so it stays until the next reset */
	assert_int_equal(fabric_config_write(f, upper.bytes, upper.size, NULL), -EMEDIUMTYPE);
	assert_int_equal(load(f, upper.bytes, upper.size, NULL), 0);
	assert_true(fabric_done(f));
	fabric_free(f);
}

static void check_of_a_bad_image_leaves_the_running_design_alone(void **state)
{
	struct fabric *f = fabric_make();
	struct fabric_counters before, after;
	int led, clk;

	(void)state;
	assert_int_equal(load(f, blink.bytes, blink.size, NULL), 0);
	led = fabric_pin(f, "99");
	clk = fabric_pin(f, "21");
	fabric_cycles(f, clk, 1 << 19);
	assert_int_equal(fabric_pin_level(f, led), 1);
	fabric_counters(f, &before);
	assert_int_equal(fabric_check(f, hx8k.bytes, hx8k.size, NULL), -EMEDIUMTYPE);
	assert_int_equal(fabric_check(f, upper.bytes, upper.end - 1, NULL), -EBADMSG);
	assert_int_equal(fabric_check(f, upper.bytes, upper.size, NULL), 0);
	fabric_counters(f, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_true(fabric_done(f));
	assert_int_equal(fabric_pin_level(f, led), 1);
	fabric_cycles(f, clk, 1 << 19);
	assert_int_equal(fabric_pin_level(f, led), 0);
	fabric_free(f);
}

static void preamble_that_never_comes_is_an_error_after_4096_bytes(void **state)
{
	static uint8_t zeros[8192];
	struct fabric *f = fabric_make();

	(void)state;
	assert_int_equal(load(f, zeros, 4095, NULL), 0);
	assert_int_equal(fabric_config_write(f, zeros, 1, NULL), -EBADMSG);
	fabric_free(f);
}

static void bytes_after_done_are_ignored(void **state)
{
	struct fabric *f = fabric_make();

	(void)state;
	assert_int_equal(load(f, upper.bytes, upper.size, NULL), 0);
	assert_int_equal(fabric_config_write(f, hx8k.bytes, hx8k.size, NULL), 0);
	assert_true(fabric_done(f));
	assert_int_equal(fabric_config_bytes(f), upper.end);
	fabric_free(f);
}

static void comment_lines_are_kept_without_the_preamble(void **state)
{
	static const char text[] = "\xff\0Part: x\0Date: y\0\0\xff";
	struct fabric *f = fabric_make();

	(void)state;
	fabric_config_reset(f);
	assert_int_equal(fabric_config_write(f, text, sizeof(text) - 1, NULL), 0);
	assert_string_equal(fabric_comment(f), "");
	assert_int_equal(fabric_config_write(f, upper.bytes, upper.size, NULL), 0);
	assert_string_equal(fabric_comment(f), "Part: x\nDate: y\n");
	fabric_free(f);
}

static void verify_finds_the_bit_that_was_upset(void **state)
{
	struct fabric *f = fabric_make();
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(fabric_verify(f, upper.bytes, upper.size, &why), -ENODATA);
	assert_int_equal(load(f, upper.bytes, upper.size, NULL), 0);
	assert_int_equal(fabric_verify(f, upper.bytes, upper.size, &why), 0);
	assert_int_equal(fabric_verify(f, regs.bytes, regs.size, &why), -EBADMSG);
	assert_int_equal(fabric_upset(f, 2, 17, 133, &why), 0);
	assert_int_equal(fabric_verify(f, upper.bytes, upper.size, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "1 bit,"));
	assert_non_null(strstr(why.text, "bank 2, row 17, column 133"));
	assert_int_equal(fabric_upset(f, 2, 17, 133, &why), 0);
	assert_int_equal(fabric_verify(f, upper.bytes, upper.size, &why), 0);
	assert_int_equal(fabric_upset(f, 4, 0, 0, &why), -EINVAL);
	fabric_free(f);
}

/* Under ASan this is also a walk over the decoder of every die. */
static void parts_of_every_die_run_their_image_and_survive_upsets_of_any_bit(void **state)
{
	static const struct {
		const char *part, *image, *clk;
		unsigned dffs, outputs;
	} rows[] = {
		{ "iCE40-HX8K", "contrib/examples/upper-hx8k/upper-hx8k.bin", "J3", 9, 10 },
		{ "iCE40-LP384", "contrib/examples/upper-lp384/upper-lp384.bin", "D2", 9, 10 },
		{ "iCE40-UP5K", "contrib/examples/upper-up5k/upper-up5k.bin", "35", 9, 10 },
		{ "iCE40-UP5K", "contrib/examples/echo-up5k/echo-up5k.bin", "35", 35, 13 },
	};
	uint32_t noise = 2463534242;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fabric_resources r;
		struct fabric *f = NULL;
		static struct image image;
		unsigned width;
		size_t bytes;
		int clk;

		image_load(&image, rows[i].image);
		assert_int_equal(fabric_new(rows[i].part, NULL, &f, NULL), 0);
		assert_int_equal(load(f, image.bytes, image.size, NULL), 0);
		assert_int_equal(fabric_verify(f, image.bytes, image.size, NULL), 0);
		assert_int_equal(fabric_check(f, upper.bytes, upper.size, NULL), -EMEDIUMTYPE);
		fabric_resources(f, &r);
		assert_int_equal(r.dffs, rows[i].dffs);
		assert_int_equal(r.pins_out, rows[i].outputs);
		clk = fabric_pin(f, rows[i].clk);
		assert_int_equal(fabric_pin_dir(f, clk), FABRIC_PIN_IN);
		for (unsigned k = 0; k < 100; k++) {
			unsigned column, row, bank;

			noise ^= noise << 13;
			noise ^= noise >> 17;
			noise ^= noise << 5;
			bank = noise & 3;
			assert_non_null(fabric_cram(f, bank, &bytes, &width));
			column = (noise >> 2) % width;
			row = (noise >> 12) % (unsigned)(8 * bytes / width);
			assert_int_equal(fabric_upset(f, bank, row, column, NULL), 0);
			assert_int_equal(fabric_upset(f, bank, (unsigned)(8 * bytes / width), column,
						      NULL), -EINVAL);
			fabric_cycles(f, clk, 4);
		}
		assert_int_equal(fabric_verify(f, image.bytes, image.size, NULL), -EBADMSG);
		fabric_free(f);
	}
}

static void image_of_an_ultraplus_runs_in_either_package(void **state)
{
	static const struct {
		const char *package, *light, *other;
		unsigned pins;
	} rows[] = { { "sg48", "39", "A5", 39 }, { "uwg30", "A5", "39", 21 } };
	static struct image image;

	(void)state;
	image_load(&image, "contrib/examples/echo-up5k/echo-up5k.bin");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fabric_resources r;
		struct fabric *f = NULL;

		assert_int_equal(fabric_new("iCE40-UP5K", rows[i].package, &f, NULL), 0);
		assert_int_equal(fabric_pins(f), rows[i].pins);
		assert_int_equal(fabric_pin(f, rows[i].other), -1);
		assert_int_equal(load(f, image.bytes, image.size, NULL), 0);
		/* the LED driver has nothing to light: its pad is released */
		assert_int_equal(fabric_pin_dir(f, fabric_pin(f, rows[i].light)), FABRIC_PIN_OUT);
		assert_false(fabric_pin_driven(f, fabric_pin(f, rows[i].light)));
		fabric_resources(f, &r);
		assert_int_equal(r.sprams, 1);
		assert_int_equal(r.total_sprams, 4);
		assert_int_equal(r.dsps, 1);
		assert_int_equal(r.total_dsps, 8);
		assert_int_equal(r.total_rams, 30);
		assert_int_equal(r.total_luts, 5280);
		fabric_free(f);
	}
}

static void upset_and_its_reversal_keep_the_registers(void **state)
{
	struct fabric *f = fabric_make();
	int led, clk;

	(void)state;
	assert_int_equal(load(f, blink.bytes, blink.size, NULL), 0);
	led = fabric_pin(f, "99");
	clk = fabric_pin(f, "21");
	srandom(2);
	fabric_cycles(f, clk, (1 << 19) - 1);
	assert_int_equal(fabric_pin_level(f, led), 0);
	for (unsigned i = 0; i < 200; i++) {
		unsigned bank = (unsigned)random() % 4, row = (unsigned)random() % 144;
		unsigned col = (unsigned)random() % 332;

		assert_int_equal(fabric_upset(f, bank, row, col, NULL), 0);
		assert_int_equal(fabric_upset(f, bank, row, col, NULL), 0);
	}
	assert_int_equal(fabric_verify(f, blink.bytes, blink.size, NULL), 0);
	assert_int_equal(fabric_pin_level(f, led), 0);
	fabric_cycles(f, clk, 1);
	assert_int_equal(fabric_pin_level(f, led), 1);
	fabric_free(f);
}

static void images_with_damage_and_a_right_crc_neither_crash_nor_hang(void **state)
{
	struct fabric *f = fabric_make();
	unsigned ran = 0, illegal = 0, refused = 0;
	uint8_t *bytes = malloc(regs.size);

	(void)state;
	assert_non_null(bytes);
	srandom(3);
	for (unsigned i = 0; i < 120; i++) {
		unsigned flips = 1 + (unsigned)random() % (i % 3 == 0 ? 8 : i % 3 == 1 ? 60 : 3000);
		struct reason why = { 0 };

		memcpy(bytes, i % 2 ? regs.bytes : upper.bytes, regs.size);
		for (unsigned k = 0; k < flips; k++)
			/* behind the first bank's header, so that data is hit */
			bytes[regs.start + 32 + (size_t)random() % (regs.end - regs.start - 40)] ^=
				(uint8_t)(1u << random() % 8);
		crc_fix(bytes, i % 2 ? &regs : &upper);
		load(f, bytes, regs.size, &why);
		if (fabric_done(f)) {
			int clk = fabric_pin(f, "21");

			ran++;
			for (unsigned k = 0; k < 50; k++) {
				for (unsigned p = 0; p < fabric_pins(f); p++)
					fabric_pin_set(f, (int)p, random() & 1);
				fabric_cycle(f, clk);
			}
			continue;
		}
		illegal += strstr(why.text, "selects nothing") != NULL;
		refused += why.err != 0 || !fabric_config_failed(f);
		assert_null(strstr(why.text, "CRC mismatch"));
	}
	print_message("%u ran, %u with illegal codes\n", ran, illegal);
	/* the mutations must have reached the decoder */
	assert_true(ran > 5);
	assert_true(illegal > 5);
	assert_int_equal(ran + refused, 120);
	free(bytes);
	fabric_free(f);
}

/* Random configuration memory under the tolerant decoder: loops, rings of
 * switches, clocks from anywhere. */
static void upsets_by_the_thousand_end_in_bounded_time(void **state)
{
	struct fabric *f = fabric_make();

	(void)state;
	assert_int_equal(load(f, regs.bytes, regs.size, NULL), 0);
	srandom(4);
	for (unsigned i = 0; i < 1500; i++) {
		assert_int_equal(fabric_upset(f, (unsigned)random() % 4, (unsigned)random() % 144,
					      (unsigned)random() % 332, NULL), 0);
		if (i % 10 == 0)
			fabric_cycle(f, fabric_pin(f, "21"));
	}
	fabric_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_parts_and_packages_are_refused_with_what_there_is),
		cmocka_unit_test(image_runs_in_any_chunking),
		cmocka_unit_test(image_cut_anywhere_before_its_wake_up_leaves_done_low),
		cmocka_unit_test(thousand_single_flips_are_never_accepted),
		cmocka_unit_test(image_for_another_part_is_refused_naming_both),
		cmocka_unit_test(check_of_a_bad_image_leaves_the_running_design_alone),
		cmocka_unit_test(preamble_that_never_comes_is_an_error_after_4096_bytes),
		cmocka_unit_test(bytes_after_done_are_ignored),
		cmocka_unit_test(comment_lines_are_kept_without_the_preamble),
		cmocka_unit_test(verify_finds_the_bit_that_was_upset),
		cmocka_unit_test(image_of_an_ultraplus_runs_in_either_package),
		cmocka_unit_test(parts_of_every_die_run_their_image_and_survive_upsets_of_any_bit),
		cmocka_unit_test(upset_and_its_reversal_keep_the_registers),
		cmocka_unit_test(images_with_damage_and_a_right_crc_neither_crash_nor_hang),
		cmocka_unit_test(upsets_by_the_thousand_end_in_bounded_time),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
