// SPDX-License-Identifier: Apache-2.0
/* Contents at their limits: repositories that contradict themselves, and disks that are full. */
#include <fcntl.h>
#include <sys/statvfs.h>

#include "tests/unit/content_fixture.h"

static uint64_t used(void)
{
	uint64_t now, max;

	contents_usage(&now, &max);
	return now;
}

/* --- repositories that contradict themselves -------------------------------------------------------- */

/* Neither of the two requests knows a version to ask for. */
static void versions_that_differ_between_two_first_answers_are_stale(void **state)
{
	struct origin *o = origin_listed(4 * MIB, "", NULL, NULL);
	struct reader a, b;
	struct content *c;

	(void)state;
	server_has(4 * MIB, 1, "v1");
	c = open_it(o);
	server_holds(true);
	reader_ask(&a, c, 0, 100);
	reader_ask(&b, c, 2 * MIB, 2 * MIB + 100);
	assert_int_equal(requests(), 2);
	server.next = "v2";
	server_holds(false);
	assert_int_equal(reader_end(&a), 0);
	assert_int_equal(reader_end(&b), ESTALE);
	assert_int_equal(read_range(c, 0, 100), ESTALE);
	close_it(c);
	origin_put(o);
}

static void more_bytes_than_a_map_has_room_for_are_efbig(void **state)
{
	struct origin *o = origin_listed(UINT64_MAX, "", NULL, NULL);
	struct content *c;

	(void)state;
	server_has(MIB, 1, "v1");
	server.size = CHUNKS_MAX + 1;
	c = open_it(o);
	assert_int_equal(read_range(c, 0, 100), EFBIG);
	assert_int_equal(given(), 0);
	close_it(c);
	origin_put(o);
}

static void an_answer_that_ends_too_early_is_no_answer(void **state)
{
	struct origin *o = origin_listed(MIB, "v1", NULL, NULL);
	struct content *c;

	(void)state;
	server_has(MIB, 1, "v1");
	server.stops = 5000;
	c = open_it(o);
	assert_int_equal(read_range(c, 0, 30000), EREMOTEIO);
	assert_int_equal(requests(), 1);
	assert_int_equal(read_range(c, 0, 30000), 0);
	close_it(c);
	origin_put(o);
}

static void an_image_that_is_gone_is_stale_for_who_has_it_open(void **state)
{
	struct origin *o = origin_listed(MIB, "v1", NULL, NULL);
	struct content *c;

	(void)state;
	server_has(MIB, 1, "v1");
	c = open_it(o);
	server.fails = 1;
	server.err = ENOENT;
	assert_int_equal(read_range(c, 0, 100), ESTALE);
	assert_int_equal(told.replaced, 1);
	close_it(c);
	origin_put(o);
}

static void what_one_repository_cannot_give_another_with_the_same_bytes_is_asked_for(void **state)
{
	static const int errs[] = { EHOSTUNREACH, EREMOTEIO, ETIMEDOUT, EACCES, ENOENT };
	char digest[DIGEST_HEX];
	struct origin *o, *other;
	struct content *c, *also;
	struct reader r;

	(void)state;
	server_has(MIB, 1, "v1");
	digest_of("sha256", server.bytes, server.size, digest);
	o = origin_listed(server.size, "v1", "sha256", digest);
	other = origin_listed(server.size, "v1", "sha256", digest);
	other->entry = 2;
	for (uint64_t i = 0; i < sizeof(errs) / sizeof(errs[0]); i++) {
		unsigned before = requests();

		c = open_it(o);
		server_holds(true);
		reader_ask(&r, c, i * 128 * KIB, i * 128 * KIB + 100);
		also = open_it(other);
		server.fails = 1;
		server.err = errs[i];
		server_holds(false);
		assert_int_equal(reader_end(&r), 0);
		assert_int_equal(requests(), before + 2);
		close_it(also);
		close_it(c);
	}
	origin_put(o);
	origin_put(other);
}

static void who_is_interrupted_after_he_closed_was_the_last_who_wanted_it(void **state)
{
	struct origin *o = origin_listed(MIB, "v1", NULL, NULL);
	struct content *c;
	struct reader r;

	(void)state;
	/* It is not given up for want of an answer. */
	o->patience_ms = 3600000;
	server_has(MIB, 1, "v1");
	c = open_it(o);
	server_holds(true);
	reader_ask(&r, c, 0, 100);
	content_closed(c);
	pthread_mutex_lock(&server.lock);
	assert_int_equal(server.cancels, 0);
	pthread_mutex_unlock(&server.lock);
	content_interrupt(&r.wait);
	assert_int_equal(reader_end(&r), EINTR);
	pthread_mutex_lock(&server.lock);
	while (server.asks)
		pthread_cond_wait(&server.cond, &server.lock);
	assert_int_equal(server.cancels, 1);
	pthread_mutex_unlock(&server.lock);
	assert_int_equal(given(), 0);
	content_put(c);
	origin_put(o);
}

/* --- what is kept, and where there is no room for it ------------------------------------------------- */

