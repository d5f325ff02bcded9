// SPDX-License-Identifier: Apache-2.0
/* Talking to the process of a simulated card (client.h). */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "model.h"
#include "spawn.h"

#include <fabricfs/buf.h>
#include <fabricfs/clock.h>
#include <fabricfs/log.h>

#define CALL_NS     20000000000 /* a busy machine may take its time to start a process */
#define CANCEL_NS   2000000000
#define QUIT_MS     5000
#define ENDED_MS    1000
/* A process that ends so soon after its start, so often, is not started again. */
#define SHORT_NS    1000000000
#define SHORT_LIVES 3

/* A read or write that the core waits for. */
struct pending {
	struct pending *next;
	struct card_io *io;
	uint32_t seq;
	size_t moved;   /* told by earlier pieces and this one's reply */
	size_t piece;   /* bytes of the piece that is on its way */
	bool replied, cancelled;
	int err;
};

struct client {
	struct client_setup setup;
	struct faults told; /* to the process, on this connection */
	int sock;       /* -1: lost */
	int epoll;      /* what the actor polls: sock and event */
	int event;      /* something is to be finished that no message announces */
	pid_t pid;      /* 0: not known for certain */
	uint64_t instance;
	uint32_t seq;
	uint8_t *packet;
	struct pending *pending;
	unsigned endpoints, ready;
	bool changed;   /* ready, since the last pump */
	bool alert;     /* it got too hot, and the core was not told yet */
	int64_t started_ns;
	unsigned short_lives;
	unsigned news;  /* found out in a call, for the next pump */
	struct reason news_why;
};

static void client_signal(struct client *c)
{
	uint64_t one = 1;

	if (write(c->event, &one, sizeof(one)) < 0)
		return; /* full: signalled already */
}

static uint32_t client_seq(struct client *c)
{
	if (++c->seq == 0)
		c->seq = 1;
	return c->seq;
}

/* The connection is gone; client_pump() sees to what follows. */
static void client_lose(struct client *c)
{
	if (c->sock < 0)
		return;
	close(c->sock);
	c->sock = -1;
	c->changed |= c->ready != 0;
	c->endpoints = c->ready = 0;
	for (struct pending *p = c->pending; p; p = p->next)
		if (!p->replied) {
			p->replied = true;
			p->err = ENODEV;
			p->piece = 0;
		}
	client_signal(c);
}

/* The reply to a piece of a read or write. */
static void client_io_reply(struct client *c, const struct proto_msg *msg)
{
	struct pending *p = c->pending;

	while (p && (p->seq != msg->seq || p->replied))
		p = p->next;
	if (!p)
		return;

	size_t moved = (size_t)msg->arg[0];

	/* Never more than was asked for, whatever the other side says. */
	if (msg->arg[0] > p->piece || (!p->io->write && msg->len != moved)) {
		log_warn("the simulated card told %llu bytes where %zu were asked for",
			 (unsigned long long)msg->arg[0], p->piece);
		client_lose(c);
		return;
	}
	if (!p->io->write && moved)
		memcpy((uint8_t *)p->io->data + p->moved, msg->data, moved);
	p->moved += moved;
	p->err = msg->err;
	/* A write goes on with its next piece as long as the design takes everything. */
	p->piece = p->io->write && p->io->endpoint == CARD_TX && moved == p->piece ? moved : 0;
	p->replied = true;
	client_signal(c);
}

/*
 * Take one message if there is one. 1: it is the reply to `seq`; 0: it was
 * something else; -EAGAIN: none there; -EIO: the connection is lost.
 */
static int client_receive(struct client *c, uint32_t seq, struct card_run *run,
			  struct proto_msg *msg)
{
	struct reason why = { 0 };
	int fd, got;

