// SPDX-License-Identifier: Apache-2.0
/*
 * Images: what a run of bytes is, for which part, and whether it is sound.
 *
 * A recogniser is push-style: bytes go in, in any chunking, and facts or a
 * refusal come out; the answer does not depend on the chunking. It is pure (no
 * I/O, no globals, no clock) and confined to one thread at a time. The same
 * code serves uploads, `check`, `inspect`, publishing and fuzzing, and it knows
 * no card: whether an image suits one is image_suits_target().
 *
 * Memory: a parser holds at most IMAGE_HEAD_MAX bytes of the image plus the
 * recogniser's own fixed state; nothing is proportional to the image.
 */
#ifndef FABRICFS_IMAGE_H
#define FABRICFS_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fabricfs/buf.h>
#include <fabricfs/digest.h>
#include <fabricfs/error.h>

/* A format has to be known within so many bytes, or the image is of none. */
#define IMAGE_HEAD_MAX 4096

enum image_tri { IMAGE_UNKNOWN, IMAGE_NO, IMAGE_YES };
enum image_confidence { IMAGE_CONFIDENCE_NONE, IMAGE_GUESS, IMAGE_LIKELY, IMAGE_EXACT };

/* What is known of an image. Text is UTF-8 with control bytes removed; "" is
 * unknown. Filled in as bytes arrive: what is set stays set, and `partial` is
 * not set before what the image says of its static design (shell, interface,
 * user_id) is. */
struct image_facts {
	char format[24]; /* DESIGN section 3: "ice40", "xilinx-bit", ... */
	enum image_confidence confidence;
	char vendor[32];
	char family[32];
	char part[48];       /* vendor's spelling in lower case, iCE40-HX1K for iCE40 */
	char also_parts[96]; /* other parts that the same bytes configure as well, by spaces */
	char package[32];
	char speed[16];
	bool has_idcode;
	uint32_t idcode;
	bool unsized; /* nothing in the format shows where it ends: complete when its writer closes
		       * it, under the policy accept-unsized. Not kept in JSON */
	uint64_t declared_size; /* bytes from the first to the end the format declares; 0 = not known yet */
	uint64_t expected_size; /* until then: as many as images for this part usually have; 0 = unknown */
	enum image_tri partial, compressed, encrypted, is_signed;
	char shell[64];     /* name or id of the static design, platform or board that it is for */
	char interface[40]; /* id of the interface that the static design has to offer (gbs, xclbin) */
	char unique_id[40]; /* its own, by which what is built on it names it as `shell` */
	char design[128];
	char user_id[16];     /* the number its builder gave it, eight hex digits */
	unsigned dies;        /* dies of a stacked part that it configures; 0 = unknown */
	char kernels[256];    /* names of the kernels in it, by spaces */
	char afus[160];       /* ids of the accelerator functions in it, by spaces */
	char needs[160];      /* clocks and memories it asks of its board, one sentence */
	char firmware[128];   /* dtbo: the image that the overlay has loaded, by its file name */
	char targets[160];    /* dtbo: what the overlay is applied to, by spaces */
	char compatible[160]; /* dtbo: the machines that it is for, by spaces */
	char tool[96];
	char built[40];              /* as the format writes it, or RFC 3339 where it can be known */
	char integrity_checked[96];  /* names of the checks recomputed, by spaces; "" = none */
	bool integrity_ok;           /* all of integrity_checked held (true only at the end) */
	char integrity_absent[128];  /* why nothing could be checked, when nothing could */
	char no_card[192];           /* why no card takes it, sound as it is: one sentence; "" = some may */
	char detail[256];            /* anything a reader should know, one sentence */
};

enum image_progress {
	IMAGE_MORE = 0,     /* not complete by its own format */
	IMAGE_COMPLETE = 1, /* complete and sound so far; only allowed padding may follow */
};

