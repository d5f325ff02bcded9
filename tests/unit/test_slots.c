// SPDX-License-Identifier: Apache-2.0
/*
 * Slots that have an actor each, against a backend that can be held in the
 * middle of a run: what one does never waits for what another does, and what
 * happens to the card happens to all.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/card/card.h"
#include "fs/card/command.h"
#include "fs/card/io.h"
#include "fs/card/upload.h"
#include "fs/daemon/session.h"
#include "fs/tree/node.h"

#include <fabricfs/buf.h>

#define SLOTS 3

/* --- the backend: what is told to it under its lock, as every slot is a thread ----------- */

struct part {
	int slot; /* -1: the card */
	bool open, hold, holding, last;
	char has[SHA256_HEX];
	unsigned news;
	int event; /* readable: there is news */
	pthread_t thread;
};

static struct {
	struct part card, slots[SLOTS];
	bool unplugged;
	char attribute[16];
} fake;
static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fake_cond = PTHREAD_COND_INITIALIZER;

static bool get(const bool *flag)
{
	pthread_mutex_lock(&fake_lock);

	bool value = *flag;

	pthread_mutex_unlock(&fake_lock);
	return value;
}

static void set(bool *flag, bool value)
{
	pthread_mutex_lock(&fake_lock);
	*flag = value;
	pthread_cond_broadcast(&fake_cond);
	pthread_mutex_unlock(&fake_lock);
}

static void wait_for(const bool *flag, bool wanted)
{
	pthread_mutex_lock(&fake_lock);
	while (*flag != wanted)
		pthread_cond_wait(&fake_cond, &fake_lock);
	pthread_mutex_unlock(&fake_lock);
}

static int part_open(struct part *part, int slot, struct reason *why)
{
	if (get(&fake.unplugged))
		return reason_set(why, ENODEV, "the fake card is unplugged");
	part->slot = slot;
	part->thread = pthread_self();
	set(&part->open, true);
	return 0;
}

static int fake_open(const struct card_config *config, const struct card_host *host, void **card,
		     struct card_facts *facts, struct reason *why)
{
	(void)config;
	assert_int_equal(host->slot, -1);
	*card = &fake.card;
	text_copy(facts->part, sizeof(facts->part), "iCE40-HX1K");
	text_copy(facts->formats, sizeof(facts->formats), "ice40");
	facts->can = CARD_CAN_CLEAR;
	facts->endpoints = CARD_ENDPOINT_BIT(CARD_TX);
	facts->image_max = 1 << 20;
	facts->restore = true;
	return part_open(&fake.card, -1, why);
}

static int fake_slot_open(const struct card_config *config, const struct card_host *host, void **slot,
			  struct reason *why)
{
	(void)config;
	*slot = &fake.slots[host->slot];
	return part_open(&fake.slots[host->slot], host->slot, why);
}

/* Every call comes on the thread that opened this part. */
static struct part *mine(void *handle)
{
	struct part *part = handle;

	assert_true(pthread_equal(part->thread, pthread_self()));
	return part;
}

static void fake_close(void *card, bool last)
{
	struct part *part = mine(card);

	part->last = last;
	for (unsigned i = 0; part->slot < 0 && last && i < SLOTS; i++)
		assert_false(get(&fake.slots[i].open)); /* the slots were closed before */
	set(&part->open, false);
}

static int fake_status(void *card, unsigned slot, struct card_status *status, struct reason *why)
{
	struct part *part = mine(card);

	(void)why;
	assert_int_equal(part->slot, slot);
	status->condition = *part->has ? CARD_CONFIGURED : CARD_UNCONFIGURED;
	memcpy(status->sha256, part->has, SHA256_HEX);
	return 0;
}

