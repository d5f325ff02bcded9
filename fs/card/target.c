// SPDX-License-Identifier: Apache-2.0
/*
 * Cards and slots as images are compared with them (target.h): what the backend told,
 * and what is loaded, for that may be the static design of a partial image.
 */
#include "fs/card/target.h"

/* What runs there now, or will again unless something else gets there. */
static bool is_there(const struct slot_view *v)
{
	return v->state == STATE_CONFIGURED || v->state == STATE_PROGRAMMING;
}

static unsigned takes(const struct card_facts *f, bool slotted)
{
	if (f->takes)
		return f->takes;
	if (*f->shell)
		return IMAGE_TAKES_PARTIAL;
	if (slotted)
		return 0;
	return IMAGE_TAKES_FULL | (f->can & CARD_CAN_PARTIAL ? IMAGE_TAKES_PARTIAL : 0);
}

void target_fill(const struct card_view *view, int slot, struct image_target *target)
{
	const struct card_facts *f = &view->facts;
	bool slotted = slot >= 0 || view->slots_len;

	*target = (struct image_target){
		.part = f->part,
		.has_idcode = f->has_idcode,
		.idcode = f->idcode,
		.formats = f->formats,
		.board = f->board,
		.shell = f->shell,
		.compatible = f->compatible,
		.afus = f->afus,
		.region = true,
	};
	/* A worker has just begun: who knows more compares again. */
	if (!view->told)
		return;
	target->takes = takes(f, slotted);
	target->region = slotted || (target->takes && !(target->takes & IMAGE_TAKES_FULL));
	/* Of slots too: where a card takes an image as a whole, they are parts of that. */
	if (!*f->shell && target->takes != IMAGE_TAKES_FULL && is_there(&view->self))
		target->shell = view->self.shell;
}
