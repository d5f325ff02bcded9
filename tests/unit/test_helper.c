// SPDX-License-Identifier: Apache-2.0
/* Running programs of others: what they get, and that nothing of them is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <fabricfs/clock.h>
#include <fabricfs/helper.h>

#define SECONDS INT64_C(1000000000)
#define NOTED "/tmp/test-helper-XXXXXX"

static const char *const plain_env[] = { "PATH=/usr/bin:/bin", "LANG=C", NULL };

static const char *command(const char *name)
{
	static char path[2][4096];
	static int turn;
	char relative[256];

	snprintf(relative, sizeof(relative), "tests/data/commands/%s", name);
	turn = !turn;
	if (!realpath(relative, path[turn]))
		fail_msg("%s: run this test from the top of the source", relative);
	return path[turn];
}

static struct helper_job job_of(const char *const *argv)
{
	return (struct helper_job){ .self_exe = "/proc/self/exe", .argv = argv, .env = plain_env, .cancel_fd = -1,
				    .deadline_ns = clock_mono_ns() + 20 * SECONDS, .grace_ms = 200 };
}

static void output_is(const struct helper_result *r, const char *want)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	helper_output(r, &b);
	assert_string_equal(b.data ? b.data : "", want);
}

/* A file that a script writes process numbers to, made empty. */
static void noted_make(char path[32])
{
	snprintf(path, 32, NOTED);

	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
}

static void noted_are_dead(const char *path, int want)
{
	FILE *f = fopen(path, "re");
	int pid, n = 0;

	assert_non_null(f);
	while (fscanf(f, "%d", &pid) == 1) {
		n++;
		if (!kill(pid, 0))
			fail_msg("process %d is still there", pid);
		assert_int_equal(errno, ESRCH);
	}
	fclose(f);
	assert_int_equal(n, want);
	unlink(path);
}

