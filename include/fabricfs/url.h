// SPDX-License-Identifier: Apache-2.0
/*
 * Addresses of web servers, as configurations and catalogues of services write
 * them: one rule for all who read one, so that what check-config takes is taken
 * by the mount too. Stricter than libcurl's: all that is good here it takes.
 */
#ifndef FABRICFS_URL_H
#define FABRICFS_URL_H

#include <stdbool.h>
#include <stddef.h>

#define URL_ORIGIN_MAX 300 /* bytes of "https://host:port" and a NUL */

/*
 * What is wrong with it as a sentence's end ("its port is ..."), NULL = nothing:
 * http:// or https://, a host (a name, an IPv4 or a bracketed IPv6 address), perhaps a
 * port from 1 to 65535, and printable ASCII behind it. No user and no password.
 */
const char *url_fault(const char *url);
/* Scheme, host and port of one without a fault, in one spelling: "https://host:443". "" of what is none. */
void url_origin(const char *url, char out[URL_ORIGIN_MAX]);

#endif
