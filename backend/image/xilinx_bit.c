// SPDX-License-Identifier: Apache-2.0
/*
 * Xilinx .bit, Spartan-3 to UltraScale+: a header of items (design, part, date, time) that
 * ends in the length of the configuration stream, and that stream.
 *
 * The header has no checksum, and its length is no constant: it is walked. Its part, with
 * package and speed, is shown; which part the image is for is the stream's IDCODE to say.
 * Source: files of ISE and of Vivado 2016 to 2025.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/buf.h>

#include "formats.h"
#include "parts.h"
#include "text.h"
#include "xilinx.h"

#define HEADER_MAX 4096 /* bytes of header that are believed; real ones have 85 to 181 */
#define TEXT_MAX   512	/* bytes kept of an item; the rest is passed over */

static const uint8_t MAGIC[13] = { 0x00, 0x09, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f,
				   0xf0, 0x0f, 0xf0, 0x00, 0x00, 0x01 };

enum phase { FRONT, KEY, LENGTH, TEXT, STREAM, BEHIND };

struct bit {
	enum phase phase;
	uint64_t at;	 /* offset of the next byte */
	uint64_t end_at; /* where the declared length ends, from phase STREAM on */
	uint32_t length; /* of the item, then what is left of it */
	uint8_t key, need;
	uint16_t text_len;
	char text[TEXT_MAX];
	char named[48]; /* the part as the header has it, without package and speed */
	bool older;	/* than Virtex-6, and none of the families whose streams are known */
	bool unread;	/* of these: something in it is not as it is in the known ones */
	struct xilinx_stream stream;
};

static enum image_tri bit_probe(const uint8_t *head, size_t n, bool last)
{
	/* Four bytes of it are no accident; what follows is for the recogniser to judge. */
	size_t have = n < 4 ? n : 4;

	if (!n)
		return IMAGE_UNKNOWN;
	if (memcmp(head, MAGIC, have))
		return IMAGE_NO;
	return have == 4 || last ? IMAGE_YES : IMAGE_UNKNOWN;
}

static int damaged(const struct bit *s, struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG, "xilinx-bit: damaged at byte %llu: %s; copy the file again",
			  (unsigned long long)s->at, what);
}

/* --- the items ------------------------------------------------------------------- */

/* "name;KEY=VALUE;...", in an order that differs between releases. */
static void design_item(char *text, struct image_facts *facts)
{
	char *save = NULL, *word = strtok_r(text, ";", &save);
	size_t n;

	if (!word)
		return;
	word = (char *)text_base(word);
	n = strlen(word);
	if (n > 4 && !strcasecmp(word + n - 4, ".ncd")) {
		word[n - 4] = '\0';
		text_copy(facts->tool, sizeof(facts->tool), "ISE");
	}
	text_copy(facts->design, sizeof(facts->design), word);
	while ((word = strtok_r(NULL, ";", &save))) {
		char *value = strchr(word, '=');

		if (!value)
			continue;
		*value++ = '\0';
		if (!strcasecmp(word, "UserID"))
			text_hex_id(value, facts->user_id, sizeof(facts->user_id));
		else if (!strcasecmp(word, "Version"))
			snprintf(facts->tool, sizeof(facts->tool), "Vivado %.60s", value);
		else if (!strcasecmp(word, "COMPRESS") && !strcasecmp(value, "TRUE"))
			facts->compressed = IMAGE_YES;
		else if (!strcasecmp(word, "PARTIAL") && !strcasecmp(value, "TRUE"))
			facts->partial = IMAGE_YES;
		else if (!strcasecmp(word, "ENCRYPT") && !strcasecmp(value, "YES"))
			facts->encrypted = IMAGE_YES;
		else if (!strcasecmp(word, "ParentID") && strspn(value, "0") != strlen(value))
			text_copy(facts->shell, sizeof(facts->shell), value);
		else if (!strcasecmp(word, "UniqueID"))
			text_copy(facts->unique_id, sizeof(facts->unique_id), value);
	}
}

/*
 * Where the package begins in a name without '-', as "6slx25tcsg324": letters that are known
 * for one, and digits to the end. 0: nowhere.
 */
