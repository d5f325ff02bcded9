// SPDX-License-Identifier: Apache-2.0
/*
 * The worker's side of a simulated card: finds or starts its process, and
 * talks to it (proto.h).
 *
 * A client belongs to its card's actor thread. Calls wait for their reply;
 * reads and writes of endpoints are sent and finish later, in client_pump().
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "faults.h"
#include "proto.h"

#include <fabricfs/card.h>

struct client;

struct client_setup {
	const struct card_host *host; /* outlives the client */
	char part[48];
	uint64_t hz;
	char board[32];
	uint64_t baud;   /* of its serial port */
	bool manual;     /* clock: manual */
	uint64_t rate_hz; /* clock: a number; 0 = demand */
	unsigned slots;  /* of the card; host->slot says which one this is about */
	struct faults faults; /* of a slot: as configured; what else holds is in the run folder */
};

/* Reach the process, starting one if there is none. -ENODEV and the like with why. */
int client_open(const struct client_setup *setup, struct client **out, struct reason *why);
/* last: the process ends too, and is gone when this returns (or killed after some seconds).
 * What is pending is done first, with ENODEV. */
void client_close(struct client *c, bool last);

/*
 * Send msg (its seq is filled in), with descriptor fd unless -1, and wait for
 * the reply, whose data lie in the client until the next call. run, of what is part
 * of one, else NULL: its deadline and cancel_fd hold, and its progress for PROGRAM.
 * 0, or the reply's -errno with its sentence; -EIO: the process died or was not
 * there; -ETIMEDOUT, -ECANCELED.
 */
int client_call(struct client *c, struct proto_msg *msg, int fd, struct card_run *run,
		struct proto_msg *reply, struct reason *why);

/* From now on the card has these faults; without power it goes offline, which client_pump() tells.
 * 0, or -errno and what was before. Of a slot: until what the run folder says changes, which is
 * looked at whenever the slot is connected to or programmed. */
int client_faults(struct client *c, const struct faults *f, struct reason *why);

/* card_backend.io_submit, .io_cancel. */
void client_io(struct client *c, struct card_io *io);
void client_io_cancel(struct client *c, struct card_io *io);

/* What the process said last: CARD_ENDPOINT_BITs. */
unsigned client_endpoints(const struct client *c);
unsigned client_ready(const struct client *c);

/* card_backend.poll_fd, .pump. */
int client_poll_fd(const struct client *c);
unsigned client_pump(struct client *c, struct reason *why);

/* The process, for tests and the log. */
int64_t client_pid(const struct client *c);

#endif