	if (c->sock < 0)
		return -EIO;
	got = proto_receive(c->sock, c->packet, false, msg, &fd, &why);
	if (got == -EAGAIN)
		return got;
	if (got <= 0) {
		if (got == -EPROTO)
			log_warn("the simulated card's process is not understood: %s", why.text);
		client_lose(c);
		return -EIO;
	}
	if (msg->type == PROTO_NEWS) {
		unsigned ready = (unsigned)msg->arg[1] & ((1u << CARD_ENDPOINTS) - 1);

		c->changed |= ready != c->ready;
		c->ready = ready;
		c->endpoints = (unsigned)msg->arg[0] & ((1u << CARD_ENDPOINTS) - 1);
		c->alert |= msg->arg[2] & 1;
		if (c->changed || c->alert)
			client_signal(c);
	} else if (msg->type == PROTO_PROGRESS) {
		if (run && msg->seq == seq && msg->arg[0] <= run->size)
			run->progress(run, msg->arg[0]);
	} else if (msg->type == PROTO_IO) {
		client_io_reply(c, msg);
	} else if (msg->seq == seq) {
		return 1;
	}
	return c->sock < 0 ? -EIO : 0;
}

/* Send; while the socket is full, take what comes, or both sides would wait for the other. */
static int client_send(struct client *c, const struct proto_msg *msg, int fd)
{
	int64_t deadline = clock_mono_ns() + CALL_NS;

	for (;;) {
		int err = c->sock < 0 ? -EIO : proto_send(c->sock, msg, fd);
		struct pollfd poller = { .fd = c->sock, .events = POLLIN | POLLOUT };
		struct proto_msg other;

		if (!err)
			return 0;
		if (err != -EAGAIN || clock_mono_ns() > deadline) {
			client_lose(c);
			return -EIO;
		}
		if (poll(&poller, 1, 1000) < 0 && errno != EINTR)
			return -EIO;
		if (poller.revents & ~POLLOUT)
			client_receive(c, 0, NULL, &other);
	}
}

static int client_wait_ms(int64_t deadline_ns)
{
	int64_t left = deadline_ns - clock_mono_ns();

	if (left <= 0)
		return 0;
	return left > 60000000000 ? 60000 : (int)(left / 1000000 + 1);
}

/* Ask the process to end a run, and see that it did. */
static void client_cancel(struct client *c, uint32_t seq)
{
	struct proto_msg msg = { .type = PROTO_CANCEL, .seq = client_seq(c), .arg = { seq } };
	int64_t deadline = clock_mono_ns() + CANCEL_NS;

	if (client_send(c, &msg, -1))
		return;
	for (;;) {
		struct pollfd poller = { .fd = c->sock, .events = POLLIN };
		int got = client_receive(c, seq, NULL, &msg);

		if (got == 1 || got == -EIO)
			return;
		if (got == 0)
			continue;
		if (clock_mono_ns() > deadline) {
			client_lose(c);
			return;
		}
		poll(&poller, 1, client_wait_ms(deadline));
	}
}

static int client_exchange(struct client *c, struct proto_msg *msg, int fd, struct card_run *run,
			   struct proto_msg *reply, struct reason *why)
{
	/* Only programming takes its time; what else is asked in a run is answered at once, or not. */
	bool program = msg->type == PROTO_PROGRAM;
	int64_t deadline = clock_mono_ns() + CALL_NS;
	uint32_t seq = msg->seq = client_seq(c);

	if (run && run->deadline_ns && (program || run->deadline_ns < deadline))
		deadline = run->deadline_ns;

	if (client_send(c, msg, fd))
		return reason_set(why, EIO, "the simulated card's process cannot be reached");
	for (;;) {
		int got = client_receive(c, seq, program ? run : NULL, reply);

		if (got == -EIO)
			return reason_set(why, EIO, "the simulated card's process ended before it answered");
		if (got == 1 && reply->type != msg->type) {
			client_lose(c);
			return reason_set(why, EIO, "the simulated card's process answered something else");
		}
		if (got == 1 && reply->err) {
			int len = (int)reply->len;

			return reason_set(why, reply->err, "%.*s", len, (const char *)reply->data);
		}
		if (got == 1)
			return 0;
		if (got == 0)
			continue;

		struct pollfd fds[2] = {
			{ .fd = c->sock, .events = POLLIN },
			{ .fd = run ? run->cancel_fd : -1, .events = POLLIN },
		};

		if (poll(fds, 2, client_wait_ms(deadline)) < 0 && errno != EINTR)
			return reason_set(why, errno, "waiting for the simulated card: %s",
					  strerror(errno));
		if (fds[0].revents)
			continue;
		/* An answer that nobody waits for any more is left out when it comes. */
		if (fds[1].revents && !program)
			return reason_set(why, ECANCELED, "it was ended before the simulated card answered");
		if (fds[1].revents) {
			client_cancel(c, seq);
			return reason_set(why, ECANCELED, "programming was ended; the card has no design");
		}
		if (clock_mono_ns() >= deadline) {
			if (program)
				client_cancel(c, seq);
			else
				client_lose(c);
			return reason_set(why, ETIMEDOUT, "the simulated card did not answer in time");
		}
	}
}

