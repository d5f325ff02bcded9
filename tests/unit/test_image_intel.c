// SPDX-License-Identifier: Apache-2.0
/* Formats of Altera and Intel: .rbf, .sof, .aocx, .gbs. */
#include <fabricfs/digest.h>

#include "image_fixture.h"

/* --- rbf --------------------------------------------------------------------------- */

static void an_rbf_is_a_guess_by_its_first_bytes(void **state)
{
	struct buf a CLEANUP_BUF = BUF_INIT, b CLEANUP_BUF = BUF_INIT;
	struct verdict v;

	(void)state;
	put_fill(&a, 0xff, 32);
	buf_add(&a, "\x6a\xf7\xf7\xf7\xf7\xf7\xf7\xf3\xfb\xf2", 10);
	put_fill(&a, 0x5a, 500);
	put_fill(&b, 0xff, 128);
	buf_add(&b, "\x6a\x6a\x6a\x6a\x36\xf4\xff\xff", 8);
	put_fill(&b, 0x5a, 500);
	v = assert_sound(&a);
	keep_image("cyclone4.rbf", &a);
	assert_string_equal(v.facts.format, "rbf");
	assert_int_equal(v.facts.confidence, IMAGE_GUESS);
	assert_string_equal(v.facts.vendor, "altera");
	assert_string_equal(v.facts.family, "Cyclone III/IV/10 LP");
	assert_string_equal(v.facts.part, "");
	assert_string_equal(v.facts.integrity_checked, "");
	assert_true(v.facts.unsized);
	assert_int_equal(v.facts.declared_size, 0);
	/* A guess is no refusal, whatever the card. */
	assert_int_equal(image_suits(&v.facts, "5ceba2", true, 0x02b150dd, "", NULL), 0);
	v = assert_sound(&b);
	assert_string_equal(v.facts.family, "Cyclone V, Arria V, Stratix V");
	any_chunking_agrees(&a);
	any_chunking_agrees(&b);
	flips_are_survived(&a, 0, 45, 1);
	flips_are_survived(&b, 0, 140, 1);
	/* One byte of ff less or more, and it begins like nothing. */
	assert_refused(judge(a.data + 1, a.len - 1, 77), ENOEXEC, "no known image follows");
	put8(&b, 0xff);
	memmove(b.data + 1, b.data, b.len - 1);
	b.data[0] = (char)0xff;
	assert_refused(judge_buf(&b), ENOEXEC, "no known image follows");
}

/* --- sof ----------------------------------------------------------------------------- */

static void record(struct buf *b, unsigned type, const void *data, size_t n)
{
	put8(b, type & 255);
	put8(b, type >> 8);
	put_le32(b, (uint32_t)n);
	buf_add(b, data, n);
}

/* X-25 on bits, highest first, each byte and the result turned around. */
static unsigned crc_x25(const char *b, size_t n)
{
	unsigned crc = 0xffff, out = 0;

	for (size_t i = 0; i < n; i++)
		for (int bit = 0; bit < 8; bit++) {
			unsigned in = ((unsigned char)b[i] >> bit & 1) ^ (crc >> 15 & 1);

			crc = (crc << 1 & 0xffff) ^ (in ? 0x1021 : 0);
		}
	for (int bit = 0; bit < 16; bit++)
		out |= (crc >> bit & 1) << (15 - bit);
	return out ^ 0xffff;
}

static struct buf sof(const char *device, bool configuration, unsigned records)
{
	struct buf b = BUF_INIT;
	char bits[700];
	unsigned crc;

	for (size_t i = 0; i < sizeof(bits); i++)
		bits[i] = (char)(i % 7 ? 0 : i);
	buf_add(&b, "SOF\0\0\0\0\0", 8);
	put_le32(&b, records);
	record(&b, 1, "Quartus Prime Compiler Version 18.1.0 Lite Edition", 51);
	record(&b, 2, device, strlen(device));
	record(&b, 3, "/home/builder/top", 17);
	record(&b, 99, "", 0);
	record(&b, configuration ? 17 : 18, bits, sizeof(bits));
	put8(&b, 8);
	put8(&b, 0);
	put_le32(&b, 2);
	crc = crc_x25(b.data, b.len);
	put8(&b, crc & 255);
	put8(&b, crc >> 8);
	assert_int_equal(buf_ok(&b), 0);
	return b;
}

