// SPDX-License-Identifier: Apache-2.0
/* Digests over libcrypto's EVP (include/fabricfs/digest.h). */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fabricfs/buf.h>
#include <fabricfs/digest.h>

struct digest {
	const EVP_MD *md;
	EVP_MD_CTX *ctx;
	EVP_MD_CTX *scratch; /* digest_hex() finishes a copy, so more bytes may follow */
};

static struct digest *digest_make(const EVP_MD *md)
{
	struct digest *d = md ? calloc(1, sizeof(*d)) : NULL;

	if (!d)
		return NULL;
	d->md = md;
	d->ctx = EVP_MD_CTX_new();
	d->scratch = EVP_MD_CTX_new();
	if (!d->ctx || !d->scratch || !EVP_DigestInit_ex(d->ctx, md, NULL)) {
		digest_free(d);
		return NULL;
	}
	return d;
}

struct digest *digest_new(void)
{
	return digest_make(EVP_sha256());
}

struct digest *digest_new_of(const char *algo)
{
	static const struct {
		const char *name;
		const EVP_MD *(*md)(void);
	} known[] = {
		{ "sha512", EVP_sha512 }, { "sha384", EVP_sha384 }, { "sha256", EVP_sha256 },
		{ "sha1", EVP_sha1 }, { "md5", EVP_md5 },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i].name, algo))
			return digest_make(known[i].md());
	return NULL;
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx);
	EVP_MD_CTX_free(d->scratch);
	free(d);
}

void digest_reset(struct digest *d)
{
	EVP_DigestInit_ex(d->ctx, d->md, NULL);
}

void digest_update(struct digest *d, const void *bytes, size_t n)
{
	EVP_DigestUpdate(d->ctx, bytes, n);
}

static void digest_sum(const struct digest *d, char *hex, unsigned max)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char sum[EVP_MAX_MD_SIZE] = { 0 };
	unsigned n = 0;

	EVP_MD_CTX_copy_ex(d->scratch, d->ctx);
	EVP_DigestFinal_ex(d->scratch, sum, &n);
	if (n > max)
		n = max;
	for (unsigned i = 0; i < n; i++) {
		hex[2 * i] = digits[sum[i] >> 4];
		hex[2 * i + 1] = digits[sum[i] & 15];
	}
	hex[2 * n] = '\0';
}

void digest_hex(const struct digest *d, char hex[SHA256_HEX])
{
	digest_sum(d, hex, 32);
}

void digest_text(const struct digest *d, char hex[DIGEST_HEX])
{
	digest_sum(d, hex, 64);
}

int digest_fd(int fd, char hex[SHA256_HEX])
{
	size_t room = 256 * 1024;
	char *bytes CLEANUP_FREE = malloc(room);
	struct digest *d = digest_new();
	off_t at = 0;
	ssize_t n;

	if (!d || !bytes) {
		digest_free(d);
		return -ENOMEM;
	}
	while ((n = pread(fd, bytes, room, at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int err = errno;

			digest_free(d);
			return -err;
		}
		digest_update(d, bytes, (size_t)n);
		at += n;
	}
	digest_hex(d, hex);
	digest_free(d);
	return 0;
}
