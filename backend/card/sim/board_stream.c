// SPDX-License-Identifier: Apache-2.0
/* The board "stream" (board.h): handshakes, the register window and the reset line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "board_kind.h"

#include <fabricfs/card.h>

/* A gap of so many cycles in the design's output ends a read that has bytes already. */
#define BOARD_GAP_CYCLES 64
/* How far the clock runs blindly before this side looks again. */
#define BOARD_STRIDE     1024

enum {
	PIN_CLK, PIN_RST,
	PIN_RX_DATA, PIN_RX_VALID = PIN_RX_DATA + 8, PIN_RX_READY,
	PIN_TX_DATA, PIN_TX_VALID = PIN_TX_DATA + 8, PIN_TX_READY,
	PIN_REG_ADDR, PIN_REG_WE = PIN_REG_ADDR + 8, PIN_REG_RE,
	PIN_REG_WDATA, PIN_REG_RDATA = PIN_REG_WDATA + 16, PIN_REG_ACK = PIN_REG_RDATA + 16,
	PIN_IRQ, PIN_COUNT
};

/*
 * Which pin is which signal: all of a board, or the streams only. The clock is on
 * a pin that reaches a global network without a detour. Each was placed, routed
 * and compared with its source (tests/system/test_designs.py).
 */
static const struct wiring {
	const char *part;
	const char *pin[PIN_COUNT];
} wirings[] = {
	{ "iCE40-HX1K", {
		"21", "22",
		"112", "113", "114", "115", "116", "117", "118", "119", "120", "121",
		"134", "135", "136", "137", "138", "139", "141", "142", "143", "144",
		"1", "2", "3", "4", "7", "8", "9", "10", "11", "12",
		"19", "20", "23", "24", "25", "26", "28", "29",
		"31", "32", "33", "34", "37", "38", "39", "41",
		"42", "43", "44", "45", "47", "48", "49", "50",
		"52", "56", "58", "60", "61", "62", "63", "64",
		"67", "68",
	} },
	{ "iCE40-HX8K", {
		"J3", "B1",
		"B2", "C1", "C2", "D1", "D2", "E2", "F1", "F2", "G1", "G2",
		"H1", "H2", "J1", "J2", "K1", "K3", "L1", "L3", "M1", "M2",
	} },
	{ "iCE40-LP384", {
		"D2", "B1",
		"A1", "B2", "C1", "C2", "D1", "D3", "E2", "F1", "F2", "G1",
		"A3", "A4", "A5", "A6", "A7", "B4", "C5", "C6", "C7", "D6",
	} },
	/* not the pins of the LED driver (39 to 41) and of the flash (14 to 17) */
	{ "iCE40-UP5K", {
		"35", "10",
		"2", "3", "4", "6", "9", "11", "12", "13", "18", "19",
		"23", "25", "26", "27", "28", "31", "32", "34", "36", "38",
	} },
};

_Static_assert(PIN_COUNT <= BOARD_WIRES, "every signal has a wire");

struct stream {
	struct board board;
	bool stalled;
	enum board_access access;
	bool write;
	unsigned access_cycles;
	uint16_t value;
};

static struct stream *stream_of(struct board *b)
{
	return (struct stream *)b;
}

static const struct wiring *wiring_find(const char *part)
{
	for (size_t i = 0; i < sizeof(wirings) / sizeof(wirings[0]); i++)
		if (strcmp(wirings[i].part, part) == 0)
			return &wirings[i];
	return NULL;
}

static bool pins_drive(struct board *b, unsigned first, unsigned n, unsigned value)
{
	bool changed = false;

	for (unsigned i = 0; i < n; i++)
		changed |= wire_drive(b, first + i, value >> i & 1);
	return changed;
}

static unsigned pins_read(const struct board *b, unsigned first, unsigned n)
{
	unsigned value = 0;

	for (unsigned i = 0; i < n; i++)
		value |= (unsigned)wire_high(b, first + i) << i;
	return value;
}

