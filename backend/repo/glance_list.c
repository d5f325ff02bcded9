// SPDX-License-Identifier: Apache-2.0
/*
 * Listings of Glance: GET /v2/images, page after page.
 *
 * What is listed beside the usual (hidden, community, not yet accepted) needs
 * requests of its own: a listing is one or more passes over pages. A marker
 * whose image was deleted meanwhile is refused; then the pass begins again, and
 * the mirror is told some images twice.
 *
 * A cursor is "2 <passes> <time> <region>". The time is the greatest updated_at
 * that was seen, or a minute before the listing began on the server's own clock
 * when that is later, but never in that clock's future. It is given back with
 * some overlap, as the server compares whole seconds. What was deleted or is not
 * shown any more, such a listing does not tell.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

#include "backend/repo/cloud.h"
#include "backend/repo/glance.h"
#include "backend/repo/glance_page.h"

#define PAGE	     1000 /* images; servers give no more */
#define PAGE_MAX     (256 << 20) /* bytes */
#define RESTARTS_MAX 3
#define IMAGES_MAX   2000000 /* of one listing: what has more does not end */
#define EMPTY_MAX    64 /* pages in a row that have nothing but a successor */
/* More pages than this have to have so many images each, on average: no server gives so few at a time. */
#define PAGES_FREE   1000
#define PAGE_LEAST   10
#define NS_PER_S     1000000000LL
#define OVERLAP_NS   (2 * NS_PER_S)
/* How much later than on the clock of `Date` an image may have been changed on the clock of updated_at. */
#define SETTLED_NS   (60 * NS_PER_S)

struct listing {
	struct glance_op op; /* first */
	struct repo_list *list;
	struct glance_page page;
	char *path; /* of the present page */
	char *next; /* after it */
	unsigned pass; /* a bit of GLANCE_..., or GLANCE_USUAL */
	unsigned passes; /* still to come */
	unsigned restarts, empty;
	/* A chain of pages that leads back to itself is noticed by a page kept from before (Brent). */
	char *kept;
	uint64_t pages, keep_at;
	uint64_t all_pages; /* of all passes */
	size_t on_page; /* images */
	uint64_t told, left_out;
	struct reason left_out_why; /* of the first */
	int64_t since_ns; /* 0 = all */
	int64_t newest_ns, date_ns;
};

/* --- cursors ---------------------------------------------------------------------------- */

