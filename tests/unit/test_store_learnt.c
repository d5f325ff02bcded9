// SPDX-License-Identifier: Apache-2.0
/* The catalogue between two listings: what was learnt meanwhile, and names that change hands. */
#include "store_fixture.h"

#include <fabricfs/catalogue.h>

static struct store *store;
static struct catalogue_repo repo;

static int begin(void **state)
{
	struct reason why = { 0 };

	if (place_make(state))
		return -1;
	store = open_ok(*state, true);
	return catalogue_repo_open(store, "web", "http", "http://h/", &repo, &why);
}

static int end(void **state)
{
	store_close(store);
	return place_remove(state);
}

#undef CLAIM
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, begin, end)

struct row {
	const char *id, *name;
	struct repo_entry entry;
};

static struct catalogue_counts list(const struct row *rows, size_t n)
{
	struct catalogue_update *u = NULL;
	struct catalogue_counts counts;
	struct reason why = { 0 };

	assert_int_equal(catalogue_update_new(store, repo.id, NULL, NULL, &u, &why), 0);
	for (size_t i = 0; i < n; i++) {
		struct repo_entry entry = rows[i].entry;
		struct catalogue_put put = { .entry = &entry, .name = rows[i].name };

		entry.id = rows[i].id;
		entry.status = "";
		entry.validator = "v";
		assert_int_equal(catalogue_update_put(u, &put, &why), 0);
	}
	assert_int_equal(catalogue_update_end(u, true, &why), 0);
	catalogue_update_counts(u, &counts);
	catalogue_update_free(u);
	return counts;
}

static struct catalogue_entry named(const char *name)
{
	struct catalogue_entry e;
	struct reason why = { 0 };

	if (catalogue_entry_named(store, repo.id, name, &e, &why))
		fail_msg("%s: %s", name, why.text);
	return e;
}

static void learn(const char *name, uint64_t size)
{
	struct catalogue_entry e = named(name);

	assert_int_equal(catalogue_entry_size_set(store, e.id, e.version, size, NULL), 0);
}

static void a_size_that_was_learnt_stays_while_lists_round_it_or_leave_it_out(void **state)
{
	static const struct row rows[] = {
		{ "a", "a", { .has_size = true, .size_rounded = true, .size = 1024 } },
		{ "b", "b", { .has_size = false } },
	};
	static const struct row exact[] = {
		{ "a", "a", { .has_size = true, .size = 1100 } },
		{ "b", "b", { .has_size = true, .size = 7 } },
	};
	struct catalogue_counts counts;

	(void)state;
	assert_int_equal(list(rows, 2).added, 2);
	learn("a", 1000);
	learn("b", 7);
	counts = list(rows, 2);
	assert_int_equal(counts.changed, 0);
	assert_int_equal(counts.listed, 2);
	assert_true(named("a").size == 1000 && !named("a").size_rounded);
	assert_true(named("b").size == 7 && named("b").has_size);
	/* A list that is exact is believed. */
	assert_int_equal(list(exact, 2).changed, 1);
	assert_int_equal(named("a").size, 1100);
}

static void a_name_that_one_image_gives_up_is_the_others(void **state)
{
	static const struct row before[] = {
		{ "old", "n", { .mtime_ns = 1 } },
		{ "new", "n", { .mtime_ns = 2 } },
		{ "x", "x", { .mtime_ns = 3 } },
	};
	static const struct row after[] = {
		{ "old", "n", { .mtime_ns = 1 } },
		{ "new", "m", { .mtime_ns = 2 } },
		{ "x", "x", { .mtime_ns = 3 } },
	};

	(void)state;
	list(before, 3);
	assert_string_equal(named("n").remote_id, "new");
	list(after, 3);
	assert_string_equal(named("m").remote_id, "new");
	assert_string_equal(named("n").remote_id, "old");
	/* And back. */
	list(before, 3);
	assert_string_equal(named("n").remote_id, "new");
	assert_int_not_equal(catalogue_entry_named(store, repo.id, "m", &(struct catalogue_entry){ 0 }, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_size_that_was_learnt_stays_while_lists_round_it_or_leave_it_out),
		CLAIM(a_name_that_one_image_gives_up_is_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
