// SPDX-License-Identifier: Apache-2.0
/* The cards of this machine: made from the configuration, kept until the end (cards.h). */
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "fs/card/card.h"
#include "fs/card/upload.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/* What runs at the end may finish; nobody waits longer for it. */
#define STOP_SECONDS 30

static struct card **cards;
static unsigned cards_len;
static struct store *cards_the_store;
static int timer_fd = -1;
static atomic_bool cards_ended;

unsigned cards_count(void)
{
	return cards_len;
}

struct card *cards_nth(unsigned i)
{
	return i < cards_len ? cards[i] : NULL;
}

struct card *cards_find(unsigned dev)
{
	unsigned low = 0, high = cards_len;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (cards[mid]->dev < dev)
			low = mid + 1;
		else
			high = mid;
	}
	return low < cards_len && cards[low]->dev == dev && !atomic_load(&cards[low]->forgotten)
		       ? cards[low] : NULL;
}

struct store *cards_store(void)
{
	return cards_the_store;
}

/* --- who may write ------------------------------------------------------------------ */

static uid_t user_id(const char *text, uid_t otherwise)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);
	const struct passwd *pw;

	if (!*text)
		return otherwise;
	if (!*end)
		return (uid_t)n;
	pw = getpwnam(text);
	if (!pw)
		log_warn("access: there is no user %s: the files belong to uid %u", text,
			 (unsigned)otherwise);
	return pw ? pw->pw_uid : otherwise;
}

static gid_t group_id(const char *text, gid_t otherwise)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);
	const struct group *gr;

	if (!*text)
		return otherwise;
	if (!*end)
		return (gid_t)n;
	gr = getgrnam(text);
	if (!gr)
		log_warn("access: there is no group %s: the files belong to gid %u", text,
			 (unsigned)otherwise);
	return gr ? gr->gr_gid : otherwise;
}

static gid_t default_group(void)
{
	static bool warned;
	const struct group *gr;

	if (getuid())
		return getgid();
	gr = getgrnam("fpga");
	if (!gr && !warned) {
		warned = true;
		log_warn("there is no group fpga: only root can program the cards "
			 "(make one with `groupadd --system fpga`)");
	}
	return gr ? gr->gr_gid : 0;
}

static void slot_access(struct slot *slot, const struct config *config,
			const struct config_access *own)
{
	const struct config_access *all = &config->access;

	slot->uid = user_id(*own->owner ? own->owner : all->owner, getuid());
	slot->gid = *own->group || *all->group
			    ? group_id(*own->group ? own->group : all->group, 0)
			    : default_group();
	slot->mode = (mode_t)(own->mode >= 0 ? own->mode : all->mode >= 0 ? all->mode : 0660);
}

/* --- making --------------------------------------------------------------------------- */

static void host_wake(const struct card_host *host)
{
	actor_wake(host->core);
}

/* What can be shown before the card was asked. */
static int slot_first_view(struct slot *slot, struct slot_view *v, bool fresh, struct reason *why)
{
	struct card *card = slot->card;
	bool doubted = false;
	int err = store_slot_load(card->store, card->dev, slot->index, &slot->row, &doubted, why);

	if (err && err != -ENOENT)
		return err;
	if (doubted)
		log_warn("dev%u: what the store had is not believed: its image is missing or damaged",
			 card->dev);
	v->state = fresh || !*slot->row.state ? STATE_UNKNOWN : state_parse(slot->row.state);
	v->state_ns = slot->row.state_mtime_ns ? slot->row.state_mtime_ns : clock_now_ns();
	text_copy(v->error, sizeof(v->error), slot->row.error);
	v->error_ns = v->loaded_ns = v->check_ns = v->state_ns;
	v->image_ns = *slot->row.loaded_sha256 ? slot->row.image_mtime_ns : 0;
	if (*slot->row.loaded_sha256 && strcmp(slot->row.state, "programming"))
		loaded_parse(slot->row.loaded, &v->loaded, &v->loaded_facts);
	v->load = slot->row.load;
	atomic_store(&slot->load, v->load);
	v->uid = slot->uid;
	v->gid = slot->gid;
	v->mode = slot->mode;
	return 0;
}

static int card_first_view(struct card *card, struct reason *why)
{
	struct card_view *view = calloc(1, sizeof(*view));
	int err;

	if (!view)
		return reason_set(why, ENOMEM, "no memory for a card");
	atomic_init(&view->refs, 1);
	view->dev = card->dev;
	text_copy(view->name, sizeof(view->name), card->card_config->card.name);
	text_copy(view->backend, sizeof(view->backend), card->backend->name);
	text_copy(view->facts.part, sizeof(view->facts.part), card->card_config->card.part);
	view->facts_ns = clock_now_ns();
	card->view = view;
	if (card->slots_len) {
		view->slots = calloc(card->slots_len, sizeof(*view->slots));
		if (!view->slots)
			return reason_set(why, ENOMEM, "no memory for a card");
		view->slots_len = card->slots_len;
	}
	err = slot_first_view(&card->self, &view->self, card->fresh, why);
	for (unsigned i = 0; !err && i < card->slots_len; i++)
		err = slot_first_view(&card->slots[i], &view->slots[i], card->fresh, why);
	return err;
}

