// SPDX-License-Identifier: Apache-2.0
/*
 * status and status.json: all cards at a glance. Rendered from the published
 * views, so a sick card delays nothing.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/card/target.h"
#include "fs/remote/origin.h"
#include "fs/tree/tables.h"

#include <fabricfs/clock.h>

/* --- the table --------------------------------------------------------------------------- */

#define COLUMNS 8
static const char *const heads[COLUMNS] = { "DEV", "STATE", "PART", "IMAGE", "LOADED", "TEMP", "POWER",
					    "HOLDER" };

struct table {
	struct buf cells; /* NUL-separated, row by row */
	unsigned widths[COLUMNS];
	unsigned column;
};

/* A cell is one word, so that `awk '{print $4}'` finds it. */
static void cell(struct table *t, const char *text)
{
	struct buf clean CLEANUP_BUF = BUF_INIT;
	unsigned width = 0;

	text_clean(*text ? text : "-", &clean);
	if (buf_ok(&clean)) {
		t->cells.failed = true;
		return;
	}
	for (char *c = clean.data; *c; c++) {
		if (*c == ' ')
			*c = '_';
		if (((unsigned char)*c & 0xc0) != 0x80)
			width++;
	}
	buf_add(&t->cells, clean.data, clean.len + 1);
	if (width > t->widths[t->column])
		t->widths[t->column] = width;
	t->column = (t->column + 1) % COLUMNS;
}

static void cell_sensor(struct table *t, const struct card_view *view, const char *name, const char *unit)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	for (unsigned i = 0; view && i < view->sensors_len; i++) {
		const char *s = view->sensors[i].name;

		if (strcmp(s, name) && !(!strncmp(s, "model_", 6) && !strcmp(s + 6, name)))
			continue;
		sensor_format(&view->sensors[i], &b);
		if (b.len) {
			b.data[--b.len] = 0;
			buf_adds(&b, unit);
		}
		break;
	}
	cell(t, b.len ? b.data : "");
}

static void table_slot(struct table *t, const struct card_view *view, const struct slot_view *self, int slot)
{
	const struct loaded *loaded = &self->loaded;
	char text[RFC3339_MAX];

	if (slot < 0)
		snprintf(text, sizeof(text), "dev%u", view->dev);
	else
		snprintf(text, sizeof(text), "dev%u/slots/%d", view->dev, slot);
	cell(t, text);
	cell(t, state_word(self->state));
	cell(t, view->facts.part);
	/* What has no name is told by the beginning of its hash. */
	text_copy(text, 13, loaded->sha256);
	cell(t, !text[0] ? "" : loaded->name[0] ? loaded->name : loaded->design[0] ? loaded->design : text);
	text[0] = 0;
	if (loaded->sha256[0]) {
		clock_rfc3339(loaded->loaded_at_ns, text);
		/* Whole seconds are enough for people. */
		if (strlen(text) > 19) {
			text[19] = 'Z';
			text[20] = 0;
		}
	}
	cell(t, text);
	cell_sensor(t, slot < 0 ? view : NULL, "temp_celsius", "C");
	/* A slot has its share, where that is known. */
	if (slot < 0)
		text_copy(text, sizeof(text), "power_watts");
	else
		snprintf(text, sizeof(text), "slot%d_power_watts", slot);
	cell_sensor(t, view, text, "W");
	cell(t, "");
}

void format_status(const struct place *p, struct buf *out)
{
	struct table t = { .cells = BUF_INIT };
	const char *at;
	unsigned column = 0;

	(void)p;
	for (unsigned i = 0; i < COLUMNS; i++)
		cell(&t, heads[i]);
	for (unsigned i = 0; i < cards_count(); i++) {
		struct card *card = cards_nth(i);

		if (!card)
			continue;

		const struct card_view *view = card_view_get(card);

		table_slot(&t, view, &view->self, -1);
		for (unsigned s = 0; s < view->slots_len; s++)
			table_slot(&t, view, &view->slots[s], (int)s);
		card_view_put(view);
	}
	if (buf_ok(&t.cells)) {
		out->failed = true;
		buf_free(&t.cells);
		return;
	}
	for (at = t.cells.data; at < t.cells.data + t.cells.len; at += strlen(at) + 1) {
		unsigned width = 0;

		buf_adds(out, at);
		if (column == COLUMNS - 1) {
			buf_adds(out, "\n");
			column = 0;
			continue;
		}
		for (const char *c = at; *c; c++)
			width += ((unsigned char)*c & 0xc0) != 0x80;
		buf_addf(out, "%*s", (int)(t.widths[column] - width + 2), "");
		column++;
	}
	buf_free(&t.cells);
}

