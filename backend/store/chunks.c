// SPDX-License-Identifier: Apache-2.0
/*
 * Which chunks of a content are here (include/fabricfs/cache.h).
 *
 * The map is a file beside the bytes: a header, then blocks of two pages each,
 * of which the first says what was written, the second what is known to be on
 * the disk. A bit of the first is written after its bytes were, and nothing is
 * synced for it: both are in the page cache, which outlives every process but not
 * the machine. The header names the boot; in another one only the second pages
 * count. Bits there are only ever set after their bytes were synced, so a map of
 * which a power loss kept any mixture of pages still says nothing that is not so.
 *
 * Numbers are in the machine's own order: a state folder belongs to one machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fabricfs/cache.h>

#include "store_in.h"

#define MAP_PAGE 4096u
#define MAP_MAGIC "fabricfs chunks\n"

struct map_header {
	char magic[16];
	uint32_t version, chunk;
	char boot[64];
	char key[SHA256_HEX]; /* hash of the content's key */
	char rest[MAP_PAGE - 16 - 8 - 64 - SHA256_HEX];
};
_Static_assert(sizeof(struct map_header) == MAP_PAGE, "the header is a page");

struct chunks {
	pthread_mutex_t lock; /* of bits, len, count */
	char *dir;
	uint64_t id;
	int fd, map_fd;
	unsigned char *bits;
	size_t len; /* bytes of it, whole pages */
	uint64_t count;
};

/* Where page n of the bits is in the file; synced: its twin. */
static off_t page_at(size_t page, bool synced)
{
	return (off_t)MAP_PAGE * (off_t)(1 + 2 * page + synced);
}

static int map_fail(const struct chunks *c, struct reason *why, int err, const char *what)
{
	return reason_set(why, err, "%s the map of cached bytes %s/chunks/%" PRIu64 ".map: %s", what, c->dir,
			  c->id, strerror(err));
}

