// SPDX-License-Identifier: Apache-2.0
/*
 * Zip archives that are handed over in place of an image: Vivado's hardware archive (.xsa) and
 * design checkpoint (.dcp), and those that somebody packed. No format of the table and never
 * complete: it is read only to say which file in it to copy.
 *
 * The directory of an archive is its end, but each file in it has a header of its own in front
 * of it, and these are walked, until one is an image for sure. Where such a header leaves the
 * length to what follows the file, the next header is looked for. After the first MiB the
 * best that was seen is told, so that a large archive is not taken in for nothing.
 *
 * Source: PKWARE APPNOTE.TXT 6.3.10, 4.3.7.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "text.h"

#define LOOK_MAX    (1u << 20)
#define RANK_UNSURE 4 /* from here on a name may be that of something else */
#define HEADER	    30
#define NAME_KEPT   200 /* bytes kept of a name */
#define LENGTH_LATER 8	/* of the flags: the length stands behind the file */

enum phase { HEADERS, NAME, SKIP, SEARCH };

struct archive {
	enum phase phase;
	uint32_t at;
	uint64_t left; /* bytes of the name and what follows it, or of a file, to come */
	uint8_t got, header[HEADER];
	uint16_t name_len;
	char name[NAME_KEPT + 1];
	uint32_t window;
	bool length_later;
	bool hardware, checkpoint; /* Vivado's: by a file that only these have */
	bool walked;		   /* to its directory: no file follows */
	bool cut;		   /* not all of a name was kept */
	int rank;		   /* of best; the lower the surer */
	char best[NAME_KEPT + 1];
};

/* A file's header; that of the directory has 1, 2 in place of 3, 4. */
static const uint8_t MAGIC[4] = { 'P', 'K', 3, 4 };

static enum image_tri archive_probe(const uint8_t *head, size_t n, bool last)
{
	(void)last;
	if (memcmp(head, MAGIC, n < 4 ? n : 4))
		return IMAGE_NO;
	return n >= 4 ? IMAGE_YES : IMAGE_UNKNOWN;
}

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n > k && !strcasecmp(name + n - k, end);
}

/* How surely a file of this name is what is wanted: 1 for sure, 0 not at all. */
static int rank_of(const char *name)
{
	static const struct {
		const char *end;
		int rank;
	} ends[] = {
		{ ".bit", 1 },	{ ".pdi", 1 },	{ ".xclbin", 1 }, { ".awsxclbin", 1 }, { ".rbf", 1 },
		{ ".sof", 1 },	{ ".fs", 1 },	{ ".aocx", 1 },	  { ".gbs", 1 },       { ".bit.bin", 2 },
		{ ".dtbo", 3 }, { ".bin", 4 },	{ ".hex", 5 },	  { ".dat", 6 },       { ".stp", 6 },
	};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (ends_in(name, ends[i].end))
			return ends[i].rank;
	return 0;
}

static int refuse(const struct archive *s, struct reason *why)
{
	const char *what = s->hardware	   ? "a hardware archive of Vivado (.xsa)"
			   : s->checkpoint ? "a design checkpoint of Vivado (.dcp)"
					   : "a zip archive (an .xsa, the hardware archive of Vivado, "
					     "is one)";
	bool all = s->walked && !s->cut;
	/* A hardware archive has other .bin than that of its .bit, which may come yet. */
	bool found = s->best[0] && (all || !s->hardware || s->rank < RANK_UNSURE);
	/* A name that a shell would read otherwise is left to the reader. */
	bool plain = found && !strpbrk(s->best, "'?*[]\\");

	if (!found && all && s->hardware)
		return reason_set(why, ENOEXEC,
				  "not an image: %s, which has no bitstream in it; write it again with "
				  "write_hw_platform -include_bit, or copy the .bit itself",
				  what);
	if (!found && all && !s->checkpoint)
		return reason_set(why, ENOEXEC,
				  "not an image: a zip archive, and by their names no file in it is an "
				  "image; unzip -l FILE lists them");
	if (!found && s->checkpoint)
		return reason_set(why, ENOEXEC,
				  "not an image: %s, which has no bitstream in it; copy the .bit that "
				  "write_bitstream makes of it",
				  what);
	return reason_set(why, ENOEXEC,
			  "not an image: %s; copy the %s in it: unzip -p FILE '%s%s' > image", what,
			  found ? "image" : ".bit", plain ? "" : "*",
			  plain	  ? s->best
			  : found ? strrchr(s->best, '.')
				  : ".bit");
}

