// SPDX-License-Identifier: Apache-2.0
/*
 * Cells that make clocks, PLLs and the oscillators of an UP5K: from their
 * configuration bits to a ratio, and what of them is refused by name. Sources:
 * Project IceStorm (places and names of the bits, chipdb and icebox_vlog), and
 * Lattice's iCE40 sysCLOCK PLL Design and Usage Guide (FPGA-TN-02052): with
 * feedback SIMPLE the oscillator runs at (DIVF + 1) / (DIVR + 1) of the
 * reference, and an output at that divided by 2^DIVQ.
 *
 * An output of a PLL comes in where the signal of a pad would: on the pad's
 * D_IN_0 and its global network. The types PAD take their reference from the pad
 * of output A. What the clocks do in time is in sources.c.
 */
#include "engine.h"

#include <errno.h>
#include <stdio.h>

/* PLLTYPE */
enum { PLL_OFF = 0, PLL_PAD = 2, PLL_CORE = 3, PLL_2_PAD = 4, PLL_2F_PAD = 6, PLL_2F_CORE = 7 };
/* PLLOUT_SELECT */
enum { OUT_GENCLK, OUT_HALF, OUT_SHIFTREG_90, OUT_SHIFTREG_0 };

static bool entry_bit(const struct netlist *n, const struct chipdb_cell *cell, const char *name)
{
	struct chipdb_entry e;

	return chipdb_entry_find(n->db, cell, name, ENTRY_BIT, &e) &&
	       tile_bit(&n->tiles[chipdb_tile(n->db, e.x, e.y)], e.value >> 8, e.value & 255);
}

/* The bits name_0 .. name_(bits - 1) as a number. */
static unsigned entry_value(const struct netlist *n, const struct chipdb_cell *cell,
			    const char *name, unsigned bits)
{
	unsigned value = 0;
	char one[32];

	for (unsigned i = 0; i < bits; i++) {
		snprintf(one, sizeof(one), "%s_%u", name, i);
		value |= (unsigned)entry_bit(n, cell, one) << i;
	}
	return value;
}

/* The number of the pad that this entry names, -1 when the cell has none. */
static int entry_pad(const struct netlist *n, const struct chipdb_cell *cell, const char *name)
{
	struct chipdb_entry e;

	if (!chipdb_entry_find(n->db, cell, name, ENTRY_PAD, &e))
		return -1;
	return 2 * n->cell_index[chipdb_tile(n->db, e.x, e.y)] + (int)e.value;
}

static int32_t entry_net(const struct netlist *n, const struct chipdb_cell *cell, const char *name)
{
	struct chipdb_entry e;

	return chipdb_entry_find(n->db, cell, name, ENTRY_NET, &e) ? (int32_t)e.value : -1;
}

/* The signal on this input, 0 when nothing drives it. */
static uint32_t entry_signal(struct netlist *n, const struct chipdb_cell *cell, const char *name)
{
	int32_t net = entry_net(n, cell, name);

	return net < 0 ? 0 : netlist_net(n, (uint32_t)net, 0);
}

static int refuse(const struct chipdb_cell *cell, const char *what, struct reason *why)
{
	return reason_set(why, EOPNOTSUPP,
			  "the image uses the %s of tile %u,%u with %s, which the simulated card "
			  "does not have", cell->kind, cell->x, cell->y, what);
}

static int pll_feedback(unsigned path, const struct chipdb_cell *cell, struct reason *why)
{
	static const char *const name[8] = {
		[0] = "FEEDBACK_PATH DELAY", [2] = "FEEDBACK_PATH PHASE_AND_DELAY",
		[6] = "FEEDBACK_PATH EXTERNAL",
	};

	if (path == 1)
		return 0;
	return refuse(cell, name[path] ? name[path] : "an unknown FEEDBACK_PATH", why);
}

