// SPDX-License-Identifier: Apache-2.0
/* Folders as repositories: their threads, and the one that watches over those (folder.h). */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend/repo/directory/folder.h"
#include "backend/repo/directory/directory.h"

#include <fabricfs/clock.h>

#define DEPTH_MAX 16
#define STOP_WAIT_NS INT64_C(1000000000)

/*
 * The watcher: all folders, and whether it is to end. A folder's lock is taken
 * inside of this one, never the other way.
 */
static pthread_mutex_t watch_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t watch_wake;
static pthread_t watcher;
static bool watching, watch_kicked, watch_quit;
static struct folder *folders;
static bool left_behind; /* main thread */
static int64_t close_until_ns; /* monotonic; 0 = none was closed since one was opened */

static void watch_kick(void)
{
	pthread_mutex_lock(&watch_lock);
	watch_kicked = true;
	if (watching)
		pthread_cond_signal(&watch_wake);
	pthread_mutex_unlock(&watch_lock);
}

static void folder_put(struct folder *folder)
{
	bool last;

	pthread_mutex_lock(&folder->lock);
	last = !--folder->refs;
	pthread_mutex_unlock(&folder->lock);
	if (!last)
		return;
	for (int i = 0; i < HANDS; i++)
		pthread_cond_destroy(&folder->hands[i].wake);
	pthread_mutex_destroy(&folder->lock);
	free(folder);
}

/* --- jobs ---------------------------------------------------------------------------------- */

static void job_free(struct job *job)
{
	if (job->fd >= 0)
		close(job->fd);
	free(job);
}

static void request_tell(struct repo_list *list, struct repo_fetch *fetch, int err, const struct reason *why)
{
	if (list)
		list->done(list, err, !err, false, why);
	else
		fetch->done(fetch, err, why);
}

void call_begin(struct job *job)
{
	struct folder *folder = job->hand->folder;

	pthread_mutex_lock(&folder->lock);
	job->taken = false;
	job->hand->call_ns = clock_mono_ns();
	pthread_mutex_unlock(&folder->lock);
}

bool call_end(struct job *job)
{
	struct folder *folder = job->hand->folder;
	bool go_on;

	pthread_mutex_lock(&folder->lock);
	job->hand->call_ns = 0;
	go_on = !job->given_up && !job->cancelled;
	job->taken = !job->given_up;
	pthread_mutex_unlock(&folder->lock);
	return go_on;
}

/* The thread is through with its job. */
static void job_over(struct job *job, int err, const struct reason *why)
{
	struct folder *folder = job->hand->folder;
	struct reason cancelled = { 0 };
	bool tell;

	pthread_mutex_lock(&folder->lock);
	job->hand->now = NULL;
	tell = !job->given_up;
	if (job->cancelled) {
		err = ECANCELED;
		reason_set(&cancelled, ECANCELED, "%s: it is not wanted any more", folder->path);
		why = &cancelled;
	}
	pthread_mutex_unlock(&folder->lock);
	if (tell)
		request_tell(job->list, job->fetch, err, why);
	job_free(job);
}

static void job_queue(struct job *job)
{
	struct hand *hand = job->hand;

	job->next = NULL;
	*hand->jobs_end = job;
	hand->jobs_end = &job->next;
}

/* --- the threads of a folder ------------------------------------------------------------------ */

static void job_work(struct folder *folder, struct job *job)
{
	struct reason why = { 0 };
	int r = job->list ? folder_list(folder, job, &why) : folder_fetch(folder, job, &why);

	if (r <= 0) {
		job_over(job, -r, &why);
		return;
	}
	/* A piece of a file was read: the others have their turn before the next one. */
	pthread_mutex_lock(&folder->lock);
	job->hand->now = NULL;
	if (job->cancelled) {
		pthread_mutex_unlock(&folder->lock);
		job_over(job, ECANCELED, &why);
		return;
	}
	job->taken = false;
	job_queue(job);
	pthread_mutex_unlock(&folder->lock);
}

