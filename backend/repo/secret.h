// SPDX-License-Identifier: Apache-2.0
/*
 * Passwords, tokens and keys in memory (private to backend/repo): in pages of
 * their own, which are not swapped out (as far as the limit on locked memory
 * lets) and left out of core dumps, and wiped when they are given back.
 */
#ifndef BACKEND_REPO_SECRET_H
#define BACKEND_REPO_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include <fabricfs/error.h>

#define SECRET_MAX (256 * 1024) /* bytes: a bundle of certificates fits */

/* Zero-initialised: nothing. text is NUL-terminated behind len. */
struct secret {
	char *text;
	size_t len;
	size_t mapped; /* bytes of its pages */
};

/* Room for `len` bytes, zeroed, text[len] = 0. -ENOMEM without a sentence. */
int secret_new(struct secret *secret, size_t len);
int secret_copy(struct secret *secret, const char *text, size_t len);
/* All of a file, at most SECRET_MAX bytes; `line`: its first line only, without the line's end,
 * and never empty. A file that others may read is told about in the log. `what` names the key of
 * the configuration. What may be read is what the rights that are left allow. */
int secret_read(struct secret *secret, const char *what, const char *path, bool line, struct reason *why);
void secret_free(struct secret *secret);
#define CLEANUP_SECRET __attribute__((cleanup(secret_free)))

#endif
