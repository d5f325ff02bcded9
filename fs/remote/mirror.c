// SPDX-License-Identifier: Apache-2.0
/*
 * The mirror's repositories, and its thread (mirror.h, repo.h): it looks after what
 * is due, what has ended and who has waited for long enough, and sleeps otherwise.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/remote/repo.h"

#include <fabricfs/cache.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

#define MS_NS INT64_C(1000000)
#define LONG_NS (INT64_C(1) << 60) /* 36 years */
#define FULL_MS 300000	  /* after so long all is listed and not only what is new */
#define STOP_MS 1500	  /* for requests to end that were cancelled */

static const struct config *config;
static struct store *store;
static struct repo *repos;
static unsigned repos_len;
static bool (*listener)(uint64_t repo, unsigned what, uint64_t entry, unsigned version);
static bool kinds_started;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the thread's sleep; a leaf */
static pthread_cond_t wake;
static pthread_t thread;
static bool running, kicked, ending; /* lock */

struct store *mirror_store(void) { return store; }
const struct config *mirror_config(void) { return config; }
unsigned mirror_count(void) { return repos_len; }
struct repo *mirror_nth(unsigned i) { return i < repos_len ? &repos[i] : NULL; }
uint64_t repo_id(const struct repo *repo) { return repo->row.id; }
const char *repo_name(const struct repo *repo) { return repo->config->repo.name; }
const struct repo_config *repo_config(const struct repo *repo) { return &repo->config->repo; }
const struct repo_kind *repo_kind(const struct repo *repo) { return repo->config->kind; }
void *repo_handle(const struct repo *repo) { return repo->handle; }

struct repo *mirror_find(uint64_t id)
{
	for (unsigned i = 0; i < repos_len; i++)
		if (repos[i].row.id == id)
			return &repos[i];
	return NULL;
}

struct repo *mirror_named(const char *name)
{
	for (unsigned i = 0; i < repos_len; i++)
		if (!strcmp(repo_name(&repos[i]), name))
			return &repos[i];
	return NULL;
}

void mirror_listen(bool (*changed)(uint64_t repo, unsigned what, uint64_t entry, unsigned version))
{
	listener = changed;
}

void mirror_tell(const struct repo *repo, unsigned what)
{
	if (listener)
		listener(repo->row.id, what, 0, 0);
}

bool mirror_tell_entry(uint64_t repo, uint64_t entry, unsigned version)
{
	return listener && listener(repo, 0, entry, version);
}

void mirror_kick(void)
{
	pthread_mutex_lock(&lock);
	kicked = true;
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
}

/* --- what others ask ------------------------------------------------------------------------ */

void repo_state_get(struct repo *repo, struct repo_state *state)
{
	pthread_mutex_lock(&repo->lock);
	*state = repo->state;
	pthread_mutex_unlock(&repo->lock);
}

void repo_looked(struct repo *repo)
{
	int64_t age_ns = repo->config->repo.max_age_ms * MS_NS;
	bool old;

	pthread_mutex_lock(&repo->lock);
	old = !repo->listing && !repo->wanted &&
	      (!repo->listed_mono_ns || clock_mono_ns() - repo->listed_mono_ns >= age_ns);
	if (old)
		repo->wanted = true;
	pthread_mutex_unlock(&repo->lock);
	if (old)
		mirror_kick();
}

static void wait_add(struct repo *repo, struct repo_wait *wait, uint64_t number)
{
	wait->number = number;
	wait->next = repo->waits;
	repo->waits = wait;
}

void repo_refresh(struct repo *repo, struct repo_wait *wait)
{
	pthread_mutex_lock(&repo->lock);
	wait->deadline_ns = 0;
	wait_add(repo, wait, repo->next);
	repo->wanted = repo->wanted_full = true;
	pthread_mutex_unlock(&repo->lock);
	mirror_kick();
}

bool repo_wait_first(struct repo *repo, struct repo_wait *wait)
{
	bool waits;

	pthread_mutex_lock(&repo->lock);
	waits = !repo->state.answered && !repo->patience_over && !repo->state.failed &&
		(repo->listing || repo->wanted);
	if (waits) {
		wait->deadline_ns = clock_mono_ns() + repo->config->repo.offline_timeout_ms * MS_NS;
		wait_add(repo, wait, repo->listing ? repo->next - 1 : repo->next);
	}
	pthread_mutex_unlock(&repo->lock);
	if (waits)
		mirror_kick(); /* it has a deadline */
	return waits;
}

void repo_wait_end(struct repo *repo, struct repo_wait *wait)
{
	pthread_mutex_lock(&repo->lock);
	wait->ended = true;
	pthread_mutex_unlock(&repo->lock);
	mirror_kick();
}

