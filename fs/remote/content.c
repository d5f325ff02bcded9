// SPDX-License-Identifier: Apache-2.0
/* What is known of a content, reading its bytes, and the start and end of all (content.h). */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "fs/card/cards.h"
#include "fs/remote/content_in.h"

#include <fabricfs/log.h>

/* --- what is known ------------------------------------------------------------------------------ */

uint64_t content_id(const struct content *c)
{
	return c->id;
}

int content_fd(const struct content *c)
{
	return c->fd;
}

bool content_complete(const struct content *c)
{
	return c->whole || (c->has_size && chunks_missing(c->chunks, 0) >= chunks_of(c->size));
}

uint64_t content_bytes(const struct content *c)
{
	uint64_t bytes;

	if (c->whole)
		return c->size;
	bytes = chunks_count(c->chunks) * CHUNK_SIZE;
	return c->has_size && bytes > c->size ? c->size : bytes;
}

bool content_is_whole(struct content *c, char sha256[SHA256_HEX], uint64_t *size)
{
	bool whole;

	lock_take(&c->lock);
	whole = c->whole && !c->doubted && !c->gone.err;
	if (whole && sha256)
		memcpy(sha256, c->sha256, SHA256_HEX);
	if (whole && size)
		*size = c->size;
	pthread_mutex_unlock(&c->lock);
	return whole;
}

bool content_size(struct content *c, uint64_t *size)
{
	bool known;

	lock_take(&c->lock);
	known = c->has_size;
	*size = c->size;
	pthread_mutex_unlock(&c->lock);
	return known;
}

uint64_t content_cached(struct content *c)
{
	uint64_t bytes;

	lock_take(&c->lock);
	bytes = c->gone.err ? 0 : content_bytes(c);
	pthread_mutex_unlock(&c->lock);
	return bytes;
}

/* --- bytes --------------------------------------------------------------------------------------- */

ssize_t content_readable(struct content *c, size_t n, uint64_t off)
{
	uint64_t size = UINT64_MAX;
	int gone;

	lock_take(&c->lock);
	gone = c->gone.err;
	if (c->has_size)
		size = c->size;
	pthread_mutex_unlock(&c->lock);
	if (gone)
		return -gone;
	if (off >= size)
		return 0;
	return (ssize_t)(n > size - off ? (size_t)(size - off) : n);
}

ssize_t content_read(struct content *c, void *out, size_t n, uint64_t off)
{
	ssize_t want = content_readable(c, n, off);

	if (want <= 0)
		return want;
	n = (size_t)want;

	size_t got = 0;

	while (got < n) {
		ssize_t r = pread(c->fd, (char *)out + got, n - got, (off_t)(off + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (!r)
			break;
		got += (size_t)r;
	}
	return (ssize_t)got;
}

void content_drop(struct content *c, const struct reason *why)
{
	struct reason store_why = { 0 };
	struct content_wait *waits;
	struct origin *origin;
	struct fetch *left;
	uint64_t bytes;
	bool twin;

	pthread_mutex_lock(&c->lock);
	if (c->gone.err) {
		pthread_mutex_unlock(&c->lock);
		return;
	}
	origin = c->origin;
	origin_get(origin);
	c->gone = *why;
	waits = c->waits;
	c->waits = NULL;
	bytes = content_bytes(c);
	left = fetch_give_up(c);
	pthread_mutex_unlock(&c->lock);
	if (cache_content_gone(contents_store, c->id, why->err, &twin, &store_why))
		log_error("cache: %s", store_why.text);
	if (!twin)
		usage_release(bytes);
	if (origin->ops && origin->ops->gone)
		origin->ops->gone(origin, c->id);
	origin_put(origin);
	fetch_cancel(left);
	waits_done(waits, why->err, why);
}

void content_unsound(struct content *c)
{
	struct reason why = { 0 };
	bool vouched;

	pthread_mutex_lock(&c->lock);
	vouched = *c->algo;
	reason_set(&why, EBADMSG, "%s: it is damaged, and no digest is known that says how it should be: the cached "
		   "copy was dropped, read it again", c->origin ? c->origin->name : "an image");
	pthread_mutex_unlock(&c->lock);
	if (vouched)
		return;
	log_info("%s", why.text);
	content_drop(c, &why);
}

void contents_unsound(const char *sha256)
{
	struct content *found = NULL;

	pthread_mutex_lock(&table_lock);
	for (int i = 0; i < CONTENT_BUCKETS && !found; i++) {
		for (struct content *c = contents_live[i]; c && !found; c = c->chain) {
			pthread_mutex_lock(&c->lock);
			if (c->whole && !c->gone.err && !*c->algo && !strcmp(c->sha256, sha256))
				found = c;
			pthread_mutex_unlock(&c->lock);
		}
	}
	if (found)
		found->refs++;
	pthread_mutex_unlock(&table_lock);
	if (found)
		content_unsound(found);
	content_put(found);
}

/* --- start and end ------------------------------------------------------------------------------------ */

int contents_start(struct store *store, uint64_t quota, bool fresh, struct reason *why)
{
	uint64_t used = 0;
	int err = 0;

	contents_store = store;
	/* Whoever takes over has no time for it: there are clients who wait. */
	if (fresh && cache_contents_tidy(store, why))
		/* A full or read-only disk: what is here can still be read. */
		log_warn("cache: %s", why->text);
	/* Of what was dropped. */
	if (fresh)
		cards_blobs_trim(store);
	err = cache_bytes(store, &used, why);
	usage_set(quota, used);
	if (fresh)
		usage_fit();
	if (!err)
		err = hash_start(why);
	if (!err)
		err = work_start(why);
	return err;
}

/* Of all that are live: whoever waits, and what was asked for. */
static struct content_wait *all_waits(struct fetch **fetches)
{
	struct content_wait *all = NULL;

	pthread_mutex_lock(&table_lock);
	for (int i = 0; i < CONTENT_BUCKETS; i++) {
		for (struct content *c = contents_live[i]; c; c = c->chain) {
			struct content_wait *w;
			struct fetch *f;

			pthread_mutex_lock(&c->lock);
			if (!c->gone.err)
				reason_set(&c->gone, EINTR, "fabricfs is ending");
			while ((w = c->waits)) {
				c->waits = w->next;
				w->next = all;
				all = w;
			}
			while ((f = fetch_give_up(c)))
				for (struct fetch *next; f; f = next) {
					next = f->start;
					f->start = *fetches;
					*fetches = f;
				}
			pthread_mutex_unlock(&c->lock);
		}
	}
	pthread_mutex_unlock(&table_lock);
	return all;
}

/* What is still open is so for nobody who could read it. What a request that was left behind may
 * still look at stays. */
static void table_clear(void)
{
	pthread_mutex_lock(&table_lock);
	for (int i = 0; i < CONTENT_BUCKETS; i++) {
		struct content *c;

		while ((c = contents_live[i])) {
			contents_live[i] = c->chain;
			if (c->refs == c->opens && !c->fetches)
				content_free(c);
		}
	}
	pthread_mutex_unlock(&table_lock);
}

void contents_stop(void)
{
	static const struct reason ending = { .err = EINTR, .text = "fabricfs is ending" };
	struct fetch *fetches = NULL;
	struct content_wait *waits;

	if (!contents_store)
		return;
	waits = all_waits(&fetches);
	fetch_cancel(fetches);
	fetches_retry();
	waits_done(waits, EINTR, &ending);
	hash_stop();
	fetches_settle();
	work_stop();
	table_clear();
	contents_store = NULL;
}
