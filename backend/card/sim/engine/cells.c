// SPDX-License-Identifier: Apache-2.0
/*
 * What the cells of an iCE40 compute, read from the bits of their tile. Sources:
 * Project IceStorm's documentation of the logic, IO and RAM tile, and the
 * simulation models of SB_IO and SB_RAM40_4K that yosys ships (cells_sim.v).
 */
#include "engine.h"

#include <errno.h>

/* Bits of a logic cell: 20 in two rows of ten from column 36 on. */
static bool lc_bit(const struct tile *t, unsigned i, unsigned k)
{
	return tile_bit(t, 2 * i + (k >= 10), 36 + k % 10);
}

enum { LC_BIT_CARRY = 8, LC_BIT_DFF = 9, LC_BIT_SET = 18, LC_BIT_ASYNC = 19 };

static uint16_t lc_table(const struct tile *t, unsigned i)
{
	static const uint8_t order[16] = {
		4, 14, 15, 5, 6, 16, 17, 7, 3, 13, 12, 2, 1, 11, 10, 0,
	};
	unsigned table = 0;

	for (unsigned k = 0; k < 16; k++)
		table |= (unsigned)lc_bit(t, i, order[k]) << k;
	return (uint16_t)table;
}

static int logic_get(struct netlist *n, unsigned lc, unsigned what, struct cell *out)
{
	unsigned tile = n->logic_tiles[lc / 8], i = lc % 8;
	const struct tile *t = &n->tiles[tile];

	switch (what) {
	case LC_LUT:
		out->kind = CELL_LUT;
		out->table = lc_table(t, i);
		for (unsigned k = 0; k < 4; k++)
			out->in[k] = netlist_port(n, tile, PORT_LC(i) + k, 0);
		break;
	case LC_CARRY:
		out->kind = CELL_LUT;
		out->carry = true;
		if (!lc_bit(t, i, LC_BIT_CARRY))
			break; /* an empty table: constant 0 */
		out->table = LUT_CARRY;
		out->in[0] = netlist_port(n, tile, PORT_LC(i) + 1, 0);
		out->in[1] = netlist_port(n, tile, PORT_LC(i) + 2, 0);
		out->in[2] = i != 0 ? sig_lc(lc - 1, LC_CARRY) :
				      netlist_port(n, tile, PORT_CARRY_IN_MUX, 0);
		break;
	case LC_DFF:
		out->kind = CELL_DFF;
		out->in[0] = sig_lc(lc, LC_LUT);
		out->clk = netlist_port(n, tile, PORT_CLK, 0);
		out->cen = netlist_port(n, tile, PORT_CEN, 1);
		out->sr = netlist_port(n, tile, PORT_SR, 0);
		out->negedge = tile_bit(t, 0, 0);
		out->set = lc_bit(t, i, LC_BIT_SET);
		out->async = lc_bit(t, i, LC_BIT_ASYNC);
		break;
	}
	return 0;
}

/* ---- IO ---- */

/* PIN_TYPE as SB_IO has it, bit 0 first. */
static unsigned pin_type(const struct netlist *n, unsigned pad)
{
	static const uint8_t at[2][6][2] = {
		{ { 3, 17 }, { 3, 16 }, { 0, 17 }, { 0, 16 }, { 4, 16 }, { 4, 17 } },
		{ { 13, 17 }, { 13, 16 }, { 10, 17 }, { 10, 16 }, { 14, 16 }, { 14, 17 } },
	};
	const struct tile *t = &n->tiles[n->io_tiles[pad / 2]];
	unsigned type = 0;

	for (unsigned k = 0; k < 6; k++)
		type |= (unsigned)tile_bit(t, at[pad % 2][k][0], at[pad % 2][k][1]) << k;
	return type;
}

static int io_refuse(const struct netlist *n, unsigned pad, const char *what, struct reason *why)
{
	unsigned tile = n->io_tiles[pad / 2];

	return reason_set(why, EOPNOTSUPP,
			  "the image uses %s at pad %u of IO tile %u,%u, which the simulated card "
			  "does not have", what, pad % 2, tile / n->db->height,
			  tile % n->db->height);
}

/* Are the input latches of this pad's side of the chip ever closed? */
static bool pad_latched(const struct netlist *n, unsigned pad)
{
	unsigned tile = n->io_tiles[pad / 2];
	unsigned x = tile / n->db->height, y = tile % n->db->height;

	return n->latched >> (x == 0 ? 0 : x == n->db->width - 1 ? 1 : y == 0 ? 2 : 3) & 1;
}

bool pad_has_output(const struct netlist *n, unsigned pad)
{
	return (pin_type(n, pad) >> 4 & 3) != 0;
}

bool pad_is_output(const struct netlist *n, unsigned pad)
{
	int k = rgb_of_pad(n, pad);

	return pad_has_output(n, pad) || (k >= 0 && n->rgb[k].driver);
}

bool pad_is_plain(const struct netlist *n, unsigned pad)
{
	unsigned type = pin_type(n, pad);

	return type & 1 && !(type & 2 && pad_latched(n, pad));
}

