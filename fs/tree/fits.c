// SPDX-License-Identifier: Apache-2.0
/*
 * dev0/fits/<repository>/: links to the images that are known to suit the card: by their
 * properties, or because their first bytes were seen. Nothing is fetched to find out, and
 * an image of which nothing says what it is for is not offered; nor is one of a repository
 * that the card's policy does not let pass.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/card/card.h"
#include "fs/tree/fits.h"

#include <fabricfs/image.h>

#define PAGE 64 /* images that are judged between two looks into the catalogue */

static bool slot_fits(struct card *card, int slot, const struct image_facts *facts)
{
	struct slot *s = card_slot(card, slot);

	/* A format alone is of many parts. */
	return s && slot_compared(s, facts) && !slot_suits(s, facts, NULL);
}

/* What is known of it, as the catalogue has it, against the card, or any of its slots. */
static bool card_fits(const struct place *p, const char *json)
{
	struct image_facts facts;

	memset(&facts, 0, sizeof(facts));
	if (image_facts_parse(json, &facts))
		return false;
	if (!p->view->slots_len)
		return slot_fits(p->card, -1, &facts);
	for (unsigned i = 0; i < p->view->slots_len; i++)
		if (slot_fits(p->card, (int)i, &facts))
			return true;
	return false;
}

/* --- verdicts ---------------------------------------------------------------------------------- */

/* Many images are for few parts: what is judged within one listing is remembered by all that counts. */
#define VERDICTS 32
#define KEY_MAX	 384 /* with more to say it is judged by itself */

struct verdicts {
	unsigned len;
	struct {
		size_t key_len;
		char key[KEY_MAX];
		bool fits;
	} list[VERDICTS];
};

/* Behind a string's closing quote, NULL = it has none. */
static const char *string_end(const char *at)
{
	for (at++; *at && *at != '"'; at++)
		if (*at == '\\' && at[1])
			at++;
	return *at ? at + 1 : NULL;
}

/* Behind a value, whatever it is; NULL = it does not end. */
static const char *value_end(const char *at)
{
	int depth = 0;

	while (at && *at) {
		if (*at == '"') {
			at = string_end(at);
			continue;
		}
		if (!depth && (*at == ',' || *at == '}'))
			return at;
		depth += *at == '{' || *at == '[';
		depth -= *at == '}' || *at == ']';
		at++;
	}
	return NULL;
}

/* Does this member say nothing about which card an image is for? `at` is its name's quote. */
static bool is_beside(const char *at, size_t len)
{
	static const char *const names[] = { "\"design\"", "\"tool\"", "\"built\"", "\"file\"", "\"sha256\"", "\"size\"",
					     "\"declared_size\"", "\"detail\"" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == len && !memcmp(at, names[i], len))
			return true;
	return false;
}

/* The members of json (as json_dumps() packs them) that count; 0 = it is something else, or too long. */
static size_t key_of(const char *json, char key[KEY_MAX])
{
	const char *at = *json == '{' ? json + 1 : NULL;
	size_t len = 0;

	while (at && *at == '"') {
		const char *name_end = string_end(at);
		const char *end = name_end && *name_end == ':' ? value_end(name_end + 1) : NULL;

		if (!end)
			return 0;
		if (!is_beside(at, (size_t)(name_end - at))) {
			if (len + (size_t)(end - at) + 1 > KEY_MAX)
				return 0;
			memcpy(key + len, at, (size_t)(end - at));
			len += (size_t)(end - at);
			key[len++] = ',';
		}
		at = *end == ',' ? end + 1 : end;
	}
	return at && *at == '}' && !at[1] ? len : 0;
}

static bool verdict(const struct place *dir, struct verdicts *v, const char *json)
{
	char key[KEY_MAX];
	size_t len = key_of(json, key);
	bool fits;

	for (unsigned i = 0; len && i < v->len; i++)
		if (v->list[i].key_len == len && !memcmp(v->list[i].key, key, len))
			return v->list[i].fits;
	fits = card_fits(dir, json);
	if (len && v->len < VERDICTS) {
		memcpy(v->list[v->len].key, key, len);
		v->list[v->len].key_len = len;
		v->list[v->len++].fits = fits;
	}
	return fits;
}

/* --- listing ------------------------------------------------------------------------------------- */

struct page {
	struct verdicts verdicts;
	unsigned len;
	struct {
		uint64_t id;
		char name[CATALOGUE_NAME_MAX];
		char *json;
	} rows[PAGE];
};

static int page_add(const struct catalogue_listed *entry, const char *json, void *arg)
{
	struct page *page = arg;

	if (page->len == PAGE)
		return 1;
	page->rows[page->len].id = entry->id;
	text_copy(page->rows[page->len].name, sizeof(page->rows[0].name), entry->name);
	/* What cannot be read has no data, or was withdrawn. */
	page->rows[page->len].json = entry->data == REPO_DATA ? strdup(json) : NULL;
	page->len++;
	return 0;
}

int fits_each(const struct place *dir, int (*fn)(const char *name, uint64_t ino, void *arg), void *arg)
{
	struct page *page = malloc(sizeof(*page));
	uint64_t after = 0;
	int r = page ? 0 : -ENOMEM;
	bool taken = card_takes_repository(dir->card, repo_name(dir->fits));

	if (page)
		page->verdicts.len = 0;
	while (!r && taken) {
		page->len = 0;
		r = catalogue_list_known(mirror_store(), repo_id(dir->fits), after, page_add, page, NULL);
		r = r > 0 ? 0 : r;
		for (unsigned i = 0; i < page->len; i++) {
			if (!r && page->rows[i].json && verdict(dir, &page->verdicts, page->rows[i].json))
				r = fn(page->rows[i].name, node_fit(dir->dev, page->rows[i].id), arg);
			after = page->rows[i].id;
			free(page->rows[i].json);
		}
		if (page->len < PAGE)
			break;
	}
	free(page);
	return r;
}

int fits_lookup(const struct place *dir, const char *name, uint64_t *ino)
{
	struct catalogue_entry e;
	char *json CLEANUP_FREE = NULL;
	int err = card_takes_repository(dir->card, repo_name(dir->fits)) ?
			  catalogue_entry_named(mirror_store(), repo_id(dir->fits), name, &e, NULL) : -ENOENT;

	if (!err && (!e.known || e.data != REPO_DATA))
		err = -ENOENT;
	if (!err)
		err = catalogue_facts(mirror_store(), e.id, &json, NULL);
	if (!err && (!json || !card_fits(dir, json)))
		err = -ENOENT;
	if (!err)
		*ino = node_fit(dir->dev, e.id);
	return err;
}

void fit_target(const struct place *p, struct buf *out)
{
	struct catalogue_entry e;
	const struct repo *repo = NULL;

	if (!catalogue_entry_get(mirror_store(), node_fit_row(p->ino), &e, NULL))
		repo = mirror_find(e.repo);
	/* Gone meanwhile: a link that leads nowhere. */
	buf_addf(out, "../../../remote/%s/%s", repo ? repo_name(repo) : "-", repo ? e.name : "-");
}
