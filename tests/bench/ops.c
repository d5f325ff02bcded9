// SPDX-License-Identifier: Apache-2.0
/*
 * The measured loops of bench.py, in C so that the language around them costs
 * neither side anything. Times are nanoseconds on stdout, pairs interleaved.
 *
 *	ops orc DIR_A NAME_A DIR_B NAME_B ROUNDS COUNT CPU   open+read+close, both by openat()
 *	ops stat DIR_A NAME_A DIR_B NAME_B ROUNDS COUNT CPU  fstatat()
 *	ops run A... -- B...                                 each command once, start to end
 *	ops last FILE IMAGE                                  from the last byte to close() back
 *	ops gap FILE MS                                      longest open+read+close, errors, how many
 *	ops bytes TX RX BYTES                                through a design, which gives as many back
 *	ops read FILE                                        from open() to its end, 128 KiB at a time
 *	ops touch BYTES                                      so much memory is taken, written to and given back
 *
 * CPU -1: not pinned.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IMAGE_MAX  (64u << 20)
#define STALL_MS   30000

extern char **environ;

static int die(const char *what)
{
	fprintf(stderr, "ops: %s: %s\n", what, strerror(errno));
	return 1;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int read_once(int dir, const char *name)
{
	char bytes[4096];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, bytes, sizeof(bytes));
	if (close(fd) || n < 0)
		return -errno;
	return 0;
}

static int stat_once(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, 0) ? -errno : 0;
}

static int pairs(char **argv, int (*once)(int dir, const char *name))
{
	int dir[2] = { open(argv[0], O_PATH | O_CLOEXEC), open(argv[2], O_PATH | O_CLOEXEC) };
	const char *name[2] = { argv[1], argv[3] };
	long rounds = strtol(argv[4], NULL, 10), count = strtol(argv[5], NULL, 10);
	int cpu = (int)strtol(argv[6], NULL, 10);

	if (dir[0] < 0 || dir[1] < 0)
		return die("folders");
	if (cpu >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET((unsigned)cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			return die("pinning to a core");
	}
	if (once(dir[0], name[0]) || once(dir[1], name[1]))
		return die("first look");
	for (long r = 0; r < rounds; r++) {
		uint64_t took[2];

		for (int side = 0; side < 2; side++) {
			uint64_t begin = now_ns();

			for (long i = 0; i < count; i++)
				if (once(dir[side], name[side]))
					return die(name[side]);
			took[side] = (now_ns() - begin) / (uint64_t)count;
		}
		printf("%llu %llu\n", (unsigned long long)took[0], (unsigned long long)took[1]);
	}
	return 0;
}

static int run_one(char **argv, uint64_t *took)
{
	uint64_t begin = now_ns();
	int status;
	pid_t pid;

	errno = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (errno || waitpid(pid, &status, 0) < 0)
		return die(argv[0]);
	*took = now_ns() - begin;
	if (status) {
		fprintf(stderr, "ops: %s ended with status %d\n", argv[0], status);
		return 1;
	}
	return 0;
}

static int run(char **argv)
{
	char **second = argv;
	uint64_t a, b;

	while (*second && strcmp(*second, "--"))
		second++;
	if (!*second || !second[1]) {
		errno = EINVAL;
		return die("two commands are wanted, with -- between");
	}
	*second++ = NULL;
	if (run_one(argv, &a) || run_one(second, &b))
		return 1;
	printf("%llu %llu\n", (unsigned long long)a, (unsigned long long)b);
	return 0;
}

static int last(const char *path, const char *image)
{
	static char bytes[IMAGE_MAX];
	int from = open(image, O_RDONLY | O_CLOEXEC);
	int to = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	ssize_t n = from < 0 ? -1 : read(from, bytes, sizeof(bytes));
	uint64_t begin;

	if (to < 0 || n < 2)
		return die(path);
	if (write(to, bytes, (size_t)n - 1) != n - 1)
		return die("all but the last byte");
	begin = now_ns();
	if (write(to, bytes + n - 1, 1) != 1 || close(to))
		return die("the last byte");
	printf("%llu\n", (unsigned long long)(now_ns() - begin));
	return 0;
}

static int gap(const char *path, long ms)
{
	uint64_t begin = now_ns(), end = begin + (uint64_t)ms * 1000000u, longest = 0;
	unsigned long errors = 0, times = 0;

	printf("ready\n");
	fflush(stdout);
	for (uint64_t from = begin, to; from < end; from = to, times++) {
		errors += read_once(AT_FDCWD, path) != 0;
		to = now_ns();
		if (to - from > longest)
			longest = to - from;
	}
	printf("%llu %lu %lu\n", (unsigned long long)longest, errors, times);
	return 0;
}

struct feed {
	int fd, err;
	size_t bytes;
};

static void *feed(void *arg)
{
	static char out[65536];
	struct feed *f = arg;

	memset(out, 'a', sizeof(out));
	for (size_t at = 0; at < f->bytes;) {
		size_t left = f->bytes - at;
		ssize_t n = write(f->fd, out, left < sizeof(out) ? left : sizeof(out));

		if (n < 0) {
			f->err = errno;
			break;
		}
		at += (size_t)n;
	}
	return NULL;
}

static int bytes_through(const char *tx, const char *rx, size_t bytes)
{
	static char in[65536];
	struct feed f = { .fd = open(tx, O_WRONLY | O_CLOEXEC), .bytes = bytes };
	int from = open(rx, O_RDONLY | O_CLOEXEC);
	uint64_t begin = now_ns();
	pthread_t thread;

	if (f.fd < 0 || from < 0)
		return die(tx);
	errno = pthread_create(&thread, NULL, feed, &f);
	if (errno)
		return die("thread");
	for (size_t at = 0; at < bytes;) {
		struct pollfd p = { .fd = from, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, STALL_MS) != 1) {
			errno = ETIMEDOUT;
			return die(rx);
		}
		n = read(from, in, sizeof(in));
		if (n <= 0)
			return die(rx);
		for (ssize_t i = 0; i < n; i++)
			if (in[i] != 'A') {
				errno = EBADMSG;
				return die("what came back");
			}
		at += (size_t)n;
	}
	printf("%llu\n", (unsigned long long)(now_ns() - begin));
	pthread_join(thread, NULL);
	errno = f.err;
	return f.err ? die(tx) : 0;
}

static int read_all(const char *path)
{
	static char bytes[128 << 10];
	uint64_t begin = now_ns();
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return die(path);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		;
	if (n < 0)
		return die(path);
	close(fd);
	printf("%llu\n", (unsigned long long)(now_ns() - begin));
	return 0;
}

static int touch(size_t bytes)
{
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return die("memory");
	madvise(memory, bytes, MADV_HUGEPAGE);
	for (size_t at = 0; at < bytes; at += 4096)
		memory[at] = 1;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 9 && !strcmp(argv[1], "orc"))
		return pairs(argv + 2, read_once);
	if (argc == 9 && !strcmp(argv[1], "stat"))
		return pairs(argv + 2, stat_once);
	if (argc > 4 && !strcmp(argv[1], "run"))
		return run(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "last"))
		return last(argv[2], argv[3]);
	if (argc == 4 && !strcmp(argv[1], "gap"))
		return gap(argv[2], strtol(argv[3], NULL, 10));
	if (argc == 5 && !strcmp(argv[1], "bytes"))
		return bytes_through(argv[2], argv[3], strtoul(argv[4], NULL, 10));
	if (argc == 3 && !strcmp(argv[1], "read"))
		return read_all(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "touch"))
		return touch(strtoul(argv[2], NULL, 10));
	fprintf(stderr, "usage: the head of ops.c\n");
	return 2;
}
