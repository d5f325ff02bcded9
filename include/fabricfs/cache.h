// SPDX-License-Identifier: Apache-2.0
/*
 * Contents: the bytes that repositories gave, as far as they are here.
 *
 * A content is what an image was at one moment: its key says which. Where a
 * digest is known it is the key, so that every entry of every repository with
 * those bytes shares one content; else the repository, the id and the validator
 * are. While it is incomplete its bytes are in a sparse file
 *
 *   STATE/chunks/<content>      the bytes, holes where none came yet
 *   STATE/chunks/<content>.map  which chunks came (struct chunks)
 *
 * and once all of it came and was hashed, in STATE/blobs/<sha256>, by rename and
 * once for all contents (and cards) with these bytes.
 *
 * Threads: any, unless it says otherwise; calls do disk I/O, none waits for fsync
 * but chunks_sync().
 */
#ifndef FABRICFS_CACHE_H
#define FABRICFS_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fabricfs/digest.h>
#include <fabricfs/error.h>
#include <fabricfs/repo.h>
#include <fabricfs/store.h>

#define CACHE_KEY_MAX (3 * REPO_ID_MAX)

struct cache_content {
	uint64_t id; /* of its row: never given to another. It is the handle of an open */
	bool has_size;
	uint64_t size;
	char validator[REPO_ID_MAX]; /* of the bytes that are here, "" = none is known */
	char sha256[SHA256_HEX];     /* once it was complete, also when its bytes are gone; else "" */
	bool whole;	 /* STATE/blobs/<sha256> has all of it */
	bool doubted;	 /* whole, but it may not have reached the disk before a power loss: to be hashed */
	int gone;	 /* positive errno that its opens get (EBADMSG, ESTALE): it has no bytes any
			    more, and another content has its key; 0 */
	uint64_t cached; /* bytes here when that was last noted */
};

/* The content with this key, made if there is none (*made; may be NULL). -ENOSPC -EROFS. */
int cache_content_make(struct store *store, const char *key, struct cache_content *out, bool *made,
		       struct reason *why);
/* By row; -ENOENT. */
int cache_content_get(struct store *store, uint64_t id, struct cache_content *out, struct reason *why);
/* Its key; out has CACHE_KEY_MAX bytes. */
int cache_content_key(struct store *store, uint64_t id, char *out, struct reason *why);
/* By key; -ENOENT. */
int cache_content_find(struct store *store, const char *key, struct cache_content *out, struct reason *why);
/* What the first answer told. */
int cache_content_told(struct store *store, uint64_t id, bool has_size, uint64_t size,
		       const char *validator, struct reason *why);
/* It was used now, and so many of its bytes are here. */
int cache_content_used(struct store *store, uint64_t id, uint64_t cached, struct reason *why);
/*
 * *twin of the following: another content has the same blob, so that these bytes are there once for
 * both, and stay when this one lets go of them.
 *
 * Its chunks are all of it and hash to this: they become the blob, or give way to the one that is
 * there already. The row is committed before it returns; the disk has it a moment later.
 */
int cache_content_whole(struct store *store, uint64_t id, uint64_t size, const char *sha256, bool *twin,
			struct reason *why);
/* The row says so, and the blob is not there: a worker may have died in between. Its last step is taken,
 * if it can be. */
void cache_content_finish(struct store *store, const struct cache_content *content);
/* It was hashed again, and is what it should be. */
int cache_content_trust(struct store *store, uint64_t id, struct reason *why);
/* Its bytes are dropped, and its key is free for another: err is what its opens get. */
int cache_content_gone(struct store *store, uint64_t id, int err, bool *twin, struct reason *why);
/* Its bytes are dropped; what is known of it stays. The blob goes with the next
 * store_blobs_trim(), unless a card or another content names it. */
int cache_content_empty(struct store *store, uint64_t id, bool *twin, struct reason *why);
/* JSON of the facts of a whole and sound image (image_facts_parse), caller frees; NULL: not known. */
int cache_content_facts(struct store *store, uint64_t id, char **json, struct reason *why);
/* Of all contents with these bytes. */
int cache_facts_keep(struct store *store, const char *sha256, const char *json, struct reason *why);

