// SPDX-License-Identifier: Apache-2.0
/*
 * Running the program of a design.
 *
 * Whatever changes, the same thing happens: evaluate all operations, look which
 * clock nodes changed, sample every register and RAM of the domains that saw
 * their edge, commit all of them at once together with asynchronous resets, and
 * again until nothing changed.
 * Derived, gated and rippling clocks on both edges need no special case.
 *
 * eval_cycle() has a short way for the usual clock, a pin that only clocks: its
 * level is no input of any operation, so a cycle is sample, commit, one
 * evaluation. When the commit changed nothing there is not even that.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

/*
 * How often all operations are evaluated at most until everything rests, after
 * one edge or change from outside. A ripple counter of n stages and a reset that
 * n registers hand on take n of them; what takes more does so for ever.
 */
#define MAX_PASSES 4096
/* The part of it that a combinational loop may have at one time: one that rests
 * at all takes few, and one that does not must leave some to the rest. */
#define LOOP_PASSES 64

int eval_init(struct eval *e, struct program *p, struct reason *why)
{
	memset(e, 0, sizeof(*e));
	e->p = p;
	e->active = calloc(p->n_groups + 1, sizeof(*e->active));
	if (!e->active)
		return reason_set(why, ENOMEM, "no memory to run the design");
	for (unsigned i = 0; i < p->n_groups; i++)
		e->any_async |= p->groups[i].async && p->groups[i].sr != 0;
	for (unsigned i = 0; i < p->n_sprams; i++)
		e->any_async |= spram_is_async(&p->sprams[i]);
	return 0;
}

void eval_fini(struct eval *e)
{
	free(e->active);
	e->active = NULL;
	e->p = NULL;
}

/* Of eight bytes, each 0 or 1, how many are 1: their sum comes out on top of this product. */
static inline unsigned ones(uint64_t bytes)
{
	return (unsigned)((bytes * UINT64_C(0x0101010101010101)) >> 56);
}

static uint64_t differ(const uint8_t *a, const uint8_t *b, unsigned n)
{
	uint64_t sum = 0, x, y;

	for (; n >= 8; n -= 8, a += 8, b += 8) {
		memcpy(&x, a, 8);
		memcpy(&y, b, 8);
		sum += ones(x ^ y);
	}
	for (; n != 0; n--)
		sum += *a++ ^ *b++;
	return sum;
}

/* to becomes from; returns how many of the bytes changed. */
static uint64_t take(uint8_t *to, const uint8_t *from, unsigned n)
{
	uint64_t sum = 0, x, y;

	for (; n >= 8; n -= 8, to += 8, from += 8) {
		memcpy(&x, to, 8);
		memcpy(&y, from, 8);
		memcpy(to, from, 8);
		sum += ones(x ^ y);
	}
	for (; n != 0; n--, to++, from++) {
		sum += *to ^ *from;
		*to = *from;
	}
	return sum;
}

static inline uint8_t op_value(const struct op *op, const uint8_t *val)
{
	/* Sums, not bits: each is one instruction. */
	unsigned low = val[op->in[0]] + 2u * val[op->in[1]];
	unsigned high = val[op->in[2]] + 2u * val[op->in[3]];

	return op->table >> (low + 4 * high) & 1;
}

/* All operations once; returns how many outputs changed. */
static uint64_t pass(struct program *p)
{
	const struct op *op = p->ops;
	uint8_t *val = p->val, *out = val + p->first_op, *before = p->next + p->first_op;
	unsigned left = p->n_ops;

	memcpy(before, out, left);
	for (; left >= 4; left -= 4, op += 4, out += 4) {
		out[0] = op_value(op, val);
		out[1] = op_value(op + 1, val);
		out[2] = op_value(op + 2, val);
		out[3] = op_value(op + 3, val);
	}
	for (; left != 0; left--)
		*out++ = op_value(op++, val);
	return differ(val + p->first_op, before, p->n_ops);
}

/* Asynchronous set and reset; true when a register changed. */
static bool async_apply(struct eval *e)
{
	struct program *p = e->p;
	uint64_t changes = 0;

	for (unsigned i = 0; i < p->n_groups; i++) {
		const struct dff_group *g = &p->groups[i];

		if (!g->async || !p->val[g->sr])
			continue;
		for (unsigned k = 0; k < g->count; k++) {
			changes += p->val[g->q + k] ^ p->dff_set[g->d + k];
			p->val[g->q + k] = p->dff_set[g->d + k];
		}
	}
	for (unsigned i = 0; i < p->n_sprams; i++)
		changes += spram_async(&p->sprams[i], p->val);
	e->toggles += changes;
	e->state_changes += changes;
	return changes != 0;
}

