// SPDX-License-Identifier: Apache-2.0
/*
 * The kind `http`: one listing. The checksums first (entries carry them), then the
 * manifest, or the index page and those of the folders below it, a few at once.
 * Pages are read as they come: none is kept, and which comes first changes nothing.
 *
 * When nothing has changed, two short answers say so: the cursor holds the
 * validators of the checksums and of the page, where both have one and there are
 * no further pages.
 */
#include "backend/repo/http.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/log.h>

#define SUMS_MAX    (64U << 20) /* bytes */
#define PAGE_MAX    (256U << 20)
#define FOLDERS_MAX 10000
#define TAG_MAX	    (REPO_ID_MAX / 2 - 2)
#define NO_SUMS	    "-" /* in the cursor: there were none */

enum page_form { PAGE_UNKNOWN, PAGE_HTML, PAGE_JSON, PAGE_NONE };

/* A page that is asked for, and then comes; the checksums take the place of the first. */
struct page {
	struct http_list *list;
	bool busy;
	size_t folder; /* where its own begins in the list's */
	char folder_path[URL_MAX];
	enum page_form form;
	char path[URL_MAX]; /* of its address */
	char url[URL_MAX];
	struct html_index html;
	struct json_index json;
};

struct http_list {
	struct http_job job;
	struct repo_list *list;
	bool conditional; /* is there anything new at all? */
	/* What the cursor says of the last time, and will say of this one. "" = cannot tell. */
	char sums_before[TAG_MAX], page_before[TAG_MAX];
	char sums_tag[TAG_MAX], page_tag[TAG_MAX];
	bool sums_same;
	bool sums_wanted; /* what comes is the checksums */
	struct checksums *sums;
	/* Folders to be asked: paths with a slash at the end, decoded, each ended by a NUL. */
	struct buf folders;
	size_t folder;	   /* where the next one begins in it */
	unsigned folders_len;
	struct page pages[HTTP_JOB_TRANSFERS];
	unsigned running; /* of them */
	/* The first that went wrong; the others are ended then. */
	int err;
	struct reason why;
};

static void page_start(struct http_list *l);

/* --- entries ------------------------------------------------------------------------- */

/* An id from a manifest's url: it has to stay below the repository's address. */
static int url_to_path(struct http_list *l, const char *url, struct buf *path, struct reason *why)
{
	char full[URL_MAX];
	size_t base = strlen(l->job.repo->base);
	int rc = url_resolve(l->job.repo->manifest, url, full, sizeof(full), why);

	if (rc < 0)
		return rc;
	if (strncmp(full, l->job.repo->base, base) != 0 || strpbrk(full + base, "?#") ||
	    !path_decode(path, full + base, strlen(full + base)) || path->len == 0)
		return reason_set(why, EBADMSG, "url %.200s is not below the repository's address", url);
	return 0;
}

/* "." and ".." lead elsewhere, and servers and libraries differ about where. */
static bool path_sound(const char *path)
{
	for (size_t n; *path; path += n + (path[n] == '/')) {
		n = strcspn(path, "/");
		if (n == 0 || (n == 1 && *path == '.') || (n == 2 && strncmp(path, "..", 2) == 0))
			return false;
	}
	return true;
}

static int folder_add(struct page *p, const struct index_entry *entry, struct reason *why)
{
	struct http_list *l = p->list;
	size_t depth = 0;

	for (const char *c = p->folder_path; *c; c++)
		depth += *c == '/';
	if (depth >= l->job.repo->depth)
		return 0;
	if (++l->folders_len >= FOLDERS_MAX)
		return reason_set(why, EBADMSG, "more than %d folders", FOLDERS_MAX);
	buf_adds(&l->folders, p->folder_path);
	buf_add(&l->folders, entry->name, entry->name_len);
	buf_add(&l->folders, "/", 2); /* its NUL too */
	return buf_ok(&l->folders) < 0 ? reason_set(why, ENOMEM, "no memory") : 0;
}