static void a_sof_tells_device_tool_and_design_and_its_crc_holds(void **state)
{
	struct buf b CLEANUP_BUF = sof("10M08SAU169C8G", true, 6);
	struct verdict v = assert_sound(&b);

	(void)state;
	keep_image("max10.sof", &b);
	assert_string_equal(v.facts.format, "sof");
	assert_int_equal(v.facts.confidence, IMAGE_EXACT);
	assert_string_equal(v.facts.part, "10m08s");
	assert_string_equal(v.facts.package, "AU169C8G");
	assert_string_equal(v.facts.family, "MAX 10");
	assert_string_equal(v.facts.tool, "Quartus Prime Compiler Version 18.1.0 Lite Edition");
	assert_string_equal(v.facts.design, "top");
	assert_string_equal(v.facts.integrity_checked, "crc16");
	assert_int_equal(v.facts.declared_size, b.len);
	assert_int_equal(image_suits(&v.facts, "10M08SAU169C8G", false, 0, "", NULL), 0);
	assert_int_equal(image_suits(&v.facts, "10m50s", false, 0, "", NULL), -EMEDIUMTYPE);
	any_chunking_agrees(&b);
	flips_are_refused(&b, 0, b.len, 1);
	cuts_are_refused(&b, 2, b.len, 1);
	put_fill(&b, 0, 10);
	assert_sound(&b);
	put8(&b, 7);
	assert_refused(judge_buf(&b), EFBIG, "after the end");
}

static void a_sof_whose_records_do_not_add_up_is_refused(void **state)
{
	struct buf a CLEANUP_BUF = sof("10M08SAU169C8G", false, 6),
		     b CLEANUP_BUF = sof("10M08", true, 5), c CLEANUP_BUF = sof("10M08", true, 7),
		     d CLEANUP_BUF = sof("10M08", true, 0);

	(void)state;
	assert_refused(judge_buf(&a), EBADMSG, "no record holds a configuration");
	assert_refused(judge_buf(&b), EBADMSG, "the last record is not the CRC");
	assert_refused(judge_buf(&c), EBADMSG, "the CRC is not the last record");
	assert_refused(judge_buf(&d), EBADMSG, "no records");
}

/* --- aocx ------------------------------------------------------------------------------ */

struct part {
	const char *name, *text;
	size_t filling; /* bytes more */
};

static struct buf aocx(const struct part *parts, unsigned n)
{
	struct buf b = BUF_INIT, names CLEANUP_BUF = BUF_INIT, rows CLEANUP_BUF = BUF_INIT;
	size_t at;

	buf_add(&b,
		"\x7f"
		"ELF\1\1\1\0\0\0\0\0\0\0\0\0",
		16);
	buf_add(&b, "\0\0\x3e\0\1\0\0\0\0\0\0\0\0\0\0\0", 16);
	put_fill(&b, 0, 20);
	put8(&names, 0);
	put_fill(&rows, 0, 40);
	for (unsigned i = 0; i <= n; i++) {
		const char *name = i < n ? parts[i].name : ".shstrtab";

		put_le32(&rows, (uint32_t)names.len);
		buf_add(&names, name, strlen(name) + 1);
		put_le32(&rows, i < n ? 1 : 3);
		put_fill(&rows, 0, 8);
		put_le32(&rows, (uint32_t)b.len);
		at = b.len;
		if (i < n) {
			buf_adds(&b, parts[i].text);
			put_fill(&b, 0x77, parts[i].filling);
		} else {
			buf_add(&b, names.data, names.len);
		}
		put_le32(&rows, (uint32_t)(b.len - at));
		put_fill(&rows, 0, 16);
	}
	at = b.len;
	buf_add(&b, rows.data, rows.len);
	for (int k = 0; k < 4; k++)
		b.data[32 + k] = (char)(at >> 8 * k);
	b.data[46] = 40;
	b.data[48] = (char)(n + 2);
	b.data[50] = (char)(n + 1);
	assert_int_equal(buf_ok(&b), 0);
	return b;
}

