// SPDX-License-Identifier: Apache-2.0
/*
 * What is asked of a repository, and what it answers (content.h).
 *
 * A range is asked for once: what a fetch still has to bring is not asked for
 * again. Who begins with a large read gets 8 MiB more by the same request. Ahead of
 * a sequential reader the window ends at most eight times as far as he has read (or
 * 2 MiB), so that nobody fetches much that nobody reads; the next half of it is asked
 * for when one half is read, so that there is always a request on its way and a second
 * connection comes in when one is not enough. (Measured at 20 ms, of 100 MB: smaller
 * pieces take all connections while the window is small, and cost a round trip or two;
 * with 32 MiB ahead the reader waits for a round trip after each of them, as he
 * comes to their end sooner than the next request to its answer.)
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/remote/content_in.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

#define WINDOW_MIN (UINT64_C(2) << 20)
#define WINDOW_FIRST (UINT64_C(8) << 20)
#define WINDOW_MAX (UINT64_C(64) << 20)
#define AHEAD_TIMES UINT64_C(8)
#define READ_LARGE (UINT64_C(128) << 10)
#define PIECE_MAX (UINT64_C(16) << 20)
#define STREAM_SLACK (UINT64_C(512) << 10) /* reads of one reader come in any order within this */
#define SETTLE_MS 1500

/* How many fetches the kinds have. */
static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t out_cond = PTHREAD_COND_INITIALIZER;
static unsigned out;

static int fetch_begin(struct repo_fetch *f, const struct repo_content *content, struct reason *why);
static int fetch_data(struct repo_fetch *f, const void *bytes, size_t n, struct reason *why);
static void fetch_done(struct repo_fetch *f, int err, const struct reason *why);

static void out_change(int by)
{
	pthread_mutex_lock(&out_lock);
	out = (unsigned)((int)out + by);
	if (!out)
		pthread_cond_broadcast(&out_cond);
	pthread_mutex_unlock(&out_lock);
}

static void fetch_put(struct fetch *f)
{
	if (atomic_fetch_sub(&f->refs, 1) != 1)
		return;
	origin_put(f->origin);
	content_put(f->content);
	free(f->bytes);
	free(f);
	/* Last: whoever ends waits until nobody refers to a content. */
	out_change(-1);
}

/* --- what to ask for (lock held) ------------------------------------------------------------ */

/* Where the part that begins at `at` and that no fetch brings ends; at itself: it is brought. */
static uint64_t uncovered_end(const struct content *c, uint64_t at, uint64_t to, uint64_t *next)
{
	for (const struct fetch *f = c->fetches; f; f = f->next) {
		/* Of the chunk that it is in it has brought a part. */
		uint64_t from = f->marked * CHUNK_SIZE;

		if (f->cancelled)
			continue;
		if (from <= at && at < f->to) {
			*next = f->to;
			return at;
		}
		if (from > at && from < to)
			to = from;
	}
	*next = to;
	return to;
}

static void fetch_add(struct content *c, uint64_t from, uint64_t to, struct fetch **start)
{
	struct fetch *f = calloc(1, sizeof(*f));
	const struct origin *o = c->origin;

	if (!f)
		return; /* whoever waits is told by the deadline */
	atomic_init(&f->refs, 2);
	f->content = c;
	f->origin = c->origin;
	origin_get(f->origin);
	f->from = f->pos = from;
	f->to = to;
	f->marked = from / CHUNK_SIZE;
	/* Bytes with a digest are known by that, and a validator is that of one repository. */
	if (*c->algo)
		text_copy(f->validator, sizeof(f->validator), strcmp(o->key, c->key) ? "" : o->validator);
	else
		text_copy(f->validator, sizeof(f->validator), *c->validator ? c->validator : o->validator);
	f->f = (struct repo_fetch){ .id = f->origin->id, .validator = f->validator, .offset = from,
				    .length = to - from, .begin = fetch_begin, .data = fetch_data,
				    .done = fetch_done, .core = f };
	f->next = c->fetches;
	c->fetches = f;
	/* In this order: the first connection that is free is for what is read first. */
	while (*start)
		start = &(*start)->start;
	*start = f;
	if (!c->progress_ns || !f->next)
		c->progress_ns = clock_mono_ns();
}

