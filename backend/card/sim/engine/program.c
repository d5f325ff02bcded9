// SPDX-License-Identifier: Apache-2.0
/*
 * From cells to a program: a list of LUT4 operations in an order in which one
 * pass evaluates everything.
 *
 * The walk starts at the output pads and goes only where something depends on
 * the answer; registers and RAMs end a path, and their own inputs are walked
 * later from a work list. It is depth first with a stack of its own, since the
 * depth is the longest path of the design (or whatever a hostile image makes of
 * it). An input that the table does not depend on is never walked: place and
 * route packs a carry and an unrelated look-up table into one cell, and walking
 * both would find loops that do not exist.
 *
 * What comes out is folded: constants, wires, inverters and equal inputs cost
 * no operation. Operations are sorted by level, which measured 1.4 to 1.9 times
 * faster than the order of the walk.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_NODES 65535u /* struct op has 16 bits for each */

enum { NODE_NEW = -1, NODE_IN_PROGRESS = -2, NODE_NONE = -1 };

struct new_op {
	uint32_t in[4], out;
	uint16_t table, level;
	bool carry, live;
};

struct new_dff {
	uint32_t sig, q, d, clk, cen, sr;
	bool negedge, set, async;
};

struct new_ram {
	struct ram_cell cell;
	unsigned number;
	uint32_t q; /* the first of 16 */
};

struct new_spram {
	uint32_t port[SPRAM_PORTS];
	unsigned number;
	uint32_t q; /* the first of 16 */
};

/* What a cell that makes clocks looks at. */
struct new_clock {
	uint32_t enable[2], bypass;
};

struct frame {
	uint32_t sig;
	struct cell cell;
	uint32_t node[4];
	unsigned next;
};

struct build {
	struct netlist *n;
	int32_t *node;      /* signal -> node, NODE_NEW, NODE_IN_PROGRESS */
	int32_t *feedback;  /* signal -> node that a loop reads before it is known */
	struct frame *stack;
	struct new_op *ops;
	struct new_dff *dffs;
	struct new_ram *rams;
	struct new_spram sprams[SPRAM_MAX];
	int32_t *ram_index; /* RAM of the chip -> index in rams, or -1 */
	uint32_t *ext_pad;  /* pads whose outside level is read */
	uint32_t *ext_node;
	/* outputs and LOCK of cells that make clocks, by signal; and in their order */
	uint32_t clock_sig[CLOCK_SIGNALS * CLOCK_CELLS], clock_node[CLOCK_SIGNALS * CLOCK_CELLS];
	struct new_clock clocks[CLOCK_CELLS];
	uint16_t *level, *lut_level; /* by node */
	int32_t *inverse;   /* node -> node that it is the inverse of, or NODE_NONE */
	uint8_t *use;       /* by pad */
	unsigned depth, n_ops, n_dffs, n_rams, n_sprams, n_ext, n_clock, nodes, loops, max_nodes;
};

static void build_fini(struct build *b)
{
	free(b->node);
	free(b->feedback);
	free(b->stack);
	free(b->ops);
	free(b->dffs);
	free(b->rams);
	free(b->ram_index);
	free(b->ext_pad);
	free(b->ext_node);
	free(b->level);
	free(b->lut_level);
	free(b->inverse);
	free(b->use);
}

static int build_init(struct build *b, struct netlist *n, struct reason *why)
{
	size_t s = n->signals;

	memset(b, 0, sizeof(*b));
	b->n = n;
	b->nodes = 2;
	b->max_nodes = 2 * n->signals; /* each signal once, and once more as feedback */
	b->node = malloc(s * sizeof(*b->node));
	b->feedback = malloc(s * sizeof(*b->feedback));
	b->stack = malloc(s * sizeof(*b->stack));
	b->ops = malloc(s * sizeof(*b->ops));
	b->dffs = malloc(s * sizeof(*b->dffs));
	b->rams = malloc((n->n_ram + 1) * sizeof(*b->rams));
	b->ram_index = malloc((n->n_ram + 1) * sizeof(*b->ram_index));
	b->ext_pad = malloc(2 * n->n_io * sizeof(*b->ext_pad));
	b->ext_node = malloc(2 * n->n_io * sizeof(*b->ext_node));
	b->level = calloc(b->max_nodes, sizeof(*b->level));
	b->lut_level = calloc(b->max_nodes, sizeof(*b->lut_level));
	b->inverse = malloc(b->max_nodes * sizeof(*b->inverse));
	b->use = calloc(2 * n->n_io, 1);
	if (!b->node || !b->feedback || !b->stack || !b->ops || !b->dffs || !b->rams ||
	    !b->ram_index || !b->ext_pad || !b->ext_node || !b->level || !b->lut_level ||
	    !b->inverse || !b->use)
		return reason_set(why, ENOMEM, "no memory to decode the design");
	memset(b->node, 0xff, s * sizeof(*b->node));
	memset(b->feedback, 0xff, s * sizeof(*b->feedback));
	memset(b->ram_index, 0xff, (n->n_ram + 1) * sizeof(*b->ram_index));
	memset(b->inverse, 0xff, b->max_nodes * sizeof(*b->inverse));
	b->node[0] = 0;
	b->node[1] = 1;
	return 0;
}

