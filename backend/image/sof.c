// SPDX-License-Identifier: Apache-2.0
/*
 * Quartus .sof, what a JTAG cable loads: "SOF" and the number of records, then records of a
 * type, a length and data. The last one is a CRC over every byte before its two own.
 *
 * Source: files of Quartus 17.1, 18.1 and 20.1 (the CRC holds in each).
 */
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "parts.h"
#include "text.h"

#define FRONT	    12 /* magic, zero, number of records */
#define RECORD	    6  /* type and length */
#define TEXT_MAX    128
#define RECORDS_MAX 4096

enum record { TOOL = 1, DEVICE = 2, DESIGN = 3, CRC = 8, CONFIGURATION = 17 };
enum phase { HEAD, HEADER, DATA, BEHIND };

struct sof {
	enum phase phase;
	uint64_t at, end_at;
	uint32_t records, left;
	uint16_t type, crc, covered; /* covered: CRC of all before the record of the CRC's data */
	uint8_t got, head[FRONT];
	uint32_t text_len;
	char text[TEXT_MAX];
	bool configuration;
};

static uint16_t crc_table[256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

/* CRC-16/X-25: reflected 8408, begins with ffff, its complement is stored. */
static void crc_prepare(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint16_t crc = (uint16_t)i;

		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc & 1 ? crc >> 1 ^ 0x8408 : crc >> 1);
		crc_table[i] = crc;
	}
}

static void cover(struct sof *s, const uint8_t *b, size_t n)
{
	uint16_t crc = s->crc;

	for (; n; n--, b++)
		crc = (uint16_t)(crc >> 8) ^ crc_table[(crc ^ *b) & 255];
	s->crc = crc;
}

static enum image_tri sof_probe(const uint8_t *head, size_t n, bool last)
{
	size_t have = n < 4 ? n : 4;

	if (!n)
		return IMAGE_UNKNOWN;
	if (memcmp(head, "SOF", have))
		return IMAGE_NO;
	return have == 4 || (last && n > 1) ? IMAGE_YES : IMAGE_UNKNOWN;
}

static int damaged(const struct sof *s, struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG,
			  "sof: damaged at byte %llu: %s; copy or build the file again",
			  (unsigned long long)s->at, what);
}

static void device(const char *text, struct image_facts *facts)
{
	size_t n;
	const struct image_part *p = part_by_text("altera", "", text, &n);

	if (!p)
		n = strlen(text);
	snprintf(facts->part, sizeof(facts->part), "%.*s", (int)(n < 40 ? n : 40), text);
	for (char *c = facts->part; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (p) {
		text_copy(facts->family, sizeof(facts->family), p->family);
		text_copy(facts->package, sizeof(facts->package), text + n);
	}
}

static int record_complete(struct sof *s, struct image_facts *facts, struct reason *why)
{
	uint16_t told, wanted = (uint16_t)~s->covered;
	char what[80];

	text_from_header(s->text, s->type == CRC ? 0 : s->text_len);
	switch (s->type) {
	case TOOL:
		text_copy(facts->tool, sizeof(facts->tool), s->text);
		break;
	case DEVICE:
		device(s->text, facts);
		break;
	case DESIGN:
		text_copy(facts->design, sizeof(facts->design), text_base(s->text));
		break;
	case CONFIGURATION:
		s->configuration = true;
		break;
	case CRC:
		told = read_le16(s->head);
		if (told != wanted) {
			snprintf(what, sizeof(what),
				 "the CRC there is %04x, that of the file before it %04x", told,
				 wanted);
			return damaged(s, why, what);
		}
		if (s->records)
			return damaged(s, why, "the CRC is not the last record");
		if (!s->configuration)
			return damaged(s, why, "no record holds a configuration");
		s->phase = BEHIND;
		s->end_at = s->at;
		facts->declared_size = s->at;
		facts->confidence = IMAGE_EXACT;
		text_copy(facts->integrity_checked, sizeof(facts->integrity_checked), "crc16");
		facts->integrity_ok = true;
		return 0;
	}
	if (!s->records)
		return damaged(s, why, "the last record is not the CRC");
	s->phase = HEADER;
	s->got = 0;
	return 0;
}

static int record_begins(struct sof *s, struct reason *why)
{
	s->type = read_le16(s->head);
	s->left = read_le32(s->head + 2);
	s->text_len = 0;
	s->records--;
	s->phase = DATA;
	s->got = 0;
	s->covered = s->crc;
	if (s->type == CRC && s->left != 2)
		return damaged(s, why, "a CRC that is not of two bytes");
	return 0;
}

static int head_complete(struct sof *s, struct image_facts *facts, struct reason *why)
{
	if (memcmp(s->head, "SOF", 4) || read_le32(s->head + 4))
		return damaged(s, why, "the front is not that of a .sof");
	s->records = read_le32(s->head + 8);
	if (!s->records || s->records > RECORDS_MAX)
		return damaged(s, why, "no records, or more than 4096");
	text_copy(facts->vendor, sizeof(facts->vendor), "altera");
	facts->confidence = IMAGE_LIKELY;
	s->phase = HEADER;
	s->got = 0;
	return 0;
}

static int sof_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		    struct reason *why)
{
	struct sof *s = state;
	int err = 0;

	pthread_once(&crc_once, crc_prepare);
	if (!s->at)
		s->crc = 0xffff;
	while (n && !err && s->phase != BEHIND) {
		size_t take = 1;

		switch (s->phase) {
		case HEAD:
		case HEADER:
			cover(s, b, 1);
			s->head[s->got++] = *b;
			s->at++;
			if (s->phase == HEAD && s->got == FRONT)
				err = head_complete(s, facts, why);
			else if (s->phase == HEADER && s->got == RECORD)
				err = record_begins(s, why);
			break;
		case DATA:
			take = n < s->left ? n : s->left;
			cover(s, b, take);
			for (size_t i = 0; i < take && s->text_len + 1 < TEXT_MAX; i++) {
				if (s->text_len < 2)
					s->head[s->text_len] = b[i];
				s->text[s->text_len++] = (char)b[i];
			}
			s->left -= (uint32_t)take;
			s->at += take;
			break;
		case BEHIND:
			break;
		}
		b += take;
		n -= take;
		/* Also right behind the header of a record without data. */
		if (!err && s->phase == DATA && !s->left)
			err = record_complete(s, facts, why);
	}
	if (!err && n)
		err = padding_check("sof", &s->at, s->end_at, b, n, why);
	if (err)
		return err;
	return s->phase == BEHIND ? IMAGE_COMPLETE : IMAGE_MORE;
}

static int sof_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct sof *s = state;

	(void)facts;
	if (s->phase == BEHIND)
		return 0;
	return reason_set(why, EBADMSG,
			  "sof: truncated: %llu of at least %llu bytes; copy the file again",
			  (unsigned long long)fed, (unsigned long long)(s->at + s->left + 8));
}

const struct image_format image_sof = {
	.version = IMAGE_ABI,
	.name = "sof",
	.state_bytes = sizeof(struct sof),
	.probe = sof_probe,
	.feed = sof_feed,
	.end = sof_end,
};
