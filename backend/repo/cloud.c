// SPDX-License-Identifier: Apache-2.0
/*
 * Where a cloud is and who asks it (cloud.h).
 *
 * What is asked for is looked up in layers, the first that has it counts: the
 * keys of fabricfs.yaml, then secure.yaml, clouds.yaml and the profile's entry
 * in clouds-public.yaml, or the environment in place of those three. Names of
 * keys, their meaning and the order are openstacksdk's (its documentation,
 * "Configuring OpenStack SDK Applications").
 */
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fabricfs/buf.h>
#include <fabricfs/log.h>
#include <fabricfs/url.h>

#include "backend/repo/cloud.h"
#include "backend/repo/yaml_file.h"

/* --- what there is to be looked up ------------------------------------------------- */

enum place { PLACE_AUTH, PLACE_CLOUD, PLACE_PATH };

/* A string of struct cloud under its names: fabricfs.yaml, clouds.yaml (new and old), environment. */
struct field {
	size_t at;
	enum place place; /* below `auth:` (or beside it), beside it, and there as a path */
	const char *key, *yaml, *yaml_old, *env, *env_old;
};

#define FIELD(name) offsetof(struct cloud, name)
static const struct field fields[] = {
	{ FIELD(auth_url), PLACE_AUTH, "auth-url", "auth_url", NULL, "OS_AUTH_URL", NULL },
	{ FIELD(username), PLACE_AUTH, "username", "username", "user_name", "OS_USERNAME", NULL },
	{ FIELD(user_id), PLACE_AUTH, "user-id", "user_id", NULL, "OS_USER_ID", NULL },
	{ FIELD(user_domain), PLACE_AUTH, "user-domain", "user_domain_name", NULL,
	  "OS_USER_DOMAIN_NAME", "OS_DEFAULT_DOMAIN_NAME" },
	{ FIELD(user_domain_id), PLACE_AUTH, "user-domain-id", "user_domain_id", NULL,
	  "OS_USER_DOMAIN_ID", "OS_DEFAULT_DOMAIN_ID" },
	{ FIELD(project), PLACE_AUTH, "project", "project_name", "tenant_name", "OS_PROJECT_NAME",
	  "OS_TENANT_NAME" },
	{ FIELD(project_id), PLACE_AUTH, "project-id", "project_id", "tenant_id", "OS_PROJECT_ID",
	  "OS_TENANT_ID" },
	{ FIELD(project_domain), PLACE_AUTH, "project-domain", "project_domain_name", NULL,
	  "OS_PROJECT_DOMAIN_NAME", "OS_DEFAULT_DOMAIN_NAME" },
	{ FIELD(project_domain_id), PLACE_AUTH, "project-domain-id", "project_domain_id", NULL,
	  "OS_PROJECT_DOMAIN_ID", "OS_DEFAULT_DOMAIN_ID" },
	{ FIELD(application), PLACE_AUTH, "application-credential", "application_credential_name", NULL,
	  "OS_APPLICATION_CREDENTIAL_NAME", NULL },
	{ FIELD(application_id), PLACE_AUTH, "application-credential-id", "application_credential_id",
	  NULL, "OS_APPLICATION_CREDENTIAL_ID", NULL },
	{ FIELD(region), PLACE_CLOUD, "region", "region_name", NULL, "OS_REGION_NAME", NULL },
	{ FIELD(interface), PLACE_CLOUD, "interface", "interface", "endpoint_type", "OS_INTERFACE",
	  "OS_ENDPOINT_TYPE" },
	{ FIELD(endpoint), PLACE_CLOUD, "endpoint", "image_endpoint_override", NULL,
	  "OS_IMAGE_ENDPOINT_OVERRIDE", NULL },
	{ FIELD(cacert), PLACE_PATH, "cacert", "cacert", NULL, "OS_CACERT", NULL },
	{ FIELD(cert), PLACE_PATH, "cert", "cert", NULL, "OS_CERT", NULL },
	{ FIELD(key), PLACE_PATH, "key", "key", NULL, "OS_KEY", NULL },
};

/* The secrets, of which one is used. */
static const struct field secrets[] = {
	[CLOUD_PASSWORD] = { 0, PLACE_AUTH, "password-file", "password", NULL, "OS_PASSWORD", NULL },
	[CLOUD_APPLICATION] = { 0, PLACE_AUTH, "application-credential-secret-file",
				"application_credential_secret", NULL, "OS_APPLICATION_CREDENTIAL_SECRET",
				NULL },
	[CLOUD_TOKEN] = { 0, PLACE_AUTH, "token-file", "token", NULL, "OS_TOKEN", NULL },
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
	{ "none", CLOUD_NONE },
};

