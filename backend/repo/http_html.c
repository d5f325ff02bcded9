// SPDX-License-Identifier: Apache-2.0
/*
 * Index pages in HTML: the links, and the text behind each, in which a time and a
 * size may be. The shown text of a link is cut by some servers; its address is not.
 *
 * No more of HTML than that: tags, quoted attributes, comments, character
 * references. What is no index (a page that wants a login) is told by its title.
 */
#include "backend/repo/http_index.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum state { IN_TEXT, IN_TAG, IN_QUOTE, IN_COMMENT };

#define TAG_MAX	  8192
#define TITLE_MAX 256

/* "&amp;" and its like at text; the bytes they stand for into out, their length in *used. */
static void reference_decode(const char *text, struct buf *out, size_t *used)
{
	static const struct {
		const char *name;
		char c;
	} names[] = { { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' }, { "&apos;", '\'' } };
	char *end;
	unsigned long c;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strncasecmp(text, names[i].name, strlen(names[i].name)) == 0) {
			buf_add(out, &names[i].c, 1);
			*used = strlen(names[i].name);
			return;
		}
	*used = 1;
	if (text[1] == '#') {
		bool hex = text[2] == 'x' || text[2] == 'X';
		const char *digits = text + 2 + hex;

		c = isxdigit((unsigned char)*digits) ? strtoul(digits, &end, hex ? 16 : 10) : 0;
		/* The only ones that servers write: characters of ASCII which HTML or addresses reserve. */
		if (c >= 0x20 && c < 0x7f && *end == ';') {
			buf_add(out, &(char){ (char)c }, 1);
			*used = (size_t)(end + 1 - text);
			return;
		}
	}
	buf_add(out, text, 1);
}

/* The value of an attribute of a tag, decoded; false: it has none. */
static bool attribute_find(const char *tag, const char *name, struct buf *value)
{
	const char *at = tag + strcspn(tag, " \t\r\n/");

	buf_clear(value);
	while (*at) {
		const char *key = at += strspn(at, " \t\r\n/");
		size_t key_len = strcspn(at, " \t\r\n=/"), len;
		char quote;

		at += key_len;
		at += strspn(at, " \t\r\n");
		if (*at != '=') {
			if (key_len == 0 && *at)
				at++;
			continue;
		}
		at++;
		at += strspn(at, " \t\r\n");
		quote = *at == '"' || *at == '\'' ? *at++ : 0;
		len = quote ? strcspn(at, (char[]){ quote, 0 }) : strcspn(at, " \t\r\n");
		if (key_len == strlen(name) && strncasecmp(key, name, key_len) == 0) {
			for (size_t i = 0, used; i < len; i += used) {
				const char *reference = memchr(at + i, '&', len - i);

				used = (size_t)((reference ? reference : at + len) - (at + i));
				if (used > 0)
					buf_add(value, at + i, used);
				else
					reference_decode(at + i, value, &used);
			}
			return true;
		}
		at += len;
		at += quote && *at == quote;
	}
	return false;
}

/* Before the first link is believed: a page that wants a login has links too. */
static int title_check(struct html_index *html, struct reason *why)
{
	const char *title = html->title.data ? html->title.data : "";

	if (!html->is_index && !strcasestr(title, "index of") && !strcasestr(title, "directory listing"))
		return reason_set(why, EBADMSG, "a page came that is no index of a folder: \"%.80s\"", title);
	html->is_index = true;
	return 0;
}

static int link_end(struct html_index *html, struct reason *why)
{
	struct index_entry entry = { 0 };
	struct buf name CLEANUP_BUF = BUF_INIT;
	char when[64] = "";
	bool folder = false;
	int rc = 0;

	if (html->href.len == 0)
		return 0;
	html->behind[html->behind_len] = 0;
	rc = title_check(html, why);
	if (rc < 0)
		return rc;
	if (link_child(html->page, html->href.data, &name, &folder)) {
		entry.name = name.data;
		entry.name_len = name.len;
		entry.folder = folder;
		entry.when = when;
		listing_parse(html->behind, &entry, when);
		rc = html->sink.entry(html->sink.core, &entry, why);
	}
	buf_clear(&html->href);
	return rc;
}

static bool tag_is(const char *tag, const char *name)
{
	size_t n = strlen(name);

	return (*tag | 0x20) == (*name | 0x20) && strncasecmp(tag, name, n) == 0 && !isalnum((unsigned char)tag[n]);
}

static int tag_end(struct html_index *html, struct reason *why)
{
	const char *tag = html->tag.data ? html->tag.data : "";
	struct buf href CLEANUP_BUF = BUF_INIT;
	int rc;

	if (html->tag.failed)
		return reason_set(why, ENOMEM, "no memory");
	html->raw = tag_is(tag, "script") || tag_is(tag, "style");
	if (tag_is(tag, "title") || tag_is(tag, "h1") || tag_is(tag, "h2"))
		html->in_title = html->title.len == 0 || html->in_title;
	else if (tag_is(tag, "/title") || tag_is(tag, "/h1") || tag_is(tag, "/h2"))
		html->in_title = false;
	else if (tag_is(tag, "/a"))
		html->in_link = false;
	else if ((tag_is(tag, "td") || tag_is(tag, "/td")) && html->behind_len + 1 < sizeof(html->behind))
		html->behind[html->behind_len++] = ' ';
	if (!tag_is(tag, "a") || !attribute_find(tag, "href", &href))
		return 0;
	/* An icon and a name that are two links to one file are one entry. */
	if (html->href.len > 0 && href.len == html->href.len && memcmp(href.data, html->href.data, href.len) == 0) {
		html->in_link = true;
		return 0;
	}
	rc = link_end(html, why);
	buf_add(&html->href, href.data, href.len);
	if (html->href.failed || href.failed)
		return reason_set(why, ENOMEM, "no memory");
	html->behind_len = 0;
	html->in_link = true;
	return rc;
}