static void *hand_main(void *arg)
{
	struct hand *hand = arg;
	struct folder *folder = hand->folder;

	pthread_mutex_lock(&folder->lock);
	for (;;) {
		struct job *job = hand->jobs;

		if (!job && folder->quit)
			break;
		if (!job) {
			pthread_cond_wait(&hand->wake, &folder->lock);
			continue;
		}
		hand->jobs = job->next;
		if (!hand->jobs)
			hand->jobs_end = &hand->jobs;
		hand->now = job;
		job->taken = true;
		pthread_mutex_unlock(&folder->lock);
		job_work(folder, job);
		pthread_mutex_lock(&folder->lock);
	}
	hand->ended = true;
	pthread_cond_signal(&hand->wake);
	pthread_mutex_unlock(&folder->lock);
	folder_put(folder);
	return NULL;
}

/* Signals belong to the threads that asked for them. */
int folder_thread(pthread_t *thread, void *(*main)(void *), void *arg, const char *name)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(thread, NULL, main, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err)
		pthread_setname_np(*thread, name);
	return err;
}

/* --- the watcher ---------------------------------------------------------------------------------- */

/* A request that the watcher answers. Its job, if it has a thread, may be freed by that at any time. */
struct lost {
	struct lost *next;
	struct repo_list *list;
	struct repo_fetch *fetch;
	struct job *owned; /* it was only waiting: it is freed here; NULL */
	int err;
};

static void lost_add(struct lost **list, struct job *job, bool owned, int err)
{
	struct lost *lost = malloc(sizeof(*lost));

	/* Without memory it is looked at again at the next round. */
	if (!lost)
		return;
	*lost = (struct lost){ .next = *list, .list = job->list, .fetch = job->fetch, .owned = owned ? job : NULL,
			       .err = err };
	*list = lost;
}

/* What of this thread's is cancelled, or hangs; ns until something may hang, -1 = never. */
static int64_t hand_watch(struct hand *hand, int64_t now, struct lost **lost)
{
	int64_t limit = hand->folder->config->offline_timeout_ms * 1000000;
	/* Where there is work a call may begin at any time; that is not told. */
	int64_t left = hand->call_ns ? hand->call_ns + limit - now : hand->now || hand->jobs ? limit : -1;
	bool hangs = hand->call_ns && left <= 0;
	struct job *job = hand->now, **at = &hand->jobs;

	if (job && !job->taken && !job->given_up && (job->cancelled || hangs)) {
		struct lost *before = *lost;

		lost_add(lost, job, false, job->cancelled ? ECANCELED : EHOSTUNREACH);
		job->given_up = *lost != before;
	}
	while ((job = *at)) {
		struct lost *before = *lost;

		if (job->cancelled || hangs)
			lost_add(lost, job, true, job->cancelled ? ECANCELED : EHOSTUNREACH);
		if (*lost != before)
			*at = job->next;
		else
			at = &job->next;
	}
	hand->jobs_end = at;
	if (hangs)
		return hand->jobs ? limit : -1;
	return left;
}

static void lost_tell(struct folder *folder, struct lost *list)
{
	while (list) {
		struct lost *lost = list;
		struct reason why = { 0 };

		list = lost->next;
		if (lost->err == ECANCELED)
			reason_set(&why, ECANCELED, "%s: it is not wanted any more", folder->path);
		else
			reason_set(&why, EHOSTUNREACH, "%s does not answer: nothing came for %lld ms; is its server there?",
				   folder->path, (long long)folder->config->offline_timeout_ms);
		request_tell(lost->list, lost->fetch, lost->err, &why);
		if (lost->owned)
			job_free(lost->owned);
		free(lost);
	}
}

/* The watcher's lock is held, and given back while requests are answered. */
static int64_t folders_watch(void)
{
	int64_t next = -1;

	for (struct folder *folder = folders; folder; folder = folder->next) {
		struct lost *lost = NULL;
		int64_t now = clock_mono_ns();

		pthread_mutex_lock(&folder->lock);
		for (int i = 0; i < HANDS; i++) {
			int64_t left = hand_watch(&folder->hands[i], now, &lost);

			if (left >= 0 && (next < 0 || left < next))
				next = left;
		}
		if (lost)
			folder->refs++;
		pthread_mutex_unlock(&folder->lock);
		if (!lost)
			continue;
		pthread_mutex_unlock(&watch_lock);
		lost_tell(folder, lost);
		pthread_mutex_lock(&watch_lock);
		folder_put(folder);
		return 0; /* the list may be another one now */
	}
	return next;
}

