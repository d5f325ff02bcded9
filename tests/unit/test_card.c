// SPDX-License-Identifier: Apache-2.0
/*
 * The core of a card against a backend that records the order of its calls and
 * fails where it is told to: what is done in which order, and what is shown,
 * stored and kept when a step fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/card/card.h"
#include "fs/card/command.h"
#include "fs/card/upload.h"
#include "fs/daemon/session.h"
#include "fs/tree/node.h"

#include <fabricfs/buf.h>

/* --- the backend ---------------------------------------------------------------------- */

static struct {
	char calls[512];
	const char *fail_at;      /* name of the call that fails with EIO */
	bool lies;                /* program says yes, the card has nothing */
	bool fail_untouched;      /* program fails before its first byte */
	char has[SHA256_HEX];     /* what the card has */
	bool good_blob_only;      /* program fails for everything but what it had first */
	char first[SHA256_HEX];
	int64_t accept_size;      /* of the descriptor that accept was given */
	bool hold;                /* program waits until it is let go or cancelled */
	bool holding;
	unsigned holds;           /* how often program began to wait */
} fake;
static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fake_cond = PTHREAD_COND_INITIALIZER;

static void fake_wait(bool *flag, bool wanted)
{
	pthread_mutex_lock(&fake_lock);
	while (*flag != wanted)
		pthread_cond_wait(&fake_cond, &fake_lock);
	pthread_mutex_unlock(&fake_lock);
}

static bool fake_get(const bool *flag)
{
	bool value;

	pthread_mutex_lock(&fake_lock);
	value = *flag;
	pthread_mutex_unlock(&fake_lock);
	return value;
}

static void fake_set(bool *flag, bool value)
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

static int fake_check(const struct card_config *config, struct reason *why)
{
	(void)config;
	(void)why;
	return 0;
}

static int fake_open(const struct card_config *config, const struct card_host *host, void **card,
		     struct card_facts *facts, struct reason *why)
{
	(void)config;
	(void)host;
	*card = &fake;
	text_copy(facts->part, sizeof(facts->part), "iCE40-HX1K");
	text_copy(facts->formats, sizeof(facts->formats), "ice40");
	facts->can = CARD_CAN_CLEAR | CARD_CAN_RESET | CARD_CAN_READBACK;
	facts->image_max = 1 << 20;
	facts->restore = true;
	return called("open", why);
}

static void fake_close(void *card, bool last)
{
	(void)card;
	called(last ? "close-last" : "close", NULL);
}

static int fake_status(void *card, unsigned slot, struct card_status *status, struct reason *why)
{
	(void)card;
	(void)slot;
	status->condition = *fake.has ? CARD_CONFIGURED : CARD_UNCONFIGURED;
	memcpy(status->sha256, fake.has, SHA256_HEX);
	return called("status", why);
}

static int fake_accept(void *card, const struct card_run *run, struct reason *why)
{
	struct stat st;

	(void)card;
	fake.accept_size = fstat(run->fd, &st) ? -1 : st.st_size;
	return called("accept", why);
}

