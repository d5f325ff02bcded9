// SPDX-License-Identifier: Apache-2.0
/* Rights: their names, and that what was given up does not come back (include/fabricfs/rights.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <fabricfs/rights.h>

static void names_are_those_of_the_manual(void **state)
{
	(void)state;
	assert_int_equal(right_parse("chown"), RIGHT(CAP_CHOWN));
	assert_int_equal(right_parse("sys_rawio"), RIGHT(CAP_SYS_RAWIO));
	assert_int_equal(right_parse("CAP_SYS_RAWIO"), RIGHT(CAP_SYS_RAWIO));
	assert_int_equal(right_parse("cap_checkpoint_restore"), RIGHT(CAP_CHECKPOINT_RESTORE));
	assert_int_equal(right_parse(""), 0);
	assert_int_equal(right_parse("cap_"), 0);
	assert_int_equal(right_parse("sys"), 0);
	assert_int_equal(right_parse("sys_rawio "), 0);
}

/* In a process of its own, since there is no way back. */
static int in_a_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int drop(void)
{
	uint64_t before = rights_have(), keep = RIGHT(CAP_KILL), lend = RIGHT(CAP_SYS_NICE);
	struct reason why = { 0 };

	if (rights_drop(keep, lend, &why))
		return 1;
	if (rights_have() != (before & (keep | lend)) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 2;
	/* Asked for again: it is not there any more. */
	if (rights_drop(RIGHTS_ALL, RIGHTS_ALL, &why) || rights_have() != (before & (keep | lend)))
		return 3;
	if (rights_drop(0, 0, &why) || rights_have())
		return 4;
	return 0;
}

static void what_is_given_up_is_gone(void **state)
{
	(void)state;
	assert_int_equal(in_a_child(drop), 0);
}

static int drop_and_execute(void)
{
	struct reason why = { 0 };
	uint64_t lend = RIGHT(CAP_KILL) | RIGHT(CAP_CHOWN), want = rights_have() & lend;
	char script[200];

	/* A program that root executes would have everything again. */
	if (rights_drop(0, lend, &why))
		return 1;
	snprintf(script, sizeof(script), "grep -q '^CapEff:\t%016llx$' /proc/self/status",
		 geteuid() ? 0ULL : (unsigned long long)want);
	execl("/bin/sh", "sh", "-c", script, (char *)NULL);
	return 2;
}

static void a_program_gets_what_is_lent_and_no_more(void **state)
{
	(void)state;
	assert_int_equal(in_a_child(drop_and_execute), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_those_of_the_manual),
		cmocka_unit_test(what_is_given_up_is_gone),
		cmocka_unit_test(a_program_gets_what_is_lent_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
