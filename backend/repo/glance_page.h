// SPDX-License-Identifier: Apache-2.0
/*
 * What Glance says of images (private to backend/repo): pages of a listing,
 * read as they come, and single records. Asks nobody.
 */
#ifndef BACKEND_REPO_GLANCE_PAGE_H
#define BACKEND_REPO_GLANCE_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <fabricfs/buf.h>
#include <fabricfs/repo.h>

/* Bytes of one image's record; one that has more is left out. Anybody may publish such an image, and
 * it must not take the listing from others. */
#define GLANCE_RECORD_MAX (2 << 20)

/* --- a page --------------------------------------------------------------------------- */

struct glance_page {
	/* The text of one element of "images". A failure ends the page. */
	int (*record)(void *core, const char *text, size_t len, struct reason *why);
	void *core;
	/* Inside. */
	struct buf rest;   /* the page without its images */
	struct buf text;   /* of the image being read */
	unsigned depth;	   /* of objects and lists */
	bool string, escape;
	char key[8];	   /* the last string on the top level */
	size_t key_len;	   /* of it, may be more than fits */
	bool images;	   /* inside the list */
	bool too_long;	   /* the image is */
	size_t left_out;   /* images that are too long */
};

void glance_page_init(struct glance_page *p, int (*record)(void *, const char *, size_t,
							    struct reason *), void *core);
int glance_page_feed(struct glance_page *p, const char *bytes, size_t n, struct reason *why);
/* The body ended. *next is the path of the next page, NULL = this was the last; the caller frees it. */
int glance_page_end(struct glance_page *p, char **next, struct reason *why);
void glance_page_free(struct glance_page *p);

/* --- a record --------------------------------------------------------------------------- */

struct glance_record {
	struct repo_entry entry; /* points into the rest */
	int64_t updated_ns;	 /* 0 = not told */
	json_t *root;
	struct buf tags;
	char digest[129], validator[256];
	const char *properties[2 * REPO_PROPERTIES_MAX + 1];
};

/* `project` is one's own, NULL = not known. -EBADMSG: this is no image (the sentence says why);
 * -ENOENT: one that is deleted. To be freed in any case. */
int glance_record_read(struct glance_record *r, const char *text, size_t len, const char *project,
		       struct reason *why);
void glance_record_free(struct glance_record *r);
/* An id that can stand in an address. */
bool glance_id_good(const char *id);
/* The MD5 that a validator has ("" = none), which Glance also tells with the data. */
void glance_validator_md5(const char *validator, char md5[33]);

#endif
