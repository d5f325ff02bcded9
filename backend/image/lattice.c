// SPDX-License-Identifier: Apache-2.0
/* The front of Lattice's .bit files, and which family one is for. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/buf.h>

#include "lattice.h"
#include "text.h"

#define FRONT_MAX IMAGE_HEAD_MAX
#define HUNT_MAX  64 /* bytes between the comment, or the start, and the preamble */

enum { START, COMMENT, HUNT, DONE };

#define PREAMBLE		 0xffffbdb3u
#define PREAMBLE_ENCRYPTED	 0xffffbfb3u
#define PREAMBLE_NEXUS_ENCRYPTED 0xffffbeb3u

/* --- the comment ------------------------------------------------------------------ */

static const char *value_of(const char *line, const char *key)
{
	size_t n = strlen(key);

	if (strncasecmp(line, key, n) || line[n] != ':')
		return NULL;
	return line + n + 1 + strspn(line + n + 1, " ");
}

/* "LFE5U-45F-6CSFBGA285": part, and behind the second '-' speed and package. */
static void part_line(struct lattice_front *f, const char *text)
{
	const char *rest = strchr(text, '-');
	size_t n;

	rest = rest ? strchr(rest + 1, '-') : NULL;
	n = rest ? (size_t)(rest - text) : strcspn(text, " ");
	snprintf(f->part, sizeof(f->part), "%.*s", (int)(n < 40 ? n : 40), text);
	for (char *c = f->part; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (!rest)
		return;
	n = strspn(rest + 1, "0123456789");
	snprintf(f->speed, sizeof(f->speed), "%.*s", (int)(n < 8 ? n : 8), rest + 1);
	text_copy(f->package, sizeof(f->package), rest + 1 + n);
}

static void comment_line(struct lattice_front *f)
{
	const char *value;
	size_t n;

	text_from_header(f->line, f->line_len);
	if ((value = value_of(f->line, "Part"))) {
		part_line(f, value);
	} else if ((value = value_of(f->line, "Version"))) {
		text_copy(f->tool, sizeof(f->tool), value);
	} else if ((value = value_of(f->line, "Date"))) {
		text_copy(f->built, sizeof(f->built), value);
	} else if ((value = value_of(f->line, "Design name"))) {
		text_copy(f->design, sizeof(f->design), text_base(value));
		n = strlen(f->design);
		if (n > 4 && !strcasecmp(f->design + n - 4, ".ncd"))
			f->design[n - 4] = '\0';
	}
}

int lattice_front_byte(struct lattice_front *f, uint8_t c, struct reason *why)
{
	if (++f->bytes > FRONT_MAX)
		return reason_set(why, EBADMSG,
				  "damaged: no preamble within %d bytes; copy the file again",
				  FRONT_MAX);
	f->window = f->window << 8 | c;
	switch (f->phase) {
	case START:
		/* "LSCC" may stand before the comment; some writers leave the comment out. */
		if ((f->window & 0xffff) == 0xff00)
			f->phase = COMMENT;
		else if ((f->window & 0xffff) == 0xffff)
			f->phase = HUNT;
		return 0;
	case COMMENT:
		if (c && c != 0xff) {
			if (f->line_len + 1u < sizeof(f->line))
				f->line[f->line_len++] = (char)c;
			return 0;
		}
		if (f->line_len)
			comment_line(f);
		f->line_len = 0;
		if (c == 0xff)
			f->phase = HUNT;
		return 0;
	case HUNT:
		if (f->window != PREAMBLE && f->window != PREAMBLE_ENCRYPTED &&
		    f->window != PREAMBLE_NEXUS_ENCRYPTED) {
			if (++f->hunted > HUNT_MAX)
				return reason_set(why, EBADMSG,
						  "damaged: no preamble within %d bytes of the comment; "
						  "copy the file again",
						  HUNT_MAX);
			return 0;
		}
		f->encrypted = f->window != PREAMBLE;
		f->phase = DONE;
		return 1;
	}
	return 0;
}

void lattice_front_facts(const struct lattice_front *f, struct image_facts *facts)
{
	text_copy(facts->vendor, sizeof(facts->vendor), "lattice");
	text_copy(facts->package, sizeof(facts->package), f->package);
	text_copy(facts->speed, sizeof(facts->speed), f->speed);
	text_copy(facts->design, sizeof(facts->design), f->design);
	text_copy(facts->tool, sizeof(facts->tool), f->tool);
	text_copy(facts->built, sizeof(facts->built), f->built);
}

/* --- which family ------------------------------------------------------------------- */

static enum lattice_kind kind_of_idcode(uint32_t idcode)
{
	/* Bits 27..12 are the part's number: 0x1111 to 0x1113 ECP5, 0x10f. Nexus (parts.tsv). */
	switch (idcode >> 16 & 0xfff) {
	case 0x111:
		return LATTICE_ECP5;
	case 0x10f:
		return LATTICE_NEXUS;
	case 0x12b:
	case 0x12e:
		return LATTICE_MACHXO;
	}
	return LATTICE_NONE;
}

static enum lattice_kind kind_of_name(const char *part)
{
	if (!strncmp(part, "lfe5", 4))
		return LATTICE_ECP5;
	if (!strncmp(part, "lcmxo", 5) || !strncmp(part, "lamxo", 5))
		return LATTICE_MACHXO;
	if (!strncmp(part, "lifcl", 5) || !strncmp(part, "lfd2nx", 6) ||
	    !strncmp(part, "lfcpnx", 6) || !strncmp(part, "lfmxo5", 6) ||
	    !strncmp(part, "ut24c", 5))
		return LATTICE_NEXUS;
	return LATTICE_NONE;
}

enum lattice_kind lattice_kind_of(const uint8_t *head, size_t n)
{
	struct lattice_front f = { 0 };
	size_t i = 0, skip = n >= 4 && !memcmp(head, "LSCC", 4) ? 4 : 0;
	int rc = 0;

	/* Asked again with each byte of a writer that writes one at a time: while the comment goes
	 * on there is nothing to read in it. */
	if (n >= skip + 2 && head[skip] == 0xff && !head[skip + 1] &&
	    !memchr(head + skip + 2, 0xff, n - skip - 2))
		return n < FRONT_MAX ? LATTICE_OPEN : LATTICE_NONE;

	if (n && head[0] != 0xff && memcmp(head, "LSCC", n < 4 ? n : 4))
		return LATTICE_NONE;
	if (n > 1 && head[0] == 0xff && head[1] && head[1] != 0xff)
		return LATTICE_NONE;
	for (; i < n && !rc; i++) {
		rc = lattice_front_byte(&f, head[i], NULL);
		/* Without a comment the preamble stands at once behind a few bytes of ff. */
		if (f.phase == HUNT && !f.part[0] && head[0] == 0xff && n > 1 && head[1] == 0xff &&
		    head[i] != 0xff && (head[i] & 0xfc) != 0xbc && head[i] != 0xb3)
			return LATTICE_NONE;
	}
	if (rc < 0)
		return LATTICE_NONE;
	if (!rc)
		return LATTICE_OPEN;
	if (f.encrypted || kind_of_name(f.part))
		return kind_of_name(f.part);
	/* VERIFY_ID comes soon, behind commands of eight bytes at most. */
	for (size_t from = i; i + 8 <= n && i < from + 64; i++)
		if (head[i] == 0xe2 && kind_of_idcode(read_be32(head + i + 4)))
			return kind_of_idcode(read_be32(head + i + 4));
	return n >= i + 8 ? LATTICE_NONE : LATTICE_OPEN;
}

enum image_tri lattice_probe(enum lattice_kind kind, const uint8_t *head, size_t n, bool last)
{
	enum lattice_kind found = lattice_kind_of(head, n);

	/* A cut one that nothing else tells from its sisters is called ECP5, the commonest. */
	if (found == LATTICE_OPEN)
		return last && n > 8 && kind == LATTICE_ECP5 ? IMAGE_YES : IMAGE_UNKNOWN;
	return found == kind ? IMAGE_YES : IMAGE_NO;
}
