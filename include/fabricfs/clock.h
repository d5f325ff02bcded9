// SPDX-License-Identifier: Apache-2.0
/* Time: nanoseconds since the epoch (UTC) for what is shown, monotonic for waits. */
#ifndef FABRICFS_CLOCK_H
#define FABRICFS_CLOCK_H

#include <stdint.h>

#define RFC3339_MAX 32 /* "2026-11-21T12:00:00.123456Z" and a NUL fit */

int64_t clock_now_ns(void);  /* CLOCK_REALTIME */
int64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */
/* RFC 3339 in UTC with microseconds; "" for 0. */
void clock_rfc3339(int64_t ns, char out[RFC3339_MAX]);

#endif
