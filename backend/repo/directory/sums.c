// SPDX-License-Identifier: Apache-2.0
/*
 * SHA256SUMS as sha256sum(1) writes it: 64 hex digits, a blank, a blank or '*', the
 * name; a line that begins with a backslash has '\n' and '\\' in its name escaped.
 * Lines of anything else are left out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/repo/directory/folder.h"

#define SUMS_MAX (64 << 20) /* bytes of the file */
#define LINES_MAX 1000000

struct sum {
	const char *name, *hex; /* in the text */
};

struct sums {
	char *text;
	struct sum *lines; /* by name */
	size_t len;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct sum *)a)->name, ((const struct sum *)b)->name);
}

/* The name of an escaped line, in place. */
static void unescape(char *name)
{
	char *to = name;

	for (; *name; name++) {
		if (name[0] == '\\' && (name[1] == 'n' || name[1] == '\\' || name[1] == 'r')) {
			*to++ = name[1] == 'n' ? '\n' : name[1] == 'r' ? '\r' : '\\';
			name++;
		} else {
			*to++ = *name;
		}
	}
	*to = '\0';
}

static bool line_parse(char *line, struct sum *sum)
{
	bool escaped = *line == '\\';
	char *hex = line + escaped, *name;

	if (strspn(hex, "0123456789abcdefABCDEF") != SHA256_HEX - 1)
		return false;
	name = hex + SHA256_HEX - 1;
	if (name[0] != ' ' || (name[1] != ' ' && name[1] != '*') || !name[2])
		return false;
	*name = '\0';
	name += 2;
	if (escaped)
		unescape(name);
	if (!strncmp(name, "./", 2))
		name += 2;
	for (char *c = hex; *c; c++)
		if (*c >= 'A' && *c <= 'F')
			*c += 'a' - 'A';
	*sum = (struct sum){ .name = name, .hex = hex };
	return true;
}

static char *text_read(int fd, size_t size)
{
	char *text = calloc(1, size + 1);
	size_t n = 0;

	while (text && n < size) {
		ssize_t got = pread(fd, text + n, size - n, (off_t)n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			free(text);
			return NULL;
		}
		if (!got)
			break;
		n += (size_t)got;
	}
	if (text)
		text[n] = '\0';
	return text;
}

struct sums *sums_read(int fd)
{
	struct sums *sums = calloc(1, sizeof(*sums));
	struct stat st;
	size_t lines = 1;

	if (!sums || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > SUMS_MAX)
		goto none;
	sums->text = text_read(fd, (size_t)st.st_size);
	if (!sums->text)
		goto none;
	for (const char *c = sums->text; (c = strchr(c, '\n')); c++)
		lines++;
	if (lines > LINES_MAX || !(sums->lines = calloc(lines, sizeof(*sums->lines))))
		goto none;
	for (char *line = sums->text; line;) {
		char *end = strchr(line, '\n');

		if (end)
			*end = '\0';
		if (line_parse(line, &sums->lines[sums->len]))
			sums->len++;
		line = end ? end + 1 : NULL;
	}
	qsort(sums->lines, sums->len, sizeof(*sums->lines), by_name);
	return sums;
none:
	sums_free(sums);
	return NULL;
}

const char *sums_find(const struct sums *sums, const char *name)
{
	const struct sum key = { .name = name };
	const struct sum *found;

	if (!sums || !sums->len)
		return NULL;
	found = bsearch(&key, sums->lines, sums->len, sizeof(*sums->lines), by_name);
	return found ? found->hex : NULL;
}

void sums_free(struct sums *sums)
{
	if (!sums)
		return;
	free(sums->lines);
	free(sums->text);
	free(sums);
}
