// SPDX-License-Identifier: Apache-2.0
/*
 * One recogniser alone. The program is linked once and named fuzz_FORMAT for each format of
 * the table (rules.mk); its name says which one is driven, so a new format needs nothing here.
 *
 * An input is an image as it is. The probe does not take back what it was sure of; whoever it
 * says yes to is fed at once and in pieces, being asked for the end between them: the same
 * answer. A complete image has a good end, what is refused has a sentence, a damaged one no
 * good checksum, and the facts are clean text that survives JSON.
 */
#include <fabricfs/image.h>

#include "backend/image/formats.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

static const struct image_format *format;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *name = strrchr((*argv)[0], '/');

	(void)argc;
	name = name ? name + 1 : (*argv)[0];
	for (size_t i = 0; image_formats[i]; i++)
		if (!strncmp(name, "fuzz_", 5) && !strcmp(name + 5, image_formats[i]->name))
			format = image_formats[i];
	/* Not of the table, for it is never an image: what is read of zip archives. */
	if (!strcmp(name, "fuzz_archive"))
		format = &image_archive;
	if (!format) {
		fprintf(stderr, "%s is not fuzz_ and the name of a format\n", name);
		exit(2);
	}
	return 0;
}

/* seen: how many of these bytes it has had, as far as it wants to know. */
static enum image_tri probe(const uint8_t *b, size_t seen, size_t n, bool last)
{
	uint8_t *own = malloc(n); /* of just this size, so that a step outside is seen */
	enum image_tri is;

	fuzz_claim(own);
	memcpy(own, b, n);
	is = format->probe(own, n, last);
	if (seen && format->probe_on)
		fuzz_claim(format->probe_on(own, seen, n, last) == is);
	free(own);
	return is;
}

/* Is it this format? What a shorter head was sure of holds for a longer one. */
static bool claimed(const uint8_t *b, size_t n)
{
	size_t head = n < IMAGE_HEAD_MAX ? n : IMAGE_HEAD_MAX, seen = 0;
	enum image_tri sure = IMAGE_UNKNOWN, is;

	for (size_t k = 1; k <= head; k += k < 48 ? 1 : k / 3) {
		is = probe(b, seen, k, false);
		seen = is == IMAGE_UNKNOWN ? k : 0;
		fuzz_claim(sure == IMAGE_UNKNOWN || is == sure);
		sure = is;
	}
	is = probe(b, 0, head, head == n);
	fuzz_claim(sure == IMAGE_UNKNOWN || is == sure);
	return is == IMAGE_YES;
}

static int judge(const uint8_t *b, size_t n, size_t chunk, bool ask, struct image_facts *facts,
		 struct reason *why)
{
	void *state = calloc(1, format->state_bytes);
	int rc = 0, end;

	fuzz_claim(state);
	for (size_t at = 0; at < n && rc >= 0; at += chunk) {
		struct image_facts scratch = *facts;

		if (ask && at)
			fuzz_claim((format->end(state, at, &scratch, NULL) == 0) ==
				   (rc == IMAGE_COMPLETE));
		rc = format->feed(state, b + at, n - at < chunk ? n - at : chunk, facts, why);
	}
	end = rc < 0 ? rc : format->end(state, n, facts, why);
	if (rc >= 0)
		fuzz_claim((rc == IMAGE_COMPLETE) == (end == 0));
	if (format->fini)
		format->fini(state);
	free(state);
	return end;
}

static void text_is_clean(const char *text, size_t size)
{
	size_t n = strnlen(text, size);

	fuzz_claim(n < size);
	for (size_t i = 0; i < n; i++)
		fuzz_claim((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

static void facts_are_clean(const struct image_facts *f)
{
	struct image_facts again = { 0 };
	char *json = image_facts_json(f, "f", NULL, 1, 0, NULL, NULL);

	fuzz_claim(json);
	fuzz_claim(image_facts_parse(json, &again) == 0);
	free(json);
	fuzz_claim(!strcmp(again.part, f->part) && !strcmp(again.design, f->design) &&
		   !strcmp(again.shell, f->shell) && !strcmp(again.detail, f->detail));
#define CLEAN(field) text_is_clean(f->field, sizeof(f->field))
	CLEAN(vendor);
	CLEAN(family);
	CLEAN(part);
	CLEAN(also_parts);
	CLEAN(package);
	CLEAN(speed);
	CLEAN(shell);
	CLEAN(design);
	CLEAN(user_id);
	CLEAN(kernels);
	CLEAN(afus);
	CLEAN(needs);
	CLEAN(firmware);
	CLEAN(targets);
	CLEAN(tool);
	CLEAN(built);
	CLEAN(integrity_checked);
	CLEAN(integrity_absent);
	CLEAN(detail);
#undef CLEAN
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reason why_a = { 0 }, why_b = { 0 };
	struct image_facts a = { 0 }, b = { 0 };
	int rc;

	if (!size || !claimed(data, size))
		return 0;
	rc = judge(data, size, size, false, &a, &why_a);
	fuzz_claim(judge(data, size, 1 + data[size / 2] % 97, true, &b, &why_b) == rc);
	fuzz_claim(strcmp(why_a.text, why_b.text) == 0);
	fuzz_claim(memcmp(&a, &b, sizeof(a)) == 0);
	fuzz_claim(rc == 0 || rc == -EBADMSG || rc == -ENOEXEC || rc == -EFBIG);
	fuzz_claim(rc == 0 ? a.confidence != IMAGE_CONFIDENCE_NONE : why_a.text[0] && why_a.err == -rc);
	fuzz_claim(rc != -EBADMSG || !a.integrity_ok);
	text_is_clean(why_a.text, sizeof(why_a.text));
	facts_are_clean(&a);
	return 0;
}