/* --- files ------------------------------------------------------------------------- */

static void file_look(struct cloud_file *file)
{
	struct stat st;

	/* One that is not there has no inode. */
	if (stat(file->path, &st))
		memset(&st, 0, sizeof(st));
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	file->size = st.st_size;
	file->mtime = st.st_mtim;
	file->ctime = st.st_ctim;
}

/* Before it is read: what is written meanwhile is a change. Without memory it is none. */
static void file_note(struct cloud *cloud, const char *path)
{
	struct cloud_file *file = &cloud->files[cloud->files_len];

	if (cloud->files_len == CLOUD_FILES_MAX || !(file->path = strdup(path)))
		return;
	cloud->files_len++;
	file_look(file);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool cloud_changed(const struct cloud *cloud)
{
	for (unsigned i = 0; i < cloud->files_len; i++) {
		const struct cloud_file *was = &cloud->files[i];
		struct cloud_file now = *was;

		file_look(&now);
		if (now.dev != was->dev || now.ino != was->ino || now.size != was->size ||
		    !same_time(&now.mtime, &was->mtime) || !same_time(&now.ctime, &was->ctime))
			return true;
	}
	return false;
}

void cloud_look(struct cloud *cloud)
{
	for (unsigned i = 0; i < cloud->files_len; i++)
		file_look(&cloud->files[i]);
}

/* --- the layers -------------------------------------------------------------------- */

/* The files are closed (and wiped) when the cloud was read. */
struct layers {
	const struct repo_config *config;
	struct cloud *cloud;
	struct yaml_file *file, *secure, *public;
	/* The cloud's mapping in each, in the order in which they count. */
	struct {
		const struct yaml_file *file;
		int map;
	} at[3];
	unsigned n;
	bool env;
	char *folder; /* of clouds.yaml: paths in it are taken from there */
};

static const char *env_text(const char *name)
{
	const char *text = name ? getenv(name) : NULL;

	return text && *text ? text : NULL;
}

static const char *layer_text(const struct layers *l, unsigned i, bool auth, const char *name)
{
	const struct yaml_file *f = l->at[i].file;
	int map = l->at[i].map;

	if (!name)
		return NULL;
	if (auth)
		map = yaml_get(f, map, "auth");
	return yaml_text(f, yaml_get(f, map, name));
}

/* As it stands behind the keys of fabricfs.yaml; NULL = nowhere. */
static const char *layers_text(const struct layers *l, const struct field *field)
{
	const char *text = NULL;

	if (l->env) {
		text = env_text(field->env);
		return text ? text : env_text(field->env_old);
	}
	for (unsigned i = 0; !text && i < l->n; i++) {
		const bool auth = field->place == PLACE_AUTH;

		text = layer_text(l, i, auth, field->yaml);
		if (!text)
			text = layer_text(l, i, auth, field->yaml_old);
		/* Old files have them beside `auth:`. */
		if (!text && auth)
			text = layer_text(l, i, false, field->yaml);
	}
	return text;
}

/* `yaml` and `env` alone, for what is no string of struct cloud. */
static const char *layers_word(const struct layers *l, const char *yaml, const char *env)
{
	const struct field field = { 0, PLACE_CLOUD, NULL, yaml, NULL, env, NULL };

	return layers_text(l, &field);
}

static void layers_close(struct layers *l)
{
	yaml_file_close(l->file);
	yaml_file_close(l->secure);
	yaml_file_close(l->public);
	free(l->folder);
}

static int no_memory(struct reason *why)
{
	return reason_set(why, ENOMEM, "no memory for a cloud's settings");
}

/* "~/x" and "x" as paths of their own. NULL: no memory. */
static char *path_from(const char *folder, const char *path)
{
	const char *home = env_text("HOME");
	char *made = NULL;

	if (!strncmp(path, "~/", 2) && home)
		return asprintf(&made, "%s%s", home, path + 1) < 0 ? NULL : made;
	if (*path == '/' || !folder)
		return strdup(path);
	return asprintf(&made, "%s/%s", folder, path) < 0 ? NULL : made;
}

/* --- clouds.yaml ------------------------------------------------------------------- */

static int layer_read(struct layers *l, const char *path, const char *what, int optional,
		      struct yaml_file **out, struct reason *why)
{
	file_note(l->cloud, path);
	return yaml_file_read(path, what, optional, out, why);
}

static int clouds_open(struct layers *l, const char *path, struct reason *why)
{
	const char *from_env = env_text("OS_CLIENT_CONFIG_FILE");
	const char *home = env_text("HOME");
	char *in_home = NULL;
	int err = -ENOENT;

	if (!path)
		path = from_env;
	if (path)
		return layer_read(l, path, "clouds-file", 0, &l->file, why);
	if (home && asprintf(&in_home, "%s/.config/openstack/clouds.yaml", home) >= 0) {
		err = layer_read(l, in_home, "clouds-file", 1, &l->file, why);
		free(in_home);
	}
	if (err == -ENOENT)
		err = layer_read(l, "/etc/openstack/clouds.yaml", "clouds-file", 1, &l->file, why);
	if (err == -ENOENT)
		err = reason_set(why, ENOENT, "there is no clouds.yaml in ~/.config/openstack or "
				 "/etc/openstack: say clouds-file");
	return err;
}

static void names_of(const struct yaml_file *f, int map, struct buf *names)
{
	const char *name;
	int value;

	for (size_t i = 0; i < 20 && (name = yaml_key(f, map, i, &value)); i++)
		if (strlen(name) < 64)
			buf_addf(names, "%s%s", i ? ", " : "", name);
}

/* Put the cloud's entry of a file under the others. */
static void layer_add(struct layers *l, const struct yaml_file *f, int map)
{
	if (!yaml_is_map(f, map))
		return;
	l->at[l->n].file = f;
	l->at[l->n].map = map;
	l->n++;
}

static int beside_open(struct layers *l, const char *env, const char *name, const char *elsewhere,
		       struct yaml_file **out, struct reason *why)
{
	const char *path = env_text(env);
	char *beside CLEANUP_FREE = path ? strdup(path) : path_from(l->folder, name);
	int err;

	if (!beside)
		return no_memory(why);
	err = layer_read(l, beside, name, 1, out, why);
	if (err == -ENOENT && elsewhere)
		err = layer_read(l, elsewhere, name, 1, out, why);
	return err == -ENOENT ? 0 : err;
}

static int profile_add(struct layers *l, struct reason *why)
{
	const char *profile = layers_word(l, "profile", NULL);
	int err, map;

	if (!profile)
		profile = layers_word(l, "cloud", NULL);
	if (!profile)
		return 0;
	err = beside_open(l, "OS_CLIENT_VENDOR_FILE", "clouds-public.yaml",
			  "/etc/openstack/clouds-public.yaml", &l->public, why);
	if (err)
		return err;
	map = yaml_get(l->public, yaml_get(l->public, yaml_root(l->public), "public-clouds"), profile);
	if (!map)
		log_warn("%s: the profile '%.64s' is in no clouds-public.yaml, and left out",
			 yaml_file_path(l->file), profile);
	layer_add(l, l->public, map);
	return 0;
}

static int clouds_layers(struct layers *l, const char *path, const char *name, struct cloud *cloud,
			 struct reason *why)
{
	int err = clouds_open(l, path, why), clouds, map, value;
	const char *slash;

	if (err)
		return err;
	path = yaml_file_path(l->file);
	slash = strrchr(path, '/');
	l->folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	if (!l->folder)
		return no_memory(why);
	clouds = yaml_get(l->file, yaml_root(l->file), "clouds");
	if (!name && yaml_key(l->file, clouds, 0, &value) && !yaml_key(l->file, clouds, 1, &value))
		name = yaml_key(l->file, clouds, 0, &value);
	map = name ? yaml_get(l->file, clouds, name) : 0;
	if (!yaml_is_map(l->file, map)) {
		struct buf names CLEANUP_BUF = BUF_INIT;

		names_of(l->file, clouds, &names);
		if (!name)
			return reason_set(why, EINVAL, "%s has several clouds, say by `cloud` which: %s", path,
					  names.len ? names.data : "none");
		return reason_set(why, EINVAL, "%s has no cloud '%.64s'; it has %s", path, name,
				  names.len ? names.data : "none");
	}
	if (asprintf(&cloud->where, "cloud '%.64s' of %s", name, path) < 0) {
		cloud->where = NULL;
		return no_memory(why);
	}
	err = beside_open(l, "OS_CLIENT_SECURE_FILE", "secure.yaml", NULL, &l->secure, why);
	if (err)
		return err;
	layer_add(l, l->secure,
		  yaml_get(l->secure, yaml_get(l->secure, yaml_root(l->secure), "clouds"), name));
	layer_add(l, l->file, map);
	return profile_add(l, why);
}

/* Which layers there are: the configuration says it by what it has. */
static int layers_open(struct layers *l, struct cloud *cloud, struct reason *why)
{
	const char *name = repo_config_text(l->config, "cloud", NULL);
	const char *file = repo_config_text(l->config, "clouds-file", NULL);

	if (!name && !file && (repo_config_get(l->config, "auth-url") ||
			       repo_config_get(l->config, "endpoint"))) {
		cloud->where = strdup("its keys");
		return cloud->where ? 0 : no_memory(why);
	}
	if (!name)
		name = env_text("OS_CLOUD");
	if (name || file)
		return clouds_layers(l, file, name, cloud, why);
	if (!env_text("OS_AUTH_URL") && !env_text("OS_IMAGE_ENDPOINT_OVERRIDE"))
		return reason_set(why, EINVAL, "where Keystone is and who asks it is not told: give `cloud`"
				  " (of clouds.yaml), `auth-url`, or OS_CLOUD or OS_AUTH_URL in the "
				  "environment");
	l->env = true;
	cloud->where = strdup("the environment (OS_...)");
	return cloud->where ? 0 : no_memory(why);
}

/* --- reading ----------------------------------------------------------------------- */

static int strings_read(const struct layers *l, struct cloud *cloud, struct reason *why)
{
	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const struct field *field = &fields[i];
		const char *text = repo_config_text(l->config, field->key, NULL);
		const bool own = text != NULL;
		char **to = (char **)((char *)cloud + field->at);

		if (!own)
			text = layers_text(l, field);
		if (!text)
			continue;
		if (strlen(text) >= PATH_MAX)
			return reason_set(why, EINVAL, "%s: %s is too long", cloud->where, field->key);
		*to = field->place == PLACE_PATH && !own ? path_from(l->folder, text) : strdup(text);
		if (!*to)
			return no_memory(why);
	}
	return 0;
}

