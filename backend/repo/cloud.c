// SPDX-License-Identifier: Apache-2.0
/*
 * Where a cloud is and who asks it (cloud.h): what its layers (cloud_layers.h)
 * say, as one whole that can be used. Names of keys and their meaning are those
 * of openstacksdk and keystoneauth; what they would take and this does not is
 * refused by name.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/buf.h>
#include <fabricfs/log.h>
#include <fabricfs/url.h>

#include "backend/repo/cloud_layers.h"

/* --- what there is to be looked up ------------------------------------------------- */

#define FIELD(name) offsetof(struct cloud, name)
static const struct field fields[] = {
	{ FIELD(auth_url), PLACE_AUTH, "auth-url", { "auth_url" }, { "OS_AUTH_URL" } },
	{ FIELD(username), PLACE_AUTH, "username", { "username", "user_name" }, { "OS_USERNAME" } },
	{ FIELD(user_id), PLACE_AUTH, "user-id", { "user_id" }, { "OS_USER_ID" } },
	{ FIELD(user_domain), PLACE_AUTH, "user-domain", { "user_domain_name" }, { "OS_USER_DOMAIN_NAME" } },
	{ FIELD(user_domain_id), PLACE_AUTH, "user-domain-id", { "user_domain_id" }, { "OS_USER_DOMAIN_ID" } },
	{ FIELD(project), PLACE_AUTH, "project", { "project_name", "tenant_name" },
	  { "OS_PROJECT_NAME", "OS_TENANT_NAME" } },
	{ FIELD(project_id), PLACE_AUTH, "project-id", { "project_id", "tenant_id" },
	  { "OS_PROJECT_ID", "OS_TENANT_ID" } },
	{ FIELD(project_domain), PLACE_AUTH, "project-domain", { "project_domain_name" },
	  { "OS_PROJECT_DOMAIN_NAME" } },
	{ FIELD(project_domain_id), PLACE_AUTH, "project-domain-id", { "project_domain_id" },
	  { "OS_PROJECT_DOMAIN_ID" } },
	{ FIELD(application), PLACE_AUTH, "application-credential", { "application_credential_name" },
	  { "OS_APPLICATION_CREDENTIAL_NAME" } },
	{ FIELD(application_id), PLACE_AUTH, "application-credential-id", { "application_credential_id" },
	  { "OS_APPLICATION_CREDENTIAL_ID" } },
	{ FIELD(interface), PLACE_CLOUD, "interface", { "image_interface", "interface", "endpoint_type" },
	  { "OS_INTERFACE", "OS_ENDPOINT_TYPE" } },
	{ FIELD(endpoint), PLACE_CLOUD, "endpoint", { "image_endpoint_override", "image_endpoint" },
	  { "OS_IMAGE_ENDPOINT_OVERRIDE", "OS_IMAGE_ENDPOINT" } },
	{ FIELD(cacert), PLACE_PATH, "cacert", { "cacert" }, { "OS_CACERT" } },
	{ FIELD(cert), PLACE_PATH, "cert", { "cert" }, { "OS_CERT" } },
	{ FIELD(key), PLACE_PATH, "key", { "key" }, { "OS_KEY" } },
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/* Before the others, as it says what else holds. */
static const struct field region = { FIELD(region), PLACE_CLOUD, "region", { "image_region_name", "region_name" },
				     { "OS_REGION_NAME" } };

/* Two ways to say one thing: an id counts, unless fabricfs.yaml has the name. */
static const struct {
	size_t name, id;
	bool domain;
} pairs[] = {
	{ FIELD(username), FIELD(user_id), false },
	{ FIELD(user_domain), FIELD(user_domain_id), true },
	{ FIELD(project), FIELD(project_id), false },
	{ FIELD(project_domain), FIELD(project_domain_id), true },
	{ FIELD(application), FIELD(application_id), false },
};

/* The secrets, of which one is used. */
static const struct field secrets[] = {
	[CLOUD_PASSWORD] = { 0, PLACE_AUTH, "password-file", { "password" }, { "OS_PASSWORD" } },
	[CLOUD_APPLICATION] = { 0, PLACE_AUTH, "application-credential-secret-file",
				{ "application_credential_secret" }, { "OS_APPLICATION_CREDENTIAL_SECRET" } },
	[CLOUD_TOKEN] = { 0, PLACE_AUTH, "token-file", { "token", "auth_token" }, { "OS_TOKEN", "OS_AUTH_TOKEN" } },
};

static const struct {
	const char *word;
	enum cloud_auth auth;
} auth_types[] = {
	{ "password", CLOUD_PASSWORD },
	{ "v3password", CLOUD_PASSWORD },
	{ "v3applicationcredential", CLOUD_APPLICATION },
	{ "token", CLOUD_TOKEN },
	{ "v3token", CLOUD_TOKEN },
	{ "admin_token", CLOUD_FIXED_TOKEN },
	{ "token_endpoint", CLOUD_FIXED_TOKEN }, /* as openstacksdk takes it */
	{ "none", CLOUD_NONE },
};

/* --- reading ----------------------------------------------------------------------- */

static char **string_at(struct cloud *cloud, size_t at)
{
	return (char **)((char *)cloud + at);
}

/* *rank: 0 = of fabricfs.yaml. */
static int string_read(const struct layers *l, struct cloud *cloud, const struct field *field, unsigned *rank,
		       struct reason *why)
{
	const char *text = repo_config_text(l->config, field->key, NULL);
	char **to = string_at(cloud, field->at);

	*rank = 0;
	if (!text)
		text = layers_text(l, field, rank);
	if (!text)
		return 0;
	if (strlen(text) >= PATH_MAX)
		return reason_set(why, EINVAL, "%s: %s is too long", cloud->where, field->key);
	*to = field->place == PLACE_PATH && *rank ? path_from(l->folder, text) : strdup(text);
	return *to ? 0 : cloud_no_memory(why);
}

static void string_drop(struct cloud *cloud, size_t at)
{
	free(*string_at(cloud, at));
	*string_at(cloud, at) = NULL;
}

static unsigned rank_of(const unsigned ranks[FIELDS], size_t at)
{
	unsigned i = 0;

	while (fields[i].at != at)
		i++;
	return ranks[i];
}

static int region_read(struct layers *l, struct cloud *cloud, struct reason *why)
{
	const char *first = layers_region(l);
	unsigned rank;
	int err = string_read(l, cloud, &region, &rank, why);

	if (!err && !cloud->region && first && !(cloud->region = strdup(first)))
		err = cloud_no_memory(why);
	if (!err && rank && first && cloud->region && strcmp(cloud->region, first))
		log_warn("repository %s: %s has region_name '%.64s', which is taken, and regions, of which OpenStack's "
			 "clients take the first, '%.64s'", l->config->name, cloud->where, cloud->region, first);
	/* "R1,R2" is an old way to write a list. */
	if (!err && cloud->region && rank)
		cloud->region[strcspn(cloud->region, ",")] = '\0';
	if (!err && cloud->region)
		layers_region_add(l, cloud->region);
	return err;
}

/* One domain for both, where they have none of their own. */
static int domains_read(const struct layers *l, struct cloud *cloud, struct reason *why)
{
	static const struct {
		const char *yaml, *env;
		bool is_id;
	} names[] = {
		{ "domain_id", "OS_DOMAIN_ID", true },
		{ "domain_name", "OS_DOMAIN_NAME", false },
		{ "default_domain_id", "OS_DEFAULT_DOMAIN_ID", true },
		{ "default_domain", "OS_DEFAULT_DOMAIN", true },
		{ "default_domain_name", "OS_DEFAULT_DOMAIN_NAME", false },
	};
	const char *text = NULL;
	unsigned i = 0;

	while (i < sizeof(names) / sizeof(names[0]) &&
	       !(text = layers_word(l, PLACE_AUTH, names[i].yaml, names[i].env)))
		i++;
	if (!text)
		return 0;
	if (i < 2 && !cloud->project && !cloud->project_id && !cloud->application && !cloud->application_id)
		return reason_set(why, EINVAL, "%s: %s without a project asks for a token of a domain, and images are a "
				  "project's: give project_name too", cloud->where,
				  l->env ? names[i].env : names[i].yaml);
	for (unsigned k = 0; k < sizeof(pairs) / sizeof(pairs[0]); k++) {
		char **to = string_at(cloud, names[i].is_id ? pairs[k].id : pairs[k].name);

		if (!pairs[k].domain || *string_at(cloud, pairs[k].id) || *string_at(cloud, pairs[k].name))
			continue;
		*to = strdup(text);
		if (!*to)
			return cloud_no_memory(why);
	}
	return 0;
}

static int strings_read(const struct layers *l, struct cloud *cloud, struct reason *why)
{
	unsigned ranks[FIELDS];
	int err = 0;

	for (unsigned i = 0; i < FIELDS && !err; i++)
		err = string_read(l, cloud, &fields[i], &ranks[i], why);
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]) && !err; i++) {
		/* As with OpenStack's clients, whichever file each is from. */
		if (*string_at(cloud, pairs[i].name) && !rank_of(ranks, pairs[i].name) && rank_of(ranks, pairs[i].id))
			string_drop(cloud, pairs[i].id);
	}
	return err ? err : domains_read(l, cloud, why);
}