/* One output: what it divides the PLL's clock by. */
static int pll_output(unsigned select, const struct chipdb_cell *cell, unsigned *divide,
		      struct reason *why)
{
	switch (select) {
	case OUT_GENCLK:
		*divide = 1;
		return 0;
	case OUT_HALF:
		*divide = 2;
		return 0;
	case OUT_SHIFTREG_90:
		return refuse(cell, "PLLOUT_SELECT SHIFTREG_90deg", why);
	}
	return refuse(cell, "PLLOUT_SELECT SHIFTREG_0deg", why);
}

static int pll_read(struct netlist *n, const struct chipdb_cell *cell, struct clock_cell *c,
		    struct reason *why)
{
	unsigned type = entry_value(n, cell, "PLLTYPE", 3);
	unsigned divq = entry_value(n, cell, "DIVQ", 3), divide[2] = { 1, 1 };
	bool pad = type == PLL_PAD || type == PLL_2_PAD || type == PLL_2F_PAD;
	bool two = type == PLL_2F_PAD || type == PLL_2F_CORE || type == PLL_2_PAD;
	char text[48];
	int err;

	if (!pad && type != PLL_CORE && type != PLL_2F_CORE) {
		snprintf(text, sizeof(text), "PLLTYPE %u", type);
		return refuse(cell, text, why);
	}
	err = pll_feedback(entry_value(n, cell, "FEEDBACK_PATH", 3), cell, why);
	/* DIVQ is 1 to 6 (FPGA-TN-02052); 0 and 7 are reserved */
	if (err == 0 && (divq == 0 || divq == 7)) {
		snprintf(text, sizeof(text), "DIVQ %u (1 to 6)", divq);
		err = refuse(cell, text, why);
	}
	/* port A of a 2_PAD is the pad itself */
	if (err == 0 && type != PLL_2_PAD)
		err = pll_output(entry_value(n, cell, "PLLOUT_SELECT_A", 2), cell, &divide[0], why);
	if (err == 0 && two)
		err = pll_output(entry_value(n, cell, "PLLOUT_SELECT_B", 2), cell, &divide[1], why);
	if (err == 0 && entry_bit(n, cell, "TEST_MODE"))
		err = refuse(cell, "TEST_MODE", why);
	if (err == 0 && (entry_bit(n, cell, "ENABLE_ICEGATE_PORTA") ||
			 entry_bit(n, cell, "ENABLE_ICEGATE_PORTB")))
		err = refuse(cell, "ENABLE_ICEGATE", why);
	if (err != 0)
		return err;
	c->num = entry_value(n, cell, "DIVF", 7) + 1;
	c->den = (entry_value(n, cell, "DIVR", 4) + 1) << divq;
	c->pad_ref = pad;
	c->pad[0] = entry_pad(n, cell, "PLLOUT_A");
	c->pad[1] = entry_pad(n, cell, "PLLOUT_B");
	if (c->pad[0] < 0 || c->pad[1] < 0)
		return refuse(cell, "no pads", why);
	c->out[0] = type != PLL_2_PAD;
	c->out[1] = two;
	c->divide[0] = divide[0];
	c->divide[1] = divide[1];
	c->lock_net = entry_net(n, cell, "LOCK");
	return 0;
}

static int oscillator_read(struct netlist *n, const struct chipdb_cell *cell, struct clock_cell *c,
			   struct reason *why)
{
	bool high = !strcmp(cell->kind, "HFOSC");

	/* 48 MHz and what CLKHF_DIV makes of it, or 10 kHz (FPGA-TN-02008) */
	c->hz = high ? 48000000u >> entry_value(n, cell, "CLKHF_DIV", 2) : 10000;
	if (high && entry_bit(n, cell, "TRIM_EN"))
		return refuse(cell, "TRIM_EN", why);
	c->pad[0] = c->pad[1] = -1;
	c->out[0] = true;
	c->divide[0] = c->divide[1] = 1;
	c->lock_net = -1;
	return 0;
}

