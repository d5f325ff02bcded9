// SPDX-License-Identifier: Apache-2.0
/*
 * Clocks that arise inside the chip, in time. What passes time is the reference:
 * each of its edges lets half of its period go by, whether it comes from a clock
 * that runs or from a host that writes the pin. An oscillator's reference is the
 * board's clock, whose frequency the board tells.
 *
 * In that half period every output has its edges at exact fractions: `due` is
 * the time to the next one, in 1/num of half a period, and edges are den of that
 * apart. All are integers, so nothing drifts however long it runs.
 *
 * Edges at one moment are one event: with the reference's edge go all those that
 * are due at the same time, and registers of all their domains sample before any
 * changes. A PLL begins with the first rising edge of its reference that finds
 * RESETB high, its outputs rising with it; it runs at its ratio at once, and LOCK
 * rises with the SOURCE_LOCK_EDGESth. RESETB low stops it at the next edge of the
 * reference, outputs and LOCK low. BYPASS passes the reference on. These inputs
 * are looked at with each edge of the reference.
 */
#include "engine.h"

#include <assert.h>
#include <errno.h>

/* Cycles of an output in one of its reference, at most: two PLLs in a row could
 * have 4096 otherwise, and every one of them costs an evaluation of the design. */
#define MAX_RATIO 128
/* A design that does not come to rest may not take all evaluations that are allowed at each of so
 * many edges: what one takes beyond this, the next ones have less. */
#define PASSES_AN_EDGE 16
/* So that products of two fit 64 bits. */
#define MAX_TERM  (1u << 31)
/* A clock that has had so many edges without effect has none. */
#define STILL     2

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* How an output's ratio comes about. 0, or why it cannot run. */
static int output_ratio(const struct source *s, const struct source *up, unsigned output,
			unsigned hz, struct source_output *o, struct reason *why)
{
	uint64_t base = s->hz ? gcd(s->hz, hz) : 1;
	/* not reduced further: num of a chain is a multiple of its reference's */
	uint64_t num = s->hz ? s->hz / base : s->num;
	uint64_t den = (uint64_t)s->divide[output] * (s->hz ? hz / base : s->den);

	assert(den); /* nothing divides by 0: not the decoder, not fabric_clock() */
	if (up && up->bypass != 0)
		return reason_set(why, EOPNOTSUPP,
				  "the image has a PLL with BYPASS as the reference of another, which "
				  "the simulated card does not have");
	if (up) {
		num *= up->out[s->up_output].num;
		den *= up->out[s->up_output].den;
	}
	if (num >= MAX_TERM || den >= MAX_TERM || num / den > MAX_RATIO)
		return reason_set(why, EOPNOTSUPP,
				  "a clock inside the image runs %llu cycles in %llu of the board's; the "
				  "simulated card has up to %d a cycle", (unsigned long long)num,
				  (unsigned long long)den, MAX_RATIO);
	o->num = num;
	o->den = den;
	return 0;
}

int sources_init(struct eval *e, unsigned hz, bool tolerant, struct reason *why)
{
	struct program *p = e->p;

	e->source_data = false;
	for (unsigned i = 0; i < p->n_sources; i++) {
		struct source *s = &p->sources[i];
		const struct source *up = s->up >= 0 ? &p->sources[s->up] : NULL;

		for (unsigned k = 0; k < 2; k++) {
			struct source_output *o = &s->out[k];
			int err = output_ratio(s, up, k, hz, o, tolerant ? NULL : why);

			if (err != 0 && !tolerant)
				return err;
			if (err != 0) {
				/* stands still, whatever its inputs say */
				s->enable[0] = 0;
				s->running = false;
				o->num = up ? up->out[s->up_output].num : 1;
				o->den = 1;
			}
			e->source_data |= o->node != 0 && eval_node_is_data(p, o->node);
		}
		if (up) {
			s->pad = up->pad;
			s->of_time = up->of_time;
		}
	}
	return 0;
}

/* Show an output's level, or what BYPASS shows of the reference. */
static void output_show(struct eval *e, struct source_output *o, bool level)
{
	if (o->node == 0 || e->p->val[o->node] == level)
		return;
	e->p->val[o->node] = level;
	o->edge = true;
}

static void source_begin(struct source *s, unsigned edges, uint64_t due, uint64_t unit)
{
	s->running = true;
	s->edges = edges;
	for (unsigned k = 0; k < 2; k++) {
		/* the same moment, in its own units */
		s->out[k].due = due * (s->out[k].num / unit);
		s->out[k].level = false;
	}
}

