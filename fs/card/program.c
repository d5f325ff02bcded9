// SPDX-License-Identifier: Apache-2.0
/*
 * A programming run, from a judged image to a recorded result. The same for
 * every card and format (actor only).
 *
 *   policy, accept      nothing is touched: a refusal changes only error and history
 *   keep, intend        the bytes are a blob, the store says that we are about to
 *   program, confirm    the backend's two steps; from the first byte the old image is lost
 *   commit, publish     the store first, then everything that is seen, at once
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/card/busy.h"
#include "fs/card/card.h"
#include "fs/card/kept.h"
#include "fs/card/target.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/* A card that says nothing for so long is not going to. Backends may be stricter. */
#define RUN_DEADLINE_NS (INT64_C(3600) * 1000000000)

const double program_bucket_seconds[PROGRAM_BUCKETS] = {
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 10, 60, 1e308 * 10,
};

static unsigned backend_slot(const struct slot *slot)
{
	return slot->index < 0 ? 0 : (unsigned)slot->index;
}

/* --- blobs that no row names yet ------------------------------------------------ */

static pthread_mutex_t blobs_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned blobs_held;
static bool blobs_dirty = true;

void blobs_hold(void)
{
	pthread_mutex_lock(&blobs_lock);
	blobs_held++;
	pthread_mutex_unlock(&blobs_lock);
}

/* True: no blob is left that no row names. */
static bool blobs_let_go(struct store *store)
{
	struct reason why = { 0 };
	bool trimmed;

	pthread_mutex_lock(&blobs_lock);
	/* Trimming under the lock makes a run that begins meanwhile wait for a few
	 * unlinks; without it the blob it has just made could be taken away. */
	if (!--blobs_held && blobs_dirty) {
		blobs_dirty = false;
		if (store_blobs_trim(store, &why)) {
			blobs_dirty = true;
			log_warn("old images stay on the disk: %s", why.text);
		}
	}
	trimmed = !blobs_dirty;
	pthread_mutex_unlock(&blobs_lock);
	return trimmed;
}

void blobs_release(struct store *store)
{
	blobs_let_go(store);
}

static void blobs_changed(void)
{
	pthread_mutex_lock(&blobs_lock);
	blobs_dirty = true;
	pthread_mutex_unlock(&blobs_lock);
}

bool cards_blobs_trim(struct store *store)
{
	blobs_hold();
	blobs_changed();
	return blobs_let_go(store);
}

/* --- one run at a time ------------------------------------------------------------- */

void slot_cancel_clear(struct slot *slot)
{
	uint64_t count;

	while (read(slot->actor->cancel_fd, &count, sizeof(count)) > 0)
		;
}

void slot_run_begin(struct slot *slot)
{
	pthread_mutex_lock(&slot->card->lock);
	slot->running = true;
	/* A stop that came before is not for this run; from here on it is. */
	slot_cancel_clear(slot);
	pthread_mutex_unlock(&slot->card->lock);
}

void slot_run_end(struct slot *slot)
{
	pthread_mutex_lock(&slot->card->lock);
	slot->running = false;
	pthread_mutex_unlock(&slot->card->lock);
	slot_freed(slot);
}

/* --- policy ------------------------------------------------------------------------ */

static bool listed(char *const *words, const char *word)
{
	for (; *words; words++)
		if (!strcasecmp(*words, word))
			return true;
	return false;
}

/* What both tell is compared: 0 or -EMEDIUMTYPE. */
static int slot_compare(struct slot *slot, const struct image_facts *facts, bool *compared,
			struct reason *why)
{
	const struct card_view *view = card_view_get(slot->card);
	struct image_target target;
	int err;

	target_fill(view, slot->index, &target);
	target.name = slot->name;
	err = image_suits_target(facts, &target, compared, why);
	card_view_put(view);
	return err;
}

int slot_suits(struct slot *slot, const struct image_facts *facts, struct reason *why)
{
	const struct config_policy *policy = &slot->card->card_config->policy;
	int err = slot_compare(slot, facts, NULL, why);

	if (!err && policy->formats && *facts->format && !listed(policy->formats, facts->format))
		err = reason_set(why, EPERM, "the policy of %s allows no image of format %s", slot->name,
				 facts->format);
	return err;
}

