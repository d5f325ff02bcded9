// SPDX-License-Identifier: Apache-2.0
/*
 * Kept images are what they were (kept.h).
 *
 * Hashing is for a thread of its own: 100 MB from a disk take longer than a FUSE
 * thread may be held, and the actor may be busy with a command for minutes, of
 * which reading an image knows nothing. It is started when it is first wanted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/card/busy.h"
#include "fs/card/kept.h"

#include <fabricfs/buf.h>
#include <fabricfs/log.h>

struct question {
	struct question *next;
	struct slot *slot;
	char sha256[SHA256_HEX];
	void (*done)(void *arg, int err);
	void *arg;
};

static pthread_mutex_t questions_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t questions_cond = PTHREAD_COND_INITIALIZER;
/* questions_lock */
static struct question *questions, **questions_end = &questions;
static pthread_t answerer;
static bool answerer_runs, answerer_ends;

/* --- what was proven ------------------------------------------------------------------- */

void kept_proven(struct slot *slot, const char *sha256)
{
	pthread_mutex_lock(&slot->card->lock);
	memcpy(slot->proven, sha256, SHA256_HEX);
	pthread_mutex_unlock(&slot->card->lock);
}

bool kept_is_proven(struct slot *slot, const char *sha256)
{
	bool proven;

	pthread_mutex_lock(&slot->card->lock);
	proven = !strcmp(slot->proven, sha256);
	pthread_mutex_unlock(&slot->card->lock);
	return proven;
}

int kept_prove(struct slot *slot, const char *sha256, struct reason *why)
{
	char hex[SHA256_HEX];
	int fd CLEANUP_FD = -1;
	int err;

	if (kept_is_proven(slot, sha256))
		return 0;
	err = store_blob_open(slot->card->store, sha256, &fd, NULL, why);
	if (err == -ENOENT)
		return reason_set(why, ENODATA, "%s: the state folder has no copy of the loaded image any more "
				  "(%s); the card was not touched, copy the image again", slot->name, sha256);
	if (err)
		return err;
	err = digest_fd(fd, hex);
	if (err)
		return reason_set(why, -err, "%s: reading the kept copy of the loaded image: %s", slot->name,
				  strerror(-err));
	if (strcmp(hex, sha256))
		return reason_set(why, EBADMSG, "%s: the kept copy of the loaded image is damaged on the disk: it "
				  "should hash to %s, and does to %s; the card was not touched, copy the image "
				  "again", slot->name, sha256, hex);
	kept_proven(slot, sha256);
	return 0;
}

/* --- telling that it is damaged ------------------------------------------------------------ */

struct damage {
	struct job job;
	struct slot *slot;
	struct reason why;
	char sha256[SHA256_HEX];
	void (*done)(void *arg, int err); /* NULL: he has his answer */
	void *arg;
};

static void damage_tell(struct card *card, struct job *job, bool end)
{
	struct damage *d = (struct damage *)job;

	(void)card;
	/* Another image may have been loaded meanwhile: then it is nobody's loss any more. Nor is it
	 * news for each who reads: they could fill history with it. */
	if (!end && !strcmp(d->slot->row.loaded_sha256, d->sha256) &&
	    strcmp(d->slot->row.error, d->why.text))
		slot_refuse(d->slot, "alert", &d->why, NULL, d->sha256, 0, NULL, 0);
	if (d->done)
		d->done(d->arg, d->why.err);
	free(d);
}

static void answer(struct question *q)
{
	struct reason why = { 0 };
	int err = kept_prove(q->slot, q->sha256, &why);
	struct damage *d = err ? malloc(sizeof(*d)) : NULL;
	bool busy;

	if (!d) {
		q->done(q->arg, -err);
		return;
	}
	pthread_mutex_lock(&q->slot->card->lock);
	busy = slot_busy(q->slot, false, NULL, NULL);
	pthread_mutex_unlock(&q->slot->card->lock);
	*d = (struct damage){ .job.run = damage_tell, .slot = q->slot, .why = why,
			      .done = busy ? NULL : q->done, .arg = q->arg };
	memcpy(d->sha256, q->sha256, SHA256_HEX);
	if (!actor_post(q->slot->actor, &d->job)) {
		free(d);
		busy = true;
	}
	if (busy)
		q->done(q->arg, -err);
}

/* --- the thread ------------------------------------------------------------------------------ */

static void *answer_all(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "kept-images");
	pthread_mutex_lock(&questions_lock);
	while (!answerer_ends) {
		struct question *q = questions;

		if (!q) {
			pthread_cond_wait(&questions_cond, &questions_lock);
			continue;
		}
		questions = q->next;
		if (!questions)
			questions_end = &questions;
		pthread_mutex_unlock(&questions_lock);
		answer(q);
		free(q);
		pthread_mutex_lock(&questions_lock);
	}
	pthread_mutex_unlock(&questions_lock);
	return NULL;
}

void kept_ask(struct slot *slot, const char *sha256, void (*done)(void *arg, int err), void *arg)
{
	struct question *q = malloc(sizeof(*q));
	int err = q ? 0 : ENOMEM;

	if (q)
		*q = (struct question){ .slot = slot, .done = done, .arg = arg };
	pthread_mutex_lock(&questions_lock);
	if (!err && answerer_ends)
		err = ECANCELED;
	if (!err && !answerer_runs) {
		err = pthread_create(&answerer, NULL, answer_all, NULL);
		answerer_runs = !err;
	}
	if (!err) {
		memcpy(q->sha256, sha256, SHA256_HEX);
		*questions_end = q;
		questions_end = &q->next;
		pthread_cond_signal(&questions_cond);
	}
	pthread_mutex_unlock(&questions_lock);
	if (!err)
		return;
	free(q);
	done(arg, err);
}

void kept_stop(void)
{
	bool runs;

	pthread_mutex_lock(&questions_lock);
	runs = answerer_runs;
	answerer_ends = true;
	pthread_cond_signal(&questions_cond);
	pthread_mutex_unlock(&questions_lock);
	if (runs)
		pthread_join(answerer, NULL);
	while (questions) {
		struct question *q = questions;

		questions = q->next;
		q->done(q->arg, ECANCELED);
		free(q);
	}
	questions_end = &questions;
	answerer_runs = answerer_ends = false;
}
