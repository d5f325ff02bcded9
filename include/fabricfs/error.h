// SPDX-License-Identifier: Apache-2.0
/*
 * Errors that carry their sentence.
 *
 * Every function of fabricfs that can fail returns 0 or -errno and takes a
 * `struct reason *` as its last argument. The errno reaches the system call,
 * the sentence reaches devN/error, history and the log.
 *
 * A sentence says what was tried, what was found, what was wanted, where, and
 * if possible the next step. Lower case, no full stop, no "error:".
 *
 * What each errno means to a user is one table, DESIGN section 2; errno_name()
 * and errno_public() are its two mechanical halves.
 */
#ifndef FABRICFS_ERROR_H
#define FABRICFS_ERROR_H

#include <errno.h>

#define REASON_MAX 1024

/* Caller's storage, zero-initialised. Not shared between threads. */
struct reason {
	int err;               /* positive errno, 0 = nothing went wrong */
	char text[REASON_MAX]; /* the sentence, UTF-8, NUL-terminated, may be cut */
};

/*
 * Set the sentence; returns -err, so that `return reason_set(why, EIO, ...)`
 * is the whole of an error path. `why` may be NULL (the errno still travels).
 * The first reason is replaced: wrap instead where the cause matters. err is
 * positive and passes errno_public(); 0 (an errno that nobody set) becomes EIO.
 * Any thread.
 */
int reason_set(struct reason *why, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Of what says that it failed: never 0. Callers, compilers and analyzers may rely on it. */
static inline int reason_failed(int err)
{
	return err < 0 ? err : -EIO;
}
#define reason_set(...) reason_failed((reason_set)(__VA_ARGS__))

/*
 * Put "fmt: " in front of the sentence that is there and keep its errno.
 * Returns -why->err (or -EIO when why is NULL or empty). Any thread.
 */
int reason_wrap(struct reason *why, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
#define reason_wrap(...) reason_failed((reason_wrap)(__VA_ARGS__))

/* "EBADMSG" for EBADMSG (sign ignored), "ok" for 0, "E<number>" for what has
 * no name here. Static storage for named ones, a per-thread buffer otherwise. */
const char *errno_name(int err);

/*
 * The errno that may leave the program for `err` (positive in, positive out):
 * kernel-internal numbers (512 and above) become EOPNOTSUPP (ENOTSUPP, 524) or
 * EIO; everything else is itself. Source: include/linux/errno.h.
 */
int errno_public(int err);

#endif
