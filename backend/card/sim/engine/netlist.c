// SPDX-License-Identifier: Apache-2.0
/*
 * From the bits of the tiles to nets. All switches of an iCE40 pass in one
 * direction, so no unification is needed: each mux gives its destination net at
 * most one driver, and a net's value is found by walking to the first one that
 * no switch drives. There a cell drives it, or nothing does.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

/* Longest chain of switches followed. Real routes have less than 100; a ring of
 * switches, which only a made-up image has, must end. */
#define MAX_HOPS 1000

static int number_tiles(struct netlist *n, struct reason *why)
{
	const struct chipdb *db = n->db;
	unsigned tiles = db->count[DB_TILES];

	n->cell_index = calloc(tiles, sizeof(*n->cell_index));
	n->logic_tiles = calloc(tiles, sizeof(*n->logic_tiles));
	n->io_tiles = calloc(tiles, sizeof(*n->io_tiles));
	n->ram_tiles = calloc(tiles, sizeof(*n->ram_tiles));
	if (!n->cell_index || !n->logic_tiles || !n->io_tiles || !n->ram_tiles)
		return reason_set(why, ENOMEM, "no memory for the netlist");
	for (unsigned t = 0; t < tiles; t++) {
		switch ((enum chipdb_tile)db->sec[DB_TILES][t]) {
		case TILE_LOGIC:
			n->cell_index[t] = (uint16_t)n->n_logic;
			n->logic_tiles[n->n_logic++] = (uint16_t)t;
			break;
		case TILE_IO:
			n->cell_index[t] = (uint16_t)n->n_io;
			n->io_tiles[n->n_io++] = (uint16_t)t;
			break;
		case TILE_RAMB:
			n->cell_index[t] = (uint16_t)n->n_ram;
			n->ram_tiles[n->n_ram++] = (uint16_t)t;
			break;
		case TILE_RAMT:
		case TILE_DSP0:
		case TILE_DSP1:
		case TILE_DSP2:
		case TILE_DSP3:
		case TILE_IPCON:
		case TILE_NONE:
		case TILE_TYPES:
			break;
		}
	}
	n->pad_base = SIG_LC + 3 * 8 * n->n_logic;
	n->ram_base = n->pad_base + PAD_SIGNALS * 2 * n->n_io;
	n->clock_base = n->ram_base + 16 * n->n_ram;
	n->block_base = n->clock_base + CLOCK_SIGNALS * CLOCK_CELLS;
	return blocks_number(n, why);
}

static int contention(struct netlist *n, uint32_t dst, uint32_t src, struct reason *why)
{
	char net[80], one[80], two[80];

	if (n->tolerant) {
		n->driver[dst] = -1;
		return 0;
	}
	return reason_set(why, EIO, "contention: %s would be driven by both %s and %s",
			  chipdb_net_name(n->db, dst, net, sizeof(net)),
			  chipdb_net_name(n->db, (uint32_t)n->driver[dst], one, sizeof(one)),
			  chipdb_net_name(n->db, src, two, sizeof(two)));
}

static int read_switches(struct netlist *n, struct reason *why)
{
	const struct chipdb *db = n->db;
	const uint8_t *pool = db->sec[DB_POOL];
	unsigned last_tile = ~0u;
	bool blank = false;

	for (unsigned i = 0; i < db->count[DB_MUXES]; i++) {
		const uint8_t *m = db->sec[DB_MUXES] + 12 * (size_t)i;
		unsigned tile = db16(m), code = 0, bits, option;
		const struct tile *t = &n->tiles[tile];
		const uint8_t *kind, *at;
		uint32_t dst, src;
		char net[80];
		int err;

		if (tile != last_tile) {
			uint64_t any = 0;

			for (unsigned r = 0; r < 16; r++)
				any |= t->row[r];
			blank = any == 0;
			last_tile = tile;
		}
		if (blank)
			continue;
		kind = db->sec[DB_KINDS] + 12 * (size_t)db16(m + 2);
		bits = db16(kind);
		at = pool + db32(kind + 4);
		for (unsigned b = 0; b < bits; b++)
			code |= (unsigned)tile_bit(t, at[2 * b], at[2 * b + 1]) << b;
		if (code == 0)
			continue;
		option = pool[db32(kind + 8) + code];
		if (option == CHIPDB_OFF)
			continue;
		dst = db32(m + 4);
		if (option == CHIPDB_ILLEGAL) {
			if (n->tolerant)
				continue;
			return reason_set(why, EIO,
					  "tile %u,%u: the switch to %s has code %#x, which selects nothing",
					  tile / db->height, tile % db->height,
					  chipdb_net_name(db, dst, net, sizeof(net)), code);
		}
		src = db32(db->sec[DB_SOURCES] + 4 * ((size_t)db32(m + 8) + option));
		if (n->driver[dst] >= 0 && (uint32_t)n->driver[dst] != src) {
			err = contention(n, dst, src, why);
			if (err != 0)
				return err;
			continue;
		}
		n->driver[dst] = (int32_t)src;
	}
	return 0;
}

