// SPDX-License-Identifier: Apache-2.0
/*
 * Names of images as names of files. What a server lists as a name is text of
 * whoever uploaded it: it may be missing, not unique, a path, or made to deceive.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/remote/mirror.h"

#include <fabricfs/digest.h>

#define NAME_BYTES 255 /* as on any Linux file system */
#define HASH_DIGITS 16 /* of a name that had to be cut */

/* Names that mean something else here, as a whole. */
static bool is_special(const char *name, size_t len)
{
	return (len == 1 && *name == '.') || (len == 2 && !memcmp(name, "..", 2)) ||
	       (len == 5 && !memcmp(name, ".repo", 5));
}

static bool is_encoded(char letter, bool special, bool first)
{
	unsigned char c = (unsigned char)letter;

	return c == '/' || c == '%' || c < 0x20 || c == 0x7f || (special && c == '.') || (first && c == '@');
}

/* `first`: @ at the beginning is what an image without a name begins with. */
static void text_encode(const char *text, size_t len, bool first, struct buf *out)
{
	bool special = is_special(text, len);

	for (size_t i = 0, run; i < len; i += run) {
		for (run = 0; i + run < len && !is_encoded(text[i + run], special, first && i + run == 0); run++)
			;
		if (run > 0) {
			buf_add(out, text + i, run);
			continue;
		}
		buf_addf(out, "%%%02X", (unsigned char)text[i]);
		run = 1;
	}
}

/* At most `max` bytes of text that end with a whole character and a whole %XX. */
static size_t cut_before(const char *text, size_t max)
{
	while (max && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	for (size_t back = 1; back <= 2 && back <= max; back++)
		if (text[max - back] == '%')
			return max - back;
	return max;
}

/* What is too long keeps its beginning, and the hash of all of it. */
static void name_fit(const struct buf *whole, char out[CATALOGUE_NAME_MAX])
{
	struct digest *d;
	char hex[SHA256_HEX] = "";
	size_t n;

	if (whole->len <= NAME_BYTES) {
		memcpy(out, whole->data, whole->len + 1);
		return;
	}
	d = digest_new();
	if (d) {
		digest_update(d, whole->data, whole->len);
		digest_hex(d, hex);
		digest_free(d);
	}
	n = cut_before(whole->data, NAME_BYTES - 1 - HASH_DIGITS);
	snprintf(out, CATALOGUE_NAME_MAX, "%.*s~%.*s", (int)n, whole->data, HASH_DIGITS, hex);
}

/* An id is ASCII already, and its own '%' stays one. */
static void id_encode(const char *id, struct buf *out)
{
	buf_adds(out, "@");
	for (; *id; id++) {
		if (*id == '/')
			buf_adds(out, "%2F");
		else
			buf_add(out, id, 1);
	}
}

void entry_name(const struct repo_entry *entry, char out[CATALOGUE_NAME_MAX])
{
	struct buf whole CLEANUP_BUF = BUF_INIT;

	if (entry->name && entry->name_len)
		text_encode(entry->name, entry->name_len, true, &whole);
	else
		id_encode(entry->id, &whole);
	if (buf_ok(&whole) || !whole.len)
		snprintf(out, CATALOGUE_NAME_MAX, "@");
	else
		name_fit(&whole, out);
}

/* id as in a name, back to what it is of the repository. */
static void id_decode(const char *text, char id[REPO_ID_MAX])
{
	size_t n = 0;

	while (*text && n + 1 < REPO_ID_MAX) {
		if (!strncmp(text, "%2F", 3)) {
			id[n++] = '/';
			text += 3;
		} else {
			id[n++] = *text++;
		}
	}
	id[n] = '\0';
}

/* The entry of this id, if it has the name that was said before the @. */
static int with_id(struct store *store, uint64_t repo, const char *name, size_t len, const char *text,
		   struct catalogue_entry *out, struct reason *why)
{
	char id[REPO_ID_MAX];
	int err = catalogue_entry_with_id(store, repo, text, out, why);

	id_decode(text, id);
	/* An id may have a %2F of its own. */
	if (err == -ENOENT && strcmp(id, text))
		err = catalogue_entry_with_id(store, repo, id, out, why);
	if (!err && len && (strlen(out->name) != len || memcmp(out->name, name, len)))
		err = reason_set(why, ENOENT, "the image with this id has another name");
	return err;
}

int entry_find(struct store *store, uint64_t repo, const char *name, struct catalogue_entry *out,
	       struct reason *why)
{
	int err = catalogue_entry_named(store, repo, name, out, why);

	for (const char *at = strchr(name, '@'); err == -ENOENT && at && at[1]; at = strchr(at + 1, '@'))
		err = with_id(store, repo, name, (size_t)(at - name), at + 1, out, why);
	return err;
}

bool name_has_id(const char *name, const struct catalogue_entry *entry)
{
	return strcmp(name, entry->name) != 0;
}
