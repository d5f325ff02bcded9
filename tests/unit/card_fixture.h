// SPDX-License-Identifier: Apache-2.0
/*
 * For unit tests of fs/card: one card on a backend that records the order of its
 * calls and fails where it is told to, with a store and a session of its own.
 */
#ifndef TEST_CARD_FIXTURE_H
#define TEST_CARD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "fs/card/card.h"
#include "fs/card/command.h"
#include "fs/card/upload.h"
#include "fs/daemon/session.h"
#include "fs/tree/node.h"

#include <fabricfs/buf.h>

/* --- the backend ---------------------------------------------------------------------- */

struct fake {
	char calls[512];
	const char *fail_at;      /* name of the call that fails with EIO */
	bool lies;                /* program says yes, the card has nothing */
	bool fail_untouched;      /* program fails before its first byte */
	char has[SHA256_HEX];     /* what the card has */
	bool good_blob_only;      /* program fails for everything but what it had first */
	char first[SHA256_HEX];
	int64_t accept_size;      /* of the descriptor that accept was given */
	bool hold;                /* program waits until it is let go or cancelled */
	bool holding;
	unsigned holds;           /* how often program began to wait */
};
extern struct fake fake;
/* Its flags, from another thread than the actor. */
extern pthread_mutex_t fake_lock;
extern pthread_cond_t fake_cond;
void fake_wait(bool *flag, bool wanted);
bool fake_get(const bool *flag);
void fake_set(bool *flag, bool value);

/* --- the bench ---------------------------------------------------------------------------- */

extern char state_dir[];
extern struct store *store;
extern struct card *card;
extern struct config_card config_card;
extern struct config config;
/* Two good images, upper and blink. */
extern char image[2][1 << 16];
extern size_t image_len[2];
extern uint64_t next_run;

/* Around each claim. */
int setup(void **arg);
int teardown(void **arg);
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
/* As a worker (fresh: the first) begins and ends. */
void card_up(bool fresh);
void card_down(void);

/* A job that only says that all before it are done. */
struct barrier {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int err;
};
#define BARRIER { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 }
void barrier_done(void *arg, int err);
int barrier_wait(struct barrier *b);

/* A word for ctl: 0 or the errno. */
int command(const char *word);
/* Bring the actor to rest. */
void settle(void);
/* Image i as a copy does it, or its first n bytes: 0 or the errno. */
int upload_run(int i, size_t n, int flags, uint64_t run);
int copy(int i);
/* In steps. */
struct upload *upload_begin(const char *name, bool check);
void upload_fill(struct upload *u, int i);
int judge(struct upload *u, enum judge_kind kind, uint64_t run);
void upload_finish(struct upload *u);

enum state state_now(void);
bool loaded_now(char sha256[SHA256_HEX]);
void error_now(char text[REASON_MAX]);
void history_now(struct buf *b);
uint64_t load_now(void);

#endif