/* --- JSON ---------------------------------------------------------------------------------- */

/* Unknown is null, as in inspect --json. */
static json_t *text_or_null(const char *text)
{
	struct buf clean CLEANUP_BUF = BUF_INIT;

	if (!text || !*text)
		return json_null();
	text_clean(text, &clean);
	return buf_ok(&clean) ? json_null() : json_string(clean.data);
}

static void put(json_t *o, const char *key, json_t *value)
{
	json_object_set_new(o, key, value);
}

static json_t *json_time(int64_t ns)
{
	char text[RFC3339_MAX];

	clock_rfc3339(ns, text);
	return text_or_null(text);
}

/* The image's facts as inspect --json tells them, without what is about a file. */
static json_t *json_facts(const struct image_facts *facts)
{
	char *text CLEANUP_FREE = image_facts_json(facts, NULL, NULL, 0, 0, NULL, NULL);
	json_t *all = text ? json_loads(text, 0, NULL) : NULL, *o = json_object();

	for (unsigned i = 0; i < loaded_names_len; i++) {
		json_t *value = json_object_get(all, loaded_names[i]);

		if (value)
			json_object_set(o, loaded_names[i], value);
	}
	json_decref(all);
	return o;
}

static json_t *json_loaded(const struct slot_view *self)
{
	const struct loaded *l = &self->loaded;
	json_t *o, *facts;

	if (!l->sha256[0])
		return json_null();
	o = json_object();
	put(o, "name", text_or_null(l->name));
	put(o, "sha256", text_or_null(l->sha256));
	put(o, "size", json_integer((json_int_t)l->size));
	facts = json_facts(&self->loaded_facts);
	json_object_update_missing(o, facts);
	json_decref(facts);
	put(o, "format", text_or_null(l->format));
	put(o, "part", text_or_null(l->part));
	put(o, "design", text_or_null(l->design));
	put(o, "tool", text_or_null(l->tool));
	put(o, "built", text_or_null(l->built));
	put(o, "source", text_or_null(l->source));
	put(o, "loaded_at", json_time(l->loaded_at_ns));
	put(o, "loaded_by", text_or_null(l->loaded_by));
	put(o, "duration_ms", json_integer(l->duration_ms));
	put(o, "confirmed_by", text_or_null(l->confirmed_by));
	return o;
}

static json_t *json_progress(struct card *card, int slot)
{
	json_t *o = json_object();
	struct progress now;

	card_progress(card, slot, &now);
	if (now.phase == PHASE_IDLE)
		now.done = now.total = 0;
	put(o, "phase", json_string(phase_word(now.phase)));
	put(o, "done", json_integer((json_int_t)now.done));
	put(o, "total", json_integer((json_int_t)now.total));
	return o;
}

static const char *source_word(enum card_source source)
{
	switch (source) {
	case CARD_SENSOR: return "sensor";
	case CARD_MEASURED: return "measured";
	case CARD_DECODED: return "decoded";
	case CARD_MODEL: return "model";
	}
	return "sensor";
}

static json_t *json_sensors(const struct card_view *view)
{
	json_t *all = json_object();

	for (unsigned i = 0; i < view->sensors_len; i++) {
		const struct card_sensor *s = &view->sensors[i];
		struct buf shown CLEANUP_BUF = BUF_INIT;
		json_t *o = json_object();

		/* The same digits as the file: 3.3 and not 3.2999999523. */
		sensor_format(s, &shown);
		put(o, "value", !shown.len ? json_null() :
				strchr(shown.data, '.') ? json_real(strtod(shown.data, NULL)) :
							  json_integer(strtoll(shown.data, NULL, 10)));
		put(o, "source", json_string(source_word(s->source)));
		put(o, "time", json_time(view->sensors_ns));
		if (json_object_set_new(all, s->name, o))
			continue; /* not UTF-8: it has no file either */
	}
	return all;
}

