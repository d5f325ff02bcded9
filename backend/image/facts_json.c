// SPDX-License-Identifier: Apache-2.0
/*
 * Facts as JSON, in the spelling of `inspect --json`, and back.
 *
 * One table says which key belongs to which member, for both directions, so
 * that the two cannot drift apart. Unknown is null.
 */
#include <jansson.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fabricfs/buf.h>
#include <fabricfs/image.h>

enum kind { TEXT, TRI, WORDS, COUNT, LENGTH, ID, CONFIDENCE, INTEGRITY };

/* The order is that of DESIGN's list. */
#define FACTS(FACT)                                            \
	FACT("format", TEXT, format)                           \
	FACT("confidence", CONFIDENCE, confidence)             \
	FACT("vendor", TEXT, vendor)                           \
	FACT("family", TEXT, family)                           \
	FACT("part", TEXT, part)                               \
	FACT("also_parts", WORDS, also_parts)                  \
	FACT("package", TEXT, package)                         \
	FACT("speed", TEXT, speed)                             \
	FACT("idcode", ID, idcode)                             \
	FACT("declared_size", LENGTH, declared_size)           \
	FACT("partial", TRI, partial)                          \
	FACT("compressed", TRI, compressed)                    \
	FACT("encrypted", TRI, encrypted)                      \
	FACT("signed", TRI, is_signed)                         \
	FACT("shell", TEXT, shell)                             \
	FACT("interface", TEXT, interface)                     \
	FACT("unique_id", TEXT, unique_id)                     \
	FACT("design", TEXT, design)                           \
	FACT("user_id", TEXT, user_id)                         \
	FACT("dies", COUNT, dies)                              \
	FACT("kernels", WORDS, kernels)                        \
	FACT("afus", WORDS, afus)                              \
	FACT("needs", TEXT, needs)                             \
	FACT("firmware", TEXT, firmware)                       \
	FACT("targets", WORDS, targets)                        \
	FACT("compatible", WORDS, compatible)                  \
	FACT("tool", TEXT, tool)                               \
	FACT("built", TEXT, built)                             \
	FACT("integrity", INTEGRITY, integrity_checked)        \
	FACT("no_card", TEXT, no_card)                         \
	FACT("detail", TEXT, detail)

static const struct member {
	const char *key;
	enum kind kind;
	size_t at, size;
} members[] = {
#define MEMBER(key, kind, field) \
	{ key, kind, offsetof(struct image_facts, field), sizeof(((struct image_facts *)0)->field) },
	FACTS(MEMBER)
#undef MEMBER
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

const char *const image_fact_names[] = {
#define NAME(key, kind, field) key,
	FACTS(NAME)
#undef NAME
	NULL,
};

static const char *const confidences[] = { NULL, "guess", "likely", "exact" };

/*
 * Text from outside as a JSON string, null for "". File names may be any
 * bytes: what is not UTF-8 becomes '?', because jansson refuses it.
 */
static json_t *json_text(const char *text)
{
	char *clean CLEANUP_FREE = NULL;
	json_t *s;

	if (!text || !text[0])
		return json_null();
	s = json_string(text);
	if (s)
		return s;
	clean = strdup(text);
	if (!clean)
		return NULL;
	for (char *c = clean; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(clean);
}

static json_t *json_words(const char *text, bool empty_is_null)
{
	json_t *list;

	if (!text[0] && empty_is_null)
		return json_null();
	list = json_array();
	while (list && *text) {
		size_t n = strcspn(text, " ");

		if (n && json_array_append_new(list, json_stringn(text, n))) {
			json_decref(list);
			return NULL;
		}
		text += n;
		text += strspn(text, " ");
	}
	return list;
}

static json_t *json_integrity(const struct image_facts *facts)
{
	if (!facts->integrity_checked[0])
		return json_text(facts->integrity_absent);
	return json_pack("{s:o, s:b}", "checked", json_words(facts->integrity_checked, false), "ok",
			 facts->integrity_ok);
}

static json_t *json_member(const struct image_facts *facts, const struct member *m)
{
	const char *field = (const char *)facts + m->at;
	enum image_tri tri;
	unsigned count;
	char text[16];

	switch (m->kind) {
	case TEXT:
		return json_text(field);
	case WORDS:
		return json_words(field, true);
	case TRI:
		memcpy(&tri, field, sizeof(tri));
		return tri == IMAGE_UNKNOWN ? json_null() : json_boolean(tri == IMAGE_YES);
	case COUNT:
		memcpy(&count, field, sizeof(count));
		return count ? json_integer((json_int_t)count) : json_null();
	case LENGTH:
		return facts->declared_size ? json_integer((json_int_t)facts->declared_size) : json_null();
	case ID:
		snprintf(text, sizeof(text), "%08x", facts->idcode);
		return facts->has_idcode ? json_string(text) : json_null();
	case CONFIDENCE:
		return facts->confidence ? json_string(confidences[facts->confidence]) : json_null();
	case INTEGRITY:
		return json_integrity(facts);
	}
	return NULL;
}

static void member_text(const struct image_facts *facts, const struct member *m, struct buf *out)
{
	const char *field = (const char *)facts + m->at;
	enum image_tri tri;
	unsigned count;

	switch (m->kind) {
	case TEXT:
	case WORDS:
		buf_adds(out, field);
		break;
	case TRI:
		memcpy(&tri, field, sizeof(tri));
		if (tri != IMAGE_UNKNOWN)
			buf_adds(out, tri == IMAGE_YES ? "true" : "false");
		break;
	case COUNT:
		memcpy(&count, field, sizeof(count));
		if (count)
			buf_addf(out, "%u", count);
		break;
	case LENGTH:
		if (facts->declared_size)
			buf_addf(out, "%llu", (unsigned long long)facts->declared_size);
		break;
	case ID:
		if (facts->has_idcode)
			buf_addf(out, "%08x", facts->idcode);
		break;
	case CONFIDENCE:
		if (facts->confidence)
			buf_adds(out, confidences[facts->confidence]);
		break;
	case INTEGRITY:
		if (facts->integrity_checked[0])
			buf_addf(out, "%s%s", facts->integrity_checked,
				 facts->integrity_ok ? "" : " failed");
		else
			buf_adds(out, facts->integrity_absent);
		break;
	}
}

bool image_fact_text(const struct image_facts *facts, const char *name, struct buf *out)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		if (!strcmp(members[i].key, name)) {
			member_text(facts, &members[i], out);
			return true;
		}
	}
	return false;
}

