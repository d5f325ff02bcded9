// SPDX-License-Identifier: Apache-2.0
/*
 * OPAE .gbs ("green bitstream"): a GUID, a length, JSON that describes the accelerator, and
 * an .rbf to the end of the file; an older form has a magic number and the id of the
 * interface. A signed one has a block of 1,024 bytes in front of it.
 *
 * No file of this format was at hand: what is known of it is shown, with likely for its
 * confidence, and nothing is refused but what does not have its shape. The interface id has
 * to be that of the card's static design: it is `shell`.
 *
 * The block in front of a signed one has the length of what is signed and its SHA-256. Where
 * that holds it is told; it is no reason to refuse. Whose the signature is, is not looked at.
 *
 * Source: OPAE/opae-sdk, opae-libs/libbitstream, python/pacsign.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fabricfs/buf.h>
#include <fabricfs/digest.h>

#include "formats.h"
#include "text.h"

#define JSON_MAX     65536
#define SIGNED_FRONT 1024
#define SIGNED_BLOCK 48 /* bytes of its front that are read: length, content, SHA-256 */
#define CONTENT_GBS  2

static const uint8_t GUID[16] = { 'X',	'e', 'o', 'n', 'F', 'P', 'G', 'A',
				  0xb7, 'G', 'B', 'S', 'v', '0', '0', '1' };
static const uint8_t LEGACY[4] = { 0x80, 0x86, 0x1f, 0x1d };
static const uint8_t SIGNED[4] = { 0x19, 0xfd, 0xea, 0xb6 };

enum phase { FRONT, JSON, BITS };

struct gbs {
	enum phase phase;
	uint32_t skip; /* bytes of a signature that come first */
	uint8_t block[SIGNED_BLOCK];
	uint64_t at, signed_end; /* signed_end 0 = there is no digest to compare */
	struct digest *digest;
	enum image_tri digest_holds;
	uint32_t json_len, got;
	uint8_t front[20];
	char json[JSON_MAX + 1];
};

static enum image_tri gbs_probe(const uint8_t *head, size_t n, bool last)
{
	size_t have = n < 4 ? n : 4;

	if (!n)
		return IMAGE_UNKNOWN;
	if (memcmp(head, GUID, have) && memcmp(head, LEGACY, have) && memcmp(head, SIGNED, have))
		return IMAGE_NO;
	/* One letter of text would be enough for the GUID's first bytes. */
	return have == 4 || (last && n > 1) ? IMAGE_YES : IMAGE_UNKNOWN;
}

static void uuid_add(struct buf *b, const char *text)
{
	if (strspn(text, "0123456789abcdefABCDEF-") == strlen(text) && strlen(text) <= 36)
		text_list_add(b, text);
}

static const char *string_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

static void clean_copy(char *out, size_t size, const char *text)
{
	char clean[128];

	text_copy(clean, sizeof(clean), text);
	text_from_header(clean, strlen(clean));
	text_copy(out, size, clean);
}

static void json_read(const char *text, struct image_facts *facts)
{
	struct buf afus CLEANUP_BUF = BUF_INIT, needs CLEANUP_BUF = BUF_INIT,
			names CLEANUP_BUF = BUF_INIT;
	json_t *o = json_loads(text, 0, NULL), *image = json_object_get(o, "afu-image"), *cluster,
	       *v;
	size_t i;

	json_array_foreach(json_object_get(image, "accelerator-clusters"), i, cluster)
	{
		char name[64];

		uuid_add(&afus, string_of(cluster, "accelerator-type-uuid"));
		clean_copy(name, sizeof(name), string_of(cluster, "name"));
		text_list_add(&names, name);
	}
	for (int k = 0; k < 2; k++) {
		v = json_object_get(image, k ? "clock-frequency-low" : "clock-frequency-high");
		if (json_is_number(v) && json_number_value(v) > 0 && json_number_value(v) < 10000)
			buf_addf(&needs, "%s%g MHz", needs.len ? ", " : "clocks ",
				 json_number_value(v));
	}
	v = json_object_get(image, "power");
	if (json_is_number(v) && json_number_value(v) > 0 && json_number_value(v) < 10000)
		buf_addf(&needs, "%spower %g W", needs.len ? "; " : "", json_number_value(v));
	if (!buf_ok(&afus) && !buf_ok(&needs) && !buf_ok(&names)) {
		text_list_copy(facts->afus, sizeof(facts->afus), afus.len ? afus.data : "");
		text_list_copy(facts->needs, sizeof(facts->needs), needs.len ? needs.data : "");
		text_list_copy(facts->kernels, sizeof(facts->kernels), names.len ? names.data : "");
	}
	afus.len = 0;
	uuid_add(&afus, string_of(image, "interface-uuid"));
	if (afus.len) {
		text_copy(facts->shell, sizeof(facts->shell), afus.data);
		text_copy(facts->interface, sizeof(facts->interface), afus.data);
	}
	clean_copy(facts->family, sizeof(facts->family), string_of(o, "platform-name"));
	json_decref(o);
}

