// SPDX-License-Identifier: Apache-2.0
/*
 * The image parser and its recognisers. The first byte is the chunking; its
 * lowest bit: make an iCE40 CRC right again, so that what lies behind it is
 * reached; the next: the rest are edits of an example (fuzz.h), else it is an
 * image. The answer is the same in one piece, a complete image has a good end,
 * and facts survive their JSON.
 */
#include <fabricfs/image.h>

#include "tests/fuzz/fuzz.h"

static int judge(const uint8_t *b, size_t n, size_t chunk, struct image_facts *facts,
		 struct reason *why)
{
	struct image_parser *p = image_parser_new();
	int rc = 0, end;

	fuzz_claim(p);
	for (size_t at = 0; at < n; at += chunk)
		rc = image_parser_feed(p, b + at, n - at < chunk ? n - at : chunk, why);
	end = image_parser_end(p, why);
	fuzz_claim(image_parser_complete(p) == (end == 0));
	fuzz_claim((rc == IMAGE_COMPLETE) == (end == 0));
	fuzz_claim(rc >= 0 || rc == end);
	fuzz_claim(end == 0 || why->text[0]);
	*facts = *image_parser_facts(p);
	image_parser_free(p);
	return end;
}

static void facts_survive(const struct image_facts *facts)
{
	char *json = image_facts_json(facts, "f", NULL, 1, 0, NULL, NULL);
	struct image_facts again = { 0 };

	fuzz_claim(json);
	fuzz_claim(image_facts_parse(json, &again) == 0);
	fuzz_claim(strcmp(again.part, facts->part) == 0);
	fuzz_claim(strcmp(again.format, facts->format) == 0);
	free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reason why_a = { 0 }, why_b = { 0 };
	static uint8_t *example;
	static size_t example_size;
	struct image_facts a, b;
	bool edits = size && data[0] & 2;
	size_t n;
	uint8_t *image;
	int rc;

	if (!example)
		example = fuzz_file("contrib/examples/blink/blink.bin", &example_size);
	if (size < 2)
		return 0;
	n = edits ? example_size : size - 1;
	image = malloc(n); /* of just this size, so that a step outside is seen */
	fuzz_claim(image);
	memcpy(image, edits ? example : data + 1, n);
	if (edits)
		fuzz_edit(image, n, data + 1, size - 1);
	if (data[0] & 1)
		fuzz_crc_fix(image, n);
	rc = judge(image, n, n, &a, &why_a);
	fuzz_claim(judge(image, n, 1 + data[0], &b, &why_b) == rc);
	fuzz_claim(strcmp(why_a.text, why_b.text) == 0);
	fuzz_claim(memcmp(&a, &b, sizeof(a)) == 0);
	fuzz_claim(rc == 0 || rc == -EBADMSG || rc == -ENOEXEC || rc == -EFBIG || rc == -EMEDIUMTYPE);
	if (rc == 0)
		facts_survive(&a);
	free(image);
	return 0;
}