/* ---- truth tables; input k is bit k of the index ---- */

static const uint16_t half[4] = { 0xaaaa, 0xcccc, 0xf0f0, 0xff00 };

static uint16_t table_fix(uint16_t table, unsigned k, bool v)
{
	unsigned part = v ? table & half[k] : table & ~half[k] & 0xffff;

	return (uint16_t)(v ? part | part >> (1u << k) : part | part << (1u << k));
}

static bool table_depends(uint16_t table, unsigned k)
{
	return table_fix(table, k, false) != table_fix(table, k, true);
}

static uint16_t table_invert_input(uint16_t table, unsigned k)
{
	return (uint16_t)((table & half[k]) >> (1u << k) | (table & ~half[k] & 0xffff) << (1u << k));
}

/* Inputs i and j are the same signal: read i wherever j was read. */
static uint16_t table_merge(uint16_t table, unsigned i, unsigned j)
{
	unsigned out = 0;

	for (unsigned x = 0; x < 16; x++) {
		unsigned y = (x & ~(1u << j)) | (x >> i & 1) << j;

		out |= (table >> y & 1u) << x;
	}
	return (uint16_t)out;
}

/* Move input `from` to the free place `to`. */
static uint16_t table_move(uint16_t table, unsigned from, unsigned to)
{
	unsigned out = 0;

	for (unsigned x = 0; x < 16; x++) {
		unsigned y = (x & ~(1u << from)) | (x >> to & 1) << from;

		out |= (table >> y & 1u) << x;
	}
	return (uint16_t)out;
}

/* Reduce table and nodes as far as they go; returns the number of inputs left,
 * which are the first ones. */
static unsigned fold(struct build *b, uint16_t *table, uint32_t node[4])
{
	unsigned count = 0;

	for (unsigned k = 0; k < 4; k++) {
		if (!table_depends(*table, k))
			continue;
		if (b->inverse[node[k]] >= 0) {
			*table = table_invert_input(*table, k);
			node[k] = (uint32_t)b->inverse[node[k]];
		}
		if (node[k] < 2)
			*table = table_fix(*table, k, node[k] == 1);
		for (unsigned i = 0; i < k; i++)
			if (node[i] == node[k] && table_depends(*table, i))
				*table = table_merge(*table, i, k);
	}
	for (unsigned k = 0; k < 4; k++) {
		if (!table_depends(*table, k))
			continue;
		if (k != count) {
			*table = table_move(*table, k, count);
			node[count] = node[k];
		}
		count++;
	}
	for (unsigned k = count; k < 4; k++)
		node[k] = 0;
	return count;
}

/* All inputs of the frame are known: emit its operation, or none. */
static void emit(struct build *b, struct frame *f)
{
	uint16_t table = f->cell.table, level = 0, luts = 0;
	unsigned count = fold(b, &table, f->node);
	int32_t feedback = b->feedback[f->sig];
	struct new_op *op;

	if (feedback < 0 && count == 0) {
		b->node[f->sig] = table & 1;
		return;
	}
	if (feedback < 0 && count == 1 && table == 0xaaaa) {
		b->node[f->sig] = (int32_t)f->node[0];
		return;
	}
	op = &b->ops[b->n_ops++];
	op->table = table;
	op->carry = f->cell.carry;
	op->live = feedback >= 0;
	op->out = feedback >= 0 ? (uint32_t)feedback : b->nodes++;
	for (unsigned k = 0; k < 4; k++) {
		op->in[k] = f->node[k];
		if (k < count && b->level[f->node[k]] > level)
			level = b->level[f->node[k]];
		if (k < count && b->lut_level[f->node[k]] > luts)
			luts = b->lut_level[f->node[k]];
	}
	op->level = level;
	b->level[op->out] = (uint16_t)(level + 1);
	b->lut_level[op->out] = (uint16_t)(luts + !op->carry);
	if (count == 1 && table == 0x5555 && feedback < 0)
		b->inverse[op->out] = (int32_t)f->node[0];
	b->node[f->sig] = (int32_t)op->out;
}