static void card_free(struct card *card)
{
	if (!card)
		return;
	for (int i = -1; i < (int)card->slots_len; i++) {
		struct slot *slot = card_slot(card, i);

		while (slot->uploads) {
			struct upload *u = slot->uploads;

			/* Its handle stays in the session: a successor takes it up. */
			slot->uploads = u->next;
			upload_put(u);
		}
		store_slot_fini(&slot->row);
	}
	if (card->view)
		card_view_put(card->view);
	if (card->wake_fd >= 0)
		close(card->wake_fd);
	if (card->cancel_fd >= 0)
		close(card->cancel_fd);
	pthread_mutex_destroy(&card->lock);
	pthread_mutex_destroy(&card->view_lock);
	free(card->slots);
	free(card);
}

static int card_new(const struct config *config, const struct config_card *cc, struct store *store,
		    bool fresh, struct card **out, struct reason *why)
{
	struct card *card = calloc(1, sizeof(*card));
	bool added;
	int err;

	if (!card)
		return reason_set(why, ENOMEM, "no memory for a card");
	card->wake_fd = card->cancel_fd = -1;
	pthread_mutex_init(&card->lock, NULL);
	pthread_cond_init(&card->released, NULL);
	pthread_mutex_init(&card->view_lock, NULL);
	card->config = config;
	card->card_config = cc;
	card->store = store;
	card->fresh = fresh;
	card->backend = card_backend_find(cc->backend);
	if (!card->backend) {
		card_free(card);
		return reason_set(why, EINVAL, "%s: there is no backend %s", cc->card.name, cc->backend);
	}
	snprintf(card->key, sizeof(card->key), "%s:%s", cc->backend, cc->card.name);
	err = store_card_number(store, card->key, &card->dev, &added, why);
	if (!err && cc->card.slots) {
		card->slots = calloc(cc->card.slots, sizeof(*card->slots));
		card->slots_len = card->slots ? cc->card.slots : 0;
		err = card->slots ? 0 : reason_set(why, ENOMEM, "no memory for slots");
	}
	card->self.card = card;
	card->self.index = -1;
	slot_access(&card->self, config, &cc->access);
	for (unsigned i = 0; i < card->slots_len; i++) {
		card->slots[i].card = card;
		card->slots[i].index = (int)i;
		slot_access(&card->slots[i], config, &cc->access);
	}
	card->host = (struct card_host){ .dev = card->dev, .run_dir = store_run_dir(store), .fresh = fresh,
					 .self_exe = "/proc/self/exe", .wake = host_wake, .core = card };
	if (!err)
		err = card_first_view(card, why);
	if (err) {
		card_free(card);
		return err;
	}
	if (added) {
		struct record r = { .event = "added", .duration_ms = -1 };

		if (slot_record(&card->self, NULL, &r, why))
			log_warn("dev%u: history: %s", card->dev, why->text);
	}
	*out = card;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct card *const *x = a, *const *y = b;

	return (*x)->dev < (*y)->dev ? -1 : (*x)->dev > (*y)->dev;
}

int cards_start(const struct config *config, struct store *store, bool fresh, struct reason *why)
{
	int err;

	cards_the_store = store;
	atomic_store(&cards_ended, false);
	timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (timer_fd < 0)
		return reason_set(why, errno, "making a timer: %s", strerror(errno));
	cards = calloc(config->cards_len ? config->cards_len : 1, sizeof(struct card *));
	if (!cards)
		return reason_set(why, ENOMEM, "no memory for cards");
	for (size_t i = 0; i < config->cards_len; i++) {
		err = card_new(config, &config->cards[i], store, fresh, &cards[cards_len], why);
		if (err)
			return err;
		cards_len++;
	}
	qsort(cards, cards_len, sizeof(struct card *), by_number);
	uploads_restore();
	for (unsigned i = 0; i < cards_len; i++) {
		err = actor_start(cards[i]);
		if (err)
			return reason_set(why, -err, "starting the thread of dev%u: %s", cards[i]->dev,
					  strerror(-err));
	}
	return 0;
}

static pthread_mutex_t taken_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t taken_cond = PTHREAD_COND_INITIALIZER;
static unsigned taken_up;

void cards_taken_up(void)
{
	pthread_mutex_lock(&taken_lock);
	taken_up++;
	pthread_cond_signal(&taken_cond);
	pthread_mutex_unlock(&taken_lock);
}