/* -1: neither. */
static int truth(const char *text)
{
	static const char *const words[2][7] = {
		{ "false", "no", "off", "n", "0", "f", NULL },
		{ "true", "yes", "on", "y", "1", "t", NULL },
	};

	for (int t = 0; t < 2; t++)
		for (unsigned i = 0; words[t][i]; i++)
			if (!strcasecmp(text, words[t][i]))
				return t;
	return -1;
}

static int verify_read(const struct layers *l, struct cloud *cloud, struct reason *why)
{
	const struct repo_value *own = repo_config_get(l->config, "verify");
	const char *verify = layers_word(l, PLACE_CLOUD, "verify", NULL);
	const char *insecure = layers_word(l, PLACE_CLOUD, "insecure", "OS_INSECURE");
	const int yes = verify ? truth(verify) : -1, no = insecure ? truth(insecure) : -1;

	if (own) {
		cloud->insecure = !own->number;
	} else if (verify && yes < 0) {
		return reason_set(why, EINVAL, "%s: verify is '%.32s', wanted is true or false", cloud->where, verify);
	} else if (insecure && no < 0) {
		return reason_set(why, EINVAL, "%s: insecure is '%.32s', wanted is true or false", cloud->where,
				  insecure);
	} else if (verify && insecure && yes == no) {
		/* Clients differ in which of the two they follow. */
		return reason_set(why, EINVAL, "%s: verify is %s and insecure is %s, which cannot both be meant",
				  cloud->where, verify, insecure);
	} else {
		cloud->insecure = verify ? !yes : no == 1;
	}
	if (cloud->insecure)
		log_warn("repository %s: certificates are not checked (verify: false)", l->config->name);
	return 0;
}