static int fake_program(void *card, struct card_run *run, struct reason *why)
{
	struct part *part = mine(card);
	struct pollfd p = { .fd = run->cancel_fd, .events = POLLIN };

	assert_int_equal(part->slot, run->slot);
	run->touched = true;
	part->has[0] = '\0';
	if (get(&part->hold)) {
		set(&part->holding, true);
		while (get(&part->hold) && !poll(&p, 1, 1))
			;
		set(&part->holding, false);
	}
	if (p.revents)
		return reason_set(why, ECANCELED, "the fake slot was told to stop");
	memcpy(part->has, run->sha256, SHA256_HEX);
	return 0;
}

static int fake_confirm(void *card, struct card_run *run, struct reason *why)
{
	(void)card;
	(void)why;
	text_copy(run->confirmed_by, sizeof(run->confirmed_by), "the fake's memory");
	return 0;
}

static int fake_clear(void *card, unsigned slot, struct reason *why)
{
	struct part *part = mine(card);

	(void)why;
	assert_int_equal(part->slot, slot);
	part->has[0] = '\0';
	return 0;
}

static int fake_telemetry(void *card, struct card_sensor *sensors, size_t max, struct reason *why)
{
	(void)why;
	assert_int_equal(mine(card)->slot, -1);
	assert_true(max > 0);
	sensors[0] = (struct card_sensor){ .name = "things", .value = 1 };
	return 1;
}

static unsigned fake_endpoints(void *card, unsigned slot)
{
	assert_int_equal(mine(card)->slot, slot);
	return CARD_ENDPOINT_BIT(CARD_TX);
}

static void fake_io_submit(void *card, struct card_io *io)
{
	assert_int_equal(mine(card)->slot, io->slot);
	io->done(io, 0, io->size);
}

static void fake_io_cancel(void *card, struct card_io *io)
{
	(void)card;
	(void)io;
	fail_msg("nothing is ever pending");
}

static unsigned fake_io_ready(void *card, unsigned slot)
{
	(void)card;
	(void)slot;
	return 0;
}

static int fake_poll_fd(void *card)
{
	return ((struct part *)card)->event;
}

static unsigned fake_pump(void *card, struct reason *why)
{
	struct part *part = mine(card);
	uint64_t count;
	unsigned news;

	if (read(part->event, &count, sizeof(count)) < 0)
		return 0;
	pthread_mutex_lock(&fake_lock);
	news = part->news;
	part->news = 0;
	pthread_mutex_unlock(&fake_lock);
	reason_set(why, ENODEV, "the fake card said so");
	return news;
}

static void tell(struct part *part, unsigned news)
{
	uint64_t one = 1;

	pthread_mutex_lock(&fake_lock);
	part->news = news;
	if (news == CARD_NEWS_LOST)
		part->has[0] = '\0';
	pthread_mutex_unlock(&fake_lock);
	assert_int_equal(write(part->event, &one, sizeof(one)), sizeof(one));
}

static int fake_attr_set(const struct card_config *config, const struct card_host *host, void *card,
			 uint64_t id, const char *name, const char *value, struct reason *why)
{
	(void)config;
	(void)id;
	(void)name;
	(void)why;
	if (card)
		assert_int_equal(mine(card)->slot, host->slot);
	if (host->slot < 0)
		set(&fake.unplugged, false);
	else
		text_copy(fake.attribute, sizeof(fake.attribute), value);
	return 0;
}

static int fake_attr_list(const struct card_config *config, const struct card_host *host,
			  struct card_attrs *out, struct reason *why)
{
	(void)config;
	(void)why;
	out->len = 0;
	if (host->slot == 1 && *fake.attribute) {
		memcpy(out->text, "mark", 5);
		memcpy(out->text + 5, fake.attribute, strlen(fake.attribute) + 1);
		out->len = 5 + strlen(fake.attribute) + 1;
	}
	return 0;
}

