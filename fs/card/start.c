// SPDX-License-Identifier: Apache-2.0
/*
 * Taking up a card, or a slot with an actor of its own (actor only): at the
 * start, after a restart of the worker, after a power cut or a replug. What it
 * says of itself is compared with what the store remembers; where the policy
 * says so, it gets back what it had.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/card/card.h"
#include "fs/card/io.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/* An offline card is tried again this often (there is no event for a helper that was missing). */
#define RETRY_NS (INT64_C(5) * 1000000000)
/* A request whose worker died while programming comes again at once, or never. */
#define UNRESOLVED_NS (INT64_C(2) * 1000000000)

static bool wants_restore(struct card *card)
{
	int said = card->card_config->policy.restore;
	const struct card_view *view = card_view_get(card);
	bool usual = view->facts.restore;

	card_view_put(view);
	return said >= 0 ? said : usual;
}

static void show_facts(struct card *card, const struct card_facts *facts)
{
	struct card_view *view = view_edit(card);

	if (!view)
		return;
	view->facts = *facts;
	view->told = true;
	if (!*view->facts.part)
		text_copy(view->facts.part, sizeof(view->facts.part), card->card_config->card.part);
	view->facts_ns = mtime_after(view->facts_ns);
	view_publish(card, view, -1, CHANGE_FACTS);
}

/* What the row says is loaded; empty when it says nothing or makes no sense. */
static void row_loaded(struct slot *slot, struct loaded *loaded)
{
	if (!*slot->row.loaded_sha256 || loaded_parse(slot->row.loaded, loaded, NULL))
		memset(loaded, 0, sizeof(*loaded));
}

/* The card does not have what the store says it had. */
static void row_lost(struct slot *slot, enum state state)
{
	struct store_slot *row = &slot->row;
	struct reason why = { 0 };

	row_push_previous(row, "");
	row->restorable = false;
	row->load++;
	row->state_mtime_ns = clock_now_ns();
	text_copy(row->state, sizeof(row->state), state_word(state));
	if (store_commit(slot->card->store, slot->card->dev, slot->index, row, NULL, NULL, &why))
		log_error("%s: %s", slot->name, why.text);
	slot_io_stale(slot);
	slot_show_loaded(slot, state, NULL, &(struct loaded){ 0 });
}

static void restore(struct slot *slot, const char *note)
{
	struct reason why = { 0 };
	char sha256[SHA256_HEX];
	char *json CLEANUP_FREE = slot->row.loaded ? strdup(slot->row.loaded) : NULL;
	/* Not of a request: a number of this mount that no request has. */
	uint64_t run = session_id() ^ (session_number() << 1 | UINT64_C(1) << 61);

	memcpy(sha256, slot->row.loaded_sha256, SHA256_HEX);
	slot_cancel_clear(slot);
	if (slot_program_blob(slot, sha256, json, "programmed", note, NULL, run, NULL, &why)) {
		log_error("%s: restoring %s: %s", slot->name, sha256, why.text);
		/* Refused before it was touched: the card is empty, and has it no more. */
		if (!slot->run_told)
			row_lost(slot, STATE_UNCONFIGURED);
	}
}

static bool has_image(const struct slot *slot)
{
	return *slot->row.loaded_sha256 && slot->row.restorable;
}

/* Show what the row says, with a state that we can stand for. */
static void show_row(struct slot *slot, enum state state)
{
	struct loaded loaded;

	row_loaded(slot, &loaded);
	slot_show_loaded(slot, state, slot->row.error, &loaded);
}

