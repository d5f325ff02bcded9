// SPDX-License-Identifier: Apache-2.0
/*
 * Xilinx configuration streams without the header of a .bit. Three kinds of file carry the
 * name .bin or .bit.bin, and their extension tells nothing:
 *
 *  - in the order of the configuration bus, as Vivado writes with -bin_file;
 *  - each 32-bit word swapped, as Linux's fpga_manager of Zynq-7000 wants it (bootgen with
 *    -process_bitstream);
 *  - swapped, inside a boot image of one partition (bootgen for Zynq UltraScale+).
 *
 * The same four bytes 66 55 99 aa mark a swapped sync word and the header of a boot image,
 * so the structure decides and not the first hit. A boot image with more in it than one
 * bitstream is for a memory that boots a processor, and for no card.
 *
 * Sources: UG470, UG1283 (boot images), and one file of each kind.
 */
#include <stdio.h>
#include <string.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "text.h"
#include "xilinx.h"

enum { SYNC = 0xaa995566, SYNC_SWAPPED = 0x665599aa, XLNX = 0x584e4c58 };

#define BOOT_HEAD	    8192 /* bytes in which the tables of a boot image have to lie */
#define BOOT_PARTITIONS_MAX 64

enum kind { UNKNOWN, RAW, BOOT };

struct bin {
	enum kind kind;
	uint64_t at;
	uint64_t first, end_at; /* BOOT: where the partition begins and ends; 0 = not known yet */
	struct xilinx_stream stream;
	uint32_t head_len;
	uint8_t head[BOOT_HEAD];
};

/* --- recognising ------------------------------------------------------------------- */

enum order { ORDER_NONE, ORDER_OPEN, ORDER_BUS, ORDER_NARROW, ORDER_SWAPPED };

/* In which order these bytes are a stream, from its padding to its sync word. */
static enum order order_of(const uint8_t *head, size_t n)
{
	size_t i;

	for (i = 0; i + 4 <= n; i += 4) {
		switch (read_be32(head + i)) {
		case 0xffffffff:
			continue;
		case 0x000000bb:
		case 0x11220044:
		case 0xbb000000:
		case 0x44002211:
			if (!i)
				return ORDER_NONE;
			continue;
		case SYNC:
			if (i + 8 > n)
				return ORDER_OPEN;
			/* Spartan-6 goes on with 16-bit packets: a write to its command register.
			 */
			return i && read_be16(head + i + 4) == 0x30a1 ? ORDER_NARROW
			       : i				      ? ORDER_BUS
								      : ORDER_NONE;
		case SYNC_SWAPPED:
			return i ? ORDER_SWAPPED : ORDER_NONE;
		}
		if (i && read_be32(head + i) == 0xffffaa99)
			return ORDER_NARROW;
		/* Spartan-3A syncs with aa99 alone, and a packet follows at once. */
		return i && read_be32(head + i) >> 16 == 0xaa99 && head[i + 2] == 0x30
			       ? ORDER_NARROW
			       : ORDER_NONE;
	}
	for (; i < n; i++)
		if (i < 4 && head[i] != 0xff)
			return ORDER_NONE;
	return ORDER_OPEN;
}

/* The vectors that bootgen puts in front: branches for an ARM. */
static bool boot_vectors(const uint8_t *head, size_t n)
{
	static const uint8_t zynqmp[4] = { 0x00, 0x00, 0x00, 0x14 },
			     zynq[4] = { 0xfe, 0xff, 0xff, 0xea };
	size_t have = n < 4 ? n : 4;

	return !memcmp(head, zynqmp, have) || !memcmp(head, zynq, have);
}

static enum image_tri bin_probe(const uint8_t *head, size_t n, bool last)
{
	enum order order;

	if (!n)
		return IMAGE_UNKNOWN;
	if (boot_vectors(head, n)) {
		if (n < 40)
			return last && n >= 4 ? IMAGE_YES : IMAGE_UNKNOWN;
		return read_be32(head + 32) == SYNC_SWAPPED && read_be32(head + 36) == XLNX
			       ? IMAGE_YES
			       : IMAGE_NO;
	}
	order = order_of(head, n);
	if (order == ORDER_NONE)
		return IMAGE_NO;
	/* Bytes of ff alone are more likely empty flash memory than a cut image. */
	return order == ORDER_OPEN ? IMAGE_UNKNOWN : IMAGE_YES;
}

