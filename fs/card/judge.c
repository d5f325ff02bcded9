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
#include "fs/remote/source.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

struct judge {
	struct job job;
	struct upload *u;
	enum judge_kind kind;
	bool killed;
	bool again; /* a worker that died had this request too */
	uint64_t run;
	void (*done)(void *arg, int err);
	void *arg;
};

static void bits_set(struct upload *u, uint32_t set)
{
	atomic_fetch_or(&u->saved->upload.bits, set);
}

/*
 * The answer to whoever waits, noted before the content goes: a request that comes
 * again, because the worker died in between, would find nothing to complain of.
 */
static void answer_note(const struct judge *j, int err)
{
	if (j->run)
		journal_done(j->run - session_id(), -err, 0);
}

/* A worker that died may have got as far as the record, and no further. */
static bool told_before(const struct judge *j)
{
	return slot_run_done(j->u->slot, j->run) ||
	       (j->again && j->run && store_told(j->u->slot->card->store, j->run));
}

/* Told once. */
static void refuse(const struct judge *j, const char *event, const struct reason *why,
		   const struct image_facts *facts, const char *sha256, uint64_t size)
{
	const struct upload *u = j->u;
	struct slot *slot = u->slot;

	if (told_before(j))
		return;
	/* Only of who has the claim: another's must not displace what is owed to that one. */
	if (j->run && !u->check && (!upload_is_temp(u) || j->kind == JUDGE_RENAME)) {
		slot->row.run = j->run;
		slot->row.run_err = why->err;
	}
	slot_refuse(slot, event, why, facts, sha256, size, &u->saved->who, j->run);
}

/* `check` shows the same object as inspect --json. */
static void check_show(struct slot *slot, const struct image_facts *facts, const char *sha256,
		       uint64_t size, const struct reason *why)
{
	struct card_view *view;
	struct slot_view *v;
	const char *fits = slot_compared(slot, facts) ? "" : NULL;
	/* A good image for another card is sound; `fits` says why it does not suit. */
	char *check = why->err == EMEDIUMTYPE || why->err == EPERM || why->err == ENOKEY
		? image_facts_json(facts, NULL, sha256, size, why->err, NULL, why->text)
		: image_facts_json(facts, NULL, sha256, size, why->err, why->err ? why->text : NULL,
				   why->err ? NULL : fits);

	view = view_edit(slot->card);
	if (!view) {
		free(check);
		return;
	}
	v = view_slot(view, slot->index);
	free(v->check);
	v->check = check;
	v->check_ns = mtime_after(v->check_ns);
	view_publish(slot->card, view, slot->index, CHANGE_CHECK);
}

static int check_finish(const struct judge *j, int err, const struct image_facts *facts,
			const char *sha256, uint64_t size, const struct reason *why)
{
	struct upload *u = j->u;
	struct slot *slot = u->slot;
	struct reason store_why = { 0 };

	check_show(slot, facts, sha256, size, why);
	if (err) {
		refuse(j, "checked", why, facts, sha256, size);
		return err;
	}
	struct record r = { .event = "checked", .sha256 = sha256, .size = size, .facts = facts,
			    .who = &u->saved->who, .duration_ms = -1, .run = j->run };

	if (!told_before(j) && slot_record(slot, NULL, &r, &store_why))
		log_error("%s: history: %s", slot->name, store_why.text);
	return 0;
}

