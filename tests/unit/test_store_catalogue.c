// SPDX-License-Identifier: Apache-2.0
/* The catalogue of what repositories list: names, what stays, what is dropped, and by whose word. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_fixture.h"

#include <fabricfs/cache.h>
#include <fabricfs/catalogue.h>

#include "backend/store/store_in.h"

static struct store *store;
static struct catalogue_repo repo;
static sem_t roomy;
static uint64_t told[4096];
static unsigned told_len, told_version;

static int begin(void **state)
{
	struct reason why = { 0 };

	if (place_make(state))
		return -1;
	store = open_ok(*state, true);
	return catalogue_repo_open(store, "nfs", "directory", "/net", &repo, &why);
}

static int end(void **state)
{
	store_close(store);
	return place_remove(state);
}

#undef CLAIM
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, begin, end)

static void tell(uint64_t id, unsigned version, void *arg)
{
	(void)arg;
	told_version = version;
	if (told_len < sizeof(told) / sizeof(told[0]))
		told[told_len++] = id;
}

static struct catalogue_update *update_new(void)
{
	struct catalogue_update *u = NULL;
	struct reason why = { 0 };

	told_len = 0;
	if (catalogue_update_new(store, repo.id, tell, NULL, &u, &why))
		fail_msg("%s", why.text);
	return u;
}

static void put(struct catalogue_update *u, const char *id, const char *name, struct repo_entry entry)
{
	struct catalogue_put p = { .entry = &entry, .name = name };
	struct reason why = { 0 };

	entry.id = id;
	entry.status = "";
	entry.validator = entry.validator ? entry.validator : "v1";
	if (catalogue_update_put(u, &p, &why))
		fail_msg("%s", why.text);
}

/* What has been put becomes all there is. */
static struct catalogue_counts end_with(struct catalogue_update *u, bool drop)
{
	struct catalogue_counts counts;
	struct reason why = { 0 };

