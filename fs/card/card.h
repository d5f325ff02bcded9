// SPDX-License-Identifier: Apache-2.0
/*
 * A card from the inside (private to fs/card and the active files).
 *
 * One actor thread a card: it alone calls the backend, edits the view and
 * commits to the store. Slots that have nothing in common (card.h, slot_open)
 * have an actor each, and the card's own is left with what is about all of it.
 * Others queue jobs to the actor that drives the slot (slot->actor). What FUSE
 * threads and actors share is guarded by card->lock, which is never held over
 * I/O, a reply or a notification; uploads have their own lock (upload.h), taken
 * before it. view_lock guards which view is the present one, edit_lock who is
 * making the next (taken before view_lock).
 */
#ifndef FS_CARD_CARD_H
#define FS_CARD_CARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "fs/card/cards.h"

struct upload;
struct slot_wait;
struct io_call;
struct slot;
struct card;

/* Something for the actor to do. Embedded in what it is about; the actor calls
 * run() once, which frees it. `end` is set when the card is being closed: then
 * run() must answer whoever waits (ECANCELED) and do nothing else. */
struct job {
	struct job *next;
	void (*run)(struct card *card, struct job *job, bool end);
};

/* A thread, and what it is alone in touching. */
struct actor {
	struct card *card;
	struct slot *slot; /* the card itself, with all slots that have no actor of their own; or a slot */
	struct card_host host;
	pthread_t thread;
	int wake_fd;       /* eventfd: jobs, wake() and interrupts */
	int cancel_fd;     /* eventfd: readable ends the run in progress */
	atomic_bool taken_up; /* it was asked what it has, or could not be */

	/* card->lock */
	struct job *jobs, **jobs_end;
	bool ending;       /* no new jobs; set by cards_stop */

	/* this thread only */
	void *handle;      /* the backend's card, or its slot; NULL while offline */
	bool fresh;        /* the holder is starting: the policy restore applies */
	bool last;         /* the end is the end of fabricfs, not of this worker */

	/* set by this thread, looked at by the main one */
	_Atomic int64_t retry_ns;  /* offline: when to try open again (monotonic) */
	atomic_bool unresolved;    /* a worker died while programming; its request should come again */
	_Atomic int64_t unresolved_ns;
};

/* What a command, run or upload belongs to: the card itself (index -1) or one of its slots. */
struct slot {
	struct card *card;
	struct actor *actor; /* who drives it */
	int index;
	char name[32];       /* for people: dev0, or dev0/slots/1 */

	/* card->lock */
	struct upload *uploads;   /* open for writing, and temporaries */
	struct upload *writer[2]; /* the upload that has bytes: of image, of check */
	unsigned commands;        /* ctl commands queued or running */
	bool running;             /* the backend is being driven for this slot */
	struct who commander;     /* who gave the last of them */
	struct slot_wait *waits;  /* for a writer that is just closing (busy.h) */
	char proven[SHA256_HEX];  /* the image whose kept bytes are known to be good (kept.h) */
	bool refused[2];          /* somebody was, for who is at image or ctl now, or at check */
	bool command_stopped;     /* somebody ended the command before its turn came */
	struct program_stats stats;
	int64_t run_times[16];    /* for max-per-minute, a ring of the last runs (monotonic ns; 0 = none) */
	unsigned run_at;

	_Atomic int64_t busy_ns;  /* when `error` last began or ended to name who it is, 0 = never */
	_Atomic int phase;
	_Atomic uint64_t done, total;
	_Atomic unsigned io_ready; /* CARD_ENDPOINT_BITs, as the backend said last */
	_Atomic uint64_t load;     /* same as in the view, for quick comparisons */

	/* actor only */
	struct store_slot row;
	bool unrecorded;    /* row names an image that the store does not: its blob is held */
	struct io_call *io; /* submitted to the backend, not yet done */
	bool run_told;      /* slot_program() came to a result that is recorded, */
	bool run_refused;   /* or it was refused before the card was touched, recorded too */
	uid_t uid;
	gid_t gid;
	mode_t mode;
};

struct telemetry_wait {
	struct telemetry_wait *next;
	void (*done)(void *arg, int err);
	void *arg;
	int64_t deadline_ns; /* CLOCK_MONOTONIC */
};

struct card {
	unsigned dev;
	char key[160]; /* recognition key */
	const struct config *config;
	const struct config_card *card_config;
	const struct card_backend *backend;
	struct store *store;
	_Atomic bool forgotten;

	pthread_mutex_t lock;
	struct telemetry_wait *waits;
	bool telemetry_queued;
	bool hot;         /* above max-temp-celsius, and told so (actor only) */
	int64_t watch_ns; /* when the temperature is looked at next (main thread only) */

