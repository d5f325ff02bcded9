// SPDX-License-Identifier: Apache-2.0
/*
 * The end of an upload, on the card's actor: is the content complete, sound and
 * for this card; then programmed (or, for `check`, told). The result is that of
 * the flush, fsync or rename that waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/card/upload.h"
#include "fs/daemon/suspect.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

struct judge {
	struct job job;
	struct upload *u;
	enum judge_kind kind;
	bool killed;
	uint64_t run;
	void (*done)(void *arg, int err);
	void *arg;
};

static void bits_set(struct upload *u, uint32_t set)
{
	atomic_fetch_or(&u->saved->upload.bits, set);
}

static void slot_running(struct slot *slot, bool running)
{
	pthread_mutex_lock(&slot->card->lock);
	slot->running = running;
	pthread_mutex_unlock(&slot->card->lock);
}

/* `check` shows the same object as inspect --json. */
static void check_show(struct slot *slot, const struct image_facts *facts, const char *sha256,
		       uint64_t size, const struct reason *why)
{
	struct card_view *view = view_edit(slot->card);
	struct slot_view *v;

	if (!view)
		return;
	v = view_slot(view, slot->index);
	free(v->check);
	/* A good image for another card is sound; `fits` says why it does not suit. */
	v->check = why->err == EMEDIUMTYPE || why->err == EPERM || why->err == ENOKEY
		? image_facts_json(facts, NULL, sha256, size, 0, NULL, why->text)
		: image_facts_json(facts, NULL, sha256, size, why->err, why->err ? why->text : NULL,
				   why->err ? NULL : "");
	v->check_ns = mtime_after(v->check_ns);
	view_publish(slot->card, view, slot->index, CHANGE_CHECK);
}

static int check_finish(struct upload *u, int err, const struct image_facts *facts,
			const char *sha256, uint64_t size, const struct reason *why)
{
	struct slot *slot = u->slot;
	struct reason store_why = { 0 };

	check_show(slot, facts, sha256, size, why);
	if (err) {
		slot_refuse(slot, "checked", why, facts, sha256, size, &u->saved->who);
		return err;
	}
	struct record r = { .event = "checked", .sha256 = sha256, .size = size, .facts = facts,
			    .who = &u->saved->who, .duration_ms = -1 };

	if (slot_record(slot, NULL, &r, &store_why))
		log_error("dev%u: history: %s", slot->card->dev, store_why.text);
	return 0;
}

/* Would the card take it, short of programming? For `check` and temporaries. */
static int dry_run(struct upload *u, const struct image_facts *facts, const char *sha256,
		   uint64_t size, int fd, struct reason *why)
{
	struct card *card = u->slot->card;
	int err = slot_suits(u->slot, facts, why);
	char path[4096];

	if (err || !card->handle || !card->backend->accept)
		return err;
	store_spool_path(card->store, u->fh, path, sizeof(path));

	struct card_run run = { .slot = u->slot->index < 0 ? 0 : (unsigned)u->slot->index, .fd = fd,
				.size = size, .path = path, .sha256 = sha256, .facts = facts,
				.cancel_fd = card->cancel_fd,
				.deadline_ns = clock_mono_ns() + INT64_C(60) * 1000000000 };

	return card->backend->accept(card->handle, &run, why);
}

