// SPDX-License-Identifier: Apache-2.0
/*
 * copy_file_range from remote/ to a card (remote_file.h): by reference. What is not
 * here yet is fetched while the call waits, its first bytes first, so that an image for
 * another part is refused after one small chunk; then the whole of it is hashed and matched
 * with its repository's digest, and becomes the content of the upload. The close that
 * follows validates and programs it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/card/upload.h"
#include "fs/daemon/session.h"
#include "fs/remote/origin.h"
#include "fs/tree/call.h"
#include "fs/tree/node.h"
#include "fs/tree/remote_file.h"

#include <fabricfs/buf.h>
#include <fabricfs/image.h>
#include <fabricfs/log.h>

#define HEAD_BYTES CHUNK_SIZE
/* As much as the kernel can be told at once that was copied: its answer has 32 bits. Of a larger image it asks for
 * the rest, as it does for whoever copies in smaller pieces. */
#define REFERENCE_MAX (UINT64_C(0xfffff000))

struct copy {
	struct content_wait wait;
	struct call *call;
	struct request request;
	struct content *content;
	struct origin *origin;
	struct upload *u;
	uint64_t len; /* that the caller asked for */
};

static void copy_free(struct copy *copy)
{
	content_put(copy->content);
	origin_put(copy->origin);
	upload_put(copy->u);
	free(copy);
}

/* Takes the call; err positive or 0. */
static void copy_end(struct copy *copy, int err, uint64_t copied)
{
	struct call *call = copy->call;

	call->size = (size_t)copied;
	if (err)
		upload_unclaim(copy->u);
	copy_free(copy);
	call_done_write(call, errno_public(err));
}

/* The sentence is in `error` and history before the writer hears of it. */
static void copy_refused(struct copy *copy, const struct image_facts *facts, const struct reason *why)
{
	struct call *call = copy->call;
	struct upload *u = copy->u;
	bool fresh;
	int err;

	remote_refused(fuse_req_ctx(call->req)->pid, content_id(copy->content));
	err = upload_refuse(u, facts, &fresh, why);
	if (!fresh) {
		copy_end(copy, -err, 0);
		return;
	}
	request_set(&copy->request);
	upload_judge(u, JUDGE_REFUSAL, false, session_id() + copy->request.unique, call_done_err, call);
	request_set(NULL);
	copy_free(copy);
}

static uint64_t piece_of(uint64_t size, uint64_t off, uint64_t len)
{
	uint64_t n = size - off < len ? size - off : len;

	return n < REFERENCE_MAX ? n : REFERENCE_MAX;
}

/* All of it is here, and is what it should be. */
static void copy_whole(struct copy *copy)
{
	char sha256[SHA256_HEX], source[320];
	char *json CLEANUP_FREE = NULL;
	struct image_facts facts;
	struct reason why = { 0 };
	uint64_t size, n;
	bool fresh, known;
	int err;

	if (!content_is_whole(copy->content, sha256, &size)) {
		copy_end(copy, ESTALE, 0);
		return;
	}
	n = piece_of(size, 0, copy->len);
	if (cache_content_facts(cards_store(), content_id(copy->content), &json, &why))
		log_debug("copy: %s", why.text);
	known = json && !image_facts_parse(json, &facts);
	source_of_origin(copy->origin, source, sizeof(source));
	err = upload_reference(copy->u, sha256, n, known ? &facts : NULL, source, &fresh, &why);
	if (err && fresh) {
		struct call *call = copy->call;

		request_set(&copy->request);
		upload_judge(copy->u, JUDGE_REFUSAL, false, session_id() + copy->request.unique, call_done_err, call);
		request_set(NULL);
		copy_free(copy);
		return;
	}
	copy_end(copy, -err, n);
}

/* --- waiting for it ------------------------------------------------------------------------------- */

static bool copy_progress(struct content_wait *wait, uint64_t done, uint64_t total)
{
	struct copy *copy = (struct copy *)wait;

	upload_progress(copy->u, PHASE_RECEIVING, done, total);
	/* Somebody wrote `upload` to stop. */
	return !(upload_bits(copy->u) & UPLOAD_ENDED);
}

static void copy_interrupted(fuse_req_t req, void *arg)
{
	struct copy *copy = arg;

	(void)req;
	content_interrupt(&copy->wait);
}

/* Afterwards no callback looks at it any more. */
static void copy_detach(struct copy *copy)
{
	fuse_req_interrupt_func(copy->call->req, NULL, NULL);
}

static void copy_failed(struct copy *copy, int err, const struct reason *why)
{
	struct image_facts none = { 0 };

	/* What its repository did is no failure of the card, but the one who copied wants to know. */
	if (err == EINTR || err == ECANCELED)
		copy_end(copy, err, 0);
	else
		copy_refused(copy, &none, why);
}

static void whole_done(struct content_wait *wait, int err, const struct reason *why)
{
	struct copy *copy = (struct copy *)wait;

	copy_detach(copy);
	if (err)
		copy_failed(copy, err, why);
	else
		copy_whole(copy);
}

/* With the first bytes: is it for this card, as far as they show? */
static int head_suits(struct copy *copy, struct image_facts *facts, struct reason *why)
{
	struct image_parser *parser = image_parser_new();
	char *bytes CLEANUP_FREE = malloc(HEAD_BYTES);
	ssize_t n = bytes && parser ? content_read(copy->content, bytes, HEAD_BYTES, 0) : -ENOMEM;
	int err = n < 0 ? reason_set(why, (int)-n, "reading the first bytes of %s: %s", copy->origin->name,
				     strerror((int)-n)) : 0;

	if (!err && n) {
		err = image_parser_feed(parser, bytes, (size_t)n, why);
		err = err < 0 ? err : slot_suits(copy->u->slot, image_parser_facts(parser), why);
	}
	if (parser)
		*facts = *image_parser_facts(parser);
	image_parser_free(parser);
	return err;
}

