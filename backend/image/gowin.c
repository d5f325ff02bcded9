// SPDX-License-Identifier: Apache-2.0
/*
 * Gowin .fs: text, each line a command or a row of the configuration memory as digits 0
 * and 1; comment lines in front, which open tools leave out.
 *
 * Where a flag says so a row ends in a CRC and six bytes of ff, and the CRC of the next one
 * covers these six and its own data, compressed or not. That of the first row covers the lines
 * in front of it, from that of the IDCODE on but for the one of the flash address. So it is in
 * files for GW1N; for GW2A it is only believed where it holds.
 *
 * A checksum stands in the comment: the sum of 16-bit words of the rows of the fabric, with
 * those of zeros that compression left out. Rows of block RAM, which follow, do not count, nor
 * do the four bits of padding in front of each row of GW1N-6 and -9. Where no file was at hand
 * to see it the sum is only believed where it holds.
 *
 * Rows of GW5A are counted otherwise: such a file is recognised only.
 *
 * Sources: openFPGALoader (fsparser.cpp: rows, padding, compression), Project Apicula, and
 * files of Gowin's tool for GW1N-1 (one of them compressed), GW1NSR-4C and GW1NR-9C.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "parts.h"
#include "text.h"

#define TAIL	      8 /* bytes behind the data of a row: CRC (where there is one) and six of ff */
#define COMMAND_MAX   32 /* bytes of a command that count */
#define LINE_MAX_BITS (1u << 20)
#define END_BITS      32 /* least digits of the line that ends a configuration */
#define GW5A(idcode)  (((idcode)&0x0fff0fff) == 0x0001081b)
#define GW2A(idcode)  (((idcode)&0x0fffdfff) == 0x0000081b)
#define PADDED_ROWS(idcode) \
	(((idcode)&0x0fffffff) == 0x0100481b || ((idcode)&0x0fffffff) == 0x0100581b)

enum { IDCODE = 0x06, CONFIG = 0x10, KEYS = 0x51, FLASH = 0x52, ROWS_FOLLOW = 0x3b, SUM = 0x0a, DONE = 0x08 };

/* Rows of the fabric, of those that a file has (openFPGALoader, fsparser.cpp); whether files
 * were at hand in which the checksum was seen to be that. */
static const struct fabric {
	uint32_t idcode; /* without the top nibble */
	uint16_t rows;
	bool seen;
} fabrics[] = {
	{ 0x0900281b, 274, true }, { 0x0900381b, 274, false }, { 0x0100681b, 274, false },
	{ 0x0100181b, 494, false }, { 0x0120681b, 494, false }, { 0x0300081b, 494, false },
	{ 0x0300181b, 494, false }, { 0x0100981b, 494, true }, { 0x0100381b, 494, false },
	{ 0x0100481b, 712, true }, { 0x0100581b, 712, true }, { 0x0000081b, 1342, false },
	{ 0x0000281b, 2038, false },
};

enum { FRONT, ROWS, TRAILER, BEHIND, LOOSE };

struct gowin {
	uint8_t phase;
	bool preamble, loose, in_comment, crc_on, crc_told, compressed, encrypted, has_idcode;
	uint64_t at, end_at;
	uint32_t lines, rows, rows_left;
	/* The line so far. */
	uint32_t bits;
	uint8_t byte;
	uint16_t comment_len;
	char comment[160];
	uint8_t command[COMMAND_MAX];
	uint8_t tail[TAIL]; /* the last bytes, as a ring */
	uint32_t row_bytes, row_nibbles;
	uint16_t crc;
	/* The checksum. */
	uint32_t sum;
	uint64_t nibbles; /* of all rows that count, without padding */
	uint16_t word;
	bool has_sum, user_code;
	uint16_t told_sum;
	uint8_t keys[3]; /* bytes that stand for 8, 4 and 2 of zero */
	uint32_t idcode, crcs;
	const struct fabric *fabric;
	char version[8];
	char named[40];
};

static enum image_tri gowin_probe(const uint8_t *head, size_t n, bool last)
{
	size_t i = 0;