/* Its pid, if the kernel says the same: it is waited for, and killed if need be. */
static pid_t client_peer(const struct client *c, uint64_t told)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(c->sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.pid <= 1 ||
	    (uint64_t)peer.pid != told)
		return 0;
	return peer.pid;
}

static int client_tell_faults(struct client *c, const struct faults *f, struct reason *why)
{
	struct card_attrs list;
	struct proto_msg reply, msg = { .type = PROTO_FAULTS };

	faults_list(f, &list);
	msg.data = (const uint8_t *)list.text;
	msg.len = list.len;

	int err = client_exchange(c, &msg, -1, NULL, &reply, why);

	if (!err)
		c->told = *f;
	return err;
}

/* What is wrong with this card or slot now. A slot has it from the run folder, where the
 * threads of other slots and of the card leave it. */
static int client_faults_now(const struct client *c, struct faults *f, struct reason *why)
{
	if (c->setup.host->slot >= 0)
		return faults_hold(&c->setup.faults, c->setup.host, NULL, f, why);
	*f = c->setup.faults;
	return 0;
}

/* End the process and see that it did. */
static void client_quit(struct client *c, char *how, size_t size)
{
	struct proto_msg quit = { .type = PROTO_QUIT };

	if (c->sock < 0 || client_send(c, &quit, -1) || !c->pid)
		return;
	if (!spawn_wait(c->pid, QUIT_MS, how, size)) {
		log_warn("the simulated card's process %d does not end, it is killed", (int)c->pid);
		kill(c->pid, SIGKILL);
		spawn_wait(c->pid, ENDED_MS, NULL, 0);
	}
}

/* Connect and greet. *same: it is the process that was there before. */
static int client_connect(struct client *c, bool *same, struct reason *why)
{
	int err = -EIO;

	/* A process that ends for lack of work at this moment takes its connection with it. */
	for (unsigned attempt = 0; attempt < 2 && err == -EIO; attempt++) {
		char card[PROTO_HELLO_DATA];
		int len = snprintf(card, sizeof(card), "%s%c%s%c%" PRIu64, c->setup.part, 0,
				   c->setup.board, 0, c->setup.baud);
		struct proto_msg reply, msg = {
			.type = PROTO_HELLO,
			.data = (const uint8_t *)card,
			.len = (size_t)len,
			.arg = { c->setup.hz, c->setup.manual, c->setup.rate_hz },
		};
		struct epoll_event ev = { .events = EPOLLIN };
		struct faults f;
		pid_t child = 0;
		int sock;

		err = spawn_connect(c->setup.host, c->setup.slots, &sock, &child, why);
		if (err)
			return err;
		c->sock = sock;
		if (child)
			c->started_ns = clock_mono_ns();
		if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, sock, &ev) < 0) {
			err = reason_set(why, errno, "epoll_ctl: %s", strerror(errno));
			client_lose(c);
			return err;
		}
		err = client_exchange(c, &msg, -1, NULL, &reply, why);
		if (!err) {
			*same = reply.arg[0] == c->instance;
			c->instance = reply.arg[0];
			c->pid = child ? child : client_peer(c, reply.arg[1]);
			err = client_faults_now(c, &f, why);
			err = err ? err : client_tell_faults(c, &f, why);
		} else if (child) {
			char how[32];

			client_lose(c);
			if (spawn_wait(child, ENDED_MS, how, sizeof(how)) && *how)
				reason_set(why, EIO, "the simulated card's process ended at once, %s", how);
		}
	}
	if (err)
		client_lose(c);
	return err;
}