static void room_that_was_taken_for_what_did_not_come_is_free_again(void **state)
{
	struct origin *o = origin_listed(MIB, "v1", NULL, NULL);
	struct content *c;

	(void)state;
	server_has(MIB, 1, "v1");
	c = open_it(o);
	server.fails = 1;
	server.err = EREMOTEIO;
	assert_int_equal(whole(c), EREMOTEIO);
	assert_int_equal(used(), 0);
	server.cuts = 100 * KIB;
	assert_int_equal(whole(c), EREMOTEIO);
	assert_int_equal(used(), 96 * KIB);
	server.cuts = 0;
	assert_int_equal(whole(c), 0);
	assert_int_equal(used(), MIB);
	close_it(c);
	origin_put(o);
}

/* Many index pages show none, or a rounded one. */
static void an_image_of_a_size_that_nobody_knew_takes_the_room_that_it_has(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		char version[16];
		struct origin *o;
		struct content *c;

		snprintf(version, sizeof(version), "v%u", i);
		o = origin_listed(UINT64_MAX, version, NULL, NULL);
		server.tells_size = i != 2;
		server_has(40 * KIB + 3, i, version);
		c = open_it(o);
		assert_int_equal(whole(c), 0);
		assert_int_equal(used(), i * (40 * KIB + 3));
		close_it(c);
		origin_put(o);
	}
}

/* A request that was given up may bring more, beside the one that takes its place. */
static void bytes_that_come_twice_count_once(void **state)
{
	struct origin *o = origin_listed(256 * KIB, "v1", NULL, NULL), *last;
	struct reader first, second;
	struct content *c;

	(void)state;
	server_has(256 * KIB, 1, "v1");
	server_pauses(64 * KIB);
	c = open_it(o);
	reader_ask(&first, c, 0, 256 * KIB);
	assert_int_equal(read_range(c, 0, 32 * KIB), 0);
	content_interrupt(&first.wait);
	assert_int_equal(reader_end(&first), EINTR);
	close_it(c);
	c = open_it(o);
	reader_ask(&second, c, 0, 256 * KIB);
	assert_int_equal(requests(), 2);
	server_pauses(0);
	assert_int_equal(reader_end(&second), 0);
	close_it(c);
	origin_put(o);
	/* It is answered when both are over. */
	last = origin_listed(256 * KIB, "v1", NULL, NULL);
	snprintf(last->id, sizeof(last->id), "last");
	origin_key(last, 1, 12345, last->size);
	c = open_it(last);
	assert_int_equal(read_range(c, 0, 1), 0);
	assert_int_equal(given(), (256 + 192 + 32) * KIB);
	assert_int_equal(used(), (256 + 32) * KIB);
	close_it(c);
	origin_put(last);
}

static uint64_t noted(const struct origin *o)
{
	struct cache_content row;

	assert_int_equal(cache_content_find(store, o->key, &row, NULL), 0);
	return row.cached;
}

/* Or the next worker would neither count it nor know it as what may be dropped. */
static void what_came_of_an_image_is_noted_when_fabricfs_ends(void **state)
{
	struct origin *o = origin_listed(4 * MIB, "v1", NULL, NULL);
	struct content *c;

	server_has(4 * MIB, 1, "v1");
	c = open_it(o);
	/* Not from its head on, where more than that is asked for. */
	assert_int_equal(read_range(c, MIB, 2 * MIB), 0);
	close_it(c);
	restart(*state, true);
	assert_int_equal(noted(o), MIB);
	assert_int_equal(used(), MIB);
	c = open_it(o);
	assert_int_equal(read_range(c, 3 * MIB, 4 * MIB), 0);
	/* The kernel has it open still. */
	content_put(c);
	restart(*state, true);
	assert_int_equal(noted(o), 2 * MIB);
	assert_int_equal(used(), 2 * MIB);
	origin_put(o);
}

static void blob_path(struct place *p, char path[256])
{
	char sha256[DIGEST_HEX];

	digest_of("sha256", server.bytes, server.size, sha256);
	snprintf(path, 256, "%s/blobs/%s", p->dir, sha256);
}

static void a_cached_image_that_was_cut_on_the_disk_is_fetched_anew(void **state)
{
	struct origin *o = origin_listed(MIB, "v1", NULL, NULL);
	struct content *c;
	char path[256];

	server_has(MIB, 1, "v1");
	c = open_it(o);
	assert_int_equal(whole(c), 0);
	close_it(c);
	restart(*state, true);
	blob_path(*state, path);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(truncate(path, MIB / 2), 0);
	c = open_it(o);
	assert_int_equal(read_all(c, 100000), 0);
	assert_int_equal(given(), 2 * MIB);
	close_it(c);
	origin_put(o);
}

/* What it was is known by the hash that it is kept under. */
static void damage_of_an_image_without_a_digest_is_found_after_a_power_loss(void **state)
{
	struct origin *o = origin_listed(MIB, "v1", NULL, NULL);
	struct reason why = { 0 };
	struct content *c;
	char path[256];
	FILE *f;

	server_has(MIB, 1, "v1");
	c = open_it(o);
	assert_int_equal(whole(c), 0);
	close_it(c);
	assert_int_equal(store_sync(store, &why), 0);
	contents_stop();
	db_edit(*state, "UPDATE content SET boot = 'another'");
	blob_path(*state, path);
	assert_int_equal(chmod(path, 0600), 0);
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
	assert_int_equal(given(), 2 * MIB);
	close_it(c);
	origin_put(o);
}