/* Two versions of one minute, of the same size as images of one part are, look the same in many index pages. */
static bool when_has_seconds(const char *when)
{
	const char *colon = strchr(when, ':');

	return colon && strchr(colon + 1, ':');
}

static void validator_make(const struct index_entry *entry, char validator[REPO_ID_MAX])
{
	bool exact = entry->has_size && !entry->size_rounded;

	validator[0] = 0;
	if (exact && entry->mtime_exact)
		snprintf(validator, REPO_ID_MAX, "m%" PRId64 "-%" PRIu64, entry->mtime_s, entry->size);
	else if (entry->when && *entry->when)
		snprintf(validator, REPO_ID_MAX, "%sh%s,%" PRIu64,
			 entry->mtime_exact || when_has_seconds(entry->when) ? "" : "~", entry->when,
			 entry->has_size ? entry->size : 0);
}

static int entry_give(struct http_list *l, const struct index_entry *entry, const struct buf *path,
		      struct reason *why)
{
	struct buf id CLEANUP_BUF = BUF_INIT;
	char validator[REPO_ID_MAX], hex[CHECKSUM_HEX];
	struct repo_entry out = {
		.name = entry->name, .name_len = entry->name_len, .rank = REPO_OWN, .data = REPO_DATA, .status = "",
		.has_size = entry->has_size, .size_rounded = entry->size_rounded, .size = entry->size,
		.mtime_ns = repo_time_ns(entry->mtime_s, 0), .digest_algo = entry->digest_algo, .digest = entry->digest,
		.validator = validator, .properties = entry->properties,
	};

	path_encode(&id, path->data, path->len, true);
	if (buf_ok(&id) < 0 || path->failed)
		return reason_set(why, ENOMEM, "no memory");
	if (id.len >= REPO_ID_MAX || !path_sound(path->data)) {
		log_debug("repository %s: a file is left out whose path nobody could ask for: %.200s",
			  l->job.repo->config->name, id.data);
		return 0;
	}
	out.id = id.data;
	if (!l->job.repo->manifest[0]) {
		out.name = path->data;
		out.name_len = path->len;
	} else if (out.name_len == 0) {
		out.name = path->data;
		out.name_len = path->len;
	}
	if (!out.digest && checksums_find(l->sums, path->data, &out.digest_algo, hex))
		out.digest = hex;
	validator_make(entry, validator);
	return l->list->entry(l->list, &out, why);
}

static int on_entry(void *core, const struct index_entry *entry, struct reason *why)
{
	struct page *p = core;
	struct http_list *l = p->list;
	struct buf path CLEANUP_BUF = BUF_INIT;
	int rc = 0;

	if (entry->folder)
		return folder_add(p, entry, why);
	if (entry->url) {
		rc = url_to_path(l, entry->url, &path, why);
	} else if (memchr(entry->name, 0, entry->name_len)) {
		return 0;
	} else {
		buf_adds(&path, p->folder_path);
		buf_add(&path, entry->name, entry->name_len);
	}
	return rc < 0 ? rc : entry_give(l, entry, &path, why);
}

/* --- what comes ---------------------------------------------------------------------- */

static bool answer_typed(const struct transfer_answer *answer, const char *word)
{
	const char *type = answer->header(answer, "Content-Type");

	return type && strcasestr(type, word);
}

static void page_init(struct page *p, enum page_form form)
{
	struct index_sink sink = { .entry = on_entry, .core = p };

	p->form = form;
	if (form == PAGE_HTML)
		p->html = (struct html_index){ .sink = sink, .page = p->path };
	else if (form == PAGE_JSON)
		json_index_init(&p->json, &sink, p->list->job.repo->manifest[0] != 0);
}

static void page_fini(struct page *p)
{
	if (p->form == PAGE_HTML)
		html_index_free(&p->html);
	else if (p->form == PAGE_JSON)
		json_index_free(&p->json);
	p->form = PAGE_NONE;
}

