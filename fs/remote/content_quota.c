// SPDX-License-Identifier: Apache-2.0
/* How many bytes the cache may have, of its quota and of the disk, and who goes first (content.h). */
#include <errno.h>
#include <inttypes.h>

#include "fs/card/cards.h"
#include "fs/daemon/opens.h"
#include "fs/daemon/passthrough.h"
#include "fs/remote/content_in.h"

#include <fabricfs/clock.h>
#include <fabricfs/log.h>

static pthread_mutex_t usage_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t usage_now, usage_max; /* usage_lock; max 0 = no limit */
static pthread_mutex_t evict_lock = PTHREAD_MUTEX_INITIALIZER; /* one at a time; before all others */

void usage_set(uint64_t quota, uint64_t used)
{
	pthread_mutex_lock(&usage_lock);
	usage_max = quota;
	usage_now = used;
	pthread_mutex_unlock(&usage_lock);
}

void usage_release(uint64_t bytes)
{
	pthread_mutex_lock(&usage_lock);
	usage_now -= bytes < usage_now ? bytes : usage_now;
	pthread_mutex_unlock(&usage_lock);
}

void usage_found(uint64_t bytes, uint64_t noted)
{
	if (bytes < noted) {
		usage_release(noted - bytes);
		return;
	}
	pthread_mutex_lock(&usage_lock);
	usage_now += bytes - noted;
	pthread_mutex_unlock(&usage_lock);
}

void contents_usage(uint64_t *used, uint64_t *quota)
{
	pthread_mutex_lock(&usage_lock);
	*used = usage_now;
	*quota = usage_max;
	pthread_mutex_unlock(&usage_lock);
}

/* 0: they are counted; else so many are to be dropped first. */
static uint64_t usage_take(uint64_t bytes)
{
	uint64_t lacks = 0;

	pthread_mutex_lock(&usage_lock);
	if (usage_max && usage_now + bytes > usage_max)
		lacks = usage_now + bytes - usage_max;
	else
		usage_now += bytes;
	pthread_mutex_unlock(&usage_lock);
	return lacks;
}

/* Those that may go, the least recently used first, until there is enough of them. */
struct victims {
	uint64_t ids[256], bytes[256];
	bool whole[256]; /* a blob, which may be held */
	unsigned len;
	uint64_t want, sum; /* bytes */
};

/* More than are wanted, as some may be in use. */
#define VICTIMS_SPARE 32

static int victim_find(const struct cache_content *content, bool kept, void *arg)
{
	struct victims *v = arg;

	/* Also by who opened it before this worker. */
	if (kept || !content->cached || opens_have(content->id))
		return 0;
	v->ids[v->len] = content->id;
	v->bytes[v->len] = content->cached;
	v->whole[v->len] = content->whole;
	v->sum += content->cached;
	v->len++;
	return v->len == sizeof(v->ids) / sizeof(v->ids[0]) || (v->sum >= v->want && v->len >= VICTIMS_SPARE);
}

/* Nobody opens it meanwhile: a row, and a few unlinks. *freed: of its bytes. False: it is in use, or why->err. */
static bool victim_drop(uint64_t id, uint64_t bytes, uint64_t *freed, struct reason *why)
{
	bool dropped, twin = false;
	struct claim claim;

	if (!content_claim(&claim, id))
		return false;
	/* The kernel may hold its file. */
	passthrough_drop(id);
	dropped = !cache_content_empty(contents_store, id, &twin, why);
	content_unclaim(&claim);
	*freed = dropped && !twin ? bytes : 0;
	if (dropped) {
		log_debug("cache: content %" PRIu64 " was evicted (%" PRIu64 " bytes)", id, *freed);
		usage_release(*freed);
	}
	return dropped;
}

typedef int (*victims_fn)(struct store *store, int (*fn)(const struct cache_content *content, bool kept, void *arg),
			  void *arg, struct reason *why);

/* Drops the first of them until `bytes` are free, one at least where any may go; how many are. */
static uint64_t victims_drop(victims_fn each, uint64_t bytes, bool *done, bool *off)
{
	struct victims v = { .want = bytes };
	struct reason why = { 0 };
	uint64_t sum = 0;

	each(contents_store, victim_find, &v, &why);
	for (unsigned i = 0; i < v.len && (!*done || sum < bytes); i++) {
		uint64_t of_it;

		if (!victim_drop(v.ids[i], v.bytes[i], &of_it, &why)) {
			/* On a full disk others may still go; on one that is not written, none. */
			if (why.err && why.err != ENOSPC && why.err != EDQUOT)
				break;
			continue;
		}
		*done = true;
		sum += of_it;
		*off |= !v.whole[i] && of_it;
	}
	if (why.err)
		log_warn("cache: %s", why.text);
	return sum;
}

bool usage_evict(uint64_t bytes, bool *freed)
{
	bool done = false, off = false;
	uint64_t sum;

	pthread_mutex_lock(&evict_lock);
	/* What was closed just now is no more in use than others. */
	contents_retire(INT64_MAX, false);
	/* What nobody can ask for now goes before all that somebody may. */
	sum = victims_drop(cache_contents_absent, bytes, &done, &off);
	if (!done || sum < bytes)
		victims_drop(cache_contents_each, sum < bytes ? bytes - sum : 0, &done, &off);
	if (done) {
		off |= cards_blobs_trim(contents_store);
		/* Else the disk is as full as before, and the next one is dropped for nothing. */
		store_room_make(contents_store);
	}
	pthread_mutex_unlock(&evict_lock);
	if (freed)
		*freed = off;
	return done;
}

