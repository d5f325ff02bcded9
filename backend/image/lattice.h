// SPDX-License-Identifier: Apache-2.0
/*
 * What the .bit files of Lattice's ECP5, Nexus and MachXO2/3 have in common: a comment
 * `ff 00` text `ff`, its lines ended by NUL, and a preamble. iCE40 shares the comment's
 * shape and has a recogniser of its own.
 *
 * Sources: Project Trellis (preambles, commands), openFPGALoader (encrypted preambles),
 * and a file of Diamond.
 */
#ifndef FABRICFS_BACKEND_IMAGE_LATTICE_H
#define FABRICFS_BACKEND_IMAGE_LATTICE_H

#include <fabricfs/image.h>

enum lattice_kind { LATTICE_NONE, LATTICE_OPEN, LATTICE_ECP5, LATTICE_NEXUS, LATTICE_MACHXO };

/* The front of a file, taken byte by byte. */
struct lattice_front {
	uint8_t phase;
	bool encrypted;
	uint16_t line_len, bytes, hunted;
	uint32_t window;
	char line[160];
	char part[48], package[32], speed[16]; /* of the comment */
	char design[128], tool[96], built[40];
};

/*
 * Which of them these n bytes begin: told by the IDCODE behind the preamble, or, where
 * that is encrypted, by the part in the comment. OPEN: more bytes are needed.
 */
enum lattice_kind lattice_kind_of(const uint8_t *head, size_t n);
/* Answers an image_format.probe for one kind. */
enum image_tri lattice_probe(enum lattice_kind kind, const uint8_t *head, size_t n, bool last);

/* The next byte. 1: it was the last of the preamble; 0: more; -EBADMSG: no such front. */
int lattice_front_byte(struct lattice_front *f, uint8_t c, struct reason *why);
/* What the comment told, once the front is complete; the part is left to the caller. */
void lattice_front_facts(const struct lattice_front *f, struct image_facts *facts);

#endif