	(void)last;
	while (i < n) {
		if (head[i] == '\r' || head[i] == '\n') {
			if (!i)
				return IMAGE_NO;
			i++;
		} else if (head[i] == '/') {
			if (i + 1 < n && head[i + 1] != '/')
				return IMAGE_NO;
			while (i < n && head[i] != '\n')
				i++;
		} else {
			size_t ones = 0;

			/* Each file begins with bytes of ff. */
			while (i + ones < n && head[i + ones] == '1' && ones < 8)
				ones++;
			return ones == 8 ? IMAGE_YES : i + ones < n ? IMAGE_NO : IMAGE_UNKNOWN;
		}
	}
	return IMAGE_UNKNOWN;
}

static int damaged(const struct gowin *s, struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG,
			  "gowin-fs: damaged in line %u: %s; copy or build the file again",
			  s->lines + 1, what);
}

/* --- comments ------------------------------------------------------------------------ */

static const char *value_of(const char *line, const char *key)
{
	size_t n = strlen(key);

	if (strncasecmp(line, key, n) || line[n] != ':')
		return NULL;
	return line + n + 1 + strspn(line + n + 1, " ");
}

static void name_set(struct gowin *s, const char *text, size_t n)
{
	snprintf(s->named, sizeof(s->named), "%.*s", (int)(n < 30 ? n : 30), text);
	for (char *c = s->named; *c; c++)
		*c = *c == ' ' ? '\0' : (char)tolower((unsigned char)*c);
}

/* "GW1NR-LV9QN88PC6/I5": the grades for commercial and for industrial temperature. */
static void speed_of(const char *number, struct image_facts *facts)
{
	const char *slash = strrchr(number, '/');

	if (slash && slash - number > 2 && isdigit((unsigned char)slash[-1]) &&
	    isalpha((unsigned char)slash[-2]))
		text_copy(facts->speed, sizeof(facts->speed), slash - 2);
}

static void comment_line(struct gowin *s, struct image_facts *facts)
{
	const char *line = s->comment + strspn(s->comment, "/ "), *value;
	char hex[16] = "";

	text_from_header(s->comment, s->comment_len);
	if ((value = value_of(line, "Device"))) {
		name_set(s, value, strlen(value));
	} else if ((value = value_of(line, "Device-package"))) {
		/* Names the version too, where Device has it in a line of its own. */
		const char *dash = strrchr(value, '-');

		if (dash) {
			name_set(s, value, (size_t)(dash - value));
			text_copy(facts->package, sizeof(facts->package), dash + 1);
		}
	} else if ((value = value_of(line, "Part Number"))) {
		snprintf(facts->detail, sizeof(facts->detail), "part number %.60s", value);
		speed_of(value, facts);
	} else if ((value = value_of(line, "CRCCheck"))) {
		s->crc_told = !strncasecmp(value, "on", 2);
	} else if ((value = value_of(line, "GOWIN Version")) ||
		   (value = value_of(line, "Tool Version"))) {
		snprintf(facts->tool, sizeof(facts->tool), "GOWIN %.60s", value);
	} else if ((value = value_of(line, "Created Time"))) {
		text_copy(facts->built, sizeof(facts->built), value);
	} else if ((value = value_of(line, "UserCode"))) {
		text_hex_id(value, facts->user_id, sizeof(facts->user_id));
	} else if ((value = value_of(line, "CheckSum"))) {
		text_hex_id(value, hex, sizeof(hex));
		s->has_sum = hex[0];
		s->told_sum = (uint16_t)strtoul(hex, NULL, 16);
	} else if ((value = value_of(line, "Encryption")) && !strncasecmp(value, "on", 2)) {
		s->encrypted = true;
	}
}

/* --- lines --------------------------------------------------------------------------- */

static uint16_t crc_arc(uint16_t crc, uint8_t c)
{
	crc ^= c;
	for (int i = 0; i < 8; i++)
		crc = (uint16_t)(crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1);
	return crc;
}

