// SPDX-License-Identifier: Apache-2.0
/*
 * The thread that hashes what came (content.h): behind the fetch as far as there is no
 * gap, so that little is left to be done when the last byte is here. It turns to the
 * next content after every few megabytes.
 *
 * It also looks at the first bytes of each, which show what an image is and for
 * which part, so that the catalogue knows without fetching it again.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/daemon/passthrough.h"
#include "fs/remote/content_in.h"

#include <fabricfs/buf.h>
#include <fabricfs/image.h>
#include <fabricfs/log.h>

#define SLICE (UINT64_C(4) << 20)
#define PIECE (256u << 10)
#define HEAD_BYTES (64u << 10) /* of an image that are looked at */

static pthread_mutex_t hash_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t hash_cond = PTHREAD_COND_INITIALIZER;
/* hash_lock */
static struct content *queue, **queue_end = &queue;
static bool ending;
static pthread_t thread;
static bool runs;

void hash_queue(struct content *c)
{
	bool taken = false;

	content_ref(c);
	pthread_mutex_lock(&hash_lock);
	if (!c->hash_queued && !ending) {
		c->hash_queued = taken = true;
		c->hash_next = NULL;
		*queue_end = c;
		queue_end = &c->hash_next;
		pthread_cond_signal(&hash_cond);
	}
	pthread_mutex_unlock(&hash_lock);
	if (!taken)
		content_put(c);
}

/* --- the first bytes ------------------------------------------------------------------------ */

static void head_look(struct content *c, struct origin *origin, uint64_t prefix)
{
	struct image_parser *parser;
	struct reason why = { 0 };
	char *bytes CLEANUP_FREE = NULL;
	ssize_t n;

	if (!origin || !origin->ops || !origin->ops->recognised)
		return;
	bytes = malloc(HEAD_BYTES);
	parser = image_parser_new();
	n = bytes && parser ? pread(c->fd, bytes, prefix < HEAD_BYTES ? (size_t)prefix : HEAD_BYTES, 0) : -1;
	if (n > 0) {
		/* However it ends: what it found out is true. */
		image_parser_feed(parser, bytes, (size_t)n, &why);
		if (*image_parser_facts(parser)->format)
			origin->ops->recognised(origin, image_parser_facts(parser));
	}
	image_parser_free(parser);
}

/* --- hashing ----------------------------------------------------------------------------------- */

/* What is to be done with c now. */
struct task {
	uint64_t prefix; /* bytes without a gap */
	bool complete, needed, look;
	struct origin *origin;
};

static void task_find(struct content *c, struct task *t)
{
	pthread_mutex_lock(&c->lock);
	t->complete = content_complete(c);
	t->prefix = c->whole ? c->size : chunks_missing(c->chunks, 0) * CHUNK_SIZE;
	if (c->has_size && t->prefix > c->size)
		t->prefix = c->size;
	t->needed = !c->gone.err && (c->doubted || (!c->whole && !c->verified));
	/* It could not be kept then: perhaps it can now. */
	for (const struct content_wait *w = c->waits; w && !c->whole && !c->gone.err; w = w->next)
		t->needed |= w->all;
	/* Once there is enough of it, or all. */
	t->look = !c->recognised && !c->gone.err && t->prefix && (t->prefix >= HEAD_BYTES / 2 || t->complete);
	if (t->look)
		c->recognised = true;
	t->origin = c->origin;
	if (t->origin)
		origin_get(t->origin);
	pthread_mutex_unlock(&c->lock);
}

static int hash_slice(struct content *c, uint64_t prefix, struct reason *why)
{
	uint64_t end = prefix - c->hashed > SLICE ? c->hashed + SLICE : prefix;
	char *bytes CLEANUP_FREE = malloc(PIECE);

	if (!c->sha)
		c->sha = digest_new();
	if (!c->other && *c->algo && strcmp(c->algo, "sha256"))
		c->other = digest_new_of(c->algo);
	if (!bytes || !c->sha || (!c->other && *c->algo && strcmp(c->algo, "sha256")))
		return reason_set(why, ENOMEM, "no memory to hash a cached image");
	while (c->hashed < end) {
		size_t n = end - c->hashed < PIECE ? (size_t)(end - c->hashed) : PIECE;
		ssize_t r = pread(c->fd, bytes, n, (off_t)c->hashed);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return reason_set(why, r ? errno : EIO, "reading a cached image back: %s",
					  r ? strerror(errno) : "it is shorter than what was written");
		digest_update(c->sha, bytes, (size_t)r);
		if (c->other)
			digest_update(c->other, bytes, (size_t)r);
		c->hashed += (uint64_t)r;
	}
	return 0;
}