static int fake_program(void *card, struct card_run *run, struct reason *why)
{
	int err;

	(void)card;
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

static int fake_confirm(void *card, struct card_run *run, struct reason *why)
{
	int err = called("confirm", why);

	(void)card;
	if (!err && strcmp(fake.has, run->sha256))
		err = reason_set(why, EIO, "the fake card reports DONE low");
	text_copy(run->confirmed_by, sizeof(run->confirmed_by), "the fake's memory");
	return err;
}

static int fake_clear(void *card, unsigned slot, struct reason *why)
{
	(void)card;
	(void)slot;
	fake.has[0] = '\0';
	return called("clear", why);
}

static int fake_reset(void *card, unsigned slot, struct reason *why)
{
	(void)card;
	(void)slot;
	return called("reset", why);
}

static int fake_verify(void *card, struct card_run *run, struct reason *why)
{
	(void)card;
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

static char state_dir[] = "/tmp/fabricfs-card-XXXXXX";
static struct store *store;
static struct card *card;
static struct config_card config_card;
static struct config config;
static char image[2][1 << 16];
static size_t image_len[2];
static uint64_t next_run = 1000;

static void image_read_file(int i, const char *path)
{
	FILE *f = fopen(path, "rb");

	if (!f)
		fail_msg("%s is missing: run the tests from the top of the project", path);
	image_len[i] = fread(image[i], 1, sizeof(image[i]), f);
	fclose(f);
}

static void card_up(bool fresh)
{
	struct reason why = { 0 };

	if (store_open(state_dir, fresh, &store, &why))
		fail_msg("store: %s", why.text);
	if (cards_start(&config, store, fresh, &why))
		fail_msg("cards: %s", why.text);
	card = cards_find(0);
	assert_non_null(card);
}

/* A job that only says that all before it are done. */
struct barrier {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int err;
};

static void barrier_done(void *arg, int err)
{
	struct barrier *b = arg;

	pthread_mutex_lock(&b->lock);
	b->done = true;
	b->err = err;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->lock);
}

static int barrier_wait(struct barrier *b)
{
	pthread_mutex_lock(&b->lock);
	while (!b->done)
		pthread_cond_wait(&b->cond, &b->lock);
	pthread_mutex_unlock(&b->lock);
	return b->err;
}

#define BARRIER { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 }

static int command(const char *word)
{
	struct barrier b = BARRIER;
	struct who who = { .uid = 0 };
	struct reason why;
	int err = command_post(&card->self, word, strlen(word), &who, next_run++, barrier_done, &b, &why);

	return err ? -err : barrier_wait(&b);
}

/* Bring the actor to rest: an unknown word changes nothing but `error`, so use a telemetry read. */
static void settle(void)
{
	struct barrier b = BARRIER;

	card_telemetry_refresh(card, barrier_done, &b);
	barrier_wait(&b);
}

static int upload_run(int i, size_t n, int flags, uint64_t run)
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

static int copy(int i)
{
	return upload_run(i, image_len[i], O_WRONLY | O_TRUNC, next_run++);
}

static enum state state_now(void)
{
	const struct card_view *v = card_view_get(card);
	enum state s = v->self.state;

	card_view_put(v);
	return s;
}

static bool loaded_now(char sha256[SHA256_HEX])
{
	const struct card_view *v = card_view_get(card);

	memcpy(sha256, v->self.loaded.sha256, SHA256_HEX);
	card_view_put(v);
	return *sha256;
}

static void error_now(char text[REASON_MAX])
{
	const struct card_view *v = card_view_get(card);

	text_copy(text, REASON_MAX, v->self.error);
	card_view_put(v);
}

static void history_now(struct buf *b)
{
	struct reason why;

	buf_clear(b);
	assert_int_equal(store_records(store, 0, 0, STORE_HISTORY_MAX, b, NULL, NULL, &why), 0);
	buf_adds(b, "");
}

static int setup(void **arg)
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

static void card_down(void)
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

static int teardown(void **arg)
{
	(void)arg;
	card_down();
	return nftw(state_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- claims ------------------------------------------------------------------------------------ */

static void a_good_image_goes_through_accept_program_confirm_in_this_order(void **arg)
{
	char sha[SHA256_HEX];

	(void)arg;
	fake.calls[0] = '\0';
	assert_int_equal(copy(0), 0);
	assert_string_equal(fake.calls, "accept program confirm");
	assert_int_equal(state_now(), STATE_CONFIGURED);
	assert_true(loaded_now(sha));
	assert_string_equal(sha, fake.has);
}

static void a_refusal_by_accept_leaves_the_old_image_loaded(void **arg)
{
	char before[SHA256_HEX], after[SHA256_HEX], error[REASON_MAX];

	(void)arg;
	assert_int_equal(copy(0), 0);
	loaded_now(before);
	fake.calls[0] = '\0';
	fake.fail_at = "accept";
	assert_int_equal(copy(1), EIO);
	assert_string_equal(fake.calls, "accept");
	loaded_now(after);
	assert_string_equal(before, after);
	assert_int_equal(state_now(), STATE_CONFIGURED);
	error_now(error);
	assert_non_null(strstr(error, "fails at accept"));
}

static void a_failure_while_programming_loses_the_old_image(void **arg)
{
	static const char *const steps[] = { "program", "confirm" };
	char sha[SHA256_HEX], error[REASON_MAX];

	(void)arg;
	for (int i = 0; i < 2; i++) {
		fake.fail_at = NULL;
		assert_int_equal(copy(0), 0);
		fake.fail_at = steps[i];
		assert_int_equal(copy(1), EIO);
		assert_false(loaded_now(sha));
		assert_int_equal(state_now(), STATE_FAILED);
		error_now(error);
		assert_non_null(strstr(error, steps[i]));
	}
	/* and rollback heals it with the last good one */
	fake.fail_at = NULL;
	assert_int_equal(command("rollback\n"), 0);
	assert_true(loaded_now(sha));
	assert_int_equal(state_now(), STATE_CONFIGURED);
	error_now(error);
	assert_string_equal(error, "");
}

static void a_failure_before_the_first_byte_keeps_the_old_image(void **arg)
{
	char before[SHA256_HEX], after[SHA256_HEX];

	(void)arg;
	assert_int_equal(copy(0), 0);
	loaded_now(before);
	fake.fail_untouched = true;
	fake.fail_at = "program";
	assert_int_equal(copy(1), EIO);
	assert_true(loaded_now(after));
	assert_string_equal(before, after);
	assert_int_equal(state_now(), STATE_CONFIGURED);
}

static void a_card_that_lies_is_found_out_by_confirm(void **arg)
{
	char sha[SHA256_HEX];

	(void)arg;
	fake.lies = true;
	assert_int_equal(copy(0), EIO);
	assert_false(loaded_now(sha));
	assert_int_equal(state_now(), STATE_FAILED);
}

static void the_policy_rollback_puts_the_old_image_back_and_the_copy_still_fails(void **arg)
{
	char before[SHA256_HEX], after[SHA256_HEX];

	(void)arg;
	assert_int_equal(copy(0), 0);
	loaded_now(before);
	config_card.policy.on_failure_rollback = 1;
	fake.lies = true;
	/* The first confirm fails; the roll back would lie too, so only check that it was tried. */
	fake.calls[0] = '\0';
	assert_int_equal(copy(1), EIO);
	assert_string_equal(fake.calls, "accept program confirm accept program confirm");
	fake.lies = false;
	assert_int_equal(command("rollback"), 0);
	assert_true(loaded_now(after));
	assert_string_equal(before, after);
}

static void the_same_run_is_not_done_twice(void **arg)
{
	(void)arg;
	assert_int_equal(upload_run(0, image_len[0], O_WRONLY | O_TRUNC, 4711), 0);
	fake.calls[0] = '\0';
	assert_int_equal(upload_run(0, image_len[0], O_WRONLY | O_TRUNC, 4711), 0);
	assert_string_equal(fake.calls, "");
}

static void a_truncated_image_never_reaches_the_card(void **arg)
{
	(void)arg;
	fake.calls[0] = '\0';
	for (size_t n = 1; n < image_len[0] - 8; n += 997)
		assert_int_equal(upload_run(0, n, O_WRONLY | O_TRUNC, next_run++), EBADMSG);
	assert_string_equal(fake.calls, "");
}

static void rollback_goes_back_and_forth(void **arg)
{
	char a[SHA256_HEX], b[SHA256_HEX], now[SHA256_HEX];

	(void)arg;
	assert_int_equal(copy(0), 0);
	loaded_now(a);
	assert_int_equal(copy(1), 0);
	loaded_now(b);
	assert_string_not_equal(a, b);
	assert_int_equal(command("rollback\n"), 0);
	loaded_now(now);
	assert_string_equal(now, a);
	assert_int_equal(command("rollback\n"), 0);
	loaded_now(now);
	assert_string_equal(now, b);
}

static void unknown_words_and_words_too_early_are_refused(void **arg)
{
	char error[REASON_MAX];

	(void)arg;
	assert_int_equal(command("dance\n"), EINVAL);
	error_now(error);
	assert_non_null(strstr(error, "ctl takes one of"));
	assert_int_equal(command(""), EINVAL);
	assert_int_equal(command("reload"), ENODATA);
	assert_int_equal(command("rollback"), ENODATA);
	assert_int_equal(command("verify"), ENODATA);
	assert_int_equal(command("forget"), EBUSY);
	assert_int_equal(command("clear"), 0);
	assert_int_equal(state_now(), STATE_UNCONFIGURED);
}

static void a_start_restores_what_an_empty_card_had_and_says_so(void **arg)
{
	char before[SHA256_HEX], after[SHA256_HEX];
	struct buf b = BUF_INIT;

	(void)arg;
	assert_int_equal(copy(0), 0);
	loaded_now(before);
	card_down();
	fake.has[0] = '\0'; /* the power was cut */
	fake.calls[0] = '\0';
	card_up(true);
	settle();
	assert_string_equal(fake.calls, "open status accept program confirm");
	assert_true(loaded_now(after));
	assert_string_equal(before, after);
	history_now(&b);
	assert_non_null(strstr(b.data, "restored after a start"));
	buf_free(&b);
}

static void a_worker_that_takes_over_leaves_a_running_card_alone(void **arg)
{
	(void)arg;
	assert_int_equal(copy(0), 0);
	card_down();
	fake.calls[0] = '\0';
	card_up(false);
	settle();
	assert_string_equal(fake.calls, "open status");
	assert_int_equal(state_now(), STATE_CONFIGURED);
}

static void another_writer_is_refused_while_one_has_bytes(void **arg)
{
	struct who who = { .uid = 1000 };
	struct reason why = { 0 };
	struct upload *a, *b;
	uint64_t ino = node_make(NODE_CARD, 0, -1, FILE_IMAGE);
	bool fresh;

	(void)arg;
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_TRUNC, ino, &who, NULL, &a, &why), 0);
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_TRUNC, ino, &who, NULL, &b, &why), 0);
	assert_int_equal(upload_write(a, image[0], 100, 0, &fresh, &why), 100);
	assert_int_equal(upload_write(b, image[0], 100, 0, &fresh, &why), -EBUSY);
	upload_drop(b);
	upload_put(b);
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_TRUNC, ino, &who, NULL, &b, &why),
			 -EBUSY);
	assert_int_equal(upload_stop(&card->self, false, &(struct who){ .uid = 4 }, "no"), -EPERM);
	assert_int_equal(upload_stop(&card->self, false, &who, "the test ends it"), 0);
	assert_int_equal(upload_write(a, image[0], 100, 100, &fresh, &why), -ECANCELED);
	upload_drop(a);
	upload_put(a);
	assert_int_equal(copy(0), 0);
}