static uint64_t pass_counted(struct eval *e)
{
	uint64_t toggles = pass(e->p);

	e->passes++;
	e->all_passes++;
	e->toggles += toggles;
	return toggles;
}

static void evaluate(struct eval *e)
{
	uint64_t toggles = pass_counted(e);

	for (unsigned i = 0; e->p->loops != 0 && toggles != 0; i++) {
		if (i == LOOP_PASSES || e->passes >= MAX_PASSES) {
			e->unsettled++;
			return;
		}
		toggles = pass_counted(e);
	}
}

static unsigned gather(const uint8_t *val, const uint16_t *nodes, unsigned count)
{
	unsigned word = 0;

	for (unsigned i = 0; i < count; i++)
		word |= (unsigned)val[nodes[i]] << i;
	return word;
}

/*
 * The narrow modes: address bits above 7 select one bit in each group of 2, 4 or
 * 8, and the data pins are in the middle of their group (cells_sim.v of yosys,
 * SB_RAM40_4K).
 */
static const struct {
	unsigned group;    /* bits */
	unsigned select;   /* mask of the upper address bits that count */
	unsigned data;     /* first data pin; the others follow at the distance of a group */
} ram_mode[4] = { { 1, 0, 0 }, { 2, 1, 0 }, { 4, 3, 1 }, { 8, 7, 3 } };

static void ram_sample_read(struct eval *e, struct ram *r)
{
	const uint8_t *val = e->p->val;
	unsigned address, word, mode = r->read_mode, out = 0;

	if (!val[r->rclke] || !val[r->re])
		return;
	address = gather(val, r->raddr, 11);
	word = r->words[address & 255];
	if (mode == 0) {
		out = word;
	} else {
		unsigned bit = address >> 8 & ram_mode[mode].select;

		for (unsigned k = 0; k < 16; k += ram_mode[mode].group)
			out |= (word >> (k + bit) & 1) << (k + ram_mode[mode].data);
	}
	r->read = (uint16_t)out;
	r->reading = true;
}

static void ram_sample_write(struct eval *e, struct ram *r)
{
	const uint8_t *val = e->p->val;
	unsigned address, mode = r->write_mode, data = 0, keep = 0;

	if (!val[r->wclke] || !val[r->we])
		return;
	address = gather(val, r->waddr, 11);
	if (mode == 0) {
		data = gather(val, r->wdata, 16);
		keep = gather(val, r->mask, 16);
	} else {
		unsigned bit = address >> 8 & ram_mode[mode].select;

		keep = 0xffff;
		for (unsigned k = 0; k < 16; k += ram_mode[mode].group) {
			keep &= ~(1u << (k + bit));
			data |= (unsigned)val[r->wdata[k + ram_mode[mode].data]] << (k + bit);
		}
	}
	r->row = (uint16_t)(address & 255);
	r->data = (uint16_t)data;
	r->keep = (uint16_t)keep;
	r->writing = true;
}

static void sample(struct eval *e, const struct domain *d)
{
	struct program *p = e->p;
	const uint8_t *val = p->val;

	for (unsigned i = d->first_group; i < d->first_group + d->groups; i++) {
		const struct dff_group *g = &p->groups[i];
		uint8_t *next = p->next + g->q;
		bool reset = p->val[g->sr];

		if (!p->val[g->cen] && !(g->async && reset))
			continue;
		if (reset) {
			memcpy(next, p->dff_set + g->d, g->count);
		} else {
			const uint16_t *from = p->dff_d + g->d;

#pragma GCC unroll 4
			for (unsigned k = 0; k < g->count; k++)
				next[k] = val[from[k]];
		}
		e->active[e->n_active++] = i;
	}
	for (unsigned i = 0; i < d->n_reads; i++)
		ram_sample_read(e, &p->rams[d->ram_reads[i]]);
	for (unsigned i = 0; i < d->n_writes; i++)
		ram_sample_write(e, &p->rams[d->ram_writes[i]]);
	for (unsigned i = 0, left = d->sprams; left != 0; i++, left >>= 1)
		if (left & 1)
			spram_sample(&p->sprams[i], p->val);
}

