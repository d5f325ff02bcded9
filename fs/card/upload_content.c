// SPDX-License-Identifier: Apache-2.0
/* What an upload holds: writing, cutting, reading and examining its bytes (upload.h). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/card/upload.h"

#include <fabricfs/buf.h>
#include <fabricfs/cache.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

void upload_content_gone(struct upload *u, uint32_t set_bits)
{
	if (u->fd >= 0)
		close(u->fd);
	u->fd = -1;
	store_spool_drop(u->slot->card->store, u->fh);
	image_parser_reset(u->parser);
	digest_reset(u->digest);
	u->fed = u->covered = 0;
	u->late = (struct reason){ 0 };
	upload_next_set(u, UPLOAD_NO_NEXT);
	u->facts_known = false;
	u->saved->upload.sha256[0] = '\0';
	u->saved->upload.source[0] = '\0';
	atomic_store(&u->saved->upload.run, 0);
	if (u->held)
		blobs_release(u->slot->card->store);
	u->held = false;
	atomic_store(&u->saved->upload.size, 0);
	upload_bits_change(u, set_bits, UPLOAD_WRITTEN | UPLOAD_SEEDED | UPLOAD_REFERENCE | UPLOAD_SPARSE);
	upload_unclaim(u);
}

/* Is it worth trying again? Room may be about to be made by the bytes of removed images. */
static bool again_after(struct upload *u, int err)
{
	return err == EINTR || ((err == ENOSPC || err == EDQUOT) && store_room_make(u->slot->card->store));
}

static int spool_copy(struct upload *u, int from, struct reason *why)
{
	off_t at_in = 0, at_out = 0;
	ssize_t n;

	while ((n = copy_file_range(from, &at_in, u->fd, &at_out, 1 << 30, 0)) != 0) {
		int err = errno;

		if (n < 0 && !again_after(u, err))
			return reason_set(why, err, "copying the loaded image to the spool: %s",
					  strerror(err));
	}
	return 0;
}

/* The content becomes a copy of a blob, to be changed. */
static int content_seed(struct upload *u, const char *sha256, struct reason *why)
{
	uint64_t size;
	int fd CLEANUP_FD = -1;
	int err = store_blob_open(u->slot->card->store, sha256, &fd, &size, why);

	if (!err)
		err = spool_copy(u, fd, why);
	if (!err)
		atomic_store(&u->saved->upload.size, size);
	return err;
}

static int content_claim(struct upload *u, struct reason *why)
{
	return upload_is_temp(u) ? 0 : upload_claim(u, why);
}

/* Before the first byte: the claim, the spool, the seed. */
static int content_begin(struct upload *u, struct reason *why)
{
	struct card *card = u->slot->card;
	uint32_t bits = upload_bits(u);
	char loaded[SHA256_HEX];
	int err = content_claim(u, why);

	if (err)
		return err;
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
			upload_bits_change(u, UPLOAD_SEEDED, 0);
		}
	}
	if (err)
		upload_unclaim(u);
	return err;
}

/* A reference becomes bytes of our own when somebody changes it. */
static int content_own(struct upload *u, struct reason *why)
{
	uint64_t copied = atomic_load(&u->saved->upload.size);
	int err;

	if (!(upload_bits(u) & UPLOAD_REFERENCE))
		return 0;
	err = store_spool_open(u->slot->card->store, u->fh, &u->fd, why);
	if (!err)
		err = content_seed(u, u->saved->upload.sha256, why);
	/* As far as it was copied. */
	if (!err && atomic_load(&u->saved->upload.size) > copied) {
		if (ftruncate(u->fd, (off_t)copied))
			err = reason_set(why, errno, "resizing the spool file: %s", strerror(errno));
		atomic_store(&u->saved->upload.size, copied);
	}
	/* Whatever it becomes, it is no repository's any more. */
	u->saved->upload.source[0] = '\0';
	upload_bits_change(u, UPLOAD_SPARSE, UPLOAD_REFERENCE);
	return err;
}

