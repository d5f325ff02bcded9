// SPDX-License-Identifier: Apache-2.0
/*
 * Damage of every kind to an image of every format: cuts, flipped bits, splices, length fields
 * at their extremes; and each image in pieces. tests/images/make.py makes the images and tells
 * which bytes a checksum covers; vendors' samples are among them where they lie beside the project.
 *
 * A flip in covered bytes is refused. One elsewhere is refused or changes no fact, unless it
 * stands in the bytes that are shown as facts. What lies before the end of an image is no image.
 *
 * The seed is fixed and printed; FABRICFS_SEED takes another. Of files that are large there are
 * fewer rounds, so that all of it takes seconds; FABRICFS_SWEEP=full does all of them (check-long).
 */
#include <stdlib.h>

#include "image_fixture.h"

#define INDEX	   "build/images/INDEX"
#define FILES_MAX  160
#define CUTS	   200
#define FLIPS	   2000
#define SPLICES	   200
#define STATE_MOST (256u << 10) /* bytes of a recogniser's own state */

struct range {
	size_t from, to;
};

struct ranges {
	struct range *r;
	size_t n, bytes;
};

struct file {
	char path[300], format[24], err[16];
	struct ranges covered, shown, lengths;
	uint8_t *b;
	size_t n;
	struct verdict good; /* what is said of it undamaged */
	size_t must;	     /* bytes without which it is no whole image */
};

static struct file files[FILES_MAX];
static size_t n_files;
static uint64_t seed = 20261121;
static size_t bytes_a_round; /* of damaged images, for each kind of damage to a file */
static unsigned long judged, coincidences;

/* xorshift64: reproducible on every machine. */
static uint64_t draw(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 16) % below;
}

static unsigned rounds(const struct file *f, unsigned most)
{
	size_t fit = bytes_a_round / (f->n + 1) + 12;

	return !bytes_a_round || fit > most ? most : (unsigned)fit;
}

/* --- what there is ----------------------------------------------------------------- */

static struct ranges ranges_read(char *text)
{
	struct ranges all = { 0 };
	size_t room = 16;

	for (const char *c = text; *c; c++)
		room += *c == ',';
	all.r = calloc(room, sizeof(*all.r));
	assert_non_null(all.r);
	for (char *c = text; *c && *c != '-';) {
		struct range *r = &all.r[all.n++];

		r->from = strtoul(c, &c, 10);
		assert_int_equal(*c, '-');
		r->to = strtoul(c + 1, &c, 10);
		all.bytes += r->to - r->from;
		c += *c == ',';
	}
	return all;
}

static bool within(const struct ranges *all, size_t at)
{
	size_t low = 0, high = all->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (at < all->r[mid].from)
			high = mid;
		else if (at >= all->r[mid].to)
			low = mid + 1;
		else
			return true;
	}
	return false;
}

static uint8_t *bytes_of(const char *path, size_t *n)
{
	FILE *f = fopen(path, "re");
	uint8_t *b;
	long end;

	if (!f)
		fail_msg("%s is missing: run make unit-programs again", path);
	fseek(f, 0, SEEK_END);
	end = ftell(f);
	rewind(f);
	assert_true(end >= 0);
	*n = (size_t)end;
	b = malloc(*n ? *n : 1); /* of just this size, so that a step outside is seen */
	assert_non_null(b);
	assert_int_equal(fread(b, 1, *n, f), *n);
	fclose(f);
	return b;
}

static struct verdict ask(const uint8_t *b, size_t n, size_t chunk)
{
	struct image_parser *p = image_parser_new();
	struct verdict v = { 0 };

	assert_non_null(p);
	for (size_t i = 0; i < n; i += chunk)
		v.feed = image_parser_feed(p, b + i, n - i < chunk ? n - i : chunk, &v.why);
	v.complete = image_parser_complete(p);
	v.end = image_parser_end(p, &v.why);
	v.facts = *image_parser_facts(p);
	image_parser_free(p);
	judged++;
	return v;
}

