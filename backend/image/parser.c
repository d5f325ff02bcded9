// SPDX-License-Identifier: Apache-2.0
/*
 * The parser: collects the head until one format claims it, then drives that
 * format's recogniser.
 *
 * Until then every probe that is not sure yet is asked again after each feed. A
 * probe looks at a growing head and changes its mind only from UNKNOWN, so which
 * format is found does not depend on how the bytes were cut.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <fabricfs/buf.h>

#include "formats.h"

#define FORMATS_MAX 64

/* What the probes have said of a head so far. */
struct answers {
	size_t seen; /* bytes of it that they have had */
	uint64_t no, yes; /* formats by their place in the table, one bit each */
};

struct image_parser {
	const struct image_format *format; /* NULL: not found yet */
	void *state;
	struct image_facts facts;
	struct reason failed; /* err 0: none; the verdict that sticks */
	uint64_t fed;
	bool complete;
	struct answers answers;
	size_t head_len; /* bytes of head in use while format is NULL */
	uint8_t head[IMAGE_HEAD_MAX];
};

struct image_parser *image_parser_new(void)
{
	return calloc(1, sizeof(struct image_parser));
}

void image_parser_reset(struct image_parser *p)
{
	if (p->format && p->format->fini)
		p->format->fini(p->state);
	free(p->state);
	memset(p, 0, sizeof(*p));
}

void image_parser_free(struct image_parser *p)
{
	if (!p)
		return;
	image_parser_reset(p);
	free(p);
}

static int fail(struct image_parser *p, struct reason *why)
{
	p->complete = false;
	if (why)
		*why = p->failed;
	return -p->failed.err;
}

static int fail_unknown(const uint8_t *head, size_t n, struct reason *why)
{
	struct buf hex CLEANUP_BUF = BUF_INIT;
	size_t shown = 0;

	for (; shown < n && shown < 4; shown++)
		buf_addf(&hex, " %02x", head[shown]);
	if (buf_ok(&hex))
		return reason_set(why, ENOMEM, "out of memory");
	return reason_set(why, ENOEXEC, "not an image of a known format: it begins with%s, %s",
			  hex.data ? hex.data : " nothing", image_mistaken_for(head, shown));
}

/*
 * The format of a head: found, or NULL with *open telling whether more bytes
 * could still show one.
 */
static const struct image_format *find(struct answers *a, const uint8_t *head, size_t n, bool last,
				       bool *open)
{
	size_t seen = a->seen;

	*open = false;
	a->seen = n;
	for (size_t i = 0; image_formats[i]; i++) {
		const struct image_format *f = image_formats[i];
		uint64_t bit = UINT64_C(1) << i;
		enum image_tri is;

		assert(i < FORMATS_MAX);
		if (f->version != IMAGE_ABI || a->no & bit)
			continue;
		is = (a->yes & bit)	    ? IMAGE_YES
		     : seen && f->probe_on ? f->probe_on(head, seen, n, last)
					    : f->probe(head, n, last);
		if (is == IMAGE_NO)
			a->no |= bit;
		if (is == IMAGE_YES && !*open)
			return f;
		if (is == IMAGE_YES)
			a->yes |= bit;
		/* An earlier format that is not sure yet goes first. */
		if (is == IMAGE_UNKNOWN && n < IMAGE_HEAD_MAX && !last)
			*open = true;
	}
	return NULL;
}

static int drive(struct image_parser *p, const uint8_t *bytes, size_t n)
{
	int rc = p->format->feed(p->state, bytes, n, &p->facts, &p->failed);

	if (rc < 0) {
		p->complete = false;
		if (!p->failed.err)
			reason_set(&p->failed, -rc, "%s: refused", p->format->name);
		return rc;
	}
	p->failed = (struct reason){ 0 };
	p->complete = rc == IMAGE_COMPLETE;
	return rc;
}

int image_parser_feed(struct image_parser *p, const void *bytes, size_t n, struct reason *why)
{
	const uint8_t *b = bytes;
	bool open = true;
	int rc;

	p->fed += n;
	if (p->failed.err)
		return fail(p, why);
	if (p->format) {
		rc = n ? drive(p, b, n) : p->complete ? IMAGE_COMPLETE : IMAGE_MORE;
		return rc < 0 ? fail(p, why) : rc;
	}

	size_t take = sizeof(p->head) - p->head_len;

	if (take > n)
		take = n;
	if (take)
		memcpy(p->head + p->head_len, b, take);
	p->head_len += take;

	const struct image_format *f =
		p->head_len && take ? find(&p->answers, p->head, p->head_len, false, &open) : NULL;

	if (!f && p->head_len && !open && image_archive.probe(p->head, p->head_len, false) == IMAGE_YES)
		f = &image_archive;
	if (!f) {
		/* Wait for more: no probe is sure, or the sentence is not. */
		if (!p->head_len || open || !image_mistaken_needs(p->head, p->head_len))
			return IMAGE_MORE;
		fail_unknown(p->head, image_mistaken_needs(p->head, p->head_len), &p->failed);
		return fail(p, why);
	}
	p->state = calloc(1, f->state_bytes ? f->state_bytes : 1);
	if (!p->state) {
		/* Not sticky in the format's sense, but half a parse is none. */
		reason_set(&p->failed, ENOMEM, "out of memory for the %s recogniser", f->name);
		return fail(p, why);
	}
	p->format = f;
	text_copy(p->facts.format, sizeof(p->facts.format), f->name);
	rc = drive(p, p->head, p->head_len);
	if (rc >= 0 && n > take)
		rc = drive(p, b + take, n - take);
	return rc < 0 ? fail(p, why) : rc;
}

/* The end came before any format was sure: let the likeliest one say what is missing. */
static int end_unknown(const struct image_parser *p, struct reason *why)
{
	struct image_facts facts = { 0 };
	struct answers answers = { 0 }; /* a probe may give up what it still hoped for */
	const struct image_format *f;
	bool open;
	void *state;
	int rc;

	if (!p->head_len)
		return reason_set(why, EBADMSG, "truncated: 0 bytes, an image has more");
	f = find(&answers, p->head, p->head_len, true, &open);
	if (!f)
		return fail_unknown(p->head, p->head_len, why);
	state = calloc(1, f->state_bytes ? f->state_bytes : 1);
	if (!state)
		return reason_set(why, ENOMEM, "out of memory for the %s recogniser", f->name);
	rc = f->feed(state, p->head, p->head_len, &facts, why);
	if (rc >= 0)
		rc = f->end(state, p->fed, &facts, why);
	if (f->fini)
		f->fini(state);
	free(state);
	return rc;
}

int image_parser_end(struct image_parser *p, struct reason *why)
{
	if (p->failed.err)
		return fail(p, why);
	if (!p->format)
		return end_unknown(p, why);
	return p->format->end(p->state, p->fed, &p->facts, why);
}

uint64_t image_parser_bytes(const struct image_parser *p)
{
	return p->fed;
}

bool image_parser_complete(const struct image_parser *p)
{
	return p->complete;
}

const struct image_facts *image_parser_facts(const struct image_parser *p)
{
	return &p->facts;
}
