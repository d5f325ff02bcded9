// SPDX-License-Identifier: Apache-2.0
/* Facts: whether an image suits a card, and facts as JSON and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include <fabricfs/buf.h>
#include <fabricfs/image.h>

static struct image_facts hx8k(void)
{
	struct image_facts f = {
		.format = "ice40",
		.confidence = IMAGE_EXACT,
		.vendor = "lattice",
		.family = "iCE40",
		.part = "iCE40-HX8K",
		.also_parts = "iCE40-LP8K iCE40-HX4K",
		.declared_size = 135099,
		.partial = IMAGE_NO,
		.encrypted = IMAGE_YES,
		.integrity_checked = "crc16 sha256",
		.integrity_ok = true,
		.detail = "a \"quoted\" word",
		.user_id = "cafe0001",
		.dies = 3,
		.kernels = "add mul",
		.afus = "d8424dc4-a4a3-c413-f89e-433683f9040b",
		.needs = "one clock of 200 MHz",
		.firmware = "a.bit.bin",
		.targets = "fpga_full",
	};

	return f;
}

/* With what no iCE40 image tells. */
static struct image_facts all_facts(void)
{
	struct image_facts f = hx8k();

	f.has_idcode = true;
	f.idcode = 0x1362d093;
	text_copy(f.package, sizeof(f.package), "cpg236");
	text_copy(f.speed, sizeof(f.speed), "2LV-c");
	text_copy(f.shell, sizeof(f.shell), "8def22be");
	text_copy(f.interface, sizeof(f.interface), "00112233445566778899aabbccddeeff");
	text_copy(f.unique_id, sizeof(f.unique_id), "8def22bf");
	text_copy(f.compatible, sizeof(f.compatible), "xlnx,zynqmp-k26 xlnx,zynqmp");
	return f;
}

/* --- matching -------------------------------------------------------------- */

static void an_image_for_another_part_is_refused_naming_both(void **state)
{
	struct image_facts f = hx8k();
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(image_suits(&f, "iCE40-HX1K", false, 0, "", &why), -EMEDIUMTYPE);
	assert_int_equal(why.err, EMEDIUMTYPE);
	assert_string_equal(why.text,
			    "image is for iCE40-HX8K, iCE40-LP8K or iCE40-HX4K, card has iCE40-HX1K");
}

static void any_part_of_the_same_die_is_taken_in_any_case(void **state)
{
	struct image_facts f = hx8k();

	(void)state;
	assert_int_equal(image_suits(&f, "iCE40-HX8K", false, 0, "ice40", NULL), 0);
	assert_int_equal(image_suits(&f, "ice40-hx4k", false, 0, "ice40", NULL), 0);
	assert_int_equal(image_suits(&f, "iCE40-HX4", false, 0, "ice40", NULL), -EMEDIUMTYPE);
	assert_int_equal(image_suits(&f, "HX4K", false, 0, "ice40", NULL), -EMEDIUMTYPE);
}

static void what_is_unknown_on_either_side_is_no_refusal(void **state)
{
	struct image_facts f = hx8k(), none = { 0 };

	(void)state;
	assert_int_equal(image_suits(&f, "", true, 0x1234, "", NULL), 0);
	assert_int_equal(image_suits(&f, "", false, 0, "", NULL), 0);
	assert_int_equal(image_suits(&none, "iCE40-HX1K", true, 0x1234, "ice40", NULL), 0);
}

static void idcodes_are_compared_without_their_version(void **state)
{
	struct image_facts f = { .part = "xc7a35t", .has_idcode = true, .idcode = 0x0362d093 };
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(image_suits(&f, "", true, 0x1362d093, "", &why), 0);
	assert_int_equal(image_suits(&f, "", true, 0x03631093, "", &why), -EMEDIUMTYPE);
	assert_non_null(strstr(why.text, "0362d093"));
	assert_non_null(strstr(why.text, "03631093"));
}

static void an_idcode_decides_over_names(void **state)
{
	struct image_facts f = { .format = "xilinx-bit", .vendor = "xilinx", .part = "xc7a50t",
				 .has_idcode = true, .idcode = 0x0362c093 };
	struct reason why = { 0 };

	(void)state;
	/* The card's name alone: the table knows its IDCODE. */
	assert_int_equal(image_suits(&f, "xc7a35t", false, 0, "", &why), -EMEDIUMTYPE);
	assert_string_equal(why.text, "image is for xc7a50t (idcode 0362c093), card has xc7a35t (0362d093)");
	assert_int_equal(image_suits(&f, "XC7A50T", false, 0, "", &why), 0);
	/* With package and speed. */
	assert_int_equal(image_suits(&f, "xc7a50tcsg324-1", false, 0, "", &why), 0);
	assert_int_equal(image_suits(&f, "xc7a35tcsg324-1", false, 0, "", &why), -EMEDIUMTYPE);
	/* A name of the card's own, with the IDCODE that the chip answers with. */
	assert_int_equal(image_suits(&f, "xa7a50t", true, 0x1362c093, "", &why), 0);
	assert_int_equal(image_suits(&f, "xc7a50t", true, 0x0362d093, "", &why), -EMEDIUMTYPE);
}

