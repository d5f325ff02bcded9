// SPDX-License-Identifier: Apache-2.0
/*
 * Uploads: what one open of `image` or `check` (or an upload temporary) has
 * written so far. Its bytes are in a spool file, its state in the session, so a
 * new worker takes it up where the old one died; the recogniser and the hash
 * that run along are only a shortcut, the spool is the truth.
 *
 * Locks: the content has one owner at a time, a thread that writes or reads the
 * spool, or the judge; upload->lock is held only to become the owner. Threads wait
 * for each other (one writer has one stream), never for the judge, who may take as
 * long as the card does: they get -EINPROGRESS and go on by way of the actor's
 * queue (upload_later). Recogniser and hash may be behind the spool, in the hands of
 * who has the turn (upload_order.c); an owner has them too, unless he entered by
 * upload_enter_next(). card->lock guards membership in the slot and who of
 * several openers has bytes.
 */
#ifndef FS_CARD_UPLOAD_H
#define FS_CARD_UPLOAD_H

#include <pthread.h>
#include <stdbool.h>

#include "fs/card/card.h"

#define TEMPS_MAX 8                                  /* a directory */
#define TEMP_LIFE_NS (INT64_C(60) * 1000000000)      /* after its last close */
#define SPOOL_MAX (UINT64_C(8) << 30)                /* bytes, where the card names no limit */

enum content_owner { CONTENT_FREE, CONTENT_THREAD, CONTENT_JUDGE };

struct upload {
	struct upload *next; /* slot->uploads; card->lock */
	_Atomic int refs;    /* the slot's list, and whoever found it */
	struct slot *slot;
	bool check;
	uint64_t fh;         /* handle, spool id; of a temporary: its identity, not its opens' */
	struct saved_handle *saved;

	pthread_mutex_t lock;
	pthread_cond_t left;
	_Atomic int owner;  /* enum content_owner; changed under lock */
	bool drop_later;    /* lock: dropped while it was judged */
	unsigned waiting;   /* lock: threads, for the content and all turns */
	uint64_t next_off;  /* lock: a write here needs no more than a turn; or UPLOAD_NO_NEXT */
	uint64_t turns;     /* lock: given, and taken */
	uint64_t turns_done;
	struct reason stop; /* lock: to be ended while it is judged; err 0 = not */

	/* of whose turn it is, and of the owner */
	struct image_parser *parser;
	struct digest *digest;
	uint64_t fed;       /* bytes that went through both, in order */
	struct reason late; /* a refusal that came up behind the answer; err 0: none */

	/* of the owner */
	int fd; /* spool, -1 until the first byte */
	uint64_t covered; /* bytes written from 0 on without a gap */
	int judged_err;   /* with UPLOAD_JUDGED: an incomplete content is told again */
	struct reason why; /* of the refusal that UPLOAD_TOLD is about */
	struct image_facts facts; /* of the reference, when UPLOAD_REFERENCE */
	bool facts_known;
	bool held;        /* its blob is named by no row yet: trimming waits */
	bool dropped;     /* by who took it out of the list; the last reference gives `saved` back */
};

static inline bool upload_is_temp(const struct upload *u) { return u->saved->upload.name[0]; }
static inline uint32_t upload_bits(const struct upload *u) { return atomic_load(&u->saved->upload.bits); }

/*
 * Open for writing; name NULL for image/check, else a temporary is made.
 * -EBUSY another has bytes, or the card is being programmed or commanded;
 * -ENODEV offline; -ENFILE; -EDQUOT too many temporaries; -EEXIST.
 */
int upload_open(struct slot *slot, bool check, int open_flags, uint64_t ino, const struct who *who,
		const char *name, struct upload **out, struct reason *why);
/* By handle or temporary's name; a reference, or NULL. */
struct upload *upload_find(struct slot *slot, uint64_t fh);
struct upload *upload_find_name(struct slot *slot, const char *name);
/* That the current request made before its worker died; a reference, or NULL. */
struct upload *upload_made_before(struct slot *slot);
void upload_put(struct upload *u);
/* Last close, or the end of a temporary: content and handle are gone. */
void upload_drop(struct upload *u);

/* The right to have bytes: of several openers only one. -EBUSY as upload_open(). */
int upload_claim(struct upload *u, struct reason *why);
void upload_unclaim(struct upload *u);
/* Shown unless the progress is another's: a check's is hidden by an upload, a temporary's by all. */
void upload_progress(struct upload *u, enum phase phase, uint64_t done, uint64_t total);
/* As the owner of the content: how much of it has come, and of how much. */
void upload_receiving_show(struct upload *u);
/* Become the owner of the content; false: it is being judged. Waits for threads only. */
bool upload_enter(struct upload *u);
/* For the judge, who waits for threads. */
void upload_judge_enter(struct upload *u);
void upload_leave(struct upload *u);

#define UPLOAD_NO_NEXT UINT64_MAX
/* As the owner: a write at `off` may be answered before it went through the recogniser. */
void upload_next_set(struct upload *u, uint64_t off);
/* Become the owner for such a write, of the spool only; false: it is none, enter as others.
 * small: not worth a turn, unless there is one to wait for. */