/* ---- the walk ---- */

/* Somebody other than the pad's own cells looks at it: the pad is an input. */
static void note_use(struct build *b, uint32_t sig, uint32_t consumer)
{
	struct netlist *n = b->n;
	bool own = consumer >= n->pad_base && consumer < n->ram_base &&
		   (consumer - n->pad_base) / PAD_SIGNALS == (sig - n->pad_base) / PAD_SIGNALS;
	unsigned what;

	if (sig < n->pad_base || sig >= n->ram_base)
		return;
	what = (sig - n->pad_base) % PAD_SIGNALS;
	if (what == PAD_DIN0 || what == PAD_DIN1 || (what == PAD_LEVEL && !own))
		b->use[(sig - n->pad_base) / PAD_SIGNALS] |= PAD_USE_IN;
}

/* All outputs of a single-port RAM are nodes. */
static int enter_spram(struct build *b, uint32_t sig, unsigned number, struct reason *why)
{
	struct new_spram *s = &b->sprams[b->n_sprams];
	int err = spram_get(b->n, number, s->port, why);

	if (err != 0) {
		b->node[sig] = 0;
		return b->n->tolerant ? 0 : err;
	}
	s->number = number;
	s->q = b->nodes;
	b->n_sprams++;
	for (unsigned i = 0; i < 16; i++)
		b->node[b->n->spram_base + 16 * number + i] = (int32_t)b->nodes++;
	return 0;
}

/* Registers, RAM outputs and outside levels are nodes at once; the inputs of
 * the first two are walked later. */
static int enter_leaf(struct build *b, uint32_t sig, const struct cell *c, struct reason *why)
{
	if (c->kind == CELL_DFF) {
		struct new_dff *d = &b->dffs[b->n_dffs++];

		*d = (struct new_dff){
			.sig = sig, .q = b->nodes, .d = c->in[0], .clk = c->clk, .cen = c->cen,
			.sr = c->sr, .negedge = c->negedge, .set = c->set, .async = c->async,
		};
	} else if (c->kind == CELL_RAM) {
		struct new_ram *r = &b->rams[b->n_rams];
		uint32_t first = b->n->ram_base + 16 * c->unit;
		int err = ram_get(b->n, c->unit, &r->cell, why);

		if (err != 0 && !b->n->tolerant)
			return err;
		if (err != 0) {
			b->node[sig] = 0;
			return 0;
		}
		r->number = c->unit;
		r->q = b->nodes;
		b->ram_index[c->unit] = (int32_t)b->n_rams++;
		for (unsigned i = 0; i < 16; i++)
			b->node[first + i] = (int32_t)b->nodes++;
		return 0;
	} else if (c->kind == CELL_SPRAM) {
		return enter_spram(b, sig, c->unit, why);
	} else if (c->kind == CELL_CLOCK) {
		b->clock_sig[b->n_clock] = c->unit;
		b->clock_node[b->n_clock++] = b->nodes;
	} else {
		b->ext_pad[b->n_ext] = c->unit;
		b->ext_node[b->n_ext++] = b->nodes;
	}
	b->node[sig] = (int32_t)b->nodes++;
	return 0;
}

static int enter(struct build *b, uint32_t sig, struct reason *why)
{
	struct frame *f = &b->stack[b->depth];
	int err = cell_get(b->n, sig, &f->cell, why);

	if (err != 0 && !b->n->tolerant)
		return err;
	if (err != 0) {
		b->node[sig] = 0;
		return 0;
	}
	if (f->cell.kind != CELL_LUT)
		return enter_leaf(b, sig, &f->cell, why);
	f->sig = sig;
	f->next = 0;
	memset(f->node, 0, sizeof(f->node));
	for (unsigned k = 0; k < 4; k++)
		if (f->cell.in[k] < 2)
			f->cell.table = table_fix(f->cell.table, k, f->cell.in[k] == 1);
	b->node[sig] = NODE_IN_PROGRESS;
	b->depth++;
	return 0;
}