static void *watcher_main(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&watch_lock);
	while (!watch_quit) {
		int64_t left;

		watch_kicked = false;
		left = folders_watch();
		if (watch_kicked || !left || watch_quit)
			continue;
		if (left < 0) {
			pthread_cond_wait(&watch_wake, &watch_lock);
		} else {
			int64_t until = clock_mono_ns() + left;
			struct timespec ts = { .tv_sec = until / 1000000000, .tv_nsec = until % 1000000000 };

			pthread_cond_timedwait(&watch_wake, &watch_lock, &ts);
		}
	}
	pthread_mutex_unlock(&watch_lock);
	return NULL;
}

int directory_start(struct reason *why)
{
	pthread_condattr_t mono;
	int err;

	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&watch_wake, &mono);
	pthread_condattr_destroy(&mono);
	watch_quit = false;
	err = folder_thread(&watcher, watcher_main, NULL, "folders");
	if (err) {
		pthread_cond_destroy(&watch_wake);
		return reason_set(why, err, "cannot start the thread that watches over folders: %s", strerror(err));
	}
	pthread_mutex_lock(&watch_lock);
	watching = true;
	pthread_mutex_unlock(&watch_lock);
	watch_start();
	return 0;
}

bool directory_stop(void)
{
	if (!watching)
		return !left_behind;
	watch_stop();
	pthread_mutex_lock(&watch_lock);
	watch_quit = true;
	pthread_cond_signal(&watch_wake);
	pthread_mutex_unlock(&watch_lock);
	pthread_join(watcher, NULL);
	pthread_mutex_lock(&watch_lock);
	watching = false;
	pthread_mutex_unlock(&watch_lock);
	pthread_cond_destroy(&watch_wake);
	return !left_behind;
}

/* --- the kind --------------------------------------------------------------------------------------- */

static const struct repo_key directory_keys[] = {
	{ "path", REPO_KEY_FILE },
	{ "depth", REPO_KEY_INTEGER },
	{ NULL, 0 },
};

static int directory_check(const struct repo_config *config, struct reason *why)
{
	const struct repo_value *depth = repo_config_get(config, "depth");

	if (!repo_config_get(config, "path"))
		return reason_set(why, EINVAL, "a folder needs its path, {kind: directory, path: /net/images}");
	if (depth && depth->number > DEPTH_MAX)
		return reason_set(why, EINVAL, "depth: at most %d levels of folders are listed", DEPTH_MAX);
	return 0;
}

static int directory_open(const struct repo_config *config, void **repo, struct reason *why)
{
	const struct repo_value *depth = repo_config_get(config, "depth");
	struct folder *folder = calloc(1, sizeof(*folder));

	if (!folder)
		return reason_set(why, ENOMEM, "no memory for the repository %s", config->name);
	folder->config = config;
	folder->path = repo_config_text(config, "path", "");
	folder->depth = depth ? (unsigned)depth->number : 0;
	folder->refs = 1;
	pthread_mutex_init(&folder->lock, NULL);
	for (int i = 0; i < HANDS; i++) {
		struct hand *hand = &folder->hands[i];

		hand->folder = folder;
		hand->jobs_end = &hand->jobs;
		pthread_cond_init(&hand->wake, NULL);
	}
	pthread_mutex_lock(&watch_lock);
	folder->next = folders;
	folders = folder;
	close_until_ns = 0;
	pthread_mutex_unlock(&watch_lock);
	*repo = folder;
	return 0;
}

