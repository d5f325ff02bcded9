// SPDX-License-Identifier: Apache-2.0
/* JSON a byte at a time. See json_push.h. */
#include "backend/repo/json_push.h"

#include <ctype.h>
#include <string.h>

#define PLAIN_MAX 64 /* bytes of a number */

enum state {
	WANT_VALUE,	     /* or blanks */
	WANT_VALUE_OR_END,   /* behind [ */
	WANT_KEY,	     /* behind , in an object */
	WANT_KEY_OR_END,     /* behind { */
	WANT_COLON,
	WANT_COMMA_OR_END,
	IN_STRING,
	IN_ESCAPE,
	IN_UNICODE,
	IN_PLAIN, /* a number or a word */
	ENDED,
};

static int wrong(struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG, "no JSON: %s", what);
}

static int tell(struct json_push *json, enum json_event event, struct reason *why)
{
	bool has_text = event >= JSON_EVENT_KEY;

	if (buf_ok(&json->text) < 0)
		return reason_set(why, ENOMEM, "no memory");
	return json->event(json->core, event, json->depth, has_text && json->text.data ? json->text.data : "",
			   has_text ? json->text.len : 0, why);
}

static void value_ended(struct json_push *json)
{
	json->state = json->depth ? WANT_COMMA_OR_END : ENDED;
}

static int nest(struct json_push *json, bool object, struct reason *why)
{
	int rc;

	if (json->depth == JSON_DEPTH_MAX)
		return wrong(why, "nested too deep");
	rc = tell(json, object ? JSON_EVENT_OBJECT : JSON_EVENT_ARRAY, why);
	json->in_object[json->depth++] = object;
	json->state = object ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
	return rc;
}

static int unnest(struct json_push *json, bool object, struct reason *why)
{
	if (json->depth == 0 || json->in_object[json->depth - 1] != object)
		return wrong(why, object ? "a } that nothing opened" : "a ] that nothing opened");
	json->depth--;
	value_ended(json);
	return tell(json, object ? JSON_EVENT_OBJECT_END : JSON_EVENT_ARRAY_END, why);
}

static int value_begin(struct json_push *json, char c, struct reason *why)
{
	buf_clear(&json->text);
	json->is_key = false;
	if (c == '{' || c == '[')
		return nest(json, c == '{', why);
	if (c == '"') {
		json->state = IN_STRING;
		json->high = 0;
		return 0;
	}
	if (c != '-' && !isalnum((unsigned char)c))
		return wrong(why, "a value is wanted");
	buf_add(&json->text, &c, 1);
	json->state = IN_PLAIN;
	return 0;
}

static int plain_end(struct json_push *json, struct reason *why)
{
	const char *text = json->text.data ? json->text.data : "";
	bool number = *text == '-' || isdigit((unsigned char)*text);

	if (number ? text[strspn(text, "0123456789+-.eE")] != 0 :
	    strcmp(text, "true") != 0 && strcmp(text, "false") != 0 && strcmp(text, "null") != 0)
		return wrong(why, "a word that is none of it");
	value_ended(json);
	return tell(json, number ? JSON_EVENT_NUMBER : JSON_EVENT_WORD, why);
}

static void utf8_add(struct buf *b, unsigned c)
{
	char out[4];
	size_t n = 0;

	if (c < 0x80) {
		out[n++] = (char)c;
	} else if (c < 0x800) {
		out[n++] = (char)(0xc0 | c >> 6);
		out[n++] = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		out[n++] = (char)(0xe0 | c >> 12);
		out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
		out[n++] = (char)(0x80 | (c & 0x3f));
	} else {
		out[n++] = (char)(0xf0 | c >> 18);
		out[n++] = (char)(0x80 | (c >> 12 & 0x3f));
		out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
		out[n++] = (char)(0x80 | (c & 0x3f));
	}
	buf_add(b, out, n);
}

/* Halves of pairs that stand alone become U+FFFD, as everywhere. */
static void unicode_end(struct json_push *json)
{
	unsigned c = json->unicode, high = json->high;

	json->high = 0;
	if (c >= 0xdc00 && c < 0xe000) {
		utf8_add(&json->text, high ? 0x10000 + ((high - 0xd800) << 10) + (c - 0xdc00) : 0xfffd);
		return;
	}
	if (high)
		utf8_add(&json->text, 0xfffd);
	if (c >= 0xd800 && c < 0xdc00)
		json->high = c;
	else
		utf8_add(&json->text, c);
}

static int in_unicode(struct json_push *json, char c, struct reason *why)
{
	if (!isxdigit((unsigned char)c))
		return wrong(why, "\\u wants four hex digits");
	json->unicode = json->unicode << 4 | (unsigned)(isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10);
	if (++json->digits == 4) {
		unicode_end(json);
		json->state = IN_STRING;
	}
	return 0;
}

/* A first half with no second one behind it. */
static void half_end(struct json_push *json)
{
	if (json->high)
		utf8_add(&json->text, 0xfffd);
	json->high = 0;
}