static const struct card_backend fake_backend = {
	.version = CARD_ABI, .name = "fake", .open = fake_open, .slot_open = fake_slot_open,
	.close = fake_close, .status = fake_status, .program = fake_program, .confirm = fake_confirm,
	.clear = fake_clear, .telemetry = fake_telemetry, .endpoints = fake_endpoints,
	.io_submit = fake_io_submit, .io_cancel = fake_io_cancel, .io_ready = fake_io_ready,
	.poll_fd = fake_poll_fd, .pump = fake_pump, .attr_set = fake_attr_set,
	.attr_list = fake_attr_list,
};

/* The linker puts this in place of the table's look-up (tests.mk). */
const struct card_backend *__wrap_card_backend_find(const char *name);
const struct card_backend *__wrap_card_backend_find(const char *name)
{
	return strcmp(name, "fake") ? NULL : &fake_backend;
}

/* --- the bench ---------------------------------------------------------------------------- */

static char state_dir[32];
static struct store *store;
static struct card *card;
static struct config_card config_card;
static struct config config;
static char image[1 << 16];
static size_t image_len;
static uint64_t next_run = 1000;

struct answer {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int err;
};
#define ANSWER { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 }

static void answered(void *arg, int err)
{
	struct answer *a = arg;

	pthread_mutex_lock(&a->lock);
	a->done = true;
	a->err = err;
	pthread_cond_signal(&a->cond);
	pthread_mutex_unlock(&a->lock);
}

static int answer_wait(struct answer *a)
{
	pthread_mutex_lock(&a->lock);
	while (!a->done)
		pthread_cond_wait(&a->cond, &a->lock);
	pthread_mutex_unlock(&a->lock);
	return a->err;
}

/* An upload of the image, up to where its judge has to answer. */
static struct upload *upload_begin(int slot, struct reason *why)
{
	struct who who = { .uid = 1000, .pid = 7, .command = "cp", .user = "al" };
	struct upload *u;
	bool fresh;

	if (upload_open(card_slot(card, slot), false, O_WRONLY | O_TRUNC,
			node_make(NODE_CARD, 0, slot, FILE_IMAGE), &who, NULL, &u, why))
		return NULL;
	assert_int_equal(upload_write(u, image, image_len, 0, &fresh, why), image_len);
	return u;
}

static void upload_finish(struct upload *u)
{
	upload_drop(u);
	upload_put(u);
}

static int copy(int slot)
{
	struct answer a = ANSWER;
	struct reason why = { 0 };
	struct upload *u = upload_begin(slot, &why);
	int err;

	if (!u)
		return why.err;
	upload_judge(u, JUDGE_FLUSH, false, next_run++, answered, &a);
	err = answer_wait(&a);
	upload_finish(u);
	return err;
}

static int command(int slot, const char *word)
{
	struct answer a = ANSWER;
	struct who who = { .uid = 0 };
	struct reason why;
	int err = command_post(card_slot(card, slot), word, strlen(word), &who, next_run++, answered, &a,
			       &why);

	return err ? -err : answer_wait(&a);
}

static int attribute(int slot, const char *value)
{
	struct answer a = ANSWER;
	int err = slot_attribute_set(card_slot(card, slot), next_run++, "mark", value, answered, &a);

	return err ? -err : answer_wait(&a);
}

static void io_answered(struct io_call *call, int err, size_t moved)
{
	(void)moved;
	answered(call->arg, err);
}

static int io(int slot)
{
	struct answer a = ANSWER;
	char byte = 0;
	struct slot *s = card_slot(card, slot);
	struct io_call call = {
		.io = { .endpoint = CARD_TX, .slot = (unsigned)slot, .write = true, .data = &byte, .size = 1 },
		.slot = s, .load = atomic_load(&s->load), .done = io_answered, .arg = &a,
	};

	io_call_submit(&call);
	return answer_wait(&a);
}

static enum state state_of(int slot)
{
	return slot_state(card_slot(card, slot));
}

/* Until all that the actors were told so far is done: a job that does nothing, through each. */
struct nothing {
	struct job job;
	struct answer answer;
};