static uint32_t loop_node(struct build *b, uint32_t sig)
{
	if (b->feedback[sig] < 0) {
		b->feedback[sig] = (int32_t)b->nodes++;
		b->loops++;
	}
	return (uint32_t)b->feedback[sig];
}

/* The node of a signal, walking to it if need be. consumer: who asks (0: nobody
 * that matters). */
static int resolve(struct build *b, uint32_t root, uint32_t consumer, uint32_t *node,
		   struct reason *why)
{
	int err;

	note_use(b, root, consumer);
	if (b->node[root] == NODE_NEW) {
		err = enter(b, root, why);
		if (err != 0)
			return err;
	}
	while (b->depth > 0) {
		struct frame *f = &b->stack[b->depth - 1];
		uint32_t in;

		if (f->next == 4) {
			emit(b, f);
			b->depth--;
			continue;
		}
		in = f->cell.in[f->next];
		if (!table_depends(f->cell.table, f->next)) {
			f->next++;
		} else if (b->node[in] == NODE_NEW) {
			note_use(b, in, f->sig);
			err = enter(b, in, why);
			if (err != 0)
				return err;
		} else {
			note_use(b, in, f->sig);
			f->node[f->next++] = b->node[in] == NODE_IN_PROGRESS ? loop_node(b, in) :
									      (uint32_t)b->node[in];
		}
	}
	*node = (uint32_t)b->node[root];
	return 0;
}

static int resolve_in_place(struct build *b, uint32_t *sig, unsigned count, uint32_t consumer,
			    struct reason *why)
{
	for (unsigned i = 0; i < count; i++) {
		int err = resolve(b, sig[i], consumer, &sig[i], why);

		if (err != 0)
			return err;
	}
	return 0;
}

static int walk_ram(struct build *b, struct ram_cell *r, struct reason *why)
{
	int err = resolve_in_place(b, r->raddr, 11, 0, why);

	if (err == 0)
		err = resolve_in_place(b, r->waddr, 11, 0, why);
	if (err == 0)
		err = resolve_in_place(b, r->mask, 16, 0, why);
	if (err == 0)
		err = resolve_in_place(b, r->wdata, 16, 0, why);
	if (err == 0)
		err = resolve_in_place(b, &r->rclk, 1, 0, why);
	if (err == 0)
		err = resolve_in_place(b, &r->rclke, 1, 0, why);
	if (err == 0)
		err = resolve_in_place(b, &r->re, 1, 0, why);
	if (err == 0)
		err = resolve_in_place(b, &r->wclk, 1, 0, why);
	if (err == 0)
		err = resolve_in_place(b, &r->wclke, 1, 0, why);
	if (err == 0)
		err = resolve_in_place(b, &r->we, 1, 0, why);
	return err;
}

/* A cell that makes clocks: what it looks at is used even if nobody looks at it. */
static int walk_clock(struct build *b, const struct clock_cell *c, struct new_clock *to,
		      struct reason *why)
{
	uint32_t node;
	int err;

	*to = (struct new_clock){ { c->enable[0], c->enable[1] }, c->bypass };
	err = resolve_in_place(b, to->enable, 2, 0, why);
	if (err == 0)
		err = resolve_in_place(b, &to->bypass, 1, 0, why);
	if (err != 0 || c->ref_pad < 0)
		return err;
	note_use(b, sig_pad(b->n, (unsigned)c->ref_pad, PAD_LEVEL), 0);
	return resolve(b, sig_pad(b->n, (unsigned)c->ref_pad, PAD_EXT), 0, &node, why);
}

