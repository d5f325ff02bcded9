// SPDX-License-Identifier: Apache-2.0
/*
 * The mirror: repositories of images as the tree sees them. What they list is in
 * the store's catalogue (catalogue.h) and read from there; this is about asking
 * them: when, what came of it, and who waits for it.
 *
 * Repositories are those of the configuration, from mirror_open() to the end of
 * the process; each has a row of the catalogue, whose number is its node's.
 *
 * Threads: any, unless said otherwise; nothing here waits for a repository.
 */
#ifndef FS_REMOTE_MIRROR_H
#define FS_REMOTE_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/daemon/config.h"

#include <fabricfs/buf.h>
#include <fabricfs/catalogue.h>
#include <fabricfs/error.h>
#include <fabricfs/store.h>

struct repo;

/* Have the kinds read their certificates and credentials. Main thread, while it has the rights
 * that fabricfs was started with; nobody is asked. */
int mirror_open(const struct config *config, struct reason *why);
/* Notes which repositories are not configured any more, and forgets those that have not been for long.
 * When nothing is open yet; after mirror_open(). */
int mirror_absent(struct store *store, struct reason *why);
/* Rows of the catalogue, threads; then listings that are due begin, which all are that are fresh (not taken
 * over from a worker that ended). Main thread, after mirror_listen(). */
int mirror_start(struct store *store, bool fresh, struct reason *why);
/* Everybody who waits is answered, every request ended, at most 2 s; also without a start. False:
 * not every thread came back, as repo_kinds_stop() says. Main thread; no request of the mount comes
 * any more. */
bool mirror_stop(void);

/*
 * What changed: of a repository (bits), or its entry of that row and version (then `what`
 * is 0: what the kernel keeps of that node is old; true: and somebody has it open, so that
 * the kernel is told what it was). Told from the mirror's threads,
 * without a lock. Once, before mirror_start().
 */
enum mirror_change {
	MIRROR_STATE = 1,   /* online or offline, the time or the reason */
	MIRROR_ERROR = 2,
	MIRROR_LISTING = 4, /* images came, changed or went */
	MIRROR_EVENT = 8,   /* there is a new record of no card */
};
void mirror_listen(bool (*changed)(uint64_t repo, unsigned what, uint64_t entry, unsigned version));

/*
 * For so long may the kernel believe that a name is of the image that it was told. Nothing
 * takes that back, so who asked for a listing in which a name went to another image, or to other
 * bytes of one that is open, hears of its end when nobody can have the old one any more.
 */
#define MIRROR_NAME_MS 1000

/* In the order of the configuration. */
unsigned mirror_count(void);
struct repo *mirror_nth(unsigned i);
struct repo *mirror_find(uint64_t id);		  /* by its row; NULL: there is none */
struct repo *mirror_named(const char *name);	  /* NULL: there is none */

uint64_t repo_id(const struct repo *repo);
const char *repo_name(const struct repo *repo);
const struct repo_config *repo_config(const struct repo *repo);
/* For requests of one's own; their results are to be told by repo_told(). */
const struct repo_kind *repo_kind(const struct repo *repo);
void *repo_handle(const struct repo *repo);
struct store *mirror_store(void);
const struct config *mirror_config(void);

struct repo_state {
	bool answered;	  /* it ever listed its images */
	bool asked;	  /* it was ever found to be online or offline */
	bool online;
	int64_t since_ns; /* that; 0 = it was not asked yet */
	char reason[REASON_MAX]; /* why it is offline */
	char error[REASON_MAX];  /* of the last listing, "" = it went well */
	int64_t error_ns; /* when that last changed */
	int64_t listed_ns; /* when the listing that is shown began; 0 = never */
	int64_t changed_ns; /* when it last brought a change */
	uint64_t images;
	uint64_t listings, failed; /* since this worker started */
};
void repo_state_get(struct repo *repo, struct repo_state *state);

/* Somebody looks at the listing: if it is older than its maximum age, it is asked for, behind him. */
void repo_looked(struct repo *repo);

/*
 * Somebody who waits. done() is called once, on a thread of the mirror's and without
 * a lock, with 0 or a positive errno (EINTR after repo_wait_end(); ECANCELED at the
 * end); it frees what it belongs to. Zeroed by its owner but for done, arg and unasked.
 */
struct repo_wait {
	struct repo_wait *next;
	void (*done)(struct repo_wait *wait, int err);
	void *arg;
	uint64_t number;     /* of the listing that it waits for */
	int64_t deadline_ns; /* monotonic, 0 = none */
	bool unasked;	     /* in: fabricfs wants to know, nobody who would hear of a doubt */
	int64_t answer_ns;   /* it is over, and to be answered then, with err */
	int err;
	bool ended;
};
/* For a whole listing that begins from now on. */
void repo_refresh(struct repo *repo, struct repo_wait *wait);
/* For the first listing of a repository that has never answered, if that is being asked and for
 * offline-timeout at most. False: there is nothing to wait for, and done() is not called. */
bool repo_wait_first(struct repo *repo, struct repo_wait *wait);
/* It is not wanted any more: done() follows soon. Called while it waits. */
void repo_wait_end(struct repo *repo, struct repo_wait *wait);

/*
 * For the exact size of an image whose listing tells none, or a rounded one; then it is in the
 * catalogue, or cannot be learnt now, which is no error. False: there is nothing to wait for, and
 * done() is not called.
 */
bool repo_wait_size(struct repo *repo, const struct catalogue_entry *entry, struct repo_wait *wait);
/*
 * For whether what is cached of an image is still what is there, where its listing cannot tell: once
 * after each listing, when somebody opens it. As repo_wait_size().
 */
bool repo_wait_version(struct repo *repo, const struct catalogue_entry *entry, struct repo_wait *wait);
/* As repo_wait_end(), of both. */
void repo_wait_size_end(struct repo_wait *wait);

/*
 * What a request came to that somebody else made: the repository is online after any
 * answer, and offline when err (positive, or 0) is EHOSTUNREACH. What it did wrong
 * otherwise is its error, until a listing goes well.
 */
void repo_told(struct repo *repo, int err, const struct reason *why);

/* --- names.c ----------------------------------------------------------------------- */

/* The name of an entry for the file system (DESIGN section 4): at most 255 bytes. */
void entry_name(const struct repo_entry *entry, char out[CATALOGUE_NAME_MAX]);
/* By a name of a folder, also <name>@<id> and @<id>; 0, -ENOENT or -errno. */
int entry_find(struct store *store, uint64_t repo, const char *name, struct catalogue_entry *out,
	       struct reason *why);
/* Does the name say which entry is meant, whatever others come? */
bool name_has_id(const char *name, const struct catalogue_entry *entry);

/* --- facts.c ------------------------------------------------------------------------ */

/* JSON of what an image's properties say of it (image_facts_parse), the caller frees; NULL: nothing. */
char *facts_of_properties(const char *const *properties);

#endif
