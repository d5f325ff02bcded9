// SPDX-License-Identifier: Apache-2.0
/* What is loaded, as JSON for the store: the files of loaded/ and the image's facts. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fs/card/card.h"

#include <fabricfs/buf.h>

char *loaded_json(const struct loaded *l, const struct image_facts *facts)
{
	char *text CLEANUP_FREE =
		facts ? image_facts_json(facts, NULL, l->sha256, l->size, 0, NULL, NULL) : NULL;
	json_t *f = text ? json_loads(text, 0, NULL) : json_null();
	json_t *o = json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:I, s:s, s:o}",
			      "name", l->name, "sha256", l->sha256, "size", (json_int_t)l->size,
			      "format", l->format, "part", l->part, "design", l->design, "tool", l->tool,
			      "built", l->built, "source", l->source, "loaded_at_ns",
			      (json_int_t)l->loaded_at_ns, "loaded_by", l->loaded_by, "duration_ms",
			      (json_int_t)l->duration_ms, "confirmed_by", l->confirmed_by, "facts", f);
	char *json = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return json;
}

static void get_text(const json_t *o, const char *key, char *out, size_t size)
{
	text_copy(out, size, json_string_value(json_object_get(o, key)));
}

int loaded_parse(const char *json, struct loaded *l, struct image_facts *facts)
{
	json_t *o = json ? json_loads(json, 0, NULL) : NULL;

	memset(l, 0, sizeof(*l));
	if (facts)
		memset(facts, 0, sizeof(*facts));
	if (!json_is_object(o)) {
		json_decref(o);
		return -EINVAL;
	}
	get_text(o, "name", l->name, sizeof(l->name));
	get_text(o, "sha256", l->sha256, sizeof(l->sha256));
	l->size = (uint64_t)json_integer_value(json_object_get(o, "size"));
	get_text(o, "format", l->format, sizeof(l->format));
	get_text(o, "part", l->part, sizeof(l->part));
	get_text(o, "design", l->design, sizeof(l->design));
	get_text(o, "tool", l->tool, sizeof(l->tool));
	get_text(o, "built", l->built, sizeof(l->built));
	get_text(o, "source", l->source, sizeof(l->source));
	l->loaded_at_ns = json_integer_value(json_object_get(o, "loaded_at_ns"));
	get_text(o, "loaded_by", l->loaded_by, sizeof(l->loaded_by));
	l->duration_ms = json_integer_value(json_object_get(o, "duration_ms"));
	get_text(o, "confirmed_by", l->confirmed_by, sizeof(l->confirmed_by));

	int err = 0;

	if (facts) {
		char *text CLEANUP_FREE = json_dumps(json_object_get(o, "facts"), JSON_COMPACT);

		err = text ? image_facts_parse(text, facts) : -EINVAL;
	}
	json_decref(o);
	return err;
}

void row_push_previous(struct store_slot *row, const char *new_sha256)
{
	if (!*row->loaded_sha256 || !strcmp(row->loaded_sha256, new_sha256)) {
		free(row->loaded);
		row->loaded = NULL;
		row->loaded_sha256[0] = '\0';
		return;
	}
	free(row->previous);
	row->previous = STEAL_PTR(row->loaded);
	memcpy(row->previous_sha256, row->loaded_sha256, SHA256_HEX);
	row->loaded_sha256[0] = '\0';
}
