// SPDX-License-Identifier: Apache-2.0
/*
 * Is the image that the store keeps for a slot still the one that was loaded? A disk may
 * have changed it meanwhile. Asked when it is first read in a worker's life, and by
 * `verify`; not by each read. Fuse-free.
 */
#ifndef FS_CARD_KEPT_H
#define FS_CARD_KEPT_H

#include "fs/card/card.h"

/* Its bytes were hashed in this worker's life, and are what they should be. Any thread. */
void kept_proven(struct slot *slot, const char *sha256);
bool kept_is_proven(struct slot *slot, const char *sha256);

/* Hash it now, on this thread, unless it was proven. -EBADMSG: it is damaged; -ENODATA: it is
 * not there any more; -EIO and the like. */
int kept_prove(struct slot *slot, const char *sha256, struct reason *why);

/*
 * The same on a thread that waits for no card; then done(arg, err) is called once, err positive
 * or 0, after a failure was told in `error` and history (unless the card is busy: then that comes
 * later). On that thread, or on the actor, or, when there is no memory, at once. Any thread.
 */
void kept_ask(struct slot *slot, const char *sha256, void (*done)(void *arg, int err), void *arg);
/* The end: whoever waits gets ECANCELED. Main thread, before the actors end. */
void kept_stop(void);

#endif
