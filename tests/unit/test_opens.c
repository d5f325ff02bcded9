// SPDX-License-Identifier: Apache-2.0
/* Opens of images, which outlive the worker that answered them (fs/daemon/opens.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

#include "fs/daemon/opens.h"
#include "fs/daemon/session.h"

static int memfd = -1;

static int begin(void **state)
{
	struct reason why = { 0 };

	(void)state;
	request_set(NULL);
	memfd = session_create();
	return memfd < 0 || session_attach(memfd, &why) ? -1 : 0;
}

static int end(void **state)
{
	(void)state;
	request_set(NULL);
	return close(memfd);
}

/* As a worker that takes over. */
static void reattach(void)
{
	struct reason why = { 0 };

	assert_int_equal(session_attach(memfd, &why), 0);
}

static uint64_t add(uint64_t ino, uint64_t content)
{
	struct open_image image = { .ino = ino, .content = content, .size = 10 * content, .mtime_ns = 5 };

	return opens_add(&image);
}

static void a_handle_says_its_content_and_what_is_open_is_known_to_a_successor(void **state)
{
	struct open_image image = { 0 };
	uint64_t a = add(100, 1), b = add(200, (UINT64_C(1) << 36) - 1);

	(void)state;
	assert_int_not_equal(a, 0);
	assert_int_equal(opens_content(a), 1);
	assert_int_equal(opens_content(b), (UINT64_C(1) << 36) - 1);
	reattach();
	assert_true(opens_have(1));
	assert_false(opens_have(2));
	assert_true(opens_of_node(100, &image));
	assert_int_equal(image.content, 1);
	assert_int_equal(image.size, 10);
	assert_int_equal(image.mtime_ns, 5);
	assert_false(opens_of_node(300, &image));
	opens_drop(a);
	assert_false(opens_have(1));
	assert_false(opens_of_node(100, &image));
	assert_true(opens_of_node(200, &image));
	reattach();
	assert_false(opens_have(1));
}

static void each_open_counts_once(void **state)
{
	uint64_t a = add(100, 1), b = add(100, 1);

	(void)state;
	assert_int_not_equal(a, b);
	opens_drop(a);
	/* The same release, asked again by the kernel. */
	opens_drop(a);
	assert_true(opens_have(1));
	reattach();
	opens_drop(a);
	assert_true(opens_have(1));
	opens_drop(b);
	assert_false(opens_have(1));
	opens_drop(0);
}

static void a_release_that_comes_again_ends_no_later_open_in_the_same_place(void **state)
{
	uint64_t first = add(100, 1), later;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		opens_drop(first);
		later = add(100, 1);
		assert_int_equal(opens_place(first), opens_place(later));
		opens_drop(first);
		assert_true(opens_have(1));
		first = later;
	}
}

static void an_open_that_comes_again_is_the_same_one(void **state)
{
	struct request request = { .unique = 77 };
	uint64_t a;

	(void)state;
	request_set(&request);
	a = add(100, 1);
	request.resent = true;
	request_set(&request);
	reattach();
	/* Whatever there is to be opened now. */
	assert_int_equal(add(100, 2), a);
	assert_int_not_equal(add(101, 2), a);
	request.unique = 78;
	request_set(&request);
	assert_int_not_equal(add(100, 1), a);
	opens_drop(a);
	request.unique = 77;
	request_set(&request);
	assert_int_equal(opens_content(add(100, 2)), 2);
}

static void there_is_an_end_of_places_and_each_is_used_again(void **state)
{
	static uint64_t fh[OPENS_MAX];

	(void)state;
	for (unsigned i = 0; i < OPENS_MAX; i++) {
		fh[i] = add(i + 1, i + 1);
		assert_int_not_equal(fh[i], 0);
	}
	assert_int_equal(add(1, 1), 0);
	opens_drop(fh[4711]);
	reattach();
	assert_int_equal(opens_place(add(1, 1)), opens_place(fh[4711]));
	assert_int_equal(add(1, 1), 0);
	assert_true(opens_have(OPENS_MAX));
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_handle_says_its_content_and_what_is_open_is_known_to_a_successor),
		CLAIM(each_open_counts_once),
		CLAIM(a_release_that_comes_again_ends_no_later_open_in_the_same_place),
		CLAIM(an_open_that_comes_again_is_the_same_one),
		CLAIM(there_is_an_end_of_places_and_each_is_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
