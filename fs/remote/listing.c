// SPDX-License-Identifier: Apache-2.0
/*
 * One listing, from asking for it to what it changes.
 *
 * A list that has shrunk to less than half (or to nothing) is doubted: a server that
 * has lost its disk, a folder whose file system is not mounted, a token of another
 * project all answer with a short list and no error. What is new in it is taken over,
 * nothing is dropped; a listing that begins max-age later and is as short is believed, and so
 * is one that somebody asks for through .repo/refresh who was told of the doubt when he asked before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/remote/repo.h"

#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/* Nobody chooses from more by their names; a server that has no end would fill the disk. */
#define IMAGES_MAX 2000000u

#define SECOND_NS INT64_C(1000000000)

/* --- the kind's thread ------------------------------------------------------------------ */

static int listed(struct repo_list *list, const struct repo_entry *entry, struct reason *why)
{
	struct repo *repo = list->core;
	char *facts CLEANUP_FREE = facts_of_properties(entry->properties);
	char name[CATALOGUE_NAME_MAX];
	struct repo_entry bounded = *entry;
	struct catalogue_put put = { .entry = &bounded, .name = name, .facts = facts };
	int err;

	/* No file is that large: the kernel would not even look at it (EIO). */
	if (bounded.has_size && bounded.size > INT64_MAX) {
		bounded.has_size = false;
		bounded.size = 0;
	}
	if (++repo->listed > IMAGES_MAX)
		return reason_set(&repo->failed, EFBIG, "it lists more than %u images, that is too many", IMAGES_MAX);
	if (!entry->id || !*entry->id || strlen(entry->id) >= REPO_ID_MAX)
		return reason_set(why, EBADMSG, "an image without an id, or with one that is too long");
	entry_name(entry, name);
	err = catalogue_update_put(repo->update, &put, why);
	if (err && why)
		repo->failed = *why;
	return err;
}

/* All of it is written. The store's thread, or the kind's. */
static void written(void *arg)
{
	struct repo *repo = arg;

	pthread_mutex_lock(&repo->lock);
	repo->ended = true;
	pthread_mutex_unlock(&repo->lock);
	mirror_kick();
}

static bool has_room(struct repo_list *list)
{
	const struct repo *repo = list->core;

	return catalogue_update_room(repo->update);
}

static void done(struct repo_list *list, int err, bool all, bool unchanged, const struct reason *why)
{
	struct repo *repo = list->core;

	pthread_mutex_lock(&repo->lock);
	repo->ended_err = err;
	repo->ended_all = all;
	repo->ended_unchanged = unchanged;
	repo->ended_why = (struct reason){ 0 };
	if (err && why)
		repo->ended_why = *why;
	pthread_mutex_unlock(&repo->lock);
	if (repo->update)
		catalogue_update_flush(repo->update, written, repo);
	else
		written(repo);
}

/* --- the mirror's ------------------------------------------------------------------------- */

static void changed(uint64_t id, unsigned version, void *arg)
{
	struct repo *repo = arg;

	if (mirror_tell_entry(repo_id(repo), id, version))
		repo->open_changed = true;
}

void listing_begin(struct repo *repo, bool full)
{
	struct reason why = { 0 };
	int err;

	repo->began_ns = clock_now_ns();
	repo->began_mono_ns = clock_mono_ns();
	repo->full = full;
	repo->listed = 0;
	repo->failed = (struct reason){ 0 };
	repo->open_changed = false;
	repo->list = (struct repo_list){ .entry = listed, .room = has_room, .done = done, .core = repo };
	if (!full)
		text_copy(repo->list.cursor, sizeof(repo->list.cursor), repo->row.cursor);
	err = catalogue_update_new(mirror_store(), repo->row.id, changed, repo, &repo->update, &why);
	if (!err)
		err = repo_kind(repo)->list(repo_handle(repo), &repo->list, &why);
	if (err)
		done(&repo->list, -err, false, false, &why);
}

/* Is a list of so many instead of so many to be believed? Of three or less only their end is doubted. */
static bool implausible(const struct catalogue_counts *counts)
{
	if (!counts->listed)
		return counts->before;
	return counts->listed < counts->before / 2;
}

static bool doubt_over(const struct repo *repo, bool asked)
{
	int64_t age = repo->config->repo.max_age_ms * 1000000;

	if (!repo->row.doubt_ns)
		return false;
	return (asked && repo->doubt_told) ||
	       repo->began_mono_ns - repo->doubt_mono_ns >= (age > SECOND_NS ? age : SECOND_NS);
}

/* 0 or -errno. *doubted: nothing was dropped though much is gone. */
static int take_over(struct repo *repo, bool all, bool asked, bool *doubted, struct reason *why)
{
	struct catalogue_counts counts;
	int err;

	*doubted = false;
	/* What waits for its batch counts too. */
	err = catalogue_update_end(repo->update, false, why);
	if (err || !all)
		return err;
	catalogue_update_counts(repo->update, &counts);
	if (implausible(&counts) && !doubt_over(repo, asked)) {
		*doubted = true;
		if (!repo->row.doubt_ns) {
			repo->row.doubt_ns = repo->began_ns;
			repo->doubt_mono_ns = repo->began_mono_ns;
		}
		repo->row.doubt_count = counts.listed;
		repo->doubt_told = repo->doubt_told || asked;
		reason_set(why, EREMOTEIO, "it lists %llu images where there were %llu; nothing is dropped until another "
			   "listing says so too (echo > .repo/refresh asks for it)", (unsigned long long)counts.listed,
			   (unsigned long long)counts.before);
		return 0;
	}
	repo->row.doubt_ns = 0;
	repo->row.doubt_count = 0;
	repo->doubt_told = false;
	return catalogue_update_end(repo->update, true, why);
}

