// SPDX-License-Identifier: Apache-2.0
/*
 * A repository of the tests' own for contents of the mirror: bytes in memory, given by a
 * thread, with the faults that a test wants; and readers that wait for what they asked for.
 */
#ifndef TESTS_CONTENT_FIXTURE_H
#define TESTS_CONTENT_FIXTURE_H

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/remote/content.h"
#include "tests/unit/store_fixture.h"

#include <fabricfs/clock.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define READER_S 120 /* until a read that nobody answers fails its test */

/* --- the repository --------------------------------------------------------------------- */

struct ask {
	struct ask *next;
	struct repo_fetch *f;
	bool cancelled;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	pthread_t thread;
	struct ask *asks;
	bool ends;
	/* what it has */
	char *bytes;
	uint64_t size;
	bool tells_size;
	char validator[32];
	/* what it does */
	bool holds;	 /* nothing until it is let go */
	int fails;	 /* so many requests get `err` */
	int err;
	uint64_t cuts;	 /* bytes until a request is broken off with `err`; 0 = never */
	uint64_t pauses; /* after so many bytes of a request, until it is let go (0); 0 = never */
	uint64_t flips;	 /* this byte is given wrong, while it is not 0 */
	uint64_t stops;	 /* the next request ends well after so many bytes; 0 = not */
	const char *next; /* after the next request it has this version; NULL = that of before */
	/* what it saw */
	unsigned requests, cancels;
	uint64_t given;
	uint64_t last_to;
} server = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static int server_give(struct repo_fetch *f, struct reason *why)
{
	struct repo_content content = { .has_size = server.tells_size, .size = server.size,
					.validator = server.validator };
	uint64_t to, cuts, stops;
	int err;

	pthread_mutex_lock(&server.lock);
	stops = server.stops;
	server.stops = 0;
	err = server.fails > 0 ? server.err : 0;
	server.fails -= server.fails > 0;
	cuts = server.cuts;
	pthread_mutex_unlock(&server.lock);
	if (err)
		return reason_set(why, err, "the server does not want to");
	if (*f->validator && strcmp(f->validator, server.validator))
		return reason_set(why, ESTALE, "it is another now");
	err = f->begin(f, &content, why);
	if (err)
		return err;
	to = f->length ? f->offset + f->length : server.size;
	if (to > server.size)
		to = server.size;
	if (stops && to > f->offset + stops)
		to = f->offset + stops;
	for (uint64_t at = f->offset; at < to;) {
		size_t n = to - at < 16 * KIB ? (size_t)(to - at) : 16 * KIB;
		char piece[16 * KIB];

		if (cuts && at - f->offset + n > cuts)
			return reason_set(why, server.err, "it broke off");
		memcpy(piece, server.bytes + at, n);
		if (server.flips && at <= server.flips && server.flips < at + n)
			piece[server.flips - at] ^= 1;
		pthread_mutex_lock(&server.lock);
		while (server.pauses && at - f->offset >= server.pauses && !server.ends)
			pthread_cond_wait(&server.cond, &server.lock);
		server.given += n;
		pthread_mutex_unlock(&server.lock);
		err = f->data(f, piece, n, why);
		if (err)
			return err;
		at += n;
	}
	return 0;
}

static void *server_main(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&server.lock);
	for (;;) {
		struct ask *ask = NULL, **at;
		struct reason why = { 0 };
		int err;

		for (at = &server.asks; *at; at = &(*at)->next)
			if (!server.holds || (*at)->cancelled) {
				ask = *at;
				*at = ask->next;
				break;
			}
		if (!ask && server.ends)
			break;
		if (!ask) {
			pthread_cond_wait(&server.cond, &server.lock);
			continue;
		}
		ask->f->kind = NULL;
		pthread_mutex_unlock(&server.lock);
		err = ask->cancelled ? reason_set(&why, ECANCELED, "cancelled") : server_give(ask->f, &why);
		ask->f->done(ask->f, -err, &why);
		if (server.next)
			snprintf(server.validator, sizeof(server.validator), "%s", server.next);
		server.next = NULL;
		free(ask);
		pthread_mutex_lock(&server.lock);
		pthread_cond_broadcast(&server.cond);
	}
	pthread_mutex_unlock(&server.lock);
	return NULL;
}

static int server_fetch(void *repo, struct repo_fetch *f, struct reason *why)
{
	struct ask *ask = calloc(1, sizeof(*ask)), **at;

	(void)repo;
	(void)why;
	assert_non_null(ask);
	ask->f = f;
	pthread_mutex_lock(&server.lock);
	f->kind = ask;
	server.requests++;
	server.last_to = f->offset + f->length;
	for (at = &server.asks; *at; at = &(*at)->next)
		;
	*at = ask;
	pthread_cond_broadcast(&server.cond);
	pthread_mutex_unlock(&server.lock);
	return 0;
}

