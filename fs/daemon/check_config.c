// SPDX-License-Identifier: Apache-2.0
/* `fabricfs check-config [FILE]`: is the configuration usable, and if not, where not. */
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/daemon/config.h"

#include <fabricfs/cache.h>

#define DEFAULT_FILE "/etc/fabricfs/fabricfs.yaml"

static int usage(FILE *out, int status)
{
	fprintf(out, "usage: fabricfs check-config [FILE]\n"
		     "Says whether FILE (" DEFAULT_FILE ") can be used: exit 0, or 1 and the line\n"
		     "and the reason. What it says of this machine and is not so here is told.\n"
		     "Nothing is touched, and nobody is asked.\n");
	return status;
}

/* A name that this machine does not know (a number needs no name) is no fault, as
 * the file may be for another one; but here the mount would go by its default. */
static void access_check(const char *file, const char *whose, const struct config_access *access)
{
	const char *owner = access->owner, *group = access->group;

	if (owner[strspn(owner, "0123456789")] && !getpwnam(owner))
		fprintf(stderr, "%s: access%s: this machine has no user %s; "
			"the files would belong to who mounts\n", file, whose, owner);
	if (group[strspn(group, "0123456789")] && !getgrnam(group))
		fprintf(stderr, "%s: access%s: this machine has no group %s; "
			"the files would belong to group 0\n", file, whose, group);
}

static void accesses_check(const char *file, const struct config *config)
{
	access_check(file, "", &config->access);
	for (size_t i = 0; i < config->cards_len; i++) {
		char whose[80];

		snprintf(whose, sizeof(whose), " of card '%s'", config->cards[i].card.name);
		access_check(file, whose, &config->cards[i].access);
	}
}

/* As well files of this machine, which the mount would not be without: certificates, passwords, clouds.yaml. */
static void repositories_check(const char *file, const struct config *config)
{
	if (config->repos_len && config->cache_quota < (int64_t)CHUNK_SIZE)
		fprintf(stderr, "%s: cache: a quota of %lld bytes holds no part of an image; is its unit missing "
			"(20GiB)?\n", file, (long long)config->cache_quota);
	for (size_t i = 0; i < config->repos_len; i++) {
		const struct config_repo *repo = &config->repos[i];
		struct reason why = { 0 };
		void *handle;

		if (repo->kind->open(&repo->repo, &handle, &why))
			fprintf(stderr, "%s:%u: repository '%s': %s; here it would not be mounted\n", file,
				repo->line, repo->repo.name, why.text);
		else
			repo->kind->close(handle);
	}
}

int check_config_main(int argc, char **argv)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' }, { 0 } };
	struct config *config = NULL;
	struct reason why = { 0 };
	const char *file;
	int c, err;

	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
		return c == 'h' ? usage(stdout, 0) : usage(stderr, 2);
	if (argc - optind > 1)
		return usage(stderr, 2);
	file = optind < argc ? argv[optind] : DEFAULT_FILE;
	err = config_load(file, &config, &why);
	if (!err)
		err = config_finish(config, 0, &why);
	if (err) {
		fprintf(stderr, "fabricfs: %s\n", why.text);
	} else {
		accesses_check(file, config);
		repositories_check(file, config);
		printf("%s: %zu card%s", file, config->cards_len, config->cards_len == 1 ? "" : "s");
		if (config->repos_len)
			printf(", %zu repositor%s", config->repos_len, config->repos_len == 1 ? "y" : "ies");
		putchar('\n');
	}
	config_free(config);
	return err ? 1 : 0;
}