static void text_add(struct html_index *html, const char *text, size_t n)
{
	if (html->in_title)
		for (size_t i = 0; i < n && html->title.len < TITLE_MAX; i++)
			buf_add(&html->title, text[i] >= 0x20 && text[i] < 0x7f ? &text[i] : " ", 1);
	if (html->href.len > 0 && !html->in_link) {
		size_t room = sizeof(html->behind) - 1 - html->behind_len;

		memcpy(html->behind + html->behind_len, text, n < room ? n : room);
		html->behind_len += n < room ? n : room;
	}
}

/* Could what came so far be the end of a script or a style sheet? */
static bool raw_may_end(const char *tag)
{
	size_t n = strlen(tag);

	return strncasecmp(tag, "/script", n < 7 ? n : 7) == 0 || strncasecmp(tag, "/style", n < 6 ? n : 6) == 0;
}

/* Within a script: back to its text, unless this is its end. */
static bool raw_byte(struct html_index *html, char c)
{
	if (c == '>')
		return false;
	buf_add(&html->tag, c ? &c : " ", 1);
	if (!html->tag.data || !raw_may_end(html->tag.data)) {
		html->state = c == '<' ? IN_TAG : IN_TEXT;
		buf_clear(&html->tag);
	}
	return true;
}

static int tag_byte(struct html_index *html, char c, struct reason *why)
{
	if (html->raw && html->tag.len < 7 && raw_byte(html, c))
		return 0;
	if (c == '>') {
		html->state = IN_TEXT;
		return tag_end(html, why);
	}
	if (html->tag.len >= TAG_MAX)
		return reason_set(why, EBADMSG, "no index page: a tag of more than %d bytes", TAG_MAX);
	buf_add(&html->tag, c ? &c : " ", 1);
	if (html->tag.len == 3 && strcmp(html->tag.data, "!--") == 0)
		html->state = IN_COMMENT;
	else if (c == '"' || c == '\'') {
		/* Only a value's begins there; one in a word is the word's. */
		const char *t = html->tag.data;
		size_t n = html->tag.len;

		if (n >= 2 && (t[n - 2] == '=' || (n >= 3 && isspace((unsigned char)t[n - 2]) && t[n - 3] == '='))) {
			html->state = IN_QUOTE;
			html->quote = c;
		}
	}
	return 0;
}

static int byte_feed(struct html_index *html, char c, struct reason *why)
{
	switch ((enum state)html->state) {
	case IN_TEXT:
		if (c == '<') {
			html->state = IN_TAG;
			buf_clear(&html->tag);
		} else {
			text_add(html, &c, 1);
		}
		return 0;
	case IN_TAG:
		return tag_byte(html, c, why);
	case IN_QUOTE:
		if (c == html->quote)
			html->state = IN_TAG;
		if (html->tag.len >= TAG_MAX)
			return reason_set(why, EBADMSG, "no index page: a tag of more than %d bytes", TAG_MAX);
		buf_add(&html->tag, c ? &c : " ", 1);
		return 0;
	case IN_COMMENT: {
		/* Its last two bytes are enough to see its end. */
		size_t n = html->tag.len;

		if (c == '>' && n >= 2 && html->tag.data[n - 1] == '-' && html->tag.data[n - 2] == '-' && n > 4)
			html->state = IN_TEXT;
		if (n > 8) {
			char last = html->tag.data[n - 1];

			buf_clear(&html->tag);
			buf_add(&html->tag, "!----", 4);
			buf_add(&html->tag, &last, 1);
		}
		buf_add(&html->tag, c ? &c : " ", 1);
		return 0;
	}
	}
	return 0;
}

/* As many bytes as mean nothing but themselves where they are, at once; 0: the next one may. */
static size_t run_feed(struct html_index *html, const char *bytes, size_t n)
{
	size_t run = 0;

	if (html->state == IN_TEXT) {
		const char *tag = memchr(bytes, '<', n);

		run = tag ? (size_t)(tag - bytes) : n;
		text_add(html, bytes, run);
		return run;
	}
	/* A comment, or the end of a script, shows in a tag's first bytes. */
	if (html->state == IN_COMMENT || html->tag.len >= TAG_MAX || (html->state == IN_TAG && (html->raw || html->tag.len < 3)))
		return 0;
	if (n > TAG_MAX - html->tag.len)
		n = TAG_MAX - html->tag.len;
	while (run < n && bytes[run] && (html->state == IN_QUOTE ? bytes[run] != html->quote :
					 bytes[run] != '>' && bytes[run] != '"' && bytes[run] != '\''))
		run++;
	buf_add(&html->tag, bytes, run);
	return run;
}

int html_index_feed(struct html_index *html, const char *bytes, size_t n, struct reason *why)
{
	for (size_t i = 0; i < n; i++) {
		int rc;

		i += run_feed(html, bytes + i, n - i);
		if (i == n)
			break;
		rc = byte_feed(html, bytes[i], why);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int html_index_end(struct html_index *html, struct reason *why)
{
	int rc;

	if (html->state != IN_TEXT)
		return reason_set(why, EBADMSG, "no index page: it breaks off");
	rc = title_check(html, why);
	return rc < 0 ? rc : link_end(html, why);
}

void html_index_free(struct html_index *html)
{
	buf_free(&html->tag);
	buf_free(&html->href);
	buf_free(&html->title);
}
