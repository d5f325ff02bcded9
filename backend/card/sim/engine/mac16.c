// SPDX-License-Identifier: Apache-2.0
/*
 * The multipliers of an UltraPlus (SB_MAC16) as the look-up tables and registers
 * that they could be made of: four products of 8 bits by rows of full adders,
 * the two adders that make them one product of 16 bits, and the two halves of
 * the accumulator. So nothing else in the simulator knows that there are
 * multipliers, paths through one half of it are not loops through the other,
 * and constant operands fold away.
 *
 * Letters are those of Lattice's block diagram (iCE40 Technology Library, and
 * technical note TN1295); behaviour is that of the model of SB_MAC16 that yosys
 * ships (cells_sim.v), with which the tests compare it. What is not known is
 * which neighbour the accumulate carry and the sign of a cascade come from:
 * Project IceStorm has not found these connections, and place and route does
 * not make them.
 */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- names in the chip database ---- */

static const char *const input_names[MAC_INPUTS] = {
	[MAC_IN_CLK] = "CLK",           [MAC_IN_CE] = "CE",
	[MAC_IN_AHOLD] = "AHOLD",       [MAC_IN_BHOLD] = "BHOLD",
	[MAC_IN_CHOLD] = "CHOLD",       [MAC_IN_DHOLD] = "DHOLD",
	[MAC_IN_OHOLDTOP] = "OHOLDTOP", [MAC_IN_OHOLDBOT] = "OHOLDBOT",
	[MAC_IN_IRSTTOP] = "IRSTTOP",   [MAC_IN_IRSTBOT] = "IRSTBOT",
	[MAC_IN_ORSTTOP] = "ORSTTOP",   [MAC_IN_ORSTBOT] = "ORSTBOT",
	[MAC_IN_OLOADTOP] = "OLOADTOP", [MAC_IN_OLOADBOT] = "OLOADBOT",
	[MAC_IN_ADDSUBTOP] = "ADDSUBTOP", [MAC_IN_ADDSUBBOT] = "ADDSUBBOT",
	[MAC_IN_CI] = "CI",
};

/* Fields of the configuration: name, bits. */
enum mac_field {
	C_REG, A_REG, B_REG, D_REG, TOP_8x8_MULT_REG, BOT_8x8_MULT_REG,
	PIPELINE_16x16_MULT_REG1, PIPELINE_16x16_MULT_REG2,
	TOPOUTPUT_SELECT, TOPADDSUB_LOWERINPUT, TOPADDSUB_UPPERINPUT, TOPADDSUB_CARRYSELECT,
	BOTOUTPUT_SELECT, BOTADDSUB_LOWERINPUT, BOTADDSUB_UPPERINPUT, BOTADDSUB_CARRYSELECT,
	MODE_8x8, A_SIGNED, B_SIGNED,
	MAC_FIELDS_USED
};

_Static_assert(MAC_FIELDS_USED == MAC_FIELDS, "engine.h counts the fields");

static const char *const field_names[MAC_FIELDS] = {
	[C_REG] = "C_REG", [A_REG] = "A_REG", [B_REG] = "B_REG", [D_REG] = "D_REG",
	[TOP_8x8_MULT_REG] = "TOP_8x8_MULT_REG", [BOT_8x8_MULT_REG] = "BOT_8x8_MULT_REG",
	[PIPELINE_16x16_MULT_REG1] = "PIPELINE_16x16_MULT_REG1",
	[PIPELINE_16x16_MULT_REG2] = "PIPELINE_16x16_MULT_REG2",
	[TOPOUTPUT_SELECT] = "TOPOUTPUT_SELECT",
	[TOPADDSUB_LOWERINPUT] = "TOPADDSUB_LOWERINPUT",
	[TOPADDSUB_UPPERINPUT] = "TOPADDSUB_UPPERINPUT",
	[TOPADDSUB_CARRYSELECT] = "TOPADDSUB_CARRYSELECT",
	[BOTOUTPUT_SELECT] = "BOTOUTPUT_SELECT",
	[BOTADDSUB_LOWERINPUT] = "BOTADDSUB_LOWERINPUT",
	[BOTADDSUB_UPPERINPUT] = "BOTADDSUB_UPPERINPUT",
	[BOTADDSUB_CARRYSELECT] = "BOTADDSUB_CARRYSELECT",
	[MODE_8x8] = "MODE_8x8", [A_SIGNED] = "A_SIGNED", [B_SIGNED] = "B_SIGNED",
};

