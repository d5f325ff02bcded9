// SPDX-License-Identifier: Apache-2.0
/* Chunk maps and rows of cached contents, through crashes and power losses. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/store_fixture.h"

#include <fabricfs/cache.h>

static struct chunks *chunks_ok(struct store *store, uint64_t id, const char *key)
{
	struct chunks *c = NULL;
	struct reason why = { 0 };

	if (chunks_open(store, id, key, &c, &why))
		fail_msg("chunks_open: %s", why.text);
	return c;
}

static void bytes_come(struct chunks *c, uint64_t first, uint64_t last)
{
	char bytes[CHUNK_SIZE];
	struct reason why = { 0 };

	memset(bytes, 'x', sizeof(bytes));
	for (uint64_t i = first; i <= last; i++)
		assert_int_equal(pwrite(chunks_fd(c), bytes, sizeof(bytes), (off_t)(i * CHUNK_SIZE)), CHUNK_SIZE);
	assert_int_equal(chunks_mark(c, first, last, &why), 0);
}

/* As after a power loss: the map says that it was written in another boot. */
static void boot_anew(struct place *p, uint64_t id)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/chunks/%d.map", p->dir, (int)id);
	f = fopen(path, "r+");
	assert_non_null(f);
	/* Behind the magic word, the version and the size of a chunk. */
	assert_int_equal(fseek(f, 24, SEEK_SET), 0);
	assert_int_equal(fputs("another boot", f) >= 0 && fputc(0, f) == 0, 1);
	fclose(f);
}

static void marked_chunks_are_there_for_the_next_worker(void **state)
{
	struct store *store = open_ok(*state, true);
	struct chunks *c = chunks_ok(store, 7, "key");

	bytes_come(c, 0, 2);
	bytes_come(c, 70000, 70000);
	assert_int_equal(chunks_missing(c, 0), 3);
	chunks_close(c);
	/* No sync, no close of the store: as after kill -9. */
	c = chunks_ok(store, 7, "key");
	assert_int_equal(chunks_count(c), 4);
	assert_int_equal(chunks_missing(c, 0), 3);
	assert_true(chunks_has(c, 70000));
	assert_false(chunks_has(c, 69999));
	assert_int_equal(chunks_missing(c, 70000), 70001);
	chunks_close(c);
	store_close(store);
}

static void after_a_power_loss_only_synced_chunks_count(void **state)
{
	struct store *store = open_ok(*state, true);
	struct chunks *c = chunks_ok(store, 7, "key");
	struct reason why = { 0 };

	bytes_come(c, 0, 9);
	assert_int_equal(chunks_sync(c, &why), 0);
	bytes_come(c, 10, 19);
	bytes_come(c, 40000, 40000);
	chunks_close(c);
	boot_anew(*state, 7);
	c = chunks_ok(store, 7, "key");
	assert_int_equal(chunks_count(c), 10);
	assert_int_equal(chunks_missing(c, 0), 10);
	/* And what comes now is of this boot again. */
	bytes_come(c, 10, 10);
	chunks_close(c);
	c = chunks_ok(store, 7, "key");
	assert_int_equal(chunks_missing(c, 0), 11);
	chunks_close(c);
	store_close(store);
}

/* Instead of libc's: a disk that does not take what is in one file. */
static int bad_fd = -1;