static void publish(struct repo *repo, int err, const struct catalogue_counts *counts)
{
	bool new = counts->added || counts->changed || counts->dropped || counts->renamed;
	uint64_t images = 0;

	/* They are counted where an error may have taken back what was counted on the way. */
	if (err)
		images = catalogue_repo_images(mirror_store(), repo->row.id);
	if (new)
		repo->row.generation++;
	if (counts->renamed || repo->open_changed)
		repo->renamed_mono_ns = clock_mono_ns();
	pthread_mutex_lock(&repo->lock);
	new = new || (!repo->state.answered && repo->row.listed_ns);
	repo->state.answered = repo->row.listed_ns;
	repo->state.listed_ns = repo->row.listed_ns;
	repo->state.images = err ? images : repo->state.images + (uint64_t)counts->shown;
	if (new)
		repo->state.changed_ns = clock_now_ns();
	pthread_mutex_unlock(&repo->lock);
	if (new)
		mirror_tell(repo, MIRROR_LISTING);
}

/* Those who wait for this listing, or longer than they wanted; taken out of the list. lock. */
static struct repo_wait *waits_take(struct repo *repo, uint64_t number)
{
	struct repo_wait *taken = NULL, **at = &repo->waits, *wait;

	while ((wait = *at)) {
		if (wait->number > number || wait->answer_ns) {
			at = &wait->next;
			continue;
		}
		*at = wait->next;
		wait->next = taken;
		taken = wait;
	}
	return taken;
}

static void waits_answer(struct repo *repo, struct repo_wait *wait, int err)
{
	int64_t until = repo->renamed_mono_ns ? repo->renamed_mono_ns + MIRROR_NAME_MS * INT64_C(1000000) : 0;
	bool later = until > clock_mono_ns();

	while (wait) {
		struct repo_wait *next = wait->next;

		if (later) {
			wait->answer_ns = until;
			wait->err = err;
			pthread_mutex_lock(&repo->lock);
			wait->next = repo->waits;
			repo->waits = wait;
			pthread_mutex_unlock(&repo->lock);
		} else {
			wait->done(wait, err);
		}
		wait = next;
	}
}

void listing_end(struct repo *repo)
{
	struct catalogue_counts counts = { 0 };
	struct reason why = { 0 };
	struct repo_wait *waits;
	bool all, unchanged, asked = false, doubted = false;
	int err;

	pthread_mutex_lock(&repo->lock);
	err = repo->ended_err;
	all = repo->ended_all;
	unchanged = repo->ended_unchanged;
	why = repo->ended_why;
	for (const struct repo_wait *w = repo->waits; w; w = w->next)
		asked = asked || (w->number <= repo->number && !w->deadline_ns && !w->answer_ns && !w->unasked);
	pthread_mutex_unlock(&repo->lock);

	/* What could not be written down is no fault of the repository's. */
	if (repo->failed.err) {
		why = repo->failed;
		err = repo->failed.err;
	} else if (err != ECANCELED) {
		state_reach(repo, err, &why);
	}
	if (!err && !unchanged) {
		err = -take_over(repo, all, asked, &doubted, &why);
	} else if (err && repo->update) {
		struct reason write = { 0 };

		/* What it did say before it failed is true all the same. */
		if (catalogue_update_end(repo->update, false, &write))
			log_warn("repository %s: %s", repo_name(repo), write.text);
	}
	if (repo->update)
		catalogue_update_counts(repo->update, &counts);
	catalogue_update_free(repo->update);
	repo->update = NULL;
	if (!err) {
		repo->row.listed_ns = repo->began_ns;
		if (all && !doubted) {
			repo->row.full_ns = repo->began_ns;
			repo->full_mono_ns = repo->began_mono_ns;
		}
		text_copy(repo->row.cursor, sizeof(repo->row.cursor), doubted ? "" : repo->list.cursor);
	}
	if (err != ECANCELED)
		state_error(repo, err || doubted ? why.text : "");
	publish(repo, err, &counts);
	state_save(repo);
	log_debug("repository %s: listing %llu: %s; %llu images, %llu new, %llu changed, %llu dropped", repo_name(repo),
		  (unsigned long long)repo->number, err ? why.text : "whole", (unsigned long long)counts.listed,
		  (unsigned long long)counts.added, (unsigned long long)counts.changed,
		  (unsigned long long)counts.dropped);

	pthread_mutex_lock(&repo->lock);
	repo->state.listings++;
	repo->state.failed += err && err != ECANCELED;
	repo->listing = repo->ended = false;
	repo->listed_mono_ns = repo->began_mono_ns;
	repo->ended_mono_ns = clock_mono_ns();
	repo->listing_ns = repo->ended_mono_ns - repo->began_mono_ns;
	/* By itself it is asked again while it cannot be reached, or is not believed. */
	repo->again_mono_ns = 0;
	if (err || doubted) {
		int64_t age = repo->config->repo.max_age_ms * 1000000;

		age = age < SECOND_NS ? SECOND_NS : age > 60 * SECOND_NS ? 60 * SECOND_NS : age;
		repo->again_mono_ns = clock_mono_ns() + age;
	}
	waits = waits_take(repo, repo->number);
	/* Who waits for a later one has it begin. */
	for (const struct repo_wait *w = repo->waits; w; w = w->next)
		if (!w->answer_ns)
			repo->wanted = repo->wanted_full = true;
	pthread_mutex_unlock(&repo->lock);
	waits_answer(repo, waits, doubted ? EREMOTEIO : err);
}
