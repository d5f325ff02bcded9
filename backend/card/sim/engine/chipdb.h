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
 *	SPECIAL    u8 enum chipdb_special, x, y, row, column, 0, 0, 0
 *	STRINGS    NUL-terminated
 */
#ifndef SIM_CHIPDB_H
#define SIM_CHIPDB_H

#include <endian.h>
#include <fabricfs/error.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum chipdb_tile { TILE_NONE, TILE_IO, TILE_LOGIC, TILE_RAMB, TILE_RAMT };

/* Things to look at before a design may run. */
enum chipdb_special {
	SPECIAL_PLL_TYPE = 1, /* a bit of PLLTYPE: any set = the PLL is in use */
	SPECIAL_WARMBOOT = 2, /* fabout of this tile drives the warm boot cell */
	SPECIAL_LATCH = 3,    /* fabout of this tile is the input latch of its bank */
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
	DB_PACKAGES, DB_PINS, DB_GBUFIN, DB_GBUFPIN, DB_EXTRA, DB_SPECIAL, DB_STRINGS,
	DB_SECTIONS
};

struct chipdb {
	char die[9];               /* "1k" */
	unsigned width, height;    /* tiles, with the ring of IO tiles */
	unsigned cram_width, cram_height; /* bits of each of the four banks */
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

/* "net 1904 (lutff_0/in_1 of tile 1,1)" into text; returns text. */
const char *chipdb_net_name(const struct chipdb *db, uint32_t net, char *text, size_t size);

#endif