static void a_good_image_of_another_vendor_is_refused_by_part_and_format(void **state)
{
	struct image_facts f = { .format = "xilinx-bit", .vendor = "xilinx", .part = "xc7a50t",
				 .has_idcode = true, .idcode = 0x0362c093 };
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(image_suits(&f, "iCE40-HX1K", false, 0, "ice40", &why), -EMEDIUMTYPE);
	assert_string_equal(why.text, "image is of format xilinx-bit for xc7a50t, card has iCE40-HX1K and takes ice40");
}

static void a_format_that_the_card_does_not_take_is_refused(void **state)
{
	struct image_facts f = hx8k();
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(image_suits(&f, "iCE40-HX8K", false, 0, "xilinx-bit xilinx-bin", &why),
			 -EMEDIUMTYPE);
	assert_non_null(strstr(why.text, "ice40"));
	assert_non_null(strstr(why.text, "xilinx-bin"));
	assert_int_equal(image_suits(&f, "iCE40-HX8K", false, 0, "rbf ice40", &why), 0);
}

/* --- JSON ------------------------------------------------------------------ */

static json_t *object(char *text)
{
	json_t *o = json_loads(text, 0, NULL);

	assert_true(json_is_object(o));
	free(text);
	return o;
}

static void facts_come_back_from_json_as_they_were(void **state)
{
	struct image_facts f = all_facts(), back;
	char *json = image_facts_json(&f, "a.bin", "00", 7, 0, NULL, NULL);

	(void)state;
	assert_non_null(json);
	assert_null(strchr(json, '\n'));
	assert_int_equal(image_facts_parse(json, &back), 0);
	assert_memory_equal(&f, &back, sizeof(f));
	free(json);
}

static void every_key_is_there_and_unknown_is_null(void **state)
{
	static const char *const keys[] = {
		"file", "sound", "errno", "reason", "format", "confidence", "vendor", "family", "part",
		"package", "speed", "idcode", "size", "declared_size", "partial", "compressed",
		"encrypted", "signed", "shell", "design", "tool", "built", "sha256", "integrity",
		"detail", "fits", "user_id", "dies", "kernels", "afus", "needs", "firmware", "targets",
		"interface", "unique_id", "compatible",
	};
	struct image_facts none = { 0 };
	json_t *o = object(image_facts_json(&none, NULL, NULL, 0, 0, NULL, NULL));

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		json_t *v = json_object_get(o, keys[i]);

		if (!v)
			fail_msg("no key %s", keys[i]);
		if (strcmp(keys[i], "sound") && !json_is_null(v))
			fail_msg("%s is not null", keys[i]);
	}
	json_decref(o);
}

static void a_fact_shows_itself_as_its_key_of_json_does(void **state)
{
	struct image_facts f = all_facts(), none = { 0 };
	json_t *o = object(image_facts_json(&f, NULL, NULL, 0, 0, NULL, NULL));
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	for (size_t i = 0; image_fact_names[i]; i++) {
		json_t *v = json_object_get(o, image_fact_names[i]);
		size_t before = b.len;

		assert_non_null(v);
		assert_true(image_fact_text(&none, image_fact_names[i], &b));
		assert_int_equal(b.len, before);
		assert_true(image_fact_text(&f, image_fact_names[i], &b));
		assert_int_equal(b.len > before, !json_is_null(v));
		if (json_is_string(v))
			assert_string_equal(b.data + before, json_string_value(v));
		else if (json_is_boolean(v))
			assert_string_equal(b.data + before, json_is_true(v) ? "true" : "false");
		else if (json_is_integer(v))
			assert_int_equal(strtoll(b.data + before, NULL, 10), json_integer_value(v));
	}
	assert_false(image_fact_text(&f, "file", &b));
	assert_false(image_fact_text(&f, "", &b));
	b.len = 0;
	image_fact_text(&f, "integrity", &b);
	assert_string_equal(b.data, "crc16 sha256");
	json_decref(o);
}