static void nothing_run(struct card *c, struct job *job, bool end)
{
	(void)c;
	answered(&((struct nothing *)job)->answer, end);
}

static void rest(void)
{
	struct actor *actor;

	/* Twice: what the card's actor does makes work for the others. */
	for (unsigned i = 0; i < 2 * (SLOTS + 1); i++) {
		struct nothing n = { .job.run = nothing_run, .answer = ANSWER };

		actor = card_actor(card, i % (SLOTS + 1));
		assert_non_null(actor);
		assert_true(actor_post(actor, &n.job));
		assert_int_equal(answer_wait(&n.answer), 0);
	}
}

/* What is shown has changed. */
static void changed(int dev, int slot, unsigned what)
{
	(void)dev;
	(void)slot;
	(void)what;
	pthread_mutex_lock(&fake_lock);
	pthread_cond_broadcast(&fake_cond);
	pthread_mutex_unlock(&fake_lock);
}

static void wait_state(int slot, enum state state, uint64_t load)
{
	pthread_mutex_lock(&fake_lock);
	while (state_of(slot) != state || atomic_load(&card_slot(card, slot)->load) < load)
		pthread_cond_wait(&fake_cond, &fake_lock);
	pthread_mutex_unlock(&fake_lock);
	rest();
}

static void up(bool fresh)
{
	struct reason why = { 0 };

	if (store_open(state_dir, fresh, &store, &why))
		fail_msg("store: %s", why.text);
	if (cards_start(&config, store, fresh, &why))
		fail_msg("cards: %s", why.text);
	card = cards_find(0);
	assert_non_null(card);
	cards_settle(20000);
}

static void down(bool last)
{
	cards_stop(last);
	store_close(store);
}