static int auth_read(const struct layers *l, struct cloud *cloud, struct reason *why)
{
	static const struct field type = { 0, PLACE_CLOUD, NULL, { "auth_type", "auth_plugin" },
					   { "OS_AUTH_TYPE", "OS_AUTH_PLUGIN" } };
	const char *word = layers_text(l, &type, NULL);
	const char *version = layers_word(l, PLACE_CLOUD, "identity_api_version", "OS_IDENTITY_API_VERSION");
	const char *images = layers_word(l, PLACE_CLOUD, "image_api_version", "OS_IMAGE_API_VERSION");
	static const struct {
		const char *yaml, *env;
	} unspoken[] = { { "system_scope", "OS_SYSTEM_SCOPE" }, { "trust_id", "OS_TRUST_ID" } };
	struct buf known CLEANUP_BUF = BUF_INIT;

	if (version && version[0] == '2')
		return reason_set(why, EINVAL, "%s: identity_api_version is %.8s; only Keystone's version 3 "
				  "is spoken", cloud->where, version);
	/* A token of these shows other images than a project's, and a trust is another's rights. */
	for (unsigned i = 0; i < 2; i++)
		if (layers_word(l, PLACE_AUTH, unspoken[i].yaml, unspoken[i].env))
			return reason_set(why, EINVAL, "%s: %s is not spoken here: images are listed for a project, with "
					  "rights of one's own (an application credential can have fewer)", cloud->where,
					  l->env ? unspoken[i].env : unspoken[i].yaml);
	if (images && strcmp(images, "2") && strncmp(images, "2.", 2))
		return reason_set(why, EINVAL, "%s: image_api_version is %.8s; only version 2 is spoken", cloud->where,
				  images);
	if (!word) {
		if (repo_config_get(l->config, secrets[CLOUD_APPLICATION].key) ||
		    layers_text(l, &secrets[CLOUD_APPLICATION], NULL))
			cloud->auth = CLOUD_APPLICATION;
		else if (repo_config_get(l->config, secrets[CLOUD_TOKEN].key) ||
			 layers_text(l, &secrets[CLOUD_TOKEN], NULL))
			cloud->auth = cloud->auth_url ? CLOUD_TOKEN : CLOUD_FIXED_TOKEN;
		else if (!cloud->auth_url && cloud->endpoint)
			cloud->auth = CLOUD_NONE;
		return 0;
	}
	for (unsigned i = 0; i < sizeof(auth_types) / sizeof(auth_types[0]); i++) {
		if (!strcmp(word, auth_types[i].word)) {
			cloud->auth = auth_types[i].auth;
			return 0;
		}
		buf_addf(&known, "%s%s", i ? ", " : "", auth_types[i].word);
	}
	return reason_set(why, EINVAL, "%s: auth_type '%.64s' is not known here, wanted is one of %s",
			  cloud->where, word, known.data ? known.data : "");
}

