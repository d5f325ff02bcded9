// SPDX-License-Identifier: Apache-2.0
/*
 * A time of day that a test sets, for one program: loaded before libc
 * (LD_PRELOAD), it adds to the real one what the first eight bytes of the file
 * FABRICFS_CLOCK say, in nanoseconds, whenever the program asks. The file is
 * mapped: what a test writes there is so at once, in every process that has it.
 * Other clocks, and waits until a time of day, are the kernel's as ever: who
 * waits for what this said may wait for long, and that is what tests look for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift;

__attribute__((constructor)) static void shim_start(void)
{
	const char *path = getenv("FABRICFS_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		shift = map;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = (int)syscall(SYS_clock_gettime, id, ts);
	int64_t by = shift ? *shift : 0;

	if (rc || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE) || !by)
		return rc;
	ts->tv_sec += by / 1000000000;
	ts->tv_nsec += by % 1000000000;
	if (ts->tv_nsec < 0) {
		ts->tv_sec--;
		ts->tv_nsec += 1000000000;
	} else if (ts->tv_nsec >= 1000000000) {
		ts->tv_sec++;
		ts->tv_nsec -= 1000000000;
	}
	return 0;
}

time_t time(time_t *out)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_REALTIME, &ts);
	if (out)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts = { 0 };

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}
