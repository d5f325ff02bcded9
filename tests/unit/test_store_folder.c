// SPDX-License-Identifier: Apache-2.0
/* The folder of the store: who has it, and what is said of one that cannot be used, or is full. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/store_fixture.h"

static void a_folder_locked_by_another_process_is_refused_naming_it(void **state)
{
	struct place *p = *state;
	struct reason why = { 0 };
	char pid[32];
	int lock = -1, ready[2];
	pid_t child;
	char byte;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (!child) {
		if (store_lock(p->dir, &lock, NULL) || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_int_equal(store_lock(p->dir, &lock, &why), -EBUSY);
	snprintf(pid, sizeof(pid), "process %d:", (int)child);
	assert_non_null(strstr(why.text, pid));
	assert_non_null(strstr(why.text, p->dir));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(store_lock(p->dir, &lock, &why), 0);
	assert_true(fcntl(lock, F_GETFD) & FD_CLOEXEC);
	close(lock);
}

static void a_missing_folder_is_made_private(void **state)
{
	struct place *p = *state;
	char dir[128];
	struct stat st;
	int lock = -1;

	snprintf(dir, sizeof(dir), "%s/a/b", p->dir);
	assert_int_equal(store_lock(dir, &lock, NULL), 0);
	close(lock);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_file_in_place_of_the_folder_is_refused(void **state)
{
	struct place *p = *state;
	struct reason why = { 0 };
	char path[128];
	int lock = -1;

	snprintf(path, sizeof(path), "%s/file", p->dir);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(store_lock(path, &lock, &why), -ENOTDIR);
	assert_non_null(strstr(why.text, "not a folder"));
}

static void a_newer_catalogue_is_refused_naming_both_versions(void **state)
{
	struct place *p = *state;
	struct reason why = { 0 };
	struct store *store = open_ok(p, true);

	store_close(store);
	db_edit(p, "PRAGMA user_version = 4711");
	assert_int_equal(store_open(p->dir, true, &store, &why), -EPROTO);
	assert_non_null(strstr(why.text, "4711"));
	assert_non_null(strstr(why.text, "up to 3"));
}

static void damage_at(struct place *p, off_t offset, size_t n)
{
	char junk[4096];
	int fd = open(p->db, O_WRONLY | O_CLOEXEC);

	memset(junk, 0xa5, sizeof(junk));
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, junk, n, offset), (ssize_t)n);
	close(fd);
}

static void catalogue_refused_as_damaged(struct place *p)
{
	struct reason why = { 0 };
	struct store *store = NULL;
	struct stat before, after;

	assert_int_equal(stat(p->db, &before), 0);
	assert_int_equal(store_open(p->dir, true, &store, &why), -EUCLEAN);
	assert_non_null(strstr(why.text, p->db));
	assert_non_null(strstr(why.text, "aside"));
	assert_null(strchr(why.text, '\n'));
	assert_int_equal(stat(p->db, &after), 0);
	assert_true(before.st_size == after.st_size && before.st_ino == after.st_ino);
}

static void a_damaged_head_is_told_and_nothing_deleted(void **state)
{
	struct place *p = *state;

	store_close(open_ok(p, true));
	damage_at(p, 0, 64);
	catalogue_refused_as_damaged(p);
}

static void a_damaged_page_is_found_before_mounting(void **state)
{
	struct place *p = *state;
	struct store *store = open_ok(p, true);
	struct store_slot row = row_with("");

	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(store_commit(store, i, -1, &row, NULL, NULL, NULL), 0);
	store_close(store);
	damage_at(p, 4096, 4096);
	damage_at(p, 8192, 4096);
	damage_at(p, 12288, 4096);
	catalogue_refused_as_damaged(p);
}

static void a_file_of_another_program_is_not_taken_over(void **state)
{
	struct place *p = *state;

	db_edit(p, "CREATE TABLE theirs (x)");
	catalogue_refused_as_damaged(p);
}

static void a_read_only_folder_is_refused_with_a_sentence(void **state)
{
	struct place *p = *state;
	struct reason why = { 0 };
	struct store *store = NULL;
	int lock = -1;

	place_mount(p, "size=4m");
	store_close(open_ok(p, true));
	assert_int_equal(mount(NULL, p->dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_int_equal(store_lock(p->dir, &lock, &why), -EROFS);
	assert_non_null(strstr(why.text, "not writable"));
	why = (struct reason){ 0 };
	assert_int_equal(store_open(p->dir, true, &store, &why), -EROFS);
	assert_non_null(strstr(why.text, p->dir));
}

static void a_full_disk_changes_nothing_and_passes_when_there_is_room(void **state)
{
	static char chunk[65536];
	struct place *p = *state;
	struct reason why = { 0 };
	struct store_record r = { .dev = 0, .slot = -1, .json = "{\"event\":\"programmed\"}" };
	struct store_slot row = row_with(""), got;
	struct store *store;
	char path[128];
	uint64_t good = 0, seq = 0;
	bool doubted;
	int err = 0, fd;

	place_mount(p, "size=1m");
	store = open_ok(p, true);
	snprintf(path, sizeof(path), "%s/filler", p->dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	while (write(fd, chunk, sizeof(chunk)) > 0)
		;
	while (write(fd, chunk, 512) > 0)
		;
	for (row.load = 1; !err && row.load < 2000; row.load++) {
		err = store_commit(store, 0, -1, &row, &r, NULL, &why);
		if (!err)
			good = row.load;
	}
	assert_int_equal(err, -ENOSPC);
	assert_non_null(strstr(why.text, "no room"));
	if (good) {
		assert_int_equal(store_slot_load(store, 0, -1, &got, &doubted, NULL), 0);
		assert_true(got.load == good);
		store_slot_fini(&got);
	} else {
		assert_int_equal(store_slot_load(store, 0, -1, &got, &doubted, NULL), -ENOENT);
	}
	assert_true(store_records_last(store, 0) == good);

	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	row.load = 9999;
	assert_int_equal(store_commit(store, 0, -1, &row, &r, &seq, &why), 0);
	assert_true(seq == good + 1);
	assert_int_equal(store_sync(store, &why), 0);
	store_close(store);
	store = open_ok(p, true);
	assert_int_equal(store_slot_load(store, 0, -1, &got, &doubted, NULL), 0);
	assert_true(got.load == 9999);
	store_slot_fini(&got);
	store_close(store);
}

static void a_start_on_a_full_disk_is_refused_and_loses_nothing(void **state)
{
	static char chunk[65536];
	struct place *p = *state;
	struct reason why = { 0 };
	struct store *store = NULL;
	struct store_slot row = row_with(""), got;
	char path[128];
	bool doubted;
	int fd;

	place_mount(p, "size=1m");
	store = open_ok(p, true);
	assert_int_equal(store_commit(store, 0, -1, &row, NULL, NULL, NULL), 0);
	store_close(store);
	snprintf(path, sizeof(path), "%s/filler", p->dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	while (write(fd, chunk, sizeof(chunk)) > 0)
		;
	while (write(fd, chunk, 512) > 0)
		;
	assert_int_equal(store_open(p->dir, true, &store, &why), -ENOSPC);
	assert_non_null(strstr(why.text, "no room"));
	close(fd);
	unlink(path);
	store = open_ok(p, true);
	assert_int_equal(store_slot_load(store, 0, -1, &got, &doubted, NULL), 0);
	assert_true(got.load == 7);
	store_slot_fini(&got);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_folder_locked_by_another_process_is_refused_naming_it),
		CLAIM(a_missing_folder_is_made_private),
		CLAIM(a_file_in_place_of_the_folder_is_refused),
		CLAIM(a_newer_catalogue_is_refused_naming_both_versions),
		CLAIM(a_damaged_head_is_told_and_nothing_deleted),
		CLAIM(a_damaged_page_is_found_before_mounting),
		CLAIM(a_file_of_another_program_is_not_taken_over),
		CLAIM(a_read_only_folder_is_refused_with_a_sentence),
		CLAIM(a_full_disk_changes_nothing_and_passes_when_there_is_room),
		CLAIM(a_start_on_a_full_disk_is_refused_and_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