static void sum_nibble(struct gowin *s, unsigned nibble)
{
	/* Padding: four bits, and five bytes more of zeros in a compressed row. */
	unsigned padding = PADDED_ROWS(s->idcode) ? s->compressed ? 11 : 1 : 0;

	if (s->row_nibbles++ < padding)
		return;
	s->word = (uint16_t)(s->word << 4 | nibble);
	if (++s->nibbles % 4 == 0)
		s->sum += s->word;
}

/* A byte of a row that is data, known to be so once its tail came behind it. */
static void row_data(struct gowin *s, uint8_t c)
{
	s->crc = crc_arc(s->crc, c);
	if (s->fabric && s->rows >= s->fabric->rows)
		return;
	for (unsigned k = 0; s->compressed && k < 3; k++)
		if (c == s->keys[k]) {
			for (unsigned i = 0; i < 16u >> k; i++)
				sum_nibble(s, 0);
			return;
		}
	sum_nibble(s, c >> 4);
	sum_nibble(s, c & 15);
}

static void row_byte(struct gowin *s, uint8_t c)
{
	uint8_t *slot = &s->tail[s->row_bytes % TAIL];

	if (s->row_bytes >= TAIL)
		row_data(s, *slot);
	*slot = c;
	s->row_bytes++;
}

static int row_complete(struct gowin *s, struct reason *why)
{
	uint8_t tail[TAIL];
	uint16_t told;
	char what[80];

	if (s->bits % 8)
		return damaged(s, why, "a row is no whole number of bytes");
	if (s->row_bytes <= TAIL)
		return damaged(s, why, "a row without data");
	for (unsigned i = 0; i < TAIL; i++)
		tail[i] = s->tail[(s->row_bytes + i) % TAIL];
	told = read_le16(tail);
	if (!s->crc_on) {
		s->crcs += told == s->crc;
		row_data(s, tail[0]);
		row_data(s, tail[1]);
	} else {
		if (told != s->crc && !s->encrypted && (s->rows || !GW2A(s->idcode))) {
			snprintf(what, sizeof(what),
				 s->rows ? "the CRC of the row is %04x, that of its data %04x" :
					   "the CRC of the first row is %04x, that of the lines "
					   "before it and its data %04x",
				 told, s->crc);
			return damaged(s, why, what);
		}
		for (unsigned i = 2; i < TAIL; i++)
			if (tail[i] != 0xff && !s->encrypted)
				return damaged(s, why, "a row does not end in ff");
	}
	s->crc = 0;
	for (unsigned i = 2; i < TAIL; i++)
		s->crc = crc_arc(s->crc, tail[i]);
	s->rows++;
	if (!--s->rows_left)
		s->phase = TRAILER;
	return 0;
}

static int done(struct gowin *s, struct image_facts *facts, struct reason *why)
{
	bool sum_counts = s->fabric && s->fabric->seen && !s->compressed && !s->encrypted &&
			  s->nibbles % 4 == 0;
	bool sum_holds = s->has_sum && (uint16_t)s->sum == s->told_sum && s->nibbles % 4 == 0;
	char what[90];

	if (s->has_sum && !s->user_code && sum_counts && !sum_holds) {
		snprintf(what, sizeof(what),
			 "the checksum in the comment is %04x, that of the rows %04x", s->told_sum,
			 (uint16_t)s->sum);
		return damaged(s, why, what);
	}
	if (!s->crc_on && s->rows > 2 && s->crcs + 1 >= s->rows)
		return damaged(s, why,
			       "each row has a CRC, and the line in front of them says that none has");
	s->phase = BEHIND;
	s->end_at = s->at;
	facts->declared_size = s->at;
	facts->confidence = s->has_idcode ? IMAGE_EXACT : IMAGE_LIKELY;
	facts->partial = IMAGE_NO;
	if (s->encrypted)
		text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
			  "encrypted: only the card can check it");
	else if (!s->crc_on && !sum_holds)
		text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
			  "its rows have no CRC");
	else
		snprintf(facts->integrity_checked, sizeof(facts->integrity_checked), "%s%s",
			 s->crc_on ? "crc16" : "",
			 !sum_holds  ? ""
			 : s->crc_on ? " checksum"
				     : "checksum");
	facts->integrity_ok = facts->integrity_checked[0];
	return 0;
}

