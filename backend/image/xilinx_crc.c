// SPDX-License-Identifier: Apache-2.0
/*
 * The checksums of Xilinx configuration logic: 37 bits a word, which no CRC instruction
 * does. Two words are taken at a time, so that half of the table look-ups do not wait
 * for the CRC before them.
 */
#include <pthread.h>

#include "xilinx.h"

#define POLY32 0x82f63b78u /* CRC-32C, reflected */
#define POLY16 0xa001u	   /* CRC-16, reflected */
#define BITS   (32 + 5)	   /* fed for a word: its data and the register's number */

/* by_byte[w][k][v]: what byte k of the first (w = 0) or second word becomes, at the end of
 * the second. by_reg likewise, of the register's number. */
static uint32_t by_byte[2][4][256], by_reg[2][32];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t shift(uint32_t crc, unsigned bits)
{
	while (bits--)
		crc = crc & 1 ? crc >> 1 ^ POLY32 : crc >> 1;
	return crc;
}

static void prepare(void)
{
	for (unsigned w = 0; w < 2; w++) {
		unsigned behind = w ? 0 : BITS;

		for (unsigned k = 0; k < 4; k++)
			for (uint32_t v = 0; v < 256; v++)
				by_byte[w][k][v] = shift(v << 8 * k, BITS + behind);
		for (uint32_t r = 0; r < 32; r++)
			by_reg[w][r] = shift(r, 5 + behind);
	}
}

static uint32_t look_up(unsigned w, uint32_t x)
{
	return by_byte[w][0][x & 255] ^ by_byte[w][1][x >> 8 & 255] ^ by_byte[w][2][x >> 16 & 255] ^
	       by_byte[w][3][x >> 24];
}

static uint32_t load(const uint8_t *b, bool swapped)
{
	if (swapped)
		return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

uint32_t xilinx_crc32(uint32_t crc, const uint8_t *b, size_t n, bool swapped, uint8_t reg)
{
	pthread_once(&once, prepare);

	uint32_t both = by_reg[0][reg & 31] ^ by_reg[1][reg & 31];

	for (; n >= 2; n -= 2, b += 8)
		crc = look_up(0, crc ^ load(b, swapped)) ^ look_up(1, load(b + 4, swapped)) ^ both;
	if (n)
		crc = look_up(1, crc ^ load(b, swapped)) ^ by_reg[1][reg & 31];
	return crc;
}

uint32_t xilinx_crc16(uint32_t crc, uint32_t word, uint8_t reg)
{
	uint64_t bits = word | (uint64_t)(reg & 31) << 32;

	for (unsigned i = 0; i < BITS; i++, bits >>= 1)
		crc = (crc ^ (uint32_t)bits) & 1 ? crc >> 1 ^ POLY16 : crc >> 1;
	return crc;
}
