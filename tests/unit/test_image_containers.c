// SPDX-License-Identifier: Apache-2.0
/* Containers: device-tree overlays and .xclbin, built here byte by byte. */
#include "image_fixture.h"
#include "backend/image/text.h"

/* --- device tree ----------------------------------------------------------------- */

struct tree {
	struct buf structure, strings;
};

static void node(struct tree *t, const char *name)
{
	put32(&t->structure, 1);
	buf_add(&t->structure, name, strlen(name) + 1);
	while (t->structure.len % 4)
		put8(&t->structure, 0);
}

static void node_end(struct tree *t)
{
	put32(&t->structure, 2);
}

static void property(struct tree *t, const char *name, const void *value, size_t n)
{
	put32(&t->structure, 3);
	put32(&t->structure, (uint32_t)n);
	put32(&t->structure, (uint32_t)t->strings.len);
	buf_add(&t->strings, name, strlen(name) + 1);
	buf_add(&t->structure, value, n);
	while (t->structure.len % 4)
		put8(&t->structure, 0);
}

static struct buf blob(struct tree *t)
{
	struct buf b = BUF_INIT;
	size_t structure = 56, strings = structure + t->structure.len + 4,
	       size = strings + t->strings.len;

	put32(&t->structure, 9);
	put32(&b, 0xd00dfeed);
	put32(&b, (uint32_t)size);
	put32(&b, (uint32_t)structure);
	put32(&b, (uint32_t)strings);
	put32(&b, 40);
	put32(&b, 17);
	put32(&b, 16);
	put32(&b, 0);
	put32(&b, (uint32_t)t->strings.len);
	put32(&b, (uint32_t)t->structure.len);
	put_fill(&b, 0, 16);
	buf_add(&b, t->structure.data, t->structure.len);
	buf_add(&b, t->strings.data, t->strings.len);
	buf_free(&t->structure);
	buf_free(&t->strings);
	assert_int_equal(buf_ok(&b), 0);
	assert_int_equal(b.len, size);
	return b;
}

/* An overlay; firmware NULL = names none, path NULL = its target is a label. */
static struct buf overlay(const char *firmware, size_t n, const char *path, bool partial)
{
	struct tree t = { 0 };

	node(&t, "");
	if (path)
		property(&t, "compatible", "xlnx,zynqmp-k26\0xlnx,zynqmp", 28);
	node(&t, "fragment@0");
	if (path)
		property(&t, "target-path", path, strlen(path) + 1);
	else
		property(&t, "target", "\xff\xff\xff\xff", 4);
	node(&t, "__overlay__");
	put32(&t.structure, 4);
	if (firmware)
		property(&t, "firmware-name", firmware, n);
	if (partial)
		property(&t, "partial-fpga-config", "", 0);
	node(&t, "uart@0");
	property(&t, "compatible", "a,b", 4);
	node_end(&t);
	node_end(&t);
	node_end(&t);
	node(&t, "__fixups__");
	if (!path)
		property(&t, "fpga_full", "/fragment@0:target:0", 21);
	property(&t, "resets", "/fragment@0/__overlay__:resets:0", 33);
	node_end(&t);
	node_end(&t);
	return blob(&t);
}

static void an_overlay_tells_its_image_and_target(void **state)
{
	struct buf b CLEANUP_BUF = overlay("k24.bit.bin", 12, NULL, false);
	struct buf c CLEANUP_BUF = overlay("part.bin", 9, "/axi/fpga-region", true);
	struct verdict v = assert_sound(&b);

	(void)state;
	keep_image("overlay.dtbo", &b);
	assert_string_equal(v.facts.format, "dtbo");
	assert_int_equal(v.facts.confidence, IMAGE_EXACT);
	assert_string_equal(v.facts.firmware, "k24.bit.bin");
	assert_string_equal(v.facts.targets, "fpga_full");
	assert_int_equal(v.facts.declared_size, b.len);
	assert_string_equal(v.facts.integrity_checked, "");
	assert_non_null(strstr(v.facts.integrity_absent, "no checksum"));
	v = assert_sound(&c);
	assert_string_equal(v.facts.targets, "/axi/fpga-region");
	/* Of the machine; not of a device in it. */
	assert_string_equal(v.facts.compatible, "xlnx,zynqmp-k26 xlnx,zynqmp");
	assert_int_equal(v.facts.partial, IMAGE_YES);
}