bool slot_compared(struct slot *slot, const struct image_facts *facts)
{
	bool compared;

	slot_compare(slot, facts, &compared, NULL);
	return compared;
}

#define RATE_NS (INT64_C(60) * 1000000000)

void slot_rate_load(struct slot *slot)
{
	const unsigned n = sizeof(slot->run_times) / sizeof(slot->run_times[0]);
	int64_t now = clock_now_ns(), mono = clock_mono_ns();

	if (!slot->card->card_config->policy.max_per_minute)
		return;
	slot->run_at = slot_runs_since(slot, now - RATE_NS, slot->run_times, n);
	/* What lies ahead is of a clock that was set back since, and no reason to refuse anything. */
	for (unsigned i = 0; i < n; i++)
		if (slot->run_times[i])
			slot->run_times[i] = slot->run_times[i] > now ? 0 : mono - (now - slot->run_times[i]);
}

static int rate_check(struct slot *slot, int64_t max_per_minute, struct reason *why)
{
	int64_t now = clock_mono_ns();
	unsigned recent = 0, n = sizeof(slot->run_times) / sizeof(slot->run_times[0]);

	for (unsigned i = 0; i < n; i++)
		recent += slot->run_times[i] && now - slot->run_times[i] < RATE_NS;
	if (max_per_minute && recent >= (max_per_minute < n ? (unsigned)max_per_minute : n))
		return reason_set(why, EPERM, "%s was programmed %u times in the last minute, its "
				  "policy max-per-minute allows no more", slot->name, recent);
	return 0;
}

static int policy_check(struct slot *slot, const struct attempt *a, struct reason *why)
{
	const struct config_policy *policy = &slot->card->card_config->policy;
	int err = slot_suits(slot, &a->facts, why);

	/* Putting back what the card had is no new programming; whoever asks for it is subject to
	 * the policy, also by way of ctl. */
	if (err || a->note)
		return err;
	/* A copy that was cut short looks like a whole one: the operator has to know that. */
	if (a->facts.unsized && policy->accept_unsized <= 0)
		return reason_set(why, EPERM, "nothing in a %s image shows where it ends, so that a cut copy "
				  "could not be told; %s takes it under the policy accept-unsized: true",
				  a->facts.format, slot->name);
	err = slot_takes_source(slot, a->source, "sha256", a->sha256, why);
	if (err)
		return err;
	if (policy->digests && !listed(policy->digests, a->sha256))
		return reason_set(why, EPERM, "the policy of %s does not list the digest %s",
				  slot->name, a->sha256);
	if (policy->require_signature > 0)
		return reason_set(why, ENOKEY, "the policy of %s wants a signed image, this one "
				  "has no signature that can be checked", slot->name);
	err = rate_check(slot, policy->max_per_minute, why);
	return err ? err : temperature_check(slot, why);
}

/* --- results ------------------------------------------------------------------------- */

static void stats_add(struct slot *slot, int err, int64_t ns)
{
	struct program_stats *s = &slot->stats;
	const char *name = errno_name(err);
	double seconds = (double)ns / 1e9;
	unsigned i;

	pthread_mutex_lock(&slot->card->lock);
	for (i = 0; i < s->results_len && strcmp(s->results[i].result, name); i++)
		;
	if (i == s->results_len && i < PROGRAM_RESULTS_MAX) {
		text_copy(s->results[i].result, sizeof(s->results[i].result), name);
		s->results_len++;
	}
	if (i < s->results_len)
		s->results[i].count++;
	if (!err) {
		for (i = 0; i < PROGRAM_BUCKETS - 1 && seconds > program_bucket_seconds[i]; i++)
			;
		s->buckets[i]++;
		s->seconds_sum += seconds;
		s->seconds_count++;
	}
	pthread_mutex_unlock(&slot->card->lock);
}

