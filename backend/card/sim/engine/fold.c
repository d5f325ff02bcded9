// SPDX-License-Identifier: Apache-2.0
/*
 * Truth tables of four inputs, and what becomes of one whose inputs are known:
 * constants, wires, inverters and equal inputs are taken out of it.
 */
#include "build.h"

static const uint16_t half[4] = { 0xaaaa, 0xcccc, 0xf0f0, 0xff00 };

uint16_t table_fix(uint16_t table, unsigned k, bool v)
{
	unsigned part = v ? table & half[k] : table & ~half[k] & 0xffff;

	return (uint16_t)(v ? part | part >> (1u << k) : part | part << (1u << k));
}

bool table_depends(uint16_t table, unsigned k)
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

unsigned build_fold(struct build *b, uint16_t *table, uint32_t node[4])
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