static void refuse(struct content *c, const struct origin *origin, const char *found, const char *sha256)
{
	struct reason why;

	if (c->doubted)
		reason_set(&why, EBADMSG, "%s: the cached copy is damaged on the disk and was dropped: read it again",
			   origin->name);
	else
		reason_set(&why, EBADMSG, "%s: its %s should be %s, and what came hashes to %s: it was dropped, read "
			   "it again", origin->name, c->algo, c->digest, found);
	log_warn("%s", why.text);
	/* Before the reader hears of it. */
	if (origin->ops && origin->ops->refused)
		origin->ops->refused(origin, &why, sha256, c->size);
	content_drop(c, &why);
}

/* All of it is hashed. */
static void hash_end(struct content *c, struct origin *origin)
{
	char sha256[SHA256_HEX], other[DIGEST_HEX] = "";
	struct content_wait *ready, *failed = NULL;
	struct reason why = { 0 };
	bool twin = false;
	int err;

	digest_hex(c->sha, sha256);
	if (c->other)
		digest_text(c->other, other);
	else if (*c->algo)
		memcpy(other, sha256, SHA256_HEX);
	if (strcmp(other, c->digest) || (c->doubted && strcmp(sha256, c->sha256))) {
		refuse(c, origin, other, sha256);
		return;
	}
	if (c->doubted)
		err = cache_content_trust(contents_store, c->id, &why);
	else
		err = cache_content_whole(contents_store, c->id, c->size, sha256, &twin, &why);
	if (err)
		log_warn("cache: %s", why.text);
	else if (twin)
		usage_release(c->size);
	pthread_mutex_lock(&c->lock);
	c->verified = true;
	c->doubted = false;
	if (!err) {
		c->whole = true;
		c->noted = c->size;
		c->dirty = false;
		memcpy(c->sha256, sha256, SHA256_HEX);
	}
	ready = waits_ready(c);
	if (err)
		failed = waits_failed(c, 0, 0);
	pthread_mutex_unlock(&c->lock);
	/* Who reads it now may read it again. */
	if (!err)
		passthrough_want(c->id, c->fd);
	waits_done(ready, 0, NULL);
	waits_done(failed, why.err, &why);
}

static void hash_failed(struct content *c, const struct reason *why)
{
	struct content_wait *failed;

	log_warn("cache: %s", why->text);
	pthread_mutex_lock(&c->lock);
	failed = c->waits;
	c->waits = NULL;
	pthread_mutex_unlock(&c->lock);
	waits_done(failed, why->err, why);
}

static void hash_content(struct content *c)
{
	struct reason why = { 0 };
	struct task t = { 0 };

	task_find(c, &t);
	if (t.look)
		head_look(c, t.origin, t.prefix);
	if (t.needed && hash_slice(c, t.prefix, &why))
		hash_failed(c, &why);
	else if (t.needed && t.complete && c->hashed == t.prefix)
		hash_end(c, t.origin);
	else if (t.needed && c->hashed < t.prefix)
		hash_queue(c);
	origin_put(t.origin);
}

static void *hash_all(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "mirror-hash");
	pthread_mutex_lock(&hash_lock);
	while (!ending) {
		struct content *c = queue;

		if (!c) {
			pthread_cond_wait(&hash_cond, &hash_lock);
			continue;
		}
		queue = c->hash_next;
		if (!queue)
			queue_end = &queue;
		c->hash_queued = false;
		pthread_mutex_unlock(&hash_lock);
		hash_content(c);
		content_put(c);
		pthread_mutex_lock(&hash_lock);
	}
	pthread_mutex_unlock(&hash_lock);
	return NULL;
}

int hash_start(struct reason *why)
{
	sigset_t all, before;
	int err;

	ending = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, NULL, hash_all, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return reason_set(why, err, "cannot start the mirror's thread: %s", strerror(err));
	runs = true;
	return 0;
}

void hash_stop(void)
{
	pthread_mutex_lock(&hash_lock);
	ending = true;
	pthread_cond_signal(&hash_cond);
	pthread_mutex_unlock(&hash_lock);
	if (runs)
		pthread_join(thread, NULL);
	runs = false;
	while (queue) {
		struct content *c = queue;

		queue = c->hash_next;
		c->hash_queued = false;
		content_put(c);
	}
	queue_end = &queue;
}
