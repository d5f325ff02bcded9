// SPDX-License-Identifier: Apache-2.0
/*
 * The process of a simulated card, from the inside.
 *
 *	process.c  its life: socket, connection, the loop
 *	carrier.c  a card with slots: a thread for each, and what is about all
 *	service.c  what each message asks for
 *	load.c     programming, paced by the link
 *	operate.c  reads and writes of the endpoints, and when the clock runs
 *	port.c     what is asked of a device that has its configuration logic and no fabric
 *
 * One thread, and one more for each slot. A slot is to its thread what a card
 * without slots is to the process: a `struct process` with a socket, a fabric, a
 * board and a link of its own, which no other thread touches. What they have in
 * common is read only (the chip database) or in carrier.c. Nothing blocks but the poll() of the loop; running the design
 * and feeding the configuration port go in slices of a few milliseconds, so
 * that a message is never left waiting for longer.
 */
#ifndef SIM_PROCESS_H
#define SIM_PROCESS_H

#include "board.h"
#include "ledger.h"
#include "link.h"
#include "model.h"
#include "proto.h"

#include <fabricfs/card.h>
#include <sys/types.h>

#define PROCESS_SLICE_NS  2000000
#define PROCESS_SLICE_FIRST 64 /* cycles, of a design of which nothing is known */
#define PROCESS_LINGER_NS 60000000000 /* without a worker */
#define PROCESS_IMAGE_MAX (1024 * 1024)

/* A message that did not fit into the socket. */
struct packet {
	struct packet *next;
	struct proto_msg msg; /* its data are below */
	uint8_t data[];
};

/* A read or write of an endpoint that is not finished. */
struct op {
	struct op *next;
	uint32_t seq;    /* 0: its connection is gone, it goes on for the ledger's sake */
	uint64_t id;
	enum card_endpoint endpoint;
	bool write, nonblock, wait, cancelled;
	uint64_t offset; /* REGS: of the next byte */
	uint64_t base;   /* TX: where in the operation data[0] is; LEDS: the cycle at which it ends */
	size_t size, moved;
	bool offered;    /* TX: the board has data + moved */
	int64_t until;   /* RX without wait: processor time at which it gives up */
	uint8_t *data;   /* owned; size bytes */
};

/* The run in progress, and the last one. */
struct load {
	int fd;         /* owned; -1 = none in progress */
	uint32_t seq;   /* to be told; 0 = nobody is there */
	uint64_t id;
	uint64_t size, done, told;
	int64_t start_ns, told_ns;
	uint64_t last_id; /* what runs is what this run programmed; 0 = none */
};

struct carrier;

struct process {
	int listen_fd, run_fd;
	int nudge_fd;    /* of a slot: readable when its carrier ends or got too hot; else -1 */
	struct carrier *carrier; /* that it is or belongs to; NULL: a card without slots */
	unsigned slot;   /* with nudge_fd */
	char socket_name[32];
	int conn;
	pid_t peer;      /* of conn */
	bool told;       /* that another was refused; once a connection */
	bool greeted;    /* HELLO came on this connection */
	bool ending;
	int64_t alone_ns; /* since when there is no connection */
	uint64_t instance;
	uint8_t *packet; /* owned, PROTO_MAX: the message being served */
	struct packet *out, **out_end;

	struct fabric *fabric; /* from the first HELLO on, as board and link; */
	struct board *board;
	struct logic *logic;   /* or this, and neither of the two */
	struct link link;
	struct load load;
	struct model model;
	struct thermal *thermal; /* its own, or its carrier's */
	struct thermal own_thermal;
	unsigned trips;          /* that it was reset after; fewer than the card's: its clock is stopped */
	struct stuck_sensor sensors[FAULT_SENSORS];
	struct ledger ledger;
	struct op *ops;

	enum card_condition condition;
	char sha256[SHA256_HEX]; /* of what the port was given, while it runs */
	char detail[256];

	/* The clock is wanted even without an operation: so many cycles, or until this much
	 * processor time was used. */
	uint64_t want_cycles;
	int64_t want_until;
	int64_t last_move;   /* processor time when an operation last moved something */
	int64_t busy_ns;     /* processor time spent on cycles */
	uint64_t rate_hz;    /* the clock runs by itself, so fast in real time; 0 = on demand */
	int64_t clock_ns;    /* of such a clock: the time up to which it has run */
	uint64_t slice;      /* cycles that fit well into a slice, by experience with this design */
	unsigned told_endpoints, told_ready;
	unsigned told_trips;
	uint64_t upset_id;   /* the last upset; 0 = none */
};

/* --- process.c --- */

