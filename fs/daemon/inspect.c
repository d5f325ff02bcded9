// SPDX-License-Identifier: Apache-2.0
/*
 * `fabricfs inspect`: what an image is and whether it is sound.
 *
 * It runs the recogniser that uploads run, on files, with no daemon and no card
 * (but for --for devN, which asks a mounted tree for the card's part), so that
 * its answer is the one that copying the file would give.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fabricfs/buf.h>
#include <fabricfs/digest.h>
#include <fabricfs/image.h>

#include "inspect.h"
#include "inspect_for.h"

#define CHUNK (1u << 20) /* bytes a read(); as uploads come */

struct report {
	const char *file;
	struct image_facts facts;
	char sha256[SHA256_HEX]; /* "" when the file could not be read to its end */
	uint64_t size;
	struct reason why; /* err 0: sound */
	bool fit_known;
	struct reason misfit; /* err 0: fits, when that is known */
};

static void usage(FILE *to)
{
	fputs("usage: fabricfs inspect [--json] [--for devN|PART] [--mount DIR] FILE...\n"
	      "Says what an image is and whether it is sound; FILE - is standard input.\n"
	      "  --json       one JSON object a line for each file\n"
	      "  --for WHAT   whether it fits: a part (iCE40-HX1K), or a card of a mounted tree (dev0)\n"
	      "  --mount DIR  where the tree of devN is mounted (default: the first that is, else /fpga)\n"
	      "Exit status: 0 every file is sound (and fits), 1 not, 2 wrong usage.\n",
	      to);
}

