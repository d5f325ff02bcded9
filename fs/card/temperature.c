// SPDX-License-Identifier: Apache-2.0
/*
 * The policy max-temp-celsius: above it nothing is programmed, and an alert is
 * told once, also when nobody looks at telemetry/: the card's thread then reads
 * its sensors every few seconds.
 *
 * The card's temperature is the highest of its values whose name ends in
 * temp_celsius, be they measured or modelled. A card that tells none, or cannot
 * be asked, is not programmed under this policy: a limit that is not looked at
 * is none.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/card/card.h"

#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/* Between two readings that nobody asked for. */
#define WATCH_NS (INT64_C(5) * 1000000000)
/* Of a slot with a thread of its own, which cannot ask the card: so old a reading may be. */
#define YOUNG_NS (3 * WATCH_NS)
/* So much below the limit it counts as cooled down, else a value at the limit tells an alert a second. */
#define COOL_DEGC 2.0

static const struct card_sensor *hottest(const struct card_view *view)
{
	static const char end[] = "temp_celsius";
	const struct card_sensor *found = NULL;

	for (unsigned i = 0; i < view->sensors_len; i++) {
		const struct card_sensor *s = &view->sensors[i];
		size_t len = strlen(s->name);

		if (len >= sizeof(end) - 1 && !strcmp(s->name + len - (sizeof(end) - 1), end) &&
		    (!found || s->value > found->value))
			found = s;
	}
	return found;
}

void temperature_text(struct card *card, char *text, size_t size)
{
	const struct card_view *view = card_view_get(card);
	const struct card_sensor *s = hottest(view);

	*text = '\0';
	if (s)
		snprintf(text, size, "; %s is %.*f", s->name, s->decimals, s->value);
	card_view_put(view);
}

int temperature_check(struct slot *slot, struct reason *why)
{
	struct card *card = slot->card;
	double limit = card->card_config->policy.max_temp_celsius;
	const struct card_sensor *s;
	const struct card_view *view;
	int64_t age_ns;
	int err = 0;

	if (limit <= 0)
		return 0;
	/* Asked now, where this is the thread that may ask. */
	if (slot->actor == &card->actor)
		err = telemetry_read(card);
	view = card_view_get(card);
	s = hottest(view);
	age_ns = clock_mono_ns() - view->sensors_mono_ns;
	if (err || (s && age_ns > YOUNG_NS))
		err = reason_set(why, err ? err : EIO, "the temperature of %s could not be read%s%s, and its policy "
				 "max-temp-celsius allows no programming without it", slot->name,
				 err ? ": " : "", err ? strerror(err) : "");
	else if (!s)
		err = reason_set(why, EPERM, "%s tells no temperature, and its policy max-temp-celsius allows no "
				 "programming without it", slot->name);
	else if (s->value > limit)
		err = reason_set(why, EPERM, "%s is too hot: %s is %.*f, its policy max-temp-celsius allows "
				 "programming up to %g", slot->name, s->name, s->decimals, s->value, limit);
	card_view_put(view);
	return err;
}

void temperature_watch(struct card *card)
{
	double limit = card->card_config->policy.max_temp_celsius;
	const struct card_view *view;
	const struct card_sensor *s;
	char text[256] = "";
	int err = 0;

	if (limit <= 0)
		return;
	view = card_view_get(card);
	s = hottest(view);
	if (s && s->value > limit && !card->hot) {
		card->hot = true;
		err = EIO;
		snprintf(text, sizeof(text), "%s is %.*f, more than the %g of max-temp-celsius", s->name,
			 s->decimals, s->value, limit);
	} else if (s && s->value < limit - COOL_DEGC && card->hot) {
		card->hot = false;
		snprintf(text, sizeof(text), "%s is %.*f again, less than the %g of max-temp-celsius", s->name,
			 s->decimals, s->value, limit);
	}
	card_view_put(view);
	if (!*text)
		return;
	if (err)
		log_warn("dev%u: %s", card->dev, text);
	card_alert(card, err, text);
}

int64_t temperature_due(struct card *card, int64_t now)
{
	if (card->card_config->policy.max_temp_celsius <= 0 || slot_state(&card->self) == STATE_OFFLINE)
		return -1;
	if (now >= card->watch_ns) {
		telemetry_post(card);
		card->watch_ns = now + WATCH_NS;
	}
	return card->watch_ns - now;
}
