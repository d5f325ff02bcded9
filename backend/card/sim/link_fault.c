// SPDX-License-Identifier: Apache-2.0
/* Links that do not do what they should, one stage a fault. */
#include <string.h>

#include "link.h"

/* --- takes every byte, delivers none, and reports that all went well --- */

static int lies_write(struct link *l, unsigned level, const void *bytes, size_t n,
		      struct reason *why)
{
	(void)l;
	(void)level;
	(void)bytes;
	(void)n;
	(void)why;
	return 0;
}

static bool lies_done(const struct link *l, unsigned level)
{
	(void)l;
	(void)level;
	return true;
}

static const struct link_stage link_lies = { lies_write, lies_done };

/* --- flips a bit now and then --- */

static uint64_t noise(struct link *l)
{
	l->noise ^= l->noise << 13;
	l->noise ^= l->noise >> 7;
	l->noise ^= l->noise << 17;
	return l->noise;
}

/* Bits until the next error: evenly spread over twice the mean. */
static uint64_t errors_gap(struct link *l)
{
	return noise(l) % (2 * l->bit_errors - 1);
}

static int errors_write(struct link *l, unsigned level, const void *bytes, size_t n,
			struct reason *why)
{
	const uint8_t *from = bytes;

	while (n) {
		uint8_t wire[4096];
		size_t part = n < sizeof(wire) ? n : sizeof(wire);
		int err;

		memcpy(wire, from, part);
		while (l->to_error < 8 * part) {
			wire[l->to_error / 8] ^= (uint8_t)(0x80 >> l->to_error % 8);
			l->to_error += 1 + errors_gap(l);
		}
		l->to_error -= 8 * part;
		err = l->stages[level + 1]->write(l, level + 1, wire, part, why);
		if (err)
			return err;
		from += part;
		n -= part;
	}
	return 0;
}

static bool errors_done(const struct link *l, unsigned level)
{
	return l->stages[level + 1]->done(l, level + 1);
}

static const struct link_stage link_errors = { errors_write, errors_done };

void link_faults(struct link *l, const struct faults *f)
{
	unsigned n = 0;

	if (!l->noise)
		l->noise = 0x9e3779b97f4a7c15;
	if (l->bit_errors != f->bit_errors) {
		l->bit_errors = f->bit_errors;
		l->to_error = f->bit_errors ? errors_gap(l) : 0;
	}
	l->slow_hz = f->slow_hz;
	l->hold = f->done_stuck;
	if (f->link_lies)
		l->stages[n++] = &link_lies;
	if (f->bit_errors)
		l->stages[n++] = &link_errors;
	l->stages[n] = &link_plain;
}
