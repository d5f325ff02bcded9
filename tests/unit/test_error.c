// SPDX-License-Identifier: Apache-2.0
/* Reasons: an errno and its sentence (include/fabricfs/error.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fabricfs/error.h>

static void a_failure_without_an_errno_is_still_a_failure(void **state)
{
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(reason_set(&why, 0, "reading: %s", strerror(0)), -EIO);
	assert_int_equal(why.err, EIO);
	assert_string_equal(why.text, "reading: Success");
	assert_int_equal(reason_set(NULL, 0, "nobody listens"), -EIO);
}

static void the_errno_travels_without_anybody_who_wants_the_sentence(void **state)
{
	(void)state;
	assert_int_equal(reason_set(NULL, ENOSPC, "full"), -ENOSPC);
	assert_int_equal(reason_wrap(NULL, "writing"), -EIO);
}

static void kernel_internal_numbers_never_leave(void **state)
{
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(reason_set(&why, 524, "the driver"), -EOPNOTSUPP);
	assert_int_equal(reason_set(&why, 512, "the driver"), -EIO);
	assert_int_equal(reason_set(&why, -ENODEV, "the sign does not matter"), -ENODEV);
	assert_int_equal(errno_public(511), 511);
}

static void a_wrapped_reason_keeps_its_errno_and_is_cut_at_the_end(void **state)
{
	struct reason why = { 0 };
	char text[REASON_MAX];

	(void)state;
	assert_int_equal(reason_wrap(&why, "nothing was said"), -EIO);
	assert_string_equal(why.text, "");
	reason_set(&why, EBADMSG, "byte 7");
	assert_int_equal(reason_wrap(&why, "slot %d", 3), -EBADMSG);
	assert_string_equal(why.text, "slot 3: byte 7");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	reason_set(&why, EIO, "%s", text);
	assert_int_equal(reason_wrap(&why, "cut"), -EIO);
	assert_int_equal(strlen(why.text), REASON_MAX - 1);
	assert_memory_equal(why.text, "cut: xxx", 8);
}

static void every_errno_has_a_name(void **state)
{
	(void)state;
	assert_string_equal(errno_name(0), "ok");
	assert_string_equal(errno_name(EBADMSG), "EBADMSG");
	assert_string_equal(errno_name(-EKEYREJECTED), "EKEYREJECTED");
	assert_string_equal(errno_name(4000), "E4000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_without_an_errno_is_still_a_failure),
		cmocka_unit_test(the_errno_travels_without_anybody_who_wants_the_sentence),
		cmocka_unit_test(kernel_internal_numbers_never_leave),
		cmocka_unit_test(a_wrapped_reason_keeps_its_errno_and_is_cut_at_the_end),
		cmocka_unit_test(every_errno_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