static uint64_t ram_commit(struct eval *e, struct ram *r)
{
	uint8_t *q = e->p->val + r->q;
	uint64_t changes = 0;

	if (r->reading) {
		for (unsigned k = 0; k < 16; k++) {
			uint8_t v = r->read >> k & 1;

			changes += v ^ q[k];
			q[k] = v;
		}
		e->toggles += changes;
		e->ram_reads++;
		r->reading = false;
	}
	if (r->writing) {
		uint16_t word = (uint16_t)((r->words[r->row] & r->keep) | (r->data & ~r->keep));

		changes += word != r->words[r->row];
		r->words[r->row] = word;
		e->ram_writes++;
		r->writing = false;
	}
	return changes;
}

static uint64_t spram_take_effect(struct eval *e, struct spram *s)
{
	struct spram_done done = { 0 };
	uint64_t changes = spram_commit(s, e->p->val, &done);

	e->toggles += done.toggles;
	e->ram_reads += done.reads;
	e->ram_writes += done.writes;
	return changes;
}

/* What was sampled takes effect; true when anything changed. */
static bool commit(struct eval *e)
{
	struct program *p = e->p;
	uint64_t changes = 0;

	for (unsigned i = 0; i < e->n_active; i++) {
		const struct dff_group *g = &p->groups[e->active[i]];

		changes += take(p->val + g->q, p->next + g->q, g->count);
	}
	e->n_active = 0;
	e->toggles += changes;
	for (unsigned i = 0; i < p->n_rams; i++)
		if (p->rams[i].reading || p->rams[i].writing)
			changes += ram_commit(e, &p->rams[i]);
	for (unsigned i = 0; i < p->n_sprams; i++)
		if (p->sprams[i].reading || p->sprams[i].writing)
			changes += spram_take_effect(e, &p->sprams[i]);
	e->state_changes += changes;
	return changes != 0;
}

/* Sample the domains whose clock has its edge now. */
static void sample_edges(struct eval *e)
{
	struct program *p = e->p;

	for (unsigned i = 0; i < p->n_domains; i++) {
		struct domain *d = &p->domains[i];
		bool now = p->val[d->clk];

		if (now == d->last)
			continue;
		d->last = now;
		if (now != d->negedge)
			sample(e, d);
	}
}

/*
 * After an evaluation: edges, asynchronous resets and commits, evaluations, until
 * nothing changes. A reset takes effect together with the registers that were
 * clocked at the same moment, so that these still see the value before it: the
 * order that Verilog gives to nonblocking assignments.
 */
static void follow_edges(struct eval *e)
{
	do {
		bool changed;

		sample_edges(e);
		changed = commit(e);
		if (e->any_async && async_apply(e))
			changed = true;
		/* Without a change no clock can have another edge. */
		if (!changed)
			return;
		evaluate(e);
	} while (e->passes < MAX_PASSES);
	e->unsettled++;
}

void eval_start(struct eval *e)
{
	e->passes = e->spent;
	evaluate(e);
	while (e->passes < MAX_PASSES && async_apply(e))
		evaluate(e);
	for (unsigned i = 0; i < e->p->n_domains; i++)
		e->p->domains[i].last = e->p->val[e->p->domains[i].clk];
}

bool eval_input(struct eval *e, uint16_t node, bool level)
{
	if (e->p->val[node] == level)
		return false;
	e->p->val[node] = level;
	e->state_changes++;
	return true;
}

void eval_settle(struct eval *e)
{
	e->passes = e->spent;
	evaluate(e);
	follow_edges(e);
}

static bool node_in(const uint16_t *nodes, unsigned count, uint16_t node)
{
	for (unsigned i = 0; i < count; i++)
		if (nodes[i] == node)
			return true;
	return false;
}

/* Is this node looked at by anything but the clock inputs? */
bool eval_node_is_data(const struct program *p, uint16_t node)
{
	for (unsigned i = 0; i < p->n_ops; i++)
		if (node_in(p->ops[i].in, 4, node))
			return true;
	if (node_in(p->dff_d, p->n_dffs, node))
		return true;
	for (unsigned i = 0; i < p->n_groups; i++)
		if (p->groups[i].cen == node || p->groups[i].sr == node)
			return true;
	for (unsigned i = 0; i < p->n_rams; i++) {
		const struct ram *r = &p->rams[i];

		if (node_in(r->raddr, 11, node) || node_in(r->waddr, 11, node) ||
		    node_in(r->mask, 16, node) || node_in(r->wdata, 16, node) ||
		    r->rclke == node || r->re == node || r->wclke == node || r->we == node)
			return true;
	}
	for (unsigned i = 0; i < p->n_sprams; i++)
		if (node_in(p->sprams[i].port, SPRAM_DATA_INPUTS, node))
			return true;
	return false;
}

