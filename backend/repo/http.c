// SPDX-License-Identifier: Apache-2.0
/*
 * The kind `http`: images on a web server. Its configuration, and what its
 * requests have in common.
 *
 * An image's id is its path below the repository's address, percent-encoded in
 * one way whatever the server's pages look like. Its validator has one of three
 * forms: an ETag as it is; "m<seconds>-<size>" of Last-Modified and the size, which
 * a JSON index tells as well as a fetch; "h<time>,<size>" of what an HTML index
 * shows, which can be compared with nothing but another listing, with a '~' in front
 * where the time has no seconds.
 */
#include "backend/repo/http.h"

#include <stdlib.h>
#include <string.h>

#include <fabricfs/log.h>
#include <fabricfs/url.h>

#include "backend/repo/secret.h"

static const struct repo_key keys[] = {
	{ "url", REPO_KEY_URL },	      { "cacert", REPO_KEY_FILE },     { "cert", REPO_KEY_FILE },
	{ "key", REPO_KEY_FILE },	      { "verify", REPO_KEY_BOOL },     { "user", REPO_KEY_TEXT },
	{ "password-file", REPO_KEY_FILE },   { "token-file", REPO_KEY_FILE }, { "manifest", REPO_KEY_TEXT },
	{ "checksums", REPO_KEY_TEXT },	      { "depth", REPO_KEY_INTEGER },   { "connections", REPO_KEY_INTEGER },
	{ NULL, REPO_KEY_TEXT },
};

static int64_t number_of(const struct repo_config *config, const char *key, int64_t otherwise)
{
	const struct repo_value *value = repo_config_get(config, key);

	return value ? value->number : otherwise;
}

/* An address of its own has to be on the same server: credentials go along with it. A name is
 * below the repository's folder. */
static int beside_check(const struct repo_config *config, const char *key, const char *url, struct reason *why)
{
	const char *text = repo_config_text(config, key, "");
	char base[URL_ORIGIN_MAX], own[URL_ORIGIN_MAX];
	const char *fault;

	if (text[strcspn(text, ":/?#")] != ':' && strncmp(text, "//", 2) != 0)
		return 0;
	fault = url_fault(text);
	if (fault)
		return reason_set(why, EINVAL, "%s is no address that can be asked: %s", key, fault);
	url_origin(url, base);
	url_origin(text, own);
	return strcmp(base, own) == 0 ? 0 : reason_set(why, EINVAL, "%s: it has to be on the same server as url", key);
}

static int http_check(const struct repo_config *config, struct reason *why)
{
	const char *url = repo_config_text(config, "url", NULL);
	const char *user = repo_config_text(config, "user", NULL);
	const char *password = repo_config_text(config, "password-file", NULL);
	int rc;

	if (!url)
		return reason_set(why, EINVAL, "url is missing: https://host/folder/");
	if (strpbrk(url, "?#") || strlen(url) + 2 > URL_MAX)
		return reason_set(why, EINVAL, "url: the address of a folder is wanted, without a ? or #");
	if (!user != !password)
		return reason_set(why, EINVAL, "user and password-file go together, and %s is missing",
				  user ? "password-file" : "user");
	if (user && repo_config_text(config, "token-file", NULL))
		return reason_set(why, EINVAL, "user and token-file are two ways to say who asks: one of them is wanted");
	if (repo_config_text(config, "key", NULL) && !repo_config_text(config, "cert", NULL))
		return reason_set(why, EINVAL, "key belongs to a certificate, and cert is missing");
	if (number_of(config, "depth", 0) > HTTP_DEPTH_MAX)
		return reason_set(why, EINVAL, "depth: at most %d", HTTP_DEPTH_MAX);
	if (number_of(config, "connections", 4) < 1 || number_of(config, "connections", 4) > 64)
		return reason_set(why, EINVAL, "connections: from 1 to 64");
	rc = beside_check(config, "manifest", url, why);
	return rc < 0 ? rc : beside_check(config, "checksums", url, why);
}

/* What is below the repository's folder, or an address of its own on the same server. */
static int address_of(const struct http_repo *repo, const char *key, const char *text, char out[URL_MAX],
		      struct reason *why)
{
	int rc = url_resolve(repo->base, text, out, URL_MAX, why);

