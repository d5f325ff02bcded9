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

enum kind { TEXT, TRI, WORDS, COUNT };

/* The order is that of DESIGN's list. */
static const struct member {
	const char *key;
	enum kind kind;
	size_t at, size;
} members[] = {
#define MEMBER(key, kind, field) \
	{ key, kind, offsetof(struct image_facts, field), sizeof(((struct image_facts *)0)->field) }
	MEMBER("format", TEXT, format),
	MEMBER("vendor", TEXT, vendor),
	MEMBER("family", TEXT, family),
	MEMBER("part", TEXT, part),
	MEMBER("also_parts", WORDS, also_parts),
	MEMBER("package", TEXT, package),
	MEMBER("speed", TEXT, speed),
	MEMBER("partial", TRI, partial),
	MEMBER("compressed", TRI, compressed),
	MEMBER("encrypted", TRI, encrypted),
	MEMBER("signed", TRI, is_signed),
	MEMBER("shell", TEXT, shell),
	MEMBER("design", TEXT, design),
	MEMBER("user_id", TEXT, user_id),
	MEMBER("dies", COUNT, dies),
	MEMBER("kernels", WORDS, kernels),
	MEMBER("afus", WORDS, afus),
	MEMBER("needs", TEXT, needs),
	MEMBER("firmware", TEXT, firmware),
	MEMBER("targets", WORDS, targets),
	MEMBER("tool", TEXT, tool),
	MEMBER("built", TEXT, built),
	MEMBER("detail", TEXT, detail),
#undef MEMBER
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

static json_t *json_member(const struct image_facts *facts, const struct member *m)
{
	const char *field = (const char *)facts + m->at;
	enum image_tri tri;
	unsigned count;

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
	}
	return NULL;
}

static json_t *json_integrity(const struct image_facts *facts)
{
	if (!facts->integrity_checked[0])
		return json_text(facts->integrity_absent);
	return json_pack("{s:o, s:b}", "checked", json_words(facts->integrity_checked, false), "ok",
			 facts->integrity_ok);
}

static json_t *json_size(uint64_t n)
{
	return n ? json_integer((json_int_t)n) : json_null();
}

char *image_facts_json(const struct image_facts *facts, const char *file, const char *sha256,
		       uint64_t size, int err, const char *reason, const char *fits)
{
	json_t *o = json_object();
	char idcode[16], *out = NULL;
	bool misfit = fits && fits[0];
	int bad = 0;

	if (!o)
		return NULL;
	/* An image that is sound and does not fit tells why as programming it would. */
	if (!err && misfit)
		reason = fits;
	snprintf(idcode, sizeof(idcode), "%08x", facts->idcode);
	bad |= json_object_set_new(o, "file", json_text(file));
	bad |= json_object_set_new(o, "sound", json_boolean(!err));
	bad |= json_object_set_new(o, "errno",
				   err	    ? json_string(errno_name(err)) :
				   misfit ? json_string(errno_name(EMEDIUMTYPE)) :
						   json_null());
	bad |= json_object_set_new(o, "reason", err || misfit ? json_text(reason) : json_null());
	bad |= json_object_set_new(o, "confidence",
				   facts->confidence ? json_string(confidences[facts->confidence]) :
						       json_null());
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		bad |= json_object_set_new(o, members[i].key, json_member(facts, &members[i]));
	bad |= json_object_set_new(o, "idcode", facts->has_idcode ? json_string(idcode) : json_null());
	bad |= json_object_set_new(o, "size",
				   sha256 || size ? json_integer((json_int_t)size) : json_null());
	bad |= json_object_set_new(o, "declared_size", json_size(facts->declared_size));
	bad |= json_object_set_new(o, "sha256", json_text(sha256));
	bad |= json_object_set_new(o, "integrity", json_integrity(facts));
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

int image_facts_parse(const char *json, struct image_facts *facts)
{
	json_t *o = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
	const json_t *v;

	memset(facts, 0, sizeof(*facts));
	if (!json_is_object(o)) {
		json_decref(o);
		return -EINVAL;
	}
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		const struct member *m = &members[i];
		char *field = (char *)facts + m->at;
		enum image_tri tri;
		unsigned count;

		v = json_object_get(o, m->key);
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
			count = json_is_integer(v) && json_integer_value(v) > 0 &&
						json_integer_value(v) <= UINT_MAX ?
					(unsigned)json_integer_value(v) :
					0;
			memcpy(field, &count, sizeof(count));
			break;
		}
	}
	v = json_object_get(o, "confidence");
	for (size_t i = 1; i < sizeof(confidences) / sizeof(confidences[0]); i++)
		if (json_is_string(v) && !strcmp(json_string_value(v), confidences[i]))
			facts->confidence = (enum image_confidence)i;
	v = json_object_get(o, "idcode");
	if (json_is_string(v)) {
		char *end;
		unsigned long id = strtoul(json_string_value(v), &end, 16);

		if (json_string_length(v) == 8 && !*end) {
			facts->has_idcode = true;
			facts->idcode = (uint32_t)id;
		}
	}
	v = json_object_get(o, "declared_size");
	if (json_is_integer(v) && json_integer_value(v) > 0)
		facts->declared_size = (uint64_t)json_integer_value(v);
	v = json_object_get(o, "integrity");
	if (json_is_string(v))
		text_copy(facts->integrity_absent, sizeof(facts->integrity_absent), json_string_value(v));
	if (json_is_object(v)) {
		read_words(json_object_get(v, "checked"), facts->integrity_checked,
			   sizeof(facts->integrity_checked));
		facts->integrity_ok = json_is_true(json_object_get(v, "ok"));
	}
	json_decref(o);
	return 0;
}