static void stream_quiesce(struct board *b)
{
	stream_of(b)->access = BOARD_IDLE;
	stream_of(b)->stalled = false;
	pins_drive(b, PIN_RX_DATA, 8, 0);
	wire_drive(b, PIN_RX_VALID, false);
	wire_drive(b, PIN_TX_READY, false);
	wire_drive(b, PIN_REG_WE, false);
	wire_drive(b, PIN_REG_RE, false);
}

/* The design wakes up in reset. */
static void stream_off(struct board *b)
{
	wire_drive(b, PIN_RST, true);
}

static void stream_reset(struct board *b)
{
	wire_drive(b, PIN_RST, true);
	/* The first of them brings rst to the pin; the design then has it for so many edges. */
	for (uint64_t done = 0; done < 1 + BOARD_RESET_CYCLES;)
		done += clock_cycles(b, 1 + BOARD_RESET_CYCLES - done);
	wire_drive(b, PIN_RST, false);
	clock_cycles(b, 1);
}

static unsigned stream_wake(struct board *b)
{
	bool rx = wire_driven(b, PIN_TX_VALID), regs = wire_driven(b, PIN_REG_ACK);

	for (unsigned i = 0; i < 8; i++)
		rx &= wire_driven(b, PIN_TX_DATA + i);
	for (unsigned i = 0; i < 16; i++)
		regs &= wire_driven(b, PIN_REG_RDATA + i);
	return (wire_driven(b, PIN_RX_READY) ? CARD_ENDPOINT_BIT(CARD_TX) : 0) |
	       (rx ? CARD_ENDPOINT_BIT(CARD_RX) : 0) | (regs ? CARD_ENDPOINT_BIT(CARD_REGS) : 0);
}

/* A design may raise ready only when it sees valid: not stalled is ready. */
static bool stream_takes(const struct board *b)
{
	return !((const struct stream *)b)->stalled || wire_high(b, PIN_RX_READY);
}

static void stream_offered(struct board *b, size_t withdrawn)
{
	if (withdrawn)
		stream_of(b)->stalled = true;
	/* What is withdrawn must not be taken at the next edge. */
	if (wire_drive(b, PIN_RX_VALID, false))
		fabric_settle(b->f);
}

static void stream_room(struct board *b)
{
	if (!b->wire[PIN_TX_READY].level)
		b->rest = false;
}

void board_access_begin(struct board *b, unsigned reg, bool write, uint16_t value)
{
	struct stream *s = stream_of(b);

	s->access = BOARD_PENDING;
	s->access_cycles = 0;
	s->write = write;
	s->value = value;
	pins_drive(b, PIN_REG_ADDR, 8, reg);
	if (write)
		pins_drive(b, PIN_REG_WDATA, 16, value);
	wire_drive(b, write ? PIN_REG_WE : PIN_REG_RE, true);
	b->rest = false;
	b->idle = 0;
}

enum board_access board_access_result(struct board *b, uint16_t *value)
{
	struct stream *s = stream_of(b);
	enum board_access result = s->access;

	if (result == BOARD_ACKED || result == BOARD_SILENT)
		s->access = BOARD_IDLE;
	if (result == BOARD_ACKED)
		*value = s->value;
	return result;
}

/* The access at the edge to come: ended by ack, or by giving up. True when it ended. */
static bool access_step(struct stream *s, bool quiet)
{
	struct board *b = &s->board;

	if (s->access_cycles && wire_high(b, PIN_REG_ACK)) {
		if (!s->write)
			s->value = (uint16_t)pins_read(b, PIN_REG_RDATA, 16);
		s->access = BOARD_ACKED;
	} else if (s->access_cycles >= BOARD_ACK_CYCLES || (s->access_cycles && quiet)) {
		s->access = BOARD_SILENT;
	} else {
		s->access_cycles++;
		return false;
	}
	wire_drive(b, PIN_REG_WE, false);
	wire_drive(b, PIN_REG_RE, false);
	b->count.accesses++;
	b->idle = 0;
	return true;
}

