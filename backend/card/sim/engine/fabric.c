// SPDX-License-Identifier: Apache-2.0
/*
 * The fabric from outside: one chip in its package, its configuration port, its
 * pins and its clock. What each of them does is in the other files.
 */
#include "fabric.h"

#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

extern const uint8_t sim_db_lp384[], sim_db_hx1k[], sim_db_hx8k[], sim_db_up5k[];
extern const uint64_t sim_db_lp384_size, sim_db_hx1k_size, sim_db_hx8k_size, sim_db_up5k_size;

/* Parts of which a database is linked in. LP and HX dies of one size take the
 * same images; the letters are speed and voltage, which have no model here. */
static const struct part {
	const char *name, *package;
	const uint8_t *db;
	const uint64_t *db_size;
} parts[] = {
	{ "iCE40-HX1K", "tq144", sim_db_hx1k, &sim_db_hx1k_size },
	{ "iCE40-LP1K", "cm121", sim_db_hx1k, &sim_db_hx1k_size },
	{ "iCE40-HX8K", "ct256", sim_db_hx8k, &sim_db_hx8k_size },
	{ "iCE40-LP8K", "cm81", sim_db_hx8k, &sim_db_hx8k_size },
	{ "iCE40-LP384", "cm49", sim_db_lp384, &sim_db_lp384_size },
	{ "iCE40-UP5K", "sg48", sim_db_up5k, &sim_db_up5k_size },
};

/* Evaluations of the whole design in a cycle from which on it is worth a look at the clock. One has a
 * few, with a PLL one or two for each of its edges; what does not rest has thousands. */
#define COSTLY_PASSES 256

struct pin {
	const char *name;
	unsigned pad;
};

struct fabric {
	const struct part *part;
	const char *package;
	struct chipdb db;
	struct config config;
	struct pin *pins;
	unsigned n_pins;
	uint8_t *staged, *driven_in; /* by pad: the level from outside, next and now */
	uint8_t *is_driven;          /* ... which the board gives it */
	unsigned *changed;           /* pads staged since the last time */
	uint8_t *is_changed;
	unsigned n_changed, n_pads;
	struct program *program;     /* NULL while DONE is low */
	struct eval eval;
	struct fabric_counters counters; /* of designs before this one, and cycles */
	struct fabric_counters cycle;    /* what the last cycle added */
	bool quiet;
	bool costly;                 /* the last cycle, see COSTLY_PASSES */
	int quiet_clk;
	int clock_pad;               /* of the board's clock, -1 = not told */
	unsigned clock_hz;
};

static const struct part *part_find(const char *name, struct reason *why)
{
	char known[128] = "";
	size_t len = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!strcasecmp(parts[i].name, name))
			return &parts[i];
		len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s", i ? ", " : "",
					parts[i].name);
	}
	reason_set(why, ENODEV, "no fabric database for part '%s', there are %s", name, known);
	return NULL;
}

static int pins_init(struct fabric *f, const char *package, struct reason *why)
{
	const struct chipdb *db = &f->db;
	unsigned first = 0;
	bool found = false;
	uint16_t *io;

	for (unsigned i = 0; i < db->count[DB_PACKAGES]; i++) {
		const uint8_t *p = db->sec[DB_PACKAGES] + 12 * i;

		if (strcasecmp(chipdb_string(db, db32(p)), package) != 0)
			continue;
		found = true;
		f->package = chipdb_string(db, db32(p));
		first = db32(p + 4);
		f->n_pins = db32(p + 8);
	}
	if (!found)
		return reason_set(why, EINVAL, "%s has no package '%s'", f->part->name, package);
	f->pins = calloc(f->n_pins + 1, sizeof(*f->pins));
	io = calloc(db->count[DB_TILES], sizeof(*io));
	for (unsigned t = 0; io && t < db->count[DB_TILES]; t++)
		if (db->sec[DB_TILES][t] == TILE_IO) {
			io[t] = (uint16_t)(f->n_pads / 2);
			f->n_pads += 2;
		}
	f->staged = calloc(f->n_pads + 1, 1);
	f->driven_in = calloc(f->n_pads + 1, 1);
	f->is_driven = calloc(f->n_pads + 1, 1);
	f->is_changed = calloc(f->n_pads + 1, 1);
	f->changed = calloc(f->n_pads + 1, sizeof(*f->changed));
	if (!f->pins || !io || !f->staged || !f->driven_in || !f->is_driven || !f->is_changed ||
	    !f->changed) {
		free(io);
		return reason_set(why, ENOMEM, "no memory for the pins");
	}
	for (unsigned i = 0; i < f->n_pins; i++) {
		const uint8_t *p = db->sec[DB_PINS] + 8 * (size_t)(first + i);

		f->pins[i].name = chipdb_string(db, db32(p));
		f->pins[i].pad = 2u * io[chipdb_tile(db, p[4], p[5])] + p[6];
	}
	free(io);
	return 0;
}