static int command_complete(struct gowin *s, struct image_facts *facts, struct reason *why)
{
	uint32_t bytes = s->bits / 8;
	uint32_t value;

	if (s->bits % 8)
		return damaged(s, why, "a command is no whole number of bytes");
	if (bytes > COMMAND_MAX || s->command[0] == 0xff)
		return 0; /* filling */
	value = bytes >= 4 ? read_be32(s->command + bytes - 4) : 0;
	if (s->preamble && (s->command[0] & 0x7f) != FLASH && s->phase == FRONT) {
		if ((s->command[0] & 0x7f) == IDCODE)
			s->crc = 0;
		for (uint32_t i = 0; i < bytes; i++)
			s->crc = crc_arc(s->crc, s->command[i]);
	}
	if (!s->preamble) {
		if (bytes != 2 || read_be16(s->command) != 0xa5c3)
			return damaged(s, why, "something else stands before the preamble a5c3");
		s->preamble = true;
		return 0;
	}
	switch (s->command[0] & 0x7f) {
	case IDCODE:
		if (bytes != 8 || s->has_idcode)
			return damaged(
				s, why,
				"the line of the IDCODE is not of eight bytes, or comes twice");
		s->has_idcode = true;
		s->idcode = value;
		facts_idcode(facts, "gowin", value, s->named);
		for (size_t i = 0; i < sizeof(fabrics) / sizeof(fabrics[0]); i++)
			if (fabrics[i].idcode == (value & 0x0fffffff))
				s->fabric = &fabrics[i];
		/* Some tools write the id without the nibble that tells versions apart. */
		if (!part_by_idcode(NULL, "gowin", value) && !facts->detail[0])
			snprintf(facts->detail, sizeof(facts->detail),
				 "no known part has the idcode %08x", value);
		s->loose = GW5A(value);
		return 0;
	case SUM:
		if (!facts->user_id[0])
			snprintf(facts->user_id, sizeof(facts->user_id), "%08x", value);
		/* Here it may be a code of the user's instead. */
		if (!s->has_sum && !(value >> 16)) {
			s->has_sum = s->user_code = true;
			s->told_sum = (uint16_t)value;
		}
		return 0;
	case KEYS:
		if (bytes == 8)
			memcpy(s->keys, s->command + 5, 3);
		return 0;
	case CONFIG:
		s->compressed = value >> 13 & 1;
		facts->compressed = s->compressed ? IMAGE_YES : IMAGE_NO;
		return 0;
	case ROWS_FOLLOW:
		if (bytes != 4)
			return damaged(s, why,
				       "the line in front of the rows is not of four bytes");
		s->crc_on = value >> 23 & 1;
		s->rows_left = value & 0xffff;
		if (!s->rows_left)
			return damaged(s, why, "a configuration of 0 rows");
		if (s->crc_told && !s->crc_on)
			return damaged(s, why, "rows without CRCs, which the comment says they have");
		s->phase = s->loose ? LOOSE : ROWS;
		if (s->loose) {
			facts->unsized = true;
			text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
				  "the CRC of GW5A images is not recomputed");
		}
		return 0;
	case DONE:
		if (s->phase != TRAILER || s->bits < END_BITS)
			return damaged(s, why, "the configuration ends before its rows");
		return done(s, facts, why);
	}
	return 0;
}

static int line_complete(struct gowin *s, struct image_facts *facts, struct reason *why)
{
	int err = 0;

	if (s->in_comment)
		comment_line(s, facts);
	else if (s->bits && s->phase != LOOSE)
		err = s->phase == ROWS ? row_complete(s, why) : command_complete(s, facts, why);
	if (!err)
		s->lines++;
	s->in_comment = false;
	s->comment_len = 0;
	s->bits = s->row_bytes = s->row_nibbles = 0;
	return err;
}

