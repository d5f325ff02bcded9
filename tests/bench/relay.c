// SPDX-License-Identifier: Apache-2.0
/*
 * A relay of TCP that delays bytes by so much each way, at any rate, and counts them.
 *
 *	relay PORT DELAY_US     to 127.0.0.1:PORT; says its own port in the first line
 *
 * It takes words from stdin, a line each: `count` is answered with the bytes that came from the server,
 * those that went to it, and the connections, `forget` begins to count anew. It ends with its stdin.
 *
 * Bytes are never copied: they are spliced from a socket into a pipe, and when their time has come
 * from there into the other socket. So the processors are left to the programs that are compared.
 * A connection costs the two delays of its handshake, as the first bytes wait for them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LANES  256
#define PIPES  32	   /* of a lane: what is on its way is rate times delay */
#define PIPE   (1 << 20) /* what a pipe may have without CAP_SYS_RESOURCE */
#define NEVER  INT64_MAX

/* Bytes that came together; 0 bytes: the end. */
struct parcel {
	int64_t due_ns;
	size_t bytes;
};

/* One direction of a connection; its other direction is the lane beside it. */
struct lane {
	bool used, full, ended, over; /* over: the end was told to the other side, too */
	bool blocked;		      /* what is due does not fit into the socket now */
	int from, to;
	/* Bytes go into the pipe at head + more, and come out of that at head; a ring. */
	struct {
		int fd[2];
		size_t bytes;
	} pipes[PIPES];
	unsigned made, head, more; /* pipes made; the first in use, and how many more are */
	int64_t not_before_ns;
	struct parcel *parcels;
	size_t first, len, room;
};

static struct lane lanes[LANES];
static int64_t delay_ns;
static uint64_t received, sent, connections;

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int die(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	return 1;
}

static void lane_close(struct lane *l)
{
	close(l->from);
	for (unsigned i = 0; i < l->made; i++) {
		close(l->pipes[i].fd[0]);
		close(l->pipes[i].fd[1]);
	}
	free(l->parcels);
	*l = (struct lane){ 0 };
}

static void pair_close(unsigned i)
{
	lane_close(&lanes[i & ~1u]);
	lane_close(&lanes[i | 1u]);
}

static int lane_open(struct lane *l, int from, int to, int64_t not_before_ns)
{
	*l = (struct lane){ .used = true, .from = from, .to = to, .not_before_ns = not_before_ns };
	for (; l->made < PIPES; l->made++) {
		if (pipe2(l->pipes[l->made].fd, O_CLOEXEC | O_NONBLOCK))
			return -1;
		fcntl(l->pipes[l->made].fd[1], F_SETPIPE_SZ, PIPE);
	}
	return 0;
}

static int parcel_add(struct lane *l, size_t bytes)
{
	int64_t due = now_ns() + delay_ns;

	if (l->first + l->len == l->room) {
		memmove(l->parcels, l->parcels + l->first, l->len * sizeof(*l->parcels));
		l->first = 0;
		if (2 * l->len >= l->room) {
			size_t room = 2 * l->room + 64;
			struct parcel *larger = realloc(l->parcels, room * sizeof(*larger));

			if (!larger)
				return -1;
			l->parcels = larger;
			l->room = room;
		}
	}
	l->parcels[l->first + l->len++] =
		(struct parcel){ .due_ns = due > l->not_before_ns ? due : l->not_before_ns, .bytes = bytes };
	return 0;
}

