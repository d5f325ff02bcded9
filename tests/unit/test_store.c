// SPDX-License-Identifier: Apache-2.0
/* The store: card numbers, rows, blobs and durability. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/store_fixture.h"

#include <fabricfs/rights.h>

static void card_numbers_begin_at_0_and_stay_with_their_key(void **state)
{
	struct store *store = open_ok(*state, true);
	unsigned number = 99;
	bool added = false;

	assert_int_equal(store_card_number(store, "sim:a", &number, &added, NULL), 0);
	assert_int_equal(number, 0);
	assert_true(added);
	assert_int_equal(store_card_number(store, "sim:b", &number, &added, NULL), 0);
	assert_int_equal(number, 1);
	store_close(store);
	store = open_ok(*state, false);
	assert_int_equal(store_card_number(store, "sim:a", &number, &added, NULL), 0);
	assert_int_equal(number, 0);
	assert_false(added);
	store_close(store);
}

static void a_forgotten_number_is_never_given_again(void **state)
{
	struct store *store = open_ok(*state, true);
	struct store_slot row = row_with("");
	unsigned number;
	bool doubted;

	assert_int_equal(store_card_number(store, "sim:a", &number, NULL, NULL), 0);
	assert_int_equal(store_commit(store, number, -1, &row, NULL, NULL, NULL), 0);
	assert_int_equal(store_card_forget(store, number, NULL), 0);
	store_close(store);
	store = open_ok(*state, true);
	assert_int_equal(store_card_number(store, "sim:a", &number, NULL, NULL), 0);
	assert_int_equal(number, 1);
	assert_int_equal(store_slot_load(store, 0, -1, &row, &doubted, NULL), -ENOENT);
	store_close(store);
}

static void a_key_that_is_empty_or_endless_is_refused(void **state)
{
	struct store *store = open_ok(*state, true);
	char key[2000];
	unsigned number;

	memset(key, 'k', sizeof(key));
	key[sizeof(key) - 1] = '\0';
	assert_int_equal(store_card_number(store, key, &number, NULL, NULL), -EINVAL);
	assert_int_equal(store_card_number(store, "", &number, NULL, NULL), -EINVAL);
	store_close(store);
}

static void a_row_comes_back_as_it_was_committed(void **state)
{
	struct store *store = open_ok(*state, true);
	char sha256[SHA256_HEX];
	struct store_slot row, got;
	bool doubted = true;

	blob_make(store, 1, "image", sha256);
	row = row_with(sha256);
	assert_int_equal(store_slot_load(store, 0, -1, &got, &doubted, NULL), -ENOENT);
	assert_null(got.loaded);
	assert_int_equal(store_commit(store, 0, -1, &row, NULL, NULL, NULL), 0);
	store_close(store);
	store = open_ok(*state, false);
	assert_int_equal(store_slot_load(store, 0, -1, &got, &doubted, NULL), 0);
	assert_false(doubted);
	assert_string_equal(got.loaded_sha256, sha256);
	assert_string_equal(got.loaded, "{\"part\":\"x\"}");
	assert_null(got.previous);
	assert_string_equal(got.previous_sha256, "");
	assert_string_equal(got.error, "it went wrong");
	assert_string_equal(got.state, "configured");
	assert_true(got.load == 7 && got.run == 0xfffffffffffffff0u && got.run_err == 5 && got.restorable);
	assert_true(got.image_mtime_ns == 1234567890123456789 && got.state_mtime_ns == -1);
	store_slot_fini(&got);
	store_close(store);
}

static void a_spool_file_becomes_the_blob_and_is_gone(void **state)
{
	struct store *store = open_ok(*state, true);
	char sha256[SHA256_HEX], again[SHA256_HEX], path[256], text[16] = "";
	struct stat before, after;
	uint64_t size = 0;
	int fd = -1;

	blob_make(store, 5, "bytes", sha256);
	store_spool_path(store, 5, path, sizeof(path));
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(store_blob_open(store, sha256, &fd, &size, NULL), 0);
	assert_int_equal(size, 5);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_string_equal(text, "bytes");
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	store_blob_path(store, sha256, path, sizeof(path));
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(before.st_mode & 0777, 0400);

	/* The same bytes again: no second blob, and nothing stays in the spool. */
	blob_make(store, 6, "bytes", again);
	assert_string_equal(again, sha256);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(after.st_mode & 0777, 0400);
	store_spool_path(store, 6, path, sizeof(path));
	assert_int_equal(access(path, F_OK), -1);

	/* A repeated keep, after a worker died between rename and note, is no error. */
	assert_int_equal(store_spool_keep(store, 6, sha256, NULL), 0);
	assert_int_equal(store_blob_open(store, "0000000000000000000000000000000000000000000000000000000000000000",
					 &fd, NULL, NULL), -ENOENT);
	assert_int_equal(store_blob_open(store, "../lock", &fd, NULL, NULL), -EINVAL);
	assert_int_equal(store_spool_keep(store, 6, "../../x", NULL), -EINVAL);
	store_close(store);
}

