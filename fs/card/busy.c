// SPDX-License-Identifier: Apache-2.0
/* Who is at a slot, who was refused for it, and who waits for him to go (busy.h). */
#include <errno.h>
#include <stdio.h>

#include "fs/card/busy.h"
#include "fs/card/upload.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/* How long somebody waits for a RELEASE that is on its way; on a busy machine it is late. */
#define CLOSING_WAIT_NS 500000000

/* --- who it is ------------------------------------------------------------------------ */

/* "cp (pid 123, user al, docker:0123456789ab)" */
static void who_say(const struct who *who, char *out, size_t size)
{
	char user[sizeof(who->user) + 16];

	if (*who->user)
		snprintf(user, sizeof(user), "user %s", who->user);
	else
		snprintf(user, sizeof(user), "uid %u", who->uid);
	snprintf(out, size, "%s (pid %d, %s%s%s)", *who->command ? who->command : "a process", who->pid, user,
		 *who->container ? ", " : "", who->container);
}

int slot_busy(const struct slot *slot, bool check, const struct upload *u, struct reason *why)
{
	const struct upload *writer = slot->writer[check];
	char who[256];

	if (writer && writer != u) {
		who_say(&writer->saved->who, who, sizeof(who));
		return reason_set(why, EBUSY, "%s: %s is %s", slot->name, who,
				  check ? "having an image checked" : slot->running ? "programming it"
				  : "uploading an image to it");
	}
	if (check || (!slot->running && !slot->commands))
		return 0;
	if (!slot->commands)
		return reason_set(why, EBUSY, "%s is being programmed", slot->name);
	who_say(&slot->commander, who, sizeof(who));
	return reason_set(why, EBUSY, "%s is carrying out a command of %s", slot->name, who);
}

void slot_refused(struct slot *slot, bool check)
{
	struct reason why = { 0 };
	bool news = false;

	pthread_mutex_lock(&slot->card->lock);
	/* He may have gone just now; then there is nobody to be named. */
	if (slot_busy(slot, check, NULL, &why)) {
		news = !slot->refused[check];
		slot->refused[check] = true;
	}
	if (news)
		atomic_store(&slot->busy_ns, mtime_after(atomic_load(&slot->busy_ns)));
	pthread_mutex_unlock(&slot->card->lock);
	if (!news)
		return;
	/* Once for all who try meanwhile. */
	log_info("%s: others are refused", why.text);
	card_changed((int)slot->card->dev, slot->index, CHANGE_ERROR);
}

void slot_freed(struct slot *slot)
{
	bool news = false, waits;

	pthread_mutex_lock(&slot->card->lock);
	for (int check = 0; check < 2; check++) {
		if (!slot->refused[check] || slot_busy(slot, check, NULL, NULL))
			continue;
		slot->refused[check] = false;
		news = true;
	}
	if (news)
		atomic_store(&slot->busy_ns, mtime_after(atomic_load(&slot->busy_ns)));
	waits = slot->waits;
	pthread_mutex_unlock(&slot->card->lock);
	if (news)
		card_changed((int)slot->card->dev, slot->index, CHANGE_ERROR);
	if (waits)
		cards_kick();
}

bool card_busy(struct card *card, int index, struct reason *why)
{
	struct slot *slot = card_slot(card, index);
	bool busy = false;

	*why = (struct reason){ 0 };
	/* Rendering must not pay for a lock that is nearly always for nothing. */
	if (!slot || !atomic_load(&slot->busy_ns))
		return false;
	pthread_mutex_lock(&card->lock);
	for (int check = 0; check < 2 && !busy; check++)
		busy = slot->refused[check] && slot_busy(slot, check, NULL, why);
	pthread_mutex_unlock(&card->lock);
	return busy;
}

int64_t card_busy_ns(struct card *card, int index)
{
	struct slot *slot = card_slot(card, index);

	return slot ? atomic_load(&slot->busy_ns) : 0;
}

/* --- waiting for him to go ---------------------------------------------------------------- */

/* card->lock held */
static bool closing(const struct slot *slot, bool check)
{
	const struct upload *writer = slot->writer[check];

	return writer && !(slot->running && !check) &&
	       upload_bits(writer) & (UPLOAD_JUDGED | UPLOAD_POISONED);
}

/* card->lock held */
static bool waited_for(struct slot *slot, const struct slot_wait *wait)
{
	return wait->closing ? wait->closing(slot, wait) : closing(slot, wait->check);
}

bool slot_is_closing(struct slot *slot, bool check)
{
	bool is;

	pthread_mutex_lock(&slot->card->lock);
	is = closing(slot, check);
	pthread_mutex_unlock(&slot->card->lock);
	return is;
}

bool slot_wait(struct slot *slot, struct slot_wait *wait)
{
	bool is;

	wait->deadline_ns = clock_mono_ns() + CLOSING_WAIT_NS;
	pthread_mutex_lock(&slot->card->lock);
	is = waited_for(slot, wait);
	if (is) {
		wait->next = slot->waits;
		slot->waits = wait;
	}
	pthread_mutex_unlock(&slot->card->lock);
	if (is)
		cards_kick(); /* a deadline more */
	return is;
}

int64_t slot_waits_end(struct card *card, int64_t now, bool all)
{
	struct slot_wait *due = NULL;
	int64_t next = -1;

	pthread_mutex_lock(&card->lock);
	for (int i = -1; i < (int)card->slots_len; i++) {
		struct slot *slot = card_slot(card, i);

		for (struct slot_wait **at = &slot->waits; *at;) {
			struct slot_wait *w = *at;

			if (!all && waited_for(slot, w) && w->deadline_ns > now) {
				if (next < 0 || w->deadline_ns - now < next)
					next = w->deadline_ns - now;
				at = &w->next;
				continue;
			}
			*at = w->next;
			w->next = due;
			due = w;
		}
	}
	pthread_mutex_unlock(&card->lock);
	/* Put in front as they came, and now in front again: the first who came is the first. */
	while (due) {
		struct slot_wait *w = due;

		due = w->next;
		w->again(w, all || w->deadline_ns <= now);
	}
	return next;
}
