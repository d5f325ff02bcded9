// SPDX-License-Identifier: Apache-2.0
/*
 * Intel FPGA SDK for OpenCL .aocx: an ELF file of class 32 with the machine number of a
 * 64-bit one, which tells it from programs, with sections .acl.*. It carries no checksum;
 * the table of sections is its end, so a cut file is known by that.
 *
 * Names and contents of sections come in front of the table that says where they are, and
 * an image is not kept: what is read of them has to lie in the first or the last bytes. An
 * emulator's build has no configuration in it and is for no card.
 *
 * Which kernels and memories there are is read from .acl.autodiscovery: words with blanks
 * between them, where each part of the description tells how many words it has. Earlier
 * versions of it than 23 (SDK 19.1) have no such numbers; their kernels are looked for in
 * .acl.kernel_arg_info.xml.
 *
 * Sources: files of the SDK 16.1 and 18.1; ELF (gABI); intel/fpga-runtime-for-opencl
 * (acl_auto_configure.cpp).
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "text.h"

#define HEADER	     52
#define ROW	     40 /* bytes of a section header of class 32 */
#define SECTIONS_MAX 400
#define HEAD_KEPT    65536
#define TAIL_KEPT    32768 /* in front of the table: names, and sections put last */
#define TEXT_READ    16384 /* bytes of a description that are looked at */
#define COUNTED	     23	   /* first version of autodiscovery that tells how long its parts are */
#define LIST_MAX     64	   /* kernels, or memories */

struct aocx {
	uint64_t at, table, end_at; /* end_at 0 = the header is not there yet */
	bool complete;
	uint32_t sections, names_row;
	uint64_t tail_from;
	uint8_t head[HEAD_KEPT];
	uint8_t tail[TAIL_KEPT + SECTIONS_MAX * ROW];
};

static enum image_tri aocx_probe(const uint8_t *head, size_t n, bool last)
{
	static const uint8_t ident[6] = { 0x7f, 'E', 'L', 'F', 1, 1 };
	size_t have = n < 6 ? n : 6;

	(void)last;
	if (!n)
		return IMAGE_UNKNOWN;
	if (memcmp(head, ident, have))
		return IMAGE_NO;
	if (n < 20)
		return IMAGE_UNKNOWN;
	/* No type (programs have one), and the machine of a 64-bit processor. */
	return read_le16(head + 16) == 0 && read_le16(head + 18) == 0x3e ? IMAGE_YES : IMAGE_NO;
}

static int damaged(struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG, "aocx: damaged: %s; copy or build the file again", what);
}

/* Bytes [offset, offset + n) of the file, if they were kept. */
static const uint8_t *kept(const struct aocx *s, uint64_t offset, uint64_t n)
{
	if (n <= HEAD_KEPT && offset <= HEAD_KEPT - n)
		return s->head + offset;
	if (offset >= s->tail_from && offset <= s->end_at && n <= s->end_at - offset)
		return s->tail + (offset - s->tail_from);
	return NULL;
}

static int header_read(struct aocx *s, struct image_facts *facts, struct reason *why)
{
	uint32_t size;

	s->table = read_le32(s->head + 32);
	size = read_le16(s->head + 46);
	s->sections = read_le16(s->head + 48);
	s->names_row = read_le16(s->head + 50);
	if (size != ROW || !s->sections || s->sections > SECTIONS_MAX ||
	    s->names_row >= s->sections)
		return damaged(why, "no table of sections, or one of more than 400");
	if (s->table < HEADER)
		return damaged(why, "the table of sections lies in the header");
	s->end_at = s->table + (uint64_t)s->sections * ROW;
	s->tail_from = s->table > TAIL_KEPT ? s->table - TAIL_KEPT : 0;
	facts->declared_size = s->end_at;
	facts->confidence = IMAGE_LIKELY;
	text_copy(facts->vendor, sizeof(facts->vendor), "altera");
	text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
		  "this format carries no checksum; its sections lie within its length");
	return 0;
}

static void section_text(const struct aocx *s, const uint8_t *row, char *out, size_t size)
{
	uint64_t n = read_le32(row + 20);
	char text[128];
	const uint8_t *b;

	if (n > sizeof(text) - 1)
		n = sizeof(text) - 1;
	b = kept(s, read_le32(row + 16), n);
	if (!b)
		return;
	memcpy(text, b, n);
	text[n] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	text_from_header(text, strlen(text));
	text_copy(out, size, text_base(text));
}

