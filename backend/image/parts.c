// SPDX-License-Identifier: Apache-2.0
/* Looking parts up, and what an IDCODE says about an image. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/buf.h>

#include "parts.h"
#include "text.h"

#define VERSION_MASK 0x0fffffffu /* JTAG: the top four bits are the silicon's version */

const struct image_part *part_by_idcode(const struct image_part *after, const char *vendor,
					uint32_t idcode)
{
	for (size_t i = after ? (size_t)(after - image_parts) + 1 : 0; i < image_parts_len; i++) {
		const struct image_part *p = &image_parts[i];

		if (!((p->idcode ^ idcode) & p->mask) && (!vendor[0] || !strcmp(p->vendor, vendor)))
			return p;
	}
	return NULL;
}

/* How much of the text the pattern takes from its start on; 0: it is not that. */
static size_t pattern_takes(const char *pattern, const char *text)
{
	const char *t = text;

	for (; *pattern; pattern++) {
		if (*pattern != '*') {
			if (tolower((unsigned char)*t) != *pattern)
				return 0;
			t++;
			continue;
		}
		/* Letters, at least one; the letter that the pattern goes on with may be the last.
		 */
		const char *from = t;

		while (isalpha((unsigned char)*t))
			t++;
		while (t > from && isalpha((unsigned char)pattern[1]) &&
		       tolower((unsigned char)*t) != pattern[1])
			t--;
		if (t == from)
			return 0;
	}
	return (size_t)(t - text);
}

const struct image_part *part_by_text(const char *vendor, const char *prefix, const char *text,
				      size_t *len)
{
	const struct image_part *best = NULL;
	char whole[64];
	size_t best_len = 0, skip = strlen(prefix);

	snprintf(whole, sizeof(whole), "%s%s", prefix, text);
	for (size_t i = 0; i < image_parts_len; i++) {
		const struct image_part *p = &image_parts[i];
		size_t n = strcmp(p->vendor, vendor) ? 0 : pattern_takes(p->part, whole);

		if (n > best_len && n > skip && !isdigit((unsigned char)whole[n])) {
			best = p;
			best_len = n;
		}
	}
	*len = best ? best_len - skip : 0;
	return best;
}

const struct image_part *part_by_name(const struct image_part *after, const char *name)
{
	for (size_t i = after ? (size_t)(after - image_parts) + 1 : 0; i < image_parts_len; i++) {
		size_t n = pattern_takes(image_parts[i].part, name);

		if (n && !name[n])
			return &image_parts[i];
	}
	return NULL;
}

static bool nibble_counts(uint32_t idcode)
{
	for (size_t i = 0; i < image_parts_len; i++)
		if (image_parts[i].idcode == idcode && image_parts[i].mask == UINT32_MAX)
			return true;
	return false;
}

bool idcodes_alike(uint32_t a, uint32_t b)
{
	if ((a ^ b) & VERSION_MASK)
		return false;
	return a == b || !nibble_counts(a) || !nibble_counts(b);
}

static void part_set(struct image_facts *facts, const struct image_part *p, const char *name)
{
	text_copy(facts->vendor, sizeof(facts->vendor), p->vendor);
	text_copy(facts->family, sizeof(facts->family), p->family);
	text_copy(facts->part, sizeof(facts->part), name);
}

void facts_idcode(struct image_facts *facts, const char *vendor, uint32_t idcode, const char *named)
{
	const struct image_part *first = part_by_idcode(NULL, vendor, idcode), *own = NULL;
	struct buf also CLEANUP_BUF = BUF_INIT;

	facts->has_idcode = true;
	facts->idcode = idcode;
	text_copy(facts->vendor, sizeof(facts->vendor), vendor);
	text_copy(facts->part, sizeof(facts->part), named);
	if (!first)
		return;
	for (const struct image_part *p = first; p; p = part_by_idcode(p, vendor, idcode)) {
		size_t n = pattern_takes(p->part, named);

		if (n && !named[n])
			own = p;
	}
	if (own || !named[0]) {
		part_set(facts, own ? own : first, own ? named : first->part);
	} else if (part_by_name(NULL, named)) {
		part_set(facts, first, first->part);
		snprintf(facts->detail, sizeof(facts->detail),
			 "the header names %s, the configuration is for %s (idcode %08x)", named,
			 first->part, idcode);
	} else {
		text_copy(facts->family, sizeof(facts->family), first->family);
	}
	for (const struct image_part *p = first; p; p = part_by_idcode(p, vendor, idcode))
		if (strcasecmp(p->part, facts->part) && p != own)
			buf_addf(&also, "%s%s", also.len ? " " : "", p->part);
	if (!buf_ok(&also) && also.len)
		text_list_copy(facts->also_parts, sizeof(facts->also_parts), also.data);
}