static void a_judged_upload_is_taken_up_from_its_spool_or_its_blob(void **arg)
{
	struct who who = { .uid = 0 };
	struct reason why = { 0 };
	struct upload *u;
	struct barrier b = BARRIER;
	uint64_t ino = node_make(NODE_CARD, 0, -1, FILE_IMAGE), fh;
	bool fresh;

	(void)arg;
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_TRUNC, ino, &who, NULL, &u, &why), 0);
	assert_int_equal(upload_write(u, image[0], 3000, 0, &fresh, &why), 3000);
	fh = u->fh;
	upload_put(u);
	/* the worker dies here: its handles and spool stay */
	card_down();
	card_up(false);
	settle();
	u = upload_find(&card->self, fh);
	assert_non_null(u);
	assert_int_equal(upload_write(u, image[0] + 3000, image_len[0] - 3000, 3000, &fresh, &why),
			 (int)image_len[0] - 3000);
	upload_judge(u, JUDGE_FLUSH, false, next_run++, barrier_done, &b);
	assert_int_equal(barrier_wait(&b), 0);
	upload_drop(u);
	upload_put(u);
	assert_int_equal(state_now(), STATE_CONFIGURED);
}

static void the_memory_of_a_dropped_upload_is_not_given_away_while_somebody_looks_at_it(void **arg)
{
	struct who who = { .uid = 1000 };
	struct reason why = { 0 };
	struct upload *a, *b;
	uint64_t ino = node_make(NODE_CARD, 0, -1, FILE_IMAGE);

	(void)arg;
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_TRUNC, ino, &who, NULL, &a, &why), 0);
	upload_drop(a); /* closed, and a is a job's reference that is left */
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_TRUNC, ino, &who, NULL, &b, &why), 0);
	assert_ptr_not_equal(a->saved, b->saved);
	assert_null(saved_find(a->fh));
	upload_put(a);
	upload_drop(b);
	upload_put(b);
}

