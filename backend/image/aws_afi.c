// SPDX-License-Identifier: Apache-2.0
/*
 * The name of an image that AWS keeps: what create-fpga-image answers, JSON with the ids
 * of one region (afi-) and of all (agfi-), or one such id as text. There are no bits in it;
 * what the card's shell loads by that name is AWS's to check.
 *
 * Source: files of AWS's FPGA workshop; the documentation of create-fpga-image.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "text.h"

#define TEXT_MAX  4096
#define ID_DIGITS 17

struct afi {
	uint32_t len;
	bool complete;
	char text[TEXT_MAX + 1];
};

/* How much of the text is an id, or the front of one. */
static size_t id_length(const char *text)
{
	const char *prefix = text[0] && text[1] == 'g' ? "agfi-" : "afi-";
	size_t n = 0;

	while (prefix[n] && text[n] == prefix[n])
		n++;
	if (prefix[n])
		return n;
	while (n < strlen(prefix) + ID_DIGITS && text[n] && strchr("0123456789abcdef", text[n]))
		n++;
	return n;
}

static bool id_whole(const char *text, size_t n)
{
	return n == ID_DIGITS + (text[1] == 'g' ? 5u : 4u);
}

static enum image_tri afi_probe(const uint8_t *head, size_t n, bool last)
{
	(void)last;
	if (!n)
		return IMAGE_UNKNOWN;
	if (head[0] == '{')
		return memmem(head, n, "\"FpgaImageId\"", 13) ||
				       memmem(head, n, "\"FpgaImageGlobalId\"", 19)
			       ? IMAGE_YES
			       : IMAGE_UNKNOWN;
	if (!memcmp(head, "agfi-", n < 5 ? n : 5))
		return n >= 5 ? IMAGE_YES : IMAGE_UNKNOWN;
	if (!memcmp(head, "afi-", n < 4 ? n : 4))
		return n >= 4 ? IMAGE_YES : IMAGE_UNKNOWN;
	return IMAGE_NO;
}

static void told(struct image_facts *facts, const char *id, const char *region_id)
{
	text_copy(facts->vendor, sizeof(facts->vendor), "aws");
	facts->confidence = IMAGE_EXACT;
	text_copy(facts->design, sizeof(facts->design), id);
	snprintf(facts->detail, sizeof(facts->detail),
		 "it has no bits: it names an image that AWS keeps%s%.40s",
		 region_id[0] ? ", in its region " : "", region_id);
	text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
		  "what AWS loads by this name is not seen here");
}

/* An id in JSON: 1 there and right, 0 not there, -EBADMSG wrong. */
static int json_id(const json_t *o, const char *key, const char **id, struct reason *why)
{
	const char *text = json_string_value(json_object_get(o, key));

	*id = "";
	if (!json_object_get(o, key))
		return 0;
	if (!text || id_length(text) != strlen(text) || !id_whole(text, strlen(text)))
		return reason_set(why, EBADMSG,
				  "aws-afi: %s is not afi- or agfi- and 17 hex digits", key);
	*id = text;
	return 1;
}

static int json_read(struct afi *s, struct image_facts *facts, struct reason *why)
{
	json_t *o = json_loadb(s->text, s->len, 0, NULL);
	const char *region = "", *global = "";
	int rc;

	/* Not the last brace. */
	if (!o)
		return 0;
	rc = json_id(o, "FpgaImageId", &region, why);
	if (rc >= 0 && json_id(o, "FpgaImageGlobalId", &global, why) < 0)
		rc = -EBADMSG;
	if (rc >= 0 && !region[0] && !global[0])
		rc = reason_set(why, EBADMSG,
				"aws-afi: neither FpgaImageId nor FpgaImageGlobalId is in it");
	if (rc >= 0) {
		s->complete = true;
		told(facts, global[0] ? global : region, global[0] ? region : "");
		facts->declared_size = s->len;
	}
	json_decref(o);
	return rc < 0 ? rc : 0;
}

static int text_read(struct afi *s, uint8_t c, struct image_facts *facts, struct reason *why)
{
	if (id_length(s->text) != s->len)
		return reason_set(
			why, EBADMSG,
			"aws-afi: byte %02x at %u, where afi- or agfi- and 17 hex digits are wanted",
			c, s->len - 1);
	if (id_whole(s->text, s->len)) {
		s->complete = true;
		told(facts, s->text, "");
		facts->declared_size = s->len;
	}
	return 0;
}

static int afi_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		    struct reason *why)
{
	struct afi *s = state;
	int err = 0;

	for (; n && !err; n--, b++) {
		if (s->complete) {
			if (*b != '\n' && *b != '\r' && *b != ' ' && *b != '\t')
				return reason_set(
					why, EFBIG,
					"aws-afi: byte %02x after the id, where nothing follows",
					*b);
			continue;
		}
		if (s->len == TEXT_MAX)
			return reason_set(why, EFBIG, "aws-afi: more than %d bytes of JSON",
					  TEXT_MAX);
		s->text[s->len++] = (char)*b;
		s->text[s->len] = '\0';
		if (s->text[0] != '{')
			err = text_read(s, *b, facts, why);
		else if (*b == '}')
			err = json_read(s, facts, why);
	}
	if (err)
		return err;
	return s->complete ? IMAGE_COMPLETE : IMAGE_MORE;
}

static int afi_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct afi *s = state;

	(void)facts;
	if (s->complete)
		return 0;
	return reason_set(
		why, EBADMSG,
		"aws-afi: truncated: %llu bytes end before the id does; copy the file again",
		(unsigned long long)fed);
}

const struct image_format image_aws_afi = {
	.version = IMAGE_ABI,
	.name = "aws-afi",
	.state_bytes = sizeof(struct afi),
	.probe = afi_probe,
	.feed = afi_feed,
	.end = afi_end,
};