static int secret_get(const struct layers *l, struct cloud *cloud, struct reason *why)
{
	const enum cloud_auth auth = cloud->auth == CLOUD_FIXED_TOKEN ? CLOUD_TOKEN : cloud->auth;
	const char *path, *text;

	if (auth == CLOUD_NONE)
		return 0;
	path = repo_config_text(l->config, secrets[auth].key, NULL);
	if (path)
		seen_files_note(&cloud->files, path);
	if (path)
		return secret_read(&cloud->secret, secrets[auth].key, path, true, why);
	text = layers_text(l, &secrets[auth], NULL);
	if (!text)
		return reason_set(why, EINVAL, "%s: there is no %s", cloud->where,
				  l->env ? secrets[auth].env[0] : l->n ? secrets[auth].yaml[0] :
								      secrets[auth].key);
	return secret_copy(&cloud->secret, text, strlen(text)) ? cloud_no_memory(why) : 0;
}

/* --- what was read, made right ------------------------------------------------------ */

static bool ends_with(const char *text, size_t len, const char *tail)
{
	const size_t n = strlen(tail);

	return len >= n && !memcmp(text + len - n, tail, n);
}

/* Vendors' profiles have the region's name in the address. */
static int region_fill(struct cloud *cloud, char **url, struct reason *why)
{
	static const char place[] = "{region_name}";
	const char *at = *url ? strstr(*url, place) : NULL;
	char *filled;

	if (!at || !cloud->region)
		return 0;
	if (asprintf(&filled, "%.*s%s%s", (int)(at - *url), *url, cloud->region, at + sizeof(place) - 1) < 0)
		return cloud_no_memory(why);
	free(*url);
	*url = filled;
	return 0;
}

