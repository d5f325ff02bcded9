// SPDX-License-Identifier: Apache-2.0
/* The board "stream" (board.h): handshakes, the register window and the reset line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"

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

struct board {
	struct fabric *f;
	int pin[PIN_COUNT];
	bool level[PIN_COUNT]; /* what the board drives, for its outputs */
	signed char stuck[PIN_COUNT]; /* the level that a fault ties it to, -1 = none */
	unsigned endpoints;
	bool manual;           /* every pin is the host's */
	bool rest, stalled;
	uint64_t idle;

	const uint8_t *offer;  /* not owned */
	size_t offered, taken;

	uint8_t *queue; /* owned, BOARD_RX_BYTES, a ring; made at the first wake-up */
	size_t first, waiting;

	enum board_access access;
	bool write;
	unsigned access_cycles;
	uint16_t value;
	struct board_counters count;
};

static const struct wiring *wiring_find(const char *part)
{
	for (size_t i = 0; i < sizeof(wirings) / sizeof(wirings[0]); i++)
		if (strcmp(wirings[i].part, part) == 0)
			return &wirings[i];
	return NULL;
}

int board_new(struct fabric *f, bool manual, struct board **out, struct reason *why)
{
	const struct wiring *w = wiring_find(fabric_part(f));
	struct board *b;

	if (!w)
		return reason_set(why, ENODEV, "there is no board stream for %s", fabric_part(f));
	b = calloc(1, sizeof(*b));
	if (!b)
		return reason_set(why, ENOMEM, "no memory for a board");
	b->f = f;
	b->manual = manual;
	memset(b->stuck, -1, sizeof(b->stuck));
	for (unsigned i = 0; i < PIN_COUNT; i++) {
		/* a pin of -1 is one that nobody drives and whose level is 0 */
		b->pin[i] = w->pin[i] ? fabric_pin(f, w->pin[i]) : -1;
		if (w->pin[i] && b->pin[i] < 0) {
			int err = reason_set(why, ENODEV, "the board stream needs pin %s, which %s in %s has not",
					     w->pin[i], fabric_part(f), fabric_package(f));

			free(b);
			return err;
		}
	}
	*out = b;
	return 0;
}

void board_free(struct board *b)
{
	if (b)
		free(b->queue);
	free(b);
}

static bool pin_high(const struct board *b, unsigned pin)
{
	return b->stuck[pin] >= 0 ? b->stuck[pin] : fabric_pin_level(b->f, b->pin[pin]) > 0;
}

static bool pin_driven(const struct board *b, unsigned pin)
{
	enum fabric_dir dir = fabric_pin_dir(b->f, b->pin[pin]);

	return dir == FABRIC_PIN_OUT || dir == FABRIC_PIN_INOUT;
}

/* True when that was a change. */
static bool pin_drive(struct board *b, unsigned pin, bool level)
{
	if (b->level[pin] == level)
		return false;
	b->level[pin] = level;
	fabric_pin_set(b->f, b->pin[pin], b->stuck[pin] >= 0 ? b->stuck[pin] : level);
	return true;
}

/* So many cycles of the clock, if it gets through to the design. */
static void clock_cycles(struct board *b, uint64_t n)
{
	if (b->stuck[PIN_CLK] >= 0)
		fabric_settle(b->f);
	else
		fabric_cycles(b->f, b->pin[PIN_CLK], n);
}

int board_stick(struct board *b, const struct stuck_pin *pins, unsigned n, struct reason *why)
{
	signed char stuck[PIN_COUNT];

	memset(stuck, -1, sizeof(stuck));
	for (unsigned i = 0; i < n; i++) {
		int at = fabric_pin(b->f, pins[i].name);
		unsigned pin = 0;

		while (pin < PIN_COUNT && (at < 0 || b->pin[pin] != at))
			pin++;
		if (pin == PIN_COUNT)
			return reason_set(why, EINVAL, "faults: stuck-pin: the board stream wires nothing to "
					  "pin '%s'", pins[i].name);
		stuck[pin] = pins[i].level;
	}
	for (unsigned pin = 0; pin < PIN_COUNT; pin++)
		if (stuck[pin] != b->stuck[pin])
			fabric_pin_set(b->f, b->pin[pin], stuck[pin] >= 0 ? stuck[pin] : b->level[pin]);
	memcpy(b->stuck, stuck, sizeof(stuck));
	fabric_settle(b->f);
	b->rest = b->manual;
	return 0;
}

