// SPDX-License-Identifier: Apache-2.0
/* SHA-256 over libcrypto's EVP (include/fabricfs/digest.h). */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fabricfs/buf.h>
#include <fabricfs/digest.h>

struct digest {
	EVP_MD_CTX *ctx;
	EVP_MD_CTX *scratch; /* digest_hex() finishes a copy, so more bytes may follow */
};

struct digest *digest_new(void)
{
	struct digest *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->ctx = EVP_MD_CTX_new();
	d->scratch = EVP_MD_CTX_new();
	if (!d->ctx || !d->scratch || !EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL)) {
		digest_free(d);
		return NULL;
	}
	return d;
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
	EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL);
}

void digest_update(struct digest *d, const void *bytes, size_t n)
{
	EVP_DigestUpdate(d->ctx, bytes, n);
}

void digest_hex(const struct digest *d, char hex[SHA256_HEX])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char sum[EVP_MAX_MD_SIZE] = { 0 };

	EVP_MD_CTX_copy_ex(d->scratch, d->ctx);
	EVP_DigestFinal_ex(d->scratch, sum, NULL);
	for (int i = 0; i < 32; i++) {
		hex[2 * i] = digits[sum[i] >> 4];
		hex[2 * i + 1] = digits[sum[i] & 15];
	}
	hex[64] = '\0';
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
