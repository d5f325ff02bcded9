// SPDX-License-Identifier: Apache-2.0
/* Configuration logic by part (logic.h). */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "logic_kind.h"

#include <fabricfs/buf.h>

static const struct logic_kind *const kinds[] = { &logic_xilinx, &logic_ecp5, &logic_cyclone };
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct logic_kind *kind_of(const char *family)
{
	for (size_t i = 0; i < KINDS; i++)
		for (const char *const *name = kinds[i]->families; *name; name++)
			if (!strcmp(*name, family))
				return kinds[i];
	return NULL;
}

/* The first row of a part is its production silicon; later ones are engineering samples. */
static const struct image_part *row_of(const char *part, const struct logic_kind **kind)
{
	const struct image_part *row = part_by_name(NULL, part);

	*kind = row ? kind_of(row->family) : NULL;
	return *kind && strlen(part) < sizeof(((struct logic *)0)->part) ? row : NULL;
}

static void part_spell(char *out, size_t size, const char *part)
{
	text_copy(out, size, part);
	for (; *out; out++)
		*out = (char)tolower((unsigned char)*out);
}

bool logic_find(const char *part, struct logic_facts *facts)
{
	const struct logic_kind *kind;
	const struct image_part *row = row_of(part, &kind);

	if (!row)
		return false;
	*facts = (struct logic_facts){
		.vendor = row->vendor, .family = row->family, .idcode = row->idcode,
		.formats = kind->formats, .tried_first = kind->tried_first,
	};
	part_spell(facts->part, sizeof(facts->part), part);
	return true;
}

const char *logic_families(void)
{
	return "Xilinx 7-series, UltraScale and UltraScale+ (but Spartan UltraScale+), Lattice ECP5, Intel "
	       "Cyclone IV E, Cyclone 10 LP, Cyclone V and Stratix V GS";
}

int logic_new(const char *part, struct logic **out, struct reason *why)
{
	const struct logic_kind *kind;
	const struct image_part *row = row_of(part, &kind);
	struct logic *l;

	if (!row)
		return reason_set(why, EINVAL, "the configuration logic of '%s' is not simulated", part);
	l = calloc(1, kind->bytes);
	if (!l)
		return reason_set(why, ENOMEM, "no memory for the configuration logic of %s", part);
	l->kind = kind;
	l->row = row;
	part_spell(l->part, sizeof(l->part), part);
	logic_reset(l);
	*out = l;
	return 0;
}

void logic_free(struct logic *l)
{
	free(l);
}

const char *logic_part(const struct logic *l)
{
	return l->part;
}

void logic_reset(struct logic *l)
{
	struct logic kept = { .kind = l->kind, .row = l->row };

	memcpy(kept.part, l->part, sizeof(kept.part));
	memset(l, 0, l->kind->bytes);
	*l = kept;
	if (l->kind->reset)
		l->kind->reset(l);
}

int logic_write(struct logic *l, const void *bytes, size_t n, struct reason *why)
{
	if (!l->err) {
		l->bytes += n;
		l->err = l->kind->write(l, bytes, n, &l->why);
	}
	if (l->err)
		*why = l->why;
	return l->err;
}

void logic_end(struct logic *l)
{
	if (!l->err && l->kind->end)
		l->kind->end(l);
}

bool logic_done(const struct logic *l)
{
	return !l->err && l->kind->done(l);
}

bool logic_proven(const struct logic *l)
{
	return logic_done(l) && l->kind->proven(l);
}

uint64_t logic_bytes(const struct logic *l)
{
	return l->bytes;
}

uint64_t logic_frames(const struct logic *l)
{
	return l->frames;
}

uint64_t logic_checks(const struct logic *l)
{
	return l->checks;
}

bool logic_same(const struct logic *a, const struct logic *b)
{
	return a->row == b->row && a->sum == b->sum && a->frames == b->frames &&
	       logic_done(a) == logic_done(b);
}

void logic_status(const struct logic *l, char *text, size_t size)
{
	l->kind->status(l, text, size);
}

const char *logic_confirms(const struct logic *l)
{
	return l->kind->confirms(l);
}
