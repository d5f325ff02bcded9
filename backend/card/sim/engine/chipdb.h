// SPDX-License-Identifier: Apache-2.0
/*
 * The chip database: which switches, nets, ports and pads a part has.
 *
 * It is a little-endian file made by data/chipdb-pack and used where it lies.
 * chipdb_open() checks every index and offset in it once, so that the decoder
 * can follow them without asking again; a damaged file is refused, never read
 * out of bounds. Read only: any number of threads may use one.
 *
 * Layout: header, table of sections {u32 offset, u32 count}, sections, each
 * aligned to 8 bytes. Tiles are numbered x * height + y.
 *
 *	TILES      u8 enum chipdb_tile
 *	KINDS      u16 bits, u16 options, u32 positions, u32 table: the shapes of
 *	           multiplexers. In the pool: {u8 row, u8 column} for each bit,
 *	           and a table indexed by the code (bit i of the list is 1 << i):
 *	           option number, CHIPDB_OFF or CHIPDB_ILLEGAL
 *	POOL       bytes
 *	MUXES      u16 tile, u16 kind, u32 destination net, u32 first source
 *	SOURCES    u32 net, as many a mux as its kind has options
 *	PORTS      i32 net or -1, CHIPDB_PORTS a tile
 *	NET_NAMES  u8 x, u8 y, u16 0, u32 string
 *	PACKAGES   u32 string, u32 first pin, u32 pins
 *	PINS       u32 string, u8 x, u8 y, u8 pad of the tile, u8 0
 *	GBUFIN     u8 x, y, global, 0: global network driven by this tile's fabout
 *	GBUFPIN    u8 x, y, pad, global: driven by this pad if its extra bit is set
 *	EXTRA      u8 global, u8 bank, u16 column, u16 row, u16 0: those extra bits
 *	LATCHES    u8 x, y, 0, 0: this tile's fabout is the input latch of its side
 *	IEREN      u8 x, y, pad, x, y, pad, 0, 0: the bits IE and REN of the first
 *	           pad are those of the second one's tile and place
 *	CELLS      u32 string: what it is ("PLL"), u8 x, y, z, 0, u32 first entry,
 *	           u32 entries: the cells beside the fabric
 *	ENTRIES    u32 string, u8 enum chipdb_entry_kind, x, y, 0, u32 value: their
 *	           inputs, outputs and configuration bits, sorted by name in a cell
 *	STRINGS    NUL-terminated
 */
#ifndef SIM_CHIPDB_H
#define SIM_CHIPDB_H

#include <endian.h>
#include <fabricfs/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* DSP0..3 are the four tiles of a multiplier, from below; IPCON connects other
 * cells at the sides of an UP5K. Both have the switches of a logic tile. */
enum chipdb_tile {
	TILE_NONE, TILE_IO, TILE_LOGIC, TILE_RAMB, TILE_RAMT,
	TILE_DSP0, TILE_DSP1, TILE_DSP2, TILE_DSP3, TILE_IPCON,
	TILE_TYPES
};

/* What an entry of a cell is, and what its value is then. */
enum chipdb_entry_kind {
	ENTRY_NET = 1,    /* an input or output: net */
	ENTRY_BIT = 2,    /* configuration: row << 8 | column of the tile x, y */
	ENTRY_PAD = 3,    /* a pad that the cell takes over: its number in the tile x, y */
	ENTRY_LOCKED = 4, /* the cell is not connected in this package: string */
};

/* A cell beside the fabric; kinds, places and names of entries are IceStorm's. */
struct chipdb_cell {
	const char *kind; /* "PLL", "MAC16", "SPRAM", "HFOSC" ... */
	unsigned x, y, z;
	unsigned first, entries; /* of the ENTRIES section */
};

struct chipdb_entry {
	const char *name; /* "PLLOUT_A", "DIVR_0" ... */
	enum chipdb_entry_kind kind;
	unsigned x, y;
	uint32_t value;
};

