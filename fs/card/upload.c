// SPDX-License-Identifier: Apache-2.0
/* Uploads: who has one open, who may write, how they end or are taken up (upload.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/card/busy.h"
#include "fs/card/upload.h"
#include "fs/tree/node.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

void upload_bits_change(struct upload *u, uint32_t set, uint32_t clear)
{
	uint32_t old = atomic_load(&u->saved->upload.bits);

	while (!atomic_compare_exchange_weak(&u->saved->upload.bits, &old, (old & ~clear) | set))
		;
}

/* --- membership -------------------------------------------------------------------- */

void upload_put(struct upload *u)
{
	if (!u || atomic_fetch_sub(&u->refs, 1) != 1)
		return;
	/* Only now: a job may have looked into it until here, and its place is somebody
	 * else's from here on. */
	if (u->dropped)
		saved_drop(u->saved);
	if (u->fd >= 0)
		close(u->fd);
	image_parser_free(u->parser);
	digest_free(u->digest);
	pthread_cond_destroy(&u->left);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

static struct upload *upload_new(struct slot *slot, bool check, uint64_t fh,
				 struct saved_handle *saved)
{
	struct upload *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	atomic_init(&u->refs, 1);
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->left, NULL);
	u->slot = slot;
	u->check = check;
	u->fh = fh;
	u->saved = saved;
	u->fd = -1;
	u->next_off = UPLOAD_NO_NEXT;
	u->parser = image_parser_new();
	u->digest = digest_new();
	if (!u->parser || !u->digest) {
		upload_put(u);
		return NULL;
	}
	return u;
}

static void upload_link(struct upload *u)
{
	u->next = u->slot->uploads;
	u->slot->uploads = u;
}

/* card->lock held; true: it was in the list. */
static bool upload_unlink(struct upload *u)
{
	for (struct upload **at = &u->slot->uploads; *at; at = &(*at)->next) {
		if (*at == u) {
			*at = u->next;
			return true;
		}
	}
	return false;
}

struct upload *upload_find(struct slot *slot, uint64_t fh)
{
	struct upload *u;

	pthread_mutex_lock(&slot->card->lock);
	for (u = slot->uploads; u && u->fh != fh; u = u->next)
		;
	if (u)
		atomic_fetch_add(&u->refs, 1);
	pthread_mutex_unlock(&slot->card->lock);
	return u;
}

struct upload *upload_find_name(struct slot *slot, const char *name)
{
	struct upload *u;

	pthread_mutex_lock(&slot->card->lock);
	for (u = slot->uploads; u && strcmp(u->saved->upload.name, name); u = u->next)
		;
	if (u)
		atomic_fetch_add(&u->refs, 1);
	pthread_mutex_unlock(&slot->card->lock);
	return u;
}

struct upload *upload_made_before(struct slot *slot)
{
	const struct saved_handle *h = saved_made_before(SAVED_UPLOAD);

	return h ? upload_find(slot, atomic_load(&h->fh)) : NULL;
}

/* card->lock held */
static int temp_may_be_made(struct slot *slot, const char *name)
{
	unsigned temps = 0;

	for (const struct upload *u = slot->uploads; u; u = u->next) {
		if (!strcmp(u->saved->upload.name, name))
			return -EEXIST;
		temps += upload_is_temp(u);
	}
	return temps < TEMPS_MAX ? 0 : -EDQUOT;
}

/* --- an open that can never be ------------------------------------------------------ */

struct refused {
	struct job job;
	struct slot *slot;
	struct who who;
	struct reason why;
};

static void refused_run(struct card *card, struct job *job, bool end)
{
	struct refused *r = (struct refused *)job;
	struct record record = { .event = "image-refused", .err = r->why.err, .reason = r->why.text,
				 .who = &r->who, .duration_ms = -1 };
	struct reason store_why = { 0 };

	(void)card;
	if (!end) {
		/* Shown and told; there is nothing of it to be kept. */
		slot_show(r->slot, slot_state(r->slot), r->why.text);
		if (slot_record(r->slot, NULL, &record, &store_why))
			log_error("%s: history: %s", r->slot->name, store_why.text);
	}
	free(r);
}

static void refused_post(struct slot *slot, const struct who *who, const struct reason *why)
{
	struct refused *r = malloc(sizeof(*r));

	if (!r)
		return;
	*r = (struct refused){ .job.run = refused_run, .slot = slot, .who = *who, .why = *why };
	if (!actor_post(slot->actor, &r->job))
		free(r);
}