static struct upload *upload_begin(const char *name, bool check)
{
	struct who who = { .uid = 1000, .pid = 7, .command = "cp", .user = "al" };
	struct reason why = { 0 };
	struct upload *u;

	assert_int_equal(upload_open(&card->self, check, O_WRONLY | O_TRUNC,
				     node_make(NODE_CARD, 0, -1, check ? FILE_CHECK : FILE_IMAGE), &who,
				     name, &u, &why), 0);
	return u;
}

static void upload_fill(struct upload *u, int i)
{
	struct reason why = { 0 };
	bool fresh;

	assert_int_equal(upload_write(u, image[i], image_len[i], 0, &fresh, &why), (int)image_len[i]);
}

static void upload_finish(struct upload *u)
{
	upload_drop(u);
	upload_put(u);
}

static int judge(struct upload *u, enum judge_kind kind, uint64_t run)
{
	struct barrier b = BARRIER;

	upload_judge(u, kind, false, run, barrier_done, &b);
	return barrier_wait(&b);
}

static void a_copy_by_reference_is_checked_with_the_bytes_it_refers_to(void **arg)
{
	const struct card_view *v;
	struct reason why = { 0 };
	struct upload *u;
	bool fresh;

	(void)arg;
	assert_int_equal(copy(0), 0);
	for (int temp = 0; temp < 2; temp++) {
		u = upload_begin(temp ? ".x" : NULL, !temp);
		v = card_view_get(card);
		assert_int_equal(upload_reference(u, v->self.loaded.sha256, v->self.loaded.size,
						  &v->self.loaded_facts, "dev1", &fresh, &why), 0);
		card_view_put(v);
		fake.accept_size = 0;
		assert_int_equal(judge(u, JUDGE_FLUSH, next_run++), 0);
		assert_int_equal(fake.accept_size, image_len[0]);
		upload_finish(u);
	}
}