int fdatasync(int fd)
{
	if (fd == bad_fd) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

static void chunks_that_could_not_be_synced_do_not_count_after_a_power_loss(void **state)
{
	struct store *store = open_ok(*state, true);
	struct chunks *c = chunks_ok(store, 7, "key");
	struct reason why = { 0 };

	bytes_come(c, 0, 9);
	bad_fd = chunks_fd(c);
	assert_int_equal(chunks_sync(c, &why), -EIO);
	bad_fd = -1;
	assert_non_null(strstr(why.text, "syncing the bytes of"));
	chunks_close(c);
	boot_anew(*state, 7);
	c = chunks_ok(store, 7, "key");
	assert_int_equal(chunks_count(c), 0);
	chunks_close(c);
	store_close(store);
}

static void chunks_that_are_not_in_the_file_are_not_believed(void **state)
{
	struct place *p = *state;
	struct store *store = open_ok(p, true);
	struct chunks *c = chunks_ok(store, 7, "key");
	struct reason why = { 0 };
	char path[160];

	bytes_come(c, 0, 9);
	assert_int_equal(chunks_sync(c, &why), 0);
	chunks_close(c);
	/* A power loss took the file with the bytes, and left the map. */
	snprintf(path, sizeof(path), "%s/chunks/7", p->dir);
	assert_int_equal(truncate(path, 3 * CHUNK_SIZE), 0);
	c = chunks_ok(store, 7, "key");
	assert_int_equal(chunks_missing(c, 0), 3);
	assert_int_equal(chunks_count(c), 3);
	chunks_close(c);
	assert_int_equal(unlink(path), 0);
	c = chunks_ok(store, 7, "key");
	assert_int_equal(chunks_count(c), 0);
	chunks_close(c);
	store_close(store);
}

static void chunks_of_another_content_are_thrown_away(void **state)
{
	struct store *store = open_ok(*state, true);
	struct chunks *c = chunks_ok(store, 7, "key");
	struct stat st;

	bytes_come(c, 0, 9);
	chunks_close(c);
	c = chunks_ok(store, 7, "another key");
	assert_int_equal(chunks_count(c), 0);
	assert_int_equal(fstat(chunks_fd(c), &st), 0);
	assert_int_equal(st.st_size, 0);
	chunks_close(c);
	store_close(store);
}

static void damaged_maps_are_begun_anew(void **state)
{
	static const char *const damages[] = { "", "fabricfs chunks\n", "\177ELF and so on and so on and so on" };
	struct place *p = *state;
	struct store *store = open_ok(p, true);
	char path[160];

	snprintf(path, sizeof(path), "%s/chunks/7.map", p->dir);
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct chunks *c = chunks_ok(store, 7, "key");
		FILE *f;

		bytes_come(c, 0, 9);
		chunks_close(c);
		f = fopen(path, "w");
		assert_non_null(f);
		fputs(damages[i], f);
		fclose(f);
		c = chunks_ok(store, 7, "key");
		assert_int_equal(chunks_count(c), 0);
		chunks_close(c);
	}
	store_close(store);
}

/* --- rows ------------------------------------------------------------------------------------- */

static struct cache_content made(struct store *store, const char *key)
{
	struct cache_content content;
	struct reason why = { 0 };

	if (cache_content_make(store, key, &content, NULL, &why))
		fail_msg("cache_content_make: %s", why.text);
	return content;
}

/* The time of day, which somebody sets. */
#define DAY_NS (INT64_C(86400) * 1000000000)
static _Atomic int64_t set_by_ns;

int64_t __real_clock_now_ns(void);
int64_t __wrap_clock_now_ns(void);
int64_t __wrap_clock_now_ns(void)
{
	return __real_clock_now_ns() + set_by_ns;
}

static struct cache_content row_of(struct store *store, uint64_t id)
{
	struct cache_content content;
	struct reason why = { 0 };

	if (cache_content_get(store, id, &content, &why))
		fail_msg("cache_content_get: %s", why.text);
	return content;
}

/* All of a content: these bytes. */
static void whole(struct store *store, uint64_t id, const char *key, const char *text, char sha256[SHA256_HEX])
{
	bool twin;
	struct chunks *c = chunks_ok(store, id, key);
	struct reason why = { 0 };

	assert_int_equal(pwrite(chunks_fd(c), text, strlen(text), 0), (ssize_t)strlen(text));
	assert_int_equal(chunks_mark(c, 0, 0, &why), 0);
	assert_int_equal(digest_fd(chunks_fd(c), sha256), 0);
	if (cache_content_whole(store, id, strlen(text), sha256, &twin, &why))
		fail_msg("cache_content_whole: %s", why.text);
	chunks_close(c);
}

static bool in_chunks(struct place *p, uint64_t id)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/chunks/%d", p->dir, (int)id);
	return !access(path, F_OK);
}