/* db: the part's database if it was checked before, else NULL. */
static int fabric_new_part(const struct part *part, const char *package, const struct chipdb *db,
			   struct fabric **out, struct reason *why)
{
	struct fabric *f = calloc(1, sizeof(*f));
	int err = 0;

	if (!f)
		return reason_set(why, ENOMEM, "no memory for a fabric");
	f->part = part;
	f->quiet_clk = f->clock_pad = -1;
	f->clock_hz = FABRIC_CLOCK_HZ;
	if (db)
		f->db = *db;
	else
		err = chipdb_open(&f->db, part->db, *part->db_size, why);
	if (err == 0)
		err = config_init(&f->config, &f->db, why);
	if (err == 0)
		err = pins_init(f, package ? package : part->package, why);
	if (err != 0) {
		fabric_free(f);
		return err;
	}
	*out = f;
	return 0;
}

int fabric_new(const char *part, const char *package, struct fabric **out, struct reason *why)
{
	const struct part *found = part_find(part, why);

	return found ? fabric_new_part(found, package, NULL, out, why) : -ENODEV;
}

static void design_drop(struct fabric *f)
{
	if (!f->program)
		return;
	f->counters.toggles += f->eval.toggles;
	f->counters.ram_reads += f->eval.ram_reads;
	f->counters.ram_writes += f->eval.ram_writes;
	f->counters.unsettled += f->eval.unsettled;
	eval_fini(&f->eval);
	memset(&f->eval, 0, sizeof(f->eval));
	program_free(f->program);
	f->program = NULL;
	f->quiet = false;
}

void fabric_free(struct fabric *f)
{
	if (!f)
		return;
	design_drop(f);
	config_fini(&f->config);
	free(f->pins);
	free(f->staged);
	free(f->driven_in);
	free(f->is_driven);
	free(f->is_changed);
	free(f->changed);
	free(f);
}

const char *fabric_part(const struct fabric *f)
{
	return f->part->name;
}

const char *fabric_package(const struct fabric *f)
{
	return f->package;
}

/* ---- configuration ---- */

void fabric_config_reset(struct fabric *f)
{
	design_drop(f);
	config_reset(&f->config);
}

/* What the board drives reaches the design; returns whether anything changed. */
static bool inputs_apply(void *arg)
{
	struct fabric *f = arg;
	bool changed = false;

	/* A PLL sees an edge with what its other inputs were before. */
	for (unsigned i = 0; i < f->n_changed && f->program && f->program->n_sources != 0; i++) {
		unsigned pad = f->changed[i];

		if (f->driven_in[pad] == f->staged[pad])
			continue;
		sources_move(&f->eval, (int)pad, f->staged[pad], (int)pad == f->clock_pad);
		changed = true;
	}
	for (unsigned i = 0; i < f->n_changed; i++) {
		unsigned pad = f->changed[i];

		f->is_changed[pad] = 0;
		f->driven_in[pad] = f->staged[pad];
		if (f->program && f->program->pad_ext[pad] &&
		    eval_input(&f->eval, f->program->pad_ext[pad], f->staged[pad]))
			changed = true;
	}
	f->n_changed = 0;
	return changed;
}

