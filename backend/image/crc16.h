// SPDX-License-Identifier: Apache-2.0
/* CRC-16/CCITT-FALSE without its start value: polynomial 1021, most significant bit first. */
#ifndef FABRICFS_BACKEND_IMAGE_CRC16_H
#define FABRICFS_BACKEND_IMAGE_CRC16_H

#include <stddef.h>
#include <stdint.h>

/* The CRC after n more bytes. By the fastest way this processor has. Any thread. */
uint16_t crc16_update(uint16_t crc, const uint8_t *bytes, size_t n);
/* The same by tables, which every processor has; for what is short, and to compare with. */
uint16_t crc16_by_table(uint16_t crc, const uint8_t *bytes, size_t n);

#endif
