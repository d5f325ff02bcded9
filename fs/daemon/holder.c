// SPDX-License-Identifier: Apache-2.0
/*
 * The holder (holder.h).
 *
 * One loop over one poll(): signals, the socket to the present worker, and one
 * deadline. A worker is in one of three conditions: starting (no READY yet),
 * serving, or none (between a death and the next start).
 *
 * The next worker is started only after the last one was reaped: as long as it
 * exists it might still answer a request that the kernel is about to resend.
 */
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/daemon/backings.h"
#include "fs/daemon/holder.h"
#include "fs/daemon/link.h"
#include "fs/daemon/mount.h"
#include "fs/daemon/session.h"

#include <fabricfs/clock.h>
#include <fabricfs/log.h>
#include <fabricfs/store.h>

#define MS_NS INT64_C(1000000)
/* A worker that dies before it served is started again after this, doubled each time. */
#define BACKOFF_FIRST_NS (10 * MS_NS)
#define BACKOFF_MAX_NS (1000 * MS_NS)
/* Clients in D state cannot be killed: after so long without a worker they get an error. */
#define GIVE_UP_NS (30000 * MS_NS)
/* A worker that crashes by itself so soon after its start counts as one that never served:
 * the kernel resends what crashed it, and its successor would meet the same. */
#define PROVEN_NS (1000 * MS_NS)

static struct holder {
	const struct options *options;
	struct holder_files files;
	struct mount mount;
	int fuse_fd, session_fd, signal_fd, link_fd, children_fd;
	pid_t worker;          /* 0 = none */
	bool ready;            /* the present worker serves */
	bool ever_ready;       /* one served: the mount answers */
	bool stopping;
	bool crashed;          /* the last worker ended by a fault of its own */
	int64_t start_ns;      /* none: when to start the next */
	int64_t without_ns;    /* since when nobody serves */
	int64_t kill_ns;       /* stopping: when waiting ends */
	int64_t backoff_ns;
	int64_t started_ns;    /* the present worker */
	int64_t crashing_ns;   /* since when workers only crash, 0 = they do not */
	char oom_before[16];   /* oom_score_adj that workers get back; "" = was not changed */
	char failed[REASON_MAX]; /* sentence of a worker that could not start */
	char *argv[32];
	char numbers[8][16];
} holder;

/* --- saying ----------------------------------------------------------------------------- */