/* Bytes that all contents have here, as noted; of those with the same blob, one. */
int cache_bytes(struct store *store, uint64_t *bytes, struct reason *why);
/* Bytes that the cache may still take of the disk: some of it is left for uploads and the catalogue. Below 0:
 * what is lacking for those. */
int64_t cache_room(struct store *store);

/* Noted bytes of all contents of images of a repository; is this content one of them? */
uint64_t cache_bytes_of(struct store *store, uint64_t repo);
bool cache_is_of(struct store *store, uint64_t id, uint64_t repo);

/* The contents that have bytes here, the least recently used first, until fn returns non-zero, which is
 * returned. fn is called under a lock of the store: it calls nothing of it. `kept`: the bytes are those
 * of a card's present or previous image, or of one that is pinned. */
int cache_contents_each(struct store *store,
			int (*fn)(const struct cache_content *content, bool kept, void *arg), void *arg,
			struct reason *why);
/* The same of those contents alone that only repositories have which are not configured (catalogue_absent). */
int cache_contents_absent(struct store *store,
			  int (*fn)(const struct cache_content *content, bool kept, void *arg), void *arg,
			  struct reason *why);
/*
 * When nothing is open, before anything else: rows that nothing refers to and rows that are
 * gone are dropped, and so are files without a row; of the others it is noted how much is here.
 */
int cache_contents_tidy(struct store *store, struct reason *why);

/*
 * Images that are replaced leave the rows of their contents behind, and so do bytes that were no good. Of
 * those that have no bytes here and are no image's, at most `max`; and drop one, if it is (still) one of
 * these and nobody has it open.
 */
unsigned cache_contents_left(struct store *store, uint64_t *ids, unsigned max);
int cache_content_forget(struct store *store, uint64_t id, struct reason *why);

/* --- pins ------------------------------------------------------------------------------ */

/*
 * Somebody wants the bytes of this image kept: of whichever has its name, so that the pin stays when
 * another takes that; or, if this one is found by its id only, of that id. Nothing is fetched for it.
 * A pin stays also when nothing has that name, until it is taken back. An entry that is not there: nothing. -ENOSPC -EROFS.
 */
int cache_pin_set(struct store *store, uint64_t entry, bool pinned, struct reason *why);
bool cache_pinned(struct store *store, uint64_t entry);

/* --- chunks ---------------------------------------------------------------------------- */

/*
 * Which chunks of a content are here. What was marked survives the death of
 * every process at once; after a power loss only what chunks_sync() had brought
 * to the disk counts, so that no hole is ever taken for bytes.
 */
#define CHUNK_SIZE (32u << 10)	       /* bytes: the least that is fetched (DESIGN 8: 64 KiB on the wire) */
#define CHUNKS_MAX (UINT64_C(1) << 40) /* bytes of a content */

struct chunks;

/* Those of a content, or none yet; the files are made. -ENOSPC -EROFS. key: files that were another
 * content's (a power loss took its row back) are emptied. */
int chunks_open(struct store *store, uint64_t id, const char *key, struct chunks **chunks,
		struct reason *why);
void chunks_close(struct chunks *chunks);
/* Of the bytes, for reading and writing; belongs to chunks. */
int chunks_fd(const struct chunks *chunks);
/* The bytes of chunk `first` to `last` are in the file. Chunk n begins at n * CHUNK_SIZE. */
int chunks_mark(struct chunks *chunks, uint64_t first, uint64_t last, struct reason *why);
bool chunks_has(const struct chunks *chunks, uint64_t chunk);
/* The first from `chunk` on that is not here. */
uint64_t chunks_missing(const struct chunks *chunks, uint64_t chunk);
/* How many are here. */
uint64_t chunks_count(const struct chunks *chunks);
/* Bring the bytes to the disk, and then the knowledge of them. Waits for the disk. */
int chunks_sync(struct chunks *chunks, struct reason *why);

#endif
