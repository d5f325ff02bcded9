// SPDX-License-Identifier: Apache-2.0
/* Boot images of Zynq and its successors: which have a bitstream, and which are for no card. */
#include "xilinx_fixture.h"

static void sum_put(struct buf *b, size_t at, unsigned words)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < words; i++)
		for (int k = 0; k < 4; k++)
			sum += (uint32_t)(uint8_t)b->data[at + 4 * i + (size_t)k] << 8 * k;
	for (int k = 0; k < 4; k++)
		b->data[at + 4 * words + (size_t)k] = (char)(~sum >> 8 * k);
}

static void set_le32(struct buf *b, size_t at, uint32_t v)
{
	for (int k = 0; k < 4; k++)
		b->data[at + (size_t)k] = (char)(v >> 8 * k);
}

static struct buf boot(unsigned partitions)
{
	struct stream s = compose(FULL, 0x04a44093);
	struct buf b = BUF_INIT, payload CLEANUP_BUF = swapped(&s.b);
	const char *name = "design.bit";

	for (int i = 0; i < 8; i++)
		put_le32(&b, 0x14000000);
	put32(&b, 0x665599aa);
	put32(&b, 0x584e4c58);
	put_fill(&b, 0, 10240 - b.len);
	set_le32(&b, 0x98, 0x8c0);
	set_le32(&b, 0x9c, 0x1100);
	sum_put(&b, 0x20, 10);
	set_le32(&b, 0x8c0, 0x01020000);
	set_le32(&b, 0x8c4, 1);
	set_le32(&b, 0x8c8, 0x1100 / 4);
	set_le32(&b, 0x8cc, 0x900 / 4);
	sum_put(&b, 0x8c0, 15);
	for (size_t i = 0; name[i]; i++)
		b.data[0x910 + (i ^ 3)] = name[i];
	for (unsigned p = 0; p < partitions; p++) {
		set_le32(&b, 0x1100 + 64 * p, (uint32_t)payload.len / 4);
		set_le32(&b, 0x1104 + 64 * p, (uint32_t)payload.len / 4);
		set_le32(&b, 0x1108 + 64 * p, (uint32_t)payload.len / 4);
		set_le32(&b, 0x1120 + 64 * p, 10240 / 4);
		sum_put(&b, 0x1100 + 64 * p, 15);
	}
	buf_add(&b, payload.data, payload.len);
	buf_free(&s.b);
	return b;
}

static void a_boot_image_of_one_bitstream_is_an_image(void **state)
{
	struct buf b CLEANUP_BUF = boot(1);
	struct verdict v = assert_sound(&b);

	(void)state;
	keep_image("xilinx-boot.bin", &b);
	assert_string_equal(v.facts.format, "xilinx-bin");
	assert_string_equal(v.facts.part, "xck24");
	assert_string_equal(v.facts.design, "design.bit");
	assert_string_equal(v.facts.integrity_checked, "header-sums crc32c");
	assert_int_equal(v.facts.declared_size, b.len);
	any_chunking_agrees(&b);
	cuts_are_refused(&b, 4, b.len, 37);
	flips_are_refused(&b, 0x20, 0x4c, 1);
	flips_are_refused(&b, 0x8c0, 0x900, 3);
	flips_are_refused(&b, 0x1100, 0x1140, 1);
	flips_are_refused(&b, 10240 + 160, 10240 + 1700, 13);
}

/* Of Zynq-7000: other vectors, no sum in the table of images, other partition headers. */
static struct buf boot_zynq(void)
{
	struct stream s = compose(FULL, 0x03727093);
	struct buf b = BUF_INIT, payload CLEANUP_BUF = BUF_INIT;

	nops(&s, 2000);
	payload = swapped(&s.b);
	for (int i = 0; i < 8; i++)
		put_le32(&b, 0xeafffffe);
	put32(&b, 0x665599aa);
	put32(&b, 0x584e4c58);
	put_fill(&b, 0, 0x1700 - b.len);
	set_le32(&b, 0x98, 0x8c0);
	set_le32(&b, 0x9c, 0xc80);
	sum_put(&b, 0x20, 10);
	set_le32(&b, 0x8c0, 0x01020000);
	set_le32(&b, 0x8c4, 1);
	set_le32(&b, 0x8c8, 0xc80 / 4);
	set_le32(&b, 0x8cc, 0x900 / 4);
	for (int i = 0; i < 3; i++)
		set_le32(&b, 0xc80 + 4 * (size_t)i, (uint32_t)payload.len / 4);
	set_le32(&b, 0xc94, 0x1700 / 4);
	set_le32(&b, 0xc98, 0x20);
	sum_put(&b, 0xc80, 15);
	buf_add(&b, payload.data, payload.len);
	buf_free(&s.b);
	return b;
}

static void a_boot_image_for_zynq_7000_is_an_image(void **state)
{
	struct buf b CLEANUP_BUF = boot_zynq();
	struct verdict v = assert_sound(&b);

	(void)state;
	keep_image("zynq-boot.bin", &b);
	assert_string_equal(v.facts.part, "xc7z020");
	assert_string_equal(v.facts.integrity_checked, "header-sums crc32c");
	assert_int_equal(v.facts.declared_size, b.len);
	assert_int_equal(v.facts.encrypted, IMAGE_NO);
	assert_int_equal(v.facts.is_signed, IMAGE_NO);
	any_chunking_agrees(&b);
	cuts_are_refused(&b, 4, b.len, 97);
	flips_are_refused(&b, 0xc80, 0xcc0, 1);
	/* Among its first 8 KiB and behind them. */
	flips_are_refused(&b, 0x1700 + 160, 0x1700 + 1700, 7);
}

static void a_boot_image_tells_what_is_encrypted_signed_or_a_program(void **state)
{
	struct buf b CLEANUP_BUF = boot(1), c CLEANUP_BUF = boot(1), d CLEANUP_BUF = boot_zynq();
	struct verdict v;

	(void)state;
	set_le32(&b, 0x1124, 0x80a0); /* for the fabric, encrypted, with a certificate */
	sum_put(&b, 0x1100, 15);
	b.data[10240 + 900] ^= 1; /* nobody can tell */
	v = assert_sound(&b);
	assert_int_equal(v.facts.encrypted, IMAGE_YES);
	assert_int_equal(v.facts.is_signed, IMAGE_YES);
	assert_int_equal(v.facts.confidence, IMAGE_LIKELY);
	assert_string_equal(v.facts.integrity_checked, "header-sums");
	any_chunking_agrees(&b);
	set_le32(&c, 0x1124, 0x10);
	sum_put(&c, 0x1100, 15);
	assert_for_no_card(&c, "partition is a program");
	set_le32(&d, 0xc80, 1);
	sum_put(&d, 0xc80, 15);
	assert_int_equal(assert_sound(&d).facts.encrypted, IMAGE_YES);
}

static void a_boot_image_with_programs_in_it_is_for_no_card(void **state)
{
	struct buf b CLEANUP_BUF = boot(3), c CLEANUP_BUF = boot(1);

	(void)state;
	assert_for_no_card(&b, "3 partitions");
	c.data[10240] = 0;
	assert_for_no_card(&c, "no bitstream");
	any_chunking_agrees(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_boot_image_of_one_bitstream_is_an_image),
		cmocka_unit_test(a_boot_image_for_zynq_7000_is_an_image),
		cmocka_unit_test(a_boot_image_tells_what_is_encrypted_signed_or_a_program),
		cmocka_unit_test(a_boot_image_with_programs_in_it_is_for_no_card),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
