// SPDX-License-Identifier: Apache-2.0
/* Xilinx streams in samples of the vendors' tools, where they lie beside the project. */
#include <backend/image/xilinx.h>

#include "xilinx_fixture.h"

static void xilinx_samples_of_vendor_tools_are_judged_right(void **state)
{
	static const struct {
		const char *name, *part, *checked;
		uint32_t idcode;
		enum image_tri partial, compressed;
	} rows[] = {
		{ "xilinx-bit/xc7a50t_full.bit", "xc7a50t", "crc32c", 0x0362c093, IMAGE_NO,
		  IMAGE_NO },
		{ "xilinx-bit/xc7a50t_perframecrc.bit", "xc7a50t", "crc32c", 0x0362c093, IMAGE_NO,
		  IMAGE_NO },
		{ "xilinx-bit/xc7a50t_debug.bit", "xc7a50t", "crc32c", 0x0362c093, IMAGE_NO,
		  IMAGE_NO },
		{ "xilinx-bit/xc7a35t_compressed.bit", "xc7a35t", "crc32c", 0x0362d093, IMAGE_NO,
		  IMAGE_YES },
		{ "xilinx-bit/xcku040_compressed.bit", "xcku040", "crc32c", 0x03822093, IMAGE_NO,
		  IMAGE_YES },
		{ "xilinx-bit/xc6slx9_spartan6.bit", "xc6slx9", "crc22", 0x04001093, IMAGE_UNKNOWN,
		  IMAGE_YES },
		{ "xilinx-bit/xc3s500e_spartan3e.bit", "xc3s500e", "crc16", 0x01c22093,
		  IMAGE_UNKNOWN, IMAGE_YES },
		{ "xilinx-bit/xcau10p_vivado2025_uniqueid.bit", "xcau10p", "crc32c", 0x04ac4093,
		  IMAGE_NO, IMAGE_YES },
		{ "xilinx-bit/xck26_kr260_gps_compressed.bit", "xck26", "crc32c", 0x04a49093,
		  IMAGE_NO, IMAGE_YES },
		{ "xilinx-bit/xck26_dfx_partial.bit", "xck26", "crc32c", 0x04a49093, IMAGE_YES,
		  IMAGE_NO },
		{ "xilinx-bin/k24_bootgen_header.bit.bin", "xck24", "header-sums crc32c",
		  0x04a44093, IMAGE_NO, IMAGE_YES },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b CLEANUP_BUF = BUF_INIT;

		if (!sample(rows[i].name, &b))
			skip();

		struct verdict v = assert_sound(&b);
		uint64_t place = 88172645463325252u + i;

		assert_string_equal(v.facts.part, rows[i].part);
		assert_string_equal(v.facts.integrity_checked, rows[i].checked);
		assert_int_equal(v.facts.idcode, rows[i].idcode);
		assert_int_equal(v.facts.partial, rows[i].partial);
		assert_int_equal(v.facts.compressed, rows[i].compressed);
		assert_int_equal(v.facts.declared_size, b.len);
		for (int k = 0; k < 20; k++) {
			size_t n;

			place ^= place << 13;
			place ^= place >> 7;
			place ^= place << 17;
			n = 50 + place % (b.len - 50);
			assert_int_equal(judge(b.data, n, 65536).end, -EBADMSG);
			/* Frames, neither the front nor the trailing NOPs. */
			n = 10700 + place % (b.len - 10700 - 3000);
			if (!rows[i].checked[0])
				continue;
			b.data[n] ^= 1;
			v = judge(b.data, b.len, 65536);
			b.data[n] ^= 1;
			/* LOUT of a debug image is not covered. */
			if (!v.end && !strstr(rows[i].name, "debug"))
				fail_msg("%s: byte %zu flipped: accepted", rows[i].name, n);
		}
	}
}

/* The number behind `word` in a text, 0 if there is none. */
static unsigned long number_behind(const char *text, const char *word)
{
	const char *at = strstr(text, word);

	return at ? strtoul(at + strlen(word), NULL, 10) : 0;
}

/* Where the stream of a .bit begins: behind the item 'e'. */
static size_t stream_at(const struct buf *b)
{
	size_t at = 13;

	while (b->data[at] != 'e')
		at += 3 + (size_t)((uint8_t)b->data[at + 1] << 8 | (uint8_t)b->data[at + 2]);
	return at + 5;
}

static void counts_in_samples_of_vendor_tools_are_judged_right(void **state)
{
	FILE *f = fopen(SAMPLES "/MANIFEST.tsv", "re");
	char line[2000];
	unsigned rows = 0;

	(void)state;
	if (!f) {
		struct buf none CLEANUP_BUF = BUF_INIT;

		if (!sample("MANIFEST.tsv", &none))
			skip();
	}
	while (fgets(line, sizeof(line), f)) {
		unsigned long crcs = number_behind(line, "recomputed ok "),
			      repeats = number_behind(line, "(MFWR ");
		struct buf b CLEANUP_BUF = BUF_INIT;
		struct xilinx_stream s;
		size_t at;

		if (!crcs)
			continue;
		line[strcspn(line, "\t")] = '\0';
		assert_true(sample(line, &b));
		at = stream_at(&b);
		xilinx_stream_init(&s, "test", XILINX_VIRTEX, false, at);
		assert_int_equal(xilinx_stream_feed(&s, (const uint8_t *)b.data + at, b.len - at, NULL), 0);
		assert_int_equal(xilinx_stream_end(&s, NULL), 0);
		assert_int_equal(s.crcs, crcs);
		assert_int_equal(s.repeats, repeats);
		rows++;
	}
	fclose(f);
	assert_in_range(rows, 7, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xilinx_samples_of_vendor_tools_are_judged_right),
		cmocka_unit_test(counts_in_samples_of_vendor_tools_are_judged_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
