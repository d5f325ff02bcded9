// SPDX-License-Identifier: Apache-2.0
/* Who waits for bytes of a content, until when, and what is fetched for him (content.h). */
#include <errno.h>
#include <inttypes.h>

#include "fs/remote/content_in.h"

#include <fabricfs/clock.h>

/* --- what can be answered --------------------------------------------------------------------- */

/* lock held: may all that is in the file be given out? It is hashed before the last of it is: a digest
 * is matched, and who copies the bytes elsewhere finds that they are known. */
static bool content_may_be_read(const struct content *c)
{
	if (c->doubted)
		return false;
	return c->whole || c->verified || !content_complete(c);
}

/* lock held */
static bool range_is_here(const struct content *c, uint64_t from, uint64_t to)
{
	if (c->has_size && to > c->size)
		to = c->size;
	return c->whole || from >= to || chunks_missing(c->chunks, from / CHUNK_SIZE) >= chunks_of(to);
}

static bool wait_is_ready(const struct content *c, const struct content_wait *w)
{
	if (w->all)
		return c->whole && !c->doubted;
	return range_is_here(c, w->from, w->to) && content_may_be_read(c);
}

struct content_wait *waits_ready(struct content *c)
{
	struct content_wait *list = NULL;

	for (struct content_wait **at = &c->waits; *at;) {
		struct content_wait *w = *at;

		if (!wait_is_ready(c, w)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->next = list;
		list = w;
	}
	return list;
}

struct content_wait *waits_failed(struct content *c, uint64_t from, uint64_t to)
{
	struct content_wait *list = NULL;

	for (struct content_wait **at = &c->waits; *at;) {
		struct content_wait *w = *at;

		if (!w->all && (w->from >= to || w->to <= from || range_is_here(c, w->from, w->to))) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->next = list;
		list = w;
	}
	return list;
}

void waits_progress(struct content *c)
{
	for (struct content_wait *w = c->waits; w; w = w->next)
		if (w->progress && !w->progress(w, content_bytes(c), c->has_size ? c->size : 0) &&
		    !atomic_load(&w->interrupted))
			atomic_store(&w->interrupted, ECANCELED);
}

void waits_done(struct content_wait *list, int err, const struct reason *why)
{
	static const struct reason none;

	while (list) {
		struct content_wait *w = list;

		list = w->next;
		w->done(w, err, why ? why : &none);
	}
}

/* --- waiting --------------------------------------------------------------------------------------- */

/* The repository cannot be asked, nor another one, and no request of before is on its way. */
static bool is_offline(struct content *c, struct reason *why)
{
	struct origin *origin = NULL;
	bool offline, now = false;

	lock_take(&c->lock);
	if (!c->whole && !c->fetches && c->origin->ops && c->origin->ops->offline) {
		origin = c->origin;
		origin_get(origin);
	}
	pthread_mutex_unlock(&c->lock);
	if (origin)
		loop_may_wait();
	offline = origin && origin->ops->offline(origin, &now, why) && !content_elsewhere(c, origin);
	origin_put(origin);
	/* It may be back. */
	return offline && now;
}

/* lock held: all that it needs is in the file, and has only to be hashed. */
static bool only_hashing(const struct content *c, const struct content_wait *w)
{
	return w->all ? content_complete(c) : range_is_here(c, w->from, w->to);
}

/* lock held: it will never be here as a whole. */
static bool is_too_large(const struct content *c, const struct content_wait *w, struct reason *why)
{
	uint64_t used, quota;

	contents_usage(&used, &quota);
	if (!w->all || c->whole || !c->has_size || !quota || c->size <= quota)
		return false;
	reason_set(why, EDQUOT, "%s has %" PRIu64 " bytes, and the cache a quota of %" PRIu64 ": raise cache: quota",
		   c->origin->name, c->size, quota);
	return true;
}

static int content_wait_for(struct content *c, struct content_wait *w, struct reason *why)
{
	struct fetch *start = NULL;
	struct reason offline_why = { 0 };
	bool offline = is_offline(c, &offline_why), hash;
	int r = 0;

	w->content = c;
	lock_take(&c->lock);
	if (c->gone.err) {
		*why = c->gone;
		r = -c->gone.err;
	} else if (wait_is_ready(c, w)) {
		r = 1;
	} else if (!c->origin->kind && !only_hashing(c, w)) {
		r = reason_set(why, ESTALE, "%s, and not all of it is here", c->origin->name);
	} else if (is_too_large(c, w, why)) {
		r = -EDQUOT;
	} else if (offline && !only_hashing(c, w)) {
		*why = offline_why;
		r = -offline_why.err;
	} else {
		if (!c->waits)
			c->progress_ns = clock_mono_ns();
		w->next = c->waits;
		c->waits = w;
	}
	/* Also when it is here: what comes after it should be, by the time it is read. */
	if (r >= 0 && !c->whole && !offline && c->origin->kind) {
		if (w->all)
			fetch_all(c, &start);
		else
			fetch_demand(c, w->from, w->to, &start);
	}
	hash = !r && (c->doubted || content_complete(c));
	pthread_mutex_unlock(&c->lock);
	if (hash)
		hash_queue(c);
	if (!r)
		work_look();
	fetch_start(start);
	return r;
}

int content_want(struct content *c, uint64_t from, uint64_t to, struct content_wait *w, struct reason *why)
{
	w->from = from;
	w->to = to;
	w->all = false;
	return content_wait_for(c, w, why);
}

int content_want_whole(struct content *c, struct content_wait *w, struct reason *why)
{
	w->from = 0;
	w->to = UINT64_MAX;
	w->all = true;
	return content_wait_for(c, w, why);
}

void content_interrupt(struct content_wait *w)
{
	atomic_store(&w->interrupted, EINTR);
	work_kick();
}
