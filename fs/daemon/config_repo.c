// SPDX-License-Identifier: Apache-2.0
/* Repositories of images out of the configuration: the common keys, and those of their kinds. */
#include <stdlib.h>
#include <string.h>

#include <fabricfs/buf.h>
#include <fabricfs/url.h>

#include "fs/daemon/config_card.h"

#define MAX_AGE_MS 60000 /* of a listing, unless said otherwise */

static const char *const common_keys[] = { "kind", "max-age", "writable", NULL };
#define COMMON_KEYS (sizeof(common_keys) / sizeof(common_keys[0]) - 1)

/* The word for `kind` of every version, also of those that do not serve all of them yet. */
#define KINDS "glance http oci s3 directory"

/* The name becomes a folder, part of records and of metrics. */
static int repo_name(const struct conf *c, const struct conf_node *n)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	const char *name = n->key;

	if (!*name || strlen(name) > 63 || strspn(name, letters) != strlen(name) || *name == '.' || *name == '-')
		return CONF_FAULT(c, n->key_line, "'%s' is no name for a repository; letters, digits, '.', '_' "
				  "and '-', at most 63, not beginning with '.' or '-'", conf_show(name));
	return 0;
}

static int value_file(const struct conf *c, const struct conf_node *n, const char **out)
{
	int err = conf_text(c, n, out);

	if (!err && **out != '/')
		err = CONF_FAULT(c, n->line, "%s: '%s' is not an absolute path", n->key, conf_show(*out));
	return err;
}

static int value_url(const struct conf *c, const struct conf_node *n, const char **out)
{
	const char *fault;
	int err = conf_text(c, n, out);

	if (err)
		return err;
	fault = url_fault(*out);
	if (!fault)
		return 0;
	/* Nothing is shown that could be a password on its way into a log. */
	if (strchr(*out, '@'))
		return CONF_FAULT(c, n->line, "%s is no address that can be asked: %s; there are keys for who asks",
				  n->key, fault);
	return CONF_FAULT(c, n->line, "%s: '%s' is no address that can be asked: %s", n->key, conf_show(*out), fault);
}

static int repo_value(const struct conf *c, const struct conf_node *n, const struct repo_key *key,
		      struct repo_value *v)
{
	const char **words;
	int word = 0, err;

	v->key = key->name;
	v->kind = key->kind;
	switch (key->kind) {
	case REPO_KEY_TEXT:
		return conf_text(c, n, &v->text);
	case REPO_KEY_FILE:
		return value_file(c, n, &v->text);
	case REPO_KEY_URL:
		return value_url(c, n, &v->text);
	case REPO_KEY_INTEGER:
		return conf_integer(c, n, INT64_MAX, &v->number);
	case REPO_KEY_BOOL:
		err = conf_bool(c, n, &word);
		v->number = word;
		return err;
	case REPO_KEY_DURATION:
		return conf_duration(c, n, &v->number);
	case REPO_KEY_WORDS:
		err = conf_words(c, n, &words, &v->list_len);
		if (!err)
			v->list = words;
		return err;
	}
	return -EINVAL;
}

static int unknown_key(const struct conf *c, const struct conf_node *n, const struct repo_kind *kind)
{
	struct buf where CLEANUP_BUF = BUF_INIT;
	size_t len = COMMON_KEYS;
	const char **known;

	for (const struct repo_key *k = kind->keys; k->name; k++)
		len++;
	known = conf_alloc(c->memory, (len + 1) * sizeof(*known));
	buf_addf(&where, "a repository of kind %s", kind->name);
	if (!known || buf_ok(&where))
		return conf_no_memory(c);
	for (len = 0; len < COMMON_KEYS; len++)
		known[len] = common_keys[len];
	for (const struct repo_key *k = kind->keys; k->name; k++)
		known[len++] = k->name;
	return conf_unknown(c, n, known, where.data);
}

static int repo_member(const struct conf *c, const struct conf_node *n, struct config_repo *repo,
		       struct repo_value *values)
{
	int word = 0, err;

	if (!strcmp(n->key, "kind"))
		return 0;
	if (!strcmp(n->key, "max-age"))
		return conf_duration(c, n, &repo->repo.max_age_ms);
	if (!strcmp(n->key, "writable")) {
		err = conf_bool(c, n, &word);
		if (!err && word)
			err = CONF_FAULT(c, n->line, "writable: this version only reads repositories; leave it out");
		return err;
	}
	for (const struct repo_key *k = repo->kind->keys; k->name; k++)
		if (!strcmp(k->name, n->key))
			return repo_value(c, n, k, &values[repo->repo.values_len++]);
	return unknown_key(c, n, repo->kind);
}

static int repo_kind(const struct conf *c, const struct conf_node *map, const struct repo_kind **out)
{
	const struct conf_node *n = conf_member(map, "kind");
	struct buf list CLEANUP_BUF = BUF_INIT;
	int err;

	if (!n) {
		/* A misspelt key is told as such. */
		err = map->first && conf_nearest(map->first->key, common_keys) ?
			      conf_known(c, map, common_keys, "a repository") : 0;
		return err ? err : CONF_FAULT(c, map->key_line, "the repository '%s' has no kind", conf_show(map->key));
	}
	err = conf_one_of(c, n, KINDS);
	if (err)
		return err;
	*out = repo_kind_find(n->text);
	if (*out)
		return 0;
	for (const struct repo_kind *const *k = repo_kinds; *k; k++)
		buf_addf(&list, "%s%s", k == repo_kinds ? "" : ", ", (*k)->name);
	return CONF_FAULT(c, n->line, "the repository '%s': this version does not serve the kind %s yet, but: %s",
			  conf_show(map->key), n->text, list.data ? list.data : "");
}

static int conf_repository(const struct conf *c, const struct conf_node *map, struct config_repo *repo)
{
	struct repo_value *values;
	int err = repo_name(c, map);

	if (!err)
		err = conf_want_map(c, map);
	if (!err)
		err = repo_kind(c, map, &repo->kind);
	if (err)
		return err;
	values = conf_alloc(c->memory, (map->len + 1) * sizeof(*values));
	if (!values)
		return conf_no_memory(c);
	repo->line = map->key_line;
	repo->repo = (struct repo_config){ .name = map->key, .kind = repo->kind->name, .max_age_ms = MAX_AGE_MS,
					   .values = values };
	for (const struct conf_node *n = map->first; n && !err; n = n->next)
		err = repo_member(c, n, repo, values);
	return err;
}

int conf_repositories(const struct conf *c, const struct conf_node *map, struct config *config)
{
	int err = conf_want_map(c, map);

	if (err)
		return err;
	if (map->len > CONFIG_REPOS_MAX)
		return CONF_FAULT(c, map->line, "%zu repositories, at most %d are taken", map->len, CONFIG_REPOS_MAX);
	config->repos = calloc(map->len + 1, sizeof(*config->repos));
	if (!config->repos)
		return conf_no_memory(c);
	for (const struct conf_node *n = map->first; n && !err; n = n->next) {
		err = conf_repository(c, n, &config->repos[config->repos_len]);
		if (!err)
			config->repos_len++;
	}
	return err;
}

int config_repos_check(const struct config *config, struct reason *why)
{
	int err = 0;

	for (size_t i = 0; !err && i < config->repos_len; i++) {
		const struct config_repo *repo = &config->repos[i];

		err = repo->kind->check ? repo->kind->check(&repo->repo, why) : 0;
		if (err)
			err = reason_wrap(why, "%s:%u: repository '%s'", config->file, repo->line, repo->repo.name);
	}
	return err;
}
