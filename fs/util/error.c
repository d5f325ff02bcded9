// SPDX-License-Identifier: Apache-2.0
/* Reasons and errno names (include/fabricfs/error.h). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <fabricfs/buf.h>
#include <fabricfs/error.h>

int errno_public(int err)
{
	if (err < 512)
		return err;
	return err == 524 ? EOPNOTSUPP : EIO;
}

int(reason_set)(struct reason *why, int err, const char *fmt, ...)
{
	err = errno_public(err < 0 ? -err : err ? err : EIO);
	if (why) {
		va_list ap;

		why->err = err;
		va_start(ap, fmt);
		vsnprintf(why->text, sizeof(why->text), fmt, ap);
		va_end(ap);
	}
	return -err;
}

int(reason_wrap)(struct reason *why, const char *fmt, ...)
{
	if (!why || !why->err)
		return -EIO;
	char old[REASON_MAX], front[REASON_MAX];
	va_list ap;

	text_copy(old, sizeof(old), why->text);
	va_start(ap, fmt);
	vsnprintf(front, sizeof(front), fmt, ap);
	va_end(ap);

	struct buf b = BUF_INIT;

	buf_addf(&b, "%s: %s", front, old);
	if (!buf_ok(&b))
		text_copy(why->text, sizeof(why->text), b.data);
	buf_free(&b);
	return -why->err;
}

const char *errno_name(int err)
{
	static __thread char other[16];
	const char *name;

	if (err < 0)
		err = -err;
	if (!err)
		return "ok";
	name = strerrorname_np(err);
	if (name)
		return name;
	snprintf(other, sizeof(other), "E%d", err);
	return other;
}