static int front_read(struct gbs *s, struct image_facts *facts, struct reason *why)
{
	char id[40];

	text_copy(facts->vendor, sizeof(facts->vendor), "altera");
	facts->confidence = IMAGE_LIKELY;
	facts->unsized = true;
	facts->is_signed = s->skip ? IMAGE_YES : IMAGE_NO;
	text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
		  s->skip ? "the digest in its signature is that of more than there is" :
			    "this format carries no checksum");
	if (!memcmp(s->front, LEGACY, 4)) {
		/* The id stands with its bytes in reverse order. */
		for (int i = 0; i < 16; i++)
			snprintf(id + 2 * i, 3, "%02x", s->front[19 - i]);
		text_copy(facts->shell, sizeof(facts->shell), id);
		text_copy(facts->interface, sizeof(facts->interface), id);
		facts->partial = IMAGE_YES;
		s->phase = BITS;
		return 0;
	}
	if (memcmp(s->front, GUID, 16) && s->skip && s->block[8] != CONTENT_GBS) {
		text_copy(facts->detail, sizeof(facts->detail),
			  "a signed update of the card's static region or its board controller");
		text_copy(facts->no_card, sizeof(facts->no_card),
			  "a signed update of the card itself, and no accelerator; it is for fpgasupdate");
		s->phase = BITS;
		return 0;
	}
	if (memcmp(s->front, GUID, 16))
		return reason_set(why, EBADMSG,
				  "gbs: the id of a .gbs is not where it should be; is it an "
				  "image of another kind that was signed, or damaged?");
	s->json_len = read_le32(s->front + 16);
	if (!s->json_len || s->json_len > JSON_MAX)
		return reason_set(why, EBADMSG,
				  "gbs: a description of %u bytes, 1 to %d are taken; copy or "
				  "build the file again",
				  s->json_len, JSON_MAX);
	s->phase = JSON;
	s->got = 0;
	return 0;
}

/* What is signed: [1024, 1024 + length), once the block is there that says how long it is. */
static int signed_bytes(struct gbs *s, const uint8_t *b, size_t n, struct reason *why)
{
	uint64_t from = s->at > SIGNED_FRONT ? s->at : SIGNED_FRONT, to = s->at + n;
	char hex[SHA256_HEX], told[SHA256_HEX];

	for (size_t i = 0; i < n && s->at + i < SIGNED_BLOCK; i++)
		s->block[s->at + i] = b[i];
	if (memcmp(s->block, SIGNED, 4) || to <= SIGNED_FRONT)
		return 0;
	if (!s->digest) {
		s->digest = digest_new();
		if (!s->digest)
			return reason_set(why, ENOMEM, "out of memory for the gbs recogniser");
		s->signed_end = SIGNED_FRONT + (uint64_t)read_le32(s->block + 4);
	}
	if (from >= s->signed_end)
		return 0;
	if (to > s->signed_end)
		to = s->signed_end;
	digest_update(s->digest, b + (from - s->at), (size_t)(to - from));
	if (to < s->signed_end)
		return 0;
	digest_hex(s->digest, hex);
	for (int i = 0; i < 32; i++)
		snprintf(told + 2 * i, 3, "%02x", s->block[16 + i]);
	s->digest_holds = strcmp(hex, told) ? IMAGE_NO : IMAGE_YES;
	return 0;
}

static void digest_facts(const struct gbs *s, struct image_facts *facts)
{
	if (s->digest_holds == IMAGE_YES) {
		text_copy(facts->integrity_checked, sizeof(facts->integrity_checked), "sha256");
		facts->integrity_ok = true;
	} else if (s->digest_holds == IMAGE_NO) {
		text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
			  "the SHA-256 in its signature is not that of what is signed");
	}
}

static int gbs_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		    struct reason *why)
{
	struct gbs *s = state;
	int err = signed_bytes(s, b, n, why);

	s->at += n;
	for (; n && s->phase != BITS && !err; n--, b++) {
		if (s->phase == FRONT) {
			uint32_t place = s->skip ? s->got - s->skip : s->got;

			if (!s->skip || s->got >= s->skip)
				s->front[place] = *b;
			s->got++;
			if (!s->skip && s->got == 4 && !memcmp(s->front, SIGNED, 4))
				s->skip = SIGNED_FRONT;
			else if (s->got == s->skip + sizeof(s->front))
				err = front_read(s, facts, why);
		} else {
			s->json[s->got++] = (char)*b;
			if (s->got == s->json_len) {
				s->json[s->got] = '\0';
				json_read(s->json, facts);
				facts->partial = IMAGE_YES;
				s->phase = BITS;
			}
		}
	}
	if (err)
		return err;
	if (s->phase == BITS)
		digest_facts(s, facts);
	return s->phase == BITS ? IMAGE_COMPLETE : IMAGE_MORE;
}

static int gbs_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct gbs *s = state;

	(void)facts;
	if (s->phase == BITS)
		return 0;
	return reason_set(why, EBADMSG,
			  "gbs: truncated: %llu bytes end within the description; copy the file "
			  "again",
			  (unsigned long long)fed);
}

static void gbs_fini(void *state)
{
	struct gbs *s = state;

	digest_free(s->digest);
}

const struct image_format image_gbs = {
	.version = IMAGE_ABI,
	.name = "gbs",
	.state_bytes = sizeof(struct gbs),
	.probe = gbs_probe,
	.feed = gbs_feed,
	.end = gbs_end,
	.fini = gbs_fini,
};
