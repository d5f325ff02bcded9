// SPDX-License-Identifier: Apache-2.0
/* Secrets: pages of their own, locked, undumped, wiped. See secret.h. */
#include "backend/repo/secret.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fabricfs/buf.h>
#include <fabricfs/log.h>

int secret_new(struct secret *secret, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t mapped = (len / page + 1) * page; /* the NUL fits always */
	char *text = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*secret = (struct secret){ 0 };
	if (text == MAP_FAILED)
		return -ENOMEM;
	/* Both are more than can be promised everywhere: a small limit is no reason to fail. */
	(void)mlock(text, mapped);
	(void)madvise(text, mapped, MADV_DONTDUMP);
	*secret = (struct secret){ .text = text, .len = len, .mapped = mapped };
	return 0;
}

int secret_copy(struct secret *secret, const char *text, size_t len)
{
	int rc = secret_new(secret, len);

	if (rc == 0)
		memcpy(secret->text, text, len);
	return rc;
}

void secret_free(struct secret *secret)
{
	if (secret->text) {
		explicit_bzero(secret->text, secret->mapped);
		munmap(secret->text, secret->mapped);
	}
	*secret = (struct secret){ 0 };
}

static int file_read(int fd, struct secret *secret, const char *what, const char *path, struct reason *why)
{
	int rc = secret_new(secret, SECRET_MAX);

	if (rc < 0)
		return reason_set(why, ENOMEM, "%s %s: no memory", what, path);
	secret->len = 0;
	for (;;) {
		/* One byte more than may be there, to see that it is too long. */
		ssize_t n = read(fd, secret->text + secret->len, SECRET_MAX + 1 - secret->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return reason_set(why, errno, "%s %s: %s", what, path, strerror(errno));
		if (n == 0)
			break;
		secret->len += (size_t)n;
		if (secret->len > SECRET_MAX)
			return reason_set(why, EFBIG, "%s %s: more than %d KiB", what, path, SECRET_MAX / 1024);
	}
	secret->text[secret->len] = 0;
	return 0;
}

/* Only the first line counts, as password files end with a newline that is not meant. */
static int line_keep(struct secret *secret, const char *what, const char *path, struct reason *why)
{
	size_t len = strcspn(secret->text, "\r\n");

	if (memchr(secret->text, 0, secret->len) || len == 0)
		return reason_set(why, EINVAL, "%s %s: its first line should be the secret, and is %s", what,
				  path, len == 0 ? "empty" : "not text");
	explicit_bzero(secret->text + len, secret->len - len);
	secret->len = len;
	return 0;
}

int secret_read(struct secret *secret, const char *what, const char *path, bool line, struct reason *why)
{
	int fd CLEANUP_FD = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int rc;

	*secret = (struct secret){ 0 };
	if (fd < 0 || fstat(fd, &st) < 0)
		return reason_set(why, errno, "%s %s: %s", what, path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return reason_set(why, EISDIR, "%s %s: a directory, and a file is wanted", what, path);
	rc = file_read(fd, secret, what, path, why);
	if (rc == 0 && line)
		rc = line_keep(secret, what, path, why);
	if (rc < 0) {
		secret_free(secret);
		return rc;
	}
	if (line && S_ISREG(st.st_mode) && (st.st_mode & 0077))
		log_warn("%s %s: others may read it (mode %04o), 0600 is what a secret should have", what, path,
			 (unsigned)(st.st_mode & 07777));
	/* It stays for as long as the repository: in no more locked pages than it needs. */
	struct secret whole = *secret;

	rc = secret_copy(secret, whole.text, whole.len);
	secret_free(&whole);
	return rc < 0 ? reason_set(why, ENOMEM, "%s %s: no memory", what, path) : 0;
}
