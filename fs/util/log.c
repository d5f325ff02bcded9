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

/* Sentences quote what servers, images and users say: none of it is to steer a terminal, or to look like a
 * line of its own. U+0080 to U+009F (C2 80 to C2 9F) are control characters too. */
static void line_clean(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			*c++ = ' ';
		else if (*c >= 0x20 && *c != 0x7f)
			continue;
		*c = ' ';
	}
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level == LOG_LEVEL_DEBUG && !log_debugging)
		return;

	struct buf b CLEANUP_BUF = BUF_INIT;

	/* A person at a terminal wants the sentence, journald wants the number. */
	if (!log_syslog && !isatty(STDERR_FILENO))
		buf_addf(&b, "<%d>", (int)level);
	if (!log_syslog)
		buf_addf(&b, "%s: ", log_ident);
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	if (buf_ok(&b))
		return;
	line_clean(b.data);
	if (log_syslog) {
		syslog((int)level, "%s", b.data);
		return;
	}
	buf_adds(&b, "\n");
	if (!buf_ok(&b) && write(STDERR_FILENO, b.data, b.len) < 0) {
		/* Nowhere is left to say it. */
	}
}
