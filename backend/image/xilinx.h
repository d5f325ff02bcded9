// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration stream of Xilinx parts, as it stands in a .bit behind its header, in
 * a raw .bin and in a boot image: padding, a sync word, packets that write registers,
 * DESYNC. Push-style, in any chunking; the state is fixed and small.
 *
 * Sources: UG470 and UG570 (packets, register and command names), UG332 (Spartan-3), the
 * documentation of Project X-Ray (CRC), and images of ISE and Vivado for each family.
 */
#ifndef FABRICFS_BACKEND_IMAGE_XILINX_H
#define FABRICFS_BACKEND_IMAGE_XILINX_H

#include <fabricfs/image.h>

#include "text.h"

/* A part of several dies has the stream of each inside that of the one before it. */
#define XILINX_DIES_MAX 8

enum xilinx_map {
	XILINX_VIRTEX,	 /* Virtex-6 and later: 32-bit packets, CRC-32C */
	XILINX_SPARTAN3, /* Spartan-3, 3E: 32-bit packets, other registers, CRC-16 */
	XILINX_SPARTAN6, /* Spartan-3A, 6: 16-bit packets, a CRC of 22 bits */
};

struct xilinx_level {
	uint64_t end_word; /* of the stream that has this one in it: where it ends; 0 = nowhere */
	uint32_t crc;
	uint32_t left;	 /* words of data to come */
	uint16_t hunted; /* words since the last DESYNC, or the start, without a sync word */
	uint8_t phase, reg, op;
	bool type1_open; /* a type 1 packet without data came just before */
	bool synced_once, desynced;
	bool unchecked_data, unchecked; /* since the last CRC: frames / any register were written */
	bool crc_used, crc_off;
	bool frames; /* written since the sync word */
};

struct xilinx_stream {
	const char *format; /* for sentences */
	bool swapped;	    /* the bytes of each 32-bit word stand in reverse order */
	enum xilinx_map map;
	/* For the owner to set after init: */
	bool map_open;	/* no header told the family */
	bool raw;	/* nothing tells the length: only padding may follow */
	bool narrow_auto; /* 16-bit packets: a CRC follows frames (Spartan-6) */
	bool decrypts;	  /* likewise: the control register says that what follows is encrypted */
	uint64_t at;	/* offset in the file of the next byte; set by the owner at the start */
	uint64_t words; /* whole words so far */
	uint32_t partial_word;
	uint8_t partial_bytes;
	uint8_t depth;
	struct xilinx_level level[XILINX_DIES_MAX];
	/* What was found. */
	uint32_t idcode;
	bool has_idcode;
	bool full_marks; /* registers that only a full configuration writes */
	bool encrypted;
	uint64_t frame_words, repeats; /* words written to FDRI; writes to MFWR */
	uint32_t crcs;		       /* CRC words that held */
	uint8_t dies;
};

void xilinx_stream_init(struct xilinx_stream *s, const char *format, enum xilinx_map map,
			bool swapped, uint64_t at);
/* 0, or -EBADMSG with the sentence; not called again after that. */
int xilinx_stream_feed(struct xilinx_stream *s, const uint8_t *b, size_t n, struct reason *why);
/* Could the stream end here? 0, or -EBADMSG with what is missing. */
int xilinx_stream_end(const struct xilinx_stream *s, struct reason *why);
/* What the stream tells, of the part that the header names ("" = there is none). May be
 * called after each feed; the last call with ended. */
void xilinx_stream_facts(const struct xilinx_stream *s, const char *named, bool ended,
			 struct image_facts *facts);

/* The same for packets of 16 bits; what is missing at an end here, NULL = nothing. */
int xilinx_narrow_feed(struct xilinx_stream *s, const uint8_t *b, size_t n, struct reason *why);
const char *xilinx_narrow_missing(const struct xilinx_stream *s);

/* One word and the register's number behind it, for Spartan-3: CRC-16. */
uint32_t xilinx_crc16(uint32_t crc, uint32_t word, uint8_t reg);

/* Tables of boot images (bootgen's, .pdi) end in the complement of the sum of their words. */
static inline bool xilinx_sum_holds(const uint8_t *table, unsigned words)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < words; i++)
		sum += read_le32(table + 4 * i);
	return read_le32(table + 4 * words) == ~sum;
}

#endif
