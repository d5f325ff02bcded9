// SPDX-License-Identifier: Apache-2.0
/* Online or offline, and since when; told as events and kept in the catalogue. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/remote/repo.h"

#include <fabricfs/clock.h>
#include <fabricfs/log.h>

static void event(struct repo *repo, int err, const char *reason)
{
	int64_t now = clock_now_ns();
	struct reason why = { 0 };
	char *json CLEANUP_FREE = NULL, time[RFC3339_MAX];
	json_t *o = json_object();

	clock_rfc3339(now, time);
	json_object_set_new(o, "time", json_string(time));
	json_object_set_new(o, "repo", json_string(repo_name(repo)));
	json_object_set_new(o, "event", json_string(err ? "repo-offline" : "repo-online"));
	json_object_set_new(o, "result", json_string(errno_name(err)));
	if (*reason)
		json_object_set_new(o, "reason", json_string(reason));
	json = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(o);

	struct store_record record = { .time_ns = now, .dev = -1, .slot = -1, .json = json };

	if (!json || store_record_add(mirror_store(), &record, NULL, &why))
		log_warn("repository %s: its event is not kept: %s", repo_name(repo), json ? why.text : "no memory");
}

/* What JSON and a file of one line can hold. */
static void sentence_copy(char out[REASON_MAX], const char *text)
{
	struct buf clean CLEANUP_BUF = BUF_INIT;

	text_clean(text, &clean);
	text_copy(out, REASON_MAX, clean.data);
}

/* A kind's sentence may begin with whose it is, as the line of the log does. */
static const char *unnamed(const struct repo *repo, const char *sentence)
{
	char front[300];
	size_t n = (size_t)snprintf(front, sizeof(front), "repository %s: ", repo_name(repo));

	return n < sizeof(front) && !strncmp(sentence, front, n) ? sentence + n : sentence;
}

void state_reach(struct repo *repo, int err, const struct reason *why)
{
	bool offline = err == EHOSTUNREACH, changed, first = !repo->row.since_ns;
	unsigned what = MIRROR_STATE;
	char reason[REASON_MAX] = "";

	if (offline)
		sentence_copy(reason, why && why->text[0] ? why->text : "no connection could be made");
	changed = first || offline != repo->row.offline;
	if (!changed && !strcmp(reason, repo->row.reason))
		return;
	repo->row.offline = offline;
	if (changed)
		repo->row.since_ns = clock_now_ns();
	text_copy(repo->row.reason, sizeof(repo->row.reason), reason);

	pthread_mutex_lock(&repo->lock);
	repo->state.asked = true;
	repo->state.online = !offline;
	repo->state.since_ns = repo->row.since_ns;
	text_copy(repo->state.reason, sizeof(repo->state.reason), reason);
	pthread_mutex_unlock(&repo->lock);

	/* That it answers at first is no news. */
	if (changed && (offline || !first)) {
		event(repo, offline ? EHOSTUNREACH : 0, reason);
		what |= MIRROR_EVENT;
		if (offline)
			log_warn("repository %s is offline: %s", repo_name(repo), unnamed(repo, reason));
		else
			log_info("repository %s is online again", repo_name(repo));
	}
	mirror_tell(repo, what);
}

void state_error(struct repo *repo, const char *sentence)
{
	char text[REASON_MAX];

	sentence_copy(text, sentence);
	if (!strcmp(text, repo->row.error))
		return;
	text_copy(repo->row.error, sizeof(repo->row.error), text);
	pthread_mutex_lock(&repo->lock);
	text_copy(repo->state.error, sizeof(repo->state.error), text);
	repo->state.error_ns = clock_now_ns();
	pthread_mutex_unlock(&repo->lock);
	mirror_tell(repo, MIRROR_ERROR);
	/* That it is offline was told. */
	if (*text && strcmp(text, repo->row.reason) != 0)
		log_warn("repository %s: %s", repo_name(repo), unnamed(repo, text));
}

void state_save(struct repo *repo)
{
	struct reason why = { 0 };

	if (catalogue_repo_save(mirror_store(), &repo->row, &why))
		log_warn("repository %s: %s", repo_name(repo), why.text);
}
