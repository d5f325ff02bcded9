// SPDX-License-Identifier: Apache-2.0
/*
 * The hard blocks at the sides of an UltraPlus: multipliers (mac16.c), single-port RAM
 * (spram.c), LED driver (rgb.c) and its PWM, I2C, SPI; for its oscillators see clocks.c.
 * What is not modelled is refused by name where the design depends on it: an output that
 * something looks at, or a bit that switches the block on. Routes that lead to a block and
 * come from none do no harm. Names of blocks and of their signals are those of Project
 * IceStorm.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

/* Outputs into the fabric, by the beginning of their name. */
static const struct {
	const char *kind, *prefix;
} outputs[] = {
	{ "LEDDA_IP", "PWMOUT" }, { "LEDDA_IP", "LEDDON" },
	{ "I2C", "SBDATO" }, { "I2C", "SBACKO" }, { "I2C", "I2C" }, { "I2C", "SCLO" },
	{ "I2C", "SDAO" },
	{ "SPI", "SBDATO" }, { "SPI", "SBACKO" }, { "SPI", "SPI" }, { "SPI", "MO" },
	{ "SPI", "MCSNO" }, { "SPI", "SCKO" }, { "SPI", "SO" },
};

/* What switches a block on that the fabric sees nothing else of: bits that are
 * set, inputs that something drives. */
static const struct {
	const char *kind, *prefix;
	enum chipdb_entry_kind entry;
} switches[] = {
	{ "I2C", "I2C_ENABLE_", ENTRY_BIT }, { "SPI", "SPI_ENABLE_", ENTRY_BIT },
	{ "IO_I3C", "PU_ENB", ENTRY_NET }, { "IO_I3C", "WEAK_PU_ENB", ENTRY_NET },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int refuse(const struct chipdb_cell *cell, const struct chipdb_entry *e, struct reason *why)
{
	return reason_set(why, EOPNOTSUPP,
			  "the image uses %s (%s at tile %u,%u), which the simulated card does not "
			  "have", cell->kind, e->name, e->x, e->y);
}

static void mark_outputs(struct netlist *n, const struct chipdb_cell *cell)
{
	for (unsigned i = 0; i < cell->entries; i++) {
		struct chipdb_entry e = chipdb_entry(n->db, cell, i);

		for (size_t k = 0; e.kind == ENTRY_NET && k < COUNT(outputs); k++)
			if (!strcmp(cell->kind, outputs[k].kind) && begins(e.name, outputs[k].prefix))
				n->source[e.value] = (int32_t)(n->block_base + cell->first + i);
	}
}

static bool is_on(const struct netlist *n, const struct chipdb_entry *e)
{
	if (e->kind == ENTRY_NET)
		return n->driver[e->value] >= 0;
	return e->kind == ENTRY_BIT && tile_bit(&n->tiles[chipdb_tile(n->db, e->x, e->y)],
						 e->value >> 8, e->value & 255);
}

static int check_switches(const struct netlist *n, const struct chipdb_cell *cell,
			  struct reason *why)
{
	for (unsigned i = 0; i < cell->entries; i++) {
		struct chipdb_entry e = chipdb_entry(n->db, cell, i);

		for (size_t k = 0; k < COUNT(switches); k++)
			if (e.kind == switches[k].entry && !strcmp(cell->kind, switches[k].kind) &&
			    begins(e.name, switches[k].prefix) && is_on(n, &e))
				return refuse(cell, &e, why);
	}
	return 0;
}

int blocks_number(struct netlist *n, struct reason *why)
{
	for (unsigned i = 0; i < n->db->count[DB_CELLS]; i++) {
		n->n_macs += !strcmp(chipdb_cell(n->db, i).kind, "MAC16");
		n->n_sprams += !strcmp(chipdb_cell(n->db, i).kind, "SPRAM");
	}
	if (n->n_sprams > SPRAM_MAX)
		return reason_set(why, EBADMSG, "fabric database: more than %d single-port RAMs",
				  SPRAM_MAX);
	n->macs = calloc(n->n_macs + 1, sizeof(*n->macs));
	n->sprams = calloc(n->n_sprams + 1, sizeof(*n->sprams));
	if (!n->macs || !n->sprams)
		return reason_set(why, ENOMEM, "no memory for the hard blocks");
	n->mac_base = n->block_base + n->db->count[DB_ENTRIES];
	n->spram_base = n->mac_base + MAC_SIGNALS * n->n_macs;
	n->rgb_base = n->spram_base + 16 * n->n_sprams;
	n->signals = n->rgb_base + 2 * RGB_PADS;
	for (unsigned k = 0; k < RGB_PADS; k++)
		n->rgb[k].pad = -1;
	return 0;
}

int blocks_open(struct netlist *n, struct reason *why)
{
	unsigned mac = 0, spram = 0;

	for (unsigned i = 0; i < n->db->count[DB_CELLS]; i++) {
		struct chipdb_cell cell = chipdb_cell(n->db, i);
		int err = n->tolerant ? 0 : check_switches(n, &cell, why);

		if (err != 0)
			return err;
		mark_outputs(n, &cell);
		if (!strcmp(cell.kind, "MAC16"))
			mac16_open(n, mac++, &cell);
		if (!strcmp(cell.kind, "SPRAM"))
			spram_open(n, spram++, &cell);
		if (!strcmp(cell.kind, "RGBA_DRV"))
			rgb_open(n, &cell);
	}
	return 0;
}

int block_refuse(const struct netlist *n, unsigned entry, struct reason *why)
{
	struct chipdb_cell cell = { .kind = "a block" };
	struct chipdb_entry e;

	for (unsigned i = 0; i < n->db->count[DB_CELLS]; i++) {
		cell = chipdb_cell(n->db, i);
		if (entry >= cell.first && entry - cell.first < cell.entries)
			break;
	}
	e = chipdb_entry(n->db, &cell, entry - cell.first);
	return refuse(&cell, &e, why);
}