int clocks_read(struct netlist *n, struct reason *why)
{
	const struct chipdb *db = n->db;

	for (unsigned i = 0; i < db->count[DB_CELLS] && n->n_clocks < CLOCK_CELLS; i++) {
		struct chipdb_cell cell = chipdb_cell(db, i);
		struct clock_cell *c = &n->clocks[n->n_clocks];
		bool pll = !strcmp(cell.kind, "PLL");
		struct reason local;
		int32_t power;
		int err;

		memset(c, 0, sizeof(*c));
		c->cell = i;
		if (pll) {
			if (entry_value(n, &cell, "PLLTYPE", 3) == PLL_OFF)
				continue;
			err = pll_read(n, &cell, c, &local);
		} else if (!strcmp(cell.kind, "HFOSC") || !strcmp(cell.kind, "LFOSC")) {
			/* off while nothing powers it up */
			power = entry_net(n, &cell, cell.kind[0] == 'H' ? "CLKHFPU" : "CLKLFPU");
			if (power < 0 || n->driver[power] < 0)
				continue;
			err = oscillator_read(n, &cell, c, &local);
		} else {
			continue;
		}
		if (err != 0 && n->tolerant)
			continue; /* its pads are pads then */
		if (err != 0)
			return reason_set(why, local.err, "%s", local.text);
		n->n_clocks++;
	}
	return 0;
}

uint32_t clock_on_pad(const struct netlist *n, unsigned pad, uint32_t otherwise)
{
	for (unsigned i = 0; i < n->n_clocks; i++)
		for (unsigned k = 0; k < 2; k++)
			if (n->clocks[i].out[k] && n->clocks[i].pad[k] == (int)pad)
				return sig_clock(n, i, k);
	return otherwise;
}

void clocks_drive(struct netlist *n)
{
	for (unsigned i = 0; i < n->n_clocks; i++) {
		struct chipdb_cell cell = chipdb_cell(n->db, n->clocks[i].cell);
		bool high = !strcmp(cell.kind, "HFOSC");
		int32_t global, fabric;

		if (n->clocks[i].lock_net >= 0)
			n->source[n->clocks[i].lock_net] = (int32_t)sig_clock(n, i, CLOCK_LOCK);
		if (n->clocks[i].hz == 0)
			continue;
		/* Its global network, where the bit that also lets in a pad is set. */
		global = entry_net(n, &cell, high ? "CLKHF" : "CLKLF");
		if (global >= 0 && n->source[global] >= (int32_t)n->pad_base)
			n->source[global] = (int32_t)sig_clock(n, i, 0);
		fabric = entry_net(n, &cell, high ? "CLKHF_FABRIC" : "CLKLF_FABRIC");
		if (fabric >= 0)
			n->source[fabric] = (int32_t)sig_clock(n, i, 0);
	}
}

/* Is this signal the level of a pad that only comes in? Its number, else -1. */
static int pad_of_signal(const struct netlist *n, uint32_t sig)
{
	unsigned what;
	int pad;

	if (sig < n->pad_base || sig >= n->ram_base)
		return -1;
	what = (sig - n->pad_base) % PAD_SIGNALS;
	pad = (int)((sig - n->pad_base) / PAD_SIGNALS);
	if (pad_is_output(n, (unsigned)pad))
		return -1;
	return what == PAD_LEVEL || (what == PAD_DIN0 && pad_is_plain(n, (unsigned)pad)) ? pad : -1;
}

/* The one input that a look-up table hands on as it is, else the table's own signal. */
static uint32_t lut_behind(const struct cell *c, uint32_t sig)
{
	unsigned fixed = 0;
	int through = -1;

	for (unsigned k = 0; k < 4; k++)
		fixed |= (unsigned)(c->in[k] == 1) << k;
	for (unsigned k = 0; k < 4; k++) {
		bool depends = false;

		for (unsigned i = 0; i < 16 && c->in[k] >= 2; i++) {
			unsigned at = i;

			/* constant inputs are what they are */
			for (unsigned m = 0; m < 4; m++)
				if (c->in[m] < 2)
					at = (at & ~(1u << m)) | (fixed & 1u << m);
			depends |= ((unsigned)c->table >> at & 1) !=
				   ((unsigned)c->table >> (at ^ 1u << k) & 1);
		}
		if (depends && through >= 0)
			return sig;
		if (depends)
			through = (int)k;
	}
	if (through < 0 || (c->table >> fixed & 1) || !(c->table >> (fixed | 1u << through) & 1))
		return sig;
	return c->in[through];
}