static void source_set(struct netlist *n, unsigned tile, unsigned port, uint32_t sig)
{
	int32_t net = chipdb_port(n->db, tile, port);

	if (net >= 0)
		n->source[net] = (int32_t)sig;
}

/* The outputs of all cells; globals come last because they look at others. */
static void read_sources(struct netlist *n)
{
	const struct chipdb *db = n->db;

	for (unsigned k = 0; k < n->n_logic; k++) {
		unsigned tile = n->logic_tiles[k];
		const struct tile *t = &n->tiles[tile];

		for (unsigned i = 0; i < 8; i++) {
			unsigned lc = 8 * k + i;
			bool dff = tile_bit(t, 2 * i, 36 + 9);

			source_set(n, tile, PORT_LC(i) + PORT_LC_OUT,
				   sig_lc(lc, dff ? LC_DFF : LC_LUT));
			source_set(n, tile, PORT_LC(i) + PORT_LC_LOUT, sig_lc(lc, LC_LUT));
			source_set(n, tile, PORT_LC(i) + PORT_LC_COUT, sig_lc(lc, LC_CARRY));
		}
		/* unless the mux selects the carry from the tile below: CarryInSet */
		source_set(n, tile, PORT_CARRY_IN_MUX, tile_bit(t, 1, 50));
	}
	for (unsigned k = 0; k < n->n_io; k++)
		for (unsigned z = 0; z < 2; z++) {
			source_set(n, n->io_tiles[k], PORT_IO(z),
				   clock_on_pad(n, 2 * k + z, sig_pad(n, 2 * k + z, PAD_DIN0)));
			source_set(n, n->io_tiles[k], PORT_IO(z) + 1,
				   sig_pad(n, 2 * k + z, PAD_DIN1));
		}
	for (unsigned k = 0; k < n->n_ram; k++)
		for (unsigned half = 0; half < 2; half++)
			for (unsigned b = 0; b < 16; b++)
				source_set(n, n->ram_tiles[k] + half, PORT_RAM_RDATA + b,
					   n->ram_base + 16 * k + b);
	for (unsigned i = 0; i < db->count[DB_GBUFIN]; i++) {
		const uint8_t *g = db->sec[DB_GBUFIN] + 4 * i;
		unsigned tile = chipdb_tile(db, g[0], g[1]);
		int32_t net = chipdb_port(db, tile, PORT_GLOBAL(g[2]));
		int32_t from = chipdb_port(db, tile, PORT_FABOUT);

		if (net >= 0 && from >= 0 && n->driver[net] < 0)
			n->driver[net] = from;
	}
	for (unsigned i = 0; i < db->count[DB_EXTRA]; i++) {
		const uint8_t *e = db->sec[DB_EXTRA] + 8 * i;

		if (!cram_bit(n->config, e[1], db16(e + 4), db16(e + 2)))
			continue;
		for (unsigned k = 0; k < db->count[DB_GBUFPIN]; k++) {
			const uint8_t *g = db->sec[DB_GBUFPIN] + 4 * k;
			unsigned tile = chipdb_tile(db, g[0], g[1]);
			int32_t net = chipdb_port(db, tile, PORT_GLOBAL(g[3]));

			if (g[3] != e[0] || net < 0)
				continue;
			unsigned pad = 2u * n->cell_index[tile] + g[2];

			n->driver[net] = -1;
			n->source[net] = (int32_t)clock_on_pad(n, pad, sig_pad(n, pad, PAD_LEVEL));
		}
	}
}

