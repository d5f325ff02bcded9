// SPDX-License-Identifier: Apache-2.0
/* The mirror against a kind that answers as it is told: when it asks, for what, and what it makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/remote/mirror.h"

#include <fabricfs/catalogue.h>
#include <fabricfs/clock.h>

/* --- the time of day, which somebody sets ------------------------------------------------------- */

#define DAY_NS (INT64_C(86400) * 1000000000)
static _Atomic int64_t set_by_ns;

int64_t __real_clock_now_ns(void);
int64_t __wrap_clock_now_ns(void);
int64_t __wrap_clock_now_ns(void)
{
	return __real_clock_now_ns() + set_by_ns;
}

/* --- the kind -------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static struct repo_list *asked_for; /* lock */
static bool cancelled;
static unsigned answers;

static int kind_open(const struct repo_config *config, void **repo, struct reason *why)
{
	(void)config;
	(void)why;
	*repo = &asked_for;
	return 0;
}

static void kind_close(void *repo)
{
	(void)repo;
}

static int kind_list(void *repo, struct repo_list *list, struct reason *why)
{
	(void)repo;
	(void)why;
	pthread_mutex_lock(&lock);
	asked_for = list;
	pthread_cond_broadcast(&moved);
	pthread_mutex_unlock(&lock);
	return 0;
}

static void kind_list_cancel(void *repo, struct repo_list *list)
{
	struct reason why = { 0 };

	(void)repo;
	pthread_mutex_lock(&lock);
	cancelled = true;
	pthread_mutex_unlock(&lock);
	reason_set(&why, ECANCELED, "cancelled");
	list->done(list, ECANCELED, false, false, &why);
}

static const struct repo_key no_keys[] = { { NULL, 0 } };
static const struct repo_kind kind = { .version = REPO_ABI, .name = "fake", .keys = no_keys, .open = kind_open,
				       .close = kind_close, .list = kind_list, .list_cancel = kind_list_cancel };

/* Waits until the mirror asks; what for. */
static struct repo_list *asked(void)
{
	struct repo_list *list;

	pthread_mutex_lock(&lock);
	while (!asked_for)
		pthread_cond_wait(&moved, &lock);
	list = asked_for;
	asked_for = NULL;
	pthread_mutex_unlock(&lock);
	return list;
}

static void give(struct repo_list *list, const char *id, int64_t mtime_ns)
{
	const struct repo_entry entry = { .id = id, .name = id, .name_len = strlen(id), .status = "active",
					  .validator = "v", .has_size = true, .size = 1, .mtime_ns = mtime_ns };

	assert_int_equal(list->entry(list, &entry, NULL), 0);
}

static void end(struct repo_list *list, const char *cursor, bool all, bool unchanged)
{
	snprintf(list->cursor, sizeof(list->cursor), "%s", cursor);
	list->done(list, 0, all, unchanged, NULL);
}

/* --- around each claim ------------------------------------------------------------------------ */

static char dir[64];
static struct store *store;
static struct config_repo configured;
static struct config config;
static struct repo *repo;

