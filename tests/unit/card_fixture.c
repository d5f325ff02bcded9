// SPDX-License-Identifier: Apache-2.0
/* The card, its backend and their bench (card_fixture.h). */
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/card_fixture.h"

/* --- the backend ---------------------------------------------------------------------- */

struct fake fake;
pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t fake_cond = PTHREAD_COND_INITIALIZER;

void fake_wait(bool *flag, bool wanted)
{
	pthread_mutex_lock(&fake_lock);
	while (*flag != wanted)
		pthread_cond_wait(&fake_cond, &fake_lock);
	pthread_mutex_unlock(&fake_lock);
}

bool fake_get(const bool *flag)
{
	bool value;

	pthread_mutex_lock(&fake_lock);
	value = *flag;
	pthread_mutex_unlock(&fake_lock);
	return value;
}

void fake_set(bool *flag, bool value)
{
	pthread_mutex_lock(&fake_lock);
	*flag = value;
	pthread_cond_broadcast(&fake_cond);
	pthread_mutex_unlock(&fake_lock);
}

static int called(const char *name, struct reason *why)
{
	size_t n = strlen(fake.calls);

	snprintf(fake.calls + n, sizeof(fake.calls) - n, "%s%s", n ? " " : "", name);
	if (fake.fail_at && !strcmp(fake.fail_at, name))
		return reason_set(why, EIO, "the fake card fails at %s", name);
	return 0;
}

static int fake_check(const struct card_config *its_config, struct reason *why)
{
	(void)its_config;
	(void)why;
	return 0;
}

static int fake_open(const struct card_config *its_config, const struct card_host *host, void **handle,
		     struct card_facts *facts, struct reason *why)
{
	(void)its_config;
	(void)host;
	*handle = &fake;
	text_copy(facts->part, sizeof(facts->part), "iCE40-HX1K");
	text_copy(facts->formats, sizeof(facts->formats), "ice40");
	facts->can = CARD_CAN_CLEAR | CARD_CAN_RESET | CARD_CAN_READBACK;
	facts->image_max = 1 << 20;
	facts->restore = true;
	return called("open", why);
}

static void fake_close(void *handle, bool last)
{
	(void)handle;
	called(last ? "close-last" : "close", NULL);
}

static int fake_status(void *handle, unsigned slot, struct card_status *status, struct reason *why)
{
	(void)handle;
	(void)slot;
	status->condition = *fake.has ? CARD_CONFIGURED : CARD_UNCONFIGURED;
	memcpy(status->sha256, fake.has, SHA256_HEX);
	return called("status", why);
}

static int fake_accept(void *handle, const struct card_run *run, struct reason *why)
{
	struct stat st;

	(void)handle;
	fake.accept_size = fstat(run->fd, &st) ? -1 : st.st_size;
	return called("accept", why);
}

static int fake_program(void *handle, struct card_run *run, struct reason *why)
{
	int err;

	(void)handle;
	run->touched = !fake.fail_untouched;
	err = called("program", why);
	if (fake_get(&fake.hold)) {
		struct pollfd p = { .fd = run->cancel_fd, .events = POLLIN };

		pthread_mutex_lock(&fake_lock);
		fake.holds++;
		pthread_mutex_unlock(&fake_lock);
		fake_set(&fake.holding, true);
		while (fake_get(&fake.hold) && !poll(&p, 1, 1))
			;
		fake_set(&fake.holding, false);
		if (p.revents)
			err = reason_set(why, ECANCELED, "the fake card was told to stop");
	}
	if (!err && fake.good_blob_only && strcmp(run->sha256, fake.first))
		err = reason_set(why, EIO, "the fake card takes only its first image");
	if (run->touched)
		fake.has[0] = '\0';
	if (!*fake.first)
		memcpy(fake.first, run->sha256, SHA256_HEX);
	if (!err && !fake.lies)
		memcpy(fake.has, run->sha256, SHA256_HEX);
	return err;
}

