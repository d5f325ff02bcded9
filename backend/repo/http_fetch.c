// SPDX-License-Identifier: Apache-2.0
/* The kind `http`: one range of an image, and what a server says of one without its bytes. */
#include "backend/repo/http.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct http_fetch {
	struct http_job job; /* first: a transfer's core is either */
	struct repo_fetch *fetch;
	char url[URL_MAX];
};

struct http_stat {
	struct http_job job;
	struct repo_stat *stat;
	char url[URL_MAX];
	char validator[REPO_ID_MAX];
	struct repo_content content;
	bool by_range; /* HEAD was refused: one byte is asked for instead */
};

static int url_make(const struct http_repo *repo, const char *id, char url[URL_MAX], struct reason *why)
{
	int n = snprintf(url, URL_MAX, "%s%s", repo->base, id);

	return n > 0 && n < URL_MAX ? 0 : reason_set(why, ENAMETOOLONG, "repository %s: %.80s...: the address is too long",
						     repo->config->name, id);
}

static bool is_etag(const char *validator)
{
	return validator[0] == '"' || strncmp(validator, "W/\"", 3) == 0;
}

/* What the answer says of the image; validator is the caller's room for it. */
static struct repo_content content_of(const struct transfer_answer *answer, char validator[REPO_ID_MAX])
{
	const char *modified = answer->header(answer, "Last-Modified");
	const char *etag = answer->header(answer, "ETag");
	int64_t seconds = modified ? time_parse(modified) : 0;

	validator[0] = 0;
	if (etag && is_etag(etag) && strlen(etag) < REPO_ID_MAX)
		text_copy(validator, REPO_ID_MAX, etag);
	else if (seconds && answer->has_total)
		snprintf(validator, REPO_ID_MAX, "m%" PRId64 "-%" PRIu64, seconds, answer->total);
	return (struct repo_content){ .has_size = answer->has_total, .size = answer->total, .validator = validator,
				      .mtime_ns = repo_time_ns(seconds, 0) };
}

/* The bytes are of another image than the one asked for: a time and a size can say that too. */
static int version_check(const struct http_fetch *f, const struct transfer_answer *answer,
			 const struct repo_content *content, struct reason *why)
{
	const char *modified = answer->header(answer, "Last-Modified");
	int64_t seconds;
	uint64_t size;
	int end = 0;

	if (sscanf(f->fetch->validator, "m%" SCNd64 "-%" SCNu64 "%n", &seconds, &size, &end) != 2 ||
	    f->fetch->validator[end])
		return 0;
	if ((content->has_size && content->size != size) ||
	    (modified && content->mtime_ns && content->mtime_ns != repo_time_ns(seconds, 0)))
		return reason_set(why, ESTALE, "it was replaced: %" PRIu64 " bytes of %s now, and %" PRIu64
				  " when it was listed", content->size, modified ? modified : "an unknown time", size);
	return 0;
}

/* A page in place of an image is a login, or a proxy's excuse; unless it was compared with what
 * was listed, and is the same. */
static bool is_page(const struct http_fetch *f, const struct transfer_answer *answer,
		    const struct repo_content *content, bool same)
{
	const char *type = answer->header(answer, "Content-Type");
	const char *id = f->fetch->id;
	bool compared = is_etag(f->fetch->validator) ||
			(f->fetch->validator[0] == 'm' && content->has_size && content->mtime_ns);
	size_t n = strlen(id);

	return type && strncasecmp(type, "text/html", 9) == 0 && !(compared && same) &&
	       !(n >= 5 && strcasecmp(id + n - 5, ".html") == 0) && !(n >= 4 && strcasecmp(id + n - 4, ".htm") == 0);
}

static int fetch_begin(struct transfer *t, void *core, const struct transfer_answer *answer, struct reason *why)
{
	struct http_fetch *f = core;
	char validator[REPO_ID_MAX], shown[URL_SHOWN_MAX];
	struct repo_content content = content_of(answer, validator);
	int rc;

	(void)t;
	content.whole_only = answer->status == 200 && (f->fetch->offset || f->fetch->length);
	rc = version_check(f, answer, &content, why);
	if (is_page(f, answer, &content, rc == 0))
		rc = reason_set(why, EBADMSG, "a page (text/html) came instead of an image");
	if (rc < 0) {
		url_show(answer->url, shown, sizeof(shown));
		return reason_wrap(why, "repository %s: GET %s", f->job.repo->config->name, shown);
	}
	return f->fetch->begin(f->fetch, &content, why);
}

