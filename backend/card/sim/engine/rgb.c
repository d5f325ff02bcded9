// SPDX-License-Identifier: Apache-2.0
/*
 * The three pads of an UltraPlus that can drive a light (RGB0 to RGB2 of the LED
 * driver, SB_RGBA_DRV). They only ever sink: as outputs of the fabric they are
 * open drain, and a 1 releases them; the LED driver makes them low while CURREN,
 * RGBLEDEN and its PWM input are 1, and releases them otherwise. Both may be in use
 * at once (a design that reads its light as a sensor): what either sinks is low. How
 * much current is set has no effect here, except that none at all never lights.
 * Sources: Lattice's LED driver guide (FPGA-TN-02021), Project IceStorm for nets
 * and bits.
 */
#include "engine.h"

#include <stdio.h>

static int32_t entry_net(const struct netlist *n, const struct chipdb_cell *cell, const char *name)
{
	struct chipdb_entry e;

	return chipdb_entry_find(n->db, cell, name, ENTRY_NET, &e) ? (int32_t)e.value : -1;
}

static bool entry_bit(const struct netlist *n, const struct chipdb_cell *cell, const char *name)
{
	struct chipdb_entry e;

	return chipdb_entry_find(n->db, cell, name, ENTRY_BIT, &e) &&
	       tile_bit(&n->tiles[chipdb_tile(n->db, e.x, e.y)], e.value >> 8, e.value & 255);
}

void rgb_open(struct netlist *n, const struct chipdb_cell *cell)
{
	bool enabled = entry_bit(n, cell, "RGBA_DRV_EN");

	for (unsigned k = 0; k < RGB_PADS; k++) {
		struct rgb_pad *p = &n->rgb[k];
		struct chipdb_entry e;
		char name[32];

		snprintf(name, sizeof(name), "RGB%u", k);
		if (!chipdb_entry_find(n->db, cell, name, ENTRY_PAD, &e))
			continue;
		p->pad = 2 * n->cell_index[chipdb_tile(n->db, e.x, e.y)] + (int)e.value;
		for (unsigned bit = 0; enabled && bit < 6; bit++) {
			snprintf(name, sizeof(name), "RGB%u_CURRENT_%u", k, bit);
			p->driver |= entry_bit(n, cell, name);
		}
		snprintf(name, sizeof(name), "RGB%uPWM", k);
		p->on[0] = entry_net(n, cell, "CURREN");
		p->on[1] = entry_net(n, cell, "RGBLEDEN");
		p->on[2] = entry_net(n, cell, name);
	}
}

int rgb_of_pad(const struct netlist *n, unsigned pad)
{
	for (int k = 0; k < RGB_PADS; k++)
		if (n->rgb[k].pad == (int)pad)
			return k;
	return -1;
}

void rgb_get(struct netlist *n, unsigned what, struct cell *out)
{
	unsigned k = what % RGB_PADS;
	const struct rgb_pad *p = &n->rgb[k];

	out->kind = CELL_LUT;
	out->carry = true; /* no look-up table of the fabric */
	if (what < RGB_PADS) {
		out->in[0] = p->driver ? n->rgb_base + RGB_PADS + k : 0;
		out->in[1] = pad_output_enable(n, (unsigned)p->pad);
		out->in[2] = sig_pad(n, (unsigned)p->pad, PAD_OUT);
		out->table = 0xaeae; /* the driver, or an output that is on and not 1 */
		return;
	}
	for (unsigned i = 0; i < 3; i++)
		out->in[i] = p->on[i] < 0 ? 0 : netlist_net(n, (uint32_t)p->on[i], 0);
	out->table = 0x8080; /* all three */
}