/* The input latches, and what stands beside the fabric and is not modelled. */
static int check_cells(struct netlist *n, struct reason *why)
{
	const struct chipdb *db = n->db;

	for (unsigned i = 0; i < db->count[DB_LATCHES]; i++) {
		const uint8_t *l = db->sec[DB_LATCHES] + 4 * i;
		int32_t fabout = chipdb_port(db, chipdb_tile(db, l[0], l[1]), PORT_FABOUT);

		if (fabout >= 0 && n->driver[fabout] >= 0)
			n->latched |= 1u << (l[0] == 0 ? 0 : l[0] == db->width - 1 ? 1 :
					     l[1] == 0 ? 2 : 3);
	}
	for (unsigned i = 0; i < db->count[DB_CELLS]; i++) {
		struct chipdb_cell cell = chipdb_cell(db, i);

		if (strcmp(cell.kind, "WARMBOOT") != 0)
			continue;
		for (unsigned k = 0; k < cell.entries; k++) {
			struct chipdb_entry e = chipdb_entry(db, &cell, k);

			if (e.kind == ENTRY_NET && n->driver[e.value] >= 0)
				return reason_set(why, EOPNOTSUPP,
						  "the image uses warm boot (fed from tile %u,%u), "
						  "which the simulated card does not have", e.x, e.y);
		}
	}
	return 0;
}

int netlist_init(struct netlist *n, const struct config *c, bool tolerant, struct reason *why)
{
	const struct chipdb *db = c->db;
	int err;

	memset(n, 0, sizeof(*n));
	n->db = db;
	n->config = c;
	n->tolerant = tolerant;
	n->tiles = malloc(db->count[DB_TILES] * sizeof(*n->tiles));
	n->driver = malloc(db->nets * sizeof(*n->driver));
	n->source = malloc(db->nets * sizeof(*n->source));
	if (!n->tiles || !n->driver || !n->source)
		return reason_set(why, ENOMEM, "no memory for the netlist");
	memset(n->driver, 0xff, db->nets * sizeof(*n->driver));
	memset(n->source, 0xff, db->nets * sizeof(*n->source));
	err = number_tiles(n, why);
	if (err != 0)
		return err;
	tiles_extract(c, n->tiles);
	err = read_switches(n, why);
	if (err != 0)
		return err;
	err = clocks_read(n, why);
	if (err != 0)
		return err;
	read_sources(n);
	err = blocks_open(n, why);
	if (err != 0)
		return err;
	clocks_drive(n);
	if (!tolerant) {
		err = check_cells(n, why);
		if (err != 0)
			return err;
	}
	return clocks_connect(n, why);
}

void netlist_fini(struct netlist *n)
{
	free(n->tiles);
	free(n->driver);
	free(n->source);
	free(n->cell_index);
	free(n->logic_tiles);
	free(n->io_tiles);
	free(n->ram_tiles);
	free(n->macs);
	free(n->sprams);
	memset(n, 0, sizeof(*n));
}

uint32_t netlist_port(struct netlist *n, unsigned tile, unsigned port, uint32_t missing)
{
	int32_t net = chipdb_port(n->db, tile, port);

	return net < 0 ? missing : netlist_net(n, (uint32_t)net, missing);
}

uint32_t netlist_net(struct netlist *n, uint32_t first, uint32_t missing)
{
	int32_t net = (int32_t)first, root = net;
	unsigned hops = 0;

	while (n->driver[root] >= 0) {
		if (++hops > MAX_HOPS) {
			n->undriven++;
			return missing;
		}
		root = n->driver[root];
	}
	/* shorten the way for the next one */
	while (n->driver[net] >= 0) {
		int32_t up = n->driver[net];

		n->driver[net] = root;
		net = up;
	}
	if (n->source[root] < 0) {
		if (hops > 0)
			n->undriven++;
		return missing;
	}
	return (uint32_t)n->source[root];
}
