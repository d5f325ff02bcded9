// SPDX-License-Identifier: Apache-2.0
/*
 * The mount (mount.h).
 *
 * statx() with AT_STATX_DONT_SYNC tells the device of the mounted tree without
 * asking its server, so it is safe while nobody serves; the minor number is the
 * connection's (fs/fuse/inode.c: fuse_conn_init, "dev").
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/daemon/mount.h"

#include <fabricfs/buf.h>
#include <fabricfs/log.h>

#define TYPE "fuse.fabricfs"

/* --- what is there ------------------------------------------------------------------- */

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static bool field_equals(const char *field, size_t n, const char *path)
{
	size_t i = 0;

	for (; i < n && *path; path++) {
		unsigned char c = (unsigned char)field[i];

		if (c == '\\' && i + 3 < n) {
			c = (unsigned char)((field[i + 1] - '0') << 6 | (field[i + 2] - '0') << 3 |
					    (field[i + 3] - '0'));
			i += 3;
		}
		i++;
		if (c != (unsigned char)*path)
			return false;
	}
	return i == n && !*path;
}

bool mount_is_there(const char *path)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line CLEANUP_FREE = NULL;
	size_t size = 0;
	bool ours = false;

	if (!f)
		return false;
	while (getline(&line, &size, f) > 0) {
		/* id parent major:minor root mountpoint options [optional...] - type source options */
		const char *p = line, *type = strstr(line, " - ");

		for (int i = 0; p && i < 4; i++) {
			p = strchr(p, ' ');
			if (p)
				p++;
		}
		if (p && type && field_equals(p, strcspn(p, " "), path))
			ours = !strncmp(type + 3, TYPE " ", strlen(TYPE) + 1);
	}
	fclose(f);
	return ours;
}

/* Device of what is at the mount point. 0, or -errno. */
static int mounted_device(const char *path, dev_t *device)
{
	struct statx stx;

	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW, 0, &stx))
		return -errno;
	*device = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	return 0;
}

/* --- fusermount3 ------------------------------------------------------------------------ */

static pid_t fusermount_start(const char *const argv[], int comm_fd)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (comm_fd >= 0) {
		char text[16];

		/* Without O_CLOEXEC in the child only. */
		fcntl(comm_fd, F_SETFD, 0);
		snprintf(text, sizeof(text), "%d", comm_fd);
		setenv("_FUSE_COMMFD", text, 1);
	}
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static int child_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The connection as fusermount3 sends it: one byte with the descriptor attached. */
static int descriptor_receive(int sock)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n;
	int fd = -1;

	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return -1;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static int mount_by_helper(const struct options *o, int *fd, struct reason *why)
{
	struct buf list CLEANUP_BUF = BUF_INIT;
	int pair[2];

	buf_addf(&list, "subtype=fabricfs,default_permissions");
	if (o->allow_other)
		buf_adds(&list, ",allow_other");
	if (o->mount_flags & MS_RDONLY)
		buf_adds(&list, ",ro");
	if (o->mount_flags & MS_NOEXEC)
		buf_adds(&list, ",noexec");
	if (o->mount_flags & MS_NOATIME)
		buf_adds(&list, ",noatime");
	buf_adds(&list, ",fsname=");
	for (const char *p = o->source; *p; p++) /* fusermount3 splits at commas, '\' protects them */
		buf_addf(&list, "%s%c", *p == ',' || *p == '\\' ? "\\" : "", *p);
	if (buf_ok(&list))
		return reason_set(why, ENOMEM, "out of memory");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return reason_set(why, errno, "mounting: socketpair: %s", strerror(errno));

	const char *argv[] = { "fusermount3", "-o", list.data, "--", o->mountpoint, NULL };
	pid_t pid = fusermount_start(argv, pair[0]);
	int err = errno;

	close(pair[0]);
	*fd = pid > 0 ? descriptor_receive(pair[1]) : -1;
	close(pair[1]);
	if (pid < 0)
		return reason_set(why, err, "mounting: fork: %s", strerror(err));
	int status = child_wait(pid);

	if (*fd >= 0 && !status)
		return 0;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	if (status == 127)
		return reason_set(why, ENOPKG, "%s: mounting without root needs fusermount3, which was not"
				  " found: install the package fuse3", o->mountpoint);
	return reason_set(why, EPERM, "%s: fusermount3 did not mount it (exit %d; it told why above)",
			  o->mountpoint, status);
}

/* --- making and ending --------------------------------------------------------------------- */

