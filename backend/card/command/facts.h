// SPDX-License-Identifier: Apache-2.0
/* What the configuration of a `command` card says that it is. */
#ifndef FABRICFS_BACKEND_COMMAND_FACTS_H
#define FABRICFS_BACKEND_COMMAND_FACTS_H

#include <fabricfs/card.h>

/* Text of a key, "" = it is not there. */
const char *command_text(const struct card_config *config, const char *key);
/* Can these be facts? 0, or -EINVAL with the sentence. */
int command_facts_check(const struct card_config *config, struct reason *why);
/* Into facts that are empty; the configuration was checked. */
void command_facts(const struct card_config *config, struct card_facts *facts);

#endif
