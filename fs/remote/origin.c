// SPDX-License-Identifier: Apache-2.0
/*
 * Between the catalogue's images and their bytes (origin.h): whom to ask for them, and
 * what becomes known of an image and of its repository when somebody does.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/remote/origin.h"
#include "fs/remote/repo.h"
#include "fs/remote/source.h"

#include <fabricfs/catalogue.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

/* For so long after it could not be reached nobody is made to wait for it again. */
#define OFFLINE_NS (INT64_C(5) * 1000000000)
/*
 * Beyond the patience of the kinds themselves, who know better what is wrong: one that
 * asks over the network waits twice the time for silence, and a minute for a server which
 * wants to be asked later.
 */
#define PATIENCE_MS 90000

static _Atomic int64_t unreached_ns[CONFIG_REPOS_MAX];

static _Atomic int64_t *unreached(const struct repo *repo)
{
	return &unreached_ns[repo - mirror_nth(0)];
}

/* --- images that are other ones now -------------------------------------------------------------- */

/*
 * What the listing still says of them is old: until it says something else they
 * are read as if it had said nothing. The last few; the listing is asked for anew.
 */
#define STALE_MAX 64
static struct stale {
	uint64_t entry;
	int64_t mtime_ns;
	char validator[REPO_ID_MAX];
	uint64_t times;
} stale[STALE_MAX];
static unsigned stale_at;
static pthread_mutex_t stale_lock = PTHREAD_MUTEX_INITIALIZER;

/* How often it was found to be another since it was listed so; 0 = it was not. */
static uint64_t stale_times(const struct catalogue_entry *e)
{
	uint64_t times = 0;

	pthread_mutex_lock(&stale_lock);
	for (unsigned i = 0; i < STALE_MAX; i++)
		/* Its size may have been corrected meanwhile. */
		if (stale[i].entry == e->id && stale[i].mtime_ns == e->mtime_ns &&
		    !strcmp(stale[i].validator, e->validator))
			times = stale[i].times;
	pthread_mutex_unlock(&stale_lock);
	return times;
}

static void stale_note(const struct catalogue_entry *e)
{
	struct stale *s = NULL;

	pthread_mutex_lock(&stale_lock);
	for (unsigned i = 0; i < STALE_MAX && !s; i++)
		if (stale[i].entry == e->id)
			s = &stale[i];
	if (!s) {
		s = &stale[stale_at++ % STALE_MAX];
		s->times = 0;
	}
	s->entry = e->id;
	s->mtime_ns = e->mtime_ns;
	text_copy(s->validator, sizeof(s->validator), e->validator);
	s->times++;
	pthread_mutex_unlock(&stale_lock);
}

/* --- what the repository is told -------------------------------------------------------------------- */

static bool told_offline(const struct origin *o, bool *now, struct reason *why)
{
	struct repo *repo = o->core;
	struct repo_state state;
	char since[RFC3339_MAX];

	repo_state_get(repo, &state);
	if (!state.asked || state.online)
		return false;
	*now = clock_mono_ns() - atomic_load(unreached(repo)) <= OFFLINE_NS;
	clock_rfc3339(state.since_ns, since);
	reason_set(why, EHOSTUNREACH, "%s is not cached, and its repository is offline since %s: %s", o->name, since,
		   state.reason);
	return true;
}

static void told_asked(const struct origin *o, int err, const struct reason *why)
{
	struct repo *repo = o->core;

	if (err == EHOSTUNREACH)
		atomic_store(unreached(repo), clock_mono_ns());
	/* What went wrong on this side says nothing of the repository. */
	if (err == EDQUOT)
		log_debug("%s", why->text); /* who waits for it is told, and nobody else misses it */
	else if (err == ENOSPC || err == EROFS || err == ENOMEM)
		log_warn("%s", why->text);
	else
		repo_told(repo, err, why);
}

static void refreshed(struct repo_wait *wait, int err)
{
	(void)err;
	free(wait);
}

