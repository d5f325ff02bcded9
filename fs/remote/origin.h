// SPDX-License-Identifier: Apache-2.0
/* Images of the catalogue as origins of contents (content.h). Any thread; the disk at most. */
#ifndef FS_REMOTE_ORIGIN_H
#define FS_REMOTE_ORIGIN_H

#include "fs/remote/content.h"

/* The image of this row as it is listed now, a reference. -ENOENT: it is listed no more;
 * -ENODATA, -EACCES: it has no data (yet), or they were withdrawn. */
int origin_of_entry(uint64_t entry, struct origin **origin, struct reason *why);
/* For what is open of an image that can be asked for no more: what is here of it can be read. */
int origin_of_nobody(struct origin **origin, struct reason *why);
/* Its content, with a reference, and noted as that of this entry. -ESTALE: the entry is of another version
 * by now, as what there is of it is another content than that which this version had. */
int origin_content(struct origin *origin, struct content **content, struct reason *why);

/* What the cache has of an image. */
struct entry_cache {
	uint64_t cached; /* bytes */
	bool pinned;
	char sha256[SHA256_HEX]; /* of its bytes, where it is known; "" */
};
int entry_cache_get(uint64_t entry, struct entry_cache *cache, struct reason *why);
/* Nothing is fetched for it; what is or comes into the cache of what has this name stays. -ENOENT
 * -ENOSPC -EROFS. */
int entry_pin(uint64_t entry, bool pinned, struct reason *why);
struct repo;
/* Bytes in the cache of all images of a repository (also of images that others have too). */
uint64_t repo_cached(const struct repo *repo);

/* "repository:name@id" (source.h finds it by the bytes). */
void source_of_origin(const struct origin *origin, char *out, size_t size);

#endif
