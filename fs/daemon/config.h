// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration file fabricfs.yaml as structures (DESIGN section 5).
 * Read whole before mounting and again by each worker; never changed after.
 */
#ifndef FS_DAEMON_CONFIG_H
#define FS_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <fabricfs/card.h>
#include <fabricfs/error.h>
#include <fabricfs/repo.h>

/* Who may write. owner/group: a name or a number as text; "" = not said. */
struct config_access {
	char owner[64], group[64];
	int mode; /* permission bits, -1 = not said */
};

/* Three-valued switches: -1 = not said, the default decides. */
struct config_policy {
	char **formats;           /* NULL-terminated, NULL = any */
	char **repositories;
	char **digests;
	char **signers;
	int require_signature;
	int accept_unsized;
	int skip_identical;
	int on_failure_rollback;  /* 1 when on-failure: rollback */
	int restore;
	int force_bound;
	int64_t max_per_minute;   /* 0 = no limit, at most CONFIG_PER_MINUTE_MAX */
	double max_temp_celsius;  /* 0 = no limit */
	int64_t lease_expiry_ms;  /* 0 = never */
};

/* As many runs as the core remembers the times of. */
#define CONFIG_PER_MINUTE_MAX 16

struct config_card {
	struct card_config card;          /* what its backend sees */
	char *backend;
	char **match;                     /* pairs key, text; NULL = none */
	struct config_access access;
	struct config_policy policy;
	unsigned line;                    /* where it stands in the file, 0 = made by --sim */
};

struct config_repo {
	struct repo_config repo;          /* what its kind sees */
	const struct repo_kind *kind;
	unsigned line;                    /* where it stands in the file */
};

struct conf_memory;

struct config {
	char *file;                       /* NULL = no file was read */
	struct config_access access;
	struct config_card *cards;
	size_t cards_len;
	int64_t telemetry_max_age_ms;     /* default 1000 */
	int64_t upload_timeout_ms;        /* default 600000 */
	struct config_repo *repos;        /* in the order of the file */
	size_t repos_len;
	int64_t cache_quota;              /* bytes */
	int64_t cache_connect_timeout_ms, cache_offline_timeout_ms;
	char *root_sys, *root_dev, *root_configfs, *root_firmware;
	struct conf_memory *memory;       /* owns every text in here */
};

/*
 * Read `file` (NULL: only defaults). On a fault -EINVAL and the sentence
 * "FILE:LINE: unknown key 'colr', the nearest known one is 'color'" or the like;
 * -ENOENT/-EACCES when it cannot be read. What is known but does nothing yet
 * (kinds of repositories, match, some policies) is refused with a sentence rather than
 * ignored. Main thread.
 */
int config_load(const char *file, struct config **config, struct reason *why);
/* Add n simulated cards sim0.. (names not taken yet), or one when the
 * configuration has none and n is -1. Checks every card with its backend
 * and every repository with its kind; -EINVAL and "FILE:LINE: card 'NAME': ..." otherwise. Once, after config_load. */
#define CONFIG_CARDS_MAX 4096
#define CONFIG_REPOS_MAX 256
int config_finish(struct config *config, int sim, struct reason *why);
/* NULL is fine. */
void config_free(struct config *config);

/*
 * `fabricfs check-config [FILE]`; argv[0] is the word before the options.
 * Prints "FILE: N cards", ", N repositories" if there are any, and returns 0, or 1 and the reason on stderr, 2 usage.
 */
int check_config_main(int argc, char **argv);

#endif
