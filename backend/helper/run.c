// SPDX-License-Identifier: Apache-2.0
/*
 * The caller's side: start the process between, take the output, keep the time.
 * posix_spawn (a vfork underneath) because the worker has many threads and much
 * memory; everything that needs a fork is done by the process between.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fabricfs/clock.h>
#include <fabricfs/helper.h>

#include "wire.h"

/* Beyond the grace: what the process between may take to clean up. */
#define CLEAN_UP_MS 8000
#define ARGS_MAX 512

struct running {
	pid_t pid;     /* the process between */
	int pid_fd;    /* its pidfd, -1 on kernels without */
	int wire, out;
	pid_t program; /* the program and its group, 0 = not known */
	int stopped;   /* errno for which it was told to stop, 0 = it was not */
	int64_t give_up_ns;
	bool ended;    /* the result has come */
};

static void output_take(struct helper_result *r, const char *bytes, size_t n)
{
	size_t head = HELPER_KEEP - r->head_len < n ? HELPER_KEEP - r->head_len : n;

	memcpy(r->head + r->head_len, bytes, head);
	r->head_len += head;
	r->output += n;
	for (bytes += head, n -= head; n; bytes++, n--)
		r->tail[r->tail_len++ % HELPER_KEEP] = *bytes;
}

void helper_output(const struct helper_result *r, struct buf *out)
{
	buf_add(out, r->head, r->head_len);
	if (r->tail_len > HELPER_KEEP) {
		size_t at = r->tail_len % HELPER_KEEP;

		buf_addf(out, "\n... (%zu bytes left out) ...\n", r->tail_len - HELPER_KEEP);
		buf_add(out, r->tail + at, HELPER_KEEP - at);
		buf_add(out, r->tail, at);
	} else {
		buf_add(out, r->tail, r->tail_len);
	}
}

/* Above the numbers that the child's dup2() fills, whatever this process has closed. */
static int fd_raise(int *fd)
{
	int high = fcntl(*fd, F_DUPFD_CLOEXEC, 10);

	if (high < 0)
		return -errno;
	close(*fd);
	*fd = high;
	return 0;
}

static int helper_spawn(const struct helper_job *job, int null_fd, int out_fd, int wire_fd, pid_t *pid)
{
	char grace[16], rights[24];
	const char *args[ARGS_MAX];
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	size_t n = 0;
	int err;

	snprintf(grace, sizeof(grace), "%u", job->grace_ms ? job->grace_ms : HELPER_GRACE_MS);
	args[n++] = HELPER_NAME;
	snprintf(rights, sizeof(rights), "%" PRIx64, job->rights);
	args[n++] = grace;
	args[n++] = rights;
	for (const char *const *a = job->argv; *a; a++) {
		if (n == ARGS_MAX - 1)
			return -E2BIG;
		args[n++] = *a;
	}
	args[n] = NULL;

	err = posix_spawn_file_actions_init(&files);
	if (err)
		return -err;
	err = posix_spawnattr_init(&attr);
	if (err) {
		posix_spawn_file_actions_destroy(&files);
		return -err;
	}
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	/* Its own session: a ^C for fabricfs in the foreground is not for it. */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (!(err = posix_spawn_file_actions_adddup2(&files, null_fd, 0)) &&
	    !(err = posix_spawn_file_actions_adddup2(&files, out_fd, 1)) &&
	    !(err = posix_spawn_file_actions_adddup2(&files, out_fd, 2)) &&
	    !(err = posix_spawn_file_actions_adddup2(&files, wire_fd, HELPER_FD)))
		err = posix_spawn(pid, job->self_exe, &files, &attr, (char *const *)(uintptr_t)args,
				  (char *const *)(uintptr_t)job->env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -err;
}

static int running_start(const struct helper_job *job, struct running *run)
{
	int null_fd CLEANUP_FD = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int out[2] = { -1, -1 }, wire[2] = { -1, -1 };
	int err = 0;

	if (null_fd < 0 || pipe2(out, O_CLOEXEC) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire))
		err = -errno;
	if (!err)
		err = fd_raise(&null_fd);
	if (!err)
		err = fd_raise(&out[1]);
	if (!err)
		err = fd_raise(&wire[1]);
	if (!err && fcntl(out[0], F_SETFL, O_NONBLOCK))
		err = -errno;
	if (!err)
		err = helper_spawn(job, null_fd, out[1], wire[1], &run->pid);
	if (out[1] >= 0)
		close(out[1]);
	if (wire[1] >= 0)
		close(wire[1]);
	run->out = out[0];
	run->wire = wire[0];
	if (!err)
		run->pid_fd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	return err;
}

