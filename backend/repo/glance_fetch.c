// SPDX-License-Identifier: Apache-2.0
/* Data of images from Glance: GET /v2/images/ID/file, with ranges. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <fabricfs/buf.h>

#include "backend/repo/glance.h"
#include "backend/repo/glance_page.h"

struct fetching {
	struct glance_op op; /* first */
	struct repo_fetch *fetch;
	uint64_t received; /* bytes of the range that the mirror has */
	bool begun;
};

static bool number(const char *text, uint64_t *value)
{
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && (!*end || *end == '\r' || *end == ' ');
}

/* How large the whole image is, as the answer tells. */
static void size_read(const struct transfer_answer *answer, struct repo_content *content)
{
	const char *range = answer->header(answer, "Content-Range");

	if (answer->status == 206) {
		const char *slash = range ? strchr(range, '/') : NULL;

		content->has_size = slash && number(slash + 1, &content->size);
	} else {
		content->has_size = number(answer->header(answer, "Content-Length"), &content->size);
	}
}

static int fetch_begin(struct transfer *t, void *core, const struct transfer_answer *answer,
		       struct reason *why)
{
	struct fetching *f = core;
	struct repo_fetch *fetch = f->fetch;
	struct repo_content content = { .validator = fetch->validator };
	const char *told = answer->header(answer, "Content-Md5");
	char md5[33];

	(void)t;
	if (answer->status == 204)
		return reason_set(why, ENODATA, "%s: the image has no data yet", answer->url);
	/* Glance tells the sum of the whole image, in hexadecimal, with each of its parts. */
	glance_validator_md5(fetch->validator, md5);
	if (*md5 && told && strlen(told) == 32 && strcasecmp(md5, told))
		return reason_set(why, ESTALE, "%s: the image is another one now (its MD5 is %s, it was %s)",
				  answer->url, told, md5);
	if (f->begun)
		return 0;
	size_read(answer, &content);
	/* As stores that have no ranges do: all of the image comes, whatever part is asked for. */
	content.whole_only = answer->status == 200 && (fetch->offset || fetch->length);
	f->begun = true;
	return fetch->begin(fetch, &content, why);
}

static int fetch_data(struct transfer *t, void *core, const void *bytes, size_t n,
		      struct reason *why)
{
	struct fetching *f = core;

	(void)t;
	f->received += n;
	f->op.renewed = false;
	return f->fetch->data(f->fetch, bytes, n, why);
}

static int fetch_send(struct glance_op *op, struct reason *why);

static void fetch_end(struct glance_op *op, int err, const struct reason *why)
{
	struct fetching *f = (struct fetching *)op;
	struct repo_fetch *fetch = f->fetch;

	free(f);
	fetch->done(fetch, err, why);
}

/* What Glance's statuses mean for data, where it is not what they mean elsewhere. */
static int fetch_judge(struct fetching *f, int err, int status, struct reason *why)
{
	const struct repo_fetch *fetch = f->fetch;
	const char *base = glance_op_base(&f->op);
	struct repo_content none = { .has_size = true, .validator = fetch->validator };

	if (status == 403)
		return reason_set(why, EACCES, "%s: the data of image %s are given to nobody now: it was "
				  "deactivated, or a policy forbids it (403)", base, fetch->id);
	if (status == 404)
		return reason_set(why, ENOENT, "%s: there is no image %s (404)", base, fetch->id);
	/* A range of an image without a byte. */
	if (status == 416 && !fetch->offset && !f->begun) {
		f->begun = true;
		return f->fetch->begin(f->fetch, &none, why);
	}
	return -err;
}

static void fetch_done(struct transfer *t, void *core, int err,
		       const struct transfer_answer *answer, const struct reason *why)
{
	struct fetching *f = core;
	const int status = answer ? answer->status : 0;
	struct reason room;

	(void)t;
	if (glance_op_done(&f->op, &err, status, &why, &room))
		return;
	if (err == EHOSTUNREACH && glance_op_elsewhere(&f->op))
		return;
	if (err) {
		struct reason judged = why ? *why : (struct reason){ 0 };

		err = -fetch_judge(f, err, status, &judged);
		glance_op_end(&f->op, err, &judged);
		return;
	}
	glance_op_end(&f->op, 0, NULL);
}

static int fetch_send(struct glance_op *op, struct reason *why)
{
	struct fetching *f = (struct fetching *)op;
	struct transfer_request request = {
		.offset = f->fetch->offset + f->received,
		.length = f->fetch->length ? f->fetch->length - f->received : 0,
		.begin = fetch_begin,
		.data = fetch_data,
		.done = fetch_done,
	};
	char path[320];

	snprintf(path, sizeof(path), "/v2/images/%s/file", f->fetch->id);
	return glance_op_get(op, path, &request, why);
}

int glance_fetch(void *repo, struct repo_fetch *fetch, struct reason *why)
{
	struct fetching *f;
	int err;

	if (!glance_id_good(fetch->id))
		return reason_set(why, ENOENT, "'%.64s' is no id of an image", fetch->id);
	f = calloc(1, sizeof(*f));
	if (!f)
		return reason_set(why, ENOMEM, "no memory for a request");
	f->fetch = fetch;
	f->op.g = repo;
	f->op.send = fetch_send;
	f->op.end = fetch_end;
	f->op.link = &fetch->kind;
	err = glance_op_begin(&f->op, why);
	if (err)
		free(f);
	return err;
}

void glance_fetch_cancel(void *repo, struct repo_fetch *fetch)
{
	glance_op_cancel(repo, &fetch->kind);
}
