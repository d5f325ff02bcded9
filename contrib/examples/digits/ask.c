// SPDX-License-Identifier: Apache-2.0
/*
 * Asks a card that runs digits.bin, through nothing but the files of its folder,
 * and computes the same answers in whole numbers beside it:
 *
 *	cc -O2 -o ask ask.c
 *	./ask /fpga/dev0          all samples
 *	./ask -s 7 /fpga/dev0     draw sample 7 and ask for it alone
 *	./ask -r                  the computed answers only, one a line
 *
 * -d FOLDER: where samples.txt, hidden.hex and output.hex are ("." unless given).
 * Exit status 1 when the card and the computation differ, 2 when something cannot
 * be done.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	PIXELS = 64,
	GROUPS = 4,
	PER_GROUP = 16,
	HIDDEN = GROUPS * PER_GROUP,
	DIGITS = 10,
	SHIFT = 3,
	TOP = 15,
	MAX_SAMPLES = 4096,
	BATCH = 32, /* pictures written before their answers are read */
};

struct sample {
	unsigned char pixels[PIXELS];
	int label;
};

static struct sample samples[MAX_SAMPLES];
static int n_samples;
/* two bits a weight: 00 is 0, 01 is 1, 11 is -1 */
static unsigned long hidden_rows[GROUPS * PIXELS], score_rows[HIDDEN];

static _Noreturn void die(const char *what, const char *detail)
{
	fprintf(stderr, "ask: %s: %s\n", what, detail);
	exit(2);
}

static FILE *file_open(const char *folder, const char *name)
{
	char path[4096];
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
		die(folder, "the path is too long");
	f = fopen(path, "re");
	if (!f)
		die(path, strerror(errno));
	return f;
}

static void samples_read(const char *folder)
{
	static const char values[] = "0123456789abcdefg", path[] = "samples.txt";
	FILE *f = file_open(folder, path);
	char line[PIXELS + 16];

	while (fgets(line, sizeof(line), f)) {
		struct sample *s = &samples[n_samples];

		if (n_samples == MAX_SAMPLES || strlen(line) != PIXELS + 3 || line[PIXELS] != ' ' ||
		    line[PIXELS + 1] < '0' || line[PIXELS + 1] > '9')
			die(path, "a line is not 64 pixels, a space and a digit, or there are too many");
		for (int i = 0; i < PIXELS; i++) {
			const char *at = strchr(values, line[i]);

			if (!at || !*at)
				die(path, "a pixel is not 0 to g");
			s->pixels[i] = (unsigned char)(at - values);
		}
		s->label = line[PIXELS + 1] - '0';
		n_samples++;
	}
	fclose(f);
}

static void rows_read(const char *folder, const char *name, unsigned long *rows, int n)
{
	char line[32], *end;
	FILE *f = file_open(folder, name);

	for (int i = 0; i < n; i++) {
		if (!fgets(line, sizeof(line), f))
			die(name, "it has too few lines");
		rows[i] = strtoul(line, &end, 16);
		if (end == line || *end != '\n')
			die(name, "a line is not a number in base 16");
	}
	fclose(f);
}

static int weight(unsigned long row, int i)
{
	static const int value[] = { 0, 1, 0, -1 };

	return value[row >> 2 * i & 3];
}

/* The digit; of equal scores the lowest digit wins. */
static int classify(const unsigned char *pixels)
{
	int scores[DIGITS] = { 0 }, best = 0;

	for (int n = 0; n < HIDDEN; n++) {
		int sum = 0;

		for (int p = 0; p < PIXELS; p++)
			sum += weight(hidden_rows[n / PER_GROUP * PIXELS + p], n % PER_GROUP) *
			       (pixels[p] & 31);
		if (sum < 0)
			continue;
		sum >>= SHIFT;
		for (int d = 0; d < DIGITS; d++)
			scores[d] += weight(score_rows[n], d) * (sum > TOP ? TOP : sum);
	}
	for (int d = 1; d < DIGITS; d++)
		if (scores[d] > scores[best])
			best = d;
	return best;
}