static void an_aocx_tells_board_and_tool(void **state)
{
	static const struct part parts[] = { { ".acl.board", "pac_a10", 0 },
					     { ".acl.version", "18.1.0.625", 0 },
					     { ".acl.fpga.bin", "", 1000 },
					     { ".acl.compileoptions", "x", 0 } };
	/* Larger than what is kept of the front; the names come behind it. */
	static const struct part large[] = { { ".acl.fpga.bin", "", 150000 },
					     { ".acl.board", "late", 0 } };
	/* A board that lies where nothing is kept. */
	static const struct part hidden[] = { { ".acl.fpga.bin", "", 100000 },
					      { ".acl.board", "hidden", 0 },
					      { ".acl.source.1", "", 100000 } };
	struct buf b CLEANUP_BUF = aocx(parts, 4), c CLEANUP_BUF = aocx(large, 2),
		     d CLEANUP_BUF = aocx(hidden, 3);
	struct verdict v = assert_sound(&b);

	(void)state;
	keep_image("a10.aocx", &b);
	assert_string_equal(v.facts.format, "aocx");
	assert_string_equal(v.facts.shell, "pac_a10");
	assert_string_equal(v.facts.tool, "18.1.0.625");
	assert_int_equal(v.facts.declared_size, b.len);
	assert_non_null(strstr(v.facts.integrity_absent, "no checksum"));
	any_chunking_agrees(&b);
	cuts_are_refused(&b, 20, b.len, 1);
	flips_are_survived(&b, 0, b.len, 3);
	assert_string_equal(assert_sound(&c).facts.shell, "late");
	any_chunking_agrees(&c);
	assert_string_equal(assert_sound(&d).facts.shell, "");
}