/* As log_msg(), which allocates. */
__attribute__((format(printf, 2, 3))) static void say(enum log_level level, const char *fmt, ...)
{
	char text[REASON_MAX + 256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	if (!holder.options->foreground) {
		syslog((int)level, "%s", text);
		return;
	}
	char line[sizeof(text) + 32];
	int n = isatty(STDERR_FILENO) ? snprintf(line, sizeof(line), "fabricfs: %s\n", text)
				      : snprintf(line, sizeof(line), "<%d>fabricfs: %s\n", (int)level, text);

	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nowhere is left to say it */
}

/* To the process that the user started; it ends by this. */
static void report(char word, const char *text)
{
	char message[1 + REASON_MAX];
	size_t n = strnlen(text, REASON_MAX);

	if (holder.files.report_fd < 0) {
		if (word == HOLDER_FAILED)
			say(LOG_LEVEL_ERROR, "%s", text);
		return;
	}
	message[0] = word;
	memcpy(message + 1, text, n);
	/* Less than PIPE_BUF: whole or not at all. */
	if (write(holder.files.report_fd, message, 1 + n) < 0)
		say(LOG_LEVEL_WARN, "%s", "the process that started fabricfs is gone");
	close(holder.files.report_fd);
	holder.files.report_fd = -1;
}

/*
 * To systemd, for Type=notify (sd_notify(3); a datagram to the socket it names, '@' is an
 * abstract one): what is started after us finds the mount. Without allocating anything.
 */
static void tell_service(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (len < 2 || len >= sizeof(to.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(to.sun_path, path, len);
	if (*path == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		say(LOG_LEVEL_WARN, "telling the service manager (%s): %s", path, strerror(errno));
	close(fd);
}

/* --- start ------------------------------------------------------------------------------- */

static void arg(unsigned *n, const char *text)
{
	holder.argv[(*n)++] = (char *)text; /* execve() only reads it */
}

static void arg_number(unsigned *n, unsigned *k, const char *name, int value)
{
	char *text = holder.numbers[(*k)++];

	snprintf(text, sizeof(holder.numbers[0]), "%d", value);
	arg(n, name);
	arg(n, text);
}

/* Into memory that is there from the beginning; only the socket differs between workers. */
static void worker_arguments(int link)
{
	const struct options *o = holder.options;
	unsigned n = 0, k = 0;

	arg(&n, "fabricfs-worker");
	arg_number(&n, &k, "--link-fd", link);
	arg_number(&n, &k, "--fuse-fd", holder.fuse_fd);
	arg_number(&n, &k, "--session-fd", holder.session_fd);
	arg_number(&n, &k, "--lock-fd", holder.files.lock_fd);
	if (holder.files.config_fd >= 0)
		arg_number(&n, &k, "--config-fd", holder.files.config_fd);
	arg_number(&n, &k, "--sim", o->sim);
	arg_number(&n, &k, "--threads", o->threads);
	arg(&n, "--state-dir");
	arg(&n, o->state_dir);
	arg(&n, "--mountpoint");
	arg(&n, o->mountpoint);
	if (o->debug)
		arg(&n, "--debug");
	if (!o->foreground)
		arg(&n, "--syslog");
	if (!holder.ever_ready)
		arg(&n, "--fresh");
	if (holder.crashed)
		arg(&n, "--crashed");
	holder.argv[n] = NULL;
}

static int signals_start(struct reason *why)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	holder.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (holder.signal_fd < 0)
		return reason_set(why, errno, "signalfd: %s", strerror(errno));
	return 0;
}

static bool file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* The last to be killed for memory, if we may say so; not so its workers. */
static void protect(void)
{
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, holder.oom_before, sizeof(holder.oom_before) - 1) : 0;

	if (fd >= 0)
		close(fd);
	holder.oom_before[n > 0 ? n : 0] = '\0';
	if (n > 0 && !file_write("/proc/self/oom_score_adj", "-1000"))
		holder.oom_before[0] = '\0';
	/* Once we are not dumpable a user may not open it any more. */
	holder.children_fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_DUMPABLE, 0);
}

/* The caller's terminal or pipe must not be kept; fusermount3 has spoken by now. */
static void stdio_null(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
}

static int holder_start(struct reason *why)
{
	int err;

	holder.fuse_fd = holder.session_fd = holder.link_fd = -1;
	holder.session_fd = session_create();
	if (holder.session_fd < 0)
		return reason_set(why, -holder.session_fd, "the memory of the mount: memfd_create: %s",
				  strerror(-holder.session_fd));
	fcntl(holder.session_fd, F_SETFD, FD_CLOEXEC); /* until a worker is started */
	if ((err = signals_start(why)))
		return err;
	if ((err = mount_make(holder.options, &holder.mount, &holder.fuse_fd, why)))
		return err;
	store_lock_note(holder.files.lock_fd, holder.options->mountpoint);
	protect();
	if (!holder.options->foreground) {
		stdio_null();
		openlog("fabricfs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	}
	return 0;
}

/* --- workers -------------------------------------------------------------------------------- */

static void worker_exec(int link)
{
	const int fds[] = { link, holder.fuse_fd, holder.session_fd, holder.files.lock_fd,
			    holder.files.config_fd };
	sigset_t none;

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			fcntl(fds[i], F_SETFD, 0);
	if (*holder.oom_before)
		file_write("/proc/self/oom_score_adj", holder.oom_before);
	/* The service manager listens to us alone. */
	unsetenv("NOTIFY_SOCKET");
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fexecve(holder.files.exe_fd, holder.argv, environ);
	_exit(127);
}

static void worker_start(void)
{
	int pair[2];

	holder.start_ns = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		say(LOG_LEVEL_ERROR, "starting a worker: socketpair: %s", strerror(errno));
		holder.start_ns = clock_mono_ns() + BACKOFF_MAX_NS;
		return;
	}
	worker_arguments(pair[1]);
	holder.link_fd = pair[0];

	pid_t pid = fork();

	if (!pid)
		worker_exec(pair[1]);
	close(pair[1]);
	if (pid < 0) {
		say(LOG_LEVEL_ERROR, "starting a worker: fork: %s", strerror(errno));
		close(pair[0]);
		holder.link_fd = -1;
		holder.start_ns = clock_mono_ns() + BACKOFF_MAX_NS;
		return;
	}
	holder.worker = pid;
	holder.started_ns = clock_mono_ns();
	holder.ready = false;
}

static void link_close(void)
{
	if (holder.link_fd >= 0)
		close(holder.link_fd);
	holder.link_fd = -1;
}

/* False: there is nothing more to read now. */
static bool link_read(void)
{
	char text[1 + REASON_MAX];
	int fd;
	ssize_t n = link_receive(holder.link_fd, text, sizeof(text) - 1, &fd);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (n <= 0) {
		link_close(); /* its death comes as SIGCHLD */
		return false;
	}
	text[n] = '\0';
	bool backing = backings_message(holder.fuse_fd, holder.link_fd, text, (size_t)n, fd);

	if (fd >= 0)
		close(fd);
	if (backing)
		return true;
	if (text[0] == LINK_FAILED)
		snprintf(holder.failed, sizeof(holder.failed), "%s", text + 1);
	if (text[0] != LINK_READY)
		return true;
	holder.ready = true;
	holder.without_ns = 0;
	if (!holder.ever_ready) {
		holder.ever_ready = true;
		report(HOLDER_READY, "");
		tell_service("READY=1");
		/* What the configuration took; from here on it only waits. */
		malloc_trim(0);
	}
	return true;
}

/*
 * How a worker ended decides what follows. Returns the exit status of the
 * holder, or -1 to go on.
 */
static int worker_ended(int status)
{
	int64_t now = clock_mono_ns();
	bool was_ready;

	/* What it said last may be unread: SIGCHLD and its words come in either order. */
	while (holder.link_fd >= 0 && link_read())
		;
	link_close();
	was_ready = holder.ready;
	holder.worker = 0;
	holder.ready = false;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		if (!holder.ever_ready)
			report(HOLDER_FAILED, "stopped or unmounted before it served");
		return !holder.ever_ready;
	}
	if (holder.stopping)
		return 1;
	if (!holder.ever_ready && WIFEXITED(status)) {
		/* The first start: the user is there to read why. */
		report(HOLDER_FAILED, *holder.failed ? holder.failed : "the worker ended at its start");
		return 1;
	}
	/* Killed from outside is no crash; an abort, a fault or an exit status is (sanitizers exit). */
	holder.crashed = WIFEXITED(status) || (WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM);
	bool crashed = holder.crashed && now - holder.started_ns < PROVEN_NS;

	if (!crashed && was_ready)
		holder.crashing_ns = holder.backoff_ns = 0;
	else if (!holder.crashing_ns)
		holder.crashing_ns = now;
	if (!holder.without_ns)
		holder.without_ns = crashed ? holder.crashing_ns : now;
	if (!crashed && was_ready) {
		holder.start_ns = now;
	} else {
		holder.backoff_ns = holder.backoff_ns ? holder.backoff_ns * 2 : BACKOFF_FIRST_NS;
		if (holder.backoff_ns > BACKOFF_MAX_NS)
			holder.backoff_ns = BACKOFF_MAX_NS;
		holder.start_ns = now + holder.backoff_ns;
	}
	if (WIFSIGNALED(status))
		say(LOG_LEVEL_WARN, "the worker was killed by signal %d%s, starting the next",
		    WTERMSIG(status), was_ready ? "" : " before it served");
	else
		say(LOG_LEVEL_WARN, "the worker ended with status %d%s%s, starting the next",
		    WEXITSTATUS(status), *holder.failed ? ": " : "", holder.failed);
	holder.failed[0] = '\0';
	return -1;
}

/* Also orphans: card processes whose worker died are children of ours then. */
static int reap(void)
{
	int status, end = -1;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == holder.worker)
			end = worker_ended(status);
	return end;
}