static bool pins_drive(struct board *b, unsigned first, unsigned n, unsigned value)
{
	bool changed = false;

	for (unsigned i = 0; i < n; i++)
		changed |= pin_drive(b, first + i, value >> i & 1);
	return changed;
}

static unsigned pins_read(const struct board *b, unsigned first, unsigned n)
{
	unsigned value = 0;

	for (unsigned i = 0; i < n; i++)
		value |= (unsigned)pin_high(b, first + i) << i;
	return value;
}

static void board_quiesce(struct board *b)
{
	b->first = b->waiting = 0;
	b->offer = NULL;
	b->offered = b->taken = 0;
	b->access = BOARD_IDLE;
	b->idle = 0;
	b->stalled = false;
	pins_drive(b, PIN_RX_DATA, 8, 0);
	pin_drive(b, PIN_RX_VALID, false);
	pin_drive(b, PIN_TX_READY, false);
	pin_drive(b, PIN_REG_WE, false);
	pin_drive(b, PIN_REG_RE, false);
}

void board_off(struct board *b)
{
	if (b->manual) {
		b->endpoints = 0;
		b->rest = true;
		return;
	}
	board_quiesce(b);
	/* The design wakes up in reset. */
	pin_drive(b, PIN_RST, true);
	b->endpoints = 0;
	b->rest = true;
}

void board_reset(struct board *b)
{
	if (b->manual)
		return; /* nor is the reset line the board's */
	board_quiesce(b);
	pin_drive(b, PIN_RST, true);
	/* The first of them brings rst to the pin; the design then has it for so many edges. */
	clock_cycles(b, 1 + BOARD_RESET_CYCLES);
	pin_drive(b, PIN_RST, false);
	clock_cycles(b, 1);
	b->rest = false;
}

void board_wake(struct board *b)
{
	if (b->manual) {
		b->endpoints = CARD_ENDPOINT_BIT(CARD_PINS);
		return;
	}

	bool rx = pin_driven(b, PIN_TX_VALID), regs = pin_driven(b, PIN_REG_ACK);

	for (unsigned i = 0; i < 8; i++)
		rx &= pin_driven(b, PIN_TX_DATA + i);
	for (unsigned i = 0; i < 16; i++)
		regs &= pin_driven(b, PIN_REG_RDATA + i);
	if (!b->queue)
		b->queue = malloc(BOARD_RX_BYTES);
	b->endpoints = CARD_ENDPOINT_BIT(CARD_PINS) |
		       (pin_driven(b, PIN_RX_READY) ? CARD_ENDPOINT_BIT(CARD_TX) : 0) |
		       (rx && b->queue ? CARD_ENDPOINT_BIT(CARD_RX) : 0) |
		       (regs ? CARD_ENDPOINT_BIT(CARD_REGS) : 0);
	board_reset(b);
}

unsigned board_endpoints(const struct board *b)
{
	return b->endpoints;
}

unsigned board_ready(const struct board *b)
{
	unsigned ready = b->endpoints & (CARD_ENDPOINT_BIT(CARD_REGS) | CARD_ENDPOINT_BIT(CARD_PINS));

	if (b->waiting)
		ready |= CARD_ENDPOINT_BIT(CARD_RX);
	/* A design may raise ready only when it sees valid: not stalled is ready. */
	if (!b->offered && (!b->stalled || pin_high(b, PIN_RX_READY)))
		ready |= b->endpoints & CARD_ENDPOINT_BIT(CARD_TX);
	return ready;
}

void board_offer(struct board *b, const uint8_t *bytes, size_t n)
{
	if (!n && b->offered > b->taken)
		b->stalled = true;
	/* What is withdrawn must not be taken at the next edge. */
	if (pin_drive(b, PIN_RX_VALID, false))
		fabric_settle(b->f);
	b->offer = bytes;
	b->offered = n;
	b->taken = 0;
	b->rest = false;
	b->idle = 0;
}

size_t board_taken(const struct board *b)
{
	return b->taken;
}