/* A store on a disk of so many bytes. */
static void small_disk(struct place *p, const char *options)
{
	struct reason why = { 0 };

	contents_stop();
	store_close(store);
	place_empty(p);
	place_mount(p, options);
	store = open_ok(p, true);
	if (contents_start(store, 0, true, &why))
		fail_msg("contents_start: %s", why.text);
}

/* Somebody else fills it. */
static void fill(struct place *p, bool whole_disk, size_t bytes)
{
	static char piece[64 * KIB];
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/filler", p->dir);
	fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (size_t n = 0; (whole_disk || n < bytes) && write(fd, piece, sizeof(piece)) > 0; n += sizeof(piece))
		;
	close(fd);
}

static struct origin *origin_number(int i)
{
	struct origin *o = origin_listed(server.size, "v1", NULL, NULL);

	o->entry = (uint64_t)i;
	snprintf(o->id, sizeof(o->id), "id%d", i);
	origin_key(o, 1, 12345, o->size);
	return o;
}

static void nothing_is_fetched_that_the_disk_has_no_room_for(void **state)
{
	struct statvfs st;
	struct origin *o;
	struct content *c;

	small_disk(*state, "size=8000k");
	server_has(4 * MIB, 1, "v1");
	fill(*state, false, 5 * MIB);
	o = origin_number(1);
	c = open_it(o);
	assert_int_equal(whole(c), ENOSPC);
	assert_int_equal(given(), 0);
	/* A part of it is never the cache's: uploads need it. */
	assert_int_equal(statvfs(((struct place *)*state)->dir, &st), 0);
	assert_true(cache_room(store) > 0);
	assert_int_equal(cache_room(store), (st.f_bavail - st.f_blocks / 20) * st.f_frsize);
	close_it(c);
	origin_put(o);
}

static void a_disk_that_others_have_filled_costs_no_image(void **state)
{
	struct origin *old, *o;
	struct content *c;

	small_disk(*state, "size=8000k");
	server_has(MIB, 1, "v1");
	old = origin_number(1);
	c = open_it(old);
	assert_int_equal(whole(c), 0);
	close_it(c);
	o = origin_number(2);
	c = open_it(o);
	fill(*state, false, (size_t)cache_room(store) + 256 * KIB);
	assert_true(cache_room(store) < 0);
	assert_int_equal(whole(c), ENOSPC);
	close_it(c);
	assert_int_equal(given(), MIB);
	c = open_it(old);
	assert_int_equal(read_all(c, MIB), 0);
	assert_int_equal(given(), MIB);
	close_it(c);
	origin_put(o);
	origin_put(old);
}

/* It was there when it was asked for. */
static void room_that_is_gone_when_the_bytes_come_is_made_of_older_images(void **state)
{
	struct origin *old, *o;
	struct content *c;
	struct reader r;

	small_disk(*state, "size=16m");
	server_has(4 * MIB, 1, "v1");
	old = origin_number(1);
	c = open_it(old);
	assert_int_equal(read_range(c, MIB / 2, 4 * MIB), 0);
	close_it(c);
	restart(*state, true);
	o = origin_number(2);
	c = open_it(o);
	assert_int_equal(read_range(c, 0, 100), 0);
	server_holds(true);
	reader_ask(&r, c, MIB, 3 * MIB);
	fill(*state, true, 0);
	server_holds(false);
	assert_int_equal(reader_end(&r), 0);
	close_it(c);
	origin_put(o);
	origin_put(old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(versions_that_differ_between_two_first_answers_are_stale),
		CLAIM(more_bytes_than_a_map_has_room_for_are_efbig),
		CLAIM(an_answer_that_ends_too_early_is_no_answer),
		CLAIM(an_image_that_is_gone_is_stale_for_who_has_it_open),
		CLAIM(what_one_repository_cannot_give_another_with_the_same_bytes_is_asked_for),
		CLAIM(who_is_interrupted_after_he_closed_was_the_last_who_wanted_it),
		CLAIM(room_that_was_taken_for_what_did_not_come_is_free_again),
		CLAIM(an_image_of_a_size_that_nobody_knew_takes_the_room_that_it_has),
		CLAIM(bytes_that_come_twice_count_once),
		CLAIM(what_came_of_an_image_is_noted_when_fabricfs_ends),
		CLAIM(a_cached_image_that_was_cut_on_the_disk_is_fetched_anew),
		CLAIM(damage_of_an_image_without_a_digest_is_found_after_a_power_loss),
		CLAIM(nothing_is_fetched_that_the_disk_has_no_room_for),
		CLAIM(a_disk_that_others_have_filled_costs_no_image),
		CLAIM(room_that_is_gone_when_the_bytes_come_is_made_of_older_images),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(server.bytes);
	return failed;
}
