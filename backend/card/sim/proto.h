// SPDX-License-Identifier: Apache-2.0
/*
 * What the worker and the process of a simulated card say to each other.
 *
 * A unix SOCK_SEQPACKET socket; every packet is one message: a header of 56
 * bytes, little endian, and data:
 *
 *	u16 version   u16 type   u32 seq   u64 id   u32 err   u32 length of data
 *	u64 arg[4]
 *
 * A request has a seq that is unique on its connection, its reply has the same
 * seq and PROTO_REPLY in the type; err is a positive errno, and the data of a
 * reply with err is the sentence. NEWS and PROGRESS come unasked. Both sides
 * take the other for hostile: proto_decode() checks everything that the
 * receiver may rely on.
 *
 * Identity (id) is what makes things happen once: the same id again, on this
 * connection or a later one, is the same operation and is answered from what
 * is remembered of it (ledger.h, load.h).
 */
#ifndef SIM_PROTO_H
#define SIM_PROTO_H

#include <fabricfs/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTO_VERSION 1
#define PROTO_HEADER  56
#define PROTO_DATA    65536 /* bytes of data in one message at most */
#define PROTO_MAX     (PROTO_HEADER + PROTO_DATA)
#define PROTO_HELLO_DATA 128
#define PROTO_TX      32768 /* bytes of one piece of a write to io/tx */
#define SIM_SLOTS_MAX 8     /* of a card */

#define PROTO_REPLY 0x80

enum proto_type {
	/* data: part, board, baud rate in decimal, with a NUL between (the latter two may be
	 * missing: "stream"). arg0: config_clock_hz; arg1: 1 = the clock is a pin like any other;
	 * arg2: Hz of a clock that runs by itself, 0 = on demand.
	 * Reply arg0: a number that every start of the process makes new; arg1: its pid. */
	PROTO_HELLO = 1,
	/* Reply arg0: enum card_condition; arg1: 0 or 64; data: so many hex digits, then a sentence. */
	PROTO_STATUS,
	/* arg0: size of the image, whose descriptor comes with it, as for the next three */
	PROTO_ACCEPT,
	PROTO_PROGRAM, /* id: of the run */
	/* id: of the run: read back whether the card has it. data: nothing, or the name by which
	 * STATUS tells it from then on (64 hex digits), of a card that cannot tell by itself. Reply
	 * data: how it is known, where the card says that */
	PROTO_CONFIRM,
	PROTO_VERIFY,  /* the same at any later time */
	PROTO_CLEAR,
	PROTO_RESET,
	/* Reply data: PROTO_STATS numbers of 8 bytes, see enum proto_stat. Of a card with slots: first
	 * what is about all of it (sums, power, temperature), then as many for each slot. Of a card
	 * without a fabric: PROTO_LOGIC_STATS numbers, see enum proto_logic_stat */
	PROTO_TELEMETRY,
	/*
	 * id: of the operation. arg0: endpoint (enum card_endpoint) and PROTO_IO bits;
	 * arg1: offset; arg2: bytes wanted; arg3: where in the operation this piece of a write
	 * begins; data: what to write. Reply arg0: bytes moved; data: what was read
	 */
	PROTO_IO,
	/* arg0: seq of the PROGRAM or IO to be ended. It is that one which is replied to */
	PROTO_CANCEL,
	/* The end of the process */
	PROTO_QUIT,
	/* Unasked: arg0: CARD_ENDPOINT_BITs of the loaded design; arg1: those that are ready; arg2: 1 =
	 * the card got too hot and stopped the clock, told once */
	PROTO_NEWS,
	/* Unasked: seq: of the PROGRAM; arg0: bytes that went to the card */
	PROTO_PROGRESS,
	/* data: the whole set of faults from now on, as name NUL value NUL (faults.h) */
	PROTO_FAULTS,
	/* id: of the request. arg0: 1 = any configuration bit, 0 = the one at bank arg1, row arg2,
	 * column arg3: it flips under the running design. Once for an id */
	PROTO_UPSET,
	PROTO_TYPES
};

#define PROTO_IO_ENDPOINT 0xffu
#define PROTO_IO_WRITE    0x100u
#define PROTO_IO_NONBLOCK 0x200u
#define PROTO_IO_WAIT     0x400u

/* Of a TELEMETRY reply; counts since the process began, resources of the image. */
enum proto_stat {
	STAT_CYCLES, STAT_CLOCK_HZ, STAT_TOGGLES, STAT_BYTES_IN, STAT_BYTES_OUT, STAT_STALLS,
	STAT_REG_ACCESSES, STAT_RAM_READS, STAT_RAM_WRITES, STAT_LUTS, STAT_DFFS, STAT_CARRIES,
	STAT_RAMS, STAT_PINS_IN, STAT_PINS_OUT, STAT_GLOBALS, STAT_CLOCK_DOMAINS, STAT_LUT_LEVELS,
	STAT_LOOPS, STAT_UNDRIVEN, STAT_POWER_NW, STAT_TEMP_UDEGC, STAT_FRAMING, STAT_OVERRUNS,
	STAT_SPRAMS, STAT_DSPS, STAT_PLLS, STAT_UNSETTLED, PROTO_STATS
};

/* The same of configuration logic, since the configuration began. */
enum proto_logic_stat { STAT_CONFIG_BYTES, STAT_CONFIG_FRAMES, STAT_CONFIG_CHECKS, PROTO_LOGIC_STATS };

struct proto_msg {
	unsigned type; /* enum proto_type */
	bool reply;
	uint32_t seq;
	uint64_t id;
	int err;       /* replies: 0 or a positive errno */
	uint64_t arg[4];
	const uint8_t *data; /* not owned: lies in the packet that was decoded */
	size_t len;
};

/*
 * Take a packet apart. to_card: it is what the worker says (else what the card
 * says); has_fd: a descriptor came with it. 0, or -EPROTO with what is wrong:
 * the sender is broken and the connection not worth keeping.
 */
int proto_decode(const uint8_t *packet, size_t n, bool to_card, bool has_fd, struct proto_msg *msg,
		 struct reason *why);

/* Write the header of msg (its len, not its data). */
void proto_header(const struct proto_msg *msg, uint8_t header[PROTO_HEADER]);

/*
 * Send one message, with descriptor fd if it is not -1. 0; -EAGAIN: the
 * socket is full and nothing was sent; other -errno: the connection is gone.
 */
int proto_send(int sock, const struct proto_msg *msg, int fd);

/*
 * Receive one packet of at most PROTO_MAX bytes into packet and take it apart.
 * *fd (not NULL) is the descriptor that came with it, or -1; the caller owns
 * it. 1: msg is there; 0: the other end has closed; -EAGAIN: nothing there;
 * other -errno: the connection is gone or not worth keeping.
 */
int proto_receive(int sock, uint8_t *packet, bool to_card, struct proto_msg *msg, int *fd,
		  struct reason *why);

static inline uint64_t proto_get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static inline void proto_put(uint8_t *p, unsigned bytes, uint64_t v)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

#endif
