// SPDX-License-Identifier: Apache-2.0
/* Records: numbering, trimming, what a follower gets and what it is told it missed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <fabricfs/store.h>

static char dir[64];

static int place_make(void **state)
{
	struct store *store = NULL;

	snprintf(dir, sizeof(dir), "/tmp/test-records-XXXXXX");
	if (!mkdtemp(dir) || store_open(dir, true, &store, NULL))
		return -1;
	*state = store;
	return 0;
}

static int place_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int place_remove(void **state)
{
	store_close(*state);
	return nftw(dir, place_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static uint64_t add(struct store *store, int dev, const char *json)
{
	struct store_record r = { .time_ns = 1, .dev = dev, .slot = -1, .json = json };
	struct reason why = { 0 };
	uint64_t seq = 0;

	if (store_record_add(store, &r, &seq, &why))
		fail_msg("store_record_add: %s", why.text);
	return seq;
}

static unsigned lines(const struct buf *b)
{
	unsigned n = 0;

	for (size_t i = 0; i < b->len; i++)
		n += b->data[i] == '\n';
	return n;
}

static void numbers_grow_by_one_across_cards_and_restarts(void **state)
{
	struct store *store = *state;

	assert_true(store_records_last(store, -1) == 0);
	assert_true(add(store, 0, "{}") == 1);
	assert_true(add(store, -1, "{}") == 2);
	assert_true(add(store, 7, "{}") == 3);
	store_close(store);
	*state = NULL;
	assert_int_equal(store_open(dir, false, &store, NULL), 0);
	*state = store;
	assert_true(store_records_last(store, -1) == 3);
	assert_true(store_records_last(store, 0) == 1);
	assert_true(store_records_last(store, 7) == 3);
	assert_true(store_records_last(store, 6) == 0);
	assert_true(store_records_last(store, 60000) == 0);
	assert_true(add(store, 7, "{}") == 4);
}

static void the_last_records_come_oldest_first_as_lines(void **state)
{
	struct store *store = *state;
	struct buf b CLEANUP_BUF = BUF_INIT;
	uint64_t first = 9, last = 9;

	assert_int_equal(store_records(store, -1, 0, 10, &b, &first, &last, NULL), 0);
	assert_true(first == 0 && last == 0 && b.len == 0);
	add(store, 0, "{\"n\":1}");
	add(store, 1, "{\"n\":2}");
	add(store, 0, "{\"n\":3}");
	assert_int_equal(store_records(store, -1, 0, 2, &b, &first, &last, NULL), 0);
	assert_string_equal(b.data, "{\"n\":2}\n{\"n\":3}\n");
	assert_true(first == 2 && last == 3);
	buf_clear(&b);
	assert_int_equal(store_records(store, 0, 0, 10, &b, &first, &last, NULL), 0);
	assert_string_equal(b.data, "{\"n\":1}\n{\"n\":3}\n");
	buf_clear(&b);
	assert_int_equal(store_records(store, 0, 1, 10, &b, NULL, NULL, NULL), 0);
	assert_string_equal(b.data, "{\"n\":3}\n");
	buf_clear(&b);
	assert_int_equal(store_records(store, 0, 3, 10, &b, &first, &last, NULL), 0);
	assert_true(first == 0 && last == 3 && b.len == 0);
}

static void a_record_goes_when_neither_its_card_nor_all_need_it(void **state)
{
	struct store *store = *state;
	struct buf b CLEANUP_BUF = BUF_INIT;
	unsigned number;

	assert_int_equal(store_card_number(store, "sim:a", &number, NULL, NULL), 0);
	/* A quiet card's records stay, however many others come. */
	for (int i = 0; i < 10; i++)
		add(store, 0, "{\"quiet\":true}");
	for (int i = 0; i < 3000; i++)
		add(store, 1, "{}");
	assert_int_equal(store_records(store, 0, 0, 5000, &b, NULL, NULL, NULL), 0);
	assert_int_equal(lines(&b), 10);
	buf_clear(&b);
	assert_int_equal(store_records(store, 1, 0, 5000, &b, NULL, NULL, NULL), 0);
	assert_in_range(lines(&b), STORE_HISTORY_MAX, STORE_HISTORY_MAX + 100);
	buf_clear(&b);
	assert_int_equal(store_records(store, -1, 0, 5000, &b, NULL, NULL, NULL), 0);
	assert_in_range(lines(&b), STORE_HISTORY_MAX, STORE_HISTORY_MAX + 110);
	buf_clear(&b);
	/* A forgotten card's stay only among the last of all. */
	assert_int_equal(store_card_forget(store, 0, NULL), 0);
	assert_int_equal(store_records(store, 0, 0, 5000, &b, NULL, NULL, NULL), 0);
	assert_int_equal(lines(&b), 0);
}

