// SPDX-License-Identifier: Apache-2.0
/*
 * The checksums of configuration logic (fabricfs/crc.h), by all their ways, beside the same
 * computed bit by bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fabricfs/crc.h>

#define WORDS 1100 /* several blocks, and a rest */

static uint32_t crc37(uint32_t crc, uint32_t word, unsigned reg)
{
	for (int i = 0; i < 37; i++) {
		uint32_t bit = (i < 32 ? word >> i & 1 : reg >> (i - 32) & 1) ^ (crc & 1);

		crc >>= 1;
		if (bit)
			crc ^= 0x82f63b78;
	}
	return crc;
}

static uint32_t slowly(uint32_t crc, const uint8_t *b, size_t n, bool swapped, unsigned reg)
{
	for (size_t i = 0; i < n; i++, b += 4) {
		uint32_t w = 0;

		for (int k = 0; k < 4; k++)
			w = w << 8 | b[swapped ? 3 - k : k];
		crc = crc37(crc, w, reg);
	}
	return crc;
}

/* Random bytes of just the size, one beyond a boundary, so that a step outside is seen. */
static uint8_t *noise(size_t n, size_t off, uint8_t **whole)
{
	*whole = malloc(n + off + 1);
	assert_non_null(*whole);
	for (size_t i = 0; i < n + off; i++)
		(*whole)[i] = (uint8_t)(random() >> 7);
	return *whole + off;
}

static void all_ways_agree_at_every_length_and_place(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 3, 101, 127, 128, 129, 255, 256, 257, 511, 512, 513, 640, 1024,
					WORDS };

	(void)state;
	srandom(37);
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
		for (size_t off = 0; off < 4; off++)
			for (int swapped = 0; swapped < 2; swapped++) {
				uint8_t reg = (uint8_t)(k * 7 + off) & 31, *whole;
				uint8_t *b = noise(4 * sizes[k], off, &whole);
				uint32_t begin = (uint32_t)random() * 3;
				uint32_t wanted = slowly(begin, b, sizes[k], swapped, reg);

				assert_int_equal(crc37_by_table(begin, b, sizes[k], swapped, reg), wanted);
				assert_int_equal(crc37_update(begin, b, sizes[k], swapped, reg), wanted);
				free(whole);
			}
}

static void any_cut_of_the_words_gives_the_same(void **state)
{
	uint8_t *whole, *b = noise(4 * WORDS, 1, &whole);
	uint32_t wanted = crc37_by_table(0, b, WORDS, false, 2);

	(void)state;
	for (size_t cut = 0; cut <= WORDS; cut += 13)
		assert_int_equal(crc37_update(crc37_update(0, b, cut, false, 2), b + 4 * cut, WORDS - cut, false, 2), wanted);
	free(whole);
}

static void every_flipped_bit_shows(void **state)
{
	uint8_t *whole, *b = noise(4 * 300, 0, &whole);
	uint32_t good = crc37_update(0, b, 300, false, 2);

	(void)state;
	for (size_t bit = 0; bit < 32 * 300; bit++) {
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(crc37_update(0, b, 300, false, 2), good);
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(crc37_update(0, b, 300, false, 2), good);
	free(whole);
}

static uint16_t slowly16(uint16_t crc, const uint8_t *b, size_t n)
{
	for (; n; n--, b++) {
		crc ^= (uint16_t)(*b << 8);
		for (int i = 0; i < 8; i++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x8005 : crc << 1);
	}
	return crc;
}

static void crc16_of_lattice_agrees_at_every_length(void **state)
{
	(void)state;
	/* The catalogue's check value of CRC-16/UMTS, which this is. */
	assert_int_equal(crc16_8005_update(0, (const uint8_t *)"123456789", 9), 0xfee8);
	for (size_t n = 0; n < 300; n++) {
		uint8_t *whole, *b = noise(n, n % 3, &whole);
		uint16_t begin = (uint16_t)random();

		assert_int_equal(crc16_8005_update(begin, b, n), slowly16(begin, b, n));
		free(whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_ways_agree_at_every_length_and_place),
		cmocka_unit_test(any_cut_of_the_words_gives_the_same),
		cmocka_unit_test(every_flipped_bit_shows),
		cmocka_unit_test(crc16_of_lattice_agrees_at_every_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