static int design_decode(struct fabric *f, bool tolerant, struct program **out, struct reason *why)
{
	struct netlist n;
	int err = netlist_init(&n, &f->config, tolerant, why);

	if (err == 0 && !tolerant)
		err = clocks_check_package(&n, f->package, why);
	if (err == 0)
		err = program_build(&n, out, why);
	netlist_fini(&n);
	return err;
}

static int design_start(struct fabric *f, struct program *p, bool tolerant, struct reason *why)
{
	int err = eval_init(&f->eval, p, why);

	if (err == 0)
		err = sources_init(&f->eval, f->clock_hz, tolerant, why);
	if (err != 0) {
		eval_fini(&f->eval);
		program_free(p);
		return err;
	}
	inputs_apply(f);
	f->program = p;
	for (unsigned pad = 0; pad < f->n_pads; pad++)
		if (!f->is_driven[pad])
			f->staged[pad] = f->driven_in[pad] = p->pad_pulled[pad];
	for (unsigned pad = 0; pad < f->n_pads; pad++)
		if (p->pad_ext[pad])
			p->val[p->pad_ext[pad]] = f->driven_in[pad];
	return 0;
}

int fabric_config_write(struct fabric *f, const void *bytes, size_t n, struct reason *why)
{
	struct program *p = NULL;
	struct reason local = { 0 };
	size_t used;
	int err;

	if (f->program || n == 0)
		return f->config.state == CONFIG_FAILED ?
			       reason_set(why, f->config.failed.err, "%s", f->config.failed.text) :
			       0;
	err = config_feed(&f->config, bytes, n, &used, why);
	if (err != 0 || f->config.state != CONFIG_AWAKE)
		return err;
	err = design_decode(f, false, &p, &local);
	if (err == 0)
		err = design_start(f, p, false, &local);
	if (err != 0) {
		config_fail(&f->config, &local);
		return reason_set(why, local.err, "%s", local.text);
	}
	eval_start(&f->eval);
	return 0;
}

bool fabric_done(const struct fabric *f)
{
	return f->program != NULL;
}

bool fabric_config_failed(const struct fabric *f)
{
	return f->config.state == CONFIG_FAILED;
}

uint64_t fabric_config_bytes(const struct fabric *f)
{
	return f->config.bytes;
}

/* A scratch fabric that took the whole image. */
static int scratch_load(const struct fabric *f, const void *image, size_t n, struct fabric **out,
			struct reason *why)
{
	int err = fabric_new_part(f->part, f->package, &f->db, out, why);

	if (err != 0)
		return err;
	(*out)->clock_hz = f->clock_hz;
	err = fabric_config_write(*out, image, n, why);
	if (err == 0 && !fabric_done(*out))
		err = reason_set(why, EBADMSG,
				 "the image ends after %zu bytes, before its wake-up command", n);
	if (err != 0) {
		fabric_free(*out);
		*out = NULL;
	}
	return err;
}

int fabric_check(const struct fabric *f, const void *image, size_t n, struct reason *why)
{
	struct fabric *scratch = NULL;
	int err = scratch_load(f, image, n, &scratch, why);

	fabric_free(scratch);
	return err;
}

int fabric_verify(const struct fabric *f, const void *image, size_t n, struct reason *why)
{
	struct fabric *want = NULL;
	unsigned differ = 0, first_bank = 0, first_row = 0, first_col = 0;
	int err;

	if (!fabric_done(f))
		return reason_set(why, ENODATA, "nothing is configured, there is nothing to verify");
	err = scratch_load(f, image, n, &want, why);
	if (err != 0)
		return err;
	for (unsigned b = 0; b < 4; b++)
		for (unsigned row = 0; row < f->db.bank_height[b]; row++)
			for (unsigned col = 0; col < f->db.cram_width; col++) {
				if (cram_bit(&f->config, b, row, col) ==
				    cram_bit(&want->config, b, row, col))
					continue;
				if (differ++ == 0) {
					first_bank = b;
					first_row = row;
					first_col = col;
				}
			}
	fabric_free(want);
	if (differ != 0)
		return reason_set(why, EBADMSG,
				  "configuration memory differs from the image in %u bit%s, the "
				  "first in bank %u, row %u, column %u; program it again", differ,
				  differ == 1 ? "" : "s", first_bank, first_row, first_col);
	return 0;
}

