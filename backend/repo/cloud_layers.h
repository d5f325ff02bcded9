// SPDX-License-Identifier: Apache-2.0
/*
 * Where settings of a cloud are looked up (private to backend/repo): layers, of
 * which the first that has one counts. The keys of fabricfs.yaml are over all
 * of them and not among them.
 */
#ifndef BACKEND_REPO_CLOUD_LAYERS_H
#define BACKEND_REPO_CLOUD_LAYERS_H

#include <stddef.h>

#include "backend/repo/cloud.h"
#include "backend/repo/yaml_file.h"

enum place { PLACE_AUTH, PLACE_CLOUD, PLACE_PATH };

/* A setting under its names: fabricfs.yaml, clouds.yaml (the first that is there counts), environment. */
struct field {
	size_t at; /* of struct cloud */
	enum place place; /* below `auth:` (or beside it), beside it, and there as a path */
	const char *key, *yaml[3], *env[2];
};

/* The files are closed (and wiped) when the cloud was read. */
struct layers {
	const struct repo_config *config;
	struct cloud *cloud;
	struct yaml_file *file, *secure, *public;
	/* The cloud's mapping in each, in the order in which they count: the region's values,
	 * secure.yaml, clouds.yaml, the profile. */
	struct {
		const struct yaml_file *file;
		int map;
	} at[4];
	unsigned n;
	bool env;      /* the environment in place of files */
	bool searched; /* clouds.yaml was found, not told */
	char *folder;  /* of clouds.yaml: paths in it are taken from there */
	const char *lost; /* a profile that is nowhere */
};

/* Which there are, by what the configuration has. `where` of the cloud is set. */
int layers_open(struct layers *l, struct reason *why);
void layers_close(struct layers *l);
/* NULL = nowhere. *rank, unless NULL: from 1, the smaller the earlier it counts. */
const char *layers_text(const struct layers *l, const struct field *field, unsigned *rank);
/* One name in files and one in the environment, for what is no string of struct cloud. */
const char *layers_word(const struct layers *l, enum place place, const char *yaml, const char *env);
/* The first region of `regions`, NULL = none. */
const char *layers_region(const struct layers *l);
/* What `regions` says of this one goes over all else. */
void layers_region_add(struct layers *l, const char *region);

/* NULL = unset or empty. */
const char *env_text(const char *name);
/* "~/x" and "x" as paths of their own. NULL: no memory. */
char *path_from(const char *folder, const char *path);
int cloud_no_memory(struct reason *why);

#endif