static int program(struct upload *u, const struct image_facts *facts, const char *sha256,
		   uint64_t size, uint64_t run, struct reason *why)
{
	struct slot *slot = u->slot;
	uint32_t bits = upload_bits(u);
	struct attempt a = { .event = "programmed", .run = run, .size = size, .facts = *facts,
			     .who = &u->saved->who, .spool = bits & UPLOAD_REFERENCE ? 0 : u->fh,
			     .mtime_ns = bits & UPLOAD_MTIME ? u->saved->upload.mtime_ns : 0 };
	int fd CLEANUP_FD = -1;
	int err;

	text_copy(a.sha256, sizeof(a.sha256), sha256);
	text_copy(a.source, sizeof(a.source), u->saved->upload.source);
	if (bits & UPLOAD_REFERENCE) {
		err = store_blob_open(slot->card->store, sha256, &fd, NULL, why);
		if (err)
			return err;
	} else {
		/* Should this worker die, its successor finds the bytes as spool or as blob. */
		memcpy(u->saved->upload.sha256, sha256, SHA256_HEX);
		fd = fcntl(u->fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return reason_set(why, errno, "duplicating the spool: %s", strerror(errno));
	}
	a.fd = fd;
	slot_running(slot, true);
	err = slot_program(slot, &a, why);
	slot_running(slot, false);
	return err;
}

static int judge_incomplete(struct judge *j, const struct image_facts *facts, uint64_t size,
			    const struct reason *why)
{
	struct upload *u = j->u;

	if (j->kind == JUDGE_FSYNC)
		return 0;
	/* A second close of the same bytes is told the same, but is no second event. */
	if (upload_bits(u) & UPLOAD_JUDGED)
		return -why->err;
	bits_set(u, UPLOAD_JUDGED);
	u->judged_err = why->err;
	if (u->check)
		return check_finish(u, -why->err, facts, NULL, size, why);
	/* An editor's own files are not images, and no failure of the card. */
	if (!upload_is_temp(u) || j->kind == JUDGE_RENAME || why->err != ENOEXEC)
		slot_refuse(u->slot, "image-refused", why, facts, NULL, size, &u->saved->who);
	return -why->err;
}

static int judge_content(struct judge *j, struct reason *why)
{
	struct upload *u = j->u;
	struct image_facts facts = { 0 };
	char sha256[SHA256_HEX] = "";
	uint64_t size = atomic_load(&u->saved->upload.size);
	bool quiet = upload_is_temp(u) && j->kind != JUDGE_RENAME;
	enum verdict verdict;
	int err;

	if (j->kind == JUDGE_FSYNC && upload_bits(u) & UPLOAD_SEEDED)
		return 0;
	if (!quiet && !u->check && u->slot->row.run == j->run) {
		/* A worker did it and died before it could answer. */
		err = u->slot->row.run_err;
		if (!err || j->kind != JUDGE_RENAME)
			upload_content_gone(u, UPLOAD_JUDGED | UPLOAD_PROGRAMMED);
		return -err;
	}
	slot_progress(u->slot, PHASE_VALIDATING, 0, size);
	verdict = upload_examine(u, &facts, sha256, why);
	slot_progress(u->slot, u->slot->writer[u->check] ? PHASE_RECEIVING : PHASE_IDLE, 0, 0);
	if (verdict == VERDICT_INCOMPLETE)
		return judge_incomplete(j, &facts, size, why);
	err = verdict == VERDICT_BAD ? -why->err : 0;
	if (u->check || quiet) {
		if (!err)
			err = dry_run(u, &facts, sha256, size, u->fd, why);
		bits_set(u, UPLOAD_JUDGED);
		u->judged_err = -err;
		if (quiet) {
			/* An editor's own files are not images, and no failure of the card. */
			if (err && err != -ENOEXEC)
				slot_refuse(u->slot, "image-refused", why, &facts, sha256, size,
					    &u->saved->who);
			return err;
		}
		err = check_finish(u, err, &facts, sha256, size, why);
		upload_content_gone(u, UPLOAD_JUDGED);
		return err;
	}
	if (err)
		slot_refuse(u->slot, "image-refused", why, &facts, sha256, size, &u->saved->who);
	else
		err = program(u, &facts, sha256, size, j->run, why);
	if (j->kind == JUDGE_RENAME && err)
		return err; /* the temporary stays, as a failed rename leaves it */
	upload_content_gone(u, UPLOAD_JUDGED | UPLOAD_PROGRAMMED);
	u->judged_err = 0;
	return err;
}

static int judge_killed(struct upload *u, struct reason *why)
{
	uint32_t bits = upload_bits(u);

	reason_set(why, ECANCELED, "the writer (%s, pid %d) was killed before it closed the image after "
		   "%llu bytes: nothing was programmed", u->saved->who.command, u->saved->who.pid,
		   (unsigned long long)atomic_load(&u->saved->upload.size));
	if (!(bits & UPLOAD_POISONED)) {
		bits_set(u, UPLOAD_POISONED);
		if (!upload_is_temp(u))
			slot_refuse(u->slot, "image-refused", why, image_parser_facts(u->parser), NULL,
				    atomic_load(&u->saved->upload.size), &u->saved->who);
	}
	return -ECANCELED;
}

static int judge_locked(struct judge *j, struct reason *why)
{
	struct upload *u = j->u;
	uint32_t bits = upload_bits(u);

	if (bits & UPLOAD_ENDED && !(bits & UPLOAD_TOLD)) {
		bits_set(u, UPLOAD_TOLD);
		return reason_set(why, ECANCELED, "%s", u->why.text);
	}
	if (j->kind == JUDGE_REFUSAL) {
		slot_refuse(u->slot, u->check ? "checked" : "image-refused", &u->why, &u->facts, NULL, 0,
			    &u->saved->who);
		if (u->check)
			check_show(u->slot, &u->facts, NULL, 0, &u->why);
		return -u->why.err;
	}
	if (!(bits & UPLOAD_WRITTEN) || bits & UPLOAD_TOLD)
		return 0;
	if (j->killed || bits & UPLOAD_POISONED)
		return judge_killed(u, why);
	return judge_content(j, why);
}

static void judge_run(struct card *card, struct job *job, bool end)
{
	struct judge *j = (struct judge *)job;
	struct upload *u = j->u;
	struct reason why = { 0 };
	int err;

	(void)card;
	if (end) {
		err = -ECANCELED;
	} else {
		suspect_begin(j->run - session_id());
		pthread_mutex_lock(&u->lock);
		err = judge_locked(j, &why);
		if (err && j->kind == JUDGE_FSYNC)
			bits_set(u, UPLOAD_TOLD);
		pthread_mutex_unlock(&u->lock);
		suspect_end();
	}
	j->done(j->arg, -err);
	upload_put(u);
	free(j);
}

void upload_judge(struct upload *u, enum judge_kind kind, bool killed, uint64_t run,
		  void (*done)(void *arg, int err), void *arg)
{
	struct judge *j = malloc(sizeof(*j));

	if (!j) {
		done(arg, ENOMEM);
		return;
	}
	*j = (struct judge){ .job.run = judge_run, .u = u, .kind = kind, .killed = killed, .run = run,
			     .done = done, .arg = arg };
	atomic_fetch_add(&u->refs, 1);
	if (!actor_post(u->slot->card, &j->job)) {
		done(arg, ECANCELED);
		upload_put(u);
		free(j);
	}
}
