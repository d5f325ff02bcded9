// SPDX-License-Identifier: Apache-2.0
/* Requests that crash workers: found by what was in hand, not by what merely waited. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs/daemon/suspect.h"

static void a_request_in_hand_at_three_crashes_is_convicted(void **arg)
{
	struct suspects memory = { 0 };

	(void)arg;
	for (int crash = 0; crash < SUSPECT_CRASHES; crash++) {
		suspect_attach(&memory, crash > 0);
		assert_false(suspect_convicted(42));
		suspect_begin(42); /* and here the worker crashes */
	}
	suspect_attach(&memory, true);
	assert_true(suspect_convicted(42));
	assert_false(suspect_convicted(43));
}

static void a_kill_from_outside_convicts_nobody(void **arg)
{
	struct suspects memory = { 0 };

	(void)arg;
	for (int kill = 0; kill < 10; kill++) {
		suspect_attach(&memory, false);
		suspect_begin(42);
	}
	suspect_attach(&memory, false);
	assert_false(suspect_convicted(42));
}

static void a_request_that_was_finished_is_no_suspect(void **arg)
{
	struct suspects memory = { 0 };

	(void)arg;
	for (int crash = 0; crash < 10; crash++) {
		suspect_attach(&memory, true);
		suspect_begin(42);
		suspect_end();
	}
	suspect_attach(&memory, true);
	assert_false(suspect_convicted(42));
}

static void many_suspects_push_out_the_oldest_only(void **arg)
{
	struct suspects memory = { 0 };

	(void)arg;
	for (uint64_t unique = 1; unique <= SUSPECTS + 1; unique++) {
		for (int crash = 0; crash < SUSPECT_CRASHES; crash++) {
			suspect_attach(&memory, true);
			suspect_begin(unique);
		}
		suspect_attach(&memory, true);
	}
	assert_false(suspect_convicted(1));
	assert_true(suspect_convicted(2));
	assert_true(suspect_convicted(SUSPECTS + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_in_hand_at_three_crashes_is_convicted),
		cmocka_unit_test(a_kill_from_outside_convicts_nobody),
		cmocka_unit_test(a_request_that_was_finished_is_no_suspect),
		cmocka_unit_test(many_suspects_push_out_the_oldest_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
