// SPDX-License-Identifier: Apache-2.0
/* What the log makes of texts that others wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <fabricfs/log.h>

static void a_text_is_one_line_that_steers_no_terminal(void **state)
{
	char line[256] = "";
	int ends[2], before = dup(STDERR_FILENO);

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	log_warn("it says \"%s\"", "a\033[31m\xc2\x9b" "2J\xc2\xa9\xc3\xa9\x7f\xc2\n<3>fabricfs: b");
	assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
	assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
	assert_string_equal(line, "<4>fabricfs: it says \"a [31m  2J\xc2\xa9\xc3\xa9 \xc2 <3>fabricfs: b\"\n");
	close(ends[0]);
	close(ends[1]);
	close(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_is_one_line_that_steers_no_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
