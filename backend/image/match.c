// SPDX-License-Identifier: Apache-2.0
/*
 * Whether an image suits a card. Only what is known on both sides is compared,
 * so that an unknown part is never a refusal, and a refusal always names both.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/image.h>

/* The top four bits are the silicon's version and differ between good cards. */
#define IDCODE_MASK 0x0fffffffu

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
	size_t n = (size_t)snprintf(out, size, "%s", facts->part);

	while (*list && n < size) {
		int len = (int)strcspn(list, " ");

		n += (size_t)snprintf(out + n, size - n, "%s%.*s", list[len] ? ", " : " or ", len, list);
		list += len;
		list += strspn(list, " ");
	}
}

int image_suits(const struct image_facts *facts, const char *part, bool has_idcode, uint32_t idcode,
		const char *formats, struct reason *why)
{
	if (formats && formats[0] && facts->format[0] && !in_list(formats, facts->format))
		return reason_set(why, EMEDIUMTYPE, "image is of format %s, card takes %s", facts->format,
				  formats);
	if (part && part[0] && facts->part[0] && strcasecmp(part, facts->part) &&
	    !in_list(facts->also_parts, part)) {
		char all[2 * sizeof(facts->also_parts) + sizeof(facts->part)];

		parts_text(facts, all, sizeof(all));
		return reason_set(why, EMEDIUMTYPE, "image is for %s, card has %s", all, part);
	}
	if (has_idcode && facts->has_idcode && ((idcode ^ facts->idcode) & IDCODE_MASK))
		return reason_set(why, EMEDIUMTYPE, "image is for %s (idcode %08x), card has %s (%08x)",
				  facts->part[0] ? facts->part : "an unnamed part", facts->idcode,
				  part && part[0] ? part : "an unnamed part", idcode);
	return 0;
}
