// SPDX-License-Identifier: Apache-2.0
/*
 * Layers of a cloud's settings (cloud_layers.h): clouds.yaml with secure.yaml
 * over it and a profile of clouds-public.yaml under it, or the environment. Names
 * of files, where they are looked for and the order are openstacksdk's (its
 * documentation, "Configuring OpenStack SDK Applications"), but for the present
 * folder: a daemon's is none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fabricfs/buf.h>
#include <fabricfs/log.h>

#include "backend/repo/cloud_layers.h"

int cloud_no_memory(struct reason *why)
{
	return reason_set(why, ENOMEM, "no memory for a cloud's settings");
}

const char *env_text(const char *name)
{
	const char *text = name ? getenv(name) : NULL;

	return text && *text ? text : NULL;
}

char *path_from(const char *folder, const char *path)
{
	const char *home = env_text("HOME");
	char *made = NULL;

	if (!strncmp(path, "~/", 2) && home)
		return asprintf(&made, "%s%s", home, path + 1) < 0 ? NULL : made;
	if (*path == '/' || !folder)
		return strdup(path);
	return asprintf(&made, "%s/%s", folder, path) < 0 ? NULL : made;
}

/* --- looking up --------------------------------------------------------------------- */

/* "auth-url" is taken for "auth_url". */
static int member_of(const struct yaml_file *f, int map, const char *name)
{
	const int node = yaml_get(f, map, name);
	char dashed[48];
	size_t n = strlen(name);

	if (node || !strchr(name, '_') || n >= sizeof(dashed))
		return node;
	for (size_t i = 0; i <= n; i++)
		dashed[i] = name[i] == '_' ? '-' : name[i];
	return yaml_get(f, map, dashed);
}

static const char *layer_text(const struct layers *l, unsigned i, bool auth, const char *name)
{
	const struct yaml_file *f = l->at[i].file;
	int map = l->at[i].map;

	if (auth)
		map = yaml_get(f, map, "auth");
	return yaml_text(f, member_of(f, map, name));
}

const char *layers_text(const struct layers *l, const struct field *field, unsigned *rank)
{
	const char *text = NULL;

	if (rank)
		*rank = 1;
	if (l->env) {
		text = env_text(field->env[0]);
		return text ? text : env_text(field->env[1]);
	}
	for (unsigned i = 0; !text && i < l->n; i++) {
		if (rank)
			*rank = i + 1;
		for (unsigned k = 0; !text && k < 3 && field->yaml[k]; k++) {
			text = layer_text(l, i, field->place == PLACE_AUTH, field->yaml[k]);
			/* Old files have them beside `auth:`. */
			if (!text && field->place == PLACE_AUTH)
				text = layer_text(l, i, false, field->yaml[k]);
		}
	}
	return text;
}

const char *layers_word(const struct layers *l, enum place place, const char *yaml, const char *env)
{
	const struct field field = { .place = place, .yaml = { yaml }, .env = { env } };

	return layers_text(l, &field, NULL);
}

/* `regions:` is a list of names, or of mappings that have one. */
static const char *region_name(const struct yaml_file *f, int node)
{
	const char *text = yaml_text(f, node);

	return text ? text : yaml_text(f, yaml_get(f, node, "name"));
}

const char *layers_region(const struct layers *l)
{
	const char *text = NULL;

	for (unsigned i = 0; !text && i < l->n; i++) {
		const struct yaml_file *f = l->at[i].file;
		const int list = yaml_get(f, l->at[i].map, "regions");

		text = region_name(f, yaml_item(f, list, 0));
		if (!text)
			text = yaml_text(f, list);
	}
	return text;
}

void layers_region_add(struct layers *l, const char *region)
{
	for (unsigned i = 0; i < l->n; i++) {
		const struct yaml_file *f = l->at[i].file;
		const int list = yaml_get(f, l->at[i].map, "regions");
		int item;

		for (size_t k = 0; (item = yaml_item(f, list, k)); k++) {
			const char *name = region_name(f, item);
			const int values = yaml_get(f, item, "values");

			if (!name || strcmp(name, region) || !yaml_is_map(f, values))
				continue;
			memmove(&l->at[1], &l->at[0], l->n * sizeof(l->at[0]));
			l->at[0].file = f;
			l->at[0].map = values;
			l->n++;
			return;
		}
	}
}

/* --- finding ------------------------------------------------------------------------ */

static int layer_read(struct layers *l, const char *path, const char *what, int optional,
		      struct yaml_file **out, struct reason *why)
{
	seen_files_note(&l->cloud->files, path);
	return yaml_file_read(path, what, optional, out, why);
}

/* STEM.yaml, .yml or .json of a folder. -ENOENT without a sentence: none of them. */
static int stem_read(struct layers *l, const char *folder, const char *stem, const char *what,
		     struct yaml_file **out, struct reason *why)
{
	static const char *const ends[] = { "yaml", "yml", "json" };
	int err = -ENOENT;

