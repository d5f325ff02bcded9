// SPDX-License-Identifier: Apache-2.0
/* Contents: who is asked for what, and what readers get. */
#include "fs/remote/content_in.h"
#include "tests/unit/content_fixture.h"

#include <fabricfs/catalogue.h>

/* --- claims -------------------------------------------------------------------------------------- */

static void the_head_of_a_large_image_costs_one_small_chunk(void **state)
{
	struct origin *o = origin_listed(20 * MIB, "v1", NULL, NULL);
	struct content *c;

	(void)state;
	server_has(20 * MIB, 1, "v1");
	c = open_it(o);
	assert_int_equal(requests(), 0);
	assert_int_equal(read_range(c, 0, 4096), 0);
	assert_int_equal(requests(), 1);
	assert_true(given() <= 48 * KIB);
	/* And again: nothing. */
	assert_int_equal(read_range(c, 100, 4096), 0);
	assert_int_equal(requests(), 1);
	close_it(c);
	origin_put(o);
}

static void sequential_reading_asks_ahead_in_few_requests_and_for_each_byte_once(void **state)
{
	struct origin *o = origin_listed(40 * MIB + 17, "v1", NULL, NULL);
	struct content *c;

	(void)state;
	server_has(40 * MIB + 17, 2, "v1");
	c = open_it(o);
	assert_int_equal(read_all(c, 128 * KIB), 0);
	assert_int_equal(given(), 40 * MIB + 17);
	assert_true(requests() < 30);
	close_it(c);
	origin_put(o);
}

static void who_begins_with_much_at_once_is_given_more_in_one_request(void **state)
{
	struct origin *o = origin_listed(20 * MIB, "v1", NULL, NULL);
	struct content *c;

	(void)state;
	server_has(20 * MIB, 14, "v1");
	c = open_it(o);
	/* Not a header, as that is small, and not a part of it somewhere. */
	assert_int_equal(read_range(c, 15 * MIB, 15 * MIB + 128 * KIB), 0);
	assert_int_equal(requests(), 1);
	assert_int_equal(last_to(), 15 * MIB + 128 * KIB);
	assert_int_equal(read_range(c, 0, 128 * KIB), 0);
	assert_int_equal(requests(), 2);
	assert_true(last_to() >= MIB && last_to() <= 10 * MIB);
	close_it(c);
	origin_put(o);
}

static void what_a_large_read_has_ahead_is_little_of_a_small_cache(void **state)
{
	struct origin *o = origin_listed(20 * MIB, "v1", NULL, NULL);
	struct content *c;

	quota = 4 * MIB;
	restart(*state, false);
	server_has(20 * MIB, 15, "v1");
	c = open_it(o);
	assert_int_equal(read_range(c, 0, 128 * KIB), 0);
	assert_true(last_to() <= 512 * KIB);
	close_it(c);
	origin_put(o);
}

static void what_was_asked_for_ahead_is_bounded_by_what_was_read(void **state)
{
	struct origin *o = origin_listed(40 * MIB, "v1", NULL, NULL);
	struct content *c;
	uint64_t to;

	(void)state;
	server_has(40 * MIB, 2, "v1");
	c = open_it(o);
	for (uint64_t at = 0; at < MIB; at += 64 * KIB)
		assert_int_equal(read_range(c, at, at + 64 * KIB), 0);
	to = last_to();
	assert_true(to > MIB);
	assert_true(to <= 8 * MIB);
	close_it(c);
	origin_put(o);
}

static void any_number_of_readers_of_a_chunk_cause_one_request(void **state)
{
	struct origin *o = origin_listed(MIB, "v1", NULL, NULL);
	struct reader readers[50];
	struct content *c;

	(void)state;
	server_has(MIB, 3, "v1");
	c = open_it(o);
	server_holds(true);
	for (int i = 0; i < 50; i++)
		reader_ask(&readers[i], c, (uint64_t)(i % 8) * 1000, 30000);
	assert_int_equal(requests(), 1);
	server_holds(false);
	for (int i = 0; i < 50; i++)
		assert_int_equal(reader_end(&readers[i]), 0);
	assert_true(given() <= 32 * KIB);
	close_it(c);
	origin_put(o);
}