/* --- a boot image -------------------------------------------------------------------- */

static int damaged(struct reason *why, uint64_t at, const char *what)
{
	return reason_set(why, EBADMSG,
			  "xilinx-bin: damaged at byte %llu: %s; copy or build the file again",
			  (unsigned long long)at, what);
}

static const uint8_t *table_at(const struct bin *s, uint32_t offset)
{
	return offset <= BOOT_HEAD - 64 ? s->head + offset : NULL;
}

static void image_name(const struct bin *s, const uint8_t *images, struct image_facts *facts)
{
	const uint8_t *image = table_at(s, read_le32(images + 12) & 0xffffff
						   ? (read_le32(images + 12) & 0x3fff) * 4
						   : BOOT_HEAD);
	char name[49];
	size_t n = 0;

	/* ASCII, four to a word, each word from its high byte on. */
	for (; image && n < 48; n += 4)
		for (int k = 0; k < 4; k++)
			name[n + (size_t)k] = (char)image[16 + n + 3 - (size_t)k];
	text_from_header(name, n);
	if (n)
		text_copy(facts->design, sizeof(facts->design), text_base(name));
}

static int no_single_bitstream(struct image_facts *facts, struct reason *why, const char *what)
{
	text_copy(facts->detail, sizeof(facts->detail),
		  "a boot image (BOOT.BIN) for a memory that a processor boots from");
	return reason_set(
		why, EMEDIUMTYPE,
		"xilinx-bin: a boot image %s, which is for a flash memory or SD card and no "
		"bitstream; copy the .bit that it was made of",
		what);
}

/* The tables are there: find the one partition. */
static int boot_tables(struct bin *s, struct image_facts *facts, struct reason *why)
{
	const uint8_t *head = s->head, *images = table_at(s, read_le32(head + 0x98));
	const uint8_t *part = table_at(s, read_le32(head + 0x9c));
	uint32_t parts = 0;
	char what[48];

	if (!xilinx_sum_holds(head + 0x20, 10))
		return damaged(why, 0x48, "the checksum of the boot header does not hold");
	if (read_le32(head + 0x28))
		facts->encrypted = IMAGE_YES;
	if (!images || !part)
		return no_single_bitstream(facts, why,
					   "with its tables elsewhere than bootgen puts them");
	for (const uint8_t *p = part; p + 64 <= head + BOOT_HEAD && read_le32(p + 8); p += 64)
		if (++parts == BOOT_PARTITIONS_MAX)
			break;
	if (parts != 1) {
		snprintf(what, sizeof(what), "with %u partitions", parts);
		return no_single_bitstream(facts, why, what);
	}
	if (!xilinx_sum_holds(images, 15))
		return damaged(why, (uint64_t)(images - head),
			       "the checksum of the image table does not hold");
	if (!xilinx_sum_holds(part, 15))
		return damaged(why, (uint64_t)(part - head),
			       "the checksum of the partition does not hold");
	s->first = (uint64_t)read_le32(part + 32) * 4;
	s->end_at = s->first + (uint64_t)read_le32(part + 8) * 4;
	if (s->first < BOOT_HEAD)
		return no_single_bitstream(facts, why, "whose partition lies among its tables");
	facts->declared_size = s->end_at;
	image_name(s, images, facts);
	text_copy(facts->tool, sizeof(facts->tool), "bootgen");
	xilinx_stream_init(&s->stream, "xilinx-bin", XILINX_VIRTEX, true, s->first);
	return 0;
}

static int boot_feed(struct bin *s, const uint8_t *b, size_t n, struct image_facts *facts,
		     struct reason *why)
{
	int err = 0;

	while (n && !err) {
		size_t take = n;

		if (s->head_len < BOOT_HEAD) {
			take = n < BOOT_HEAD - s->head_len ? n : BOOT_HEAD - s->head_len;
			memcpy(s->head + s->head_len, b, take);
			s->head_len += (uint32_t)take;
			s->at += take;
			if (s->head_len == BOOT_HEAD)
				err = boot_tables(s, facts, why);
		} else if (s->at < s->first) {
			take = n < s->first - s->at ? n : (size_t)(s->first - s->at);
			s->at += take;
		} else if (s->at < s->end_at) {
			take = n < s->end_at - s->at ? n : (size_t)(s->end_at - s->at);
			if (s->at == s->first && b[0] != 0xff)
				return no_single_bitstream(facts, why,
							   "whose partition is no bitstream");
			err = xilinx_stream_feed(&s->stream, b, take, why);
			s->at += take;
			if (!err && s->at == s->end_at)
				err = xilinx_stream_end(&s->stream, why);
			xilinx_stream_facts(&s->stream, "", !err && s->at == s->end_at, facts);
			if (!err && s->at == s->end_at && facts->integrity_checked[0])
				text_copy(facts->integrity_checked,
					  sizeof(facts->integrity_checked), "header-sums crc32c");
		} else {
			return padding_check("xilinx-bin", &s->at, s->end_at, b, n, why);
		}
		b += take;
		n -= take;
	}
	return err;
}