static void a_name_of_firmware_that_leads_elsewhere_is_refused(void **state)
{
	static const struct {
		const char *name;
		size_t n;
	} rows[] = {
		{ "../../etc/passwd", 17 }, { "a/b", 4 }, { "..", 3 }, { "", 1 }, { "no end", 6 }
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = overlay(rows[i].name, rows[i].n, NULL, false);

		assert_refused(judge_buf(&b), EBADMSG, "firmware-name is not the bare name");
	}
	/* No UTF-8: kept as something printable. */
	struct buf b CLEANUP_BUF = overlay("a\xff\x01", 4, NULL, false);

	assert_string_equal(assert_sound(&b).facts.firmware, "a??");
}

static void a_device_tree_that_is_no_overlay_is_for_no_card(void **state)
{
	struct tree t = { 0 };

	(void)state;
	node(&t, "");
	property(&t, "model", "board", 6);
	node_end(&t);

	struct buf b CLEANUP_BUF = blob(&t);

	assert_for_no_card(&b, "whole machine");
}

/* dtc -V 16: the header ends before the length of the structure. */
static void an_overlay_of_version_16_is_walked_to_its_end(void **state)
{
	struct buf b CLEANUP_BUF = overlay("k24.bit.bin", 12, NULL, false);
	uint32_t at = read_be32((const uint8_t *)b.data + 8);

	(void)state;
	b.data[23] = 16;
	memcpy(b.data + 36, "\xde\xad\xbe\xef", 4);
	assert_string_equal(assert_sound(&b).facts.firmware, "k24.bit.bin");
	any_chunking_agrees(&b);
	cuts_are_refused(&b, 4, b.len, 1);
	/* Without its last token, nothing that follows may be taken for more of it. */
	for (; at + 4 <= b.len; at += 4)
		if (read_be32((const uint8_t *)b.data + at) == 9)
			memcpy(b.data + at, "\0\0\0\x07", 4);
	assert_refused(judge_buf(&b), EBADMSG, "token of a device tree");
}

static void a_tree_that_does_not_hold_together_is_refused(void **state)
{
	struct buf b CLEANUP_BUF = overlay("k24.bit.bin", 12, NULL, false);
	struct tree deep = { 0 };

	(void)state;
	cuts_are_refused(&b, 4, b.len, 1);
	flips_are_survived(&b, 0, b.len, 1);
	any_chunking_agrees(&b);
	/* Each length and offset of the header at its extremes. */
	for (size_t at = 4; at < 40; at += 4)
		for (int k = 0; k < 3; k++) {
			struct buf c CLEANUP_BUF = BUF_INIT;

			buf_add(&c, b.data, b.len);
			memcpy(c.data + at,
			       k == 0	? "\0\0\0\0"
			       : k == 1 ? "\0\0\0\1"
					: "\xff\xff\xff\xff",
			       4);
			/* Memory to reserve and the processor are the kernel's; a later version may
			 * be compatible with an early one. */
			if (!judge_buf(&c).end && at != 16 && at != 24 && at != 28 &&
			    !(at == 20 && k == 2))
				fail_msg("the word at %zu at its extreme: accepted", at);
		}
	for (int i = 0; i < 40; i++)
		node(&deep, "n");

	struct buf d CLEANUP_BUF = blob(&deep);

	assert_refused(judge_buf(&d), EBADMSG, "deeper than 32");
	/* Padding may follow. */
	put_fill(&b, 0, 100);
	assert_sound(&b);
	put8(&b, 1);
	assert_refused(judge_buf(&b), EFBIG, "after the end");
}

/* --- xclbin -------------------------------------------------------------------------- */

struct section {
	unsigned kind;
	struct buf bytes;
};

static struct buf xclbin(const char *vbnv, struct section *sections, unsigned n)
{
	struct buf b = BUF_INIT;
	size_t at = 456 + 40 * n, total;