	if (catalogue_update_end(u, drop, &why))
		fail_msg("%s", why.text);
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

static bool there(const char *name)
{
	struct catalogue_entry e;

	return !catalogue_entry_named(store, repo.id, name, &e, NULL);
}

static const struct repo_entry sized = { .has_size = true, .size = 7, .mtime_ns = 5 };

static int id_add(const struct catalogue_entry *entry, void *arg)
{
	buf_addf(arg, "%s ", entry->remote_id);
	return 0;
}

/* The images whose bytes are known to have this digest, by id. */
static void with_digest_are(const char *algo, const char *digest, const char *ids)
{
	struct buf seen CLEANUP_BUF = BUF_INIT;

	assert_int_equal(catalogue_with_digest(store, algo, digest, id_add, &seen, NULL), 0);
	assert_string_equal(seen.data ? seen.data : "", ids);
}

static void what_was_put_is_found_by_name_id_row_and_digest(void **state)
{
	static const char *const properties[] = { "part", "ice40", "empty", "", NULL };
	struct catalogue_update *u = update_new();
	struct repo_entry full = sized;
	struct catalogue_entry e, other;
	char **pairs = NULL;

	(void)state;
	full.digest_algo = "sha256";
	full.digest = "abcd";
	full.properties = properties;
	full.data = REPO_DATA_SHUT;
	put(u, "the/id", "name", full);
	assert_int_equal(end_with(u, true).added, 1);
	e = named("name");
	assert_string_equal(e.remote_id, "the/id");
	assert_int_equal(e.size, 7);
	assert_true(e.has_size);
	assert_int_equal(e.mtime_ns, 5);
	assert_int_equal(e.data, REPO_DATA_SHUT);
	assert_string_equal(e.validator, "v1");
	assert_int_equal(catalogue_entry_get(store, e.id, &other, NULL), 0);
	assert_string_equal(other.name, "name");
	assert_int_equal(catalogue_entry_with_id(store, repo.id, "the/id", &other, NULL), 0);
	assert_int_equal(other.id, e.id);
	with_digest_are("sha256", "abcd", "the/id ");
	with_digest_are("sha512", "abcd", "");
	assert_int_equal(catalogue_properties(store, e.id, &pairs, NULL), 0);
	assert_string_equal(pairs[0], "part");
	assert_string_equal(pairs[1], "ice40");
	assert_string_equal(pairs[3], "");
	assert_null(pairs[4]);
	free(pairs);
}

static void a_list_that_is_as_before_changes_nothing(void **state)
{
	struct catalogue_counts counts;
	struct catalogue_update *u;
	uint64_t row;

	(void)state;
	u = update_new();
	put(u, "a", "a", sized);
	put(u, "b", "b", sized);
	end_with(u, true);
	row = named("b").id;
	u = update_new();
	put(u, "b", "b", sized);
	put(u, "a", "a", sized);
	counts = end_with(u, true);
	assert_int_equal(counts.listed, 2);
	assert_int_equal(counts.before, 2);
	assert_int_equal(counts.added + counts.changed + counts.dropped + counts.renamed, 0);
	assert_int_equal(told_len, 0);
	assert_int_equal(named("b").id, row);
}

/* A first listing in order is added many at a time; at any place of it something may come that is not. */
static void in_a_first_listing_each_name_and_id_counts_once_wherever_it_comes(void **state)
{
	static const char *const property[] = { "part", "ice40", NULL };
	enum { LISTED = 600 };

	(void)state;
	for (unsigned odd = 1; odd < LISTED; odd += 7) {
		struct catalogue_update *u;
		struct catalogue_counts counts;
		struct repo_entry newer = sized, described = sized;
		struct catalogue_entry e;
		char name[32], id[32], former[32], former_id[32], **pairs = NULL;

		if (catalogue_repo_open(store, "nfs", "directory", odd % 2 ? "/odd" : "/even", &repo, NULL))
			fail_msg("the repository cannot be opened");
		snprintf(former, sizeof(former), "n%04u", odd / 2);
		snprintf(former_id, sizeof(former_id), "i%04u", odd / 2);
		newer.mtime_ns = 9;
		described.properties = property;
		u = update_new();
		for (unsigned i = 0; i < LISTED; i++) {
			snprintf(name, sizeof(name), "n%04u", i);
			snprintf(id, sizeof(id), "i%04u", i);
			if (i == odd && odd % 3 == 0)
				put(u, id, "a name before all others", sized);
			else if (i == odd && odd % 3 == 1)
				put(u, former_id, name, newer);
			else if (i == odd)
				put(u, id, former, newer);
			else
				put(u, id, name, i == odd + 3 ? described : sized);
		}
		counts = end_with(u, true);
		assert_int_equal(counts.added, odd % 3 == 1 ? LISTED - 1 : LISTED);
		assert_int_equal(counts.added, counts.listed);
		assert_int_equal(counts.dropped, 0);
		assert_int_equal(catalogue_repo_images(store, repo.id), odd % 3 ? LISTED - 1 : LISTED);
		snprintf(id, sizeof(id), "i%04u", odd % 3 == 2 ? odd : odd / 2);
		assert_string_equal(named(former).remote_id, id);
		if (odd + 3 >= LISTED)
			continue;
		snprintf(name, sizeof(name), "n%04u", odd + 3);
		e = named(name);
		assert_int_equal(catalogue_properties(store, e.id, &pairs, NULL), 0);
		assert_string_equal(pairs[1], "ice40");
		free(pairs);
	}
}

static void a_change_keeps_the_row_and_is_told(void **state)
{
	struct catalogue_update *u = update_new();
	struct repo_entry more = sized;
	uint64_t row;

	(void)state;
	put(u, "a", "a", sized);
	end_with(u, true);
	row = named("a").id;
	assert_int_equal(catalogue_entry_content_set(store, row, 0, 12, NULL), 0);
	assert_int_equal(catalogue_facts_set(store, row, "{\"part\":\"x\"}", NULL), 0);
	assert_true(named("a").known);
	/* A new time alone is of the same bytes. */
	more.mtime_ns = 6;
	u = update_new();
	put(u, "a", "a", more);
	assert_int_equal(end_with(u, true).changed, 1);
	assert_int_equal(named("a").content, 12);
	assert_true(named("a").known);
	assert_int_equal(told_len, 1);
	assert_int_equal(told[0], row);
	assert_int_equal(named("a").version, 0);
	/* Another validator is not: what was learnt of the old ones is forgotten. */
	more.validator = "v2";
	u = update_new();
	put(u, "a", "a", more);
	end_with(u, true);
	assert_int_equal(named("a").id, row);
	assert_int_equal(named("a").content, 0);
	assert_false(named("a").known);
	assert_int_equal(told[0], row);
	assert_int_equal(told_version, 0); /* which readers saw */
	assert_int_equal(named("a").version, 1);
}

static void list(const char *validator)
{
	struct catalogue_update *u = update_new();
	struct repo_entry other = sized;

	other.validator = validator;
	put(u, "a", "a", other);
	end_with(u, true);
}

static void a_version_is_of_one_content_and_is_another_once_that_was_read(void **state)
{
	uint64_t row;

	(void)state;
	list("v1");
	row = named("a").id;
	/* Nobody has bytes of what it was. */
	list("v2");
	assert_int_equal(named("a").version, 0);
	assert_int_equal(catalogue_entry_content_set(store, row, 0, 5, NULL), 0);
	assert_int_equal(catalogue_entry_content_set(store, row, 0, 5, NULL), 0);
	assert_int_equal(named("a").version, 0);
	list("v3");
	assert_int_equal(named("a").version, 1);
	/* What is learnt of the old bytes is not noted of the new ones. */
	assert_int_equal(catalogue_entry_content_set(store, row, 0, 5, NULL), -ESTALE);
	assert_int_equal(catalogue_entry_size_set(store, row, 0, 99, NULL), 0);
	assert_int_equal(named("a").content, 0);
	assert_int_equal(named("a").size, 7);
	assert_int_equal(catalogue_entry_size_set(store, row, 1, 8, NULL), 0);
	assert_int_equal(named("a").size, 8);
	assert_int_equal(named("a").version, 1);
	/* Found by reading, and not by a listing. */
	assert_int_equal(catalogue_entry_content_set(store, row, 1, 6, NULL), 0);
	assert_int_equal(catalogue_entry_content_set(store, row, 1, 7, NULL), -ESTALE);
	assert_int_equal(named("a").version, 2);
	assert_int_equal(named("a").content, 7);
	assert_int_equal(catalogue_entry_content_set(store, row, 2, 7, NULL), 0);
}

static unsigned gone_told;

static void tell_gone(uint64_t of, uint64_t id, unsigned version, void *arg)
{
	(void)arg;
	assert_int_equal(of, repo.id);
	assert_int_not_equal(id, 0);
	assert_int_equal(version, 0);
	gone_told++;
}

#define SHARING (CATALOGUE_BATCH + 3)

static void all_images_of_a_content_that_is_gone_are_of_another_version(void **state)
{
	struct catalogue_update *u = update_new();
	char name[16];

	(void)state;
	for (unsigned i = 0; i <= SHARING; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		put(u, name, name, sized);
	}
	end_with(u, true);
	for (unsigned i = 0; i <= SHARING; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		assert_int_equal(catalogue_entry_content_set(store, named(name).id, 0, i ? 4 : 3, NULL), 0);
	}
	gone_told = 0;
	assert_int_equal(catalogue_content_gone(store, 4, tell_gone, NULL, NULL), 0);
	assert_int_equal(gone_told, SHARING);
	for (unsigned i = 0; i <= SHARING; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		assert_int_equal(named(name).version, i ? 1 : 0);
		assert_int_equal(named(name).content, i ? 0 : 3);
	}
	assert_int_equal(catalogue_content_gone(store, 4, tell_gone, NULL, NULL), 0);
	assert_int_equal(catalogue_content_gone(store, 0, tell_gone, NULL, NULL), 0);
	assert_int_equal(gone_told, SHARING);
}

static void versions_begin_again_and_leave_the_size_as_it_is(void **state)
{
	struct reason why = { 0 };
	unsigned version = 0;
	uint64_t row;

	list("v1");
	row = named("a").id;
	store_close(store);
	/* Of the last version. */
	db_edit(*state, "UPDATE entry SET flags = flags + 4 * 65535, content = 1");
	store = open_ok(*state, true);
	assert_int_equal(catalogue_repo_open(store, "nfs", "directory", "/net", &repo, &why), 0);
	assert_int_equal(named("a").version, CATALOGUE_VERSIONS - 1);
	for (unsigned i = 0; i < 3; i++, version++) {
		list(i % 2 ? "v3" : "v2");
		assert_int_equal(named("a").version, version);
		assert_true(named("a").has_size);
		assert_false(named("a").size_rounded);
		assert_int_equal(named("a").size, 7);
		assert_int_equal(catalogue_entry_content_set(store, row, version, 10 + i, NULL), 0);
	}
}

static void of_one_name_own_ones_come_first_then_the_newest(void **state)
{
	struct repo_entry own = sized, public = sized, newer = sized, empty = sized;
	struct catalogue_update *u;

	(void)state;
	public.rank = REPO_PUBLIC;
	public.mtime_ns = 1000;
	newer.mtime_ns = 50;
	empty.mtime_ns = 60;
	empty.data = REPO_DATA_NONE;
	u = update_new();
	put(u, "public", "x", public);
	end_with(u, false);
	assert_string_equal(named("x").remote_id, "public");
	u = update_new();
	put(u, "own", "x", own);
	put(u, "newer", "x", newer);
	put(u, "empty", "x", empty);
	assert_int_equal(end_with(u, false).renamed >= 1, true);
	assert_string_equal(named("x").remote_id, "newer");
	assert_int_equal(catalogue_repo_images(store, repo.id), 1);
	/* Without it the name is the next one's. */
	u = update_new();
	put(u, "public", "x", public);
	put(u, "own", "x", own);
	assert_int_equal(end_with(u, true).dropped, 2);
	assert_string_equal(named("x").remote_id, "own");
}

static void only_an_end_that_says_so_drops_what_was_not_put(void **state)
{
	struct catalogue_update *u = update_new();
	char name[32];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		put(u, name, name, sized);
	}
	end_with(u, true);
	assert_int_equal(catalogue_repo_images(store, repo.id), 1000);
	u = update_new();
	put(u, "n5", "n5", sized);
	assert_int_equal(end_with(u, false).dropped, 0);
	assert_true(there("n999"));
	u = update_new();
	put(u, "n5", "n5", sized);
	put(u, "n5", "n5", sized); /* pages may overlap */
	assert_int_equal(end_with(u, true).dropped, 999);
	assert_int_equal(told_len, 999);
	assert_false(there("n999"));
	assert_true(there("n5"));
}