int upload_open(struct slot *slot, bool check, int open_flags, uint64_t ino, const struct who *who,
		const char *name, struct upload **out, struct reason *why)
{
	struct card *card = slot->card;
	const struct card_view *view = card_view_get(card);
	bool offline = slot_view(view, slot->index)->state == STATE_OFFLINE;
	struct saved_handle *saved;
	struct upload *u;
	uint64_t fh;
	int err = 0;

	card_view_put(view);
	if (offline)
		return reason_set(why, ENODEV, "%s is offline", slot->name);
	if (card->slots_len && slot->index < 0 && !check) {
		reason_set(why, EOPNOTSUPP, "%s is programmed by its slots: copy to the image of one of "
			   "slots/0 to slots/%u", slot->name, card->slots_len - 1);
		refused_post(slot, who, why);
		return -EOPNOTSUPP;
	}
	saved = saved_new(SAVED_UPLOAD, &fh);
	if (!saved)
		return reason_set(why, ENFILE, "too many files are open");
	saved->open_flags = (uint32_t)open_flags;
	saved->who = *who;
	memset(&saved->upload, 0, sizeof(saved->upload));
	if (name) {
		text_copy(saved->upload.name, sizeof(saved->upload.name), name);
		atomic_store(&saved->upload.opens, 1);
		saved->ino = node_make(NODE_TEMP, card->dev, slot->index, (uint32_t)fh);
	} else {
		saved->ino = ino;
	}
	atomic_store(&saved->upload.bits, ((open_flags & O_TRUNC) || name ? UPLOAD_TRUNCATED : 0) |
					  ((open_flags & O_APPEND) ? UPLOAD_APPEND : 0));
	u = upload_new(slot, check, fh, saved);
	if (!u) {
		saved_drop(saved);
		return reason_set(why, ENOMEM, "no memory for an upload");
	}
	pthread_mutex_lock(&card->lock);
	err = name ? temp_may_be_made(slot, name) : slot_busy(slot, check, NULL, why);
	/* Published only now, so that a successor never finds an upload that was refused. */
	if (!err) {
		saved_publish(saved, fh);
		upload_link(u);
		atomic_fetch_add(&u->refs, 1);
	} else {
		saved_drop(saved);
	}
	pthread_mutex_unlock(&card->lock);
	if (err) {
		if (err == -EBUSY)
			slot_refused(slot, check);
		upload_put(u);
		return err;
	}
	*out = u;
	return 0;
}

void upload_unclaim(struct upload *u)
{
	bool idle = false, had = false;

	pthread_mutex_lock(&u->slot->card->lock);
	if (u->slot->writer[u->check] == u) {
		u->slot->writer[u->check] = NULL;
		idle = !u->slot->running && !u->slot->writer[0];
		had = true;
	}
	pthread_mutex_unlock(&u->slot->card->lock);
	if (idle)
		slot_progress(u->slot, PHASE_IDLE, 0, 0);
	if (had)
		slot_freed(u->slot);
}

void upload_progress(struct upload *u, enum phase phase, uint64_t done, uint64_t total)
{
	struct slot *slot = u->slot;
	bool mine;

	pthread_mutex_lock(&slot->card->lock);
	mine = slot->writer[u->check] == u && !(u->check && (slot->writer[0] || slot->running));
	pthread_mutex_unlock(&slot->card->lock);
	if (mine)
		slot_progress(slot, phase, done, total);
}

int upload_claim(struct upload *u, struct reason *why)
{
	struct card *card = u->slot->card;
	int err;

	pthread_mutex_lock(&card->lock);
	err = slot_busy(u->slot, u->check, u, why);
	if (!err)
		u->slot->writer[u->check] = u;
	pthread_mutex_unlock(&card->lock);
	if (err)
		slot_refused(u->slot, u->check);
	return err;
}

/* --- dropping ---------------------------------------------------------------------------- */

void upload_drop(struct upload *u)
{
	bool mine;

	pthread_mutex_lock(&u->slot->card->lock);
	mine = upload_unlink(u);
	pthread_mutex_unlock(&u->slot->card->lock);
	if (!mine)
		return;
	upload_content_drop(u);
	/* No successor takes it up; the memory stays until the last reference is gone. */
	atomic_store(&u->saved->fh, 0);
	u->dropped = true;
	upload_put(u);
}

/* --- after a restart of the worker --------------------------------------------------------- */

static int upload_restore(struct saved_handle *saved, void *arg)
{
	struct card *card;
	struct slot *slot;
	struct upload *u;
	uint32_t bits;

	(void)arg;
	if (saved->kind != SAVED_UPLOAD)
		return 0;
	card = cards_find(node_card(saved->ino));
	slot = card ? card_slot(card, node_slot(saved->ino)) : NULL;
	if (!slot)
		return 0;
	u = upload_new(slot, node_kind(saved->ino) == NODE_CARD && node_file(saved->ino) == FILE_CHECK,
		       atomic_load(&saved->fh), saved);
	if (!u) {
		log_error("%s: no memory to take up an upload", slot->name);
		return 0;
	}
	bits = upload_bits(u);
	if (bits & UPLOAD_WRITTEN && *saved->upload.sha256) {
		char path[4096];

		/* It was being programmed: the spool may have become the blob already. */
		blobs_hold();
		u->held = true;
		store_spool_path(card->store, u->fh, path, sizeof(path));
		if (access(path, F_OK))
			upload_bits_change(u, UPLOAD_REFERENCE, 0);
		bits = upload_bits(u);
	}
	if (bits & UPLOAD_WRITTEN && !(bits & UPLOAD_REFERENCE)) {
		struct reason why = { 0 };

		if (store_spool_open(card->store, u->fh, &u->fd, &why))
			log_error("%s: an upload in progress is lost: %s", slot->name, why.text);
		/* What the dead worker had fed is forgotten; the spool is read at the end. */
		upload_bits_change(u, UPLOAD_SPARSE, 0);
	}
	if (bits & UPLOAD_WRITTEN && !upload_is_temp(u))
		slot->writer[u->check] = u;
	upload_link(u);
	return 0;
}

