// SPDX-License-Identifier: Apache-2.0
/*
 * Who has the content of an upload, and in which order (upload.h).
 *
 * A large write that goes on where the last one ended is answered when its bytes are
 * in the spool; recogniser and hash get them behind the answer, by the same thread,
 * whose buffer they are in. So the next write is received and spooled on another core
 * meanwhile, and a copy takes as long as the slower of the two and not their sum. Each
 * such write has a turn, and turns are taken in the order of the bytes. Whoever wants the
 * content for anything else waits for all of them; there are never more than threads that
 * receive. Turns do not survive their worker: its successor reads the spool.
 */
#include "fs/card/upload.h"

/* lock held */
static bool content_is_free(const struct upload *u)
{
	return u->owner == CONTENT_FREE && u->turns_done == u->turns;
}

/* lock held; for threads, who do not wait for the judge */
static void threads_wait(struct upload *u)
{
	u->waiting++;
	while (u->owner != CONTENT_JUDGE && !content_is_free(u))
		pthread_cond_wait(&u->left, &u->lock);
	u->waiting--;
}

bool upload_enter(struct upload *u)
{
	bool mine;

	pthread_mutex_lock(&u->lock);
	threads_wait(u);
	mine = u->owner == CONTENT_FREE;
	if (mine)
		u->owner = CONTENT_THREAD;
	pthread_mutex_unlock(&u->lock);
	return mine;
}

void upload_judge_enter(struct upload *u)
{
	pthread_mutex_lock(&u->lock);
	u->waiting++;
	while (!content_is_free(u))
		pthread_cond_wait(&u->left, &u->lock);
	u->waiting--;
	u->owner = CONTENT_JUDGE;
	u->next_off = UPLOAD_NO_NEXT;
	u->stop.err = 0;
	pthread_mutex_unlock(&u->lock);
}

void upload_leave(struct upload *u)
{
	pthread_mutex_lock(&u->lock);
	if (u->drop_later) {
		/* Dropped meanwhile, and nobody drops it twice. */
		u->drop_later = false;
		pthread_mutex_unlock(&u->lock);
		upload_content_gone(u, UPLOAD_ENDED);
		pthread_mutex_lock(&u->lock);
	}
	u->owner = CONTENT_FREE;
	pthread_cond_broadcast(&u->left);
	pthread_mutex_unlock(&u->lock);
}

bool upload_stop_wanted(struct upload *u, struct reason *why)
{
	bool wanted;

	pthread_mutex_lock(&u->lock);
	wanted = u->stop.err;
	if (wanted)
		*why = u->stop;
	pthread_mutex_unlock(&u->lock);
	return wanted;
}

/* What the judge has in hand it throws away itself when it is done. */
void upload_content_drop(struct upload *u)
{
	bool later;

	pthread_mutex_lock(&u->lock);
	threads_wait(u);
	later = u->owner == CONTENT_JUDGE;
	if (later)
		u->drop_later = true;
	else
		u->owner = CONTENT_THREAD;
	pthread_mutex_unlock(&u->lock);
	if (later)
		return;
	upload_content_gone(u, UPLOAD_ENDED);
	upload_leave(u);
}

/* --- turns --------------------------------------------------------------------------- */

void upload_next_set(struct upload *u, uint64_t off)
{
	pthread_mutex_lock(&u->lock);
	u->next_off = off;
	pthread_mutex_unlock(&u->lock);
}

bool upload_enter_next(struct upload *u, uint64_t off, bool small)
{
	bool mine;

	pthread_mutex_lock(&u->lock);
	/* Nobody who waits for all turns may wait for ever because they go on and on. */
	mine = u->owner == CONTENT_FREE && u->next_off == off && !u->waiting &&
	       !(small && u->turns_done == u->turns);
	if (mine)
		u->owner = CONTENT_THREAD;
	pthread_mutex_unlock(&u->lock);
	return mine;
}

uint64_t upload_turn(struct upload *u, uint64_t next)
{
	uint64_t turn;

	pthread_mutex_lock(&u->lock);
	turn = ++u->turns;
	if (u->next_off != UPLOAD_NO_NEXT) /* a turn before may have found that it ends here */
		u->next_off = next;
	u->owner = CONTENT_FREE;
	pthread_cond_broadcast(&u->left);
	pthread_mutex_unlock(&u->lock);
	return turn;
}

void upload_turns_wait(struct upload *u)
{
	pthread_mutex_lock(&u->lock);
	while (u->turns_done != u->turns)
		pthread_cond_wait(&u->left, &u->lock);
	pthread_mutex_unlock(&u->lock);
}

void upload_turn_wait(struct upload *u, uint64_t turn)
{
	pthread_mutex_lock(&u->lock);
	while (u->turns_done + 1 != turn)
		pthread_cond_wait(&u->left, &u->lock);
	pthread_mutex_unlock(&u->lock);
}

void upload_turn_end(struct upload *u, uint64_t turn, bool last)
{
	pthread_mutex_lock(&u->lock);
	u->turns_done = turn;
	if (last)
		u->next_off = UPLOAD_NO_NEXT;
	pthread_cond_broadcast(&u->left);
	pthread_mutex_unlock(&u->lock);
}