static void a_blob_that_was_damaged_is_mended_when_its_bytes_come_again(void **state)
{
	struct store *store = open_ok(*state, true);
	char sha256[SHA256_HEX], path[256], text[16] = "";
	int fd = -1;

	blob_make(store, 1, "bytes", sha256);
	store_blob_path(store, sha256, path, sizeof(path));
	assert_int_equal(chmod(path, 0600), 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "BYTES", 5, 0), 5);
	close(fd);
	blob_make(store, 2, "bytes", sha256);
	assert_int_equal(store_blob_open(store, sha256, &fd, NULL, NULL), 0);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_string_equal(text, "bytes");
	close(fd);
	store_close(store);
}

/* As a worker is, in a process of its own, since there is no way back. */
static int spool_open_without_rights(struct store *store)
{
	int fd = -1;

	return rights_drop(0, 0, NULL) || store_spool_open(store, 4, &fd, NULL) || write(fd, "x", 1) != 1;
}

static void a_copy_goes_on_after_a_worker_that_was_killed_before_it_kept_the_image(void **state)
{
	struct store *store = open_ok(*state, true);
	int fd = -1, status;
	pid_t pid;

	assert_int_equal(store_spool_open(store, 4, &fd, NULL), 0);
	assert_int_equal(fchmod(fd, 0400), 0);
	close(fd);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(spool_open_without_rights(store));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	store_close(store);
}

static void the_spool_is_emptied_by_a_fresh_start_only(void **state)
{
	struct store *store = open_ok(*state, true);
	char path[256];
	int fd = -1;

	assert_int_equal(store_spool_open(store, 3, &fd, NULL), 0);
	close(fd);
	store_spool_path(store, 3, path, sizeof(path));
	store_close(store);
	store = open_ok(*state, false);
	assert_int_equal(access(path, F_OK), 0);
	store_close(store);
	store = open_ok(*state, true);
	assert_int_equal(access(path, F_OK), -1);
	store_close(store);
}

static void trimming_keeps_loaded_and_previous_blobs_and_removes_the_rest(void **state)
{
	struct store *store = open_ok(*state, true);
	char loaded[SHA256_HEX], previous[SHA256_HEX], other[SHA256_HEX];
	struct store_slot row;
	int fd = -1;

	blob_make(store, 1, "loaded", loaded);
	blob_make(store, 2, "previous", previous);
	blob_make(store, 3, "other", other);
	row = row_with(loaded);
	text_copy(row.previous_sha256, SHA256_HEX, previous);
	assert_int_equal(store_commit(store, 0, 0, &row, NULL, NULL, NULL), 0);
	assert_int_equal(store_blobs_trim(store, NULL), 0);
	assert_int_equal(store_blob_open(store, other, &fd, NULL, NULL), -ENOENT);
	assert_int_equal(store_blob_open(store, loaded, &fd, NULL, NULL), 0);
	close(fd);
	assert_int_equal(store_blob_open(store, previous, &fd, NULL, NULL), 0);
	close(fd);
	store_close(store);
}

/* Descriptors of this process whose file has no name any more. */
static unsigned deleted_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;
	struct dirent *e;
	char path[300], to[4096];

	assert_non_null(d);
	while ((e = readdir(d))) {
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
		len = readlink(path, to, sizeof(to) - 1);
		if (len <= 0)
			continue;
		to[len] = '\0';
		n += strstr(to, "/blobs/") && strstr(to, " (deleted)");
	}
	closedir(d);
	return n;
}

