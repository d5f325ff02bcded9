// SPDX-License-Identifier: Apache-2.0
/*
 * What the fuzz targets share. A target is one file fuzz_NAME.c with
 * LLVMFuzzerTestOneInput(), seeds in corpus/NAME, and states what must hold
 * for any input with fuzz_claim(), beside what the sanitizers see.
 */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_claim(holds)                                                                     \
	do {                                                                                  \
		if (!(holds)) {                                                               \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #holds); \
			abort();                                                              \
		}                                                                             \
	} while (0)

/* A file of the source, whole; fuzzing begins in its top folder. The caller frees. */
static inline uint8_t *fuzz_file(const char *path, size_t *size)
{
	FILE *f = fopen(path, "re");
	uint8_t *bytes = malloc(1 << 20);

	if (!f || !bytes) {
		fprintf(stderr, "%s is not there: run this in the top folder of the source\n", path);
		exit(2);
	}
	*size = fread(bytes, 1, 1 << 20, f);
	fclose(f);
	return bytes;
}

/* CRC-16/CCITT as iCE40's configuration logic runs it (ICE40.md). */
static inline uint16_t fuzz_crc16(const uint8_t *b, size_t n)
{
	uint16_t crc = 0xffff;

	for (size_t i = 0; i < n; i++) {
		crc ^= (uint16_t)(b[i] << 8);
		for (int k = 0; k < 8; k++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
	}
	return crc;
}

/* Of an iCE40 image: behind its CRC reset, and behind its wake-up command. 0 = it has none. */
static inline size_t fuzz_crc_begin(const uint8_t *b, size_t n)
{
	const uint8_t *at = memmem(b, n < 64 ? n : 64, "\x01\x05", 2);

	return at ? (size_t)(at - b) + 2 : 0;
}

static inline size_t fuzz_wake_end(const uint8_t *b, size_t n)
{
	while (n >= 2 && !(b[n - 1] == 0x06 && b[n - 2] == 0x01))
		n--;
	return n >= 2 ? n : 0;
}

/* Make the CRC of an image right again; it stands just before the wake-up command. */
static inline void fuzz_crc_fix(uint8_t *b, size_t n)
{
	size_t begin = fuzz_crc_begin(b, n), end = fuzz_wake_end(b, n);

	if (!begin || end < begin + 5)
		return;

	uint16_t crc = fuzz_crc16(b + begin, end - 4 - begin);

	b[end - 4] = (uint8_t)(crc >> 8);
	b[end - 3] = (uint8_t)crc;
}

/*
 * Edits of something too large to be an input itself: records of three bytes
 * of place, low first, and one byte that is XORed there.
 */
#define FUZZ_EDIT 4
static inline void fuzz_edit(uint8_t *bytes, size_t size, const uint8_t *edits, size_t n)
{
	for (; n >= FUZZ_EDIT; edits += FUZZ_EDIT, n -= FUZZ_EDIT)
		bytes[(edits[0] | (size_t)edits[1] << 8 | (size_t)edits[2] << 16) % size] ^= edits[3];
}

#endif
