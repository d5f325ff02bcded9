// SPDX-License-Identifier: Apache-2.0
/* What a card gets and keeps when fabricfs starts, or a worker takes over. */
#include <stdlib.h>

#include "tests/unit/card_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_start_restores_what_an_empty_card_had_and_says_so),
		CLAIM(a_worker_that_takes_over_leaves_a_running_card_alone),
		CLAIM(a_restored_card_still_knows_the_answer_of_the_last_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
