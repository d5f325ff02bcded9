// SPDX-License-Identifier: Apache-2.0
/* Reading a file of a folder, a piece at a time (folder.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fabricfs/buf.h>

#include "backend/repo/directory/folder.h"

#define PIECE (256 << 10) /* bytes that are read before another request has its turn */

/* What an open of it, or of the folder, failed with. */
static int open_fail(const struct folder *folder, const char *path, int err, bool of_folder, struct reason *why)
{
	int told = of_folder ? EHOSTUNREACH : err;

	if (err == EACCES || err == EPERM)
		told = EACCES;
	else if (err == ENOTDIR || err == ENXIO || err == EXDEV || err == ELOOP)
		told = of_folder ? EHOSTUNREACH : ENOENT;
	else if (is_of_this_machine(err) || (err == EIO && !of_folder))
		told = EREMOTEIO;
	else if (err != ENOENT)
		told = EHOSTUNREACH;
	return reason_set(why, told, "%s%s%s: %s", folder->path, of_folder ? "" : "/", of_folder ? "" : path,
			  strerror(err));
}

/* Opens and looks at it, within one call. *err: of open(), *of_folder: that it is the folder's. */
static int file_open(const struct folder *folder, const char *path, struct stat *st, int *err, bool *of_folder)
{
	int root CLEANUP_FD = open(folder->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	*of_folder = root < 0;
	if (root < 0) {
		*err = errno;
		return -1;
	}
	/* Not to wait for the other end of what became a pipe. */
	fd = open_beneath(root, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		*err = -fd;
		return -1;
	}
	if (fstat(fd, st)) {
		*err = errno;
		close(fd);
		return -1;
	}
	return fd;
}

static int fetch_begin(struct folder *folder, struct job *job, struct reason *why)
{
	struct repo_fetch *fetch = job->fetch;
	struct repo_content content = { .has_size = true };
	char path[REPO_ID_MAX], validator[96], wanted[REPO_ID_MAX];
	bool of_folder = false;
	struct stat st = { 0 };
	int err = 0, fd;

	if (!id_decode(fetch->id, path))
		return reason_set(why, ENOENT, "%s has no file '%s'", folder->path, fetch->id);
	text_copy(wanted, sizeof(wanted), fetch->validator);
	call_begin(job);
	fd = file_open(folder, path, &st, &err, &of_folder);
	if (!call_end(job)) {
		if (fd >= 0)
			close(fd);
		return -ECANCELED;
	}
	job->fd = fd;
	if (fd < 0)
		return open_fail(folder, path, err, of_folder, why);
	if (!S_ISREG(st.st_mode))
		return reason_set(why, ENOENT, "%s/%s is no file (any more)", folder->path, path);
	validator_of(&st, validator);
	if (*wanted && strcmp(wanted, validator))
		return reason_set(why, ESTALE, "%s/%s was replaced or written to since it was listed", folder->path,
				  path);
	text_copy(job->validator, sizeof(job->validator), validator);
	content.size = (uint64_t)st.st_size;
	content.validator = validator;
	content.mtime_ns = repo_time_ns(st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	job->at = fetch->offset;
	job->end = content.size;
	if (fetch->length && fetch->offset < job->end && fetch->length < job->end - fetch->offset)
		job->end = fetch->offset + fetch->length;
	job->begun = true;
	return fetch->begin ? fetch->begin(fetch, &content, why) : 0;
}

/* The bytes, and that they are of the file that was asked for. */
static int piece_read(const struct job *job, char *bytes, size_t want, ssize_t *got, struct stat *st)
{
	do
		*got = pread(job->fd, bytes, want, (off_t)job->at);
	while (*got < 0 && errno == EINTR);
	return *got < 0 || fstat(job->fd, st) ? errno : 0;
}

int folder_fetch(struct folder *folder, struct job *job, struct reason *why)
{
	char *bytes CLEANUP_FREE = NULL, validator[96];
	struct stat st = { 0 };
	ssize_t got = 0;
	size_t want;
	int err = job->begun ? 0 : fetch_begin(folder, job, why);

	if (err || job->at >= job->end)
		return err;
	want = job->end - job->at < PIECE ? (size_t)(job->end - job->at) : PIECE;
	bytes = malloc(want);
	if (!bytes)
		return reason_set(why, ENOMEM, "no memory to read from %s", folder->path);
	call_begin(job);
	err = piece_read(job, bytes, want, &got, &st);
	if (!call_end(job))
		return -ECANCELED;
	if (err)
		return reason_set(why, err == ESTALE ? ESTALE : EREMOTEIO, "reading %s/%s: %s", folder->path,
				  job->fetch->id, strerror(err));
	/* Afterwards: what changed while it was read is caught too. */
	validator_of(&st, validator);
	if (strcmp(validator, job->validator) || !got)
		return reason_set(why, ESTALE, "%s/%s was written to while it was read", folder->path, job->fetch->id);
	pthread_mutex_lock(&folder->lock);
	folder->cost.received += (uint64_t)got;
	pthread_mutex_unlock(&folder->lock);
	err = job->fetch->data(job->fetch, bytes, (size_t)got, why);
	if (err)
		return err < 0 ? err : -err;
	job->at += (uint64_t)got;
	return job->at < job->end;
}