void cards_settle(int max_ms)
{
	struct timespec deadline;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += max_ms / 1000;
	deadline.tv_nsec += max_ms % 1000 * 1000000L;
	if (deadline.tv_nsec >= 1000000000L) {
		deadline.tv_sec++;
		deadline.tv_nsec -= 1000000000L;
	}
	pthread_mutex_lock(&taken_lock);
	while (taken_up < cards_len && !pthread_cond_timedwait(&taken_cond, &taken_lock, &deadline))
		;
	pthread_mutex_unlock(&taken_lock);
}

/* --- the end ----------------------------------------------------------------------------- */

static void card_end(struct card *card, bool last)
{
	pthread_mutex_lock(&card->lock);
	card->last = last;
	card->ending = true;
	pthread_mutex_unlock(&card->lock);
	actor_wake(card);
}

void cards_stop(bool last)
{
	struct timespec deadline;

	if (atomic_exchange(&cards_ended, true))
		return;
	for (unsigned i = 0; i < cards_len; i++)
		card_end(cards[i], last);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += STOP_SECONDS;
	for (unsigned i = 0; i < cards_len; i++) {
		struct card *card = cards[i];

		if (!card->thread)
			continue;
		if (!pthread_timedjoin_np(card->thread, NULL, &deadline)) {
			card->thread = 0;
			continue;
		}
		/* Ask the run to give up, and let it have a moment for that. */
		log_warn("dev%u does not finish: its run is ended", card->dev);
		actor_cancel(card);
		clock_gettime(CLOCK_REALTIME, &deadline);
		deadline.tv_sec += 2;
		if (!pthread_timedjoin_np(card->thread, NULL, &deadline))
			card->thread = 0;
		else
			log_error("dev%u is left behind: its backend does not answer", card->dev);
	}
	for (unsigned i = 0; i < cards_len; i++)
		if (!cards[i]->thread)
			card_free(cards[i]);
	free(cards);
	cards = NULL;
	cards_len = 0;
	taken_up = 0;
	close(timer_fd);
	timer_fd = -1;
}

/* --- timers ------------------------------------------------------------------------------- */

int cards_timer_fd(void)
{
	return timer_fd;
}

void cards_kick(void)
{
	struct itimerspec now = { .it_value = { .tv_nsec = 1 } };

	if (timer_fd >= 0)
		timerfd_settime(timer_fd, 0, &now, NULL);
}

struct timed {
	struct job job;
};

static void timed_run(struct card *card, struct job *job, bool end)
{
	free(job);
	if (end)
		return;
	if (card->unresolved && clock_mono_ns() >= card->unresolved_ns)
		card_resolve(card);
	if (!card->handle && clock_mono_ns() >= card->retry_ns)
		card_take_up(card);
}

/* The actor's own two deadlines; read without its lock, a moment late does no harm. */
static int64_t actor_due(struct card *card, int64_t now)
{
	const struct card_view *view = card_view_get(card);
	bool offline = view->self.state == STATE_OFFLINE;
	bool programming = view->self.state == STATE_PROGRAMMING;
	int64_t due = -1;

	for (unsigned i = 0; i < view->slots_len; i++)
		programming |= view->slots[i].state == STATE_PROGRAMMING;
	card_view_put(view);
	if (atomic_load(&card->forgotten))
		return -1;
	if (offline)
		due = __atomic_load_n(&card->retry_ns, __ATOMIC_RELAXED) - now;
	else if (programming && __atomic_load_n(&card->unresolved, __ATOMIC_RELAXED))
		due = __atomic_load_n(&card->unresolved_ns, __ATOMIC_RELAXED) - now;
	else
		return -1;
	if (due <= 0) {
		struct job *job = malloc(sizeof(*job));

		if (job) {
			*job = (struct job){ .run = timed_run };
			if (!actor_post(card, job))
				free(job);
		}
		due = INT64_C(1000000000);
	}
	return due;
}

int cards_tick(void)
{
	int64_t now = clock_mono_ns(), next = -1;
	uint64_t expired;

	if (read(timer_fd, &expired, sizeof(expired)) < 0 && errno != EAGAIN)
		log_error("timer: %m");
	for (unsigned i = 0; i < cards_len; i++) {
		/* Opens of a forgotten card end without us (tree_release). */
		int64_t dues[3] = { telemetry_expire(cards[i], now),
				    atomic_load(&cards[i]->forgotten) ? -1 : uploads_expire(cards[i], now),
				    actor_due(cards[i], now) };

		for (int k = 0; k < 3; k++)
			if (dues[k] >= 0 && (next < 0 || dues[k] < next))
				next = dues[k];
	}
	if (next < 0)
		return -1;
	return next > INT64_C(3600000) * 1000000 ? 3600000 : (int)(next / 1000000) + 1;
}