/* --- the loop ------------------------------------------------------------------------------------ */

static void stop(void)
{
	char word = LINK_STOP;

	if (holder.stopping)
		return;
	holder.stopping = true;
	tell_service("STOPPING=1");
	holder.kill_ns = clock_mono_ns() + (LINK_STOP_S + 6) * 1000 * MS_NS;
	if (holder.worker && (holder.link_fd < 0 || send(holder.link_fd, &word, 1, MSG_NOSIGNAL) < 0))
		kill(holder.worker, SIGTERM);
}

static int signals_read(void)
{
	struct signalfd_siginfo info;
	bool child = false;

	while (read(holder.signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			child = true;
		else
			stop();
	}
	return child ? reap() : -1;
}

/* The next thing that happens without an event. */
static int64_t deadline(void)
{
	int64_t at = INT64_MAX;

	if (holder.stopping)
		return holder.kill_ns;
	if (!holder.worker && holder.start_ns)
		at = holder.start_ns;
	if (holder.without_ns && holder.without_ns + GIVE_UP_NS < at)
		at = holder.without_ns + GIVE_UP_NS;
	return at;
}

/* Exit status, or -1 to go on. */
static int deadlines(int64_t now)
{
	if (holder.stopping) {
		if (!holder.worker)
			return 0;
		if (now < holder.kill_ns)
			return -1;
		say(LOG_LEVEL_ERROR, "the worker did not end within %d s, killing it", LINK_STOP_S + 6);
		kill(holder.worker, SIGKILL);
		return 1;
	}
	if (holder.without_ns && now >= holder.without_ns + GIVE_UP_NS) {
		say(LOG_LEVEL_ERROR, "no worker served %s for %d s: giving up, its users get an error",
		    holder.options->mountpoint, (int)(GIVE_UP_NS / MS_NS / 1000));
		if (holder.worker)
			kill(holder.worker, SIGKILL);
		mount_abort(&holder.mount);
		if (!holder.ever_ready)
			report(HOLDER_FAILED, "no worker could be started");
		return 1;
	}
	if (!holder.worker && holder.start_ns && now >= holder.start_ns)
		worker_start();
	return -1;
}

static int hold(void)
{
	int end;

	holder.without_ns = clock_mono_ns();
	worker_start();
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = holder.signal_fd, .events = POLLIN },
			{ .fd = holder.link_fd, .events = POLLIN },
		};
		int64_t now = clock_mono_ns(), at = deadline();
		int timeout_ms = at == INT64_MAX ? -1 : at <= now ? 0
				 : (int)((at - now + MS_NS - 1) / MS_NS);
		int n = poll(fds, 2, timeout_ms);

		if (n > 0 && fds[1].revents)
			link_read();
		if (n > 0 && fds[0].revents && (end = signals_read()) >= 0)
			return end;
		if ((end = deadlines(clock_mono_ns())) >= 0)
			return end;
	}
}

/* Card processes that no worker ended; "children" needs CONFIG_PROC_CHILDREN. */
static void orphans_end(void)
{
	char text[4096], *p = text;
	ssize_t n = holder.children_fd >= 0 ? read(holder.children_fd, text, sizeof(text) - 1) : 0;

	text[n > 0 ? n : 0] = '\0';
	for (;;) {
		char *end;
		long pid = strtol(p, &end, 10);

		if (end == p || pid <= 0)
			break;
		kill((pid_t)pid, SIGTERM);
		p = end;
	}
}

int holder_run(const struct options *o, const struct holder_files *files)
{
	struct reason why = { 0 };
	int status;

	holder.options = o;
	holder.files = *files;
	if (holder_start(&why)) {
		report(HOLDER_FAILED, why.text);
		return 1;
	}
	status = hold();
	link_close();
	int err = mount_end(&holder.mount);

	if (err) {
		say(LOG_LEVEL_ERROR, "%s stays mounted: %s", o->mountpoint, strerror(-err));
		status = 1;
	}
	close(holder.fuse_fd);
	orphans_end();
	return status;
}