static void directory_close(void *repo)
{
	struct folder *folder = repo, **at;
	bool ended[HANDS] = { false };
	struct timespec ts;

	pthread_mutex_lock(&watch_lock);
	/* For all of them together: an unmount does not wait for each that hangs. */
	if (!close_until_ns)
		close_until_ns = clock_mono_ns() + STOP_WAIT_NS;
	ts = (struct timespec){ .tv_sec = close_until_ns / 1000000000, .tv_nsec = close_until_ns % 1000000000 };
	for (at = &folders; *at && *at != folder; at = &(*at)->next)
		;
	if (*at)
		*at = folder->next;
	pthread_mutex_unlock(&watch_lock);
	watch_forget(folder);

	pthread_mutex_lock(&folder->lock);
	folder->quit = true;
	for (int i = 0; i < HANDS; i++)
		pthread_cond_signal(&folder->hands[i].wake);
	/* One that hangs is left behind, with what it needs. */
	for (int i = 0; i < HANDS; i++) {
		struct hand *hand = &folder->hands[i];
		int err = 0;

		if (!hand->started)
			continue;
		while (!hand->ended && !err)
			err = pthread_cond_clockwait(&hand->wake, &folder->lock, CLOCK_MONOTONIC, &ts);
		ended[i] = hand->ended;
	}
	pthread_mutex_unlock(&folder->lock);
	for (int i = 0; i < HANDS; i++) {
		if (ended[i])
			pthread_join(folder->hands[i].thread, NULL);
		else if (folder->hands[i].started) {
			pthread_detach(folder->hands[i].thread);
			left_behind = true;
		}
	}
	folder_put(folder);
}

static int hand_start(struct hand *hand, const char *name)
{
	int err;

	if (hand->started)
		return 0;
	hand->folder->refs++;
	err = folder_thread(&hand->thread, hand_main, hand, name);
	if (err)
		hand->folder->refs--;
	hand->started = !err;
	return err;
}

static int job_new(struct folder *folder, int which, struct repo_list *list, struct repo_fetch *fetch,
		   struct reason *why)
{
	struct hand *hand = &folder->hands[which];
	struct job *job = calloc(1, sizeof(*job));
	int err;

	if (!job)
		return reason_set(why, ENOMEM, "no memory for a request to the repository %s", folder->config->name);
	*job = (struct job){ .hand = hand, .list = list, .fetch = fetch, .fd = -1 };
	pthread_mutex_lock(&folder->lock);
	err = hand_start(hand, which == HAND_LIST ? "folder-list" : "folder-read");
	if (!err) {
		job_queue(job);
		folder->cost.requests++;
		pthread_cond_signal(&hand->wake);
	}
	pthread_mutex_unlock(&folder->lock);
	if (err) {
		free(job);
		return reason_set(why, err, "cannot start a thread for the repository %s: %s", folder->config->name,
				  strerror(err));
	}
	watch_kick();
	return 0;
}

static int directory_list(void *repo, struct repo_list *list, struct reason *why)
{
	return job_new(repo, HAND_LIST, list, NULL, why);
}

static int directory_fetch(void *repo, struct repo_fetch *fetch, struct reason *why)
{
	return job_new(repo, HAND_READ, NULL, fetch, why);
}

/* By the request and not by its job: it may be about to be done, on another thread. */
static void job_cancel(struct folder *folder, int which, const struct repo_list *list,
		       const struct repo_fetch *fetch)
{
	struct hand *hand = &folder->hands[which];

	pthread_mutex_lock(&folder->lock);
	if (hand->now && hand->now->list == list && hand->now->fetch == fetch)
		hand->now->cancelled = true;
	for (struct job *job = hand->jobs; job; job = job->next)
		if (job->list == list && job->fetch == fetch)
			job->cancelled = true;
	pthread_mutex_unlock(&folder->lock);
	watch_kick();
}

static void directory_list_cancel(void *repo, struct repo_list *list)
{
	job_cancel(repo, HAND_LIST, list, NULL);
}

static void directory_fetch_cancel(void *repo, struct repo_fetch *fetch)
{
	job_cancel(repo, HAND_READ, NULL, fetch);
}

static void directory_watch(void *repo, void (*changed)(void *arg), void *arg)
{
	struct folder *folder = repo;

	folder->changed_arg = arg;
	folder->changed = changed;
}

static void directory_cost(void *repo, struct repo_cost *cost)
{
	struct folder *folder = repo;

	pthread_mutex_lock(&folder->lock);
	*cost = folder->cost;
	pthread_mutex_unlock(&folder->lock);
}

const struct repo_kind directory_kind = {
	.version = REPO_ABI,
	.name = "directory",
	.keys = directory_keys,
	.check = directory_check,
	.open = directory_open,
	.close = directory_close,
	.list = directory_list,
	.list_cancel = directory_list_cancel,
	.fetch = directory_fetch,
	.fetch_cancel = directory_fetch_cancel,
	.cost = directory_cost,
	.watch = directory_watch,
};