void fetch_cover(struct content *c, uint64_t from, uint64_t to, struct fetch **start)
{
	uint64_t at = from / CHUNK_SIZE * CHUNK_SIZE;

	to = chunks_of(to) * CHUNK_SIZE;
	if (c->has_size && to > c->size)
		to = c->size;
	while (at < to) {
		uint64_t missing = chunks_missing(c->chunks, at / CHUNK_SIZE), end, next;

		if (missing * CHUNK_SIZE > at)
			at = missing * CHUNK_SIZE;
		if (at >= to)
			break;
		end = at;
		while (end < to && !chunks_has(c->chunks, end / CHUNK_SIZE))
			end += CHUNK_SIZE;
		if (end > to)
			end = to;
		end = uncovered_end(c, at, end, &next);
		if (end > at)
			fetch_add(c, at, end, start);
		at = next;
	}
}

static struct stream *stream_of(struct content *c, uint64_t from, uint64_t to)
{
	struct stream *s, *oldest = &c->streams[0];

	c->turn++;
	for (s = c->streams; s < c->streams + CONTENT_STREAMS; s++) {
		if (s->used && from <= s->next + STREAM_SLACK && to + STREAM_SLACK >= s->next) {
			s->used = c->turn;
			return s;
		}
		if (s->used < oldest->used)
			oldest = s;
	}
	*oldest = (struct stream){ .used = c->turn };
	return oldest;
}

/* What is ahead is reserved, too: of a small cache it takes no more than a part. */
static uint64_t window_most(uint64_t most, unsigned part)
{
	uint64_t used, quota;

	contents_usage(&used, &quota);
	return quota && quota / part < most ? quota / part : most;
}

/* How far ahead of somebody who reads on. */
static uint64_t window_of(const struct stream *s)
{
	uint64_t window = (AHEAD_TIMES - 1) * s->read, most = window_most(WINDOW_MAX, 4);

	window = window < most ? window : most;
	return window > WINDOW_MIN ? window : WINDOW_MIN;
}

void fetch_demand(struct content *c, uint64_t from, uint64_t to, struct fetch **start)
{
	struct stream *s = stream_of(c, from, to);
	bool on = s->read && to > s->next, first = !s->read && !from && to >= READ_LARGE;
	uint64_t window;

	if (c->has_size && to > c->size)
		to = c->size;
	if (from >= to)
		return;
	if (to > s->next) {
		s->read += s->read ? to - s->next : to - from;
		s->next = to;
	}
	if (s->ahead < to)
		s->ahead = to;
	/* A server that knows no ranges sends all of it anyway. */
	if (c->whole_only && c->has_size) {
		fetch_cover(c, 0, c->size, start);
		return;
	}
	/* Who begins with so much at once is no reader of headers: one request, and a round trip less. */
	if (first)
		s->ahead = to + window_most(WINDOW_FIRST, 16);
	fetch_cover(c, from, first ? s->ahead : to, start);
	/* Who reads once may only want to see what it is. */
	if (!on)
		return;
	/* When half of what was ahead is read, so that requests are few and there is always one on its way. */
	window = window_of(s);
	if (s->ahead - s->next > window / 2)
		return;
	while (s->ahead < s->next + window && !(c->has_size && s->ahead >= c->size)) {
		uint64_t end = s->next + window - s->ahead < PIECE_MAX ? s->next + window : s->ahead + PIECE_MAX;

		fetch_cover(c, s->ahead, end, start);
		s->ahead = chunks_of(end) * CHUNK_SIZE;
	}
}

void fetch_all(struct content *c, struct fetch **start)
{
	uint64_t on_its_way = 0, at = 0;

	for (const struct fetch *f = c->fetches; f; f = f->next)
		if (!f->cancelled)
			on_its_way += f->to - f->pos;
	/* How long it is has to be known first. A server that never tells is asked on and on until it has no more. */
	if (!c->has_size) {
		at = chunks_missing(c->chunks, 0) * CHUNK_SIZE;
		if (!c->fetches)
			fetch_cover(c, at, at + (at ? PIECE_MAX : CHUNK_SIZE), start);
		return;
	}
	if (c->whole_only) {
		fetch_cover(c, 0, c->size, start);
		return;
	}
	while (on_its_way < WINDOW_MAX && at < c->size) {
		uint64_t before = at, end, next;

		at = chunks_missing(c->chunks, at / CHUNK_SIZE) * CHUNK_SIZE;
		if (at < before)
			at = before;
		if (at >= c->size)
			break;
		end = at;
		while (end < c->size && end < at + PIECE_MAX && !chunks_has(c->chunks, end / CHUNK_SIZE))
			end += CHUNK_SIZE;
		if (end > c->size)
			end = c->size;
		end = uncovered_end(c, at, end, &next);
		if (end > at) {
			fetch_add(c, at, end, start);
			on_its_way += end - at;
		}
		at = next;
	}
}

