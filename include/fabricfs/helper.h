// SPDX-License-Identifier: Apache-2.0
/*
 * Running a program of somebody else's (an operator's command, a vendor's tool)
 * so that it can neither outlive its time nor its caller, nor hold on to what is
 * fabricfs's.
 *
 * Between the caller and the program stands a process of our own,
 * "fabricfs-helper". It is the reaper of everything the program starts, so a
 * daemonised grandchild is found and ended with it; and it ends all of them when
 * its caller dies, however that happens.
 *
 * The program gets: no shell, a session of its own, stdin /dev/null, stdout and
 * stderr into one pipe, the environment given and nothing else, cwd /, no
 * descriptor above 2, default signals, no core file, of the caller's rights those
 * that the job names, and no_new_privs (setuid programs, sudo among them, gain nothing).
 */
#ifndef FABRICFS_HELPER_H
#define FABRICFS_HELPER_H

#include <stddef.h>
#include <stdint.h>

#include <fabricfs/buf.h>
#include <fabricfs/error.h>

/* argv[0] of the process between, and its name in ps. */
#define HELPER_NAME "fabricfs-helper"
/* Bytes kept of the beginning and of the end of the output; the rest is counted. */
#define HELPER_KEEP 4096
/* Time between SIGTERM and SIGKILL unless said otherwise. */
#define HELPER_GRACE_MS 2000

struct helper_job {
	const char *self_exe;    /* starts this program again, e.g. /proc/self/exe */
	const char *const *argv; /* argv[0]: an absolute path, or a name looked up in the PATH of env */
	const char *const *env;  /* "NAME=value", NULL-terminated */
	int64_t deadline_ns;     /* CLOCK_MONOTONIC; 0 = none */
	int cancel_fd;           /* poll: readable once the run shall end; -1 = none */
	unsigned grace_ms;       /* 0 = HELPER_GRACE_MS */
	uint64_t rights;         /* RIGHT() bits (fabricfs/rights.h) that it may have; 0 = none */
};

enum helper_end {
	HELPER_NOT_STARTED, /* code: errno of its start */
	HELPER_EXITED,      /* code: exit status */
	HELPER_SIGNALLED,   /* code: signal */
};

struct helper_result {
	enum helper_end end;
	int code;
	unsigned strays;   /* descendants that it left and that were killed */
	unsigned immortal; /* of those, the ones that were still there afterwards (in a driver) */
	uint64_t output;   /* bytes that it printed in all */
	size_t head_len, tail_len; /* bytes in head, and after them in tail when more came */
	char head[HELPER_KEEP];
	char tail[HELPER_KEEP];    /* a ring; read it with helper_output() */
};

/*
 * Run it and wait for its end, on the caller's thread. Any thread; several at once.
 * 0: it came to an end by itself, well or not: look at result->end.
 * -ENOPKG: there is no such program; -EACCES, -ENOEXEC: it cannot be executed.
 * -ETIMEDOUT, -ECANCELED: it was ended, at the deadline or through cancel_fd;
 * result tells how it went and what it had printed. -EMFILE, -ENOMEM, -EAGAIN, ...: our own
 * want. -EIO: the process between was killed; then the program and its
 * group are ended, but not what had left the group. Otherwise nothing that was
 * started is left when this returns (but result->immortal).
 */
int helper_run(const struct helper_job *job, struct helper_result *result, struct reason *why);

/* Append what was kept of the output: beginning, "... (N bytes left out) ...", end. */
void helper_output(const struct helper_result *result, struct buf *out);

/*
 * The process between: main() hands over to it when argv[0] is HELPER_NAME,
 * before any thread exists. Returns the exit status.
 */
int helper_main(int argc, char **argv);

#endif
