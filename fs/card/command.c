// SPDX-License-Identifier: Apache-2.0
/* The words of ctl and stop (command.h). What touches hardware runs on the actor. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/card/busy.h"
#include "fs/card/command.h"
#include "fs/card/kept.h"
#include "fs/card/upload.h"
#include "fs/daemon/suspect.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

#define COMMAND_DEADLINE_NS (INT64_C(600) * 1000000000)

struct command {
	struct job job;
	struct slot *slot;
	const struct word *word; /* NULL: refused, `why` is only to be shown */
	struct reason why;
	struct who who;
	uint64_t run;
	void (*done)(void *arg, int err);
	void *arg;
};

struct word {
	const char *name;
	const char *event;  /* of the record; NULL: programming records by itself */
	unsigned needs;     /* card_can bits */
	bool offline;       /* only for an offline card; else only for one that is there */
	int (*act)(struct command *c, struct reason *why);
};

static unsigned backend_slot(const struct slot *slot)
{
	return slot->index < 0 ? 0 : (unsigned)slot->index;
}

/* --- the words ------------------------------------------------------------------------ */

static int word_clear(struct command *c, struct reason *why)
{
	struct slot *slot = c->slot;
	struct card *card = slot->card;
	struct store_slot *row = &slot->row;
	int err;

	/* A worker that takes over must not restore what was just cleared. */
	row->restorable = false;
	err = store_reserve(card->store, why);
	if (!err)
		err = store_commit(card->store, card->dev, slot->index, row, NULL, NULL, why);
	if (err) {
		row->restorable = *row->loaded_sha256;
		return err;
	}
	slot_io_stale(slot);
	err = card->backend->clear(slot->actor->handle, backend_slot(slot), why);
	/* Whatever came of it, what was loaded cannot be relied upon any more. */
	row_push_previous(row, "");
	row->restorable = false;
	row->load++;
	row->state_mtime_ns = clock_now_ns();
	text_copy(row->state, sizeof(row->state), state_word(err ? STATE_FAILED : STATE_UNCONFIGURED));
	slot_show_loaded(slot, err ? STATE_FAILED : STATE_UNCONFIGURED, NULL, &(struct loaded){ 0 });
	return err;
}

static int word_reset(struct command *c, struct reason *why)
{
	struct slot *slot = c->slot;

	return slot->card->backend->reset(slot->actor->handle, backend_slot(slot), why);
}

static int program_again(struct command *c, const char *sha256_now, const char *json_now,
			 const char *event, struct reason *why)
{
	char sha256[SHA256_HEX];
	char *json CLEANUP_FREE = json_now ? strdup(json_now) : NULL;

	/* The row changes while the image is programmed: hold what we came for. */
	memcpy(sha256, sha256_now, SHA256_HEX);
	return slot_program_blob(c->slot, sha256, json, event, NULL, NULL, c->run, &c->who, why);
}

static int word_reload(struct command *c, struct reason *why)
{
	struct store_slot *row = &c->slot->row;

	if (!*row->loaded_sha256 || !row->restorable)
		return reason_set(why, ENODATA, "%s has nothing loaded to reload", c->slot->name);
	return program_again(c, row->loaded_sha256, row->loaded, "programmed", why);
}

static int word_rollback(struct command *c, struct reason *why)
{
	struct store_slot *row = &c->slot->row;

	if (!*row->previous_sha256)
		return reason_set(why, ENODATA, "%s has no earlier good image to roll back to",
				  c->slot->name);
	return program_again(c, row->previous_sha256, row->previous, "rolled-back", why);
}

static int word_verify(struct command *c, struct reason *why)
{
	struct slot *slot = c->slot;
	struct card *card = slot->card;
	struct store_slot *row = &slot->row;
	struct loaded loaded;
	struct image_facts facts;
	char path[4096];
	int fd CLEANUP_FD = -1;
	struct card_run run = { .id = c->run, .slot = backend_slot(slot), .sha256 = row->loaded_sha256,
				.facts = &facts, .cancel_fd = slot->actor->cancel_fd, .path = path,
				.deadline_ns = clock_mono_ns() + COMMAND_DEADLINE_NS };
	int err;

	if (!*row->loaded_sha256 || loaded_parse(row->loaded, &loaded, &facts))
		return reason_set(why, ENODATA, "%s has nothing loaded to verify", slot->name);
	/* Else a damaged copy would be told of as a card that differs. */
	err = kept_prove(slot, row->loaded_sha256, why);
	if (!err)
		err = store_blob_open(card->store, row->loaded_sha256, &fd, &run.size, why);
	if (err)
		return err;
	run.fd = fd;
	store_blob_path(card->store, row->loaded_sha256, path, sizeof(path));
	return card->backend->verify(slot->actor->handle, &run, why);
}