	at = (at + 7) & ~7u;
	total = at;
	for (unsigned i = 0; i < n; i++)
		total += (sections[i].bytes.len + 7) & ~7u;
	buf_add(&b, "xclbin2\0\xff\xff\xff\xff", 12);
	put_fill(&b, 0xff, 284);
	put_le64(&b, 1700000000);
	put_le64(&b, total);
	put_le64(&b, 1700000000);
	put_le64(&b, 0);
	buf_add(&b, "\xdd\x01\x02\x0d\0\0\0\0", 8);
	put_fill(&b, 0, 16);
	buf_add(&b, vbnv, strlen(vbnv));
	put_fill(&b, 0, 64 - strlen(vbnv));
	put_fill(&b, 0xab, 16);
	put_fill(&b, 0, 16);
	put_le32(&b, n);
	put_le32(&b, 0);
	for (unsigned i = 0; i < n; i++) {
		put_le32(&b, sections[i].kind);
		put_fill(&b, 0, 20);
		put_le64(&b, at);
		put_le64(&b, sections[i].bytes.len);
		at += (sections[i].bytes.len + 7) & ~7u;
	}
	while (b.len % 8)
		put8(&b, 0);
	for (unsigned i = 0; i < n; i++) {
		buf_add(&b, sections[i].bytes.data, sections[i].bytes.len);
		while (b.len % 8)
			put8(&b, 0);
		buf_free(&sections[i].bytes);
	}
	assert_int_equal(b.len, total);
	assert_int_equal(buf_ok(&b), 0);
	return b;
}

static struct buf text(const char *s)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, s);
	return b;
}

static void padded(struct buf *b, const char *s, size_t n)
{
	buf_add(b, s, strlen(s));
	put_fill(b, 0, n - strlen(s));
}

static struct buf kernels(void)
{
	static const char *const names[] = { "vadd:vadd_1", "vadd:vadd_2", "mmult:mmult_1" };
	struct buf b = BUF_INIT;

	put_le64(&b, 3);
	for (int i = 0; i < 3; i++) {
		put_le32(&b, 1);
		put_le32(&b, 0);
		put_le64(&b, 0);
		padded(&b, names[i], 64);
	}
	return b;
}

static struct buf clocks(void)
{
	struct buf b = BUF_INIT;

	buf_add(&b, "\x02\0", 2);
	buf_add(&b, "\x2c\x01\1\0\0\0\0\0", 8);
	padded(&b, "DATA_CLK", 128);
	buf_add(&b, "\xf4\x01\1\0\0\0\0\0", 8);
	padded(&b, "KERNEL_CLK", 128);
	return b;
}

static struct buf memories(void)
{
	struct buf b = BUF_INIT;

	put_le64(&b, 2);
	for (int i = 0; i < 2; i++) {
		buf_add(&b, i ? "\1\0" : "\1\1", 2);
		put_fill(&b, 0, 22);
		padded(&b, i ? "bank1" : "bank0", 16);
	}
	return b;
}

/* A small .bit of a 7-series part: register writes and a CRC over them. */
static struct buf bit(void)
{
	static const uint32_t writes[][2] = { { 17, 0 },	 { 4, 7 }, { 12, 0x0362d093 },
					      { 2, 0x12345678 }, { 0, 0 }, { 4, 5 },
					      { 0, 0 },		 { 4, 13 } };
	struct buf b = BUF_INIT, s CLEANUP_BUF = BUF_INIT;
	uint32_t crc = 0;

	put_fill(&s, 0xff, 32);
	put32(&s, 0xaa995566);
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		uint32_t reg = writes[i][0], word = writes[i][1];

		put32(&s, 0x30000001 | reg << 13);
		put32(&s, reg ? word : crc);
		for (int k = 0; reg && k < 37; k++) {
			uint32_t in = (crc ^ (k < 32 ? word >> k : reg >> (k - 32))) & 1;

			crc = crc >> 1 ^ (in ? 0x82f63b78 : 0);
		}
		if (!reg || (reg == 4 && word == 7))
			crc = 0;
	}
	buf_add(&b,
		"\x00\x09\x0f\xf0\x0f\xf0\x0f\xf0\x0f\xf0\x00\x00\x01"
		"a\0\4top\0b\0\x0c"
		"7a35tcpg236\0e",
		36);
	put32(&b, (uint32_t)s.len);
	buf_add(&b, s.data, s.len);
	return b;
}

