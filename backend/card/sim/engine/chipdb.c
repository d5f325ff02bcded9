// SPDX-License-Identifier: Apache-2.0
/*
 * Checking a chip database before it is used. Everything that the decoder will
 * follow is checked here, once, so that it need not be checked there.
 */
#include "chipdb.h"

#include <stdio.h>

#define MAGIC       "FABRIC40"
#define VERSION     2
#define HEADER_SIZE 68
#define MAX_SIDE    64          /* tiles; the largest iCE40 is 34 x 34 */
#define MAX_NETS    (1u << 20)

/* Bytes of one record of each section. */
static const unsigned record_size[DB_SECTIONS] = {
	[DB_TILES] = 1,    [DB_KINDS] = 12,     [DB_POOL] = 1,  [DB_MUXES] = 12,  [DB_SOURCES] = 4,
	[DB_PORTS] = 4,    [DB_NET_NAMES] = 8,  [DB_PACKAGES] = 12, [DB_PINS] = 8, [DB_GBUFIN] = 4,
	[DB_GBUFPIN] = 4,  [DB_EXTRA] = 8,      [DB_LATCHES] = 4, [DB_IEREN] = 8,
	[DB_CELLS] = 16,   [DB_ENTRIES] = 12,   [DB_STRINGS] = 1,
};

static int damaged(struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG, "fabric database: %s; build it again", what);
}

/* Room for every configuration bit that a tile of any type has. */
static bool bit_in_tile(unsigned row, unsigned col)
{
	return row < 16 && col < 54;
}

static int check_header(struct chipdb *db, const uint8_t *p, size_t size, struct reason *why)
{
	if (size < HEADER_SIZE + 8 * DB_SECTIONS || memcmp(p, MAGIC, 8) != 0)
		return damaged(why, "too short or of another kind");
	if (db32(p + 8) != VERSION)
		return damaged(why, "of another version");
	if (db32(p + 12) != size)
		return damaged(why, "its size is not what it says");
	memcpy(db->die, p + 16, 8);
	db->width = db16(p + 24);
	db->height = db16(p + 26);
	db->cram_width = db16(p + 28);
	db->cram_height = db16(p + 30);
	db->top = db16(p + 32);
	db->ramb_writes = p[34];
	db->powerup_low = p[35];
	db->nets = db32(p + 36);
	for (unsigned i = 0; i < 4; i++) {
		db->bram_width[i] = db16(p + 40 + 4 * i);
		db->bram_height[i] = db16(p + 42 + 4 * i);
		if (db->bram_width[i] > 1024 || db->bram_width[i] % 16 || db->bram_height[i] > 1024)
			return damaged(why, "impossible size of block RAM");
		db->bank_height[i] = db16(p + 56 + 2 * i);
		if (db->bank_height[i] == 0 || db->bank_height[i] > db->cram_height ||
		    db->cram_width * db->bank_height[i] % 8 != 0)
			return damaged(why, "impossible size of a bank");
	}
	if (db->width < 4 || db->width > MAX_SIDE || db->height < 4 || db->height > MAX_SIDE ||
	    db->top < 2 || db->top >= db->height || db->nets == 0 || db->nets > MAX_NETS ||
	    db->cram_width == 0 || db->cram_width > 2048 || db->cram_height == 0 ||
	    db->cram_height > 1024 || (db->cram_width * db->cram_height) % 8 != 0)
		return damaged(why, "impossible size of the fabric");
	if (db32(p + 64) != CHIPDB_PORTS)
		return damaged(why, "another number of ports");
	return 0;
}

static int check_sections(struct chipdb *db, const uint8_t *p, size_t size, struct reason *why)
{
	for (unsigned i = 0; i < DB_SECTIONS; i++) {
		size_t offset = db32(p + HEADER_SIZE + 8 * i);
		size_t count = db32(p + HEADER_SIZE + 8 * i + 4);

		if (offset % 8 != 0 || offset > size || count > (size - offset) / record_size[i])
			return damaged(why, "a section lies outside of it");
		db->sec[i] = p + offset;
		db->count[i] = (unsigned)count;
	}
	if (db->count[DB_TILES] != db->width * db->height ||
	    db->count[DB_PORTS] != db->count[DB_TILES] * CHIPDB_PORTS ||
	    db->count[DB_NET_NAMES] != db->nets)
		return damaged(why, "sections of the wrong length");
	if (db->count[DB_STRINGS] == 0 || db->sec[DB_STRINGS][db->count[DB_STRINGS] - 1] != 0)
		return damaged(why, "strings without an end");
	return 0;
}

