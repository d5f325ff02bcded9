// SPDX-License-Identifier: Apache-2.0
/*
 * Whether an image suits a card. Only what is known on both sides is compared,
 * so that an unknown part is never a refusal, and a refusal always names both.
 *
 * Where both sides have an IDCODE it decides, for it is what the silicon itself
 * compares; the size of an image never does, several parts share it. A part
 * that only has a name gets its IDCODE from the table of parts.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/image.h>

#include "parts.h"

static bool in_list(const char *list, const char *word)
{
	size_t n = strlen(word);

	while (*list) {
		size_t len = strcspn(list, " ");

		if (len == n && !strncasecmp(list, word, n))
			return true;
		list += len;
		list += strspn(list, " ");
	}
	return false;
}

/* "iCE40-HX8K, iCE40-LP8K or iCE40-HX4K" */
static void parts_text(const struct image_facts *facts, char *out, size_t size)
{
	const char *list = facts->also_parts;
	size_t n =
		(size_t)snprintf(out, size, "%s", facts->part[0] ? facts->part : "an unnamed part");

	while (*list && n < size) {
		int len = (int)strcspn(list, " ");

		n += (size_t)snprintf(out + n, size - n, "%s%.*s", list[len] ? ", " : " or ", len,
				      list);
		list += len;
		list += strspn(list, " ");
	}
}

static bool named(const struct image_facts *facts, const char *part)
{
	return !strcasecmp(part, facts->part) || in_list(facts->also_parts, part);
}

/* The card's part is one of the image's; it may be written with package and speed. */
static bool part_alike(const struct image_facts *facts, const char *part)
{
	const struct image_part *p;
	size_t n;

	if (named(facts, part))
		return true;
	p = facts->vendor[0] ? part_by_text(facts->vendor, "", part, &n) : NULL;
	return p && named(facts, p->part);
}

/* IDCODEs of a part by its name: whether it has any, and whether one is alike. */
static bool table_idcode(const char *part, uint32_t idcode, uint32_t *first, bool *alike)
{
	bool any = false;

	*alike = false;
	for (const struct image_part *p = part_by_name(NULL, part); p; p = part_by_name(p, part)) {
		if (!any)
			*first = p->idcode;
		any = true;
		*alike |= idcodes_alike(p->idcode, idcode);
	}
	return any;
}

int image_suits(const struct image_facts *facts, const char *part, bool has_idcode, uint32_t idcode,
		const char *formats, struct reason *why)
{
	char all[2 * sizeof(facts->also_parts) + sizeof(facts->part)];
	bool has_part = part && part[0], both, alike;

	if (facts->no_card[0])
		return reason_set(why, EMEDIUMTYPE, "%s: %s", facts->format, facts->no_card);
	parts_text(facts, all, sizeof(all));
	if (formats && formats[0] && facts->format[0] && !in_list(formats, facts->format)) {
		if (has_part && facts->part[0])
			return reason_set(why, EMEDIUMTYPE,
					  "image is of format %s for %s, card has %s and takes %s",
					  facts->format, all, part, formats);
		return reason_set(why, EMEDIUMTYPE, "image is of format %s, card takes %s",
				  facts->format, formats);
	}
	both = has_idcode && facts->has_idcode;
	if (both)
		alike = idcodes_alike(idcode, facts->idcode);
	else if (facts->has_idcode && has_part)
		both = table_idcode(part, facts->idcode, &idcode, &alike);
	if (both && !alike)
		return reason_set(why, EMEDIUMTYPE,
				  "image is for %s (idcode %08x), card has %s (%08x)", all,
				  facts->idcode, has_part ? part : "an unnamed part", idcode);
	if (!both && has_part && facts->part[0] && !part_alike(facts, part))
		return reason_set(why, EMEDIUMTYPE, "image is for %s, card has %s", all, part);
	return 0;
}