static void a_key_has_one_content(void **state)
{
	struct store *store = open_ok(*state, true);
	struct cache_content a = made(store, "sha512:ab"), b = made(store, "sha512:ab"), c = made(store, "other");

	assert_int_equal(a.id, b.id);
	assert_int_not_equal(a.id, c.id);
	assert_false(a.has_size);
	assert_false(a.whole);
	store_close(store);
}

static void is_there(struct store *store, const char *sha256, bool wanted)
{
	struct reason why = { 0 };
	int fd = -1;

	assert_int_equal(store_blob_open(store, sha256, &fd, NULL, &why), wanted ? 0 : -ENOENT);
	if (fd >= 0)
		close(fd);
}

static void trimmed(struct store *store)
{
	struct reason why = { 0 };

	if (store_blobs_trim(store, &why))
		fail_msg("%s", why.text);
}

/* However a blob loses its last name, the next trim takes it; and it does not look at all others for that. */
static void trimming_takes_what_lost_its_name_and_looks_at_nothing_else(void **state)
{
	bool twin;
	static const char *const foreign = "00000000000000000000000000000000000000000000000000000000000000ff";
	struct store *store = open_ok(*state, true);
	struct cache_content a = made(store, "a"), b = made(store, "b");
	char first[SHA256_HEX], second[SHA256_HEX], third[SHA256_HEX], path[256];
	struct store_slot row;
	unsigned number;
	bool added;

	assert_int_equal(store_card_number(store, "sim:x", &number, &added, NULL), 0);
	trimmed(store);
	store_blob_path(store, foreign, path, sizeof(path));
	assert_int_equal(close(creat(path, 0400)), 0);
	/* Never named. */
	blob_make(store, 1, "first", first);
	trimmed(store);
	is_there(store, first, false);
	/* Loaded; then the one before; then neither. */
	blob_make(store, 1, "first", first);
	blob_make(store, 2, "second", second);
	blob_make(store, 3, "third", third);
	row = row_with(first);
	assert_int_equal(store_commit(store, number, -1, &row, NULL, NULL, NULL), 0);
	row = row_with(second);
	text_copy(row.previous_sha256, SHA256_HEX, first);
	assert_int_equal(store_commit(store, number, -1, &row, NULL, NULL, NULL), 0);
	trimmed(store);
	is_there(store, first, true);
	is_there(store, third, false);
	row.previous_sha256[0] = '\0';
	assert_int_equal(store_commit(store, number, -1, &row, NULL, NULL, NULL), 0);
	trimmed(store);
	is_there(store, first, false);
	is_there(store, second, true);
	assert_int_equal(store_card_forget(store, number, NULL), 0);
	trimmed(store);
	is_there(store, second, false);
	/* Of contents: dropped, emptied, and of no entry any more. */
	whole(store, a.id, "a", "first", first);
	whole(store, b.id, "b", "second", second);
	assert_int_equal(cache_content_gone(store, a.id, EBADMSG, &twin, NULL), 0);
	trimmed(store);
	is_there(store, first, false);
	is_there(store, second, true);
	assert_int_equal(cache_content_empty(store, b.id, &twin, NULL), 0);
	trimmed(store);
	is_there(store, second, false);
	whole(store, b.id, "b", "second", second);
	assert_int_equal(cache_contents_tidy(store, NULL), 0);
	trimmed(store);
	is_there(store, second, false);
	is_there(store, foreign, true);
	store_close(store);
	/* A worker that takes over does not know what the last one knew. */
	store = open_ok(*state, false);
	trimmed(store);
	is_there(store, foreign, false);
	store_close(store);
}

