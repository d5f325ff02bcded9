// SPDX-License-Identifier: Apache-2.0
/*
 * A server as a configuration describes it: who to be there, whom to trust. All
 * files are read and tried here, so that a wrong one is told before mounting and
 * not when somebody reads. Who asks may be read once more later.
 */
#include "backend/repo/transfer_in.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

static void bio_cleanup(BIO **bio)
{
	BIO_free(*bio);
}
static void x509_cleanup(X509 **cert)
{
	X509_free(*cert);
}
static void key_cleanup(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}
#define CLEANUP_BIO  __attribute__((cleanup(bio_cleanup)))
#define CLEANUP_X509 __attribute__((cleanup(x509_cleanup)))
#define CLEANUP_KEY  __attribute__((cleanup(key_cleanup)))

/* No pass phrase: nobody is there to be asked, and a file with one would be no safer than the key. */
static int no_phrase(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	*(bool *)arg = true;
	return -1;
}

static X509 *cert_parse(const struct secret *pem)
{
	BIO *bio CLEANUP_BIO = BIO_new_mem_buf(pem->text, (int)pem->len);
	bool asked = false;
	X509 *cert = bio ? PEM_read_bio_X509_AUX(bio, NULL, no_phrase, &asked) : NULL;

	ERR_clear_error();
	return cert;
}

static int cert_read(struct secret *pem, const char *what, const char *path, struct reason *why)
{
	int rc = secret_read(pem, what, path, false, why);

	if (rc < 0)
		return rc;
	X509 *cert CLEANUP_X509 = cert_parse(pem);

	return cert ? 0 : reason_set(why, EINVAL, "%s %s: no certificate in PEM form is in it", what, path);
}

static int key_read(struct peer_secrets *secrets, const char *path, struct reason *why)
{
	bool asked = false;
	int rc = secret_read(&secrets->key, "key", path, false, why);

	if (rc < 0)
		return rc;
	BIO *bio CLEANUP_BIO = BIO_new_mem_buf(secrets->key.text, (int)secrets->key.len);
	EVP_PKEY *key CLEANUP_KEY = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_phrase, &asked) : NULL;

	ERR_clear_error();
	if (!key)
		return reason_set(why, EINVAL, asked ? "key %s: it wants a pass phrase, and one without is needed" :
				  "key %s: no private key in PEM form is in it", path);
	X509 *cert CLEANUP_X509 = cert_parse(&secrets->cert);

	rc = cert ? X509_check_private_key(cert, key) : 0;
	ERR_clear_error();
	return rc == 1 ? 0 : reason_set(why, EINVAL, "key %s: it does not belong to the certificate", path);
}

static int basic_make(struct peer_secrets *secrets, const char *user, const char *password)
{
	static const char before[] = "Authorization: Basic ";
	size_t n = strlen(user) + 1 + strlen(password);
	struct secret pair CLEANUP_SECRET = { 0 };
	int rc = secret_new(&pair, n + 1);

	if (rc == 0)
		rc = secret_new(&secrets->authorization, sizeof(before) + 4 * (n / 3 + 1));
	if (rc < 0)
		return rc;
	snprintf(pair.text, n + 1, "%s:%s", user, password);
	memcpy(secrets->authorization.text, before, sizeof(before));
	EVP_EncodeBlock((unsigned char *)secrets->authorization.text + sizeof(before) - 1,
			(const unsigned char *)pair.text, (int)n);
	return 0;
}

static int bearer_make(struct peer_secrets *secrets, const char *token)
{
	static const char before[] = "Authorization: Bearer ";
	size_t n = strlen(token);
	int rc = secret_new(&secrets->authorization, sizeof(before) + n);

	if (rc == 0)
		snprintf(secrets->authorization.text, sizeof(before) + n, "%s%s", before, token);
	return rc;
}

struct peer_secrets *peer_secrets_get(struct transfer_peer *peer)
{
	struct peer_secrets *secrets;

	pthread_mutex_lock(&peer->lock);
	secrets = peer->secrets;
	atomic_fetch_add(&secrets->refs, 1);
	pthread_mutex_unlock(&peer->lock);
	return secrets;
}

