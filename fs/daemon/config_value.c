// SPDX-License-Identifier: Apache-2.0
/* Values of the configuration, checked (config_value.h). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/buf.h>

#include "fs/daemon/config_value.h"

int conf_no_memory(const struct conf *c)
{
	return reason_set(c->why, ENOMEM, "no memory to read the configuration %s", c->file);
}

const struct conf_node *conf_member(const struct conf_node *map, const char *key)
{
	for (const struct conf_node *n = map->first; n; n = n->next)
		if (!strcmp(n->key, key))
			return n;
	return NULL;
}

static const char *kind_word(const struct conf_node *n)
{
	switch (n->kind) {
	case CONF_LIST:
		return "a list";
	case CONF_MAP:
		return "a map";
	case CONF_TEXT:
		break;
	}
	return *n->text || n->quoted ? "a value" : "nothing";
}

static int wrong_kind(const struct conf *c, const struct conf_node *n, const char *wanted)
{
	return CONF_FAULT(c, n->line, "%s%s%s is written here, it has to be %s",
			  n->key ? conf_show(n->key) : "", n->key ? ": " : "", kind_word(n), wanted);
}

static int wrong_text(const struct conf *c, const struct conf_node *n, const char *wanted)
{
	if (n->kind != CONF_TEXT || (!*n->text && !n->quoted))
		return wrong_kind(c, n, wanted);
	return CONF_FAULT(c, n->line, "%s%s'%s' is written here, it has to be %s",
			  n->key ? conf_show(n->key) : "", n->key ? ": " : "", conf_show(n->text),
			  wanted);
}

int conf_want_map(const struct conf *c, const struct conf_node *n)
{
	return n->kind == CONF_MAP ? 0 : wrong_text(c, n, "a map, {key: value}");
}

int conf_want_list(const struct conf *c, const struct conf_node *n)
{
	return n->kind == CONF_LIST ? 0 : wrong_text(c, n, "a list, [one, two]");
}

int conf_text(const struct conf *c, const struct conf_node *n, const char **out)
{
	if (n->kind != CONF_TEXT || !*n->text)
		return wrong_text(c, n, "a text");
	*out = n->text;
	return 0;
}

int conf_bool(const struct conf *c, const struct conf_node *n, int *out)
{
	static const char *const yes[] = { "true", "yes", "on" }, *const no[] = { "false", "no", "off" };

	for (unsigned i = 0; n->kind == CONF_TEXT && i < 3; i++) {
		if (!strcasecmp(n->text, yes[i]) || !strcasecmp(n->text, no[i])) {
			*out = !strcasecmp(n->text, yes[i]);
			return 0;
		}
	}
	return wrong_text(c, n, "true or false");
}

/* Decimal digits at the front of *text, which is moved past them; false when
 * there are none or they are too many. */
static bool digits(const char **text, int64_t *out)
{
	const char *t = *text;
	int64_t value = 0;

	for (; *t >= '0' && *t <= '9'; t++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *t - '0', &value))
			return false;
	if (t == *text)
		return false;
	*text = t;
	*out = value;
	return true;
}

int conf_integer(const struct conf *c, const struct conf_node *n, int64_t max, int64_t *out)
{
	const char *t = n->text;
	bool whole = n->kind == CONF_TEXT && *t && !t[strspn(t, "0123456789")];

	if (!whole)
		return wrong_text(c, n, "a whole number, not negative");
	if (!digits(&t, out) || *out > max)
		return CONF_FAULT(c, n->line, "%s: %s is too large, at most %lld is taken",
				  n->key ? conf_show(n->key) : "number", conf_show(n->text),
				  (long long)max);
	return 0;
}

int conf_number(const struct conf *c, const struct conf_node *n, double *out)
{
	/* strtod would also take "inf", "nan" and hexadecimal. */
	if (n->kind != CONF_TEXT || !*n->text || strlen(n->text) > 32 ||
	    strspn(n->text, "0123456789.") != strlen(n->text) || strchr(n->text, '.') != strrchr(n->text, '.') ||
	    !strcmp(n->text, "."))
		return wrong_text(c, n, "a number, not negative");
	*out = strtod(n->text, NULL);
	return 0;
}

struct unit {
	const char *name;
	int64_t factor;
};

/* A number and the name of a unit. False when it is neither, or overflows. */
static bool with_unit(const char *text, const struct unit *units, int64_t *out)
{
	int64_t value;

	if (!digits(&text, &value))
		return false;
	while (*text == ' ')
		text++;
	for (; units->name; units++)
		if (!strcmp(text, units->name))
			return !__builtin_mul_overflow(value, units->factor, out);
	return false;
}

int conf_duration(const struct conf *c, const struct conf_node *n, int64_t *out)
{
	static const struct unit units[] = { { "ms", 1 },	 { "s", 1000 },	    { "m", 60000 },
					     { "min", 60000 }, { "h", 3600000 }, { "d", 86400000 },
					     { NULL, 0 } };
	const int64_t year_ms = INT64_C(366) * 86400000;

	if (n->kind == CONF_TEXT && !strcmp(n->text, "0")) {
		*out = 0;
		return 0;
	}
	if (n->kind != CONF_TEXT || !with_unit(n->text, units, out))
		return wrong_text(c, n, "a time with its unit, such as 500ms, 5s, 10m or 1h");
	if (*out > year_ms)
		return wrong_text(c, n, "a time of at most a year");
	return 0;
}

