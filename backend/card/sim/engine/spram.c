// SPDX-License-Identifier: Apache-2.0
/*
 * The single-port RAMs of an UltraPlus (SB_SPRAM256KA), 16384 words of 16 bits.
 * Sources: Lattice's SPRAM usage guide (TN1314) for the ports and what saving
 * power does, the model that yosys ships (cells_sim.v), Project IceStorm for
 * where the ports and the enable bit are.
 *
 * A clock edge with CHIPSELECT reads, or with WREN writes those nibbles whose
 * MASKWREN is 1. STANDBY stops that. SLEEP pulls the outputs low at once and
 * keeps the contents; POWEROFF low does so and loses them. Where the documents
 * leave something open it is: an output keeps its level during a write and in
 * standby, and contents are 0 at wake-up and after a power-off.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

#define WORDS 16384

static const struct {
	const char *name;
	unsigned first, bits;
} ports[] = {
	{ "ADDRESS", SPRAM_ADDRESS, 14 }, { "DATAIN", SPRAM_DATA, 16 },
	{ "MASKWREN", SPRAM_MASK, 4 },
	{ "WREN", SPRAM_WRITE, 1 },     { "CHIPSELECT", SPRAM_SELECT, 1 },
	{ "STANDBY", SPRAM_STANDBY, 1 }, { "SLEEP", SPRAM_SLEEP, 1 },
	{ "POWEROFF", SPRAM_POWER, 1 }, { "CLOCK", SPRAM_CLOCK, 1 },
};

/* "ADDRESS_12" into name and 12, "WREN" into name and 0. */
static size_t name_split(const char *name, unsigned *bit)
{
	const char *end = strchr(name, '_');

	*bit = end ? (unsigned)strtoul(end + 1, NULL, 10) : 0;
	return end ? (size_t)(end - name) : strlen(name);
}

static void port_set(struct spram_ports *s, const struct chipdb_entry *e)
{
	unsigned bit;
	size_t len = name_split(e->name, &bit);

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (strlen(ports[i].name) == len && !strncmp(e->name, ports[i].name, len) &&
		    bit < ports[i].bits)
			s->net[ports[i].first + bit] = (int32_t)e->value;
}

void spram_open(struct netlist *n, unsigned spram, const struct chipdb_cell *cell)
{
	struct spram_ports *s = &n->sprams[spram];

	memset(s->net, 0xff, sizeof(s->net)); /* none */
	s->enabled = false;
	s->x = cell->x;
	s->y = cell->y;
	for (unsigned i = 0; i < cell->entries; i++) {
		struct chipdb_entry e = chipdb_entry(n->db, cell, i);
		unsigned bit;

		if (e.kind == ENTRY_BIT && !strcmp(e.name, "SPRAM_EN")) {
			s->enabled = tile_bit(&n->tiles[chipdb_tile(n->db, e.x, e.y)], e.value >> 8,
					      e.value & 255);
			s->x = e.x;
			s->y = e.y;
		} else if (e.kind == ENTRY_NET && !strncmp(e.name, "DATAOUT_", 8)) {
			name_split(e.name, &bit);
			if (bit < 16)
				n->source[e.value] = (int32_t)(n->spram_base + 16 * spram + bit);
		} else if (e.kind == ENTRY_NET) {
			port_set(s, &e);
		}
	}
}

int spram_get(struct netlist *n, unsigned spram, uint32_t port[SPRAM_PORTS], struct reason *why)
{
	const struct spram_ports *s = &n->sprams[spram];

	if (!s->enabled)
		return reason_set(why, EOPNOTSUPP,
				  "the image reads an SPRAM of tile %u,%u, which it has not enabled",
				  s->x, s->y);
	for (unsigned i = 0; i < SPRAM_PORTS; i++)
		port[i] = s->net[i] < 0 ? 0 : netlist_net(n, (uint32_t)s->net[i], 0);
	return 0;
}

/* ---- running ---- */

int spram_new(struct spram *s, struct reason *why)
{
	s->words = calloc(WORDS, sizeof(*s->words));
	s->blank = true;
	return s->words ? 0 : reason_set(why, ENOMEM, "no memory for an SPRAM");
}

void spram_copy(const struct spram *from, struct spram *to)
{
	memcpy(to->words, from->words, WORDS * sizeof(*to->words));
	to->blank = from->blank;
}

bool spram_is_async(const struct spram *s)
{
	return s->port[SPRAM_SLEEP] > 1 || s->port[SPRAM_POWER] > 1;
}

static unsigned gather(const uint8_t *val, const uint16_t *nodes, unsigned count)
{
	unsigned word = 0;

	for (unsigned i = 0; i < count; i++)
		word |= (unsigned)val[nodes[i]] << i;
	return word;
}

bool spram_accessed(const struct spram *s, const uint8_t *val)
{
	return val[s->port[SPRAM_SELECT]] && !val[s->port[SPRAM_STANDBY]] &&
	       !val[s->port[SPRAM_SLEEP]] && val[s->port[SPRAM_POWER]];
}

void spram_sample(struct spram *s, const uint8_t *val)
{
	if (!spram_accessed(s, val))
		return;
	s->row = (uint16_t)gather(val, s->port + SPRAM_ADDRESS, 14);
	if (!val[s->port[SPRAM_WRITE]]) {
		s->reading = true;
		return;
	}
	s->keep = 0;
	for (unsigned k = 0; k < 4; k++)
		if (!val[s->port[SPRAM_MASK + k]])
			s->keep |= (uint16_t)(0xfu << 4 * k);
	s->data = (uint16_t)gather(val, s->port + SPRAM_DATA, 16);
	s->writing = true;
}

static unsigned output_set(const struct spram *s, uint8_t *val, unsigned word)
{
	unsigned changes = 0;

	for (unsigned k = 0; k < 16; k++) {
		uint8_t v = word >> k & 1;

		changes += v ^ val[s->q + k];
		val[s->q + k] = v;
	}
	return changes;
}

unsigned spram_commit(struct spram *s, uint8_t *val, struct spram_done *done)
{
	unsigned changes = 0;

	if (s->reading) {
		done->toggles = output_set(s, val, s->words[s->row]);
		changes = done->toggles;
		done->reads = 1;
	} else if (s->writing) {
		uint16_t word = (uint16_t)((s->words[s->row] & s->keep) | (s->data & ~s->keep));

		changes = word != s->words[s->row];
		s->words[s->row] = word;
		s->blank = s->blank && word == 0;
		done->writes = 1;
	}
	s->reading = s->writing = false;
	return changes;
}

unsigned spram_async(struct spram *s, uint8_t *val)
{
	bool power = val[s->port[SPRAM_POWER]];
	unsigned changes = 0;

	if (power && !val[s->port[SPRAM_SLEEP]])
		return 0;
	if (!power && !s->blank) {
		memset(s->words, 0, WORDS * sizeof(*s->words));
		s->blank = true;
		changes++;
	}
	return changes + output_set(s, val, 0);
}
