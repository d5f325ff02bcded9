// SPDX-License-Identifier: Apache-2.0
/*
 * The parser on images damaged at random, half of them with a CRC made right
 * again: never a crash, never a different answer for another chunking, and a
 * complete image is always one whose end is good. The seed is printed;
 * FABRICFS_SEED and FABRICFS_ROUNDS repeat or lengthen a run.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <fabricfs/buf.h>
#include <fabricfs/image.h>

#define EXAMPLE_MAX 16384 /* bytes of a small image */

static uint64_t seed;

/* xorshift64: reproducible on every machine. */
static uint32_t draw(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

static size_t read_file(const char *path, uint8_t *to, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return 0;
	n = fread(to, 1, size, f);
	fclose(f);
	return n;
}

static uint16_t crc16(const uint8_t *b, size_t n)
{
	uint16_t crc = 0xffff;

	for (size_t i = 0; i < n; i++) {
		crc ^= (uint16_t)(b[i] << 8);
		for (int k = 0; k < 8; k++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
	}
	return crc;
}

static int judge(const uint8_t *b, size_t n, bool in_pieces, struct image_facts *facts,
		 struct reason *why)
{
	struct image_parser *p = image_parser_new();
	size_t at = 0;
	int rc = 0, end;

	assert_non_null(p);
	while (at < n) {
		size_t take = in_pieces ? 1 + draw(n < 8192 ? 500 : 5000) : n;

		if (take > n - at)
			take = n - at;
		rc = image_parser_feed(p, b + at, take, why);
		at += take;
	}
	end = image_parser_end(p, why);
	assert_int_equal(image_parser_complete(p), end == 0);
	assert_int_equal(rc == IMAGE_COMPLETE, end == 0);
	if (rc < 0)
		assert_int_equal(rc, end);
	*facts = *image_parser_facts(p);
	image_parser_free(p);
	return end;
}

static void mutate(uint8_t *b, size_t *n)
{
	unsigned changes = 1 + draw(draw(4) ? 3 : 300);

	/* Mostly where the commands are, for the data hides nothing. */
	for (unsigned i = 0; i < changes; i++) {
		size_t at = draw(2) ? draw(64) : draw((uint32_t)*n);

		if (draw(3))
			b[at] ^= (uint8_t)(1u << draw(8));
		else
			b[at] = (uint8_t)draw(256);
	}
	if (!draw(4))
		*n = 1 + draw((uint32_t)*n);
}

static void no_damage_crashes_or_depends_on_the_chunking(void **state)
{
	static uint8_t good[65536], b[65536];
	size_t size = read_file("contrib/examples/blink/blink.bin", good, sizeof(good)),
	       accepted = 0;
	const char *text = getenv("FABRICFS_SEED"), *rounds = getenv("FABRICFS_ROUNDS");
	unsigned long n_rounds = rounds ? strtoul(rounds, NULL, 10) : 1500;

	(void)state;
	seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) * 2654435761u;
	seed |= 1;
	print_message("seed %llu, %lu rounds\n", (unsigned long long)seed, n_rounds);
	if (size < 1000)
		fail_msg(
			"contrib/examples/blink/blink.bin is missing: run the tests from the top of the project");
	for (unsigned long i = 0; i < n_rounds; i++) {
		struct image_facts a, c;
		struct reason why_a = { 0 }, why_c = { 0 };
		size_t n = size;
		int rc;

		memcpy(b, good, size);
		mutate(b, &n);
		if (draw(2) && n == size) {
			/* The CRC command stands three bytes before the wake-up and its pad. */
			uint16_t crc = crc16(b + 12, size - 12 - 5);

			b[size - 5] = (uint8_t)(crc >> 8);
			b[size - 4] = (uint8_t)crc;
		}
		rc = judge(b, n, false, &a, &why_a);
		assert_int_equal(judge(b, n, true, &c, &why_c), rc);
		assert_string_equal(why_a.text, why_c.text);
		assert_memory_equal(&a, &c, sizeof(a));
		assert_true(rc == 0 || rc == -EBADMSG || rc == -ENOEXEC || rc == -EFBIG ||
			    rc == -EMEDIUMTYPE);
		accepted += rc == 0;
	}
	/* A damaged body with a right CRC is an image: the test would see nothing otherwise. */
	if (n_rounds >= 1000)
		assert_in_range(accepted, 1, n_rounds / 2);
}

/* One image of each other format: those with which fuzzing begins, behind a byte '@'. What it
 * has found since is named by a hash of 40 digits. */
static size_t examples(uint8_t images[][EXAMPLE_MAX], size_t *sizes, size_t most)
{
	DIR *folder = opendir("tests/fuzz/corpus/image");
	const struct dirent *e;
	uint8_t first[EXAMPLE_MAX + 1];
	char path[300];
	size_t n = 0;

	while (folder && n < most && (e = readdir(folder))) {
		snprintf(path, sizeof(path), "tests/fuzz/corpus/image/%s", e->d_name);
		if (strlen(e->d_name) == 40)
			continue;
		sizes[n] = read_file(path, first, sizeof(first));
		if (sizes[n] < 2 || first[0] != '@')
			continue;
		memcpy(images[n], first + 1, --sizes[n]);
		n++;
	}
	if (folder)
		closedir(folder);
	return n;
}

static void no_damage_to_any_format_crashes_or_depends_on_the_chunking(void **state)
{
	static uint8_t images[60][EXAMPLE_MAX], b[EXAMPLE_MAX];
	size_t sizes[60], n_images = examples(images, sizes, 60);
	const char *rounds = getenv("FABRICFS_ROUNDS");
	unsigned long n_rounds = rounds ? strtoul(rounds, NULL, 10) : 300;

	(void)state;
	if (n_images < 20)
		fail_msg(
			"the images of tests/fuzz/corpus/image are missing: run the tests from the top of the project");
	for (size_t k = 0; k < n_images; k++)
		for (unsigned long i = 0; i < n_rounds; i++) {
			struct image_facts a, c;
			struct reason why_a = { 0 }, why_c = { 0 };
			size_t n = sizes[k], other = draw((uint32_t)n_images), from, len;
			int rc;

			memcpy(b, images[k], n);
			if (draw(4))
				mutate(b, &n);
			if (!draw(3)) {
				/* A splice: a piece of another image, or of another place of this
				 * one. */
				len = 1 + draw((uint32_t)(n < sizes[other] ? n : sizes[other]));
				from = draw((uint32_t)(sizes[other] - len + 1));
				memcpy(b + draw((uint32_t)(n - len + 1)), images[other] + from,
				       len);
			}
			rc = judge(b, n, false, &a, &why_a);
			assert_int_equal(judge(b, n, true, &c, &why_c), rc);
			assert_string_equal(why_a.text, why_c.text);
			assert_memory_equal(&a, &c, sizeof(a));
			assert_true(rc == 0 || rc == -EBADMSG || rc == -ENOEXEC || rc == -EFBIG ||
				    rc == -EMEDIUMTYPE);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_damage_crashes_or_depends_on_the_chunking),
		cmocka_unit_test(no_damage_to_any_format_crashes_or_depends_on_the_chunking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