static int map_write(const struct chunks *c, const void *bytes, size_t n, off_t at, struct reason *why)
{
	const char *from = bytes;

	while (n) {
		ssize_t w = pwrite(c->map_fd, from, n, at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return map_fail(c, why, errno, "writing");
		from += w;
		at += w;
		n -= (size_t)w;
	}
	return 0;
}

/* Bits for chunks up to `chunk`. */
static int map_grow(struct chunks *c, uint64_t chunk)
{
	size_t want = (size_t)(chunk / 8 / MAP_PAGE + 1) * MAP_PAGE;
	unsigned char *bits;

	if (chunk >= CHUNKS_MAX / CHUNK_SIZE)
		return -EFBIG;
	if (want <= c->len)
		return 0;
	bits = realloc(c->bits, want);
	if (!bits)
		return -ENOMEM;
	memset(bits + c->len, 0, want - c->len);
	c->bits = bits;
	c->len = want;
	return 0;
}

static void map_count(struct chunks *c)
{
	c->count = 0;
	for (size_t i = 0; i < c->len; i++)
		c->count += (uint64_t)__builtin_popcount(c->bits[i]);
}

/* --- opening -------------------------------------------------------------------------- */

static void key_hash(const char *key, char out[SHA256_HEX])
{
	struct digest *d = digest_new();

	out[0] = '\0';
	if (!d)
		return;
	digest_update(d, key, strlen(key));
	digest_hex(d, out);
	digest_free(d);
}

static int map_begin(struct chunks *c, const char *boot, const char *key, struct reason *why)
{
	struct map_header header = { .magic = MAP_MAGIC, .version = 1, .chunk = CHUNK_SIZE };

	text_copy(header.boot, sizeof(header.boot), boot);
	memcpy(header.key, key, SHA256_HEX);
	if (ftruncate(c->fd, 0) || ftruncate(c->map_fd, 0))
		return map_fail(c, why, errno, "emptying");
	return map_write(c, &header, sizeof(header), 0, why);
}

/* Bytes that are not even in the file are not here: a power loss may have kept the map alone. */
static void map_cut(struct chunks *c, uint64_t size)
{
	uint64_t chunks = (size + CHUNK_SIZE - 1) / CHUNK_SIZE;

	for (uint64_t i = chunks; i < (uint64_t)c->len * 8; i++) {
		if (i % 8 == 0) {
			memset(c->bits + i / 8, 0, c->len - (size_t)(i / 8));
			break;
		}
		c->bits[i / 8] &= (unsigned char)~(1u << (i % 8));
	}
}

/* The pages that count. A map that is cut short, by whatever, says less. */
static int map_read(struct chunks *c, bool synced, struct reason *why)
{
	struct stat st, data;
	size_t pages;

	if (fstat(c->map_fd, &st) || fstat(c->fd, &data))
		return map_fail(c, why, errno, "looking at");
	/* Of the last, perhaps only the beginning of its first page. */
	pages = st.st_size <= MAP_PAGE ? 0 : ((size_t)st.st_size + MAP_PAGE - 1) / (2 * MAP_PAGE);
	if (pages > CHUNKS_MAX / CHUNK_SIZE / 8 / MAP_PAGE)
		pages = CHUNKS_MAX / CHUNK_SIZE / 8 / MAP_PAGE;
	if (pages && map_grow(c, (uint64_t)pages * MAP_PAGE * 8 - 1))
		return map_fail(c, why, ENOMEM, "reading");
	for (size_t i = 0; i < pages; i++) {
		ssize_t n = pread(c->map_fd, c->bits + i * MAP_PAGE, MAP_PAGE, page_at(i, synced));

		if (n < 0)
			return map_fail(c, why, errno, "reading");
		memset(c->bits + i * MAP_PAGE + n, 0, MAP_PAGE - (size_t)n);
	}
	map_cut(c, (uint64_t)data.st_size);
	return 0;
}

static int map_load(struct chunks *c, const char *boot, const char *key, struct reason *why)
{
	struct map_header header;
	ssize_t n = pread(c->map_fd, &header, sizeof(header), 0);
	bool same_boot;
	int err;

	if (n < 0)
		return map_fail(c, why, errno, "reading");
	if (n != sizeof(header) || memcmp(header.magic, MAP_MAGIC, sizeof(header.magic)) ||
	    header.version != 1 || header.chunk != CHUNK_SIZE || memcmp(header.key, key, SHA256_HEX))
		return map_begin(c, boot, key, why);
	header.boot[sizeof(header.boot) - 1] = '\0';
	same_boot = !strcmp(header.boot, boot);
	err = map_read(c, !same_boot, why);
	if (err || same_boot)
		return err;
	for (size_t i = 0; i < c->len / MAP_PAGE; i++) {
		err = map_write(c, c->bits + i * MAP_PAGE, MAP_PAGE, page_at(i, false), why);
		if (err)
			return err;
	}
	text_copy(header.boot, sizeof(header.boot), boot);
	return map_write(c, &header, sizeof(header), 0, why);
}

static int chunks_fill(struct chunks *c, struct store *store, const char *key, struct reason *why)
{
	char name[32], map[40], hash[SHA256_HEX];

	c->dir = strdup(store->dir);
	if (!c->dir)
		return reason_set(why, ENOMEM, "no memory for cached bytes");
	snprintf(name, sizeof(name), "%" PRIu64, c->id);
	snprintf(map, sizeof(map), "%s.map", name);
	c->fd = store_part_open(store->chunks_fd, name);
	if (c->fd >= 0)
		c->map_fd = openat(store->chunks_fd, map, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (c->map_fd < 0)
		return reason_set(why, errno, "cannot make %s/chunks/%s: %s", store->dir, name, strerror(errno));
	key_hash(key, hash);

	int err = map_load(c, store->boot, hash, why);

	map_count(c);
	return err;
}

int chunks_open(struct store *store, uint64_t id, const char *key, struct chunks **out, struct reason *why)
{
	struct chunks *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return reason_set(why, ENOMEM, "no memory for cached bytes");
	pthread_mutex_init(&c->lock, NULL);
	c->id = id;
	c->fd = c->map_fd = -1;
	err = chunks_fill(c, store, key, why);
	if (err) {
		chunks_close(c);
		return err;
	}
	*out = c;
	return 0;
}

void chunks_close(struct chunks *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	if (c->map_fd >= 0)
		close(c->map_fd);
	pthread_mutex_destroy(&c->lock);
	free(c->bits);
	free(c->dir);
	free(c);
}

int chunks_fd(const struct chunks *c)
{
	return c->fd;
}

/* --- marks ------------------------------------------------------------------------------- */

/* The bytes of the map that hold these chunks, in pieces of one page. */
static int marks_write(struct chunks *c, uint64_t first, uint64_t last, struct reason *why)
{
	size_t from = (size_t)(first / 8), to = (size_t)(last / 8);
	int err = 0;

	while (!err && from <= to) {
		size_t page = from / MAP_PAGE, in = from % MAP_PAGE;
		size_t n = to - from + 1 < MAP_PAGE - in ? to - from + 1 : MAP_PAGE - in;

		err = map_write(c, c->bits + from, n, page_at(page, false) + (off_t)in, why);
		from += n;
	}
	return err;
}

int chunks_mark(struct chunks *c, uint64_t first, uint64_t last, struct reason *why)
{
	int err;

	pthread_mutex_lock(&c->lock);
	err = map_grow(c, last);
	if (err) {
		err = map_fail(c, why, -err, "enlarging");
	} else {
		for (uint64_t i = first; i <= last; i++) {
			unsigned char bit = (unsigned char)(1u << (i % 8));

			c->count += !(c->bits[i / 8] & bit);
			c->bits[i / 8] |= bit;
		}
		err = marks_write(c, first, last, why);
	}
	pthread_mutex_unlock(&c->lock);
	return err;
}

static bool bit_has(const struct chunks *c, uint64_t chunk)
{
	return chunk / 8 < c->len && c->bits[chunk / 8] & 1u << (chunk % 8);
}

bool chunks_has(const struct chunks *chunks, uint64_t chunk)
{
	struct chunks *c = (struct chunks *)chunks;
	bool has;

	pthread_mutex_lock(&c->lock);
	has = bit_has(c, chunk);
	pthread_mutex_unlock(&c->lock);
	return has;
}

uint64_t chunks_missing(const struct chunks *chunks, uint64_t chunk)
{
	struct chunks *c = (struct chunks *)chunks;

	pthread_mutex_lock(&c->lock);
	while (bit_has(c, chunk))
		chunk += chunk % 8 == 0 && c->bits[chunk / 8] == 0xff ? 8 : 1;
	pthread_mutex_unlock(&c->lock);
	return chunk;
}

uint64_t chunks_count(const struct chunks *chunks)
{
	struct chunks *c = (struct chunks *)chunks;
	uint64_t count;

	pthread_mutex_lock(&c->lock);
	count = c->count;
	pthread_mutex_unlock(&c->lock);
	return count;
}

int chunks_sync(struct chunks *c, struct reason *why)
{
	unsigned char *copy CLEANUP_FREE = NULL;
	size_t len;
	int err = 0;

	pthread_mutex_lock(&c->lock);
	len = c->len;
	if (len && (copy = malloc(len)))
		memcpy(copy, c->bits, len);
	pthread_mutex_unlock(&c->lock);
	if (!len)
		return 0;
	if (!copy)
		return map_fail(c, why, ENOMEM, "copying");
	if (fdatasync(c->fd))
		return map_fail(c, why, errno, "syncing the bytes of");
	for (size_t i = 0; !err && i < len / MAP_PAGE; i++)
		err = map_write(c, copy + i * MAP_PAGE, MAP_PAGE, page_at(i, true), why);
	if (!err && fdatasync(c->map_fd))
		err = map_fail(c, why, errno, "syncing");
	return err;
}