static void a_refusal_and_a_misfit_carry_errno_and_sentence(void **state)
{
	struct image_facts f = hx8k();
	json_t *o = object(image_facts_json(&f, "x", NULL, 5, EBADMSG, "truncated", NULL));

	(void)state;
	assert_true(json_is_false(json_object_get(o, "sound")));
	assert_string_equal(json_string_value(json_object_get(o, "errno")), "EBADMSG");
	assert_string_equal(json_string_value(json_object_get(o, "reason")), "truncated");
	assert_true(json_is_null(json_object_get(o, "fits")));
	json_decref(o);

	o = object(image_facts_json(&f, "x", "00", 5, 0, NULL, "image is for a, card has b"));
	assert_true(json_is_true(json_object_get(o, "sound")));
	assert_true(json_is_false(json_object_get(o, "fits")));
	assert_string_equal(json_string_value(json_object_get(o, "errno")), "EMEDIUMTYPE");
	assert_string_equal(json_string_value(json_object_get(o, "reason")), "image is for a, card has b");
	json_decref(o);

	/* Refused by its header: of the rest nothing is known. */
	o = object(image_facts_json(&f, NULL, NULL, 0, EMEDIUMTYPE, NULL, "image is for a, card has b"));
	assert_true(json_is_null(json_object_get(o, "sound")));
	assert_true(json_is_false(json_object_get(o, "fits")));
	json_decref(o);

	/* A policy is not the image's fault either, and keeps its own errno. */
	o = object(image_facts_json(&f, NULL, "00", 5, EPERM, NULL, "the policy formats"));
	assert_true(json_is_true(json_object_get(o, "sound")));
	assert_string_equal(json_string_value(json_object_get(o, "errno")), "EPERM");
	assert_string_equal(json_string_value(json_object_get(o, "reason")), "the policy formats");
	json_decref(o);

	/* One that is damaged and does not fit is told for its damage. */
	o = object(image_facts_json(&f, "x", "00", 5, EBADMSG, "cut", "image is for a, card has b"));
	assert_true(json_is_false(json_object_get(o, "sound")));
	assert_string_equal(json_string_value(json_object_get(o, "errno")), "EBADMSG");
	assert_string_equal(json_string_value(json_object_get(o, "reason")), "cut");
	json_decref(o);

	o = object(image_facts_json(&f, "x", NULL, 5, 0, NULL, ""));
	assert_true(json_is_true(json_object_get(o, "fits")));
	assert_true(json_is_null(json_object_get(o, "errno")));
	json_decref(o);
}

static void a_file_name_that_is_not_utf8_is_shown_with_question_marks(void **state)
{
	struct image_facts none = { 0 };
	json_t *o = object(image_facts_json(&none, "a\xff" "b", NULL, 0, ENOEXEC, "no", NULL));

	(void)state;
	assert_string_equal(json_string_value(json_object_get(o, "file")), "a?b");
	json_decref(o);
}

static void facts_that_an_older_version_kept_are_read(void **state)
{
	struct image_facts f;

	(void)state;
	assert_int_equal(image_facts_parse("{\"format\":\"ice40\",\"part\":\"iCE40-HX1K\",\"partial\":false}", &f), 0);
	assert_string_equal(f.part, "iCE40-HX1K");
	assert_int_equal(f.partial, IMAGE_NO);
	assert_int_equal(f.dies, 0);
	assert_string_equal(f.kernels, "");
	assert_int_equal(image_facts_parse("{\"dies\":-1}", &f), 0);
	assert_int_equal(f.dies, 0);
	assert_int_equal(image_facts_parse("{\"dies\":99999999999}", &f), 0);
	assert_int_equal(f.dies, 0);
}

static void hostile_json_is_refused_or_cut_and_never_crashes(void **state)
{
	struct image_facts f;
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	assert_int_equal(image_facts_parse("", &f), -EINVAL);
	assert_int_equal(image_facts_parse("[1]", &f), -EINVAL);
	assert_int_equal(image_facts_parse("{\"part\":", &f), -EINVAL);
	assert_int_equal(image_facts_parse("{\"part\":5,\"also_parts\":{},\"idcode\":\"zz\",\"partial\":3,"
					   "\"confidence\":7,\"declared_size\":-4,\"integrity\":[]}",
					   &f),
			 0);
	assert_string_equal(f.part, "");
	assert_false(f.has_idcode);
	assert_int_equal(f.declared_size, 0);
	buf_adds(&b, "{\"part\":\"");
	for (int i = 0; i < 1000; i++)
		buf_adds(&b, "p");
	buf_adds(&b, "\"}");
	assert_int_equal(image_facts_parse(b.data, &f), 0);
	assert_int_equal(strlen(f.part), sizeof(f.part) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_for_another_part_is_refused_naming_both),
		cmocka_unit_test(any_part_of_the_same_die_is_taken_in_any_case),
		cmocka_unit_test(what_is_unknown_on_either_side_is_no_refusal),
		cmocka_unit_test(idcodes_are_compared_without_their_version),
		cmocka_unit_test(an_idcode_decides_over_names),
		cmocka_unit_test(a_good_image_of_another_vendor_is_refused_by_part_and_format),
		cmocka_unit_test(a_format_that_the_card_does_not_take_is_refused),
		cmocka_unit_test(facts_come_back_from_json_as_they_were),
		cmocka_unit_test(every_key_is_there_and_unknown_is_null),
		cmocka_unit_test(a_fact_shows_itself_as_its_key_of_json_does),
		cmocka_unit_test(a_refusal_and_a_misfit_carry_errno_and_sentence),
		cmocka_unit_test(a_file_name_that_is_not_utf8_is_shown_with_question_marks),
		cmocka_unit_test(facts_that_an_older_version_kept_are_read),
		cmocka_unit_test(hostile_json_is_refused_or_cut_and_never_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