/* Walk from the pads until nothing new is found. level and oe: by pad. */
static int walk(struct build *b, uint32_t *level, uint32_t *oe, struct reason *why)
{
	unsigned dff = 0, ram = 0, spram = 0;
	int err;

	for (unsigned pad = 0; pad < 2 * b->n->n_io; pad++) {
		if (!pad_is_output(b->n, pad))
			continue;
		b->use[pad] |= PAD_USE_OUT;
		/* the pad itself looks at its own signals: not an input by that */
		err = resolve(b, sig_pad(b->n, pad, PAD_LEVEL), sig_pad(b->n, pad, PAD_OUT),
			      &level[pad], why);
		if (err == 0)
			err = resolve(b, pad_enable(b->n, pad), sig_pad(b->n, pad, PAD_OUT),
				      &oe[pad], why);
		if (err != 0)
			return err;
	}
	for (unsigned i = 0; i < b->n->n_clocks; i++) {
		err = walk_clock(b, &b->n->clocks[i], &b->clocks[i], why);
		if (err != 0)
			return err;
	}
	while (dff < b->n_dffs || ram < b->n_rams || spram < b->n_sprams) {
		if (dff < b->n_dffs) {
			struct new_dff *d = &b->dffs[dff++];

			err = resolve_in_place(b, &d->d, 1, d->sig, why);
			if (err == 0)
				err = resolve_in_place(b, &d->clk, 1, 0, why);
			if (err == 0)
				err = resolve_in_place(b, &d->cen, 1, 0, why);
			if (err == 0)
				err = resolve_in_place(b, &d->sr, 1, 0, why);
		} else if (spram < b->n_sprams) {
			err = resolve_in_place(b, b->sprams[spram++].port, SPRAM_PORTS, 0, why);
		} else {
			err = walk_ram(b, &b->rams[ram++].cell, why);
		}
		if (err != 0)
			return err;
	}
	return 0;
}

/* ---- laying out the program ---- */

/* Inverters that everybody absorbed, and what only they needed. Operations are
 * in the order of the walk, so one pass backwards is enough. */
static void drop_dead(struct build *b, const uint32_t *level, const uint32_t *oe)
{
	uint8_t *live = (uint8_t *)b->stack; /* free by now, and larger than this needs */
	unsigned kept = 0;

	memset(live, 0, b->nodes);
	for (unsigned pad = 0; pad < 2 * b->n->n_io; pad++)
		live[level[pad]] = live[oe[pad]] = 1;
	for (unsigned i = 0; i < b->n_dffs; i++) {
		const struct new_dff *d = &b->dffs[i];

		live[d->d] = live[d->clk] = live[d->cen] = live[d->sr] = 1;
	}
	for (unsigned i = 0; i < b->n_rams; i++) {
		const struct ram_cell *r = &b->rams[i].cell;

		for (unsigned k = 0; k < 11; k++)
			live[r->raddr[k]] = live[r->waddr[k]] = 1;
		for (unsigned k = 0; k < 16; k++)
			live[r->mask[k]] = live[r->wdata[k]] = 1;
		live[r->rclk] = live[r->rclke] = live[r->re] = 1;
		live[r->wclk] = live[r->wclke] = live[r->we] = 1;
	}
	for (unsigned i = 0; i < b->n_sprams; i++)
		for (unsigned k = 0; k < SPRAM_PORTS; k++)
			live[b->sprams[i].port[k]] = 1;
	for (unsigned i = 0; i < b->n->n_clocks; i++)
		live[b->clocks[i].enable[0]] = live[b->clocks[i].enable[1]] =
			live[b->clocks[i].bypass] = 1;
	for (unsigned i = b->n_ops; i-- > 0;) {
		struct new_op *op = &b->ops[i];

		if (op->live || live[op->out]) {
			op->live = true;
			for (unsigned k = 0; k < 4; k++)
				live[op->in[k]] = 1;
		}
	}
	for (unsigned i = 0; i < b->n_ops; i++)
		if (b->ops[i].live)
			b->ops[kept++] = b->ops[i];
	b->n_ops = kept;
}

static int compare_dffs(const void *va, const void *vb)
{
	const struct new_dff *a = va, *b = vb;
	const uint32_t ka[] = { a->clk, a->negedge, a->cen, a->sr, a->async, a->sig };
	const uint32_t kb[] = { b->clk, b->negedge, b->cen, b->sr, b->async, b->sig };

	for (unsigned i = 0; i < sizeof(ka) / sizeof(ka[0]); i++)
		if (ka[i] != kb[i])
			return ka[i] < kb[i] ? -1 : 1;
	return 0;
}

static int compare_ops(const void *va, const void *vb)
{
	const struct new_op *a = va, *b = vb;

	if (a->level != b->level)
		return a->level < b->level ? -1 : 1;
	return a->out < b->out ? -1 : a->out > b->out;
}

static struct domain *domain_get(struct program *p, uint16_t clk, bool negedge)
{
	for (unsigned i = 0; i < p->n_domains; i++)
		if (p->domains[i].clk == clk && p->domains[i].negedge == negedge)
			return &p->domains[i];
	p->domains[p->n_domains].clk = clk;
	p->domains[p->n_domains].negedge = negedge;
	return &p->domains[p->n_domains++];
}