	for (unsigned i = 0; i < 3 && err == -ENOENT; i++) {
		char *path CLEANUP_FREE = NULL;

		if (asprintf(&path, "%s/%s.%s", folder, stem, ends[i]) < 0) {
			path = NULL;
			return cloud_no_memory(why);
		}
		err = layer_read(l, path, what, 1, out, why);
	}
	return err;
}

static int search_read(struct layers *l, const char *stem, const char *what, struct yaml_file **out,
		       struct reason *why)
{
	const char *xdg = env_text("XDG_CONFIG_HOME"), *home = env_text("HOME");
	char *own CLEANUP_FREE = NULL;
	int err = -ENOENT;

	if (xdg ? asprintf(&own, "%s/openstack", xdg) < 0 :
		  home && asprintf(&own, "%s/.config/openstack", home) < 0) {
		own = NULL;
		return cloud_no_memory(why);
	}
	if (own)
		err = stem_read(l, own, stem, what, out, why);
	return err == -ENOENT ? stem_read(l, "/etc/openstack", stem, what, out, why) : err;
}

static int clouds_open(struct layers *l, const char *path, struct reason *why)
{
	int err;

	if (!path)
		path = env_text("OS_CLIENT_CONFIG_FILE");
	if (path)
		return layer_read(l, path, "clouds-file", 0, &l->file, why);
	l->searched = true;
	err = search_read(l, "clouds", "clouds-file", &l->file, why);
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

/* What goes with clouds.yaml: where the environment says, beside it, and where such files are. */
static int beside_open(struct layers *l, const char *env, const char *stem, bool search,
		       struct yaml_file **out, struct reason *why)
{
	const char *path = env_text(env);
	int err;

	if (path)
		err = layer_read(l, path, stem, 1, out, why);
	else
		err = stem_read(l, l->folder, stem, stem, out, why);
	if (err == -ENOENT && search && !path)
		err = search_read(l, stem, stem, out, why);
	return err == -ENOENT ? 0 : err;
}

static int profile_add(struct layers *l, struct reason *why)
{
	const char *profile = layers_word(l, PLACE_CLOUD, "profile", NULL);
	int err, map;

	if (!profile)
		profile = layers_word(l, PLACE_CLOUD, "cloud", NULL);
	if (!profile)
		return 0;
	err = beside_open(l, "OS_CLIENT_VENDOR_FILE", "clouds-public", true, &l->public, why);
	if (err)
		return err;
	map = yaml_get(l->public, yaml_get(l->public, yaml_root(l->public), "public-clouds"), profile);
	if (!map) {
		l->lost = profile;
		log_warn("%s: the profile '%.64s' is in no clouds-public.yaml, and left out",
			 yaml_file_path(l->file), profile);
	}
	layer_add(l, l->public, map);
	return 0;
}

static int clouds_layers(struct layers *l, const char *path, const char *name, struct reason *why)
{
	int err = clouds_open(l, path, why), clouds, map, value;
	const char *slash;

	if (err)
		return err;
	path = yaml_file_path(l->file);
	slash = strrchr(path, '/');
	l->folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	if (!l->folder)
		return cloud_no_memory(why);
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
	if (asprintf(&l->cloud->where, "cloud '%.64s' of %s", name, path) < 0) {
		l->cloud->where = NULL;
		return cloud_no_memory(why);
	}
	err = beside_open(l, "OS_CLIENT_SECURE_FILE", "secure", l->searched, &l->secure, why);
	if (err)
		return err;
	layer_add(l, l->secure,
		  yaml_get(l->secure, yaml_get(l->secure, yaml_root(l->secure), "clouds"), name));
	layer_add(l, l->file, map);
	return profile_add(l, why);
}

int layers_open(struct layers *l, struct reason *why)
{
	const char *name = repo_config_text(l->config, "cloud", NULL);
	const char *file = repo_config_text(l->config, "clouds-file", NULL);

	if (!name && !file && (repo_config_get(l->config, "auth-url") ||
			       repo_config_get(l->config, "endpoint"))) {
		l->cloud->where = strdup("its keys");
		return l->cloud->where ? 0 : cloud_no_memory(why);
	}
	if (!name)
		name = env_text("OS_CLOUD");
	/* openstacksdk's name for what the environment says. */
	if (!file && name && !strcmp(name, "envvars"))
		name = NULL;
	if (name || file)
		return clouds_layers(l, file, name, why);
	if (!env_text("OS_AUTH_URL") && !env_text("OS_IMAGE_ENDPOINT_OVERRIDE") && !env_text("OS_IMAGE_ENDPOINT"))
		return reason_set(why, EINVAL, "where Keystone is and who asks it is not told: give `cloud`"
				  " (of clouds.yaml), `auth-url`, or OS_CLOUD or OS_AUTH_URL in the "
				  "environment");
	l->env = true;
	l->cloud->where = strdup("the environment (OS_...)");
	return l->cloud->where ? 0 : cloud_no_memory(why);
}

void layers_close(struct layers *l)
{
	yaml_file_close(l->file);
	yaml_file_close(l->secure);
	yaml_file_close(l->public);
	free(l->folder);
}
