// SPDX-License-Identifier: Apache-2.0
/* ctl and stop: words that do something. Fuse-free. */
#ifndef FS_CARD_COMMAND_H
#define FS_CARD_COMMAND_H

#include "fs/card/card.h"

/*
 * May ctl be opened for writing now? -EBUSY while a command or run is in
 * progress or somebody uploads; -ENODEV is left to the words (forget).
 */
int command_may_open(struct slot *slot, struct reason *why);
/*
 * One word (a trailing newline is allowed). It is queued and done(arg, err) is
 * called once on the actor thread, with 0 or a positive errno (EINVAL an unknown
 * word, EOPNOTSUPP this card cannot); -EBUSY, -ENOMEM and -ECANCELED are returned
 * at once, without a call of done. who is copied.
 */
int command_post(struct slot *slot, const char *bytes, size_t n, const struct who *who, uint64_t run,
		 void (*done)(void *arg, int err), void *arg, struct reason *why);
/* `stop`: upload, command or lease. Never waits for the card. 0, -EINVAL, -EPERM, -EOPNOTSUPP. */
int command_stop(struct slot *slot, const char *bytes, size_t n, const struct who *who);

#endif
