// SPDX-License-Identifier: Apache-2.0
/*
 * The log: one line a call, to stderr with journald's "<N>" priorities, or to
 * syslog once daemonised. Any thread. Never given a secret.
 */
#ifndef FABRICFS_LOG_H
#define FABRICFS_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Call before other threads exist. `ident` must stay valid. */
void log_init(const char *ident, bool to_syslog, bool debug);
void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_msg(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
