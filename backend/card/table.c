// SPDX-License-Identifier: Apache-2.0
/* The table of card backends: a new one is one line here. */
#include <string.h>

#include <fabricfs/card.h>

extern const struct card_backend sim_backend;
extern const struct card_backend command_backend;

const struct card_backend *const card_backends[] = {
	&sim_backend,
	&command_backend,
	NULL,
};

const struct card_backend *card_backend_find(const char *name)
{
	for (const struct card_backend *const *b = card_backends; *b; b++)
		if (!strcmp((*b)->name, name))
			return *b;
	return NULL;
}

const struct card_value *card_config_get(const struct card_config *config, const char *key)
{
	for (size_t i = 0; i < config->values_len; i++)
		if (!strcmp(config->values[i].key, key))
			return &config->values[i];
	return NULL;
}