static struct buf with_bit(void)
{
	struct section s[] = { { 2, text("<?xml?>") },
			       { 0, bit() },
			       { 8, kernels() },
			       { 11, clocks() },
			       { 6, memories() } };

	return xclbin("xilinx_u250_gen3x16_xdma_4_1", s, 5);
}

/* Each by its own name, also if that is part of another's; half of a name is none. */
static void kernels_are_told_by_whole_names(void **state)
{
	static const char *const few[] = { "vadd:vadd_1", "add:add_1", "vadd:vadd_2", "v:v_1" };
	struct buf all = BUF_INIT, many = BUF_INIT;
	struct verdict v;

	(void)state;
	put_le64(&all, 4);
	for (int i = 0; i < 4; i++) {
		put_le32(&all, 1);
		put_fill(&all, 0, 12);
		padded(&all, few[i], 64);
	}
	put_le64(&many, 20);
	for (int i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "a_rather_long_name_%02d", i);
		put_le32(&many, 1);
		put_fill(&many, 0, 12);
		padded(&many, name, 64);
	}

	struct section a[] = { { 8, all } }, b[] = { { 8, many } };
	struct buf x CLEANUP_BUF = xclbin("xilinx_u250_xdma", a, 1);
	struct buf y CLEANUP_BUF = xclbin("xilinx_u250_xdma", b, 1);

	assert_string_equal(assert_sound(&x).facts.kernels, "vadd add v");
	v = assert_sound(&y);
	assert_int_equal((strlen(v.facts.kernels) + 1) % strlen("a_rather_long_name_00 "), 0);
	assert_true(strlen(v.facts.kernels) > 200);
}

static void an_xclbin_tells_platform_kernels_clocks_and_memories(void **state)
{
	struct buf b CLEANUP_BUF = with_bit();
	struct verdict v = assert_sound(&b);

	(void)state;
	keep_image("with-bit.xclbin", &b);
	assert_string_equal(v.facts.format, "xclbin");
	assert_string_equal(v.facts.shell, "xilinx_u250_gen3x16_xdma_4_1");
	assert_string_equal(v.facts.kernels, "vadd mmult");
	assert_string_equal(v.facts.needs, "clocks 300 MHz, 500 MHz; memory bank0");
	assert_string_equal(v.facts.tool, "XRT 2.13.477");
	assert_string_equal(v.facts.built, "2023-11-14T22:13:20Z");
	assert_int_equal(v.facts.is_signed, IMAGE_NO);
	assert_int_equal(v.facts.declared_size, b.len);
	assert_string_equal(v.facts.part, "xc7a35t");
	assert_int_equal(v.facts.idcode, 0x0362d093);
	assert_non_null(strstr(v.facts.integrity_absent, "CRC of its bitstream holds"));
	assert_string_equal(v.facts.unique_id, "abababababababababababababababab");
	any_chunking_agrees(&b);
	cuts_are_refused(&b, 8, b.len, 1);
	flips_are_survived(&b, 0, b.len, 3);
}

static void a_damaged_bitstream_in_an_xclbin_is_refused(void **state)
{
	struct buf b CLEANUP_BUF = with_bit();
	uint8_t *at = memmem(b.data, b.len, "\x12\x34\x56\x78", 4);

	(void)state;
	at[1] ^= 1;
	assert_refused(judge_buf(&b), EBADMSG, "its bitstream");
	any_chunking_agrees(&b);
}

/* The same bitstream without its header. */
static struct buf raw_bin(void)
{
	struct buf b = bit(), raw = BUF_INIT;
	uint8_t *at = memmem(b.data, b.len, "\xff\xff\xff\xff", 4);

	buf_add(&raw, at, b.len - (size_t)(at - (uint8_t *)b.data));
	buf_free(&b);
	return raw;
}

static void a_bitstream_without_a_header_in_an_xclbin_is_checked_too(void **state)
{
	struct section s[] = { { 0, raw_bin() }, { 8, kernels() } };
	struct buf b CLEANUP_BUF = xclbin("xilinx_u250", s, 2);
	uint8_t *at = memmem(b.data, b.len, "\x12\x34\x56\x78", 4);
	struct verdict v = assert_sound(&b);

	(void)state;
	assert_string_equal(v.facts.part, "xc7a35t");
	assert_int_equal(v.facts.idcode, 0x0362d093);
	assert_non_null(strstr(v.facts.integrity_absent, "CRC of its bitstream holds"));
	any_chunking_agrees(&b);
	at[1] ^= 1;
	assert_refused(judge_buf(&b), EBADMSG, "its bitstream");
	any_chunking_agrees(&b);
}