static int spool_write(struct upload *u, const char *bytes, size_t n, uint64_t off, struct reason *why)
{
	while (n) {
		ssize_t w = pwrite(u->fd, bytes, n, (off_t)off);
		int err = errno;

		if (w < 0 && again_after(u, err))
			continue;
		if (w < 0)
			return reason_set(why, err, "spooling the image to the state folder: %s",
					  strerror(err));
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

int upload_size_suits(struct upload *u, uint64_t size, struct reason *why)
{
	uint64_t max = image_max(u->slot);

	if (size <= max + IMAGE_HEAD_MAX)
		return 0;
	return reason_set(why, EFBIG, "the image is larger than the %" PRIu64 " bytes that %s takes", max,
			  u->slot->name);
}

/* Through the recogniser and the hash, whose turn it is. */
static int content_recognise(struct upload *u, const void *bytes, size_t n, struct reason *why)
{
	int err;

	digest_update(u->digest, bytes, n);
	u->fed += n;
	err = image_parser_feed(u->parser, bytes, n, why);
	if (err < 0 || upload_is_temp(u))
		return upload_is_temp(u) ? 0 : err;
	return slot_suits(u->slot, image_parser_facts(u->parser), why);
}

/* The same at the time of the write, as long as bytes come in order. */
static int content_feed(struct upload *u, const void *bytes, size_t n, uint64_t off,
			struct reason *why)
{
	if (upload_bits(u) & UPLOAD_SPARSE)
		return 0;
	if (off != u->fed) {
		upload_bits_change(u, UPLOAD_SPARSE, 0);
		return 0;
	}
	return content_recognise(u, bytes, n, why);
}

/*
 * May what follows be answered first? Not before the part is known, as the write that shows
 * a wrong one has to fail, nor behind the end, and only while bytes come in order.
 */
static bool content_goes_on(struct upload *u)
{
	return !(upload_bits(u) & (UPLOAD_SPARSE | UPLOAD_SEEDED | UPLOAD_APPEND | UPLOAD_REFERENCE)) &&
	       !u->late.err && u->fed == atomic_load(&u->saved->upload.size) &&
	       *image_parser_facts(u->parser)->part && !image_parser_complete(u->parser);
}

/* The refusal that every tool reports: remembered, told once, the bytes are dropped. */
static int content_refuse(struct upload *u, bool *fresh, const struct reason *why)
{
	u->saved->upload.refused = why->err;
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
		upload_bits_change(u, UPLOAD_TOLD, 0);
		return reason_set(why, ECANCELED, "the upload was ended");
	}
	if (bits & UPLOAD_PROGRAMMED)
		return reason_set(why, EFBIG, "bytes after an image whose result this open was told; "
				  "truncate it to begin another");
	if (bits & UPLOAD_TOLD)
		return reason_set(why, u->why.err ? u->why.err : u->saved->upload.refused ?
				  u->saved->upload.refused : ECANCELED, "%s", u->why.text);
	return 0;
}

/* The write that was refused comes again: its worker died before it could say so. */
static bool refusal_was_lost(struct upload *u)
{
	uint32_t bits = upload_bits(u);

	if (!request_current()->resent || u->why.err || !(bits & UPLOAD_TOLD) ||
	    bits & (UPLOAD_NOTED | UPLOAD_ENDED | UPLOAD_PROGRAMMED) || !u->saved->upload.refused)
		return false;
	reason_set(&u->why, u->saved->upload.refused, "the image was refused (%s), but the worker that "
		   "had the details died: copy it again", errno_name(u->saved->upload.refused));
	return true;
}

/* Where an append goes: behind everything, or where it went when it came before. */
static uint64_t append_offset(struct saved_handle *saved)
{
	const struct request *r = request_current();

	if (r->resent && atomic_load(&saved->upload.append_by) == r->unique)
		return saved->upload.append_at;
	saved->upload.append_at = atomic_load(&saved->upload.size);
	atomic_store(&saved->upload.append_by, r->unique);
	return saved->upload.append_at;
}

void upload_receiving_show(struct upload *u)
{
	const struct image_facts *facts = image_parser_facts(u->parser);
	uint64_t size = atomic_load(&u->saved->upload.size);
	uint64_t total = facts->expected_size >= size ? facts->expected_size : 0;

	/* The end is there: what comes behind it is padding. */
	if (facts->declared_size)
		total = facts->declared_size > size ? facts->declared_size : size;
	upload_progress(u, PHASE_RECEIVING, size, total);
}

static int upload_write_entered(struct upload *u, const void *bytes, size_t n, uint64_t off,
				bool *fresh, struct reason *why)
{
	struct saved_handle *saved = u->saved;
	uint32_t bits = upload_bits(u);
	int err = write_allowed(u, why);

	if (err && refusal_was_lost(u)) {
		*why = u->why;
		*fresh = true;
	}
	if (err || !n)
		return err;
	if (u->late.err) {
		*why = u->late;
		return content_refuse(u, fresh, why);
	}
	if (!(bits & UPLOAD_WRITTEN)) {
		err = content_begin(u, why);
		if (err == -EBUSY) {
			/* Not this card's failure: another one is at it. */
			u->why = *why;
			saved->upload.refused = why->err;
			upload_bits_change(u, UPLOAD_TOLD | UPLOAD_NOTED, 0);
			return err;
		}
	} else {
		err = content_own(u, why);
	}
	if (bits & UPLOAD_APPEND)
		off = append_offset(saved);
	if (!err)
		err = upload_size_suits(u, off + n, why);
	if (!err)
		err = spool_write(u, bytes, n, off, why);
	if (!err) {
		/* Before it counts as written: the timer looks at both without our lock. */
		atomic_store(&saved->upload.last_ns, clock_mono_ns());
		upload_bits_change(u, UPLOAD_WRITTEN, UPLOAD_JUDGED);
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
	upload_receiving_show(u);
	upload_next_set(u, content_goes_on(u) ? u->fed : UPLOAD_NO_NEXT);
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
	if (!upload_enter(u))
		return -EINPROGRESS;
	err = upload_write_entered(u, bytes, n, off, fresh, why);
	upload_leave(u);
	return err ? err : (int)n;
}

/* Smaller ones are through the recogniser before another thread has come. */
#define AHEAD_MIN (64u << 10)

int upload_write_ahead(struct upload *u, const void *bytes, size_t n, uint64_t off, uint64_t *turn,
		       bool *fresh, struct reason *why)
{
	struct saved_handle *saved = u->saved;
	int err;

	*turn = 0;
	if (!n || n > SPOOL_MAX || off > SPOOL_MAX || off + n > image_max(u->slot) + IMAGE_HEAD_MAX ||
	    !upload_enter_next(u, off, n < AHEAD_MIN))
		return upload_write(u, bytes, n, off, fresh, why);
	*fresh = false;
	err = spool_write(u, bytes, n, off, why);
	if (err) {
		upload_turns_wait(u);
		err = content_refuse(u, fresh, why);
		upload_leave(u);
		return err;
	}
	atomic_store(&saved->upload.last_ns, clock_mono_ns());
	atomic_store(&saved->upload.size, off + n);
	if (off <= u->covered)
		u->covered = off + n;
	*turn = upload_turn(u, off + n);
	return (int)n;
}

void upload_follow(struct upload *u, uint64_t turn, const void *bytes, size_t n)
{
	struct reason why = { 0 };
	bool last;

	upload_turn_wait(u, turn);
	if (!u->late.err && content_recognise(u, bytes, n, &why))
		u->late = why;
	upload_receiving_show(u);
	last = u->late.err || image_parser_complete(u->parser);
	upload_turn_end(u, turn, last);
}

static int upload_truncate_entered(struct upload *u, uint64_t size, struct reason *why)
{
	int err;

	if (!size) {
		u->why = (struct reason){ 0 };
		u->judged_err = 0;
		upload_content_gone(u, UPLOAD_TRUNCATED);
		upload_bits_change(u, 0, UPLOAD_TOLD | UPLOAD_NOTED | UPLOAD_JUDGED | UPLOAD_PROGRAMMED);
		return 0;
	}
	if (size == upload_size(u))
		return 0;
	err = write_allowed(u, why);
	if (!err && size > image_max(u->slot) + IMAGE_HEAD_MAX)
		err = reason_set(why, EFBIG, "larger than the card takes");
	if (!err)
		err = upload_bits(u) & UPLOAD_WRITTEN ? content_own(u, why) : content_begin(u, why);
	if (err)
		return err;
	if (ftruncate(u->fd, (off_t)size)) {
		err = reason_set(why, errno, "resizing the spool file: %s", strerror(errno));
		if (!(upload_bits(u) & UPLOAD_WRITTEN))
			upload_unclaim(u);
		return err;
	}
	if (u->covered > size)
		u->covered = size;
	atomic_store(&u->saved->upload.size, size);
	atomic_store(&u->saved->upload.last_ns, clock_mono_ns());
	upload_bits_change(u, UPLOAD_WRITTEN | UPLOAD_SPARSE, UPLOAD_JUDGED);
	upload_next_set(u, UPLOAD_NO_NEXT);
	cards_kick();
	return 0;
}

int upload_truncate(struct upload *u, uint64_t size, struct reason *why)
{
	int err;

	if (!upload_enter(u))
		return reason_set(why, EBUSY, "%s: the image is being validated or programmed",
				  u->slot->name);
	err = upload_truncate_entered(u, size, why);
	upload_leave(u);
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

	if (!upload_enter(u))
		return -EINPROGRESS;

	uint32_t bits = upload_bits(u);

	if (u->fd >= 0 && bits & UPLOAD_WRITTEN) {
		got = pread(u->fd, out, n, (off_t)off);
		got = got < 0 ? -errno : got;
		upload_leave(u);
		return got;
	}
	if (bits & UPLOAD_REFERENCE) {
		uint64_t size = atomic_load(&u->saved->upload.size);

		memcpy(sha256, u->saved->upload.sha256, SHA256_HEX);
		n = off >= size ? 0 : n < size - off ? n : (size_t)(size - off);
	}
	upload_leave(u);
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

int upload_expect(struct upload *u, struct reason *why)
{
	int err;

	if (!upload_enter(u))
		return reason_set(why, EBUSY, "%s: the image is being validated or programmed",
				  u->slot->name);
	err = write_allowed(u, why);
	if (!err)
		err = content_claim(u, why);
	upload_leave(u);
	return err;
}

int upload_refuse(struct upload *u, const struct image_facts *facts, bool *fresh, const struct reason *why)
{
	int err;

	*fresh = false;
	if (!upload_enter(u))
		return -EBUSY;
	err = content_refuse(u, fresh, why);
	u->facts = *facts;
	upload_leave(u);
	return err;
}

int upload_reference(struct upload *u, const char *sha256, uint64_t size,
		     const struct image_facts *facts, const char *source, bool *fresh,
		     struct reason *why)
{
	int err;

	*fresh = false;
	if (!upload_enter(u))
		return reason_set(why, EBUSY, "%s: the image is being validated or programmed",
				  u->slot->name);
	err = write_allowed(u, why);
	if (!err)
		err = content_claim(u, why);
	if (!err) {
		memcpy(u->saved->upload.sha256, sha256, SHA256_HEX);
		text_copy(u->saved->upload.source, sizeof(u->saved->upload.source), source);
		atomic_store(&u->saved->upload.size, size);
		atomic_store(&u->saved->upload.last_ns, clock_mono_ns());
		u->facts_known = facts;
		if (facts)
			u->facts = *facts;
		blobs_hold();
		u->held = true;
		if (u->fd >= 0) {
			close(STEAL_FD(u->fd));
			store_spool_drop(u->slot->card->store, u->fh);
		}
		upload_bits_change(u, UPLOAD_WRITTEN | UPLOAD_REFERENCE, UPLOAD_JUDGED | UPLOAD_SEEDED | UPLOAD_SPARSE);
		cards_kick();
		err = facts ? slot_suits(u->slot, facts, why) : 0;
		if (err)
			err = content_refuse(u, fresh, why);
	}
	upload_leave(u);
	return err;
}

bool upload_reference_grow(struct upload *u, const char *sha256, uint64_t from, uint64_t to)
{
	struct reason why;
	bool grows;

	if (!upload_enter(u))
		return false;
	grows = upload_bits(u) & UPLOAD_REFERENCE && !write_allowed(u, &why) &&
		atomic_load(&u->saved->upload.size) == from && !strcmp(u->saved->upload.sha256, sha256);
	if (grows) {
		atomic_store(&u->saved->upload.size, to);
		atomic_store(&u->saved->upload.last_ns, clock_mono_ns());
		upload_bits_change(u, 0, UPLOAD_JUDGED);
	}
	upload_leave(u);
	return grows;
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
	u->late = (struct reason){ 0 };
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
		upload_progress(u, PHASE_VALIDATING, u->fed, size);
	}
	return err < 0 ? err : 0;
}

/* It need not be validated again when it is copied again. */
static void facts_keep(struct upload *u, const struct image_facts *facts, const char *sha256)
{
	char *json CLEANUP_FREE = image_facts_json(facts, NULL, sha256, 0, 0, NULL, NULL);
	struct reason why = { 0 };

	if (json && cache_facts_keep(u->slot->card->store, sha256, json, &why))
		log_debug("%s: %s", u->slot->name, why.text);
}

/* What needs no look at the bytes: part of them is missing, or they are known. VERDICT_BAD: neither; they are
 * `ref` (-1: they are not there) and so many. */
static enum verdict reference_examine(struct upload *u, struct image_facts *facts, char sha256[SHA256_HEX],
				      int *ref, uint64_t *size, struct reason *why)
{
	uint64_t copied = *size;

	if (store_blob_open(u->slot->card->store, u->saved->upload.sha256, ref, size, why))
		return VERDICT_BAD;
	memcpy(sha256, u->saved->upload.sha256, SHA256_HEX);
	if (u->facts_known)
		*facts = u->facts;
	if (copied >= *size)
		return u->facts_known ? VERDICT_SOUND : VERDICT_BAD;
	reason_set(why, EBADMSG, "the copy ended after %" PRIu64 " of %" PRIu64 " bytes", copied, *size);
	return VERDICT_INCOMPLETE;
}

enum verdict upload_examine(struct upload *u, struct image_facts *facts, char sha256[SHA256_HEX],
			    struct reason *why)
{
	uint32_t bits = upload_bits(u);
	uint64_t size = atomic_load(&u->saved->upload.size);
	int ref CLEANUP_FD = -1;
	int err = 0;

	if (bits & UPLOAD_REFERENCE) {
		enum verdict verdict = reference_examine(u, facts, sha256, &ref, &size, why);

		if (verdict != VERDICT_BAD)
			return verdict;
		err = ref < 0 ? -why->err : 0;
	} else if (u->fd < 0) {
		/* Taken up from a worker that died: the spool is still there. */
		err = store_spool_open(u->slot->card->store, u->fh, &u->fd, why);
	}
	if (!err && u->late.err && !(bits & UPLOAD_SPARSE)) {
		*why = u->late;
		err = -why->err;
	} else if (!err && (bits & UPLOAD_SPARSE || u->fed != size)) {
		err = content_reread(u, ref >= 0 ? ref : u->fd, size, why);
	}
	*facts = *image_parser_facts(u->parser);
	digest_hex(u->digest, sha256);
	if (err)
		return VERDICT_BAD;
	err = image_parser_end(u->parser, why);
	*facts = *image_parser_facts(u->parser);
	if (err)
		return VERDICT_INCOMPLETE;
	if (bits & UPLOAD_REFERENCE)
		facts_keep(u, facts, sha256);
	if (bits & UPLOAD_SEEDED && !*facts->integrity_checked && u->covered < size) {
		reason_set(why, EBADMSG, "parts of the image were written over the loaded one, and the "
			   "format %s has no checksum that would show a mixture", facts->format);
		return VERDICT_BAD;
	}
	return VERDICT_SOUND;
}
