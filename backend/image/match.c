// SPDX-License-Identifier: Apache-2.0
/*
 * Whether an image suits a card, a slot or a part: facts of the one against facts of
 * the other. Only what is known on both sides is compared, and a refusal names both.
 *
 * Where both sides have an IDCODE it decides, for it is what the silicon itself
 * compares; the size of an image never does, several parts share it. A part
 * that only has a name gets its IDCODE from the table of parts.
 *
 * Nothing in silicon compares a partial image with the static design around it: one
 * for another design is taken, and the card hangs. So there, unlike elsewhere, what
 * is not known is believed only of a region that somebody chose.
 */
#include <ctype.h>
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

/* The row of a part that may be written with package and speed. */
static const struct image_part *part_row(const struct image_facts *facts, const char *part)
{
	const struct image_part *p = part_by_name(NULL, part);
	size_t n;

	return p || !facts->vendor[0] ? p : part_by_text(facts->vendor, "", part, &n);
}

/* The card's part is one of the image's; it may be written with package and speed. */
static bool part_alike(const struct image_facts *facts, const char *part)
{
	const struct image_part *p = part_row(facts, part);
	size_t n = strlen(facts->part);

	if (named(facts, part) || (p && named(facts, p->part)))
		return true;
	/* Of parts that are in no table: a name that ends where package or speed begin. */
	return !p && !strncasecmp(part, facts->part, n) && (part[n] == '-' || part[n] == '_');
}

/* IDCODEs of a part by its name: whether it has any, and whether one is alike. */
static bool table_idcode(const struct image_facts *facts, const char *part, uint32_t *first,
			 bool *alike)
{
	const struct image_part *row = part_row(facts, part);

	*alike = false;
	if (!row)
		return false;
	*first = row->idcode;
	/* Pieces of silicon that are sold under one name. */
	for (const struct image_part *p = row; p < image_parts + image_parts_len; p++)
		if (!strcmp(p->part, row->part))
			*alike |= idcodes_alike(p->idcode, facts->idcode);
	return true;
}

static const char *text(const char *value)
{
	return value ? value : "";
}

/* --- its kind and its part --------------------------------------------------------- */

static int suits_format(const struct image_facts *facts, const struct image_target *t,
			const char *parts, struct reason *why)
{
	if (!text(t->formats)[0] || !facts->format[0] || in_list(t->formats, facts->format))
		return 0;
	if (text(t->part)[0] && facts->part[0])
		return reason_set(why, EMEDIUMTYPE,
				  "image is of format %s for %s, card has %s and takes %s",
				  facts->format, parts, t->part, t->formats);
	return reason_set(why, EMEDIUMTYPE, "image is of format %s, card takes %s", facts->format,
			  t->formats);
}

/* The row of what the card has, of whichever vendor. */
static const struct image_part *card_row(const struct image_target *t)
{
	const struct image_part *p = t->has_idcode ? part_by_idcode(NULL, "", t->idcode) : NULL;
	const char *vendor = "";
	size_t n;

	if (!p && text(t->part)[0])
		p = part_by_name(NULL, t->part);
	for (size_t i = 0; !p && text(t->part)[0] && i < image_parts_len; i++) {
		if (strcmp(vendor, image_parts[i].vendor) != 0)
			p = part_by_text(image_parts[i].vendor, "", t->part, &n);
		vendor = image_parts[i].vendor;
	}
	return p;
}

/* An image that names no part is at least one of its vendor's, unless that is a guess. */
static int suits_vendor(const struct image_facts *facts, const struct image_target *t,
			struct reason *why)
{
	const struct image_part *p = facts->confidence == IMAGE_GUESS ? NULL : card_row(t);
	bool makes_parts = false;

	for (size_t i = 0; p && i < image_parts_len; i++)
		makes_parts |= !strcmp(image_parts[i].vendor, facts->vendor);
	if (!makes_parts || !strcmp(p->vendor, facts->vendor))
		return 0;
	return reason_set(why, EMEDIUMTYPE,
			  "image is for a part of %s%s%s that it does not name, card has %s of %s",
			  facts->vendor, facts->family[0] ? ", " : "", facts->family,
			  text(t->part)[0] ? t->part : p->part, p->vendor);
}