/* What the adders may be given, in the order of the codes. */
enum { LOWER_OPERAND, LOWER_8x8, LOWER_16x16, LOWER_SIGN };
enum { CARRY_0, CARRY_1, CARRY_CASCADE, CARRY_IN };
enum { OUTPUT_ADDER, OUTPUT_REGISTER, OUTPUT_8x8, OUTPUT_16x16 };

/* ---- signals of one multiplier ---- */

#define ROWS    8  /* of full adders in a product of 8 bits */
#define PRODUCT (2 * 16 * ROWS)

enum {
	S_A = 0, S_B = 16, S_C = 32, S_D = 48,     /* registers */
	S_F = 64, S_J = 80, S_K = 96, S_G = 112,
	S_H = 128, S_Q = 160, S_S = 176,
	S_ENABLE = 192,                            /* clock enables with their hold */
	S_PRODUCT = 198,                           /* F, J, K, G: sums and carries */
	S_CROSS = S_PRODUCT + 4 * PRODUCT,         /* J + K: 24 sums, 24 carries */
	S_L = S_CROSS + 48,                        /* all of it above the lowest byte */
	S_TOP = S_L + 48, S_BOT = S_TOP + 32,      /* accumulators: 16 sums, 16 carries */
	S_P = S_BOT + 32, S_R = S_P + 16,          /* what the output registers are given */
	S_HCI = S_R + 16,                          /* carry into the upper accumulator */
	S_CO, S_O,
	S_COUNT = S_O + 32
};

_Static_assert(S_COUNT == MAC_SIGNALS, "engine.h has the number of signals");

enum product { PRODUCT_F, PRODUCT_J, PRODUCT_K, PRODUCT_G };

/* Truth tables as expressions of the inputs. */
#define IN0 0xaaaau
#define IN1 0xccccu
#define IN2 0xf0f0u
#define IN3 0xff00u
#define MAJORITY(a, b, c) (((a) & (b)) | ((a) & (c)) | ((b) & (c)))

struct mac_get {
	struct netlist *n;
	const struct mac16 *m;
	uint32_t first; /* signal of this multiplier */
	struct cell *out;
};

static uint32_t net_signal(const struct mac_get *g, int32_t net, uint32_t missing)
{
	return net < 0 ? missing : netlist_net(g->n, (uint32_t)net, missing);
}

static uint32_t input(const struct mac_get *g, enum mac_input what, uint32_t missing)
{
	return net_signal(g, g->m->input[what], missing);
}

static unsigned field(const struct mac_get *g, enum mac_field f)
{
	return g->m->field[f];
}

/* Operands as the rest sees them: the port, or its register. */
static uint32_t operand(const struct mac_get *g, unsigned which, unsigned bit)
{
	static const enum mac_field reg[4] = { A_REG, B_REG, C_REG, D_REG };

	if (field(g, reg[which]))
		return g->first + S_A + 16 * which + bit;
	return net_signal(g, g->m->operand[which][bit], 0);
}

enum { A, B, C, D };

static void lut(const struct mac_get *g, uint32_t a, uint32_t b, uint32_t c, uint32_t d,
		unsigned table)
{
	g->out->kind = CELL_LUT;
	g->out->carry = true; /* not one of the look-up tables that the chip has */
	g->out->in[0] = a;
	g->out->in[1] = b;
	g->out->in[2] = c;
	g->out->in[3] = d;
	g->out->table = (uint16_t)(table & 0xffff);
}

static void wire(const struct mac_get *g, uint32_t from)
{
	lut(g, from, 0, 0, 0, IN0);
}