/* What tiles a row of a column at the side may have, given the one below. */
static bool side_tile_fits(unsigned tile, unsigned below)
{
	if (tile >= TILE_DSP1 && tile <= TILE_DSP3)
		return below == tile - 1;
	/* a multiplier has all its tiles */
	return (below < TILE_DSP0 || below > TILE_DSP2) &&
	       (tile == TILE_DSP0 || tile == TILE_IPCON);
}

static bool column_fits(const struct chipdb *db, unsigned x)
{
	const uint8_t *column = db->sec[DB_TILES] + x * db->height;
	bool edge = x == 0 || x == db->width - 1;
	unsigned middle = column[1], top = db->height - 1;

	if (edge ? middle != TILE_IO && middle != TILE_IPCON && middle != TILE_DSP0 :
		   middle != TILE_LOGIC && middle != TILE_RAMB)
		return false;
	for (unsigned y = 1; y < top; y++) {
		bool fits;

		if (middle == TILE_RAMB)
			fits = column[y] == (y % 2 ? TILE_RAMB : TILE_RAMT);
		else if (middle == TILE_IPCON || middle == TILE_DSP0)
			fits = side_tile_fits(column[y], column[y - 1]);
		else
			fits = column[y] == middle;
		if (!fits)
			return false;
	}
	if (column[top - 1] >= TILE_DSP0 && column[top - 1] <= TILE_DSP2)
		return false;
	return column[0] == (edge ? TILE_NONE : TILE_IO) && column[top] == column[0];
}

/* RAM tiles come in pairs, multipliers in fours, and every tile's bits must lie
 * inside its bank: the decoder finds a tile by adding up the widths of the
 * columns before it. */
static int check_tiles(const struct chipdb *db, struct reason *why)
{
	unsigned columns = 0;

	for (unsigned x = 0; x < db->width; x++) {
		unsigned middle = db->sec[DB_TILES][x * db->height + 1];
		unsigned mirrored = db->sec[DB_TILES][(db->width - 1 - x) * db->height + 1];

		if (!column_fits(db, x))
			return damaged(why, "a tile of an unexpected kind");
		if (chipdb_columns(middle) != chipdb_columns(mirrored) ||
		    (middle == TILE_RAMB) != (mirrored == TILE_RAMB))
			return damaged(why, "halves that do not mirror each other");
		if (x <= (db->width - 2) / 2)
			columns += chipdb_columns(middle);
	}
	for (unsigned bank = 0; bank < 4; bank++)
		if (16 * (bank % 2 ? db->height - db->top : db->top) > db->bank_height[bank])
			return damaged(why, "tiles that do not fit its configuration memory");
	if (columns > db->cram_width || db->height % 2 || db->top % 2 == 0)
		return damaged(why, "tiles that do not fit its configuration memory");
	for (unsigned x = 1; x < db->width - 1; x++) {
		unsigned bank = x > (db->width - 2) / 2 ? 2 : 0;
		unsigned low = 16 * ((db->top - 1) / 2), high = 16 * ((db->height - db->top) / 2);

		if (db->sec[DB_TILES][x * db->height + 1] == TILE_LOGIC)
			continue;
		if (db->bram_height[bank] < 256 || db->bram_height[bank + 1] < 256 ||
		    db->bram_width[bank] < low || db->bram_width[bank + 1] < high)
			return damaged(why, "block RAM without room for its contents");
	}
	return 0;
}

static int check_kinds(const struct chipdb *db, struct reason *why)
{
	size_t pool = db->count[DB_POOL];

	for (unsigned i = 0; i < db->count[DB_KINDS]; i++) {
		const uint8_t *k = db->sec[DB_KINDS] + 12 * i;
		unsigned bits = db16(k), options = db16(k + 2);
		size_t where = db32(k + 4), table = db32(k + 8);

		if (bits == 0 || bits > 8 || options >= CHIPDB_OFF || where > pool ||
		    2 * bits > pool - where || table > pool || (1u << bits) > pool - table)
			return damaged(why, "a kind of switch outside its limits");
		for (unsigned b = 0; b < bits; b++)
			if (!bit_in_tile(db->sec[DB_POOL][where + 2 * b],
					 db->sec[DB_POOL][where + 2 * b + 1]))
				return damaged(why, "a configuration bit outside its tile");
		if (db->sec[DB_POOL][table] != CHIPDB_OFF)
			return damaged(why, "a switch that is never off");
		for (unsigned c = 0; c < 1u << bits; c++) {
			unsigned option = db->sec[DB_POOL][table + c];

			if (option >= options && option != CHIPDB_OFF && option != CHIPDB_ILLEGAL)
				return damaged(why, "a code without a source");
		}
	}
	return 0;
}