/* A descriptor of the bytes, the caller's. */
static int content_open(struct upload *u, const char *sha256, int *fd, struct reason *why)
{
	if (upload_bits(u) & UPLOAD_REFERENCE)
		return store_blob_open(u->slot->card->store, sha256, fd, NULL, why);
	*fd = fcntl(u->fd, F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? reason_set(why, errno, "duplicating the spool: %s", strerror(errno)) : 0;
}

/* Would the card take it, short of programming? For `check` and temporaries. */
static int dry_run(struct upload *u, const struct image_facts *facts, const char *sha256,
		   uint64_t size, struct reason *why)
{
	struct slot *slot = u->slot;
	struct card *card = slot->card;
	int err = slot_suits(slot, facts, why);
	int fd CLEANUP_FD = -1;
	char path[4096];

	if (!err)
		err = slot_takes_source(slot, u->saved->upload.source, "sha256", sha256, why);
	if (err || !slot->actor->handle || !card->backend->accept)
		return err;
	err = content_open(u, sha256, &fd, why);
	if (err)
		return err;
	if (upload_bits(u) & UPLOAD_REFERENCE)
		store_blob_path(card->store, sha256, path, sizeof(path));
	else
		store_spool_path(card->store, u->fh, path, sizeof(path));

	struct card_run run = { .slot = slot->index < 0 ? 0 : (unsigned)slot->index, .fd = fd,
				.size = size, .path = path, .sha256 = sha256, .facts = facts,
				.cancel_fd = slot->actor->cancel_fd,
				.deadline_ns = clock_mono_ns() + INT64_C(60) * 1000000000 };

	return card->backend->accept(slot->actor->handle, &run, why);
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
	/* However it came: known by its bytes. */
	if (!*a.source)
		source_of_digest(sha256, a.source, sizeof(a.source));
	err = content_open(u, sha256, &fd, why);
	if (err)
		return err;
	if (!u->held) {
		/* A temporary outlives a failed rename, and its bytes are a blob by then. */
		blobs_hold();
		u->held = true;
	}
	/* Should this worker die, its successor finds the bytes as spool or as blob. */
	memmove(u->saved->upload.sha256, sha256, SHA256_HEX);
	atomic_store(&u->saved->upload.run, run);
	a.fd = fd;
	slot_run_begin(slot);
	slot->run_told = slot->run_refused = false;
	if (upload_stop_wanted(u, why))
		err = -why->err;
	else
		err = slot_program(slot, &a, why);
	slot_run_end(slot);
	return err;
}

/* After a failed rename: the spool may have become the blob, which is held for us. */
static void content_stays(struct upload *u, const struct image_facts *facts)
{
	char path[4096];

	store_spool_path(u->slot->card->store, u->fh, path, sizeof(path));
	if (upload_bits(u) & UPLOAD_REFERENCE || !access(path, F_OK))
		return;
	u->facts = *facts;
	u->facts_known = true;
	bits_set(u, UPLOAD_REFERENCE);
	close(STEAL_FD(u->fd));
}

/* Ended by somebody while it was validated. */
static int judge_stopped(struct judge *j, const struct image_facts *facts, const char *sha256,
			 uint64_t size, const struct reason *why)
{
	struct upload *u = j->u;

	u->why = *why;
	refuse(j, "image-refused", why, facts, sha256, size);
	answer_note(j, -why->err);
	upload_content_gone(u, UPLOAD_ENDED | UPLOAD_TOLD);
	return -why->err;
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
	if (u->check)
		check_finish(j, -why->err, facts, NULL, size, why);
	/* An editor's own files are not images, and no failure of the card. */
	else if (!upload_is_temp(u) || j->kind == JUDGE_RENAME || why->err != ENOEXEC)
		refuse(j, "image-refused", why, facts, NULL, size);
	/* In this order: a worker that dies in between tells it twice rather than never. */
	answer_note(j, -why->err);
	u->judged_err = why->err;
	bits_set(u, UPLOAD_JUDGED);
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
	/* Begun for another close of the same bytes, by a worker that died: this goes on with it. */
	uint64_t begun = atomic_load(&u->saved->upload.run), run = begun ? begun : j->run;
	int err;

	if (j->kind == JUDGE_FSYNC && upload_bits(u) & UPLOAD_SEEDED)
		return 0;
	upload_progress(u, PHASE_VALIDATING, 0, size);
	verdict = upload_examine(u, &facts, sha256, why);
	upload_receiving_show(u);
	if (verdict == VERDICT_BAD && why->err == EBADMSG && upload_bits(u) & UPLOAD_REFERENCE)
		source_unsound(u->saved->upload.sha256);
	if (upload_stop_wanted(u, why))
		return judge_stopped(j, &facts, verdict == VERDICT_SOUND ? sha256 : NULL, size, why);
	if (verdict == VERDICT_INCOMPLETE)
		return judge_incomplete(j, &facts, size, why);
	/* Nothing in it shows where it ends: only its close tells that no more will come. */
	if (verdict == VERDICT_SOUND && j->kind == JUDGE_FSYNC && !facts.declared_size)
		return 0;
	if (!quiet && !u->check && slot_run_done(u->slot, run)) {
		/* A worker did it and died before it could answer. */
		err = slot_run_again(u->slot, &u->saved->who, why);
		answer_note(j, err);
		if (!err || j->kind != JUDGE_RENAME)
			upload_content_gone(u, UPLOAD_JUDGED | UPLOAD_PROGRAMMED);
		else
			atomic_store(&u->saved->upload.run, 0);
		return err;
	}
	err = verdict == VERDICT_BAD ? -why->err : 0;
	if (u->check || quiet) {
		if (!err)
			err = dry_run(u, &facts, sha256, size, why);
		u->judged_err = -err;
		if (quiet) {
			/* An editor's own files are not images, and no failure of the card. */
			if (err && err != -ENOEXEC)
				refuse(j, "image-refused", why, &facts, sha256, size);
			answer_note(j, err);
			bits_set(u, UPLOAD_JUDGED);
			return err;
		}
		err = check_finish(j, err, &facts, sha256, size, why);
		answer_note(j, err);
		upload_content_gone(u, UPLOAD_JUDGED);
		return err;
	}
	if (err)
		refuse(j, "image-refused", why, &facts, sha256, size);
	else
		err = program(u, &facts, sha256, size, run, why);
	/* Between the two: neither the card nor history has seen anything of it. */
	if (verdict == VERDICT_SOUND && err && !u->slot->run_told && !u->slot->run_refused &&
	    upload_stop_wanted(u, why))
		return judge_stopped(j, &facts, sha256, size, why);
	answer_note(j, err);
	if (j->kind == JUDGE_RENAME && err) {
		/* The temporary stays, as a failed rename leaves it; the next is another run. */
		atomic_store(&u->saved->upload.run, 0);
		content_stays(u, &facts);
		return err;
	}
	upload_content_gone(u, UPLOAD_JUDGED | UPLOAD_PROGRAMMED);
	u->judged_err = 0;
	return err;
}

static int judge_killed(struct judge *j, struct reason *why)
{
	struct upload *u = j->u;
	uint32_t bits = upload_bits(u);

	reason_set(why, ECANCELED, "the writer (%s, pid %d) was killed before it closed the image after "
		   "%llu bytes: nothing was programmed", u->saved->who.command, u->saved->who.pid,
		   (unsigned long long)atomic_load(&u->saved->upload.size));
	if (!(bits & UPLOAD_POISONED) || j->kind == JUDGE_RENAME) {
		if (!upload_is_temp(u) || j->kind == JUDGE_RENAME)
			refuse(j, "image-refused", why, image_parser_facts(u->parser), NULL,
				    atomic_load(&u->saved->upload.size));
		answer_note(j, -ECANCELED);
		bits_set(u, UPLOAD_POISONED);
	}
	return -ECANCELED;
}

static int judge_entered(struct judge *j, struct reason *why)
{
	struct upload *u = j->u;
	uint32_t bits = upload_bits(u);

	if (bits & UPLOAD_ENDED && (!(bits & UPLOAD_TOLD) || j->kind == JUDGE_RENAME)) {
		answer_note(j, -ECANCELED);
		bits_set(u, UPLOAD_TOLD);
		return reason_set(why, ECANCELED, "%s", u->why.text);
	}
	if (j->kind == JUDGE_REFUSAL) {
		refuse(j, u->check ? "checked" : "image-refused", &u->why, &u->facts, NULL, 0);
		if (u->check)
			check_show(u->slot, &u->facts, NULL, 0, &u->why);
		bits_set(u, UPLOAD_NOTED);
		return -u->why.err;
	}
	/* Emptied, or ended with an error, since the rename began: no image. */
	if (j->kind == JUDGE_RENAME && !(bits & UPLOAD_WRITTEN))
		return reason_set(why, EBADMSG, "the temporary %s is empty", u->saved->upload.name);
	if (!(bits & UPLOAD_WRITTEN) || bits & UPLOAD_TOLD)
		return 0;
	if (j->killed || bits & UPLOAD_POISONED)
		return judge_killed(j, why);
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
		upload_judge_enter(u);
		err = judge_entered(j, &why);
		if (err && j->kind == JUDGE_FSYNC) {
			answer_note(j, err);
			bits_set(u, UPLOAD_TOLD);
		}
		upload_leave(u);
		suspect_end();
	}
	j->done(j->arg, -err);
	upload_put(u);
	free(j);
}

struct later {
	struct job job;
	struct upload *u;
	void (*run)(void *arg, bool end);
	void *arg;
};

static void later_run(struct card *card, struct job *job, bool end)
{
	struct later *l = (struct later *)job;

	(void)card;
	l->run(l->arg, end);
	upload_put(l->u);
	free(l);
}

bool upload_later(struct upload *u, void (*run)(void *arg, bool end), void *arg)
{
	struct later *l = malloc(sizeof(*l));

	if (!l)
		return false;
	*l = (struct later){ .job.run = later_run, .u = u, .run = run, .arg = arg };
	atomic_fetch_add(&u->refs, 1);
	if (actor_post(u->slot->actor, &l->job))
		return true;
	upload_put(u);
	free(l);
	return false;
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
			     .again = request_current()->resent,
			     .done = done, .arg = arg };
	atomic_fetch_add(&u->refs, 1);
	if (!actor_post(u->slot->actor, &j->job)) {
		done(arg, ECANCELED);
		upload_put(u);
		free(j);
	}
}