/* Nothing is offered and nothing accessed: the clock may run until the design sends. */
static uint64_t stream_stride(struct board *b, uint64_t n)
{
	if (n > BOARD_STRIDE)
		n = BOARD_STRIDE;
	if (b->endpoints & CARD_ENDPOINT_BIT(CARD_RX) && b->wire[PIN_TX_READY].level)
		return clock_cycles_busy(b, n, PIN_TX_VALID, true);
	return clock_cycles(b, n);
}

static void stream_run(struct board *b, uint64_t n, unsigned stop, size_t want)
{
	struct stream *s = stream_of(b);

	while (n && !b->rest) {
		bool staged = false, ended = false, moved = false;
		bool quiet = fabric_quiet(b->f);

		/* What happens at the next rising edge follows from the levels before it. */
		if (b->wire[PIN_TX_READY].level && wire_high(b, PIN_TX_VALID)) {
			board_queue(b, (uint8_t)pins_read(b, PIN_TX_DATA, 8));
			moved = true;
		}
		if (b->wire[PIN_RX_VALID].level && wire_high(b, PIN_RX_READY)) {
			b->taken++;
			b->count.bytes_in++;
			s->stalled = false;
			moved = true;
			ended |= b->taken == b->offered && stop & BOARD_STOP_TAKEN;
		}

		bool more = b->taken < b->offered;

		if (more)
			staged |= pins_drive(b, PIN_RX_DATA, 8, b->offer[b->taken]);
		staged |= wire_drive(b, PIN_RX_VALID, more);
		staged |= wire_drive(b, PIN_TX_READY, b->endpoints & CARD_ENDPOINT_BIT(CARD_RX) &&
							     b->waiting < BOARD_RX_BYTES);
		if (s->access == BOARD_PENDING && access_step(s, quiet && !moved && !staged)) {
			ended |= stop & BOARD_STOP_ACCESS;
			moved = true;
		}
		if (quiet && !staged && !moved && s->access != BOARD_PENDING) {
			b->rest = true;
			break;
		}

		uint64_t ran = 1;

		if (more || moved || staged || s->access == BOARD_PENDING) {
			clock_cycles(b, 1);
			b->count.stalls += (more && !wire_high(b, PIN_RX_READY)) +
					   (wire_high(b, PIN_TX_VALID) && !b->wire[PIN_TX_READY].level);
		} else {
			ran = stream_stride(b, n);
		}
		n -= ran < n ? ran : n;
		b->idle = moved ? 0 : b->idle + ran;
		if (ended || fabric_costly(b->f))
			break;
		if (stop & BOARD_STOP_SENT &&
		    (b->waiting >= want || (b->waiting && b->idle > BOARD_GAP_CYCLES)))
			break;
	}
}


static const struct board_kind stream_kind = {
	.quiesce = stream_quiesce,
	.off = stream_off,
	.wake = stream_wake,
	.reset = stream_reset,
	.offered = stream_offered,
	.takes = stream_takes,
	.room = stream_room,
	.run = stream_run,
};

int board_stream_new(struct fabric *f, struct board **out, struct reason *why)
{
	const struct wiring *w = wiring_find(fabric_part(f));
	struct stream *s;
	int err = 0;

	if (!w)
		return reason_set(why, ENODEV, "there is no board stream for %s", fabric_part(f));
	s = calloc(1, sizeof(*s));
	if (!s)
		return reason_set(why, ENOMEM, "no memory for a board");
	*out = &s->board;
	s->board.kind = &stream_kind;
	s->board.name = "stream";
	s->board.f = f;
	s->board.clk = PIN_CLK;
	for (unsigned i = 0; i < PIN_COUNT && !err; i++)
		err = board_wire(&s->board, i, w->pin[i], true, false, why);
	return err;
}
