// SPDX-License-Identifier: Apache-2.0
/*
 * What inspect found, as a label: the first line says whether the image is sound and for what,
 * then a line for each thing that is known. On a terminal the verdict is coloured (NO_COLOR and
 * TERM=dumb are heeded). Names and texts come from outside: none of their bytes reaches a
 * terminal as a command.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fabricfs/buf.h>

#include "inspect_label.h"

static void line(const char *key, const char *value)
{
	if (value[0])
		printf("  %-10s %s\n", key, value);
}

/* The name of a file may be any bytes, U+0080 to U+009F among them, which are control characters
 * in UTF-8 too (U+009B begins what ESC [ does). */
static void name_tell(const char *name)
{
	for (; *name; name++) {
		bool c1 = (unsigned char)*name == 0xc2 && (name[1] & 0xe0) == 0x80;

		putchar(c1 || (unsigned char)*name < 0x20 || *name == 0x7f ? '?' : *name);
		name += c1;
	}
}

enum colour { RED = 31, GREEN = 32, YELLOW = 33 };

static void verdict(enum colour colour, const char *text, bool coloured)
{
	if (coloured)
		printf("\033[1;%dm%s\033[0m", colour, text);
	else
		fputs(text, stdout);
}

static const char *what_it_is(const struct image_facts *f)
{
	if (!strcmp(f->format, "dtbo"))
		return "an overlay";
	return f->partial == IMAGE_YES ? "a partial image" : "an image";
}

/* Whether it is sound and for what: all that many readers want. */
static void headline(const struct inspect_report *r, bool coloured)
{
	const struct image_facts *f = &r->facts;

	name_tell(r->file);
	fputs(": ", stdout);
	if (r->why.err) {
		if (r->judged)
			verdict(RED, "not sound", coloured);
		printf("%s%s (%s)\n", r->judged ? ": " : "", r->why.text, errno_name(r->why.err));
		return;
	}
	verdict(f->no_card[0] || r->misfit.err ? YELLOW : GREEN, "sound", coloured);
	if (!f->integrity_checked[0])
		fputs(" as far as it can be checked", stdout);
	if (f->no_card[0])
		printf(", for no card: %s\n", f->no_card);
	else if (!strcmp(f->format, "aws-afi"))
		puts(", the name of an image that AWS keeps");
	else
		printf(", %s for %s\n", what_it_is(f),
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

/* Colours are for people: on a terminal that has them, and not where NO_COLOR is set (no-color.org). */
static bool has_colours(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && no[0]) && term && term[0] && strcmp(term, "dumb");
}

void inspect_label(const struct inspect_report *r, const struct inspect_for *t)
{
	static const char *const sure[] = { "unknown", "a guess", "likely", "exact" };
	const struct image_facts *f = &r->facts;
	struct buf b CLEANUP_BUF = BUF_INIT;

	headline(r, has_colours());
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
	/* Of what is damaged the first line says what does not hold. */
	if (!f->integrity_checked[0])
		line("integrity", f->integrity_absent);
	else if (f->integrity_ok)
		printf("  %-10s %s checked, good\n", "integrity", f->integrity_checked);
	kind(f);
	line("shell", f->shell);
	if (strcmp(f->interface, f->shell))
		line("interface", f->interface);
	line("compatible", f->compatible);
	line("design", f->design);
	if (f->unique_id[0] && f->user_id[0])
		printf("  %-10s %s, user id %s\n", "unique id", f->unique_id, f->user_id);
	else
		line(f->unique_id[0] ? "unique id" : "user id",
		     f->unique_id[0] ? f->unique_id : f->user_id);
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