static int bit(struct gowin *s, uint8_t c, struct reason *why)
{
	s->byte = (uint8_t)(s->byte << 1 | (c & 1));
	if (++s->bits > LINE_MAX_BITS)
		return damaged(s, why, "a line of more than a million digits");
	if (s->bits % 8)
		return 0;
	if (s->phase == ROWS)
		row_byte(s, s->byte);
	else if (s->bits / 8 <= COMMAND_MAX)
		s->command[s->bits / 8 - 1] = s->byte;
	return 0;
}

static int character(struct gowin *s, uint8_t c, struct image_facts *facts, struct reason *why)
{
	char what[60];

	if (c == '\n')
		return line_complete(s, facts, why);
	if (s->in_comment) {
		if (s->comment_len + 1u < sizeof(s->comment) && c != '\r')
			s->comment[s->comment_len++] = (char)c;
		return 0;
	}
	if (c == '0' || c == '1')
		return bit(s, c, why);
	if (c == '/' && !s->bits && s->phase != ROWS) {
		s->in_comment = true;
		return 0;
	}
	if (c == '\r')
		return 0;
	snprintf(what, sizeof(what), "byte %02x is neither 0 nor 1", c);
	return damaged(s, why, what);
}

/* A last line of a configuration that has no line end behind it yet. */
static bool last_line(const struct gowin *s)
{
	return !s->in_comment && s->bits >= END_BITS && s->bits % 8 == 0 && s->command[0] == DONE;
}

/* What the end would say, without going there: more may follow. */
static int end_here(const struct gowin *s, struct image_facts *facts, struct reason *why)
{
	struct gowin copy = *s;

	return done(&copy, facts, why);
}

static int gowin_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		      struct reason *why)
{
	struct gowin *s = state;
	int err;

	if (!facts->vendor[0]) {
		text_copy(facts->vendor, sizeof(facts->vendor), "gowin");
		facts->confidence = IMAGE_LIKELY;
	}
	for (; n; n--, b++) {
		s->at++;
		/* Behind the end: lines of ones, empty lines and comments. */
		if (s->phase == BEHIND && *b != '1' && *b != '\n' && *b != '\r' && *b != '/' &&
		    !s->in_comment)
			return reason_set(
				why, EFBIG,
				"gowin-fs: %llu bytes after the end of the image at byte %llu, the "
				"last of them %02x: only lines of 1 may follow",
				(unsigned long long)(s->at - s->end_at),
				(unsigned long long)s->end_at, *b);
		err = s->phase == BEHIND && *b == '1' ? 0 : character(s, *b, facts, why);
		if (err)
			return err;
	}
	if (s->phase == TRAILER && last_line(s)) {
		struct image_facts scratch = *facts;

		/* The line may go on in the next piece: only the end of all says what is wrong with it. */
		return end_here(s, &scratch, NULL) ? IMAGE_MORE : IMAGE_COMPLETE;
	}
	return s->phase >= BEHIND ? IMAGE_COMPLETE : IMAGE_MORE;
}

static int gowin_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct gowin *s = state;

	/* The last line may come without its end. */
	if (s->phase == TRAILER && last_line(s))
		return end_here(s, facts, why);
	if (s->phase >= BEHIND)
		return 0;
	if (s->phase == ROWS)
		return reason_set(
			why, EBADMSG,
			"gowin-fs: truncated: %llu bytes, %u of %u rows; copy the file again",
			(unsigned long long)fed, s->rows, s->rows + s->rows_left);
	return reason_set(
		why, EBADMSG,
		"gowin-fs: truncated: %llu bytes end before the line that ends a configuration "
		"(08); copy the file again",
		(unsigned long long)fed);
}

const struct image_format image_gowin = {
	.version = IMAGE_ABI,
	.name = "gowin-fs",
	.state_bytes = sizeof(struct gowin),
	.probe = gowin_probe,
	.feed = gowin_feed,
	.end = gowin_end,
};
