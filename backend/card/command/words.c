// SPDX-License-Identifier: Apache-2.0
/* Arguments, environment and output of operators' commands (words.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

#define PATH_GIVEN "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* --- arguments -------------------------------------------------------------------- */

int words_check(const struct card_value *command, bool image, struct reason *why)
{
	const char *program = command->list_len ? command->list[0] : "";

	if (!*program)
		return reason_set(why, EINVAL, "%s: the name of the program is missing", command->key);
	/* It runs in /, so a path that is not absolute would mean another file. */
	if (*program != '/' && strchr(program, '/'))
		return reason_set(why, EINVAL, "%s: '%s' is neither an absolute path nor a plain name",
				  command->key, program);
	if (command->list_len > WORDS_MAX)
		return reason_set(why, EINVAL, "%s: %zu words, at most %d are taken", command->key,
				  command->list_len, WORDS_MAX);
	for (size_t i = 0; i < command->list_len; i++) {
		for (const char *p = strchr(command->list[i], '%'); p; p = strchr(p + 2, '%')) {
			if (!p[1] || !strchr("fpns%", p[1]))
				return reason_set(why, EINVAL, "%s: '%s' has a %% that is none of %%f %%p %%n %%s "
						  "%%%%", command->key, command->list[i]);
			if (!image && (p[1] == 'f' || p[1] == 's'))
				return reason_set(why, EINVAL, "%s: '%s' wants %%%c, but this command is not about "
						  "an image", command->key, command->list[i], p[1]);
		}
	}
	return 0;
}

void words_free(struct words *words)
{
	for (size_t i = 0; i < words->len; i++)
		free(words->list[i]);
	free(words->list);
	*words = (struct words){ 0 };
}

/* Takes the buffer's text. */
static int words_add(struct words *words, struct buf *text)
{
	char **list = realloc(words->list, (words->len + 2) * sizeof(*list));
	char *word;

	if (!list)
		return -ENOMEM;
	words->list = list;
	list[words->len] = NULL;
	word = buf_steal(text, NULL);
	if (!word)
		return -ENOMEM;
	list[words->len++] = word;
	list[words->len] = NULL;
	return 0;
}

static const char *letter(char c, const struct words_facts *facts)
{
	const char *text = "";

	switch (c) {
	case 'f':
		text = facts->image;
		break;
	case 'p':
		text = facts->part;
		break;
	case 'n':
		text = facts->name;
		break;
	case 's':
		text = facts->sha256;
		break;
	case '%':
		text = "%";
		break;
	}
	return text ? text : "";
}

int words_expand(const struct card_value *command, const struct words_facts *facts, struct words *out)
{
	for (size_t i = 0; i < command->list_len; i++) {
		struct buf text CLEANUP_BUF = BUF_INIT;
		const char *p = command->list[i];

		while (*p) {
			size_t n = strcspn(p, "%");

			buf_add(&text, p, n);
			p += n;
			if (!*p)
				break;
			buf_adds(&text, letter(p[1], facts));
			p += p[1] ? 2 : 1;
		}
		if (words_add(out, &text))
			return -ENOMEM;
	}
	return 0;
}

static bool env_owned(const struct card_value *own, const char *name)
{
	for (size_t i = 0; own && i + 1 < own->list_len; i += 2)
		if (!strcmp(own->list[i], name))
			return true;
	return false;
}

static int env_add(struct words *out, const char *name, const char *value)
{
	struct buf text CLEANUP_BUF = BUF_INIT;

	buf_addf(&text, "%s=%s", name, value ? value : "");
	return words_add(out, &text);
}

