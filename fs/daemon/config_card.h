// SPDX-License-Identifier: Apache-2.0
/* The parts of the configuration with many keys; each returns 0 or -errno (config_value.h). */
#ifndef FS_DAEMON_CONFIG_CARD_H
#define FS_DAEMON_CONFIG_CARD_H

#include "fs/daemon/config.h"
#include "fs/daemon/config_value.h"

/* The map `access`; what is not in it stays as it is. */
int conf_access(const struct conf *c, const struct conf_node *map, struct config_access *access);
/* One member of the list `cards`; *card is empty. */
int conf_card(const struct conf *c, const struct conf_node *map, struct config_card *card);
/* Nothing said. */
void config_card_init(struct config_card *card);
/* The map `repositories` (config_repo.c). */
int conf_repositories(const struct conf *c, const struct conf_node *map, struct config *config);
/* What is wrong with one as far as its kind can say; "FILE:LINE: repository 'NAME': ...". */
int config_repos_check(const struct config *config, struct reason *why);

#endif
