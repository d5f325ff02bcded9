// SPDX-License-Identifier: Apache-2.0
/* What is where in a folder: ids, validators, and opening without leaving it (folder.h). */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fabricfs/buf.h>

#include "backend/repo/directory/folder.h"

#define RACES_MAX 10000 /* some 10 ms */

bool id_encode(const char *path, char id[REPO_ID_MAX])
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	for (const unsigned char *c = (const unsigned char *)path; *c; c++) {
		bool plain = *c > ' ' && *c < 0x7f && *c != '%';

		if (n + (plain ? 1 : 3) >= REPO_ID_MAX)
			return false;
		if (plain) {
			id[n++] = (char)*c;
			continue;
		}
		id[n++] = '%';
		id[n++] = hex[*c >> 4];
		id[n++] = hex[*c & 15];
	}
	id[n] = '\0';
	return n;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool id_decode(const char *id, char path[REPO_ID_MAX])
{
	size_t n = 0;

	for (; *id; id++) {
		int high, low;

		if (n + 1 >= REPO_ID_MAX)
			return false;
		if (*id != '%') {
			path[n++] = *id;
			continue;
		}
		high = hex_digit(id[1]);
		low = high < 0 ? -1 : hex_digit(id[2]);
		if (low < 0 || (!high && !low))
			return false;
		path[n++] = (char)(high << 4 | low);
		id += 2;
	}
	path[n] = '\0';
	return n;
}

/* The change time, which no program can set, sees what is written and then given its old time. */
void validator_of(const struct stat *st, char out[96])
{
	snprintf(out, 96, "%llu-%lld.%09ld-%lld.%09ld", (unsigned long long)st->st_size,
		 (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
		 st->st_ctim.tv_nsec);
}

bool is_of_this_machine(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM;
}

/* Where openat2 is not: a component at a time, and no link at all. */
static int open_walked(int root, const char *path, int flags)
{
	int dir CLEANUP_FD = -1;
	char part[256];

	for (;;) {
		size_t n = strcspn(path, "/");
		int at = dir < 0 ? root : dir, fd;

		if (!n || n >= sizeof(part))
			return -ENOENT;
		memcpy(part, path, n);
		part[n] = '\0';
		if (!strcmp(part, "..") || !strcmp(part, "."))
			return -EXDEV;
		if (!path[n]) {
			fd = openat(at, part, flags | O_NOFOLLOW);
			return fd < 0 ? -errno : fd;
		}
		fd = openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (dir >= 0)
			close(dir);
		dir = fd;
		path += n + 1;
	}
}

int open_beneath(int root, const char *path, int flags)
{
	struct open_how how = { .flags = (unsigned)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	long fd;

	/* EAGAIN: something, anywhere on the machine, was renamed while a link's ".." was followed. */
	for (int i = 0; i < RACES_MAX; i++) {
		fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN)
			break;
	}
	/* Before Linux 5.6, or kept away by a container's filter. */
	return errno == ENOSYS || errno == EPERM ? open_walked(root, path, flags) : -errno;
}