size_t board_waiting(const struct board *b)
{
	return b->waiting;
}

size_t board_take(struct board *b, uint8_t *bytes, size_t n)
{
	size_t moved = n < b->waiting ? n : b->waiting;

	for (size_t i = 0; i < moved; i++)
		bytes[i] = b->queue[(b->first + i) % BOARD_RX_BYTES];
	b->first = (b->first + moved) % BOARD_RX_BYTES;
	b->waiting -= moved;
	if (moved && !b->level[PIN_TX_READY])
		b->rest = false;
	return moved;
}

void board_access_begin(struct board *b, unsigned reg, bool write, uint16_t value)
{
	b->access = BOARD_PENDING;
	b->access_cycles = 0;
	b->write = write;
	b->value = value;
	pins_drive(b, PIN_REG_ADDR, 8, reg);
	if (write)
		pins_drive(b, PIN_REG_WDATA, 16, value);
	pin_drive(b, write ? PIN_REG_WE : PIN_REG_RE, true);
	b->rest = false;
	b->idle = 0;
}

enum board_access board_access_result(struct board *b, uint16_t *value)
{
	enum board_access result = b->access;

	if (result == BOARD_ACKED || result == BOARD_SILENT)
		b->access = BOARD_IDLE;
	if (result == BOARD_ACKED)
		*value = b->value;
	return result;
}

uint64_t board_idle_cycles(const struct board *b)
{
	return b->idle;
}

bool board_at_rest(const struct board *b)
{
	return b->rest;
}

/* The access at the edge to come: ended by ack, or by giving up. True when it ended. */
static bool board_access_step(struct board *b, bool quiet)
{
	if (b->access_cycles && pin_high(b, PIN_REG_ACK)) {
		if (!b->write)
			b->value = (uint16_t)pins_read(b, PIN_REG_RDATA, 16);
		b->access = BOARD_ACKED;
	} else if (b->access_cycles >= BOARD_ACK_CYCLES || (b->access_cycles && quiet)) {
		b->access = BOARD_SILENT;
	} else {
		b->access_cycles++;
		return false;
	}
	pin_drive(b, PIN_REG_WE, false);
	pin_drive(b, PIN_REG_RE, false);
	b->count.accesses++;
	b->idle = 0;
	return true;
}

/* Nothing is offered and nothing accessed: the clock may run until the design sends. */
static uint64_t board_stride(struct board *b, uint64_t n)
{
	if (n > BOARD_STRIDE)
		n = BOARD_STRIDE;
	if (!(b->endpoints & CARD_ENDPOINT_BIT(CARD_RX)) || !b->level[PIN_TX_READY] ||
	    b->stuck[PIN_CLK] >= 0) {
		clock_cycles(b, n);
		return n;
	}

	uint64_t ran = fabric_cycles_until(b->f, b->pin[PIN_CLK], n, b->pin[PIN_TX_VALID], true);

	if (!ran) {
		fabric_cycle(b->f, b->pin[PIN_CLK]);
		ran = 1;
	}
	return ran;
}

void board_run(struct board *b, uint64_t n, unsigned stop, size_t want)
{
	while (n && !b->rest) {
		bool staged = false, ended = false, moved = false;
		bool quiet = fabric_quiet(b->f);

		/* What happens at the next rising edge follows from the levels before it. */
		if (b->level[PIN_TX_READY] && pin_high(b, PIN_TX_VALID)) {
			b->queue[(b->first + b->waiting) % BOARD_RX_BYTES] =
				(uint8_t)pins_read(b, PIN_TX_DATA, 8);
			b->waiting++;
			b->count.bytes_out++;
			moved = true;
		}
		if (b->level[PIN_RX_VALID] && pin_high(b, PIN_RX_READY)) {
			b->taken++;
			b->count.bytes_in++;
			b->stalled = false;
			moved = true;
			ended |= b->taken == b->offered && stop & BOARD_STOP_TAKEN;
		}

		bool more = b->taken < b->offered;

		if (more)
			staged |= pins_drive(b, PIN_RX_DATA, 8, b->offer[b->taken]);
		staged |= pin_drive(b, PIN_RX_VALID, more);
		staged |= pin_drive(b, PIN_TX_READY, b->endpoints & CARD_ENDPOINT_BIT(CARD_RX) &&
							     b->waiting < BOARD_RX_BYTES);
		if (b->access == BOARD_PENDING && board_access_step(b, quiet && !moved && !staged)) {
			ended |= stop & BOARD_STOP_ACCESS;
			moved = true;
		}
		if (quiet && !staged && !moved && b->access != BOARD_PENDING) {
			b->rest = true;
			break;
		}

		uint64_t ran = 1;

		if (more || moved || staged || b->access == BOARD_PENDING) {
			clock_cycles(b, 1);
			b->count.stalls += (more && !pin_high(b, PIN_RX_READY)) +
					   (pin_high(b, PIN_TX_VALID) && !b->level[PIN_TX_READY]);
		} else {
			ran = board_stride(b, n);
		}
		n -= ran < n ? ran : n;
		b->idle = moved ? 0 : b->idle + ran;
		if (ended)
			break;
		if (stop & BOARD_STOP_SENT &&
		    (b->waiting >= want || (b->waiting && b->idle > BOARD_GAP_CYCLES)))
			break;
	}
}