static int files_read(void **state)
{
	FILE *f = fopen(INDEX, "re");
	char *line = NULL;
	size_t room = 0;
	const char *text = getenv("FABRICFS_SEED"), *full = getenv("FABRICFS_SWEEP");

	(void)state;
	if (text)
		seed = strtoull(text, NULL, 10);
	bytes_a_round = full && !strcmp(full, "full") ? 0 : 48u << 20;
	print_message("seed %llu\n", (unsigned long long)seed);
	seed |= 1;
	if (!f) {
		print_message("%s is missing: run this at the top of the source, after make "
			      "unit-programs\n",
			      INDEX);
		return -1;
	}
	while (getline(&line, &room, f) > 0 && n_files < FILES_MAX) {
		struct file *to = &files[n_files++];
		char *save = NULL, *word[6];

		line[strcspn(line, "\n")] = '\0';
		for (size_t i = 0; i < 6; i++) {
			word[i] = strtok_r(i ? NULL : line, "\t", &save);
			assert_non_null(word[i]);
		}
		snprintf(to->path, sizeof(to->path), "%s", word[0]);
		snprintf(to->format, sizeof(to->format), "%s", word[1]);
		snprintf(to->err, sizeof(to->err), "%s", word[2]);
		to->covered = ranges_read(word[3]);
		to->shown = ranges_read(word[4]);
		to->lengths = ranges_read(word[5]);
		to->b = bytes_of(to->path, &to->n);
		to->good = ask(to->b, to->n, to->n ? to->n : 1);
		if (to->good.end)
			continue;
		to->must = to->covered.n ? to->covered.r[to->covered.n - 1].to : 0;
		if (to->good.facts.declared_size > to->must)
			to->must = to->good.facts.declared_size;
		/* The last line of a text may be without its end. */
		if (!strcmp(to->format, "gowin-fs"))
			to->must -= 2;
	}
	free(line);
	fclose(f);
	return 0;
}

static int files_free(void **state)
{
	(void)state;
	print_message("%zu files, %lu images judged\n", n_files, judged);
	for (size_t i = 0; i < n_files; i++) {
		free(files[i].b);
		free(files[i].covered.r);
		free(files[i].shown.r);
		free(files[i].lengths.r);
	}
	return 0;
}

/* Would a card take it? What is for no card is refused before programming, if not as damaged. */
static bool passes(const struct file *f, const struct verdict *v)
{
	return !v->end && (f->good.facts.no_card[0] || !v->facts.no_card[0]);
}

/* What holds of any answer. */
static void answer_is_whole(const struct file *f, const struct verdict *v, const char *what)
{
	if (v->complete != !v->end || (v->feed == IMAGE_COMPLETE) != !v->end)
		fail_msg("%s, %s: complete and its end disagree: %s", f->path, what, v->why.text);
	if (v->end && (v->why.err != -v->end || !v->why.text[0]))
		fail_msg("%s, %s: refused without a sentence", f->path, what);
	if (v->end && v->end != -EBADMSG && v->end != -ENOEXEC && v->end != -EFBIG)
		fail_msg("%s, %s: refused with %s", f->path, what, errno_name(-v->end));
	if (v->end == -EBADMSG && v->facts.integrity_ok)
		fail_msg("%s, %s: damaged, and its checks held: %s", f->path, what, v->why.text);
}

/* Judge damaged bytes; small ones also in pieces. */
static struct verdict ask_damaged(const struct file *f, const uint8_t *b, size_t n, const char *what)
{
	struct verdict v = ask(b, n, n ? n : 1), again;

	answer_is_whole(f, &v, what);
	if (n > 16384 || draw(4))
		return v;
	again = ask(b, n, 1 + draw(300));
	if (again.end != v.end || strcmp(again.why.text, v.why.text) ||
	    memcmp(&again.facts, &v.facts, sizeof(v.facts)))
		fail_msg("%s, %s: in pieces: %s; at once: %s", f->path, what, again.why.text,
			 v.why.text);
	return v;
}

/* --- the tests ------------------------------------------------------------------------ */

