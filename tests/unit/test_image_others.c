// SPDX-License-Identifier: Apache-2.0
/* Versal .pdi, Efinix, Microchip, and names of images that AWS keeps. */
#include "image_fixture.h"

/* --- pdi ------------------------------------------------------------------------------- */

static void set_le32(struct buf *b, size_t at, uint32_t v)
{
	for (int k = 0; k < 4; k++)
		b->data[at + (size_t)k] = (char)(v >> 8 * k);
}

static void sum_put(struct buf *b, size_t at, unsigned words)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < 4 * words; i++)
		sum += (uint32_t)(uint8_t)b->data[at + i] << 8 * (i % 4);
	set_le32(b, at + 4 * words, ~sum);
}

#define IMAGES 0x1800
#define PARTS  (IMAGES + 0x100)

static struct buf pdi(const char *text, uint32_t parent, bool sums)
{
	struct buf b = BUF_INIT;

	buf_add(&b,
		"\xdd\0\0\0\x44\x33\x22\x11\x88\x77\x66\x55\xcc\xbb\xaa\x99\x66\x55\x99\xaaXNLX",
		24);
	put_fill(&b, 0, 0x3000 - b.len);
	set_le32(&b, 0xc4, IMAGES);
	sum_put(&b, 0x10, (0xf30 - 0x10) / 4);
	set_le32(&b, IMAGES, 0x00040000);
	set_le32(&b, IMAGES + 4, 1);
	set_le32(&b, IMAGES + 0x0c, 2);
	set_le32(&b, IMAGES + 0x10, PARTS / 4);
	set_le32(&b, IMAGES + 0x18, 0x04ca8093);
	set_le32(&b, IMAGES + 0x20, 0x1234);
	set_le32(&b, IMAGES + 0x24, parent);
	memcpy(b.data + IMAGES + 0x28, text, 4);
	sum_put(&b, IMAGES, 31);
	for (unsigned p = 0; p < 2; p++) {
		set_le32(&b, PARTS + 128 * p + 8, p ? 300 : 100);
		set_le32(&b, PARTS + 128 * p + 0x20, p ? 0x3000 / 4 : 0x2800 / 4);
		if (sums)
			sum_put(&b, PARTS + 128 * p, 31);
	}
	put_fill(&b, 0x5c, 1200);
	assert_int_equal(buf_ok(&b), 0);
	return b;
}

static void a_pdi_tells_its_part_and_its_sums_hold(void **state)
{
	struct buf b CLEANUP_BUF = pdi("FPDI", 0, true);
	struct verdict v = assert_sound(&b);

	(void)state;
	keep_image("versal.pdi", &b);
	assert_string_equal(v.facts.format, "pdi");
	assert_int_equal(v.facts.confidence, IMAGE_EXACT);
	assert_string_equal(v.facts.part, "xcvc1902");
	assert_int_equal(v.facts.idcode, 0x04ca8093);
	assert_string_equal(v.facts.family, "Versal");
	assert_int_equal(v.facts.partial, IMAGE_NO);
	assert_int_equal(v.facts.encrypted, IMAGE_NO);
	assert_string_equal(v.facts.integrity_checked, "header-sums");
	assert_int_equal(v.facts.declared_size, b.len);
	assert_false(v.facts.unsized);
	any_chunking_agrees(&b);
	cuts_are_refused(&b, 8, b.len, 13);
	flips_are_refused(&b, 0x10, 0xf34, 7);
	flips_are_refused(&b, IMAGES, IMAGES + 128, 1);
	flips_are_survived(&b, PARTS, PARTS + 256, 3);
	put_fill(&b, 0xff, 3);
	assert_sound(&b);
	put8(&b, 1);
	assert_refused(judge_buf(&b), EFBIG, "after the end");
}