static void contents_without_bytes_or_an_image_are_left_over(void **state)
{
	struct store *store = open_ok(*state, true);
	struct cache_content a = made(store, "a"), b = made(store, "b"), c = made(store, "c"), d = made(store, "d");
	char sha256[SHA256_HEX];
	struct reason why = { 0 };
	uint64_t ids[8];
	bool twin;

	whole(store, a.id, "a", "some bytes", sha256);
	assert_int_equal(cache_content_used(store, b.id, 100, &why), 0);
	db_edit(*state, "INSERT INTO entry (repo, remote_id, name, shown, rank, data, status, flags, size, mtime_ns,"
			" digest_algo, digest, validator, content) VALUES (1, 'x', 'x', 1, 0, 0, '', 0, 0, 0, '', '', '', 3)");
	assert_int_equal(cache_contents_left(store, ids, 8), 1);
	assert_int_equal(ids[0], d.id);
	/* What is no good is nobody's, whoever names it. */
	assert_int_equal(cache_content_gone(store, c.id, EBADMSG, &twin, &why), 0);
	assert_int_equal(cache_contents_left(store, ids, 8), 2);
	assert_int_equal(cache_contents_left(store, ids, 1), 1);
	for (uint64_t id = a.id; id <= d.id; id++)
		assert_int_equal(cache_content_forget(store, id, &why), 0);
	assert_int_equal(cache_content_get(store, c.id, &c, &why), -ENOENT);
	assert_int_equal(cache_content_get(store, d.id, &d, &why), -ENOENT);
	assert_true(row_of(store, a.id).whole);
	assert_int_equal(row_of(store, b.id).cached, 100);
	assert_int_equal(cache_content_empty(store, a.id, &twin, &why), 0);
	assert_int_equal(cache_contents_left(store, ids, 8), 1);
	/* A number is never given again. */
	assert_true(made(store, "e").id > d.id);
	store_close(store);
}

static void a_whole_content_is_a_blob_that_trimming_leaves(void **state)
{
	bool twin;
	struct store *store = open_ok(*state, true);
	struct cache_content a = made(store, "a"), b = made(store, "b");
	char sha256[SHA256_HEX], same[SHA256_HEX];
	struct reason why = { 0 };
	uint64_t size;
	int fd;

	whole(store, a.id, "a", "some bytes", sha256);
	whole(store, b.id, "b", "some bytes", same);
	assert_string_equal(sha256, same);
	assert_false(in_chunks(*state, a.id));
	assert_int_equal(store_blobs_trim(store, &why), 0);
	assert_int_equal(store_blob_open(store, sha256, &fd, &size, &why), 0);
	close(fd);
	assert_int_equal(size, 10);
	assert_true(row_of(store, a.id).whole);
	/* It is kept once, and as long as one of them has it. */
	assert_int_equal(cache_content_empty(store, a.id, &twin, &why), 0);
	assert_int_equal(store_blobs_trim(store, &why), 0);
	assert_int_equal(store_blob_open(store, sha256, &fd, NULL, &why), 0);
	close(fd);
	assert_int_equal(cache_content_empty(store, b.id, &twin, &why), 0);
	assert_int_equal(store_blobs_trim(store, &why), 0);
	assert_int_equal(store_blob_open(store, sha256, &fd, NULL, &why), -ENOENT);
	/* What it was is still known. */
	assert_string_equal(row_of(store, a.id).sha256, sha256);
	store_close(store);
}

/* Instead of libc's: what a trim removes next, and who keeps that very image meanwhile. */
static struct keeper {
	struct store *store;
	const char *sha256;
	uint64_t id, size;
	int err;
	bool runs, twin;
	pthread_t thread;
} *keeper;

static void *keep(void *arg)
{
	struct keeper *k = arg;

	k->err = cache_content_whole(k->store, k->id, k->size, k->sha256, &k->twin, NULL);
	return NULL;
}

int unlinkat(int dir, const char *name, int flags)
{
	struct keeper *k = keeper;

	if (k && !k->runs && !strcmp(name, k->sha256)) {
		struct timespec end;

		k->runs = true;
		assert_int_equal(pthread_create(&k->thread, NULL, keep, k), 0);
		/* It has its chance here, though it had better wait. */
		clock_gettime(CLOCK_REALTIME, &end);
		end.tv_sec++;
		if (!pthread_timedjoin_np(k->thread, NULL, &end))
			k->thread = 0;
	}
	return (int)syscall(SYS_unlinkat, dir, name, flags);
}