static int fake_confirm(void *handle, struct card_run *run, struct reason *why)
{
	int err = called("confirm", why);

	(void)handle;
	if (!err && strcmp(fake.has, run->sha256))
		err = reason_set(why, EIO, "the fake card reports DONE low");
	text_copy(run->confirmed_by, sizeof(run->confirmed_by), "the fake's memory");
	return err;
}

static int fake_clear(void *handle, unsigned slot, struct reason *why)
{
	(void)handle;
	(void)slot;
	fake.has[0] = '\0';
	return called("clear", why);
}

static int fake_reset(void *handle, unsigned slot, struct reason *why)
{
	(void)handle;
	(void)slot;
	return called("reset", why);
}

static int fake_verify(void *handle, struct card_run *run, struct reason *why)
{
	(void)handle;
	(void)run;
	return called("verify", why);
}

static const struct card_backend fake_backend = {
	.version = CARD_ABI, .name = "fake", .check = fake_check, .open = fake_open,
	.close = fake_close, .status = fake_status, .accept = fake_accept, .program = fake_program,
	.confirm = fake_confirm, .clear = fake_clear, .reset = fake_reset, .verify = fake_verify,
};

/* The linker puts this in place of the table's look-up (tests.mk). */
const struct card_backend *__wrap_card_backend_find(const char *name);
const struct card_backend *__wrap_card_backend_find(const char *name)
{
	return strcmp(name, "fake") ? NULL : &fake_backend;
}

/* --- the bench ---------------------------------------------------------------------------- */

char state_dir[] = "/tmp/fabricfs-card-XXXXXX";
struct store *store;
struct card *card;
struct config_card config_card;
struct config config;
char image[2][1 << 16];
size_t image_len[2];
uint64_t next_run = 1000;

static void image_read_file(int i, const char *path)
{
	FILE *f = fopen(path, "rb");

	if (!f)
		fail_msg("%s is missing: run the tests from the top of the project", path);
	image_len[i] = fread(image[i], 1, sizeof(image[i]), f);
	fclose(f);
}

void card_up(bool fresh)
{
	struct reason why = { 0 };

	if (store_open(state_dir, fresh, &store, &why))
		fail_msg("store: %s", why.text);
	if (cards_start(&config, store, fresh, &why))
		fail_msg("cards: %s", why.text);
	card = cards_find(0);
	assert_non_null(card);
}

void barrier_done(void *arg, int err)
{
	struct barrier *b = arg;

	pthread_mutex_lock(&b->lock);
	b->done = true;
	b->err = err;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->lock);
}

int barrier_wait(struct barrier *b)
{
	pthread_mutex_lock(&b->lock);
	while (!b->done)
		pthread_cond_wait(&b->cond, &b->lock);
	pthread_mutex_unlock(&b->lock);
	return b->err;
}

int command(const char *word)
{
	struct barrier b = BARRIER;
	struct who who = { .uid = 0 };
	struct reason why;
	int err = command_post(&card->self, word, strlen(word), &who, next_run++, barrier_done, &b, &why);

	return err ? -err : barrier_wait(&b);
}

/* Bring the actor to rest: an unknown word changes nothing but `error`, so use a telemetry read. */
void settle(void)
{
	struct barrier b = BARRIER;

	card_telemetry_refresh(card, barrier_done, &b);
	barrier_wait(&b);
}

int upload_run(int i, size_t n, int flags, uint64_t run)
{
	struct barrier b = BARRIER;
	struct who who = { .uid = 1000, .pid = 7, .command = "cp", .user = "al" };
	struct upload *u;
	struct reason why = { 0 };
	bool fresh;
	int err = upload_open(&card->self, false, flags, node_make(NODE_CARD, 0, -1, FILE_IMAGE), &who,
			      NULL, &u, &why);

	if (err)
		return -err;
	err = upload_write(u, image[i], n, 0, &fresh, &why);
	if (err < 0) {
		upload_drop(u);
		upload_put(u);
		return -err;
	}
	upload_judge(u, JUDGE_FLUSH, false, run, barrier_done, &b);
	err = barrier_wait(&b);
	upload_drop(u);
	upload_put(u);
	return err;
}