int conf_size(const struct conf *c, const struct conf_node *n, int64_t *out)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "B", 1 },
		{ "KiB", INT64_C(1) << 10 },
		{ "MiB", INT64_C(1) << 20 },
		{ "GiB", INT64_C(1) << 30 },
		{ "TiB", INT64_C(1) << 40 },
		{ "kB", 1000 },
		{ "KB", 1000 },
		{ "MB", 1000000 },
		{ "GB", 1000000000 },
		{ "TB", INT64_C(1000000000000) },
		{ NULL, 0 },
	};

	if (n->kind != CONF_TEXT || !with_unit(n->text, units, out))
		return wrong_text(c, n, "a size such as 20GiB, 500MB or a number of bytes");
	return 0;
}

int conf_mode(const struct conf *c, const struct conf_node *n, int *out)
{
	const char *wanted = "an octal mode such as \"0660\", without the bits for executing";
	size_t len = n->kind == CONF_TEXT ? strlen(n->text) : 0;
	long mode;

	if (len < 3 || len > 4 || strspn(n->text, "01234567") != len)
		return wrong_text(c, n, wanted);
	mode = strtol(n->text, NULL, 8);
	if (mode & ~0666L)
		return wrong_text(c, n, wanted);
	*out = (int)mode;
	return 0;
}

int conf_words(const struct conf *c, const struct conf_node *n, const char ***out, size_t *len)
{
	const char **words;
	size_t i = 0;
	int err = conf_want_list(c, n);

	if (err)
		return err;
	words = conf_alloc(c->memory, (n->len + 1) * sizeof(*words));
	if (!words)
		return conf_no_memory(c);
	for (const struct conf_node *m = n->first; m; m = m->next) {
		if (m->kind != CONF_TEXT)
			return CONF_FAULT(c, m->line, "%s: %s is in the list, only texts may be",
					  conf_show(n->key), kind_word(m));
		words[i++] = m->text;
	}
	*out = words;
	if (len)
		*len = i;
	return 0;
}

int conf_pairs(const struct conf *c, const struct conf_node *n, const char ***out, size_t *len)
{
	const char **pairs;
	size_t i = 0;
	int err = conf_want_map(c, n);

	if (err)
		return err;
	pairs = conf_alloc(c->memory, (2 * n->len + 1) * sizeof(*pairs));
	if (!pairs)
		return conf_no_memory(c);
	for (const struct conf_node *m = n->first; m; m = m->next) {
		if (m->kind != CONF_TEXT)
			return wrong_kind(c, m, "a text or number");
		pairs[i++] = m->key;
		pairs[i++] = m->text;
	}
	*out = pairs;
	if (len)
		*len = i;
	return 0;
}

int conf_one_of(const struct conf *c, const struct conf_node *n, const char *words)
{
	size_t len = n->kind == CONF_TEXT ? strlen(n->text) : 0;

	for (const char *w = words; len && *w;) {
		size_t word = strcspn(w, " ");

		if (word == len && !strncmp(w, n->text, len))
			return 0;
		w += word + strspn(w + word, " ");
	}
	if (n->kind != CONF_TEXT || !*n->text)
		return wrong_kind(c, n, words);
	return CONF_FAULT(c, n->line, "%s: '%s' is not known, known are: %s",
			  n->key ? conf_show(n->key) : "value", conf_show(n->text), words);
}

/* --- unknown keys ----------------------------------------------------------------- */

#define WORD_MAX 40

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Letters to insert, drop, replace or swap with a neighbour to make b of a. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];
	size_t la = strlen(a), lb = strlen(b);

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (unsigned j = 0; j <= lb; j++)
		last[j] = j;
	for (unsigned i = 1; i <= la; i++) {
		now[0] = i;
		for (unsigned j = 1; j <= lb; j++) {
			bool same = a[i - 1] == b[j - 1];

			now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + !same);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}

		unsigned *spare = before;

		before = last;
		last = now;
		now = spare;
	}
	return last[lb];
}

const char *conf_nearest(const char *word, const char *const *known)
{
	const char *best = NULL;
	unsigned least = WORD_MAX;

	for (; *known; known++) {
		unsigned d = distance(word, *known);

		if (d < least) {
			least = d;
			best = *known;
		}
	}
	/* Farther than half of the word is no misspelling of it. */
	return best && least <= 3 && 2 * least <= strlen(best) ? best : NULL;
}

int conf_unknown(const struct conf *c, const struct conf_node *n, const char *const *known,
		 const char *where)
{
	const char *near = conf_nearest(n->key, known);
	struct buf list CLEANUP_BUF = BUF_INIT;

	if (near)
		return CONF_FAULT(c, n->key_line, "unknown key '%s', the nearest known one is '%s'",
				  conf_show(n->key), near);
	for (; *known; known++)
		buf_addf(&list, " %s", *known);
	if (buf_ok(&list))
		return conf_no_memory(c);
	return CONF_FAULT(c, n->key_line, "unknown key '%s'%s%s, known are:%s", conf_show(n->key),
			  *where ? " of " : "", where, list.data ? list.data : "");
}

int conf_known(const struct conf *c, const struct conf_node *map, const char *const *known,
	       const char *where)
{
	for (const struct conf_node *n = map->first; n; n = n->next) {
		const char *const *k = known;

		while (*k && strcmp(*k, n->key))
			k++;
		if (!*k)
			return conf_unknown(c, n, known, where);
	}
	return 0;
}
