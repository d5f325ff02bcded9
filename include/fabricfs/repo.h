// SPDX-License-Identifier: Apache-2.0
/*
 * Repositories: what a kind of server of images has to do.
 *
 * The mirror (fs/remote) keeps the names, the listing, the cached bytes, what is
 * asked for and by whom; a kind speaks one protocol. It knows nothing of FUSE,
 * of files, of the store or of other kinds, and it keeps no images.
 *
 * Threads: list(), fetch() and the cancel()s may be called from any thread and
 * never wait. What they lead to (entry, begin, data, done) is called on one
 * thread of the kind's own (the transfer thread for all that is asked over the
 * network), one call at a time for one request, never inside list(), fetch() or
 * a cancel(), and never after done(). Every request that was taken is done()
 * exactly once. The callbacks do not wait either, but for the local disk.
 *
 * Errors of done(), the same for every kind:
 *   EHOSTUNREACH  no connection could be made: the repository is offline
 *   EREMOTEIO     it answered with an error, also after the retries
 *   EACCES        it refused the credentials (told once, not tried again and again)
 *   ENOENT        it has no such image (any more)
 *   ENODATA       the image has no data (yet)
 *   ESTALE        the bytes are others than those asked for: replaced there
 *   EBADMSG       what it said makes no sense (a page instead of a list, a wrong range)
 *   ETIMEDOUT     connected, and then nothing came for too long, also after the retries
 *   ECANCELED     cancel() came first
 * or what a callback returned. The sentence names the repository's address and
 * what was asked, never a secret.
 */
#ifndef FABRICFS_REPO_H
#define FABRICFS_REPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fabricfs/error.h>

/* --- configuration ---------------------------------------------------------- */

enum repo_key_kind {
	REPO_KEY_TEXT,     /* text */
	REPO_KEY_FILE,     /* text: an absolute path */
	REPO_KEY_URL,      /* text: checked to be http:// or https:// with a host */
	REPO_KEY_INTEGER,  /* number: non-negative */
	REPO_KEY_BOOL,     /* number: 0 or 1 */
	REPO_KEY_DURATION, /* number: milliseconds */
	REPO_KEY_WORDS,    /* list */
};

/* A key that a kind takes beside the common ones (kind, max-age, writable). */
struct repo_key {
	const char *name; /* as written in fabricfs.yaml */
	enum repo_key_kind kind;
};

struct repo_value {
	const char *key;
	enum repo_key_kind kind;
	const char *text;
	int64_t number;
	const char *const *list; /* NULL-terminated */
	size_t list_len;
};

/* One repository of the configuration. All of it outlives the open repository. */
struct repo_config {
	const char *name; /* never NULL */
	const char *kind;
	int64_t max_age_ms; /* of a listing */
	bool writable;
	int64_t connect_timeout_ms; /* to make one connection */
	int64_t offline_timeout_ms; /* until a request of an unreachable repository is given up */
	const struct repo_value *values;
	size_t values_len;
};

/* The value of a key, or NULL when it was not written. */
const struct repo_value *repo_config_get(const struct repo_config *config, const char *key);
/* Its text, or `otherwise`. */
const char *repo_config_text(const struct repo_config *config, const char *key, const char *otherwise);

/* --- listing ----------------------------------------------------------------- */

/* Of images with one name, the first in this order has it; then the newest. */
enum repo_rank { REPO_OWN, REPO_SHARED, REPO_COMMUNITY, REPO_PUBLIC };

enum repo_data {
	REPO_DATA,      /* it can be read */
	REPO_DATA_NONE, /* listed, but has no data (yet): ENODATA */
	REPO_DATA_SHUT, /* withdrawn: the server gives its data to nobody now: EACCES */
};

#define REPO_ID_MAX	   1024 /* bytes of an id or a validator, with the NUL */
#define REPO_PROPERTIES_MAX 128
#define REPO_PROPERTY_MAX  65536 /* bytes of a property's value */

