// SPDX-License-Identifier: Apache-2.0
/* Time: nanoseconds since the epoch (UTC) for what is shown, monotonic for waits. */
#ifndef FABRICFS_CLOCK_H
#define FABRICFS_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define RFC3339_MAX 32 /* "2026-11-21T12:00:00.123456Z" and a NUL fit */

int64_t clock_now_ns(void);  /* CLOCK_REALTIME */
int64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */
struct timespec clock_timespec(int64_t ns);
/* pthread_join() until then, by CLOCK_MONOTONIC: 0 or ETIMEDOUT. */
int clock_join(pthread_t thread, int64_t until_ns);
/* RFC 3339 in UTC with microseconds; "" for 0. */
void clock_rfc3339(int64_t ns, char out[RFC3339_MAX]);

#endif