struct seen {
	uint64_t last;
	unsigned n, stop;
};

static int see(const struct catalogue_listed *entry, void *arg)
{
	struct seen *seen = arg;

	if (seen->n == seen->stop)
		return 1;
	assert_true(entry->id > seen->last);
	seen->last = entry->id;
	seen->n++;
	return 0;
}

static void a_listing_goes_on_behind_any_row(void **state)
{
	struct catalogue_update *u = update_new();
	struct seen seen = { .stop = 10 };
	char name[32];

	(void)state;
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "n%d", 29 - i);
		put(u, name, name, sized);
	}
	end_with(u, true);
	assert_int_equal(catalogue_list(store, repo.id, 0, false, see, &seen, NULL), 1);
	assert_int_equal(seen.n, 10);
	/* The row at which it stopped goes meanwhile. */
	u = update_new();
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "n%d", 29 - i);
		if (i != 9)
			put(u, name, name, sized);
	}
	end_with(u, true);
	seen.stop = 1000;
	assert_int_equal(catalogue_list(store, repo.id, seen.last, true, see, &seen, NULL), 0);
	assert_int_equal(seen.n, 30);
}

static void a_row_is_never_given_again(void **state)
{
	struct catalogue_update *u = update_new();
	uint64_t row;

	put(u, "a", "a", sized);
	end_with(u, true);
	row = named("a").id;
	end_with(update_new(), true);
	assert_false(there("a"));
	store_close(store);
	store = open_ok(*state, true);
	u = update_new();
	put(u, "a", "a", sized);
	end_with(u, true);
	assert_true(named("a").id > row);
}

