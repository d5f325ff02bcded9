// SPDX-License-Identifier: Apache-2.0
/*
 * What the tests of image formats share: asking the parser about bytes, cutting and
 * damaging them, and samples of the vendors' tools where they lie beside the project.
 *
 * FABRICFS_KEEP_IMAGES=DIR keeps each composed image as DIR/NAME, to be looked at with
 * other tools and as seeds for fuzzing.
 */
#ifndef TEST_IMAGE_FIXTURE_H
#define TEST_IMAGE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fabricfs/buf.h>
#include <fabricfs/image.h>

#include "tests/unit/samples.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

struct verdict {
	int feed, end; /* of the last feed, and of the end */
	bool complete;
	struct image_facts facts;
	struct reason why;
};

static struct verdict judge(const void *bytes, size_t n, size_t chunk)
{
	struct image_parser *p = image_parser_new();
	struct verdict v = { 0 };
	uint8_t *own = malloc(n ? n : 1); /* of just this size, so that a step outside is seen */

	assert_non_null(p);
	assert_non_null(own);
	memcpy(own, bytes, n);
	for (size_t i = 0; i < n; i += chunk)
		v.feed = image_parser_feed(p, own + i, n - i < chunk ? n - i : chunk, &v.why);
	assert_int_equal(image_parser_bytes(p), n);
	v.complete = image_parser_complete(p);
	v.end = image_parser_end(p, &v.why);
	v.facts = *image_parser_facts(p);
	image_parser_free(p);
	free(own);
	return v;
}

static struct verdict judge_buf(const struct buf *b)
{
	return judge(b->data, b->len, b->len ? b->len : 1);
}

static void assert_refused(struct verdict v, int err, const char *word)
{
	if (v.end != -err)
		fail_msg("%s wanted, not %s: %s", errno_name(err), errno_name(v.end), v.why.text);
	assert_int_equal(v.why.err, err);
	assert_false(v.complete);
	if (!strstr(v.why.text, word))
		fail_msg("'%s' does not say '%s'", v.why.text, word);
}

static struct verdict assert_sound(const struct buf *b)
{
	struct verdict v = judge_buf(b);

	if (v.end)
		fail_msg("refused: %s", v.why.text);
	assert_int_equal(v.feed, IMAGE_COMPLETE);
	assert_true(v.complete);
	return v;
}

/* Sound as it is, no card takes it, and `word` is in the sentence that says why. */
static struct verdict assert_for_no_card(const struct buf *b, const char *word)
{
	struct verdict v = assert_sound(b);
	struct reason why = { 0 };

	if (!strstr(v.facts.no_card, word))
		fail_msg("'%s' does not say '%s'", v.facts.no_card, word);
	assert_int_not_equal(v.facts.detail[0], 0);
	assert_int_equal(image_suits(&v.facts, "", false, 0, "", &why), -EMEDIUMTYPE);
	assert_non_null(strstr(why.text, v.facts.no_card));
	return v;
}

/* One byte at a time, in odd pieces, in those of a copy, and at once: the same answer. */
static void any_chunking_agrees(const struct buf *b)
{
	static const size_t chunks[] = { 1, 3, 7, 64, 511, 4096, 4097, 128 * 1024 };
	struct verdict whole = judge_buf(b);

	for (size_t k = 0; k < sizeof(chunks) / sizeof(chunks[0]); k++) {
		struct verdict v = judge(b->data, b->len, chunks[k]);

		if (v.end != whole.end || strcmp(v.why.text, whole.why.text))
			fail_msg("in pieces of %zu: %s; at once: %s", chunks[k], v.why.text,
				 whole.why.text);
		assert_int_equal(v.feed, whole.feed);
		assert_memory_equal(&v.facts, &whole.facts, sizeof(v.facts));
	}
}

/* Cut to each length from `from` on and below `to`: never complete, never accepted. */
static void cuts_are_refused(const struct buf *b, size_t from, size_t to, size_t step)
{
	for (size_t n = from; n < to; n += step) {
		struct verdict v = judge(b->data, n, n);

		if (!v.end || v.complete)
			fail_msg("cut to %zu of %zu bytes: accepted", n, b->len);
		if (v.end != -EBADMSG)
			fail_msg("cut to %zu of %zu bytes: %s: %s", n, b->len, errno_name(v.end),
				 v.why.text);
	}
}

/* One bit at a time, in every step-th byte of [from, to): refused, whatever the errno. */
static void flips_are_refused(struct buf *b, size_t from, size_t to, size_t step)
{
	for (size_t at = from; at < to; at += step)
		for (int bit = 0; bit < 8; bit++) {
			struct verdict v;

			b->data[at] ^= (char)(1 << bit);
			v = judge_buf(b);
			b->data[at] ^= (char)(1 << bit);
			if (!v.end || v.complete)
				fail_msg("bit %d of byte %zu flipped: accepted", bit, at);
		}
}

/* One bit at a time where nothing covers them: whatever the answer, it does not crash, and
 * it does not depend on the chunking. */
static void flips_are_survived(struct buf *b, size_t from, size_t to, size_t step)
{
	for (size_t at = from; at < to; at += step)
		for (int bit = 0; bit < 8; bit++) {
			struct verdict whole, pieces;

			b->data[at] ^= (char)(1 << bit);
			whole = judge_buf(b);
			pieces = judge(b->data, b->len, 5);
			b->data[at] ^= (char)(1 << bit);
			assert_int_equal(whole.end, pieces.end);
			assert_string_equal(whole.why.text, pieces.why.text);
			assert_memory_equal(&whole.facts, &pieces.facts, sizeof(whole.facts));
		}
}

static void keep_image(const char *name, const struct buf *b)
{
	const char *folder = getenv("FABRICFS_KEEP_IMAGES");
	char path[512];
	FILE *f;

	assert_int_equal(buf_ok(b), 0);
	if (!folder)
		return;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(b->data, 1, b->len, f), b->len);
	fclose(f);
}

/* --- writing ---------------------------------------------------------------------- */

static void put8(struct buf *b, unsigned v)
{
	uint8_t c = (uint8_t)v;

	buf_add(b, &c, 1);
}

static void put16(struct buf *b, unsigned v)
{
	put8(b, v >> 8);
	put8(b, v & 255);
}

static void put32(struct buf *b, uint32_t v)
{
	put16(b, v >> 16);
	put16(b, v & 0xffff);
}

static void put_le32(struct buf *b, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		put8(b, v >> 8 * i & 255);
}

static void put_le64(struct buf *b, uint64_t v)
{
	put_le32(b, (uint32_t)v);
	put_le32(b, (uint32_t)(v >> 32));
}

static void put_fill(struct buf *b, unsigned v, size_t n)
{
	while (n--)
		put8(b, v);
}

#pragma GCC diagnostic pop

#endif