static void told_replaced(const struct origin *o)
{
	struct repo_wait *wait = calloc(1, sizeof(*wait));
	struct catalogue_entry e;

	if (!catalogue_entry_get(mirror_store(), o->entry, &e, NULL) && !strcmp(e.validator, o->validator))
		stale_note(&e);
	if (!wait)
		return;
	wait->done = refreshed;
	wait->unasked = true;
	repo_refresh(o->core, wait);
}

static void told_refused(const struct origin *o, const struct reason *why, const char *sha256, uint64_t size)
{
	int64_t now = clock_now_ns();
	char time[RFC3339_MAX], source[REPO_ID_MAX + 320], *json;
	struct reason store_why = { 0 };
	json_t *event;

	clock_rfc3339(now, time);
	source_of_origin(o, source, sizeof(source));
	event = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s*}", "time", time, "repo",
			  repo_name(o->core), "event", "image-refused", "result", errno_name(why->err), "reason",
			  why->text, "sha256", sha256, "size", (json_int_t)size, "source", source);
	json = event ? json_dumps(event, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	json_decref(event);

	struct store_record record = { .time_ns = now, .dev = -1, .slot = -1, .json = json };

	if (!json || store_record_add(mirror_store(), &record, NULL, &store_why))
		log_warn("the event of a refused image is not kept: %s", json ? store_why.text : "no memory");
	free(json);
	mirror_tell(o->core, MIRROR_EVENT);
	mirror_tell_entry(repo_id(o->core), o->entry, o->version);
}

static void entry_gone(uint64_t repo, uint64_t id, unsigned version, void *arg)
{
	(void)arg;
	mirror_tell_entry(repo, id, version);
}

/* Now, and not only when somebody opens it: who looks at it first and opens it then sees one image. */
static void told_gone(const struct origin *o, uint64_t content)
{
	struct reason why = { 0 };

	if (catalogue_content_gone(mirror_store(), content, entry_gone, NULL, &why))
		log_warn("%s: %s", o->name, why.text);
}

static void told_size(const struct origin *o, uint64_t size)
{
	struct reason why = { 0 };

	if (catalogue_entry_size_set(mirror_store(), o->entry, o->version, size, &why))
		log_warn("%s: %s", o->name, why.text);
	mirror_tell_entry(repo_id(o->core), o->entry, o->version);
}

/* What its bytes show, beside what only its properties tell. */
static void told_facts(const struct origin *o, const struct image_facts *facts)
{
	char *before CLEANUP_FREE = NULL, *after CLEANUP_FREE = NULL;
	char *found CLEANUP_FREE = image_facts_json(facts, NULL, "", 0, 0, NULL, NULL);
	struct reason why = { 0 };
	json_t *old, *new = json_object(), *from = found ? json_loads(found, 0, NULL) : NULL;
	static const char *const keys[] = { "format", "vendor", "family", "part", "idcode", "shell", "design", "tool",
					    "built", "partial" };

	if (catalogue_facts(mirror_store(), o->entry, &before, &why))
		log_debug("%s: %s", o->name, why.text);
	old = before ? json_loads(before, 0, NULL) : NULL;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		json_t *value = json_object_get(from, keys[i]);

		if (value && !json_is_null(value))
			json_object_set(new, keys[i], value);
		else if (json_object_get(old, keys[i]))
			json_object_set(new, keys[i], json_object_get(old, keys[i]));
	}
	if (!json_equal(new, old)) {
		after = json_dumps(new, JSON_COMPACT | JSON_SORT_KEYS);
		if (after && catalogue_facts_set(mirror_store(), o->entry, after, &why))
			log_debug("%s: %s", o->name, why.text);
		mirror_tell(o->core, MIRROR_LISTING);
	}
	json_decref(old);
	json_decref(new);
	json_decref(from);
}

static const struct origin_ops told;

/* --- origins ------------------------------------------------------------------------------------------ */

/* A name for sentences and records, which are UTF-8 whatever its owner called it. */
static void name_clean(const char *name, char *out, size_t size)
{
	struct buf clean CLEANUP_BUF = BUF_INIT;

	text_clean(name, &clean);
	text_copy(out, size, clean.data);
}