static void the_bytes_of_removed_blobs_are_freed_behind(void **state)
{
	struct store *store = open_ok(*state, true);
	char sha256[SHA256_HEX], name[16];

	for (uint64_t i = 0; i < 40; i++) { /* more than are put off */
		snprintf(name, sizeof(name), "blob %d", (int)i);
		blob_make(store, i + 1, name, sha256);
	}
	assert_int_equal(store_blobs_trim(store, NULL), 0);
	assert_int_equal(store_sync(store, NULL), 0);
	assert_int_equal(deleted_open(), 0);
	assert_false(store_room_make(store));
	blob_make(store, 1, "the same", sha256);
	blob_make(store, 2, "the same", sha256);
	assert_int_equal(store_sync(store, NULL), 0);
	assert_int_equal(deleted_open(), 0);
	store_close(store);
}

/* One committed row whose blob then changes on the disk, as after a power loss. */
static void row_then_power_loss(struct place *p, const char *edit, bool cut, char sha256[SHA256_HEX])
{
	struct store *store = open_ok(p, true);
	struct store_slot row;
	char path[256];

	blob_make(store, 1, "the image", sha256);
	row = row_with(sha256);
	assert_int_equal(store_commit(store, 0, -1, &row, NULL, NULL, NULL), 0);
	assert_int_equal(store_sync(store, NULL), 0);
	store_blob_path(store, sha256, path, sizeof(path));
	store_close(store);
	db_edit(p, edit);
	if (cut) {
		chmod(path, 0600);
		assert_int_equal(truncate(path, 3), 0);
	}
}

static void a_row_of_before_a_power_loss_is_believed_only_if_its_blob_hashes_right(void **state)
{
	char sha256[SHA256_HEX];
	struct store_slot got;
	struct store *store;
	bool doubted = false;
	int fd = -1;

	row_then_power_loss(*state, "UPDATE slots SET boot = 'an earlier boot'", true, sha256);
	store = open_ok(*state, false);
	assert_int_equal(store_slot_load(store, 0, -1, &got, &doubted, NULL), 0);
	assert_true(doubted);
	assert_string_equal(got.loaded_sha256, "");
	assert_null(got.loaded);
	assert_false(got.restorable);
	store_slot_fini(&got);
	/* The cut blob must not be taken for the image when it is uploaded again. */
	assert_int_equal(store_blob_open(store, sha256, &fd, NULL, NULL), -ENOENT);
	store_close(store);
}

static void a_row_of_before_a_power_loss_with_a_whole_blob_is_believed(void **state)
{
	char sha256[SHA256_HEX];
	struct store_slot got;
	struct store *store;
	bool doubted = true;

	row_then_power_loss(*state, "UPDATE slots SET boot = 'an earlier boot'", false, sha256);
	store = open_ok(*state, false);
	assert_int_equal(store_slot_load(store, 0, -1, &got, &doubted, NULL), 0);
	assert_false(doubted);
	assert_string_equal(got.loaded_sha256, sha256);
	store_slot_fini(&got);
	store_close(store);
}

static void a_synced_row_is_durable(void **state)
{
	char sha256[SHA256_HEX];
	struct store_slot got;
	struct store *store;
	bool doubted = true;

	/* Were the row still marked, the edit would make it doubtful. */
	row_then_power_loss(*state, "UPDATE slots SET boot = 'an earlier boot' WHERE boot IS NOT NULL", true,
			    sha256);
	store = open_ok(*state, false);
	assert_int_equal(store_slot_load(store, 0, -1, &got, &doubted, NULL), 0);
	assert_false(doubted);
	assert_string_equal(got.loaded_sha256, sha256);
	store_slot_fini(&got);
	store_close(store);
}