static int check_nets(const struct chipdb *db, struct reason *why)
{
	for (unsigned i = 0; i < db->count[DB_MUXES]; i++) {
		const uint8_t *m = db->sec[DB_MUXES] + 12 * i;
		unsigned kind = db16(m + 2), first = db32(m + 8), options;

		if (db16(m) >= db->count[DB_TILES] || kind >= db->count[DB_KINDS] ||
		    db32(m + 4) >= db->nets || first > db->count[DB_SOURCES])
			return damaged(why, "a switch that is nowhere");
		options = db16(db->sec[DB_KINDS] + 12 * kind + 2);
		if (options > db->count[DB_SOURCES] - first)
			return damaged(why, "a switch without all its sources");
	}
	for (unsigned i = 0; i < db->count[DB_SOURCES]; i++)
		if (db32(db->sec[DB_SOURCES] + 4 * i) >= db->nets)
			return damaged(why, "a source that is no net");
	for (unsigned i = 0; i < db->count[DB_PORTS]; i++) {
		int32_t net = (int32_t)db32(db->sec[DB_PORTS] + 4 * i);

		if (net < -1 || net >= (int32_t)db->nets)
			return damaged(why, "a port on no net");
	}
	for (unsigned i = 0; i < db->nets; i++)
		if (db32(db->sec[DB_NET_NAMES] + 8 * i + 4) >= db->count[DB_STRINGS])
			return damaged(why, "a net without a name");
	return 0;
}

static bool is_io(const struct chipdb *db, const uint8_t *xy)
{
	return xy[0] < db->width && xy[1] < db->height &&
	       db->sec[DB_TILES][chipdb_tile(db, xy[0], xy[1])] == TILE_IO;
}

static int check_pads(const struct chipdb *db, struct reason *why)
{
	const uint8_t *p;

	for (unsigned i = 0; i < db->count[DB_PACKAGES]; i++) {
		unsigned first, pins;

		p = db->sec[DB_PACKAGES] + 12 * i;
		first = db32(p + 4);
		pins = db32(p + 8);
		if (db32(p) >= db->count[DB_STRINGS] || first > db->count[DB_PINS] ||
		    pins > db->count[DB_PINS] - first)
			return damaged(why, "a package without its pins");
	}
	for (unsigned i = 0; i < db->count[DB_PINS]; i++) {
		p = db->sec[DB_PINS] + 8 * i;
		if (db32(p) >= db->count[DB_STRINGS] || !is_io(db, p + 4) || p[6] > 1)
			return damaged(why, "a pin without a pad");
	}
	for (unsigned i = 0; i < db->count[DB_GBUFIN]; i++) {
		p = db->sec[DB_GBUFIN] + 4 * i;
		if (!is_io(db, p) || p[2] >= CHIPDB_GLOBALS)
			return damaged(why, "a global buffer that is nowhere");
	}
	for (unsigned i = 0; i < db->count[DB_GBUFPIN]; i++) {
		p = db->sec[DB_GBUFPIN] + 4 * i;
		if (!is_io(db, p) || p[2] > 1 || p[3] >= CHIPDB_GLOBALS)
			return damaged(why, "a global pad that is nowhere");
	}
	for (unsigned i = 0; i < db->count[DB_EXTRA]; i++) {
		p = db->sec[DB_EXTRA] + 8 * i;
		if (p[0] >= CHIPDB_GLOBALS || p[1] > 3 || db16(p + 2) >= db->cram_width ||
		    db16(p + 4) >= db->bank_height[p[1]])
			return damaged(why, "a bit outside configuration memory");
	}
	for (unsigned i = 0; i < db->count[DB_LATCHES]; i++)
		if (!is_io(db, db->sec[DB_LATCHES] + 4 * i))
			return damaged(why, "an input latch that is nowhere");
	for (unsigned i = 0; i < db->count[DB_IEREN]; i++) {
		p = db->sec[DB_IEREN] + 8 * i;
		if (!is_io(db, p) || p[2] > 1 || !is_io(db, p + 3) || p[5] > 1)
			return damaged(why, "an input buffer that is nowhere");
	}
	return 0;
}