static void place_dffs(struct program *p, const struct build *b, const uint16_t *map, unsigned first)
{
	for (unsigned i = 0; i < b->n_dffs; i++) {
		const struct new_dff *d = &b->dffs[i], *prev = i ? d - 1 : NULL;
		bool same_domain = prev && prev->clk == d->clk && prev->negedge == d->negedge;

		p->dff_d[i] = map[d->d];
		p->dff_set[i] = d->set;
		p->dff_sig[i] = d->sig;
		if (!same_domain) {
			struct domain *dom = domain_get(p, map[d->clk], d->negedge);

			dom->first_group = p->n_groups;
		}
		if (!same_domain || prev->cen != d->cen || prev->sr != d->sr ||
		    prev->async != d->async) {
			p->groups[p->n_groups++] = (struct dff_group){
				.cen = map[d->cen], .sr = map[d->sr], .d = i,
				.q = (uint16_t)(first + i), .async = d->async,
			};
			p->domains[p->n_domains - 1].groups++;
		}
		p->groups[p->n_groups - 1].count++;
	}
}

static void map_ports(uint16_t *to, const uint32_t *from, unsigned count, const uint16_t *map)
{
	for (unsigned i = 0; i < count; i++)
		to[i] = map[from[i]];
}

static int place_rams(struct program *p, const struct build *b, const uint16_t *map,
		      struct reason *why)
{
	for (unsigned i = 0; i < b->n_rams; i++) {
		const struct ram_cell *from = &b->rams[i].cell;
		struct ram *r = &p->rams[i];
		struct domain *dom[2];

		map_ports(r->raddr, from->raddr, 11, map);
		map_ports(r->waddr, from->waddr, 11, map);
		map_ports(r->mask, from->mask, 16, map);
		map_ports(r->wdata, from->wdata, 16, map);
		r->rclke = map[from->rclke];
		r->re = map[from->re];
		r->wclke = map[from->wclke];
		r->we = map[from->we];
		r->q = map[b->rams[i].q];
		r->number = b->rams[i].number;
		r->read_mode = (uint8_t)from->read_mode;
		r->write_mode = (uint8_t)from->write_mode;
		ram_extract(b->n->config, from->x, from->y, r->words);
		dom[0] = domain_get(p, map[from->rclk], from->read_neg);
		dom[1] = domain_get(p, map[from->wclk], from->write_neg);
		for (unsigned k = 0; k < 2; k++) {
			if (!dom[k]->ram_reads)
				dom[k]->ram_reads = calloc(2 * b->n_rams, sizeof(unsigned));
			if (!dom[k]->ram_reads)
				return reason_set(why, ENOMEM, "no memory to decode the design");
			dom[k]->ram_writes = dom[k]->ram_reads + b->n_rams;
		}
		dom[0]->ram_reads[dom[0]->n_reads++] = i;
		dom[1]->ram_writes[dom[1]->n_writes++] = i;
	}
	return 0;
}

static int place_sprams(struct program *p, const struct build *b, const uint16_t *map,
			struct reason *why)
{
	for (unsigned i = 0; i < b->n_sprams; i++) {
		struct spram *s = &p->sprams[p->n_sprams++];
		int err = spram_new(s, why);

		if (err != 0)
			return err;
		map_ports(s->port, b->sprams[i].port, SPRAM_PORTS, map);
		s->q = map[b->sprams[i].q];
		s->number = b->sprams[i].number;
		domain_get(p, s->port[SPRAM_CLOCK], false)->sprams |= 1u << i;
	}
	return 0;
}

static void place_source(struct program *p, const struct build *b, unsigned clock, int up,
			 const uint16_t *map)
{
	const struct clock_cell *c = &b->n->clocks[clock];
	const struct new_clock *from = &b->clocks[clock];
	struct source *s = &p->sources[p->n_sources++];

	*s = (struct source){
		.cell = c->cell, .hz = c->hz, .num = c->num, .den = c->den,
		.divide = { c->divide[0], c->divide[1] }, .pad = c->ref_pad,
		.of_time = c->hz != 0, .up = up, .up_output = c->up_output,
		.enable = { map[from->enable[0]], map[from->enable[1]] },
		.bypass = map[from->bypass],
	};
	for (unsigned i = 0; i < b->n_clock; i++) {
		if (b->clock_sig[i] / CLOCK_SIGNALS != clock)
			continue;
		if (b->clock_sig[i] % CLOCK_SIGNALS == CLOCK_LOCK) {
			s->lock = map[b->clock_node[i]];
		} else {
			s->out[b->clock_sig[i] % CLOCK_SIGNALS].node = map[b->clock_node[i]];
			s->used[b->clock_sig[i] % CLOCK_SIGNALS] = true;
		}
	}
	if (up >= 0)
		p->sources[up].used[s->up_output] = true;
}

