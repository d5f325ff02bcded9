// SPDX-License-Identifier: Apache-2.0
/*
 * Cards: what a way of reaching programmable hardware has to do.
 *
 * The core (fs/card) keeps the sequence, the state, uploads, history, leases
 * and deadlines; a backend does single steps. A backend knows nothing of FUSE,
 * of files or of other backends.
 *
 * Threads: every operation of one card is called on that card's own actor
 * thread, never two at once, and may block (within its deadline); different
 * cards run in parallel, so a backend has no unlocked globals. Completions
 * (card_io.done) are called on the actor thread, inside submit, pump, cancel
 * or program.
 *
 * Slots of one card share its actor: while one is programmed, the others wait.
 * A backend whose slots have nothing in common but the card they are on says so
 * by having slot_open(): then each slot has an actor of its own and a handle of
 * its own, and all that is said above of a card holds for each of them. What is
 * about the card as a whole (open, telemetry, its own attributes, its news)
 * stays with the card's actor and handle.
 *
 * Errors: 0 or -errno and a sentence (fabricfs/error.h). The driver's own
 * errno and text belong into the sentence. The core maps errnos above 511.
 *
 * After a restart of the worker a card is opened again: what survives is what
 * lives outside the worker (hardware, a simulated card's process).
 */
#ifndef FABRICFS_CARD_H
#define FABRICFS_CARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fabricfs/digest.h>
#include <fabricfs/error.h>
#include <fabricfs/image.h>
#include <fabricfs/rights.h>

/* --- configuration ---------------------------------------------------------- */

enum card_key_kind {
	CARD_KEY_TEXT,     /* text */
	CARD_KEY_INTEGER,  /* number: non-negative, decimal */
	CARD_KEY_BOOL,     /* number: 0 or 1 */
	CARD_KEY_DURATION, /* number: milliseconds; written "500ms", "10s", "2m" */
	CARD_KEY_COMMAND,  /* list: an argv; written as a list, or the single word "none" (list empty) */
	CARD_KEY_WORDS,    /* list: any words; written as a list, or the single word "none" (list empty) */
	CARD_KEY_NAMES,    /* list: names or ids; as the only one of it, or "none" */
	CARD_KEY_MAP,      /* map: names to text */
};

/* A configuration key that a backend takes beside the common ones (name,
 * backend, part, match, access, policy, slots). */
struct card_key {
	const char *name; /* as written in fabricfs.yaml */
	enum card_key_kind kind;
};

struct card_value {
	const char *key;
	enum card_key_kind kind;
	const char *text;
	int64_t number;
	const char *const *list; /* NULL-terminated argv, or pairs name, text for a MAP */
	size_t list_len;         /* words, without the NULL */
};

/* One card of the configuration. All strings outlive the open card. */
struct card_config {
	const char *name; /* never NULL */
	const char *part; /* "" = the backend's default or unknown */
	unsigned slots;   /* 0 = the card itself is programmed */
	const struct card_value *values;
	size_t values_len;
};

/* The value of a key, or NULL when it was not written. */
const struct card_value *card_config_get(const struct card_config *config, const char *key);

/* What the core lends to a backend; valid while the card is open. */
struct card_host {
	unsigned dev;         /* the card's number */
	int slot;             /* what slot_open() opens; -1: the card */
	int run_dir;          /* O_DIRECTORY descriptor of a private (0700) folder for sockets and
				 scratch files; shared by all cards: use names that contain dev */
	bool fresh;           /* fabricfs is starting: what run_dir has of this card is of an earlier
				 one. Of a worker that takes over it is false */
	const char *self_exe; /* path that starts this program again (/proc/self/exe) */
	/*
	 * Wake the actor from another thread or a signal-safe place, so that it
	 * calls pump() soon. May be called from any thread.
	 */
	void (*wake)(const struct card_host *host);
	void *core; /* the core's own */
};

/* --- what a card is ---------------------------------------------------------- */

enum card_endpoint { CARD_TX, CARD_RX, CARD_REGS, CARD_PINS, CARD_LEDS, CARD_BUTTONS, CARD_ENDPOINTS };
#define CARD_ENDPOINT_BIT(e) (1u << (e))

enum card_can {
	CARD_CAN_CLEAR = 1,    /* ctl clear */
	CARD_CAN_RESET = 2,    /* ctl reset */
	CARD_CAN_READBACK = 4, /* ctl verify */
	CARD_CAN_PARTIAL = 8,
};

#define CARD_SENSORS_MAX 64
enum card_source { CARD_SENSOR, CARD_MEASURED, CARD_DECODED, CARD_MODEL };

struct card_sensor {
	char name[48]; /* with its unit: temp_celsius; model values begin with model_ */
	enum card_source source;
	double value;
	int decimals; /* digits after the point when shown */
};