void uploads_restore(void)
{
	saved_each(upload_restore, NULL);
}

/* --- ending from outside --------------------------------------------------------------------- */

struct ended {
	struct job job;
	struct upload *u;
	struct reason why;
};

static void ended_record(struct card *card, struct job *job, bool end)
{
	struct ended *e = (struct ended *)job;

	(void)card;
	if (!end)
		slot_refuse(e->u->slot, "image-refused", &e->why, NULL, NULL, 0, &e->u->saved->who, 0);
	upload_put(e->u);
	free(e);
}

/* Takes over the caller's reference. */
static void upload_end(struct upload *u, const char *sentence)
{
	struct ended *e = calloc(1, sizeof(*e));
	struct reason why;

	reason_set(&why, ECANCELED, "%s", sentence);
	if (!upload_enter(u)) {
		/* It is being validated: the judge ends it before the card is touched. */
		pthread_mutex_lock(&u->lock);
		u->stop = why;
		pthread_mutex_unlock(&u->lock);
		upload_put(u);
		free(e);
		return;
	}
	u->why = why;
	upload_content_gone(u, UPLOAD_ENDED);
	upload_leave(u);
	if (!e) {
		upload_put(u);
		return;
	}
	e->job.run = ended_record;
	e->u = u;
	e->why = why;
	if (!actor_post(u->slot->actor, &e->job)) {
		upload_put(u);
		free(e);
	}
}

int upload_stop(struct slot *slot, bool check, const struct who *who, const char *sentence)
{
	struct card *card = slot->card;
	struct upload *u;
	bool running;

	pthread_mutex_lock(&card->lock);
	u = slot->writer[check];
	running = slot->running && !check;
	if (u && who && who->uid && who->uid != slot->uid && who->uid != u->saved->who.uid) {
		pthread_mutex_unlock(&card->lock);
		return -EPERM;
	}
	if (u)
		atomic_fetch_add(&u->refs, 1);
	/* Its bytes are on their way to the card; the run ends with ECANCELED. Told under the
	 * lock, so that it is this run and not the next one, of another slot. */
	if (u && running)
		actor_cancel(slot->actor);
	pthread_mutex_unlock(&card->lock);
	if (!u)
		return -ENOENT;
	if (running) {
		upload_put(u);
		return 0;
	}
	upload_end(u, sentence);
	/* It may have come from validation to programming just now. */
	pthread_mutex_lock(&card->lock);
	if (!check && slot->running && slot->writer[0] == u)
		actor_cancel(slot->actor);
	pthread_mutex_unlock(&card->lock);
	return 0;
}

int64_t uploads_expire(struct card *card, int64_t now)
{
	int64_t timeout = card->config->upload_timeout_ms * 1000000, next = -1;

	for (int i = -1; i < (int)card->slots_len; i++) {
		struct slot *slot = card_slot(card, i);
		struct upload *late = NULL;
		bool temp = false;

		pthread_mutex_lock(&card->lock);
		for (struct upload *u = slot->uploads; u && !late; u = u->next) {
			int64_t closed = atomic_load(&u->saved->upload.closed_ns);
			int64_t due = -1;

			if (atomic_load(&u->owner) == CONTENT_JUDGE)
				continue;
			if (upload_is_temp(u) && closed)
				due = closed + TEMP_LIFE_NS;
			else if (upload_bits(u) & UPLOAD_WRITTEN && !slot->running)
				due = atomic_load(&u->saved->upload.last_ns) + timeout;
			if (due >= 0 && due <= now) {
				late = u;
				temp = upload_is_temp(u);
				atomic_fetch_add(&u->refs, 1);
			} else if (due >= 0 && (next < 0 || due - now < next)) {
				next = due - now;
			}
		}
		pthread_mutex_unlock(&card->lock);
		if (!late)
			continue;
		next = 0; /* there may be more */
		if (temp) {
			upload_drop(late);
			upload_put(late);
		} else {
			upload_end(late, "nothing came for the time of upload-timeout");
		}
	}
	return next;
}