static void a_rename_that_failed_can_be_tried_again(void **arg)
{
	char sha[SHA256_HEX];
	struct upload *u;

	(void)arg;
	u = upload_begin(".x", false);
	upload_fill(u, 0);
	assert_int_equal(judge(u, JUDGE_FLUSH, next_run++), 0);
	fake.fail_at = "program";
	assert_int_equal(judge(u, JUDGE_RENAME, next_run++), EIO);
	fake.fail_at = NULL;
	assert_int_equal(judge(u, JUDGE_RENAME, next_run++), 0);
	upload_finish(u);
	assert_true(loaded_now(sha));
	assert_string_equal(sha, fake.has);
}

static void an_emptied_temporary_is_no_image(void **arg)
{
	struct reason why = { 0 };
	struct upload *u;

	(void)arg;
	u = upload_begin(".x", false);
	upload_fill(u, 0);
	assert_int_equal(upload_truncate(u, 0, &why), 0);
	assert_int_equal(judge(u, JUDGE_RENAME, next_run++), EBADMSG);
	upload_finish(u);
}

static void a_rolled_back_failure_stays_in_error_and_is_not_repeated(void **arg)
{
	char sha[SHA256_HEX], error[REASON_MAX];

	(void)arg;
	config_card.policy.on_failure_rollback = 1;
	assert_int_equal(copy(0), 0);
	fake.good_blob_only = true;
	fake.calls[0] = '\0';
	assert_int_equal(upload_run(1, image_len[1], O_WRONLY | O_TRUNC, 815), EIO);
	assert_string_equal(fake.calls, "accept program accept program confirm");
	assert_int_equal(state_now(), STATE_CONFIGURED);
	assert_true(loaded_now(sha));
	assert_string_equal(sha, fake.first);
	error_now(error);
	assert_non_null(strstr(error, "takes only its first"));
	/* its close comes again, because the worker died before it could answer */
	fake.calls[0] = '\0';
	assert_int_equal(upload_run(1, image_len[1], O_WRONLY | O_TRUNC, 815), EIO);
	assert_string_equal(fake.calls, "");
}