static void who_waits_for_a_chunk_has_it_while_more_of_its_range_comes(void **state)
{
	struct origin *o = origin_listed(4 * MIB, "v1", NULL, NULL);
	struct reader later;
	struct content *c;

	(void)state;
	server_has(4 * MIB, 12, "v1");
	c = open_it(o);
	/* A little more than three chunks of the second request, and then nothing for now. */
	assert_int_equal(read_range(c, 0, 32 * KIB), 0);
	server_pauses(112 * KIB);
	reader_ask(&later, c, 32 * KIB, 512 * KIB);
	assert_int_equal(read_range(c, 32 * KIB, 64 * KIB), 0);
	assert_int_equal(read_range(c, 64 * KIB, 128 * KIB), 0);
	assert_false(later.over);
	server_pauses(0);
	assert_int_equal(reader_end(&later), 0);
	assert_int_equal(read_all(c, MIB), 0);
	close_it(c);
	origin_put(o);
}

static void what_came_before_a_break_is_kept_to_the_last_chunk(void **state)
{
	struct origin *o = origin_listed(4 * MIB, "v1", NULL, NULL);
	struct content *c;

	(void)state;
	server_has(4 * MIB, 13, "v1");
	server.err = EREMOTEIO;
	c = open_it(o);
	server.cuts = 336 * KIB;
	assert_int_equal(read_range(c, 0, MIB), EREMOTEIO);
	/* Whole chunks of it; nobody waited for them. */
	assert_int_equal(content_cached(c), 320 * KIB);
	server.cuts = 0;
	assert_int_equal(read_range(c, 0, MIB), 0);
	close_it(c);
	origin_put(o);
}

static void an_interrupted_reader_is_answered_while_the_server_says_nothing(void **state)
{
	struct origin *o = origin_listed(MIB, "v1", NULL, NULL);
	struct reader a, b;
	struct content *c;

	(void)state;
	server_has(MIB, 4, "v1");
	c = open_it(o);
	server_holds(true);
	reader_ask(&a, c, 0, 4096);
	reader_ask(&b, c, 0, 8192);
	content_interrupt(&a.wait);
	assert_int_equal(reader_end(&a), EINTR);
	assert_false(b.over);
	server_holds(false);
	assert_int_equal(reader_end(&b), 0);
	close_it(c);
	origin_put(o);
}

static void a_closed_file_asks_for_nothing_more(void **state)
{
	struct origin *o = origin_listed(20 * MIB, "v1", NULL, NULL);
	struct reader r;
	struct content *c;

	(void)state;
	server_has(20 * MIB, 4, "v1");
	c = open_it(o);
	assert_int_equal(read_range(c, 0, 96 * KIB), 0);
	server_holds(true);
	reader_ask(&r, c, 96 * KIB, 256 * KIB);
	content_interrupt(&r.wait);
	assert_int_equal(reader_end(&r), EINTR);
	close_it(c);
	pthread_mutex_lock(&server.lock);
	while (server.asks)
		pthread_cond_wait(&server.cond, &server.lock);
	assert_true(server.cancels >= 1);
	pthread_mutex_unlock(&server.lock);
	assert_true(given() <= 96 * KIB);
	origin_put(o);
}

static void who_asks_after_an_interrupted_reader_does_not_wait_for_his_request(void **state)
{
	struct origin *o = origin_listed(MIB, "v1", NULL, NULL);
	struct reader r;
	struct content *c;
	unsigned before;

	(void)state;
	server_has(MIB, 4, "v1");
	c = open_it(o);
	server_holds(true);
	reader_ask(&r, c, 0, 4096);
	content_interrupt(&r.wait);
	assert_int_equal(reader_end(&r), EINTR);
	/* It is still open, and the request that got nowhere has ended. */
	pthread_mutex_lock(&server.lock);
	assert_int_equal(server.cancels, 1);
	pthread_mutex_unlock(&server.lock);
	before = requests();
	server_holds(false);
	assert_int_equal(read_range(c, 0, 4096), 0);
	assert_true(requests() > before);
	close_it(c);
	origin_put(o);
}

static void a_whole_image_is_hashed_matched_and_kept_as_a_blob(void **state)
{
	char digest[DIGEST_HEX], sha256[SHA256_HEX], want[DIGEST_HEX];
	struct origin *o;
	struct content *c;
	uint64_t size;
	int fd;

	(void)state;
	server_has(3 * MIB + 5, 5, "v1");
	digest_of("sha512", server.bytes, server.size, digest);
	digest_of("sha256", server.bytes, server.size, want);
	o = origin_listed(server.size, "v1", "sha512", digest);
	c = open_it(o);
	assert_false(content_is_whole(c, NULL, NULL));
	assert_int_equal(whole(c), 0);
	assert_true(content_is_whole(c, sha256, &size));
	assert_string_equal(sha256, want);
	assert_int_equal(size, server.size);
	assert_int_equal(store_blob_open(store, sha256, &fd, NULL, NULL), 0);
	close(fd);
	assert_int_equal(given(), server.size);
	close_it(c);
	origin_put(o);
}