#define BUILD_JSON                                                                                \
	"{\"build_metadata\":{\"dsa\":{\"generated_by\":{\"name\":\"Vivado\",\"version\":\"2021.2\"}," \
	"\"board\":{\"name\":\"x\",\"part\":\"XCK26-SFVC784-2LV-C\"}},\"xclbin\":{\"generated_by\":"     \
	"{\"name\":\"v++\",\"version\":\"2022.1\",\"options\":\"--config /home/builder/secret\"}}}}"

static void an_xclbin_tells_tool_and_part_and_no_path_of_its_builder(void **state)
{
	static const char xml[] = "<project name=\"a\"><device name=\"fpga0\" "
				  "fpgaDevice=\"virtexuplus:xcvu9p:flgb2104:-2:i\"/>";
	struct section s[] = { { 14, text(BUILD_JSON) }, { 2, text(xml) }, { 8, kernels() } },
		       older[] = { { 2, text(xml) }, { 8, kernels() } },
		       hostile[] = { { 14, text("\"xclbin\" \"name\":\"\x1b[31m\" \"version\":\"1\" "
						"\"board\" \"part\":\"xc\xff\n-\"") },
				     { 2, text("fpgaDevice") } },
		       empty[] = { { 14, text("{\"xclbin\": {\"name\": \"\", \"version\": \"1\"},\n"
					      "\"board\": {\"part\":\"\", \"x\":\"y\"}}") } };
	struct buf b CLEANUP_BUF = xclbin("xilinx_k26", s, 3), c CLEANUP_BUF = xclbin("", older, 2),
		   d CLEANUP_BUF = xclbin("", hostile, 2), e CLEANUP_BUF = xclbin("", empty, 1);
	struct verdict v = assert_sound(&b);
	char *json = image_facts_json(&v.facts, NULL, NULL, 0, 0, NULL, NULL);

	(void)state;
	assert_string_equal(v.facts.tool, "v++ 2022.1, XRT 2.13.477");
	assert_string_equal(v.facts.part, "xck26");
	assert_string_equal(v.facts.package, "SFVC784");
	assert_string_equal(v.facts.speed, "2LV-C");
	assert_string_equal(v.facts.family, "Zynq UltraScale+");
	assert_null(strstr(json, "builder"));
	free(json);
	v = assert_sound(&c);
	assert_string_equal(v.facts.part, "xcvu9p");
	assert_string_equal(v.facts.package, "flgb2104");
	assert_string_equal(v.facts.speed, "2-i");
	/* What is empty is not told by what stands behind it. */
	v = assert_sound(&e);
	assert_string_equal(v.facts.tool, "XRT 2.13.477");
	assert_string_equal(v.facts.part, "");
	v = assert_sound(&d);
	assert_null(strchr(v.facts.tool, 0x1b));
	assert_null(strchr(v.facts.part, '\n'));
	any_chunking_agrees(&b);
	any_chunking_agrees(&c);
	flips_are_survived(&d, 456, d.len, 1);
}

static void an_xclbin_for_emulation_is_for_no_card(void **state)
{
	(void)state;
	for (char mode = 0; mode <= 6; mode++) {
		struct buf b CLEANUP_BUF = with_bit();

		b.data[332] = mode;
		if (mode >= 4)
			assert_for_no_card(&b, "build for emulation");
		else
			assert_string_equal(assert_sound(&b).facts.no_card, "");
	}
}

static void an_xclbin_that_programs_nothing_says_so(void **state)
{
	struct section kria[] = { { 8, kernels() } },
		       aws[] = { { 0, text("agfi-08025ce1d75d038c0") } };
	struct section npu[] = { { 32, text("partition") } };
	struct buf a CLEANUP_BUF = xclbin("xilinx_kv260", kria, 1),
		     b CLEANUP_BUF = xclbin("", aws, 1), c CLEANUP_BUF = xclbin("", npu, 1);

	(void)state;
	assert_non_null(strstr(assert_sound(&a).facts.detail, "programs nothing by itself"));
	assert_non_null(strstr(assert_sound(&b).facts.detail, "agfi-08025ce1d75d038c0"));
	assert_string_equal(assert_sound(&b).facts.shell, "");
	assert_for_no_card(&c, "NPU");
	keep_image("aws.xclbin", &b);
}

