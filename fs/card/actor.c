// SPDX-License-Identifier: Apache-2.0
/*
 * The actor: one thread a card, alone in touching it.
 *
 * It sleeps in poll() on two descriptors, its own eventfd (jobs, interrupts,
 * wake-ups of the backend) and the backend's, and never polls by time. At its
 * end every job still queued is run with `end` set, so that nobody waits for
 * an answer that does not come.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fs/card/card.h"
#include "fs/card/io.h"

#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/* Formatting, jansson and sqlite go a few frames deep; nothing here recurses. */
#define ACTOR_STACK (256 * 1024)

static void eventfd_signal(int fd)
{
	uint64_t one = 1;

	/* A full counter is already a signal. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

static void eventfd_drain(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return;
}

void actor_wake(struct card *card)
{
	eventfd_signal(card->wake_fd);
}

void actor_cancel(struct card *card)
{
	eventfd_signal(card->cancel_fd);
}

bool actor_post(struct card *card, struct job *job)
{
	bool taken;

	job->next = NULL;
	pthread_mutex_lock(&card->lock);
	taken = !card->ending;
	if (taken) {
		*card->jobs_end = job;
		card->jobs_end = &job->next;
	}
	pthread_mutex_unlock(&card->lock);
	if (taken)
		actor_wake(card);
	return taken;
}

static struct job *actor_next(struct card *card, bool *ending)
{
	struct job *job;

	pthread_mutex_lock(&card->lock);
	job = card->jobs;
	if (job) {
		card->jobs = job->next;
		if (!card->jobs)
			card->jobs_end = &card->jobs;
	}
	*ending = card->ending;
	pthread_mutex_unlock(&card->lock);
	return job;
}

static void actor_news(struct card *card)
{
	struct reason why = { 0 };
	unsigned news = card->backend->pump(card->handle, &why);

	if (news & CARD_NEWS_GONE)
		card_gone(card, &why);
	else if (news & CARD_NEWS_LOST)
		card_lost(card, &why);
	else if (news & CARD_NEWS_BACK)
		card_take_up(card);
	if (news & CARD_NEWS_READY)
		io_news(card);
}

static void *actor_main(void *arg)
{
	struct card *card = arg;
	char name[16];
	bool ending = false;

	snprintf(name, sizeof(name), "card-%u", card->dev);
	pthread_setname_np(pthread_self(), name);
	card_take_up(card);
	cards_taken_up();

	while (!ending) {
		struct job *job = actor_next(card, &ending);

		if (job) {
			job->run(card, job, ending);
			ending = false; /* the queue is emptied first */
			continue;
		}
		if (ending)
			break;
		if (card->handle)
			io_interrupted(card);

		struct pollfd fds[2] = {
			{ .fd = card->wake_fd, .events = POLLIN },
			{ .fd = card->handle && card->backend->poll_fd
					? card->backend->poll_fd(card->handle) : -1,
			  .events = POLLIN },
		};

		if (poll(fds, 2, -1) < 0 && errno != EINTR) {
			log_error("dev%u: poll: %m", card->dev);
			break;
		}
		if (fds[0].revents) {
			eventfd_drain(card->wake_fd);
			/* A backend may have been woken by a thread of its own. */
			if (card->handle && card->backend->pump)
				actor_news(card);
		} else if (fds[1].revents && card->handle) {
			actor_news(card);
		}
	}
	io_close_all(card);
	if (card->handle)
		card->backend->close(card->handle, card->last);
	card->handle = NULL;
	return NULL;
}

int actor_start(struct card *card)
{
	pthread_attr_t attr;
	int err;

	card->jobs_end = &card->jobs;
	card->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	card->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (card->wake_fd < 0 || card->cancel_fd < 0)
		return -errno;
	pthread_attr_init(&attr);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	pthread_attr_setstacksize(&attr, ACTOR_STACK);
#endif
	err = pthread_create(&card->thread, &attr, actor_main, card);
	pthread_attr_destroy(&attr);
	return -err;
}