static void identical_images_of_two_repositories_are_fetched_once(void **state)
{
	char digest[DIGEST_HEX];
	struct origin *o, *other;
	struct content *c;

	(void)state;
	server_has(MIB, 6, "v1");
	digest_of("sha256", server.bytes, server.size, digest);
	o = origin_listed(server.size, "v1", "sha256", digest);
	other = origin_listed(server.size, "another", "sha256", digest);
	other->entry = 2;
	c = open_it(o);
	assert_int_equal(whole(c), 0);
	close_it(c);
	c = open_it(other);
	assert_true(content_is_whole(c, NULL, NULL));
	assert_int_equal(read_all(c, 100000), 0);
	close_it(c);
	assert_int_equal(given(), server.size);
	origin_put(o);
	origin_put(other);
}

/* The first of them answers, the other has something else by now. */
static void what_one_repository_replaced_is_still_read_from_the_other(void **state)
{
	char digest[DIGEST_HEX];
	struct origin *o, *other;
	struct content *c, *also;

	(void)state;
	server_has(MIB, 6, "v1");
	digest_of("sha256", server.bytes, server.size, digest);
	o = origin_listed(server.size, "v1", "sha256", digest);
	other = origin_listed(server.size, "v0", "sha256", digest);
	other->entry = 2;
	c = open_it(o);
	assert_int_equal(read_range(c, 0, 4096), 0);
	also = open_it(other);
	assert_int_equal(read_range(also, MIB / 2, MIB / 2 + 4096), ESTALE);
	assert_true(replaced_told() > 0);
	close_it(also);
	assert_int_equal(read_range(c, 0, 4096), 0);
	also = open_it(o);
	assert_int_equal(read_all(c, 300000), 0);
	assert_int_equal(given(), server.size);
	close_it(also);
	close_it(c);
	origin_put(o);
	origin_put(other);
}

/* As a full disk does, for a while. */
static void what_could_not_be_kept_is_kept_when_it_is_wanted_again(void **state)
{
	struct place *p = *state;
	char sha256[DIGEST_HEX], in_the_way[200], within[220];
	struct origin *o;
	struct content *c;

	server_has(MIB, 5, "v1");
	digest_of("sha256", server.bytes, server.size, sha256);
	snprintf(in_the_way, sizeof(in_the_way), "%s/blobs/%s", p->dir, sha256);
	snprintf(within, sizeof(within), "%s/x", in_the_way);
	assert_int_equal(mkdir(in_the_way, 0700), 0);
	assert_int_equal(mkdir(within, 0700), 0);
	o = origin_listed(server.size, "v1", NULL, NULL);
	c = open_it(o);
	assert_int_not_equal(whole(c), 0);
	assert_int_equal(read_all(c, 300000), 0);
	assert_int_not_equal(whole(c), 0);
	assert_int_equal(rmdir(within), 0);
	assert_int_equal(rmdir(in_the_way), 0);
	assert_int_equal(whole(c), 0);
	assert_true(content_is_whole(c, NULL, NULL));
	assert_int_equal(given(), server.size);
	close_it(c);
	origin_put(o);
}

static void the_read_that_completes_a_wrong_image_fails_and_so_does_every_later_one(void **state)
{
	char digest[DIGEST_HEX];
	struct origin *o;
	struct content *c, *again;
	struct reason why = { 0 };
	uint64_t id;

	(void)state;
	server_has(MIB, 7, "v1");
	digest_of("sha512", server.bytes, server.size, digest);
	server.flips = 500 * KIB;
	o = origin_listed(server.size, "v1", "sha512", digest);
	c = open_it(o);
	id = content_id(c);
	assert_int_equal(read_range(c, 0, 4096), 0);
	assert_int_equal(read_range(c, MIB - 100, MIB), 0);
	assert_int_equal(whole(c), EBADMSG);
	assert_int_equal(read_range(c, 0, 4096), EBADMSG);
	assert_int_equal(told.refused, 1);
	assert_int_equal(content_cached(c), 0);
	/* Another open asks again, and gets what is right now; the old one stays refused. */
	server.flips = 0;
	again = open_it(o);
	assert_int_not_equal(content_id(again), id);
	assert_int_equal(read_all(again, 300000), 0);
	assert_int_equal(read_range(c, 0, 4096), EBADMSG);
	close_it(c);
	/* Also for the next worker. */
	assert_int_equal(content_open(o, id, &c, &why), -EBADMSG);
	close_it(again);
	origin_put(o);
}

