// SPDX-License-Identifier: Apache-2.0
/* Names, sizes and times as web servers write them. Pure. */
#include "backend/repo/http_index.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Digits, ASCII letters and "-._~": what is in a path as it is. */
static bool is_plain(unsigned char c)
{
	unsigned char letter = c | 0x20;

	return (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
	       c == '~';
}

void path_encode(struct buf *out, const char *bytes, size_t n, bool slashes)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0, run; i < n; i += run) {
		unsigned char c = (unsigned char)bytes[i];

		for (run = 0; i + run < n; run++)
			if (!is_plain((unsigned char)bytes[i + run]) && (!slashes || bytes[i + run] != '/'))
				break;
		if (run > 0) {
			buf_add(out, bytes + i, run);
			continue;
		}
		buf_add(out, (char[]){ '%', hex[c >> 4], hex[c & 15] }, 3);
		run = 1;
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool path_decode(struct buf *out, const char *text, size_t n)
{
	if (memchr(text, 0, n))
		return false;
	for (size_t i = 0; i < n;) {
		const char *code = memchr(text + i, '%', n - i);
		size_t run = code ? (size_t)(code - text) - i : n - i;
		int high, low;
		char c;

		buf_add(out, text + i, run);
		i += run;
		if (!code)
			break;
		high = i + 2 < n ? hex_digit(text[i + 1]) : -1;
		low = i + 2 < n ? hex_digit(text[i + 2]) : -1;
		if (high < 0 || low < 0 || !(high | low))
			return false;
		c = (char)((unsigned)high << 4 | (unsigned)low);
		buf_add(out, &c, 1);
		i += 3;
	}
	return true;
}

/* What of href is below page, whose path both begin with; NULL: it is not. */
static const char *below(const char *page, const char *href)
{
	struct buf a CLEANUP_BUF = BUF_INIT, b CLEANUP_BUF = BUF_INIT;
	size_t slashes = 0;
	const char *at = href;

	/* As many components of it as page has, decoded, have to be the same. */
	for (const char *p = page; *p; p++)
		slashes += *p == '/';
	for (; *at && slashes > 0; at++)
		slashes -= *at == '/';
	if (slashes > 0 || !path_decode(&a, page, strlen(page)) || !path_decode(&b, href, (size_t)(at - href)) ||
	    a.len != b.len || !a.data || !b.data || a.failed || b.failed || memcmp(a.data, b.data, a.len) != 0)
		return NULL;
	return at;
}

bool link_child(const char *page, const char *href, struct buf *name, bool *folder)
{
	size_t n;

	buf_clear(name);
	while (*href == ' ')
		href++;
	if (*href == '/') {
		/* Another host ("//host/") or a path: it has to be this page's, and then some. */
		href = href[1] == '/' ? NULL : below(page, href);
		if (!href)
			return false;
	}
	while (strncmp(href, "./", 2) == 0)
		href += 2;
	/* Sort orders, places within the page; a name's own ? and # are encoded. */
	n = strcspn(href, "?#");
	if (href[n] != 0 || n == 0)
		return false;
	while (n > 0 && href[n - 1] == ' ')
		n--;
	*folder = n > 0 && href[n - 1] == '/';
	n -= *folder;
	/* "mailto:", "https:": a colon of a name comes encoded or behind "./", for the same reason. */
	if (memchr(href, ':', n) && !memchr(href, '%', (size_t)(strchr(href, ':') - href)) &&
	    (strncasecmp(href, "http:", 5) == 0 || strncasecmp(href, "https:", 6) == 0 ||
	     strncasecmp(href, "mailto:", 7) == 0 || strncasecmp(href, "javascript:", 11) == 0 ||
	     strncasecmp(href, "data:", 5) == 0 || strncasecmp(href, "ftp:", 4) == 0))
		return false;
	if (memchr(href, '/', n) || !path_decode(name, href, n) || name->failed || name->len == 0 ||
	    name->len > INDEX_NAME_MAX || memchr(name->data, '/', name->len))
		return false;
	return strcmp(name->data, ".") != 0 && strcmp(name->data, "..") != 0;
}

/* --- times ----------------------------------------------------------------------------------- */

/* One or two digits, or just four, at *at, which is moved behind them. */
static bool number_parse(const char **at, unsigned digits, int *value)
{
	unsigned n = 0;

	*value = 0;
	for (; n < digits && isdigit((unsigned char)**at); n++)
		*value = *value * 10 + (*(*at)++ - '0');
	return n == digits || (n > 0 && digits == 2);
}

static bool letter_parse(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

/* The English name of a month, its first three letters; 0: it is none. */
static bool month_parse(const char **at, int *month)
{
	static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";

	for (int i = 0; i < 12; i++)
		if (strncasecmp(months + 3 * i, *at, 3) == 0) {
			*month = i + 1;
			*at += 3;
			return true;
		}
	return false;
}

static void blanks_skip(const char **at)
{
	*at += strspn(*at, " \t\r\n");
}

struct stamp {
	int year, month, day, hour, minute, second;
};

/* Seconds since the epoch; 0 = there is no such day. */
static int64_t seconds_of(const struct stamp *t)
{
	/* Years begin in March here, so that the day which may be missing is their last. */
	int64_t year = t->month > 2 ? t->year : t->year - 1, month = (t->month + 9) % 12;
	int64_t days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + t->day - 1;

	if (t->year < 1970 || t->month < 1 || t->month > 12 || t->day < 1 || t->day > 31 || t->hour > 23 ||
	    t->minute > 59 || t->second > 60)
		return 0;
	/* From the first of March of the year 0 to the first of January 1970. */
	return (days - 719468) * 86400 + t->hour * 3600 + t->minute * 60 + t->second;
}

/* hh:mm, and :ss if that follows or is wanted. */
static bool clock_parse(const char **at, bool seconds, struct stamp *t)
{
	const char *more;

	if (!number_parse(at, 2, &t->hour) || !letter_parse(at, ':') || !number_parse(at, 2, &t->minute))
		return false;
	more = *at;
	t->second = 0;
	if (letter_parse(&more, ':') && number_parse(&more, 2, &t->second))
		*at = more;
	else if (seconds)
		return false;
	return true;
}

/* 2026-11-21, or 2026-Nov-21 (lighttpd). */
static bool date_parse(const char **at, struct stamp *t)
{
	return number_parse(at, 4, &t->year) && letter_parse(at, '-') &&
	       (number_parse(at, 2, &t->month) || month_parse(at, &t->month)) && letter_parse(at, '-') &&
	       number_parse(at, 2, &t->day);
}

/* A date and a time at the beginning of text: their end, or NULL. */
static const char *stamp_parse(const char *text, int64_t *seconds)
{
	struct stamp t = { 0 };
	const char *at = text;

	/* 21-Nov-2026 (nginx), else as above (Apache). */
	if (!number_parse(&at, 2, &t.day) || !letter_parse(&at, '-') || !month_parse(&at, &t.month) ||
	    !letter_parse(&at, '-') || !number_parse(&at, 4, &t.year)) {
		at = text;
		if (!date_parse(&at, &t))
			return NULL;
	}
	if (*at != 'T' && !strchr(" \t\r\n", *at))
		return NULL;
	if (*at)
		at++;
	blanks_skip(&at);
	if (!clock_parse(&at, false, &t))
		return NULL;
	*seconds = seconds_of(&t);
	return *seconds ? at : NULL;
}

/* "Sat, 21 Nov 2026 12:00:00 GMT" */
static bool http_parse(const char *at, struct stamp *t)
{
	size_t day = 0;

	while (isalpha((unsigned char)at[day]))
		day++;
	at += day;
	if (day == 0 || day > 3 || !letter_parse(&at, ','))
		return false;
	blanks_skip(&at);
	if (!number_parse(&at, 2, &t->day))
		return false;
	blanks_skip(&at);
	if (!month_parse(&at, &t->month))
		return false;
	blanks_skip(&at);
	if (!number_parse(&at, 4, &t->year))
		return false;
	blanks_skip(&at);
	if (!clock_parse(&at, true, t))
		return false;
	blanks_skip(&at);
	return strcmp(at, "GMT") == 0;
}

int64_t time_parse(const char *text)
{
	struct stamp t = { 0 }, zone = { 0 };
	const char *at = text;
	int64_t seconds;
	int sign;

	if (http_parse(text, &t))
		return seconds_of(&t);
	if (!date_parse(&at, &t) || (!letter_parse(&at, 'T') && !letter_parse(&at, ' ')) || !clock_parse(&at, true, &t))
		return 0;
	seconds = seconds_of(&t);
	if (*at == '.' || *at == ',')
		at += 1 + strspn(at + 1, "0123456789");
	if ((*at == 'Z' || *at == 'z') && at[1] == 0)
		return seconds;
	sign = *at == '+' ? 1 : *at == '-' ? -1 : 0;
	if (!sign || !seconds)
		return 0;
	at++;
	return clock_parse(&at, false, &zone) && *at == 0 ? seconds - sign * (zone.hour * 3600 + zone.minute * 60) : 0;
}

/* --- sizes ----------------------------------------------------------------------------------- */

static void size_parse(const char *text, struct index_entry *entry)
{
	static const char units[] = "KMGTP";
	double value;
	char *end;
	const char *unit;

	text += strspn(text, " \t\r\n");
	if (!isdigit((unsigned char)*text) || strspn(text, "0123456789.") > 20)
		return;
	/* No exponents, no hexadecimal: strtod() is given digits and one dot only. */
	char digits[24] = "";

	memcpy(digits, text, strspn(text, "0123456789."));
	text += strlen(digits);
	unit = *text ? strchr(units, toupper((unsigned char)*text)) : NULL;
	if (!unit && !strchr(digits, '.')) {
		if (*text && !isspace((unsigned char)*text))
			return;
		entry->has_size = true;
		entry->size = strtoull(digits, NULL, 10);
		return;
	}
	value = strtod(digits, &end);
	if (*end)
		return;
	for (; unit && unit >= units; unit--)
		value *= 1024;
	if (value > 1e18)
		return;
	entry->has_size = entry->size_rounded = true;
	entry->size = (uint64_t)value;
}

void listing_parse(const char *text, struct index_entry *entry, char when[64])
{
	for (const char *at = text; *at; at++) {
		const char *end;
		int64_t seconds = 0;
		size_t n;

		if (!isdigit((unsigned char)*at) || (at > text && isalnum((unsigned char)at[-1])) ||
		    !(end = stamp_parse(at, &seconds)))
			continue;
		entry->mtime_s = seconds;
		size_parse(end, entry);
		/* The time as it stands there: what tells a change although its zone is not known. */
		n = (size_t)(end - at);
		if (n < 64) {
			memcpy(when, at, n);
			when[n] = 0;
		}
		return;
	}
}
