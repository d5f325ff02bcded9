// SPDX-License-Identifier: Apache-2.0
/* The state folder and its lock: one daemon owns a folder at a time. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
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

static int lock_refused(int fd, const char *dir, struct reason *why)
{
	char text[32] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long pid = n > 0 ? strtol(text, NULL, 10) : 0;

	if (pid > 0)
		return reason_set(why, EBUSY, "the state folder %s is in use by another fabricfs, process %ld: "
				  "unmount that one, or give this one a folder of its own with --state-dir",
				  dir, pid);
	return reason_set(why, EBUSY, "the state folder %s is in use by another fabricfs: "
			  "unmount that one, or give this one a folder of its own with --state-dir", dir);
}

int store_lock(const char *dir, int *lock_fd, struct reason *why)
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
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			return lock_refused(fd, dir, why);
		return reason_set(why, errno, "cannot lock the state folder %s: %s", dir, strerror(errno));
	}

	/* The number is for people; a full disk is no reason to refuse the start. */
	int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());

	if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)n, 0) != n)
		err = 0;
	*lock_fd = STEAL_FD(fd);
	return 0;
}
