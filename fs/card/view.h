// SPDX-License-Identifier: Apache-2.0
/*
 * What is known of a card at one moment, immutable: its actors publish a new
 * view whenever something changed, FUSE threads render from the one they got
 * and never wait for a card.
 */
#ifndef FS_CARD_VIEW_H
#define FS_CARD_VIEW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <fabricfs/card.h>
#include <fabricfs/digest.h>
#include <fabricfs/error.h>
#include <fabricfs/image.h>

enum state {
	STATE_UNCONFIGURED,
	STATE_PROGRAMMING,
	STATE_CONFIGURED,
	STATE_FAILED,
	STATE_OFFLINE,
	STATE_UNKNOWN,
	STATES
};
/* "unconfigured", ...; the words of DESIGN section 1. */
const char *state_word(enum state state);

enum phase { PHASE_IDLE, PHASE_RECEIVING, PHASE_VALIDATING, PHASE_PROGRAMMING };
const char *phase_word(enum phase phase);

/* The files of loaded/ (DESIGN section 1); "" and 0 are empty files. */
struct loaded {
	char name[256];
	char sha256[SHA256_HEX]; /* "" = nothing is loaded */
	uint64_t size;
	char format[24];
	char part[48];
	char design[128];
	char tool[96];
	char built[40];
	char source[320];
	int64_t loaded_at_ns;
	char loaded_by[64]; /* user name, or uid where it has none */
	int64_t duration_ms;
	char confirmed_by[128];
};

/* A card itself, or one of its slots. Times: ns since the epoch, when the value last changed. */
struct slot_view {
	enum state state;
	int64_t state_ns; /* also the mtime of devN itself */
	char error[REASON_MAX];
	int64_t error_ns;
	struct loaded loaded; /* empty while the old image counts as lost */
	struct image_facts loaded_facts; /* of the image that is loaded */
	char shell[IMAGE_SHELL_MAX]; /* image_static_design() of the last that was, also while it is
				      * being replaced */
	int64_t loaded_ns;    /* mtime of the files of loaded/ */
	int64_t loaded_mono_ns; /* when they last changed, by the clock that nobody sets; 0 = not yet */
	int64_t image_ns;     /* mtime of `image`: last success, or as its writer set it */
	char *check;          /* last result of `check` (inspect --json object, no newline), NULL = none; owned by the view */
	int64_t check_ns;
	uint64_t load;        /* which load this is: an open of io/ belongs to one */
	unsigned endpoints;   /* CARD_ENDPOINT_BITs offered by the loaded design now */
	char words[96];       /* that ctl accepts, by spaces */
	struct card_attrs attrs; /* its own attributes, without their prefix */
	uid_t uid;            /* access: owner, group, permission bits of image, check, ctl, stop, lease, io */
	gid_t gid;
	mode_t mode;
};

struct card_view {
	_Atomic unsigned refs;
	unsigned dev;
	char name[64];
	char backend[32];
	struct card_facts facts; /* vendor part idcode serial board location execution can endpoints */
	bool told;               /* the backend told the facts; before, only the part may be known */
	int64_t facts_ns;
	struct slot_view self;
	unsigned slots_len;
	struct slot_view *slots; /* owned by the view */
	struct card_sensor sensors[CARD_SENSORS_MAX];
	unsigned sensors_len;
	int64_t sensors_ns; /* when they were read; 0 = never */
	int64_t sensors_mono_ns; /* that by the clock that nobody sets */
};

#endif
