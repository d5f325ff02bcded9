// SPDX-License-Identifier: Apache-2.0
/* Clocks and RFC 3339 (include/fabricfs/clock.h). */
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <fabricfs/clock.h>

static int64_t clock_read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_now_ns(void)
{
	return clock_read_ns(CLOCK_REALTIME);
}

int64_t clock_mono_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC);
}

struct timespec clock_timespec(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

int clock_join(pthread_t thread, int64_t until_ns)
{
#if defined(__SANITIZE_THREAD__)
	/* gcc 12's ThreadSanitizer does not know pthread_clockjoin_np() and would not see that the
	 * thread has ended before what it used is freed. The kernel's own time of day: tests set
	 * that which libc tells. */
	struct timespec ts;

	syscall(SYS_clock_gettime, CLOCK_REALTIME, &ts);
	ts = clock_timespec((int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec + until_ns - clock_mono_ns());
	return pthread_timedjoin_np(thread, NULL, &ts);
#else
	struct timespec ts = clock_timespec(until_ns);

	return pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &ts);
#endif
}

void clock_rfc3339(int64_t ns, char out[RFC3339_MAX])
{
	time_t sec = (time_t)(ns / 1000000000);
	struct tm tm;

	out[0] = '\0';
	if (!ns || !gmtime_r(&sec, &tm))
		return;

	size_t n = strftime(out, RFC3339_MAX, "%Y-%m-%dT%H:%M:%S", &tm);

	snprintf(out + n, RFC3339_MAX - n, ".%06dZ", (int)(ns % 1000000000 / 1000));
}
