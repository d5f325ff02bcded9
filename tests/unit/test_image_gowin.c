// SPDX-License-Identifier: Apache-2.0
/* Gowin .fs, row by row. */
#include "image_fixture.h"

#define ROWS	 8
#define ROW_DATA 26 /* bytes; of GW1N-9 with four bits of padding: 25.5, 51 nibbles */

struct fs {
	struct buf b;
	size_t front, first_row, second_row, last_row; /* offsets; of the end of the last one */
	const char *newline;
};

static void line(struct fs *s, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (int bit = 7; bit >= 0; bit--)
			put8(&s->b, bytes[i] >> bit & 1 ? '1' : '0');
	buf_adds(&s->b, s->newline);
}

/* CRC-16/ARC with its unreflected polynomial on reversed bits: another way than the recogniser's.
 */
static uint16_t crc_arc(const uint8_t *b, size_t n)
{
	uint16_t crc = 0, out = 0;

	for (size_t i = 0; i < n; i++)
		for (int bit = 0; bit < 8; bit++) {
			bool one = (crc >> 15 ^ b[i] >> bit) & 1;

			crc = (uint16_t)(crc << 1 ^ (one ? 0x8005 : 0));
		}
	for (int bit = 0; bit < 16; bit++)
		out = (uint16_t)(out | (crc >> bit & 1) << (15 - bit));
	return out;
}

struct kind {
	uint32_t idcode;
	const char *device; /* of the comment; NULL = no comment */
	bool crc, compressed, crlf;
	unsigned rows, fabric_rows; /* 0 = ROWS of fabric; what is more is block RAM */
};

/* What stands for 8, 4 and 2 bytes of zero in a compressed row. */
enum { EIGHT = 0xf9, FOUR = 0xfa, TWO = 0xfb };

/* A row as it stands in the file; its length. */
static size_t packed(const uint8_t *row, size_t n, bool compressed, uint8_t *out)
{
	static const uint8_t keys[] = { EIGHT, FOUR, TWO };
	size_t len = 0, k;

	for (size_t i = 0; i < n;) {
		size_t zeros = 0;

		while (compressed && i + zeros < n && !row[i + zeros])
			zeros++;
		for (k = 0; k < 3 && zeros < 8u >> k;)
			k++;
		out[len++] = k < 3 ? keys[k] : row[i];
		i += k < 3 ? 8u >> k : 1;
	}
	return len;
}

static struct fs compose(const struct kind *k)
{
	bool padded = (k->idcode & 0xffff) == 0x481b || (k->idcode & 0xffff) == 0x581b;
	struct fs s = { .newline = k->crlf ? "\r\n" : "\n" };
	uint8_t row[6 + ROW_DATA + 8], data[ROW_DATA];
	unsigned rows = k->rows ? k->rows : ROWS, fabric = k->fabric_rows ? k->fabric_rows : rows;
	uint8_t *bits = malloc((size_t)rows * ROW_DATA * 2);
	size_t nibbles = 0, sum_at = 0;
	uint8_t front[100];
	size_t front_len = 0;
#define covered(...)                                                    \
	do {                                                            \
		const uint8_t b_[] = { __VA_ARGS__ };                   \
		memcpy(front + front_len, b_, sizeof(b_));              \
		front_len += sizeof(b_);                                \
		line(&s, b_, sizeof(b_));                               \
	} while (0)
	uint16_t sum = 0;
	uint8_t fill[20];