static int suits_part(const struct image_facts *facts, const struct image_target *t,
		      const char *parts, bool *compared, struct reason *why)
{
	const char *part = text(t->part);
	bool both = t->has_idcode && facts->has_idcode, alike;
	uint32_t idcode = t->idcode;

	if (both)
		alike = idcodes_alike(idcode, facts->idcode);
	else if (facts->has_idcode && part[0])
		both = table_idcode(facts, part, &idcode, &alike);
	*compared |= both || (part[0] && facts->part[0]);
	if (both && !alike)
		return reason_set(why, EMEDIUMTYPE,
				  "image is for %s (idcode %08x), card has %s (%08x)", parts,
				  facts->idcode, part[0] ? part : "an unnamed part", idcode);
	if (!both && part[0] && facts->part[0] && !part_alike(facts, part))
		return reason_set(why, EMEDIUMTYPE, "image is for %s, card has %s", parts, part);
	return *compared ? 0 : suits_vendor(facts, t, why);
}

/* --- names and ids ------------------------------------------------------------------ */

/* Hex digits, perhaps with '-' between: a uuid, or a number of 32 bits. */
static bool is_id(const char *word, size_t n)
{
	size_t digits = 0;

	for (size_t i = 0; i < n; i++) {
		if (!isxdigit((unsigned char)word[i]) && word[i] != '-')
			return false;
		digits += word[i] != '-';
	}
	return digits >= 8;
}

/* Ids are their digits; of names, which are written with other marks here and there
 * (xilinx:u250, xilinx_u250), each mark is any. */
static bool word_alike(const char *a, size_t an, const char *b, size_t bn, bool id)
{
	size_t i = 0, j = 0;

	for (;; i++, j++) {
		while (id && i < an && a[i] == '-')
			i++;
		while (id && j < bn && b[j] == '-')
			j++;
		if (i >= an || j >= bn)
			return i >= an && j >= bn;
		if (isalnum((unsigned char)a[i]) || isalnum((unsigned char)b[j])) {
			if (tolower((unsigned char)a[i]) != tolower((unsigned char)b[j]))
				return false;
		}
	}
}

enum found { FOUND, OTHERS, NONE }; /* this one; only others of its kind; none of its kind */

/* A name or an id in a list by spaces. */
static enum found find(const char *list, const char *word)
{
	size_t n = strlen(word), len;
	bool id = is_id(word, n);
	enum found found = NONE;

	for (list += strspn(list, " "); *list; list += strspn(list, " ")) {
		len = strcspn(list, " ");
		if (is_id(list, len) == id) {
			if (word_alike(list, len, word, n, id))
				return FOUND;
			found = OTHERS;
		}
		list += len;
	}
	return found;
}

/* The next run of letters and digits; its length, 0: there is none. */
static size_t token(const char **at)
{
	const char *from = *at;
	size_t n = 0;

	while (*from && !isalnum((unsigned char)*from))
		from++;
	while (isalnum((unsigned char)from[n]))
		n++;
	*at = from;
	return n;
}

/* Do the tokens of `few` follow each other somewhere in `many`? */
static bool tokens_in(const char *few, const char *many)
{
	size_t n;

	for (; (n = token(&many)); many += n) {
		const char *f = few, *m = many;
		size_t fn, mn;

		while ((fn = token(&f)) && fn == (mn = token(&m)) && !strncasecmp(f, m, fn)) {
			f += fn;
			m += mn;
		}
		if (!fn)
			return true;
	}
	return false;
}

/* --- the static design ---------------------------------------------------------------- */

static const char *name_of(const struct image_target *t)
{
	return text(t->name)[0] ? t->name : "the card";
}

