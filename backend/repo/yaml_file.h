// SPDX-License-Identifier: Apache-2.0
/*
 * A YAML file with secrets in it, to look things up in (private to
 * backend/repo): read whole, with anchors and merge keys, and wiped when it is
 * closed. What is looked up is addressed by its node, 0 = there is none.
 */
#ifndef BACKEND_REPO_YAML_FILE_H
#define BACKEND_REPO_YAML_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include <fabricfs/error.h>

struct yaml_file;

/* `path` is for sentences. EINVAL: it is not YAML, or no mapping. */
int yaml_file_parse(const char *text, size_t len, const char *path, struct yaml_file **out,
		    struct reason *why);
/* As above, of a file. -ENOENT without a sentence when there is none and it is optional. */
int yaml_file_read(const char *path, const char *what, int optional, struct yaml_file **out,
		   struct reason *why);
void yaml_file_close(struct yaml_file *f);
const char *yaml_file_path(const struct yaml_file *f);

int yaml_root(const struct yaml_file *f);
/* The value of a key of a mapping, also of one merged into it by `<<`. NULL file and node 0 have none. */
int yaml_get(const struct yaml_file *f, int map, const char *key);
/* The text of a scalar (of the first one of a list); NULL for anything else, and for null. */
const char *yaml_text(const struct yaml_file *f, int node);
/* The n-th key of a mapping and its value; NULL when there are no more. */
const char *yaml_key(const struct yaml_file *f, int map, size_t n, int *value);
bool yaml_is_map(const struct yaml_file *f, int node);
/* The n-th of a list, 0 when there are no more. */
int yaml_item(const struct yaml_file *f, int list, size_t n);

#endif
