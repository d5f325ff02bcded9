// SPDX-License-Identifier: Apache-2.0
/* Views: making, changing and publishing what is known of a card (view.h). */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "fs/card/card.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

static void (*changes_listener)(int dev, int slot, unsigned what);

void cards_listen(void (*changed)(int dev, int slot, unsigned what))
{
	changes_listener = changed;
}

void card_changed(int dev, int slot, unsigned what)
{
	if (changes_listener)
		changes_listener(dev, slot, what);
}

const char *state_word(enum state state)
{
	switch (state) {
	case STATE_UNCONFIGURED: return "unconfigured";
	case STATE_PROGRAMMING: return "programming";
	case STATE_CONFIGURED: return "configured";
	case STATE_FAILED: return "failed";
	case STATE_OFFLINE: return "offline";
	case STATE_UNKNOWN: return "unknown";
	case STATES: break;
	}
	return "unknown";
}

enum state state_parse(const char *word)
{
	for (int s = 0; s < STATES; s++)
		if (!strcmp(word, state_word((enum state)s)))
			return (enum state)s;
	return STATE_UNKNOWN;
}

const char *phase_word(enum phase phase)
{
	switch (phase) {
	case PHASE_IDLE: return "idle";
	case PHASE_RECEIVING: return "receiving";
	case PHASE_VALIDATING: return "validating";
	case PHASE_PROGRAMMING: return "programming";
	}
	return "idle";
}

int64_t mtime_after(int64_t before)
{
	int64_t now = clock_now_ns();

	return now > before ? now : before + 1;
}

void view_free(struct card_view *view)
{
	if (!view)
		return;
	free(view->self.check);
	for (unsigned i = 0; i < view->slots_len; i++)
		free(view->slots[i].check);
	free(view->slots);
	free(view);
}

static bool slot_view_copy(struct slot_view *to)
{
	if (!to->check)
		return true;
	to->check = strdup(to->check);
	return to->check;
}

struct card_view *view_edit(struct card *card)
{
	struct card_view *view = malloc(sizeof(*view));
	size_t skip = offsetof(struct card_view, dev);
	const struct card_view *old;

	if (!view)
		goto no_memory;
	/* Who holds this alone replaces the view: no reference is needed. */
	pthread_mutex_lock(&card->edit_lock);
	old = card->view;
	/* All but the count of its readers, which changes as we look. */
	memcpy((char *)view + skip, (const char *)old + skip, sizeof(*view) - skip);
	atomic_init(&view->refs, 1);
	view->slots = NULL;
	view->slots_len = 0;
	if (!slot_view_copy(&view->self))
		goto no_copy;
	if (old->slots_len) {
		view->slots = calloc(old->slots_len, sizeof(*view->slots));
		if (!view->slots)
			goto no_copy;
		for (unsigned i = 0; i < old->slots_len; i++) {
			view->slots[i] = old->slots[i];
			view->slots_len = i + 1;
			if (!slot_view_copy(&view->slots[i]))
				goto no_copy;
		}
	}
	return view;
no_copy:
	pthread_mutex_unlock(&card->edit_lock);
	view_free(view);
no_memory:
	log_error("dev%u: no memory for a new view", card->dev);
	return NULL;
}

struct slot_view *view_slot(struct card_view *view, int slot)
{
	if (slot < 0)
		return &view->self;
	return (unsigned)slot < view->slots_len ? &view->slots[slot] : NULL;
}

const struct slot_view *slot_view(const struct card_view *view, int slot)
{
	return view_slot((struct card_view *)view, slot);
}

void view_publish(struct card *card, struct card_view *view, int slot, unsigned what)
{
	struct card_view *old;

	pthread_mutex_lock(&card->view_lock);
	old = card->view;
	card->view = view;
	pthread_mutex_unlock(&card->view_lock);
	pthread_mutex_unlock(&card->edit_lock);
	if (old)
		card_view_put(old);
	card_changed((int)card->dev, slot, what);
}

const struct card_view *card_view_get(struct card *card)
{
	struct card_view *view;

	pthread_mutex_lock(&card->view_lock);
	view = card->view;
	atomic_fetch_add(&view->refs, 1);
	pthread_mutex_unlock(&card->view_lock);
	return view;
}

void card_view_put(const struct card_view *view)
{
	struct card_view *v = (struct card_view *)view;

	if (v && atomic_fetch_sub(&v->refs, 1) == 1)
		view_free(v);
}

enum state slot_state(const struct slot *slot)
{
	const struct card_view *view = card_view_get(slot->card);
	const struct slot_view *v = slot_view(view, slot->index);

	assert(v); /* a view has all slots of its card */

	enum state state = v->state;

	card_view_put(view);
	return state;
}