static void records_of_no_card_are_trimmed_with_all(void **state)
{
	struct store *store = *state;
	struct buf b CLEANUP_BUF = BUF_INIT;

	for (int i = 0; i < 1500; i++)
		add(store, -1, "{}");
	assert_int_equal(store_records(store, -1, 0, 5000, &b, NULL, NULL, NULL), 0);
	assert_in_range(lines(&b), STORE_HISTORY_MAX, STORE_HISTORY_MAX + 100);
}

/* Read on from *after until nothing comes; how many came, and were told lost. */
static void follow(struct store *store, int dev, uint64_t *after, uint64_t *got, uint64_t *missed)
{
	*got = *missed = 0;
	for (;;) {
		struct buf b CLEANUP_BUF = BUF_INIT;
		uint64_t lost = 0, last = 0;

		assert_int_equal(store_records_next(store, dev, *after, 100, &b, &last, &lost, NULL), 0);
		*missed += lost;
		*got += lines(&b);
		if (last == *after)
			return;
		*after = last;
	}
}

static void a_follower_of_all_gets_or_is_told_lost_every_record(void **state)
{
	struct store *store = *state;
	uint64_t after = 0, got, missed;

	add(store, 0, "{}");
	follow(store, -1, &after, &got, &missed);
	assert_true(got == 1 && missed == 0 && after == 1);
	for (int i = 0; i < 2500; i++)
		add(store, i & 1, "{}");
	follow(store, -1, &after, &got, &missed);
	assert_true(got + missed == 2500);
	assert_true(got >= STORE_HISTORY_MAX);
	assert_true(missed > 0);
}

static void a_follower_of_a_card_gets_or_is_told_lost_every_record(void **state)
{
	struct store *store = *state;
	uint64_t after = 0, got, missed;

	for (int i = 0; i < 5; i++)
		add(store, 3, "{}");
	follow(store, 3, &after, &got, &missed);
	assert_true(got == 5 && missed == 0);
	/* Records of others in between are not its loss. */
	for (int i = 0; i < 2500; i++) {
		add(store, 3, "{}");
		add(store, 4, "{}");
	}
	follow(store, 3, &after, &got, &missed);
	assert_true(got + missed == 2500);
	assert_true(missed > 1000);
	after = 0;
	follow(store, 3, &after, &got, &missed);
	assert_true(got + missed == 2505);
}

static void the_size_is_that_of_the_shown_history(void **state)
{
	struct store *store = *state;
	char json[64];

	for (int i = 0; i < 1400; i++) {
		snprintf(json, sizeof(json), "{\"n\":%d}", i);
		add(store, i % 3 ? 0 : 1, json);
		if (i % 50 && i != 1399)
			continue;
		for (int dev = -1; dev < 3; dev++) {
			struct buf b CLEANUP_BUF = BUF_INIT;
			uint64_t bytes = 0;

			assert_int_equal(store_records(store, dev, 0, STORE_HISTORY_MAX, &b, NULL, NULL, NULL), 0);
			/* Twice: computed, then remembered. */
			for (int k = 0; k < 2; k++) {
				assert_int_equal(store_records_size(store, dev, &bytes), 0);
				assert_true(bytes == b.len);
			}
		}
	}
}

static void a_card_number_out_of_range_is_refused(void **state)
{
	struct store_record r = { .dev = 1 << 30, .slot = -1, .json = "{}" };
	uint64_t seq;

	assert_int_equal(store_record_add(*state, &r, &seq, NULL), -EINVAL);
	assert_true(add(*state, 0, "{}") == 1);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(numbers_grow_by_one_across_cards_and_restarts),
		CLAIM(the_last_records_come_oldest_first_as_lines),
		CLAIM(a_record_goes_when_neither_its_card_nor_all_need_it),
		CLAIM(records_of_no_card_are_trimmed_with_all),
		CLAIM(a_follower_of_all_gets_or_is_told_lost_every_record),
		CLAIM(a_follower_of_a_card_gets_or_is_told_lost_every_record),
		CLAIM(the_size_is_that_of_the_shown_history),
		CLAIM(a_card_number_out_of_range_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