/* Ports of a tile, in the order of the PORTS section. */
#define PORT_LC(i)        ((i) * 7) /* + 0..3 in_n, 4 out, 5 lout, 6 cout */
#define PORT_LC_OUT       4
#define PORT_LC_LOUT      5
#define PORT_LC_COUT      6
#define PORT_CLK          56
#define PORT_CEN          57
#define PORT_SR           58
#define PORT_CARRY_IN_MUX 60
#define PORT_FABOUT       61
#define PORT_GLOBAL(k)    (62 + (k))
#define PORT_IO(z)        (70 + (z) * 5) /* + D_IN_0 D_IN_1 D_OUT_0 D_OUT_1 OUT_ENB */
#define PORT_IO_CEN       80
#define PORT_IO_INCLK     81
#define PORT_IO_OUTCLK    83
#define PORT_RAM_MASK     84
#define PORT_RAM_RADDR    100
#define PORT_RAM_WADDR    111
#define PORT_RAM_RDATA    122
#define PORT_RAM_WDATA    138
#define PORT_RAM_RCLK     154
#define PORT_RAM_RCLKE    155
#define PORT_RAM_RE       156
#define PORT_RAM_WCLK     157
#define PORT_RAM_WCLKE    158
#define PORT_RAM_WE       159
#define CHIPDB_PORTS      160

#define CHIPDB_ILLEGAL 0xff
#define CHIPDB_OFF     0xfe

#define CHIPDB_GLOBALS 8

enum {
	DB_TILES, DB_KINDS, DB_POOL, DB_MUXES, DB_SOURCES, DB_PORTS, DB_NET_NAMES,
	DB_PACKAGES, DB_PINS, DB_GBUFIN, DB_GBUFPIN, DB_EXTRA, DB_LATCHES, DB_IEREN,
	DB_CELLS, DB_ENTRIES, DB_STRINGS,
	DB_SECTIONS
};

struct chipdb {
	char die[9];               /* "1k" */
	unsigned width, height;    /* tiles, with the ring of IO tiles */
	unsigned cram_width, cram_height; /* bits of the largest of the four banks */
	unsigned bank_height[4];   /* rows of each: at most cram_height */
	unsigned bram_width[4], bram_height[4];
	unsigned top;              /* first row of the upper half */
	unsigned ramb_writes;      /* NegClk of the lower RAM tile is the write clock's */
	unsigned powerup_low;      /* RAM is on while PowerUp is 0 */
	unsigned nets;
	unsigned count[DB_SECTIONS];
	const uint8_t *sec[DB_SECTIONS];
};

static inline unsigned db16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t db32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

/* Check size bytes at data (they stay the caller's and must outlive db) and fill
 * *db. 0, or -EBADMSG with what is wrong. */
int chipdb_open(struct chipdb *db, const void *data, size_t size, struct reason *why);

static inline unsigned chipdb_tile(const struct chipdb *db, unsigned x, unsigned y)
{
	return x * db->height + y;
}

/* Net of a port of a tile, -1 when the tile has no such port. */
static inline int32_t chipdb_port(const struct chipdb *db, unsigned tile, unsigned port)
{
	return (int32_t)db32(db->sec[DB_PORTS] + 4 * (tile * CHIPDB_PORTS + port));
}

static inline const char *chipdb_string(const struct chipdb *db, uint32_t offset)
{
	return (const char *)db->sec[DB_STRINGS] + offset;
}

/* Columns of configuration bits that a tile of this type has; 16 rows of them. */
unsigned chipdb_columns(enum chipdb_tile type);

/* Cell i of 0 .. count[DB_CELLS] - 1. */
struct chipdb_cell chipdb_cell(const struct chipdb *db, unsigned i);
/* Entry i of 0 .. cell->entries - 1. */
struct chipdb_entry chipdb_entry(const struct chipdb *db, const struct chipdb_cell *cell,
				 unsigned i);
/* The entry of this name and kind; false when the cell has none. */
bool chipdb_entry_find(const struct chipdb *db, const struct chipdb_cell *cell, const char *name,
		       enum chipdb_entry_kind kind, struct chipdb_entry *out);

/* "net 1904 (lutff_0/in_1 of tile 1,1)" into text; returns text. */
const char *chipdb_net_name(const struct chipdb *db, uint32_t net, char *text, size_t size);

#endif