static void slot_compare(struct slot *slot, const struct card_status *status, const char *note)
{
	struct card *card = slot->card;
	struct actor *actor = slot->actor;
	bool interrupted = state_parse(slot->row.state) == STATE_PROGRAMMING;

	switch (status->condition) {
	case CARD_CONFIGURED:
		if (*status->sha256 && !strcmp(status->sha256, slot->row.loaded_sha256)) {
			text_copy(slot->row.state, sizeof(slot->row.state), state_word(STATE_CONFIGURED));
			show_row(slot, STATE_CONFIGURED);
			return;
		}
		if (!*status->sha256 && !interrupted && has_image(slot)) {
			/* It runs something and cannot say what: only what we know stands. */
			show_row(slot, STATE_CONFIGURED);
			return;
		}
		break;
	case CARD_UNCONFIGURED:
		if (has_image(slot) && wants_restore(card) && (actor->fresh || !interrupted)) {
			restore(slot, note);
			return;
		}
		if (interrupted && !actor->fresh)
			break;
		row_lost(slot, STATE_UNCONFIGURED);
		return;
	case CARD_FAILED:
		if (interrupted && !actor->fresh)
			break;
		row_lost(slot, STATE_FAILED);
		return;
	case CARD_UNKNOWN:
		if (!interrupted) {
			/* A worker that takes over knows what its predecessor knew. */
			show_row(slot, actor->fresh ? STATE_UNKNOWN : state_parse(slot->row.state));
			return;
		}
		break;
	}
	if (interrupted && !actor->fresh) {
		/* The request that was programming will come again in a moment. */
		actor->unresolved = true;
		actor->unresolved_ns = clock_mono_ns() + UNRESOLVED_NS;
		slot_show_loaded(slot, STATE_PROGRAMMING, NULL, &(struct loaded){ 0 });
		cards_kick();
		return;
	}
	/* Configured with something that did not come through us. */
	row_lost(slot, status->condition == CARD_CONFIGURED ? STATE_CONFIGURED : STATE_UNKNOWN);
}

static void compare_all(struct actor *actor, const char *note)
{
	struct card *card = actor->card;
	struct slot *slot;

	for (int i = -1; (slot = card_slot(card, i)); i++) {
		struct card_status status = { 0 };
		struct reason why = { 0 };

		if (slot->actor != actor)
			continue;
		if (i < 0 && card->slots_len) {
			/* Its slots have the images; in the card itself there is nothing. */
			slot_show_loaded(slot, STATE_UNCONFIGURED, "", &(struct loaded){ 0 });
			continue;
		}
		if (card->backend->status(actor->handle, i < 0 ? 0 : (unsigned)i, &status, &why)) {
			log_warn("%s: status: %s", slot->name, why.text);
			status.condition = CARD_UNKNOWN;
		}
		slot_compare(slot, &status, note);
	}
}

void card_alert(struct card *card, int err, const char *reason)
{
	struct record r = { .event = "alert", .err = err, .reason = reason, .duration_ms = -1 };
	struct reason why = { 0 };

	if (slot_record(&card->self, NULL, &r, &why))
		log_error("dev%u: history: %s", card->dev, why.text);
}

/* --- slots with actors of their own follow the card --------------------------------- */

struct follow {
	struct job job;
	struct actor *actor;
	bool gone;
	struct reason why;
};

static void follow_run(struct card *card, struct job *job, bool end)
{
	struct follow *f = (struct follow *)job;

	(void)card;
	if (!end && f->gone)
		actor_gone(f->actor, &f->why);
	else if (!end)
		actor_take_up(f->actor);
	cards_taken_up(f->actor);
	free(f);
}

/* why: the card is gone; NULL: it is there. */
static void slots_follow(struct card *card, const struct reason *why)
{
	struct actor *actor;

	for (unsigned i = 1; (actor = card_actor(card, i)); i++) {
		struct follow *f = calloc(1, sizeof(*f));

		if (f) {
			f->job.run = follow_run;
			f->actor = actor;
			f->gone = why;
			if (why)
				f->why = *why;
		}
		if (!f || !actor_post(actor, &f->job)) {
			cards_taken_up(actor);
			free(f);
		}
	}
}

/* --- coming and going ----------------------------------------------------------------- */

void actor_take_up(struct actor *actor)
{
	struct card *card = actor->card;
	bool whole = actor->slot->index < 0;
	bool back = slot_state(actor->slot) == STATE_OFFLINE;
	struct card_facts facts = { 0 };
	struct reason why = { 0 };
	int err;

	if (actor->handle)
		return;
	if (whole)
		err = card->backend->open(&card->card_config->card, &actor->host, &actor->handle, &facts,
					  &why);
	else
		err = card->backend->slot_open(&card->card_config->card, &actor->host, &actor->handle,
					       &why);
	actor->host.fresh = false;
	attributes_show(actor->slot);
	if (err) {
		actor->handle = NULL;
		actor_gone(actor, &why);
		return;
	}
	if (whole)
		show_facts(card, &facts);
	if (whole && back)
		card_alert(card, 0, "the card is there");
	compare_all(actor, back ? "restored after the card came back" : "restored after a start");
	actor->fresh = false;
	if (!whole)
		return;
	slots_follow(card, NULL);
	/* So that telemetry/ has its names before anybody asked for a value. */
	telemetry_read(card);
}

