// SPDX-License-Identifier: Apache-2.0
/*
 * From cells to a program: a list of LUT4 operations in an order in which one
 * pass evaluates everything. walk.c finds the operations, fold.c makes them
 * fewer, layout.c puts them in order.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_NODES 65535u /* struct op has 16 bits for each */

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
		err = build_walk(&b, level, oe, why);
	if (err == 0 && b.nodes > MAX_NODES)
		err = reason_set(why, EOPNOTSUPP, "the design needs %u nodes, the simulator has %u",
				 b.nodes, MAX_NODES);
	if (err == 0) {
		map = calloc(b.nodes, sizeof(*map));
		if (!map)
			err = reason_set(why, ENOMEM, "no memory to decode the design");
	}
	if (err == 0) {
		build_drop_dead(&b, level, oe);
		err = build_layout(&b, level, oe, map, out, why);
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
