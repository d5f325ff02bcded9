// SPDX-License-Identifier: Apache-2.0
/* A programming run: what is done in which order, and what is shown, stored and kept when a step fails. */
#include "tests/unit/card_fixture.h"

#include <fabricfs/clock.h>

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

static void the_rate_of_the_policy_is_for_commands_too(void **arg)
{
	(void)arg;
	config_card.policy.max_per_minute = 2;
	assert_int_equal(copy(0), 0);
	assert_int_equal(command("reload"), 0);
	assert_int_equal(command("reload"), EPERM);
	assert_int_equal(copy(0), EPERM);
}

static void the_rate_of_the_policy_outlives_the_worker(void **arg)
{
	(void)arg;
	config_card.policy.max_per_minute = 3;
	assert_int_equal(copy(0), 0);
	fake.fail_at = "program";
	assert_int_equal(copy(1), EIO);
	fake.fail_at = NULL;
	/* Neither is programming: nothing to reload, and what is refused. */
	assert_int_equal(command("reload"), ENODATA);
	assert_int_equal(upload_run(0, 3000, O_WRONLY | O_TRUNC, next_run++), EBADMSG);
	card_down();
	card_up(false);
	settle();
	assert_int_equal(copy(0), 0);
	assert_int_equal(copy(0), EPERM);
	card_down();
	card_up(true);
	settle();
	assert_int_equal(copy(1), EPERM);
	assert_int_equal(command("reload"), EPERM);
}

static void the_rate_of_the_policy_forgives_a_clock_that_was_set_back(void **arg)
{
	struct store_record ahead = { .time_ns = clock_now_ns(), .dev = (int)card->dev, .slot = -1,
		.json = "{\"time\":\"2099-01-01T00:00:00.000000Z\",\"dev\":\"dev0\",\"event\":\"programmed\","
			"\"result\":\"ok\",\"size\":1,\"uid\":0}" };
	struct reason why = { 0 };

	(void)arg;
	config_card.policy.max_per_minute = 1;
	assert_int_equal(store_record_add(store, &ahead, NULL, &why), 0);
	card_down();
	card_up(false);
	settle();
	assert_int_equal(copy(0), 0);
	assert_int_equal(copy(0), EPERM);
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
	const struct CMUnitTest tests[] = {
		CLAIM(a_good_image_goes_through_accept_program_confirm_in_this_order),
		CLAIM(a_refusal_by_accept_leaves_the_old_image_loaded),
		CLAIM(a_failure_while_programming_loses_the_old_image),
		CLAIM(a_failure_before_the_first_byte_keeps_the_old_image),
		CLAIM(a_card_that_lies_is_found_out_by_confirm),
		CLAIM(the_policy_rollback_puts_the_old_image_back_and_the_copy_still_fails),
		CLAIM(the_same_run_is_not_done_twice),
		CLAIM(a_truncated_image_never_reaches_the_card),
		CLAIM(a_rolled_back_failure_stays_in_error_and_is_not_repeated),
		CLAIM(a_worker_that_died_before_it_rolled_back_is_made_up_for),
		CLAIM(an_untouched_design_keeps_its_open_endpoints),
		CLAIM(the_rate_of_the_policy_is_for_commands_too),
		CLAIM(the_rate_of_the_policy_outlives_the_worker),
		CLAIM(the_rate_of_the_policy_forgives_a_clock_that_was_set_back),
		CLAIM(skip_identical_clears_the_error_and_takes_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
