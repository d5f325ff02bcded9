// SPDX-License-Identifier: Apache-2.0
/*
 * Checksums that both sides of a configuration port compute: who recognises an image, and
 * who simulates the device that takes it.
 *
 * Pure; any thread. Each is streamed: what one call returns goes into the next. By the
 * fastest way that this processor has.
 */
#ifndef FABRICFS_CRC_H
#define FABRICFS_CRC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Xilinx, Virtex-6 and later: CRC-32C over the 32 bits of each of these n big-endian (or
 * swapped) words and the 5 bits of the register's number behind them, lowest bit first;
 * begins with 0 (Project X-Ray; checked on images of ISE and Vivado).
 */
uint32_t crc37_update(uint32_t crc, const uint8_t *words, size_t n, bool swapped, uint8_t reg);
/* The same by tables, which every processor has; for what is short, and to compare with. */
uint32_t crc37_by_table(uint32_t crc, const uint8_t *words, size_t n, bool swapped, uint8_t reg);

/* Lattice: CRC-16, polynomial 8005, highest bit first, begins with 0 (Project Trellis). */
uint16_t crc16_8005_update(uint16_t crc, const uint8_t *bytes, size_t n);

#endif
