// SPDX-License-Identifier: Apache-2.0
/*
 * Starting the process of a simulated card (spawn.h).
 *
 * Whoever starts it makes the listening socket and hands it over, so there is
 * nothing to wait for: the connection is taken as soon as the process looks.
 * A lock file keeps two starters apart; a socket file nobody listens to is a
 * leftover of a process that was killed.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto.h"
#include "spawn.h"

#include <fabricfs/buf.h>
#include <fabricfs/sim_card.h>

#define LISTEN_FD 3 /* as sim_card_main() expects them: that of the card, */
#define FOLDER_FD 4
#define SLOTS_FD  5 /* and those of its slots */

/* slot -1: the card's own. */
static void socket_name(unsigned dev, int slot, char name[32])
{
	if (slot < 0)
		snprintf(name, 32, "card-%u.sock", dev);
	else
		snprintf(name, 32, "card-%u.%d.sock", dev, slot);
}

static int address(const struct card_host *host, int slot, struct sockaddr_un *to)
{
	char name[32];

	socket_name(host->dev, slot, name);
	*to = (struct sockaddr_un){ .sun_family = AF_UNIX };
	/* By way of the folder's descriptor: its path may be longer than an address. */
	return snprintf(to->sun_path, sizeof(to->sun_path), "/proc/self/fd/%d/%s", host->run_dir,
			name) < (int)sizeof(to->sun_path) ? 0 : -ENAMETOOLONG;
}

static int try_connect(const struct card_host *host, int *sock)
{
	struct sockaddr_un to;
	int fd CLEANUP_FD = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int err = address(host, host->slot, &to);

	if (fd < 0)
		return -errno;
	if (err)
		return err;
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	*sock = STEAL_FD(fd);
	return 0;
}

/* What the process may know of our environment: what is meant for this program and for the
 * run-time of a test build. Others keep secrets there. */
static void environment(char *out[], size_t max)
{
	static const char *const kept[] = { "ASAN_OPTIONS=", "LSAN_OPTIONS=", "UBSAN_OPTIONS=",
					    "TSAN_OPTIONS=", "LD_LIBRARY_PATH=", "FABRICFS_" };
	size_t n = 0;

	for (char **e = environ; e && *e; e++)
		for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
			if (n + 1 < max && strncmp(*e, kept[i], strlen(kept[i])) == 0)
				out[n++] = *e;
	out[n] = NULL;
}

/* A socket that listens under the name of the card or slot; -errno. */
static int listener(const struct card_host *host, int slot)
{
	struct sockaddr_un to;
	char name[32];
	int fd CLEANUP_FD = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int err = address(host, slot, &to);

	if (err)
		return err;
	socket_name(host->dev, slot, name);
	if (unlinkat(host->run_dir, name, 0) < 0 && errno != ENOENT)
		return -errno;
	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 || listen(fd, 8) < 0)
		return -errno;
	return STEAL_FD(fd);
}