/* Reads the file to its end, also after the verdict is known: the hash names the bytes. */
static int scan(int fd, struct image_parser *parser, struct digest *digest, struct report *r)
{
	char *chunk CLEANUP_FREE = malloc(CHUNK);
	ssize_t n;
	int rc;

	if (!chunk)
		return reason_set(&r->why, ENOMEM, "out of memory");
	while ((n = read(fd, chunk, CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return reason_set(&r->why, errno, "cannot be read: %s", strerror(errno));
		r->size += (uint64_t)n;
		digest_update(digest, chunk, (size_t)n);
		image_parser_feed(parser, chunk, (size_t)n, NULL);
	}
	rc = image_parser_end(parser, &r->why);
	r->facts = *image_parser_facts(parser);
	digest_hex(digest, r->sha256);
	return rc;
}

static void inspect(struct report *r, const struct inspect_for *t)
{
	struct image_parser *parser = image_parser_new();
	struct digest *digest = digest_new();
	bool input = !strcmp(r->file, "-"), compared = false;
	int fd = input ? STDIN_FILENO : open(r->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		reason_set(&r->why, errno, "cannot be opened: %s", strerror(errno));
	else if (!parser || !digest)
		reason_set(&r->why, ENOMEM, "out of memory");
	else
		scan(fd, parser, digest, r);
	if (fd >= 0 && !input)
		close(fd);
	/* A file of no known format tells nothing that could be compared. */
	if (t->name && r->facts.format[0])
		r->fit_known = image_suits_target(&r->facts, &t->target, &compared, &r->misfit) || compared;
	image_parser_free(parser);
	digest_free(digest);
}

/* --- telling ------------------------------------------------------------------ */

static void line(const char *key, const char *value)
{
	if (value[0])
		printf("  %-10s %s\n", key, value);
}

/* Whether it is sound and for what: all that many readers want. */
static void headline(const struct report *r)
{
	const struct image_facts *f = &r->facts;

	if (r->why.err)
		printf("%s: not sound: %s (%s)\n", r->file, r->why.text, errno_name(r->why.err));
	else if (f->no_card[0])
		printf("%s: sound%s, for no card: %s\n", r->file,
		       f->integrity_checked[0] ? "" : " as far as it can be checked", f->no_card);
	else
		printf("%s: sound%s, %s for %s\n", r->file,
		       f->integrity_checked[0] ? "" : " as far as it can be checked",
		       f->partial == IMAGE_YES ? "a partial image" : "an image",
		       f->part[0]      ? f->part
		       : f->shell[0]   ? f->shell
		       : f->targets[0] ? f->targets
		       : f->family[0]  ? f->family
				       : "a part that it does not name");
}

static void kind(const struct image_facts *f)
{
	struct buf b CLEANUP_BUF = BUF_INIT;

	if (f->partial)
		buf_adds(&b, f->partial == IMAGE_YES ? ", partial" : ", full");
	if (f->compressed == IMAGE_YES)
		buf_adds(&b, ", compressed");
	if (f->encrypted == IMAGE_YES)
		buf_adds(&b, ", encrypted");
	if (f->is_signed == IMAGE_YES)
		buf_adds(&b, ", signed");
	if (f->dies > 1)
		buf_addf(&b, ", %u dies", f->dies);
	if (!buf_ok(&b) && b.len)
		line("kind", b.data + 2);
}

static void tell(const struct report *r, const struct inspect_for *t)
{
	static const char *const sure[] = { "unknown", "a guess", "likely", "exact" };
	const struct image_facts *f = &r->facts;
	struct buf b CLEANUP_BUF = BUF_INIT;

	headline(r);
	if (f->format[0])
		printf("  %-10s %s (%s)\n", "format", f->format, sure[f->confidence]);
	if (!f->part[0] && f->format[0])
		line("part", "not told by the image");
	if (f->part[0])
		printf("  %-10s %s%s%s\n", "part", f->part,
		       f->also_parts[0] ? ", the same bytes suit " : "", f->also_parts);
	if (f->package[0])
		printf("  %-10s %s%s%s\n", "package", f->package, f->speed[0] ? ", speed " : "",
		       f->speed);
	buf_addf(&b, "%s%s%s", f->vendor, f->vendor[0] && f->family[0] ? " " : "", f->family);
	if (!buf_ok(&b))
		line("family", b.data);
	if (f->has_idcode)
		printf("  %-10s %08x\n", "idcode", f->idcode);
	if (r->sha256[0]) {
		printf("  %-10s %llu bytes", "size", (unsigned long long)r->size);
		if (f->declared_size && f->declared_size != r->size)
			printf(", the image itself %llu", (unsigned long long)f->declared_size);
		else if (f->declared_size)
			fputs(", to the end that it shows", stdout);
		else if (f->unsized)
			fputs(", and nothing in it shows where it ends", stdout);
		putchar('\n');
	}
	if (f->integrity_checked[0])
		printf("  %-10s %s %s\n", "integrity", f->integrity_checked,
		       f->integrity_ok ? "checked, good" : "does not hold");
	else
		line("integrity", f->integrity_absent);
	kind(f);
	line("shell", f->shell);
	if (strcmp(f->interface, f->shell))
		line("interface", f->interface);
	line("compatible", f->compatible);
	line("design", f->design);
	line("unique id", f->unique_id);
	line("user id", f->user_id);
	line("kernels", f->kernels);
	line("functions", f->afus);
	line("needs", f->needs);
	line("firmware", f->firmware);
	line("targets", f->targets);
	if (f->tool[0] && f->built[0])
		printf("  %-10s %s by %s\n", "built", f->built, f->tool);
	else
		line(f->tool[0] ? "tool" : "built", f->tool[0] ? f->tool : f->built);
	line("sha256", r->sha256);
	line("detail", f->detail);
	if (t->name && !r->fit_known && f->format[0])
		printf("  %-10s %s: not known, the two tell nothing in common\n", "fits",
		       t->name);
	else if (r->fit_known && r->misfit.err)
		printf("  %-10s %s: no, %s\n", "fits", t->name, r->misfit.text);
	else if (r->fit_known)
		printf("  %-10s %s: yes\n", "fits", t->name);
}

static int tell_json(const struct report *r)
{
	char *json CLEANUP_FREE =
		image_facts_json(&r->facts, r->file, r->sha256[0] ? r->sha256 : NULL, r->size,
				 r->why.err, r->why.err ? r->why.text : NULL,
				 !r->fit_known	 ? NULL
				 : r->misfit.err ? r->misfit.text
						 : "");

	if (!json)
		return -ENOMEM;
	puts(json);
	return 0;
}

int inspect_main(int argc, char **argv)
{
	enum { JSON = 256, FOR, MOUNT };
	static const struct option options[] = {
		{ "json", no_argument, NULL, JSON },
		{ "for", required_argument, NULL, FOR },
		{ "mount", required_argument, NULL, MOUNT },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct inspect_for target = { 0 };
	const char *mount = NULL;
	struct reason why = { 0 };
	bool json = false, good = true;
	int c;

	optind = 0; /* glibc: start anew, main may have parsed its own */
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case JSON:
			json = true;
			break;
		case FOR:
			target.name = optarg;
			break;
		case MOUNT:
			mount = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind == argc || (target.name && !target.name[0])) {
		usage(stderr);
		return 2;
	}
	if (target.name)
		inspect_for_find(&target, mount, &why);
	if (why.err) {
		fprintf(stderr, "fabricfs inspect: %s\n", why.text);
		return 2;
	}
	for (int i = optind; i < argc; i++) {
		struct report r = { .file = argv[i] };

		inspect(&r, &target);
		if (!json)
			tell(&r, &target);
		else if (tell_json(&r))
			reason_set(&r.why, ENOMEM, "out of memory");
		if (r.why.err || r.misfit.err)
			good = false;
	}
	if (fflush(stdout) || ferror(stdout)) {
		perror("fabricfs inspect: standard output");
		return 1;
	}
	return good ? 0 : 1;
}
