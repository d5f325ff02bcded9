// SPDX-License-Identifier: Apache-2.0
/* The table of parts: that it does not contradict itself, and what is looked up in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* Which vendor has which families: a slip of the pen would be one more. */
static void every_family_is_known_and_of_one_vendor(void **state)
{
	static const struct {
		const char *vendor, *families;
	} known[] = {
		{ "altera", "|Agilex 3|Agilex 5|Arria 10|Cyclone 10 LP|Cyclone II|Cyclone III|Cyclone IV E|"
			    "Cyclone IV GX|Cyclone V|Cyclone V SoC|MAX 10|MAX II|Stratix V GS|" },
		{ "anlogic", "|Eagle|Elf2|" },
		{ "colognechip", "|GateMate|" },
		{ "efinix", "|Titanium|Trion|" },
		{ "gowin", "|GW1N|GW1NS|GW1NZ|GW2A|GW5A|" },
		{ "lattice", "|Certus-NX|CertusPro-NX|CrossLink-NX|ECP3|ECP5|MachXO|MachXO2|MachXO3|"
			     "MachXO3D|XP2|" },
		{ "xilinx", "|Artix UltraScale+|Artix-7|Kintex UltraScale|Kintex UltraScale+|Kintex-7|"
			    "Spartan UltraScale+|Spartan-3|Spartan-3A|Spartan-3E|Spartan-6|Spartan-7|Versal|"
			    "Virtex UltraScale|Virtex UltraScale+|Virtex-6|Virtex-7|Zynq UltraScale+|"
			    "Zynq-7000|" },
	};

	(void)state;
	for (size_t i = 0; i < image_parts_len; i++) {
		char family[64];
		size_t k = 0;

		snprintf(family, sizeof(family), "|%s|", image_parts[i].family);
		while (k < sizeof(known) / sizeof(known[0]) &&
		       strcmp(known[k].vendor, image_parts[i].vendor))
			k++;
		if (k == sizeof(known) / sizeof(known[0]) || !strstr(known[k].families, family))
			fail_msg("%s: %s has no family %s", image_parts[i].part,
				 image_parts[i].vendor, image_parts[i].family);
	}
}

/* The fields of a line by tabs; their number. */
static size_t fields(char *line, char **out, size_t most)
{
	size_t n = 0;

	line[strcspn(line, "\r\n")] = '\0';
	while (line && n < most)
		out[n++] = strsep(&line, "\t");
	return n;
}

static void every_row_names_its_source(void **state)
{
	static const char *const sources[] = { "openFPGALoader src/part.hpp",
					       "openFPGALoader src/fsparser.cpp",
					       "prjtrellis database/devices.json",
					       "read from an image made for it" };
	FILE *f = fopen("backend/image/parts.tsv", "re");
	char line[300], *field[8];
	size_t rows = 0, k;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#')
			continue;
		assert_int_equal(fields(line, field, 8), 6);
		for (k = 0; k < 4 && strcmp(field[5], sources[k]); k++)
			;
		if (k == 4)
			fail_msg("%s: '%s' is no source that is known", field[2], field[5]);
		rows++;
	}
	fclose(f);
	assert_int_equal(rows, image_parts_len);
}

/* Facts gathered for the project: all of them are in the table, or are no part that takes an
 * image. */
static void parts_beside_samples_of_vendor_tools_are_judged_right(void **state)
{
	static const char path[] = "../shared/idcodes.tsv";
	static const struct {
		const char *family, *reason;
	} left_out[] = {
		{ "xc2c", "a CPLD, programmed by JEDEC files" },
		{ "xc9500xl", "a CPLD, programmed by JEDEC files" },
		{ "xcf", "a configuration memory" },
		{ "zynqmp_cfgn", "the configuration controller's own port, not the part's" },
	};
	FILE *f;
	char line[300], *field[8];
	size_t rows = 0;

	(void)state;
	if (access("../shared", F_OK)) {
		print_message("skip: ../shared is not there\n");
		skip();
	}
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		uint32_t idcode, mask;
		bool found = false;
		size_t k = 0;

		if (line[0] == '#' || !strncmp(line, "idcode_hex", 10))
			continue;
		assert_int_equal(fields(line, field, 8), 6);
		rows++;
		while (k < sizeof(left_out) / sizeof(left_out[0]) &&
		       strcmp(left_out[k].family, field[3]))
			k++;
		if (k < sizeof(left_out) / sizeof(left_out[0]))
			continue;
		idcode = (uint32_t)strtoul(field[0], NULL, 16);
		mask = (uint32_t)strtoul(field[1], NULL, 16);
		for (size_t i = 0; i < image_parts_len; i++)
			found |= !strcmp(image_parts[i].vendor, field[2]) &&
				 !((image_parts[i].idcode ^ idcode) & image_parts[i].mask & mask);
		if (!found)
			fail_msg("%s %s (%s) is not in the table", field[2], field[4], field[0]);
	}
	fclose(f);
	assert_in_range(rows, 390, 10000);
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
		cmocka_unit_test(every_family_is_known_and_of_one_vendor),
		cmocka_unit_test(every_row_names_its_source),
		cmocka_unit_test(parts_beside_samples_of_vendor_tools_are_judged_right),
		cmocka_unit_test(the_longest_part_is_found_in_front_of_its_package),
		cmocka_unit_test(the_version_nibble_counts_only_where_the_table_says_so),
		cmocka_unit_test(names_are_found_in_any_case_and_several_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