static int in_escape(struct json_push *json, char c, struct reason *why)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at = c ? strchr(from, c) : NULL;

	if (c == 'u') {
		json->unicode = json->digits = 0;
		json->state = IN_UNICODE;
		return 0;
	}
	if (!at)
		return wrong(why, "an escape that is none");
	half_end(json);
	buf_add(&json->text, &to[at - from], 1);
	json->state = IN_STRING;
	return 0;
}

static int string_end(struct json_push *json, struct reason *why)
{
	half_end(json);
	if (!json->is_key) {
		value_ended(json);
		return tell(json, JSON_EVENT_STRING, why);
	}
	json->state = WANT_COLON;
	return tell(json, JSON_EVENT_KEY, why);
}

/* As many bytes as are nothing but text, at once: names and pages of properties are long. */
static size_t in_string(struct json_push *json, const char *bytes, size_t n)
{
	size_t len = 0;

	while (len < n && bytes[len] != '"' && bytes[len] != '\\' && (unsigned char)bytes[len] >= 0x20)
		len++;
	if (len > 0)
		half_end(json);
	buf_add(&json->text, bytes, len);
	return len;
}

/* The same of a number or a word. */
static size_t in_plain(struct json_push *json, const char *bytes, size_t n)
{
	size_t len = 0;

	while (len < n && json->text.len + len < PLAIN_MAX && isalnum((unsigned char)bytes[len]))
		len++;
	buf_add(&json->text, bytes, len);
	return len;
}

static int string_byte(struct json_push *json, char c, struct reason *why)
{
	if (json->text.len > JSON_TEXT_MAX)
		return wrong(why, "a string is too long");
	if (c == '"')
		return string_end(json, why);
	if (c != '\\')
		return wrong(why, "a control character in a string");
	json->state = IN_ESCAPE;
	return 0;
}

static int structure_byte(struct json_push *json, char c, struct reason *why)
{
	bool object = json->depth && json->in_object[json->depth - 1];

	switch ((enum state)json->state) {
	case WANT_VALUE_OR_END:
		if (c == ']')
			return unnest(json, false, why);
		return value_begin(json, c, why);
	case WANT_VALUE:
		return value_begin(json, c, why);
	case WANT_KEY_OR_END:
		if (c == '}')
			return unnest(json, true, why);
		__attribute__((fallthrough));
	case WANT_KEY:
		if (c != '"')
			return wrong(why, "a name is wanted");
		buf_clear(&json->text);
		json->is_key = true;
		json->high = 0;
		json->state = IN_STRING;
		return 0;
	case WANT_COLON:
		json->state = WANT_VALUE;
		return c == ':' ? 0 : wrong(why, "a colon is wanted");
	case WANT_COMMA_OR_END:
		if (c == '}' || c == ']')
			return unnest(json, c == '}', why);
		json->state = object ? WANT_KEY : WANT_VALUE;
		return c == ',' ? 0 : wrong(why, "a comma is wanted");
	case ENDED:
		return wrong(why, "something behind its end");
	case IN_STRING:
	case IN_ESCAPE:
	case IN_UNICODE:
	case IN_PLAIN:
		break;
	}
	return wrong(why, "a state that is none");
}

static int byte_feed(struct json_push *json, char c, struct reason *why)
{
	int rc;

	switch (json->state) {
	case IN_STRING:
		return string_byte(json, c, why);
	case IN_ESCAPE:
		return in_escape(json, c, why);
	case IN_UNICODE:
		return in_unicode(json, c, why);
	case IN_PLAIN:
		if (isalnum((unsigned char)c) || c == '.' || c == '+' || c == '-') {
			buf_add(&json->text, &c, 1);
			return json->text.len > PLAIN_MAX ? wrong(why, "a number is too long") : 0;
		}
		rc = plain_end(json, why);
		if (rc < 0)
			return rc;
		break;
	default:
		break;
	}
	if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
		return 0;
	return structure_byte(json, c, why);
}

int json_push_feed(struct json_push *json, const char *bytes, size_t n, struct reason *why)
{
	size_t i = 0;

	while (i < n) {
		int rc;

		if (json->state == IN_STRING)
			i += in_string(json, bytes + i, n - i);
		else if (json->state == IN_PLAIN)
			i += in_plain(json, bytes + i, n - i);
		if (i == n)
			break;
		rc = byte_feed(json, bytes[i++], why);
		if (rc < 0)
			return rc;
	}
	return json->state == IN_STRING && json->text.len > JSON_TEXT_MAX ? wrong(why, "a string is too long") : 0;
}

int json_push_end(struct json_push *json, struct reason *why)
{
	if (json->state == IN_PLAIN && json->depth == 0) {
		int rc = plain_end(json, why);

		if (rc < 0)
			return rc;
	}
	return json->state == ENDED ? 0 : wrong(why, "it breaks off");
}

bool json_tree_fits(const char *text, size_t len)
{
	size_t values = 0;

	/* Those within strings count as well: no text that is meant comes near to the limit. */
	for (size_t i = 0; i < len; i++)
		values += text[i] == ',' || text[i] == '[' || text[i] == '{';
	return values <= JSON_TREE_MAX;
}

void json_push_free(struct json_push *json)
{
	buf_free(&json->text);
}