static int card_open(const char *card, const char *name, int flags)
{
	char path[4096];
	int fd;

	if (snprintf(path, sizeof(path), "%s/io/%s", card, name) >= (int)sizeof(path))
		die(card, "the path is too long");
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		die(path, strerror(errno));
	return fd;
}

static void card_ask(int tx, int rx, const struct sample *s, int n, unsigned char *answers)
{
	for (int i = 0; i < n; i++)
		for (size_t done = 0; done < PIXELS;) {
			ssize_t moved = write(tx, s[i].pixels + done, PIXELS - done);

			if (moved < 0)
				die("io/tx", strerror(errno));
			done += (size_t)moved;
		}
	for (int done = 0; done < n;) {
		ssize_t moved = read(rx, answers + done, (size_t)(n - done));

		if (moved < 0)
			die("io/.rx", strerror(errno));
		if (moved == 0)
			die("io/.rx", "no more answers: is another image loaded?");
		done += (int)moved;
	}
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int sample_show(int tx, int rx, const struct sample *s)
{
	static const char shades[] = " .:-=+*#%@";
	unsigned char answer;
	int wanted = classify(s->pixels);

	for (int i = 0; i < PIXELS; i++) {
		int shade = shades[s->pixels[i] * 9 / 16];

		printf("%c%c%s", shade, shade, i % 8 == 7 ? "\n" : "");
	}
	card_ask(tx, rx, s, 1, &answer);
	printf("the card says %d, and it is a %d\n", answer, s->label);
	return answer != wanted;
}

static int samples_score(int tx, int rx)
{
	static unsigned char answers[MAX_SAMPLES];
	int right = 0, differ = 0;
	double start = now(), seconds;

	for (int at = 0; at < n_samples; at += BATCH)
		card_ask(tx, rx, samples + at, n_samples - at < BATCH ? n_samples - at : BATCH,
			 answers + at);
	seconds = now() - start;
	for (int i = 0; i < n_samples; i++) {
		right += answers[i] == samples[i].label;
		differ += answers[i] != classify(samples[i].pixels);
	}
	printf("%d of %d right, %d differ from the computed answer\n", right, n_samples, differ);
	printf("%.2f s, %.0f answers per second\n", seconds, n_samples / seconds);
	return differ != 0;
}

int main(int argc, char **argv)
{
	const char *folder = ".", *show = NULL;
	int opt, compute = 0, tx, rx;
	unsigned long number = 0;
	char *end;

	while ((opt = getopt(argc, argv, "d:rs:")) != -1) {
		if (opt == 'd')
			folder = optarg;
		else if (opt == 'r')
			compute = 1;
		else if (opt == 's')
			show = optarg;
		else
			return 2;
	}
	if (argc - optind != !compute) {
		fprintf(stderr, "usage: ask [-d FOLDER] [-s NUMBER] CARD\n"
				"       ask [-d FOLDER] -r\n");
		return 2;
	}
	samples_read(folder);
	rows_read(folder, "hidden.hex", hidden_rows, GROUPS * PIXELS);
	rows_read(folder, "output.hex", score_rows, HIDDEN);
	if (compute) {
		for (int i = 0; i < n_samples; i++)
			printf("%d\n", classify(samples[i].pixels));
		return 0;
	}
	if (show) {
		number = strtoul(show, &end, 10);
		if (end == show || *end || number >= (unsigned long)n_samples)
			die(show, "there is no such sample");
	}
	/* the open end of the answers first: none can be missed */
	rx = card_open(argv[optind], ".rx", O_RDONLY);
	tx = card_open(argv[optind], "tx", O_WRONLY);
	return show ? sample_show(tx, rx, &samples[number]) : samples_score(tx, rx);
}
