// SPDX-License-Identifier: Apache-2.0
/*
 * The listings that are being taken over (catalogue.h): what comes is collected in pieces, and one
 * thread writes the pieces of all of them in the order in which they came. Who reads from a server
 * waits neither for the disk nor for a card's commit, unless QUEUE_MAX of entries wait already.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue_in.h"

/* A piece is a transaction: the first is small, so that writing begins while the list still comes,
 * then they grow, since what many rows change of the same pages is written once. */
#define PIECE_FIRST (32 << 10)
#define PIECE_MAX   (512 << 10)
#define QUEUE_MAX   (4 << 20)

struct piece {
	struct piece *next;
	struct catalogue_update *update;
	size_t used, room;
	_Alignas(8) char bytes[];
};

struct catalogue_queue {
	struct store *store;
	pthread_mutex_t lock; /* a leaf */
	pthread_cond_t wake;  /* the thread: there is a piece, or an end */
	pthread_cond_t moved; /* others: a piece was written */
	struct piece *first, **last;
	size_t bytes; /* that wait or are being written */
	void (*room)(void);
	bool refused; /* who asked for room was told that there is none */
	bool started, quit;
	pthread_t thread;
};

/* --- the thread ------------------------------------------------------------------------------ */

/* The next one, with what it is of; NULL: the end. */
static struct piece *piece_take(struct catalogue_queue *q, bool *skip)
{
	struct piece *piece;

	pthread_mutex_lock(&q->lock);
	while (!q->first && !q->quit)
		pthread_cond_wait(&q->wake, &q->lock);
	piece = q->first;
	if (piece) {
		q->first = piece->next;
		if (!q->first)
			q->last = &q->first;
		*skip = piece->update->failed.err;
	}
	pthread_mutex_unlock(&q->lock);
	return piece;
}

/* It is written, or failed. Who waits for the last of a listing may free that at once. */
static void piece_done(struct catalogue_queue *q, struct piece *piece, const struct reason *why)
{
	struct catalogue_update *u = piece->update;
	void (*flushed)(void *arg) = NULL, (*room)(void) = NULL;
	void *arg = NULL;

	pthread_mutex_lock(&q->lock);
	q->bytes -= piece->room;
	if (why->err && !u->failed.err)
		u->failed = *why;
	if (!--u->waiting) {
		flushed = u->flushed;
		arg = u->flushed_arg;
		u->flushed = NULL;
	}
	if (q->refused && q->bytes <= QUEUE_MAX / 2) {
		q->refused = false;
		room = q->room;
	}
	pthread_cond_broadcast(&q->moved);
	pthread_mutex_unlock(&q->lock);
	free(piece);
	if (room)
		room();
	if (flushed)
		flushed(arg);
}

static void *queue_main(void *arg)
{
	struct catalogue_queue *q = arg;
	struct piece *piece;
	bool skip = false;

	while ((piece = piece_take(q, &skip))) {
		struct reason why = { 0 };

		if (!skip && store_listed_write(piece->update, piece->bytes, piece->used, &why) && !why.err)
			why.err = EIO;
		piece_done(q, piece, &why);
	}
	return NULL;
}

int store_queue_start(struct store *store, struct reason *why)
{
	struct catalogue_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return reason_set(why, ENOMEM, "no memory for the store");
	q->store = store;
	q->last = &q->first;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->wake, NULL);
	pthread_cond_init(&q->moved, NULL);
	store->queue = q;
	return 0;
}

