// SPDX-License-Identifier: Apache-2.0
/*
 * fabricfs-helper, the process between the worker and a program of somebody
 * else's. It has one thread and waits in one poll(): for children that ended,
 * for the word to stop, for the caller's death, for the end of the grace.
 *
 * It is the child subreaper of all that the program starts: whoever loses his
 * parent becomes its child. So killing its children and waiting, over and over,
 * until there is none left reaches everybody, however often he forked or called
 * setsid().
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fabricfs/clock.h>
#include <fabricfs/helper.h>
#include <fabricfs/rights.h>

#include "wire.h"

/* How long a killed process may take to go; one that waits in a driver may never. */
#define KILL_WAIT_MS 3000

struct between {
	pid_t program;
	bool ended;      /* the program itself has */
	bool alone;      /* the caller is gone: nobody to report to, nothing to be gentle for */
	int sig_fd;
	int64_t kill_ns; /* end of the grace; 0 = nobody said stop */
	struct helper_msg result;
};

static void tell(const struct helper_msg *msg)
{
	while (send(HELPER_FD, msg, sizeof(*msg), MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

/* --- the program's start -------------------------------------------------------- */

/* execvp() would hand a file without #! to a shell; this does not. */
static int program_exec(char **argv)
{
	const char *path = getenv("PATH");
	int err = ENOENT;

	if (strchr(argv[0], '/')) {
		execv(argv[0], argv);
		return errno;
	}
	while (path && *path) {
		size_t len = strcspn(path, ":");
		char file[4096];

		if (len && snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, argv[0]) < (int)sizeof(file)) {
			execv(file, argv);
			if (errno != ENOENT && errno != ENOTDIR)
				err = errno;
		}
		path += len + (path[len] == ':');
	}
	return err;
}

/* In the child: never returns. */
static void program_become(char **argv, pid_t parent, uint64_t rights, int err_fd)
{
	const struct rlimit no_core = { 0, 0 };
	struct rlimit files;
	struct helper_msg started = { .kind = HELPER_MSG_STARTED, .pid = getpid() };
	sigset_t none;
	int err;

	setsid();
	/* Told from here, so that the caller knows whom to kill before there is anybody. */
	tell(&started);
	/* Should the process between be killed, at least the program goes with it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	setrlimit(RLIMIT_CORE, &no_core);
	/* The worker may have raised its own; select() in old tools breaks above 1024. */
	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur > 1024) {
		files.rlim_cur = 1024;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	err = -rights_drop_quietly(0, rights);
	if (!err)
		err = program_exec(argv);
	if (write(err_fd, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

/* 0, or the errno of its start. */
static int program_start(struct between *b, char **argv, uint64_t rights)
{
	pid_t self = getpid();
	int fds[2], err = 0;
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC))
		return errno;
	b->program = fork();
	if (b->program < 0) {
		err = errno;
		close(fds[0]);
		close(fds[1]);
		return err;
	}
	if (!b->program)
		program_become(argv, self, rights, fds[1]);
	close(fds[1]);
	/* The end of the pipe means that exec succeeded and closed it. */
	do {
		n = read(fds[0], &err, sizeof(err));
	} while (n < 0 && errno == EINTR);
	close(fds[0]);
	return n == sizeof(err) ? err : 0;
}

/* --- children -------------------------------------------------------------------- */

/* Take those that ended; false when no child is left at all. */
static bool children_reap(struct between *b)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid == 0)
			return true;
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return false;
		if (pid != b->program)
			continue;
		b->ended = true;
		b->result.end = WIFSIGNALED(status) ? HELPER_SIGNALLED : HELPER_EXITED;
		b->result.code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
	}
}

