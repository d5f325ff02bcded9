// SPDX-License-Identifier: Apache-2.0
/* A device with configuration logic and nobody in front of it, for tests of that logic. */
#ifndef TEST_LOGIC_FIXTURE_H
#define TEST_LOGIC_FIXTURE_H

#include "image_fixture.h"

#include "backend/card/sim/logic.h"

struct outcome {
	int err;
	bool done, proven;
	uint64_t frames, checks;
	struct logic *logic; /* the caller's */
	struct reason why;
	char status[200];
};

static inline struct outcome give(const char *part, const void *bytes, size_t n, size_t chunk)
{
	struct outcome o = { 0 };
	const uint8_t *b = bytes;

	if (logic_new(part, &o.logic, &o.why))
		fail_msg("%s", o.why.text);
	for (size_t i = 0; i < n; i += chunk) {
		size_t len = n - i < chunk ? n - i : chunk;
		uint8_t *own = malloc(len); /* of just this size, so that a step outside is seen */

		assert_non_null(own);
		memcpy(own, b + i, len);
		o.err = logic_write(o.logic, own, len, &o.why);
		free(own);
	}
	logic_end(o.logic);
	o.done = logic_done(o.logic);
	o.proven = logic_proven(o.logic);
	o.frames = logic_frames(o.logic);
	o.checks = logic_checks(o.logic);
	logic_status(o.logic, o.status, sizeof(o.status));
	return o;
}

/* At once, and without the device. */
static inline struct outcome give_all(const char *part, const void *bytes, size_t n)
{
	struct outcome o = give(part, bytes, n, n ? n : 1);

	logic_free(o.logic);
	o.logic = NULL;
	return o;
}

static inline struct outcome give_buf(const char *part, const struct buf *b)
{
	return give_all(part, b->data, b->len);
}

static inline void assert_low(struct outcome o, int err, const char *word)
{
	assert_int_equal(o.err, -err);
	assert_false(o.done);
	if (!strstr(err ? o.why.text : o.status, word))
		fail_msg("'%s' does not say '%s'", err ? o.why.text : o.status, word);
}

#endif
