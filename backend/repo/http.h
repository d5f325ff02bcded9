// SPDX-License-Identifier: Apache-2.0
/* What the files of the `http` kind share (private to them). */
#ifndef BACKEND_REPO_HTTP_H
#define BACKEND_REPO_HTTP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <fabricfs/repo.h>

#include "backend/repo/http_index.h"
#include "backend/repo/seen_files.h"
#include "backend/repo/transfer.h"
#include "backend/repo/url.h"

#define HTTP_DEPTH_MAX 16
#define HTTP_JOB_TRANSFERS 3 /* at once: pages of a listing. The peer's connections are for readers too */
#define HTTP_SUMS	"SHA256SUMS"

extern const struct repo_kind http_kind;

struct http_repo {
	const struct repo_config *config;
	struct transfer_peer *peer;
	/* Of who begins a listing: what says who asks, and why that could not be read when it was written. */
	struct seen_files files;
	struct reason unread;
	char base[URL_MAX]; /* of all ids; ends with a slash */
	char sums[URL_MAX]; /* of the checksums, "" = not asked for */
	bool sums_must;	    /* they were configured: there have to be some */
	char manifest[URL_MAX]; /* "" = index pages are read */
	unsigned depth;		/* of folders below the first */
	unsigned pages;		/* of a listing that are asked for at once */
	pthread_mutex_t lock;	/* of the jobs */
	atomic_bool shut_told;	   /* that a folder below is left out */
	atomic_bool nameless_told; /* that entries without a name are left out */
	atomic_bool head_refused; /* HEAD is answered with 405 or 501 there */
};

/* Before a listing: who asks is read again where its files have changed. Not for two threads at once. */
void http_look(struct http_repo *repo);

/*
 * Of one request of the mirror: the transfers that run for it now. The lock of the
 * repository guards them, and the `kind` of the mirror's request, which leads here
 * until done() is about to be called: who cancels is on another thread.
 */
struct http_job {
	struct http_repo *repo;
	void **kind;
	struct transfer *transfers[HTTP_JOB_TRANSFERS];
	bool cancelled;
};

void http_job_init(struct http_job *job, struct http_repo *repo, void **kind);
/* Start what comes next. -ECANCELED when it was cancelled meanwhile. */
int http_job_start(struct http_job *job, const struct transfer_request *request, struct reason *why);
/* Its transfer t is done. Called first in the transfer's done(). */
void http_job_done(struct http_job *job, const struct transfer *t);
/* All its transfers are to end, each with a done() of its own. */
void http_job_drop(struct http_job *job);
/* No cancel reaches it any more. Before the mirror's done(), or when it was not taken. */
void http_job_end(struct http_job *job);
/* What the mirror's request leads to, if anything still. */
void http_job_cancel(struct http_repo *repo, void **kind);

/* http_list.c */
int http_list(void *repo, struct repo_list *list, struct reason *why);
void http_list_cancel(void *repo, struct repo_list *list);

/* http_fetch.c */
int http_fetch(void *repo, struct repo_fetch *fetch, struct reason *why);
void http_fetch_cancel(void *repo, struct repo_fetch *fetch);
int http_stat(void *repo, struct repo_stat *stat, struct reason *why);
void http_stat_cancel(void *repo, struct repo_stat *stat);

#endif