/* An image as its server lists it. Owned by the kind, valid during the call. */
struct repo_entry {
	/* What it is called by for as long as it exists there: a UUID, a path, a key. Printable ASCII
	 * without blanks (percent-encoded where it is not), never "". */
	const char *id;
	/* What its owner called it: any bytes, also none (len 0). */
	const char *name;
	size_t name_len;
	enum repo_rank rank;
	enum repo_data data;
	const char *status; /* the server's own word; "" = it has none */
	bool has_size;
	bool size_rounded;  /* the size is what an index shows ("1.2M"), good to show, not to trust */
	uint64_t size;	    /* bytes */
	int64_t mtime_ns;   /* since the epoch; 0 = unknown */
	/*
	 * Digest of the whole content, as the server or a manifest says it: algo one of "sha512",
	 * "sha384", "sha256", "sha1", "md5", or NULL = none; lower-case hex.
	 */
	const char *digest_algo, *digest;
	/*
	 * Two entries (or one, at two times) of this repository with the same id and validator have
	 * the same bytes: an ETag, else a time and a size. "" = only a fetch tells it. What a listing
	 * says (a time and a size) and what a fetch says (an ETag) of the same bytes may differ as
	 * texts; fetch() takes either, and compares what can be compared. What stat() and fetch() say
	 * differs in its first character when it cannot be compared.
	 * A '~' in front: the listing shows too little (a time in minutes); if it differs the bytes do, but the
	 * same is no promise. As with "", stat() tells then.
	 */
	const char *validator;
#define REPO_VALIDATOR_WEAK '~'
	/* Pairs name, value; NULL-terminated. NULL = none. UTF-8 as far as the server keeps to it. */
	const char *const *properties;
};

/* Its time is unknown, or as good as that; stat() tells it. */
static inline bool repo_validator_is_weak(const char *validator)
{
	return !*validator || *validator == REPO_VALIDATOR_WEAK;
}

/* The listing cannot show that its bytes are others now; stat() can. */
static inline bool repo_listed_weakly(const char *validator, const char *digest_algo)
{
	return !*digest_algo && repo_validator_is_weak(validator);
}

/* A time as mtime_ns has it; the last or the first that it can have, of one that is further away (ext4 has
 * times up to the year 2446, pages and other file systems any). */
static inline int64_t repo_time_ns(int64_t seconds, long ns)
{
	const int64_t max = INT64_MAX / 1000000000;

	if (seconds >= max || seconds <= -max)
		return (seconds > 0 ? max : -max) * 1000000000;
	return seconds * 1000000000 + ns;
}

/* One listing. Owned by the mirror until done() has been called. */
struct repo_list {
	/* Only what changed since the listing that gave `cursor` ("" = all). A kind that cannot tell
	 * lists all, and says so by `all` in done(). */
	char cursor[REPO_ID_MAX];
	/* A failure or a negative errno of the mirror's ends the listing. */
	int (*entry)(struct repo_list *list, const struct repo_entry *entry, struct reason *why);
	/* May be NULL. Asked before more is read of a list that comes; false: what comes waits, as far as a kind can
	 * have it wait, until repo_kinds_resume(), and this is asked again. */
	bool (*room)(struct repo_list *list);
	/* err positive, 0 = the listing is whole. all: every image was given, what was not is gone;
	 * cursor has been replaced by the next one. unchanged: nothing is new, no entry was given. */
	void (*done)(struct repo_list *list, int err, bool all, bool unchanged, const struct reason *why);
	void *core; /* the mirror's own */
	void *kind; /* the kind's own while it is taken */
};

/* --- fetching ---------------------------------------------------------------- */

/* What the server says of the bytes that come. */
struct repo_content {
	bool has_size;
	uint64_t size; /* of the whole image */
	/* As in repo_entry, "" = none; the strongest that the server tells: the further parts of this
	 * content are best asked for with it. */
	const char *validator;
	int64_t mtime_ns; /* 0 = not said */
	/* It sends all of the image whatever range is asked for (the part before the range is left out
	 * here): further parts cost as much as the whole, so ask for all of it at once. */
	bool whole_only;
};