static void dff(const struct mac_get *g, uint32_t d, uint32_t cen, enum mac_input reset)
{
	g->out->kind = CELL_DFF;
	g->out->in[0] = d;
	g->out->clk = input(g, MAC_IN_CLK, 0);
	g->out->negedge = g->m->negedge;
	g->out->cen = cen;
	g->out->sr = input(g, reset, 0);
	g->out->async = true;
}

static uint32_t enable(const struct mac_get *g, unsigned which)
{
	return g->first + S_ENABLE + which;
}

/* ---- products of 8 bits ---- */

/* Which half of an operand, and is its highest bit a sign? A lower half has one only
 * in G, and there only while the halves are apart. */
struct factor {
	unsigned which, low;
	bool is_signed;
};

static void factors(const struct mac_get *g, enum product p, struct factor *x, struct factor *y)
{
	bool low_sign = p == PRODUCT_G && field(g, MODE_8x8);

	*x = (struct factor){ A, 8, field(g, A_SIGNED) };
	*y = (struct factor){ B, 8, field(g, B_SIGNED) };
	if (p == PRODUCT_J || p == PRODUCT_G)
		*x = (struct factor){ A, 0, low_sign && field(g, A_SIGNED) };
	if (p == PRODUCT_K || p == PRODUCT_G)
		*y = (struct factor){ B, 0, low_sign && field(g, B_SIGNED) };
}

static uint32_t factor_bit(const struct mac_get *g, const struct factor *f, unsigned bit)
{
	if (bit > 7)
		return f->is_signed ? operand(g, f->which, f->low + 7) : 0;
	return operand(g, f->which, f->low + bit);
}

static uint32_t product_sum(const struct mac_get *g, enum product p, unsigned row, unsigned bit)
{
	return g->first + S_PRODUCT + p * PRODUCT + 16 * row + bit;
}

/* Bit of a product, before its register. */
static uint32_t product_out(const struct mac_get *g, enum product p, unsigned bit)
{
	return product_sum(g, p, bit < ROWS - 1 ? bit : ROWS - 1, bit);
}

/*
 * Row r adds x, shifted by r, if bit r of y is set. The last row of a signed y
 * subtracts it: its inverse and a carry into the lowest bit.
 */
static void product_get(const struct mac_get *g, unsigned at)
{
	enum product p = at / PRODUCT;
	bool carry = at % PRODUCT >= 16 * ROWS;
	unsigned row = at / 16 % ROWS, bit = at % 16;
	struct factor x, y;
	uint32_t above, in, out;
	bool minus;

	factors(g, p, &x, &y);
	minus = row == ROWS - 1 && y.is_signed;
	if (bit < row || (row == 0 && carry)) {
		lut(g, 0, 0, 0, 0, 0);
		return;
	}
	out = factor_bit(g, &x, bit - row);
	if (row == 0) {
		lut(g, out, factor_bit(g, &y, 0), 0, 0, IN0 & IN1);
		return;
	}
	above = product_sum(g, p, row - 1, bit);
	in = bit == row ? minus : product_sum(g, p, row, bit - 1) + 16 * ROWS;
	if (carry)
		lut(g, out, factor_bit(g, &y, row), above, in,
		    minus ? MAJORITY(~(IN0 & IN1), IN2, IN3) : MAJORITY(IN0 & IN1, IN2, IN3));
	else
		lut(g, out, factor_bit(g, &y, row), above, in,
		    minus ? ~(IN0 & IN1) ^ IN2 ^ IN3 : (IN0 & IN1) ^ IN2 ^ IN3);
}

/* Bit of a product as the adders see it. */
static uint32_t product(const struct mac_get *g, enum product p, unsigned bit)
{
	static const struct {
		enum mac_field reg;
		unsigned at;
	} regs[4] = {
		[PRODUCT_F] = { TOP_8x8_MULT_REG, S_F },
		[PRODUCT_J] = { PIPELINE_16x16_MULT_REG1, S_J },
		[PRODUCT_K] = { PIPELINE_16x16_MULT_REG1, S_K },
		[PRODUCT_G] = { BOT_8x8_MULT_REG, S_G },
	};

	return field(g, regs[p].reg) ? g->first + regs[p].at + bit : product_out(g, p, bit);
}