static void trimming_takes_no_image_that_is_named_meanwhile(void **state)
{
	bool twin;
	struct store *store = open_ok(*state, true);
	struct cache_content a = made(store, "a");
	char sha256[SHA256_HEX];
	struct reason why = { 0 };
	struct chunks *c;
	int fd;

	whole(store, a.id, "a", "some bytes", sha256);
	assert_int_equal(cache_content_empty(store, a.id, &twin, &why), 0);
	/* Nothing names the blob now, and the same bytes come again. */
	c = chunks_ok(store, a.id, "a");
	assert_int_equal(pwrite(chunks_fd(c), "some bytes", 10, 0), 10);
	assert_int_equal(chunks_mark(c, 0, 0, &why), 0);
	chunks_close(c);

	struct keeper k = { .store = store, .sha256 = sha256, .id = a.id, .size = 10 };

	keeper = &k;
	assert_int_equal(store_blobs_trim(store, &why), 0);
	assert_true(k.runs);
	if (k.thread)
		pthread_join(k.thread, NULL);
	keeper = NULL; /* whose thread asks for it too */
	assert_int_equal(k.err, 0);
	assert_true(row_of(store, a.id).whole);
	if (store_blob_open(store, sha256, &fd, NULL, &why))
		fail_msg("the bytes are lost: %s", why.text);
	close(fd);
	store_close(store);
}

static void a_content_that_is_gone_leaves_its_key_and_its_errno(void **state)
{
	bool twin;
	struct store *store = open_ok(*state, true);
	struct cache_content a = made(store, "a"), b;
	struct chunks *c = chunks_ok(store, a.id, "a");
	struct reason why = { 0 };

	bytes_come(c, 0, 1);
	chunks_close(c);
	assert_int_equal(cache_content_gone(store, a.id, EBADMSG, &twin, &why), 0);
	assert_false(in_chunks(*state, a.id));
	assert_int_equal(row_of(store, a.id).gone, EBADMSG);
	b = made(store, "a");
	assert_int_not_equal(a.id, b.id);
	assert_int_equal(b.gone, 0);
	store_close(store);
}

static void a_whole_content_of_another_boot_is_doubted_until_it_was_hashed(void **state)
{
	struct place *p = *state;
	struct store *store = open_ok(p, true);
	struct cache_content a = made(store, "a");
	char sha256[SHA256_HEX];
	struct reason why = { 0 };

	whole(store, a.id, "a", "first", sha256);
	assert_false(row_of(store, a.id).doubted);
	assert_int_equal(store_sync(store, &why), 0);
	/* As if the machine had stopped before that. */
	db_edit(p, "UPDATE content SET boot = 'another'");
	assert_true(row_of(store, a.id).doubted);
	assert_int_equal(cache_content_trust(store, a.id, &why), 0);
	assert_false(row_of(store, a.id).doubted);
	store_close(store);
}

static void tidying_finishes_what_a_worker_had_begun(void **state)
{
	struct place *p = *state;
	struct store *store = open_ok(p, true);
	struct cache_content a = made(store, "a"), b = made(store, "b"), c = made(store, "c");
	char sha256[SHA256_HEX], from[160], to[200];
	struct reason why = { 0 };
	struct chunks *chunks;
	int fd;

	whole(store, a.id, "a", "some bytes", sha256);
	/* It died between the row and the rename. */
	snprintf(from, sizeof(from), "%s/blobs/%s", p->dir, sha256);
	snprintf(to, sizeof(to), "%s/chunks/%d", p->dir, (int)a.id);
	assert_int_equal(rename(from, to), 0);
	/* Files that are nobody's. */
	chunks = chunks_ok(store, 4711, "nobody");
	bytes_come(chunks, 0, 0);
	chunks_close(chunks);
	chunks = chunks_ok(store, b.id, "b");
	bytes_come(chunks, 0, 4);
	chunks_close(chunks);
	snprintf(to, sizeof(to), "%s/chunks/%d.old", p->dir, (int)b.id);
	fclose(fopen(to, "w"));
	db_edit(p, "INSERT INTO entry (repo, remote_id, name, shown, rank, data, status, flags, size, mtime_ns,"
		   " digest_algo, digest, validator, content) VALUES (1, 'x', 'x', 1, 0, 0, '', 0, 0, 0, '', '', '', 1),"
		   " (1, 'y', 'y', 1, 0, 0, '', 0, 0, 0, '', '', '', 2)");
	assert_int_equal(cache_contents_tidy(store, &why), 0);
	assert_int_equal(store_blob_open(store, sha256, &fd, NULL, &why), 0);
	close(fd);
	assert_false(in_chunks(p, 4711));
	assert_int_not_equal(access(to, F_OK), 0);
	assert_true(in_chunks(p, b.id));
	assert_int_equal(row_of(store, b.id).cached, 5 * CHUNK_SIZE);
	/* Nothing refers to this one. */
	assert_int_equal(cache_content_get(store, c.id, &c, &why), -ENOENT);
	store_close(store);
}

