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

struct page {
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

	while (!r && taken) {
		page->len = 0;
		r = catalogue_list_known(mirror_store(), repo_id(dir->fits), after, page_add, page, NULL);
		r = r > 0 ? 0 : r;
		for (unsigned i = 0; i < page->len; i++) {
			if (!r && page->rows[i].json && card_fits(dir, page->rows[i].json))
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
