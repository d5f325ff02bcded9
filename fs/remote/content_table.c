// SPDX-License-Identifier: Apache-2.0
/*
 * Which contents are in use, and by whom (content.h): one struct for each, however
 * many have it open. It is made when somebody comes for it, and its memory is given back
 * by the working thread a while after the last one left.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/daemon/opens.h"
#include "fs/daemon/passthrough.h"
#include "fs/remote/content_in.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

struct store *contents_store;
pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
struct content *contents_live[CONTENT_BUCKETS];
static _Atomic unsigned contents_made; /* since it was looked for what is left of others */

/* --- the table ------------------------------------------------------------------------------- */

static struct content **bucket_of(uint64_t id)
{
	return &contents_live[id % CONTENT_BUCKETS];
}

struct content *table_find(uint64_t id)
{
	struct content *c = *bucket_of(id);

	while (c && c->id != id)
		c = c->chain;
	return c;
}

void content_ref(struct content *c)
{
	lock_take(&table_lock);
	c->refs++;
	pthread_mutex_unlock(&table_lock);
}

void content_put(struct content *c)
{
	bool idle;

	if (!c)
		return;
	lock_take(&table_lock);
	idle = !--c->refs;
	if (idle)
		c->idle_ns = clock_mono_ns();
	pthread_mutex_unlock(&table_lock);
	/* What is known of it is noted, and the memory given back, by the working thread. */
	if (idle)
		work_kick();
}

