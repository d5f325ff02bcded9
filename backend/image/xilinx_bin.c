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
 * so the structure decides and not the first hit. Boot images are read in xilinx_boot.c.
 *
 * Sources: UG470, and one file of each kind.
 */
#include <string.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "text.h"
#include "xilinx_boot.h"

enum { SYNC = 0xaa995566, SYNC_SWAPPED = 0x665599aa, XLNX = 0x584e4c58 };

#define FRONT_MAX 8192 /* bytes in which the sync word of a raw stream has to come */

enum kind { UNKNOWN, RAW, BOOT };

struct bin {
	enum kind kind;
	struct xilinx_stream stream;
	struct xilinx_boot boot;
	uint32_t head_len;
	uint8_t head[FRONT_MAX];
};

/* --- recognising ------------------------------------------------------------------- */

enum order { ORDER_NONE, ORDER_OPEN, ORDER_BUS, ORDER_NARROW, ORDER_SWAPPED };

/* In which order these bytes are a stream, from its padding to its sync word. */
static enum order order_of(const uint8_t *head, size_t seen, size_t n)
{
	size_t i;

	/* A sync word waits for four bytes more. */
	for (i = seen > 8 ? (seen - 8) & ~(size_t)3 : 0; i + 4 <= n; i += 4) {
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
			if (!i)
				return ORDER_NONE;
			if (i + 8 > n)
				return ORDER_OPEN;
			/* Spartan-6 goes on with 16-bit packets: a write to its command register.
			 */
			return read_be16(head + i + 4) == 0x30a1 ? ORDER_NARROW : ORDER_BUS;
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

static enum image_tri bin_probe_on(const uint8_t *head, size_t seen, size_t n, bool last)
{
	enum order order;

	if (!n)
		return IMAGE_UNKNOWN;
	if (xilinx_boot_vectors(head, n)) {
		if (n < 40)
			return last && n >= 4 ? IMAGE_YES : IMAGE_UNKNOWN;
		return read_be32(head + 32) == SYNC_SWAPPED && read_be32(head + 36) == XLNX
			       ? IMAGE_YES
			       : IMAGE_NO;
	}
	order = order_of(head, seen, n);
	if (order == ORDER_NONE)
		return IMAGE_NO;
	/* Bytes of ff alone are more likely empty flash memory than a cut image. */
	return order == ORDER_OPEN ? IMAGE_UNKNOWN : IMAGE_YES;
}

static enum image_tri bin_probe(const uint8_t *head, size_t n, bool last)
{
	return bin_probe_on(head, 0, n, last);
}

static int damaged(struct reason *why, uint64_t at, const char *what)
{
	return reason_set(why, EBADMSG,
			  "xilinx-bin: damaged at byte %llu: %s; copy or build the file again",
			  (unsigned long long)at, what);
}

/* --- bytes ------------------------------------------------------------------------- */

/*
 * Which kind it is shows in the head, which the parser feeds as a whole or in pieces; it
 * is collected until the probe's answer is there again.
 */
static int kind_find(struct bin *s, struct image_facts *facts)
{
	enum order order;

	if (xilinx_boot_vectors(s->head, s->head_len)) {
		if (s->head_len < 4)
			return 0;
		s->kind = BOOT;
		text_copy(facts->vendor, sizeof(facts->vendor), "xilinx");
		facts->confidence = IMAGE_LIKELY;
		return 0;
	}
	order = order_of(s->head, s->head_len - 1, s->head_len);
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
			err = xilinx_boot_feed(&s->boot, s->head, s->head_len, facts, why);
		else if (s->head_len == FRONT_MAX)
			return damaged(why, s->head_len,
				       "no sync word (aa995566) within 8192 bytes");
	}
	if (err)
		return err;
	if (s->kind == BOOT)
		return xilinx_boot_feed(&s->boot, b, n, facts, why);
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
	return xilinx_boot_end(&s->boot, fed, why);
}

const struct image_format image_xilinx_bin = {
	.version = IMAGE_ABI,
	.name = "xilinx-bin",
	.state_bytes = sizeof(struct bin),
	.probe = bin_probe,
	.probe_on = bin_probe_on,
	.feed = bin_feed,
	.end = bin_end,
};