static void a_pdi_without_sums_of_its_partitions_shows_no_end(void **state)
{
	struct buf b CLEANUP_BUF = pdi("PPDI", 0xabcd, false);
	struct verdict v = assert_sound(&b);

	(void)state;
	assert_true(v.facts.unsized);
	assert_int_equal(v.facts.partial, IMAGE_YES);
	assert_string_equal(v.facts.shell, "0000abcd");
	any_chunking_agrees(&b);
}

static void a_pdi_for_a_narrower_bus_is_one_as_well(void **state)
{
	static const char words[2][16] = {
		"\0\0\0\xdd\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc",
		"\0\0\xdd\0\x22\x11\x44\x33\x66\x55\x88\x77\xaa\x99\xcc\xbb",
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct buf b CLEANUP_BUF = pdi("FPDI", 0, true);

		memcpy(b.data, words[i], 16);
		assert_string_equal(assert_sound(&b).facts.part, "xcvc1902");
		any_chunking_agrees(&b);
		flips_are_survived(&b, 0, 32, 1);
	}
}

static void a_partial_pdi_is_likely_and_names_its_parent(void **state)
{
	struct buf whole CLEANUP_BUF = pdi("PPDI", 0xabcd, true);
	struct verdict v;

	(void)state;
	for (int widths = 0; widths < 2; widths++) {
		struct buf b CLEANUP_BUF = BUF_INIT;

		if (widths)
			buf_add(&b, whole.data, 16);
		buf_add(&b, whole.data + IMAGES, whole.len - IMAGES);
		v = assert_sound(&b);
		keep_image(widths ? "partial-widths.pdi" : "partial.pdi", &b);
		assert_string_equal(v.facts.format, "pdi");
		assert_int_equal(v.facts.confidence, IMAGE_LIKELY);
		assert_string_equal(v.facts.part, "xcvc1902");
		assert_int_equal(v.facts.partial, IMAGE_YES);
		assert_string_equal(v.facts.shell, "0000abcd");
		assert_int_equal(v.facts.is_signed, IMAGE_NO);
		assert_true(v.facts.unsized);
		any_chunking_agrees(&b);
		flips_are_survived(&b, 0, 160, 1);
		/* Without its sum it is nothing that is known. */
		b.data[60] ^= 1;
		assert_int_equal(judge_buf(&b).end, -ENOEXEC);
		any_chunking_agrees(&b);
	}
}

static void a_pdi_tells_that_it_is_encrypted_or_signed(void **state)
{
	struct buf b CLEANUP_BUF = pdi("FPDI", 0, true);
	struct verdict v;

	(void)state;
	set_le32(&b, IMAGES + 0x40, 0xa5c3c5a3);
	set_le32(&b, IMAGES + 0x48, 0x1000);
	sum_put(&b, IMAGES, 31);
	v = assert_sound(&b);
	assert_int_equal(v.facts.encrypted, IMAGE_YES);
	assert_int_equal(v.facts.is_signed, IMAGE_YES);
}

static void a_pdi_whose_tables_lie_nowhere_is_refused(void **state)
{
	static const uint32_t places[] = { 0, 1, 0x100, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct buf b CLEANUP_BUF = pdi("FPDI", 0, true);

		set_le32(&b, 0xc4, places[i]);
		sum_put(&b, 0x10, (0xf30 - 0x10) / 4);
		assert_refused(judge_buf(&b), EBADMSG, "or nowhere");
		set_le32(&b, 0xc4, IMAGES);
		sum_put(&b, 0x10, (0xf30 - 0x10) / 4);
		set_le32(&b, IMAGES + 0x10, places[i]);
		sum_put(&b, IMAGES, 31);
		assert_true(assert_sound(&b).facts.unsized);
		any_chunking_agrees(&b);
	}
}

/* --- Efinix ------------------------------------------------------------------------------ */

