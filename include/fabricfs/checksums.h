// SPDX-License-Identifier: Apache-2.0
/*
 * Checksums that lie beside images (SHA256SUMS and its sisters), as coreutils (also with
 * --tag) and BSD write them: read as they come, from a server or a folder. Pure. Defined in
 * backend/repo/checksums.c.
 */
#ifndef FABRICFS_CHECKSUMS_H
#define FABRICFS_CHECKSUMS_H

#include <stdbool.h>
#include <stddef.h>

#include <fabricfs/error.h>

struct checksums;
#define CHECKSUM_HEX 129 /* SHA-512 in hex and a NUL */
struct checksums *checksums_new(void); /* NULL: no memory */
/* -ENOMEM. One thread at a time. */
int checksums_feed(struct checksums *sums, const char *bytes, size_t n, struct reason *why);
/* Before the first look. -EBADMSG when no line of it is a checksum though there are lines; -ENOMEM. */
int checksums_end(struct checksums *sums, struct reason *why);
/* Did anything come? */
bool checksums_any(const struct checksums *sums);
void checksums_free(struct checksums *sums);
/* Of a file by its path below the checksums' folder; false = it has none. *algo is static. sums NULL: there are none. */
bool checksums_find(const struct checksums *sums, const char *path, const char **algo, char hex[CHECKSUM_HEX]);

#endif