static void origin_fill(struct origin *o, struct repo *repo, const struct catalogue_entry *e)
{
	uint64_t times = *e->digest_algo ? 0 : stale_times(e);
	char name[CATALOGUE_NAME_MAX];

	o->ops = &told;
	o->core = repo;
	o->kind = repo_kind(repo);
	o->repo = repo_handle(repo);
	o->entry = e->id;
	o->version = e->version;
	o->listed_size = e->size;
	o->mtime_ns = e->mtime_ns;
	o->patience_ms = repo_config(repo)->offline_timeout_ms * 2 + PATIENCE_MS;
	o->weak = repo_listed_weakly(e->validator, e->digest_algo);
	text_copy(o->id, sizeof(o->id), e->remote_id);
	name_clean(e->name, name, sizeof(name));
	snprintf(o->name, sizeof(o->name), "%.30s/%s", repo_name(repo), name);
	if (times) {
		/* Whatever it is now. */
		snprintf(o->key, sizeof(o->key), "%" PRIu64 "\n%s\n?%" PRIu64 " %s", e->repo, e->remote_id, times,
			 e->validator);
		return;
	}
	o->has_size = e->has_size && !e->size_rounded;
	o->size = e->size;
	text_copy(o->validator, sizeof(o->validator), e->validator);
	text_copy(o->digest_algo, sizeof(o->digest_algo), e->digest_algo);
	text_copy(o->digest, sizeof(o->digest), e->digest);
	origin_key(o, e->repo, e->mtime_ns, e->size);
}

int origin_of_entry(uint64_t entry, struct origin **out, struct reason *why)
{
	struct catalogue_entry e;
	struct repo *repo;
	struct origin *o;
	int err = catalogue_entry_get(mirror_store(), entry, &e, why);

	if (err)
		return err;
	if (e.data == REPO_DATA_NONE)
		return reason_set(why, ENODATA, "%s has no data yet: %s", e.name, e.status);
	if (e.data == REPO_DATA_SHUT)
		return reason_set(why, EACCES, "%s was withdrawn: %s", e.name, e.status);
	repo = mirror_find(e.repo);
	if (!repo)
		return reason_set(why, ENOENT, "%s is of a repository that is not configured any more", e.name);
	o = origin_new();
	if (!o)
		return reason_set(why, ENOMEM, "no memory for %s", e.name);
	origin_fill(o, repo, &e);
	o->noted = e.content;
	*out = o;
	return 0;
}

int origin_of_nobody(struct origin **out, struct reason *why)
{
	struct origin *o = origin_new();

	if (!o)
		return reason_set(why, ENOMEM, "no memory for an image that is listed no more");
	text_copy(o->name, sizeof(o->name), "an image that is listed no more");
	*out = o;
	return 0;
}

int origin_content(struct origin *o, struct content **out, struct reason *why)
{
	struct reason note = { 0 };
	uint64_t size;
	int err = content_open(o, 0, out, why);

	if (err)
		return err;
	/* All of it is here by way of another entry: what this one lists is the size that the kernel reads to. */
	if (content_is_whole(*out, NULL, &size) && (!o->has_size || o->size != size)) {
		if (o->has_size && *o->digest_algo) {
			content_put(*out);
			return reason_set(why, EBADMSG, "%s: %" PRIu64 " bytes are listed, and those that have its %s "
					  "are %" PRIu64, o->name, o->size, o->digest_algo, size);
		}
		told_size(o, size);
	}
	if (content_id(*out) == o->noted)
		return 0;
	err = catalogue_entry_content_set(mirror_store(), o->entry, o->version, content_id(*out), &note);
	if (err == -ESTALE) {
		mirror_tell_entry(repo_id(o->core), o->entry, o->version);
		content_put(*out);
		*why = note;
		return reason_wrap(why, "%s", o->name);
	}
	if (err)
		log_debug("%s: %s", o->name, note.text);
	else
		o->noted = content_id(*out);
	return 0;
}

