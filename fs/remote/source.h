// SPDX-License-Identifier: Apache-2.0
/* What `source` of an image says when it is one of a repository. Any thread; reads the catalogue. */
#ifndef FS_REMOTE_SOURCE_H
#define FS_REMOTE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

/* "repository:name@id" of an image whose bytes hash to this SHA-256; false: none is known, and `out`
 * is left alone. */
bool source_of_digest(const char *sha256, char *out, size_t size);

/* Is it known that bytes with this digest are those of an image which this repository lists, and gives? */
bool source_is_of(const char *algo, const char *digest, const char *repo);

/* These bytes came by reference, and their own checksum says that they are damaged (content.h). */
void source_unsound(const char *sha256);

#endif