/* A reference comes before what has it. */
static void place_sources(struct program *p, const struct build *b, const uint16_t *map)
{
	int placed[CLOCK_CELLS] = { -1, -1, -1, -1 };

	for (unsigned round = 0; round < b->n->n_clocks; round++)
		for (unsigned i = 0; i < b->n->n_clocks; i++) {
			int up = b->n->clocks[i].up;

			if (placed[i] >= 0 || (up >= 0 && placed[up] < 0))
				continue;
			placed[i] = (int)p->n_sources;
			place_source(p, b, i, up >= 0 ? placed[up] : -1, map);
		}
}

static struct program *program_alloc(const struct build *b)
{
	struct program *p = calloc(1, sizeof(*p));
	unsigned pads = 2 * b->n->n_io;

	if (!p)
		return NULL;
	p->nodes = 2 + b->n_ext + b->n_clock + b->n_dffs + 16 * (b->n_rams + b->n_sprams) + b->n_ops;
	p->n_pads = pads;
	p->val = calloc(p->nodes, 1);
	p->next = calloc(p->nodes, 1);
	p->ops = calloc(b->n_ops + 1, sizeof(*p->ops));
	p->domains = calloc(b->n_dffs + 2 * b->n_rams + b->n_sprams + 1, sizeof(*p->domains));
	p->groups = calloc(b->n_dffs + 1, sizeof(*p->groups));
	p->dff_d = calloc(b->n_dffs + 1, sizeof(*p->dff_d));
	p->dff_set = calloc(b->n_dffs + 1, 1);
	p->dff_sig = calloc(b->n_dffs + 1, sizeof(*p->dff_sig));
	p->rams = calloc(b->n_rams + 1, sizeof(*p->rams));
	p->pad_level = calloc(pads, sizeof(*p->pad_level));
	p->pad_ext = calloc(pads, sizeof(*p->pad_ext));
	p->pad_oe = calloc(pads, sizeof(*p->pad_oe));
	p->pad_use = calloc(pads, 1);
	p->pad_pulled = calloc(pads, 1);
	if (!p->val || !p->next || !p->ops || !p->domains || !p->groups || !p->dff_d ||
	    !p->dff_set || !p->dff_sig || !p->rams || !p->pad_level || !p->pad_ext || !p->pad_oe ||
	    !p->pad_use || !p->pad_pulled) {
		program_free(p);
		return NULL;
	}
	p->val[1] = p->next[1] = 1;
	return p;
}

static void count_up(struct program *p, const struct build *b)
{
	struct netlist *n = b->n;

	p->undriven = n->undriven;
	for (unsigned lc = 0; lc < 8 * n->n_logic; lc++) {
		p->luts += b->node[sig_lc(lc, LC_LUT)] != NODE_NEW;
		p->carries += b->node[sig_lc(lc, LC_CARRY)] > 1;
	}
	for (unsigned mac = 0; mac < n->n_macs; mac++) {
		const int32_t *node = b->node + sig_mac(n, mac, 0);
		unsigned i = 0;

		while (i < MAC_SIGNALS && node[i] == NODE_NEW)
			i++;
		p->macs += i < MAC_SIGNALS;
	}
	for (unsigned i = 0; i < b->n_dffs; i++)
		p->logic_dffs += b->dffs[i].sig < n->mac_base;
	for (unsigned i = 0; i < b->nodes; i++)
		if (b->lut_level[i] > p->lut_levels)
			p->lut_levels = b->lut_level[i];
	for (unsigned k = 0; k < CHIPDB_GLOBALS; k++)
		p->globals += netlist_port(n, n->logic_tiles[0], PORT_GLOBAL(k), ~0u) != ~0u;
	p->loops = b->loops;
}

static int layout(struct build *b, const uint32_t *level, const uint32_t *oe, uint16_t *map,
		  struct program **out, struct reason *why)
{
	struct program *p = program_alloc(b);
	unsigned next = 2;
	int err;

