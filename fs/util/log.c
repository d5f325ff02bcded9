// SPDX-License-Identifier: Apache-2.0
/* The log (include/fabricfs/log.h): one write(2) a line, so lines of threads and processes never mix. */
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

#include <fabricfs/buf.h>
#include <fabricfs/log.h>

static const char *log_ident = "fabricfs";
static bool log_syslog;
static bool log_debugging;

void log_init(const char *ident, bool to_syslog, bool debug)
{
	log_ident = ident;
	log_debugging = debug;
	log_syslog = to_syslog;
	if (to_syslog)
		openlog(ident, LOG_PID, LOG_DAEMON);
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level == LOG_LEVEL_DEBUG && !log_debugging)
		return;
	va_start(ap, fmt);
	if (log_syslog) {
		vsyslog((int)level, fmt, ap);
	} else {
		struct buf b = BUF_INIT;

		/* A person at a terminal wants the sentence, journald wants the number. */
		if (!isatty(STDERR_FILENO))
			buf_addf(&b, "<%d>", (int)level);
		buf_addf(&b, "%s: ", log_ident);
		buf_vaddf(&b, fmt, ap);
		buf_adds(&b, "\n");
		if (!buf_ok(&b) && write(STDERR_FILENO, b.data, b.len) < 0) {
			/* Nowhere is left to say it. */
		}
		buf_free(&b);
	}
	va_end(ap);
}
