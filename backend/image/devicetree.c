// SPDX-License-Identifier: Apache-2.0
/*
 * Device-tree overlays (.dtbo): what the kernel applies to load an image and make its
 * devices known. The blob declares its length and carries no checksum; its structure is
 * walked whole, so that the kernel is never given one that it would stumble over.
 *
 * Which image it asks for is `firmware-name`, a bare name in the firmware folder: one with
 * a '/' would make the kernel read another file, and is refused.
 *
 * Source: Devicetree Specification 0.4, chapter 5; Linux Documentation/devicetree/bindings/fpga.
 */
#include <stdio.h>
#include <string.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "text.h"

#define BLOB_MAX  65536 /* bytes; real overlays have some hundreds to some thousands */
#define HEADER	  40 /* that of version 16 has no length of the structure block at its end */
#define DEPTH_MAX 32
#define MAGIC	  0xd00dfeedu

enum { BEGIN_NODE = 1, END_NODE = 2, PROPERTY = 3, NOP = 4, END = 9 };

struct dtb {
	uint64_t at;
	uint32_t size; /* totalsize, once the header is there */
	bool complete;
	uint8_t blob[BLOB_MAX];
};

/* Where the walk is. */
struct walk {
	const struct dtb *s;
	uint32_t at, end; /* of the structure block */
	uint32_t strings, strings_len;
	unsigned depth;
	unsigned fragment_depth, overlay_depth, fixups_depth; /* 0 = not inside of one */
	bool overlay;
	struct buf targets;
};

static enum image_tri dtb_probe(const uint8_t *head, size_t n, bool last)
{
	static const uint8_t magic[4] = { 0xd0, 0x0d, 0xfe, 0xed };
	size_t have = n < 4 ? n : 4;

	if (!n)
		return IMAGE_UNKNOWN;
	if (memcmp(head, magic, have))
		return IMAGE_NO;
	return have == 4 || last ? IMAGE_YES : IMAGE_UNKNOWN;
}

static int damaged(uint32_t at, struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG,
			  "dtbo: damaged at byte %u: %s; copy or build the file again", at, what);
}

/* A string that ends within the n bytes at p, or NULL. */
static const char *string_in(const uint8_t *p, uint32_t n)
{
	return memchr(p, 0, n) ? (const char *)p : NULL;
}

static void text_set(char *out, size_t size, const char *text)
{
	char clean[160];

	text_copy(clean, sizeof(clean), text);
	text_from_header(clean, strlen(clean));
	text_copy(out, size, clean);
}

/* Before version 17 only the token END tells where the structure ends. */
static uint32_t structure_bytes(const struct dtb *s)
{
	uint32_t at = read_be32(s->blob + 8), size = read_be32(s->blob + 4);

	if (read_be32(s->blob + 20) >= 17)
		return read_be32(s->blob + 36);
	return at < size ? (size - at) & ~3u : 0;
}

static int header_check(struct dtb *s, struct reason *why)
{
	uint32_t structure = read_be32(s->blob + 8), strings = read_be32(s->blob + 12);
	uint32_t strings_len = read_be32(s->blob + 32), structure_len = structure_bytes(s);
	uint32_t size = read_be32(s->blob + 4);

	if (read_be32(s->blob) != MAGIC)
		return damaged(0, why, "the front is not that of a device tree");
	if (size < HEADER)
		return damaged(4, why, "the size is less than the header's");
	if (size > BLOB_MAX)
		return reason_set(why, EFBIG,
				  "dtbo: %u bytes declared, %u are the most that is taken for an "
				  "overlay",
				  size, BLOB_MAX);
	if (read_be32(s->blob + 20) < 16 || read_be32(s->blob + 24) > 17)
		return damaged(20, why, "a version that is not 16 or 17, or compatible with these");
	if (structure < HEADER || strings < HEADER || structure > size ||
	    structure_len > size - structure || structure % 4 || structure_len % 4 ||
	    strings > size || strings_len > size - strings)
		return damaged(8, why, "a block lies in the header or outside of the file");
	s->size = size;
	return 0;
}