static void an_image_that_is_replaced_is_stale_for_old_opens_and_new_for_new_ones(void **state)
{
	struct origin *o = origin_listed(UINT64_MAX, "", NULL, NULL), *later;
	struct content *old, *new;

	(void)state;
	server_has(2 * MIB, 8, "v1");
	old = open_it(o);
	assert_int_equal(read_range(old, 0, 100 * KIB), 0);
	assert_int_equal(told.sized, 1);
	server_has(3 * MIB, 9, "v2");
	assert_int_equal(read_range(old, MIB, MIB + 100), ESTALE);
	assert_int_equal(read_range(old, 0, 100), ESTALE);
	assert_int_equal(replaced_told(), 1);
	later = origin_listed(UINT64_MAX, "", NULL, NULL);
	new = open_it(later);
	assert_int_equal(read_all(new, 200000), 0);
	close_it(new);
	close_it(old);
	origin_put(o);
	origin_put(later);
}

static void another_size_than_before_is_another_image(void **state)
{
	struct origin *o = origin_listed(2 * MIB, "v1", NULL, NULL);
	struct content *c;

	(void)state;
	server_has(2 * MIB - 1, 8, "v1");
	c = open_it(o);
	assert_int_equal(read_range(c, 0, 100), ESTALE);
	close_it(c);
	origin_put(o);
}

static void a_size_that_nobody_knew_ends_where_the_bytes_end(void **state)
{
	struct origin *o = origin_listed(UINT64_MAX, "", NULL, NULL);
	struct content *c;
	uint64_t size;

	(void)state;
	server.tells_size = false;
	server_has(40 * KIB + 3, 10, "");
	c = open_it(o);
	assert_false(content_size(c, &size));
	assert_int_equal(read_range(c, 0, 128 * KIB), 0);
	assert_true(content_size(c, &size));
	assert_int_equal(size, 40 * KIB + 3);
	assert_int_equal(read_range(c, 40 * KIB, 80 * KIB), 0);
	assert_int_equal(whole(c), 0);
	close_it(c);
	origin_put(o);
}

/* As a card wants it: neither the listing nor an answer says how much there is to be asked for. */
static void an_image_whose_size_nobody_tells_can_be_had_as_a_whole(void **state)
{
	static const uint64_t sizes[] = { 40 * KIB + 3, 64 * KIB, 9 * MIB };

	(void)state;
	server.tells_size = false;
	for (unsigned i = 0; i < 3; i++) {
		char version[16];
		struct origin *o;
		struct content *c;
		uint64_t size;

		snprintf(version, sizeof(version), "v%u", i);
		o = origin_listed(UINT64_MAX, version, NULL, NULL);
		server_has(sizes[i], i + 1, version);
		c = open_it(o);
		assert_int_equal(whole(c), 0);
		assert_true(content_size(c, &size));
		assert_int_equal(size, sizes[i]);
		close_it(c);
		origin_put(o);
	}
}

static void an_empty_image_needs_no_request(void **state)
{
	struct origin *o = origin_listed(0, "v1", NULL, NULL);
	struct content *c;
	uint64_t size = 1;

	(void)state;
	server_has(0, 1, "v1");
	c = open_it(o);
	assert_int_equal(read_range(c, 0, 4096), 0);
	assert_int_equal(whole(c), 0);
	assert_true(content_is_whole(c, NULL, &size));
	assert_int_equal(size, 0);
	assert_int_equal(requests(), 0);
	close_it(c);
	origin_put(o);
}

static void errors_reach_those_who_wait_and_the_next_read_asks_again(void **state)
{
	static const int errs[] = { EHOSTUNREACH, EREMOTEIO, EACCES, ETIMEDOUT };
	struct origin *o = origin_listed(MIB, "v1", NULL, NULL);
	struct content *c;

	(void)state;
	server_has(MIB, 11, "v1");
	c = open_it(o);
	for (size_t i = 0; i < sizeof(errs) / sizeof(errs[0]); i++) {
		server.fails = 1;
		server.err = errs[i];
		assert_int_equal(read_range(c, 0, 100), errs[i]);
		assert_int_equal(told.last_err, errs[i]);
		assert_int_equal(requests(), i + 1);
	}
	assert_int_equal(read_range(c, 0, 100), 0);
	close_it(c);
	origin_put(o);
}