static void source_stop(struct eval *e, struct source *s)
{
	s->running = false;
	s->edges = 0;
	for (unsigned k = 0; k < 2; k++) {
		s->out[k].level = false;
		if (!s->bypassed)
			output_show(e, &s->out[k], false);
	}
}

void sources_move(struct eval *e, int pad, bool level, bool time)
{
	struct program *p = e->p;

	for (unsigned i = 0; i < p->n_sources; i++) {
		struct source *s = &p->sources[i];
		bool enabled = p->val[s->enable[0]] && p->val[s->enable[1]];
		const struct source *up = s->up >= 0 ? &p->sources[s->up] : NULL;

		if (s->moving || (s->of_time ? !time : s->pad < 0 || s->pad != pad))
			continue;
		s->moving = true;
		s->bypassed = p->val[s->bypass];
		if (s->running && (!enabled || (up && !up->running)))
			source_stop(e, s);
		else if (!s->running && enabled && !up && (level || s->hz))
			source_begin(s, 0, 0, 1);
		if (s->running && level && !up)
			s->edges++;
		for (unsigned k = 0; k < 2 && !up; k++)
			output_show(e, &s->out[k], s->bypassed ? level : s->out[k].level);
	}
}

/* Of two edges still to come in this half period. */
static bool earlier(const struct source_output *a, const struct source_output *b)
{
	return a->due * b->num < b->due * a->num;
}

static bool same_time(const struct source_output *a, const struct source_output *b)
{
	return a->due * b->num == b->due * a->num;
}

/* An output had an edge: what has it as reference. */
static void hand_on(struct eval *e, unsigned from, unsigned output, struct source_output now)
{
	struct program *p = e->p;

	for (unsigned i = from + 1; i < p->n_sources; i++) {
		struct source *s = &p->sources[i];

		if (s->up != (int)from || s->up_output != output)
			continue;
		if (now.level && !s->running && p->val[s->enable[0]])
			source_begin(s, 0, now.due, now.num);
		if (now.level && s->running)
			s->edges++;
		for (unsigned k = 0; k < 2 && s->bypassed; k++)
			output_show(e, &s->out[k], now.level);
	}
}

bool sources_next(struct eval *e, bool only_now)
{
	struct program *p = e->p;
	struct source_output first = { .num = 0 };

	for (unsigned i = 0; i < p->n_sources; i++) {
		const struct source *s = &p->sources[i];

		for (unsigned k = 0; k < 2 && s->moving && s->running; k++)
			if (s->used[k] && s->out[k].due < s->out[k].num &&
			    (first.num == 0 || earlier(&s->out[k], &first)))
				first = s->out[k];
	}
	if (first.num == 0 || (only_now && first.due != 0))
		return false;
	for (unsigned i = 0; i < p->n_sources; i++) {
		struct source *s = &p->sources[i];

		for (unsigned k = 0; k < 2 && s->moving && s->running; k++) {
			struct source_output *o = &s->out[k];

			if (!s->used[k] || !same_time(o, &first))
				continue;
			o->level = !o->level;
			if (!s->bypassed)
				output_show(e, o, o->level);
			hand_on(e, i, k, *o);
			o->due += o->den;
		}
	}
	return true;
}

bool sources_lock(struct eval *e)
{
	struct program *p = e->p;
	bool changed = false;

	for (unsigned i = 0; i < p->n_sources; i++) {
		const struct source *s = &p->sources[i];

		if (s->lock != 0)
			changed |= eval_input(e, s->lock, s->edges >= SOURCE_LOCK_EDGES);
	}
	return changed;
}

void sources_seen(struct eval *e)
{
	bool changed = e->state_changes != e->source_changes;

	e->spent = e->passes > PASSES_AN_EDGE ? e->passes - PASSES_AN_EDGE : 0;
	e->source_changes = e->state_changes;
	for (unsigned i = 0; i < e->p->n_sources; i++)
		for (unsigned k = 0; k < 2; k++) {
			struct source_output *o = &e->p->sources[i].out[k];

			if (changed)
				o->still = 0;
			else if (o->edge && o->still < STILL)
				o->still++;
			o->edge = false;
		}
}

void sources_end(struct eval *e)
{
	for (unsigned i = 0; i < e->p->n_sources; i++) {
		struct source *s = &e->p->sources[i];

		for (unsigned k = 0; k < 2 && s->moving && s->running; k++)
			if (s->used[k])
				s->out[k].due -= s->out[k].num;
		s->moving = false;
	}
	e->spent = 0;
}