/* What those want who wait. */
static void fetch_wanted(struct content *c, struct fetch **start)
{
	for (const struct content_wait *w = c->waits; w; w = w->next) {
		if (w->all)
			fetch_all(c, start);
		else
			fetch_cover(c, w->from, w->to, start);
	}
}

struct fetch *fetch_give_up(struct content *c)
{
	struct fetch *list = NULL;

	for (struct fetch *f = c->fetches; f; f = f->next) {
		if (f->cancelled)
			continue;
		f->cancelled = true;
		atomic_fetch_add(&f->refs, 1);
		f->start = list;
		list = f;
	}
	for (int i = 0; i < CONTENT_STREAMS; i++)
		c->streams[i].used = 0;
	return list;
}

/* --- asking (no lock) --------------------------------------------------------------------------- */

void fetches_settle(void)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += SETTLE_MS % 1000 * 1000000L;
	until.tv_sec += SETTLE_MS / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&out_lock);
	while (out && !pthread_cond_clockwait(&out_cond, &out_lock, CLOCK_MONOTONIC, &until))
		;
	if (out)
		log_warn("%u requests to repositories are left behind", out);
	pthread_mutex_unlock(&out_lock);
}

static void fetch_go(struct fetch *f)
{
	struct content *c = f->content;
	struct reason why = { 0 };
	bool cancelled;
	int err = 0;

	pthread_mutex_lock(&c->lock);
	cancelled = f->cancelled;
	pthread_mutex_unlock(&c->lock);
	if (!cancelled)
		err = usage_reserve(f->to - f->from, &why);
	if (fetch_hungers(f, err))
		return;
	if (!err && !cancelled)
		f->reserved = f->to - f->from;
	pthread_mutex_lock(&c->lock);
	cancelled = f->cancelled;
	pthread_mutex_unlock(&c->lock);
	if (!err && cancelled)
		err = reason_set(&why, ECANCELED, "nobody waits for it any more");
	if (!err)
		err = f->origin->kind->fetch(f->origin->repo, &f->f, &why);
	if (err) {
		fetch_done(&f->f, -err, &why);
		fetch_put(f);
		return;
	}
	pthread_mutex_lock(&c->lock);
	f->started = true;
	cancelled = f->cancelled;
	pthread_mutex_unlock(&c->lock);
	/* Given up while it was on its way to the kind. */
	if (cancelled)
		f->origin->kind->fetch_cancel(f->origin->repo, &f->f);
	fetch_put(f);
}

void fetch_start(struct fetch *list)
{
	/* Room may have to be made first. */
	if (list)
		loop_may_wait();
	while (list) {
		struct fetch *f = list;

		list = f->start;
		f->start = NULL;
		content_ref(f->content);
		out_change(1);
		fetch_go(f);
	}
}

bool fetches_retry(void)
{
	struct fetch *list = fetches_hungry();
	bool any = list;

	while (list) {
		struct fetch *f = list;

		list = f->start;
		f->start = NULL;
		fetch_go(f);
	}
	return any;
}

void fetch_cancel(struct fetch *list)
{
	while (list) {
		struct fetch *f = list;
		bool started;

		list = f->start;
		f->start = NULL;
		pthread_mutex_lock(&f->content->lock);
		started = f->started && !f->over;
		pthread_mutex_unlock(&f->content->lock);
		/* Else who starts it finds out. */
		if (started)
			f->origin->kind->fetch_cancel(f->origin->repo, &f->f);
		fetch_put(f);
	}
}

/* --- answers ----------------------------------------------------------------------------------------- */

/* lock held. What is there is not what was opened. */
static int replaced(const struct content *c, struct reason *why, const char *how)
{
	const char *name = c->origin->name;

	return reason_set(why, ESTALE, "%s was replaced while it was read: %s", name, how);
}

