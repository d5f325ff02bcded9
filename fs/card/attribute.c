// SPDX-License-Identifier: Apache-2.0
/* A card's own attributes: set on its thread, read from its view. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/card/card.h"

#include <fabricfs/buf.h>
#include <fabricfs/log.h>

struct attr_change {
	struct job job;
	uint64_t id;
	char name[CARD_ATTR_NAME];
	char value[CARD_ATTR_VALUE];
	bool remove;
	void (*done)(void *arg, int err);
	void *arg;
};

void attributes_show(struct card *card)
{
	struct reason why = { 0 };
	struct card_view *view;

	if (!card->backend->attr_list)
		return;
	view = view_edit(card);
	if (!view)
		return;
	if (card->backend->attr_list(&card->card_config->card, &card->host, &view->attrs, &why)) {
		log_warn("dev%u: attributes: %s", card->dev, why.text);
		view->attrs.len = 0;
	}
	view_publish(card, view, -1, 0);
}

static void change_run(struct card *card, struct job *job, bool end)
{
	struct attr_change *c = (struct attr_change *)job;
	struct reason why = { 0 };
	int err = -ECANCELED;

	if (!end) {
		err = card->backend->attr_set(&card->card_config->card, &card->host, card->handle, c->id,
					      c->name, c->remove ? NULL : c->value, &why);
		if (err)
			log_warn("dev%u: attribute %s: %s", card->dev, c->name, why.text);
		else
			log_info("dev%u: attribute %s %s%s", card->dev, c->name,
				 c->remove ? "removed" : "set to ", c->remove ? "" : c->value);
		attributes_show(card);
		/* It may be what kept the card away. */
		if (!err && !card->handle && !atomic_load(&card->forgotten))
			card_take_up(card);
	}
	c->done(c->arg, -err);
	free(c);
}

const char *card_attribute(const struct card_view *view, const char *name)
{
	const char *at = view->attrs.text, *end = at + view->attrs.len;

	while (at < end) {
		const char *value = at + strlen(at) + 1;

		if (!strcmp(at, name))
			return value;
		at = value + strlen(value) + 1;
	}
	return NULL;
}

int card_attribute_set(struct card *card, uint64_t id, const char *name, const char *value,
		       void (*done)(void *arg, int err), void *arg)
{
	struct attr_change *c;

	if (!card->backend->attr_set)
		return -EOPNOTSUPP;
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct attr_change){ .job.run = change_run, .id = id, .remove = !value, .done = done, .arg = arg };
	if (!text_copy(c->name, sizeof(c->name), name) || !text_copy(c->value, sizeof(c->value), value)) {
		free(c);
		return -EINVAL;
	}
	if (!actor_post(card, &c->job)) {
		free(c);
		return -ECANCELED;
	}
	return 0;
}
