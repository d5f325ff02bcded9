// SPDX-License-Identifier: Apache-2.0
/* The configuration file as structures (config.h): the top level, and the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fabricfs/buf.h>

#include "fs/daemon/config_card.h"

/* --- sections ----------------------------------------------------------------------- */

static int conf_cards(const struct conf *c, const struct conf_node *list, struct config *config)
{
	int err = conf_want_list(c, list);

	if (err)
		return err;
	if (list->len > CONFIG_CARDS_MAX)
		return CONF_FAULT(c, list->line, "%zu cards, at most %d are taken", list->len,
				  CONFIG_CARDS_MAX);
	config->cards = calloc(list->len + 1, sizeof(*config->cards));
	if (!config->cards)
		return conf_no_memory(c);
	for (const struct conf_node *n = list->first; n && !err; n = n->next) {
		struct config_card *card = &config->cards[config->cards_len];

		err = conf_card(c, n, card);
		for (size_t i = 0; !err && i < config->cards_len; i++)
			if (!strcmp(config->cards[i].card.name, card->card.name))
				err = CONF_FAULT(c, card->line, "a card named '%s' is already in line %u",
						 card->card.name, config->cards[i].line);
		if (!err)
			config->cards_len++;
	}
	return err;
}

static int conf_timeout(const struct conf *c, const struct conf_node *n, int64_t *out)
{
	int err = conf_duration(c, n, out);

	if (!err && !*out)
		err = CONF_FAULT(c, n->line, "%s: with 0 no repository could ever answer", n->key);
	return err;
}

static int conf_cache(const struct conf *c, const struct conf_node *map, struct config *config)
{
	static const char *const known[] = { "quota", "connect-timeout", "offline-timeout", NULL };
	int err = conf_want_map(c, map);

	if (!err)
		err = conf_known(c, map, known, "cache");
	for (const struct conf_node *n = map->first; n && !err; n = n->next) {
		if (!strcmp(n->key, "quota"))
			err = conf_size(c, n, &config->cache_quota);
		else if (!strcmp(n->key, "connect-timeout"))
			err = conf_timeout(c, n, &config->cache_connect_timeout_ms);
		else
			err = conf_timeout(c, n, &config->cache_offline_timeout_ms);
	}
	return err;
}

static int conf_telemetry(const struct conf *c, const struct conf_node *map, struct config *config)
{
	static const char *const known[] = { "max-age", NULL };
	int err = conf_want_map(c, map);

	if (!err)
		err = conf_known(c, map, known, "telemetry");
	if (!err && map->first)
		err = conf_duration(c, map->first, &config->telemetry_max_age_ms);
	return err;
}

static int conf_roots(const struct conf *c, const struct conf_node *map, struct config *config)
{
	static const char *const known[] = { "sys", "dev", "configfs", "firmware", NULL };
	char **const roots[] = { &config->root_sys, &config->root_dev, &config->root_configfs,
				 &config->root_firmware };
	int err = conf_want_map(c, map);

	if (!err)
		err = conf_known(c, map, known, "roots");
	for (const struct conf_node *n = map->first; n && !err; n = n->next) {
		const char *path = "";

		err = conf_text(c, n, &path);
		if (!err && *path != '/')
			err = CONF_FAULT(c, n->line, "%s: '%s' is not an absolute path", n->key,
					 conf_show(path));
		for (unsigned i = 0; !err && known[i]; i++)
			if (!strcmp(known[i], n->key))
				*roots[i] = (char *)path;
	}
	return err;
}

static int conf_upload_timeout(const struct conf *c, const struct conf_node *n,
			       struct config *config)
{
	int err = conf_duration(c, n, &config->upload_timeout_ms);

	if (!err && !config->upload_timeout_ms)
		err = CONF_FAULT(c, n->line, "upload-timeout: 0 would end every upload at once");
	return err;
}

static int conf_access_all(const struct conf *c, const struct conf_node *map,
			   struct config *config)
{
	return conf_access(c, map, &config->access);
}

/* --- the whole ---------------------------------------------------------------------- */

static int conf_root(const struct conf *c, const struct conf_node *root, struct config *config)
{
	static const char *const known[] = { "access",	  "cards",	    "repositories", "cache",
					     "telemetry", "upload-timeout", "roots",	    NULL };
	static int (*const read[])(const struct conf *, const struct conf_node *, struct config *) = {
		conf_access_all, conf_cards,	      conf_repositories, conf_cache,
		conf_telemetry,	 conf_upload_timeout, conf_roots,
	};
	int err = conf_known(c, root, known, "");

	for (const struct conf_node *n = root->first; n && !err; n = n->next)
		for (unsigned i = 0; known[i] && !err; i++)
			if (!strcmp(known[i], n->key))
				err = read[i](c, n, config);
	return err;
}

static struct config *config_new(struct reason *why)
{
	struct config *config = calloc(1, sizeof(*config));

