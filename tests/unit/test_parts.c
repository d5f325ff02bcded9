// SPDX-License-Identifier: Apache-2.0
/* The table of parts: that it does not contradict itself, and what is looked up in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/image/parts.h"

static void no_two_rows_contradict_each_other(void **state)
{
	(void)state;
	assert_in_range(image_parts_len, 300, 10000);
	for (size_t i = 0; i < image_parts_len; i++)
		for (size_t k = i + 1; k < image_parts_len; k++) {
			const struct image_part *a = &image_parts[i], *b = &image_parts[k];

			if (!strcmp(a->part, b->part) && a->idcode == b->idcode)
				fail_msg("%s stands twice with %08x", a->part, a->idcode);
			if (!strcmp(a->part, b->part) && strcmp(a->family, b->family))
				fail_msg("%s is of two families", a->part);
			if ((a->idcode ^ b->idcode) & a->mask & b->mask)
				continue;
			if (a->idcode != b->idcode || a->mask != b->mask ||
			    strcmp(a->vendor, b->vendor))
				fail_msg("%s (%08x/%08x) and %s (%08x/%08x) cannot both be right",
					 a->part, a->idcode, a->mask, b->part, b->idcode, b->mask);
		}
}

static void every_row_is_spelt_as_the_tree_shows_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < image_parts_len; i++) {
		const struct image_part *p = &image_parts[i];

		if (strspn(p->part, "abcdefghijklmnopqrstuvwxyz0123456789-*") != strlen(p->part))
			fail_msg("'%s' is not in lower case, or has a blank", p->part);
		assert_in_range(strlen(p->part), 2, sizeof(((struct image_facts *)0)->part) - 1);
		assert_in_range(strlen(p->family), 2,
				sizeof(((struct image_facts *)0)->family) - 1);
		assert_in_range(strlen(p->vendor), 2,
				sizeof(((struct image_facts *)0)->vendor) - 1);
		/* An IDCODE ends in 1 (IEEE 1149.1), but for those of configuration networks. */
		assert_true(p->idcode & 1);
		assert_false(p->idcode & ~p->mask);
		assert_ptr_equal(part_by_idcode(NULL, p->vendor, p->idcode)->vendor, p->vendor);
	}
}

static const char *split(const char *vendor, const char *prefix, const char *text,
			 const char **rest)
{
	size_t n = 99;
	const struct image_part *p = part_by_text(vendor, prefix, text, &n);

	*rest = text + n;
	return p ? p->part : NULL;
}

static void the_longest_part_is_found_in_front_of_its_package(void **state)
{
	const char *rest;

	(void)state;
	assert_string_equal(split("xilinx", "xc", "7a35tcpg236", &rest), "xc7a35t");
	assert_string_equal(rest, "cpg236");
	assert_string_equal(split("xilinx", "", "XCKU3P-FFVA676", &rest), "xcku3p");
	assert_string_equal(rest, "-FFVA676");
	assert_string_equal(split("xilinx", "xc", "6slx25tcsg324", &rest), "xc6slx25t");
	/* A number that goes on is another part. */
	assert_null(split("xilinx", "xc", "7a35", &rest));
	assert_null(split("xilinx", "", "xc6slx91", &rest));
	assert_null(split("lattice", "xc", "7a35tcpg236", &rest));
	assert_string_equal(split("altera", "", "5CEBA2F17C8", &rest), "5ce*a2");
	assert_string_equal(rest, "F17C8");
	assert_string_equal(split("altera", "", "5CGXFC3B6U15", &rest), "5cgx*3");
}

static void the_version_nibble_counts_only_where_the_table_says_so(void **state)
{
	(void)state;
	assert_true(idcodes_alike(0x0362d093, 0x1362d093));
	assert_false(idcodes_alike(0x0362d093, 0x0362c093));
	/* LFE5U-12F and -25F are one die and refuse each other's images. */
	assert_false(idcodes_alike(0x21111043, 0x41111043));
	assert_true(idcodes_alike(0x41111043, 0x41111043));
	/* One of them is in no list: the same chip in another version. */
	assert_true(idcodes_alike(0x012bd043, 0x712bd043));
	assert_false(idcodes_alike(0x1100481b, 0x0100481b));
}

static void names_are_found_in_any_case_and_several_times(void **state)
{
	const struct image_part *p = part_by_name(NULL, "XCVU9P");

	(void)state;
	assert_non_null(p);
	p = part_by_name(p, "XCVU9P");
	assert_non_null(p);
	assert_null(part_by_name(p, "XCVU9P"));
	assert_null(part_by_name(NULL, ""));
	assert_null(part_by_name(NULL, "xcvu9"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_two_rows_contradict_each_other),
		cmocka_unit_test(every_row_is_spelt_as_the_tree_shows_it),
		cmocka_unit_test(the_longest_part_is_found_in_front_of_its_package),
		cmocka_unit_test(the_version_nibble_counts_only_where_the_table_says_so),
		cmocka_unit_test(names_are_found_in_any_case_and_several_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