/* REN, low to pull up, is in the tile and place that the database says; on an UP5K other bits
 * choose how strongly. */
bool pad_is_pulled(const struct netlist *n, unsigned pad)
{
	static const uint8_t at[2][2] = { { 6, 2 }, { 1, 3 } };
	const struct chipdb *db = n->db;
	unsigned tile = n->io_tiles[pad / 2];

	for (unsigned i = 0; i < db->count[DB_IEREN]; i++) {
		const uint8_t *e = db->sec[DB_IEREN] + 8 * i;

		if (chipdb_tile(db, e[0], e[1]) == tile && e[2] == pad % 2)
			return !tile_bit(&n->tiles[chipdb_tile(db, e[3], e[4])], at[e[5]][0],
					 at[e[5]][1]);
	}
	return false;
}

uint32_t pad_enable(struct netlist *n, unsigned pad)
{
	int k = rgb_of_pad(n, pad);

	return k < 0 ? pad_output_enable(n, pad) : n->rgb_base + (unsigned)k;
}

uint32_t pad_output_enable(struct netlist *n, unsigned pad)
{
	switch (pin_type(n, pad) >> 4 & 3) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 2:
		return netlist_port(n, n->io_tiles[pad / 2], PORT_IO(pad % 2) + 4, 1);
	}
	return sig_pad(n, pad, PAD_OE);
}

static void lut1(struct cell *out, uint32_t in, uint16_t table)
{
	out->kind = CELL_LUT;
	out->in[0] = in;
	out->table = table;
}

static void io_dff(struct netlist *n, unsigned pad, bool input, bool negedge, uint32_t d,
		   struct cell *out)
{
	unsigned tile = n->io_tiles[pad / 2];
	const struct tile *t = &n->tiles[tile];

	out->kind = CELL_DFF;
	out->in[0] = d;
	out->clk = netlist_port(n, tile, input ? PORT_IO_INCLK : PORT_IO_OUTCLK, 0);
	out->cen = netlist_port(n, tile, PORT_IO_CEN, 1);
	out->sr = 0;
	/* NegClk is two bits; tools set both or none */
	out->negedge = negedge != (tile_bit(t, 9, 13) || tile_bit(t, 15, 13));
	/* The registers of the second edge are enabled by what the first one saw. */
	if (negedge && out->cen != 1)
		out->cen = sig_pad(n, pad, input ? PAD_CEN_IN : PAD_CEN_OUT);
}

/* What the output driver is given. */
static void pad_out(struct netlist *n, unsigned pad, struct cell *out)
{
	unsigned tile = n->io_tiles[pad / 2];

	switch (pin_type(n, pad) >> 2 & 3) {
	case 2:
		lut1(out, netlist_port(n, tile, PORT_IO(pad % 2) + 2, 0), 0xaaaa);
		return;
	case 1:
		lut1(out, sig_pad(n, pad, PAD_DOUT0), 0xaaaa);
		return;
	case 3:
		lut1(out, sig_pad(n, pad, PAD_DOUT0), 0x5555);
		return;
	}
	/* double data rate: while the clock is high what was registered at its rise */
	out->kind = CELL_LUT;
	out->in[0] = sig_pad(n, pad, PAD_DOUT0);
	out->in[1] = sig_pad(n, pad, PAD_DOUT1);
	out->in[2] = netlist_port(n, tile, PORT_IO_OUTCLK, 0);
	out->table = tile_bit(&n->tiles[tile], 9, 13) ? 0xcaca : 0xacac;
}

static int pad_get(struct netlist *n, unsigned pad, enum pad_signal what, struct cell *out,
		   struct reason *why)
{
	unsigned tile = n->io_tiles[pad / 2], type = pin_type(n, pad);
	uint32_t ext = sig_pad(n, pad, PAD_EXT), level = sig_pad(n, pad, PAD_LEVEL);

	if (tile_bit(&n->tiles[tile], 8, 2))
		return io_refuse(n, pad, "an LVDS input", why);
	if (tile_bit(&n->tiles[tile], 11, 3))
		return io_refuse(n, pad, "iCEGate", why);
	switch (what) {
	case PAD_LEVEL:
		if (!pad_is_output(n, pad)) {
			lut1(out, ext, 0xaaaa);
			return 0;
		}
		out->kind = CELL_LUT;
		out->in[0] = rgb_of_pad(n, pad) < 0 ? sig_pad(n, pad, PAD_OUT) : 0;
		out->in[1] = ext;
		out->in[2] = pad_enable(n, pad);
		out->table = 0xacac; /* enabled: OUT, else what the board drives */
		return 0;
	case PAD_EXT:
		out->kind = CELL_EXT;
		out->unit = pad;
		return 0;
	case PAD_DIN0:
		if (type & 2 && pad_latched(n, pad))
			return io_refuse(n, pad, "a latched input", why);
		if (type & 1)
			lut1(out, level, 0xaaaa);
		else
			io_dff(n, pad, true, false, level, out);
		return 0;
	case PAD_DIN1:
		io_dff(n, pad, true, true, level, out);
		return 0;
	case PAD_DOUT0:
		io_dff(n, pad, false, false, netlist_port(n, tile, PORT_IO(pad % 2) + 2, 0), out);
		return 0;
	case PAD_DOUT1:
		io_dff(n, pad, false, true, netlist_port(n, tile, PORT_IO(pad % 2) + 3, 0), out);
		return 0;
	case PAD_OE:
		io_dff(n, pad, false, false, netlist_port(n, tile, PORT_IO(pad % 2) + 4, 1), out);
		return 0;
	case PAD_OUT:
		pad_out(n, pad, out);
		return 0;
	case PAD_CEN_IN:
	case PAD_CEN_OUT:
		io_dff(n, pad, what == PAD_CEN_IN, false, netlist_port(n, tile, PORT_IO_CEN, 1), out);
		out->cen = 1;
		return 0;
	case PAD_SIGNALS:
		break;
	}
	return 0;
}

