// SPDX-License-Identifier: Apache-2.0
/* What recognisers share: text from headers, numbers in either order, what may follow an image. */
#ifndef FABRICFS_BACKEND_IMAGE_TEXT_H
#define FABRICFS_BACKEND_IMAGE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include <fabricfs/buf.h>
#include <fabricfs/error.h>

/*
 * Makes n bytes from outside, of a buffer with room for one more, a text: it ends at the
 * first NUL or at n, and what is not printable ASCII becomes '?'.
 */
void text_from_header(char *text, size_t n);

/* The last component of a path of either kind: folders of the builder are not shown. */
const char *text_base(const char *path);

/*
 * Appends a word to a list by spaces that is text of a header: cut at the first blank, not at all
 * if it is empty, and not twice.
 */
void text_list_add(struct buf *list, const char *word);
/* A list by spaces, of which the words that do not fit are left out: half of a name is another. */
void text_list_copy(char *out, size_t size, const char *list);

/* "0XFFFFFFFF", "ffffffff" -> "ffffffff"; nothing is set when it is no such number. */
void text_hex_id(const char *text, char *out, size_t size);

/*
 * Bytes behind the end of an image: 00 and ff, at most 1 MiB of them (flash read-backs).
 * at is the offset of the next byte and goes on. 0 or -EFBIG.
 */
int padding_check(const char *format, uint64_t *at, uint64_t end_at, const uint8_t *b, size_t n,
		  struct reason *why);

static inline uint16_t read_be16(const uint8_t *b)
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t read_be32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint16_t read_le16(const uint8_t *b)
{
	return (uint16_t)(b[1] << 8 | b[0]);
}

static inline uint32_t read_le32(const uint8_t *b)
{
	return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

static inline uint64_t read_le64(const uint8_t *b)
{
	return (uint64_t)read_le32(b + 4) << 32 | read_le32(b);
}

#endif
