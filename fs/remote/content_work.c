// SPDX-License-Identifier: Apache-2.0
/*
 * What has to be done now and then for contents (content.h), on a thread of its own:
 * waits that were interrupted or wait in vain, and contents that nobody uses any more.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/daemon/passthrough.h"
#include "fs/remote/content_in.h"

#include <fabricfs/clock.h>
#include <fabricfs/log.h>

#define TICK_NS (INT64_C(1) * 1000000000)
#define IDLE_NS (INT64_C(2) * 1000000000) /* until what is known of a content is noted, and its memory free */

static pthread_mutex_t work_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_cond;
static bool kicked, ending; /* work_lock */
static bool looks; /* work_lock: it will look within a tick anyway */
static pthread_t thread;
static bool runs;

void work_kick(void)
{
	pthread_mutex_lock(&work_lock);
	kicked = true;
	if (runs)
		pthread_cond_signal(&work_cond);
	pthread_mutex_unlock(&work_lock);
}

void work_look(void)
{
	pthread_mutex_lock(&work_lock);
	if (!looks) {
		looks = kicked = true;
		if (runs)
			pthread_cond_signal(&work_cond);
	}
	pthread_mutex_unlock(&work_lock);
}

/* --- who waits in vain ---------------------------------------------------------------------- */

/* lock held */
static struct content_wait *waits_interrupted(struct content *c)
{
	struct content_wait *list = NULL;

	for (struct content_wait **at = &c->waits; *at;) {
		struct content_wait *w = *at;

		if (!atomic_load(&w->interrupted)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->next = list;
		list = w;
	}
	return list;
}

/* What comes of looking at one content. */
struct look {
	struct content_wait *interrupted, *late;
	struct fetch *left;
	struct reason why;
	struct origin *origin;
};

/* lock held. Is there something to be looked at again? */
static bool content_look(struct content *c, int64_t now, struct look *look)
{
	waits_progress(c);
	look->interrupted = waits_interrupted(c);
	if (c->fetches && now - c->progress_ns > c->origin->patience_ms * 1000000) {
		reason_set(&look->why, EHOSTUNREACH, "%s: the repository gave nothing for %" PRId64 " s", c->origin->name,
			   c->origin->patience_ms / 1000);
		look->late = c->waits;
		c->waits = NULL;
		look->left = fetch_give_up(c);
		look->origin = c->origin;
		origin_get(look->origin);
	} else if (!c->waits && (!c->opens || look->interrupted)) {
		/* Whoever was interrupted was the last who wanted it. He may have ended a request that got
		 * nowhere, and who comes next is not to wait for that one. */
		look->left = fetch_give_up(c);
	}
	return c->waits || c->fetches;
}

static void look_end(struct look *look)
{
	static const struct reason interrupted = { .err = EINTR, .text = "interrupted" };
	static const struct reason ended = { .err = ECANCELED, .text = "ended by somebody" };

	fetch_cancel(look->left);
	while (look->interrupted) {
		struct content_wait *w = look->interrupted;
		int err = atomic_load(&w->interrupted);

		look->interrupted = w->next;
		w->done(w, err, err == EINTR ? &interrupted : &ended);
	}
	if (look->origin && look->origin->ops && look->origin->ops->asked)
		look->origin->ops->asked(look->origin, EHOSTUNREACH, &look->why);
	waits_done(look->late, EHOSTUNREACH, &look->why);
	origin_put(look->origin);
}

/* --- who is not used any more ------------------------------------------------------------------- */

/* Noted while it is in the table still, so that who opens it now gets this one. */
static void content_note(struct content *c, bool sync)
{
	struct reason why = { 0 };
	uint64_t cached;
	bool dirty, gone;

	pthread_mutex_lock(&c->lock);
	cached = content_bytes(c);
	dirty = sync && c->dirty && c->chunks && !c->whole;
	/* At the end nobody reads on, and what is here stays. */
	gone = c->gone.err && c->gone.err != EINTR;
	c->dirty = c->dirty && !dirty;
	pthread_mutex_unlock(&c->lock);
	if (gone)
		return;
	if (dirty && chunks_sync(c->chunks, &why))
		log_debug("cache: %s", why.text);
	if (cache_content_used(contents_store, c->id, cached, &why)) {
		log_debug("cache: %s", why.text);
		return;
	}
	pthread_mutex_lock(&c->lock);
	c->noted = cached;
	pthread_mutex_unlock(&c->lock);
}

static void content_retire(struct content *c, bool sync)
{
	struct content **at;
	bool last;

	content_note(c, sync);
	pthread_mutex_lock(&table_lock);
	last = !--c->refs;
	if (last) {
		for (at = &contents_live[c->id % CONTENT_BUCKETS]; *at != c; at = &(*at)->chain)
			;
		*at = c->chain;
	}
	pthread_mutex_unlock(&table_lock);
	if (!last)
		return;
	/* No row tells the quota of it any more, and the kernel may hold its file. */
	if (c->gone.err && c->gone.err != EINTR)
		passthrough_drop(c->id);
	content_free(c);
}

/* With a reference: the first in this bucket that is to be retired. */
static struct content *idle_find(int bucket, int64_t now, bool *soon)
{
	struct content *c;

