// SPDX-License-Identifier: Apache-2.0
/* Files as they were when they were read, so that one which was written since is noticed (private to backend/repo). */
#ifndef BACKEND_REPO_SEEN_FILES_H
#define BACKEND_REPO_SEEN_FILES_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/* As it was just before it was read, or was not there. */
struct seen_file {
	char *path;
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};
#define SEEN_FILES_MAX 32

/* Zero-initialised: none. */
struct seen_files {
	struct seen_file file[SEEN_FILES_MAX];
	unsigned len;
};

/* Before a file is read: what is written meanwhile is a change. Without memory it is none. */
void seen_files_note(struct seen_files *files, const char *path);
/* Was one of them written, replaced, made or removed since? */
bool seen_files_changed(const struct seen_files *files);
/* It is known what they are now, whatever comes of reading them. */
void seen_files_look(struct seen_files *files);
void seen_files_free(struct seen_files *files);

#endif