/* Strings one after the other, each with its NUL; what has blanks in it is no such name. */
static void compatible_read(const uint8_t *value, uint32_t len, struct image_facts *facts)
{
	struct buf all CLEANUP_BUF = BUF_INIT;
	const char *text;

	for (uint32_t at = 0; (text = string_in(value + at, len - at)); at += (uint32_t)strlen(text) + 1)
		if (*text && all.len + strlen(text) + 1 < sizeof(facts->compatible) && !strpbrk(text, " \t"))
			buf_addf(&all, "%s%s", all.len ? " " : "", text);
	if (!buf_ok(&all) && all.len && !facts->compatible[0])
		text_set(facts->compatible, sizeof(facts->compatible), all.data);
}

static int property(struct walk *w, const char *name, const uint8_t *value, uint32_t len,
		    struct image_facts *facts, struct reason *why)
{
	const char *text = string_in(value, len);

	if (w->depth == 1 && !strcmp(name, "compatible"))
		compatible_read(value, len, facts);
	if (w->fixups_depth && w->depth == w->fixups_depth && text) {
		/* label = "/fragment@0:target:0": the base tree's node of that label is the target.
		 */
		if (strstr(text, ":target:"))
			buf_addf(&w->targets, "%s%.60s", w->targets.len ? " " : "", name);
	} else if (w->fragment_depth == w->depth && !strcmp(name, "target-path") && text) {
		buf_addf(&w->targets, "%s%.60s", w->targets.len ? " " : "", text);
	} else if (w->overlay_depth && !strcmp(name, "firmware-name")) {
		if (!text || !text[0] || strchr(text, '/') || !strcmp(text, "..") ||
		    !strcmp(text, "."))
			return damaged(w->at, why, "firmware-name is not the bare name of a file");
		if (!facts->firmware[0])
			text_set(facts->firmware, sizeof(facts->firmware), text);
	} else if (w->overlay_depth && !strcmp(name, "partial-fpga-config")) {
		facts->partial = IMAGE_YES;
	} else if (w->overlay_depth && !strcmp(name, "encrypted-fpga-config")) {
		facts->encrypted = IMAGE_YES;
	}
	return 0;
}

static int node_begins(struct walk *w, struct reason *why)
{
	const uint8_t *blob = w->s->blob;
	const char *name = string_in(blob + w->at, w->end - w->at);

	if (!name)
		return damaged(w->at, why, "the name of a node does not end");
	if (++w->depth > DEPTH_MAX)
		return damaged(w->at, why, "nodes inside each other deeper than 32");
	if (w->depth == 2 && (!strncmp(name, "fragment", 8) || name[0] == '&'))
		w->fragment_depth = w->depth;
	if (w->depth == 2 && !strcmp(name, "__fixups__"))
		w->fixups_depth = w->depth;
	if (w->depth == 3 && w->fragment_depth && !strcmp(name, "__overlay__")) {
		w->overlay_depth = w->depth;
		w->overlay = true;
	}
	w->at += (uint32_t)(strlen(name) + 4) & ~3u;
	return 0;
}

static int property_begins(struct walk *w, struct image_facts *facts, struct reason *why)
{
	const uint8_t *blob = w->s->blob;
	const char *name;
	uint32_t len, name_at;
	int err;

	if (!w->depth || w->end - w->at < 8)
		return damaged(w->at, why, "a property outside of a node, or cut");
	len = read_be32(blob + w->at);
	name_at = read_be32(blob + w->at + 4);
	w->at += 8;
	name = name_at < w->strings_len
		       ? string_in(blob + w->strings + name_at, w->strings_len - name_at)
		       : NULL;
	if (!name)
		return damaged(w->at, why, "a property without a name");
	if (len > w->end - w->at)
		return damaged(w->at, why, "a property that reaches beyond its block");
	err = property(w, name, blob + w->at, len, facts, why);
	/* Its padding may reach to the end of the block, which is whole words. */
	w->at += (len + 3) & ~3u;
	return err;
}

