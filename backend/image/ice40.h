// SPDX-License-Identifier: Apache-2.0
/* One iCE40 configuration, as it stands in a file of its own or in one of several. */
#ifndef FABRICFS_BACKEND_IMAGE_ICE40_H
#define FABRICFS_BACKEND_IMAGE_ICE40_H

#include <fabricfs/image.h>

#define ICE40_COMMENT_MAX 1024 /* bytes kept of the comment; longer ones are cut */

struct ice40_die;

/* Zeroed before the first byte, but for start and at, which are the offset of that. */
struct ice40 {
	uint8_t phase;
	uint64_t start;
	uint64_t at;     /* offset of the next byte */
	uint64_t end_at; /* offset behind the wake-up, once it is there */
	uint32_t window; /* the last four bytes, while searching */
	uint8_t opcode, need, got;
	uint32_t value; /* the payload so far */
	uint32_t left;  /* bytes of data (or zeros) still to come */
	uint16_t crc;
	bool crc_started, crc_good;
	bool named; /* which part of the die it is was told by the comment */
	bool has_width, has_height, has_bank;
	uint32_t width, height, offset, bank;
	const struct ice40_die *die;
	uint64_t data_at; /* offset of the first CRAM data; 0 = not seen */
	uint8_t cram;     /* banks whose CRAM data came, one bit each */
	size_t comment_len;
	char comment[ICE40_COMMENT_MAX];
};

/* image_format.probe and .probe_on, of one and of several. */
enum image_tri ice40_probe(const uint8_t *head, size_t n, bool last);
enum image_tri ice40_probe_on(const uint8_t *head, size_t seen, size_t n, bool last);

/*
 * As image_format.feed, up to the wake-up: *taken is how many of the n bytes belong to this
 * configuration. IMAGE_COMPLETE when it is whole.
 */
int ice40_take(struct ice40 *s, const uint8_t *b, size_t n, size_t *taken,
	       struct image_facts *facts, struct reason *why);
/* As image_format.end. */
int ice40_end(const struct ice40 *s, uint64_t fed, struct reason *why);

#endif
