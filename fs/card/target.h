// SPDX-License-Identifier: Apache-2.0
/* What an image is compared with to be programmed into a card or slot. Any thread. */
#ifndef FS_CARD_TARGET_H
#define FS_CARD_TARGET_H

#include "fs/card/view.h"

/*
 * Out of a view, of which the texts remain, for the card itself (slot -1) or a slot. Of a
 * card with slots -1 is what is true of all of them. The name is left out.
 */
void target_fill(const struct card_view *view, int slot, struct image_target *target);

#endif
