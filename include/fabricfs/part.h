// SPDX-License-Identifier: Apache-2.0
/*
 * Parts by name and by IDCODE: the one table of them, for those who recognise images
 * and for those who drive or simulate cards. Its rows are backend/image/parts.tsv,
 * compiled in.
 *
 * Pure; any thread; nothing blocks.
 */
#ifndef FABRICFS_PART_H
#define FABRICFS_PART_H

#include <stddef.h>
#include <stdint.h>

struct image_part {
	const char *vendor, *family;
	const char *part; /* lower case, without package and speed; '*' stands for letters */
	uint32_t idcode, mask; /* what JTAG answers with, and which of its bits count */
};

extern const struct image_part image_parts[];
extern const size_t image_parts_len;

/*
 * The next row after `after` (NULL: from the start) of this vendor ("" = any) whose
 * IDCODE, under its mask, is this one; NULL: no more.
 */
const struct image_part *part_by_idcode(const struct image_part *after, const char *vendor,
					uint32_t idcode);

/*
 * The row with the longest name that this text begins with, in any case, and behind
 * which no digit goes on ("7a50tfgg484" with prefix "xc"): prefix and text are read as
 * one. *len is how much of the text it takes. NULL: no row.
 */
const struct image_part *part_by_text(const char *vendor, const char *prefix, const char *text,
				      size_t *len);

/* The next row after `after` with just this name (in any case); NULL: no more. */
const struct image_part *part_by_name(const struct image_part *after, const char *name);

#endif