static int size_suits(struct copy *copy, struct reason *why)
{
	uint64_t size;

	return content_size(copy->content, &size) ? upload_size_suits(copy->u, size, why) : 0;
}

static void head_done(struct content_wait *wait, int err, const struct reason *said)
{
	struct copy *copy = (struct copy *)wait;
	struct image_facts facts = { 0 };
	struct reason why = { 0 };
	int r;

	if (err) {
		whole_done(wait, err, said);
		return;
	}
	if (head_suits(copy, &facts, &why) || size_suits(copy, &why)) {
		copy_detach(copy);
		if (why.err == EBADMSG)
			content_unsound(copy->content);
		copy_refused(copy, &facts, &why);
		return;
	}
	copy->wait.done = whole_done;
	r = content_want_whole(copy->content, &copy->wait, &why);
	if (r)
		whole_done(wait, r < 0 ? -r : 0, &why);
}

static void copy_fetch(struct copy *copy)
{
	struct reason why = { 0 };
	int r = upload_expect(copy->u, &why);

	if (r) {
		copy_end(copy, -r, 0);
		return;
	}
	/* Here, where no lock is held: pollers are told that it has begun. */
	upload_progress(copy->u, PHASE_RECEIVING, 0, copy->origin->has_size ? copy->origin->size : 0);
	copy->wait.done = head_done;
	copy->wait.progress = copy_progress;
	fuse_req_interrupt_func(copy->call->req, copy_interrupted, copy);
	r = content_want(copy->content, 0, HEAD_BYTES, &copy->wait, &why);
	if (r)
		head_done(&copy->wait, r < 0 ? -r : 0, &why);
}

/* Before anything is fetched: of a repository that the card's policy does not let pass? */
static bool source_refused(struct copy *copy, struct reason *why)
{
	const struct origin *o = copy->origin;
	char source[320], sha256[SHA256_HEX];
	bool whole = content_is_whole(copy->content, sha256, NULL);

	/* A check tells everything about it. */
	if (copy->u->check)
		return false;
	source_of_origin(o, source, sizeof(source));
	return slot_takes_source(copy->u->slot, source, whole ? "sha256" : o->digest_algo, whole ? sha256 : o->digest, why);
}

static void copy_refuse_unread(struct copy *copy, const struct reason *why)
{
	struct image_facts none = { 0 };
	struct reason busy = { 0 };
	int err = upload_expect(copy->u, &busy);

	if (err)
		copy_end(copy, -err, 0);
	else
		copy_refused(copy, &none, why);
}

/* --- the request ------------------------------------------------------------------------------------ */

/* The next piece of what this open of image has the first ones of; or one that it has, because the same
 * request came before. */
static bool copied_on(struct upload *u, struct content *content, uint64_t off, uint64_t len, uint64_t *n)
{
	char sha256[SHA256_HEX];
	uint64_t size, has = upload_size(u);

	if (!(upload_bits(u) & UPLOAD_REFERENCE) || !content_is_whole(content, sha256, &size) || off >= size)
		return false;
	*n = piece_of(size, off, len);
	if (request_current()->resent && has == off + *n && !strcmp(u->saved->upload.sha256, sha256))
		return true;
	return off && upload_reference_grow(u, sha256, off, off + *n);
}

static void copy_begin(fuse_req_t req, struct copy *copy, uint64_t ino_out)
{
	struct reason why = { 0 };

	copy->request = *request_current();
	copy->call = call_park(req, copy->u->slot, ino_out, 0);
	if (!copy->call)
		copy_free(copy);
	else if (source_refused(copy, &why) || (content_is_whole(copy->content, NULL, NULL) && size_suits(copy, &why)))
		copy_refuse_unread(copy, &why);
	else if (content_is_whole(copy->content, NULL, NULL))
		copy_whole(copy);
	else
		copy_fetch(copy);
}

void remote_copy_range(fuse_req_t req, uint64_t entry, off_t off_in, struct fuse_file_info *fi_in,
		       struct card *to, uint64_t ino_out, off_t off_out, struct fuse_file_info *fi_out,
		       size_t len)
{
	struct slot *slot = card_slot(to, node_slot(ino_out));
	struct copy *copy;
	struct reason why = { 0 };
	uint64_t size;
	int err;

	if (answer_write_again(req))
		return;
	copy = calloc(1, sizeof(*copy));
	if (!copy) {
		answer_err(req, ENOMEM);
		return;
	}
	copy->len = len;
	copy->u = slot ? upload_find(slot, fi_out->fh) : NULL;
	err = copy->u ? origin_of_entry(entry, &copy->origin, &why) : -EXDEV;
	if (!err)
		err = remote_content(entry, fi_in->fh, &copy->content, &why);
	if (!err && off_in && content_size(copy->content, &size) && (uint64_t)off_in >= size) {
		answer_write(req, 0); /* cp asks until there is no more */
	} else if (!err && off_in == off_out && copied_on(copy->u, copy->content, (uint64_t)off_in, len, &size)) {
		answer_write(req, size);
	} else if (!err && (off_in || off_out || upload_bits(copy->u) & (UPLOAD_WRITTEN | UPLOAD_APPEND))) {
		answer_err(req, EXDEV); /* copied by reading and writing then */
	} else if (err) {
		answer_err(req, -err);
	} else {
		copy_begin(req, copy, ino_out);
		return;
	}
	copy_free(copy);
}