static int on_begin(struct transfer *t, void *core, const struct transfer_answer *answer, struct reason *why)
{
	struct page *p = core;
	struct http_list *l = p->list;

	(void)t;
	(void)why;
	text_copy(p->url, sizeof(p->url), answer->url);
	if (l->sums_wanted) {
		l->sums_same = answer->status == 304;
		if (answer->status == 200 && !answer_typed(answer, "text/html"))
			text_copy(l->sums_tag, sizeof(l->sums_tag), answer->validator);
		p->form = answer->status == 200 && (l->job.repo->sums_must || !answer_typed(answer, "text/html")) ?
			  PAGE_UNKNOWN : PAGE_NONE;
		checksums_free(l->sums);
		l->sums = p->form == PAGE_UNKNOWN ? checksums_new() : NULL;
		return p->form == PAGE_UNKNOWN && !l->sums ? reason_set(why, ENOMEM, "no memory") : 0;
	}
	if (answer->status != 200) {
		p->form = PAGE_NONE;
		return 0;
	}
	if (p->folder == 0)
		text_copy(l->page_tag, sizeof(l->page_tag), answer->validator);
	text_copy(p->path, sizeof(p->path), url_path(answer->url));
	p->path[strcspn(p->path, "?#")] = 0;
	/* What is behind the last slash is the page itself. */
	if (strrchr(p->path, '/'))
		strrchr(p->path, '/')[1] = 0;
	if (l->job.repo->manifest[0] || answer_typed(answer, "json"))
		page_init(p, PAGE_JSON);
	else
		page_init(p, answer_typed(answer, "html") ? PAGE_HTML : PAGE_UNKNOWN);
	return 0;
}

/* By its first letter, where nothing else says what it is. */
static int page_guess(struct page *p, const char *bytes, size_t n, struct reason *why)
{
	for (size_t i = 0; i < n; i++) {
		if (strchr(" \t\r\n", bytes[i]) && bytes[i])
			continue;
		if (bytes[i] == '<')
			page_init(p, PAGE_HTML);
		else if (bytes[i] == '[' || bytes[i] == '{')
			page_init(p, PAGE_JSON);
		else
			return reason_set(why, EBADMSG, "what came is no index of a folder, neither HTML nor JSON");
		return 0;
	}
	return 0;
}

static int located(const struct page *p, int rc, struct reason *why)
{
	char shown[URL_SHOWN_MAX];

	/* The mirror's own errors are not the server's. */
	if (rc != -EBADMSG)
		return rc;
	url_show(p->url, shown, sizeof(shown));
	return reason_wrap(why, "repository %s: %s", p->list->job.repo->config->name, shown);
}

static int on_data(struct transfer *t, void *core, const void *bytes, size_t n, struct reason *why)
{
	struct page *p = core;
	struct http_list *l = p->list;
	int rc = 0;

	(void)t;
	if (p->form == PAGE_NONE)
		return 0;
	if (l->sums_wanted)
		return checksums_feed(l->sums, bytes, n, why);
	if (p->form == PAGE_UNKNOWN)
		rc = page_guess(p, bytes, n, why);
	if (rc == 0 && p->form == PAGE_HTML)
		rc = html_index_feed(&p->html, bytes, n, why);
	else if (rc == 0 && p->form == PAGE_JSON)
		rc = json_index_feed(&p->json, bytes, n, why);
	return located(p, rc, why);
}

static bool page_room(void *core)
{
	struct repo_list *list = ((struct page *)core)->list->list;

	return !list->room || list->room(list);
}

/* --- from one request to the next -------------------------------------------------------- */

static void list_end(struct http_list *l, int err, bool unchanged, const struct reason *why)
{
	struct repo_list *list = l->list;
	const struct reason *unread = &l->job.repo->unread;
	struct reason own;
	bool can_tell = l->job.repo->depth == 0 && l->page_tag[0] && (!l->job.repo->sums[0] || l->sums_tag[0]);

	if (err == 0 && !unchanged) {
		list->cursor[0] = 0;
		if (can_tell)
			snprintf(list->cursor, sizeof(list->cursor), "%s\n%s", l->sums_tag, l->page_tag);
	}
	if (err == EACCES && unread->err) {
		reason_set(&own, err, "%s; its credentials were written since, and cannot be read: %s", why->text,
			   unread->text);
		why = &own;
	}
	http_job_end(&l->job);
	list->done(list, err, err == 0 && !unchanged, unchanged, why);
	for (unsigned i = 0; i < HTTP_JOB_TRANSFERS; i++)
		page_fini(&l->pages[i]);
	checksums_free(l->sums);
	buf_free(&l->folders);
	free(l);
}