void slot_refuse(struct slot *slot, const char *event, const struct reason *why,
		 const struct image_facts *facts, const char *sha256, uint64_t size,
		 const struct who *who, uint64_t run)
{
	struct record r = { .event = event, .err = why->err, .reason = why->text, .sha256 = sha256,
			    .size = size, .facts = facts, .who = who, .duration_ms = -1, .run = run };
	struct reason store_why = { 0 };

	text_copy(slot->row.error, sizeof(slot->row.error), why->text);
	log_warn("%s: %s: %s", slot->name, event, why->text);
	/* A full disk must not hide the first reason: it is shown, though not kept. */
	if (slot_record(slot, &slot->row, &r, &store_why))
		log_error("%s: history: %s", slot->name, store_why.text);

	struct card_view *view = view_edit(slot->card);

	if (!view)
		return;

	struct slot_view *v = view_slot(view, slot->index);

	text_copy(v->error, sizeof(v->error), why->text);
	v->error_ns = mtime_after(v->error_ns);
	view_publish(slot->card, view, slot->index, CHANGE_ERROR);
}

static void loaded_fill(struct loaded *l, const struct attempt *a, const struct card_run *run,
			int64_t started, int64_t now)
{
	memset(l, 0, sizeof(*l));
	text_copy(l->name, sizeof(l->name), a->name);
	text_copy(l->sha256, sizeof(l->sha256), a->sha256);
	l->size = a->size;
	text_copy(l->format, sizeof(l->format), a->facts.format);
	text_copy(l->part, sizeof(l->part), a->facts.part);
	text_copy(l->design, sizeof(l->design), a->facts.design);
	text_copy(l->tool, sizeof(l->tool), a->facts.tool);
	text_copy(l->built, sizeof(l->built), a->facts.built);
	text_copy(l->source, sizeof(l->source), a->source);
	l->loaded_at_ns = now;
	if (!a->who)
		text_copy(l->loaded_by, sizeof(l->loaded_by), "fabricfs");
	else if (*a->who->user)
		text_copy(l->loaded_by, sizeof(l->loaded_by), a->who->user);
	else
		snprintf(l->loaded_by, sizeof(l->loaded_by), "%u", a->who->uid);
	l->duration_ms = (clock_mono_ns() - started) / 1000000;
	text_copy(l->confirmed_by, sizeof(l->confirmed_by), run->confirmed_by);
}

/* So that the request, should it come again, gets the same answer. What no request asked
 * for leaves the answer of the last one alone. */
static void row_note_run(struct slot *slot, const struct attempt *a, int err)
{
	slot->run_told = true;
	if (a->note)
		return;
	slot->row.run = a->run;
	slot->row.run_err = err;
}

static int run_succeeded(struct slot *slot, const struct attempt *a, const struct card_run *run,
			  int64_t started, struct reason *why)
{
	struct store_slot *row = &slot->row;
	int64_t now = clock_now_ns();
	struct loaded loaded;
	struct reason store_why = { 0 };

	loaded_fill(&loaded, a, run, started, now);
	row_push_previous(row, a->sha256);
	if (!strcmp(row->previous_sha256, a->sha256) && !strcmp(a->event, "rolled-back")) {
		/* Rolling back made the previous one the present; row_push_previous has put
		 * the other there already, so only an empty card gets here. */
		row->previous_sha256[0] = '\0';
		free(row->previous);
		row->previous = NULL;
	}
	memcpy(row->loaded_sha256, a->sha256, SHA256_HEX);
	/* Hashed on their way, or just before; those of another card's, by reference, were not. */
	if (a->spool || a->internal)
		kept_proven(slot, a->sha256);
	row->loaded = loaded_json(&loaded, &a->facts);
	text_copy(row->error, sizeof(row->error), a->error ? a->error : "");
	text_copy(row->state, sizeof(row->state), state_word(STATE_CONFIGURED));
	row->image_mtime_ns = a->mtime_ns ? a->mtime_ns : now;
	row->state_mtime_ns = now;
	row_note_run(slot, a, 0);
	row->restorable = true;

	struct record r = { .event = a->event, .reason = a->note, .sha256 = a->sha256, .size = a->size,
			    .facts = &a->facts, .source = a->source, .who = a->who,
			    .duration_ms = loaded.duration_ms, .done = true };

	if (slot_record(slot, row, &r, &store_why)) {
		/* The card has it; what is lost is that a restart would know. Its bytes stay until
		 * that can be said after all. */
		if (!slot->unrecorded)
			blobs_hold();
		slot->unrecorded = true;
		reason_set(why, store_why.err, "%s was programmed, but that could not be recorded: %s",
			   slot->name, store_why.text);
		log_error("%s", why->text);
		slot_show_loaded(slot, STATE_CONFIGURED, why->text, &loaded);
		return -why->err;
	}
	slot_show_loaded(slot, STATE_CONFIGURED, row->error, &loaded);
	/* What was wrong with the card, if it has slots, ends with the success of any of them. */
	if (slot->index >= 0)
		card_error_over(slot->card);
	log_info("%s: %s %s (%s, %llu bytes) in %lld ms, confirmed by %s", slot->name, a->event,
		 a->sha256, a->facts.format, (unsigned long long)a->size,
		 (long long)loaded.duration_ms, loaded.confirmed_by);
	return 0;
}

