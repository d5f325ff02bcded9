// SPDX-License-Identifier: Apache-2.0
/*
 * What web servers say of their folders, read as it comes (private to
 * backend/repo): index pages in HTML (nginx, Apache in its three forms,
 * lighttpd, Python) and JSON (nginx, Caddy), and fabricfs' own manifest. Pure:
 * bytes in, entries out.
 */
#ifndef BACKEND_REPO_HTTP_INDEX_H
#define BACKEND_REPO_HTTP_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fabricfs/buf.h>
#include <fabricfs/checksums.h>
#include <fabricfs/error.h>
#include <fabricfs/repo.h>

#include "backend/repo/json_push.h"

#define INDEX_NAME_MAX 1024 /* bytes of one name */

/* One line of an index. Valid during the call. */
struct index_entry {
	const char *name; /* bytes, without any '/' (but a manifest's: it may be anything) */
	size_t name_len;
	bool folder;
	bool has_size, size_rounded;
	uint64_t size;
	int64_t mtime_s; /* 0 = not said */
	bool mtime_exact; /* to the second, and in UTC */
	const char *when; /* the time as it was shown, "" = none: changes when it does */
	/* Of a manifest only, else NULL. */
	const char *url; /* as written: where the bytes are, relative to the manifest */
	const char *digest_algo, *digest;
	const char *const *properties;
};

struct index_sink {
	int (*entry)(void *core, const struct index_entry *entry, struct reason *why);
	void *core;
};

/* --- HTML -------------------------------------------------------------------------- */

/* Zero-initialised but for sink and page. */
struct html_index {
	struct index_sink sink;
	const char *page; /* path of its address: "/fpga/", percent-encoded */
	/* Its own. */
	int state;
	struct buf tag;	  /* the tag that is being read, without < > */
	struct buf href;  /* of the link that is being collected, "" = none */
	struct buf title;
	char behind[256]; /* text behind that link */
	size_t behind_len;
	bool in_link, in_title, is_index;
	bool raw; /* within a script or a style sheet: only its end is a tag */
	char quote;
};

int html_index_feed(struct html_index *html, const char *bytes, size_t n, struct reason *why);
/* -EBADMSG when it was no index: a login page, say. */
int html_index_end(struct html_index *html, struct reason *why);
void html_index_free(struct html_index *html);

/* --- JSON -------------------------------------------------------------------------- */

struct json_index {
	struct json_push json; /* zero */
	struct index_sink sink;
	bool manifest; /* what is wanted: {"images": [...]} or [...] */
	/* Its own. */
	bool nested;  /* the list is within an object */
	bool in_list, listed;
	bool named;	   /* an entry has a name */
	uint64_t nameless; /* entries that were left out, as they have none */
	char key[256];
	bool in_properties;
	struct buf name, url;
	struct index_entry entry;
	char when[64];
	char digest_algo[8], digest[129];
	struct buf pairs; /* names and values, each ended by a NUL */
	unsigned pairs_len;
};

void json_index_init(struct json_index *index, const struct index_sink *sink, bool manifest);
int json_index_feed(struct json_index *index, const char *bytes, size_t n, struct reason *why);
int json_index_end(struct json_index *index, struct reason *why);
void json_index_free(struct json_index *index);

/* --- names, sizes, times ---------------------------------------------------------------- */

/* Percent-encoded for a path: everything but letters, digits and "-._~". '/' stays if slashes. */
void path_encode(struct buf *out, const char *bytes, size_t n, bool slashes);
/* false: a % without two hex digits, or a NUL. */
bool path_decode(struct buf *out, const char *text, size_t n);
/* The child of `page` that a link leads to, as bytes; false: it leads somewhere else (or nowhere). */
bool link_child(const char *page, const char *href, struct buf *name, bool *folder);
/* "21-Nov-2026 12:00   70000", "2026-11-21 12:00  69K": what is behind a link. */
void listing_parse(const char *text, struct index_entry *entry, char when[64]);
/* "Sat, 21 Nov 2026 12:00:00 GMT" or RFC 3339; 0 = neither. */
int64_t time_parse(const char *text);

#endif