void content_free(struct content *c)
{
	if (!c->chunks && c->fd >= 0)
		close(c->fd);
	chunks_close(c->chunks);
	digest_free(c->sha);
	digest_free(c->other);
	origin_put(c->origin);
	free(c->misses);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* A digest is in its key: "algo:hex". */
static void content_digest(struct content *c)
{
	const char *colon = strchr(c->key, ':');

	if (strchr(c->key, '\n') || !colon || (size_t)(colon - c->key) >= sizeof(c->algo) ||
	    strlen(colon + 1) >= sizeof(c->digest))
		return;
	memcpy(c->algo, c->key, (size_t)(colon - c->key));
	text_copy(c->digest, sizeof(c->digest), colon + 1);
}

/* The bytes, wherever they are; a blob that is not there any more is fetched anew. */
static int content_bytes_open(struct content *c, const struct cache_content *row, uint64_t *noted,
			      struct reason *why)
{
	uint64_t size;
	bool twin;
	int err;

	if (row->whole) {
		err = store_blob_open(contents_store, row->sha256, &c->fd, &size, NULL);
		if (err == -ENOENT) {
			cache_content_finish(contents_store, row);
			err = store_blob_open(contents_store, row->sha256, &c->fd, &size, NULL);
		}
		if (!err && size == row->size) {
			c->whole = true;
			c->doubted = row->doubted;
			memcpy(c->sha256, row->sha256, SHA256_HEX);
			return 0;
		}
		if (!err)
			close(STEAL_FD(c->fd));
		log_warn("a cached image is not there as a whole any more (%s): it is fetched anew", row->sha256);
		err = cache_content_empty(contents_store, c->id, &twin, why);
		if (err)
			return err;
		/* It is counted once for both. */
		*noted = twin ? 0 : row->cached;
		c->noted = 0;
		/* Who comes when it is whole again reads the new file. */
		passthrough_drop(c->id);
	}
	err = chunks_open(contents_store, c->id, c->key, &c->chunks, why);
	if (!err)
		c->fd = chunks_fd(c->chunks);
	return err;
}

/*
 * Rows that somebody loads or empties: a look into the store and a few files, for which nobody
 * else has to wait but who wants the same one.
 */
static struct claim *claims; /* table_lock */
static pthread_cond_t claims_cond = PTHREAD_COND_INITIALIZER;

/* table_lock held */
static bool is_claimed(uint64_t id)
{
	const struct claim *claim = claims;

	while (claim && claim->id != id)
		claim = claim->next;
	return claim;
}

/* table_lock held */
static void claim_add(struct claim *claim, uint64_t id)
{
	*claim = (struct claim){ .id = id, .next = claims };
	claims = claim;
}

/* table_lock held */
static void claim_remove(struct claim *claim)
{
	struct claim **at = &claims;

	while (*at != claim)
		at = &(*at)->next;
	*at = claim->next;
	pthread_cond_broadcast(&claims_cond);
}

bool content_claim(struct claim *claim, uint64_t id)
{
	bool idle;

	pthread_mutex_lock(&table_lock);
	idle = !table_find(id) && !is_claimed(id);
	if (idle)
		claim_add(claim, id);
	pthread_mutex_unlock(&table_lock);
	return idle;
}

void content_unclaim(struct claim *claim)
{
	pthread_mutex_lock(&table_lock);
	claim_remove(claim);
	pthread_mutex_unlock(&table_lock);
}

/* The live one, with a reference; NULL: it was claimed, for it to be loaded. */
static struct content *content_live_or_claim(uint64_t id, struct claim *claim)
{
	struct content *c;

	pthread_mutex_lock(&table_lock);
	while (!(c = table_find(id)) && is_claimed(id))
		pthread_cond_wait(&claims_cond, &table_lock);
	if (c)
		c->refs++;
	else
		claim_add(claim, id);
	pthread_mutex_unlock(&table_lock);
	return c;
}

/* Claimed: a new one, with a reference, that is not in the table yet. */
static int content_load(const struct cache_content *row, const char *key, const struct origin *origin,
			struct content **out, struct reason *why)
{
	struct content *c = calloc(1, sizeof(*c));
	uint64_t noted;
	int err;

	if (!c)
		return reason_set(why, ENOMEM, "no memory for %s", origin->name);
	pthread_mutex_init(&c->lock, NULL);
	c->id = row->id;
	c->fd = -1;
	c->refs = 1;
	text_copy(c->key, sizeof(c->key), key);
	text_copy(c->validator, sizeof(c->validator), row->validator);
	content_digest(c);
	c->has_size = row->has_size;
	c->size = row->size;
	if (!c->has_size && origin->has_size && !strcmp(origin->key, key)) {
		c->has_size = true;
		c->size = origin->size;
	}
	c->noted = noted = row->cached;
	err = content_bytes_open(c, row, &noted, why);
	if (err) {
		content_free(c);
		return err;
	}
	/* What a worker that died had fetched, and could not note. */
	usage_found(content_bytes(c), noted);
	*out = c;
	return 0;
}

/* Whose bytes these are, by its row; the key is that of the row. */
static int content_row(const struct origin *origin, uint64_t id, struct cache_content *row, char *key,
		       struct reason *why)
{
	int err;

	err = cache_content_get(contents_store, id, row, why);
	if (err == -ENOENT)
		return reason_set(why, ESTALE, "%s: what was opened is not known any more", origin->name);
	if (err)
		return err;
	if (row->gone)
		return reason_set(why, row->gone, "%s: what was opened was dropped since", origin->name);
	return cache_content_key(contents_store, id, key, why);
}

/* From the store into the table. */
static int content_take(struct origin *origin, uint64_t id, struct claim *claim, struct content **out,
			struct reason *why)
{
	char key[CACHE_KEY_MAX];
	struct cache_content row;
	struct content *c = NULL;
	/* As it is by now: before it was claimed somebody may have emptied it. */
	int err = content_row(origin, id, &row, key, why);

	if (!err)
		err = content_load(&row, key, origin, &c, why);
	pthread_mutex_lock(&table_lock);
	if (!err) {
		/* Whoever finds it there may ask for more at once. */
		origin_get(origin);
		c->origin = origin;
		c->chain = *bucket_of(id);
		*bucket_of(id) = c;
		*out = c;
	}
	claim_remove(claim);
	pthread_mutex_unlock(&table_lock);
	return err;
}

/* By its row, with a reference. */
static int content_find(struct origin *origin, uint64_t id, struct content **out, struct reason *why)
{
	struct claim claim;

	*out = content_live_or_claim(id, &claim);
	return *out ? 0 : content_take(origin, id, &claim, out, why);
}

int content_open(struct origin *origin, uint64_t id, struct content **out, struct reason *why)
{
	struct content *c;
	int err = id ? content_find(origin, id, &c, why) : -ESTALE;

	/* Before it is claimed it may be taken for what is left of another. */
	for (int tries = 0; !id && err == -ESTALE && tries < 3; tries++) {
		struct cache_content row;
		bool made;

		err = cache_content_make(contents_store, origin->key, &row, &made, why);
		contents_made += made;
		if (!err)
			err = content_find(origin, row.id, &c, why);
	}
	if (err)
		return err;
	pthread_mutex_lock(&c->lock);
	if (c->gone.err) {
		*why = c->gone;
		err = -c->gone.err;
	} else if (c->origin != origin && !strcmp(c->key, origin->key)) {
		origin_put(c->origin);
		origin_get(origin);
		c->origin = origin;
	}
	pthread_mutex_unlock(&c->lock);
	if (err) {
		content_put(c);
		return err;
	}
	*out = c;
	return 0;
}

struct content *content_live(uint64_t id)
{
	struct content *c;

	lock_take(&table_lock);
	c = table_find(id);
	if (c)
		c->refs++;
	pthread_mutex_unlock(&table_lock);
	return c;
}

void content_opened(struct content *c)
{
	content_ref(c);
	lock_take(&c->lock);
	c->opens++;
	pthread_mutex_unlock(&c->lock);
}

void content_closed(struct content *c)
{
	struct fetch *left = NULL;
	bool was;

	pthread_mutex_lock(&c->lock);
	/* Opens of a worker that died were never counted here. */
	was = c->opens;
	c->opens -= was;
	if (!c->opens && !c->waits)
		left = fetch_give_up(c);
	pthread_mutex_unlock(&c->lock);
	fetch_cancel(left);
	if (was)
		content_put(c);
}

/* --- what is left of others ---------------------------------------------------------------------- */

/* So many are made until it is looked for those that are nobody's any more. */
#define SWEEP_EVERY 256

void contents_sweep(void)
{
	uint64_t ids[SWEEP_EVERY];
	struct reason why = { 0 };
	bool due, more;
	unsigned n;

	due = atomic_load(&contents_made) >= SWEEP_EVERY;
	if (due)
		atomic_store(&contents_made, 0);
	for (more = due; more;) {
		more = false;
		n = cache_contents_left(contents_store, ids, SWEEP_EVERY);
		for (unsigned i = 0; i < n && !why.err; i++) {
			struct claim claim;

			/* Nobody opens it meanwhile. */
			if (!content_claim(&claim, ids[i]))
				continue;
			if (!opens_have(ids[i]))
				more |= !cache_content_forget(contents_store, ids[i], &why) && n == SWEEP_EVERY;
			content_unclaim(&claim);
		}
	}
	if (why.err)
		log_debug("cache: %s", why.text);
}

/* --- bytes of contents that may be live -------------------------------------------------------- */

uint64_t contents_cached(uint64_t id)
{
	struct cache_content row;
	uint64_t bytes = 0;
	struct content *c;

	lock_take(&table_lock);
	c = table_find(id);
	if (c) {
		lock_take(&c->lock);
		bytes = c->gone.err ? 0 : content_bytes(c);
		pthread_mutex_unlock(&c->lock);
	}
	pthread_mutex_unlock(&table_lock);
	if (!c && !cache_content_get(contents_store, id, &row, NULL))
		bytes = row.cached;
	return bytes;
}

void contents_unnoted(void (*fn)(uint64_t id, int64_t bytes, void *arg), void *arg)
{
	struct unnoted {
		uint64_t id;
		int64_t bytes;
	} *list = NULL;
	size_t n = 0, room = 0;

	pthread_mutex_lock(&table_lock);
	for (int i = 0; i < CONTENT_BUCKETS; i++) {
		for (struct content *c = contents_live[i]; c; c = c->chain) {
			int64_t more;

			pthread_mutex_lock(&c->lock);
			more = c->gone.err ? 0 : (int64_t)(content_bytes(c) - c->noted);
			pthread_mutex_unlock(&c->lock);
			if (!more)
				continue;
			if (!list || n == room) {
				struct unnoted *larger = realloc(list, (room = 2 * room + 16) * sizeof(*list));

				if (!larger)
					break;
				list = larger;
			}
			list[n++] = (struct unnoted){ c->id, more };
		}
	}
	pthread_mutex_unlock(&table_lock);
	for (size_t i = 0; i < n; i++)
		fn(list[i].id, list[i].bytes, arg);
	free(list);
}
