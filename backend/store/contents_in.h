// SPDX-License-Identifier: Apache-2.0
/* What the files of contents share (private to backend/store/contents*.c). */
#ifndef BACKEND_STORE_CONTENTS_IN_H
#define BACKEND_STORE_CONTENTS_IN_H

#include "store_in.h"

/* Of the writer's connection, under write_lock, then of the reader's, under read_lock. */
enum contents_stmt {
	K_MAKE, K_TOLD, K_USED, K_WHOLE, K_TRUST, K_GONE, K_EMPTY, K_FACTS_SET, K_CACHED, K_MARK, K_DOUBT, K_TWIN,
	K_FORGET,
	K_READER,
	K_GET = K_READER, K_FIND, K_EACH, K_ABSENT, K_FACTS, K_KEY, K_BYTES, K_BYTES_OF, K_IS_OF, K_LEFT, K_COUNT
};

struct store_contents {
	sqlite3_stmt *s[K_COUNT];
};

sqlite3_stmt *contents_stmt_of(struct store *store, enum contents_stmt which);
/* Take write_lock and bind the row; the other parameters are the caller's to bind. */
sqlite3_stmt *contents_begin(struct store *store, enum contents_stmt which, uint64_t id);
/* write_lock is held, its statement is bound: run it in a transaction of its own, and let the lock go. */
int contents_change(struct store *store, enum contents_stmt which, struct reason *why);
/* The files in chunks/: the knowledge of bytes goes first. */
void contents_files_drop(struct store *store, uint64_t id);

#endif
