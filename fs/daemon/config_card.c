// SPDX-License-Identifier: Apache-2.0
/* Cards, who may write to them, and their policies, out of the configuration. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <fabricfs/buf.h>

#include "fs/daemon/config_card.h"

/* --- access ----------------------------------------------------------------------- */

/* A name, or a number that a uid_t or gid_t holds; the largest of those stands for none. */
static bool id_is_possible(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits)
		return !strchr("+- \t", *text);
	return text[digits] || (digits <= 10 && strtoull(text, NULL, 10) < UINT32_MAX);
}

int conf_access(const struct conf *c, const struct conf_node *map, struct config_access *access)
{
	static const char *const known[] = { "owner", "group", "mode", NULL };
	int err = conf_want_map(c, map);

	if (!err)
		err = conf_known(c, map, known, "access");
	for (const struct conf_node *n = map->first; n && !err; n = n->next) {
		bool owner = !strcmp(n->key, "owner");
		const char *text;

		if (!strcmp(n->key, "mode")) {
			err = conf_mode(c, n, &access->mode);
			continue;
		}
		err = conf_text(c, n, &text);
		if (!err && !text_copy(owner ? access->owner : access->group,
				       sizeof(access->owner), text))
			err = CONF_FAULT(c, n->line, "%s: longer than %zu bytes", n->key,
					 sizeof(access->owner) - 1);
		if (!err && !id_is_possible(text))
			err = CONF_FAULT(c, n->line, "%s: '%s' is neither a name nor a number below %u",
					 n->key, conf_show(text), UINT32_MAX);
	}
	return err;
}

/* --- policy ----------------------------------------------------------------------- */

static int words_text(const struct conf *c, const struct conf_node *n, char ***out)
{
	const char **words;
	size_t len;
	int err = conf_words(c, n, &words, &len);

	if (!err && !len)
		return CONF_FAULT(c, n->line, "%s: an empty list would allow nothing; leave the key "
				  "out to allow any", n->key);
	if (!err)
		*out = (char **)words;
	return err;
}

static int policy_digests(const struct conf *c, const struct conf_node *n, struct config_policy *p)
{
	int err = words_text(c, n, &p->digests);

	for (char **d = p->digests; !err && *d; d++)
		if (strlen(*d) != 64 || strspn(*d, "0123456789abcdef") != 64)
			err = CONF_FAULT(c, n->line, "digests: '%s' is not a SHA-256 (64 hex digits "
					 "in lower case)", conf_show(*d));
	return err;
}

/* All names that an image can have, also of formats that this version does not know yet. */
#define FORMAT_NAMES                                                                           \
	"xilinx-bit xilinx-bin pdi xclbin rbf sof aocx gbs ice40 ecp5 nexus machxo gowin-fs "  \
	"efinix microchip-dat microchip-stp dtbo aws-afi"

static int policy_formats(const struct conf *c, const struct conf_node *n, struct config_policy *p)
{
	int err = words_text(c, n, &p->formats);

	for (char **f = p->formats; !err && *f; f++) {
		const struct conf_node word = { .kind = CONF_TEXT, .text = *f, .key = n->key,
						.line = n->line };

		err = conf_one_of(c, &word, FORMAT_NAMES);
	}
	return err;
}

/* Silicon is not meant to run hotter. */
#define TEMP_MAX 150

static int policy_key(const struct conf *c, const struct conf_node *n, struct config_policy *p)
{
	const char *key = n->key;
	int64_t number;

	if (!strcmp(key, "formats"))
		return policy_formats(c, n, p);
	if (!strcmp(key, "digests"))
		return policy_digests(c, n, p);
	/* That there are such is looked at when all of the file is known. */
	if (!strcmp(key, "repositories"))
		return words_text(c, n, &p->repositories);
	if (!strcmp(key, "require-signature"))
		return conf_bool(c, n, &p->require_signature);
	if (!strcmp(key, "accept-unsized"))
		return conf_bool(c, n, &p->accept_unsized);
	if (!strcmp(key, "skip-identical"))
		return conf_bool(c, n, &p->skip_identical);
	if (!strcmp(key, "restore"))
		return conf_bool(c, n, &p->restore);
	if (!strcmp(key, "force-bound"))
		return conf_bool(c, n, &p->force_bound);
	if (!strcmp(key, "on-failure")) {
		int err = conf_one_of(c, n, "keep rollback");

		if (!err)
			p->on_failure_rollback = !strcmp(n->text, "rollback");
		return err;
	}
	if (!strcmp(key, "max-per-minute")) {
		int err = conf_integer(c, n, CONFIG_PER_MINUTE_MAX, &number);

		if (!err)
			p->max_per_minute = number;
		return err;
	}
	if (!strcmp(key, "max-temp-celsius")) {
		int err = conf_integer(c, n, TEMP_MAX, &number);

		if (!err && !number)
			err = CONF_FAULT(c, n->line, "max-temp-celsius: 0 would refuse everything; leave it out "
					 "for no limit");
		if (!err)
			p->max_temp_celsius = (double)number;
		return err;
	}
	/* A limit that nobody keeps is worse than none. */
	return CONF_FAULT(c, n->key_line, "policy %s is not enforced by this version yet, so it is "
			  "not taken", key);
}