static bool entry_sound(const struct chipdb *db, const uint8_t *e)
{
	uint32_t value = db32(e + 8);

	if (db32(e) >= db->count[DB_STRINGS] || e[5] >= db->width || e[6] >= db->height)
		return false;
	switch ((enum chipdb_entry_kind)e[4]) {
	case ENTRY_NET:
		return value < db->nets;
	case ENTRY_BIT:
		return value < 1u << 16 && bit_in_tile(value >> 8, value & 255);
	case ENTRY_PAD:
		return is_io(db, e + 5) && value < 2;
	case ENTRY_LOCKED:
		return value < db->count[DB_STRINGS];
	}
	return false;
}

static int check_cells(const struct chipdb *db, struct reason *why)
{
	for (unsigned i = 0; i < db->count[DB_CELLS]; i++) {
		const uint8_t *c = db->sec[DB_CELLS] + 16 * i;
		uint32_t first = db32(c + 8);

		if (db32(c) >= db->count[DB_STRINGS] || c[4] >= db->width || c[5] >= db->height ||
		    first > db->count[DB_ENTRIES] || db32(c + 12) > db->count[DB_ENTRIES] - first)
			return damaged(why, "a cell that is nowhere");
	}
	for (unsigned i = 0; i < db->count[DB_ENTRIES]; i++)
		if (!entry_sound(db, db->sec[DB_ENTRIES] + 12 * i))
			return damaged(why, "a cell with an end that is nowhere");
	return 0;
}

int chipdb_open(struct chipdb *db, const void *data, size_t size, struct reason *why)
{
	int err;

	memset(db, 0, sizeof(*db));
	err = check_header(db, data, size, why);
	if (err == 0)
		err = check_sections(db, data, size, why);
	if (err == 0)
		err = check_tiles(db, why);
	if (err == 0)
		err = check_kinds(db, why);
	if (err == 0)
		err = check_nets(db, why);
	if (err == 0)
		err = check_pads(db, why);
	if (err == 0)
		err = check_cells(db, why);
	return err;
}

unsigned chipdb_columns(enum chipdb_tile type)
{
	switch (type) {
	case TILE_IO:
		return 18;
	case TILE_RAMB:
	case TILE_RAMT:
		return 42;
	case TILE_LOGIC:
	case TILE_DSP0:
	case TILE_DSP1:
	case TILE_DSP2:
	case TILE_DSP3:
	case TILE_IPCON:
		return 54;
	case TILE_NONE:
	case TILE_TYPES:
		break;
	}
	return 0;
}

struct chipdb_cell chipdb_cell(const struct chipdb *db, unsigned i)
{
	const uint8_t *c = db->sec[DB_CELLS] + 16 * (size_t)i;

	return (struct chipdb_cell){
		.kind = chipdb_string(db, db32(c)), .x = c[4], .y = c[5], .z = c[6],
		.first = db32(c + 8), .entries = db32(c + 12),
	};
}

struct chipdb_entry chipdb_entry(const struct chipdb *db, const struct chipdb_cell *cell,
				 unsigned i)
{
	const uint8_t *e = db->sec[DB_ENTRIES] + 12 * (size_t)(cell->first + i);

	return (struct chipdb_entry){
		.name = chipdb_string(db, db32(e)), .kind = (enum chipdb_entry_kind)e[4],
		.x = e[5], .y = e[6], .value = db32(e + 8),
	};
}

bool chipdb_entry_find(const struct chipdb *db, const struct chipdb_cell *cell, const char *name,
		       enum chipdb_entry_kind kind, struct chipdb_entry *out)
{
	for (unsigned i = 0; i < cell->entries; i++) {
		*out = chipdb_entry(db, cell, i);
		if (out->kind == kind && !strcmp(out->name, name))
			return true;
	}
	return false;
}

const char *chipdb_net_name(const struct chipdb *db, uint32_t net, char *text, size_t size)
{
	const uint8_t *n = db->sec[DB_NET_NAMES] + 8 * (size_t)net;

	snprintf(text, size, "net %u (%s of tile %u,%u)", (unsigned)net,
		 chipdb_string(db, db32(n + 4)), n[0], n[1]);
	return text;
}