static int region_read(const struct layers *l, struct cloud *cloud, struct reason *why)
{
	/* `regions:` is a list of names, or of mappings that have one. */
	for (unsigned i = 0; !cloud->region && i < l->n; i++) {
		const struct yaml_file *f = l->at[i].file;
		const int list = yaml_get(f, l->at[i].map, "regions");
		const char *text = yaml_text(f, list);

		if (!text)
			text = yaml_text(f, yaml_get(f, yaml_item(f, list, 0), "name"));
		if (!text)
			continue;
		cloud->region = strdup(text);
		if (!cloud->region)
			return no_memory(why);
	}
	return 0;
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
	const char *verify = layers_word(l, "verify", NULL);
	const char *insecure = layers_word(l, "insecure", "OS_INSECURE");
	int yes;

	if (own) {
		cloud->insecure = !own->number;
	} else if (verify) {
		yes = truth(verify);
		if (yes < 0)
			return reason_set(why, EINVAL, "%s: verify is '%.32s', wanted is true or false",
					  cloud->where, verify);
		cloud->insecure = !yes;
	} else if (insecure) {
		cloud->insecure = truth(insecure) == 1;
	}
	if (cloud->insecure)
		log_warn("repository %s: certificates are not checked (verify: false)", l->config->name);
	return 0;
}