bool sources_still(const struct eval *e, int pad)
{
	const struct program *p = e->p;

	if (e->source_data)
		return false;
	for (unsigned i = 0; i < p->n_sources; i++) {
		const struct source *s = &p->sources[i];

		if (!s->of_time && s->pad != pad)
			continue;
		if (!s->running && s->up >= 0 && p->sources[s->up].running && p->val[s->enable[0]])
			return false;
		if (!s->running && !s->bypassed)
			continue;
		if (s->lock != 0 && s->running && s->edges < SOURCE_LOCK_EDGES)
			return false;
		for (unsigned k = 0; k < 2; k++)
			if (s->out[k].node != 0 && s->out[k].still < STILL)
				return false;
	}
	return true;
}

/* Edges of an output in n cycles of its reference, rising and falling ones. */
static void output_skip(struct source_output *o, uint64_t n, uint64_t edges[2])
{
	uint64_t whole = n / o->den, rest = 2 * (n % o->den) * o->num, some = 0;

	/* after den cycles of the reference it had num of its own */
	if (rest > o->due)
		some = (rest - o->due + o->den - 1) / o->den;
	o->due = o->due + some * o->den - rest;
	edges[!o->level] = whole * o->num + (some + 1) / 2;
	edges[o->level] = whole * o->num + some / 2;
	o->level ^= some & 1;
}

void sources_skip(struct eval *e, int pad, uint16_t clk, uint64_t n)
{
	struct program *p = e->p;

	eval_skip(e, clk, n, n);
	for (unsigned i = 0; i < p->n_sources; i++) {
		struct source *s = &p->sources[i];

		if (!s->of_time && (s->pad < 0 || s->pad != pad))
			continue;
		if (s->running)
			s->edges = SOURCE_LOCK_EDGES;
		for (unsigned k = 0; k < 2; k++) {
			struct source_output *o = &s->out[k];
			uint64_t edges[2] = { 0, 0 };

			if (s->running && s->used[k])
				output_skip(o, n, edges);
			if (o->node == 0)
				continue;
			if (s->bypassed)
				edges[0] = edges[1] = n;
			else
				p->val[o->node] = o->level;
			eval_skip(e, o->node, edges[1], edges[0]);
		}
	}
}

/* What takes effect with the commit of an edge: the host's inputs, and LOCK. */
struct late {
	struct eval *e;
	bool (*inputs)(void *);
	void *arg;
};

static bool late_apply(void *arg)
{
	const struct late *late = arg;
	bool changed = late->inputs && late->inputs(late->arg);

	return sources_lock(late->e) || changed;
}

void sources_cycle(struct eval *e, uint16_t clk, int pad, bool (*inputs)(void *), void *arg)
{
	struct late late = { e, inputs, arg };
	bool fast = eval_clock_only(e, clk) && !e->source_data;

	for (unsigned half = 0; half < 2; half++) {
		sources_move(e, pad, half == 0, true);
		if (clk >= 2)
			e->p->val[clk] = half == 0;
		sources_next(e, true);
		do {
			eval_clocks(e, fast, late_apply, &late);
			sources_seen(e);
			late.inputs = NULL;
		} while (sources_next(e, false));
		sources_end(e);
	}
}

void sources_settle(struct eval *e)
{
	sources_next(e, true);
	do {
		eval_settle(e);
		if (sources_lock(e))
			eval_settle(e);
		sources_seen(e);
	} while (sources_next(e, false));
	sources_end(e);
}

void sources_copy(const struct program *from, struct program *to)
{
	for (unsigned i = 0; i < to->n_sources; i++)
		for (unsigned k = 0; k < from->n_sources; k++) {
			struct source *t = &to->sources[i];
			const struct source *f = &from->sources[k];

			if (t->cell != f->cell)
				continue;
			t->running = f->running;
			t->edges = f->edges;
			for (unsigned n = 0; n < 2; n++) {
				/* the upset may have been in its ratio: then it begins anew */
				if (t->num == f->num && t->den == f->den && t->hz == f->hz &&
				    t->divide[n] == f->divide[n])
					t->out[n].due = f->out[n].due;
				t->out[n].level = f->out[n].level;
				if (t->out[n].node != 0)
					to->val[t->out[n].node] = f->out[n].node != 0 ?
						from->val[f->out[n].node] : f->out[n].level;
			}
			if (t->lock != 0)
				to->val[t->lock] = f->edges >= SOURCE_LOCK_EDGES;
		}
}