static void a_repository_keeps_its_row_and_loses_its_images_with_its_address(void **state)
{
	struct catalogue_update *u = update_new();
	struct catalogue_repo again;

	(void)state;
	put(u, "a", "a", sized);
	end_with(u, true);
	repo.listed_ns = 5;
	repo.offline = true;
	snprintf(repo.reason, sizeof(repo.reason), "no route");
	assert_int_equal(catalogue_repo_save(store, &repo, NULL), 0);
	assert_int_equal(catalogue_repo_open(store, "nfs", "directory", "/net", &again, NULL), 0);
	assert_int_equal(again.id, repo.id);
	assert_int_equal(again.listed_ns, 5);
	assert_true(again.offline);
	assert_string_equal(again.reason, "no route");
	assert_true(there("a"));
	assert_int_equal(catalogue_repo_open(store, "nfs", "directory", "/other", &again, NULL), 0);
	assert_int_equal(again.id, repo.id);
	assert_int_equal(again.listed_ns, 0);
	assert_false(there("a"));
}

static void a_catalogue_of_the_first_format_is_taken_over(void **state)
{
	struct store_slot row = { .state = "failed" };
	struct store_slot out = { 0 };
	unsigned number;
	bool added, doubted;

	assert_int_equal(store_card_number(store, "sim:a", &number, &added, NULL), 0);
	assert_int_equal(store_commit(store, number, -1, &row, NULL, NULL, NULL), 0);
	store_close(store);
	db_edit(*state, "DROP TABLE repo; DROP TABLE entry; DROP TABLE about; DROP TABLE content;"
			"PRAGMA user_version = 1");
	store = open_ok(*state, true);
	assert_int_equal(store_slot_load(store, number, -1, &out, &doubted, NULL), 0);
	assert_string_equal(out.state, "failed");
	store_slot_fini(&out);
	assert_int_equal(catalogue_repo_open(store, "nfs", "directory", "/net", &repo, NULL), 0);
	assert_int_equal(catalogue_repo_images(store, repo.id), 0);
}

/* An older fabricfs had an index of all names; it finds this catalogue whole, and the other way round. */
static void the_index_of_all_names_becomes_one_of_rivals(void **state)
{
	struct repo_entry old = sized, new = sized;
	struct catalogue_update *u;

	u = update_new();
	new.mtime_ns = 9;
	put(u, "1", "twice", old);
	put(u, "2", "twice", new);
	put(u, "3", "once", old);
	end_with(u, true);
	store_close(store);
	db_edit(*state, "DROP INDEX entry_rival;"
			"CREATE INDEX entry_named ON entry (repo, name, rank, data = 1, mtime_ns DESC, remote_id)");
	store = open_ok(*state, false);
	assert_string_equal(named("twice").remote_id, "2");
	u = update_new();
	put(u, "1", "twice", old);
	put(u, "3", "once", old);
	end_with(u, true);
	assert_string_equal(named("twice").remote_id, "1");
	assert_string_equal(named("once").remote_id, "3");
}