static int fetch_data(struct transfer *t, void *core, const void *bytes, size_t n, struct reason *why)
{
	struct http_fetch *f = core;

	(void)t;
	return f->fetch->data(f->fetch, bytes, n, why);
}

static void fetch_done(struct transfer *t, void *core, int err, const struct transfer_answer *answer,
		       const struct reason *why)
{
	struct http_fetch *f = core;

	(void)answer;
	http_job_done(&f->job, t);
	http_job_end(&f->job);
	f->fetch->done(f->fetch, err, why);
	free(f);
}

int http_fetch(void *arg, struct repo_fetch *fetch, struct reason *why)
{
	struct http_repo *repo = arg;
	struct http_fetch *f = calloc(1, sizeof(*f));
	struct transfer_request request = {
		.peer = repo->peer, .method = "GET", .offset = fetch->offset, .length = fetch->length,
		.validator = is_etag(fetch->validator) ? fetch->validator : NULL, .core = f,
		.begin = fetch_begin, .data = fetch_data, .done = fetch_done,
	};
	int rc;

	if (!f)
		return reason_set(why, ENOMEM, "repository %s: no memory", repo->config->name);
	f->fetch = fetch;
	http_job_init(&f->job, repo, &fetch->kind);
	rc = url_make(repo, fetch->id, f->url, why);
	request.url = f->url;
	if (rc == 0)
		rc = http_job_start(&f->job, &request, why);
	if (rc < 0) {
		http_job_end(&f->job);
		free(f);
	}
	return rc;
}

void http_fetch_cancel(void *repo, struct repo_fetch *fetch)
{
	http_job_cancel(repo, &fetch->kind);
}

/* --- stat -------------------------------------------------------------------------- */

static int stat_start(struct http_stat *s, struct reason *why);

static int stat_begin(struct transfer *t, void *core, const struct transfer_answer *answer, struct reason *why)
{
	struct http_stat *s = core;

	(void)t;
	(void)why;
	if (answer->status >= 200 && answer->status < 300)
		s->content = content_of(answer, s->validator);
	return 0;
}

static void stat_done(struct transfer *t, void *core, int err, const struct transfer_answer *answer,
		      const struct reason *why)
{
	struct http_stat *s = core;
	struct reason again = { 0 };
	int rc = -err;

	http_job_done(&s->job, t);
	if (err == 0 && !s->by_range && (answer->status == 405 || answer->status == 501)) {
		atomic_store(&s->job.repo->head_refused, true);
		rc = stat_start(s, &again);
		if (rc == 0)
			return;
		why = &again;
	}
	http_job_end(&s->job);
	s->stat->done(s->stat, -rc, rc == 0 ? &s->content : NULL, why);
	free(s);
}

static int stat_start(struct http_stat *s, struct reason *why)
{
	static const int refusals[] = { 405, 501, 0 };

	s->by_range = atomic_load(&s->job.repo->head_refused);
	struct transfer_request request = {
		.peer = s->job.repo->peer, .method = s->by_range ? "GET" : "HEAD", .url = s->url,
		.length = s->by_range ? 1 : 0, .also = s->by_range ? NULL : refusals, .core = s,
		.begin = stat_begin, .done = stat_done,
	};

	return http_job_start(&s->job, &request, why);
}

int http_stat(void *arg, struct repo_stat *stat, struct reason *why)
{
	struct http_repo *repo = arg;
	struct http_stat *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return reason_set(why, ENOMEM, "repository %s: no memory", repo->config->name);
	s->stat = stat;
	http_job_init(&s->job, repo, &stat->kind);
	rc = url_make(repo, stat->id, s->url, why);
	if (rc == 0)
		rc = stat_start(s, why);
	if (rc < 0) {
		http_job_end(&s->job);
		free(s);
	}
	return rc;
}

void http_stat_cancel(void *repo, struct repo_stat *stat)
{
	http_job_cancel(repo, &stat->kind);
}
