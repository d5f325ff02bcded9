// SPDX-License-Identifier: Apache-2.0
/*
 * Index pages in JSON (nginx: name type mtime size; Caddy: name size mod_time
 * is_dir) and manifests (fabricfs.yaml(5) says what is in one): lists of objects,
 * one entry each, told when it is complete.
 */
#include "backend/repo/http_index.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Digests by their strength: of several the first counts. */
static const struct {
	const char *algo;
	size_t hex;
} digests[] = { { "sha512", 128 }, { "sha384", 96 }, { "sha256", 64 }, { "sha1", 40 }, { "md5", 32 } };

static void entry_clear(struct json_index *index)
{
	buf_clear(&index->name);
	buf_clear(&index->url);
	buf_clear(&index->pairs);
	index->entry = (struct index_entry){ 0 };
	index->pairs_len = 0;
	index->in_properties = false;
	index->when[0] = index->digest_algo[0] = index->digest[0] = index->key[0] = 0;
}

static int entry_tell(struct json_index *index, struct reason *why)
{
	const char *pairs[2 * REPO_PROPERTIES_MAX + 1] = { NULL };
	struct index_entry *entry = &index->entry;
	size_t at = 0;

	if (buf_ok(&index->name) < 0 || buf_ok(&index->url) < 0 || buf_ok(&index->pairs) < 0)
		return reason_set(why, ENOMEM, "no memory");
	/* It can be neither shown nor asked for, and says nothing of the others. */
	if (index->name.len == 0 && index->url.len == 0) {
		index->nameless++;
		return 0;
	}
	index->named = true;
	for (unsigned i = 0; i < index->pairs_len; i++) {
		pairs[i] = index->pairs.data + at;
		at += strlen(pairs[i]) + 1;
	}
	entry->name = index->name.data ? index->name.data : "";
	entry->name_len = index->name.len;
	entry->url = index->url.len ? index->url.data : NULL;
	entry->when = index->when;
	entry->digest_algo = index->digest_algo[0] ? index->digest_algo : NULL;
	entry->digest = index->digest_algo[0] ? index->digest : NULL;
	entry->properties = index->pairs_len ? pairs : NULL;
	/* What an index lists are children; a name with a slash is none, and nothing to be asked for. */
	if (!index->manifest && (memchr(entry->name, '/', entry->name_len) || entry->name_len > INDEX_NAME_MAX ||
				 strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0 ||
				 memchr(entry->name, 0, entry->name_len)))
		return 0;
	return index->sink.entry(index->sink.core, entry, why);
}