/* --- what is in it ------------------------------------------------------------------- */

/* Words of a text, one after the other. */
struct words {
	const char *at, *end;
};

/* The next word, cleaned; false: there is none. */
static bool word_next(struct words *w, char *out, size_t size)
{
	size_t n = 0;

	while (w->at < w->end && (*w->at == ' ' || *w->at == '\n' || *w->at == '\r'))
		w->at++;
	while (w->at + n < w->end && w->at[n] && w->at[n] != ' ' && w->at[n] != '\n' && w->at[n] != '\r')
		n++;
	if (!n)
		return false;
	snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), w->at);
	text_from_header(out, strlen(out));
	w->at += n;
	return true;
}

static bool number_next(struct words *w, unsigned *number)
{
	char word[16], *end;

	if (!word_next(w, word, sizeof(word)))
		return false;
	*number = (unsigned)strtoul(word, &end, 10);
	return word[0] >= '0' && word[0] <= '9' && !*end && *number < 1000000;
}

/* Past so many words. */
static bool words_skip(struct words *w, unsigned n)
{
	char word[4];

	while (n && word_next(w, word, sizeof(word)))
		n--;
	return !n;
}

/* "COUNT NAME ..." so many times: each has COUNT words, of which the name is the first. */
static void names_read(struct words *w, unsigned n, struct buf *out)
{
	char name[64];
	unsigned len;

	for (unsigned i = 0; i < n && i < LIST_MAX; i++) {
		if (!number_next(w, &len) || !len || !word_next(w, name, sizeof(name)) ||
		    !words_skip(w, len - 1))
			return;
		buf_addf(out, "%s%s", out->len ? " " : "", name);
	}
}

static void autodiscovery_read(const char *text, size_t n, struct image_facts *facts)
{
	struct buf kernels CLEANUP_BUF = BUF_INIT, memories CLEANUP_BUF = BUF_INIT;
	struct words w = { text, text + n }, device;
	unsigned version, len, count;

	if (!number_next(&w, &version) || version < COUNTED || !number_next(&w, &len))
		return;
	/* Hash, board and endianness come before the memories; kernels behind the device. */
	device = w;
	if (words_skip(&device, 3) && number_next(&device, &count))
		names_read(&device, count, &memories);
	if (words_skip(&w, len) && number_next(&w, &count))
		names_read(&w, count, &kernels);
	if (!buf_ok(&kernels) && kernels.len)
		text_list_copy(facts->kernels, sizeof(facts->kernels), kernels.data);
	if (!buf_ok(&memories) && memories.len)
		snprintf(facts->needs, sizeof(facts->needs), "memory %.140s", memories.data);
}

/* <kernel name="vadd" ...> */
static void kernel_xml_read(const char *text, size_t n, struct image_facts *facts)
{
	static const char tag[] = "<kernel name=\"";
	struct buf kernels CLEANUP_BUF = BUF_INIT;
	const char *at = text;

	for (unsigned i = 0; i < LIST_MAX; i++) {
		char name[64];
		size_t len = 0;

		at = memmem(at, n - (size_t)(at - text), tag, sizeof(tag) - 1);
		if (!at)
			break;
		at += sizeof(tag) - 1;
		while (at + len < text + n && len + 1 < sizeof(name) && at[len] != '"')
			len++;
		snprintf(name, sizeof(name), "%.*s", (int)len, at);
		text_from_header(name, strlen(name));
		name[strcspn(name, " ")] = '\0';
		buf_addf(&kernels, "%s%s", kernels.len ? " " : "", name);
	}
	if (!buf_ok(&kernels) && kernels.len && !facts->kernels[0])
		text_list_copy(facts->kernels, sizeof(facts->kernels), kernels.data);
}

static void description_read(const struct aocx *s, const uint8_t *row, bool xml,
			     struct image_facts *facts)
{
	uint64_t n = read_le32(row + 20);
	const uint8_t *b;

	if (n > TEXT_READ)
		n = TEXT_READ;
	b = n ? kept(s, read_le32(row + 16), n) : NULL;
	if (b && xml)
		kernel_xml_read((const char *)b, n, facts);
	else if (b)
		autodiscovery_read((const char *)b, n, facts);
}

/* --- the table ------------------------------------------------------------------------- */