static void hostile_tables_of_an_xclbin_are_refused(void **state)
{
	static const struct {
		size_t at;
		const char *bytes;
		size_t n;
		const char *word;
	} rows[] = {
		{ 304, "\0\0\0\0\0\0\0\0", 8, "declared length" },
		{ 304, "\1\0\0\0\0\0\0\0", 8, "declared length" },
		{ 304, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "truncated" },
		{ 448, "\0\0\0\0", 4, "no sections" },
		{ 448, "\xff\xff\xff\xff", 4, "no sections, or" },
		{ 480, "\0\0\0\0\0\0\0\0", 8, "outside" },
		{ 480, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "outside" },
		{ 488, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "outside" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = with_bit();

		memcpy(b.data + rows[i].at, rows[i].bytes, rows[i].n);
		assert_refused(judge_buf(&b), EBADMSG, rows[i].word);
		any_chunking_agrees(&b);
	}
	assert_refused(judge("xclbin1\0\0", 9, 9), ENOEXEC, "old release");
}

/* --- samples --------------------------------------------------------------------------- */

static void container_samples_of_vendor_tools_are_judged_right(void **state)
{
	static const struct {
		const char *name, *shell, *kernels, *firmware, *detail;
	} rows[] = {
		{ "xclbin/kv260-aibox-reid.xclbin",
		  "xilinx_kv260_vcuDecode_vmixDP_kv260_vcuDecode_vmixDP_1_0",
		  "DPUCZDX8G pp_pipeline_accel", "", "programs nothing" },
		{ "xclbin/dpu_RP_0.xclbin",
		  "xilinx_kv260_ispMipiRx_vcu_DP_kv260_ispMipiRx_vcu_DP_1_0",
		  "DPUCZDX8G pp_pipeline_accel", "", "programs nothing" },
		{ "xclbin/aws_vector_addition.awsxclbin", "", "vector_add", "",
		  "agfi-08025ce1d75d038c0" },
		{ "dtbo/k24_starter_kits.dtbo", "", "", "k24_starter_kits.bit.bin", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = BUF_INIT;
		struct verdict v;

		if (!sample(rows[i].name, &b))
			skip();
		v = assert_sound(&b);
		assert_string_equal(v.facts.shell, rows[i].shell);
		assert_string_equal(v.facts.kernels, rows[i].kernels);
		assert_string_equal(v.facts.firmware, rows[i].firmware);
		assert_non_null(strstr(v.facts.detail, rows[i].detail));
		assert_int_equal(v.facts.declared_size, b.len);
		cuts_are_refused(&b, 8, b.len, 397);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_overlay_tells_its_image_and_target),
		cmocka_unit_test(a_name_of_firmware_that_leads_elsewhere_is_refused),
		cmocka_unit_test(a_device_tree_that_is_no_overlay_is_for_no_card),
		cmocka_unit_test(a_tree_that_does_not_hold_together_is_refused),
		cmocka_unit_test(an_xclbin_tells_platform_kernels_clocks_and_memories),
		cmocka_unit_test(kernels_are_told_by_whole_names),
		cmocka_unit_test(an_overlay_of_version_16_is_walked_to_its_end),
		cmocka_unit_test(a_damaged_bitstream_in_an_xclbin_is_refused),
		cmocka_unit_test(a_bitstream_without_a_header_in_an_xclbin_is_checked_too),
		cmocka_unit_test(an_xclbin_tells_tool_and_part_and_no_path_of_its_builder),
		cmocka_unit_test(an_xclbin_for_emulation_is_for_no_card),
		cmocka_unit_test(an_xclbin_that_programs_nothing_says_so),
		cmocka_unit_test(hostile_tables_of_an_xclbin_are_refused),
		cmocka_unit_test(container_samples_of_vendor_tools_are_judged_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
