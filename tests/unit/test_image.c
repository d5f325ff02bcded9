// SPDX-License-Identifier: Apache-2.0
/* The parser of images, whatever their format: pieces, things handed over by mistake, archives. */
#include "ice40_fixture.h"

/* --- the parser ------------------------------------------------------------------ */

/* A probe that is told how much of a head it has had need not read that again: same answer. */
static void a_probe_that_goes_on_says_what_one_from_the_start_would(void **state)
{
	static const char *const fronts[] = { "\xff", "\xff\x01", "\x7e\xaa\x99", "\xff\xff\xff\xff",
					      "\xff\xff\xff\xff\xaa\x99\x55\x66\x30\xa1" };
	static const char preamble[] = "Part: iCE40HX1K\0Date: x\0\xff\x7e\xaa\x99\x7e\x51\0\1\5";
	unsigned asked = 0;

	(void)state;
	for (size_t k = 0; k <= sizeof(fronts) / sizeof(fronts[0]); k++) {
		struct buf b CLEANUP_BUF = BUF_INIT;

		/* The first is an iCE40 image with a comment. */
		if (k)
			buf_adds(&b, fronts[k - 1]);
		else
			buf_add(&b, "\xff", 2);
		buf_add(&b, preamble, sizeof(preamble) - 1);
		for (size_t i = 0; image_formats[i]; i++) {
			const struct image_format *f = image_formats[i];

			for (size_t n = 2; f->probe_on && n <= b.len; n++)
				for (size_t seen = 1; seen < n; seen++) {
					if (f->probe((uint8_t *)b.data, seen, false) != IMAGE_UNKNOWN)
						break;
					assert_int_equal(
						f->probe_on((uint8_t *)b.data, seen, n, false),
						f->probe((uint8_t *)b.data, n, false));
					asked++;
				}
		}
	}
	assert_in_range(asked, 500, 1000000);
}

static void any_chunking_gives_the_same_answer(void **state)
{
	static const size_t chunks[] = { 1, 2, 3, 5, 17, 64, 511, 4095, 4096, 4097, 1 << 20 };
	static const char comment[] = "from next-pnr\0Part: iCE40HX1K-VQ100";
	struct buf cases[12];
	size_t n = 0;

	(void)state;
	cases[n++] = hx1k();
	cases[n++] = build(&HX1K, comment, sizeof(comment) - 1, GOOD);
	cases[n] = hx1k();
	cases[n++].len = 20000;
	cases[n] = hx1k();
	cases[n++].data[9000] ^= 16;
	cases[n] = hx1k();
	buf_adds(&cases[n++], "trailing");
	cases[n] = (struct buf)BUF_INIT;
	buf_adds(&cases[n++], "<html><body>404</body></html>\n");
	cases[n] = (struct buf)BUF_INIT;
	buf_adds(&cases[n++], "1\nsecond line");
	cases[n] = (struct buf)BUF_INIT;
	buf_add(&cases[n++], "\x1f\x8b\x08\x00\x00\x00", 6);
	cases[n] = (struct buf)BUF_INIT;
	buf_add(&cases[n++], "\xff\x00" "Part: LFE5U-25F\0\xff\xff\xff\xbd\xb3\x3b\x00\x00", 27);
	cases[n] = (struct buf)BUF_INIT;
	buf_add(&cases[n], "\xff\x00", 2);
	for (int i = 0; i < 9000; i++)
		byte(&cases[n], 'x');
	n++;

	for (size_t c = 0; c < n; c++) {
		struct verdict whole = judge(cases[c].data, cases[c].len, cases[c].len);

		for (size_t k = 0; k < sizeof(chunks) / sizeof(chunks[0]); k++) {
			struct verdict v = judge(cases[c].data, cases[c].len, chunks[k]);

			assert_int_equal(v.end, whole.end);
			assert_int_equal(v.feed, whole.feed);
			assert_int_equal(v.complete, whole.complete);
			assert_string_equal(v.why.text, whole.why.text);
			assert_memory_equal(&v.facts, &whole.facts, sizeof(v.facts));
		}
		buf_free(&cases[c]);
	}
}