	pthread_mutex_t edit_lock, view_lock;
	struct card_view *view;

	struct actor actor;
	struct actor *slot_actors; /* one a slot, or NULL: the card's own drives them all */
	struct slot self;
	struct slot *slots;
	unsigned slots_len;
};

/* --- actor.c ---------------------------------------------------------------------- */

/* The descriptors; before anything is posted. */
int actor_init(struct actor *actor, struct card *card, struct slot *slot);
int actor_start(struct actor *actor);
/* Queue; false when the actor is ending (the job was not taken). Any thread. */
bool actor_post(struct actor *actor, struct job *job);
/* Wake the actor without a job (an io was interrupted). Any thread. */
void actor_wake(struct actor *actor);
/* Ends the run in progress, if any: program() sees cancel_fd. Any thread. */
void actor_cancel(struct actor *actor);
/* No new jobs: it does what is queued and what runs, and is done. Any thread. */
void actor_end(struct actor *actor, bool last);
/* All actors of a card: the card's own, then those of its slots. NULL: there are no more. */
struct actor *card_actor(struct card *card, unsigned nth);

/* --- view.c (actors only, or main before them) --------------------------------------- */

/* A copy of the present view to be changed; NULL: no memory. It has to be published, and soon:
 * the card's other actors wait for that. */
struct card_view *view_edit(struct card *card);
struct slot_view *view_slot(struct card_view *view, int slot);
/* The state shown now. Any thread. */
enum state slot_state(const struct slot *slot);
/* `what`: CHANGE_* bits told to the listener, for `slot`. */
void view_publish(struct card *card, struct card_view *view, int slot, unsigned what);
void view_free(struct card_view *view);
void card_changed(int dev, int slot, unsigned what);
/* The state of a word; STATE_UNKNOWN for others. */
enum state state_parse(const char *word);
/* A time for mtime: now, but later than the one before. */
int64_t mtime_after(int64_t before);
/* Set state and error; publishes. error NULL: leave. */
void slot_show(struct slot *slot, enum state state, const char *error);
/* Of a card with slots, on any actor: what was wrong with the card itself is over. */
void card_error_over(struct card *card);
/* Take over what row and backend say: loaded/, endpoints, words. */
void slot_show_loaded(struct slot *slot, enum state state, const char *error,
		      const struct loaded *loaded);
void slot_progress(struct slot *slot, enum phase phase, uint64_t done, uint64_t total);
struct slot *card_slot(struct card *card, int index); /* NULL: no such slot */

/* --- records.c ------------------------------------------------------------------------ */

/* One record of events and history. "" and 0 are left out. */
struct record {
	const char *event;
	int err; /* result */
	const char *reason;
	const char *sha256;
	uint64_t size;
	const struct image_facts *facts; /* format part design; may be NULL */
	const char *source;
	const struct who *who; /* may be NULL: fabricfs itself */
	int64_t duration_ms;   /* -1 = not timed */
	uint64_t run;          /* the request, if it may come again; 0 */
	bool done;             /* to the card; else it may not use the room that is kept for those */
};
/* Commit row (may be NULL) and record together and wake followers. Actor. */
int slot_record(struct slot *slot, const struct store_slot *row, const struct record *record,
		struct reason *why);
/* When this slot was programmed since then because somebody wanted it, by its history: at most
 * max times into `times`; how many. */
unsigned slot_runs_since(struct slot *slot, int64_t since_ns, int64_t *times, unsigned max);

/* --- loaded.c -------------------------------------------------------------------------- */

/* JSON of loaded/ with the image's facts, for the store; caller frees. */
char *loaded_json(const struct loaded *loaded, const struct image_facts *facts);
int loaded_parse(const char *json, struct loaded *loaded, struct image_facts *facts);
/* What is loaded is so no more: it becomes the one that rollback means, unless it is the new
 * one itself. new_sha256 "": nothing takes its place. Actor. */
void row_push_previous(struct store_slot *row, const char *new_sha256);

/* --- program.c (actor only) --------------------------------------------------------------- */

