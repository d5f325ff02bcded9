// SPDX-License-Identifier: Apache-2.0
/*
 * Parts by name and by IDCODE. The rows are parts.tsv, compiled in.
 *
 * Pure; any thread.
 */
#ifndef FABRICFS_BACKEND_IMAGE_PARTS_H
#define FABRICFS_BACKEND_IMAGE_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fabricfs/image.h>

struct image_part {
	const char *vendor, *family;
	const char *part; /* lower case, without package and speed; '*' stands for letters */
	uint32_t idcode, mask;
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

/*
 * Could chips with these two IDCODEs be the same part? The version nibble does not
 * count, unless the table says that just this nibble tells the two apart.
 */
bool idcodes_alike(uint32_t a, uint32_t b);

/*
 * Sets idcode, vendor, family, part and also_parts from an IDCODE that the image holds
 * and the part `named` beside it ("" = none is), which no checksum covers: where the two
 * contradict each other the IDCODE is believed and `detail` says so. Once an image.
 */
void facts_idcode(struct image_facts *facts, const char *vendor, uint32_t idcode,
		  const char *named);

#endif