int copy(int i)
{
	return upload_run(i, image_len[i], O_WRONLY | O_TRUNC, next_run++);
}

enum state state_now(void)
{
	const struct card_view *v = card_view_get(card);
	enum state s = v->self.state;

	card_view_put(v);
	return s;
}

bool loaded_now(char sha256[SHA256_HEX])
{
	const struct card_view *v = card_view_get(card);

	memcpy(sha256, v->self.loaded.sha256, SHA256_HEX);
	card_view_put(v);
	return *sha256;
}

void error_now(char text[REASON_MAX])
{
	const struct card_view *v = card_view_get(card);

	text_copy(text, REASON_MAX, v->self.error);
	card_view_put(v);
}

void history_now(struct buf *b)
{
	struct reason why;

	buf_clear(b);
	assert_int_equal(store_records(store, 0, 0, STORE_HISTORY_MAX, b, NULL, NULL, &why), 0);
	buf_adds(b, "");
}

int setup(void **arg)
{
	struct reason why = { 0 };
	static bool attached;

	(void)arg;
	text_copy(state_dir, sizeof(state_dir), "/tmp/fabricfs-card-XXXXXX");
	assert_non_null(mkdtemp(state_dir));
	memset(&fake, 0, sizeof(fake));
	memset(&config, 0, sizeof(config));
	memset(&config_card, 0, sizeof(config_card));
	config_card.card.name = "bench";
	config_card.card.part = "";
	config_card.backend = (char *)"fake";
	config_card.access.mode = -1;
	config_card.policy.require_signature = config_card.policy.accept_unsized = -1;
	config_card.policy.skip_identical = config_card.policy.on_failure_rollback = -1;
	config_card.policy.restore = config_card.policy.force_bound = -1;
	config.access.mode = -1;
	config.cards = &config_card;
	config.cards_len = 1;
	config.telemetry_max_age_ms = 1000;
	config.upload_timeout_ms = 600000;
	if (!attached) {
		int fd = session_create();

		assert_true(fd >= 0);
		assert_int_equal(session_attach(fd, &why), 0);
		attached = true;
	}
	image_read_file(0, "contrib/examples/upper/upper.bin");
	image_read_file(1, "contrib/examples/blink/blink.bin");
	card_up(true);
	settle();
	return 0;
}

void card_down(void)
{
	/* cards_stop() is for the end of a process: here it is called for each test. */
	cards_stop(true);
	store_close(store);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

int teardown(void **arg)
{
	(void)arg;
	card_down();
	return nftw(state_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct upload *upload_begin(const char *name, bool check)
{
	struct who who = { .uid = 1000, .pid = 7, .command = "cp", .user = "al" };
	struct reason why = { 0 };
	struct upload *u;

	assert_int_equal(upload_open(&card->self, check, O_WRONLY | O_TRUNC,
				     node_make(NODE_CARD, 0, -1, check ? FILE_CHECK : FILE_IMAGE), &who,
				     name, &u, &why), 0);
	return u;
}

void upload_fill(struct upload *u, int i)
{
	struct reason why = { 0 };
	bool fresh;

	assert_int_equal(upload_write(u, image[i], image_len[i], 0, &fresh, &why), (int)image_len[i]);
}

void upload_finish(struct upload *u)
{
	upload_drop(u);
	upload_put(u);
}

int judge(struct upload *u, enum judge_kind kind, uint64_t run)
{
	struct barrier b = BARRIER;

	upload_judge(u, kind, false, run, barrier_done, &b);
	return barrier_wait(&b);
}

uint64_t load_now(void)
{
	const struct card_view *v = card_view_get(card);
	uint64_t load = v->self.load;

	card_view_put(v);
	return load;
}