	pthread_mutex_lock(&table_lock);
	for (c = contents_live[bucket]; c; c = c->chain) {
		if (c->refs)
			continue;
		if (now - c->idle_ns >= IDLE_NS)
			break;
		*soon = true;
	}
	if (c)
		c->refs++;
	pthread_mutex_unlock(&table_lock);
	return c;
}

bool contents_retire(int64_t now, bool sync)
{
	bool soon = false;
	struct content *c;

	for (int i = 0; i < CONTENT_BUCKETS; i++)
		while ((c = idle_find(i, now, &soon)))
			content_retire(c, sync);
	return soon;
}

/* --- the thread ------------------------------------------------------------------------------------ */

/* With a reference each, so that no lock is held while they are looked at. */
static struct content **live_list(size_t *len)
{
	struct content **list = NULL;
	size_t n = 0;

	pthread_mutex_lock(&table_lock);
	for (int i = 0; i < CONTENT_BUCKETS; i++)
		for (struct content *c = contents_live[i]; c; c = c->chain)
			n += c->refs > 0;
	if (n)
		list = calloc(n, sizeof(struct content *));
	*len = 0;
	for (int i = 0; list && i < CONTENT_BUCKETS; i++)
		for (struct content *c = contents_live[i]; c && *len < n; c = c->chain)
			if (c->refs) {
				c->refs++;
				list[(*len)++] = c;
			}
	pthread_mutex_unlock(&table_lock);
	return list;
}

/* True: look again in a while. */
static bool work_round(bool last)
{
	int64_t now = last ? INT64_MAX : clock_mono_ns();
	bool again = false;
	size_t len;
	struct content **list CLEANUP_FREE = live_list(&len);

	for (size_t i = 0; i < len; i++) {
		struct look look = { 0 };

		if (last) {
			/* Still open; not synced, as somebody waits for the end. */
			content_note(list[i], false);
			content_put(list[i]);
			continue;
		}
		pthread_mutex_lock(&list[i]->lock);
		again |= content_look(list[i], now, &look);
		pthread_mutex_unlock(&list[i]->lock);
		look_end(&look);
		content_put(list[i]);
	}
	again |= contents_retire(now, true);
	if (!last)
		contents_sweep();
	/* What was let go of may have made room. */
	return fetches_retry() || again;
}

static void *work_all(void *arg)
{
	bool again = false, last = false;

	(void)arg;
	pthread_setname_np(pthread_self(), "mirror-work");
	while (!last) {
		int64_t until = clock_mono_ns() + TICK_NS;
		struct timespec ts = { .tv_sec = until / 1000000000, .tv_nsec = until % 1000000000 };

		pthread_mutex_lock(&work_lock);
		while (!kicked && !ending)
			if (!again)
				pthread_cond_wait(&work_cond, &work_lock);
			else if (pthread_cond_timedwait(&work_cond, &work_lock, &ts))
				break;
		kicked = false;
		/* Who comes from here on may have been missed by the round. */
		looks = false;
		last = ending;
		pthread_mutex_unlock(&work_lock);
		again = work_round(last);
		pthread_mutex_lock(&work_lock);
		looks = looks || again;
		pthread_mutex_unlock(&work_lock);
	}
	return NULL;
}

int work_start(struct reason *why)
{
	pthread_condattr_t mono;
	sigset_t all, before;
	int err;

	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&work_cond, &mono);
	pthread_condattr_destroy(&mono);
	ending = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, NULL, work_all, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		pthread_cond_destroy(&work_cond);
		return reason_set(why, err, "cannot start the mirror's thread: %s", strerror(err));
	}
	pthread_mutex_lock(&work_lock);
	runs = true;
	pthread_mutex_unlock(&work_lock);
	return 0;
}

void work_stop(void)
{
	bool was;

	pthread_mutex_lock(&work_lock);
	ending = true;
	was = runs;
	if (was)
		pthread_cond_signal(&work_cond);
	pthread_mutex_unlock(&work_lock);
	if (!was)
		return;
	pthread_join(thread, NULL);
	pthread_mutex_lock(&work_lock);
	runs = false;
	pthread_mutex_unlock(&work_lock);
	pthread_cond_destroy(&work_cond);
}
