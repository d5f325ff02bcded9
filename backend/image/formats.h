// SPDX-License-Identifier: Apache-2.0
/* The recognisers, one a format, for the table. */
#ifndef FABRICFS_BACKEND_IMAGE_FORMATS_H
#define FABRICFS_BACKEND_IMAGE_FORMATS_H

#include <fabricfs/image.h>

extern const struct image_format image_ice40;
extern const struct image_format image_xilinx_bit;
extern const struct image_format image_ecp5;
extern const struct image_format image_gowin;
extern const struct image_format image_dtbo, image_xclbin;
extern const struct image_format image_sof, image_aocx, image_gbs, image_rbf;
extern const struct image_format image_pdi, image_efinix, image_aws_afi;
extern const struct image_format image_microchip_stp, image_microchip_dat;
extern const struct image_format image_nexus, image_machxo;
extern const struct image_format image_xilinx_bin;

/* Not in the table: says of a zip archive which file in it is an image, and is never complete. */
extern const struct image_format image_archive;

/*
 * What a file that is no image of a known format looks like, judged by its
 * first bytes: a phrase that goes on after "begins with ...", with the next
 * step. head has n bytes, n >= 1. Static storage. Any thread.
 */
const char *image_mistaken_for(const uint8_t *head, size_t n);

/*
 * How many of these n bytes image_mistaken_for() needs to give its last word,
 * or 0 when more have to come first. Never depends on what follows them, so
 * the sentence is the same in any chunking.
 */
size_t image_mistaken_needs(const uint8_t *head, size_t n);

#endif