/* Ends once nothing comes any more. */
static void list_fail(struct http_list *l, int err, const struct reason *why)
{
	if (l->err)
		return;
	l->err = err;
	l->why = *why;
	http_job_drop(&l->job);
}

static int sums_start(struct http_list *l, struct reason *why);

/* What comes before the pages of folders: one request, or the end when it does not start. */
static void go_on(struct http_list *l, int (*start)(struct http_list *l, struct reason *why))
{
	struct reason why = { 0 };
	int rc = start(l, &why);

	if (rc < 0)
		list_end(l, -rc, false, &why);
}

static int sums_take(struct http_list *l, int status, struct reason *why)
{
	int rc;

	if (!l->sums || !checksums_any(l->sums)) {
		text_copy(l->sums_tag, sizeof(l->sums_tag), l->sums_same ? l->sums_before : NO_SUMS);
		return l->job.repo->sums_must && status != 200 && status != 304 ?
		       reason_set(why, ENOENT, "there are no checksums (status %d)", status) : 0;
	}
	rc = checksums_end(l->sums, why);
	if (rc == -EBADMSG && !l->job.repo->sums_must) {
		log_debug("repository %s: %s: %s", l->job.repo->config->name, l->job.repo->sums, why->text);
		*why = (struct reason){ 0 };
		return 0;
	}
	return rc;
}

static void sums_done(struct transfer *t, void *core, int err, const struct transfer_answer *answer,
		      const struct reason *why)
{
	struct page *p = core;
	struct http_list *l = p->list;
	struct reason own = { 0 };
	int rc;

	http_job_done(&l->job, t);
	if (err)
		return list_end(l, err, false, why);
	rc = sums_take(l, answer->status, &own);
	if (rc < 0) {
		url_show(l->job.repo->sums, p->url, sizeof(p->url));
		reason_wrap(&own, "repository %s: %s", l->job.repo->config->name, p->url);
		return list_end(l, -rc, false, &own);
	}
	/* Other checksums: whatever the page says, it has to be read. */
	if (strcmp(l->sums_tag, l->sums_before) != 0)
		l->conditional = false;
	page_start(l);
}

static void add_condition(const char *tag, struct buf *line, const char *headers[static 3])
{
	if (!*tag || strcmp(tag, NO_SUMS) == 0)
		return;
	buf_addf(line, "%s: %s", *tag == '"' || *tag == 'W' ? "If-None-Match" : "If-Modified-Since", tag);
	headers[1] = buf_ok(line) == 0 ? line->data : NULL;
}

static int sums_start(struct http_list *l, struct reason *why)
{
	static const int there_or_not[] = { 304, 403, 404, 410, 0 };
	struct buf condition CLEANUP_BUF = BUF_INIT;
	const char *headers[3] = { "Accept: */*", NULL, NULL };
	struct transfer_request request = {
		.peer = l->job.repo->peer, .method = "GET", .url = l->job.repo->sums, .headers = headers,
		.also = there_or_not, .body_max = SUMS_MAX, .core = l->pages, .begin = on_begin, .data = on_data,
		.done = sums_done,
	};

	if (l->conditional)
		add_condition(l->sums_before, &condition, headers);
	l->sums_wanted = true;
	return http_job_start(&l->job, &request, why);
}

