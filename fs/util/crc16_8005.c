// SPDX-License-Identifier: Apache-2.0
/*
 * The checksum of Lattice configuration logic (crc.h), two bytes at a time: a byte is as
 * good as two look-ups that do not wait for each other.
 */
#include <fabricfs/crc.h>

#include <pthread.h>

#define POLY 0x8005u

/* table[1]: with a byte of zero behind it. */
static uint16_t table[2][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void prepare(void)
{
	for (unsigned i = 0; i < 256; i++) {
		unsigned crc = i << 8;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 0x8000 ? crc << 1 ^ POLY : crc << 1) & 0xffff;
		table[0][i] = (uint16_t)crc;
	}
	for (unsigned i = 0; i < 256; i++)
		table[1][i] = (uint16_t)(table[0][i] << 8) ^ table[0][table[0][i] >> 8];
}

uint16_t crc16_8005_update(uint16_t crc, const uint8_t *b, size_t n)
{
	pthread_once(&once, prepare);
	for (; n >= 2; n -= 2, b += 2)
		crc = table[1][crc >> 8 ^ b[0]] ^ table[0][(crc & 0xff) ^ b[1]];
	if (n)
		crc = (uint16_t)(crc << 8) ^ table[0][crc >> 8 ^ *b];
	return crc;
}