static void put_error(json_t *o, struct card *card, int slot, const char *error)
{
	struct reason busy;

	if (card_busy(card, slot, &busy))
		error = busy.text;
	/* Known to be empty, so not null. */
	put(o, "error", *error ? text_or_null(error) : json_string(""));
}

static json_t *json_slot(struct card *card, const struct slot_view *self, int slot)
{
	json_t *o = json_object();

	put(o, "slot", json_integer(slot));
	put(o, "state", json_string(state_word(self->state)));
	put_error(o, card, slot, self->error);
	put(o, "progress", json_progress(card, slot));
	put(o, "loaded", json_loaded(self));
	put(o, "lease", json_null());
	return o;
}

static json_t *json_card(struct card *card, const struct card_view *view)
{
	const struct card_facts *f = &view->facts;
	json_t *o = json_object(), *slots = json_array(), *can = json_object();
	struct image_target target;
	char text[32];

	snprintf(text, sizeof(text), "dev%u", view->dev);
	put(o, "dev", json_string(text));
	put(o, "name", text_or_null(view->name));
	put(o, "vendor", text_or_null(f->vendor));
	put(o, "part", text_or_null(f->part));
	text[0] = 0;
	if (f->has_idcode)
		snprintf(text, sizeof(text), "%08x", (unsigned)f->idcode);
	put(o, "idcode", text_or_null(text));
	put(o, "serial", text_or_null(f->serial));
	put(o, "board", text_or_null(f->board));
	put(o, "backend", text_or_null(view->backend));
	put(o, "location", text_or_null(f->location));
	target_fill(view, -1, &target);
	put(o, "shell", text_or_null(target.shell));
	put(o, "compatible", text_or_null(f->compatible));
	put(o, "afus", text_or_null(f->afus));
	put(o, "formats", text_or_null(f->formats));
	put(o, "takes", text_or_null(takes_words(target.takes)));
	put(o, "state", json_string(state_word(view->self.state)));
	put_error(o, card, -1, view->self.error);
	put(o, "progress", json_progress(card, -1));
	put(o, "loaded", json_loaded(&view->self));
	put(o, "lease", json_null());
	put(o, "telemetry", json_sensors(view));
	put(can, "clear", json_boolean(f->can & CARD_CAN_CLEAR));
	put(can, "partial", json_boolean(f->can & CARD_CAN_PARTIAL));
	put(can, "readback", json_boolean(f->can & CARD_CAN_READBACK));
	put(can, "reset", json_boolean(f->can & CARD_CAN_RESET));
	put(o, "capabilities", can);
	put(o, "execution", text_or_null(f->execution));
	for (unsigned s = 0; s < view->slots_len; s++)
		json_array_append_new(slots, json_slot(card, &view->slots[s], (int)s));
	put(o, "slots", slots);
	return o;
}

static const char *repo_word(const struct repo_state *state)
{
	return !state->asked ? "unknown" : state->online ? "online" : "offline";
}

static json_t *json_repo(struct repo *repo)
{
	struct repo_state state;
	json_t *o = json_object();

	repo_state_get(repo, &state);
	put(o, "name", json_string(repo_name(repo)));
	put(o, "kind", json_string(repo_kind(repo)->name));
	put(o, "state", json_string(repo_word(&state)));
	put(o, "images", json_integer((json_int_t)state.images));
	put(o, "cached_bytes", json_integer((json_int_t)repo_cached(repo)));
	return o;
}

void format_status_json(const struct place *p, struct buf *out)
{
	json_t *o = json_object(), *cards = json_array(), *repos = json_array();
	char *text;

	(void)p;
	put(o, "version", json_string(FABRICFS_VERSION));
	put(o, "time", json_time(clock_now_ns()));
	for (unsigned i = 0; i < cards_count(); i++) {
		struct card *card = cards_nth(i);

		if (!card)
			continue;

		const struct card_view *view = card_view_get(card);

		json_array_append_new(cards, json_card(card, view));
		card_view_put(view);
	}
	put(o, "cards", cards);
	for (unsigned i = 0; i < mirror_count(); i++)
		json_array_append_new(repos, json_repo(mirror_nth(i)));
	put(o, "repositories", repos);
	text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
	json_decref(o);
	if (!text) {
		out->failed = true;
		return;
	}
	buf_adds(out, text);
	buf_adds(out, "\n");
	free(text);
}