/* Fixed for as long as the card is open. "" = unknown. */
struct card_facts {
	char vendor[32];
	char part[48];
	bool has_idcode;
	uint32_t idcode;
	char serial[64];
	char board[64];
	char location[128]; /* bus path and the like */
	char formats[96];   /* formats it takes, by spaces; "" = any known one */
	char execution[32]; /* who executes the image: "simulated", "hardware", "none" */
	unsigned can;       /* card_can bits */
	unsigned endpoints; /* CARD_ENDPOINT_BITs it could offer with some image; 0 = no io/ */
	uint64_t image_max; /* largest image in bytes; 0 = no limit known */
	bool restore;       /* default of the policy `restore` */
	/*
	 * What images are compared with beside part and IDCODE (image_target in image.h). idcode
	 * is what a device answered: all zeros or ones come from a cable without one, and are
	 * no facts but -ENODEV of open().
	 */
	char shell[IMAGE_SHELL_MAX]; /* names and ids of the static design that runs for as long as the
				      * card is open, beside which it (or each of its slots) is
				      * programmed, by spaces: interface id, VBNV ... "" = none,
				      * or not known */
	char compatible[160]; /* device-tree names of its machine, by spaces */
	char afus[160];       /* ids of the accelerator functions it takes, by spaces; "" = any */
	unsigned takes;       /* image_takes bits, of the card or each of its slots; 0: a card with a
			       * shell takes partial images and one without full ones, and with
			       * CARD_CAN_PARTIAL partial ones too, for what is loaded; of slots
			       * with a shell partial ones, of others it is not known. Not both
			       * beside a shell: what takes both takes full images in place of its
			       * static design, and those are not compared with it */
	bool trusts_nothing; /* success is not read back because its operator wrote verify: none */
};

enum card_condition {
	CARD_UNKNOWN,      /* cannot be asked, or did not answer */
	CARD_UNCONFIGURED, /* known to have nothing loaded */
	CARD_CONFIGURED,
	CARD_FAILED, /* touched and not good */
};

struct card_status {
	enum card_condition condition;
	/* Which image runs, as far as the card itself can tell; "" = cannot tell. */
	char sha256[SHA256_HEX];
	char detail[256]; /* the card's own words, "" = none */
};

/* --- programming ------------------------------------------------------------- */

/*
 * One programming run. Owned by the core; valid during program() and confirm().
 *
 * id: two runs with the same id are the same run, begun again because the
 * worker died before it could note the result. A card that remembers what it
 * did last (a process, a flash controller) answers for that run and does not do
 * it twice; for others programming the same bytes again is the right thing.
 */
struct card_run {
	uint64_t id;
	unsigned slot;
	int fd;           /* the image's bytes, from offset 0; read with pread */
	uint64_t size;    /* bytes */
	const char *path; /* names the same file, for tools of others (%f); readable by the worker */
	const char *sha256;
	const struct image_facts *facts;
	int64_t deadline_ns; /* CLOCK_MONOTONIC; give up with ETIMEDOUT at it */
	int cancel_fd;       /* poll: readable once somebody ended the run; give up with ECANCELED */
	/* Bytes handed to the card so far; cheap, may be called often. */
	void (*progress)(struct card_run *run, uint64_t done);

	/* Filled in by the backend: */
	bool touched;          /* set before the first byte (or command) goes to the card */
	bool kept;             /* on failure: read back that the old image still runs */
	char confirmed_by[128]; /* by confirm(): how it is known, e.g. "CRC and DONE" */

	void *core; /* the core's own */
};

/* --- endpoints of a loaded design -------------------------------------------- */

/*
 * One read or write of io/<endpoint>. Owned by the core until done() was
 * called, exactly once, with 0 and the bytes moved, or a positive errno.
 *
 * id: never reused within a mount; the same id submitted again after a restart
 * of the worker is the same operation: bytes that it took or gave before are
 * told again, not moved twice.
 *
 * RX reads: `wait` false: run until a byte comes or the design is quiet (then
 * 0 bytes); true: wait for a byte. One of size 0 that waits: somebody polls for a
 * byte, let the design work for it a while; it is done at once. TX writes wait while the design is not
 * ready. `nonblock`: EAGAIN (or a short count) instead of waiting. REGS: offset
 * and size in bytes within 512; ETIMEDOUT when a register does not acknowledge
 * and nothing came before it. ENODEV: the loaded design has no such endpoint.
 */
struct card_io {
	enum card_endpoint endpoint;
	unsigned slot;
	bool write, nonblock, wait;
	uint64_t id;
	uint64_t offset;
	void *data;
	size_t size;
	void (*done)(struct card_io *io, int err, size_t moved);

	void *backend; /* the backend's own while it is pending */
	void *core;    /* the core's own */
};

/* --- news from a card, returned by pump() ------------------------------------ */

enum card_news {
	CARD_NEWS_LOST = 1,  /* what was loaded is gone (power cut), the card is back and empty */
	CARD_NEWS_GONE = 2,  /* the card cannot be reached: offline */
	CARD_NEWS_BACK = 4,  /* it can be reached again; ask status() */
	CARD_NEWS_READY = 8, /* io_ready() may have changed: wake pollers */
	CARD_NEWS_ALERT = 16, /* it is there, but something is wrong with it: the sentence of pump() */
};

