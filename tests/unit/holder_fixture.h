// SPDX-License-Identifier: Apache-2.0
/*
 * Holder, loop and session on real mounts, with a worker of the test's own:
 * holder_run() starts this program again as "fabricfs-worker", and the name of
 * the state directory tells that worker how to behave. What it serves:
 *
 *   hello   reads "hello\n"
 *   act     a write is noted in DIR/acts, once per request; the text "before" or
 *           "after" kills the worker by -9 before or after it was noted, the
 *           first time; "crash" makes it abort, each time
 *   wait    a read is answered once DIR/go exists when it comes (again)
 */
#ifndef TEST_HOLDER_FIXTURE_H
#define TEST_HOLDER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "fs/daemon/holder.h"

#include <fabricfs/error.h>

#define FUSE_SUPER 0x65735546 /* linux/magic.h: FUSE_SUPER_MAGIC */

struct held {
	char base[64], dir[PATH_MAX], mnt[PATH_MAX], report[REASON_MAX + 2];
	pid_t holder;
};

/* Folders for a holder whose workers behave so ("serves", "crashes", ...). */
void held_begin(struct held *h, const char *behaviour);
/* Start it: the word that it reported (HOLDER_READY, ...). */
char held_start(struct held *h);
/* End it by SIGTERM, with status 0; then clear away what is left. */
void held_stop(struct held *h);
void held_end(struct held *h);
bool mounted(const struct held *h);
/* Workers that are there, and the pid of one. */
unsigned children(const struct held *h, pid_t *last);
int exit_of(pid_t pid);

/* 0 or -errno of reading hello, of writing to act. */
int say_hello(const struct held *h);
int act(const struct held *h, const char *text);

/* What workers note in files of the folder, a byte each time. */
void note(const char *dir, const char *name, const char *text);
long marks(const struct held *h, const char *name);
void until_marks(const struct held *h, const char *name, long n);
void path_in(char out[PATH_MAX], const char *dir, const char *name);

/* Around each claim: a hang is a failure, with a name. */
int each_begin(void **state);
int each_end(void **state);
#define timed(f) cmocka_unit_test_setup_teardown(f, each_begin, each_end)

/* What main() begins with: the exit status when this is no run of tests, or -1. */
int held_main(int argc, char **argv);

#endif