/* ---- the product of 16 bits ---- */

/* Bit of J or K, extended to 24 bits. */
static uint32_t cross(const struct mac_get *g, enum product p, unsigned bit)
{
	if (bit < 16)
		return product(g, p, bit);
	return field(g, p == PRODUCT_K ? A_SIGNED : B_SIGNED) ? product(g, p, 15) : 0;
}

static void adder(const struct mac_get *g, bool carry, uint32_t a, uint32_t b, uint32_t in)
{
	lut(g, a, b, in, 0, carry ? MAJORITY(IN0, IN1, IN2) : IN0 ^ IN1 ^ IN2);
}

static void cross_get(const struct mac_get *g, unsigned at)
{
	unsigned bit = at % 24;

	adder(g, at >= 24, cross(g, PRODUCT_J, bit), cross(g, PRODUCT_K, bit),
	      bit ? g->first + S_CROSS + 24 + bit - 1 : 0);
}

/* F and the upper byte of G are one number, to which J + K comes. */
static void l_get(const struct mac_get *g, unsigned at)
{
	unsigned bit = at % 24;

	adder(g, at >= 24, bit < 8 ? product(g, PRODUCT_G, 8 + bit) : product(g, PRODUCT_F, bit - 8),
	      g->first + S_CROSS + bit, bit ? g->first + S_L + 24 + bit - 1 : 0);
}

static uint32_t l_out(const struct mac_get *g, unsigned bit)
{
	return bit < 8 ? product(g, PRODUCT_G, bit) : g->first + S_L + bit - 8;
}

static uint32_t h(const struct mac_get *g, unsigned bit)
{
	return field(g, PIPELINE_16x16_MULT_REG2) ? g->first + S_H + bit : l_out(g, bit);
}

/* ---- accumulators ---- */

static int cascade(const struct mac_get *g, const char *what, struct reason *why)
{
	return reason_set(why, EOPNOTSUPP,
			  "the image cascades the MAC16 of tile %u,%u with its neighbour (%s), which "
			  "the simulated card cannot", g->m->x, g->m->y, what);
}

/* Z and X, the lower inputs of the adders. */
static int z_bit(const struct mac_get *g, unsigned bit, uint32_t *sig, struct reason *why)
{
	switch (field(g, BOTADDSUB_LOWERINPUT)) {
	case LOWER_OPERAND:
		*sig = operand(g, B, bit);
		return 0;
	case LOWER_8x8:
		*sig = product(g, PRODUCT_G, bit);
		return 0;
	case LOWER_16x16:
		*sig = h(g, bit);
		return 0;
	}
	return cascade(g, "SIGNEXTIN", why);
}

static int x_bit(const struct mac_get *g, unsigned bit, uint32_t *sig, struct reason *why)
{
	switch (field(g, TOPADDSUB_LOWERINPUT)) {
	case LOWER_OPERAND:
		*sig = operand(g, A, bit);
		return 0;
	case LOWER_8x8:
		*sig = product(g, PRODUCT_F, bit);
		return 0;
	case LOWER_16x16:
		*sig = h(g, 16 + bit);
		return 0;
	}
	return z_bit(g, 15, sig, why);
}

/* Carry into the lowest bit of either half. */
static int carry_in(const struct mac_get *g, bool top, uint32_t *sig, struct reason *why)
{
	switch (field(g, top ? TOPADDSUB_CARRYSELECT : BOTADDSUB_CARRYSELECT)) {
	case CARRY_0:
		*sig = 0;
		return 0;
	case CARRY_1:
		*sig = 1;
		return 0;
	case CARRY_CASCADE:
		if (!top)
			return cascade(g, "ACCUMCI", why);
		*sig = g->first + S_BOT + 31;
		return 0;
	}
	*sig = top ? g->first + S_HCI : input(g, MAC_IN_CI, 0);
	return 0;
}

