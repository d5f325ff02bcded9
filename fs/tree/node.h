// SPDX-License-Identifier: Apache-2.0
/*
 * Node numbers: 64 bits that say everything about a node, so there is no table
 * of live nodes, forget does nothing, and a path has the same number after a
 * restart or a replug.
 *
 *   63..56 kind   55..32 card   31..20 slot+1 (0 = the card itself)   19..0 file
 *
 * Of what is below remote/ and fits/ they carry rows of the catalogue, which are never
 * given again either:
 *   NODE_REPO, NODE_REPO_FILE   55..32 row of the repository            19..0 file
 *   NODE_ENTRY                  55..40 version of its bytes             39..0 row of the image
 *   NODE_FITS                   55..32 card   31..0 row of the repository
 *   NODE_FIT                    55..40 card   39..0 row of the image
 *
 * The root is 1 (FUSE_ROOT_ID), which is kind 0 with file 1. File numbers are
 * written in the tables and never change between versions.
 */
#ifndef FS_TREE_NODE_H
#define FS_TREE_NODE_H

#include <stdint.h>

enum node_kind {
	NODE_ROOT_KIND = 0, /* only the root */
	NODE_TOP = 1,       /* files and folders of the root: file = row id */
	NODE_CARD = 2,      /* devN and all that is fixed below it: file = row id (0 = the directory) */
	NODE_SENSOR = 3,    /* telemetry/<name>: file = index of the sensor */
	NODE_LINK = 4,      /* by-id, by-path, by-part: file = which of the folders; card = target */
	NODE_PARTDIR = 5,   /* by-part/<part>/: card = the lowest card with that part */
	NODE_TEMP = 6,      /* an upload temporary of devN: file = low bits of its handle */
	NODE_REPO = 7,      /* remote/<repository>/ */
	NODE_REPO_FILE = 8, /* its .repo/ and what is in that: file = row id */
	NODE_ENTRY = 9,     /* an image of a repository */
	NODE_FITS = 10,     /* fits/<repository>/ of a card */
	NODE_FIT = 11,      /* a link in there */
};

#define NODE_ROOT UINT64_C(1)

static inline uint64_t node_make(enum node_kind kind, unsigned card, int slot, uint32_t file)
{
	return (uint64_t)kind << 56 | (uint64_t)(card & 0xffffff) << 32 |
	       (uint64_t)((unsigned)(slot + 1) & 0xfff) << 20 | (file & 0xfffff);
}
static inline enum node_kind node_kind(uint64_t ino) { return (enum node_kind)(ino >> 56); }
static inline unsigned node_card(uint64_t ino) { return (unsigned)(ino >> 32) & 0xffffff; }
static inline int node_slot(uint64_t ino) { return (int)((ino >> 20) & 0xfff) - 1; }
static inline uint32_t node_file(uint64_t ino) { return (uint32_t)ino & 0xfffff; }

/* An inode has one page cache, and old opens may still read what an image was: other bytes, other node. */
#define NODE_ROW_BITS 40
#define NODE_ROW_MAX ((UINT64_C(1) << NODE_ROW_BITS) - 1)
static inline uint64_t node_entry(uint64_t row, unsigned version)
{
	return (uint64_t)NODE_ENTRY << 56 | (uint64_t)(version & 0xffff) << NODE_ROW_BITS | (row & NODE_ROW_MAX);
}
static inline uint64_t node_entry_row(uint64_t ino) { return ino & NODE_ROW_MAX; }
static inline unsigned node_entry_version(uint64_t ino) { return (unsigned)(ino >> NODE_ROW_BITS) & 0xffff; }

static inline uint64_t node_fits(unsigned card, uint64_t repo)
{
	return (uint64_t)NODE_FITS << 56 | (uint64_t)(card & 0xffffff) << 32 | (repo & UINT32_MAX);
}
static inline uint64_t node_fits_repo(uint64_t ino) { return ino & UINT32_MAX; }
static inline uint64_t node_fit(unsigned card, uint64_t row)
{
	return (uint64_t)NODE_FIT << 56 | (uint64_t)(card & 0xffff) << NODE_ROW_BITS | (row & NODE_ROW_MAX);
}
static inline unsigned node_fit_card(uint64_t ino) { return (unsigned)(ino >> NODE_ROW_BITS) & 0xffff; }
static inline uint64_t node_fit_row(uint64_t ino) { return ino & NODE_ROW_MAX; }

/* File numbers of a repository. Never renumber. */
enum repo_file {
	REPO_DIR = 0, REPO_META_DIR = 1, REPO_STATE_FILE = 2, REPO_ERROR_FILE = 3, REPO_REFRESH = 4,
	REPO_STATS = 5,
};

static inline uint64_t node_repo(uint64_t row, enum repo_file file)
{
	return node_make(file == REPO_DIR ? NODE_REPO : NODE_REPO_FILE, (unsigned)row, -1, file);
}

/* File numbers below a card or slot (kind NODE_CARD). Never renumber. */
enum card_file {
	FILE_DIR = 0,
	FILE_IMAGE = 1, FILE_CHECK = 2, FILE_STATE = 3, FILE_PROGRESS = 4, FILE_ERROR = 5,
	FILE_NAME = 6, FILE_VENDOR = 7, FILE_PART = 8, FILE_IDCODE = 9, FILE_SERIAL = 10,
	FILE_BOARD = 11, FILE_BACKEND = 12, FILE_LOCATION = 13, FILE_SHELL = 14, FILE_COMPATIBLE = 15,
	FILE_AFUS = 16, FILE_FORMATS = 17, FILE_TAKES = 18,
	FILE_LOADED_DIR = 20, FILE_LOADED_FIRST = 21, /* 21..33 and 80..: rows of loaded/ */
	FILE_HISTORY = 40, FILE_TELEMETRY_DIR = 41, FILE_CTL = 42, FILE_STOP = 43, FILE_LEASE = 44,
	FILE_EVENTS = 45, FILE_FOLLOW = 46, FILE_SLOTS_DIR = 47, FILE_IO_DIR = 48, FILE_FITS_DIR = 49,
	FILE_NODES_DIR = 50,
	FILE_IO_FIRST = 60, /* + enum card_endpoint */ FILE_IO_DOT_RX = 70,
	FILE_LOADED_MORE = 80, /* 80..139 */
};
/* The nth file of loaded/: what was there first is 21..33. */
#define FILE_LOADED(nth) ((nth) < 13 ? FILE_LOADED_FIRST + (nth) : FILE_LOADED_MORE + (nth) - 13)

#endif