void repo_told(struct repo *repo, int err, const struct reason *why)
{
	bool wrong = err == EREMOTEIO || err == ETIMEDOUT || err == EACCES || err == EBADMSG;
	bool offline = err == EHOSTUNREACH, new;

	if (err == ECANCELED)
		return;
	pthread_mutex_lock(&repo->lock);
	new = repo->state.asked && repo->state.online == offline;
	if (new) {
		repo->told = true;
		repo->told_err = offline ? EHOSTUNREACH : 0;
		repo->told_why = (struct reason){ 0 };
		if (why)
			repo->told_why = *why;
	}
	if (wrong && why)
		repo->told_wrong = *why;
	pthread_mutex_unlock(&repo->lock);
	if (new || wrong)
		mirror_kick();
}

/* --- the thread -------------------------------------------------------------------------------- */

/* Takes those out that wait no more, with what they get. */
static struct repo_wait *waits_over(struct repo *repo, int64_t now, int64_t *next)
{
	struct repo_wait *over = NULL, **at = &repo->waits, *wait;

	while ((wait = *at)) {
		int64_t due = wait->answer_ns ? wait->answer_ns : wait->deadline_ns;
		bool late = due && due <= now;

		if (!wait->ended && !late) {
			if (due && due < *next)
				*next = due;
			at = &wait->next;
			continue;
		}
		if (!wait->answer_ns)
			wait->err = wait->ended ? EINTR : ETIMEDOUT;
		repo->patience_over = repo->patience_over || (late && !wait->answer_ns);
		*at = wait->next;
		wait->next = over;
		over = wait;
	}
	return over;
}

static void told_note(struct repo *repo)
{
	struct reason why, wrong;
	bool told;
	int err;

	pthread_mutex_lock(&repo->lock);
	told = repo->told;
	err = repo->told_err;
	why = repo->told_why;
	wrong = repo->told_wrong;
	repo->told = false;
	repo->told_wrong = (struct reason){ 0 };
	/* Its state is asked for again, by itself, so that somebody hears of its return. */
	if (told && err && !repo->again_mono_ns)
		repo->again_mono_ns = clock_mono_ns() + 1000 * MS_NS;
	pthread_mutex_unlock(&repo->lock);
	if (told)
		state_reach(repo, err, &why);
	/* It stays until a listing goes well. */
	if (wrong.err)
		state_error(repo, wrong.text);
	if (told || wrong.err)
		state_save(repo);
}

/* Changes come in crowds, and a folder where something always changes is not to be listed all the
 * time: a tenth of the time at most. lock. */
#define CROWD_NS (50 * MS_NS)
static void changed_note(struct repo *repo, int64_t now)
{
	int64_t due = now + CROWD_NS, rest = repo->ended_mono_ns + 10 * repo->listing_ns;

	repo->changed = false;
	if (!repo->changed_due_ns)
		repo->changed_due_ns = due > rest ? due : rest;
}

static void repo_changed(void *arg)
{
	struct repo *repo = arg;

	pthread_mutex_lock(&repo->lock);
	repo->changed = true;
	pthread_mutex_unlock(&repo->lock);
	mirror_kick();
}

/* Begins what is due; when it is to be looked at again goes into *next. */
static void repo_work(struct repo *repo, int64_t *next)
{
	struct repo_wait *over;
	int64_t now;
	bool ended, begin = false, full = false;

	told_note(repo);
	pthread_mutex_lock(&repo->lock);
	ended = repo->ended;
	pthread_mutex_unlock(&repo->lock);
	if (ended)
		listing_end(repo);

	pthread_mutex_lock(&repo->lock);
	/* The end of a listing may have said when to answer. */
	now = clock_mono_ns();
	over = waits_over(repo, now, next);
	if (repo->again_mono_ns && repo->again_mono_ns <= now) {
		repo->again_mono_ns = 0;
		repo->wanted = true;
	}
	if (repo->again_mono_ns && repo->again_mono_ns < *next)
		*next = repo->again_mono_ns;
	if (repo->changed)
		changed_note(repo, now);
	if (repo->changed_due_ns && repo->changed_due_ns <= now && !repo->listing) {
		repo->changed_due_ns = 0;
		repo->wanted = true;
	}
	/* While it is being listed the end of that is waited for. */
	if (repo->changed_due_ns && !repo->listing && repo->changed_due_ns < *next)
		*next = repo->changed_due_ns;
	if (repo->wanted && !repo->listing) {
		begin = repo->listing = true;
		full = repo->wanted_full;
		repo->wanted = repo->wanted_full = false;
		repo->number = repo->next++;
	}
	pthread_mutex_unlock(&repo->lock);

	while (over) {
		struct repo_wait *wait = over;

		over = wait->next;
		wait->done(wait, wait->err);
	}
	if (begin)
		listing_begin(repo, full || !repo->row.full_ns || now - repo->full_mono_ns > FULL_MS * MS_NS);
}