bool upload_enter_next(struct upload *u, uint64_t off, bool small);
/* The owner leaves, its bytes up to `next` are spooled: its turn, which it has to wait for and
 * end. last: no other write may be answered first. */
uint64_t upload_turn(struct upload *u, uint64_t next);
void upload_turn_wait(struct upload *u, uint64_t turn);
void upload_turn_end(struct upload *u, uint64_t turn, bool last);
/* As the owner by upload_enter_next(): own the rest too. */
void upload_turns_wait(struct upload *u);
/* Throw the content away, or have the judge do it when he is done. */
void upload_content_drop(struct upload *u);
/* Somebody wants it ended while it is judged. */
bool upload_stop_wanted(struct upload *u, struct reason *why);
void upload_bits_change(struct upload *u, uint32_t set, uint32_t clear);

/* --- upload_content.c ------------------------------------------------------------------ */

/*
 * Bytes. Returns n, or -errno (-EINPROGRESS as upload_read(): it is being judged); *fresh: the refusal has just come up and is to be
 * recorded (upload_refusal_post).
 */
int upload_write(struct upload *u, const void *bytes, size_t n, uint64_t off, bool *fresh,
		 struct reason *why);
/*
 * The same. *turn not 0: what could be said of the bytes so far was said, and they are in the
 * spool; answer, then call upload_follow() with the same bytes, on the same thread. A refusal
 * that comes up there is that of the next write, fsync, flush or rename.
 */
int upload_write_ahead(struct upload *u, const void *bytes, size_t n, uint64_t off, uint64_t *turn,
		       bool *fresh, struct reason *why);
void upload_follow(struct upload *u, uint64_t turn, const void *bytes, size_t n);
int upload_truncate(struct upload *u, uint64_t size, struct reason *why);
/* What a reader of this open sees: the spool, or what is loaded. Bytes or -errno. */
ssize_t upload_read(struct upload *u, void *out, size_t n, uint64_t off);
uint64_t upload_size(struct upload *u);
/* -EFBIG: so many bytes are more than the card takes of any image. */
int upload_size_suits(struct upload *u, uint64_t size, struct reason *why);
/*
 * Bytes are on their way here from somewhere else: the upload has begun, for all others to see,
 * with nothing in it yet. -EBUSY and as upload_write(). Ended by upload_reference(),
 * upload_refuse() or upload_unclaim().
 */
int upload_expect(struct upload *u, struct reason *why);
/* What comes is not for this card, as its first bytes show. *fresh as upload_write(). */
int upload_refuse(struct upload *u, const struct image_facts *facts, bool *fresh, const struct reason *why);
/* A kept image by reference, its first `size` bytes; facts NULL: it has yet to be validated. */
int upload_reference(struct upload *u, const char *sha256, uint64_t size,
		     const struct image_facts *facts, const char *source, bool *fresh,
		     struct reason *why);
/* Who copies in pieces asks for the next one: it was incomplete as far as `from`, and is copied up to `to`
 * now. False: it does not end there, or is of something else. */
bool upload_reference_grow(struct upload *u, const char *sha256, uint64_t from, uint64_t to);

/* As the owner (judge.c): the content as facts, digest and verdict. */
enum verdict { VERDICT_SOUND, VERDICT_INCOMPLETE, VERDICT_BAD };
enum verdict upload_examine(struct upload *u, struct image_facts *facts, char sha256[SHA256_HEX],
			    struct reason *why);
/* As the owner: bytes are the blob's now (programmed) or thrown away; the claim is given back. */
void upload_content_gone(struct upload *u, uint32_t set_bits);

/* --- upload.c: ends ------------------------------------------------------------------- */

/* Take up the uploads of a worker that died. Main thread, before actors. */
void uploads_restore(void);
/* End the upload in progress of a slot (stop, timeout); false: there is none.
 * who NULL: timeout. -EPERM: not his. */
int upload_stop(struct slot *slot, bool check, const struct who *who, const char *sentence);
/* Timeouts; returns ns until the next, or -1. Main thread. */
int64_t uploads_expire(struct card *card, int64_t now);

/*
 * Have run(arg, end) called once on the actor, after what is queued there now. Keeps a
 * reference until then. false: no memory, or the card is ending; run is not called.
 */
bool upload_later(struct upload *u, void (*run)(void *arg, bool end), void *arg);

/* --- judge.c: jobs for the actor ------------------------------------------------------- */

enum judge_kind { JUDGE_FLUSH, JUDGE_FSYNC, JUDGE_RENAME, JUDGE_REFUSAL };
/*
 * Queue; done(arg, err) is called once on the actor thread (err positive or 0).
 * killed: the writer died of a signal. run: id for card_run. Takes a reference.
 */
void upload_judge(struct upload *u, enum judge_kind kind, bool killed, uint64_t run,
		  void (*done)(void *arg, int err), void *arg);

#endif
