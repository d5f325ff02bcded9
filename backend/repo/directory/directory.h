// SPDX-License-Identifier: Apache-2.0
/* The kind `directory`, for the table of kinds (private to backend/repo). */
#ifndef BACKEND_REPO_DIRECTORY_DIRECTORY_H
#define BACKEND_REPO_DIRECTORY_DIRECTORY_H

#include <fabricfs/repo.h>

extern const struct repo_kind directory_kind;
/* The thread that looks after those that read folders. */
int directory_start(struct reason *why);
/* False: a thread hangs in a folder, and was left behind. */
bool directory_stop(void);

#endif
