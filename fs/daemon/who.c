// SPDX-License-Identifier: Apache-2.0
/*
 * Who is at the other end of a request (session.h: who_is): from /proc, while
 * the caller waits inside open() and cannot become another process. Only a
 * kill -9 can end it meanwhile, so its start time is read again at the end.
 */
#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/daemon/container.h"
#include "fs/daemon/session.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>

/* Text of /proc/PID/name, NUL-terminated; "" when it cannot be read. */
static size_t proc_read(int dir, const char *name, char *out, size_t size)
{
	int fd CLEANUP_FD = openat(dir, name, O_RDONLY | O_CLOEXEC);
	size_t n = 0;

	while (fd >= 0 && n < size - 1) {
		ssize_t r = read(fd, out + n, size - 1 - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	out[n] = '\0';
	return n;
}

/* Field 22 of /proc/PID/stat. The command in field 2 may hold spaces and
 * parentheses, so fields are counted from the last ')'. */
static uint64_t start_ticks(int dir)
{
	char text[1024];

	proc_read(dir, "stat", text, sizeof(text));
	const char *p = strrchr(text, ')');

	for (int field = 2; p && field < 22; field++) {
		p = strchr(p, ' ');
		if (p)
			p++;
	}
	return p ? strtoull(p, NULL, 10) : 0;
}

static ino_t namespace_of(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, 0) ? 0 : st.st_ino;
}

static ino_t own_mnt, own_pid;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;

static void own_namespaces(void)
{
	int dir CLEANUP_FD = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return;
	own_mnt = namespace_of(dir, "ns/mnt");
	own_pid = namespace_of(dir, "ns/pid");
}

static void container(int dir, char *out, size_t size)
{
	char text[16384];

	proc_read(dir, "cgroup", text, sizeof(text));
	container_of_cgroup(text, out, size);
	if (*out)
		return;
	pthread_once(&own_once, own_namespaces);
	ino_t mnt = namespace_of(dir, "ns/mnt"), pid = namespace_of(dir, "ns/pid");

	/* 0: not ours to look at; that is no evidence of a container. */
	if (mnt && pid && (mnt != own_mnt || pid != own_pid))
		snprintf(out, size, "ns:%llu", (unsigned long long)mnt);
}

/* Names of users, since a look-up may ask a directory server: as long as a
 * caller would notice a renamed user, and no longer. */
#define USER_NS (INT64_C(60) * 1000000000)
static struct {
	uid_t uid;
	int64_t until_ns; /* 0 = empty */
	char name[sizeof(((struct who *)0)->user)];
} users[16];
static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;

static void user_name(uid_t uid, char *out, size_t size)
{
	unsigned i = uid % (sizeof(users) / sizeof(users[0]));
	int64_t now = clock_mono_ns();
	bool hit;

	pthread_mutex_lock(&users_lock);
	hit = users[i].uid == uid && users[i].until_ns > now;
	if (hit)
		text_copy(out, size, users[i].name);
	pthread_mutex_unlock(&users_lock);
	if (hit)
		return;

	char text[4096];
	struct passwd pw, *found = NULL;

	if (getpwuid_r(uid, &pw, text, sizeof(text), &found))
		found = NULL;
	text_copy(out, size, found ? pw.pw_name : "");
	pthread_mutex_lock(&users_lock);
	users[i].uid = uid;
	users[i].until_ns = now + USER_NS;
	text_copy(users[i].name, sizeof(users[i].name), out);
	pthread_mutex_unlock(&users_lock);
}

void who_is(struct who *who, uid_t uid, gid_t gid, pid_t pid)
{
	char path[32], text[64];

	memset(who, 0, sizeof(*who));
	who->uid = uid;
	who->gid = gid;
	who->pid = pid;
	user_name(uid, who->user, sizeof(who->user));
	if (pid <= 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);

	/* The descriptor stays with this process: another one of the same number gives ESRCH. */
	int dir CLEANUP_FD = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return;
	who->start_ticks = start_ticks(dir);
	proc_read(dir, "comm", text, sizeof(text));
	text[strcspn(text, "\n")] = '\0';
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	text_copy(who->command, sizeof(who->command), text);
	container(dir, who->container, sizeof(who->container));
	if (who->start_ticks && start_ticks(dir) != who->start_ticks) {
		who->start_ticks = 0;
		who->command[0] = who->container[0] = '\0';
	}
}
