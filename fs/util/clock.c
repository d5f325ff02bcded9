// SPDX-License-Identifier: Apache-2.0
/* Clocks and RFC 3339 (include/fabricfs/clock.h). */
#include <stdio.h>
#include <time.h>

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