static uint64_t row_of(const char *id)
{
	struct catalogue_entry e = { 0 };
	struct reason why = { 0 };

	if (catalogue_entry_with_id(store, repo.id, id, &e, &why))
		fail_msg("%s", why.text);
	return e.id;
}

static int kept_add(const struct cache_content *content, bool kept, void *arg)
{
	struct buf *seen = arg;

	if (kept)
		buf_addf(seen, "%d ", (int)content->id);
	return 0;
}

/* The contents that are not to be dropped, by row. */
static void kept_are(const char *rows)
{
	struct buf seen CLEANUP_BUF = BUF_INIT;
	struct reason why = { 0 };

	assert_int_equal(cache_contents_each(store, kept_add, &seen, &why), 0);
	assert_string_equal(seen.data ? seen.data : "", rows);
}

static unsigned version_of(const char *id)
{
	struct catalogue_entry e;

	assert_int_equal(catalogue_entry_with_id(store, repo.id, id, &e, NULL), 0);
	return e.version;
}

static uint64_t content_with(const char *key, const char *id)
{
	struct cache_content content;
	struct reason why = { 0 };

	assert_int_equal(cache_content_make(store, key, &content, NULL, &why), 0);
	assert_int_equal(cache_content_used(store, content.id, 100, &why), 0);
	if (id && catalogue_entry_content_set(store, row_of(id), version_of(id), content.id, &why))
		fail_msg("%s", why.text);
	return content.id;
}

static void a_pin_stays_with_the_name_when_the_image_is_replaced(void **state)
{
	struct catalogue_update *u = update_new();

	(void)state;
	put(u, "a", "x.bin", (struct repo_entry){ .validator = "v1" });
	put(u, "b", "y.bin", (struct repo_entry){ .validator = "v1" });
	end_with(u, true);
	content_with("old", "a");
	content_with("other", "b");
	assert_int_equal(cache_pin_set(store, row_of("a"), true, NULL), 0);
	assert_true(cache_pinned(store, row_of("a")));
	assert_false(cache_pinned(store, row_of("b")));
	kept_are("1 ");
	u = update_new();
	put(u, "a", "x.bin", (struct repo_entry){ .validator = "v2" });
	put(u, "b", "y.bin", (struct repo_entry){ .validator = "v1" });
	end_with(u, true);
	assert_true(cache_pinned(store, row_of("a")));
	kept_are("");
	content_with("new", "a");
	kept_are("3 ");
	assert_int_equal(cache_pin_set(store, row_of("a"), false, NULL), 0);
	assert_false(cache_pinned(store, row_of("a")));
	kept_are("");
}

static void a_pin_goes_to_the_image_that_takes_the_name(void **state)
{
	struct catalogue_update *u = update_new();

	(void)state;
	put(u, "a", "x.bin", (struct repo_entry){ .mtime_ns = 1 });
	end_with(u, true);
	content_with("old", "a");
	assert_int_equal(cache_pin_set(store, row_of("a"), true, NULL), 0);
	u = update_new();
	put(u, "a", "x.bin", (struct repo_entry){ .mtime_ns = 1 });
	put(u, "b", "x.bin", (struct repo_entry){ .mtime_ns = 2 });
	end_with(u, true);
	content_with("new", "b");
	assert_false(cache_pinned(store, row_of("a")));
	assert_true(cache_pinned(store, row_of("b")));
	kept_are("2 ");
	/* One that has the name no more is pinned by its id. */
	assert_int_equal(cache_pin_set(store, row_of("a"), true, NULL), 0);
	assert_true(cache_pinned(store, row_of("a")));
	kept_are("1 2 ");
	assert_int_equal(cache_pin_set(store, row_of("b"), false, NULL), 0);
	assert_true(cache_pinned(store, row_of("a")));
	assert_false(cache_pinned(store, row_of("b")));
	kept_are("1 ");
}