static void a_worker_that_died_before_it_rolled_back_is_made_up_for(void **arg)
{
	char sha[SHA256_HEX];

	(void)arg;
	assert_int_equal(copy(0), 0);
	fake.good_blob_only = true;
	assert_int_equal(upload_run(1, image_len[1], O_WRONLY | O_TRUNC, 815), EIO);
	assert_int_equal(state_now(), STATE_FAILED);
	config_card.policy.on_failure_rollback = 1; /* as if it had been all the time */
	assert_int_equal(upload_run(1, image_len[1], O_WRONLY | O_TRUNC, 815), EIO);
	assert_int_equal(state_now(), STATE_CONFIGURED);
	assert_true(loaded_now(sha));
	assert_string_equal(sha, fake.first);
}

static void a_restored_card_still_knows_the_answer_of_the_last_request(void **arg)
{
	(void)arg;
	assert_int_equal(upload_run(0, image_len[0], O_WRONLY | O_TRUNC, 815), 0);
	card_down();
	fake.has[0] = '\0'; /* worker and card died together */
	card_up(false);
	settle();
	assert_int_equal(state_now(), STATE_CONFIGURED);
	fake.calls[0] = '\0';
	assert_int_equal(upload_run(0, image_len[0], O_WRONLY | O_TRUNC, 815), 0);
	assert_string_equal(fake.calls, "");
}

static void the_answer_is_noted_before_the_bytes_are_thrown_away(void **arg)
{
	struct upload *u;
	uint64_t value;
	int err = 0;

	(void)arg;
	u = upload_begin(NULL, false);
	upload_fill(u, 0);
	fake.fail_at = "confirm";
	assert_int_equal(judge(u, JUDGE_FLUSH, session_id() + 4242), EIO);
	/* upload_judge() itself has noted it: done() here does not */
	assert_true(journal_find(4242, &err, &value));
	assert_int_equal(err, EIO);
	upload_finish(u);
}

static uint64_t load_now(void)
{
	const struct card_view *v = card_view_get(card);
	uint64_t load = v->self.load;

	card_view_put(v);
	return load;
}

static void an_untouched_design_keeps_its_open_endpoints(void **arg)
{
	uint64_t before;

	(void)arg;
	assert_int_equal(copy(0), 0);
	before = load_now();
	fake.fail_untouched = true;
	fake.fail_at = "program";
	assert_int_equal(copy(1), EIO);
	assert_int_equal(load_now(), before);
	fake.fail_untouched = false;
	fake.fail_at = NULL;
	assert_int_equal(copy(1), 0);
	assert_int_not_equal(load_now(), before);
}

static void nobody_waits_for_a_card_that_is_being_programmed(void **arg)
{
	struct barrier b = BARRIER;
	struct reason why = { 0 };
	struct upload *u;
	char byte;
	bool fresh;

	(void)arg;
	u = upload_begin(NULL, false);
	upload_fill(u, 0);
	fake.hold = true;
	upload_judge(u, JUDGE_FLUSH, false, next_run++, barrier_done, &b);
	fake_wait(&fake.holding, true);
	/* all of these would hang here */
	assert_int_equal(upload_write(u, "x", 1, 0, &fresh, &why), -EINPROGRESS);
	assert_int_equal(upload_read(u, &byte, 1, 0), -EINPROGRESS);
	assert_int_equal(upload_truncate(u, 0, &why), -EBUSY);
	upload_drop(u);
	fake_set(&fake.hold, false);
	assert_int_equal(barrier_wait(&b), 0);
	assert_int_equal(state_now(), STATE_CONFIGURED);
	upload_put(u);
	assert_int_equal(copy(1), 0);
}

static void a_stop_ends_the_run_and_not_the_roll_back(void **arg)
{
	struct barrier b = BARRIER;
	char sha[SHA256_HEX];
	struct upload *u;

	(void)arg;
	assert_int_equal(copy(0), 0);
	config_card.policy.on_failure_rollback = 1;
	u = upload_begin(NULL, false);
	upload_fill(u, 1);
	fake.hold = true;
	upload_judge(u, JUDGE_FLUSH, false, next_run++, barrier_done, &b);
	fake_wait(&fake.holding, true);
	assert_int_equal(upload_stop(&card->self, false, &(struct who){ .uid = 0 }, "the test"), 0);
	/* The roll back waits now, the stop was not for it. Counted, as nobody may see the moment
	 * between the two. */
	pthread_mutex_lock(&fake_lock);
	while (fake.holds < 2)
		pthread_cond_wait(&fake_cond, &fake_lock);
	pthread_mutex_unlock(&fake_lock);
	fake_wait(&fake.holding, true);
	fake_set(&fake.hold, false);
	assert_int_equal(barrier_wait(&b), ECANCELED);
	assert_int_equal(state_now(), STATE_CONFIGURED);
	assert_true(loaded_now(sha));
	assert_string_equal(sha, fake.first);
	upload_finish(u);
}