static int64_t date_read(const char *text)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = { 0 };
	char month[4] = "";
	const char *at;
	time_t seconds;

	/* RFC 9110, 5.6.7: the one form that servers send. */
	if (!text || sscanf(text, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &tm.tm_mday, month, &tm.tm_year,
			    &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return 0;
	at = strstr(months, month);
	if (!at || strlen(month) != 3 || (at - months) % 3 || tm.tm_year < 1970)
		return 0;
	tm.tm_mon = (int)(at - months) / 3;
	tm.tm_year -= 1900;
	seconds = timegm(&tm);
	return seconds > 0 ? (int64_t)seconds * NS_PER_S : 0;
}

/* Without a cursor that fits, all is listed. */
static void cursor_read(struct listing *l)
{
	struct glance *g = l->op.g;
	long long seconds = 0;
	unsigned passes = 0;
	int at = 0;

	if (sscanf(l->list->cursor, "2 %u %lld %n", &passes, &seconds, &at) != 2 || !at ||
	    passes != g->listed || seconds <= 0 || seconds > INT64_MAX / NS_PER_S - 10)
		return;
	if (!g->region_known)
		g->region_known = text_copy(g->region, sizeof(g->region), l->list->cursor + at);
	if (!strcmp(g->region, l->list->cursor + at))
		l->since_ns = seconds * NS_PER_S - OVERLAP_NS;
}

static void cursor_write(struct listing *l)
{
	const int64_t settled_ns = l->date_ns > SETTLED_NS ? l->date_ns - SETTLED_NS : 0;
	int64_t until_ns = l->newest_ns > settled_ns ? l->newest_ns : settled_ns;

	if (l->date_ns && until_ns > l->date_ns)
		until_ns = l->date_ns;
	/* Nothing was seen, and no clock either: the old one stays good. */
	if (!until_ns && l->since_ns)
		until_ns = l->since_ns + OVERLAP_NS;
	if (until_ns)
		snprintf(l->list->cursor, sizeof(l->list->cursor), "2 %u %lld %s", l->op.g->listed,
			 (long long)(until_ns / NS_PER_S), l->op.g->region);
	else
		l->list->cursor[0] = '\0';
}

/* --- pages -------------------------------------------------------------------------------- */

/* The first page of a pass; NULL = no memory. */
static char *pass_path(const struct listing *l)
{
	static const struct {
		unsigned pass;
		const char *query;
	} queries[] = {
		{ GLANCE_USUAL, "" },
		{ GLANCE_PUBLIC, "&visibility=public" },
		{ GLANCE_PRIVATE, "&visibility=private" },
		{ GLANCE_SHARED, "&visibility=shared" },
		{ GLANCE_COMMUNITY, "&visibility=community" },
		{ GLANCE_HIDDEN, "&os_hidden=true" },
		{ GLANCE_PENDING, "&visibility=shared&member_status=pending" },
	};
	const char *query = "";
	char since[64] = "", *path;
	struct tm tm;
	time_t seconds = (time_t)(l->since_ns / NS_PER_S);

	for (unsigned i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
		if (queries[i].pass == l->pass)
			query = queries[i].query;
	if (l->since_ns && gmtime_r(&seconds, &tm))
		strftime(since, sizeof(since), "&updated_at=gte:%Y-%m-%dT%H:%M:%SZ", &tm);
	return asprintf(&path, "/v2/images?limit=%d%s%s", PAGE, query, since) < 0 ? NULL : path;
}

/* Of the passes still to come; false = there is none. */
static bool pass_next(struct listing *l)
{
	if ((l->passes & GLANCE_USUAL) == GLANCE_USUAL)
		l->pass = GLANCE_USUAL;
	else
		l->pass = l->passes & -l->passes;
	l->passes &= ~l->pass;
	return l->pass != 0;
}

static void page_go(struct listing *l, char *path)
{
	free(l->path);
	l->path = path;
	free(l->next);
	l->next = NULL;
}

/* `next` as a path below the endpoint, which may have a path of its own. NULL = it leads elsewhere. */
static const char *next_path(const struct listing *l)
{
	const char *base = glance_op_base(&l->op), *next = l->next;
	const char *host = strstr(base, "://") + 3;
	const char *prefix = strchr(host, '/');
	size_t origin = prefix ? (size_t)(prefix - base) : strlen(base);

	if (!strncmp(next, base, origin) && next[origin] == '/')
		next += origin;
	if (prefix && !strncmp(next, prefix, strlen(prefix)) && next[strlen(prefix)] == '/')
		next += strlen(prefix);
	if (strncmp(next, "/v2/images?", 11))
		return NULL;
	for (const char *c = next; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '#')
			return NULL;
	return next;
}

static int bad_next(const struct listing *l, struct reason *why, const char *what)
{
	return reason_set(why, EBADMSG, "%s: the next page of the listing %s", glance_op_base(&l->op), what);
}

/* After a whole page. *more = there is another to be sent for. */
static int page_after(struct listing *l, bool *more, struct reason *why)
{
	const char *path = l->next ? next_path(l) : NULL;
	char *copy = NULL;

	*more = true;
	l->left_out += l->page.left_out;
	l->empty = l->on_page ? 0 : l->empty + 1;
	if (!l->next) {
		free(l->kept);
		l->kept = NULL;
		l->restarts = l->empty = 0;
		l->pages = l->keep_at = 0;
		*more = pass_next(l);
		copy = *more ? pass_path(l) : NULL;
		if (*more && !copy)
			return reason_set(why, ENOMEM, "no memory for a listing");
		page_go(l, copy);
		return 0;
	}
	if (!path)
		return bad_next(l, why, "is at another address");
	if (l->all_pages++ >= PAGES_FREE && l->told / PAGE_LEAST < l->all_pages)
		return bad_next(l, why, "is one more of too many with next to nothing on them");
	if (strlen(path) > 4096)
		return bad_next(l, why, "has too long an address");
	if (l->empty > EMPTY_MAX || !strcmp(path, l->path) || (l->kept && !strcmp(path, l->kept)))
		return bad_next(l, why, "leads back to where it was");
	copy = strdup(path);
	if (copy && l->pages++ >= l->keep_at) {
		free(l->kept);
		l->kept = strdup(path);
		l->keep_at = 2 * l->pages;
	}
	if (!copy || !l->kept) {
		free(copy);
		return reason_set(why, ENOMEM, "no memory for a listing");
	}
	page_go(l, copy);
	return 0;
}

/* --- one page ------------------------------------------------------------------------------- */

static int record(void *core, const char *text, size_t len, struct reason *why)
{
	struct listing *l = core;
	struct glance_record r;
	struct reason fault = { 0 };
	int err = glance_record_read(&r, text, len, l->op.session->project_id, &fault);

	l->on_page++;
	if (err == -EBADMSG) {
		/* Somebody's strange image does not hide all others. */
		if (!l->left_out++)
			l->left_out_why = fault;
		err = 0;
	} else if (err == -ENOENT) {
		err = 0;
	} else if (!err && ++l->told > IMAGES_MAX) {
		err = reason_set(why, EBADMSG, "%s: the listing has more than %d images", glance_op_base(&l->op),
				 IMAGES_MAX);
	} else if (!err) {
		if (r.updated_ns > l->newest_ns)
			l->newest_ns = r.updated_ns;
		err = l->list->entry(l->list, &r.entry, why);
	}
	glance_record_free(&r);
	return err;
}

static int list_begin(struct transfer *t, void *core, const struct transfer_answer *answer,
		      struct reason *why)
{
	struct listing *l = core;

	(void)t;
	(void)why;
	/* Also when the page is sent again: what it tells twice does no harm. */
	glance_page_free(&l->page);
	glance_page_init(&l->page, record, l);
	l->on_page = 0;
	if (!l->date_ns)
		l->date_ns = date_read(answer->header(answer, "Date"));
	return 0;
}

static int list_data(struct transfer *t, void *core, const void *bytes, size_t n,
		     struct reason *why)
{
	struct listing *l = core;
	int err;

	(void)t;
	l->op.renewed = false;
	err = glance_page_feed(&l->page, bytes, n, why);
	if (err == -EBADMSG && why)
		err = reason_wrap(why, "%s", glance_op_base(&l->op));
	return err;
}

static void list_end(struct glance_op *op, int err, const struct reason *why)
{
	struct listing *l = (struct listing *)op;
	struct repo_list *list = l->list;
	const bool all = !l->since_ns, unchanged = !all && !l->told;
	bool told;

	if (!err) {
		pthread_mutex_lock(&op->g->lock);
		cursor_write(l);
		/* The same ones every minute are told once. */
		told = l->left_out <= op->g->left_out;
		if (all)
			op->g->left_out = l->left_out;
		pthread_mutex_unlock(&op->g->lock);
		if (!told)
			log_warn("repository %s: %" PRIu64 " images are left out, for their records: %s",
				 op->g->name, l->left_out,
				 l->left_out_why.text[0] ? l->left_out_why.text : "they are too long");
	}
	glance_page_free(&l->page);
	free(l->path);
	free(l->next);
	free(l->kept);
	free(l);
	list->done(list, err, all, !err && unchanged, why);
}

static void list_done(struct transfer *t, void *core, int err, const struct transfer_answer *answer,
		      const struct reason *told)
{
	struct listing *l = core;
	const int status = answer ? answer->status : 0;
	struct reason room, why = { 0 };
	bool more = false;

	(void)t;
	if (glance_op_done(&l->op, &err, status, &told, &room))
		return;
	if (err == EHOSTUNREACH && glance_op_elsewhere(&l->op))
		return;
	if (err == EHOSTUNREACH)
		keystone_forget(l->op.g->keystone, l->op.session);
	if (status == 400 && strstr(l->path, "marker=") && l->restarts++ < RESTARTS_MAX) {
		char *path = pass_path(l);

		err = path ? 0 : ENOMEM;
		if (path) {
			page_go(l, path);
			glance_op_next(&l->op);
			return;
		}
	}
	if (err && told)
		why = *told;
	if (err == ENOENT || (err == ESTALE && status))
		err = -reason_set(&why, EREMOTEIO, "%s: there is no image service (%d)",
				  glance_op_base(&l->op), status);
	if (!err)
		err = -glance_page_end(&l->page, &l->next, &why);
	if (!err)
		err = -page_after(l, &more, &why);
	if (more && !err)
		glance_op_next(&l->op);
	else
		glance_op_end(&l->op, err, &why);
}

static int list_send(struct glance_op *op, struct reason *why)
{
	struct listing *l = (struct listing *)op;
	struct transfer_request request = {
		.body_max = PAGE_MAX,
		.begin = list_begin,
		.data = list_data,
		.done = list_done,
	};

	return glance_op_get(op, l->path, &request, why);
}

int glance_list(void *repo, struct repo_list *list, struct reason *why)
{
	struct glance *g = repo;
	struct listing *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return reason_set(why, ENOMEM, "no memory for a listing");
	l->list = list;
	l->op.g = g;
	l->op.send = list_send;
	l->op.end = list_end;
	l->op.link = &list->kind;
	l->passes = g->listed;
	keystone_look(g->keystone, g->config);
	pthread_mutex_lock(&g->lock);
	cursor_read(l);
	pthread_mutex_unlock(&g->lock);
	(void)pass_next(l);
	l->path = pass_path(l);
	err = l->path ? glance_op_begin(&l->op, why) : reason_set(why, ENOMEM, "no memory for a listing");
	if (err) {
		free(l->path);
		free(l);
	}
	return err;
}

void glance_list_cancel(void *repo, struct repo_list *list)
{
	glance_op_cancel(repo, &list->kind);
}
