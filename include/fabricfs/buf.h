// SPDX-License-Identifier: Apache-2.0
/*
 * The one growable byte buffer. Always NUL-terminated one byte past `len`, so
 * `b.data` may be used as a C string. A failed allocation is remembered in
 * `failed` and every later append does nothing: append freely, ask once with
 * buf_ok(). Not shared between threads.
 */
#ifndef FABRICFS_BUF_H
#define FABRICFS_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data;  /* never NULL after the first successful append */
	size_t len;  /* bytes in use, without the NUL */
	size_t cap;  /* bytes allocated */
	bool failed; /* an allocation failed; contents are incomplete */
};

#define BUF_INIT { 0 }

void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_adds(struct buf *b, const char *text);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Forget the contents, keep the memory. */
void buf_clear(struct buf *b);
/* Give the memory back; the buffer may be used again. */
void buf_free(struct buf *b);
/* 0, or -ENOMEM if any append since the last clear failed. */
int buf_ok(const struct buf *b);
/* Take the memory (caller frees); the buffer is empty afterwards. NULL when it failed. */
char *buf_steal(struct buf *b, size_t *len);

#define CLEANUP_BUF __attribute__((cleanup(buf_free)))

/* Copy text into a fixed array, cutting it at the end of the array (whole UTF-8
 * characters are kept); returns false when it was cut. src may be NULL (""). */
bool text_copy(char *dst, size_t size, const char *src);

/* Text as one line: control bytes become spaces, what is no UTF-8 becomes '?'. */
void text_clean(const char *text, struct buf *out);

/* Owners of one scope: char *p CLEANUP_FREE = ...; int fd CLEANUP_FD = -1; */
void cleanup_free(void *p);
void cleanup_fd(int *fd);
#define CLEANUP_FREE __attribute__((cleanup(cleanup_free)))
#define CLEANUP_FD __attribute__((cleanup(cleanup_fd)))
/* Give ownership away: returns the value and leaves the "nothing" value behind. */
#define STEAL_PTR(p) ({ __typeof__(p) steal_ = (p); (p) = NULL; steal_; })
#define STEAL_FD(fd) ({ int steal_ = (fd); (fd) = -1; steal_; })

#endif