static void each_format_and_each_container_is_told_for_what_it_is(void **state)
{
	bool seen[64] = { 0 };
	size_t i, k;

	(void)state;
	for (i = 0; i < n_files; i++) {
		const struct file *f = &files[i];
		const struct verdict *v = &f->good;

		answer_is_whole(f, v, "undamaged");
		if ((f->err[0] == '0' || f->err[0] == 'n') && v->end)
			fail_msg("%s: refused: %s", f->path, v->why.text);
		if (!v->end && f->err[0] != '-' && (f->err[0] == 'n') != !!v->facts.no_card[0])
			fail_msg("%s: for no card: '%s'", f->path, v->facts.no_card);
		if (f->err[0] == 'E' && strcmp(errno_name(-v->end), f->err))
			fail_msg("%s: %s wanted, not %s: %s", f->path, f->err,
				 v->end ? errno_name(-v->end) : "sound", v->why.text);
		/* Containers by mistake: whatever is told them apart, none is an image. */
		if (f->err[0] == '-' && f->format[0] == '-' && !v->end)
			fail_msg("%s: taken for an image of format %s", f->path, v->facts.format);
		if (f->format[0] != '-' && strcmp(v->facts.format, f->format))
			fail_msg("%s: of format %s, not %s", f->path, f->format, v->facts.format);
		for (k = 0; f->err[0] == '0' && image_formats[k]; k++)
			seen[k] |= !strcmp(image_formats[k]->name, f->format);
	}
	for (k = 0; image_formats[k]; k++) {
		if (!seen[k])
			fail_msg("tests/images/make.py makes no image of format %s",
				 image_formats[k]->name);
		assert_in_range(image_formats[k]->state_bytes, 1, STATE_MOST);
	}
}

static void in_any_pieces_the_answer_is_the_same(void **state)
{
	static const size_t chunks[] = { 1, 128 * 1024 };

	(void)state;
	for (size_t i = 0; i < n_files; i++)
		for (size_t k = 0; k < 2; k++) {
			const struct verdict *a = &files[i].good;
			struct verdict b = ask(files[i].b, files[i].n, chunks[k]);

			if (a->end != b.end || a->feed != b.feed || strcmp(a->why.text, b.why.text))
				fail_msg("%s, in pieces of %zu: %s; at once: %s", files[i].path,
					 chunks[k], b.why.text, a->why.text);
			if (memcmp(&a->facts, &b.facts, sizeof(b.facts)))
				fail_msg("%s, in pieces of %zu: other facts", files[i].path,
					 chunks[k]);
		}
}

static int by_size(const void *a, const void *b)
{
	const size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? -1 : x > y;
}

/* All cuts of a file in one pass: being asked for the end does not change what comes later. */
static void cuts_of(const struct file *f)
{
	size_t cut[CUTS], at = 0;
	struct image_parser *p = image_parser_new();
	struct reason why = { 0 };
	int end;

	assert_non_null(p);
	for (size_t i = 0; i < CUTS; i++)
		cut[i] = draw(4) ? draw(f->n) : f->n - 1 - draw(f->n < 64 ? f->n : 64);
	qsort(cut, CUTS, sizeof(*cut), by_size);
	for (size_t i = 0; i < CUTS; i++) {
		if (cut[i] > at)
			image_parser_feed(p, f->b + at, cut[i] - at, NULL);
		at = cut[i];
		why = (struct reason){ 0 };
		end = image_parser_end(p, &why);
		judged++;
		if (end && (why.err != -end || !why.text[0]))
			fail_msg("%s, cut to %zu of %zu bytes: refused without a sentence", f->path,
				 at, f->n);
		if (!end && (at < f->must || !at))
			fail_msg("%s, cut to %zu of %zu bytes: accepted", f->path, at, f->n);
		if (end && end != -EBADMSG && end != -ENOEXEC)
			fail_msg("%s, cut to %zu of %zu bytes: %s: %s", f->path, at, f->n,
				 errno_name(-end), why.text);
	}
	image_parser_feed(p, f->b + at, f->n - at, NULL);
	assert_int_equal(image_parser_end(p, &why), 0);
	if (memcmp(image_parser_facts(p), &f->good.facts, sizeof(f->good.facts)))
		fail_msg("%s: other facts after being asked for its end", f->path);
	image_parser_free(p);
}