static int conf_policy(const struct conf *c, const struct conf_node *map, struct config_policy *p)
{
	static const char *const known[] = {
		"formats",	  "repositories", "digests",	    "signers",	   "require-signature",
		"accept-unsized", "skip-identical", "on-failure", "restore",	   "force-bound",
		"max-per-minute", "max-temp-celsius", "lease-expiry", NULL,
	};
	int err = conf_want_map(c, map);

	if (!err)
		err = conf_known(c, map, known, "policy");
	for (const struct conf_node *n = map->first; n && !err; n = n->next)
		err = policy_key(c, n, p);
	return err;
}

/* --- the backend's own keys --------------------------------------------------------- */

static int value_words(const struct conf *c, const struct conf_node *n, struct card_value *v)
{
	const char **words;
	int err;

	bool command = v->kind == CARD_KEY_COMMAND;

	if (n->kind == CONF_TEXT && v->kind == CARD_KEY_NAMES && strcmp(n->text, "none") != 0) {
		words = conf_alloc(c->memory, 2 * sizeof(*words));
		if (!words)
			return conf_no_memory(c);
		words[0] = n->text;
		v->list = words;
		v->list_len = 1;
		return 0;
	}
	if (n->kind == CONF_TEXT && strcmp(n->text, "none"))
		return command ? CONF_FAULT(c, n->line, "%s: a command is a list of words, [/path/to/program, "
					    "argument], or the word none; no shell is used", n->key)
			       : CONF_FAULT(c, n->line, "%s: this is a list of words, [one, other], or the "
					    "word none", n->key);
	if (n->kind == CONF_TEXT) {
		words = conf_alloc(c->memory, sizeof(*words));
		if (!words)
			return conf_no_memory(c);
		v->list = words;
		return 0;
	}
	err = conf_words(c, n, &words, &v->list_len);
	if (!err && command && (!v->list_len || !*words[0]))
		err = CONF_FAULT(c, n->line, "%s: a command needs a program", n->key);
	v->list = words;
	return err;
}

static int conf_value(const struct conf *c, const struct conf_node *n, const struct card_key *key,
		      struct card_value *v)
{
	const char **pairs;
	int word = 0, err = 0;

	v->key = key->name;
	v->kind = key->kind;
	switch (key->kind) {
	case CARD_KEY_TEXT:
		return conf_text(c, n, &v->text);
	case CARD_KEY_INTEGER:
		return conf_integer(c, n, INT64_MAX, &v->number);
	case CARD_KEY_BOOL:
		err = conf_bool(c, n, &word);
		v->number = word;
		return err;
	case CARD_KEY_DURATION:
		return conf_duration(c, n, &v->number);
	case CARD_KEY_COMMAND:
	case CARD_KEY_WORDS:
	case CARD_KEY_NAMES:
		return value_words(c, n, v);
	case CARD_KEY_MAP:
		err = conf_pairs(c, n, &pairs, &v->list_len);
		if (!err)
			v->list = pairs;
		return err;
	}
	return -EINVAL;
}

/* --- a card ----------------------------------------------------------------------- */

static const char *const common_keys[] = { "name",   "backend", "part",	 "slots",
					   "match", "access",	"policy", NULL };
#define COMMON_KEYS (sizeof(common_keys) / sizeof(common_keys[0]) - 1)
#define SLOTS_MAX   64

