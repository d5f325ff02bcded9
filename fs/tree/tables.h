// SPDX-License-Identifier: Apache-2.0
/*
 * The tree as data (private to fs/tree): a file is a row, a place is a row with
 * the card it belongs to. Look-up, listing, attributes, opening and reading are
 * written once over places; what is not fixed (cards, links, sensors,
 * temporaries) is added to the rows of its folder in dirs.c.
 */
#ifndef FS_TREE_TABLES_H
#define FS_TREE_TABLES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/card/cards.h"
#include "fs/remote/mirror.h"
#include "fs/tree/active.h"
#include "fs/tree/node.h"

#include <fabricfs/buf.h>

/* File numbers of kind NODE_TOP. Never renumber. */
enum top_file {
	TOP_ROOT = 1, TOP_README = 2, TOP_STATUS = 3, TOP_STATUS_JSON = 4, TOP_EVENTS = 5,
	TOP_FOLLOW = 6, TOP_METRICS = 7, TOP_VERSION = 8, TOP_BY_ID = 9, TOP_BY_PATH = 10,
	TOP_BY_PART = 11, TOP_REMOTE = 12,
};

/* How long the kernel may believe what it was told (FUSE.md, Costs). */
enum keep {
	KEEP_VALUE,  /* content and attributes, until a change is told */
	KEEP_RENDER, /* attributes; content is rendered for each open */
	KEEP_FRESH,  /* nothing: nobody tells of its changes */
	KEEP_ACTIVE, /* attributes, until a change is told; content is the active operations' */
	KEEP_NOTHING, /* not even the name: image, check */
};

enum row_flags {
	ROW_HIDDEN = 1,   /* opened by name, not listed */
	ROW_SLOT = 2,     /* slots have it too */
	ROW_CARD = 4,     /* the card itself has it */
	ROW_POLL = 8,     /* readiness follows `version` */
	ROW_OWNED = 16,   /* owner, group and mode are those of the slot */
	ROW_MEASURED = 32, /* shows the last telemetry: opening it has the next one read */
};

struct place;

struct row {
	uint32_t dir;  /* file number of the folder that it is in */
	uint32_t file;
	const char *name;
	mode_t type;   /* S_IFREG or S_IFDIR */
	enum keep keep;
	unsigned flags;
	unsigned changes; /* CHANGE_* after which kept things are stale */
	/* The content now; of a folder NULL. */
	void (*format)(const struct place *p, struct buf *out);
	/* Bytes that format would give, where that is cheaper than doing it. May be NULL. */
	uint64_t (*size)(const struct place *p);
	/* When the content last changed; NULL: with the program. */
	int64_t (*mtime)(const struct place *p);
	/* For poll: grows whenever the content changes. */
	uint64_t (*version)(const struct place *p);
	const struct active_ops *ops;
};

extern const struct row top_rows[];
extern const unsigned top_rows_len;
extern const struct row card_rows[];
extern const unsigned card_rows_len;
extern const struct row repo_rows[]; /* repo_files.c */
extern const unsigned repo_rows_len;

/* A node, found: valid until place_close(). */
struct place {
	uint64_t ino;
	enum node_kind kind;
	unsigned dev;
	int slot;
	uint32_t file;
	const struct row *row; /* NULL: sensor, link, by-part/<part>, temporary, image of a repository */
	struct repo *repo;     /* of remote/<repository>/ and .repo/; else NULL */
	struct repo *fits;     /* of fits/<repository>/; else NULL */
	struct card *card;     /* NULL at the top */
	const struct card_view *view;
	const struct slot_view *self; /* of the slot, or of the card */
};

/* 0, -ENOENT: no such node (any more). */
int place_open(struct place *p, uint64_t ino);
void place_close(struct place *p);
#define CLEANUP_PLACE __attribute__((cleanup(place_close)))

bool place_is_dir(const struct place *p);
bool place_is_link(const struct place *p);
/* devN or slots/N: the folders where uploads may make names. */
bool place_takes_uploads(const struct place *p);
/* The rows that the place is one of, or has below it. */
const struct row *place_rows(const struct place *p, unsigned *len);
/* Operations of an active file, NULL: passive. */
const struct active_ops *place_active(const struct place *p);
/* The row of a name in a folder, NULL: none; *ino: its node. */
const struct row *row_find(const struct place *dir, const char *name, uint64_t *ino);
/* Is the row there (slot or card, endpoint that could be offered)? */
bool row_exists(const struct row *row, const struct place *dir);
uint64_t row_ino(const struct row *row, const struct place *dir);

/* --- dirs.c ------------------------------------------------------------------------ */

/* 0 and *ino, or -ENOENT, -ENAMETOOLONG. tid: who asks, for the hidden `image`. */
int dir_lookup(const struct place *dir, const char *name, pid_t tid, uint64_t *ino);
/* fn for each listed name without . and ..; stops when it returns non-zero. */
int dir_each(const struct place *dir, int (*fn)(const char *name, uint64_t ino, void *arg), void *arg);
uint64_t dir_parent(const struct place *dir);
/* Of a link, as readlink tells it. */
void link_target(const struct place *p, struct buf *out);
/* A name for the file system out of any text: '/', '%', control bytes, and . and .. as a
 * whole are percent-encoded; cut at `max` bytes of result. */
void name_encode(const char *text, size_t max, struct buf *out);

/* --- what is rendered -------------------------------------------------------------- */

/* Content of a passive file: format of its row, or of a sensor. */
void place_format(const struct place *p, struct buf *out);
uint64_t place_size(const struct place *p);
int64_t place_mtime(const struct place *p);

void format_status(const struct place *p, struct buf *out);
void format_status_json(const struct place *p, struct buf *out);
void format_metrics(const struct place *p, struct buf *out);
bool metrics_moving(void); /* something in metrics changes without being told */
void format_readme(const struct place *p, struct buf *out);
void sensor_format(const struct card_sensor *sensor, struct buf *out);
/* image_takes bits as `takes` says them. */
const char *takes_words(unsigned takes);
/* value of a file of loaded/ by its name; false: there is no such file. For attributes. */
bool loaded_value(const struct slot_view *self, const char *name, struct buf *out);
extern const char *const loaded_names[];
extern const unsigned loaded_names_len;
/* Time of the last record of a card, -1 = of all; 0 = there is none. */
int64_t records_mtime(int dev);

#endif
