// SPDX-License-Identifier: Apache-2.0
/* Files as they were when they were read. See seen_files.h. */
#include "backend/repo/seen_files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void file_look(struct seen_file *file)
{
	struct stat st;

	/* One that is not there has no inode. */
	if (stat(file->path, &st))
		memset(&st, 0, sizeof(st));
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	file->size = st.st_size;
	file->mtime = st.st_mtim;
	file->ctime = st.st_ctim;
}

void seen_files_note(struct seen_files *files, const char *path)
{
	struct seen_file *file = &files->file[files->len];

	if (files->len == SEEN_FILES_MAX || !(file->path = strdup(path)))
		return;
	files->len++;
	file_look(file);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool seen_files_changed(const struct seen_files *files)
{
	for (unsigned i = 0; i < files->len; i++) {
		const struct seen_file *was = &files->file[i];
		struct seen_file now = *was;

		file_look(&now);
		if (now.dev != was->dev || now.ino != was->ino || now.size != was->size ||
		    !same_time(&now.mtime, &was->mtime) || !same_time(&now.ctime, &was->ctime))
			return true;
	}
	return false;
}

void seen_files_look(struct seen_files *files)
{
	for (unsigned i = 0; i < files->len; i++)
		file_look(&files->file[i]);
}

void seen_files_free(struct seen_files *files)
{
	for (unsigned i = 0; i < files->len; i++)
		free(files->file[i].path);
	*files = (struct seen_files){ 0 };
}