/* Keystone lists its versions at the address without one; there is but one that is spoken. */
static int auth_url_finish(const struct layers *l, struct cloud *cloud, struct reason *why)
{
	const char *fault;
	size_t len;
	char *url;

	if (cloud->auth == CLOUD_NONE || cloud->auth == CLOUD_FIXED_TOKEN) {
		/* These say there where all of a cloud is. */
		const char *endpoint = cloud->endpoint ? NULL : layers_word(l, PLACE_AUTH, "endpoint", "OS_ENDPOINT");

		if (endpoint && !(cloud->endpoint = strdup(endpoint)))
			return cloud_no_memory(why);
		if (!cloud->endpoint)
			return reason_set(why, EINVAL, "%s: without Keystone the image service's address is "
					  "needed (image_endpoint_override, or the key `endpoint`)",
					  cloud->where);
		return 0;
	}
	if (!cloud->auth_url && l->lost)
		return reason_set(why, EINVAL, "%s: there is no auth_url, and its profile '%.64s' is in no "
				  "clouds-public.yaml (those that come with openstacksdk are not known here): write the "
				  "auth_url down", cloud->where, l->lost);
	if (!cloud->auth_url)
		return reason_set(why, EINVAL, "%s: there is no %s", cloud->where, l->env ? "OS_AUTH_URL" : "auth_url");
	if (strpbrk(cloud->auth_url, "@?#"))
		return reason_set(why, EINVAL, "%s: the auth_url may have no user, query or fragment",
				  cloud->where);
	fault = url_fault(cloud->auth_url);
	if (fault)
		return reason_set(why, EINVAL, "%s: the auth_url cannot be asked: %s", cloud->where, fault);
	len = strlen(cloud->auth_url);
	while (cloud->auth_url[len - 1] == '/')
		len--;
	if (ends_with(cloud->auth_url, len, "/v3"))
		len -= 3;
	else if (ends_with(cloud->auth_url, len, "/v2.0"))
		len -= 5;
	if (asprintf(&url, "%.*s/v3", (int)len, cloud->auth_url) < 0)
		return cloud_no_memory(why);
	free(cloud->auth_url);
	cloud->auth_url = url;
	return 0;
}

static int interface_finish(struct cloud *cloud, struct reason *why)
{
	size_t len;

	if (!cloud->interface)
		cloud->interface = strdup("public");
	if (!cloud->interface)
		return cloud_no_memory(why);
	len = strlen(cloud->interface);
	if (ends_with(cloud->interface, len, "URL"))
		cloud->interface[len - 3] = '\0';
	if (strcmp(cloud->interface, "public") && strcmp(cloud->interface, "internal") &&
	    strcmp(cloud->interface, "admin"))
		return reason_set(why, EINVAL, "%s: interface is '%.32s', wanted is public, internal or "
				  "admin", cloud->where, cloud->interface);
	return 0;
}

static int who_finish(const struct layers *l, const struct cloud *cloud, struct reason *why)
{
	const bool user = cloud->username || cloud->user_id;

	if (cloud->auth == CLOUD_PASSWORD && !user)
		return reason_set(why, EINVAL, "%s: there is no %s", cloud->where, l->env ? "OS_USERNAME" : "username");
	if (cloud->auth == CLOUD_APPLICATION && !cloud->application_id &&
	    !(cloud->application && user))
		return reason_set(why, EINVAL, "%s: an application credential is told by its id, or by its "
				  "name and its user", cloud->where);
	return 0;
}

