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
#include <sys/stat.h>
#include <unistd.h>

#include <fabricfs/buf.h>
#include <fabricfs/digest.h>
#include <fabricfs/image.h>

#include "inspect.h"
#include "inspect_for.h"
#include "inspect_label.h"

#define CHUNK	   (1u << 20)		/* bytes a read(); as uploads come */
#define STREAM_MAX (UINT64_C(16) << 30) /* of what tells no size: no image is as large */
#define LARGE	   (UINT64_C(32) << 20) /* bytes from which on progress is shown */
#define BAR	   30

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

/* --- reading -------------------------------------------------------------------- */

/* How far it is, for somebody who waits at a terminal. */
struct progress {
	bool shown;    /* something stands there */
	uint64_t size; /* of the file; 0 = not known */
	uint64_t next; /* bytes at which there is something new to show */
};

static void progress_show(struct progress *p, uint64_t at)
{
	const char *term = getenv("TERM");
	unsigned percent, done;

	if (at < p->next)
		return;
	if (!isatty(STDERR_FILENO) || !term || !strcmp(term, "dumb")) {
		p->next = UINT64_MAX;
		return;
	}
	p->shown = true;
	if (!p->size) {
		p->next = at + LARGE;
		fprintf(stderr, "\r%llu MiB", (unsigned long long)(at >> 20));
		return;
	}
	p->next = at + p->size / 100;
	percent = (unsigned)(at * 100 / p->size);
	done = percent * BAR / 100;
	fprintf(stderr, "\r[%.*s%*s] %3u%%", (int)done, "##############################",
		(int)(BAR - done), "", percent);
}

static void progress_end(const struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
}

/* Has the file been written to since `before`? whole: all that it was then has been read. */
static int unchanged(int fd, const struct stat *before, bool whole, struct reason *why)
{
	struct stat now;

	if (!S_ISREG(before->st_mode) || fstat(fd, &now))
		return 0;
	if (now.st_size != before->st_size || !whole)
		return reason_set(why, EBUSY,
				  "it went from %lld to %lld bytes while it was read: is it still "
				  "being written?",
				  (long long)before->st_size, (long long)now.st_size);
	if (now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
	    now.st_mtim.tv_nsec != before->st_mtim.tv_nsec)
		return reason_set(why, EBUSY, "it was written to while it was read");
	return 0;
}

/*
 * Reads the file to its end, also after the verdict is known: the hash names the bytes. But a
 * file that grows is read as far as it went at the start, and a device that is no image
 * (/dev/zero) has no end to go to.
 */
static int scan(int fd, struct image_parser *parser, struct digest *digest, struct inspect_report *r)
{
	char *chunk CLEANUP_FREE = malloc(CHUNK);
	struct progress progress = { .next = LARGE };
	uint64_t limit = STREAM_MAX;
	off_t start = lseek(fd, 0, SEEK_CUR); /* of standard input something may have been read */
	struct stat st;
	ssize_t n = 1;
	int rc = 0;

	if (!chunk)
		return reason_set(&r->why, ENOMEM, "out of memory");
	if (fstat(fd, &st))
		return reason_set(&r->why, errno, "cannot be read: %s", strerror(errno));
	if (S_ISREG(st.st_mode) && start >= 0 && st.st_size > start)
		limit = progress.size = (uint64_t)(st.st_size - start);
	if (progress.size && progress.size < LARGE)
		progress.next = UINT64_MAX;
	while (r->size < limit) {
		n = read(fd, chunk, limit - r->size < CHUNK ? (size_t)(limit - r->size) : CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		r->size += (uint64_t)n;
		digest_update(digest, chunk, (size_t)n);
		rc = image_parser_feed(parser, chunk, (size_t)n, NULL);
		if (rc < 0 && S_ISCHR(st.st_mode))
			break;
		progress_show(&progress, r->size);
	}
	progress_end(&progress);
	if (n < 0)
		return reason_set(&r->why, errno, "cannot be read: %s", strerror(errno));
	rc = image_parser_end(parser, &r->why);
	r->facts = *image_parser_facts(parser);
	r->judged = true;
	if (n && !progress.size)
		return rc < 0 ? rc
			      : reason_set(&r->why, EFBIG, "it goes on behind %llu GiB: no image is as large",
					   (unsigned long long)(STREAM_MAX >> 30));
	digest_hex(digest, r->sha256);
	return unchanged(fd, &st, !progress.size || r->size == progress.size, &r->why);
}

static void inspect(struct inspect_report *r, const struct inspect_for *t)
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

/* --- telling ---------------------------------------------------------------------- */

static int tell_json(const struct inspect_report *r)
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
		struct inspect_report r = { .file = argv[i] };

		inspect(&r, &target);
		if (!json && i > optind)
			putchar('\n');
		if (!json)
			inspect_label(&r, &target);
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
