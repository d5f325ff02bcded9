// SPDX-License-Identifier: Apache-2.0
/* Images that vendors' tools made: they lie beside the project, for their licences. */
#ifndef TEST_SAMPLES_H
#define TEST_SAMPLES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include <fabricfs/buf.h>

#define SAMPLES "../shared/samples"

/* Add the bytes of one to b. false: the folder is not there, and that is said; a single
 * one that is missing from it fails the test. */
static inline bool sample(const char *name, struct buf *b)
{
	char path[256], chunk[65536];
	FILE *f;
	size_t n;

	if (access(SAMPLES, F_OK)) {
		print_message("skip: %s is not there\n", SAMPLES);
		return false;
	}
	snprintf(path, sizeof(path), SAMPLES "/%s", name);
	f = fopen(path, "re");
	if (!f)
		fail_msg("%s is missing", path);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(b, chunk, n);
	fclose(f);
	return true;
}

#endif
