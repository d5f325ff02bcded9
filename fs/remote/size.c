// SPDX-License-Identifier: Apache-2.0
/*
 * Exact sizes where a listing rounds them or tells none: one short request, when
 * somebody looks at that image; who looks at it meanwhile waits for the same one.
 * And versions, where it tells no time, or one in minutes: an image that is cached is
 * asked for once after each listing, when somebody opens it.
 *
 * What cannot be learnt is shown as it was listed. A repository that is offline is
 * not asked, and one that failed to tell is left alone for a while: looking at many
 * images must not take many times what one failure takes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/remote/repo.h"

#include <fabricfs/clock.h>
#include <fabricfs/log.h>

#define MS_NS	 INT64_C(1000000)
#define AGAIN_MS 10000 /* after a request that told no size */
#define STOP_MS	 1000
#define PATIENCE_MS 2000 /* of who could read what is cached */
#define ASKED_MAX 1024 /* a collision costs a request */

struct ask {
	struct ask *next;
	struct repo_stat stat;
	struct repo *repo;
	uint64_t entry;
	unsigned version;
	int64_t began_ns;
	struct repo_wait *waits;
	char id[];
};

/* Guards what follows, and each repository's sizes_again_ns. Held around a kind's stat() and
 * stat_cancel(), which call nothing back. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t none = PTHREAD_COND_INITIALIZER;
static struct ask *asks;
static bool stopped;
/* When an entry was last asked for (monotonic). */
static struct asked {
	uint64_t entry;
	int64_t ns;
} asked[ASKED_MAX];

static void waits_done(struct repo_wait *waits, int err)
{
	while (waits) {
		struct repo_wait *wait = waits;

		waits = wait->next;
		wait->done(wait, wait->ended ? EINTR : err);
	}
}

static void ask_remove(struct ask *ask)
{
	struct ask **at = &asks;

	while (*at != ask)
		at = &(*at)->next;
	*at = ask->next;
	if (!asks)
		pthread_cond_signal(&none);
}

/* The kind's thread. */
static void told(struct repo_stat *stat, int err, const struct repo_content *content, const struct reason *why)
{
	struct ask *ask = stat->core;
	bool sized = !err && content->has_size;
	struct repo_wait *waits;

	if (!err)
		entry_told(ask->entry, ask->version, content);
	repo_told(ask->repo, err, why);
	pthread_mutex_lock(&lock);
	if (!sized)
		ask->repo->sizes_again_ns = clock_mono_ns() + AGAIN_MS * MS_NS;
	asked[ask->entry % ASKED_MAX] = (struct asked){ ask->entry, ask->began_ns };
	waits = ask->waits;
	ask_remove(ask);
	pthread_mutex_unlock(&lock);
	if (err && err != ECANCELED)
		log_debug("%s: the size of %s: %s", repo_name(ask->repo), ask->id, why->text);
	waits_done(waits, err == ECANCELED ? ECANCELED : 0);
	free(ask);
}

static bool ask_new(struct repo *repo, const struct catalogue_entry *entry, struct repo_wait *wait)
{
	size_t len = strlen(entry->remote_id) + 1;
	struct ask *ask = calloc(1, sizeof(*ask) + len);

	if (!ask)
		return false;
	memcpy(ask->id, entry->remote_id, len);
	ask->repo = repo;
	ask->entry = entry->id;
	ask->version = entry->version;
	ask->began_ns = clock_mono_ns();
	ask->waits = wait;
	ask->stat = (struct repo_stat){ .id = ask->id, .done = told, .core = ask };
	if (repo_kind(repo)->stat(repo->handle, &ask->stat, NULL)) {
		free(ask);
		return false;
	}
	ask->next = asks;
	asks = ask;
	return true;
}

/* since_ns: an answer to what was asked since then is good enough. A wait with a deadline does not wait
 * for what was asked long ago. */