static void things_handed_over_by_mistake_are_named_with_the_next_step(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *word;
	} rows[] = {
		{ "\x1f\x8b\x08\x00", 4, "gzip -dc" },
		{ "\xfd" "7zXZ", 5, "xz -dc" },
		{ "design.bit\0\0\0\0", 14, "tar -xOf FILE NAME > image" },
		{ "version https://git-lfs", 23, "git lfs pull" },
		{ ":020000040000FA", 15, "Intel HEX" },
		{ "#!/bin/sh", 9, "script" },
		{ "\x7f" "ELF\x02\x01", 6, "ELF" },
		{ "<!DOCTYPE html>", 15, "web page" },
		{ "<?xml version", 13, "as XML does" },
		{ "S315000", 7, "S-records" },
		{ "! Lattice\nHDR 0;", 16, "as SVF" },
		{ "STATE RESET;", 12, "as SVF" },
		{ "!<arch>\n", 8, "Debian package" },
		{ "\x07\x00\x13\x00", 4, ".xsvf" },
		{ "\x02Lattice JEDEC", 14, "JEDEC" },
		{ "\xef\xbb\xbf//Gowin", 10, "byte order mark" },
		{ "\xff\xfe/\0", 4, "UTF-16" },
		{ "# device: x", 11, "Anlogic" },
		{ "[{\"a\": 1}]", 10, "JSON" },
		{ ".comment x", 10, "icepack" },
		{ "hello world", 11, "as text does" },
		{ "1\n", 2, "commands go to ctl" },
		{ "\x12\x34\x56\x78", 4, "begins with 12 34 56 78" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct verdict v = judge(rows[i].bytes, rows[i].n, rows[i].n);

		/* At the write, not only at the close. */
		assert_int_equal(v.feed, -ENOEXEC);
		assert_refused(v, ENOEXEC, rows[i].word);
	}
	assert_refused(judge("abc", 3, 3), ENOEXEC, "as text does");
	assert_refused(judge("x", 1, 1), ENOEXEC, "as text does");
}

/* A file of a zip archive, with its header; `later` leaves its length to what follows it. */
static void zip_file(struct buf *b, const char *name, unsigned size, bool later)
{
	buf_add(b, "PK\x03\x04\x14\0", 6);
	byte(b, later ? 8 : 0);
	buf_add(b, "\0\x08\0\0\0\0\0\0\0\0\0", 11);
	for (int i = 0; i < 4; i++)
		byte(b, later ? 0 : size >> 8 * i & 255);
	for (int i = 0; i < 4; i++)
		byte(b, size >> 8 * i & 255);
	byte(b, (unsigned)strlen(name));
	buf_add(b, "\0\3\0", 3);
	buf_adds(b, name);
	buf_add(b, "xtr", 3);
	for (unsigned i = 0; i < size; i++)
		byte(b, i * 7 & 255);
	if (later)
		buf_add(b, "PK\x07\x08\1\2\3\4\1\2\3\4\1\2\3\4", 16);
}