static struct buf efinix(const char *newline)
{
	static const char text[] =
		"Version: 2022.2.322.2.14\nGenerated: Mon Apr 17 07:59:34 2023\n\n"
		"Project: /home/someone/secret/blinky\nFamily: Trion\nDevice: T8F81\nWidth: 1\n\n\n\n";
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < sizeof(text) - 1 + 200; i++)
		buf_addf(&b, "%02X%s",
			 i < sizeof(text) - 1 ? (unsigned)text[i] : (unsigned)(i * 7 & 255),
			 newline);
	assert_int_equal(buf_ok(&b), 0);
	return b;
}

static void an_efinix_file_tells_its_part_and_not_the_builders_folder(void **state)
{
	struct buf b CLEANUP_BUF = efinix("\n"), c CLEANUP_BUF = efinix("\r\n");
	struct verdict v = assert_sound(&b);
	char *json;

	(void)state;
	keep_image("efinix", &b);
	assert_string_equal(v.facts.format, "efinix");
	assert_int_equal(v.facts.confidence, IMAGE_LIKELY);
	assert_string_equal(v.facts.part, "t8");
	assert_string_equal(v.facts.package, "F81");
	assert_string_equal(v.facts.family, "Trion");
	assert_string_equal(v.facts.tool, "Efinity 2022.2.322.2.14");
	assert_string_equal(v.facts.built, "Mon Apr 17 07:59:34 2023");
	assert_string_equal(v.facts.design, "blinky");
	assert_true(v.facts.unsized);
	json = image_facts_json(&v.facts, NULL, NULL, 0, 0, NULL, NULL);
	assert_null(strstr(json, "someone"));
	free(json);
	assert_string_equal(assert_sound(&c).facts.part, "t8");
	any_chunking_agrees(&b);
	any_chunking_agrees(&c);
	flips_are_survived(&b, 0, b.len, 1);
}

static void what_is_no_pair_of_digits_is_refused(void **state)
{
	static const char *const tails[] = { "0G\n", "123\n", "1\n", "12 \n", "\r\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		struct buf b CLEANUP_BUF = efinix("\n");

		buf_adds(&b, tails[i]);
		assert_refused(judge_buf(&b), EBADMSG, "two hex digits");
	}
	struct buf b CLEANUP_BUF = efinix("\n");

	b.len -= 2;
	assert_refused(judge_buf(&b), EBADMSG, "in the middle of line");
}

/* --- Microchip ------------------------------------------------------------------------------ */

static void microchip_files_are_recognised_and_not_judged(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT, c CLEANUP_BUF = BUF_INIT, d CLEANUP_BUF = BUF_INIT;
	struct verdict v;

	(void)state;
	buf_adds(
		&b,
		"NOTE \"CREATOR\" \"Microsemi Libero Version: 12.1\";\nNOTE \"DEVICE\" \"M2S010\";\n"
		"NOTE \"DATE\" \"2019/05/01\";\nNOTE \"DESIGN\" \"C:\\work\\top\";\nNOTE \"PACKAGE\" \"M2S010-vf400\";\n"
		"ACTION PROGRAM = DO_IT;\nCRC 1234;\n");
	buf_add(&c, "Designer Version 11.9.0.4\0\1\2", 28);
	buf_adds(&d, "NOTE \"CREATOR\" \"QUARTUS PRIME JAM COMPOSER 18.1\";\n");
	v = assert_sound(&b);
	keep_image("microchip.stp", &b);
	assert_string_equal(v.facts.format, "microchip-stp");
	assert_string_equal(v.facts.part, "m2s010");
	assert_string_equal(v.facts.design, "top");
	assert_string_equal(v.facts.tool, "Microsemi Libero Version: 12.1");
	assert_true(v.facts.unsized);
	v = assert_sound(&c);
	assert_string_equal(v.facts.format, "microchip-dat");
	assert_int_equal(v.facts.confidence, IMAGE_GUESS);
	any_chunking_agrees(&b);
	any_chunking_agrees(&c);
	flips_are_survived(&b, 0, b.len, 1);
	assert_refused(judge_buf(&d), ENOEXEC, "as text");
}

