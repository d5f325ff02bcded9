// SPDX-License-Identifier: Apache-2.0
/* Digests, streamed (libcrypto); SHA-256 unless it says otherwise. One belongs to one thread at a time. */
#ifndef FABRICFS_DIGEST_H
#define FABRICFS_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_HEX 65 /* 64 lower-case hex digits and a NUL */

struct digest;

#define DIGEST_HEX 129 /* SHA-512 in lower-case hex and a NUL */

/* NULL only for lack of memory. */
struct digest *digest_new(void);
/* Of another algorithm: "sha512" "sha384" "sha256" "sha1" "md5". NULL: it is none of them, or no memory. */
struct digest *digest_new_of(const char *algo);
/* Of whatever algorithm. */
void digest_text(const struct digest *d, char hex[DIGEST_HEX]);
void digest_free(struct digest *d);
/* Start again from nothing. */
void digest_reset(struct digest *d);
void digest_update(struct digest *d, const void *bytes, size_t n);
/* The digest of all bytes so far; more bytes may follow. */
void digest_hex(const struct digest *d, char hex[SHA256_HEX]);
/* Of everything a descriptor holds from offset 0 (pread; offset untouched).
 * 0, -ENOMEM or the read's -errno. */
int digest_fd(int fd, char hex[SHA256_HEX]);

#endif