/* The name becomes part of links, records and metrics. */
static int card_name(const struct conf *c, const struct conf_node *n, const char **out)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	int err = conf_text(c, n, out);

	if (!err && (strlen(*out) > 63 || strspn(*out, letters) != strlen(*out) || **out == '.' ||
		     **out == '-'))
		err = CONF_FAULT(c, n->line, "name: '%s' is no name for a card; letters, digits, '.', "
				 "'_' and '-', at most 63, not beginning with '.' or '-'",
				 conf_show(*out));
	return err;
}

static void backends_list(struct buf *out)
{
	for (const struct card_backend *const *b = card_backends; *b; b++)
		buf_addf(out, "%s%s", b == card_backends ? "" : ", ", (*b)->name);
}

static int card_backend(const struct conf *c, const struct conf_node *map,
			const struct card_backend **out)
{
	const struct conf_node *n = conf_member(map, "backend");
	struct buf list CLEANUP_BUF = BUF_INIT;
	const char *name;
	int err;

	backends_list(&list);
	if (buf_ok(&list))
		return conf_no_memory(c);
	if (!n)
		return CONF_FAULT(c, map->line, "a card without a backend; this version discovers no "
				  "cards, so each has to name one of: %s", list.data);
	err = conf_text(c, n, &name);
	if (err)
		return err;
	*out = card_backend_find(name);
	if (*out)
		return 0;
	return CONF_FAULT(c, n->line, "backend: there is no '%s', known are: %s", conf_show(name),
			  list.data);
}

static int unknown_card_key(const struct conf *c, const struct conf_node *n,
			    const struct card_backend *backend)
{
	const char *where = backend->name, **known;
	size_t len = COMMON_KEYS;

	for (const struct card_key *k = backend->keys; k && k->name; k++)
		len++;
	known = conf_alloc(c->memory, (len + 1) * sizeof(*known));
	if (!known)
		return conf_no_memory(c);
	for (len = 0; len < COMMON_KEYS; len++)
		known[len] = common_keys[len];
	for (const struct card_key *k = backend->keys; k && k->name; k++)
		known[len++] = k->name;
	return conf_unknown(c, n, known, where);
}

static int card_member(const struct conf *c, const struct conf_node *n,
		       const struct card_backend *backend, struct config_card *card,
		       struct card_value *values)
{
	const char *key = n->key;
	int64_t number;
	int err;

	if (!strcmp(key, "name"))
		return card_name(c, n, &card->card.name);
	if (!strcmp(key, "backend"))
		return 0;
	if (!strcmp(key, "part"))
		return conf_text(c, n, &card->card.part);
	if (!strcmp(key, "access"))
		return conf_access(c, n, &card->access);
	if (!strcmp(key, "policy"))
		return conf_policy(c, n, &card->policy);
	if (!strcmp(key, "match"))
		return CONF_FAULT(c, n->key_line, "match is for discovered cards, and this version "
				  "discovers none; leave it out");
	if (!strcmp(key, "slots")) {
		err = conf_integer(c, n, SLOTS_MAX, &number);
		if (!err)
			card->card.slots = (unsigned)number;
		return err;
	}
	for (const struct card_key *k = backend->keys; k && k->name; k++)
		if (!strcmp(k->name, key))
			return conf_value(c, n, k, &values[card->card.values_len++]);
	return unknown_card_key(c, n, backend);
}

void config_card_init(struct config_card *card)
{
	*card = (struct config_card){
		.card.part = "",
		.access.mode = -1,
		.policy = { .require_signature = -1, .accept_unsized = -1, .skip_identical = -1,
			    .on_failure_rollback = -1, .restore = -1, .force_bound = -1 },
	};
}

int conf_card(const struct conf *c, const struct conf_node *map, struct config_card *card)
{
	const struct card_backend *backend = NULL;
	struct card_value *values;
	int err = conf_want_map(c, map);

	if (!err)
		err = card_backend(c, map, &backend);
	if (err)
		return err;
	assert(backend);
	config_card_init(card);
	values = conf_alloc(c->memory, (map->len + 1) * sizeof(*values));
	if (!values)
		return conf_no_memory(c);
	card->line = map->line;
	card->backend = (char *)backend->name;
	card->card.values = values;
	for (const struct conf_node *n = map->first; n && !err; n = n->next)
		err = card_member(c, n, backend, card, values);
	/* Last, so that a misspelt `name` is told as such. */
	if (!err && !conf_member(map, "name"))
		err = CONF_FAULT(c, map->line, "a card without a name; its number is kept by its name");
	return err;
}
