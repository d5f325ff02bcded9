// SPDX-License-Identifier: Apache-2.0
/*
 * Listing a folder: its regular files, down to the configured depth, and relative
 * links to such files that stay within it. Names that begin with a dot (files being
 * copied, editors' leftovers) and SHA256SUMS itself are no images.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fabricfs/buf.h>
#include <fabricfs/checksums.h>

#include "backend/repo/directory/folder.h"

/* What is read of a folder between two looks at whether it is still wanted. */
#define PIECE 64

struct walk {
	struct folder *folder;
	struct job *job;
	struct reason *why;
	int root;
};

/* One file of a piece. */
struct found {
	char name[256];
	struct stat st;
	bool is_dir;
};

/* Errors of the folder itself mean that it cannot be reached. */
static int root_fail(const struct folder *folder, int err, struct reason *why)
{
	if (err == EACCES || err == EPERM)
		return reason_set(why, EACCES, "%s: %s; it has to be readable for the user that fabricfs runs as, "
				  "without root's right to read everything", folder->path, strerror(err));
	return reason_set(why, is_of_this_machine(err) ? EREMOTEIO : EHOSTUNREACH, "%s: %s", folder->path,
			  strerror(err));
}

static int one_tell(struct walk *walk, const char *path, const struct stat *st, const char *algo, const char *digest)
{
	char id[REPO_ID_MAX], validator[96];
	const struct repo_entry entry = {
		.id = id, .name = path, .name_len = strlen(path), .rank = REPO_OWN, .data = REPO_DATA, .status = "",
		.has_size = true, .size = (uint64_t)st->st_size,
		.mtime_ns = repo_time_ns(st->st_mtim.tv_sec, st->st_mtim.tv_nsec),
		.digest_algo = algo, .digest = digest, .validator = validator,
	};

	/* Too long a path to be named: as if it were deeper than is listed. */
	if (!id_encode(path, id))
		return 0;
	validator_of(st, validator);
	return walk->job->list->entry(walk->job->list, &entry, walk->why);
}

/* Gone by now, or closed to us, or no way within the folder. Any other error says nothing of whether it is there:
 * what is left out for that would be taken for deleted. */
static bool is_absent(int err)
{
	static const int those[] = { ENOENT, ENOTDIR, EACCES, EPERM, ELOOP, EXDEV, ENAMETOOLONG, EINVAL, ENXIO };

	for (size_t i = 0; i < sizeof(those) / sizeof(those[0]); i++)
		if (err == those[i])
			return true;
	return false;
}

/* Of what is below the folder. */
static int below_fail(const struct walk *walk, const char *prefix, const char *name, int err)
{
	return reason_set(walk->why, EREMOTEIO, "listing %s/%s%s: %s", walk->folder->path, prefix, name, strerror(err));
}

/* Calls that may hang. What the name is; 1, 0: nothing that is listed, or -errno. */
static int one_look(struct walk *walk, int dir, const char *prefix, const struct dirent *e, struct found *found)
{
	char path[REPO_ID_MAX];
	int fd CLEANUP_FD = -1;

	if (e->d_name[0] == '.' || !strcmp(e->d_name, SUMS_NAME) || !text_copy(found->name, sizeof(found->name), e->d_name))
		return 0;
	if (e->d_type != DT_REG && e->d_type != DT_LNK && e->d_type != DT_DIR && e->d_type != DT_UNKNOWN)
		return 0;
	if (fstatat(dir, e->d_name, &found->st, AT_SYMLINK_NOFOLLOW))
		return is_absent(errno) ? 0 : below_fail(walk, prefix, e->d_name, errno);
	if (S_ISLNK(found->st.st_mode)) {
		if (snprintf(path, sizeof(path), "%s%s", prefix, e->d_name) >= (int)sizeof(path))
			return 0;
		fd = open_beneath(walk->root, path, O_PATH | O_CLOEXEC);
		if (fd < 0)
			return is_absent(-fd) ? 0 : below_fail(walk, prefix, e->d_name, -fd);
		if (fstat(fd, &found->st))
			return below_fail(walk, prefix, e->d_name, errno);
		/* Links to folders could go round in circles. */
		return S_ISREG(found->st.st_mode);
	}
	found->is_dir = S_ISDIR(found->st.st_mode);
	return S_ISREG(found->st.st_mode) || found->is_dir;
}

static int folder_walk(struct walk *walk, DIR *d, const char *prefix, unsigned depth);