	memset(fill, 0xff, sizeof(fill));
	if (k->device) {
		buf_addf(&s.b, "//Device: %s%s", k->device, s.newline);
		buf_addf(&s.b, "//Part Number: GW1NR-LV9QN88PC6/I5%s", s.newline);
		buf_addf(&s.b, "//Device-package: %s-QFN88P%s", k->device, s.newline);
		buf_addf(&s.b, "//GOWIN Version: 1.9.8%s//CheckSum: 0x", s.newline);
		sum_at = s.b.len;
		buf_addf(&s.b, "0000%s//UserCode: 0x0000BEEF%s//Created Time: Sat Nov 21 2026%s",
			 s.newline, s.newline, s.newline);
	}
	line(&s, fill, 20);
	line(&s, fill, 2);
	line(&s, (const uint8_t *)"\xa5\xc3", 2);
	s.front = s.b.len;
	covered(6, 0, 0, 0, (uint8_t)(k->idcode >> 24), (uint8_t)(k->idcode >> 16),
		(uint8_t)(k->idcode >> 8), (uint8_t)k->idcode);
	covered(0x10, 0, 0, 0, 0, 0, k->compressed ? 0x20 : 0, 0);
	if (k->compressed)
		covered(0x51, 0, 0xff, 0xff, 0xff, EIGHT, FOUR, TWO);
	covered(0x0b, 0, 0, 0);
	line(&s, (const uint8_t[]){ 0xd2, 0, 0xff, 0xff, 0, 0, 0, 0 }, 8);
	covered(0x3b, k->crc ? 0x80 : 0, (uint8_t)(rows >> 8), (uint8_t)rows);
#undef covered
	s.first_row = s.b.len;
	for (unsigned r = 0; r < rows; r++) {
		size_t n;

		memset(row, 0xff, sizeof(row));
		for (unsigned i = 0; i < ROW_DATA; i++)
			data[i] = (uint8_t)(i % 5 ? 0 : (r * 31 + i) % 0xf0);
		for (unsigned i = padded; r < fabric && i < 2 * ROW_DATA; i++)
			bits[nibbles++] = i % 2 ? data[i / 2] & 15 : data[i / 2] >> 4;
		n = packed(data, ROW_DATA, k->compressed, row + 6);
		if (k->crc) {
			uint16_t crc = crc_arc(row, 6 + n);

			if (!r) {
				/* That of the first one covers lines before it. */
				memcpy(front + front_len, row + 6, n);
				crc = crc_arc(front, front_len + n);
			}
			row[6 + n] = (uint8_t)crc;
			row[7 + n] = (uint8_t)(crc >> 8);
		}
		if (r == 1)
			s.second_row = s.b.len;
		line(&s, row + 6, n + (k->crc ? 8 : 6));
	}
	s.last_row = s.b.len;
	assert_true(nibbles % 2 == 0);
	for (size_t i = 0; i + 4 <= nibbles; i += 4)
		sum = (uint16_t)(sum + (bits[i] << 12 | bits[i + 1] << 8 | bits[i + 2] << 4 |
					bits[i + 3]));
	if (k->device) {
		char text[8];

		snprintf(text, sizeof(text), "%04x", sum);
		memcpy(s.b.data + sum_at, text, 4);
	}
	line(&s, (const uint8_t[]){ 0x0a, 0, 0, 0, 0, 0, (uint8_t)(sum >> 8), (uint8_t)sum }, 8);
	line(&s, (const uint8_t[]){ 8, 0, 0, 0 }, 4);
	line(&s, fill, 2);
	free(bits);
	assert_int_equal(buf_ok(&s.b), 0);
	return s;
}

#define GW1NR_9C                                          \
	{                                                 \
		0x1100481b, "GW1NR-9C", true, false, true, 0, 0 \
	}
#define GW2A_18                                           \
	{                                                 \
		0x0000081b, "GW2A-18", true, false, false, 0, 0 \
	}
/* The smallest fabric that is known, and two rows of block RAM behind it. */
#define GW1N_1                                                     \
	{                                                          \
		0x0900281b, "GW1N-1", true, false, false, 276, 274 \
	}