static int walk(struct walk *w, struct image_facts *facts, struct reason *why)
{
	const uint8_t *blob = w->s->blob;
	int err = 0;

	while (!err) {
		if (w->at > w->end || w->end - w->at < 4)
			return damaged(w->at, why, "the structure does not end");

		uint32_t token = read_be32(blob + w->at);

		w->at += 4;
		switch (token) {
		case BEGIN_NODE:
			err = node_begins(w, why);
			break;
		case END_NODE:
			if (!w->depth)
				return damaged(w->at - 4, why, "a node ends that did not begin");
			if (w->depth == w->overlay_depth)
				w->overlay_depth = 0;
			if (w->depth == w->fragment_depth)
				w->fragment_depth = 0;
			if (w->depth == w->fixups_depth)
				w->fixups_depth = 0;
			w->depth--;
			break;
		case PROPERTY:
			err = property_begins(w, facts, why);
			break;
		case NOP:
			break;
		case END:
			return w->depth ? damaged(w->at - 4, why,
						  "the structure ends inside of a node")
					: 0;
		default:
			return damaged(w->at - 4, why, "no token of a device tree");
		}
	}
	return err;
}

static int blob_complete(struct dtb *s, struct image_facts *facts, struct reason *why)
{
	struct walk w = { .s = s };
	int err;

	w.at = read_be32(s->blob + 8);
	w.end = w.at + structure_bytes(s);
	w.strings = read_be32(s->blob + 12);
	w.strings_len = read_be32(s->blob + 32);
	err = walk(&w, facts, why);
	if (!err && buf_ok(&w.targets))
		err = reason_set(why, ENOMEM, "out of memory");
	if (!err && w.targets.len) {
		text_from_header(w.targets.data, w.targets.len);
		text_list_copy(facts->targets, sizeof(facts->targets), w.targets.data);
	}
	buf_free(&w.targets);
	if (err)
		return err;
	facts->confidence = IMAGE_EXACT;
	text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
		  "this format carries no checksum; its structure is whole");
	if (!w.overlay) {
		text_copy(facts->detail, sizeof(facts->detail), "a device tree, and no overlay");
		text_copy(facts->no_card, sizeof(facts->no_card),
			  "a device tree for a whole machine; a card takes an overlay (a node "
			  "__overlay__ in a fragment), which dtc makes with /plugin/");
	} else if (!facts->firmware[0])
		text_copy(facts->detail, sizeof(facts->detail),
			  "the overlay names no image (firmware-name)");
	return 0;
}

static int dtb_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		    struct reason *why)
{
	struct dtb *s = state;
	int err = 0;

	facts->confidence = facts->confidence ? facts->confidence : IMAGE_LIKELY;
	while (n && !err) {
		uint64_t until = s->size ? s->size : HEADER;
		size_t take;

		if (s->complete)
			break;
		take = n < until - s->at ? n : (size_t)(until - s->at);
		memcpy(s->blob + s->at, b, take);
		s->at += take;
		b += take;
		n -= take;
		if (!s->size && s->at == HEADER) {
			err = header_check(s, why);
			facts->declared_size = s->size;
		}
		if (!err && s->size && s->at == s->size) {
			s->complete = true;
			err = blob_complete(s, facts, why);
		}
	}
	if (!err && n)
		err = padding_check("dtbo", &s->at, s->size, b, n, why);
	if (err)
		return err;
	return s->complete ? IMAGE_COMPLETE : IMAGE_MORE;
}

static int dtb_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct dtb *s = state;

	(void)facts;
	if (s->complete)
		return 0;
	return reason_set(why, EBADMSG, "dtbo: truncated: %llu of %s%u bytes; copy the file again",
			  (unsigned long long)fed, s->size ? "" : "at least ",
			  s->size ? s->size : HEADER + 1);
}

const struct image_format image_dtbo = {
	.version = IMAGE_ABI,
	.name = "dtbo",
	.state_bytes = sizeof(struct dtb),
	.probe = dtb_probe,
	.feed = dtb_feed,
	.end = dtb_end,
};
