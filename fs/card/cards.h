// SPDX-License-Identifier: Apache-2.0
/*
 * The cards of this machine, as the tree sees them. Any thread unless said
 * otherwise; nothing here waits for a card.
 */
#ifndef FS_CARD_CARDS_H
#define FS_CARD_CARDS_H

#include "fs/card/view.h"
#include "fs/daemon/config.h"
#include "fs/daemon/session.h"

#include <fabricfs/store.h>

struct card;
struct slot;

/*
 * Take up all configured cards: numbers from the store, an actor each, which
 * opens its backend in the background. `fresh`: the holder is starting, so the
 * policy `restore` applies; else a worker is taking over. Main thread, once.
 */
int cards_start(const struct config *config, struct store *store, bool fresh, struct reason *why);
/* Wait until every card was asked once what it has, so that who mounts sees more than
 * `unknown`; at most max_ms, a sick card delays nobody longer. Main thread. */
void cards_settle(int max_ms);
/*
 * End: refuse new programming, finish what runs (at most 30 s), close the
 * backends. `last`: fabricfs itself ends, card processes too. Main thread.
 */
void cards_stop(bool last);
/* Once a second or so from the main thread: upload and temporary timeouts. Returns ms until
 * the next one is due, -1 = none. */
int cards_tick(void);
/* Readable when cards_tick() should run before it said (a new deadline came up); tick drains it. */
int cards_timer_fd(void);

/* Who may write what belongs to no card in particular, by the configuration's `access`. */
void cards_access(const struct config *config, uid_t *uid, gid_t *gid, mode_t *mode);

/* In the order of their numbers. Cards come (hotplug) but never go while mounted,
 * except by `forget`; the pointer stays valid until cards_stop. */
unsigned cards_count(void);
struct card *cards_nth(unsigned i);     /* NULL: it was forgotten */
struct card *cards_find(unsigned dev); /* NULL: there is none */

/* The present view; give it back with card_view_put(). Never NULL. */
const struct card_view *card_view_get(struct card *card);
void card_view_put(const struct card_view *view);
/* The card itself (slot -1) or a slot of a view; NULL: no such slot. */
const struct slot_view *slot_view(const struct card_view *view, int slot);

struct progress {
	enum phase phase;
	uint64_t done, total; /* bytes; total 0 = not known */
};
void card_progress(struct card *card, int slot, struct progress *progress);

/* Who is at the card or slot, in a sentence, while that lasts and once another was refused for it
 * (EBUSY): then `error` says this. Else false. */
bool card_busy(struct card *card, int slot, struct reason *why);
/* When that last began or ended, 0 = never: it is part of the mtime of `error`. */
int64_t card_busy_ns(struct card *card, int slot);

/* Results of programming since the mount's cards were first seen, for metrics: counts by
 * result name ("ok" or errno names) and a histogram of seconds. */
#define PROGRAM_RESULTS_MAX 16
#define PROGRAM_BUCKETS 12
extern const double program_bucket_seconds[PROGRAM_BUCKETS]; /* upper bounds, the last is +Inf */
struct program_stats {
	struct {
		char result[24];
		uint64_t count;
	} results[PROGRAM_RESULTS_MAX];
	unsigned results_len;
	uint64_t buckets[PROGRAM_BUCKETS]; /* not cumulative */
	double seconds_sum;
	uint64_t seconds_count;
};
void card_program_stats(struct card *card, int slot, struct program_stats *stats);

/*
 * Telemetry: if the values are older than the configured maximum age, the
 * card's thread reads them anew and then calls done(arg, 0) (or a positive
 * errno: ETIMEDOUT after 2 s, ENODEV offline), else done is called at once.
 */
void card_telemetry_refresh(struct card *card, void (*done)(void *arg, int err), void *arg);

/* Have all values read that are too old, soon; nobody waits. For files that show the last ones. */
void cards_telemetry_want(void);

/* Value of a card's or slot's own attribute (without its prefix) in a view, NULL: not set. */
const char *slot_attribute(const struct slot_view *view, const char *name);
/* Set it, or remove it (value NULL), on the thread that drives it, which then calls done with 0 or a
 * positive errno. 0, or -errno and done is not called: EOPNOTSUPP, this one has none. id: of the
 * request. */
int slot_attribute_set(struct slot *slot, uint64_t id, const char *name, const char *value,
		       void (*done)(void *arg, int err), void *arg);

/*
 * Changes, told from any thread without a lock held: which file of the card
 * changed. The tree turns them into invalidations and wake-ups.
 */
enum change {
	CHANGE_STATE = 1, CHANGE_ERROR = 2, CHANGE_LOADED = 4, CHANGE_FACTS = 8, CHANGE_RECORDS = 16,
	CHANGE_ENDPOINTS = 32, CHANGE_CHECK = 64, CHANGE_ACCESS = 128, CHANGE_CARDS = 256 /* a card came or went */,
	CHANGE_IO = 512, /* io readiness */ CHANGE_TELEMETRY = 1024, CHANGE_LEASE = 2048,
	CHANGE_PROGRESS = 4096, /* the phase became idle or ceased to be */
	/* Of a repository (fs/remote): */
	CHANGE_REPO_STATE = 1 << 16, CHANGE_REPO_ERROR = 1 << 17, CHANGE_LISTING = 1 << 18,
};
/* dev -1: of no card. Set once before cards_start. */
void cards_listen(void (*changed)(int dev, int slot, unsigned what));

/* Blobs may have lost their last name elsewhere: take them away as soon as no run is about to name
 * one; true: that was now. Any thread; a few unlinks. */
bool cards_blobs_trim(struct store *store);

/* The store, for rendering events and history. */
struct store *cards_store(void);

#endif