/* Sums (before they are inverted back for a subtraction) and carries of one half. */
static int half_get(const struct mac_get *g, bool top, unsigned at, struct reason *why)
{
	unsigned bit = at % 16;
	uint32_t base = g->first + (top ? S_TOP : S_BOT), lower, upper;
	uint32_t invert = input(g, top ? MAC_IN_ADDSUBTOP : MAC_IN_ADDSUBBOT, 0);
	uint32_t in = base + 16 + bit - 1;
	int err = top ? x_bit(g, bit, &lower, why) : z_bit(g, bit, &lower, why);

	if (err == 0 && bit == 0)
		err = carry_in(g, top, &in, why);
	if (err != 0)
		return err;
	if (field(g, top ? TOPADDSUB_UPPERINPUT : BOTADDSUB_UPPERINPUT))
		upper = operand(g, top ? C : D, bit);
	else
		upper = g->first + (top ? S_Q : S_S) + bit;
	lut(g, lower, upper, invert, in,
	    at >= 16 ? MAJORITY(IN0, IN1 ^ IN2, IN3) : IN0 ^ IN1 ^ IN2 ^ IN3);
	return 0;
}

/* P and R: the sum, or what is loaded instead of it. */
static void result_get(const struct mac_get *g, bool top, unsigned bit)
{
	lut(g, g->first + (top ? S_TOP : S_BOT) + bit,
	    input(g, top ? MAC_IN_ADDSUBTOP : MAC_IN_ADDSUBBOT, 0), operand(g, top ? C : D, bit),
	    input(g, top ? MAC_IN_OLOADTOP : MAC_IN_OLOADBOT, 0),
	    (IN3 & IN2) | (~IN3 & (IN0 ^ IN1)));
}

static void output_get(const struct mac_get *g, unsigned bit)
{
	bool top = bit >= 16;

	switch (field(g, top ? TOPOUTPUT_SELECT : BOTOUTPUT_SELECT)) {
	case OUTPUT_ADDER:
		wire(g, g->first + (top ? S_P : S_R) + bit % 16);
		return;
	case OUTPUT_REGISTER:
		wire(g, g->first + (top ? S_Q : S_S) + bit % 16);
		return;
	case OUTPUT_8x8:
		wire(g, product(g, top ? PRODUCT_F : PRODUCT_G, bit % 16));
		return;
	}
	wire(g, h(g, bit));
}

/* ---- registers ---- */

static void register_get(const struct mac_get *g, unsigned at)
{
	bool both = field(g, MODE_8x8);
	uint32_t ce = input(g, MAC_IN_CE, 1);
	unsigned bit = at % 16;

	if (at < S_F) {
		unsigned which = at / 16;

		dff(g, net_signal(g, g->m->operand[which][bit], 0), enable(g, which),
		    which == A || which == C ? MAC_IN_IRSTTOP : MAC_IN_IRSTBOT);
	} else if (at < S_H) {
		enum product p = (at - S_F) / 16;

		/* J, K and H have no use while the halves are apart, and stand still then */
		if (both && (p == PRODUCT_J || p == PRODUCT_K))
			wire(g, 0);
		else
			dff(g, product_out(g, p, bit), ce,
			    p == PRODUCT_F || p == PRODUCT_J ? MAC_IN_IRSTTOP : MAC_IN_IRSTBOT);
	} else if (at < S_Q) {
		if (both)
			wire(g, 0);
		else
			dff(g, l_out(g, at - S_H), ce, MAC_IN_IRSTBOT);
	} else if (at < S_S) {
		dff(g, g->first + S_P + bit, enable(g, 4), MAC_IN_ORSTTOP);
	} else {
		dff(g, g->first + S_R + bit, enable(g, 5), MAC_IN_ORSTBOT);
	}
}

int mac16_get(struct netlist *n, unsigned mac, unsigned what, struct cell *out,
	      struct reason *why)
{
	const struct mac_get g = {
		.n = n, .m = &n->macs[mac], .first = sig_mac(n, mac, 0), .out = out,
	};