static void a_stop_of_a_check_leaves_the_run_alone(void **arg)
{
	struct barrier b = BARRIER;
	struct upload *u, *check;

	(void)arg;
	u = upload_begin(NULL, false);
	upload_fill(u, 0);
	check = upload_begin(NULL, true);
	upload_fill(check, 1);
	fake.hold = true;
	upload_judge(u, JUDGE_FLUSH, false, next_run++, barrier_done, &b);
	fake_wait(&fake.holding, true);
	assert_int_equal(upload_stop(&card->self, true, &(struct who){ .uid = 0 }, "the test"), 0);
	fake_set(&fake.hold, false);
	assert_int_equal(barrier_wait(&b), 0);
	upload_finish(u);
	upload_finish(check);
}

static void an_append_that_comes_again_goes_to_the_same_place(void **arg)
{
	struct who who = { .uid = 1000 };
	struct reason why = { 0 };
	struct upload *u;
	bool fresh;

	(void)arg;
	assert_int_equal(upload_open(&card->self, false, O_WRONLY | O_APPEND,
				     node_make(NODE_CARD, 0, -1, FILE_IMAGE), &who, NULL, &u, &why), 0);
	request_set(&(struct request){ .unique = 70 });
	assert_int_equal(upload_write(u, image[0], 1000, 0, &fresh, &why), 1000);
	request_set(&(struct request){ .unique = 72 });
	assert_int_equal(upload_write(u, image[0] + 1000, 1000, 1000, &fresh, &why), 1000);
	request_set(&(struct request){ .unique = 72, .resent = true });
	assert_int_equal(upload_write(u, image[0] + 1000, 1000, 1000, &fresh, &why), 1000);
	request_set(&(struct request){ .unique = 74 });
	assert_int_equal(upload_size(u), 2000);
	assert_int_equal(upload_write(u, image[0] + 2000, image_len[0] - 2000, 2000, &fresh, &why),
			 (int)image_len[0] - 2000);
	request_set(NULL);
	assert_int_equal(judge(u, JUDGE_FLUSH, next_run++), 0);
	upload_finish(u);
}

static void a_refused_write_that_comes_again_gets_the_same_errno(void **arg)
{
	static const char junk[5000];
	struct reason why = { 0 };
	char error[REASON_MAX];
	struct upload *u;
	bool fresh;
	uint64_t fh;

	(void)arg;
	u = upload_begin(NULL, false);
	fh = u->fh;
	assert_int_equal(upload_write(u, junk, sizeof(junk), 0, &fresh, &why), -ENOEXEC);
	assert_true(fresh);
	upload_put(u);
	/* the worker dies before it has noted anything of it */
	card_down();
	card_up(false);
	settle();
	u = upload_find(&card->self, fh);
	assert_non_null(u);
	request_set(&(struct request){ .unique = 70, .resent = true });
	assert_int_equal(upload_write(u, junk, sizeof(junk), 0, &fresh, &why), -ENOEXEC);
	request_set(NULL);
	assert_true(fresh);
	assert_int_equal(judge(u, JUDGE_REFUSAL, 0), ENOEXEC);
	error_now(error);
	assert_non_null(strstr(error, "refused"));
	assert_int_equal(judge(u, JUDGE_FLUSH, next_run++), 0); /* told once */
	upload_finish(u);
}

static void an_open_that_comes_again_finds_what_it_made(void **arg)
{
	struct upload *u, *again;

	(void)arg;
	request_set(&(struct request){ .unique = 70 });
	u = upload_begin(".x", false);
	assert_null(upload_made_before(&card->self));
	request_set(&(struct request){ .unique = 70, .resent = true });
	again = upload_made_before(&card->self);
	assert_ptr_equal(again, u);
	upload_put(again);
	request_set(&(struct request){ .unique = 72, .resent = true });
	assert_null(upload_made_before(&card->self));
	request_set(NULL);
	upload_finish(u);
}