/* -1: the connection is broken. */
static int lane_take(struct lane *l, bool from_server)
{
	unsigned in = (l->head + l->more) % PIPES;
	int waiting = 0;
	ssize_t n = splice(l->from, NULL, l->pipes[in].fd[1], NULL, PIPE, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

	if (n < 0 && errno == EAGAIN) {
		/* Is there nothing, or no room? */
		if (ioctl(l->from, FIONREAD, &waiting) || !waiting || !l->pipes[in].bytes)
			return 0;
		if (l->more < PIPES - 1)
			l->more++;
		else
			l->full = true;
		return 0;
	}
	if (n < 0)
		return -1;
	*(from_server ? &received : &sent) += (uint64_t)n;
	l->pipes[in].bytes += (size_t)n;
	l->ended = !n;
	return parcel_add(l, (size_t)n);
}

/* Some of n bytes. -1: the connection is broken, or EAGAIN. */
static ssize_t pipes_give(struct lane *l, size_t n)
{
	ssize_t given;

	if (!l->pipes[l->head].bytes) {
		l->head = (l->head + 1) % PIPES;
		l->more--;
	}
	given = splice(l->pipes[l->head].fd[0], NULL, l->to, NULL,
		       n < l->pipes[l->head].bytes ? n : l->pipes[l->head].bytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (given > 0) {
		l->pipes[l->head].bytes -= (size_t)given;
		l->full = false;
	}
	return given;
}

/* What is due. -1: the connection is broken. */
static int lane_give(struct lane *l)
{
	int64_t now = now_ns();

	while (l->len && l->parcels[l->first].due_ns <= now) {
		struct parcel *p = &l->parcels[l->first];
		ssize_t n = p->bytes ? pipes_give(l, p->bytes) : 0;

		if (n < 0 && errno == EAGAIN) {
			l->blocked = true;
			return 0;
		}
		if (n < 0)
			return -1;
		p->bytes -= (size_t)n;
		if (p->bytes)
			continue;
		l->first++;
		if (!--l->len && l->ended) {
			shutdown(l->to, SHUT_WR);
			l->over = true;
		}
	}
	l->blocked = false;
	return 0;
}

static void connection_take(int listener, const struct sockaddr_in *server)
{
	int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), other, yes = 1;
	int64_t from = now_ns() + 3 * delay_ns; /* two for the handshake */
	unsigned i = 0;

	if (client < 0)
		return;
	while (i < LANES && lanes[i].used)
		i += 2;
	other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (i >= LANES || other < 0 || connect(other, (const struct sockaddr *)server, sizeof(*server))) {
		close(other);
		close(client);
		return;
	}
	connections++;
	fcntl(other, F_SETFL, O_NONBLOCK);
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	setsockopt(other, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (lane_open(&lanes[i], client, other, delay_ns ? from : 0) || lane_open(&lanes[i + 1], other, client, 0)) {
		die("pipe");
		pair_close(i);
	}
}

/* False: stdin has ended. */
static bool word_take(void)
{
	char word[64];

	if (!fgets(word, sizeof(word), stdin))
		return false;
	if (!strcmp(word, "forget\n"))
		received = sent = connections = 0;
	printf("%llu %llu %llu\n", (unsigned long long)received, (unsigned long long)sent,
	       (unsigned long long)connections);
	fflush(stdout);
	return true;
}

static void wait_for_any(struct pollfd *fds, nfds_t n)
{
	int64_t until = NEVER, left;
	struct timespec ts;

	for (unsigned i = 0; i < LANES; i++)
		if (lanes[i].len && !lanes[i].blocked && lanes[i].parcels[lanes[i].first].due_ns < until)
			until = lanes[i].parcels[lanes[i].first].due_ns;
	left = until == NEVER ? 0 : until - now_ns();
	left = left < 0 ? 0 : left;
	ts = (struct timespec){ .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
	ppoll(fds, n, until == NEVER ? NULL : &ts, NULL);
}

static void lanes_serve(const struct pollfd *fds)
{
	for (unsigned i = 0; i < LANES; i++) {
		struct lane *l = &lanes[i];
		bool broken = false;

		if (!l->used)
			continue;
		if (fds[i].revents & (POLLIN | POLLHUP | POLLERR) && !l->ended && !l->full)
			broken = lane_take(l, i & 1);
		if (!broken && (l->len && (!l->blocked || fds[i ^ 1].revents & (POLLOUT | POLLHUP | POLLERR))))
			broken = lane_give(l);
		if (broken || (l->over && lanes[i ^ 1].over))
			pair_close(i);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in server = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, own = server;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd fds[LANES + 2];
	socklen_t len = sizeof(own);
	struct rlimit files;

	if (argc != 3)
		return fprintf(stderr, "usage: relay PORT DELAY_US\n"), 2;
	server.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	delay_ns = strtoll(argv[2], NULL, 10) * 1000;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdin, NULL, _IONBF, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&own, sizeof(own)) || listen(listener, 128) ||
	    getsockname(listener, (struct sockaddr *)&own, &len))
		return die("listening");
	printf("%u\n", ntohs(own.sin_port));
	fflush(stdout);
	for (;;) {
		for (unsigned i = 0; i < LANES; i++) {
			const struct lane *l = &lanes[i];
			bool in = l->used && !l->ended && !l->full, out = l->used && lanes[i ^ 1].blocked;

			fds[i] = (struct pollfd){ .fd = in || out ? l->from : -1,
						  .events = (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0)) };
		}
		fds[LANES] = (struct pollfd){ .fd = listener, .events = POLLIN };
		fds[LANES + 1] = (struct pollfd){ .fd = 0, .events = POLLIN };
		wait_for_any(fds, LANES + 2);
		lanes_serve(fds);
		if (fds[LANES].revents)
			connection_take(listener, &server);
		if (fds[LANES + 1].revents && !word_take())
			return 0;
	}
}
