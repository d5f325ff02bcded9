// SPDX-License-Identifier: Apache-2.0
/* dev0/fits/<repository>/ (private to fs/tree). */
#ifndef FS_TREE_FITS_H
#define FS_TREE_FITS_H

#include "fs/tree/tables.h"

/* As dir_each() and dir_lookup(), of such a folder. */
int fits_each(const struct place *dir, int (*fn)(const char *name, uint64_t ino, void *arg), void *arg);
int fits_lookup(const struct place *dir, const char *name, uint64_t *ino);
/* Of a link in it. */
void fit_target(const struct place *p, struct buf *out);

#endif
