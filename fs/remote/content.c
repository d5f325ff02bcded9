// SPDX-License-Identifier: Apache-2.0
/* Contents while they are used: which are, who waits for what, what may be read (content.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/remote/content_in.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

struct store *contents_store;
pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
struct content *contents_live[CONTENT_BUCKETS];

/* --- origins ------------------------------------------------------------------------------ */

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
	else if (*o->validator)
		snprintf(o->key, sizeof(o->key), "%" PRIu64 "\n%s\n%s", repo, o->id, o->validator);
	else
		/* What a fetch says it is of is noted beside it; another listing is another content. */
		snprintf(o->key, sizeof(o->key), "%" PRIu64 "\n%s\n~%" PRId64 " %" PRIu64, repo, o->id, mtime_ns,
			 listed_size);
}

/* --- the table ------------------------------------------------------------------------------- */

static struct content **bucket_of(uint64_t id)
{
	return &contents_live[id % CONTENT_BUCKETS];
}

/* table_lock held */
static struct content *table_find(uint64_t id)
{
	struct content *c = *bucket_of(id);

	while (c && c->id != id)
		c = c->chain;
	return c;
}

void content_ref(struct content *c)
{
	pthread_mutex_lock(&table_lock);
	c->refs++;
	pthread_mutex_unlock(&table_lock);
}

void content_put(struct content *c)
{
	bool idle;

	if (!c)
		return;
	pthread_mutex_lock(&table_lock);
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
static int content_bytes_open(struct content *c, const struct cache_content *row, struct reason *why)
{
	uint64_t size;
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
		err = cache_content_empty(contents_store, c->id, why);
		if (err)
			return err;
	}
	err = chunks_open(contents_store, c->id, c->key, &c->chunks, why);
	if (!err)
		c->fd = chunks_fd(c->chunks);
	return err;
}

/* table_lock held: a new one in the table, with a reference. */
static int content_load(const struct cache_content *row, const char *key, const struct origin *origin,
			struct content **out, struct reason *why)
{
	struct content *c = calloc(1, sizeof(*c));
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
	c->noted = row->cached;
	if (!c->has_size && origin->has_size && !strcmp(origin->key, key)) {
		c->has_size = true;
		c->size = origin->size;
	}
	err = content_bytes_open(c, row, why);
	if (err) {
		content_free(c);
		return err;
	}
	/* What a worker that died had fetched, and could not note. */
	usage_found(content_bytes(c), row->cached);
	c->chain = *bucket_of(c->id);
	*bucket_of(c->id) = c;
	*out = c;
	return 0;
}

/* Whose bytes these are, by its row; the key is that of the row. */
static int content_row(struct origin *origin, uint64_t id, struct cache_content *row, char *key,
		       struct reason *why)
{
	int err;

	if (!id) {
		text_copy(key, CACHE_KEY_MAX, origin->key);
		return cache_content_make(contents_store, origin->key, row, NULL, why);
	}
	err = cache_content_get(contents_store, id, row, why);
	if (err == -ENOENT)
		return reason_set(why, ESTALE, "%s: what was opened is not known any more", origin->name);
	if (err)
		return err;
	if (row->gone)
		return reason_set(why, row->gone, "%s: what was opened was dropped since", origin->name);
	return cache_content_key(contents_store, id, key, why);
}

