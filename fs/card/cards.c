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

#include "fs/card/busy.h"
#include "fs/card/card.h"
#include "fs/card/kept.h"
#include "fs/card/upload.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/* What runs at the end may finish; nobody waits longer for it. */
#define SECOND_NS INT64_C(1000000000)
#define STOP_NS	  (30 * SECOND_NS)

static struct card **cards;
static unsigned cards_len;
static unsigned actors_len; /* of all cards */
static struct store *cards_the_store;
static int timer_fd = -1;
static atomic_bool cards_ended;

unsigned cards_count(void)
{
	return cards_len;
}

struct card *cards_nth(unsigned i)
{
	return i < cards_len && !atomic_load(&cards[i]->forgotten) ? cards[i] : NULL;
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

/* Once for cards in a row that have the same: at the start, in one thread. */
static bool unknown_is_news(const char *text)
{
	static char told[sizeof(((struct config_access *)NULL)->owner)];

	return strcmp(told, text) && text_copy(told, sizeof(told), text);
}

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
	if (!pw && unknown_is_news(text))
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
	if (!gr && unknown_is_news(text))
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

void cards_access(const struct config *config, uid_t *uid, gid_t *gid, mode_t *mode)
{
	const struct config_access *all = &config->access;

	*uid = user_id(all->owner, getuid());
	*gid = *all->group ? group_id(all->group, 0) : default_group();
	*mode = (mode_t)(all->mode >= 0 ? all->mode : 0660);
}

/* --- making --------------------------------------------------------------------------- */

/* What can be shown before the card was asked. */
static int slot_first_view(struct slot *slot, struct slot_view *v, bool fresh, struct reason *why)
{
	struct card *card = slot->card;
	bool doubted = false;
	int err = store_slot_load(card->store, card->dev, slot->index, &slot->row, &doubted, why);

	if (err && err != -ENOENT)
		return err;
	if (doubted)
		log_warn("%s: what the store had is not believed: its image is missing or damaged",
			 slot->name);
	v->state = fresh || !*slot->row.state ? STATE_UNKNOWN : state_parse(slot->row.state);
	v->state_ns = slot->row.state_mtime_ns ? slot->row.state_mtime_ns : clock_now_ns();
	text_copy(v->error, sizeof(v->error), slot->row.error);
	v->error_ns = v->loaded_ns = v->check_ns = v->state_ns;
	v->image_ns = *slot->row.loaded_sha256 ? slot->row.image_mtime_ns : 0;
	if (*slot->row.loaded_sha256 && strcmp(slot->row.state, "programming"))
		loaded_parse(slot->row.loaded, &v->loaded, &v->loaded_facts);
	image_static_design(&v->loaded_facts, v->shell, sizeof(v->shell));
	slot_rate_load(slot);
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
	err = slot_first_view(&card->self, &view->self, card->actor.fresh, why);
	for (unsigned i = 0; !err && i < card->slots_len; i++)
		err = slot_first_view(&card->slots[i], &view->slots[i], card->actor.fresh, why);
	return err;
}

static void card_free(struct card *card)
{
	struct actor *actor;

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
	for (unsigned i = 0; (actor = card_actor(card, i)); i++) {
		cleanup_fd(&actor->wake_fd);
		cleanup_fd(&actor->cancel_fd);
	}
	pthread_mutex_destroy(&card->lock);
	pthread_mutex_destroy(&card->edit_lock);
	pthread_mutex_destroy(&card->view_lock);
	free(card->slot_actors);
	free(card->slots);
	free(card);
}

static void slot_init(struct slot *slot, struct card *card, int index, struct actor *actor)
{
	slot->card = card;
	slot->actor = actor;
	slot->index = index;
	if (index < 0)
		snprintf(slot->name, sizeof(slot->name), "dev%u", card->dev);
	else
		snprintf(slot->name, sizeof(slot->name), "dev%u/slots/%d", card->dev, index);
	slot_access(slot, card->config, &card->card_config->access);
}

/* The slots, and who drives what. */
static int card_slots(struct card *card, bool fresh, struct reason *why)
{
	unsigned n = card->card_config->card.slots;
	struct actor *actor;
	int err = 0;

	if (n) {
		card->slots = calloc(n, sizeof(*card->slots));
		if (card->backend->slot_open)
			card->slot_actors = calloc(n, sizeof(*card->slot_actors));
		if (!card->slots || (card->backend->slot_open && !card->slot_actors))
			return reason_set(why, ENOMEM, "no memory for slots");
		card->slots_len = n;
	}
	for (unsigned i = 0; (actor = card_actor(card, i)); i++) {
		actor->wake_fd = actor->cancel_fd = -1;
		actor->fresh = fresh;
	}
	slot_init(&card->self, card, -1, &card->actor);
	for (unsigned i = 0; i < n; i++)
		slot_init(&card->slots[i], card, (int)i,
			  card->slot_actors ? &card->slot_actors[i] : &card->actor);
	for (unsigned i = 0; !err && (actor = card_actor(card, i)); i++)
		err = actor_init(actor, card, card_slot(card, (int)i - 1));
	return err ? reason_set(why, -err, "making the thread of dev%u: %s", card->dev, strerror(-err)) : 0;
}

static int card_new(const struct config *config, const struct config_card *cc, struct store *store,
		    bool fresh, struct card **out, struct reason *why)
{
	struct card *card = calloc(1, sizeof(*card));
	bool added;
	int err;

	if (!card)
		return reason_set(why, ENOMEM, "no memory for a card");
	card->actor.wake_fd = card->actor.cancel_fd = -1;
	pthread_mutex_init(&card->lock, NULL);
	pthread_mutex_init(&card->edit_lock, NULL);
	pthread_mutex_init(&card->view_lock, NULL);
	card->config = config;
	card->card_config = cc;
	card->store = store;
	card->backend = card_backend_find(cc->backend);
	if (!card->backend) {
		card_free(card);
		return reason_set(why, EINVAL, "%s: there is no backend %s", cc->card.name, cc->backend);
	}
	snprintf(card->key, sizeof(card->key), "%s:%s", cc->backend, cc->card.name);
	err = store_card_number(store, card->key, &card->dev, &added, why);
	if (!err)
		err = card_slots(card, fresh, why);
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
		struct actor *actor;

		for (unsigned k = 0; (actor = card_actor(cards[i], k)); k++) {
			err = actor_start(actor);
			if (err)
				return reason_set(why, -err, "starting the thread of %s: %s",
						  actor->slot->name, strerror(-err));
			actors_len++;
		}
	}
	return 0;
}

