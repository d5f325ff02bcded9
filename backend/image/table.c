// SPDX-License-Identifier: Apache-2.0
/*
 * The formats that are known. A new one is one file and one line here.
 *
 * The order matters only where two formats could claim the same head; a probe
 * that is sure (a magic number) stands before one that guesses.
 */
#include "formats.h"

const struct image_format *const image_formats[] = {
	&image_ice40,
	&image_xilinx_bit,
	&image_xilinx_bin,
	&image_ecp5,
	&image_nexus,
	&image_machxo,
	&image_gowin,
	&image_dtbo,
	&image_xclbin,
	&image_sof,
	&image_aocx,
	&image_gbs,
	&image_rbf,
	&image_pdi,
	&image_efinix,
	&image_aws_afi,
	&image_microchip_stp,
	&image_microchip_dat,
	NULL,
};
