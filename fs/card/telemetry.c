// SPDX-License-Identifier: Apache-2.0
/*
 * Telemetry: values are read by the card's own thread when somebody asks and
 * they are too old; all who ask meanwhile wait for that one reading.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/card/card.h"

#include <fabricfs/clock.h>
#include <fabricfs/log.h>

#define WAIT_MAX_NS (INT64_C(2) * 1000000000)

static void waits_answer(struct card *card, int err)
{
	struct telemetry_wait *waits;

	pthread_mutex_lock(&card->lock);
	waits = card->waits;
	card->waits = NULL;
	card->telemetry_queued = false;
	pthread_mutex_unlock(&card->lock);
	while (waits) {
		struct telemetry_wait *w = waits;

		waits = w->next;
		w->done(w->arg, err);
		free(w);
	}
}

int telemetry_read(struct card *card)
{
	struct card_sensor sensors[CARD_SENSORS_MAX];
	struct reason why = { 0 };
	struct card_view *view;
	int n;

	if (!card->actor.handle || !card->backend->telemetry)
		return ENODEV;
	n = card->backend->telemetry(card->actor.handle, sensors, CARD_SENSORS_MAX, &why);
	if (n < 0) {
		log_warn("dev%u: telemetry: %s", card->dev, why.text);
		return -n;
	}
	view = view_edit(card);
	if (!view)
		return ENOMEM;
	memcpy(view->sensors, sensors, (size_t)n * sizeof(sensors[0]));
	view->sensors_len = (unsigned)n;
	view->sensors_ns = clock_now_ns();
	view->sensors_mono_ns = clock_mono_ns();
	view_publish(card, view, -1, CHANGE_TELEMETRY);
	temperature_watch(card);
	return 0;
}

static void telemetry_run(struct card *card, struct job *job, bool end)
{
	free(job);
	waits_answer(card, end ? ENODEV : telemetry_read(card));
}

void telemetry_post(struct card *card)
{
	struct job *job = malloc(sizeof(*job));
	bool post;

	if (!job)
		return;
	*job = (struct job){ .run = telemetry_run };
	pthread_mutex_lock(&card->lock);
	post = !card->telemetry_queued;
	card->telemetry_queued = true;
	pthread_mutex_unlock(&card->lock);
	if (post && actor_post(&card->actor, job))
		return;
	free(job);
	if (post)
		waits_answer(card, ENODEV);
}

/* 0: they are too old; ENODEV: nobody can be asked; EEXIST: they are as young as they should be. */
static int telemetry_state(struct card *card)
{
	const struct card_view *view = card_view_get(card);
	int64_t age_ns = clock_mono_ns() - view->sensors_mono_ns;
	bool young = view->sensors_ns && age_ns < card->config->telemetry_max_age_ms * 1000000;
	bool offline = view->self.state == STATE_OFFLINE;

	/* What was measured before a load changed tells of another design, however young it is. */
	for (int i = -1; i < (int)view->slots_len; i++)
		young &= view->sensors_mono_ns > slot_view(view, i)->loaded_mono_ns;
	card_view_put(view);
	return offline ? ENODEV : young ? EEXIST : 0;
}

void card_telemetry_refresh(struct card *card, void (*done)(void *arg, int err), void *arg)
{
	int state = telemetry_state(card);
	struct telemetry_wait *w;

	if (state) {
		done(arg, state == EEXIST ? 0 : state);
		return;
	}
	w = malloc(sizeof(*w));
	if (!w) {
		done(arg, ENOMEM);
		return;
	}
	*w = (struct telemetry_wait){ .done = done, .arg = arg,
				      .deadline_ns = clock_mono_ns() + WAIT_MAX_NS };
	pthread_mutex_lock(&card->lock);
	w->next = card->waits;
	card->waits = w;
	pthread_mutex_unlock(&card->lock);
	telemetry_post(card);
	cards_kick();
}

void cards_telemetry_want(void)
{
	for (unsigned i = 0; i < cards_count(); i++) {
		struct card *card = cards_nth(i);

		if (card && card->backend->telemetry && !telemetry_state(card))
			telemetry_post(card);
	}
}

int64_t telemetry_expire(struct card *card, int64_t now)
{
	struct telemetry_wait *late = NULL, **at;
	int64_t next = -1;

	pthread_mutex_lock(&card->lock);
	for (at = &card->waits; *at;) {
		struct telemetry_wait *w = *at;

		if (w->deadline_ns <= now) {
			*at = w->next;
			w->next = late;
			late = w;
			continue;
		}
		if (next < 0 || w->deadline_ns - now < next)
			next = w->deadline_ns - now;
		at = &w->next;
	}
	pthread_mutex_unlock(&card->lock);
	while (late) {
		struct telemetry_wait *w = late;

		late = w->next;
		w->done(w->arg, ETIMEDOUT);
		free(w);
	}
	return next;
}