void actor_lost(struct actor *actor, const struct reason *why)
{
	struct card *card = actor->card;
	struct slot *slot;

	for (int i = -1; (slot = card_slot(card, i)); i++) {
		struct reason store_why = { 0 };

		if (slot->actor != actor || (i < 0 && card->slots_len))
			continue;
		slot_io_stale(slot);
		/* Shown before it is told: who reads the record must not find the old state. */
		slot_show_loaded(slot, STATE_UNCONFIGURED, NULL, &(struct loaded){ 0 });

		struct record r = { .event = "alert", .err = EIO, .reason = *why->text ? why->text
				    : "power cut: what was loaded is gone", .duration_ms = -1 };

		log_warn("%s: %s", slot->name, r.reason);
		if (slot_record(slot, NULL, &r, &store_why))
			log_error("%s: history: %s", slot->name, store_why.text);
		if (has_image(slot) && wants_restore(card))
			restore(slot, "restored after a power cut");
		else
			row_lost(slot, STATE_UNCONFIGURED);
	}
}

void actor_alert(struct actor *actor, const struct reason *why)
{
	struct card *card = actor->card;
	char text[REASON_MAX], temperature[128];
	struct slot *slot;

	/* What the sensors say beside it: they may be what is broken. */
	if (actor == &card->actor)
		telemetry_read(card);
	temperature_text(card, temperature, sizeof(temperature));
	snprintf(text, sizeof(text), "%.*s%s", REASON_MAX - 160, why->text, temperature);
	for (int i = -1; (slot = card_slot(card, i)); i++) {
		struct record r = { .event = "alert", .err = why->err, .reason = text, .duration_ms = -1 };
		struct reason store_why = { 0 };
		bool whole = i < 0 && card->slots_len;

		if (slot->actor != actor)
			continue;
		log_warn("%s: %s", slot->name, text);
		/* What follows, a reset, is done to the slots: only their error can end. */
		if (!whole) {
			text_copy(slot->row.error, sizeof(slot->row.error), text);
			slot_show(slot, slot_state(slot), text);
		}
		if (slot_record(slot, whole ? NULL : &slot->row, &r, &store_why))
			log_error("%s: history: %s", slot->name, store_why.text);
	}
}

void actor_gone(struct actor *actor, const struct reason *why)
{
	struct card *card = actor->card;
	bool whole = actor->slot->index < 0;
	bool was_there = actor->handle;
	struct slot *slot;

	if (actor->handle) {
		io_close_all(actor);
		card->backend->close(actor->handle, false);
		actor->handle = NULL;
	}
	actor->retry_ns = clock_mono_ns() + RETRY_NS;
	cards_kick();
	if (slot_state(actor->slot) == STATE_OFFLINE)
		return;
	log_warn("%s is offline: %s", actor->slot->name, why->text);
	if (whole && was_there)
		card_alert(card, ENODEV, *why->text ? why->text : "the card is gone");
	for (int i = -1; (slot = card_slot(card, i)); i++) {
		struct loaded loaded;

		if (slot->actor != actor)
			continue;
		/* loaded/ and history stay readable. */
		row_loaded(slot, &loaded);
		slot_show_loaded(slot, STATE_OFFLINE, why->text, &loaded);
	}
	if (whole)
		slots_follow(card, why);
}

void actor_resolve(struct actor *actor)
{
	struct slot *slot;

	if (!actor->unresolved || !actor->handle)
		return;
	actor->unresolved = false;
	for (int i = -1; (slot = card_slot(actor->card, i)); i++) {
		struct reason why = { .err = EIO,
				      .text = "programming was interrupted and nobody asked again" };

		if (slot->actor != actor || state_parse(slot->row.state) != STATE_PROGRAMMING)
			continue;
		struct record r = { .event = "program-failed", .err = why.err, .reason = why.text,
				    .duration_ms = -1 };

		text_copy(slot->row.error, sizeof(slot->row.error), why.text);
		row_lost(slot, STATE_FAILED);
		if (slot_record(slot, &slot->row, &r, &why))
			log_error("%s: history: %s", slot->name, why.text);
		slot_show(slot, STATE_FAILED, slot->row.error);
	}
}
