// SPDX-License-Identifier: Apache-2.0
/*
 * JSON read as it comes, a piece at a time, without a copy of the whole (private
 * to backend/repo): a list of 100,000 images is more than should be in memory.
 *
 * Unlike RFC 8259, strings may hold any bytes but control characters: nginx
 * writes names of files as they are, in whatever character set.
 */
#ifndef BACKEND_REPO_JSON_PUSH_H
#define BACKEND_REPO_JSON_PUSH_H

#include <stdbool.h>
#include <stddef.h>

#include <fabricfs/buf.h>
#include <fabricfs/error.h>

#define JSON_DEPTH_MAX 32
#define JSON_TEXT_MAX  (128 * 1024) /* bytes of one string */
#define JSON_TREE_MAX  100000	     /* values of a text that is read as a whole */

enum json_event {
	JSON_EVENT_OBJECT,
	JSON_EVENT_OBJECT_END,
	JSON_EVENT_ARRAY,
	JSON_EVENT_ARRAY_END,
	JSON_EVENT_KEY,
	JSON_EVENT_STRING,
	JSON_EVENT_NUMBER, /* as written */
	JSON_EVENT_WORD,   /* true, false or null */
};

/* Zero-initialised but for event and core. */
struct json_push {
	/* depth: how many objects and arrays are around it. text: of a key, string, number or word;
	 * NUL-terminated behind len. -errno ends it. */
	int (*event)(void *core, enum json_event event, unsigned depth, const char *text, size_t len,
		     struct reason *why);
	void *core;
	/* Its own. */
	int state;
	unsigned depth;
	bool in_object[JSON_DEPTH_MAX];
	bool is_key;
	unsigned unicode, digits, high; /* of \uXXXX; the first half of a pair */
	struct buf text;
};

/* 0, -EBADMSG, -ENOMEM or what event() returned. */
int json_push_feed(struct json_push *json, const char *bytes, size_t n, struct reason *why);
/* Was that all? -EBADMSG when it broke off. */
int json_push_end(struct json_push *json, struct reason *why);
void json_push_free(struct json_push *json);

/* Before a tree is made of a text that somebody else wrote: has it few enough values? A {} of three bytes
 * takes 200 and more as a tree. */
bool json_tree_fits(const char *text, size_t len);

#endif
