// SPDX-License-Identifier: Apache-2.0
/* The state folder and its lock: one daemon owns a folder at a time. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "store_in.h"

/* Missing parents ($XDG_STATE_HOME on a fresh account) are made too, as private
 * as the folder itself unless root makes them for everybody. */
static int folder_make(const char *dir, struct reason *why)
{
	char path[PATH_MAX];
	mode_t parent = geteuid() ? 0700 : 0755;

	if (!*dir)
		return reason_set(why, EINVAL, "the state folder has an empty name");
	if (!text_copy(path, sizeof(path), dir))
		return reason_set(why, ENAMETOOLONG, "the name of the state folder is too long: %s", dir);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/' || p[1] == '/' || !p[1])
			continue;
		*p = '\0';
		if (mkdir(path, parent) && errno != EEXIST)
			return reason_set(why, errno, "cannot make %s for the state folder %s: %s", path,
					  dir, strerror(errno));
		*p = '/';
	}
	if (mkdir(path, 0700) && errno != EEXIST)
		return reason_set(why, errno, "cannot make the state folder %s: %s", dir,
				  strerror(errno));
	return 0;
}

/* The number and the mount point that store_lock_note() left; where is "" when it did not. */
static long lock_holder(int fd, char *where, size_t size)
{
	char text[PATH_MAX + 32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	char *from, *end;

	*where = '\0';
	if (n <= 0)
		return 0;
	text[n] = '\0';
	from = strchr(text, '\n');
	end = from ? strchr(from + 1, '\n') : NULL;
	if (end) {
		*end = '\0';
		if (from[1] != '/' || !text_copy(where, size, from + 1))
			*where = '\0';
	}
	return strtol(text, NULL, 10);
}

static int lock_refused(int fd, const char *dir, struct reason *why)
{
	char where[PATH_MAX];
	long pid = lock_holder(fd, where, sizeof(where));

	/* A killed holder leaves its worker, which serves on and has the lock. */
	if (pid > 0 && *where && kill((pid_t)pid, 0) && errno == ESRCH)
		return reason_set(why, EBUSY, "the state folder %s is in use by what process %ld, which was "
				  "killed, left serving %s: unmount that (umount %s), then start again",
				  dir, pid, where, where);
	if (pid > 0)
		return reason_set(why, EBUSY, "the state folder %s is in use by another fabricfs, process %ld%s%s: "
				  "unmount that one, or give this one a folder of its own with --state-dir",
				  dir, pid, *where ? ", mounted on " : "", where);
	return reason_set(why, EBUSY, "the state folder %s is in use by another fabricfs: "
			  "unmount that one, or give this one a folder of its own with --state-dir", dir);
}

static void alarm_rings(int sig)
{
	(void)sig; /* it is there to end a system call */
}

/* flock() with an end. 0 or -errno; EWOULDBLOCK: still taken. */
static int lock_within(int fd, int wait_ms)
{
	struct itimerval timer = { .it_value = { wait_ms / 1000, wait_ms % 1000 * 1000 } }, off = { 0 };
	struct sigaction rings = { .sa_handler = alarm_rings }, before;
	int err;

	if (!flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno != EWOULDBLOCK || wait_ms <= 0)
		return -errno;
	sigaction(SIGALRM, &rings, &before);
	setitimer(ITIMER_REAL, &timer, NULL);
	err = flock(fd, LOCK_EX) ? errno : 0;
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &before, NULL);
	return err == EINTR ? -EWOULDBLOCK : -err;
}

void store_lock_note(int lock_fd, const char *mountpoint)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "%ld\n%s\n", (long)getpid(), mountpoint);
	/* It is only for others to read: what cannot be written is not there. */
	if (!buf_ok(&b) && !ftruncate(lock_fd, 0) && pwrite(lock_fd, b.data, b.len, 0) < 0)
		buf_clear(&b);
	buf_free(&b);
}

bool store_lock_where(const char *dir, char *mountpoint, size_t size)
{
	int dir_fd CLEANUP_FD = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd CLEANUP_FD = dir_fd < 0 ? -1 : openat(dir_fd, "lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return false;
	lock_holder(fd, mountpoint, size);
	return *mountpoint;
}

int store_lock(const char *dir, int *lock_fd, struct reason *why)
{
	return store_lock_wait(dir, 0, lock_fd, why);
}

int store_lock_wait(const char *dir, int wait_ms, int *lock_fd, struct reason *why)
{
	int dir_fd CLEANUP_FD = -1;
	int fd CLEANUP_FD = -1;
	char pid[32];
	int err;

	err = folder_make(dir, why);
	if (err)
		return err;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0 && errno == ENOTDIR)
		return reason_set(why, ENOTDIR, "the state folder %s is not a folder", dir);
	if (dir_fd < 0)
		return reason_set(why, errno, "cannot open the state folder %s: %s", dir, strerror(errno));
	fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return reason_set(why, errno, "the state folder %s is not writable (%s): make it so, or name "
				  "another one with --state-dir", dir, strerror(errno));
	err = lock_within(fd, wait_ms);
	if (err == -EWOULDBLOCK)
		return lock_refused(fd, dir, why);
	if (err)
		return reason_set(why, -err, "cannot lock the state folder %s: %s", dir, strerror(-err));

	/* The number is for people; a full disk is no reason to refuse the start. */
	int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());

	if (!ftruncate(fd, 0))
		(void)!pwrite(fd, pid, (size_t)n, 0);
	*lock_fd = STEAL_FD(fd);
	return 0;
}