/*
 * One format. Registered in the table of backend/image/table.c; `version` is
 * IMAGE_ABI so that a mismatch is a sentence and not a crash.
 */
#define IMAGE_ABI 1
struct image_format {
	unsigned version;
	const char *name;   /* as in facts.format */
	size_t state_bytes; /* size of the recogniser's own state; zeroed before init */
	/*
	 * Does an image that begins with these n bytes have this format?
	 * IMAGE_YES, IMAGE_NO, or IMAGE_UNKNOWN: more bytes are needed (n is at
	 * most IMAGE_HEAD_MAX; at IMAGE_HEAD_MAX, or when `last` says that no
	 * more will come, UNKNOWN counts as NO).
	 */
	enum image_tri (*probe)(const uint8_t *head, size_t n, bool last);
	/*
	 * The same where an earlier call had the first `seen` of these bytes (less
	 * than n, not as the last) and said IMAGE_UNKNOWN. For formats that look
	 * for something behind a text of any length, so that bytes which come one
	 * at a time are not all read again with each. May be NULL, then probe() is asked.
	 */
	enum image_tri (*probe_on)(const uint8_t *head, size_t seen, size_t n, bool last);
	/*
	 * The next n bytes, from offset 0 of the image on (the head is fed
	 * again). Returns an image_progress or -errno with the sentence:
	 * EBADMSG damaged, EFBIG bytes after the end, ENOEXEC no image after all.
	 * After an error it is not called again. What is sound but for no card is
	 * no error here: facts.no_card says why, as soon as it shows.
	 */
	int (*feed)(void *state, const uint8_t *bytes, size_t n, struct image_facts *facts,
		    struct reason *why);
	/*
	 * No more bytes. 0 when the image is complete and sound, else -EBADMSG
	 * whose sentence says how many bytes of how many (where known).
	 */
	int (*end)(void *state, uint64_t fed, struct image_facts *facts, struct reason *why);
	/* Free what state owns; may be NULL, then there is nothing. */
	void (*fini)(void *state);
};

/* The table of formats; NULL-terminated. Defined in backend/image/table.c. */
extern const struct image_format *const image_formats[];

/* --- the parser: finds the format, then drives it ------------------------- */

struct image_parser;

/* NULL only for lack of memory. */
struct image_parser *image_parser_new(void);
void image_parser_free(struct image_parser *p);
/* Back to the state after image_parser_new(). */
void image_parser_reset(struct image_parser *p);
/*
 * The next n bytes. image_progress, or -errno (sticky: the same is returned
 * from then on): ENOEXEC no known format, else as image_format.feed.
 */
int image_parser_feed(struct image_parser *p, const void *bytes, size_t n, struct reason *why);
/*
 * No more bytes: 0, or -ENOEXEC / -EBADMSG (truncated; the sentence says "N of
 * M bytes"). Does not change the parser: more bytes may be fed afterwards.
 */
int image_parser_end(struct image_parser *p, struct reason *why);
/* Bytes fed so far. */
uint64_t image_parser_bytes(const struct image_parser *p);
/* True when all bytes so far are a complete, sound image. */
bool image_parser_complete(const struct image_parser *p);
/* Owned by the parser, changed by feed. Never NULL. */
const struct image_facts *image_parser_facts(const struct image_parser *p);

/* --- matching -------------------------------------------------------------- */

/* What can be programmed by itself takes the image of a whole device, or of a part of one. */
enum image_takes { IMAGE_TAKES_FULL = 1, IMAGE_TAKES_PARTIAL = 2 };

/*
 * Where an image is to go: a card, a slot of one, or only a part. Of text, "" or NULL is
 * unknown; all of it belongs to the caller and is not kept.
 */