static void the_rate_of_the_policy_is_for_commands_too(void **arg)
{
	(void)arg;
	config_card.policy.max_per_minute = 2;
	assert_int_equal(copy(0), 0);
	assert_int_equal(command("reload"), 0);
	assert_int_equal(command("reload"), EPERM);
	assert_int_equal(copy(0), EPERM);
}

static void a_refused_command_is_in_history_once(void **arg)
{
	struct buf b = BUF_INIT;
	char *first;

	(void)arg;
	assert_int_equal(copy(0), 0);
	fake.fail_at = "accept";
	assert_int_equal(command("reload"), EIO);
	history_now(&b);
	first = strstr(b.data, "fails at accept");
	assert_non_null(first);
	assert_null(strstr(first + 1, "fails at accept"));
	buf_free(&b);
}

static void skip_identical_clears_the_error_and_takes_the_time(void **arg)
{
	char error[REASON_MAX];
	struct upload *u;

	(void)arg;
	config_card.policy.skip_identical = 1;
	assert_int_equal(copy(0), 0);
	assert_int_equal(upload_run(1, 1000, O_WRONLY | O_TRUNC, next_run++), EBADMSG);
	u = upload_begin(NULL, false);
	upload_fill(u, 0);
	u->saved->upload.mtime_ns = 12345;
	upload_bits_change(u, UPLOAD_MTIME, 0);
	fake.calls[0] = '\0';
	assert_int_equal(judge(u, JUDGE_FLUSH, next_run++), 0);
	upload_finish(u);
	assert_string_equal(fake.calls, "");
	error_now(error);
	assert_string_equal(error, "");

	const struct card_view *v = card_view_get(card);

	assert_int_equal(v->self.image_ns, 12345);
	card_view_put(v);
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(a_good_image_goes_through_accept_program_confirm_in_this_order),
		CLAIM(a_refusal_by_accept_leaves_the_old_image_loaded),
		CLAIM(a_failure_while_programming_loses_the_old_image),
		CLAIM(a_failure_before_the_first_byte_keeps_the_old_image),
		CLAIM(a_card_that_lies_is_found_out_by_confirm),
		CLAIM(the_policy_rollback_puts_the_old_image_back_and_the_copy_still_fails),
		CLAIM(the_same_run_is_not_done_twice),
		CLAIM(a_truncated_image_never_reaches_the_card),
		CLAIM(rollback_goes_back_and_forth),
		CLAIM(unknown_words_and_words_too_early_are_refused),
		CLAIM(a_start_restores_what_an_empty_card_had_and_says_so),
		CLAIM(a_worker_that_takes_over_leaves_a_running_card_alone),
		CLAIM(another_writer_is_refused_while_one_has_bytes),
		CLAIM(a_judged_upload_is_taken_up_from_its_spool_or_its_blob),
		CLAIM(the_memory_of_a_dropped_upload_is_not_given_away_while_somebody_looks_at_it),
		CLAIM(a_copy_by_reference_is_checked_with_the_bytes_it_refers_to),
		CLAIM(a_rename_that_failed_can_be_tried_again),
		CLAIM(an_emptied_temporary_is_no_image),
		CLAIM(a_rolled_back_failure_stays_in_error_and_is_not_repeated),
		CLAIM(a_worker_that_died_before_it_rolled_back_is_made_up_for),
		CLAIM(a_restored_card_still_knows_the_answer_of_the_last_request),
		CLAIM(the_answer_is_noted_before_the_bytes_are_thrown_away),
		CLAIM(an_untouched_design_keeps_its_open_endpoints),
		CLAIM(nobody_waits_for_a_card_that_is_being_programmed),
		CLAIM(a_stop_ends_the_run_and_not_the_roll_back),
		CLAIM(a_stop_of_a_check_leaves_the_run_alone),
		CLAIM(an_append_that_comes_again_goes_to_the_same_place),
		CLAIM(a_refused_write_that_comes_again_gets_the_same_errno),
		CLAIM(an_open_that_comes_again_finds_what_it_made),
		CLAIM(the_rate_of_the_policy_is_for_commands_too),
		CLAIM(a_refused_command_is_in_history_once),
		CLAIM(skip_identical_clears_the_error_and_takes_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