static int digest_take(struct json_index *index, const char *algo, const char *hex, struct reason *why)
{
	bool stronger = true;

	for (size_t i = 0; i < sizeof(digests) / sizeof(*digests); i++) {
		if (strcmp(digests[i].algo, index->digest_algo) == 0)
			stronger = false;
		if (strcmp(digests[i].algo, algo) != 0)
			continue;
		if (strlen(hex) != digests[i].hex || strspn(hex, "0123456789abcdefABCDEF") != digests[i].hex)
			return reason_set(why, EBADMSG, "%s of \"%.80s\" is no such digest", algo,
					  index->name.data ? index->name.data : "");
		if (!stronger)
			return 0;
		text_copy(index->digest_algo, sizeof(index->digest_algo), algo);
		text_copy(index->digest, sizeof(index->digest), hex);
		for (char *c = index->digest; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		return 0;
	}
	return 0;
}

static bool property_add(struct json_index *index, const char *text, size_t len)
{
	if (index->pairs_len >= 2 * REPO_PROPERTIES_MAX || len >= REPO_PROPERTY_MAX || memchr(text, 0, len))
		return false;
	buf_add(&index->pairs, text, len);
	buf_add(&index->pairs, "", 1);
	index->pairs_len++;
	return true;
}

static void pair_add(struct json_index *index, const char *name, const char *value, size_t len)
{
	if (index->pairs_len + 2 <= 2 * REPO_PROPERTIES_MAX && len < REPO_PROPERTY_MAX && !memchr(value, 0, len) &&
	    *name) {
		(void)property_add(index, name, strlen(name));
		(void)property_add(index, value, len);
	}
}

/* A value of an entry's own keys. */
static int value_take(struct json_index *index, enum json_event event, const char *text, size_t len,
		      struct reason *why)
{
	static const char *const facts[] = { "part", "shell", "format", "design", "vendor", "tool" };
	const char *key = index->key;
	bool string = event == JSON_EVENT_STRING;

	if (strcmp(key, "name") == 0 && string) {
		/* Caddy ends the names of folders with a slash. */
		if (!index->manifest && len > 1 && text[len - 1] == '/')
			len--;
		buf_clear(&index->name);
		buf_add(&index->name, text, len);
	} else if (strcmp(key, "size") == 0 && event == JSON_EVENT_NUMBER) {
		char *end;

		errno = 0;
		index->entry.size = strtoull(text, &end, 10);
		index->entry.has_size = *end == 0 && errno == 0 && isdigit((unsigned char)*text);
		if (index->manifest && !index->entry.has_size)
			return reason_set(why, EBADMSG, "size %s is no number of bytes", text);
	} else if ((strcmp(key, "mtime") == 0 || strcmp(key, "mod_time") == 0 || strcmp(key, "modified") == 0) &&
		   string) {
		index->entry.mtime_s = time_parse(text);
		index->entry.mtime_exact = index->entry.mtime_s != 0;
		text_copy(index->when, sizeof(index->when), text);
	} else if (strcmp(key, "type") == 0 && string) {
		index->entry.folder = strcmp(text, "directory") == 0;
	} else if (strcmp(key, "is_dir") == 0) {
		index->entry.folder = strcmp(text, "true") == 0;
	} else if (index->manifest && strcmp(key, "url") == 0 && string) {
		if (memchr(text, 0, len))
			return reason_set(why, EBADMSG, "an url holds a NUL");
		buf_clear(&index->url);
		buf_add(&index->url, text, len);
	} else if (index->manifest && string) {
		for (size_t i = 0; i < sizeof(facts) / sizeof(*facts); i++)
			if (strcmp(key, facts[i]) == 0)
				pair_add(index, key, text, len);
		return digest_take(index, key, text, why);
	}
	return 0;
}

/* What is in "properties": texts; numbers and words as they are written. */
static int property_event(struct json_index *index, enum json_event event, const char *text, size_t len)
{
	if (event == JSON_EVENT_KEY)
		text_copy(index->key, sizeof(index->key), memchr(text, 0, len) ? "" : text);
	else if (event == JSON_EVENT_STRING || event == JSON_EVENT_NUMBER || event == JSON_EVENT_WORD)
		pair_add(index, index->key, text, len);
	return 0;
}

static int list_event(struct json_index *index, enum json_event event, unsigned depth, const char *text, size_t len,
		      struct reason *why)
{
	if (depth == 0) {
		switch (event) {
		case JSON_EVENT_OBJECT_END:
			return entry_tell(index, why);
		case JSON_EVENT_OBJECT:
			entry_clear(index);
			return 0;
		case JSON_EVENT_ARRAY_END:
		case JSON_EVENT_ARRAY:
		case JSON_EVENT_KEY:
		case JSON_EVENT_STRING:
		case JSON_EVENT_NUMBER:
		case JSON_EVENT_WORD:
			return reason_set(why, EBADMSG, "the list holds something that is no object");
		}
	}
	if (depth == 1 && event == JSON_EVENT_OBJECT && index->manifest && strcmp(index->key, "properties") == 0) {
		index->in_properties = true;
	} else if (depth == 1 && event == JSON_EVENT_OBJECT_END) {
		index->in_properties = false;
	} else if (depth == 2 && index->in_properties) {
		return property_event(index, event, text, len);
	} else if (depth == 1 && event == JSON_EVENT_KEY) {
		text_copy(index->key, sizeof(index->key), text);
	} else if (depth == 1 && event > JSON_EVENT_KEY) {
		return value_take(index, event, text, len, why);
	}
	return 0;
}

static int on_event(void *core, enum json_event event, unsigned depth, const char *text, size_t len,
		    struct reason *why)
{
	struct json_index *index = core;
	unsigned list = index->nested ? 1 : 0; /* where the list begins */

	if (depth == 0) {
		if (event == JSON_EVENT_OBJECT && index->manifest)
			index->nested = true;
		else if (event == JSON_EVENT_ARRAY)
			index->in_list = index->listed = true;
		else if (event != JSON_EVENT_ARRAY_END && event != JSON_EVENT_OBJECT_END)
			return reason_set(why, EBADMSG, "it is no list of files");
		return 0;
	}
	if (depth > list && index->in_list)
		return list_event(index, event, depth - list - 1, text, len, why);
	if (depth != 1 || !index->nested)
		return 0;
	if (event == JSON_EVENT_KEY)
		text_copy(index->key, sizeof(index->key), text);
	else if (event == JSON_EVENT_ARRAY && strcmp(index->key, "images") == 0)
		index->in_list = index->listed = true;
	else if (event == JSON_EVENT_ARRAY_END)
		index->in_list = false;
	return 0;
}

void json_index_init(struct json_index *index, const struct index_sink *sink, bool manifest)
{
	*index = (struct json_index){ .sink = *sink, .manifest = manifest };
	index->json.event = on_event;
	index->json.core = index;
}

int json_index_feed(struct json_index *index, const char *bytes, size_t n, struct reason *why)
{
	return json_push_feed(&index->json, bytes, n, why);
}

int json_index_end(struct json_index *index, struct reason *why)
{
	int rc = json_push_end(&index->json, why);

	if (rc == 0 && !index->listed)
		return reason_set(why, EBADMSG, "it has no list \"images\"");
	/* A list of something else. It does not say that there are no images. */
	if (rc == 0 && index->nameless && !index->named)
		return reason_set(why, EBADMSG, "no entry has a name");
	return rc;
}

void json_index_free(struct json_index *index)
{
	json_push_free(&index->json);
	buf_free(&index->name);
	buf_free(&index->url);
	buf_free(&index->pairs);
}