/* Read what has come; true when no more can come. */
static bool output_read(struct running *run, struct helper_result *result)
{
	char bytes[16384];

	/* A few times at most, so that a program that prints without end does not
	 * keep us from the clock. */
	for (int i = 0; i < 16; i++) {
		ssize_t n = read(run->out, bytes, sizeof(bytes));

		if (n == 0)
			return true;
		if (n < 0)
			return errno != EAGAIN && errno != EINTR;
		output_take(result, bytes, (size_t)n);
	}
	return false;
}

/* False: the process between is gone without a result. */
static bool wire_read(struct running *run, struct helper_result *result)
{
	struct helper_msg msg;
	ssize_t n = recv(run->wire, &msg, sizeof(msg), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n != sizeof(msg))
		return false;
	if (msg.kind == HELPER_MSG_STARTED) {
		run->program = msg.pid;
		return true;
	}
	result->end = msg.end;
	result->code = msg.code;
	result->strays = msg.strays;
	result->immortal = msg.immortal;
	run->ended = true;
	return true;
}

static void running_stop(struct running *run, const struct helper_job *job, int err)
{
	unsigned grace_ms = job->grace_ms ? job->grace_ms : HELPER_GRACE_MS;
	char word = HELPER_STOP;

	run->stopped = err;
	run->give_up_ns = clock_mono_ns() + (int64_t)(grace_ms + CLEAN_UP_MS) * 1000000;
	while (send(run->wire, &word, 1, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

/* Until the result is there (0), or the process between is lost (-EIO). */
static int running_wait(const struct helper_job *job, struct running *run, struct helper_result *result)
{
	while (!run->ended) {
		struct pollfd p[3] = { { .fd = run->wire, .events = POLLIN }, { .fd = run->out, .events = POLLIN },
				       { .fd = run->stopped ? -1 : job->cancel_fd, .events = POLLIN } };
		int64_t until = run->stopped ? run->give_up_ns : job->deadline_ns;
		int wait_ms = -1;

		if (until) {
			int64_t left = until - clock_mono_ns();

			if (left <= 0 && run->stopped)
				return -EIO;
			if (left <= 0) {
				running_stop(run, job, ETIMEDOUT);
				continue;
			}
			wait_ms = left / 1000000 < 3600000 ? (int)(left / 1000000) + 1 : 3600000;
		}
		if (poll(p, 3, wait_ms) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents && output_read(run, result)) {
			close(run->out);
			run->out = -1;
		}
		if (p[0].revents && !wire_read(run, result))
			return -EIO;
		if (p[2].revents && !run->ended)
			running_stop(run, job, ECANCELED);
	}
	/* All writers are dead: what the pipe holds is all there is. */
	if (run->out >= 0)
		output_read(run, result);
	return 0;
}

static void running_finish(struct running *run)
{
	if (run->wire >= 0)
		close(run->wire);
	if (run->out >= 0)
		close(run->out);
	if (run->pid > 0) {
		if (!run->ended) {
			if (run->pid_fd >= 0)
				syscall(SYS_pidfd_send_signal, run->pid_fd, SIGKILL, NULL, 0);
			/* Its group at least; PDEATHSIG has the program itself. */
			if (run->program > 1)
				kill(-run->program, SIGKILL);
		}
		while (waitpid(run->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (run->pid_fd >= 0)
		close(run->pid_fd);
}

static int not_started(const struct helper_job *job, int err, struct reason *why)
{
	if (err == ENOENT || err == ENOTDIR)
		return reason_set(why, ENOPKG, "the program %s is not installed", job->argv[0]);
	if (err == ENOEXEC)
		return reason_set(why, ENOEXEC, "%s is neither a program nor a script that begins with #!",
				  job->argv[0]);
	return reason_set(why, err, "cannot start %s: %s", job->argv[0], strerror(err));
}

int helper_run(const struct helper_job *job, struct helper_result *result, struct reason *why)
{
	struct running run = { .pid_fd = -1, .wire = -1, .out = -1 };
	int err;

	memset(result, 0, sizeof(*result));
	if (!job->argv || !job->argv[0] || !*job->argv[0])
		return reason_set(why, EINVAL, "there is no program to run");
	err = running_start(job, &run);
	if (err) {
		running_finish(&run);
		return reason_set(why, -err, "cannot start the helper process for %s: %s", job->argv[0],
				  strerror(-err));
	}
	err = running_wait(job, &run, result);
	running_finish(&run);
	if (run.stopped == ETIMEDOUT)
		return reason_set(why, ETIMEDOUT, "%s did not end in time and was stopped", job->argv[0]);
	if (run.stopped)
		return reason_set(why, run.stopped, "%s was stopped", job->argv[0]);
	if (err)
		return reason_set(why, -err, "the helper process that ran %s was killed", job->argv[0]);
	if (result->end == HELPER_NOT_STARTED)
		return not_started(job, result->code, why);
	return 0;
}