/* One attempt at programming a slot. */
struct attempt {
	const char *event; /* "programmed" or "rolled-back" */
	const char *note;  /* told as `reason` of a success ("restored after a start"): then no
			      request asked for it; NULL */
	const char *error; /* shown after a success (of the failure that was rolled back); NULL = "" */
	uint64_t run;      /* card_run.id */
	int fd;
	uint64_t size;
	char sha256[SHA256_HEX];
	struct image_facts facts;
	char name[256];
	char source[320];
	const struct who *who;
	int64_t mtime_ns;  /* as its writer set it; 0 = the time of programming */
	uint64_t spool;    /* spool file that becomes the blob; 0 = the blob is there */
	bool internal;     /* of the store, not of an upload: no skip-identical */
};
/* So that max-per-minute outlives a worker: before the actor starts. */
void slot_rate_load(struct slot *slot);
/* All of it: policy, accept, program, confirm, commit, publish. 0 or -errno. */
int slot_program(struct slot *slot, struct attempt *attempt, struct reason *why);
/* Program a blob again (reload, rollback, restore). json: of loaded/ as stored. */
int slot_program_blob(struct slot *slot, const char *sha256, const char *json, const char *event,
		      const char *note, const char *error, uint64_t run, const struct who *who,
		      struct reason *why);
/* Was this run done by a worker that died before it could answer? Then slot_run_again() gives
 * its result, and finishes what belongs to it. */
bool slot_run_done(const struct slot *slot, uint64_t run);
int slot_run_again(struct slot *slot, const struct who *who, struct reason *why);
/* Around what drives the backend for a request: others are refused, and `stop` reaches it. */
void slot_run_begin(struct slot *slot);
void slot_run_end(struct slot *slot);
/* Forget a stop that was for another run. */
void slot_cancel_clear(struct slot *slot);
/* Is the image for this slot, as far as facts and policy say? Any thread. */
int slot_suits(struct slot *slot, const struct image_facts *facts, struct reason *why);
/* The policy `repositories` (source_policy.c): 0, -EPERM. source: as of loaded/source, "" = it is not known;
 * digest: of the bytes, "" = none is known. Any thread; reads the catalogue. */
int slot_takes_source(const struct slot *slot, const char *source, const char *algo, const char *digest,
		      struct reason *why);
/* Does it let images of this repository pass? Any thread. */
bool card_takes_repository(const struct card *card, const char *name);
/* Do they tell anything in common, beside the format? That nothing speaks against an image is
 * little without it. Any thread. */
bool slot_compared(struct slot *slot, const struct image_facts *facts);
/* Refused before the card was touched: error and history, nothing else. run: of the request, if
 * only the record tells that this was done; 0. */
void slot_refuse(struct slot *slot, const char *event, const struct reason *why,
		 const struct image_facts *facts, const char *sha256, uint64_t size,
		 const struct who *who, uint64_t run);
/* Cancel what waits in io/: the design goes away. */
void slot_io_stale(struct slot *slot);

/* --- start.c (actor only) -------------------------------------------------------------------- */

/* Reach what the actor drives, compare what it has with the store, restore. */
void actor_take_up(struct actor *actor);
/* The event alert of the card as a whole; err 0: of something good (the card's actor). */
void card_alert(struct card *card, int err, const char *reason);
/* After a power cut or replug. */
void actor_lost(struct actor *actor, const struct reason *why);
/* The card is there and says that something is wrong with it. */
void actor_alert(struct actor *actor, const struct reason *why);
void actor_gone(struct actor *actor, const struct reason *why);
void actor_resolve(struct actor *actor);

/* --- telemetry.c ------------------------------------------------------------------------------ */
/* Ask the card now (actor): positive errno or 0. */
int telemetry_read(struct card *card);
/* Let the actor read them, though nobody waits for it. Any thread. */
void telemetry_post(struct card *card);
/* Expire waits; returns ns until the next deadline or -1. Main thread. */
int64_t telemetry_expire(struct card *card, int64_t now);

/* --- temperature.c ------------------------------------------------------------------------ */

/* The policy max-temp-celsius: 0, -EPERM (too hot, or no temperature is told), or -errno of
 * asking (the slot's actor). */
int temperature_check(struct slot *slot, struct reason *why);
/* "; NAME is VALUE" of what is hottest, "" if nothing tells a temperature. Any thread. */
void temperature_text(struct card *card, char *text, size_t size);
/* After each reading: tell an alert when it crossed the limit (the card's actor). */
void temperature_watch(struct card *card);
/* Have it read now and then. Nanoseconds until the next time, or -1 (main thread). */
int64_t temperature_due(struct card *card, int64_t now);

/* --- attribute.c ------------------------------------------------------------------------------ */
/* Take over what the backend says (actor). */
void attributes_show(struct slot *slot);

/* --- blobs ------------------------------------------------------------------------------------ */
/* Between hold and release no blob is trimmed: a blob may exist that no row names yet. */
void blobs_hold(void);
void blobs_release(struct store *store);

/* What this actor drives was taken up, or could not be. Any actor of the card. */
void cards_taken_up(struct actor *actor);
/* Ask main for a tick soon: a deadline came up. Any thread. */
void cards_kick(void);

#endif