/* listen_fds: of the card, then of its slots; none has a number that one of them will get. */
static int start(const struct card_host *host, const int *listen_fds, unsigned slots, pid_t *child)
{
	char socket[32], count[16];
	char name[] = SIM_CARD_NAME;
	char *argv[] = { name, socket, slots ? count : NULL, NULL };
	char *envp[16];
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int err;

	/* Out of the way of the numbers they will get. */
	int high_folder CLEANUP_FD = fcntl(host->run_dir, F_DUPFD_CLOEXEC, 16);

	if (high_folder < 0)
		return -errno;
	socket_name(host->dev, -1, socket);
	snprintf(count, sizeof(count), "%u", slots);
	if (posix_spawn_file_actions_init(&files))
		return -ENOMEM;
	if (posix_spawnattr_init(&attr)) {
		posix_spawn_file_actions_destroy(&files);
		return -ENOMEM;
	}
	environment(envp, sizeof(envp) / sizeof(envp[0]));
	sigemptyset(&none);
	sigfillset(&all);
	/* A session of its own: what is typed at the terminal does not reach it. */
	err = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
					      POSIX_SPAWN_SETSIGDEF);
	err = err ? err : posix_spawnattr_setsigmask(&attr, &none);
	err = err ? err : posix_spawnattr_setsigdefault(&attr, &all);
	err = err ? err : posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	err = err ? err : posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	err = err ? err : posix_spawn_file_actions_adddup2(&files, listen_fds[0], LISTEN_FD);
	err = err ? err : posix_spawn_file_actions_adddup2(&files, high_folder, FOLDER_FD);
	for (unsigned i = 0; !err && i < slots; i++)
		err = posix_spawn_file_actions_adddup2(&files, listen_fds[1 + i], SLOTS_FD + (int)i);
	err = err ? err : posix_spawn_file_actions_addclosefrom_np(&files, SLOTS_FD + (int)slots);
	err = err ? err : posix_spawn(child, host->self_exe, &files, &attr, argv, envp);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -err;
}

/* All sockets and the process behind them. */
static int start_listening(const struct card_host *host, unsigned slots, pid_t *child)
{
	int fds[1 + SIM_SLOTS_MAX];
	int err = slots > SIM_SLOTS_MAX ? -EINVAL : 0;

	memset(fds, -1, sizeof(fds));
	for (unsigned i = 0; !err && i <= slots; i++) {
		int low CLEANUP_FD = listener(host, (int)i - 1);

		err = low < 0 ? low : 0;
		/* Out of the way of the numbers that they will get. */
		if (!err)
			fds[i] = fcntl(low, F_DUPFD_CLOEXEC, SLOTS_FD + SIM_SLOTS_MAX);
		if (!err && fds[i] < 0)
			err = -errno;
	}
	if (!err)
		err = start(host, fds, slots, child);
	for (unsigned i = 0; i <= SIM_SLOTS_MAX; i++)
		cleanup_fd(&fds[i]);
	return err;
}

int spawn_connect(const struct card_host *host, unsigned slots, int *sock, pid_t *child,
		  struct reason *why)
{
	char name[32];
	int err = try_connect(host, sock);

	if (!err)
		return 0;

	snprintf(name, sizeof(name), "card-%u.lock", host->dev);

	int lock CLEANUP_FD = openat(host->run_dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	/* Held only for the few calls below, and by nobody who died. */
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return reason_set(why, errno, "starting the simulated card: its lock file: %s",
				  strerror(errno));
	err = try_connect(host, sock);
	if (!err)
		return 0;
	if (err != -ENOENT && err != -ECONNREFUSED)
		return reason_set(why, -err, "connecting to the simulated card's process: %s",
				  strerror(-err));
	err = start_listening(host, slots, child);
	if (err)
		return reason_set(why, -err, "starting the simulated card's process (%s): %s",
				  host->self_exe, strerror(-err));
	err = try_connect(host, sock);
	if (err)
		return reason_set(why, -err, "connecting to the simulated card's process just started: %s",
				  strerror(-err));
	return 0;
}

bool spawn_wait(pid_t pid, int ms, char *how, size_t size)
{
	int pidfd CLEANUP_FD = pidfd_open(pid, 0);
	struct pollfd poller = { .fd = pidfd, .events = POLLIN };
	int status = 0;

	if (how)
		how[0] = '\0';
	if (pidfd < 0)
		return errno == ESRCH;
	while (poll(&poller, 1, ms) < 0 && errno == EINTR)
		;
	if (!poller.revents)
		return false;
	/* Not our child if an earlier worker started it; then there is nothing to collect. */
	if (waitpid(pid, &status, WNOHANG) == pid && how) {
		if (WIFSIGNALED(status))
			snprintf(how, size, "by signal %d", WTERMSIG(status));
		else
			snprintf(how, size, "with status %d", WEXITSTATUS(status));
	}
	return true;
}
