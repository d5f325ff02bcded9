// SPDX-License-Identifier: Apache-2.0
/*
 * Where in configuration memory the bits of a tile are. The four banks are the
 * quarters of the chip, each mirrored so that its corner comes first; IO tiles
 * at top and bottom are scattered over the width of their column.
 * Source: Project IceStorm, icepack.cc (get_bit_location and its tables).
 */
#include "engine.h"

#define IO_COLUMNS 18

static const uint8_t io_column[IO_COLUMNS] = {
	23, 25, 26, 27, 16, 17, 18, 19, 20, 14, 32, 33, 34, 35, 36, 37, 4, 5,
};
static const uint8_t io_row[16] = { 0, 1, 3, 2, 4, 5, 7, 6, 8, 9, 11, 10, 12, 13, 15, 14 };

static enum chipdb_tile tile_type(const struct chipdb *db, unsigned x, unsigned y)
{
	return db->sec[DB_TILES][chipdb_tile(db, x, y)];
}

static unsigned column_width(const struct chipdb *db, unsigned x)
{
	return chipdb_columns(tile_type(db, x, 1));
}

static uint64_t reverse64(uint64_t v)
{
	v = __builtin_bswap64(v);
	v = (v & 0x0f0f0f0f0f0f0f0f) << 4 | (v >> 4 & 0x0f0f0f0f0f0f0f0f);
	v = (v & 0x3333333333333333) << 2 | (v >> 2 & 0x3333333333333333);
	return (v & 0x5555555555555555) << 1 | (v >> 1 & 0x5555555555555555);
}

/* width (at most 54) bits of a bank's row from column first on; bit width-1-k of
 * the result is column first+k. The bank has 8 spare bytes at its end. */
static uint64_t bank_bits(const struct config *c, unsigned bank, unsigned row, unsigned first,
			  unsigned width)
{
	size_t bit = (size_t)row * c->db->cram_width + first;
	uint64_t word;

	memcpy(&word, c->cram[bank] + bit / 8, sizeof(word));
	return be64toh(word) << bit % 8 >> (64 - width);
}

void tiles_extract(const struct config *c, struct tile *tiles)
{
	const struct chipdb *db = c->db;
	unsigned half = (db->width - 2) / 2;

	for (unsigned x = 0; x < db->width; x++) {
		bool right = x > half;
		unsigned mirror_x = right ? db->width - 1 - x : x, first = 0;
		unsigned width = column_width(db, x);

		for (unsigned k = 0; k < mirror_x; k++)
			first += column_width(db, k);
		for (unsigned y = 0; y < db->height; y++) {
			enum chipdb_tile type = tile_type(db, x, y);
			struct tile *t = &tiles[chipdb_tile(db, x, y)];
			bool top = y >= db->top;
			unsigned bank = top | right << 1;
			unsigned row = 16 * (top ? db->height - 1 - y : y);

			for (unsigned r = 0; r < 16; r++) {
				uint64_t bits = 0;

				if (type == TILE_NONE) {
					/* the corners of the chip */
				} else if (type != TILE_IO) {
					bits = bank_bits(c, bank, top ? row + 15 - r : row + r,
							 first, width);
					if (!right)
						bits = reverse64(bits) >> (64 - width);
				} else if (y != 0 && y != db->height - 1) {
					bits = bank_bits(c, bank, top ? row + 15 - r : row + r,
							 first, width);
				} else {
					for (unsigned k = 0; k < IO_COLUMNS; k++) {
						unsigned at = io_column[k];

						if (right)
							at = width - 1 - at;
						bits |= (uint64_t)cram_bit(c, bank,
									   row + 15 - io_row[r],
									   first + at) << k;
					}
				}
				t->row[r] = bits;
			}
		}
	}
}

void ram_extract(const struct config *c, unsigned x, unsigned y, uint16_t words[256])
{
	const struct chipdb *db = c->db;
	bool top = y >= db->top, right = x > (db->width - 2) / 2;
	unsigned bank = top | right << 1;
	unsigned first = 16 * ((top ? y - (db->top - 1) : y - 1) / 2);

	for (unsigned a = 0; a < 256; a++) {
		size_t byte = ((size_t)a * db->bram_width[bank] + first) / 8;

		words[a] = (uint16_t)(c->bram[bank][byte] << 8 | c->bram[bank][byte + 1]);
	}
}