static void a_cut_image_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_files; i++)
		if (!files[i].good.end)
			cuts_of(&files[i]);
}

/* A byte that is covered: of all, or of a range of any size. */
static size_t covered_byte(const struct file *f)
{
	const struct range *r;
	size_t at;

	if (draw(2)) {
		r = &f->covered.r[draw(f->covered.n)];
		return r->from + draw(r->to - r->from);
	}
	do
		at = f->covered.r[0].from + draw(f->must - f->covered.r[0].from);
	while (!within(&f->covered, at));
	return at;
}

static void flip_of(struct file *f, size_t at, unsigned bit)
{
	struct verdict v;
	char what[64];

	snprintf(what, sizeof(what), "bit %u of byte %zu flipped", bit, at);
	f->b[at] ^= (uint8_t)(1u << bit);
	v = ask_damaged(f, f->b, f->n, what);
	f->b[at] ^= (uint8_t)(1u << bit);
	if (!passes(f, &v))
		return;
	if (within(&f->covered, at))
		fail_msg("%s, %s: covered, and accepted", f->path, what);
	if (!within(&f->shown, at) && memcmp(&v.facts, &f->good.facts, sizeof(v.facts)))
		fail_msg("%s, %s: accepted, and the facts are others:\n%s\n%s", f->path, what,
			 image_facts_json(&f->good.facts, "good", NULL, 0, 0, NULL, NULL),
			 image_facts_json(&v.facts, "flipped", NULL, 0, 0, NULL, NULL));
}

static void a_flipped_bit_is_refused_or_changes_no_fact(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_files; i++) {
		struct file *f = &files[i];
		unsigned n = rounds(f, FLIPS);

		if (f->good.end)
			continue;
		for (unsigned k = 0; k < n && f->covered.n; k++)
			flip_of(f, covered_byte(f), (unsigned)draw(8));
		n = rounds(f, f->covered.n ? FLIPS / 4 : FLIPS);
		for (unsigned k = 0; k < n; k++)
			flip_of(f, draw(3) ? draw(f->n) : draw(f->n < 600 ? f->n : 600),
				(unsigned)draw(8));
	}
}

/* Are the covered bytes of f those of b? */
static bool covered_alike(const struct file *f, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < f->covered.n; i++) {
		const struct range *r = &f->covered.r[i];

		if (r->to > n || memcmp(f->b + r->from, b + r->from, r->to - r->from))
			return false;
	}
	return true;
}

static void splice_of(const struct file *f, uint8_t *b)
{
	const struct file *other = draw(2) ? f : &files[draw(n_files)];
	size_t n = f->n, at = draw(f->n), len, from;
	struct verdict v;
	char what[420];

	if (!other->n)
		other = f;
	from = draw(other->n);
	memcpy(b, f->b, f->n);
	len = 1 + draw(other->n - from);
	if (len > f->n - at)
		len = f->n - at;
	memcpy(b + at, other->b + from, len);
	if (draw(2))
		n = at + len; /* the front of one and a piece of another */
	snprintf(what, sizeof(what), "%zu bytes from %zu of %s at %zu of %zu", len, from,
		 other->path, at, n);
	v = ask_damaged(f, b, n, what);
	/* What is for no card is so whatever is in it. */
	if (!passes(f, &v) || f->good.facts.no_card[0] || !f->covered.n || at <= f->covered.r[0].from || covered_alike(f, b, n))
		return;
	/* A checksum of 16 bits holds by chance once in 65,536 times. */
	print_message("%s, %s: accepted%s\n", f->path, what,
		      v.facts.integrity_ok ? "" : " as one that has no checks");
	coincidences += v.facts.integrity_ok;
}