static void the_exit_status_and_both_outputs_are_told(void **state)
{
	const char *argv[] = { "/bin/sh", "-c", "echo out; echo err >&2; exit 3", NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;

	(void)state;
	assert_int_equal(helper_run(&job, &r, NULL), 0);
	assert_int_equal(r.end, HELPER_EXITED);
	assert_int_equal(r.code, 3);
	assert_int_equal(r.strays, 0);
	output_is(&r, "out\nerr\n");
}

static void a_death_by_signal_is_told_with_its_number(void **state)
{
	const char *argv[] = { command("dies"), "SEGV", NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;

	(void)state;
	assert_int_equal(helper_run(&job, &r, NULL), 0);
	assert_int_equal(r.end, HELPER_SIGNALLED);
	assert_int_equal(r.code, SIGSEGV);
	output_is(&r, "something is wrong with the cable\n");
}

static void a_missing_program_is_ENOPKG_and_named(void **state)
{
	const char *absolute[] = { "/nowhere/loader", NULL };
	const char *in_path[] = { "no-such-loader", NULL };
	struct helper_job job = job_of(absolute);
	struct helper_result r;
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(helper_run(&job, &r, &why), -ENOPKG);
	assert_non_null(strstr(why.text, "/nowhere/loader"));
	job.argv = in_path;
	assert_int_equal(helper_run(&job, &r, &why), -ENOPKG);
	assert_non_null(strstr(why.text, "no-such-loader"));
}

static void a_file_that_is_no_program_is_not_given_to_a_shell(void **state)
{
	char path[32];
	const char *argv[] = { path, NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;
	int fd;

	(void)state;
	noted_make(path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(fd, "echo shell\n", 11), 11);
	fchmod(fd, 0644);
	assert_int_equal(helper_run(&job, &r, NULL), -EACCES);
	fchmod(fd, 0755);
	close(fd);
	assert_int_equal(helper_run(&job, &r, NULL), -ENOEXEC);
	assert_int_equal(r.output, 0);
	unlink(path);
}

static void a_bare_name_is_looked_up_in_the_path_given(void **state)
{
	const char *argv[] = { "exits", "4", NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;
	char path[4200];
	const char *env[] = { path, NULL };

	(void)state;
	snprintf(path, sizeof(path), "PATH=/nowhere:%s", command("exits"));
	*strrchr(path, '/') = '\0';
	strncat(path, ":/usr/bin:/bin", sizeof(path) - strlen(path) - 1);
	job.env = env;
	assert_int_equal(helper_run(&job, &r, NULL), 0);
	assert_int_equal(r.code, 4);
}

static void a_program_finds_nothing_of_ours_around_itself(void **state)
{
	const char *argv[] = { command("surroundings"), NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;
	struct buf b CLEANUP_BUF = BUF_INIT;
	int fd = open("/etc/passwd", O_RDONLY); /* on purpose without O_CLOEXEC */

	(void)state;
	assert_true(fd >= 0);
	setenv("SECRET", "1", 1);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(helper_run(&job, &r, NULL), 0);
	close(fd);
	unsetenv("SECRET");
	helper_output(&r, &b);
	if (strstr(b.data, "/\n/dev/null\n0\n1\n2\n3\nNoNewPrivs: 1\n") != b.data)
		fail_msg("%s", b.data);
	assert_null(strstr(b.data, "SECRET"));
	assert_non_null(strstr(b.data, "LANG=C\n"));
}

static void of_a_megabyte_the_beginning_and_the_end_are_kept(void **state)
{
	const char *argv[] = { command("prints-a-megabyte"), NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	assert_int_equal(helper_run(&job, &r, NULL), 0);
	assert_int_equal(r.output, 6 + 1048576 + 1 + 5);
	helper_output(&r, &b);
	assert_in_range(b.len, 2 * HELPER_KEEP, 2 * HELPER_KEEP + 64);
	assert_memory_equal(b.data, "first\nxxx", 9);
	assert_memory_equal(b.data + b.len - 9, "xxx\nlast\n", 9);
	assert_non_null(strstr(b.data, "bytes left out"));
}

static void a_program_that_hangs_is_stopped_at_its_deadline(void **state)
{
	const char *argv[] = { command("hang"), NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;
	int64_t began = clock_mono_ns();

	(void)state;
	job.deadline_ns = began + SECONDS / 2;
	assert_int_equal(helper_run(&job, &r, NULL), -ETIMEDOUT);
	assert_in_range(clock_mono_ns() - began, SECONDS / 2, 5 * SECONDS);
	assert_int_equal(r.end, HELPER_SIGNALLED);
	assert_int_equal(r.code, SIGTERM);
	output_is(&r, "waiting for the card\n");
}

static void a_program_that_ignores_SIGTERM_is_killed_with_its_children(void **state)
{
	char noted[32];
	const char *argv[] = { command("ignore-term"), noted, NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;

	(void)state;
	noted_make(noted);
	job.deadline_ns = clock_mono_ns() + SECONDS;
	assert_int_equal(helper_run(&job, &r, NULL), -ETIMEDOUT);
	assert_int_equal(r.end, HELPER_SIGNALLED);
	assert_int_equal(r.code, SIGKILL);
	noted_are_dead(noted, 2);
}

static void a_program_may_tidy_up_within_the_grace(void **state)
{
	char noted[32], text[16] = "";
	const char *argv[] = { command("ends-on-term"), noted, NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;
	int fd;

	(void)state;
	noted_make(noted);
	job.deadline_ns = clock_mono_ns() + SECONDS / 2;
	job.grace_ms = 10000;
	assert_int_equal(helper_run(&job, &r, NULL), -ETIMEDOUT);
	assert_int_equal(r.end, HELPER_EXITED);
	assert_int_equal(r.code, 9);
	fd = open(noted, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "tidied\n");
	close(fd);
	unlink(noted);
}

static void children_left_behind_do_not_outlive_the_program(void **state)
{
	char noted[32];
	const char *argv[] = { command("leaves-children"), noted, NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;
	int64_t began = clock_mono_ns();

	(void)state;
	noted_make(noted);
	assert_int_equal(helper_run(&job, &r, NULL), 0);
	assert_true(clock_mono_ns() - began < 5 * SECONDS);
	assert_int_equal(r.end, HELPER_EXITED);
	assert_int_equal(r.code, 0);
	assert_int_equal(r.strays, 2);
	assert_int_equal(r.immortal, 0);
	output_is(&r, "done\n");
	noted_are_dead(noted, 2);
}

static void a_readable_cancel_fd_ends_the_program(void **state)
{
	const char *argv[] = { command("hang"), NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;
	struct reason why = { 0 };
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	job.cancel_fd = fds[0];
	assert_int_equal(helper_run(&job, &r, &why), -ECANCELED);
	close(fds[0]);
	close(fds[1]);
}

/* The number of the first process whose parent is `parent`, 0 = none. */
static int child_of(int parent)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int found = 0;

	while (!found && (e = readdir(d))) {
		char path[300], text[512] = "";
		int fd, ppid = 0;
		const char *end;

		if (*e->d_name < '1' || *e->d_name > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		close(fd);
		end = strrchr(text, ')');
		if (end && sscanf(end, ") %*c %d", &ppid) == 1 && ppid == parent)
			found = (int)strtol(e->d_name, NULL, 10);
	}
	closedir(d);
	return found;
}

/* Wait (on the clock of the kernel, not forever) until the script has written n numbers. */
static void noted_wait(const char *path, int want)
{
	int64_t until = clock_mono_ns() + 10 * SECONDS;

	while (clock_mono_ns() < until) {
		FILE *f = fopen(path, "re");
		int pid, n = 0;

		while (f && fscanf(f, "%d", &pid) == 1)
			n++;
		if (f)
			fclose(f);
		if (n >= want)
			return;
		poll(NULL, 0, 10);
	}
	fail_msg("the script did not begin");
}

static void gone_wait(int pid)
{
	int64_t until = clock_mono_ns() + 10 * SECONDS;

	while (!kill(pid, 0) && clock_mono_ns() < until)
		poll(NULL, 0, 10);
}

static void nothing_outlives_a_caller_killed_with_9(void **state)
{
	char noted[32];
	const char *argv[] = { command("ignore-term"), noted, NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;
	pid_t caller;
	int between;

	(void)state;
	noted_make(noted);
	caller = fork();
	if (!caller) {
		helper_run(&job, &r, NULL);
		_exit(0);
	}
	noted_wait(noted, 2);
	between = child_of(caller);
	assert_true(between > 0);
	kill(caller, SIGKILL);
	waitpid(caller, NULL, 0);
	gone_wait(between);
	noted_are_dead(noted, 2);
}

static void *helper_killer(void *arg)
{
	noted_wait(arg, 2);
	kill(child_of(getpid()), SIGKILL);
	return NULL;
}

static void a_killed_helper_is_EIO_and_takes_the_program_with_it(void **state)
{
	char noted[32];
	const char *argv[] = { command("ignore-term"), noted, NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;
	pthread_t killer;
	FILE *f;
	int pid;

	(void)state;
	noted_make(noted);
	/* Whom the program leaves comes to us, so that it can be waited for. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	assert_int_equal(pthread_create(&killer, NULL, helper_killer, noted), 0);
	assert_int_equal(helper_run(&job, &r, NULL), -EIO);
	pthread_join(killer, NULL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	f = fopen(noted, "re");
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	fclose(f);
	noted_are_dead(noted, 2);
}

static void *run_one(void *arg)
{
	const char *argv[] = { "/bin/sh", "-c", "exit 7", NULL };
	struct helper_job job = job_of(argv);
	struct helper_result r;

	*(int *)arg = helper_run(&job, &r, NULL) ? -1 : r.code;
	return NULL;
}

static void many_run_at_once_without_mixing(void **state)
{
	pthread_t threads[16];
	int codes[16] = { 0 };

	(void)state;
	for (int i = 0; i < 16; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_one, &codes[i]), 0);
	for (int i = 0; i < 16; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 16; i++)
		assert_int_equal(codes[i], 7);
}

static int fds_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void no_descriptor_and_no_child_is_left(void **state)
{
	const char *good[] = { "/bin/true", NULL }, *missing[] = { "/nowhere", NULL };
	struct helper_job job = job_of(good);
	struct helper_result r;
	int before = fds_open();

	(void)state;
	for (int i = 0; i < 10; i++) {
		job.argv = i & 1 ? good : missing;
		helper_run(&job, &r, NULL);
	}
	assert_int_equal(fds_open(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_exit_status_and_both_outputs_are_told),
		cmocka_unit_test(a_death_by_signal_is_told_with_its_number),
		cmocka_unit_test(a_missing_program_is_ENOPKG_and_named),
		cmocka_unit_test(a_file_that_is_no_program_is_not_given_to_a_shell),
		cmocka_unit_test(a_bare_name_is_looked_up_in_the_path_given),
		cmocka_unit_test(a_program_finds_nothing_of_ours_around_itself),
		cmocka_unit_test(of_a_megabyte_the_beginning_and_the_end_are_kept),
		cmocka_unit_test(a_program_that_hangs_is_stopped_at_its_deadline),
		cmocka_unit_test(a_program_that_ignores_SIGTERM_is_killed_with_its_children),
		cmocka_unit_test(a_program_may_tidy_up_within_the_grace),
		cmocka_unit_test(children_left_behind_do_not_outlive_the_program),
		cmocka_unit_test(a_readable_cancel_fd_ends_the_program),
		cmocka_unit_test(nothing_outlives_a_caller_killed_with_9),
		cmocka_unit_test(a_killed_helper_is_EIO_and_takes_the_program_with_it),
		cmocka_unit_test(many_run_at_once_without_mixing),
		cmocka_unit_test(no_descriptor_and_no_child_is_left),
	};

	if (argc > 0 && !strcmp(argv[0], HELPER_NAME))
		return helper_main(argc, argv);
	/* A process that is left would be waited for without end: fail instead. */
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
