// SPDX-License-Identifier: Apache-2.0
/*
 * A folder as a repository (private to backend/repo/directory).
 *
 * It may be on a server that does not answer, and then a system call hangs for as
 * long as it likes. So each repository has two threads of its own, one that lists
 * and one that reads; one more thread, for all of them, watches over the calls that
 * they are in. A thread that has been in one for longer than offline-timeout is
 * given up for the requests that it has: the watcher answers them, with
 * EHOSTUNREACH, and also those that come while it still hangs. When its call comes
 * back, it finds that they are not its any more, and goes on with what came since.
 */
#ifndef BACKEND_REPO_DIRECTORY_FOLDER_H
#define BACKEND_REPO_DIRECTORY_FOLDER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include <fabricfs/repo.h>

struct hand;

/* A request. Under the lock of its folder but for what is said to be of the thread. */
struct job {
	struct job *next;
	struct hand *hand;
	struct repo_list *list;	  /* one of the two */
	struct repo_fetch *fetch;
	bool cancelled;
	bool taken;  /* a callback of it runs, or its thread is at work on it outside of calls */
	bool given_up; /* done() was called by the watcher; the thread only frees it */

	/* The thread's. */
	int fd;
	bool begun;
	uint64_t at, end; /* of the file */
	char validator[96]; /* that it had at the beginning */
};

/* One of the two threads of a folder. */
struct hand {
	struct folder *folder;
	pthread_t thread;
	bool started;
	bool ended; /* its thread looks at nothing here any more */
	pthread_cond_t wake;
	struct job *jobs, **jobs_end; /* waiting */
	struct job *now;   /* being worked on */
	int64_t call_ns;   /* since when it is in a system call (monotonic), 0 = it is not */
};

enum { HAND_LIST, HAND_READ, HANDS };

struct folder {
	struct folder *next; /* of all; the watcher's lock */
	const struct repo_config *config;
	const char *path;
	void (*changed)(void *arg); /* before any request; NULL: nobody wants to know */
	void *changed_arg;
	unsigned depth;
	pthread_mutex_t lock;
	bool quit;
	unsigned refs; /* its owner and its threads */
	struct hand hands[HANDS];
	struct repo_cost cost;
};

/* --- folder.c: threads ------------------------------------------------------------------- */

/* A thread that takes no signals. 0 or an errno. */
int folder_thread(pthread_t *thread, void *(*main)(void *), void *arg, const char *name);
/* Around calls that may hang; false: the job was given up or cancelled meanwhile, and is not to
 * be looked at any more but by job_over(). */
void call_begin(struct job *job);
bool call_end(struct job *job);

/* --- names.c: what is where ------------------------------------------------------------------ */

/* An id is the path below the folder, what is not printable or '%' or blank percent-encoded. */
bool id_encode(const char *path, char id[REPO_ID_MAX]);
bool id_decode(const char *id, char path[REPO_ID_MAX]);
/* Two stats with the same validator are of the same bytes. */
void validator_of(const struct stat *st, char out[96]);
/* An error that says nothing of whether the folder can be reached. */
bool is_of_this_machine(int err);
/* Open what is below the folder and nowhere else, whatever links say. fd or -errno. */
int open_beneath(int root, const char *path, int flags);

/* --- watch.c: what changes --------------------------------------------------------------------- */

void watch_start(void);
void watch_stop(void);
/* A folder that is listed; the descriptor may be closed afterwards. */
void watch_add(struct folder *folder, int dir);
void watch_forget(const struct folder *folder);

/* --- sums.c: SHA256SUMS ------------------------------------------------------------------------ */

#define SUMS_NAME "SHA256SUMS"
struct checksums; /* checksums.h */
/* Read those of the folder `prefix` from the descriptor of their file; *sums stays NULL where it has none. 0 or
 * -errno: what it says is not known. */
int sums_read(const struct folder *folder, const char *prefix, int fd, struct checksums **sums, struct reason *why);

/* --- list.c, fetch.c: on the threads ------------------------------------------------------------- */

/* 0 or -errno; -ECANCELED when call_end() said that it is over. */
int folder_list(struct folder *folder, struct job *job, struct reason *why);
/* One piece. 1: there is more, 0: that was all, or -errno. */
int folder_fetch(struct folder *folder, struct job *job, struct reason *why);

#endif