static int word_forget(struct command *c, struct reason *why)
{
	struct card *card = c->slot->card;
	int err = store_card_forget(card->store, card->dev, why);

	if (!err) {
		atomic_store(&card->forgotten, true);
		card_changed((int)card->dev, -1, CHANGE_CARDS);
	}
	return err;
}

static const struct word words[] = {
	{ "clear", "cleared", CARD_CAN_CLEAR, false, word_clear },
	{ "reset", "reset", CARD_CAN_RESET, false, word_reset },
	{ "reload", NULL, 0, false, word_reload },
	{ "rollback", NULL, 0, false, word_rollback },
	{ "verify", "checked", CARD_CAN_READBACK, false, word_verify },
	{ "forget", "removed", 0, true, word_forget },
	{ 0 },
};

/* --- carrying one out --------------------------------------------------------------------- */

static void slot_commands(struct slot *slot, int add)
{
	pthread_mutex_lock(&slot->card->lock);
	slot->commands = (unsigned)((int)slot->commands + add);
	pthread_mutex_unlock(&slot->card->lock);
	slot_freed(slot);
}

static int command_act(struct command *c, struct reason *why)
{
	struct slot *slot = c->slot;
	struct card *card = slot->card;
	struct store_slot *row = &slot->row;
	struct reason store_why = { 0 };
	int64_t started = clock_mono_ns();
	int err;

	slot->run_told = slot->run_refused = false;
	if (!c->word) {
		*why = c->why;
		text_copy(row->error, sizeof(row->error), why->text);
		slot_show(slot, slot_state(slot), row->error);
		return -why->err;
	}
	if (row->run && row->run == c->run)
		/* Done by a worker that died before it could answer. */
		return row->run_err ? reason_set(why, row->run_err, "%s", row->error) : 0;
	if (!slot->actor->handle && !c->word->offline)
		err = reason_set(why, ENODEV, "%s is offline", slot->name);
	else if (slot->actor->handle && c->word->offline)
		err = reason_set(why, EBUSY, "%s is there: only an offline card can be forgotten",
				 slot->name);
	else
		err = c->word->act(c, why);
	/* Programming has recorded itself, unless it did not come to it. */
	if (!c->word->event && (!err || slot->run_told || slot->run_refused))
		return err;
	row->run = c->run;
	row->run_err = -err;
	if (err)
		text_copy(row->error, sizeof(row->error), why->text);
	else
		row->error[0] = '\0';

	struct record r = { .event = c->word->event ? c->word->event : "program-failed", .err = -err,
			    .reason = err ? why->text : NULL, .sha256 = row->loaded_sha256,
			    .who = &c->who, .duration_ms = (clock_mono_ns() - started) / 1000000,
			    .done = !err || c->word->act == word_clear }; /* touched, even if in vain */

	/* A forgotten card has no row any more, and must not get one. */
	if (slot_record(slot, atomic_load(&card->forgotten) ? NULL : row, &r, &store_why))
		log_error("%s: history: %s", slot->name, store_why.text);
	if (err)
		log_warn("%s: %s: %s", slot->name, c->word->name, why->text);
	slot_show(slot, slot_state(slot), row->error);
	return err;
}

static void command_run(struct card *card, struct job *job, bool end)
{
	struct command *c = (struct command *)job;
	struct reason why = { 0 };
	int err = -ECANCELED;
	bool stopped;

	slot_run_begin(c->slot);
	pthread_mutex_lock(&card->lock);
	stopped = c->slot->command_stopped;
	c->slot->command_stopped = false;
	pthread_mutex_unlock(&card->lock);
	if (!end && !stopped) {
		suspect_begin(c->run - session_id());
		err = command_act(c, &why);
		suspect_end();
	}
	slot_run_end(c->slot);
	slot_commands(c->slot, -1);
	c->done(c->arg, -err);
	free(c);
}

