// SPDX-License-Identifier: Apache-2.0
/*
 * Which images of remote/ are open: kept in the session, as opens outlive the worker that
 * answered them. What is open is not evicted, and what it was is told of it as long as it is.
 *
 * Each open has a place. It is noted before its answer is given and forgotten before that of
 * its release, and requests that come again find what was done: a count of them is exact,
 * whenever a worker dies. (Who is killed himself while he waits for the next worker leaves his
 * open behind, until the end of the mount.)
 *
 * The handle says by itself which content is read; below its place is a number that changes
 * with each use of that, so that a release that comes again ends no other open.
 *
 * Any thread; nothing waits.
 */
#ifndef FS_DAEMON_OPENS_H
#define FS_DAEMON_OPENS_H

#include <stdbool.h>
#include <stdint.h>

#define OPENS_MAX 65536u

struct open_image {
	uint64_t ino;
	uint64_t content; /* its row, below 2^36 */
	uint64_t size;	  /* as it was listed */
	int64_t mtime_ns;
	int32_t backing; /* number by which the kernel reads it itself (passthrough.h); 0 = it asks us */
};

/*
 * A handle for the open that is being answered, never 0; the one that it has already when the request
 * came before. 0: there are OPENS_MAX.
 * In image->backing comes what it has to be answered with: that of the other opens of the node, as the
 * kernel reads an inode itself or asks us, but not both (fs/fuse/iomode.c); where there is none, what
 * was given. Where the kernel reads another content, as what came since could not be noted, that is in
 * image->content, and there is no handle.
 */
uint64_t opens_add(struct open_image *image);
void opens_drop(uint64_t fh);
/* Also of a handle that is open no more. */
static inline uint64_t opens_content(uint64_t fh) { return fh & ((UINT64_C(1) << 36) - 1); }
/* Below OPENS_MAX; of one open at a time. */
static inline unsigned opens_place(uint64_t fh) { return (unsigned)(fh >> 36) & (OPENS_MAX - 1); }
/* What one of the opens of this node is of. False: there is none. */
bool opens_of_node(uint64_t ino, struct open_image *image);
/* Is this content open? */
bool opens_have(uint64_t content);
/* Each open with a backing; none comes or goes meanwhile. */
void opens_each_backed(void (*fn)(const struct open_image *image));

#endif