/*
 * One range of one image. Owned by the mirror until done() has been called.
 * A connection that breaks is made again, and goes on where it stopped, within
 * the same fetch; nothing is given twice.
 */
struct repo_fetch {
	const char *id;
	const char *validator; /* the bytes have to be of this one, else ESTALE; "" = whatever is there */
	uint64_t offset;
	uint64_t length; /* bytes; fewer come only when the image ends. 0 = to its end */
	/* Once, before data. */
	int (*begin)(struct repo_fetch *fetch, const struct repo_content *content, struct reason *why);
	/* The next n bytes of the range, in order. */
	int (*data)(struct repo_fetch *fetch, const void *bytes, size_t n, struct reason *why);
	void (*done)(struct repo_fetch *fetch, int err, const struct reason *why);
	void *core;
	void *kind;
};

/* What a listing left open of one image: its exact size, its time. Owned by the mirror until done(). */
struct repo_stat {
	const char *id;
	/* content is NULL when err is not 0. */
	void (*done)(struct repo_stat *stat, int err, const struct repo_content *content,
		     const struct reason *why);
	void *core;
	void *kind;
};

/* What it has cost so far; counted by the kind, since it was opened. */
struct repo_cost {
	uint64_t requests, retries, logins;
	uint64_t received; /* bytes of bodies */
};

/* --- the table ---------------------------------------------------------------- */

#define REPO_ABI 1
struct repo_kind {
	unsigned version; /* REPO_ABI */
	const char *name; /* the word in `kind` */
	const struct repo_key *keys; /* terminated by a NULL name */
	/* Is this configuration usable, as far as can be said without asking anybody? Reads no secret.
	 * Main thread, before mounting. */
	int (*check)(const struct repo_config *config, struct reason *why);
	/*
	 * Read what files and the environment say (certificates, credentials): this is called while
	 * the worker still has the rights it was started with, and on the main thread. Nothing is
	 * asked over the network. A missing or unreadable file is an error here.
	 */
	int (*open)(const struct repo_config *config, void **repo, struct reason *why);
	/* All its requests are done. */
	void (*close)(void *repo);
	/* 0: taken, done() follows. -errno: not taken. A cancel may come from another thread when done() is
	 * on its way or over: the list or fetch is still there until the cancel has returned, and
	 * the cancel does nothing then (the kind sets `kind` NULL, under its own lock, before it
	 * calls done). */
	int (*list)(void *repo, struct repo_list *list, struct reason *why);
	void (*list_cancel)(void *repo, struct repo_list *list);
	int (*fetch)(void *repo, struct repo_fetch *fetch, struct reason *why);
	void (*fetch_cancel)(void *repo, struct repo_fetch *fetch);
	/* One request without a body. May be NULL: then every listing tells exact sizes. Asked for when
	 * somebody looks at a file whose size is rounded or unknown, never for a whole listing. */
	int (*stat)(void *repo, struct repo_stat *stat, struct reason *why);
	void (*stat_cancel)(void *repo, struct repo_stat *stat);
	void (*cost)(void *repo, struct repo_cost *cost);
	/*
	 * From now on call changed(arg), on any thread, when what it lists may have changed; as often
	 * as it likes, not after close(). Called once, before any request. May be NULL: the kind
	 * hears of no changes.
	 */
	void (*watch)(void *repo, void (*changed)(void *arg), void *arg);
};

/* The table of kinds; NULL-terminated. Defined in backend/repo/table.c. */
extern const struct repo_kind *const repo_kinds[];
const struct repo_kind *repo_kind_find(const char *name);

/* The threads of the kinds: after the worker has dropped its rights, before the first request;
 * and at the end, when no request is left. False: a thread is left behind in a call that does
 * not end, so what it may still look at has to stay, and only _exit() ends the process. Main thread. */
int repo_kinds_start(struct reason *why);
bool repo_kinds_stop(void);
/* There may be room again where there was none (repo_list). Any thread; never waits. */
void repo_kinds_resume(void);

#endif