	if (what < S_ENABLE)
		register_get(&g, what);
	else if (what < S_PRODUCT)
		lut(&g, input(&g, MAC_IN_CE, 1), input(&g, MAC_IN_AHOLD + what - S_ENABLE, 0), 0, 0,
		    IN0 & ~IN1);
	else if (what < S_CROSS)
		product_get(&g, what - S_PRODUCT);
	else if (what < S_L)
		cross_get(&g, what - S_CROSS);
	else if (what < S_TOP)
		l_get(&g, what - S_L);
	else if (what < S_P)
		return half_get(&g, what < S_BOT, (what - S_TOP) % 32, why);
	else if (what < S_HCI)
		result_get(&g, what < S_R, (what - S_P) % 16);
	else if (what == S_HCI)
		lut(&g, g.first + S_BOT + 31, input(&g, MAC_IN_ADDSUBBOT, 0), 0, 0, IN0 ^ IN1);
	else if (what == S_CO)
		lut(&g, g.first + S_TOP + 31, input(&g, MAC_IN_ADDSUBTOP, 0), 0, 0, IN0 ^ IN1);
	else
		output_get(&g, what - S_O);
	return 0;
}

/* ---- from the database ---- */

/* "A_12" into letter and number; false for other names. */
static bool vector_name(const char *name, const char *letters, unsigned *letter, unsigned *bit)
{
	const char *found = strchr(letters, name[0]);

	if (!found || !*found || name[1] != '_' || name[2] < '0' || name[2] > '9')
		return false;
	*letter = (unsigned)(found - letters);
	*bit = (unsigned)strtoul(name + 2, NULL, 10);
	return true;
}

static void input_set(struct mac16 *m, const struct chipdb_entry *e)
{
	unsigned letter, bit;

	if (vector_name(e->name, "ABCD", &letter, &bit)) {
		if (bit < 16)
			m->operand[letter][bit] = (int32_t)e->value;
		return;
	}
	for (unsigned i = 0; i < MAC_INPUTS; i++)
		if (!strcmp(e->name, input_names[i]))
			m->input[i] = (int32_t)e->value;
}

static void field_set(const struct netlist *n, struct mac16 *m, const struct chipdb_entry *e)
{
	const struct tile *t = &n->tiles[chipdb_tile(n->db, e->x, e->y)];

	if (!tile_bit(t, e->value >> 8, e->value & 255))
		return;
	for (unsigned i = 0; i < MAC_FIELDS; i++) {
		size_t len = strlen(field_names[i]);

		if (strncmp(e->name, field_names[i], len) != 0)
			continue;
		if (e->name[len] == '\0' || !strcmp(e->name + len, "_0"))
			m->field[i] |= 1;
		else if (!strcmp(e->name + len, "_1"))
			m->field[i] |= 2;
	}
}

void mac16_open(struct netlist *n, unsigned mac, const struct chipdb_cell *cell)
{
	struct mac16 *m = &n->macs[mac];
	unsigned letter, bit;

	memset(m, 0xff, sizeof(*m)); /* nets: none */
	memset(m->field, 0, sizeof(m->field));
	m->x = cell->x;
	m->y = cell->y;
	/* the third of its four tiles has the clock and its polarity */
	m->negedge = cell->y + 2 < n->db->height &&
		     tile_bit(&n->tiles[chipdb_tile(n->db, cell->x, cell->y + 2)], 0, 0);
	for (unsigned i = 0; i < cell->entries; i++) {
		struct chipdb_entry e = chipdb_entry(n->db, cell, i);

		if (e.kind == ENTRY_BIT)
			field_set(n, m, &e);
		else if (e.kind != ENTRY_NET)
			continue;
		else if (vector_name(e.name, "O", &letter, &bit) && bit < 32)
			n->source[e.value] = (int32_t)sig_mac(n, mac, S_O + bit);
		else if (!strcmp(e.name, "CO"))
			n->source[e.value] = (int32_t)sig_mac(n, mac, S_CO);
		else
			input_set(m, &e);
	}
}