const uint8_t *fabric_cram(const struct fabric *f, unsigned bank, size_t *bytes, unsigned *width)
{
	if (bank > 3)
		return NULL;
	if (bytes)
		*bytes = (size_t)f->db.cram_width * f->db.bank_height[bank] / 8;
	if (width)
		*width = f->db.cram_width;
	return f->config.cram[bank];
}

/* Registers and memories of the design before the upset, where they still are. */
static void state_copy(const struct program *from, struct program *to)
{
	unsigned first_from = from->n_groups ? from->groups[0].q : 0;
	unsigned first_to = to->n_groups ? to->groups[0].q : 0;

	for (unsigned i = 0; i < to->n_dffs; i++)
		for (unsigned k = 0; k < from->n_dffs; k++)
			if (to->dff_sig[i] == from->dff_sig[k])
				to->val[first_to + i] = from->val[first_from + k];
	for (unsigned i = 0; i < to->n_rams; i++)
		for (unsigned k = 0; k < from->n_rams; k++) {
			if (to->rams[i].number != from->rams[k].number)
				continue;
			memcpy(to->rams[i].words, from->rams[k].words, sizeof(to->rams[i].words));
			memcpy(to->val + to->rams[i].q, from->val + from->rams[k].q, 16);
		}
	for (unsigned i = 0; i < to->n_sprams; i++)
		for (unsigned k = 0; k < from->n_sprams; k++) {
			if (to->sprams[i].number != from->sprams[k].number)
				continue;
			spram_copy(&from->sprams[k], &to->sprams[i]);
			memcpy(to->val + to->sprams[i].q, from->val + from->sprams[k].q, 16);
		}
	sources_copy(from, to);
}

int fabric_upset(struct fabric *f, unsigned bank, unsigned row, unsigned column,
		 struct reason *why)
{
	struct program *p = NULL;
	size_t bit = (size_t)row * f->db.cram_width + column;
	int err;

	if (!fabric_done(f))
		return reason_set(why, ENODATA, "nothing is configured, there is no bit to upset");
	if (bank > 3 || row >= f->db.bank_height[bank] || column >= f->db.cram_width)
		return reason_set(why, EINVAL,
				  "no configuration bit %u,%u,%u; there are 4 banks, this one of %u "
				  "rows and %u columns", bank, row, column,
				  bank > 3 ? 0 : f->db.bank_height[bank], f->db.cram_width);
	f->config.cram[bank][bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
	err = design_decode(f, true, &p, why);
	if (err == 0) {
		state_copy(f->program, p);
		design_drop(f);
		err = design_start(f, p, true, why);
	}
	if (err != 0)
		return err;
	eval_start(&f->eval);
	return 0;
}

const char *fabric_comment(const struct fabric *f)
{
	return fabric_done(f) ? f->config.comment : "";
}

/* ---- pins ---- */

unsigned fabric_pins(const struct fabric *f)
{
	return f->n_pins;
}

static bool pin_ok(const struct fabric *f, int pin)
{
	return pin >= 0 && (unsigned)pin < f->n_pins;
}

int fabric_pin(const struct fabric *f, const char *name)
{
	for (unsigned i = 0; i < f->n_pins; i++)
		if (!strcmp(f->pins[i].name, name))
			return (int)i;
	return -1;
}

const char *fabric_pin_name(const struct fabric *f, int pin)
{
	return pin_ok(f, pin) ? f->pins[pin].name : "";
}

enum fabric_dir fabric_pin_dir(const struct fabric *f, int pin)
{
	unsigned use;