/* With the first listing: most who have cards have no repositories. */
static int thread_need(struct catalogue_queue *q, struct reason *why)
{
	sigset_t all, before;
	int err = 0;

	pthread_mutex_lock(&q->lock);
	if (!q->started) {
		/* Signals belong to the threads that asked for them. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		err = pthread_create(&q->thread, NULL, queue_main, q);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (!err) {
			q->started = true;
			pthread_setname_np(q->thread, "store-listed");
		}
	}
	pthread_mutex_unlock(&q->lock);
	return err ? reason_set(why, err, "cannot start the store's thread: %s", strerror(err)) : 0;
}

void store_queue_stop(struct store *store)
{
	struct catalogue_queue *q = store->queue;

	if (!q)
		return;
	pthread_mutex_lock(&q->lock);
	q->quit = true;
	pthread_cond_signal(&q->wake);
	pthread_mutex_unlock(&q->lock);
	if (q->started)
		pthread_join(q->thread, NULL);
	pthread_cond_destroy(&q->wake);
	pthread_cond_destroy(&q->moved);
	pthread_mutex_destroy(&q->lock);
	free(q);
	store->queue = NULL;
}

/* --- what comes in --------------------------------------------------------------------------- */

int catalogue_update_new(struct store *store, uint64_t repo,
			 void (*changed)(uint64_t id, unsigned version, void *arg),
			 void *arg, struct catalogue_update **out, struct reason *why)
{
	struct catalogue_update *u = calloc(1, sizeof(*u));
	int err = u ? thread_need(store->queue, why) : reason_set(why, ENOMEM, "no memory for a listing");

	if (!err) {
		*u = (struct catalogue_update){ .store = store, .repo = repo, .changed = changed, .arg = arg };
		err = store_listed_range(u, why);
	}
	if (err)
		free(u);
	else
		*out = u;
	return err;
}

/* What was collected goes to the thread, when there is room; or the error of what went before. */
static int piece_send(struct catalogue_update *u, struct reason *why)
{
	struct catalogue_queue *q = u->store->queue;
	struct piece *piece = u->filling;
	int err;

	u->filling = NULL;
	pthread_mutex_lock(&q->lock);
	while (piece && q->bytes > QUEUE_MAX && !u->failed.err)
		pthread_cond_wait(&q->moved, &q->lock);
	err = -u->failed.err;
	if (err && why)
		*why = u->failed;
	if (piece && !err) {
		*q->last = piece;
		q->last = &piece->next;
		q->bytes += piece->room;
		u->waiting++;
		piece = NULL;
		pthread_cond_signal(&q->wake);
	}
	pthread_mutex_unlock(&q->lock);
	free(piece);
	return err;
}

static int piece_new(struct catalogue_update *u, size_t bytes, struct reason *why)
{
	size_t room = u->piece_bytes ? u->piece_bytes : PIECE_FIRST;
	struct piece *piece;

	u->piece_bytes = room < PIECE_MAX ? 2 * room : room;
	room = bytes > room ? bytes : room;
	piece = malloc(sizeof(*piece) + room);
	if (!piece)
		return reason_set(why, ENOMEM, "no memory for a listing");
	*piece = (struct piece){ .update = u, .room = room };
	u->filling = piece;
	return 0;
}

static uint32_t pairs_length(const char *const *pairs)
{
	size_t n = 0;

	for (unsigned i = 0; pairs && i / 2 < REPO_PROPERTIES_MAX && pairs[i] && pairs[i | 1]; i++)
		n += strlen(pairs[i]) + 1;
	return (uint32_t)n;
}

int catalogue_update_put(struct catalogue_update *u, const struct catalogue_put *put, struct reason *why)
{
	const struct repo_entry *e = put->entry;
	const char *texts[LISTED_TEXTS] = {
		[LISTED_ID] = e->id, [LISTED_NAME] = put->name, [LISTED_STATUS] = e->status,
		[LISTED_ALGO] = e->digest_algo, [LISTED_DIGEST] = e->digest_algo ? e->digest : NULL,
		[LISTED_VALIDATOR] = e->validator, [LISTED_FACTS] = put->facts,
	};
	struct listed head = {
		.bytes = sizeof(head), .facts = put->facts, .rank = (uint8_t)e->rank, .data = (uint8_t)e->data,
		.flags = e->has_size ? e->size_rounded ? 3 : 1 : 0, .size = e->has_size ? (int64_t)e->size : 0,
		.mtime_ns = e->mtime_ns, .properties_len = pairs_length(e->properties),
	};
	int err = 0;
	char *at;

	for (int i = 0; i < LISTED_TEXTS; i++) {
		head.len[i] = texts[i] ? (uint32_t)strlen(texts[i]) : 0;
		head.bytes += head.len[i] + 1;
	}
	head.bytes = (head.bytes + head.properties_len + 7) & ~(size_t)7;
	if (u->filling && u->filling->room - u->filling->used < head.bytes)
		err = piece_send(u, why);
	if (!err && !u->filling)
		err = piece_new(u, head.bytes, why);
	if (err)
		return err;
	at = u->filling->bytes + u->filling->used;
	u->filling->used += head.bytes;
	memcpy(at, &head, sizeof(head));
	at += sizeof(head);
	for (int i = 0; i < LISTED_TEXTS; i++) {
		memcpy(at, texts[i] ? texts[i] : "", head.len[i] + 1);
		at += head.len[i] + 1;
	}
	for (uint32_t i = 0, done = 0; done < head.properties_len; i++) {
		size_t n = strlen(e->properties[i]) + 1;

		memcpy(at + done, e->properties[i], n);
		done += (uint32_t)n;
	}
	return 0;
}

void catalogue_room_listen(struct store *store, void (*room)(void))
{
	store->queue->room = room;
}

bool catalogue_update_room(struct catalogue_update *u)
{
	struct catalogue_queue *q = u->store->queue;
	bool room;

	pthread_mutex_lock(&q->lock);
	room = q->bytes <= QUEUE_MAX - PIECE_MAX || u->failed.err;
	q->refused = q->refused || !room;
	pthread_mutex_unlock(&q->lock);
	return room;
}

void catalogue_update_flush(struct catalogue_update *u, void (*fn)(void *arg), void *arg)
{
	struct catalogue_queue *q = u->store->queue;
	bool now;

	/* Its error is told by the end. */
	(void)piece_send(u, NULL);
	pthread_mutex_lock(&q->lock);
	now = !u->waiting;
	if (!now) {
		u->flushed = fn;
		u->flushed_arg = arg;
	}
	pthread_mutex_unlock(&q->lock);
	if (now)
		fn(arg);
}

static void written_wait(struct catalogue_update *u)
{
	struct catalogue_queue *q = u->store->queue;

	pthread_mutex_lock(&q->lock);
	while (u->waiting)
		pthread_cond_wait(&q->moved, &q->lock);
	pthread_mutex_unlock(&q->lock);
}

int catalogue_update_end(struct catalogue_update *u, bool drop_rest, struct reason *why)
{
	int err = piece_send(u, why);

	written_wait(u);
	if (!err && u->failed.err) {
		err = -u->failed.err;
		if (why)
			*why = u->failed;
	}
	return err || !drop_rest ? err : store_listed_drop_rest(u, why);
}

void catalogue_update_counts(const struct catalogue_update *u, struct catalogue_counts *counts)
{
	*counts = u->counts;
}

void catalogue_update_free(struct catalogue_update *u)
{
	struct catalogue_queue *q;

	if (!u)
		return;
	q = u->store->queue;
	pthread_mutex_lock(&q->lock);
	if (!u->failed.err)
		u->failed.err = ECANCELED;
	pthread_mutex_unlock(&q->lock);
	written_wait(u);
	free(u->filling);
	free(u->stale);
	free(u->seen);
	free(u);
}