static pthread_mutex_t taken_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t taken_cond = PTHREAD_COND_INITIALIZER;
static unsigned taken_up;

void cards_taken_up(struct actor *actor)
{
	if (atomic_exchange(&actor->taken_up, true))
		return;
	pthread_mutex_lock(&taken_lock);
	taken_up++;
	pthread_cond_signal(&taken_cond);
	pthread_mutex_unlock(&taken_lock);
}

void cards_settle(int max_ms)
{
	struct timespec deadline = clock_timespec(clock_mono_ns() + (int64_t)max_ms * 1000000);

	pthread_mutex_lock(&taken_lock);
	while (taken_up < actors_len &&
	       !pthread_cond_clockwait(&taken_cond, &taken_lock, CLOCK_MONOTONIC, &deadline))
		;
	pthread_mutex_unlock(&taken_lock);
}

/* --- the end ----------------------------------------------------------------------------- */

/* Wait for an actor that was told to end; *until_ns is put off by what is waited for in vain. */
static void actor_join(struct actor *actor, int64_t *until_ns)
{
	if (!actor->thread)
		return;
	if (!clock_join(actor->thread, *until_ns)) {
		actor->thread = 0;
		return;
	}
	/* Ask the run to give up, and let it have a moment for that. */
	log_warn("%s does not finish: its run is ended", actor->slot->name);
	actor_cancel(actor);
	*until_ns = clock_mono_ns() + 2 * SECOND_NS;
	if (!clock_join(actor->thread, *until_ns))
		actor->thread = 0;
	else
		log_error("%s is left behind: its backend does not answer", actor->slot->name);
}

static bool card_ended(struct card *card)
{
	struct actor *actor;

	for (unsigned i = 0; (actor = card_actor(card, i)); i++)
		if (actor->thread)
			return false;
	return true;
}

