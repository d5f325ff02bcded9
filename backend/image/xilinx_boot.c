// SPDX-License-Identifier: Apache-2.0
/*
 * Boot images: a header, then tables of images and of partitions, in which headers end in the
 * complement of the sum of their words. One with a single partition that is a bitstream is an
 * image of that; one with programs in it is for a memory that boots a processor, and for no
 * card. Where the tables lie elsewhere than bootgen puts them nothing shows the end.
 *
 * What is encrypted is not looked into; a signature is seen and not checked.
 *
 * Sources: UG821 and UG1283, Xilinx/bootgen (bootheader-, imageheadertable- and
 * partitionheadertable-zynq.h and -zynqmp.h), and a file for a K24.
 */
#include <stdio.h>
#include <string.h>

#include <fabricfs/buf.h>

#include "text.h"
#include "xilinx_boot.h"

#define PARTITION      64 /* bytes of a partition's header */
#define PARTITIONS_MAX 64

static const uint8_t ZYNQMP[4] = { 0x00, 0x00, 0x00, 0x14 }, ZYNQ[4] = { 0xfe, 0xff, 0xff, 0xea };

/* Partition's header: what the two families have at different places. */
struct partition {
	uint64_t offset, plain, total; /* bytes */
	bool bits, encrypted, is_signed;
};

bool xilinx_boot_vectors(const uint8_t *head, size_t n)
{
	size_t have = n < 4 ? n : 4;

	return !memcmp(head, ZYNQMP, have) || !memcmp(head, ZYNQ, have);
}

static int damaged(struct reason *why, uint64_t at, const char *what)
{
	return reason_set(why, EBADMSG,
			  "xilinx-bin: damaged at byte %llu: %s; copy or build the file again",
			  (unsigned long long)at, what);
}

static const uint8_t *table_at(const struct xilinx_boot *s, uint64_t offset)
{
	return offset <= XILINX_BOOT_HEAD - PARTITION ? s->head + offset : NULL;
}

static bool blank(const uint8_t *p)
{
	for (unsigned i = 0; i < PARTITION; i++)
		if (p[i] && p[i] != 0xff)
			return false;
	return true;
}

static void no_bitstream(struct image_facts *facts, const char *what)
{
	text_copy(facts->detail, sizeof(facts->detail),
		  "a boot image (BOOT.BIN) for a memory that a processor boots from");
	snprintf(facts->no_card, sizeof(facts->no_card),
		 "a boot image %s, which is for a flash memory or SD card and no bitstream; copy "
		 "the .bit that it was made of",
		 what);
}

static void image_name(const struct xilinx_boot *s, const uint8_t *images,
		       struct image_facts *facts)
{
	const uint8_t *image = table_at(s, (uint64_t)read_le32(images + 12) * 4);
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

static struct partition partition_read(const uint8_t *p, bool zynq)
{
	uint32_t attributes = read_le32(p + (zynq ? 0x18 : 0x24));
	struct partition part = {
		.offset = (uint64_t)read_le32(p + (zynq ? 0x14 : 0x20)) * 4,
		.plain = (uint64_t)read_le32(p + 4) * 4,
		.total = (uint64_t)read_le32(p + 8) * 4,
		.bits = (attributes >> 4 & 7) != 1, /* the destination: 1 is the processor */
		.encrypted = zynq ? read_le32(p) != read_le32(p + 4) : attributes >> 7 & 1,
		.is_signed = attributes >> 15 & 1,
	};