static int auth_read(const struct layers *l, struct cloud *cloud, struct reason *why)
{
	const char *word = layers_word(l, "auth_type", "OS_AUTH_TYPE");
	const char *version = layers_word(l, "identity_api_version", "OS_IDENTITY_API_VERSION");
	struct buf known CLEANUP_BUF = BUF_INIT;

	if (version && version[0] == '2')
		return reason_set(why, EINVAL, "%s: identity_api_version is %.8s; only Keystone's version 3 "
				  "is spoken", cloud->where, version);
	if (!word) {
		if (repo_config_get(l->config, secrets[CLOUD_APPLICATION].key) ||
		    layers_text(l, &secrets[CLOUD_APPLICATION]))
			cloud->auth = CLOUD_APPLICATION;
		else if (repo_config_get(l->config, secrets[CLOUD_TOKEN].key) ||
			 layers_text(l, &secrets[CLOUD_TOKEN]))
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
		file_note(cloud, path);
	if (path)
		return secret_read(&cloud->secret, secrets[auth].key, path, true, why);
	text = layers_text(l, &secrets[auth]);
	if (!text)
		return reason_set(why, EINVAL, "%s: there is no %s", cloud->where,
				  l->env ? secrets[auth].env : l->n ? secrets[auth].yaml :
								      secrets[auth].key);
	return secret_copy(&cloud->secret, text, strlen(text)) ? no_memory(why) : 0;
}

/* --- what was read, made right ------------------------------------------------------ */

static bool ends_with(const char *text, size_t len, const char *tail)
{
	const size_t n = strlen(tail);

	return len >= n && !memcmp(text + len - n, tail, n);
}

/* Keystone lists its versions at the address without one; there is but one that is spoken. */
static int auth_url_finish(struct cloud *cloud, struct reason *why)
{
	const char *fault;
	size_t len;
	char *url;

	if (cloud->auth == CLOUD_NONE || cloud->auth == CLOUD_FIXED_TOKEN) {
		if (!cloud->endpoint)
			return reason_set(why, EINVAL, "%s: without Keystone the image service's address is "
					  "needed (image_endpoint_override, or the key `endpoint`)",
					  cloud->where);
		return 0;
	}
	if (!cloud->auth_url)
		return reason_set(why, EINVAL, "%s: there is no auth_url", cloud->where);
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
		return no_memory(why);
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
		return no_memory(why);
	len = strlen(cloud->interface);
	if (ends_with(cloud->interface, len, "URL"))
		cloud->interface[len - 3] = '\0';
	if (strcmp(cloud->interface, "public") && strcmp(cloud->interface, "internal") &&
	    strcmp(cloud->interface, "admin"))
		return reason_set(why, EINVAL, "%s: interface is '%.32s', wanted is public, internal or "
				  "admin", cloud->where, cloud->interface);
	return 0;
}

static int who_finish(const struct cloud *cloud, struct reason *why)
{
	const bool user = cloud->username || cloud->user_id;

	if (cloud->auth == CLOUD_PASSWORD && !user)
		return reason_set(why, EINVAL, "%s: there is no username", cloud->where);
	if (cloud->auth == CLOUD_APPLICATION && !cloud->application_id &&
	    !(cloud->application && user))
		return reason_set(why, EINVAL, "%s: an application credential is told by its id, or by its "
				  "name and its user", cloud->where);
	return 0;
}

int cloud_read(const struct repo_config *config, struct cloud *cloud, struct reason *why)
{
	struct layers layers = { .config = config, .cloud = cloud };
	int err;

	memset(cloud, 0, sizeof(*cloud));
	err = layers_open(&layers, cloud, why);
	if (!err)
		err = strings_read(&layers, cloud, why);
	if (!err)
		err = region_read(&layers, cloud, why);
	if (!err)
		err = verify_read(&layers, cloud, why);
	if (!err)
		err = auth_read(&layers, cloud, why);
	if (!err)
		err = auth_url_finish(cloud, why);
	if (!err && cloud->endpoint && (strpbrk(cloud->endpoint, "@?#") || url_fault(cloud->endpoint)))
		err = reason_set(why, EINVAL, "%s: the image service's address cannot be asked: %s", cloud->where,
				 strpbrk(cloud->endpoint, "@?#") ? "it may have no user, query or fragment" :
								   url_fault(cloud->endpoint));
	if (!err)
		err = interface_finish(cloud, why);
	if (!err)
		err = who_finish(cloud, why);
	if (!err)
		err = secret_get(&layers, cloud, why);
	if (!err && repo_config_get(config, "allow-http"))
		cloud->allow_http = repo_config_get(config, "allow-http")->number;
	layers_close(&layers);
	return err;
}

void cloud_free(struct cloud *cloud)
{
	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		free(*(char **)((char *)cloud + fields[i].at));
	for (unsigned i = 0; i < cloud->files_len; i++)
		free(cloud->files[i].path);
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
	if (!repo_config_get(config, "cert") != !repo_config_get(config, "key"))
		return reason_set(why, EINVAL, "cert and key are used together");
	if (strcmp(interface, "public") && strcmp(interface, "internal") && strcmp(interface, "admin"))
		return reason_set(why, EINVAL, "interface is '%.32s', wanted is public, internal or admin",
				  interface);
	return 0;
}
