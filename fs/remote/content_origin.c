// SPDX-License-Identifier: Apache-2.0
/*
 * Whom to ask for the bytes of a content (content.h). Bytes that a digest is known of are the same
 * wherever they come from: when one repository fails, another that lists them is asked, and the
 * readers notice nothing of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/remote/content_in.h"

#include <fabricfs/clock.h>

/* For so long after it failed for a content, a repository is not asked in place of another. */
#define MISS_NS (INT64_C(5) * 1000000000)

/* A repository that failed for a content. */
struct miss {
	const void *core;
	int64_t ns;
};

struct origin *origin_new(void)
{
	struct origin *o = calloc(1, sizeof(*o));

	if (o)
		atomic_init(&o->refs, 1);
	return o;
}

void origin_get(struct origin *o)
{
	atomic_fetch_add(&o->refs, 1);
}

void origin_put(struct origin *o)
{
	if (o && atomic_fetch_sub(&o->refs, 1) == 1)
		free(o);
}

void origin_key(struct origin *o, uint64_t repo, int64_t mtime_ns, uint64_t listed_size)
{
	if (*o->digest_algo)
		snprintf(o->key, sizeof(o->key), "%s:%s", o->digest_algo, o->digest);
	else if (*o->validator == REPO_VALIDATOR_WEAK)
		snprintf(o->key, sizeof(o->key), "%" PRIu64 "\n%s\n%s %" PRId64, repo, o->id, o->validator, mtime_ns);
	else if (*o->validator)
		snprintf(o->key, sizeof(o->key), "%" PRIu64 "\n%s\n%s", repo, o->id, o->validator);
	else
		/* What a fetch says it is of is noted beside it; another listing is another content. */
		snprintf(o->key, sizeof(o->key), "%" PRIu64 "\n%s\n~%" PRId64 " %" PRIu64, repo, o->id, mtime_ns,
			 listed_size);
}

/* --- another one ------------------------------------------------------------------------------ */

/* lock held */
static bool missed(const struct content *c, const void *core)
{
	for (unsigned i = 0; i < c->misses_len; i++)
		if (c->misses[i].core == core)
			return clock_mono_ns() - c->misses[i].ns < MISS_NS;
	return false;
}

/* lock held. False: no memory, and the same one would be asked over and over. */
static bool miss_note(struct content *c, const void *core)
{
	struct miss *more;

	for (unsigned i = 0; i < c->misses_len; i++)
		if (c->misses[i].core == core) {
			c->misses[i].ns = clock_mono_ns();
			return true;
		}
	more = realloc(c->misses, (c->misses_len + 1) * sizeof(*more));
	if (!more)
		return false;
	c->misses = more;
	c->misses[c->misses_len++] = (struct miss){ .core = core, .ns = clock_mono_ns() };
	return true;
}

static bool may_ask(const void *core, void *arg)
{
	struct content *c = arg;
	bool may;

	pthread_mutex_lock(&c->lock);
	may = !missed(c, core);
	pthread_mutex_unlock(&c->lock);
	return may;
}

bool content_elsewhere(struct content *c, const struct origin *failed)
{
	struct origin *other, *before = NULL;
	bool noted, elsewhere;

	if (!*c->algo || !failed->ops || !failed->ops->other)
		return false;
	pthread_mutex_lock(&c->lock);
	noted = miss_note(c, failed->core);
	/* Somebody opened it by way of another one since, or another fetch found it out. */
	elsewhere = c->origin->core != failed->core && !missed(c, c->origin->core);
	pthread_mutex_unlock(&c->lock);
	if (!noted || elsewhere)
		return elsewhere;
	other = failed->ops->other(failed, may_ask, c);
	if (!other)
		return false;
	pthread_mutex_lock(&c->lock);
	before = c->origin;
	c->origin = other;
	pthread_mutex_unlock(&c->lock);
	origin_put(before);
	return true;
}

bool error_is_of_origin(int err)
{
	return err == EHOSTUNREACH || err == EREMOTEIO || err == ETIMEDOUT || err == EACCES || err == ENOENT ||
	       err == ENODATA || err == ESTALE || err == EBADMSG;
}
