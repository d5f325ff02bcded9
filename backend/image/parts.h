// SPDX-License-Identifier: Apache-2.0
/*
 * What recognisers ask of parts, beside what everybody does (fabricfs/part.h).
 *
 * Pure; any thread.
 */
#ifndef FABRICFS_BACKEND_IMAGE_PARTS_H
#define FABRICFS_BACKEND_IMAGE_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include <fabricfs/image.h>
#include <fabricfs/part.h>

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