/* Place and route leads a clock from a global network into a PLL through a table. */
static uint32_t follow_wires(struct netlist *n, uint32_t sig)
{
	for (unsigned hops = 0; hops < 16 && sig >= SIG_LC && sig < n->pad_base; hops++) {
		struct cell c;
		uint32_t behind;

		if (cell_get(n, sig, &c, NULL) != 0 || c.kind != CELL_LUT)
			break;
		behind = lut_behind(&c, sig);
		if (behind == sig)
			break;
		sig = behind;
	}
	return sig;
}

static int reference_find(struct netlist *n, struct clock_cell *c, const struct chipdb_cell *cell,
			  struct reason *why)
{
	uint32_t sig;

	c->ref_pad = c->up = -1;
	if (c->pad_ref) {
		if (pad_is_output(n, (unsigned)c->pad[0]))
			return refuse(cell, "a reference from a pad that the image drives", why);
		c->ref_pad = c->pad[0];
		return 0;
	}
	sig = follow_wires(n, entry_signal(n, cell, "REFERENCECLK"));
	if (sig < 2)
		return 0; /* stands still */
	if (sig >= n->clock_base && sig < n->block_base &&
	    (sig - n->clock_base) % CLOCK_SIGNALS != CLOCK_LOCK) {
		c->up = (int)((sig - n->clock_base) / CLOCK_SIGNALS);
		c->up_output = (sig - n->clock_base) % CLOCK_SIGNALS;
		return 0;
	}
	c->ref_pad = pad_of_signal(n, sig);
	if (c->ref_pad < 0)
		return refuse(cell, "a reference that is made by logic", why);
	return 0;
}

int clocks_connect(struct netlist *n, struct reason *why)
{
	for (unsigned i = 0; i < n->n_clocks; i++) {
		struct clock_cell *c = &n->clocks[i];
		struct chipdb_cell cell = chipdb_cell(n->db, c->cell);
		struct reason local;
		int err;

		c->bypass = entry_signal(n, &cell, "BYPASS");
		if (c->hz != 0) {
			bool high = !strcmp(cell.kind, "HFOSC");

			c->ref_pad = c->up = -1;
			c->enable[0] = entry_signal(n, &cell, high ? "CLKHFPU" : "CLKLFPU");
			c->enable[1] = entry_signal(n, &cell, high ? "CLKHFEN" : "CLKLFEN");
			continue;
		}
		c->enable[0] = entry_signal(n, &cell, "RESETB");
		c->enable[1] = 1;
		err = reference_find(n, c, &cell, &local);
		if (err == 0)
			continue;
		if (!n->tolerant)
			return reason_set(why, local.err, "%s", local.text);
		c->ref_pad = c->up = -1;
	}
	/* Two PLLs that are each other's reference: neither ever runs. */
	for (unsigned i = 0; i < n->n_clocks; i++) {
		struct clock_cell *c = &n->clocks[i];
		unsigned hops = 0;

		for (int up = c->up; up >= 0; up = n->clocks[up].up)
			if (++hops > CLOCK_CELLS) {
				c->up = -1;
				break;
			}
	}
	return 0;
}

int clocks_check_package(const struct netlist *n, const char *package, struct reason *why)
{
	for (unsigned i = 0; i < n->n_clocks; i++) {
		struct chipdb_cell cell = chipdb_cell(n->db, n->clocks[i].cell);

		for (unsigned k = 0; k < cell.entries; k++) {
			struct chipdb_entry e = chipdb_entry(n->db, &cell, k);

			if (e.kind == ENTRY_LOCKED && !strcmp(chipdb_string(n->db, e.value), package))
				return reason_set(why, EOPNOTSUPP,
						  "the image uses the %s of tile %u,%u, which is not "
						  "connected in package %s", cell.kind, cell.x, cell.y,
						  package);
		}
	}
	return 0;
}