int client_open(const struct client_setup *setup, struct client **out, struct reason *why)
{
	struct client *c = calloc(1, sizeof(*c));
	struct epoll_event ev = { .events = EPOLLIN };
	bool same;
	int err = 0;

	if (!c)
		return reason_set(why, ENOMEM, "no memory for a simulated card");
	c->setup = *setup;
	c->sock = -1;
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->packet = malloc(PROTO_MAX);
	if (c->epoll < 0 || c->event < 0 || !c->packet ||
	    epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->event, &ev) < 0)
		err = reason_set(why, c->packet ? errno : ENOMEM, "preparing a simulated card: %m");
	if (!err)
		err = client_connect(c, &same, why);
	if (err) {
		client_close(c, false);
		return err;
	}
	*out = c;
	return 0;
}

/* --- reads and writes ---------------------------------------------------------------- */

/* Send the next piece, or the only one. */
static void client_io_send(struct client *c, struct pending *p)
{
	struct card_io *io = p->io;
	size_t left = io->size - p->moved;
	bool pieces = io->write && io->endpoint == CARD_TX;
	struct proto_msg msg = {
		.type = PROTO_IO,
		.seq = p->seq = client_seq(c),
		.id = io->id,
		.arg = {
			(uint64_t)io->endpoint | (io->write ? PROTO_IO_WRITE : 0) |
				(io->nonblock ? PROTO_IO_NONBLOCK : 0) | (io->wait ? PROTO_IO_WAIT : 0),
			io->offset,
		},
	};

	p->piece = left > PROTO_DATA ? PROTO_DATA : left;
	if (pieces && p->piece > PROTO_TX)
		p->piece = PROTO_TX;
	msg.arg[2] = p->piece;
	msg.arg[3] = pieces ? p->moved : 0;
	if (io->write) {
		msg.data = (const uint8_t *)io->data + p->moved;
		msg.len = p->piece;
	}
	p->replied = false;
	if (client_send(c, &msg, -1)) {
		p->replied = true;
		p->err = ENODEV;
		p->piece = 0;
		client_signal(c);
	}
}

void client_io(struct client *c, struct card_io *io)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p) {
		io->done(io, ENOMEM, 0);
		return;
	}
	p->io = io;
	p->next = c->pending;
	c->pending = p;
	io->backend = p;
	client_io_send(c, p);
}

void client_io_cancel(struct client *c, struct card_io *io)
{
	struct pending *p = io->backend;
	struct proto_msg msg = { .type = PROTO_CANCEL, .seq = client_seq(c), .arg = { p->seq } };

	p->cancelled = true; /* no further piece */
	if (p->replied) {
		if (!p->moved && !p->err)
			p->err = EINTR;
		return;
	}
	client_send(c, &msg, -1);
}

/* Tell the core what has ended; calls of done() may submit and cancel others. */
static void client_io_finish(struct client *c)
{
	bool again;

	do {
		again = false;
		for (struct pending **at = &c->pending; *at; at = &(*at)->next) {
			struct pending *p = *at;

			if (!p->replied)
				continue;
			again = true;
			if (!p->err && !p->cancelled && p->piece && p->moved < p->io->size) {
				client_io_send(c, p);
				break;
			}
			*at = p->next;
			p->io->backend = NULL;
			p->io->done(p->io, p->moved ? 0 : p->err, p->moved);
			free(p);
			break;
		}
	} while (again);
}

unsigned client_endpoints(const struct client *c)
{
	return c->endpoints;
}

unsigned client_ready(const struct client *c)
{
	return c->ready;
}

int client_poll_fd(const struct client *c)
{
	return c->epoll;
}

int64_t client_pid(const struct client *c)
{
	return c->pid;
}

