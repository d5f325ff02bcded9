// SPDX-License-Identifier: Apache-2.0
/*
 * Rights of a process: the kernel's capabilities (capabilities(7)), as sets of bits.
 *
 * A set says what is wanted; what a process gets is never more than it had, so
 * in a container, or without root, all of this may come to nothing, silently.
 */
#ifndef FABRICFS_RIGHTS_H
#define FABRICFS_RIGHTS_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/capability.h>

#include <fabricfs/error.h>

#define RIGHT(cap) (UINT64_C(1) << (cap))
#define RIGHTS_ALL UINT64_MAX

/* What a card backend declares of one card. */
struct rights {
	uint64_t keep; /* the worker itself needs them while it serves the card */
	uint64_t lend; /* programs that the card's helper processes run may have them */
};

/* "sys_rawio", also with cap_ in front and in capitals: the bit; 0: there is no such one. */
uint64_t right_parse(const char *name);

/* This thread's permitted set. */
uint64_t rights_have(void);

/* Could this thread, with no more than `keep` in effect, work in that directory? Tried, with the
 * rest put aside for a moment: call before other threads exist. False if it cannot be tried. */
bool rights_suffice(uint64_t keep, const char *dir);

/*
 * For good: `keep` stays in effect, `lend` stays only to be given to programs
 * that are executed, the rest is gone, also from the bounding set where that is
 * allowed; and no program that is executed gains any (no_new_privs). Of the
 * calling thread: call before others exist. 0 or -errno.
 */
int rights_drop(uint64_t keep, uint64_t lend, struct reason *why);

/* The same between fork and exec, where nothing but system calls is allowed: 0 or -errno. */
int rights_drop_quietly(uint64_t keep, uint64_t lend);

#endif