static void a_splice_of_two_images_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_files; i++) {
		uint8_t *b = malloc(files[i].n ? files[i].n : 1);
		unsigned n = rounds(&files[i], SPLICES);

		assert_non_null(b);
		for (unsigned k = 0; k < n && files[i].n; k++)
			splice_of(&files[i], b);
		free(b);
	}
	assert_in_range(coincidences, 0, 2);
}

static void length_set(uint8_t *b, size_t n, unsigned kind)
{
	bool digits = true;
	int step = kind == 6 ? 1 : -1;

	for (size_t i = 0; i < n; i++)
		digits = digits && (b[i] == '0' || b[i] == '1');
	switch (kind) {
	case 0: /* 0 */
	case 1: /* 1, the highest byte first */
	case 2: /* 1, the lowest byte first */
		memset(b, digits ? '0' : 0, n);
		if (kind)
			b[kind == 1 ? n - 1 : 0] = digits ? '1' : 1;
		break;
	case 3: /* as many as it can hold */
	case 4:
	case 5: /* the same, as a signed number */
		memset(b, digits ? '1' : 0xff, n);
		if (kind > 3)
			b[kind == 4 ? 0 : n - 1] = digits ? '0' : 0x7f;
		break;
	default: /* one more, one less */
		b[n - 1] = (uint8_t)(b[n - 1] + step);
		break;
	}
}

static void a_length_field_at_its_extremes_is_survived(void **state)
{
	char what[80];

	(void)state;
	for (size_t i = 0; i < n_files; i++) {
		struct file *f = &files[i];
		size_t n = rounds(f, 8 * 400) / 8 + 1;

		for (size_t k = 0; k < f->lengths.n && k < n; k++)
			for (unsigned kind = 0; kind < 8; kind++) {
				const struct range *r = &f->lengths.r[k];
				size_t len = r->to - r->from;
				struct verdict v;
				uint8_t old[32];

				assert_in_range(len, 1, sizeof(old));
				if (r->to > f->n)
					continue;
				memcpy(old, f->b + r->from, len);
				length_set(f->b + r->from, len, kind);
				snprintf(what, sizeof(what), "length at %zu set (%u)", r->from, kind);
				v = ask_damaged(f, f->b, f->n, what);
				if (passes(f, &v) && !f->good.end && memcmp(old, f->b + r->from, len) &&
				    within(&f->covered, r->from))
					fail_msg("%s, %s: covered, and accepted", f->path, what);
				memcpy(f->b + r->from, old, len);
			}
	}
}

/* What follows an image does not change what is known of it. */
static void bytes_behind_an_image_are_refused_alike_in_any_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_files; i++) {
		const struct file *f = &files[i];
		struct verdict whole, split;
		uint8_t *b;

		if (f->good.end || f->good.facts.unsized)
			continue;
		b = malloc(f->n + 4);
		assert_non_null(b);
		memcpy(b, f->b, f->n);
		memcpy(b + f->n, "\x07more", 4);
		whole = ask(b, f->n + 4, f->n + 4);
		split = ask(b, f->n + 4, f->n);
		answer_is_whole(f, &whole, "followed by more");
		free(b);
		if (!whole.end)
			fail_msg("%s: followed by more, and accepted", f->path);
		if (strcmp(whole.why.text, split.why.text) ||
		    memcmp(&whole.facts, &split.facts, sizeof(split.facts)))
			fail_msg("%s, followed by more: at once: %s; then: %s", f->path,
				 whole.why.text, split.why.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_format_and_each_container_is_told_for_what_it_is),
		cmocka_unit_test(in_any_pieces_the_answer_is_the_same),
		cmocka_unit_test(a_cut_image_is_refused),
		cmocka_unit_test(a_flipped_bit_is_refused_or_changes_no_fact),
		cmocka_unit_test(a_splice_of_two_images_is_refused),
		cmocka_unit_test(bytes_behind_an_image_are_refused_alike_in_any_pieces),
		cmocka_unit_test(a_length_field_at_its_extremes_is_survived),
	};

	return cmocka_run_group_tests(tests, files_read, files_free);
}