static void server_cancel(void *repo, struct repo_fetch *f)
{
	(void)repo;
	pthread_mutex_lock(&server.lock);
	server.cancels++;
	if (f->kind)
		((struct ask *)f->kind)->cancelled = true;
	pthread_cond_broadcast(&server.cond);
	pthread_mutex_unlock(&server.lock);
}

static const struct repo_kind kind = { .version = REPO_ABI, .name = "test", .fetch = server_fetch,
				       .fetch_cancel = server_cancel };

static void server_has(uint64_t size, unsigned seed, const char *validator)
{
	server.bytes = realloc(server.bytes, size + 1);
	server.size = size;
	for (uint64_t i = 0; i < size; i++) {
		seed = seed * 1103515245 + 12345;
		server.bytes[i] = (char)(seed >> 16);
	}
	snprintf(server.validator, sizeof(server.validator), "%s", validator);
}

static void server_holds(bool holds)
{
	pthread_mutex_lock(&server.lock);
	server.holds = holds;
	pthread_cond_broadcast(&server.cond);
	pthread_mutex_unlock(&server.lock);
}

static void server_pauses(uint64_t bytes)
{
	pthread_mutex_lock(&server.lock);
	server.pauses = bytes;
	pthread_cond_broadcast(&server.cond);
	pthread_mutex_unlock(&server.lock);
}

static unsigned requests(void)
{
	unsigned n;

	pthread_mutex_lock(&server.lock);
	n = server.requests;
	pthread_mutex_unlock(&server.lock);
	return n;
}

static uint64_t given(void)
{
	uint64_t n;

	pthread_mutex_lock(&server.lock);
	n = server.given;
	pthread_mutex_unlock(&server.lock);
	return n;
}

/* Up to where the last request went. */
static uint64_t last_to(void)
{
	uint64_t to;

	pthread_mutex_lock(&server.lock);
	to = server.last_to;
	pthread_mutex_unlock(&server.lock);
	return to;
}

/* --- what is told of it ----------------------------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	unsigned refused, replaced, sized, asked;
	int last_err;
	char sha256[SHA256_HEX];
	bool offline;
} told = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool tell_offline(const struct origin *o, bool *now, struct reason *why)
{
	(void)o;
	*now = true;
	if (told.offline)
		reason_set(why, EHOSTUNREACH, "it is offline");
	return told.offline;
}

static void tell_asked(const struct origin *o, int err, const struct reason *why)
{
	(void)o;
	(void)why;
	pthread_mutex_lock(&told.lock);
	told.asked++;
	told.last_err = err;
	pthread_mutex_unlock(&told.lock);
}

static void tell_replaced(const struct origin *o)
{
	(void)o;
	pthread_mutex_lock(&told.lock);
	told.replaced++;
	pthread_mutex_unlock(&told.lock);
}

static unsigned replaced_told(void)
{
	unsigned n;

	pthread_mutex_lock(&told.lock);
	n = told.replaced;
	pthread_mutex_unlock(&told.lock);
	return n;
}

static void tell_refused(const struct origin *o, const struct reason *why, const char *sha256, uint64_t size)
{
	(void)o;
	(void)size;
	assert_int_equal(why->err, EBADMSG);
	pthread_mutex_lock(&told.lock);
	told.refused++;
	memcpy(told.sha256, sha256, SHA256_HEX);
	pthread_mutex_unlock(&told.lock);
}

static void tell_sized(const struct origin *o, uint64_t size)
{
	(void)o;
	assert_int_equal(size, server.size);
	told.sized++;
}

static const struct origin_ops tells = { .offline = tell_offline, .asked = tell_asked, .replaced = tell_replaced,
					 .refused = tell_refused, .sized = tell_sized };

/* --- around each claim ------------------------------------------------------------------------ */

static struct store *store;
static uint64_t quota;

static int begin(void **state)
{
	struct reason why = { 0 };

	server.requests = server.cancels = 0;
	server.given = server.cuts = server.flips = server.stops = server.pauses = 0;
	server.next = NULL;
	server.holds = server.ends = false;
	server.fails = 0;
	server.tells_size = true;
	told.refused = told.replaced = told.sized = told.asked = 0;
	told.offline = false;
	quota = 0;
	if (place_make(state))
		return -1;
	store = open_ok(*state, true);
	if (contents_start(store, 0, true, &why))
		fail_msg("contents_start: %s", why.text);
	return pthread_create(&server.thread, NULL, server_main, NULL);
}