static int collect(const struct cache_content *content, bool loaded, void *arg)
{
	struct buf *seen = arg;

	buf_addf(seen, "%d%s ", (int)content->id, loaded ? "!" : "");
	return 0;
}

static void contents_are_told_in_the_order_of_their_use_and_which_are_loaded(void **state)
{
	struct store *store = open_ok(*state, true);
	struct cache_content a = made(store, "a"), b = made(store, "b"), c = made(store, "c");
	struct buf seen CLEANUP_BUF = BUF_INIT;
	char sha256[SHA256_HEX];
	struct reason why = { 0 };
	struct store_slot row;

	whole(store, a.id, "a", "some bytes", sha256);
	row = row_with(sha256);
	assert_int_equal(store_commit(store, 0, -1, &row, NULL, NULL, &why), 0);
	assert_int_equal(cache_content_used(store, b.id, 100, &why), 0);
	assert_int_equal(cache_content_used(store, c.id, 100, &why), 0);
	assert_int_equal(cache_content_used(store, b.id, 100, &why), 0);
	assert_int_equal(cache_contents_each(store, collect, &seen, &why), 0);
	assert_string_equal(seen.data, "1! 3 2 ");
	store_close(store);
}

static void the_order_of_use_is_that_also_when_the_clock_is_set(void **state)
{
	struct store *store = open_ok(*state, true);
	struct cache_content a = made(store, "a"), b = made(store, "b"), c = made(store, "c");
	struct buf seen CLEANUP_BUF = BUF_INIT;
	struct reason why = { 0 };

	assert_int_equal(cache_content_used(store, a.id, 100, &why), 0);
	set_by_ns = DAY_NS;
	assert_int_equal(cache_content_used(store, b.id, 100, &why), 0);
	set_by_ns = -365 * DAY_NS;
	assert_int_equal(cache_content_used(store, c.id, 100, &why), 0);
	assert_int_equal(cache_content_used(store, a.id, 100, &why), 0);
	set_by_ns = 0;
	assert_int_equal(cache_contents_each(store, collect, &seen, &why), 0);
	assert_string_equal(seen.data, "2 3 1 ");
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(marked_chunks_are_there_for_the_next_worker),
		CLAIM(after_a_power_loss_only_synced_chunks_count),
		CLAIM(chunks_that_could_not_be_synced_do_not_count_after_a_power_loss),
		CLAIM(chunks_that_are_not_in_the_file_are_not_believed),
		CLAIM(chunks_of_another_content_are_thrown_away),
		CLAIM(damaged_maps_are_begun_anew),
		CLAIM(a_key_has_one_content),
		CLAIM(trimming_takes_what_lost_its_name_and_looks_at_nothing_else),
		CLAIM(contents_without_bytes_or_an_image_are_left_over),
		CLAIM(a_whole_content_is_a_blob_that_trimming_leaves),
		CLAIM(trimming_takes_no_image_that_is_named_meanwhile),
		CLAIM(a_content_that_is_gone_leaves_its_key_and_its_errno),
		CLAIM(a_whole_content_of_another_boot_is_doubted_until_it_was_hashed),
		CLAIM(tidying_finishes_what_a_worker_had_begun),
		CLAIM(contents_are_told_in_the_order_of_their_use_and_which_are_loaded),
		CLAIM(the_order_of_use_is_that_also_when_the_clock_is_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