static void run_failed(struct slot *slot, const struct attempt *a, const struct card_run *run,
		       int64_t started, const struct loaded *old, const struct reason *why)
{
	struct store_slot *row = &slot->row;
	struct reason store_why = { 0 };
	enum state state = run->kept ? STATE_CONFIGURED : STATE_FAILED;
	int64_t now = clock_now_ns();

	if (!run->kept) {
		row_push_previous(row, "");
		row->restorable = false;
		row->state_mtime_ns = now;
	}
	text_copy(row->state, sizeof(row->state), state_word(state));
	text_copy(row->error, sizeof(row->error), why->text);
	row_note_run(slot, a, why->err);

	struct record r = { .event = "program-failed", .err = why->err, .reason = why->text,
			    .sha256 = a->sha256, .size = a->size, .facts = &a->facts,
			    .source = a->source, .who = a->who,
			    .duration_ms = (clock_mono_ns() - started) / 1000000, .done = true };

	log_warn("%s: program-failed: %s", slot->name, why->text);
	if (slot_record(slot, row, &r, &store_why))
		log_error("%s: history: %s", slot->name, store_why.text);
	slot_show_loaded(slot, state, why->text, run->kept ? old : &(struct loaded){ 0 });
}

/* --- the run ---------------------------------------------------------------------------- */

static void run_progress(struct card_run *run, uint64_t done)
{
	struct slot *slot = run->core;

	slot_progress(slot, PHASE_PROGRAMMING, done < run->size ? done : run->size, run->size);
}

/* Drive the backend; the card is touched in here. */
static int run_card(struct slot *slot, struct card_run *run, struct reason *why)
{
	const struct card_backend *backend = slot->card->backend;
	void *handle = slot->actor->handle;
	int err;

	slot_progress(slot, PHASE_PROGRAMMING, 0, run->size);
	err = backend->program(handle, run, why);
	if (!err)
		err = backend->confirm(handle, run, why);
	if (err && !why->err)
		reason_set(why, -err, "the %s backend gave no reason", backend->name);
	return err;
}

/* The state before this run, to be shown again when the card was not touched. */
struct before {
	enum state state;
	struct loaded loaded;
	uint64_t load;
};

static int run_intend(struct slot *slot, struct before *before, struct reason *why)
{
	const struct card_view *view = card_view_get(slot->card);
	const struct slot_view *v = slot_view(view, slot->index);
	int err;

	before->state = v->state;
	before->loaded = v->loaded;
	before->load = slot->row.load;
	card_view_put(view);
	text_copy(slot->row.state, sizeof(slot->row.state), state_word(STATE_PROGRAMMING));
	err = store_reserve(slot->card->store, why);
	if (!err)
		err = store_commit(slot->card->store, slot->card->dev, slot->index, &slot->row, NULL, NULL, why);
	if (err) {
		text_copy(slot->row.state, sizeof(slot->row.state), state_word(before->state));
		return err;
	}
	slot->row.load++;
	slot_io_stale(slot);
	slot_show_loaded(slot, STATE_PROGRAMMING, NULL, &(struct loaded){ 0 });
	return 0;
}

/* Refused by the backend before it touched anything: as if nothing had been. */
static void run_untouched(struct slot *slot, const struct before *before)
{
	text_copy(slot->row.state, sizeof(slot->row.state), state_word(before->state));
	/* The same design runs on: whoever has io/ open goes on with it. */
	slot->row.load = before->load;
	slot_show_loaded(slot, before->state, NULL, &before->loaded);
}