/* --- bytes ------------------------------------------------------------------------- */

/*
 * Which kind it is shows in the head, which the parser feeds as a whole or in pieces; it
 * is collected until the probe's answer is there again.
 */
static int kind_find(struct bin *s, struct image_facts *facts)
{
	enum order order;

	if (boot_vectors(s->head, s->head_len)) {
		if (s->head_len < 4)
			return 0;
		s->kind = BOOT;
		text_copy(facts->vendor, sizeof(facts->vendor), "xilinx");
		facts->confidence = IMAGE_LIKELY;
		return 0;
	}
	order = order_of(s->head, s->head_len);
	if (order == ORDER_OPEN)
		return 0;
	xilinx_stream_init(&s->stream, "xilinx-bin",
			   order == ORDER_NARROW ? XILINX_SPARTAN6 : XILINX_VIRTEX,
			   order == ORDER_SWAPPED, 0);
	s->stream.map_open = s->stream.raw = true;
	s->kind = RAW;
	text_copy(facts->vendor, sizeof(facts->vendor), "xilinx");
	facts->confidence = IMAGE_LIKELY;
	if (order == ORDER_SWAPPED)
		text_copy(facts->detail, sizeof(facts->detail),
			  "each 32-bit word is swapped, as Linux's fpga_manager of Zynq wants it");
	return 0;
}

static int bin_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		    struct reason *why)
{
	struct bin *s = state;
	int err = 0;

	while (n && s->kind == UNKNOWN) {
		s->head[s->head_len++] = *b++;
		n--;
		kind_find(s, facts);
		if (s->kind == RAW)
			err = xilinx_stream_feed(&s->stream, s->head, s->head_len, why);
		else if (s->kind == BOOT)
			s->at = s->head_len;
		else if (s->head_len == BOOT_HEAD)
			return damaged(why, s->head_len,
				       "no sync word (aa995566) within 8192 bytes");
	}
	if (err)
		return err;
	if (s->kind == BOOT) {
		err = boot_feed(s, b, n, facts, why);
		if (err)
			return err;
		return s->end_at && s->at >= s->end_at ? IMAGE_COMPLETE : IMAGE_MORE;
	}
	if (s->kind == RAW) {
		err = xilinx_stream_feed(&s->stream, b, n, why);
		xilinx_stream_facts(&s->stream, "", false, facts);
		if (err)
			return err;
		return xilinx_stream_end(&s->stream, NULL) ? IMAGE_MORE : IMAGE_COMPLETE;
	}
	return IMAGE_MORE;
}

static int bin_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct bin *s = state;
	int err;

	if (s->kind == RAW) {
		/* Nothing but the end of the file shows that no further configuration comes. */
		err = xilinx_stream_end(&s->stream, why);
		if (!err) {
			facts->partial = IMAGE_UNKNOWN;
			xilinx_stream_facts(&s->stream, "", true, facts);
		}
		return err;
	}
	if (s->end_at && s->at >= s->end_at)
		return 0;
	if (s->end_at)
		return reason_set(why, EBADMSG,
				  "xilinx-bin: truncated: %llu of %llu bytes; copy the file again",
				  (unsigned long long)fed, (unsigned long long)s->end_at);
	return reason_set(why, EBADMSG,
			  "xilinx-bin: truncated: %llu bytes, more than %u are wanted; copy "
			  "the file again",
			  (unsigned long long)fed, BOOT_HEAD);
}

const struct image_format image_xilinx_bin = {
	.version = IMAGE_ABI,
	.name = "xilinx-bin",
	.state_bytes = sizeof(struct bin),
	.probe = bin_probe,
	.feed = bin_feed,
	.end = bin_end,
};
