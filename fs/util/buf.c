// SPDX-License-Identifier: Apache-2.0
/* The growable buffer and the scope owners (include/fabricfs/buf.h). */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fabricfs/buf.h>

static bool buf_room(struct buf *b, size_t n)
{
	if (b->failed)
		return false;
	if (n > SIZE_MAX / 2 - b->len - 1) {
		b->failed = true;
		return false;
	}
	if (b->len + n + 1 <= b->cap)
		return true;

	size_t cap = b->cap ? b->cap : 128;

	while (cap < b->len + n + 1)
		cap *= 2;

	char *data = realloc(b->data, cap);

	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void buf_add(struct buf *b, const void *bytes, size_t n)
{
	if (!buf_room(b, n))
		return;
	if (n)
		memcpy(b->data + b->len, bytes, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0 || !buf_room(b, (size_t)n)) {
		b->failed = true;
		return;
	}
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	b->len += (size_t)n;
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf)BUF_INIT;
}

int buf_ok(const struct buf *b)
{
	return b->failed ? -ENOMEM : 0;
}

char *buf_steal(struct buf *b, size_t *len)
{
	buf_add(b, "", 0);
	if (b->failed) {
		buf_free(b);
		return NULL;
	}
	if (len)
		*len = b->len;

	char *data = b->data;

	*b = (struct buf)BUF_INIT;
	return data;
}

bool text_copy(char *dst, size_t size, const char *src)
{
	size_t n = src ? strlen(src) : 0;
	bool whole = n < size;

	if (!size)
		return false;
	if (!whole) {
		n = size - 1;
		/* Step back over a character that would be cut in two. */
		while (n && ((unsigned char)src[n] & 0xc0) == 0x80)
			n--;
	}
	if (n)
		memmove(dst, src, n);
	dst[n] = '\0';
	return whole;
}

void cleanup_free(void *p)
{
	free(*(void **)p);
}

void cleanup_fd(int *fd)
{
	if (*fd >= 0) {
		int keep = errno;

		close(*fd);
		errno = keep;
	}
}
