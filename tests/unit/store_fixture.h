// SPDX-License-Identifier: Apache-2.0
/* For unit tests of the store: a folder of its own, and what may happen to it. */
#ifndef TEST_STORE_FIXTURE_H
#define TEST_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fabricfs/store.h>

struct place {
	char dir[64];
	char db[96];
	bool mounted;
};

/* Around each claim; *state is the place. */
int place_make(void **state);
int place_remove(void **state);
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)

/* As it was at first. */
void place_empty(struct place *p);
/* On a disk of its own, of tmpfs with these options. */
void place_mount(struct place *p, const char *options);
struct store *open_ok(struct place *p, bool fresh);
/* A change made behind the store's back, as a disk or another program would. */
void db_edit(struct place *p, const char *sql);
/* A blob with these contents, the way an upload makes one. */
void blob_make(struct store *store, uint64_t id, const char *text, char sha256[SHA256_HEX]);
struct store_slot row_with(const char *sha256);

#endif
