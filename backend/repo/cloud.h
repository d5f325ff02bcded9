// SPDX-License-Identifier: Apache-2.0
/*
 * Where a cloud is and who asks it (private to backend/repo): from the keys of
 * fabricfs.yaml, from clouds.yaml with secure.yaml and clouds-public.yaml, or
 * from the environment (OS_*), in the words of openstacksdk.
 */
#ifndef BACKEND_REPO_CLOUD_H
#define BACKEND_REPO_CLOUD_H

#include <stdbool.h>

#include <fabricfs/repo.h>

#include "backend/repo/secret.h"
#include "backend/repo/seen_files.h"

enum cloud_auth {
	CLOUD_PASSWORD,
	CLOUD_APPLICATION, /* an application credential */
	CLOUD_TOKEN,	   /* a token, for which Keystone gives another */
	CLOUD_FIXED_TOKEN, /* a token that is used as it is; Keystone is not asked */
	CLOUD_NONE,	   /* a server that wants none */
};

/* Unset strings are NULL. */
struct cloud {
	enum cloud_auth auth;
	char *where;	/* what it was read from, for sentences: "cloud 'lab' of /etc/..." */
	char *auth_url; /* ends in /v3 */
	char *username, *user_id, *user_domain, *user_domain_id;
	char *project, *project_id, *project_domain, *project_domain_id;
	char *application, *application_id;
	struct secret secret; /* the password, the application credential's secret, the token */
	char *region;
	char *interface; /* public, internal or admin */
	char *endpoint;	 /* of the image service, instead of the catalogue's */
	char *cacert, *cert, *key; /* paths */
	bool insecure;
	bool allow_http; /* the token may go to an http:// address of the catalogue though Keystone's is https:// */
	struct seen_files files; /* what it was read from */
};

/* The keys of fabricfs.yaml that it takes; the kind lists them as its own. */
#define CLOUD_KEYS                                                                            \
	{ "cloud", REPO_KEY_TEXT }, { "clouds-file", REPO_KEY_FILE },                         \
	{ "auth-url", REPO_KEY_URL }, { "username", REPO_KEY_TEXT },                          \
	{ "user-id", REPO_KEY_TEXT }, { "user-domain", REPO_KEY_TEXT },                       \
	{ "user-domain-id", REPO_KEY_TEXT }, { "password-file", REPO_KEY_FILE },              \
	{ "project", REPO_KEY_TEXT }, { "project-id", REPO_KEY_TEXT },                        \
	{ "project-domain", REPO_KEY_TEXT }, { "project-domain-id", REPO_KEY_TEXT },          \
	{ "application-credential", REPO_KEY_TEXT },                                          \
	{ "application-credential-id", REPO_KEY_TEXT },                                       \
	{ "application-credential-secret-file", REPO_KEY_FILE },                              \
	{ "token-file", REPO_KEY_FILE }, { "region", REPO_KEY_TEXT },                         \
	{ "interface", REPO_KEY_TEXT }, { "endpoint", REPO_KEY_URL },                         \
	{ "cacert", REPO_KEY_FILE }, { "cert", REPO_KEY_FILE },                               \
	{ "key", REPO_KEY_FILE }, { "verify", REPO_KEY_BOOL },                               \
	{ "allow-http", REPO_KEY_BOOL }

/* Do the keys fit together? Reads nothing. */
int cloud_check(const struct repo_config *config, struct reason *why);
/* Reads files and the environment. The caller frees with cloud_free(), also after a failure. */
int cloud_read(const struct repo_config *config, struct cloud *cloud, struct reason *why);
void cloud_free(struct cloud *cloud);

#endif