/* 0, -ECANCELED, or what the listing fails with. */
static int sub_walk(struct walk *walk, const char *prefix, const char *name, unsigned depth)
{
	struct buf path CLEANUP_BUF = BUF_INIT;
	DIR *d = NULL;
	int fd, err = 0;

	buf_addf(&path, "%s%s", prefix, name);
	if (buf_ok(&path))
		return reason_set(walk->why, ENOMEM, "no memory to list %s", walk->folder->path);
	call_begin(walk->job);
	fd = open_beneath(walk->root, path.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		err = -fd;
	} else if (!(d = fdopendir(fd))) {
		err = errno;
		close(fd);
	}
	if (!call_end(walk->job)) {
		if (d)
			closedir(d);
		return -ECANCELED;
	}
	if (!d)
		return is_absent(err) ? 0 : below_fail(walk, prefix, name, err);
	buf_adds(&path, "/");
	err = buf_ok(&path) ? -ENOMEM : folder_walk(walk, d, path.data, depth);
	closedir(d);
	return err;
}

/* Those that are there in *sums. Where they cannot be read, images would pass for some without a digest. */
static int sums_get(struct walk *walk, DIR *d, const char *prefix, struct checksums **sums)
{
	int fd CLEANUP_FD = openat(dirfd(d), SUMS_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	/* A link, a socket: it is of something else. */
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO ? 0 :
									     below_fail(walk, prefix, SUMS_NAME, errno);
	return sums_read(walk->folder, prefix, fd, sums, walk->why);
}

/* The next files of d into a piece; how many, or -errno; *more: there may be others. Names that are no files take
 * as long to look at. */
static int piece_read(struct walk *walk, DIR *d, const char *prefix, struct found *piece, bool *more)
{
	int n = 0;

	for (int looks = 0; looks < PIECE; looks++) {
		struct dirent *e;
		int is;

		errno = 0;
		e = readdir(d);
		*more = e;
		if (!e && errno)
			return reason_set(walk->why, errno == ESTALE ? EHOSTUNREACH : EREMOTEIO, "listing %s/%s: %s",
					  walk->folder->path, prefix, strerror(errno));
		if (!e)
			break;
		piece[n] = (struct found){ 0 };
		is = one_look(walk, dirfd(d), prefix, e, &piece[n]);
		if (is < 0)
			return is;
		n += is;
	}
	return n;
}

static int piece_tell(struct walk *walk, const struct found *found, const char *prefix, const struct checksums *sums,
		      unsigned depth)
{
	struct buf path CLEANUP_BUF = BUF_INIT;
	char hex[CHECKSUM_HEX];
	const char *algo = NULL;

	if (found->is_dir)
		return depth ? sub_walk(walk, prefix, found->name, depth - 1) : 0;
	buf_addf(&path, "%s%s", prefix, found->name);
	if (buf_ok(&path))
		return reason_set(walk->why, ENOMEM, "no memory to list %s", walk->folder->path);
	return checksums_find(sums, found->name, &algo, hex) ? one_tell(walk, path.data, &found->st, algo, hex) :
							       one_tell(walk, path.data, &found->st, NULL, NULL);
}

static int folder_walk(struct walk *walk, DIR *d, const char *prefix, unsigned depth)
{
	struct found *piece = calloc(PIECE, sizeof(*piece));
	struct checksums *sums = NULL;
	bool more = true;
	int n, err = 0;

	if (!piece)
		return reason_set(walk->why, ENOMEM, "no memory to list %s", walk->folder->path);
	call_begin(walk->job);
	/* Before it is read: what changes while it is read is told. */
	watch_add(walk->folder, dirfd(d));
	err = sums_get(walk, d, prefix, &sums);
	if (!call_end(walk->job))
		err = -ECANCELED;
	while (!err && more) {
		call_begin(walk->job);
		n = piece_read(walk, d, prefix, piece, &more);
		if (!call_end(walk->job))
			err = -ECANCELED;
		else if (n < 0)
			err = n;
		for (int i = 0; !err && i < n; i++)
			err = piece_tell(walk, &piece[i], prefix, sums, depth);
	}
	checksums_free(sums);
	free(piece);
	return err;
}

int folder_list(struct folder *folder, struct job *job, struct reason *why)
{
	struct walk walk = { .folder = folder, .job = job, .why = why };
	DIR *d = NULL;
	int err = 0;

	call_begin(job);
	walk.root = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (walk.root < 0 || !(d = fdopendir(walk.root)))
		err = errno;
	if (!call_end(job))
		err = -ECANCELED;
	else if (!d)
		err = root_fail(folder, err, why);
	else
		err = folder_walk(&walk, d, "", folder->depth);
	if (d)
		closedir(d);
	else if (walk.root >= 0)
		close(walk.root);
	return err;
}