/* A catalogue of an older fabricfs, with the pins that were set there. */
static void pins_of_bytes_become_pins_of_the_names_that_they_had(void **state)
{
	struct repo_entry summed = sized;
	struct cache_content content;
	struct catalogue_update *u = update_new();
	bool made;

	summed.digest_algo = "sha256";
	summed.digest = "0123456789abcdef";
	put(u, "a", "read", sized);
	put(u, "b", "other", sized);
	put(u, "c", "summed", summed);
	end_with(u, true);
	assert_int_equal(cache_content_make(store, "1:a:v1", &content, &made, NULL), 0);
	assert_int_equal(catalogue_entry_content_set(store, row_of("a"), named("read").version, content.id, NULL), 0);
	assert_int_equal(cache_content_make(store, "sha256:0123456789abcdef", &content, &made, NULL), 0);
	assert_int_equal(cache_content_make(store, "1:b:v1", &content, &made, NULL), 0);
	assert_int_equal(catalogue_entry_content_set(store, row_of("b"), named("other").version, content.id, NULL), 0);
	store_close(store);
	db_edit(*state, "ALTER TABLE content ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;"
			"UPDATE content SET pinned = 1 WHERE key <> '1:b:v1'; PRAGMA user_version = 2");
	store = open_ok(*state, true);
	assert_true(cache_pinned(store, row_of("a")));
	assert_true(cache_pinned(store, row_of("c")));
	assert_false(cache_pinned(store, row_of("b")));
	assert_int_equal(cache_content_find(store, "1:b:v1", &content, NULL), 0);
	/* Once: they are not set again by a later start. */
	assert_int_equal(cache_pin_set(store, row_of("a"), false, NULL), 0);
	store_close(store);
	store = open_ok(*state, true);
	assert_false(cache_pinned(store, row_of("a")));
	store_close(store);
	db_edit(*state, "PRAGMA user_version = 2");
	store = open_ok(*state, true);
	assert_true(cache_pinned(store, row_of("c")));
}

static void of_two_names_with_the_same_bytes_one_may_be_pinned(void **state)
{
	struct repo_entry entry = { .digest_algo = "sha256", .digest = "00ff" };
	struct catalogue_update *u = update_new();
	uint64_t id;

	(void)state;
	put(u, "a", "x.bin", entry);
	put(u, "b", "y.bin", entry);
	end_with(u, true);
	/* Read by way of the other name alone. */
	id = content_with("sha256:00ff", "b");
	assert_int_equal(id, 1);
	kept_are("");
	assert_int_equal(cache_pin_set(store, row_of("a"), true, NULL), 0);
	assert_false(cache_pinned(store, row_of("b")));
	kept_are("1 ");
	assert_int_equal(cache_pin_set(store, row_of("b"), false, NULL), 0);
	kept_are("1 ");
	assert_int_equal(cache_pin_set(store, row_of("a"), false, NULL), 0);
	kept_are("");
}

static void an_image_is_found_by_a_hash_that_was_found_out_here(void **state)
{
	static const char *const sha512 = "ee26b0dd4af7e749aa1a8ee3c10ae9923f618980772e473f8819a5d4940e0db27ac185f8a0e1"
					  "d5f84f88bc887fd67b143732c304cc5fa9ad8e6f57f50028a8ff";
	static const char *const sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
	struct repo_entry entry = { .digest_algo = "sha512", .digest = sha512 };
	struct catalogue_update *u = update_new();
	struct buf key CLEANUP_BUF = BUF_INIT;
	bool twin;
	uint64_t id;

	(void)state;
	put(u, "other", "x.bin", (struct repo_entry){ .digest_algo = "md5", .digest = "098f6bcd4621d373cade4e832627b4f6" });
	put(u, "a", "a.bin", entry);
	put(u, "b", "b.bin", entry);
	end_with(u, true);
	/* Read by way of b alone. */
	buf_addf(&key, "sha512:%s", sha512);
	id = content_with(key.data, "b");
	with_digest_are("sha256", sha256, "");
	assert_int_equal(cache_content_whole(store, id, 4, sha256, &twin, NULL), -ENOENT); /* no file, but the row says so */
	with_digest_are("sha256", sha256, "a b ");
}

static int cached_add(const struct cache_content *content, bool kept, void *arg)
{
	struct buf *seen = arg;

	buf_addf(seen, "%d%s ", (int)content->id, kept ? "!" : "");
	return 0;
}

static void absent_are(const char *rows)
{
	struct buf seen CLEANUP_BUF = BUF_INIT;
	struct reason why = { 0 };

	assert_int_equal(cache_contents_absent(store, cached_add, &seen, &why), 0);
	assert_string_equal(seen.data ? seen.data : "", rows);
}

static unsigned absent_at(int64_t now, const char *first, const char *second)
{
	const char *names[] = { first, second };
	struct reason why = { 0 };
	unsigned forgotten = 0;

	if (catalogue_absent(store, names, second ? 2 : first ? 1 : 0, now, 100, &forgotten, &why))
		fail_msg("%s", why.text);
	return forgotten;
}

