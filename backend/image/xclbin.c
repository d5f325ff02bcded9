// SPDX-License-Identifier: Apache-2.0
/*
 * Xilinx .xclbin (axlf version 2), also AWS .awsxclbin: a container of sections with a table
 * in front. It declares its length and carries no checksum; where its bitstream is a .bit, a
 * .bin or a .pdi, what that one carries is recomputed.
 *
 * Not every one of them programs something: those of Kria boards only describe what a
 * separate .bit.bin holds, those of AWS name an image that AWS keeps, and those for an NPU
 * are for a processor. Which platform it is for is a name, the VBNV, and an interface id.
 *
 * Source: Xilinx/XRT, xrt/detail/xclbin.h; files of Vitis for Kria and of AWS.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "parts.h"
#include "text.h"

#define FRONT	     456 /* bytes in front of the table */
#define ENTRY	     40	 /* bytes of a row of the table */
#define SECTIONS_MAX 256
#define KEPT_MAX     8192 /* bytes kept of a section that is read */
#define AFI_MAX	     64	  /* a bitstream this short is text that names one */
#define HEAD_KEPT    512  /* bytes of a bitstream that tell what it is */

enum kind {
	BITSTREAM = 0,
	METADATA = 2,
	MEMORY = 6,
	IP_LAYOUT = 8,
	CLOCKS = 11,
	BUILD = 14,
	PDI = 18,
	PARTIAL_PDI = 19,
	AIE = 32,
};

enum mode { HW_EMU = 4, SW_EMU = 5, HW_EMU_PR = 6 };

struct kept {
	uint64_t offset, size; /* of the section; size 0 = there is none */
	uint32_t len;	       /* bytes wanted of it */
	uint8_t bytes[KEPT_MAX];
};

struct xclbin {
	uint64_t at, total, table_end; /* total 0 = the front is not there yet */
	uint32_t sections;
	bool table_done, complete;
	struct kept memory, ips, clocks, metadata, build, head; /* head: the front of the bitstream */
	const struct image_format *inner; /* of the bitstream; NULL = none, or not known yet */
	bool inner_done;
	void *inner_state;
	struct image_facts inner_facts;
	uint8_t table[FRONT + SECTIONS_MAX * ENTRY];
};

static enum image_tri xclbin_probe(const uint8_t *head, size_t n, bool last)
{
	size_t have = n < 8 ? n : 8;

	if (!n)
		return IMAGE_UNKNOWN;
	if (memcmp(head, "xclbin2", have))
		return IMAGE_NO;
	/* One letter of text is no front of it. */
	return have == 8 || (last && n > 1) ? IMAGE_YES : IMAGE_UNKNOWN;
}

static int damaged(const struct xclbin *s, struct reason *why, const char *what)
{
	(void)s;
	return reason_set(why, EBADMSG, "xclbin: damaged: %s; copy or build the file again", what);
}

/* --- the front ---------------------------------------------------------------------- */

static void uuid_text(const uint8_t *b, char out[33])
{
	for (int i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", b[i]);
}

static int front_read(struct xclbin *s, struct image_facts *facts, struct reason *why)
{
	const uint8_t *t = s->table;
	char vbnv[65], interface[33], image[33], when[32];
	time_t built = (time_t)(read_le64(t + 312) & 0x3ffffffff);
	struct tm tm;

	s->sections = read_le32(t + 448);
	if (!s->sections || s->sections > SECTIONS_MAX)
		return damaged(s, why, "a table of no sections, or of more than 256");
	s->table_end = FRONT + (uint64_t)s->sections * ENTRY;
	if (read_le64(t + 304) < s->table_end)
		return damaged(s, why, "the declared length ends in front of the sections");
	s->total = read_le64(t + 304);
	memcpy(vbnv, t + 352, 64);
	vbnv[64] = '\0';
	text_from_header(vbnv, 64);
	uuid_text(t + 336, interface);
	uuid_text(t + 416, image);
	facts->declared_size = s->total;
	facts->confidence = IMAGE_EXACT;
	text_copy(facts->vendor, sizeof(facts->vendor), "xilinx");
	/* An id of zeros is an unknown one (Kria, AWS). */
	text_copy(facts->shell, sizeof(facts->shell),
		  vbnv[0]			 ? vbnv
		  : strspn(interface, "0") == 32 ? ""
						 : interface);
	facts->is_signed = (int32_t)read_le32(t + 8) > 0 ? IMAGE_YES : IMAGE_NO;
	snprintf(facts->tool, sizeof(facts->tool), "XRT %u.%u.%u", t[330], t[331],
		 read_le16(t + 328));
	if (built && gmtime_r(&built, &tm) &&
	    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm))
		text_copy(facts->built, sizeof(facts->built), when);
	if (strspn(interface, "0") != 32)
		text_copy(facts->interface, sizeof(facts->interface), interface);
	if (strspn(image, "0") != 32)
		text_copy(facts->unique_id, sizeof(facts->unique_id), image);
	text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
		  "this format carries no checksum; its sections lie within its length");
	return 0;
}

