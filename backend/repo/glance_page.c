// SPDX-License-Identifier: Apache-2.0
/*
 * Pages of a listing (glance_page.h).
 *
 * A page may have a thousand images, and each many properties: it is cut into
 * images as it comes, and only one of them is in memory at a time. What is
 * left of the page without its images is small, and read when all has come.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "backend/repo/glance_page.h"

#define REST_MAX  65536
#define DEPTH_MAX 64

void glance_page_init(struct glance_page *p,
		      int (*record)(void *, const char *, size_t, struct reason *), void *core)
{
	memset(p, 0, sizeof(*p));
	p->record = record;
	p->core = core;
}

void glance_page_free(struct glance_page *p)
{
	buf_free(&p->rest);
	buf_free(&p->text);
}

static int not_a_page(struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG, "the answer is not a list of images: %s", what);
}

/* Depths: 1 in the page, 2 in the list of images, 3 and more in an image. */
static int record_end(struct glance_page *p, struct reason *why)
{
	int err = 0;

	if (p->too_long)
		p->left_out++;
	else if (buf_ok(&p->text))
		err = reason_set(why, ENOMEM, "no memory for an image of a listing");
	else
		err = p->record(p->core, p->text.data, p->text.len, why);
	/* One large image is no reason to keep its memory for all others. */
	if (p->text.cap > 65536)
		buf_free(&p->text);
	buf_clear(&p->text);
	p->too_long = false;
	return err;
}

static void keep(struct glance_page *p, char c)
{
	struct buf *to = p->images && p->depth >= 2 ? &p->text : &p->rest;

	/* Between the images of the list there are commas and blanks only. */
	if (p->images && p->depth == 2)
		return;
	if (to == &p->text && to->len >= GLANCE_RECORD_MAX) {
		p->too_long = true;
		return;
	}
	buf_add(to, &c, 1);
}

static void in_string(struct glance_page *p, char c)
{
	if (p->escape) {
		p->escape = false;
	} else if (c == '\\') {
		p->escape = true;
	} else if (c == '"') {
		p->string = false;
		return;
	}
	if (p->depth == 1) {
		if (p->key_len < sizeof(p->key))
			p->key[p->key_len] = c;
		p->key_len++;
	}
}

static bool key_is_images(const struct glance_page *p)
{
	return p->key_len == 6 && !memcmp(p->key, "images", 6);
}

static int byte(struct glance_page *p, char c, struct reason *why)
{
	if (p->string) {
		keep(p, c);
		in_string(p, c);
		return 0;
	}
	if (p->images && p->depth == 2 && !strchr("{}[], \t\r\n", c))
		return not_a_page(why, "an image is no JSON object");
	switch (c) {
	case '"':
		p->string = true;
		if (p->depth == 1)
			p->key_len = 0;
		break;
	case '{':
	case '[':
		if (!p->depth && c != '{')
			return not_a_page(why, "it is no JSON object");
		if (p->images && p->depth == 2 && c != '{')
			return not_a_page(why, "an image is no JSON object");
		if (++p->depth > DEPTH_MAX)
			return not_a_page(why, "it is nested too deeply");
		if (p->depth == 2 && c == '[' && key_is_images(p)) {
			/* Its bracket belongs to the page. */
			buf_add(&p->rest, &c, 1);
			p->images = true;
			return 0;
		}
		break;
	case '}':
	case ']':
		if (!p->depth)
			return not_a_page(why, "it is no JSON");
		if (p->images && p->depth == 2) {
			p->images = false;
			p->key_len = 0;
		}
		keep(p, c);
		p->depth--;
		return p->images && p->depth == 2 ? record_end(p, why) : 0;
	default:
		if (!p->depth && !isspace((unsigned char)c))
			return not_a_page(why, "it is no JSON object");
		break;
	}
	keep(p, c);
	return 0;
}

int glance_page_feed(struct glance_page *p, const char *bytes, size_t n, struct reason *why)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = byte(p, bytes[i], why);
	if (!err && p->rest.len > REST_MAX)
		err = not_a_page(why, "there is too much beside the images");
	return err;
}

int glance_page_end(struct glance_page *p, char **next, struct reason *why)
{
	json_t *root;
	const char *path;
	int err = 0;

	*next = NULL;
	if (buf_ok(&p->rest))
		return reason_set(why, ENOMEM, "no memory for a listing");
	root = json_loadb(p->rest.len ? p->rest.data : "", p->rest.len, 0, NULL);
	path = json_string_value(json_object_get(root, "next"));
	if (!json_is_array(json_object_get(root, "images")))
		err = not_a_page(why, p->depth ? "it breaks off" : "it has no images");
	else if (path && !(*next = strdup(path)))
		err = reason_set(why, ENOMEM, "no memory for a listing");
	json_decref(root);
	return err;
}