/* Who has these set beside OS_CLOUD may take them for more than they are. */
static void unused_tell(const struct layers *l)
{
	struct buf names CLEANUP_BUF = BUF_INIT;

	if (l->env || !l->file || repo_config_get(l->config, "cloud") || !env_text("OS_CLOUD"))
		return;
	if (env_text(region.env[0]))
		buf_adds(&names, region.env[0]);
	for (unsigned i = 0; i < FIELDS; i++)
		if (env_text(fields[i].env[0]))
			buf_addf(&names, "%s%s", names.len ? ", " : "", fields[i].env[0]);
	for (unsigned i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		if (env_text(secrets[i].env[0]))
			buf_addf(&names, "%s%s", names.len ? ", " : "", secrets[i].env[0]);
	if (names.len && !buf_ok(&names))
		log_warn("repository %s: OS_CLOUD says which cloud; beside it these are not used: %s", l->config->name,
			 names.data);
}

int cloud_read(const struct repo_config *config, struct cloud *cloud, struct reason *why)
{
	struct layers layers = { .config = config, .cloud = cloud };
	int err;

	memset(cloud, 0, sizeof(*cloud));
	err = layers_open(&layers, why);
	if (!err)
		err = region_read(&layers, cloud, why);
	if (!err)
		err = strings_read(&layers, cloud, why);
	if (!err)
		err = region_fill(cloud, &cloud->auth_url, why);
	if (!err)
		err = verify_read(&layers, cloud, why);
	if (!err)
		err = auth_read(&layers, cloud, why);
	if (!err)
		err = auth_url_finish(&layers, cloud, why);
	if (!err && cloud->endpoint && (strpbrk(cloud->endpoint, "@?#") || url_fault(cloud->endpoint)))
		err = reason_set(why, EINVAL, "%s: the image service's address cannot be asked: %s", cloud->where,
				 strpbrk(cloud->endpoint, "@?#") ? "it may have no user, query or fragment" :
								   url_fault(cloud->endpoint));
	if (!err)
		err = interface_finish(cloud, why);
	if (!err)
		err = who_finish(&layers, cloud, why);
	if (!err)
		err = secret_get(&layers, cloud, why);
	if (!err && repo_config_get(config, "allow-http"))
		cloud->allow_http = repo_config_get(config, "allow-http")->number;
	if (!err)
		unused_tell(&layers);
	layers_close(&layers);
	return err;
}

void cloud_free(struct cloud *cloud)
{
	for (unsigned i = 0; i < FIELDS; i++)
		free(*string_at(cloud, fields[i].at));
	free(cloud->region);
	seen_files_free(&cloud->files);
	free(cloud->where);
	secret_free(&cloud->secret);
	memset(cloud, 0, sizeof(*cloud));
}

/* --- the keys ----------------------------------------------------------------------- */

int cloud_check(const struct repo_config *config, struct reason *why)
{
	const bool named = repo_config_get(config, "cloud") || repo_config_get(config, "clouds-file");
	static const char *const addresses[] = { "auth-url", "endpoint" };
	const char *interface = repo_config_text(config, "interface", "public");
	unsigned given = 0;

	if (named && repo_config_get(config, "auth-url"))
		return reason_set(why, EINVAL, "auth-url stands beside %s, which tells it already",
				  repo_config_get(config, "cloud") ? "cloud" : "clouds-file");
	for (unsigned i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		given += repo_config_get(config, secrets[i].key) != NULL;
	if (given > 1)
		return reason_set(why, EINVAL, "only one of password-file, token-file and "
				  "application-credential-secret-file can be used");
	if (repo_config_get(config, "auth-url") && !given)
		return reason_set(why, EINVAL, "auth-url needs password-file, token-file or "
				  "application-credential-secret-file");
	for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		const char *url = repo_config_text(config, addresses[i], "");

		if (strpbrk(url, "@?#") || strlen(url) >= PATH_MAX)
			return reason_set(why, EINVAL, "%s: the address of a service is wanted, without user, "
					  "query or fragment", addresses[i]);
	}
	if (repo_config_get(config, "key") && !repo_config_get(config, "cert"))
		return reason_set(why, EINVAL, "key belongs to a certificate, and cert is missing");
	if (strcmp(interface, "public") && strcmp(interface, "internal") && strcmp(interface, "admin"))
		return reason_set(why, EINVAL, "interface is '%.32s', wanted is public, internal or admin",
				  interface);
	return 0;
}