static void an_aocx_tells_kernels_and_memories(void **state)
{
	/* As the runtime's own description of the format has it. */
	static const char counted[] =
		"23 24 sample40byterandomhash000000000000000000 pac_a10 0 2 10 DDR 2 1 2 0 2048 0 - 0 0 "
		"7 QDR 1 0 2 0 4096 0 1 2 6 foo 64 128 0 192 256 3 bar 1 2";
	static const char xml[] = "<board name=\"b\"><kernel name=\"vadd\" x=\"1\"><argument/></kernel>"
				  "<kernel name=\"mm ult\"/></board>";
	static const struct {
		const char *section, *text, *kernels, *needs;
	} rows[] = {
		{ ".acl.autodiscovery", counted, "foo bar", "memory DDR QDR" },
		{ ".acl.kernel_arg_info.xml", xml, "vadd mm", "" },
		{ ".acl.autodiscovery", "22 hash board 0 1 10 DDR", "", "" },
		{ ".acl.autodiscovery", "23 99 hash board 0 9 10 DDR", "", "" },
		{ ".acl.autodiscovery", "23 4294967295 h b 0 4294967295 1 \x1b\n", "", "" },
		{ ".acl.autodiscovery", "23", "", "" },
		{ ".acl.autodiscovery", " ", "", "" },
		{ ".acl.kernel_arg_info.xml", "<kernel name=\"", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct part parts[] = { { ".acl.board", "pac_a10", 0 },
					      { rows[i].section, rows[i].text, 0 },
					      { ".acl.fpga.bin", "", 100 } };
		struct buf b CLEANUP_BUF = aocx(parts, 3);
		struct verdict v = assert_sound(&b);

		if (!i)
			keep_image("kernels.aocx", &b);
		assert_string_equal(v.facts.kernels, rows[i].kernels);
		assert_string_equal(v.facts.needs, rows[i].needs);
		any_chunking_agrees(&b);
		flips_are_survived(&b, 52, 52 + 8 + strlen(rows[i].text), 1);
	}
}

static void an_aocx_for_the_emulator_is_for_no_card(void **state)
{
	static const struct part parts[] = { { ".acl.board", "EmulatorDevice", 0 },
					     { ".acl.emulator_object.linux", "code", 100 } };
	static const struct part program[] = { { ".text", "code", 100 } };
	struct buf b CLEANUP_BUF = aocx(parts, 2), c CLEANUP_BUF = aocx(program, 1);

	(void)state;
	assert_for_no_card(&b, "a build for the emulator");
	assert_refused(judge_buf(&c), ENOEXEC, "without the section .acl.board");
	/* A program of the usual kind is not even taken for one. */
	b.data[16] = 2;
	assert_refused(judge_buf(&b), ENOEXEC, "program or library");
}

static void hostile_tables_of_an_aocx_are_refused(void **state)
{
	static const struct part parts[] = { { ".acl.board", "pac_a10", 0 },
					     { ".acl.fpga.bin", "", 1000 } };
	static const struct {
		size_t at, n;
		const char *bytes;
	} rows[] = {
		{ 32, 4, "\0\0\0\0" }, { 32, 4, "\1\0\0\0" }, { 32, 4, "\xff\xff\xff\xff" },
		{ 46, 2, "\0\0" },     { 46, 2, "\xff\xff" }, { 48, 2, "\0\0" },
		{ 48, 2, "\xff\xff" }, { 50, 2, "\xff\xff" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = aocx(parts, 2);

		memcpy(b.data + rows[i].at, rows[i].bytes, rows[i].n);
		if (!judge_buf(&b).end)
			fail_msg("row %zu: accepted", i);
		any_chunking_agrees(&b);
	}
	/* Offsets and sizes of sections, of their names' too. */
	struct buf b CLEANUP_BUF = aocx(parts, 2);

	for (size_t row = 1; row < 4; row++)
		for (size_t field = 16; field <= 20; field += 4) {
			struct buf c CLEANUP_BUF = BUF_INIT;

			buf_add(&c, b.data, b.len);
			memset(c.data + c.len - 160 + row * 40 + field, 0xff, 4);
			assert_refused(judge_buf(&c), EBADMSG, "section");
		}
}

/* --- gbs ---------------------------------------------------------------------------------- */

#define AFU_JSON                                                                                    \
	"{\"version\": 1, \"platform-name\": \"DCP\", \"afu-image\": {\"power\": 20, "              \
	"\"clock-frequency-high\": 300, \"clock-frequency-low\": 150, "                             \
	"\"interface-uuid\": \"f59830f7-e716-5369-9b8e-5a0f8a4e8b9a\", \"accelerator-clusters\": [" \
	"{\"name\": \"nlb_400\", \"total-contexts\": 1, "                                           \
	"\"accelerator-type-uuid\": \"d8424dc4-a4a3-c413-f89e-433683f9040b\"}]}}"

static struct buf gbs(const char *json, bool is_signed)
{
	struct buf b = BUF_INIT;

	if (is_signed) {
		buf_add(&b, "\x19\xfd\xea\xb6", 4);
		put_le32(&b, (uint32_t)(20 + strlen(json) + 200));
		put_le32(&b, 2);
		put_fill(&b, 0x33, 1024 - 12);
	}
	buf_add(&b, "XeonFPGA\xb7GBSv001", 16);
	put_le32(&b, (uint32_t)strlen(json));
	buf_adds(&b, json);
	put_fill(&b, 0xff, 200);
	assert_int_equal(buf_ok(&b), 0);
	if (is_signed) {
		struct digest *d = digest_new();
		char hex[SHA256_HEX], two[3] = "";

		digest_update(d, b.data + 1024, b.len - 1024);
		digest_hex(d, hex);
		digest_free(d);
		for (int i = 0; i < 32; i++) {
			memcpy(two, hex + 2 * i, 2);
			b.data[16 + i] = (char)strtoul(two, NULL, 16);
		}
	}
	return b;
}

static void the_digest_of_a_signed_gbs_is_told_where_it_holds(void **state)
{
	struct buf b CLEANUP_BUF = gbs(AFU_JSON, true), c CLEANUP_BUF = gbs(AFU_JSON, true);
	struct verdict v;

	(void)state;
	b.data[1024 + 30] ^= 1;
	v = assert_sound(&b);
	assert_string_equal(v.facts.integrity_checked, "");
	assert_non_null(strstr(v.facts.integrity_absent, "is not that of what is signed"));
	any_chunking_agrees(&b);
	b.data[1024 + 30] ^= 1;
	b.len -= 10;
	v = assert_sound(&b);
	assert_string_equal(v.facts.integrity_checked, "");
	assert_non_null(strstr(v.facts.integrity_absent, "of more than there is"));
	any_chunking_agrees(&b);
	/* Of other things that are signed, too: they are for no slot of an accelerator. */
	c.data[8] = 1;
	memset(c.data + 1024, 0x11, 20);
	assert_for_no_card(&c, "a signed update of the card itself");
	any_chunking_agrees(&c);
}

static void a_gbs_tells_its_interface_and_accelerators(void **state)
{
	(void)state;
	for (int is_signed = 0; is_signed < 2; is_signed++) {
		struct buf b CLEANUP_BUF = gbs(AFU_JSON, is_signed);
		struct verdict v = assert_sound(&b);

		keep_image(is_signed ? "signed.gbs" : "nlb.gbs", &b);
		assert_string_equal(v.facts.format, "gbs");
		assert_int_equal(v.facts.confidence, IMAGE_LIKELY);
		assert_string_equal(v.facts.shell, "f59830f7-e716-5369-9b8e-5a0f8a4e8b9a");
		assert_string_equal(v.facts.interface, v.facts.shell);
		assert_string_equal(v.facts.afus, "d8424dc4-a4a3-c413-f89e-433683f9040b");
		assert_string_equal(v.facts.kernels, "nlb_400");
		assert_string_equal(v.facts.needs, "clocks 300 MHz, 150 MHz; power 20 W");
		assert_string_equal(v.facts.family, "DCP");
		assert_int_equal(v.facts.partial, IMAGE_YES);
		assert_int_equal(v.facts.is_signed, is_signed ? IMAGE_YES : IMAGE_NO);
		assert_string_equal(v.facts.integrity_checked, is_signed ? "sha256" : "");
		assert_true(v.facts.unsized);
		any_chunking_agrees(&b);
		cuts_are_refused(&b, 4, b.len - 200, 1);
		flips_are_survived(&b, 0, b.len, is_signed ? 7 : 1);
	}
}

static void a_gbs_of_the_older_form_tells_its_interface(void **state)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	(void)state;
	buf_add(&b, "\x80\x86\x1f\x1d\0\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe\xf", 20);
	put_fill(&b, 0xff, 100);
	assert_string_equal(assert_sound(&b).facts.shell, "0f0e0d0c0b0a09080706050403020100");
	any_chunking_agrees(&b);
}

static void hostile_descriptions_of_a_gbs_are_survived(void **state)
{
	static const char *const texts[] = {
		"x",
		"[]",
		"{}",
		"{\"afu-image\": 5}",
		"{\"afu-image\": {\"accelerator-clusters\": {}}}",
		// NOLINTNEXTLINE(bugprone-suspicious-missing-comma): one text in two lines
		"{\"afu-image\": {\"interface-uuid\": \"../../etc\", \"power\": 1e300, "
		"\"accelerator-clusters\": [1, null, {\"name\": \"a\\u0001 b\", \"accelerator-type-uuid\": []}]}}",
	};
	struct buf b CLEANUP_BUF = gbs(AFU_JSON, false);

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct buf c CLEANUP_BUF = gbs(texts[i], false);

		assert_string_equal(assert_sound(&c).facts.shell, "");
		any_chunking_agrees(&c);
	}
	memcpy(b.data + 16, "\0\0\0\0", 4);
	assert_refused(judge_buf(&b), EBADMSG, "description of 0 bytes");
	memcpy(b.data + 16, "\xff\xff\xff\xff", 4);
	assert_refused(judge_buf(&b), EBADMSG, "description of 4294967295 bytes");
	b.data[9] = 'x';
	assert_refused(judge_buf(&b), EBADMSG, "the id of a .gbs");
}