static void keep(struct kept *k, uint64_t offset, uint64_t size, uint32_t most)
{
	k->offset = offset;
	k->size = size;
	k->len = size < most ? (uint32_t)size : most;
}

static int table_read(struct xclbin *s, struct image_facts *facts, struct reason *why)
{
	bool programs = false, processor = false;
	unsigned mode = read_le16(s->table + 332);
	char what[80];

	for (uint32_t i = 0; i < s->sections; i++) {
		const uint8_t *row = s->table + FRONT + i * ENTRY;
		uint32_t kind = read_le32(row);
		uint64_t offset = read_le64(row + 24), size = read_le64(row + 32);

		if (offset < s->table_end || offset > s->total || size > s->total - offset) {
			snprintf(what, sizeof(what),
				 "section %u (kind %u) lies outside of the file", i, kind);
			return damaged(s, why, what);
		}
		if ((kind == BITSTREAM || kind == PDI || kind == PARTIAL_PDI) && !s->head.size)
			keep(&s->head, offset, size, HEAD_KEPT);
		else if (kind == MEMORY)
			keep(&s->memory, offset, size, KEPT_MAX);
		else if (kind == IP_LAYOUT)
			keep(&s->ips, offset, size, KEPT_MAX);
		else if (kind == CLOCKS)
			keep(&s->clocks, offset, size, KEPT_MAX);
		else if (kind == METADATA)
			keep(&s->metadata, offset, size, KEPT_MAX - 1);
		else if (kind == BUILD)
			keep(&s->build, offset, size, KEPT_MAX - 1);
		programs |= kind == BITSTREAM || kind == PDI || kind == PARTIAL_PDI;
		processor |= kind == AIE;
	}
	s->table_done = true;
	if (mode >= HW_EMU && mode <= HW_EMU_PR) {
		text_copy(facts->detail, sizeof(facts->detail), "a build for emulation");
		text_copy(facts->no_card, sizeof(facts->no_card),
			  "a build for emulation programs no card; build it again with -t hw");
	} else if (!programs && processor) {
		text_copy(facts->detail, sizeof(facts->detail), "for the NPU of a processor");
		text_copy(facts->no_card, sizeof(facts->no_card),
			  "an image for the NPU of a processor, not for an FPGA card");
	} else if (!programs)
		text_copy(
			facts->detail, sizeof(facts->detail),
			"no bitstream: it describes the .bit.bin that it came with, and programs nothing "
			"by itself");
	return 0;
}

/* --- sections ------------------------------------------------------------------------- */

/* The bytes of a chunk at offset `at` that lie in [from, from + len). */
static size_t overlap(uint64_t at, size_t n, uint64_t from, uint64_t len, size_t *skip)
{
	uint64_t begin = at > from ? at : from;
	uint64_t end = at + n < from + len ? at + n : from + len;

	*skip = begin < end ? (size_t)(begin - at) : 0;
	return begin < end ? (size_t)(end - begin) : 0;
}

static void kept_bytes(struct kept *k, uint64_t at, const uint8_t *b, size_t n)
{
	size_t skip, len = overlap(at, n, k->offset, k->len, &skip);

	if (k->size && len)
		memcpy(k->bytes + (at + skip - k->offset), b + skip, len);
}

/* The front of the bitstream is there: what it is. */
static int inner_begins(struct xclbin *s, struct reason *why)
{
	static const struct image_format *const formats[] = { &image_xilinx_bit, &image_xilinx_bin,
							      &image_pdi };

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]) && !s->inner; i++)
		if (formats[i]->probe(s->head.bytes, s->head.len, false) == IMAGE_YES)
			s->inner = formats[i];
	if (!s->inner)
		return 0;
	s->inner_state = calloc(1, s->inner->state_bytes);
	if (!s->inner_state)
		return reason_set(why, ENOMEM, "out of memory for the xclbin recogniser");
	return s->inner->feed(s->inner_state, s->head.bytes, s->head.len, &s->inner_facts, why);
}

static int bitstream_bytes(struct xclbin *s, uint64_t at, const uint8_t *b, size_t n,
			   struct reason *why)
{
	uint64_t known = s->head.offset + s->head.len;
	size_t skip, len;
	int rc = 0;

