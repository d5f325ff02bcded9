// SPDX-License-Identifier: Apache-2.0
/* Words of ctl and stop, and who they reach. */
#include <stdlib.h>

#include "tests/unit/card_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(rollback_goes_back_and_forth),
		CLAIM(unknown_words_and_words_too_early_are_refused),
		CLAIM(a_stop_ends_the_run_and_not_the_roll_back),
		CLAIM(a_stop_of_a_check_leaves_the_run_alone),
		CLAIM(a_refused_command_is_in_history_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
