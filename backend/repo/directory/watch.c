// SPDX-License-Identifier: Apache-2.0
/*
 * inotify on the folders that were listed, so that what changes on a local disk is
 * listed soon. On a network file system it sees what this machine changes and nothing
 * else, and where it cannot watch (too many folders) the age of the listing counts, as
 * it does anyway.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <fabricfs/log.h>

#include "backend/repo/directory/folder.h"

/* What ends a change: of a file that is being written, its close. */
#define MASK (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | \
	      IN_MOVE_SELF | IN_ONLYDIR)
#define WATCHES_MAX 4096

/* One folder may be in several repositories: then it is in here more than once. */
struct watch {
	int wd;
	struct folder *folder;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct watch *watches;
static size_t watches_len;
static int inotify_fd = -1, stop_fd = -1;
static pthread_t thread;

static bool has(int wd, const struct folder *folder)
{
	for (size_t i = 0; i < watches_len; i++)
		if (watches[i].wd == wd && (!folder || watches[i].folder == folder))
			return true;
	return false;
}

void watch_add(struct folder *folder, int dir)
{
	struct watch *more;
	char path[48];
	int wd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
	pthread_mutex_lock(&lock);
	if (inotify_fd >= 0 && folder->changed && watches_len < WATCHES_MAX) {
		wd = inotify_add_watch(inotify_fd, path, MASK);
		more = wd < 0 || has(wd, folder) ? NULL
						 : reallocarray(watches, watches_len + 1, sizeof(*watches));
		if (more) {
			watches = more;
			watches[watches_len++] = (struct watch){ .wd = wd, .folder = folder };
		}
	}
	pthread_mutex_unlock(&lock);
}

/* lock */
static void drop(size_t i)
{
	int wd = watches[i].wd;

	watches[i] = watches[--watches_len];
	if (!has(wd, NULL))
		inotify_rm_watch(inotify_fd, wd);
}

void watch_forget(const struct folder *folder)
{
	pthread_mutex_lock(&lock);
	for (size_t i = watches_len; i--;)
		if (watches[i].folder == folder)
			drop(i);
	pthread_mutex_unlock(&lock);
}

/* wd -1: so much changed that it was not counted. */
static void tell(const struct inotify_event *event)
{
	for (size_t i = 0;; i++) {
		void (*changed)(void *arg) = NULL;
		void *arg = NULL;
		bool end;

		pthread_mutex_lock(&lock);
		end = i >= watches_len;
		if (!end && (event->wd == -1 || watches[i].wd == event->wd)) {
			changed = watches[i].folder->changed;
			arg = watches[i].folder->changed_arg;
			/* The kernel has dropped it, and may give its number to another. */
			if (event->mask & IN_IGNORED)
				watches[i--] = watches[--watches_len];
		}
		pthread_mutex_unlock(&lock);
		if (end)
			return;
		if (changed)
			changed(arg);
	}
}

static void *watch_main(void *unused)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct pollfd fds[] = { { .fd = inotify_fd, .events = POLLIN }, { .fd = stop_fd, .events = POLLIN } };

	(void)unused;
	while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
		ssize_t n;

		if (fds[1].revents)
			break;
		n = read(inotify_fd, events, sizeof(events));
		for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
			const struct inotify_event *event = (const void *)(events + at);

			/* Names that are not listed: a copy to be renamed, an editor's. */
			if (!event->len || event->name[0] != '.')
				tell(event);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	return NULL;
}

void watch_start(void)
{
	int err = 0;

	inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	stop_fd = eventfd(0, EFD_CLOEXEC);
	if (inotify_fd < 0 || stop_fd < 0)
		err = errno;
	if (!err)
		err = folder_thread(&thread, watch_main, NULL, "folder-watch");
	if (!err)
		return;
	log_info("folders are not watched, the age of their listings counts: %s", strerror(err));
	if (inotify_fd >= 0)
		close(inotify_fd);
	if (stop_fd >= 0)
		close(stop_fd);
	inotify_fd = stop_fd = -1;
}

void watch_stop(void)
{
	uint64_t one = 1;

	if (inotify_fd < 0)
		return;
	while (write(stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(thread, NULL);
	pthread_mutex_lock(&lock);
	close(inotify_fd);
	close(stop_fd);
	inotify_fd = stop_fd = -1;
	free(watches);
	watches = NULL;
	watches_len = 0;
	pthread_mutex_unlock(&lock);
}
