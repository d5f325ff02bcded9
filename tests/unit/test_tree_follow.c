// SPDX-License-Identifier: Apache-2.0
/* .follow: what a reader gets, in whatever pieces it reads, and what it is told it missed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/tree/serve.h"

static char dir[64];

static int place_make(void **state)
{
	struct store *store = NULL;

	snprintf(dir, sizeof(dir), "/tmp/test-follow-XXXXXX");
	if (!mkdtemp(dir) || store_open(dir, true, &store, NULL))
		return -1;
	*state = store;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int place_remove(void **state)
{
	store_close(*state);
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void add(struct store *store, int dev, unsigned n)
{
	char json[64];
	struct store_record r = { .time_ns = 1, .dev = dev, .slot = -1, .json = json };

	snprintf(json, sizeof(json), "{\"dev\":%d,\"n\":%u}", dev, n);
	assert_int_equal(store_record_add(store, &r, NULL, NULL), 0);
}

static void gives(struct store *store, int dev, size_t space, struct follow_position *pos, const char *text)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	assert_int_equal(follow_fill(store, dev, &b, space, pos), 0);
	assert_string_equal(b.data ? b.data : "", text);
}

static void nothing_is_given_before_there_is_something(void **state)
{
	struct follow_position pos = { 0 };

	gives(*state, -1, 4096, &pos, "");
	add(*state, 0, 1);
	gives(*state, -1, 4096, &pos, "{\"dev\":0,\"n\":1}\n");
	gives(*state, -1, 4096, &pos, "");
}

static void several_lines_are_given_whole(void **state)
{
	struct follow_position pos = { 0 };

	for (unsigned i = 1; i <= 3; i++)
		add(*state, 0, i);
	gives(*state, -1, 40, &pos, "{\"dev\":0,\"n\":1}\n{\"dev\":0,\"n\":2}\n");
	gives(*state, -1, 40, &pos, "{\"dev\":0,\"n\":3}\n");
}

static void a_follower_of_a_card_gets_its_records_only(void **state)
{
	struct follow_position pos = { 0 };

	add(*state, 0, 1);
	add(*state, 1, 2);
	add(*state, 0, 3);
	add(*state, 1, 4);
	/* A space for two of the three lines between: the position has to find its number. */
	gives(*state, 0, 20, &pos, "{\"dev\":0,\"n\":1}\n");
	gives(*state, 0, 20, &pos, "{\"dev\":0,\"n\":3}\n");
	gives(*state, 0, 20, &pos, "");
}

static void reading_byte_by_byte_gives_the_same(void **state)
{
	struct follow_position whole = { 0 }, bytes = { 0 };
	struct buf a CLEANUP_BUF = BUF_INIT, b CLEANUP_BUF = BUF_INIT;

	for (unsigned i = 0; i < 200; i++)
		add(*state, (int)(i % 3), i);
	assert_int_equal(follow_fill(*state, -1, &a, 1 << 20, &whole), 0);
	for (size_t before = 1; before != b.len;) {
		struct buf one CLEANUP_BUF = BUF_INIT;

		before = b.len;
		assert_int_equal(follow_fill(*state, -1, &one, 1, &bytes), 0);
		assert_true(one.len <= 1);
		buf_add(&b, one.data ? one.data : "", one.len);
	}
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	assert_int_equal(whole.next, bytes.next);
}

static void what_was_given_to_a_dead_worker_is_given_again(void **state)
{
	struct follow_position before = { 0 }, after, again;
	struct buf first CLEANUP_BUF = BUF_INIT, second CLEANUP_BUF = BUF_INIT;

	for (unsigned i = 1; i <= 3; i++)
		add(*state, 0, i);
	after = again = before;
	assert_int_equal(follow_fill(*state, -1, &first, 40, &after), 0);
	add(*state, 0, 4);
	/* As the resent read does it: the same number of bytes from the position before. */
	assert_int_equal(follow_fill(*state, -1, &second, first.len, &again), 0);
	assert_string_equal(first.data, second.data);
	assert_int_equal(after.next, again.next);
	assert_int_equal(after.cut, again.cut);
}

static void who_is_too_slow_is_told_how_many_were_dropped(void **state)
{
	struct follow_position pos = { 0 };
	char text[128];
	uint64_t lost = 0;
	struct buf b CLEANUP_BUF = BUF_INIT;

	add(*state, 0, 0);
	gives(*state, -1, 4096, &pos, "{\"dev\":0,\"n\":0}\n");
	for (unsigned i = 1; i <= STORE_HISTORY_MAX + 500; i++)
		add(*state, 0, i);
	assert_int_equal(store_records_next(*state, -1, pos.next, 1, &b, NULL, &lost, NULL), 0);
	assert_true(lost > 0);
	snprintf(text, sizeof(text), "{\"event\":\"dropped\",\"count\":%llu}\n%s", (unsigned long long)lost,
		 b.data);
	/* Also in pieces: the line that tells of it is one like any other. */
	gives(*state, -1, 5, &pos, "{\"eve");
	gives(*state, -1, strlen(text) - 5, &pos, text + 5);

	unsigned left = 0;

	for (;;) {
		struct buf more CLEANUP_BUF = BUF_INIT;

		assert_int_equal(follow_fill(*state, -1, &more, 4096, &pos), 0);
		if (!more.len)
			break;
		assert_null(strstr(more.data, "dropped"));
		for (const char *at = more.data; (at = strchr(at, '\n')); at++)
			left++;
	}
	/* Dropped, the one above, and those that were left make all of them. */
	assert_int_equal(lost + 1 + left, STORE_HISTORY_MAX + 500);
}

static void a_line_that_is_trimmed_away_half_given_is_ended(void **state)
{
	struct follow_position pos = { 0 };
	struct buf b CLEANUP_BUF = BUF_INIT;

	add(*state, 0, 0);
	gives(*state, -1, 4, &pos, "{\"de");
	for (unsigned i = 1; i <= STORE_HISTORY_MAX + 500; i++)
		add(*state, 0, i);
	assert_int_equal(follow_fill(*state, -1, &b, 40, &pos), 0);
	assert_memory_equal(b.data, "\n{\"event\":\"dropped\"", 19);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_given_before_there_is_something),
		TEST(several_lines_are_given_whole),
		TEST(a_follower_of_a_card_gets_its_records_only),
		TEST(reading_byte_by_byte_gives_the_same),
		TEST(what_was_given_to_a_dead_worker_is_given_again),
		TEST(who_is_too_slow_is_told_how_many_were_dropped),
		TEST(a_line_that_is_trimmed_away_half_given_is_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