static void *mirror_main(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	while (!ending) {
		int64_t next = INT64_MAX;
		struct timespec ts;

		kicked = false;
		pthread_mutex_unlock(&lock);
		for (unsigned i = 0; i < repos_len; i++)
			repo_work(&repos[i], &next);
		sizes_work(&next);
		pthread_mutex_lock(&lock);
		if (kicked || ending)
			continue;
		ts.tv_sec = next / 1000000000;
		ts.tv_nsec = next % 1000000000;
		if (next == INT64_MAX)
			pthread_cond_wait(&wake, &lock);
		else
			pthread_cond_timedwait(&wake, &lock, &ts);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* --- start and end ------------------------------------------------------------------------------ */

int mirror_open(const struct config *with, struct reason *why)
{
	pthread_condattr_t mono;

	/* An earlier one's, in tests. */
	for (unsigned i = 0; i < repos_len; i++)
		pthread_mutex_destroy(&repos[i].lock);
	free(repos);
	repos_len = 0;
	ending = false;
	config = with;
	repos = calloc(with->repos_len + 1, sizeof(*repos));
	if (!repos)
		return reason_set(why, ENOMEM, "no memory for the repositories");
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&wake, &mono);
	pthread_condattr_destroy(&mono);
	for (size_t i = 0; i < with->repos_len; i++) {
		struct repo *repo = &repos[repos_len];
		int err;

		repo->config = &with->repos[i];
		repo->next = 1;
		pthread_mutex_init(&repo->lock, NULL);
		err = repo_kind(repo)->open(repo_config(repo), &repo->handle, why);
		if (err)
			return reason_wrap(why, "repository '%s'", repo_name(repo));
		if (repo_kind(repo)->watch)
			repo_kind(repo)->watch(repo->handle, repo_changed, repo);
		repos_len++;
	}
	return 0;
}

/* Where it is and who asks, as its kind's keys say: another place, or one that shows others, is another
 * repository. */
static void address_of(const struct repo_config *repo, struct buf *out)
{
	static const char *const keys[] = { "url", "path", "auth-url", "endpoint", "clouds-file", "cloud",
					    "bucket", "region", "project", "project-id", "username", "user-id",
					    "application-credential", "application-credential-id" };
	const struct repo_value *visibility = repo_config_get(repo, "visibility");

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *text = repo_config_text(repo, keys[i], NULL);

		if (text)
			buf_addf(out, "%s%s", out->len ? " " : "", text);
	}
	/* What was not asked for before does not show in what changed since. */
	for (size_t i = 0; visibility && i < visibility->list_len; i++)
		buf_addf(out, " %s", visibility->list[i]);
}

/* When that was, by the other clock; long ago if it is of a clock that was set back since. */
static int64_t mono_of(int64_t then_ns)
{
	int64_t age = clock_now_ns() - then_ns;

	return clock_mono_ns() - (age >= 0 ? age : LONG_NS);
}

static int repo_start(struct repo *repo, bool fresh, struct reason *why)
{
	struct buf address CLEANUP_BUF = BUF_INIT;
	int64_t age;
	int err;

	address_of(repo_config(repo), &address);
	buf_adds(&address, "");
	if (buf_ok(&address))
		return reason_set(why, ENOMEM, "no memory for a repository");
	err = catalogue_repo_open(store, repo_name(repo), repo_kind(repo)->name, address.data ? address.data : "",
				  &repo->row, why);
	if (err)
		return err;
	repo->state = (struct repo_state){
		.answered = repo->row.listed_ns, .asked = repo->row.since_ns, .online = !repo->row.offline,
		.since_ns = repo->row.since_ns, .listed_ns = repo->row.listed_ns, .changed_ns = repo->row.listed_ns,
		.error_ns = repo->row.listed_ns, .images = catalogue_repo_images(store, repo->row.id),
	};
	text_copy(repo->state.reason, sizeof(repo->state.reason), repo->row.reason);
	text_copy(repo->state.error, sizeof(repo->state.error), repo->row.error);
	age = clock_now_ns() - repo->row.listed_ns;
	/* What is young may have been listed by another configuration, and who starts fabricfs wants to see
	 * whether it can be reached. */
	if (!fresh && repo->row.listed_ns && age >= 0 && age < repo->config->repo.max_age_ms * MS_NS)
		repo->listed_mono_ns = clock_mono_ns() - age;
	else
		repo->wanted = true;
	repo->full_mono_ns = mono_of(repo->row.full_ns);
	repo->doubt_mono_ns = mono_of(repo->row.doubt_ns);
	/* Nobody may look for a while, and still its return is to be told. */
	if (repo->row.offline)
		repo->wanted = true;
	return 0;
}

