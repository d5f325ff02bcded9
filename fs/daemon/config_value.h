// SPDX-License-Identifier: Apache-2.0
/*
 * One value of the configuration: what is written against what is wanted. Each
 * function returns 0, or -EINVAL with "FILE:LINE: key: found, wanted".
 */
#ifndef FS_DAEMON_CONFIG_VALUE_H
#define FS_DAEMON_CONFIG_VALUE_H

#include <stdint.h>

#include "fs/daemon/config_tree.h"

/* What every step of reading needs. */
struct conf {
	const char *file;
	struct conf_memory *memory;
	struct reason *why;
};

#define CONF_FAULT(c, line, ...) conf_fault((c)->file, (line), (c)->why, __VA_ARGS__)
int conf_no_memory(const struct conf *c);

/* A member of a map by its key, or NULL. */
const struct conf_node *conf_member(const struct conf_node *map, const char *key);
/* Is it this kind of thing? The sentence names the key. */
int conf_want_map(const struct conf *c, const struct conf_node *n);
int conf_want_list(const struct conf *c, const struct conf_node *n);

/* A text that is not empty. It lives as long as the tree. */
int conf_text(const struct conf *c, const struct conf_node *n, const char **out);
/* true or false (yes, no, on, off): 1 or 0. */
int conf_bool(const struct conf *c, const struct conf_node *n, int *out);
/* Decimal, 0 to max. */
int conf_integer(const struct conf *c, const struct conf_node *n, int64_t max, int64_t *out);
/* Decimal with an optional fraction, not negative. */
int conf_number(const struct conf *c, const struct conf_node *n, double *out);
/* "500ms" "5s" "10m" "1h" "2d", or 0: milliseconds, at most a year. */
int conf_duration(const struct conf *c, const struct conf_node *n, int64_t *out);
/* "20GiB" "500MB" "4096": bytes. */
int conf_size(const struct conf *c, const struct conf_node *n, int64_t *out);
/* "0660": permission bits of a file, never executable. */
int conf_mode(const struct conf *c, const struct conf_node *n, int *out);
/* A list of texts as a NULL-terminated array; the count may be NULL. */
int conf_words(const struct conf *c, const struct conf_node *n, const char ***out, size_t *len);
/* A map of texts as a NULL-terminated array of pairs. */
int conf_pairs(const struct conf *c, const struct conf_node *n, const char ***out, size_t *len);
/* One of the words, by spaces. */
int conf_one_of(const struct conf *c, const struct conf_node *n, const char *words);

/* "FILE:LINE: unknown key 'colr', the nearest known one is 'color'"; known is
 * NULL-terminated. `where` is told when no known key is near ("" = nothing to tell). */
int conf_unknown(const struct conf *c, const struct conf_node *n, const char *const *known,
		 const char *where);
/* Every member of the map has one of the known keys. */
int conf_known(const struct conf *c, const struct conf_node *map, const char *const *known,
	       const char *where);
/* The nearest of the words to a misspelt one, or NULL when none is near. */
const char *conf_nearest(const char *word, const char *const *known);

#endif
