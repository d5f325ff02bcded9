// SPDX-License-Identifier: Apache-2.0
/*
 * Laying out the program: dead operations dropped, registers grouped by clock and
 * control, operations sorted by level, which measured 1.4 to 1.9 times faster
 * than the order of the walk.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>

/* Inverters that everybody absorbed, and what only they needed. Operations are
 * in the order of the walk, so one pass backwards is enough. */
void build_drop_dead(struct build *b, const uint32_t *level, const uint32_t *oe)
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

int build_layout(struct build *b, const uint32_t *level, const uint32_t *oe, uint16_t *map,
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
