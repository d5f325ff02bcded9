// SPDX-License-Identifier: Apache-2.0
/* Uploads: opening, writing, truncating, reading, ending (upload.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/card/upload.h"
#include "fs/tree/node.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/* How long an open waits for a RELEASE that is on its way. */
#define RELEASE_WAIT_NS 100000000

static void bits_set(struct upload *u, uint32_t set, uint32_t clear)
{
	uint32_t old = atomic_load(&u->saved->upload.bits);

	while (!atomic_compare_exchange_weak(&u->saved->upload.bits, &old, (old & ~clear) | set))
		;
}

/* --- membership -------------------------------------------------------------------- */

void upload_put(struct upload *u)
{
	if (!u || atomic_fetch_sub(&u->refs, 1) != 1)
		return;
	if (u->fd >= 0)
		close(u->fd);
	image_parser_free(u->parser);
	digest_free(u->digest);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

static struct upload *upload_new(struct slot *slot, bool check, uint64_t fh,
				 struct saved_handle *saved)
{
	struct upload *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	atomic_init(&u->refs, 1);
	pthread_mutex_init(&u->lock, NULL);
	u->slot = slot;
	u->check = check;
	u->fh = fh;
	u->saved = saved;
	u->fd = -1;
	u->parser = image_parser_new();
	u->digest = digest_new();
	if (!u->parser || !u->digest) {
		upload_put(u);
		return NULL;
	}
	return u;
}

static void upload_link(struct upload *u)
{
	u->next = u->slot->uploads;
	u->slot->uploads = u;
}

/* card->lock held; true: it was in the list. */
static bool upload_unlink(struct upload *u)
{
	for (struct upload **at = &u->slot->uploads; *at; at = &(*at)->next) {
		if (*at == u) {
			*at = u->next;
			return true;
		}
	}
	return false;
}

struct upload *upload_find(struct slot *slot, uint64_t fh)
{
	struct upload *u;

	pthread_mutex_lock(&slot->card->lock);
	for (u = slot->uploads; u && u->fh != fh; u = u->next)
		;
	if (u)
		atomic_fetch_add(&u->refs, 1);
	pthread_mutex_unlock(&slot->card->lock);
	return u;
}

struct upload *upload_find_name(struct slot *slot, const char *name)
{
	struct upload *u;

	pthread_mutex_lock(&slot->card->lock);
	for (u = slot->uploads; u && strcmp(u->saved->upload.name, name); u = u->next)
		;
	if (u)
		atomic_fetch_add(&u->refs, 1);
	pthread_mutex_unlock(&slot->card->lock);
	return u;
}

/* card->lock held: may somebody (u, or a newcomer with NULL) begin to write? */
static int slot_free_for(struct slot *slot, bool check, const struct upload *u, struct reason *why)
{
	unsigned dev = slot->card->dev;
	const struct upload *writer = slot->writer[check];

	if (writer && writer != u)
		return reason_set(why, EBUSY, "dev%u: %s (pid %d) is uploading to it", dev,
				  writer->saved->who.command, writer->saved->who.pid);
	if (check)
		return 0;
	if (slot->running)
		return reason_set(why, EBUSY, "dev%u is being programmed", dev);
	if (slot->commands)
		return reason_set(why, EBUSY, "dev%u is carrying out a command", dev);
	return 0;
}

/* card->lock held */
static int temp_may_be_made(struct slot *slot, const char *name)
{
	unsigned temps = 0;

	for (const struct upload *u = slot->uploads; u; u = u->next) {
		if (!strcmp(u->saved->upload.name, name))
			return -EEXIST;
		temps += upload_is_temp(u);
	}
	return temps < TEMPS_MAX ? 0 : -EDQUOT;
}

/*
 * As slot_free_for(), for an open. A writer whose close was answered is usually
 * gone for good, but the kernel sends the RELEASE behind it, and another thread
 * may still be at it: `cp bad image; cp good image` must not find its own ghost.
 * card->lock held; may let go of it for RELEASE_WAIT_NS at most.
 */
static int slot_free_for_open(struct slot *slot, bool check, struct reason *why)
{
	struct timespec until;
	int err;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += RELEASE_WAIT_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while ((err = slot_free_for(slot, check, NULL, why)) == -EBUSY) {
		const struct upload *writer = slot->writer[check];

		if (!writer || slot->running || !(upload_bits(writer) & (UPLOAD_JUDGED | UPLOAD_POISONED)) ||
		    pthread_cond_clockwait(&slot->card->released, &slot->card->lock, CLOCK_MONOTONIC,
					   &until))
			break;
	}
	if (!err && why)
		*why = (struct reason){ 0 };
	return err;
}

int upload_open(struct slot *slot, bool check, int open_flags, uint64_t ino, const struct who *who,
		const char *name, struct upload **out, struct reason *why)
{
	struct card *card = slot->card;
	const struct card_view *view = card_view_get(card);
	bool offline = slot_view(view, slot->index)->state == STATE_OFFLINE;
	struct saved_handle *saved;
	struct upload *u;
	uint64_t fh;
	int err = 0;

	card_view_put(view);
	if (offline)
		return reason_set(why, ENODEV, "dev%u is offline", card->dev);
	saved = saved_new(SAVED_UPLOAD, &fh);
	if (!saved)
		return reason_set(why, ENFILE, "too many files are open");
	saved->open_flags = (uint32_t)open_flags;
	saved->who = *who;
	memset(&saved->upload, 0, sizeof(saved->upload));
	if (name) {
		text_copy(saved->upload.name, sizeof(saved->upload.name), name);
		atomic_store(&saved->upload.opens, 1);
		saved->ino = node_make(NODE_TEMP, card->dev, slot->index, (uint32_t)fh);
	} else {
		saved->ino = ino;
	}
	atomic_store(&saved->upload.bits, (open_flags & O_TRUNC || name ? UPLOAD_TRUNCATED : 0) |
					  (open_flags & O_APPEND ? UPLOAD_APPEND : 0));
	u = upload_new(slot, check, fh, saved);
	if (!u) {
		saved_publish(saved, fh);
		saved_drop(saved);
		return reason_set(why, ENOMEM, "no memory for an upload");
	}
	pthread_mutex_lock(&card->lock);
	err = name ? temp_may_be_made(slot, name) : slot_free_for_open(slot, check, why);
	/* Published inside, so that a successor never finds an upload that was refused. */
	saved_publish(saved, fh);
	if (!err) {
		upload_link(u);
		atomic_fetch_add(&u->refs, 1);
	} else {
		saved_drop(saved);
	}
	pthread_mutex_unlock(&card->lock);
	if (err) {
		upload_put(u);
		return err;
	}
	*out = u;
	return 0;
}

/* --- content ------------------------------------------------------------------------ */

static void claim_drop(struct upload *u)
{
	bool idle = false;

	pthread_mutex_lock(&u->slot->card->lock);
	if (u->slot->writer[u->check] == u) {
		u->slot->writer[u->check] = NULL;
		idle = !u->slot->running;
	}
	pthread_mutex_unlock(&u->slot->card->lock);
	if (idle)
		slot_progress(u->slot, PHASE_IDLE, 0, 0);
}

void upload_content_gone(struct upload *u, uint32_t set_bits)
{
	if (u->fd >= 0)
		close(u->fd);
	u->fd = -1;
	store_spool_drop(u->slot->card->store, u->fh);
	image_parser_reset(u->parser);
	digest_reset(u->digest);
	u->fed = u->covered = 0;
	u->facts_known = false;
	u->saved->upload.sha256[0] = '\0';
	if (u->held)
		blobs_release(u->slot->card->store);
	u->held = false;
	atomic_store(&u->saved->upload.size, 0);
	bits_set(u, set_bits, UPLOAD_WRITTEN | UPLOAD_SEEDED | UPLOAD_REFERENCE | UPLOAD_SPARSE);
	claim_drop(u);
}

void upload_drop(struct upload *u)
{
	bool mine;

	pthread_mutex_lock(&u->slot->card->lock);
	mine = upload_unlink(u);
	pthread_mutex_unlock(&u->slot->card->lock);
	if (!mine)
		return;
	pthread_mutex_lock(&u->lock);
	upload_content_gone(u, UPLOAD_ENDED);
	pthread_mutex_unlock(&u->lock);
	pthread_cond_broadcast(&u->slot->card->released);
	saved_drop(u->saved);
	upload_put(u);
}

static int fd_copy(int from, int to, struct reason *why)
{
	off_t at_in = 0, at_out = 0;
	ssize_t n;

	while ((n = copy_file_range(from, &at_in, to, &at_out, 1 << 30, 0)) != 0)
		if (n < 0 && errno != EINTR)
			return reason_set(why, errno, "copying the loaded image to the spool: %s",
					  strerror(errno));
	return 0;
}

/* The content becomes a copy of a blob, to be changed. */
static int content_seed(struct upload *u, const char *sha256, struct reason *why)
{
	uint64_t size;
	int fd CLEANUP_FD = -1;
	int err = store_blob_open(u->slot->card->store, sha256, &fd, &size, why);

	if (!err)
		err = fd_copy(fd, u->fd, why);
	if (!err)
		atomic_store(&u->saved->upload.size, size);
	return err;
}

/* Before the first byte: the claim, the spool, the seed. */
static int content_begin(struct upload *u, struct reason *why)
{
	struct card *card = u->slot->card;
	uint32_t bits = upload_bits(u);
	char loaded[SHA256_HEX];
	int err = 0;

	if (!upload_is_temp(u)) {
		pthread_mutex_lock(&card->lock);
		err = slot_free_for(u->slot, u->check, u, why);
		if (!err)
			u->slot->writer[u->check] = u;
		pthread_mutex_unlock(&card->lock);
		if (err)
			return err;
	}
	if (u->fd < 0)
		err = store_spool_open(card->store, u->fh, &u->fd, why);
	if (!err && ftruncate(u->fd, 0))
		err = reason_set(why, errno, "emptying the spool file: %s", strerror(errno));
	if (!err && !u->check && !(bits & (UPLOAD_TRUNCATED | UPLOAD_APPEND))) {
		const struct card_view *view = card_view_get(card);

		memcpy(loaded, slot_view(view, u->slot->index)->loaded.sha256, SHA256_HEX);
		card_view_put(view);
		if (*loaded) {
			err = content_seed(u, loaded, why);
			/* Fed while it is written from its first byte on: a wrong part or format
			 * is told by that write. What is left of the seed is read at the end. */
			bits_set(u, UPLOAD_SEEDED, 0);
		}
	}
	if (err)
		claim_drop(u);
	return err;
}

/* A reference becomes bytes of our own when somebody changes it. */
static int content_own(struct upload *u, struct reason *why)
{
	int err;

	if (!(upload_bits(u) & UPLOAD_REFERENCE))
		return 0;
	err = store_spool_open(u->slot->card->store, u->fh, &u->fd, why);
	if (!err)
		err = content_seed(u, u->saved->upload.sha256, why);
	bits_set(u, UPLOAD_SPARSE, UPLOAD_REFERENCE);
	return err;
}

static int spool_write(int fd, const char *bytes, size_t n, uint64_t off, struct reason *why)
{
	while (n) {
		ssize_t w = pwrite(fd, bytes, n, (off_t)off);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return reason_set(why, errno, "spooling the image to the state folder: %s",
					  strerror(errno));
		bytes += w;
		off += (uint64_t)w;
		n -= (size_t)w;
	}
	return 0;
}

static uint64_t image_max(struct slot *slot)
{
	const struct card_view *view = card_view_get(slot->card);
	uint64_t max = view->facts.image_max;

	card_view_put(view);
	return max ? max : SPOOL_MAX;
}

/* Through the recogniser and the hash, as long as bytes come in order. */
static int content_feed(struct upload *u, const void *bytes, size_t n, uint64_t off,
			struct reason *why)
{
	int err;

	if (upload_bits(u) & UPLOAD_SPARSE)
		return 0;
	if (off != u->fed) {
		bits_set(u, UPLOAD_SPARSE, 0);
		return 0;
	}
	digest_update(u->digest, bytes, n);
	u->fed += n;
	err = image_parser_feed(u->parser, bytes, n, why);
	if (err < 0 || upload_is_temp(u))
		return upload_is_temp(u) ? 0 : err;
	return slot_suits(u->slot, image_parser_facts(u->parser), why);
}

/* The refusal that every tool reports: remembered, told once, the bytes are dropped. */
static int content_refuse(struct upload *u, bool *fresh, const struct reason *why)
{
	*fresh = !(upload_bits(u) & UPLOAD_TOLD);
	u->why = *why;
	u->judged_err = why->err;
	u->facts = *image_parser_facts(u->parser);
	upload_content_gone(u, UPLOAD_TOLD);
	return -why->err;
}

static int write_allowed(struct upload *u, struct reason *why)
{
	uint32_t bits = upload_bits(u);

	if (bits & UPLOAD_ENDED) {
		bits_set(u, UPLOAD_TOLD, 0);
		return reason_set(why, ECANCELED, "the upload was ended");
	}
	if (bits & UPLOAD_PROGRAMMED)
		return reason_set(why, EFBIG, "bytes after an image that was programmed already");
	if (bits & UPLOAD_TOLD)
		return reason_set(why, u->why.err ? u->why.err : ECANCELED, "%s", u->why.text);
	return 0;
}

static int upload_write_locked(struct upload *u, const void *bytes, size_t n, uint64_t off,
			       bool *fresh, struct reason *why)
{
	struct saved_handle *saved = u->saved;
	uint32_t bits = upload_bits(u);
	int err = write_allowed(u, why);

	if (err || !n)
		return err;
	if (!(bits & UPLOAD_WRITTEN)) {
		err = content_begin(u, why);
		if (err == -EBUSY) {
			/* Not this card's failure: another one is at it. */
			u->why = *why;
			bits_set(u, UPLOAD_TOLD, 0);
			return err;
		}
	} else {
		err = content_own(u, why);
	}
	if (bits & UPLOAD_APPEND)
		off = atomic_load(&saved->upload.size);
	if (!err && off + n > image_max(u->slot) + IMAGE_HEAD_MAX)
		err = reason_set(why, EFBIG, "the image is larger than the %llu bytes that dev%u takes",
				 (unsigned long long)image_max(u->slot), u->slot->card->dev);
	if (!err)
		err = spool_write(u->fd, bytes, n, off, why);
	if (!err) {
		/* Before it counts as written: the timer looks at both without our lock. */
		atomic_store(&saved->upload.last_ns, clock_mono_ns());
		bits_set(u, UPLOAD_WRITTEN, UPLOAD_JUDGED);
		if (!(bits & UPLOAD_WRITTEN))
			cards_kick(); /* upload-timeout begins to count */
		if (off + n > atomic_load(&saved->upload.size))
			atomic_store(&saved->upload.size, off + n);
		if (off <= u->covered && off + n > u->covered)
			u->covered = off + n;
		err = content_feed(u, bytes, n, off, why);
	}
	if (err)
		return content_refuse(u, fresh, why);
	if (!upload_is_temp(u))
		slot_progress(u->slot, PHASE_RECEIVING, atomic_load(&saved->upload.size),
			      image_parser_facts(u->parser)->declared_size);
	return 0;
}

int upload_write(struct upload *u, const void *bytes, size_t n, uint64_t off, bool *fresh,
		 struct reason *why)
{
	int err;

	*fresh = false;
	if (off > SPOOL_MAX || n > SPOOL_MAX)
		return reason_set(why, EFBIG, "an image of more than %llu bytes",
				  (unsigned long long)SPOOL_MAX);
	pthread_mutex_lock(&u->lock);
	err = upload_write_locked(u, bytes, n, off, fresh, why);
	pthread_mutex_unlock(&u->lock);
	return err ? err : (int)n;
}

static int upload_truncate_locked(struct upload *u, uint64_t size, struct reason *why)
{
	int err;

	if (!size) {
		u->why = (struct reason){ 0 };
		u->judged_err = 0;
		upload_content_gone(u, UPLOAD_TRUNCATED);
		bits_set(u, 0, UPLOAD_TOLD | UPLOAD_JUDGED | UPLOAD_PROGRAMMED);
		return 0;
	}
	if (size == upload_size(u))
		return 0;
	err = write_allowed(u, why);
	if (!err)
		err = upload_bits(u) & UPLOAD_WRITTEN ? content_own(u, why) : content_begin(u, why);
	if (err)
		return err;
	if (size > image_max(u->slot) + IMAGE_HEAD_MAX)
		return reason_set(why, EFBIG, "larger than the card takes");
	if (ftruncate(u->fd, (off_t)size))
		return reason_set(why, errno, "resizing the spool file: %s", strerror(errno));
	atomic_store(&u->saved->upload.size, size);
	atomic_store(&u->saved->upload.last_ns, clock_mono_ns());
	bits_set(u, UPLOAD_WRITTEN | UPLOAD_SPARSE, UPLOAD_JUDGED);
	cards_kick();
	return 0;
}

int upload_truncate(struct upload *u, uint64_t size, struct reason *why)
{
	int err;

	pthread_mutex_lock(&u->lock);
	err = upload_truncate_locked(u, size, why);
	pthread_mutex_unlock(&u->lock);
	return err;
}

uint64_t upload_size(struct upload *u)
{
	uint32_t bits = upload_bits(u);

	if (bits & UPLOAD_WRITTEN || bits & (UPLOAD_TRUNCATED | UPLOAD_APPEND) || upload_is_temp(u))
		return atomic_load(&u->saved->upload.size);

	const struct card_view *view = card_view_get(u->slot->card);
	uint64_t size = slot_view(view, u->slot->index)->loaded.size;

	card_view_put(view);
	return size;
}

ssize_t upload_read(struct upload *u, void *out, size_t n, uint64_t off)
{
	struct store *store = u->slot->card->store;
	char sha256[SHA256_HEX] = "";
	int fd CLEANUP_FD = -1;
	struct reason why;
	ssize_t got;

	pthread_mutex_lock(&u->lock);

	uint32_t bits = upload_bits(u);

	if (u->fd >= 0 && bits & UPLOAD_WRITTEN) {
		got = pread(u->fd, out, n, (off_t)off);
		got = got < 0 ? -errno : got;
		pthread_mutex_unlock(&u->lock);
		return got;
	}
	if (bits & UPLOAD_REFERENCE)
		memcpy(sha256, u->saved->upload.sha256, SHA256_HEX);
	pthread_mutex_unlock(&u->lock);
	if (!*sha256 && !upload_is_temp(u) && !u->check) {
		const struct card_view *view = card_view_get(u->slot->card);

		memcpy(sha256, slot_view(view, u->slot->index)->loaded.sha256, SHA256_HEX);
		card_view_put(view);
	}
	if (!*sha256)
		return 0;

	int err = store_blob_open(store, sha256, &fd, NULL, &why);

	if (err)
		return err;
	got = pread(fd, out, n, (off_t)off);
	return got < 0 ? -errno : got;
}

int upload_reference(struct upload *u, const char *sha256, uint64_t size,
		     const struct image_facts *facts, const char *source, bool *fresh,
		     struct reason *why)
{
	int err;

	*fresh = false;
	pthread_mutex_lock(&u->lock);
	err = write_allowed(u, why);
	if (!err)
		err = content_begin(u, why);
	if (!err) {
		memcpy(u->saved->upload.sha256, sha256, SHA256_HEX);
		text_copy(u->saved->upload.source, sizeof(u->saved->upload.source), source);
		atomic_store(&u->saved->upload.size, size);
		atomic_store(&u->saved->upload.last_ns, clock_mono_ns());
		u->facts = *facts;
		u->facts_known = true;
		blobs_hold();
		u->held = true;
		close(STEAL_FD(u->fd));
		store_spool_drop(u->slot->card->store, u->fh);
		bits_set(u, UPLOAD_WRITTEN | UPLOAD_REFERENCE, UPLOAD_JUDGED | UPLOAD_SEEDED | UPLOAD_SPARSE);
		cards_kick();
		err = slot_suits(u->slot, facts, why);
		if (err)
			err = content_refuse(u, fresh, why);
	}
	pthread_mutex_unlock(&u->lock);
	return err;
}

/* --- judging (for judge.c) ------------------------------------------------------------- */

/* The whole content through recogniser and hash again. */
static int content_reread(struct upload *u, int fd, uint64_t size, struct reason *why)
{
	size_t room = 256 * 1024;
	char *bytes CLEANUP_FREE = malloc(room);
	int err = 0;

	if (!bytes)
		return reason_set(why, ENOMEM, "no memory to validate the image");
	image_parser_reset(u->parser);
	digest_reset(u->digest);
	u->fed = 0;
	while (u->fed < size && err >= 0) {
		ssize_t n = pread(fd, bytes, room, (off_t)u->fed);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return reason_set(why, n ? errno : EIO, "reading the spool file back: %s",
					  n ? strerror(errno) : "it is shorter than what was written");
		digest_update(u->digest, bytes, (size_t)n);
		u->fed += (uint64_t)n;
		err = image_parser_feed(u->parser, bytes, (size_t)n, why);
		slot_progress(u->slot, PHASE_VALIDATING, u->fed, size);
	}
	return err < 0 ? err : 0;
}

enum verdict upload_examine(struct upload *u, struct image_facts *facts, char sha256[SHA256_HEX],
			    struct reason *why)
{
	uint32_t bits = upload_bits(u);
	uint64_t size = atomic_load(&u->saved->upload.size);
	int ref CLEANUP_FD = -1;
	int err = 0;

	if (bits & UPLOAD_REFERENCE && u->facts_known) {
		*facts = u->facts;
		memcpy(sha256, u->saved->upload.sha256, SHA256_HEX);
		return VERDICT_SOUND;
	}
	if (bits & UPLOAD_REFERENCE)
		err = store_blob_open(u->slot->card->store, u->saved->upload.sha256, &ref, &size, why);
	else if (u->fd < 0)
		/* Taken up from a worker that died: the spool is still there. */
		err = store_spool_open(u->slot->card->store, u->fh, &u->fd, why);
	if (!err && (bits & UPLOAD_SPARSE || u->fed != size))
		err = content_reread(u, ref >= 0 ? ref : u->fd, size, why);
	*facts = *image_parser_facts(u->parser);
	digest_hex(u->digest, sha256);
	if (err)
		return VERDICT_BAD;
	err = image_parser_end(u->parser, why);
	*facts = *image_parser_facts(u->parser);
	if (err)
		return VERDICT_INCOMPLETE;
	if (bits & UPLOAD_SEEDED && !*facts->integrity_checked && u->covered < size) {
		reason_set(why, EBADMSG, "parts of the image were written over the loaded one, and the "
			   "format %s has no checksum that would show a mixture", facts->format);
		return VERDICT_BAD;
	}
	return VERDICT_SOUND;
}

/* --- after a restart of the worker --------------------------------------------------------- */

static int upload_restore(struct saved_handle *saved, void *arg)
{
	struct card *card;
	struct slot *slot;
	struct upload *u;
	uint32_t bits;

	(void)arg;
	if (saved->kind != SAVED_UPLOAD)
		return 0;
	card = cards_find(node_card(saved->ino));
	slot = card ? card_slot(card, node_slot(saved->ino)) : NULL;
	if (!slot)
		return 0;
	u = upload_new(slot, node_kind(saved->ino) == NODE_CARD && node_file(saved->ino) == FILE_CHECK,
		       atomic_load(&saved->fh), saved);
	if (!u) {
		log_error("dev%u: no memory to take up an upload", card->dev);
		return 0;
	}
	bits = upload_bits(u);
	if (bits & UPLOAD_WRITTEN && *saved->upload.sha256) {
		char path[4096];

		/* It was being programmed: the spool may have become the blob already. */
		blobs_hold();
		u->held = true;
		store_spool_path(card->store, u->fh, path, sizeof(path));
		if (access(path, F_OK))
			bits_set(u, UPLOAD_REFERENCE, 0);
		bits = upload_bits(u);
	}
	if (bits & UPLOAD_WRITTEN && !(bits & UPLOAD_REFERENCE)) {
		struct reason why = { 0 };

		if (store_spool_open(card->store, u->fh, &u->fd, &why))
			log_error("dev%u: an upload in progress is lost: %s", card->dev, why.text);
		/* What the dead worker had fed is forgotten; the spool is read at the end. */
		bits_set(u, UPLOAD_SPARSE, 0);
	}
	if (bits & UPLOAD_WRITTEN && !upload_is_temp(u))
		slot->writer[u->check] = u;
	upload_link(u);
	return 0;
}

void uploads_restore(void)
{
	saved_each(upload_restore, NULL);
}

/* --- ending from outside --------------------------------------------------------------------- */

struct ended {
	struct job job;
	struct upload *u;
	struct reason why;
};

static void ended_record(struct card *card, struct job *job, bool end)
{
	struct ended *e = (struct ended *)job;

	(void)card;
	if (!end)
		slot_refuse(e->u->slot, "image-refused", &e->why, NULL, NULL, 0, &e->u->saved->who);
	upload_put(e->u);
	free(e);
}

/* Takes over the caller's reference. */
static void upload_end(struct upload *u, const char *sentence)
{
	struct ended *e = calloc(1, sizeof(*e));

	pthread_mutex_lock(&u->lock);
	reason_set(&u->why, ECANCELED, "%s", sentence);
	upload_content_gone(u, UPLOAD_ENDED);
	pthread_mutex_unlock(&u->lock);
	if (!e) {
		upload_put(u);
		return;
	}
	e->job.run = ended_record;
	e->u = u;
	e->why = u->why;
	if (!actor_post(u->slot->card, &e->job)) {
		upload_put(u);
		free(e);
	}
}

int upload_stop(struct slot *slot, bool check, const struct who *who, const char *sentence)
{
	struct card *card = slot->card;
	struct upload *u;
	bool running;

	pthread_mutex_lock(&card->lock);
	u = slot->writer[check];
	running = slot->running;
	if (u && who && who->uid && who->uid != slot->uid && who->uid != u->saved->who.uid) {
		pthread_mutex_unlock(&card->lock);
		return -EPERM;
	}
	if (u)
		atomic_fetch_add(&u->refs, 1);
	pthread_mutex_unlock(&card->lock);
	if (!u)
		return -ENOENT;
	if (running) {
		/* Its bytes are on their way to the card; the run ends with ECANCELED. */
		actor_cancel(card);
		upload_put(u);
		return 0;
	}
	upload_end(u, sentence);
	return 0;
}

int64_t uploads_expire(struct card *card, int64_t now)
{
	int64_t timeout = card->config->upload_timeout_ms * 1000000, next = -1;

	for (int i = -1; i < (int)card->slots_len; i++) {
		struct slot *slot = card_slot(card, i);
		struct upload *late = NULL;
		bool temp = false;

		pthread_mutex_lock(&card->lock);
		for (struct upload *u = slot->uploads; u && !late; u = u->next) {
			int64_t closed = atomic_load(&u->saved->upload.closed_ns);
			int64_t due = -1;

			if (upload_is_temp(u) && closed)
				due = closed + TEMP_LIFE_NS;
			else if (upload_bits(u) & UPLOAD_WRITTEN && !slot->running)
				due = atomic_load(&u->saved->upload.last_ns) + timeout;
			if (due >= 0 && due <= now) {
				late = u;
				temp = upload_is_temp(u);
				atomic_fetch_add(&u->refs, 1);
			} else if (due >= 0 && (next < 0 || due - now < next)) {
				next = due - now;
			}
		}
		pthread_mutex_unlock(&card->lock);
		if (!late)
			continue;
		next = 0; /* there may be more */
		if (temp) {
			upload_drop(late);
			upload_put(late);
		} else {
			upload_end(late, "nothing came for the time of upload-timeout");
		}
	}
	return next;
}