/* --- the same bytes elsewhere ------------------------------------------------------------------------- */

/* Images with a digest, one of each repository. */
struct others {
	const struct origin *than;
	struct repo *repos[CONFIG_REPOS_MAX];
	uint64_t entries[CONFIG_REPOS_MAX];
	unsigned len;
};

static int other_add(const struct catalogue_entry *e, void *arg)
{
	struct others *others = arg;
	struct repo *repo = mirror_find(e->repo);

	if (!repo || repo == others->than->core || e->data != REPO_DATA ||
	    strcmp(e->digest_algo, others->than->digest_algo) != 0)
		return 0;
	for (unsigned i = 0; i < others->len; i++)
		if (others->repos[i] == repo)
			return 0;
	others->repos[others->len] = repo;
	others->entries[others->len++] = e->id;
	return others->len == CONFIG_REPOS_MAX;
}

static struct origin *told_other(const struct origin *o, bool (*may)(const void *core, void *arg), void *arg)
{
	struct others others = { .than = o };
	struct origin *other = NULL;
	struct reason why = { 0 };

	if (catalogue_with_digest(mirror_store(), o->digest_algo, o->digest, other_add, &others, &why) < 0)
		log_debug("%s: %s", o->name, why.text);
	for (unsigned i = 0; i < others.len && !other; i++) {
		struct repo_state state;

		repo_state_get(others.repos[i], &state);
		if ((state.asked && !state.online) || !may(others.repos[i], arg) ||
		    origin_of_entry(others.entries[i], &other, &why))
			continue;
		/* It may have been listed anew meanwhile. */
		if (strcmp(other->key, o->key)) {
			origin_put(other);
			other = NULL;
		}
	}
	if (other)
		log_info("%s is read from %s", o->name, other->name);
	return other;
}

static const struct origin_ops told = {
	.offline = told_offline,
	.other = told_other,
	.asked = told_asked,
	.replaced = told_replaced,
	.refused = told_refused,
	.gone = told_gone,
	.sized = told_size,
	.recognised = told_facts,
};

/* --- what the cache has ---------------------------------------------------------------------------- */

struct repo_bytes {
	const struct repo *repo;
	int64_t bytes;
};

static int entry_origin(uint64_t entry, struct origin **out, struct reason *why)
{
	struct catalogue_entry e;
	struct repo *repo;
	int err = catalogue_entry_get(mirror_store(), entry, &e, why);

	if (err)
		return err;
	repo = mirror_find(e.repo);
	*out = repo ? origin_new() : NULL;
	if (!*out)
		return reason_set(why, repo ? ENOMEM : ENOENT, "%s: no such repository, or no memory", e.name);
	origin_fill(*out, repo, &e);
	return 0;
}

int entry_cache_get(uint64_t entry, struct entry_cache *cache, struct reason *why)
{
	struct cache_content row;
	struct origin *o;
	int err = entry_origin(entry, &o, why);

	*cache = (struct entry_cache){ 0 };
	if (err)
		return err;
	if (!cache_content_find(mirror_store(), o->key, &row, NULL)) {
		cache->cached = contents_cached(row.id);
		memcpy(cache->sha256, row.sha256, sizeof(cache->sha256));
	}
	cache->pinned = cache_pinned(mirror_store(), entry);
	origin_put(o);
	return 0;
}

int entry_pin(uint64_t entry, bool pinned, struct reason *why)
{
	struct catalogue_entry e;
	int err = catalogue_entry_get(mirror_store(), entry, &e, why);

	return err ? err : cache_pin_set(mirror_store(), entry, pinned, why);
}

static void cached_since(uint64_t content, int64_t bytes, void *arg)
{
	struct repo_bytes *sum = arg;

	if (cache_is_of(mirror_store(), content, repo_id(sum->repo)))
		sum->bytes += bytes;
}

uint64_t repo_cached(const struct repo *repo)
{
	struct repo_bytes sum = { .repo = repo };

	sum.bytes = (int64_t)cache_bytes_of(mirror_store(), repo_id(repo));
	contents_unnoted(cached_since, &sum);
	return sum.bytes > 0 ? (uint64_t)sum.bytes : 0;
}

