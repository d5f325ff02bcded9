// SPDX-License-Identifier: Apache-2.0
/* The holder and its workers: they die, and nobody notices, or all get an error. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "fs/daemon/suspect.h"
#include "tests/unit/holder_fixture.h"

#include <fabricfs/clock.h>

static void ready_means_that_the_mount_answers_and_term_ends_it(void **state)
{
	struct held h;
	pid_t worker;

	(void)state;
	held_begin(&h, "serves");
	assert_int_equal(held_start(&h), HOLDER_READY);
	assert_true(mounted(&h));
	assert_int_equal(say_hello(&h), 0);
	assert_int_equal(children(&h, &worker), 1);
	held_stop(&h);
	assert_int_equal(kill(worker, 0), -1);
	assert_int_equal(marks(&h, "starts-fresh"), 1);
	assert_int_equal(marks(&h, "starts"), 0);
	held_end(&h);
}

static void reader_notices_nothing_of_fifty_killed_workers(void **state)
{
	struct held h;
	pid_t worker, reader;
	int done[2];

	(void)state;
	held_begin(&h, "serves");
	assert_int_equal(held_start(&h), HOLDER_READY);
	assert_int_equal(pipe2(done, O_CLOEXEC), 0);
	reader = fork();
	if (!reader) {
		struct pollfd p = { .fd = done[0], .events = POLLIN };
		int bad = 0;

		close(done[1]);
		while (!poll(&p, 1, 0))
			bad |= say_hello(&h) || act(&h, "x");
		_exit(bad);
	}
	close(done[0]);
	for (int i = 0; i < 50; i++) {
		/* Each lives until it has done something. */
		long before = marks(&h, "acts");

		until_marks(&h, "acts", before + 1 + i % 5);
		assert_int_equal(children(&h, &worker), 1);
		kill(worker, SIGKILL);
		until_marks(&h, "starts", i + 1);
	}
	close(done[1]);
	assert_int_equal(exit_of(reader), 0);
	assert_int_equal(say_hello(&h), 0);
	assert_int_equal(marks(&h, "starts-fresh"), 1);
	held_stop(&h);
	held_end(&h);
}

static void request_is_done_once_whenever_the_worker_dies(void **state)
{
	struct held h;

	(void)state;
	held_begin(&h, "serves");
	assert_int_equal(held_start(&h), HOLDER_READY);
	assert_int_equal(act(&h, "before"), 0);
	assert_int_equal(marks(&h, "acts"), 1);
	assert_int_equal(marks(&h, "repeated"), 0);
	assert_int_equal(act(&h, "after"), 0);
	assert_int_equal(marks(&h, "acts"), 2);
	assert_int_equal(marks(&h, "repeated"), 1);
	assert_int_equal(marks(&h, "starts"), 2);
	held_stop(&h);
	held_end(&h);
}

static void waiting_reader_is_handed_on_to_the_successor(void **state)
{
	struct held h;
	char path[PATH_MAX];
	pid_t worker;

	(void)state;
	held_begin(&h, "serves");
	assert_int_equal(held_start(&h), HOLDER_READY);
	path_in(path, h.mnt, "wait");
	pid_t reader = fork();

	if (!reader) {
		char text[8];
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		_exit(fd < 0 || read(fd, text, sizeof(text)) != 6);
	}
	until_marks(&h, "parked", 1);
	children(&h, &worker);
	kill(worker, SIGKILL);
	until_marks(&h, "parked", 2);
	note(h.dir, "go", "");
	children(&h, &worker);
	kill(worker, SIGKILL);
	assert_int_equal(exit_of(reader), 0);
	held_stop(&h);
	assert_int_equal(marks(&h, "resent-reads"), 1);
	held_end(&h);
}

static void orphans_of_workers_leave_no_zombies(void **state)
{
	struct held h;
	pid_t worker, last;

	(void)state;
	held_begin(&h, "forks");
	assert_int_equal(held_start(&h), HOLDER_READY);
	until_marks(&h, "orphan", 1);
	assert_int_equal(children(&h, &worker), 1);
	kill(worker, SIGKILL);
	until_marks(&h, "orphan", 2);
	assert_int_equal(say_hello(&h), 0);
	assert_int_equal(children(&h, &last), 2); /* the worker, and its predecessor's orphan */
	note(h.dir, "go", "");
	while (children(&h, &last) != 1)
		usleep(1000);
	assert_int_equal(say_hello(&h), 0);
	held_stop(&h);
	held_end(&h);
}

static void crash_loop_is_slowed_down_and_ends_when_a_worker_serves(void **state)
{
	struct held h;
	pid_t worker;

	(void)state;
	held_begin(&h, "crashes");
	assert_int_equal(held_start(&h), HOLDER_READY);
	children(&h, &worker);
	int64_t begin = clock_mono_ns();

	kill(worker, SIGKILL);
	/* At once, then after 10, 20, 40, 80, 160 and 320 ms. */
	until_marks(&h, "starts", 7);
	assert_true(clock_mono_ns() - begin >= INT64_C(630) * 1000000);
	note(h.dir, "well", "");
	assert_int_equal(say_hello(&h), 0);
	held_stop(&h);
	held_end(&h);
}

static void clients_get_an_error_when_no_worker_comes_for_thirty_seconds(void **state)
{
	struct held h;
	pid_t worker;

	(void)state;
	held_begin(&h, "crashes");
	assert_int_equal(held_start(&h), HOLDER_READY);
	children(&h, &worker);
	int64_t begin = clock_mono_ns();

	kill(worker, SIGKILL);
	int err = say_hello(&h);
	int64_t took_s = (clock_mono_ns() - begin) / 1000000000;

	assert_true(err == -ENOTCONN || err == -ECONNABORTED);
	assert_in_range(took_s, 29, 33);
	assert_int_equal(exit_of(h.holder), 1);
	held_end(&h);
}

static void request_that_crashes_every_worker_gets_an_error_and_the_others_are_served(void **state)
{
	struct held h;

	(void)state;
	held_begin(&h, "serves");
	assert_int_equal(held_start(&h), HOLDER_READY);
	int64_t begin = clock_mono_ns();

	assert_int_equal(act(&h, "crash"), -EIO);
	/* Although each of them served: 10, 20 and 40 ms in between. */
	assert_true(clock_mono_ns() - begin >= INT64_C(70) * 1000000);
	assert_int_equal(marks(&h, "starts"), SUSPECT_CRASHES);
	assert_int_equal(say_hello(&h), 0);
	assert_int_equal(act(&h, "x"), 0);
	held_stop(&h);
	held_end(&h);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		timed(ready_means_that_the_mount_answers_and_term_ends_it),
		timed(reader_notices_nothing_of_fifty_killed_workers),
		timed(request_is_done_once_whenever_the_worker_dies),
		timed(waiting_reader_is_handed_on_to_the_successor),
		timed(orphans_of_workers_leave_no_zombies),
		timed(crash_loop_is_slowed_down_and_ends_when_a_worker_serves),
		timed(request_that_crashes_every_worker_gets_an_error_and_the_others_are_served),
		timed(clients_get_an_error_when_no_worker_comes_for_thirty_seconds),
	};
	int status = held_main(argc, argv);

	return status >= 0 ? status : cmocka_run_group_tests_name("holder and workers", tests, NULL, NULL);
}