/* The id by which an image that names no static design can still be told to belong to one. */
static const char *user_id(const struct image_facts *facts)
{
	bool usual = !strcmp(facts->user_id, "00000000") || !strcmp(facts->user_id, "ffffffff");

	return usual ? "" : facts->user_id;
}

void image_static_design(const struct image_facts *facts, char *out, size_t size)
{
	const char *words[] = { facts->unique_id, user_id(facts), NULL, NULL };
	size_t n = 0;

	/* Of what is built on it the static design stays what it was. */
	if (facts->partial == IMAGE_YES) {
		words[0] = facts->shell;
		words[1] = strcmp(facts->interface, facts->shell) ? facts->interface : "";
		words[2] = user_id(facts);
	}
	*out = '\0';
	for (size_t i = 0; words[i]; i++)
		if (words[i][0] && n < size)
			n += (size_t)snprintf(out + n, size - n, "%s%s", n ? " " : "", words[i]);
}

/* "image is a partial one for xck26 and the static design 8def22be" */
static void partial_text(const struct image_facts *facts, const char *parts, char *out, size_t size)
{
	const char *shell = facts->shell[0] ? facts->shell : user_id(facts);
	bool part = facts->part[0];

	snprintf(out, size, "image is a partial one%s%s%s%s", part ? " for " : "", part ? parts : "",
		 !shell[0] ? "" : part ? " and the static design " : " for the static design ", shell);
}

static int suits_kind(const struct image_facts *facts, const struct image_target *t,
		      const char *parts, struct reason *why)
{
	const char *shell = text(t->shell);
	char partial[512];

	if (facts->partial == IMAGE_NO && t->takes && !(t->takes & IMAGE_TAKES_FULL))
		return reason_set(why, EMEDIUMTYPE,
				  "image is a full one for %s, %s takes partial ones for the static "
				  "design that it runs%s%s; copy a partial image that was built for it",
				  parts, name_of(t), shell[0] ? ", " : "", shell);
	if (facts->partial != IMAGE_YES)
		return 0;
	partial_text(facts, parts, partial, sizeof(partial));
	if (t->takes && !(t->takes & IMAGE_TAKES_PARTIAL))
		return reason_set(why, EMEDIUMTYPE,
				  "%s, %s takes full ones; copy the full image of that design, or this "
				  "one to a slot of a card that runs it", partial, name_of(t));
	if (!t->region && !shell[0])
		return reason_set(why, EMEDIUMTYPE,
				  "%s, %s has no static design loaded that is known by an id; first copy "
				  "the full image that it was built with", partial, name_of(t));
	return 0;
}

/* A platform's name with the board's, where there is nothing better to compare. */
static int suits_board(const struct image_facts *facts, const struct image_target *t,
		       bool *compared, struct reason *why)
{
	const char *board = text(t->board);

	if (!board[0] || !facts->shell[0] || is_id(facts->shell, strlen(facts->shell)))
		return 0;
	if (tokens_in(board, facts->shell) || tokens_in(facts->shell, board)) {
		*compared = true;
		return 0;
	}
	if (strchr(board, ' '))
		return 0;
	return reason_set(why, EMEDIUMTYPE,
			  "image is for the board %s, %s is a %s; build it for that board, or copy it to "
			  "a card that is a %s",
			  facts->shell, name_of(t), board, facts->shell);
}

