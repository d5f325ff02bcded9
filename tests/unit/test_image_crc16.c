// SPDX-License-Identifier: Apache-2.0
/* The CRC of images: whichever way it is computed, it is the one that its definition gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/image/crc16.h"

/* The definition: a bit at a time. */
static uint16_t by_bits(uint16_t crc, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		crc ^= (uint16_t)(bytes[i] << 8);
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
	}
	return crc;
}

static uint64_t noise(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void the_check_value_of_the_catalogue_comes_out(void **state)
{
	(void)state;
	/* CRC-16/CCITT-FALSE (also IBM-3740) in the catalogue of parametrised CRCs: 29b1. */
	assert_int_equal(crc16_update(0xffff, (const uint8_t *)"123456789", 9), 0x29b1);
	assert_int_equal(crc16_by_table(0xffff, (const uint8_t *)"123456789", 9), 0x29b1);
}

static void every_length_and_alignment_is_as_defined(void **state)
{
	static uint8_t bytes[1024 + 16];
	uint64_t random = 88172645463325252u;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)noise(&random);
	for (size_t n = 0; n <= 1024; n++) {
		size_t at = n % 17 % 16;
		uint16_t start = (uint16_t)noise(&random), wanted = by_bits(start, bytes + at, n);

		assert_int_equal(crc16_update(start, bytes + at, n), wanted);
		assert_int_equal(crc16_by_table(start, bytes + at, n), wanted);
	}
}

static void a_message_may_be_cut_anywhere(void **state)
{
	static uint8_t bytes[20000];
	uint64_t random = 5;
	uint16_t whole;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)noise(&random);
	whole = by_bits(0xffff, bytes, sizeof(bytes));
	for (int round = 0; round < 200; round++) {
		uint16_t crc = 0xffff;

		for (size_t at = 0, n; at < sizeof(bytes); at += n) {
			n = noise(&random) % 3000;
			if (n > sizeof(bytes) - at)
				n = sizeof(bytes) - at;
			crc = crc16_update(crc, bytes + at, n);
		}
		assert_int_equal(crc, whole);
	}
}

static void any_single_bit_of_a_long_message_changes_it(void **state)
{
	uint8_t bytes[512];
	uint64_t random = 9;
	uint16_t good;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)noise(&random);
	good = crc16_update(0xffff, bytes, sizeof(bytes));
	for (unsigned bit = 0; bit < 8 * sizeof(bytes); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(crc16_update(0xffff, bytes, sizeof(bytes)), good);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_check_value_of_the_catalogue_comes_out),
		cmocka_unit_test(every_length_and_alignment_is_as_defined),
		cmocka_unit_test(a_message_may_be_cut_anywhere),
		cmocka_unit_test(any_single_bit_of_a_long_message_changes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