	return part;
}

static void unsized(struct xilinx_boot *s, struct image_facts *facts)
{
	facts->unsized = true;
	s->tables_done = true;
}

static void one_bitstream(struct xilinx_boot *s, const struct partition *p,
			  struct image_facts *facts)
{
	facts->is_signed = p->is_signed ? IMAGE_YES : IMAGE_NO;
	if (p->encrypted) {
		facts->encrypted = IMAGE_YES;
		facts->confidence = IMAGE_LIKELY;
		return;
	}
	s->first = p->offset;
	s->bits_end = p->offset + (p->plain && p->plain < p->total ? p->plain : p->total);
	xilinx_stream_init(&s->stream, "xilinx-bin", XILINX_VIRTEX, true, s->first);
}

/* The tables are there: find the one partition, and the end of the last. */
static int tables_read(struct xilinx_boot *s, struct image_facts *facts, struct reason *why)
{
	const uint8_t *head = s->head, *images = table_at(s, read_le32(head + 0x98));
	const uint8_t *at = table_at(s, read_le32(head + 0x9c)), *p;
	bool zynq = !memcmp(head, ZYNQ, 4);
	struct partition part = { 0 }, first = { 0 };
	uint32_t parts = 0;
	char what[48];

	if (!xilinx_sum_holds(head + 0x20, 10))
		return damaged(why, 0x48, "the checksum of the boot header does not hold");
	text_copy(facts->tool, sizeof(facts->tool), "bootgen");
	text_copy(facts->integrity_checked, sizeof(facts->integrity_checked), "header-sums");
	if (read_le32(head + 0x28))
		facts->encrypted = IMAGE_YES;
	if (!images || !at) {
		no_bitstream(facts, "with its tables elsewhere than bootgen puts them");
		unsized(s, facts);
		return 0;
	}
	/* Those of Zynq-7000 have no sum in the table of images. */
	if (!zynq && !xilinx_sum_holds(images, 15))
		return damaged(why, (uint64_t)(images - head),
			       "the checksum of the image table does not hold");
	for (p = at; p + PARTITION <= head + XILINX_BOOT_HEAD && read_le32(p + 8); p += PARTITION) {
		if (!xilinx_sum_holds(p, 15))
			return damaged(why, (uint64_t)(p - head),
				       "the checksum of a partition does not hold");
		part = partition_read(p, zynq);
		if (part.offset + part.total > s->end_at)
			s->end_at = part.offset + part.total;
		if (!parts++)
			first = part;
		if (parts == PARTITIONS_MAX)
			break;
	}
	/* What ends the table is empty but for its sum, and no partition with a length of 0. */
	if (p + PARTITION <= head + XILINX_BOOT_HEAD && parts < PARTITIONS_MAX &&
	    !xilinx_sum_holds(p, 15) && !blank(p))
		return damaged(why, (uint64_t)(p - head),
			       "the checksum of a partition does not hold");
	snprintf(what, sizeof(what), "with %u partitions", parts);
	if (parts != 1)
		no_bitstream(facts, what);
	else if (first.offset < (uint64_t)(p - head))
		no_bitstream(facts, "whose partition lies among its tables");
	else if (!first.bits)
		no_bitstream(facts, "whose partition is a program");
	else
		one_bitstream(s, &first, facts);
	image_name(s, images, facts);
	s->tables_done = true;
	if (!s->end_at || parts == PARTITIONS_MAX || s->end_at < XILINX_BOOT_HEAD) {
		s->end_at = 0;
		unsized(s, facts);
	} else {
		facts->declared_size = s->end_at;
	}
	return 0;
}

/* Bytes of the bitstream, of those in [at, at + n). */
static int stream_bytes(struct xilinx_boot *s, uint64_t at, const uint8_t *b, size_t n,
			struct image_facts *facts, struct reason *why)
{
	uint64_t from = at > s->first ? at : s->first;
	uint64_t to = at + n < s->bits_end ? at + n : s->bits_end;
	int err;

	if (from >= to || s->stream_done)
		return 0;
	if (from == s->first && b[from - at] != 0xff) {
		no_bitstream(facts, "whose partition is no bitstream");
		s->stream_done = true;
		return 0;
	}
	err = xilinx_stream_feed(&s->stream, b + (from - at), (size_t)(to - from), why);
	s->stream_done = to == s->bits_end;
	if (!err && s->stream_done)
		err = xilinx_stream_end(&s->stream, why);
	facts->integrity_checked[0] = '\0';
	xilinx_stream_facts(&s->stream, "", !err && s->stream_done, facts);
	text_copy(facts->integrity_checked, sizeof(facts->integrity_checked),
		  facts->integrity_checked[0] ? "header-sums crc32c" : "header-sums");
	return err;
}

int xilinx_boot_feed(struct xilinx_boot *s, const uint8_t *b, size_t n, struct image_facts *facts,
		     struct reason *why)
{
	int err = 0;

	while (n && s->head_len < XILINX_BOOT_HEAD && !err) {
		size_t take = n < XILINX_BOOT_HEAD - s->head_len ? n : XILINX_BOOT_HEAD - s->head_len;

		memcpy(s->head + s->head_len, b, take);
		s->head_len += (uint32_t)take;
		s->at += take;
		b += take;
		n -= take;
		if (s->head_len < XILINX_BOOT_HEAD)
			break;
		err = tables_read(s, facts, why);
		if (!err)
			err = stream_bytes(s, 0, s->head, XILINX_BOOT_HEAD, facts, why);
	}
	if (!err && n) {
		uint64_t left = s->end_at ? s->end_at - s->at : n;
		size_t take = s->at >= s->end_at && s->end_at ? 0 : n < left ? n : (size_t)left;

		err = stream_bytes(s, s->at, b, take, facts, why);
		s->at += take;
		/* What follows the image takes nothing away from it. */
		facts->integrity_ok = !err && s->end_at && s->at >= s->end_at;
		if (!err && n > take)
			err = padding_check("xilinx-bin", &s->at, s->end_at, b + take, n - take, why);
	}
	if (err)
		return err;
	if (!s->tables_done || s->at < s->end_at)
		return IMAGE_MORE;
	facts->integrity_ok = true;
	return IMAGE_COMPLETE;
}

int xilinx_boot_end(const struct xilinx_boot *s, uint64_t fed, struct reason *why)
{
	if (s->tables_done && s->at >= s->end_at)
		return 0;
	if (s->end_at)
		return reason_set(why, EBADMSG,
				  "xilinx-bin: truncated: %llu of %llu bytes; copy the file again",
				  (unsigned long long)fed, (unsigned long long)s->end_at);
	return reason_set(why, EBADMSG,
			  "xilinx-bin: truncated: %llu bytes, more than %u are wanted; copy "
			  "the file again",
			  (unsigned long long)fed, XILINX_BOOT_HEAD);
}