struct slot *card_slot(struct card *card, int index)
{
	if (index < 0)
		return &card->self;
	return (unsigned)index < card->slots_len ? &card->slots[index] : NULL;
}

static unsigned slot_view_state(struct slot_view *v, enum state state, const char *error)
{
	unsigned what = 0;

	if (v->state != state) {
		v->state = state;
		v->state_ns = mtime_after(v->state_ns);
		what |= CHANGE_STATE;
	}
	if (error && strcmp(v->error, error)) {
		text_copy(v->error, sizeof(v->error), error);
		v->error_ns = mtime_after(v->error_ns);
		what |= CHANGE_ERROR;
	}
	return what;
}

void slot_show(struct slot *slot, enum state state, const char *error)
{
	struct card_view *view = view_edit(slot->card);

	if (!view)
		return;

	unsigned what = slot_view_state(view_slot(view, slot->index), state, error);

	view_publish(slot->card, view, slot->index, what);
}

void card_error_over(struct card *card)
{
	struct card_view *view = view_edit(card);
	unsigned what = 0;

	if (!view)
		return;
	/* Why it is offline stays true whatever a slot has still brought to an end. */
	if (view->self.state != STATE_OFFLINE)
		what = slot_view_state(&view->self, view->self.state, "");
	view_publish(card, view, -1, what);
}

/* The words that ctl accepts now. */
static void slot_words(struct slot *slot, struct slot_view *v, const struct card_facts *facts)
{
	struct buf b = BUF_INIT;

	if (v->state == STATE_OFFLINE) {
		buf_adds(&b, slot->index < 0 ? "forget" : "");
	} else if (slot->index >= 0 || !slot->card->slots_len) {
		if (facts->can & CARD_CAN_CLEAR)
			buf_adds(&b, "clear ");
		if (facts->can & CARD_CAN_RESET)
			buf_adds(&b, "reset ");
		buf_adds(&b, "reload rollback");
		if (facts->can & CARD_CAN_READBACK)
			buf_adds(&b, " verify");
	}
	text_copy(v->words, sizeof(v->words), buf_ok(&b) || !b.data ? "" : b.data);
	buf_free(&b);
}

void slot_show_loaded(struct slot *slot, enum state state, const char *error,
		      const struct loaded *loaded)
{
	struct card *card = slot->card;
	void *handle = slot->actor->handle;
	struct card_view *view = view_edit(card);

	if (!view)
		return;

	struct slot_view *v = view_slot(view, slot->index);
	unsigned what = slot_view_state(v, state, error) | CHANGE_LOADED | CHANGE_ENDPOINTS;

	struct image_facts facts = { 0 };
	struct loaded parsed;

	v->loaded = *loaded;
	if (*slot->row.loaded_sha256 && loaded_parse(slot->row.loaded, &parsed, &facts))
		memset(&facts, 0, sizeof(facts));
	image_static_design(&facts, v->shell, sizeof(v->shell));
	/* A copy to another card goes by these, without reading the image again. */
	v->loaded_facts = *loaded->sha256 ? facts : (struct image_facts){ 0 };
	v->loaded_ns = mtime_after(v->loaded_ns);
	v->loaded_mono_ns = clock_mono_ns();
	/* Nothing loaded is older than any source, so that make programs the card. */
	v->image_ns = *loaded->sha256 ? slot->row.image_mtime_ns : 0;
	v->load = slot->row.load;
	v->endpoints = handle && card->backend->endpoints && state == STATE_CONFIGURED
			       ? card->backend->endpoints(handle, (unsigned)(slot->index < 0 ? 0 : slot->index))
			       : 0;
	slot_words(slot, v, &view->facts);
	atomic_store(&slot->load, slot->row.load);
	view_publish(card, view, slot->index, what);
}

void slot_progress(struct slot *slot, enum phase phase, uint64_t done, uint64_t total)
{
	atomic_store_explicit(&slot->done, done, memory_order_relaxed);
	atomic_store_explicit(&slot->total, total, memory_order_relaxed);

	int before = atomic_exchange_explicit(&slot->phase, phase, memory_order_relaxed);

	if ((before == PHASE_IDLE) != (phase == PHASE_IDLE))
		card_changed((int)slot->card->dev, slot->index, CHANGE_PROGRESS);
}

void card_progress(struct card *card, int index, struct progress *progress)
{
	struct slot *slot = card_slot(card, index);

	*progress = (struct progress){ 0 };
	if (!slot)
		return;
	progress->phase = (enum phase)atomic_load_explicit(&slot->phase, memory_order_relaxed);
	progress->done = atomic_load_explicit(&slot->done, memory_order_relaxed);
	progress->total = atomic_load_explicit(&slot->total, memory_order_relaxed);
}
