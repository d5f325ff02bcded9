// SPDX-License-Identifier: Apache-2.0
/* How many bytes the cache may have, of its quota and of the disk, and who goes first (content.h). */
#include <errno.h>
#include <inttypes.h>

#include "fs/card/cards.h"
#include "fs/daemon/opens.h"
#include "fs/remote/content_in.h"

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

static bool usage_take(uint64_t bytes)
{
	bool fits;

	pthread_mutex_lock(&usage_lock);
	fits = !usage_max || (bytes <= usage_max && usage_now <= usage_max - bytes);
	if (fits)
		usage_now += bytes;
	pthread_mutex_unlock(&usage_lock);
	return fits;
}

/* Those that may go, the least recently used first. */
struct victims {
	uint64_t ids[256], bytes[256];
	bool whole[256]; /* a blob, which may be held */
	unsigned len;
};

static int victim_find(const struct cache_content *content, bool kept, void *arg)
{
	struct victims *v = arg;

	/* Also by who opened it before this worker. */
	if (kept || !content->cached || opens_have(content->id))
		return 0;
	v->ids[v->len] = content->id;
	v->bytes[v->len] = content->cached;
	v->whole[v->len] = content->whole;
	v->len++;
	return v->len == sizeof(v->ids) / sizeof(v->ids[0]);
}

/* Under table_lock, so that nobody opens it meanwhile: a row, and a few unlinks. */
static bool victim_drop(uint64_t id, uint64_t bytes)
{
	struct reason why = { 0 };
	bool dropped;

	pthread_mutex_lock(&table_lock);
	dropped = !table_find(id) && !cache_content_empty(contents_store, id, &why);
	pthread_mutex_unlock(&table_lock);
	if (why.err)
		log_warn("cache: %s", why.text);
	if (dropped) {
		log_debug("cache: content %" PRIu64 " was evicted (%" PRIu64 " bytes)", id, bytes);
		usage_release(bytes);
	}
	return dropped;
}

bool usage_evict(bool *freed)
{
	struct victims v = { 0 };
	struct reason why = { 0 };
	bool done = false, off = false;

	pthread_mutex_lock(&evict_lock);
	/* What was closed just now is no more in use than others. */
	contents_retire(INT64_MAX, false);
	if (cache_contents_each(contents_store, victim_find, &v, &why) < 0)
		log_warn("cache: %s", why.text);
	for (unsigned i = 0; i < v.len && !done; i++) {
		done = victim_drop(v.ids[i], v.bytes[i]);
		off = !v.whole[i];
	}
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

/* Asked for, and perhaps not written yet. */
static _Atomic uint64_t on_its_way;

static bool disk_takes(uint64_t bytes)
{
	uint64_t room = cache_room(contents_store), coming = atomic_load(&on_its_way);

	return room >= coming && room - coming >= bytes;
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
	bool freed;

	for (;;) {
		if (!usage_take(bytes)) {
			if (!usage_evict(NULL))
				return no_quota(bytes, why);
			continue;
		}
		if (disk_takes(bytes))
			break;
		usage_release(bytes);
		/* What does not make room now is dropped for nothing. */
		if (!usage_evict(&freed) || !freed)
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