static void an_image_tells_its_part_tool_and_checks(void **state)
{
	struct kind k = GW1NR_9C;
	struct fs s = compose(&k);
	struct verdict v = assert_sound(&s.b);

	(void)state;
	keep_image("gowin-9c", &s.b);
	assert_string_equal(v.facts.format, "gowin-fs");
	assert_int_equal(v.facts.confidence, IMAGE_EXACT);
	assert_string_equal(v.facts.vendor, "gowin");
	assert_string_equal(v.facts.family, "GW1N");
	assert_string_equal(v.facts.part, "gw1nr-9c");
	assert_string_equal(v.facts.also_parts, "gw1n-9c");
	assert_int_equal(v.facts.idcode, 0x1100481b);
	assert_string_equal(v.facts.package, "QFN88P");
	assert_string_equal(v.facts.speed, "C6/I5");
	assert_string_equal(v.facts.tool, "GOWIN 1.9.8");
	assert_string_equal(v.facts.built, "Sat Nov 21 2026");
	assert_string_equal(v.facts.user_id, "0000beef");
	assert_string_equal(v.facts.integrity_checked, "crc16 checksum");
	assert_non_null(strstr(v.facts.detail, "GW1NR-LV9QN88PC6"));
	buf_free(&s.b);
}

static void files_of_other_tools_and_parts_are_sound(void **state)
{
	static const struct {
		struct kind kind;
		const char *part, *checked;
	} rows[] = {
		{ { 0x1100481b, NULL, true, false, false, 0, 0 }, "gw1n-9c", "crc16 checksum" },
		{ GW2A_18, "gw2a-18", "crc16 checksum" },
		{ { 0x0900281b, NULL, false, false, false, 0, 0 }, "gw1n-1", "checksum" },
		{ { 0x0900281b, "GW1N-1", true, true, false, 0, 0 }, "gw1n-1", "crc16 checksum" },
		{ { 0x0001281b, "GW5A-25", true, false, false, 0, 0 }, "gw5a-25", "" },
		{ GW1N_1, "gw1n-1", "crc16 checksum" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fs s = compose(&rows[i].kind);
		struct verdict v = assert_sound(&s.b);

		assert_string_equal(v.facts.part, rows[i].part);
		assert_string_equal(v.facts.integrity_checked, rows[i].checked);
		assert_int_equal(v.facts.unsized, i == 4);
		if (!rows[i].checked[0])
			assert_int_not_equal(v.facts.integrity_absent[0], 0);
		any_chunking_agrees(&s.b);
		flips_are_survived(&s.b, 0, s.b.len, i == 5 ? 977 : 17);
		buf_free(&s.b);
	}
}

static void the_top_nibble_of_an_idcode_tells_parts_apart(void **state)
{
	struct kind k = GW1NR_9C;
	struct fs s = compose(&k);
	struct verdict v = assert_sound(&s.b);
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(image_suits(&v.facts, "GW1NR-9C", false, 0, "", &why), 0);
	assert_int_equal(image_suits(&v.facts, "gw2a-18", false, 0, "", &why), -EMEDIUMTYPE);
	assert_non_null(strstr(why.text, "1100481b"));
	/* Published without its top nibble: a row of its own in the table, not this chip. */
	assert_int_equal(image_suits(&v.facts, "", true, 0x0100481b, "", &why), -EMEDIUMTYPE);
	buf_free(&s.b);
}

static void a_flipped_digit_in_the_rows_is_refused(void **state)
{
	static const struct kind kinds[] = {
		GW1NR_9C,
		{ 0x0900281b, "GW1N-1", true, true, false, 0, 0 },
		GW2A_18,
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct fs s = compose(&kinds[i]);

		/* Lines before the rows too, but for the address in the flash; not for GW2A. */
		for (size_t at = i < 2 ? s.front : s.second_row; at < s.last_row; at++) {
			char was = s.b.data[at];
			bool flash = at >= s.first_row - 33 - kinds[i].crlf - 65 - kinds[i].crlf &&
				     at < s.first_row - 33 - kinds[i].crlf;

			if ((was != '0' && was != '1') || flash)
				continue;
			s.b.data[at] ^= 1;
			if (!judge_buf(&s.b).end)
				fail_msg("digit at %zu flipped: accepted", at);
			s.b.data[at] = was;
		}
		/* What is no digit is nothing. */
		flips_are_refused(&s.b, s.last_row - 100, s.last_row - 2, 1);
		buf_free(&s.b);
	}
}

static void the_checksum_is_that_of_the_fabric_alone(void **state)
{
	struct kind k = GW1N_1;
	struct fs s = compose(&k);
	char *sum = strstr(s.b.data, "CheckSum: 0x");

	(void)state;
	assert_sound(&s.b);
	sum[12] = sum[12] == '0' ? '1' : '0';
	assert_refused(judge_buf(&s.b), EBADMSG, "the checksum in the comment");
	buf_free(&s.b);
	/* Where no file showed that it is so, one that does not hold is no fault. */
	k.idcode = 0x0900381b;
	s = compose(&k);
	sum = strstr(s.b.data, "CheckSum: 0x");
	sum[12] = sum[12] == '0' ? '1' : '0';
	assert_string_equal(assert_sound(&s.b).facts.integrity_checked, "crc16");
	buf_free(&s.b);
}

static void rows_that_lost_their_crc_are_refused_where_the_comment_told_of_it(void **state)
{
	struct kind k = GW1NR_9C;
	struct fs s = compose(&k);
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	buf_adds(&b, "//CRCCheck: ON\n");
	buf_add(&b, s.b.data, s.b.len);
	assert_sound(&b);
	b.data[s.first_row + 15 - 2 - 24] ^= 1;
	assert_refused(judge_buf(&b), EBADMSG, "which the comment says they have");
	buf_free(&s.b);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
	struct kind k = GW1NR_9C;
	struct fs s = compose(&k);

	(void)state;
	/* To the last digit of the line that ends it; its line end may be missing. */
	cuts_are_refused(&s.b, 300, s.b.len - 18 - 2, 1);
	assert_int_equal(judge(s.b.data, s.b.len - 18 - 2, 100).end, 0);
	assert_refused(judge(s.b.data, s.second_row + 50, 4096), EBADMSG, "1 of 8 rows");
	any_chunking_agrees(&s.b);
	buf_free(&s.b);
}

static void what_is_not_a_row_or_comes_too_early_is_refused(void **state)
{
	struct kind k = GW2A_18;
	struct fs s = compose(&k);
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	/* A row is missing. */
	buf_add(&b, s.b.data, s.first_row);
	buf_add(&b, s.b.data + s.second_row, s.b.len - s.second_row);
	assert_int_equal(judge_buf(&b).end, -EBADMSG);
	/* Behind the end only ones may follow. */
	buf_adds(&s.b, "11111111\n");
	assert_sound(&s.b);
	buf_adds(&s.b, "0");
	assert_refused(judge_buf(&s.b), EFBIG, "only lines of 1");
	buf_clear(&b);
	put_fill(&b, '1', 3 << 20);
	assert_refused(judge_buf(&b), EBADMSG, "million digits");
	any_chunking_agrees(&b);
	buf_free(&s.b);
}

static void other_text_is_no_gowin_image(void **state)
{
	(void)state;
	assert_refused(judge("1\n", 2, 2), ENOEXEC, "commands go to ctl");
	assert_refused(judge("//GCC\n1f 00\n", 12, 12), ENOEXEC, "as text");
	assert_refused(judge("0011\n", 5, 1), ENOEXEC, "as text");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_tells_its_part_tool_and_checks),
		cmocka_unit_test(files_of_other_tools_and_parts_are_sound),
		cmocka_unit_test(the_top_nibble_of_an_idcode_tells_parts_apart),
		cmocka_unit_test(a_flipped_digit_in_the_rows_is_refused),
		cmocka_unit_test(the_checksum_is_that_of_the_fabric_alone),
		cmocka_unit_test(rows_that_lost_their_crc_are_refused_where_the_comment_told_of_it),
		cmocka_unit_test(a_file_cut_anywhere_is_refused),
		cmocka_unit_test(what_is_not_a_row_or_comes_too_early_is_refused),
		cmocka_unit_test(other_text_is_no_gowin_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
