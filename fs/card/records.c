// SPDX-License-Identifier: Apache-2.0
/* Records of events and history: one JSON object a record, keys of DESIGN section 1. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/card/card.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

static void put_text(json_t *o, const char *key, const char *text)
{
	if (text && *text) {
		json_t *value = json_string(text);

		/* Not UTF-8: a command's name may be any bytes. */
		if (!value) {
			struct buf b = BUF_INIT;

			for (const char *p = text; *p; p++)
				buf_addf(&b, (unsigned char)*p < 0x80 ? "%c" : "\\x%02x", (unsigned char)*p);
			value = buf_ok(&b) ? NULL : json_string(b.data);
			buf_free(&b);
		}
		json_object_set_new(o, key, value);
	}
}

/* Which image it was, as inspect --json says it; what else is known of it, loaded/ tells. */
static void put_facts(json_t *o, const struct image_facts *facts)
{
	static const char *const told[] = { "format", "part", "design" };
	struct buf text CLEANUP_BUF = BUF_INIT;

	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		buf_clear(&text);
		image_fact_text(facts, told[i], &text);
		put_text(o, told[i], text.data);
	}
}

static char *record_json(const struct slot *slot, const struct record *r, int64_t now)
{
	json_t *o = json_object();
	char text[RFC3339_MAX];

	if (!o)
		return NULL;
	clock_rfc3339(now, text);
	put_text(o, "time", text);
	snprintf(text, sizeof(text), "dev%u", slot->card->dev);
	put_text(o, "dev", text);
	if (slot->index >= 0)
		json_object_set_new(o, "slot", json_integer(slot->index));
	put_text(o, "event", r->event);
	put_text(o, "result", errno_name(r->err));
	put_text(o, "reason", r->reason);
	put_text(o, "sha256", r->sha256);
	if (r->size)
		json_object_set_new(o, "size", json_integer((json_int_t)r->size));
	if (r->facts)
		put_facts(o, r->facts);
	put_text(o, "source", r->source);
	if (r->who) {
		json_object_set_new(o, "uid", json_integer(r->who->uid));
		put_text(o, "user", r->who->user);
		if (r->who->pid)
			json_object_set_new(o, "pid", json_integer(r->who->pid));
		put_text(o, "command", r->who->command);
		put_text(o, "container", r->who->container);
	}
	if (r->duration_ms >= 0)
		json_object_set_new(o, "duration_ms", json_integer(r->duration_ms));

	char *json = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);

	json_decref(o);
	return json;
}

int slot_record(struct slot *slot, const struct store_slot *row, const struct record *record,
		struct reason *why)
{
	struct card *card = slot->card;
	int64_t now = clock_now_ns();
	char *json CLEANUP_FREE = record_json(slot, record, now);
	struct store_record r = { .time_ns = now, .dev = (int)card->dev, .slot = slot->index,
				  .json = json, .run = record->run };
	int err = 0;

	if (!json)
		return reason_set(why, ENOMEM, "no memory for a record of dev%u", card->dev);
	if (!record->done)
		err = store_reserve(card->store, why);
	if (!err)
		err = store_commit(card->store, card->dev, slot->index, row, &r, NULL, why);
	if (!err && row && slot->unrecorded) {
		slot->unrecorded = false;
		blobs_release(card->store);
	}
	if (!err)
		card_changed((int)card->dev, slot->index, CHANGE_RECORDS);
	return err;
}

/* --- reading them back -------------------------------------------------------------------- */

/* As clock_rfc3339() writes it; 0 = it is not. */
static int64_t time_parse(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	long us = rest && *rest == '.' ? strtol(rest + 1, NULL, 10) : 0;

	return rest ? ((int64_t)timegm(&tm) * 1000000 + us) * 1000 : 0;
}

static bool is_run(const struct slot *slot, const json_t *o)
{
	const char *event = json_string_value(json_object_get(o, "event"));
	const char *result = json_string_value(json_object_get(o, "result"));
	const json_t *index = json_object_get(o, "slot");

	if (!event || !result || (index ? json_integer_value(index) : -1) != slot->index)
		return false;
	/* A command that did not come to programming (nothing to roll back to) names no size; of a run
	 * that nobody asked about again nobody is known. */
	if (!strcmp(event, "program-failed"))
		return json_object_get(o, "size") || !json_object_get(o, "uid");
	/* With a reason fabricfs did it by itself: restored, rolled back. */
	return (!strcmp(event, "programmed") || !strcmp(event, "rolled-back")) && !strcmp(result, "ok") &&
	       !json_object_get(o, "reason");
}

unsigned slot_runs_since(struct slot *slot, int64_t since_ns, int64_t *times, unsigned max)
{
	struct buf all CLEANUP_BUF = BUF_INIT;
	struct reason why = { 0 };
	unsigned n = 0;

	if (store_records(slot->card->store, (int)slot->card->dev, 0, STORE_HISTORY_MAX, &all, NULL, NULL,
			  &why))
		log_warn("dev%u: %s", slot->card->dev, why.text);
	/* From the newest back: only those can be young. */
	for (size_t end = all.len; end && n < max;) {
		size_t at = end - 1;

		while (at && all.data[at - 1] != '\n')
			at--;

		json_t *o = json_loadb(all.data + at, end - at, 0, NULL);
		int64_t when = time_parse(json_string_value(json_object_get(o, "time")));

		if (when >= since_ns && is_run(slot, o))
			times[n++] = when;
		json_decref(o);
		if (when < since_ns)
			break;
		end = at;
	}
	return n;
}
