// SPDX-License-Identifier: Apache-2.0
/*
 * Drive the simulated fabric by hand, for comparisons with another simulator:
 *
 *	fabric_drive IMAGE [PART [PACKAGE]] < STIMULUS > OUTPUTS
 *
 * Stimulus: a line "clk PIN", a line "in PIN...", a line "out PIN...", then a
 * line of 0s and 1s a cycle, one for each input in that order. These appear with
 * the commit of the rising edge; the line of outputs is what can be seen just
 * before the next one. Instead of a cycle:
 *
 *	bench N             N cycles with random inputs; how long that took, on stderr
 *	info                resources, on stderr
 *	cycles N            N cycles at once, then the outputs
 *	stride N            up to N cycles, and how many it were before others should have a turn
 *	hand 0101...        the same cycle by levels of the clock pin, as a host writes them
 *	upset BANK ROW COL  a configuration bit flips
 *	counters            cycles, words of block RAM read and written, and whether it rests
 */
#include "backend/card/sim/engine/fabric.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_IMAGE (1 << 20)
#define MAX_PINS  256

static int die(const char *what, const char *detail)
{
	fprintf(stderr, "fabric_drive: %s: %s\n", what, detail);
	return 1;
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int load(const char *path, struct fabric *f)
{
	static char image[MAX_IMAGE];
	struct reason why = { 0 };
	FILE *file = fopen(path, "re");
	double t0, t1, t2;
	size_t n;

	if (!file)
		return die(path, "cannot be opened");
	n = fread(image, 1, sizeof(image), file);
	fclose(file);
	t0 = now_ms();
	if (fabric_check(f, image, n, &why) != 0)
		return die(path, why.text);
	t1 = now_ms();
	fabric_config_reset(f);
	if (fabric_config_write(f, image, n, &why) != 0)
		return die(path, why.text);
	t2 = now_ms();
	fprintf(stderr, "check %.2f ms, load %.2f ms\n", t1 - t0, t2 - t1);
	if (fabric_verify(f, image, n, &why) != 0)
		return die(path, why.text);
	return fabric_done(f) ? 0 : die(path, "DONE stays low");
}

static void info(const struct fabric *f)
{
	struct fabric_resources r;
	struct fabric_counters c;

	fabric_counters(f, &c);
	fabric_resources(f, &r);
	fprintf(stderr, "luts %u dffs %u carries %u rams %u sprams %u dsps %u in %u out %u globals %u domains %u "
		"levels %u ops %u loops %u undriven %u unsettled %llu comment %s\n",
		r.luts, r.dffs, r.carries, r.rams, r.sprams,
		r.dsps, r.pins_in, r.pins_out, r.globals,
		r.clock_domains, r.lut_levels, r.ops, r.loops, r.undriven,
		(unsigned long long)c.unsettled, fabric_comment(f));
}

static int pin_list(struct fabric *f, char *words, bool drive, int *pins, unsigned *count)
{
	*count = 0;
	for (char *save, *w = strtok_r(words, " \n", &save); w; w = strtok_r(NULL, " \n", &save)) {
		if (*count == MAX_PINS || (pins[*count] = fabric_pin(f, w)) < 0)
			return die(w, "no such pin");
		if (drive)
			fabric_pin_set(f, pins[*count], false);
		(*count)++;
	}
	return 0;
}

/* Every input changes at random in every cycle, if there are any. */
static void bench(struct fabric *f, int clk, const int *in, unsigned n_in, uint64_t n)
{
	uint64_t noise = 88172645463325252u;
	struct fabric_counters c;
	double t = now_ms();

	for (uint64_t i = 0; i < n; i++) {
		noise ^= noise << 13;
		noise ^= noise >> 7;
		noise ^= noise << 17;
		for (unsigned k = 0; k < n_in; k++)
			fabric_pin_set(f, in[k], noise >> k % 64 & 1);
		fabric_cycle(f, clk);
	}
	t = now_ms() - t;
	fabric_counters(f, &c);
	fprintf(stderr, "%llu cycles in %.1f ms, %.3f Mcycle/s, %.2f toggles a cycle\n",
		(unsigned long long)n, t, (double)n / t / 1e3,
		(double)c.toggles / (double)c.cycles);
}

static void inputs(struct fabric *f, const char *levels, const int *in, unsigned n_in)
{
	for (unsigned i = 0; i < n_in && levels[i] && levels[i] != '\n'; i++)
		fabric_pin_set(f, in[i], levels[i] == '1');
}

static void outputs(const struct fabric *f, const int *out, unsigned n_out)
{
	for (unsigned i = 0; i < n_out; i++)
		putchar(fabric_pin_level(f, out[i]) ? '1' : '0');
	putchar('\n');
}

static void hand(struct fabric *f, int clk)
{
	for (int level = 1; level >= 0; level--) {
		fabric_pin_set(f, clk, level);
		fabric_settle(f);
	}
}

static int upset(struct fabric *f, char *words)
{
	struct reason why = { 0 };
	unsigned at[3] = { 0, 0, 0 };
	char *end = words;

	for (unsigned i = 0; i < 3; i++)
		at[i] = (unsigned)strtoul(end, &end, 10);
	return fabric_upset(f, at[0], at[1], at[2], &why) ? die("upset", why.text) : 0;
}

static void counters(const struct fabric *f)
{
	struct fabric_counters c;

	fabric_counters(f, &c);
	printf("%llu %llu %llu %s\n", (unsigned long long)c.cycles, (unsigned long long)c.ram_reads,
	       (unsigned long long)c.ram_writes, fabric_quiet(f) ? "quiet" : "busy");
}

int main(int argc, char **argv)
{
	static int in[MAX_PINS], out[MAX_PINS], clk[MAX_PINS];
	static char line[4096];
	unsigned n_in = 0, n_out = 0, n_clk = 0;
	const char *part = "iCE40-HX1K";
	struct reason why = { 0 };
	struct fabric *f;
	int err = 0;

	if (argc < 2 || argc > 4)
		return die("usage", "fabric_drive IMAGE [PART [PACKAGE]] < STIMULUS > OUTPUTS");
	if (argc > 2)
		part = argv[2];
	if (fabric_new(part, argc > 3 ? argv[3] : NULL, &f, &why) != 0)
		return die(part, why.text);
	err = load(argv[1], f);
	while (err == 0 && fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "clk ", 4)) {
			err = pin_list(f, line + 4, true, clk, &n_clk);
		} else if (!strncmp(line, "in ", 3)) {
			err = pin_list(f, line + 3, true, in, &n_in);
		} else if (!strncmp(line, "out ", 4)) {
			err = pin_list(f, line + 4, false, out, &n_out);
		} else if (!strncmp(line, "bench ", 6)) {
			bench(f, clk[0], in, n_in, strtoull(line + 6, NULL, 10));
		} else if (!strcmp(line, "info\n")) {
			info(f);
		} else if (!strcmp(line, "counters\n")) {
			counters(f);
		} else if (!strncmp(line, "upset ", 6)) {
			err = upset(f, line + 6);
		} else if (!strncmp(line, "cycles ", 7)) {
			fabric_cycles(f, clk[0], strtoull(line + 7, NULL, 10));
			outputs(f, out, n_out);
		} else if (!strncmp(line, "stride ", 7)) {
			printf("%llu\n", (unsigned long long)fabric_cycles_until(
				f, clk[0], strtoull(line + 7, NULL, 10), -1, false));
		} else if (!strncmp(line, "hand ", 5)) {
			inputs(f, line + 5, in, n_in);
			hand(f, clk[0]);
			outputs(f, out, n_out);
		} else {
			inputs(f, line, in, n_in);
			fabric_cycle(f, clk[0]);
			outputs(f, out, n_out);
		}
	}
	fabric_free(f);
	return err;
}