/* --- the pins of the package ------------------------------------------------------- */

/* Which of the board's own pins that is, PIN_COUNT = none. */
static unsigned pin_wired(const struct board *b, int pin)
{
	unsigned i = 0;

	while (i < PIN_COUNT && b->pin[i] != pin)
		i++;
	return i;
}

void board_pins_read(const struct board *b, struct buf *out)
{
	for (int pin = 0; pin < (int)fabric_pins(b->f); pin++) {
		unsigned wired = pin_wired(b, pin);
		bool level = wired < PIN_COUNT ? pin_high(b, wired) : fabric_pin_level(b->f, pin) > 0;
		bool driven = fabric_pin_driven(b->f, pin);
		enum fabric_dir dir = fabric_pin_dir(b->f, pin);

		if (dir == FABRIC_PIN_INOUT)
			dir = driven ? FABRIC_PIN_OUT : FABRIC_PIN_IN;
		buf_addf(out, "%s %s %s\n", fabric_pin_name(b->f, pin),
			 dir == FABRIC_PIN_IN ? "in" : dir == FABRIC_PIN_OUT ? "out" : "off",
			 dir == FABRIC_PIN_OFF || (dir == FABRIC_PIN_OUT && !driven) ? "z"
			 : level ? "1" : "0");
	}
}

/* Take a line `PIN 0|1` apart. 0 or -errno as board_pins_write(). */
static int pin_line(const struct board *b, const char *line, size_t len, int *pin, bool *level)
{
	char name[16];

	if (len < 3 || len - 2 >= sizeof(name) || line[len - 2] != ' ' ||
	    (line[len - 1] != '0' && line[len - 1] != '1') || memchr(line, '\0', len))
		return -EINVAL;
	memcpy(name, line, len - 2);
	name[len - 2] = '\0';
	*pin = fabric_pin(b->f, name);
	*level = line[len - 1] == '1';
	if (*pin < 0 || fabric_pin_dir(b->f, *pin) == FABRIC_PIN_OUT)
		return -EINVAL;

	unsigned wired = pin_wired(b, *pin);

	/* What the design drives comes to the board; what it reads comes from it. */
	if (!b->manual && wired < PIN_COUNT)
		return -EBUSY;
	return 0;
}

int board_pins_write(struct board *b, const char *text, size_t n)
{
	const char *end = text + n;

	/* First see that all of it is right. */
	for (int drive = 0; drive < 2; drive++) {
		const char *line = text;

		while (line < end) {
			const char *stop = memchr(line, '\n', (size_t)(end - line));
			size_t len = (size_t)((stop ? stop : end) - line);
			bool level;
			int pin, err = pin_line(b, line, len, &pin, &level);

			if (err)
				return err;
			unsigned wired = pin_wired(b, pin);

			if (drive && wired < PIN_COUNT)
				pin_drive(b, wired, level);
			else if (drive)
				fabric_pin_set(b->f, pin, level);
			line += len + 1;
		}
	}
	fabric_settle(b->f);
	b->rest = b->manual;
	return 0;
}

void board_counters(const struct board *b, struct board_counters *out)
{
	*out = b->count;
}