	if (!pin_ok(f, pin) || !f->program)
		return FABRIC_PIN_OFF;
	use = f->program->pad_use[f->pins[pin].pad];
	if (use == PAD_USE_IN)
		return FABRIC_PIN_IN;
	if (use == PAD_USE_OUT)
		return FABRIC_PIN_OUT;
	return use == 0 ? FABRIC_PIN_OFF : FABRIC_PIN_INOUT;
}

static void pad_stage(struct fabric *f, unsigned pad, bool level)
{
	f->staged[pad] = level;
	if (f->is_changed[pad] || level == f->driven_in[pad])
		return;
	f->is_changed[pad] = 1;
	f->changed[f->n_changed++] = pad;
}

void fabric_pin_set(struct fabric *f, int pin, bool level)
{
	if (!pin_ok(f, pin))
		return;
	f->is_driven[f->pins[pin].pad] = 1;
	pad_stage(f, f->pins[pin].pad, level);
}

void fabric_pin_release(struct fabric *f, int pin)
{
	unsigned pad;

	if (!pin_ok(f, pin))
		return;
	pad = f->pins[pin].pad;
	f->is_driven[pad] = 0;
	pad_stage(f, pad, f->program && f->program->pad_pulled[pad]);
}

int fabric_pin_level(const struct fabric *f, int pin)
{
	unsigned pad;

	if (!pin_ok(f, pin))
		return 0;
	pad = f->pins[pin].pad;
	if (f->program && f->program->pad_use[pad] & PAD_USE_OUT)
		return f->program->val[f->program->pad_level[pad]];
	return f->driven_in[pad];
}

bool fabric_pin_driven(const struct fabric *f, int pin)
{
	return pin_ok(f, pin) && f->program &&
	       f->program->val[f->program->pad_oe[f->pins[pin].pad]];
}

/* ---- running ---- */

void fabric_clock(struct fabric *f, int pin, unsigned hz)
{
	f->clock_pad = pin_ok(f, pin) ? (int)f->pins[pin].pad : -1;
	if (hz != 0)
		f->clock_hz = hz;
}

void fabric_settle(struct fabric *f)
{
	if (inputs_apply(f)) {
		f->quiet = false;
		if (f->program && f->program->n_sources != 0)
			sources_settle(&f->eval);
		else
			eval_settle(&f->eval);
	}
}

void fabric_cycle(struct fabric *f, int clk_pin)
{
	struct eval *e = &f->eval;
	uint64_t changes, toggles, reads, writes, passes;
	uint16_t clk = 0;
	int pad = -1;

	f->counters.cycles++;
	f->costly = false;
	if (!f->program) {
		inputs_apply(f);
		return;
	}
	passes = e->all_passes;
	if (pin_ok(f, clk_pin)) {
		pad = (int)f->pins[clk_pin].pad;
		clk = f->program->pad_ext[pad];
		if (f->is_changed[pad] || f->driven_in[pad]) {
			/* somebody moved the clock by hand: there is an edge only from low */
			fabric_pin_set(f, clk_pin, false);
			fabric_settle(f);
		}
	}
	changes = e->state_changes;
	toggles = e->toggles;
	reads = e->ram_reads;
	writes = e->ram_writes;
	if (f->program->n_sources != 0)
		sources_cycle(e, clk, pad, inputs_apply, f);
	else
		eval_cycle(e, clk, inputs_apply, f);
	f->cycle.toggles = e->toggles - toggles;
	f->cycle.ram_reads = e->ram_reads - reads;
	f->cycle.ram_writes = e->ram_writes - writes;
	f->quiet = e->state_changes == changes && f->program->loops == 0 &&
		   (f->program->n_sources == 0 || sources_still(e, pad));
	f->quiet_clk = clk_pin;
	f->costly = e->all_passes - passes > COSTLY_PASSES;
}

bool fabric_costly(const struct fabric *f)
{
	return f->costly;
}

bool fabric_quiet(const struct fabric *f)
{
	return (f->quiet || !f->program) && f->n_changed == 0;
}

/* Of a quiet design with clocks of its own: they go on. */
static void clock_skip(struct fabric *f, int clk_pin, uint64_t n)
{
	int pad = pin_ok(f, clk_pin) ? (int)f->pins[clk_pin].pad : -1;

	sources_skip(&f->eval, pad, pad < 0 ? 0 : f->program->pad_ext[pad], n);
}

uint64_t fabric_cycles_until(struct fabric *f, int clk_pin, uint64_t n, int pin, bool level)
{
	uint64_t done = 0;

	if (f->n_changed == 0 && pin_ok(f, pin) && fabric_pin_level(f, pin) == level)
		return 0;
	while (done < n) {
		if (fabric_quiet(f) && (f->quiet_clk == clk_pin || !f->program)) {
			/* every further cycle is like the last one */
			uint64_t rest = n - done;

			f->counters.cycles += rest;
			if (f->program && f->program->n_sources != 0) {
				clock_skip(f, clk_pin, rest);
				return n;
			}
			f->eval.toggles += rest * f->cycle.toggles;
			f->eval.ram_reads += rest * f->cycle.ram_reads;
			f->eval.ram_writes += rest * f->cycle.ram_writes;
			return n;
		}
		fabric_cycle(f, clk_pin);
		done++;
		if (f->costly || (pin_ok(f, pin) && fabric_pin_level(f, pin) == level))
			break;
	}
	return done;
}

uint64_t fabric_cycles_busy(struct fabric *f, int clk_pin, uint64_t n, int pin, bool level)
{
	uint64_t done = 0;

	do {
		fabric_cycle(f, clk_pin);
		done++;
	} while (done < n && !f->costly && !fabric_quiet(f) &&
		 !(pin_ok(f, pin) && fabric_pin_level(f, pin) == level));
	return done;
}

void fabric_cycles(struct fabric *f, int clk_pin, uint64_t n)
{
	for (uint64_t done = 0; done < n;)
		done += fabric_cycles_until(f, clk_pin, n - done, -1, false);
}

/* ---- what is known ---- */

void fabric_counters(const struct fabric *f, struct fabric_counters *out)
{
	*out = f->counters;
	out->toggles += f->eval.toggles;
	out->ram_reads += f->eval.ram_reads;
	out->ram_writes += f->eval.ram_writes;
	out->unsettled += f->eval.unsettled;
}

void fabric_resources(const struct fabric *f, struct fabric_resources *out)
{
	const struct program *p = f->program;

	memset(out, 0, sizeof(*out));
	for (unsigned t = 0; t < f->db.count[DB_TILES]; t++) {
		out->total_luts += 8 * (f->db.sec[DB_TILES][t] == TILE_LOGIC);
		out->total_rams += f->db.sec[DB_TILES][t] == TILE_RAMB;
		out->total_dsps += f->db.sec[DB_TILES][t] == TILE_DSP0;
	}
	for (unsigned i = 0; i < f->db.count[DB_CELLS]; i++)
		out->total_sprams += !strcmp(chipdb_cell(&f->db, i).kind, "SPRAM");
	out->total_pins = f->n_pins;
	if (!p)
		return;
	out->luts = p->luts;
	out->dffs = p->logic_dffs;
	out->carries = p->carries;
	out->rams = p->n_rams;
	out->sprams = p->n_sprams;
	out->plls = p->n_sources;
	out->dsps = p->macs;
	for (unsigned pad = 0; pad < p->n_pads; pad++) {
		out->pins_in += (p->pad_use[pad] & PAD_USE_IN) != 0;
		out->pins_out += (p->pad_use[pad] & PAD_USE_OUT) != 0;
	}
	out->globals = p->globals;
	for (unsigned i = 0; i < p->n_domains; i++)
		out->clock_domains += p->domains[i].clk >= 2;
	out->lut_levels = p->lut_levels;
	out->ops = p->n_ops;
	out->loops = p->loops;
	out->undriven = p->undriven;
}