void cards_stop(bool last)
{
	struct actor *actor;
	int64_t until_ns;

	if (atomic_exchange(&cards_ended, true))
		return;
	kept_stop();
	for (unsigned i = 0; i < cards_len; i++)
		slot_waits_end(cards[i], 0, true);
	/* The slots first: what runs there may finish before the card goes. */
	for (unsigned i = 0; i < cards_len; i++) {
		for (unsigned k = 1; (actor = card_actor(cards[i], k)); k++)
			actor_end(actor, last);
		if (!cards[i]->slot_actors)
			actor_end(&cards[i]->actor, last);
	}
	until_ns = clock_mono_ns() + STOP_NS;
	for (unsigned i = 0; i < cards_len; i++) {
		for (unsigned k = 1; (actor = card_actor(cards[i], k)); k++)
			actor_join(actor, &until_ns);
		if (cards[i]->slot_actors)
			actor_end(&cards[i]->actor, last);
	}
	for (unsigned i = 0; i < cards_len; i++)
		actor_join(&cards[i]->actor, &until_ns);
	for (unsigned i = 0; i < cards_len; i++)
		if (card_ended(cards[i]))
			card_free(cards[i]);
	free(cards);
	cards = NULL;
	cards_len = 0;
	actors_len = taken_up = 0;
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
	struct actor *actor;
};

static void timed_run(struct card *card, struct job *job, bool end)
{
	struct actor *actor = ((struct timed *)job)->actor;

	(void)card;
	free(job);
	if (end)
		return;
	if (actor->unresolved && clock_mono_ns() >= actor->unresolved_ns)
		actor_resolve(actor);
	if (!actor->handle && clock_mono_ns() >= actor->retry_ns)
		actor_take_up(actor);
}

/* An actor's own two deadlines; read without its lock, a moment late does no harm. */
static int64_t actor_due(struct actor *actor, int64_t now)
{
	struct card *card = actor->card;
	const struct card_view *view = card_view_get(card);
	bool offline = slot_view(view, actor->slot->index)->state == STATE_OFFLINE;
	bool waits = actor->slot->index >= 0 && view->self.state == STATE_OFFLINE;
	bool programming = false;
	struct slot *slot;
	int64_t due = -1;

	for (int i = -1; (slot = card_slot(card, i)); i++)
		programming |= slot->actor == actor && slot_view(view, i)->state == STATE_PROGRAMMING;
	card_view_put(view);
	/* A slot follows its card. */
	if (atomic_load(&card->forgotten) || waits)
		return -1;
	if (offline)
		due = atomic_load(&actor->retry_ns) - now;
	else if (programming && atomic_load(&actor->unresolved))
		due = atomic_load(&actor->unresolved_ns) - now;
	else
		return -1;
	if (due <= 0) {
		struct timed *t = malloc(sizeof(*t));

		if (t) {
			*t = (struct timed){ .job.run = timed_run, .actor = actor };
			if (!actor_post(actor, &t->job))
				free(t);
		}
		due = INT64_C(1000000000);
	}
	return due;
}

/* The earlier of two, of which -1 is never. */
static int64_t due_first(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

int cards_tick(void)
{
	int64_t now = clock_mono_ns(), next = -1;
	uint64_t expired;

	if (read(timer_fd, &expired, sizeof(expired)) < 0 && errno != EAGAIN)
		log_error("timer: %m");
	for (unsigned i = 0; i < cards_len; i++) {
		/* Opens of a forgotten card end without us (tree_release). */
		bool forgotten = atomic_load(&cards[i]->forgotten);
		const int64_t dues[] = { slot_waits_end(cards[i], now, false), telemetry_expire(cards[i], now),
					 forgotten ? -1 : uploads_expire(cards[i], now),
					 forgotten ? -1 : temperature_due(cards[i], now) };
		struct actor *actor;

		for (size_t k = 0; k < sizeof(dues) / sizeof(dues[0]); k++)
			next = due_first(next, dues[k]);
		for (unsigned k = 0; (actor = card_actor(cards[i], k)); k++)
			next = due_first(next, actor_due(actor, now));
	}
	if (next < 0)
		return -1;
	return next > INT64_C(3600000) * 1000000 ? 3600000 : (int)(next / 1000000) + 1;
}
