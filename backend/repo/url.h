// SPDX-License-Identifier: Apache-2.0
/* Addresses: what of them may be shown, and where they lead (private to backend/repo). */
#ifndef BACKEND_REPO_URL_H
#define BACKEND_REPO_URL_H

#include <stdbool.h>
#include <stddef.h>

#include <fabricfs/error.h>

#define URL_MAX	      8192 /* bytes; what servers themselves take as a request line */
#define URL_SHOWN_MAX 512

/* Without user, password, query and fragment: what may be shown. */
void url_show(const char *url, char *out, size_t size);
/* http or https, a host; user, password and fragment are taken off. After curl_api_load(). */
int url_clean(const char *url, char *out, size_t size, struct reason *why);
/* Where `location` leads from `base`; cleaned. */
int url_resolve(const char *base, const char *location, char *out, size_t size, struct reason *why);
/* Same scheme, host and port: credentials may go there too. */
bool url_same_origin(const char *a, const char *b);
/* Its path, within the text ("" when there is none). */
const char *url_path(const char *url);

#endif