	if (config)
		config->memory = conf_memory_new();
	if (!config || !config->memory) {
		free(config);
		reason_set(why, ENOMEM, "no memory for the configuration");
		return NULL;
	}
	config->access.mode = -1;
	config->telemetry_max_age_ms = 1000;
	config->upload_timeout_ms = 600000;
	config->cache_quota = INT64_C(20) << 30;
	config->cache_connect_timeout_ms = 5000;
	config->cache_offline_timeout_ms = 10000;
	config->root_sys = (char *)"/sys";
	config->root_dev = (char *)"/dev";
	config->root_configfs = (char *)"/sys/kernel/config";
	config->root_firmware = (char *)"/lib/firmware";
	return config;
}

int config_load(const char *file, struct config **out, struct reason *why)
{
	struct config *config = config_new(why);
	struct conf_node *root = NULL;
	int err = 0;

	*out = NULL;
	if (!config)
		return -ENOMEM;
	if (file) {
		struct conf c = { .file = file, .memory = config->memory, .why = why };
		size_t size = strlen(file) + 1;

		config->file = conf_alloc(config->memory, size);
		if (config->file)
			memcpy(config->file, file, size);
		err = config->file ? conf_tree_read(file, config->memory, &root, why)
				   : conf_no_memory(&c);
		if (!err && root)
			err = conf_root(&c, root, config);
	}
	if (err) {
		config_free(config);
		return err;
	}
	*out = config;
	return 0;
}

static bool name_taken(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->cards_len; i++)
		if (!strcmp(config->cards[i].card.name, name))
			return true;
	return false;
}

static int add_simulated(struct config *config, size_t n, struct reason *why)
{
	struct config_card *cards;
	unsigned number = 0;

	if (n > CONFIG_CARDS_MAX - config->cards_len)
		return reason_set(why, EINVAL, "%zu simulated cards beside %zu configured ones: more "
				  "than %d in all", n, config->cards_len, CONFIG_CARDS_MAX);
	cards = reallocarray(config->cards, config->cards_len + n + 1, sizeof(*cards));
	if (!cards)
		return reason_set(why, ENOMEM, "no memory for %zu cards", n);
	config->cards = cards;
	for (; n; n--) {
		struct config_card *card = &cards[config->cards_len];
		const size_t size = sizeof("sim4294967295");
		char *name = conf_alloc(config->memory, size);

		if (!name)
			return reason_set(why, ENOMEM, "no memory for a card");
		do
			snprintf(name, size, "sim%u", number++);
		while (name_taken(config, name));
		config_card_init(card);
		card->card.name = name;
		card->backend = (char *)"sim";
		config->cards_len++;
	}
	return 0;
}

/* They may stand behind the cards in the file. */
static int policy_repositories_check(const struct config *config, const struct config_card *card,
				     struct reason *why)
{
	struct buf list CLEANUP_BUF = BUF_INIT;

	for (size_t i = 0; i < config->repos_len; i++)
		buf_addf(&list, "%s%s", i ? ", " : "known are: ", config->repos[i].repo.name);
	for (char *const *name = card->policy.repositories; name && *name; name++) {
		size_t i = 0;

		while (i < config->repos_len && strcmp(config->repos[i].repo.name, *name))
			i++;
		if (i == config->repos_len)
			return reason_set(why, EINVAL, "policy repositories: there is no repository '%s', %s",
					  conf_show(*name), list.data ? list.data : "none is configured");
	}
	return 0;
}

int config_finish(struct config *config, int sim, struct reason *why)
{
	size_t n = sim > 0 ? (size_t)sim : sim < 0 && !config->cards_len;
	int err = add_simulated(config, n, why);

	for (size_t i = 0; i < config->cards_len && !err; i++) {
		const struct config_card *card = &config->cards[i];
		const struct card_backend *backend = card_backend_find(card->backend);

		if (!backend)
			return reason_set(why, EINVAL, "card '%s': there is no backend '%s'",
					  card->card.name, card->backend);
		err = backend->check ? backend->check(&card->card, why) : 0;
		if (!err)
			err = policy_repositories_check(config, card, why);
		if (err && card->line)
			err = reason_wrap(why, "%s:%u: card '%s'", config->file, card->line,
					  card->card.name);
		else if (err)
			err = reason_wrap(why, "card '%s'", card->card.name);
	}
	/* `cache` may stand behind them in the file. */
	for (size_t i = 0; i < config->repos_len; i++) {
		config->repos[i].repo.connect_timeout_ms = config->cache_connect_timeout_ms;
		config->repos[i].repo.offline_timeout_ms = config->cache_offline_timeout_ms;
	}
	return err ? err : config_repos_check(config, why);
}

void config_free(struct config *config)
{
	if (!config)
		return;
	conf_memory_free(config->memory);
	free(config->cards);
	free(config->repos);
	free(config);
}