	if (s->head.size <= AFI_MAX)
		return 0;
	if (!s->inner_done && at + n >= known && known > at) {
		s->inner_done = true;
		rc = inner_begins(s, why);
	}
	len = overlap(at, n, known, s->head.size - s->head.len, &skip);
	if (rc >= 0 && s->inner && len)
		rc = s->inner->feed(s->inner_state, b + skip, len, &s->inner_facts, why);
	return rc < 0 ? reason_wrap(why, "xclbin: its bitstream") : 0;
}

/* The value behind "key": or key=, in quotes, from `text` on. "" when it is not there. */
static const char *quoted(const char *text, const char *key, char *out, size_t size)
{
	const char *at = text ? strstr(text, key) : NULL;
	size_t n;

	out[0] = '\0';
	if (!at)
		return NULL;
	at += strlen(key);
	at += strspn(at, " \t\r\n:=");
	if (*at++ != '"')
		return NULL;
	n = strcspn(at, "\"");
	snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), at);
	text_from_header(out, strlen(out));
	return at;
}

static void part_set(struct image_facts *facts, char *part, const char *ends)
{
	char *rest = part + strcspn(part, ends), *speed;

	if (*rest)
		*rest++ = '\0';
	speed = rest + strcspn(rest, ends);
	if (*speed)
		*speed++ = '\0';
	speed += strspn(speed, "-");
	for (char *c = part; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	for (char *c = speed; *c; c++)
		*c = *c == ':' ? '-' : *c;
	text_copy(facts->part, sizeof(facts->part), part);
	text_copy(facts->package, sizeof(facts->package), rest);
	text_copy(facts->speed, sizeof(facts->speed), speed);
}

/*
 * What made it, and the part that its platform has. Looked for in the text: the description may
 * be longer than what is kept of it. The rest of it has paths and names of its builder.
 */
static void metadata_read(struct xclbin *s, struct image_facts *facts)
{
	const struct image_part *row;
	const char *text = (const char *)s->build.bytes, *at;
	char value[64], name[24];
	size_t n;

	at = text ? strstr(text, "\"xclbin\"") : NULL;
	at = quoted(at, "\"name\"", name, sizeof(name));
	if (quoted(at, "\"version\"", value, sizeof(value)) && name[0] && strlen(value) < 24) {
		char xrt[32];

		text_copy(xrt, sizeof(xrt), facts->tool);
		snprintf(facts->tool, sizeof(facts->tool), "%s %s, %s", name, value, xrt);
	}
	if (s->build.size && quoted(strstr(text, "\"board\""), "\"part\"", value, sizeof(value)) &&
	    !strncasecmp(value, "xc", 2))
		part_set(facts, value, "-");
	/* "zynquplus:xck26:sfvc784:-2LV:c" */
	if (!facts->part[0] && s->metadata.size &&
	    quoted((const char *)s->metadata.bytes, "fpgaDevice", value, sizeof(value))) {
		char *part = strchr(value, ':');

		if (part && !strncasecmp(part + 1, "xc", 2))
			part_set(facts, part + 1, ":");
	}
	row = facts->part[0] ? part_by_text("xilinx", "", facts->part, &n) : NULL;
	if (row)
		text_copy(facts->family, sizeof(facts->family), row->family);
}

/* The name of a kernel or memory, in a field of n bytes (64 at most), up to `until`. */
static void name_add(struct buf *list, const uint8_t *field, size_t n, char until)
{
	char name[65];

	memcpy(name, field, n);
	text_from_header(name, n);
	if (strchr(name, until))
		*strchr(name, until) = '\0';
	/* Several instances of a kernel have one name. */
	text_list_add(list, name);
}

/* Kernels, clocks and memories (ip_layout, clock_freq_topology, mem_topology of xclbin.h). */
static void sections_read(struct xclbin *s, struct image_facts *facts)
{
	struct buf kernels CLEANUP_BUF = BUF_INIT, needs CLEANUP_BUF = BUF_INIT,
			   memories CLEANUP_BUF = BUF_INIT;
	uint32_t n = s->ips.len >= 8 ? read_le32(s->ips.bytes) : 0;

	for (uint32_t i = 0; i < n && 8 + 80 * (i + 1) <= s->ips.len; i++)
		if (read_le32(s->ips.bytes + 8 + 80 * i) == 1)
			name_add(&kernels, s->ips.bytes + 8 + 80 * i + 16, 64, ':');
	if (!buf_ok(&kernels) && kernels.len)
		text_list_copy(facts->kernels, sizeof(facts->kernels), kernels.data);
	n = s->clocks.len >= 2 ? read_le16(s->clocks.bytes) : 0;
	for (uint32_t i = 0; i < n && 2 + 136 * (i + 1) <= s->clocks.len; i++)
		buf_addf(&needs, "%s%u MHz", needs.len ? ", " : "clocks ",
			 read_le16(s->clocks.bytes + 2 + 136 * i));
	n = s->memory.len >= 8 ? read_le32(s->memory.bytes) : 0;
	for (uint32_t i = 0; i < n && 8 + 40 * (i + 1) <= s->memory.len; i++)
		if (s->memory.bytes[8 + 40 * i + 1])
			name_add(&memories, s->memory.bytes + 8 + 40 * i + 24, 16, ' ');
	if (memories.len)
		buf_addf(&needs, "%smemory %s", needs.len ? "; " : "", memories.data);
	if (!buf_ok(&needs) && !buf_ok(&memories) && needs.len)
		text_list_copy(facts->needs, sizeof(facts->needs), needs.data);
}

static int complete(struct xclbin *s, struct image_facts *facts, struct reason *why)
{
	const struct image_facts *inner = &s->inner_facts;
	int err;

	s->complete = true;
	sections_read(s, facts);
	if (s->head.size && s->head.size <= AFI_MAX && !memcmp(s->head.bytes, "agfi-", 5)) {
		char name[AFI_MAX + 1];

		memcpy(name, s->head.bytes, s->head.len);
		text_from_header(name, s->head.len);
		snprintf(facts->detail, sizeof(facts->detail),
			 "it has no bits: it names %s, an image that AWS keeps", name);
	}
	metadata_read(s, facts);
	if (!s->inner)
		return 0;
	err = s->inner->end(s->inner_state, s->head.size, &s->inner_facts, why);
	if (err)
		return reason_wrap(why, "xclbin: its bitstream");
	if (inner->part[0]) {
		text_copy(facts->part, sizeof(facts->part), inner->part);
		text_copy(facts->also_parts, sizeof(facts->also_parts), inner->also_parts);
		text_copy(facts->family, sizeof(facts->family), inner->family);
	}
	text_copy(facts->design, sizeof(facts->design), inner->design);
	text_copy(facts->user_id, sizeof(facts->user_id), inner->user_id);
	facts->has_idcode = inner->has_idcode;
	facts->idcode = inner->idcode;
	facts->partial = inner->partial;
	facts->compressed = inner->compressed;
	facts->encrypted = inner->encrypted;
	facts->dies = inner->dies;
	/* Of the bitstream alone: not what makes a mixture of two files known. */
	if (inner->integrity_checked[0])
		snprintf(facts->integrity_absent, sizeof(facts->integrity_absent),
			 "this format carries no checksum; the %s of its bitstream %s",
			 strstr(inner->integrity_checked, "crc") ? "CRC" : "sums",
			 strstr(inner->integrity_checked, "crc") ? "holds" : "hold");
	return 0;
}

static int xclbin_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		       struct reason *why)
{
	struct xclbin *s = state;
	int err = 0;

	while (n && !err && !s->complete) {
		uint64_t until = !s->total ? FRONT : !s->table_done ? s->table_end : s->total;
		size_t take = n < until - s->at ? n : (size_t)(until - s->at);

		if (!s->table_done) {
			memcpy(s->table + s->at, b, take);
		} else {
			kept_bytes(&s->head, s->at, b, take);
			kept_bytes(&s->memory, s->at, b, take);
			kept_bytes(&s->ips, s->at, b, take);
			kept_bytes(&s->clocks, s->at, b, take);
			kept_bytes(&s->metadata, s->at, b, take);
			kept_bytes(&s->build, s->at, b, take);
			err = bitstream_bytes(s, s->at, b, take, why);
		}
		s->at += take;
		b += take;
		n -= take;
		if (!err && !s->total && s->at == FRONT)
			err = front_read(s, facts, why);
		else if (!err && s->total && !s->table_done && s->at == s->table_end)
			err = table_read(s, facts, why);
		if (!err && s->table_done && s->at == s->total)
			err = complete(s, facts, why);
	}
	if (!err && n)
		err = padding_check("xclbin", &s->at, s->total, b, n, why);
	if (err)
		return err;
	return s->complete ? IMAGE_COMPLETE : IMAGE_MORE;
}

static int xclbin_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct xclbin *s = state;

	(void)facts;
	if (s->complete)
		return 0;
	return reason_set(why, EBADMSG,
			  "xclbin: truncated: %llu of %s%llu bytes; copy the file again",
			  (unsigned long long)fed, s->total ? "" : "at least ",
			  (unsigned long long)(s->total ? s->total : FRONT + ENTRY));
}

static void xclbin_fini(void *state)
{
	struct xclbin *s = state;

	if (s->inner && s->inner->fini)
		s->inner->fini(s->inner_state);
	free(s->inner_state);
}

const struct image_format image_xclbin = {
	.version = IMAGE_ABI,
	.name = "xclbin",
	.state_bytes = sizeof(struct xclbin),
	.probe = xclbin_probe,
	.feed = xclbin_feed,
	.end = xclbin_end,
	.fini = xclbin_fini,
};