/* Once: it is in every listing. */
static void nameless_tell(const struct page *p)
{
	struct http_repo *repo = p->list->job.repo;
	char shown[URL_SHOWN_MAX];

	if (!p->json.nameless || atomic_exchange(&repo->nameless_told, true))
		return;
	url_show(p->url, shown, sizeof(shown));
	log_warn("repository %s: %s: entries without a name are left out (%" PRIu64 ")", repo->config->name, shown,
		 p->json.nameless);
}

/* What a server says of a file, or of a folder that it shows nobody, and what to do about it. */
static void page_fail(struct page *p, int err, int status, const struct reason *why)
{
	struct http_list *l = p->list;
	struct reason own = *why;

	if (p->folder == 0 && !l->job.repo->manifest[0] && status == 404)
		reason_set(&own, err, "%s; url has to be the address of a folder", why->text);
	else if (p->folder == 0 && !l->job.repo->manifest[0] && status == 403)
		reason_set(&own, err, "%s; does it show an index of this folder? A manifest can take its place",
			   why->text);
	list_fail(l, err, &own);
}

/* A folder below that is shown to nobody, or is gone by now, does not keep the others from being listed. */
static bool folder_is_shut(const struct page *p, int err)
{
	return p->folder && (err == EACCES || err == ENOENT);
}

static void pages_ask(struct http_list *l);

static void page_done(struct transfer *t, void *core, int err, const struct transfer_answer *answer,
		      const struct reason *why)
{
	struct page *p = core;
	struct http_list *l = p->list;
	struct reason own = { 0 };
	int rc = 0;

	http_job_done(&l->job, t);
	p->busy = false;
	l->running--;
	if (folder_is_shut(p, err)) {
		if (!atomic_exchange(&l->job.repo->shut_told, true))
			log_warn("%s; what is in there is left out", why->text);
		page_fini(p);
		return pages_ask(l);
	}
	if (!err && answer->status == 304) /* of the only page */
		return list_end(l, 0, true, why);
	if (err)
		page_fail(p, err, answer ? answer->status : 0, why);
	else if (p->form == PAGE_UNKNOWN) /* not one letter */
		rc = reason_set(&own, EBADMSG, "what came is no index of a folder but an empty page");
	else if (p->form == PAGE_HTML)
		rc = html_index_end(&p->html, &own);
	else if (p->form == PAGE_JSON)
		rc = json_index_end(&p->json, &own);
	if (!err && rc == 0 && p->form == PAGE_JSON)
		nameless_tell(p);
	rc = located(p, rc, &own);
	page_fini(p);
	if (rc < 0)
		list_fail(l, -rc, &own);
	pages_ask(l);
}

static int page_request(struct page *p, const struct transfer_request *request, struct reason *why)
{
	int rc;

	/* Before: its done() may have come, and freed the list, when this returns. */
	p->busy = true;
	p->list->running++;
	rc = http_job_start(&p->list->job, request, why);
	if (rc < 0) {
		p->busy = false;
		p->list->running--;
	}
	return rc;
}

/* The page of the next folder. */
static int page_ask(struct http_list *l, struct reason *why)
{
	static const int unchanged[] = { 304, 0 };
	struct http_repo *repo = l->job.repo;
	struct buf condition CLEANUP_BUF = BUF_INIT, url CLEANUP_BUF = BUF_INIT;
	const char *headers[3] = { "Accept: application/json, text/html;q=0.9, */*;q=0.1", NULL, NULL };
	struct page *p = l->pages;

	while (p->busy)
		p++;
	struct transfer_request request = {
		.peer = repo->peer, .method = "GET", .headers = headers, .body_max = PAGE_MAX, .core = p,
		.also = l->conditional ? unchanged : NULL, .begin = on_begin, .data = on_data, .room = page_room,
		.done = page_done,
	};

	p->folder = l->folder;
	text_copy(p->folder_path, sizeof(p->folder_path), l->folders.data + l->folder);
	l->folder += strlen(l->folders.data + l->folder) + 1;
	buf_adds(&url, repo->manifest[0] ? repo->manifest : repo->base);
	path_encode(&url, p->folder_path, strlen(p->folder_path), true);
	if (buf_ok(&url) < 0)
		return reason_set(why, ENOMEM, "repository %s: no memory", repo->config->name);
	request.url = url.data;
	if (l->conditional)
		add_condition(l->page_before, &condition, headers);
	l->sums_wanted = false;
	return page_request(p, &request, why);
}