static pid_t parent_of(int proc_fd, const char *pid)
{
	char path[32], text[512];
	int fd;
	ssize_t n;
	int parent = 0;

	if (snprintf(path, sizeof(path), "%s/stat", pid) >= (int)sizeof(path))
		return 0;
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';

	/* "pid (name) state ppid": the name may hold anything, so from its last bracket. */
	const char *end = strrchr(text, ')');

	return end && sscanf(end, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* Send sig to all children; how many there are. Zombies among them do no harm. */
static unsigned children_signal(int sig)
{
	DIR *proc = opendir("/proc");
	pid_t self = getpid();
	unsigned n = 0;
	struct dirent *e;

	if (!proc)
		return 0;
	while ((e = readdir(proc))) {
		long pid = strtol(e->d_name, NULL, 10);

		if (pid <= 0 || parent_of(dirfd(proc), e->d_name) != self)
			continue;
		n++;
		kill((pid_t)pid, sig);
	}
	closedir(proc);
	return n;
}

/* Wait for news of children, at most until then. */
static void children_wait(struct between *b, int64_t until_ns)
{
	struct signalfd_siginfo info[8];
	struct pollfd p = { .fd = b->sig_fd, .events = POLLIN };
	int64_t left = until_ns - clock_mono_ns();

	if (left > 0 && poll(&p, 1, (int)(left / 1000000) + 1) > 0 && read(b->sig_fd, info, sizeof(info)) < 0)
		return;
}

/* End everybody that is left. Each round, those whose parent was killed become
 * ours and are seen by the next. */
static void children_kill(struct between *b)
{
	int64_t until = clock_mono_ns() + KILL_WAIT_MS * INT64_C(1000000);
	bool program_was_left;

	if (!children_reap(b))
		return;
	program_was_left = !b->ended;
	if (program_was_left)
		kill(-b->program, SIGKILL);
	for (;;) {
		unsigned n = children_signal(SIGKILL);
		unsigned others = n - (program_was_left && n ? 1 : 0);

		if (others > b->result.strays)
			b->result.strays = others;
		children_wait(b, until);
		if (!children_reap(b))
			return;
		if (clock_mono_ns() >= until) {
			b->result.immortal = n;
			return;
		}
	}
}

/* --- the loop ---------------------------------------------------------------------- */

static void stop_begin(struct between *b, unsigned grace_ms)
{
	if (b->kill_ns)
		return;
	b->kill_ns = clock_mono_ns() + grace_ms * INT64_C(1000000);
	kill(-b->program, SIGTERM);
	/* Also those that made themselves a session of their own. */
	children_signal(SIGTERM);
}

static void told(struct between *b, unsigned grace_ms)
{
	char word;
	ssize_t n = recv(HELPER_FD, &word, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n == 1 && word == HELPER_STOP)
		stop_begin(b, grace_ms);
	else
		b->alone = true;
}

static void signals_take(struct between *b)
{
	struct signalfd_siginfo info[8];
	ssize_t n = read(b->sig_fd, info, sizeof(info));

	for (ssize_t i = 0; n > 0 && i < n / (ssize_t)sizeof(*info); i++)
		if (info[i].ssi_signo == SIGTERM)
			b->alone = true; /* PDEATHSIG: our caller's thread is gone */
}

static void serve(struct between *b, unsigned grace_ms)
{
	while (children_reap(b) && !b->ended && !b->alone) {
		struct pollfd p[2] = { { .fd = b->sig_fd, .events = POLLIN },
				       { .fd = HELPER_FD, .events = POLLIN } };
		int wait_ms = -1;

		if (b->kill_ns) {
			int64_t left = b->kill_ns - clock_mono_ns();

			if (left <= 0)
				break;
			wait_ms = (int)(left / 1000000) + 1;
		}
		if (poll(p, 2, wait_ms) < 0 && errno != EINTR)
			break;
		if (p[0].revents)
			signals_take(b);
		if (p[1].revents)
			told(b, grace_ms);
	}
	children_kill(b);
	if (!b->ended) {
		b->result.end = HELPER_SIGNALLED;
		b->result.code = SIGKILL;
	}
}

int helper_main(int argc, char **argv)
{
	struct between b = { .result = { .kind = HELPER_MSG_ENDED } };
	sigset_t all;
	unsigned grace_ms;
	uint64_t rights;
	int err;

	if (argc < 4) {
		fprintf(stderr, HELPER_NAME " is started by fabricfs itself\n");
		return 2;
	}
	grace_ms = (unsigned)strtoul(argv[1], NULL, 10);
	rights = strtoull(argv[2], NULL, 16);
	prctl(PR_SET_NAME, HELPER_NAME);
	close_range(HELPER_FD + 1, ~0U, 0);
	fcntl(HELPER_FD, F_SETFD, FD_CLOEXEC);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	b.sig_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	/* Without these two the promises of helper.h cannot be kept. */
	if (b.sig_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		err = errno;
	else
		err = 0;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	umask(022);
	if (!err && chdir("/"))
		err = errno;
	if (!err)
		err = program_start(&b, argv + 3, rights);
	if (err) {
		children_reap(&b);
		b.result.end = HELPER_NOT_STARTED;
		b.result.code = err;
	} else {
		serve(&b, grace_ms);
	}
	tell(&b.result);
	return 0;
}