static size_t package_at(const char *text)
{
	static const char *const packages[] = { "csga", "cpga", "ftgb", "fgga", "cpg", "csg", "clg",
						"ftg",	"fgg",	"ffg",	"ffv",	"fbg", "fbv", "flg",
						"hcg",	"sbg",	"sbv",	"tqg",	"vqg", "pqg", "bgg",
						"cp",	"cs",	"cl",	"ft",	"fg",  "ff",  "fb",
						"fl",	"hc",	"sb",	"tq",	"vq",  "pq",  "bg" };
	size_t digits = strlen(text), letters, n;

	while (digits && isdigit((unsigned char)text[digits - 1]))
		digits--;
	for (letters = digits; letters && isalpha((unsigned char)text[letters - 1]); letters--)
		;
	if (!text[digits] || !letters)
		return 0;
	/* Longer ones first. Letters before them belong to the part: 6slx25t. */
	for (size_t i = 0; i < sizeof(packages) / sizeof(packages[0]); i++) {
		n = strlen(packages[i]);
		if (n <= digits - letters && !strncasecmp(text + digits - n, packages[i], n))
			return digits - n;
	}
	return 0;
}

/* "7a50tfgg484", "xcku040-ffva1156-2-e": part, package, speed. */
static void part_item(struct bit *s, const char *text, struct image_facts *facts)
{
	const char *prefix = strncasecmp(text, "xc", 2) ? "xc" : "";
	size_t n = strchr(text, '-') ? 0 : package_at(text);

	if (!n && !part_by_text("xilinx", prefix, text, &n))
		n = strcspn(text, "-");
	snprintf(s->named, sizeof(s->named), "%s%.*s", prefix, (int)(n < 40 ? n : 40), text);
	for (char *c = s->named; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	text += n;
	text += *text == '-';
	n = strcspn(text, "-");
	snprintf(facts->package, sizeof(facts->package), "%.*s",
		 (int)(n < sizeof(facts->package) ? n : sizeof(facts->package) - 1), text);
	if (text[n])
		text_copy(facts->speed, sizeof(facts->speed), text + n + 1);
}

static void item(struct bit *s, struct image_facts *facts)
{
	size_t used;

	text_from_header(s->text, s->text_len);
	switch (s->key) {
	case 'a':
		design_item(s->text, facts);
		break;
	case 'b':
		part_item(s, s->text, facts);
		break;
	case 'c':
		text_copy(facts->built, sizeof(facts->built), s->text);
		break;
	case 'd':
		used = strlen(facts->built);
		snprintf(facts->built + used, sizeof(facts->built) - used, "%s%.20s",
			 used ? " " : "", s->text);
		break;
	default: /* kept out of the facts, and no reason to refuse */
		break;
	}
}

/*
 * Virtex to Virtex-5 and Spartan-II: their packets are said to be those of Virtex-6 or Spartan-3,
 * and no file was at hand to see it. What is not as it is there is no damage of theirs.
 */
static bool older_than_known(const char *named)
{
	static const char *const families[] = { "xcv", "xc2v", "xc4v", "xc5v", "xc2s" };

	/* Virtex UltraScale goes on with a u, Virtex-6 and -7 have their number in front. */
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (!strncmp(named, families[i], strlen(families[i])) && strncmp(named, "xcvu", 4) &&
		    strncmp(named, "xcvc", 4) && strncmp(named, "xcvp", 4) &&
		    strncmp(named, "xcvm", 4) && strncmp(named, "xcve", 4) && strncmp(named, "xcvh", 4))
			return true;
	return false;
}

/* The family decides how packets look; the header names it before they begin. */
static enum xilinx_map map_of(const char *named)
{
	const char *p = named + 2;

	if (!strncmp(p, "6s", 2))
		return XILINX_SPARTAN6;
	if (strncmp(p, "3s", 2))
		return XILINX_VIRTEX;
	p += 2;
	p += *p == 'd'; /* 3A DSP */
	p += strspn(p, "0123456789");
	return *p == 'a' ? XILINX_SPARTAN6 : XILINX_SPARTAN3;
}

/* --- bytes ----------------------------------------------------------------------- */

static int length_known(struct bit *s, struct image_facts *facts, struct reason *why)
{
	if (s->key != 'e') {
		s->text_len = 0;
		s->phase = s->length ? TEXT : KEY;
		return 0;
	}
	s->end_at = s->at + s->length;
	if (!s->length)
		return damaged(s, why, "the header declares a configuration of 0 bytes");
	facts->declared_size = s->end_at;
	facts->confidence = IMAGE_LIKELY;
	text_copy(facts->vendor, sizeof(facts->vendor), "xilinx");
	xilinx_stream_init(&s->stream, "xilinx-bit", s->named[0] ? map_of(s->named) : XILINX_VIRTEX,
			   false, s->at);
	s->stream.map_open = !s->named[0];
	s->older = older_than_known(s->named);
	s->phase = STREAM;
	return 0;
}

static int header_byte(struct bit *s, uint8_t c, struct image_facts *facts, struct reason *why)
{
	uint64_t at = s->at++;

	if (s->at > HEADER_MAX)
		return damaged(s, why, "a header of more than 4096 bytes");
	switch (s->phase) {
	case FRONT:
		if (c != MAGIC[at])
			return damaged(s, why, "the front of the header is not that of a .bit");
		if (s->at == sizeof(MAGIC))
			s->phase = KEY;
		return 0;
	case KEY:
		if (c < 'a' || c > 'z')
			return damaged(s, why, "no item of a header is there");
		s->key = c;
		s->need = c == 'e' ? 4 : 2;
		s->length = 0;
		s->phase = LENGTH;
		return 0;
	case LENGTH:
		s->length = s->length << 8 | c;
		return --s->need ? 0 : length_known(s, facts, why);
	case TEXT:
		if (s->text_len + 1u < sizeof(s->text))
			s->text[s->text_len++] = (char)c;
		if (!--s->length) {
			item(s, facts);
			s->phase = KEY;
		}
		return 0;
	case STREAM:
	case BEHIND:
		break;
	}
	return 0;
}

static void unread_facts(const struct bit *s, struct image_facts *facts)
{
	if (!facts->part[0])
		text_copy(facts->part, sizeof(facts->part), s->named);
	facts->confidence = IMAGE_LIKELY;
	facts->integrity_checked[0] = '\0';
	text_copy(facts->integrity_absent, sizeof(facts->integrity_absent),
		  "the CRC of this family's images is only told where it is as that of later ones");
}

static int bit_feed(void *state, const uint8_t *b, size_t n, struct image_facts *facts,
		    struct reason *why)
{
	struct bit *s = state;
	int err;

	for (; n && s->phase < STREAM; n--, b++) {
		err = header_byte(s, *b, facts, why);
		if (err)
			return err;
	}
	if (n && s->phase == STREAM) {
		size_t take = n < s->end_at - s->at ? n : (size_t)(s->end_at - s->at);

		err = s->unread ? 0 : xilinx_stream_feed(&s->stream, b, take, why);
		s->at += take;
		b += take;
		n -= take;
		if (!err && !s->unread && s->at == s->end_at)
			err = xilinx_stream_end(&s->stream, why);
		if (s->at == s->end_at)
			s->phase = BEHIND;
		/* What was read before the damage is told, in any chunking. */
		xilinx_stream_facts(&s->stream, s->named,
				    !err && !s->unread && s->phase == BEHIND, facts);
		if (err && s->older) {
			s->unread = true;
			err = 0;
		}
		if (err)
			return err;
		if (s->unread && s->phase == BEHIND)
			unread_facts(s, facts);
	}
	if (n) {
		err = padding_check("xilinx-bit", &s->at, s->end_at, b, n, why);
		if (err)
			return err;
	}
	return s->phase == BEHIND ? IMAGE_COMPLETE : IMAGE_MORE;
}

static int bit_end(void *state, uint64_t fed, struct image_facts *facts, struct reason *why)
{
	const struct bit *s = state;

	(void)facts;
	if (s->phase == BEHIND)
		return 0;
	if (s->phase < STREAM)
		return reason_set(
			why, EBADMSG,
			"xilinx-bit: truncated: %llu bytes, the header goes on behind them; copy "
			"the file again",
			(unsigned long long)fed);
	return reason_set(why, EBADMSG,
			  "xilinx-bit: truncated: %llu of %llu bytes; copy the file again",
			  (unsigned long long)fed, (unsigned long long)s->end_at);
}

const struct image_format image_xilinx_bit = {
	.version = IMAGE_ABI,
	.name = "xilinx-bit",
	.state_bytes = sizeof(struct bit),
	.probe = bit_probe,
	.feed = bit_feed,
	.end = bit_end,
};