static void run_roll_back(struct slot *slot, uint64_t id, const struct who *who)
{
	struct reason why = { 0 };
	char sha256[SHA256_HEX];
	char *json CLEANUP_FREE = slot->row.previous ? strdup(slot->row.previous) : NULL;
	char error[REASON_MAX];

	memcpy(sha256, slot->row.previous_sha256, SHA256_HEX);
	if (!*sha256)
		return;
	text_copy(error, sizeof(error), slot->row.error);
	/* Whoever stopped the run did not mean this one. */
	slot_cancel_clear(slot);
	/* Another run: its id must differ, and be the same when a worker repeats it. */
	if (slot_program_blob(slot, sha256, json, "rolled-back", "policy on-failure: rollback", error,
			      id ^ (UINT64_C(1) << 62), who, &why))
		log_error("%s: rolling back failed too: %s", slot->name, why.text);
}

static int attempt_prepare(struct slot *slot, const struct attempt *a, struct card_run *run,
			   char *path, size_t path_size, struct reason *why)
{
	struct card *card = slot->card;
	int err;

	if (a->spool) {
		err = store_spool_keep(card->store, a->spool, a->sha256, why);
		if (err)
			return err;
	}
	store_blob_path(card->store, a->sha256, path, path_size);
	run->path = path;
	blobs_changed();
	if (card->backend->accept)
		return card->backend->accept(slot->actor->handle, run, why);
	return 0;
}

static int slot_program_held(struct slot *slot, struct attempt *a, struct reason *why)
{
	struct card *card = slot->card;
	int64_t started = clock_mono_ns(); /* runs last as long as they do, however the clock is set */
	char path[4096];
	struct card_run run = {
		.id = a->run, .slot = backend_slot(slot), .fd = a->fd, .size = a->size,
		.sha256 = a->sha256, .facts = &a->facts, .cancel_fd = slot->actor->cancel_fd,
		.deadline_ns = clock_mono_ns() + RUN_DEADLINE_NS, .progress = run_progress, .core = slot,
	};
	struct before before;
	int err;

	err = attempt_prepare(slot, a, &run, path, sizeof(path), why);
	if (err)
		return err;
	err = run_intend(slot, &before, why);
	if (err)
		return err;
	/* What nobody asked for is not counted, as history does not either. */
	if (!a->note)
		slot->run_times[slot->run_at++ % (sizeof(slot->run_times) / sizeof(slot->run_times[0]))] = started;
	err = run_card(slot, &run, why);
	slot_progress(slot, PHASE_IDLE, 0, 0);
	if (!err) {
		stats_add(slot, 0, clock_mono_ns() - started);
		return run_succeeded(slot, a, &run, started, why);
	}
	stats_add(slot, -err, 0);
	if (!run.touched) {
		run_untouched(slot, &before);
		return err;
	}
	run_failed(slot, a, &run, started, &before.loaded, why);
	if (card->card_config->policy.on_failure_rollback > 0 && !run.kept &&
	    strcmp(a->event, "rolled-back"))
		run_roll_back(slot, a->run, a->who);
	/* The caller has its errno; error keeps the sentence of the failure. */
	return err;
}

bool slot_run_done(const struct slot *slot, uint64_t run)
{
	return run && slot->row.run == run;
}

int slot_run_again(struct slot *slot, const struct who *who, struct reason *why)
{
	struct store_slot *row = &slot->row;
	char error[REASON_MAX];

	if (!row->run_err)
		return 0;
	text_copy(error, sizeof(error), row->error);
	/* It had failed, and the worker died before it could roll back, or while it did. */
	if (slot->card->card_config->policy.on_failure_rollback > 0 && !slot->actor->fresh &&
	    (!strcmp(row->state, state_word(STATE_FAILED)) ||
	     !strcmp(row->state, state_word(STATE_PROGRAMMING))))
		run_roll_back(slot, row->run, who);
	return reason_set(why, row->run_err, "%s", error);
}