char *image_facts_json(const struct image_facts *facts, const char *file, const char *sha256,
		       uint64_t size, int err, const char *reason, const char *fits)
{
	json_t *o = json_object();
	bool misfit = fits && fits[0];
	/* What the card or a policy has against it says nothing of the image. */
	bool sound = !err || (misfit && (err == EMEDIUMTYPE || err == EPERM || err == ENOKEY));
	char *out = NULL;
	int bad = 0;

	if (!o)
		return NULL;
	/* An image that is sound and does not fit tells why as programming it would. */
	if (sound && misfit) {
		reason = fits;
		err = err ? err : EMEDIUMTYPE;
	}
	bad |= json_object_set_new(o, "file", json_text(file));
	bad |= json_object_set_new(o, "sound",
				   sound && misfit && !(sha256 && *sha256) ? json_null() : json_boolean(sound));
	bad |= json_object_set_new(o, "errno", err ? json_string(errno_name(err)) : json_null());
	bad |= json_object_set_new(o, "reason", err ? json_text(reason) : json_null());
	for (size_t i = 0; i < MEMBERS; i++)
		bad |= json_object_set_new(o, members[i].key, json_member(facts, &members[i]));
	bad |= json_object_set_new(o, "size",
				   sha256 || size ? json_integer((json_int_t)size) : json_null());
	bad |= json_object_set_new(o, "sha256", json_text(sha256));
	bad |= json_object_set_new(o, "fits", fits ? json_boolean(!misfit) : json_null());
	if (!bad)
		out = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(o);
	return out;
}

/* --- back ----------------------------------------------------------------------- */

static void read_words(const json_t *list, char *dst, size_t size)
{
	struct buf b CLEANUP_BUF = BUF_INIT;
	const json_t *word;
	size_t i;

	json_array_foreach(list, i, word)
		if (json_is_string(word))
			buf_addf(&b, "%s%s", b.len ? " " : "", json_string_value(word));
	if (!buf_ok(&b))
		text_copy(dst, size, b.data);
}

static void read_idcode(const json_t *v, struct image_facts *facts)
{
	const char *text = json_string_value(v);

	if (!text || strlen(text) != 8 || strspn(text, "0123456789abcdef") != 8)
		return;
	facts->has_idcode = true;
	facts->idcode = (uint32_t)strtoul(text, NULL, 16);
}

static void read_integrity(const json_t *v, struct image_facts *facts)
{
	if (json_is_string(v))
		text_copy(facts->integrity_absent, sizeof(facts->integrity_absent), json_string_value(v));
	if (!json_is_object(v))
		return;
	read_words(json_object_get(v, "checked"), facts->integrity_checked,
		   sizeof(facts->integrity_checked));
	facts->integrity_ok = json_is_true(json_object_get(v, "ok"));
}

static void read_member(const json_t *v, const struct member *m, struct image_facts *facts)
{
	char *field = (char *)facts + m->at;
	json_int_t number = json_integer_value(v);
	enum image_tri tri;
	unsigned count;

	switch (m->kind) {
	case TEXT:
		text_copy(field, m->size, json_string_value(v));
		break;
	case WORDS:
		read_words(v, field, m->size);
		break;
	case TRI:
		tri = json_is_boolean(v) ? (json_is_true(v) ? IMAGE_YES : IMAGE_NO) : IMAGE_UNKNOWN;
		memcpy(field, &tri, sizeof(tri));
		break;
	case COUNT:
		count = number > 0 && number <= UINT_MAX ? (unsigned)number : 0;
		memcpy(field, &count, sizeof(count));
		break;
	case LENGTH:
		facts->declared_size = number > 0 ? (uint64_t)number : 0;
		break;
	case ID:
		read_idcode(v, facts);
		break;
	case CONFIDENCE:
		for (size_t i = 1; i < sizeof(confidences) / sizeof(confidences[0]); i++)
			if (json_is_string(v) && !strcmp(json_string_value(v), confidences[i]))
				facts->confidence = (enum image_confidence)i;
		break;
	case INTEGRITY:
		read_integrity(v, facts);
		break;
	}
}

int image_facts_parse(const char *json, struct image_facts *facts)
{
	json_t *o = json_loads(json, JSON_REJECT_DUPLICATES, NULL);

	memset(facts, 0, sizeof(*facts));
	if (!json_is_object(o)) {
		json_decref(o);
		return -EINVAL;
	}
	for (size_t i = 0; i < MEMBERS; i++)
		read_member(json_object_get(o, members[i].key), &members[i], facts);
	json_decref(o);
	return 0;
}