void usage_fit(void)
{
	uint64_t over = usage_take(0);

	while (over && usage_evict(over, NULL))
		over = usage_take(0);
}

/* Asked for, and perhaps not written yet. */
static _Atomic uint64_t on_its_way;

/* Bytes that the disk has too few of. */
static uint64_t disk_lacks(uint64_t bytes)
{
	int64_t room = cache_room(contents_store), wanted = (int64_t)(atomic_load(&on_its_way) + bytes);

	return room < wanted ? (uint64_t)(wanted - room) : 0;
}

struct evictable {
	uint64_t want, sum; /* bytes */
};

static int evictable_add(const struct cache_content *content, bool kept, void *arg)
{
	struct evictable *e = arg;

	if (!kept && content->cached && !opens_have(content->id))
		e->sum += content->cached;
	return e->sum >= e->want;
}

/* Would dropping all that may go make so much room? On a disk that others have filled what is cached stays. */
static bool is_evictable(uint64_t bytes)
{
	struct evictable e = { .want = bytes };
	struct reason why = { 0 };

	/* The rows of what was closed just now do not tell its bytes yet. */
	contents_retire(INT64_MAX, false);
	if (cache_contents_each(contents_store, evictable_add, &e, &why) < 0)
		log_warn("cache: %s", why.text);
	return e.sum >= bytes;
}

static int no_quota(uint64_t bytes, struct reason *why)
{
	uint64_t used, quota;

	contents_usage(&used, &quota);
	return reason_set(why, EDQUOT, "the cache has no room for %" PRIu64 " bytes more: its quota of %" PRIu64
			  " bytes is taken by what is loaded, pinned or being read; raise cache: quota", bytes, quota);
}

int usage_reserve(uint64_t bytes, struct reason *why)
{
	uint64_t lacks;
	bool freed;

	for (;;) {
		lacks = usage_take(bytes);
		if (lacks) {
			if (!usage_evict(lacks, NULL))
				return no_quota(bytes, why);
			continue;
		}
		lacks = disk_lacks(bytes);
		if (!lacks)
			break;
		usage_release(bytes);
		/* What does not make room now is dropped for nothing. */
		if (!is_evictable(lacks) || !usage_evict(lacks, &freed) || !freed)
			return reason_set(why, ENOSPC, "the disk with the state folder has no room for %" PRIu64
					  " bytes more in the cache", bytes);
	}
	atomic_fetch_add(&on_its_way, bytes);
	return 0;
}

void usage_arrived(uint64_t bytes)
{
	atomic_fetch_sub(&on_its_way, bytes);
}

/* --- who waits for room ------------------------------------------------------------------------------ */

/*
 * A file that was closed counts as open until the kernel says so, which it does a moment after close()
 * has returned: with a quota little above what is in use at a time a fetch would be refused for that.
 * So it waits while something else is in use that may be let go of, for a while.
 */
#define HUNGRY_NS (INT64_C(2) * 1000000000)

static pthread_mutex_t hungry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fetch *hungry, **hungry_end = &hungry; /* hungry_lock; by f->start */

/* Has another one bytes here, and is in use? */
static bool others_in_use(const struct content *c)
{
	bool other = false;

	pthread_mutex_lock(&table_lock);
	for (int i = 0; i < CONTENT_BUCKETS && !other; i++)
		for (struct content *o = contents_live[i]; o && !other; o = o->chain) {
			if (o == c || !o->refs)
				continue;
			pthread_mutex_lock(&o->lock);
			other = !o->gone.err && content_bytes(o);
			pthread_mutex_unlock(&o->lock);
		}
	pthread_mutex_unlock(&table_lock);
	return other;
}

bool fetch_hungers(struct fetch *f, int err)
{
	struct content *c = f->content;
	uint64_t used, quota, own;
	int64_t now = clock_mono_ns();

	if (err != -EDQUOT && err != -ENOSPC)
		return false;
	contents_usage(&used, &quota);
	pthread_mutex_lock(&c->lock);
	own = c->gone.err ? 0 : content_bytes(c);
	pthread_mutex_unlock(&c->lock);
	if (!f->hungry_ns)
		f->hungry_ns = now;
	if (now - f->hungry_ns >= HUNGRY_NS || (quota && own + (f->to - f->from) > quota) || !others_in_use(c))
		return false;
	pthread_mutex_lock(&hungry_lock);
	f->start = NULL;
	*hungry_end = f;
	hungry_end = &f->start;
	pthread_mutex_unlock(&hungry_lock);
	work_look();
	return true;
}

struct fetch *fetches_hungry(void)
{
	struct fetch *list;

	pthread_mutex_lock(&hungry_lock);
	list = hungry;
	hungry = NULL;
	hungry_end = &hungry;
	pthread_mutex_unlock(&hungry_lock);
	return list;
}