static int begin_locked(struct content *c, const struct repo_content *content, bool *sized, bool *told,
			struct reason *why)
{
	if (c->gone.err)
		return reason_set(why, ECANCELED, "nobody waits for it any more");
	if (content->has_size && c->has_size && content->size != c->size)
		return replaced(c, why, "its size is another");
	/* The kind has compared with what was asked for; these are both of what was sent. */
	if (!*c->algo && *content->validator && *c->sent && strcmp(content->validator, c->sent))
		return replaced(c, why, "its version is another");
	if (content->has_size && content->size > CHUNKS_MAX)
		return reason_set(why, EFBIG, "%s is larger than what can be cached", c->origin->name);
	if (content->has_size && !c->has_size) {
		c->has_size = *sized = true;
		c->size = content->size;
	}
	c->whole_only |= content->whole_only;
	/* The strongest that there is. */
	if (!*c->algo && *content->validator && !*c->sent) {
		text_copy(c->sent, sizeof(c->sent), content->validator);
		*told = strcmp(c->validator, c->sent);
		text_copy(c->validator, sizeof(c->validator), c->sent);
	}
	/* What was noted of it may be only what the listing said. */
	*told |= *sized;
	return 0;
}

static int fetch_begin(struct repo_fetch *rf, const struct repo_content *content, struct reason *why)
{
	struct fetch *f = rf->core;
	struct content *c = f->content;
	char validator[REPO_ID_MAX];
	bool sized = false, told = false;
	int err;

	pthread_mutex_lock(&c->lock);
	c->progress_ns = clock_mono_ns();
	err = begin_locked(c, content, &sized, &told, why);
	f->misfit = err == -ESTALE;
	if (!err && c->has_size && f->to > c->size)
		f->to = c->size > f->pos ? c->size : f->pos;
	text_copy(validator, sizeof(validator), c->validator);
	pthread_mutex_unlock(&c->lock);
	if (err)
		return err;
	if (told)
		err = cache_content_told(contents_store, c->id, c->has_size, c->size, validator, why);
	if (sized && f->origin->ops && f->origin->ops->sized)
		f->origin->ops->sized(f->origin, content->size);
	return err;
}

/* lock held: chunks that are complete by now. */
static int chunks_come(struct content *c, struct fetch *f, struct reason *why)
{
	bool end = c->has_size && f->pos >= c->size;
	uint64_t upto = end ? chunks_of(f->pos) : f->pos / CHUNK_SIZE;
	uint64_t before = content_bytes(c);
	int err;

	if (upto <= f->marked)
		return 0;
	err = chunks_mark(c->chunks, f->marked, upto - 1, why);
	f->marked = upto;
	/* Not those that another one brought before, nor what the last chunk is shorter. */
	f->came += content_bytes(c) - before;
	c->dirty = true;
	return err;
}

int fetch_written(struct fetch *f, size_t n, struct reason *why)
{
	struct content *c = f->content;
	struct content_wait *ready = NULL;
	struct fetch *start = NULL;
	uint64_t before = f->pos;
	bool step = before >> 20 != (before + n) >> 20;
	int err;

	pthread_mutex_lock(&c->lock);
	f->pos += n;
	if (c->gone.err) {
		err = reason_set(why, ECANCELED, "nobody waits for it any more");
	} else {
		err = chunks_come(c, f, why);
		ready = waits_ready(c);
		if (step) {
			waits_progress(c);
			if (!f->cancelled)
				fetch_wanted(c, &start);
		}
	}
	pthread_mutex_unlock(&c->lock);
	if (!err && (step || !before))
		hash_queue(c);
	waits_done(ready, 0, NULL);
	fetch_start(start);
	return err;
}

static int fetch_data(struct repo_fetch *rf, const void *bytes, size_t n, struct reason *why)
{
	struct fetch *f = rf->core;

	if (n > f->to - f->pos - f->held)
		return reason_set(why, EBADMSG, "%s: the repository sends more than was asked for", f->origin->name);
	pthread_mutex_lock(&f->content->lock);
	f->content->progress_ns = clock_mono_ns();
	pthread_mutex_unlock(&f->content->lock);
	return fetch_take(f, bytes, n, why);
}

