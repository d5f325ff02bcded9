// SPDX-License-Identifier: Apache-2.0
/* What the configuration says of one repository. */
#include <string.h>

#include <fabricfs/repo.h>

const struct repo_value *repo_config_get(const struct repo_config *config, const char *key)
{
	for (size_t i = 0; i < config->values_len; i++)
		if (!strcmp(config->values[i].key, key))
			return &config->values[i];
	return NULL;
}

const char *repo_config_text(const struct repo_config *config, const char *key, const char *otherwise)
{
	const struct repo_value *value = repo_config_get(config, key);

	return value && value->text ? value->text : otherwise;
}