static int table_read(struct aocx *s, struct image_facts *facts, struct reason *why)
{
	const uint8_t *table = kept(s, s->table, s->sections * ROW), *names_row, *names;
	bool board = false, image = false, emulator = false;
	uint32_t names_len;

	assert(table); /* the tail that is kept begins before it */
	s->complete = true;
	for (uint32_t i = 0; i < s->sections; i++) {
		const uint8_t *row = table + i * ROW;
		uint64_t offset = read_le32(row + 16), size = read_le32(row + 20);

		/* A section without bytes in the file (NOBITS), or the empty first one. */
		if (read_le32(row + 4) == 8 || !read_le32(row + 4))
			continue;
		if (offset > s->end_at || size > s->end_at - offset)
			return damaged(why, "a section lies outside of the file");
	}
	names_row = table + s->names_row * ROW;
	names_len = read_le32(names_row + 20);
	names = kept(s, read_le32(names_row + 16), names_len);
	if (!names)
		return damaged(why, "the names of its sections are not near its end");
	for (uint32_t i = 0; i < s->sections; i++) {
		const uint8_t *row = table + i * ROW;
		uint32_t at = read_le32(row);
		const char *name = at < names_len && memchr(names + at, 0, names_len - at)
					   ? (const char *)names + at
					   : "";

		if (!strcmp(name, ".acl.board")) {
			board = true;
			section_text(s, row, facts->shell, sizeof(facts->shell));
		} else if (!strcmp(name, ".acl.version")) {
			section_text(s, row, facts->tool, sizeof(facts->tool));
		} else if (!strcmp(name, ".acl.autodiscovery")) {
			description_read(s, row, false, facts);
		} else if (!strcmp(name, ".acl.kernel_arg_info.xml")) {
			description_read(s, row, true, facts);
		} else if (!strcmp(name, ".acl.fpga.bin")) {
			image = true;
		} else if (!strncmp(name, ".acl.emulator_object", 20)) {
			emulator = true;
		}
	}
	if (!board)
		return reason_set(
			why, ENOEXEC,
			"aocx: an ELF file without the section .acl.board: no image of the OpenCL SDK");
	facts->confidence = IMAGE_EXACT;
	if (!image) {
		text_copy(facts->detail, sizeof(facts->detail),
			  emulator ? "a build for the emulator, without a configuration"
				   : "without a configuration (.acl.fpga.bin)");
		text_copy(facts->no_card, sizeof(facts->no_card),
			  emulator ? "a build for the emulator holds no configuration of a card; "
				     "build it again without -march=emulator"
				   : "it holds no configuration of a card; build it again for a "
				     "board");
	}
	return 0;
}

static int aocx_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		     struct reason *why)
{
	struct aocx *s = state;
	int err = 0;

	while (n && !err && !s->complete) {
		uint64_t until = s->end_at ? s->end_at : HEADER;
		size_t take = n < until - s->at ? n : (size_t)(until - s->at);

		if (s->at < HEAD_KEPT)
			memcpy(s->head + s->at, b,
			       take < HEAD_KEPT - s->at ? take : (size_t)(HEAD_KEPT - s->at));
		if (s->end_at && s->at + take > s->tail_from) {
			size_t skip = s->at < s->tail_from ? (size_t)(s->tail_from - s->at) : 0;

			memcpy(s->tail + (s->at + skip - s->tail_from), b + skip, take - skip);
		}
		s->at += take;
		b += take;
		n -= take;
		if (!s->end_at && s->at == HEADER) {
			err = header_read(s, facts, why);
		} else if (s->end_at && s->at == s->end_at) {
			err = table_read(s, facts, why);
		}
	}
	if (!err && n)
		err = padding_check("aocx", &s->at, s->end_at, b, n, why);
	if (err)
		return err;
	return s->complete ? IMAGE_COMPLETE : IMAGE_MORE;
}

static int aocx_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct aocx *s = state;

	(void)facts;
	if (s->complete)
		return 0;
	return reason_set(why, EBADMSG,
			  "aocx: truncated: %llu of %s%llu bytes; copy the file again",
			  (unsigned long long)fed, s->end_at ? "" : "at least ",
			  (unsigned long long)(s->end_at ? s->end_at : HEADER + ROW));
}

const struct image_format image_aocx = {
	.version = IMAGE_ABI,
	.name = "aocx",
	.state_bytes = sizeof(struct aocx),
	.probe = aocx_probe,
	.feed = aocx_feed,
	.end = aocx_end,
};
