// SPDX-License-Identifier: Apache-2.0
/* Names, sizes and times as web servers write them. Pure. */
#include "backend/repo/http_index.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

void path_encode(struct buf *out, const char *bytes, size_t n, bool slashes)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)bytes[i];
		char code[3] = { '%', hex[c >> 4], hex[c & 15] };
		bool plain = (c < 0x80 && isalnum(c)) || c == '-' || c == '.' || c == '_' || c == '~' ||
			     (slashes && c == '/');

		buf_add(out, plain ? &bytes[i] : code, plain ? 1 : 3);
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
	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (c == '%') {
			int high = i + 2 < n ? hex_digit(text[i + 1]) : -1;
			int low = i + 2 < n ? hex_digit(text[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (c == 0)
			return false;
		buf_add(out, &c, 1);
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

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static int month_of(const char *text)
{
	for (int i = 0; i < 12; i++)
		if (strncasecmp(months + 3 * i, text, 3) == 0)
			return i + 1;
	return 0;
}

/* 0 = no such day. */
static int64_t seconds_of(int year, int month, int day, int hour, int minute, int second)
{
	struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour,
			 .tm_min = minute, .tm_sec = second };

	if (year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 ||
	    minute > 59 || second > 60 || hour < 0 || minute < 0 || second < 0)
		return 0;
	return (int64_t)timegm(&tm);
}

/* A date and a time at the beginning of text: their end, or NULL. */
static const char *stamp_parse(const char *text, int64_t *seconds)
{
	int day, year, month = 0, hour, minute, second = 0, end = 0;
	char name[4] = "";

	if (sscanf(text, "%2d-%3[A-Za-z]-%4d %2d:%2d%n", &day, name, &year, &hour, &minute, &end) == 5 && end > 0)
		month = month_of(name); /* nginx */
	else if (sscanf(text, "%4d-%3[A-Za-z]-%2d %2d:%2d%n", &year, name, &day, &hour, &minute, &end) == 5 && end > 0)
		month = month_of(name); /* lighttpd */
	else if (sscanf(text, "%4d-%2d-%2d%*1[T ]%2d:%2d%n", &year, &month, &day, &hour, &minute, &end) != 5 || end == 0)
		return NULL; /* Apache */
	if (text[end] == ':') {
		int more = 0;

		if (sscanf(text + end, ":%2d%n", &second, &more) == 1 && more > 0)
			end += more;
	}
	*seconds = seconds_of(year, month, day, hour, minute, second);
	return *seconds ? text + end : NULL;
}

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

int64_t time_parse(const char *text)
{
	char name[4], zone[4] = "";
	int day, year, month, hour, minute, second, end = 0;
	int64_t seconds = 0;

	if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d %3s%n", &day, name, &year, &hour, &minute,
		   &second, zone, &end) == 7 && strcmp(zone, "GMT") == 0 && text[end] == 0)
		return seconds_of(year, month_of(name), day, hour, minute, second);
	if (sscanf(text, "%4d-%2d-%2d%*1[T ]%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second, &end) != 6 ||
	    end == 0)
		return 0;
	seconds = seconds_of(year, month, day, hour, minute, second);
	text += end;
	if (*text == '.' || *text == ',')
		text += 1 + strspn(text + 1, "0123456789");
	if (seconds && (*text == '+' || *text == '-') &&
	    sscanf(text + 1, "%2d:%2d%n", &hour, &minute, &end) == 2 && end > 0)
		return seconds - (*text == '+' ? 1 : -1) * (hour * 3600 + minute * 60);
	return (*text == 'Z' || *text == 'z') && text[1] == 0 ? seconds : 0;
}