static void a_commit_survives_kill_9_of_its_process(void **state)
{
	struct place *p = *state;
	struct reason why = { 0 };
	struct store *store;
	struct store_slot got;
	bool doubted;
	int said[2];
	uint64_t told = 0;
	pid_t child;

	assert_int_equal(pipe(said), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct store_slot row = row_with("");
		struct store_record r = { .dev = 0, .slot = -1, .json = "{\"event\":\"programmed\"}" };

		if (store_open(p->dir, true, &store, &why))
			_exit(1);
		for (row.load = 1;; row.load++)
			if (store_commit(store, 0, -1, &row, &r, NULL, NULL) ||
			    write(said[1], &row.load, sizeof(row.load)) != sizeof(row.load))
				_exit(1);
	}
	close(said[1]);
	for (int i = 0; i < 200; i++)
		assert_int_equal(read(said[0], &told, sizeof(told)), sizeof(told));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	/* What it told before it died counts too. */
	while (read(said[0], &told, sizeof(told)) == sizeof(told))
		;
	close(said[0]);

	store = open_ok(p, false);
	assert_int_equal(store_slot_load(store, 0, -1, &got, &doubted, &why), 0);
	assert_false(doubted);
	assert_true(got.load >= told && got.load <= told + 1);
	/* Row and record are one transaction. */
	assert_true(store_records_last(store, 0) == got.load);
	store_slot_fini(&got);
	store_close(store);
}

#define BUSY_COMMITS 300

static void *busy_writer(void *arg)
{
	static _Atomic int next_dev;
	struct store_slot row = row_with("");
	int dev = next_dev++ % 4;
	struct store_record r = { .dev = dev, .slot = -1, .json = "{}" };

	for (int i = 0; i < BUSY_COMMITS; i++)
		if (store_commit(arg, (unsigned)dev, -1, &row, &r, NULL, NULL) || (i % 50 == 0 && store_sync(arg, NULL)))
			return arg;
	return NULL;
}

static void *busy_follower(void *arg)
{
	uint64_t after = 0, lost = 0, seen = 0;

	while (seen < 4 * BUSY_COMMITS) {
		struct buf b CLEANUP_BUF = BUF_INIT;
		struct store_slot got;
		uint64_t last = after, bytes;
		bool doubted;

		if (store_records_next(arg, -1, after, 64, &b, &last, &lost, NULL) || store_records_size(arg, 1, &bytes))
			return arg;
		for (size_t i = 0; i < b.len; i++)
			seen += b.data[i] == '\n';
		seen += lost;
		after = last;
		if (!store_slot_load(arg, 2, -1, &got, &doubted, NULL))
			store_slot_fini(&got);
		if (store_records_last(arg, -1) > 4 * BUSY_COMMITS)
			return arg;
	}
	return after == 4 * BUSY_COMMITS ? NULL : arg;
}

static void threads_that_write_read_and_sync_do_not_disturb_each_other(void **state)
{
	struct store *store = open_ok(*state, true);
	pthread_t threads[6];

	for (int i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, i < 4 ? busy_writer : busy_follower, store), 0);
	for (int i = 0; i < 6; i++) {
		void *wrong = store;

		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	store_close(store);
}

static void no_descriptor_of_the_store_is_inherited(void **state)
{
	struct store *store = open_ok(*state, true);
	int seen = 0;

	for (int fd = 3; fd < 256; fd++) {
		char link[64], target[512];
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		if (!strncmp(target, "/tmp/test-store-", 16)) {
			seen++;
			assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		}
	}
	assert_true(seen >= 8);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(card_numbers_begin_at_0_and_stay_with_their_key),
		CLAIM(a_forgotten_number_is_never_given_again),
		CLAIM(a_key_that_is_empty_or_endless_is_refused),
		CLAIM(a_row_comes_back_as_it_was_committed),
		CLAIM(a_spool_file_becomes_the_blob_and_is_gone),
		CLAIM(a_blob_that_was_damaged_is_mended_when_its_bytes_come_again),
		CLAIM(a_copy_goes_on_after_a_worker_that_was_killed_before_it_kept_the_image),
		CLAIM(the_spool_is_emptied_by_a_fresh_start_only),
		CLAIM(the_bytes_of_removed_blobs_are_freed_behind),
		CLAIM(trimming_keeps_loaded_and_previous_blobs_and_removes_the_rest),
		CLAIM(a_row_of_before_a_power_loss_is_believed_only_if_its_blob_hashes_right),
		CLAIM(a_row_of_before_a_power_loss_with_a_whole_blob_is_believed),
		CLAIM(a_synced_row_is_durable),
		CLAIM(a_commit_survives_kill_9_of_its_process),
		CLAIM(threads_that_write_read_and_sync_do_not_disturb_each_other),
		CLAIM(no_descriptor_of_the_store_is_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
