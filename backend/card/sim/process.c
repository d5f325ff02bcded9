// SPDX-License-Identifier: Apache-2.0
/*
 * The life of a simulated card's process: one socket to listen on, one
 * connection at a time, one loop.
 *
 * A new connection takes the place of the old one: it is the same worker again,
 * or the next one, which comes only after its predecessor is gone. Another
 * process, while the worker lives and is served, is sent away. Without a connection for a minute
 * the process ends; killed, it is a card that lost its power.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>
#include <fabricfs/rights.h>
#include <fabricfs/sim_card.h>

#define LISTEN_FD 3
#define FOLDER_FD 4

/* --- the connection --------------------------------------------------------------- */

static void conn_drop(struct process *p)
{
	if (p->conn < 0)
		return;
	close(p->conn);
	p->conn = -1;
	p->greeted = false;
	p->alone_ns = clock_mono_ns();
	while (p->out) {
		struct packet *next = p->out->next;

		free(p->out);
		p->out = next;
	}
	p->out_end = &p->out;
	p->load.seq = 0;
	if (p->board)
		ops_detach(p);
}

static void conn_accept(struct process *p)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int conn = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (conn < 0)
		return;
	if (getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
	    (peer.uid != geteuid() && peer.uid != 0)) {
		log_warn("a connection of user %u was refused", peer.uid);
		close(conn);
		return;
	}
	if (p->conn >= 0 && p->greeted && peer.pid != p->peer &&
	    !(kill(p->peer, 0) < 0 && errno == ESRCH)) {
		if (!p->told)
			log_warn("a connection of process %d was refused: process %d is served",
				 (int)peer.pid, (int)p->peer);
		p->told = true;
		close(conn);
		return;
	}
	conn_drop(p);
	p->conn = conn;
	p->peer = peer.pid;
	p->told = false;
}

void process_send(struct process *p, const struct proto_msg *msg)
{
	if (p->conn < 0)
		return;
	/* Whoever hears of an operation may look at the counters next. */
	if (p->carrier)
		carrier_note(p);
	if (!p->out) {
		int err = proto_send(p->conn, msg, -1);

		if (!err || err != -EAGAIN)
			return; /* a broken connection is seen by the next poll */
	}

	struct packet *packet = malloc(sizeof(*packet) + msg->len);

	if (!packet) {
		/* A worker that waits for a reply for ever is worse than one that asks again. */
		shutdown(p->conn, SHUT_RDWR);
		return;
	}
	packet->next = NULL;
	packet->msg = *msg;
	if (msg->len)
		memcpy(packet->data, msg->data, msg->len);
	packet->msg.data = packet->data;
	*p->out_end = packet;
	p->out_end = &packet->next;
}

static void conn_flush(struct process *p)
{
	while (p->out) {
		struct packet *packet = p->out;

		if (proto_send(p->conn, &packet->msg, -1) == -EAGAIN)
			return;
		p->out = packet->next;
		free(packet);
	}
	p->out_end = &p->out;
}

void process_reply(struct process *p, unsigned type, uint32_t seq, int err,
		   const struct reason *why)
{
	struct proto_msg msg = { .type = type, .reply = true, .seq = seq, .err = -err };

	if (err && why) {
		msg.data = (const uint8_t *)why->text;
		msg.len = strlen(why->text);
	}
	process_send(p, &msg);
}

void process_news(struct process *p)
{
	unsigned endpoints = p->board ? board_endpoints(p->board) : 0;
	unsigned ready = p->board ? board_ready(p->board) : 0;
	unsigned trips = atomic_load(&p->thermal->trips);
	/* An event and no state: the next worker is not told again what the last one knew. */
	bool hot = trips != p->told_trips;

	if (!p->greeted || (endpoints == p->told_endpoints && ready == p->told_ready && !hot))
		return;
	p->told_trips = trips;
	p->told_endpoints = endpoints;
	p->told_ready = ready;
	process_send(p, &(struct proto_msg){ .type = PROTO_NEWS, .arg = { endpoints, ready, hot } });
}

/* Serve what has come; not more than a few, the design wants to run too. */
static void conn_serve(struct process *p)
{
	for (unsigned i = 0; i < 16 && p->conn >= 0 && !p->out && !p->ending; i++) {
		struct reason why = { 0 };
		struct proto_msg msg;
		int fd, got = proto_receive(p->conn, p->packet, true, &msg, &fd, &why);

		if (got == -EAGAIN)
			return;
		if (got == -EPROTO)
			log_warn("the connection is dropped: %s", why.text);
		if (got <= 0 || service_message(p, &msg, fd))
			conn_drop(p);
	}
}

/* --- the loop ---------------------------------------------------------------------- */

