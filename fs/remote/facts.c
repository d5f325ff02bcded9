// SPDX-License-Identifier: Apache-2.0
/* What an image's properties say of it: part, format, shell, by the names that are in use. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fs/remote/mirror.h"

#include <fabricfs/image.h>

/*
 * Names of properties, in any case, '-' and '_' the same: our own, and those of OpenStack
 * Cyborg's metadata (bs-*, shell_id, accel:*). Of those for one fact the first that is there counts.
 */
static const struct {
	const char *name, *fact; /* as image_facts_parse() reads it */
} known[] = {
	{ "fpga_part", "part" },	       { "part", "part" },     { "fpga_format", "format" },
	{ "format", "format" },	       { "fpga_shell", "shell" }, { "shell", "shell" },
	{ "shell_id", "shell" },	       { "accel:region_type_id", "shell" },
	{ "fpga_design", "design" },     { "design", "design" }, { "bs_name", "design" },
	{ "fpga_vendor", "vendor" },     { "vendor", "vendor" }, { "fpga_tool", "tool" },
	{ "tool", "tool" },
};

/* `format` alone may be of anything. */
static bool is_format(const char *word)
{
	for (const struct image_format *const *f = image_formats; *f; f++)
		if (!strcmp((*f)->name, word))
			return true;
	return false;
}

/* Longer than any name of a part or of a design: somebody's text. */
#define VALUE_MAX 128

static bool name_is(const char *name, const char *other)
{
	for (; *name && *other; name++, other++) {
		char a = *name == '-' ? '_' : *name;

		if (a >= 'A' && a <= 'Z')
			a = (char)(a - 'A' + 'a');
		if (a != *other)
			return false;
	}
	return !*name && !*other;
}

char *facts_of_properties(const char *const *properties)
{
	json_t *o = NULL;
	char *json = NULL;

	for (size_t i = 0; properties && properties[i] && properties[i + 1]; i += 2) {
		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
			if (!name_is(properties[i], known[k].name) || !*properties[i + 1] ||
			    strlen(properties[i + 1]) > VALUE_MAX)
				continue;
			if (!strcmp(known[k].fact, "format") && !is_format(properties[i + 1]))
				continue;
			if (!o)
				o = json_object();
			if (!json_object_get(o, known[k].fact))
				json_object_set_new(o, known[k].fact, json_string(properties[i + 1]));
		}
	}
	/* The others say nothing about which card it is for. */
	if (json_object_get(o, "part") || json_object_get(o, "format") || json_object_get(o, "shell"))
		json = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(o);
	return json;
}