/* --- attributes --------------------------------------------------------------- */

/* Names and values of what is set, as name NUL value NUL, at most 48 and 128 bytes with the NUL. */
#define CARD_ATTRS_BYTES 512
#define CARD_ATTR_NAME   48
#define CARD_ATTR_VALUE  128
struct card_attrs {
	size_t len;
	char text[CARD_ATTRS_BYTES];
};

/* --- the table ---------------------------------------------------------------- */

#define CARD_ABI 1
struct card_backend {
	unsigned version; /* CARD_ABI */
	const char *name; /* the word in `backend` and in the configuration */
	const struct card_key *keys; /* terminated by a NULL name; may be NULL: none */
	/*
	 * Is this configuration usable, as far as can be said without touching
	 * anything (missing mandatory keys, a part that it does not know)?
	 * Called by check-config and before mounting, on the main thread.
	 */
	int (*check)(const struct card_config *config, struct reason *why);
	/*
	 * Rights that this card needs beyond those of any process of its user; nothing else
	 * is left to the worker when it opens the card. The configuration was checked. May be
	 * NULL: none.
	 */
	void (*rights)(const struct card_config *config, struct rights *rights);
	/*
	 * Reach the card. On success *card is the backend's own and facts are
	 * filled in. -ENODEV: it is not there (the core shows it offline).
	 */
	int (*open)(const struct card_config *config, const struct card_host *host, void **card,
		    struct card_facts *facts, struct reason *why);
	/*
	 * Reach slot host->slot of a card that is open, by itself: *slot takes the
	 * place of the card's handle in all that is done for this slot (close,
	 * status to verify, attr_set and the rest from endpoints on), on the slot's
	 * own thread. Errors as open(). The slots are closed before the card. NULL:
	 * the slots are driven with the card's handle, one at a time.
	 */
	int (*slot_open)(const struct card_config *config, const struct card_host *host, void **slot,
			 struct reason *why);
	/* `last`: fabricfs ends cleanly, so what lives only for it (a simulated
	 * card's process) ends too; else the worker is merely being replaced. */
	void (*close)(void *card, bool last);
	int (*status)(void *card, unsigned slot, struct card_status *status, struct reason *why);
	/*
	 * Refuse what the format is sound for but this card cannot run, before
	 * anything is touched (say: a cell that is not modelled). May be NULL.
	 */
	int (*accept)(void *card, const struct card_run *run, struct reason *why);
	/* Send the image. Sets touched/kept. Success here is only a claim. */
	int (*program)(void *card, struct card_run *run, struct reason *why);
	/* Read back whether the card has it; fills confirmed_by. */
	int (*confirm)(void *card, struct card_run *run, struct reason *why);
	/* May be NULL when the capability is absent. verify: -EBADMSG if the
	 * configuration differs from run's image. */
	int (*clear)(void *card, unsigned slot, struct reason *why);
	int (*reset)(void *card, unsigned slot, struct reason *why);
	int (*verify)(void *card, struct card_run *run, struct reason *why);
	/* At most max sensors; returns how many, or -errno. NULL: none. */
	int (*telemetry)(void *card, struct card_sensor *sensors, size_t max, struct reason *why);

	/* The rest may be NULL when facts.endpoints is 0. */
	/* CARD_ENDPOINT_BITs that the loaded design offers now. */
	unsigned (*endpoints)(void *card, unsigned slot);
	void (*io_submit)(void *card, struct card_io *io);
	/* End it soon: done() follows with EINTR and no bytes moved, or with what was moved. */
	void (*io_cancel)(void *card, struct card_io *io);
	/* CARD_ENDPOINT_BITs that would not make a read (RX) or write (TX) wait. */
	unsigned (*io_ready)(void *card, unsigned slot);
	/* A descriptor the actor polls for reading, or -1; then pump() is called. */
	int (*poll_fd)(void *card);
	/* Take what has come; card_news bits. May be NULL with poll_fd. */
	unsigned (*pump)(void *card, struct reason *why);

	/*
	 * The card's own attributes, user.fpga.<backend>.<name> of its directory, which root and
	 * the mounting user may set. Both NULL: it has none. Of a slot that was opened by itself
	 * (host->slot is not -1): the attributes of the slot's directory.
	 *
	 * card: NULL while it is offline. value NULL: remove. id: of the request; the same again
	 * is the same request. -EINVAL: no such attribute, or not such a value; -ENODEV: not while
	 * it is offline. After a success the core tries to reach an offline card at once.
	 */
	int (*attr_set)(const struct card_config *config, const struct card_host *host, void *card,
			uint64_t id, const char *name, const char *value, struct reason *why);
	int (*attr_list)(const struct card_config *config, const struct card_host *host,
			 struct card_attrs *out, struct reason *why);
};

/* The table of backends; NULL-terminated. Defined in backend/card/table.c. */
extern const struct card_backend *const card_backends[];
/* By name; NULL: there is none. */
const struct card_backend *card_backend_find(const char *name);

#endif