	if (!p)
		return reason_set(why, ENOMEM, "no memory to decode the design");
	map[1] = 1;
	for (unsigned i = 0; i < b->n_ext; i++) {
		p->pad_ext[b->ext_pad[i]] = (uint16_t)next;
		p->pad_level[b->ext_pad[i]] = (uint16_t)next;
		map[b->ext_node[i]] = (uint16_t)next++;
	}
	for (unsigned i = 0; i < b->n_clock; i++)
		map[b->clock_node[i]] = (uint16_t)next++;
	qsort(b->dffs, b->n_dffs, sizeof(*b->dffs), compare_dffs);
	for (unsigned i = 0; i < b->n_dffs; i++)
		map[b->dffs[i].q] = (uint16_t)next++;
	for (unsigned i = 0; i < b->n_rams; i++)
		for (unsigned k = 0; k < 16; k++)
			map[b->rams[i].q + k] = (uint16_t)next++;
	for (unsigned i = 0; i < b->n_sprams; i++)
		for (unsigned k = 0; k < 16; k++)
			map[b->sprams[i].q + k] = (uint16_t)next++;
	p->first_op = next;
	p->n_ops = b->n_ops;
	qsort(b->ops, b->n_ops, sizeof(*b->ops), compare_ops);
	for (unsigned i = 0; i < b->n_ops; i++)
		map[b->ops[i].out] = (uint16_t)next++;
	for (unsigned i = 0; i < b->n_ops; i++) {
		for (unsigned k = 0; k < 4; k++)
			p->ops[i].in[k] = map[b->ops[i].in[k]];
		p->ops[i].table = b->ops[i].table;
	}
	p->n_dffs = b->n_dffs;
	p->n_rams = b->n_rams;
	place_dffs(p, b, map, 2 + b->n_ext + b->n_clock);
	place_sources(p, b, map);
	err = place_rams(p, b, map, why);
	if (err == 0)
		err = place_sprams(p, b, map, why);
	if (err != 0) {
		program_free(p);
		return err;
	}
	for (unsigned pad = 0; pad < p->n_pads; pad++) {
		p->pad_use[pad] = b->use[pad];
		p->pad_pulled[pad] = b->use[pad] & PAD_USE_IN && pad_is_pulled(b->n, pad);
		if (b->use[pad] & PAD_USE_OUT) {
			p->pad_level[pad] = map[level[pad]];
			p->pad_oe[pad] = map[oe[pad]];
		}
	}
	count_up(p, b);
	*out = p;
	return 0;
}

int program_build(struct netlist *n, struct program **out, struct reason *why)
{
	unsigned pads = 2 * n->n_io;
	uint32_t *level = calloc(pads, sizeof(*level)), *oe = calloc(pads, sizeof(*oe));
	uint16_t *map = NULL;
	struct build b;
	int err = build_init(&b, n, why);

	if (err == 0 && (!level || !oe))
		err = reason_set(why, ENOMEM, "no memory to decode the design");
	if (err == 0)
		err = walk(&b, level, oe, why);
	if (err == 0 && b.nodes > MAX_NODES)
		err = reason_set(why, EOPNOTSUPP, "the design needs %u nodes, the simulator has %u",
				 b.nodes, MAX_NODES);
	if (err == 0) {
		map = calloc(b.nodes, sizeof(*map));
		if (!map)
			err = reason_set(why, ENOMEM, "no memory to decode the design");
	}
	if (err == 0) {
		drop_dead(&b, level, oe);
		err = layout(&b, level, oe, map, out, why);
	}
	free(map);
	free(level);
	free(oe);
	build_fini(&b);
	return err;
}

void program_free(struct program *p)
{
	if (!p)
		return;
	for (unsigned i = 0; p->domains && i < p->n_domains; i++)
		free(p->domains[i].ram_reads); /* ram_writes is in the same memory */
	for (unsigned i = 0; i < p->n_sprams; i++)
		free(p->sprams[i].words);
	free(p->val);
	free(p->next);
	free(p->ops);
	free(p->domains);
	free(p->groups);
	free(p->dff_d);
	free(p->dff_set);
	free(p->dff_sig);
	free(p->rams);
	free(p->pad_level);
	free(p->pad_ext);
	free(p->pad_oe);
	free(p->pad_use);
	free(p->pad_pulled);
	free(p);
}