/* The shorter of two waits, of which -1 is for ever. */
static int64_t wait_min(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

void process_loop(struct process *p)
{
	while (!p->ending) {
		int64_t wait = p->fabric ? ops_run(p) : -1;

		if (p->fabric)
			process_news(p);
		wait = wait_min(wait, load_wait_ns(p));
		if (p->carrier)
			carrier_note(p);
		if (p->conn < 0 && p->nudge_fd < 0) {
			int64_t left = p->alone_ns + PROCESS_LINGER_NS - clock_mono_ns();

			if (left <= 0)
				break;
			wait = wait_min(wait, left);
		}

		struct timespec timeout = { wait / 1000000000, wait % 1000000000 };
		struct pollfd fds[3] = {
			{ .fd = p->listen_fd, .events = POLLIN },
			{ .fd = p->conn, .events = p->out ? POLLOUT : POLLIN },
			{ .fd = p->nudge_fd, .events = POLLIN },
		};

		if (ppoll(fds, p->nudge_fd < 0 ? 2 : 3, wait < 0 ? NULL : &timeout, NULL) < 0 && errno != EINTR) {
			log_error("waiting for messages: %m");
			break;
		}
		if (fds[2].revents && carrier_nudged(p))
			break;
		if (fds[1].revents & POLLOUT)
			conn_flush(p);
		if (fds[1].revents & (POLLIN | POLLHUP | POLLERR))
			conn_serve(p);
		/* What is left to be said has nobody to hear it. */
		if (fds[1].revents & (POLLHUP | POLLERR) && p->out)
			conn_drop(p);
		if (fds[0].revents)
			conn_accept(p);
		load_step(p);
	}
}

/* What is decoded here comes from anywhere: no rights beyond those of the user it runs as. */
static void rights_give_up(void)
{
	struct reason why = { 0 };

	if (rights_drop(0, 0, &why))
		log_warn("%s", why.text);
}

/* The daemon in the background gives its children no other place to speak than syslog. */
static bool stderr_is_null(void)
{
	struct stat st;

	return fstat(STDERR_FILENO, &st) < 0 || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
}

int process_init(struct process *p, int listen_fd, const char *socket_name)
{
	*p = (struct process){
		.listen_fd = listen_fd, .run_fd = FOLDER_FD, .nudge_fd = -1, .conn = -1, .load.fd = -1,
		.condition = CARD_UNCONFIGURED, .slice = PROCESS_SLICE_FIRST, .alone_ns = clock_mono_ns(),
	};
	p->out_end = &p->out;
	p->thermal = &p->own_thermal;
	text_copy(p->socket_name, sizeof(p->socket_name), socket_name);
	p->packet = malloc(PROTO_MAX);
	if (!p->packet)
		return -ENOMEM;
	fcntl(listen_fd, F_SETFD, FD_CLOEXEC);
	fcntl(listen_fd, F_SETFL, O_NONBLOCK);
	/* Once more: from now on the kernel tells those who connect this process as their peer. */
	return listen(listen_fd, 8) < 0 ? -errno : 0;
}

void process_fini(struct process *p)
{
	close(p->listen_fd);
	conn_drop(p);
	if (p->board)
		ops_fail(p, ENODEV);
	cleanup_fd(&p->load.fd);
	ledger_fini(&p->ledger);
	board_free(p->board);
	digest_free(p->link.digest);
	fabric_free(p->fabric);
	logic_free(p->logic);
	free(p->packet);
}

int sim_card_main(int argc, char **argv)
{
	unsigned slots = 0;
	struct process p;
	int err, status = 0;

	prctl(PR_SET_NAME, SIM_CARD_NAME);
	log_init(SIM_CARD_NAME, stderr_is_null(), false);
	signal(SIGPIPE, SIG_IGN);
	rights_give_up();
	/* It keeps no file system busy. */
	if (chdir("/") < 0)
		log_warn("chdir: %m");
	if (argc == 3)
		slots = (unsigned)strtoul(argv[2], NULL, 10);
	if (argc < 2 || argc > 3 || slots > SIM_SLOTS_MAX || strchr(argv[1], '/') ||
	    fcntl(LISTEN_FD, F_GETFL) < 0 || fcntl(FOLDER_FD, F_GETFL) < 0) {
		log_error("this is a simulated card, started by fabricfs for itself");
		return 2;
	}
	fcntl(FOLDER_FD, F_SETFD, FD_CLOEXEC);
	err = process_init(&p, LISTEN_FD, argv[1]);
	if (err) {
		log_error("beginning: %s", strerror(-err));
		return 1;
	}
	if (getrandom(&p.instance, sizeof(p.instance), 0) != sizeof(p.instance))
		p.instance = (uint64_t)clock_now_ns() ^ (uint64_t)getpid() << 48;

	if (slots) {
		status = carrier_run(&p, slots, FOLDER_FD + 1);
	} else {
		process_loop(&p);
		/* Before it is closed: whoever finds it refusing may make a new one there. */
		unlinkat(p.run_fd, p.socket_name, 0);
	}
	process_fini(&p);
	return status;
}