/* --- AWS ---------------------------------------------------------------------------------------
 */

#define AFI  "afi-036e093268f857aad"
#define AGFI "agfi-08025ce1d75d038c0"

static struct verdict judge_text(const char *text)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	buf_adds(&b, text);
	any_chunking_agrees(&b);
	return judge_buf(&b);
}

static void the_name_of_an_image_is_read_from_json_and_text(void **state)
{
	static const char json[] = "{\n    \"FpgaImageId\": \"" AFI
				   "\", \n    \"FpgaImageGlobalId\": \"" AGFI "\"\n}\n";
	struct verdict v = judge_text(json);
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	assert_int_equal(v.end, 0);
	assert_string_equal(v.facts.format, "aws-afi");
	assert_string_equal(v.facts.design, AGFI);
	assert_non_null(strstr(v.facts.detail, AFI));
	v = judge_text(AGFI "\n");
	assert_int_equal(v.end, 0);
	assert_string_equal(v.facts.design, AGFI);
	assert_string_equal(judge_text(AFI).facts.design, AFI);
	buf_adds(&b, json);
	keep_image("aws-afi", &b);
	cuts_are_refused(&b, 20, strlen(json) - 2, 1);
	flips_are_survived(&b, 0, b.len, 1);
}

static void what_is_no_such_name_is_refused(void **state)
{
	(void)state;
	assert_refused(judge_text("agfi-08025ce1d75d038c"), EBADMSG, "truncated");
	assert_refused(judge_text("agfi-08025ce1d75d038c0f"), EFBIG, "nothing follows");
	assert_refused(judge_text("agfi-08025ce1d75d038cX"), EBADMSG, "17 hex digits are wanted");
	assert_refused(judge_text("{\"FpgaImageId\": \"afi-12\"}"), EBADMSG, "FpgaImageId is not");
	assert_refused(judge_text("{\"a\": {\"FpgaImageId\": \"" AFI "\"}}"), EBADMSG, "neither");
	assert_refused(judge_text("{\"FpgaImageId\": 5}"), EBADMSG, "FpgaImageId is not");
	assert_refused(judge_text("{\"version\": 1}"), ENOEXEC, "as JSON does");
}

static void other_samples_of_vendor_tools_are_judged_right(void **state)
{
	struct buf a CLEANUP_BUF = BUF_INIT, b CLEANUP_BUF = BUF_INIT;
	struct verdict v;

	(void)state;
	if (!sample("efinix/t8f81.bit", &a) || !sample("aws-afi/19_12_19-215209_afi_id.txt", &b))
		skip();
	v = assert_sound(&a);
	assert_string_equal(v.facts.part, "t8");
	assert_string_equal(v.facts.design, "spiOverJtagT8");
	v = assert_sound(&b);
	assert_string_equal(v.facts.design, AGFI);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pdi_tells_its_part_and_its_sums_hold),
		cmocka_unit_test(a_pdi_without_sums_of_its_partitions_shows_no_end),
		cmocka_unit_test(a_pdi_for_a_narrower_bus_is_one_as_well),
		cmocka_unit_test(a_partial_pdi_is_likely_and_names_its_parent),
		cmocka_unit_test(a_pdi_tells_that_it_is_encrypted_or_signed),
		cmocka_unit_test(a_pdi_whose_tables_lie_nowhere_is_refused),
		cmocka_unit_test(an_efinix_file_tells_its_part_and_not_the_builders_folder),
		cmocka_unit_test(what_is_no_pair_of_digits_is_refused),
		cmocka_unit_test(microchip_files_are_recognised_and_not_judged),
		cmocka_unit_test(the_name_of_an_image_is_read_from_json_and_text),
		cmocka_unit_test(what_is_no_such_name_is_refused),
		cmocka_unit_test(other_samples_of_vendor_tools_are_judged_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