static void what_is_cached_is_read_while_the_repository_is_offline(void **state)
{
	struct origin *o = origin_listed(MIB, "v1", NULL, NULL);
	struct content *c;

	(void)state;
	server_has(MIB, 12, "v1");
	c = open_it(o);
	assert_int_equal(read_range(c, 0, 100), 0);
	told.offline = true;
	assert_int_equal(read_range(c, 0, 30000), 0);
	assert_int_equal(read_range(c, 500000, 500100), EHOSTUNREACH);
	assert_int_equal(requests(), 1);
	close_it(c);
	origin_put(o);
}

static void a_broken_transfer_goes_on_where_it_stopped(void **state)
{
	struct origin *o = origin_listed(4 * MIB, "v1", NULL, NULL);
	struct content *c;
	uint64_t before;

	(void)state;
	server_has(4 * MIB, 13, "v1");
	server.cuts = 2 * MIB;
	server.err = EREMOTEIO;
	c = open_it(o);
	assert_int_equal(whole(c), EREMOTEIO);
	server.cuts = 0;
	before = given();
	assert_int_equal(whole(c), 0);
	/* Beside it chunks that were not complete. */
	assert_true(given() - before <= 4 * MIB - before + 64 * KIB);
	close_it(c);
	origin_put(o);
}

static void what_came_is_there_after_a_restart_and_an_open_goes_on(void **state)
{
	char digest[DIGEST_HEX];
	struct origin *o;
	struct content *c;
	struct reason why = { 0 };
	uint64_t id, before;

	server_has(4 * MIB, 14, "v1");
	digest_of("sha512", server.bytes, server.size, digest);
	o = origin_listed(server.size, "v1", "sha512", digest);
	c = open_it(o);
	id = content_id(c);
	assert_int_equal(read_range(c, 32 * KIB, MIB), 0);
	assert_int_equal(read_range(c, 2 * MIB, 2 * MIB + 10), 0);
	close_it(c);
	before = given();
	restart(*state, false);
	assert_int_equal(content_open(o, id, &c, &why), 0);
	assert_int_equal(read_range(c, 32 * KIB, MIB), 0);
	assert_int_equal(given(), before);
	assert_int_equal(whole(c), 0);
	assert_true(given() <= 4 * MIB);
	content_put(c);
	restart(*state, false);
	c = open_it(o);
	assert_true(content_is_whole(c, NULL, NULL));
	assert_int_equal(read_all(c, 500000), 0);
	close_it(c);
	origin_put(o);
}

static void a_damaged_cached_image_is_found_after_a_power_loss(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_HEX], path[256];
	struct origin *o;
	struct content *c;
	struct reason why = { 0 };
	FILE *f;

	server_has(MIB, 15, "v1");
	digest_of("sha256", server.bytes, server.size, digest);
	o = origin_listed(server.size, "v1", "sha256", digest);
	c = open_it(o);
	assert_int_equal(whole(c), 0);
	close_it(c);
	assert_int_equal(store_sync(store, &why), 0);
	contents_stop();
	db_edit(p, "UPDATE content SET boot = 'another'");
	snprintf(path, sizeof(path), "%s/blobs/%s", p->dir, digest);
	chmod(path, 0600);
	f = fopen(path, "r+");
	assert_non_null(f);
	fputs("zeros", f);
	fclose(f);
	assert_int_equal(contents_start(store, 0, false, &why), 0);
	c = open_it(o);
	assert_int_equal(read_range(c, 0, 100), EBADMSG);
	close_it(c);
	c = open_it(o);
	assert_int_equal(read_all(c, 500000), 0);
	close_it(c);
	origin_put(o);
}

static void a_doubted_image_that_is_right_is_believed(void **state)
{
	char digest[DIGEST_HEX];
	struct origin *o;
	struct content *c;
	struct reason why = { 0 };
	uint64_t before;

	server_has(MIB, 16, "v1");
	digest_of("sha256", server.bytes, server.size, digest);
	o = origin_listed(server.size, "v1", "sha256", digest);
	c = open_it(o);
	assert_int_equal(whole(c), 0);
	close_it(c);
	assert_int_equal(store_sync(store, &why), 0);
	contents_stop();
	db_edit(*state, "UPDATE content SET boot = 'another'");
	assert_int_equal(contents_start(store, 0, false, &why), 0);
	before = requests();
	c = open_it(o);
	assert_false(content_is_whole(c, NULL, NULL));
	assert_int_equal(read_all(c, 500000), 0);
	assert_true(content_is_whole(c, NULL, NULL));
	assert_int_equal(requests(), before);
	close_it(c);
	origin_put(o);
}

