// SPDX-License-Identifier: Apache-2.0
/*
 * A repository from the inside (private to fs/remote).
 *
 * One thread for all of them, the mirror's, begins listings, takes over their ends
 * and answers who waits; the thread of a kind names the entries that it brings, and one of
 * the store's writes them. A lock each guards what several look at; no callback, no request and no
 * work of the store's is done under it.
 */
#ifndef FS_REMOTE_REPO_H
#define FS_REMOTE_REPO_H

#include <pthread.h>

#include "fs/remote/mirror.h"

struct repo {
	const struct config_repo *config;
	void *handle; /* of its kind */

	/* The mirror's thread; the listing that is running: also its kind's thread. */
	struct catalogue_repo row;
	struct repo_list list;
	struct catalogue_update *update;
	uint64_t number;      /* of the listing that is running, or ran last */
	bool full;	      /* all was asked for */
	unsigned listed;      /* entries that came */
	int64_t began_ns, began_mono_ns;
	/* The same as row.full_ns and row.doubt_ns where these are not 0, by the clock that nobody sets. */
	int64_t full_mono_ns, doubt_mono_ns;
	struct reason failed; /* of writing down what came */
	int64_t renamed_mono_ns; /* when a name last went to another image; 0 = never */
	bool open_changed;    /* of the listing: an image that somebody has open is another, or gone */
	bool doubt_told;      /* who asked for a listing was told that it is doubted */

	pthread_mutex_t lock;
	/* lock */
	struct repo_state state;
	bool listing;	      /* one is running */
	bool wanted;	      /* another one is to begin */
	bool wanted_full;
	bool ended;	      /* the running one is done, to be taken over */
	int ended_err;
	bool ended_all, ended_unchanged;
	struct reason ended_why;
	uint64_t next;	      /* number of the next listing to begin */
	bool patience_over;   /* who waited for a first answer did so in vain */
	int64_t listed_mono_ns; /* when the last one began that ended; 0 = none did */
	int64_t again_mono_ns;	/* when it is asked by itself; 0 = not */
	struct repo_wait *waits; /* for listings */
	bool changed;	      /* its kind has heard of a change */
	int64_t changed_due_ns; /* when it is asked for that; monotonic, 0 = not */
	int64_t listing_ns;   /* how long the last listing took */
	int64_t ended_mono_ns; /* and when it ended */
	int64_t sizes_again_ns;	 /* until then no exact sizes are asked for (monotonic; size.c's lock) */
	/* What repo_told() was told, to be noted by the mirror's thread. */
	bool told;
	int told_err;
	struct reason told_why;
	struct reason told_wrong; /* the same of an error that it answered with; err 0 = none */
};

/* --- mirror.c ---------------------------------------------------------------------------- */

/* Have the mirror's thread look. Any thread. */
void mirror_kick(void);
void mirror_tell(const struct repo *repo, unsigned what);
/* True: somebody has it open. */
bool mirror_tell_entry(uint64_t repo, uint64_t entry, unsigned version);

/* --- origin.c -------------------------------------------------------------------------------- */

/* Some of it is. */
bool entry_is_cached(uint64_t entry);
/* What its repository said of an image when it was asked for that alone. */
void entry_told(uint64_t entry, unsigned version, const struct repo_content *now);

/* --- size.c ---------------------------------------------------------------------------------- */

/* Those are answered that do not want to wait any more; *next: lowered to when the next one will not. The
 * mirror's thread. */
void sizes_work(int64_t *next);
/* Every request is ended, and no other begun; false: one is left behind. */
bool sizes_stop(void);

/* --- listing.c (the mirror's thread) --------------------------------------------------------- */

/* Begin a listing, or tell at once what kept it from that (as an end). */
void listing_begin(struct repo *repo, bool full);
/* Take over what it came to. */
void listing_end(struct repo *repo);

/* --- state.c (the mirror's thread) ------------------------------------------------------------- */

/* Online, or offline with err EHOSTUNREACH; an event where that is new. `row` is not saved. */
void state_reach(struct repo *repo, int err, const struct reason *why);
void state_error(struct repo *repo, const char *sentence);
void state_save(struct repo *repo);

#endif