static int start(void **state)
{
	struct reason why = { 0 };

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test-mirror-XXXXXX");
	if (!mkdtemp(dir) || store_open(dir, true, &store, &why))
		return -1;
	configured = (struct config_repo){ .repo = { .name = "r", .kind = "fake", .max_age_ms = 0,
						     .offline_timeout_ms = 1000 }, .kind = &kind };
	config = (struct config){ .repos = &configured, .repos_len = 1 };
	cancelled = false;
	asked_for = NULL;
	answers = 0;
	set_by_ns = 0;
	if (mirror_open(&config, &why) || mirror_start(store, false, &why))
		return -1;
	repo = mirror_nth(0);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int stop(void **state)
{
	(void)state;
	mirror_stop();
	store_close(store);
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, start, stop)

/* --- waiting for it ----------------------------------------------------------------------------- */

struct refresh {
	struct repo_wait wait;
	int err;
	bool done;
};

static void refreshed(struct repo_wait *wait, int err)
{
	struct refresh *r = (struct refresh *)wait;

	pthread_mutex_lock(&lock);
	r->err = err;
	r->done = true;
	answers++;
	pthread_cond_broadcast(&moved);
	pthread_mutex_unlock(&lock);
}

static void refresh(struct refresh *r)
{
	*r = (struct refresh){ .wait.done = refreshed };
	repo_refresh(repo, &r->wait);
}

static int wait_for(struct refresh *r)
{
	pthread_mutex_lock(&lock);
	while (!r->done)
		pthread_cond_wait(&moved, &lock);
	pthread_mutex_unlock(&lock);
	return r->err;
}

static struct repo_state state_now(void)
{
	struct repo_state state;

	repo_state_get(repo, &state);
	return state;
}

/* The first listing, with these images, and that it was taken over. */
static void list_first(unsigned n)
{
	struct repo_list *list = asked();
	struct refresh r;
	char id[16];

	assert_string_equal(list->cursor, "");
	refresh(&r);
	for (int twice = 0; twice < 2; twice++) {
		for (unsigned i = 0; i < n; i++) {
			snprintf(id, sizeof(id), "n%u", i);
			give(list, id, 5);
		}
		end(list, "c1", true, false);
		if (!twice)
			list = asked();
	}
	assert_int_equal(wait_for(&r), 0);
	assert_int_equal(state_now().images, n);
}

/* --- claims ---------------------------------------------------------------------------------------- */

static void after_a_whole_listing_only_what_is_new_is_asked_for(void **state)
{
	struct repo_list *list;
	struct refresh r;

	(void)state;
	list_first(10);
	repo_looked(repo);
	list = asked();
	assert_string_equal(list->cursor, "c1");
	give(list, "n3", 6);
	give(list, "new", 6);
	/* Whoever asks now is not answered with a listing that began before. */
	refresh(&r);
	end(list, "c2", false, false);
	list = asked();
	assert_int_equal(state_now().images, 11);
	assert_false(r.done);
	assert_string_equal(list->cursor, "");
	end(list, "c3", false, true);
	assert_int_equal(wait_for(&r), 0);
	assert_int_equal(state_now().images, 11);
}

static void a_listing_that_fails_drops_nothing_and_is_told(void **state)
{
	struct reason why = { 0 };
	struct repo_list *list;
	struct refresh r;

	(void)state;
	list_first(10);
	refresh(&r);
	list = asked();
	give(list, "n3", 6);
	give(list, "new", 6);
	reason_set(&why, EREMOTEIO, "it said\n500");
	list->done(list, EREMOTEIO, true, false, &why);
	assert_int_equal(wait_for(&r), EREMOTEIO);
	/* What it said before that is true. */
	assert_int_equal(state_now().images, 11);
	assert_true(state_now().online);
	assert_string_equal(state_now().error, "it said 500");
}

static void a_short_list_is_believed_when_it_is_asked_for_again(void **state)
{
	struct repo_list *list;
	struct refresh r;

	(void)state;
	list_first(10);
	for (int twice = 0; twice < 2; twice++) {
		refresh(&r);
		list = asked();
		give(list, "n3", 5);
		end(list, "c", true, false);
		assert_int_equal(wait_for(&r), twice ? 0 : EREMOTEIO);
		assert_int_equal(state_now().images, twice ? 1 : 10);
	}
	assert_string_equal(state_now().error, "");
}

/* Who asks for the first time has not heard of the doubt. */
static void a_doubt_that_nobody_was_told_of_is_told_and_not_taken_for_an_answer(void **state)
{
	struct repo_list *list;
	struct refresh r;

	(void)state;
	list_first(10);
	repo_looked(repo);
	list = asked();
	/* From now on no listing is old enough to be believed by its age. */
	configured.repo.max_age_ms = 3600000;
	give(list, "n3", 5);
	end(list, "c", true, false);
	for (int twice = 0; twice < 2; twice++) {
		refresh(&r);
		list = asked();
		give(list, "n3", 5);
		end(list, "c", true, false);
		assert_int_equal(wait_for(&r), twice ? 0 : EREMOTEIO);
		assert_int_equal(state_now().images, twice ? 1 : 10);
	}
}

static void what_no_file_can_be_is_not_taken_from_a_list(void **state)
{
	char id[REPO_ID_MAX + 1] = "";
	struct repo_entry entry = { .id = "n0", .name = "n0", .name_len = 2, .status = "", .validator = "v",
				    .has_size = true, .size = (uint64_t)INT64_MAX + 1 };
	struct catalogue_entry e;
	struct reason why = { 0 };
	struct repo_list *list;
	struct refresh r;

	(void)state;
	list_first(3);
	refresh(&r);
	list = asked();
	/* A size that the kernel would not look at is none. */
	assert_int_equal(list->entry(list, &entry, &why), 0);
	entry = (struct repo_entry){ .id = "n1", .name = "n1", .name_len = 2, .status = "", .validator = "v",
				     .has_size = true, .size = INT64_MAX };
	assert_int_equal(list->entry(list, &entry, &why), 0);
	give(list, "n2", 5);
	memset(id, 'i', sizeof(id) - 1);
	entry.id = id;
	assert_int_equal(list->entry(list, &entry, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "an image without an id, or with one that is too long"));
	entry.id = "";
	assert_int_equal(list->entry(list, &entry, &why), -EBADMSG);
	end(list, "c", true, false);
	assert_int_equal(wait_for(&r), 0);
	assert_int_equal(state_now().images, 3);
	assert_int_equal(catalogue_entry_with_id(store, repo_id(repo), "n0", &e, &why), 0);
	assert_false(e.has_size);
	assert_int_equal(catalogue_entry_with_id(store, repo_id(repo), "n1", &e, &why), 0);
	assert_true(e.has_size && e.size == INT64_MAX);
}

static void a_clock_that_is_set_makes_no_listing_older_or_younger(void **state)
{
	static const int64_t steps[] = { DAY_NS, -365 * DAY_NS };
	const char *cursors[] = { "c1", "c2" };
	struct refresh r = { .wait.done = refreshed };
	struct repo_list *list;

	(void)state;
	list_first(10);
	for (int i = 0; i < 2; i++) {
		struct refresh all = { .wait.done = refreshed };

		set_by_ns = steps[i];
		repo_looked(repo);
		list = asked();
		/* What is new, and not everything. */
		assert_string_equal(list->cursor, cursors[i]);
		repo_refresh(repo, &all.wait);
		end(list, "-", false, true);
		list = asked();
		assert_string_equal(list->cursor, "");
		for (unsigned n = 0; n < 10; n++)
			give(list, (char[]){ 'n', (char)('0' + n), '\0' }, 5);
		end(list, "c2", true, false);
		assert_int_equal(wait_for(&all), 0);
	}
	/* Of a listing that is not old no other is made, whatever the time of day. */
	configured.repo.max_age_ms = 3600000;
	for (int i = 0; i < 2; i++) {
		set_by_ns = steps[i];
		repo_looked(repo);
	}
	repo_refresh(repo, &r.wait);
	list = asked();
	assert_string_equal(list->cursor, "");
	end(list, "c3", false, true);
	assert_int_equal(wait_for(&r), 0);
}

static void a_clock_that_is_set_makes_no_doubt_older(void **state)
{
	static const int64_t steps[] = { 0, DAY_NS, -365 * DAY_NS };

	(void)state;
	list_first(10);
	configured.repo.max_age_ms = 3600000;
	for (int i = 0; i < 3; i++) {
		struct refresh r = { .wait = { .done = refreshed, .unasked = true } };
		struct repo_list *list;

		set_by_ns = steps[i];
		repo_refresh(repo, &r.wait);
		list = asked();
		give(list, "n3", 5);
		end(list, "c", true, false);
		assert_int_equal(wait_for(&r), EREMOTEIO);
		assert_int_equal(state_now().images, 10);
	}
}

static void after_a_start_with_another_clock_everything_is_listed_once(void **state)
{
	static const int64_t steps[] = { DAY_NS, -365 * DAY_NS };
	struct reason why = { 0 };
	struct repo_list *list;

	(void)state;
	configured.repo.max_age_ms = 3600000;
	list_first(10);
	for (int i = 0; i < 2; i++) {
		struct refresh r = { .wait.done = refreshed };

		mirror_stop();
		set_by_ns = steps[i];
		assert_int_equal(mirror_open(&config, &why), 0);
		assert_int_equal(mirror_start(store, false, &why), 0);
		repo = mirror_nth(0);
		list_first(10);
		configured.repo.max_age_ms = 0;
		repo_looked(repo);
		list = asked();
		assert_string_equal(list->cursor, "c1");
		configured.repo.max_age_ms = 3600000;
		end(list, "c1", false, true);
		repo_refresh(repo, &r.wait);
		end(asked(), "c1", false, true);
		assert_int_equal(wait_for(&r), 0);
	}
}

static void who_asked_hears_of_a_new_name_when_nobody_has_the_old_one(void **state)
{
	struct repo_entry entry = { .name = "x", .name_len = 1, .status = "", .validator = "v" };
	struct repo_list *list;
	struct refresh r;
	int64_t began;

	(void)state;
	list_first(1);
	for (int twice = 0; twice < 2; twice++) {
		refresh(&r);
		list = asked();
		give(list, "n0", 5);
		entry.id = "old";
		assert_int_equal(list->entry(list, &entry, NULL), 0);
		entry.id = "newer";
		entry.mtime_ns = 7;
		if (twice)
			assert_int_equal(list->entry(list, &entry, NULL), 0);
		entry.mtime_ns = 0;
		began = clock_mono_ns();
		end(list, "c", true, false);
		assert_int_equal(wait_for(&r), 0);
	}
	/* Never sooner; how much later is the machine's business. */
	assert_true(clock_mono_ns() - began >= MIRROR_NAME_MS * INT64_C(1000000));
}

static void half_of_a_list_may_go_without_a_doubt(void **state)
{
	struct repo_list *list;
	struct refresh r;
	char id[16];

	(void)state;
	list_first(10);
	refresh(&r);
	list = asked();
	for (unsigned i = 0; i < 5; i++) {
		snprintf(id, sizeof(id), "n%u", i);
		give(list, id, 5);
	}
	end(list, "c", true, false);
	assert_int_equal(wait_for(&r), 0);
	assert_int_equal(state_now().images, 5);
}

static unsigned events(const char *word)
{
	struct buf all CLEANUP_BUF = BUF_INIT;
	unsigned n = 0;

	assert_int_equal(store_records(store, -1, 0, 100, &all, NULL, NULL, NULL), 0);
	for (const char *at = all.data; at && (at = strstr(at, word)); at++)
		n++;
	return n;
}

static void what_others_find_out_makes_it_offline_and_online(void **state)
{
	struct reason why = { 0 };
	struct repo_list *list;
	struct refresh r;

	(void)state;
	list_first(2);
	assert_int_equal(events("repo-o"), 0);
	reason_set(&why, EHOSTUNREACH, "no route");
	repo_told(repo, EHOSTUNREACH, &why);
	repo_told(repo, EHOSTUNREACH, &why);
	/* By itself it is asked whether it is back. */
	list = asked();
	assert_false(state_now().online);
	assert_string_equal(state_now().reason, "no route");
	assert_int_equal(events("repo-offline"), 1);
	list->done(list, EHOSTUNREACH, false, false, &why);
	list = asked();
	assert_int_equal(events("repo-offline"), 1);
	refresh(&r);
	end(list, "c", false, true);
	list = asked();
	assert_true(state_now().online);
	assert_int_equal(events("repo-online"), 1);
	end(list, "c", false, true);
	assert_int_equal(wait_for(&r), 0);
}

static void the_end_answers_all_who_wait(void **state)
{
	struct refresh now, next;

	list_first(1);
	refresh(&now);
	asked();
	refresh(&next);
	stop(state);
	assert_true(cancelled);
	assert_int_equal(wait_for(&now), ECANCELED);
	assert_int_equal(wait_for(&next), ECANCELED);
	assert_int_equal(start(state), 0);
}

static void who_waits_can_go(void **state)
{
	struct refresh r;
	struct repo_list *list;

	(void)state;
	list_first(1);
	refresh(&r);
	list = asked();
	repo_wait_end(repo, &r.wait);
	assert_int_equal(wait_for(&r), EINTR);
	end(list, "c", false, true);
}

/* --- names and properties ------------------------------------------------------------------------------ */

static void name_is(const char *name, size_t len, const char *id, const char *wanted)
{
	struct repo_entry entry = { .id = id, .name = name, .name_len = len };
	char out[CATALOGUE_NAME_MAX];

	entry_name(&entry, out);
	assert_string_equal(out, wanted);
}

static void names_are_made_fit_for_files(void **state)
{
	(void)state;
	name_is("plain.bit", 9, "x", "plain.bit");
	name_is("../../etc/passwd", 16, "x", "..%2F..%2Fetc%2Fpasswd");
	name_is(".", 1, "x", "%2E");
	name_is("..", 2, "x", "%2E%2E");
	name_is("...", 3, "x", "...");
	name_is(".repo", 5, "x", "%2Erepo");
	name_is("a\0b\n\x7f%", 6, "x", "a%00b%0A%7F%25");
	name_is("@me", 3, "x", "%40me");
	name_is("me@you", 6, "x", "me@you");
	name_is(NULL, 0, "an/id", "@an%2Fid");
	name_is("", 0, "a%20b", "@a%20b");
}

static void long_names_are_cut_and_stay_different(void **state)
{
	char a[600], b[600], shown_a[CATALOGUE_NAME_MAX], shown_b[CATALOGUE_NAME_MAX];
	struct repo_entry entry = { .id = "x", .name = a, .name_len = 599 };

	(void)state;
	for (int i = 0; i < 599; i += 3)
		memcpy(a + i, "\xe2\x82\xac", i + 3 < 600 ? 3 : 2);
	memcpy(b, a, sizeof(b));
	b[598] = 'x';
	entry_name(&entry, shown_a);
	entry.name = b;
	entry_name(&entry, shown_b);
	assert_true(strlen(shown_a) <= 255 && strlen(shown_a) > 240);
	assert_string_not_equal(shown_a, shown_b);
	/* Whole characters, then a mark. */
	assert_int_equal(strchr(shown_a, '~') - shown_a, 237);
	memset(a, '/', 300);
	entry.name = a;
	entry.name_len = 300;
	entry_name(&entry, shown_a);
	assert_int_equal((strchr(shown_a, '~') - shown_a) % 3, 0);
}

static void properties_tell_facts_by_the_names_in_use(void **state)
{
	static const char *const all[] = { "BS-Name", "adder", "FPGA_Part", "xc7a35t", "part", "other", "shell_id", "s1",
					   "format", "raw", NULL };
	static const char *const none[] = { "owner", "me", "bs-name", "adder", NULL };
	char *json = facts_of_properties(all);

	(void)state;
	assert_string_equal(json, "{\"design\":\"adder\",\"part\":\"xc7a35t\",\"shell\":\"s1\"}");
	free(json);
	assert_null(facts_of_properties(none));
	assert_null(facts_of_properties(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(after_a_whole_listing_only_what_is_new_is_asked_for),
		CLAIM(a_listing_that_fails_drops_nothing_and_is_told),
		CLAIM(a_short_list_is_believed_when_it_is_asked_for_again),
		CLAIM(a_doubt_that_nobody_was_told_of_is_told_and_not_taken_for_an_answer),
		CLAIM(what_no_file_can_be_is_not_taken_from_a_list),
		CLAIM(a_clock_that_is_set_makes_no_listing_older_or_younger),
		CLAIM(a_clock_that_is_set_makes_no_doubt_older),
		CLAIM(after_a_start_with_another_clock_everything_is_listed_once),
		CLAIM(who_asked_hears_of_a_new_name_when_nobody_has_the_old_one),
		CLAIM(half_of_a_list_may_go_without_a_doubt),
		CLAIM(what_others_find_out_makes_it_offline_and_online),
		CLAIM(the_end_answers_all_who_wait),
		CLAIM(who_waits_can_go),
		cmocka_unit_test(names_are_made_fit_for_files),
		cmocka_unit_test(long_names_are_cut_and_stay_different),
		cmocka_unit_test(properties_tell_facts_by_the_names_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
