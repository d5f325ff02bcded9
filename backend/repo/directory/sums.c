// SPDX-License-Identifier: Apache-2.0
/* SHA256SUMS beside the files of a folder, in the forms that the kind `http` knows too (checksums.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fabricfs/buf.h>
#include <fabricfs/checksums.h>

#include "backend/repo/directory/folder.h"

#define SUMS_MAX (64 << 20) /* bytes of the file */
#define PIECE	 (64 << 10)

static int fail(const struct folder *folder, const char *prefix, int err, const char *what, struct reason *why)
{
	return reason_set(why, err, "%s/%s" SUMS_NAME ": %s", folder->path, prefix, what);
}

static int pieces_feed(const struct folder *folder, const char *prefix, int fd, struct checksums *sums,
		       struct reason *why)
{
	char *piece CLEANUP_FREE = malloc(PIECE);
	size_t all = 0;

	if (!piece)
		return reason_set(why, ENOMEM, "no memory to list %s", folder->path);
	for (;;) {
		ssize_t n = read(fd, piece, PIECE);
		int err;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(folder, prefix, EREMOTEIO, strerror(errno), why);
		if (!n)
			return 0;
		all += (size_t)n;
		if (all > SUMS_MAX)
			return fail(folder, prefix, EBADMSG, "it has more than 64 MiB, that is too much", why);
		err = checksums_feed(sums, piece, (size_t)n, why);
		if (err)
			return err;
	}
}

int sums_read(const struct folder *folder, const char *prefix, int fd, struct checksums **sums, struct reason *why)
{
	struct reason none = { 0 };
	struct checksums *read;
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return fail(folder, prefix, EREMOTEIO, strerror(errno), why);
	if (!S_ISREG(st.st_mode))
		return 0;
	read = checksums_new();
	err = read ? pieces_feed(folder, prefix, fd, read, why) :
		     reason_set(why, ENOMEM, "no memory to list %s", folder->path);
	if (!err)
		err = checksums_end(read, &none);
	if (err == -EBADMSG && none.err) {
		/* Something else that is called so. */
		checksums_free(read);
		return 0;
	}
	if (none.err && why)
		*why = none;
	if (err)
		checksums_free(read);
	else
		*sums = read;
	return err;
}