static void a_repository_that_is_not_configured_is_forgotten_after_its_time(void **state)
{
	struct catalogue_repo other, again;
	struct catalogue_update *u = update_new();
	struct reason why = { 0 };

	(void)state;
	put(u, "a", "a.bin", sized);
	put(u, "b", "both.bin", sized);
	end_with(u, true);
	content_with("first", "a");
	content_with("both", "b");
	assert_int_equal(catalogue_repo_open(store, "web", "http", "http://x/", &other, &why), 0);
	assert_int_equal(catalogue_update_new(store, other.id, NULL, NULL, &u, &why), 0);
	put(u, "c", "both.bin", sized);
	end_with(u, true);
	{
		struct catalogue_entry e;

		assert_int_equal(catalogue_entry_named(store, other.id, "both.bin", &e, &why), 0);
		assert_int_equal(catalogue_entry_content_set(store, e.id, e.version, 2, &why), 0);
	}
	assert_int_equal(absent_at(1000, "nfs", "web"), 0);
	absent_are("");
	/* What web lists too is not nobody's. */
	assert_int_equal(absent_at(1000, "web", NULL), 0);
	absent_are("1 ");
	assert_int_equal(absent_at(1099, "web", NULL), 0);
	assert_true(there("a.bin"));
	/* It comes back, and goes again: from then on it counts. */
	assert_int_equal(absent_at(1099, "nfs", "web"), 0);
	absent_are("");
	assert_int_equal(absent_at(1150, "web", NULL), 0);
	assert_int_equal(absent_at(1249, "web", NULL), 0);
	/* So it does with a clock that was set back. */
	assert_int_equal(absent_at(500, "web", NULL), 0);
	assert_int_equal(absent_at(599, "web", NULL), 0);
	/* A pin keeps it. */
	assert_int_equal(cache_pin_set(store, row_of("a"), true, NULL), 0);
	assert_int_equal(absent_at(700, "web", NULL), 0);
	absent_are("1! ");
	assert_int_equal(cache_pin_set(store, row_of("a"), false, NULL), 0);
	assert_int_equal(absent_at(700, "web", NULL), 1);
	assert_false(there("a.bin"));
	assert_int_equal(catalogue_repo_open(store, "nfs", "directory", "/net", &again, &why), 0);
	assert_int_not_equal(again.id, repo.id);
	assert_int_equal(catalogue_repo_images(store, other.id), 1);
	assert_int_equal(absent_at(800, "nfs", "web"), 0);
}

static void many_put(struct catalogue_update *u, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char name[32];

		snprintf(name, sizeof(name), "image-%06u", i);
		put(u, name, name, sized);
	}
}

static void post(void *arg)
{
	sem_post(arg);
}

static void a_flush_is_told_once_all_that_was_put_is_written(void **state)
{
	struct catalogue_update *u = update_new();
	struct catalogue_counts counts;
	sem_t written;

	(void)state;
	sem_init(&written, 0, 0);
	catalogue_update_flush(u, post, &written); /* of nothing: at once */
	assert_int_equal(sem_trywait(&written), 0);
	many_put(u, 5000);
	catalogue_update_flush(u, post, &written);
	sem_wait(&written);
	assert_true(there("image-004999"));
	catalogue_update_counts(u, &counts);
	assert_int_equal(counts.listed, 5000);
	assert_int_equal(counts.shown, 5000);
	assert_int_equal(end_with(u, true).dropped, 0);
	sem_destroy(&written);
}

static void what_cannot_be_written_is_told_and_no_later_entry_is(void **state)
{
	struct catalogue_update *u;
	struct reason why = { 0 };

	db_edit(*state, "CREATE TRIGGER refuse BEFORE INSERT ON entry WHEN new.name = 'image-000100'"
			" BEGIN SELECT raise(ABORT, 'refused'); END");
	u = update_new();
	for (unsigned i = 0, err = 0; i < 50000 && !err; i++) {
		struct repo_entry entry = sized;
		char name[32];
		struct catalogue_put p = { .entry = &entry, .name = name };

		snprintf(name, sizeof(name), "image-%06u", i);
		entry.id = name;
		entry.status = entry.validator = "";
		err = catalogue_update_put(u, &p, &why) != 0;
	}
	why = (struct reason){ 0 };
	assert_int_not_equal(catalogue_update_end(u, true, &why), 0);
	assert_non_null(strstr(why.text, "refused"));
	catalogue_update_free(u);
	assert_false(there("image-000100"));
	assert_false(there("image-049999"));
	/* Who gives up says nothing: what waits is left out. */
	u = update_new();
	many_put(u, 200);
	catalogue_update_free(u);
}

static void room_post(void)
{
	sem_post(&roomy);
}

