// SPDX-License-Identifier: Apache-2.0
/* Attributes of a card, or of a slot: set on the thread that drives it, read from the view. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/card/card.h"

#include <fabricfs/buf.h>
#include <fabricfs/log.h>

struct attr_change {
	struct job job;
	struct slot *slot;
	uint64_t id;
	char name[CARD_ATTR_NAME];
	char value[CARD_ATTR_VALUE];
	bool remove;
	void (*done)(void *arg, int err);
	void *arg;
};

void attributes_show(struct slot *slot)
{
	struct card *card = slot->card;
	struct reason why = { 0 };
	struct card_attrs attrs;
	struct card_view *view;

	if (!card->backend->attr_list)
		return;
	if (card->backend->attr_list(&card->card_config->card, &slot->actor->host, &attrs, &why)) {
		log_warn("%s: attributes: %s", slot->name, why.text);
		attrs.len = 0;
	}
	view = view_edit(card);
	if (!view)
		return;
	view_slot(view, slot->index)->attrs = attrs;
	view_publish(card, view, slot->index, 0);
}

static void change_run(struct card *card, struct job *job, bool end)
{
	struct attr_change *c = (struct attr_change *)job;
	struct actor *actor = c->slot->actor;
	struct reason why = { 0 };
	int err = -ECANCELED;

	if (!end) {
		err = card->backend->attr_set(&card->card_config->card, &actor->host, actor->handle, c->id,
					      c->name, c->remove ? NULL : c->value, &why);
		if (err)
			log_warn("%s: attribute %s: %s", c->slot->name, c->name, why.text);
		else
			log_info("%s: attribute %s %s%s", c->slot->name, c->name,
				 c->remove ? "removed" : "set to ", c->remove ? "" : c->value);
		attributes_show(c->slot);
		/* It may be what kept the card away. */
		if (!err && !actor->handle && c->slot->index < 0 && !atomic_load(&card->forgotten))
			actor_take_up(actor);
	}
	c->done(c->arg, -err);
	free(c);
}

const char *slot_attribute(const struct slot_view *view, const char *name)
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

int slot_attribute_set(struct slot *slot, uint64_t id, const char *name, const char *value,
		       void (*done)(void *arg, int err), void *arg)
{
	struct attr_change *c;

	/* One that is driven together with others has none of its own. */
	if (!slot->card->backend->attr_set || slot->actor->slot != slot)
		return -EOPNOTSUPP;
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct attr_change){ .job.run = change_run, .slot = slot, .id = id, .remove = !value, .done = done, .arg = arg };
	if (!text_copy(c->name, sizeof(c->name), name) || !text_copy(c->value, sizeof(c->value), value)) {
		free(c);
		return -EINVAL;
	}
	if (!actor_post(slot->actor, &c->job)) {
		free(c);
		return -ECANCELED;
	}
	return 0;
}