int process_init(struct process *p, int listen_fd, const char *socket_name);
/* Serve until it is told to end, or nobody wants it. */
void process_loop(struct process *p);
/* The socket's name is gone by then. */
void process_fini(struct process *p);

/* Send or queue. data of msg are copied if need be. */
void process_send(struct process *p, const struct proto_msg *msg);
/* Answer a request: err 0 with data, or -errno with the sentence. */
void process_reply(struct process *p, unsigned type, uint32_t seq, int err,
		   const struct reason *why);
/* Tell the worker what the design offers, if that changed. */
void process_news(struct process *p);
int64_t process_cpu_ns(void);

/* --- service.c --- */

/* Serve one message; fd (or -1) is taken over. -EPROTO: drop the connection. */
int service_message(struct process *p, const struct proto_msg *msg, int fd);
/* What a HELLO says of the card. It points into itself. */
struct hello_words {
	char text[PROTO_HELLO_DATA + 3]; /* three words end, whatever came */
	const char *part, *board, *baud;
	const struct board_row *row; /* NULL: the board is not one of board_table.h */
};
void hello_words(const struct proto_msg *msg, struct hello_words *w);
/* The fabric of such a card, as its board has it: package and clock; the caller's. */
int service_fabric(const struct hello_words *w, struct fabric **out, struct reason *why);
/* Would a fabric take the image that came with msg? */
int service_accept(const struct fabric *f, const struct proto_msg *msg, int fd, struct reason *why);
/* What was counted so far; RAM accesses beside it. */
void service_counters(const struct process *p, uint64_t stats[PROTO_STATS], uint64_t *ram_accesses);
/* What the loaded design takes of the fabric. */
void service_resources(const struct process *p, uint64_t stats[PROTO_STATS]);
void service_reply_stats(struct process *p, uint32_t seq, const uint64_t *stats, unsigned n);
/* What the card's sensors tell of it, which may be stuck. */
void service_sensors(const struct process *p, const struct model *m, double power_w,
		     uint64_t stats[PROTO_STATS]);
/* The card got too hot: its clock is stopped until it was reset. */
bool service_hot(const struct process *p);
/* Let the clock run again, if it is cool enough now; whether it may. */
bool service_cool(struct process *p);

/* The descriptor and size that came with a message. */
int service_image(const struct process *p, const struct proto_msg *msg, int fd, struct reason *why);

/* --- port.c --- */

/* Of a card without a fabric, as the messages of the same names; err 0 is answered by them. */
int port_accept(const struct process *p, const struct proto_msg *msg, int fd, struct reason *why);
int port_confirm(struct process *p, const struct proto_msg *msg, int fd, struct reason *why);
int port_verify(const struct process *p, const struct proto_msg *msg, int fd, struct reason *why);
int port_faults(struct process *p, const struct proto_msg *msg, struct reason *why);
void port_telemetry(struct process *p, const struct proto_msg *msg);

/* --- carrier.c --- */

/* Serve a card with slots; their sockets are the descriptors from first_fd on. The exit status. */
int carrier_run(struct process *card, unsigned slots, int first_fd);
/* Make a card one with slots, which nobody serves yet; and the end of all that. */
int carrier_begin(struct process *card, unsigned slots);
void carrier_end(struct process *card);
/* A message to the card as a whole; -EPROTO as above. */
int carrier_message(struct process *card, const struct proto_msg *msg, int fd);
/* Of a slot's thread: let the card see what it has counted. */
void carrier_note(struct process *slot);
/* Of a slot's thread: it was nudged. True when the carrier ends. */
bool carrier_nudged(struct process *slot);

/* --- load.c --- */

void load_begin(struct process *p, const struct proto_msg *msg, int fd);
/* Feed what the link's clock allows. */
void load_step(struct process *p);
/* Nanoseconds until load_step() has something to do; -1 = never. */
int64_t load_wait_ns(const struct process *p);
/* End the run in progress, if any, with this errno: the card is left without a design. */
void load_abort(struct process *p, int err, const char *because);
/* CRESET: no design, no endpoints; operations end with ESTALE. */
void load_wipe(struct process *p);

/* --- operate.c --- */

void op_submit(struct process *p, const struct proto_msg *msg);
/* False when there is none with this seq. */
bool op_cancel(struct process *p, uint32_t seq);
/* The connection is gone: nothing waits any more, and nothing half done is forgotten. */
void ops_detach(struct process *p);
/* The design is gone. */
void ops_fail(struct process *p, int err);
/* Let the clock run if anything wants it. Returns how long to wait before calling
 * again: 0 = at once, -1 = until something happens, else nanoseconds. */
int64_t ops_run(struct process *p);
/* Run a little after a reset or wake-up, so that the design comes to its first rest. */
void ops_stir(struct process *p);

#endif