/* A repository that is not configured is found as it was when it comes back within this time. */
#define ABSENT_NS (30 * INT64_C(86400) * 1000000000)

int mirror_absent(struct store *with, struct reason *why)
{
	const char **names CLEANUP_FREE = calloc(repos_len + 1, sizeof(*names));
	unsigned forgotten = 0;
	int err;

	if (!names)
		return reason_set(why, ENOMEM, "no memory for the repositories");
	for (unsigned i = 0; i < repos_len; i++)
		names[i] = repo_name(&repos[i]);
	err = catalogue_absent(with, names, repos_len, clock_now_ns(), ABSENT_NS, &forgotten, why);
	/* What it had cached is nobody's now. */
	if (!err && forgotten)
		err = cache_contents_tidy(with, why);
	return !err && forgotten ? store_blobs_trim(with, why) : err;
}

int mirror_start(struct store *with, bool fresh, struct reason *why)
{
	sigset_t all, before;
	int err = 0;

	store = with;
	if (!repos_len)
		return 0;
	catalogue_room_listen(store, repo_kinds_resume);
	for (unsigned i = 0; i < repos_len && !err; i++)
		err = repo_start(&repos[i], fresh, why);
	if (!err)
		err = repo_kinds_start(why);
	if (err)
		return err;
	kinds_started = true;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, NULL, mirror_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return reason_set(why, err, "cannot start the mirror's thread: %s", strerror(err));
	pthread_setname_np(thread, "mirror");
	running = true;
	return 0;
}

static void waits_cancel(struct repo *repo)
{
	struct repo_wait *wait;

	pthread_mutex_lock(&repo->lock);
	wait = repo->waits;
	repo->waits = NULL;
	pthread_mutex_unlock(&repo->lock);
	while (wait) {
		struct repo_wait *next = wait->next;

		wait->done(wait, ECANCELED);
		wait = next;
	}
}

/* True when no listing is running any more; until then the repository has to stay. */
static bool listing_stopped(struct repo *repo)
{
	bool stopped;

	pthread_mutex_lock(&repo->lock);
	stopped = !repo->listing || repo->ended;
	pthread_mutex_unlock(&repo->lock);
	return stopped;
}

static void listings_stop(void)
{
	int64_t until = clock_mono_ns() + STOP_MS * MS_NS;
	struct timespec ts = { .tv_sec = until / 1000000000, .tv_nsec = until % 1000000000 };
	unsigned left = 1;
	int err = 0;

	for (unsigned i = 0; i < repos_len; i++)
		if (!listing_stopped(&repos[i]))
			repo_kind(&repos[i])->list_cancel(repos[i].handle, &repos[i].list);
	pthread_mutex_lock(&lock);
	while (left && !err) {
		kicked = false;
		pthread_mutex_unlock(&lock);
		left = 0;
		for (unsigned i = 0; i < repos_len; i++)
			left += !listing_stopped(&repos[i]);
		pthread_mutex_lock(&lock);
		if (left && !kicked)
			err = pthread_cond_timedwait(&wake, &lock, &ts);
	}
	pthread_mutex_unlock(&lock);
	if (left)
		log_warn("%u listings do not end; they are left behind", left);
}

bool mirror_stop(void)
{
	bool ended = true;

	if (running) {
		pthread_mutex_lock(&lock);
		ending = true;
		pthread_cond_signal(&wake);
		pthread_mutex_unlock(&lock);
		pthread_join(thread, NULL);
		running = false;
		ended = sizes_stop();
		listings_stop();
	}
	for (unsigned i = 0; i < repos_len; i++) {
		struct repo *repo = &repos[i];

		waits_cancel(repo);
		if (!ended || !listing_stopped(repo)) {
			ended = false;
			continue;
		}
		catalogue_update_free(repo->update);
		repo->update = NULL;
		repo_kind(repo)->close(repo->handle);
		repo->handle = NULL;
	}
	if (kinds_started && !repo_kinds_stop())
		ended = false;
	kinds_started = false;
	/* The repositories themselves stay: the notifier, and what was left behind, may still look at them. */
	return ended;
}