static int mount_by_root(const struct options *o, int *fd_out, struct reason *why)
{
	int fd CLEANUP_FD = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char data[160];

	if (fd < 0)
		return reason_set(why, errno, "/dev/fuse: %s%s", strerror(errno),
				  errno == ENOENT || errno == ENODEV ? ": load the kernel module fuse" : "");
	snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=%u,group_id=%u,allow_other,"
		 "default_permissions", fd, geteuid(), getegid());
	if (mount(o->source, o->mountpoint, TYPE, o->mount_flags | MS_NOSUID | MS_NODEV, data))
		return reason_set(why, errno, "mounting on %s: %s", o->mountpoint, strerror(errno));
	*fd_out = STEAL_FD(fd);
	return 0;
}

static void stale_remove(const char *path)
{
	struct statfs st;

	/* Unlike stat(), which may be answered from what the kernel remembers. */
	if (!statfs(path, &st) || (errno != ENOTCONN && errno != ECONNABORTED) || !mount_is_there(path))
		return;
	log_info("%s: taking away the mount of a fabricfs that is gone", path);
	if (!umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW))
		return;
	const char *argv[] = { "fusermount3", "-u", "-z", "-q", "--", path, NULL };
	pid_t pid = fusermount_start(argv, -1);

	if (pid > 0)
		child_wait(pid);
}

/*
 * Where nobody has mounted the fuse control file system: a mount of our own that
 * no path leads to. Closing the connection is no substitute, as a dead worker may
 * be stuck in the kernel with the last descriptor of it.
 */
static int control_open(unsigned connection)
{
	int context CLEANUP_FD = fsopen("fusectl", FSOPEN_CLOEXEC);
	int control CLEANUP_FD = -1;
	char path[32];

	if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -1;
	control = fsmount(context, FSMOUNT_CLOEXEC, 0);
	if (control < 0)
		return -1;
	snprintf(path, sizeof(path), "%u/abort", connection);
	return openat(control, path, O_WRONLY | O_CLOEXEC);
}

static void find_connection(struct mount *m)
{
	char path[64];

	if (mounted_device(m->mountpoint, &m->device))
		return;
	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", minor(m->device));
	m->abort_fd = open(path, O_WRONLY | O_CLOEXEC);
	if (m->abort_fd < 0)
		m->abort_fd = control_open(minor(m->device));
}

int mount_make(const struct options *o, struct mount *m, int *fd, struct reason *why)
{
	struct stat st;
	int err;

	*m = (struct mount){ .mountpoint = o->mountpoint, .abort_fd = -1 };
	*fd = -1;
	stale_remove(o->mountpoint);
	if (stat(o->mountpoint, &st))
		return reason_set(why, errno, "mount point %s: %s", o->mountpoint, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return reason_set(why, ENOTDIR, "mount point %s is not a directory", o->mountpoint);
	if (mount_is_there(o->mountpoint))
		return reason_set(why, EBUSY, "%s: fabricfs is mounted there already", o->mountpoint);

	err = geteuid() ? -EPERM : mount_by_root(o, fd, why);
	/* Root of a container may lack the right to mount and still have the helper. */
	if (err == -EPERM) {
		m->by_helper = true;
		err = mount_by_helper(o, fd, why);
	}
	if (err)
		return err;
	find_connection(m);
	return 0;
}

void mount_adopt(struct mount *m, const char *mountpoint)
{
	*m = (struct mount){ .mountpoint = mountpoint, .by_helper = geteuid() != 0, .abort_fd = -1 };
	find_connection(m);
}

void mount_abort(const struct mount *m)
{
	if (m->abort_fd >= 0 && write(m->abort_fd, "1", 1) == 1)
		return;
	/* Without fusectl: closing the last descriptor, which comes next, does the same. */
}

int mount_end(const struct mount *m)
{
	dev_t now = 0;
	int err = mounted_device(m->mountpoint, &now);

	/* Something else is there: somebody unmounted ours, or mounted above it. */
	if (!err && now != m->device)
		return 0;
	if (err && err != -ENOTCONN)
		return err == -ENOENT ? 0 : err;
	if (m->by_helper) {
		const char *argv[] = { "fusermount3", "-u", "-z", "-q", "--", m->mountpoint, NULL };
		pid_t pid = fusermount_start(argv, -1);

		return pid > 0 && !child_wait(pid) ? 0 : -EPERM;
	}
	if (!umount2(m->mountpoint, UMOUNT_NOFOLLOW) || errno == EINVAL)
		return 0;
	return umount2(m->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) ? -errno : 0;
}