static void who_is_refused_room_is_told_when_there_is_some(void **state)
{
	struct catalogue_update *u = update_new();
	unsigned put_of = 0;

	(void)state;
	sem_init(&roomy, 0, 0);
	catalogue_room_listen(store, room_post);
	assert_true(catalogue_update_room(u));
	/* Nothing is written while somebody else writes. */
	store_write_lock(store);
	for (; put_of < 1000000 && catalogue_update_room(u); put_of++) {
		char name[32];

		snprintf(name, sizeof(name), "image-%06u", put_of);
		put(u, name, name, sized);
	}
	assert_in_range(put_of, 1000, 200000);
	assert_int_not_equal(sem_trywait(&roomy), 0);
	store_write_unlock(store);
	sem_wait(&roomy);
	assert_true(catalogue_update_room(u));
	assert_int_equal(end_with(u, true).added, put_of);
	assert_int_not_equal(sem_trywait(&roomy), 0);
	sem_destroy(&roomy);
}

static char order[4];
static unsigned order_len;

static void *listing_turn(void *arg)
{
	sem_post(arg);
	store_write_lock_last(store);
	order[order_len++] = 'l';
	store_write_unlock(store);
	return NULL;
}

static void *commit_turn(void *arg)
{
	(void)arg;
	store_write_lock(store);
	order[order_len++] = 'c';
	store_write_unlock(store);
	return NULL;
}

static void a_listing_comes_behind_all_who_want_to_write(void **state)
{
	pthread_t listing, commits[2];
	sem_t begun;

	(void)state;
	order_len = 0;
	sem_init(&begun, 0, 0);
	store_write_lock(store);
	assert_int_equal(pthread_create(&listing, NULL, listing_turn, &begun), 0);
	sem_wait(&begun);
	assert_false(store_write_wanted(store));
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&commits[i], NULL, commit_turn, NULL), 0);
	while (atomic_load(&store->write_wanted) < 2)
		sched_yield();
	store_write_unlock(store);
	pthread_join(listing, NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(commits[i], NULL);
	assert_memory_equal(order, "ccl", 3);
	sem_destroy(&begun);
}

static void names_are_counted_as_they_come_change_and_go(void **state)
{
	struct catalogue_update *u = update_new();
	int64_t shown;

	(void)state;
	put(u, "1", "a", sized);
	put(u, "2", "a", sized);
	put(u, "3", "b", sized);
	put(u, "4", "c", sized);
	shown = end_with(u, true).shown;
	assert_int_equal(shown, catalogue_repo_images(store, repo.id));
	u = update_new();
	put(u, "2", "d", sized); /* gives its name up, or a claim to it */
	put(u, "3", "c", sized); /* becomes a rival, or wins */
	put(u, "4", "c", sized);
	shown += end_with(u, true).shown;
	assert_int_equal(shown, 2);
	assert_int_equal(shown, catalogue_repo_images(store, repo.id));
	u = update_new();
	put(u, "9", "z", sized);
	shown += end_with(u, true).shown;
	assert_int_equal(shown, 1);
	assert_int_equal(shown, catalogue_repo_images(store, repo.id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(what_was_put_is_found_by_name_id_row_and_digest),
		CLAIM(a_list_that_is_as_before_changes_nothing),
		CLAIM(in_a_first_listing_each_name_and_id_counts_once_wherever_it_comes),
		CLAIM(a_change_keeps_the_row_and_is_told),
		CLAIM(a_version_is_of_one_content_and_is_another_once_that_was_read),
		CLAIM(all_images_of_a_content_that_is_gone_are_of_another_version),
		CLAIM(versions_begin_again_and_leave_the_size_as_it_is),
		CLAIM(of_one_name_own_ones_come_first_then_the_newest),
		CLAIM(only_an_end_that_says_so_drops_what_was_not_put),
		CLAIM(a_listing_goes_on_behind_any_row),
		CLAIM(a_row_is_never_given_again),
		CLAIM(a_repository_keeps_its_row_and_loses_its_images_with_its_address),
		CLAIM(a_catalogue_of_the_first_format_is_taken_over),
		CLAIM(the_index_of_all_names_becomes_one_of_rivals),
		CLAIM(a_pin_stays_with_the_name_when_the_image_is_replaced),
		CLAIM(a_pin_goes_to_the_image_that_takes_the_name),
		CLAIM(pins_of_bytes_become_pins_of_the_names_that_they_had),
		CLAIM(of_two_names_with_the_same_bytes_one_may_be_pinned),
		CLAIM(an_image_is_found_by_a_hash_that_was_found_out_here),
		CLAIM(a_repository_that_is_not_configured_is_forgotten_after_its_time),
		CLAIM(a_flush_is_told_once_all_that_was_put_is_written),
		CLAIM(what_cannot_be_written_is_told_and_no_later_entry_is),
		CLAIM(who_is_refused_room_is_told_when_there_is_some),
		CLAIM(a_listing_comes_behind_all_who_want_to_write),
		CLAIM(names_are_counted_as_they_come_change_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
