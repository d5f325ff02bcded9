// SPDX-License-Identifier: Apache-2.0
/*
 * Boot images of bootgen for Zynq-7000 and Zynq UltraScale+ (BOOT.BIN), which may hold just
 * one bitstream: then they are an image of it.
 */
#ifndef FABRICFS_BACKEND_IMAGE_XILINX_BOOT_H
#define FABRICFS_BACKEND_IMAGE_XILINX_BOOT_H

#include "xilinx.h"

#define XILINX_BOOT_HEAD 8192 /* bytes in which the tables of a boot image have to lie */

struct xilinx_boot {
	uint64_t at;
	uint64_t first, bits_end; /* where the bitstream begins and ends; 0 = there is none to check */
	uint64_t end_at;	  /* of the file; 0 = not known (yet) */
	bool tables_done, stream_done;
	struct xilinx_stream stream;
	uint32_t head_len;
	uint8_t head[XILINX_BOOT_HEAD];
};

/* Could these n bytes be the vectors that bootgen puts in front: branches for an ARM? */
bool xilinx_boot_vectors(const uint8_t *head, size_t n);
/* As those of image_format. */
int xilinx_boot_feed(struct xilinx_boot *s, const uint8_t *b, size_t n, struct image_facts *facts,
		     struct reason *why);
int xilinx_boot_end(const struct xilinx_boot *s, uint64_t fed, struct reason *why);

#endif