/* --- the quota ------------------------------------------------------------------------------------ */

static void quota_is(struct place *p, uint64_t bytes)
{
	quota = bytes;
	restart(p, true);
}

static uint64_t used(void)
{
	uint64_t now, max;

	contents_usage(&now, &max);
	return now;
}

static struct origin *origin_number(int i)
{
	struct origin *o = origin_listed(server.size, "v1", NULL, NULL);

	o->entry = (uint64_t)i;
	snprintf(o->id, sizeof(o->id), "id%d", i);
	origin_key(o, 1, 12345, o->size);
	return o;
}

/* An image of the catalogue, with this content, is pinned. */
static void pin_it(uint64_t content)
{
	struct repo_entry entry = { .id = "pinned", .name = "pinned", .name_len = 6, .status = "", .validator = "" };
	struct catalogue_put put = { .entry = &entry, .name = "pinned" };
	struct catalogue_update *update;
	struct catalogue_entry e;
	struct catalogue_repo repo;
	struct reason why = { 0 };

	assert_int_equal(catalogue_repo_open(store, "r", "directory", "/r", &repo, &why), 0);
	assert_int_equal(catalogue_update_new(store, repo.id, NULL, NULL, &update, &why), 0);
	assert_int_equal(catalogue_update_put(update, &put, &why), 0);
	assert_int_equal(catalogue_update_end(update, true, &why), 0);
	catalogue_update_free(update);
	assert_int_equal(catalogue_entry_named(store, repo.id, "pinned", &e, &why), 0);
	assert_int_equal(catalogue_entry_content_set(store, e.id, e.version, content, &why), 0);
	assert_int_equal(cache_pin_set(store, e.id, true, &why), 0);
}

static void fetch_number(int i, bool pin)
{
	struct origin *o = origin_number(i);
	struct content *c = open_it(o);

	server_has(MIB, (unsigned)i, "v1");
	if (pin)
		pin_it(content_id(c));
	assert_int_equal(whole(c), 0);
	close_it(c);
	origin_put(o);
}

static uint64_t cached_number(int i)
{
	struct origin *o = origin_number(i);
	struct cache_content row;
	uint64_t bytes = 0;

	if (!cache_content_find(store, o->key, &row, NULL))
		bytes = contents_cached(row.id);
	origin_put(o);
	return bytes;
}

static void the_least_recently_used_goes_first_and_pinned_or_open_ones_stay(void **state)
{
	struct origin *o;
	struct content *c;
	uint64_t now, max;

	server_has(MIB, 1, "v1");
	quota_is(*state, 4 * MIB);
	fetch_number(1, true);
	for (int i = 2; i <= 4; i++)
		fetch_number(i, false);
	assert_int_equal(used(), 4 * MIB);
	restart(*state, true);
	assert_int_equal(used(), 4 * MIB);
	/* Used again: not the oldest any more. */
	o = origin_number(2);
	c = open_it(o);
	server_has(MIB, 2, "v1");
	assert_int_equal(read_range(c, 0, 10), 0);
	fetch_number(5, false);
	assert_int_equal(cached_number(3), 0);
	assert_int_equal(cached_number(1), MIB);
	assert_int_equal(cached_number(2), MIB);
	fetch_number(6, false);
	assert_int_equal(cached_number(1), MIB);
	assert_int_equal(cached_number(2), MIB);
	contents_usage(&now, &max);
	assert_true(now <= max);
	close_it(c);
	origin_put(o);
}

/* The kernel tells of a close() a moment after it has returned. */
#define SHARED 3
static _Atomic bool evicting;
static _Atomic unsigned wrong;

static void *opener(void *arg)
{
	struct reason why = { 0 };

	for (unsigned n = 0; n < 300; n++) {
		struct origin *o = origin_number((int)(n * 7 + *(unsigned *)arg) % SHARED);
		struct content *c, *again;
		char byte;

		if (content_open(o, 0, &c, &why)) {
			wrong++;
			origin_put(o);
			continue;
		}
		/* Whoever has it open finds the same one, and what it had is there or asked for again. */
		wrong += content_open(o, content_id(c), &again, &why) != 0;
		wrong += again != c || content_live(content_id(c)) != c;
		wrong += content_is_whole(c, NULL, NULL) && content_read(c, &byte, 1, 100) != 1;
		content_put(c);
		content_put(c);
		content_put(c);
		origin_put(o);
	}
	return NULL;
}