int content_open(struct origin *origin, uint64_t id, struct content **out, struct reason *why)
{
	char key[CACHE_KEY_MAX];
	struct cache_content row;
	struct content *c = NULL;
	int err = 0;

	pthread_mutex_lock(&table_lock);
	if (id)
		c = table_find(id);
	if (!c) {
		err = content_row(origin, id, &row, key, why);
		if (!err)
			c = table_find(row.id);
		if (!err && !c) {
			err = content_load(&row, key, origin, &c, why);
			if (!err)
				c->refs--; /* counted below, as all others */
		}
	}
	if (!err)
		c->refs++;
	pthread_mutex_unlock(&table_lock);
	if (err)
		return err;
	pthread_mutex_lock(&c->lock);
	if (c->gone.err) {
		*why = c->gone;
		err = -c->gone.err;
	} else if (!c->origin || (c->origin != origin && !strcmp(c->key, origin->key))) {
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

	pthread_mutex_lock(&table_lock);
	c = table_find(id);
	if (c)
		c->refs++;
	pthread_mutex_unlock(&table_lock);
	return c;
}

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

	pthread_mutex_lock(&c->lock);
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

	pthread_mutex_lock(&c->lock);
	known = c->has_size;
	*size = c->size;
	pthread_mutex_unlock(&c->lock);
	return known;
}

uint64_t content_cached(struct content *c)
{
	uint64_t bytes;

	pthread_mutex_lock(&c->lock);
	bytes = c->gone.err ? 0 : content_bytes(c);
	pthread_mutex_unlock(&c->lock);
	return bytes;
}

uint64_t contents_cached(uint64_t id)
{
	struct cache_content row;
	uint64_t bytes = 0;
	struct content *c;

	pthread_mutex_lock(&table_lock);
	c = table_find(id);
	if (c) {
		pthread_mutex_lock(&c->lock);
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

void content_opened(struct content *c)
{
	content_ref(c);
	pthread_mutex_lock(&c->lock);
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

/* --- who waits -------------------------------------------------------------------------------------- */

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

/* The repository cannot be asked, and no request of before is on its way. */
static bool is_offline(struct content *c, struct reason *why)
{
	struct origin *origin = NULL;
	bool offline;

	pthread_mutex_lock(&c->lock);
	if (!c->whole && !c->fetches && c->origin->ops && c->origin->ops->offline) {
		origin = c->origin;
		origin_get(origin);
	}
	pthread_mutex_unlock(&c->lock);
	offline = origin && origin->ops->offline(origin, why);
	origin_put(origin);
	return offline;
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
	pthread_mutex_lock(&c->lock);
	if (c->gone.err) {
		*why = c->gone;
		r = -c->gone.err;
	} else if (wait_is_ready(c, w)) {
		r = 1;
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
	if (r >= 0 && !c->whole && !offline) {
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

ssize_t content_readable(struct content *c, size_t n, uint64_t off)
{
	uint64_t size = UINT64_MAX;
	int gone;

	pthread_mutex_lock(&c->lock);
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
	struct fetch *left;
	uint64_t bytes;

	pthread_mutex_lock(&c->lock);
	if (c->gone.err) {
		pthread_mutex_unlock(&c->lock);
		return;
	}
	c->gone = *why;
	waits = c->waits;
	c->waits = NULL;
	bytes = content_bytes(c);
	left = fetch_give_up(c);
	pthread_mutex_unlock(&c->lock);
	usage_release(bytes);
	if (cache_content_gone(contents_store, c->id, why->err, &store_why))
		log_error("cache: %s", store_why.text);
	fetch_cancel(left);
	waits_done(waits, why->err, why);
}

/* --- start and end ------------------------------------------------------------------------------------ */

static int usage_add(const struct cache_content *content, bool loaded, void *arg)
{
	uint64_t *sum = arg;

	(void)loaded;
	*sum += content->cached;
	return 0;
}

int contents_start(struct store *store, uint64_t quota, bool fresh, struct reason *why)
{
	uint64_t used = 0;
	int err = 0;

	contents_store = store;
	/* Whoever takes over has no time for it: there are clients who wait. */
	if (fresh && cache_contents_tidy(store, why))
		/* A full or read-only disk: what is here can still be read. */
		log_warn("cache: %s", why->text);
	err = cache_contents_each(store, usage_add, &used, why);
	usage_set(quota, used);
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
	waits_done(waits, EINTR, &ending);
	hash_stop();
	fetches_settle();
	work_stop();
	table_clear();
	contents_store = NULL;
}