/* Believed only while nothing speaks against it. */
static bool is_loaded(const struct slot *slot, const char *sha256)
{
	return slot->row.restorable && !strcmp(slot->row.loaded_sha256, sha256) &&
	       slot_state(slot) == STATE_CONFIGURED;
}

/* Policy skip-identical: a success, of which only the time and the end of an error are seen. */
static void run_skipped(struct slot *slot, const struct attempt *a)
{
	struct store_slot *row = &slot->row;
	struct reason why = { 0 };

	if (a->mtime_ns)
		row->image_mtime_ns = a->mtime_ns;
	row->error[0] = '\0';
	if (store_commit(slot->card->store, slot->card->dev, slot->index, row, NULL, NULL, &why))
		log_warn("%s: %s", slot->name, why.text);

	struct card_view *view = view_edit(slot->card);

	if (!view)
		return;

	struct slot_view *v = view_slot(view, slot->index);
	unsigned what = *v->error ? CHANGE_ERROR : 0;

	if (*v->error)
		v->error_ns = mtime_after(v->error_ns);
	v->error[0] = '\0';
	v->image_ns = row->image_mtime_ns;
	view_publish(slot->card, view, slot->index, what);
}

int slot_program(struct slot *slot, struct attempt *a, struct reason *why)
{
	struct card *card = slot->card;
	const struct config_policy *policy = &card->card_config->policy;
	int err;

	slot->run_told = slot->run_refused = false;
	if (slot_run_done(slot, a->run))
		return slot_run_again(slot, a->who, why);
	if (!slot->actor->handle)
		err = reason_set(why, ENODEV, "%s is offline", slot->name);
	else
		err = policy_check(slot, a, why);
	if (!err && !a->internal && policy->skip_identical > 0 && is_loaded(slot, a->sha256)) {
		run_skipped(slot, a);
		return 0;
	}
	if (!err) {
		blobs_hold();
		err = slot_program_held(slot, a, why);
		blobs_release(card->store);
		/* run_failed() and run_succeeded() have told everybody already. */
		if (slot->run_told)
			return err;
	}
	slot_progress(slot, PHASE_IDLE, 0, 0);
	if (err) {
		row_note_run(slot, a, -err);
		slot->run_told = false;
		slot_refuse(slot, "image-refused", why, &a->facts, a->sha256, a->size, a->who, 0);
	}
	slot->run_refused = err;
	return err;
}

int slot_program_blob(struct slot *slot, const char *sha256, const char *json, const char *event,
		      const char *note, const char *error, uint64_t run, const struct who *who,
		      struct reason *why)
{
	struct attempt a = { .event = event, .note = note, .error = error, .run = run, .who = who,
			     .internal = true };
	struct loaded loaded;
	char hex[SHA256_HEX];
	int fd CLEANUP_FD = -1;
	int err;

	err = store_blob_open(slot->card->store, sha256, &fd, &a.size, why);
	if (err == -ENOENT)
		return reason_set(why, ENODATA, "the image %s is not in the store any more", sha256);
	if (err)
		return err;
	/* Kept for months, perhaps: a disk may have changed it, and a CRC of the image's own
	 * would not tell it from another good image. */
	err = digest_fd(fd, hex);
	if (err)
		return reason_set(why, -err, "reading the image %s from the store: %s", sha256,
				  strerror(-err));
	if (strcmp(hex, sha256))
		return reason_set(why, EBADMSG, "the image %s in the store is damaged, its bytes now hash "
				  "to %s", sha256, hex);
	if (loaded_parse(json, &loaded, &a.facts))
		return reason_set(why, ENODATA, "what the store knows of the image %s is damaged", sha256);
	a.fd = fd;
	text_copy(a.sha256, sizeof(a.sha256), sha256);
	text_copy(a.name, sizeof(a.name), loaded.name);
	text_copy(a.source, sizeof(a.source), loaded.source);
	return slot_program(slot, &a, why);
}

void card_program_stats(struct card *card, int index, struct program_stats *stats)
{
	struct slot *slot = card_slot(card, index);

	memset(stats, 0, sizeof(*stats));
	if (!slot)
		return;
	pthread_mutex_lock(&card->lock);
	*stats = slot->stats;
	pthread_mutex_unlock(&card->lock);
}
