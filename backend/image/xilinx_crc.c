// SPDX-License-Identifier: Apache-2.0
/* The checksum of Spartan-3 (xilinx.h). That of later families is fabricfs/crc.h. */
#include "xilinx.h"

#define POLY 0xa001u	/* CRC-16, reflected */
#define BITS (32 + 5)	/* fed for a word: its data and the register's number */

uint32_t xilinx_crc16(uint32_t crc, uint32_t word, uint8_t reg)
{
	uint64_t bits = word | (uint64_t)(reg & 31) << 32;

	for (unsigned i = 0; i < BITS; i++, bits >>= 1)
		crc = (crc ^ (uint32_t)bits) & 1 ? crc >> 1 ^ POLY : crc >> 1;
	return crc;
}