/* lock held. It ended well; is it all? */
static int end_locked(struct content *c, struct fetch *f, bool *sized, struct reason *why)
{
	int err = 0;

	if (f->pos < f->to && !c->has_size) {
		c->has_size = *sized = true;
		c->size = f->pos;
		err = chunks_come(c, f, why);
	} else if (f->pos < f->to) {
		err = reason_set(why, EREMOTEIO, "%s: the repository gave only %" PRIu64 " of %" PRIu64 " bytes",
				 f->origin->name, f->pos - f->from, f->to - f->from);
	}
	return err;
}

static void fetch_unlink(struct content *c, struct fetch *f)
{
	for (struct fetch **at = &c->fetches; *at; at = &(*at)->next) {
		if (*at == f) {
			*at = f->next;
			return;
		}
	}
}

/* Somebody opened it by way of another image since: that one may have it. */
static bool other_image(const struct content *c, const struct fetch *f, int err)
{
	return c->origin != f->origin && c->origin->entry != f->origin->entry && error_is_of_origin(err);
}

/* Is another repository to be asked for the rest of it? */
static bool fetch_elsewhere(struct fetch *f, int err)
{
	struct content *c = f->content;
	bool wanted;

	if (!error_is_of_origin(err))
		return false;
	pthread_mutex_lock(&c->lock);
	wanted = !f->cancelled && !c->gone.err;
	pthread_mutex_unlock(&c->lock);
	return wanted && content_elsewhere(c, f->origin);
}

/* What came counts as cached, what did not as free. */
static void unreserve(struct fetch *f)
{
	usage_arrived(f->reserved);
	usage_release(f->reserved > f->came ? f->reserved - f->came : 0);
	f->reserved = 0;
}

/* What came last goes into the file, whatever the end is. */
static int fetch_outcome(struct fetch *f, int err, const struct reason *said, struct reason *why)
{
	int put = -fetch_flush(f, why);

	if (err)
		*why = said ? *said : (struct reason){ 0 };
	else
		err = put;
	if (err && !why->err)
		reason_set(why, err, "the repository gave no reason (%s)", errno_name(err));
	if (err && !strstr(why->text, f->origin->name))
		reason_wrap(why, "%s", f->origin->name);
	return err;
}

static void fetch_done(struct repo_fetch *rf, int err, const struct reason *said)
{
	struct fetch *f = rf->core, *start = NULL;
	struct content *c = f->content;
	struct content_wait *ready = NULL, *failed = NULL;
	struct reason why = { 0 };
	bool cancelled, sized = false, complete, drop, elsewhere;

	err = fetch_outcome(f, err, said, &why);
	elsewhere = fetch_elsewhere(f, err);
	pthread_mutex_lock(&c->lock);
	f->over = true;
	fetch_unlink(c, f);
	if (!err)
		err = -end_locked(c, f, &sized, &why);
	cancelled = f->cancelled;
	/* Bytes that a digest is known of are what they were, whatever this repository has by now. */
	drop = err == ESTALE && (!*c->algo || (f->misfit && !elsewhere));
	if (!err || cancelled || c->gone.err)
		ready = waits_ready(c);
	else if (!drop && (elsewhere || other_image(c, f, err)))
		fetch_cover(c, f->pos, f->to, &start);
	else if (!drop)
		failed = waits_failed(c, f->pos, f->to);
	if (!err)
		fetch_wanted(c, &start);
	complete = content_complete(c);
	pthread_mutex_unlock(&c->lock);

	unreserve(f);
	if (sized && !cache_content_told(contents_store, c->id, true, c->size, c->validator, NULL) &&
	    f->origin->ops && f->origin->ops->sized)
		f->origin->ops->sized(f->origin, c->size);
	if (!err && complete)
		hash_queue(c);
	if (f->origin->ops && f->origin->ops->asked && err != ECANCELED)
		f->origin->ops->asked(f->origin, err, &why);
	/* Before the reader hears of it: he may open it again at once. */
	if (!cancelled && (err == ESTALE || err == ENOENT) && f->origin->ops && f->origin->ops->replaced)
		f->origin->ops->replaced(f->origin);
	if (!cancelled && drop)
		content_drop(c, &why);
	waits_done(ready, 0, NULL);
	/* An image that is gone there: who has it open finds out. */
	waits_done(failed, err == ENOENT ? ESTALE : err, &why);
	fetch_start(start);
	fetch_put(f);
}
