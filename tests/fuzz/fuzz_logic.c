// SPDX-License-Identifier: Apache-2.0
/*
 * Configuration logic: any bytes at the port leave the same device in any chunking, one that
 * tells what is wrong, and is whole after a reset.
 *
 * The first byte says which part it is.
 */
#include "backend/card/sim/logic.h"

#include "tests/fuzz/fuzz.h"

static const char *const parts[] = { "xc7a35t", "xcku040", "xcvu37p", "xck26", "lfe5u-25f", "lfe5um5g-85f",
				     "5ceba2", "ep4ce6" };

static struct logic *feed(const char *part, const uint8_t *data, size_t size, size_t chunk, int *err)
{
	struct logic *l = NULL;
	struct reason why = { 0 };
	char status[200] = "";

	fuzz_claim(logic_new(part, &l, &why) == 0);
	*err = 0;
	for (size_t at = 0; at < size; at += chunk) {
		int now = logic_write(l, data + at, size - at < chunk ? size - at : chunk, &why);

		fuzz_claim(!*err || now == *err);
		*err = now;
	}
	logic_end(l);
	logic_status(l, status, sizeof(status));
	fuzz_claim(status[0] && logic_confirms(l)[0]);
	fuzz_claim(!*err || (why.text[0] && !logic_done(l)));
	fuzz_claim(logic_done(l) || !logic_proven(l));
	return l;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *part = size ? parts[data[0] % (sizeof(parts) / sizeof(parts[0]))] : parts[0];
	struct reason why = { 0 };
	struct logic *a, *b, *fresh;
	int whole, pieces;

	if (size) {
		data++;
		size--;
	}
	a = feed(part, data, size, size ? size : 1, &whole);
	b = feed(part, data, size, 7, &pieces);
	fuzz_claim(whole == pieces && logic_done(a) == logic_done(b));
	fuzz_claim(whole || logic_same(a, b));
	logic_reset(a);
	fuzz_claim(logic_new(part, &fresh, &why) == 0);
	fuzz_claim(logic_same(a, fresh) && !logic_done(a) && !logic_bytes(a));
	logic_free(a);
	logic_free(b);
	logic_free(fresh);
	return 0;
}