struct image_target {
	const char *name; /* for sentences: "dev0/slots/1"; unknown: "the card" */
	const char *part; /* vendor's spelling, in any case, perhaps with package and speed */
	bool has_idcode;
	uint32_t idcode;
	const char *formats;	/* formats it takes, by spaces; "" = any */
	const char *board;	/* what people or its maker call the board or platform */
	const char *shell;	/* names and ids of the static design it runs, by spaces: VBNV, interface
				 * id, unique_id of the image that is loaded ... */
	const char *compatible; /* device-tree names of its machine, by spaces */
	const char *afus;	/* ids of the accelerator functions it takes, by spaces */
	unsigned takes;		/* image_takes bits; 0 = not known, both */
	bool region;		/* a part of a device, beside a static design that may be unknown */
};

/*
 * Does the image suit the target? 0, or -EMEDIUMTYPE with a sentence that names both and
 * says what to do, or of an image that is for no card says why. Only what is known on both sides is compared: what is unknown is no
 * refusal, but for a partial image on what is no region, which has to be shown to belong
 * to the static design that is there.
 *
 * part	       IDCODEs with the version nibble masked, where it is only a version; where one side
 *	       has none, the part or one of also_parts by name; else the vendor, if it is no guess
 *	       and the card's part is in the table of parts. The size never counts.
 * partial     against takes
 * shell       one of the target's names, or of its ids (letters in any case, '-' does not
 * interface   count); compared with what is of its kind, name or id. A partial image that
 * user_id     tells neither is known by a user_id that is not 00000000 or ffffffff. Not of an image
 *	       that would replace the static design, because the target takes full ones too.
 * shell       where the target tells no name of its static design, with its board: alike if the
 *	       words of the one are in the other ("kv260", xilinx_kv260_base); not compared with a
 *	       board of several words, which is for people.
 * compatible  at least one in common
 * afus	       each one of the target's
 *
 * *compared (may be NULL): whether anything but formats and takes was, so that 0 says more
 * than that nothing is known. May be called as soon as facts are there. Pure; any thread.
 */
int image_suits_target(const struct image_facts *facts, const struct image_target *target,
		       bool *compared, struct reason *why);

/*
 * How the static design that an image configures, or is built on, can be named: words
 * for image_target.shell, cut at size; "" = it cannot. Bytes that it may have: IMAGE_SHELL_MAX.
 */
#define IMAGE_SHELL_MAX 128
void image_static_design(const struct image_facts *facts, char *out, size_t size);

/* The same for no more than a part, its IDCODE, and the formats that are taken. */
int image_suits(const struct image_facts *facts, const char *part, bool has_idcode, uint32_t idcode,
		const char *formats, struct reason *why);

/* --- facts by their names --------------------------------------------------- */

/*
 * What facts are called wherever they are shown: keys of `inspect --json`, files of
 * loaded/, attributes, records. NULL-terminated, in the order of DESIGN's list.
 */
extern const char *const image_fact_names[];
/*
 * Appends a fact as a file shows it: text, words with spaces between them, true or
 * false, a number, eight hex digits; nothing when it is unknown. False: there is none
 * of this name.
 */
bool image_fact_text(const struct image_facts *facts, const char *name, struct buf *out);

/* --- facts as JSON --------------------------------------------------------- */

/*
 * One object in the spelling of `inspect --json` (DESIGN 5), without newline;
 * the caller frees. `err` 0 = sound, else the errno and reason are told;
 * file, sha256 and size as given (NULL/0 = null). fits: "" = it does, the sentence of
 * image_suits = it does not, NULL = was not asked. An image that does not fit, or that a
 * policy refuses (err EPERM or ENOKEY, the sentence in fits), is sound all the same where
 * its end was seen, which sha256 shows; else nothing is known of that. NULL for lack of memory.
 */
char *image_facts_json(const struct image_facts *facts, const char *file, const char *sha256,
		       uint64_t size, int err, const char *reason, const char *fits);
/* The reverse, of what image_facts_json() wrote; unknown keys are ignored.
 * 0 or -EINVAL. Used for facts kept in the store. */
int image_facts_parse(const char *json, struct image_facts *facts);

#endif