int cell_get(struct netlist *n, uint32_t sig, struct cell *out, struct reason *why)
{
	memset(out, 0, sizeof(*out));
	out->cen = 1;
	if (sig < n->pad_base)
		return logic_get(n, (sig - SIG_LC) / 3, (sig - SIG_LC) % 3, out);
	if (sig < n->ram_base)
		return pad_get(n, (sig - n->pad_base) / PAD_SIGNALS,
			       (sig - n->pad_base) % PAD_SIGNALS, out, why);
	if (sig >= n->rgb_base) {
		rgb_get(n, sig - n->rgb_base, out);
		return 0;
	}
	if (sig >= n->spram_base) {
		out->kind = CELL_SPRAM;
		out->unit = (sig - n->spram_base) / 16;
		return 0;
	}
	if (sig >= n->mac_base)
		return mac16_get(n, (sig - n->mac_base) / MAC_SIGNALS,
				 (sig - n->mac_base) % MAC_SIGNALS, out, why);
	if (sig >= n->block_base)
		return block_refuse(n, sig - n->block_base, why);
	if (sig >= n->clock_base) {
		out->kind = CELL_CLOCK;
		out->unit = sig - n->clock_base;
		return 0;
	}
	out->kind = CELL_RAM;
	out->unit = (sig - n->ram_base) / 16;
	return 0;
}

/* ---- block RAM ---- */

/* Ports lie in the lower or the upper tile, differently from part to part. */
static uint32_t ram_port(struct netlist *n, unsigned tile, unsigned port, uint32_t missing)
{
	if (chipdb_port(n->db, tile, port) >= 0)
		return netlist_port(n, tile, port, missing);
	return netlist_port(n, tile + 1, port, missing);
}

int ram_get(struct netlist *n, unsigned ram, struct ram_cell *out, struct reason *why)
{
	unsigned tile = n->ram_tiles[ram];
	const struct tile *b = &n->tiles[tile], *t = &n->tiles[tile + 1];
	bool lower_neg = tile_bit(b, 0, 0), upper_neg = tile_bit(t, 0, 0);

	out->x = tile / n->db->height;
	out->y = tile % n->db->height;
	if (tile_bit(t, 5, 7) || tile_bit(t, 4, 7) || tile_bit(t, 7, 7) || tile_bit(t, 6, 7))
		return reason_set(why, EOPNOTSUPP,
				  "the image cascades the block RAM of tile %u,%u, which the "
				  "simulated card cannot", out->x, out->y);
	if (tile_bit(b, 1, 7) == n->db->powerup_low)
		return reason_set(why, EOPNOTSUPP,
				  "the image reads the block RAM of tile %u,%u, which it has "
				  "switched off", out->x, out->y);
	out->write_mode = tile_bit(t, 1, 7) | (unsigned)tile_bit(t, 0, 7) << 1;
	out->read_mode = tile_bit(t, 3, 7) | (unsigned)tile_bit(t, 2, 7) << 1;
	out->write_neg = n->db->ramb_writes ? lower_neg : upper_neg;
	out->read_neg = n->db->ramb_writes ? upper_neg : lower_neg;
	for (unsigned i = 0; i < 11; i++) {
		out->raddr[i] = ram_port(n, tile, PORT_RAM_RADDR + i, 0);
		out->waddr[i] = ram_port(n, tile, PORT_RAM_WADDR + i, 0);
	}
	for (unsigned i = 0; i < 16; i++) {
		out->mask[i] = ram_port(n, tile, PORT_RAM_MASK + i, 0);
		out->wdata[i] = ram_port(n, tile, PORT_RAM_WDATA + i, 0);
	}
	out->rclk = ram_port(n, tile, PORT_RAM_RCLK, 0);
	out->rclke = ram_port(n, tile, PORT_RAM_RCLKE, 1);
	out->re = ram_port(n, tile, PORT_RAM_RE, 0);
	out->wclk = ram_port(n, tile, PORT_RAM_WCLK, 0);
	out->wclke = ram_port(n, tile, PORT_RAM_WCLKE, 1);
	out->we = ram_port(n, tile, PORT_RAM_WE, 0);
	return 0;
}
