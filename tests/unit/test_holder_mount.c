// SPDX-License-Identifier: Apache-2.0
/* The holder and its mount: how it begins, and how it ends. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>
#include <linux/fuse.h>

#include "tests/unit/holder_fixture.h"

static void unmounting_from_outside_ends_it(void **state)
{
	struct held h;

	(void)state;
	held_begin(&h, "serves");
	assert_int_equal(held_start(&h), HOLDER_READY);
	assert_int_equal(umount2(h.mnt, 0), 0);
	assert_int_equal(exit_of(h.holder), 0);
	held_end(&h);
}

static void busy_mount_is_detached_and_its_users_get_an_error(void **state)
{
	struct held h;
	char path[PATH_MAX], c;

	(void)state;
	held_begin(&h, "serves");
	assert_int_equal(held_start(&h), HOLDER_READY);
	path_in(path, h.mnt, "hello");
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	held_stop(&h);
	assert_int_equal(read(fd, &c, 1), -1);
	assert_true(errno == ENOTCONN || errno == ECONNABORTED);
	close(fd);
	held_end(&h);
}

static void mount_of_somebody_else_above_ours_is_left_alone(void **state)
{
	struct held h;
	struct statfs fs;

	(void)state;
	held_begin(&h, "serves");
	assert_int_equal(held_start(&h), HOLDER_READY);
	assert_int_equal(mount("none", h.mnt, "tmpfs", 0, "size=64k"), 0);
	assert_int_equal(kill(h.holder, SIGTERM), 0);
	exit_of(h.holder);
	assert_int_equal(statfs(h.mnt, &fs), 0);
	assert_true(fs.f_type != FUSE_SUPER);
	assert_int_equal(umount2(h.mnt, 0), 0);
	umount2(h.mnt, MNT_DETACH);
	held_end(&h);
}

static void worker_that_cannot_start_is_told_with_its_sentence_and_unmounted(void **state)
{
	struct held h;

	(void)state;
	held_begin(&h, "refuses");
	assert_int_equal(held_start(&h), HOLDER_FAILED);
	assert_string_equal(h.report + 1, "no card wants to");
	assert_int_equal(exit_of(h.holder), 1);
	assert_int_equal(marks(&h, "starts-fresh"), 1);
	held_end(&h);
}

static void second_mount_at_the_same_place_is_refused(void **state)
{
	struct held h, second;

	(void)state;
	held_begin(&h, "serves");
	assert_int_equal(held_start(&h), HOLDER_READY);
	second = h;
	assert_int_equal(held_start(&second), HOLDER_FAILED);
	assert_non_null(strstr(second.report, "mounted there already"));
	assert_int_equal(exit_of(second.holder), 1);
	assert_int_equal(say_hello(&h), 0);
	held_stop(&h);
	held_end(&h);
}

static void what_a_killed_fabricfs_left_mounted_is_replaced(void **state)
{
	struct held h;
	struct stat st;
	struct pollfd end = { .events = POLLIN };
	pid_t worker;

	(void)state;
	held_begin(&h, "serves");
	assert_int_equal(held_start(&h), HOLDER_READY);
	children(&h, &worker);
	end.fd = pidfd_open(worker, 0);
	assert_true(end.fd >= 0);
	kill(h.holder, SIGKILL);
	kill(worker, SIGKILL);
	assert_int_equal(exit_of(h.holder), 128 + SIGKILL);
	/* The worker is init's now, which does not tell us of its end. */
	assert_int_equal(poll(&end, 1, -1), 1);
	close(end.fd);
	assert_int_equal(stat(h.mnt, &st), -1);
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(held_start(&h), HOLDER_READY);
	assert_int_equal(say_hello(&h), 0);
	held_stop(&h);
	held_end(&h);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		timed(unmounting_from_outside_ends_it),
		timed(busy_mount_is_detached_and_its_users_get_an_error),
		timed(mount_of_somebody_else_above_ours_is_left_alone),
		timed(worker_that_cannot_start_is_told_with_its_sentence_and_unmounted),
		timed(second_mount_at_the_same_place_is_refused),
		timed(what_a_killed_fabricfs_left_mounted_is_replaced),
	};
	int status = held_main(argc, argv);

	return status >= 0 ? status : cmocka_run_group_tests_name("holder and mount", tests, NULL, NULL);
}