/* The process is gone, or has closed the connection: the next one. */
static unsigned client_revive(struct client *c, struct reason *why)
{
	char how[32] = "";
	bool same = false;
	struct faults f;
	int err;

	if (client_faults_now(c, &f, why))
		return CARD_NEWS_GONE;
	if (f.unplug) {
		reason_set(why, ENODEV, "the card is unplugged (fault unplug)");
		return CARD_NEWS_GONE;
	}
	if (c->pid)
		spawn_wait(c->pid, ENDED_MS, how, sizeof(how));
	c->short_lives = clock_mono_ns() - c->started_ns < SHORT_NS ? c->short_lives + 1 : 0;
	if (c->short_lives >= SHORT_LIVES) {
		reason_set(why, ENODEV, "the simulated card's process ended%s%s, %u times right after its start",
			   *how ? " " : "", how, c->short_lives);
		return CARD_NEWS_GONE;
	}
	err = client_connect(c, &same, why);
	if (err)
		return CARD_NEWS_GONE;
	if (same)
		return 0;
	reason_set(why, ENODEV, "the simulated card lost its power: its process ended%s%s",
		   *how ? " " : "", how);
	return CARD_NEWS_LOST;
}

int client_call(struct client *c, struct proto_msg *msg, int fd, struct card_run *run,
		struct proto_msg *reply, struct reason *why)
{
	struct proto_msg other;
	int got;

	/* A process that died before this call is not a failure of this call. */
	do
		got = client_receive(c, 0, NULL, &other);
	while (got == 0 || got == 1);
	if (c->sock < 0) {
		c->news |= client_revive(c, &c->news_why);
		client_signal(c);
		if (c->sock < 0)
			return reason_set(why, EIO, "%s", c->news_why.text);
	}
	/* What was lost is about to be replaced anyway: telling it afterwards would only
	 * cost the new design its state. */
	if (msg->type == PROTO_PROGRAM && c->news & CARD_NEWS_LOST) {
		log_warn("%s", c->news_why.text);
		c->news &= ~(unsigned)CARD_NEWS_LOST;
	}
	if (msg->type == PROTO_PROGRAM && c->setup.host->slot >= 0) {
		struct faults f;
		int err = client_faults_now(c, &f, why);

		/* The card's may have changed since. */
		if (!err && !faults_equal(&f, &c->told))
			err = client_tell_faults(c, &f, why);
		if (err)
			return err;
	}
	return client_exchange(c, msg, fd, run, reply, why);
}

unsigned client_pump(struct client *c, struct reason *why)
{
	struct proto_msg msg;
	uint64_t count;
	unsigned news = 0;
	int got;

	if (read(c->event, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("simulated card: eventfd: %m");
	do
		got = client_receive(c, 0, NULL, &msg);
	while (got == 0 || got == 1);
	client_io_finish(c);
	if (c->news) {
		news = c->news;
		reason_set(why, c->news_why.err, "%s", c->news_why.text);
		c->news = 0;
	}
	if (c->sock < 0 && !(news & CARD_NEWS_GONE))
		news |= client_revive(c, why);
	/* One sentence at a time. */
	if (c->alert && !(news & (CARD_NEWS_GONE | CARD_NEWS_LOST))) {
		reason_set(why, EIO, "over-temperature: the card has stopped its clock at %d degrees Celsius; let "
			   "it cool down, then reset it or load an image", MODEL_TRIP_DEGC);
		news |= CARD_NEWS_ALERT;
		c->alert = false;
	}
	if (c->changed)
		news |= CARD_NEWS_READY;
	c->changed = false;
	return news;
}

int client_faults(struct client *c, const struct faults *f, struct reason *why)
{
	char how[32] = "";
	int err = c->sock < 0 ? 0 : client_tell_faults(c, f, why);

	if (err)
		return err;
	if (c->setup.host->slot < 0)
		c->setup.faults = *f;
	if (f->unplug) {
		client_quit(c, how, sizeof(how));
		client_lose(c);
	}
	return 0;
}

void client_close(struct client *c, bool last)
{
	char how[32] = "";

	if (last)
		client_quit(c, how, sizeof(how));
	if (*how && strcmp(how, "with status 0") != 0)
		log_warn("the simulated card's process ended %s", how);
	client_lose(c);
	client_io_finish(c);
	cleanup_fd(&c->epoll);
	cleanup_fd(&c->event);
	free(c->packet);
	free(c);
}