/* As many as may come at once, or the end when none is left. */
static void pages_ask(struct http_list *l)
{
	while (!l->err && l->running < l->job.repo->pages && l->folder < l->folders.len) {
		struct reason why = { 0 };
		int rc = page_ask(l, &why);

		if (rc < 0)
			list_fail(l, -rc, &why);
	}
	if (!l->running)
		list_end(l, l->err, false, &l->why);
}

/* Unchanged checksums are not here: when the page has changed, they have to come again. */
static void page_again(struct http_list *l)
{
	l->conditional = false;
	l->folder = 0;
	go_on(l, sums_start);
}

static void conditional_done(struct transfer *t, void *core, int err, const struct transfer_answer *answer,
			     const struct reason *why)
{
	struct page *p = core;
	struct http_list *l = p->list;

	if (err != EAGAIN)
		return page_done(t, core, err, answer, why);
	http_job_done(&l->job, t);
	p->busy = false;
	l->running--;
	page_fini(p);
	page_again(l);
}

static int conditional_begin(struct transfer *t, void *core, const struct transfer_answer *answer,
			     struct reason *why)
{
	(void)t;
	((struct page *)core)->form = PAGE_NONE;
	return answer->status == 304 ? 0 : reason_set(why, EAGAIN, "it has changed");
}

static int conditional_ask(struct http_list *l, struct reason *why)
{
	static const int unchanged[] = { 304, 0 };
	struct http_repo *repo = l->job.repo;
	struct buf condition CLEANUP_BUF = BUF_INIT;
	const char *headers[3] = { "Accept: application/json, text/html;q=0.9, */*;q=0.1", NULL, NULL };
	struct transfer_request request = {
		.peer = repo->peer, .method = "GET", .headers = headers, .core = l->pages, .also = unchanged,
		.url = repo->manifest[0] ? repo->manifest : repo->base,
		.begin = conditional_begin, .data = on_data, .done = conditional_done,
	};

	add_condition(l->page_before, &condition, headers);
	l->folder = l->folders.len; /* the only one */
	return page_request(l->pages, &request, why);
}

static void page_start(struct http_list *l)
{
	/* Without checksums, a page that changed can be read at once. */
	if (l->conditional && l->sums_same)
		go_on(l, conditional_ask);
	else
		pages_ask(l);
}

int http_list(void *arg, struct repo_list *list, struct reason *why)
{
	struct http_repo *repo = arg;
	struct http_list *l = calloc(1, sizeof(*l));
	const char *end = strchr(list->cursor, '\n');
	int rc;

	if (!l)
		return reason_set(why, ENOMEM, "repository %s: no memory", repo->config->name);
	http_look(repo);
	http_job_init(&l->job, repo, &list->kind);
	l->list = list;
	for (unsigned i = 0; i < HTTP_JOB_TRANSFERS; i++) {
		l->pages[i].list = l;
		l->pages[i].form = PAGE_NONE;
	}
	buf_add(&l->folders, "", 1); /* the first */
	if (end && end - list->cursor < TAG_MAX && strlen(end + 1) < TAG_MAX && repo->depth == 0) {
		l->conditional = true;
		memcpy(l->sums_before, list->cursor, (size_t)(end - list->cursor));
		text_copy(l->page_before, sizeof(l->page_before), end + 1);
	}
	rc = buf_ok(&l->folders) < 0 ? reason_set(why, ENOMEM, "repository %s: no memory", repo->config->name) :
	     repo->sums[0] ? sums_start(l, why) : page_ask(l, why);
	if (rc < 0) {
		buf_free(&l->folders);
		http_job_end(&l->job);
		free(l);
	}
	return rc;
}

void http_list_cancel(void *repo, struct repo_list *list)
{
	http_job_cancel(repo, &list->kind);
}