static bool node_is_source(const struct program *p, uint16_t node)
{
	for (unsigned i = 0; i < p->n_sources; i++)
		if (p->sources[i].out[0].node == node || p->sources[i].out[1].node == node)
			return true;
	return false;
}

static void learn_clock(struct eval *e, uint16_t clk)
{
	e->fast_clk = clk;
	e->fast_known = true;
	e->fast_ok = clk < 2 || !eval_node_is_data(e->p, clk);
	e->fast_others = false;
	for (unsigned i = 0; i < e->p->n_domains; i++)
		if (e->p->domains[i].clk != clk && e->p->domains[i].clk >= 2 &&
		    !node_is_source(e->p, e->p->domains[i].clk))
			e->fast_others = true;
}

bool eval_clock_only(struct eval *e, uint16_t clk)
{
	if (!e->fast_known || e->fast_clk != clk)
		learn_clock(e, clk);
	return e->fast_ok;
}

/* One edge of a clock that only clocks; inputs as in eval_cycle(), or NULL. */
static void fast_edge(struct eval *e, uint16_t clk, bool level, bool (*inputs)(void *), void *arg)
{
	struct program *p = e->p;
	bool changed;

	e->passes = e->spent;
	for (unsigned i = 0; i < p->n_domains && clk >= 2; i++) {
		struct domain *d = &p->domains[i];

		if (d->clk != clk || d->last == level)
			continue;
		d->last = level;
		if (level != d->negedge)
			sample(e, d);
	}
	changed = commit(e);
	if (clk >= 2)
		p->val[clk] = level;
	if (inputs && inputs(arg))
		changed = true;
	if (!changed)
		return;
	evaluate(e);
	if (e->fast_others || e->any_async)
		follow_edges(e);
}

/* The same for a clock that is also data: gated clocks see the edge with it. */
static void slow_edge(struct eval *e, uint16_t clk, bool level, bool (*inputs)(void *), void *arg)
{
	e->passes = e->spent;
	e->p->val[clk] = level;
	evaluate(e);
	sample_edges(e);
	commit(e);
	if (e->any_async)
		async_apply(e);
	if (inputs)
		inputs(arg);
	evaluate(e);
	follow_edges(e);
}

void eval_clocks(struct eval *e, bool fast, bool (*inputs)(void *), void *arg)
{
	bool changed;

	e->passes = e->spent;
	if (!fast)
		evaluate(e);
	sample_edges(e);
	changed = commit(e);
	if (!fast && e->any_async)
		async_apply(e);
	if (inputs && inputs(arg))
		changed = true;
	if (fast && !changed)
		return;
	evaluate(e);
	if (!fast || e->fast_others || e->any_async)
		follow_edges(e);
}

void eval_skip(struct eval *e, uint16_t clk, uint64_t rising, uint64_t falling)
{
	const struct program *p = e->p;

	for (unsigned i = 0; i < p->n_domains && clk >= 2; i++) {
		struct domain *d = &p->domains[i];
		uint64_t n = d->negedge ? falling : rising;

		if (d->clk != clk)
			continue;
		d->last = p->val[clk];
		for (unsigned k = 0; k < d->n_reads; k++) {
			const struct ram *r = &p->rams[d->ram_reads[k]];

			e->ram_reads += p->val[r->rclke] && p->val[r->re] ? n : 0;
		}
		for (unsigned k = 0; k < d->n_writes; k++) {
			const struct ram *r = &p->rams[d->ram_writes[k]];

			e->ram_writes += p->val[r->wclke] && p->val[r->we] ? n : 0;
		}
		for (unsigned k = 0; k < p->n_sprams; k++) {
			const struct spram *r = &p->sprams[k];

			if (!(d->sprams >> k & 1) || !spram_accessed(r, p->val))
				continue;
			*(p->val[r->port[SPRAM_WRITE]] ? &e->ram_writes : &e->ram_reads) += n;
		}
	}
}

void eval_cycle(struct eval *e, uint16_t clk, bool (*inputs)(void *), void *arg)
{
	void (*edge)(struct eval *, uint16_t, bool, bool (*)(void *), void *) =
		eval_clock_only(e, clk) ? fast_edge : slow_edge;

	edge(e, clk, true, inputs, arg);
	edge(e, clk, false, NULL, NULL);
}