	if (rc < 0)
		return reason_wrap(why, "%s", key);
	/* Credentials go along with it. */
	if (!url_same_origin(repo->base, out))
		return reason_set(why, EINVAL, "%s: it has to be on the same server as url", key);
	return 0;
}

static int addresses_set(struct http_repo *repo, struct reason *why)
{
	const char *sums = repo_config_text(repo->config, "checksums", NULL);
	const char *manifest = repo_config_text(repo->config, "manifest", NULL);
	size_t len;
	int rc = url_clean(repo_config_text(repo->config, "url", ""), repo->base, sizeof(repo->base) - 1, why);

	if (rc < 0)
		return rc;
	len = strlen(repo->base);
	if (repo->base[len - 1] != '/')
		memcpy(repo->base + len, "/", 2);
	repo->sums_must = sums != NULL;
	if (!sums && !manifest)
		sums = HTTP_SUMS;
	if (manifest)
		rc = address_of(repo, "manifest", manifest, repo->manifest, why);
	if (rc == 0 && sums && strcmp(sums, "none") != 0)
		rc = address_of(repo, "checksums", sums, repo->sums, why);
	return rc;
}

/* Who asks, and of whom, as the configuration and its files say now. */
struct asking {
	struct secret password, token;
	struct transfer_peer_config peer; /* its texts are those above, and the configuration's */
};

static void asking_free(struct asking *asking)
{
	secret_free(&asking->password);
	secret_free(&asking->token);
}
#define CLEANUP_ASKING __attribute__((cleanup(asking_free)))

static int asking_read(const struct repo_config *config, struct asking *asking, struct reason *why)
{
	const char *password_file = repo_config_text(config, "password-file", NULL);
	const char *token_file = repo_config_text(config, "token-file", NULL);
	int rc = 0;

	if (password_file)
		rc = secret_read(&asking->password, "password-file", password_file, true, why);
	if (rc == 0 && token_file)
		rc = secret_read(&asking->token, "token-file", token_file, true, why);
	asking->peer = (struct transfer_peer_config){
		.name = config->name,
		.cacert = repo_config_text(config, "cacert", NULL),
		.client_cert = repo_config_text(config, "cert", NULL),
		.client_key = repo_config_text(config, "key", NULL),
		.insecure = !number_of(config, "verify", 1),
		.user = repo_config_text(config, "user", NULL),
		.password = asking->password.text,
		.bearer = asking->token.text,
		.connect_timeout_ms = config->connect_timeout_ms,
		.offline_timeout_ms = config->offline_timeout_ms,
		.connections = (unsigned)number_of(config, "connections", 0),
	};
	return rc;
}

/* The certificate too: a new key without its own belongs to nothing. */
static void files_note(struct http_repo *repo)
{
	static const char *const files[] = { "password-file", "token-file", "cert", "key" };

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		const char *path = repo_config_text(repo->config, files[i], NULL);

		if (path)
			seen_files_note(&repo->files, path);
	}
}

static int peer_make(struct http_repo *repo, struct reason *why)
{
	const struct repo_config *config = repo->config;
	struct asking asking CLEANUP_ASKING = { 0 };
	int rc;

	files_note(repo);
	rc = asking_read(config, &asking, why);
	if (rc == 0)
		rc = transfer_peer_new(&asking.peer, &repo->peer, why);
	if (rc < 0)
		return rc;
	if (asking.peer.insecure)
		log_warn("repository %s: verify is false: anybody on the way can be its server", config->name);
	if ((asking.password.text || asking.token.text) &&
	    strncmp(repo_config_text(config, "url", ""), "https:", 6) != 0)
		log_warn("repository %s: credentials go over http, where anybody on the way can read them",
			 config->name);
	return 0;
}

void http_look(struct http_repo *repo)
{
	struct asking asking CLEANUP_ASKING = { 0 };
	struct reason why = { 0 };
	int rc;

	if (!seen_files_changed(&repo->files))
		return;
	/* Before they are read: what is written meanwhile is read the next time. */
	seen_files_look(&repo->files);
	rc = asking_read(repo->config, &asking, &why);
	if (rc == 0)
		rc = transfer_peer_secrets(repo->peer, &asking.peer, &why);
	repo->unread = rc < 0 ? why : (struct reason){ 0 };
	if (rc < 0)
		log_warn("repository %s: its credentials were written, and cannot be read: %s", repo->config->name,
			 why.text);
	else
		log_info("repository %s: its credentials were written, and are read again", repo->config->name);
}

