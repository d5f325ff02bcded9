// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration logic of a device whose fabric is not simulated: what takes the bytes
 * of an image at the configuration port, finds by itself whether they are for it and whole,
 * and raises DONE or does not. Parts are those of fabricfs/part.h.
 *
 * It knows nothing of recognisers: what it finds wrong it would find wrong as well if
 * nobody had looked before. It keeps no configuration memory. What it can tell of that
 * later is a sum over all that it took (its readback CRC), a count of frames, and DONE.
 *
 * Confined to one thread at a time, never blocks; memory is fixed, whatever the image.
 */
#ifndef SIM_LOGIC_H
#define SIM_LOGIC_H

#include <fabricfs/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No image of these families is larger; nor is there one that the daemon would spool. */
#define LOGIC_IMAGE_MAX (UINT64_C(512) * 1024 * 1024)

struct logic;

/* Of a part, fixed. Strings are static but for the part. */
struct logic_facts {
	const char *vendor, *family;
	char part[48];
	uint32_t idcode;
	const char *formats; /* what its images are, by spaces (card.h) */
	/* Its images are short, or nothing in them says which part they are for: try each on a
	 * logic of its own before the card is touched. */
	bool tried_first;
};

/* False: the configuration logic of such a part is not simulated. */
bool logic_find(const char *part, struct logic_facts *facts);
/* The families there are, for a sentence. */
const char *logic_families(void);

/* As after power-up; the caller's. -EINVAL: there is none of this part. -ENOMEM. */
int logic_new(const char *part, struct logic **out, struct reason *why);
void logic_free(struct logic *l); /* NULL is fine */
const char *logic_part(const struct logic *l);

/* The pin that starts configuration (PROG_B, PROGRAMN, nCONFIG): everything is forgotten. */
void logic_reset(struct logic *l);
/*
 * Bytes at the port, as they stand in the image's file. 0; or what the device reports by
 * its status pin, with the sentence; it takes nothing more then, and answers the same.
 *	-EBADMSG     a CRC does not hold, or no such command
 *	-EMEDIUMTYPE the IDCODE is another part's
 *	-EOPNOTSUPP  encrypted, and this device has no key
 */
int logic_write(struct logic *l, const void *bytes, size_t n, struct reason *why);
/* No more bytes will come; the clock goes on. */
void logic_end(struct logic *l);

bool logic_done(const struct logic *l);
/* Every byte of configuration that it has went through a check of its own that held. */
bool logic_proven(const struct logic *l);
/* Bytes it has taken since the reset. */
uint64_t logic_bytes(const struct logic *l);
/* Frames that were written, and checks that held. 0 where the logic does not know frames. */
uint64_t logic_frames(const struct logic *l);
uint64_t logic_checks(const struct logic *l);
/* Have both the same configuration, by what can be told of it? */
bool logic_same(const struct logic *a, const struct logic *b);
/* Its status register, and why DONE is low if it is: one clause. */
void logic_status(const struct logic *l, char *text, size_t size);
/* How it is known that it has an image, once its bytes were compared where nothing else covers
 * them: as card_run.confirmed_by. */
const char *logic_confirms(const struct logic *l);

#endif
