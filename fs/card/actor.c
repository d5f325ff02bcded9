// SPDX-License-Identifier: Apache-2.0
/*
 * The actor: one thread a card (or a slot), alone in touching it.
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

void actor_wake(struct actor *actor)
{
	eventfd_signal(actor->wake_fd);
}

void actor_cancel(struct actor *actor)
{
	eventfd_signal(actor->cancel_fd);
}

bool actor_post(struct actor *actor, struct job *job)
{
	bool taken;

	job->next = NULL;
	pthread_mutex_lock(&actor->card->lock);
	taken = !actor->ending;
	if (taken) {
		*actor->jobs_end = job;
		actor->jobs_end = &job->next;
	}
	pthread_mutex_unlock(&actor->card->lock);
	if (taken)
		actor_wake(actor);
	return taken;
}

void actor_end(struct actor *actor, bool last)
{
	pthread_mutex_lock(&actor->card->lock);
	actor->last = last;
	actor->ending = true;
	pthread_mutex_unlock(&actor->card->lock);
	actor_wake(actor);
}

struct actor *card_actor(struct card *card, unsigned nth)
{
	if (!nth)
		return &card->actor;
	return card->slot_actors && nth <= card->slots_len ? &card->slot_actors[nth - 1] : NULL;
}

static struct job *actor_next(struct actor *actor, bool *ending)
{
	struct job *job;

	pthread_mutex_lock(&actor->card->lock);
	job = actor->jobs;
	if (job) {
		actor->jobs = job->next;
		if (!actor->jobs)
			actor->jobs_end = &actor->jobs;
	}
	*ending = actor->ending;
	pthread_mutex_unlock(&actor->card->lock);
	return job;
}

static void actor_news(struct actor *actor)
{
	struct reason why = { 0 };
	unsigned news = actor->card->backend->pump(actor->handle, &why);

	if (news & CARD_NEWS_GONE)
		actor_gone(actor, &why);
	else if (news & CARD_NEWS_LOST)
		actor_lost(actor, &why);
	else if (news & CARD_NEWS_BACK)
		actor_take_up(actor);
	if (news & CARD_NEWS_ALERT)
		actor_alert(actor, &why);
	if (news & CARD_NEWS_READY)
		io_news(actor);
}

static void *actor_main(void *arg)
{
	struct actor *actor = arg;
	struct card *card = actor->card;
	char name[32];
	bool ending = false;

	if (actor->slot->index < 0)
		snprintf(name, sizeof(name), "card-%u", card->dev);
	else
		snprintf(name, sizeof(name), "card-%u.%d", card->dev, actor->slot->index);
	name[15] = '\0'; /* the kernel takes no more */
	pthread_setname_np(pthread_self(), name);
	if (actor->slot->index < 0) {
		/* The slots' actors are told to follow. */
		actor_take_up(actor);
		cards_taken_up(actor);
	}

	while (!ending) {
		struct job *job = actor_next(actor, &ending);

		if (job) {
			job->run(card, job, ending);
			ending = false; /* the queue is emptied first */
			continue;
		}
		if (ending)
			break;
		if (actor->handle)
			io_interrupted(actor);

		struct pollfd fds[2] = {
			{ .fd = actor->wake_fd, .events = POLLIN },
			{ .fd = actor->handle && card->backend->poll_fd
					? card->backend->poll_fd(actor->handle) : -1,
			  .events = POLLIN },
		};

		if (poll(fds, 2, -1) < 0 && errno != EINTR) {
			log_error("%s: poll: %m", actor->slot->name);
			break;
		}
		if (fds[0].revents) {
			eventfd_drain(actor->wake_fd);
			/* A backend may have been woken by a thread of its own. */
			if (actor->handle && card->backend->pump)
				actor_news(actor);
		} else if (fds[1].revents && actor->handle) {
			actor_news(actor);
		}
	}
	io_close_all(actor);
	if (actor->handle)
		card->backend->close(actor->handle, actor->last);
	actor->handle = NULL;
	return NULL;
}

static void host_wake(const struct card_host *host)
{
	actor_wake(host->core);
}

int actor_init(struct actor *actor, struct card *card, struct slot *slot)
{
	actor->card = card;
	actor->slot = slot;
	actor->host = (struct card_host){ .dev = card->dev, .slot = slot->index,
					  .run_dir = store_run_dir(card->store), .fresh = actor->fresh,
					  .self_exe = "/proc/self/exe", .wake = host_wake, .core = actor };
	actor->jobs_end = &actor->jobs;
	actor->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	actor->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return actor->wake_fd < 0 || actor->cancel_fd < 0 ? -errno : 0;
}

int actor_start(struct actor *actor)
{
	pthread_attr_t attr;
	int err;

	pthread_attr_init(&attr);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	pthread_attr_setstacksize(&attr, ACTOR_STACK);
#endif
	err = pthread_create(&actor->thread, &attr, actor_main, actor);
	pthread_attr_destroy(&attr);
	return -err;
}
