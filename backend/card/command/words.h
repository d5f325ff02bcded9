// SPDX-License-Identifier: Apache-2.0
/*
 * The words between fabricfs and an operator's command: its arguments and
 * environment on the way there, what it printed on the way back. Pure.
 */
#ifndef COMMAND_WORDS_H
#define COMMAND_WORDS_H

#include <fabricfs/buf.h>
#include <fabricfs/card.h>
#include <fabricfs/helper.h>

#define WORDS_MAX 256 /* words of a command */

/* What %-letters and the environment say. "" or NULL where it does not apply. */
struct words_facts {
	unsigned dev, slot;
	bool slotted;       /* the card has slots, `slot` is one of them */
	const char *name, *part, *idcode;
	const char *image;  /* %f; NULL when the command is not given an image */
	const char *sha256; /* %s */
	const char *format;
	uint64_t size;
};

/*
 * Can this be run? `image`: %f and %s mean something to it. -EINVAL with a
 * sentence that begins with the key.
 */
int words_check(const struct card_value *command, bool image, struct reason *why);

/* A NULL-terminated array in one allocation chain; free with words_free(). */
struct words {
	char **list;
	size_t len;
};

/* The command with its %-letters replaced. -ENOMEM. */
int words_expand(const struct card_value *command, const struct words_facts *facts, struct words *out);
/* PATH, LANG, FABRICFS_*, and the operator's own (a MAP, or NULL). -ENOMEM. */
int words_environment(const struct words_facts *facts, const struct card_value *own, struct words *out);
void words_free(struct words *words);
#define CLEANUP_WORDS __attribute__((cleanup(words_free)))

/*
 * The output as a part of a sentence: one line, its lines parted by " / ",
 * without colours, progress overwritten by \r, control bytes and broken UTF-8;
 * longer than `max` bytes: its beginning and its end.
 */
void words_clean(const struct helper_result *result, struct buf *out, size_t max);

/*
 * The next line of a text, without its end: *line points into text, returns its
 * length and moves *at on; -1 when there is none.
 */
long words_line(const struct buf *text, size_t *at, const char **line);

#endif