static int suits_shell(const struct image_facts *facts, const struct image_target *t,
		       bool *compared, struct reason *why)
{
	const char *asked[] = { facts->shell, facts->interface };
	bool tells = facts->shell[0] || facts->interface[0], shown = false;
	/* What takes either is a whole card: an image that is not partial replaces what runs. */
	bool replaces = facts->partial != IMAGE_YES &&
			t->takes == (IMAGE_TAKES_FULL | IMAGE_TAKES_PARTIAL);
	const char *shell = replaces ? "" : text(t->shell);

	for (size_t i = 0; i < 2; i++) {
		enum found found = asked[i][0] ? find(shell, asked[i]) : NONE;

		shown |= found == FOUND;
		if (found == OTHERS)
			return reason_set(why, EMEDIUMTYPE,
					  "image is for the static design %s, %s runs %s; build the "
					  "image for that one, or copy it to where %s runs",
					  asked[i], name_of(t), shell, asked[i]);
		if (!i && found == NONE && suits_board(facts, t, compared, why))
			return -EMEDIUMTYPE;
	}
	if (facts->partial == IMAGE_YES && !tells)
		shown = user_id(facts)[0] && find(shell, user_id(facts)) == FOUND;
	*compared |= shown;
	if (facts->partial != IMAGE_YES || shown || t->region || !shell[0])
		return 0;
	if (tells)
		return reason_set(why, EMEDIUMTYPE,
				  "image is partial and for the static design %s, which cannot be compared "
				  "with what is known of the one that %s runs, %s; copy the full image",
				  facts->shell[0] ? facts->shell : facts->interface, name_of(t), shell);
	return reason_set(why, EMEDIUMTYPE,
			  "image is partial and does not tell its static design%s%s, %s runs %s; build it "
			  "again with a Vivado that writes ParentID or with the user id of that design, "
			  "or copy the full image",
			  user_id(facts)[0] ? " but for the user id " : "", user_id(facts), name_of(t),
			  shell);
}

/* --- machines and accelerators ----------------------------------------------------------- */

/* How many of the words of the one list are in the other. */
static unsigned in_common(const char *words, const char *list, unsigned *all)
{
	unsigned n = 0;

	*all = 0;
	for (words += strspn(words, " "); *words; words += strspn(words, " ")) {
		size_t len = strcspn(words, " ");
		char word[160];

		text_copy(word, len < sizeof(word) ? len + 1 : sizeof(word), words);
		n += find(list, word) == FOUND;
		(*all)++;
		words += len;
	}
	return n;
}

static int suits_rest(const struct image_facts *facts, const struct image_target *t, bool *compared,
		      struct reason *why)
{
	const char *machine = text(t->compatible), *afus = text(t->afus);
	unsigned all;

	if (facts->compatible[0] && machine[0]) {
		*compared = true;
		if (!in_common(facts->compatible, machine, &all))
			return reason_set(why, EMEDIUMTYPE,
					  "image is for machines compatible with %s, %s is in one that is "
					  "compatible with %s; build the overlay for that one",
					  facts->compatible, name_of(t), machine);
	}
	if (facts->afus[0] && afus[0]) {
		*compared = true;
		if (in_common(facts->afus, afus, &all) != all)
			return reason_set(why, EMEDIUMTYPE,
					  "image holds the accelerator functions %s, %s takes %s; copy it to "
					  "one that takes these",
					  facts->afus, name_of(t), afus);
	}
	return 0;
}

/* --- all of it ---------------------------------------------------------------------------- */

int image_suits_target(const struct image_facts *facts, const struct image_target *target,
		       bool *compared, struct reason *why)
{
	char parts[2 * sizeof(facts->also_parts) + sizeof(facts->part)];
	bool own;
	int err;

	if (!compared)
		compared = &own;
	*compared = facts->no_card[0];
	if (facts->no_card[0])
		return reason_set(why, EMEDIUMTYPE, "%s: %s", facts->format, facts->no_card);
	parts_text(facts, parts, sizeof(parts));
	err = suits_format(facts, target, parts, why);
	if (!err)
		err = suits_part(facts, target, parts, compared, why);
	if (!err)
		err = suits_kind(facts, target, parts, why);
	if (!err)
		err = suits_shell(facts, target, compared, why);
	if (!err)
		err = suits_rest(facts, target, compared, why);
	return err;
}

int image_suits(const struct image_facts *facts, const char *part, bool has_idcode, uint32_t idcode,
		const char *formats, struct reason *why)
{
	const struct image_target target = { .part = part, .has_idcode = has_idcode, .idcode = idcode,
					     .formats = formats, .region = true };

	return image_suits_target(facts, &target, NULL, why);
}
