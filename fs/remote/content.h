// SPDX-License-Identifier: Apache-2.0
/*
 * Contents while they are used: reading what is here, having fetched what is not.
 *
 * Any number of readers of a chunk cause one request for it. What is asked for is
 * what is read, rounded to chunks, and a window ahead of it that grows with sequential
 * reading; what was asked for and nobody waits for any more is cancelled when the last
 * open goes. Once all of it came it is hashed, and becomes the blob of its SHA-256; where a
 * digest is known, a read of the last missing bytes waits for that.
 *
 * Threads: any; nothing here waits but for the local disk. done() of a wait is called
 * once, on whatever thread, without a lock.
 */
#ifndef FS_REMOTE_CONTENT_H
#define FS_REMOTE_CONTENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <fabricfs/cache.h>
#include <fabricfs/image.h>
#include <fabricfs/repo.h>

struct content;
struct origin;

/* What the repository of an origin is told; called without a lock. */
struct origin_ops {
	/* Its server is known not to be reachable. *now (out): that was found out just now, so nothing is asked,
	 * and reads fail with this at once. */
	bool (*offline)(const struct origin *origin, bool *now, struct reason *why);
	/* An image with the same digest, of another repository that is not known to be unreachable and that
	 * may be asked (by its core); a reference. NULL: there is none. */
	struct origin *(*other)(const struct origin *origin, bool (*may)(const void *core, void *arg), void *arg);
	/* A request ended: err 0 or positive, as repo.h has it. */
	void (*asked)(const struct origin *origin, int err, const struct reason *why);
	/* What is there now is something else than what the listing says (ESTALE), or nothing (ENOENT). */
	void (*replaced)(const struct origin *origin);
	/* All of it came, and is not what the repository says (EBADMSG). sha256: what came instead. */
	void (*refused)(const struct origin *origin, const struct reason *why, const char *sha256, uint64_t size);
	/* Its content is gone: what there will be of it is another. */
	void (*gone)(const struct origin *origin, uint64_t content);
	/* The size that the listing did not tell, or not exactly. */
	void (*sized)(const struct origin *origin, uint64_t size);
	/* Its first bytes show what it is. */
	void (*recognised)(const struct origin *origin, const struct image_facts *facts);
};

/* An image of a repository, as it was listed when somebody opened it. Counted, never changed. */
struct origin {
	_Atomic unsigned refs;
	const struct origin_ops *ops; /* members may be NULL */
	void *core;
	const struct repo_kind *kind; /* NULL: nobody can be asked, only what is here can be had */
	void *repo;
	uint64_t entry;       /* row of the catalogue */
	unsigned version;     /* of its bytes */
	uint64_t listed_size; /* perhaps not exactly; 0 */
	int64_t mtime_ns;     /* as listed; 0 */
	int64_t patience_ms;  /* without a byte, until readers are told that there is no answer */
	char id[REPO_ID_MAX];
	char name[300];       /* for sentences */
	bool has_size;	      /* exactly */
	bool weak;	      /* that it was replaced is not to be seen from its listing */
	uint64_t size;
	char validator[REPO_ID_MAX];
	char digest_algo[8], digest[DIGEST_HEX]; /* "" = none is known */
	char key[CACHE_KEY_MAX]; /* of its content */
	uint64_t noted; /* content that the catalogue names as its */
};

struct origin *origin_new(void); /* one reference; NULL: no memory */
void origin_get(struct origin *origin);
void origin_put(struct origin *origin);
/* The key for what is listed so; the repository by its row. */
void origin_key(struct origin *origin, uint64_t repo, int64_t mtime_ns, uint64_t listed_size);

int contents_start(struct store *store, uint64_t quota, bool fresh, struct reason *why);
/* Everything that waits is done with EINTR, everything that was asked for is cancelled. The
 * kinds are still running, and are closed only afterwards. */
void contents_stop(void);

/*
 * The content of an image, with a reference; made if there is none.
 * id: that of an open, which may be of what the image was before: -ESTALE, -EBADMSG when that
 * is gone. 0: whatever it is now. -ENOSPC -EROFS.
 */
int content_open(struct origin *origin, uint64_t id, struct content **content, struct reason *why);
/* The one that is live, whose origin it knows: for reads of what is open. NULL: open it. */
struct content *content_live(uint64_t id);
void content_put(struct content *content);
uint64_t content_id(const struct content *content);
/* Is it here as a whole, and known to be what it should be? */
bool content_is_whole(struct content *content, char sha256[SHA256_HEX], uint64_t *size);
/* False: it is not known. */
bool content_size(struct content *content, uint64_t *size);
/* Bytes that are here. */
uint64_t content_cached(struct content *content);
/* An open file counts as long as it is open: its content is not evicted, and what was asked for
 * goes on without a reader. */
void content_opened(struct content *content);
void content_closed(struct content *content);

struct content_wait {
	struct content_wait *next;
	struct content *content;
	uint64_t from, to; /* bytes */
	bool all;	   /* the whole of it, hashed and matched */
	void (*done)(struct content_wait *wait, int err, const struct reason *why); /* err positive, 0 */
	/* Now and then, under a lock: so much is here, of so much (0: not known). False: it is not
	 * wanted any more, done(ECANCELED) follows. May be NULL. */
	bool (*progress)(struct content_wait *wait, uint64_t done, uint64_t total);
	_Atomic int interrupted; /* errno that done() is to bring */
};

/*
 * The wait is zeroed but for done and progress, before anything may interrupt it.
 * Have bytes from..to (fewer at the end) here. 1: they are; 0: done() follows, and the
 * caller's reference is kept until then; -errno: they cannot be had.
 */
int content_want(struct content *content, uint64_t from, uint64_t to, struct content_wait *wait,
		 struct reason *why);
/* The same for all of it, whole as content_is_whole() says it. */
int content_want_whole(struct content *content, struct content_wait *wait, struct reason *why);
/* done(EINTR) follows soon, unless it is on its way already. May be called inside libfuse's interrupt. */
void content_interrupt(struct content_wait *wait);
/* What is here of these bytes; of others zeros may come. Bytes or -errno. */
ssize_t content_read(struct content *content, void *out, size_t n, uint64_t off);
/* How many of these bytes there are, or -errno as content_read(). */
ssize_t content_readable(struct content *content, size_t n, uint64_t off);
/* Its own checksum says that these bytes are damaged. Where no digest says that they are what they should
 * be, they may have become so on the way: they are dropped, and the next open has them fetched again. */
void content_unsound(struct content *content);
/* The same of those that are open and hash to this. */
void contents_unsound(const char *sha256);
/* For replies without a copy; belongs to the content. */
int content_fd(const struct content *content);

/* By row, without opening it: bytes here. */
uint64_t contents_cached(uint64_t id);
/* Of contents that are live: how many bytes more (or fewer) they have than is noted in their rows. */
void contents_unnoted(void (*fn)(uint64_t id, int64_t bytes, void *arg), void *arg);
/* All bytes in the cache, and its quota. */
void contents_usage(uint64_t *used, uint64_t *quota);

#endif