/* --- is that what is there now ----------------------------------------------------------------------- */

/* What is cached under this key; false: nothing. */
static bool cached_find(const struct origin *o, struct cache_content *row)
{
	return !cache_content_find(mirror_store(), o->key, row, NULL) && !row->gone &&
	       (row->whole || contents_cached(row->id));
}

bool entry_is_cached(uint64_t entry)
{
	struct cache_content row;
	struct origin *o;
	bool is;

	if (entry_origin(entry, &o, NULL))
		return false;
	is = cached_find(o, &row);
	origin_put(o);
	return is;
}

static bool is_other(const struct cache_content *row, const struct repo_content *now)
{
	const char *validator = now->validator;

	if (now->has_size && row->has_size && now->size != row->size)
		return true;
	return *validator && *validator == *row->validator && strcmp(validator, row->validator);
}

void entry_told(uint64_t entry, unsigned version, const struct repo_content *now)
{
	struct cache_content row;
	struct catalogue_entry e;
	struct reason why = { 0 };
	struct origin *o;
	int err = catalogue_entry_get(mirror_store(), entry, &e, &why);
	bool weak = !err && repo_listed_weakly(e.validator, e.digest_algo), cached, other;

	if (err || e.version != version || entry_origin(entry, &o, &why)) {
		log_debug("what was told of an image is not kept: %s", err ? why.text : "it has other bytes now");
		return;
	}
	cached = weak && cached_find(o, &row);
	other = cached && is_other(&row, now);
	/* As long as what is cached is what is there, its key stays. */
	if (!cached || other) {
		if (now->has_size && now->mtime_ns && repo_validator_is_weak(e.validator))
			err = catalogue_entry_told(mirror_store(), entry, version, now->size, now->mtime_ns, &why);
		else if (now->has_size)
			err = catalogue_entry_size_set(mirror_store(), entry, version, now->size, &why);
		if (err)
			log_warn("%s: %s", o->name, why.text);
		mirror_tell_entry(repo_id(o->core), entry, version);
	}
	/* Of the same second, or no time at all: then by counting. */
	for (int i = 0; i < STALE_MAX && other && !catalogue_entry_get(mirror_store(), entry, &e, NULL); i++) {
		struct cache_content next;

		origin_fill(o, o->core, &e);
		if (!cached_find(o, &next) || !is_other(&next, now))
			break;
		stale_note(&e);
	}
	if (other)
		told_gone(o, row.id);
	origin_put(o);
}

/* --- sources ---------------------------------------------------------------------------------------- */

void source_of_origin(const struct origin *o, char *out, size_t size)
{
	const char *name = strchr(o->name, '/');

	snprintf(out, size, "%s:%s@%s", repo_name(o->core), name ? name + 1 : o->name, o->id);
}

/* The first that is of a repository which is there. */
static int source_find(const struct catalogue_entry *e, void *arg)
{
	struct catalogue_entry *found = arg;

	if (!mirror_find(e->repo))
		return 0;
	*found = *e;
	return 1;
}

bool source_of_digest(const char *sha256, char *out, size_t size)
{
	struct catalogue_entry e;
	char name[CATALOGUE_NAME_MAX];

	if (!mirror_count() || catalogue_with_digest(mirror_store(), "sha256", sha256, source_find, &e, NULL) <= 0)
		return false;
	name_clean(e.name, name, sizeof(name));
	snprintf(out, size, "%s:%s@%s", repo_name(mirror_find(e.repo)), name, e.remote_id);
	return true;
}

bool source_is_of(const char *algo, const char *digest, const char *name)
{
	struct repo *repo = mirror_count() ? mirror_named(name) : NULL;

	return repo && catalogue_digest_is_of(mirror_store(), repo_id(repo), algo, digest);
}

void source_unsound(const char *sha256)
{
	if (mirror_count())
		contents_unsound(sha256);
}
