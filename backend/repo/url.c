// SPDX-License-Identifier: Apache-2.0
/* Addresses: what of them may be shown, where a redirect leads, and whether that is still the same server. */
#include "backend/repo/url.h"

#include <string.h>
#include <strings.h>

#include <fabricfs/buf.h>

#include "backend/repo/curl_api.h"

static void url_cleanup(CURLU **u)
{
	curl_url_cleanup(*u);
}
#define CLEANUP_URL __attribute__((cleanup(url_cleanup)))

static void curl_text_free(char **text)
{
	curl_free(*text);
}
#define CLEANUP_CURL_TEXT __attribute__((cleanup(curl_text_free)))

/* Behind "http://" (libcurl takes any number of slashes), or the "//" of an address without a scheme. A
 * "://" further behind is another's, in a query perhaps. */
static const char *authority_find(const char *url)
{
	const char *colon = url + strcspn(url, ":/?#");

	if (*colon == ':')
		return colon + 1 + strspn(colon + 1, "/");
	return strncmp(url, "//", 2) == 0 ? url + 2 : url;
}

void url_show(const char *url, char *out, size_t size)
{
	/* By hand: what has to be shown need not be an address that libcurl takes. */
	const char *host = authority_find(url);
	size_t authority = strcspn(host, "/?#");
	const char *at = memrchr(host, '@', authority);
	size_t end = strcspn(host, "?#");
	struct buf b CLEANUP_BUF = BUF_INIT;

	buf_add(&b, url, (size_t)(host - url));
	if (at) {
		end -= (size_t)(at + 1 - host);
		host = at + 1;
	}
	buf_add(&b, host, end);
	if (buf_ok(&b) < 0)
		buf_clear(&b);
	text_copy(out, size, b.data ? b.data : "");
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static int url_out(CURLU *u, char *out, size_t size, const char *shown, struct reason *why)
{
	char *text CLEANUP_CURL_TEXT = NULL;
	char *scheme CLEANUP_CURL_TEXT = NULL;

	curl_url_set(u, CURLUPART_USER, NULL, 0);
	curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
	curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
	if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		return reason_set(why, EBADMSG, "%s: only http:// and https:// are followed", shown);
	if (curl_url_get(u, CURLUPART_URL, &text, 0) != CURLUE_OK || !text_copy(out, size, text))
		return reason_set(why, EBADMSG, "%s: no address, or one that is too long", shown);
	return 0;
}

int url_clean(const char *url, char *out, size_t size, struct reason *why)
{
	char shown[256];
	CURLU *u CLEANUP_URL = curl_url();
	CURLUcode code;

	url_show(url, shown, sizeof(shown));
	if (!u)
		return reason_set(why, ENOMEM, "%s: no memory", shown);
	code = curl_url_set(u, CURLUPART_URL, url, CURLU_PATH_AS_IS);
	if (code != CURLUE_OK)
		return reason_set(why, EBADMSG, "%s is no address: %s", shown, curl_url_strerror(code));
	return url_out(u, out, size, shown, why);
}

int url_resolve(const char *base, const char *location, char *out, size_t size, struct reason *why)
{
	char shown[256];
	CURLU *u CLEANUP_URL = curl_url();
	CURLUcode code;

	url_show(location, shown, sizeof(shown));
	if (!u)
		return reason_set(why, ENOMEM, "%s: no memory", shown);
	code = curl_url_set(u, CURLUPART_URL, base, CURLU_PATH_AS_IS);
	if (code == CURLUE_OK)
		code = curl_url_set(u, CURLUPART_URL, location, CURLU_PATH_AS_IS);
	if (code != CURLUE_OK)
		return reason_set(why, EBADMSG, "%s is no address: %s", shown, curl_url_strerror(code));
	return url_out(u, out, size, shown, why);
}

static bool part_same(CURLU *a, CURLU *b, CURLUPart part)
{
	char *x CLEANUP_CURL_TEXT = NULL;
	char *y CLEANUP_CURL_TEXT = NULL;

	return curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
	       curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK && strcasecmp(x, y) == 0;
}

bool url_same_origin(const char *a, const char *b)
{
	CURLU *x CLEANUP_URL = curl_url();
	CURLU *y CLEANUP_URL = curl_url();

	return x && y && curl_url_set(x, CURLUPART_URL, a, CURLU_PATH_AS_IS) == CURLUE_OK &&
	       curl_url_set(y, CURLUPART_URL, b, CURLU_PATH_AS_IS) == CURLUE_OK &&
	       part_same(x, y, CURLUPART_SCHEME) && part_same(x, y, CURLUPART_HOST) &&
	       part_same(x, y, CURLUPART_PORT);
}

const char *url_path(const char *url)
{
	const char *host = strstr(url, "://");

	return host ? strchrnul(host + 3, '/') : "";
}