static void an_archive_says_which_file_in_it_to_copy(void **state)
{
	static const struct {
		const char *names[4];
		bool later;
		const char *word;
	} rows[] = {
		{ { "sysdef.xml", "ps7_init.c", "sys.bit", "late.bit" }, false,
		  "a hardware archive of Vivado (.xsa); copy the image in it: unzip -p FILE 'sys.bit' > image" },
		{ { "xsa.json", "a.hwh", "hw/b d.bit", "" }, true,
		  "a hardware archive of Vivado (.xsa); copy the image in it: unzip -p FILE 'hw/b d.bit' > image" },
		{ { "boot.bin", "fpga.bit.bin", "readme", "" }, true, "unzip -p FILE 'fpga.bit.bin' > image" },
		{ { "it's.bit", "", "", "" }, false, "unzip -p FILE '*.bit' > image" },
		{ { "it's.fs", "", "", "" }, false, "unzip -p FILE '*.fs' > image" },
		{ { "readme.txt", "", "", "" }, true, "a zip archive, and by their names no file in it is an image; unzip -l" },
		{ { "sysdef.xml", "ps7_init.c", "a.hwh", "" }, false, "a hardware archive of Vivado (.xsa), which has no "
		  "bitstream in it; write it again with write_hw_platform -include_bit" },
		{ { "xsa.xml", "a.hwh", "", "" }, true, "a hardware archive of Vivado (.xsa), which has no bitstream" },
		{ { "xsa.xml", "boot.bin", "", "" }, false, "(.xsa); copy the image in it: unzip -p FILE 'boot.bin'" },
		{ { "dcp.xml", "top.edf", "", "" }, false, "a design checkpoint of Vivado (.dcp), which has no "
		  "bitstream" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = BUF_INIT;
		struct verdict v;

		for (unsigned k = 0; k < 4 && rows[i].names[k][0]; k++)
			zip_file(&b, rows[i].names[k], k ? 700 : 0, rows[i].later);
		buf_add(&b, "PK\x01\x02 the directory", 18);
		assert_int_equal(buf_ok(&b), 0);
		for (size_t chunk = 1; chunk < b.len + 500; chunk += 499) {
			v = judge(b.data, b.len, chunk);
			/* With the directory at the latest: not only at the close. */
			assert_int_equal(v.feed, -ENOEXEC);
			assert_refused(v, ENOEXEC, rows[i].word);
			assert_string_equal(v.facts.format, "");
		}
		for (size_t n = 4; n < b.len; n++)
			assert_refused(judge(b.data, n, n), ENOEXEC, "not an image: a ");
	}
	assert_refused(judge("PK\x03\x04", 4, 4), ENOEXEC, "zip archive");
}

static void a_large_archive_is_not_taken_in_for_nothing(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;
	struct verdict v;

	(void)state;
	zip_file(&b, "model.hwh", (1u << 20) + 5000, false);
	zip_file(&b, "late.bit", 10, false);
	for (size_t chunk = 1000; chunk <= b.len; chunk *= 30) {
		v = judge(b.data, (1u << 20), chunk);
		assert_int_equal(v.feed, -ENOEXEC);
		assert_refused(v, ENOEXEC, "hardware archive of Vivado (.xsa); copy the .bit in it: unzip");
		assert_int_equal(judge(b.data, (1u << 20) - 1, chunk).feed, IMAGE_MORE);
	}
}

/* The .bit of a hardware archive may come behind what is looked at, and other files have such names. */
static void no_other_file_of_a_hardware_archive_is_told_for_its_bit(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	zip_file(&b, "sysdef.xml", 0, false);
	zip_file(&b, "picture.bin", (1u << 20) + 5000, false);
	zip_file(&b, "late.bit", 10, false);
	assert_refused(judge(b.data, b.len, b.len), ENOEXEC, "(.xsa); copy the .bit in it: unzip -p FILE '*.bit' > image");
}

static void a_refusal_sticks_and_a_reset_forgets_it(void **state)
{
	struct buf b CLEANUP_BUF = hx1k();
	struct image_parser *p = image_parser_new();
	struct reason first = { 0 }, again = { 0 };

	(void)state;
	assert_int_equal(image_parser_feed(p, "gzip", 4, &first), -ENOEXEC);
	assert_int_equal(image_parser_feed(p, b.data, b.len, &again), -ENOEXEC);
	assert_string_equal(first.text, again.text);
	assert_int_equal(image_parser_end(p, &again), -ENOEXEC);
	image_parser_reset(p);
	assert_int_equal(image_parser_bytes(p), 0);
	assert_int_equal(image_parser_feed(p, b.data, b.len, &again), IMAGE_COMPLETE);
	assert_int_equal(image_parser_end(p, &again), 0);
	image_parser_free(p);
	image_parser_free(NULL);
}

static void nothing_is_not_an_image(void **state)
{
	struct image_parser *p = image_parser_new();
	struct reason why = { 0 };

	(void)state;
	assert_int_equal(image_parser_feed(p, "", 0, &why), IMAGE_MORE);
	assert_int_equal(image_parser_end(p, &why), -EBADMSG);
	assert_false(image_parser_complete(p));
	image_parser_free(p);
}

static void four_kilobytes_of_comment_without_a_preamble_are_no_image(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	buf_add(&b, "\xff\x00", 2);
	for (int i = 0; i < 4096; i++)
		byte(&b, 'c');
	assert_int_equal(judge(b.data, 4000, 4000).end, -EBADMSG);
	assert_int_equal(judge(b.data, 4098, 4098).feed, -ENOEXEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_probe_that_goes_on_says_what_one_from_the_start_would),
		cmocka_unit_test(any_chunking_gives_the_same_answer),
		cmocka_unit_test(things_handed_over_by_mistake_are_named_with_the_next_step),
		cmocka_unit_test(an_archive_says_which_file_in_it_to_copy),
		cmocka_unit_test(a_large_archive_is_not_taken_in_for_nothing),
		cmocka_unit_test(no_other_file_of_a_hardware_archive_is_told_for_its_bit),
		cmocka_unit_test(a_refusal_sticks_and_a_reset_forgets_it),
		cmocka_unit_test(nothing_is_not_an_image),
		cmocka_unit_test(four_kilobytes_of_comment_without_a_preamble_are_no_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