static bool ask_join(struct repo *repo, const struct catalogue_entry *entry, int64_t since_ns, struct repo_wait *wait)
{
	struct repo_state state;
	bool waits, over, wait_times = wait->deadline_ns;
	struct asked last;
	struct ask *ask;

	if (entry->data != REPO_DATA || !repo_kind(repo)->stat)
		return false;
	repo_state_get(repo, &state);
	if (!state.online)
		return false;
	wait->next = NULL;
	pthread_mutex_lock(&lock);
	last = asked[entry->id % ASKED_MAX];
	if (last.entry == entry->id && last.ns >= since_ns) {
		pthread_mutex_unlock(&lock);
		return false;
	}
	for (ask = asks; ask && ask->entry != entry->id; ask = ask->next)
		;
	if (ask && wait->deadline_ns && clock_mono_ns() - ask->began_ns >= PATIENCE_MS * MS_NS) {
		pthread_mutex_unlock(&lock);
		return false;
	}
	if (ask) {
		wait->next = ask->waits;
		ask->waits = wait;
	}
	waits = ask || (!stopped && clock_mono_ns() >= repo->sizes_again_ns && ask_new(repo, entry, wait));
	over = wait->ended; /* before it was there to be found */
	pthread_mutex_unlock(&lock);
	if (waits && (over || wait_times))
		mirror_kick();
	return waits;
}

bool repo_wait_size(struct repo *repo, const struct catalogue_entry *entry, struct repo_wait *wait)
{
	return (!entry->has_size || entry->size_rounded) && ask_join(repo, entry, INT64_MAX, wait);
}

bool repo_wait_version(struct repo *repo, const struct catalogue_entry *entry, struct repo_wait *wait)
{
	int64_t listed_ns, now = clock_mono_ns();
	struct repo_state state;

	if (!repo_listed_weakly(entry->validator, entry->digest_algo))
		return false;
	/* One that does not even list its images would only keep who can read what is here. */
	repo_state_get(repo, &state);
	if (*state.error)
		return false;
	if (!entry_is_cached(entry->id)) {
		/* What comes now is what is there now. */
		pthread_mutex_lock(&lock);
		asked[entry->id % ASKED_MAX] = (struct asked){ entry->id, now };
		pthread_mutex_unlock(&lock);
		return false;
	}
	pthread_mutex_lock(&repo->lock);
	listed_ns = repo->listed_mono_ns;
	pthread_mutex_unlock(&repo->lock);
	wait->deadline_ns = now + PATIENCE_MS * MS_NS;
	return ask_join(repo, entry, listed_ns, wait);
}

void repo_wait_size_end(struct repo_wait *wait)
{
	pthread_mutex_lock(&lock);
	wait->ended = true;
	pthread_mutex_unlock(&lock);
	mirror_kick();
}

void sizes_work(int64_t *next)
{
	struct repo_wait *over = NULL;
	int64_t now = clock_mono_ns();

	pthread_mutex_lock(&lock);
	for (struct ask *ask = asks; ask; ask = ask->next) {
		struct repo_wait **at = &ask->waits;

		while (*at) {
			struct repo_wait *wait = *at;

			if (!wait->ended && (!wait->deadline_ns || now < wait->deadline_ns)) {
				if (wait->deadline_ns && wait->deadline_ns < *next)
					*next = wait->deadline_ns;
				at = &wait->next;
				continue;
			}
			*at = wait->next;
			wait->next = over;
			over = wait;
		}
	}
	pthread_mutex_unlock(&lock);
	waits_done(over, 0);
}

bool sizes_stop(void)
{
	struct timespec until;
	bool left;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STOP_MS / 1000;
	pthread_mutex_lock(&lock);
	stopped = true;
	for (struct ask *ask = asks; ask; ask = ask->next)
		repo_kind(ask->repo)->stat_cancel(ask->repo->handle, &ask->stat);
	while (asks && !err)
		err = pthread_cond_clockwait(&none, &lock, CLOCK_MONOTONIC, &until);
	left = asks;
	pthread_mutex_unlock(&lock);
	return !left;
}