static void http_close(void *arg)
{
	struct http_repo *repo = arg;

	transfer_peer_put(repo->peer);
	seen_files_free(&repo->files);
	pthread_mutex_destroy(&repo->lock);
	free(repo);
}

static int http_open(const struct repo_config *config, void **out, struct reason *why)
{
	struct http_repo *repo = calloc(1, sizeof(*repo));
	int rc;

	*out = NULL;
	if (!repo)
		return reason_set(why, ENOMEM, "repository %s: no memory", config->name);
	pthread_mutex_init(&repo->lock, NULL);
	repo->config = config;
	repo->depth = (unsigned)number_of(config, "depth", 0);
	repo->pages = (unsigned)number_of(config, "connections", HTTP_JOB_TRANSFERS + 1) - 1;
	repo->pages = repo->pages < 1 ? 1 : repo->pages < HTTP_JOB_TRANSFERS ? repo->pages : HTTP_JOB_TRANSFERS;
	rc = peer_make(repo, why); /* loads libcurl too, which knows addresses */
	if (rc == 0)
		rc = addresses_set(repo, why);
	if (rc < 0) {
		http_close(repo);
		return rc;
	}
	*out = repo;
	return 0;
}

static void http_cost(void *arg, struct repo_cost *cost)
{
	const struct http_repo *repo = arg;

	*cost = (struct repo_cost){ 0 };
	transfer_peer_cost(repo->peer, &cost->requests, &cost->retries, &cost->received);
}

/* --- requests ---------------------------------------------------------------------- */

void http_job_init(struct http_job *job, struct http_repo *repo, void **kind)
{
	job->repo = repo;
	job->kind = kind;
	*kind = job;
}

int http_job_start(struct http_job *job, const struct transfer_request *request, struct reason *why)
{
	unsigned i = 0;
	int rc;

	/* Its done() waits for this lock: nobody sees the job before the transfer is noted in it. */
	pthread_mutex_lock(&job->repo->lock);
	while (i + 1 < HTTP_JOB_TRANSFERS && job->transfers[i])
		i++;
	rc = job->cancelled ? reason_set(why, ECANCELED, "repository %s: cancelled", job->repo->config->name) :
	     transfer_start(request, &job->transfers[i], why);
	pthread_mutex_unlock(&job->repo->lock);
	return rc;
}

void http_job_done(struct http_job *job, const struct transfer *t)
{
	pthread_mutex_lock(&job->repo->lock);
	for (unsigned i = 0; i < HTTP_JOB_TRANSFERS; i++)
		if (job->transfers[i] == t)
			job->transfers[i] = NULL;
	pthread_mutex_unlock(&job->repo->lock);
}

/* The repository's lock is held. */
static void transfers_cancel(struct http_job *job)
{
	for (unsigned i = 0; i < HTTP_JOB_TRANSFERS; i++)
		if (job->transfers[i])
			transfer_cancel(job->transfers[i]);
}

void http_job_drop(struct http_job *job)
{
	pthread_mutex_lock(&job->repo->lock);
	transfers_cancel(job);
	pthread_mutex_unlock(&job->repo->lock);
}

void http_job_end(struct http_job *job)
{
	pthread_mutex_lock(&job->repo->lock);
	*job->kind = NULL;
	pthread_mutex_unlock(&job->repo->lock);
}

void http_job_cancel(struct http_repo *repo, void **kind)
{
	struct http_job *job;

	pthread_mutex_lock(&repo->lock);
	job = *kind;
	if (job) {
		job->cancelled = true;
		transfers_cancel(job);
	}
	pthread_mutex_unlock(&repo->lock);
}

const struct repo_kind http_kind = {
	.version = REPO_ABI,
	.name = "http",
	.keys = keys,
	.check = http_check,
	.open = http_open,
	.close = http_close,
	.list = http_list,
	.list_cancel = http_list_cancel,
	.fetch = http_fetch,
	.fetch_cancel = http_fetch_cancel,
	.stat = http_stat,
	.stat_cancel = http_stat_cancel,
	.cost = http_cost,
};