static void *evictor(void *arg)
{
	(void)arg;
	while (evicting)
		usage_evict(1, NULL);
	return NULL;
}

static void opening_and_evicting_at_once_leave_one_content_of_each(void **state)
{
	pthread_t threads[4], evicts;
	unsigned seeds[4] = { 0, 1, 2, 3 };
	uint64_t sum = 0;

	(void)state;
	for (int i = 0; i < SHARED; i++)
		fetch_number(i, false);
	evicting = true;
	assert_int_equal(pthread_create(&evicts, NULL, evictor, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, opener, &seeds[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	evicting = false;
	pthread_join(evicts, NULL);
	assert_int_equal(wrong, 0);
	fetch_number(0, false);
	for (int i = 0; i < SHARED; i++)
		sum += cached_number(i);
	assert_true(sum >= MIB);
	assert_int_equal(used(), sum);
}

static void a_full_cache_waits_for_what_is_about_to_be_let_go(void **state)
{
	struct origin *first = origin_number(1), *second = origin_number(2);
	struct content *a, *b;
	struct reader r;

	server_has(MIB, 1, "v1");
	quota_is(*state, MIB + 100 * KIB);
	a = open_it(first);
	assert_int_equal(whole(a), 0);
	b = open_it(second);
	reader_ask(&r, b, 0, UINT64_MAX);
	assert_false(r.over);
	close_it(a);
	assert_int_equal(reader_end(&r), 0);
	assert_int_equal(used(), MIB);
	close_it(b);
	origin_put(first);
	origin_put(second);
}

static void when_nothing_is_let_go_a_full_cache_says_so_and_a_reader_can_leave(void **state)
{
	struct origin *first = origin_number(1), *second = origin_number(2);
	struct content *a, *b;
	struct reader r;

	server_has(MIB, 1, "v1");
	quota_is(*state, MIB + 100 * KIB);
	a = open_it(first);
	assert_int_equal(whole(a), 0);
	b = open_it(second);
	reader_ask(&r, b, 200 * KIB, 400 * KIB);
	content_interrupt(&r.wait);
	assert_int_equal(reader_end(&r), EINTR);
	assert_int_equal(read_range(b, 200 * KIB, 400 * KIB), EDQUOT);
	assert_int_equal(requests(), 1);
	/* And again, not because it failed before. */
	reader_ask(&r, b, 200 * KIB, 400 * KIB);
	close_it(a);
	assert_int_equal(reader_end(&r), 0);
	close_it(b);
	origin_put(first);
	origin_put(second);
}

static void ending_does_not_wait_for_room(void **state)
{
	struct origin *first = origin_number(1), *second = origin_number(2);
	struct content *a, *b;
	struct reader r;

	server_has(MIB, 1, "v1");
	quota_is(*state, MIB + 100 * KIB);
	a = open_it(first);
	assert_int_equal(whole(a), 0);
	b = open_it(second);
	reader_ask(&r, b, 0, UINT64_MAX);
	content_put(a);
	content_put(b);
	contents_stop();
	assert_int_equal(reader_end(&r), EINTR);
	origin_put(first);
	origin_put(second);
}

static void bytes_that_are_kept_once_count_once(void **state)
{
	struct origin *o;
	struct content *c;

	server_has(MIB, 7, "v1");
	quota_is(*state, 2 * MIB);
	for (int i = 1; i <= 2; i++) {
		o = origin_number(i);
		c = open_it(o);
		assert_int_equal(whole(c), 0);
		close_it(c);
		origin_put(o);
	}
	assert_int_equal(used(), MIB);
	restart(*state, true);
	assert_int_equal(used(), MIB);
	fetch_number(3, false);
	assert_int_equal(used(), 2 * MIB);
	assert_int_equal(cached_number(1), MIB);
	/* The one does not make room, and the other does. */
	fetch_number(4, false);
	assert_int_equal(used(), 2 * MIB);
	assert_int_equal(cached_number(1) + cached_number(2), 0);
	assert_int_equal(cached_number(3), MIB);
}

static void what_is_loaded_is_not_evicted_and_a_full_cache_says_so(void **state)
{
	struct store_slot row;
	struct reason why = { 0 };
	char digest[DIGEST_HEX];
	struct origin *o;
	struct content *c;

	server_has(MIB, 1, "v1");
	quota_is(*state, MIB + 100 * KIB);
	fetch_number(1, false);
	digest_of("sha256", server.bytes, server.size, digest);
	row = row_with(digest);
	assert_int_equal(store_commit(store, 0, -1, &row, NULL, NULL, &why), 0);
	restart(*state, true);
	o = origin_number(2);
	c = open_it(o);
	server_has(MIB, 2, "v1");
	assert_int_equal(whole(c), EDQUOT);
	assert_int_equal(cached_number(1), MIB);
	close_it(c);
	origin_put(o);
}

static void ending_answers_everybody_although_the_server_hangs(void **state)
{
	struct origin *o = origin_listed(MIB, "v1", NULL, NULL);
	struct reader a, b;
	struct content *c;
	struct reason why = { 0 };

	(void)state;
	server_has(MIB, 17, "v1");
	c = open_it(o);
	server_holds(true);
	reader_ask(&a, c, 0, 100);
	reader_ask(&b, c, 0, UINT64_MAX);
	content_closed(c);
	content_put(c);
	contents_stop();
	assert_int_equal(reader_end(&a), EINTR);
	assert_int_equal(reader_end(&b), EINTR);
	origin_put(o);
	assert_int_equal(contents_start(store, 0, false, &why), 0);
}

static void a_server_that_says_nothing_at_all_is_given_up(void **state)
{
	struct origin *o = origin_listed(MIB, "v1", NULL, NULL);
	struct content *c;

	(void)state;
	o->patience_ms = 1;
	server_has(MIB, 18, "v1");
	c = open_it(o);
	server_holds(true);
	assert_int_equal(read_range(c, 0, 100), EHOSTUNREACH);
	server_holds(false);
	assert_int_equal(read_range(c, 0, 100), 0);
	close_it(c);
	origin_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(the_head_of_a_large_image_costs_one_small_chunk),
		CLAIM(sequential_reading_asks_ahead_in_few_requests_and_for_each_byte_once),
		CLAIM(who_begins_with_much_at_once_is_given_more_in_one_request),
		CLAIM(what_a_large_read_has_ahead_is_little_of_a_small_cache),
		CLAIM(what_was_asked_for_ahead_is_bounded_by_what_was_read),
		CLAIM(any_number_of_readers_of_a_chunk_cause_one_request),
		CLAIM(who_waits_for_a_chunk_has_it_while_more_of_its_range_comes),
		CLAIM(what_came_before_a_break_is_kept_to_the_last_chunk),
		CLAIM(an_interrupted_reader_is_answered_while_the_server_says_nothing),
		CLAIM(a_closed_file_asks_for_nothing_more),
		CLAIM(who_asks_after_an_interrupted_reader_does_not_wait_for_his_request),
		CLAIM(a_whole_image_is_hashed_matched_and_kept_as_a_blob),
		CLAIM(identical_images_of_two_repositories_are_fetched_once),
		CLAIM(what_one_repository_replaced_is_still_read_from_the_other),
		CLAIM(what_could_not_be_kept_is_kept_when_it_is_wanted_again),
		CLAIM(the_read_that_completes_a_wrong_image_fails_and_so_does_every_later_one),
		CLAIM(an_image_that_is_replaced_is_stale_for_old_opens_and_new_for_new_ones),
		CLAIM(another_size_than_before_is_another_image),
		CLAIM(a_size_that_nobody_knew_ends_where_the_bytes_end),
		CLAIM(an_image_whose_size_nobody_tells_can_be_had_as_a_whole),
		CLAIM(an_empty_image_needs_no_request),
		CLAIM(errors_reach_those_who_wait_and_the_next_read_asks_again),
		CLAIM(what_is_cached_is_read_while_the_repository_is_offline),
		CLAIM(a_broken_transfer_goes_on_where_it_stopped),
		CLAIM(what_came_is_there_after_a_restart_and_an_open_goes_on),
		CLAIM(a_damaged_cached_image_is_found_after_a_power_loss),
		CLAIM(a_doubted_image_that_is_right_is_believed),
		CLAIM(the_least_recently_used_goes_first_and_pinned_or_open_ones_stay),
		CLAIM(opening_and_evicting_at_once_leave_one_content_of_each),
		CLAIM(a_full_cache_waits_for_what_is_about_to_be_let_go),
		CLAIM(when_nothing_is_let_go_a_full_cache_says_so_and_a_reader_can_leave),
		CLAIM(ending_does_not_wait_for_room),
		CLAIM(bytes_that_are_kept_once_count_once),
		CLAIM(what_is_loaded_is_not_evicted_and_a_full_cache_says_so),
		CLAIM(ending_answers_everybody_although_the_server_hangs),
		CLAIM(a_server_that_says_nothing_at_all_is_given_up),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(server.bytes);
	return failed;
}