/* --- samples ------------------------------------------------------------------------------ */

static void intel_samples_of_vendor_tools_are_judged_right(void **state)
{
	static const struct {
		const char *name, *family;
	} rows[] = { { "rbf/10cl006.rbf", "Cyclone III/IV/10 LP" },
		     { "rbf/5cea2_cyclone5.rbf", "Cyclone V, Arria V, Stratix V" } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct buf b CLEANUP_BUF = BUF_INIT;

		if (!sample(rows[i].name, &b))
			skip();
		assert_string_equal(assert_sound(&b).facts.family, rows[i].family);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_rbf_is_a_guess_by_its_first_bytes),
		cmocka_unit_test(a_sof_tells_device_tool_and_design_and_its_crc_holds),
		cmocka_unit_test(a_sof_whose_records_do_not_add_up_is_refused),
		cmocka_unit_test(an_aocx_tells_board_and_tool),
		cmocka_unit_test(an_aocx_tells_kernels_and_memories),
		cmocka_unit_test(an_aocx_for_the_emulator_is_for_no_card),
		cmocka_unit_test(hostile_tables_of_an_aocx_are_refused),
		cmocka_unit_test(a_gbs_tells_its_interface_and_accelerators),
		cmocka_unit_test(the_digest_of_a_signed_gbs_is_told_where_it_holds),
		cmocka_unit_test(a_gbs_of_the_older_form_tells_its_interface),
		cmocka_unit_test(hostile_descriptions_of_a_gbs_are_survived),
		cmocka_unit_test(intel_samples_of_vendor_tools_are_judged_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