int words_environment(const struct words_facts *facts, const struct card_value *own, struct words *out)
{
	char dev[16], size[24] = "", slot[16] = "";
	int err = 0;

	snprintf(dev, sizeof(dev), "dev%u", facts->dev);
	if (facts->image)
		snprintf(size, sizeof(size), "%" PRIu64, facts->size);
	if (facts->slotted)
		snprintf(slot, sizeof(slot), "%u", facts->slot);

	const struct {
		const char *name, *value;
	} given[] = {
		{ "FABRICFS_DEV", dev },
		{ "FABRICFS_NAME", facts->name },
		{ "FABRICFS_SLOT", slot },
		{ "FABRICFS_PART", facts->part },
		{ "FABRICFS_IDCODE", facts->idcode },
		{ "FABRICFS_IMAGE", facts->image },
		{ "FABRICFS_SHA256", facts->sha256 },
		{ "FABRICFS_FORMAT", facts->format },
		{ "FABRICFS_SIZE", size },
		{ "LANG", "C" },
		{ "PATH", PATH_GIVEN },
	};

	for (size_t i = 0; own && !err && i + 1 < own->list_len; i += 2)
		err = env_add(out, own->list[i], own->list[i + 1]);
	/* One of each name: programs differ in which of two they believe. */
	for (size_t i = 0; !err && i < sizeof(given) / sizeof(*given); i++)
		if (!env_owned(own, given[i].name))
			err = env_add(out, given[i].name, given[i].value);
	return err;
}

/* --- output ------------------------------------------------------------------------ */

/* Bytes of the UTF-8 character at p, 0 when it is none. */
static size_t utf8_len(const char *p, size_t left)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t n = u[0] < 0x80 ? 1 : u[0] >= 0xc2 && u[0] < 0xe0 ? 2 : (u[0] & 0xf0) == 0xe0 ? 3 :
		   u[0] >= 0xf0 && u[0] < 0xf5 ? 4 : 0;

	if (!n || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	/* C1 controls, overlong forms, surrogates, beyond the end. */
	if ((u[0] == 0xc2 && u[1] < 0xa0) || (u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] >= 0xa0) ||
	    (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] >= 0x90))
		return 0;
	return n;
}

/* Bytes of the terminal's escape sequence at p (which is ESC). */
static size_t escape_len(const char *p, size_t left)
{
	size_t n = 2;

	if (left < 2 || p[1] != '[')
		return left < 2 ? left : 2;
	while (n < left && (unsigned char)p[n] >= 0x20 && (unsigned char)p[n] < 0x40)
		n++;
	return n < left ? n + 1 : n;
}

long words_line(const struct buf *text, size_t *at, const char **line)
{
	const char *begin, *end;

	if (*at >= text->len)
		return -1;
	begin = text->data + *at;
	end = memchr(begin, '\n', text->len - *at);
	*line = begin;
	*at = end ? (size_t)(end - text->data) + 1 : text->len;
	return end ? end - begin : (long)(text->len - (size_t)(begin - text->data));
}

static void line_clean(const char *p, size_t left, struct buf *out)
{
	while (left && (p[left - 1] == '\r' || p[left - 1] == ' '))
		left--;

	/* What \r went back over was overwritten on the screen too. */
	for (size_t i = left; i; i--) {
		if (p[i - 1] == '\r') {
			p += i;
			left -= i;
			break;
		}
	}
	while (left) {
		size_t n = utf8_len(p, left);

		if (*p == '\033')
			n = escape_len(p, left);
		else if (!n)
			buf_add(out, "?", n = 1);
		else if ((unsigned char)*p < 0x20 || *p == 0x7f)
			buf_add(out, " ", 1);
		else
			buf_add(out, p, n);
		p += n;
		left -= n;
	}
}

void words_clean(const struct helper_result *result, struct buf *out, size_t max)
{
	struct buf raw CLEANUP_BUF = BUF_INIT, clean CLEANUP_BUF = BUF_INIT;
	size_t at = 0, head = max / 3, tail = max - max / 3 - 5;
	const char *line;
	long n;

	helper_output(result, &raw);
	while ((n = words_line(&raw, &at, &line)) >= 0) {
		struct buf one CLEANUP_BUF = BUF_INIT;

		line_clean(line, (size_t)n, &one);
		if (!one.len)
			continue;
		if (clean.len)
			buf_adds(&clean, " / ");
		buf_add(&clean, one.data, one.len);
	}
	if (clean.len <= max) {
		buf_add(out, clean.data, clean.len);
		return;
	}
	/* Whole characters only, on both sides of the cut. */
	while (head && ((unsigned char)clean.data[head] & 0xc0) == 0x80)
		head--;
	while (tail && ((unsigned char)clean.data[clean.len - tail] & 0xc0) == 0x80)
		tail--;
	buf_add(out, clean.data, head);
	buf_adds(out, " ... ");
	buf_add(out, clean.data + clean.len - tail, tail);
}