void peer_secrets_put(struct peer_secrets *secrets)
{
	if (!secrets || atomic_fetch_sub(&secrets->refs, 1) != 1)
		return;
	secret_free(&secrets->authorization);
	secret_free(&secrets->cert);
	secret_free(&secrets->key);
	free(secrets);
}

static int secrets_fill(struct peer_secrets *secrets, const struct transfer_peer_config *config, struct reason *why)
{
	const char *key = config->client_key ? config->client_key : config->client_cert;
	int rc = 0;

	if (config->client_cert)
		rc = cert_read(&secrets->cert, "cert", config->client_cert, why);
	if (rc == 0 && config->client_cert)
		rc = key_read(secrets, key, why);
	if (rc < 0)
		return rc;
	/* A line's end in a credential would be a header of its own. */
	if ((config->bearer && strpbrk(config->bearer, "\r\n")) || (config->user && strchr(config->user, ':')))
		return reason_set(why, EINVAL, config->user ? "user: it may hold no colon" : "token: more than one line");
	if (config->bearer)
		rc = bearer_make(secrets, config->bearer);
	else if (config->user)
		rc = basic_make(secrets, config->user, config->password ? config->password : "");
	return rc < 0 ? reason_set(why, ENOMEM, "no memory") : 0;
}

int transfer_peer_secrets(struct transfer_peer *peer, const struct transfer_peer_config *config, struct reason *why)
{
	struct peer_secrets *secrets = calloc(1, sizeof(*secrets)), *before;
	int rc;

	if (!secrets)
		return reason_set(why, ENOMEM, "no memory");
	atomic_init(&secrets->refs, 1);
	rc = secrets_fill(secrets, config, why);
	if (rc < 0) {
		peer_secrets_put(secrets);
		return rc;
	}
	pthread_mutex_lock(&peer->lock);
	before = peer->secrets;
	peer->secrets = secrets;
	pthread_mutex_unlock(&peer->lock);
	peer_secrets_put(before);
	return 0;
}

int transfer_peer_new(const struct transfer_peer_config *config, struct transfer_peer **out, struct reason *why)
{
	struct transfer_peer *peer = calloc(1, sizeof(*peer));
	int rc;

	*out = NULL;
	if (!peer)
		return reason_set(why, ENOMEM, "repository %s: no memory", config->name);
	rc = curl_api_load(why);
	if (rc < 0) {
		free(peer);
		return rc;
	}
	atomic_init(&peer->refs, 1);
	pthread_mutex_init(&peer->lock, NULL);
	peer->queue_end = &peer->queue;
	peer->insecure = config->insecure;
	peer->connections = config->connections ? config->connections : CONNECTIONS;
	peer->connect_timeout_ms = config->connect_timeout_ms > 0 ? config->connect_timeout_ms : CONNECT_MS;
	peer->offline_timeout_ms = config->offline_timeout_ms > 0 ? config->offline_timeout_ms : OFFLINE_MS;
	/* One attempt to connect may not take longer than all together. */
	if (peer->connect_timeout_ms > peer->offline_timeout_ms)
		peer->connect_timeout_ms = peer->offline_timeout_ms;
	peer->name = strdup(config->name);
	rc = peer->name ? 0 : reason_set(why, ENOMEM, "no memory");
	if (rc == 0 && config->cacert)
		rc = cert_read(&peer->ca, "cacert", config->cacert, why);
	if (rc == 0)
		rc = transfer_peer_secrets(peer, config, why);
	if (rc < 0) {
		transfer_peer_put(peer);
		return rc;
	}
	*out = peer;
	return 0;
}

void transfer_peer_put(struct transfer_peer *peer)
{
	if (!peer || atomic_fetch_sub(&peer->refs, 1) != 1)
		return;
	secret_free(&peer->ca);
	peer_secrets_put(peer->secrets);
	pthread_mutex_destroy(&peer->lock);
	free(peer->name);
	free(peer);
}

void transfer_peer_cost(const struct transfer_peer *peer, uint64_t *requests, uint64_t *retries, uint64_t *received)
{
	*requests = atomic_load_explicit(&peer->requests, memory_order_relaxed);
	*retries = atomic_load_explicit(&peer->retries, memory_order_relaxed);
	*received = atomic_load_explicit(&peer->received, memory_order_relaxed);
}
