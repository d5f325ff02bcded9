// SPDX-License-Identifier: Apache-2.0
/* Configurations of repositories for tests: pairs of a key and its text, ended by NULL. */
#ifndef TEST_REPO_FIXTURE_H
#define TEST_REPO_FIXTURE_H

#include <string.h>

#include <fabricfs/repo.h>

struct repo_made {
	struct repo_config config;
	struct repo_value values[32];
};

static inline const struct repo_config *repo_made(struct repo_made *made, const char *const *pairs)
{
	memset(made, 0, sizeof(*made));
	made->config.name = "lab";
	made->config.kind = "glance";
	made->config.values = made->values;
	for (; pairs && pairs[0]; pairs += 2) {
		struct repo_value *value = &made->values[made->config.values_len++];

		value->key = pairs[0];
		value->text = pairs[1];
		value->kind = REPO_KEY_TEXT;
		value->number = !strcmp(pairs[1], "yes");
	}
	return &made->config;
}

#define PAIRS(...) ((const char *const[]){ __VA_ARGS__, NULL })

#endif