/* The name of a file is there. */
static void file_seen(struct archive *s)
{
	const char *base;
	int rank;

	text_from_header(s->name, s->name_len);
	base = text_base(s->name);
	s->hardware |= !strcasecmp(base, "xsa.xml") || !strcasecmp(base, "xsa.json") ||
		       !strcasecmp(base, "sysdef.xml") || ends_in(base, ".hwh");
	s->checkpoint |= !strcasecmp(base, "dcp.xml");
	s->cut |= s->name_len == NAME_KEPT;
	rank = rank_of(s->name);
	/* A name that was cut leads nowhere. */
	if (rank && s->name_len < NAME_KEPT && (!s->rank || rank < s->rank)) {
		s->rank = rank;
		text_copy(s->best, sizeof(s->best), s->name);
	}
}

static void header_seen(struct archive *s)
{
	const uint8_t *h = s->header;

	s->phase = NAME;
	s->name_len = 0;
	s->left = read_le16(h + 26);
	s->length_later = read_le16(h + 6) & LENGTH_LATER || read_le32(h + 18) == UINT32_MAX;
}

/* The header and its name are behind; where the next one is. */
static void name_complete(struct archive *s)
{
	const uint8_t *h = s->header;

	file_seen(s);
	s->window = 0;
	s->got = 0;
	s->left = read_le16(h + 28) + (uint64_t)read_le32(h + 18);
	s->phase = s->length_later ? SEARCH : s->left ? SKIP : HEADERS;
}

/* A byte of a header. 1: no file follows any more. */
static int header_byte(struct archive *s, uint8_t c)
{
	if (s->got < sizeof(MAGIC) && c != MAGIC[s->got]) {
		s->walked = s->got == 2 && c == 1;
		return 1;
	}
	s->header[s->got++] = c;
	if (s->got == HEADER) {
		header_seen(s);
		if (!s->left)
			name_complete(s);
	}
	return 0;
}

static int byte(struct archive *s, uint8_t c)
{
	switch (s->phase) {
	case HEADERS:
		return header_byte(s, c);
	case NAME:
		if (s->name_len < NAME_KEPT)
			s->name[s->name_len++] = (char)c;
		if (!--s->left)
			name_complete(s);
		return 0;
	case SKIP:
		if (!--s->left)
			s->phase = HEADERS;
		return 0;
	case SEARCH:
		s->window = s->window << 8 | c;
		/* The directory begins: no file follows. */
		s->walked = s->window == 0x504b0102;
		if (s->walked)
			return 1;
		if (s->window != 0x504b0304)
			return 0;
		memcpy(s->header, MAGIC, 4);
		s->got = 4;
		s->phase = HEADERS;
		return 0;
	}
	return 0;
}

static int archive_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
			struct reason *why)
{
	struct archive *s = state;

	(void)facts;
	while (n) {
		size_t take = 1;

		if (s->phase == SKIP) {
			take = n < s->left ? n : (size_t)s->left;
			if (take > LOOK_MAX - s->at)
				take = LOOK_MAX - s->at;
			s->left -= take - 1;
		}
		if (byte(s, b[take - 1]) || s->rank == 1)
			return refuse(s, why);
		s->at += (uint32_t)take;
		if (s->at >= LOOK_MAX)
			return refuse(s, why);
		b += take;
		n -= take;
	}
	return IMAGE_MORE;
}

static int archive_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	(void)fed;
	(void)facts;
	return refuse(state, why);
}

const struct image_format image_archive = {
	.version = IMAGE_ABI,
	.name = "",
	.state_bytes = sizeof(struct archive),
	.probe = archive_probe,
	.feed = archive_feed,
	.end = archive_end,
};