int command_may_open(struct slot *slot, struct reason *why)
{
	struct card *card = slot->card;
	int err;

	pthread_mutex_lock(&card->lock);
	err = slot_busy(slot, false, NULL, why);
	pthread_mutex_unlock(&card->lock);
	if (err)
		slot_refused(slot, false);
	return err;
}

/* The word in bytes, without the newline; false: not one word. */
static bool word_get(const char *bytes, size_t n, char *word, size_t size)
{
	if (n && bytes[n - 1] == '\n')
		n--;
	if (!n || n >= size || memchr(bytes, '\0', n))
		return false;
	memcpy(word, bytes, n);
	word[n] = '\0';
	return true;
}

static const struct word *word_find(const char *name)
{
	for (const struct word *w = words; w->name; w++)
		if (!strcmp(w->name, name))
			return w;
	return NULL;
}

int command_post(struct slot *slot, const char *bytes, size_t n, const struct who *who, uint64_t run,
		 void (*done)(void *arg, int err), void *arg, struct reason *why)
{
	struct card *card = slot->card;
	const struct card_view *view = card_view_get(card);
	const struct word *word = NULL;
	struct command *c;
	char text[32];
	int err = 0;

	if (!word_get(bytes, n, text, sizeof(text)) || !(word = word_find(text)))
		err = reason_set(why, EINVAL, "%s: ctl takes one of: %s", slot->name,
				 slot_view(view, slot->index)->words);
	else if (card->slots_len && slot->index < 0 && !word->offline)
		err = reason_set(why, EOPNOTSUPP, "%s: %s is for one of its slots", slot->name, word->name);
	else if (slot->index >= 0 && word->offline)
		err = reason_set(why, EOPNOTSUPP, "%s: %s is for the card, dev%u", slot->name, word->name,
				 card->dev);
	else if (word->needs & ~view->facts.can)
		err = reason_set(why, EOPNOTSUPP, "%s: this card cannot %s", slot->name, word->name);
	card_view_put(view);
	c = malloc(sizeof(*c));
	if (!c)
		return reason_set(why, ENOMEM, "no memory for a command");
	*c = (struct command){ .job.run = command_run, .slot = slot, .word = err ? NULL : word,
			       .who = *who, .run = run, .done = done, .arg = arg };
	if (err)
		c->why = *why;
	pthread_mutex_lock(&card->lock);
	/* Two opens at once got here: the second is refused as its open would have been. */
	err = slot_busy(slot, false, NULL, why);
	if (!err) {
		slot->commands++;
		slot->commander = *who;
	}
	pthread_mutex_unlock(&card->lock);
	if (err) {
		slot_refused(slot, false);
		free(c);
		return err;
	}
	if (!actor_post(slot->actor, &c->job)) {
		slot_commands(slot, -1);
		free(c);
		return reason_set(why, ECANCELED, "fabricfs is ending");
	}
	return 0;
}

int command_stop(struct slot *slot, const char *bytes, size_t n, const struct who *who)
{
	char text[32];
	int err, check;

	if (!word_get(bytes, n, text, sizeof(text)))
		return -EINVAL;
	if (!strcmp(text, "lease"))
		return -EOPNOTSUPP;
	if (!strcmp(text, "command")) {
		if (who->uid && who->uid != slot->uid)
			return -EPERM;
		pthread_mutex_lock(&slot->card->lock);
		/* One that waits behind another slot's run must not end that. */
		if (slot->commands && slot->running)
			actor_cancel(slot->actor);
		else if (slot->commands)
			slot->command_stopped = true;
		pthread_mutex_unlock(&slot->card->lock);
		return 0;
	}
	if (strcmp(text, "upload"))
		return -EINVAL;
	/* Nothing to end is as good as ended. */
	err = upload_stop(slot, false, who, "somebody wrote `upload` to stop");
	check = upload_stop(slot, true, who, "somebody wrote `upload` to stop");
	if (err == -EPERM || check == -EPERM)
		return -EPERM;
	return 0;
}