static void server_end(void)
{
	pthread_mutex_lock(&server.lock);
	server.ends = true;
	server.holds = false;
	pthread_cond_broadcast(&server.cond);
	pthread_mutex_unlock(&server.lock);
	pthread_join(server.thread, NULL);
}

static int end(void **state)
{
	contents_stop();
	server_end();
	store_close(store);
	return place_remove(state);
}

/* A worker dies and another takes over: nothing is noted on the way. */
static void restart(struct place *p, bool clean)
{
	struct reason why = { 0 };

	(void)clean;
	contents_stop();
	store_close(store);
	store = open_ok(p, false);
	if (contents_start(store, quota, false, &why))
		fail_msg("contents_start: %s", why.text);
}

static struct origin *origin_listed(uint64_t size, const char *validator, const char *algo, const char *digest)
{
	struct origin *o = origin_new();

	o->ops = &tells;
	o->kind = &kind;
	o->entry = 1;
	o->patience_ms = 60000;
	snprintf(o->id, sizeof(o->id), "id");
	snprintf(o->name, sizeof(o->name), "test/image");
	o->has_size = size != UINT64_MAX;
	o->size = o->has_size ? size : 0;
	snprintf(o->validator, sizeof(o->validator), "%s", validator);
	snprintf(o->digest_algo, sizeof(o->digest_algo), "%s", algo ? algo : "");
	snprintf(o->digest, sizeof(o->digest), "%s", digest ? digest : "");
	origin_key(o, 1, 12345, o->size);
	return o;
}

static void digest_of(const char *algo, const void *bytes, size_t n, char hex[DIGEST_HEX])
{
	struct digest *d = digest_new_of(algo);

	assert_non_null(d);
	digest_update(d, bytes, n);
	digest_text(d, hex);
	digest_free(d);
}

static struct content *open_it(struct origin *o)
{
	struct content *c = NULL;
	struct reason why = { 0 };

	if (content_open(o, 0, &c, &why))
		fail_msg("content_open: %s", why.text);
	content_opened(c);
	return c;
}

static void close_it(struct content *c)
{
	content_closed(c);
	content_put(c);
}

/* A reader that waits in its own thread's place. */
struct reader {
	struct content_wait wait;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool over;
	int err;
};

static void reader_done(struct content_wait *wait, int err, const struct reason *why)
{
	struct reader *r = (struct reader *)wait;

	assert_true(!err || why->text[0]);
	pthread_mutex_lock(&r->lock);
	r->over = true;
	r->err = err;
	pthread_cond_broadcast(&r->cond);
	pthread_mutex_unlock(&r->lock);
}

static void reader_begin(struct reader *r)
{
	memset(r, 0, sizeof(*r));
	r->wait.done = reader_done;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->cond, NULL);
}

static void reader_ask(struct reader *r, struct content *c, uint64_t from, uint64_t to)
{
	struct reason why = { 0 };
	int n;

	reader_begin(r);
	n = to == UINT64_MAX ? content_want_whole(c, &r->wait, &why) : content_want(c, from, to, &r->wait, &why);
	if (n) {
		r->over = true;
		r->err = n < 0 ? -n : 0;
	}
}

static int reader_end(struct reader *r)
{
	struct timespec until;
	bool over;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += READER_S;
	pthread_mutex_lock(&r->lock);
	while (!r->over && !pthread_cond_clockwait(&r->cond, &r->lock, CLOCK_MONOTONIC, &until))
		;
	over = r->over;
	pthread_mutex_unlock(&r->lock);
	if (!over)
		fail_msg("a reader of %d s got no answer", READER_S);
	return r->err;
}

/* 0 and right bytes, or a positive errno. */
static int read_range(struct content *c, uint64_t from, uint64_t to)
{
	struct reader r;
	char *bytes = malloc(to - from);
	uint64_t end = to < server.size ? to : server.size;
	ssize_t n;
	int err;

	reader_ask(&r, c, from, to);
	err = reader_end(&r);
	n = err ? 0 : content_read(c, bytes, to - from, from);
	if (n < 0)
		err = (int)-n;
	if (!err) {
		assert_int_equal(n, from < end ? end - from : 0);
		if (n)
			assert_memory_equal(bytes, server.bytes + from, n);
	}
	free(bytes);
	return err;
}

static int read_all(struct content *c, uint64_t step)
{
	int err = 0;

	for (uint64_t at = 0; !err && at < server.size; at += step)
		err = read_range(c, at, at + step);
	return err;
}

static int whole(struct content *c)
{
	struct reader r;

	reader_ask(&r, c, 0, UINT64_MAX);
	return reader_end(&r);
}

#pragma GCC diagnostic pop

#undef CLAIM
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
