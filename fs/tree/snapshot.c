// SPDX-License-Identifier: Apache-2.0
/*
 * What an open file or folder shows, rendered at its open and kept until its
 * close, so that a reader in pieces sees one state. Only in memory: to an open
 * that a worker before this one had given, it is rendered anew.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/tree/serve.h"

struct snapshot {
	struct snapshot *next;
	uint64_t fh;
	struct text *text;
	uint64_t count;   /* notify_count() before it was rendered */
	uint64_t version; /* of what was rendered */
	bool read;        /* its beginning was read */
};

/* Handles count up, and differ in the bits above those of saved ones. */
#define SHARDS 64
static struct shard {
	pthread_mutex_t lock;
	struct snapshot *first;
} shards[SHARDS] = { [0 ... SHARDS - 1] = { PTHREAD_MUTEX_INITIALIZER, NULL } };

static struct shard *shard_of(uint64_t fh)
{
	return &shards[(fh ^ fh >> 13) % SHARDS];
}

void text_put(struct text *text)
{
	if (text && atomic_fetch_sub(&text->refs, 1) == 1)
		free(text);
}

static int pack(const char *name, uint64_t ino, void *arg)
{
	struct buf *out = arg;

	buf_add(out, &ino, sizeof(ino));
	buf_add(out, name, strlen(name) + 1);
	return 0;
}

bool packed_at(struct text *listing, size_t at, struct packed *entry)
{
	size_t begin = atomic_load_explicit(&listing->reached, memory_order_relaxed);

	/* Walked from where an entry is known to begin: a position of an older listing may be within a name. */
	if (begin > at)
		begin = 0;
	while (begin + sizeof(uint64_t) < listing->len) {
		const char *name = listing->bytes + begin + sizeof(uint64_t);
		size_t next = begin + sizeof(uint64_t) + strlen(name) + 1;

		if (begin >= at) {
			memcpy(&entry->ino, listing->bytes + begin, sizeof(entry->ino));
			entry->name = name;
			entry->next = next;
			atomic_store_explicit(&listing->reached, begin, memory_order_relaxed);
			return true;
		}
		begin = next;
	}
	return false;
}

static struct text *render(const struct place *p)
{
	struct buf b CLEANUP_BUF = BUF_INIT;
	struct text *text;

	if (place_is_dir(p)) {
		uint64_t parent = dir_parent(p);

		pack(".", p->ino, &b);
		pack("..", parent, &b);
		dir_each(p, pack, &b);
	} else {
		place_format(p, &b);
	}
	if (buf_ok(&b))
		return NULL;
	text = malloc(sizeof(*text) + b.len);
	if (!text)
		return NULL;
	atomic_init(&text->refs, 1);
	atomic_init(&text->reached, 0);
	text->len = b.len;
	if (b.len)
		memcpy(text->bytes, b.data, b.len);
	return text;
}

/* Changes that nobody tells of? */
static bool moving(const struct place *p)
{
	return p->row && p->row->keep == KEEP_FRESH;
}

static uint64_t version_of(const struct place *p)
{
	return p->row && p->row->version ? p->row->version(p) : 0;
}

static struct snapshot *find(struct shard *shard, uint64_t fh)
{
	struct snapshot *s = shard->first;

	while (s && s->fh != fh)
		s = s->next;
	return s;
}

int snapshot_open(const struct place *p, uint64_t fh)
{
	struct shard *shard = shard_of(fh);
	struct snapshot *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->fh = fh;
	s->count = notify_count();
	s->version = version_of(p);
	s->text = render(p);
	if (!s->text) {
		free(s);
		return -ENOMEM;
	}
	pthread_mutex_lock(&shard->lock);
	s->next = shard->first;
	shard->first = s;
	pthread_mutex_unlock(&shard->lock);
	return 0;
}

/* What is kept, if it will do; else NULL and *known says whether there is something. */
static struct text *kept(const struct place *p, struct shard *shard, uint64_t fh, bool begin, bool *known)
{
	struct text *text = NULL;
	struct snapshot *s;

	pthread_mutex_lock(&shard->lock);
	s = find(shard, fh);
	*known = s;
	if (s && (!begin || (!s->read && s->count == notify_count() && !moving(p)))) {
		text = s->text;
		atomic_fetch_add(&text->refs, 1);
		s->read = s->read || begin;
	}
	pthread_mutex_unlock(&shard->lock);
	return text;
}

struct text *snapshot_read(const struct place *p, uint64_t fh, off_t off)
{
	struct shard *shard = shard_of(fh);
	uint64_t count = notify_count(), version;
	struct text *text, *old = NULL;
	struct snapshot *s;
	bool known;

	text = kept(p, shard, fh, !off, &known);
	if (text)
		return text;
	if (!known) {
		if (snapshot_open(p, fh))
			return NULL;
		/* A folder's first read, or an open that a dead worker had given. */
		text = kept(p, shard, fh, !off, &known);
		if (text)
			return text;
	}
	version = version_of(p);
	text = render(p);
	if (!text)
		return NULL;
	pthread_mutex_lock(&shard->lock);
	s = find(shard, fh);
	if (s) {
		old = s->text;
		s->text = text;
		s->count = count;
		s->version = version;
		s->read = true;
		atomic_fetch_add(&text->refs, 1);
	}
	pthread_mutex_unlock(&shard->lock);
	text_put(old);
	return text;
}

uint64_t snapshot_version(uint64_t fh)
{
	struct shard *shard = shard_of(fh);
	struct snapshot *s;
	uint64_t version;

	pthread_mutex_lock(&shard->lock);
	s = find(shard, fh);
	version = s && s->read ? s->version : 0;
	pthread_mutex_unlock(&shard->lock);
	return version;
}

void snapshot_close(uint64_t fh)
{
	struct shard *shard = shard_of(fh);
	struct snapshot *s, **at;

	pthread_mutex_lock(&shard->lock);
	for (at = &shard->first; (s = *at) && s->fh != fh; at = &s->next)
		;
	if (s)
		*at = s->next;
	pthread_mutex_unlock(&shard->lock);
	if (s) {
		text_put(s->text);
		free(s);
	}
}
