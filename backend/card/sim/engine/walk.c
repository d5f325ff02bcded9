// SPDX-License-Identifier: Apache-2.0
/*
 * The walk over the cells: it starts at the output pads and goes only where
 * something depends on the answer; registers and RAMs end a path, and their own inputs are walked
 * later from a work list. It is depth first with a stack of its own, since the
 * depth is the longest path of the design (or whatever a hostile image makes of
 * it). An input that the table does not depend on is never walked: place and
 * route packs a carry and an unrelated look-up table into one cell, and walking
 * both would find loops that do not exist.
 */
#include "build.h"

/* All inputs of the frame are known: emit its operation, or none. */
static void emit(struct build *b, struct frame *f)
{
	uint16_t table = f->cell.table, level = 0, luts = 0;
	unsigned count = build_fold(b, &table, f->node);
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

int build_walk(struct build *b, uint32_t *level, uint32_t *oe, struct reason *why)
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
