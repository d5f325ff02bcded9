// SPDX-License-Identifier: Apache-2.0
/*
 * The fabric's configuration port. The first byte: which example is the base
 * (bits 0, 1 and 6), how it is cut into writes (2, 3), how many cycles it runs (4, 5),
 * and whether the CRC is left wrong (7). The rest are edits of it (fuzz.h).
 * The CRC is made right again, so that the decoder is reached.
 */
#include "backend/card/sim/engine/fabric.h"

#include "tests/fuzz/fuzz.h"

#define BASES 8

/* The fourth is given to a part that it is not for. */
static const struct {
	const char *part, *clk, *path;
} examples[BASES] = {
	{ "iCE40-HX1K", "21", "contrib/examples/upper/upper.bin" },
	{ "iCE40-HX1K", "21", "contrib/examples/regs/regs.bin" },
	{ "iCE40-HX1K", "21", "contrib/examples/blink/blink.bin" },
	{ "iCE40-HX1K", "21", "contrib/examples/upper-hx8k/upper-hx8k.bin" },
	{ "iCE40-HX8K", "J3", "contrib/examples/upper-hx8k/upper-hx8k.bin" },
	{ "iCE40-UP5K", "35", "contrib/examples/echo-up5k/echo-up5k.bin" },
	{ "iCE40-UP5K", "35", "contrib/examples/boards/upduino.bin" },
	{ "iCE40-LP384", "D2", "contrib/examples/upper-lp384/upper-lp384.bin" },
};
static uint8_t *bases[BASES];
static size_t sizes[BASES];
static struct fabric *fabrics[BASES]; /* of those with the same part, the same */

static struct fabric *fabric_of(unsigned which)
{
	struct reason why = { 0 };

	for (unsigned i = 0; i < BASES && !fabrics[which]; i++)
		if (fabrics[i] && !strcmp(examples[i].part, examples[which].part))
			fabrics[which] = fabrics[i];
	if (!fabrics[which])
		fuzz_claim(fabric_new(examples[which].part, NULL, &fabrics[which], &why) == 0);
	if (!bases[which])
		bases[which] = fuzz_file(examples[which].path, &sizes[which]);
	return fabrics[which];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t chunks[] = { 1u << 20, 4099, 256, 17 };
	struct reason why = { 0 };
	struct fabric *fabric;
	unsigned which;
	uint8_t *image;
	size_t n;
	int err = 0, check;

	if (!size)
		return 0;
	which = (data[0] & 3) | (data[0] >> 4 & 4);
	fabric = fabric_of(which);
	n = sizes[which];
	image = malloc(n);
	fuzz_claim(image);
	memcpy(image, bases[which], n);
	fuzz_edit(image, n, data + 1, size - 1);
	if (!(data[0] & 0x80))
		fuzz_crc_fix(image, n);

	fabric_config_reset(fabric);
	for (size_t at = 0, chunk = chunks[data[0] >> 2 & 3]; at < n && !err; at += chunk)
		err = fabric_config_write(fabric, image + at, n - at < chunk ? n - at : chunk, &why);
	fuzz_claim(err == 0 || why.text[0]);
	fuzz_claim(err == 0 || !fabric_done(fabric));
	fuzz_claim((err != 0) == fabric_config_failed(fabric));
	/* The dry run comes to the same answer. */
	check = fabric_check(fabric, image, n, &why);
	fuzz_claim((check == 0) == fabric_done(fabric));
	fuzz_claim(err == 0 || err == check);
	if (fabric_done(fabric)) {
		int clk = fabric_pin(fabric, examples[which].clk);

		fuzz_claim(clk >= 0);
		fuzz_claim(fabric_verify(fabric, image, n, &why) == 0);
		for (unsigned i = 0; i < (data[0] >> 4 & 3) * 8u; i++) {
			for (unsigned pin = 0; pin < fabric_pins(fabric); pin++)
				fabric_pin_set(fabric, (int)pin, (i * 2654435761u >> pin % 31) & 1);
			fabric_cycle(fabric, clk);
		}
	}
	free(image);
	return 0;
}
