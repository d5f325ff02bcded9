// SPDX-License-Identifier: Apache-2.0
/* Addresses of web servers (include/fabricfs/url.h). Grammar: RFC 3986, and RFC 6874 for zones. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fabricfs/url.h>

#define LETTERS	 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define HOST_MAX 253 /* RFC 1035 */
#define ZONE_MAX 15  /* IFNAMSIZ, and libcurl's */

/* Behind "http://" or "https://"; NULL = neither. */
static const char *authority_of(const char *url)
{
	if (!strncmp(url, "https://", 8))
		return url + 8;
	return strncmp(url, "http://", 7) ? NULL : url + 7;
}

/* Of "[...]" of len bytes. */
static bool ipv6_good(const char *host, size_t len)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	size_t n = 0;

	if (len < 4 || host[len - 1] != ']')
		return false;
	host++;
	len -= 2;
	while (n < len && host[n] != '%')
		n++;
	if (n >= sizeof(text))
		return false;
	memcpy(text, host, n);
	text[n] = '\0';
	if (inet_pton(AF_INET6, text, &address) != 1)
		return false;
	if (n == len)
		return true;
	return len - n > 3 && len - n <= 3 + ZONE_MAX && !memcmp(host + n, "%25", 3) &&
	       strspn(host + n + 3, LETTERS "._-") >= len - n - 3;
}

/* Labels of a name, or of an IPv4 address. One dot at its end is the root's. */
static bool name_good(const char *host, size_t len)
{
	size_t label = 0;

	if (len > HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (host[i] != '.') {
			label++;
			continue;
		}
		if (!label || label > 63)
			return false;
		label = 0;
	}
	return label <= 63 && *host != '-' && strspn(host, LETTERS "._-") >= len;
}

static bool port_good(const char *digits, size_t len)
{
	unsigned port = 0;

	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)digits[i]))
			return false;
		port = port * 10 + (unsigned)(digits[i] - '0');
		if (port > 65535)
			return false;
	}
	return port > 0;
}

static size_t host_length(const char *host, size_t len)
{
	const char *bracket = *host == '[' ? memchr(host, ']', len) : NULL;
	const char *colon = bracket ? bracket + 1 : *host == '[' ? NULL : memchr(host, ':', len);

	return colon ? (size_t)(colon - host) : len;
}

const char *url_fault(const char *url)
{
	const char *host = authority_of(url);
	size_t len, n;

	if (!host)
		return "it has to begin with http:// or https://";
	for (const char *at = url; *at; at++)
		if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f)
			return "it has a blank, a control character or a letter that is not ASCII in it";
	len = strcspn(host, "/?#");
	if (memchr(host, '@', len))
		return "a user or a password does not belong into it";
	if (!len || *host == ':')
		return "it has no host";
	n = host_length(host, len);
	if (*host == '[' ? !ipv6_good(host, n) : !name_good(host, n))
		return "its host is neither a name nor an address";
	if (n < len && (host[n] != ':' || !port_good(host + n + 1, len - n - 1)))
		return "its port is no number from 1 to 65535";
	return NULL;
}

void url_origin(const char *url, char out[URL_ORIGIN_MAX])
{
	const char *host = authority_of(url);
	unsigned long port;
	size_t len, n;
	bool tls;

	out[0] = '\0';
	if (!host)
		return;
	tls = host == url + 8;
	len = strcspn(host, "/?#");
	n = host_length(host, len);
	port = n < len ? strtoul(host + n + 1, NULL, 10) : tls ? 443 : 80;
	snprintf(out, URL_ORIGIN_MAX, "http%s://%.*s:%lu", tls ? "s" : "", (int)n, host, port);
	for (char *c = out; *c; c++)
		*c = (char)tolower((unsigned char)*c);
}
