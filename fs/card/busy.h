// SPDX-License-Identifier: Apache-2.0
/*
 * Who is at a slot, and what becomes of those who come meanwhile: they get EBUSY,
 * and `error` names who it is for as long as that lasts; or they wait a moment,
 * when he is just about to go. Fuse-free.
 */
#ifndef FS_CARD_BUSY_H
#define FS_CARD_BUSY_H

#include "fs/card/card.h"

/* May `u` (NULL: a newcomer) begin to write image (or check), or a command begin? 0 or -EBUSY
 * and who is at it; why may be NULL. card->lock held. */
int slot_busy(const struct slot *slot, bool check, const struct upload *u, struct reason *why);
/* Somebody got that EBUSY: `error` says it too. Without card->lock. */
void slot_refused(struct slot *slot, bool check);
/* Somebody may have gone: after each change that can make slot_busy() say no. Without card->lock. */
void slot_freed(struct slot *slot);

/*
 * A writer whose close was answered is usually gone for good, but the kernel sends the
 * last word (RELEASE) behind it, and other requests may overtake that: `cp bad image;
 * cp good image` must not meet its own ghost.
 */
struct slot_wait {
	struct slot_wait *next;
	int64_t deadline_ns;
	bool check; /* who has check, not image */
	/* Is it somebody else's going that is waited for? Called with card->lock held. NULL: the
	 * writer's of image or check. */
	bool (*closing)(struct slot *slot, const struct slot_wait *wait);
	/* Once, on the main thread: he has gone, or does not go (last: do not wait again). */
	void (*again)(struct slot_wait *wait, bool last);
};

/* Is somebody there who is about to go? Any thread. */
bool slot_is_closing(struct slot *slot, bool check);
/* If so, wait for that: again() will be called. Else false. wait->check and again are set. */
bool slot_wait(struct slot *slot, struct slot_wait *wait);
/* Those whose turn it is; ns until the next deadline, or -1. all: nobody will come any more.
 * Main thread. */
int64_t slot_waits_end(struct card *card, int64_t now, bool all);

#endif