static int setup(void **arg)
{
	static bool attached;
	struct reason why = { 0 };
	FILE *f = fopen("contrib/examples/upper/upper.bin", "rb");

	(void)arg;
	if (!f)
		fail_msg("an example is missing: run the tests from the top of the project");
	image_len = fread(image, 1, sizeof(image), f);
	fclose(f);
	text_copy(state_dir, sizeof(state_dir), "/tmp/fabricfs-slots-XXXXXX");
	assert_non_null(mkdtemp(state_dir));
	memset(&fake, 0, sizeof(fake));
	fake.card.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (int i = 0; i < SLOTS; i++)
		fake.slots[i].event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	config_card = (struct config_card){ .card = { .name = "four", .part = "", .slots = SLOTS } };
	config_card.backend = (char *)"fake";
	config_card.access.mode = -1;
	config_card.policy.require_signature = config_card.policy.accept_unsized = -1;
	config_card.policy.skip_identical = config_card.policy.on_failure_rollback = -1;
	config_card.policy.restore = config_card.policy.force_bound = -1;
	config = (struct config){ .cards = &config_card, .cards_len = 1, .telemetry_max_age_ms = 0,
				  .upload_timeout_ms = 600000 };
	config.access.mode = -1;
	if (!attached) {
		int fd = session_create();

		assert_true(fd >= 0);
		assert_int_equal(session_attach(fd, &why), 0);
		attached = true;
	}
	cards_listen(changed);
	up(true);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static int teardown(void **arg)
{
	(void)arg;
	down(true);
	close(fake.card.event);
	for (int i = 0; i < SLOTS; i++)
		close(fake.slots[i].event);
	return nftw(state_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- claims ------------------------------------------------------------------------------------ */

static void each_slot_is_asked_what_it_has_before_the_cards_are_settled(void **arg)
{
	(void)arg;
	for (int i = -1; i < SLOTS; i++)
		assert_int_equal(state_of(i), STATE_UNCONFIGURED);
	for (int i = 0; i < SLOTS; i++)
		assert_false(pthread_equal(fake.slots[i].thread, fake.card.thread));
}

static void a_slot_that_is_programmed_holds_up_nothing_else(void **arg)
{
	struct answer held = ANSWER;
	struct reason why = { 0 };
	struct upload *u;

	(void)arg;
	assert_int_equal(copy(1), 0);
	set(&fake.slots[0].hold, true);
	u = upload_begin(0, &why);
	assert_non_null(u);
	upload_judge(u, JUDGE_FLUSH, false, next_run++, answered, &held);
	wait_for(&fake.slots[0].holding, true);

	assert_int_equal(state_of(0), STATE_PROGRAMMING);
	assert_int_equal(io(1), 0);
	assert_int_equal(copy(2), 0);
	assert_int_equal(command(1, "reload"), 0);
	assert_int_equal(command(1, "clear"), 0);
	assert_int_equal(attribute(1, "x"), 0);
	for (int i = 0; i < 3; i++) {
		struct answer a = ANSWER;

		card_telemetry_refresh(card, answered, &a);
		assert_int_equal(answer_wait(&a), 0);
	}
	assert_true(get(&fake.slots[0].holding));
	assert_int_equal(state_of(0), STATE_PROGRAMMING);
	assert_int_equal(state_of(1), STATE_UNCONFIGURED);
	assert_int_equal(state_of(2), STATE_CONFIGURED);

	/* Its own are refused, as those of a card would be. */
	assert_int_equal(copy(0), EBUSY);
	assert_int_equal(command(0, "clear"), EBUSY);
	set(&fake.slots[0].hold, false);
	assert_int_equal(answer_wait(&held), 0);
	upload_finish(u);
	assert_int_equal(state_of(0), STATE_CONFIGURED);
}

static void a_stop_ends_the_run_of_its_slot_only(void **arg)
{
	static const struct who root = { .uid = 0 };
	struct answer held[2] = { ANSWER, ANSWER };
	struct reason why = { 0 };
	struct upload *u[2];

	(void)arg;
	for (int i = 0; i < 2; i++) {
		set(&fake.slots[i].hold, true);
		u[i] = upload_begin(i, &why);
		assert_non_null(u[i]);
		upload_judge(u[i], JUDGE_FLUSH, false, next_run++, answered, &held[i]);
		wait_for(&fake.slots[i].holding, true);
	}
	assert_int_equal(command_stop(card_slot(card, 1), "upload\n", 7, &root), 0);
	assert_int_equal(answer_wait(&held[1]), ECANCELED);
	assert_int_equal(state_of(1), STATE_FAILED);
	assert_true(get(&fake.slots[0].holding));
	set(&fake.slots[0].hold, false);
	assert_int_equal(answer_wait(&held[0]), 0);
	for (int i = 0; i < 2; i++)
		upload_finish(u[i]);
}

static void the_card_itself_takes_no_image_and_no_command(void **arg)
{
	struct reason why = { 0 };

	(void)arg;
	assert_null(upload_begin(-1, &why));
	assert_int_equal(why.err, EOPNOTSUPP);
	assert_non_null(strstr(why.text, "slots/2"));
	assert_int_equal(command(-1, "clear"), EOPNOTSUPP);
	assert_int_equal(command(0, "forget"), EOPNOTSUPP);
}

static void what_one_slot_loses_it_gets_back_and_no_other_notices(void **arg)
{
	uint64_t load;

	(void)arg;
	assert_int_equal(copy(0), 0);
	assert_int_equal(copy(1), 0);
	load = atomic_load(&card_slot(card, 0)->load);
	tell(&fake.slots[1], CARD_NEWS_LOST);
	wait_state(1, STATE_CONFIGURED, load + 1);
	assert_true(*fake.slots[1].has);
	assert_int_equal(atomic_load(&card_slot(card, 0)->load), load);
	assert_int_equal(io(0), 0);
}

static void slots_go_offline_with_their_card_and_come_back_with_it(void **arg)
{
	(void)arg;
	assert_int_equal(copy(2), 0);
	set(&fake.unplugged, true);
	tell(&fake.card, CARD_NEWS_GONE);
	for (int i = -1; i < SLOTS; i++)
		wait_state(i, STATE_OFFLINE, 0);
	assert_false(get(&fake.slots[2].open));
	assert_int_equal(copy(2), ENODEV);
	assert_int_equal(command(2, "reload"), ENODEV);
	/* What the core does after any attribute of a card that is away was set. */
	assert_int_equal(attribute(-1, "back"), 0);
	wait_state(-1, STATE_UNCONFIGURED, 0);
	wait_state(2, STATE_CONFIGURED, 0);
	assert_int_equal(state_of(0), STATE_UNCONFIGURED);
	assert_int_equal(io(2), 0);
}

static void attributes_belong_to_the_slot_that_they_were_set_on(void **arg)
{
	const struct card_view *v;

	(void)arg;
	assert_int_equal(attribute(1, "hot"), 0);
	v = card_view_get(card);
	assert_string_equal(slot_attribute(slot_view(v, 1), "mark"), "hot");
	assert_null(slot_attribute(slot_view(v, 0), "mark"));
	assert_null(slot_attribute(slot_view(v, -1), "mark"));
	card_view_put(v);
}

static void a_worker_that_takes_over_finds_every_slot_as_it_was(void **arg)
{
	uint64_t load;

	(void)arg;
	assert_int_equal(copy(0), 0);
	assert_int_equal(copy(1), 0);
	load = atomic_load(&card_slot(card, 1)->load);
	down(false);
	fake.slots[0].has[0] = '\0'; /* lost meanwhile */
	up(false);
	rest();
	assert_int_equal(state_of(1), STATE_CONFIGURED);
	assert_int_equal(atomic_load(&card_slot(card, 1)->load), load);
	assert_int_equal(state_of(0), STATE_CONFIGURED);
	assert_true(*fake.slots[0].has);
}

/* Lets the run go on only once its actor was told to end. */
static void *let_go(void *arg)
{
	struct actor *actor = card_slot(card, 2)->actor;
	bool ending = false;

	(void)arg;
	while (!ending) {
		pthread_mutex_lock(&card->lock);
		ending = actor->ending;
		pthread_mutex_unlock(&card->lock);
		sched_yield();
	}
	assert_true(get(&fake.card.open));
	set(&fake.slots[2].hold, false);
	return NULL;
}

static void the_end_waits_for_a_run_and_closes_the_slots_before_the_card(void **arg)
{
	struct answer held = ANSWER;
	struct reason why = { 0 };
	struct upload *u;
	pthread_t thread;

	(void)arg;
	fake.slots[2].hold = true;
	u = upload_begin(2, &why);
	assert_non_null(u);
	upload_judge(u, JUDGE_FLUSH, false, next_run++, answered, &held);
	wait_for(&fake.slots[2].holding, true);
	assert_int_equal(pthread_create(&thread, NULL, let_go, NULL), 0);
	down(true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(answer_wait(&held), 0);
	upload_put(u);
	assert_true(fake.card.last && fake.slots[0].last && fake.slots[2].last);
	up(true);
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(each_slot_is_asked_what_it_has_before_the_cards_are_settled),
		CLAIM(a_slot_that_is_programmed_holds_up_nothing_else),
		CLAIM(a_stop_ends_the_run_of_its_slot_only),
		CLAIM(the_card_itself_takes_no_image_and_no_command),
		CLAIM(what_one_slot_loses_it_gets_back_and_no_other_notices),
		CLAIM(slots_go_offline_with_their_card_and_come_back_with_it),
		CLAIM(attributes_belong_to_the_slot_that_they_were_set_on),
		CLAIM(a_worker_that_takes_over_finds_every_slot_as_it_was),
		CLAIM(the_end_waits_for_a_run_and_closes_the_slots_before_the_card),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
